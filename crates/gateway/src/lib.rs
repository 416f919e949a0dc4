//! The gateway (LHC): a hospital's door. Inside, a FHIR R4 server; outside, sealed records. It is the only
//! place where a record is readable, and only in memory, for a user who was let in. It connects outward only.
//!
//! A write is one walk: `face` → `store_records` → `deposit` → `session`. A read is another: `face` → `open` →
//! `session`, and from then on memory.

mod config;
mod consent;
mod deposit;
mod directory;
mod error;
mod face;
mod keys;
mod notices;
mod open;
mod outbox;
mod patients;
mod roster;
mod session;
mod store_records;
mod user;
mod view;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

use sealwort_fhir::{Identifier, parse_token};
use sealwort_net::client::{Endpoint, HopClient, HopError};
use sealwort_net::clock::Clock;
use sealwort_net::health::{self, Readiness};
use sealwort_net::member::{Member, MemberError};
use sealwort_net::server::{Limits, Server};
use sealwort_net::steps::Steps;
use sealwort_net::tls::{ExpectedPeer, ServerTls, TlsConfigError, client_config, public_server_config};
use sealwort_net::transport::Listener;
use sealwort_net::{Shutdown, SystemClock};
use sealwort_pki::{Identity, IdentityError, Role};
use sealwort_proto::holdings::{Holdings, different};
use sealwort_proto::message::{FromArchive, FromBroker, ToArchive, ToBroker};
use sealwort_proto::policy::Policies;
use sealwort_proto::{Locator, Pseudonym};
use sealwort_store::sqlite::SqliteStore;
use sealwort_store::{DataFolder, GatewayStore, StoreError};
use tokio::sync::Mutex;
use tokio::task::JoinHandle;

pub use config::{BrokerConfig, Config, FhirConfig, OpenConfig};
pub use consent::{ConsentChange, ConsentShown, ProvisionShown};
pub use error::GatewayError;
pub use keys::KeysError;
pub use user::{PURPOSE_HEADER, User};

use directory::Directory;
use keys::Keys;
use open::{ATTEMPTS_MAX, OpenPatients};
use outbox::Outbox;
use roster::Roster;
use session::{Session, Sessions};
use view::PatientView;

/// Why a gateway did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// Its place in the exchange.
    #[error(transparent)]
    Member(#[from] MemberError),
    /// Its own secrets.
    #[error(transparent)]
    Keys(#[from] KeysError),
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
    sessions: Sessions,
    directory: Directory,
    keys: Keys,
    roster: Roster,
    outbox: Outbox,
    patients: OpenPatients,
    /// One registration at a time.
    registering: Mutex<()>,
    /// One change of consent at a time, so that no version is signed twice.
    consenting: Mutex<()>,
    shutdown: Shutdown,
}

/// A gateway that serves.
pub struct Running {
    /// Where the FHIR face listens.
    pub address: SocketAddr,
    /// Its place in the exchange.
    pub member: Arc<Member>,
    store: SqliteStore,
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
        drop(self.folder);
    }
}

