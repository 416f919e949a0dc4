//! Invented patients for demonstrations and load tests: longitudinal records that look like real ones,
//! made from a seed and nothing else. The same seed and index always give the same bytes.
//!
//! The people do not exist; names are drawn from short lists, codes are real (SNOMED CT, LOINC, UCUM,
//! ATC, CVX), and the medicine is only as plausible as a demonstration needs.

mod chance;
mod record;
mod vocabulary;

use serde_json::json;

use crate::{Identifier, ResourceId};
use chance::Chance;

/// The namespace of the patients' record numbers.
pub const IDENTIFIER_SYSTEM: &str = "https://sealwort.example/mrn";

/// A transaction Bundle of one patient with `resources` resources (at least one, the Patient), about
/// 1 KB each. A Bundle of more than about 50,000 is larger than what is accepted in one piece.
///
/// Entries have `urn:uuid:` URLs, the resources those uuids as ids, and refer to each other by them.
/// Every patient with 40 resources or more has a sensitive history, labelled PSY, HIV or ETH in turn
/// with the index.
pub fn bundle(seed: u64, index: u64, resources: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(resources.saturating_mul(1200).min(crate::BUNDLE_BYTES_MAX));
    out.extend_from_slice(b"{\"resourceType\":\"Bundle\",\"type\":\"transaction\",\"entry\":[");
    for (at, resource) in record::Record::new(seed, index).make(resources.max(1)).iter().enumerate() {
        let entry = json!({
            "fullUrl": format!("urn:uuid:{}", resource.id),
            "resource": resource.body,
            "request": { "method": "POST", "url": resource.name },
        });
        out.extend_from_slice(if at == 0 { b"\n" } else { b",\n" });
        out.extend_from_slice(entry.to_string().as_bytes());
    }
    out.extend_from_slice(b"\n]}\n");
    out
}

/// The identifier of the patient that [`bundle`] makes.
pub fn identifier(seed: u64, index: u64) -> Identifier {
    Identifier { system: Some(IDENTIFIER_SYSTEM.to_owned()), value: record_number(seed, index) }
}

/// The id of the Patient resource that [`bundle`] makes.
#[expect(clippy::expect_used, reason = "invariant: a uuid keeps the grammar of ids")]
pub fn patient_id(seed: u64, index: u64) -> ResourceId {
    Chance::new(seed, index).uuid().parse().expect("a uuid is an id")
}

fn record_number(seed: u64, index: u64) -> String {
    format!("{seed:X}-{index:06}")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

    use super::*;
    use crate::{
        Label, PatientKey, Resource, assign_patients, label_of, parse_bundle, patient_identifiers, references,
    };
    use std::collections::{BTreeMap, BTreeSet};

    #[test]
    fn the_same_seed_gives_the_same_bytes() {
        assert_eq!(bundle(7, 3, 120), bundle(7, 3, 120));
        assert_ne!(bundle(7, 3, 120), bundle(8, 3, 120));
        assert_ne!(bundle(7, 3, 120), bundle(7, 4, 120));
    }

    #[test]
    fn bundles_are_sound_and_of_the_size_asked_for() {
        for (index, resources) in (0..).zip([0, 1, 2, 3, 4, 10, 40, 333, 1_000, 5_000]) {
            let bytes = bundle(1, index, resources);
            let found = parse_bundle(bytes.clone()).unwrap();
            assert_eq!(found.entries().len(), resources.max(1));
            let groups = assign_patients(&found).unwrap();
            let [group] = groups.as_slice() else { panic!("one patient") };
            assert_eq!((&group.key, group.entries.len()), (&PatientKey::Entry(0), resources.max(1)));
            let patient = found.entries().first().unwrap().resource.as_ref().unwrap();
            assert_eq!(patient_identifiers(patient), [identifier(1, index)]);
            assert_eq!(patient.id(), Some(&patient_id(1, index)));
            let urls: BTreeSet<_> = found.entries().iter().map(|e| e.full_url.clone().unwrap()).collect();
            for (at, resource) in found.resources() {
                assert_eq!(Some(format!("urn:uuid:{}", resource.id().unwrap())), found.entries()[at].full_url);
                for reference in references(resource) {
                    assert!(urls.contains(reference), "{resources}: {reference}");
                }
            }
            if resources >= 300 {
                let mean = bytes.len() / resources;
                assert!((500..2_000).contains(&mean), "{mean} bytes each");
            }
        }
    }

    #[test]
    fn records_are_varied_and_some_are_confidential() {
        let mut types = BTreeMap::<_, usize>::new();
        let mut labels = BTreeMap::<Label, usize>::new();
        let mut identifiers = BTreeSet::new();
        for index in 0..30 {
            let found = parse_bundle(bundle(42, index, 200)).unwrap();
            let mut own = BTreeSet::new();
            for (_, resource) in found.resources() {
                *types.entry(resource.resource_type()).or_default() += 1;
                *labels.entry(label_of(resource)).or_default() += 1;
                own.insert(label_of(resource));
            }
            assert!(own.len() >= 2, "patient {index} has {own:?}");
            identifiers.insert(identifier(42, index));
        }
        assert_eq!(identifiers.len(), 30);
        for name in [
            "AllergyIntolerance",
            "Condition",
            "DiagnosticReport",
            "Encounter",
            "Immunization",
            "MedicationRequest",
            "Observation",
            "Organization",
            "Patient",
            "Practitioner",
            "Procedure",
        ] {
            assert!(types.contains_key(&name.parse().unwrap()), "{name}: {types:?}");
        }
        let restricted: usize = labels.iter().filter(|(label, _)| **label != Label::General).map(|(_, n)| n).sum();
        for label in [Label::Psychiatry, Label::Hiv, Label::SubstanceUse] {
            assert!(labels.contains_key(&label), "{labels:?}");
        }
        assert!(restricted * 10 < labels[&Label::General], "{labels:?}");
        assert!(!labels.contains_key(&Label::VeryRestricted));
    }

    #[test]
    fn small_records_of_forty_have_a_sensitive_part() {
        for index in 0..60 {
            let found = parse_bundle(bundle(9, index, 40)).unwrap();
            assert!(found.resources().any(|(_, r)| label_of(r) != Label::General), "patient {index}");
        }
    }

    #[test]
    fn decimals_keep_their_trailing_zeros() {
        let text = String::from_utf8(bundle(1, 1, 2_000)).unwrap();
        let value = text.split("\"value\":").filter_map(|rest| rest.split(',').next());
        let kept = value.filter(|v| v.contains('.') && v.ends_with('0')).count();
        assert!(kept > 10, "{kept}");
        let resource = parse_bundle(text.into_bytes()).unwrap();
        let read = resource.resources().map(|(_, r): (usize, &Resource)| r.json().unwrap().to_string());
        assert!(read.zip(resource.resources()).all(|(again, (_, r))| again.as_bytes() == r.bytes().as_ref()));
    }
}
