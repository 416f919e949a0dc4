//! Logs of other parties that are not what they were: both checkpoints are kept, because together they prove it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use sealwort_net::health::Readiness;
use sealwort_net::secret_file;
use sealwort_proto::crypto::sha256;
use serde::{Deserialize, Serialize};

use crate::error::JournalError;

/// The part of readiness.
const PART: &str = "witnessed logs";
/// Most that are kept: one for each checkpoint that a log left behind.
const DOUBTS_MAX: usize = 256;
/// Most of them about one log: they leave room for those about others.
const DOUBTS_PER_LOG_MAX: usize = 16;

/// A log that was rewritten, with what shows it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Doubt {
    /// Whose log.
    pub origin: String,
    /// What is wrong.
    pub reason: String,
    /// The signed checkpoint that was cosigned before.
    pub remembered: String,
    /// The signed checkpoint that does not continue it.
    pub shown: String,
}

/// Whether the service can do without the party whose log it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reach {
    /// It is one of many that come here: it takes nobody else's service away.
    Caller,
    /// This service rests on it.
    Behind,
}

/// All doubts.
pub(crate) struct Doubts {
    folder: Option<PathBuf>,
    readiness: Readiness,
    known: Mutex<BTreeMap<String, Doubt>>,
    /// What is wrong with the logs of those on whom this service rests.
    behind: Mutex<BTreeMap<String, String>>,
}

impl Doubts {
    /// With those that were kept. A file that an operator removed is settled.
    pub(crate) fn open(folder: Option<PathBuf>, readiness: Readiness) -> Result<Self, JournalError> {
        let mut known = BTreeMap::new();
        if let Some(folder) = folder.as_ref().filter(|folder| folder.exists()) {
            let failed = |error: std::io::Error| JournalError::Evidence(format!("{}: {error}", folder.display()));
            for file in std::fs::read_dir(folder).map_err(failed)? {
                let file = file.map_err(failed)?.path();
                let read = secret_file::read(&file).ok().and_then(|json| serde_json::from_slice::<Doubt>(&json).ok());
                if let (Some(doubt), Some(name)) = (read, file.file_stem()) {
                    known.insert(name.to_string_lossy().into_owned(), doubt);
                } else {
                    tracing::warn!(file = %file.display(), "this is no evidence of ours and is passed over");
                }
            }
        }
        Ok(Self { folder, readiness, known: Mutex::new(known), behind: Mutex::default() })
    }

    /// Keeps one; `false` where it was known.
    pub(crate) fn add(&self, doubt: Doubt, reach: Reach) -> bool {
        if reach == Reach::Behind {
            self.tell(|behind| drop(behind.insert(doubt.origin.clone(), doubt.reason.clone())));
        }
        let name = hex::encode(sha256(doubt.shown.as_bytes()));
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let of_log = || known.values().filter(|one| one.origin == doubt.origin);
        let is_known = of_log().any(|one| one.remembered == doubt.remembered);
        if is_known || known.len() >= DOUBTS_MAX || of_log().count() >= DOUBTS_PER_LOG_MAX {
            return false;
        }
        if let Some(folder) = &self.folder {
            let kept = std::fs::create_dir_all(folder).map_err(|error| error.to_string()).and_then(|()| {
                let json = serde_json::to_vec_pretty(&doubt).map_err(|error| error.to_string())?;
                secret_file::replace(&folder.join(format!("{name}.json")), &json).map_err(|error| error.to_string())
            });
            if let Err(error) = kept {
                tracing::error!(%error, "the evidence is held in memory alone");
            }
        }
        known.insert(name, doubt);
        true
    }

    /// The log of this party is again what it was.
    pub(crate) fn settled(&self, origin: &str, reach: Reach) {
        if reach == Reach::Behind {
            self.tell(|behind| drop(behind.remove(origin)));
        }
    }

    fn tell(&self, change: impl FnOnce(&mut BTreeMap<String, String>)) {
        let mut behind = self.behind.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut behind);
        let reasons: Vec<_> = behind.iter().map(|(origin, reason)| format!("{origin}: {reason}")).collect();
        if reasons.is_empty() {
            self.readiness.ready(PART);
        } else {
            self.readiness.not_ready(PART, reasons.join("; "));
        }
    }

    pub(crate) fn all(&self) -> Vec<Doubt> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn doubt(origin: &str, number: usize) -> Doubt {
        let text = |what: &str| format!("{origin} {what} {number}");
        Doubt { origin: origin.to_owned(), reason: "cut".to_owned(), remembered: text("was"), shown: text("is") }
    }

    #[test]
    fn one_log_that_is_right_again_does_not_speak_for_another() -> Result<(), JournalError> {
        let readiness = Readiness::new();
        let doubts = Doubts::open(None, readiness.clone())?;
        assert!(doubts.add(doubt("archive", 0), Reach::Behind) && doubts.add(doubt("ca", 0), Reach::Behind));
        doubts.settled("ca", Reach::Behind);
        assert_eq!(readiness.missing(), [(PART, "archive: cut".to_owned())]);
        doubts.settled("archive", Reach::Caller);
        assert_eq!(readiness.missing().len(), 1);
        doubts.settled("archive", Reach::Behind);
        assert_eq!(readiness.missing(), []);
        Ok(())
    }

    #[test]
    fn one_log_does_not_take_the_room_of_others() -> Result<(), JournalError> {
        let doubts = Doubts::open(None, Readiness::new())?;
        let kept = (0..DOUBTS_MAX).filter(|number| doubts.add(doubt("gateway", *number), Reach::Caller)).count();
        assert_eq!(kept, DOUBTS_PER_LOG_MAX);
        assert!(doubts.add(doubt("archive", 0), Reach::Caller));
        Ok(())
    }
}
