//! Waiting between attempts to reach a peer: exponential, with full jitter so that a hundred
//! gateways do not come back in the same instant. It sleeps for nobody: it says how long.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;

/// How long to wait before the next attempt.
#[derive(Debug, Clone)]
pub struct Backoff {
    first: Duration,
    most: Duration,
    attempt: u32,
}

impl Backoff {
    /// Waits of at most `first`, then twice that, up to `most`.
    pub fn new(first: Duration, most: Duration) -> Self {
        Self { first, most, attempt: 0 }
    }

    /// The next wait: between half and the whole of the current bound, never more than the most.
    pub fn next_wait(&mut self) -> Duration {
        let factor = 1u32.checked_shl(self.attempt.min(DOUBLINGS_MAX)).unwrap_or(u32::MAX);
        self.attempt = self.attempt.saturating_add(1);
        let bound = self.first.saturating_mul(factor).min(self.most);
        let half = bound / 2;
        half + half.mul_f64(fraction())
    }

    /// How many waits were handed out since the last success.
    pub fn attempts(&self) -> u32 {
        self.attempt
    }

    /// To be called after a success.
    pub fn reset(&mut self) {
        self.attempt = 0;
    }
}

impl Default for Backoff {
    /// From 100 milliseconds to 10 seconds.
    fn default() -> Self {
        Self::new(FIRST_WAIT, LONGEST_WAIT)
    }
}

/// A number in [0, 1) that differs from process to process and call to call. Jitter needs no
/// cryptographic randomness; the standard library's hash keys are enough.
fn fraction() -> f64 {
    let bits = RandomState::new().build_hasher().finish() >> (u64::BITS - FRACTION_BITS);
    #[expect(clippy::cast_precision_loss, reason = "32 bits fit a double exactly")]
    let numerator = bits as f64;
    numerator / 4_294_967_296.0
}

const FRACTION_BITS: u32 = 32;
const DOUBLINGS_MAX: u32 = 20;
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_to_the_bound_and_start_again_after_a_success() {
        let mut backoff = Backoff::new(Duration::from_millis(100), Duration::from_secs(1));
        let bounds = [100, 200, 400, 800, 1000, 1000];
        for bound in bounds {
            let wait = backoff.next_wait();
            assert!(wait <= Duration::from_millis(bound), "{wait:?} over {bound}");
            assert!(wait >= Duration::from_millis(bound / 2), "{wait:?} under half of {bound}");
        }
        assert_eq!(backoff.attempts(), 6);
        backoff.reset();
        assert!(backoff.next_wait() <= Duration::from_millis(100));
    }

    #[test]
    fn many_attempts_do_not_overflow() {
        let mut backoff = Backoff::default();
        for _ in 0..100 {
            assert!(backoff.next_wait() <= LONGEST_WAIT);
        }
    }
}
