//! What a gateway keeps: its roster of patients and its outbox. Both are sealed under the gateway's
//! key-encryption key before they arrive here; keys of the roster are keyed hashes.

use async_trait::async_trait;
use sealwort_proto::DepositId;

use crate::StoreError;

/// By what a roster row is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RosterKind {
    /// A blinded identifier.
    Locator,
    /// A FHIR resource, by type and logical id.
    Resource,
    /// The pseudonym, for the roster's full row.
    Pseudonym,
    /// A Patient resource by logical id, for the resource itself.
    Person,
    /// An enrolled device, by its id.
    Device,
    /// Something that came in and was refused, by a number.
    Refused,
    /// The pseudonym, for the patient's Consents in force.
    Consents,
    /// An emergency access, by its id.
    Emergency,
    /// The report of an emergency access, by the access's id.
    EmergencyReport,
    /// A notice about an emergency access, by its id.
    EmergencyNotice,
    /// What remains of an erased patient, by pseudonym.
    Erased,
    /// What a delegate may do for a patient, by its id.
    Delegation,
    /// A patient's passkey, by its credential id.
    Passkey,
    /// An invitation to register a passkey, by its code's fingerprint.
    PasskeyInvitation,
    /// A merge of two identities, by the pseudonym that was given up.
    Merge,
    /// A Subscription, by its id.
    Subscription,
    /// A browser that is told, by its id.
    Browser,
    /// A message to a browser, by its id.
    PushMessage,
    /// A patient's question about a look, with its answer, by its id.
    Question,
}

/// A write that waits for the exchange.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutboxItem {
    /// Order of arrival.
    pub position: u64,
    /// The deposit's id.
    pub id: DepositId,
    /// Keyed hash of the patient, so that one patient's writes keep their order.
    pub patient: [u8; 32],
    /// The sealed write.
    pub sealed: Vec<u8>,
}

/// A gateway's roster and outbox.
#[async_trait]
pub trait GatewayStore: Send + Sync {
    /// Writes roster rows together.
    async fn put_roster(&self, rows: Vec<(RosterKind, [u8; 32], Vec<u8>)>) -> Result<(), StoreError>;
    /// Writes those roster rows whose key has none yet, together.
    async fn add_roster(&self, rows: Vec<(RosterKind, [u8; 32], Vec<u8>)>) -> Result<(), StoreError>;
    /// How many rows of a kind there are.
    async fn roster_count(&self, kind: RosterKind) -> Result<u64, StoreError>;
    /// A roster row.
    async fn roster(&self, kind: RosterKind, key: [u8; 32]) -> Result<Option<Vec<u8>>, StoreError>;
    /// All rows of a kind, in no order.
    async fn roster_rows(&self, kind: RosterKind) -> Result<Vec<([u8; 32], Vec<u8>)>, StoreError>;
    /// Removes a roster row; one that is not there is gone already.
    async fn remove_roster(&self, kind: RosterKind, key: [u8; 32]) -> Result<(), StoreError>;
    /// Adds a write to the outbox; the same id again changes nothing.
    async fn enqueue(&self, id: DepositId, patient: [u8; 32], sealed: Vec<u8>) -> Result<(), StoreError>;
    /// The oldest writes that wait.
    async fn pending(&self, limit: usize) -> Result<Vec<OutboxItem>, StoreError>;
    /// How many writes wait, of one patient or of all.
    async fn pending_count(&self, patient: Option<[u8; 32]>) -> Result<u64, StoreError>;
    /// Removes a write that was stored.
    async fn done(&self, id: DepositId) -> Result<(), StoreError>;
}
