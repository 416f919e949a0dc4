//! What is left after `kill -9`: five processes exchange while each of them is killed over and over in the middle
//! of uploads and started again. Afterwards both hospitals must read every acknowledged batch whole and digit by
//! digit, every batch whose answer never came whole or not at all, and nothing twice. Power cuts, where the
//! operating system goes down as well, are not in it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use sealwort_fhir::same_content;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Value, json};
use support::{Answer, Client, Party, SYSTEM, World, bundle};

/// Whom one round of kills meets, in this order.
const ROUND: [Party; 11] = [
    Party::Broker,
    Party::Archive,
    Party::HospitalA,
    Party::Ca,
    Party::Archive,
    Party::Broker,
    Party::HospitalA,
    Party::HospitalB,
    Party::HospitalA,
    Party::Broker,
    Party::Archive,
];
/// Kills that must have met an upload whose answer had not come.
const KILLS_DURING_UPLOAD: usize = 60;
/// Kills after which the test gives up finding uploads.
const KILLS_MAX: usize = 150;
/// Longest wait between the beginning of an upload and the kill, in microseconds.
const KILL_AFTER_MICROS_MAX: u64 = 40_000;
/// Most uploads that begin between two kills.
const UPLOADS_BETWEEN_MAX: u64 = 5;
/// Every so many kills the next party of the round goes down as well, before the first is back.
const DOUBLE_EVERY: usize = 6;
/// After so many kills the writers rest until the outbox is empty, so that uploads go straight to the archive again.
const REST_EVERY: usize = 2;
/// Seed of the waits.
const SEED: u64 = 0x5EA1_0000_0000_0002;

/// Uploads under way at once.
const WRITERS: usize = 2;
/// Resources of one batch.
const RESOURCES: usize = 5;
/// One batch in so many brings a new patient; the others go to the patient who was there before.
const NEW_PATIENT_EVERY: usize = 8;
/// One batch in so many is large: its entries travel in several messages to the archive.
const LARGE_EVERY: usize = 10;
/// Filling of each resource of a large batch, in bytes.
const LARGE_BYTES: usize = 200 * 1024;

const UPLOAD_PATIENCE: Duration = Duration::from_secs(20);
const OUTBOX_PATIENCE: Duration = Duration::from_mins(2);
const POLL: Duration = Duration::from_millis(100);
/// Pause of a writer that rests or whose gateway is away.
const PAUSE: Duration = Duration::from_millis(5);

/// What the writer was told about a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Told {
    /// 200: at the archive.
    Stored,
    /// 202: in the gateway's outbox.
    Queued,
    /// The upload was cut off: no answer came.
    Nothing,
    /// Nobody listened: nothing was sent.
    NotSent,
}

impl Told {
    fn is_acknowledged(self) -> bool {
        matches!(self, Self::Stored | Self::Queued)
    }
}

#[test]
fn killed_parties_lose_no_acknowledged_write_and_show_none_by_half() {
    let quiet: Vec<_> = Party::ALL.into_iter().map(|party| (party, "log.filter", json!("info"))).collect();
    let mut world = World::start_with(&quiet);
    world.put(Party::HospitalA, &bundle(0, 0)).unwrap().done();
    let uploads = Uploads::default();
    let (client, mut told) = (world.client(Party::HospitalA), BTreeMap::new());
    let kills = thread::scope(|scope| {
        let writers: Vec<_> = (0..WRITERS).map(|_| scope.spawn(|| uploads.write(&client))).collect();
        // Whatever happens, the writers are told to end.
        let ended = EndOnDrop(&uploads.ended);
        let kills = kill_all_around(&mut world, &uploads);
        drop(ended);
        for writer in writers {
            told.extend(writer.join().unwrap());
        }
        kills
    });
    println!("kills during an upload {}, by party {kills:?}", kills.values().sum::<usize>());
    println!("batches {}: {:?}", told.len(), counted(told.values().copied()));
    assert!(told.values().any(|told| *told == Told::Stored) && told.values().any(|told| *told == Told::Queued));

    let waited = wait_for_outbox(&world);
    println!("outbox empty after {waited:?}");
    let found = read_back(&world, &told);
    check(&told, &found);
    println!("batches found {}, all whole; resources {}", found.len(), found.len() * RESOURCES);
}

