//! Erasing a patient: each secret row is overwritten and deleted, all in one transaction, and a tombstone remains.

use sealwort_proto::Pseudonym;
use sealwort_proto::erasure::Destroyed;
use sealwort_proto::log::empty;
use sqlx::{Row as _, Sqlite, SqliteConnection, SqliteExecutor};

use super::log::witness;
use super::{signed, unsigned};
use crate::{NewErasure, StoreError, Tombstone};

/// What is destroyed, in this order. Overwriting comes before deleting: a row of the same size is overwritten in place.
const DESTROY: [&str; 10] = [
    "UPDATE half SET wrapped = zeroblob(length(wrapped)) WHERE pseudonym = ?",
    "DELETE FROM half WHERE pseudonym = ?",
    "DELETE FROM locator WHERE pseudonym = ?",
    "UPDATE patient SET registration = zeroblob(length(registration)), directive = zeroblob(length(directive))
     WHERE pseudonym = ?",
    "DELETE FROM patient WHERE pseudonym = ?",
    "UPDATE entry SET envelope = zeroblob(length(envelope)), ciphertext = zeroblob(length(ciphertext))
     WHERE log = (SELECT number FROM log WHERE patient = ?)",
    "DELETE FROM entry WHERE log = (SELECT number FROM log WHERE patient = ?)",
    "DELETE FROM log WHERE patient = ?",
    "DELETE FROM witness WHERE patient = ?",
    "DELETE FROM emergency WHERE patient = ?",
];

/// Carries an erasure out, or finds that it was carried out.
pub(super) async fn run(c: &mut SqliteConnection, erasure: &NewErasure) -> Result<Tombstone, StoreError> {
    if let Some(tombstone) = tombstone(&mut *c, erasure.patient).await? {
        return Ok(tombstone);
    }
    let patient = erasure.patient.as_bytes().to_vec();
    let number = |row: sqlx::sqlite::SqliteRow| -> Result<u64, StoreError> { unsigned(row.try_get(0)?) };
    if number(query("SELECT count(*) FROM patient WHERE pseudonym = ?", &patient).fetch_one(&mut *c).await?)? == 0 {
        return Err(StoreError::Conflict("the patient is not registered"));
    }
    let head = query(HEAD, &patient).bind(&patient).fetch_optional(&mut *c).await?;
    let head = head.map(|row| witness(row.try_get(0)?, row.try_get(1)?)).transpose()?;
    let destroyed = Destroyed {
        halves: number(query("SELECT count(*) FROM half WHERE pseudonym = ?", &patient).fetch_one(&mut *c).await?)?,
        entries: number(query(ENTRIES, &patient).fetch_one(&mut *c).await?)?,
        head: head.unwrap_or_else(|| empty(erasure.patient)),
        erased_at: erasure.erased_at,
    };
    for statement in DESTROY {
        query(statement, &patient).execute(&mut *c).await?;
    }
    query("INSERT INTO erased VALUES (?, ?, ?, ?, ?, ?, ?)", &patient)
        .bind(&erasure.erasure)
        .bind(signed(destroyed.halves)?)
        .bind(signed(destroyed.entries)?)
        .bind(signed(destroyed.head.sequence)?)
        .bind(destroyed.head.head.as_bytes().to_vec())
        .bind(signed(destroyed.erased_at)?)
        .execute(c)
        .await?;
    Ok(Tombstone { erasure: erasure.erasure.clone(), destroyed })
}

/// What remains of a patient who was erased.
pub(super) async fn tombstone(
    executor: impl SqliteExecutor<'_>,
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
) -> sqlx::query::Query<'static, Sqlite, sqlx::sqlite::SqliteArguments> {
    sqlx::query(statement).bind(patient.to_vec())
}

/// The last head: the archive has the log, the broker the witness, each of them one of the two.
const HEAD: &str = "SELECT sequence, hash FROM entry WHERE log = (SELECT number FROM log WHERE patient = ?)
     UNION ALL SELECT sequence, head FROM witness WHERE patient = ? ORDER BY 1 DESC LIMIT 1";
const ENTRIES: &str = "SELECT count(*) FROM entry WHERE log = (SELECT number FROM log WHERE patient = ?)";
const TOMBSTONE: &str = "SELECT erasure, halves, entries, sequence, head, erased_at FROM erased WHERE pseudonym = ?";
