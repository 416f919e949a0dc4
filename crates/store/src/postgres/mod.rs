//! The back end on a PostgreSQL server: the tables of the embedded one, partitioned by hash of the pseudonym. One
//! process writes to a database; the server itself refuses a second one, by an advisory lock that the connection holds
//! through which everything is written.

mod append;
mod audit;
mod destroy;
#[path = "../relational/emergency.rs"]
mod emergency;
mod engine;
#[path = "../relational/erase.rs"]
mod erase;
mod log;
#[path = "../relational/patient.rs"]
mod patient;
mod schema;
mod server;
#[path = "../relational/audit.rs"]
mod trail;
mod url;
#[path = "../relational/witness.rs"]
mod witness;

use sqlx::postgres::{PgDatabaseError, PgPool};

use crate::{DataFolder, DatabaseFault, StoreError};
use PostgresAudit as Audit;
use PostgresStore as Store;
pub use audit::PostgresAudit;
use engine::{PostgresEngine, Writer};
use sqlx::PgConnection as Connection;
use sqlx::Postgres as Driver;
use sqlx::postgres::PgRow as DriverRow;
pub use url::Database;

/// What a damaged audit log is called.
const AUDIT_PLACE: &str = "audit_entry";

/// One party's database, which implements the traits of broker and archive.
#[derive(Clone)]
pub struct PostgresStore {
    writer: Writer,
    readers: PgPool,
    database: Database,
}

impl PostgresStore {
    /// Takes the database of a folder, making its tables where it is new. What was used by another party, by another
    /// folder or by a newer version is an error and stays as it is.
    pub async fn open(folder: &mut DataFolder, database: &Database) -> Result<Self, StoreError> {
        let mut connection = engine::own(database).await?;
        schema::inspect(&mut connection, database, folder).await?;
        schema::migrate(&mut connection, database, schema::newest()).await?;
        schema::claim(&mut connection, folder).await?;
        let readers = database.readers().await?;
        let writer = Writer::spawn(PostgresEngine::owner(connection, database.clone()));
        Ok(Self { writer, readers, database: database.clone() })
    }

    /// The audit log, which lies in the same database.
    pub async fn audit(&self) -> Result<PostgresAudit, StoreError> {
        PostgresAudit::open(&self.database).await
    }

    /// Brings a database that nobody uses to another format, 0 for none; an older version can then open it. Going back
    /// refuses to drop what holds data.
    pub async fn migrate(database: &Database, format: i64) -> Result<(), StoreError> {
        let mut connection = engine::own(database).await?;
        schema::migrate(&mut connection, database, format).await
    }

    /// Waits for the reads under way, finishes the writes that were accepted, and gives the database free.
    /// What is asked later fails.
    pub async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }
}

/// What the server says about a statement, by its SQLSTATE.
pub(crate) fn failed(told: &PgDatabaseError) -> StoreError {
    match told.code() {
        "53100" => StoreError::Full,
        "25006" => DatabaseFault::ReadOnly.into(),
        code if code.starts_with("08") || code.starts_with("57P") => {
            DatabaseFault::Lost { reason: told.message().to_owned() }.into()
        }
        code => StoreError::Io(format!("{} (SQLSTATE {code})", told.message())),
    }
}

/// Numbers of the advisory locks: "SLWT" and one more.
mod locks {
    /// Held for as long as a process writes to the database.
    pub(super) const OWNER: i64 = 0x534c_5754_0000_0001;
    /// Held while tables are changed.
    pub(super) const MIGRATION: i64 = 0x534c_5754_0000_0002;
    /// Held in each transaction upon the audit log, because `sealwort audit` appends beside the service.
    pub(super) const AUDIT: i64 = 0x534c_5754_0000_0003;
}
