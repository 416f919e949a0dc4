//! The writer's side of SQLite. After a failed commit or checkpoint nothing more is written: what the disk then holds is
//! known only after a restart. An fsync that failed is never repeated and believed: the system calls the pages that it
//! could not write clean, and the next fsync succeeds without them.

use std::fs::File;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::{Connection as _, Row as _, SqliteConnection};

use super::append;
use crate::append::Placed;
use crate::key::Key;
use crate::writer::Wait;
use crate::{Appended, StoreError, writer};

/// Size in bytes from which the write-ahead log is emptied by force. Ordinary checkpoints reuse it, but only in a
/// moment without readers.
const WAL_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// Frames of the write-ahead log from which it is moved into the database, as SQLite itself would.
const CHECKPOINT_FRAMES: u64 = 1000;

/// The one writer of a file.
pub(super) type Writer = writer::Writer<SqliteEngine>;

/// The connection that writes.
pub struct SqliteEngine {
    connection: SqliteConnection,
    limit: WalLimit,
    failed: Option<String>,
}

impl SqliteEngine {
    /// `wal` is where the write-ahead log lies.
    pub(super) fn new(connection: SqliteConnection, wal: PathBuf) -> Self {
        Self::with_limit(connection, wal, WAL_BYTES_MAX)
    }

    fn with_limit(connection: SqliteConnection, wal: PathBuf, bytes_max: u64) -> Self {
        Self { connection, limit: WalLimit { wal, bytes_max, step: bytes_max }, failed: None }
    }

    fn check(&self) -> Result<(), StoreError> {
        self.failed.clone().map_or(Ok(()), |reason| Err(StoreError::Failed(reason)))
    }

    /// Remembers a failure that leaves the files in doubt. A full disk is known to have taken nothing.
    fn judge<T>(&mut self, done: Result<T, StoreError>) -> Result<T, StoreError> {
        if let Err(error) = &done
            && *error != StoreError::Full
        {
            tracing::error!(%error, "nothing more is written until the service is restarted; check the disk before");
            self.failed = Some(error.to_string());
        }
        done
    }
}

impl writer::Engine for SqliteEngine {
    type Connection = SqliteConnection;
    const ANSWER_PATIENCE: Option<Duration> = None;

    fn connection(&mut self) -> Result<&mut SqliteConnection, StoreError> {
        Ok(&mut self.connection)
    }

    async fn begin(&mut self, _keys: &[Key], _wait: Wait) -> Result<(), StoreError> {
        self.check()?;
        execute(&mut self.connection, "BEGIN IMMEDIATE").await
    }

    async fn commit(&mut self) -> Result<(), StoreError> {
        let committed = execute(&mut self.connection, "COMMIT").await;
        self.judge(committed)
    }

    async fn roll_back(&mut self) {
        // SQLite has rolled back some failures itself; then there is nothing left to do.
        let _ = execute(&mut self.connection, "ROLLBACK").await;
    }

    async fn execute(connection: &mut SqliteConnection, statement: &'static str) -> Result<(), StoreError> {
        execute(connection, statement).await
    }

    async fn append(connection: &mut SqliteConnection, appends: &[Placed]) -> Result<Vec<Appended>, StoreError> {
        append::run(connection, appends).await
    }

    /// Moves a long write-ahead log into the database. SQLite would do so by itself, but swallow what fails.
    async fn tidy(&mut self) {
        if self.failed.is_none() {
            let moved = checkpoint(&mut self.connection, &mut self.limit).await;
            if self.judge(moved) == Err(StoreError::Full) {
                tracing::warn!("the disk is too full to move the write-ahead log into the database");
            }
        }
    }

    /// Empties the write-ahead log, so that nothing deleted before is left in it. Fails where a reader stands in the way
    /// for longer than [`SCRUB_ATTEMPTS`] allow.
    async fn scrub(&mut self) -> Result<(), StoreError> {
        self.check()?;
        let scrubbed = scrub(&mut self.connection).await;
        match self.judge(scrubbed) {
            Ok(true) => Ok(()),
            Ok(false) => Err(StoreError::Io("a long reading keeps the write-ahead log".to_owned())),
            Err(error) => Err(error),
        }
    }

    async fn close(self) -> Result<(), StoreError> {
        if self.failed.is_some() {
            // Closing would move the write-ahead log and delete it. The next start needs it.
            std::mem::forget(self.connection);
            return Ok(());
        }
        Ok(self.connection.close().await?)
    }
}