// ---- killing ----

/// Kills one party after the other in the middle of uploads. Counted are the kills that met one.
fn kill_all_around(world: &mut World, uploads: &Uploads) -> BTreeMap<Party, usize> {
    println!("seed {SEED:#x}");
    let (mut random, mut kills, mut longest_wait) = (Random(SEED), BTreeMap::new(), Duration::ZERO);
    for (number, party) in ROUND.into_iter().cycle().take(KILLS_MAX).enumerate() {
        (0..=random.below(UPLOADS_BETWEEN_MAX)).for_each(|_| uploads.wait_for_next());
        thread::sleep(Duration::from_micros(random.below(KILL_AFTER_MICROS_MAX)));
        let during = uploads.under_way.load(Ordering::SeqCst) > 0;
        world.kill(party);
        *kills.entry(party).or_default() += usize::from(during);
        let next = ROUND[(number + 1) % ROUND.len()];
        if number % DOUBLE_EVERY == 0 {
            world.kill(next);
            world.restart(next);
        }
        world.restart(party);
        if kills.values().sum::<usize>() == KILLS_DURING_UPLOAD {
            break;
        }
        if number % REST_EVERY == REST_EVERY - 1 {
            // A write wakes the outbox: it need not wait out its patience.
            (0..=WRITERS).for_each(|_| uploads.wait_for_next());
            uploads.resting.store(true, Ordering::SeqCst);
            let waited = wait_for_outbox(world);
            longest_wait = longest_wait.max(waited);
            uploads.resting.store(false, Ordering::SeqCst);
        }
    }
    println!("the outbox was empty again after at most {longest_wait:?}");
    assert_eq!(kills.values().sum::<usize>(), KILLS_DURING_UPLOAD, "too few kills met an upload: {kills:?}");
    assert!(Party::ALL.iter().all(|party| kills.get(party).is_some_and(|count| *count > 0)), "{kills:?}");
    kills
}

/// Xorshift: the waits need no better randomness.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

struct EndOnDrop<'a>(&'a AtomicBool);

impl Drop for EndOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

// ---- writing ----

/// Uploads of all writers.
#[derive(Default)]
struct Uploads {
    /// Numbers given out: each batch has its own.
    begun: AtomicUsize,
    under_way: AtomicUsize,
    resting: AtomicBool,
    ended: AtomicBool,
}

impl Uploads {
    /// Sends batch after batch, none twice.
    fn write(&self, client: &Client) -> Vec<(usize, Told)> {
        let mut told = Vec::new();
        while !self.ended.load(Ordering::SeqCst) {
            if self.resting.load(Ordering::SeqCst) {
                thread::sleep(PAUSE);
                continue;
            }
            let batch = self.begun.fetch_add(1, Ordering::SeqCst);
            let content = batch_bundle(batch);
            self.under_way.fetch_add(1, Ordering::SeqCst);
            let answer = client.request("POST", "/fhir", content.as_bytes());
            self.under_way.fetch_sub(1, Ordering::SeqCst);
            told.push((batch, understand(answer)));
            if told.last().is_some_and(|(_, told)| *told == Told::NotSent) {
                thread::sleep(PAUSE);
            }
        }
        told
    }

    /// Waits until another upload has begun.
    fn wait_for_next(&self) {
        let (before, since) = (self.begun.load(Ordering::SeqCst), Instant::now());
        while self.begun.load(Ordering::SeqCst) == before {
            assert!(since.elapsed() < UPLOAD_PATIENCE, "an upload takes longer than {UPLOAD_PATIENCE:?}");
            thread::sleep(Duration::from_micros(200));
        }
    }
}

