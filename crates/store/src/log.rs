//! What the archive keeps: per patient an append-only log of sealed entries, and the authors' certificates.

use async_trait::async_trait;
use sealwort_proto::receipt::Witness;
use sealwort_proto::{DepositId, Digest, LabelTag, Pseudonym};

use crate::StoreError;

/// An entry to be appended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewEntry {
    /// Place in the patient's log, from 1.
    pub sequence: u64,
    /// The entry's hash.
    pub hash: Digest,
    /// The label, blinded.
    pub tag: LabelTag,
    /// Name of the author's key.
    pub author_key: Digest,
    /// The signed envelope.
    pub envelope: Vec<u8>,
    /// The ciphertext.
    pub ciphertext: Vec<u8>,
}

/// A deposit: entries that become visible together or not at all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Append {
    /// The patient.
    pub patient: Pseudonym,
    /// The deposit's id; a repeated one is answered and not stored twice.
    pub deposit: DepositId,
    /// The head that the writer saw.
    pub after: Witness,
    /// At least one entry, in order.
    pub entries: Vec<NewEntry>,
}

/// How an append ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Appended {
    /// Stored now; the head of the log after it.
    Stored(Witness),
    /// The deposit was stored before; the head right after it.
    Known(Witness),
    /// Another entry came first; the head now.
    Conflict(Witness),
    /// The patient was erased.
    Erased,
}

/// An entry as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredEntry {
    /// Place in the patient's log.
    pub sequence: u64,
    /// The label, blinded.
    pub tag: LabelTag,
    /// Name of the author's key.
    pub author_key: Digest,
    /// The signed envelope.
    pub envelope: Vec<u8>,
    /// The ciphertext.
    pub ciphertext: Vec<u8>,
}

/// Logs of sealed entries.
#[async_trait]
pub trait LogStore: Send + Sync {
    /// Appends a deposit on condition of the head that its writer saw.
    async fn append(&self, append: Append) -> Result<Appended, StoreError>;
    /// The head of a log; `None` for a log without entries.
    async fn head(&self, patient: Pseudonym) -> Result<Option<Witness>, StoreError>;
    /// Entries after a sequence number, in order: at most `entries_max`, and at most `bytes_max` bytes of envelopes
    /// and ciphertexts, except that the first entry always comes.
    async fn read(
        &self,
        patient: Pseudonym,
        after: u64,
        entries_max: usize,
        bytes_max: usize,
    ) -> Result<Vec<StoredEntry>, StoreError>;
    /// Remembers an author's certificate chain under its key's name.
    async fn put_author(&self, key: Digest, chain: Vec<u8>) -> Result<(), StoreError>;
    /// An author's certificate chain.
    async fn author(&self, key: Digest) -> Result<Option<Vec<u8>>, StoreError>;
}
