//! A back end in memory for tests: every rule of the traits, no thread, no file. What was committed outlives the
//! future that wrote it, as a disk outlives a process; a write whose future is dropped before its commit leaves
//! nothing. Iteration is ordered everywhere, so that the same calls give the same answers.

mod audit;
mod emergency;
mod gateway;
mod log;
mod patient;
mod witness;

use std::collections::BTreeMap;
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sealwort_proto::receipt::Witness;
use sealwort_proto::{DepositId, Digest, EmergencyId, Locator, Pseudonym};

use crate::{ChangeStore, NewEmergency, OutboxItem, Patient, RosterKind, StoredEntry, Tombstone, WrappedHalf};

/// Something to wait for at each side of a commit.
pub type Pause = Pin<Box<dyn Future<Output = ()> + Send>>;

/// What one party keeps. Clones share it: a party that starts again finds what it left.
#[derive(Clone, Default)]
pub struct MemoryStore {
    content: Arc<Mutex<Content>>,
    pause: Option<Arc<dyn Fn() -> Pause + Send + Sync>>,
}

#[derive(Default)]
struct Content {
    patients: BTreeMap<Pseudonym, Registration>,
    locators: BTreeMap<Locator, Pseudonym>,
    logs: BTreeMap<Pseudonym, Log>,
    erased: BTreeMap<Pseudonym, Tombstone>,
    authors: BTreeMap<Digest, Vec<u8>>,
    witnesses: BTreeMap<Pseudonym, BTreeMap<u64, Digest>>,
    emergencies: BTreeMap<EmergencyId, NewEmergency>,
    roster: BTreeMap<(u8, [u8; 32]), Vec<u8>>,
    outbox: Vec<OutboxItem>,
    last_position: u64,
    audit: audit::Audit,
}

struct Registration {
    patient: Patient,
    halves: Vec<WrappedHalf>,
}

#[derive(Default)]
struct Log {
    entries: Vec<(Digest, StoredEntry)>,
    deposits: BTreeMap<DepositId, Witness>,
}

impl ChangeStore for MemoryStore {}

impl MemoryStore {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// Waits before and after every commit, as for a disk: in between, its caller may be gone.
    #[must_use]
    pub fn pausing(mut self, pause: impl Fn() -> Pause + Send + Sync + 'static) -> Self {
        self.pause = Some(Arc::new(pause));
        self
    }

    /// All patients registered.
    pub fn patients(&self) -> Vec<Pseudonym> {
        self.content().patients.keys().copied().collect()
    }

    /// The whole log of a patient with each entry's hash, without waiting.
    pub fn entries(&self, patient: Pseudonym) -> Vec<(Digest, StoredEntry)> {
        self.content().logs.get(&patient).map(|log| log.entries.clone()).unwrap_or_default()
    }

    /// The newest witnessed heads, without waiting.
    pub fn witnesses(&self) -> Vec<(Pseudonym, Witness)> {
        let content = self.content();
        content.witnesses.iter().filter_map(|(patient, heads)| Some((*patient, witness::newest(heads)?))).collect()
    }

    /// The newest directive's version of each patient, without waiting.
    pub fn directive_versions(&self) -> Vec<(Pseudonym, u64)> {
        self.content().patients.iter().map(|(patient, kept)| (*patient, kept.patient.version)).collect()
    }

    /// How many writes wait in the outbox, without waiting.
    pub fn outbox_len(&self) -> usize {
        self.content().outbox.len()
    }

    fn content(&self) -> MutexGuard<'_, Content> {
        self.content.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One transaction.
    async fn commit<T>(&self, write: impl FnOnce(&mut Content) -> T + Send) -> T {
        self.wait().await;
        let outcome = write(&mut self.content());
        self.wait().await;
        outcome
    }

    async fn wait(&self) {
        if let Some(pause) = &self.pause {
            pause().await;
        }
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("MemoryStore").finish_non_exhaustive()
    }
}

const fn kind_number(kind: RosterKind) -> u8 {
    match kind {
        RosterKind::Locator => 1,
        RosterKind::Resource => 2,
        RosterKind::Pseudonym => 3,
        RosterKind::Person => 4,
        RosterKind::Device => 5,
        RosterKind::Refused => 6,
        RosterKind::Consents => 7,
        RosterKind::Emergency => 8,
        RosterKind::EmergencyReport => 9,
        RosterKind::EmergencyNotice => 10,
        RosterKind::Erased => 11,
        RosterKind::Delegation => 20,
        RosterKind::Passkey => 21,
        RosterKind::PasskeyInvitation => 22,
        RosterKind::Merge => 30,
        RosterKind::Subscription => 40,
        RosterKind::Browser => 41,
        RosterKind::PushMessage => 42,
        RosterKind::Question => 50,
    }
}
