//! Who opened a record last, as one session was told it a moment ago. To find it, three logs are read, their proofs are
//! checked, and each asking is itself entered in all three. At every visit of the first page that would cost the more, the
//! longer the logs are, and make them longer.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::looks::Look;

/// How long it counts.
const COUNTS_SECONDS: u64 = 120;
/// Most that are remembered.
const REMEMBERED_MAX: usize = 4096;

/// The last look by somebody else.
#[derive(Debug, Clone)]
pub(super) struct Last {
    /// None where nobody else looked.
    pub(super) look: Option<Look>,
    /// Whether all logs were asked and hold.
    pub(super) is_complete: bool,
    /// When that was found, Unix time.
    pub(super) found: u64,
}

/// By session and Patient's id.
#[derive(Debug, Default)]
pub(crate) struct LastLooks(Mutex<HashMap<(String, String), Last>>);

impl LastLooks {
    /// What this session was told of this record, if it still counts.
    pub(super) fn recall(&self, session: &str, patient: &str, now: u64) -> Option<Last> {
        let known = self.lock().get(&(session.to_owned(), patient.to_owned())).cloned();
        known.filter(|last| last.counts(now))
    }

    /// Remembers what a session was told.
    pub(super) fn keep(&self, session: String, patient: String, last: Last) {
        let mut all = self.lock();
        if all.len() >= REMEMBERED_MAX {
            all.retain(|_, one| one.counts(last.found));
        }
        if all.len() >= REMEMBERED_MAX {
            all.clear();
        }
        all.insert((session, patient), last);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<(String, String), Last>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Last {
    const fn counts(&self, now: u64) -> bool {
        now.saturating_sub(self.found) < COUNTS_SECONDS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_counts_for_its_session_and_for_a_while() {
        let all = LastLooks::default();
        let last = |found| Last { look: None, is_complete: true, found };
        all.keep("s".to_owned(), "p".to_owned(), last(100));
        assert!(all.recall("s", "p", 219).is_some());
        for (session, patient, now) in [("s", "p", 220), ("t", "p", 100), ("s", "q", 100)] {
            assert!(all.recall(session, patient, now).is_none(), "{session} {patient} {now}");
        }
        for number in 0..=REMEMBERED_MAX {
            all.keep("t".to_owned(), number.to_string(), last(300));
        }
        assert!(all.lock().len() <= REMEMBERED_MAX);
        assert!(all.recall("t", &REMEMBERED_MAX.to_string(), 300).is_some());
    }
}
