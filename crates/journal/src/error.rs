//! Why the log could not be written, and how that is told.

use sealwort_proto::error::Fault;
use sealwort_proto::message::Refusal;
use sealwort_store::StoreError;

/// The log cannot be used. Nothing was served.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum JournalError {
    /// It cannot be written.
    #[error("the audit log cannot be written: {0}")]
    Unwritable(#[from] StoreError),
    /// It is not what its own checkpoint says.
    #[error(
        "the audit log was altered: {0}; it was left untouched: look at it with sealwort audit verify, and restore it from a backup"
    )]
    Altered(String),
    /// Where evidence is kept cannot be used.
    #[error("the folder {0}; mend it, or set audit.folder to another one")]
    Evidence(String),
    /// The service is stopping.
    #[error("the audit log is closed; the service is stopping")]
    Closed,
}

impl JournalError {
    /// The stable code.
    pub const fn code(&self) -> &'static str {
        if self.is_away() { "unavailable" } else { "audit-unavailable" }
    }

    /// Whether the log's database is away for a moment.
    const fn is_away(&self) -> bool {
        matches!(self, Self::Unwritable(error) if error.is_away())
    }

    /// Whether the disk is full, which whoever runs the service can mend.
    pub const fn is_full(&self) -> bool {
        matches!(self, Self::Unwritable(StoreError::Full))
    }

    /// What a peer is told: no paths, no internals.
    pub const fn text(&self) -> &'static str {
        match self {
            Self::Unwritable(StoreError::Full) => "the audit log's disk is full, and nothing is served without the log",
            _ => "the audit log cannot be written, and nothing is served without it",
        }
    }

    /// What to do about it.
    pub const fn remedy(&self) -> &'static str {
        match self {
            Self::Unwritable(StoreError::Full) => {
                "ask the operator to free space where audit.folder lies; the service then goes on by itself"
            }
            Self::Closed => "try again in a moment",
            _ if self.is_away() => "try again in a moment; the service's log and /readyz name the cause",
            _ => "ask the operator: the service's log and /readyz name the cause",
        }
    }

    /// The same as a refusal.
    pub fn refusal(&self, by: Fault) -> Refusal {
        Refusal::new(by, self.code(), self.text(), self.remedy())
    }
}
