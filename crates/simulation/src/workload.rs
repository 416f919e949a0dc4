//! What the hospitals' people do, and what they look at when everything has healed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use sealwort_net::Clock as _;
use sealwort_proto::{Digest, Pseudonym};
use sealwort_store::StoredEntry;
use sealwort_store::memory::MemoryStore;
use serde_json::Value;
use tokio::time::sleep;

use crate::exchange::HostClock;
use crate::ledger::{LAST, Ledger, Write, Written};
use crate::network::elapsed;
use crate::plan::{HEALED, Plan, Task};
use crate::records::{Answer, Door};

/// Time after the healing until everything that was accepted is at the archive. A directive that was signed by a clock
/// 500 seconds ahead has to wait for 200 of them.
const DRAINED_WITHIN: Duration = Duration::from_secs(330);
/// Time after that until everybody sees it.
const SEEN_WITHIN: Duration = Duration::from_mins(1);
/// Between two looks.
const LOOK_EVERY: Duration = Duration::from_secs(2);

/// Everything that the people need.
#[derive(Clone)]
pub(crate) struct People {
    pub(crate) plan: Arc<Plan>,
    pub(crate) ledger: Ledger,
    pub(crate) doors: Arc<Vec<Door>>,
    pub(crate) broker: MemoryStore,
    pub(crate) archive: MemoryStore,
}

impl People {
    /// Works through the plan, waits for the healing, and looks.
    pub(crate) async fn work(self) {
        let mut tasks = Vec::new();
        for (at, task) in self.plan.work.clone() {
            let people = self.clone();
            tasks.push(tokio::spawn(async move {
                sleep(at.saturating_sub(elapsed())).await;
                people.one(&task).await;
            }));
        }
        for task in tasks {
            if task.await.is_err() {
                self.ledger.violation("a task of the workload stopped");
            }
        }
        sleep(HEALED.saturating_sub(elapsed())).await;
        self.drained().await;
        for patient in 0..self.plan.patients.len() {
            self.look(patient).await;
        }
    }

    async fn one(&self, task: &Task) {
        match task {
            Task::Register { hospital, patient } => self.register(*hospital, *patient).await,
            Task::Write { hospital, patient, id, by_identifier } => {
                self.write(*hospital, *patient, id, *by_identifier).await;
            }
            Task::Read { hospital, patient } => {
                self.read(*hospital, *patient).await;
            }
            Task::Grant { patient, to, write } => self.change(*patient, *to, Some(*write)).await,
            Task::Withdraw { patient, to } => self.change(*patient, *to, None).await,
        }
    }

    fn name(&self, patient: usize) -> String {
        self.plan.patients.get(patient).map(|patient| patient.id.clone()).unwrap_or_default()
    }

    fn door(&self, hospital: usize) -> Door {
        self.doors.get(hospital).cloned().unwrap_or_else(|| Door { host: String::new(), token: String::new() })
    }

    /// Sends the Patient until it is accepted: somebody would.
    async fn register(&self, hospital: usize, patient: usize) {
        loop {
            self.ledger.registration_begins(hospital, patient);
            let answer = self.door(hospital).register(&self.name(patient)).await;
            self.ledger.answered(&format!("register {patient} at {hospital}"), answer.as_ref());
            let rivals = self.plan.patients.get(patient).is_some_and(|patient| patient.rivals);
            // The other hospital was quicker.
            let late = |answer: &Answer| rivals && (answer.status == 403 || answer.status == 409);
            let settled = answer.is_some_and(|answer| answer.is_good() || late(&answer));
            if settled || elapsed() > HEALED + DRAINED_WITHIN {
                return;
            }
            sleep(LOOK_EVERY).await;
        }
    }

    async fn write(&self, hospital: usize, patient: usize, id: &str, by_identifier: bool) {
        let authority = self.plan.patients.get(patient).map(|patient| patient.authority);
        if by_identifier && authority != Some(hospital) {
            // Who writes to a person whom nobody knows registers them; only the authority does so here.
            let known = self.door(hospital).find(&self.name(patient)).await;
            self.ledger.answered(&format!("find {patient} at {hospital}"), known.as_ref());
            let known = known.is_some_and(|known| !known.ids().is_empty() || known.code.starts_with("consent-"));
            if !known {
                return;
            }
        }
        self.ledger.write_begins(id, hospital, patient);
        let answer = self.door(hospital).write(&self.name(patient), id, by_identifier).await;
        self.ledger.answered(&format!("write {id}"), answer.as_ref());
        self.ledger.write_ends(id, answer.as_ref());
    }

