//! FHIR from an application (`crates/fhir`): resources, Bundles, newline-delimited JSON, references, search tokens,
//! labels, and whose record each entry goes into. The bytes are kept as they came, and JSON has one reading.

use std::collections::BTreeSet;

use sealwort_fhir::{
    Bundle, FhirError, Reference, Resource, ResourceId, assign_patients, label_of, logical_id, parse_any_bundle,
    parse_bundle, parse_ndjson, parse_token, parse_token_list, partition, patient_identifiers, patient_references,
    references,
};

use crate::input::Input;
use crate::mutation::alter;

/// Reads bytes as the script says: as a resource, a Bundle, lines, a reference or a token.
///
/// # Panics
/// When bytes are not kept, another JSON reader reads something else, or a partition loses or invents an entry.
pub fn fhir(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let how = input.byte();
    let script = if how >= 128 { Input::new(input.bytes()) } else { Input::new(&[]) };
    let content = if script.is_empty() { input.rest().to_vec() } else { alter(input.rest().to_vec(), script, &[]) };
    match how % 4 {
        0 => note(&Resource::parse(content.clone()).map(|read| {
            assert_eq!(read.bytes(), &content);
            resource(&read);
        })),
        1 => {
            note(&parse_any_bundle(content.clone()).map(|read| bundle(&read, &content)));
            let posted = parse_bundle(content.clone());
            note(&posted);
            if let Ok(posted) = posted {
                note(&assign_patients(&posted));
            }
        }
        2 => note(&parse_ndjson(content.clone()).map(|read| read.iter().for_each(resource))),
        _ => {
            let text = String::from_utf8_lossy(&content);
            Reference::parse(&text).target_type();
            let list = parse_token_list(&text);
            let one = parse_token(&text);
            assert_eq!(one.is_ok(), list.as_ref().is_ok_and(|list| list.len() == 1));
            if let Ok(id) = text.parse::<ResourceId>() {
                assert_eq!(id.as_str(), text);
            }
            note(&list);
        }
    }
}

/// A refusal has an answer for the application.
fn note<T>(outcome: &Result<T, FhirError>) {
    if let Err(error) = outcome {
        assert!((400..500).contains(&error.http_status()), "{}", error.http_status());
        let answer = error.outcome().to_bytes();
        serde_json::from_slice::<serde_json::Value>(&answer).expect("an OperationOutcome");
    }
}

fn resource(read: &Resource) {
    let value: serde_json::Value = serde_json::from_slice(read.bytes()).expect("what we read is JSON");
    assert_eq!(read.json().ok().as_ref(), Some(&value));
    assert_eq!(value["resourceType"].as_str(), Some(read.resource_type().as_str()));
    assert_eq!(value.get("id").and_then(|id| id.as_str()), read.id().map(ResourceId::as_str));
    label_of(read);
    patient_identifiers(read);
    patient_references(read);
    let whole = std::str::from_utf8(read.bytes()).expect("JSON is UTF-8");
    assert!(references(read).all(|reference| reference.len() <= whole.len()));
    assert_eq!(read.detached().bytes(), read.bytes());
}

fn bundle(read: &Bundle, content: &[u8]) {
    let value: serde_json::Value = serde_json::from_slice(content).expect("what we read is JSON");
    let entries = value.get("entry").and_then(|entries| entries.as_array()).map_or(0, Vec::len);
    assert_eq!(read.entries().len(), entries);
    for (number, found) in read.resources() {
        resource(found);
        let own: serde_json::Value = serde_json::from_slice(found.bytes()).expect("JSON");
        assert_eq!(value["entry"][number]["resource"], own);
        logical_id(&read.entries()[number]);
        read.label_of(&read.entries()[number]);
    }
    let Ok(parts) = partition(read) else { return };
    let assigned: BTreeSet<usize> = parts.groups.iter().flat_map(|group| group.entries.iter().copied()).collect();
    let with_resource: BTreeSet<usize> = read.resources().map(|(number, _)| number).collect();
    let all: BTreeSet<usize> = assigned.iter().chain(&parts.unassigned).copied().collect();
    assert_eq!(all, with_resource, "an entry was lost or invented");
    assert!(parts.unassigned.iter().all(|number| !assigned.contains(number)), "assigned and not");
    assert!(parts.groups.iter().all(|group| group.entries.is_sorted_by(|a, b| a < b)));
}
