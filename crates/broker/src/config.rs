//! The broker's configuration file.

use std::path::PathBuf;

use sealwort_net::config::{
    AuditConfig, CaConfig, HealthConfig, KeysConfig, LimitsConfig, ListenConfig, LogConfig, StoreConfig,
    TelemetryConfig,
};
use sealwort_net::server::Limits;
use serde::{Deserialize, Serialize};

use crate::console::ConsoleConfig;

/// Options of `sealwort broker`, read from TOML, the environment (`SEALWORT_BROKER__…`) and flags.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Config {
    /// Data folder: membership, keys and the store. One process at a time.
    pub folder: PathBuf,
    /// Where gateways connect.
    pub listen: ListenConfig,
    /// The archive behind this broker.
    pub archive: ArchiveConfig,
    /// What load balancers and monitors ask.
    pub health: HealthConfig,
    /// The operator's pages.
    pub console: ConsoleConfig,
    /// The certificate authority.
    pub ca: CaConfig,
    /// Where patients, logs and the audit log are kept.
    pub store: StoreConfig,
    /// The token that may hold the key-encryption key.
    pub keys: KeysConfig,
    /// The audit log.
    pub audit: AuditConfig,
    /// How long the server waits and how much it takes.
    pub limits: LimitsConfig,
    /// Runs in progress above which a gateway must show a cookie before anything costly is done for it.
    pub cookie_above_runs: usize,
    /// File to which a copy of every message is appended, for auditors; empty for none.
    pub capture: PathBuf,
    /// Where traces go.
    pub telemetry: TelemetryConfig,
    /// What is logged.
    pub log: LogConfig,
}

/// `[archive]`: where the archive is, and its name in the exchange.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ArchiveConfig {
    /// `https://host:port`; several nodes with commas between.
    pub url: String,
    /// The archive's name, as it was invited.
    pub name: String,
}

impl Default for ArchiveConfig {
    fn default() -> Self {
        Self { url: "https://127.0.0.1:8442".to_owned(), name: "archive".to_owned() }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            folder: PathBuf::from("/var/lib/sealwort/broker"),
            listen: ListenConfig::on_loopback(8441),
            archive: ArchiveConfig::default(),
            health: HealthConfig::default(),
            console: ConsoleConfig::default(),
            ca: CaConfig::default(),
            store: StoreConfig::default(),
            keys: KeysConfig::default(),
            audit: AuditConfig::default(),
            limits: LimitsConfig::from(&Limits::hop()),
            cookie_above_runs: 1000,
            capture: PathBuf::new(),
            telemetry: TelemetryConfig::default(),
            log: LogConfig::default(),
        }
    }
}