    /// Gives what was shown; nothing where it was refused or nobody is known.
    async fn read(&self, hospital: usize, patient: usize) -> Option<Vec<String>> {
        let (door, name) = (self.door(hospital), self.name(patient));
        let found = door.find(&name).await;
        self.ledger.answered(&format!("find {patient} at {hospital}"), found.as_ref());
        if found.filter(Answer::is_good)?.ids().is_empty() {
            return None;
        }
        let begun = elapsed();
        let shown = door.observations(&name).await;
        self.ledger.answered(&format!("read {patient} at {hospital}"), shown.as_ref());
        let ids = shown.filter(Answer::is_good)?.ids();
        self.ledger.shown(hospital, patient, begun, &ids);
        Some(ids)
    }

    async fn change(&self, patient: usize, to: usize, grant: Option<bool>) {
        let Some(authority) = self.plan.patients.get(patient).map(|patient| patient.authority) else { return };
        let hospital = self.plan.hospitals.get(to).copied().unwrap_or_default();
        let (door, name) = (self.door(authority), self.name(patient));
        let place = self.ledger.change_begins(patient, to, grant.is_some());
        let answer = match grant {
            Some(write) => door.grant(&name, hospital, write).await,
            None => door.withdraw(&name, hospital).await,
        };
        self.ledger.answered(&format!("consent of {patient} to {to}: {grant:?}"), answer.as_ref());
        self.ledger.change_ends(place, answer.as_ref());
    }

    /// Waits until no gateway has anything left to send but what was refused for want of consent.
    async fn drained(&self) {
        let mut left = BTreeMap::new();
        while elapsed() < HEALED + DRAINED_WITHIN {
            left.clear();
            for (hospital, door) in self.doors.iter().enumerate() {
                if hospital == LAST && self.plan.revoked.is_some() {
                    continue;
                }
                let status = door.get("/status").await.filter(Answer::is_good).map(|answer| answer.body);
                let Some(status) = status else {
                    left.insert(hospital, Value::from("no status"));
                    continue;
                };
                let waiting = status.get("waiting").and_then(Value::as_u64).unwrap_or(u64::MAX);
                let refused = status.get("refused").and_then(Value::as_array).cloned().unwrap_or_default();
                let denied = refused.iter().filter_map(Value::as_str).filter(|reason| is_for_consent(reason)).count();
                if waiting > denied as u64 && !self.waits_behind_denied(hospital, waiting, denied) {
                    left.insert(hospital, status);
                }
            }
            if left.is_empty() {
                return;
            }
            sleep(LOOK_EVERY).await;
        }
        self.ledger.violation(format!("liveness: not everything was sent in time: {left:?}"));
    }

    /// A patient's later writes wait behind one that was refused for want of consent; where two hospitals register one
    /// person, so does each Patient that the slower one sent.
    fn waits_behind_denied(&self, hospital: usize, waiting: u64, denied: usize) -> bool {
        let authority = |write: &Write| self.plan.patients.get(write.patient).map(|patient| patient.authority);
        let foreign = self
            .ledger
            .writes()
            .values()
            .filter(|w| w.hospital == hospital && (authority(w) != Some(hospital) || self.is_rivals(w.patient)))
            .count();
        let rivals = (0..self.plan.patients.len()).filter(|patient| self.is_rivals(*patient));
        let sent: usize = rivals.map(|patient| self.ledger.registrations(hospital, patient)).sum();
        denied > 0 && waiting <= (foreign + sent) as u64
    }

