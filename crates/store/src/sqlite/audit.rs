//! The audit log's own file. It may lie on another disk than the rest, so that a full one is seen in time.

use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use futures::FutureExt as _;
use sealwort_audit::{Hashes, Index, Question, Row};
use sealwort_proto::Digest;
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteRow, SqliteSynchronous,
};
use sqlx::{ConnectOptions as _, Connection as _, Executor as _, QueryBuilder, Row as _, Sqlite, SqliteConnection};

use super::writer::Writer;
use super::{check_present, damaged_or_io, fixed, limit, schema, signed, sync_folder, unsigned};
use crate::audit::check;
use crate::{AuditAppended, AuditBatch, AuditQuery, AuditStore, DataFolder, KeptCheckpoint, StoreError};

/// The database.
const FILE: &str = "audit.sqlite";
/// In the data folder: that the log was begun. Then a missing database is damage, not a beginning.
const MARKER: &str = "audit";
/// Connections that read.
const READERS_MAX: u32 = 4;

/// A log as it stands while one process appends to it.
pub struct Standing {
    /// Entries.
    pub size: u64,
    /// The newest own checkpoint.
    pub newest: Option<KeptCheckpoint>,
    /// The hashes from which the tree is opened.
    pub hashes: Vec<(u64, Hashes)>,
    /// Certificates behind signatures.
    pub chains: Vec<Vec<u8>>,
}

/// The audit log of one party.
#[derive(Clone)]
pub struct SqliteAudit {
    writer: Writer,
    readers: SqlitePool,
}

impl SqliteAudit {
    /// Opens the log of a party, or begins it. `folder` is where its file lies.
    pub async fn open(data: &DataFolder, folder: &Path) -> Result<Self, StoreError> {
        let (file, marker) = (folder.join(FILE), data.path().join(MARKER));
        if marker.exists() {
            check_present(&file)?;
            return Self::connect(&file).await;
        }
        std::fs::create_dir_all(folder).map_err(|e| StoreError::io("making", folder, &e))?;
        let log = Self::connect_with(&file, true).await?;
        sync_folder(folder)?;
        std::fs::write(&marker, "begun\n").map_err(|e| StoreError::io("writing", &marker, &e))?;
        sync_folder(data.path())?;
        Ok(log)
    }

    /// Opens a log that was begun, also beside the service that has its folder.
    pub async fn open_beside(folder: &Path) -> Result<Self, StoreError> {
        let file = folder.join(FILE);
        check_present(&file)?;
        Self::connect(&file).await
    }

    async fn connect(file: &Path) -> Result<Self, StoreError> {
        Self::connect_with(file, false).await
    }

    async fn connect_with(file: &Path, create: bool) -> Result<Self, StoreError> {
        let options = SqliteConnectOptions::new()
            .filename(file)
            .busy_timeout(Duration::from_secs(10))
            .pragma("cell_size_check", "ON")
            .pragma("mmap_size", "0")
            .disable_statement_logging();
        let writing = options
            .clone()
            .create_if_missing(create)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .pragma("temp_store", "MEMORY");
        let failed = |e: sqlx::Error| damaged_or_io(file, &e);
        let mut connection = SqliteConnection::connect_with(&writing).await.map_err(failed)?;
        if create {
            connection.execute(sqlx::raw_sql(TABLES)).await.map_err(failed)?;
        }
        schema::inspect_audit(&mut connection, file).await?;
        let readers = SqlitePoolOptions::new()
            .max_connections(READERS_MAX)
            .test_before_acquire(false)
            .connect_with(options.read_only(true))
            .await
            .map_err(failed)?;
        let mut wal = PathBuf::from(file);
        wal.set_extension("sqlite-wal");
        Ok(Self { writer: Writer::spawn(connection, wal), readers })
    }

    /// Appends what `make` makes of the log as it stands; nobody comes in between. This is for a process beside the
    /// service: with [`AuditStore::append_audit`] a busy one would be quicker every time. What `make` refuses is not
    /// appended.
    pub async fn append_upon<T, E, F>(&self, make: F) -> Result<Result<T, E>, StoreError>
    where
        T: Send + 'static,
        E: Send + 'static,
        F: FnOnce(&Standing) -> Result<(AuditBatch, T), E> + Send + 'static,
    {
        self.writer.submit(move |c| append_made(c, make).boxed()).await
    }

    /// Finishes what was accepted, and closes the file.
    pub async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }
}

