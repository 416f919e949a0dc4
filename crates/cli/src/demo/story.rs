//! The story: hospital A stores records, hospital B is refused, is granted consent, reads the same bytes, and
//! is refused again after consent was withdrawn.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::{Duration, Instant};

use bytes::Bytes;
use sealwort_fhir::{Identifier, Resource, logical_id, parse_any_bundle, rewrite_references, same_content_but_id};
use sealwort_net::steps::{Heard, StepReport};
use sealwort_pages::words::explain::{self as words, ChapterWords};
use sealwort_proto::Step;
use serde::Serialize;
use serde_json::json;
use tokio::sync::broadcast;

use super::explain::{Hospital, Outcome, Recorder};
use super::patients::{self, Loaded};
use super::scan::Needles;
use super::telling;
use super::world::World;
use crate::client::encode;
use crate::error::CliError;
use crate::output::Output;

/// What the demo showed. Its JSON form is what scripts read.
#[derive(Debug, Serialize)]
pub(super) struct Told {
    pub(super) exchange: &'static str,
    pub(super) started_ms: u128,
    pub(super) steps: Vec<StepTold>,
    pub(super) patients: usize,
    pub(super) resources_written: usize,
    pub(super) resources_read: usize,
    pub(super) bytes_written: usize,
    pub(super) write_ms: u128,
    pub(super) read_ms: u128,
    pub(super) read_equals_written: bool,
    pub(super) denied_before_consent: bool,
    pub(super) denied_after_withdrawal: bool,
    pub(super) plaintext_found: u64,
    pub(super) bytes_searched: u64,
    pub(super) operations: BTreeMap<&'static str, BTreeMap<&'static str, u64>>,
    pub(super) resident_kib: Option<u64>,
    pub(super) urls: BTreeMap<&'static str, String>,
    pub(super) curl: String,
    /// Identifier of the first patient.
    pub(super) first_patient: String,
}

/// One of the sixteen steps as it happened.
#[derive(Debug, Serialize)]
pub(crate) struct StepTold {
    pub(crate) phase: &'static str,
    pub(crate) step: u8,
    pub(crate) route: &'static str,
    pub(crate) what: &'static str,
    pub(crate) bytes: usize,
    pub(crate) micros: u128,
}

impl Told {
    /// What the demo must show and did not, in words.
    pub(super) fn missing(&self) -> Vec<String> {
        let steps = |phase| {
            let numbers = self.steps.iter().filter(|told| told.phase == phase).map(|told| told.step);
            numbers.collect::<BTreeSet<_>>().len()
        };
        let (authentication, transmission) = (steps(telling::AUTHENTICATION), steps(telling::TRANSMISSION));
        [
            (self.resources_written > 0, "nothing was written".to_owned()),
            (self.read_equals_written, "what hospital B read is not what A wrote".to_owned()),
            (self.denied_before_consent, "hospital B was not refused before consent".to_owned()),
            (self.denied_after_withdrawal, "hospital B was not refused after the withdrawal".to_owned()),
            (self.plaintext_found == 0, format!("{} runs of plaintext were found", self.plaintext_found)),
            (authentication == 9, format!("{authentication} of the nine steps of authentication were heard")),
            (transmission == 7, format!("{transmission} of the seven steps of transmission were heard")),
        ]
        .into_iter()
        .filter_map(|(holds, missing)| (!holds).then_some(missing))
        .collect()
    }
}

/// Longest time in which a withdrawal must be felt.
const REFUSED_WITHIN: Duration = Duration::from_secs(2);

/// One person, from however many Bundles.
struct Person {
    name: String,
    identifiers: Vec<Identifier>,
    /// By type and id, with the links from one entry of a Bundle to another as they lead once they are stored.
    resources: HashMap<(String, String), Bytes>,
}

