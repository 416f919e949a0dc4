//! The protocol between gateway (LHC), broker (HTSC) and archive (HIMC): the nine steps of mutual
//! authentication, the seven of transmission, the channels that they open, and the sealed records,
//! tokens, registrations and receipts that travel through them.
//!
//! Everything here is sans-IO: functions take bytes and the time, and give back bytes and typed
//! facts. There is no socket, file, clock or database. Randomness comes from the cryptographic
//! library; for tests and vectors the feature `testing` draws it from a seed.
//!
//! Read `handshake` for the paper's section 3.2.1 and `transmission` for 3.2.2.

pub mod channel;
pub mod codec;
pub mod crypto;
pub mod erasure;
pub mod error;
pub mod frame;
pub mod halves;
pub mod handshake;
pub mod holdings;
pub mod id;
pub mod log;
pub mod log_request;
pub mod message;
#[cfg(any(test, feature = "testing"))]
pub mod observe;
pub mod operations;
pub mod peers;
pub mod policy;
pub mod receipt;
pub mod record;
pub mod registration;
pub mod statement;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod token;
pub mod transmission;
pub mod web_push;

pub use error::{ErrorKind, Fault, ProtocolError, Step};
pub use id::{DepositId, Digest, EmergencyId, EntryId, LabelTag, Locator, Nonce, Pseudonym, SessionId, TokenId};

/// Version of every message. A peer that sends another is refused, never negotiated with.
pub const VERSION: u8 = 1;

/// The one suite: X-Wing (X25519 + ML-KEM-768), HKDF-SHA-256, AES-256-GCM, SHA-256 transcripts.
pub const SUITE: u16 = 1;
