//! What was asked and answered in a run, and the rules that every answer is held against when it comes.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::codes::is_named;
use crate::network::elapsed;
use crate::plan::Plan;
use crate::records::Answer;
use crate::trace::Trace;

/// A gateway may show what it holds until the broker's notices have been silent for so long
/// (`spec/protocol.md`, section 7.6), and some time for the answer itself.
pub(crate) const STALE_MAX: Duration = Duration::from_secs(20);

/// Revocation is promised within ten seconds on a network that works; this one drops and delays.
pub(crate) const REVOKED_WITHIN: Duration = Duration::from_mins(1);
/// The place of the hospital that may be revoked.
pub(crate) const LAST: usize = 2;

/// How a write ended for the one who asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Written {
    /// 201: at the archive.
    Stored,
    /// 202: in the outbox.
    Queued,
    /// Refused by name.
    Refused,
    /// No answer, or one that leaves it open.
    Open,
}

/// A write.
#[derive(Debug, Clone)]
pub(crate) struct Write {
    pub(crate) patient: usize,
    pub(crate) hospital: usize,
    pub(crate) begun: Duration,
    pub(crate) ended: Option<Duration>,
    pub(crate) outcome: Written,
}

/// A change of consent.
#[derive(Debug, Clone)]
pub(crate) struct Change {
    pub(crate) patient: usize,
    pub(crate) to: usize,
    pub(crate) grants: bool,
    pub(crate) begun: Duration,
    /// When broker and archive had both confirmed it.
    pub(crate) delivered: Option<Duration>,
}

#[derive(Default)]
struct Book {
    writes: BTreeMap<String, Write>,
    /// How often a Patient was sent, by hospital and patient.
    registrations: BTreeMap<(usize, usize), usize>,
    changes: Vec<Change>,
    longest: BTreeMap<usize, Vec<String>>,
    codes: BTreeMap<String, u64>,
    readings: u64,
    violations: Vec<String>,
}

/// The book of one run. Clones are the same one.
#[derive(Clone)]
pub(crate) struct Ledger {
    book: Arc<Mutex<Book>>,
    trace: Trace,
    plan: Arc<Plan>,
}

/// What the book came to.
#[derive(Debug, Clone)]
pub(crate) struct Totals {
    pub(crate) stored: usize,
    pub(crate) queued: usize,
    pub(crate) readings: u64,
    pub(crate) codes: BTreeMap<String, u64>,
    pub(crate) violations: Vec<String>,
}

impl Ledger {
    pub(crate) fn new(trace: Trace, plan: Arc<Plan>) -> Self {
        Self { book: Arc::default(), trace, plan }
    }

    /// Notes that a rule was broken.
    pub(crate) fn violation(&self, what: impl Into<String>) {
        self.violation_at(elapsed(), what);
    }

    /// The same at a time that is not the running host's.
    pub(crate) fn violation_at(&self, at: Duration, what: impl Into<String>) {
        let what = what.into();
        self.trace.event(at, &what);
        let mut book = self.book();
        if book.violations.len() < VIOLATIONS_MAX {
            book.violations.push(format!("{:.3} s: {what}", at.as_secs_f64()));
        }
    }

    /// Notes an answer, and that a refusal has a name.
    pub(crate) fn answered(&self, what: &str, answer: Option<&Answer>) {
        let text = match answer {
            None => "no answer".to_owned(),
            Some(answer) => format!("{} {}", answer.status, answer.code),
        };
        self.trace.event(elapsed(), &format!("{what}: {text}"));
        *self.book().codes.entry(text.clone()).or_default() += 1;
        if answer.is_some_and(|answer| !answer.is_good() && !is_named(&answer.code)) {
            self.violation(format!("{what} was refused without a name that is known: {text}"));
        }
    }

    pub(crate) fn registration_begins(&self, hospital: usize, patient: usize) {
        *self.book().registrations.entry((hospital, patient)).or_default() += 1;
    }

    /// How often a hospital sent a Patient: what was not answered may have been kept each time.
    pub(crate) fn registrations(&self, hospital: usize, patient: usize) -> usize {
        self.book().registrations.get(&(hospital, patient)).copied().unwrap_or_default()
    }

    pub(crate) fn write_begins(&self, id: &str, hospital: usize, patient: usize) {
        let write = Write { patient, hospital, begun: elapsed(), ended: None, outcome: Written::Open };
        self.book().writes.insert(id.to_owned(), write);
    }

    pub(crate) fn write_ends(&self, id: &str, answer: Option<&Answer>) {
        let outcome = match answer {
            Some(answer) if answer.status == 201 || answer.status == 200 => Written::Stored,
            Some(answer) if answer.status == 202 => Written::Queued,
            Some(answer) if answer.status < 500 => Written::Refused,
            _ => Written::Open,
        };
        if let Some(write) = self.book().writes.get_mut(id) {
            (write.outcome, write.ended) = (outcome, Some(elapsed()));
        }
    }

