//! What each target runs. Every function takes any bytes, and panics only when a property does not hold.

pub mod certificates;
pub mod channel;
pub mod configuration;
pub mod fhir;
pub mod handshake;
pub mod messages;
pub mod record;
pub mod statements;
pub mod transmission;
