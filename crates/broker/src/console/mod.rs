//! The operator's console: pages about the exchange as this node of the broker sees it, on a listener of their own. They
//! show parties, certificates, sessions, keys, the audit log and the broker's health, and nothing about patients: no
//! pseudonym, locator or tag, and no name of a hospital's user. Routes of gateways are not here, and these are not there.

mod ask;
mod attention;
mod audit;
mod config;
mod diagnosis;
mod form;
mod frame;
mod keys;
mod overview;
mod participants;
mod parties;
mod refusals;
mod sessions;
mod sign_in;
mod storage;
mod throughput;
mod verification;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::middleware::from_fn_with_state;
use axum::response::Response;
use axum::routing::{get, post};
use http::{StatusCode, Uri};
use sealwort_net::Shutdown;
use sealwort_net::client::{Endpoint, Endpoints, HopClient};
use sealwort_net::health::Readiness;
use sealwort_net::server::{Proxies, Server};
use sealwort_net::tls::{ServerTls, public_server_config, read_pem};
use sealwort_net::transport::Listener;
use sealwort_pages::assets;
use sealwort_pages::words::console as words;
use sealwort_pki::{Role, UnixTime};
use sealwort_proto::SessionId;
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;

use crate::sessions::GatewaySession;
use crate::{Broker, Config};
use ask::{Asked, spawn_asking};
pub use config::{ConsoleConfig, ConsoleSignInConfig};
use frame::{AUDIT, DIAGNOSIS, KEYS, OVERVIEW, PARTICIPANTS, REFUSALS, SESSIONS, THROUGHPUT};
use parties::Parties;
use sign_in::SignIn;
use verification::Verification;

/// How entries of the audit log name the way by which somebody looked.
const METHOD: &str = "console";
/// How often sessions are looked at whose time is over.
const TIDY_EVERY: Duration = Duration::from_secs(30);

/// A console that can be served: its options were found good, and it listens.
pub(crate) struct Opened {
    /// Where browsers connect.
    pub(crate) address: SocketAddr,
    listener: Listener,
    tls: Option<ServerTls>,
    root: String,
    proxies: Proxies,
    sign_in: SignIn,
}

/// What all pages share.
pub(crate) struct Console {
    broker: Arc<Broker>,
    config: Config,
    readiness: Readiness,
    /// Scheme, host and port by which browsers reach it.
    root: String,
    /// Whether that is by TLS.
    secure: bool,
    sign_in: SignIn,
    asked: Vec<Arc<Asked>>,
    ask_now: Arc<Notify>,
    parties: Parties,
    verification: watch::Sender<Verification>,
    /// The newest walk through the log.
    walk: Mutex<Option<JoinHandle<()>>>,
    shutdown: Shutdown,
}

/// Whom the broker needs, and how it connects to them.
pub(crate) struct Needed {
    pub(crate) archive: (HopClient, Endpoints),
    pub(crate) authority: (HopClient, Endpoints),
}

impl Opened {
    /// Checks the options and listens. The error names the option at fault.
    pub(crate) async fn of(config: &ConsoleConfig) -> Result<Option<Self>, String> {
        let Some(wanted) = config.address else { return Ok(None) };
        let tls = tls(config, wanted)?;
        let proxies = Proxies::new(&config.trusted_proxies, &config.proxy_header)?;
        let refused = |error| format!("address: cannot listen on {wanted}: {error}; choose another address");
        let listener = Listener::bind(wanted).await.map_err(refused)?;
        let address = listener.local_addr().map_err(refused)?;
        let root = match config.public_url.trim_end_matches('/') {
            "" => format!("{}://{address}", if tls.is_some() { "https" } else { "http" }),
            url if url.split_once("://").is_some_and(|(_, place)| place.contains(['/', '?', '#'])) => {
                return Err(format!("public_url is scheme, host and port alone, and {url} has more"));
            }
            url if url.starts_with("https://") || (tls.is_none() && is_plain_on_loopback(url)) => url.to_owned(),
            _ => return Err("public_url is an https URL without a path (http on loopback alone)".to_owned()),
        };
        let sign_in = SignIn::open(&config.sign_in, &root).map_err(|error| format!("sign_in.{error}"))?;
        tracing::info!(%address, "the operator's console listens");
        Ok(Some(Self { address, listener, tls, root, proxies, sign_in }))
    }

