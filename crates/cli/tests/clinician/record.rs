//! Records that hospital A stores, for the clinician's view at hospital B.

use serde_json::{Value, json};

use crate::support::SYSTEM;
use crate::support::patient::transaction;

/// Sensitive matter, which patients do not share; its words must never show at B.
pub(crate) const SECRET: &str = "Viral load of something nobody is to know";

fn person(number: usize, given: &str, family: &str, born: &str) -> Value {
    json!({"resourceType": "Patient", "id": format!("p{number}"), "gender": "female", "birthDate": born,
        "identifier": [{"system": SYSTEM, "value": number.to_string()}], "name": [{"family": family, "given": [given]}]})
}

fn of(patient: usize, kind: &str, id: &str, more: &Value) -> Value {
    let whose = if kind == "AllergyIntolerance" { "patient" } else { "subject" };
    let mut one = json!({"resourceType": kind, "id": format!("p{patient}-{id}"), whose: {"reference": format!("Patient/p{patient}")}});
    for (name, value) in more.as_object().unwrap() {
        one[name] = value.clone();
    }
    one
}

/// So many days ago, as FHIR writes a day.
fn ago(days: u64) -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let at = time::OffsetDateTime::from_unix_timestamp(i64::try_from(now - days * 86_400).unwrap()).unwrap();
    at.date().to_string()
}

fn clinical(code: &str) -> Value {
    json!({"coding": [{"system": "http://terminology.hl7.org/CodeSystem/condition-clinical", "code": code}]})
}

fn of_allergy(code: &str) -> Value {
    json!({"coding": [{"system": "http://terminology.hl7.org/CodeSystem/allergyintolerance-clinical", "code": code}]})
}

/// A patient whose record has something in every part of the view.
pub(crate) fn record() -> Value {
    let laboratory = json!([{"coding": [{"system": "http://terminology.hl7.org/CodeSystem/observation-category", "code": "laboratory"}]}]);
    let vital = json!([{"coding": [{"system": "http://terminology.hl7.org/CodeSystem/observation-category", "code": "vital-signs"}]}]);
    let loinc =
        |code: &str, text: &str| json!({"coding": [{"system": "http://loinc.org", "code": code}], "text": text});
    let mut resources = vec![
        person(1, "Ada", "Example", "1970-05-12"),
        of(
            1,
            "AllergyIntolerance",
            "penicillin",
            &json!({"clinicalStatus": of_allergy("active"), "criticality": "high",
            "code": {"text": "Penicillin"}, "reaction": [{"manifestation": [{"text": "Hives"}]}]}),
        ),
        of(
            1,
            "Condition",
            "asthma",
            &json!({"clinicalStatus": clinical("active"), "code": {"text": "Asthma"},
            "onsetDateTime": "1999-03", "recorder": {"display": "Dr. Grey"}}),
        ),
        of(
            1,
            "Condition",
            "mistake",
            &json!({"code": {"text": "entered in error by somebody"}, "verificationStatus":
            {"coding": [{"system": "http://terminology.hl7.org/CodeSystem/condition-ver-status", "code": "entered-in-error"}]}}),
        ),
        of(
            1,
            "MedicationStatement",
            "salbutamol",
            &json!({"status": "active", "effectiveDateTime": "2026-01-10",
            "medicationCodeableConcept": {"text": "Salbutamol inhaler"}, "dosage": [{"text": "two puffs when needed"}]}),
        ),
        of(
            1,
            "Encounter",
            "visit",
            &json!({"status": "finished", "period": {"start": ago(40)},
            "class": {"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "AMB"}}),
        ),
        of(
            1,
            "Observation",
            "group",
            &json!({"status": "final", "code": {"text": "Blood group"}, "category": laboratory,
            "effectiveDateTime": ago(2000), "valueString": "A positive"}),
        ),
        secret(1),
    ];
    // Two orders of one medicine, both of which hold.
    for dose in ["10 mg in the morning", "20 mg in the evening"] {
        let id = format!("order-{}", &dose[..2]);
        resources.push(of(1, "MedicationRequest", &id, &json!({
            "status": "active", "intent": "order", "authoredOn": "2026-02-01", "dosageInstruction": [{"text": dose}],
            "medicationCodeableConcept": {"coding": [{"system": "http://www.nlm.nih.gov/research/umls/rxnorm", "code": "314076"}],
                "text": "Lisinopril"},
        })));
    }
    for (number, value) in [4.1, 4.4, 4.0, 4.7, 5.0, 6.2].into_iter().enumerate() {
        let days = 330 - u64::try_from(number).unwrap() * 60;
        resources.push(of(1, "Observation", &format!("potassium-{number}"), &json!({
            "status": "final", "code": loinc("2823-3", "Potassium"), "category": laboratory, "effectiveDateTime": ago(days),
            "valueQuantity": {"value": value, "unit": "mmol/L", "system": "http://unitsofmeasure.org", "code": "mmol/L"},
            "referenceRange": [{"low": {"value": 3.5, "unit": "mmol/L"}, "high": {"value": 5.1, "unit": "mmol/L"}}],
        })));
        let part = |code: &str, value: usize| json!({"code": loinc(code, "part"), "valueQuantity": {"value": value, "unit": "mmHg"}});
        resources.push(of(1, "Observation", &format!("pressure-{number}"), &json!({
            "status": "final", "code": loinc("85354-9", "Blood pressure"), "category": vital, "effectiveDateTime": ago(days),
            "component": [part("8480-6", 120 + number * 3), part("8462-4", 78 + number)],
        })));
        resources.push(of(1, "Observation", &format!("weight-{number}"), &json!({
            "status": "final", "code": loinc("29463-7", "Body weight"), "category": vital, "effectiveDateTime": ago(days),
            "valueQuantity": {"value": 70 + number, "unit": "kg", "system": "http://unitsofmeasure.org", "code": "kg"},
        })));
    }
    transaction(&resources)
}

/// A patient who shares nothing with B but in an emergency.
pub(crate) fn closed() -> Value {
    let latex = json!({"clinicalStatus": of_allergy("active"), "code": {"text": "Latex"}});
    transaction(&[person(2, "Cleo", "Closed", "1988-01-02"), of(2, "AllergyIntolerance", "latex", &latex), secret(2)])
}

/// A patient without an entry about allergies among what B may see.
pub(crate) fn half_open() -> Value {
    transaction(&[person(5, "Eve", "Half", "1955-05-05"), secret(5)])
}

fn secret(patient: usize) -> Value {
    let secret = json!({"status": "final", "code": {"text": SECRET}, "effectiveDateTime": ago(20),
        "meta": {"security": [{"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": "HIV"}]}});
    of(patient, "Observation", "secret", &secret)
}

/// A patient without an entry about allergies.
pub(crate) fn nobody_asked() -> Value {
    transaction(&[person(3, "Bea", "Example", "1990-02-03")])
}

/// A patient of whom somebody noted that no allergy is known.
pub(crate) fn none_known() -> Value {
    let none = json!({"recordedDate": "2026-05-04", "clinicalStatus": of_allergy("active"), "code": {"text": "No known allergies",
        "coding": [{"system": "http://hl7.org/fhir/uv/ips/CodeSystem/absent-unknown-uv-ips", "code": "no-known-allergies"}]}});
    transaction(&[person(4, "Dora", "Denied", "1960-06-07"), of(4, "AllergyIntolerance", "none", &none)])
}
