//! What is particular to whole tables in SQLite: an entry names its log by a number, and the log its patient.

use sqlx::{QueryBuilder, Sqlite, SqliteConnection};

use crate::StoreError;
use crate::tables::{Table, TableRow, Value};

/// Texts are ordered byte by byte anyway.
pub(super) const COLLATION: &str = "";

/// Where a table's columns are found.
pub(super) fn source(table: &Table) -> &'static str {
    match table.name {
        "entry" => "log CROSS JOIN entry ON entry.log = log.number",
        name => name,
    }
}

/// What stands before and after the values of an insertion.
pub(super) fn insert(table: &Table) -> (String, &'static str) {
    let (name, list) = (table.name, table.list());
    match name {
        "entry" => (
            format!("WITH new ({list}) AS ("),
            ") INSERT INTO entry (log, sequence, deposit, hash, tag, author_key, envelope, ciphertext, object, object_bytes,
                 object_digest)
             SELECT log.number, new.sequence, deposit, hash, tag, author_key, envelope, ciphertext, object, object_bytes,
                 object_digest
             FROM new CROSS JOIN log ON log.patient = new.patient",
        ),
        _ => (format!("INSERT INTO {name} ({list}) "), ""),
    }
}

/// Makes the logs that entries are inserted into.
pub(super) async fn prepare(c: &mut SqliteConnection, table: &Table, rows: &[TableRow]) -> Result<(), StoreError> {
    if table.name != "entry" || rows.is_empty() {
        return Ok(());
    }
    let mut patients: Vec<_> = rows.iter().filter_map(|row| row.values.first().cloned()).collect();
    patients.dedup();
    let mut logs = QueryBuilder::<Sqlite>::new("INSERT OR IGNORE INTO log (patient) ");
    logs.push_values(patients, |mut values, patient| {
        if let Value::Bytes(patient) = patient {
            values.push_bind(patient);
        }
    });
    logs.build().execute(c).await?;
    Ok(())
}
