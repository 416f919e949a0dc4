//! Real and published records that lie beside the project, read from end to end: every Bundle is
//! taken apart, every resource compared with its bytes in the file, every entry assigned. Set
//! `SEALWORT_OPEN_DATA` to the folder, or put it at `../shared/data/open` beside the project.
//! Where it is absent the tests say so and pass.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::BTreeMap;
use std::path::Path;

use bytes::Bytes;
use sealwort_fhir::{
    Bundle, FhirError, PatientKey, Resource, assign_patients, label_of, parse_any_bundle, parse_bundle, parse_ndjson,
    partition, references,
};
use sealwort_published::{data, files, unpacked};
use serde_json::value::RawValue;

/// The resources of a Bundle as another reader cuts them out of the document.
fn cut_out(bytes: &[u8]) -> Vec<Option<&RawValue>> {
    #[derive(serde::Deserialize)]
    struct Document<'a> {
        #[serde(borrow, default)]
        entry: Vec<Entry<'a>>,
    }
    #[derive(serde::Deserialize)]
    struct Entry<'a> {
        #[serde(borrow)]
        resource: Option<&'a RawValue>,
    }
    serde_json::from_slice::<Document<'_>>(bytes).unwrap().entry.into_iter().map(|entry| entry.resource).collect()
}

/// The sum of what was read.
#[derive(Debug, Default)]
struct Sum {
    files: usize,
    resources: usize,
    bytes: usize,
    groups: usize,
    /// Groups of patients that the Bundle names and does not hold.
    elsewhere: usize,
    references: usize,
    labels: BTreeMap<&'static str, usize>,
    refused: Vec<(String, FhirError)>,
}

impl Sum {
    fn take(&mut self, name: &str, bytes: &Bytes, bundle: &Bundle) {
        self.files += 1;
        self.bytes += bytes.len();
        let expected = cut_out(bytes);
        assert_eq!(bundle.entries().len(), expected.len(), "{name}");
        for (entry, expected) in bundle.entries().iter().zip(expected) {
            let (Some(found), Some(expected)) = (&entry.resource, expected) else {
                assert_eq!(entry.resource.is_some(), expected.is_some(), "{name}");
                continue;
            };
            // Byte for byte, and the very memory of the document.
            assert_eq!(found.bytes(), expected.get().as_bytes(), "{name}");
            assert_eq!(bytes.slice_ref(found.bytes()), expected.get().as_bytes());
            assert_eq!(Resource::parse(found.bytes().clone()).unwrap().resource_type(), found.resource_type());
            self.resources += 1;
            self.references += references(found).count();
            *self.labels.entry(label_of(found).as_str()).or_default() += 1;
        }
        match assign_patients(bundle) {
            Ok(groups) => {
                self.groups += groups.len();
                self.elsewhere += groups.iter().filter(|g| !matches!(g.key, PatientKey::Entry(_))).count();
                let mut assigned: Vec<_> = groups.iter().flat_map(|group| group.entries.iter().copied()).collect();
                assigned.sort_unstable();
                assigned.dedup();
                let all: Vec<_> = bundle.resources().map(|(at, _)| at).collect();
                assert_eq!(assigned, all, "{name}: every resource goes to somebody");
            }
            Err(error) => self.refused.push((name.to_owned(), error)),
        }
    }

    fn bundle(&mut self, path: &Path) {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let bytes = Bytes::from(std::fs::read(path).unwrap());
        match parse_bundle(bytes.clone()) {
            Ok(bundle) => self.take(&name, &bytes, &bundle),
            Err(error) => self.refused.push((name, error)),
        }
    }

    /// Refused files by code, and a line of what was read.
    fn report(&self, title: &str) -> BTreeMap<&'static str, usize> {
        println!(
            "{title}: {} Bundles, {} resources, {} bytes, {} references, {} groups ({} by reference), labels {:?}",
            self.files, self.resources, self.bytes, self.references, self.groups, self.elsewhere, self.labels
        );
        let mut codes = BTreeMap::new();
        for (name, error) in &self.refused {
            println!("  refused: {name}: {error}");
            *codes.entry(error.code()).or_default() += 1;
        }
        codes
    }
}

fn archive_of_bundles(name: &str) -> Option<(Sum, BTreeMap<&'static str, usize>)> {
    let folder = unpacked(name)?;
    let mut sum = Sum::default();
    for path in files(folder.path(), Some("json")) {
        sum.bundle(&path);
    }
    let codes = sum.report(name);
    Some((sum, codes))
}

#[test]
fn synthea_small() {
    let Some(folder) = data("fhir-small-synthea") else {
        return;
    };
    let mut sum = Sum::default();
    for path in files(&folder, Some("json")) {
        sum.bundle(&path);
    }
    assert!(sum.report("fhir-small-synthea").is_empty());
    assert_eq!((sum.files, sum.groups, sum.elsewhere), (5, 5, 0));
}

#[test]
fn synthea_2_5() {
    let Some((sum, codes)) = archive_of_bundles("fhir-100-synthea-v2.5.tar.zst") else {
        return;
    };
    // Lists of hospitals and of practitioners name no patient; one file is a Group.
    assert_eq!(codes, BTreeMap::from([("no-patient", 2), ("not-a-bundle", 1)]));
    assert_eq!((sum.groups, sum.elsewhere), (47, 0));
}

