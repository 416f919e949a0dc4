//! Certificates: identity, issue, verify, revoke.
//!
//! Everything here is pure: it gets bytes and the time, and gives back bytes
//! and verified values. It opens no file or socket and reads no clock. X.509 is
//! written by `rcgen`, checked by `rustls-webpki` and read by `x509-parser`;
//! the profile those certificates follow is in [`profile`].
//!
//! The one way from received bytes to a believed identity is
//! [`Trust::verify`], which alone can build a [`VerifiedParty`].

mod anchor;
pub mod authority;
mod chain;
mod crl;
pub mod enrolment;
mod error;
mod identity;
mod key;
pub mod profile;
mod request;
mod revocation;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
#[cfg(test)]
mod tests;
mod time;
mod trust;

pub use chain::{
    CERTIFICATE_BYTES_MAX, CHAIN_BYTES_MAX, CHAIN_CERTIFICATES_MAX, CertificateChain, ChainError, Fingerprint,
    SerialNumber,
};
pub use crl::{CRL_BYTES_MAX, CrlError, CrlSummary};
pub use error::{CertificateError, NoRevocationList, TrustError};
pub use identity::{ExchangeName, Identity, IdentityError, NAME_BYTES_MAX, PartyName, Role};
pub use key::{BadSignature, KeyAlgorithm, KeyError, KeyUse, PUBLIC_KEY_BYTES_MAX, PublicKey, SigningKey};
pub use time::UnixTime;
pub use trust::{Expected, ISSUERS_MAX, Trust, VerifiedParty};
