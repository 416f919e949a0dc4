//! `[console]` of the broker's configuration.

use std::net::SocketAddr;

use sealwort_net::config::Interval;
use sealwort_sign_in::LockoutConfig;
use serde::{Deserialize, Serialize};

/// `[console]`: the operator's pages.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ConsoleConfig {
    /// Where browsers connect; absent for no console. Without a certificate only a loopback address is allowed.
    pub address: Option<SocketAddr>,
    /// Where browsers reach it, `https://console.example`; empty for the address itself.
    pub public_url: String,
    /// PEM file of the server's certificate chain; empty for plain HTTP on loopback.
    pub certificate: String,
    /// PEM file of its PKCS#8 key.
    pub key: String,
    /// How often archive and authority are asked whether they are there.
    pub ask_every: Interval,
    /// Certificates with less time left than this are shown as ending soon.
    pub certificates_below: Interval,
    /// How long a key-encryption key is to be used.
    pub keys_for: Interval,
    /// How operators and auditors sign in.
    pub sign_in: ConsoleSignInConfig,
}

/// `[console.sign_in]`: the operator's OpenID provider.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ConsoleSignInConfig {
    /// Its issuer, letter for letter as its discovery document has it.
    pub issuer: String,
    /// The console's client id there.
    pub client_id: String,
    /// File of the client secret (`client_secret_basic`), readable by its owner alone.
    pub secret_file: String,
    /// File of a P-256 key in PKCS #8 DER (`private_key_jwt`), in place of a secret.
    pub key_file: String,
    /// Scopes that are asked for beside `openid`.
    pub scope: String,
    /// The claim with the user's name.
    pub name_claim: String,
    /// The claim with roles or groups; dots lead into members.
    pub roles_claim: String,
    /// Roles or groups of the provider whose people are operators.
    pub operators: Vec<String>,
    /// Those whose people are auditors: they see the same and change nothing.
    pub auditors: Vec<String>,
    /// PEM file of the authorities that the provider's certificate is checked against; empty for the system's.
    pub authority: String,
    /// Whether the provider is at an address that is not public.
    pub inside: bool,
    /// Time without use after which a session ends.
    pub idle_timeout: Interval,
    /// Time after which a session ends, however much it is used.
    pub lifetime: Interval,
    /// What follows failures.
    pub lockout: LockoutConfig,
}

impl Default for ConsoleConfig {
    fn default() -> Self {
        Self {
            address: None,
            public_url: String::new(),
            certificate: String::new(),
            key: String::new(),
            ask_every: Interval::from_secs(10),
            certificates_below: Interval::from_secs(18 * 60 * 60),
            keys_for: Interval::from_secs(365 * 24 * 60 * 60),
            sign_in: ConsoleSignInConfig::default(),
        }
    }
}

impl Default for ConsoleSignInConfig {
    fn default() -> Self {
        Self {
            issuer: String::new(),
            client_id: String::new(),
            secret_file: String::new(),
            key_file: String::new(),
            scope: "profile".to_owned(),
            name_claim: "preferred_username".to_owned(),
            roles_claim: "roles".to_owned(),
            operators: Vec::new(),
            auditors: Vec::new(),
            authority: String::new(),
            inside: false,
            idle_timeout: Interval::from_secs(15 * 60),
            lifetime: Interval::from_secs(12 * 60 * 60),
            lockout: LockoutConfig::default(),
        }
    }
}
