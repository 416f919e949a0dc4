//! Reading logs of sealed entries.

use async_trait::async_trait;
use futures::FutureExt as _;
use sealwort_proto::receipt::Witness;
use sealwort_proto::{Digest, LabelTag, Pseudonym};
use sqlx::Row as _;

use super::objects::object;
use super::standbys::Span;
use super::{DriverRow, PostgresStore};
use crate::database::{fixed, unsigned, witness};
use crate::key::Key;
use crate::{Append, Appended, LogStore, StoreError, StoredEntry};

#[async_trait]
impl LogStore for PostgresStore {
    async fn append(&self, append: Append) -> Result<Appended, StoreError> {
        self.append_placed(append).await
    }

    async fn head(&self, patient: Pseudonym) -> Result<Option<Witness>, StoreError> {
        let row = sqlx::query("SELECT sequence, hash FROM entry WHERE patient = $1 ORDER BY sequence DESC LIMIT 1")
            .bind(patient.as_bytes().to_vec())
            .fetch_optional(&self.readers)
            .await?;
        row.map(|row| witness(row.try_get(0)?, row.try_get(1)?)).transpose()
    }

    async fn read(
        &self,
        patient: Pseudonym,
        after: u64,
        entries_max: usize,
        bytes_max: usize,
    ) -> Result<Vec<StoredEntry>, StoreError> {
        let span = Span::new(patient, after, entries_max, bytes_max)?;
        let rows = match self.read_standby(&span).await? {
            Some(rows) => rows,
            None => span.rows(&self.readers).await?,
        };
        let found: Result<Vec<_>, StoreError> = rows
            .iter()
            .map(|row| {
                let entry = StoredEntry {
                    sequence: unsigned(row.try_get(0)?)?,
                    tag: fixed(row.try_get(1)?, LabelTag::from_slice)?,
                    author_key: fixed(row.try_get(2)?, Digest::from_slice)?,
                    envelope: row.try_get(3)?,
                    ciphertext: row.try_get(4)?,
                };
                Ok((entry, object(row, 5)?))
            })
            .collect();
        self.filled(found?).await
    }

    async fn put_author(&self, key: Digest, chain: Vec<u8>) -> Result<(), StoreError> {
        self.writer
            .submit_with(vec![Key::author(key)], move |c| {
                async move {
                    sqlx::query("INSERT INTO author (key, chain) VALUES ($1, $2) ON CONFLICT DO NOTHING")
                        .bind(key.as_bytes().to_vec())
                        .bind(&chain)
                        .execute(c)
                        .await?;
                    Ok(())
                }
                .boxed()
            })
            .await
    }

    async fn author(&self, key: Digest) -> Result<Option<Vec<u8>>, StoreError> {
        let row = sqlx::query("SELECT chain FROM author WHERE key = $1")
            .bind(key.as_bytes().to_vec())
            .fetch_optional(&self.readers)
            .await?;
        Ok(row.map(|row| row.try_get(0)).transpose()?)
    }
}

impl PostgresStore {
    /// The rows of a standby, where they are what the primary has. That is asked after they were read: what was erased, or is
    /// not where the standby came to, is seen then, however long the standby took.
    async fn read_standby(&self, span: &Span) -> Result<Option<Vec<DriverRow>>, StoreError> {
        let Some(rows) = self.standbys.rows(span).await else { return Ok(None) };
        let Ok(last) = Span::last_in(&rows) else { return Ok(None) };
        Ok((last == span.last(&self.readers).await?).then_some(rows))
    }
}