/// A gateway that serves over a store which its starter opened.
pub struct Serving {
    /// Where it listens.
    pub address: SocketAddr,
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
pub async fn start(
    config: &Config,
    clock: Arc<dyn Clock>,
    steps: Steps,
    shutdown: Shutdown,
) -> Result<Running, StartError> {
    public_tls(&config.fhir)?;
    let mut folder = DataFolder::open(&config.folder, Role::Gateway.as_str())?;
    let member = Arc::new(Member::load(&config.folder, Role::Gateway, Policies::standard(), clock)?);
    let store = SqliteStore::open(&mut folder).await?;
    let serving = serve(config, Arc::clone(&member), Arc::new(store.clone()), steps, shutdown).await?;
    Ok(Running { address: serving.address, member, store, serving, folder })
}

/// Serves over a store that is open, until `shutdown`.
pub async fn serve<S: GatewayStore + 'static>(
    config: &Config,
    member: Arc<Member>,
    store: Arc<S>,
    steps: Steps,
    shutdown: Shutdown,
) -> Result<Serving, StartError> {
    let tls = public_tls(&config.fhir)?;
    let directory = Directory::new(member.directory_key().cloned().ok_or(StartError::NoDirectoryKey)?);
    let keys = Keys::load(&member)?;
    let exchange = member.identity().exchange.clone();
    let broker = ExpectedPeer::named(Role::Broker, config.broker.name.parse()?);
    let archive = Identity::new(exchange, Role::Archive, config.broker.archive.parse()?);
    let client = HopClient::new(client_config(Some(member.credentials()), member.trust(), broker)?);
    let endpoint: Endpoint = config.broker.url.parse()?;
    let listen = |source| StartError::Listen { address: config.fhir.address, source };
    let listener = Listener::bind(config.fhir.address).await.map_err(listen)?;
    let address = listener.local_addr().map_err(listen)?;
    let upkeep = member.spawn_upkeep(&config.ca, &shutdown)?;

    let gateway = Arc::new_cyclic(|me| Gateway {
        me: Weak::clone(me),
        sessions: Sessions::new(Arc::clone(&member), client, endpoint, archive, steps),
        directory,
        roster: Roster::new(store.clone(), Arc::clone(&member), keys.roster.clone()),
        outbox: Outbox::new(store, Arc::clone(&member), keys.roster.clone()),
        keys,
        patients: OpenPatients::new(config.open.patients_max, config.open.idle.0),
        registering: Mutex::new(()),
        consenting: Mutex::new(()),
        shutdown: shutdown.clone(),
        member: Arc::clone(&member),
    });
    let itself = Arc::downgrade(&gateway);
    let flushing = tokio::spawn(outbox::flush_forever(Arc::clone(&gateway), shutdown.clone()));
    let router = face::router(gateway).merge(health::router(Readiness::new()));
    let mut server = Server::new(router).limits(Limits::from(&config.limits)).refusals(face::server_refusal);
    if let Some(tls) = tls {
        server = server.tls(tls);
    }
    tracing::info!(%address, identity = %member.identity(), "the gateway listens");
    let task = tokio::spawn(async move {
        server.serve(listener, shutdown).await;
        let _ = flushing.await;
        for task in upkeep {
            let _ = task.await;
        }
    });
    Ok(Serving { address, gateway: itself, task })
}

/// Issues a bearer token of the gateway whose data folder this is; the gateway may be running.
pub fn issue_token(folder: &Path, user: &User) -> Result<String, StartError> {
    let member = Member::load(folder, Role::Gateway, Policies::standard(), Arc::new(SystemClock))?;
    Ok(user::issue(&Keys::load(&member)?.bearer, user))
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

impl Gateway {
    /// The live session with its notices heard, or a new one.
    pub(crate) async fn session(&self) -> Result<Arc<Session>, GatewayError> {
        let session = self.sessions.session().await?;
        if let Some(me) = self.me.upgrade()
            && !session.notices_started.swap(true, Ordering::AcqRel)
        {
            tokio::spawn(notices::listen(me, Arc::clone(&session)));
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

    /// The patient that people name by `system|value` or by the id of a Patient known here.
    pub(crate) async fn patient_named(&self, name: &str) -> Result<Pseudonym, GatewayError> {
        if name.contains('|') {
            let identifier: Option<Identifier> = parse_token(name)?.identifier();
            let identifier = identifier.ok_or_else(GatewayError::unknown_patient)?;
            let known = self.find(&[self.directory.locator(&identifier)]).await?;
            return known.map(|k| k.patient).ok_or_else(GatewayError::unknown_patient);
        }
        self.roster.by_resource("Patient", name).await?.ok_or_else(GatewayError::unknown_patient)
    }

    /// Notes that these resources are this patient's.
    pub(crate) async fn note_resources(&self, view: &PatientView, names: &[(&str, &str)]) -> Result<(), GatewayError> {
        // Noted once per reading, so that a search costs no write.
        if view.noted.swap(true, Ordering::AcqRel) {
            return Ok(());
        }
        self.roster.put_resources(view.patient, names.iter().copied()).await
    }

    /// The blinded identifiers of a patient known here.
    pub(crate) async fn locators_of(&self, patient: Pseudonym) -> Result<Vec<Locator>, GatewayError> {
        let known = self.roster.known(patient).await?.ok_or_else(GatewayError::unknown_patient)?;
        Ok(self.verify_registration(known.registration.as_ref())?.registration().locators.clone())
    }
}
