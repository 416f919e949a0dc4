//! The paper's sixteen steps as they happen: each is logged under its number, and told to whoever listens,
//! such as the demo.

use std::sync::Arc;
use std::time::Duration;

use sealwort_proto::{SessionId, Step};
use tokio::sync::broadcast;

use crate::clock::{Clock as _, SystemClock};
use crate::observe::Observation;

/// Reports that a slow listener may lag behind by.
const LISTENER_LAG_MAX: usize = 4096;

/// One step that was taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StepReport {
    /// Which step.
    pub step: Step,
    /// From whom to whom, such as `L → T`.
    pub route: &'static str,
    /// What it carried.
    pub what: &'static str,
    /// The session.
    pub session: SessionId,
    /// Bytes of its message.
    pub bytes: usize,
    /// Time that the step took at the party that reports it, the wait for the answer included where it waits.
    pub duration: Duration,
}

/// A report as listeners hear it.
#[derive(Debug, Clone)]
pub struct Heard {
    /// What was reported.
    pub report: StepReport,
    /// Who reported it, where that was said ([`Steps::by`]).
    pub by: Option<Arc<str>>,
    /// When, in milliseconds since 1970.
    pub at_millis: u64,
}

/// Where steps are reported.
#[derive(Debug, Clone)]
pub struct Steps {
    listeners: broadcast::Sender<Heard>,
    by: Option<Arc<str>>,
    observation: Option<Observation>,
}

impl Default for Steps {
    fn default() -> Self {
        Self { listeners: broadcast::Sender::new(LISTENER_LAG_MAX), by: None, observation: None }
    }
}

impl Steps {
    /// The same listeners for one party, which counts and traces its own steps.
    #[must_use]
    pub fn observed_by(&self, observation: &Observation) -> Self {
        Self { observation: Some(observation.clone()), ..self.clone() }
    }

    /// The party's observation.
    pub fn observation(&self) -> Option<&Observation> {
        self.observation.as_ref()
    }

    /// The same listeners, who are told that these reports are a certain party's.
    #[must_use]
    pub fn by(&self, party: &str) -> Self {
        Self { by: Some(party.into()), ..self.clone() }
    }

    /// Logs a step and tells the listeners.
    pub fn report(&self, report: StepReport) {
        tracing::debug!(
            target: "sealwort::steps",
            step = %report.step,
            route = report.route,
            what = report.what,
            session = %report.session,
            bytes = report.bytes,
            micros = report.duration.as_micros(),
        );
        if let Some(observation) = &self.observation {
            observation.step(&report);
        }
        // Without a listener there is nobody to tell.
        let _ = self.listeners.send(Heard { report, by: self.by.clone(), at_millis: SystemClock.now_millis() });
    }

    /// Hears every step from now on.
    pub fn listen(&self) -> broadcast::Receiver<Heard> {
        self.listeners.subscribe()
    }
}
