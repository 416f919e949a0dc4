//! What a service tells of itself: metrics, and the spans of traces. A service has one [`Observation`]; work that belongs
//! to it runs in its scope, so that what happens deep inside a request needs nobody to hand the observation along. Log
//! events within a request carry its trace and span.

use std::fmt;
use std::path::Path;
use std::pin::Pin;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use http::{HeaderMap, HeaderValue, Request, StatusCode};
use sealwort_pki::{Identity, Role};
use tracing::{Instrument as _, Span};

use crate::config::TelemetryConfig;
use crate::health::{self, Readiness};
use crate::member::Member;
use crate::metrics::labels::{Code, Fate, Notice, Route, StepName, Verb, Work};
use crate::metrics::{Level, Metrics};
use crate::steps::StepReport;
use crate::telemetry::TelemetryError;
use crate::tls::HopPeer;
use crate::traces::{Attribute, Context, Name, Names, Owner, Record, Sink, SpanId, TRACE_ID, TRACEPARENT};

/// What one service counts and traces. Clones are the same one.
#[derive(Clone)]
pub struct Observation(Arc<Shared>);

struct Shared {
    role: Role,
    metrics: Arc<Metrics>,
    sink: Sink,
    /// Of a gateway that keeps spans.
    names: Option<Names>,
    sources: Mutex<Vec<Source>>,
}

/// Reads levels when the service is scraped.
type Source = Arc<dyn Fn() -> Reading + Send + Sync>;
/// Levels, once they are read.
pub type Reading = Pin<Box<dyn Future<Output = Vec<Level>> + Send>>;

/// The span that work belongs to.
#[derive(Clone)]
struct Here {
    context: Context,
    /// The first refusal within it.
    refused: Arc<OnceLock<Code>>,
}

/// Whose work it is, and of which span, for work that goes on elsewhere: in another task, or in a stream.
#[derive(Clone)]
pub struct Scope {
    inner: Option<(Observation, Option<Here>)>,
    log: Span,
}

tokio::task_local! {
    static SCOPE: (Observation, Option<Here>);
}

impl Observation {
    /// The observation of a service that begins. Needs a runtime where traces are wanted.
    pub fn open(identity: &Identity, config: &TelemetryConfig, folder: &Path) -> Result<Self, TelemetryError> {
        let metrics = Arc::new(Metrics::new(identity.role));
        let owner = Owner { role: identity.role.as_str(), party: identity.to_string().into() };
        let sink = Sink::open(owner, config, folder, Arc::clone(&metrics))?;
        let keeps_names = identity.role == Role::Gateway && config.keep.0 > 0;
        let names = keeps_names.then(|| Names::open(folder)).transpose()?;
        Ok(Self(Arc::new(Shared { role: identity.role, metrics, sink, names, sources: Mutex::default() })))
    }

