//! What goes in comes out: published patients and every official example of R4 are stored at a gateway and read back
//! with equal content, number literals included. Only what the validator refuses by name may be missing. The data lie
//! beside the project; `SEALWORT_OPEN_DATA_ALL=1` takes every file instead of a sample.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, missing_docs)]

mod support;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Instant;

use sealwort_fhir::same_content;
use sealwort_published::{all_wanted, data, files, unpacked};
use serde_json::json;
use support::stored::{RawBundle, stored};
use support::{Client, Party, World, name_of};

/// One file of so many is taken of each archive, unless all are wanted.
const SAMPLES: [(&str, usize); 2] = [("fhir-100-synthea-v2.5", 6), ("fhir-615-synthea-v2.4", 40)];
/// Official examples that break a rule of R4, and the code and place of the first fault (`open_validation` in
/// `crates/fhir` says why each is one).
const FAULTY: [(&str, &str); 3] = [
    ("DeviceUseStatement-example.json", "reference-target at DeviceUseStatement.reasonReference[0]"),
    ("MedicationRequest-medrx0301.json", "reference-target at MedicationRequest.dispenseRequest.performer"),
    ("Questionnaire-zika-virus-exposure-assessment.json", "txt-2 at Questionnaire.text.div"),
];
/// Official examples about patients of other servers, whom nobody knows here by those URLs.
const OTHERS: [(&str, &str); 2] = [
    ("QuestionnaireResponse-bb.json", "patient-unknown at QuestionnaireResponse.subject"),
    ("ServiceRequest-myringotomy.json", "patient-unknown at ServiceRequest.subject"),
];
/// A Subscription tells ids alone, never content.
const WITH_CONTENT: (&str, &str) =
    ("Subscription-example.json", "subscription-unsupported at Subscription.channel.payload");
/// AuditEvents are entries of the gateway's own audit log: nobody writes them.
const WRITTEN_BY_NOBODY: [(&str, &str); 4] = [
    ("AuditEvent-example-error.json", "method-not-allowed at "),
    ("AuditEvent-example-logout.json", "method-not-allowed at "),
    ("AuditEvent-example-pixQuery.json", "method-not-allowed at "),
    ("AuditEvent-example-search.json", "method-not-allowed at "),
];
/// These two of Synthea 2.4 have one driver's licence number and differ in all others: the second is refused.
const SAME_NUMBER: [&str; 2] = [
    "Clint_Champlin_4e83f4d0-0461-47bf-9711-292d8f5d69ff.json",
    "Kirsten_Witting_a09212a3-af3e-4194-b1d1-3f0a543222f6.json",
];

#[test]
fn published_patients_come_out_as_they_went_in() {
    let Some(small) = data("fhir-small-synthea") else { return };
    let world = World::start();
    let ehr = world.client(Party::HospitalA);
    let archives = SAMPLES.map(|(name, every)| (name, every, unpacked(&format!("{name}.tar.zst"))));
    // Practitioners and organizations first, as Synthea's own instructions have it: patients refer to them.
    for (name, _, folder) in &archives {
        let Some(folder) = folder else { continue };
        for file in files(folder.path(), Some("json")) {
            let title = file.file_name().unwrap().to_string_lossy().into_owned();
            if title.starts_with("hospitalInformation") || title.starts_with("practitionerInformation") {
                let mut sum = Sum::default();
                sum.own_record(&ehr, &file);
                sum.finish(&format!("{name} {title}"), &[]);
            }
        }
    }
    let mut sets = vec![("fhir-small-synthea", files(&small, Some("json")))];
    if let Some(summaries) = data("fhir-ips-2.0.0-examples") {
        let mut documents = files(&summaries, Some("json"));
        documents.retain(|file| title(file).starts_with("Bundle-"));
        sets.push(("fhir-ips-2.0.0-examples", documents));
    }
    for (name, every, folder) in &archives {
        let Some(folder) = folder else { continue };
        let mut patients = files(folder.path(), Some("json"));
        patients.retain(|file| !file.file_name().unwrap().to_string_lossy().contains("Information"));
        let every = if all_wanted() { 1 } else { *every };
        let wanted = |(at, file): &(usize, PathBuf)| at % every == 0 || SAME_NUMBER.contains(&title(file).as_str());
        sets.push((name, patients.into_iter().enumerate().filter(wanted).map(|(_, file)| file).collect()));
    }
    // Some are in two sets.
    let mut seen = BTreeSet::new();
    for (name, files) in sets {
        let mut sum = Sum::default();
        let second = files.iter().any(|file| title(file) == SAME_NUMBER[1]);
        for file in files.into_iter().filter(|file| seen.insert(title(file))) {
            sum.transaction(&ehr, &file);
        }
        sum.finish(
            name,
            if second { &[(SAME_NUMBER[1], "identifiers-contradict at Patient.identifier")] } else { &[] },
        );
    }
}

