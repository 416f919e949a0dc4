//! `sealwort evaluate` on the real program: its structure, that its counts are those of a run and the same in the
//! next one, and that every query and every test that it cites exists.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

const REQUIREMENTS: [&str; 9] = [
    "Certification",
    "Encryption",
    "Security",
    "Privacy",
    "Eavesdropping",
    "Forward Security",
    "Authentication",
    "Relay Attack",
    "Denial-of-Service Attack",
];
const ROLES: [&str; 3] = ["lhc", "htsc", "himc"];
/// A terminal's width.
const COLUMNS_MAX: usize = 120;

fn evaluate(arguments: &[&str]) -> Output {
    let output = Command::new(env!("CARGO_BIN_EXE_sealwort")).arg("evaluate").args(arguments).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    output
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn number(value: &Value, pointer: &str) -> u64 {
    value.pointer(pointer).and_then(Value::as_u64).unwrap_or_else(|| panic!("{pointer} is no number in {value}"))
}

#[test]
fn counts_are_those_of_a_real_run_and_the_same_in_the_next() {
    let runs: [Value; 2] = [(); 2].map(|()| serde_json::from_slice(&evaluate(&["--json"]).stdout).unwrap());
    let [first, second] = &runs;
    for part in ["table_3", "table_4", "operations"] {
        assert_eq!(first[part], second[part], "{part} differs between two runs");
    }
    assert_eq!(number(first, "/format"), 1);

    // Each pair agrees on one key, and each party is in two pairs.
    for role in ROLES {
        let counter = |phase: &str, name: &str| number(first, &format!("/operations/{phase}/{role}/{name}"));
        let authenticated = |name: &str| counter("authentication", name);
        assert_eq!(authenticated("session_key"), 2, "{role}");
        assert_eq!(authenticated("encapsulate") + authenticated("decapsulate"), 2, "{role}");
        assert_eq!((authenticated("sign"), authenticated("verify"), authenticated("nonce")), (2, 2, 1), "{role}");
        for name in ["hash", "seal", "open"] {
            assert!(authenticated(name) > 0, "{role} {name}");
        }
        for name in ["seal", "open", "sign", "verify"] {
            assert!(counter("transmission", name) > 0, "{role} {name}");
        }
        assert_eq!(counter("transmission", "session_key"), 0, "{role}: reading establishes nothing");
        assert_eq!(counter("transmission", "token"), u64::from(role == "htsc"), "{role}");
        for phase in ["authentication", "transmission"] {
            let held = |row: usize| number(first, &format!("/table_4/{row}/roles/{role}/{phase}"));
            assert_eq!((held(0), held(1), held(2)), (0, 3, 2), "{role}: random values, certificates, session keys");
        }
        assert_eq!(number(first, &format!("/table_4/4/roles/{role}/transmission")), u64::from(role == "himc"));
    }

    for (phase, last) in [("authentication", 9), ("transmission", 7)] {
        for run in &runs {
            let of_phase = run["steps"].as_array().unwrap().iter().filter(|step| step["phase"] == phase);
            let numbers: BTreeSet<u64> =
                of_phase.inspect(|s| assert!(number(s, "/bytes") > 0)).map(|s| number(s, "/step")).collect();
            assert_eq!(numbers, (1..=last).collect(), "{phase}");
            for hop in ["lhc_htsc", "htsc_himc"] {
                let bytes: u64 =
                    ["forth", "back"].map(|way| number(run, &format!("/tls_bytes/{phase}/{hop}/{way}"))).iter().sum();
                assert!(bytes > 1_000, "{phase} {hop}: {bytes}");
            }
        }
    }
    for run in &runs {
        let seen = &run["seen"];
        assert_eq!(
            (&seen["read_equals_written"], &seen["denied_before_consent"]),
            (&Value::Bool(true), &Value::Bool(true))
        );
        assert_eq!((number(seen, "/plaintext_found"), number(seen, "/stranger_operations")), (0, 0), "{seen}");
        assert!(number(seen, "/bytes_searched") > 10_000 && seen["stranger_refused"] == true, "{seen}");
    }
}

#[test]
fn the_papers_numbers_stand_beside_ours() {
    let run: Value = serde_json::from_slice(&evaluate(&["--json"]).stdout).unwrap();
    let rows = run["table_2"].as_array().unwrap();
    let requirements: Vec<&str> = rows.iter().map(|row| row["requirement"].as_str().unwrap()).collect();
    assert_eq!(requirements, REQUIREMENTS);
    for row in rows {
        assert_eq!(row["paper"].as_array().unwrap().len(), 5, "{row}");
        assert_ne!(row["verdict"], "failed", "{row}");
    }
    let paper = |table: &str| -> Vec<(String, Vec<Option<u64>>)> {
        let rows = run[table].as_array().unwrap();
        let cells = |row: &Value| ROLES.iter().map(|role| row["roles"][role]["paper"].as_u64()).collect();
        rows.iter()
            .map(|row| (row["name"].as_str().unwrap().to_owned(), cells(row)))
            .filter(|(_, c): &(_, Vec<_>)| c.iter().all(Option::is_some))
            .collect()
    };
    let expected = |rows: &[(&str, [u64; 3])]| -> Vec<(String, Vec<Option<u64>>)> {
        rows.iter().map(|(name, numbers)| ((*name).to_owned(), numbers.map(Some).to_vec())).collect()
    };
    let table_3 = [
        ("Hash", [1, 1, 1]),
        ("Encryption", [4, 4, 3]),
        ("Decryption", [5, 3, 3]),
        ("Session key generation", [2, 2, 2]),
        ("Nonce generation", [2, 2, 2]),
        ("Token generation", [0, 1, 0]),
    ];
    let table_4 = [
        ("Random value", [2, 2, 2]),
        ("Certificate", [3, 3, 3]),
        ("Session key", [2, 2, 2]),
        ("Timestamp", [2, 2, 0]),
        ("Token", [1, 1, 1]),
    ];
    assert_eq!(paper("table_3"), expected(&table_3));
    assert_eq!(paper("table_4"), expected(&table_4));

    let text = String::from_utf8(evaluate(&[]).stdout).unwrap();
    for requirement in REQUIREMENTS {
        assert!(text.contains(&format!("\n{requirement}")), "{requirement}");
    }
    for line in text.lines() {
        assert!(line.chars().count() <= COLUMNS_MAX, "too wide: {line}");
    }
}

#[derive(serde::Deserialize)]
struct Evidence {
    row: Vec<Row>,
}

#[derive(serde::Deserialize)]
struct Row {
    requirement: String,
    queries: Vec<String>,
    #[serde(default)]
    published: Vec<String>,
    beyond_the_proof: Option<String>,
    tests: Vec<String>,
}

#[test]
fn every_query_and_every_test_that_is_cited_exists() {
    let evidence: Evidence = toml::from_str(&read("crates/cli/src/evaluate/evidence.toml")).unwrap();
    let names: Vec<&str> = evidence.row.iter().map(|row| row.requirement.as_str()).collect();
    assert_eq!(names, REQUIREMENTS);
    let on_file = queries(&read("proof/results/summary.tsv"));
    assert!(!on_file.is_empty(), "no results on file");
    let mut wrong = Vec::new();
    for row in &evidence.row {
        if row.queries.is_empty() && row.beyond_the_proof.is_none() {
            wrong.push(format!("{}: no query, and no reason why", row.requirement));
        }
        if row.tests.is_empty() {
            wrong.push(format!("{}: no test", row.requirement));
        }
        for query in row.queries.iter().chain(&row.published) {
            let fits = |name: &String| query.strip_suffix('*').map_or(name == query, |start| name.starts_with(start));
            if !on_file.iter().any(fits) {
                wrong.push(format!("{}: no query {query} in the results on file", row.requirement));
            }
        }
        wrong.extend(
            row.tests.iter().filter(|test| !is_test(test)).map(|test| format!("{}: no test {test}", row.requirement)),
        );
    }
    assert!(wrong.is_empty(), "evidence that does not exist:\n{}", wrong.join("\n"));
}

#[test]
fn every_criterion_of_the_functional_model_has_tests_or_reasons() {
    let criteria: Vec<Value> = serde_json::from_slice(&evaluate(&["--phr-s-fm", "--json"]).stdout).unwrap();
    let mut wrong = Vec::new();
    let mut seen = BTreeSet::new();
    for criterion in &criteria {
        let id = criterion["id"].as_str().unwrap();
        let tests = criterion["tests"].as_array().unwrap();
        let words = |name: &str| criterion[name].as_str().is_some_and(|words| !words.is_empty());
        let met = match (words("refused"), !tests.is_empty(), words("lacks")) {
            (true, false, false) => "refused",
            (false, true, false) => "shown",
            (false, true, true) => "in-part",
            (false, false, true) => "missing",
            _ => "nothing, or too much,",
        };
        if criterion["met"] != met {
            wrong.push(format!("{id}: {} is told, and {met} is there", criterion["met"]));
        }
        if !seen.insert(id) {
            wrong.push(format!("{id} stands there twice"));
        }
        let absent = tests.iter().filter_map(Value::as_str).filter(|test| !is_test(test));
        wrong.extend(absent.map(|test| format!("{id}: no test {test}")));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(criteria.len(), 42);
    let text = String::from_utf8(evaluate(&["--phr-s-fm"]).stdout).unwrap();
    let names = |line: &&str| line.trim_start().starts_with("test ");
    assert!(text.lines().filter(|line| !names(line)).all(|line| line.chars().count() <= COLUMNS_MAX), "{text}");
}

/// `model/variant/query` of each line.
fn queries(table: &str) -> Vec<String> {
    let mut lines = table.lines().filter(|line| !line.starts_with('#'));
    let head: Vec<&str> = lines.next().unwrap_or_default().split('\t').collect();
    let places = ["model", "variant", "query"].map(|name| head.iter().position(|cell| *cell == name).unwrap());
    let name = |line: &str| places.map(|place| line.split('\t').nth(place).unwrap_or_default().to_owned()).join("/");
    lines.map(name).collect()
}

/// Whether `file::function` is a function with a test's attribute in that file.
fn is_test(cited: &str) -> bool {
    let Some((file, function)) = cited.split_once("::") else { return false };
    let Ok(text) = std::fs::read_to_string(root().join(file)) else { return false };
    let lines: Vec<&str> = text.lines().map(str::trim).collect();
    let declares =
        |line: &str| [format!("fn {function}("), format!("async fn {function}(")].iter().any(|d| line.starts_with(d));
    lines.iter().enumerate().any(|(place, line)| {
        // Attributes and comments stand between.
        let above = lines[..place].iter().rev().take_while(|l| l.starts_with('#') || l.starts_with("//"));
        declares(line) && above.copied().any(|l| l.starts_with("#[test]") || l.starts_with("#[tokio::test"))
    })
}

#[test]
fn a_citation_that_leads_nowhere_is_noticed() {
    assert!(is_test("crates/cli/tests/evaluate.rs::a_citation_that_leads_nowhere_is_noticed"));
    assert!(!is_test("crates/cli/tests/evaluate.rs::is_test"), "a function, but no test");
    assert!(!is_test("crates/cli/tests/evaluate.rs::absent"));
    assert!(!is_test("crates/cli/tests/absent.rs::is_test"));
}
