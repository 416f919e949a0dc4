//! Who is at the other end of a connection, as verified.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use sealwort_pki::{Fingerprint, Identity, SerialNumber, VerifiedParty};

/// The party at the other end of a TLS connection. Servers find it among a request's
/// extensions. Cheap to clone.
#[derive(Clone)]
pub struct HopPeer {
    party: Arc<VerifiedParty>,
    exporter: [u8; EXPORTER_BYTES],
    connection: ConnectionId,
}

/// Tells the connections of this process apart. Never used twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConnectionId(u64);

impl HopPeer {
    /// A verified party on one connection. `exporter` is the TLS exporter value of that
    /// connection (RFC 8446, 7.5), the same at both ends and nowhere else.
    pub fn new(party: Arc<VerifiedParty>, exporter: [u8; EXPORTER_BYTES], connection: ConnectionId) -> Self {
        Self { party, exporter, connection }
    }

    /// Who it is.
    pub fn identity(&self) -> &Identity {
        self.party.identity()
    }

    /// SHA-256 of its hop certificate.
    pub fn fingerprint(&self) -> Fingerprint {
        self.party.fingerprint()
    }

    /// Serial number of its hop certificate.
    pub fn serial(&self) -> SerialNumber {
        self.party.serial()
    }

    /// Everything that its certificate says.
    pub fn party(&self) -> &VerifiedParty {
        &self.party
    }

    /// The TLS exporter under the label `EXPORTER-sealwort-hop`, without context.
    pub fn exporter(&self) -> &[u8; EXPORTER_BYTES] {
        &self.exporter
    }

    /// The connection.
    pub fn connection(&self) -> ConnectionId {
        self.connection
    }
}

impl fmt::Debug for HopPeer {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("HopPeer")
            .field("identity", &self.identity().to_string())
            .field("serial", &self.serial())
            .field("connection", &self.connection)
            .field("exporter", &"[redacted]")
            .finish_non_exhaustive()
    }
}

impl ConnectionId {
    /// The next number of this process.
    pub fn next() -> Self {
        static LAST: AtomicU64 = AtomicU64::new(0);
        Self(LAST.fetch_add(1, Ordering::Relaxed) + 1)
    }

    /// The number.
    pub const fn as_u64(self) -> u64 {
        self.0
    }
}

impl fmt::Display for ConnectionId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(out)
    }
}

/// How long the exporter value is.
pub const EXPORTER_BYTES: usize = 32;

pub(crate) const EXPORTER_LABEL: &[u8] = b"EXPORTER-sealwort-hop";
