//! What the operating system says about this process: memory, open files, processor time. On Linux alone; elsewhere these
//! metrics are absent.

use std::fs;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric as _};
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;

/// Reads `/proc/self` at each scrape.
#[derive(Debug)]
pub(super) struct Process;

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder) -> Result<(), std::fmt::Error> {
        if let Some(bytes) = resident() {
            let gauge = ConstGauge::new(bytes);
            let help = "Memory of this process that is resident";
            let metric =
                encoder.encode_descriptor("process_resident_memory", help, Some(&Unit::Bytes), gauge.metric_type())?;
            gauge.encode(metric)?;
        }
        if let Some(count) = open_files() {
            let gauge = ConstGauge::new(count);
            let metric =
                encoder.encode_descriptor("process_open_fds", "Open files and sockets", None, gauge.metric_type())?;
            gauge.encode(metric)?;
        }
        if let Some(seconds) = processor_seconds() {
            let counter = ConstCounter::new(seconds);
            let help = "Processor time of this process";
            let metric = encoder.encode_descriptor("process_cpu", help, Some(&Unit::Seconds), counter.metric_type())?;
            counter.encode(metric)?;
        }
        Ok(())
    }
}

fn resident() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

fn open_files() -> Option<u64> {
    // One of them is that of looking.
    fs::read_dir("/proc/self/fd").ok().map(|files| files.count().saturating_sub(1) as u64)
}

fn processor_seconds() -> Option<f64> {
    seconds_of(&fs::read_to_string("/proc/self/stat").ok()?)
}

fn seconds_of(stat: &str) -> Option<f64> {
    // After the name, which may hold anything: state is the third field, user and system time are the 14th and 15th.
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_ascii_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    #[expect(clippy::cast_precision_loss, reason = "exact for some million years of work")]
    Some(user.saturating_add(system) as f64 / TICKS_PER_SECOND)
}

/// What Linux counts in towards programs, on every architecture (`USER_HZ`).
const TICKS_PER_SECOND: f64 = 100.0;

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn the_system_tells() {
        assert!(resident().is_some_and(|bytes| bytes > 1024 * 1024));
        assert!(open_files().is_some_and(|count| count > 2));
        let of_a_year = "7 (a (b) c) S 1 7 7 0 -1 4194560 5 0 0 0 4294967296 100 0 0 20 0 9 0 42 0 0";
        assert_eq!(seconds_of(of_a_year), Some(42_949_673.96));
        assert!(processor_seconds().is_some_and(|seconds| (0.0..1e6).contains(&seconds)));
    }
}
