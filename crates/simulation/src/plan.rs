//! What a seed decides beforehand: the hospitals and patients, what their people do and when, and every fault.

use std::time::Duration;

use crate::dice::Dice;

/// Faults end here; from then on everything outstanding has to come to its end.
pub(crate) const HEALED: Duration = Duration::from_secs(45);

/// One run.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    /// Names of the hospitals. To the third one no patient ever consents, unless it is there to be revoked.
    pub(crate) hospitals: Vec<&'static str>,
    /// Patients, each with the hospital that registers it.
    pub(crate) patients: Vec<Patient>,
    /// What people do.
    pub(crate) work: Vec<(Duration, Task)>,
    /// What breaks, in order of time.
    pub(crate) faults: Vec<(Duration, Fault)>,
    /// When the third hospital's certificates are revoked.
    pub(crate) revoked: Option<Duration>,
    /// Out of a hundred commits, how many are followed at once by the crash of a host.
    pub(crate) strikes: u64,
}

/// A patient.
#[derive(Debug, Clone)]
pub(crate) struct Patient {
    /// Id of the Patient resource, and value of its identifier.
    pub(crate) id: String,
    /// The hospital that registers it and is its consent authority.
    pub(crate) authority: usize,
    /// Whether the first two hospitals register it at the same time, so that either may become the authority.
    pub(crate) rivals: bool,
}

/// What somebody does at a hospital (a place in [`Plan::hospitals`]) for a patient (a place in [`Plan::patients`]).
#[derive(Debug, Clone)]
pub(crate) enum Task {
    /// Sends the Patient resource.
    Register { hospital: usize, patient: usize },
    /// Sends an Observation of this id.
    Write { hospital: usize, patient: usize, id: String, by_identifier: bool },
    /// Searches the patient, then its Observations.
    Read { hospital: usize, patient: usize },
    /// Consents.
    Grant { patient: usize, to: usize, write: bool },
    /// Takes consent back.
    Withdraw { patient: usize, to: usize },
}

/// What breaks. Hosts are named as in the simulated network.
#[derive(Debug, Clone)]
pub(crate) enum Fault {
    /// Nothing passes between two hosts.
    Part(String, String),
    /// Nothing passes from one host to another.
    PartOneWay(String, String),
    /// It passes again.
    Repair(String, String),
    /// Everything between two hosts waits.
    Hold(String, String),
    /// What waited arrives.
    Release(String, String),
    /// So many of a thousand messages between two hosts are lost.
    Lose(String, String, u64),
    /// A host stops in the middle of what it does.
    Crash(String),
    /// It starts again.
    Start(String),
    /// A host's clock is so many seconds off.
    Skew(String, i64),
    /// Messages arrive twice, or no longer.
    Double(bool),
    /// The last hospital's certificates are on the revocation list from now on.
    Revoke,
}

impl Plan {
    /// The plan of a seed.
    pub(crate) fn of(seed: u64) -> Self {
        let mut dice = Dice::new(seed, 1);
        let hospitals = if dice.chance(60) { vec!["a", "b", "c"] } else { vec!["a", "b"] };
        let patients: Vec<_> = (0..dice.within(2, 3))
            .map(|n| Patient { id: format!("p{n}"), authority: dice.below(2), rivals: false })
            .collect();
        let mut plan = Self { hospitals, patients, work: Vec::new(), faults: Vec::new(), revoked: None, strikes: 0 };
        for patient in 0..plan.patients.len() {
            plan.people(patient, &mut dice);
        }
        plan.breakage(&mut dice);
        if dice.chance(30) {
            plan.rivals(&mut dice);
        }
        if dice.chance(50) {
            plan.strikes = dice.within(2, 12);
        }
        plan.work.sort_by_key(|(at, _)| *at);
        plan.faults.sort_by_key(|(at, _)| *at);
        plan
    }

