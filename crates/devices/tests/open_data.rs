//! Published measurements that lie beside the project: samples of Open mHealth that must and must not pass, examples of
//! the guides for personal and point-of-care devices, and real ECGs. Where they are absent the tests say so and pass.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use std::collections::BTreeMap;
use std::path::Path;

use sealwort_devices::{Measure, to_fhir};
use sealwort_published::{data, files, unpacked};
use serde_json::{Value, json};
use support::{NOW, documented, enrolled, enrolled_for, observations};

/// Schemas that we take in, under the names of the folders.
const TAKEN: [&str; 7] = [
    "heart-rate",
    "blood-pressure",
    "blood-glucose",
    "body-temperature",
    "body-weight",
    "body-height",
    "respiratory-rate",
];

#[test]
fn open_mhealth() {
    let Some(folder) = data("device-openmhealth") else { return };
    let enrolled = enrolled();
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    let mut count = |what| *counts.entry(what).or_default() += 1;
    for path in files(&folder, Some("json")) {
        let name = path.strip_prefix(&folder).unwrap().to_string_lossy().into_owned();
        let parts: Vec<&str> = name.split('/').collect();
        let (schema, version, verdict) = (parts[0], parts[1], parts[2]);
        let text = std::fs::read_to_string(&path).unwrap();
        let bare = observations(&enrolled, text.as_bytes());
        if !TAKEN.contains(&schema) {
            assert!(bare.is_err(), "{name}");
            count("bare of other schemas, refused");
            continue;
        }
        let point = format!(
            r#"{{"header":{{"id":"p-1","creation_date_time":"2026-11-28T07:25:10Z","schema_id":{{"namespace":"omh","name":"{schema}","version":"{version}"}}}},"body":{text}}}"#
        );
        let point = observations(&enrolled, point.as_bytes());
        if verdict == "shouldPass" {
            let found = point.unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!(values(&found[0]), values_sent(&serde_json::from_str(&text).unwrap()), "{name}");
            count("data points that should pass, taken");
            match bare {
                Ok(bare) => {
                    assert_eq!(values(&bare[0]), values(&found[0]));
                    count("bare bodies that should pass, taken");
                }
                // The newest version asks for an exact time.
                Err(error) => {
                    assert!(["missing", "bad-value"].contains(&error.code()), "{name}: {error}");
                    assert!(error.to_string().contains("effective_time_frame"), "{name}: {error}");
                    assert!(version.starts_with(['1', '2', '3']), "{name}");
                    count("bare bodies of old versions without an exact time, refused");
                }
            }
        } else {
            let error = point.expect_err(&name);
            println!("  {name}: {error}");
            count("data points that should fail, refused");
            // What an old version forbids, the newest may not: only the unversioned reading of it is judged.
            assert!(bare.is_err(), "{name}");
        }
    }
    println!("device-openmhealth: {counts:?}");
    assert_eq!(counts["data points that should pass, taken"], 64);
    assert_eq!(counts["data points that should fail, refused"], 58);
}

/// The number literals of an Observation, sorted.
fn values(observation: &Value) -> Vec<String> {
    let components = observation["component"].as_array().cloned().unwrap_or_default();
    let all = std::iter::once(observation).chain(&components);
    let mut found: Vec<_> =
        all.filter_map(|one| one.pointer("/valueQuantity/value")).map(ToString::to_string).collect();
    found.sort();
    found
}

/// The number literals of an Open mHealth body, sorted.
fn values_sent(body: &Value) -> Vec<String> {
    let mut found: Vec<_> =
        body.as_object().unwrap().values().filter_map(|member| member.get("value")).map(ToString::to_string).collect();
    found.sort();
    found
}

#[test]
fn personal_health_devices() {
    let Some(folder) = data("device-ieee11073-phd") else { return };
    let lone = enrolled_for(&Measure::ALL, &json!({"id": "patientExample-1"}));
    let mut taken = 0;
    for path in files(&folder, Some("json")) {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let mut bytes = std::fs::read(&path).unwrap();
        if name == "rtsa-example-2.json" {
            // One of the samples is followed by a no-break space, which separates nothing.
            assert_eq!(to_fhir(&lone, &bytes, NOW).unwrap_err().code(), "bad-value");
            bytes = String::from_utf8(bytes).unwrap().replace('\u{a0}', " ").into_bytes();
        }
        let sent: Value = serde_json::from_slice(&bytes).unwrap();
        match sent["resourceType"].as_str().unwrap() {
            "Observation" => {
                let found = observations(&lone, &bytes).unwrap_or_else(|error| panic!("{name}: {error}"));
                let other = to_fhir(&enrolled(), &bytes, NOW);
                // The clock of a device has the device for its subject, so it names no patient.
                if sent["subject"]["reference"].as_str().unwrap().starts_with("Patient/") {
                    assert_eq!(other.unwrap_err().code(), "another-patient", "{name}");
                }
                for member in [
                    "status",
                    "category",
                    "code",
                    "effectiveDateTime",
                    "valueQuantity",
                    "valueSampledData",
                    "valueString",
                ] {
                    assert_eq!(found[0].get(member), sent.get(member), "{name}: {member}");
                }
                assert_eq!(found[0].get("component"), sent.get("component"), "{name}");
                taken += 1;
            }
            "Bundle" => {
                let found = observations(&enrolled(), &bytes).unwrap();
                assert_eq!(found.len(), 3);
                assert!(found[1]["device"]["reference"].as_str().unwrap().starts_with("urn:uuid:c87cc91b"));
                assert_eq!(to_fhir(&lone, &bytes, NOW).unwrap_err().code(), "another-patient");
                taken += 1;
            }
            _ => assert_eq!(to_fhir(&lone, &bytes, NOW).unwrap_err().code(), "bad-value", "{name}"),
        }
    }
    println!("device-ieee11073-phd: {taken} payloads taken");
    assert_eq!(taken, 12);
}

