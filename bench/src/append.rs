//! Durable appends per second with many writers, embedded and on PostgreSQL, beside plain inserts of the same bytes into the
//! same engine: through the store's own writer, and through a bare group-commit loop, into the same table and into one without
//! the keys by which logs are found. Every insert is on disk before its writer goes on.

use std::path::Path;
use std::time::{Duration, Instant};

use futures::FutureExt as _;
use sealwort_proto::receipt::Witness;
use sealwort_proto::{DepositId, Digest, LabelTag, Pseudonym, log};
use sealwort_store::postgres::{Database, PostgresStore};
use sealwort_store::sqlite::SqliteStore;
use sealwort_store::{Append, Appended, DataFolder, LogStore, NewEntry, StoreError};
use sqlx::{Connection as _, Executor as _, PgConnection, SqliteConnection};

use crate::Thoroughness;
use crate::measure::{Failure, Samples, factor};
use crate::plain::{self, Plain, PlainRow};
use crate::report::{Aim, Report, Row};
use crate::server::{PASSWORD, Server};

const WRITERS: u64 = 32;
/// Rounds, in each of which all take turns.
const ROUNDS: u64 = 9;
/// The aim beside a bare loop, on either engine, into either table.
const BARE_AIM: f64 = 0.7;
/// How long each takes in a round.
const ROUND_FULL: Duration = Duration::from_secs(2);
const ROUND_QUICK: Duration = Duration::from_millis(300);
/// Most rows in one commit of the bare loop.
const BATCH_MAX: usize = 256;
const CIPHERTEXT_BYTES: usize = 2048;
const ENVELOPE_BYTES: usize = 320;
/// Patients of one round lie this far from those of the next.
const PATIENTS_PER_ROUND: u64 = 1000;

/// The same columns and bytes as an entry's, in the table of entries itself.
const ENTRY_INSERT: &str = "INSERT INTO entry (log, sequence, deposit, hash, tag, author_key, envelope, ciphertext)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?)";
const LOG_INSERT: &str = "INSERT INTO log (number, patient) VALUES (?, ?) ON CONFLICT DO NOTHING";
const SERVER_ENTRY_INSERT: &str =
    "INSERT INTO entry (patient, sequence, deposit, hash, tag, author_key, envelope, ciphertext)
    SELECT * FROM unnest($1::bytea[], $2::bigint[], $3::bytea[], $4::bytea[], $5::bytea[], $6::bytea[], $7::bytea[],
        $8::bytea[])";
/// Without a log around it, and without the keys by which logs are found.
const PLAIN_TABLE: &str = "CREATE TABLE plain (
    number INTEGER PRIMARY KEY, patient BLOB NOT NULL, sequence INTEGER NOT NULL, tag BLOB NOT NULL,
    author_key BLOB NOT NULL, envelope BLOB NOT NULL, ciphertext BLOB NOT NULL) STRICT";
const PLAIN_INSERT: &str = "INSERT INTO plain (patient, sequence, tag, author_key, envelope, ciphertext)
    VALUES (?, ?, ?, ?, ?, ?)";
const SERVER_TABLE: &str = "CREATE TABLE plain (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, patient bytea NOT NULL, sequence bigint NOT NULL,
    tag bytea NOT NULL, author_key bytea NOT NULL, envelope bytea NOT NULL, ciphertext bytea NOT NULL);
    ALTER TABLE plain ALTER envelope SET STORAGE EXTERNAL, ALTER ciphertext SET STORAGE EXTERNAL";
const SERVER_INSERT: &str = "INSERT INTO plain (patient, sequence, tag, author_key, envelope, ciphertext)
    SELECT * FROM unnest($1::bytea[], $2::bigint[], $3::bytea[], $4::bytea[], $5::bytea[], $6::bytea[])";
const TAG: LabelTag = LabelTag::new([7; 16]);
const HASH: Digest = Digest::new([5; 32]);
const AUTHOR_KEY: Digest = Digest::new([9; 32]);

/// Measures and reports.
pub(crate) async fn run(thoroughness: Thoroughness, folder: &Path, report: &mut Report) -> Result<(), Failure> {
    let round = match thoroughness {
        Thoroughness::Full => ROUND_FULL,
        Thoroughness::Quick => ROUND_QUICK,
    };
    report.note(&format!(
        "append: {WRITERS} writers of {CIPHERTEXT_BYTES} + {ENVELOPE_BYTES} bytes, {ROUNDS} rounds of {} s in turns",
        round.as_secs_f64()
    ));
    let place = tempfile::tempdir_in(folder)?;
    embedded(round, place.path(), report).await?;
    let Some(server) = Server::start_in(place.path()) else {
        report.note("append.postgresql: NOT MEASURED: PostgreSQL is not here");
        return Ok(());
    };
    on_server(round, place.path(), &server, report).await
}

