//! Cheap before expensive: a broker is flooded while a good hospital reads. The processes are real, and so is TLS;
//! the flood comes at fixed rates, so that it measures the broker and not how quickly this program can use up the
//! machine that it shares with it. Quiet and flooded phases take turns.

mod attack;
mod good;
mod operations;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

use crate::Thoroughness;
use crate::exchange::Exchange;
use crate::measure::{Failure, Samples, factor, micros};
use crate::processes::{Binary, Memory};
use crate::report::{Aim, Report, Row};
use attack::{Attackers, Class, Sent};
use good::{Good, Reads};

/// Rounds of a full run: in each, every class has its turn, after a quiet phase.
const ROUNDS: usize = 9;
/// Phases.
const PHASE_FULL: Duration = Duration::from_secs(3);
const PHASE_QUICK: Duration = Duration::from_secs(1);
/// Time for what a phase began to end before the next one.
const SETTLE: Duration = Duration::from_millis(200);
/// The aim: a good hospital's p99 under flood by its quiet one.
const RATIO_AIM: f64 = 2.0;

/// Floods without anybody who reads, for what the broker does: this many phases long.
const ALONE_PHASES: u32 = 2;

/// One phase.
struct Phase {
    reads: Reads,
    sent: Sent,
    own_cpu: Duration,
    took: Duration,
}

/// A flood without anybody who reads: what it cost in all.
struct Alone {
    sent: Sent,
    broker_cpu: Duration,
    archive_cpu: Duration,
}

/// The phases of one class, each with the quiet one before it.
#[derive(Default)]
struct Rounds {
    quiet: Figures,
    flooded: Figures,
    /// p99 under flood by the p99 of the quiet phase before it.
    ratio: Samples,
    sent: Sent,
    own_cpu: Duration,
    took: Duration,
}

/// One value a phase.
#[derive(Default)]
struct Figures {
    p50: Samples,
    p99: Samples,
    connect: Samples,
    reads: u64,
    failed: u64,
    unconnected: u64,
}

/// Measures and reports. `scale` multiplies all rates.
pub(crate) async fn run(
    thoroughness: Thoroughness,
    folder: &Path,
    binary: &Binary,
    scale: f64,
    report: &mut Report,
) -> Result<(), Failure> {
    let place = tempfile::tempdir_in(folder)?;
    let exchange = Exchange::start(binary, place.path()).await?;
    let good = Good::start(&exchange, binary).await?;
    let attackers = Arc::new(Attackers::join(&exchange, binary).await?);
    let phase = if thoroughness == Thoroughness::Full { PHASE_FULL } else { PHASE_QUICK };
    // Sessions are made and caches filled before it counts.
    measure(&good, &attackers, None, scale, phase).await?;
    let before = exchange.broker.memory()?;

    let mut found: Vec<(Class, Rounds)> = Class::ALL.map(|class| (class, Rounds::default())).into();
    for _ in 0..thoroughness.times(ROUNDS) {
        for (class, rounds) in &mut found {
            let quiet = measure(&good, &attackers, None, scale, phase).await?;
            let flooded = measure(&good, &attackers, Some(*class), scale, phase).await?;
            rounds.take(&quiet, &flooded);
        }
    }
    let after = exchange.broker.memory()?;
    for (class, rounds) in &found {
        let alone = alone(&exchange, &attackers, *class, scale, phase).await?;
        rounds.rows(*class, scale, &alone, report);
    }
    memory_rows(before, after, report);
    operations::note(report);
    Ok(())
}

/// A flood of one class with nobody else there.
async fn alone(
    exchange: &Exchange,
    attackers: &Arc<Attackers>,
    class: Class,
    scale: f64,
    phase: Duration,
) -> Result<Alone, Failure> {
    tokio::time::sleep(SETTLE).await;
    let (broker, archive) = (exchange.broker.cpu()?, exchange.archive.cpu()?);
    let sent = attackers.flood(class, scale, phase * ALONE_PHASES).await;
    Ok(Alone {
        sent,
        broker_cpu: exchange.broker.cpu()?.saturating_sub(broker),
        archive_cpu: exchange.archive.cpu()?.saturating_sub(archive),
    })
}

