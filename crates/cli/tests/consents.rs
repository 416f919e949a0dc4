//! Consents in FHIR at a running exchange: what is stored at the consent authority is what another hospital meets.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use serde_json::{Value, json};
use support::{Client, Party, World, parts};

const PATIENT: &str = "/fhir/Patient?identifier=urn:consents%7C1";

#[test]
fn consents_are_enforced_where_they_are_stored() {
    let world = World::start();
    let (a, b) = (world.client(Party::HospitalA), world.client(Party::HospitalB));
    a.send("POST", "/fhir", &[], record().to_string()).with(200);
    parts(&[
        ("stored, narrowed and withdrawn", &|| stored_narrowed_and_withdrawn(&a, &b)),
        ("a denial goes before a grant", &|| a_denial_goes_before_a_grant(&world, &a, &b)),
        ("what keys cannot enforce is refused", &|| refused(&a)),
    ]);
}

/// A patient with an ordinary observation and one of psychiatry.
fn record() -> Value {
    let observation = |id: &str, security: Value| {
        json!({
            "resourceType": "Observation", "id": id, "status": "final", "meta": {"security": security},
            "code": {"coding": [{"system": "http://loinc.org", "code": "8867-4"}]},
            "subject": {"reference": "Patient/consents"},
        })
    };
    let psychiatry = json!([{"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "PSY"}]);
    let normal = json!([{"system": "http://terminology.hl7.org/CodeSystem/v3-Confidentiality", "code": "N"}]);
    let patient = json!({
        "resourceType": "Patient", "id": "consents", "identifier": [{"system": "urn:consents", "value": "1"}],
        "name": [{"family": "Consents"}],
    });
    let entries = [patient, observation("plain", normal), observation("mind", psychiatry)].map(|resource| {
        let url = format!("{}/{}", resource["resourceType"].as_str().unwrap(), resource["id"].as_str().unwrap());
        json!({"resource": resource, "request": {"method": "PUT", "url": url}})
    });
    json!({"resourceType": "Bundle", "type": "transaction", "entry": entries})
}

fn consent(id: &str, provision: &Value) -> Value {
    let concept = |system: &str, code: &str| json!({"coding": [{"system": system, "code": code}]});
    json!({
        "resourceType": "Consent", "id": id, "status": "active",
        "meta": {"profile": ["https://profiles.ihe.net/ITI/PCF/StructureDefinition/IHE.PCF.consentAdvanced"]},
        "scope": concept("http://terminology.hl7.org/CodeSystem/consentscope", "patient-privacy"),
        "category": [concept("http://loinc.org", "59284-0")],
        "patient": {"reference": "Patient/consents"}, "dateTime": "2026-01-01",
        "policy": [{"uri": "https://hospital.example/policy"}], "provision": provision,
    })
}

fn put(at: &Client, consent: &Value) -> support::Answer {
    at.send("PUT", &format!("/fhir/Consent/{}", consent["id"].as_str().unwrap()), &[], consent.to_string())
}

fn treatment(label: &str) -> Value {
    let system = match label {
        "N" | "R" => "http://terminology.hl7.org/CodeSystem/v3-Confidentiality",
        _ => "http://terminology.hl7.org/CodeSystem/v3-ActCode",
    };
    json!({
        "type": "permit",
        "actor": [{
            "role": {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/v3-ParticipationType", "code": "IRCP"}]},
            "reference": {"identifier": {"system": "urn:ietf:rfc:3986", "value": "sealwort://test/gateway/hospital-b"}},
        }],
        "purpose": [{"system": "http://terminology.hl7.org/CodeSystem/v3-ActReason", "code": "TREAT"}],
        "securityLabel": [{"system": system, "code": label}],
    })
}

fn stored_narrowed_and_withdrawn(a: &Client, b: &Client) {
    assert_eq!(b.get(PATIENT).refusal().0, 403, "before");
    let seen = || b.get("/fhir/Observation?patient.identifier=urn:consents%7C1").with(200).names();
    put(a, &consent("treat", &treatment("R"))).with(201);
    b.get(PATIENT).with(200);
    assert_eq!(seen(), ["Observation/plain", "Observation/mind"]);
    // Narrowed: the label's key is not handed out any more.
    put(a, &consent("treat", &treatment("N"))).with(200);
    assert_eq!(seen(), ["Observation/plain"]);
    b.get("/fhir/Observation/mind").with(404);
    let mut inactive = consent("treat", &treatment("N"));
    inactive["status"] = json!("inactive");
    put(a, &inactive).with(200);
    assert_eq!(b.get(PATIENT).refusal().0, 403, "inactive");
    put(a, &consent("treat", &treatment("N"))).with(200);
    assert_eq!(seen(), ["Observation/plain"]);
    a.send("DELETE", "/fhir/Consent/treat", &[], "").with(204);
    assert_eq!(b.get(PATIENT).refusal().0, 403, "deleted");
}

fn a_denial_goes_before_a_grant(world: &World, a: &Client, b: &Client) {
    world.consent(Party::HospitalA, "grant", "urn:consents|1", Party::HospitalB).unwrap().done();
    b.get(PATIENT).with(200);
    put(a, &consent("dissent", &json!({"type": "deny"}))).with(201);
    assert_eq!(b.get(PATIENT).refusal().0, 403, "denied");
    // The hospital that keeps the consent goes on with its own record, the Consent included.
    a.get("/fhir/Observation/mind").with(200);
    world.consent(Party::HospitalA, "grant", "urn:consents|1", Party::HospitalB).unwrap().done();
    assert_eq!(b.get(PATIENT).refusal().0, 403, "a grant does not help");
    a.send("DELETE", "/fhir/Consent/dissent", &[], "").with(204);
    b.get(PATIENT).with(200);
    // What a Consent permits is taken back by that Consent.
    put(a, &consent("treat-again", &treatment("N"))).with(201);
    let withdrawn = world.consent(Party::HospitalA, "withdraw", "urn:consents|1", Party::HospitalB).unwrap();
    assert_eq!((withdrawn.refusal().0, withdrawn.code().as_str()), (409, "consent-in-force"));
    a.send("DELETE", "/fhir/Consent/treat-again", &[], "").with(204);
    world.consent(Party::HospitalA, "withdraw", "urn:consents|1", Party::HospitalB).unwrap().done();
    assert_eq!(b.get(PATIENT).refusal().0, 403, "withdrawn");
}

fn refused(a: &Client) {
    let mut single = treatment("N");
    single["data"] = json!([{"meaning": "instance", "reference": {"reference": "Observation/plain"}}]);
    let mut elsewhere = treatment("N");
    elsewhere["actor"][0]["reference"]["identifier"]["value"] = json!("sealwort://other/gateway/hospital-b");
    let answer = put(a, &consent("bad", &elsewhere));
    assert_eq!((answer.refusal().0, answer.code().as_str()), (422, "grantee-unknown"));
    let mut stranger = treatment("N");
    stranger["actor"][0]["reference"] = json!({"reference": "Organization/nobody"});
    for (provision, element) in [(single, "Consent.provision.data"), (stranger, "Consent.provision.actor[0]")] {
        let answer = put(a, &consent("bad", &provision)).with(422);
        assert!(answer.text().contains(element), "{}", answer.text());
        a.get("/fhir/Consent/bad").with(404);
    }
}
