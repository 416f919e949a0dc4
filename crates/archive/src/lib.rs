//! The archive (HIMC): keeps sealed records and its half of the keys. It talks to brokers only and never sees
//! a record's content, a patient's name or which label a tag stands for.
//!
//! A deposit and a reading are each one walk: `relay` opens the gateway's message, `deposit` or `fetch` does
//! the work, the store keeps or gives the entries.

mod authenticate;
mod config;
mod consent;
mod deposit;
mod fetch;
mod present;
mod relay;
mod sessions;

use std::net::SocketAddr;
use std::sync::{Arc, Weak};

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::post;
use futures::future::BoxFuture;
use sealwort_audit::AtRest;
use sealwort_custody::{Custody, Rotation, StorageError, audit_place, open_store, spawn_watch, sweep_objects};
use sealwort_journal::{
    AUTHORITY_SELDOM, EVIDENCE_FOLDER, Journal, JournalError, Opening, Peer, routes, spawn_cosigning,
};
use sealwort_net::Shutdown;
use sealwort_net::capture::Capture;
use sealwort_net::clock::Clock;
use sealwort_net::exchange::{AUTHENTICATE_PATH, CALL_PATH, RELAY_PATH};
use sealwort_net::health::{self, Readiness};
use sealwort_net::member::{Member, MemberError};
use sealwort_net::metrics::Level;
use sealwort_net::metrics::labels::Peer as SessionPeer;
use sealwort_net::observe::Observation;
use sealwort_net::server::{Limits, Server, streams};
use sealwort_net::steps::Steps;
use sealwort_net::telemetry::TelemetryError;
use sealwort_net::tls::{ClientAuth, TlsConfigError, server_config};
use sealwort_net::token::Token;
use sealwort_net::transport::Listener;
use sealwort_pki::Role;
use sealwort_proto::SessionId;
use sealwort_proto::channel::OVERHEAD_BYTES_MAX;
use sealwort_proto::halves::Side;
use sealwort_proto::holdings::Holdings;
use sealwort_proto::message::{HANDSHAKE_BYTES_MAX, MESSAGE_BYTES_MAX};
use sealwort_proto::policy::Policies;
use sealwort_store::{AuditStore, DataFolder, LogStore, Objects, PartyStore, PatientStore, StoreError, Swept};
use tokio::task::JoinHandle;

pub use config::Config;
use deposit::DepositMemory;
use sessions::Sessions;

/// Why an archive did not start.
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
    /// Where traces go.
    #[error(transparent)]
    Telemetry(#[from] TelemetryError),
    /// The capture file.
    #[error("capture: {0}; choose another file")]
    Capture(#[from] std::io::Error),
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
pub(crate) struct Archive {
    member: Arc<Member>,
    journal: Journal,
    custody: Custody,
    logs: Arc<dyn LogStore>,
    sessions: Sessions,
    memory: DepositMemory,
    steps: Steps,
    capture: Capture,
}

/// An archive that serves.
pub struct Running {
    /// Where it listens.
    pub address: SocketAddr,
    /// Where probes and metrics are answered over plain HTTP, if they are.
    pub health: Option<SocketAddr>,
    /// Its place in the exchange.
    pub member: Arc<Member>,
    store: PartyStore,
    serving: Serving,
    rotation: JoinHandle<()>,
}

impl Running {
    /// What it holds for its sessions now.
    pub fn holdings(&self) -> Holdings {
        let now = self.member.trust().now();
        let held = |archive: Arc<Archive>| archive.sessions.holdings(archive.member.party().chain.fingerprint(), now);
        self.serving.archive.upgrade().map(held).unwrap_or_default()
    }

    /// Of which sessions it holds keys, whenever that is asked.
    pub fn sessions(&self) -> impl Fn() -> Vec<SessionId> + Send + Sync + 'static + use<> {
        let archive = Weak::clone(&self.serving.archive);
        move || archive.upgrade().map(|archive| archive.sessions.ids()).unwrap_or_default()
    }

    /// Waits until it has stopped and everything accepted is on disk.
    pub async fn stopped(self) {
        self.serving.stopped().await;
        let _ = self.rotation.await;
        self.store.close().await;
    }
}

/// Where large entries are, if the configuration says so. Nothing is connected yet.
pub fn objects(config: &Config) -> Result<Option<Objects>, StorageError> {
    sealwort_custody::objects(&config.folder, &config.objects)
}

/// Deletes the objects that no entry names, also beside the archive that serves.
pub async fn sweep(config: &Config) -> Result<Swept, StorageError> {
    sweep_objects(&config.folder, Role::Archive, &config.store, &config.objects).await
}

/// An archive that serves over a store which its starter opened.
pub struct Serving {
    /// Where it listens.
    pub address: SocketAddr,
    /// Where probes and metrics are answered over plain HTTP, if they are.
    pub health: Option<SocketAddr>,
    archive: Weak<Archive>,
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
        let folder = DataFolder::open(&config.folder, Role::Archive.as_str())?;
        let token = Token::of(&config.keys);
        let member = Arc::new(Member::load_with(&config.folder, Role::Archive, Policies::standard(), clock, token)?);
        let objects = objects(config)?;
        let store = open_store(folder, &member, &config.audit, &config.store).await?;
        let store = store.with_objects(objects).await.map_err(StorageError::from)?;
        let (patients, kept, log) = (store.patients(), store.logs(), store.audit());
        let serving = serve(config, Arc::clone(&member), patients, kept, log, steps, shutdown.clone()).await?;
        let rotation =
            Rotation { side: Side::Archive, member: Arc::clone(&member), halves: store.halves(), files: Vec::new() };
        let rotation = rotation.spawn(shutdown);
        Ok(Running { address: serving.address, health: serving.health, member, store, serving, rotation })
    })
}

