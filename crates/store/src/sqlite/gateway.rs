//! A gateway's roster and outbox.

use async_trait::async_trait;
use futures::FutureExt as _;
use sealwort_proto::DepositId;
use sqlx::Row as _;

use super::SqliteStore;
use crate::database::{fixed, unsigned};
use crate::{GatewayStore, OutboxItem, RosterKind, StoreError};

#[async_trait]
impl GatewayStore for SqliteStore {
    async fn put_roster(&self, rows: Vec<(RosterKind, [u8; 32], Vec<u8>)>) -> Result<(), StoreError> {
        const PUT: &str = "INSERT INTO roster (kind, key, sealed) VALUES (?, ?, ?)
            ON CONFLICT (kind, key) DO UPDATE SET sealed = excluded.sealed";
        insert_rows(self, rows, PUT).await
    }

    async fn add_roster(&self, rows: Vec<(RosterKind, [u8; 32], Vec<u8>)>) -> Result<(), StoreError> {
        insert_rows(self, rows, "INSERT INTO roster (kind, key, sealed) VALUES (?, ?, ?) ON CONFLICT DO NOTHING").await
    }

    async fn roster_count(&self, kind: RosterKind) -> Result<u64, StoreError> {
        let query = sqlx::query("SELECT count(*) FROM roster WHERE kind = ?").bind(kind_number(kind));
        unsigned(query.fetch_one(&self.readers).await?.try_get(0)?)
    }

    async fn roster(&self, kind: RosterKind, key: [u8; 32]) -> Result<Option<Vec<u8>>, StoreError> {
        let row = sqlx::query("SELECT sealed FROM roster WHERE kind = ? AND key = ?")
            .bind(kind_number(kind))
            .bind(key.to_vec())
            .fetch_optional(&self.readers)
            .await?;
        Ok(row.map(|row| row.try_get(0)).transpose()?)
    }

    async fn roster_rows(&self, kind: RosterKind) -> Result<Vec<([u8; 32], Vec<u8>)>, StoreError> {
        let rows = sqlx::query("SELECT key, sealed FROM roster WHERE kind = ?")
            .bind(kind_number(kind))
            .fetch_all(&self.readers)
            .await?;
        rows.iter().map(|row| Ok((fixed(row.try_get(0)?, |b| b.try_into().ok())?, row.try_get(1)?))).collect()
    }

    async fn remove_roster(&self, kind: RosterKind, key: [u8; 32]) -> Result<(), StoreError> {
        self.writer
            .submit(move |c| {
                async move {
                    sqlx::query("DELETE FROM roster WHERE kind = ? AND key = ?")
                        .bind(kind_number(kind))
                        .bind(key.to_vec())
                        .execute(c)
                        .await?;
                    Ok(())
                }
                .boxed()
            })
            .await
    }

    async fn enqueue(&self, id: DepositId, patient: [u8; 32], sealed: Vec<u8>) -> Result<(), StoreError> {
        self.writer
            .submit(move |c| {
                async move {
                    sqlx::query("INSERT INTO outbox (id, patient, sealed) VALUES (?, ?, ?) ON CONFLICT DO NOTHING")
                        .bind(id.as_bytes().to_vec())
                        .bind(patient.to_vec())
                        .bind(sealed)
                        .execute(c)
                        .await?;
                    Ok(())
                }
                .boxed()
            })
            .await
    }

    async fn pending(&self, limit: usize) -> Result<Vec<OutboxItem>, StoreError> {
        let rows = sqlx::query("SELECT position, id, patient, sealed FROM outbox ORDER BY position LIMIT ?")
            .bind(crate::database::limit(limit))
            .fetch_all(&self.readers)
            .await?;
        rows.iter()
            .map(|row| {
                Ok(OutboxItem {
                    position: unsigned(row.try_get(0)?)?,
                    id: fixed(row.try_get(1)?, DepositId::from_slice)?,
                    patient: fixed(row.try_get(2)?, |b| b.try_into().ok())?,
                    sealed: row.try_get(3)?,
                })
            })
            .collect()
    }

    async fn pending_count(&self, patient: Option<[u8; 32]>) -> Result<u64, StoreError> {
        let query = match patient {
            Some(patient) => sqlx::query("SELECT count(*) FROM outbox WHERE patient = ?").bind(patient.to_vec()),
            None => sqlx::query("SELECT count(*) FROM outbox"),
        };
        unsigned(query.fetch_one(&self.readers).await?.try_get(0)?)
    }

    async fn done(&self, id: DepositId) -> Result<(), StoreError> {
        self.writer
            .submit(move |c| {
                async move {
                    sqlx::query("DELETE FROM outbox WHERE id = ?").bind(id.as_bytes().to_vec()).execute(c).await?;
                    Ok(())
                }
                .boxed()
            })
            .await
    }
}

/// Writes roster rows in one transaction.
async fn insert_rows(
    store: &SqliteStore,
    rows: Vec<(RosterKind, [u8; 32], Vec<u8>)>,
    statement: &'static str,
) -> Result<(), StoreError> {
    store
        .writer
        .submit(move |c| {
            async move {
                for (kind, key, sealed) in rows {
                    let query = sqlx::query(statement).bind(kind_number(kind)).bind(key.to_vec()).bind(sealed);
                    query.execute(&mut *c).await?;
                }
                Ok(())
            }
            .boxed()
        })
        .await
}

const fn kind_number(kind: RosterKind) -> i64 {
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
