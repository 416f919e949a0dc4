//! Two archive nodes on one PostgreSQL database beside one. The same hospitals store and fetch through two brokers, which both
//! come to the first node or each to one of its own; nothing else differs from phase to phase.

use std::path::Path;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures::future::try_join_all;
use sealwort_fhir::synthetic;

use crate::Thoroughness;
use crate::exchange::{ANY_PORT, Exchange, Settings, serve};
use crate::gateway::hospital::Hospital;
use crate::http_client::Client;
use crate::measure::{Failure, Samples, factor, micros};
use crate::processes::{Binary, Process};
use crate::report::{Report, Row};
use crate::server::Server;

/// Every other one comes to the second broker.
const HOSPITALS: [&str; 8] =
    ["hospital-a", "hospital-b", "hospital-c", "hospital-d", "hospital-e", "hospital-f", "hospital-g", "hospital-h"];
/// So that each of two patients who are read in turns is fetched anew.
const HOLDS_ONE: &str = "open.patients_max=1";
const ROUNDS: usize = 6;
const PHASE_FULL: Duration = Duration::from_secs(5);
const PHASE_QUICK: Duration = Duration::from_secs(1);
/// Resources of a transaction that is stored, and of a patient who is fetched.
const STORED: usize = 10;
const FETCHED: usize = 20;
/// Patients of each hospital who are fetched.
const READ: u64 = 2;
/// Seed of the patients; each hospital has its own, counted on from here.
const SEED: u64 = 5_000;
/// Two nodes of two parties have some connections each.
const SERVER_OPTIONS: [&str; 2] = ["max_connections=200", "shared_buffers=128MB"];
/// How long a session may take to be made anew.
const PATIENCE: Duration = Duration::from_mins(1);
const POLL: Duration = Duration::from_millis(100);

/// What hospitals do in a phase.
#[derive(Clone, Copy)]
enum Work {
    Upload,
    Fetch,
}

/// Where the second broker goes.
#[derive(Clone, Copy)]
enum Nodes {
    One,
    Two,
}

/// The processes that are two, and the hospitals.
struct Parties<'a> {
    binary: &'a Binary,
    exchange: &'a Exchange,
    settings: Settings,
    archive: Process,
    archive_url: String,
    broker: Process,
    broker_listen: String,
    customers: Vec<Customer>,
}

/// A hospital and its only client.
struct Customer {
    hospital: Hospital,
    seed: u64,
    /// Number of its next patient or reading.
    next: u64,
}

/// What phases of one kind came to: how many a second, and CPU time of the archive for each, in microseconds.
#[derive(Default)]
struct Figures {
    rate: Samples,
    cpu: Samples,
    /// Share of one core that the archive took.
    busy: Samples,
}

/// Figures with one archive node and with two.
#[derive(Default)]
struct Compared {
    one: Figures,
    two: Figures,
}

/// Measures and reports.
pub(crate) async fn run(
    thoroughness: Thoroughness,
    folder: &Path,
    binary: &Binary,
    report: &mut Report,
) -> Result<(), Failure> {
    let Some(mut server) = Server::start_in(folder) else {
        report.note("nodes: NOT MEASURED: PostgreSQL is not here");
        return Ok(());
    };
    server.stop();
    for option in SERVER_OPTIONS {
        server.set(option);
    }
    server.resume();
    let place = tempfile::tempdir_in(folder)?;
    let database = || vec![format!("store.url={}", server.url(&server.database()))];
    let settings = Settings { archive: database(), broker: database() };
    let exchange = Exchange::start_with(binary, place.path(), settings.clone()).await?;
    let mut parties = Parties::start(binary, &exchange, settings).await?;

    let phase = if thoroughness == Thoroughness::Full { PHASE_FULL } else { PHASE_QUICK };
    let (mut uploads, mut fetches) = (Compared::default(), Compared::default());
    let rounds = thoroughness.times(ROUNDS);
    for round in 0..rounds {
        // Neither is always the first.
        let order = if round % 2 == 0 { [Nodes::One, Nodes::Two] } else { [Nodes::Two, Nodes::One] };
        for nodes in order {
            parties.arrange(nodes).await?;
            parties.measure(Work::Upload, phase, uploads.of(nodes)).await?;
            parties.measure(Work::Fetch, phase, fetches.of(nodes)).await?;
        }
    }
    report.note(&format!(
        "nodes: {} hospitals, {rounds} rounds of {} s for each kind of work; everything shares {} cores",
        HOSPITALS.len(),
        phase.as_secs(),
        std::thread::available_parallelism()?,
    ));
    uploads.rows("upload", &format!("transactions of {STORED} resources"), report);
    fetches.rows("fetch", &format!("readings of {FETCHED} resources"), report);
    Ok(())
}

