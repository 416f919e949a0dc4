//! A process that is killed loses nothing that it acknowledged, and leaves no half deposit; and while it runs, no
//! other process gets its folder. The child is this test binary again, told what to do through the environment.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::{HashMap, HashSet};
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use sealwort_proto::log::{empty, entry_hash, genesis};
use sealwort_proto::receipt::Witness;
use sealwort_proto::{DepositId, Digest, LabelTag, Locator, Pseudonym, crypto};
use sealwort_store::sqlite::SqliteStore;
use sealwort_store::{
    Append, Appended, DataFolder, DirectiveUpdate, GatewayStore as _, LogStore as _, NewEntry, NewPatient,
    PatientStore as _, StoreError, WrappedHalf,
};

const FOLDER: &str = "SEALWORT_STORE_CHILD_FOLDER";
const KILLS: u32 = 30;
const WRITERS: u8 = 8;

async fn open(path: &Path) -> Result<(DataFolder, SqliteStore), StoreError> {
    let mut folder = DataFolder::open(path, "archive")?;
    let store = SqliteStore::open(&mut folder).await?;
    Ok((folder, store))
}

/// Runs [`child`] in a process of its own.
fn spawn(folder: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child", "--nocapture"])
        .env(FOLDER, folder)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// Not a test of its own: what the killed process does. Prints a line for everything that was acknowledged.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child() {
    let Some(folder) = std::env::var_os(FOLDER) else { return };
    let (_folder, store) = match open(Path::new(&folder)).await {
        Ok(open) => open,
        Err(StoreError::InUse { .. }) => return println!("\nin-use"),
        Err(error) => return println!("\nfailed {error:?}"),
    };
    // The first random number costs tens of milliseconds, in which there would be nothing to kill.
    let _: [u8; 1] = crypto::random();
    println!("\nopen");
    let mut tasks: Vec<_> = (0..WRITERS).map(|writer| tokio::spawn(write_log(store.clone(), writer))).collect();
    tasks.push(tokio::spawn(write_directives(store.clone())));
    tasks.push(tokio::spawn(write_outbox(store)));
    for task in tasks {
        task.await.unwrap();
    }
}

