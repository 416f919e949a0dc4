//! A gateway's roster and outbox.

use async_trait::async_trait;
use sealwort_proto::DepositId;

use super::{MemoryStore, kind_number};
use crate::{GatewayStore, OutboxItem, RosterKind, StoreError};

#[async_trait]
impl GatewayStore for MemoryStore {
    async fn put_roster(&self, rows: Vec<(RosterKind, [u8; 32], Vec<u8>)>) -> Result<(), StoreError> {
        self.commit(|content| {
            content.roster.extend(rows.into_iter().map(|(kind, key, sealed)| ((kind_number(kind), key), sealed)));
        })
        .await;
        Ok(())
    }

    async fn add_roster(&self, rows: Vec<(RosterKind, [u8; 32], Vec<u8>)>) -> Result<(), StoreError> {
        self.commit(|content| {
            for (kind, key, sealed) in rows {
                content.roster.entry((kind_number(kind), key)).or_insert(sealed);
            }
        })
        .await;
        Ok(())
    }

    async fn roster_count(&self, kind: RosterKind) -> Result<u64, StoreError> {
        Ok(self.content().roster.keys().filter(|(number, _)| *number == kind_number(kind)).count() as u64)
    }

    async fn roster(&self, kind: RosterKind, key: [u8; 32]) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.content().roster.get(&(kind_number(kind), key)).cloned())
    }

    async fn roster_rows(&self, kind: RosterKind) -> Result<Vec<([u8; 32], Vec<u8>)>, StoreError> {
        let content = self.content();
        let rows = content.roster.iter().filter(|((number, _), _)| *number == kind_number(kind));
        Ok(rows.map(|((_, key), sealed)| (*key, sealed.clone())).collect())
    }

    async fn remove_roster(&self, kind: RosterKind, key: [u8; 32]) -> Result<(), StoreError> {
        self.commit(|content| {
            content.roster.remove(&(kind_number(kind), key));
        })
        .await;
        Ok(())
    }

    async fn enqueue(&self, id: DepositId, patient: [u8; 32], sealed: Vec<u8>) -> Result<(), StoreError> {
        self.commit(|content| {
            if content.outbox.iter().all(|item| item.id != id) {
                content.last_position += 1;
                content.outbox.push(OutboxItem { position: content.last_position, id, patient, sealed });
            }
        })
        .await;
        Ok(())
    }

    async fn pending(&self, limit: usize) -> Result<Vec<OutboxItem>, StoreError> {
        Ok(self.content().outbox.iter().take(limit).cloned().collect())
    }

    async fn pending_count(&self, patient: Option<[u8; 32]>) -> Result<u64, StoreError> {
        let waits = |item: &&OutboxItem| patient.is_none_or(|patient| item.patient == patient);
        Ok(self.content().outbox.iter().filter(waits).count() as u64)
    }

    async fn done(&self, id: DepositId) -> Result<(), StoreError> {
        self.commit(|content| content.outbox.retain(|item| item.id != id)).await;
        Ok(())
    }
}
