//! Erasing a patient: everything is destroyed in one transaction, and a tombstone remains.

use sealwort_proto::Pseudonym;
use sealwort_proto::erasure::Destroyed;
use sealwort_proto::log::empty;
use sqlx::{Database, Executor, Row as _};

use super::destroy::{DESTROY, ENTRIES, HEAD};
use super::{Connection, Driver, DriverRow, tell};
use crate::database::{signed, unsigned, witness};
use crate::{Change, NewErasure, StoreError, Tombstone};

/// Carries an erasure out, or finds that it was carried out.
pub(super) async fn run(c: &mut Connection, erasure: &NewErasure) -> Result<Tombstone, StoreError> {
    if let Some(tombstone) = tombstone(&mut *c, erasure.patient).await? {
        return Ok(tombstone);
    }
    let patient = erasure.patient.as_bytes().to_vec();
    let number = |row: DriverRow| -> Result<u64, StoreError> { unsigned(row.try_get(0)?) };
    if number(query("SELECT count(*) FROM patient WHERE pseudonym = $1", &patient).fetch_one(&mut *c).await?)? == 0 {
        return Err(StoreError::Conflict("the patient is not registered"));
    }
    let head = query(HEAD, &patient).fetch_optional(&mut *c).await?;
    let head = head.map(|row| witness(row.try_get(0)?, row.try_get(1)?)).transpose()?;
    let destroyed = Destroyed {
        halves: number(query("SELECT count(*) FROM half WHERE pseudonym = $1", &patient).fetch_one(&mut *c).await?)?,
        entries: number(query(ENTRIES, &patient).fetch_one(&mut *c).await?)?,
        head: head.unwrap_or_else(|| empty(erasure.patient)),
        erased_at: erasure.erased_at,
    };
    for statement in DESTROY {
        query(statement, &patient).execute(&mut *c).await?;
    }
    query("INSERT INTO erased VALUES ($1, $2, $3, $4, $5, $6, $7)", &patient)
        .bind(&erasure.erasure)
        .bind(signed(destroyed.halves)?)
        .bind(signed(destroyed.entries)?)
        .bind(signed(destroyed.head.sequence)?)
        .bind(destroyed.head.head.as_bytes().to_vec())
        .bind(signed(destroyed.erased_at)?)
        .execute(&mut *c)
        .await?;
    tell(c, &Change::Consent(erasure.patient)).await?;
    Ok(Tombstone { erasure: erasure.erasure.clone(), destroyed })
}

/// What remains of a patient who was erased.
pub(super) async fn tombstone(
    executor: impl Executor<'_, Database = Driver>,
    patient: Pseudonym,
) -> Result<Option<Tombstone>, StoreError> {
    let row = query(TOMBSTONE, patient.as_bytes()).fetch_optional(executor).await?;
    row.map(|row| {
        let destroyed = Destroyed {
            halves: unsigned(row.try_get(1)?)?,
            entries: unsigned(row.try_get(2)?)?,
            head: witness(row.try_get(3)?, row.try_get(4)?)?,
            erased_at: unsigned(row.try_get(5)?)?,
        };
        Ok(Tombstone { erasure: row.try_get(0)?, destroyed })
    })
    .transpose()
}

fn query(
    statement: &'static str,
    patient: &[u8],
) -> sqlx::query::Query<'static, Driver, <Driver as Database>::Arguments> {
    sqlx::query(statement).bind(patient.to_vec())
}

const TOMBSTONE: &str = "SELECT erasure, halves, entries, sequence, head, erased_at FROM erased WHERE pseudonym = $1";
