//! Published example patients, compiled in: what the demonstration shows and tests read. Where they
//! come from, and under which licence, says `samples/README.md`; `samples/vendor.py` makes them anew.

/// A Bundle of one patient.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// Its short name.
    pub name: &'static str,
    /// A document or collection Bundle.
    pub bytes: &'static [u8],
}

macro_rules! samples {
    ($($name:literal),* $(,)?) => {
        &[$(Sample { name: $name, bytes: include_bytes!(concat!("../samples/", $name, ".json")) }),*]
    };
}

/// Every sample: International Patient Summaries, then patients of the FHIR R4 examples.
///
/// `ips-01`, `ips-minimal` and `ips-with-immunization` are one person: their Patients have different
/// ids and the same identifier.
pub static ALL: &[Sample] = samples![
    "ips-01",
    "ips-all-sections",
    "ips-minimal",
    "ips-no-info-required-sections",
    "ips-with-immunization",
    "r4-patient-example",
    "r4-patient-pat1",
    "r4-patient-f001",
    "r4-patient-f201",
    "r4-patient-pat2",
    "r4-patient-xcda",
    "r4-patient-dicom",
    "r4-patient-mom",
];

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

    use super::*;
    use crate::{PatientKey, assign_patients, parse_bundle, patient_identifiers};

    #[test]
    fn every_sample_is_one_patient_with_an_identifier() {
        for sample in ALL {
            let bundle = parse_bundle(sample.bytes).unwrap_or_else(|e| panic!("{}: {e}", sample.name));
            let groups = assign_patients(&bundle).unwrap_or_else(|e| panic!("{}: {e}", sample.name));
            let [group] = groups.as_slice() else { panic!("{}: {groups:?}", sample.name) };
            let PatientKey::Entry(patient) = group.key else { panic!("{}: {:?}", sample.name, group.key) };
            assert_eq!(group.entries.len(), bundle.entries().len(), "{}", sample.name);
            let patient = bundle.entries()[patient].resource.as_ref().unwrap();
            assert!(!patient_identifiers(patient).is_empty(), "{}", sample.name);
        }
    }

    #[test]
    fn every_file_is_listed_and_together_they_are_small() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/samples");
        let files = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().file_name());
        let json = files.filter(|name| name.to_string_lossy().ends_with(".json")).count();
        assert_eq!(json, ALL.len());
        assert!(ALL.iter().map(|sample| sample.bytes.len()).sum::<usize>() < 2_000_000);
    }
}
