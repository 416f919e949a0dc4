//! What a service counts and measures, for `/metrics` in the OpenMetrics text format. One registry a service, owned by
//! whoever runs it. Labels are closed sets ([`labels`]); nothing here can hold a text that came from outside.

mod codes;
pub mod labels;
mod process;

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use http::StatusCode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use sealwort_pki::Role;
use sealwort_proto::Step;

use labels::{
    Alone, Answered, Code, Fate, Notice, OfBuild, OfPart, OfWork, OnRoute, Part, Peer, Route, Status, StepName,
    WithCode, WithFate, WithNotice, WithPeer, Work,
};

/// Media type of the scrape.
pub const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

type Histograms<L> = Family<L, Histogram, fn() -> Histogram>;

/// The metrics of one service.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    requests: Family<Answered, Counter>,
    request_seconds: Histograms<OnRoute>,
    requests_in_flight: Gauge,
    step_seconds: Histograms<StepName>,
    step_bytes: Family<StepName, Counter>,
    refusals: Family<WithCode, Counter>,
    store_seconds: Histograms<OfWork>,
    store_failures: Family<OfWork, Counter>,
    notices: Family<WithNotice, Counter>,
    spans: Family<WithFate, Counter>,
    ready: Family<OfPart, Gauge>,
    sessions: Family<WithPeer, Gauge>,
    levels: Levels,
}

/// Gauges that are absent until a service sets them.
#[derive(Debug, Default)]
struct Levels {
    runs: Family<Alone, Gauge>,
    outbox: Family<Alone, Gauge>,
    outbox_refused: Family<Alone, Gauge>,
    open_patients: Family<Alone, Gauge>,
    certificate: Family<Alone, Gauge<f64, AtomicU64>>,
    revocation_list: Family<Alone, Gauge<f64, AtomicU64>>,
}

/// A level that a service reads when it is scraped.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Level {
    /// Sessions that are live.
    Sessions(Peer, u64),
    /// Runs of the nine steps in progress.
    Runs(u64),
    /// Writes that wait at a gateway for the exchange.
    Outbox(u64),
    /// Those of them that the exchange refused for good.
    OutboxRefused(u64),
    /// Patients whom a gateway holds open in memory.
    OpenPatients(u64),
    /// How long the certificates are valid still, in seconds; below zero once they have ended.
    Certificate(f64),
    /// How long the revocation list counts still, in seconds.
    RevocationList(f64),
}

impl Metrics {
    /// The metrics of a service in this role, at zero.
    pub fn new(role: Role) -> Self {
        let labels = [("role".into(), role.as_str().into())];
        let mut metrics = Self {
            registry: Registry::with_labels(labels.into_iter()),
            requests: Family::default(),
            request_seconds: Family::new_with_constructor(seconds),
            requests_in_flight: Gauge::default(),
            step_seconds: Family::new_with_constructor(seconds),
            step_bytes: Family::default(),
            refusals: Family::default(),
            store_seconds: Family::new_with_constructor(seconds),
            store_failures: Family::default(),
            notices: Family::default(),
            spans: Family::default(),
            ready: Family::default(),
            sessions: Family::default(),
            levels: Levels::default(),
        };
        metrics.register();
        metrics.begin_at_zero(role);
        metrics
    }

