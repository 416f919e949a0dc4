//! What a hospital is shown of a patient by number, and having one erased.

use serde_json::{Value, json};

use super::{Party, World, encode, identifier, until};

pub(crate) fn search(patient: usize) -> String {
    format!("/fhir/Patient?identifier={}", encode(&identifier(patient)))
}

/// Whether a hospital is refused a patient, or shown none; not so where something failed.
pub(crate) fn is_withheld(world: &World, hospital: Party, patient: usize) -> bool {
    let found = world.get(hospital, &search(patient)).unwrap();
    matches!(found.status, 403 | 404 | 410) || found.is_success() && found.json()["entry"][0].is_null()
}

/// Resources of a patient that a hospital is shown; none where it is refused.
pub(crate) fn resources(world: &World, hospital: Party, patient: usize) -> usize {
    let found = world.get(hospital, &search(patient)).unwrap();
    if !found.is_success() {
        return 0;
    }
    let Some(id) = found.json()["entry"][0]["resource"]["id"].as_str().map(str::to_owned) else { return 0 };
    let all = world.get(hospital, &format!("/fhir/Patient/{id}/$everything?_count=500")).unwrap();
    if all.is_success() { all.json()["entry"].as_array().map_or(0, Vec::len) } else { 0 }
}

/// Has hospital A erase a patient; returns once that is certified.
pub(crate) fn erase(world: &World, patient: usize) {
    let administrator = world.token(Party::HospitalA, "root", "administrator");
    let client = world.client_with(Party::HospitalA, Some(administrator));
    let order = |body: Value| client.send("POST", "/erasure", &[], body.to_string()).done().json();
    let dry = order(json!({"patient": identifier(patient)}));
    order(json!({"patient": identifier(patient), "confirm": dry["confirm"]}));
    until(|| (client.get("/erasure").done().json()[0]["certified"] == json!(true)).then_some(()));
}

/// Resources that are put under their own ids, as one transaction.
pub(crate) fn transaction(resources: &[Value]) -> Value {
    let put = |resource: &Value| {
        let url = format!("{}/{}", resource["resourceType"].as_str().unwrap(), resource["id"].as_str().unwrap());
        json!({"fullUrl": format!("https://a.example/{url}"), "resource": resource, "request": {"method": "PUT", "url": url}})
    };
    json!({"resourceType": "Bundle", "type": "transaction", "entry": resources.iter().map(put).collect::<Vec<_>>()})
}
