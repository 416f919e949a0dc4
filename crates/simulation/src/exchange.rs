//! The exchange that is simulated: certificates, data folders, stores, clocks, and how each host runs its service. The
//! services are those of production; what is simulated lies below them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::routing::get;
use sealwort_net::clock::Clock;
use sealwort_net::member::Member;
use sealwort_net::secret_file;
use sealwort_net::server::Server;
use sealwort_net::steps::Steps;
use sealwort_net::tls::{ClientAuth, Credentials, SharedTrust, server_config};
use sealwort_net::transport::Listener;
use sealwort_net::{Shutdown, config};
use sealwort_pki::enrolment::{CRL_PATH, Credential, CrlResponse, DirectoryKey, Membership};
use sealwort_pki::testing::{TEST_NOW, TestCredential, TestExchange, TestParty};
use sealwort_pki::{Role, SerialNumber, SigningKey, UnixTime};
use sealwort_proto::crypto::random;
use sealwort_proto::policy::Policies;
use sealwort_store::memory::MemoryStore;

use crate::dice::Dice;
use crate::network::elapsed;
use crate::plan::Plan;
use crate::planted::{Plant, Planted};

pub(crate) type Failure = Box<dyn std::error::Error>;

/// Where the clocks start: late enough that a clock which is behind still finds certificates and lists in force.
pub(crate) const BEGINNING_MILLIS: u64 = (TEST_NOW.as_secs() + 3600) * 1000;
/// How often revocation lists are fetched.
const CRL_EVERY: Duration = Duration::from_secs(5);
/// Port of every hop and of every FHIR face.
pub(crate) const PORT: u16 = 8440;

/// A host's clock: simulated time, and how far it is off.
#[derive(Debug, Clone, Default)]
pub(crate) struct HostClock {
    skew_seconds: Arc<AtomicI64>,
}

impl HostClock {
    pub(crate) fn skew(&self, seconds: i64) {
        self.skew_seconds.store(seconds, Ordering::Relaxed);
    }
}

impl Clock for HostClock {
    fn now_millis(&self) -> u64 {
        let now = BEGINNING_MILLIS + u64::try_from(elapsed().as_millis()).unwrap_or(u64::MAX);
        now.saturating_add_signed(self.skew_seconds.load(Ordering::Relaxed) * 1000)
    }
}

/// One host with a service: its folder, its clock, and what it keeps.
#[derive(Clone)]
pub(crate) struct Place {
    pub(crate) folder: PathBuf,
    pub(crate) clock: HostClock,
    pub(crate) store: MemoryStore,
}

/// What the certificate authority publishes.
#[derive(Clone)]
struct Published(Arc<Mutex<Vec<u8>>>);

/// The exchange.
pub(crate) struct World {
    exchange: TestExchange,
    parties: BTreeMap<String, TestParty>,
    authority: Arc<TestParty>,
    published: Published,
    trust_of_authority: SharedTrust,
    /// By the host's name: `broker`, `archive`, `gateway-a`, and so on.
    pub(crate) places: BTreeMap<String, Place>,
    /// Set at a commit after which some host is to stop.
    pub(crate) struck: Arc<AtomicBool>,
    plant: Option<Plant>,
}

