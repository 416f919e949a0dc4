//! Broker and archive are curious: everything that either received, stored, sent and logged is searched for
//! plaintext, and each data folder on its own is used to try and open the records. The services are real
//! processes; what is searched is what they left on disk. Every search and every attempt has a control that
//! succeeds, so that the tests can fail.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fs;
use std::path::{Path, PathBuf};

use aho_corasick::AhoCorasick;
use sealwort_fhir::{parse_bundle, samples, synthetic};
use sealwort_pki::PublicKey;
use sealwort_pki::enrolment::Membership;
use sealwort_proto::Pseudonym;
use sealwort_proto::crypto::{KeyEncryptionKey, Secret};
use sealwort_proto::halves::{Half, KeyRing, Side, SubHalf};
use sealwort_proto::operations::Operations;
use sealwort_proto::record::{self, VerifiedEntry};
use sealwort_store::sqlite::SqliteStore;
use sealwort_store::{DataFolder, LogStore, PatientStore};
use serde_json::{Value, json};
use support::stored::stored;
use support::{Answer, Party, SYSTEM, World, bundle, identifier};

/// Length of a run that counts as plaintext, in bytes.
const RUN: usize = 16;
/// Runs of fewer different bytes say nothing: blanks, zeros, padding.
const DIFFERENT_MIN: usize = 6;
/// Seed of the generated patients.
const SEED: u64 = 7;
/// Length of the piece of a capture file in which plaintext is planted, in bytes.
const PLANTED_IN: usize = 200_000;
/// Bits of the sieve that is asked before the set of runs.
const SIEVE_BITS: u32 = 24;
/// Generated patients, and the resources of each.
const GENERATED: (u64, usize) = (4, 60);

#[test]
fn neither_broker_nor_archive_sees_plaintext() {
    let captures = tempfile::tempdir().unwrap();
    let capture = |party: Party| captures.path().join(party.name());
    let world = World::start_with(&[
        (Party::Broker, "capture", json!(capture(Party::Broker))),
        (Party::Archive, "capture", json!(capture(Party::Archive))),
    ]);
    let handed = |party: Party| [world.folder(party), capture(party), world.log(party)];
    // A stranger's whole story first, so that every word of the protocol and of the logs has been seen.
    let stranger = bundle(1, 1);
    world.put(Party::HospitalA, &stranger).unwrap().done();
    for (change, status) in [("grant", 200), ("withdraw", 403)] {
        world.consent(Party::HospitalA, change, &identifier(1), Party::HospitalB).unwrap().done();
        let found = world.get(Party::HospitalB, &format!("/fhir/Patient?identifier={SYSTEM}%7C1")).unwrap();
        assert_eq!(found.status, status, "{change}");
    }
    let strangers = Needles::of(resources_of(&stranger).iter());
    let patients = patients();
    let needles = Needles::of(patients.iter().flat_map(|patient| &patient.resources));
    let before = needles.words.len();
    let places: Vec<PathBuf> = [handed(Party::Broker), handed(Party::Archive)].concat();
    let needles = needles.without_own_words(&places, &strangers.words);
    let own = before - needles.words.len();
    assert!(own * 100 < before, "{own} of {before} words are the program's own");

    let (mut answers, mut people) = (Vec::new(), BTreeSet::new());
    for patient in &patients {
        world.put(Party::HospitalA, &patient.bundle).unwrap().done();
    }
    for patient in &patients {
        // Three samples are one person: once read at B, it need not be refused there again.
        if people.insert(&patient.token) {
            let refused = find(&world, Party::HospitalB, patient);
            assert_eq!(refused.status, 403, "{}: before consent", patient.token);
            world.consent(Party::HospitalA, "grant", &patient.token, Party::HospitalB).unwrap().done();
        }
        let entries = everything(&world, Party::HospitalB, patient).json()["entry"].as_array().unwrap().len();
        assert!(entries >= patient.resources.len(), "{}: {entries} entries", patient.token);
        // B writes, too.
        world.put(Party::HospitalB, &patient.bundle).unwrap().done();
        answers.push(everything(&world, Party::HospitalA, patient).body);
    }
    for patient in patients.iter().filter(|patient| people.remove(&patient.token)) {
        world.consent(Party::HospitalA, "withdraw", &patient.token, Party::HospitalB).unwrap().done();
        // Written under the keys of the new epoch.
        world.put(Party::HospitalA, &patient.bundle).unwrap().done();
        assert_eq!(find(&world, Party::HospitalB, patient).status, 403, "{}: after withdrawal", patient.token);
    }

    for party in [Party::Broker, Party::Archive] {
        let mut bytes = 0;
        for place in handed(party) {
            let found = needles.search(&place);
            let what = format!("{party:?}: {}", place.file_name().unwrap().display());
            println!("{what}: {} bytes, {} places with plaintext", found.bytes, found.places());
            assert_eq!(found.places(), 0, "{what}: {:?}", found.words.iter().collect::<BTreeSet<_>>());
            assert!(found.bytes > 1_000, "{what} is nearly empty: nothing was searched");
            bytes += found.bytes;
        }
        assert!(bytes > 1_000_000, "{party:?}: only {bytes} bytes were searched");
    }

    // Controls. What hospital A shows is plaintext, in every answer.
    for (patient, answer) in patients.iter().zip(&answers) {
        let found = needles.count(answer);
        assert!(found.runs > 100 && !found.words.is_empty(), "{}: {found:?}", patient.token);
    }
    // One word, or one run of a record, as it is or compressed, is found in the middle of a large file.
    let piece = fs::read(capture(Party::Broker)).unwrap()[..PLANTED_IN].to_vec();
    let resource = &patients[0].resources[0];
    let run = resource.windows(RUN).position(says_something).unwrap();
    let packed = zstd::bulk::compress(resource, 1).unwrap();
    let middle_of_packed = packed.len() / 2;
    for planted in
        [needles.words[0].as_slice(), &resource[run..run + RUN], &packed[middle_of_packed..middle_of_packed + RUN]]
    {
        let mut with = piece.clone();
        let middle = with.len() / 2;
        with.splice(middle..middle, planted.iter().copied());
        assert!(needles.count(&with).places() > 0, "{:?} was not found", String::from_utf8_lossy(planted));
    }
    let resources: usize = patients.iter().map(|patient| patient.resources.len()).sum();
    println!(
        "{} patients, {resources} resources: searched for {} runs and {} words; left out {own} own words",
        patients.len(),
        needles.runs.len(),
        needles.words.len()
    );
}

