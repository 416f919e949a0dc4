//! What is left after a process, a database server or the power went away: nothing that was acknowledged is lost, no half
//! deposit is to be seen, and the store opens again by itself. And while a process runs, no other one gets its folder. The
//! child is this test binary again, told what to do through the environment.
//!
//! `SEALWORT_KILLS` is how often each test kills, `SEALWORT_SEED` repeats the moments that were chosen.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

#[path = "support/place.rs"]
mod place;
#[path = "support/server.rs"]
mod server;

use std::collections::{HashMap, HashSet};
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use place::{Disk, Place, Random};
use sealwort_proto::log::{empty, entry_hash, genesis};
use sealwort_proto::receipt::Witness;
use sealwort_proto::{DepositId, Digest, LabelTag, Locator, Pseudonym, crypto};
use sealwort_store::sqlite::SqliteStore;
use sealwort_store::{
    Append, Appended, BrokerStore, DataFolder, DirectiveUpdate, GatewayStore as _, LogStore, NewEntry, NewPatient,
    PartyStore, PatientStore, StoreError, WrappedHalf,
};
use server::Server;

const KILLS: u64 = 10;
const WRITERS: u8 = 8;
/// After so many kills a new folder is begun: each check reads everything.
const FRESH_EVERY: u64 = 25;
/// How long a child works before its end, at most.
const WORK_MICROS_MAX: u64 = 130_000;
const PATIENCE: Duration = Duration::from_mins(2);

fn kills() -> u64 {
    place::number("SEALWORT_KILLS", KILLS)
}

fn embedded(folder: &Path) -> Place {
    Place { folder: folder.to_owned(), url: None }
}

/// The gateway's, with its outbox.
async fn open_outbox(place: &Place) -> Option<(DataFolder, SqliteStore)> {
    if place.url.is_some() {
        return None;
    }
    let mut folder = DataFolder::open(&place.folder.join("gateway"), "gateway").unwrap();
    let store = SqliteStore::open(&mut folder).await.unwrap();
    Some((folder, store))
}

/// Runs [`child`] in a process of its own.
fn spawn(place: &Place) -> Child {
    let mut command = place::again("child");
    place.give(&mut command);
    command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap()
}

/// Not a test of its own: what the killed process does. Prints a line for everything that was acknowledged.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child() {
    let Some(place) = Place::given() else { return };
    let store = match place.open().await {
        Ok(open) => open,
        Err(StoreError::InUse { .. }) => return println!("\nin-use"),
        Err(error) => return println!("\nfailed {error:?}"),
    };
    let outbox = open_outbox(&place).await;
    // The first random number costs tens of milliseconds, in which there would be nothing to kill.
    let _: [u8; 1] = crypto::random();
    println!("\nopen");
    let writer = |writer| tokio::spawn(write_log(store.logs(), store.broker(), writer));
    let mut tasks: Vec<_> = (0..WRITERS).map(writer).collect();
    tasks.push(tokio::spawn(write_directives(store.patients())));
    tasks.extend(outbox.map(|(folder, outbox)| tokio::spawn(write_outbox(folder, outbox))));
    for task in tasks {
        task.await.unwrap();
    }
}

