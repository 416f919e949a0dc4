//! Emergency accesses at the broker.

use async_trait::async_trait;
use sealwort_proto::EmergencyId;
use sealwort_proto::message::EmergencyNotice;

use super::MemoryStore;
use crate::{EmergencyStore, KeptEmergency, NewEmergency, StoreError};

#[async_trait]
impl EmergencyStore for MemoryStore {
    async fn keep_emergency(&self, emergency: NewEmergency) -> Result<(EmergencyNotice, KeptEmergency), StoreError> {
        let kept = self.commit(|content| {
            if content.erased.contains_key(&emergency.notice.patient) {
                return Err(StoreError::Conflict("the patient was erased"));
            }
            if let Some(known) = content.emergencies.get(&emergency.notice.id) {
                return Ok((known.notice.clone(), KeptEmergency::Known));
            }
            let notice = emergency.notice.clone();
            content.emergencies.insert(notice.id, emergency);
            Ok((notice, KeptEmergency::New))
        });
        kept.await
    }

    async fn untold_emergencies(&self, hospital: &str, most: usize) -> Result<Vec<EmergencyNotice>, StoreError> {
        let content = self.content();
        let untold = content.emergencies.values().filter(|one| one.tell.as_deref() == Some(hospital));
        let mut untold: Vec<_> = untold.map(|one| one.notice.clone()).collect();
        untold.sort_by_key(|notice| (notice.begun_at, notice.id));
        untold.truncate(most);
        Ok(untold)
    }

    async fn told_emergencies(&self, hospital: &str, told: &[EmergencyId]) -> Result<(), StoreError> {
        let told = self.commit(|content| {
            for id in told {
                if let Some(one) = content.emergencies.get_mut(id).filter(|one| one.tell.as_deref() == Some(hospital)) {
                    one.tell = None;
                }
            }
        });
        told.await;
        Ok(())
    }

    async fn forget_emergencies(&self, before: u64) -> Result<(), StoreError> {
        let forgotten = self.commit(|content| {
            content.emergencies.retain(|_, one| one.tell.is_some() || one.notice.begun_at >= before);
        });
        forgotten.await;
        Ok(())
    }
}
