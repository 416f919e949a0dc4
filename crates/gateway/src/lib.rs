//! The gateway (LHC): a hospital's door. Inside, a FHIR R4 server; outside, sealed records. It is the only
//! place where a record is readable, and only in memory, for a user who was let in. It connects outward only.
//!
//! A write is one walk: `face` → `store_records` → `deposit` → `session`. A read is another: `face` → `open` →
//! `session`, and from then on memory.

mod access_log;
mod authorization;
mod change;
mod config;
mod consent;
mod delegates;
mod deposit;
mod directory;
mod emergency;
mod erase;
mod error;
mod face;
mod feeds;
mod home;
mod hospitals;
mod keys;
mod labels;
mod merge;
mod notices;
mod open;
mod outbox;
mod passkeys;
mod patients;
mod people;
mod persons;
mod questions;
mod roster;
mod seen;
mod session;
mod sign_in;
mod standing;
mod store_records;
mod subscriptions;
mod trail;
mod user;
mod view;
mod web_push;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock, Weak};

use futures::future::BoxFuture;
use sealwort_audit::AtRest;
use sealwort_fhir::{Identifier, ResourceType, parse_token};
use sealwort_journal::{AUTHORITY_SELDOM, EVIDENCE_FOLDER, Journal, JournalError, Opening, Peer, spawn_cosigning};
use sealwort_net::client::{Endpoints, HopClient, HopError};
use sealwort_net::clock::Clock;
use sealwort_net::health::{self, Readiness};
use sealwort_net::member::{Member, MemberError};
use sealwort_net::metrics::Level;
use sealwort_net::metrics::labels::Peer as SessionPeer;
use sealwort_net::observe::Observation;
use sealwort_net::server::{Limits, Proxies, Server};
use sealwort_net::steps::Steps;
use sealwort_net::telemetry::TelemetryError;
use sealwort_net::tls::{ExpectedPeer, ServerTls, TlsConfigError, client_config, public_server_config};
use sealwort_net::transport::Listener;
use sealwort_net::{Shutdown, SystemClock};
use sealwort_pki::{Identity, IdentityError, Role, UnixTime};
use sealwort_proto::holdings::{Holdings, different};
use sealwort_proto::message::{FromArchive, FromBroker, ToArchive, ToBroker};
use sealwort_proto::policy::Policies;
use sealwort_proto::{Locator, Pseudonym};
use sealwort_smart::ScopeSet;
use sealwort_store::sqlite::{SqliteAudit, SqliteStore};
use sealwort_store::{AuditStore, DataFolder, GatewayStore, StoreError};
use tokio::sync::Mutex;
use tokio::task::JoinHandle;

pub use authorization::AuthorizationError;
pub use config::{
    ActorConfig, AtRegistrationConfig, BrokerConfig, Config, ConsentConfig, EmergencyConfig, FhirConfig,
    GatewayAuditConfig, LabelsConfig, MllpConfig, MqttConfig, OpenConfig, PatientsConfig,
};
pub use consent::explain::{ExplainRequest, Explained, ExplainedAnswer, ExplainedRow, ExplainedSentence, Proposal};
pub use consent::{ConsentChange, ConsentShown, ProvisionShown};
pub use erase::{ErasureRequest, ErasureShown};
pub use error::GatewayError;
pub use feeds::mqtt::MqttError;
pub use keys::KeysError;
pub use labels::{LabelExplained, RelabelMode, RelabelRequest, RelabelTo, Relabelled, RuleMatched};
pub use sign_in::{LockoutConfig, ProviderConfig, SessionsConfig, SignInConfig};
pub use subscriptions::SubscriptionsConfig;
pub use user::{PURPOSE_HEADER, User};

