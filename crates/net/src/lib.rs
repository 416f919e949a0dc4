//! The IO shell that all services share: TLS between the parties, an HTTP server with a limit
//! on everything, an HTTP/2 client whose life is one connection, revocation lists kept fresh,
//! configuration, the clock, logs, metrics, traces and secret files.
//!
//! It knows certificates (`sealwort_pki`), what a running party holds ([`member`]) and how protocol
//! messages travel over HTTP ([`exchange`]). It knows nothing of the stores or FHIR, and decides nothing.

pub mod backoff;
pub mod bound;
pub mod capture;
pub mod client;
pub mod clock;
pub mod config;
pub mod crl;
pub mod exchange;
pub mod health;
pub mod kek;
pub mod member;
pub mod metrics;
pub mod observe;
pub mod secret_file;
pub mod server;
pub mod shutdown;
pub mod steps;
pub mod telemetry;
pub mod tls;
pub mod token;
pub mod traces;
pub mod transport;

pub use backoff::Backoff;
pub use clock::{Clock, SystemClock, TestClock};
pub use shutdown::{Shutdown, ShutdownTrigger};
