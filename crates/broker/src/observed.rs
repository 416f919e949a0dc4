//! What this node of the broker sees of its own traffic: which party was here when and under which certificate, and, for
//! the last hour, how many requests there were, how many were refused, and how long answers took. In memory, bounded, and
//! without anything about patients. The console shows it.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use sealwort_net::exchange::{AUTHENTICATE_PATH, CHANNEL_PATH, RELAY_PATH};
use sealwort_net::observe::was_refused;
use sealwort_net::tls::HopPeer;
use sealwort_pki::{SerialNumber, UnixTime, VerifiedParty};

use crate::sessions::lock;

/// Seconds of one slot, and how many slots are kept: an hour.
pub(crate) const SLOT_SECONDS: u64 = 10;
const SLOTS_MAX: usize = 360;
/// Most parties; the one that was here longest ago is forgotten first.
const PARTIES_MAX: usize = 4096;
/// Steps of the times of answers: the first holds what took up to 100 µs, each further one up to three tenths more.
const STEPS: usize = 48;
const FIRST_STEP_MICROS: u64 = 100;

/// A certificate, in short.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Paper {
    pub(crate) serial: SerialNumber,
    pub(crate) not_before: UnixTime,
    pub(crate) not_after: UnixTime,
}

impl Paper {
    pub(crate) fn of(party: &VerifiedParty) -> Self {
        Self { serial: party.serial(), not_before: party.not_before(), not_after: party.not_after() }
    }
}

/// When a party was here last, and the certificate of its connection.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seen {
    pub(crate) at: UnixTime,
    pub(crate) hop: Paper,
}

/// Requests of a few seconds.
#[derive(Debug, Clone)]
pub(crate) struct Slot {
    /// Its first second.
    pub(crate) from: u64,
    pub(crate) requests: u32,
    pub(crate) refused: u32,
    steps: [u32; STEPS],
}

impl Slot {
    /// Nothing counted yet.
    pub(crate) fn empty(from: u64) -> Self {
        Self { from, requests: 0, refused: 0, steps: [0; STEPS] }
    }

    /// Takes in what another one counted.
    pub(crate) fn add(&mut self, other: &Self) {
        self.requests = self.requests.saturating_add(other.requests);
        self.refused = self.refused.saturating_add(other.refused);
        for (count, more) in self.steps.iter_mut().zip(&other.steps) {
            *count = count.saturating_add(*more);
        }
    }

    /// How long so many of a hundred answers took at most, to within three tenths.
    pub(crate) fn took(&self, percent: u32) -> Option<Duration> {
        let all: u64 = self.steps.iter().map(|count| u64::from(*count)).sum();
        let wanted = (all * u64::from(percent)).div_ceil(100).max(1);
        let mut passed = 0;
        for (count, bound) in self.steps.iter().zip(bounds()) {
            passed += u64::from(*count);
            if passed >= wanted {
                return Some(Duration::from_micros(bound));
            }
        }
        None
    }

    fn count(&mut self, took: Duration) {
        self.requests = self.requests.saturating_add(1);
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let step = bounds().take(STEPS - 1).take_while(|bound| micros > *bound).count();
        if let Some(count) = self.steps.get_mut(step) {
            *count = count.saturating_add(1);
        }
    }
}

/// The upper ends of the steps, in microseconds.
fn bounds() -> impl Iterator<Item = u64> {
    std::iter::successors(Some(FIRST_STEP_MICROS), |bound| Some(bound * 13 / 10)).take(STEPS)
}

/// All of it.
#[derive(Default)]
pub(crate) struct Observed {
    parties: Mutex<BTreeMap<String, Seen>>,
    slots: Mutex<VecDeque<Slot>>,
}

impl Observed {
    /// A party sent something.
    fn seen(&self, peer: &HopPeer, now: UnixTime) {
        let mut parties = lock(&self.parties);
        let seen = Seen { at: now, hop: Paper::of(peer.party()) };
        if let Some(known) = parties.get_mut(&peer.identity().to_string()) {
            *known = seen;
            return;
        }
        if parties.len() >= PARTIES_MAX
            && let Some(oldest) = parties.iter().min_by_key(|(_, seen)| seen.at).map(|(name, _)| name.clone())
        {
            parties.remove(&oldest);
        }
        parties.insert(peer.identity().to_string(), seen);
    }

    /// A request was answered after so long.
    fn answered(&self, took: Duration, now: UnixTime) {
        if let Some(slot) = self.slot(now).back_mut() {
            slot.count(took);
        }
    }

    /// Something was refused.
    pub(crate) fn refused(&self, now: UnixTime) {
        if let Some(slot) = self.slot(now).back_mut() {
            slot.refused = slot.refused.saturating_add(1);
        }
    }

    /// Who was here, by identity.
    pub(crate) fn parties(&self) -> BTreeMap<String, Seen> {
        lock(&self.parties).clone()
    }