/// Tells the story and shows it as it happens.
pub(super) async fn tell(
    world: &World,
    bundles: Vec<Loaded>,
    mut heard: broadcast::Receiver<Heard>,
    recorder: &Recorder,
    output: Output,
) -> Result<Told, CliError> {
    let people = people(&bundles);
    let handed = ["broker", "archive", "broker.capture", "archive.capture"].map(|name| world.folder.join(name));
    recorder.begin(ChapterWords::First, Hospital::A);
    // A question about nobody establishes the first session before any record is on its way.
    world.hospital_a.get("/fhir/Patient?identifier=urn:sealwort:nobody%7C0").await?.success("hospital A")?;
    let needles = Needles::of(people.iter().flat_map(|p| p.resources.values()))?.without_own_words(&handed)?;
    let mut steps: Vec<StepReport> = Vec::new();

    output.message(format!("\nHospital A stores {} Bundles of {} patients.", bundles.len(), people.len()));
    let begun = Instant::now();
    let bytes_written = bundles.iter().map(|b| b.bytes.len()).sum();
    let bar = output.progress("storing".to_owned(), Some(bytes_written as u64));
    for (place, bundle) in bundles.iter().enumerate() {
        recorder.told(Hospital::A, &bundle.bytes);
        world.hospital_a.post("/fhir", bundle.bytes.clone()).await?.success(&bundle.name)?;
        bar.inc(bundle.bytes.len() as u64);
        note_steps(&mut heard, &mut steps);
        if place == 0 {
            recorder.end(Outcome::Done(words::FIRST_DONE.to_owned()));
            recorder.begin(ChapterWords::Rest, Hospital::A);
        }
    }
    bar.finish_and_clear();
    recorder.end(Outcome::Done(words::REST_DONE.to_owned()));
    let write_ms = begun.elapsed().as_millis();
    telling::show(
        output,
        &steps,
        telling::AUTHENTICATION,
        "The nine steps of mutual authentication, as they happened:",
    );

    recorder.begin(ChapterWords::Before, Hospital::B);
    let mut denied_before_consent = true;
    for person in &people {
        let answer = world.hospital_b.get(&person.search()?).await?;
        denied_before_consent &= answer.status == 403 && answer.code() == "consent-no-provision";
    }
    output.message(format!("\nHospital B asks for each patient before consent: refused ({denied_before_consent})."));
    recorder.end(refused(denied_before_consent, words::BEFORE_DONE, words::BEFORE_FAILED));
    recorder.begin(ChapterWords::Granted, Hospital::A);
    for person in &people {
        consent(world, "grant", person).await?;
    }
    output.message("The patients' consent authority grants hospital B to read, for treatment, for a day.");
    recorder.end(Outcome::Done(words::GRANTED_DONE.to_owned()));
    note_steps(&mut heard, &mut steps);
    // The seven steps are shown as hospital B's reading takes them.
    steps.retain(|report| matches!(report.step, Step::Authentication(_)));

    let begun = Instant::now();
    recorder.begin(ChapterWords::Reads, Hospital::B);
    let (mut resources_read, mut read_equals_written) = (0, true);
    for person in &people {
        let (read, equal) = compare(world, person, recorder).await?;
        resources_read += read;
        read_equals_written &= equal;
        note_steps(&mut heard, &mut steps);
    }
    let read_ms = begun.elapsed().as_millis();
    telling::show(output, &steps, telling::TRANSMISSION, "The seven steps of transmission, as hospital B reads:");
    output.message(format!(
        "\nHospital B read {resources_read} resources; their content is what A wrote: {read_equals_written}."
    ));

    recorder.end(if read_equals_written {
        Outcome::Done(words::READS_DONE.to_owned())
    } else {
        Outcome::Failed(words::READS_FAILED.to_owned())
    });

    recorder.begin(ChapterWords::Withdrawn, Hospital::B);
    let (mut denied_after_withdrawal, mut slowest) = (true, Duration::ZERO);
    for person in &people {
        consent(world, "withdraw", person).await?;
        let begun = Instant::now();
        denied_after_withdrawal &= refused_soon(world, person).await?;
        slowest = slowest.max(begun.elapsed());
    }
    recorder.end(refused(denied_after_withdrawal, words::WITHDRAWN_DONE, words::WITHDRAWN_FAILED));
    let slowest = slowest.as_millis();
    output.message(format!(
        "Consent is withdrawn: hospital B, which held the records open, is refused within {slowest} ms ({denied_after_withdrawal})."
    ));

    let found = needles.search(&handed)?;
    output.message(format!(
        "Everything that broker and archive received, stored and sent ({} bytes) was searched: {} runs of plaintext.",
        found.scanned, found.plaintext
    ));

    let first = people.first();
    if let Some(first) = first {
        consent(world, "grant", first).await?;
    }
    let path = first.map(Person::search).transpose()?.unwrap_or_default();
    let curl = format!(
        "curl -s -H 'Authorization: Bearer {}' 'http://{}{path}'",
        world.hospital_b.token(),
        world.gateway_b.address
    );
    Ok(Told {
        exchange: super::world::EXCHANGE,
        started_ms: world.started_in.as_millis(),
        steps: telling::first_of_each(&steps),
        patients: people.len(),
        resources_written: people.iter().map(|p| p.resources.len()).sum(),
        resources_read,
        bytes_written,
        write_ms,
        read_ms,
        read_equals_written,
        denied_before_consent,
        denied_after_withdrawal,
        plaintext_found: found.plaintext,
        bytes_searched: found.scanned,
        operations: telling::operations(world),
        resident_kib: telling::resident_kib(),
        urls: world.places().into_iter().collect(),
        curl,
        first_patient: first.map(Person::token).transpose()?.unwrap_or_default(),
    })
}

/// How a chapter ended in which everybody was to be refused.
fn refused(all: bool, done: &str, failed: &str) -> Outcome {
    if all { Outcome::Refused(done.to_owned()) } else { Outcome::Failed(failed.to_owned()) }
}

