//! What reaches the disk, seen from outside the process: nothing is acknowledged before an fsync, one fsync serves
//! many, an fsync that failed ends all writing, and a full disk loses nothing that was acknowledged. The child is this
//! test binary again.
//!
//! These need `strace`, and a small file system of their own (`unshare` and `mount`); where the machine has not got
//! them they say so loudly.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use sealwort_proto::log::empty;
use sealwort_proto::receipt::Witness;
use sealwort_proto::{DepositId, Digest, LabelTag, Pseudonym};
use sealwort_store::conformance::{as_stored, head_after, some_deposit, some_patient};
use sealwort_store::sqlite::SqliteStore;
use sealwort_store::{Append, Appended, DataFolder, LogStore as _, NewEntry, StoreError, StoredEntry};

const TASK: &str = "SEALWORT_STORE_CHILD_TASK";
const FOLDER: &str = "SEALWORT_STORE_CHILD_FOLDER";
/// Appends of the two tests that watch the disk.
const APPENDS: usize = 64;

async fn open(path: &Path) -> (DataFolder, SqliteStore) {
    let mut folder = DataFolder::open(path, "archive").unwrap();
    let store = SqliteStore::open(&mut folder).await.unwrap();
    (folder, store)
}

/// Not a test of its own: what the watched process does.
#[tokio::test]
async fn child() {
    let Some(task) = std::env::var_os(TASK) else { return };
    let folder = std::env::var_os(FOLDER).unwrap();
    match task.to_str().unwrap() {
        "one by one" => append(Path::new(&folder), 1).await,
        "together" => append(Path::new(&folder), APPENDS).await,
        "fill" => fill(Path::new(&folder)).await,
        "open" => open(Path::new(&folder)).await.1.close().await,
        "insist" => insist(Path::new(&folder)).await,
        "read" => read(Path::new(&folder)).await,
        other => panic!("no such task: {other}"),
    }
    println!("\nfinished");
}

/// Runs [`child`] behind another program.
fn behind(program: &[OsString], task: &str, folder: &Path) -> std::io::Result<Output> {
    let (first, rest) = program.split_first().unwrap();
    Command::new(first)
        .args(rest)
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "child", "--nocapture"])
        .env(TASK, task)
        .env(FOLDER, folder)
        .output()
}

/// Whether there is no strace, or it was not let trace; nothing else is a reason to leave a test out.
fn is_untraced(failed: &std::io::Result<Output>) -> bool {
    match failed {
        Ok(output) => String::from_utf8_lossy(&output.stderr).to_lowercase().contains("ptrace"),
        Err(error) => error.kind() == std::io::ErrorKind::NotFound,
    }
}

fn finished(output: &Output) -> bool {
    output.status.success() && String::from_utf8_lossy(&output.stdout).lines().any(|line| line == "finished")
}

/// `width` callers at a time append, and each says so by a single write to standard output.
async fn append(folder: &Path, width: usize) {
    let (_folder, store) = open(folder).await;
    println!("\nbegun");
    for _ in 0..APPENDS / width {
        let appends = (0..width).map(|_| async {
            let patient = some_patient();
            let outcome = store.append(some_deposit(patient, empty(patient), &[2000])).await.unwrap();
            assert!(matches!(outcome, Appended::Stored(_)));
            println!("acknowledged");
        });
        futures::future::join_all(appends).await;
    }
    println!("ended");
    store.close().await;
}

/// What the child did between its first and last append, in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Event {
    Synced,
    Acknowledged,
}

fn events(task: &str) -> Option<Vec<Event>> {
    let place = tempfile::tempdir().unwrap();
    let trace = place.path().join("trace");
    let program = ["strace", "-f", "-y", "-e", "trace=fsync,fdatasync,write", "-o"];
    let program: Vec<_> = program.iter().map(OsString::from).chain([trace.clone().into()]).collect();
    match behind(&program, task, &place.path().join("store")) {
        Ok(output) if finished(&output) => {}
        failed => {
            assert!(is_untraced(&failed), "{failed:?}");
            eprintln!("SKIPPED: strace is not here or may not trace, so fsync is not watched: {failed:?}");
            return None;
        }
    }
    let text = fs::read_to_string(trace).unwrap();
    let within = text.lines().skip_while(|line| !line.contains("begun")).take_while(|line| !line.contains("ended"));
    let event = |line: &str| {
        if line.contains("\"acknowledged") {
            Some(Event::Acknowledged)
        } else if line.contains("sync(") && line.contains("store.sqlite-wal") {
            Some(Event::Synced)
        } else {
            None
        }
    };
    Some(within.filter_map(event).collect())
}

