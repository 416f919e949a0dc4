//! A whole database through one connection, for what goes over everything, and how a database tells that data are being
//! moved into it, or were moved out of it.

use sealwort_proto::crypto::random;
use sqlx::{Connection as _, PgConnection, Row as _};

use super::{Database, engine, locks, schema, script};
use crate::tables::TABLES;
use crate::{DatabaseFault, StoreError};

/// What stands in `moving`. Both sides of a move know its token, so that nobody goes on with another one's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Move {
    /// Data are on their way into it. The token is the id that it gets, which the folder has noted before.
    Filling(String),
    /// They went into the folder whose file has this token.
    Left(String),
}

impl Move {
    fn parts(&self) -> (&'static str, &str) {
        match self {
            Self::Filling(id) => ("filling", id),
            Self::Left(token) => ("left", token),
        }
    }
}

/// Connects to a database that has the newest tables, beside a service that runs.
pub(super) async fn current(database: &Database) -> Result<PgConnection, StoreError> {
    let mut c = database.connect().await?;
    if schema::check(&mut c, database).await? != schema::newest() {
        return Err(StoreError::Move(format!("{database} has tables of an older format; start the service once")));
    }
    Ok(c)
}

/// One moment of a database, beside a service that runs.
pub(crate) async fn read(database: &Database) -> Result<PgConnection, StoreError> {
    let mut c = current(database).await?;
    script(&mut c, PATIENT).await?;
    script(&mut c, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
    Ok(c)
}

/// A database that nobody else uses for as long as this connection lasts, not for the audit log either.
pub(crate) async fn hold(database: &Database) -> Result<PgConnection, StoreError> {
    let mut c = engine::own(database).await?;
    script(&mut c, &format!("{PATIENT}; SELECT pg_advisory_lock({})", locks::AUDIT)).await?;
    Ok(c)
}

/// Makes an empty database ready to be filled by a folder, and gives it an id; or finds that it was being filled by the
/// folder that has noted this one. Whether it was, stands beside it.
pub(crate) async fn prepare(
    c: &mut PgConnection,
    database: &Database,
    noted: Option<&str>,
) -> Result<(String, bool), StoreError> {
    match state(c).await? {
        Some(Move::Filling(id)) if noted == Some(&id) => return Ok((id, true)),
        Some(Move::Filling(_)) => {
            return Err(StoreError::Move(format!(
                "{database} was begun to be filled from another folder, or by an earlier move of this one; name an empty database"
            )));
        }
        Some(Move::Left(_)) => return Err(left(database)),
        None => {}
    }
    schema::migrate(c, database, schema::newest()).await?;
    for table in TABLES.iter().map(|table| table.name).chain(["party"]) {
        let held = format!("SELECT EXISTS (SELECT FROM {table})");
        if sqlx::query(sqlx::AssertSqlSafe(held)).fetch_one(&mut *c).await?.try_get(0)? {
            let reason = format!("{database} is not empty (table {table}); name an empty database");
            return Err(StoreError::Move(reason));
        }
    }
    Ok((hex::encode(random::<16>()), false))
}

/// Empties what an earlier attempt filled.
pub(crate) async fn clear(c: &mut PgConnection) -> Result<(), StoreError> {
    let tables: Vec<_> = TABLES.iter().map(|table| table.name).collect();
    script(c, &format!("TRUNCATE {}", tables.join(", "))).await
}

/// The id of a database, where it has one.
pub(crate) async fn id(c: &mut PgConnection) -> Result<Option<String>, StoreError> {
    if !schema::exists(c, "party").await? {
        return Ok(None);
    }
    Ok(sqlx::query("SELECT id FROM party").fetch_optional(c).await?.map(|row| row.try_get(0)).transpose()?)
}

/// Says whose it is, once all is in it.
pub(crate) async fn own(c: &mut PgConnection, role: &str, id: &str) -> Result<(), StoreError> {
    sqlx::query("INSERT INTO party (role, id) SELECT $1, $2 WHERE NOT EXISTS (SELECT FROM party)")
        .bind(role.to_owned())
        .bind(id.to_owned())
        .execute(c)
        .await?;
    Ok(())
}

/// Notes a move in place of what was noted before. Of a database that was left no service starts again.
pub(crate) async fn note(c: &mut PgConnection, moving: &Move) -> Result<(), StoreError> {
    let (state, id) = moving.parts();
    let table = "BEGIN; CREATE TABLE IF NOT EXISTS moving (state text NOT NULL, id text NOT NULL); DELETE FROM moving";
    script(c, table).await?;
    sqlx::query("INSERT INTO moving VALUES ($1, $2)").bind(state).bind(id.to_owned()).execute(&mut *c).await?;
    script(c, "SET LOCAL statement_timeout = 0; COMMIT").await
}

/// This move is over; another one stays noted.
pub(crate) async fn forget(c: &mut PgConnection, moving: &Move) -> Result<(), StoreError> {
    if schema::exists(c, "moving").await? {
        let (state, id) = moving.parts();
        let over = "DELETE FROM moving WHERE state = $1 AND id = $2";
        sqlx::query(over).bind(state).bind(id.to_owned()).execute(c).await?;
    }
    Ok(())
}

pub(crate) async fn state(c: &mut PgConnection) -> Result<Option<Move>, StoreError> {
    if !schema::exists(c, "moving").await? {
        return Ok(None);
    }
    let Some(row) = sqlx::query("SELECT state, id FROM moving").fetch_optional(c).await? else { return Ok(None) };
    let (state, id): (String, String) = (row.try_get(0)?, row.try_get(1)?);
    Ok(Some(if state == "left" { Move::Left(id) } else { Move::Filling(id) }))
}

/// Refuses a database that is being filled, but for the folder that it was filled from, and one that was left.
pub(super) async fn check(c: &mut PgConnection, database: &Database, known: Option<&str>) -> Result<(), StoreError> {
    match state(c).await? {
        Some(Move::Left(_)) => Err(left(database)),
        Some(Move::Filling(id)) if known != Some(&id) => {
            let reason = "a move into it is not finished: repeat sealwort store migrate";
            Err(DatabaseFault::Moving { at: database.to_string(), reason }.into())
        }
        _ => Ok(()),
    }
}

/// Refuses a database whose data went into a folder.
pub(crate) async fn refuse_left(c: &mut PgConnection, database: &Database) -> Result<(), StoreError> {
    match state(c).await? {
        Some(Move::Left(_)) => Err(left(database)),
        _ => Ok(()),
    }
}

pub(crate) fn left(database: &Database) -> StoreError {
    let reason = "its data were moved into a data folder; what is left in it is the old copy";
    DatabaseFault::Moving { at: database.to_string(), reason }.into()
}

pub(crate) async fn close(c: PgConnection) -> Result<(), StoreError> {
    Ok(c.close().await?)
}

/// Going over everything takes longer than any other statement may.
const PATIENT: &str = "SET statement_timeout = 0; SET idle_in_transaction_session_timeout = 0";
