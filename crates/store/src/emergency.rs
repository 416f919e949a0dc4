//! What the broker keeps of emergency accesses: each once, with its begin, until the hospital that registered the
//! patient was told, and for as long as somebody could claim another begin.

use async_trait::async_trait;
use sealwort_proto::EmergencyId;
use sealwort_proto::message::EmergencyNotice;

use crate::StoreError;

/// An emergency access for which a token is given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewEmergency {
    /// What it is, as it is told.
    pub notice: EmergencyNotice,
    /// Identity of the hospital that is to be told; none where it is the one at which it happens.
    pub tell: Option<String>,
}

/// Emergency accesses.
#[async_trait]
pub trait EmergencyStore: Send + Sync {
    /// Keeps an emergency access, unless one is kept under its number: what is kept, and whether it is new.
    async fn keep_emergency(&self, emergency: NewEmergency) -> Result<(EmergencyNotice, KeptEmergency), StoreError>;
    /// Those that a hospital is still to be told of, the oldest first, at most `most`.
    async fn untold_emergencies(&self, hospital: &str, most: usize) -> Result<Vec<EmergencyNotice>, StoreError>;
    /// A hospital was told of these. Those of others, and those that are not kept, change nothing.
    async fn told_emergencies(&self, hospital: &str, told: &[EmergencyId]) -> Result<(), StoreError>;
    /// Forgets those that began before this time, Unix seconds, and of which nobody is to be told any more.
    async fn forget_emergencies(&self, before: u64) -> Result<(), StoreError>;
}

/// Whether an emergency access was kept before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeptEmergency {
    /// It is kept now.
    New,
    /// It was kept before.
    Known,
}