async fn measure(
    good: &Good,
    attackers: &Arc<Attackers>,
    class: Option<Class>,
    scale: f64,
    phase: Duration,
) -> Result<Phase, Failure> {
    tokio::time::sleep(SETTLE).await;
    let begun = Instant::now();
    let own = own_cpu();
    let reading = good.read_for(phase);
    let sent = if let Some(class) = class {
        attackers.flood(class, scale, phase).await
    } else {
        tokio::time::sleep(phase).await;
        Sent::default()
    };
    let reads = reading.await??;
    Ok(Phase { reads, sent, own_cpu: own_cpu().saturating_sub(own), took: begun.elapsed() })
}

impl Rounds {
    fn take(&mut self, quiet: &Phase, flooded: &Phase) {
        self.ratio.push(flooded.reads.latency.quantile(0.99) / quiet.reads.latency.quantile(0.99));
        self.quiet.take(&quiet.reads);
        self.flooded.take(&flooded.reads);
        self.sent.add(&flooded.sent);
        self.own_cpu += flooded.own_cpu;
        self.took += flooded.took;
    }

    fn rows(&self, class: Class, scale: f64, alone: &Alone, report: &mut Report) {
        let (name, sent) = (class.name(), &self.sent);
        let seconds = self.took.as_secs_f64();
        let per_bad = |cpu: Duration| micros(cpu) / factor(alone.sent.bad.max(1));
        report.note(&format!(
            "flood.{name}: {:.0} {} a second offered, {:.0} achieved ({} of {} skipped, because {} were in flight); \
             answers: {}; {} good reads of {} failed; CPU: this program {:.0} % of one core",
            class.rate() * scale,
            class.unit(),
            factor(sent.bad) / seconds,
            sent.skipped,
            sent.bad + sent.skipped,
            class.in_flight_max(),
            sent.answers(),
            self.flooded.failed,
            self.flooded.reads + self.flooded.failed,
            100.0 * self.own_cpu.as_secs_f64() / seconds,
        ));
        let row = |part: &str, what: &str, measured: f64, unit| {
            Row::new(format!("flood.{name}.{part}"), what, measured, unit)
        };
        let millis = |samples: &Samples| samples.median() / 1e3;
        report.row(row("p50", "good read", millis(&self.flooded.p50), "ms").against("quiet", millis(&self.quiet.p50)));
        report.row(
            row("p99", "good read", millis(&self.flooded.p99), "ms")
                .against("quiet", millis(&self.quiet.p99))
                .aim(Aim::RatioAtMost(RATIO_AIM)),
        );
        report.row(row("p99.pairs", "p99 by that of the quiet phase before it, median", self.ratio.median(), ""));
        report.row(
            row("connect", "good new session: TLS and nine steps, median", millis(&self.flooded.connect), "ms")
                .against("quiet", millis(&self.quiet.connect)),
        );
        report.row(row("failed", "good reads that failed", factor(self.flooded.failed), "").aim(Aim::AtMost(0.0)));
        let unconnected = factor(self.flooded.unconnected);
        report.row(row("unconnected", "good new sessions that failed", unconnected, "").aim(Aim::AtMost(0.0)));
        report.row(row(
            "broker",
            &format!("broker's CPU for each of {}", class.unit()),
            per_bad(alone.broker_cpu),
            "µs",
        ));
        report.row(row("archive", "archive's CPU for the same", per_bad(alone.archive_cpu), "µs"));
    }
}

impl Figures {
    fn take(&mut self, reads: &Reads) {
        self.p50.push(reads.latency.median());
        self.p99.push(reads.latency.quantile(0.99));
        self.connect.append(reads.connect.clone());
        self.reads += reads.done;
        self.failed += reads.failed;
        self.unconnected += reads.unconnected;
    }
}

fn memory_rows(before: Memory, after: Memory, report: &mut Report) {
    let mib = |kib: u64| factor(kib) / 1024.0;
    report.row(
        Row::new("flood.memory", "broker, resident after all floods", mib(after.resident), "MiB")
            .against("before", mib(before.resident)),
    );
    report.row(
        Row::new("flood.memory.peak", "most that was ever resident", mib(after.peak), "MiB")
            .against("before", mib(before.peak)),
    );
}

/// CPU time of this program so far.
fn own_cpu() -> Duration {
    let now = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(now.tv_sec.try_into().unwrap_or_default(), now.tv_nsec.try_into().unwrap_or_default())
}
