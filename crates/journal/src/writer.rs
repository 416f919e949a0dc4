//! What writes to a log for one process. It takes what has queued up, makes the entries and the checkpoint over them upon
//! the log as it stands, which others may have appended to, and commits once for all. After a failure it believes nothing that it holds in memory: the tree is opened anew from the disk and
//! held against the checkpoint that was committed with it. Only where both agree does it go on, and it tries by itself.

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use sealwort_audit::{AtRest, Checkpoint, Detail, Event, EventKind, Hashes, Note, Question, Row, Tree};
use sealwort_net::health::Readiness;
use sealwort_pki::Fingerprint;
use sealwort_store::{AuditBatch, AuditStore, KeptCheckpoint, Standing, StoreError};
use tokio::sync::{mpsc, oneshot};

use crate::error::JournalError;
use crate::voice::{Speaker, Voice};

/// Messages in one commit.
const BATCH_MAX: usize = 256;
/// Commits whose times are remembered.
const COMMITS_MAX: usize = 256;
/// How often a log that cannot be written is tried.
const RETRY_EVERY: Duration = Duration::from_secs(2);
/// How long a commit waits for callers who were just answered. They tend to come back at once; otherwise they would
/// wait for this commit and then for another one.
const GATHER: Duration = Duration::from_millis(1);
/// The part of readiness.
const PART: &str = "audit log";

/// Entries of one caller, who waits.
pub(crate) struct Waiting {
    pub(crate) events: Vec<Event>,
    pub(crate) done: oneshot::Sender<Result<(), JournalError>>,
}

/// Whether the log can be written. Clones share it.
#[derive(Clone)]
pub(crate) struct Health {
    failed: Arc<Mutex<Option<JournalError>>>,
    readiness: Readiness,
    place: Arc<Path>,
}

impl Health {
    pub(crate) fn new(readiness: Readiness, place: PathBuf) -> Self {
        Self { failed: Arc::default(), readiness, place: place.into() }
    }

    pub(crate) fn check(&self) -> Result<(), JournalError> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner).clone().map_or(Ok(()), Err)
    }

    fn tell(&self, outcome: &Result<(), JournalError>) {
        let now = outcome.as_ref().err().cloned();
        let before = std::mem::replace(&mut *self.failed.lock().unwrap_or_else(PoisonError::into_inner), now.clone());
        match &now {
            Some(error) if before.as_ref() != Some(error) => {
                let place = self.place.display();
                tracing::error!(%error, audit.folder = %place, "nothing is served until the audit log can be written");
                self.readiness.not_ready(PART, format!("{error} (audit.folder is {place})"));
            }
            None if before.is_some() => {
                tracing::info!("the audit log can be written again");
                self.readiness.ready(PART);
            }
            _ => {}
        }
    }
}

/// How long the last commits took. Clones share it.
#[derive(Clone, Default)]
pub(crate) struct Commits(Arc<Mutex<VecDeque<Duration>>>);

impl Commits {
    fn add(&self, took: Duration) {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if last.len() >= COMMITS_MAX {
            last.pop_front();
        }
        last.push_back(took);
    }

    pub(crate) fn all(&self) -> Vec<Duration> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().copied().collect()
    }
}

pub(crate) struct Writer {
    store: Arc<dyn AuditStore>,
    voice: Arc<dyn Voice>,
    at_rest: Arc<AtRest>,
    health: Health,
    commits: Commits,
    /// As this process left it on the disk, with the checkpoint; none after a failure.
    tree: Option<(Tree, KeptCheckpoint)>,
    /// How long the log was when this process wrote to it last. It never becomes shorter.
    written: u64,
    /// The certificate that was kept last.
    kept: Option<Fingerprint>,
}

impl Writer {
    /// Opens the log as it lies on the disk.
    pub(crate) async fn open(
        store: Arc<dyn AuditStore>,
        voice: Arc<dyn Voice>,
        at_rest: Arc<AtRest>,
        (health, commits): (Health, Commits),
    ) -> Result<Self, JournalError> {
        open_tree(store.as_ref()).await?;
        Ok(Self { store, voice, at_rest, health, commits, tree: None, written: 0, kept: None })
    }

    /// Writes until nobody is left who could append.
    pub(crate) async fn run(mut self, mut queue: mpsc::Receiver<Waiting>) {
        let mut waiting = Vec::with_capacity(BATCH_MAX);
        // Callers who were answered last, and those who waited already then.
        let mut expected = 1;
        loop {
            let received = queue.recv_many(&mut waiting, BATCH_MAX);
            let received = if self.health.check().is_err() {
                tokio::time::timeout(RETRY_EVERY, received).await
            } else {
                Ok(received.await)
            };
            match received {
                Ok(0) => return,
                Ok(_) => {}
                // Nobody asks while the service is not ready, so it asks itself.
                Err(_) => {
                    let resumed = Event::new(EventKind::LogResumed, self.voice.now_millis());
                    let resumed = resumed.detail(Detail::Reason, self.reason());
                    let _ = self.write(&[resumed]).await;
                    continue;
                }
            }
            let gather = async {
                while waiting.len() < expected {
                    let room = BATCH_MAX - waiting.len();
                    if queue.recv_many(&mut waiting, room).await == 0 {
                        break;
                    }
                }
            };
            // Whoever does not come back costs this time once: then fewer are expected.
            let _ = tokio::time::timeout(GATHER, gather).await;
            let (events, callers): (Vec<_>, Vec<_>) = waiting.drain(..).map(|one| (one.events, one.done)).unzip();
            let outcome = self.write(&events.concat()).await;
            expected = BATCH_MAX.min(callers.len() + queue.len());
            for caller in callers {
                // Who went away has its entry all the same.
                let _ = caller.send(outcome.clone());
            }
        }
    }

