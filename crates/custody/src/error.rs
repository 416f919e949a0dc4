//! Why custody refused, and how that is told to a gateway.

use sealwort_consent::{CompileError, EncodingError, SuccessorError};
use sealwort_net::token::WrappingError;
use sealwort_proto::error::{ErrorKind, Fault, ProtocolError, Step};
use sealwort_proto::message::Refusal;
use sealwort_store::{ObjectFault, StoreError};

/// A refusal or failure of custody.
#[derive(Debug, thiserror::Error)]
pub enum CustodyError {
    /// The registration, signature or certificate does not hold.
    #[error(transparent)]
    Protocol(#[from] ErrorKind),
    /// The directive cannot be read.
    #[error("the directive is not valid: {0}")]
    Encoding(#[from] EncodingError),
    /// The directive does not follow from the newest one.
    #[error("the directive does not follow from the newest one: {0}")]
    Successor(#[from] SuccessorError),
    /// The directive cannot be decided by.
    #[error("the directive cannot be decided by: {0}")]
    Compile(#[from] CompileError),
    /// The patient is not registered.
    #[error("no such patient is registered")]
    UnknownPatient,
    /// The patient was erased.
    #[error("the patient was erased")]
    Erased,
    /// The request names something that no directive can grant.
    #[error("{0}")]
    Request(&'static str),
    /// What is stored contradicts itself.
    #[error("{0}; restore the data folder from a backup")]
    Inconsistent(&'static str),
    /// Storage failed or found a conflict.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The token with the key-encryption key did not answer.
    #[error("the key-encryption key is not at hand: {0}")]
    Key(#[from] WrappingError),
}

impl CustodyError {
    /// What the gateway is told.
    pub fn refusal(&self, by: Fault) -> Refusal {
        match self {
            Self::Protocol(kind) => Refusal::of(by, &ProtocolError::new(Step::Consent, Fault::Gateway, kind.clone())),
            Self::Encoding(error) => Refusal::new(by, error.code(), self.to_string(), "sign a valid directive"),
            Self::Successor(error) => {
                Refusal::new(by, error.code(), self.to_string(), "fetch the newest directive and change that one")
            }
            Self::Compile(_) => Refusal::new(by, "directive-invalid", self.to_string(), "sign a valid directive"),
            Self::UnknownPatient => Refusal::new(by, "patient-unknown", self.to_string(), "register the patient first"),
            Self::Erased => erased_refusal(by),
            Self::Request(_) => Refusal::new(by, "request-invalid", self.to_string(), "correct the request"),
            Self::Inconsistent(_) => {
                Refusal::new(by, "storage-failed", "stored data is inconsistent", "the operator's log names the cause")
            }
            Self::Store(error) => store_refusal(by, error),
            // It comes back by itself, and a write may wait for it.
            Self::Key(_) => {
                Refusal::new(by, "unavailable", "the key-encryption key is not at hand", "try again in a moment")
            }
        }
    }
}

fn erased_refusal(by: Fault) -> Refusal {
    let remedy = "nothing is left to be read; a new registration of the same person begins a new record";
    Refusal::new(by, "patient-erased", "the patient was erased", remedy)
}

/// What a gateway is told of a storage failure: no paths, no internals.
pub(crate) fn store_refusal(by: Fault, error: &StoreError) -> Refusal {
    match error {
        StoreError::Conflict(reason) => {
            Refusal::new(by, "conflict", *reason, "look at what is stored, then decide anew")
        }
        StoreError::Erased => erased_refusal(by),
        StoreError::Full => Refusal::new(by, "disk-full", "the disk is full", "ask the operator to free space"),
        _ if error.is_away() => Refusal::new(by, "unavailable", "the database is away", "try again in a moment"),
        // It comes back by itself, and a write may wait for it.
        StoreError::Objects(ObjectFault::Failed { .. }) => {
            Refusal::new(by, "unavailable", "object storage does not answer", "try again in a moment")
        }
        _ => Refusal::new(by, "storage-failed", "storage failed", "the operator's log names the cause"),
    }
}
