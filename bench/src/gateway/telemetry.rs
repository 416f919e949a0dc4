//! What traces and metrics cost: the same readings in exchanges that differ in `[telemetry]` alone. All of them run all the
//! time, and take turns. Metrics are always counted; what a scrape costs is measured beside a request that does nothing.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt as _, Empty};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use sealwort_fhir::synthetic;
use sealwort_net::traces::KEPT_FILE;
use tokio::net::TcpListener;

use super::hospital::Hospital;
use crate::Thoroughness;
use crate::exchange::{ANY_PORT, Exchange, Settings};
use crate::http_client::Client;
use crate::measure::{Failure, Samples, factor, micros};
use crate::processes::Binary;
use crate::report::{Report, Row};
use crate::server::free_port;

/// Rounds, and readings of each kind in a round.
const ROUNDS: usize = 40;
const FETCHES: u64 = 50;
const READS: u64 = 500;
const SCRAPES: u64 = 20;
/// Resources of each of two patients, of whom the gateway holds one open.
const RESOURCES: usize = 20;
const HOLDS_ONE: &str = "open.patients_max=1";
const SEED: u64 = 7_000;
/// As much as `docs/observability.md` names.
const KEEP: &str = "telemetry.keep=8MiB";
/// Longer than spans are gathered before they go out, which is work as well.
const GATHERED: Duration = Duration::from_millis(300);

/// An exchange with one hospital, and what its readings took.
struct Variant {
    name: &'static str,
    what: &'static str,
    exchange: Exchange,
    hospital: Hospital,
    fetches: Figures,
    reads: Figures,
}

/// Readings of one kind: microseconds of each, and CPU time of all, which is told in ticks of 10 ms.
#[derive(Default)]
struct Figures {
    latency: Samples,
    cpu: Duration,
    count: u64,
}

/// Takes what is sent by OTLP.
struct Collector {
    url: String,
    received: Arc<AtomicU64>,
}

/// Measures and reports.
pub(crate) async fn run(
    thoroughness: Thoroughness,
    folder: &Path,
    binary: &Binary,
    report: &mut Report,
) -> Result<(), Failure> {
    let place = tempfile::tempdir_in(folder)?;
    let collector = Collector::start().await?;
    let exported = format!("telemetry.endpoint={}", collector.url);
    let health = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()));
    let listens = format!("health.address={health}");
    let mut off = Variant::start(binary, place.path(), ("off", "traces off"), None, &[&listens]).await?;
    let kept = Variant::start(binary, place.path(), ("kept", "traces kept"), Some(KEEP), &[]).await?;
    let exported =
        Variant::start(binary, place.path(), ("exported", "traces to a collector"), Some(&exported), &[]).await?;
    let kept_file = kept.exchange.place.join("hospital-a").join(KEPT_FILE);
    let mut others = [kept, exported];
    let rounds = thoroughness.times(ROUNDS);
    let (mut scrapes, mut nothing) = (Samples::default(), Samples::default());
    // The first round does not count.
    for round in 0..=rounds {
        let mut all: Vec<&mut Variant> = std::iter::once(&mut off).chain(&mut others).collect();
        // None is always the first.
        let first = round % all.len();
        all.rotate_left(first);
        for variant in all {
            variant.read(round > 0).await?;
        }
        let mut client = Client::connect(health, &off.hospital.token).await?;
        for number in 0..SCRAPES {
            let mut pair = [("/metrics", &mut scrapes), ("/livez", &mut nothing)];
            if number % 2 == 1 {
                pair.reverse();
            }
            for (path, samples) in pair {
                let begun = Instant::now();
                client.get(path).await?;
                samples.push_micros(begun.elapsed());
            }
        }
    }
    let received = collector.received.load(Ordering::Relaxed);
    if received == 0 || !kept_file.exists() {
        return Err("spans went nowhere".into());
    }
    report.note(&format!(
        "telemetry: {rounds} rounds of {FETCHES} fetches and {READS} reads for each; the collector took {received} bytes; \
         load average {}",
        super::load_average()
    ));
    for variant in &others {
        variant.rows(&off, report);
    }
    report.row(
        Row::new("telemetry.scrape", "GET /metrics of a gateway", scrapes.median(), "µs")
            .against("GET /livez", nothing.median()),
    );
    Ok(())
}

