//! The embedded back end: SQLite through `sqlx`, one file per role. Write-ahead log, `synchronous=FULL`, one
//! writer that commits many callers' writes with one fsync, and a few read-only connections beside it.

mod append;
mod audit;
#[cfg(test)]
mod audit_tampering;
mod ca;
mod destroy;
#[path = "../relational/emergency.rs"]
mod emergency;
mod engine;
#[path = "../relational/erase.rs"]
mod erase;
mod gateway;
#[path = "../relational/half.rs"]
mod half;
mod log;
#[path = "../relational/objects.rs"]
mod objects;
#[path = "../relational/patient.rs"]
mod patient;
#[path = "../relational/rows.rs"]
pub(crate) mod rows;
mod rows_dialect;
mod schema;
#[path = "../relational/audit.rs"]
mod trail;
pub(crate) mod whole;
#[path = "../relational/witness.rs"]
mod witness;

use std::path::{Path, PathBuf};
use std::time::Duration;

use sealwort_proto::{Digest, Pseudonym};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions as _, Connection as _, Row as _, SqliteConnection};

use crate::folder::{Content, DATABASE_FILE};
use crate::{Change, ChangeStore, DataFolder, Objects, StoreError, Swept};
use SqliteAudit as Audit;
use SqliteStore as Store;
use audit::FILE as AUDIT_PLACE;
pub use audit::SqliteAudit;
pub(crate) use audit::{FILE as AUDIT_FILE, marker as audit_marker};
use engine::{SqliteEngine, Writer};
use sqlx::Sqlite as Driver;
use sqlx::SqliteConnection as Connection;
use sqlx::sqlite::SqliteRow as DriverRow;

/// Read connections.
const READERS_MAX: u32 = 4;
/// Up to this size, in bytes, a database is checked page by page when it is opened.
const QUICK_CHECK_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// One role's database, which implements every trait of this crate.
#[derive(Clone)]
pub struct SqliteStore {
    writer: Writer,
    readers: SqlitePool,
    objects: Option<Objects>,
}

impl SqliteStore {
    /// Opens the database of a folder, making it where the folder is new. A missing, truncated, damaged or foreign
    /// file is an error and stays as it is.
    pub async fn open(folder: &mut DataFolder) -> Result<Self, StoreError> {
        let file = folder.path().join(DATABASE_FILE);
        let ready = match folder.content() {
            Content::New | Content::Claiming(_) => false,
            Content::Embedded | Content::Leaving(_) => true,
            Content::Database(_) => return Err(StoreError::OnServer { folder: folder.path().to_owned() }),
        };
        if ready {
            check_present(&file)?;
        }
        if file.exists() {
            inspect(&file, ready).await?;
        }
        let options = options(&file);
        let writing = options
            .clone()
            .create_if_missing(!ready)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .pragma("cache_size", WRITER_CACHE)
            // What is deleted is overwritten: erasing a patient rests on it.
            .pragma("secure_delete", "ON")
            // The engine moves the write-ahead log itself, and sees what fails.
            .pragma("wal_autocheckpoint", "0")
            // What a statement or savepoint needs for its undoing is kept in memory, not in a file.
            .pragma("temp_store", "MEMORY");
        let mut connection = SqliteConnection::connect_with(&writing).await.map_err(|e| damaged_or_io(&file, &e))?;
        let wal = folder.path().join(format!("{DATABASE_FILE}-wal"));
        engine::harden(&mut connection, &wal).await?;
        schema::apply(&mut connection, &file).await?;
        if !ready {
            sync_folder(folder.path())?;
            folder.mark(Content::Embedded)?;
        }
        let readers = SqlitePoolOptions::new()
            .max_connections(READERS_MAX)
            // A connection to a file does not go stale, and asking costs a trip to its thread.
            .test_before_acquire(false)
            .connect_with(options.read_only(true))
            .await
            .map_err(|e| damaged_or_io(&file, &e))?;
        Ok(Self { writer: Writer::spawn(SqliteEngine::new(connection, wal)), readers, objects: None })
    }

    /// Sweeps this store's objects, also beside the service.
    pub async fn sweep_beside(folder: &Path, objects: &Objects) -> Result<Swept, StoreError> {
        let file = folder.join(DATABASE_FILE);
        check_present(&file)?;
        let options = SqliteConnectOptions::new()
            .filename(&file)
            .read_only(true)
            .busy_timeout(Duration::from_secs(10))
            .disable_statement_logging();
        let mut connection = SqliteConnection::connect_with(&options).await.map_err(|e| damaged_or_io(&file, &e))?;
        schema::inspect(&mut connection, &file, true).await?;
        schema::up_to_date(&mut connection, &file).await?;
        objects::Beside(connection).sweep(objects).await
    }

