//! Code and specification say the same: each label, limit and error code of the code is in `spec/protocol.md`,
//! and each label that the specification names is in the code.
#![allow(clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "a file that cannot be read must fail")]

use std::collections::{BTreeMap, BTreeSet};

use sealwort_rules::cddl::{Schema, Type};
use sealwort_rules::limit::{constants, row};
use sealwort_rules::source::{Source, sources};
use sealwort_rules::spec::{PROTOCOL, literals};
use sealwort_rules::{check, read};

/// Labels of values that never leave a process: the key of a cache.
const LOCAL_LABELS: [&str; 1] = ["sealwort chain v1"];

/// The sources whose bytes other software must be able to follow, without their tests.
fn normative() -> Vec<Source> {
    let folders = [
        "crates/proto/src/",
        "crates/custody/src/",
        "crates/gateway/src/directory.rs",
        "crates/pki/src/enrolment/secret.rs",
    ];
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
        .map(|text| text.trim_end_matches("\\0"))
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

/// Codes that no peer is told: of a party's own tools, and of requests between an authority and its operator.
const LOCAL_CODES: [&str; 10] = [
    "directive-exhausted",
    "directive-issued-before-previous",
    "directive-not-encoded",
    "directive-nothing-to-withdraw",
    "invitation-lifetime",
    "key-failed",
    "not-operator",
    "nothing-to-revoke",
    "role-not-invited",
    "bad-root",
];

/// Certificates, lists, joining, consent: what their checks are called is said in the text.
#[test]
fn each_error_code_of_certificates_and_consent_is_specified() {
    let spec = read(PROTOCOL);
    let folders = ["crates/pki/src/", "crates/consent/src/", "crates/ca/src/error.rs", "crates/custody/src/"];
    let (mut missing, mut seen) = (BTreeSet::new(), 0);
    for source in sources() {
        if source.only_tests || !folders.iter().any(|folder| source.path.starts_with(folder)) {
            continue;
        }
        for (at, _) in source.text.match_indices("fn code(&self)") {
            let table = source.text[at..].split("\n    }").next().unwrap_or_default();
            for code in literals(table).filter(|code| !LOCAL_CODES.contains(code)) {
                seen += 1;
                if !spec.contains(&format!("`{code}`")) {
                    missing.insert(format!("{code} ({})", source.path));
                }
            }
        }
    }
    assert!(seen > 60, "the scan finds only {seen} codes");
    check("error codes that spec/protocol.md does not name", &missing.into_iter().collect::<Vec<_>>());
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

#[test]
fn each_limit_has_the_value_that_the_code_has() {
    let (constants, spec) = (product_constants(), read(PROTOCOL));
    let tables = spec.split_once("\n## 9. ").and_then(|(_, rest)| rest.split_once("\n## 10. ")).expect("section 9").0;
    let (mut breaches, mut seen) = (Vec::new(), 0);
    for line in tables.lines().filter(|line| line.starts_with("| ")) {
        for (name, value) in row(line).into_iter().filter(|(name, _)| is_constant(name)) {
            seen += 1;
            match constants.get(&name) {
                Some(found) if *found == value => {}
                found => breaches.push(format!("{name} is {value} in section 9, {found:?} in the code")),
            }
        }
    }
    assert!(seen > 25, "the scan finds only {seen} limits");
    check("limits of section 9 and of the code differ", &breaches);
}

fn is_constant(name: &str) -> bool {
    name.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_')
}

/// Constants of the product. Where a crate that comes later has another of the same name, the first one is meant.
fn product_constants() -> BTreeMap<String, u128> {
    let sources = sources();
    let mut found = BTreeMap::new();
    for name in ["proto", "consent", "custody", "pki", "net", "broker", "archive", "gateway"] {
        let folder = format!("crates/{name}/src/");
        let texts: Vec<String> = sources
            .iter()
            .filter(|source| !source.only_tests && source.path.starts_with(&folder))
            .map(|source| source.code.join("\n"))
            .collect();
        for (name, value) in constants(texts.iter().map(String::as_str)) {
            found.entry(name).or_insert(value);
        }
    }
    found
}

/// Bounds of the CDDL, by rule and field, and the limit that each is.
const BOUNDS: [(&str, &str, &str); 21] = [
    ("certificate", "", "CERTIFICATE_BYTES_MAX"),
    ("chain", "", "CHAIN_CERTIFICATES_MAX"),
    ("public-key", "", "PUBLIC_KEY_BYTES_MAX"),
    ("exchange", "", "NAME_BYTES_MAX"),
    ("share", "key", "KEM_KEY_BYTES"),
    ("answer", "encapsulation", "KEM_CIPHERTEXT_BYTES"),
    ("policies", "purposes", "PURPOSES_MAX"),
    ("access-request", "tags", "TAGS_MAX"),
    ("token", "tags", "TAGS_MAX"),
    ("user-text", "", "USER_BYTES_MAX"),
    ("archive-grant", "tags", "TAGS_MAX"),
    ("registration", "locators", "LOCATORS_MAX"),
    ("to-broker-locate", "locators", "LOCATORS_MAX"),
    ("directive", "provisions", "PROVISIONS_MAX"),
    ("among-name", "", "PARTY_BYTES_MAX"),
    ("from-broker-heads", "heads", "HEADS_PER_MESSAGE_MAX"),
    ("to-archive-deposit", "entries", "DEPOSIT_ENTRIES_MAX"),
    ("ciphertext", "", "CIPHERTEXT_BYTES_MAX"),
    ("envelope", "length", "CIPHERTEXT_BYTES_MAX"),
    ("plain", "length", "RECORD_BYTES_MAX"),
    ("plain", "content", "RECORD_BYTES_MAX"),
];

#[test]
fn each_bound_of_the_cddl_is_the_limit_of_the_code() {
    let constants = product_constants();
    let schema = Schema::parse(&read("spec/sealwort.cddl")).expect("the CDDL");
    let mut breaches = Vec::new();
    for (rule, field, limit) in BOUNDS {
        let body = &schema.rule(rule).unwrap_or_else(|| panic!("no rule {rule}")).body;
        let bound = upper_bound(body, field);
        if bound.is_none() || bound != constants.get(limit).copied() {
            breaches.push(format!("{rule}.{field} is at most {bound:?}, {limit} {:?}", constants.get(limit)));
        }
    }
    check("bounds of the CDDL and limits of the code differ", &breaches);
}

/// The largest number, length or count that a type, or a field in it, allows.
fn upper_bound(body: &Type, field: &str) -> Option<u128> {
    if !field.is_empty() {
        return match body {
            Type::Array(entries) => entries.iter().find_map(|entry| match (&entry.value, entry.name()) {
                (value, Some(name)) if name == field => upper_bound(value, ""),
                // A case of a choice: its fields are the inner array.
                (inner @ Type::Array(_), None) => upper_bound(inner, field),
                _ => None,
            }),
            _ => None,
        };
    }
    match body {
        Type::Int(most) | Type::Range(_, most) => u128::try_from(*most).ok(),
        Type::Control(_, _, argument) => upper_bound(argument, ""),
        Type::Array(entries) => entries.first().and_then(|entry| u128::try_from(entry.most).ok()),
        _ => None,
    }
}
