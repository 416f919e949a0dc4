//! The auditor's side: is a log what its party, and the parties that watched it, signed? Whole logs are walked entry by
//! entry; an export is walked with its proof. A verdict names the entry and says whether something was altered or only
//! cannot be told.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use sealwort_pki::{CertificateChain, Trust};
use sealwort_proto::Digest;
use serde::{Deserialize, Serialize};

use crate::at_rest::AtRest;
use crate::batch::Batch;
use crate::checkpoint::{Checkpoint, SignedCheckpoint};
use crate::event::Event;
use crate::export::{Coverage, Export, PROOF_BYTES_MAX, Proof, line_leaf};
use crate::note::{Chains, Note, NoteError};
use crate::row::{Index, Row};
use crate::tree::{Tree, check_consistency, leaf_hash};

/// Whether something was altered, or only cannot be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Altered: exit code 5.
    Tampered,
    /// It cannot be told: exit code 6.
    Unverifiable,
}

/// Why a log or an export is not good.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Verdict {
    /// Which kind.
    pub fault: Fault,
    /// The entry at which it shows.
    pub number: Option<u64>,
    /// What is wrong.
    pub reason: String,
}

/// What was found good.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Passed {
    /// Whose log.
    pub origin: String,
    /// Entries looked at.
    pub entries: u64,
    /// Entries of the log at its checkpoint.
    pub size: u64,
    /// Up to how many entries other parties have seen it.
    pub witnessed: u64,
    /// Who they are.
    pub witnesses: Vec<String>,
}

/// A size and root that somebody vouches for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Witnessed {
    /// How many entries.
    pub size: u64,
    /// The root over them.
    pub root: Digest,
    /// Who says so.
    pub by: String,
}

/// What another party remembers of logs that it has cosigned, as `sealwort audit witnessed` writes it.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WitnessFile {
    /// [`WITNESS_FORMAT`].
    format: String,
    /// The party that cosigned.
    witness: String,
    /// Notes with its cosignature.
    notes: Vec<String>,
    /// Its certificates, each a chain in base64.
    chains: Vec<Vec<String>>,
}

const WITNESS_FORMAT: &str = "sealwort audit witnessed 1";

impl Verdict {
    pub(crate) fn tampered(number: impl Into<Option<u64>>, reason: impl Into<String>) -> Self {
        Self { fault: Fault::Tampered, number: number.into(), reason: reason.into() }
    }

    pub(crate) fn unverifiable(reason: impl Into<String>) -> Self {
        Self { fault: Fault::Unverifiable, number: None, reason: reason.into() }
    }
}

impl From<NoteError> for Verdict {
    fn from(error: NoteError) -> Self {
        match error {
            NoteError::Signature(_) => Self::tampered(None, error.to_string()),
            _ => Self::unverifiable(error.to_string()),
        }
    }
}

impl WitnessFile {
    /// What a party remembers.
    pub fn new(witness: &str, notes: Vec<String>, chains: &Chains) -> Self {
        Self { format: WITNESS_FORMAT.into(), witness: witness.into(), notes, chains: chains_to_text(chains) }
    }

    /// Whose memory it is.
    pub(crate) fn by(&self) -> &str {
        &self.witness
    }

    /// Reads it.
    pub fn from_json(bytes: &[u8]) -> Result<Self, Verdict> {
        let file: Self = serde_json::from_slice(bytes)
            .map_err(|error| Verdict::unverifiable(format!("the witness file cannot be read: {error}")))?;
        if file.format == WITNESS_FORMAT {
            Ok(file)
        } else {
            Err(Verdict::unverifiable("the witness file is of another format"))
        }
    }

