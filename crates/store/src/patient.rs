//! What broker and archive both keep of a patient: the registration, the newest directive, and one wrapped
//! half per epoch.

use async_trait::async_trait;
use sealwort_proto::erasure::Destroyed;
use sealwort_proto::{Locator, Pseudonym};

use crate::StoreError;

/// A half, wrapped under the party's key-encryption key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WrappedHalf {
    /// The epoch, from 1.
    pub epoch: u64,
    /// The wrapped bytes.
    pub wrapped: Vec<u8>,
}

/// A patient to be registered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewPatient {
    /// The pseudonym.
    pub patient: Pseudonym,
    /// Blinded identifiers; each belongs to one patient only.
    pub locators: Vec<Locator>,
    /// The signed registration.
    pub registration: Vec<u8>,
    /// The signed first directive.
    pub directive: Vec<u8>,
    /// The directive's version.
    pub version: u64,
    /// This party's half for the directive's epoch.
    pub half: WrappedHalf,
}

/// A registered patient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Patient {
    /// The signed registration.
    pub registration: Vec<u8>,
    /// The newest signed directive.
    pub directive: Vec<u8>,
    /// Its version.
    pub version: u64,
    /// Its epoch.
    pub epoch: u64,
}

/// How a registration ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Registered {
    /// Stored now.
    New,
    /// The same registration was stored before.
    Known,
}

/// A directive that replaces its predecessor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirectiveUpdate {
    /// The patient.
    pub patient: Pseudonym,
    /// The version that it replaces.
    pub replaces: u64,
    /// The signed directive.
    pub directive: Vec<u8>,
    /// Its epoch.
    pub epoch: u64,
    /// This party's half, where the epoch is new.
    pub half: Option<WrappedHalf>,
}

/// An erasure to be carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewErasure {
    /// The patient.
    pub patient: Pseudonym,
    /// The signed erasure.
    pub erasure: Vec<u8>,
    /// Unix seconds.
    pub erased_at: u64,
}

/// What remains of an erased patient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tombstone {
    /// The signed erasure.
    pub erasure: Vec<u8>,
    /// What was destroyed.
    pub destroyed: Destroyed,
}

/// Patients, their consent and this party's halves.
#[async_trait]
pub trait PatientStore: Send + Sync {
    /// Registers a patient. A different registration of the same pseudonym or locator is a conflict.
    async fn register(&self, patient: NewPatient) -> Result<Registered, StoreError>;
    /// A patient by pseudonym.
    async fn patient(&self, patient: Pseudonym) -> Result<Option<Patient>, StoreError>;
    /// The version of a patient's newest directive: a look before each decision, since another process may have stored it.
    async fn version(&self, patient: Pseudonym) -> Result<Option<u64>, StoreError> {
        Ok(self.patient(patient).await?.map(|patient| patient.version))
    }
    /// Whether anything could be stored now: begins and ends a transaction.
    async fn check(&self) -> Result<(), StoreError> {
        Ok(())
    }
    /// The patient who has one of these identifiers.
    async fn locate(&self, locators: &[Locator]) -> Result<Option<Pseudonym>, StoreError>;
    /// Replaces the directive of version `replaces` by its successor; a conflict when another is stored, and when the
    /// epoch goes back, or changes without a half, or a half comes without a new epoch. The same bytes again are fine.
    async fn direct(&self, update: DirectiveUpdate) -> Result<(), StoreError>;
    /// This party's halves of a patient, by epoch.
    async fn halves(&self, patient: Pseudonym) -> Result<Vec<WrappedHalf>, StoreError>;
    /// Destroys everything that is kept of a patient: registration, locators, directive, halves, log and witnessed heads.
    /// On return none of it can be read through the store, and nothing can be stored under this pseudonym any more. In the
    /// embedded store none of it is in the files either, the write-ahead log included; docs/postgresql.md says what a
    /// server's files keep, docs/object-storage.md what a bucket or folder does. Of a patient who was erased before, what remains is given again.
    async fn erase(&self, erasure: NewErasure) -> Result<Tombstone, StoreError>;
    /// What remains of a patient who was erased.
    async fn tombstone(&self, patient: Pseudonym) -> Result<Option<Tombstone>, StoreError>;
}
