//! The gateway's configuration file.

use std::path::PathBuf;

use sealwort_net::config::{CaConfig, Interval, LimitsConfig, ListenConfig, LogConfig};
use sealwort_net::server::Limits;
use serde::{Deserialize, Serialize};

/// Options of `sealwort gateway`, read from TOML, the environment (`SEALWORT_GATEWAY__…`) and flags.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Config {
    /// Data folder: membership, keys, roster and outbox. One process at a time.
    pub folder: PathBuf,
    /// The FHIR face, towards the hospital.
    pub fhir: FhirConfig,
    /// The broker that this gateway connects to.
    pub broker: BrokerConfig,
    /// The certificate authority.
    pub ca: CaConfig,
    /// Patients that are held open in memory.
    pub open: OpenConfig,
    /// How long the FHIR face waits and how much it takes.
    pub limits: LimitsConfig,
    /// What is logged.
    pub log: LogConfig,
}

/// `[fhir]`: the FHIR R4 server inside the hospital.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct FhirConfig {
    /// Where applications connect. Without a certificate only a loopback address is allowed.
    pub address: std::net::SocketAddr,
    /// PEM file of the server's certificate chain; empty for plain HTTP on loopback.
    pub certificate: String,
    /// PEM file of its PKCS#8 key.
    pub key: String,
}

/// `[broker]`: where the broker is, its name, and the archive wanted.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct BrokerConfig {
    /// `https://host:port`.
    pub url: String,
    /// The broker's name, as it was invited.
    pub name: String,
    /// The archive's name, as it was invited.
    pub archive: String,
}

/// `[open]`: patients in memory.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct OpenConfig {
    /// Most patients held open; the one used longest ago is closed first.
    pub patients_max: usize,
    /// Time without use after which a patient is closed.
    pub idle: Interval,
}

impl Default for FhirConfig {
    fn default() -> Self {
        Self { address: ListenConfig::on_loopback(8080).address, certificate: String::new(), key: String::new() }
    }
}

impl Default for BrokerConfig {
    fn default() -> Self {
        Self { url: "https://127.0.0.1:8441".to_owned(), name: "broker".to_owned(), archive: "archive".to_owned() }
    }
}

impl Default for OpenConfig {
    fn default() -> Self {
        Self { patients_max: 64, idle: Interval::from_secs(600) }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            folder: PathBuf::from("/var/lib/sealwort/gateway"),
            fhir: FhirConfig::default(),
            broker: BrokerConfig::default(),
            ca: CaConfig::default(),
            open: OpenConfig::default(),
            limits: LimitsConfig::from(&Limits::default()),
            log: LogConfig::default(),
        }
    }
}