    /// The checkpoints of this log that the party vouches for, its cosignature under each verified.
    pub fn of(&self, origin: &str, trust: &Trust) -> Result<Vec<Witnessed>, Verdict> {
        if self.witness == origin {
            return Err(Verdict::unverifiable(format!("the witness file is from {origin} itself, whose log it is")));
        }
        let chains = chains_from_text(&self.chains)?;
        let mut found = Vec::new();
        for note in &self.notes {
            let note: Note = note.parse()?;
            let Ok(checkpoint) = note.text().parse::<Checkpoint>() else {
                return Err(Verdict::unverifiable("a note of the witness file holds no checkpoint"));
            };
            if checkpoint.origin.to_string() != origin {
                continue;
            }
            if !note.cosigners(&chains, trust)?.iter().any(|one| one.name == self.witness) {
                return Err(Verdict::unverifiable(format!(
                    "a note of the witness file is not cosigned by {}",
                    self.witness
                )));
            }
            found.push(Witnessed { size: checkpoint.size, root: checkpoint.root, by: self.witness.clone() });
        }
        Ok(found)
    }
}

/// Walks a log from some entry on, and holds it against every checkpoint on the way.
#[derive(Clone)]
pub struct Walk<'a> {
    tree: Tree,
    at_rest: &'a AtRest,
    known: BTreeMap<u64, Vec<Witnessed>>,
}

impl<'a> Walk<'a> {
    /// From the beginning. `known` is all that somebody vouches for.
    pub fn new(at_rest: &'a AtRest, known: impl IntoIterator<Item = Witnessed>) -> Self {
        let mut by_size = BTreeMap::<u64, Vec<Witnessed>>::new();
        for one in known {
            by_size.entry(one.size).or_default().push(one);
        }
        Self { tree: Tree::empty(), at_rest, known: by_size }
    }

    /// Entries walked.
    pub fn size(&self) -> u64 {
        self.tree.size()
    }

    /// Takes the next row.
    pub fn take(&mut self, row: &Row) -> Result<Event, Verdict> {
        let number = self.tree.size();
        let tampered = |reason: &str| Verdict::tampered(number, format!("entry {number} {reason}"));
        if row.number != number {
            return Err(tampered(&format!("is missing; after it comes {}", row.number)));
        }
        let leaf = self.at_rest.open(&row.stored).map_err(|error| tampered(&format!("was altered: {error}")))?;
        let hash = leaf_hash(&leaf);
        if hash != row.hashes.leaf() {
            return Err(tampered("was altered: it does not have the hash that is kept with it"));
        }
        let hashes = self.tree.append(hash).map_err(|error| tampered(&error.to_string()))?;
        if hashes != row.hashes {
            return Err(tampered("does not follow from the entries before: hashes of the tree were altered"));
        }
        let event = Event::from_bytes(&leaf).map_err(|error| tampered(&format!("cannot be read: {error}")))?;
        if Index::of(&event, self.at_rest) != row.index {
            return Err(tampered("would be found under another time, kind, patient or user than it has"));
        }
        self.compare()?;
        Ok(event)
    }

    /// Whether the log ends where it must: `size` is that of its own newest checkpoint.
    pub fn finish(&self, size: u64) -> Result<(), Verdict> {
        let end = self.tree.size();
        if let Some((size, by)) =
            self.known.range(end + 1..).next_back().and_then(|(size, by)| Some((size, by.first()?)))
        {
            let reason = format!("the log ends at {end} entries; {} has seen {size}: it was cut", by.by);
            return Err(Verdict::tampered(end, reason));
        }
        if end != size {
            let reason = format!("the log holds {end} entries, its newest checkpoint covers {size}");
            return Err(Verdict::tampered(end.min(size), reason));
        }
        Ok(())
    }

    fn compare(&self) -> Result<(), Verdict> {
        let size = self.tree.size();
        let Some(known) = self.known.get(&size) else { return Ok(()) };
        let root = self.tree.root();
        match known.iter().find(|one| one.root != root) {
            None => Ok(()),
            Some(one) => Err(Verdict::tampered(
                size - 1,
                format!(
                    "the first {size} entries are not those that {} signed: the log was rewritten at or before entry {}",
                    one.by,
                    size - 1
                ),
            )),
        }
    }
}