/// Serves over a store that is open, until `shutdown`.
/// The future is boxed here, so that whoever calls this does not compile the whole service again.
pub fn serve(
    config: &Config,
    member: Arc<Member>,
    patients: Arc<dyn PatientStore>,
    logs: Arc<dyn LogStore>,
    audit: Arc<dyn AuditStore>,
    steps: Steps,
    shutdown: Shutdown,
) -> BoxFuture<'_, Result<Serving, StartError>> {
    Box::pin(async move {
        let tls = server_config(member.credentials(), member.trust(), &[Role::Broker], ClientAuth::Required)?;
        let listen = |source| StartError::Listen { address: config.listen.address, source };
        let listener = Listener::bind(config.listen.address).await.map_err(listen)?;
        let address = listener.local_addr().map_err(listen)?;
        let capture = Capture::to(&config.capture)?;
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
            evidence: Some(config.folder.join(EVIDENCE_FOLDER)),
            readiness: readiness.clone(),
        })
        .await?;
        let (client, endpoint) = member.authority(&config.ca)?;
        let ca = Peer { role: Role::Ca, client, endpoints: endpoint.into() };
        upkeep.push(spawn_cosigning(
            journal.clone(),
            ca,
            AUTHORITY_SELDOM * config.audit.cosign_every.0,
            &observation,
            shutdown.clone(),
        ));

        let archive = Arc::new(Archive {
            custody: Custody::new(Side::Archive, Arc::clone(&member), patients),
            logs,
            journal: journal.clone(),
            member: Arc::clone(&member),
            sessions: Sessions::default(),
            memory: DepositMemory::default(),
            steps: steps.observed_by(&observation),
            capture: capture.clone(),
        });
        let itself = Arc::downgrade(&archive);
        reads_levels(&observation, &itself);
        let held = Arc::clone(&archive);
        let router = router(archive).merge(health::router(readiness.clone())).merge(routes(journal.clone()));
        let router = capture.around(router);
        let server = Server::new(router).tls(tls).limits(Limits::from(&config.limits)).observed_by(&observation);
        let server = server.while_open(move |connection| held.sessions.open(connection));
        tracing::info!(%address, identity = %member.identity(), "the archive listens");
        readiness.started();
        let task = tokio::spawn(async move {
            server.serve(listener, shutdown).await;
            for task in upkeep {
                let _ = task.await;
            }
            journal.close().await;
            observation.close().await;
        });
        Ok(Serving { address, health: health_address, archive: itself, task })
    })
}

/// Has the observation read what the archive holds.
fn reads_levels(observation: &Observation, archive: &Weak<Archive>) {
    let archive = Weak::clone(archive);
    observation.reads(move || {
        let levels = archive.upgrade().map(|archive| {
            let (brokers, gateways, runs) = archive.sessions.live(archive.member.trust().now());
            vec![
                Level::Sessions(SessionPeer::Broker, brokers),
                Level::Sessions(SessionPeer::Gateway, gateways),
                Level::Runs(runs),
            ]
        });
        Box::pin(std::future::ready(levels.unwrap_or_default()))
    });
}

fn router(archive: Arc<Archive>) -> Router {
    let streamed = Router::new()
        .route(&format!("{RELAY_PATH}/{{session}}"), post(relay::relay))
        .route_layer(axum::middleware::from_fn(streams));
    let authentication = Router::new()
        .route(&format!("{AUTHENTICATE_PATH}/2"), post(authenticate::introduction))
        .route(&format!("{AUTHENTICATE_PATH}/6/{{session}}"), post(authenticate::share))
        .route_layer(DefaultBodyLimit::max(2 * HANDSHAKE_BYTES_MAX));
    let channel = Router::new()
        .route(CALL_PATH, post(authenticate::call))
        .route_layer(DefaultBodyLimit::max(MESSAGE_BYTES_MAX + OVERHEAD_BYTES_MAX));
    streamed.merge(authentication).merge(channel).with_state(archive)
}
