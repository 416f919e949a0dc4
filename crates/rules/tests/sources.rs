//! What may be named where, held against the sources. Test code is exempt, except where a rule says otherwise.

use sealwort_rules::source::{Source, names, sources, texts};
use sealwort_rules::spec::{PROTOCOL, bare_citations, citations, sections};
use sealwort_rules::{check, read, root};

/// Lines of a file before its tests: the aim, and what fails.
const LINES_AIM: usize = 600;
const LINES_MAX: usize = 900;
/// Folders of this machine that must not appear in the project.
const MACHINE_PATHS: [&str; 2] = [concat!("/wo", "rk/"), concat!("/ro", "ot/")];

/// Folders whose `section 4.2` without a document means that of the specification.
const SPEAK_OF_SPEC: [&str; 4] = ["interop/", "proof/", "fuzz/", "spec/vectors/"];

/// Sections of the paper that the protocol repairs; the specification has none of these numbers.
const OF_THE_PAPER: [&str; 2] = ["3.2.1", "3.2.2"];

fn breaches(exempt: impl Fn(&Source) -> bool, asks: impl Fn(&str) -> bool) -> Vec<String> {
    sources().iter().filter(|source| !exempt(source)).flat_map(|source| source.lines_where(&asks)).collect()
}

/// `proto::crypto` and `pki` are where primitives are called. `net::tls` chooses rustls' own provider and the key
/// exchanges in it, and nothing else. Benchmarks compare with the bare primitives.
#[test]
fn primitives_are_named_in_one_file_of_proto_and_in_pki() {
    let exempt = |source: &Source| {
        source.path == "crates/proto/src/crypto.rs"
            || source.path.starts_with("crates/pki/src/")
            || source.path.starts_with("bench/")
    };
    let of_rustls = |source: &Source, line: &str| {
        let chosen = ["aws_lc_rs::kx_group::", "aws_lc_rs::cipher_suite::", "aws_lc_rs::default_provider()"];
        source.path.starts_with("crates/net/src/tls/")
            && (chosen.iter().any(|name| line.contains(name)) || line.trim().starts_with("use rustls::crypto::"))
    };
    let named = sources();
    let found = named
        .iter()
        .filter(|source| !exempt(source))
        .flat_map(|source| source.lines_where(|line| names(line, "aws_lc_rs") && !of_rustls(source, line)));
    check("primitives are named outside proto::crypto and pki", &found.collect::<Vec<_>>());
}

#[test]
fn only_the_configuration_reads_the_environment() {
    let asks = |line: &str| {
        ["env::var", "env::var_os", "env::vars", "env::vars_os", "env::set_var", "env::remove_var"]
            .iter()
            .any(|name| names(line, name))
            || line.contains("use std::env::{")
    };
    // A build script learns from the environment alone where to write, and tests where published data lie.
    let may = ["crates/net/src/config/", "crates/published/"];
    let found = breaches(
        |source| may.iter().any(|folder| source.path.starts_with(folder)) || source.path.ends_with("/build.rs"),
        asks,
    );
    check("only net::config reads environment variables; take the value from the configuration", &found);
}

#[test]
fn pure_crates_open_no_file_socket_or_process_and_look_at_no_clock() {
    let pure = ["pki", "proto", "consent", "fhir", "hl7v2", "devices", "oidc", "smart"]
        .map(|name| format!("crates/{name}/src/"));
    let impure = ["fs", "net", "process", "SystemTime", "Instant", "now_utc", "UdpSocket", "TcpStream", "thread_rng"];
    let asks = |line: &str| {
        impure.iter().any(|name| {
            let from_std = names(line, &format!("std::{name}")) || names(line, &format!("std::time::{name}"));
            let itself = name.len() > 7 && names(line, name);
            from_std || itself
        }) || names(line, "Instant::now")
    };
    let found = breaches(|source| !pure.iter().any(|folder| source.path.starts_with(folder.as_str())), asks);
    check("a pure crate gets bytes and the time; it opens nothing and looks at no clock", &found);
}

#[test]
fn nothing_is_unsafe_not_even_in_tests() {
    let mut found = Vec::new();
    for source in sources() {
        let code = sealwort_rules::source::code(&source.text.replace("cfg(test)", "cfg(all())"));
        let lines = code.iter().zip(1..).filter(|(line, _)| names(line, "unsafe"));
        found.extend(lines.map(|(line, number)| format!("{}:{number}: {}", source.path, line.trim())));
    }
    check("unsafe code is forbidden here", &found);
}

