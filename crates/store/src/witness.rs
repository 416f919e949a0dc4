//! What the broker keeps of each log: the newest head that the archive gave a receipt for. It only moves forward.

use async_trait::async_trait;
use sealwort_proto::Pseudonym;
use sealwort_proto::receipt::Witness;

use crate::StoreError;

/// What became of a receipt's head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Advance {
    /// It is the witness now.
    Moved,
    /// It was the witness, or lies behind it.
    Known,
    /// It contradicts the witness: the same sequence number with another hash.
    Fork(Witness),
}

/// Witnessed heads.
#[async_trait]
pub trait WitnessStore: Send + Sync {
    /// Takes a head forward.
    async fn advance(&self, patient: Pseudonym, head: Witness) -> Result<Advance, StoreError>;
    /// The newest head of a patient's log.
    async fn witness(&self, patient: Pseudonym) -> Result<Option<Witness>, StoreError>;
}
