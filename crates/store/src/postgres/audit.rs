//! The audit log in the database of its party. Its transactions take turns by a lock, so that `sealwort audit` may
//! append beside the service.

use sqlx::PgConnection;

use super::{Database, PostgresEngine, READERS_MAX, Readers, Writer, schema, whole};
use crate::StoreError;

/// The audit log of one party.
#[derive(Clone)]
pub struct PostgresAudit {
    pub(super) writer: Writer,
    pub(super) readers: Readers,
}

impl PostgresAudit {
    /// Opens the log of a database that [`super::PostgresStore`] has made, also beside the service.
    pub async fn open(database: &Database) -> Result<Self, StoreError> {
        let mut connection = database.connect().await?;
        schema::check(&mut connection, database).await?;
        whole::refuse_left(&mut connection, database).await?;
        let known = schema::known(&mut connection, database).await?;
        Ok(Self::over(connection, database, known))
    }

    /// The log of a node, which knows its database.
    pub(super) async fn of_node(database: &Database, known: schema::Known) -> Result<Self, StoreError> {
        let mut connection = database.connect().await?;
        schema::recognize(&mut connection, database, &known).await?;
        Ok(Self::over(connection, database, known))
    }

    fn over(connection: PgConnection, database: &Database, known: schema::Known) -> Self {
        let readers = Readers::of(database, &known, READERS_MAX);
        Self { writer: Writer::spawn(PostgresEngine::audit(connection, database.clone(), known)), readers }
    }

    /// Finishes what was accepted, and closes the connections.
    pub async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }
}
