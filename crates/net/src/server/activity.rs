//! What happens on one connection, seen from outside hyper: how many requests are in flight, and
//! over HTTP/1 whether the response waits for a peer that does not read. From it follows when the
//! connection has been silent or stalled for too long.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;
use tokio::time::Instant;

use super::Limits;
use super::stall::Stall;

/// The activity of one connection.
#[derive(Debug)]
pub(super) struct Activity {
    state: Mutex<State>,
    /// The number of requests in flight left zero.
    woken: Notify,
    /// HTTP/1 has one response at a time; HTTP/2 streams have stalls of their own.
    stall: Arc<Stall>,
}

#[derive(Debug)]
struct State {
    in_flight: usize,
    any_request: bool,
    changed: Instant,
}

/// One request in flight; it ends when this is dropped.
#[derive(Debug)]
pub(super) struct InFlight {
    activity: Arc<Activity>,
    stall: Arc<Stall>,
}

/// Why a connection is to be closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Silence {
    /// No request came after the connection was made.
    NoRequest,
    /// No request came for a long time.
    Idle,
    /// The peer does not read its response.
    NotReading,
}

impl Activity {
    pub(super) fn new() -> Arc<Self> {
        Arc::new(Self {
            state: Mutex::new(State { in_flight: 0, any_request: false, changed: Instant::now() }),
            woken: Notify::new(),
            stall: Arc::default(),
        })
    }

    /// A request begins.
    pub(super) fn begin(self: &Arc<Self>) -> InFlight {
        let mut state = self.state();
        state.in_flight += 1;
        state.any_request = true;
        state.changed = Instant::now();
        if state.in_flight == 1 {
            self.woken.notify_one();
        }
        InFlight { activity: Arc::clone(self), stall: Arc::clone(&self.stall) }
    }

    /// Whether no request is in flight.
    pub(super) fn is_idle(&self) -> bool {
        self.state().in_flight == 0
    }

    /// Resolves when the connection has been silent or stalled for too long.
    pub(super) async fn silence(&self, limits: &Limits) -> Silence {
        loop {
            match self.look(limits, Instant::now()) {
                Err(silence) => return silence,
                Ok(again) => {
                    tokio::select! {
                        () = tokio::time::sleep_until(again) => {}
                        () = self.woken.notified() => {}
                    }
                }
            }
        }
    }

    /// When to look again, or why not to.
    fn look(&self, limits: &Limits, now: Instant) -> Result<Instant, Silence> {
        let state = self.state();
        if state.in_flight == 0 {
            let (patience, silence) = if state.any_request {
                (limits.idle_timeout, Silence::Idle)
            } else {
                (limits.header_timeout, Silence::NoRequest)
            };
            let end = state.changed + patience;
            return if now >= end { Err(silence) } else { Ok(end) };
        }
        if self.stall.exceeds(limits.body_timeout, now) {
            return Err(Silence::NotReading);
        }
        Ok(now + Stall::look_every(limits.body_timeout))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl InFlight {
    /// Over HTTP/2, the response's own stall takes the place of the connection's.
    pub(super) fn on_stream(&mut self, stall: Arc<Stall>) {
        self.stall = stall;
    }

    /// A piece of the response was handed over and waits for the peer.
    pub(super) fn waits_for_peer(&self) {
        self.stall.begin();
    }

    /// The peer took the last piece.
    pub(super) fn waits_for_handler(&self) {
        self.stall.end();
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.stall.end();
        let mut state = self.activity.state();
        state.in_flight -= 1;
        state.changed = Instant::now();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn limits() -> Limits {
        Limits {
            header_timeout: Duration::from_secs(1),
            idle_timeout: Duration::from_secs(5),
            body_timeout: Duration::from_secs(2),
            ..Limits::default()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_without_a_request_ends_after_the_header_timeout() {
        let start = Instant::now();
        let activity = Activity::new();
        assert_eq!(activity.silence(&limits()).await, Silence::NoRequest);
        assert_eq!(start.elapsed().as_secs(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_quiet_connection_ends_after_the_idle_timeout() {
        let activity = Activity::new();
        drop(activity.begin());
        let start = Instant::now();
        assert_eq!(activity.silence(&limits()).await, Silence::Idle);
        assert_eq!(start.elapsed().as_secs(), 5);
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_handler_is_not_the_peers_fault() {
        let activity = Activity::new();
        let request = activity.begin();
        request.waits_for_peer();
        request.waits_for_handler();
        let limits = limits();
        let waited = tokio::time::timeout(Duration::from_secs(100), activity.silence(&limits)).await;
        assert!(waited.is_err());
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_does_not_read_is_found() {
        let activity = Activity::new();
        let request = activity.begin();
        let start = Instant::now();
        request.waits_for_peer();
        assert_eq!(activity.silence(&limits()).await, Silence::NotReading);
        assert!(start.elapsed() < Duration::from_secs(3));
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_begins_while_we_sleep_is_watched() {
        let activity = Activity::new();
        let held = Arc::clone(&activity);
        let limits = limits();
        let (silence, ()) = tokio::join!(activity.silence(&limits), async move {
            tokio::time::sleep(Duration::from_millis(900)).await;
            let request = held.begin();
            request.waits_for_peer();
            tokio::time::sleep(Duration::from_secs(4)).await;
        });
        assert_eq!(silence, Silence::NotReading);
    }
}
