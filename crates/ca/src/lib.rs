//! The certificate authority of an exchange.
//!
//! [`create_exchange`] makes the keys once; the root key is written apart and
//! never read here again. [`Authority`] does the work, one verb a file: invite,
//! enrol, renew, revoke, list, and keeping the revocation list and its own
//! certificate fresh. [`router`] offers it over HTTP and [`Authority::start`] its
//! TLS side; listening is in crate `net`, storage is behind [`sealwort_store::CaStore`].

pub mod admin;
mod authority;
mod enrol;
mod error;
mod exchange;
mod http;
mod invite;
mod keep;
mod list;
mod records;
mod renew;
mod revoke;
mod tls;
mod trail;

pub use authority::{Authority, Policy};
pub use error::CaError;
pub use exchange::{AUTHORITY_NAME, CreateError, CreatedExchange, ExchangeFolder, create_exchange};
pub use http::router;
pub use invite::INVITATION_LIFETIME_MAX;
pub use list::{CertificateStatus, Listed, PAGE_CERTIFICATES_MAX};
pub use records::RecordsError;
pub use revoke::{Revoked, Target};
pub use tls::TlsError;

#[cfg(test)]
mod http_tests;
#[cfg(test)]
mod tests;
