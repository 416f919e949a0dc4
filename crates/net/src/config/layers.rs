//! The layers of a configuration as trees whose every value knows its place, and how one layer
//! covers another.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;

use serde::Serialize;
use toml::de::{DeTable, DeValue};

use super::error::{ConfigError, Origin};

/// A value and its place.
#[derive(Debug, Clone)]
pub(super) struct Located {
    pub(super) origin: Origin,
    pub(super) value: Value,
}

#[derive(Debug, Clone)]
pub(super) enum Value {
    Table(BTreeMap<String, Located>),
    Array(Vec<Located>),
    Text(String),
    Integer(i64),
    Float(f64),
    Boolean(bool),
    /// From the environment or the command line: its type is what the reader wants it to be.
    Word(String),
}

/// The layer of built-in defaults.
pub(super) fn defaults<T: Serialize>(value: &T) -> Result<Located, ConfigError> {
    let value = toml::Value::try_from(value).map_err(|error| ConfigError::Defaults { message: error.to_string() })?;
    Ok(from_plain(value))
}

fn from_plain(value: toml::Value) -> Located {
    let value = match value {
        toml::Value::Table(table) => {
            Value::Table(table.into_iter().map(|(key, value)| (key, from_plain(value))).collect())
        }
        toml::Value::Array(items) => Value::Array(items.into_iter().map(from_plain).collect()),
        toml::Value::String(text) => Value::Text(text),
        toml::Value::Integer(number) => Value::Integer(number),
        toml::Value::Float(number) => Value::Float(number),
        toml::Value::Boolean(truth) => Value::Boolean(truth),
        toml::Value::Datetime(moment) => Value::Text(moment.to_string()),
    };
    Located { origin: Origin::Default, value }
}

/// The layer of a TOML file.
pub(super) fn file(path: &Path) -> Result<Located, ConfigError> {
    let unreadable = |source| ConfigError::Read { path: path.to_owned(), source };
    let mut text = String::new();
    File::open(path).and_then(|file| file.take(FILE_BYTES_MAX + 1).read_to_string(&mut text)).map_err(unreadable)?;
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(ConfigError::TooLarge { path: path.to_owned(), limit: FILE_BYTES_MAX });
    }
    let place = Place { path, text: &text };
    let table = DeTable::parse(&text).map_err(|error| ConfigError::Syntax {
        origin: place.at(error.span().map_or(0, |span| span.start)),
        message: error.message().trim().replace('\n', "; "),
    })?;
    let start = table.span().start;
    Ok(Located { origin: place.at(start), value: place.table(table.into_inner())? })
}

struct Place<'a> {
    path: &'a Path,
    text: &'a str,
}

impl Place<'_> {
    fn at(&self, offset: usize) -> Origin {
        let before = self.text.get(..offset).unwrap_or(self.text);
        Origin::File { path: self.path.to_owned(), line: 1 + before.bytes().filter(|byte| *byte == b'\n').count() }
    }

    fn table(&self, table: DeTable<'_>) -> Result<Value, ConfigError> {
        let mut entries = BTreeMap::new();
        for (key, value) in table {
            let origin = self.at(key.span().start);
            let value = self.value(value.into_inner(), &origin, key.get_ref())?;
            entries.insert(key.into_inner().into_owned(), Located { origin, value });
        }
        Ok(Value::Table(entries))
    }

    fn value(&self, value: DeValue<'_>, origin: &Origin, key: &str) -> Result<Value, ConfigError> {
        let out_of_range = |message: &str| ConfigError::Value {
            origin: origin.clone(),
            key: key.to_owned(),
            message: message.to_owned(),
        };
        Ok(match value {
            DeValue::String(text) => Value::Text(text.into_owned()),
            DeValue::Integer(number) => Value::Integer(
                i64::from_str_radix(number.as_str(), number.radix())
                    .map_err(|_| out_of_range("number out of range"))?,
            ),
            DeValue::Float(number) => {
                Value::Float(number.as_str().parse().map_err(|_| out_of_range("number out of range"))?)
            }
            DeValue::Boolean(truth) => Value::Boolean(truth),
            DeValue::Datetime(moment) => Value::Text(moment.to_string()),
            DeValue::Array(items) => {
                let mut located = Vec::new();
                for item in items {
                    let origin = self.at(item.span().start);
                    let value = self.value(item.into_inner(), &origin, key)?;
                    located.push(Located { origin, value });
                }
                Value::Array(located)
            }
            DeValue::Table(table) => self.table(table)?,
        })
    }
}

/// Puts `upper` over `lower`: tables are merged key by key, everything else is replaced.
pub(super) fn overlay(lower: &mut Located, upper: Located) {
    match (&mut lower.value, upper.value) {
        (Value::Table(below), Value::Table(above)) => {
            lower.origin = upper.origin;
            for (key, value) in above {
                match below.get_mut(&key) {
                    Some(existing) => overlay(existing, value),
                    None => {
                        below.insert(key, value);
                    }
                }
            }
        }
        (_, value) => {
            *lower = Located { origin: upper.origin, value };
        }
    }
}

/// Sets one dotted key.
pub(super) fn set(tree: &mut Located, key: &str, word: String, origin: &Origin) -> Result<(), ConfigError> {
    let mut at = tree;
    for part in key.split('.') {
        if !matches!(at.value, Value::Table(_)) {
            // `a.b` where `a` is a plain value: refused, since silently replacing `a` would hide
            // a mistyped name.
            return Err(ConfigError::Value {
                origin: origin.clone(),
                key: key.to_owned(),
                message: format!("`{part}` is set inside something that is not a section"),
            });
        }
        let Value::Table(entries) = &mut at.value else {
            return Ok(());
        };
        at = entries
            .entry(part.to_owned())
            .or_insert_with(|| Located { origin: origin.clone(), value: Value::Table(BTreeMap::new()) });
    }
    *at = Located { origin: origin.clone(), value: Value::Word(word) };
    Ok(())
}

/// Every key that is not a default, dotted.
pub(super) fn origins(tree: &Located) -> Vec<(String, Origin)> {
    let mut found = Vec::new();
    collect(tree, "", &mut found);
    found
}

fn collect(at: &Located, path: &str, found: &mut Vec<(String, Origin)>) {
    match &at.value {
        Value::Table(entries) => {
            for (key, value) in entries {
                collect(value, &join(path, key), found);
            }
        }
        _ if at.origin != Origin::Default => found.push((path.to_owned(), at.origin.clone())),
        _ => {}
    }
}

/// `a.b`, or `b` at the top.
pub(super) fn join(path: &str, key: &str) -> String {
    if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") }
}

const FILE_BYTES_MAX: u64 = 1024 * 1024;
