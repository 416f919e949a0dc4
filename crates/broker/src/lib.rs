//! The broker (HTSC): authenticates gateways, keeps consents and its half of the keys, issues tokens, relays
//! what it cannot read and stores no record.

mod authenticate;
mod channel;
mod config;
mod console;
mod emergency;
mod hospitals;
mod link;
mod notices;
mod observed;
mod relay;
mod request;
mod sessions;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Weak};
use std::time::Instant;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::{get, post};
use futures::future::BoxFuture;
use sealwort_audit::{AtRest, Detail, EventKind};
use sealwort_custody::{Custody, Rotation, StorageError, audit_place, open_store, spawn_watch};
use sealwort_journal::{AUTHORITY_SELDOM, Journal, JournalError, Opening, Peer, routes, spawn_cosigning};
use sealwort_net::Shutdown;
use sealwort_net::capture::Capture;
use sealwort_net::client::{Endpoints, HopClient, HopError};
use sealwort_net::clock::Clock;
use sealwort_net::exchange::{AUTHENTICATE_PATH, CHANNEL_PATH, HOSPITALS_PATH, NOTICES_PATH, RELAY_PATH};
use sealwort_net::health::{self, Readiness};
use sealwort_net::member::{Member, MemberError};
use sealwort_net::metrics::Level;
use sealwort_net::metrics::labels::Peer as SessionPeer;
use sealwort_net::observe::Observation;
use sealwort_net::secret_file::{self, SecretFileError};
use sealwort_net::server::{Limits, Server, streams};
use sealwort_net::steps::{StepReport, Steps};
use sealwort_net::telemetry::TelemetryError;
use sealwort_net::tls::{ClientAuth, ConnectionId, ExpectedPeer, TlsConfigError, client_config, server_config};
use sealwort_net::token::{Token, WrappingError};
use sealwort_net::transport::Listener;
use sealwort_pki::{Identity, IdentityError, Role};
use sealwort_proto::SessionId;
use sealwort_proto::channel::OVERHEAD_BYTES_MAX;
use sealwort_proto::crypto::Secret;
use sealwort_proto::error::{Fault, ProtocolError, Step};
use sealwort_proto::halves::Side;
use sealwort_proto::handshake::cookie::CookieJar;
use sealwort_proto::holdings::Holdings;
use sealwort_proto::message::{HANDSHAKE_BYTES_MAX, MESSAGE_BYTES_MAX, Refusal};
use sealwort_proto::policy::Policies;
use sealwort_store::{
    AuditStore, BrokerStore, DataFolder, EmergencyStore, PartyStore, PatientStore, StoreError, WitnessStore,
};
use tokio::task::JoinHandle;

pub use config::{ArchiveConfig, Config};
pub use console::{ConsoleConfig, ConsoleSignInConfig};
use console::{Needed, Opened};
use hospitals::Hospitals;
use link::ArchiveLinks;
use notices::{Notices, Source};
use observed::{Observed, observe};
use sessions::{GatewaySession, Sessions};

/// The key from which pseudonyms are made, wrapped under the broker's key-encryption key.
const PSEUDONYM_KEY_FILE: &str = "pseudonym.key";
const PSEUDONYM_KEY_CONTEXT: &[u8] = b"broker pseudonym key";

