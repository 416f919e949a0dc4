//! What another party does with a log's checkpoint before it cosigns it (C2SP tlog-witness, *add-checkpoint*): it must
//! continue the one that was cosigned before.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use sealwort_pki::PublicKey;
use sealwort_proto::Digest;

use crate::checkpoint::SignedCheckpoint;
use crate::note::{Note, NoteError};
use crate::tree::{PROOF_HASHES_MAX, check_consistency};

/// The body of the request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddCheckpoint {
    /// The size that the log believes the witness to know; 0 for none.
    pub old: u64,
    /// The consistency proof from that size.
    pub proof: Vec<Digest>,
    /// The checkpoint.
    pub note: Note,
}

/// What comes of a checkpoint that is to be cosigned: remember it, then give the cosignature.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judged {
    /// The checkpoint.
    pub signed: SignedCheckpoint,
}

/// Why a checkpoint is not cosigned.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The request is malformed.
    #[error("the request is malformed")]
    Malformed,
    /// The log's own signature does not hold.
    #[error(transparent)]
    Note(#[from] NoteError),
    /// The log thinks of another size than the one remembered; it may ask again with this one.
    #[error("the size remembered is {0}")]
    Size(u64),
    /// The log was rewritten: the checkpoint does not continue the one remembered.
    #[error("the log was rewritten: its checkpoint of {size} entries does not continue the one of {remembered}")]
    Rewritten {
        /// Size of the checkpoint.
        size: u64,
        /// Size remembered.
        remembered: u64,
    },
}

impl Refused {
    /// The stable code.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Malformed => "message-malformed",
            Self::Note(_) => "signature-wrong",
            Self::Size(_) => "size-other",
            Self::Rewritten { .. } => "log-rewritten",
        }
    }

    /// The HTTP status that C2SP tlog-witness gives it.
    pub const fn status(&self) -> u16 {
        match self {
            Self::Malformed => 400,
            Self::Note(_) => 403,
            Self::Size(_) => 409,
            Self::Rewritten { .. } => 422,
        }
    }
}

/// Judges a checkpoint: signed by the log's party, and continuing what is remembered of that log, a size and a root.
pub fn judge(request: &AddCheckpoint, remembered: Option<(u64, Digest)>, key: &PublicKey) -> Result<Judged, Refused> {
    let signed = SignedCheckpoint::verify(request.note.clone(), key)?;
    let checkpoint = signed.checkpoint();
    let known = remembered.map_or(0, |(size, _)| size);
    // This comes first: of a log with several nodes another one may have shown a newer checkpoint meanwhile.
    if request.old != known {
        return Err(Refused::Size(known));
    }
    if checkpoint.size < known {
        return Err(Refused::Rewritten { size: checkpoint.size, remembered: known });
    }
    let continues = match remembered {
        None => request.proof.is_empty(),
        Some(old) => check_consistency(&request.proof, (checkpoint.size, checkpoint.root), old).is_ok(),
    };
    if continues { Ok(Judged { signed }) } else { Err(Refused::Rewritten { size: checkpoint.size, remembered: known }) }
}

impl fmt::Display for AddCheckpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "old {}", self.old)?;
        self.proof.iter().try_for_each(|hash| writeln!(f, "{}", BASE64.encode(hash.as_bytes())))?;
        write!(f, "\n{}", self.note)
    }
}

impl FromStr for AddCheckpoint {
    type Err = Refused;

    fn from_str(body: &str) -> Result<Self, Refused> {
        let (head, note) = body.split_once("\n\n").ok_or(Refused::Malformed)?;
        let mut lines = head.lines();
        let old = lines.next().and_then(|line| line.strip_prefix("old ")).and_then(|size| size.parse().ok());
        let hash = |line: &str| BASE64.decode(line).ok().and_then(|hash| Digest::from_slice(&hash));
        let proof: Option<Vec<_>> = lines.map(hash).collect();
        let request = Self {
            old: old.ok_or(Refused::Malformed)?,
            proof: proof.filter(|proof| proof.len() <= PROOF_HASHES_MAX).ok_or(Refused::Malformed)?,
            note: note.parse().map_err(|_| Refused::Malformed)?,
        };
        if request.to_string() == body { Ok(request) } else { Err(Refused::Malformed) }
    }
}
