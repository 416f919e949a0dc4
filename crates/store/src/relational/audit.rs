//! The audit log of one party.

use async_trait::async_trait;
use futures::FutureExt as _;
use sealwort_audit::{Hashes, Index, Question, Row};
use sealwort_proto::Digest;
use sqlx::{QueryBuilder, Row as _};

use super::{AUDIT_PLACE, Audit, Connection, Driver, DriverRow, in_time};
use crate::audit::check;
use crate::database::{fixed, limit, signed, unsigned};
use crate::{
    AppendUpon, AuditAppended, AuditBatch, AuditQuery, AuditStore, Cosign, KeptCheckpoint, Standing, StoreError,
};

impl Audit {
    /// Appends what `make` makes of the log as it stands; nobody comes in between. This is for a process beside the
    /// service: with [`AuditStore::append_audit`] a busy one would be quicker every time. What `make` refuses is not
    /// appended.
    pub async fn append_upon<T, E, F>(&self, make: F) -> Result<Result<T, E>, StoreError>
    where
        T: Send + 'static,
        E: Send + 'static,
        F: FnOnce(&Standing) -> Result<(AuditBatch, T), E> + Send + 'static,
    {
        self.writer.submit(move |c| append_made(c, make).boxed()).await
    }
}

#[async_trait]
impl AuditStore for Audit {
    async fn append_audit(&self, batch: AuditBatch) -> Result<AuditAppended, StoreError> {
        let first = check(&batch)?;
        self.writer.submit(move |c| append(c, first, batch).boxed()).await
    }

    async fn append_audit_upon(&self, known: Option<KeptCheckpoint>, make: AppendUpon) -> Result<(), StoreError> {
        self.writer.submit(move |c| append_upon(c, known, make).boxed()).await
    }

    async fn audit_size(&self) -> Result<u64, StoreError> {
        in_time(size(&mut *self.readers.acquire().await?)).await
    }

    async fn audit_rows(&self, query: AuditQuery, most: usize) -> Result<Vec<Row>, StoreError> {
        in_time(rows(&mut *self.readers.acquire().await?, &query, most)).await
    }

    async fn audit_hashes(&self, numbers: &[u64]) -> Result<Vec<(u64, Hashes)>, StoreError> {
        in_time(hashes(&mut *self.readers.acquire().await?, numbers)).await
    }

    async fn newest_checkpoint(&self) -> Result<Option<KeptCheckpoint>, StoreError> {
        in_time(newest(&mut *self.readers.acquire().await?)).await
    }

    async fn put_cosigned(&self, size: u64, make: Cosign) -> Result<(), StoreError> {
        self.writer.submit(move |c| cosign(c, size, make).boxed()).await
    }

    async fn cosigned(&self, from: u64, most: usize) -> Result<Vec<KeptCheckpoint>, StoreError> {
        let rows = sqlx::query(
            "SELECT size, note FROM audit_checkpoint WHERE cosigned = 1 AND size >= $1 ORDER BY size LIMIT $2",
        )
        .bind(signed(from)?)
        .bind(limit(most))
        .fetch_all(&self.readers)
        .await?;
        rows.iter().map(checkpoint).collect()
    }

    async fn newest_cosigned(&self, size: u64) -> Result<Option<KeptCheckpoint>, StoreError> {
        let row = sqlx::query(
            "SELECT size, note FROM audit_checkpoint WHERE cosigned = 1 AND size <= $1 ORDER BY size DESC LIMIT 1",
        )
        .bind(i64::try_from(size).unwrap_or(i64::MAX))
        .fetch_optional(&self.readers)
        .await?;
        row.as_ref().map(checkpoint).transpose()
    }

    async fn remember_checkpoint(
        &self,
        origin: &str,
        after: u64,
        checkpoint: KeptCheckpoint,
    ) -> Result<bool, StoreError> {
        let origin = origin.to_owned();
        self.writer.submit(move |c| remember(c, origin, after, checkpoint).boxed()).await
    }