    fn reason(&self) -> String {
        self.health.check().err().map(|error| error.to_string()).unwrap_or_default()
    }

    async fn write(&mut self, events: &[Event]) -> Result<(), JournalError> {
        let outcome = self.try_to_write(events).await;
        self.health.tell(&outcome);
        outcome
    }

    /// On any way out but the good one `self.tree` is empty, and the next attempt begins with the disk.
    async fn try_to_write(&mut self, events: &[Event]) -> Result<(), JournalError> {
        let speaker = self.voice.speaker();
        let certificate = speaker.chain.fingerprint();
        if self.kept != Some(certificate) {
            crate::keep_chain(self.store.as_ref(), &speaker.chain).await?;
            self.kept = Some(certificate);
        }
        let (known, newest) = self.tree.take().unzip();
        let (events, at_rest, now) = (events.to_vec(), Arc::clone(&self.at_rest), self.voice.now_millis());
        let (sender, outcome) = oneshot::channel();
        let written = self.written;
        let make = move |standing: Option<&Standing>| {
            let tree = match (standing, known) {
                (None, Some(known)) => Ok(known),
                (None, None) => Err(JournalError::Altered("it was not read".to_owned())),
                (Some(Standing { size, .. }), _) if *size < written => {
                    Err(JournalError::Altered(format!("it has {size} entries, and had {written}")))
                }
                (Some(Standing { size, newest, hashes, .. }), _) => vouched(*size, newest.as_ref(), hashes),
            };
            match tree.and_then(|tree| batch(tree, &events, &at_rest, &speaker, now)) {
                Ok((batch, tree)) => {
                    let _ = sender.send(Ok((tree, batch.checkpoint.clone())));
                    Some(batch)
                }
                Err(error) => {
                    let _ = sender.send(Err(error));
                    None
                }
            }
        };
        let begun = Instant::now();
        self.store.append_audit_upon(newest, Box::new(make)).await?;
        self.commits.add(begun.elapsed());
        let (tree, checkpoint) = outcome.await.map_err(|_| JournalError::Closed)??;
        self.written = tree.size();
        self.tree = Some((tree, checkpoint));
        Ok(())
    }
}

/// Entries upon a tree, with the checkpoint over them all.
fn batch(
    mut tree: Tree,
    events: &[Event],
    at_rest: &AtRest,
    speaker: &Speaker,
    now: u64,
) -> Result<(AuditBatch, Tree), JournalError> {
    let rows: Result<Vec<Row>, _> = events.iter().map(|event| Row::append(&mut tree, event, at_rest)).collect();
    let rows = rows.map_err(|error| JournalError::Altered(error.to_string()))?;
    let note = Checkpoint::of(&tree, &speaker.identity, now).sign(&speaker.key);
    let note = note.map_err(|error| JournalError::Unwritable(StoreError::Io(error.to_string())))?;
    let checkpoint = KeptCheckpoint { size: tree.size(), note: note.to_string() };
    Ok((AuditBatch { rows, checkpoint }, tree))
}

/// The tree as it lies on the disk, up to its newest checkpoint: another process may append between the two questions.
/// What has no checkpoint the first append finds, which asks for all in one transaction.
async fn open_tree(store: &dyn AuditStore) -> Result<Tree, JournalError> {
    let newest = store.newest_checkpoint().await?;
    let size = newest.as_ref().map_or(0, |kept| kept.size);
    let hashes = store.audit_hashes(&Question::Root { size }.needs()).await?;
    vouched(size, newest.as_ref(), &hashes)
}

/// A tree for which its newest checkpoint vouches.
fn vouched(size: u64, newest: Option<&KeptCheckpoint>, hashes: &[(u64, Hashes)]) -> Result<Tree, JournalError> {
    let altered = |what: &str| JournalError::Altered(what.to_owned());
    let tree = Tree::open(size, hashes).map_err(|error| JournalError::Altered(error.to_string()))?;
    match newest {
        None if size == 0 => Ok(tree),
        None => Err(altered("it has entries and no checkpoint")),
        Some(kept) => {
            let checkpoint = checkpoint_of(&kept.note).ok_or_else(|| altered("its checkpoint cannot be read"))?;
            let right = (checkpoint.size, checkpoint.root) == (size, tree.root());
            if right { Ok(tree) } else { Err(altered("its entries are not those that its checkpoint was made over")) }
        }
    }
}

/// What a kept note says.
pub(crate) fn checkpoint_of(note: &str) -> Option<Checkpoint> {
    note.parse::<Note>().ok()?.text().parse().ok()
}