#[tokio::test]
async fn either_folder_alone_opens_nothing_and_both_open_everything() {
    let mut world = World::start();
    let patients: Vec<_> = patients().into_iter().rev().take(8).collect();
    // Everything that is written, and how often.
    let mut expected: BTreeMap<Vec<u8>, usize> = BTreeMap::new();
    let mut write = |bundle: &[u8]| {
        let answer = world.put(Party::HospitalA, bundle).unwrap().done();
        for (_, resource) in stored(bundle, &answer) {
            *expected.entry(resource.into_bytes()).or_default() += 1;
        }
    };
    for patient in &patients {
        write(&patient.bundle);
        // A grant and its withdrawal make a second epoch; a second version is written in it.
        world.consent(Party::HospitalA, "grant", &patient.token, Party::HospitalB).unwrap().done();
        world.consent(Party::HospitalA, "withdraw", &patient.token, Party::HospitalB).unwrap().done();
        write(&another_version(&patient.bundle));
    }
    for party in [Party::HospitalA, Party::HospitalB, Party::Broker, Party::Archive] {
        assert!(world.stop(party).success(), "{party:?}");
    }
    let stolen = tempfile::tempdir().unwrap();
    let archive = Thief::steal(&world.folder(Party::Archive), &stolen.path().join("archive"), Side::Archive).await;
    let broker = Thief::steal(&world.folder(Party::Broker), &stolen.path().join("broker"), Side::Broker).await;
    // The broker has no entries: its thief is given the archive's.
    let author = author_key(&world.folder(Party::HospitalA));
    let entries = archive.entries(&author).await;
    assert_eq!(broker.entries(&author).await.len(), 0, "the broker stores entries");
    assert_eq!(entries.len(), expected.values().sum::<usize>());
    let epochs: BTreeSet<u64> = entries.iter().map(|entry| entry.verified.header().epoch).collect();
    assert!(epochs.len() > 1, "{epochs:?}");

    // Control: both halves together open every entry, to exactly the bytes that were written, twice each.
    let mut opened: BTreeMap<Vec<u8>, usize> = BTreeMap::new();
    for entry in &entries {
        let patient = entry.verified.header().patient;
        let ring = KeyRing::new(patient, broker.nodes(entry, Side::Broker), archive.nodes(entry, Side::Archive));
        let content = entry.open(&ring).expect("both halves open every entry");
        *opened.entry(content).or_default() += 1;
    }
    assert!(opened == expected, "what opened is not what was written");

    let mut attempts = 0;
    for (thief, other) in [(&archive, &broker), (&broker, &archive)] {
        // Neither party's key-encryption key opens the other's halves, nor its own for another patient or epoch.
        for ((patient, epoch), wrapped) in &other.wrapped {
            for side in [Side::Broker, Side::Archive] {
                assert!(unwrap(&thief.kek, side, *patient, *epoch, wrapped).is_none());
                attempts += 1;
            }
        }
        for ((patient, epoch), wrapped) in &thief.wrapped {
            let elsewhere = Pseudonym::new([9; 32]);
            assert!(unwrap(&thief.kek, thief.side, *patient, *epoch, wrapped).is_some());
            assert!(unwrap(&thief.kek, thief.side, *patient, epoch + 1, wrapped).is_none());
            assert!(unwrap(&thief.kek, thief.side, elsewhere, *epoch, wrapped).is_none());
            attempts += 2;
        }
        // What the folder gives for the missing side: nothing, zeros, chance, and every half that is in it.
        let mut guesses = vec![Secret::new([0; 32]), Secret::new([0xff; 32]), Secret::random()];
        guesses.extend(thief.halves.values().map(|half| half.secret().clone()));
        for entry in &entries {
            let (own, patient) = (thief.nodes(entry, thief.side), entry.verified.header().patient);
            assert!(!own.is_empty());
            attempts += refused(entry, &thief.ring(patient, own.clone(), Vec::new()));
            attempts += refused(entry, &thief.ring(patient, own.clone(), own.clone()));
            for guess in &guesses {
                let missing = thief.other_side();
                attempts += refused(entry, &thief.ring(patient, own.clone(), entry.node(missing, guess)));
            }
        }
        // Every run of 32 bytes in every other file of the folder, as it is and read from hexadecimal, taken for the
        // missing half of the smallest entry.
        let smallest = entries.iter().min_by_key(|entry| entry.ciphertext.len()).unwrap();
        let (own, patient) = (thief.nodes(smallest, thief.side), smallest.verified.header().patient);
        let secrets = thief.everything_like_a_secret();
        assert!(secrets.len() > 1_000, "{}", secrets.len());
        for secret in secrets {
            let guess = smallest.node(thief.other_side(), &Secret::new(secret));
            attempts += refused(smallest, &thief.ring(patient, own.clone(), guess));
        }
    }
    println!("{} entries of {} patients: {attempts} attempts failed", entries.len(), patients.len());

    // What was opened is what the search above looks for: its form before encryption, compressed and padded.
    let needles = Needles::of(expected.keys());
    for entry in &entries {
        let header = entry.verified.header();
        let ring = KeyRing::new(header.patient, broker.nodes(entry, Side::Broker), archive.nodes(entry, Side::Archive));
        let key = ring.record_key(header.epoch, &header.author, header.tag).unwrap();
        let plain = entry.verified.open_bytes(entry.ciphertext.clone(), &key, &Operations::default()).unwrap();
        assert!(needles.count(&plain).runs > 0);
        assert_eq!(needles.count(&entry.ciphertext).places(), 0);
    }
}

