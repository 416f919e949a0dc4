//! Code and specification say the same: each label, limit and error code of the code is in `spec/protocol.md`,
//! and each label that the specification names is in the code.

use std::collections::BTreeSet;

use sealwort_rules::source::{Source, sources};
use sealwort_rules::spec::{PROTOCOL, literals};
use sealwort_rules::{check, read};

/// Labels of values that never leave a process: the key of a cache.
const LOCAL_LABELS: [&str; 1] = ["sealwort chain v1"];

/// The sources whose bytes other software must be able to follow, without their tests.
fn normative() -> Vec<Source> {
    let folders = ["crates/proto/src/", "crates/custody/src/", "crates/gateway/src/directory.rs"];
    let chosen = |source: &Source| !source.only_tests && folders.iter().any(|folder| source.path.starts_with(folder));
    sources().into_iter().filter(chosen).collect()
}

/// The code of a source with its literals, without comments and tests.
fn lines(source: &Source) -> impl Iterator<Item = &str> {
    let kept = source.text.lines().zip(&source.code).filter(|(_, code)| !code.trim().is_empty());
    kept.map(|(line, _)| line)
}

fn is_label(text: &str) -> bool {
    text.starts_with("sealwort ") && (text.ends_with(" v1") || text.contains(" v1 "))
}

fn labels() -> BTreeSet<String> {
    let sources = normative();
    let code: Vec<String> = sources.iter().map(|source| lines(source).collect::<Vec<_>>().join("\n")).collect();
    code.iter()
        .flat_map(|text| literals(text))
        .filter(|text| is_label(text) && !LOCAL_LABELS.contains(text))
        .map(str::to_owned)
        .collect()
}

#[test]
fn each_label_of_the_code_is_specified() {
    let (labels, spec) = (labels(), read(PROTOCOL));
    assert!(labels.contains("sealwort session v1"), "the scan finds no labels: {labels:?}");
    let missing: Vec<_> = labels.into_iter().filter(|label| !spec.contains(&format!("`{label}`"))).collect();
    check("labels that spec/protocol.md does not name", &missing);
}

#[test]
fn each_label_of_the_specification_is_in_the_code() {
    let (labels, spec) = (labels(), read(PROTOCOL));
    let named = spec.split('`').skip(1).step_by(2).filter(|text| is_label(text) && !text.contains('"'));
    let missing: Vec<_> = named.filter(|label| !labels.contains(*label)).map(str::to_owned).collect();
    check("labels that only spec/protocol.md names", &missing);
}

#[test]
fn each_error_code_of_the_protocol_is_specified() {
    let spec = read(PROTOCOL);
    let source = read("crates/proto/src/error.rs");
    let table = source.split_once("fn code(&self)").and_then(|(_, rest)| rest.split_once("\n    }")).map(|(t, _)| t);
    let codes: Vec<&str> = literals(table.unwrap_or_default()).collect();
    assert!(codes.contains(&"seal-broken"), "the scan finds no codes: {codes:?}");
    let missing = codes.iter().filter(|code| !spec.contains(&format!("`{code}`"))).map(|code| (*code).to_owned());
    check("error codes that spec/protocol.md does not name", &missing.collect::<Vec<_>>());
}

#[test]
fn each_limit_of_the_protocol_is_specified() {
    let spec = read(PROTOCOL);
    let mut missing = Vec::new();
    let mut seen = 0;
    for source in normative().iter().filter(|source| source.path.starts_with("crates/proto/")) {
        for line in lines(source) {
            let Some((name, rest)) = line.strip_prefix("pub const ").and_then(|rest| rest.split_once(": ")) else {
                continue;
            };
            let is_number = ["usize", "u8", "u16", "u32", "u64"].iter().any(|kind| rest.starts_with(kind));
            if is_number {
                seen += 1;
                if !spec.contains(&format!("`{name}`")) {
                    missing.push(format!("{}: {line}", source.path));
                }
            }
        }
    }
    assert!(seen > 10, "the scan finds no limits");
    check("limits that spec/protocol.md does not name", &missing);
}
