//! Bytes from a peer never panic: sample Bundles, damaged at random places, are read or refused.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use sealwort_fhir::{assign_patients, label_of, parse_any_bundle, parse_bundle, references, samples, synthetic};

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
                    for (_, resource) in bundle.resources() {
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
