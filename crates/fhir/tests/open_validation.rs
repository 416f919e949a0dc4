//! Validation of published records. None may be refused but the few in [`FAULTY`], each with what is
//! wrong with it. Set `SEALWORT_OPEN_DATA_ALL=1` to take all Synthea patients instead of a sample.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use sealwort_fhir::validation::is_acceptable;
use sealwort_fhir::{Handling, Resource, Severity, parse_ndjson, validate};
use sealwort_published::{data, files, unpacked};
use serde_json::Value;

/// One file of so many is read from the large sets, unless all are wanted.
const SAMPLE: usize = 12;

/// Files that break a rule of R4: the code and place of the first error, and why it is one.
const FAULTY: &[(&[&str], &str, &str)] = &[
    (
        &["AdamAnyperson-gx-cancer-patient-adam-anyperson.json"],
        "bdl-1 at Bundle.total",
        "a total in a collection, and fullUrls that occur twice",
    ),
    (
        &["DeviceUseStatement-example.json"],
        "reference-target at DeviceUseStatement.reasonReference[0]",
        "refers to a Procedure, which R4 does not allow there",
    ),
    (
        &["MedicationRequest-medrx0301.json"],
        "reference-target at MedicationRequest.dispenseRequest.performer",
        "refers to a Practitioner, where R4 allows an Organization",
    ),
    (
        &["Questionnaire-zika-virus-exposure-assessment.json"],
        "txt-2 at Questionnaire.text.div",
        "a narrative without a word",
    ),
    (
        &[
            "Anne_Goodwin_6a9e8e6f-d4d8-f062-79cf-cbeda88dc2bf.phr",
            "Dee580Boehm581-4fcce493-43ba-aa15-23e8-653d7648ab08.phr",
            "Gerald181Murazik203-d4beb77a-1183-7593-23e8-fb2a2694d55b.phr",
            "Maegan141Cole117-521a2b92-7926-4348-0c8d-3bd3af6da538.phr",
            "Mr.Adrian111Smith67-d5b0f2de-08c8-8259-68b0-af1fb66be392.phr",
            "Mr.Cyril535Koepp521-558aac8d-bd8a-e7fd-ca6e-824c192e9544.phr",
            "Mr.Graig740Tremblay80-54e40745-9772-e4a4-b501-47ae63c99704.phr",
            "Mrs.Charlotte28Parisian75-fecad5a2-6d95-36ed-7e4c-d47e9199e8cc.phr",
            "Mrs.Scarlett814Stamm704-b722aff7-7d41-fea2-ca71-7770fc0a9eb7.phr",
            "Mrs.Sina65Ullrich385-963c7c3a-80ba-5c14-30e9-d3dcf83d6cd4.phr",
            "Mrs.Vanessa263Lang846-6fd8fee9-7fba-4446-5a2a-dfe9257e1631.phr",
            "Ms.Ariel183Schmitt836-d949d7bb-3bd7-b925-e72f-a314b6feb197.phr",
            "Ms.Loriann967Torp761-81810e78-8279-b01b-f0c8-62f7ebf85613.phr",
            "Ms.Yu876Botsford977-c5328d38-7a8c-e245-dabe-2042022047eb.phr",
            "Spencer878Stehr398-ae26bfd6-d45b-c819-0de6-a2299511e6f4.phr",
        ],
        "empty at Composition.subject.display",
        "references and names that are empty strings",
    ),
    (&["WilliamSim.phr"], "empty at Composition.author[0].display", "an author that is an empty string"),
    (&["WilliamSim.phr"], "missing-element at Media.status", "a Media without status"),
    (&["WilliamSim.phr"], "wrong-json at Condition.clinicalStatus", "a string where a CodeableConcept belongs"),
    (&["WilliamSim.phr"], "wrong-json at Observation.category", "an object where an array belongs"),
    (&["WilliamSim.phr"], "wrong-json at Patient.name[0].given", "a string where an array belongs"),
];

#[derive(Default)]
struct Sum {
    files: usize,
    resources: usize,
    bytes: usize,
    notes: BTreeMap<String, usize>,
    refused: Vec<String>,
    names: BTreeSet<String>,
    excused: BTreeSet<(String, String)>,
}