#[test]
fn nothing_is_acknowledged_before_an_fsync() {
    let Some(events) = events("one by one") else { return };
    let acknowledged = events.iter().filter(|event| **event == Event::Acknowledged).count();
    assert_eq!(acknowledged, APPENDS, "{events:?}");
    let mut synced = false;
    for event in &events {
        match event {
            Event::Synced => synced = true,
            Event::Acknowledged => assert!(std::mem::take(&mut synced), "no fsync before it: {events:?}"),
        }
    }
}

#[test]
fn one_fsync_serves_many() {
    let Some(events) = events("together") else { return };
    let acknowledged = events.iter().filter(|event| **event == Event::Acknowledged).count();
    assert_eq!(acknowledged, APPENDS);
    let synced = events.len() - acknowledged;
    assert!((1..=APPENDS / 8).contains(&synced), "{synced} fsyncs for {APPENDS} appends");
}

/// What fails, in the child's calls to the system: which calls upon which file, with which numbers.
const FAILING: [(&str, &str, &str); 6] = [
    // Once, so that trying again would succeed, and from then on.
    ("fsync,fdatasync", "store.sqlite-wal", "when=20"),
    ("fsync,fdatasync", "store.sqlite-wal", "when=20+"),
    // The move of the write-ahead log into the database.
    ("fsync,fdatasync", "store.sqlite", "when=1"),
    ("fsync,fdatasync", "store.sqlite", "when=2+"),
    ("pwrite64", "store.sqlite-wal", "when=100"),
    ("pwrite64", "store.sqlite", "when=50"),
];

/// Runs a task whose calls fail with EIO.
fn failing(task: &str, folder: &Path, (calls, file, when): (&str, &str, &str)) -> Option<String> {
    let file = folder.join(file).into_os_string().into_string().unwrap();
    let (trace, inject) = (format!("trace={calls}"), format!("inject={calls}:error=EIO:{when}"));
    let program = ["strace", "-f", "-qq", "-o", "/dev/null", "-P", &file, "-e", &trace, "-e", &inject];
    match behind(&program.map(OsString::from), task, folder) {
        Ok(output) if finished(&output) => Some(String::from_utf8_lossy(&output.stdout).into_owned()),
        failed => {
            assert!(is_untraced(&failed), "{calls} {file} {when}: {failed:?}");
            eprintln!("SKIPPED: strace is not here or may not trace, so no call is made to fail: {failed:?}");
            None
        }
    }
}

#[tokio::test]
async fn after_a_failed_sync_or_write_nothing_is_acknowledged_until_a_restart() {
    for fault in FAILING {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().join("store");
        open(&folder).await.1.close().await;
        let Some(said) = failing("insist", &folder, fault) else { return };
        let acknowledged = said.lines().filter(|line| *line == "acknowledged").count() as u64;
        assert!(said.contains("refused"), "{fault:?}: {said}");
        assert!(
            fs::metadata(folder.join("store.sqlite-wal")).is_ok_and(|wal| wal.len() > 0),
            "{fault:?}: it was moved"
        );
        // What the system shows of the log may not be on the disk: it is written over itself before it is built upon.
        assert!(hardened_first(&folder), "{fault:?}");
        let (_folder, store) = open(&folder).await;
        let found = store.read(PATIENT, 0, usize::MAX, usize::MAX).await.unwrap();
        // The deposit whose commit failed may be there or not: its writer was told that storage failed.
        let last = u64::try_from(found.len()).unwrap() / 2;
        assert!((acknowledged..=acknowledged + 1).contains(&last), "{fault:?}: {last} of {acknowledged}");
        assert!(found == expected(last), "{fault:?}: the entries differ");
        let next = numbered(last);
        assert_eq!(store.append(next.clone()).await, Ok(Appended::Stored(head_after(&next))), "{fault:?}");
        println!(
            "{fault:?}: {acknowledged} deposits acknowledged before, {last} found, writing goes on after a restart"
        );
    }
}

