//! Both files of the embedded store through one connection, for what goes over everything.

use std::path::{Path, PathBuf};

use sealwort_proto::crypto::random;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{ConnectOptions as _, Connection as _, Executor as _, Row as _, SqliteConnection};

use super::audit::{FILE as AUDIT_FILE, SqliteAudit};
use super::{check_present, damaged_or_io, options, schema};
use crate::StoreError;
use crate::database::unsigned;
use crate::folder::DATABASE_FILE;
use crate::tables::{File, TABLES};

/// Where the two files are.
#[derive(Debug, Clone)]
pub(crate) struct Files {
    pub(crate) store: PathBuf,
    pub(crate) audit: PathBuf,
}

impl Files {
    /// Of this data folder, and of the folder of its audit log.
    pub(crate) fn of(folder: &Path, audit: &Path) -> Self {
        Self { store: folder.join(DATABASE_FILE), audit: audit.join(AUDIT_FILE) }
    }

    pub(crate) fn both(&self) -> [&PathBuf; 2] {
        [&self.store, &self.audit]
    }

    /// One moment of both, beside a service that runs.
    pub(crate) async fn read(&self) -> Result<SqliteConnection, StoreError> {
        let mut connection = self.open(&options(&self.store).read_only(true)).await?;
        // A snapshot begins with the first look at each file.
        script(
            &mut connection,
            "BEGIN; SELECT count(*) FROM main.sqlite_schema; SELECT count(*) FROM audit.sqlite_schema",
        )
        .await?;
        Ok(connection)
    }

    /// Both, and nobody else writes until the transaction ends.
    pub(crate) async fn hold(&self) -> Result<SqliteConnection, StoreError> {
        let mut connection = self.open(&options(&self.store)).await?;
        script(&mut connection, "BEGIN IMMEDIATE").await?;
        Ok(connection)
    }

    async fn open(&self, options: &SqliteConnectOptions) -> Result<SqliteConnection, StoreError> {
        for file in self.both() {
            check_present(file)?;
        }
        let failed = |e: sqlx::Error| damaged_or_io(&self.store, &e);
        let mut connection = options.connect().await.map_err(failed)?;
        schema::inspect(&mut connection, &self.store, true).await?;
        schema::up_to_date(&mut connection, &self.store).await?;
        attach(&mut connection, &self.audit).await?;
        Ok(connection)
    }

    /// Makes both, or opens what an earlier attempt made of them.
    pub(crate) async fn create(&self) -> Result<SqliteConnection, StoreError> {
        let folder = self.audit.parent().unwrap_or(Path::new("."));
        std::fs::create_dir_all(folder).map_err(|e| StoreError::io("making", folder, &e))?;
        let options = options(&self.store).create_if_missing(true).journal_mode(SqliteJournalMode::Wal);
        // A page may come before what its rows refer to: rows that were written since an earlier attempt sort anywhere.
        // That all is there, the comparison at the end shows.
        let options = options.synchronous(SqliteSynchronous::Full).pragma("temp_store", "MEMORY").foreign_keys(false);
        let failed = |e: sqlx::Error| damaged_or_io(&self.store, &e);
        let mut connection = options.connect().await.map_err(failed)?;
        let tables = sqlx::query("SELECT count(*), coalesce(sum(name = 'moving'), 0) FROM sqlite_schema")
            .fetch_one(&mut connection)
            .await
            .map_err(failed)?;
        let foreign = |file: &Path| StoreError::Move(format!("{} is there already; move it away", file.display()));
        if tables.try_get::<i64, _>(0)? > 0 && tables.try_get::<i64, _>(1)? == 0 {
            return Err(foreign(&self.store));
        }
        if tables.try_get::<i64, _>(0)? == 0 && self.audit.exists() {
            return Err(foreign(&self.audit));
        }
        // What tells that the file is ours comes first.
        script(&mut connection, "BEGIN IMMEDIATE; CREATE TABLE IF NOT EXISTS moving (token TEXT NOT NULL)").await?;
        let note = "INSERT INTO moving SELECT ? WHERE NOT EXISTS (SELECT 1 FROM moving)";
        sqlx::query(note).bind(hex::encode(random::<16>())).execute(&mut connection).await?;
        script(&mut connection, "COMMIT").await?;
        schema::apply(&mut connection, &self.store).await?;
        SqliteAudit::make(&self.audit).await?;
        attach(&mut connection, &self.audit).await?;
        script(&mut connection, "PRAGMA audit.journal_mode = WAL; PRAGMA audit.synchronous = FULL").await?;
        Ok(connection)
    }

    /// The token of the move that makes them; none where none does.
    pub(crate) async fn token(&self) -> Result<Option<String>, StoreError> {
        if !self.store.exists() {
            return Ok(None);
        }
        let failed = |e: sqlx::Error| damaged_or_io(&self.store, &e);
        let mut connection = options(&self.store).read_only(true).connect().await.map_err(failed)?;
        let found = token(&mut connection).await?;
        connection.close().await.map_err(failed)?;
        Ok(found)
    }

