//! Witnessed heads.

use async_trait::async_trait;
use futures::FutureExt as _;
use sealwort_proto::Pseudonym;
use sealwort_proto::receipt::Witness;
use sqlx::Row as _;

use super::log::witness;
use super::{SqliteStore, signed};
use crate::{Advance, StoreError, WitnessStore};

#[async_trait]
impl WitnessStore for SqliteStore {
    async fn advance(&self, patient: Pseudonym, head: Witness) -> Result<Advance, StoreError> {
        self.writer
            .submit(move |c| {
                async move {
                    let patient = patient.as_bytes().to_vec();
                    let known = sqlx::query("SELECT sequence, head FROM witness WHERE patient = ?")
                        .bind(&patient)
                        .fetch_optional(&mut *c)
                        .await?;
                    if let Some(row) = known {
                        let known = witness(row.try_get(0)?, row.try_get(1)?)?;
                        if known.sequence == head.sequence && known.head != head.head {
                            return Ok(Advance::Fork(known));
                        }
                        if known.sequence >= head.sequence {
                            return Ok(Advance::Known);
                        }
                    }
                    sqlx::query(
                        "INSERT INTO witness (patient, sequence, head) VALUES (?, ?, ?)
                         ON CONFLICT (patient) DO UPDATE SET sequence = excluded.sequence, head = excluded.head",
                    )
                    .bind(&patient)
                    .bind(signed(head.sequence)?)
                    .bind(head.head.as_bytes().to_vec())
                    .execute(c)
                    .await?;
                    Ok(Advance::Moved)
                }
                .boxed()
            })
            .await
    }

    async fn witness(&self, patient: Pseudonym) -> Result<Option<Witness>, StoreError> {
        let row = sqlx::query("SELECT sequence, head FROM witness WHERE patient = ?")
            .bind(patient.as_bytes().to_vec())
            .fetch_optional(&self.readers)
            .await?;
        row.map(|row| witness(row.try_get(0)?, row.try_get(1)?)).transpose()
    }
}