    /// Notes the beginning of a change of consent; gives its place in the book.
    pub(crate) fn change_begins(&self, patient: usize, to: usize, grants: bool) -> usize {
        let mut book = self.book();
        book.changes.push(Change { patient, to, grants, begun: elapsed(), delivered: None });
        book.changes.len() - 1
    }

    pub(crate) fn change_ends(&self, place: usize, answer: Option<&Answer>) {
        let delivered = answer.is_some_and(|answer| {
            answer.is_good() && answer.body.get("delivered").and_then(serde_json::Value::as_bool) == Some(true)
        });
        if let Some(change) = self.book().changes.get_mut(place).filter(|_| delivered) {
            change.delivered = Some(elapsed());
        }
    }

    pub(crate) fn writes(&self) -> BTreeMap<String, Write> {
        self.book().writes.clone()
    }

    /// Writes that were answered with 201.
    pub(crate) fn stored(&self) -> usize {
        self.book().writes.values().filter(|write| write.outcome == Written::Stored).count()
    }

    /// Holds what a hospital was shown of a patient against every rule of reading.
    pub(crate) fn shown(&self, hospital: usize, patient: usize, begun: Duration, ids: &[String]) {
        let broken = {
            let mut book = self.book();
            book.readings += 1;
            let mut broken = Vec::new();
            book.consent(&self.plan, hospital, patient, begun, &mut broken);
            book.content(hospital, patient, begun, ids, &mut broken);
            book.order(patient, ids, &mut broken);
            broken
        };
        let name = self.plan.hospitals.get(hospital).copied().unwrap_or_default();
        for what in broken {
            self.violation(format!(
                "hospital {name} read patient {patient} from {:.3} s on: {what}",
                begun.as_secs_f64()
            ));
        }
    }

    pub(crate) fn totals(&self) -> Totals {
        let book = self.book();
        let count = |outcome| book.writes.values().filter(|write| write.outcome == outcome).count();
        Totals {
            stored: count(Written::Stored),
            queued: count(Written::Queued),
            readings: book.readings,
            codes: book.codes.clone(),
            violations: book.violations.clone(),
        }
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Book {
    /// Nobody is shown anything without consent, nor for longer than promised after it was withdrawn.
    fn consent(&self, plan: &Plan, hospital: usize, patient: usize, begun: Duration, broken: &mut Vec<String>) {
        if hospital == LAST && plan.revoked.is_some_and(|revoked| revoked + REVOKED_WITHIN <= begun) {
            broken.push(format!("it was revoked at {:?}", plan.revoked));
        }
        if plan.patients.get(patient).is_some_and(|patient| patient.authority == hospital || patient.rivals) {
            return;
        }
        let changes = || self.changes.iter().filter(|change| change.patient == patient && change.to == hospital);
        if !changes().any(|change| change.grants) {
            broken.push("nobody has consented to it".to_owned());
        }
        for withdrawal in changes().filter(|change| !change.grants) {
            let ended = withdrawal.delivered.is_some_and(|delivered| delivered + STALE_MAX <= begun);
            let again = changes().any(|change| change.grants && change.begun >= withdrawal.begun);
            if ended && !again {
                broken.push(format!("consent was withdrawn, and confirmed at {:?}", withdrawal.delivered));
            }
        }
    }

    /// What is shown was written for this patient, is there once, and what was stored long enough ago is among it.
    fn content(&self, hospital: usize, patient: usize, begun: Duration, ids: &[String], broken: &mut Vec<String>) {
        for (place, id) in ids.iter().enumerate() {
            if self.writes.get(id).is_none_or(|write| write.patient != patient) {
                broken.push(format!("{id} is not this patient's"));
            }
            if ids.iter().take(place).any(|before| before == id) {
                broken.push(format!("{id} comes twice"));
            }
        }
        for (id, write) in self.writes.iter().filter(|(_, w)| w.patient == patient && w.outcome == Written::Stored) {
            let grace = if write.hospital == hospital { Duration::ZERO } else { STALE_MAX };
            if write.ended.is_some_and(|ended| ended + grace <= begun) && !ids.contains(id) {
                broken.push(format!("{id} was stored at {:?} and is missing", write.ended));
            }
        }
    }

    /// Every reading is a beginning of one and the same log.
    fn order(&mut self, patient: usize, ids: &[String], broken: &mut Vec<String>) {
        let longest = self.longest.entry(patient).or_default();
        if longest.iter().zip(ids).any(|(known, shown)| known != shown) {
            broken.push(format!("{ids:?} is another log than {longest:?}"));
        }
        if ids.len() > longest.len() {
            *longest = ids.to_vec();
        }
    }
}

const VIOLATIONS_MAX: usize = 20;
