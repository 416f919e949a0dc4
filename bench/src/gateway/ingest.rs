//! Storing transactions of new patients at hospital A: invented ones, and Synthea's where the open data are there. An
//! answer of 200 means that the archive has them on its disk. The reference parses the same bytes and writes them to
//! one file, synchronised after each transaction: what nobody who promises durability can do without.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use bytes::Bytes;
use sealwort_fhir::{parse_bundle, synthetic};
use serde_json::Value;

use super::hospital::Hospital;
use crate::Thoroughness;
use crate::exchange::Exchange;
use crate::measure::{Failure, Samples, factor, micros};
use crate::report::{Report, Row};

/// Transactions of invented patients.
struct Invented {
    name: &'static str,
    resources: usize,
    /// Transactions in a round.
    transactions: usize,
    /// Connections on which they are sent.
    writers: usize,
}

const INVENTED: [Invented; 3] = [
    Invented { name: "ten_1", resources: 10, transactions: 20, writers: 1 },
    Invented { name: "long_1", resources: 300, transactions: 4, writers: 1 },
    Invented { name: "long_4", resources: 300, transactions: 8, writers: 4 },
];
const ROUNDS: usize = 8;
/// Seed of the patients; each kind has its own, counted on from here.
const SEED: u64 = 2_000;
/// Synthea's transactions: for a full run, and few for a quick one or where the first cannot be unpacked.
const SYNTHEA_MANY: &str = "fhir-100-synthea-v2.5.tar.zst";
const SYNTHEA_FEW: &str = "fhir-small-synthea";
/// Connections on which they are sent, each with its share of the files.
const SYNTHEA_WRITERS: [(&str, usize); 2] = [("synthea_1", 1), ("synthea_4", 4)];

/// What storing came to.
#[derive(Default)]
struct Stored {
    /// Resources a second, one value a round.
    rate: Samples,
    /// The same of the reference.
    file_rate: Samples,
    /// CPU time of the gateway, and of broker and archive.
    gateway: Duration,
    outside: Duration,
    resources: u64,
    transactions: u64,
    bytes: u64,
    refused: Vec<String>,
}

/// The processes that take part, and a folder on the disk that is measured.
pub(super) struct Place<'a> {
    pub(super) exchange: &'a Exchange,
    pub(super) author: &'a Hospital,
    pub(super) folder: &'a Path,
}

/// Measures and reports.
pub(super) async fn run(thoroughness: Thoroughness, place: &Place<'_>, report: &mut Report) -> Result<(), Failure> {
    for (seed, kind) in (SEED..).zip(&INVENTED) {
        let mut stored = Stored::default();
        let mut index = 0;
        for _ in 0..thoroughness.times(ROUNDS) {
            let mut bundles = Vec::new();
            for _ in 0..kind.transactions {
                bundles.push(Bytes::from(synthetic::bundle(seed, index, kind.resources)));
                index += 1;
            }
            stored.round(place, &bundles, kind.writers).await?;
        }
        stored.rows(kind.name, kind.writers, report);
    }
    let unpacked = tempfile::tempdir_in(place.folder)?;
    let Some(files) = synthea(thoroughness, unpacked.path())? else {
        report.note("gateway: SKIPPED: Synthea's Bundles are not in the open data folder");
        return Ok(());
    };
    let shares = SYNTHEA_WRITERS.len();
    for (share, (name, writers)) in SYNTHEA_WRITERS.iter().enumerate() {
        let mut bundles = Vec::new();
        for file in files.iter().skip(share).step_by(shares) {
            let bytes = Bytes::from(std::fs::read(file)?);
            // A Group lies among them.
            if serde_json::from_slice::<Value>(&bytes)?.get("resourceType").is_some_and(|kind| kind == "Bundle") {
                bundles.push(bytes);
            }
        }
        let mut stored = Stored::default();
        stored.round(place, &bundles, *writers).await?;
        stored.rows(name, *writers, report);
    }
    Ok(())
}

