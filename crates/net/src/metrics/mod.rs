//! What a service counts and measures, for `/metrics` in the OpenMetrics text format. One registry a service, owned by
//! whoever runs it. Labels are closed sets ([`labels`]); nothing here can hold a text that came from outside.

mod codes;
pub mod labels;
mod process;

use std::sync::atomic::AtomicU64;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use http::StatusCode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Metric, Registry, Unit};
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
    levels: Levels,
    /// Held while levels are set and told.
    telling: Mutex<()>,
}

/// Gauges that are absent unless a service sets them for a scrape.
#[derive(Debug, Default)]
struct Levels {
    sessions: Family<WithPeer, Gauge>,
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
            levels: Levels::default(),
            telling: Mutex::default(),
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
        let about = "Time from a request's head to its answer's head";
        time(registry, "sealwort_request", about, &self.request_seconds);
        let about = "Requests that hold a place until their answers are sent, of limits.requests_max";
        registry.register("sealwort_requests_in_flight", about, self.requests_in_flight.clone());
        let about = "Time of a step of the protocol at the party that takes it";
        time(registry, "sealwort_step", about, &self.step_seconds);
        let about = "Bytes of the messages of a step";
        registry.register_with_unit("sealwort_step", about, Unit::Bytes, self.step_bytes.clone());
        registry.register("sealwort_refusals", "Refusals by stable code", self.refusals.clone());
        let about = "Time until what was written is on disk, for whoever waits for it";
        time(registry, "sealwort_store", about, &self.store_seconds);
        registry.register("sealwort_store_failures", "Writes that failed", self.store_failures.clone());
        registry.register("sealwort_notices", "Notices of the broker", self.notices.clone());
        registry.register("sealwort_spans", "Spans of traces", self.spans.clone());
        registry.register("sealwort_ready", "Whether a part of the service works", self.ready.clone());
        let levels = &self.levels;
        registry.register("sealwort_sessions", "Sessions that are live", levels.sessions.clone());
        registry.register("sealwort_runs", "Runs of the nine steps in progress", levels.runs.clone());
        registry.register("sealwort_outbox_items", "Writes that wait for the exchange", levels.outbox.clone());
        let about = "Writes that the exchange refused, and that wait for somebody to decide";
        registry.register("sealwort_outbox_refused_items", about, levels.outbox_refused.clone());
        registry.register("sealwort_open_patients", "Patients held open in memory", levels.open_patients.clone());
        time(registry, "sealwort_certificate_remaining", "Time until the certificates end", &levels.certificate);
        let about = "Time until the revocation list ends";
        time(registry, "sealwort_revocation_list_remaining", about, &levels.revocation_list);
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
        for name in TAMPERING.into_iter().chain([""]) {
            drop(self.refusals.get_or_create(&WithCode { code: Code::of(name) }));
        }
        let appends = (role == Role::Archive).then_some(Work::Append);
        for work in [Work::Change, Work::Entry].into_iter().chain(appends) {
            drop(self.store_seconds.get_or_create(&OfWork { work }));
            drop(self.store_failures.get_or_create(&OfWork { work }));
        }
        for fate in Fate::ALL {
            drop(self.spans.get_or_create(&WithFate { fate: *fate }));
        }
    }

    /// A request took a place.
    pub(crate) fn begin_request(&self) {
        self.requests_in_flight.inc();
    }

    /// A request gave its place back.
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

    /// All as text, with these levels. A level that nobody could read is absent, and does not stay as it was.
    pub(crate) fn text(&self, read: impl IntoIterator<Item = Level>) -> String {
        let _telling = self.telling.lock().unwrap_or_else(PoisonError::into_inner);
        self.levels.clear();
        for level in read {
            self.levels.set(level);
        }
        let mut text = String::new();
        // Writing to a string cannot fail.
        let _ = prometheus_client::encoding::text::encode(&mut text, &self.registry);
        text
    }
}

impl Levels {
    fn clear(&self) {
        self.sessions.clear();
        for family in [&self.runs, &self.outbox, &self.outbox_refused, &self.open_patients] {
            family.clear();
        }
        self.certificate.clear();
        self.revocation_list.clear();
    }

    fn set(&self, level: Level) {
        let whole = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        match level {
            Level::Sessions(peer, count) => drop(self.sessions.get_or_create(&WithPeer { peer }).set(whole(count))),
            Level::Runs(count) => drop(self.runs.get_or_create(&Alone).set(whole(count))),
            Level::Outbox(count) => drop(self.outbox.get_or_create(&Alone).set(whole(count))),
            Level::OutboxRefused(count) => drop(self.outbox_refused.get_or_create(&Alone).set(whole(count))),
            Level::OpenPatients(count) => drop(self.open_patients.get_or_create(&Alone).set(whole(count))),
            Level::Certificate(seconds) => drop(self.certificate.get_or_create(&Alone).set(seconds)),
            Level::RevocationList(seconds) => drop(self.revocation_list.get_or_create(&Alone).set(seconds)),
        }
    }
}

fn seconds() -> Histogram {
    Histogram::new(BUCKETS)
}

/// Registers what is in seconds.
fn time(registry: &mut Registry, name: &str, about: &str, metric: &(impl Metric + Clone)) {
    registry.register_with_unit(name, about, Unit::Seconds, metric.clone());
}

/// Codes of what must never happen. An alert waits for the first of each, and a rise is seen only from a series that was there.
const TAMPERING: [&str; 5] =
    ["log-inconsistent", "log-rewritten", "log-rolled-back", "signature-wrong", "statement-invalid"];

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
        let text = metrics.text([Level::Sessions(Peer::Gateway, 2), Level::RevocationList(1.5)]);
        for line in [
            "sealwort_requests_total{role=\"broker\",route=\"channel\",status=\"4xx\"} 1",
            "sealwort_request_seconds_count{role=\"broker\",route=\"channel\"} 1",
            "sealwort_refusals_total{role=\"broker\",code=\"consent-ended\"} 1",
            "sealwort_refusals_total{role=\"broker\",code=\"other\"} 1",
            "sealwort_refusals_total{role=\"broker\",code=\"log-rolled-back\"} 0",
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
        // Nor is it what it was, where it cannot be read any more.
        let text = metrics.text([Level::Runs(3)]);
        assert!(text.contains("sealwort_runs{role=\"broker\"} 3\n"), "{text}");
        assert!(!text.contains("sealwort_sessions{") && !text.contains("revocation_list_remaining_seconds{"), "{text}");
    }

    #[test]
    fn a_first_failure_rises_from_zero() {
        let text = Metrics::new(Role::Archive).text([]);
        for code in TAMPERING {
            let line = format!("sealwort_refusals_total{{role=\"archive\",code=\"{code}\"}} 0\n");
            assert!(text.contains(&line), "{line} is not in\n{text}");
        }
        for work in Work::ALL {
            let line = format!("sealwort_store_failures_total{{role=\"archive\",work=\"{}\"}} 0\n", work.as_str());
            assert!(text.contains(&line), "{line} is not in\n{text}");
        }
    }
}
