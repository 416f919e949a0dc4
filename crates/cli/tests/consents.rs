//! Consents in FHIR at a running exchange: what is stored at the consent authority is what another hospital meets.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use std::collections::BTreeMap;

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
        ("sections by class", &|| sections_by_class(&a, &b)),
        ("explained, and what would change if", &|| explained(&world, &a, &b)),
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
    let problem = json!({"resourceType": "Condition", "id": "problem", "subject": {"reference": "Patient/consents"},
        "code": {"text": "a problem"}});
    let entries = [patient, observation("plain", normal), observation("mind", psychiatry), problem].map(|resource| {
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

/// A Consent for a section opens that section and no other; one that cannot be kept apart is refused.
fn sections_by_class(a: &Client, b: &Client) {
    let class = |system: &str, code: &str| json!([{"system": system, "code": code}]);
    let section = |code: &str| class("https://sealwort.example/fhir/CodeSystem/section", code);
    let kind = |code: &str| class("http://hl7.org/fhir/resource-types", code);
    // By id: a chain to an identifier would need the Patient.
    let found = |kind: &str| b.get(&format!("/fhir/{kind}?patient=consents")).with(200).names();
    let mut results = treatment("N");
    results["class"] = section("results");
    put(a, &consent("sections", &results)).with(201);
    assert_eq!(found("Observation"), ["Observation/plain"]);
    assert!(found("Condition").is_empty() && b.get(PATIENT).with(200).names().is_empty());
    let mut but = treatment("N");
    but["provision"] = json!([{"type": "deny", "class": kind("Condition")}]);
    put(a, &consent("sections", &but)).with(200);
    assert_eq!(found("Observation"), ["Observation/plain"]);
    assert!(found("Condition").is_empty() && b.get(PATIENT).with(200).names() == ["Patient/consents"]);
    results["class"] = kind("Condition");
    let refused = put(a, &consent("sections", &results)).with(422).text();
    assert!(refused.contains("Consent.provision.class[0]") && refused.contains("problems"), "{refused}");
    a.send("DELETE", "/fhir/Consent/sections", &[], "").with(204);

    let change = |change: &str, labels: Value| {
        let body = json!({"patient": "urn:consents|1", "to": "hospital-b", "labels": labels});
        a.send("POST", &format!("/consent/{change}"), &[], body.to_string()).with(200);
    };
    change("grant", json!(["general"]));
    change("withdraw", json!(["results", "administrative"]));
    assert!(found("Observation").is_empty() && found("Condition") == ["Condition/problem"]);
    change("withdraw", json!(["general"]));
    assert_eq!(b.get("/fhir/Condition?patient=consents").refusal().0, 403);
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

/// Rows of an explanation by label: permitted, until when, and the sentences that say so.
fn answers(explained: &Value, member: &str) -> BTreeMap<String, (bool, Vec<String>)> {
    let texts = |answer: &Value| -> Vec<String> {
        let sentences = answer["because"].as_array().unwrap();
        sentences.iter().map(|sentence| sentence["text"].as_str().unwrap().to_owned()).collect()
    };
    let mut answers = BTreeMap::new();
    for row in explained["rows"].as_array().unwrap() {
        let Some(answer) = row.get(member) else { continue };
        for label in row["labels"].as_array().unwrap() {
            let permitted = answer["permitted"].as_bool().unwrap();
            answers.insert(label.as_str().unwrap().to_owned(), (permitted, texts(answer)));
        }
    }
    answers
}

fn explained(world: &World, a: &Client, b: &Client) {
    let mut rules = treatment("R");
    rules["provision"] = json!([{"type": "deny", "securityLabel": [
        {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "PSY"}]}]);
    put(a, &consent("explained", &rules)).with(201);
    let days = json!({"patient": "urn:consents|1", "to": "hospital-b", "labels": ["psychiatry"],
        "purposes": ["HRESCH"], "days": 10});
    a.send("POST", "/consent/grant", &[], days.to_string()).with(200);
    let ask = |at: &Client, more: Value| {
        let mut body = json!({"patient": "urn:consents|1", "hospitals": ["hospital-b"], "purposes": ["TREAT"]});
        body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        at.send("POST", "/consent/explain", &[], body.to_string())
    };
    let says = |text: &str| vec![format!("Consent/explained, {text}")];

    // By the sentence that decides, and as B meets it.
    let now = ask(a, json!({})).with(200).json();
    assert_eq!((&now["authority"], now.get("new_epoch")), (&json!(true), None));
    let found = answers(&now, "answer");
    assert_eq!(found["psychiatry"], (false, says("Consent.provision.provision[0]")));
    assert_eq!(found["hiv"], (true, says("Consent.provision")));
    let plain = ask(a, json!({"resource": "Observation/plain"})).with(200).json();
    assert!(answers(&plain, "answer").values().all(|found| *found == (true, says("Consent.provision"))), "{plain}");
    let mind = ask(a, json!({"resource": "Observation/mind"})).with(200).json();
    assert_eq!(answers(&mind, "answer"), BTreeMap::from([("psychiatry".into(), found["psychiatry"].clone())]));
    b.get("/fhir/Observation/plain").with(200);
    b.get("/fhir/Observation/mind").with(404);
    let research = ask(a, json!({"purposes": ["HRESCH"]})).with(200).json();
    let found = answers(&research, "answer");
    assert!(found["psychiatry"].0 && found["psychiatry"].1[0].contains("grant"), "{research}");
    assert_eq!(found["hiv"], (false, vec![]));
    let until = research["rows"].as_array().unwrap().iter().find_map(|row| row["answer"]["until"].as_u64()).unwrap();
    let later = ask(a, json!({"purposes": ["HRESCH"], "labels": ["psychiatry"], "at": until})).with(200).json();
    assert_eq!(later["rows"][0]["answer"]["missing"], "consent-ended", "{later}");

    // What if: worked out, and nothing is changed.
    let mut inactive = consent("explained", &rules);
    inactive["status"] = json!("inactive");
    let then = ask(a, json!({"proposed": [{"consent": inactive}]})).with(200).json();
    assert_eq!(then["new_epoch"], true);
    let changed = answers(&then, "proposed");
    assert_eq!(changed["hiv"], (false, vec![]), "{then}");
    // Denied before and after, and then by no sentence.
    assert_eq!(changed["psychiatry"], (false, vec![]), "{then}");
    b.get("/fhir/Observation/plain").with(200);
    assert_eq!(answers(&ask(a, json!({})).with(200).json(), "answer"), answers(&now, "answer"));
    let taken = json!({"withdraw": {"patient": "urn:consents|1", "to": "hospital-b"}});
    assert_eq!(ask(a, json!({"proposed": [taken]})).code(), "consent-in-force");
    let stranger = json!({"grant": {"patient": "urn:consents|2", "to": "hospital-b"}});
    assert_eq!(ask(a, json!({"proposed": [stranger]})).code(), "proposal-invalid");

    // The other hospital knows the directive, not the Consents behind it.
    let elsewhere = ask(b, json!({})).with(200).json();
    assert_eq!(elsewhere["authority"], false);
    assert!(answers(&elsewhere, "answer")["hiv"].1[0].starts_with("grant"), "{elsewhere}");
    let proposed = json!({"proposed": [{"consent": consent("explained", &rules)}]});
    assert_eq!(ask(b, proposed).code(), "authority-elsewhere");

    // The same as a FHIR operation, and on the command line.
    let url = "/fhir/Patient/consents/$consent-explain?hospital=hospital-b&purpose=TREAT&label=psychiatry";
    let operation = a.get(url).with(200).text();
    assert!(operation.contains("Consent.provision.provision[0]") && operation.contains("Consent/explained"));
    let proposed = json!({"resourceType": "Parameters", "parameter": [
        {"name": "hospital", "valueString": "hospital-b"}, {"name": "purpose", "valueCode": "TREAT"},
        {"name": "label", "valueCode": "hiv"}, {"name": "proposed", "resource": inactive}]});
    let operation = a.send("POST", "/fhir/Patient/consents/$consent-explain", &[], proposed.to_string()).with(200);
    assert_eq!(operation.json()["parameter"][4], json!({"name": "new-epoch", "valueBoolean": true}));
    let line = ["consent", "explain", "urn:consents|1", "--hospital", "hospital-b", "--purpose", "HPAYMT"];
    let told = world.run_at(Party::HospitalA, &line);
    assert!(String::from_utf8_lossy(&told.stdout).contains("no sentence: consent-purpose-not-granted"), "{told:?}");
    let told = world.run_at(Party::HospitalA, &[&line[..], &["--label", "hiv", "--if-grant", "hospital-b"]].concat());
    let told = String::from_utf8_lossy(&told.stdout).into_owned();
    let row: Vec<&str> = told.lines().nth(1).unwrap().split_whitespace().collect();
    assert!(row.contains(&"deny") && row.contains(&"permit") && row.contains(&"hiv"), "{told}");
    a.send("DELETE", "/fhir/Consent/explained", &[], "").with(204);
}
