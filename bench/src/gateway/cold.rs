//! Opening patients that the gateway has never opened, beside decompressing and parsing the same resources, and beside
//! opening the same sealed entries in memory. Every patient is new: hospital A writes it and grants hospital B to read.

use std::time::{Duration, Instant};

use bytes::Bytes;
use sealwort_fhir::{logical_id, parse_any_bundle, parse_bundle, synthetic};
use serde_json::json;

use super::hospital::Hospital;
use super::{in_memory, millis};
use crate::Thoroughness;
use crate::exchange::Exchange;
use crate::http_client::encode;
use crate::measure::{Failure, Samples, factor};
use crate::report::{Aim, Report, Row};

/// A size of patient, and how many of it are opened.
struct Size {
    resources: usize,
    full: u64,
    quick: u64,
}

/// There are more of the small ones, so that their memory is more than noise.
const SIZES: [Size; 3] = [
    Size { resources: 100, full: 100, quick: 10 },
    Size { resources: 1_000, full: 20, quick: 4 },
    Size { resources: 10_000, full: 6, quick: 2 },
];
/// Seed of the patients; each size has its own, counted on from here.
const SEED: u64 = 1_000;
/// Openings of the first size that do not count: they make sessions and fill caches of code, not of patients.
const WARM_UP: u64 = 2;
/// The aim: opening by decompressing and parsing.
const RATIO_AIM: f64 = 3.0;

/// A patient of hospital A that hospital B may read.
pub(super) struct Patient {
    pub(super) resources: usize,
    /// Id of the Patient resource.
    pub(super) id: String,
    /// Its identifier, `system|value`.
    pub(super) token: String,
    /// Bytes of its resources as they were written.
    pub(super) json_bytes: u64,
    /// Paths of its resources.
    pub(super) paths: Vec<String>,
}

/// Openings of one size, in milliseconds.
#[derive(Default)]
struct Openings {
    written: Samples,
    opened: Samples,
    parsed: Samples,
    in_memory: Samples,
    /// Parts of it.
    verify: Samples,
    decrypt: Samples,
    read: Samples,
    count: u64,
    /// CPU time of the reading gateway, in all: one opening may be shorter than a tick.
    gateway: Duration,
    /// CPU time of broker and archive, likewise.
    outside: Duration,
}

/// The processes that take part.
pub(super) struct Parties<'a> {
    pub(super) exchange: &'a Exchange,
    pub(super) author: &'a Hospital,
    pub(super) reader: &'a Hospital,
}

/// Measures and reports. Gives the patients, the smallest first.
pub(super) async fn run(
    thoroughness: Thoroughness,
    parties: &Parties<'_>,
    report: &mut Report,
) -> Result<Vec<Patient>, Failure> {
    let mut patients = Vec::new();
    for (seed, size) in (SEED..).zip(&SIZES) {
        let counted = if thoroughness == Thoroughness::Full { size.full } else { size.quick };
        let warm_up = if seed == SEED { WARM_UP } else { 0 };
        let mut openings = Openings::default();
        for index in 0..counted + warm_up {
            let mut uncounted = Openings::default();
            let found = if index < warm_up { &mut uncounted } else { &mut openings };
            patients.push(open(parties, seed, index, size.resources, found).await?);
        }
        openings.rows(size.resources, report);
    }
    Ok(patients)
}

