//! The nine steps in memory, party by party: once with fresh steps 6 and 7, once over a live session between
//! broker and archive. Beside them, in turns, the primitive operations that they cannot do without, and the
//! paper's own construction. Certificates are cached, as they are in service; there is no network.

mod paper;
mod primitives;
mod steps;

use sealwort_proto::operations::OperationCounts;

use crate::Thoroughness;
use crate::measure::{CpuClock, Failure, Samples, micros};
use crate::report::{Aim, Report, Row};
use paper::Paper;
use primitives::Primitives;
use steps::{Lengths, Parties, Times};

/// Rounds of a full run.
const ROUNDS: usize = 500;
/// Rounds before measuring, so that caches are warm and certificates known.
const WARM_UP_ROUNDS: usize = 20;
/// The quantile at which a busy machine shows least.
const LOW: f64 = 0.1;

/// Times of one construction, party by party.
#[derive(Default)]
struct PartySamples {
    gateway: Samples,
    broker: Samples,
    archive: Samples,
    total: Samples,
}

impl PartySamples {
    fn push(&mut self, times: &Times) {
        self.gateway.push_micros(times.gateway);
        self.broker.push_micros(times.broker);
        self.archive.push_micros(times.archive);
        self.total.push_micros(times.gateway + times.broker + times.archive);
    }

    fn of(&self, party: Party) -> &Samples {
        match party {
            Party::Gateway => &self.gateway,
            Party::Broker => &self.broker,
            Party::Archive => &self.archive,
        }
    }
}

/// Whose share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Party {
    Gateway,
    Broker,
    Archive,
}

impl Party {
    const ALL: [Self; 3] = [Self::Gateway, Self::Broker, Self::Archive];

    const fn name(self) -> &'static str {
        match self {
            Self::Gateway => "gateway",
            Self::Broker => "broker",
            Self::Archive => "archive",
        }
    }
}

/// Whether a run makes a new session between broker and archive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Link {
    Fresh,
    Live,
}

/// What one run makes each party do.
struct Work {
    operations: [(Party, OperationCounts); 3],
    lengths: Lengths,
}

/// Measures and reports.
pub(crate) fn run(thoroughness: Thoroughness, report: &mut Report) -> Result<(), Failure> {
    let clock = CpuClock::calibrated();
    let parties = Parties::new();
    let mut paper = Paper::new()?;
    let mut primitives = Primitives::new()?;
    let live = parties.link()?;

    for _ in 0..WARM_UP_ROUNDS {
        parties.establish(&clock, Some(&live))?;
        parties.establish(&clock, None)?;
    }
    let fresh_work = work(&parties, || parties.establish(&clock, None).map(|run| run.lengths))?;
    let live_work = work(&parties, || parties.establish(&clock, Some(&live)).map(|run| run.lengths))?;

    let (mut fresh, mut reused, mut old) = (PartySamples::default(), PartySamples::default(), PartySamples::default());
    let rounds = thoroughness.times(ROUNDS);
    for _ in 0..rounds {
        fresh.push(&parties.establish(&clock, None)?.times);
        primitives.round(&clock)?;
        reused.push(&parties.establish(&clock, Some(&live))?.times);
        old.push(&paper.establish(&clock)?);
        paper.round(&clock)?;
    }

    report.note(&format!(
        "establishment: {rounds} rounds in turns, CPU time of one thread, {:.2} µs of clock taken off each piece",
        micros(clock.own_cost())
    ));
    report.note(&format!("primitive operations, medians: {}, {}", primitives.told(), paper.told()));
    for (kind, work, samples) in [(Link::Fresh, &fresh_work, &fresh), (Link::Live, &live_work, &reused)] {
        against_primitives(kind, work, samples, &primitives, report);
    }
    let rate = |samples: &Samples| 1e6 / samples.median();
    report.row(
        Row::new("establishment.broker_rate", "broker's share, steps 6–7 each time", rate(&fresh.broker), "/s/core")
            .against("paper's broker, RSA-2048", rate(&old.broker))
            .aim(Aim::AtLeast(3000.0)),
    );
    report.row(
        Row::new("establishment.broker_rate_live", "broker's share, T–M session live", rate(&reused.broker), "/s/core")
            .against("paper's broker, RSA-2048", rate(&old.broker))
            .aim(Aim::AtLeast(3000.0)),
    );
    report.row(
        Row::new("establishment.paper", "all three parties, one core", rate(&fresh.total), "/s/core")
            .against("paper's construction, RSA-2048 OAEP", rate(&old.total))
            .aim(Aim::RatioAtLeast(4.0)),
    );
    report.row(
        Row::new("establishment.paper_live", "the same, T–M session live", rate(&reused.total), "/s/core")
            .against("paper's construction, RSA-2048 OAEP", rate(&old.total)),
    );
    Ok(())
}

/// The operations of one run, by the parties' own counters.
fn work(parties: &Parties, once: impl FnOnce() -> Result<Lengths, Failure>) -> Result<Work, Failure> {
    let before = Party::ALL.map(|party| parties.counts(party));
    let lengths = once()?;
    let [gateway, broker, archive] = before;
    let since = |party, earlier: &OperationCounts| (party, parties.counts(party).since(earlier));
    let operations = [since(Party::Gateway, &gateway), since(Party::Broker, &broker), since(Party::Archive, &archive)];
    Ok(Work { operations, lengths })
}

fn against_primitives(kind: Link, work: &Work, samples: &PartySamples, primitives: &Primitives, report: &mut Report) {
    let (suffix, what) = match kind {
        Link::Fresh => ("", "its share, steps 6–7 included"),
        Link::Live => ("_live", "its share, T–M session live"),
    };
    let (mut measured, mut floor, mut low_measured, mut low_floor) = (0.0, 0.0, 0.0, 0.0);
    for (party, counts) in &work.operations {
        let hashed = work.lengths.hashed_by(*party, kind);
        let at = |share| (samples.of(*party).quantile(share), primitives.sum(counts, hashed, share));
        let ((time, sum), (low_time, low_sum)) = (at(0.5), at(LOW));
        (measured, floor) = (measured + time, floor + sum);
        (low_measured, low_floor) = (low_measured + low_time, low_floor + low_sum);
        report.row(
            Row::new(format!("establishment.{}{suffix}", party.name()), what, time, "µs")
                .against("its primitive operations", sum),
        );
        let counted: Vec<String> =
            counts.named().into_iter().filter(|(_, n)| *n > 0).map(|(name, n)| format!("{name} {n}")).collect();
        report.note(&format!("establishment.{}{suffix} counted: {}", party.name(), counted.join(", ")));
    }
    report.row(
        Row::new(format!("establishment.all{suffix}"), "sum of the three", measured, "µs")
            .against("sum of their primitives", floor)
            .aim(Aim::RatioAtMost(1.3)),
    );
    report.note(&format!(
        "establishment.all{suffix}: {} bytes of messages; at the lowest tenth, which other work on the machine \
         disturbs least, {low_measured:.0} µs by {low_floor:.0} µs: ratio {:.2}",
        work.lengths.total(kind),
        low_measured / low_floor
    ));
}
