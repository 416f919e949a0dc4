//! Resident memory of a broker's and an archive's process with 100,000 entries and 100 connected gateways. Those
//! two and the certificate authority are processes started from configuration files; the gateways, whose memory is
//! not asked about, run inside this program, each with a folder, a membership and a session of its own.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use rustix::process::{Resource, getrlimit, setrlimit};
use sealwort_fhir::synthetic;
use sealwort_gateway::{Running, User};
use sealwort_net::config::{CaConfig, ListenConfig};
use sealwort_net::steps::Steps;
use sealwort_net::{Clock as _, Shutdown, SystemClock};
use serde_json::Value;

use crate::Thoroughness;
use crate::exchange::Exchange;
use crate::http_client::Client;
use crate::measure::{Failure, factor};
use crate::processes::{Binary, Memory};
use crate::report::{Aim, Report, Row};

const GATEWAYS: usize = 100;
const GATEWAYS_QUICK: usize = 10;
const PATIENTS: u64 = 1_000;
const ENTRIES_PER_PATIENT: usize = 100;
/// Gateways that write at the same time.
const WRITERS: usize = 8;
/// After this no new patient is begun.
const WRITING_MAX: Duration = Duration::from_secs(200);
/// Time for what is idle to be let go.
const SETTLE: Duration = Duration::from_secs(5);
const SEED: u64 = 3_000;
const MIB_AIM: f64 = 100.0;

/// A gateway inside this program, and a user's token for it.
struct Hospital {
    running: Running,
    token: String,
}

/// Measures and reports.
pub(crate) async fn run(
    thoroughness: Thoroughness,
    folder: &Path,
    binary: &Binary,
    report: &mut Report,
) -> Result<(), Failure> {
    let place = tempfile::tempdir_in(folder)?;
    let exchange = Exchange::start(binary, place.path()).await?;
    // The processes keep the limit that they were started with.
    allow_open_files();
    let empty = memory(&exchange)?;

    let (gateways, patients) = match thoroughness {
        Thoroughness::Full => (GATEWAYS, PATIENTS),
        Thoroughness::Quick => (GATEWAYS_QUICK, PATIENTS / 10),
    };
    let (trigger, shutdown) = Shutdown::channel();
    let mut hospitals = Vec::with_capacity(gateways);
    for number in 0..gateways {
        hospitals.push(hospital(&exchange, binary, number, &shutdown).await?);
    }
    let begun = Instant::now();
    let entries = write(&hospitals, patients, begun).await?;
    let wrote_in = begun.elapsed();
    tokio::time::sleep(SETTLE).await;
    let connected = connected(&hospitals).await?;
    let full = memory(&exchange)?;
    trigger.fire();
    for hospital in hospitals {
        hospital.running.stopped().await;
    }

    report.note(&format!(
        "memory: {entries} entries of {patients} patients, written by {WRITERS} gateways at a time in {:.0} s; \
         {connected} of {gateways} gateways connected",
        wrote_in.as_secs_f64()
    ));
    let wanted = patients * ENTRIES_PER_PATIENT as u64;
    if entries < wanted || connected < gateways {
        report.note(&format!("memory: ASKED FOR {wanted} ENTRIES AND {gateways} GATEWAYS; the rows are not of that"));
    }
    let what = format!("{entries} entries, {connected} gateways");
    for (name, before, after) in [("archive", empty.0, full.0), ("broker", empty.1, full.1)] {
        report.row(
            Row::new(format!("memory.{name}"), format!("resident, {what}"), mib(after.resident), "MiB")
                .against("just started", mib(before.resident))
                .aim(Aim::AtMost(MIB_AIM)),
        );
        report.row(
            Row::new(format!("memory.{name}.peak"), "most resident so far", mib(after.peak), "MiB")
                .against("just started", mib(before.peak))
                .aim(Aim::AtMost(MIB_AIM)),
        );
    }
    Ok(())
}

/// A gateway that joins and starts.
async fn hospital(
    exchange: &Exchange,
    binary: &Binary,
    number: usize,
    shutdown: &Shutdown,
) -> Result<Hospital, Failure> {
    let folder = exchange.join_gateway(binary, &format!("hospital-{number}")).await?;
    let mut config = sealwort_gateway::Config {
        folder: folder.clone(),
        ca: CaConfig { url: exchange.ca_url.clone(), ..CaConfig::default() },
        ..sealwort_gateway::Config::default()
    };
    config.fhir.address = ListenConfig::on_loopback(0).address;
    config.broker.url.clone_from(&exchange.broker_url);
    let running = sealwort_gateway::start(&config, Arc::new(SystemClock), Steps::default(), shutdown.clone()).await?;
    let expires = SystemClock.now().plus(TOKEN_LIFETIME).as_secs();
    let user = User { name: "bench".to_owned(), role: "physician".to_owned(), expires };
    let token = sealwort_gateway::issue_token(&folder, &user)?;
    Ok(Hospital { running, token })
}

/// The archive's memory, and the broker's.
fn memory(exchange: &Exchange) -> Result<(Memory, Memory), Failure> {
    Ok((exchange.archive.memory()?, exchange.broker.memory()?))
}

impl Hospital {
    /// A connection for a request: a kept one would be closed for its silence.
    async fn connect(&self) -> Result<Client, Failure> {
        Client::connect(self.running.address, &self.token).await
    }
}

/// Writes patients, each at the next hospital, and counts the entries that were acknowledged.
async fn write(hospitals: &[Hospital], patients: u64, begun: Instant) -> Result<u64, Failure> {
    let written = stream::iter(0..patients)
        .zip(stream::iter(hospitals.iter().cycle()))
        .map(|(index, hospital)| async move {
            if begun.elapsed() > WRITING_MAX {
                return Ok::<_, Failure>(0);
            }
            let bundle = Bytes::from(synthetic::bundle(SEED, index, ENTRIES_PER_PATIENT));
            hospital.connect().await?.post("/fhir", bundle).await?;
            Ok(ENTRIES_PER_PATIENT as u64)
        })
        .buffer_unordered(WRITERS);
    written.try_fold(0, |sum, entries| async move { Ok(sum + entries) }).await
}

/// How many gateways have a live session.
async fn connected(hospitals: &[Hospital]) -> Result<usize, Failure> {
    let mut count = 0;
    for hospital in hospitals {
        let status: Value = serde_json::from_slice(&hospital.connect().await?.get("/status").await?)?;
        if status.get("connected") == Some(&Value::Bool(true)) {
            count += 1;
        } else {
            return Err(format!("{} is not connected: {status}", hospital.running.member.identity()).into());
        }
    }
    Ok(count)
}

/// A hundred gateways have a few thousand files and sockets open.
fn allow_open_files() {
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // Where it is refused, a gateway will say that it cannot open a file.
    let _ = setrlimit(Resource::Nofile, limit);
}

fn mib(kib: u64) -> f64 {
    factor(kib) / 1024.0
}

const TOKEN_LIFETIME: Duration = Duration::from_hours(1);
