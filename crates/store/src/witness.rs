//! What the broker keeps of each log: every head that the archive gave a receipt for. The newest only moves forward;
//! the others stay, so that no later head can come from a branch that left one of them out.

use async_trait::async_trait;
use sealwort_proto::Pseudonym;
use sealwort_proto::receipt::Witness;

use crate::StoreError;

/// What became of a receipt's head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Advance {
    /// It is the newest now.
    Moved,
    /// It was known, or lies behind the newest and is kept beside it.
    Known,
    /// It contradicts a head that is kept: the same sequence number with another hash. It is not kept.
    Fork(Witness),
}

/// Witnessed heads.
#[async_trait]
pub trait WitnessStore: Send + Sync {
    /// Takes a head.
    async fn advance(&self, patient: Pseudonym, head: Witness) -> Result<Advance, StoreError>;
    /// The newest head of a patient's log.
    async fn witness(&self, patient: Pseudonym) -> Result<Option<Witness>, StoreError>;
    /// The heads above a sequence number, ascending, at most `most`.
    async fn heads(&self, patient: Pseudonym, after: u64, most: usize) -> Result<Vec<Witness>, StoreError>;
}
