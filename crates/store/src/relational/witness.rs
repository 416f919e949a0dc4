//! Witnessed heads.

use async_trait::async_trait;
use futures::FutureExt as _;
use sealwort_proto::Pseudonym;
use sealwort_proto::receipt::Witness;
use sqlx::Row as _;

use super::erase::tombstone;
use super::{Store, tell};
use crate::database::{signed, witness};
use crate::key::Key;
use crate::{Advance, Change, StoreError, WitnessStore};

#[async_trait]
impl WitnessStore for Store {
    async fn advance(&self, patient: Pseudonym, head: Witness) -> Result<Advance, StoreError> {
        self.writer
            .submit_with(vec![Key::patient(patient)], move |c| {
                async move {
                    // Nothing is kept of an erased patient, whatever comes late.
                    if tombstone(&mut *c, patient).await?.is_some() {
                        return Ok(Advance::Known);
                    }
                    let (change, patient) = (Change::Head(patient), patient.as_bytes().to_vec());
                    let sequence = signed(head.sequence)?;
                    let known = sqlx::query("SELECT sequence, head FROM witness WHERE patient = $1 AND sequence = $2")
                        .bind(&patient)
                        .bind(sequence)
                        .fetch_optional(&mut *c)
                        .await?;
                    if let Some(row) = known {
                        let known = witness(row.try_get(0)?, row.try_get(1)?)?;
                        return Ok(if known.head == head.head { Advance::Known } else { Advance::Fork(known) });
                    }
                    let newest: Option<i64> = sqlx::query("SELECT max(sequence) FROM witness WHERE patient = $1")
                        .bind(&patient)
                        .fetch_one(&mut *c)
                        .await?
                        .try_get(0)?;
                    sqlx::query("INSERT INTO witness (patient, sequence, head) VALUES ($1, $2, $3)")
                        .bind(&patient)
                        .bind(sequence)
                        .bind(head.head.as_bytes().to_vec())
                        .execute(&mut *c)
                        .await?;
                    if newest >= Some(sequence) {
                        return Ok(Advance::Known);
                    }
                    tell(c, &change).await?;
                    Ok(Advance::Moved)
                }
                .boxed()
            })
            .await
    }

    async fn witness(&self, patient: Pseudonym) -> Result<Option<Witness>, StoreError> {
        let row = sqlx::query("SELECT sequence, head FROM witness WHERE patient = $1 ORDER BY sequence DESC LIMIT 1")
            .bind(patient.as_bytes().to_vec())
            .fetch_optional(&self.readers)
            .await?;
        row.map(|row| witness(row.try_get(0)?, row.try_get(1)?)).transpose()
    }

    async fn heads(&self, patient: Pseudonym, after: u64, most: usize) -> Result<Vec<Witness>, StoreError> {
        let rows = sqlx::query(
            "SELECT sequence, head FROM witness WHERE patient = $1 AND sequence > $2 ORDER BY sequence LIMIT $3",
        )
        .bind(patient.as_bytes().to_vec())
        .bind(i64::try_from(after).unwrap_or(i64::MAX))
        .bind(i64::try_from(most).unwrap_or(i64::MAX))
        .fetch_all(&self.readers)
        .await?;
        rows.into_iter().map(|row| witness(row.try_get(0)?, row.try_get(1)?)).collect()
    }
}
