//! Measurements as FHIR R4 Observations, the Device that took them, and the transaction that carries both. Sending a
//! payload again stores nothing twice: each Observation is created only if none has its identifier.

use std::fmt::Write as _;

use serde_json::{Map, Value, json};

use crate::enrolment::{Enrolled, EnrolledIdentifier};
use crate::measure::{Code, UCUM};
use crate::measurement::{Channel, Content, Measurement};
use crate::moment::When;

/// The namespace of [`crate::DeviceId`] among identifiers of a Device.
pub const DEVICE_SYSTEM: &str = "urn:sealwort:device";
/// The namespace of measurements among identifiers of an Observation: device id, `/`, what the device calls it.
pub const MEASUREMENT_SYSTEM: &str = "urn:sealwort:measurement";

/// How the entries of a transaction call the enrolled device. It names it within one Bundle only; the update is
/// conditional, so nothing is ever stored under it.
pub(crate) const DEVICE_URL: &str = "urn:uuid:5e0c3f3a-7d0b-4a6e-9d35-8f3f1f0c7a11";

/// An entry of the transaction.
pub(crate) struct Entry {
    pub(crate) full_url: Option<String>,
    pub(crate) resource: Value,
    pub(crate) method: &'static str,
    pub(crate) url: String,
    pub(crate) if_none_exist: Option<String>,
}

/// The transaction: the device, then the rest.
pub(crate) fn transaction(enrolled: &Enrolled, entries: Vec<Entry>) -> Vec<u8> {
    let entries: Vec<Value> = std::iter::once(device_entry(enrolled)).chain(entries).map(written).collect();
    json!({"resourceType": "Bundle", "type": "transaction", "entry": entries}).to_string().into_bytes()
}

fn written(entry: Entry) -> Value {
    let mut request = json!({"method": entry.method, "url": entry.url});
    if let Some(search) = entry.if_none_exist {
        put(&mut request, "ifNoneExist", search);
    }
    let mut out = Map::new();
    if let Some(url) = entry.full_url {
        out.insert("fullUrl".to_owned(), url.into());
    }
    out.insert("resource".to_owned(), entry.resource);
    out.insert("request".to_owned(), request);
    Value::Object(out)
}

fn device_entry(enrolled: &Enrolled) -> Entry {
    let written = enrolled.enrolment();
    let mut device = json!({
        "resourceType": "Device",
        "identifier": [{"system": DEVICE_SYSTEM, "value": enrolled.device().as_str()}],
        "status": "active",
    });
    for (member, value) in
        [("manufacturer", &written.manufacturer), ("serialNumber", &written.serial), ("modelNumber", &written.model)]
    {
        if let Some(value) = value {
            put(&mut device, member, value.as_str());
        }
    }
    put(&mut device, "type", json!({"text": written.kind}));
    put(&mut device, "patient", subject(enrolled));
    Entry {
        full_url: Some(DEVICE_URL.to_owned()),
        resource: device,
        method: "PUT",
        url: format!("Device?{}", by_identifier(DEVICE_SYSTEM, enrolled.device().as_str())),
        if_none_exist: None,
    }
}

/// The enrolled patient as the target of a reference: by id, else by a search that the transaction resolves
/// (R4 http.html, "conditional references").
pub(crate) fn subject(enrolled: &Enrolled) -> Value {
    let patient = enrolled.patient();
    let mut subject = json!({});
    match (&patient.id, &patient.identifier) {
        (Some(id), _) => put(&mut subject, "reference", format!("Patient/{id}")),
        (None, Some(EnrolledIdentifier { system, value })) => {
            put(&mut subject, "reference", format!("Patient?{}", by_identifier(system, value)));
        }
        (None, None) => {}
    }
    put(&mut subject, "type", "Patient");
    if let Some(EnrolledIdentifier { system, value }) = &patient.identifier {
        put(&mut subject, "identifier", json!({"system": system, "value": value}));
    }
    subject
}

/// The identifier of what a device calls `identity`.
pub(crate) fn measurement_value(enrolled: &Enrolled, identity: &str) -> String {
    format!("{}/{identity}", enrolled.device())
}

/// The entry of a measurement that came in a format other than FHIR.
pub(crate) fn entry(enrolled: &Enrolled, measurement: &Measurement) -> Entry {
    let value = measurement_value(enrolled, &measurement.identity);
    Entry {
        full_url: None,
        resource: observation(enrolled, measurement, &value),
        method: "POST",
        url: "Observation".to_owned(),
        if_none_exist: Some(by_identifier(MEASUREMENT_SYSTEM, &value)),
    }
}

