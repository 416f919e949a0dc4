//! The conformance suite: what every back end must do, one function per trait, and one for what must outlive
//! closing. Each takes an open store, works on random patients, and so may run beside anything else. A violation
//! panics and says which rule was broken. This is a test kit; it is built with the feature `conformance` only.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test kit: a panic is how a test fails"
)]

mod audit;
mod emergency;
mod gateway;
mod log;
mod patient;
mod reopen;
mod witness;

use sealwort_proto::receipt::Witness;
use sealwort_proto::{DepositId, Digest, LabelTag, Locator, Pseudonym, crypto};

use crate::{Append, NewEntry, StoreError, StoredEntry};

pub use audit::audit_store;
pub use emergency::emergency_store;
pub use gateway::gateway_store;
pub use log::log_store;
pub use patient::patient_store;
pub use reopen::{gateway_survives_reopening, survives_reopening};
pub use witness::witness_store;

/// A patient that no store has seen.
pub fn some_patient() -> Pseudonym {
    Pseudonym::new(crypto::random())
}

fn some_locator() -> Locator {
    Locator::new(crypto::random())
}

fn some_digest() -> Digest {
    Digest::new(crypto::random())
}

/// A deposit of entries with ciphertexts of these sizes in bytes, which follows `after`. Contents are random, so that
/// a mix-up shows.
pub fn some_deposit(patient: Pseudonym, after: Witness, sizes: &[usize]) -> Append {
    let entries = (after.sequence + 1..)
        .zip(sizes)
        .map(|(sequence, size)| NewEntry {
            sequence,
            hash: some_digest(),
            tag: LabelTag::new(crypto::random()),
            author_key: some_digest(),
            envelope: some_bytes(100),
            ciphertext: some_bytes(*size),
        })
        .collect();
    Append { patient, deposit: DepositId::random(), after, entries }
}

/// Random bytes; long runs repeat a random block.
fn some_bytes(count: usize) -> Vec<u8> {
    let block: [u8; 61] = crypto::random();
    block.into_iter().cycle().take(count).collect()
}

/// The head after a deposit.
pub fn head_after(append: &Append) -> Witness {
    let last = append.entries.last().unwrap();
    Witness { sequence: last.sequence, head: last.hash }
}

/// How entries of a deposit are read back.
pub fn as_stored(entries: &[NewEntry]) -> Vec<StoredEntry> {
    let stored = |entry: &NewEntry| StoredEntry {
        sequence: entry.sequence,
        tag: entry.tag,
        author_key: entry.author_key,
        envelope: entry.envelope.clone(),
        ciphertext: entry.ciphertext.clone(),
    };
    entries.iter().map(stored).collect()
}

#[track_caller]
fn expect_conflict<T: std::fmt::Debug>(outcome: &Result<T, StoreError>, rule: &str) {
    assert!(matches!(outcome, Err(StoreError::Conflict(_))), "{rule}: expected a conflict, got {outcome:?}");
}
