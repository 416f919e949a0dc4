//! What broker and archive each keep, opened where their configuration says: in the data folder, or on a server.

use std::ops::Deref;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::postgres::{Database, PostgresAudit, PostgresStore};
use crate::snapshot::{Kept, kept};
use crate::sqlite::{SqliteAudit, SqliteStore};
use crate::{
    AuditBatch, AuditStore, BrokerStore, DataFolder, HalfStore, LogStore, Objects, PatientStore, Standing, StoreError,
    Swept,
};

/// Time between two sweeps of the objects that nothing names. The first one is at the start.
const SWEEP_EVERY: Duration = Duration::from_hours(6);

/// A party's open store and audit log, with the folder that is locked for as long.
pub struct PartyStore {
    /// Where there are objects. It is told to end before the folder is free.
    sweeping: Option<Sweeping>,
    engine: Engine,
    folder: DataFolder,
}

/// The task that sweeps, which ends with this.
struct Sweeping(JoinHandle<()>);

impl Drop for Sweeping {
    fn drop(&mut self) {
        self.0.abort();
    }
}

#[derive(Clone)]
enum Engine {
    Embedded(SqliteStore, SqliteAudit),
    Server(PostgresStore, PostgresAudit),
}

impl PartyStore {
    /// Opens them: in the database, or without one in the folder, where `audit` is the folder of the audit log.
    pub async fn open(mut folder: DataFolder, audit: &Path, database: Option<&Database>) -> Result<Self, StoreError> {
        let engine = match database {
            None => {
                let store = SqliteStore::open(&mut folder).await?;
                let audit = SqliteAudit::open(&folder, audit).await?;
                Engine::Embedded(store, audit)
            }
            Some(database) => {
                let store = PostgresStore::open(&mut folder, database).await?;
                let audit = store.audit().await?;
                Engine::Server(store, audit)
            }
        };
        Ok(Self { engine, folder, sweeping: None })
    }

    /// Keeps large entries there from now on, and collects what nothing names. Without a place, a store that has objects
    /// is refused.
    pub async fn with_objects(mut self, objects: Option<Objects>) -> Result<Self, StoreError> {
        let swept = objects.is_some();
        self.engine = match self.engine {
            Engine::Embedded(store, audit) => Engine::Embedded(store.with_objects(objects).await?, audit),
            Engine::Server(store, audit) => Engine::Server(store.with_objects(objects).await?, audit),
        };
        if swept {
            self.sweeping = Some(Sweeping(tokio::spawn(sweep(self.engine.clone()))));
        }
        Ok(self)
    }

    /// Sweeps the objects of what this data folder's role keeps, in the folder or in the database, also beside its
    /// service.
    pub async fn sweep_beside(
        folder: &Path,
        role: &str,
        database: Option<&Database>,
        objects: &Objects,
    ) -> Result<Swept, StoreError> {
        match kept(folder, role, database)? {
            Kept::Here => SqliteStore::sweep_beside(folder, objects).await,
            Kept::In(database, known) => PostgresStore::sweep_beside(database, &known, folder, objects).await,
        }
    }

    /// Patients.
    pub fn patients(&self) -> Arc<dyn PatientStore> {
        match &self.engine {
            Engine::Embedded(store, _) => Arc::new(store.clone()),
            Engine::Server(store, _) => Arc::new(store.clone()),
        }
    }

    /// Wrapped halves of all patients.
    pub fn halves(&self) -> Arc<dyn HalfStore> {
        match &self.engine {
            Engine::Embedded(store, _) => Arc::new(store.clone()),
            Engine::Server(store, _) => Arc::new(store.clone()),
        }
    }

    /// Logs of sealed entries.
    pub fn logs(&self) -> Arc<dyn LogStore> {
        match &self.engine {
            Engine::Embedded(store, _) => Arc::new(store.clone()),
            Engine::Server(store, _) => Arc::new(store.clone()),
        }
    }

    /// What the broker keeps beside patients.
    pub fn broker(&self) -> Arc<dyn BrokerStore> {
        match &self.engine {
            Engine::Embedded(store, _) => Arc::new(store.clone()),
            Engine::Server(store, _) => Arc::new(store.clone()),
        }
    }

    /// The audit log.
    pub fn audit(&self) -> Arc<dyn AuditStore> {
        match &self.engine {
            Engine::Embedded(_, audit) => Arc::new(audit.clone()),
            Engine::Server(_, audit) => Arc::new(audit.clone()),
        }
    }

    /// Finishes what was accepted, and gives database and folder free.
    pub async fn close(self) {
        drop(self.sweeping);
        match self.engine {
            Engine::Embedded(store, audit) => {
                store.close().await;
                audit.close().await;
            }
            Engine::Server(store, audit) => {
                store.close().await;
                audit.close().await;
            }
        }
        drop(self.folder);
    }
}

/// Sweeps now and then. What fails is tried again next time: nothing is lost by it but room.
async fn sweep(engine: Engine) {
    loop {
        let swept = match &engine {
            Engine::Embedded(store, _) => store.sweep().await,
            Engine::Server(store, _) => store.sweep().await,
        };
        match swept {
            Ok(Swept { removed: 0, .. }) => {}
            Ok(swept) => tracing::info!(?swept, "objects that no entry names were deleted"),
            Err(error) => tracing::warn!(%error, "objects that no entry names were not looked for"),
        }
        sleep(SWEEP_EVERY).await;
    }
}

/// A party's audit log that was begun, opened beside its service.
pub enum AuditLog {
    /// A file.
    Embedded(SqliteAudit),
    /// In a database.
    Server(PostgresAudit),
}

impl AuditLog {
    /// Opens the log in this folder, or in the database.
    pub async fn open_beside(folder: &Path, database: Option<&Database>) -> Result<Self, StoreError> {
        Ok(match database {
            None => Self::Embedded(SqliteAudit::open_beside(folder).await?),
            Some(database) => Self::Server(PostgresAudit::open(database).await?),
        })
    }

    /// Appends what `make` makes of the log as it stands; nobody comes in between. With [`AuditStore::append_audit`] a
    /// busy service would be quicker every time. What `make` refuses is not appended.
    pub async fn append_upon<T, E, F>(&self, make: F) -> Result<Result<T, E>, StoreError>
    where
        T: Send + 'static,
        E: Send + 'static,
        F: FnOnce(&Standing) -> Result<(AuditBatch, T), E> + Send + 'static,
    {
        match self {
            Self::Embedded(log) => log.append_upon(make).await,
            Self::Server(log) => log.append_upon(make).await,
        }
    }

    /// Finishes what was accepted, and closes it.
    pub async fn close(&self) {
        match self {
            Self::Embedded(log) => log.close().await,
            Self::Server(log) => log.close().await,
        }
    }
}

impl Deref for AuditLog {
    type Target = dyn AuditStore;

    fn deref(&self) -> &(dyn AuditStore + 'static) {
        match self {
            Self::Embedded(log) => log,
            Self::Server(log) => log,
        }
    }
}
