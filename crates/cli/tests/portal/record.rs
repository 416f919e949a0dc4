//! A patient's record with something for every page.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::support::SYSTEM;

pub(crate) const LETTER: &str = "Dear colleague, thank you for sending Ada to me.";
const LOINC: &str = "http://loinc.org";

fn put(resource: &Value) -> Value {
    let url = format!("{}/{}", resource["resourceType"].as_str().unwrap(), resource["id"].as_str().unwrap());
    json!({"fullUrl": format!("https://example.org/{url}"), "resource": resource, "request": {"method": "PUT", "url": url}})
}

pub(crate) fn transaction(resources: &[Value]) -> Value {
    let entries: Vec<Value> = resources.iter().map(put).collect();
    json!({"resourceType": "Bundle", "type": "transaction", "entry": entries})
}

fn subject() -> Value {
    json!({"reference": "Patient/p1"})
}

fn vital(id: &str, code: &str, date: &str, value: f64, unit: &str) -> Value {
    json!({
        "resourceType": "Observation", "id": id, "status": "final", "subject": subject(),
        "category": [{"coding": [{"system": "http://terminology.hl7.org/CodeSystem/observation-category", "code": "vital-signs"}]}],
        "code": {"coding": [{"system": LOINC, "code": code}]}, "effectiveDateTime": date,
        "valueQuantity": {"value": value, "unit": unit, "system": "http://unitsofmeasure.org", "code": unit},
        "performer": [{"display": "Nurse Joy"}],
    })
}

fn pressure(id: &str, date: &str, upper: u32, lower: u32) -> Value {
    let part = |code: &str, value: u32, low: u32, high: u32| {
        let quantity = |value: u32| json!({"value": value, "unit": "mmHg", "system": "http://unitsofmeasure.org", "code": "mm[Hg]"});
        json!({
            "code": {"coding": [{"system": LOINC, "code": code}]}, "valueQuantity": quantity(value),
            "referenceRange": [{"low": quantity(low), "high": quantity(high)}],
        })
    };
    let mut one = vital(id, "85354-9", date, 0.0, "x");
    let members = one.as_object_mut().unwrap();
    members.remove("valueQuantity");
    members.insert("component".into(), json!([part("8480-6", upper, 90, 140), part("8462-4", lower, 60, 90)]));
    members.insert("encounter".into(), json!({"reference": "Encounter/visit"}));
    one
}

fn status(system: &str, code: &str) -> Value {
    json!({"coding": [{"system": format!("http://terminology.hl7.org/CodeSystem/{system}"), "code": code}]})
}

