//! The tables, how an older database becomes a newer one and back, and whose they are.

use sqlx::{Executor as _, PgConnection, Row as _};

use super::{Database, locks};
use crate::folder::Content;
use crate::{DataFolder, DatabaseFault, StoreError};

/// One step of the format, forth and back. Every step runs in one transaction.
struct Step {
    up: &'static str,
    down: &'static str,
    /// Tables that going back drops: they must be empty.
    drops: &'static [&'static str],
}

/// A database of format `n` needs the steps from index `n` on. The number of partitions is part of the format: it stays.
const STEPS: [Step; 2] = [
    Step {
        up: "
        CREATE TABLE patient (
            pseudonym     bytea PRIMARY KEY,
            registration  bytea NOT NULL,
            directive     bytea NOT NULL,
            version       bigint NOT NULL,
            epoch         bigint NOT NULL
        ) PARTITION BY HASH (pseudonym);
        -- An identifier is one patient's alone, so its own hash places it.
        CREATE TABLE locator (
            locator    bytea PRIMARY KEY,
            pseudonym  bytea NOT NULL
        ) PARTITION BY HASH (locator);
        CREATE INDEX locator_pseudonym ON locator (pseudonym);
        CREATE TABLE half (
            pseudonym  bytea NOT NULL,
            epoch      bigint NOT NULL,
            wrapped    bytea NOT NULL,
            PRIMARY KEY (pseudonym, epoch)
        ) PARTITION BY HASH (pseudonym);

        CREATE TABLE entry (
            patient     bytea NOT NULL,
            sequence    bigint NOT NULL,
            deposit     bytea,
            hash        bytea NOT NULL,
            tag         bytea NOT NULL,
            author_key  bytea NOT NULL,
            envelope    bytea NOT NULL,
            ciphertext  bytea NOT NULL,
            PRIMARY KEY (patient, sequence)
        ) PARTITION BY HASH (patient);
        -- What is encrypted does not shrink.
        ALTER TABLE entry ALTER envelope SET STORAGE EXTERNAL, ALTER ciphertext SET STORAGE EXTERNAL;
        CREATE UNIQUE INDEX entry_deposit ON entry (patient, deposit) WHERE deposit IS NOT NULL;
        CREATE TABLE author (
            key    bytea PRIMARY KEY,
            chain  bytea NOT NULL
        );

        CREATE TABLE witness (
            patient   bytea NOT NULL,
            sequence  bigint NOT NULL,
            head      bytea NOT NULL,
            PRIMARY KEY (patient, sequence)
        ) PARTITION BY HASH (patient);
        CREATE TABLE erased (
            pseudonym  bytea PRIMARY KEY,
            erasure    bytea NOT NULL,
            halves     bigint NOT NULL,
            entries    bigint NOT NULL,
            sequence   bigint NOT NULL,
            head       bytea NOT NULL,
            erased_at  bigint NOT NULL
        ) PARTITION BY HASH (pseudonym);
        DO $$
        DECLARE parent text;
        BEGIN
            FOREACH parent IN ARRAY ARRAY['patient', 'locator', 'half', 'entry', 'witness', 'erased'] LOOP
                FOR number IN 0..15 LOOP
                    EXECUTE format('CREATE TABLE %I PARTITION OF %I FOR VALUES WITH (MODULUS 16, REMAINDER %s)',
                        parent || '_' || number, parent, number);
                END LOOP;
            END LOOP;
        END $$;

        CREATE TABLE emergency (
            id         bytea PRIMARY KEY,
            patient    bytea NOT NULL,
            hospital   text NOT NULL,
            \"user\"     text NOT NULL,
            user_role  text NOT NULL,
            purpose    text NOT NULL,
            reason     text NOT NULL,
            begun_at   bigint NOT NULL,
            tell       text
        );
        CREATE INDEX emergency_tell ON emergency (tell, begun_at) WHERE tell IS NOT NULL;
        CREATE INDEX emergency_patient ON emergency (patient);",
        down: "DROP TABLE patient, locator, half, entry, author, witness, erased, emergency;",
        drops: &["patient", "locator", "half", "entry", "author", "witness", "erased", "emergency"],
    },
    // The party's audit log.
    Step {
        up: "
        CREATE TABLE audit_entry (
            number   bigint PRIMARY KEY,
            hashes   bytea NOT NULL,
            stored   bytea NOT NULL,
            time     bigint NOT NULL,
            kind     bigint NOT NULL,
            outcome  bigint NOT NULL,
            patient  bytea,
            \"user\"   bytea
        );
        CREATE INDEX audit_patient ON audit_entry (patient, number) WHERE patient IS NOT NULL;
        CREATE INDEX audit_time ON audit_entry (time);
        CREATE TABLE audit_checkpoint (
            cosigned  bigint NOT NULL,
            size      bigint NOT NULL,
            note      text NOT NULL,
            PRIMARY KEY (cosigned, size)
        );
        CREATE TABLE audit_remembered (
            origin  text NOT NULL,
            size    bigint NOT NULL,
            note    text NOT NULL,
            PRIMARY KEY (origin, size)
        );
        CREATE TABLE audit_chain (
            certificate  bytea PRIMARY KEY,
            chain        bytea NOT NULL
        );",
        down: "DROP TABLE audit_entry, audit_checkpoint, audit_remembered, audit_chain;",
        drops: &["audit_entry", "audit_checkpoint", "audit_remembered", "audit_chain"],
    },
];