/// Writes a new patient at hospital A, opens it at B, and does the same work in memory.
async fn open(
    parties: &Parties<'_>,
    seed: u64,
    index: u64,
    resources: usize,
    found: &mut Openings,
) -> Result<Patient, Failure> {
    let bundle = Bytes::from(synthetic::bundle(seed, index, resources));
    let mut author = parties.author.connect().await?;
    let begun = Instant::now();
    author.post("/fhir", bundle.clone()).await?;
    found.written.push(millis(begun.elapsed()));

    let identifier = synthetic::identifier(seed, index);
    let token = format!("{}|{}", identifier.system.as_deref().unwrap_or_default(), identifier.value);
    let grant = json!({"patient": token, "to": "hospital-b", "actions": ["read"], "purposes": ["TREAT"], "days": 1});
    author.post("/consent/grant", grant.to_string().into()).await?;

    // Not before: a gateway closes connections that are silent for as long as a large Bundle may take.
    let mut reader = parties.reader.connect().await?;
    let outside = || Ok::<_, Failure>(parties.exchange.broker.cpu()? + parties.exchange.archive.cpu()?);
    let (gateway_before, outside_before) = (parties.reader.process.cpu()?, outside()?);
    let begun = Instant::now();
    reader.get(&format!("/fhir/Patient?identifier={}", encode(&token))).await?;
    found.opened.push(millis(begun.elapsed()));
    found.gateway += parties.reader.process.cpu()?.saturating_sub(gateway_before);
    found.outside += outside()?.saturating_sub(outside_before);
    found.count += 1;

    let in_memory = tokio::task::spawn_blocking({
        let bundle = bundle.clone();
        move || {
            let parsed = in_memory::decompress_and_parse(bundle.clone())?;
            Ok::<_, Failure>((parsed, in_memory::open_all(bundle)?))
        }
    });
    let (parsed, opened) = in_memory.await??;
    found.parsed.push(millis(parsed));
    found.in_memory.push(millis(opened.total));
    found.verify.push(millis(opened.verify));
    found.decrypt.push(millis(opened.decrypt));
    found.read.push(millis(opened.read));

    let id = synthetic::patient_id(seed, index).as_str().to_owned();
    let everything = reader.get(&format!("/fhir/Patient/{id}/$everything")).await?;
    let paths = paths(everything)?;
    if paths.len() != resources {
        return Err(format!("hospital B read {} of {resources} resources", paths.len()).into());
    }
    let json_bytes = parse_bundle(bundle)?.resources().map(|(_, resource)| resource.bytes().len() as u64).sum();
    Ok(Patient { resources, id, token, json_bytes, paths })
}

/// Where each resource of a Bundle can be read.
fn paths(bundle: Bytes) -> Result<Vec<String>, Failure> {
    let path = |entry: &sealwort_fhir::BundleEntry| {
        let kind = entry.resource.as_ref()?.resource_type();
        Some(format!("/fhir/{}/{}", kind.as_str(), logical_id(entry)?.as_str()))
    };
    Ok(parse_any_bundle(bundle)?.entries().iter().filter_map(path).collect())
}

impl Openings {
    fn rows(&self, resources: usize, report: &mut Report) {
        let each = |total: Duration| millis(total) / factor(self.count);
        report.note(&format!(
            "gateway.open_{resources}: {} new patients, each written, opened at hospital B, decompressed and parsed, \
             and opened in memory in turn; writing took {:.0} ms; broker and archive spent {:.1} ms of CPU an opening; \
             of the time in memory {:.1} ms went to signatures, {:.1} ms to hashing, decrypting and decompressing, \
             and {:.1} ms to reading resources",
            self.count,
            self.written.median(),
            each(self.outside),
            self.verify.median(),
            self.decrypt.median(),
            self.read.median(),
        ));
        let parse = "zstd and serde_json, one thread";
        let row =
            |part: &str, what: &str, value| Row::new(format!("gateway.open_{resources}{part}"), what, value, "ms");
        report.row(
            row("", "hospital B: find by identifier and open", self.opened.median())
                .against(parse, self.parsed.median())
                .aim(Aim::RatioAtMost(RATIO_AIM)),
        );
        report.row(
            row(".sealed", "the same", self.opened.median())
                .against("verify, decrypt, zstd and read in memory, one thread", self.in_memory.median()),
        );
        report.row(row(".cpu", "CPU of hospital B's gateway", each(self.gateway)).against(parse, self.parsed.median()));
    }
}
