//! Durable appends per second with many concurrent writers, beside the same bytes as plain `INSERT`s:
//! once through this crate's writer, once through a bare group-commit loop of its own. Prints medians and ratios.
//!
//! `cargo run -p sealwort-store --example append_rate [seconds per round]`, from the project's root; the data lie in
//! `target` meanwhile, or in the folder that `SEALWORT_BENCH_DIR` names.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::cast_precision_loss)]

use std::path::Path;
use std::time::{Duration, Instant};

use futures::FutureExt as _;
use sealwort_proto::receipt::Witness;
use sealwort_proto::{DepositId, Digest, LabelTag, Pseudonym, log};
use sealwort_store::sqlite::SqliteStore;
use sealwort_store::{Append, Appended, DataFolder, LogStore as _, NewEntry, StoreError};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{Connection as _, SqliteConnection};
use tokio::sync::{mpsc, oneshot};

const WRITERS: usize = 32;
const ROUNDS: usize = 15;
const CIPHERTEXT_BYTES: usize = 2048;
const ENVELOPE_BYTES: usize = 320;

/// Same columns and bytes as an entry, without a log around it.
const PLAIN_TABLE: &str = "CREATE TABLE plain (
    number INTEGER PRIMARY KEY, patient BLOB NOT NULL, sequence INTEGER NOT NULL, tag BLOB NOT NULL,
    author_key BLOB NOT NULL, envelope BLOB NOT NULL, ciphertext BLOB NOT NULL) STRICT";
const PLAIN_INSERT: &str = "INSERT INTO plain (patient, sequence, tag, author_key, envelope, ciphertext)
    VALUES (?, ?, ?, ?, ?, ?)";

#[tokio::main]
async fn main() {
    let seconds = std::env::args().nth(1).map_or(0.5, |text| text.parse().unwrap());
    let round = Duration::from_secs_f64(seconds);
    // Not the system's temporary folder, which may be memory.
    let place = std::env::var_os("SEALWORT_BENCH_DIR").unwrap_or_else(|| "target".into());
    let place = tempfile::tempdir_in(place).unwrap();
    let mut folder = DataFolder::open(&place.path().join("store"), "archive").unwrap();
    let store = SqliteStore::open(&mut folder).await.unwrap();
    store
        .writer()
        .submit(|c| async move { Ok(sqlx::query(PLAIN_TABLE).execute(c).await.map(drop)?) }.boxed())
        .await
        .unwrap();
    let bare = Bare::spawn(&place.path().join("bare.sqlite")).await;

    let (mut appends, mut same_writer, mut bare_loop) = (Vec::new(), Vec::new(), Vec::new());
    for number in 0..ROUNDS {
        let start = u64::try_from(number).unwrap() * 1000;
        appends.push(measure(round, |writer| append_for(store.clone(), start + writer, round)).await);
        same_writer.push(measure(round, |writer| insert_for(store.clone(), start + writer, round)).await);
        bare_loop.push(measure(round, |writer| bare_for(bare.clone(), start + writer, round)).await);
    }
    // Ratios of neighbours in time, because other load on the machine comes and goes.
    let mut to_writer: Vec<_> = appends.iter().zip(&same_writer).map(|(append, insert)| append / insert).collect();
    let mut to_bare: Vec<_> = appends.iter().zip(&bare_loop).map(|(append, insert)| append / insert).collect();
    let (to_writer, to_bare) = (median(&mut to_writer), median(&mut to_bare));
    let (a, w, b) = (median(&mut appends), median(&mut same_writer), median(&mut bare_loop));
    println!(
        "{WRITERS} writers, {CIPHERTEXT_BYTES} + {ENVELOPE_BYTES} bytes, medians of {ROUNDS} rounds of {seconds} s"
    );
    println!("LogStore::append               {a:8.0} /s");
    println!("plain INSERT, our writer       {w:8.0} /s   append is {to_writer:.2} of it");
    println!("plain INSERT, bare loop        {b:8.0} /s   append is {to_bare:.2} of it");
    let patient = pseudonym(0);
    let mut reads = Vec::new();
    let mut entries = 0;
    for _ in 0..ROUNDS {
        let started = Instant::now();
        entries = store.read(patient, 0, 1000, usize::MAX).await.unwrap().len();
        reads.push(started.elapsed().as_secs_f64() * 1000.0);
    }
    println!("reading {entries} entries          {:8.1} ms", median(&mut reads));
    store.close().await;
}

fn median(rates: &mut [f64]) -> f64 {
    rates.sort_by(f64::total_cmp);
    rates[rates.len() / 2]
}

