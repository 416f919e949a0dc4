//! Memory of open patients by their JSON: what a gateway's process grows by while it opens patients, and what the
//! gateway says that it holds. The process is a new one, so that nothing else has been done in it.

use std::time::Duration;

use super::cold::Patient;
use super::hospital::{Held, Hospital};
use crate::http_client::encode;
use crate::measure::{Failure, factor};
use crate::report::{Aim, Report, Row};

/// Patients of this size are opened first and do not count: code and connections take memory, too.
const WARM_UP_RESOURCES: usize = 100;
const WARM_UP: usize = 3;
/// Time for what is idle to be let go.
const SETTLE: Duration = Duration::from_secs(1);
/// The aim: memory by JSON.
const RATIO_AIM: f64 = 4.0;

/// A moment of the process.
#[derive(Clone, Copy)]
struct Moment {
    resident_kib: u64,
    held: Held,
}

/// Measures and reports.
pub(super) async fn run(reader: &Hospital, patients: &[Patient], report: &mut Report) -> Result<(), Failure> {
    let (warm_up, rest) = patients.split_at(WARM_UP.min(patients.len()));
    if warm_up.iter().any(|patient| patient.resources != WARM_UP_RESOURCES) {
        return Err("the first patients are not the smallest".into());
    }
    open(reader, warm_up).await?;
    let begun = moment(reader).await?;
    let mut before = begun;
    for alike in rest.chunk_by(|one, next| one.resources == next.resources) {
        open(reader, alike).await?;
        let after = moment(reader).await?;
        let size = alike.first().map_or(0, |patient| patient.resources);
        rows(&format!("{size}"), alike, &before, &after, report)?;
        before = after;
    }
    rows("all", rest, &begun, &before, report)
}

/// Opens patients as a user would, by their identifiers.
pub(super) async fn open(reader: &Hospital, patients: &[Patient]) -> Result<(), Failure> {
    let mut client = reader.connect().await?;
    for patient in patients {
        client.get(&format!("/fhir/Patient?identifier={}", encode(&patient.token))).await?;
    }
    Ok(())
}

async fn moment(reader: &Hospital) -> Result<Moment, Failure> {
    tokio::time::sleep(SETTLE).await;
    Ok(Moment { resident_kib: reader.process.memory()?.resident, held: reader.held().await? })
}

fn rows(name: &str, opened: &[Patient], before: &Moment, after: &Moment, report: &mut Report) -> Result<(), Failure> {
    let patients = opened.len() as u64;
    let newly_held = after.held.patients.saturating_sub(before.held.patients);
    if newly_held != patients {
        return Err(format!("the gateway holds {newly_held} more patients open, and {patients} were opened").into());
    }
    let json = mib(opened.iter().map(|patient| patient.json_bytes).sum());
    let grown = mib(after.resident_kib.saturating_sub(before.resident_kib) * 1024);
    let told = mib(after.held.bytes.saturating_sub(before.held.bytes));
    let cells = [
        ("", format!("{patients} patients, resident"), grown),
        (".status", format!("{patients} patients, open_bytes of /status"), told),
    ];
    for (part, what, value) in cells {
        report.row(
            Row::new(format!("gateway.held_{name}{part}"), what, value, "MiB")
                .against("their JSON", json)
                .aim(Aim::RatioAtMost(RATIO_AIM)),
        );
    }
    Ok(())
}

fn mib(bytes: u64) -> f64 {
    factor(bytes) / f64::from(1 << 20)
}
