//! Hidden and absent take the same time. An open record is looked into for what is hidden in it, and for what is not there
//! nothing is, so whatever shows nothing is answered a whole number of steps after it was asked for.

use std::time::Duration;

use http::StatusCode;
use sealwort_audit::EventKind;
use tokio::time::Instant;

use super::reply::Reply;
use super::request::Ask;
use crate::error::GatewayError;
use crate::trail::{Trail, kind_of, shows_records};

/// Looking into an open record takes well under one.
const STEP: Duration = Duration::from_millis(10);

/// When something was asked for, and what had been shown until then.
pub(super) struct Pace {
    begun: Instant,
    shown: u64,
}

impl Pace {
    pub(super) fn begin(trail: &Trail) -> Self {
        Self { begun: Instant::now(), shown: trail.shown() }
    }

    /// Waits for the next step, where nothing was shown or stored since it began.
    pub(super) async fn keep(&self, trail: &Trail) {
        if trail.shown() == self.shown {
            let steps = self.begun.elapsed().as_micros() / STEP.as_micros() + 1;
            let steps = u32::try_from(steps).unwrap_or(u32::MAX);
            tokio::time::sleep_until(self.begun + STEP.saturating_mul(steps)).await;
        }
    }
}

/// Whether this is an answer about records by which a hidden resource could be told from an absent one. What is refused
/// as a whole is told as such, and what the asker has already is no secret.
pub(super) fn may_hide(ask: &Ask, outcome: &Result<Reply, GatewayError>) -> bool {
    use EventKind::{ConsentRead, Created, Deleted, Patched, Updated};
    let kind = kind_of(ask.place.does, ask.place.kind);
    let of_records = kind
        .is_some_and(|kind| shows_records(kind) || matches!(kind, Created | Updated | Patched | Deleted | ConsentRead));
    of_records
        && match outcome {
            Ok(reply) => reply.status != StatusCode::NOT_MODIFIED,
            Err(error) => error.status() < 500 && !matches!(error.status(), 401 | 403),
        }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use http::Method;
    use sealwort_fhir::{IssueCode, ResourceType};
    use sealwort_proto::Pseudonym;

    use super::*;
    use crate::user::Asking;

    #[tokio::test(start_paused = true)]
    async fn what_shows_nothing_waits_for_the_next_step() {
        let trail = Trail::default();
        let (pace, begun) = (Pace::begin(&trail), Instant::now());
        tokio::time::advance(Duration::from_millis(3)).await;
        pace.keep(&trail).await;
        assert_eq!(begun.elapsed().as_millis(), 10);
        tokio::time::advance(Duration::from_millis(2)).await;
        pace.keep(&trail).await;
        assert_eq!(begun.elapsed().as_millis(), 20);
        trail.shows(Pseudonym::new([1; 32]), ResourceType::PATIENT, "p1");
        pace.keep(&trail).await;
        assert_eq!(begun.elapsed().as_millis(), 20, "what shows something does not wait");
        let (pace, begun) = (Pace::begin(&trail), Instant::now());
        pace.keep(&trail).await;
        assert_eq!(begun.elapsed().as_millis(), 10, "what was shown before is another entry's");
    }

    #[test]
    fn it_is_for_answers_that_may_hide_something() {
        let refused = |status| Err(GatewayError::request(status, IssueCode::NotFound, "x", "x", "x"));
        let found = |status| Ok(Reply::status(status));
        let cases = [
            (Method::GET, "Observation/x", refused(404), true),
            (Method::GET, "Observation?code=x", found(StatusCode::OK), true),
            (Method::PATCH, "Observation/x", refused(404), true),
            (Method::DELETE, "Observation/x", found(StatusCode::NO_CONTENT), true),
            (Method::GET, "Observation/x", found(StatusCode::NOT_MODIFIED), false),
            (Method::GET, "Observation/x", refused(403), false),
            (Method::GET, "Observation/x", refused(503), false),
            (Method::GET, "metadata", found(StatusCode::OK), false),
        ];
        for (method, url, outcome, wanted) in cases {
            let asking = Asking::itself("dr-a".into(), "physician".into(), "TREAT".into());
            let ask = Ask::new(asking, &method, url).unwrap();
            assert_eq!(may_hide(&ask, &outcome), wanted, "{method} {url} {:?}", outcome.map(|reply| reply.status));
        }
    }
}