#[test]
fn official_examples_come_out_as_they_went_in() {
    let Some(folder) = data("fhir-r4-spec-examples") else { return };
    let world = World::start();
    let ehr = world.client(Party::HospitalA);
    let mut files = files(&folder, Some("json"));
    // Patients first: what is somebody's needs to find them.
    files.sort_by_key(|file| !file.file_name().unwrap().to_string_lossy().starts_with("Patient-"));
    create_missing_patients(&ehr, &files);
    let mut sum = Sum::default();
    for file in &files {
        sum.example(&ehr, file);
    }
    // What was stored last may have changed nothing that was stored before.
    for file in &files {
        sum.read_again(&ehr, file);
    }
    sum.finish("fhir-r4-spec-examples", &[&FAULTY[..], &OTHERS, &WRITTEN_BY_NOBODY, &[WITH_CONTENT]].concat());
    assert!(sum.files > 300);
}

/// What came of a set of files.
#[derive(Default)]
struct Sum {
    files: usize,
    bytes: usize,
    sent: usize,
    equal: usize,
    differ: Vec<String>,
    /// Files that were refused, each with the code and place of the first fault.
    refused: BTreeMap<String, String>,
    begun: Option<Instant>,
}

impl Sum {
    /// A file of the hospital's own resources.
    fn own_record(&mut self, ehr: &Client, file: &Path) {
        for (name, resource) in self.post(ehr, file) {
            let read = ehr.get(&format!("/fhir/{name}"));
            self.compare(&name, &resource, (read.status == 200).then_some(read.body.as_slice()));
        }
    }

    /// A patient's transaction. What comes back is the whole record.
    fn transaction(&mut self, ehr: &Client, file: &Path) {
        let sent = self.post(ehr, file);
        let Some((patient, _)) = sent.iter().find(|(name, _)| name.starts_with("Patient/")) else { return };
        let everything = ehr.get(&format!("/fhir/{patient}/$everything")).with(200);
        let raw: RawBundle<'_> = serde_json::from_slice(&everything.body).unwrap();
        let resources = raw.entry.iter().filter_map(|entry| entry.resource);
        let mut found: HashMap<String, &str> = resources
            .map(|resource| (name_of(&serde_json::from_str(resource.get()).unwrap()), resource.get()))
            .collect();
        for (name, resource) in &sent {
            self.compare(name, resource, found.remove(name).map(str::as_bytes));
        }
        assert!(found.is_empty(), "{}: and besides {:?}", file.display(), found.keys());
    }

    /// Posts a Bundle: its resources by name as they should come back, or nothing where it is refused.
    fn post(&mut self, ehr: &Client, file: &Path) -> Vec<(String, String)> {
        let bytes = self.begin(file);
        let answer = ehr.send("POST", "/fhir", &[], &bytes);
        if answer.status == 200 {
            return stored(&bytes, &answer);
        }
        self.refuse(file, &answer);
        Vec::new()
    }

