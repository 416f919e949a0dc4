//! The tables of broker and archive, as both databases have them: for what goes over everything, as verifying and moving
//! do. Nothing here knows what a row means. A test holds the list against the tables that the back ends make.

use sealwort_proto::crypto::Sha256;

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Bytes,
    Integer,
    Text,
}

/// A table of both databases.
#[derive(Debug)]
pub struct Table {
    pub(crate) name: &'static str,
    /// Those of the key come first.
    pub(crate) columns: &'static [(&'static str, Kind)],
    pub(crate) key: usize,
    pub(crate) file: File,
}

/// In which file the embedded store has a table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum File {
    Store,
    Audit,
}

impl Table {
    const fn store(name: &'static str, key: usize, columns: &'static [(&'static str, Kind)]) -> Self {
        Self { name, columns, key, file: File::Store }
    }

    const fn audit(name: &'static str, key: usize, columns: &'static [(&'static str, Kind)]) -> Self {
        Self { name, columns, key, file: File::Audit }
    }

    /// Its name.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Its columns.
    pub fn columns(&self) -> impl Iterator<Item = &'static str> + use<> {
        self.columns.iter().map(|(name, _)| *name)
    }

    pub(crate) fn key(&self) -> impl Iterator<Item = &(&'static str, Kind)> {
        self.columns.iter().take(self.key)
    }

    /// Its columns, as SQL lists them.
    pub(crate) fn list(&self) -> String {
        self.columns.iter().map(|(name, _)| format!("\"{name}\"")).collect::<Vec<_>>().join(", ")
    }
}

/// What a row has in a column.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Value {
    Bytes(Option<Vec<u8>>),
    Integer(Option<i64>),
    Text(Option<String>),
}

/// A row of a [`Table`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableRow {
    pub(crate) names: &'static [(&'static str, Kind)],
    pub(crate) values: Vec<Value>,
}

impl TableRow {
    /// Its key alone, to go on after it.
    #[must_use]
    pub fn key(&self, table: &Table) -> Self {
        Self { names: self.names, values: self.values.iter().take(table.key).cloned().collect() }
    }

    fn value(&self, column: &str) -> Option<&Value> {
        let place = self.names.iter().position(|(name, _)| *name == column)?;
        self.values.get(place)
    }

    /// What it is about: the first column of its key, as the patient's pseudonym is in most tables.
    pub fn subject(&self) -> &[u8] {
        match self.values.first() {
            Some(Value::Bytes(Some(bytes))) => bytes,
            _ => &[],
        }
    }

    /// Bytes; none where the column has none.
    pub fn bytes(&self, column: &str) -> Option<&[u8]> {
        match self.value(column) {
            Some(Value::Bytes(bytes)) => bytes.as_deref(),
            _ => None,
        }
    }

    /// A number; none where the column has none, and for one below zero, which nothing stored here is.
    pub fn number(&self, column: &str) -> Option<u64> {
        match self.value(column) {
            Some(Value::Integer(number)) => number.and_then(|number| u64::try_from(number).ok()),
            _ => None,
        }
    }
}

/// A digest over whole rows: the same for the same rows in the same order, whichever database they are in.
#[derive(Default)]
pub struct RowsDigest(Sha256);

impl RowsDigest {
    /// Takes the next row.
    pub fn take(&mut self, row: &TableRow) {
        for value in &row.values {
            let (kind, bytes) = match value {
                Value::Bytes(bytes) => (1u8, bytes.clone()),
                Value::Integer(number) => (2, number.map(|number| number.to_be_bytes().to_vec())),
                Value::Text(text) => (3, text.clone().map(String::into_bytes)),
            };
            self.0.update(&[kind, u8::from(bytes.is_some())]);
            let bytes = bytes.unwrap_or_default();
            self.0.update(&(bytes.len() as u64).to_be_bytes());
            self.0.update(&bytes);
        }
    }

    /// The digest in hexadecimal.
    pub fn finish(self) -> String {
        hex::encode(self.0.finish())
    }
}

/// The digest of all chains' heads, by which two runs, a backup and its original, or broker and archive compare. What an
/// archive holds, and what a broker has witnessed of it, give the same when no receipt is on its way.
#[derive(Default)]
pub struct Heads {
    all: Sha256,
    logs: u64,
    last: Option<(Vec<u8>, u64, Vec<u8>)>,
}

impl Heads {
    /// Takes the heads of one log after the other, each log's ascending; the last of each counts, and the head of an
    /// empty log does not.
    pub fn take(&mut self, patient: &[u8], sequence: u64, head: &[u8]) {
        if sequence == 0 {
            return;
        }
        if self.last.as_ref().is_some_and(|(last, ..)| last != patient) {
            self.settle();
        }
        self.last = Some((patient.to_vec(), sequence, head.to_vec()));
    }

