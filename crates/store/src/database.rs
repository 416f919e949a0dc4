//! What both databases have in common: numbers and identifiers as they are stored, and failures of `sqlx`.

use sealwort_proto::Digest;
use sealwort_proto::receipt::Witness;
use sqlx::postgres::PgDatabaseError;

use crate::{DatabaseFault, StoreError, postgres, sqlite};

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::Database(told) => match told.try_downcast_ref::<PgDatabaseError>() {
                Some(told) => postgres::failed(told),
                None => sqlite::failed(&error),
            },
            // Files of SQLite have no connection that could be lost.
            sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::Protocol(_) => {
                DatabaseFault::Lost { reason: error.to_string() }.into()
            }
            // What was stored has the type of its column: the file holds something else by now.
            sqlx::Error::ColumnDecode { .. } => sqlite::damaged(&error),
            sqlx::Error::PoolTimedOut => Self::Io("no connection to the database came in time".to_owned()),
            _ => Self::Io(error.to_string()),
        }
    }
}

/// Integers of both databases are signed; every number here stays below their limit.
pub(crate) fn signed(number: u64) -> Result<i64, StoreError> {
    i64::try_from(number).map_err(|_| StoreError::Conflict("a number is larger than storage holds"))
}

pub(crate) fn unsigned(number: i64) -> Result<u64, StoreError> {
    u64::try_from(number).map_err(|_| StoreError::Io("a stored number is negative".to_owned()))
}

/// A limit of the caller's; beyond the largest integer it limits nothing.
pub(crate) fn limit(number: usize) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Reads a stored byte string as an identifier of fixed length.
pub(crate) fn fixed<T>(bytes: &[u8], read: impl FnOnce(&[u8]) -> Option<T>) -> Result<T, StoreError> {
    read(bytes).ok_or_else(|| StoreError::Io("a stored identifier has the wrong length".to_owned()))
}

pub(crate) fn witness(sequence: i64, head: &[u8]) -> Result<Witness, StoreError> {
    Ok(Witness { sequence: unsigned(sequence)?, head: fixed(head, Digest::from_slice)? })
}
