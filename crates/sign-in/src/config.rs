//! Options that every service has whose people sign in with a browser. A service nests them in its own section: flattened
//! into it, an unknown key there would go unnoticed.

use sealwort_net::config::Interval;
use serde::{Deserialize, Serialize};

/// `[sign_in.provider]`: the OpenID provider.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ProviderConfig {
    /// Its issuer, letter for letter as its discovery document has it; empty for none.
    pub issuer: String,
    /// The service's client id there.
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
    /// PEM file of the authorities that the provider's certificate is checked against; empty for the system's.
    pub authority: String,
    /// Whether the provider is at an address that is not public.
    pub inside: bool,
}

/// `[sign_in.sessions]`: how long sessions last.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SessionsConfig {
    /// Time without use after which a session ends.
    pub idle_timeout: Interval,
    /// Time after which a session ends, however much it is used.
    pub lifetime: Interval,
}

/// `[sign_in.lockout]`: what follows failures.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct LockoutConfig {
    /// So many failures of an account from one address are a slip: no wait follows.
    pub failures_free: u32,
    /// So many lock the account there.
    pub account_failures_max: u32,
    /// So many failures of an account from anywhere lock it where it has not been before.
    pub account_failures_everywhere_max: u32,
    /// So many failures of an address.
    pub address_failures_max: u32,
    /// How long a lockout lasts, and after which time without a failure all are forgotten.
    pub lasts: Interval,
}

impl Default for ProviderConfig {
    fn default() -> Self {
        Self {
            issuer: String::new(),
            client_id: String::new(),
            secret_file: String::new(),
            key_file: String::new(),
            scope: "profile".to_owned(),
            name_claim: "preferred_username".to_owned(),
            roles_claim: "roles".to_owned(),
            authority: String::new(),
            inside: false,
        }
    }
}

impl Default for SessionsConfig {
    fn default() -> Self {
        Self { idle_timeout: Interval::from_secs(15 * 60), lifetime: Interval::from_secs(12 * 60 * 60) }
    }
}

impl Default for LockoutConfig {
    fn default() -> Self {
        Self {
            failures_free: 3,
            account_failures_max: 10,
            account_failures_everywhere_max: 100,
            address_failures_max: 300,
            lasts: Interval::from_secs(15 * 60),
        }
    }
}