/// Up to where the write-ahead log may grow; a reader in the way raises it by a step.
struct WalLimit {
    wal: PathBuf,
    bytes_max: u64,
    step: u64,
}

/// Moves a long write-ahead log into the database as far as its readers allow. Under constant reading none may find the
/// moment to start the log anew; then writing waits for the readers of old snapshots and starts it anew.
async fn checkpoint(connection: &mut SqliteConnection, limit: &mut WalLimit) -> Result<(), StoreError> {
    let size = |wal: &Path| std::fs::metadata(wal).map_or(0, |m| m.len());
    if size(&limit.wal) >= limit.bytes_max {
        execute(connection, CHECKPOINT_PATIENCE).await?;
        let emptied = execute(connection, "PRAGMA wal_checkpoint(TRUNCATE)").await;
        execute(connection, PATIENCE).await?;
        // Where a reader stood in the way, not every commit tries again.
        limit.bytes_max = size(&limit.wal) + limit.step;
        return emptied;
    }
    // A log that cannot be looked at is moved.
    if is_long(&limit.wal).unwrap_or(true) {
        execute(connection, "PRAGMA wal_checkpoint(PASSIVE)").await?;
    }
    Ok(())
}

/// Whether a write-ahead log has come to [`CHECKPOINT_FRAMES`] since it was started anew. Its file does not shrink then;
/// but frames that count bear the salt of its header (SQLite's file format, 4.1 and 4.2).
fn is_long(wal: &Path) -> std::io::Result<bool> {
    let (file, mut of_header, mut of_frame) = (File::open(wal)?, [0; 8], [0; 8]);
    let frame = WAL_HEADER_BYTES + (CHECKPOINT_FRAMES - 1) * FRAME_BYTES;
    if file.metadata()?.len() < frame + FRAME_BYTES {
        return Ok(false);
    }
    file.read_exact_at(&mut of_header, 16)?;
    file.read_exact_at(&mut of_frame, frame + 8)?;
    Ok(of_header == of_frame)
}

const WAL_HEADER_BYTES: u64 = 32;
/// A header and a page.
const FRAME_BYTES: u64 = 24 + 4096;

/// Writes a write-ahead log over itself and syncs it, before anything is built on it. After a process that could not
/// sync it, or was killed before, the system shows frames that are not on the disk; frames behind a gap would be lost
/// with the next power cut.
pub(super) async fn harden(connection: &mut SqliteConnection, wal: &Path) -> Result<(), StoreError> {
    // So that nobody else appends meanwhile.
    execute(connection, "BEGIN IMMEDIATE").await?;
    let hardened = rewrite(wal);
    execute(connection, "ROLLBACK").await?;
    hardened.map_err(|e| StoreError::io("syncing", wal, &e))
}

fn rewrite(wal: &Path) -> std::io::Result<()> {
    let file = File::options().read(true).write(true).open(wal)?;
    let (mut chunk, mut place) = (vec![0; 1024 * 1024], 0);
    loop {
        let count = file.read_at(&mut chunk, place)?;
        let Some(read @ [_, ..]) = chunk.get(..count) else { break };
        file.write_all_at(read, place)?;
        place += count as u64;
    }
    if place > 0 { file.sync_data() } else { Ok(()) }
}

/// Moves the whole write-ahead log into the database and cuts it to nothing; whether it could.
async fn scrub(connection: &mut SqliteConnection) -> Result<bool, StoreError> {
    execute(connection, CHECKPOINT_PATIENCE).await?;
    let mut emptied = Ok(false);
    for _ in 0..SCRUB_ATTEMPTS {
        emptied = match sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)").fetch_one(&mut *connection).await {
            // Its first column is 1 where a reader stood in the way.
            Ok(row) => Ok(row.try_get::<i64, _>(0)? == 0),
            Err(error) => Err(StoreError::from(error)),
        };
        if emptied != Ok(false) {
            break;
        }
    }
    execute(connection, PATIENCE).await?;
    emptied
}

/// How often emptying the write-ahead log is tried before its caller is told to come again.
const SCRUB_ATTEMPTS: usize = 10;

/// How long the ordinary statement waits for a lock of another process, in milliseconds; and how long emptying the
/// write-ahead log waits for readers, because writers wait with it.
const PATIENCE: &str = "PRAGMA busy_timeout = 10000";
const CHECKPOINT_PATIENCE: &str = "PRAGMA busy_timeout = 500";

