//! The demo's exchange: five services on loopback ports that were free, each in a folder of its own, enrolled
//! with invitations as anywhere else.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use sealwort_ca::create_exchange;
use sealwort_gateway::{MqttConfig, User};
use sealwort_net::config::{ByteCount, CaConfig, HealthConfig, Interval, ListenConfig, TelemetryConfig};
use sealwort_net::member::join;
use sealwort_net::steps::Steps;
use sealwort_net::{Clock, Shutdown, ShutdownTrigger, SystemClock};
use sealwort_pki::{KeyAlgorithm, Role};

use super::http::Client;
use super::provider::Provider;
use crate::ca::{CaServiceConfig, RunningCa};
use crate::error::CliError;

/// Lifetime of the demo's tokens, in seconds.
const TOKEN_SECONDS: u64 = 24 * 3600;
/// Bytes of spans that each party keeps.
const TRACES_BYTES: u64 = 8 * 1024 * 1024;
/// How long the demo's invitations last.
const INVITATION_LIFETIME: Duration = Duration::from_mins(10);
/// Name of the demo's exchange.
pub(crate) const EXCHANGE: &str = "demo";

/// A connection between two neighbours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Hop {
    /// From a gateway to the broker.
    GatewayBroker,
    /// From the broker to the archive.
    BrokerArchive,
}

/// A running exchange.
pub(crate) struct World {
    pub(crate) folder: PathBuf,
    pub(crate) steps: Steps,
    pub(crate) started_in: Duration,
    pub(crate) hospital_a: Client,
    pub(crate) hospital_b: Client,
    pub(crate) broker: sealwort_broker::Running,
    pub(crate) archive: sealwort_archive::Running,
    pub(crate) gateway_a: sealwort_gateway::Running,
    pub(crate) gateway_b: sealwort_gateway::Running,
    ca: RunningCa,
    trigger: ShutdownTrigger,
}

impl World {
    /// Starts everything in a folder.
    pub(crate) async fn start(folder: &Path, mqtt: MqttConfig) -> Result<Self, CliError> {
        Self::start_through(folder, mqtt, None, async |_, address| Ok(address)).await
    }

    /// The same with a provider at which people sign in, and with something in between on each hop: it is given the
    /// address that would be connected to, and says where to connect instead.
    pub(crate) async fn start_through(
        folder: &Path,
        mqtt: MqttConfig,
        provider: Option<&Provider>,
        through: impl AsyncFn(Hop, SocketAddr) -> Result<SocketAddr, CliError>,
    ) -> Result<Self, CliError> {
        let begun = Instant::now();
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let (trigger, shutdown) = Shutdown::channel();
        let steps = Steps::default();
        let place = |name: &str| folder.join(name);

        if !place("ca").exists() {
            let name = EXCHANGE.parse().map_err(local)?;
            create_exchange(&name, &place("ca"), &place("ca-root"), KeyAlgorithm::Ed25519, clock.now())?;
        }
        let ca = crate::ca::start(
            &CaServiceConfig {
                folder: place("ca"),
                listen: ListenConfig::on_loopback(0),
                health: health(),
                telemetry: telemetry(),
                ..CaServiceConfig::default()
            },
            Arc::clone(&clock),
            shutdown.clone(),
        )
        .await?;
        // So that `sealwort ca invite --dir …` finds this authority, and further hospitals can join while it runs.
        let file = place("ca").join("ca.toml");
        let listens = format!("[listen]\naddress = \"{}\"\n", ca.address);
        std::fs::write(&file, listens).map_err(|error| CliError::Local(format!("{}: {error}", file.display())))?;
        for (role, name) in [
            (Role::Broker, "broker"),
            (Role::Archive, "archive"),
            (Role::Gateway, "hospital-a"),
            (Role::Gateway, "hospital-b"),
        ] {
            if place(name).join("membership.json").exists() {
                continue;
            }
            let invited = name.parse().map_err(local)?;
            let invitation = ca.authority.invite(role, invited, INVITATION_LIFETIME).await?;
            join(&place(name), invitation, Arc::clone(&clock)).await?;
        }
        let ca_config = CaConfig { url: url(ca.address), crl_every: Interval::from_secs(2) };

        let archive = sealwort_archive::start(
            &sealwort_archive::Config {
                folder: place("archive"),
                listen: ListenConfig::on_loopback(0),
                ca: ca_config.clone(),
                capture: place("archive.capture"),
                health: health(),
                telemetry: telemetry(),
                ..sealwort_archive::Config::default()
            },
            Arc::clone(&clock),
            steps.clone(),
            shutdown.clone(),
        )
        .await?;
        let console = provider.map(|provider| provider.of_console(folder)).transpose()?;
        let broker = sealwort_broker::start(
            &sealwort_broker::Config {
                folder: place("broker"),
                listen: ListenConfig::on_loopback(0),
                archive: sealwort_broker::ArchiveConfig {
                    url: url(through(Hop::BrokerArchive, archive.address).await?),
                    name: "archive".to_owned(),
                },
                ca: ca_config.clone(),
                capture: place("broker.capture"),
                console: console.unwrap_or_default(),
                health: health(),
                telemetry: telemetry(),
                ..sealwort_broker::Config::default()
            },
            Arc::clone(&clock),
            steps.clone(),
            shutdown.clone(),
        )
        .await?;
        let to_broker = url(through(Hop::GatewayBroker, broker.address).await?);
        let gateway = |name: &str| {
            let mut config = sealwort_gateway::Config {
                folder: place(name),
                ca: ca_config.clone(),
                health: health(),
                telemetry: telemetry(),
                ..sealwort_gateway::Config::default()
            };
            config.fhir.address = ListenConfig::on_loopback(0).address;
            config.broker.url.clone_from(&to_broker);
            config.mllp.address = ListenConfig::on_loopback(0).address.to_string();
            if name == "hospital-a" {
                config.mqtt.clone_from(&mqtt);
            }
            if let Some(provider) = provider {
                config.sign_in = provider.of_gateway(name, folder)?;
            }
            Ok::<_, CliError>(config)
        };
        let gateway_a = sealwort_gateway::start(
            &gateway("hospital-a")?,
            Arc::clone(&clock),
            steps.by("hospital-a"),
            shutdown.clone(),
        )
        .await?;
        let gateway_b = sealwort_gateway::start(
            &gateway("hospital-b")?,
            Arc::clone(&clock),
            steps.by("hospital-b"),
            shutdown.clone(),
        )
        .await?;
        if let Some(provider) = provider {
            provider.gateway_is_at("hospital-a", gateway_a.address)?;
            provider.gateway_is_at("hospital-b", gateway_b.address)?;
            broker.console.map_or(Ok(()), |address| provider.console_is_at(address))?;
        }
        let token = |name: &str, user: &str| {
            let user = User {
                name: user.to_owned(),
                role: "physician".to_owned(),
                expires: clock.now().as_secs() + TOKEN_SECONDS,
            };
            sealwort_gateway::issue_token(&place(name), &user)
        };
        Ok(Self {
            folder: folder.to_owned(),
            steps,
            hospital_a: Client::new(gateway_a.address, token("hospital-a", "dr-adams")?),
            hospital_b: Client::new(gateway_b.address, token("hospital-b", "dr-baker")?),
            broker,
            archive,
            gateway_a,
            gateway_b,
            ca,
            trigger,
            started_in: begun.elapsed(),
        })
    }

