//! `sealwort ca serve`: the authority's service, and the same service inside another process.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sealwort_audit::AtRest;
use sealwort_ca::{Authority, ExchangeFolder, Policy, router};
use sealwort_journal::{EVIDENCE_FOLDER, Journal, JournalError, Opening, Voice, routes as cosigning};
use sealwort_net::config::{HealthConfig, Interval, LimitsConfig, ListenConfig, LogConfig, TelemetryConfig};
use sealwort_net::health::{self, Readiness};
use sealwort_net::metrics::Level;
use sealwort_net::observe::{Observation, remaining};
use sealwort_net::server::{Limits, Server};
use sealwort_net::{Clock, Shutdown, SystemClock};
use sealwort_pki::Role;
use sealwort_store::DataFolder;
use sealwort_store::sqlite::{SqliteAudit, SqliteStore};
use serde::{Deserialize, Serialize};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::folder::open_exchange;
use crate::error::CliError;
use crate::output::Output;
use crate::services::{ServiceArgs, announce};

/// Options of `sealwort ca serve`, told in `config/ca.toml`.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct CaServiceConfig {
    /// Data folder, made by `sealwort ca init`.
    pub(crate) folder: PathBuf,
    /// The address in invitations; empty for the listening address.
    pub(crate) url: String,
    /// How long a party's certificates last.
    pub(crate) party_lifetime: Interval,
    /// How long a revocation list lasts.
    pub(crate) crl_lifetime: Interval,
    /// Where parties connect.
    pub(crate) listen: ListenConfig,
    /// What load balancers and monitors ask.
    pub(crate) health: HealthConfig,
    /// The audit log.
    pub(crate) audit: CaAuditConfig,
    /// How long the server waits and how much it takes.
    pub(crate) limits: LimitsConfig,
    /// Where traces go.
    pub(crate) telemetry: TelemetryConfig,
    /// What is logged.
    pub(crate) log: LogConfig,
}

/// `[audit]`: the audit log.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct CaAuditConfig {
    /// Folder of the log; empty for the data folder. On a disk of its own nothing else can fill it.
    pub(crate) folder: PathBuf,
}

impl CaAuditConfig {
    /// Where the log lies.
    pub(crate) fn folder_in<'a>(&'a self, data: &'a Path) -> &'a Path {
        if self.folder.as_os_str().is_empty() { data } else { &self.folder }
    }
}

impl Default for CaServiceConfig {
    fn default() -> Self {
        let policy = Policy::new("");
        Self {
            folder: PathBuf::from("/var/lib/sealwort/ca"),
            url: policy.url,
            party_lifetime: Interval(policy.party_lifetime),
            crl_lifetime: Interval(policy.crl_lifetime),
            listen: ListenConfig::on_loopback(CA_PORT),
            health: HealthConfig::default(),
            audit: CaAuditConfig::default(),
            limits: LimitsConfig::from(&Limits::default()),
            telemetry: TelemetryConfig::default(),
            log: LogConfig::default(),
        }
    }
}

impl CaServiceConfig {
    /// What the operator decided, for a service that listens on `address`.
    pub(super) fn policy(&self, address: SocketAddr) -> Policy {
        let url = if self.url.is_empty() { format!("https://{address}") } else { self.url.clone() };
        Policy { url, party_lifetime: self.party_lifetime.0, crl_lifetime: self.crl_lifetime.0 }
    }
}

/// An authority that serves.
pub(crate) struct RunningCa {
    /// Where it listens.
    pub(crate) address: SocketAddr,
    /// Where probes and metrics are answered over plain HTTP, if they are.
    pub(crate) health: Option<SocketAddr>,
    /// The authority.
    pub(crate) authority: Arc<Authority>,
    store: SqliteStore,
    /// None where it could not be opened.
    audit: Option<SqliteAudit>,
    serving: JoinHandle<()>,
    /// Locked until the store is closed.
    data: DataFolder,
}

impl RunningCa {
    /// Waits until it has stopped and everything accepted is on disk.
    pub(crate) async fn stopped(self) {
        let _ = self.serving.await;
        self.store.close().await;
        if let Some(audit) = self.audit {
            audit.close().await;
        }
        drop(self.data);
    }
}