    /// Serves until `shutdown`.
    pub(crate) fn serve(
        self,
        broker: Arc<Broker>,
        config: &Config,
        readiness: Readiness,
        needed: Needed,
        shutdown: &Shutdown,
    ) -> Vec<JoinHandle<()>> {
        let Self { listener, tls, root, proxies, sign_in, .. } = self;
        let all = |role, (client, endpoints): (HopClient, Endpoints)| {
            let one = |endpoint: &Endpoint| Arc::new(Asked::new(role, client.clone(), endpoint.clone()));
            endpoints.iter().map(one).collect::<Vec<_>>()
        };
        let asked = [all(Role::Archive, needed.archive), all(Role::Ca, needed.authority)].concat();
        let (clock, ask_now) = (broker.member.trust().clock(), Arc::new(Notify::new()));
        let every = config.console.ask_every.0.max(Duration::from_millis(100));
        let ask = |one: &Arc<Asked>| {
            spawn_asking(Arc::clone(one), Arc::clone(&clock), every, Arc::clone(&ask_now), shutdown.clone())
        };
        let mut tasks: Vec<_> = asked.iter().map(ask).collect();
        let console = Arc::new(Console {
            secure: root.starts_with("https:"),
            broker,
            config: config.clone(),
            readiness,
            root,
            sign_in,
            asked,
            ask_now,
            parties: Parties::default(),
            verification: watch::Sender::default(),
            walk: Mutex::default(),
            shutdown: shutdown.clone(),
        });
        tasks.push(tokio::spawn(tidy(Arc::clone(&console), shutdown.clone())));
        let mut server = Server::new(router(Arc::clone(&console))).behind(proxies);
        if let Some(tls) = tls {
            server = server.tls(tls);
        }
        let shutdown = shutdown.clone();
        tasks.push(tokio::spawn(async move {
            server.serve(listener, shutdown).await;
            console.walked().await;
        }));
        tasks
    }
}

impl Console {
    fn now(&self) -> UnixTime {
        self.broker.member.trust().now()
    }

    /// Sessions of gateways that go on.
    fn live(&self) -> Vec<(SessionId, Arc<GatewaySession>)> {
        self.broker.sessions.list(self.now())
    }

    /// The data folder, as commands take it.
    fn folder(&self) -> String {
        self.config.folder.display().to_string()
    }
}

fn router(console: Arc<Console>) -> Router {
    let readings = Router::new()
        .route(OVERVIEW, get(overview::page))
        .route(PARTICIPANTS, get(participants::page))
        .route(SESSIONS, get(sessions::page))
        .route(REFUSALS, get(refusals::page))
        .route(KEYS, get(keys::page))
        .route(AUDIT, get(audit::page))
        .route("/audit/verify", post(verification::begin))
        .route(DIAGNOSIS, get(diagnosis::page))
        .route("/diagnosis/ask", post(diagnosis::ask))
        .route(THROUGHPUT, get(throughput::page))
        .route_layer(from_fn_with_state(Arc::clone(&console), sign_in::while_signed_in));
    // What changes something is not given up halfway.
    readings
        .route(sessions::END, post(sessions::end))
        .route(sessions::END_PERSON, post(sessions::end_person))
        .route("/login", get(sign_in::login))
        .route("/login/callback", get(sign_in::callback))
        .route("/logout", post(sign_in::logout))
        .route("/signed-out", get(sign_in::signed_out))
        .fallback(nowhere)
        .with_state(console)
        .merge(assets::routes())
}

async fn nowhere() -> Response {
    frame::told(StatusCode::NOT_FOUND, words::NOWHERE, words::NOWHERE_NEXT)
}

async fn tidy(console: Arc<Console>, shutdown: Shutdown) {
    shutdown.bound(console.parties.recall(&console)).await;
    loop {
        tokio::select! {
            () = tokio::time::sleep(TIDY_EVERY) => console.tidy(),
            () = shutdown.wait() => return,
        }
    }
}

fn tls(config: &ConsoleConfig, address: SocketAddr) -> Result<Option<ServerTls>, String> {
    match (config.certificate.as_str(), config.key.as_str()) {
        ("", "") if address.ip().is_loopback() => Ok(None),
        ("", "") => Err(format!("certificate is empty, and {address} is no loopback address; set certificate and key")),
        ("", _) | (_, "") => Err("set certificate and key, or neither".to_owned()),
        (certificate, key) => {
            let (chain, key) = read_pem(Path::new(certificate), Path::new(key))?;
            public_server_config(chain, &key).map(Some).map_err(|error| error.to_string())
        }
    }
}

/// Whether a URL is one by http that leads to this very computer.
fn is_plain_on_loopback(url: &str) -> bool {
    let uri: Option<Uri> = url.strip_prefix("http://").and_then(|_| url.parse().ok());
    let host = uri.as_ref().and_then(Uri::host).map(|host| host.trim_matches(['[', ']']));
    host.is_some_and(|host| host == "localhost" || host.parse().is_ok_and(|address: IpAddr| address.is_loopback()))
}

/// How many there are of each.
fn counted<T: Ord>(all: impl IntoIterator<Item = T>) -> BTreeMap<T, usize> {
    let mut counts = BTreeMap::new();
    for one in all {
        *counts.entry(one).or_default() += 1;
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn http_is_for_this_computer_alone() {
        for url in ["http://localhost:8461", "http://127.0.0.1", "http://127.8.8.8:1", "http://[::1]:8461"] {
            assert!(is_plain_on_loopback(url), "{url}");
        }
        for url in
            ["http://console.example", "http://192.0.2.1:80", "http://localhost.example", "https://localhost", ""]
        {
            assert!(!is_plain_on_loopback(url), "{url}");
        }
    }
}
