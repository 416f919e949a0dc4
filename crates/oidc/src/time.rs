//! The time as JSON Web Tokens write it. The clock is the caller's.

use serde::{Deserialize, Serialize};

/// Seconds since 1970-01-01T00:00:00Z, whole (RFC 7519, section 2; SMART asks for an integer).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct NumericDate(u64);

impl NumericDate {
    /// The time so many seconds after 1970.
    pub const fn from_secs(seconds: u64) -> Self {
        Self(seconds)
    }

    /// Seconds since 1970.
    pub const fn as_secs(self) -> u64 {
        self.0
    }

    /// Later by so many seconds.
    pub const fn plus(self, seconds: u64) -> Self {
        Self(self.0.saturating_add(seconds))
    }
}
