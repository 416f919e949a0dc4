//! Time and statistics. CPU time of one thread is what the in-memory benchmarks measure, so that other work on
//! the machine is not counted; the cost of asking for it is measured at the start and taken off.

use std::hint::black_box;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// Why a measurement could not be made.
pub(crate) type Failure = Box<dyn std::error::Error + Send + Sync>;

/// Measures the CPU time of the calling thread.
pub(crate) struct CpuClock {
    /// What two readings cost by themselves.
    own: Duration,
}

/// Values of one kind, in whatever unit their owner uses.
#[derive(Debug, Clone, Default)]
pub(crate) struct Samples(Vec<f64>);

impl CpuClock {
    /// A clock that knows its own cost.
    pub(crate) fn calibrated() -> Self {
        let mut empty: Vec<Duration> = (0..CALIBRATIONS)
            .map(|_| {
                let begun = thread_cpu();
                thread_cpu().saturating_sub(begun)
            })
            .collect();
        empty.sort_unstable();
        Self { own: empty.get(CALIBRATIONS / 2).copied().unwrap_or_default() }
    }

    /// What was taken off each measurement.
    pub(crate) fn own_cost(&self) -> Duration {
        self.own
    }

    /// Does some work and adds its time to a total. What the work gives back is dropped by the caller, outside.
    pub(crate) fn add<T>(&self, total: &mut Duration, work: impl FnOnce() -> T) -> T {
        let begun = thread_cpu();
        let out = black_box(work());
        *total += thread_cpu().saturating_sub(begun).saturating_sub(self.own);
        out
    }

    /// Does some work and tells its time.
    pub(crate) fn time<T>(&self, work: impl FnOnce() -> T) -> (Duration, T) {
        let mut total = Duration::ZERO;
        let out = self.add(&mut total, work);
        (total, out)
    }
}

impl Samples {
    /// Takes a value.
    pub(crate) fn push(&mut self, value: f64) {
        self.0.push(value);
    }

    /// Takes a duration, in microseconds.
    pub(crate) fn push_micros(&mut self, duration: Duration) {
        self.push(micros(duration));
    }

    /// Takes everything that another run gathered.
    pub(crate) fn append(&mut self, mut other: Self) {
        self.0.append(&mut other.0);
    }

    /// The value in the middle; not a number where there is none.
    pub(crate) fn median(&self) -> f64 {
        self.quantile(0.5)
    }

    /// The value below which this share of all values lies.
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a place among fewer than 2^52 values, between 0 and their number"
    )]
    pub(crate) fn quantile(&self, share: f64) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        let place = (sorted.len().saturating_sub(1) as f64 * share).round() as usize;
        sorted.get(place).copied().unwrap_or(f64::NAN)
    }
}

/// Microseconds with their fractions.
pub(crate) fn micros(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}

/// A count as a factor.
#[expect(clippy::cast_precision_loss, reason = "counts here are far below 2^52")]
pub(crate) fn factor(count: u64) -> f64 {
    count as f64
}

fn thread_cpu() -> Duration {
    let now = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(now.tv_sec.try_into().unwrap_or_default(), now.tv_nsec.try_into().unwrap_or_default())
}

const CALIBRATIONS: usize = 2001;

#[cfg(test)]
mod tests {
    #![allow(clippy::float_cmp)]
    use super::*;

    #[test]
    fn quantiles_are_values_that_occurred() {
        let samples = Samples([5.0, 1.0, 4.0, 2.0, 3.0].to_vec());
        let cases = [(0.0, 1.0), (0.5, 3.0), (0.99, 5.0), (1.0, 5.0)];
        for (share, expected) in cases {
            assert_eq!(samples.quantile(share), expected, "{share}");
        }
        assert!(Samples::default().median().is_nan());
    }

    #[test]
    fn waiting_costs_no_cpu_time_and_work_does() {
        let clock = CpuClock::calibrated();
        let (waiting, ()) = clock.time(|| std::thread::sleep(Duration::from_millis(30)));
        let (working, _) = clock.time(|| (0..2_000_000u64).fold(0, |sum, n| black_box(sum ^ n)));
        assert!(waiting < Duration::from_millis(10), "{waiting:?}");
        assert!(working > Duration::from_micros(100), "{working:?}");
    }
}