#[test]
fn synthea_2_4() {
    let Some((sum, codes)) = archive_of_bundles("fhir-615-synthea-v2.4.tar.zst") else {
        return;
    };
    assert_eq!(codes, BTreeMap::from([("no-patient", 2)]));
    assert_eq!((sum.groups, sum.elsewhere), (290, 0));
}

#[test]
fn personal_health_records() {
    let Some((sum, codes)) = archive_of_bundles("fhir-phr-ig-patients.tar.zst") else {
        return;
    };
    assert_eq!(codes, BTreeMap::from([("missing-resource-type", 1)]));
    assert_eq!((sum.groups, sum.elsewhere), (22, 0));
}

#[test]
fn patient_summaries() {
    let Some(folder) = data("fhir-ips-2.0.0-examples") else {
        return;
    };
    let mut sum = Sum::default();
    let all = files(&folder, Some("json"));
    all.iter().filter(|path| path.to_string_lossy().contains("Bundle-")).for_each(|path| sum.bundle(path));
    assert!(sum.report("fhir-ips-2.0.0-examples").is_empty());
    assert_eq!((sum.files, sum.groups, sum.elsewhere), (3, 3, 0));
}

#[test]
fn files_of_one_resource() {
    for name in [
        "fhir-ips-2.0.0-examples",
        "fhir-us-core-examples",
        "fhir-r4-spec-examples",
        "audit-ihe-balp",
        "consent-ihe-pcf",
    ] {
        let Some(folder) = data(name) else { continue };
        let (mut resources, mut bundles, mut refused) = (0, 0, BTreeMap::<&str, usize>::new());
        for path in files(&folder, Some("json")) {
            let bytes = Bytes::from(std::fs::read(&path).unwrap());
            match Resource::parse(bytes.clone()) {
                Ok(resource) => {
                    assert_eq!(resource.bytes(), &bytes);
                    resource.json().unwrap();
                    resources += 1;
                    if resource.resource_type().as_str() == "Bundle" {
                        match parse_any_bundle(bytes) {
                            Ok(_) => bundles += 1,
                            Err(error) => {
                                println!("  refused as a Bundle: {}: {error}", path.display());
                            }
                        }
                    }
                }
                Err(error) => {
                    println!("  refused: {}: {error}", path.file_name().unwrap().to_string_lossy());
                    *refused.entry(error.code()).or_default() += 1;
                }
            }
        }
        println!("{name}: {resources} resources, {bundles} of them Bundles, refused {refused:?}");
        assert!(resources > 0);
        assert!(refused.is_empty(), "{name}: {refused:?}");
    }
}

#[test]
fn bulk_data_of_mimic() {
    let Some(folder) = unpacked("fhir-mimic-iv-demo-ODbL.tar.zst") else {
        return;
    };
    let mut resources = Vec::new();
    for path in files(folder.path(), Some("ndjson")) {
        let bytes = std::fs::read(&path).unwrap();
        let found = parse_ndjson(bytes.clone()).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let lines: Vec<_> = bytes.split(|b| *b == b'\n').filter(|line| !line.is_empty()).collect();
        assert_eq!(found.len(), lines.len());
        assert!(found.iter().zip(lines).all(|(resource, line)| resource.bytes() == line));
        resources.extend(found);
    }
    let bundle = Bundle::collection(resources).unwrap();
    let found = partition(&bundle).unwrap();
    let assigned: usize = found.groups.iter().map(|group| group.entries.len()).sum();
    let elsewhere = found.groups.iter().filter(|g| !matches!(g.key, PatientKey::Entry(_))).count();
    let mut left = BTreeMap::<&str, usize>::new();
    for at in &found.unassigned {
        let resource = bundle.entries()[*at].resource.as_ref().unwrap();
        *left.entry(resource.resource_type().as_str()).or_default() += 1;
    }
    println!(
        "fhir-mimic-iv-demo: {} resources, {} groups ({elsewhere} by reference), {assigned} assignments, left over {left:?}",
        bundle.entries().len(),
        found.groups.len(),
    );
    assert_eq!((found.groups.len(), elsewhere), (44, 0));
    // Medications and locations of the catalogue that no patient of this half uses.
    assert!(left.keys().all(|name| matches!(*name, "Medication" | "Location" | "Organization")), "{left:?}");
}

#[test]
fn files_of_the_phr_format() {
    let Some(folder) = unpacked("phr-format-files.tar.zst") else {
        return;
    };
    let (mut read, mut resources, mut refused) = (0, 0, BTreeMap::<&str, usize>::new());
    let mut outcomes = BTreeMap::<&str, usize>::new();
    for path in files(folder.path(), Some("phr")) {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        match parse_ndjson(std::fs::read(&path).unwrap()) {
            Ok(found) => {
                read += 1;
                resources += found.len();
                let bundle = Bundle::collection(found).unwrap();
                let outcome = match assign_patients(&bundle) {
                    Ok(groups) if groups.len() == 1 => "one patient",
                    Ok(groups) => {
                        println!(
                            "  {name}: {:?}",
                            groups.iter().map(|g| (&g.key, g.entries.len())).collect::<Vec<_>>()
                        );
                        "several patients"
                    }
                    Err(error) => {
                        println!("  not assigned: {name}: {error}");
                        error.code()
                    }
                };
                *outcomes.entry(outcome).or_default() += 1;
            }
            Err(error) => {
                println!("  refused: {name}: {error}");
                *refused.entry(error.code()).or_default() += 1;
            }
        }
    }
    println!("phr-format-files: {read} read, {resources} resources, {outcomes:?}, refused {refused:?}");
    assert!(read >= 10);
}
