//! Durable appends per second with many writers, beside plain inserts of the same bytes: through the store's own
//! writer, and through a bare group-commit loop. Every insert is on disk before its writer goes on.

use std::path::Path;
use std::time::{Duration, Instant};

use futures::FutureExt as _;
use sealwort_proto::receipt::Witness;
use sealwort_proto::{DepositId, Digest, LabelTag, Pseudonym, log};
use sealwort_store::sqlite::SqliteStore;
use sealwort_store::{Append, Appended, DataFolder, LogStore as _, NewEntry, StoreError};
use sqlx::SqliteConnection;

use crate::Thoroughness;
use crate::measure::{Failure, Samples, factor};
use crate::plain::{Plain, PlainRow};
use crate::report::{Aim, Report, Row};

const WRITERS: u64 = 32;
/// Rounds, each of the three in turn.
const ROUNDS: u64 = 9;
/// How long each takes in a round.
const ROUND_FULL: Duration = Duration::from_secs(2);
const ROUND_QUICK: Duration = Duration::from_millis(300);
/// Most rows in one commit of the bare loop.
const BATCH_MAX: usize = 256;
const CIPHERTEXT_BYTES: usize = 2048;
const ENVELOPE_BYTES: usize = 320;
/// Patients of one round lie this far from those of the next.
const PATIENTS_PER_ROUND: u64 = 1000;

const PLAIN_INSERT: &str = "INSERT INTO plain (patient, sequence, tag, author_key, envelope, ciphertext)
    VALUES (?, ?, ?, ?, ?, ?)";
const TAG: LabelTag = LabelTag::new([7; 16]);
const AUTHOR_KEY: Digest = Digest::new([9; 32]);

/// Measures and reports.
pub(crate) async fn run(thoroughness: Thoroughness, folder: &Path, report: &mut Report) -> Result<(), Failure> {
    let round = match thoroughness {
        Thoroughness::Full => ROUND_FULL,
        Thoroughness::Quick => ROUND_QUICK,
    };
    let place = tempfile::tempdir_in(folder)?;
    let mut data = DataFolder::open(&place.path().join("store"), "archive")?;
    let store = SqliteStore::open(&mut data).await?;
    store.writer().submit(|c| async move { Ok(sqlx::query(Entry::TABLE).execute(c).await.map(drop)?) }.boxed()).await?;
    let bare = Plain::spawn(&place.path().join("bare.sqlite"), BATCH_MAX).await?;

    let (mut appends, mut inserts, mut loops) = (Samples::default(), Samples::default(), Samples::default());
    for number in 0..ROUNDS {
        let first = number * PATIENTS_PER_ROUND;
        appends.push(rate(round, |writer| append_for(store.clone(), first + writer, round)).await?);
        inserts.push(rate(round, |writer| insert_for(store.clone(), first + writer, round)).await?);
        loops.push(rate(round, |writer| bare_for(bare.clone(), first + writer, round)).await?);
    }
    store.close().await;
    report.note(&format!(
        "append: {WRITERS} writers of {CIPHERTEXT_BYTES} + {ENVELOPE_BYTES} bytes, {ROUNDS} rounds of {} s in turns",
        round.as_secs_f64()
    ));
    report.row(
        Row::new("append", "LogStore::append", appends.median(), "/s")
            .against("plain INSERT, the store's group commit", inserts.median())
            .aim(Aim::RatioAtLeast(0.8)),
    );
    report.row(
        Row::new("append.bare", "LogStore::append", appends.median(), "/s")
            .against("plain INSERT, bare group commit", loops.median()),
    );
    Ok(())
}

async fn rate<F>(round: Duration, writer: impl Fn(u64) -> F) -> Result<f64, Failure>
where
    F: Future<Output = Result<u64, Failure>> + Send + 'static,
{
    let begun = Instant::now();
    let tasks: Vec<_> = (0..WRITERS).map(|number| tokio::spawn(writer(number))).collect();
    let mut done = 0;
    for task in tasks {
        done += task.await??;
    }
    if begun.elapsed() < round {
        return Err("the writers ended early".into());
    }
    Ok(factor(done) / begun.elapsed().as_secs_f64())
}

async fn append_for(store: SqliteStore, number: u64, round: Duration) -> Result<u64, Failure> {
    let (patient, begun, mut done) = (pseudonym(number), Instant::now(), 0);
    let mut after = log::empty(patient);
    while begun.elapsed() < round {
        let sequence = after.sequence + 1;
        let mark = mark(sequence);
        let entry = NewEntry {
            sequence,
            hash: Digest::new([mark; 32]),
            tag: TAG,
            author_key: AUTHOR_KEY,
            envelope: vec![mark; ENVELOPE_BYTES],
            ciphertext: vec![mark; CIPHERTEXT_BYTES],
        };
        let append = Append { patient, deposit: DepositId::random(), after, entries: vec![entry] };
        let Appended::Stored(head) = store.append(append).await? else {
            return Err("a log with one writer had a conflict".into());
        };
        after = Witness { ..head };
        done += 1;
    }
    Ok(done)
}

async fn insert_for(store: SqliteStore, number: u64, round: Duration) -> Result<u64, Failure> {
    let (begun, mut done) = (Instant::now(), 0);
    while begun.elapsed() < round {
        done += 1;
        let row = Entry::new(number, done)?;
        store.writer().submit(move |c| async move { Ok::<_, StoreError>(row.insert(c).await?) }.boxed()).await?;
    }
    Ok(done)
}

async fn bare_for(bare: Plain<Entry>, number: u64, round: Duration) -> Result<u64, Failure> {
    let (begun, mut done) = (Instant::now(), 0);
    while begun.elapsed() < round {
        done += 1;
        bare.insert(Entry::new(number, done)?).await?;
    }
    Ok(done)
}

/// Real pseudonyms are hashes: neighbours in time are not neighbours in the index.
fn pseudonym(number: u64) -> Pseudonym {
    let mut bytes = [0x5a; 32];
    let (first, _) = bytes.split_at_mut(8);
    first.copy_from_slice(&number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
    Pseudonym::new(bytes)
}

fn mark(sequence: u64) -> u8 {
    u8::try_from(sequence % 251).unwrap_or_default()
}

struct Entry {
    patient: Vec<u8>,
    sequence: i64,
    envelope: Vec<u8>,
    ciphertext: Vec<u8>,
}

impl Entry {
    fn new(number: u64, sequence: u64) -> Result<Self, Failure> {
        Ok(Self {
            patient: pseudonym(number).as_bytes().to_vec(),
            sequence: i64::try_from(sequence)?,
            envelope: vec![mark(sequence); ENVELOPE_BYTES],
            ciphertext: vec![mark(sequence); CIPHERTEXT_BYTES],
        })
    }
}

impl PlainRow for Entry {
    /// Same columns and bytes as an entry, without a log around it.
    const TABLE: &'static str = "CREATE TABLE plain (
        number INTEGER PRIMARY KEY, patient BLOB NOT NULL, sequence INTEGER NOT NULL, tag BLOB NOT NULL,
        author_key BLOB NOT NULL, envelope BLOB NOT NULL, ciphertext BLOB NOT NULL) STRICT";

    async fn insert(self, connection: &mut SqliteConnection) -> Result<(), sqlx::Error> {
        sqlx::query(PLAIN_INSERT)
            .bind(self.patient)
            .bind(self.sequence)
            .bind(TAG.as_bytes().to_vec())
            .bind(AUTHOR_KEY.as_bytes().to_vec())
            .bind(self.envelope)
            .bind(self.ciphertext)
            .execute(connection)
            .await
            .map(drop)
    }
}
