//! FHIR from Personal Health Gateways (HL7 "Personal Health Device" guide) and point-of-care devices: Observations, alone
//! or in a Bundle with their Devices. They are kept as they are, but bound: the subject is the enrolled patient or the
//! payload is refused, and nothing refers to a resource of ours by an id that the gateway made up.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};
use time::OffsetDateTime;

use crate::enrolment::{Enrolled, EnrolledIdentifier};
use crate::error::DeviceError;
use crate::fields::Place;
use crate::measurement::MEASUREMENTS_MAX;
use crate::observation::{
    DEVICE_SYSTEM, DEVICE_URL, Entry, MEASUREMENT_SYSTEM, by_identifier, measurement_value, put, subject,
};
use crate::personal_health_values::{Samples, check_values, effective};

/// Most entries of a Bundle beside the Observations: the patient, devices.
const OTHER_ENTRIES_MAX: usize = 50;
/// Longest identifier or reference, in bytes.
const NAME_BYTES_MAX: usize = 512;
/// The device through which an Observation came (R4 extension-observation-gatewaydevice).
const GATEWAY_DEVICE: &str = "http://hl7.org/fhir/StructureDefinition/observation-gatewayDevice";

/// Reads an Observation or a Bundle of them: the entries to store, and how many are Observations.
pub(crate) fn read(
    enrolled: &Enrolled,
    payload: Value,
    now: OffsetDateTime,
) -> Result<(Vec<Entry>, usize), DeviceError> {
    let root = Place::Root;
    match payload.get("resourceType").and_then(Value::as_str) {
        Some("Observation") => {
            let names = Names { enrolled, named: BTreeMap::new() };
            let entry = observation(&names, payload, None, &mut Samples::default(), &root, now)?;
            Ok((vec![entry], 1))
        }
        Some("Bundle") => bundle(enrolled, &payload, now),
        _ => Err(root.member("resourceType").bad("expected Observation or Bundle")),
    }
}

fn bundle(enrolled: &Enrolled, bundle: &Value, now: OffsetDateTime) -> Result<(Vec<Entry>, usize), DeviceError> {
    let root = Place::Root;
    if !matches!(bundle.get("type").and_then(Value::as_str), Some("transaction" | "batch" | "collection")) {
        return Err(root.member("type").bad("expected transaction, batch or collection"));
    }
    let list_place = root.member("entry");
    let list = bundle.get("entry").and_then(Value::as_array).ok_or_else(|| list_place.missing())?;
    let observations = list.iter().filter(|entry| kind(entry.get("resource")) == Some("Observation")).count();
    if observations == 0 {
        return Err(list_place.bad("the Bundle has no Observation"));
    }
    if observations > MEASUREMENTS_MAX || list.len() - observations > OTHER_ENTRIES_MAX {
        return Err(DeviceError::TooManyMeasurements { limit: MEASUREMENTS_MAX });
    }
    let names = Names::of(enrolled, list)?;
    let mut samples = Samples::default();
    let mut entries = Vec::with_capacity(list.len());
    for (at, entry) in list.iter().enumerate() {
        let entry_place = list_place.element(at);
        let place = entry_place.member("resource");
        let Some(resource) = entry.get("resource") else { return Err(place.missing()) };
        let url = entry.get("fullUrl").and_then(Value::as_str).filter(|url| url.starts_with("urn:uuid:"));
        match kind(Some(resource)) {
            Some("Observation") => {
                entries.push(observation(&names, resource.clone(), url, &mut samples, &place, now)?);
            }
            Some("Device") => entries.push(device(&names, resource.clone(), url, &place)?),
            // It was compared with the enrolled one; a device does not change a patient.
            _ => {}
        }
    }
    Ok((entries, observations))
}

fn kind(resource: Option<&Value>) -> Option<&str> {
    resource?.get("resourceType")?.as_str()
}

/// What the entries of a Bundle call each other, with what to say instead.
struct Names<'v> {
    enrolled: &'v Enrolled,
    named: BTreeMap<String, Named>,
}

enum Named {
    /// The enrolled patient.
    Patient,
    /// A device of the Bundle: how to refer to it.
    Device(Value),
    /// An Observation of the Bundle: how to refer to it.
    Observation(Value),
}

impl<'v> Names<'v> {
    fn of(enrolled: &'v Enrolled, list: &[Value]) -> Result<Self, DeviceError> {
        let mut names = Self { enrolled, named: BTreeMap::new() };
        let root = Place::Root;
        let list_place = root.member("entry");
        for (at, entry) in list.iter().enumerate() {
            names.add(entry, &list_place.element(at))?;
        }
        Ok(names)
    }