    /// Where the certificate authority is.
    pub(crate) fn authority(&self) -> SocketAddr {
        self.ca.address
    }

    /// What runs where.
    pub(crate) fn places(&self) -> Vec<(&'static str, String)> {
        vec![
            ("certificate authority", url(self.ca.address)),
            ("broker (HTSC)", url(self.broker.address)),
            ("archive (HIMC)", url(self.archive.address)),
            ("hospital A, gateway (LHC)", format!("http://{}/fhir", self.gateway_a.address)),
            ("hospital A, HL7 v2", mllp(self.gateway_a.mllp)),
            ("hospital B, gateway (LHC)", format!("http://{}/fhir", self.gateway_b.address)),
            ("hospital B, HL7 v2", mllp(self.gateway_b.mllp)),
            ("data folders", self.folder.display().to_string()),
        ]
    }

    /// Pages that people can sign in to.
    pub(crate) fn pages(&self) -> Vec<(&'static str, String)> {
        let mut pages = vec![
            ("patient portal", format!("http://{}/portal", self.gateway_a.address)),
            ("clinician's view", format!("http://{}/clinician", self.gateway_b.address)),
        ];
        pages.extend(self.broker.console.map(|address| ("operator's console", format!("http://{address}/"))));
        pages
    }

    /// Where each party tells its metrics.
    pub(crate) fn metrics(&self) -> Vec<(&'static str, String)> {
        let places = [
            ("certificate authority", self.ca.health),
            ("broker", self.broker.health),
            ("archive", self.archive.health),
            ("hospital A", self.gateway_a.health),
            ("hospital B", self.gateway_b.health),
        ];
        let shown = |(what, address): (&'static str, Option<SocketAddr>)| {
            address.map(|address| (what, format!("http://{address}/metrics")))
        };
        places.into_iter().filter_map(shown).collect()
    }

    /// Waits for Ctrl-C or SIGTERM.
    pub(crate) async fn until_signal(&self) -> Result<(), CliError> {
        let signals = Shutdown::on_signals().map_err(local)?;
        signals.wait().await;
        Ok(())
    }

    /// Ends everything; what was accepted is on disk.
    pub(crate) async fn stop(self) {
        self.trigger.fire();
        self.gateway_a.stopped().await;
        self.gateway_b.stopped().await;
        self.broker.stopped().await;
        self.archive.stopped().await;
        self.ca.stopped().await;
    }
}

fn health() -> HealthConfig {
    HealthConfig { address: Some(ListenConfig::on_loopback(0).address), ..HealthConfig::default() }
}

/// Enough for the story, and for a person who tries it.
fn telemetry() -> TelemetryConfig {
    TelemetryConfig { keep: ByteCount(TRACES_BYTES), ..TelemetryConfig::default() }
}

fn mllp(address: Option<SocketAddr>) -> String {
    address.map(|address| format!("mllp://{address}")).unwrap_or_default()
}

fn url(address: SocketAddr) -> String {
    format!("https://{address}")
}

fn local(error: impl std::fmt::Display) -> CliError {
    CliError::Local(error.to_string())
}
