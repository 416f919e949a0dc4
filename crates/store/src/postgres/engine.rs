//! The writer's side of PostgreSQL. A connection that is lost is made anew before the next transaction. What was being
//! committed then is in doubt: its callers are told so, and to repeat it, which every trait allows.

use std::time::Duration;

use sqlx::{Connection as _, Executor as _, PgConnection, Row as _};
use tokio::time::{sleep, timeout};

use super::{Database, append, locks};
use crate::{Append, Appended, DatabaseFault, StoreError, writer};

/// How long the lock of a process that was just killed is waited for.
const OWNER_PATIENCE: Duration = Duration::from_secs(10);
const OWNER_POLL: Duration = Duration::from_millis(100);
/// How long beginning or committing may take before the connection is given up: a network that swallows everything
/// answers nothing.
const ANSWER_PATIENCE: Duration = Duration::from_mins(1);

/// The one writer of a database.
pub(super) type Writer = writer::Writer<PostgresEngine>;

/// How a connection is made ready, and what its transactions begin with.
#[derive(Clone, Copy)]
enum Purpose {
    /// It has the database for itself, but for the audit log.
    Owner,
    /// It appends to the audit log, in turn with others.
    Audit,
}

/// The connection that writes.
pub(crate) struct PostgresEngine {
    /// None once it was lost.
    connection: Option<PgConnection>,
    database: Database,
    purpose: Purpose,
}

impl PostgresEngine {
    /// `connection` is what [`own`] gave.
    pub(super) fn owner(connection: PgConnection, database: Database) -> Self {
        Self { connection: Some(connection), database, purpose: Purpose::Owner }
    }

    pub(super) fn audit(connection: PgConnection, database: Database) -> Self {
        Self { connection: Some(connection), database, purpose: Purpose::Audit }
    }

    async fn try_to_begin(&mut self) -> Result<(), StoreError> {
        if self.connection.is_none() {
            let connection = match self.purpose {
                Purpose::Owner => own(&self.database).await?,
                Purpose::Audit => self.database.connect().await?,
            };
            self.connection = Some(connection);
            tracing::info!(database = %self.database, "connected to the database again");
        }
        let statement = match self.purpose {
            Purpose::Owner => "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE".to_owned(),
            Purpose::Audit => {
                format!(
                    "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; SELECT pg_advisory_xact_lock({})",
                    locks::AUDIT
                )
            }
        };
        self.answered(statement).await
    }

    /// Runs statements that the server must answer in time. A connection that is lost is dropped, and with it the lock
    /// that it held.
    async fn answered(&mut self, statements: String) -> Result<(), StoreError> {
        let run = self.open()?.execute(sqlx::raw_sql(sqlx::AssertSqlSafe(statements)));
        let done = match timeout(ANSWER_PATIENCE, run).await {
            Ok(done) => done.map(drop).map_err(StoreError::from),
            Err(_) => Err(DatabaseFault::Lost { reason: "no answer".to_owned() }.into()),
        };
        if matches!(done, Err(StoreError::Database(DatabaseFault::Lost { .. }))) {
            self.connection = None;
        }
        done
    }

    fn open(&mut self) -> Result<&mut PgConnection, StoreError> {
        let none = || DatabaseFault::Lost { reason: "there is no connection".to_owned() };
        self.connection.as_mut().ok_or_else(|| none().into())
    }
}

impl writer::Engine for PostgresEngine {
    type Connection = PgConnection;

    fn connection(&mut self) -> Result<&mut PgConnection, StoreError> {
        self.open()
    }

    async fn begin(&mut self) -> Result<(), StoreError> {
        let had_one = self.connection.is_some();
        let begun = self.try_to_begin().await;
        // A server that restarted is noticed here. Nothing was in the transaction yet, so it is simply begun again.
        if begun.is_err() && had_one && self.connection.is_none() { self.try_to_begin().await } else { begun }
    }

    async fn commit(&mut self) -> Result<(), StoreError> {
        // A timeout in the middle of waiting for a synchronous standby would be told as success.
        self.answered("SET LOCAL statement_timeout = 0; COMMIT".to_owned()).await
    }

    async fn roll_back(&mut self) {
        if self.connection.is_some() && self.answered("ROLLBACK".to_owned()).await.is_err() {
            self.connection = None;
        }
    }

    async fn execute(connection: &mut PgConnection, statement: &'static str) -> Result<(), StoreError> {
        connection.execute(sqlx::raw_sql(statement)).await?;
        Ok(())
    }

    async fn append(connection: &mut PgConnection, appends: &[Append]) -> Result<Vec<Appended>, StoreError> {
        append::run(connection, appends).await
    }

    async fn tidy(&mut self) {}

    /// The server's own: it overwrites what was deleted when it comes to it (docs/postgresql.md).
    async fn scrub(&mut self) -> Result<(), StoreError> {
        Ok(())
    }

    async fn close(self) -> Result<(), StoreError> {
        match self.connection {
            Some(connection) => Ok(connection.close().await?),
            None => Ok(()),
        }
    }
}

/// Connects and takes the database for this process. The lock ends with the connection, so that a process that is
/// killed, or a server that restarts, leaves none behind.
pub(super) async fn own(database: &Database) -> Result<PgConnection, StoreError> {
    let mut connection = database.connect().await?;
    let taken = timeout(OWNER_PATIENCE, async {
        while !sqlx::query("SELECT pg_try_advisory_lock($1)")
            .bind(locks::OWNER)
            .fetch_one(&mut connection)
            .await?
            .try_get::<bool, _>(0)?
        {
            sleep(OWNER_POLL).await;
        }
        Ok::<_, StoreError>(())
    });
    match taken.await {
        Ok(taken) => taken.map(|()| connection),
        Err(_) => Err(DatabaseFault::InUse { at: database.to_string(), by: holder(database).await? }.into()),
    }
}

/// Who has the database, as far as the server tells this user.
async fn holder(database: &Database) -> Result<String, StoreError> {
    let row = sqlx::query(HOLDER).bind(locks::OWNER).fetch_optional(&mut database.connect().await?).await?;
    let Some(row) = row else { return Ok("a process that has just ended; try again".to_owned()) };
    let (pid, user, address): (i32, Option<String>, Option<String>) =
        (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
    let user = user.unwrap_or_else(|| "another user".to_owned());
    let address = address.unwrap_or_else(|| "this computer".to_owned());
    Ok(format!("another process ({user} from {address}, server process {pid})"))
}

const HOLDER: &str = "SELECT l.pid, a.usename::text, a.client_addr::text
     FROM pg_locks AS l LEFT JOIN pg_stat_activity AS a ON a.pid = l.pid
     WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1
         AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
         AND (l.classid::bigint << 32 | l.objid::bigint) = $1";