impl Stored {
    /// Stores some transactions, then does the reference with the same.
    async fn round(&mut self, place: &Place<'_>, bundles: &[Bytes], writers: usize) -> Result<(), Failure> {
        let outside = || Ok::<_, Failure>(place.exchange.broker.cpu()? + place.exchange.archive.cpu()?);
        let (gateway_before, outside_before) = (place.author.process.cpu()?, outside()?);
        let begun = Instant::now();
        let mut tasks = Vec::new();
        for writer in 0..writers {
            let mut client = place.author.connect().await?;
            let own: Vec<Bytes> = bundles.iter().skip(writer).step_by(writers).cloned().collect();
            tasks.push(tokio::spawn(async move {
                let mut answers = Vec::new();
                for bundle in own {
                    answers.push((bundle.clone(), client.post("/fhir", bundle).await));
                }
                answers
            }));
        }
        let mut stored = Vec::new();
        for task in tasks {
            for (bundle, answer) in task.await? {
                match answer {
                    Ok(_) => stored.push(bundle),
                    Err(failure) => self.refused.push(failure.to_string()),
                }
            }
        }
        let took = begun.elapsed();
        self.gateway += place.author.process.cpu()?.saturating_sub(gateway_before);
        self.outside += outside()?.saturating_sub(outside_before);
        let mut resources = 0;
        for bundle in &stored {
            resources += parse_bundle(bundle.clone())?.resources().count() as u64;
            self.bytes += bundle.len() as u64;
        }
        self.resources += resources;
        self.transactions += stored.len() as u64;
        self.rate.push(factor(resources) / took.as_secs_f64());
        let file = place.folder.join("plain.ndjson");
        let took = tokio::task::spawn_blocking(move || to_file(&file, &stored)).await??;
        self.file_rate.push(factor(resources) / took.as_secs_f64());
        Ok(())
    }

    fn rows(&self, name: &str, writers: usize, report: &mut Report) {
        let each = |time: Duration| micros(time) / factor(self.resources);
        report.note(&format!(
            "gateway.ingest_{name}: {} transactions of {} resources and {} bytes in all, of new patients; broker and \
             archive spent {:.0} µs of CPU for each resource",
            self.transactions,
            self.resources,
            self.bytes,
            each(self.outside),
        ));
        if let Some(first) = self.refused.first() {
            report
                .note(&format!("gateway.ingest_{name}: {} MORE WERE REFUSED, the first: {first}", self.refused.len()));
        }
        let row = |part: &str, what: String, value, unit| {
            Row::new(format!("gateway.ingest_{name}.{part}"), what, value, unit)
        };
        let what = format!("resources stored, {writers} at a time");
        report.row(
            row("rate", what, self.rate.median(), "/s")
                .against("parsed and written to one file, fdatasync each", self.file_rate.median()),
        );
        report.row(row("cpu", "CPU of hospital A's gateway, a resource".to_owned(), each(self.gateway), "µs"));
    }
}

/// Parses each Bundle and appends it to a file, safe on disk before the next.
fn to_file(path: &Path, bundles: &[Bytes]) -> Result<Duration, Failure> {
    let mut file = File::options().create(true).append(true).open(path)?;
    let begun = Instant::now();
    for bundle in bundles {
        let _: Value = serde_json::from_slice(bundle)?;
        file.write_all(bundle)?;
        file.sync_data()?;
    }
    Ok(begun.elapsed())
}

/// Synthea's Bundles as files, where they are.
fn synthea(thoroughness: Thoroughness, into: &Path) -> Result<Option<Vec<PathBuf>>, Failure> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/data/open");
    let (archive, few) = (folder.join(SYNTHEA_MANY), folder.join(SYNTHEA_FEW));
    if thoroughness == Thoroughness::Full && archive.is_file() && unpack(&archive, into) {
        return Ok(Some(bundles_below(into)?));
    }
    Ok(if few.is_dir() { Some(bundles_below(&few)?) } else { None })
}

/// Whether an archive could be unpacked: it takes zstd and tar.
fn unpack(archive: &Path, into: &Path) -> bool {
    let mut command = Command::new("sh");
    command.args(["-c", "zstd -dc --long=27 \"$1\" | tar x -C \"$2\"", "sh"]).args([archive, into]);
    command.status().is_ok_and(|status| status.success())
}

/// The JSON files below a folder, sorted.
fn bundles_below(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let (mut found, mut open) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(folder)? {
            let path = entry?.path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|extension| extension == "json") {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}
