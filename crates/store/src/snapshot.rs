//! A party's whole store at one moment, to go over everything in it, also beside the service that writes to it. In the
//! embedded store the write-ahead log grows for as long as it is open, and erasing waits.

use std::path::Path;

use sqlx::{Connection as _, Executor as _, PgConnection, SqliteConnection};

use crate::folder::{Content, look};
use crate::postgres::{self, Database};
use crate::sqlite::{self, whole::Files};
use crate::tables::{Heads, RowsDigest, TABLES, Table, TableRow};
use crate::{DatabaseFault, StoreError};

/// One connection to everything, of either kind.
pub(crate) enum Whole {
    Embedded(Box<SqliteConnection>),
    Server(Box<PgConnection>),
}

impl Whole {
    pub(crate) async fn page(
        &mut self,
        table: &'static Table,
        after: Option<&TableRow>,
    ) -> Result<Vec<TableRow>, StoreError> {
        match self {
            Self::Embedded(c) => sqlite::rows::page(c, table, after).await,
            Self::Server(c) => postgres::rows::page(c, table, after).await,
        }
    }

    pub(crate) async fn last(&mut self, table: &'static Table) -> Result<Option<TableRow>, StoreError> {
        match self {
            Self::Embedded(c) => sqlite::rows::last(c, table).await,
            Self::Server(c) => postgres::rows::last(c, table).await,
        }
    }

    /// Inserts rows in a transaction of their own.
    pub(crate) async fn insert(&mut self, table: &'static Table, rows: &[TableRow]) -> Result<(), StoreError> {
        match self {
            Self::Embedded(c) => {
                c.execute("BEGIN IMMEDIATE").await?;
                sqlite::rows::insert(c, table, rows).await?;
                c.execute("COMMIT").await?;
            }
            Self::Server(c) => {
                c.execute("BEGIN").await?;
                postgres::rows::insert(c, table, rows).await?;
                c.execute("COMMIT").await?;
            }
        }
        Ok(())
    }

    /// Rows and digests of all tables, and the heads of all chains.
    pub(crate) async fn summary(&mut self) -> Result<Summary, StoreError> {
        let mut heads = Heads::default();
        let mut tables = Vec::new();
        for table in TABLES {
            let (mut digest, mut rows, mut after) = (RowsDigest::default(), 0, None);
            loop {
                let page = self.page(table, after.as_ref()).await?;
                let Some(last) = page.last() else { break };
                after = Some(last.key(table));
                rows += page.len() as u64;
                for row in &page {
                    digest.take(row);
                    heads.take_row(table, row);
                }
            }
            tables.push(TableSummary { table: table.name, rows, digest: digest.finish() });
        }
        let (logs, heads) = heads.finish();
        Ok(Summary { tables, logs, heads })
    }
}

/// A store, summed up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Summary {
    /// All tables.
    pub tables: Vec<TableSummary>,
    /// Chains that have a head.
    pub logs: u64,
    /// The digest of all chains' heads ([`Heads`]), in hexadecimal.
    pub heads: String,
}

/// A table, summed up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableSummary {
    /// Its name.
    pub table: &'static str,
    /// How many rows it has.
    pub rows: u64,
    /// The digest over them, in hexadecimal.
    pub digest: String,
}

/// Where the data of a folder are.
pub(crate) enum Kept<'d> {
    /// In the folder itself.
    Here,
    /// In this database, which has this id.
    In(&'d Database, String),
}

/// Where the data of a folder are, for whoever comes beside its service and names the database, or none.
pub(crate) fn kept<'d>(folder: &Path, role: &str, database: Option<&'d Database>) -> Result<Kept<'d>, StoreError> {
    match (look(folder, role)?, database) {
        (Some(Content::Embedded | Content::Leaving(_)), None) => Ok(Kept::Here),
        (Some(Content::Embedded | Content::Leaving(_)), Some(_)) => {
            Err(StoreError::Move(format!("{} keeps its data itself; name no database", folder.display())))
        }
        (Some(Content::Database(_)), None) => Err(StoreError::OnServer { folder: folder.to_owned() }),
        (Some(Content::Database(known)), Some(database)) => Ok(Kept::In(database, known)),
        (Some(Content::New | Content::Claiming(_)) | None, _) => {
            Err(StoreError::Move(format!("{} holds no data yet", folder.display())))
        }
    }
}

/// Refuses a database that is not the one that the folder's data are in.
pub(crate) async fn known_as(
    c: &mut PgConnection,
    database: &Database,
    known: &str,
    folder: &Path,
) -> Result<(), StoreError> {
    if postgres::whole::id(c).await?.as_deref() == Some(known) {
        return Ok(());
    }
    let (at, folder) = (database.to_string(), folder.to_owned());
    Err(DatabaseFault::Replaced { at, folder, reason: "this one was made for another folder".to_owned() }.into())
}

/// A party's store and audit log at one moment.
pub struct Snapshot(Whole);

impl Snapshot {
    /// Opens what this data folder's role keeps, in the folder and in that of the audit log, or in the database.
    pub async fn open(
        folder: &Path,
        role: &str,
        audit: &Path,
        database: Option<&Database>,
    ) -> Result<Self, StoreError> {
        Ok(Self(match kept(folder, role, database)? {
            Kept::Here => Whole::Embedded(Box::new(Files::of(folder, audit).read().await?)),
            Kept::In(database, known) => {
                let mut c = postgres::whole::read(database).await?;
                known_as(&mut c, database, &known, folder).await?;
                Whole::Server(Box::new(c))
            }
        }))
    }

    /// The rows after this one, or from the first one on; none at the end. A page is bounded in rows and bytes.
    pub async fn page(&mut self, table: &'static Table, after: Option<&TableRow>) -> Result<Vec<TableRow>, StoreError> {
        self.0.page(table, after).await
    }

    /// What the database itself finds wrong with its files. A server looks after its own.
    pub async fn faults(&mut self) -> Result<Vec<String>, StoreError> {
        match &mut self.0 {
            Whole::Embedded(c) => sqlite::whole::faults(c).await,
            Whole::Server(_) => Ok(Vec::new()),
        }
    }

    /// The rows of a table that have these keys, of one column.
    pub async fn find(&mut self, table: &'static Table, keys: &[Vec<u8>]) -> Result<Vec<TableRow>, StoreError> {
        match &mut self.0 {
            Whole::Embedded(c) => sqlite::rows::find(c, table, keys).await,
            Whole::Server(c) => postgres::rows::find(c, table, keys).await,
        }
    }

    /// Ends it.
    pub async fn close(self) -> Result<(), StoreError> {
        match self.0 {
            Whole::Embedded(c) => Ok(c.close().await?),
            Whole::Server(c) => Ok(c.close().await?),
        }
    }
}
