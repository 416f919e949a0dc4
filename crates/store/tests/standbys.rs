//! Sealed entries are read from standbys where those have what the primary has, and from the primary otherwise: while a standby
//! lags, after an erasure, when a standby is away or silent, becomes the primary, or went a way of its own. Which server was
//! asked stands in its log.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

#[path = "support/forwarder.rs"]
mod forwarder;
#[path = "support/server.rs"]
mod server;

use std::path::Path;
use std::time::{Duration, Instant};

use forwarder::Forwarder;
use sealwort_proto::log::empty;
use sealwort_proto::receipt::Witness;
use sealwort_proto::{Locator, Pseudonym, crypto};
use sealwort_store::conformance::{self, as_stored, head_after, some_deposit, some_patient};
use sealwort_store::postgres::{Database, PostgresStore};
use sealwort_store::{
    Append, Appended, DataFolder, LogStore as _, NewErasure, NewPatient, PatientStore as _, StoredEntry, WrappedHalf,
};
use server::{PASSWORD, Server, USER};

/// Longest that anything is waited for.
const PATIENCE: Duration = Duration::from_mins(3);
const POLL: Duration = Duration::from_millis(50);

/// A primary, which is the first server of the store's URL, and a standby that has everything. Both log what they are asked.
struct Pair {
    primary: Server,
    standby: Server,
    name: String,
    place: tempfile::TempDir,
}

impl Pair {
    fn start() -> Option<Self> {
        let mut primary = Server::start()?;
        let name = primary.database();
        let mut standby = primary.standby();
        for server in [&mut primary, &mut standby] {
            server.stop();
            server.set("log_statement=all");
            server.resume();
        }
        Some(Self { primary, standby, name, place: tempfile::tempdir().unwrap() })
    }

    async fn open(&self) -> (DataFolder, PostgresStore) {
        self.open_with(self.standby.port()).await
    }

    async fn open_with(&self, standby: u16) -> (DataFolder, PostgresStore) {
        let (name, primary) = (&self.name, self.primary.port());
        let url = format!("postgresql://{USER}@127.0.0.1:{primary},127.0.0.1:{standby}/{name}");
        open(self.place.path(), &Database::new(&url, Some(PASSWORD)).unwrap().reading_from_standbys()).await
    }

    /// Waits until the standby has replayed what the primary has written.
    fn wait_for_standby(&self) {
        let written = self.primary.sql("postgres", "SELECT pg_current_wal_lsn()");
        let replayed = format!("SELECT pg_last_wal_replay_lsn() >= '{written}'");
        self.standby.wait_for("postgres", &replayed, "t");
    }

    /// From now on it lags.
    fn hold_standby(&self) {
        self.standby.sql("postgres", "SELECT pg_wal_replay_pause()");
        self.standby.wait_for("postgres", "SELECT pg_get_wal_replay_pause_state()", "paused");
    }

    fn let_standby_go(&self) {
        self.standby.sql("postgres", "SELECT pg_wal_replay_resume()");
        self.wait_for_standby();
    }

    /// How often primary and standby were asked for entries.
    fn asked(&self) -> [usize; 2] {
        [&self.primary, &self.standby].map(|server| server.log().matches("WITH size AS").count())
    }

    /// Reads until servers are asked so: a standby that was too slow once is passed over for a while. The answer is the same
    /// each time.
    async fn reads(
        &self,
        store: &PostgresStore,
        (patient, most): (Pseudonym, usize),
        expected: &[StoredEntry],
        servers: [usize; 2],
    ) {
        let begun = Instant::now();
        loop {
            let before = self.asked();
            let read = store.read(patient, 0, most, usize::MAX).await.unwrap();
            let after = self.asked();
            assert!(read == expected, "{most} entries are {read:?}");
            let asked = [after[0] - before[0], after[1] - before[1]];
            if asked == servers {
                return;
            }
            assert!(begun.elapsed() < PATIENCE, "primary and standby are asked {asked:?} times, not {servers:?}");
            tokio::time::sleep(POLL).await;
        }
    }
}