/// Asks until it is done, as writers do who were told that storage failed.
async fn done<T, F: Future<Output = Result<T, StoreError>>>(mut ask: impl FnMut() -> F) -> T {
    loop {
        match ask().await {
            Ok(done) => return done,
            Err(error @ (StoreError::Conflict(_) | StoreError::Erased | StoreError::Damaged { .. })) => {
                panic!("{error}")
            }
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
}

async fn write_log(store: Arc<dyn LogStore>, broker: Arc<dyn BrokerStore>, writer: u8) {
    let patient = Pseudonym::new([writer; 32]);
    let mut head = done(|| store.head(patient)).await.unwrap_or_else(|| empty(patient));
    for count in [1, 3, 1, 1, 20].into_iter().cycle() {
        let append = chained(patient, head, count);
        let (Appended::Stored(stored) | Appended::Known(stored)) = done(|| store.append(append.clone())).await else {
            panic!("one writer a log")
        };
        head = stored;
        println!("log {writer} {} {}", head.sequence, head.head);
        done(|| broker.advance(patient, head)).await;
        println!("witness {writer} {} {}", head.sequence, head.head);
    }
}

/// A deposit whose entries say what they belong to: the hash before, the deposit, place and count within it.
fn chained(patient: Pseudonym, after: Witness, count: u8) -> Append {
    let deposit = DepositId::random();
    let mut previous = after.head;
    let entries = (after.sequence + 1..)
        .zip(0..count)
        .map(|(sequence, place)| {
            let envelope = [&previous.as_bytes()[..], deposit.as_bytes(), &[place, count]].concat();
            previous = entry_hash(&envelope);
            NewEntry {
                sequence,
                hash: previous,
                tag: LabelTag::new([1; 16]),
                author_key: Digest::new([2; 32]),
                ciphertext: previous.as_bytes().repeat(1 + usize::from(previous.as_bytes()[0])),
                envelope,
            }
        })
        .collect();
    Append { patient, deposit, after, entries }
}

const DIRECTED: Pseudonym = Pseudonym::new([99; 32]);

fn half(epoch: u64) -> WrappedHalf {
    WrappedHalf { epoch, wrapped: epoch.to_be_bytes().to_vec() }
}

/// Every directive starts an epoch, so version, epoch and halves must move together.
async fn write_directives(store: Arc<dyn PatientStore>) {
    let new = NewPatient {
        patient: DIRECTED,
        locators: vec![Locator::new([1; 32]), Locator::new([2; 32])],
        registration: vec![1; 500],
        directive: 1_u64.to_be_bytes().to_vec(),
        version: 1,
        half: half(1),
    };
    done(|| store.register(new.clone())).await;
    println!("directive 1");
    let mut version = done(|| store.patient(DIRECTED)).await.unwrap().version;
    loop {
        let directive = (version + 1).to_be_bytes().to_vec();
        let half = Some(half(version + 1));
        let update = DirectiveUpdate { patient: DIRECTED, replaces: version, directive, epoch: version + 1, half };
        done(|| store.direct(update.clone())).await;
        version += 1;
        println!("directive {version}");
    }
}

async fn write_outbox(_folder: DataFolder, store: SqliteStore) {
    loop {
        let id = DepositId::random();
        // Not repeated: whether a write that failed is there is unknown.
        if store.enqueue(id, crypto::random(), vec![3; 700]).await.is_err() {
            return;
        }
        println!("queued {id}");
        // As many leave as come, but not at once.
        let Ok(pending) = store.pending(10).await else { return };
        for item in pending.iter().filter(|_| id.as_bytes()[0] < 16) {
            println!("leaving {}", item.id);
            if store.done(item.id).await.is_err() {
                return;
            }
        }
    }
}

/// What children acknowledged so far.
#[derive(Default)]
struct Acknowledged {
    logs: HashMap<u8, Vec<(u64, String)>>,
    witnesses: HashMap<u8, Vec<(u64, String)>>,
    version: u64,
    queued: HashSet<String>,
    leaving: HashSet<String>,
    lines: usize,
}

impl Acknowledged {
    fn take(&mut self, line: &str) {
        let words: Vec<_> = line.split(' ').collect();
        match words[..] {
            [kind @ ("log" | "witness"), writer, sequence, head] => {
                let heads = if kind == "log" { &mut self.logs } else { &mut self.witnesses };
                let heads = heads.entry(writer.parse().unwrap()).or_default();
                heads.push((sequence.parse().unwrap(), head.to_owned()));
            }
            ["directive", version] => self.version = self.version.max(version.parse().unwrap()),
            ["queued", id] => drop(self.queued.insert(id.to_owned())),
            ["leaving", id] => drop(self.leaving.insert(id.to_owned())),
            _ => return,
        }
        self.lines += 1;
    }

    async fn check(&self, place: &Place, party: &PartyStore) {
        for writer in 0..WRITERS {
            self.check_log(&*party.logs(), writer).await;
            self.check_witnesses(&*party.broker(), writer).await;
        }
        let store = party.patients();
        if let Some(patient) = store.patient(DIRECTED).await.unwrap() {
            assert!(patient.version >= self.version, "directive {} was acknowledged", self.version);
            assert_eq!(patient.epoch, patient.version, "no half of a directive's writing is visible");
            assert_eq!(patient.directive, patient.version.to_be_bytes());
            let halves: Vec<_> = (1..=patient.epoch).map(half).collect();
            assert_eq!(store.halves(DIRECTED).await.unwrap(), halves);
            assert_eq!(store.locate(&[Locator::new([2; 32])]).await.unwrap(), Some(DIRECTED));
        } else {
            assert_eq!(self.version, 0, "a registration was acknowledged");
        }
        let Some((_folder, outbox)) = open_outbox(place).await else { return };
        let pending = outbox.pending(usize::MAX).await.unwrap();
        let pending: HashSet<_> = pending.iter().map(|item| item.id.to_string()).collect();
        for id in self.queued.difference(&self.leaving) {
            assert!(pending.contains(id), "the write {id} was queued and acknowledged");
        }
        outbox.close().await;
    }

    async fn check_witnesses(&self, store: &dyn BrokerStore, writer: u8) {
        let found = store.heads(Pseudonym::new([writer; 32]), 0, usize::MAX).await.unwrap();
        let found: HashSet<_> = found.iter().map(|head| (head.sequence, head.head.to_string())).collect();
        for head in self.witnesses.get(&writer).into_iter().flatten() {
            assert!(found.contains(head), "the head {head:?} of log {writer} was witnessed");
        }
    }

    async fn check_log(&self, store: &dyn LogStore, writer: u8) {
        let patient = Pseudonym::new([writer; 32]);
        let entries = store.read(patient, 0, usize::MAX, usize::MAX).await.unwrap();
        let (mut previous, mut hashes, mut left_of_deposit) = (genesis(patient), Vec::new(), 0);
        for (expected, entry) in (1..).zip(&entries) {
            assert_eq!(entry.sequence, expected, "the numbers have no gap");
            let (before, rest) = entry.envelope.split_at(Digest::LEN);
            assert_eq!(before, previous.as_bytes(), "each entry follows from the one before it");
            let [place, count] = rest[DepositId::LEN..] else { panic!("an envelope of another shape") };
            assert!(place == 0 || left_of_deposit > 0, "a deposit begins with its first entry");
            left_of_deposit = count - 1 - place;
            previous = entry_hash(&entry.envelope);
            assert_eq!(entry.ciphertext[..Digest::LEN], previous.as_bytes()[..], "and bears its own ciphertext");
            hashes.push(previous.to_string());
        }
        assert_eq!(left_of_deposit, 0, "no half deposit is visible");
        let head = store.head(patient).await.unwrap();
        assert_eq!(head.map(|head| head.sequence).unwrap_or_default(), entries.len() as u64);
        assert_eq!(head.map(|head| head.head), hashes.last().map(|_| previous));
        for (sequence, head) in self.logs.get(&writer).into_iter().flatten() {
            let found = hashes.get(usize::try_from(sequence - 1).unwrap());
            assert_eq!(found, Some(head), "entry {sequence} of log {writer} was acknowledged");
        }
    }
}

/// A process that is ended by SIGKILL with this, also where the test fails.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A child at work, and what it has said.
struct Working {
    child: Ended,
    lines: mpsc::Receiver<String>,
    said: Vec<String>,
}

impl Working {
    /// Starts one and waits for its first word.
    fn start(place: &Place) -> Self {
        let mut child = spawn(place);
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let (say, lines) = mpsc::channel();
        std::thread::spawn(move || {
            let mut line = String::new();
            // A last line without its end was not said.
            while output.read_line(&mut line).unwrap_or(0) > 0 && line.ends_with('\n') {
                if say.send(line.trim_end().to_owned()).is_err() {
                    return;
                }
                line.clear();
            }
        });
        let mut working = Self { child: Ended(child), lines, said: Vec::new() };
        working.wait_for("open");
        working
    }

    /// Waits until it says something that begins so.
    fn wait_for(&mut self, beginning: &str) {
        loop {
            let line = self.lines.recv_timeout(PATIENCE);
            let line = line.unwrap_or_else(|e| panic!("the child said {:?}: {e}", self.said));
            self.said.push(line);
            if self.said.last().is_some_and(|line| line.starts_with(beginning)) {
                return;
            }
        }
    }

    /// Takes what it has said up to now, and tells how many lines that are.
    fn listen(&mut self) -> usize {
        self.said.extend(self.lines.try_iter());
        self.said.len()
    }

    /// SIGKILL; everything that it said.
    fn kill(mut self) -> Vec<String> {
        drop(self.child);
        self.said.extend(self.lines);
        self.said
    }
}

/// What stays after every kill so far, in a folder or database that is begun anew now and then.
struct Rounds {
    random: Random,
    acknowledged: Acknowledged,
    lines: usize,
    opened: Vec<Duration>,
}

impl Rounds {
    fn new(what: &str) -> Self {
        Self { random: Random::seeded(what), acknowledged: Acknowledged::default(), lines: 0, opened: Vec::new() }
    }

    fn begin_anew(&mut self) {
        self.lines += std::mem::take(&mut self.acknowledged).lines;
        println!("after {} rounds {} writes were acknowledged and found", self.opened.len(), self.lines);
    }

    /// Lets a child work for a while, from its first write on.
    fn work(&mut self, place: &Place) -> Working {
        let mut working = Working::start(place);
        working.wait_for("log");
        std::thread::sleep(Duration::from_micros(self.random.below(WORK_MICROS_MAX)));
        working
    }

    /// Opens the store and holds it against what was acknowledged.
    async fn check(&mut self, place: &Place, said: Vec<String>) -> PartyStore {
        for line in &said {
            self.acknowledged.take(line);
        }
        let begun = Instant::now();
        let store = place.open().await.unwrap();
        self.opened.push(begun.elapsed());
        self.acknowledged.check(place, &store).await;
        store
    }

    fn end(mut self, what: &str) {
        self.begin_anew();
        let count = self.opened.len();
        assert!(self.lines >= count, "{count} times {what}, and only {} writes were acknowledged", self.lines);
        let spread = place::spread(self.opened);
        println!(
            "{count} times {what}: {} writes acknowledged, none lost, none by half; opened again: {spread}",
            self.lines
        );
    }
}

#[tokio::test]
async fn killed_at_any_moment_nothing_acknowledged_is_lost() {
    if Place::given().is_some() {
        return;
    }
    let mut rounds = Rounds::new("embedded, kill -9");
    let mut folder = tempfile::tempdir().unwrap();
    for round in 0..kills() {
        if round % FRESH_EVERY == 0 {
            folder = tempfile::tempdir().unwrap();
            rounds.begin_anew();
        }
        let place = embedded(folder.path());
        let said = rounds.work(&place).kill();
        let store = rounds.check(&place, said).await;
        // Every other time the next child has to recover by itself.
        if round % 2 == 0 {
            store.close().await;
        }
    }
    rounds.end("killed, embedded");
}

#[tokio::test(flavor = "multi_thread")]
async fn on_postgresql_service_or_server_are_killed_and_nothing_acknowledged_is_lost() {
    if Place::given().is_some() {
        return;
    }
    let Some(mut server) = Server::start() else { return };
    let mut rounds = Rounds::new("PostgreSQL, kill -9");
    let (mut folder, mut url) = (tempfile::tempdir().unwrap(), String::new());
    for round in 0..kills() {
        if round % FRESH_EVERY == 0 {
            (folder, url) = (tempfile::tempdir().unwrap(), server.url(&server.database()));
            rounds.begin_anew();
        }
        let place = Place { folder: folder.path().to_owned(), url: Some(url.clone()) };
        let mut working = rounds.work(&place);
        let said = match round % 3 {
            0 => working.kill(),
            // The server alone: the service goes on by itself.
            1 => {
                server.kill();
                working.listen();
                server.resume();
                working.wait_for("log");
                working.kill()
            }
            _ => {
                server.kill();
                let said = working.kill();
                server.resume();
                said
            }
        };
        server.wait_for_quiet();
        rounds.check(&place, said).await.close().await;
    }
    rounds.end("killed, service, server or both, PostgreSQL");
}

const AMONG_OWN_MOUNTS: &str = "SEALWORT_STORE_OWN_MOUNTS";

/// Whether this is a test among mounts of its own. If not, it is run so, by root; where that cannot be, it says so loudly.
fn may_cut_power(test: &str) -> bool {
    if Place::given().is_some() {
        return false;
    }
    if std::env::var_os(AMONG_OWN_MOUNTS).is_some() {
        return true;
    }
    if !place::among_own_mounts(test, AMONG_OWN_MOUNTS) {
        eprintln!("SKIPPED: cutting the power needs root, loop devices and ext4; {test} was not tried");
    }
    false
}

/// The power goes: what had not reached the disk never does.
#[tokio::test]
async fn power_cuts_lose_nothing_acknowledged() {
    if !may_cut_power("power_cuts_lose_nothing_acknowledged") {
        return;
    }
    let mut rounds = Rounds::new("embedded, power cut");
    let mut around = tempfile::tempdir().unwrap();
    let mut disk = Disk::new(around.path(), "512M");
    for round in 0..kills() {
        if round % FRESH_EVERY == 0 {
            disk.unmount();
            around = tempfile::tempdir().unwrap();
            disk = Disk::new(around.path(), "512M");
            rounds.begin_anew();
        }
        let place = embedded(&disk.mounted.join("archive"));
        let mut working = rounds.work(&place);
        // What is said later would not have been: without its journal ext4 answers some syncs with success, although a
        // file's new blocks could not be recorded. Only what left is left out before it is said.
        let before = disk.cut(|| working.listen());
        let mut said = working.kill();
        let later = said.split_off(before);
        said.extend(later.into_iter().filter(|line| line.starts_with("leaving")));
        disk.unmount();
        disk.mount();
        let store = rounds.check(&place, said).await;
        store.close().await;
    }
    disk.unmount();
    rounds.end("without power, embedded");
}

#[tokio::test(flavor = "multi_thread")]
async fn power_cuts_of_the_postgresql_server_lose_nothing_acknowledged() {
    if !may_cut_power("power_cuts_of_the_postgresql_server_lose_nothing_acknowledged") {
        return;
    }
    let around = tempfile::tempdir().unwrap();
    let disk = Disk::new(around.path(), "2G");
    let Some(mut server) = Server::start_in(&disk.mounted) else { return };
    // What initdb wrote without syncing is to be there, as it is on a server that was set up some time ago.
    server.sync();
    let mut rounds = Rounds::new("PostgreSQL, power cut");
    let (mut folder, mut url): (_, String) = (PathBuf::new(), String::new());
    for round in 0..kills() {
        if round % FRESH_EVERY == 0 {
            folder = around.path().join(round.to_string());
            url = server.url(&server.database());
            rounds.begin_anew();
        }
        let place = Place { folder: folder.clone(), url: Some(url.clone()) };
        let mut working = rounds.work(&place);
        disk.cut(|| ());
        server.kill();
        working.listen();
        disk.unmount();
        disk.mount();
        server.resume();
        working.wait_for("log");
        let said = working.kill();
        server.wait_for_quiet();
        rounds.check(&place, said).await.close().await;
    }
    server.stop();
    drop(server);
    disk.unmount();
    rounds.end("without power under the server, PostgreSQL");
}

/// Killed while the folder is being made, it can still be opened, and is then whole.
#[tokio::test]
async fn killed_while_a_folder_is_made() {
    if Place::given().is_some() {
        return;
    }
    let around = tempfile::tempdir().unwrap();
    for round in 0..20_u64 {
        let place = embedded(&around.path().join(round.to_string()));
        let mut child = spawn(&place);
        std::thread::sleep(Duration::from_millis(round));
        child.kill().unwrap();
        child.wait().unwrap();
        let mut said = String::new();
        child.stdout.take().unwrap().read_to_string(&mut said).unwrap();
        let mut acknowledged = Acknowledged::default();
        let whole = said.rfind('\n').map_or("", |end| &said[..end]);
        whole.lines().for_each(|line| acknowledged.take(line));
        let store = place.open().await.unwrap();
        acknowledged.check(&place, &store).await;
        store.close().await;
    }
}

#[tokio::test]
async fn a_second_process_is_refused() {
    if Place::given().is_some() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let place = embedded(folder.path());
    let store = place.open().await.unwrap();
    let output = spawn(&place).wait_with_output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.lines().any(|line| line == "in-use"), "{said}");
    assert_eq!(store.logs().head(DIRECTED).await, Ok(None));
    assert!(matches!(place.open().await, Err(StoreError::InUse { .. })), "nor is this one, a second time");
}
