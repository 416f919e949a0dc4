//! `/livez` and `/readyz`: is the process alive, and is it able to serve; and `/metrics`. The answers name parts
//! of the service, never its data.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, PoisonError, RwLock};

use axum::Router;
use axum::routing::get;
use http::{StatusCode, header};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use crate::config::HealthConfig;
use crate::metrics::OPEN_METRICS;
use crate::observe::Observation;
use crate::server::Server;
use crate::shutdown::Shutdown;

/// What a service needs before it can serve, part by part. Clones share the state.
#[derive(Debug, Clone, Default)]
pub struct Readiness {
    parts: Arc<RwLock<BTreeMap<&'static str, Option<String>>>>,
}

impl Readiness {
    /// Nothing needed yet: ready.
    pub fn new() -> Self {
        Self::default()
    }

    /// Not ready until [`Self::started`].
    pub fn starting() -> Self {
        let readiness = Self::new();
        readiness.not_ready(START, "it is not done");
        readiness
    }

    /// The service takes requests.
    pub fn started(&self) {
        self.ready(START);
    }

    /// Says that `part` works.
    pub fn ready(&self, part: &'static str) {
        self.set(part, None);
    }

    /// Says that `part` does not work, and why.
    pub fn not_ready(&self, part: &'static str, reason: impl Into<String>) {
        self.set(part, Some(reason.into()));
    }

    /// All parts, and whether each works.
    pub fn parts(&self) -> Vec<(&'static str, bool)> {
        let parts = self.parts.read().unwrap_or_else(PoisonError::into_inner);
        parts.iter().map(|(part, reason)| (*part, reason.is_none())).collect()
    }

    /// The parts that do not work, each with its reason.
    pub fn missing(&self) -> Vec<(&'static str, String)> {
        self.parts
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .iter()
            .filter_map(|(part, reason)| Some((*part, reason.clone()?)))
            .collect()
    }

    /// The signal to stop, `config.drain_delay` after the one that is given. Until then the service goes on and is not
    /// ready, so that load balancers send it nothing new.
    pub fn drained(&self, config: &HealthConfig, shutdown: Shutdown) -> Shutdown {
        let (trigger, stopping) = Shutdown::channel();
        let (readiness, delay) = (self.clone(), config.drain_delay.0);
        tokio::spawn(async move {
            shutdown.wait().await;
            readiness.not_ready(WHOLE, "it is stopping");
            tokio::time::sleep(delay).await;
            trigger.fire();
        });
        stopping
    }

    fn set(&self, part: &'static str, reason: Option<String>) {
        self.parts.write().unwrap_or_else(PoisonError::into_inner).insert(part, reason);
    }
}

/// The two routes, to be merged into a service's own.
pub fn router(readiness: Readiness) -> Router {
    Router::new().route(LIVE_PATH, get(async || "ok\n")).route(READY_PATH, get(async move || ready(&readiness)))
}

/// A listener of its own for probes and metrics.
#[derive(Debug)]
pub struct Listening {
    /// Where it listens.
    pub address: SocketAddr,
    /// Ends with the service.
    pub task: JoinHandle<()>,
}

/// Serves the two routes and the metrics alone over plain HTTP where that is configured, until `shutdown`: a load balancer
/// has no certificate of the exchange.
pub async fn listen(
    config: &HealthConfig,
    readiness: Readiness,
    observation: Observation,
    shutdown: Shutdown,
) -> Result<Option<Listening>, (SocketAddr, io::Error)> {
    let Some(wanted) = config.address else { return Ok(None) };
    let refused = |error| (wanted, error);
    let listener = TcpListener::bind(wanted).await.map_err(refused)?;
    let address = listener.local_addr().map_err(refused)?;
    let scraped = readiness.clone();
    let metrics = get(async move || ([(header::CONTENT_TYPE, OPEN_METRICS)], observation.scrape(&scraped).await));
    let server = Server::new(router(readiness).route(METRICS_PATH, metrics));
    let task = tokio::spawn(async move {
        server.serve(listener, shutdown).await;
    });
    Ok(Some(Listening { address, task }))
}

fn ready(readiness: &Readiness) -> (StatusCode, String) {
    let missing = readiness.missing();
    if missing.is_empty() {
        return (StatusCode::OK, "ok\n".to_owned());
    }
    let mut text = String::new();
    for (part, reason) in missing {
        let _ = writeln!(text, "{part}: {reason}");
    }
    (StatusCode::SERVICE_UNAVAILABLE, text)
}

/// The part that works once requests are taken: `/readyz` may be asked before.
const START: &str = "start";
/// The service as a whole.
pub(crate) const WHOLE: &str = "service";
/// Answers as long as the process serves requests at all.
pub const LIVE_PATH: &str = "/livez";
/// Answers 200 when every part works, else 503 and the parts that do not.
pub const READY_PATH: &str = "/readyz";
/// Answers what the service counts, on the listener of its own.
pub const METRICS_PATH: &str = "/metrics";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn not_ready_until_every_part_is() {
        let readiness = Readiness::starting();
        assert_eq!(ready(&readiness), (StatusCode::SERVICE_UNAVAILABLE, "start: it is not done\n".to_owned()));
        readiness.started();
        readiness.not_ready("store", "opening");
        readiness.ready("ca");
        assert_eq!(ready(&readiness), (StatusCode::SERVICE_UNAVAILABLE, "store: opening\n".to_owned()));
        readiness.ready("store");
        assert_eq!(ready(&readiness).0, StatusCode::OK);
    }
}