const ALL: usize = usize::MAX;
const FROM_STANDBY: [usize; 2] = [0, 1];
const FROM_PRIMARY: [usize; 2] = [1, 0];
/// The standby was asked first, and had something else.
const FROM_PRIMARY_AFTER_ALL: [usize; 2] = [1, 1];

async fn open(folder: &Path, database: &Database) -> (DataFolder, PostgresStore) {
    let mut folder = DataFolder::open(folder, "archive").unwrap();
    let store = PostgresStore::open(&mut folder, database).await.unwrap();
    (folder, store)
}

/// Appends until it is acknowledged; gives the head.
async fn store_deposit(store: &PostgresStore, append: &Append) -> Witness {
    let begun = Instant::now();
    loop {
        match store.append(append.clone()).await {
            Ok(Appended::Stored(head) | Appended::Known(head)) => return head,
            Ok(other) => panic!("{other:?}"),
            Err(error) => assert!(begun.elapsed() < PATIENCE, "{error}"),
        }
        tokio::time::sleep(POLL).await;
    }
}

fn entries(deposits: &[&Append]) -> Vec<StoredEntry> {
    deposits.iter().flat_map(|deposit| as_stored(&deposit.entries)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_standby_has_is_read_there_and_never_an_older_answer() {
    let Some(pair) = Pair::start() else { return };
    let (_folder, store) = pair.open().await;
    let (patient, other) = (some_patient(), some_patient());
    let first = some_deposit(patient, empty(patient), &[100, 5000, 100]);
    store_deposit(&store, &first).await;
    pair.wait_for_standby();
    let older = entries(&[&first]);
    pair.reads(&store, (patient, ALL), &older, FROM_STANDBY).await;
    pair.reads(&store, (patient, 2), &older[..2], FROM_STANDBY).await;
    pair.reads(&store, (other, ALL), &[], FROM_STANDBY).await;
    assert_eq!(store.read(patient, 0, ALL, 1000).await.unwrap(), older[..1], "bytes limit it there, too");

    pair.hold_standby();
    let (second, news) = (some_deposit(patient, head_after(&first), &[100]), some_deposit(other, empty(other), &[100]));
    store_deposit(&store, &second).await;
    store_deposit(&store, &news).await;
    let newer = entries(&[&first, &second]);
    pair.reads(&store, (patient, ALL), &newer, FROM_PRIMARY_AFTER_ALL).await;
    pair.reads(&store, (other, ALL), &entries(&[&news]), FROM_PRIMARY_AFTER_ALL).await;
    // What it has it serves.
    pair.reads(&store, (patient, 3), &older, FROM_STANDBY).await;
    assert_eq!(store.head(patient).await.unwrap(), Some(head_after(&second)), "heads are the primary's");

    pair.let_standby_go();
    pair.reads(&store, (patient, ALL), &newer, FROM_STANDBY).await;
    store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_was_erased_is_not_read_from_a_standby_that_lags() {
    let Some(pair) = Pair::start() else { return };
    let (_folder, store) = pair.open().await;
    let patient = some_patient();
    let (registration, directive) = (vec![1], vec![1]);
    let (half, locators) = (WrappedHalf { epoch: 1, wrapped: vec![1] }, vec![Locator::new(crypto::random())]);
    store.register(NewPatient { patient, locators, registration, directive, version: 1, half }).await.unwrap();
    let deposit = some_deposit(patient, empty(patient), &[100, 100]);
    store_deposit(&store, &deposit).await;
    pair.wait_for_standby();
    pair.reads(&store, (patient, ALL), &entries(&[&deposit]), FROM_STANDBY).await;

    pair.hold_standby();
    store.erase(NewErasure { patient, erasure: vec![1], erased_at: 1 }).await.unwrap();
    assert_eq!(pair.standby.sql(&pair.name, "SELECT count(*) FROM sealwort.entry"), "2", "there they are");
    for most in [1, 2, ALL] {
        pair.reads(&store, (patient, most), &[], FROM_PRIMARY_AFTER_ALL).await;
    }
    pair.let_standby_go();
    pair.reads(&store, (patient, ALL), &[], FROM_STANDBY).await;
    store.close().await;
}

/// A standby that was promoted while the primary went on has another entry in the same place.
#[tokio::test(flavor = "multi_thread")]
async fn what_went_a_way_of_its_own_is_not_believed() {
    let Some(pair) = Pair::start() else { return };
    let (_folder, store) = pair.open().await;
    let patient = some_patient();
    let first = some_deposit(patient, empty(patient), &[100]);
    store_deposit(&store, &first).await;
    pair.wait_for_standby();
    pair.standby.sql("postgres", "SELECT pg_promote()");
    pair.standby.wait_for("postgres", "SELECT pg_is_in_recovery()", "f");
    let astray = "INSERT INTO sealwort.entry (patient, sequence, hash, tag, author_key, envelope, ciphertext)
        SELECT patient, 2, sha256(hash), tag, author_key, envelope, ciphertext FROM sealwort.entry";
    pair.standby.sql(&pair.name, astray);
    // The primary never had it.
    pair.reads(&store, (patient, ALL), &entries(&[&first]), FROM_PRIMARY_AFTER_ALL).await;
    let second = some_deposit(patient, head_after(&first), &[100]);
    store_deposit(&store, &second).await;
    pair.reads(&store, (patient, ALL), &entries(&[&first, &second]), FROM_PRIMARY_AFTER_ALL).await;
    // What both have.
    pair.reads(&store, (patient, 1), &entries(&[&first]), FROM_STANDBY).await;
    store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn reading_goes_on_while_a_standby_is_away_and_when_it_is_the_primary() {
    let Some(mut pair) = Pair::start() else { return };
    let way = Forwarder::start(pair.standby.port()).await;
    let (_folder, store) = pair.open_with(way.port).await;
    let patient = some_patient();
    let first = some_deposit(patient, empty(patient), &[100, 100]);
    let head = store_deposit(&store, &first).await;
    pair.wait_for_standby();
    let stored = entries(&[&first]);
    pair.reads(&store, (patient, ALL), &stored, FROM_STANDBY).await;

    // Silent, which only waiting shows.
    way.cut();
    pair.reads(&store, (patient, ALL), &stored, FROM_PRIMARY).await;
    way.mend();
    pair.reads(&store, (patient, ALL), &stored, FROM_STANDBY).await;
    tokio::task::block_in_place(|| pair.standby.stop());
    pair.reads(&store, (patient, ALL), &stored, FROM_PRIMARY).await;
    tokio::task::block_in_place(|| pair.standby.resume());
    pair.reads(&store, (patient, ALL), &stored, FROM_STANDBY).await;

    // It ends in order: not before its standby has everything.
    tokio::task::block_in_place(|| pair.primary.stop());
    pair.standby.sql("postgres", "SELECT pg_promote()");
    let second = some_deposit(patient, head, &[100]);
    store_deposit(&store, &second).await;
    let both = entries(&[&first, &second]);
    let begun = Instant::now();
    loop {
        // Connections that read may still lead to the one that ended.
        match store.read(patient, 0, ALL, ALL).await {
            Ok(read) => {
                assert_eq!(read, both);
                break;
            }
            Err(error) => assert!(begun.elapsed() < PATIENCE, "{error}"),
        }
        tokio::time::sleep(POLL).await;
    }
    store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_rules_are_kept_while_standbys_are_read() {
    let Some(pair) = Pair::start() else { return };
    let (_folder, store) = pair.open().await;
    conformance::log_store(&store).await;
    conformance::patient_store(&store).await;
    assert!(pair.asked()[1] > 0, "the standby was read");
    store.close().await;
}
