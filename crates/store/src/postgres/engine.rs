//! The writer's side of PostgreSQL. A connection that is lost is made anew before the next transaction. What was being
//! committed then is in doubt: its callers are told so, and to repeat it, which every trait allows.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use sqlx::{Connection as _, Executor as _, PgConnection, Row as _};
use tokio::time::sleep;

use super::schema::Known;
use super::{Database, append, locks, schema, script, whole};
use crate::append::Placed;
use crate::folder::Content;
use crate::key::Key;
use crate::writer::{Wait, answered};
use crate::{Appended, DataFolder, DatabaseFault, StoreError, writer};

/// How long the lock of a process that was just killed, or that changes the tables, is waited for.
const OTHERS_PATIENCE: Duration = Duration::from_secs(10);
const OTHERS_POLL: Duration = Duration::from_millis(100);
/// How long an answer is waited for before the connection is given up: a network that swallows everything answers nothing.
/// Longer than the server lets a statement run.
pub(super) const ANSWER_PATIENCE: Duration = Duration::from_secs(40);

/// What writes to a database for one process.
pub(super) type Writer = writer::Writer<PostgresEngine>;

/// How a connection is made ready, and what its transactions begin with.
#[derive(Clone, Copy)]
enum Purpose {
    /// It writes to all but the audit log, and says so to whoever wants the database alone.
    Node,
    /// It appends to the audit log, in turn with others.
    Audit,
}

/// The connection that writes.
pub(crate) struct PostgresEngine {
    /// None before it is needed, and once it was lost.
    connection: Option<PgConnection>,
    database: Database,
    known: Known,
    purpose: Purpose,
}

impl PostgresEngine {
    /// `connection` is what [`enter`] gave; where there is none, one is made when it is needed.
    pub(super) fn node(connection: Option<PgConnection>, database: Database, known: Known) -> Self {
        Self { connection, database, known, purpose: Purpose::Node }
    }

    pub(super) fn audit(connection: PgConnection, database: Database, known: Known) -> Self {
        Self { connection: Some(connection), database, known, purpose: Purpose::Audit }
    }

    async fn try_to_begin(&mut self, keys: &[Key], wait: Wait) -> Result<(), StoreError> {
        if self.connection.is_none() {
            let mut connection = match self.purpose {
                Purpose::Node => share(&self.database).await?,
                Purpose::Audit => self.database.connect().await?,
            };
            // The database may have been moved, or changed, while this node was not there to prevent it.
            let recognized = schema::recognize(&mut connection, &self.database, &self.known);
            answered(Some(ANSWER_PATIENCE), recognized).await?;
            self.connection = Some(connection);
            tracing::info!(database = %self.database, "connected to the database");
        }
        let wait = match wait {
            Wait::Long => "",
            Wait::Short => "SET LOCAL lock_timeout = '1s';",
        };
        let statement = match self.purpose {
            Purpose::Node if keys.is_empty() => String::new(),
            // In the order in which they come.
            Purpose::Node => {
                let locks: Vec<_> = keys.iter().map(|Key { kind, number }| format!("({kind}, {number})")).collect();
                format!(
                    "SELECT pg_advisory_xact_lock(kind, number) FROM (VALUES {}) AS key (kind, number)",
                    locks.join(", ")
                )
            }
            Purpose::Audit => format!("SELECT pg_advisory_xact_lock({})", locks::AUDIT),
        };
        self.answered(format!("BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; {wait} {statement}")).await?;
        if matches!(self.purpose, Purpose::Audit) {
            // The lock may have been waited for while the data were moved. No other lock keeps this one from the database.
            let database = self.database.clone();
            let moved = answered(Some(ANSWER_PATIENCE), whole::refuse_left(self.open()?, &database)).await;
            return self.judged(moved);
        }
        Ok(())
    }

    async fn answered(&mut self, statements: String) -> Result<(), StoreError> {
        let c = self.open()?;
        let run = async { Ok(c.execute(sqlx::raw_sql(sqlx::AssertSqlSafe(statements))).await.map(drop)?) };
        let done = answered(Some(ANSWER_PATIENCE), run).await;
        self.judged(done)
    }