pub(crate) fn bundle() -> Value {
    let condition = |id: &str, name: &str, clinical: &str| {
        json!({
            "resourceType": "Condition", "id": id, "subject": subject(), "clinicalStatus": status("condition-clinical", clinical),
            "code": {"coding": [{"system": "http://snomed.info/sct", "code": "195967001", "display": name}]},
            "onsetDateTime": "2019-03",
        })
    };
    let mut pulse = vital("pulse-2", "8867-4", "2026-05-04T09:30:00+02:00", 64.0, "/min");
    pulse["referenceRange"] = json!([{"low": {"value": 60, "unit": "/min"}, "high": {"value": 100, "unit": "/min"}}]);
    pulse["encounter"] = json!({"reference": "Encounter/visit"});
    let mut wrong = vital("wrong", "8310-5", "2026-05-05", 99.0, "Cel");
    wrong["status"] = json!("entered-in-error");
    wrong["code"]["text"] = json!("written by mistake");
    transaction(&[
        json!({
            "resourceType": "Patient", "id": "p1", "identifier": [{"system": SYSTEM, "value": "1"}],
            "name": [{"family": "Beispiel", "given": ["Ada"]}], "birthDate": "1961-02-03", "gender": "female",
        }),
        json!({
            "resourceType": "Encounter", "id": "visit", "status": "finished", "subject": subject(),
            "class": {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "AMB"},
            "type": [{"text": "Check-up at the practice"}], "period": {"start": "2026-05-04T09:00:00+02:00"},
            "serviceProvider": {"display": "Practice on the square"},
        }),
        pressure("pressure-1", "2026-02-01", 128, 84),
        pressure("pressure-2", "2026-05-04T09:20:00+02:00", 142, 91),
        vital("pulse-1", "8867-4", "2026-02-01", 70.0, "/min"),
        pulse,
        vital("weight-1", "29463-7", "2026-02-01", 71.5, "kg"),
        vital("weight-2", "29463-7", "2026-05-04", 70.0, "kg"),
        vital("height", "8302-2", "2026-02-01", 168.0, "cm"),
        wrong,
        json!({
            "resourceType": "Observation", "id": "sugar", "status": "final", "subject": subject(), "effectiveDateTime": "2026-05-04",
            "category": [{"coding": [{"system": "http://terminology.hl7.org/CodeSystem/observation-category", "code": "laboratory"}]}],
            "code": {"coding": [{"system": LOINC, "code": "4548-4"}]},
            "valueQuantity": {"value": 5.4, "unit": "%", "system": "http://unitsofmeasure.org", "code": "%"},
        }),
        condition("asthma", "Asthma (disorder)", "active"),
        condition("fracture", "Old fracture (disorder)", "resolved"),
        json!({
            "resourceType": "AllergyIntolerance", "id": "peanuts", "patient": subject(),
            "clinicalStatus": status("allergyintolerance-clinical", "active"), "code": {"text": "Peanuts"},
            "reaction": [{"manifestation": [{"text": "Hives"}]}],
        }),
        json!({
            "resourceType": "MedicationRequest", "id": "ibuprofen", "status": "active", "intent": "order", "subject": subject(),
            "medicationCodeableConcept": {"text": "Ibuprofen"}, "authoredOn": "2026-05-04",
            "dosageInstruction": [{"text": "one in the morning"}], "requester": {"display": "Dr Bell"},
        }),
        json!({
            "resourceType": "Immunization", "id": "tetanus", "status": "completed", "patient": subject(),
            "vaccineCode": {"text": "Tetanus"}, "occurrenceDateTime": "2021-06",
        }),
        json!({
            "resourceType": "Device", "id": "hip", "status": "active", "patient": subject(),
            "deviceName": [{"name": "Hip implant", "type": "user-friendly-name"}],
        }),
        json!({
            "resourceType": "DocumentReference", "id": "letter", "status": "current", "subject": subject(),
            "date": "2026-05-06T08:00:00Z", "description": "Letter from the specialist",
            "content": [{"attachment": {"contentType": "text/plain", "data": STANDARD.encode(LETTER)}}],
        }),
    ])
}

/// Something confidential.
pub(crate) fn labelled() -> Value {
    transaction(&[json!({
        "resourceType": "DocumentReference", "id": "notes", "status": "current", "subject": subject(),
        "meta": {"security": [{"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "PSY"}]},
        "date": "2026-03-01T08:00:00Z", "description": "Therapy notes",
        "content": [{"attachment": {"contentType": "text/plain", "data": STANDARD.encode("…")}}],
    })])
}

/// A Consent that lets a hospital read everything.
pub(crate) fn consent(hospital: &str) -> Value {
    let concept = |system: &str, code: &str| json!({"coding": [{"system": system, "code": code}]});
    transaction(&[json!({
        "resourceType": "Consent", "id": "document", "status": "active", "patient": subject(), "dateTime": "2026-06-01",
        "meta": {"profile": ["https://profiles.ihe.net/ITI/PCF/StructureDefinition/IHE.PCF.consentAdvanced"]},
        "scope": concept("http://terminology.hl7.org/CodeSystem/consentscope", "patient-privacy"),
        "category": [concept("http://loinc.org", "59284-0")], "policy": [{"uri": "https://hospital.example/policy"}],
        "provision": {
            "type": "permit",
            "actor": [{
                "role": concept("http://terminology.hl7.org/CodeSystem/v3-ParticipationType", "IRCP"),
                "reference": {"identifier": {"system": "urn:ietf:rfc:3986", "value": hospital}},
            }],
            "action": [concept("http://terminology.hl7.org/CodeSystem/consentaction", "access")],
            "purpose": [{"system": "http://terminology.hl7.org/CodeSystem/v3-ActReason", "code": "TREAT"}],
        },
    })])
}
