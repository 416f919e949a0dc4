//! A writer: the only one of a file, one of several on a server. It takes what has queued up, runs it in one transaction, commits once
//! (one fsync for all), and only then tells each caller. What is different from database to database is its [`Engine`].

use std::collections::{BTreeSet, VecDeque};
use std::mem;
use std::panic::AssertUnwindSafe;
use std::time::{Duration, SystemTime};

use futures::FutureExt as _;
use futures::future::BoxFuture;
use sealwort_net::metrics::labels::Work as Written;
use sealwort_net::observe::stored;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use crate::append::Placed;
use crate::key::Key;
use crate::{Appended, DatabaseFault, StoreError};

/// Jobs that may wait; further callers wait before the queue.
const QUEUE_MAX: usize = 1024;
/// Jobs in one transaction.
const BATCH_MAX: usize = 256;

/// A database with one connection that writes. All of these run in the writer's task, one after the other.
pub trait Engine: Send + Sized + 'static {
    /// The connection that writes.
    type Connection: Send;
    /// How long one step of a transaction may take before the connection counts as lost; none where nothing can get lost on
    /// the way.
    const ANSWER_PATIENCE: Option<Duration>;

    /// It, inside a transaction that was begun.
    fn connection(&mut self) -> Result<&mut Self::Connection, StoreError>;
    /// Begins a transaction that has these to itself, each named once and in order. Where somebody else has one of them for
    /// longer than it waits, it fails with [`DatabaseFault::Held`].
    fn begin(&mut self, keys: &[Key], wait: Wait) -> impl Future<Output = Result<(), StoreError>> + Send;
    /// Ends it; on return it is on disk. What an error leaves is the engine's to know before it begins another one.
    fn commit(&mut self) -> impl Future<Output = Result<(), StoreError>> + Send;
    /// Gives a failed transaction up.
    fn roll_back(&mut self) -> impl Future<Output = ()> + Send;
    /// Gives the connection up, which answers no more, and the transaction with it.
    fn disconnect(&mut self) {}
    /// Runs a statement without an answer.
    fn execute(
        connection: &mut Self::Connection,
        statement: &'static str,
    ) -> impl Future<Output = Result<(), StoreError>> + Send;
    /// Runs appends that passed [`crate::append::check`]; each sees the ones before it. Any error takes the whole
    /// transaction down.
    fn append(
        connection: &mut Self::Connection,
        appends: &[Placed],
    ) -> impl Future<Output = Result<Vec<Appended>, StoreError>> + Send;
    /// What is to be done now and then between transactions.
    fn tidy(&mut self) -> impl Future<Output = ()> + Send;
    /// Takes what was deleted out of the files as far as that is possible.
    fn scrub(&mut self) -> impl Future<Output = Result<(), StoreError>> + Send;
    /// Closes the connection.
    fn close(self) -> impl Future<Output = Result<(), StoreError>> + Send;
}

/// How long a transaction waits for what somebody else has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// As long as anybody may have it.
    Long,
    /// A moment, once it is known that somebody has one of many.
    Short,
}

/// What a database answers, or that its connection is lost where it does not answer in time. What was asked is given up
/// in the middle, so the connection is of no more use.
pub(crate) async fn answered<T>(
    patience: Option<Duration>,
    answer: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    let Some(patience) = patience else { return answer.await };
    let lost = || DatabaseFault::Lost { reason: "no answer".to_owned() };
    timeout(patience, answer).await.unwrap_or_else(|_| Err(lost().into()))
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
        self.submit_with(Vec::new(), job).await
    }

    /// The same with what the job must have to itself: all by which it judges what it may write.
    pub(crate) async fn submit_with<T, F>(&self, keys: Vec<Key>, job: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: for<'c> FnOnce(&'c mut E::Connection) -> BoxFuture<'c, Result<T, StoreError>> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let message = Message::Job(keys, Box::new(Request { job, reply }));
        stored(Written::Change, StoreError::is_failure, self.queue(message, answer)).await
    }

    /// Runs an append that passed [`crate::append::check`] together with the others that wait.
    pub(crate) async fn append(&self, append: Placed) -> Result<Appended, StoreError> {
        let (reply, answer) = oneshot::channel();
        stored(Written::Append, StoreError::is_failure, self.queue(Message::Append(append, reply), answer)).await
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
    Job(Vec<Key>, Box<dyn Job<E::Connection>>),
    Append(Placed, Reply<Appended>),
    Scrub(Reply<()>),
    Close(oneshot::Sender<()>),
}