    fn register(&mut self) {
        let build: Family<OfBuild, Gauge> = Family::default();
        build.get_or_create(&OfBuild { version: env!("CARGO_PKG_VERSION") }).set(1);
        let registry = &mut self.registry;
        registry.register("sealwort_build_info", "The version of the program", build);
        registry.register("sealwort_requests", "Requests answered", self.requests.clone());
        registry.register_with_unit(
            "sealwort_request",
            "Time from a request's head to its answer's head",
            Unit::Seconds,
            self.request_seconds.clone(),
        );
        registry.register(
            "sealwort_requests_in_flight",
            "Requests that are being answered",
            self.requests_in_flight.clone(),
        );
        registry.register_with_unit(
            "sealwort_step",
            "Time of a step of the protocol at the party that takes it",
            Unit::Seconds,
            self.step_seconds.clone(),
        );
        registry.register_with_unit(
            "sealwort_step",
            "Bytes of the messages of a step",
            Unit::Bytes,
            self.step_bytes.clone(),
        );
        registry.register("sealwort_refusals", "Refusals by stable code", self.refusals.clone());
        registry.register_with_unit(
            "sealwort_store",
            "Time until what was written is on disk, for whoever waits for it",
            Unit::Seconds,
            self.store_seconds.clone(),
        );
        registry.register("sealwort_store_failures", "Writes that failed", self.store_failures.clone());
        registry.register("sealwort_notices", "Notices of the broker", self.notices.clone());
        registry.register("sealwort_spans", "Spans of traces", self.spans.clone());
        registry.register("sealwort_ready", "Whether a part of the service works", self.ready.clone());
        registry.register("sealwort_sessions", "Sessions that are live", self.sessions.clone());
        let levels = &self.levels;
        registry.register("sealwort_runs", "Runs of the nine steps in progress", levels.runs.clone());
        registry.register("sealwort_outbox_items", "Writes that wait for the exchange", levels.outbox.clone());
        registry.register(
            "sealwort_outbox_refused_items",
            "Writes that the exchange refused, and that wait for somebody to decide",
            levels.outbox_refused.clone(),
        );
        registry.register("sealwort_open_patients", "Patients held open in memory", levels.open_patients.clone());
        registry.register_with_unit(
            "sealwort_certificate_remaining",
            "Time until the certificates end",
            Unit::Seconds,
            levels.certificate.clone(),
        );
        registry.register_with_unit(
            "sealwort_revocation_list_remaining",
            "Time until the revocation list ends",
            Unit::Seconds,
            levels.revocation_list.clone(),
        );
        registry.register_collector(Box::new(process::Process));
    }

    /// What a role does has its series from the start, so that the first time shows as a rise from zero.
    fn begin_at_zero(&self, role: Role) {
        let (nine, seven): (&[u8], &[u8]) = match role {
            Role::Gateway => (&[1, 4, 9], &[1, 3, 5]),
            Role::Broker => (&[2, 3, 5, 6], &[2, 4]),
            Role::Archive => (&[3, 7, 8], &[6, 7]),
            Role::Ca => (&[], &[]),
        };
        let nine = nine.iter().map(|number| Step::Authentication(*number));
        let steps = nine.chain(seven.iter().map(|number| Step::Transmission(*number)));
        for step in steps.filter_map(StepName::of) {
            drop(self.step_seconds.get_or_create(&step));
            drop(self.step_bytes.get_or_create(&step));
        }
        drop(self.refusals.get_or_create(&WithCode { code: Code::of("") }));
        for work in [Work::Change, Work::Entry] {
            drop(self.store_seconds.get_or_create(&OfWork { work }));
            drop(self.store_failures.get_or_create(&OfWork { work }));
        }
        for fate in Fate::ALL {
            drop(self.spans.get_or_create(&WithFate { fate: *fate }));
        }
    }

    /// A request begins.
    pub(crate) fn begin_request(&self) {
        self.requests_in_flight.inc();
    }

    /// A request ended, answered or not.
    pub(crate) fn end_request(&self) {
        self.requests_in_flight.dec();
    }

    /// A request was answered.
    pub(crate) fn answered(&self, route: Route, status: StatusCode, duration: Duration) {
        self.requests.get_or_create(&Answered { route, status: Status::of(status) }).inc();
        self.request_seconds.get_or_create(&OnRoute { route }).observe(duration.as_secs_f64());
    }

    /// A step was taken.
    pub(crate) fn step(&self, step: StepName, bytes: usize, duration: Duration) {
        self.step_seconds.get_or_create(&step).observe(duration.as_secs_f64());
        self.step_bytes.get_or_create(&step).inc_by(bytes as u64);
    }

    /// Something was refused.
    pub(crate) fn refused(&self, code: Code) {
        self.refusals.get_or_create(&WithCode { code }).inc();
    }