// ---- the patients ----

struct Patient {
    /// As posted.
    bundle: Vec<u8>,
    /// `system|value`.
    token: String,
    /// The id of the Patient resource.
    id: String,
    /// Each resource, as it stands in the Bundle.
    resources: Vec<Vec<u8>>,
}

/// The vendored samples and some generated patients.
fn patients() -> Vec<Patient> {
    let generated = (0..GENERATED.0).map(|index| synthetic::bundle(SEED, index, GENERATED.1));
    let bundles = samples::ALL.iter().map(|sample| sample.bytes.to_vec()).chain(generated);
    bundles
        .map(|bundle| {
            let resources = resources_of(&bundle);
            let patient = resources.iter().map(|bytes| serde_json::from_slice::<Value>(bytes).unwrap());
            let patient = patient.into_iter().find(|json| json["resourceType"] == "Patient").unwrap();
            let identifier = &patient["identifier"][0];
            let [system, value] = ["system", "value"].map(|part| identifier[part].as_str().unwrap());
            let id = patient["id"].as_str().unwrap().to_owned();
            Patient { token: format!("{system}|{value}"), id, bundle, resources }
        })
        .collect()
}

/// The same Bundle with another version of each resource.
fn another_version(bundle: &[u8]) -> Vec<u8> {
    let mut bundle: Value = serde_json::from_slice(bundle).unwrap();
    for entry in bundle["entry"].as_array_mut().unwrap() {
        entry["resource"]["implicitRules"] = json!("urn:test:another-version");
    }
    bundle.to_string().into_bytes()
}

