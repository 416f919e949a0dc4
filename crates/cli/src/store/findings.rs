//! What is found wrong in a store, and what to do about it.

use sealwort_proto::Pseudonym;
use sealwort_proto::error::ErrorKind;
use serde::Serialize;

/// What follows from a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Fault {
    /// It is not as it was written.
    Tampered,
    /// It can be neither believed nor called false.
    Unverifiable,
}

impl Fault {
    /// Of a statement that does not verify.
    pub(super) fn of(error: &ErrorKind) -> Self {
        match error {
            ErrorKind::Certificate(_) => Self::Unverifiable,
            _ => Self::Tampered,
        }
    }
}

/// One thing that is wrong.
#[derive(Debug, Serialize)]
pub(super) struct Finding {
    pub(super) fault: Fault,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) patient: Option<String>,
    /// Of an entry, or of a witnessed head.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) sequence: Option<u64>,
    pub(super) what: String,
    pub(super) remedy: &'static str,
}

impl Finding {
    pub(super) fn line(&self) -> String {
        let Self { patient, sequence, what, remedy, .. } = self;
        let place = match (patient, sequence) {
            (Some(patient), Some(sequence)) => format!("patient {patient}, sequence {sequence}: "),
            (Some(patient), None) => format!("patient {patient}: "),
            _ => String::new(),
        };
        format!("{place}{what}\n  {remedy}")
    }
}

/// All that was found; of very many the first ones.
#[derive(Debug, Default)]
pub(super) struct Findings {
    pub(super) kept: Vec<Finding>,
    pub(super) tampered: u64,
    pub(super) unverifiable: u64,
}

impl Findings {
    pub(super) fn add(&mut self, finding: Finding) {
        match finding.fault {
            Fault::Tampered => self.tampered += 1,
            Fault::Unverifiable => self.unverifiable += 1,
        }
        if self.kept.len() < KEPT_MAX {
            self.kept.push(finding);
        }
    }

    /// Something about a patient.
    pub(super) fn about(&mut self, patient: Pseudonym, fault: Fault, what: impl Into<String>, remedy: &'static str) {
        let (patient, what) = (Some(patient.to_string()), what.into());
        self.add(Finding { fault, patient, sequence: None, what, remedy });
    }

    /// Something about one place of a patient's log.
    pub(super) fn at(
        &mut self,
        (patient, sequence): (Pseudonym, u64),
        fault: Fault,
        what: impl Into<String>,
        remedy: &'static str,
    ) {
        let (patient, what) = (Some(patient.to_string()), what.into());
        self.add(Finding { fault, patient, sequence: Some(sequence), what, remedy });
    }

    /// Something about no patient.
    pub(super) fn general(&mut self, fault: Fault, what: impl Into<String>, remedy: &'static str) {
        self.add(Finding { fault, patient: None, sequence: None, what: what.into(), remedy });
    }

    pub(super) fn count(&self) -> u64 {
        self.tampered + self.unverifiable
    }
}

/// Findings that are told one by one.
const KEPT_MAX: usize = 1000;

pub(super) const RECORD: &str = "readers are refused this record from there on; other records are served; keep the files as evidence, and go back to a backup that verifies (docs/storage.md)";
pub(super) const CONSENT: &str =
    "nothing is released for this patient; keep the files as evidence, and go back to a backup that verifies";
pub(super) const HALF: &str =
    "what was sealed in this epoch does not open without it, and it cannot be made again: restore it from a backup";
pub(super) const TOKEN: &str = "see that the token of [keys] answers, and repeat it";
pub(super) const AUTHOR: &str = "readers cannot believe these entries; restore the table author from a backup";
pub(super) const STRAY: &str =
    "no service makes this: keep the files as evidence, and go back to a backup that verifies";
pub(super) const FILE: &str =
    "the disk, or what wrote to the file, is at fault: keep the file, and go back to a backup";
pub(super) const UNREAD: &str = "see that disk and database can be read, and repeat it";
