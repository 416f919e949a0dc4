//! Connecting, and whether the server is one that can be trusted with what is acknowledged.

use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgDatabaseError};
use sqlx::{ConnectOptions as _, PgConnection, Row as _};

use crate::{DatabaseFault, StoreError};

/// How long connecting may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// PostgreSQL 13, as its own number.
const OLDEST: i32 = 130_000;

/// What the server is. `synchronous_commit` is then pinned, so that a changed configuration cannot turn it off under
/// this session.
const LOOK: &str = "SELECT pg_is_in_recovery(), current_setting('fsync'), current_setting('synchronous_commit'),
     current_setting('server_version_num')::int,
     current_setting('full_page_writes'), current_setting('data_sync_retry'),
     set_config('synchronous_commit', current_setting('synchronous_commit'), false)";

pub(super) async fn connect(options: &PgConnectOptions, at: &str) -> Result<PgConnection, StoreError> {
    let connected = tokio::time::timeout(PATIENCE, options.connect()).await;
    let unreachable = |reason: String| DatabaseFault::Unreachable { at: at.to_owned(), reason };
    let mut connection = match connected {
        Ok(Ok(connection)) => connection,
        Ok(Err(error)) => return Err(refused(&error, at).into()),
        Err(_) => return Err(unreachable(silence()).into()),
    };
    match tokio::time::timeout(PATIENCE, look(&mut connection, at)).await {
        Ok(looked) => looked?,
        Err(_) => return Err(unreachable(silence()).into()),
    }
    Ok(connection)
}

fn silence() -> String {
    format!("no answer within {} seconds", PATIENCE.as_secs())
}

/// Refuses a server that takes no writes, or may lose them.
pub(super) async fn look(connection: &mut PgConnection, at: &str) -> Result<(), StoreError> {
    let row = sqlx::query(LOOK).fetch_one(connection).await?;
    if row.try_get(0)? {
        return Err(DatabaseFault::ReadOnly.into());
    }
    // Pages torn by a power cut, and a failed fsync that is repeated and believed, lose what was acknowledged as well.
    for (setting, column, unsafe_values) in [
        ("fsync", 1, &["off"][..]),
        // With `local` a standby that takes over may lack it.
        ("synchronous_commit", 2, &["off", "local"]),
        ("full_page_writes", 4, &["off"]),
        ("data_sync_retry", 5, &["on"]),
    ] {
        let value: String = row.try_get(column)?;
        if unsafe_values.contains(&value.as_str()) {
            return Err(DatabaseFault::Unsafe { at: at.to_owned(), setting, value }.into());
        }
    }
    if row.try_get::<i32, _>(3)? < OLDEST {
        let reason = "its version is older than PostgreSQL 13".to_owned();
        return Err(DatabaseFault::Unreachable { at: at.to_owned(), reason }.into());
    }
    Ok(())
}

fn refused(error: &sqlx::Error, at: &str) -> DatabaseFault {
    let told = error.as_database_error().and_then(|told| told.try_downcast_ref::<PgDatabaseError>());
    let at = at.to_owned();
    match told {
        // Its messages name the user, never the password.
        Some(told) if told.code().starts_with("28") => DatabaseFault::Login { at, reason: told.message().to_owned() },
        Some(told) => DatabaseFault::Unreachable { at, reason: told.message().to_owned() },
        None => DatabaseFault::Unreachable { at, reason: error.to_string() },
    }
}
