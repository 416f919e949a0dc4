//! What the tests share: an enrolment, and a look at every Bundle by the validator of R4.

use sealwort_devices::{DEVICE_SYSTEM, Enrolled, MEASUREMENT_SYSTEM, Measure, to_fhir};
use sealwort_fhir::{Handling, Severity, assign_patients, parse_bundle, validate};
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::macros::datetime;

/// The time of every test.
pub(crate) const NOW: OffsetDateTime = datetime!(2026-11-28 20:00 UTC);

/// A device for all measures, of a patient known by id and by the identifier of the published Bundle.
pub(crate) fn enrolled() -> Enrolled {
    enrolled_for(
        &Measure::ALL,
        &json!({"id": "p1", "identifier": {"system": "urn:oid:2.999.1.2.3.4.5.6.7.8.10", "value": "sisansarahId"}}),
    )
}

pub(crate) fn enrolled_for(measures: &[Measure], patient: &Value) -> Enrolled {
    serde_json::from_value(json!({
        "device": "phg-7",
        "patient": patient,
        "kind": "gateway",
        "manufacturer": "Maker & Sons",
        "model": "M1",
        "serial": "0001",
        "measures": measures,
        "secret_hash": "A".repeat(43),
        "enrolled_at": "2026-01-01T00:00:00Z",
    }))
    .unwrap()
}

/// The Observations of what was mapped, after the whole Bundle was found valid, complete and repeatable.
pub(crate) fn observations(enrolled: &Enrolled, payload: &[u8]) -> Result<Vec<Value>, sealwort_devices::DeviceError> {
    let mapped = to_fhir(enrolled, payload, NOW)?;
    assert_eq!(to_fhir(enrolled, payload, NOW).unwrap().bundle, mapped.bundle, "the same payload, the same Bundle");
    let groups = assign_patients(&parse_bundle(mapped.bundle.clone()).unwrap()).unwrap();
    assert_eq!(groups.len(), 1, "one patient's");
    let bundle: Value = serde_json::from_slice(&mapped.bundle).unwrap();
    let issues = validate(&bundle, Handling::Strict);
    let errors: Vec<_> =
        issues.iter().filter(|issue| matches!(issue.severity(), Severity::Error | Severity::Fatal)).collect();
    assert!(errors.is_empty(), "{errors:?}\n{bundle:#}");
    let entries = bundle["entry"].as_array().unwrap();
    assert_eq!(groups[0].entries.len(), entries.len(), "all of it");
    assert_eq!(entries[0]["request"]["url"], format!("Device?identifier={DEVICE_SYSTEM}|phg-7"));
    let mut found = Vec::new();
    for entry in entries {
        let kind = entry["resource"]["resourceType"].as_str().unwrap();
        assert!(matches!(kind, "Device" | "Observation"), "{kind}");
        assert!(entry["resource"].get("id").is_none());
        if kind != "Observation" {
            continue;
        }
        assert_eq!(entry["request"]["method"], "POST");
        let search = entry["request"]["ifNoneExist"].as_str().unwrap();
        assert!(search.starts_with(&format!("identifier={MEASUREMENT_SYSTEM}|phg-7/")), "{search}");
        assert!(search.is_ascii() && !search.contains([' ', '&', '#', '?']), "{search}");
        found.push(entry["resource"].clone());
    }
    assert_eq!(found.len(), mapped.measurements);
    Ok(found)
}

/// The examples of the crate's documentation.
pub(crate) fn documented() -> Vec<String> {
    let lines = include_str!("../../src/lib.rs").lines().filter_map(|line| line.strip_prefix("//!"));
    let text = lines.collect::<Vec<_>>().join("\n");
    let blocks = text.split("```json").skip(1).filter_map(|rest| rest.split("```").next());
    let examples: Vec<String> = blocks.map(|block| block.trim().to_owned()).collect();
    assert_eq!(examples.len(), 6);
    examples
}
