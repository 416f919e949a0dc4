//! Appending to logs. Every call of `sqlx` is a trip to SQLite's thread and back, which costs more than most
//! statements do; so the appends that queued up travel together: the heads of all their logs are read, each
//! append is judged in order, and what is to be stored is inserted.
//!
//! This runs inside the one writer's transaction, so nothing comes between reading and inserting. Any error takes
//! the whole transaction down.

use std::sync::LazyLock;

use sealwort_proto::log::empty;
use sqlx::{Row as _, SqliteConnection};

use super::erase::tombstone;
use crate::append::{EntryRow, Logs, Placed, rows, stored};
use crate::database::{signed, witness};
use crate::{Appended, StoreError};

/// Rows that may travel together: a few fixed numbers, so that every statement stays prepared. Places left over
/// are not bound, which makes them NULL, and a NULL patient has no log.
const TRIPS: [usize; 4] = [1, 4, 16, 64];
/// Entries above this size, in bytes of ciphertext and envelope, travel alone, so that no trip copies much.
const SHARED_TRIP_BYTES_MAX: usize = 64 * 1024;

/// Runs appends that passed [`crate::append::check`]; each sees the ones before it.
pub(super) async fn run(c: &mut SqliteConnection, appends: &[Placed]) -> Result<Vec<Appended>, StoreError> {
    let outcomes = load(c, appends).await?.judge_all(appends);
    let begun: Vec<_> = stored(appends, &outcomes).filter(|append| append.after == empty(append.patient)).collect();
    insert_logs(c, &begun).await?;
    let rows: Vec<_> = stored(appends, &outcomes).flat_map(rows).collect();
    insert_entries(c, &rows).await?;
    Ok(outcomes)
}

async fn load(c: &mut SqliteConnection, appends: &[Placed]) -> Result<Logs, StoreError> {
    let mut logs = Logs::default();
    let mut left = appends;
    while let Some((now, rest, statement)) = trip(left, &LOAD, |_| true) {
        let mut query = sqlx::query(statement);
        for (place, append) in (0i64..).zip(now) {
            query = query.bind(place).bind(bytes(append.patient.as_bytes())).bind(bytes(append.deposit.as_bytes()));
        }
        for row in query.fetch_all(&mut *c).await? {
            let append = usize::try_from(row.try_get::<i64, _>(0)?).ok().and_then(|place| now.get(place));
            let Some(append) = append else { continue };
            logs.heads.insert(append.patient, witness(row.try_get(1)?, row.try_get(2)?)?);
            if let Some(sequence) = row.try_get::<Option<i64>, _>(3)? {
                logs.deposits.insert((append.patient, append.deposit), witness(sequence, row.try_get(4)?)?);
            }
        }
        left = rest;
    }
    // Of those without a log, which were erased. Only a first deposit asks.
    for append in appends {
        if !logs.heads.contains_key(&append.patient) && tombstone(&mut *c, append.patient).await?.is_some() {
            logs.erased.insert(append.patient);
        }
    }
    Ok(logs)
}

async fn insert_logs(c: &mut SqliteConnection, begun: &[&Placed]) -> Result<(), StoreError> {
    let mut left = begun;
    while let Some((now, rest, statement)) = trip(left, &INSERT_LOGS, |_| true) {
        let query =
            now.iter().fold(sqlx::query(statement), |query, append| query.bind(bytes(append.patient.as_bytes())));
        query.execute(&mut *c).await?;
        left = rest;
    }
    Ok(())
}

async fn insert_entries(c: &mut SqliteConnection, rows: &[EntryRow<'_>]) -> Result<(), StoreError> {
    let small = |row: &EntryRow<'_>| row.entry.envelope.len() + row.entry.ciphertext.len() <= SHARED_TRIP_BYTES_MAX;
    let mut left = rows;
    while let Some((now, rest, statement)) = trip(left, &INSERT_ENTRIES, small) {
        let mut query = sqlx::query(statement);
        for EntryRow { patient, deposit, entry, object } in now {
            query = query
                .bind(bytes(patient.as_bytes()))
                .bind(signed(entry.sequence)?)
                .bind(deposit.map(|deposit| bytes(deposit.as_bytes())))
                .bind(bytes(entry.hash.as_bytes()))
                .bind(bytes(entry.tag.as_bytes()))
                .bind(bytes(entry.author_key.as_bytes()))
                .bind(&entry.envelope)
                .bind(&entry.ciphertext)
                .bind(object.map(|object| bytes(object.key.as_bytes())))
                .bind(object.map(|object| signed(object.bytes)).transpose()?)
                .bind(object.map(|object| bytes(object.digest.as_bytes())));
        }
        if query.execute(&mut *c).await?.rows_affected() != now.len() as u64 {
            return Err(StoreError::Io("an entry was not inserted".to_owned()));
        }
        left = rest;
    }
    Ok(())
}

fn bytes(id: &[u8]) -> Vec<u8> {
    id.to_vec()
}

/// The rows of the next trip, those after it, and the smallest statement that takes them.
fn trip<'r, T>(
    left: &'r [T],
    statements: &'static [String; TRIPS.len()],
    may_share: impl Fn(&T) -> bool,
) -> Option<(&'r [T], &'r [T], &'static str)> {
    let most = TRIPS.iter().max().copied().unwrap_or(1);
    let sharing = left.iter().take(most).take_while(|row| may_share(row)).count();
    let (now, rest) = left.split_at_checked(sharing.max(1))?;
    let (_, statement) = TRIPS.iter().zip(statements).find(|(size, _)| **size >= now.len())?;
    Some((now, rest, statement))
}

/// A statement for each number of rows.
fn statements(before: &str, row: &str, after: &str) -> [String; TRIPS.len()] {
    TRIPS.map(|size| format!("{before} {} {after}", vec![row; size].join(", ")))
}

static LOAD: LazyLock<[String; TRIPS.len()]> = LazyLock::new(|| {
    statements(
        "WITH wanted (place, patient, deposit) AS (VALUES",
        "(?, ?, ?)",
        ") SELECT place, last.sequence, last.hash, known.sequence, known.hash FROM wanted
         CROSS JOIN log ON log.patient = wanted.patient
         CROSS JOIN entry AS last ON last.log = log.number
             AND last.sequence = (SELECT max(e.sequence) FROM entry AS e WHERE e.log = log.number)
         LEFT JOIN entry AS known INDEXED BY entry_deposit
             ON known.deposit = wanted.deposit AND known.log = log.number",
    )
});

static INSERT_LOGS: LazyLock<[String; TRIPS.len()]> = LazyLock::new(|| {
    statements(
        "WITH new (patient) AS (VALUES",
        "(?)",
        ") INSERT INTO log (patient) SELECT patient FROM new WHERE patient IS NOT NULL",
    )
});

static INSERT_ENTRIES: LazyLock<[String; TRIPS.len()]> = LazyLock::new(|| {
    statements(
        "WITH new (patient, sequence, deposit, hash, tag, author_key, envelope, ciphertext, object, object_bytes,
             object_digest) AS (VALUES",
        "(?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        ") INSERT INTO entry (log, sequence, deposit, hash, tag, author_key, envelope, ciphertext, object, object_bytes,
             object_digest)
         SELECT log.number, new.sequence, deposit, hash, tag, author_key, envelope, ciphertext, object, object_bytes,
             object_digest
         FROM new CROSS JOIN log ON log.patient = new.patient",
    )
});