    /// Drops a connection that is lost, and with it the lock that it held.
    fn judged(&mut self, done: Result<(), StoreError>) -> Result<(), StoreError> {
        if done.as_ref().is_err_and(StoreError::is_lost) {
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
    const ANSWER_PATIENCE: Option<Duration> = Some(ANSWER_PATIENCE);

    fn connection(&mut self) -> Result<&mut PgConnection, StoreError> {
        self.open()
    }

    async fn begin(&mut self, keys: &[Key], wait: Wait) -> Result<(), StoreError> {
        let had_one = self.connection.is_some();
        let begun = self.try_to_begin(keys, wait).await;
        // A server that restarted is noticed here. Nothing was in the transaction yet, so it is simply begun again.
        if begun.is_err() && had_one && self.connection.is_none() { self.try_to_begin(keys, wait).await } else { begun }
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

    fn disconnect(&mut self) {
        self.connection = None;
    }

    async fn execute(connection: &mut PgConnection, statement: &'static str) -> Result<(), StoreError> {
        script(connection, statement).await
    }

    async fn append(connection: &mut PgConnection, appends: &[Placed]) -> Result<Vec<Appended>, StoreError> {
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

/// How a process holds a database. The lock ends with the connection, so that a process that is killed, or a server that
/// restarts, leaves none behind.
#[derive(Clone, Copy)]
enum Hold {
    /// As one of its nodes.
    Shared,
    /// To change its tables.
    Alone,
}

/// Connects as one of the nodes of a database whose tables are made.
async fn share(database: &Database) -> Result<PgConnection, StoreError> {
    hold(database, Hold::Shared).await
}

/// Connects, and has the database alone: no node is connected.
pub(super) async fn own(database: &Database) -> Result<PgConnection, StoreError> {
    hold(database, Hold::Alone).await
}

/// Connects as a node. Whoever comes first makes the tables or brings them to the newest format; the others wait for it.
pub(super) async fn enter(database: &Database, folder: &mut DataFolder) -> Result<(PgConnection, Known), StoreError> {
    let mut connection = database.connect().await?;
    schema::inspect(&mut connection, database, folder).await?;
    let begun = Instant::now();
    loop {
        if answered(Some(ANSWER_PATIENCE), take(&mut connection, Hold::Shared)).await? {
            if schema::is_ready(&mut connection, database).await? {
                schema::inspect(&mut connection, database, folder).await?;
                break;
            }
            sqlx::query("SELECT pg_advisory_unlock_shared($1)").bind(locks::NODES).execute(&mut connection).await?;
        }
        if answered(Some(ANSWER_PATIENCE), take(&mut connection, Hold::Alone)).await? {
            schema::inspect(&mut connection, database, folder).await?;
            schema::migrate(&mut connection, database, schema::newest()).await?;
            schema::claim(&mut connection, folder).await?;
            take(&mut connection, Hold::Shared).await?;
            sqlx::query("SELECT pg_advisory_unlock($1)").bind(locks::NODES).execute(&mut connection).await?;
            break;
        }
        in_time(begun, database).await?;
    }
    schema::claim(&mut connection, folder).await?;
    let Content::Database(id) = folder.content().clone() else {
        return Err(StoreError::Io(format!("{} does not keep what is written", folder.path().display())));
    };
    let keys = folder.key_names();
    script(&mut connection, "BEGIN").await?;
    schema::adopt(&mut connection, database, keys).await?;
    script(&mut connection, "SET LOCAL statement_timeout = 0; COMMIT").await?;
    let newest = keys.first().copied().into_iter().collect();
    Ok((connection, Known { id, keys: Arc::new(Mutex::new(newest)) }))
}

async fn hold(database: &Database, how: Hold) -> Result<PgConnection, StoreError> {
    let mut connection = database.connect().await?;
    let begun = Instant::now();
    while !answered(Some(ANSWER_PATIENCE), take(&mut connection, how)).await? {
        in_time(begun, database).await?;
    }
    Ok(connection)
}

/// Waits a moment for others, as long as there is time.
async fn in_time(begun: Instant, database: &Database) -> Result<(), StoreError> {
    if begun.elapsed() > OTHERS_PATIENCE {
        let by = answered(Some(ANSWER_PATIENCE), holder(database)).await?;
        return Err(DatabaseFault::InUse { at: database.to_string(), by }.into());
    }
    sleep(OTHERS_POLL).await;
    Ok(())
}

async fn take(connection: &mut PgConnection, how: Hold) -> Result<bool, StoreError> {
    let statement = match how {
        Hold::Shared => "SELECT pg_try_advisory_lock_shared($1)",
        Hold::Alone => "SELECT pg_try_advisory_lock($1)",
    };
    Ok(sqlx::query(statement).bind(locks::NODES).fetch_one(connection).await?.try_get(0)?)
}

/// Who has the database, as far as the server tells this user.
async fn holder(database: &Database) -> Result<String, StoreError> {
    let row = sqlx::query(HOLDER).bind(locks::NODES).fetch_optional(&mut database.connect().await?).await?;
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
         AND (l.classid::bigint << 32 | l.objid::bigint) = $1
     LIMIT 1";
