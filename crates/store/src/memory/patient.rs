//! Patients, directives and halves.

use std::cmp::Ordering;

use async_trait::async_trait;
use sealwort_proto::erasure::Destroyed;
use sealwort_proto::log::empty;
use sealwort_proto::receipt::Witness;
use sealwort_proto::{Locator, Pseudonym};

use super::{MemoryStore, Registration, witness};
use crate::{
    DirectiveUpdate, NewErasure, NewPatient, Patient, PatientStore, Registered, StoreError, Tombstone, WrappedHalf,
};

#[async_trait]
impl PatientStore for MemoryStore {
    async fn register(&self, new: NewPatient) -> Result<Registered, StoreError> {
        self.commit(|content| {
            if content.erased.contains_key(&new.patient) {
                return Err(StoreError::Erased);
            }
            if let Some(known) = content.patients.get(&new.patient) {
                return if known.patient.registration == new.registration {
                    Ok(Registered::Known)
                } else {
                    Err(StoreError::Conflict("the patient is registered already"))
                };
            }
            let other = |locator| content.locators.get(locator).is_some_and(|patient| *patient != new.patient);
            if new.locators.iter().any(other) {
                return Err(StoreError::Conflict("an identifier belongs to another patient"));
            }
            content.locators.extend(new.locators.iter().map(|locator| (*locator, new.patient)));
            let patient = Patient {
                registration: new.registration,
                directive: new.directive,
                version: new.version,
                epoch: new.half.epoch,
            };
            content.patients.insert(new.patient, Registration { patient, halves: vec![new.half] });
            Ok(Registered::New)
        })
        .await
    }

    async fn patient(&self, patient: Pseudonym) -> Result<Option<Patient>, StoreError> {
        Ok(self.content().patients.get(&patient).map(|kept| kept.patient.clone()))
    }

    async fn locate(&self, locators: &[Locator]) -> Result<Option<Pseudonym>, StoreError> {
        let content = self.content();
        Ok(locators.iter().find_map(|locator| content.locators.get(locator).copied()))
    }

    async fn direct(&self, update: DirectiveUpdate) -> Result<(), StoreError> {
        self.commit(|content| {
            let kept = content.patients.get_mut(&update.patient);
            let kept = kept.ok_or(StoreError::Conflict("the patient is not registered"))?;
            if kept.patient.directive == update.directive {
                return Ok(());
            }
            if kept.patient.version != update.replaces {
                return Err(StoreError::Conflict("another directive came first"));
            }
            let new_epoch = match update.epoch.cmp(&kept.patient.epoch) {
                Ordering::Less => return Err(StoreError::Conflict("a directive cannot go back to an older epoch")),
                Ordering::Equal => None,
                Ordering::Greater => Some(update.epoch),
            };
            if update.half.as_ref().map(|half| half.epoch) != new_epoch {
                return Err(StoreError::Conflict("a new epoch comes with its half, and only then"));
            }
            kept.patient.directive = update.directive;
            kept.patient.version += 1;
            kept.patient.epoch = update.epoch;
            kept.halves.extend(update.half);
            Ok(())
        })
        .await
    }

    async fn halves(&self, patient: Pseudonym) -> Result<Vec<WrappedHalf>, StoreError> {
        Ok(self.content().patients.get(&patient).map(|kept| kept.halves.clone()).unwrap_or_default())
    }

    async fn erase(&self, erasure: NewErasure) -> Result<Tombstone, StoreError> {
        self.commit(|content| {
            if let Some(tombstone) = content.erased.get(&erasure.patient) {
                return Ok(tombstone.clone());
            }
            let kept = content.patients.remove(&erasure.patient);
            let kept = kept.ok_or(StoreError::Conflict("the patient is not registered"))?;
            content.locators.retain(|_, patient| *patient != erasure.patient);
            let entries = content.logs.remove(&erasure.patient).map(|log| log.entries).unwrap_or_default();
            let last = entries.last().map(|(hash, entry)| Witness { sequence: entry.sequence, head: *hash });
            let heads = content.witnesses.remove(&erasure.patient).unwrap_or_default();
            content.emergencies.retain(|_, one| one.notice.patient != erasure.patient);
            let destroyed = Destroyed {
                halves: kept.halves.len() as u64,
                entries: entries.len() as u64,
                head: last.or_else(|| witness::newest(&heads)).unwrap_or_else(|| empty(erasure.patient)),
                erased_at: erasure.erased_at,
            };
            let tombstone = Tombstone { erasure: erasure.erasure, destroyed };
            content.erased.insert(erasure.patient, tombstone.clone());
            Ok(tombstone)
        })
        .await
    }

    async fn tombstone(&self, patient: Pseudonym) -> Result<Option<Tombstone>, StoreError> {
        Ok(self.content().erased.get(&patient).cloned())
    }
}