/// Bundles by person: who shares an identifier is one person, and a later version replaces an earlier one.
fn people(bundles: &[Loaded]) -> Vec<Person> {
    let mut people: Vec<Person> = Vec::new();
    for bundle in bundles {
        for patient in &bundle.patients {
            let known =
                people.iter_mut().find(|person| patient.identifiers.iter().any(|i| person.identifiers.contains(i)));
            // A URL means what it means in its Bundle: another may give it to something else.
            let kept = |written: &Bytes| {
                let resource = Resource::parse(written.clone())
                    .and_then(|resource| rewrite_references(&resource, |link| bundle.links.get(link).cloned()));
                resource.map_or_else(|_| written.clone(), |resource| resource.bytes().clone())
            };
            let resources = patient.resources.iter().map(|(kind, id, bytes)| ((kind.clone(), id.clone()), kept(bytes)));
            match known {
                Some(person) => person.resources.extend(resources),
                None => people.push(Person {
                    name: bundle.name.clone(),
                    identifiers: patient.identifiers.clone(),
                    resources: resources.collect(),
                }),
            }
        }
    }
    people
}

impl Person {
    fn token(&self) -> Result<String, CliError> {
        let identifier = self
            .identifiers
            .first()
            .ok_or_else(|| CliError::Local(format!("{}: the Patient has no identifier", self.name)))?;
        Ok(patients::token(identifier))
    }

    fn search(&self) -> Result<String, CliError> {
        Ok(format!("/fhir/Patient?identifier={}", encode(&self.token()?)))
    }
}

async fn consent(world: &World, change: &str, person: &Person) -> Result<(), CliError> {
    let body = match change {
        "grant" => {
            json!({"patient": person.token()?, "to": "hospital-b", "actions": ["read"], "purposes": ["TREAT"], "days": 1})
        }
        _ => json!({"patient": person.token()?, "to": "hospital-b"}),
    };
    let body = Bytes::from(body.to_string());
    world.hospital_a.post(&format!("/consent/{change}"), body).await?.success(change)?;
    Ok(())
}

/// Whether hospital B is refused within [`REFUSED_WITHIN`]: the broker's notice ends what it holds open.
async fn refused_soon(world: &World, person: &Person) -> Result<bool, CliError> {
    let begun = Instant::now();
    loop {
        if world.hospital_b.get(&person.search()?).await?.status == 403 {
            return Ok(true);
        }
        if begun.elapsed() > REFUSED_WITHIN {
            return Ok(false);
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Reads a person at hospital B and compares every resource with what hospital A wrote: the same but for the version
/// and time that the gateway sets, and for links within a transaction, which lead to the resources' ids now.
async fn compare(world: &World, person: &Person, recorder: &Recorder) -> Result<(usize, bool), CliError> {
    let wrong = |e: &dyn std::fmt::Display| CliError::Local(format!("{}: {e}", person.name));
    let found = world.hospital_b.get(&person.search()?).await?.success(&person.name)?;
    let found = parse_any_bundle(found).map_err(|e| wrong(&e))?;
    let id = found.entries().first().and_then(logical_id).ok_or_else(|| wrong(&"the patient was not found"))?;
    let everything = world.hospital_b.get(&format!("/fhir/Patient/{}/$everything", id.as_str())).await?;
    let everything = everything.success(&person.name)?;
    recorder.told(Hospital::B, &everything);
    let everything = parse_any_bundle(everything).map_err(|e| wrong(&e))?;
    let mut read: HashMap<(String, String), Bytes> = HashMap::new();
    for entry in everything.entries() {
        let Some(resource) = &entry.resource else { continue };
        // The id under which it is kept is the last part of its URL.
        let kept = entry.full_url.as_deref().and_then(|url| url.rsplit('/').next()).unwrap_or_default().to_owned();
        read.insert((resource.resource_type().as_str().to_owned(), kept), resource.bytes().clone());
    }
    let same = |(key, written): &(&(String, String), &Bytes)| {
        read.get(*key).is_some_and(|read| same_content_but_id(read, written))
    };
    let differs = person.resources.iter().find(|one| !same(one)).map(|((kind, id), _)| format!("{kind}/{id}"));
    if let Some(name) = &differs {
        tracing::error!(patient = person.name, resource = name, "what was read is not what was written");
    }
    Ok((read.len(), differs.is_none() && read.len() == person.resources.len()))
}

fn note_steps(heard: &mut broadcast::Receiver<Heard>, steps: &mut Vec<StepReport>) {
    loop {
        match heard.try_recv() {
            Ok(heard) => steps.push(heard.report),
            // Older reports were dropped; the newer ones follow.
            Err(broadcast::error::TryRecvError::Lagged(_)) => {}
            Err(_) => return,
        }
    }
}
