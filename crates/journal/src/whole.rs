//! A whole log walked, entry by entry, and held against its own newest checkpoint and against those that other parties
//! cosigned: for `sealwort audit verify` and for the operator's console. Nothing of it is shown, and nothing is changed.

use std::collections::{BTreeMap, VecDeque};

use sealwort_audit::{
    AtRest, Chains, Checkpoint, Fault, Note, NoteError, Passed, SignedCheckpoint, Verdict, Walk, WitnessFile, Witnessed,
};
use sealwort_pki::{Identity, Trust};
use sealwort_store::{AuditQuery, AuditStore, KeptCheckpoint, StoreError};

use crate::read_chain;

/// Other parties that must vouch.
pub const WITNESSES_MIN: usize = 1;
/// Rows at once.
const PAGE: usize = 1000;
/// Cosigned checkpoints that are verified: the newest of each of the few parties that cosign is among them.
const COSIGNED_MAX: usize = 64;

/// A party's log, for whoever walks it.
#[derive(Clone, Copy)]
pub struct WholeLog<'a> {
    /// Where it lies.
    pub store: &'a dyn AuditStore,
    /// How entries lie there.
    pub at_rest: &'a AtRest,
    /// Whose it is.
    pub identity: &'a Identity,
    /// Whom that party believes.
    pub trust: &'a Trust,
}

/// A checkpoint that others cosigned, each cosignature verified.
pub struct Cosigned {
    /// What it says.
    pub checkpoint: Checkpoint,
    /// The note that carries it.
    pub note: Note,
    /// Who cosigned.
    pub by: Vec<String>,
}

/// Why a log is not good, or could not be looked at.
#[derive(Debug, thiserror::Error)]
pub enum WholeError {
    /// It is not what was signed, or that cannot be told.
    #[error(transparent)]
    Verdict(#[from] Verdict),
    /// It cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<NoteError> for WholeError {
    fn from(error: NoteError) -> Self {
        Self::Verdict(error.into())
    }
}

impl WholeLog<'_> {
    /// Walks it from the first entry to the last. `files` is what other parties wrote down of it.
    pub async fn verify(&self, files: &[WitnessFile]) -> Result<Passed, WholeError> {
        let origin = self.identity.to_string();
        let (mut known, mut vouching) = (Vec::new(), BTreeMap::<String, u64>::new());
        // All of these before the own checkpoint, which may move on while the service runs.
        for one in self.cosigned().await? {
            let Checkpoint { size, root, .. } = one.checkpoint;
            known.extend(one.by.into_iter().map(|by| Witnessed { size, root, by }));
        }
        for file in files {
            known.extend(file.of(&origin, self.trust)?);
        }
        for one in &known {
            let newest = vouching.entry(one.by.clone()).or_default();
            *newest = one.size.max(*newest);
        }
        let held = self.store.audit_size().await?;
        let mut size = 0;
        if let Some(own) = self.newest().await? {
            size = own.checkpoint().size;
            known.push(Witnessed { size, root: own.checkpoint().root, by: origin.clone() });
        }
        if held > size {
            let reason = format!("the log holds {held} entries, its newest checkpoint covers {size}");
            return Err(tampered(Some(size), reason).into());
        }
        let mut walk = Walk::new(self.at_rest, known);
        loop {
            let query = AuditQuery { from: walk.size(), below: Some(size), ..AuditQuery::default() };
            let rows = self.store.audit_rows(query, PAGE).await?;
            if rows.is_empty() {
                break;
            }
            for row in &rows {
                walk.take(row)?;
            }
        }
        walk.finish(size)?;
        if vouching.len() < WITNESSES_MIN {
            let reason = "the log is in itself right, but no other party has cosigned it, and no witness file knows it: only its own party's word is left, which whoever holds its keys can forge";
            return Err(Verdict { fault: Fault::Unverifiable, number: None, reason: reason.to_owned() }.into());
        }
        let witnessed = vouching.values().copied().max().unwrap_or(0);
        Ok(Passed { origin, entries: size, size, witnessed, witnesses: vouching.into_keys().collect() })
    }

    /// The newest own checkpoint, verified.
    pub async fn newest(&self) -> Result<Option<SignedCheckpoint>, WholeError> {
        let Some(kept) = self.store.newest_checkpoint().await? else { return Ok(None) };
        Ok(Some(own_checkpoint(&kept, &self.chains().await?, self.identity, self.trust)?))
    }

    /// The newest checkpoints that others cosigned, ascending. Each vouches for all entries before it, so that older
    /// ones add nothing.
    pub async fn cosigned(&self) -> Result<Vec<Cosigned>, WholeError> {
        let (mut newest, mut from) = (VecDeque::new(), 0);
        loop {
            let page = self.store.cosigned(from, PAGE).await?;
            let Some(last) = page.last() else { break };
            from = last.size + 1;
            newest.extend(page);
            newest.drain(..newest.len().saturating_sub(COSIGNED_MAX));
        }
        let chains = self.chains().await?;
        let origin = self.identity.to_string();
        let mut found = Vec::new();
        for kept in newest {
            let note: Note = kept.note.parse().map_err(altered)?;
            let signed = SignedCheckpoint::verify_past(note.clone(), &chains, self.trust)?;
            let cosigners = note.cosigners(&chains, self.trust)?;
            let by: Vec<_> = cosigners.into_iter().map(|one| one.name).filter(|name| *name != origin).collect();
            if !by.is_empty() && signed.checkpoint().origin == *self.identity {
                found.push(Cosigned { checkpoint: signed.checkpoint().clone(), note, by });
            }
        }
        Ok(found)
    }

    /// The certificates behind all signatures.
    pub async fn chains(&self) -> Result<Chains, WholeError> {
        Ok(chains_of(&self.store.audit_chains().await?))
    }
}

/// A kept checkpoint, which must be one of this party's.
pub fn own_checkpoint(
    kept: &KeptCheckpoint,
    chains: &Chains,
    identity: &Identity,
    trust: &Trust,
) -> Result<SignedCheckpoint, Verdict> {
    let signed = SignedCheckpoint::verify_past(kept.note.parse().map_err(altered)?, chains, trust)?;
    if signed.checkpoint().origin == *identity {
        Ok(signed)
    } else {
        Err(tampered(None, format!("the newest checkpoint is that of {}", signed.checkpoint().origin)))
    }
}

/// Kept certificate chains. One that cannot be read explains no signature, which then fails by itself.
pub fn chains_of(kept: &[Vec<u8>]) -> Chains {
    kept.iter().filter_map(|bytes| read_chain(bytes)).collect()
}

#[expect(clippy::needless_pass_by_value, reason = "used as map_err(altered)")]
fn altered(error: NoteError) -> Verdict {
    tampered(None, format!("a checkpoint of the log was altered: {error}"))
}

fn tampered(number: Option<u64>, reason: String) -> Verdict {
    Verdict { fault: Fault::Tampered, number, reason }
}
