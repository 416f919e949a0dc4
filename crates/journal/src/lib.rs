//! A party's audit log, running. An operation appends what it is about to answer and waits until that is on disk; many
//! wait for one commit. While the log cannot be written, nothing is answered. Parties show each other their checkpoints
//! and cosign what continues what they saw before, over the connections that they have anyway.
//!
//! What an entry says and how the tree is computed is `sealwort-audit`'s, where it is kept is `store`'s.

mod about;
mod doubts;
mod error;
mod peers;
mod routes;
mod voice;
mod whole;
mod witness;
mod writer;

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use sealwort_audit::{AtRest, Chains, Event, EventKind, Passed, Question};
use sealwort_net::health::Readiness;
use sealwort_net::metrics::labels::Work;
use sealwort_net::observe;
use sealwort_pki::CertificateChain;
use sealwort_proto::Digest;
use sealwort_proto::codec::{Blob, from_bytes, to_bytes};
use sealwort_proto::message::HANDSHAKE_BYTES_MAX;
use sealwort_proto::peers::{chain_from_wire, chain_to_wire};
use sealwort_store::{AuditStore, KeptCheckpoint};
use tokio::sync::{mpsc, oneshot};

pub use about::export_of;
pub use doubts::Doubt;
pub use error::JournalError;
pub use peers::{Peer, spawn_cosigning};
pub use routes::{ADD_CHECKPOINT_PATH, CHECKPOINT_PATH, COSIGNATURE_PATH, routes};
pub use voice::{Speaker, Voice};
pub use whole::{Cosigned, WITNESSES_MIN, WholeError, WholeLog, chains_of, own_checkpoint};
pub use witness::CosignError;

use doubts::Doubts;
use writer::{Commits, Health, Waiting, Writer};

/// Folder, in the data folder, of what shows that another party's log was rewritten.
pub const EVIDENCE_FOLDER: &str = "audit-evidence";
/// How many times as seldom as with a neighbour checkpoints are exchanged with the certificate authority: it keeps those of
/// everybody.
pub const AUTHORITY_SELDOM: u32 = 6;
/// Entries that may wait; further callers wait before the queue.
const QUEUE_MAX: usize = 1024;

/// One party's log. Clones share it.
#[derive(Clone)]
pub struct Journal(Arc<Shared>);

impl std::fmt::Debug for Journal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Journal")
    }
}

pub(crate) struct Shared {
    queue: mpsc::Sender<Waiting>,
    store: Arc<dyn AuditStore>,
    voice: Arc<dyn Voice>,
    at_rest: Arc<AtRest>,
    health: Health,
    commits: Commits,
    doubts: Doubts,
    /// The certificates behind the checkpoints that were shown last.
    behind: Mutex<Chains>,
}

/// How a log is opened.
pub struct Opening {
    /// Where its entries are kept.
    pub store: Arc<dyn AuditStore>,
    /// Folder of the log, for whoever has to make room there.
    pub place: PathBuf,
    /// Who speaks in it.
    pub voice: Arc<dyn Voice>,
    /// How entries lie on the disk.
    pub at_rest: AtRest,
    /// Folder for what shows that another party's log was rewritten; none keeps it in memory alone.
    pub evidence: Option<PathBuf>,
    /// Told when the log cannot be written, and when it can again.
    pub readiness: Readiness,
}

impl Journal {
    /// Opens a log, holds it against its own newest checkpoint, and appends that the service started. Needs a runtime.
    pub async fn open(opening: Opening) -> Result<Self, JournalError> {
        let Opening { store, place, voice, at_rest, evidence, readiness } = opening;
        let doubts = Doubts::open(evidence, readiness.clone())?;
        let health = Health::new(readiness, place);
        let (queue, waiting) = mpsc::channel(QUEUE_MAX);
        let at_rest = Arc::new(at_rest);
        let commits = Commits::default();
        let ways = (health.clone(), commits.clone());
        let writer = Writer::open(Arc::clone(&store), Arc::clone(&voice), Arc::clone(&at_rest), ways).await?;
        tokio::spawn(writer.run(waiting));
        let journal =
            Self(Arc::new(Shared { queue, store, voice, at_rest, health, commits, doubts, behind: Mutex::default() }));
        journal.append(journal.event(EventKind::ServiceStarted)).await?;
        Ok(journal)
    }

