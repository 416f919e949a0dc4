//! The gateway's FHIR face as an EHR meets it: create, read, update, delete, the searches, and every refusal as
//! an OperationOutcome that names the place.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod support;

use serde_json::Value;
use support::{Answer, Party, World};

const PATIENT: &str = r#"{"resourceType":"Patient","id":"face-1", "identifier":[{"system":"urn:test","value":"face 1"}],"name":[{"family":"Ångström"}]}"#;
/// Odd spacing and a trailing zero, so that only the very bytes compare equal.
const WEIGHT: &str = r#"{"resourceType":"Observation", "id":"weight-1","status":"final","code":{"text":"weight"},"subject":{"reference":"Patient/face-1"},"valueQuantity":{"value":71.10,"unit":"kg"}}"#;

fn ask(world: &World, method: &str, path: &str, body: &str) -> Answer {
    world.request(Party::HospitalA, method, path, body.as_bytes()).unwrap()
}

/// The outcome of a refusal: status, stable code and the first place.
fn refused(answer: &Answer) -> (u16, String, String) {
    let outcome: Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(outcome["resourceType"], "OperationOutcome", "{outcome}");
    let issue = &outcome["issue"][0];
    assert!(issue["details"]["text"].as_str().is_some_and(|text| !text.is_empty()), "{outcome}");
    let place = issue["expression"][0].as_str().unwrap_or_default().to_owned();
    (answer.status, issue["details"]["coding"][0]["code"].as_str().unwrap().to_owned(), place)
}

#[test]
fn an_ehr_creates_reads_updates_deletes_and_searches() {
    let world = World::start();
    let created = ask(&world, "POST", "/fhir/Patient", PATIENT);
    assert_eq!(created.status, 201, "{}", String::from_utf8_lossy(&created.body));
    assert_eq!(ask(&world, "POST", "/fhir/Observation", WEIGHT).status, 201);

    // The bytes received are the bytes returned.
    let read = ask(&world, "GET", "/fhir/Observation/weight-1", "");
    assert_eq!((read.status, read.body.as_slice()), (200, WEIGHT.as_bytes()));
    assert_eq!(ask(&world, "GET", "/fhir/Patient/face-1", "").body, PATIENT.as_bytes());

    let heavier = WEIGHT.replace("71.10", "72.00");
    let updated = ask(&world, "PUT", "/fhir/Observation/weight-1", &heavier);
    assert_eq!(updated.status, 200, "{}", String::from_utf8_lossy(&updated.body));
    assert_eq!(ask(&world, "GET", "/fhir/Observation/weight-1", "").body, heavier.as_bytes());

    let total = |path: &str| {
        let found: Value = serde_json::from_slice(&ask(&world, "GET", path, "").body).unwrap();
        assert_eq!(found["type"], "searchset", "{found}");
        found["total"].as_u64().unwrap()
    };
    assert_eq!(total("/fhir/Patient?identifier=urn:test%7Cface%201"), 1);
    assert_eq!(total("/fhir/Patient?identifier=urn:test%7Cnobody"), 0);
    assert_eq!(total("/fhir/Observation?patient=face-1"), 1);
    assert_eq!(total("/fhir/Observation?subject=Patient/face-1"), 1);
    assert_eq!(total("/fhir/Condition?patient=face-1"), 0);
    assert_eq!(total("/fhir/Patient/face-1/$everything"), 2);

    assert_eq!(ask(&world, "DELETE", "/fhir/Observation/weight-1", "").status, 204);
    assert_eq!(refused(&ask(&world, "GET", "/fhir/Observation/weight-1", "")).0, 410);
    assert_eq!(total("/fhir/Observation?patient=face-1"), 0);

    let metadata: Value = serde_json::from_slice(&ask(&world, "GET", "/fhir/metadata", "").body).unwrap();
    assert_eq!((&metadata["resourceType"], &metadata["fhirVersion"]), (&"CapabilityStatement".into(), &"4.0.1".into()));

    let with_nobody = WEIGHT.replace("Patient/face-1", "Patient/nobody");
    let two_ids = PATIENT.replace("\"id\":\"face-1\"", "\"id\":\"face-1\",\"id\":\"face-2\"");
    let batch =
        r#"{"resourceType":"Bundle","type":"batch","entry":[{"request":{"method":"GET","url":"Patient/face-1"}}]}"#;
    let cases: [(&str, &str, &str, (u16, &str, &str)); 9] = [
        ("GET", "/fhir/Patient/nobody", "", (404, "resource-unknown", "")),
        ("GET", "/fhir/Paitent/face-1", "", (404, "type-unknown", "")),
        ("GET", "/fhir/Observation?code=1", "", (400, "search-unsupported", "")),
        ("POST", "/fhir/Observation", &with_nobody, (404, "patient-unknown", "Observation.subject")),
        ("POST", "/fhir/Condition", WEIGHT, (400, "type-differs", "resourceType")),
        ("PUT", "/fhir/Observation/other", WEIGHT, (400, "id-differs", "Observation.id")),
        ("POST", "/fhir", batch, (422, "method-unsupported", "Bundle.entry[0].request")),
        ("POST", "/fhir/Patient", &two_ids, (400, "", "")),
        ("POST", "/fhir", "{\"resourceType\":\"Bundle\"", (400, "", "")),
    ];
    for (method, path, body, (status, code, place)) in cases {
        let told = refused(&ask(&world, method, path, body));
        assert_eq!(told.0, status, "{method} {path}: {told:?}");
        assert!(code.is_empty() || told.1 == code, "{method} {path}: {told:?}");
        assert!(place.is_empty() || told.2.starts_with(place), "{method} {path}: {told:?}");
    }
}
