//! The gateway's configuration file.

use std::collections::BTreeMap;
use std::path::PathBuf;

use sealwort_net::config::{
    AuditConfig, ByteCount, CaConfig, HealthConfig, Interval, LimitsConfig, ListenConfig, LogConfig, TelemetryConfig,
};
use sealwort_net::server::Limits;
use serde::{Deserialize, Serialize};

use crate::sign_in::SignInConfig;
use crate::subscriptions::SubscriptionsConfig;

/// Options of `sealwort gateway`, read from TOML, the environment (`SEALWORT_GATEWAY__…`) and flags.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Config {
    /// Data folder: membership, keys, roster and outbox. One process at a time.
    pub folder: PathBuf,
    /// The FHIR face, towards the hospital.
    pub fhir: FhirConfig,
    /// The broker that this gateway connects to.
    pub broker: BrokerConfig,
    /// What load balancers and monitors ask.
    #[serde(default)]
    pub health: HealthConfig,
    /// The certificate authority.
    pub ca: CaConfig,
    /// The audit log.
    pub audit: GatewayAuditConfig,
    /// Patients that are held open in memory.
    pub open: OpenConfig,
    /// Patients' consent.
    #[serde(default)]
    pub consent: ConsentConfig,
    /// Labelling by rules.
    #[serde(default)]
    pub labels: LabelsConfig,
    /// HL7 v2 messages of the hospital's systems.
    pub mllp: MllpConfig,
    /// Measurements of devices, from the hospital's MQTT broker.
    pub mqtt: MqttConfig,
    /// Emergency access.
    pub emergency: EmergencyConfig,
    /// What is subscribed to.
    #[serde(default)]
    pub subscriptions: SubscriptionsConfig,
    /// How the hospital's people sign in.
    pub sign_in: SignInConfig,
    /// Patients and their delegates who sign in for themselves.
    #[serde(default)]
    pub patients: PatientsConfig,
    /// How long the FHIR face waits and how much it takes.
    pub limits: LimitsConfig,
    /// Where traces go.
    #[serde(default)]
    pub telemetry: TelemetryConfig,
    /// What is logged.
    pub log: LogConfig,
}

/// `[fhir]`: the FHIR R4 server inside the hospital.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct FhirConfig {
    /// Where applications connect. Without a certificate only a loopback address is allowed.
    pub address: std::net::SocketAddr,
    /// Where clients reach it, `https://fhir.hospital.example`, for links and for SMART; empty for the address itself.
    pub public_url: String,
    /// PEM file of the server's certificate chain; empty for plain HTTP on loopback.
    pub certificate: String,
    /// PEM file of its PKCS#8 key.
    pub key: String,
    /// Addresses and networks of the hospital's proxies, which say whom a request comes from; empty for none.
    pub trusted_proxies: Vec<String>,
    /// Where they say it: `x-forwarded-for` or `forwarded`.
    pub proxy_header: String,
}

/// `[broker]`: where the broker is, its name, and the archive wanted.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct BrokerConfig {
    /// `https://host:port`; several nodes with commas between.
    pub url: String,
    /// The broker's name, as it was invited.
    pub name: String,
    /// The archive's name, as it was invited.
    pub archive: String,
}

/// `[audit]`: the audit log, and who of the hospital reads it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct GatewayAuditConfig {
    /// Folder of the log; empty for the data folder. On a disk of its own nothing else can fill it.
    pub folder: PathBuf,
    /// How often checkpoints are exchanged and cosigned where something was appended.
    pub cosign_every: Interval,
    /// Roles of users who may read the log as FHIR AuditEvents, and patients' access logs.
    pub readers: Vec<String>,
}

impl GatewayAuditConfig {
    /// Where the log lies.
    pub fn folder_in<'a>(&'a self, data: &'a std::path::Path) -> &'a std::path::Path {
        if self.folder.as_os_str().is_empty() { data } else { &self.folder }
    }
}

impl Default for GatewayAuditConfig {
    fn default() -> Self {
        let AuditConfig { folder, cosign_every } = AuditConfig::default();
        Self { folder, cosign_every, readers: vec!["auditor".to_owned(), "administrator".to_owned()] }
    }
}

/// `[open]`: patients in memory.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct OpenConfig {
    /// Most patients held open; the one used longest ago is closed first.
    pub patients_max: usize,
    /// Most bytes of JSON and search values that they may hold together.
    pub bytes_max: ByteCount,
    /// Time without use after which a patient is closed.
    pub idle: Interval,
}

/// `[consent]`: patients' consent.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct ConsentConfig {
    /// Whom actors of Consents stand for, by `system|value` of their identifier or by their reference.
    #[serde(default)]
    pub actors: BTreeMap<String, ActorConfig>,
}

/// Whom an actor stands for.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ActorConfig {
    /// Hospitals, by name or identity; empty for every hospital but this one.
    #[serde(default)]
    pub hospitals: Vec<String>,
    /// Roles of their users; empty for every role.
    #[serde(default)]
    pub roles: Vec<String>,
}

/// `[labels]`: labelling of what comes in.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct LabelsConfig {
    /// TOML file of the rules; empty for those that come with the program, `none` for no rules.
    pub rules: String,
}

/// `[patients]`: patients and their delegates, who sign in for themselves.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PatientsConfig {
    /// Scopes of a patient's own token, all of which begin with `patient/`. A delegate has no more.
    pub scopes: String,
    /// How long an invitation to make a passkey waits.
    pub invitation_lifetime: Interval,
}

