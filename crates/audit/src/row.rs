//! An entry as it is kept: the leaf's bytes, clear or sealed, the hashes of the tree that it completed, and what the
//! store finds it by.

use sealwort_proto::Digest;

use crate::at_rest::AtRest;
use crate::event::Event;
use crate::tree::{Hashes, Tree, TreeError, leaf_hash};

/// What the store finds an entry by. Where entries are sealed, patient and user are keyed hashes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Index {
    /// Unix milliseconds.
    pub time: u64,
    /// Number of the kind.
    pub kind: u16,
    /// Number of the outcome.
    pub outcome: u8,
    /// The patient, see [`AtRest::patient`].
    pub patient: Option<Digest>,
    /// The user, see [`AtRest::user`].
    pub user: Option<Digest>,
}

/// An entry as it is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Place in the log, from 0.
    pub number: u64,
    /// The leaf's bytes, clear or sealed.
    pub stored: Vec<u8>,
    /// The hash of the leaf and of every larger subtree that it completed (RFC 6962, 2.1), 32 bytes each, from the leaf
    /// upwards.
    pub hashes: Hashes,
    /// What it is found by.
    pub index: Index,
}

impl Row {
    /// Makes the next entry of a log, which `tree` then has taken in.
    pub fn append(tree: &mut Tree, event: &Event, at_rest: &AtRest) -> Result<Self, TreeError> {
        let leaf = event.to_bytes();
        let number = tree.size();
        let hashes = tree.append(leaf_hash(&leaf))?;
        Ok(Self { number, stored: at_rest.keep(leaf), hashes, index: Index::of(event, at_rest) })
    }
}

impl Index {
    /// What this event is found by.
    pub fn of(event: &Event, at_rest: &AtRest) -> Self {
        Self {
            time: event.time,
            kind: event.kind.number(),
            outcome: event.outcome.number(),
            patient: event.patient.map(|patient| at_rest.patient(patient)),
            user: event.user.as_ref().map(|user| at_rest.user(user.as_str())),
        }
    }
}