impl World {
    /// Certificates and folders for these gateways, below `root`.
    pub(crate) fn new(root: &Path, seed: u64, plan: &Plan, plant: Option<Plant>) -> Result<Self, Failure> {
        let exchange = TestExchange::new("simulated");
        let directory = DirectoryKey::from_bytes(&random());
        let mut names = vec![(Role::Broker, "broker".to_owned()), (Role::Archive, "archive".to_owned())];
        names.extend(plan.hospitals.iter().map(|name| (Role::Gateway, format!("gateway-{name}"))));
        let (mut parties, mut places) = (BTreeMap::new(), BTreeMap::new());
        let struck = Arc::new(AtomicBool::new(false));
        for (place, (role, host)) in (0..).zip(names) {
            let party = exchange.party(role, host.strip_prefix("gateway-").unwrap_or(&host));
            let folder = root.join(&host);
            std::fs::create_dir(&folder)?;
            let directory = (role == Role::Gateway).then(|| directory.clone());
            let membership = membership(&exchange, &party, directory)?;
            secret_file::create(&folder.join("membership.json"), membership.to_json()?.as_bytes())?;
            let crl = crl(&exchange, 1, &[]);
            secret_file::create(&folder.join("crl.json"), crl.as_bytes())?;
            let dice = Arc::new(Mutex::new(Dice::new(seed, 100 + place)));
            let (struck, strikes) = (Arc::clone(&struck), plan.strikes);
            let store = MemoryStore::new().pausing(move || {
                let mut dice = dice.lock().unwrap_or_else(PoisonError::into_inner);
                if dice.chance(strikes) {
                    struck.store(true, Ordering::Relaxed);
                }
                Box::pin(tokio::time::sleep(dice.millis(0, COMMIT_MILLIS_MAX)))
            });
            places.insert(host.clone(), Place { folder, clock: HostClock::default(), store });
            parties.insert(host, party);
        }
        let authority = Arc::new(exchange.party(Role::Ca, "ca"));
        let published = Published(Arc::new(Mutex::new(crl(&exchange, 1, &[]).into_bytes())));
        let trust_of_authority = SharedTrust::new(exchange.trust(), Arc::new(HostClock::default()));
        Ok(Self { exchange, parties, authority, published, trust_of_authority, places, struck, plant })
    }

    /// Publishes a revocation list with both certificates of a host's party.
    pub(crate) fn revoke(&self, host: &str) -> Result<(), Failure> {
        let Some(party) = self.parties.get(host) else { return Ok(()) };
        let serials = [party.hop.serial, party.statement.serial];
        let list = crl(&self.exchange, 2, &serials);
        self.trust_of_authority.set_crl(&self.exchange.crl(2, &serials), self.exchange.issuing.certificate())?;
        *self.published.0.lock().unwrap_or_else(PoisonError::into_inner) = list.into_bytes();
        Ok(())
    }

    /// What the host `ca` runs.
    pub(crate) fn authority(&self) -> impl Fn() -> Software + 'static {
        let (party, published, trust) =
            (self.authority.clone(), self.published.clone(), self.trust_of_authority.clone());
        move || {
            let (party, published, trust) = (party.clone(), published.clone(), trust.clone());
            Box::pin(async move {
                let credentials = Credentials::new(&party.hop.chain, Arc::new(copy(&party.hop.key)?))?;
                let tls = server_config(&credentials, &trust, &[], ClientAuth::Optional)?;
                let answer = move || {
                    let list = published.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
                    async move { list }
                };
                let listener = Listener::bind(([0, 0, 0, 0], PORT).into()).await?;
                let (_running, shutdown) = Shutdown::channel();
                Server::new(Router::new().route(CRL_PATH, get(answer))).tls(tls).serve(listener, shutdown).await;
                Ok(())
            })
        }
    }

    /// What the host of a service runs, each time that it starts.
    pub(crate) fn service(&self, host: &str) -> Option<impl Fn() -> Software + 'static> {
        let (host, place, plant) = (host.to_owned(), self.places.get(host)?.clone(), self.plant);
        Some(move || {
            let (host, place) = (host.clone(), place.clone());
            let software: Software = match host.as_str() {
                "archive" => Box::pin(archive(place, plant)),
                "broker" => Box::pin(broker(place, plant)),
                _ => Box::pin(gateway(place)),
            };
            software
        })
    }
}

/// A host's program.
pub(crate) type Software = std::pin::Pin<Box<dyn Future<Output = Result<(), Failure>>>>;

