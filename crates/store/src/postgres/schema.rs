//! The tables, how an older database becomes a newer one and back, and whose they are.

use std::sync::{Arc, Mutex, PoisonError};

use sealwort_proto::Digest;
use sqlx::{PgConnection, Row as _};

use super::whole::Move;
use super::{Database, locks, script, whole};
use crate::database::fixed;
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
const STEPS: [Step; 4] = [
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
    // The name of the key-encryption key in use.
    Step { up: "ALTER TABLE party ADD key bytea;", down: "ALTER TABLE party DROP key;", drops: &[] },
    // Ciphertexts that are objects; objects of patients who were erased; and the mark that this store sets on its place.
    // Where there is no mark, there are no objects.
    Step {
        up: "
        ALTER TABLE entry ADD COLUMN object bytea, ADD COLUMN object_bytes bigint, ADD COLUMN object_digest bytea;
        CREATE INDEX entry_object ON entry (object) WHERE object IS NOT NULL;
        CREATE TABLE doomed_object (object bytea PRIMARY KEY);
        CREATE TABLE object_owner (
            number  bigint PRIMARY KEY CHECK (number = 1),
            id      bytea NOT NULL,
            sweeps  bigint NOT NULL
        );",
        down: "
        DROP TABLE doomed_object, object_owner;
        ALTER TABLE entry DROP COLUMN object, DROP COLUMN object_bytes, DROP COLUMN object_digest;",
        drops: &["doomed_object", "object_owner"],
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
        script(c, &lock).await?;
        let found = check(c, database).await?;
        if found == target {
            return script(c, "COMMIT").await;
        }
        let number = if found < target { found } else { found - 1 };
        let step = usize::try_from(number).ok().and_then(|number| STEPS.get(number));
        let step = step.ok_or_else(|| StoreError::Io(format!("there is no format {target}")))?;
        if found < target {
            let book = if found == 0 { BOOK } else { "" };
            script(
                c,
                &format!("{book} {} INSERT INTO format (version) VALUES ({target});", step.up, target = number + 1),
            )
            .await?;
        } else {
            for table in step.drops {
                let held = format!("SELECT EXISTS (SELECT FROM {table})");
                if sqlx::query(sqlx::AssertSqlSafe(held)).fetch_one(&mut *c).await?.try_get(0)? {
                    script(c, "ROLLBACK").await?;
                    let (at, table) = (database.to_string(), (*table).to_owned());
                    return Err(DatabaseFault::NotEmpty { at, table }.into());
                }
            }
            script(c, &format!("{} DELETE FROM format WHERE version = {found};", step.down)).await?;
        }
        script(c, "COMMIT").await?;
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

/// What a database was found to be when it was opened: what a later connection leads to must be the same.
#[derive(Debug, Clone)]
pub(super) struct Known {
    pub(super) id: String,
    /// Names of key-encryption keys, one of which must be the one that the party's halves are wrapped under; none for who
    /// wraps nothing.
    pub(super) keys: Arc<Mutex<Vec<Digest>>>,
}

impl Known {
    pub(super) fn set_keys(&self, keys: Vec<Digest>) {
        *self.keys.lock().unwrap_or_else(PoisonError::into_inner) = keys;
    }
}

/// A database with all its tables, for who wraps nothing.
pub(super) async fn known(c: &mut PgConnection, database: &Database) -> Result<Known, StoreError> {
    let Some(id) = whole::id(c).await? else {
        return Err(StoreError::Move(format!("{database} holds no data yet: start the service first")));
    };
    Ok(Known { id, keys: Arc::default() })
}

/// Refuses what a new connection leads to where that is not what was opened, as after a move of the data, a change of
/// tables or keys while the connection was lost, or a failover to another database.
pub(super) async fn recognize(c: &mut PgConnection, database: &Database, known: &Known) -> Result<(), StoreError> {
    let format = check(c, database).await?;
    whole::check(c, database, Some(&known.id)).await?;
    let changed = |reason| Err(DatabaseFault::Moving { at: database.to_string(), reason }.into());
    if format != newest() {
        return changed("its tables were brought to an older format; restart the service");
    }
    if whole::id(c).await?.as_ref() != Some(&known.id) {
        return changed("it is another one than when the service started");
    }
    let keys = known.keys.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let key = key(c).await?;
    if keys.is_empty() || key.is_none_or(|key| keys.contains(&key)) { Ok(()) } else { changed(OTHER_KEY) }
}

const OTHER_KEY: &str = "its halves of keys are wrapped under a key-encryption key that the data folder does not have; \
     copy kek.key, and of a broker pseudonym.key, from the folder of the node that works, and start again";

/// The name of the key-encryption key that all halves are wrapped under.
async fn key(c: &mut PgConnection) -> Result<Option<Digest>, StoreError> {
    let row = sqlx::query("SELECT key FROM party").fetch_optional(c).await?;
    let Some(row) = row else { return Ok(None) };
    row.try_get::<Option<&[u8]>, _>(0)?.map(|key| fixed(key, Digest::from_slice)).transpose()
}

/// Says under which of these keys, the newest first, everything is wrapped from now on; the first one. Where that changes,
/// no other node may be connected: it would wrap under a key that this one is about to retire. Within a transaction of
/// a connection that is a node's.
pub(super) async fn adopt(c: &mut PgConnection, database: &Database, keys: &[Digest]) -> Result<(), StoreError> {
    let Some(newest) = keys.first() else { return Ok(()) };
    // Whoever comes at the same time waits.
    let row = sqlx::query("SELECT key FROM party FOR UPDATE").fetch_optional(&mut *c).await?;
    let before: Option<Vec<u8>> = row.map(|row| row.try_get(0)).transpose()?.flatten();
    match before {
        Some(before) if before == newest.as_bytes() => return Ok(()),
        Some(before) if !keys.iter().any(|key| before == key.as_bytes()) => {
            return Err(DatabaseFault::Moving { at: database.to_string(), reason: OTHER_KEY }.into());
        }
        Some(_) => {
            let alone = sqlx::query("SELECT pg_try_advisory_xact_lock($1)").bind(locks::NODES).fetch_one(&mut *c);
            if !alone.await?.try_get(0)? {
                let reason = "the key-encryption key changes while no other node is connected; stop the other nodes";
                return Err(DatabaseFault::Moving { at: database.to_string(), reason }.into());
            }
        }
        None => {}
    }
    sqlx::query("UPDATE party SET key = $1").bind(newest.as_bytes().to_vec()).execute(c).await?;
    Ok(())
}

/// Refuses a database that is another party's, or not the one that the folder was used with. Changes nothing.
pub(super) async fn inspect(c: &mut PgConnection, database: &Database, folder: &DataFolder) -> Result<(), StoreError> {
    check(c, database).await?;
    let found = if exists(c, "party").await? {
        sqlx::query("SELECT role, id FROM party").fetch_optional(&mut *c).await?
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
    let known = match folder.content() {
        Content::Database(id) => Some(id.as_str()),
        Content::New | Content::Claiming(_) | Content::Embedded | Content::Leaving(_) => None,
    };
    whole::check(c, database, known).await?;
    match (folder.content(), found) {
        (Content::New, Some(_)) => replaced(FURTHER),
        (Content::Claiming(own), Some((_, id))) if *own != id => replaced(FURTHER),
        (Content::Embedded | Content::Leaving(_), _) => {
            replaced("the folder has an embedded store, and nothing moves it by itself: sealwort store migrate")
        }
        (Content::Database(_), None) => replaced("this one is empty; restore it from a backup"),
        (Content::Database(before), Some((_, id))) if *before != id => replaced("this one was made for another folder"),
        _ => Ok(()),
    }
}

/// The keys lie in the folder: with others a further node could open nothing of what is there.
const FURTHER: &str = "this one was made for another folder; a further node starts from a copy of that one";

/// Whether it has the newest tables and a party that it belongs to.
pub(super) async fn is_ready(c: &mut PgConnection, database: &Database) -> Result<bool, StoreError> {
    let newest = check(c, database).await? == newest();
    Ok(newest && sqlx::query("SELECT EXISTS (SELECT FROM party)").fetch_one(c).await?.try_get(0)?)
}

/// Writes down whose database this is, in it and in the folder, which was inspected. A crash may come between the two.
/// What is opened by its owner is not being filled any more, even where the move's last step is missing.
pub(super) async fn claim(c: &mut PgConnection, folder: &mut DataFolder) -> Result<(), StoreError> {
    if *folder.content() == Content::New {
        let id: String = sqlx::query("SELECT gen_random_uuid()::text").fetch_one(&mut *c).await?.try_get(0)?;
        folder.mark(Content::Claiming(id))?;
    }
    if let Content::Claiming(id) = folder.content().clone() {
        let claim = "INSERT INTO party (role, id) SELECT $1, $2 WHERE NOT EXISTS (SELECT FROM party)";
        sqlx::query(claim).bind(folder.role().to_owned()).bind(id.clone()).execute(&mut *c).await?;
        folder.mark(Content::Database(id))?;
    }
    if let Content::Database(id) = folder.content() {
        whole::forget(c, &Move::Filling(id.clone())).await?;
    }
    Ok(())
}

pub(super) async fn exists(c: &mut PgConnection, table: &str) -> Result<bool, StoreError> {
    let row =
        sqlx::query("SELECT to_regclass('sealwort.' || $1) IS NOT NULL").bind(table.to_owned()).fetch_one(c).await?;
    Ok(row.try_get(0)?)
}
