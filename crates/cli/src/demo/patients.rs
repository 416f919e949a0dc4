//! Whose records the demo moves: the vendored samples, generated patients, or Bundles given by hand.

use std::collections::HashMap;
use std::path::PathBuf;

use bytes::Bytes;
use sealwort_fhir::plain::Plain;
use sealwort_fhir::{
    Bundle, BundleEntry, Identifier, Method, PatientKey, ResourceId, ResourceType, assign_patients, logical_id,
    parse_bundle, patient_identifiers, samples, synthetic,
};
use serde_json::Value;

use crate::error::CliError;

/// Seed of generated patients, so that every run has the same.
const SEED: u64 = 20_261_123;
/// Resources of a generated patient.
const RESOURCES: usize = 300;

/// A Bundle to be written, and what must come back.
pub(super) struct Loaded {
    pub(super) name: String,
    pub(super) bytes: Bytes,
    pub(super) patients: Vec<LoadedPatient>,
    /// Where the URLs by which entries refer to each other lead once they are stored.
    pub(super) links: HashMap<String, String>,
}

/// One patient of a Bundle.
pub(super) struct LoadedPatient {
    pub(super) identifiers: Vec<Identifier>,
    /// Type, id and bytes of each resource.
    pub(super) resources: Vec<(String, String, Bytes)>,
}

/// A patient by name, if there is one, and by an identifier: system|value.
pub(super) struct Named {
    pub(super) name: Option<String>,
    pub(super) identifier: String,
}

/// The first patient of all.
pub(super) fn first(bundles: &[Loaded]) -> Option<Named> {
    let patient = bundles.first()?.patients.first()?;
    let is_patient = |(kind, ..): &&(String, String, Bytes)| kind == ResourceType::PATIENT.as_str();
    let tree: Option<Value> =
        patient.resources.iter().find(is_patient).and_then(|(.., bytes)| serde_json::from_slice(bytes).ok());
    let name = tree.and_then(|tree| Plain::of(ResourceType::PATIENT, &tree).title);
    Some(Named { name, identifier: token(patient.identifiers.first()?) })
}

/// An identifier as searches take it.
pub(super) fn token(identifier: &Identifier) -> String {
    format!("{}|{}", identifier.system.as_deref().unwrap_or_default(), identifier.value)
}

/// Reads the Bundles and what is in them.
pub(super) fn load(files: &[PathBuf], generated: Option<u64>) -> Result<Vec<Loaded>, CliError> {
    let mut loaded = Vec::new();
    for file in files {
        let bytes = std::fs::read(file).map_err(|e| CliError::Local(format!("cannot read {}: {e}", file.display())))?;
        loaded.push(read(file.display().to_string(), Bytes::from(bytes))?);
    }
    if files.is_empty() {
        for sample in samples::ALL {
            loaded.push(read(sample.name.to_owned(), Bytes::from_static(sample.bytes))?);
        }
    }
    for index in 0..generated.unwrap_or_default() {
        let bundle = synthetic::bundle(SEED, index, RESOURCES);
        loaded.push(read(format!("generated-{index}"), Bytes::from(bundle))?);
    }
    Ok(loaded)
}

fn read(name: String, bytes: Bytes) -> Result<Loaded, CliError> {
    let wrong = |error: &dyn std::fmt::Display| CliError::Local(format!("{name}: {error}"));
    let bundle = parse_bundle(bytes.clone()).map_err(|e| wrong(&e))?;
    let groups = assign_patients(&bundle).map_err(|e| wrong(&e))?;
    let mut patients = Vec::with_capacity(groups.len());
    for group in groups {
        let PatientKey::Entry(place) = group.key else {
            return Err(wrong(&"it refers to a patient that it does not hold"));
        };
        let identifiers = resource(&bundle, place).map(patient_identifiers).unwrap_or_default();
        let resources = group.entries.iter().filter_map(|place| {
            let entry = bundle.entries().get(*place)?;
            let resource = entry.resource.as_ref()?;
            let id = stored_id(&bundle, entry)?;
            let kind = resource.resource_type().as_str().to_owned();
            Some((kind, id.as_str().to_owned(), resource.bytes().clone()))
        });
        patients.push(LoadedPatient { identifiers, resources: resources.collect() });
    }
    let links = bundle.entries().iter().filter_map(|entry| {
        let (url, resource) = (entry.full_url.clone()?, entry.resource.as_ref()?);
        Some((url, format!("{}/{}", resource.resource_type(), stored_id(&bundle, entry)?)))
    });
    let links = links.collect();
    Ok(Loaded { name, bytes, patients, links })
}

/// The id under which a gateway stores an entry: what a transaction creates gets the uuid of its URL.
fn stored_id(bundle: &Bundle, entry: &BundleEntry) -> Option<ResourceId> {
    let creates = entry.request.as_ref().is_some_and(|request| request.method == Method::Post);
    if bundle.kind().has_requests() && creates {
        entry.full_url.as_deref()?.strip_prefix("urn:uuid:")?.parse().ok()
    } else {
        logical_id(entry)
    }
}

fn resource(bundle: &Bundle, place: usize) -> Option<&sealwort_fhir::Resource> {
    bundle.entries().get(place)?.resource.as_ref()
}
