//! The audit log in the database of its party. Its transactions take turns by a lock, so that `sealwort audit` may
//! append beside the service.

use sqlx::postgres::PgPool;

use super::{Database, PostgresEngine, Writer, schema};
use crate::StoreError;

/// The audit log of one party.
#[derive(Clone)]
pub struct PostgresAudit {
    pub(super) writer: Writer,
    pub(super) readers: PgPool,
}

impl PostgresAudit {
    /// Opens the log of a database that [`super::PostgresStore`] has made, also beside the service.
    pub async fn open(database: &Database) -> Result<Self, StoreError> {
        let mut connection = database.connect().await?;
        schema::check(&mut connection, database).await?;
        let readers = database.readers().await?;
        Ok(Self { writer: Writer::spawn(PostgresEngine::audit(connection, database.clone())), readers })
    }

    /// Finishes what was accepted, and closes the connections.
    pub async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }
}