use authorization::Authorization;
use delegates::Delegates;
use directory::Directory;
use emergency::Emergencies;
use face::portal::last::LastLooks;
use face::terminal::Terminals;
use hospitals::Hospitals;
use keys::Keys;
use open::{ATTEMPTS_MAX, OpenPatients};
use outbox::Outbox;
use passkeys::Passkeys;
use people::People;
use questions::Questions;
use roster::Roster;
use session::{Session, Sessions};
use sign_in::SignIn;
use subscriptions::Subscriptions;
use web_push::WebPush;

/// Why a gateway did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Its place in the exchange.
    #[error(transparent)]
    Member(#[from] MemberError),
    /// Its audit log.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// Its own secrets.
    #[error(transparent)]
    Keys(#[from] KeysError),
    /// Its apps and their tokens.
    #[error(transparent)]
    Authorization(#[from] AuthorizationError),
    /// How its people sign in.
    #[error("sign_in.{0}")]
    SignIn(String),
    /// Which proxies it believes.
    #[error("fhir.{0}")]
    Proxies(String),
    /// What its patients may do.
    #[error("patients.{0}")]
    Patients(String),
    /// Its MQTT client.
    #[error(transparent)]
    Mqtt(#[from] MqttError),
    /// Where traces go.
    #[error(transparent)]
    Telemetry(#[from] TelemetryError),
    /// Where HL7 v2 comes in.
    #[error("mllp.address is {0}, and it must be an address on loopback, or empty; put a TLS proxy before it")]
    MllpAddress(String),
    /// Times of HL7 v2.
    #[error("mllp.offset is {0}, and it must be an offset from UTC such as +01:00")]
    MllpOffset(String),
    /// The rules by which it labels.
    #[error("labels.rules: {0}")]
    Labels(String),
    /// Where notices of emergency accesses go.
    #[error("emergency.notices_url or emergency.notices_authority: {0}; an https URL, or http on loopback")]
    EmergencyNotices(String),
    /// What is subscribed to.
    #[error("subscriptions: {0}")]
    Subscriptions(String),
    /// The rule of emergency access.
    #[error("emergency.{0}")]
    Emergency(&'static str),
    /// What it knows of its patients.
    #[error(transparent)]
    Roster(#[from] GatewayError),
    /// A token that cannot be made.
    #[error(
        "the token cannot be made: {0}; a name and a role have 1 to 128 printable characters, and a token lasts at most 7 days"
    )]
    Token(String),
    /// Its store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Its TLS side.
    #[error(transparent)]
    Tls(#[from] TlsConfigError),
    /// The broker's address.
    #[error(transparent)]
    Broker(#[from] HopError),
    /// A name of broker or archive.
    #[error("broker.name or broker.archive: {0}")]
    Name(#[from] IdentityError),
    /// The membership has no directory key.
    #[error("the membership has no directory key; join again as a gateway with a new invitation")]
    NoDirectoryKey,
    /// A public address without TLS.
    #[error(
        "fhir.address is {address}, which others can reach, and no certificate is set; set fhir.certificate and fhir.key, or listen on loopback"
    )]
    PlainOutside {
        /// The address.
        address: SocketAddr,
    },
    /// The FHIR face's certificate or key cannot be read.
    #[error("fhir.certificate or fhir.key: {0}")]
    Certificate(String),
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
pub(crate) struct Gateway {
    /// Itself, for the tasks that it starts.
    me: Weak<Gateway>,
    member: Arc<Member>,
    journal: Journal,
    sessions: Sessions,
    directory: Directory,
    keys: Keys,
    roster: Roster,
    outbox: Outbox,
    patients: OpenPatients,
    people: People,
    emergencies: Emergencies,
    subscriptions: Subscriptions,
    web_push: WebPush,
    authorization: Authorization,
    sign_in: SignIn,
    delegates: Delegates,
    questions: Questions,
    hospitals: Hospitals,
    /// Who opened records last, as pages of the portal told it.
    last_looks: LastLooks,
    passkeys: Passkeys,
    terminals: Terminals,
    /// What patients who sign in may do in their own records.
    patient_scopes: ScopeSet,
    /// The FHIR base URL, without a slash at the end.
    base: String,
    /// How HL7 v2 messages are read.
    message_settings: sealwort_hl7v2::Settings,
    /// The CapabilityStatement, once somebody asked for it.
    capabilities: OnceLock<bytes::Bytes>,
    /// The hospital's MQTT broker, where devices publish; empty for none.
    mqtt_url: String,
    /// Whom actors of Consents stand for.
    actors: std::collections::BTreeMap<String, config::ActorConfig>,
    /// Roles of users who may read the audit log.
    audit_readers: Vec<String>,
    /// What codes tell of.
    label_rules: sealwort_fhir::LabelRules,
    started: UnixTime,
    /// One registration at a time.
    registering: Mutex<()>,
    /// One change of consent at a time, so that no version is signed twice.
    consenting: Mutex<()>,
    /// One merge at a time.
    merging: Mutex<()>,
    shutdown: Shutdown,
}

/// A gateway that serves.
pub struct Running {
    /// Where the FHIR face listens.
    pub address: SocketAddr,
    /// Where HL7 v2 messages are taken, if they are.
    pub mllp: Option<SocketAddr>,
    /// Where probes and metrics are answered over plain HTTP, if they are.
    pub health: Option<SocketAddr>,
    /// Its place in the exchange.
    pub member: Arc<Member>,
    store: SqliteStore,
    audit: SqliteAudit,
    serving: Serving,
    /// Locked until the store is closed.
    folder: DataFolder,
}

impl Running {
    /// Runs the nine steps now, unless a session is live: the first user need not wait for them.
    pub async fn connect(&self) -> Result<(), GatewayError> {
        let Some(gateway) = self.serving.gateway.upgrade() else { return Ok(()) };
        gateway.session().await.map(|_| ())
    }

    /// What it holds for its session now.
    pub async fn holdings(&self) -> Holdings {
        let Some(gateway) = self.serving.gateway.upgrade() else { return Holdings::default() };
        let own = gateway.member.party().chain.fingerprint();
        let Some(session) = gateway.sessions.live().await else {
            return Holdings { certificates: 1, ..Holdings::default() };
        };
        let established = &session.established;
        Holdings {
            // What was drawn for a run went with the states of its steps.
            random_values: 0,
            certificates: different([own, established.broker.fingerprint(), established.archive.fingerprint()]),
            session_keys: [&established.with_broker, &established.with_archive].len() as u64,
            time_stamps: gateway.patients.authorities(gateway.sessions.now()),
            // A token is passed on in step 5; what stays is the end of the authority.
            tokens: 0,
        }
    }

    /// Waits until it has stopped and everything accepted is on disk.
    pub async fn stopped(self) {
        self.serving.stopped().await;
        self.store.close().await;
        self.audit.close().await;
        drop(self.folder);
    }
}

/// A gateway that serves over a store which its starter opened.
pub struct Serving {
    /// Where it listens.
    pub address: SocketAddr,
    /// Where HL7 v2 messages are taken, if they are.
    pub mllp: Option<SocketAddr>,
    /// Where probes and metrics are answered over plain HTTP, if they are.
    pub health: Option<SocketAddr>,
    gateway: Weak<Gateway>,
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
        public_tls(&config.fhir)?;
        let mut folder = DataFolder::open(&config.folder, Role::Gateway.as_str())?;
        let member = Arc::new(Member::load(&config.folder, Role::Gateway, Policies::standard(), clock)?);
        let store = SqliteStore::open(&mut folder).await?;
        let audit = SqliteAudit::open(&folder, config.audit.folder_in(&config.folder)).await?;
        let log = Arc::new(audit.clone());
        let serving = serve(config, Arc::clone(&member), Arc::new(store.clone()), log, steps, shutdown).await?;
        let (address, mllp, health) = (serving.address, serving.mllp, serving.health);
        Ok(Running { address, mllp, health, member, store, audit, serving, folder })
    })
}

/// Serves over a store that is open, until `shutdown`.
/// The future is boxed here, so that whoever calls this does not compile the whole service again.
pub fn serve(
    config: &Config,
    member: Arc<Member>,
    store: Arc<dyn GatewayStore>,
    audit: Arc<dyn AuditStore>,
    steps: Steps,
    shutdown: Shutdown,
) -> BoxFuture<'_, Result<Serving, StartError>> {
    Box::pin(async move {
        let tls = public_tls(&config.fhir)?;
        let directory = Directory::new(member.directory_key().cloned().ok_or(StartError::NoDirectoryKey)?);
        let keys = Keys::load(&member)?;
        let exchange = member.identity().exchange.clone();
        let broker = ExpectedPeer::named(Role::Broker, config.broker.name.parse()?);
        let archive = Identity::new(exchange, Role::Archive, config.broker.archive.parse()?);
        let client = HopClient::new(client_config(Some(member.credentials()), member.trust(), broker)?);
        let endpoints: Endpoints = config.broker.url.parse()?;
        let listen = |source| StartError::Listen { address: config.fhir.address, source };
        let listener = Listener::bind(config.fhir.address).await.map_err(listen)?;
        let address = listener.local_addr().map_err(listen)?;
        let mllp = mllp_listener(&config.mllp).await?;
        let offset = feeds::mllp::offset(&config.mllp.offset)
            .ok_or_else(|| StartError::MllpOffset(config.mllp.offset.clone()))?;
        let mllp_address = mllp.as_ref().map(Listener::local_addr).transpose().map_err(listen)?;
        let mqtt = feeds::mqtt::options(&config.mqtt)?;
        let readiness = Readiness::new();
        let shutdown = readiness.drained(&config.health, shutdown);
        let observation = Observation::open(member.identity(), &config.telemetry, &config.folder)?;
        observation.reads_member(&member);
        let unheard = |(address, source)| StartError::Listen { address, source };
        let health = health::listen(&config.health, readiness.clone(), observation.clone(), shutdown.clone())
            .await
            .map_err(unheard)?;
        let health_address = health.as_ref().map(|listening| listening.address);
        let mut upkeep = member.spawn_upkeep(&config.ca, &shutdown)?;
        upkeep.extend(health.map(|listening| listening.task));
        let journal = Journal::open(Opening {
            store: audit,
            place: config.audit.folder_in(&config.folder).to_owned(),
            voice: Arc::clone(&member) as _,
            at_rest: AtRest::sealed(&member.audit_key()?),
            evidence: Some(config.folder.join(EVIDENCE_FOLDER)),
            readiness: readiness.clone(),
        })
        .await?;
        let log = journal.clone();
        let peer = Peer { role: Role::Broker, client: client.clone(), endpoints: endpoints.clone() };
        upkeep.push(spawn_cosigning(
            journal.clone(),
            peer,
            config.audit.cosign_every.0,
            &observation,
            shutdown.clone(),
        ));
        let (to_authority, authority) = member.authority(&config.ca)?;
        let ca = Peer { role: Role::Ca, client: to_authority, endpoints: authority.into() };
        upkeep.push(spawn_cosigning(
            journal.clone(),
            ca,
            AUTHORITY_SELDOM * config.audit.cosign_every.0,
            &observation,
            shutdown.clone(),
        ));
        let root = match config.fhir.public_url.trim_end_matches('/') {
            "" => format!("{}://{address}", if tls.is_some() { "https" } else { "http" }),
            url => url.to_owned(),
        };
        let base = format!("{root}{}", face::BASE);
        let roster = Roster::new(store.clone(), Arc::clone(&member), keys.roster.clone());
        roster.load().await?;
        let people = People::load(&roster, &base).await?;
        let label_rules = labels::load(&config.labels).map_err(StartError::Labels)?;
        emergency::check(&config.emergency).map_err(StartError::Emergency)?;
        let emergencies = Emergencies::load(&config.emergency, &roster).await?;
        let subscriptions = Subscriptions::load(&config.subscriptions, &roster).await?;
        let web_push = WebPush::load(&config.subscriptions.push_contact, &keys.push, &roster).await?;
        let authorization = Authorization::open(Arc::clone(&member), &keys, &root, &base)?;
        let sign_in = SignIn::open(&config.sign_in, &root).map_err(StartError::SignIn)?;
        let delegates = Delegates::load(&roster).await?;
        let questions = Questions::load(&roster).await?;
        let proxies =
            Proxies::new(&config.fhir.trusted_proxies, &config.fhir.proxy_header).map_err(StartError::Proxies)?;
        let passkeys = Passkeys::load(&roster, &root, config.patients.invitation_lifetime.0).await?;
        let patient_scopes = persons::scopes(&config.patients.scopes).map_err(StartError::Patients)?;
        let started = member.trust().now();

        let gateway = Arc::new_cyclic(|me| Gateway {
            me: Weak::clone(me),
            journal,
            sessions: Sessions::new(Arc::clone(&member), client, endpoints, archive, steps.observed_by(&observation)),
            directory,
            roster,
            outbox: Outbox::new(store, Arc::clone(&member), keys.roster.clone()),
            keys,
            patients: OpenPatients::new(&config.open),
            people,
            emergencies,
            subscriptions,
            web_push,
            authorization,
            sign_in,
            delegates,
            questions,
            hospitals: Hospitals::default(),
            last_looks: LastLooks::default(),
            passkeys,
            terminals: Terminals::default(),
            patient_scopes,
            base,
            message_settings: feeds::mllp::settings(&config.mllp, offset),
            mqtt_url: config.mqtt.url.clone(),
            actors: config.consent.actors.clone(),
            label_rules,
            capabilities: OnceLock::new(),
            audit_readers: config.audit.readers.clone(),
            started,
            registering: Mutex::new(()),
            consenting: Mutex::new(()),
            merging: Mutex::new(()),
            shutdown: shutdown.clone(),
            member: Arc::clone(&member),
        });
        let itself = Arc::downgrade(&gateway);
        reads_levels(&observation, &itself);
        gateway.catch_up().await?;
        let looking = tokio::spawn(gateway.observed(emergency::look_forever(Arc::clone(&gateway), shutdown.clone())));
        let delivering =
            tokio::spawn(gateway.observed(subscriptions::deliver_forever(Arc::clone(&gateway), shutdown.clone())));
        let pushing = tokio::spawn(gateway.observed(web_push::push_forever(Arc::clone(&gateway), shutdown.clone())));
        let flushing = tokio::spawn(gateway.observed(outbox::flush_forever(Arc::clone(&gateway), shutdown.clone())));
        let closing = tokio::spawn(gateway.observed(open::close_forever(Arc::clone(&gateway), shutdown.clone())));
        let mut feeding = Vec::new();
        if let Some(listener) = mllp {
            let serving = feeds::mllp::serve(Arc::clone(&gateway), listener, config.mllp.clone(), shutdown.clone());
            feeding.push(tokio::spawn(gateway.observed(serving)));
        }
        if let Some(options) = mqtt {
            let listening = feeds::mqtt::listen(Arc::clone(&gateway), options, shutdown.clone());
            feeding.push(tokio::spawn(gateway.observed(listening)));
        }
        let doors = face::router(gateway).merge(health::router(readiness));
        let mut server = Server::new(doors)
            .limits(Limits::from(&config.limits))
            .refusals(face::server_refusal)
            .behind(proxies)
            .observed_by(&observation);
        if let Some(tls) = tls {
            server = server.tls(tls);
        }
        tracing::info!(%address, identity = %member.identity(), "the gateway listens");
        let task = tokio::spawn(async move {
            server.serve(listener, shutdown).await;
            let _ = flushing.await;
            let _ = closing.await;
            let _ = looking.await;
            let _ = delivering.await;
            let _ = pushing.await;
            for task in feeding {
                let _ = task.await;
            }
            for task in upkeep {
                let _ = task.await;
            }
            log.close().await;
            observation.close().await;
        });
        Ok(Serving { address, mllp: mllp_address, health: health_address, gateway: itself, task })
    })
}

/// Issues a bearer token of the gateway whose data folder this is; the gateway may be running.
pub fn issue_token(folder: &Path, user: &User) -> Result<String, StartError> {
    issue_token_by(folder, user, Arc::new(SystemClock))
}

/// As [`issue_token`], by another clock.
pub fn issue_token_by(folder: &Path, user: &User, clock: Arc<dyn Clock>) -> Result<String, StartError> {
    let member = Member::load(folder, Role::Gateway, Policies::standard(), clock)?;
    let tokens = user::tokens(&Keys::load(&member)?.bearer, &member.identity().to_string());
    let token = tokens.and_then(|tokens| user::issue(&tokens, user, member.trust().now()));
    token.map_err(|fault| StartError::Token(fault.to_string()))
}

/// MLLP has neither login nor encryption: nobody from outside may reach it.
async fn mllp_listener(config: &MllpConfig) -> Result<Option<Listener>, StartError> {
    if config.address.is_empty() {
        return Ok(None);
    }
    let wrong = || StartError::MllpAddress(config.address.clone());
    let address: SocketAddr = config.address.parse().map_err(|_| wrong())?;
    if !address.ip().is_loopback() {
        return Err(wrong());
    }
    Listener::bind(address).await.map(Some).map_err(|source| StartError::Listen { address, source })
}

/// The apps that a gateway's data folder registers, as the members of `apps.json`.
pub fn registered_apps(folder: &Path) -> Result<Vec<serde_json::Value>, StartError> {
    let file = folder.join(authorization::APPS_FILE);
    if !file.exists() {
        return Ok(Vec::new());
    }
    let apps = authorization::read_apps(&file)?.to_json();
    Ok(apps.get("apps").and_then(serde_json::Value::as_array).cloned().unwrap_or_default())
}

/// Registers apps in place of those that were; a running gateway takes them up by itself.
pub fn register_apps(folder: &Path, apps: &[serde_json::Value]) -> Result<(), StartError> {
    Ok(authorization::write_apps(&folder.join(authorization::APPS_FILE), apps)?)
}

fn public_tls(config: &FhirConfig) -> Result<Option<ServerTls>, StartError> {
    if config.certificate.is_empty() {
        return if config.address.ip().is_loopback() {
            Ok(None)
        } else {
            Err(StartError::PlainOutside { address: config.address })
        };
    }
    let (certificates, key) = sealwort_net::tls::read_pem(Path::new(&config.certificate), Path::new(&config.key))
        .map_err(StartError::Certificate)?;
    Ok(Some(public_server_config(certificates, &key)?))
}

/// Has the observation read what the gateway holds.
fn reads_levels(observation: &Observation, gateway: &Weak<Gateway>) {
    let gateway = Weak::clone(gateway);
    observation.reads(move || {
        let gateway = gateway.upgrade();
        Box::pin(async move {
            let Some(gateway) = gateway else { return Vec::new() };
            let sessions = u64::from(gateway.sessions.live_now().is_some());
            let mut levels = vec![
                Level::Sessions(SessionPeer::Broker, sessions),
                Level::Sessions(SessionPeer::Archive, sessions),
                Level::OpenPatients(gateway.patients.totals().0 as u64),
            ];
            if let Ok((waiting, refused)) = gateway.outbox.totals().await {
                levels.extend([Level::Outbox(waiting), Level::OutboxRefused(refused.len() as u64)]);
            }
            levels
        })
    });
}

impl Gateway {
    /// Runs work that belongs to no request as work of this gateway, in whose metrics it is counted.
    pub(crate) fn observed<F: Future>(&self, work: F) -> impl Future<Output = F::Output> + use<F> {
        let observation = self.sessions.steps().observation().cloned();
        async move {
            match observation {
                Some(observation) => observation.scope(work).await,
                None => work.await,
            }
        }
    }

    /// The live session with its notices heard, or a new one.
    pub(crate) async fn session(&self) -> Result<Arc<Session>, GatewayError> {
        let session = self.sessions.session().await?;
        if let Some(me) = self.me.upgrade()
            && !session.notices_started.swap(true, Ordering::AcqRel)
        {
            tokio::spawn(self.observed(notices::listen(me, Arc::clone(&session))));
        }
        Ok(session)
    }

    /// Asks the broker over the live session, or over a new one where that turns out to be lost. For questions
    /// that may be asked twice.
    pub(crate) async fn ask_broker(&self, question: &ToBroker) -> Result<FromBroker, GatewayError> {
        let mut attempt = 1;
        loop {
            let session = self.session().await?;
            match self.sessions.ask_broker(&session, question).await {
                Err(error) if error.is_session_lost() => self.lost(&session, &mut attempt, error).await?,
                outcome => return outcome,
            }
        }
    }

    /// The same with the archive, for questions that have one message as their answer.
    pub(crate) async fn ask_archive(&self, question: ToArchive) -> Result<FromArchive, GatewayError> {
        let (mut attempt, questions) = (1, [question]);
        loop {
            let session = self.session().await?;
            let outcome = match self.sessions.ask_archive(&session, &questions).await {
                Ok(mut answers) => answers.next().await.map(|(answer, _)| answer),
                Err(error) => Err(error),
            };
            match outcome {
                Err(error) if error.is_session_lost() => self.lost(&session, &mut attempt, error).await?,
                outcome => return outcome,
            }
        }
    }

    /// Drops a session that turned out to be lost, so that nobody asks over it again.
    async fn lost(&self, session: &Arc<Session>, attempt: &mut usize, error: GatewayError) -> Result<(), GatewayError> {
        self.sessions.drop_session(session).await;
        *attempt += 1;
        if *attempt > ATTEMPTS_MAX { Err(error) } else { Ok(()) }
    }

    /// The patient that people name by `system|value` or by the id of a Patient known here; after a merge, the one that
    /// stands for both.
    pub(crate) async fn patient_named(&self, name: &str, purpose: &str) -> Result<Pseudonym, GatewayError> {
        Ok(self.roster.surviving(self.identity_named(name, purpose).await?))
    }

    /// The identity that is named, given up or not: for what is kept of it.
    pub(crate) async fn identity_named(&self, name: &str, purpose: &str) -> Result<Pseudonym, GatewayError> {
        if name.contains('|') {
            let identifier: Option<Identifier> = parse_token(name)?.identifier();
            let identifier = identifier.ok_or_else(GatewayError::unknown_patient)?;
            let known = self.find(&[self.directory.locator(&identifier)]).await?;
            return known.map(|known| known.patient).ok_or_else(GatewayError::unknown_patient);
        }
        let known = self.patient_holding(ResourceType::PATIENT, name, purpose).await?;
        known.ok_or_else(GatewayError::unknown_patient)
    }

    /// Where it answers, without a path.
    pub(crate) fn root(&self) -> &str {
        self.base.strip_suffix(face::BASE).unwrap_or(&self.base)
    }

    /// The blinded identifiers of a patient known here.
    pub(crate) async fn locators_of(&self, patient: Pseudonym) -> Result<Vec<Locator>, GatewayError> {
        let known = self.roster.known(patient).await?.ok_or_else(GatewayError::unknown_patient)?;
        Ok(self.verify_registration(known.registration.as_ref())?.registration().locators.clone())
    }
}