    fn add(&mut self, entry: &Value, entry_place: &Place<'_>) -> Result<(), DeviceError> {
        let place = entry_place.member("resource");
        let resource = entry.get("resource").ok_or_else(|| place.missing())?;
        let kind = kind(Some(resource)).ok_or_else(|| place.member("resourceType").missing())?;
        let url = entry.get("fullUrl").and_then(Value::as_str);
        if url == Some(DEVICE_URL) {
            return Err(entry_place.member("fullUrl").bad("this name is taken; use a random uuid"));
        }
        let local = url.filter(|url| url.starts_with("urn:uuid:"));
        let path = resource.get("id").and_then(Value::as_str).map(|id| format!("{kind}/{id}"));
        let referred = |kind: &str, url: &str| json!({"reference": url, "type": kind});
        match kind {
            "Patient" => self.check_patient(resource, &place)?,
            "Device" | "Observation" => {}
            _ => return Err(place.member("resourceType").bad("expected Observation, Device or Patient")),
        }
        for name in [url.map(str::to_owned), path.clone()].into_iter().flatten() {
            let named = match (kind, local) {
                ("Patient", _) => Named::Patient,
                ("Device", Some(url)) => Named::Device(referred(kind, url)),
                ("Device", None) => {
                    let value = self.device_value(resource, &place)?;
                    Named::Device(referred(kind, &format!("Device?{}", by_identifier(DEVICE_SYSTEM, &value))))
                }
                (_, Some(url)) => Named::Observation(referred(kind, url)),
                (_, None) => Named::Observation(self.elsewhere(kind, path.as_deref().unwrap_or(&name))),
            };
            if self.named.insert(name, named).is_some() {
                return Err(entry_place.bad("another entry has the same name"));
            }
        }
        Ok(())
    }

    fn check_patient(&self, patient: &Value, place: &Place<'_>) -> Result<(), DeviceError> {
        let list = patient.get("identifier").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        if list.iter().any(|identifier| self.is_patient(identifier)) {
            return Ok(());
        }
        Err(another_patient(place))
    }

    fn is_patient(&self, identifier: &Value) -> bool {
        self.enrolled.patient().identifier.as_ref().is_some_and(|EnrolledIdentifier { system, value }| {
            let is = |member: &str, text: &str| identifier.get(member).and_then(Value::as_str) == Some(text);
            is("system", system) && is("value", value)
        })
    }

    /// Our identifier of a device that a gateway speaks for. It carries the gateway's name, so that no gateway can
    /// lay claim to another's devices.
    fn device_value(&self, device: &Value, place: &Place<'_>) -> Result<String, DeviceError> {
        let (system, value) = first_identifier(device, DEVICE_SYSTEM, place)?
            .ok_or_else(|| DeviceError::NoIdentity { place: place.to_string() })?;
        Ok(measurement_value(self.enrolled, &format!("{system}|{value}")))
    }

    /// A reference to what the sender knows and this payload does not hold. Its id means nothing here, or worse,
    /// another resource; by our identifier it finds what the same device sent before.
    fn elsewhere(&self, kind: &str, name: &str) -> Value {
        json!({
            "type": kind,
            "identifier": {"system": MEASUREMENT_SYSTEM, "value": measurement_value(self.enrolled, name)},
        })
    }

    /// What a reference is replaced by.
    fn resolve(&self, reference: &Value, place: &Place<'_>) -> Result<Resolved, DeviceError> {
        let kind = reference.get("type").and_then(Value::as_str);
        let Some(text) = reference.get("reference") else {
            return self.resolve_identifier(reference, kind, place);
        };
        let text_place = place.member("reference");
        let text = text.as_str().ok_or_else(|| text_place.bad("expected a text"))?;
        if text.len() > NAME_BYTES_MAX || text.is_empty() || text.chars().any(char::is_control) {
            return Err(text_place.bad("the reference is empty or too long"));
        }
        match self.named.get(text) {
            Some(Named::Patient) => return Ok(Resolved::Patient),
            Some(Named::Device(to)) => return Ok(Resolved::Device(to.clone())),
            Some(Named::Observation(to)) => return Ok(Resolved::Elsewhere(to.clone())),
            None => {}
        }
        if text.starts_with("urn:") || text.starts_with('#') {
            return Err(text_place.bad("the reference leads to nothing in this payload"));
        }
        let path = text.split_once('?').map_or(text, |(path, _)| path);
        let segments: Vec<&str> = path.trim_end_matches('/').split('/').collect();
        let found = segments.iter().rev().find(|segment| segment.parse::<sealwort_fhir::ResourceType>().is_ok());
        match found.copied().or(kind) {
            Some("Patient") if self.names_patient(text) => Ok(Resolved::Patient),
            Some("Patient") | None => Err(another_patient(&text_place)),
            Some("Device") => Ok(Resolved::UnknownDevice(self.elsewhere("Device", text))),
            Some(kind) => Ok(Resolved::Elsewhere(self.elsewhere(kind, text))),
        }
    }

