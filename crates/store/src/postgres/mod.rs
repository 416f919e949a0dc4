//! The back end on a PostgreSQL server: the tables of the embedded one, partitioned by hash of the pseudonym. Several
//! processes may write to a database, the nodes of one party. A transaction takes advisory locks of all patients that it
//! is about before it reads anything, so that what is appended on a condition is judged by what all others committed.

mod append;
mod audit;
mod changes;
mod destroy;
#[path = "../relational/emergency.rs"]
mod emergency;
mod engine;
#[path = "../relational/erase.rs"]
mod erase;
#[path = "../relational/half.rs"]
mod half;
mod log;
#[path = "../relational/objects.rs"]
mod objects;
#[path = "../relational/patient.rs"]
mod patient;
mod readers;
#[path = "../relational/rows.rs"]
pub(crate) mod rows;
mod rows_dialect;
mod schema;
mod server;
mod standbys;
#[path = "../relational/audit.rs"]
mod trail;
mod url;
pub(crate) mod whole;
#[path = "../relational/witness.rs"]
mod witness;

use std::path::Path;
use std::sync::Arc;

use futures::FutureExt as _;
use sealwort_proto::{Digest, Pseudonym};
use sqlx::Executor as _;
use sqlx::postgres::PgDatabaseError;

use crate::key::Key;
use crate::snapshot::known_as;
use crate::{DataFolder, DatabaseFault, Objects, StoreError, Swept};
use PostgresAudit as Audit;
use PostgresStore as Store;
pub use audit::PostgresAudit;
use changes::tell;
use engine::{PostgresEngine, Writer};
use readers::{Readers, in_time};
use sqlx::PgConnection as Connection;
use sqlx::Postgres as Driver;
use sqlx::postgres::PgRow as DriverRow;
use standbys::Standbys;
pub use url::Database;

/// What a damaged audit log is called.
const AUDIT_PLACE: &str = "audit_entry";
/// Connections that read, of the store and of the audit log.
const READERS_MAX: u32 = 8;
/// Connections that append to logs. While one waits for the disk or a standby, the others work.
const APPENDERS: usize = 3;

/// One party's database, which implements the traits of broker and archive.
#[derive(Clone)]
pub struct PostgresStore {
    writer: Writer,
    appenders: Arc<[Writer]>,
    readers: Readers,
    standbys: Standbys,
    database: Database,
    known: schema::Known,
    objects: Option<Objects>,
}

impl PostgresStore {
    /// Opens the database of a folder, making its tables where it is new, also beside other nodes whose folders are
    /// copies of one. What was used by another party, by another folder or by a newer version is an error and stays as it
    /// is.
    pub async fn open(folder: &mut DataFolder, database: &Database) -> Result<Self, StoreError> {
        let (connection, known) = engine::enter(database, folder).await?;
        let readers = Readers::of(database, &known, READERS_MAX);
        let standbys = Standbys::of(database, &known);
        let writer = |connection| Writer::spawn(PostgresEngine::node(connection, database.clone(), known.clone()));
        let appenders = (0..APPENDERS).map(|_| writer(None)).collect();
        let writer = writer(Some(connection));
        Ok(Self { writer, appenders, readers, standbys, database: database.clone(), known, objects: None })
    }

    /// The audit log, which lies in the same database.
    pub async fn audit(&self) -> Result<PostgresAudit, StoreError> {
        PostgresAudit::of_node(&self.database, self.known.clone()).await
    }

    /// Brings a database that nobody uses to another format, 0 for none; an older version can then open it. Going back
    /// refuses to drop what holds data.
    pub async fn migrate(database: &Database, format: i64) -> Result<(), StoreError> {
        let mut connection = engine::own(database).await?;
        schema::migrate(&mut connection, database, format).await
    }

    /// Which connection appends to a log: always the same, so that appends to it travel together and none waits for the
    /// lock that another holds.
    fn appender(&self, patient: Pseudonym) -> &Writer {
        let number = Key::patient(patient).number.unsigned_abs() as usize % APPENDERS;
        self.appenders.get(number).unwrap_or(&self.writer)
    }

    /// Until it is known whether the key changed, either key may be the one that a new connection finds.
    async fn adopt_keys(&self, keys: Vec<Digest>) -> Result<(), StoreError> {
        let (newest, database) = (keys.first().copied().into_iter().collect(), self.database.clone());
        self.known.set_keys(keys.clone());
        let adopt = self.writer.submit(move |c| async move { schema::adopt(c, &database, &keys).await }.boxed());
        adopt.await?;
        self.known.set_keys(newest);
        Ok(())
    }

    /// Sweeps the objects of the database that a folder knows by this id, also beside the service.
    pub async fn sweep_beside(
        database: &Database,
        known: &str,
        folder: &Path,
        objects: &Objects,
    ) -> Result<Swept, StoreError> {
        let mut connection = whole::current(database).await?;
        known_as(&mut connection, database, known, folder).await?;
        // What is stored since the data were moved is named elsewhere.
        whole::refuse_left(&mut connection, database).await?;
        objects::Beside(connection).sweep(objects).await
    }

    /// Waits for the reads under way, finishes the writes that were accepted, and gives the database free.
    /// What is asked later fails.
    pub async fn close(&self) {
        self.standbys.close().await;
        self.readers.close().await;
        for writer in self.appenders.iter().chain([&self.writer]) {
            writer.close().await;
        }
    }
}

/// What the server says about a statement, by its SQLSTATE.
pub(crate) fn failed(told: &PgDatabaseError) -> StoreError {
    match told.code() {
        "53100" => StoreError::Full,
        "25006" => DatabaseFault::ReadOnly.into(),
        "55P03" => DatabaseFault::Held.into(),
        // The last one: it stood still in the middle of a transaction.
        code if code.starts_with("08") || code.starts_with("57P") || code == "25P03" => {
            DatabaseFault::Lost { reason: told.message().to_owned() }.into()
        }
        code => StoreError::Io(format!("{} (SQLSTATE {code})", told.message())),
    }
}

/// Runs statements that answer nothing.
async fn script(c: &mut Connection, statements: &str) -> Result<(), StoreError> {
    c.execute(sqlx::raw_sql(sqlx::AssertSqlSafe(statements.to_owned()))).await?;
    Ok(())
}

/// Numbers of the advisory locks: "SLWT" and one more.
mod locks {
    /// Held by every node for as long as it is connected, shared; by who changes the tables alone.
    pub(super) const NODES: i64 = 0x534c_5754_0000_0001;
    /// Held while tables are changed.
    pub(super) const MIGRATION: i64 = 0x534c_5754_0000_0002;
    /// Held in each transaction upon the audit log, which stays one however many nodes append.
    pub(super) const AUDIT: i64 = 0x534c_5754_0000_0003;
}
