//! The one writer. It takes what has queued up, runs it in one transaction, commits once
//! (one fsync for all), and only then tells each caller. After a failed commit nothing more is written: what
//! the disk then holds is known only after a restart.

use std::collections::VecDeque;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use futures::FutureExt as _;
use futures::future::BoxFuture;
use sqlx::{Connection as _, Row as _, SqliteConnection};
use tokio::sync::{mpsc, oneshot};

use super::append;
use crate::{Append, Appended, StoreError};

/// Jobs that may wait; further callers wait before the queue.
const QUEUE_MAX: usize = 1024;
/// Jobs in one transaction.
const BATCH_MAX: usize = 256;
/// Size in bytes from which the write-ahead log is emptied by force. Ordinary checkpoints reuse it, but only in a
/// moment without readers.
const WAL_BYTES_MAX: u64 = 64 * 1024 * 1024;

/// A handle to the writer. Cheap to clone.
#[derive(Clone)]
pub struct Writer {
    queue: mpsc::Sender<Message>,
    failed: Arc<OnceLock<String>>,
}

impl Writer {
    /// Needs a runtime. `wal` is where the write-ahead log lies.
    pub(super) fn spawn(connection: SqliteConnection, wal: PathBuf) -> Self {
        Self::spawn_with(connection, wal, WAL_BYTES_MAX)
    }

    fn spawn_with(connection: SqliteConnection, wal: PathBuf, wal_bytes_max: u64) -> Self {
        let (queue, messages) = mpsc::channel(QUEUE_MAX);
        let failed = Arc::new(OnceLock::new());
        let limit = WalLimit { wal, bytes_max: wal_bytes_max, step: wal_bytes_max };
        let state = State { connection, limit, failed: Arc::clone(&failed) };
        tokio::spawn(run(state, messages));
        Self { queue, failed }
    }

    /// Runs a job inside the next transaction and returns when it is on disk. A job that fails changes nothing.
    /// A job whose caller goes away is run all the same.
    pub async fn submit<T, F>(&self, job: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(&'c mut SqliteConnection) -> BoxFuture<'c, Result<T, StoreError>> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        self.queue(Message::Job(Box::new(Request { job, reply })), answer).await
    }

    /// Runs an append together with the others that wait.
    pub(super) async fn append(&self, append: Append) -> Result<Appended, StoreError> {
        append::check(&append)?;
        let (reply, answer) = oneshot::channel();
        self.queue(Message::Append(append, reply), answer).await
    }

    async fn queue<T>(
        &self,
        message: Message,
        answer: oneshot::Receiver<Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        if let Some(reason) = self.failed.get() {
            return Err(StoreError::Failed(reason.clone()));
        }
        self.queue.send(message).await.map_err(|_| StoreError::Closed)?;
        answer.await.map_err(|_| StoreError::Closed)?
    }

    /// Empties the write-ahead log, so that nothing deleted before is left in it. Fails where a reader stands in the way
    /// for longer than [`SCRUB_ATTEMPTS`] allow.
    pub(super) async fn scrub(&self) -> Result<(), StoreError> {
        let (reply, answer) = oneshot::channel();
        self.queue(Message::Scrub(reply), answer).await
    }

    /// Finishes what was queued before, and closes the connection.
    pub(super) async fn close(&self) {
        let (reply, done) = oneshot::channel();
        if self.queue.send(Message::Close(reply)).await.is_ok() {
            let _ = done.await;
        }
    }
}

enum Message {
    Job(Box<dyn Job>),
    Append(Append, Reply<Appended>),
    Scrub(Reply<()>),
    Close(oneshot::Sender<()>),
}

type Reply<T> = oneshot::Sender<Result<T, StoreError>>;

/// Tells the caller, once it is known whether the commit succeeded.
type Deliver = Box<dyn FnOnce(Result<(), StoreError>) + Send>;

trait Job: Send {
    /// Runs inside the transaction; gives back why it failed, if it did.
    fn run(self: Box<Self>, connection: &mut SqliteConnection) -> BoxFuture<'_, (Option<StoreError>, Deliver)>;
    /// Tells the caller that the transaction failed before its turn came.
    fn refuse(self: Box<Self>, error: StoreError);
}

struct Request<T, F> {
    job: F,
    reply: Reply<T>,
}

impl<T, F> Job for Request<T, F>
where
    T: Send + 'static,
    F: for<'c> FnOnce(&'c mut SqliteConnection) -> BoxFuture<'c, Result<T, StoreError>> + Send + 'static,
{
    fn run(self: Box<Self>, connection: &mut SqliteConnection) -> BoxFuture<'_, (Option<StoreError>, Deliver)> {
        let Self { job, reply } = *self;
        async move {
            // What a panic leaves half done in the database is undone like any other failure.
            let outcome = AssertUnwindSafe(async { job(connection).await })
                .catch_unwind()
                .await
                .unwrap_or_else(|_| Err(StoreError::Io("a job of the storage layer panicked".to_owned())));
            let failure = outcome.as_ref().err().cloned();
            // An answer may rest on other jobs of its transaction; without the commit it means nothing.
            let deliver: Deliver = Box::new(move |committed| {
                let _ = reply.send(committed.and(outcome));
            });
            (failure, deliver)
        }
        .boxed()
    }

    fn refuse(self: Box<Self>, error: StoreError) {
        let _ = self.reply.send(Err(error));
    }
}

/// What goes into one transaction.
#[derive(Default)]
struct Work {
    jobs: VecDeque<Box<dyn Job>>,
    appends: Vec<Append>,
    replies: Vec<Reply<Appended>>,
    /// Of the jobs that ran.
    delivers: Vec<Deliver>,
}

