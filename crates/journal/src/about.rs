//! What the log holds about one patient, page by page, with what proves it: for the patient's consent authority.

use std::sync::PoisonError;

use sealwort_audit::{AtRest, Batch, Chains, Coverage, Export, Note, NoteError, Question, TreeError};
use sealwort_proto::Pseudonym;
use sealwort_proto::codec::Blob;
use sealwort_proto::message::{LOG_PAGE_BYTES_AIM, LOG_PAGE_ENTRIES_MAX, LogEntry, LogHead, LogPage};
use sealwort_proto::peers::{chain_from_wire, chain_to_wire};
use sealwort_store::AuditQuery;

use crate::{Journal, JournalError, read_chain};

/// What a page proves, as an auditor verifies it; `head` is that of the first page.
pub fn export_of(page: &LogPage, head: &LogHead) -> Result<Export, NoteError> {
    let cosigned: Option<Note> = if head.cosigned.is_empty() { None } else { Some(head.cosigned.parse()?) };
    let chains: Result<Chains, _> = head.chains.iter().map(|chain| chain_from_wire(chain)).collect();
    Ok(Export {
        note: head.checkpoint.parse()?,
        witnessed: cosigned.map(|note| (note, head.consistency.clone())),
        coverage: Coverage::Selected {
            numbers: page.entries.iter().map(|entry| entry.number).collect(),
            proof: page.proof.clone(),
        },
        chains: chains.map_err(|_| NoteError::Malformed("a certificate behind it cannot be read"))?,
    })
}

impl Journal {
    /// A page of the entries about a patient, from a number on. `size` is that of the first page, 0 for that itself.
    pub async fn about(&self, patient: Pseudonym, from: u64, size: u64) -> Result<LogPage, JournalError> {
        let altered = |error: TreeError| JournalError::Altered(error.to_string());
        let head = if size == 0 { Some(self.head().await?) } else { None };
        let size = match &head {
            Some((size, _)) => *size,
            // A size that the log does not have proves nothing to whoever made it up.
            None => size.min(self.0.store.audit_size().await?),
        };
        let at_rest = &self.0.at_rest;
        let patient = Some(at_rest.patient(patient));
        let query = AuditQuery { from, below: Some(size), patient, ..AuditQuery::default() };
        let rows = self.0.store.audit_rows(query, LOG_PAGE_ENTRIES_MAX).await?;
        let mut next = rows.get(LOG_PAGE_ENTRIES_MAX - 1).map(|last| last.number + 1);
        let (mut entries, mut bytes) = (Vec::with_capacity(rows.len()), 0);
        for row in rows {
            if bytes > LOG_PAGE_BYTES_AIM {
                next = Some(row.number);
                break;
            }
            let leaf = at_rest.open(&row.stored).map_err(|error| JournalError::Altered(error.to_string()))?;
            bytes += leaf.len();
            entries.push(LogEntry { number: row.number, leaf: Blob(leaf) });
        }
        let batch = Batch::new(size, entries.iter().map(|entry| entry.number).collect()).map_err(altered)?;
        let proof = batch.prove(&self.0.store.audit_hashes(&batch.needs()).await?).map_err(altered)?;
        Ok(LogPage { size, next, head: head.map(|(_, head)| head), entries, proof })
    }

    /// How the log opens what it keeps, for whoever reads it where it lies.
    pub fn at_rest(&self) -> &AtRest {
        &self.0.at_rest
    }

    /// The newest checkpoint, the newest one that others cosigned, and who they all are.
    async fn head(&self) -> Result<(u64, LogHead), JournalError> {
        let unreadable = |_| JournalError::Altered("a kept checkpoint cannot be read".to_owned());
        let newest = self.newest_checkpoint().await?;
        let newest = newest.ok_or_else(|| JournalError::Altered("it has no checkpoint".to_owned()))?;
        let cosigned = self.0.store.newest_cosigned(newest.size).await?;
        let mut notes: Vec<Note> = vec![newest.note.parse().map_err(unreadable)?];
        let mut head =
            LogHead { checkpoint: newest.note, cosigned: String::new(), consistency: Vec::new(), chains: Vec::new() };
        if let Some(cosigned) = cosigned {
            notes.push(cosigned.note.parse().map_err(unreadable)?);
            head.consistency = self.answer(Question::Consistency { size: newest.size, old: cosigned.size }).await?;
            head.cosigned = cosigned.note;
        }
        head.chains = self.chains_behind(&notes).await?.iter().map(chain_to_wire).collect();
        Ok((newest.size, head))
    }

    /// The certificates behind these notes. They are mostly those of the last time; where not, all of years are read.
    async fn chains_behind(&self, notes: &[Note]) -> Result<Chains, JournalError> {
        let trust = self.0.voice.trust();
        let last = || self.0.behind.lock().unwrap_or_else(PoisonError::into_inner);
        let known = last().clone();
        if let Ok(behind) = known.behind(notes, &trust) {
            return Ok(behind);
        }
        let kept = self.0.store.audit_chains().await?;
        let all: Chains = kept.iter().filter_map(|chain| read_chain(chain)).collect();
        let behind = all.behind(notes, &trust).unwrap_or_else(|some| some);
        last().clone_from(&behind);
        Ok(behind)
    }
}