    /// Has levels read whenever the service is scraped.
    pub fn reads(&self, source: impl Fn() -> Reading + Send + Sync + 'static) {
        self.0.sources.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::new(source));
    }

    /// Has the rest of life of a party's certificates and of its revocation list read.
    pub fn reads_member(&self, member: &Arc<Member>) {
        let member = Arc::downgrade(member);
        self.reads(move || {
            let levels = member.upgrade().map(|member| {
                let now = member.trust().now();
                let list = member.trust().current().newest();
                let certificate = Level::Certificate(remaining(member.membership().not_after(), now));
                let list = list.map(|list| Level::RevocationList(remaining(list.next_update, now)));
                [Some(certificate), list].into_iter().flatten().collect()
            });
            Box::pin(std::future::ready(levels.unwrap_or_default()))
        });
    }

    /// Everything as it is now, in the OpenMetrics text format.
    pub async fn scrape(&self, readiness: &Readiness) -> String {
        let sources = self.0.sources.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let mut levels = Vec::new();
        for source in sources {
            levels.extend(source().await);
        }
        for (part, works) in readiness.parts() {
            self.0.metrics.ready(part, works);
        }
        self.0.metrics.ready(health::WHOLE, readiness.missing().is_empty());
        self.0.metrics.text(levels)
    }

    /// Runs work of this service that belongs to no request.
    pub async fn scope<T>(&self, work: impl Future<Output = T>) -> T {
        SCOPE.scope((self.clone(), None), work).await
    }

    /// Sends what spans there are, before the service ends.
    pub async fn close(&self) {
        self.0.sink.flush().await;
    }

    /// A request has a place among those that are taken at once.
    pub(crate) fn counted(&self) -> Counted {
        self.0.metrics.begin_request();
        Counted(Arc::clone(&self.0.metrics))
    }

    /// A request begins; `peer` is the party whose connection it came over, where it is one of the exchange.
    pub(crate) fn begin<B>(&self, request: &Request<B>, peer: Option<&HopPeer>) -> Begun {
        let (method, headers) = (request.method(), request.headers());
        let route = Route::of(method, request.uri().path());
        let theirs = headers.get(TRACEPARENT).and_then(|value| value.to_str().ok());
        let theirs: Option<Context> = theirs.and_then(|text| text.parse().ok());
        let names = self.0.names.as_ref().map(|names| names.of_request(headers, theirs)).unwrap_or_default();
        // What comes from outside of the exchange goes no further: a trace may be a patient's number.
        let parent = theirs.filter(|_| peer.is_some());
        // Probes come all the time, and tell of nothing.
        let here = (route != Route::Health)
            .then(|| Here { context: parent.map_or_else(Context::new_trace, Context::child), refused: Arc::default() });
        Begun {
            observation: self.clone(),
            route,
            verb: Verb::of(method),
            since: Instant::now(),
            at: SystemTime::now(),
            parent: parent.map(|parent| parent.span),
            names,
            here,
        }
    }

    /// A step was taken, for the request that is being answered.
    pub(crate) fn step(&self, report: &StepReport) {
        let Some(step) = StepName::of(report.step) else { return };
        self.0.metrics.step(step, report.bytes, report.duration);
        let attributes = vec![Attribute::Way(report.route), Attribute::Bytes(report.bytes)];
        self.span(Name::Step(step), report.duration, None, attributes);
    }

    /// Records a span that ends now, within the one that is going on.
    fn span(&self, name: Name, duration: Duration, refused: Option<Code>, attributes: Vec<Attribute>) {
        // Alone it would be a trace of one span.
        let Some(parent) = here().map(|here| here.context).filter(|_| self.0.sink.is_open()) else { return };
        self.record(Record {
            context: parent.child(),
            parent: Some(parent.span),
            name,
            start: SystemTime::now().checked_sub(duration).unwrap_or(SystemTime::UNIX_EPOCH),
            duration,
            refused,
            attributes,
            names: Vec::new(),
        });
    }

    fn record(&self, record: Record) {
        if !self.0.sink.take(record) {
            self.0.metrics.spans(Fate::Lost, 1);
        }
    }

    /// Runs work as a span of its own, in the trace that is going on or in a new one. `code` names a failure.
    pub async fn within<T, E>(
        &self,
        name: Name,
        code: impl FnOnce(&E) -> &str,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        let parent = here().map(|here| here.context);
        let context = parent.map_or_else(Context::new_trace, Context::child);
        let (begun, at) = (Instant::now(), SystemTime::now());
        let within = Here { context, refused: Arc::default() };
        let log = log_span(context);
        let outcome = SCOPE.scope((self.clone(), Some(within)), work.instrument(log)).await;
        if self.0.sink.is_open() {
            self.record(Record {
                context,
                parent: parent.map(|parent| parent.span),
                name,
                start: at,
                duration: begun.elapsed(),
                refused: outcome.as_ref().err().map(|error| Code::of(code(error))),
                attributes: Vec::new(),
                names: Vec::new(),
            });
        }
        outcome
    }
}

impl fmt::Debug for Observation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Observation").field("role", &self.0.role).finish_non_exhaustive()
    }
}

/// A request that has a place, until this is dropped.
pub(crate) struct Counted(Arc<Metrics>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.end_request();
    }
}

/// A request that is being answered.
pub(crate) struct Begun {
    observation: Observation,
    route: Route,
    verb: Verb,
    since: Instant,
    at: SystemTime,
    parent: Option<SpanId>,
    names: Vec<String>,
    here: Option<Here>,
}

impl Begun {
    /// Runs what answers it.
    pub(crate) async fn run<T>(&self, work: impl Future<Output = T>) -> T {
        let scope = (self.observation.clone(), self.here.clone());
        match &self.here {
            Some(here) => SCOPE.scope(scope, work.instrument(log_span(here.context))).await,
            None => SCOPE.scope(scope, work).await,
        }
    }

    /// It is answered. People are told its trace.
    pub(crate) fn answered(self, status: StatusCode, headers: &mut HeaderMap) {
        let duration = self.since.elapsed();
        let shared = &self.observation.0;
        shared.metrics.answered(self.route, status, duration);
        let Some(here) = &self.here else { return };
        if shared.role == Role::Gateway
            && let Ok(trace) = HeaderValue::from_str(&here.context.trace.to_string())
        {
            headers.insert(TRACE_ID, trace);
        }
        if !shared.sink.is_open() {
            return;
        }
        let failed = status.is_client_error() || status.is_server_error();
        let refused = here.refused.get().copied().or_else(|| failed.then(|| Code::of("")));
        let mut attributes = vec![Attribute::Verb(self.verb), Attribute::Status(status.as_u16())];
        attributes.extend(refused.map(Attribute::Code));
        self.observation.record(Record {
            context: here.context,
            parent: self.parent,
            name: Name::Request(self.route),
            start: self.at,
            duration,
            refused,
            attributes,
            names: self.names.clone(),
        });
    }
}

