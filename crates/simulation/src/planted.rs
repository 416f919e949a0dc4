//! Faults that are put into a party's store on purpose, to see that the simulation finds them.

use std::str::FromStr;
use std::time::Duration;

use async_trait::async_trait;
use sealwort_proto::message::EmergencyNotice;
use sealwort_proto::receipt::Witness;
use sealwort_proto::{DepositId, Digest, EmergencyId, Locator, Pseudonym};
use sealwort_store::memory::MemoryStore;
use sealwort_store::{
    Advance, Append, Appended, ChangeStore, DirectiveUpdate, EmergencyStore, KeptEmergency, LogStore, NewEmergency,
    NewErasure, NewPatient, Patient, PatientStore, Registered, StoreError, StoredEntry, Tombstone, WitnessStore,
    WrappedHalf,
};

/// A fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Plant {
    /// The archive does not know a deposit by its id again.
    DepositsForgotten,
    /// The archive gives its receipt before the entries are durable.
    ReceiptTooEarly,
    /// The broker keeps the first head that it witnessed.
    WitnessStands,
    /// Broker and archive confirm a directive that they hold in memory only.
    DirectiveInMemory,
}

impl FromStr for Plant {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "deposits-forgotten" => Ok(Self::DepositsForgotten),
            "receipt-too-early" => Ok(Self::ReceiptTooEarly),
            "witness-stands" => Ok(Self::WitnessStands),
            "directive-in-memory" => Ok(Self::DirectiveInMemory),
            _ => Err(format!("{text} is no fault that can be planted")),
        }
    }
}

/// How long the receipt comes before the entries.
const TOO_EARLY: Duration = Duration::from_millis(400);

/// The store in memory, with a fault or none.
#[derive(Debug, Clone)]
pub(crate) struct Planted {
    pub(crate) store: MemoryStore,
    pub(crate) plant: Option<Plant>,
}

impl Planted {
    fn has(&self, plant: Plant) -> bool {
        self.plant == Some(plant)
    }
}

#[async_trait]
impl LogStore for Planted {
    async fn append(&self, mut append: Append) -> Result<Appended, StoreError> {
        if self.has(Plant::DepositsForgotten) {
            append.deposit = DepositId::random();
        }
        if self.has(Plant::ReceiptTooEarly) {
            let head = self.store.head(append.patient).await?;
            if let Some(last) = append.entries.last().filter(|_| head.is_none_or(|head| head == append.after)) {
                let stored = Witness { sequence: last.sequence, head: last.hash };
                let store = self.store.clone();
                tokio::spawn(async move {
                    tokio::time::sleep(TOO_EARLY).await;
                    let _ = store.append(append).await;
                });
                return Ok(Appended::Stored(stored));
            }
        }
        self.store.append(append).await
    }

    async fn head(&self, patient: Pseudonym) -> Result<Option<Witness>, StoreError> {
        self.store.head(patient).await
    }

    async fn read(
        &self,
        patient: Pseudonym,
        after: u64,
        entries_max: usize,
        bytes_max: usize,
    ) -> Result<Vec<StoredEntry>, StoreError> {
        self.store.read(patient, after, entries_max, bytes_max).await
    }

    async fn put_author(&self, key: Digest, chain: Vec<u8>) -> Result<(), StoreError> {
        self.store.put_author(key, chain).await
    }

    async fn author(&self, key: Digest) -> Result<Option<Vec<u8>>, StoreError> {
        self.store.author(key).await
    }
}

#[async_trait]
impl WitnessStore for Planted {
    async fn advance(&self, patient: Pseudonym, head: Witness) -> Result<Advance, StoreError> {
        if self.has(Plant::WitnessStands) && self.store.witness(patient).await?.is_some() {
            return Ok(Advance::Moved);
        }
        self.store.advance(patient, head).await
    }

    async fn witness(&self, patient: Pseudonym) -> Result<Option<Witness>, StoreError> {
        self.store.witness(patient).await
    }

    async fn heads(&self, patient: Pseudonym, after: u64, most: usize) -> Result<Vec<Witness>, StoreError> {
        self.store.heads(patient, after, most).await
    }
}

impl ChangeStore for Planted {}

#[async_trait]
impl EmergencyStore for Planted {
    async fn keep_emergency(&self, emergency: NewEmergency) -> Result<(EmergencyNotice, KeptEmergency), StoreError> {
        self.store.keep_emergency(emergency).await
    }

    async fn untold_emergencies(&self, hospital: &str, most: usize) -> Result<Vec<EmergencyNotice>, StoreError> {
        self.store.untold_emergencies(hospital, most).await
    }

    async fn told_emergencies(&self, hospital: &str, told: &[EmergencyId]) -> Result<(), StoreError> {
        self.store.told_emergencies(hospital, told).await
    }

    async fn forget_emergencies(&self, before: u64) -> Result<(), StoreError> {
        self.store.forget_emergencies(before).await
    }
}

#[async_trait]
impl PatientStore for Planted {
    async fn register(&self, patient: NewPatient) -> Result<Registered, StoreError> {
        self.store.register(patient).await
    }

    async fn patient(&self, patient: Pseudonym) -> Result<Option<Patient>, StoreError> {
        self.store.patient(patient).await
    }

    async fn locate(&self, locators: &[Locator]) -> Result<Option<Pseudonym>, StoreError> {
        self.store.locate(locators).await
    }

    async fn direct(&self, update: DirectiveUpdate) -> Result<(), StoreError> {
        if self.has(Plant::DirectiveInMemory) {
            return Ok(());
        }
        self.store.direct(update).await
    }

    async fn halves(&self, patient: Pseudonym) -> Result<Vec<WrappedHalf>, StoreError> {
        self.store.halves(patient).await
    }

    async fn erase(&self, erasure: NewErasure) -> Result<Tombstone, StoreError> {
        self.store.erase(erasure).await
    }

    async fn tombstone(&self, patient: Pseudonym) -> Result<Option<Tombstone>, StoreError> {
        self.store.tombstone(patient).await
    }
}
