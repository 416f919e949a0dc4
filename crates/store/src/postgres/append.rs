//! Appending to logs: the appends that queued up travel together, as arrays. The heads of all their logs are read, each
//! append is judged in order, and what is to be stored is inserted. Any error takes the whole transaction down.

use sealwort_proto::{DepositId, Pseudonym};
use sqlx::{PgConnection, Row as _};

use crate::append::{EntryRow, Logs, Placed, rows, stored};
use crate::database::{fixed, signed, witness};
use crate::{Appended, StoreError};

/// Bytes of envelopes and ciphertexts in one statement, unless a single entry is larger.
const STATEMENT_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Runs appends that passed [`crate::append::check`]; each sees the ones before it.
pub(super) async fn run(c: &mut PgConnection, appends: &[Placed]) -> Result<Vec<Appended>, StoreError> {
    if appends.is_empty() {
        return Ok(Vec::new());
    }
    let outcomes = load(c, appends).await?.judge_all(appends);
    let rows: Vec<_> = stored(appends, &outcomes).flat_map(rows).collect();
    let mut left = rows.as_slice();
    while !left.is_empty() {
        let mut bytes = 0;
        let fits = left.iter().take_while(|row| {
            bytes += row.entry.envelope.len() + row.entry.ciphertext.len();
            bytes <= STATEMENT_BYTES_MAX
        });
        let (now, rest) = left.split_at(fits.count().max(1));
        insert(c, now).await?;
        left = rest;
    }
    Ok(outcomes)
}

async fn load(c: &mut PgConnection, appends: &[Placed]) -> Result<Logs, StoreError> {
    let patients: Vec<&[u8]> = appends.iter().map(|append| append.patient.as_bytes().as_slice()).collect();
    let deposits: Vec<&[u8]> = appends.iter().map(|append| append.deposit.as_bytes().as_slice()).collect();
    let found = sqlx::query(LOAD).bind(patients).bind(deposits).fetch_all(&mut *c).await?;
    let mut logs = Logs::default();
    for row in found {
        let place = usize::try_from(row.try_get::<i64, _>(0)? - 1).ok();
        let Some(append) = place.and_then(|place| appends.get(place)) else { continue };
        if let Some(sequence) = row.try_get::<Option<i64>, _>(1)? {
            logs.heads.insert(append.patient, witness(sequence, row.try_get(2)?)?);
        }
        if let Some(sequence) = row.try_get::<Option<i64>, _>(3)? {
            logs.deposits.insert((append.patient, append.deposit), witness(sequence, row.try_get(4)?)?);
        }
    }
    // Of those without a log, which were erased. Only a first deposit asks.
    let without = |append: &&Placed| !logs.heads.contains_key(&append.patient);
    let without: Vec<_> = appends.iter().filter(without).map(|append| append.patient.as_bytes().to_vec()).collect();
    if !without.is_empty() {
        for row in sqlx::query(ERASED).bind(without).fetch_all(c).await? {
            logs.erased.insert(fixed(row.try_get(0)?, Pseudonym::from_slice)?);
        }
    }
    Ok(logs)
}

async fn insert(c: &mut PgConnection, rows: &[EntryRow<'_>]) -> Result<(), StoreError> {
    let sequences: Result<Vec<i64>, StoreError> = rows.iter().map(|row| signed(row.entry.sequence)).collect();
    let object_bytes: Result<Vec<Option<i64>>, StoreError> =
        rows.iter().map(|row| row.object.map(|object| signed(object.bytes)).transpose()).collect();
    let column = |of: fn(&EntryRow<'_>) -> Vec<u8>| rows.iter().map(of).collect::<Vec<_>>();
    let deposits: Vec<Option<Vec<u8>>> = rows.iter().map(|row| row.deposit.as_ref().map(deposit)).collect();
    let done = sqlx::query(INSERT)
        .bind(rows.iter().map(|row| patient(&row.patient)).collect::<Vec<_>>())
        .bind(sequences?)
        .bind(deposits)
        .bind(column(|row| row.entry.hash.as_bytes().to_vec()))
        .bind(column(|row| row.entry.tag.as_bytes().to_vec()))
        .bind(column(|row| row.entry.author_key.as_bytes().to_vec()))
        .bind(rows.iter().map(|row| row.entry.envelope.as_slice()).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| row.entry.ciphertext.as_slice()).collect::<Vec<_>>())
        .bind(rows.iter().map(|row| row.object.map(|object| object.key.as_bytes().to_vec())).collect::<Vec<_>>())
        .bind(object_bytes?)
        .bind(rows.iter().map(|row| row.object.map(|object| object.digest.as_bytes().to_vec())).collect::<Vec<_>>())
        .execute(c)
        .await?;
    if done.rows_affected() == rows.len() as u64 {
        Ok(())
    } else {
        Err(StoreError::Io("an entry was not inserted".to_owned()))
    }
}

fn patient(patient: &Pseudonym) -> Vec<u8> {
    patient.as_bytes().to_vec()
}

fn deposit(deposit: &DepositId) -> Vec<u8> {
    deposit.as_bytes().to_vec()
}

/// `LIMIT` keeps each of these a look into an index, whatever the planner thinks of the sizes.
const LOAD: &str = "SELECT wanted.place, last.sequence, last.hash, known.sequence, known.hash
     FROM unnest($1::bytea[], $2::bytea[]) WITH ORDINALITY AS wanted (patient, deposit, place)
     LEFT JOIN LATERAL (SELECT e.sequence, e.hash FROM entry AS e
         WHERE e.patient = wanted.patient ORDER BY e.sequence DESC LIMIT 1) AS last ON true
     LEFT JOIN LATERAL (SELECT e.sequence, e.hash FROM entry AS e
         WHERE e.patient = wanted.patient AND e.deposit = wanted.deposit LIMIT 1) AS known ON true";

const ERASED: &str = "SELECT pseudonym FROM erased WHERE pseudonym = ANY($1::bytea[])";

const INSERT: &str = "INSERT INTO entry (patient, sequence, deposit, hash, tag, author_key, envelope, ciphertext,
         object, object_bytes, object_digest)
     SELECT * FROM unnest($1::bytea[], $2::bigint[], $3::bytea[], $4::bytea[], $5::bytea[], $6::bytea[], $7::bytea[],
         $8::bytea[], $9::bytea[], $10::bigint[], $11::bytea[])";