async fn embedded(round: Duration, place: &Path, report: &mut Report) -> Result<(), Failure> {
    let mut data = DataFolder::open(&place.join("store"), "archive")?;
    let store = SqliteStore::open(&mut data).await?;
    store.writer().submit(|c| async move { Ok(sqlx::query(PLAIN_TABLE).execute(c).await.map(drop)?) }.boxed()).await?;
    let bare = Plain::<FileRow>::spawn(plain::file(&place.join("bare.sqlite"), PLAIN_TABLE).await?, BATCH_MAX);
    let mut tables = DataFolder::open(&place.join("tables"), "archive")?;
    SqliteStore::open(&mut tables).await?.close().await;
    let table = Plain::<FileEntry>::spawn(plain::open(&tables.path().join("store.sqlite")).await?, BATCH_MAX);

    let (mut appends, mut inserts) = (Samples::default(), Samples::default());
    let (mut entries, mut loops) = (Samples::default(), Samples::default());
    for number in 0..ROUNDS {
        let first = number * PATIENTS_PER_ROUND;
        appends.push(rate(round, |writer| append_for(store.clone(), first + writer, round)).await?);
        inserts.push(rate(round, |writer| insert_for(store.clone(), first + writer, round)).await?);
        entries.push(rate(round, |writer| bare_for(table.clone(), FileEntry, first + writer, round)).await?);
        loops.push(rate(round, |writer| bare_for(bare.clone(), FileRow, first + writer, round)).await?);
    }
    store.close().await;
    report.row(
        Row::new("append", "LogStore::append", appends.median(), "/s")
            .against("plain INSERT, the store's group commit", inserts.median())
            .aim(Aim::RatioAtLeast(0.8)),
    );
    report.row(
        Row::new("append.table", "LogStore::append", appends.median(), "/s")
            .against("plain INSERT into the same table, bare group commit", entries.median())
            .aim(Aim::RatioAtLeast(BARE_AIM)),
    );
    report.row(
        Row::new("append.bare", "LogStore::append", appends.median(), "/s")
            .against("plain INSERT, bare group commit", loops.median())
            .aim(Aim::RatioAtLeast(BARE_AIM)),
    );
    Ok(())
}

async fn on_server(round: Duration, place: &Path, server: &Server, report: &mut Report) -> Result<(), Failure> {
    let mut data = DataFolder::open(&place.join("server"), "archive")?;
    // Both over loopback.
    let database = Database::new(&server.tcp_url(&server.database()), Some(PASSWORD))?;
    let store = PostgresStore::open(&mut data, &database).await?;
    let mut connection = PgConnection::connect(&with_password(&server.tcp_url(&server.database()))).await?;
    connection.execute(sqlx::raw_sql(SERVER_TABLE)).await?;
    let bare = Plain::<ServerRow>::spawn(connection, BATCH_MAX);
    let url = with_password(&server.tcp_url(&server.database()));
    let mut tables = DataFolder::open(&place.join("server-tables"), "archive")?;
    PostgresStore::open(&mut tables, &Database::new(&url, None)?).await?.close().await;
    let mut connection = PgConnection::connect(&url).await?;
    connection.execute("SET search_path TO sealwort").await?;
    let table = Plain::<ServerEntry>::spawn(connection, BATCH_MAX);

    let (mut appends, mut entries, mut loops) = (Samples::default(), Samples::default(), Samples::default());
    for number in 0..ROUNDS {
        let first = number * PATIENTS_PER_ROUND;
        appends.push(rate(round, |writer| append_for(store.clone(), first + writer, round)).await?);
        entries.push(rate(round, |writer| bare_for(table.clone(), ServerEntry, first + writer, round)).await?);
        loops.push(rate(round, |writer| bare_for(bare.clone(), ServerRow, first + writer, round)).await?);
    }
    store.close().await;
    report.row(
        Row::new("append.postgresql.table", "LogStore::append", appends.median(), "/s")
            .against("plain INSERT of arrays into the same table, bare group commit", entries.median())
            .aim(Aim::RatioAtLeast(BARE_AIM)),
    );
    report.row(
        Row::new("append.postgresql", "LogStore::append", appends.median(), "/s")
            .against("plain INSERT of arrays, bare group commit", loops.median())
            .aim(Aim::RatioAtLeast(BARE_AIM)),
    );
    Ok(())
}