/// Each resource of a Bundle, as it stands there.
fn resources_of(bundle: &[u8]) -> Vec<Vec<u8>> {
    let parsed = parse_bundle(bundle.to_vec()).unwrap();
    parsed.entries().iter().map(|entry| entry.resource.as_ref().unwrap().bytes().to_vec()).collect()
}

/// A search by identifier.
fn find(world: &World, hospital: Party, patient: &Patient) -> Answer {
    let token = patient.token.replace('|', "%7C");
    world.get(hospital, &format!("/fhir/Patient?identifier={token}")).unwrap()
}

/// Everything of a patient who was found by identifier before.
fn everything(world: &World, hospital: Party, patient: &Patient) -> Answer {
    find(world, hospital, patient).done();
    world.get(hospital, &format!("/fhir/Patient/{}/$everything", patient.id)).unwrap().done()
}

// ---- the search ----

struct Needles {
    runs: HashSet<[u8; RUN]>,
    /// Whether a run with this hash may be among them: most are not, and this is quick.
    sieve: Vec<bool>,
    words: Vec<Vec<u8>>,
    automaton: AhoCorasick,
}

#[derive(Debug, Default)]
struct Found {
    bytes: usize,
    runs: usize,
    words: Vec<String>,
}

impl Found {
    fn places(&self) -> usize {
        self.runs + self.words.len()
    }
}

impl Needles {
    /// Every run of the resources, as they are and as gateways compress them, and every text in them.
    fn of<'a>(resources: impl Iterator<Item = &'a Vec<u8>>) -> Self {
        let (mut runs, mut words) = (HashSet::new(), BTreeSet::new());
        for resource in resources {
            for form in [resource.clone(), zstd::bulk::compress(resource, 1).unwrap()] {
                runs.extend(
                    form.windows(RUN).filter(|run| says_something(run)).map(|run| <[u8; RUN]>::try_from(run).unwrap()),
                );
            }
            collect_words(&serde_json::from_slice(resource).unwrap(), "", &mut words);
        }
        Self::with(runs, words.into_iter().collect())
    }

    fn with(runs: HashSet<[u8; RUN]>, words: Vec<Vec<u8>>) -> Self {
        let automaton = AhoCorasick::new(&words).unwrap();
        let mut sieve = vec![false; 1 << SIEVE_BITS];
        for run in &runs {
            sieve[place_in_sieve(run)] = true;
        }
        Self { runs, sieve, words, automaton }
    }

    /// The same without the words that stand in these places already, except those of the stranger's records. They
    /// can only be the program's own, such as `withheld`.
    fn without_own_words(self, places: &[PathBuf], strangers: &[Vec<u8>]) -> Self {
        let mut own = HashSet::new();
        for content in places.iter().flat_map(|place| contents(place)) {
            own.extend(self.automaton.find_overlapping_iter(&content).map(|found| found.pattern().as_usize()));
        }
        let names: Vec<_> = own.iter().map(|at| String::from_utf8_lossy(&self.words[*at]).into_owned()).collect();
        println!("own words, if not the stranger's: {names:?}");
        let words = self.words.into_iter().enumerate();
        let words = words.filter(|(at, word)| !own.contains(at) || strangers.contains(word));
        Self::with(self.runs, words.map(|(_, word)| word).collect())
    }

    fn search(&self, place: &Path) -> Found {
        let mut all = Found::default();
        for content in contents(place) {
            let found = self.count(&content);
            all.bytes += found.bytes;
            all.runs += found.runs;
            all.words.extend(found.words);
        }
        all
    }

    fn count(&self, content: &[u8]) -> Found {
        let word = |at: usize| String::from_utf8_lossy(&self.words[at]).into_owned();
        Found {
            bytes: content.len(),
            runs: content
                .windows(RUN)
                .filter(|run| self.sieve[place_in_sieve(run)] && self.runs.contains(*run))
                .count(),
            words: self
                .automaton
                .find_overlapping_iter(content)
                .map(|found| word(found.pattern().as_usize()))
                .collect(),
        }
    }
}

