//! Logs of sealed entries, and their authors' certificates.

use async_trait::async_trait;
use sealwort_proto::log::empty;
use sealwort_proto::receipt::Witness;
use sealwort_proto::{Digest, Pseudonym};

use super::{Log, MemoryStore};
use crate::{Append, Appended, LogStore, StoreError, StoredEntry};

#[async_trait]
impl LogStore for MemoryStore {
    async fn append(&self, append: Append) -> Result<Appended, StoreError> {
        check(&append)?;
        self.commit(|content| {
            if content.erased.contains_key(&append.patient) {
                return Ok(Appended::Erased);
            }
            let start = empty(append.patient);
            let Some(log) = content.logs.get(&append.patient) else {
                if append.after != start {
                    return Ok(Appended::Conflict(start));
                }
                let mut log = Log::default();
                let head = log.take(append.clone())?;
                content.logs.insert(append.patient, log);
                return Ok(Appended::Stored(head));
            };
            if let Some(head) = log.deposits.get(&append.deposit) {
                return Ok(Appended::Known(*head));
            }
            let head = log.head().unwrap_or(start);
            if head != append.after {
                return Ok(Appended::Conflict(head));
            }
            let log = content.logs.entry(append.patient).or_default();
            log.take(append).map(Appended::Stored)
        })
        .await
    }

    async fn head(&self, patient: Pseudonym) -> Result<Option<Witness>, StoreError> {
        Ok(self.content().logs.get(&patient).and_then(Log::head))
    }

    async fn read(
        &self,
        patient: Pseudonym,
        after: u64,
        entries_max: usize,
        bytes_max: usize,
    ) -> Result<Vec<StoredEntry>, StoreError> {
        let content = self.content();
        let Some(log) = content.logs.get(&patient) else { return Ok(Vec::new()) };
        let mut bytes = 0usize;
        let fits = |(place, entry): &(usize, &StoredEntry)| {
            bytes = bytes.saturating_add(entry.envelope.len() + entry.ciphertext.len());
            *place == 0 || bytes <= bytes_max
        };
        let later = log.entries.iter().map(|(_, entry)| entry).filter(|entry| entry.sequence > after);
        Ok(later.take(entries_max).enumerate().take_while(fits).map(|(_, entry)| entry.clone()).collect())
    }

    async fn put_author(&self, key: Digest, chain: Vec<u8>) -> Result<(), StoreError> {
        self.commit(|content| content.authors.insert(key, chain)).await;
        Ok(())
    }

    async fn author(&self, key: Digest) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.content().authors.get(&key).cloned())
    }
}

impl Log {
    fn head(&self) -> Option<Witness> {
        self.entries.last().map(|(hash, entry)| Witness { sequence: entry.sequence, head: *hash })
    }

    fn take(&mut self, append: Append) -> Result<Witness, StoreError> {
        let stored = append.entries.into_iter().map(|new| {
            let entry = StoredEntry {
                sequence: new.sequence,
                tag: new.tag,
                author_key: new.author_key,
                envelope: new.envelope,
                ciphertext: new.ciphertext,
            };
            (new.hash, entry)
        });
        self.entries.extend(stored);
        let head = self.head().ok_or(StoreError::Conflict("a deposit holds at least one entry"))?;
        self.deposits.insert(append.deposit, head);
        Ok(head)
    }
}

fn check(append: &Append) -> Result<(), StoreError> {
    if append.entries.is_empty() {
        return Err(StoreError::Conflict("a deposit holds at least one entry"));
    }
    let first = append.after.sequence.checked_add(1);
    let first = first.ok_or(StoreError::Conflict("a number is larger than storage holds"))?;
    if (first..).zip(&append.entries).any(|(expected, entry)| entry.sequence != expected) {
        return Err(StoreError::Conflict("the entries of a deposit must follow each other"));
    }
    Ok(())
}