    #[expect(clippy::unused_async, reason = "the other database remembers them")]
    async fn adopt_keys(&self, _keys: Vec<Digest>) -> Result<(), StoreError> {
        Ok(())
    }

    /// Waits for the reads under way, finishes the writes that were accepted, and closes the file.
    /// What is asked later fails.
    pub async fn close(&self) {
        // The writer last: only the last connection, and only one that may write, clears the write-ahead log away.
        self.readers.close().await;
        self.writer.close().await;
    }

    /// A file has one writer, whichever the log.
    fn appender(&self, _: Pseudonym) -> &Writer {
        &self.writer
    }

    /// The writer, for measurements beside the traits.
    pub fn writer(&self) -> &Writer {
        &self.writer
    }
}

impl ChangeStore for SqliteStore {}

/// Files answer, or fail.
async fn in_time<T>(reading: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
    reading.await
}

/// Nobody else has the file.
async fn tell(_c: &mut Connection, _change: &Change) -> Result<(), StoreError> {
    Ok(())
}

/// The writer's page cache, as SQLite writes it: 8 MiB.
const WRITER_CACHE: &str = "-8192";

/// What every connection to a file has.
fn options(file: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(file)
        .busy_timeout(Duration::from_secs(10))
        .pragma("cell_size_check", "ON")
        .pragma("mmap_size", "0")
        .disable_statement_logging()
}

fn check_present(file: &Path) -> Result<(), StoreError> {
    match std::fs::metadata(file) {
        Ok(metadata) if metadata.len() > 0 => Ok(()),
        Ok(_) => Err(StoreError::Damaged { file: file.to_owned(), reason: "it is empty".to_owned() }),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
            Err(StoreError::Damaged { file: file.to_owned(), reason: "it is missing".to_owned() })
        }
        Err(e) => Err(StoreError::io("reading", file, &e)),
    }
}

/// Looks at a file through a connection that cannot write, so that a file that is refused stays as it is. What a
/// crash left of an unfinished one may need rolling back first, which is writing.
async fn inspect(file: &Path, finished: bool) -> Result<(), StoreError> {
    let options = options(file).read_only(finished);
    let mut connection = SqliteConnection::connect_with(&options).await.map_err(|e| damaged_or_io(file, &e))?;
    schema::inspect(&mut connection, file, finished).await?;
    if std::fs::metadata(file).is_ok_and(|m| m.len() <= QUICK_CHECK_BYTES_MAX) {
        quick_check(&mut connection, file).await?;
    }
    connection.close().await.map_err(|e| damaged_or_io(file, &e))
}

pub(crate) fn sync_folder(path: &Path) -> Result<(), StoreError> {
    std::fs::File::open(path).and_then(|f| f.sync_all()).map_err(|e| StoreError::io("syncing", path, &e))
}

async fn quick_check(connection: &mut SqliteConnection, file: &Path) -> Result<(), StoreError> {
    let row = sqlx::query("PRAGMA quick_check(1)").fetch_one(connection).await.map_err(|e| damaged_or_io(file, &e))?;
    let verdict: String = row.try_get(0).map_err(|e| damaged_or_io(file, &e))?;
    if verdict == "ok" {
        return Ok(());
    }
    Err(StoreError::Damaged { file: file.to_owned(), reason: verdict })
}

fn damaged_or_io(file: &Path, error: &sqlx::Error) -> StoreError {
    match code(error) {
        Some(SQLITE_CORRUPT | SQLITE_NOTADB) => {
            StoreError::Damaged { file: file.to_owned(), reason: error.to_string() }
        }
        _ => failed(error),
    }
}

const SQLITE_CORRUPT: i32 = 11;
const SQLITE_FULL: i32 = 13;
const SQLITE_NOTADB: i32 = 26;

/// SQLite's primary result code.
fn code(error: &sqlx::Error) -> Option<i32> {
    let code: i32 = error.as_database_error()?.code()?.parse().ok()?;
    Some(code & 0xff)
}

pub(crate) fn failed(error: &sqlx::Error) -> StoreError {
    match code(error) {
        Some(SQLITE_FULL) => StoreError::Full,
        Some(SQLITE_CORRUPT | SQLITE_NOTADB) => damaged(error),
        _ => StoreError::Io(error.to_string()),
    }
}

/// Which file it is, the error does not tell.
pub(crate) fn damaged(error: &sqlx::Error) -> StoreError {
    StoreError::Damaged { file: PathBuf::from(DATABASE_FILE), reason: error.to_string() }
}