fn member(place: &Place, role: Role) -> Result<Arc<Member>, Failure> {
    let clock = Arc::new(place.clock.clone());
    Ok(Arc::new(Member::load(&place.folder, role, Policies::standard(), clock)?))
}

fn authority_config() -> config::CaConfig {
    config::CaConfig { url: format!("https://ca:{PORT}"), crl_every: config::Interval(CRL_EVERY) }
}

async fn archive(place: Place, plant: Option<Plant>) -> Result<(), Failure> {
    let member = member(&place, Role::Archive)?;
    let config = sealwort_archive::Config {
        folder: place.folder,
        listen: config::ListenConfig::on_loopback(PORT),
        ca: authority_config(),
        ..Default::default()
    };
    let (_running, shutdown) = Shutdown::channel();
    let audit = Arc::new(place.store.clone());
    let store = Arc::new(Planted { store: place.store, plant });
    let serving = sealwort_archive::serve(&config, member, store.clone(), store, audit, Steps::default(), shutdown);
    serving.await?.stopped().await;
    Ok(())
}

async fn broker(place: Place, plant: Option<Plant>) -> Result<(), Failure> {
    let member = member(&place, Role::Broker)?;
    let config = sealwort_broker::Config {
        folder: place.folder,
        listen: config::ListenConfig::on_loopback(PORT),
        ca: authority_config(),
        archive: sealwort_broker::ArchiveConfig { url: format!("https://archive:{PORT}"), name: "archive".to_owned() },
        ..Default::default()
    };
    let (_running, shutdown) = Shutdown::channel();
    let audit = Arc::new(place.store.clone());
    let store = Arc::new(Planted { store: place.store, plant });
    let serving = sealwort_broker::serve(&config, member, store.clone(), store, audit, Steps::default(), shutdown);
    serving.await?.stopped().await;
    Ok(())
}

async fn gateway(place: Place) -> Result<(), Failure> {
    let member = member(&place, Role::Gateway)?;
    let config = sealwort_gateway::Config {
        folder: place.folder,
        fhir: sealwort_gateway::FhirConfig { address: ([127, 0, 0, 1], PORT).into(), ..Default::default() },
        broker: sealwort_gateway::BrokerConfig {
            url: format!("https://broker:{PORT}"),
            name: "broker".to_owned(),
            archive: "archive".to_owned(),
        },
        ca: authority_config(),
        ..Default::default()
    };
    let (_running, shutdown) = Shutdown::channel();
    let (store, audit) = (Arc::new(place.store.clone()), Arc::new(place.store));
    sealwort_gateway::serve(&config, member, store, audit, Steps::default(), shutdown).await?.stopped().await;
    Ok(())
}

fn membership(
    exchange: &TestExchange,
    party: &TestParty,
    directory_key: Option<DirectoryKey>,
) -> Result<Membership, Failure> {
    let credential = |own: &TestCredential| -> Result<Credential, Failure> {
        let lasting = sealwort_pki::authority::PARTY_LIFETIME;
        Ok(Credential {
            key: Arc::new(copy(&own.key)?),
            chain: own.chain.clone(),
            serial: own.serial,
            not_before: TEST_NOW,
            not_after: UnixTime::from_secs(TEST_NOW.as_secs() + lasting.as_secs()),
        })
    };
    Ok(Membership {
        identity: party.identity.clone(),
        hop: credential(&party.hop)?,
        statement: credential(&party.statement)?,
        directory_key,
        trust: exchange.trust(),
    })
}

fn copy(key: &SigningKey) -> Result<SigningKey, Failure> {
    Ok(SigningKey::from_pkcs8(&key.to_pkcs8()?)?)
}

fn crl(exchange: &TestExchange, number: u64, revoked: &[SerialNumber]) -> String {
    let issuing = exchange.issuing.certificate().to_vec();
    CrlResponse { crl: exchange.crl(number, revoked), issuing }.to_json()
}

/// Longest time before and after a commit.
const COMMIT_MILLIS_MAX: u64 = 12;