/// Verifies an export: its lines, its proof, and what other parties remember. At least `witnesses_min` other parties
/// must vouch for the log; with none, only its own party's word is left, which its administrator can forge.
pub fn verify_export(
    lines: &[u8],
    proof: &[u8],
    trust: &Trust,
    files: &[WitnessFile],
    witnesses_min: usize,
) -> Result<Passed, Verdict> {
    if proof.len() > PROOF_BYTES_MAX {
        return Err(Verdict::unverifiable("the proof is too long"));
    }
    let proof: Proof = serde_json::from_slice(proof)
        .map_err(|error| Verdict::unverifiable(format!("the proof cannot be read: {error}")))?;
    let export = Export::read(&proof)?;
    let mut vouched = Vouched::of(&export, trust)?;
    let (own, origin) = (vouched.own.clone(), vouched.own.origin.to_string());
    // What the files say of the sizes that the proof names is compared here, of sizes inside a range while walking.
    let mut remembered = Vec::new();
    for file in files {
        remembered.extend(file.of(&origin, trust)?);
    }
    let walked = match &export.coverage {
        Coverage::Range { from, below, .. } => Some(*from..=*below),
        Coverage::Selected { .. } => None,
    };
    for one in &remembered {
        let same = vouched.known.iter().find(|known| known.size == one.size);
        if same.is_some_and(|known| known.root != one.root) {
            return Err(Verdict::tampered(
                None,
                format!("{} has seen another log of {} entries: it was rewritten", one.by, one.size),
            ));
        }
        if same.is_some() || (one.size > 0 && walked.as_ref().is_some_and(|walked| walked.contains(&one.size))) {
            vouched.vouch(one.by.clone(), one.size);
        }
    }

    let entries = match export.coverage {
        Coverage::Range { from, below, edge, consistency } => {
            let tree = Tree::from_edge(from, &edge)
                .map_err(|_| Verdict::unverifiable("the proof of the range has not the hashes it needs"))?;
            let mut walk = Walk { tree, at_rest: &AtRest::Clear, known: Walk::new(&AtRest::Clear, remembered).known };
            for line in lines_of(lines)? {
                let leaf = line_leaf(line, walk.size())?;
                walk.tree.append(leaf_hash(&leaf)).map_err(|error| Verdict::unverifiable(error.to_string()))?;
                walk.compare()?;
            }
            if walk.size() != below {
                let reason =
                    format!("the export ends before entry {}; it should hold those up to {below}", walk.size());
                return Err(Verdict::tampered(walk.size(), reason));
            }
            check_consistency(&consistency, (own.size, own.root), (below, walk.tree.root())).map_err(|_| {
                Verdict::tampered(from, format!("entries {from} to {below} are not those of the signed log: one was altered, left out, added or moved"))
            })?;
            below - from
        }
        Coverage::Selected { numbers, proof } => {
            let lines = lines_of(lines)?;
            let read = |(line, number): (&&str, &u64)| line_leaf(line, *number);
            let leaves: Result<Vec<_>, _> = lines.iter().zip(&numbers).map(read).collect();
            let hashes: Vec<_> = leaves?.iter().map(|leaf| leaf_hash(leaf)).collect();
            if lines.len() != numbers.len() {
                let reason = format!("the export has {} entries, the proof {}", lines.len(), numbers.len());
                return Err(Verdict::tampered(None, reason));
            }
            check_selected(&own, numbers, &hashes, &proof)?
        }
    };
    let given = if files.is_empty() {
        "no witness file was given"
    } else {
        "no witness file knows a checkpoint to compare with"
    };
    vouched.passed(entries, witnesses_min, given)
}

/// Verifies selected entries by their leaves, which are not in lines yet. At least `witnesses_min` other parties must
/// vouch for the log.
pub fn verify_selected<'l>(
    export: &Export,
    leaves: impl IntoIterator<Item = &'l [u8]>,
    trust: &Trust,
    witnesses_min: usize,
) -> Result<Passed, Verdict> {
    let vouched = Vouched::of(export, trust)?;
    let Coverage::Selected { numbers, proof } = &export.coverage else {
        return Err(Verdict::unverifiable("the proof is not for selected entries"));
    };
    let hashes: Vec<_> = leaves.into_iter().map(leaf_hash).collect();
    let entries = check_selected(&vouched.own, numbers.clone(), &hashes, proof)?;
    vouched.passed(entries, witnesses_min, "nobody has cosigned it yet")
}

