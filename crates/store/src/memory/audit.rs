//! The audit log.

use async_trait::async_trait;
use sealwort_audit::{Hashes, Question, Row};
use sealwort_proto::Digest;

use super::MemoryStore;
use crate::audit::check;
use crate::{
    AppendUpon, AuditAppended, AuditBatch, AuditQuery, AuditStore, Cosign, KeptCheckpoint, Standing, StoreError,
};

use std::collections::BTreeMap;

/// What a party keeps of its audit log.
#[derive(Default)]
pub(super) struct Audit {
    rows: Vec<Row>,
    newest: Option<KeptCheckpoint>,
    cosigned: BTreeMap<u64, String>,
    remembered: BTreeMap<String, BTreeMap<u64, String>>,
    chains: BTreeMap<Digest, Vec<u8>>,
}

impl Audit {
    fn hashes(&self, numbers: &[u64]) -> Vec<(u64, Hashes)> {
        let row = |number: &u64| self.rows.get(usize::try_from(*number).ok()?);
        numbers.iter().filter_map(row).map(|row| (row.number, row.hashes.clone())).collect()
    }
}

#[async_trait]
impl AuditStore for MemoryStore {
    async fn append_audit(&self, batch: AuditBatch) -> Result<AuditAppended, StoreError> {
        let first = check(&batch)?;
        let append = self.commit(|content| {
            let size = content.audit.rows.len() as u64;
            if size != first {
                return AuditAppended::Behind { size };
            }
            content.audit.rows.extend(batch.rows);
            content.audit.newest = Some(batch.checkpoint);
            AuditAppended::Stored
        });
        Ok(append.await)
    }

    async fn append_audit_upon(&self, known: Option<KeptCheckpoint>, make: AppendUpon) -> Result<(), StoreError> {
        let append = self.commit(|content| {
            let audit = &mut content.audit;
            let size = audit.rows.len() as u64;
            let standing = (known.is_none() || known != audit.newest).then(|| Standing {
                size,
                newest: audit.newest.clone(),
                hashes: audit.hashes(&Question::Root { size }.needs()),
                chains: Vec::new(),
            });
            let Some(batch) = make(standing.as_ref()) else { return Ok(()) };
            if check(&batch)? != size {
                return Err(StoreError::Conflict("the entries do not follow the last one"));
            }
            audit.rows.extend(batch.rows);
            audit.newest = Some(batch.checkpoint);
            Ok(())
        });
        append.await
    }

    async fn audit_size(&self) -> Result<u64, StoreError> {
        Ok(self.content().audit.rows.len() as u64)
    }

    async fn audit_rows(&self, query: AuditQuery, most: usize) -> Result<Vec<Row>, StoreError> {
        let content = self.content();
        let rows = content.audit.rows.iter().filter(|row| meets(row, &query));
        Ok(rows.take(most).cloned().collect())
    }

    async fn audit_hashes(&self, numbers: &[u64]) -> Result<Vec<(u64, Hashes)>, StoreError> {
        Ok(self.content().audit.hashes(numbers))
    }

    async fn newest_checkpoint(&self) -> Result<Option<KeptCheckpoint>, StoreError> {
        Ok(self.content().audit.newest.clone())
    }

    async fn put_cosigned(&self, size: u64, make: Cosign) -> Result<(), StoreError> {
        self.commit(|content| {
            let note = content.audit.cosigned.get(&size).cloned();
            if let Some(made) = make(note.map(|note| KeptCheckpoint { size, note }).as_ref()) {
                content.audit.cosigned.insert(made.size, made.note);
            }
        })
        .await;
        Ok(())
    }

    async fn cosigned(&self, from: u64, most: usize) -> Result<Vec<KeptCheckpoint>, StoreError> {
        Ok(kept(&self.content().audit.cosigned, from, most))
    }

    async fn newest_cosigned(&self, size: u64) -> Result<Option<KeptCheckpoint>, StoreError> {
        let content = self.content();
        let newest = content.audit.cosigned.range(..=size).next_back();
        Ok(newest.map(|(size, note)| KeptCheckpoint { size: *size, note: note.clone() }))
    }

    async fn remember_checkpoint(
        &self,
        origin: &str,
        after: u64,
        checkpoint: KeptCheckpoint,
    ) -> Result<bool, StoreError> {
        let remember = self.commit(|content| {
            let known = content.audit.remembered.entry(origin.to_owned()).or_default();
            if known.keys().next_back().copied().unwrap_or(0) != after || checkpoint.size < after {
                return false;
            }
            known.entry(checkpoint.size).or_insert(checkpoint.note);
            true
        });
        Ok(remember.await)
    }

    async fn remembered(&self, origin: &str, from: u64, most: usize) -> Result<Vec<KeptCheckpoint>, StoreError> {
        Ok(self.content().audit.remembered.get(origin).map(|known| kept(known, from, most)).unwrap_or_default())
    }

    async fn newest_remembered(&self, origin: &str) -> Result<Option<KeptCheckpoint>, StoreError> {
        let content = self.content();
        let newest = content.audit.remembered.get(origin).and_then(|known| known.last_key_value());
        Ok(newest.map(|(size, note)| KeptCheckpoint { size: *size, note: note.clone() }))
    }

    async fn origins(&self) -> Result<Vec<String>, StoreError> {
        let content = self.content();
        let known = content.audit.remembered.iter().filter(|(_, known)| !known.is_empty());
        Ok(known.map(|(origin, _)| origin.clone()).collect())
    }

    async fn put_audit_chain(&self, certificate: Digest, chain: Vec<u8>) -> Result<(), StoreError> {
        self.commit(|content| content.audit.chains.entry(certificate).or_insert(chain).len()).await;
        Ok(())
    }

    async fn audit_chain_count(&self) -> Result<u64, StoreError> {
        Ok(self.content().audit.chains.len() as u64)
    }

    async fn audit_chains(&self) -> Result<Vec<Vec<u8>>, StoreError> {
        Ok(self.content().audit.chains.values().cloned().collect())
    }
}

fn meets(row: &Row, query: &AuditQuery) -> bool {
    let index = &row.index;
    row.number >= query.from
        && query.below.is_none_or(|below| row.number < below)
        && query.since.is_none_or(|since| index.time >= since)
        && query.before.is_none_or(|before| index.time < before)
        && query.kind.is_none_or(|kind| index.kind == kind)
        && query.outcome.is_none_or(|outcome| index.outcome == outcome)
        && query.patient.is_none_or(|patient| index.patient == Some(patient))
        && query.user.is_none_or(|user| index.user == Some(user))
}

fn kept(notes: &BTreeMap<u64, String>, from: u64, most: usize) -> Vec<KeptCheckpoint> {
    notes.range(from..).take(most).map(|(size, note)| KeptCheckpoint { size: *size, note: note.clone() }).collect()
}
