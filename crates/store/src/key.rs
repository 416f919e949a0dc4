//! What a transaction wants to have to itself where several processes write to one database. It takes the locks of all
//! its keys before it reads anything, in one order, so that what it judges by is what the others left, and no two wait
//! for each other. The embedded store has one writer and takes none.

use sealwort_proto::{Digest, Locator, Pseudonym};

/// One lock, by two numbers. Keys that are alike by chance cost somebody a wait and nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    pub(crate) kind: i32,
    pub(crate) number: i32,
}

impl Key {
    /// All of them: there are few, and one may be about any patient.
    pub(crate) const EMERGENCIES: Self = Self { kind: 0, number: 0 };

    pub(crate) fn patient(patient: Pseudonym) -> Self {
        Self { kind: 1, number: number(patient.as_bytes()) }
    }

    pub(crate) fn locator(locator: Locator) -> Self {
        Self { kind: 2, number: number(locator.as_bytes()) }
    }

    pub(crate) fn author(key: Digest) -> Self {
        Self { kind: 3, number: number(key.as_bytes()) }
    }
}

/// All of these are hashes, so that their first bytes spread as well as any.
fn number(hash: &[u8]) -> i32 {
    hash.first_chunk().map_or(0, |first| i32::from_be_bytes(*first))
}