#[test]
fn point_of_care_devices() {
    let Some(folder) = data("device-pocd") else { return };
    let text =
        std::fs::read_to_string(folder.join("input/examples/Observation-ECGSampleArrayObservation.xml")).unwrap();
    assert_eq!(to_fhir(&enrolled(), text.as_bytes(), NOW).unwrap_err().code(), "not-json", "XML is not taken");
    let data: Vec<Vec<i32>> = text
        .split("<data value=\"")
        .skip(1)
        .map(|rest| rest.split('"').next().unwrap().split(' ').map(|sample| sample.parse().unwrap()).collect())
        .collect();
    let leads = ["I", "II", "III"].iter().zip(&data);
    let channels: Vec<Value> = leads
        .map(|(lead, samples)| json!({"lead": lead, "factor": 0.001, "origin": -0.5, "samples": samples}))
        .collect();
    let found = check_ecg(&json!(8), &channels);
    for (component, samples) in found["component"].as_array().unwrap().iter().zip(&data) {
        assert_eq!(&samples_of(component), samples);
    }
}

fn check_ecg(period: &Value, channels: &[Value]) -> Value {
    let payload = json!({
        "format": "sealwort-measurements/1", "sequence": "ecg:1", "time": "2026-11-28T02:00:00Z",
        "measure": "ecg", "unit": "mV", "period_ms": period, "channels": channels,
    });
    observations(&enrolled(), payload.to_string().as_bytes()).unwrap().remove(0)
}

fn samples_of(component: &Value) -> Vec<i32> {
    component["valueSampledData"]["data"].as_str().unwrap().split(' ').map(|sample| sample.parse().unwrap()).collect()
}

#[test]
fn real_electrocardiograms() {
    let Some(folder) = unpacked("device-wfdb-waveforms.tar.zst") else { return };
    // Record 100: two leads, 360 a second, 12 bits packed in pairs, 200 steps to the millivolt around 1024.
    let bytes = read(folder.path(), "100.dat");
    let (first, second) = packed_pairs(&bytes, 3600);
    assert_eq!((first[0], second[0]), (995, 1011), "the header's first values");
    let channel = |lead, samples: &[i32]| json!({"lead": lead, "factor": 0.005, "origin": -5.12, "samples": samples});
    let period: Value = serde_json::from_str("2.7777777777777778").unwrap();
    let found = check_ecg(&period, &[channel("II", &first), channel("V5", &second)]);
    assert_eq!((samples_of(&found["component"][0]), samples_of(&found["component"][1])), (first, second));
    assert_eq!(found["component"][0]["valueSampledData"]["period"], period);
    assert_eq!(found["effectivePeriod"]["end"], "2026-11-28T02:00:10Z");
    // Record 3000003_0003: two leads, 125 a second, bytes around 128; its header has a sum over each.
    let bytes = read(folder.path(), "3000003_0003.dat");
    let lead = |at: usize| bytes[at..].iter().step_by(2).map(|byte| i32::from(*byte) - 128).collect::<Vec<i32>>();
    let leads = [lead(0), lead(1)];
    for (samples, sum) in leads.iter().zip([-3441, 4397]) {
        assert_eq!(samples.len(), 1028);
        assert_eq!((samples.iter().sum::<i32>() - sum) % 65_536, 0, "the header's sum");
    }
    let channel = |lead, samples: &[i32]| json!({"lead": lead, "samples": samples});
    let found = check_ecg(&json!(8), &[channel("II", &leads[0]), channel("unspecified", &leads[1])]);
    assert_eq!(samples_of(&found["component"][1]), leads[1]);
    println!("device-wfdb-waveforms: 2 records, {} samples", 2 * 3600 + 2 * 1028);
}