fn observation(enrolled: &Enrolled, measurement: &Measurement, identifier: &str) -> Value {
    let (category, category_name) = measurement.measure.category();
    let mut out = json!({
        "resourceType": "Observation",
        "identifier": [{"system": MEASUREMENT_SYSTEM, "value": identifier}],
        "status": "final",
        "category": [{"coding": [{
            "system": "http://terminology.hl7.org/CodeSystem/observation-category",
            "code": category,
            "display": category_name,
        }]}],
        "code": code_of(measurement),
        "subject": subject(enrolled),
    });
    put_effective(&mut out, &measurement.when);
    if let Some(issued) = &measurement.issued {
        put(&mut out, "issued", issued.as_str());
    }
    if let Content::Value { value, unit, .. } = &measurement.content {
        put(&mut out, "valueQuantity", quantity(&value.json(), unit));
    }
    let remarks = &measurement.remarks;
    if !remarks.notes.is_empty() {
        put(&mut out, "note", remarks.notes.iter().map(|text| json!({"text": text})).collect::<Value>());
    }
    if let Some(site) = &remarks.site {
        put(&mut out, "bodySite", json!({"text": site}));
    }
    // R4 has no element for it; without it, the lowest rate of a day would read as the rate of that day.
    if let Some((code, display)) = remarks.statistic {
        let system = "http://terminology.hl7.org/CodeSystem/observation-statistics";
        put(&mut out, "method", json!({"coding": [{"system": system, "code": code, "display": display}]}));
    }
    put(&mut out, "device", json!({"reference": DEVICE_URL, "type": "Device"}));
    match &measurement.content {
        Content::Value { .. } => {}
        Content::Pressures(pressures) => {
            let component = pressures.iter().map(|(pressure, value)| {
                json!({"code": concept(pressure.codes()), "valueQuantity": quantity(&value.json(), "mm[Hg]")})
            });
            put(&mut out, "component", component.collect::<Value>());
        }
        Content::Curve { unit, period_milliseconds, channels } => {
            let sampled = |channel: &Channel| sampled_data(channel, unit, &period_milliseconds.json());
            match channels.as_slice() {
                [only] if only.lead.is_none() => put(&mut out, "valueSampledData", sampled(only)),
                many => {
                    let component = many.iter().map(|channel| {
                        json!({"code": concept(channel.lead.as_slice()), "valueSampledData": sampled(channel)})
                    });
                    put(&mut out, "component", component.collect::<Value>());
                }
            }
        }
    }
    out
}

fn code_of(measurement: &Measurement) -> Value {
    match &measurement.content {
        Content::Value { unit, specimen: Some(specimen), .. } => concept(&[specimen.code(unit)]),
        _ => concept(measurement.measure.codes()),
    }
}

fn concept(codes: &[Code]) -> Value {
    let coding = codes.iter().map(|c| json!({"system": c.system, "code": c.value, "display": c.display}));
    json!({"coding": coding.collect::<Value>()})
}

fn quantity(value: &Value, unit: &str) -> Value {
    json!({"value": value, "unit": unit, "system": UCUM, "code": unit})
}

fn put_effective(observation: &mut Value, when: &When) {
    match when {
        When::At(moment) => put(observation, "effectiveDateTime", moment.text.as_str()),
        When::Period { start, end } => put(observation, "effectivePeriod", json!({"start": start, "end": end})),
        When::Day { date, .. } => put(observation, "effectiveDateTime", date.as_str()),
        // The profile asks for the element; that the time is not known is said in it (R4 extension-data-absent-reason).
        When::Unknown => put(
            observation,
            "_effectiveDateTime",
            json!({"extension": [{
                "url": "http://hl7.org/fhir/StructureDefinition/data-absent-reason",
                "valueCode": "unknown",
            }]}),
        ),
    }
}

fn sampled_data(channel: &Channel, unit: &str, period: &Value) -> Value {
    let origin = channel.origin.as_ref().map_or_else(|| json!(0), crate::fields::Decimal::json);
    let mut out = json!({"origin": quantity(&origin, unit), "period": period});
    for (member, value) in
        [("factor", &channel.factor), ("lowerLimit", &channel.lower_limit), ("upperLimit", &channel.upper_limit)]
    {
        if let Some(value) = value {
            put(&mut out, member, value.json());
        }
    }
    put(&mut out, "dimensions", 1);
    put(&mut out, "data", channel.data.as_str());
    out
}

pub(crate) fn put(object: &mut Value, member: &str, value: impl Into<Value>) {
    if let Value::Object(members) = object {
        members.insert(member.to_owned(), value.into());
    }
}

/// A search by identifier as it stands in a URL: what has a meaning in a search value is escaped by a backslash
/// (R4 search.html, "escaping"), then all but unreserved characters are percent-encoded (RFC 3986, section 2.3).
pub(crate) fn by_identifier(system: &str, value: &str) -> String {
    // The bar between both is what makes it a token.
    format!("identifier={}|{}", search_text(system), search_text(value))
}

fn search_text(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if matches!(byte, b'\\' | b'|' | b',' | b'$') {
            out.push_str("%5C");
        }
        if byte.is_ascii_alphanumeric() || b"-._~:/".contains(&byte) {
            out.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(out, "%{byte:02X}");
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn searches_are_escaped_and_read_back() {
        for (system, value, expected) in [
            ("urn:x", "a/1", "identifier=urn:x|a/1"),
            ("urn:x", "a|b,c$d\\e", "identifier=urn:x|a%5C%7Cb%5C%2Cc%5C%24d%5C%5Ce"),
            ("urn:x", "ä &=+?#%", "identifier=urn:x|%C3%A4%20%26%3D%2B%3F%23%25"),
        ] {
            assert_eq!(by_identifier(system, value), expected);
        }
        let token = sealwort_fhir::parse_token("urn:x|a\\|b\\,c\\$d\\\\e").unwrap().identifier().unwrap();
        assert_eq!((token.system.as_deref(), token.value.as_str()), (Some("urn:x"), "a|b,c$d\\e"));
    }
}
