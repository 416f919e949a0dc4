//! The one writer. It takes what has queued up, runs it in one transaction, commits once
//! (one fsync for all), and only then tells each caller. After a failed commit nothing more is written: what
//! the disk then holds is known only after a restart.

use std::collections::VecDeque;
use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use futures::FutureExt as _;
use futures::future::BoxFuture;
use sqlx::{Connection as _, SqliteConnection};
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
    pub(super) fn spawn(connection: SqliteConnection, wal: PathBuf) -> Self {
        let (queue, messages) = mpsc::channel(QUEUE_MAX);
        let failed = Arc::new(OnceLock::new());
        let state = State { connection, wal, wal_bytes_max: WAL_BYTES_MAX, failed: Arc::clone(&failed) };
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
    wal: PathBuf,
    wal_bytes_max: u64,
    failed: Arc<OnceLock<String>>,
}

async fn run(mut state: State, mut queue: mpsc::Receiver<Message>) {
    let mut messages = Vec::with_capacity(BATCH_MAX);
    let mut closing = Vec::new();
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
                Message::Close(reply) => closing.push(reply),
            }
        }
        transaction(&mut state, work).await;
        shorten_wal(&mut state).await;
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
async fn shorten_wal(state: &mut State) {
    let bytes = std::fs::metadata(&state.wal).map_or(0, |m| m.len());
    if bytes < state.wal_bytes_max {
        return;
    }
    if let Err(error) = execute(&mut state.connection, "PRAGMA wal_checkpoint(TRUNCATE)").await {
        tracing::warn!(%error, bytes, "the write-ahead log could not be emptied");
    }
    let left = std::fs::metadata(&state.wal).map_or(0, |m| m.len());
    // Where a reader stood in the way, not every commit tries again.
    state.wal_bytes_max = left + WAL_BYTES_MAX;
}

async fn execute(connection: &mut SqliteConnection, statement: &'static str) -> Result<(), StoreError> {
    sqlx::query(statement).execute(connection).await?;
    Ok(())
}
