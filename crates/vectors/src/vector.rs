//! A vector, a file of them, and the way their values are written in JSON.

use std::fmt;
use std::path::{Path, PathBuf};

use sealwort_proto::error::{ErrorKind, ProtocolError};
use serde_json::{Map, Value, json};

/// One vector.
#[derive(Debug, Clone, PartialEq)]
pub struct Vector {
    /// Unique in the folder.
    pub name: String,
    /// What is done to the input.
    pub kind: String,
    /// Section of `spec/protocol.md`.
    pub section: String,
    /// For people.
    pub comment: String,
    /// Rules of `spec/sealwort.cddl`, by the path of the bytes that follow them.
    pub cddl: Vec<(String, String)>,
    /// Everything that goes in.
    pub input: Value,
    /// What must come out.
    pub expected: Expected,
}

/// What must come out.
#[derive(Debug, Clone, PartialEq)]
pub enum Expected {
    /// These values.
    Output(Value),
    /// This error code.
    Error(String),
}

/// What the code said of an input: the stable code, and its words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// Stable code, `spec/protocol.md`, section 10.
    pub code: String,
    /// The cause, for people.
    pub text: String,
}

impl Failure {
    /// A failure with its code.
    pub fn new(code: &str, text: impl fmt::Display) -> Self {
        Self { code: code.to_owned(), text: text.to_string() }
    }
}

impl From<ErrorKind> for Failure {
    fn from(kind: ErrorKind) -> Self {
        Self::new(kind.code(), &kind)
    }
}

impl From<ProtocolError> for Failure {
    fn from(error: ProtocolError) -> Self {
        Self::new(error.code(), &error)
    }
}

/// A file of the folder.
#[derive(Debug, Clone, PartialEq)]
pub struct File {
    /// Its name, without `.json`.
    pub name: String,
    /// What it is about.
    pub comment: String,
    /// Its vectors.
    pub vectors: Vec<Vector>,
}

impl Vector {
    fn to_json(&self) -> Value {
        let mut map = Map::new();
        for (name, value) in
            [("name", &self.name), ("kind", &self.kind), ("section", &self.section), ("comment", &self.comment)]
        {
            map.insert(name.to_owned(), json!(value));
        }
        if !self.cddl.is_empty() {
            let rules = self.cddl.iter().map(|(path, rule)| (path.clone(), json!(rule))).collect();
            map.insert("cddl".to_owned(), Value::Object(rules));
        }
        map.insert("input".to_owned(), self.input.clone());
        match &self.expected {
            Expected::Output(output) => map.insert("output".to_owned(), output.clone()),
            Expected::Error(code) => map.insert("error".to_owned(), json!(code)),
        };
        Value::Object(map)
    }

    fn from_json(value: &Value) -> Self {
        let text = |name: &str| value[name].as_str().unwrap_or_else(|| panic!("{name} of {value}")).to_owned();
        let rules = value.get("cddl").and_then(Value::as_object);
        let rule = |(path, rule): (&String, &Value)| (path.clone(), rule.as_str().unwrap().to_owned());
        Self {
            name: text("name"),
            kind: text("kind"),
            section: text("section"),
            comment: text("comment"),
            cddl: rules.into_iter().flatten().map(rule).collect(),
            input: value["input"].clone(),
            expected: match (value.get("output"), value.get("error")) {
                (Some(output), None) => Expected::Output(output.clone()),
                (None, Some(code)) => Expected::Error(code.as_str().unwrap().to_owned()),
                _ => panic!("{} must have either an output or an error", text("name")),
            },
        }
    }

    /// The value at a path such as `output.messages.1`.
    pub fn at(&self, path: &str) -> Option<&Value> {
        let mut parts = path.split('.');
        let output = match &self.expected {
            Expected::Output(output) => Some(output),
            Expected::Error(_) => None,
        };
        let mut value = match parts.next() {
            Some("input") => &self.input,
            Some("output") => output?,
            _ => return None,
        };
        for part in parts {
            value = match part.parse::<usize>() {
                Ok(index) if value.is_array() => value.get(index)?,
                _ => value.get(part)?,
            };
        }
        Some(value)
    }
}

impl File {
    /// The file's text.
    pub fn to_text(&self) -> String {
        let vectors: Vec<Value> = self.vectors.iter().map(Vector::to_json).collect();
        text(&json!({ "comment": self.comment, "vectors": vectors }))
    }

    /// Reads a file's text.
    pub fn from_text(name: &str, text: &str) -> Self {
        let value: Value = serde_json::from_str(text).unwrap_or_else(|error| panic!("{name}: {error}"));
        Self {
            name: name.to_owned(),
            comment: value["comment"].as_str().expect("a comment").to_owned(),
            vectors: value["vectors"].as_array().expect("vectors").iter().map(Vector::from_json).collect(),
        }
    }
}

/// JSON as it stands in the folder.
pub fn text(value: &Value) -> String {
    let mut text = serde_json::to_string_pretty(value).expect("values have a JSON form");
    text.push('\n');
    text
}

/// `spec/vectors` of this source tree.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../spec/vectors")
}

/// Bytes as a vector shows them.
pub fn hex(bytes: impl AsRef<[u8]>) -> Value {
    Value::String(hex::encode(bytes))
}

/// Several byte strings as a vector shows them.
pub fn hexes<B: AsRef<[u8]>>(items: impl IntoIterator<Item = B>) -> Value {
    items.into_iter().map(hex).collect()
}

/// Reads members of an object; whatever is missing or of another type stops the run.
#[derive(Debug, Clone, Copy)]
pub struct In<'a>(pub &'a Value);

impl<'a> In<'a> {
    /// The member.
    pub fn value(self, name: &str) -> &'a Value {
        self.0.get(name).unwrap_or_else(|| panic!("{name} is missing in {}", short(self.0)))
    }

    /// The member, unless it is absent or null.
    pub fn optional(self, name: &str) -> Option<&'a Value> {
        self.0.get(name).filter(|value| !value.is_null())
    }

    /// An object.
    pub fn object(self, name: &str) -> Self {
        In(self.value(name))
    }

    /// Bytes.
    pub fn bytes(self, name: &str) -> Vec<u8> {
        bytes(self.value(name))
    }

    /// Exactly this many bytes.
    pub fn array<const N: usize>(self, name: &str) -> [u8; N] {
        let found = self.bytes(name);
        found.try_into().unwrap_or_else(|found: Vec<u8>| panic!("{name} has {} bytes, not {N}", found.len()))
    }

    /// A number.
    pub fn uint(self, name: &str) -> u64 {
        self.value(name).as_u64().unwrap_or_else(|| panic!("{name} is no number"))
    }

    /// A text.
    pub fn text(self, name: &str) -> &'a str {
        self.value(name).as_str().unwrap_or_else(|| panic!("{name} is no text"))
    }

    /// An array.
    pub fn list(self, name: &str) -> &'a [Value] {
        self.value(name).as_array().unwrap_or_else(|| panic!("{name} is no array"))
    }

    /// An array of byte strings.
    pub fn byte_list(self, name: &str) -> Vec<Vec<u8>> {
        self.list(name).iter().map(bytes).collect()
    }
}

/// Bytes of a hexadecimal text.
pub fn bytes(value: &Value) -> Vec<u8> {
    let text = value.as_str().unwrap_or_else(|| panic!("{} is no hexadecimal text", short(value)));
    assert!(text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)), "{text} is not lower-case");
    hex::decode(text).unwrap_or_else(|error| panic!("{error}: {}", short(value)))
}

fn short(value: &Value) -> String {
    value.to_string().chars().take(200).collect()
}