    /// Everything that was accepted for a patient is in the log once, in one order for everybody who may see it.
    async fn look(&self, patient: usize) {
        let Some(plan) = self.plan.patients.get(patient) else { return };
        let until = elapsed() + SEEN_WITHIN;
        let Some(hospital) = self.authority(patient, until).await else {
            self.ledger.violation(format!("liveness: nobody became the authority of patient {patient}"));
            return;
        };
        let authority = self.door(hospital);
        let expected: Vec<String> =
            self.ledger.writes().into_iter().filter(|(_, w)| self.is_owed(patient, w)).map(|(id, _)| id).collect();
        let log = loop {
            let shown = self.read(hospital, patient).await;
            match shown {
                Some(ids) if expected.iter().all(|id| ids.contains(id)) => break ids,
                shown if elapsed() > until => {
                    self.ledger.violation(format!(
                        "liveness: patient {patient} shows {shown:?} to its authority, and {expected:?} were accepted"
                    ));
                    return;
                }
                _ => sleep(LOOK_EVERY).await,
            }
        };
        self.look_at_order(patient, &log);
        let versions = authority.get(&format!("/fhir/Patient/{}", plan.id)).await.and_then(|answer| answer.etag);
        let versions = versions.and_then(|tag| tag.trim_start_matches("W/").trim_matches('"').parse::<usize>().ok());
        let Some(consent) = authority.get(&format!("/consent?patient={}", plan.id)).await.filter(Answer::is_good)
        else {
            self.ledger.violation(format!("liveness: the consent of patient {patient} is not shown"));
            return;
        };
        let Some(pseudonym) = pseudonym(&consent.body) else { return };
        let entries = self.archive.entries(pseudonym);
        if entries.len() != log.len() + versions.unwrap_or_default() {
            self.ledger.violation(format!(
                "the log of patient {patient} has {} entries, and {} Observations and {versions:?} versions of the Patient",
                entries.len(),
                log.len()
            ));
        }
        self.look_at_consent(patient, pseudonym, &consent.body, &entries, &log, until).await;
        if plan.rivals {
            self.reconcile(patient, hospital).await;
        }
    }

    fn is_rivals(&self, patient: usize) -> bool {
        self.plan.patients.get(patient).is_some_and(|patient| patient.rivals)
    }

    /// The hospital that may read a patient of its own; of rivals, the one that was quicker.
    async fn authority(&self, patient: usize, until: Duration) -> Option<usize> {
        if !self.is_rivals(patient) {
            return self.plan.patients.get(patient).map(|patient| patient.authority);
        }
        while elapsed() < until {
            for hospital in 0..2 {
                if self
                    .door(hospital)
                    .find(&self.name(patient))
                    .await
                    .is_some_and(|found| found.is_good() && !found.ids().is_empty())
                {
                    return Some(hospital);
                }
            }
            sleep(LOOK_EVERY).await;
        }
        None
    }

    /// The hospital that was too late to register a patient can write for it once consent is given.
    async fn reconcile(&self, patient: usize, authority: usize) {
        let other = 1 - authority;
        let name = self.plan.hospitals.get(other).copied().unwrap_or_default();
        let granted = self.door(authority).grant(&self.name(patient), name, true).await;
        self.ledger.answered(&format!("consent of {patient} to {other} in the end"), granted.as_ref());
        let until = elapsed() + SEEN_WITHIN;
        loop {
            let id = format!("o-{patient}-{other}-last");
            self.ledger.write_begins(&id, other, patient);
            let answer = self.door(other).write(&self.name(patient), &id, true).await;
            self.ledger.answered(&format!("write {id}"), answer.as_ref());
            self.ledger.write_ends(&id, answer.as_ref());
            if answer.as_ref().is_some_and(|answer| answer.status == 201) {
                return;
            }
            if elapsed() > until {
                self.ledger.violation(format!(
                    "liveness: hospital {name} was too late to register patient {patient}, has consent, and cannot write: {answer:?}"
                ));
                return;
            }
            sleep(LOOK_EVERY).await;
        }
    }

