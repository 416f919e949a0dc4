//! The checkpoint of a log (C2SP tlog-checkpoint): whose, how many entries, the root, and in an extension line the time
//! in Unix milliseconds, because the certificate of the key that signs it is a short-lived one.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use sealwort_pki::{Identity, PublicKey, SigningKey, Trust, UnixTime};
use sealwort_proto::Digest;

use crate::note::{Chains, Note, NoteError, SignatureKind};
use crate::tree::{SIZE_MAX, Tree};

/// A text is not a checkpoint of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a checkpoint: an identity, a size, a root in base64 and \"time\" with Unix milliseconds, a line each")]
pub struct CheckpointError;

/// What a log holds at a moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// Whose log.
    pub origin: Identity,
    /// How many entries.
    pub size: u64,
    /// The root over them.
    pub root: Digest,
    /// Unix milliseconds.
    pub time: u64,
}

/// A checkpoint whose log's own signature was verified, with the note that carries it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedCheckpoint {
    checkpoint: Checkpoint,
    note: Note,
}

impl Checkpoint {
    /// Of a tree, now.
    pub fn of(tree: &Tree, origin: &Identity, time: u64) -> Self {
        Self { origin: origin.clone(), size: tree.size(), root: tree.root(), time }
    }

    /// Signs it with its party's statement key.
    pub fn sign(&self, key: &SigningKey) -> Result<Note, NoteError> {
        Note::sign(self.to_string(), &self.origin, key)
    }

    /// When, in whole seconds.
    pub fn at(&self) -> UnixTime {
        UnixTime::from_secs(self.time / 1000)
    }
}

impl SignedCheckpoint {
    /// Verifies a note under the key of the log's party, known from a session or a folder.
    pub fn verify(note: Note, key: &PublicKey) -> Result<Self, NoteError> {
        let checkpoint = read(&note)?;
        note.verify(SignatureKind::Plain, &checkpoint.origin.to_string(), key)?;
        Ok(Self { checkpoint, note })
    }

    /// Verifies a note with the certificates of that time.
    pub fn verify_past(note: Note, chains: &Chains, trust: &Trust) -> Result<Self, NoteError> {
        let checkpoint = read(&note)?;
        note.verify_past(&checkpoint.origin.to_string(), checkpoint.at(), chains, trust)?;
        Ok(Self { checkpoint, note })
    }

    /// What it says.
    pub fn checkpoint(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// The note.
    pub fn note(&self) -> &Note {
        &self.note
    }
}

fn read(note: &Note) -> Result<Checkpoint, NoteError> {
    note.text().parse().map_err(|_| NoteError::Malformed("its text is not a checkpoint"))
}

impl fmt::Display for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let root = BASE64.encode(self.root.as_bytes());
        write!(f, "{}\n{}\n{root}\ntime {}\n", self.origin, self.size, self.time)
    }
}

impl FromStr for Checkpoint {
    type Err = CheckpointError;

    fn from_str(text: &str) -> Result<Self, CheckpointError> {
        let mut lines = text.lines();
        let mut next = || lines.next().ok_or(CheckpointError);
        let (origin, size, root, time) = (next()?, next()?, next()?, next()?);
        let root = BASE64.decode(root).ok().and_then(|root| Digest::from_slice(&root)).ok_or(CheckpointError)?;
        let time = time.strip_prefix("time ").ok_or(CheckpointError)?;
        let checkpoint = Self {
            origin: origin.parse().map_err(|_| CheckpointError)?,
            size: size.parse().map_err(|_| CheckpointError)?,
            root,
            time: time.parse().map_err(|_| CheckpointError)?,
        };
        // One checkpoint, one spelling.
        let right = checkpoint.size <= SIZE_MAX && checkpoint.to_string() == text;
        if right { Ok(checkpoint) } else { Err(CheckpointError) }
    }
}