fn understand(answer: std::io::Result<Answer>) -> Told {
    match answer {
        Ok(answer) if answer.status == 200 => Told::Stored,
        Ok(answer) if answer.status == 202 => Told::Queued,
        // The batches are valid, the patients consent, and while the exchange is away a write is queued.
        Ok(answer) => panic!("{}: {}", answer.status, String::from_utf8_lossy(&answer.body)),
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => Told::NotSent,
        Err(_) => Told::Nothing,
    }
}

/// Whether a batch brings a patient of its own.
fn is_new_patient(batch: usize) -> bool {
    batch % NEW_PATIENT_EVERY == 3
}

/// The value of the identifier of a batch's own patient.
fn own_identifier(batch: usize) -> String {
    format!("of-batch-{batch}")
}

/// The resources of a batch by type and id, in spellings that a parser would not write again: spaces, zeros at
/// the end of numbers, fields out of order.
fn batch_resources(batch: usize) -> Vec<(String, String)> {
    let patient = if is_new_patient(batch) { format!("batch-{batch}") } else { "p0".to_owned() };
    let filling = if batch % LARGE_EVERY == 7 { "x".repeat(LARGE_BYTES) } else { String::new() };
    (0..RESOURCES)
        .map(|number| {
            if number == 0 && is_new_patient(batch) {
                let value = own_identifier(batch);
                let content = format!(
                    r#"{{ "id":"{patient}",  "resourceType":"Patient","identifier" :[{{"system":"{SYSTEM}","value":"{value}"}}]}}"#
                );
                return (format!("Patient/{patient}"), content);
            }
            let id = format!("batch-{batch}-{number}");
            let content = format!(
                r#"{{"id":"{id}","resourceType" : "Observation","status":"final","subject":{{"reference":"Patient/{patient}"}},
                "code":{{"text":"batch {batch}"}},"valueQuantity":{{"unit":"/min","value":{batch}.{number}00}},"note":[{{"text":"-{filling}"}}]}}"#
            );
            (format!("Observation/{id}"), content)
        })
        .collect()
}

fn batch_bundle(batch: usize) -> String {
    let entries: Vec<String> = batch_resources(batch)
        .into_iter()
        .map(|(name, content)| {
            format!(
                r#"{{"fullUrl":"http://hospital-a.example/fhir/{name}","resource":{content},"request":{{"method":"PUT","url":"{name}"}}}}"#
            )
        })
        .collect();
    format!(r#"{{"resourceType":"Bundle","type":"transaction","entry":[{}]}}"#, entries.join(","))
}

// ---- reading back ----

/// Waits until nothing waits in hospital A's outbox. It tells for how long.
fn wait_for_outbox(world: &World) -> Duration {
    let since = Instant::now();
    loop {
        let status = world.get(Party::HospitalA, "/status").unwrap().done().json();
        if status["waiting"] == 0 {
            assert_eq!(status["refused"], json!([]));
            return since.elapsed();
        }
        assert!(since.elapsed() < OUTBOX_PATIENCE, "the outbox is stuck: {status}");
        thread::sleep(POLL);
    }
}

/// Batches by number, each with its resources' names and contents.
type Found = BTreeMap<usize, BTreeMap<String, String>>;

/// Reads everything at both hospitals; they must see the same.
fn read_back(world: &World, told: &BTreeMap<usize, Told>) -> Found {
    let mut found = Found::new();
    let shared = "0".to_owned();
    let own = told.keys().copied().filter(|batch| is_new_patient(*batch)).map(own_identifier);
    let mut versions_asked = BTreeSet::new();
    for identifier in std::iter::once(shared).chain(own) {
        let here = everything(world, Party::HospitalA, &identifier);
        if !here.is_empty() {
            let patient = format!("{SYSTEM}|{identifier}");
            world.consent(Party::HospitalA, "grant", &patient, Party::HospitalB).unwrap().done();
        }
        let there = everything(world, Party::HospitalB, &identifier);
        assert!(here == there, "{identifier}: {} resources at A, {} at B", here.len(), there.len());
        for (name, content) in here {
            if name == "Patient/p0" {
                continue;
            }
            let batch = name.split('-').nth(1).unwrap().parse().unwrap();
            if versions_asked.insert(batch) {
                // A batch that was stored twice would have made a second version.
                let read = world.get(Party::HospitalA, &format!("/fhir/{name}")).unwrap().done();
                assert_eq!(read.field("etag"), Some("W/\"1\""), "{name} was stored twice");
            }
            let twice = found.entry(batch).or_default().insert(name, content);
            assert!(twice.is_none(), "batch {batch} is with two patients");
        }
    }
    found
}

#[derive(Deserialize)]
struct Searchset<'a> {
    #[serde(borrow, default)]
    entry: Vec<Entry<'a>>,
}

