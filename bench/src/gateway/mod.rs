//! The gateway's FHIR face from outside: opening patients that it has never opened, the memory that they take, requests
//! of patients held open, and storing transactions. Certificate authority, broker, archive and two hospitals' gateways
//! are processes of their own, so that each one's CPU time and memory can be told apart; the client is this program.

mod cold;
mod cores;
mod footprint;
pub(crate) mod hidden;
pub(crate) mod hospital;
mod in_memory;
mod ingest;
mod load;
mod nginx;
pub(crate) mod telemetry;
mod warm;

use std::path::Path;
use std::time::Duration;

use crate::Thoroughness;
use crate::exchange::Exchange;
use crate::measure::{Failure, micros};
use crate::processes::Binary;
use crate::report::Report;
use cold::Parties;
use cores::Cores;
use hospital::Hospital;
use ingest::Place;

/// So that nobody is closed while patients are opened and weighed.
const HOLDS_ALL: &[&str] = &["open.patients_max=1000"];

/// How long something is waited for that takes a moment.
const PATIENCE: Duration = Duration::from_secs(20);

/// Measures and reports.
pub(crate) async fn run(
    thoroughness: Thoroughness,
    folder: &Path,
    binary: &Binary,
    report: &mut Report,
) -> Result<(), Failure> {
    let place = tempfile::tempdir_in(folder)?;
    report.note(&format!("gateway: load average {} before", load_average()));
    let exchange = Exchange::start(binary, place.path()).await?;
    let author = Hospital::join(&exchange, binary, "hospital-a", &[]).await?;
    let reader = Hospital::join(&exchange, binary, "hospital-b", HOLDS_ALL).await?;
    let parties = Parties { exchange: &exchange, author: &author, reader: &reader };
    let patients = cold::run(thoroughness, &parties, report).await?;

    let reader = reader.restart(&exchange, binary, HOLDS_ALL, None).await?;
    footprint::run(&reader, &patients, report).await?;

    let cores = Cores::shared_out()?;
    let reader = reader.restart(&exchange, binary, &[], Some(&cores)).await?;
    cores.part()?;
    warm::run(thoroughness, place.path(), &reader, &patients, &cores, report).await?;
    cores.rejoin()?;

    ingest::run(thoroughness, &Place { exchange: &exchange, author: &author, folder: place.path() }, report).await?;
    report.note(&format!("gateway: load average {} after", load_average()));
    Ok(())
}

/// Of the last 1, 5 and 15 minutes: how much else the machine had to do.
fn load_average() -> String {
    let told = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    told.split_whitespace().take(3).collect::<Vec<_>>().join(" ")
}

fn millis(duration: Duration) -> f64 {
    micros(duration) / 1e3
}
