//! The gateway's FHIR face from outside, against a running `sealwort demo`: opening patients that it has never
//! opened, beside verifying and decrypting the same records in memory; then reads by id from a patient held open,
//! beside a request of the same server that does nothing. Server and client share the machine.

mod demo;
mod in_memory;
mod load;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use sealwort_fhir::{logical_id, parse_any_bundle, synthetic};
use serde_json::json;

use crate::Thoroughness;
use crate::http_client::{Client, encode};
use crate::measure::{Failure, Samples, micros};
use crate::processes::Binary;
use crate::report::{Report, Row};
use demo::Demo;
use load::{Load, Target};

/// Seed of the patients.
const SEED: u64 = 1_000;
/// Resources of each patient.
const RESOURCES: usize = 1_000;
/// Patients opened cold in a full run.
const PATIENTS: usize = 20;
/// Rounds of the warm reads, and how long each takes in a round.
const ROUNDS: usize = 5;
const ROUND_FULL: Duration = Duration::from_secs(2);
const ROUND_QUICK: Duration = Duration::from_millis(400);
/// The request that does nothing.
const NOTHING: &str = "/livez";

/// Cold openings, in milliseconds.
#[derive(Default)]
struct Openings {
    written: Samples,
    at_author: Samples,
    at_reader: Samples,
    cpu: Samples,
    in_memory: Samples,
}

/// Measures and reports.
pub(crate) async fn run(
    thoroughness: Thoroughness,
    folder: &Path,
    binary: &Binary,
    report: &mut Report,
) -> Result<(), Failure> {
    let place = tempfile::tempdir_in(folder)?;
    let demo = Demo::start(binary, place.path()).await?;
    let mut openings = Openings::default();
    let mut paths = Vec::new();
    // Two runs before it counts: the first makes sessions and fills caches of code, not of patients.
    let patients = thoroughness.times(PATIENTS) + 2;
    for (index, number) in (0..).zip(0..patients) {
        let mut found = Openings::default();
        paths = open_cold(&demo, index, &mut found).await?;
        if number >= 2 {
            openings.append(found);
        }
    }
    openings.rows(patients - 2, report);
    warm(thoroughness, &demo, paths, report).await
}

/// Writes a new patient at hospital A and opens it at A and at B. Gives the paths of its resources.
async fn open_cold(demo: &Demo, index: u64, found: &mut Openings) -> Result<Vec<String>, Failure> {
    let bundle = Bytes::from(synthetic::bundle(SEED, index, RESOURCES));
    let mut author = Client::connect(demo.hospital_a.address, &demo.hospital_a.token).await?;
    let mut reader = Client::connect(demo.hospital_b.address, &demo.hospital_b.token).await?;
    let begun = Instant::now();
    author.post("/fhir", bundle.clone()).await?;
    found.written.push(millis(begun.elapsed()));

    let identifier = synthetic::identifier(SEED, index);
    let token = format!("{}|{}", identifier.system.as_deref().unwrap_or_default(), identifier.value);
    let grant = json!({"patient": token, "to": "hospital-b", "actions": ["read"], "purposes": ["TREAT"], "days": 1});
    author.post("/consent/grant", grant.to_string().into()).await?;

    let id = synthetic::patient_id(SEED, index);
    let before = demo.process.cpu()?;
    let begun = Instant::now();
    author.get(&format!("/fhir/Patient/{}", id.as_str())).await?;
    found.at_author.push(millis(begun.elapsed()));
    let begun = Instant::now();
    reader.get(&format!("/fhir/Patient?identifier={}", encode(&token))).await?;
    found.at_reader.push(millis(begun.elapsed()));
    // Two openings between the readings.
    found.cpu.push(millis(demo.process.cpu()?.saturating_sub(before)) / 2.0);

    let in_memory = tokio::task::spawn_blocking({
        let bundle = bundle.clone();
        move || in_memory::open_all(bundle)
    });
    found.in_memory.push(millis(in_memory.await??));

    let everything = reader.get(&format!("/fhir/Patient/{}/$everything", id.as_str())).await?;
    let held = parse_any_bundle(everything)?;
    let path = |entry: &sealwort_fhir::BundleEntry| {
        let kind = entry.resource.as_ref()?.resource_type();
        Some(format!("/fhir/{}/{}", kind.as_str(), logical_id(entry)?.as_str()))
    };
    let paths: Vec<String> = held.entries().iter().filter_map(path).collect();
    if paths.len() == RESOURCES {
        return Ok(paths);
    }
    Err(format!("hospital B read {} of {RESOURCES} resources", paths.len()).into())
}

impl Openings {
    fn append(&mut self, other: Self) {
        self.written.append(other.written);
        self.at_author.append(other.at_author);
        self.at_reader.append(other.at_reader);
        self.cpu.append(other.cpu);
        self.in_memory.append(other.in_memory);
    }

    fn rows(&self, patients: usize, report: &mut Report) {
        report.note(&format!(
            "gateway: {patients} new patients of {RESOURCES} resources, each written, opened at both hospitals and \
             opened in memory in turn; writing took {:.0} ms",
            self.written.median()
        ));
        let floor = "verify, decrypt and parse in memory, one core";
        let cells = [
            ("gateway.open_cold", "hospital B: find by identifier and open", self.at_reader.median()),
            ("gateway.open_cold.author", "hospital A: open by id", self.at_author.median()),
            ("gateway.open_cold.cpu", "CPU of gateway, broker and archive", self.cpu.median()),
        ];
        for (name, what, value) in cells {
            report.row(Row::new(name, what, value, "ms").against(floor, self.in_memory.median()));
        }
    }
}

/// Reads by id from one patient held open, at hospital B.
async fn warm(thoroughness: Thoroughness, demo: &Demo, paths: Vec<String>, report: &mut Report) -> Result<(), Failure> {
    let round = match thoroughness {
        Thoroughness::Full => ROUND_FULL,
        Thoroughness::Quick => ROUND_QUICK,
    };
    let target = |paths: Vec<String>| Target { hospital: demo.hospital_b.clone(), paths: Arc::new(paths) };
    let (reads, nothing) = (target(paths), target(vec![NOTHING.to_owned()]));
    for connections in [1, 16] {
        let (mut read, mut idle) = (Load::default(), Load::default());
        load::run(&reads, connections, ROUND_QUICK, &demo.process).await?;
        for _ in 0..ROUNDS {
            read.append(load::run(&reads, connections, round, &demo.process).await?);
            idle.append(load::run(&nothing, connections, round, &demo.process).await?);
        }
        report.note(&format!(
            "gateway.read_{connections}: {ROUNDS} rounds of {} s in turns with {NOTHING}",
            round.as_secs_f64()
        ));
        let row = |part: &str, what: &str, value, unit, reference| {
            Row::new(format!("gateway.read_{connections}.{part}"), format!("read by id, warm, {what}"), value, unit)
                .against("the same server, doing nothing", reference)
        };
        report.row(row("rate", "requests", read.rate.median(), "/s", idle.rate.median()));
        for (part, share) in [("p50", 0.5), ("p99", 0.99)] {
            report.row(row(part, "latency", read.latency.quantile(share), "µs", idle.latency.quantile(share)));
        }
        report.row(row("cpu", "server's CPU each", read.cpu.median(), "µs", idle.cpu.median()));
    }
    Ok(())
}

fn millis(duration: Duration) -> f64 {
    micros(duration) / 1e3
}
