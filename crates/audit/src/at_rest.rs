//! How entries lie on the disk: in the clear at broker, archive and authority, which know no more than pseudonyms;
//! sealed at a gateway, under a key of the log's own, which the gateway keeps wrapped.

use sealwort_proto::crypto::{self, KeyEncryptionKey, Prk, Secret};
use sealwort_proto::{Digest, Pseudonym};

/// The stored bytes do not open under this key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the stored entry does not open under the log's key: it was altered, or the key is another")]
pub struct AtRestError;

/// Clear or sealed.
pub enum AtRest {
    /// As it is.
    Clear,
    /// Sealed, and found by keyed hashes.
    Sealed(Box<Keys>),
}

/// The two keys that the log's key gives.
pub struct Keys {
    seal: KeyEncryptionKey,
    index: Secret,
}

impl AtRest {
    /// Sealed under the log's key.
    pub fn sealed(key: &Secret) -> Self {
        let prk = Prk::from_secret(key);
        let seal = KeyEncryptionKey::new(prk.expand("sealwort audit seal v1", &[]));
        Self::Sealed(Box::new(Keys { seal, index: prk.expand("sealwort audit index v1", &[]) }))
    }

    /// A leaf's bytes as they are stored.
    pub fn keep(&self, leaf: Vec<u8>) -> Vec<u8> {
        match self {
            Self::Clear => leaf,
            Self::Sealed(keys) => keys.seal.wrap(&[CONTEXT], &leaf),
        }
    }

    /// A leaf's bytes as they were.
    pub fn open(&self, stored: &[u8]) -> Result<Vec<u8>, AtRestError> {
        match self {
            Self::Clear => Ok(stored.to_vec()),
            Self::Sealed(keys) => {
                keys.seal.unwrap(&[CONTEXT], stored).map(|leaf| leaf.to_vec()).map_err(|_| AtRestError)
            }
        }
    }

    /// What a patient's entries are found by: the pseudonym itself where entries lie in the clear.
    pub fn patient(&self, patient: Pseudonym) -> Digest {
        match self {
            Self::Clear => Digest::new(*patient.as_bytes()),
            Self::Sealed(keys) => {
                Digest::new(crypto::mac(&keys.index, "sealwort audit patient v1", &[patient.as_bytes()]))
            }
        }
    }

    /// What a user's entries are found by: a hash.
    pub fn user(&self, user: &str) -> Digest {
        match self {
            Self::Clear => crypto::hash("sealwort audit user v1", user.as_bytes()),
            Self::Sealed(keys) => Digest::new(crypto::mac(&keys.index, "sealwort audit user v1", &[user.as_bytes()])),
        }
    }
}

const CONTEXT: &[u8] = b"sealwort audit entry v1";
