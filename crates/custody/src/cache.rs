//! Patients that were looked at lately, so that a directive is compiled once and not at each request. Which version counts
//! the store says each time, because another node may have taken a newer one.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use sealwort_proto::Pseudonym;

use crate::Ward;

/// Most patients kept; beyond it the older half is forgotten.
const WARDS_MAX: usize = 2048;

#[derive(Default)]
pub(crate) struct WardCache(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    wards: HashMap<Pseudonym, (u64, Arc<Ward>)>,
    clock: u64,
}

impl WardCache {
    /// The ward as of this version of its directive.
    pub(crate) fn get(&self, patient: Pseudonym, version: u64) -> Option<Arc<Ward>> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.clock += 1;
        let now = kept.clock;
        kept.wards.get_mut(&patient).filter(|(_, ward)| ward.version() == version).map(|(used, ward)| {
            *used = now;
            Arc::clone(ward)
        })
    }

    /// Lets go of a patient who is no more.
    pub(crate) fn forget(&self, patient: Pseudonym) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).wards.remove(&patient);
    }

    /// Keeps a ward unless a newer directive of the same patient is there already.
    pub(crate) fn put(&self, patient: Pseudonym, ward: Arc<Ward>) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.clock += 1;
        let now = kept.clock;
        let newer = kept.wards.get(&patient).is_some_and(|(_, there)| there.version() > ward.version());
        if newer {
            return;
        }
        if kept.wards.len() >= WARDS_MAX {
            let horizon = now.saturating_sub(WARDS_MAX as u64 / 2);
            kept.wards.retain(|_, (used, _)| *used > horizon);
        }
        kept.wards.insert(patient, (now, ward));
    }
}
