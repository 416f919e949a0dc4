//! The paper's sixteen steps as they happen: each is logged under its number, and told to whoever listens,
//! such as the demo.

use std::time::Duration;

use sealwort_proto::{SessionId, Step};
use tokio::sync::broadcast;

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

/// Where steps are reported.
#[derive(Debug, Clone)]
pub struct Steps(broadcast::Sender<StepReport>);

impl Default for Steps {
    fn default() -> Self {
        Self(broadcast::Sender::new(LISTENER_LAG_MAX))
    }
}

impl Steps {
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
        // Without a listener there is nobody to tell.
        let _ = self.0.send(report);
    }

    /// Hears every step from now on.
    pub fn listen(&self) -> broadcast::Receiver<StepReport> {
        self.0.subscribe()
    }
}