/// Names, identifiers, codes and every other text. A text that is so short that noise holds it by chance is
/// looked for as JSON and CBOR would write it: in quotation marks, or behind its length.
fn collect_words(json: &Value, member: &str, words: &mut BTreeSet<Vec<u8>>) {
    match json {
        Value::Object(members) => {
            for (name, value) in members {
                collect_words(value, name, words);
            }
        }
        Value::Array(values) => {
            for value in values {
                collect_words(value, member, words);
            }
        }
        Value::String(text) => {
            let hex = text.bytes().all(|byte| byte.is_ascii_hexdigit());
            let name = matches!(member, "family" | "given" | "line" | "city");
            let bare = if hex {
                12
            } else if name {
                5
            } else {
                7
            };
            if text.len() >= bare {
                words.insert(text.clone().into_bytes());
            } else if text.len() >= 4 {
                words.insert(format!("\"{text}\"").into_bytes());
                let length = 0x60 + u8::try_from(text.len()).unwrap();
                // Lengths up to 6 are written as a letter from a to f: with digits behind it, a hash in a log has that.
                if !(hex && length.is_ascii_hexdigit()) {
                    words.insert([&[length], text.as_bytes()].concat());
                }
            }
        }
        _ => {}
    }
}

fn place_in_sieve(run: &[u8]) -> usize {
    let half = |at: usize| u64::from_le_bytes(run[at..at + 8].try_into().unwrap());
    let mixed = half(0).wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ half(8).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    usize::try_from(mixed >> (64 - SIEVE_BITS)).unwrap()
}

fn says_something(run: &[u8]) -> bool {
    let mut seen = [false; 256];
    for byte in run {
        seen[usize::from(*byte)] = true;
    }
    seen.iter().filter(|seen| **seen).count() >= DIFFERENT_MIN
}