    /// An example that is put under its own id.
    fn example(&mut self, ehr: &Client, file: &Path) {
        let bytes = self.begin(file);
        let name = name_of(&serde_json::from_slice(&bytes).unwrap());
        let answer = ehr.send("PUT", &format!("/fhir/{name}"), &[], &bytes);
        if !matches!(answer.status, 200 | 201) {
            self.refuse(file, &answer);
        }
    }

    fn read_again(&mut self, ehr: &Client, file: &Path) {
        let title = title(file);
        if self.refused.contains_key(&title) {
            return;
        }
        let bytes = fs::read_to_string(file).unwrap();
        let name = name_of(&serde_json::from_str(&bytes).unwrap());
        let read = ehr.get(&format!("/fhir/{name}"));
        self.compare(&name, &bytes, (read.status == 200).then_some(read.body.as_slice()));
    }

    fn begin(&mut self, file: &Path) -> Vec<u8> {
        self.begun.get_or_insert_with(Instant::now);
        self.files += 1;
        let bytes = fs::read(file).unwrap();
        self.bytes += bytes.len();
        bytes
    }

    fn refuse(&mut self, file: &Path, answer: &support::Answer) {
        let (status, code, place) = answer.refusal();
        assert!((400..500).contains(&status), "{}: {}", file.display(), answer.text());
        self.refused.insert(title(file), format!("{code} at {place}"));
    }

    fn compare(&mut self, name: &str, sent: &str, found: Option<&[u8]>) {
        self.sent += 1;
        match found {
            Some(found) if same_content(sent.as_bytes(), found) => self.equal += 1,
            Some(found) => self.differ.push(format!("{name}:\n{sent}\n{}", String::from_utf8_lossy(found))),
            None => self.differ.push(format!("{name} is not there")),
        }
    }

    /// A line of the table. Everything is equal but the files that are refused, and those are the ones expected.
    fn finish(&self, title: &str, expected: &[(&str, &str)]) {
        let seconds = self.begun.map(|begun| begun.elapsed().as_secs_f64()).unwrap_or_default();
        println!(
            "| {title} | {} files, {} bytes | {} resources in | {} out and equal | {} files refused | {seconds:.1} s |",
            self.files,
            self.bytes,
            self.sent,
            self.equal,
            self.refused.len()
        );
        for (file, fault) in &self.refused {
            println!("|   refused: {file}: {fault} |");
        }
        for difference in self.differ.iter().take(5) {
            eprintln!("{difference}");
        }
        assert_eq!(self.equal, self.sent, "{title}: {} differ", self.differ.len());
        let expected: BTreeMap<String, String> =
            expected.iter().map(|(file, fault)| ((*file).to_owned(), (*fault).to_owned())).collect();
        assert_eq!(self.refused, expected, "{title}");
        assert!(self.sent > 0);
    }
}

fn title(file: &Path) -> String {
    file.file_name().unwrap().to_string_lossy().into_owned()
}

/// The examples are about more Patients than are among them.
fn create_missing_patients(ehr: &Client, files: &[PathBuf]) {
    let there: BTreeSet<String> = files.iter().map(|file| title(file)).collect();
    let mut referred = BTreeSet::new();
    for file in files {
        let text = fs::read_to_string(file).unwrap();
        for part in text.split("\"Patient/").skip(1) {
            referred.insert(part.split(['"', '/']).next().unwrap().to_owned());
        }
    }
    referred.retain(|id| !there.contains(&format!("Patient-{id}.json")));
    let begun = Instant::now();
    for id in &referred {
        let patient = json!({"resourceType": "Patient", "id": id});
        ehr.send("PUT", &format!("/fhir/Patient/{id}"), &[], patient.to_string()).with(201);
    }
    println!(
        "{} Patients whom examples refer to were created in {:.1} s",
        referred.len(),
        begun.elapsed().as_secs_f64()
    );
}