    /// Whether a reference that is no name of this Bundle is the enrolled patient's: by id here, or by identifier.
    fn names_patient(&self, text: &str) -> bool {
        let patient = self.enrolled.patient();
        if let Some(query) = text.strip_prefix("Patient?") {
            return patient.identifier.as_ref().is_some_and(|EnrolledIdentifier { system, value }| {
                query == by_identifier(system, value) || query == format!("identifier={system}|{value}")
            });
        }
        patient.id.as_deref().is_some_and(|id| text.strip_prefix("Patient/") == Some(id))
    }

    fn resolve_identifier(
        &self,
        reference: &Value,
        kind: Option<&str>,
        place: &Place<'_>,
    ) -> Result<Resolved, DeviceError> {
        match reference.get("identifier") {
            Some(identifier) if self.is_patient(identifier) => Ok(Resolved::Patient),
            _ if kind == Some("Patient") => Err(another_patient(place)),
            // Words and identifiers of others lead nowhere by themselves.
            _ => Ok(Resolved::Elsewhere(reference.clone())),
        }
    }

    /// Binds every reference in a value.
    fn bind(&self, value: &mut Value, place: &Place<'_>) -> Result<(), DeviceError> {
        match value {
            Value::Object(members) if members.contains_key("reference") => {
                *value = match self.resolve(value, place)? {
                    Resolved::Patient => subject(self.enrolled),
                    Resolved::Device(to) | Resolved::UnknownDevice(to) | Resolved::Elsewhere(to) => to,
                };
            }
            Value::Object(members) => {
                // A reference by identifier alone, to a patient.
                if members.get("type").and_then(Value::as_str) == Some("Patient") && members.contains_key("identifier")
                {
                    self.resolve(value, place)?;
                    *value = subject(self.enrolled);
                    return Ok(());
                }
                for (name, member) in members.iter_mut() {
                    self.bind(member, &place.member(name))?;
                }
            }
            Value::Array(elements) => {
                for (at, element) in elements.iter_mut().enumerate() {
                    self.bind(element, &place.element(at))?;
                }
            }
            _ => {}
        }
        Ok(())
    }
}

enum Resolved {
    Patient,
    Device(Value),
    UnknownDevice(Value),
    Elsewhere(Value),
}

fn another_patient(place: &Place<'_>) -> DeviceError {
    DeviceError::AnotherPatient { place: place.to_string() }
}

fn observation(
    names: &Names<'_>,
    mut resource: Value,
    url: Option<&str>,
    samples: &mut Samples,
    place: &Place<'_>,
    now: OffsetDateTime,
) -> Result<Entry, DeviceError> {
    let enrolled = names.enrolled;
    place.object(&resource)?;
    let values = check_values(enrolled, &resource, samples, place)?;
    let when = effective(&resource, place, now)?;
    let own = first_identifier(&resource, MEASUREMENT_SYSTEM, place)?;
    let id = resource.get("id").and_then(Value::as_str).map(|id| format!("Observation/{id}"));
    // Gateways give ids to the resources of one upload, and the same again in the next: the time belongs to it.
    let identity = match (own, &id) {
        (Some((system, value)), _) => format!("identifier/{system}|{value}"),
        (None, Some(id)) => format!("{id}@{when}"),
        (None, None) => return Err(DeviceError::NoIdentity { place: place.to_string() }),
    };
    let bound = bound_subject(names, resource.get("subject"), values.is_known(), &place.member("subject"))?;
    let device = match resource.get("device") {
        Some(device) => match names.resolve(device, &place.member("device"))? {
            Resolved::Device(to) => Some(to),
            _ => None,
        },
        None => None,
    };
    strip(&mut resource, place)?;
    for member in ["subject", "device"] {
        remove(&mut resource, member);
    }
    names.bind(&mut resource, place)?;
    put(&mut resource, "subject", bound);
    if device.is_some() {
        name_gateway(&mut resource);
    }
    put(&mut resource, "device", device.unwrap_or_else(|| json!({"reference": DEVICE_URL, "type": "Device"})));
    let value = measurement_value(enrolled, &identity);
    let also = id.map(|id| measurement_value(enrolled, &id));
    add_identifiers(&mut resource, MEASUREMENT_SYSTEM, [Some(value.clone()), also].into_iter().flatten());
    Ok(Entry {
        full_url: url.map(str::to_owned),
        resource,
        method: "POST",
        url: "Observation".to_owned(),
        if_none_exist: Some(by_identifier(MEASUREMENT_SYSTEM, &value)),
    })
}

