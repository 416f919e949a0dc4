//! The audit log's own file. It may lie on another disk than the rest, so that a full one is seen in time.

use std::path::Path;

use sqlx::sqlite::{SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Connection as _, Executor as _, SqliteConnection};

use super::engine::{self, SqliteEngine, Writer};
use super::{check_present, damaged_or_io, options, schema, sync_folder};
use crate::{DataFolder, StoreError};

/// The database.
pub(crate) const FILE: &str = "audit.sqlite";
/// In the data folder: that the log was begun. Then a missing database is damage, not a beginning.
const MARKER: &str = "audit";
/// Connections that read.
const READERS_MAX: u32 = 4;

/// For whom it is opened.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Opening {
    /// Its party, which begins it.
    First,
    /// Its party.
    Again,
    /// Somebody beside its party, which may be writing.
    Beside,
}

/// The marker of a log that was begun.
pub(crate) mod marker {
    use super::{MARKER, Path, StoreError, sync_folder};

    /// Writes it into a data folder.
    pub(crate) fn write(data: &Path) -> Result<(), StoreError> {
        let marker = data.join(MARKER);
        std::fs::write(&marker, "begun\n").map_err(|e| StoreError::io("writing", &marker, &e))?;
        sync_folder(data)
    }

    /// Removes it: the log is elsewhere.
    pub(crate) fn remove(data: &Path) -> Result<(), StoreError> {
        let marker = data.join(MARKER);
        match std::fs::remove_file(&marker) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(StoreError::io("removing", &marker, &e)),
            _ => sync_folder(data),
        }
    }
}

/// The audit log of one party.
#[derive(Clone)]
pub struct SqliteAudit {
    pub(super) writer: Writer,
    pub(super) readers: SqlitePool,
}

impl SqliteAudit {
    /// Opens the log of a party, or begins it. `folder` is where its file lies.
    pub async fn open(data: &DataFolder, folder: &Path) -> Result<Self, StoreError> {
        let (file, marker) = (folder.join(FILE), data.path().join(MARKER));
        if marker.exists() {
            check_present(&file)?;
            return Self::connect(&file, Opening::Again).await;
        }
        std::fs::create_dir_all(folder).map_err(|e| StoreError::io("making", folder, &e))?;
        let log = Self::connect(&file, Opening::First).await?;
        sync_folder(folder)?;
        marker::write(data.path())?;
        Ok(log)
    }

    /// Opens a log that was begun, also beside the service that has its folder.
    pub async fn open_beside(folder: &Path) -> Result<Self, StoreError> {
        let file = folder.join(FILE);
        check_present(&file)?;
        Self::connect(&file, Opening::Beside).await
    }

    /// Makes the file of a log that is to be filled by other means.
    pub(super) async fn make(file: &Path) -> Result<(), StoreError> {
        Self::connect(file, Opening::First).await?.close().await;
        Ok(())
    }

    async fn connect(file: &Path, opening: Opening) -> Result<Self, StoreError> {
        let options = options(file);
        let writing = options
            .clone()
            .create_if_missing(opening == Opening::First)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .pragma("wal_autocheckpoint", "0")
            .pragma("temp_store", "MEMORY");
        let failed = |e: sqlx::Error| damaged_or_io(file, &e);
        let mut connection = SqliteConnection::connect_with(&writing).await.map_err(failed)?;
        let wal = file.with_extension("sqlite-wal");
        if opening != Opening::Beside {
            engine::harden(&mut connection, &wal).await?;
        }
        if opening == Opening::First {
            connection.execute(sqlx::raw_sql(TABLES)).await.map_err(failed)?;
        }
        schema::inspect_audit(&mut connection, file).await?;
        let readers = SqlitePoolOptions::new()
            .max_connections(READERS_MAX)
            .test_before_acquire(false)
            .connect_with(options.read_only(true))
            .await
            .map_err(failed)?;
        Ok(Self { writer: Writer::spawn(SqliteEngine::new(connection, wal)), readers })
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