/// What the driver reads by itself.
fn with_password(url: &str) -> String {
    url.replacen('@', &format!(":{PASSWORD}@"), 1)
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

async fn append_for(store: impl LogStore, number: u64, round: Duration) -> Result<u64, Failure> {
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
        let row = Columns::new(number, done)?;
        store.writer().submit(move |c| async move { Ok::<_, StoreError>(row.insert(c).await?) }.boxed()).await?;
    }
    Ok(done)
}

async fn bare_for<R: PlainRow>(
    bare: Plain<R>,
    row: fn(Columns) -> R,
    number: u64,
    round: Duration,
) -> Result<u64, Failure> {
    let (begun, mut done) = (Instant::now(), 0);
    while begun.elapsed() < round {
        done += 1;
        bare.insert(row(Columns::new(number, done)?)).await?;
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

/// A row of any table.
struct Columns {
    log: i64,
    patient: Vec<u8>,
    sequence: i64,
    envelope: Vec<u8>,
    ciphertext: Vec<u8>,
}

impl Columns {
    fn new(number: u64, sequence: u64) -> Result<Self, Failure> {
        Ok(Self {
            log: i64::try_from(number)?,
            patient: pseudonym(number).as_bytes().to_vec(),
            sequence: i64::try_from(sequence)?,
            envelope: vec![mark(sequence); ENVELOPE_BYTES],
            ciphertext: vec![mark(sequence); CIPHERTEXT_BYTES],
        })
    }

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

/// A row in a file.
struct FileRow(Columns);

impl PlainRow for FileRow {
    type Connection = SqliteConnection;

    async fn commit(rows: Vec<Self>, connection: &mut SqliteConnection) -> Result<(), sqlx::Error> {
        sqlx::query("BEGIN IMMEDIATE").execute(&mut *connection).await?;
        for Self(row) in rows {
            row.insert(connection).await?;
        }
        sqlx::query("COMMIT").execute(connection).await.map(drop)
    }
}

/// The same in the table of entries.
struct FileEntry(Columns);

impl PlainRow for FileEntry {
    type Connection = SqliteConnection;

    async fn commit(rows: Vec<Self>, connection: &mut SqliteConnection) -> Result<(), sqlx::Error> {
        sqlx::query("BEGIN IMMEDIATE").execute(&mut *connection).await?;
        for Self(row) in rows {
            if row.sequence == 1 {
                sqlx::query(LOG_INSERT).bind(row.log).bind(&row.patient).execute(&mut *connection).await?;
            }
            sqlx::query(ENTRY_INSERT)
                .bind(row.log)
                .bind(row.sequence)
                .bind(DepositId::random().as_bytes().to_vec())
                .bind(HASH.as_bytes().to_vec())
                .bind(TAG.as_bytes().to_vec())
                .bind(AUTHOR_KEY.as_bytes().to_vec())
                .bind(row.envelope)
                .bind(row.ciphertext)
                .execute(&mut *connection)
                .await?;
        }
        sqlx::query("COMMIT").execute(connection).await.map(drop)
    }
}

/// A row on a server.
struct ServerRow(Columns);

impl PlainRow for ServerRow {
    type Connection = PgConnection;

    async fn commit(rows: Vec<Self>, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        let column = |of: fn(&Columns) -> &[u8]| rows.iter().map(|Self(row)| of(row).to_vec()).collect::<Vec<_>>();
        sqlx::query(SERVER_INSERT)
            .bind(column(|row| &row.patient))
            .bind(rows.iter().map(|Self(row)| row.sequence).collect::<Vec<_>>())
            .bind(column(|_| TAG.as_bytes()))
            .bind(column(|_| AUTHOR_KEY.as_bytes()))
            .bind(column(|row| &row.envelope))
            .bind(column(|row| &row.ciphertext))
            .execute(connection)
            .await
            .map(drop)
    }
}

/// The same in the table of entries.
struct ServerEntry(Columns);

impl PlainRow for ServerEntry {
    type Connection = PgConnection;

    async fn commit(rows: Vec<Self>, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        let column = |of: fn(&Columns) -> &[u8]| rows.iter().map(|Self(row)| of(row).to_vec()).collect::<Vec<_>>();
        sqlx::query(SERVER_ENTRY_INSERT)
            .bind(column(|row| &row.patient))
            .bind(rows.iter().map(|Self(row)| row.sequence).collect::<Vec<_>>())
            .bind(rows.iter().map(|_| DepositId::random().as_bytes().to_vec()).collect::<Vec<_>>())
            .bind(column(|_| HASH.as_bytes()))
            .bind(column(|_| TAG.as_bytes()))
            .bind(column(|_| AUTHOR_KEY.as_bytes()))
            .bind(column(|row| &row.envelope))
            .bind(column(|row| &row.ciphertext))
            .execute(connection)
            .await
            .map(drop)
    }
}
