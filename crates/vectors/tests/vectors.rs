//! The vectors of `spec/vectors`: made anew they are the same bytes, and each says what the code does.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use sealwort_vectors::check::{self, Library};
use sealwort_vectors::generate;
use sealwort_vectors::setting::Setting;
use sealwort_vectors::vector::{Expected, File, folder, text};
use serde_json::Value;

/// Written once, because P-256 signs differently every time.
const ONCE: &str = "p256";
/// More would be tiresome to keep in a repository.
const BYTES_MAX: usize = 1_600_000;

/// Texts of the folder, by name without `.json`.
fn texts() -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder()).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "json") {
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            found.insert(name, fs::read_to_string(path).unwrap());
        }
    }
    assert!(found.len() > 10, "the folder has {} files", found.len());
    found
}

fn files() -> Vec<File> {
    let texts = texts();
    let files = texts.iter().filter(|(name, _)| *name != "setting");
    files.map(|(name, text)| File::from_text(name, text)).collect()
}

fn library() -> Library {
    let setting: Value = serde_json::from_str(texts().get("setting").unwrap()).unwrap();
    let mut library = Library::new(Setting::new(setting));
    for file in files() {
        library.add(&file);
    }
    library
}

#[test]
fn made_anew_they_are_the_same_bytes() {
    let mut kept = texts();
    let (setting, made) = generate::everything();
    let same = |name: &str, made: &str, kept: Option<String>| {
        let kept = kept.unwrap_or_else(|| panic!("{name}.json is missing: cargo run -p sealwort-vectors"));
        let differing = made.lines().zip(kept.lines()).zip(1..).find(|((made, kept), _)| made != kept);
        if let Some(((made, kept), number)) = differing {
            panic!(
                "{name}.json:{number}: kept {kept:.120}, made {made:.120}; cargo run -p sealwort-vectors writes them"
            )
        }
        assert_eq!(made.len(), kept.len(), "{name}.json");
    };
    same("setting", &text(&setting), kept.remove("setting"));
    for file in &made {
        same(&file.name, &file.to_text(), kept.remove(&file.name));
    }
    assert_eq!(kept.keys().collect::<Vec<_>>(), [ONCE], "files that nothing makes");
    let size: usize = texts().values().map(String::len).sum();
    assert!(size < BYTES_MAX, "{size} bytes");
}

#[test]
fn each_says_what_the_code_does() {
    let library = library();
    let mut wrong = Vec::new();
    let (mut good, mut bad) = (0, 0);
    for file in files() {
        for vector in file.vectors {
            let found = check::run(&library, &vector.kind, &vector.input);
            let fits = match (&vector.expected, &found) {
                (Expected::Output(output), Ok(found)) => output == found,
                (Expected::Error(code), Err(failure)) => *code == failure.code,
                _ => false,
            };
            if let Err(failure) = &found {
                println!("{}: {}: {}", vector.name, failure.code, failure.text);
            }
            match vector.expected {
                Expected::Output(_) => good += 1,
                Expected::Error(_) => bad += 1,
            }
            if !fits {
                wrong.push(format!("{}/{}: {found:.300?}", file.name, vector.name));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    println!("{good} positive and {bad} negative vectors hold");
    assert!(good >= 150 && bad >= 300, "{good} positive, {bad} negative");
}

/// Every code is one of the specification's, and every code of the protocol core that a message can cause comes.
#[test]
fn their_codes_are_those_of_the_specification() {
    let specification = specification();
    let seen: BTreeSet<String> = files()
        .into_iter()
        .flat_map(|file| file.vectors)
        .filter_map(|vector| match vector.expected {
            Expected::Error(code) => Some(code),
            Expected::Output(_) => None,
        })
        .collect();
    let unknown: Vec<_> = seen.iter().filter(|code| !specification.contains(&format!("`{code}`"))).collect();
    assert!(unknown.is_empty(), "codes that spec/protocol.md does not have: {unknown:?}");
    let section = specification.split("### 10.1").nth(1).unwrap().split("### 10.2").next().unwrap();
    let codes = section.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    // The session's end on the other side, another party's refusal and a failing library are no property of a message.
    let elsewhere = ["session-unknown", "refused", "crypto-failed"];
    let missing: Vec<_> = codes.filter(|code| !seen.contains(*code) && !elsewhere.contains(code)).collect();
    assert!(missing.is_empty(), "codes without a negative vector: {missing:?}");
}

fn specification() -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../spec/protocol.md")).unwrap()
}

#[test]
fn they_name_kinds_sections_and_rules_that_exist() {
    let readme = fs::read_to_string(folder().join("README.md")).unwrap();
    let specification = specification();
    let rules = ["sealwort.cddl", "enrolment.cddl"].map(|name| fs::read_to_string(folder().join("..").join(name)));
    let rules: String = rules.into_iter().map(Result::unwrap).collect();
    let mut wrong = BTreeSet::new();
    for file in files() {
        for vector in file.vectors {
            if !readme.contains(&format!("`{}`", vector.kind)) {
                wrong.insert(format!("README.md does not describe {}", vector.kind));
            }
            let depth = "#".repeat(1 + vector.section.split('.').count());
            let dot = if vector.section.contains('.') { "" } else { "." };
            if !specification.contains(&format!("\n{depth} {}{dot} ", vector.section)) {
                wrong.insert(format!("{} names section {}", vector.name, vector.section));
            }
            for (path, rule) in &vector.cddl {
                if !vector.at(path).is_some_and(Value::is_string) {
                    wrong.insert(format!("{} has nothing at {path}", vector.name));
                }
                if !rules.lines().any(|line| line.starts_with(&format!("{rule} = "))) {
                    wrong.insert(format!("{} names the rule {rule}", vector.name));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