async fn write_log(store: SqliteStore, writer: u8) {
    let patient = Pseudonym::new([writer; 32]);
    let mut head = store.head(patient).await.unwrap().unwrap_or_else(|| empty(patient));
    for count in [1, 3, 1, 1, 20].into_iter().cycle() {
        let append = chained(patient, head, count);
        let Appended::Stored(stored) = store.append(append).await.unwrap() else { panic!("one writer a log") };
        head = stored;
        println!("log {writer} {} {}", head.sequence, head.head);
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
async fn write_directives(store: SqliteStore) {
    let new = NewPatient {
        patient: DIRECTED,
        locators: vec![Locator::new([1; 32]), Locator::new([2; 32])],
        registration: vec![1; 500],
        directive: 1_u64.to_be_bytes().to_vec(),
        version: 1,
        half: half(1),
    };
    store.register(new).await.unwrap();
    println!("directive 1");
    let mut version = store.patient(DIRECTED).await.unwrap().unwrap().version;
    loop {
        let directive = (version + 1).to_be_bytes().to_vec();
        let half = Some(half(version + 1));
        let update = DirectiveUpdate { patient: DIRECTED, replaces: version, directive, epoch: version + 1, half };
        store.direct(update).await.unwrap();
        version += 1;
        println!("directive {version}");
    }
}

async fn write_outbox(store: SqliteStore) {
    loop {
        let id = DepositId::random();
        store.enqueue(id, crypto::random(), vec![3; 700]).await.unwrap();
        println!("queued {id}");
        // As many leave as come, but not at once.
        for item in store.pending(10).await.unwrap().iter().filter(|_| id.as_bytes()[0] < 16) {
            println!("leaving {}", item.id);
            store.done(item.id).await.unwrap();
        }
    }
}

/// What children acknowledged so far.
#[derive(Default)]
struct Acknowledged {
    logs: HashMap<u8, Vec<(u64, String)>>,
    version: u64,
    queued: HashSet<String>,
    leaving: HashSet<String>,
    lines: usize,
}

impl Acknowledged {
    fn take(&mut self, line: &str) {
        let words: Vec<_> = line.split(' ').collect();
        match words[..] {
            ["log", writer, sequence, head] => {
                let log = self.logs.entry(writer.parse().unwrap()).or_default();
                log.push((sequence.parse().unwrap(), head.to_owned()));
            }
            ["directive", version] => self.version = self.version.max(version.parse().unwrap()),
            ["queued", id] => drop(self.queued.insert(id.to_owned())),
            ["leaving", id] => drop(self.leaving.insert(id.to_owned())),
            _ => return,
        }
        self.lines += 1;
    }

    async fn check(&self, store: &SqliteStore) {
        for writer in 0..WRITERS {
            self.check_log(store, writer).await;
        }
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
        let pending = store.pending(usize::MAX).await.unwrap();
        let pending: HashSet<_> = pending.iter().map(|item| item.id.to_string()).collect();
        for id in self.queued.difference(&self.leaving) {
            assert!(pending.contains(id), "the write {id} was queued and acknowledged");
        }
    }

    async fn check_log(&self, store: &SqliteStore, writer: u8) {
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

/// Kills a child some time after its first word, and gives back all it said.
fn kill_after(mut child: Child, delay: Duration) -> Vec<String> {
    let (said, lines) = mpsc::channel();
    let output = BufReader::new(child.stdout.take().unwrap());
    let listener = std::thread::spawn(move || {
        // A last line without its end was not said.
        let mut output = output;
        let mut line = String::new();
        while output.read_line(&mut line).unwrap_or(0) > 0 && line.ends_with('\n') {
            said.send(line.trim_end().to_owned()).unwrap();
            line.clear();
        }
    });
    let started = Instant::now();
    let mut all = Vec::new();
    while !all.iter().any(|line: &String| line == "open") {
        all.push(lines.recv_timeout(Duration::from_secs(30)).unwrap_or_else(|e| panic!("the child said {all:?}: {e}")));
        assert!(started.elapsed() < Duration::from_mins(1));
    }
    std::thread::sleep(delay);
    // SIGKILL.
    child.kill().unwrap();
    child.wait().unwrap();
    listener.join().unwrap();
    all.extend(lines);
    all
}

#[tokio::test]
async fn killed_at_any_moment_nothing_acknowledged_is_lost() {
    if std::env::var_os(FOLDER).is_some() {
        return;
    }
    let place = tempfile::tempdir().unwrap();
    let mut acknowledged = Acknowledged::default();
    for round in 0..KILLS {
        let delay = Duration::from_micros(2 * u64::from(u16::from_be_bytes(crypto::random())));
        for line in kill_after(spawn(place.path()), delay) {
            acknowledged.take(&line);
        }
        let (_folder, store) = open(place.path()).await.unwrap();
        acknowledged.check(&store).await;
        // Every other time the next child has to recover by itself.
        if round % 2 == 0 {
            store.close().await;
        }
    }
    assert!(acknowledged.lines > 100, "only {} writes were acknowledged", acknowledged.lines);
    println!("{KILLS} kills, {} acknowledged writes, none lost", acknowledged.lines);
}

/// Killed while the folder is being made, it can still be opened, and is then whole.
#[tokio::test]
async fn killed_while_a_folder_is_made() {
    if std::env::var_os(FOLDER).is_some() {
        return;
    }
    let place = tempfile::tempdir().unwrap();
    for round in 0..20_u64 {
        let path = place.path().join(round.to_string());
        let mut child = spawn(&path);
        std::thread::sleep(Duration::from_millis(round));
        child.kill().unwrap();
        child.wait().unwrap();
        let mut said = String::new();
        child.stdout.take().unwrap().read_to_string(&mut said).unwrap();
        let mut acknowledged = Acknowledged::default();
        let whole = said.rfind('\n').map_or("", |end| &said[..end]);
        whole.lines().for_each(|line| acknowledged.take(line));
        let (_folder, store) = open(&path).await.unwrap();
        acknowledged.check(&store).await;
        store.close().await;
    }
}

#[tokio::test]
async fn a_second_process_is_refused() {
    if std::env::var_os(FOLDER).is_some() {
        return;
    }
    let place = tempfile::tempdir().unwrap();
    let (_folder, store) = open(place.path()).await.unwrap();
    let output = spawn(place.path()).wait_with_output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.lines().any(|line| line == "in-use"), "{said}");
    assert_eq!(store.head(DIRECTED).await, Ok(None));
    assert!(matches!(open(place.path()).await, Err(StoreError::InUse { .. })), "nor is this one, a second time");
}
