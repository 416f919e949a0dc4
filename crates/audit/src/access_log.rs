//! A patient's access log as a file: what the logs of several parties hold about one patient, each part with its proof.
//! It is made at the patient's hospital and verified anywhere.

use sealwort_pki::{Identity, Role, Trust};
use sealwort_proto::Pseudonym;
use serde::{Deserialize, Serialize};

use crate::check::{Fault, Passed, Verdict, WitnessFile, verify_export};
use crate::event::Event;
use crate::export::{Coverage, Export, Proof, export_line};

const FORMAT: &str = "sealwort access log 1";

/// The file.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AccessLogFile {
    format: String,
    /// The pseudonym.
    patient: String,
    logs: Vec<LogPart>,
}

/// What one party's log holds.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LogPart {
    /// Identity of the party.
    log: String,
    /// Why there is nothing of it, where that is so.
    missing: Option<String>,
    pages: Vec<Page>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Page {
    /// Lines of an export.
    entries: String,
    proof: Proof,
}

impl LogPart {
    /// The entries of a log, and the proofs of them in order.
    pub fn new<'e>(log: &str, entries: impl IntoIterator<Item = (u64, &'e Event)>, proofs: &[Export]) -> Self {
        let mut entries = entries.into_iter();
        let page = |proof: &Export| {
            let count = match &proof.coverage {
                Coverage::Selected { numbers, .. } => numbers.len(),
                Coverage::Range { .. } => 0,
            };
            let lines = entries.by_ref().take(count).map(|(number, event)| export_line(number, event));
            Page { entries: lines.collect(), proof: proof.to_proof() }
        };
        Self { log: log.to_owned(), missing: None, pages: proofs.iter().map(page).collect() }
    }

    /// A log of which nothing can be shown.
    pub fn missing(log: &str, why: &str) -> Self {
        Self { log: log.to_owned(), missing: Some(why.to_owned()), pages: Vec::new() }
    }
}

impl AccessLogFile {
    /// About one patient.
    pub fn new(patient: Pseudonym, logs: Vec<LogPart>) -> Self {
        Self { format: FORMAT.to_owned(), patient: patient.to_string(), logs }
    }

    /// Reads it; `None` where the file is none of these.
    pub fn from_json(bytes: &[u8]) -> Option<Self> {
        serde_json::from_slice(bytes).ok().filter(|file: &Self| file.format == FORMAT)
    }

    /// The first checkpoint in it, which names the exchange.
    pub fn checkpoint(&self) -> Option<&str> {
        self.logs.iter().flat_map(|log| &log.pages).map(|page| page.proof.checkpoint.as_str()).next()
    }

    /// Verifies every part, as [`verify_export`] does, and that all of it is about the patient. What is missing makes it
    /// unverifiable, after everything that is there was looked at.
    pub fn verify(&self, trust: &Trust, files: &[WitnessFile], witnesses_min: usize) -> Result<Vec<Passed>, Verdict> {
        let (mut passed, mut unverifiable) = (Vec::new(), None);
        for role in [Role::Gateway, Role::Broker, Role::Archive] {
            let of_role = |log: &&LogPart| log.log.parse::<Identity>().is_ok_and(|party| party.role == role);
            let told = self.logs.iter().filter(of_role).filter(|log| log.missing.is_some() || !log.pages.is_empty());
            if told.count() != 1 {
                unverifiable = Some(Verdict::unverifiable(format!("not one log of a {role} is in it")));
            }
        }
        for log in &self.logs {
            if let Some(why) = &log.missing {
                unverifiable = Some(Verdict::unverifiable(format!("nothing of {} is in it: {why}", log.log)));
            }
            let files: Vec<_> = files.iter().filter(|file| file.by() != log.log).cloned().collect();
            for page in &log.pages {
                match self.verify_page(log, page, trust, &files, witnesses_min) {
                    Ok(page) => passed.push(page),
                    Err(verdict) if verdict.fault == Fault::Tampered => return Err(verdict),
                    Err(verdict) => unverifiable = Some(verdict),
                }
            }
        }
        unverifiable.map_or(Ok(passed), Err)
    }

    fn verify_page(
        &self,
        log: &LogPart,
        page: &Page,
        trust: &Trust,
        files: &[WitnessFile],
        witnesses_min: usize,
    ) -> Result<Passed, Verdict> {
        #[derive(Deserialize)]
        struct Line {
            patient: Option<String>,
        }
        let proof = serde_json::to_vec(&page.proof).map_err(|error| Verdict::unverifiable(error.to_string()))?;
        let passed = verify_export(page.entries.as_bytes(), &proof, trust, files, witnesses_min)?;
        if passed.origin != log.log {
            return Err(Verdict::tampered(None, format!("what is said to be of {} is of {}", log.log, passed.origin)));
        }
        for line in page.entries.lines() {
            let of: Option<Line> = serde_json::from_str(line).ok();
            if of.and_then(|line| line.patient).as_ref() != Some(&self.patient) {
                return Err(Verdict::tampered(None, format!("an entry of {} is about somebody else", log.log)));
            }
        }
        Ok(passed)
    }
}
