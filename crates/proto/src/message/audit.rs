//! What broker and archive tell of their audit logs to a patient's consent authority (`spec/protocol.md`, section 7.9).
//! What an entry says is none of the protocol's: `spec/audit.md`.

use minicbor::{Decode, Encode};

use crate::codec::Blob;
use crate::id::Digest;

/// Most entries of a page.
pub const LOG_PAGE_ENTRIES_MAX: usize = 8192;
/// Bytes of entries after which a page ends.
pub const LOG_PAGE_BYTES_AIM: usize = 4 * 1024 * 1024;

/// A page of one patient's entries in a party's audit log.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct LogPage {
    /// Entries of the whole log that the proof is about.
    #[n(0)]
    pub size: u64,
    /// Where to go on, where this is not all.
    #[n(1)]
    pub next: Option<u64>,
    /// Who vouches for the log of this size; with the first page alone.
    #[n(2)]
    pub head: Option<LogHead>,
    /// The entries, in order of their numbers.
    #[n(3)]
    pub entries: Vec<LogEntry>,
    /// That all of them are in the log.
    #[n(4)]
    pub proof: Vec<Digest>,
}

/// An entry of a log.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct LogEntry {
    /// Its place in the log.
    #[n(0)]
    pub number: u64,
    /// Its bytes.
    #[n(1)]
    pub leaf: Blob,
}

/// A log's checkpoint and what vouches for it.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct LogHead {
    /// Signed by the log's own party.
    #[n(0)]
    pub checkpoint: String,
    /// The newest one that others have cosigned; empty for none.
    #[n(1)]
    pub cosigned: String,
    /// That the one continues the other.
    #[n(2)]
    pub consistency: Vec<Digest>,
    /// The certificates behind the signatures.
    #[n(3)]
    pub chains: Vec<Vec<Blob>>,
}