    fn people(&mut self, patient: usize, dice: &mut Dice) {
        let authority = self.patients.get(patient).map(|p| p.authority).unwrap_or_default();
        let other = 1 - authority;
        let mut work = Vec::new();
        work.push((dice.millis(500, 6000), Task::Register { hospital: authority, patient }));
        for n in 0..dice.within(3, 7) {
            let id = format!("o-{patient}-{authority}-{n}");
            let by_identifier = dice.chance(50);
            // Some come before the patient is registered: they name the patient by the identifier.
            let task = Task::Write { hospital: authority, patient, id, by_identifier };
            work.push((dice.millis(if by_identifier { 1000 } else { 8000 }, 40_000), task));
        }
        for _ in 0..dice.within(1, 4) {
            work.push((dice.millis(5000, 42_000), Task::Read { hospital: authority, patient }));
        }
        let granted = dice.within(5000, 15_000);
        if dice.chance(85) {
            let write = dice.chance(60);
            work.push((Duration::from_millis(granted), Task::Grant { patient, to: other, write }));
        }
        for _ in 0..dice.within(3, 9) {
            work.push((dice.millis(3000, 44_000), Task::Read { hospital: other, patient }));
        }
        for n in 0..dice.within(1, 4) {
            let id = format!("o-{patient}-{other}-{n}");
            let task = Task::Write { hospital: other, patient, id, by_identifier: dice.chance(30) };
            work.push((dice.millis(granted, 42_000), task));
        }
        if dice.chance(60) {
            let withdrawn = dice.within(granted + 2000, 32_000);
            work.push((Duration::from_millis(withdrawn), Task::Withdraw { patient, to: other }));
            if dice.chance(25) {
                work.push((dice.millis(withdrawn + 1000, 40_000), Task::Grant { patient, to: other, write: true }));
            }
        }
        if self.hospitals.len() > 2 {
            for n in 0..dice.within(2, 4) {
                work.push((dice.millis(5000, 44_000), Task::Read { hospital: 2, patient }));
                let id = format!("o-{patient}-2-{n}");
                work.push((dice.millis(10_000, 44_000), Task::Write { hospital: 2, patient, id, by_identifier: true }));
            }
        }
        self.work.extend(work);
    }

    fn rivals(&mut self, dice: &mut Dice) {
        let patient = self.patients.len();
        self.patients.push(Patient { id: format!("r{patient}"), authority: 0, rivals: true });
        let at = dice.within(1000, 20_000);
        for hospital in 0..2 {
            self.work.push((dice.millis(at, at + 300), Task::Register { hospital, patient }));
            for n in 0..dice.within(1, 3) {
                let id = format!("o-{patient}-{hospital}-{n}");
                let task = Task::Write { hospital, patient, id, by_identifier: false };
                self.work.push((dice.millis(at + 100, 40_000), task));
            }
        }
    }

    fn breakage(&mut self, dice: &mut Dice) {
        let gateways: Vec<String> = self.hospitals.iter().map(|name| format!("gateway-{name}")).collect();
        let services: Vec<String> =
            ["broker", "archive"].map(String::from).into_iter().chain(gateways.clone()).collect();
        let mut links: Vec<(String, String)> = vec![("broker".into(), "archive".into())];
        links.extend(gateways.iter().map(|gateway| (gateway.clone(), "broker".to_owned())));
        links.extend(services.iter().map(|service| (service.clone(), "ca".to_owned())));
        for _ in 0..dice.within(2, 7) {
            let at = dice.within(1000, 40_000);
            let (a, b) = links.get(dice.below(links.len())).cloned().unwrap_or_default();
            let host = services.get(dice.below(services.len())).cloned().unwrap_or_default();
            let kind = dice.below(8);
            let seconds = dice.pick(&[-420, -310, -120, 90, 250, 310, 500]).unwrap_or_default();
            let mut lasting = |begins: Fault, ends: Fault, low: u64, high: u64| {
                let until = dice.millis(at + low, at + high).min(HEALED);
                self.faults.push((Duration::from_millis(at), begins));
                self.faults.push((until, ends));
            };
            match kind {
                0 => lasting(Fault::Part(a.clone(), b.clone()), Fault::Repair(a, b), 200, 25_000),
                1 => lasting(Fault::PartOneWay(a.clone(), b.clone()), Fault::Repair(a, b), 200, 25_000),
                2 => lasting(Fault::Hold(a.clone(), b.clone()), Fault::Release(a, b), 50, 9000),
                3 => lasting(Fault::Lose(a.clone(), b.clone(), 30), Fault::Lose(a, b, 0), 500, 15_000),
                4 | 5 => lasting(Fault::Crash(host.clone()), Fault::Start(host), 20, 12_000),
                6 => {
                    lasting(Fault::Skew(host.clone(), seconds), Fault::Skew(host, 0), 2000, 20_000);
                }
                _ => lasting(Fault::Double(true), Fault::Double(false), 2000, 30_000),
            }
        }
        if self.hospitals.len() > 2 && dice.chance(40) {
            let at = dice.millis(12_000, 20_000);
            for patient in 0..self.patients.len() {
                self.work.push((dice.millis(4000, 10_000), Task::Grant { patient, to: 2, write: true }));
            }
            self.revoked = Some(at);
            self.faults.push((at, Fault::Revoke));
        }
    }
}
