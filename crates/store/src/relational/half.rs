//! All wrapped halves.

use async_trait::async_trait;
use futures::FutureExt as _;
use sealwort_proto::{Digest, Pseudonym};
use sqlx::Row as _;

use super::Store;
use crate::database::{fixed, limit, signed, unsigned};
use crate::key::Key;
use crate::{HalfStore, Rewrapped, StoreError, WrappedHalf};

#[async_trait]
impl HalfStore for Store {
    async fn all_halves(
        &self,
        after: Option<(Pseudonym, u64)>,
        most: usize,
    ) -> Result<Vec<(Pseudonym, WrappedHalf)>, StoreError> {
        // Nothing comes before no bytes.
        let (patient, epoch) = after.map_or((Vec::new(), 0), |(patient, epoch)| (patient.as_bytes().to_vec(), epoch));
        let rows = sqlx::query(
            "SELECT pseudonym, epoch, wrapped FROM half WHERE (pseudonym, epoch) > ($1, $2)
             ORDER BY pseudonym, epoch LIMIT $3",
        )
        .bind(patient)
        .bind(signed(epoch)?)
        .bind(limit(most))
        .fetch_all(&self.readers)
        .await?;
        let read = |row: &super::DriverRow| {
            let patient = fixed(row.try_get(0)?, Pseudonym::from_slice)?;
            Ok((patient, WrappedHalf { epoch: unsigned(row.try_get(1)?)?, wrapped: row.try_get(2)? }))
        };
        rows.iter().map(read).collect()
    }

    async fn rewrap(&self, halves: Vec<Rewrapped>) -> Result<(), StoreError> {
        let keys = halves.iter().map(|half| Key::patient(half.patient)).collect();
        self.writer
            .submit_with(keys, move |c| {
                async move {
                    for half in halves {
                        sqlx::query(
                            "UPDATE half SET wrapped = $1 WHERE pseudonym = $2 AND epoch = $3 AND wrapped = $4",
                        )
                        .bind(half.after)
                        .bind(half.patient.as_bytes().to_vec())
                        .bind(signed(half.epoch)?)
                        .bind(half.before)
                        .execute(&mut *c)
                        .await?;
                    }
                    Ok(())
                }
                .boxed()
            })
            .await
    }

    async fn settle(&self) -> Result<(), StoreError> {
        // Behind whatever waits.
        self.writer.submit(|_| async { Ok(()) }.boxed()).await?;
        self.writer.scrub().await
    }

    async fn adopt(&self, keys: Vec<Digest>) -> Result<(), StoreError> {
        self.adopt_keys(keys).await
    }
}
