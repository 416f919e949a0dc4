//! What showing a resource costs: `id` and `meta` set in the bytes as they were received, beside `serde_json` reading them.

use std::hint::black_box;
use std::time::Duration;

use bytes::Bytes;
use sealwort_fhir::{Resource, ResourceId, VersionId, parse_bundle, present, synthetic};
use time::OffsetDateTime;

use crate::Thoroughness;
use crate::measure::{CpuClock, Failure, Samples};
use crate::report::{Aim, Report, Row};

const RESOURCES: usize = 1_000;
const ROUNDS: usize = 100;

/// Measures and reports.
pub(crate) fn run(thoroughness: Thoroughness, report: &mut Report) -> Result<(), Failure> {
    let bundle = parse_bundle(Bytes::from(synthetic::bundle(1, 0, RESOURCES)))?;
    let resources: Vec<Resource> = bundle.resources().map(|(_, resource)| resource.clone()).collect();
    let id: ResourceId = "x-1".parse()?;
    let (clock, rounds) = (CpuClock::calibrated(), thoroughness.times(ROUNDS));
    let (mut showing, mut parsing) = (Samples::default(), Samples::default());
    for _ in 0..rounds {
        let (mut shown, mut parsed) = (Duration::ZERO, Duration::ZERO);
        for resource in &resources {
            clock.add(&mut shown, || {
                present(black_box(resource), &id, VersionId::FIRST, OffsetDateTime::UNIX_EPOCH).bytes().len()
            });
            clock.add(&mut parsed, || black_box(resource).json()).as_ref().map_err(ToString::to_string)?;
        }
        showing.push_micros(shown);
        parsing.push_micros(parsed);
    }
    report.note(&format!("showing: {rounds} rounds of {} resources in turns", resources.len()));
    report.row(
        Row::new("showing.resources", "1,000 resources shown", showing.median(), "µs")
            .against("read by serde_json", parsing.median())
            .aim(Aim::RatioAtMost(0.25)),
    );
    Ok(())
}