fn read(folder: &Path, name: &str) -> Vec<u8> {
    std::fs::read(folder.join(name)).or_else(|_| std::fs::read(folder.join("sample-data").join(name))).unwrap()
}

/// WFDB's format 212: two samples of 12 bits, two's complement, in three bytes.
fn packed_pairs(bytes: &[u8], count: usize) -> (Vec<i32>, Vec<i32>) {
    let signed = |value: i32| if value >= 2048 { value - 4096 } else { value };
    bytes
        .chunks_exact(3)
        .take(count)
        .map(|three| {
            let [low, middle, high] = [three[0], three[1], three[2]].map(i32::from);
            (signed(low | (middle & 15) << 8), signed(high | (middle >> 4) << 8))
        })
        .unzip()
}

/// Bytes changed, dropped and repeated: refused or mapped, never a panic, and what is mapped is a Bundle of the enrolled patient's.
#[test]
fn altered_payloads() {
    let mut seeds: Vec<Vec<u8>> = documented().into_iter().map(String::into_bytes).collect();
    if let Some(folder) = data("device-ieee11073-phd") {
        seeds.extend(files(&folder, Some("json")).iter().map(|path| std::fs::read(path).unwrap()));
    }
    let enrolled = enrolled();
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut next = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        usize::try_from(state % u64::try_from(below.max(1)).unwrap()).unwrap()
    };
    let pieces: [&[u8]; 14] = [
        b"null",
        b"{}",
        b"[]",
        b"\"\"",
        b"-1",
        b"1e99",
        b"0.0",
        b"true",
        b"\"reference\":\"Patient/9\",",
        b",",
        b"}",
        b"\\u0000",
        b"99999999999999999999999",
        "\u{e9}".as_bytes(),
    ];
    let (mut taken, mut refused) = (0, BTreeMap::<&str, usize>::new());
    let mut judge = |bytes: &[u8]| match to_fhir(&enrolled, bytes, NOW) {
        Ok(mapped) => {
            let bundle = sealwort_fhir::parse_bundle(mapped.bundle.clone()).unwrap();
            assert_eq!(sealwort_fhir::assign_patients(&bundle).unwrap().len(), 1, "one patient's");
            check_patients(&serde_json::from_slice(&mapped.bundle).unwrap());
            taken += 1;
        }
        Err(error) => *refused.entry(error.code()).or_default() += 1,
    };
    for seed in &seeds {
        for _ in 0..1000 {
            let mut bytes = seed.clone();
            for _ in 0..=next(3) {
                let at = next(bytes.len());
                let to = (at + next(12)).min(bytes.len());
                match next(4) {
                    0 => bytes[at] = u8::try_from(next(256)).unwrap(),
                    1 => drop(bytes.drain(at..to)),
                    2 => bytes = [&bytes[..to], &bytes[at..]].concat(),
                    _ => bytes = [&bytes[..at], pieces[next(pieces.len())], &bytes[to..]].concat(),
                }
            }
            judge(&bytes);
        }
        let whole: Value = serde_json::from_slice(seed).unwrap();
        let nodes = count(&whole);
        for at in 0..nodes {
            // Each place in turn becomes three of the pieces that are values; over all places, all of them.
            let values = pieces.iter().filter_map(|piece| serde_json::from_slice::<Value>(piece).ok());
            for piece in values.skip(at % 3).step_by(3) {
                let mut changed = whole.clone();
                replace(&mut changed, &mut { at }, &piece);
                judge(changed.to_string().as_bytes());
            }
        }
    }
    println!("altered: {taken} taken, refused {refused:?}");
    assert!(taken > 0 && refused.len() > 8);
}

/// Checks that every reference to a patient, and every search for one, is the enrolled patient's.
fn check_patients(value: &Value) {
    match value {
        Value::Object(members) => {
            let reference = members.get("reference").and_then(Value::as_str).unwrap_or_default();
            assert!(!reference.contains("Patient") || reference == "Patient/p1", "{reference}");
            if members.get("type").and_then(Value::as_str) == Some("Patient") {
                assert_eq!(reference, "Patient/p1");
            }
            members.values().for_each(check_patients);
        }
        Value::Array(list) => list.iter().for_each(check_patients),
        _ => {}
    }
}

/// How many values there are in a value, itself counted.
fn count(value: &Value) -> usize {
    1 + match value {
        Value::Array(list) => list.iter().map(count).sum(),
        Value::Object(members) => members.values().map(count).sum::<usize>(),
        _ => 0,
    }
}

/// Replaces the value that `left` counts down to.
fn replace(value: &mut Value, left: &mut usize, by: &Value) {
    if *left == 0 {
        *value = by.clone();
    }
    *left = left.wrapping_sub(1);
    match value {
        Value::Array(list) => list.iter_mut().for_each(|one| replace(one, left, by)),
        Value::Object(members) => members.values_mut().for_each(|one| replace(one, left, by)),
        _ => {}
    }
}