async fn measure<F: Future<Output = u64> + Send + 'static>(round: Duration, writer: impl Fn(u64) -> F) -> f64 {
    let started = Instant::now();
    let tasks: Vec<_> = (0..WRITERS as u64).map(|number| tokio::spawn(writer(number))).collect();
    let mut done = 0;
    for task in tasks {
        done += task.await.unwrap();
    }
    assert!(started.elapsed() >= round);
    done as f64 / started.elapsed().as_secs_f64()
}

fn pseudonym(number: u64) -> Pseudonym {
    let mut bytes = [0x5a; 32];
    // Real pseudonyms are hashes: neighbours in time are not neighbours in the index.
    bytes[..8].copy_from_slice(&number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes());
    Pseudonym::from_slice(&bytes).unwrap()
}

fn digest(byte: u8) -> Digest {
    Digest::from_slice(&[byte; 32]).unwrap()
}

fn tag() -> LabelTag {
    LabelTag::from_slice(&[7; 16]).unwrap()
}

async fn append_for(store: SqliteStore, number: u64, round: Duration) -> u64 {
    let (patient, started, mut done) = (pseudonym(number), Instant::now(), 0);
    let mut after = log::empty(patient);
    while started.elapsed() < round {
        let sequence = after.sequence + 1;
        let envelope = vec![(sequence % 251) as u8; ENVELOPE_BYTES];
        let entry = NewEntry {
            sequence,
            hash: digest((sequence % 251) as u8),
            tag: tag(),
            author_key: digest(9),
            envelope,
            ciphertext: vec![(sequence % 251) as u8; CIPHERTEXT_BYTES],
        };
        let append = Append { patient, deposit: DepositId::random(), after, entries: vec![entry] };
        let Appended::Stored(head) = store.append(append).await.unwrap() else { unreachable!("one writer a log") };
        after = Witness { ..head };
        done += 1;
    }
    done
}

async fn insert_for(store: SqliteStore, number: u64, round: Duration) -> u64 {
    let (started, mut done) = (Instant::now(), 0);
    while started.elapsed() < round {
        done += 1;
        let row = row(number, done);
        store
            .writer()
            .submit(move |c| async move { Ok::<_, StoreError>(insert(c, row).await?) }.boxed())
            .await
            .unwrap();
    }
    done
}

struct Row {
    patient: Vec<u8>,
    sequence: i64,
    envelope: Vec<u8>,
    ciphertext: Vec<u8>,
}

fn row(number: u64, done: u64) -> Row {
    Row {
        patient: pseudonym(number).as_bytes().to_vec(),
        sequence: i64::try_from(done).unwrap(),
        envelope: vec![(done % 251) as u8; ENVELOPE_BYTES],
        ciphertext: vec![(done % 251) as u8; CIPHERTEXT_BYTES],
    }
}

async fn insert(c: &mut SqliteConnection, row: Row) -> Result<(), sqlx::Error> {
    sqlx::query(PLAIN_INSERT)
        .bind(row.patient)
        .bind(row.sequence)
        .bind(tag().as_bytes().to_vec())
        .bind(digest(9).as_bytes().to_vec())
        .bind(row.envelope)
        .bind(row.ciphertext)
        .execute(c)
        .await
        .map(drop)
}

/// Group commit at its barest: take what waits, one transaction, answer.
#[derive(Clone)]
struct Bare(mpsc::Sender<(Row, oneshot::Sender<()>)>);

impl Bare {
    async fn spawn(file: &Path) -> Self {
        let options = SqliteConnectOptions::new()
            .filename(file)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full);
        let mut connection = SqliteConnection::connect_with(&options).await.unwrap();
        sqlx::query(PLAIN_TABLE).execute(&mut connection).await.unwrap();
        let (queue, mut waiting) = mpsc::channel::<(Row, oneshot::Sender<()>)>(1024);
        tokio::spawn(async move {
            let mut batch = Vec::new();
            while waiting.recv_many(&mut batch, 256).await > 0 {
                tokio::task::yield_now().await;
                while batch.len() < 256
                    && let Ok(more) = waiting.try_recv()
                {
                    batch.push(more);
                }
                let mut replies = Vec::with_capacity(batch.len());
                sqlx::query("BEGIN IMMEDIATE").execute(&mut connection).await.unwrap();
                for (row, reply) in batch.drain(..) {
                    insert(&mut connection, row).await.unwrap();
                    replies.push(reply);
                }
                sqlx::query("COMMIT").execute(&mut connection).await.unwrap();
                for reply in replies {
                    reply.send(()).unwrap();
                }
            }
        });
        Self(queue)
    }
}

async fn bare_for(bare: Bare, number: u64, round: Duration) -> u64 {
    let (started, mut done) = (Instant::now(), 0);
    while started.elapsed() < round {
        done += 1;
        let (reply, answer) = oneshot::channel();
        bare.0.send((row(number, done), reply)).await.unwrap();
        answer.await.unwrap();
    }
    done
}