type Reply<T> = oneshot::Sender<Result<T, StoreError>>;

/// Tells the caller, once it is known whether the commit succeeded.
type Deliver = Box<dyn FnOnce(Result<(), StoreError>) + Send>;

trait Job<C>: Send {
    /// Runs inside the transaction, for as long as `patience` at most; gives back why it failed, if it did.
    fn run(
        self: Box<Self>,
        connection: &mut C,
        patience: Option<Duration>,
    ) -> BoxFuture<'_, (Option<StoreError>, Deliver)>;
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
    fn run(
        self: Box<Self>,
        connection: &mut C,
        patience: Option<Duration>,
    ) -> BoxFuture<'_, (Option<StoreError>, Deliver)> {
        let Self { job, reply } = *self;
        async move {
            // What a panic leaves half done in the database is undone like any other failure.
            let outcome = AssertUnwindSafe(answered(patience, async { job(connection).await }))
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
    jobs: VecDeque<(Vec<Key>, Box<dyn Job<C>>)>,
    appends: Vec<Placed>,
    replies: Vec<Reply<Appended>>,
    /// Of the jobs that ran.
    delivers: Vec<Deliver>,
}

impl<C> Default for Work<C> {
    fn default() -> Self {
        Self { jobs: VecDeque::new(), appends: Vec::new(), replies: Vec::new(), delivers: Vec::new() }
    }
}

impl<C> Work<C> {
    /// All that it wants to have to itself, each once and in order.
    fn keys(&self) -> BTreeSet<Key> {
        let of_jobs = self.jobs.iter().flat_map(|(keys, _)| keys).copied();
        of_jobs.chain(self.appends.iter().map(|append| Key::patient(append.patient))).collect()
    }