    async fn remembered(&self, origin: &str, from: u64, most: usize) -> Result<Vec<KeptCheckpoint>, StoreError> {
        let rows = sqlx::query(
            "SELECT size, note FROM audit_remembered WHERE origin = $1 AND size >= $2 ORDER BY size LIMIT $3",
        )
        .bind(origin)
        .bind(signed(from)?)
        .bind(limit(most))
        .fetch_all(&self.readers)
        .await?;
        rows.iter().map(checkpoint).collect()
    }

    async fn newest_remembered(&self, origin: &str) -> Result<Option<KeptCheckpoint>, StoreError> {
        let row = sqlx::query("SELECT size, note FROM audit_remembered WHERE origin = $1 ORDER BY size DESC LIMIT 1")
            .bind(origin)
            .fetch_optional(&self.readers)
            .await?;
        row.as_ref().map(checkpoint).transpose()
    }

    async fn origins(&self) -> Result<Vec<String>, StoreError> {
        let rows = sqlx::query("SELECT DISTINCT origin FROM audit_remembered ORDER BY origin")
            .fetch_all(&self.readers)
            .await?;
        rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
    }

    async fn put_audit_chain(&self, certificate: Digest, chain: Vec<u8>) -> Result<(), StoreError> {
        self.writer
            .submit(move |c| {
                async move {
                    sqlx::query("INSERT INTO audit_chain (certificate, chain) VALUES ($1, $2) ON CONFLICT DO NOTHING")
                        .bind(certificate.as_bytes().to_vec())
                        .bind(chain)
                        .execute(c)
                        .await?;
                    Ok(())
                }
                .boxed()
            })
            .await
    }

    async fn audit_chain_count(&self) -> Result<u64, StoreError> {
        in_time(chain_count(&mut *self.readers.acquire().await?)).await
    }

    async fn audit_chains(&self) -> Result<Vec<Vec<u8>>, StoreError> {
        in_time(chains(&mut *self.readers.acquire().await?)).await
    }
}

async fn hashes(c: &mut Connection, numbers: &[u64]) -> Result<Vec<(u64, Hashes)>, StoreError> {
    let mut found = Vec::with_capacity(numbers.len());
    for numbers in numbers.chunks(NUMBERS_AT_ONCE) {
        let mut select = QueryBuilder::<Driver>::new("SELECT number, hashes FROM audit_entry WHERE number IN (");
        let mut list = select.separated(", ");
        for number in numbers {
            list.push_bind(signed(*number)?);
        }
        list.push_unseparated(") ORDER BY number");
        for row in select.build().fetch_all(&mut *c).await? {
            let number = unsigned(row.try_get(0)?)?;
            found.push((number, read_hashes(number, row.try_get(1)?)?));
        }
    }
    Ok(found)
}

/// Entries of one question.
const NUMBERS_AT_ONCE: usize = 512;

async fn newest(c: &mut Connection) -> Result<Option<KeptCheckpoint>, StoreError> {
    let rows = sqlx::query("SELECT size, note FROM audit_checkpoint WHERE cosigned = 0").fetch_all(c).await?;
    rows.iter().map(checkpoint).next().transpose()
}

async fn chain_count(c: &mut Connection) -> Result<u64, StoreError> {
    let row = sqlx::query("SELECT count(*) FROM audit_chain").fetch_one(c).await?;
    unsigned(row.try_get(0)?)
}

async fn chains(c: &mut Connection) -> Result<Vec<Vec<u8>>, StoreError> {
    let rows = sqlx::query("SELECT chain FROM audit_chain").fetch_all(c).await?;
    rows.iter().map(|row| Ok(row.try_get(0)?)).collect()
}