/// `IF NOT EXISTS`, because a crash may come between this and the marker.
const TABLES: &str = "
    BEGIN IMMEDIATE;
    CREATE TABLE IF NOT EXISTS audit_entry (
        number   INTEGER PRIMARY KEY,
        hashes   BLOB NOT NULL,
        stored   BLOB NOT NULL,
        time     INTEGER NOT NULL,
        kind     INTEGER NOT NULL,
        outcome  INTEGER NOT NULL,
        patient  BLOB,
        user     BLOB
    ) STRICT;
    CREATE INDEX IF NOT EXISTS audit_patient ON audit_entry (patient, number) WHERE patient IS NOT NULL;
    CREATE INDEX IF NOT EXISTS audit_time ON audit_entry (time);
    CREATE TABLE IF NOT EXISTS audit_checkpoint (
        cosigned  INTEGER NOT NULL,
        size      INTEGER NOT NULL,
        note      TEXT NOT NULL,
        PRIMARY KEY (cosigned, size)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS audit_remembered (
        origin  TEXT NOT NULL,
        size    INTEGER NOT NULL,
        note    TEXT NOT NULL,
        PRIMARY KEY (origin, size)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS audit_chain (
        certificate  BLOB PRIMARY KEY,
        chain        BLOB NOT NULL
    ) STRICT, WITHOUT ROWID;
    PRAGMA application_id = 1397512020;
    PRAGMA user_version = 1;
    COMMIT;
";

#[async_trait]
impl AuditStore for SqliteAudit {
    async fn append_audit(&self, batch: AuditBatch) -> Result<AuditAppended, StoreError> {
        let first = check(&batch)?;
        self.writer.submit(move |c| append(c, first, batch).boxed()).await
    }

    async fn audit_size(&self) -> Result<u64, StoreError> {
        size(&mut *self.readers.acquire().await?).await
    }

    async fn audit_rows(&self, query: AuditQuery, most: usize) -> Result<Vec<Row>, StoreError> {
        rows(&mut *self.readers.acquire().await?, &query, most).await
    }

    async fn audit_hashes(&self, numbers: &[u64]) -> Result<Vec<(u64, Hashes)>, StoreError> {
        hashes(&mut *self.readers.acquire().await?, numbers).await
    }

    async fn newest_checkpoint(&self) -> Result<Option<KeptCheckpoint>, StoreError> {
        newest(&mut *self.readers.acquire().await?).await
    }

    async fn put_cosigned(&self, checkpoint: KeptCheckpoint) -> Result<(), StoreError> {
        self.writer.submit(move |c| put_checkpoint(c, 1, checkpoint).boxed()).await
    }

    async fn cosigned(&self, from: u64, most: usize) -> Result<Vec<KeptCheckpoint>, StoreError> {
        let rows = sqlx::query(
            "SELECT size, note FROM audit_checkpoint WHERE cosigned = 1 AND size >= ? ORDER BY size LIMIT ?",
        )
        .bind(signed(from)?)
        .bind(limit(most))
        .fetch_all(&self.readers)
        .await?;
        rows.iter().map(checkpoint).collect()
    }

    async fn newest_cosigned(&self, size: u64) -> Result<Option<KeptCheckpoint>, StoreError> {
        let row = sqlx::query(
            "SELECT size, note FROM audit_checkpoint WHERE cosigned = 1 AND size <= ? ORDER BY size DESC LIMIT 1",
        )
        .bind(i64::try_from(size).unwrap_or(i64::MAX))
        .fetch_optional(&self.readers)
        .await?;
        row.as_ref().map(checkpoint).transpose()
    }

    async fn remember_checkpoint(
        &self,
        origin: &str,
        after: u64,
        checkpoint: KeptCheckpoint,
    ) -> Result<bool, StoreError> {
        let origin = origin.to_owned();
        self.writer.submit(move |c| remember(c, origin, after, checkpoint).boxed()).await
    }

    async fn remembered(&self, origin: &str, from: u64, most: usize) -> Result<Vec<KeptCheckpoint>, StoreError> {
        let rows =
            sqlx::query("SELECT size, note FROM audit_remembered WHERE origin = ? AND size >= ? ORDER BY size LIMIT ?")
                .bind(origin)
                .bind(signed(from)?)
                .bind(limit(most))
                .fetch_all(&self.readers)
                .await?;
        rows.iter().map(checkpoint).collect()
    }

    async fn newest_remembered(&self, origin: &str) -> Result<Option<KeptCheckpoint>, StoreError> {
        let row = sqlx::query("SELECT size, note FROM audit_remembered WHERE origin = ? ORDER BY size DESC LIMIT 1")
            .bind(origin)
            .fetch_optional(&self.readers)
            .await?;
        row.as_ref().map(checkpoint).transpose()
    }

    async fn origins(&self) -> Result<Vec<String>, StoreError> {
        let rows = sqlx::query("SELECT DISTINCT origin FROM audit_remembered ORDER BY origin")
            .fetch_all(&self.readers)
            .await?;
        rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
    }

    async fn put_audit_chain(&self, certificate: Digest, chain: Vec<u8>) -> Result<(), StoreError> {
        self.writer
            .submit(move |c| {
                async move {
                    sqlx::query("INSERT OR IGNORE INTO audit_chain (certificate, chain) VALUES (?, ?)")
                        .bind(certificate.as_bytes().to_vec())
                        .bind(chain)
                        .execute(c)
                        .await?;
                    Ok(())
                }
                .boxed()
            })
            .await
    }

    async fn audit_chains(&self) -> Result<Vec<Vec<u8>>, StoreError> {
        chains(&mut *self.readers.acquire().await?).await
    }
}

async fn hashes(c: &mut SqliteConnection, numbers: &[u64]) -> Result<Vec<(u64, Hashes)>, StoreError> {
    let mut found = Vec::with_capacity(numbers.len());
    for numbers in numbers.chunks(NUMBERS_AT_ONCE) {
        let mut select = QueryBuilder::<Sqlite>::new("SELECT number, hashes FROM audit_entry WHERE number IN (");
        let mut list = select.separated(", ");
        for number in numbers {
            list.push_bind(signed(*number)?);
        }
        list.push_unseparated(") ORDER BY number");
        for row in select.build().fetch_all(&mut *c).await? {
            let number = unsigned(row.try_get(0)?)?;
            found.push((number, read_hashes(number, row.try_get(1)?)?));
        }
    }
    Ok(found)
}

/// Entries of one question.
const NUMBERS_AT_ONCE: usize = 512;

async fn newest(c: &mut SqliteConnection) -> Result<Option<KeptCheckpoint>, StoreError> {
    let rows = sqlx::query("SELECT size, note FROM audit_checkpoint WHERE cosigned = 0").fetch_all(c).await?;
    rows.iter().map(checkpoint).next().transpose()
}

async fn chains(c: &mut SqliteConnection) -> Result<Vec<Vec<u8>>, StoreError> {
    let rows = sqlx::query("SELECT chain FROM audit_chain").fetch_all(c).await?;
    rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
}

async fn append_made<T, E>(
    c: &mut SqliteConnection,
    make: impl FnOnce(&Standing) -> Result<(AuditBatch, T), E>,
) -> Result<Result<T, E>, StoreError> {
    let size = size(c).await?;
    let hashes = hashes(c, &Question::Root { size }.needs()).await?;
    let standing = Standing { size, newest: newest(c).await?, hashes, chains: chains(c).await? };
    let (batch, with) = match make(&standing) {
        Ok(appended) => appended,
        Err(refused) => return Ok(Err(refused)),
    };
    match append(c, check(&batch)?, batch).await? {
        AuditAppended::Stored => Ok(Ok(with)),
        AuditAppended::Behind { .. } => Err(StoreError::Conflict("the entries do not follow the last one")),
    }
}

async fn append(c: &mut SqliteConnection, first: u64, batch: AuditBatch) -> Result<AuditAppended, StoreError> {
    let size = size(c).await?;
    if size != first {
        return Ok(AuditAppended::Behind { size });
    }
    for rows in batch.rows.chunks(ROWS_AT_ONCE) {
        let mut numbers = Vec::with_capacity(rows.len());
        for row in rows {
            numbers.push((signed(row.number)?, signed(row.index.time)?));
        }
        let mut insert = QueryBuilder::<Sqlite>::new(
            "INSERT INTO audit_entry (number, hashes, stored, time, kind, outcome, patient, user) ",
        );
        insert.push_values(rows.iter().zip(numbers), |mut values, (row, (number, time))| {
            values
                .push_bind(number)
                .push_bind(row.hashes.to_bytes())
                .push_bind(row.stored.clone())
                .push_bind(time)
                .push_bind(i64::from(row.index.kind))
                .push_bind(i64::from(row.index.outcome))
                .push_bind(row.index.patient.map(|patient| patient.as_bytes().to_vec()))
                .push_bind(row.index.user.map(|user| user.as_bytes().to_vec()));
        });
        insert.build().execute(&mut *c).await?;
    }
    sqlx::query("DELETE FROM audit_checkpoint WHERE cosigned = 0").execute(&mut *c).await?;
    put_checkpoint(c, 0, batch.checkpoint).await?;
    Ok(AuditAppended::Stored)
}

/// Rows of one statement.
const ROWS_AT_ONCE: usize = 64;

async fn put_checkpoint(c: &mut SqliteConnection, cosigned: i64, kept: KeptCheckpoint) -> Result<(), StoreError> {
    sqlx::query("INSERT OR REPLACE INTO audit_checkpoint (cosigned, size, note) VALUES (?, ?, ?)")
        .bind(cosigned)
        .bind(signed(kept.size)?)
        .bind(kept.note)
        .execute(c)
        .await?;
    Ok(())
}

async fn remember(
    c: &mut SqliteConnection,
    origin: String,
    after: u64,
    kept: KeptCheckpoint,
) -> Result<bool, StoreError> {
    let newest: Option<i64> = sqlx::query("SELECT max(size) FROM audit_remembered WHERE origin = ?")
        .bind(&origin)
        .fetch_one(&mut *c)
        .await?
        .try_get(0)?;
    if newest.unwrap_or(0) != signed(after)? || kept.size < after {
        return Ok(false);
    }
    // The same size again keeps the first: its root is the same, or it would not have been judged good.
    sqlx::query("INSERT OR IGNORE INTO audit_remembered (origin, size, note) VALUES (?, ?, ?)")
        .bind(origin)
        .bind(signed(kept.size)?)
        .bind(kept.note)
        .execute(c)
        .await?;
    Ok(true)
}

async fn size(c: &mut SqliteConnection) -> Result<u64, StoreError> {
    let last: Option<i64> = sqlx::query("SELECT max(number) FROM audit_entry").fetch_one(c).await?.try_get(0)?;
    last.map_or(Ok(0), |last| Ok(unsigned(last)?.saturating_add(1)))
}

pub(super) async fn rows(c: &mut SqliteConnection, query: &AuditQuery, most: usize) -> Result<Vec<Row>, StoreError> {
    let mut select = QueryBuilder::<Sqlite>::new(
        "SELECT number, hashes, stored, time, kind, outcome, patient, user FROM audit_entry WHERE number >= ",
    );
    select.push_bind(signed(query.from)?);
    let numbers = [(" AND number < ", query.below), (" AND time >= ", query.since), (" AND time < ", query.before)];
    for (condition, number) in numbers {
        if let Some(number) = number {
            select.push(condition).push_bind(i64::try_from(number).unwrap_or(i64::MAX));
        }
    }
    let small = [(" AND kind = ", query.kind.map(i64::from)), (" AND outcome = ", query.outcome.map(i64::from))];
    for (condition, number) in small {
        if let Some(number) = number {
            select.push(condition).push_bind(number);
        }
    }
    for (condition, digest) in [(" AND patient = ", query.patient), (" AND user = ", query.user)] {
        if let Some(digest) = digest {
            select.push(condition).push_bind(digest.as_bytes().to_vec());
        }
    }
    select.push(" ORDER BY number LIMIT ").push_bind(limit(most));
    let rows = select.build().fetch_all(c).await?;
    rows.iter().map(read_row).collect()
}

fn read_row(row: &SqliteRow) -> Result<Row, StoreError> {
    let number = unsigned(row.try_get(0)?)?;
    let digest = |column: usize| -> Result<Option<Digest>, StoreError> {
        let bytes: Option<Vec<u8>> = row.try_get(column)?;
        bytes.map(|bytes| fixed(&bytes, Digest::from_slice)).transpose()
    };
    Ok(Row {
        number,
        hashes: read_hashes(number, row.try_get(1)?)?,
        stored: row.try_get(2)?,
        index: Index {
            time: unsigned(row.try_get(3)?)?,
            kind: u16::try_from(row.try_get::<i64, _>(4)?).map_err(|_| altered(number))?,
            outcome: u8::try_from(row.try_get::<i64, _>(5)?).map_err(|_| altered(number))?,
            patient: digest(6)?,
            user: digest(7)?,
        },
    })
}

fn read_hashes(number: u64, bytes: &[u8]) -> Result<Hashes, StoreError> {
    Hashes::from_bytes(number, bytes).ok_or_else(|| altered(number))
}

fn altered(number: u64) -> StoreError {
    StoreError::Damaged { file: FILE.into(), reason: format!("entry {number} was altered") }
}

fn checkpoint(row: &SqliteRow) -> Result<KeptCheckpoint, StoreError> {
    Ok(KeptCheckpoint { size: unsigned(row.try_get(0)?)?, note: row.try_get(1)? })
}