    /// The same in a transaction for each.
    fn split(self) -> impl Iterator<Item = Self> {
        let jobs = self.jobs.into_iter().map(|job| Self { jobs: VecDeque::from([job]), ..Self::default() });
        let appends = self.appends.into_iter().zip(self.replies);
        let appends =
            appends.map(|(append, reply)| Self { appends: vec![append], replies: vec![reply], ..Self::default() });
        jobs.chain(appends)
    }
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
        let mut work = Work::default();
        for message in messages.drain(..) {
            match message {
                Message::Job(keys, job) => work.jobs.push_back((keys, job)),
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
async fn transaction<E: Engine>(engine: &mut E, work: Work<E::Connection>) {
    let keys = Vec::from_iter(work.keys());
    match engine.begin(&keys, Wait::Long).await {
        // Somebody else has what one of them wants; that is no reason to refuse the others.
        Err(StoreError::Database(DatabaseFault::Held)) if keys.len() > 1 => {
            engine.roll_back().await;
            one_by_one(engine, work).await;
        }
        begun => complete(engine, work, begun).await,
    }
}

/// Each in a transaction of its own, refusing those who want what somebody else has.
async fn one_by_one<E: Engine>(engine: &mut E, work: Work<E::Connection>) {
    let held = || Err(DatabaseFault::Held.into());
    let mut known = BTreeSet::new();
    for one in work.split() {
        let keys = Vec::from_iter(one.keys());
        if keys.iter().any(|key| known.contains(key)) {
            complete(engine, one, held()).await;
            continue;
        }
        let begun = engine.begin(&keys, Wait::Short).await;
        if let (Err(StoreError::Database(DatabaseFault::Held)), [key]) = (&begun, keys.as_slice()) {
            // Waited for once, whoever else wants it.
            known.insert(*key);
        }
        complete(engine, one, begun).await;
    }
}

/// What comes after beginning, which may have failed.
async fn complete<E: Engine>(engine: &mut E, mut work: Work<E::Connection>, begun: Result<(), StoreError>) {
    let ended = match begun {
        Ok(()) => commit(engine, &mut work).await,
        Err(error) => Err(error),
    };
    if let Err(error) = &ended {
        tracing::error!(%error, "a transaction failed; its callers were told");
        if error.is_lost() {
            engine.disconnect();
        } else {
            engine.roll_back().await;
        }
    }
    let (committed, appended) = match ended {
        Ok(appended) => (Ok(()), appended),
        Err(error) => (Err(error), Vec::new()),
    };
    for deliver in work.delivers {
        deliver(committed.clone());
    }
    if let Err(error) = committed {
        work.jobs.into_iter().for_each(|(_, job)| job.refuse(error.clone()));
        work.replies.into_iter().for_each(|reply| drop(reply.send(Err(error.clone()))));
    } else {
        work.replies.into_iter().zip(appended).for_each(|(reply, appended)| drop(reply.send(Ok(appended))));
    }
}

async fn commit<E: Engine>(engine: &mut E, work: &mut Work<E::Connection>) -> Result<Vec<Appended>, StoreError> {
    run_jobs::<E>(engine.connection()?, work).await?;
    refuse_late(work);
    let appended = answered(E::ANSWER_PATIENCE, E::append(engine.connection()?, &work.appends)).await?;
    engine.commit().await?;
    Ok(appended)
}

/// Refuses the appends that waited so long that their objects may be swept. Who repeats one places them anew.
fn refuse_late<C>(work: &mut Work<C>) {
    let now = SystemTime::now();
    let (appends, replies) = (mem::take(&mut work.appends), mem::take(&mut work.replies));
    for (append, reply) in appends.into_iter().zip(replies) {
        if append.until.is_some_and(|until| until < now) {
            tracing::warn!("a deposit waited too long after its objects were placed; its caller was told to repeat it");
            let _ = reply.send(Err(DatabaseFault::Held.into()));
        } else {
            work.appends.push(append);
            work.replies.push(reply);
        }
    }
}

async fn run_jobs<E: Engine>(c: &mut E::Connection, work: &mut Work<E::Connection>) -> Result<(), StoreError> {
    while let Some((_, job)) = work.jobs.pop_front() {
        if let Err(error) = answered(E::ANSWER_PATIENCE, E::execute(c, "SAVEPOINT job")).await {
            job.refuse(error.clone());
            return Err(error);
        }
        let (failure, deliver) = job.run(&mut *c, E::ANSWER_PATIENCE).await;
        work.delivers.push(deliver);
        if let Some(failure) = failure {
            if failure.is_lost() {
                return Err(failure);
            }
            // This fails where the whole transaction is gone, as it is on a full disk.
            answered(E::ANSWER_PATIENCE, E::execute(c, "ROLLBACK TO job")).await.map_err(|_| failure)?;
        }
        answered(E::ANSWER_PATIENCE, E::execute(c, "RELEASE job")).await?;
    }
    Ok(())
}

#[cfg(all(test, feature = "conformance"))]
mod tests {
    use sealwort_proto::log::empty;

    use super::*;
    use crate::conformance::{some_deposit, some_patient};

    #[test]
    fn an_append_that_waited_too_long_is_refused_alone() {
        let (now, hour) = (SystemTime::now(), Duration::from_hours(1));
        let mut work = Work::<()>::default();
        let mut answers = Vec::new();
        for until in [None, Some(now - hour), Some(now + hour)] {
            let patient = some_patient();
            let (reply, answer) = oneshot::channel();
            work.appends.push(Placed { until, ..Placed::from(some_deposit(patient, empty(patient), &[1])) });
            work.replies.push(reply);
            answers.push(answer);
        }
        refuse_late(&mut work);
        let left: Vec<_> = work.appends.iter().map(|append| append.until).collect();
        assert_eq!((left, work.replies.len()), (vec![None, Some(now + hour)], 2));
        assert_eq!(answers[1].try_recv(), Ok(Err(DatabaseFault::Held.into())));
    }
}