/// Opens the folder and serves until `shutdown`. A log that cannot be opened keeps nobody from revoking, nor the lists
/// from going out.
pub(crate) async fn start(
    config: &CaServiceConfig,
    clock: Arc<dyn Clock>,
    shutdown: Shutdown,
) -> Result<RunningCa, CliError> {
    let exchange: ExchangeFolder = open_exchange(&config.folder)?;
    let mut data = DataFolder::open(&config.folder, Role::Ca.as_str())?;
    let store = SqliteStore::open(&mut data).await?;
    let wanted = config.listen.address;
    let refused = |error| CliError::Local(format!("cannot listen on {wanted}: {error}; choose another address"));
    let listener = TcpListener::bind(wanted).await.map_err(refused)?;
    let address = listener.local_addr().map_err(refused)?;
    let observation = Observation::open(exchange.identity(), &config.telemetry, &config.folder)?;
    let opened = Authority::open(exchange, Arc::new(store.clone()), config.policy(address), Arc::clone(&clock));
    let authority = Arc::new(opened.await?);
    let readiness = Readiness::new();
    let shutdown = readiness.drained(&config.health, shutdown);
    let unheard =
        |(address, error)| CliError::Local(format!("cannot listen on {address}: {error}; choose another address"));
    let health = health::listen(&config.health, readiness.clone(), observation.clone(), shutdown.clone());
    let health = health.await.map_err(unheard)?;
    let health_address = health.as_ref().map(|listening| listening.address);
    let own = authority.own();
    observation.reads(move || {
        let left = remaining(own.borrow().not_after(), clock.now());
        Box::pin(std::future::ready(vec![Level::Certificate(left)]))
    });
    let log = open_log(&data, authority.voice()?, config, readiness.clone()).await;
    authority.keep_log(log.clone().map(|(journal, _)| journal));
    let (tls, mut tasks) = authority.start(&shutdown)?;
    tasks.extend(health.map(|listening| listening.task));
    let mut routes = router(Arc::clone(&authority)).merge(health::router(readiness.clone()));
    let audit = match log {
        Ok((journal, audit)) => {
            routes = routes.merge(cosigning(journal));
            Some(audit)
        }
        Err(error) => {
            let place = config.audit.folder_in(&config.folder).display();
            tracing::error!(%error, audit.folder = %place, "nobody is invited or gets certificates; revoking goes on");
            readiness.not_ready("audit log", format!("{error} (audit.folder is {place}); mend that and start again"));
            None
        }
    };
    let server = Server::new(routes).tls(tls).limits(Limits::from(&config.limits)).observed_by(&observation);
    tracing::info!(%address, exchange = %authority.folder().exchange(), "the certificate authority listens");
    let serving = {
        let authority = Arc::clone(&authority);
        tokio::spawn(async move {
            server.serve(listener, shutdown).await;
            for task in tasks {
                let _ = task.await;
            }
            authority.close_log().await;
            observation.close().await;
        })
    };
    Ok(RunningCa { address, health: health_address, authority, store, audit, serving, data })
}

/// Opens the authority's audit log, and the file that it is in.
pub(super) async fn open_log(
    data: &DataFolder,
    voice: Arc<dyn Voice>,
    config: &CaServiceConfig,
    readiness: Readiness,
) -> Result<(Journal, SqliteAudit), JournalError> {
    let place = config.audit.folder_in(&config.folder).to_owned();
    let audit = SqliteAudit::open(data, &place).await?;
    let evidence = Some(config.folder.join(EVIDENCE_FOLDER));
    let store = Arc::new(audit.clone());
    let opening = Opening { store, place, voice, at_rest: AtRest::Clear, evidence, readiness };
    Ok((Journal::open(opening).await?, audit))
}

pub(super) async fn run(args: &ServiceArgs, output: Output) -> Result<(), CliError> {
    let (config, shutdown) = args.prepare::<CaServiceConfig>()?;
    let running = start(&config.value, Arc::new(SystemClock), shutdown).await?;
    announce(output, running.authority.folder().identity(), running.address, running.health)?;
    running.stopped().await;
    Ok(())
}

const CA_PORT: u16 = 8440;
