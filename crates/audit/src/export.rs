//! An export: one readable line per entry with the leaf's exact bytes, and a proof that ties them to a signed and
//! cosigned checkpoint. Of a gapless range nothing can be missing inside; selected entries are proved each.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use sealwort_proto::Digest;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::check::{Verdict, chains_from_text, chains_to_text};
use crate::event::Event;
use crate::line::Line;
use crate::note::{Chains, Note};

/// Largest proof file, in bytes.
pub const PROOF_BYTES_MAX: usize = 256 * 1024 * 1024;

const FORMAT: &str = "sealwort audit proof 1";

/// A proof file.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Proof {
    format: String,
    /// The log's newest checkpoint.
    pub(crate) checkpoint: String,
    /// The newest one that others cosigned, and the proof that the other continues it.
    witnessed: Option<WitnessedText>,
    range: Option<RangeText>,
    selected: Option<SelectedText>,
    chains: Vec<Vec<String>>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WitnessedText {
    checkpoint: String,
    consistency: Vec<String>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RangeText {
    from: u64,
    below: u64,
    edge: Vec<String>,
    consistency: Vec<String>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SelectedText {
    numbers: Vec<u64>,
    hashes: Vec<String>,
}

/// What a proof says, read and not yet verified.
#[derive(Debug, Clone)]
pub struct Export {
    /// The log's newest checkpoint.
    pub note: Note,
    /// The newest one that others cosigned, and the consistency proof from it to the other.
    pub witnessed: Option<(Note, Vec<Digest>)>,
    /// Which entries.
    pub coverage: Coverage,
    /// The certificates behind the signatures.
    pub chains: Chains,
}

/// Which entries an export holds.
#[derive(Debug, Clone)]
pub enum Coverage {
    /// All from one number to below another.
    Range {
        /// The first.
        from: u64,
        /// After the last.
        below: u64,
        /// The tree's edge before the first, [`crate::Tree::edge`].
        edge: Vec<Digest>,
        /// From `below` to the checkpoint.
        consistency: Vec<Digest>,
    },
    /// Some.
    Selected {
        /// Which, ascending.
        numbers: Vec<u64>,
        /// That they are in the checkpoint's tree, [`crate::Batch::prove`].
        proof: Vec<Digest>,
    },
}

impl Export {
    /// The proof file.
    pub fn to_proof(&self) -> Proof {
        let (range, selected) = match &self.coverage {
            Coverage::Range { from, below, edge, consistency } => (
                Some(RangeText { from: *from, below: *below, edge: texts(edge), consistency: texts(consistency) }),
                None,
            ),
            Coverage::Selected { numbers, proof } => {
                (None, Some(SelectedText { numbers: numbers.clone(), hashes: texts(proof) }))
            }
        };
        Proof {
            format: FORMAT.to_owned(),
            checkpoint: self.note.to_string(),
            witnessed: self.witnessed.as_ref().map(|(note, consistency)| WitnessedText {
                checkpoint: note.to_string(),
                consistency: texts(consistency),
            }),
            range,
            selected,
            chains: chains_to_text(&self.chains),
        }
    }

    /// Reads a proof file.
    pub fn read(proof: &Proof) -> Result<Self, Verdict> {
        if proof.format != FORMAT {
            return Err(Verdict::unverifiable("the proof is of another format"));
        }
        let coverage = match (&proof.range, &proof.selected) {
            (Some(range), None) if range.from <= range.below => Coverage::Range {
                from: range.from,
                below: range.below,
                edge: digests(&range.edge)?,
                consistency: digests(&range.consistency)?,
            },
            (None, Some(selected)) => {
                Coverage::Selected { numbers: selected.numbers.clone(), proof: digests(&selected.hashes)? }
            }
            _ => return Err(Verdict::unverifiable("the proof is for neither a range nor selected entries")),
        };
        let witnessed = match &proof.witnessed {
            None => None,
            Some(witnessed) => Some((witnessed.checkpoint.parse()?, digests(&witnessed.consistency)?)),
        };
        Ok(Self { note: proof.checkpoint.parse()?, witnessed, coverage, chains: chains_from_text(&proof.chains)? })
    }
}

/// The line of an entry: what it says, readable, and its exact bytes.
pub fn export_line(number: u64, event: &Event) -> String {
    let mut line = Map::new();
    let mut put = |name: &str, value: Value| {
        if !value.is_null() {
            line.insert(name.to_owned(), value);
        }
    };
    put("number", json!(number));
    put("time", json!(moment(event.time)));
    put("kind", json!(event.kind.as_str()));
    put("outcome", json!(event.outcome.as_str()));
    put("code", json!(event.outcome.code()));
    put("peer", json!(event.peer.as_ref().map(Line::as_str)));
    put("user", json!(event.user.as_ref().map(Line::as_str)));
    put("role", json!(event.role.as_ref().map(Line::as_str)));
    put("purpose", json!(event.purpose.as_ref().map(Line::as_str)));
    put("patient", json!(event.patient.map(|id| id.to_string())));
    put("request", json!(event.request.map(|id| id.to_string())));
    put("token", json!(event.token.map(|id| id.to_string())));
    let details: Map<_, _> = event.details().map(|(name, value)| (name.to_string(), json!(value))).collect();
    put("details", if details.is_empty() { Value::Null } else { Value::Object(details) });
    put("entry", json!(BASE64.encode(event.to_bytes())));
    format!("{}\n", Value::Object(line))
}

/// The leaf of a line, which must be the very line of entry `number`.
pub(crate) fn line_leaf(line: &str, number: u64) -> Result<Vec<u8>, Verdict> {
    #[derive(Deserialize)]
    struct Read {
        entry: String,
    }
    let tampered = |reason: &str| Verdict::tampered(number, format!("the line of entry {number} {reason}"));
    let read: Read = serde_json::from_str(line).map_err(|_| tampered("cannot be read"))?;
    let leaf = BASE64.decode(read.entry).map_err(|_| tampered("has no readable entry"))?;
    let event = Event::from_bytes(&leaf).map_err(|_| tampered("has no readable entry"))?;
    if export_line(number, &event).trim_end_matches('\n') == line {
        Ok(leaf)
    } else {
        Err(tampered("does not say what its entry says, or is not at its place"))
    }
}

/// RFC 3339 with milliseconds.
fn moment(milliseconds: u64) -> String {
    let at = OffsetDateTime::from_unix_timestamp_nanos(i128::from(milliseconds) * 1_000_000);
    at.ok().and_then(|at| at.format(&Rfc3339).ok()).unwrap_or_else(|| format!("{milliseconds} ms"))
}

fn texts(hashes: &[Digest]) -> Vec<String> {
    hashes.iter().map(|hash| BASE64.encode(hash.as_bytes())).collect()
}

fn digests(texts: &[String]) -> Result<Vec<Digest>, Verdict> {
    let read = |text: &String| BASE64.decode(text).ok().and_then(|hash| Digest::from_slice(&hash));
    let all: Option<Vec<_>> = texts.iter().map(read).collect();
    all.ok_or_else(|| Verdict::unverifiable("a hash of the proof cannot be read"))
}