#[test]
fn files_stay_readable() {
    let mut too_long = Vec::new();
    for source in sources() {
        let lines = source.lines_before_tests();
        if lines > LINES_MAX {
            too_long.push(format!("{}: {lines} lines before its tests", source.path));
        } else if lines > LINES_AIM {
            println!("WARNING: {}: {lines} lines before its tests; the aim is {LINES_AIM}", source.path);
        }
    }
    check(&format!("files of more than {LINES_MAX} lines: split where a name for the part exists"), &too_long);
}

#[test]
fn no_path_of_a_machine_is_in_the_project() {
    let mut found = Vec::new();
    for (path, text) in texts() {
        for (line, number) in text.lines().zip(1..) {
            if MACHINE_PATHS.iter().any(|place| line.contains(place)) {
                found.push(format!("{path}:{number}: {}", line.trim().chars().take(120).collect::<String>()));
            }
        }
    }
    check("paths of one machine say nothing on another", &found);
}

#[test]
fn every_section_that_is_cited_exists() {
    let present = sections(&read(PROTOCOL));
    let (mut found, mut seen) = (Vec::new(), 0);
    for (path, text) in texts().into_iter().filter(|(path, _)| !path.starts_with("crates/rules/")) {
        for citation in citations(&text) {
            seen += 1;
            let is_there = root().join(&citation.document).exists();
            let of_protocol = citation.document == PROTOCOL;
            if !is_there || of_protocol && citation.sections.iter().any(|section| !present.contains(section)) {
                found.push(format!("{path} cites {citation:?}"));
            }
        }
        // These speak of the specification alone.
        if SPEAK_OF_SPEC.iter().any(|folder| path.starts_with(folder)) || path == PROTOCOL {
            let is_stray = |section: &String| !present.contains(section) && !OF_THE_PAPER.contains(&section.as_str());
            let stray = bare_citations(&text).into_iter().filter(is_stray);
            found.extend(stray.map(|section| format!("{path} cites section {section}")));
        }
    }
    assert!(seen > 20, "the search finds nothing");
    check("a citation leads nowhere", &found);
}

/// Documents name files as `gateway/src/open.rs`, from the folder `crates`, or from the root.
#[test]
fn every_file_that_a_document_names_exists() {
    let mut found = Vec::new();
    let mut seen = 0;
    for document in ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md", PROTOCOL] {
        let text = read(document);
        for name in text
            .split('`')
            .skip(1)
            .step_by(2)
            .filter(|name| name.contains('/') && name.split('.').next_back() == Some("rs"))
        {
            seen += 1;
            if !root().join("crates").join(name).exists() && !root().join(name).exists() {
                found.push(format!("{document} names {name}"));
            }
        }
    }
    assert!(seen > 20, "the search finds nothing");
    check("a document names a file that is not there", &found);
}

/// One that the metrics do not know is counted as `other`, and nobody sees which one rises.
#[test]
fn the_metrics_know_every_stable_code_of_a_refusal() {
    const CODES: &str = "crates/net/src/metrics/codes.rs";
    /// How far from the beginning of a call its code stands at most, in characters.
    const NEAR: usize = 240;
    let is_code = |word: &str| {
        word.contains('-')
            && word.bytes().all(|byte| byte == b'-' || byte.is_ascii_lowercase() || byte.is_ascii_digit())
    };
    let known = read(CODES);
    let services = ["net", "custody", "journal", "broker", "archive", "ca", "gateway"];
    let services = services.map(|name| format!("crates/{name}/src/"));
    let (mut found, mut seen) = (Vec::new(), 0);
    let mut look = |source: &Source, code: &str| {
        seen += 1;
        if !known.contains(&format!("\"{code}\"")) {
            found.push(format!("{}: {code}", source.path));
        }
    };
    for source in &sources() {
        if services.iter().any(|folder| source.path.starts_with(folder.as_str())) {
            for call in ["Refusal::new(", "GatewayError::request("] {
                for (at, _) in source.text.match_indices(call) {
                    let call: String = source.text.get(at..).unwrap_or_default().chars().take(NEAR).collect();
                    // The code is the first text of a call.
                    if let Some(code) = call.split('"').nth(1).filter(|word| is_code(word)) {
                        look(source, code);
                    }
                }
            }
        }
        // The command line's own are told to nobody else.
        if source.path.contains("/src/") && !source.path.starts_with("crates/cli/") {
            for arms in ["fn code(&self) -> &'static str {", "fn code(&self) -> &str {"] {
                for (at, _) in source.text.match_indices(arms) {
                    // Up to the end of the function.
                    let rest = source.text.get(at..).unwrap_or_default();
                    let arms = rest.split("\n    }\n").next().unwrap_or_default();
                    arms.split('"').skip(1).step_by(2).filter(|word| is_code(word)).for_each(|code| look(source, code));
                }
            }
        }
    }
    assert!(seen > 100, "the search finds nothing");
    check(&format!("a stable code that {CODES} lacks"), &found);
}