/// What a reader of one label is given by both sides opens the entries of that label, of every epoch, and no other: not
/// with the right keys for another label, not with these keys under another name. A resource that was labelled anew is
/// closed from that version on; what came before stays openable to whoever has the old label's keys and the ciphertext.
#[tokio::test]
async fn a_reader_cannot_decrypt_what_it_may_not_open() {
    let mut world = World::start();
    let act = |code: &str| json!([{"system": "http://terminology.hl7.org/CodeSystem/v3-ActCode", "code": code}]);
    let observation = |id: &str, security: Value| {
        json!({"resourceType": "Observation", "id": id, "status": "final", "meta": {"security": security},
            "code": {"text": "x"}, "subject": {"reference": "Patient/reader"}})
    };
    let normal = || json!([{"system": "http://terminology.hl7.org/CodeSystem/v3-Confidentiality", "code": "N"}]);
    let patient = json!({"resourceType": "Patient", "id": "reader",
        "identifier": [{"system": SYSTEM, "value": "reader"}], "name": [{"family": "Reader"}]});
    let of_label = |resource: &Value| {
        let security = resource["meta"]["security"][0]["code"].as_str();
        (resource["id"].as_str().unwrap().to_owned(), security.unwrap_or_default().to_owned())
    };
    let moved = observation("moved", normal());
    let mut written = vec![patient, observation("plain", normal()), moved, observation("mind", act("PSY"))];
    written.extend([observation("hiv", act("HIV")), observation("moved", act("PSY"))]);
    for resource in &written {
        world.put(Party::HospitalA, resource.to_string().as_bytes()).unwrap().done();
    }
    let token = format!("{SYSTEM}|reader");
    world.consent(Party::HospitalA, "grant", &token, Party::HospitalB).unwrap().done();
    world.consent(Party::HospitalA, "withdraw", &token, Party::HospitalB).unwrap().done();
    written.push(observation("later", act("PSY")));
    world.put(Party::HospitalA, written.last().unwrap().to_string().as_bytes()).unwrap().done();
    for party in [Party::HospitalA, Party::HospitalB, Party::Broker, Party::Archive] {
        assert!(world.stop(party).success(), "{party:?}");
    }
    let stolen = tempfile::tempdir().unwrap();
    let archive = Thief::steal(&world.folder(Party::Archive), &stolen.path().join("archive"), Side::Archive).await;
    let broker = Thief::steal(&world.folder(Party::Broker), &stolen.path().join("broker"), Side::Broker).await;
    let entries = archive.entries(&author_key(&world.folder(Party::HospitalA))).await;
    // Beside what was written stands that one resource went away from its first label.
    assert_eq!(entries.len(), written.len() + 1);

    let tags: BTreeSet<_> = entries.iter().map(|entry| entry.verified.header().tag).collect();
    let mut opened = BTreeSet::new();
    for tag in &tags {
        // As both sides hand them out to a reader of this label (section 8.2).
        let given = |thief: &Thief, patient: Pseudonym| -> Vec<SubHalf> {
            let own = thief.halves.iter().filter(|((of, _), _)| *of == patient);
            own.map(|(_, half)| half.for_reader(*tag)).collect()
        };
        for entry in &entries {
            let header = entry.verified.header();
            let ring = KeyRing::new(header.patient, given(&broker, header.patient), given(&archive, header.patient));
            let content = entry.open(&ring);
            assert_eq!(content.is_some(), header.tag == *tag, "{:?}", header.sequence);
            if let Some(content) = content.filter(|content| !content.is_empty()) {
                opened.insert(of_label(&serde_json::from_slice(&content).unwrap()));
            }
            // The keys that the reader has, used for what it may not open.
            if header.tag != *tag {
                let key = ring.record_key(header.epoch, &header.author, *tag).unwrap();
                let tried = entry.verified.open_bytes(entry.ciphertext.clone(), &key, &Operations::default());
                assert!(tried.is_err(), "another label's key opens {:?}", header.sequence);
            }
        }
    }
    // Control: over all labels, everything was opened.
    assert_eq!(opened, written.iter().map(of_label).collect());
}

/// The content of a file, or of everything below a folder.
fn contents(place: &Path) -> Vec<Vec<u8>> {
    if !place.is_dir() {
        return vec![fs::read(place).unwrap()];
    }
    let below = fs::read_dir(place).unwrap().map(|entry| entry.unwrap().path());
    below.flat_map(|place| contents(&place)).collect()
}

// ---- the thief ----

/// Somebody who has one party's data folder.
struct Thief {
    side: Side,
    folder: PathBuf,
    kek: KeyEncryptionKey,
    store: SqliteStore,
    patients: Vec<Pseudonym>,
    wrapped: BTreeMap<(Pseudonym, u64), Vec<u8>>,
    halves: BTreeMap<(Pseudonym, u64), Half>,
}

struct Entry {
    verified: VerifiedEntry,
    ciphertext: Vec<u8>,
}

impl Thief {
    /// Copies a folder, opens its store, and unwraps its halves with the key that lies in it.
    async fn steal(folder: &Path, to: &Path, side: Side) -> Self {
        copy(folder, to);
        let text = fs::read_to_string(to.join("kek.key")).unwrap();
        let kek = KeyEncryptionKey::new(Secret::from_slice(&hex::decode(text.trim()).unwrap()).unwrap());
        let patients = patients_in(&to.join("store.sqlite")).await;
        let role = if side == Side::Archive { "archive" } else { "broker" };
        let store = SqliteStore::open(&mut DataFolder::open(to, role).unwrap()).await.unwrap();
        let (mut wrapped, mut halves) = (BTreeMap::new(), BTreeMap::new());
        for patient in &patients {
            for half in store.halves(*patient).await.unwrap() {
                let secret = unwrap(&kek, side, *patient, half.epoch, &half.wrapped).expect("its own half");
                halves.insert((*patient, half.epoch), Half::from_secret(side, *patient, half.epoch, secret));
                wrapped.insert((*patient, half.epoch), half.wrapped);
            }
        }
        assert!(!halves.is_empty());
        Self { side, folder: to.to_owned(), kek, store, patients, wrapped, halves }
    }

