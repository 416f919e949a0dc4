//! Patients that were looked at lately, so that a directive is compiled once and not at each request.

use std::collections::{HashMap, HashSet};
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
    /// Erased since the start: a reading from before must not bring one back.
    erased: HashSet<Pseudonym>,
}

impl WardCache {
    pub(crate) fn get(&self, patient: Pseudonym) -> Option<Arc<Ward>> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.clock += 1;
        let now = kept.clock;
        kept.wards.get_mut(&patient).map(|(used, ward)| {
            *used = now;
            Arc::clone(ward)
        })
    }

    /// Lets go of an erased patient for good.
    pub(crate) fn erase(&self, patient: Pseudonym) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.erased.insert(patient);
        kept.wards.remove(&patient);
    }

    /// Lets go of a patient of whom something else may be stored by now.
    pub(crate) fn forget(&self, patient: Pseudonym) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).wards.remove(&patient);
    }

    /// Keeps a ward unless a newer directive of the same patient is there already.
    pub(crate) fn put(&self, patient: Pseudonym, ward: Arc<Ward>) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.clock += 1;
        let now = kept.clock;
        let newer = kept.wards.get(&patient).is_some_and(|(_, there)| there.version() > ward.version());
        if newer || kept.erased.contains(&patient) {
            return;
        }
        if kept.wards.len() >= WARDS_MAX {
            let horizon = now.saturating_sub(WARDS_MAX as u64 / 2);
            kept.wards.retain(|_, (used, _)| *used > horizon);
        }
        kept.wards.insert(patient, (now, ward));
    }
}