/// Whether a start writes the whole write-ahead log anew and syncs it before it does anything else.
fn hardened_first(folder: &Path) -> bool {
    let trace = folder.with_extension("trace");
    let size = fs::metadata(folder.join("store.sqlite-wal")).unwrap().len();
    let program = ["strace", "-f", "-y", "-qq", "-e", "trace=fsync,fdatasync,pwrite64,write", "-o"];
    let program: Vec<_> = program.iter().map(OsString::from).chain([trace.clone().into()]).collect();
    // The child ends as it likes; what counts is its beginning.
    behind(&program, "open", folder).unwrap();
    let text = fs::read_to_string(trace).unwrap();
    let mut written = 0;
    for line in text.lines().filter(|line| line.contains("store.sqlite-wal")) {
        if line.contains("sync(") {
            return written == size;
        }
        let result = line.rsplit("= ").next().and_then(|result| result.trim().parse::<u64>().ok());
        written += result.unwrap_or(0);
    }
    false
}

#[tokio::test]
async fn what_cannot_be_read_is_told_and_never_shown_as_less() {
    let place = tempfile::tempdir().unwrap();
    let folder = place.path().join("store");
    let (locked, store) = open(&folder).await;
    for number in 0..DEPOSITS_READ {
        store.append(numbered(number)).await.unwrap();
    }
    store.close().await;
    drop(locked);
    let (mut at_the_start, mut later) = (0, 0);
    for call in [1, 300, 2000, 6000] {
        let Some(said) = failing("read", &folder, ("pread64", "store.sqlite", &format!("when={call}+"))) else {
            return;
        };
        at_the_start += usize::from(said.contains("not opened"));
        later += usize::from(said.contains("not read"));
    }
    println!("reading failed {at_the_start} times at the start and {later} times later");
    assert!(at_the_start > 0 && later > 0);
}

const PATIENT: Pseudonym = Pseudonym::new([7; 32]);
/// More than fits into SQLite's cache, so that reading again reads from the disk.
const DEPOSITS_READ: u64 = 600;
const DEPOSITS_MAX: u64 = 3000;

/// The deposit of this number in the log of [`PATIENT`], the same in every process.
fn numbered(number: u64) -> Append {
    let hash = |sequence: u64| Digest::new([sequence.to_be_bytes(); 4].concat().try_into().unwrap());
    let after = match number {
        0 => empty(PATIENT),
        _ => Witness { sequence: 2 * number, head: hash(2 * number) },
    };
    let entry = |sequence: u64| NewEntry {
        sequence,
        hash: hash(sequence),
        tag: LabelTag::new([1; 16]),
        author_key: hash(sequence),
        envelope: sequence.to_be_bytes().repeat(30),
        ciphertext: sequence.to_be_bytes().repeat(400),
    };
    let entries = vec![entry(2 * number + 1), entry(2 * number + 2)];
    Append { patient: PATIENT, deposit: DepositId::random(), after, entries }
}

fn expected(deposits: u64) -> Vec<StoredEntry> {
    (0..deposits).flat_map(|number| as_stored(&numbered(number).entries)).collect()
}

/// Appends until it is refused, and then more: nothing may be acknowledged any more, and all that was can be read.
async fn insist(folder: &Path) {
    let (_folder, store) = open(folder).await;
    println!();
    let mut stored = 0;
    let failure = loop {
        match store.append(numbered(stored)).await {
            Ok(_) => println!("acknowledged"),
            Err(failure) => break failure,
        }
        stored += 1;
        assert!(stored < DEPOSITS_MAX, "nothing failed");
    };
    assert!(matches!(failure, StoreError::Io(_) | StoreError::Failed(_)), "{failure}");
    for _ in 0..50 {
        let refused = store.append(numbered(stored)).await.unwrap_err();
        let telling = refused.to_string();
        // A write that failed before its commit leaves nothing behind, and is simply done again.
        assert!(matches!(refused, StoreError::Failed(_)) && telling.contains("restart the service"), "{telling}");
    }
    assert!(store.read(PATIENT, 0, usize::MAX, usize::MAX).await.unwrap() == expected(stored), "reading goes on");
    println!("refused: {failure}");
    store.close().await;
}

/// Opens and reads everything over and over; each answer is an error or whole.
async fn read(folder: &Path) {
    let mut folder = DataFolder::open(folder, "archive").unwrap();
    let store = match SqliteStore::open(&mut folder).await {
        Ok(store) => store,
        Err(error) => return println!("\nnot opened: {error}"),
    };
    for _ in 0..20 {
        match store.read(PATIENT, 0, usize::MAX, usize::MAX).await {
            Ok(found) => assert!(found == expected(DEPOSITS_READ), "{} entries", found.len()),
            Err(error @ (StoreError::Io(_) | StoreError::Damaged { .. })) => println!("\nnot read: {error}"),
            Err(error) => panic!("{error}"),
        }
    }
    store.close().await;
}