async fn append_made<T, E>(
    c: &mut Connection,
    make: impl FnOnce(&Standing) -> Result<(AuditBatch, T), E>,
) -> Result<Result<T, E>, StoreError> {
    let standing = Standing { chains: chains(c).await?, ..standing(c).await? };
    let (batch, with) = match make(&standing) {
        Ok(appended) => appended,
        Err(refused) => return Ok(Err(refused)),
    };
    match append(c, check(&batch)?, batch).await? {
        AuditAppended::Stored => Ok(Ok(with)),
        AuditAppended::Behind { .. } => Err(StoreError::Conflict("the entries do not follow the last one")),
    }
}

async fn append_upon(c: &mut Connection, known: Option<KeptCheckpoint>, make: AppendUpon) -> Result<(), StoreError> {
    let is_known = known.is_some() && known == newest(c).await?;
    let standing = if is_known { None } else { Some(standing(c).await?) };
    let Some(batch) = make(standing.as_ref()) else { return Ok(()) };
    match append(c, check(&batch)?, batch).await? {
        AuditAppended::Stored => Ok(()),
        AuditAppended::Behind { .. } => Err(StoreError::Conflict("the entries do not follow the last one")),
    }
}

async fn standing(c: &mut Connection) -> Result<Standing, StoreError> {
    let size = size(c).await?;
    let hashes = hashes(c, &Question::Root { size }.needs()).await?;
    Ok(Standing { size, newest: newest(c).await?, hashes, chains: Vec::new() })
}

async fn append(c: &mut Connection, first: u64, batch: AuditBatch) -> Result<AuditAppended, StoreError> {
    let size = size(c).await?;
    if size != first {
        return Ok(AuditAppended::Behind { size });
    }
    for rows in batch.rows.chunks(ROWS_AT_ONCE) {
        let mut numbers = Vec::with_capacity(rows.len());
        for row in rows {
            numbers.push((signed(row.number)?, signed(row.index.time)?));
        }
        let mut insert = QueryBuilder::<Driver>::new(
            "INSERT INTO audit_entry (number, hashes, stored, time, kind, outcome, patient, \"user\") ",
        );
        insert.push_values(rows.iter().zip(numbers), |mut values, (row, (number, time))| {
            values
                .push_bind(number)
                .push_bind(row.hashes.to_bytes())
                .push_bind(row.stored.clone())
                .push_bind(time)
                .push_bind(i64::from(row.index.kind))
                .push_bind(i64::from(row.index.outcome))
                .push_bind(row.index.patient.map(|patient| patient.as_bytes().to_vec()))
                .push_bind(row.index.user.map(|user| user.as_bytes().to_vec()));
        });
        insert.build().execute(&mut *c).await?;
    }
    sqlx::query("DELETE FROM audit_checkpoint WHERE cosigned = 0").execute(&mut *c).await?;
    put_checkpoint(c, 0, batch.checkpoint).await?;
    Ok(AuditAppended::Stored)
}

/// Rows of one statement.
const ROWS_AT_ONCE: usize = 64;

async fn cosign(c: &mut Connection, size: u64, make: Cosign) -> Result<(), StoreError> {
    let row = sqlx::query("SELECT size, note FROM audit_checkpoint WHERE cosigned = 1 AND size = $1")
        .bind(signed(size)?)
        .fetch_optional(&mut *c)
        .await?;
    let kept = row.as_ref().map(checkpoint).transpose()?;
    match make(kept.as_ref()) {
        Some(cosigned) => put_checkpoint(c, 1, cosigned).await,
        None => Ok(()),
    }
}

async fn put_checkpoint(c: &mut Connection, cosigned: i64, kept: KeptCheckpoint) -> Result<(), StoreError> {
    sqlx::query(
        "INSERT INTO audit_checkpoint (cosigned, size, note) VALUES ($1, $2, $3)
         ON CONFLICT (cosigned, size) DO UPDATE SET note = excluded.note",
    )
    .bind(cosigned)
    .bind(signed(kept.size)?)
    .bind(kept.note)
    .execute(c)
    .await?;
    Ok(())
}