    /// Takes a row of any table; those of entries and of witnessed heads have heads.
    pub fn take_row(&mut self, table: &Table, row: &TableRow) {
        let head = match table.name {
            "entry" => row.bytes("hash"),
            "witness" => row.bytes("head"),
            _ => return,
        };
        if let (Some(patient), Some(sequence), Some(head)) = (row.bytes("patient"), row.number("sequence"), head) {
            self.take(patient, sequence, head);
        }
    }

    fn settle(&mut self) {
        if let Some((patient, sequence, head)) = self.last.take() {
            self.all.update(&patient);
            self.all.update(&sequence.to_be_bytes());
            self.all.update(&head);
            self.logs += 1;
        }
    }

    /// How many logs there were, and the digest in hexadecimal.
    pub fn finish(mut self) -> (u64, String) {
        self.settle();
        (self.logs, hex::encode(self.all.finish()))
    }
}

use Kind::{Bytes, Integer, Text};

/// Registered patients.
pub static PATIENT: Table = Table::store(
    "patient",
    1,
    &[("pseudonym", Bytes), ("registration", Bytes), ("directive", Bytes), ("version", Integer), ("epoch", Integer)],
);
/// Whose an identifier is.
pub static LOCATOR: Table = Table::store("locator", 1, &[("locator", Bytes), ("pseudonym", Bytes)]);
/// Wrapped halves.
pub static HALF: Table = Table::store("half", 2, &[("pseudonym", Bytes), ("epoch", Integer), ("wrapped", Bytes)]);
/// Authors' certificates.
pub static AUTHOR: Table = Table::store("author", 1, &[("key", Bytes), ("chain", Bytes)]);
/// Sealed entries.
pub static ENTRY: Table = Table::store(
    "entry",
    2,
    &[
        ("patient", Bytes),
        ("sequence", Integer),
        ("deposit", Bytes),
        ("hash", Bytes),
        ("tag", Bytes),
        ("author_key", Bytes),
        ("envelope", Bytes),
        ("ciphertext", Bytes),
        ("object", Bytes),
        ("object_bytes", Integer),
        ("object_digest", Bytes),
    ],
);
/// Objects that are to be deleted.
static DOOMED_OBJECT: Table = Table::store("doomed_object", 1, &[("object", Bytes)]);
/// The mark that the store sets on its place for objects, which stay where they are when their rows move, and how often
/// it has swept there.
static OBJECT_OWNER: Table =
    Table::store("object_owner", 1, &[("number", Integer), ("id", Bytes), ("sweeps", Integer)]);
/// Witnessed heads.
pub static WITNESS: Table = Table::store("witness", 2, &[("patient", Bytes), ("sequence", Integer), ("head", Bytes)]);
/// What remains of erased patients.
pub static ERASED: Table = Table::store(
    "erased",
    1,
    &[
        ("pseudonym", Bytes),
        ("erasure", Bytes),
        ("halves", Integer),
        ("entries", Integer),
        ("sequence", Integer),
        ("head", Bytes),
        ("erased_at", Integer),
    ],
);
/// Emergency accesses.
pub static EMERGENCY: Table = Table::store(
    "emergency",
    1,
    &[
        ("id", Bytes),
        ("patient", Bytes),
        ("hospital", Text),
        ("user", Text),
        ("user_role", Text),
        ("purpose", Text),
        ("reason", Text),
        ("begun_at", Integer),
        ("tell", Text),
    ],
);
static AUDIT_ENTRY: Table = Table::audit(
    "audit_entry",
    1,
    &[
        ("number", Integer),
        ("hashes", Bytes),
        ("stored", Bytes),
        ("time", Integer),
        ("kind", Integer),
        ("outcome", Integer),
        ("patient", Bytes),
        ("user", Bytes),
    ],
);
static AUDIT_CHECKPOINT: Table =
    Table::audit("audit_checkpoint", 2, &[("cosigned", Integer), ("size", Integer), ("note", Text)]);
static AUDIT_REMEMBERED: Table =
    Table::audit("audit_remembered", 2, &[("origin", Text), ("size", Integer), ("note", Text)]);
static AUDIT_CHAIN: Table = Table::audit("audit_chain", 1, &[("certificate", Bytes), ("chain", Bytes)]);

/// All of them; what others refer to comes first.
pub static TABLES: [&Table; 14] = [
    &PATIENT,
    &LOCATOR,
    &HALF,
    &AUTHOR,
    &ENTRY,
    &DOOMED_OBJECT,
    &OBJECT_OWNER,
    &WITNESS,
    &ERASED,
    &EMERGENCY,
    &AUDIT_ENTRY,
    &AUDIT_CHECKPOINT,
    &AUDIT_REMEMBERED,
    &AUDIT_CHAIN,
];