    /// An event of this kind, now.
    pub fn event(&self, kind: EventKind) -> Event {
        Event::new(kind, self.0.voice.now_millis())
    }

    /// Appends, and returns when the entry is on disk.
    pub async fn append(&self, event: Event) -> Result<(), JournalError> {
        self.append_all(vec![event]).await
    }

    /// Appends several, in order and in one commit.
    pub async fn append_all(&self, events: Vec<Event>) -> Result<(), JournalError> {
        if events.is_empty() {
            return self.check();
        }
        let (done, outcome) = oneshot::channel();
        let written = async {
            self.0.queue.send(Waiting { events, done }).await.map_err(|_| JournalError::Closed)?;
            outcome.await.map_err(|_| JournalError::Closed)?
        };
        observe::stored(Work::Entry, |_| true, written).await
    }

    /// Whether the log can be written, as far as is known: asked before anything is changed for somebody.
    pub fn check(&self) -> Result<(), JournalError> {
        self.0.health.check()
    }

    /// Appends without anybody waiting for it, where nothing leaves.
    pub fn note(&self, event: Event) {
        let journal = self.clone();
        tokio::spawn(observe::follow(async move {
            if let Err(error) = journal.append(event).await {
                tracing::error!(%error, "an entry could not be kept");
            }
        }));
    }

    /// Appends that the service stops.
    pub async fn close(&self) {
        if let Err(error) = self.append(self.event(EventKind::ServiceStopped)).await {
            tracing::error!(%error, "the end of the service could not be kept");
        }
    }

    /// Other parties' logs that are not what they were.
    pub fn doubts(&self) -> Vec<Doubt> {
        self.0.doubts.all()
    }

    /// How long the last commits took, the newest last.
    pub fn commits(&self) -> Vec<Duration> {
        self.0.commits.all()
    }

    /// Walks the whole log; see [`WholeLog`].
    pub async fn verify(&self) -> Result<Passed, WholeError> {
        let (speaker, trust) = (self.0.voice.speaker(), self.0.voice.trust());
        let (store, at_rest) = (self.0.store.as_ref(), self.0.at_rest.as_ref());
        WholeLog { store, at_rest, identity: &speaker.identity, trust: &trust }.verify(&[]).await
    }

    /// The store that it is kept in.
    pub fn store(&self) -> &dyn AuditStore {
        self.0.store.as_ref()
    }

    /// The newest own checkpoint.
    pub async fn newest_checkpoint(&self) -> Result<Option<KeptCheckpoint>, JournalError> {
        Ok(self.0.store.newest_checkpoint().await?)
    }

    /// The answer to a question about the tree, from stored hashes.
    pub async fn answer(&self, question: Question) -> Result<Vec<Digest>, JournalError> {
        let found = self.0.store.audit_hashes(&question.needs()).await?;
        question.answer(&found).map_err(|error| JournalError::Altered(error.to_string()))
    }

    /// Keeps the certificates behind a signature, for whoever verifies it later.
    pub(crate) async fn keep_chain(&self, chain: &CertificateChain) -> Result<(), JournalError> {
        keep_chain(self.0.store.as_ref(), chain).await
    }
}

pub(crate) async fn keep_chain(store: &dyn AuditStore, chain: &CertificateChain) -> Result<(), JournalError> {
    let name = Digest::new(*chain.fingerprint().as_bytes());
    Ok(store.put_audit_chain(name, chain_bytes(chain)).await?)
}

pub(crate) fn chain_bytes(chain: &CertificateChain) -> Vec<u8> {
    to_bytes(&chain_to_wire(chain))
}

/// A certificate chain as it is kept; none where it cannot be read.
pub fn read_chain(bytes: &[u8]) -> Option<CertificateChain> {
    chain_from_wire(&from_bytes::<Vec<Blob>>(bytes, HANDSHAKE_BYTES_MAX).ok()?).ok()
}
