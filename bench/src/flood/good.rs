//! The good hospital: a gateway's process that holds one patient open at a time and is asked for two in turns, so
//! that each read takes the seven steps; and a second gateway that connects anew and runs the nine steps. Their
//! clients have a thread of their own, so that the flood's tasks do not stand before them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use sealwort_fhir::synthetic;
use sealwort_gateway::User;
use sealwort_net::{Clock as _, SystemClock};
use tokio::task::JoinHandle;
use tokio::time::{MissedTickBehavior, interval, sleep};

use super::attack::Rogue;
use crate::exchange::{ANY_PORT, Exchange, text};
use crate::http_client::Client;
use crate::measure::{Failure, Samples, factor, micros};
use crate::processes::{Binary, Process};

/// Seed of the patients.
const SEED: u64 = 4_000;
/// Resources of each.
const RESOURCES: usize = 20;
/// Time from one read to the next.
const READ_EVERY: Duration = Duration::from_millis(12);
/// Time from one new session to the next.
const CONNECT_EVERY: Duration = Duration::from_millis(250);
/// A good hospital gives up after this.
const PATIENCE: Duration = Duration::from_secs(5);
const TOKEN_LIFETIME: Duration = Duration::from_hours(1);

/// The good hospital.
pub(super) struct Good {
    address: SocketAddr,
    token: String,
    paths: Arc<Vec<String>>,
    newcomer: Arc<Rogue>,
    _process: Process,
}

/// What it experienced, in microseconds.
#[derive(Default)]
pub(super) struct Reads {
    pub(super) latency: Samples,
    pub(super) connect: Samples,
    pub(super) done: u64,
    pub(super) failed: u64,
    /// New sessions that could not be made.
    pub(super) unconnected: u64,
}

impl Good {
    /// Joins, starts and stores two patients.
    pub(super) async fn start(exchange: &Exchange, binary: &Binary) -> Result<Self, Failure> {
        let folder = exchange.join_gateway(binary, "good").await?;
        let folder_text = text(&folder)?;
        let sets = [format!("broker.url={}", exchange.broker_url), "open.patients_max=1".to_owned()];
        let mut arguments = vec!["gateway", "--json", "--dir", &folder_text, "--listen", ANY_PORT];
        let ca = format!("ca.url={}", exchange.ca_url);
        for set in sets.iter().chain([&ca]) {
            arguments.extend(["--set", set]);
        }
        let mut process = binary.start(&arguments, &exchange.place.join("good.log"))?;
        let address = process.address().await?;
        let expires = SystemClock.now().plus(TOKEN_LIFETIME).as_secs();
        let user = User { name: "bench".to_owned(), role: "physician".to_owned(), expires };
        let token = sealwort_gateway::issue_token(&folder, &user)?;
        let mut paths = Vec::new();
        let mut client = Client::connect(address, &token).await?;
        for index in 0..2 {
            client.post("/fhir", Bytes::from(synthetic::bundle(SEED, index, RESOURCES))).await?;
            paths.push(format!("/fhir/Patient/{}", synthetic::patient_id(SEED, index).as_str()));
        }
        let newcomer = Arc::new(Rogue::join(exchange, binary, "newcomer").await?);
        Ok(Self { address, token, paths: Arc::new(paths), newcomer, _process: process })
    }

    /// Reads for a while, at a fixed rate, on a thread of its own.
    pub(super) fn read_for(&self, phase: Duration) -> JoinHandle<Result<Reads, Failure>> {
        let (address, token, paths) = (self.address, self.token.clone(), Arc::clone(&self.paths));
        let newcomer = Arc::clone(&self.newcomer);
        tokio::task::spawn_blocking(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(async {
                let (reads, connects) = tokio::join!(read(address, &token, &paths, phase), connect(&newcomer, phase));
                let (mut reads, (connect, failed)) = (reads?, connects);
                reads.connect = connect;
                reads.unconnected = failed;
                Ok(reads)
            })
        })
    }
}

async fn read(address: SocketAddr, token: &str, paths: &[String], phase: Duration) -> Result<Reads, Failure> {
    let mut client = Client::connect(address, token).await?;
    let mut reads = Reads::default();
    let mut ticks = interval(READ_EVERY);
    // A slow read delays the next one: a hospital that waits does not ask more.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let begun = Instant::now();
    for path in paths.iter().cycle() {
        ticks.tick().await;
        if begun.elapsed() >= phase {
            break;
        }
        let asked = Instant::now();
        let answered = tokio::time::timeout(PATIENCE, client.get(path)).await;
        reads.latency.push(micros(asked.elapsed()));
        if let Ok(Ok(_)) = answered {
            reads.done += 1;
        } else {
            reads.failed += 1;
            client = Client::connect(address, token).await?;
        }
    }
    if reads.done == 0 {
        return Err(format!("the good hospital could not read at all within {} s", factor_secs(phase)).into());
    }
    Ok(reads)
}

/// Microseconds of each new session, and how many could not be made.
async fn connect(newcomer: &Rogue, phase: Duration) -> (Samples, u64) {
    let (mut samples, mut failed) = (Samples::default(), 0);
    let begun = Instant::now();
    while begun.elapsed() + CONNECT_EVERY < phase {
        let asked = Instant::now();
        match tokio::time::timeout(PATIENCE, newcomer.nine_steps()).await {
            Ok(Ok(())) => samples.push(micros(asked.elapsed())),
            _ => failed += 1,
        }
        sleep(CONNECT_EVERY.saturating_sub(asked.elapsed())).await;
    }
    (samples, failed)
}

fn factor_secs(duration: Duration) -> f64 {
    factor(duration.as_secs())
}
