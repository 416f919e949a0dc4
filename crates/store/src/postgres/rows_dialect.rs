//! What is particular to whole tables in PostgreSQL.

use sqlx::PgConnection;

use crate::StoreError;
use crate::tables::{Table, TableRow};

/// Texts are ordered byte by byte, whatever the database's own order is.
pub(super) const COLLATION: &str = " COLLATE \"C\"";

/// Where a table's columns are found.
pub(super) fn source(table: &Table) -> &'static str {
    table.name
}

/// What stands before and after the values of an insertion.
pub(super) fn insert(table: &Table) -> (String, &'static str) {
    (format!("INSERT INTO {} ({}) ", table.name, table.list()), "")
}

#[expect(clippy::unused_async, reason = "the other database has something to prepare")]
pub(super) async fn prepare(_: &mut PgConnection, _: &Table, _: &[TableRow]) -> Result<(), StoreError> {
    Ok(())
}