    /// Removes what an earlier attempt made.
    pub(crate) fn remove(&self) -> Result<(), StoreError> {
        // The audit log's file first: alone it would be taken for another one's.
        for file in [&self.audit, &self.store] {
            for suffix in ["", "-wal", "-shm", "-journal"] {
                let mut path = file.clone().into_os_string();
                path.push(suffix);
                match std::fs::remove_file(&path) {
                    Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
                        return Err(StoreError::io("removing", Path::new(&path), &e));
                    }
                    _ => {}
                }
            }
        }
        Ok(())
    }
}

/// As [`Files::token`].
pub(crate) async fn token(c: &mut SqliteConnection) -> Result<Option<String>, StoreError> {
    let made = "SELECT 1 FROM main.sqlite_schema WHERE name = 'moving'";
    if sqlx::query(made).fetch_optional(&mut *c).await?.is_none() {
        return Ok(None);
    }
    let row = sqlx::query("SELECT token FROM main.moving").fetch_optional(c).await?;
    Ok(row.map(|row| row.try_get(0)).transpose()?)
}

/// Has every change refused from now on: the data are elsewhere. Inside a transaction.
pub(crate) async fn refuse_writes(c: &mut SqliteConnection) -> Result<(), StoreError> {
    for table in TABLES {
        let (name, file) = (table.name, if table.file == File::Store { "main" } else { "audit" });
        for change in ["INSERT", "UPDATE", "DELETE"] {
            let trigger = format!(
                "CREATE TRIGGER IF NOT EXISTS {file}.moved_{change}_{name} BEFORE {change} ON {name}
                 BEGIN SELECT RAISE(ABORT, 'these data were moved into a database; this is the old copy'); END"
            );
            c.execute(sqlx::raw_sql(sqlx::AssertSqlSafe(trigger))).await?;
        }
    }
    Ok(())
}

/// Empties the write-ahead logs into the files and closes them.
pub(crate) async fn finish(mut c: SqliteConnection, files: &Files) -> Result<(), StoreError> {
    script(&mut c, "PRAGMA main.wal_checkpoint(TRUNCATE); PRAGMA audit.wal_checkpoint(TRUNCATE)").await?;
    c.close().await?;
    for file in files.both() {
        std::fs::File::open(file).and_then(|f| f.sync_all()).map_err(|e| StoreError::io("syncing", file, &e))?;
    }
    Ok(())
}

/// Writes a file as it is at this moment into a new one, without what was deleted, beside whoever writes to it.
pub(crate) async fn copy_into(file: &Path, copy: &Path) -> Result<(), StoreError> {
    check_present(file)?;
    let failed = |e: sqlx::Error| damaged_or_io(file, &e);
    let path = copy.to_str().ok_or_else(|| StoreError::Io(format!("{} is not UTF-8", copy.display())))?;
    let mut connection = options(file).read_only(true).connect().await.map_err(failed)?;
    sqlx::query("VACUUM INTO ?").bind(path.to_owned()).execute(&mut connection).await.map_err(failed)?;
    connection.close().await.map_err(failed)
}

/// How many entries of a file that is up to date have their ciphertext in an object; none in an older one.
pub(crate) async fn objects(file: &Path) -> Result<u64, StoreError> {
    let failed = |e: sqlx::Error| damaged_or_io(file, &e);
    let mut connection = options(file).read_only(true).connect().await.map_err(failed)?;
    let count = match schema::up_to_date(&mut connection, file).await {
        Ok(()) => unsigned(
            sqlx::query("SELECT count(*) FROM entry WHERE object IS NOT NULL")
                .fetch_one(&mut connection)
                .await
                .map_err(failed)?
                .try_get(0)?,
        )?,
        Err(_) => 0,
    };
    connection.close().await.map_err(failed)?;
    Ok(count)
}

/// What SQLite itself finds wrong with the two files.
pub(crate) async fn faults(c: &mut SqliteConnection) -> Result<Vec<String>, StoreError> {
    let mut found = Vec::new();
    for statement in ["PRAGMA main.integrity_check(20)", "PRAGMA audit.integrity_check(20)"] {
        for row in sqlx::query(statement).fetch_all(&mut *c).await? {
            let told: String = row.try_get(0)?;
            if told != "ok" {
                found.push(told);
            }
        }
    }
    let dangling = r#"SELECT "table", parent FROM pragma_foreign_key_check LIMIT 20"#;
    for row in sqlx::query(dangling).fetch_all(c).await? {
        let (table, refers): (String, String) = (row.try_get(0)?, row.try_get(1)?);
        found.push(format!("a row of {table} names a {refers} that is not there"));
    }
    Ok(found)
}

async fn attach(c: &mut SqliteConnection, audit: &Path) -> Result<(), StoreError> {
    let path = audit.to_str().ok_or_else(|| StoreError::Io(format!("{} is not UTF-8", audit.display())))?;
    sqlx::query("ATTACH DATABASE ? AS audit")
        .bind(path.to_owned())
        .execute(c)
        .await
        .map_err(|e| damaged_or_io(audit, &e))?;
    Ok(())
}

async fn script(c: &mut SqliteConnection, statements: &'static str) -> Result<(), StoreError> {
    c.execute(sqlx::raw_sql(statements)).await?;
    Ok(())
}