#[derive(Deserialize)]
struct Entry<'a> {
    #[serde(borrow)]
    resource: &'a RawValue,
}

/// All that a hospital sees of a patient, by type and id; empty where it knows of nobody.
fn everything(world: &World, hospital: Party, identifier: &str) -> BTreeMap<String, String> {
    let search = format!("/fhir/Patient?identifier={SYSTEM}%7C{identifier}");
    let matches = world.get(hospital, &search).unwrap();
    let searched = matches.json();
    // A patient of whom no record came through is registered at most, and shows nothing; where the gateway was
    // killed before the registration was through, the exchange does not know the patient.
    let Value::String(id) = &searched["entry"][0]["resource"]["id"] else {
        let refused = hospital == Party::HospitalB && matches.status == 403;
        let absent = matches.is_success() || refused || matches.status == 404;
        assert!(absent, "{identifier} at {hospital:?}: {} {searched}", matches.status);
        return BTreeMap::new();
    };
    let answer = world.get(hospital, &format!("/fhir/Patient/{id}/$everything")).unwrap().done();
    let bundle: Searchset<'_> = serde_json::from_slice(&answer.body).unwrap();
    let mut all = BTreeMap::new();
    for entry in bundle.entry {
        let resource: Value = serde_json::from_str(entry.resource.get()).unwrap();
        let name = format!("{}/{}", resource["resourceType"].as_str().unwrap(), resource["id"].as_str().unwrap());
        let twice = all.insert(name, entry.resource.get().to_owned());
        assert!(twice.is_none(), "{identifier} shows a resource twice at {hospital:?}");
    }
    all
}

/// The verdict: what was acknowledged is there, what is there is whole, nothing else is there.
fn check(told: &BTreeMap<usize, Told>, found: &Found) {
    let lost: Vec<_> =
        told.iter().filter(|(batch, told)| told.is_acknowledged() && !found.contains_key(batch)).collect();
    assert!(lost.is_empty(), "acknowledged and lost: {lost:?}");
    for (batch, resources) in found {
        assert!(told.get(batch).is_some_and(|told| *told != Told::NotSent), "batch {batch} was never sent");
        let names: Vec<_> = resources.keys().collect();
        assert_eq!(resources.len(), RESOURCES, "batch {batch} ({:?}) shows by half: {names:?}", told[batch]);
        let sent: BTreeMap<_, _> = batch_resources(*batch).into_iter().collect();
        let same = sent.iter().zip(resources).all(|((name, sent), (found, resource))| {
            name == found && same_content(sent.as_bytes(), resource.as_bytes())
        });
        assert!(same, "batch {batch} ({:?}) came back with other content", told[batch]);
    }
    let in_doubt = told.iter().filter(|(_, told)| **told == Told::Nothing);
    let (whole, absent): (Vec<_>, Vec<_>) = in_doubt.partition(|(batch, _)| found.contains_key(batch));
    println!("in doubt: {} whole, {} absent", whole.len(), absent.len());
}

fn counted(all: impl Iterator<Item = Told>) -> BTreeMap<Told, usize> {
    let mut counts = BTreeMap::new();
    for one in all {
        *counts.entry(one).or_default() += 1;
    }
    counts
}
