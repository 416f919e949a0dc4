//! Whole tables, page by page in the order of their keys. A page is bounded in rows and bytes, so that a million of rows
//! take no more memory than one page.

use sqlx::{QueryBuilder, Row as _};

use super::rows_dialect as dialect;
use super::{Connection, Driver, DriverRow};
use crate::StoreError;
use crate::tables::{Kind, Table, TableRow, Value};

/// Rows of one page.
const PAGE_ROWS_MAX: i64 = 512;
/// Bytes of one page, unless a single row is larger.
const PAGE_BYTES_MAX: i64 = 8 * 1024 * 1024;

/// The rows after this one, or from the first one on; none at the end.
pub(crate) async fn page(
    c: &mut Connection,
    table: &'static Table,
    after: Option<&TableRow>,
) -> Result<Vec<TableRow>, StoreError> {
    let bytes = table.columns.iter().filter(|(_, kind)| *kind == Kind::Bytes);
    let sizes: Vec<_> = bytes.map(|(name, _)| format!("coalesce(length(\"{name}\"), 0)")).collect();
    let sum = format!("CAST({} AS bigint)", if sizes.is_empty() { "0".to_owned() } else { sizes.join(" + ") });
    // Sizes first, so that no more is read than one page.
    let mut select = QueryBuilder::<Driver>::new(format!("SELECT {sum} FROM {}", dialect::source(table)));
    beyond(&mut select, table, after);
    select.push(order(table, "")).push(" LIMIT ").push_bind(PAGE_ROWS_MAX);
    let (mut count, mut total) = (0i64, 0i64);
    for row in select.build().fetch_all(&mut *c).await? {
        total = total.saturating_add(row.try_get(0)?);
        if count > 0 && total > PAGE_BYTES_MAX {
            break;
        }
        count += 1;
    }
    if count == 0 {
        return Ok(Vec::new());
    }
    let mut select = QueryBuilder::<Driver>::new(format!("SELECT {} FROM {}", table.list(), dialect::source(table)));
    beyond(&mut select, table, after);
    select.push(order(table, "")).push(" LIMIT ").push_bind(count);
    let rows = select.build().fetch_all(c).await?;
    rows.iter().map(|row| read(table.columns, row)).collect()
}

/// The rows that have these keys, for a table whose key is one column of bytes.
pub(crate) async fn find(
    c: &mut Connection,
    table: &'static Table,
    keys: &[Vec<u8>],
) -> Result<Vec<TableRow>, StoreError> {
    let mut found = Vec::with_capacity(keys.len());
    let key = table.key().map(ordered).next().unwrap_or_default();
    for keys in keys.chunks(KEYS_AT_ONCE) {
        let from = dialect::source(table);
        let mut select = QueryBuilder::<Driver>::new(format!("SELECT {} FROM {from} WHERE {key} IN (", table.list()));
        let mut list = select.separated(", ");
        for key in keys {
            list.push_bind(key.clone());
        }
        list.push_unseparated(")");
        for row in select.build().fetch_all(&mut *c).await? {
            found.push(read(table.columns, &row)?);
        }
    }
    Ok(found)
}

/// Keys of one question.
const KEYS_AT_ONCE: usize = 512;

/// The key of the last row, as a row of the key's columns alone.
pub(crate) async fn last(c: &mut Connection, table: &'static Table) -> Result<Option<TableRow>, StoreError> {
    let key: Vec<_> = table.key().map(|(name, _)| format!("\"{name}\"")).collect();
    let (key, from, order) = (key.join(", "), dialect::source(table), order(table, " DESC"));
    let mut select = QueryBuilder::<Driver>::new(format!("SELECT {key} FROM {from}{order} LIMIT 1"));
    let row = select.build().fetch_optional(c).await?;
    row.map(|row| read(table.columns.get(..table.key).unwrap_or_default(), &row)).transpose()
}

/// Inserts rows of one page.
pub(crate) async fn insert(c: &mut Connection, table: &'static Table, rows: &[TableRow]) -> Result<(), StoreError> {
    dialect::prepare(&mut *c, table, rows).await?;
    let (before, after) = dialect::insert(table);
    let mut insert = QueryBuilder::<Driver>::new(before);
    insert.push_values(rows, |mut values, row| {
        for value in &row.values {
            match value {
                Value::Bytes(bytes) => values.push_bind(bytes.clone()),
                Value::Integer(number) => values.push_bind(*number),
                Value::Text(text) => values.push_bind(text.clone()),
            };
        }
    });
    insert.push(after);
    if insert.build().execute(c).await?.rows_affected() == rows.len() as u64 {
        Ok(())
    } else {
        Err(StoreError::Io(format!("a row of {} was not inserted", table.name)))
    }
}

fn read(columns: &'static [(&'static str, Kind)], row: &DriverRow) -> Result<TableRow, StoreError> {
    let value = |(place, (_, kind)): (usize, &(&str, Kind))| {
        Ok::<_, StoreError>(match kind {
            Kind::Bytes => Value::Bytes(row.try_get(place)?),
            Kind::Integer => Value::Integer(row.try_get(place)?),
            Kind::Text => Value::Text(row.try_get(place)?),
        })
    };
    let values = columns.iter().enumerate().map(value).collect::<Result<_, _>>()?;
    Ok(TableRow { names: columns, values })
}

/// Restricts to what comes after a row.
fn beyond(select: &mut QueryBuilder<Driver>, table: &Table, after: Option<&TableRow>) {
    let Some(after) = after else { return };
    let key: Vec<_> = table.key().map(ordered).collect();
    // An equal first column leaves a place to begin at in the index, whatever becomes of the comparison of all.
    if let (Some(first), Some(value)) = (key.first(), after.values.first()) {
        bind(select.push(format!(" WHERE {first} >= ")), value);
    }
    select.push(format!(" AND ({}) > (", key.join(", ")));
    for (place, value) in after.values.iter().take(table.key).enumerate() {
        bind(select.push(if place == 0 { "" } else { ", " }), value);
    }
    select.push(")");
}

fn bind(select: &mut QueryBuilder<Driver>, value: &Value) {
    match value {
        Value::Bytes(bytes) => select.push_bind(bytes.clone()),
        Value::Integer(number) => select.push_bind(*number),
        Value::Text(text) => select.push_bind(text.clone()),
    };
}

/// In the same order in both databases: byte by byte.
fn ordered((name, kind): &(&str, Kind)) -> String {
    let collation = if *kind == Kind::Text { dialect::COLLATION } else { "" };
    format!("\"{name}\"{collation}")
}

fn order(table: &Table, direction: &str) -> String {
    let key: Vec<_> = table.key().map(|column| format!("{}{direction}", ordered(column))).collect();
    format!(" ORDER BY {}", key.join(", "))
}
