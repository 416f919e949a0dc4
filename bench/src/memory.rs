//! Resident memory of a broker's and an archive's process with 100,000 entries and 100 connected gateways. Those
//! two and the certificate authority are processes started from configuration files; the gateways, whose memory is
//! not asked about, run inside this program, each with a folder, a membership and a session of its own.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use rustix::process::{Resource, getrlimit, setrlimit};
use sealwort_fhir::synthetic;
use sealwort_gateway::{Running, User};
use sealwort_net::config::{CaConfig, ListenConfig};
use sealwort_net::steps::Steps;
use sealwort_net::{Clock as _, Shutdown, SystemClock, member, secret_file};
use sealwort_pki::enrolment::Invitation;
use serde_json::Value;

use crate::Thoroughness;
use crate::http_client::Client;
use crate::measure::{Failure, factor};
use crate::processes::{Binary, Memory, Process};
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

/// The processes of an exchange.
struct Exchange {
    place: PathBuf,
    ca_url: String,
    ca_address: String,
    broker_url: String,
    broker: Process,
    archive: Process,
    _ca: Process,
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
    let empty = exchange.memory()?;

    let (gateways, patients) = match thoroughness {
        Thoroughness::Full => (GATEWAYS, PATIENTS),
        Thoroughness::Quick => (GATEWAYS_QUICK, PATIENTS / 10),
    };
    let (trigger, shutdown) = Shutdown::channel();
    let mut hospitals = Vec::with_capacity(gateways);
    for number in 0..gateways {
        hospitals.push(exchange.hospital(binary, number, &shutdown).await?);
    }
    let begun = Instant::now();
    let entries = write(&hospitals, patients, begun).await?;
    let wrote_in = begun.elapsed();
    tokio::time::sleep(SETTLE).await;
    let connected = connected(&hospitals).await?;
    let full = exchange.memory()?;
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

impl Exchange {
    async fn start(binary: &Binary, place: &Path) -> Result<Self, Failure> {
        let folder = |name: &str| text(&place.join(name));
        let log = |name: &str| place.join(format!("{name}.log"));
        let ca_folder = folder("ca")?;
        binary.run(&["ca", "init", "--name", "bench", "--dir", &ca_folder, "--root-dir", &folder("root")?]).await?;
        let serve = ["ca", "serve", "--json", "--dir", &ca_folder, "--listen", ANY_PORT];
        let mut ca = binary.start(&serve, &log("ca"))?;
        let ca_address = ca.address().await?.to_string();
        for role in ["archive", "broker"] {
            invite(binary, place, &ca_address, role, role).await?;
            let invitation = folder(&format!("{role}.invitation"))?;
            binary.run(&["join", "--invite", &invitation, "--dir", &folder(role)?]).await?;
        }
        let mut archive = binary
            .start(&["archive", "--json", "--dir", &folder("archive")?, "--listen", ANY_PORT], &log("archive"))?;
        let archive_url = format!("archive.url=https://{}", archive.address().await?);
        let serve = ["broker", "--json", "--dir", &folder("broker")?, "--listen", ANY_PORT, "--set", &archive_url];
        let mut broker = binary.start(&serve, &log("broker"))?;
        Ok(Self {
            place: place.to_owned(),
            ca_url: format!("https://{ca_address}"),
            ca_address,
            broker_url: format!("https://{}", broker.address().await?),
            broker,
            archive,
            _ca: ca,
        })
    }

    /// A gateway that joins and starts.
    async fn hospital(&self, binary: &Binary, number: usize, shutdown: &Shutdown) -> Result<Hospital, Failure> {
        let name = format!("hospital-{number}");
        invite(binary, &self.place, &self.ca_address, "gateway", &name).await?;
        let invitation = secret_file::read(&self.place.join(format!("{name}.invitation")))?;
        let folder = self.place.join(&name);
        member::join(&folder, Invitation::from_json(&invitation)?, Arc::new(SystemClock)).await?;
        let mut config = sealwort_gateway::Config {
            folder: folder.clone(),
            ca: CaConfig { url: self.ca_url.clone(), ..CaConfig::default() },
            ..sealwort_gateway::Config::default()
        };
        config.fhir.address = ListenConfig::on_loopback(0).address;
        config.broker.url.clone_from(&self.broker_url);
        let running =
            sealwort_gateway::start(&config, Arc::new(SystemClock), Steps::default(), shutdown.clone()).await?;
        let expires = SystemClock.now().plus(TOKEN_LIFETIME).as_secs();
        let user = User { name: "bench".to_owned(), role: "physician".to_owned(), expires };
        let token = sealwort_gateway::issue_token(&folder, &user)?;
        Ok(Hospital { running, token })
    }

    /// The archive's memory, and the broker's.
    fn memory(&self) -> Result<(Memory, Memory), Failure> {
        Ok((self.archive.memory()?, self.broker.memory()?))
    }
}

impl Hospital {
    /// A connection for a request: a kept one would be closed for its silence.
    async fn connect(&self) -> Result<Client, Failure> {
        Client::connect(self.running.address, &self.token).await
    }
}

async fn invite(binary: &Binary, place: &Path, ca: &str, role: &str, name: &str) -> Result<(), Failure> {
    let (folder, file) = (text(&place.join("ca"))?, text(&place.join(format!("{name}.invitation")))?);
    let address = format!("listen.address={ca}");
    binary.run(&["ca", "invite", role, name, "--out", &file, "--dir", &folder, "--set", &address]).await
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

fn text(path: &Path) -> Result<String, Failure> {
    let text = path.to_str().ok_or("the folder's name is not UTF-8; choose another with --dir")?;
    Ok(text.to_owned())
}

fn mib(kib: u64) -> f64 {
    factor(kib) / 1024.0
}

const ANY_PORT: &str = "127.0.0.1:0";
const TOKEN_LIFETIME: Duration = Duration::from_hours(1);