/// What every format has: its number, and whose database this is.
const BOOK: &str = "
    CREATE SCHEMA IF NOT EXISTS sealwort;
    CREATE TABLE IF NOT EXISTS format (version bigint PRIMARY KEY, applied timestamptz NOT NULL DEFAULT now());
    CREATE TABLE IF NOT EXISTS party (role text NOT NULL, id text NOT NULL);";

/// The newest format.
pub(super) fn newest() -> i64 {
    i64::try_from(STEPS.len()).unwrap_or(i64::MAX)
}

/// Brings a database to a format, step by step, each in a transaction of its own. Two processes that come at once take
/// turns. Going back refuses to drop what holds data.
pub(super) async fn migrate(c: &mut PgConnection, database: &Database, target: i64) -> Result<(), StoreError> {
    loop {
        let lock = format!(
            "BEGIN; SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = 0; SELECT pg_advisory_xact_lock({})",
            locks::MIGRATION
        );
        script(c, lock).await?;
        let found = check(c, database).await?;
        if found == target {
            return script(c, "COMMIT".to_owned()).await;
        }
        let number = if found < target { found } else { found - 1 };
        let step = usize::try_from(number).ok().and_then(|number| STEPS.get(number));
        let step = step.ok_or_else(|| StoreError::Io(format!("there is no format {target}")))?;
        if found < target {
            let book = if found == 0 { BOOK } else { "" };
            script(
                c,
                format!("{book} {} INSERT INTO format (version) VALUES ({target});", step.up, target = number + 1),
            )
            .await?;
        } else {
            for table in step.drops {
                let held = format!("SELECT EXISTS (SELECT FROM {table})");
                if sqlx::query(sqlx::AssertSqlSafe(held)).fetch_one(&mut *c).await?.try_get(0)? {
                    script(c, "ROLLBACK".to_owned()).await?;
                    let (at, table) = (database.to_string(), (*table).to_owned());
                    return Err(DatabaseFault::NotEmpty { at, table }.into());
                }
            }
            script(c, format!("{} DELETE FROM format WHERE version = {found};", step.down)).await?;
        }
        script(c, "COMMIT".to_owned()).await?;
        tracing::info!(%database, from = found, to = if found < target { found + 1 } else { found - 1 }, "the tables have a new format");
    }
}

/// The format of a database; 0 where nothing was made yet. A newer one is refused.
pub(super) async fn check(c: &mut PgConnection, database: &Database) -> Result<i64, StoreError> {
    if !exists(c, "format").await? {
        return Ok(0);
    }
    let found = sqlx::query("SELECT coalesce(max(version), 0) FROM format").fetch_one(c).await?.try_get(0)?;
    if found > newest() {
        return Err(DatabaseFault::Newer { at: database.to_string(), found, supported: newest() }.into());
    }
    Ok(found)
}

/// Refuses a database that is another party's, or not the one that the folder was used with. Changes nothing.
pub(super) async fn inspect(c: &mut PgConnection, database: &Database, folder: &DataFolder) -> Result<(), StoreError> {
    check(c, database).await?;
    let found = if exists(c, "party").await? {
        sqlx::query("SELECT role, id FROM party").fetch_optional(c).await?
    } else {
        None
    };
    let replaced = |reason: &str| {
        let (at, folder) = (database.to_string(), folder.path().to_owned());
        Err(DatabaseFault::Replaced { at, folder, reason: reason.to_owned() }.into())
    };
    let found: Option<(String, String)> =
        found.map(|row| Ok::<_, StoreError>((row.try_get(0)?, row.try_get(1)?))).transpose()?;
    if let Some((role, _)) = &found
        && role != folder.role()
    {
        let (at, expected) = (database.to_string(), folder.role().to_owned());
        return Err(DatabaseFault::WrongRole { at, expected, found: role.clone() }.into());
    }
    match (folder.content(), found) {
        (Content::Embedded, _) => replaced("the folder has an embedded store, and nothing moves it by itself"),
        (Content::Database(_), None) => replaced("this one is empty; restore it from a backup"),
        (Content::Database(before), Some((_, id))) if *before != id => replaced("this one was made for another folder"),
        _ => Ok(()),
    }
}

/// Writes down whose database this is, in it and in the folder. A crash may come between the two.
pub(super) async fn claim(c: &mut PgConnection, folder: &mut DataFolder) -> Result<(), StoreError> {
    let claim = "INSERT INTO party (role, id) SELECT $1, gen_random_uuid()::text WHERE NOT EXISTS (SELECT FROM party)";
    sqlx::query(claim).bind(folder.role().to_owned()).execute(&mut *c).await?;
    let id: String = sqlx::query("SELECT id FROM party").fetch_one(c).await?.try_get(0)?;
    folder.mark(Content::Database(id))
}

async fn exists(c: &mut PgConnection, table: &str) -> Result<bool, StoreError> {
    let row =
        sqlx::query("SELECT to_regclass('sealwort.' || $1) IS NOT NULL").bind(table.to_owned()).fetch_one(c).await?;
    Ok(row.try_get(0)?)
}

async fn script(c: &mut PgConnection, statements: String) -> Result<(), StoreError> {
    c.execute(sqlx::raw_sql(sqlx::AssertSqlSafe(statements))).await?;
    Ok(())
}