    /// What one hospital wrote for a patient one after the other stands in that order.
    fn look_at_order(&self, patient: usize, log: &[String]) {
        let writes = self.ledger.writes();
        let place = |id: &String| log.iter().position(|shown| shown == id);
        let accepted = || {
            writes
                .iter()
                .filter(|(_, w)| w.patient == patient && matches!(w.outcome, Written::Stored | Written::Queued))
        };
        for (first, before) in accepted() {
            for (second, after) in accepted().filter(|(_, after)| after.hospital == before.hospital) {
                let (Some(ended), Some(first_place), Some(second_place)) = (before.ended, place(first), place(second))
                else {
                    continue;
                };
                if ended < after.begun && first_place > second_place {
                    self.ledger
                        .violation(format!("{first} was accepted before {second} was written, and stands behind it"));
                }
            }
        }
    }

    async fn look_at_consent(
        &self,
        patient: usize,
        pseudonym: Pseudonym,
        consent: &Value,
        entries: &[(Digest, StoredEntry)],
        log: &[String],
        until: Duration,
    ) {
        let version = consent.get("version").and_then(Value::as_u64);
        let kept = |store: &MemoryStore| {
            store.directive_versions().into_iter().find(|(known, _)| *known == pseudonym).map(|(_, version)| version)
        };
        for (party, found) in [("broker", kept(&self.broker)), ("archive", kept(&self.archive))] {
            if found != version {
                self.ledger.violation(format!(
                    "liveness: the {party} has directive {found:?} of patient {patient}, its authority {version:?}"
                ));
            }
        }
        let witness = self.broker.witnesses().into_iter().find(|(known, _)| *known == pseudonym);
        if witness.is_some_and(|(_, witness)| witness.sequence > entries.len() as u64) {
            self.ledger.violation(format!("the witness of patient {patient} is ahead of its log"));
        }
        let Some(plan) = self.plan.patients.get(patient) else { return };
        if self.is_rivals(patient) {
            return;
        }
        for (hospital, name) in
            self.plan.hospitals.iter().enumerate().filter(|(hospital, _)| *hospital != plan.authority)
        {
            let revoked = hospital == LAST && self.plan.revoked.is_some();
            let granted = if revoked { Reads::Never } else { may_read(consent, name) };
            if granted == Reads::Later {
                continue;
            }
            let granted = granted == Reads::Now;
            loop {
                let shown = self.read(hospital, patient).await;
                match (granted, &shown) {
                    (true, Some(ids)) if ids == log => break,
                    (false, None) => break,
                    _ if elapsed() > until + SEEN_WITHIN => {
                        self.ledger.violation(format!(
                            "liveness: hospital {name} (consent: {granted}) is shown {shown:?} of patient {patient}, whose log is {log:?}"
                        ));
                        break;
                    }
                    _ => sleep(LOOK_EVERY).await,
                }
            }
        }
    }

    /// Whether a write has to be in the log in the end.
    fn is_owed(&self, patient: usize, write: &Write) -> bool {
        let authority = self.plan.patients.get(patient).map(|patient| patient.authority);
        write.patient == patient
            && match write.outcome {
                Written::Stored => true,
                // Another hospital's may be refused later, when consent was withdrawn.
                Written::Queued => authority == Some(write.hospital) && !self.is_rivals(patient),
                Written::Refused | Written::Open => false,
            }
    }
}

fn is_for_consent(reason: &str) -> bool {
    reason.contains("consent-")
}

fn pseudonym(consent: &Value) -> Option<Pseudonym> {
    consent.get("patient").and_then(Value::as_str)?.parse().ok()
}

/// What a hospital may do by a patient's consent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reads {
    Now,
    /// A clock that was ahead made the consent begin late.
    Later,
    Never,
}

fn may_read(consent: &Value, hospital: &str) -> Reads {
    let to = |provision: &&Value| {
        provision.get("to").and_then(Value::as_str).is_some_and(|to| to.ends_with(&format!("/{hospital}")))
    };
    let reads = |provision: &&Value| {
        let actions = provision.get("actions").and_then(Value::as_array);
        actions.is_some_and(|actions| actions.iter().any(|action| action == "read"))
    };
    let provisions = consent.get("provisions").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let now = HostClock::default().now().as_secs();
    let begins = provisions.iter().filter(to).filter(reads).filter_map(|p| p.get("from").and_then(Value::as_u64)).min();
    match begins {
        Some(from) if from <= now => Reads::Now,
        Some(_) => Reads::Later,
        None => Reads::Never,
    }
}
