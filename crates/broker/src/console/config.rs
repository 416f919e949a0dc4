//! `[console]` of the broker's configuration.

use std::net::SocketAddr;

use sealwort_net::config::Interval;
use sealwort_sign_in::{LockoutConfig, ProviderConfig, SessionsConfig};
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
    /// Addresses and networks of proxies before it, which say whom a request comes from; empty for none.
    pub trusted_proxies: Vec<String>,
    /// Where they say it: `x-forwarded-for` or `forwarded`.
    pub proxy_header: String,
    /// How often archive and authority are asked whether they are there.
    pub ask_every: Interval,
    /// Certificates with less time left than this are shown as ending soon.
    pub certificates_below: Interval,
    /// How long a key-encryption key is to be used.
    pub keys_for: Interval,
    /// How operators and auditors sign in.
    pub sign_in: ConsoleSignInConfig,
}

/// `[console.sign_in]`: people who sign in at the operator's OpenID provider.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct ConsoleSignInConfig {
    /// The provider.
    pub provider: ProviderConfig,
    /// Roles or groups of the provider whose people are operators.
    pub operators: Vec<String>,
    /// Those whose people are auditors: they see the same and change nothing.
    pub auditors: Vec<String>,
    /// How long sessions last.
    pub sessions: SessionsConfig,
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
            trusted_proxies: Vec::new(),
            proxy_header: "x-forwarded-for".to_owned(),
            ask_every: Interval::from_secs(10),
            certificates_below: Interval::from_secs(18 * 60 * 60),
            keys_for: Interval::from_secs(365 * 24 * 60 * 60),
            sign_in: ConsoleSignInConfig::default(),
        }
    }
}
