//! Witnessed heads.

use std::collections::BTreeMap;

use async_trait::async_trait;
use sealwort_proto::receipt::Witness;
use sealwort_proto::{Digest, Pseudonym};

use super::MemoryStore;
use crate::{Advance, StoreError, WitnessStore};

#[async_trait]
impl WitnessStore for MemoryStore {
    async fn advance(&self, patient: Pseudonym, head: Witness) -> Result<Advance, StoreError> {
        let advance = self.commit(|content| {
            if content.erased.contains_key(&patient) {
                return Advance::Known;
            }
            let heads = content.witnesses.entry(patient).or_default();
            match heads.get(&head.sequence).copied() {
                Some(known) if known == head.head => Advance::Known,
                Some(known) => Advance::Fork(Witness { sequence: head.sequence, head: known }),
                None => {
                    let newest = heads.keys().next_back().copied();
                    heads.insert(head.sequence, head.head);
                    if newest < Some(head.sequence) { Advance::Moved } else { Advance::Known }
                }
            }
        });
        Ok(advance.await)
    }

    async fn witness(&self, patient: Pseudonym) -> Result<Option<Witness>, StoreError> {
        Ok(self.content().witnesses.get(&patient).and_then(newest))
    }

    async fn heads(&self, patient: Pseudonym, after: u64, most: usize) -> Result<Vec<Witness>, StoreError> {
        let content = self.content();
        let heads = content.witnesses.get(&patient).into_iter().flatten();
        let above = heads.filter(|(sequence, _)| **sequence > after);
        Ok(above.take(most).map(|(sequence, head)| Witness { sequence: *sequence, head: *head }).collect())
    }
}

/// The highest of the heads.
pub(super) fn newest(heads: &BTreeMap<u64, Digest>) -> Option<Witness> {
    heads.last_key_value().map(|(sequence, head)| Witness { sequence: *sequence, head: *head })
}
