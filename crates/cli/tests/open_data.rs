//! The demo on real patients: Synthea, MIMIC-IV, International Patient Summaries and the records of the HL7
//! PHR format. The data lie beside the project and are not part of it; where they are missing the test says so.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use sealwort_fhir::{Bundle, Resource, ResourceType, parse_bundle, parse_ndjson, partition, response};
use sealwort_published::{all_wanted, data, files, unpacked};
use serde_json::Value;

/// Of the largest set, this many of its largest Bundles are moved; `SEALWORT_OPEN_DATA_ALL=1` moves every one.
const LARGEST: usize = 12;
/// Bundles that one run of the demo takes, so that the search for plaintext stays in memory.
const PER_RUN: usize = 60;

/// The patient Bundles below a folder: those of a kind that can be posted, with a Patient who has an identifier.
fn patient_bundles(folder: &Path) -> Vec<PathBuf> {
    let mut files = files(folder, Some("json"));
    files.retain(|file| {
        parse_bundle(fs::read(file).unwrap()).is_ok_and(|bundle| {
            bundle.resources().any(|(_, resource)| {
                resource.resource_type() == ResourceType::PATIENT
                    && !sealwort_fhir::patient_identifiers(resource).is_empty()
            })
        })
    });
    files
}

/// Runs the demo on Bundles and checks what it says.
fn move_patients(name: &str, files: &[PathBuf]) {
    assert!(!files.is_empty(), "{name}: no patient Bundle was found");
    for part in files.chunks(PER_RUN) {
        let output = Command::new(env!("CARGO_BIN_EXE_sealwort"))
            .args(["demo", "--once", "--json", "--bundle"])
            .args(part)
            .output()
            .unwrap();
        let told: Value = serde_json::from_slice(&output.stdout)
            .unwrap_or_else(|_| panic!("{name}: {}", String::from_utf8_lossy(&output.stderr)));
        println!(
            "{name}: {} patients, {} resources, {} bytes; written in {} ms, read in {} ms; {} bytes searched",
            told["patients"],
            told["resources_written"],
            told["bytes_written"],
            told["write_ms"],
            told["read_ms"],
            told["bytes_searched"]
        );
        assert!(output.status.success(), "{name}: {told}");
        for field in ["read_equals_written", "denied_before_consent", "denied_after_withdrawal"] {
            assert_eq!(told[field], true, "{name}: {field}");
        }
        assert_eq!(told["plaintext_found"], 0, "{name}");
        assert_eq!(told["resources_written"], told["resources_read"], "{name}");
    }
}

#[test]
fn synthea_small_and_international_patient_summaries() {
    for (name, folder) in [("synthea small", "fhir-small-synthea"), ("ips", "fhir-ips-2.0.0-examples")] {
        if let Some(folder) = data(folder) {
            move_patients(name, &patient_bundles(&folder));
        }
    }
}

#[test]
fn synthea_2_5() {
    let Some(folder) = unpacked("fhir-100-synthea-v2.5.tar.zst") else { return };
    move_patients("synthea 2.5", &patient_bundles(folder.path()));
}

#[test]
fn synthea_2_4_the_largest() {
    let Some(folder) = unpacked("fhir-615-synthea-v2.4.tar.zst") else { return };
    let mut files = patient_bundles(folder.path());
    if !all_wanted() {
        files.sort_by_key(|file| std::cmp::Reverse(fs::metadata(file).unwrap().len()));
        files.truncate(LARGEST);
    }
    move_patients("synthea 2.4", &files);
}

#[test]
fn personal_health_records() {
    let Some(folder) = unpacked("fhir-phr-ig-patients.tar.zst") else { return };
    move_patients("phr", &patient_bundles(folder.path()));
}

/// MIMIC comes as one NDJSON file for each type; each patient's resources make one collection.
#[test]
fn mimic_iv() {
    let Some(folder) = unpacked("fhir-mimic-iv-demo-ODbL.tar.zst") else { return };
    let files = files(folder.path(), Some("ndjson"));
    let resources: Vec<Resource> = files.iter().flat_map(|f| parse_ndjson(fs::read(f).unwrap()).unwrap()).collect();
    let all = Bundle::collection(resources).unwrap();
    let made = tempfile::tempdir().unwrap();
    let mut bundles = Vec::new();
    for (number, group) in partition(&all).unwrap().groups.iter().enumerate() {
        let members = group.entries.iter().filter_map(|place| all.entries()[*place].resource.as_ref());
        let file = made.path().join(format!("{number}.json"));
        fs::write(&file, response::collection(members)).unwrap();
        bundles.push(file);
    }
    move_patients("mimic-iv", &bundles);
}
