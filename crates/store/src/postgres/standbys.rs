//! Sealed entries, read from standbys. A standby lags, and what it says may be of the past, or of a past that never came to
//! be where it was a primary itself. So no answer of one is believed by itself: see [`Span`]. A standby that does not answer
//! rests for a while, and the primary is read instead.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use sealwort_proto::Pseudonym;
use sealwort_proto::receipt::Witness;
use sqlx::postgres::{PgConnectOptions, PgPool, PgRow};
use sqlx::{Executor, Postgres, Row as _};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;

use super::{Database, READERS_MAX, readers, schema};
use crate::StoreError;
use crate::database::{limit, signed, witness};

/// How long a standby may take. A caller waits as long before the primary is asked.
const PATIENCE: Duration = Duration::from_secs(2);
/// How long one is left alone that did not answer.
const REST: Duration = Duration::from_secs(15);

/// What is read of a log: entries after a sequence number, at most so many, of so many bytes.
///
/// Logs only grow, each entry is appended on condition of the hash before it, and a patient's entries go all at once. So two
/// servers whose last entry within the span is the same have the same entries there.
#[derive(Debug, Clone)]
pub(super) struct Span {
    patient: Vec<u8>,
    after: i64,
    entries_max: i64,
    bytes_max: i64,
}

impl Span {
    pub(super) fn new(
        patient: Pseudonym,
        after: u64,
        entries_max: usize,
        bytes_max: usize,
    ) -> Result<Self, StoreError> {
        let (after, patient) = (signed(after)?, patient.as_bytes().to_vec());
        Ok(Self { patient, after, entries_max: limit(entries_max), bytes_max: limit(bytes_max) })
    }

    /// Its entries. Each row has the span's last entry besides, which may lie behind what the bytes allow.
    pub(super) async fn rows(
        &self,
        executor: impl Executor<'_, Database = Postgres>,
    ) -> Result<Vec<PgRow>, StoreError> {
        let rows = sqlx::query(ROWS)
            .bind(self.patient.clone())
            .bind(self.after)
            .bind(self.entries_max)
            .bind(self.bytes_max)
            .fetch_all(executor)
            .await?;
        Ok(rows)
    }

    /// The last entry of a span, of which these are rows.
    pub(super) fn last_in(rows: &[PgRow]) -> Result<Option<Witness>, StoreError> {
        rows.first().map(|row| witness(row.try_get(8)?, row.try_get(9)?)).transpose()
    }

    /// Its last entry.
    pub(super) async fn last(
        &self,
        executor: impl Executor<'_, Database = Postgres>,
    ) -> Result<Option<Witness>, StoreError> {
        let row = sqlx::query(LAST)
            .bind(self.patient.clone())
            .bind(self.after)
            .bind(self.after.saturating_add(self.entries_max))
            .fetch_optional(executor)
            .await?;
        row.map(|row| witness(row.try_get(0)?, row.try_get(1)?)).transpose()
    }
}

/// The servers that are read from beside the primary; none where that is not wanted.
#[derive(Clone)]
pub(super) struct Standbys {
    /// All servers of the database in its own order, since each may be the primary or a standby in its time.
    servers: Arc<[Standby]>,
    database: Database,
    turn: Arc<AtomicUsize>,
}

struct Standby {
    at: String,
    pool: PgPool,
    /// As many as there are connections: who would have to wait for one goes to another server.
    free: Semaphore,
    /// Until when it is left alone; none where it answered last.
    rest: Mutex<Option<Instant>>,
}

impl Standbys {
    pub(super) fn of(database: &Database, known: &schema::Known) -> Self {
        let standby = |(options, at): (&PgConnectOptions, &str)| Standby {
            at: at.to_owned(),
            pool: readers::standby_pool(options.clone(), database, known, READERS_MAX, PATIENCE),
            free: Semaphore::new(READERS_MAX as usize),
            rest: Mutex::default(),
        };
        let servers = database.readable().map(standby).collect();
        Self { servers, database: database.clone(), turn: Arc::default() }
    }

    /// What one of them has of it now; nothing where none is free and answers.
    pub(super) async fn rows(&self, span: &Span) -> Option<Vec<PgRow>> {
        let (standby, _permit) = self.free()?;
        let reading = async {
            let mut c = standby.pool.acquire().await?;
            span.rows(&mut *c).await
        };
        match timeout(PATIENCE, reading).await.unwrap_or_else(|_| Err(readers::late().into())) {
            Ok(rows) => {
                *standby.rest() = None;
                Some(rows)
            }
            Err(error) => {
                if standby.rest().replace(Instant::now() + REST).is_none() {
                    tracing::warn!(standby = %standby.at, %error, "a standby cannot be read; the primary is, instead");
                }
                None
            }
        }
    }

    /// The next one that is not the primary, in turn.
    fn free(&self) -> Option<(&Standby, SemaphorePermit<'_>)> {
        let turn = self.turn.fetch_add(1, Ordering::Relaxed);
        let count = self.servers.len();
        (0..count)
            .map(|step| turn.wrapping_add(step) % count)
            .filter(|place| !self.database.is_primary(*place))
            .filter_map(|place| self.servers.get(place))
            .find_map(|standby| Some((standby, standby.take()?)))
    }

    pub(super) async fn close(&self) {
        for standby in &*self.servers {
            standby.pool.close().await;
        }
    }
}

impl Standby {
    fn take(&self) -> Option<SemaphorePermit<'_>> {
        let permit = self.free.try_acquire().ok()?;
        let (mut rest, now) = (self.rest(), Instant::now());
        if rest.is_some_and(|until| now < until) {
            return None;
        }
        // One that rested is tried by one reading at a time.
        if rest.is_some() {
            *rest = Some(now + REST);
        }
        Some(permit)
    }

    fn rest(&self) -> MutexGuard<'_, Option<Instant>> {
        self.rest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The lengths stand in the rows themselves, so that of what does not fit nothing is read.
const ROWS: &str = "WITH size AS MATERIALIZED (
         SELECT sequence, hash, length(envelope) + coalesce(object_bytes, length(ciphertext)) AS bytes FROM entry
         WHERE patient = $1 AND sequence > $2 ORDER BY sequence LIMIT $3),
     total AS (SELECT sequence, sum(bytes) OVER (ORDER BY sequence) AS bytes FROM size),
     last AS (SELECT sequence, hash FROM size ORDER BY sequence DESC LIMIT 1)
     SELECT entry.sequence, tag, author_key, envelope, ciphertext, object, object_bytes, object_digest, last.sequence,
         last.hash
     FROM entry, last
     WHERE patient = $1 AND entry.sequence > $2 AND entry.sequence <= coalesce(
         (SELECT max(sequence) FROM total WHERE bytes <= $4), (SELECT min(sequence) FROM size))
     ORDER BY entry.sequence";

/// Sequence numbers have no gaps.
const LAST: &str = "SELECT sequence, hash FROM entry WHERE patient = $1 AND sequence > $2 AND sequence <= $3
     ORDER BY sequence DESC LIMIT 1";