impl Scope {
    /// That of the work that is going on.
    pub fn here() -> Self {
        Self { inner: SCOPE.try_with(Clone::clone).ok(), log: Span::current() }
    }

    /// Runs work in it.
    pub async fn run<T>(&self, work: impl Future<Output = T>) -> T {
        match &self.inner {
            Some(inner) => SCOPE.scope(inner.clone(), work.instrument(self.log.clone())).await,
            None => work.await,
        }
    }
}

/// Work that goes on in another task and belongs to the same request.
pub fn follow<F: Future>(work: F) -> impl Future<Output = F::Output> {
    let scope = Scope::here();
    async move { scope.run(work).await }
}

/// Something was refused with this stable code, in the request that is being answered.
pub fn refused(code: &str) {
    let code = Code::of(code);
    // Outside of any service there is nobody to count it.
    let _ = SCOPE.try_with(|(observation, here)| {
        observation.0.metrics.refused(code);
        if let Some(here) = here {
            // The first one is the cause of the others.
            let _ = here.refused.set(code);
        }
    });
}

/// Whether something was refused so far, in the request that is being answered.
pub fn was_refused() -> bool {
    here().is_some_and(|here| here.refused.get().is_some())
}

/// A notice of the broker's was told or heard.
pub fn notice(notice: Notice) {
    let _ = SCOPE.try_with(|(observation, _)| observation.0.metrics.notice(notice));
}

/// Waits for something to be written, and measures how long. `is_failure` tells what is wrong with the store from what it
/// answers to whom it asked in vain, as that a patient was erased.
pub async fn stored<T, E>(
    work: Work,
    is_failure: impl FnOnce(&E) -> bool,
    writing: impl Future<Output = Result<T, E>>,
) -> Result<T, E> {
    let begun = Instant::now();
    let outcome = writing.await;
    let _ = SCOPE.try_with(|(observation, _)| {
        let duration = begun.elapsed();
        let failed = outcome.as_ref().is_err_and(is_failure);
        observation.0.metrics.stored(work, duration, !failed);
        observation.span(Name::Store(work), duration, failed.then(|| Code::of("storage-failed")), Vec::new());
    });
    outcome
}

/// The trace to hand on, in the request that is being answered.
pub(crate) fn traceparent() -> Option<HeaderValue> {
    here().and_then(|here| HeaderValue::from_str(&here.context.to_string()).ok())
}

fn here() -> Option<Here> {
    SCOPE.try_with(|(_, here)| here.clone()).ok().flatten()
}

/// Log events within it carry both ids, whatever is filtered: it is as loud as can be.
fn log_span(context: Context) -> Span {
    tracing::error_span!("request", trace_id = %context.trace, span_id = %context.span)
}

/// From `now` until `end`, in seconds; below zero where it is past.
pub fn remaining(end: sealwort_pki::UnixTime, now: sealwort_pki::UnixTime) -> f64 {
    let (ahead, past) = (end.since(now), now.since(end));
    ahead.as_secs_f64() - past.as_secs_f64()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use sealwort_pki::testing::{TEST_NOW, TestExchange};
    use sealwort_pki::{Expected, KeyUse};

    use super::*;
    use crate::tls::ConnectionId;

    #[test]
    fn strangers_have_no_say_in_the_traces_of_the_exchange() {
        const THEIRS: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
        let exchange = TestExchange::new("test");
        let hop = exchange.party(Role::Gateway, "a").hop.chain;
        let party = exchange.trust().verify(&hop, &Expected::anybody(KeyUse::Hop), TEST_NOW).unwrap();
        let peer = HopPeer::new(Arc::new(party), [0; 32], ConnectionId::next());
        let request = Request::get("/").header(TRACEPARENT, format!("00-{THEIRS}-00f067aa0ba902b7-01"));
        let request = request.body(()).unwrap();
        for (role, name) in [(Role::Ca, "ca"), (Role::Broker, "t"), (Role::Gateway, "b")] {
            let identity = exchange.party(role, name).identity;
            let service = Observation::open(&identity, &TelemetryConfig::default(), Path::new("")).unwrap();
            let trace_of = |peer| {
                let begun = service.begin(&request, peer);
                (begun.here.unwrap().context.trace.to_string() == THEIRS, begun.parent.is_some())
            };
            assert_eq!(trace_of(Some(&peer)), (true, true), "{role:?}");
            assert_eq!(trace_of(None), (false, false), "{role:?}");
        }
    }
}