    /// Everything that is stored of all patients, verified by its author's key.
    async fn entries(&self, author: &PublicKey) -> Vec<Entry> {
        let mut entries = Vec::new();
        for patient in &self.patients {
            for stored in self.store.read(*patient, 0, usize::MAX, usize::MAX).await.unwrap() {
                let verified = record::parse(&stored.envelope).unwrap().verify(author, &Operations::default()).unwrap();
                entries.push(Entry { verified, ciphertext: stored.ciphertext });
            }
        }
        entries
    }

    /// This party's node for an entry's label and epoch, used for a side.
    fn nodes(&self, entry: &Entry, side: Side) -> Vec<SubHalf> {
        let header = entry.verified.header();
        let half = self.halves.get(&(header.patient, header.epoch)).expect("a half per epoch");
        entry.node(side, half.secret())
    }

    fn other_side(&self) -> Side {
        if self.side == Side::Archive { Side::Broker } else { Side::Archive }
    }

    /// A key ring from this party's part and what is tried for the other's.
    fn ring(&self, patient: Pseudonym, own: Vec<SubHalf>, other: Vec<SubHalf>) -> KeyRing {
        match self.side {
            Side::Broker => KeyRing::new(patient, own, other),
            Side::Archive => KeyRing::new(patient, other, own),
        }
    }

    /// Every run of 32 bytes in every file but the database, and every one that is written in hexadecimal.
    fn everything_like_a_secret(&self) -> BTreeSet<[u8; 32]> {
        let mut found = BTreeSet::new();
        for file in fs::read_dir(&self.folder).unwrap().map(|entry| entry.unwrap().path()) {
            if file.file_name().unwrap().to_string_lossy().starts_with("store.sqlite") {
                continue;
            }
            let content = fs::read(&file).unwrap();
            found.extend(content.windows(32).map(|run| <[u8; 32]>::try_from(run).unwrap()));
            let decoded = content.windows(64).filter_map(|run| hex::decode(run).ok());
            found.extend(decoded.map(|run| <[u8; 32]>::try_from(run).unwrap()));
        }
        let wrapped = self.wrapped.values().flat_map(|wrapped| wrapped.windows(32));
        found.extend(wrapped.map(|run| <[u8; 32]>::try_from(run).unwrap()));
        found
    }
}

impl Entry {
    /// What a secret gives for this entry when it is taken for a side's half.
    fn node(&self, side: Side, secret: &Secret) -> Vec<SubHalf> {
        let header = self.verified.header();
        vec![Half::from_secret(side, header.patient, header.epoch, secret.clone()).for_reader(header.tag)]
    }

    fn open(&self, ring: &KeyRing) -> Option<Vec<u8>> {
        let opened = self.verified.open(self.ciphertext.clone(), ring, &Operations::default());
        opened.ok().map(|record| record.content)
    }
}

/// One attempt, which must fail.
fn refused(entry: &Entry, ring: &KeyRing) -> usize {
    assert!(entry.open(ring).is_none(), "an entry was opened with one folder");
    1
}

fn unwrap(kek: &KeyEncryptionKey, side: Side, patient: Pseudonym, epoch: u64, wrapped: &[u8]) -> Option<Secret> {
    let place: &[u8] = if side == Side::Archive { b"archive half" } else { b"broker half" };
    let bytes = kek.unwrap(&[place, patient.as_bytes(), &epoch.to_be_bytes()], wrapped).ok()?;
    Secret::from_slice(&bytes)
}

async fn patients_in(database: &Path) -> Vec<Pseudonym> {
    let options = sqlx::sqlite::SqliteConnectOptions::new().filename(database);
    let pool = sqlx::SqlitePool::connect_with(options).await.unwrap();
    let rows: Vec<(Vec<u8>,)> = sqlx::query_as("SELECT pseudonym FROM patient").fetch_all(&pool).await.unwrap();
    pool.close().await;
    rows.into_iter().map(|(bytes,)| Pseudonym::from_slice(&bytes).unwrap()).collect()
}

/// The key with which a hospital signs entries.
fn author_key(folder: &Path) -> PublicKey {
    let membership = Membership::from_json(&fs::read(folder.join("membership.json")).unwrap()).unwrap();
    membership.statement.key.public_key().clone()
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let to = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}
