//! Storage: small traits for what each party keeps, the embedded back end (SQLite) and one on a PostgreSQL server, data
//! folders, objects beside a database for what is large, and one conformance suite that every back end runs. Nothing here knows what the stored bytes mean: halves arrive
//! wrapped, records sealed, statements signed.
//!
//! A write that returned is on disk.

// What both databases do in the same words stands once in `relational/`, and is compiled for each of them.
#![allow(clippy::duplicate_mod, reason = "one text for two drivers, whose types have nothing in common")]

mod append;
mod audit;
mod backup;
mod ca;
mod change;
#[cfg(feature = "conformance")]
pub mod conformance;
mod database;
mod emergency;
mod error;
mod folder;
mod gateway;
mod half;
mod key;
mod log;
#[cfg(feature = "testing")]
pub mod memory;
pub mod moving;
pub(crate) mod objects;
mod party;
mod patient;
pub mod postgres;
mod snapshot;
pub mod sqlite;
pub mod tables;
mod witness;
mod writer;

pub use audit::{AppendUpon, AuditAppended, AuditBatch, AuditQuery, AuditStore, Cosign, KeptCheckpoint, Standing};
pub use backup::{BackedUp, back_up};
pub use ca::{CaStore, CertificateRow, CrlRow, InvitationRow, RevocationRow};
pub use change::{Change, ChangeStore};
pub use emergency::{EmergencyStore, KeptEmergency, NewEmergency};
pub use error::{DatabaseFault, StoreError};
pub use folder::DataFolder;
pub use gateway::{GatewayStore, OutboxItem, RosterKind};
pub use half::{HalfStore, Rewrapped};
pub use log::{Append, Appended, LogStore, NewEntry, StoredEntry};
pub use objects::{ObjectFault, ObjectOptions, Objects, Swept};
pub use party::{AuditLog, PartyStore};
pub use patient::{DirectiveUpdate, NewErasure, NewPatient, Patient, PatientStore, Registered, Tombstone, WrappedHalf};
pub use snapshot::{Snapshot, Summary, TableSummary};
pub use witness::{Advance, WitnessStore};

/// What the broker keeps beside patients.
pub trait BrokerStore: WitnessStore + EmergencyStore + ChangeStore {}

impl<S: WitnessStore + EmergencyStore + ChangeStore> BrokerStore for S {}
