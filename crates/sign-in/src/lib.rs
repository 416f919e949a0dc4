//! People who sign in with a browser at somebody's OpenID provider: the provider over the network, the way there and back,
//! their sessions and cookies, and what follows failures. Hospitals' people at a gateway and operators at a broker's
//! console come in the same way; who is let in, pages and entries of the audit log are those services' own.

pub mod attempts;
pub mod config;
pub mod cookies;
pub mod flows;
pub mod provider;
pub mod sessions;

pub use attempts::{Attempts, Lockout, LockoutRule, Source};
pub use config::{LockoutConfig, ProviderConfig, SessionsConfig};
pub use flows::{Flows, Waiting};
pub use provider::{ProviderClient, ProviderError};
pub use sessions::{Lifetimes, Over, Session, Sessions};

use sealwort_oidc::NumericDate;
use sealwort_pki::UnixTime;
use sealwort_proto::crypto::{mac_matches, sha256};

/// The time as tokens write it.
pub const fn seconds(time: UnixTime) -> NumericDate {
    NumericDate::from_secs(time.as_secs())
}

/// Whether somebody shows the secret that they were given; how much of it is right cannot be told from the time.
pub fn is_same(known: &str, shown: &str) -> bool {
    mac_matches(&sha256(known.as_bytes()), &sha256(shown.as_bytes()))
}
