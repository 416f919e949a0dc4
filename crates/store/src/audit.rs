//! A party's audit log, in a file of its own: entries as kept, checkpoints, the certificates behind them, and what the
//! party has cosigned of others' logs. The tree's mathematics is `sealwort-audit`'s; nothing here knows what an entry
//! says.

use async_trait::async_trait;
use sealwort_audit::{Hashes, Row};
use sealwort_proto::Digest;

use crate::StoreError;

/// Entries that are appended together with the checkpoint over them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditBatch {
    /// At least one entry, in order.
    pub rows: Vec<Row>,
    /// The log's own checkpoint after them: its size and the signed note.
    pub checkpoint: KeptCheckpoint,
}

/// A checkpoint as kept: the size, and the note.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptCheckpoint {
    /// How many entries it covers.
    pub size: u64,
    /// The signed note.
    pub note: String,
}

/// How an append ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AuditAppended {
    /// Stored.
    Stored,
    /// Another process appended first, as `sealwort audit` does beside a running service; the log has this size now.
    /// Open the tree anew, make the rows again, and repeat.
    Behind {
        /// Entries in the log.
        size: u64,
    },
}

/// Makes what is appended of the log as it stands; none where nothing is to be appended. It is given nothing where its
/// caller knows the log.
pub type AppendUpon = Box<dyn FnOnce(Option<&Standing>) -> Option<AuditBatch> + Send>;

/// Makes of a checkpoint with cosignatures, as it is kept, the one that is kept from now on; none leaves it as it is.
pub type Cosign = Box<dyn FnOnce(Option<&KeptCheckpoint>) -> Option<KeptCheckpoint> + Send>;

/// A log as it stands while one process appends to it.
pub struct Standing {
    /// Entries.
    pub size: u64,
    /// The newest own checkpoint.
    pub newest: Option<KeptCheckpoint>,
    /// The hashes from which the tree is opened.
    pub hashes: Vec<(u64, Hashes)>,
    /// Certificates behind signatures, for who asked with [`crate::AuditLog::append_upon`].
    pub chains: Vec<Vec<u8>>,
}

/// Which entries: all conditions hold together.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct AuditQuery {
    /// Numbers from this one on.
    pub from: u64,
    /// Numbers below this one.
    pub below: Option<u64>,
    /// Unix milliseconds from this on.
    pub since: Option<u64>,
    /// Unix milliseconds before this.
    pub before: Option<u64>,
    /// Number of the kind.
    pub kind: Option<u16>,
    /// Number of the outcome.
    pub outcome: Option<u8>,
    /// The patient, as [`sealwort_audit::Index`] has it.
    pub patient: Option<Digest>,
    /// The user, as [`sealwort_audit::Index`] has it.
    pub user: Option<Digest>,
}

/// The audit log.
#[async_trait]
pub trait AuditStore: Send + Sync {
    /// Appends, on condition that the log holds just the entries before.
    async fn append_audit(&self, batch: AuditBatch) -> Result<AuditAppended, StoreError>;
    /// Appends what `make` makes of the log as it stands; nobody comes in between, however many processes append. What the
    /// caller needs of the log is read only where `known`, the checkpoint of its own last entries, is not the newest one.
    async fn append_audit_upon(&self, known: Option<KeptCheckpoint>, make: AppendUpon) -> Result<(), StoreError>;
    /// How many entries there are.
    async fn audit_size(&self) -> Result<u64, StoreError>;
    /// Entries that meet the conditions, in order, at most `most`.
    async fn audit_rows(&self, query: AuditQuery, most: usize) -> Result<Vec<Row>, StoreError>;
    /// The hashes kept with these entries, ascending, for [`sealwort_audit::Question`] and [`sealwort_audit::Batch`]; what
    /// is not there is left out.
    async fn audit_hashes(&self, numbers: &[u64]) -> Result<Vec<(u64, Hashes)>, StoreError>;
    /// The newest own checkpoint.
    async fn newest_checkpoint(&self) -> Result<Option<KeptCheckpoint>, StoreError>;
    /// Keeps what `make` makes of the own checkpoint of this size with the cosignatures that it has got; nobody comes in
    /// between.
    async fn put_cosigned(&self, size: u64, make: Cosign) -> Result<(), StoreError>;
    /// Own checkpoints with cosignatures, from this size on, ascending.
    async fn cosigned(&self, from: u64, most: usize) -> Result<Vec<KeptCheckpoint>, StoreError>;
    /// The newest own checkpoint with cosignatures that covers at most so many entries.
    async fn newest_cosigned(&self, size: u64) -> Result<Option<KeptCheckpoint>, StoreError>;
    /// Remembers another party's checkpoint before it is cosigned, in place of the one of size `after` (0: none).
    /// Two requests that race thus never both succeed. `false` where another one is remembered. All are kept.
    async fn remember_checkpoint(
        &self,
        origin: &str,
        after: u64,
        checkpoint: KeptCheckpoint,
    ) -> Result<bool, StoreError>;
    /// Checkpoints remembered of another party's log, from this size on, ascending.
    async fn remembered(&self, origin: &str, from: u64, most: usize) -> Result<Vec<KeptCheckpoint>, StoreError>;
    /// The newest checkpoint remembered of another party's log.
    async fn newest_remembered(&self, origin: &str) -> Result<Option<KeptCheckpoint>, StoreError>;
    /// Whose checkpoints are remembered.
    async fn origins(&self) -> Result<Vec<String>, StoreError>;
    /// Keeps a certificate chain by its name (`statement::key_id` of the key would name a key that is certified anew).
    async fn put_audit_chain(&self, certificate: Digest, chain: Vec<u8>) -> Result<(), StoreError>;
    /// How many certificate chains are kept. None is taken away, so that the number tells whether there are new ones.
    async fn audit_chain_count(&self) -> Result<u64, StoreError>;
    /// All certificate chains.
    async fn audit_chains(&self) -> Result<Vec<Vec<u8>>, StoreError>;
}

/// What every back end asks of a batch.
pub(crate) fn check(batch: &AuditBatch) -> Result<u64, StoreError> {
    let first = batch.rows.first().ok_or(StoreError::Conflict("nothing to append"))?.number;
    let gapless = (first..).zip(&batch.rows).all(|(number, row)| row.number == number);
    let end = first.checked_add(batch.rows.len() as u64);
    if !gapless || end != Some(batch.checkpoint.size) {
        return Err(StoreError::Conflict("the entries do not follow each other up to the checkpoint"));
    }
    Ok(first)
}
