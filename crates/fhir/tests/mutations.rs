//! Bytes from a peer never panic: sample Bundles, damaged at random places, are read or refused.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use sealwort_fhir::html::{Page, page};
use sealwort_fhir::{
    Resource, ResourceId, SummaryAuthor, SummaryRequest, VersionId, assign_patients, conditional_references, label_of,
    parse_any_bundle, parse_bundle, patch, present, references, rewrite_references, same_content_but_id, samples,
    summary, synthetic,
};
use time::OffsetDateTime;

/// What is done with a resource that was read: it works, whatever the elements hold.
fn show(resource: &Resource, record: &[&Resource]) {
    let id: ResourceId = "shown".parse().unwrap();
    let now = OffsetDateTime::UNIX_EPOCH;
    let shown = present(resource, &id, VersionId::FIRST, now);
    let read = Resource::parse(shown.bytes().clone()).unwrap();
    assert_eq!(read.id(), Some(&id));
    let meta = &resource.json().unwrap()["meta"];
    let kept = meta.is_null() || meta.is_object() && !meta["versionId"].is_object() && !meta["lastUpdated"].is_object();
    assert!(!kept || same_content_but_id(shown.bytes(), resource.bytes()));
    rewrite_references(resource, |link| link.contains('1').then(|| "Basic/x".to_owned())).unwrap();
    conditional_references(resource).unwrap();
    let patched = patch::apply(
        &shown,
        br#"[{"op":"remove","path":"/meta/versionId"},{"op":"test","path":"/id","value":"shown"}]"#,
    );
    assert_eq!(patched.unwrap().id(), Some(&id));
    let layout = page(shown.bytes(), &Page { stylesheet: "/s.css", base_url: "/fhir" }).unwrap();
    assert!(!layout.contains("<script"));
    let author = SummaryAuthor { id: &id, name: "H" };
    let request = SummaryRequest { patient: resource, record, author, uuid: &id, base_url: "/fhir", now };
    if let Ok(bytes) = summary(&request) {
        parse_bundle(bytes).unwrap();
    }
}

#[test]
fn damaged_bundles_are_read_or_refused() {
    let mut state = 1_u64;
    let mut next = |below: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 33).unwrap() % below
    };
    let mut seeds: Vec<Vec<u8>> =
        samples::ALL.iter().map(|sample| sample.bytes.to_vec()).filter(|bytes| bytes.len() < 20_000).collect();
    seeds.push(synthetic::bundle(1, 1, 12));
    let (mut read, mut refused) = (0, 0);
    for seed in &seeds {
        for _ in 0..400 {
            let mut bytes = seed.clone();
            for _ in 0..=next(2) {
                let (at, other) = (next(bytes.len()), next(bytes.len()));
                match next(5) {
                    0 => bytes[at] = u8::try_from(next(256)).unwrap(),
                    1 => bytes.truncate(at.max(1)),
                    2 => drop(bytes.drain(at.min(other)..at.max(other))),
                    3 => {
                        let part = bytes[at.min(other)..at.max(other)].to_vec();
                        bytes.splice(at..at, part);
                    }
                    _ => bytes.swap(at, other),
                }
                if bytes.is_empty() {
                    bytes.push(b'{');
                }
            }
            drop(parse_any_bundle(bytes.clone()));
            match parse_bundle(bytes) {
                Ok(bundle) => {
                    read += 1;
                    drop(assign_patients(&bundle));
                    let record: Vec<_> = bundle.resources().map(|(_, resource)| resource).collect();
                    for resource in &record {
                        show(resource, &record);
                        label_of(resource);
                        references(resource).count();
                        resource.json().unwrap();
                    }
                }
                Err(error) => {
                    refused += 1;
                    assert!((400..500).contains(&error.http_status()));
                    serde_json::from_slice::<serde_json::Value>(&error.outcome().to_bytes()).unwrap();
                }
            }
        }
    }
    assert!(read > 50 && refused > 500, "{read} read, {refused} refused");
}
