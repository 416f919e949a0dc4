//! Published messages of three projects, read from end to end: each is mapped or refused for a reason that
//! stands in a list here, each is acknowledged, and each transaction is one patient's. Set
//! `SEALWORT_OPEN_DATA` to the folder, or put it at `../shared/data/open` beside the project. Where it is
//! absent the test says so and passes. `--nocapture` prints the table of counts.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::BTreeMap;
use std::path::Path;

use sealwort_fhir::{assign_patients, parse_bundle};
use sealwort_hl7v2::{ControlId, Message, Outcome, Refused, Settings, acknowledge, batch, map};
use sealwort_published::{data, files};
use time::OffsetDateTime;

/// What happened to messages: by type, and in words.
type Counts = BTreeMap<(String, String), usize>;

fn run(name: &str, counts: &mut Counts) {
    let Some(folder) = data(name) else { return };
    for path in files(&folder, None) {
        let frame = std::fs::read(&path).unwrap();
        match batch::split(&frame) {
            Ok(messages) => {
                for bytes in messages {
                    let (kind, outcome) = one(bytes, &path);
                    *counts.entry((format!("{name} {kind}"), outcome)).or_default() += 1;
                }
            }
            Err(error) => *counts.entry((format!("{name} -"), error.to_string())).or_default() += 1,
        }
    }
}

fn one(bytes: &[u8], path: &Path) -> (String, String) {
    let now = OffsetDateTime::from_unix_timestamp(1_700_000_000).unwrap();
    let id = ControlId::new("1").unwrap();
    let acknowledged = |outcome: &Outcome<'_>, code: &str| {
        let Some(answer) = acknowledge(bytes, outcome, now, &id) else { return };
        let answer = Message::read(&answer).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let found = answer.first("MSA").unwrap().text(1).unwrap();
        assert_eq!(&found[1..], code, "{}", path.display());
    };
    let read = match Message::read(bytes) {
        Ok(read) => read,
        Err(error) => return ("-".to_owned(), error.to_string()),
    };
    let header = read.header();
    let kind = header.first(9);
    let kind = format!("{}^{}", kind.text(1).unwrap_or_default(), kind.text(2).unwrap_or_default());
    match map(&read, &Settings::default()) {
        Ok(mapped) => {
            acknowledged(&Outcome::Stored, "A");
            let bundle = parse_bundle(mapped.bundle).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            let patients = assign_patients(&bundle).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            assert_eq!(patients.len(), 1, "{}: one message, one patient", path.display());
            (kind, "mapped".to_owned())
        }
        Err(refused) => {
            let code = if refused.code() == sealwort_hl7v2::Code::Error { "E" } else { "R" };
            acknowledged(&Outcome::Refused(&refused), code);
            let told = match &refused {
                Refused::UnsupportedType { .. } => "refused: type".to_owned(),
                Refused::UnsupportedEvent { .. } => "refused: event".to_owned(),
                other => format!("refused: {other}"),
            };
            (kind, told)
        }
    }
}

/// Refusals of messages whose type is supported, each with its reason.
const JUSTIFIED: [(&str, &str); 4] = [
    // ORU-R01-01 has an OBX without OBX-3, which every version requires.
    ("hl7v2-fhir-converter ORU^R01", "refused: OBX[2]-3 is required"),
    // ORM-O01-05 orders a hip implant (RQD), which is no examination.
    ("hl7v2-fhir-converter ORM^O01", "refused: the order at ORC has no OBR; only orders with OBR are supported"),
    // small.hl7 says "Aug 15, 1942" where HL7 v2 has 19420815. A birth date is refused rather than lost.
    ("hl7v2-mirth ORU^R01", "refused: PID-7 is not a date"),
    // simplesender's hl7.txt is a template with the words [SOM] and [EOM] in it.
    ("hl7v2-mirth -", "line 1 belongs to no message; a message begins with MSH"),
];

#[test]
fn published_messages_are_mapped_or_refused_for_a_reason() {
    let mut counts = Counts::new();
    for name in ["hl7v2-simhospital", "hl7v2-fhir-converter", "hl7v2-mirth"] {
        run(name, &mut counts);
    }
    let mut unexplained = Vec::new();
    for ((kind, outcome), count) in &counts {
        println!("{count:>5}  {kind:<40} {outcome}");
        let explained = matches!(outcome.as_str(), "mapped" | "refused: type" | "refused: event")
            || JUSTIFIED.contains(&(kind.as_str(), outcome.as_str()));
        if !explained {
            unexplained.push(format!("{kind}: {outcome}"));
        }
        let type_event = kind.rsplit(' ').next().unwrap();
        assert!(
            !sealwort_hl7v2::mapping::MESSAGE_TYPES.contains(&type_event) || !outcome.ends_with("event"),
            "{kind} is a type that is mapped"
        );
    }
    let total: usize = counts.values().sum();
    let mapped: usize = counts.iter().filter(|((_, outcome), _)| outcome == "mapped").map(|(_, count)| count).sum();
    println!("{total} messages, {mapped} mapped");
    assert!(unexplained.is_empty(), "{unexplained:#?}");
    assert!(counts.is_empty() || mapped > 500, "{mapped} of {total} were mapped");
}