fn check_selected(own: &Checkpoint, numbers: Vec<u64>, hashes: &[Digest], proof: &[Digest]) -> Result<u64, Verdict> {
    let wrong = |_| {
        Verdict::tampered(
            None,
            "one of the entries is not that of the signed log, or the numbers or the proof are others",
        )
    };
    Batch::new(own.size, numbers).and_then(|batch| batch.check(hashes, proof, own.root)).map_err(wrong)?;
    Ok(hashes.len() as u64)
}

/// A log's own checkpoint, verified, and who vouches for how much of it.
struct Vouched {
    own: Checkpoint,
    /// The checkpoints that the proof names.
    known: Vec<Witnessed>,
    vouching: BTreeMap<String, u64>,
}

impl Vouched {
    fn of(export: &Export, trust: &Trust) -> Result<Self, Verdict> {
        let signed = SignedCheckpoint::verify_past(export.note.clone(), &export.chains, trust)?;
        let own = signed.checkpoint().clone();
        let by = own.origin.to_string();
        let known = vec![Witnessed { size: own.size, root: own.root, by: by.clone() }];
        let mut vouched = Self { own, known, vouching: BTreeMap::new() };
        vouched.take(signed.note(), vouched.own.size, export, trust)?;
        if let Some((note, consistency)) = &export.witnessed {
            let earlier = SignedCheckpoint::verify_past(note.clone(), &export.chains, trust)?;
            let (own, old) = (&vouched.own, earlier.checkpoint());
            if old.origin != own.origin {
                return Err(Verdict::tampered(None, "the cosigned checkpoint is that of another log"));
            }
            check_consistency(consistency, (own.size, own.root), (old.size, old.root)).map_err(|_| {
                let reason = format!("the checkpoint does not continue the cosigned one of {} entries", old.size);
                Verdict::tampered(None, reason)
            })?;
            vouched.take(earlier.note(), old.size, export, trust)?;
            vouched.known.push(Witnessed { size: old.size, root: old.root, by });
        }
        Ok(vouched)
    }

    /// Takes the cosignatures of a note.
    fn take(&mut self, note: &Note, size: u64, export: &Export, trust: &Trust) -> Result<(), Verdict> {
        let origin = self.own.origin.to_string();
        for one in note.cosigners(&export.chains, trust)?.into_iter().filter(|one| one.name != origin) {
            self.vouch(one.name, size);
        }
        Ok(())
    }

    fn vouch(&mut self, by: String, size: u64) {
        let newest = self.vouching.entry(by).or_default();
        *newest = size.max(*newest);
    }

    fn passed(self, entries: u64, witnesses_min: usize, given: &str) -> Result<Passed, Verdict> {
        if self.vouching.len() < witnesses_min {
            return Err(Verdict::unverifiable(format!(
                "{} of at least {witnesses_min} other parties vouch for the log of {}, and {given}: only its own party's word is left",
                self.vouching.len(),
                self.own.origin
            )));
        }
        let witnessed = self.vouching.values().copied().max().unwrap_or(0);
        let (origin, size) = (self.own.origin.to_string(), self.own.size);
        Ok(Passed { origin, entries, size, witnessed, witnesses: self.vouching.into_keys().collect() })
    }
}

fn lines_of(lines: &[u8]) -> Result<Vec<&str>, Verdict> {
    let text = std::str::from_utf8(lines).map_err(|_| Verdict::tampered(None, "the export is not UTF-8"))?;
    if !text.is_empty() && !text.ends_with('\n') {
        return Err(Verdict::tampered(None, "the export's last line is not ended: it was cut"));
    }
    Ok(text.split_terminator('\n').collect())
}

pub(crate) fn chains_to_text(chains: &Chains) -> Vec<Vec<String>> {
    chains.iter().map(|chain| chain.certificates().iter().map(|der| BASE64.encode(der)).collect()).collect()
}

pub(crate) fn chains_from_text(chains: &[Vec<String>]) -> Result<Chains, Verdict> {
    let unreadable = || Verdict::unverifiable("a certificate cannot be read");
    let chain = |chain: &Vec<String>| {
        let certificates: Result<Vec<_>, _> = chain.iter().map(|der| BASE64.decode(der)).collect();
        CertificateChain::new(certificates.map_err(|_| unreadable())?).map_err(|_| unreadable())
    };
    chains.iter().map(chain).collect()
}
