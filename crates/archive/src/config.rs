//! The archive's configuration file.

use std::path::PathBuf;

use sealwort_net::config::{
    AuditConfig, CaConfig, HealthConfig, KeysConfig, LimitsConfig, ListenConfig, LogConfig, ObjectsConfig, StoreConfig,
    TelemetryConfig,
};
use sealwort_net::server::Limits;
use serde::{Deserialize, Serialize};

/// Options of `sealwort archive`, read from TOML, the environment (`SEALWORT_ARCHIVE__…`) and flags.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Config {
    /// Data folder: membership, keys and the store. One process at a time.
    pub folder: PathBuf,
    /// Where brokers connect.
    pub listen: ListenConfig,
    /// What load balancers and monitors ask.
    pub health: HealthConfig,
    /// The certificate authority.
    pub ca: CaConfig,
    /// Where patients, logs and the audit log are kept.
    pub store: StoreConfig,
    /// The token that may hold the key-encryption key.
    pub keys: KeysConfig,
    /// Where large entries are kept.
    pub objects: ObjectsConfig,
    /// The audit log.
    pub audit: AuditConfig,
    /// How long the server waits and how much it takes.
    pub limits: LimitsConfig,
    /// File to which a copy of every message is appended, for auditors; empty for none.
    pub capture: PathBuf,
    /// Where traces go.
    pub telemetry: TelemetryConfig,
    /// What is logged.
    pub log: LogConfig,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            folder: PathBuf::from("/var/lib/sealwort/archive"),
            listen: ListenConfig::on_loopback(8442),
            health: HealthConfig::default(),
            ca: CaConfig::default(),
            store: StoreConfig::default(),
            keys: KeysConfig::default(),
            objects: ObjectsConfig::default(),
            audit: AuditConfig::default(),
            limits: LimitsConfig::from(&Limits::hop()),
            capture: PathBuf::new(),
            telemetry: TelemetryConfig::default(),
            log: LogConfig::default(),
        }
    }
}