impl Sum {
    fn take(&mut self, name: &str, bytes: usize, value: &Value) {
        self.resources += 1;
        self.bytes += bytes;
        let issues = validate(value, Handling::Lenient);
        for issue in &issues {
            if issue.severity() != Severity::Error {
                *self.notes.entry(issue.stable_code().to_owned()).or_default() += 1;
            }
        }
        self.names.insert(name.to_owned());
        if is_acceptable(&issues) {
            return;
        }
        let errors: Vec<_> = issues.iter().filter(|issue| issue.severity() == Severity::Error).collect();
        let first = format!("{} at {}", errors[0].stable_code(), errors[0].expressions()[0]);
        if FAULTY.iter().any(|(files, fault, _)| files.contains(&name) && *fault == first) {
            self.excused.insert((name.to_owned(), first));
            return;
        }
        for issue in errors.iter().take(4) {
            self.refused.push(format!(
                "{name}: {} at {}: {}",
                issue.stable_code(),
                issue.expressions().join(", "),
                issue.text()
            ));
        }
    }

    fn file(&mut self, path: &Path) {
        self.files += 1;
        let bytes = std::fs::read(path).unwrap();
        let Ok(value) = serde_json::from_slice::<Value>(&bytes) else { panic!("{}", path.display()) };
        self.take(&path.file_name().unwrap().to_string_lossy(), bytes.len(), &value);
    }

    fn finish(&self, title: &str) {
        println!(
            "{title}: {} files, {} resources, {} bytes; {} excused, notes {:?}",
            self.files,
            self.resources,
            self.bytes,
            self.excused.len(),
            self.notes
        );
        for line in &self.refused {
            println!("  refused: {line}");
        }
        assert!(self.refused.is_empty(), "{title}");
        for (files, fault, _) in FAULTY {
            for file in files.iter().filter(|file| self.names.contains(**file)) {
                let excused = self.excused.contains(&((*file).to_owned(), (*fault).to_owned()));
                assert!(excused, "{file} is listed for '{fault}', which is not its first error");
            }
        }
        assert!(self.resources > 0);
    }
}

/// All files where all are wanted, else one of so many.
fn step(every: usize) -> usize {
    if std::env::var_os("SEALWORT_OPEN_DATA_ALL").is_some() { 1 } else { every }
}

fn folder(path: &Path, title: &str, every: usize) {
    let every = step(every);
    let mut sum = Sum::default();
    files(path, Some("json")).iter().step_by(every).for_each(|path| sum.file(path));
    sum.finish(title);
}

#[test]
fn published_files() {
    for name in [
        "fhir-small-synthea",
        "fhir-us-core-examples",
        "fhir-ips-2.0.0-examples",
        "audit-ihe-balp",
        "consent-ihe-pcf",
        "device-ieee11073-phd",
    ] {
        if let Some(path) = data(name) {
            folder(&path, name, 1);
        }
    }
}

#[test]
fn official_examples() {
    if let Some(path) = data("fhir-r4-spec-examples") {
        folder(&path, "fhir-r4-spec-examples", 1);
    }
}

#[test]
fn synthea_archives() {
    for (name, every) in [("fhir-100-synthea-v2.5", 4), ("fhir-615-synthea-v2.4", SAMPLE), ("fhir-phr-ig-patients", 1)]
    {
        if let Some(unpacked) = unpacked(&format!("{name}.tar.zst")) {
            folder(unpacked.path(), name, every);
        }
    }
}

#[test]
fn lines_of_mimic_and_of_the_phr_format() {
    for (name, extension, every) in [("fhir-mimic-iv-demo-ODbL", "ndjson", 4), ("phr-format-files", "phr", 1)] {
        let Some(unpacked) = unpacked(&format!("{name}.tar.zst")) else { continue };
        let mut sum = Sum::default();
        for path in files(unpacked.path(), Some(extension)).iter().step_by(step(every)) {
            // Some files of the PHR format are no JSON; `open_data` names them.
            let Ok(resources) = parse_ndjson(std::fs::read(path).unwrap()) else { continue };
            sum.files += 1;
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            let take =
                |sum: &mut Sum, resource: &Resource| sum.take(&name, resource.bytes().len(), &resource.json().unwrap());
            for resource in &resources {
                take(&mut sum, resource);
            }
        }
        sum.finish(name);
    }
}

/// Cases of the public validator tests that we judge otherwise than they do, each with the reason.
const JUDGED_OTHERWISE: &[(&str, &str)] =
    &[("contained-resource-bad-id-ignore", "tests a switch that leaves contained resources out; the id is too long")];

