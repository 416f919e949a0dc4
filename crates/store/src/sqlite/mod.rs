//! The embedded back end: SQLite through `sqlx`, one file per role. Write-ahead log, `synchronous=FULL`, one
//! writer that commits many callers' writes with one fsync, and a few read-only connections beside it.

mod append;
mod audit;
#[cfg(test)]
mod audit_tampering;
mod ca;
mod emergency;
mod erase;
mod gateway;
mod log;
mod patient;
mod schema;
mod witness;
mod writer;

use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection, Row, SqliteConnection};

use crate::folder::DATABASE_FILE;
use crate::{DataFolder, StoreError};
pub use audit::{SqliteAudit, Standing};
use writer::Writer;

/// Read connections.
const READERS_MAX: u32 = 4;
/// Up to this size, in bytes, a database is checked page by page when it is opened.
const QUICK_CHECK_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// One role's database, which implements every trait of this crate.
#[derive(Clone)]
pub struct SqliteStore {
    writer: Writer,
    readers: SqlitePool,
}

impl SqliteStore {
    /// Opens the database of a folder, making it where the folder is new. A missing, truncated, damaged or foreign
    /// file is an error and stays as it is.
    pub async fn open(folder: &mut DataFolder) -> Result<Self, StoreError> {
        let file = folder.path().join(DATABASE_FILE);
        if folder.is_ready() {
            check_present(&file)?;
        }
        if file.exists() {
            inspect(&file, folder.is_ready()).await?;
        }
        let options = SqliteConnectOptions::new()
            .filename(&file)
            .busy_timeout(Duration::from_secs(10))
            .pragma("cell_size_check", "ON")
            .pragma("mmap_size", "0")
            .disable_statement_logging();
        let writing = options
            .clone()
            .create_if_missing(!folder.is_ready())
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .pragma("cache_size", WRITER_CACHE)
            // What is deleted is overwritten: erasing a patient rests on it.
            .pragma("secure_delete", "ON")
            // What a statement or savepoint needs for its undoing is kept in memory, not in a file.
            .pragma("temp_store", "MEMORY");
        let mut connection = SqliteConnection::connect_with(&writing).await.map_err(|e| damaged_or_io(&file, &e))?;
        schema::apply(&mut connection, &file).await?;
        if !folder.is_ready() {
            sync_folder(folder.path())?;
            folder.mark_ready()?;
        }
        let readers = SqlitePoolOptions::new()
            .max_connections(READERS_MAX)
            // A connection to a file does not go stale, and asking costs a trip to its thread.
            .test_before_acquire(false)
            .connect_with(options.read_only(true))
            .await
            .map_err(|e| damaged_or_io(&file, &e))?;
        let wal = folder.path().join(format!("{DATABASE_FILE}-wal"));
        Ok(Self { writer: Writer::spawn(connection, wal), readers })
    }

    /// Waits for the reads under way, finishes the writes that were accepted, and closes the file.
    /// What is asked later fails.
    pub async fn close(&self) {
        // The writer last: only the last connection, and only one that may write, clears the write-ahead log away.
        self.readers.close().await;
        self.writer.close().await;
    }

    /// The writer, for measurements beside the traits.
    pub fn writer(&self) -> &Writer {
        &self.writer
    }
}

/// The writer's page cache, as SQLite writes it: 8 MiB.
const WRITER_CACHE: &str = "-8192";

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
    let options = SqliteConnectOptions::new()
        .filename(file)
        .read_only(finished)
        .busy_timeout(Duration::from_secs(10))
        .pragma("cell_size_check", "ON")
        .disable_statement_logging();
    let mut connection = SqliteConnection::connect_with(&options).await.map_err(|e| damaged_or_io(file, &e))?;
    schema::inspect(&mut connection, file, finished).await?;
    if std::fs::metadata(file).is_ok_and(|m| m.len() <= QUICK_CHECK_BYTES_MAX) {
        quick_check(&mut connection, file).await?;
    }
    connection.close().await.map_err(|e| damaged_or_io(file, &e))
}

fn sync_folder(path: &Path) -> Result<(), StoreError> {
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

fn failed(error: &sqlx::Error) -> StoreError {
    match code(error) {
        Some(SQLITE_FULL) => StoreError::Full,
        Some(SQLITE_CORRUPT | SQLITE_NOTADB) => {
            StoreError::Damaged { file: PathBuf::from(DATABASE_FILE), reason: error.to_string() }
        }
        _ => StoreError::Io(error.to_string()),
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        failed(&error)
    }
}

/// SQLite's integers are signed; every number here stays below their limit.
fn signed(number: u64) -> Result<i64, StoreError> {
    i64::try_from(number).map_err(|_| StoreError::Conflict("a number is larger than storage holds"))
}

fn unsigned(number: i64) -> Result<u64, StoreError> {
    u64::try_from(number).map_err(|_| StoreError::Io("a stored number is negative".to_owned()))
}

/// A limit of the caller's; beyond the largest integer it limits nothing.
fn limit(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Reads a stored byte string as an identifier of fixed length.
fn fixed<T>(bytes: &[u8], read: impl FnOnce(&[u8]) -> Option<T>) -> Result<T, StoreError> {
    read(bytes).ok_or_else(|| StoreError::Io("a stored identifier has the wrong length".to_owned()))
}
