//! The one writer of a database. It takes what has queued up, runs it in one transaction, commits once
//! (one fsync for all), and only then tells each caller. What is different from database to database is its [`Engine`].

use std::collections::VecDeque;
use std::panic::AssertUnwindSafe;

use futures::FutureExt as _;
use futures::future::BoxFuture;
use tokio::sync::{mpsc, oneshot};

use crate::{Append, Appended, StoreError, append};

/// Jobs that may wait; further callers wait before the queue.
const QUEUE_MAX: usize = 1024;
/// Jobs in one transaction.
const BATCH_MAX: usize = 256;

/// A database with one connection that writes. All of these run in the writer's task, one after the other.
pub trait Engine: Send + Sized + 'static {
    /// The connection that writes.
    type Connection: Send;

    /// It, inside a transaction that was begun.
    fn connection(&mut self) -> Result<&mut Self::Connection, StoreError>;
    /// Begins a transaction.
    fn begin(&mut self) -> impl Future<Output = Result<(), StoreError>> + Send;
    /// Ends it; on return it is on disk. What an error leaves is the engine's to know before it begins another one.
    fn commit(&mut self) -> impl Future<Output = Result<(), StoreError>> + Send;
    /// Gives a failed transaction up.
    fn roll_back(&mut self) -> impl Future<Output = ()> + Send;
    /// Runs a statement without an answer.
    fn execute(
        connection: &mut Self::Connection,
        statement: &'static str,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;
    /// Runs appends that passed [`crate::append::check`]; each sees the ones before it. Any error takes the whole
    /// transaction down.
    fn append(
        connection: &mut Self::Connection,
        appends: &[Append],
    ) -> impl Future<Output = Result<Vec<Appended>, StoreError>> + Send;
    /// What is to be done now and then between transactions.
    fn tidy(&mut self) -> impl Future<Output = ()> + Send;
    /// Takes what was deleted out of the files as far as that is possible.
    fn scrub(&mut self) -> impl Future<Output = Result<(), StoreError>> + Send;
    /// Closes the connection.
    fn close(self) -> impl Future<Output = Result<(), StoreError>> + Send;
}

/// A handle to the writer. Cheap to clone.
pub struct Writer<E: Engine> {
    queue: mpsc::Sender<Message<E>>,
}

impl<E: Engine> Clone for Writer<E> {
    fn clone(&self) -> Self {
        Self { queue: self.queue.clone() }
    }
}

impl<E: Engine> Writer<E> {
    /// Needs a runtime.
    pub(crate) fn spawn(engine: E) -> Self {
        let (queue, messages) = mpsc::channel(QUEUE_MAX);
        tokio::spawn(run(engine, messages));
        Self { queue }
    }

    /// Runs a job inside the next transaction and returns when it is on disk. A job that fails changes nothing.
    /// A job whose caller goes away is run all the same.
    pub async fn submit<T, F>(&self, job: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(&'c mut E::Connection) -> BoxFuture<'c, Result<T, StoreError>> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        self.queue(Message::Job(Box::new(Request { job, reply })), answer).await
    }

    /// Runs an append together with the others that wait.
    pub(crate) async fn append(&self, append: Append) -> Result<Appended, StoreError> {
        append::check(&append)?;
        let (reply, answer) = oneshot::channel();
        self.queue(Message::Append(append, reply), answer).await
    }

    async fn queue<T>(
        &self,
        message: Message<E>,
        answer: oneshot::Receiver<Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        self.queue.send(message).await.map_err(|_| StoreError::Closed)?;
        answer.await.map_err(|_| StoreError::Closed)?
    }

    /// Takes what was deleted out of the files as far as that is possible.
    pub(crate) async fn scrub(&self) -> Result<(), StoreError> {
        let (reply, answer) = oneshot::channel();
        self.queue(Message::Scrub(reply), answer).await
    }

    /// Finishes what was queued before, and closes the connection.
    pub(crate) async fn close(&self) {
        let (reply, done) = oneshot::channel();
        if self.queue.send(Message::Close(reply)).await.is_ok() {
            let _ = done.await;
        }
    }
}

enum Message<E: Engine> {
    Job(Box<dyn Job<E::Connection>>),
    Append(Append, Reply<Appended>),
    Scrub(Reply<()>),
    Close(oneshot::Sender<()>),
}

type Reply<T> = oneshot::Sender<Result<T, StoreError>>;

/// Tells the caller, once it is known whether the commit succeeded.
type Deliver = Box<dyn FnOnce(Result<(), StoreError>) + Send>;

trait Job<C>: Send {
    /// Runs inside the transaction; gives back why it failed, if it did.
    fn run(self: Box<Self>, connection: &mut C) -> BoxFuture<'_, (Option<StoreError>, Deliver)>;
    /// Tells the caller that the transaction failed before its turn came.
    fn refuse(self: Box<Self>, error: StoreError);
}

struct Request<T, F> {
    job: F,
    reply: Reply<T>,
}

impl<C, T, F> Job<C> for Request<T, F>
where
    C: Send,
    T: Send + 'static,
    F: for<'c> FnOnce(&'c mut C) -> BoxFuture<'c, Result<T, StoreError>> + Send + 'static,
{
    fn run(self: Box<Self>, connection: &mut C) -> BoxFuture<'_, (Option<StoreError>, Deliver)> {
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
struct Work<C> {
    jobs: VecDeque<Box<dyn Job<C>>>,
    appends: Vec<Append>,
    replies: Vec<Reply<Appended>>,
    /// Of the jobs that ran.
    delivers: Vec<Deliver>,
}

async fn run<E: Engine>(mut engine: E, mut queue: mpsc::Receiver<Message<E>>) {
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
        let mut work = Work { jobs: VecDeque::new(), appends: Vec::new(), replies: Vec::new(), delivers: Vec::new() };
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
            transaction(&mut engine, work).await;
            engine.tidy().await;
        }
        if !scrubbing.is_empty() {
            let scrubbed = engine.scrub().await;
            scrubbing.drain(..).for_each(|reply: Reply<()>| drop(reply.send(scrubbed.clone())));
        }
    }
    drop(queue);
    if let Err(error) = engine.close().await {
        tracing::warn!(%error, "the store did not close cleanly");
    }
    for reply in closing {
        let _ = reply.send(());
    }
}

/// Runs and commits, then answers every caller.
async fn transaction<E: Engine>(engine: &mut E, mut work: Work<E::Connection>) {
    let ended = commit(engine, &mut work).await;
    if let Err(error) = &ended {
        tracing::error!(%error, "a transaction failed; its callers were told");
        engine.roll_back().await;
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

async fn commit<E: Engine>(engine: &mut E, work: &mut Work<E::Connection>) -> Result<Vec<Appended>, StoreError> {
    engine.begin().await?;
    run_jobs::<E>(engine.connection()?, work).await?;
    let appended = E::append(engine.connection()?, &work.appends).await?;
    engine.commit().await?;
    Ok(appended)
}

async fn run_jobs<E: Engine>(c: &mut E::Connection, work: &mut Work<E::Connection>) -> Result<(), StoreError> {
    while let Some(job) = work.jobs.pop_front() {
        if let Err(error) = E::execute(c, "SAVEPOINT job").await {
            job.refuse(error.clone());
            return Err(error);
        }
        let (failure, deliver) = job.run(&mut *c).await;
        work.delivers.push(deliver);
        if let Some(failure) = failure {
            // This fails where the whole transaction is gone, as it is on a full disk.
            E::execute(c, "ROLLBACK TO job").await.map_err(|_| failure)?;
        }
        E::execute(c, "RELEASE job").await?;
    }
    Ok(())
}