/// Cases that need profiles, packages, terminology, other versions or other formats are left out: we
/// check the base of R4 in JSON.
fn needs_more(case: &Value) -> bool {
    const MORE: &[&str] = &[
        "profile",
        "profiles",
        "supporting",
        "packages",
        "package-map",
        "logical",
        "fetcher",
        "bundle-param",
        "matchetype",
        "certificate",
        "security-checks",
        "allow-comments",
        "examples",
        "language",
        "validateReference",
        "tx-dependent",
    ];
    let object = case.as_object().unwrap();
    !matches!(object.get("version").and_then(Value::as_str), Some("4.0" | "4.0.1"))
        || object.keys().any(|key| MORE.contains(&key.as_str()))
        || matches!(case["module"].as_str(), Some("tx" | "dsig" | "matchetype" | "cda" | "shc" | "json5" | "cdshooks"))
}

#[test]
fn public_validator_cases() {
    let Some(folder) = unpacked("conformance-fhir-test-cases.tar.zst") else { return };
    let folder = folder.path().join("validator");
    let read = |path: &Path| serde_json::from_slice::<Value>(&std::fs::read(path).ok()?).ok();
    let manifest = read(&folder.join("manifest.json")).unwrap();
    let (mut accepted, mut refused, mut theirs_alone, mut ours_alone) = (0, 0, Vec::new(), Vec::new());
    for case in manifest["test-cases"].as_array().unwrap() {
        let file = case["file"].as_str().unwrap();
        if Path::new(file).extension().is_none_or(|extension| extension != "json") || needs_more(case) {
            continue;
        }
        let Some(outcome) = case["java"].as_str().and_then(|name| read(&folder.join("outcomes").join(name))) else {
            continue;
        };
        let Ok(bytes) = std::fs::read(folder.join(file)) else { continue };
        let issues = outcome["issue"].as_array().map(Vec::as_slice).unwrap_or_default();
        let refused_there = issues.iter().any(|issue| matches!(issue["severity"].as_str(), Some("error" | "fatal")));
        let ours = match Resource::parse(bytes) {
            Ok(resource) => validate(&resource.json().unwrap(), Handling::Strict),
            Err(error) => error.outcome().issues().cloned().collect(),
        };
        let fault = ours.iter().find(|issue| matches!(issue.severity(), Severity::Error | Severity::Fatal));
        let name = case["name"].as_str().unwrap();
        match (refused_there, fault) {
            (false, None) => accepted += 1,
            (true, Some(_)) => refused += 1,
            (true, None) => theirs_alone.push((
                name,
                issues
                    .iter()
                    .filter(|i| i["severity"] == "error")
                    .map(|i| i["details"]["text"].to_string())
                    .collect::<Vec<_>>(),
            )),
            (false, Some(issue)) => {
                ours_alone.push((name, issue.text().to_owned() + " " + &issue.expressions().join(",")));
            }
        }
    }
    println!(
        "validator cases: {accepted} accepted and {refused} refused by both, {} by them alone, {} by us alone",
        theirs_alone.len(),
        ours_alone.len()
    );
    for (name, issues) in &theirs_alone {
        println!("  them alone: {name}: {issues:?}");
    }
    for (name, text) in &ours_alone {
        println!("  us alone: {name}: {text}");
    }
    for (name, _) in &ours_alone {
        assert!(JUDGED_OTHERWISE.iter().any(|(case, _)| case == name), "{name}");
    }
    assert!(accepted > 0 && refused > 0);
}

/// `cargo nextest run -p sealwort-fhir --release --run-ignored only validation_speed --no-capture`
#[test]
#[ignore = "a measurement, for release builds"]
fn validation_speed() {
    let Some(unpacked) = unpacked("fhir-100-synthea-v2.5.tar.zst") else { return };
    let mut resources = Vec::new();
    for path in files(unpacked.path(), Some("json")) {
        let bundle: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
        let entries = bundle["entry"].as_array().cloned().unwrap_or_default();
        resources.extend(entries.into_iter().map(|entry| entry["resource"].clone()));
    }
    let bytes: usize = resources.iter().map(|resource| resource.to_string().len()).sum();
    let megabytes = f64::from(u32::try_from(bytes).unwrap()) / 1e6;
    for _ in 0..5 {
        let start = std::time::Instant::now();
        let refused =
            resources.iter().filter(|resource| !is_acceptable(&validate(resource, Handling::Lenient))).count();
        let seconds = start.elapsed().as_secs_f64();
        assert_eq!(refused, 0);
        println!(
            "{} resources, {megabytes:.1} MB without white space, validated in {seconds:.3} s: {:.0} MB/s",
            resources.len(),
            megabytes / seconds
        );
    }
}
