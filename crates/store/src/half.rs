//! All wrapped halves of a party, for wrapping them anew under another key.

use async_trait::async_trait;
use sealwort_proto::{Digest, Pseudonym};

use crate::{StoreError, WrappedHalf};

/// A half that was wrapped anew.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rewrapped {
    /// The patient.
    pub patient: Pseudonym,
    /// The epoch.
    pub epoch: u64,
    /// As it is stored; one that was changed or erased meanwhile stays as it is.
    pub before: Vec<u8>,
    /// As it is to be stored.
    pub after: Vec<u8>,
}

/// Halves of all patients.
#[async_trait]
pub trait HalfStore: Send + Sync {
    /// Halves after this patient and epoch, in order, at most `most`.
    async fn all_halves(
        &self,
        after: Option<(Pseudonym, u64)>,
        most: usize,
    ) -> Result<Vec<(Pseudonym, WrappedHalf)>, StoreError>;
    /// Replaces halves by themselves, wrapped anew; all of them or none.
    async fn rewrap(&self, halves: Vec<Rewrapped>) -> Result<(), StoreError>;
    /// On return whatever was written before this call is stored, and in the embedded store nothing of what was replaced
    /// is left in its files.
    async fn settle(&self) -> Result<(), StoreError>;
    /// Says by their names which keys everything may be wrapped under, the newest first, before anything is wrapped under
    /// that one. A store with several nodes refuses it while others are connected, because they do not have the key, and
    /// where everything is wrapped under another key.
    async fn adopt(&self, keys: Vec<Digest>) -> Result<(), StoreError>;
}
