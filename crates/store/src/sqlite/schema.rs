//! The tables, and how an older file becomes a newer one. Each role uses the tables that it needs.

use std::path::Path;

use sqlx::{Executor as _, Row as _, SqliteConnection};

use super::damaged_or_io;
use crate::StoreError;

/// "SLWT": marks the file as ours.
const APPLICATION_ID: i64 = 0x534c_5754;

/// Format of the audit log's own file.
const AUDIT_FORMAT: i64 = 1;

/// One step per format; a file of format `n` needs the steps from index `n` on.
const STEPS: [&str; 5] = [
    "
    CREATE TABLE patient (
        pseudonym     BLOB PRIMARY KEY,
        registration  BLOB NOT NULL,
        directive     BLOB NOT NULL,
        version       INTEGER NOT NULL,
        epoch         INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE locator (
        locator    BLOB PRIMARY KEY,
        pseudonym  BLOB NOT NULL REFERENCES patient
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE half (
        pseudonym  BLOB NOT NULL REFERENCES patient,
        epoch      INTEGER NOT NULL,
        wrapped    BLOB NOT NULL,
        PRIMARY KEY (pseudonym, epoch)
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE log (
        number   INTEGER PRIMARY KEY,
        patient  BLOB NOT NULL UNIQUE
    ) STRICT;
    CREATE TABLE entry (
        log         INTEGER NOT NULL REFERENCES log,
        sequence    INTEGER NOT NULL,
        deposit     BLOB,
        hash        BLOB NOT NULL,
        tag         BLOB NOT NULL,
        author_key  BLOB NOT NULL,
        envelope    BLOB NOT NULL,
        ciphertext  BLOB NOT NULL,
        PRIMARY KEY (log, sequence)
    ) STRICT;
    CREATE INDEX entry_deposit ON entry (log, deposit) WHERE deposit IS NOT NULL;
    CREATE TABLE author (
        key    BLOB PRIMARY KEY,
        chain  BLOB NOT NULL
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE witness (
        patient   BLOB PRIMARY KEY,
        sequence  INTEGER NOT NULL,
        head      BLOB NOT NULL
    ) STRICT, WITHOUT ROWID;

    CREATE TABLE roster (
        kind    INTEGER NOT NULL,
        key     BLOB NOT NULL,
        sealed  BLOB NOT NULL,
        PRIMARY KEY (kind, key)
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE outbox (
        position  INTEGER PRIMARY KEY AUTOINCREMENT,
        id        BLOB NOT NULL UNIQUE,
        patient   BLOB NOT NULL,
        sealed    BLOB NOT NULL
    ) STRICT;
    CREATE INDEX outbox_patient ON outbox (patient);

    CREATE TABLE invitation (
        digest    BLOB PRIMARY KEY,
        identity  TEXT NOT NULL,
        created   INTEGER NOT NULL,
        expires   INTEGER NOT NULL,
        used      INTEGER
    ) STRICT, WITHOUT ROWID;
    CREATE TABLE certificate (
        serial      BLOB PRIMARY KEY,
        identity    TEXT NOT NULL,
        key_use     INTEGER NOT NULL,
        not_before  INTEGER NOT NULL,
        not_after   INTEGER NOT NULL,
        revoked_at  INTEGER,
        reason      INTEGER
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX certificate_identity ON certificate (identity, not_after);
    CREATE INDEX certificate_revoked ON certificate (not_after) WHERE revoked_at IS NOT NULL;
    CREATE TABLE crl (
        number       INTEGER PRIMARY KEY,
        der          BLOB NOT NULL,
        this_update  INTEGER NOT NULL,
        next_update  INTEGER NOT NULL
    ) STRICT;
    ",
    // Every witnessed head, not the newest alone.
    "
    ALTER TABLE witness RENAME TO newest_witness;
    CREATE TABLE witness (
        patient   BLOB NOT NULL,
        sequence  INTEGER NOT NULL,
        head      BLOB NOT NULL,
        PRIMARY KEY (patient, sequence)
    ) STRICT, WITHOUT ROWID;
    INSERT INTO witness SELECT patient, sequence, head FROM newest_witness;
    DROP TABLE newest_witness;
    ",
    // What remains of erased patients.
    "
    CREATE TABLE erased (
        pseudonym  BLOB PRIMARY KEY,
        erasure    BLOB NOT NULL,
        halves     INTEGER NOT NULL,
        entries    INTEGER NOT NULL,
        sequence   INTEGER NOT NULL,
        head       BLOB NOT NULL,
        erased_at  INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID;
    ",
    // Emergency accesses at the broker; the hospital in the last column is still to be told.
    "
    CREATE TABLE emergency (
        id         BLOB PRIMARY KEY,
        patient    BLOB NOT NULL,
        hospital   TEXT NOT NULL,
        user       TEXT NOT NULL,
        user_role  TEXT NOT NULL,
        purpose    TEXT NOT NULL,
        reason     TEXT NOT NULL,
        begun_at   INTEGER NOT NULL,
        tell       TEXT
    ) STRICT, WITHOUT ROWID;
    CREATE INDEX emergency_tell ON emergency (tell, begun_at) WHERE tell IS NOT NULL;
    CREATE INDEX emergency_patient ON emergency (patient);
    ",
    // Ciphertexts that are objects; objects of patients who were erased; and the mark that this store sets on its place.
    "
    ALTER TABLE entry ADD COLUMN object BLOB;
    ALTER TABLE entry ADD COLUMN object_bytes INTEGER;
    ALTER TABLE entry ADD COLUMN object_digest BLOB;
    CREATE UNIQUE INDEX entry_object ON entry (object) WHERE object IS NOT NULL;
    CREATE TABLE doomed_object (object BLOB PRIMARY KEY) STRICT, WITHOUT ROWID;
    CREATE TABLE object_owner (
        number  INTEGER PRIMARY KEY CHECK (number = 1),
        id      BLOB NOT NULL,
        sweeps  INTEGER NOT NULL
    ) STRICT;
    ",
];

/// Refuses a file that is not ours, is newer, or was emptied after it had been finished. Writes nothing.
pub(super) async fn inspect(connection: &mut SqliteConnection, file: &Path, finished: bool) -> Result<(), StoreError> {
    let application = number(connection, file, "PRAGMA application_id").await?;
    let format = number(connection, file, "PRAGMA user_version").await?;
    let supported = supported();
    let ours = application == APPLICATION_ID && format > 0;
    // Of a file that was never finished there may be no more than its beginning.
    let begun = !finished
        && application == 0
        && format == 0
        && number(connection, file, "SELECT count(*) FROM sqlite_schema").await? == 0;
    if !ours && !begun {
        let reason = "it is not a Sealwort store, or was emptied".to_owned();
        return Err(StoreError::Damaged { file: file.to_owned(), reason });
    }
    if format > supported {
        return Err(StoreError::Newer { file: file.to_owned(), found: format, supported });
    }
    Ok(())
}

/// Refuses an audit log that is not ours or is newer.
pub(super) async fn inspect_audit(connection: &mut SqliteConnection, file: &Path) -> Result<(), StoreError> {
    let application = number(connection, file, "PRAGMA application_id").await?;
    let found = number(connection, file, "PRAGMA user_version").await?;
    if application != APPLICATION_ID || found < 1 {
        let reason = "it is not a Sealwort audit log, or was emptied".to_owned();
        return Err(StoreError::Damaged { file: file.to_owned(), reason });
    }
    if found > AUDIT_FORMAT {
        return Err(StoreError::Newer { file: file.to_owned(), found, supported: AUDIT_FORMAT });
    }
    Ok(())
}

/// Brings a file that passed [`inspect`], or a new one, to the newest format.
pub(super) async fn apply(connection: &mut SqliteConnection, file: &Path) -> Result<(), StoreError> {
    let found = number(connection, file, "PRAGMA user_version").await?;
    for (format, step) in (1i64..).zip(STEPS).skip(usize::try_from(found).unwrap_or(0)) {
        let script = format!(
            "BEGIN IMMEDIATE; {step} PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {format}; COMMIT;"
        );
        connection.execute(sqlx::raw_sql(sqlx::AssertSqlSafe(script))).await.map_err(|e| damaged_or_io(file, &e))?;
    }
    Ok(())
}

/// Refuses a file that the service would still have to bring to the newest format.
pub(super) async fn up_to_date(connection: &mut SqliteConnection, file: &Path) -> Result<(), StoreError> {
    if number(connection, file, "PRAGMA user_version").await? == supported() {
        return Ok(());
    }
    Err(StoreError::Move(format!("{} has an older format; start the service once", file.display())))
}

fn supported() -> i64 {
    i64::try_from(STEPS.len()).unwrap_or(i64::MAX)
}

/// The single number that a statement answers.
async fn number(connection: &mut SqliteConnection, file: &Path, statement: &'static str) -> Result<i64, StoreError> {
    let row = sqlx::query(statement).fetch_one(connection).await.map_err(|e| damaged_or_io(file, &e))?;
    row.try_get(0).map_err(|e| damaged_or_io(file, &e))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use sqlx::Connection as _;

    use super::*;

    /// The first format knew the newest witnessed head alone.
    #[tokio::test]
    async fn the_first_format_keeps_its_witnesses() {
        let mut connection = SqliteConnection::connect("sqlite::memory:").await.unwrap();
        let first = format!(
            "{} INSERT INTO witness VALUES (x'01', 5, x'05'); PRAGMA application_id = {APPLICATION_ID};
             PRAGMA user_version = 1;",
            STEPS[0]
        );
        connection.execute(sqlx::raw_sql(sqlx::AssertSqlSafe(first))).await.unwrap();
        apply(&mut connection, Path::new("store")).await.unwrap();
        assert_eq!(number(&mut connection, Path::new("store"), "PRAGMA user_version").await.unwrap(), supported());
        connection.execute("INSERT INTO witness VALUES (x'01', 7, x'07')").await.unwrap();
        let sum = "SELECT sum(sequence) FROM witness WHERE patient = x'01'";
        assert_eq!(number(&mut connection, Path::new("store"), sum).await.unwrap(), 12);
    }
}
