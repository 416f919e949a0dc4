//! The audit trail of one party: what happened, as entries of a Merkle log (RFC 6962) whose checkpoints (C2SP
//! tlog-checkpoint) the party signs and other parties cosign (C2SP tlog-cosignature), so that nobody rewrites it alone;
//! and the offline verification of an exported log or a whole one.
//!
//! Everything here is pure: bytes and the time in, bytes and facts out. Where entries are kept is `store`'s, when they
//! are written and who cosigns is `journal`'s.
//!
//! Read `event`, then `tree`, `checkpoint`, `witness`; `export` and `check` are the auditor's side.

mod access_log;
mod at_rest;
mod batch;
mod check;
mod checkpoint;
mod event;
mod export;
mod line;
mod note;
mod row;
mod tree;
mod vocabulary;
mod witness;

pub use access_log::{AccessLogFile, LogPart};
pub use at_rest::{AtRest, AtRestError};
pub use batch::Batch;
pub use check::{Fault, Passed, Verdict, Walk, WitnessFile, Witnessed, verify_export, verify_selected};
pub use checkpoint::{Checkpoint, CheckpointError, SignedCheckpoint};
pub use event::{ENTRY_BYTES_MAX, Event, Nonce, Outcome};
pub use export::{Coverage, Export, PROOF_BYTES_MAX, Proof, export_line};
pub use line::Line;
pub use note::{Chains, Cosigner, Note, NoteError, SignatureKind};
pub use row::{Index, Row};
pub use tree::{Hashes, Question, SIZE_MAX, Tree, TreeError, check_consistency, check_inclusion, leaf_hash};
pub use vocabulary::{Detail, EventKind, UnknownWord};
pub use witness::{AddCheckpoint, Judged, Refused, judge};