    /// Something was written, or not.
    pub(crate) fn stored(&self, work: Work, duration: Duration, is_done: bool) {
        if is_done {
            self.store_seconds.get_or_create(&OfWork { work }).observe(duration.as_secs_f64());
        } else {
            self.store_failures.get_or_create(&OfWork { work }).inc();
        }
    }

    /// A notice was told or heard.
    pub(crate) fn notice(&self, notice: Notice) {
        self.notices.get_or_create(&WithNotice { notice }).inc();
    }

    /// What became of so many spans.
    pub(crate) fn spans(&self, fate: Fate, count: usize) {
        self.spans.get_or_create(&WithFate { fate }).inc_by(count as u64);
    }

    /// Whether a part of the service works.
    pub(crate) fn ready(&self, part: &'static str, works: bool) {
        self.ready.get_or_create(&OfPart { part: Part(part) }).set(i64::from(works));
    }

    /// Sets a level.
    pub(crate) fn set(&self, level: Level) {
        let whole = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        let levels = &self.levels;
        match level {
            Level::Sessions(peer, count) => drop(self.sessions.get_or_create(&WithPeer { peer }).set(whole(count))),
            Level::Runs(count) => drop(levels.runs.get_or_create(&Alone).set(whole(count))),
            Level::Outbox(count) => drop(levels.outbox.get_or_create(&Alone).set(whole(count))),
            Level::OutboxRefused(count) => drop(levels.outbox_refused.get_or_create(&Alone).set(whole(count))),
            Level::OpenPatients(count) => drop(levels.open_patients.get_or_create(&Alone).set(whole(count))),
            Level::Certificate(seconds) => drop(levels.certificate.get_or_create(&Alone).set(seconds)),
            Level::RevocationList(seconds) => drop(levels.revocation_list.get_or_create(&Alone).set(seconds)),
        }
    }

    /// All as text.
    pub(crate) fn text(&self) -> String {
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = prometheus_client::encoding::text::encode(&mut text, &self.registry);
        text
    }
}

fn seconds() -> Histogram {
    Histogram::new(BUCKETS)
}

/// From half a millisecond, which a read in memory takes, to half a minute, when requests are given up.
const BUCKETS: [f64; 15] = [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_scrape_has_names_labels_and_values() {
        let metrics = Metrics::new(Role::Broker);
        metrics.answered(Route::Channel, StatusCode::FORBIDDEN, Duration::from_millis(3));
        metrics.refused(Code::of("consent-ended"));
        metrics.refused(Code::of("Maria Muster"));
        if let Some(step) = StepName::of(Step::Transmission(4)) {
            metrics.step(step, 7, Duration::ZERO);
        }
        metrics.set(Level::Sessions(Peer::Gateway, 2));
        metrics.set(Level::RevocationList(1.5));
        let text = metrics.text();
        for line in [
            "sealwort_requests_total{role=\"broker\",route=\"channel\",status=\"4xx\"} 1",
            "sealwort_request_seconds_count{role=\"broker\",route=\"channel\"} 1",
            "sealwort_refusals_total{role=\"broker\",code=\"consent-ended\"} 1",
            "sealwort_refusals_total{role=\"broker\",code=\"other\"} 1",
            "sealwort_step_seconds_count{role=\"broker\",phase=\"transmission\",step=\"4\"} 1",
            "sealwort_step_bytes_total{role=\"broker\",phase=\"transmission\",step=\"4\"} 7",
            "sealwort_step_seconds_count{role=\"broker\",phase=\"authentication\",step=\"3\"} 0",
            "sealwort_sessions{role=\"broker\",peer=\"gateway\"} 2",
            "sealwort_revocation_list_remaining_seconds{role=\"broker\"} 1.5",
            "# EOF",
        ] {
            assert!(text.lines().any(|found| found == line), "{line} is not in\n{text}");
        }
        // What a broker does not have is absent, and not zero.
        assert!(!text.contains("sealwort_outbox_items"), "{text}");
        assert!(!text.contains("Maria"), "{text}");
    }
}