impl Variant {
    async fn start(
        binary: &Binary,
        place: &Path,
        (name, what): (&'static str, &'static str),
        traces: Option<&str>,
        sets: &[&str],
    ) -> Result<Self, Failure> {
        let place = place.join(name);
        std::fs::create_dir(&place)?;
        let settings: Vec<String> = traces.into_iter().map(str::to_owned).collect();
        let settings = Settings { archive: settings.clone(), broker: settings };
        let exchange = Exchange::start_with(binary, &place, settings).await?;
        let sets: Vec<&str> = sets.iter().copied().chain(traces).chain([HOLDS_ONE]).collect();
        let hospital = Hospital::join(&exchange, binary, "hospital-a", &sets).await?;
        let mut client = hospital.connect().await?;
        for patient in 0..2 {
            client.post("/fhir", Bytes::from(synthetic::bundle(SEED, patient, RESOURCES))).await?;
        }
        Ok(Self { name, what, exchange, hospital, fetches: Figures::default(), reads: Figures::default() })
    }

    /// A round.
    async fn read(&mut self, counts: bool) -> Result<(), Failure> {
        // Two patients in turns, each of whom has to be fetched; then the last of them, who is open.
        let fetches = self.ask(FETCHES, |number| number % 2).await?;
        let reads = self.ask(READS, |_| (FETCHES - 1) % 2).await?;
        if counts {
            self.fetches.append(fetches);
            self.reads.append(reads);
        }
        Ok(())
    }

    async fn ask(&self, times: u64, patient: impl Fn(u64) -> u64) -> Result<Figures, Failure> {
        let mut client = self.hospital.connect().await?;
        let (mut figures, before) = (Figures::default(), self.cpu()?);
        for number in 0..times {
            let path = format!("/fhir/Patient/{}", synthetic::patient_id(SEED, patient(number)).as_str());
            let begun = Instant::now();
            client.get(&path).await?;
            figures.latency.push_micros(begun.elapsed());
        }
        tokio::time::sleep(GATHERED).await;
        (figures.cpu, figures.count) = (self.cpu()?.saturating_sub(before), times);
        Ok(figures)
    }

    /// Of gateway, broker and archive together, so far.
    fn cpu(&self) -> Result<Duration, Failure> {
        Ok(self.hospital.process.cpu()? + self.exchange.broker.cpu()? + self.exchange.archive.cpu()?)
    }

    fn rows(&self, off: &Self, report: &mut Report) {
        let kinds = [("fetch", &self.fetches, &off.fetches), ("read", &self.reads, &off.reads)];
        for (kind, ours, theirs) in kinds {
            for (part, unit_of, ours, theirs) in [
                ("p50", "latency", ours.latency.median(), theirs.latency.median()),
                ("p99", "latency", ours.latency.quantile(0.99), theirs.latency.quantile(0.99)),
                ("cpu", "CPU of all parties each", ours.cpu_each(), theirs.cpu_each()),
            ] {
                let name = format!("telemetry.{}.{kind}.{part}", self.name);
                let row = Row::new(name, format!("{kind}, {}, {unit_of}", self.what), ours, "µs");
                report.row(row.against(off.what, theirs));
            }
        }
    }
}

impl Figures {
    fn append(&mut self, other: Self) {
        self.latency.append(other.latency);
        self.cpu += other.cpu;
        self.count += other.count;
    }

    fn cpu_each(&self) -> f64 {
        micros(self.cpu) / factor(self.count)
    }
}

impl Collector {
    async fn start() -> Result<Self, Failure> {
        let listener = TcpListener::bind(ANY_PORT).await?;
        let url = format!("http://{}", listener.local_addr()?);
        let received = Arc::<AtomicU64>::default();
        let taken = Arc::clone(&received);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let taken = Arc::clone(&taken);
                let take = service_fn(move |request| take(request, Arc::clone(&taken)));
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), take));
            }
        });
        Ok(Self { url, received })
    }
}

async fn take(request: Request<Incoming>, taken: Arc<AtomicU64>) -> Result<Response<Empty<Bytes>>, hyper::Error> {
    let message = request.into_body().collect().await?.to_bytes();
    taken.fetch_add(message.len() as u64, Ordering::Relaxed);
    Ok(Response::new(Empty::new()))
}