#[test]
fn a_full_disk_loses_nothing() {
    let place = tempfile::tempdir().unwrap();
    // In a mount namespace of its own, which ends with the child.
    let script = "mount -t tmpfs -o size=6m sealwort \"$SEALWORT_STORE_CHILD_FOLDER\" || exit 77; exec \"$@\"";
    let ways: [&[&str]; 2] = [&["unshare", "-m"], &["unshare", "-r", "-m"]];
    for way in ways {
        let program: Vec<_> = way.iter().chain(&["sh", "-c", script, "sh"]).map(OsString::from).collect();
        match behind(&program, "fill", place.path()) {
            Ok(output) if finished(&output) => return,
            Ok(output) if output.status.code() == Some(101) => panic!("{}", String::from_utf8_lossy(&output.stderr)),
            failed => eprintln!("{way:?}: {failed:?}"),
        }
    }
    eprintln!("SKIPPED: no small file system can be mounted here, so a full disk is not tried");
}

/// Fills its file system, makes room, goes on; then the same with the folder opened anew while the disk is full.
async fn fill(place: &Path) {
    let (folder_path, ballast) = (place.join("store"), place.join("ballast"));
    fs::write(&ballast, vec![1; 1024 * 1024]).unwrap();
    let (folder, store) = open(&folder_path).await;
    let patient = some_patient();
    let mut stored: Vec<Append> = Vec::new();
    let failure = append_until_failure(&store, patient, &mut stored).await;
    assert_eq!(failure, StoreError::Full);
    assert!(stored.len() > 10, "{} deposits fitted", stored.len());
    check(&store, patient, &stored).await;
    // Large deposits fail at another place than small ones, and many at once together.
    for size in [1, 100, 1_000_000] {
        let rivals = (0..8).map(|_| store.append(some_deposit(patient, head(patient, &stored), &[size; 3])));
        for outcome in futures::future::join_all(rivals).await {
            match outcome {
                // A small one may find a gap.
                Ok(Appended::Stored(_)) if size < 1000 => panic!("the test counts on a disk that is full to the brim"),
                outcome => assert_eq!(outcome, Err(StoreError::Full)),
            }
        }
    }
    check(&store, patient, &stored).await;

    fs::remove_file(&ballast).unwrap();
    append_stored(&store, patient, &mut stored).await;
    check(&store, patient, &stored).await;

    // Full again, and closed and opened in that state.
    append_until_failure(&store, patient, &mut stored).await;
    store.close().await;
    drop(folder);
    let (_folder, store) = open(&folder_path).await;
    check(&store, patient, &stored).await;
    store.close().await;
}

fn head(patient: sealwort_proto::Pseudonym, stored: &[Append]) -> Witness {
    stored.last().map_or_else(|| empty(patient), head_after)
}

async fn append_stored(store: &SqliteStore, patient: sealwort_proto::Pseudonym, stored: &mut Vec<Append>) {
    let append = some_deposit(patient, head(patient, stored), &[3000, 9000]);
    assert_eq!(store.append(append.clone()).await, Ok(Appended::Stored(head_after(&append))));
    stored.push(append);
}

async fn append_until_failure(
    store: &SqliteStore,
    patient: sealwort_proto::Pseudonym,
    stored: &mut Vec<Append>,
) -> StoreError {
    loop {
        let append = some_deposit(patient, head(patient, stored), &[3000, 9000]);
        match store.append(append.clone()).await {
            Ok(outcome) => assert_eq!(outcome, Appended::Stored(head_after(&append))),
            Err(error) => return error,
        }
        stored.push(append);
    }
}

async fn check(store: &SqliteStore, patient: sealwort_proto::Pseudonym, stored: &[Append]) {
    let expected: Vec<_> = stored.iter().flat_map(|append| as_stored(&append.entries)).collect();
    let found = store.read(patient, 0, usize::MAX, usize::MAX).await.unwrap();
    assert!(found == expected, "{} entries of {} acknowledged", found.len(), expected.len());
    assert_eq!(store.head(patient).await, Ok(Some(head(patient, stored))));
}
