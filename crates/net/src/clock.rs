//! The clock. The pure crates are given `now`; services take it from here, and tests set it.
//! It measures wall time only: timeouts use the runtime's monotonic timer.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use sealwort_pki::UnixTime;

/// Tells the wall time.
pub trait Clock: fmt::Debug + Send + Sync + 'static {
    /// Milliseconds since 1970-01-01T00:00:00Z, leap seconds not counted.
    fn now_millis(&self) -> u64;

    /// Whole seconds since 1970-01-01T00:00:00Z.
    fn now(&self) -> UnixTime {
        UnixTime::from_secs(self.now_millis() / MILLIS_PER_SECOND)
    }
}

/// The computer's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now_millis(&self) -> u64 {
        // A clock set before 1970 reads as 1970: every certificate is then not yet valid, which
        // is the safe answer.
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }
}

/// A clock that tests set. Clones show the same time.
#[derive(Debug, Clone)]
pub struct TestClock {
    millis: Arc<AtomicU64>,
}

impl TestClock {
    /// A clock that stands still at `now`.
    pub fn at(now: UnixTime) -> Self {
        Self { millis: Arc::new(AtomicU64::new(now.as_secs() * MILLIS_PER_SECOND)) }
    }

    /// Sets the time.
    pub fn set(&self, now: UnixTime) {
        self.millis.store(now.as_secs() * MILLIS_PER_SECOND, Ordering::SeqCst);
    }

    /// Moves the time forward.
    pub fn advance(&self, by: Duration) {
        let millis = u64::try_from(by.as_millis()).unwrap_or(u64::MAX);
        self.millis.fetch_add(millis, Ordering::SeqCst);
    }
}

impl Clock for TestClock {
    fn now_millis(&self) -> u64 {
        self.millis.load(Ordering::SeqCst)
    }
}

const MILLIS_PER_SECOND: u64 = 1000;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn clones_of_a_test_clock_show_the_same_time() {
        let clock = TestClock::at(UnixTime::from_secs(1000));
        let other = clock.clone();
        clock.advance(Duration::from_millis(2500));
        assert_eq!(other.now(), UnixTime::from_secs(1002));
        assert_eq!(other.now_millis(), 1_002_500);
    }

    #[test]
    fn the_system_clock_is_past_2020() {
        assert!(SystemClock.now() > UnixTime::from_secs(1_577_836_800));
    }
}
