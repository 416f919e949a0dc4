//! What grows with the archive: a patient's log is fetched from 1,000,000 entries beside 10,000, and an archive's process
//! is started upon them, embedded and on PostgreSQL.

mod generate;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sealwort_store::postgres::Database;
use sealwort_store::{DataFolder, LogStore, PartyStore};

use crate::Thoroughness;
use crate::exchange::{Exchange, Settings};
use crate::measure::{Failure, Samples, factor};
use crate::processes::Binary;
use crate::report::{Aim, Report, Row};
use crate::server::Server;
use generate::{ENTRIES, load, pseudonym};

/// Patients of the small store and of the large one; each has [`ENTRIES`] entries.
const FULL: (u64, u64) = (400, 40_000);
const QUICK: (u64, u64) = (80, 800);
/// Fetches from each store.
const FETCHES: usize = 4_000;
const BYTES_MAX: usize = 4 * 1024 * 1024;
/// What a database may hold in its own memory.
const SERVER_OPTIONS: [&str; 2] = ["shared_buffers=256MB", "max_wal_size=4GB"];
const MIB_AIM: f64 = 1024.0;
const START_AIM: f64 = 10.0;

/// Measures and reports.
pub(crate) async fn run(
    thoroughness: Thoroughness,
    folder: &Path,
    binary: &Binary,
    report: &mut Report,
) -> Result<(), Failure> {
    on("embedded", None, thoroughness, folder, binary, report).await?;
    let Some(mut server) = Server::start_in(folder) else {
        report.note("growth.postgresql: NOT MEASURED: PostgreSQL is not here");
        return Ok(());
    };
    server.stop();
    for option in SERVER_OPTIONS {
        server.set(option);
    }
    server.resume();
    on("postgresql", Some(&server), thoroughness, folder, binary, report).await
}

async fn on(
    engine: &str,
    server: Option<&Server>,
    thoroughness: Thoroughness,
    folder: &Path,
    binary: &Binary,
    report: &mut Report,
) -> Result<(), Failure> {
    let (few, many) = if thoroughness == Thoroughness::Full { FULL } else { QUICK };
    let place = tempfile::tempdir_in(folder)?;
    let databases = server.map(|server| [(); 2].map(|()| server.database()));
    let url = |which: usize| Some(server?.url(databases.as_ref()?.get(which)?));
    let database = |which: usize| url(which).map(|url| Database::new(&url, None)).transpose();
    let archive = url(1).map(|large| format!("store.url={large}")).into_iter().collect();
    let settings = Settings { archive, ..Settings::default() };
    let mut exchange = Exchange::start_with(binary, place.path(), settings).await?;
    exchange.archive.end();

    // The large store is an archive's own.
    let (small, archive) = (place.path().join("small"), place.path().join("archive"));
    let small = open(&small, database(0)?.as_ref()).await?;
    load(&small.logs(), few).await?;
    let (begun, large) = (Instant::now(), open(&archive, database(1)?.as_ref()).await?);
    load(&large.logs(), many).await?;
    let took = begun.elapsed();
    let entries = many * ENTRIES as u64;
    report.note(&format!(
        "growth.{engine}: {entries} entries sealed and stored in {:.0} s, {:.0} a second",
        took.as_secs_f64(),
        factor(entries) / took.as_secs_f64()
    ));

    let (mut from_few, mut from_many) = (Samples::default(), Samples::default());
    let (few_logs, many_logs) = (small.logs(), large.logs());
    for number in 0..thoroughness.times(FETCHES) as u64 {
        // A stride that is prime to both numbers of patients: no patient comes twice before all came.
        from_few.push_micros(fetch(&few_logs, number * STRIDE % few).await?);
        from_many.push_micros(fetch(&many_logs, number * STRIDE % many).await?);
    }
    small.close().await;
    large.close().await;
    let bytes = match (server, &databases) {
        (Some(server), Some([_, large])) => server.sql(large, "SELECT pg_database_size(current_database())").parse()?,
        _ => bytes_in(&archive)?,
    };
    report.note(&format!("growth.{engine}: {:.0} bytes on disk for each entry", factor(bytes) / factor(entries)));
    let what = format!("a patient's {ENTRIES} entries among {entries}");
    for (part, share, aim) in [("p50", 0.5, None), ("p99", 0.99, Some(Aim::RatioAtMost(2.0)))] {
        let row = Row::new(format!("growth.{engine}.{part}"), what.clone(), from_many.quantile(share), "µs")
            .against(format!("among {}", few * ENTRIES as u64), from_few.quantile(share));
        report.row(aim.map_or(row.clone(), |aim| row.aim(aim)));
    }

    let begun = Instant::now();
    exchange.restart_archive(binary).await?;
    let started = begun.elapsed().as_secs_f64();
    report.row(
        Row::new(format!("growth.{engine}.start"), format!("an archive starts upon {entries} entries"), started, "s")
            .aim(Aim::AtMost(START_AIM)),
    );
    let memory = exchange.archive.memory()?;
    report.row(
        Row::new(format!("growth.{engine}.memory"), "most resident so far", factor(memory.peak) / 1024.0, "MiB")
            .aim(Aim::AtMost(MIB_AIM)),
    );
    Ok(())
}

/// What the files of a folder take.
fn bytes_in(folder: &Path) -> Result<u64, Failure> {
    let mut bytes = 0;
    for file in std::fs::read_dir(folder)? {
        bytes += file?.metadata()?.len();
    }
    Ok(bytes)
}

async fn open(folder: &Path, database: Option<&Database>) -> Result<PartyStore, Failure> {
    Ok(PartyStore::open(DataFolder::open(folder, "archive")?, folder, database).await?)
}

async fn fetch(logs: &Arc<dyn LogStore>, number: u64) -> Result<Duration, Failure> {
    let begun = Instant::now();
    let entries = logs.read(pseudonym(number), 0, ENTRIES, BYTES_MAX).await?;
    let took = begun.elapsed();
    if entries.len() == ENTRIES { Ok(took) } else { Err("a patient lacks entries".into()) }
}

const STRIDE: u64 = 7_919;