async fn remember(c: &mut Connection, origin: String, after: u64, kept: KeptCheckpoint) -> Result<bool, StoreError> {
    let newest: Option<i64> = sqlx::query("SELECT max(size) FROM audit_remembered WHERE origin = $1")
        .bind(&origin)
        .fetch_one(&mut *c)
        .await?
        .try_get(0)?;
    if newest.unwrap_or(0) != signed(after)? || kept.size < after {
        return Ok(false);
    }
    // The same size again keeps the first: its root is the same, or it would not have been judged good.
    sqlx::query("INSERT INTO audit_remembered (origin, size, note) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING")
        .bind(origin)
        .bind(signed(kept.size)?)
        .bind(kept.note)
        .execute(c)
        .await?;
    Ok(true)
}

async fn size(c: &mut Connection) -> Result<u64, StoreError> {
    let last: Option<i64> = sqlx::query("SELECT max(number) FROM audit_entry").fetch_one(c).await?.try_get(0)?;
    last.map_or(Ok(0), |last| Ok(unsigned(last)?.saturating_add(1)))
}

pub(super) async fn rows(c: &mut Connection, query: &AuditQuery, most: usize) -> Result<Vec<Row>, StoreError> {
    let mut select = QueryBuilder::<Driver>::new(
        "SELECT number, hashes, stored, time, kind, outcome, patient, \"user\" FROM audit_entry WHERE number >= ",
    );
    select.push_bind(signed(query.from)?);
    let numbers = [(" AND number < ", query.below), (" AND time >= ", query.since), (" AND time < ", query.before)];
    for (condition, number) in numbers {
        if let Some(number) = number {
            select.push(condition).push_bind(i64::try_from(number).unwrap_or(i64::MAX));
        }
    }
    let small = [(" AND kind = ", query.kind.map(i64::from)), (" AND outcome = ", query.outcome.map(i64::from))];
    for (condition, number) in small {
        if let Some(number) = number {
            select.push(condition).push_bind(number);
        }
    }
    for (condition, digest) in [(" AND patient = ", query.patient), (" AND \"user\" = ", query.user)] {
        if let Some(digest) = digest {
            select.push(condition).push_bind(digest.as_bytes().to_vec());
        }
    }
    select.push(" ORDER BY number LIMIT ").push_bind(limit(most));
    let rows = select.build().fetch_all(c).await?;
    rows.iter().map(read_row).collect()
}

fn read_row(row: &DriverRow) -> Result<Row, StoreError> {
    let number = unsigned(row.try_get(0)?)?;
    let digest = |column: usize| -> Result<Option<Digest>, StoreError> {
        let bytes: Option<Vec<u8>> = row.try_get(column)?;
        bytes.map(|bytes| fixed(&bytes, Digest::from_slice)).transpose()
    };
    Ok(Row {
        number,
        hashes: read_hashes(number, row.try_get(1)?)?,
        stored: row.try_get(2)?,
        index: Index {
            time: unsigned(row.try_get(3)?)?,
            kind: u16::try_from(row.try_get::<i64, _>(4)?).map_err(|_| altered(number))?,
            outcome: u8::try_from(row.try_get::<i64, _>(5)?).map_err(|_| altered(number))?,
            patient: digest(6)?,
            user: digest(7)?,
        },
    })
}

fn read_hashes(number: u64, bytes: &[u8]) -> Result<Hashes, StoreError> {
    Hashes::from_bytes(number, bytes).ok_or_else(|| altered(number))
}

fn altered(number: u64) -> StoreError {
    StoreError::Damaged { file: AUDIT_PLACE.into(), reason: format!("entry {number} was altered") }
}

fn checkpoint(row: &DriverRow) -> Result<KeptCheckpoint, StoreError> {
    Ok(KeptCheckpoint { size: unsigned(row.try_get(0)?)?, note: row.try_get(1)? })
}
