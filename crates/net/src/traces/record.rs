//! One span: whose it is, when, how long, how it ended. Names, keys and values of attributes are words of this program
//! and numbers.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use super::{Context, SpanId};
use crate::metrics::labels::{Code, Route, StepName, Verb, Work};

/// What a span is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Name {
    /// A request, at whoever answers it.
    Request(Route),
    /// A run of the nine steps, at the gateway.
    Session,
    /// A write that waited at the gateway for the exchange.
    Outbox,
    /// A step of the protocol.
    Step(StepName),
    /// Something is written to a store.
    Store(Work),
}

/// What is told of a span.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Attribute {
    /// The method of a request.
    Verb(Verb),
    /// The status of its answer.
    Status(u16),
    /// From whom to whom a step goes, such as `L → T`.
    Way(&'static str),
    /// Bytes of its message.
    Bytes(usize),
    /// The stable code of a refusal.
    Code(Code),
}

/// All keys of attributes.
pub const ATTRIBUTES: [&str; 5] =
    ["http.request.method", "http.response.status_code", "sealwort.way", "sealwort.bytes", "sealwort.code"];

/// A value of an attribute.
pub(super) enum Value {
    Word(&'static str),
    Number(i64),
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Request(route) => write!(f, "request {}", route.as_str()),
            Self::Session => f.write_str("session"),
            Self::Outbox => f.write_str("outbox"),
            Self::Step(step) => write!(f, "{} {}", step.phase().as_str(), step.number()),
            Self::Store(work) => write!(f, "store {}", work.as_str()),
        }
    }
}

impl Attribute {
    /// Its key, one of [`ATTRIBUTES`].
    pub const fn key(&self) -> &'static str {
        match self {
            Self::Verb(_) => "http.request.method",
            Self::Status(_) => "http.response.status_code",
            Self::Way(_) => "sealwort.way",
            Self::Bytes(_) => "sealwort.bytes",
            Self::Code(_) => "sealwort.code",
        }
    }

    pub(super) fn value(&self) -> Value {
        match *self {
            Self::Verb(verb) => Value::Word(verb.as_str()),
            Self::Status(status) => Value::Number(i64::from(status)),
            Self::Way(way) => Value::Word(way),
            Self::Bytes(bytes) => Value::Number(i64::try_from(bytes).unwrap_or(i64::MAX)),
            Self::Code(code) => Value::Word(code.as_str()),
        }
    }
}

/// A span that ended.
#[derive(Debug, Clone)]
pub(crate) struct Record {
    pub(crate) context: Context,
    pub(crate) parent: Option<SpanId>,
    pub(crate) name: Name,
    pub(crate) start: SystemTime,
    pub(crate) duration: Duration,
    /// None where it went well.
    pub(crate) refused: Option<Code>,
    pub(crate) attributes: Vec<Attribute>,
    /// Hashes of what a client calls its request. They are kept here and not sent to a collector.
    pub(crate) names: Vec<String>,
}

impl Record {
    pub(super) fn start_nanos(&self) -> u64 {
        let since = self.start.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
    }

    pub(super) fn end_nanos(&self) -> u64 {
        self.start_nanos().saturating_add(u64::try_from(self.duration.as_nanos()).unwrap_or(u64::MAX))
    }
}

/// A span as it lies in a data folder: one JSON object a line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Kept {
    /// The trace, 32 hexadecimal digits.
    pub trace: String,
    /// The span, 16 of them.
    pub span: String,
    /// The span that it belongs to, perhaps another party's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<String>,
    /// Identity of the party.
    pub party: String,
    /// What it is about.
    pub name: String,
    /// When it began, in microseconds of Unix time.
    pub start_micros: u64,
    /// How long it took, in microseconds.
    pub micros: u64,
    /// `ok`, or the stable code of the refusal.
    pub outcome: String,
    /// What is told of it.
    pub attributes: BTreeMap<String, serde_json::Value>,
    /// Hashes of what a client calls its request ([`super::Names`]).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<String>,
}

impl Kept {
    pub(super) fn of(record: &Record, party: &str) -> Self {
        let attribute = |attribute: &Attribute| {
            let value = match attribute.value() {
                Value::Word(word) => word.into(),
                Value::Number(number) => number.into(),
            };
            (attribute.key().to_owned(), value)
        };
        Self {
            trace: record.context.trace.to_string(),
            span: record.context.span.to_string(),
            parent: record.parent.map(|parent| parent.to_string()),
            party: party.to_owned(),
            name: record.name.to_string(),
            start_micros: record.start_nanos() / 1000,
            micros: u64::try_from(record.duration.as_micros()).unwrap_or(u64::MAX),
            outcome: record.refused.map_or("ok", Code::as_str).to_owned(),
            attributes: record.attributes.iter().map(attribute).collect(),
            names: record.names.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_is_in_the_list() {
        let all = [
            Attribute::Verb(Verb::Get),
            Attribute::Status(200),
            Attribute::Way("L → T"),
            Attribute::Bytes(1),
            Attribute::Code(Code::of("unknown")),
        ];
        assert_eq!(all.map(|attribute| attribute.key()), ATTRIBUTES);
    }
}