impl<'a> Parties<'a> {
    async fn start(binary: &'a Binary, exchange: &'a Exchange, settings: Settings) -> Result<Self, Failure> {
        let place = &exchange.place;
        exchange.copy_folder("archive", "archive-2")?;
        let (archive, archive_listen) =
            serve(binary, place, ("archive", "archive-2"), ANY_PORT, &settings.archive).await?;
        exchange.copy_folder("broker", "broker-2")?;
        let archive_url = format!("https://{archive_listen}");
        let (broker, broker_listen) = broker(binary, exchange, &settings, ANY_PORT, &archive_url).await?;
        let second = format!("broker.url=https://{broker_listen}");
        let mut customers = Vec::new();
        for (number, name) in (0..).zip(HOSPITALS) {
            let mut sets = vec![HOLDS_ONE];
            if number % 2 == 1 {
                sets.push(&second);
            }
            let hospital = Hospital::join(exchange, binary, name, &sets).await?;
            let customer = Customer { hospital, seed: SEED + number, next: READ };
            let mut client = customer.hospital.connect().await?;
            for patient in 0..READ {
                client.post("/fhir", Bytes::from(synthetic::bundle(customer.seed, patient, FETCHED))).await?;
            }
            customers.push(customer);
        }
        Ok(Self { binary, exchange, settings, archive, archive_url, broker, broker_listen, customers })
    }

    /// Starts the second broker anew, at the address that it had, and waits until all hospitals are served.
    async fn arrange(&mut self, nodes: Nodes) -> Result<(), Failure> {
        self.broker.end();
        let archive = match nodes {
            Nodes::One => self.exchange.archive_url(),
            Nodes::Two => self.archive_url.clone(),
        };
        (self.broker, _) = broker(self.binary, self.exchange, &self.settings, &self.broker_listen, &archive).await?;
        for customer in &mut self.customers {
            customer.wait_for_session().await?;
        }
        Ok(())
    }

    /// All hospitals do something for a while.
    async fn measure(&mut self, work: Work, phase: Duration, figures: &mut Figures) -> Result<(), Failure> {
        let (before, begun) = (self.archive_cpu()?, Instant::now());
        let done = try_join_all(self.customers.iter_mut().map(|customer| customer.work(work, phase))).await?;
        let (took, done) = (begun.elapsed().as_secs_f64(), factor(done.iter().sum()));
        let cpu = self.archive_cpu()?.saturating_sub(before);
        figures.rate.push(done / took);
        figures.cpu.push(micros(cpu) / done);
        figures.busy.push(cpu.as_secs_f64() / took);
        Ok(())
    }

    /// CPU time of both nodes so far.
    fn archive_cpu(&self) -> Result<Duration, Failure> {
        Ok(self.exchange.archive.cpu()? + self.archive.cpu()?)
    }
}

/// The second broker, which comes to this archive node.
async fn broker(
    binary: &Binary,
    exchange: &Exchange,
    settings: &Settings,
    listen: &str,
    archive: &str,
) -> Result<(Process, String), Failure> {
    let settings = [&*settings.broker, &[format!("archive.url={archive}")]].concat();
    serve(binary, &exchange.place, ("broker", "broker-2"), listen, &settings).await
}

impl Customer {
    /// Works for a while; gives how often.
    async fn work(&mut self, work: Work, phase: Duration) -> Result<u64, Failure> {
        let mut client = self.hospital.connect().await?;
        let (begun, mut done) = (Instant::now(), 0);
        while begun.elapsed() < phase {
            self.once(&mut client, work).await?;
            done += 1;
        }
        Ok(done)
    }

    async fn once(&mut self, client: &mut Client, work: Work) -> Result<(), Failure> {
        let number = self.next;
        self.next += 1;
        match work {
            Work::Upload => {
                client.post("/fhir", Bytes::from(synthetic::bundle(self.seed, number, STORED))).await?;
            }
            Work::Fetch => {
                let patient = synthetic::patient_id(self.seed, number % READ);
                client.get(&format!("/fhir/Patient/{}", patient.as_str())).await?;
            }
        }
        Ok(())
    }

    /// Fetches until that succeeds, both patients: one may still be open.
    async fn wait_for_session(&mut self) -> Result<(), Failure> {
        let begun = Instant::now();
        loop {
            match self.fetch_all().await {
                Ok(()) => return Ok(()),
                Err(failure) if begun.elapsed() > PATIENCE => return Err(failure),
                Err(_) => tokio::time::sleep(POLL).await,
            }
        }
    }

    async fn fetch_all(&mut self) -> Result<(), Failure> {
        let mut client = self.hospital.connect().await?;
        for _ in 0..READ {
            self.once(&mut client, Work::Fetch).await?;
        }
        Ok(())
    }
}

impl Compared {
    fn of(&mut self, nodes: Nodes) -> &mut Figures {
        match nodes {
            Nodes::One => &mut self.one,
            Nodes::Two => &mut self.two,
        }
    }

    fn rows(&self, name: &str, what: &str, report: &mut Report) {
        let Self { one, two } = self;
        report.note(&format!(
            "nodes.{name}: the archive took {:.2} cores with one node, {:.2} with two",
            one.busy.median(),
            two.busy.median()
        ));
        report.row(
            Row::new(format!("nodes.{name}"), format!("{what}, two archive nodes"), two.rate.median(), "/s")
                .against("one archive node", one.rate.median()),
        );
        report.row(
            Row::new(format!("nodes.{name}.cpu"), "CPU of the archive for each, two nodes", two.cpu.median(), "µs")
                .against("one archive node", one.cpu.median()),
        );
    }
}