/// `[mllp]`: HL7 v2 over MLLP.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct MllpConfig {
    /// Where the hospital's systems connect; empty for nowhere. MLLP has no login and no encryption of its own, so only
    /// a loopback address is allowed: put a TLS proxy that checks certificates before it, or run it beside the sender.
    pub address: String,
    /// Most connections at the same time.
    pub connections_max: usize,
    /// Largest message or batch.
    pub message_bytes_max: ByteCount,
    /// Time without a message after which a connection is closed.
    pub idle_timeout: Interval,
    /// Assigning authorities of identifiers (CX-4) and the systems that they stand for in FHIR.
    pub systems: BTreeMap<String, String>,
    /// Offset from UTC of times that name none, `+HH:MM`.
    pub offset: String,
}

/// `[mqtt]`: the hospital's MQTT broker.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct MqttConfig {
    /// `mqtts://host:8883`, or `mqtt://127.0.0.1:1883`; empty for none.
    pub url: String,
    /// Name of the session that the broker keeps for this gateway.
    pub client_id: String,
    /// User name at the broker; empty for none.
    pub user: String,
    /// File of the password, readable by its owner alone.
    pub password_file: String,
    /// PEM file of the authority that signed the broker's certificate, for `mqtts`.
    pub authority: String,
}

/// `[emergency]`: emergency access (break-glass). What it opens is consent's to say; this is the hospital's own rule.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct EmergencyConfig {
    /// Whether there is emergency access at this hospital.
    pub enabled: bool,
    /// Roles that may open and approve emergency accesses.
    pub roles: Vec<String>,
    /// Roles that need a second person.
    pub second_person: Vec<String>,
    /// Roles of security officers, who see all, end them and review the reports.
    pub officers: Vec<String>,
    /// Minutes that an emergency access lasts, 1 to 60.
    pub minutes: u64,
    /// Codes of reasons, of which one must be given.
    pub reasons: Vec<String>,
    /// Least length of the reason in words, in characters.
    pub text_characters_min: usize,
    /// The sentence to type. `{patient}` stands for the identifier's value, or the id, by which the patient is named.
    pub sentence: String,
    /// Where notices to patients and security officers are posted: `https://mail.hospital.example/notices`, or http on
    /// loopback; empty for nowhere. The hospital's own mail or message system takes them there.
    pub notices_url: String,
    /// PEM file of the authorities that its certificate is checked against; empty for the system's.
    #[serde(default)]
    pub notices_authority: String,
    /// What a patient's first directive, made at registration, allows in an emergency.
    pub at_registration: AtRegistrationConfig,
}

/// `[emergency.at_registration]`: the emergency provision of a first directive.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct AtRegistrationConfig {
    /// Names of hospitals that may open the record in an emergency, `*` for every one; empty for none.
    pub hospitals: Vec<String>,
    /// Labels that they may open then.
    pub labels: Vec<String>,
}

impl Default for EmergencyConfig {
    fn default() -> Self {
        let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
        Self {
            enabled: true,
            roles: words(&["physician", "nurse", "paramedic"]),
            second_person: Vec::new(),
            officers: words(&["security-officer"]),
            minutes: 30,
            reasons: words(&["unconscious", "life-threatening", "patient-cannot-consent", "other"]),
            text_characters_min: 10,
            sentence: "I open the record of {patient} in an emergency".to_owned(),
            notices_url: String::new(),
            notices_authority: String::new(),
            at_registration: AtRegistrationConfig { hospitals: Vec::new(), labels: words(&["general"]) },
        }
    }
}

impl Default for PatientsConfig {
    fn default() -> Self {
        Self {
            scopes: "patient/*.rs patient/Consent.crus patient/Observation.crs patient/QuestionnaireResponse.crs \
                     patient/DocumentReference.crs"
                .to_owned(),
            invitation_lifetime: Interval::from_secs(7 * 24 * 60 * 60),
        }
    }
}

impl Default for MllpConfig {
    fn default() -> Self {
        Self {
            address: String::new(),
            connections_max: 64,
            message_bytes_max: ByteCount(16 << 20),
            idle_timeout: Interval::from_secs(600),
            systems: BTreeMap::new(),
            offset: "+00:00".to_owned(),
        }
    }
}

impl Default for MqttConfig {
    fn default() -> Self {
        Self {
            url: String::new(),
            client_id: "sealwort-gateway".to_owned(),
            user: String::new(),
            password_file: String::new(),
            authority: String::new(),
        }
    }
}

impl Default for FhirConfig {
    fn default() -> Self {
        Self {
            address: ListenConfig::on_loopback(8080).address,
            public_url: String::new(),
            certificate: String::new(),
            key: String::new(),
            trusted_proxies: Vec::new(),
            proxy_header: "x-forwarded-for".to_owned(),
        }
    }
}

impl Default for BrokerConfig {
    fn default() -> Self {
        Self { url: "https://127.0.0.1:8441".to_owned(), name: "broker".to_owned(), archive: "archive".to_owned() }
    }
}

impl Default for OpenConfig {
    fn default() -> Self {
        Self { patients_max: 64, bytes_max: ByteCount(1 << 30), idle: Interval::from_secs(600) }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            folder: PathBuf::from("/var/lib/sealwort/gateway"),
            fhir: FhirConfig::default(),
            broker: BrokerConfig::default(),
            health: HealthConfig::default(),
            ca: CaConfig::default(),
            audit: GatewayAuditConfig::default(),
            open: OpenConfig::default(),
            consent: ConsentConfig::default(),
            labels: LabelsConfig::default(),
            mllp: MllpConfig::default(),
            mqtt: MqttConfig::default(),
            emergency: EmergencyConfig::default(),
            subscriptions: SubscriptionsConfig::default(),
            sign_in: SignInConfig::default(),
            patients: PatientsConfig::default(),
            limits: LimitsConfig::from(&Limits::default()),
            telemetry: TelemetryConfig::default(),
            log: LogConfig::default(),
        }
    }
}