struct State {
    connection: SqliteConnection,
    limit: WalLimit,
    failed: Arc<OnceLock<String>>,
}

/// Up to where the write-ahead log may grow; a reader in the way raises it by a step.
struct WalLimit {
    wal: PathBuf,
    bytes_max: u64,
    step: u64,
}

async fn run(mut state: State, mut queue: mpsc::Receiver<Message>) {
    let mut messages = Vec::with_capacity(BATCH_MAX);
    let (mut closing, mut scrubbing) = (Vec::new(), Vec::new());
    while closing.is_empty() && queue.recv_many(&mut messages, BATCH_MAX).await > 0 {
        // Callers just answered tend to come back at once; a turn for them saves them an fsync.
        tokio::task::yield_now().await;
        while messages.len() < BATCH_MAX
            && let Ok(message) = queue.try_recv()
        {
            messages.push(message);
        }
        let mut work = Work::default();
        for message in messages.drain(..) {
            match message {
                Message::Job(job) => work.jobs.push_back(job),
                Message::Append(append, reply) => {
                    work.appends.push(append);
                    work.replies.push(reply);
                }
                Message::Scrub(reply) => scrubbing.push(reply),
                Message::Close(reply) => closing.push(reply),
            }
        }
        if !work.jobs.is_empty() || !work.appends.is_empty() {
            transaction(&mut state, work).await;
            shorten_wal(&mut state.connection, &mut state.limit).await;
        }
        if !scrubbing.is_empty() {
            let scrubbed = scrub(&mut state.connection).await;
            scrubbing.drain(..).for_each(|reply: Reply<()>| drop(reply.send(scrubbed.clone())));
        }
    }
    drop(queue);
    if let Err(error) = state.connection.close().await {
        tracing::warn!(%error, "the store did not close cleanly");
    }
    for reply in closing {
        let _ = reply.send(());
    }
}

/// Runs and commits, then answers every caller.
async fn transaction(state: &mut State, mut work: Work) {
    let ended = commit(state, &mut work).await;
    if let Err(error) = &ended {
        tracing::error!(%error, "a transaction failed; its callers were told");
        // SQLite has rolled back some failures itself; then there is nothing left to do.
        let _ = execute(&mut state.connection, "ROLLBACK").await;
    }
    let (committed, appended) = match ended {
        Ok(appended) => (Ok(()), appended),
        Err(error) => (Err(error), Vec::new()),
    };
    for deliver in work.delivers {
        deliver(committed.clone());
    }
    if let Err(error) = committed {
        work.jobs.into_iter().for_each(|job| job.refuse(error.clone()));
        work.replies.into_iter().for_each(|reply| drop(reply.send(Err(error.clone()))));
    } else {
        work.replies.into_iter().zip(appended).for_each(|(reply, appended)| drop(reply.send(Ok(appended))));
    }
}

async fn commit(state: &mut State, work: &mut Work) -> Result<Vec<Appended>, StoreError> {
    if let Some(reason) = state.failed.get() {
        return Err(StoreError::Failed(reason.clone()));
    }
    execute(&mut state.connection, "BEGIN IMMEDIATE").await?;
    run_jobs(&mut state.connection, work).await?;
    let appended = append::run(&mut state.connection, &work.appends).await?;
    let committed = execute(&mut state.connection, "COMMIT").await;
    // A full disk is known to have taken nothing. After anything else the file is in doubt: an fsync that failed
    // may report success when it is repeated.
    if let Err(error) = &committed
        && *error != StoreError::Full
    {
        let _ = state.failed.set(error.to_string());
    }
    committed.map(|()| appended)
}

async fn run_jobs(connection: &mut SqliteConnection, work: &mut Work) -> Result<(), StoreError> {
    while let Some(job) = work.jobs.pop_front() {
        if let Err(error) = execute(connection, "SAVEPOINT job").await {
            job.refuse(error.clone());
            return Err(error);
        }
        let (failure, deliver) = job.run(&mut *connection).await;
        work.delivers.push(deliver);
        if let Some(failure) = failure {
            // This fails where SQLite has rolled back everything itself, as it does on a full disk.
            execute(connection, "ROLLBACK TO job").await.map_err(|_| failure)?;
        }
        execute(connection, "RELEASE job").await?;
    }
    Ok(())
}

/// Under constant reading no checkpoint may find the moment to start the log anew; then writing waits for the
/// readers of old snapshots and starts it anew.
async fn shorten_wal(connection: &mut SqliteConnection, limit: &mut WalLimit) {
    let size = |wal: &Path| std::fs::metadata(wal).map_or(0, |m| m.len());
    if size(&limit.wal) < limit.bytes_max {
        return;
    }
    for statement in [CHECKPOINT_PATIENCE, "PRAGMA wal_checkpoint(TRUNCATE)", PATIENCE] {
        if let Err(error) = execute(connection, statement).await {
            tracing::warn!(%error, "the write-ahead log could not be emptied");
        }
    }
    // Where a reader stood in the way, not every commit tries again.
    limit.bytes_max = size(&limit.wal) + limit.step;
}

/// Moves the whole write-ahead log into the database and cuts it to nothing.
async fn scrub(connection: &mut SqliteConnection) -> Result<(), StoreError> {
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
    if emptied? { Ok(()) } else { Err(StoreError::Io("a long reading keeps the write-ahead log".to_owned())) }
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
    use std::time::Duration;

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
            Self { writer: Writer::spawn_with(connection, wal, 1024 * 1024), folder }
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
        let started = std::time::Instant::now();
        fill(&place.writer, 40).await;
        assert!(started.elapsed() < Duration::from_secs(8), "writing went on");
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