/// The subject is the patient. The state of a device itself, its clock say, may be about the device.
fn bound_subject(
    names: &Names<'_>,
    sent: Option<&Value>,
    is_known_measure: bool,
    place: &Place<'_>,
) -> Result<Value, DeviceError> {
    let patient = || subject(names.enrolled);
    let Some(sent) = sent else { return Ok(patient()) };
    place.object(sent)?;
    match names.resolve(sent, place)? {
        Resolved::Patient => Ok(patient()),
        Resolved::Device(to) if !is_known_measure => Ok(to),
        Resolved::UnknownDevice(_) if !is_known_measure => Ok(json!({"reference": DEVICE_URL, "type": "Device"})),
        _ => Err(another_patient(place)),
    }
}

/// Says that a device's Observation came through the enrolled gateway, unless it says through which.
fn name_gateway(observation: &mut Value) {
    let Value::Object(members) = observation else { return };
    let extensions = members.entry("extension").or_insert_with(|| json!([]));
    let Value::Array(extensions) = extensions else { return };
    let said = extensions.iter().any(|one| one.get("url").and_then(Value::as_str) == Some(GATEWAY_DEVICE));
    if !said {
        extensions.push(json!({"url": GATEWAY_DEVICE, "valueReference": {"reference": DEVICE_URL}}));
    }
}

fn device(names: &Names<'_>, mut resource: Value, url: Option<&str>, place: &Place<'_>) -> Result<Entry, DeviceError> {
    let value = names.device_value(&resource, place)?;
    strip(&mut resource, place)?;
    names.bind(&mut resource, place)?;
    put(&mut resource, "patient", subject(names.enrolled));
    add_identifiers(&mut resource, DEVICE_SYSTEM, std::iter::once(value.clone()));
    Ok(Entry {
        full_url: url.map(str::to_owned),
        resource,
        method: "POST",
        url: "Device".to_owned(),
        if_none_exist: Some(by_identifier(DEVICE_SYSTEM, &value)),
    })
}

/// Takes away what the server sets, and labels: how confidential a record is, is not a device's to say.
fn strip(resource: &mut Value, place: &Place<'_>) -> Result<(), DeviceError> {
    if resource.get("contained").is_some() {
        return Err(place.member("contained").bad("send devices as entries of a Bundle"));
    }
    remove(resource, "id");
    let profiles = resource.get("meta").and_then(|meta| meta.get("profile")).cloned();
    remove(resource, "meta");
    if let (Some(profiles), Value::Object(members)) = (profiles, resource) {
        let rest = std::mem::take(members);
        let mut rest = rest.into_iter();
        members.extend(rest.by_ref().take(1));
        members.insert("meta".to_owned(), json!({"profile": profiles}));
        members.extend(rest);
    }
    Ok(())
}

fn remove(resource: &mut Value, member: &str) {
    if let Value::Object(members) = resource {
        members.shift_remove(member);
    }
}

/// The first identifier of a resource. None may be in a namespace of ours: it would pass for what another device sent.
fn first_identifier(resource: &Value, ours: &str, place: &Place<'_>) -> Result<Option<(String, String)>, DeviceError> {
    let Some(list) = resource.get("identifier") else { return Ok(None) };
    let place = place.member("identifier");
    let list = list.as_array().ok_or_else(|| place.bad("expected a list"))?;
    let mut first = None;
    for (at, identifier) in list.iter().enumerate() {
        let place = place.element(at);
        let members: &Map<String, Value> = place.object(identifier)?;
        let text = |member: &str| members.get(member).and_then(Value::as_str).unwrap_or_default();
        let (system, value) = (text("system"), text("value"));
        if system == ours {
            return Err(place.bad("this system is the hospital's own"));
        }
        if system.len() + value.len() > NAME_BYTES_MAX {
            return Err(place.bad("the identifier is too long"));
        }
        if first.is_none() && !value.trim().is_empty() {
            first = Some((system.to_owned(), value.to_owned()));
        }
    }
    Ok(first)
}

fn add_identifiers(resource: &mut Value, system: &str, values: impl Iterator<Item = String>) {
    let Value::Object(members) = resource else { return };
    if let Value::Array(list) = members.entry("identifier").or_insert_with(|| json!([])) {
        list.extend(values.map(|value| json!({"system": system, "value": value})));
    }
}