    /// What was counted up to now, the oldest slot first. Slots in which nothing happened are missing.
    pub(crate) fn slots(&self) -> Vec<Slot> {
        lock(&self.slots).iter().cloned().collect()
    }

    /// The slots, the last of which is that of now.
    fn slot(&self, now: UnixTime) -> MutexGuard<'_, VecDeque<Slot>> {
        let from = now.as_secs() - now.as_secs() % SLOT_SECONDS;
        let mut slots = lock(&self.slots);
        // A clock that was set back goes on in the slot that there is.
        if slots.back().is_none_or(|last| last.from < from) {
            if slots.len() >= SLOTS_MAX {
                slots.pop_front();
            }
            slots.push_back(Slot::empty(from));
        }
        slots
    }
}

/// The layer around the routes for gateways. What streams for as long as it takes is no answer whose time says anything.
pub(crate) async fn observe(
    State((observed, clock)): State<(Arc<Observed>, Arc<dyn sealwort_net::Clock>)>,
    request: Request,
    next: Next,
) -> Response {
    if let Some(peer) = request.extensions().get::<HopPeer>() {
        observed.seen(peer, clock.now());
    }
    let path = request.uri().path();
    let timed = [AUTHENTICATE_PATH, CHANNEL_PATH, RELAY_PATH].iter().any(|counted| path.starts_with(counted));
    let begun = Instant::now();
    let response = next.run(request).await;
    if timed {
        observed.answered(begun.elapsed(), clock.now());
        // However deep inside of it.
        if was_refused() {
            observed.refused(clock.now());
        }
    }
    response
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use axum::Router;
    use axum::body::Body;
    use axum::middleware::from_fn_with_state;
    use axum::routing::get;
    use sealwort_net::config::TelemetryConfig;
    use sealwort_net::exchange::refuse;
    use sealwort_net::observe::{self as observation, Observation};
    use sealwort_net::traces::Name;
    use sealwort_net::{Clock, TestClock};
    use sealwort_proto::error::Fault;
    use sealwort_proto::message::Refusal;
    use tower::ServiceExt as _;

    use super::*;

    #[tokio::test]
    async fn what_is_refused_is_counted_once_wherever_it_is_refused() {
        let identity = "sealwort://test/broker/t".parse().unwrap();
        let scope = Observation::open(&identity, &TelemetryConfig::default(), Path::new("")).unwrap();
        let observed = Arc::new(Observed::default());
        let clock: Arc<dyn Clock> = Arc::new(TestClock::at(UnixTime::from_secs(100)));
        let away = || async { refuse(&Refusal::new(Fault::Broker, "peer-unreachable", "it is away", "wait")) };
        // Inside the channel: answered well, out of a task of its own.
        let inside = || async {
            let decided = tokio::spawn(observation::follow(async { observation::refused("consent-ended") }));
            decided.await.unwrap();
            observation::refused("consent-ended");
        };
        let router = Router::new()
            .route(RELAY_PATH, get(away))
            .route(CHANNEL_PATH, get(inside))
            .route(AUTHENTICATE_PATH, get(|| async {}))
            .layer(from_fn_with_state((Arc::clone(&observed), clock), observe));
        for (path, counted) in [(AUTHENTICATE_PATH, (1, 0)), (RELAY_PATH, (2, 1)), (CHANNEL_PATH, (3, 2))] {
            let request = Request::get(path).body(Body::empty()).unwrap();
            let asked = router.clone().oneshot(request);
            scope.within(Name::Session, |never| match *never {}, asked).await.unwrap();
            let slots = observed.slots();
            let slot = slots.last().unwrap();
            assert_eq!((slot.requests, slot.refused), counted, "{path}");
        }
    }

    #[test]
    fn slots_are_bounded_and_tell_how_long_answers_took() {
        let observed = Observed::default();
        for second in 0..2 * 360 * SLOT_SECONDS {
            let micros = if second % 10 == 9 { 50_000 } else { 1_000 };
            observed.answered(Duration::from_micros(micros), UnixTime::from_secs(second));
        }
        observed.refused(UnixTime::from_secs(3));
        let slots = observed.slots();
        assert_eq!((slots.len(), slots.last().unwrap().refused), (SLOTS_MAX, 1));
        let mut all = Slot::empty(0);
        for slot in &slots {
            all.add(slot);
        }
        assert_eq!(u64::from(all.requests), 360 * SLOT_SECONDS);
        let (median, most) = (all.took(50).unwrap(), all.took(95).unwrap());
        assert!((1_000..1_301).contains(&median.as_micros()), "{median:?}");
        assert!((50_000..65_001).contains(&most.as_micros()), "{most:?}");
        assert_eq!(Slot::empty(0).took(50), None);
        observed.answered(Duration::from_hours(1), UnixTime::from_secs(9000));
        assert!(observed.slots().last().unwrap().took(50).is_some());
    }
}