/// Why a broker did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Its place in the exchange.
    #[error(transparent)]
    Member(#[from] MemberError),
    /// Its data folder.
    #[error(transparent)]
    Folder(#[from] StoreError),
    /// Its store.
    #[error(transparent)]
    Store(#[from] StorageError),
    /// Its audit log.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// Its TLS side.
    #[error(transparent)]
    Tls(#[from] TlsConfigError),
    /// The archive's address.
    #[error(transparent)]
    Archive(#[from] HopError),
    /// The archive's name.
    #[error("archive.name: {0}")]
    ArchiveName(#[from] IdentityError),
    /// The pseudonym key.
    #[error(transparent)]
    SecretFile(#[from] SecretFileError),
    /// The pseudonym key does not open.
    #[error("{0} does not open under this broker's key-encryption key; restore both from the same backup")]
    PseudonymKey(String),
    /// Where traces go.
    #[error(transparent)]
    Telemetry(#[from] TelemetryError),
    /// The capture file.
    #[error("capture: {0}; choose another file")]
    Capture(#[from] std::io::Error),
    /// The operator's console.
    #[error("console.{0}")]
    Console(String),
    /// Its address.
    #[error("cannot listen on {address}: {source}; choose another address")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The system's answer.
        source: std::io::Error,
    },
}

/// What all requests share.
pub(crate) struct Broker {
    member: Arc<Member>,
    journal: Journal,
    custody: Custody,
    witnesses: Arc<dyn WitnessStore>,
    emergencies: Arc<dyn EmergencyStore>,
    pseudonym_key: Secret,
    archive: Identity,
    links: ArchiveLinks,
    sessions: Sessions,
    notices: Notices,
    cookies: CookieJar,
    cookie_above_runs: usize,
    steps: Steps,
    capture: Capture,
    observed: Arc<Observed>,
    hospitals: Hospitals,
}

/// A broker that serves.
pub struct Running {
    /// Where it listens.
    pub address: SocketAddr,
    /// Where probes and metrics are answered over plain HTTP, if they are.
    pub health: Option<SocketAddr>,
    /// Where the operator's console listens, if there is one.
    pub console: Option<SocketAddr>,
    /// Its place in the exchange.
    pub member: Arc<Member>,
    store: PartyStore,
    serving: Serving,
    rotation: JoinHandle<()>,
}

impl Running {
    /// What it holds for its sessions now.
    pub fn holdings(&self) -> Holdings {
        let held = |broker: Arc<Broker>| {
            let own = broker.member.party().chain.fingerprint();
            broker.sessions.holdings(own, broker.links.session().as_ref())
        };
        self.serving.broker.upgrade().map(held).unwrap_or_default()
    }

    /// Of which sessions it holds keys, whenever that is asked.
    pub fn sessions(&self) -> impl Fn() -> Vec<SessionId> + Send + Sync + 'static + use<> {
        let broker = Weak::clone(&self.serving.broker);
        let held = |broker: Arc<Broker>| {
            let with_archive = broker.links.session().map(|known| known.established.channel.session());
            broker.sessions.ids().into_iter().chain(with_archive).collect()
        };
        move || broker.upgrade().map(held).unwrap_or_default()
    }

    /// Waits until it has stopped and everything accepted is on disk.
    pub async fn stopped(self) {
        self.serving.stopped().await;
        let _ = self.rotation.await;
        self.store.close().await;
    }
}

/// A broker that serves over a store which its starter opened.
pub struct Serving {
    /// Where it listens.
    pub address: SocketAddr,
    /// Where probes and metrics are answered over plain HTTP, if they are.
    pub health: Option<SocketAddr>,
    /// Where the operator's console listens, if there is one.
    pub console: Option<SocketAddr>,
    broker: Weak<Broker>,
    task: JoinHandle<()>,
}

impl Serving {
    /// Waits until it has stopped. The store is its opener's to close.
    pub async fn stopped(self) {
        let _ = self.task.await;
    }
}

/// Opens the data folder, takes its place in the exchange and serves until `shutdown`.
/// The future is boxed here, so that whoever calls this does not compile the whole service again.
pub fn start(
    config: &Config,
    clock: Arc<dyn Clock>,
    steps: Steps,
    shutdown: Shutdown,
) -> BoxFuture<'_, Result<Running, StartError>> {
    Box::pin(async move {
        let folder = DataFolder::open(&config.folder, Role::Broker.as_str())?;
        let token = Token::of(&config.keys);
        let member = Arc::new(Member::load_with(&config.folder, Role::Broker, Policies::standard(), clock, token)?);
        let store = open_store(folder, &member, &config.audit, &config.store).await?;
        let (patients, kept, log) = (store.patients(), store.broker(), store.audit());
        let serving = serve(config, Arc::clone(&member), patients, kept, log, steps, shutdown.clone()).await?;
        let rotation = Rotation {
            side: Side::Broker,
            member: Arc::clone(&member),
            halves: store.halves(),
            files: vec![(config.folder.join(PSEUDONYM_KEY_FILE), PSEUDONYM_KEY_CONTEXT)],
        };
        let rotation = rotation.spawn(shutdown);
        let Serving { address, health, console, .. } = serving;
        Ok(Running { address, health, console, member, store, serving, rotation })
    })
}

/// Serves over a store that is open, until `shutdown`.
/// The future is boxed here, so that whoever calls this does not compile the whole service again.
pub fn serve(
    config: &Config,
    member: Arc<Member>,
    patients: Arc<dyn PatientStore>,
    kept: Arc<dyn BrokerStore>,
    audit: Arc<dyn AuditStore>,
    steps: Steps,
    shutdown: Shutdown,
) -> BoxFuture<'_, Result<Serving, StartError>> {
    Box::pin(async move {
        let tls = server_config(member.credentials(), member.trust(), &[Role::Gateway], ClientAuth::Required)?;
        let archive = Identity::new(member.identity().exchange.clone(), Role::Archive, config.archive.name.parse()?);
        let expected = ExpectedPeer::named(Role::Archive, archive.name.clone());
        let client = HopClient::new(client_config(Some(member.credentials()), member.trust(), expected)?);
        let endpoints: Endpoints = config.archive.url.parse()?;
        let pseudonym_key = pseudonym_key(&member, &config.folder.join(PSEUDONYM_KEY_FILE))?;
        let listen = |source| StartError::Listen { address: config.listen.address, source };
        let listener = Listener::bind(config.listen.address).await.map_err(listen)?;
        let address = listener.local_addr().map_err(listen)?;
        let capture = Capture::to(&config.capture)?;
        let console = Opened::of(&config.console).await.map_err(StartError::Console)?;
        let console_address = console.as_ref().map(|console| console.address);
        let readiness = Readiness::starting();
        let shutdown = readiness.drained(&config.health, shutdown);
        let unheard = |(address, source)| StartError::Listen { address, source };
        let observation = Observation::open(member.identity(), &config.telemetry, &config.folder)?;
        observation.reads_member(&member);
        let health = health::listen(&config.health, readiness.clone(), observation.clone(), shutdown.clone())
            .await
            .map_err(unheard)?;
        let health_address = health.as_ref().map(|listening| listening.address);
        let mut upkeep = member.spawn_upkeep(&config.ca, &shutdown)?;
        upkeep.extend(health.map(|listening| listening.task));
        upkeep.push(spawn_watch(Arc::clone(&patients), Arc::clone(&member), readiness.clone(), shutdown.clone()));
        let journal = Journal::open(Opening {
            store: audit,
            place: audit_place(&config.folder, &config.audit, &config.store),
            voice: Arc::clone(&member) as _,
            at_rest: AtRest::Clear,
            evidence: Some(config.folder.join(sealwort_journal::EVIDENCE_FOLDER)),
            readiness: readiness.clone(),
        })
        .await?;
        let every = config.audit.cosign_every.0;
        let peer = Peer { role: Role::Archive, client: client.clone(), endpoints: endpoints.clone() };
        upkeep.push(spawn_cosigning(journal.clone(), peer, every, &observation, shutdown.clone()));
        let (to_authority, authority) = member.authority(&config.ca)?;
        let needed = Needed {
            archive: (client.clone(), endpoints.clone()),
            authority: (to_authority.clone(), authority.clone().into()),
        };
        let ca = Peer { role: Role::Ca, client: to_authority, endpoints: authority.into() };
        upkeep.push(spawn_cosigning(journal.clone(), ca, AUTHORITY_SELDOM * every, &observation, shutdown.clone()));

        let changes = kept.changes();
        let broker = Arc::new(Broker {
            journal: journal.clone(),
            custody: Custody::new(Side::Broker, Arc::clone(&member), patients),
            witnesses: Arc::clone(&kept) as _,
            emergencies: kept,
            pseudonym_key,
            archive,
            links: ArchiveLinks::new(client, endpoints),
            sessions: Sessions::default(),
            notices: Notices::new(if changes.is_some() { Source::Store } else { Source::Here }, shutdown.clone()),
            cookies: CookieJar::default(),
            cookie_above_runs: config.cookie_above_runs,
            steps: steps.observed_by(&observation),
            capture: capture.clone(),
            observed: Arc::default(),
            hospitals: Hospitals::default(),
            member: Arc::clone(&member),
        });
        let itself = Arc::downgrade(&broker);
        reads_levels(&observation, &itself);
        upkeep.extend(changes.map(|it| notices::spawn_following(Arc::clone(&broker), it, shutdown.clone())));
        let mut router = router(Arc::clone(&broker));
        let held = Arc::clone(&broker);
        if let Some(console) = console {
            let seen = (Arc::clone(&broker.observed), member.trust().clock());
            router = router.layer(axum::middleware::from_fn_with_state(seen, observe));
            upkeep.extend(console.serve(broker, config, readiness.clone(), needed, &shutdown));
        }
        let router = router.merge(health::router(readiness.clone())).merge(routes(journal.clone()));
        let router = capture.around(router);
        let server = Server::new(router).tls(tls).limits(Limits::from(&config.limits)).observed_by(&observation);
        let server = server.while_open(move |connection| held.sessions.open(connection));
        tracing::info!(%address, identity = %member.identity(), "the broker listens");
        readiness.started();
        let task = tokio::spawn(async move {
            server.serve(listener, shutdown).await;
            for task in upkeep {
                let _ = task.await;
            }
            journal.close().await;
            observation.close().await;
        });
        Ok(Serving { address, health: health_address, console: console_address, broker: itself, task })
    })
}

/// Has the observation read what the broker holds.
fn reads_levels(observation: &Observation, broker: &Weak<Broker>) {
    let broker = Weak::clone(broker);
    observation.reads(move || {
        let levels = broker.upgrade().map(|broker| {
            let (gateways, archives) = broker.sessions.counts(broker.member.trust().now());
            vec![
                Level::Sessions(SessionPeer::Gateway, gateways),
                Level::Sessions(SessionPeer::Archive, archives),
                Level::Runs(broker.sessions.runs() as u64),
            ]
        });
        Box::pin(std::future::ready(levels.unwrap_or_default()))
    });
}

fn router(broker: Arc<Broker>) -> Router {
    let streamed = Router::new()
        .route(&format!("{RELAY_PATH}/{{session}}"), post(relay::relay))
        .route(&format!("{NOTICES_PATH}/{{session}}"), get(notices::notices))
        .route_layer(axum::middleware::from_fn(streams));
    let authentication = Router::new()
        .route(&format!("{AUTHENTICATE_PATH}/1"), post(authenticate::hello))
        .route(&format!("{AUTHENTICATE_PATH}/4/{{session}}"), post(authenticate::share))
        .route(&format!("{AUTHENTICATE_PATH}/9/{{session}}"), post(authenticate::completion))
        .route_layer(DefaultBodyLimit::max(2 * HANDSHAKE_BYTES_MAX));
    let channel = Router::new()
        .route(CHANNEL_PATH, post(channel::message))
        .route_layer(DefaultBodyLimit::max(MESSAGE_BYTES_MAX + OVERHEAD_BYTES_MAX));
    let named = Router::new().route(HOSPITALS_PATH, get(hospitals::list));
    streamed.merge(authentication).merge(channel).merge(named).with_state(broker)
}

fn pseudonym_key(member: &Member, file: &Path) -> Result<Secret, StartError> {
    let place: [&[u8]; 1] = [PSEUDONYM_KEY_CONTEXT];
    if !file.exists() {
        let wrapped = member.kek().try_wrap(&place, Secret::random().expose()).map_err(MemberError::from)?;
        secret_file::create(file, &wrapped)?;
    }
    let unusable = || StartError::PseudonymKey(file.display().to_string());
    let key = match member.kek().unwrap(&place, &secret_file::read(file)?) {
        Ok(key) => key,
        Err(WrappingError::Sealed) => return Err(unusable()),
        Err(error) => return Err(MemberError::from(error).into()),
    };
    Secret::from_slice(&key).ok_or_else(unusable)
}

/// Logs a failed step and puts it into words for the peer.
pub(crate) fn refusal(error: &ProtocolError) -> Refusal {
    tracing::warn!(step = %error.step, fault = error.fault.as_str(), code = error.code(), "refused: {error}");
    match &error.kind {
        // What the archive refused is passed on in its own words.
        sealwort_proto::ErrorKind::Refused(refusal) => (**refusal).clone(),
        _ => Refusal::of(Fault::Broker, error),
    }
}

impl Broker {
    /// A session of this connection whose gateway is still to be believed. Its hop is watched by the server; its
    /// statement certificate, which may be revoked by itself, is looked at here.
    pub(crate) fn session(&self, id: SessionId, connection: ConnectionId) -> Option<Arc<GatewaySession>> {
        let session = self.sessions.gateway(id, connection)?;
        session.touch(self.member.trust().now());
        let gateway = &session.established.gateway;
        if let Err(error) = self.member.with_peers(|peers| peers.recheck(gateway, Role::Gateway)) {
            tracing::warn!(gateway = %gateway.identity(), %error, "session ended: its gateway is no longer believed");
            self.sessions.end_gateway(id);
            let ended = self.journal.event(EventKind::SessionEnded).peer(&gateway.identity().to_string());
            self.journal.note(ended.detail(Detail::Session, id).detail(Detail::Reason, error.code()));
            return None;
        }
        Some(session)
    }

    pub(crate) fn report(
        &self,
        step: Step,
        route: &'static str,
        what: &'static str,
        session: SessionId,
        bytes: usize,
        begun: Instant,
    ) {
        self.steps.report(StepReport { step, route, what, session, bytes, duration: begun.elapsed() });
    }
}