async fn execute(connection: &mut SqliteConnection, statement: &'static str) -> Result<(), StoreError> {
    sqlx::query(statement).execute(connection).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use futures::FutureExt as _;
    use futures::future::BoxFuture;
    use sealwort_net::config::TelemetryConfig;
    use sealwort_net::health::Readiness;
    use sealwort_net::observe::Observation;
    use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode};
    use sqlx::{ConnectOptions as _, Row as _};
    use tempfile::TempDir;

    use super::*;

    struct Place {
        folder: TempDir,
        writer: Writer,
    }

    impl Place {
        async fn new() -> Self {
            let folder = tempfile::tempdir().unwrap();
            let options = SqliteConnectOptions::new()
                .filename(folder.path().join("db"))
                .create_if_missing(true)
                .journal_mode(SqliteJournalMode::Wal);
            let mut connection = options.connect().await.unwrap();
            for statement in [
                "CREATE TABLE parent (number INTEGER PRIMARY KEY)",
                "CREATE TABLE note (number INTEGER PRIMARY KEY, parent INTEGER REFERENCES parent, bytes BLOB)",
            ] {
                execute(&mut connection, statement).await.unwrap();
            }
            let wal = folder.path().join("db-wal");
            Self { writer: Writer::spawn(SqliteEngine::with_limit(connection, wal, 1024 * 1024)), folder }
        }

        async fn note(&self, number: i64) -> Result<(), StoreError> {
            self.writer.submit(move |c| insert(c, number).boxed()).await
        }

        /// Reads through another connection, as the readers do.
        async fn notes(&self) -> Vec<i64> {
            let mut connection = self.reader().await;
            let rows = sqlx::query("SELECT number FROM note ORDER BY number").fetch_all(&mut connection).await;
            rows.unwrap().iter().map(|row| row.get(0)).collect()
        }

        async fn reader(&self) -> SqliteConnection {
            SqliteConnectOptions::new().filename(self.folder.path().join("db")).read_only(true).connect().await.unwrap()
        }

        fn wal_bytes(&self) -> u64 {
            std::fs::metadata(self.folder.path().join("db-wal")).unwrap().len()
        }
    }

    async fn insert(c: &mut SqliteConnection, number: i64) -> Result<(), StoreError> {
        sqlx::query("INSERT INTO note (number) VALUES (?)").bind(number).execute(c).await?;
        Ok(())
    }

    #[tokio::test]
    async fn an_ordinary_answer_is_no_failure_of_the_store() {
        let place = Place::new().await;
        let identity = "sealwort://test/broker/t".parse().unwrap();
        let observation = Observation::open(&identity, &TelemetryConfig::default(), place.folder.path()).unwrap();
        for (answer, failures) in [(StoreError::Conflict("no"), 0), (StoreError::Erased, 0), (StoreError::Full, 1)] {
            let told = answer.clone();
            let refused = place.writer.submit(move |_| async move { Err::<(), _>(answer) }.boxed());
            assert_eq!(observation.scope(refused).await, Err(told));
            let counted = observation.scrape(&Readiness::new()).await;
            let line = format!("sealwort_store_failures_total{{role=\"broker\",work=\"change\"}} {failures}");
            assert!(counted.lines().any(|found| found == line), "{counted}");
        }
    }

    #[tokio::test]
    async fn a_failing_or_panicking_job_undoes_itself_alone() {
        let place = Place::new().await;
        let refused = place.writer.submit(|c| {
            async move {
                insert(c, 10).await?;
                Err::<(), _>(StoreError::Conflict("no"))
            }
            .boxed()
        });
        let panicked = place.writer.submit(|c| {
            async move {
                insert(c, 11).await?;
                panic!("a bug");
                #[expect(unreachable_code, reason = "gives the block its type")]
                Ok(())
            }
            .boxed()
        });
        let panicked_at_once = place.writer.submit(|_| -> BoxFuture<'_, Result<(), StoreError>> { panic!("a bug") });
        // One task, so that all five are queued before the writer's turn: one transaction.
        let outcomes = tokio::join!(place.note(1), refused, panicked, panicked_at_once, place.note(2));
        assert_eq!(outcomes.0, Ok(()));
        assert_eq!(outcomes.1, Err(StoreError::Conflict("no")));
        assert!(matches!(outcomes.2, Err(StoreError::Io(_))));
        assert!(matches!(outcomes.3, Err(StoreError::Io(_))));
        assert_eq!(outcomes.4, Ok(()));
        assert_eq!(place.notes().await, [1, 2]);
        assert_eq!(place.note(3).await, Ok(()), "the writer goes on");
    }

    #[tokio::test]
    async fn a_job_outlives_its_caller() {
        let place = Place::new().await;
        let mut call = Box::pin(place.note(1));
        assert!(futures::poll!(&mut call).is_pending());
        drop(call);
        place.note(2).await.unwrap();
        assert_eq!(place.notes().await, [1, 2]);
    }

    #[tokio::test]
    async fn a_failed_commit_is_told_to_all_and_ends_writing() {
        let place = Place::new().await;
        place.note(1).await.unwrap();
        // A constraint that is checked at the commit makes it fail.
        let bad = place.writer.submit(|c| {
            async move {
                execute(c, "PRAGMA defer_foreign_keys = ON").await?;
                execute(c, "INSERT INTO note (number, parent) VALUES (9, 99)").await
            }
            .boxed()
        });
        let (before, bad, after) = tokio::join!(place.note(2), bad, place.note(3));
        for outcome in [before, bad, after] {
            assert!(matches!(outcome, Err(StoreError::Io(_))), "{outcome:?}");
        }
        assert!(matches!(place.note(4).await, Err(StoreError::Failed(_))));
        assert_eq!(place.notes().await, [1], "nothing of the failed transaction is visible");
        place.writer.close().await;
        assert_eq!(place.notes().await, [1]);
    }

    #[tokio::test]
    async fn closing_finishes_what_was_queued_and_refuses_the_rest() {
        let place = Place::new().await;
        let (one, two, (), late) = tokio::join!(place.note(1), place.note(2), place.writer.close(), place.note(3));
        assert_eq!((one, two), (Ok(()), Ok(())));
        // It was queued behind the closing, in the same transaction or too late; either is answered.
        let kept = match late {
            Ok(()) => vec![1, 2, 3],
            Err(error) => {
                assert_eq!(error, StoreError::Closed);
                vec![1, 2]
            }
        };
        assert_eq!(place.notes().await, kept);
        assert_eq!(place.note(4).await, Err(StoreError::Closed));
        place.writer.close().await;
    }

    async fn fill(writer: &Writer, count: usize) {
        for _ in 0..count {
            let job = writer.submit(|c| {
                async move {
                    let bytes = vec![7_u8; 100_000];
                    sqlx::query("INSERT INTO note (bytes) VALUES (?)").bind(bytes).execute(c).await?;
                    Ok(())
                }
                .boxed()
            });
            job.await.unwrap();
        }
    }

    /// Makes a snapshot, which lasts until the commit.
    async fn begin(reader: &mut SqliteConnection) {
        execute(reader, "BEGIN").await.unwrap();
        execute(reader, "SELECT count(*) FROM note").await.unwrap();
    }

    #[tokio::test]
    async fn a_long_reader_does_not_stop_writing() {
        let place = Place::new().await;
        fill(&place.writer, 1).await;
        let mut reader = place.reader().await;
        begin(&mut reader).await;
        fill(&place.writer, 40).await;
        let row = sqlx::query("SELECT count(*) FROM note").fetch_one(&mut reader).await.unwrap();
        assert_eq!(row.get::<i64, _>(0), 1, "the reader keeps its snapshot");
        execute(&mut reader, "COMMIT").await.unwrap();
        let grown = place.wal_bytes();
        assert!(grown > 4_000_000, "nothing could be taken from under the reader");
        fill(&place.writer, 100).await;
        assert!(place.wal_bytes() < grown + 2_000_000, "the log grows no more: {} bytes", place.wal_bytes());
        assert_eq!(place.notes().await.len(), 141);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn constant_reading_does_not_make_the_log_grow_for_ever() {
        let place = Place::new().await;
        fill(&place.writer, 1).await;
        let (mut one, mut other) = (place.reader().await, place.reader().await);
        let reading = tokio::spawn(async move {
            begin(&mut one).await;
            // At any moment one of the two has a snapshot.
            loop {
                tokio::time::sleep(Duration::from_millis(10)).await;
                begin(&mut other).await;
                execute(&mut one, "COMMIT").await.unwrap();
                std::mem::swap(&mut one, &mut other);
            }
        });
        let mut largest = 0;
        for _ in 0..150 {
            fill(&place.writer, 1).await;
            largest = largest.max(place.wal_bytes());
        }
        assert!(!reading.is_finished());
        reading.abort();
        assert!(largest < 6_000_000, "the log reached {largest} bytes");
    }
}
