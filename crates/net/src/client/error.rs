//! What can go wrong between this process and a peer: in which phase, whose fault, what to do.

use std::error::Error as StdError;
use std::fmt;
use std::io;
use std::time::Duration;

use rustls::AlertDescription;
use sealwort_pki::CertificateError;

use super::Endpoint;

/// The phase of a connection in which something went wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Finding the address of a host name.
    Resolve,
    /// The TCP connection.
    Connect,
    /// The TLS handshake.
    Tls,
    /// From the request to the head of its response.
    Http,
    /// The body of the response.
    Body,
}

/// Why a connection or a request failed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum HopError {
    /// The text is not an address; the configuration is at fault.
    #[error("`{text}` is not an address of the form https://host:port; correct it in the configuration")]
    Endpoint {
        /// The text.
        text: String,
    },
    /// The host name is unknown.
    #[error("cannot find the address of {endpoint}: {reason}; check the name and this computer's name service")]
    Resolve {
        /// Whom we wanted.
        endpoint: Endpoint,
        /// The operating system's answer.
        reason: String,
    },
    /// Nobody listens there, or the network does not reach.
    #[error("cannot connect to {endpoint}: {reason}; check that the peer runs and that no firewall is in between")]
    Connect {
        /// Whom we wanted.
        endpoint: Endpoint,
        /// The operating system's answer.
        reason: String,
    },
    /// The peer did not answer in time.
    #[error("{endpoint} did not answer within {after:?} ({phase}); it may be overloaded or unreachable, try again")]
    Timeout {
        /// Whom we wanted.
        endpoint: Endpoint,
        /// In which phase.
        phase: Phase,
        /// How long we waited.
        after: Duration,
    },
    /// We do not believe the peer.
    #[error("{endpoint} is refused: {error}")]
    PeerRefused {
        /// Whom we reached.
        endpoint: Endpoint,
        /// What is wrong with its certificate.
        error: CertificateError,
    },
    /// The peer does not believe us.
    #[error("{endpoint} refused this party: {}", remedy(*alert))]
    RefusedByPeer {
        /// Whom we reached.
        endpoint: Endpoint,
        /// The TLS alert it sent.
        alert: AlertDescription,
    },
    /// The TLS handshake failed for another reason.
    #[error("no TLS connection to {endpoint}: {reason}; check that a sealwort service of this version listens there")]
    Tls {
        /// Whom we reached.
        endpoint: Endpoint,
        /// What rustls said.
        reason: String,
    },
    /// The HTTP exchange failed; the connection may live on.
    #[error("the request to {endpoint} failed: {reason}; it may be sent again")]
    Http {
        /// Whom we talked to.
        endpoint: Endpoint,
        /// What hyper said.
        reason: String,
    },
    /// The connection is closed; a new one is needed.
    #[error("the connection to {endpoint} is closed: {reason}; connect again")]
    Closed {
        /// Whom we talked to.
        endpoint: Endpoint,
        /// Who closed it, or why.
        reason: String,
    },
    /// The response is larger than the caller takes; the peer is at fault.
    #[error("the response of {endpoint} is larger than {limit} bytes")]
    BodyTooLarge {
        /// Whom we talked to.
        endpoint: Endpoint,
        /// The limit in bytes.
        limit: usize,
    },
}

impl HopError {
    /// In which phase it happened; `None` before the first.
    pub fn phase(&self) -> Option<Phase> {
        match self {
            HopError::Endpoint { .. } => None,
            HopError::Resolve { .. } => Some(Phase::Resolve),
            HopError::Connect { .. } => Some(Phase::Connect),
            HopError::Timeout { phase, .. } => Some(*phase),
            HopError::PeerRefused { .. } | HopError::RefusedByPeer { .. } | HopError::Tls { .. } => Some(Phase::Tls),
            HopError::Http { .. } | HopError::Closed { .. } => Some(Phase::Http),
            HopError::BodyTooLarge { .. } => Some(Phase::Body),
        }
    }

    /// A stable code for programs; for [`HopError::PeerRefused`] that of the certificate error.
    pub fn code(&self) -> &'static str {
        match self {
            HopError::Endpoint { .. } => "bad-endpoint",
            HopError::Resolve { .. } => "name-not-found",
            HopError::Connect { .. } => "connect-failed",
            HopError::Timeout { .. } => "timeout",
            HopError::PeerRefused { error, .. } => error.code(),
            HopError::RefusedByPeer { .. } => "refused-by-peer",
            HopError::Tls { .. } => "tls-failed",
            HopError::Http { .. } => "http-failed",
            HopError::Closed { .. } => "connection-closed",
            HopError::BodyTooLarge { .. } => "response-too-large",
        }
    }

    /// Whether trying again later, without changing anything, may help.
    pub fn is_transient(&self) -> bool {
        matches!(
            self,
            HopError::Resolve { .. }
                | HopError::Connect { .. }
                | HopError::Timeout { .. }
                | HopError::Http { .. }
                | HopError::Closed { .. }
                | HopError::PeerRefused { error: CertificateError::RevocationUnknown(_), .. }
        )
    }
}

impl fmt::Display for Phase {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Phase::Resolve => "finding its address",
            Phase::Connect => "connecting",
            Phase::Tls => "TLS handshake",
            Phase::Http => "request",
            Phase::Body => "response body",
        })
    }
}

/// What the peer's alert (RFC 8446, 6.2) means for this party.
fn remedy(alert: AlertDescription) -> String {
    let text = match alert {
        AlertDescription::CertificateRevoked => {
            "our certificate was revoked; ask the exchange's operator for a new invitation and join again"
        }
        AlertDescription::CertificateExpired => {
            "our certificate has expired or is not valid yet; check this computer's clock, then renew or join again"
        }
        AlertDescription::UnknownCA => {
            "our certificate was not issued by its exchange; check that the address belongs to our exchange"
        }
        AlertDescription::AccessDenied => {
            "parties of our role are not served there; check which address belongs to which party"
        }
        AlertDescription::CertificateRequired => "it wants a certificate and we have none; join the exchange first",
        other => {
            return format!("TLS alert {other:?}; the peer's log tells the reason");
        }
    };
    text.to_owned()
}

/// The alert that a peer sent, if one is among the causes of `error`.
pub(super) fn alert_in(error: &(dyn StdError + 'static)) -> Option<AlertDescription> {
    let mut cause = Some(error);
    while let Some(error) = cause {
        if let Some(rustls::Error::AlertReceived(alert)) = error.downcast_ref() {
            return Some(*alert);
        }
        // An `io::Error` hides what it wraps from `source` and shows it here.
        let wrapped = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        if let Some(alert) = wrapped.and_then(|wrapped| alert_in(wrapped)) {
            return Some(alert);
        }
        cause = error.source();
    }
    None
}

/// Whether the peer's side ended while we talked, as when its process is killed.
pub(super) fn is_broken_off(error: &(dyn StdError + 'static)) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| {
        matches!(
            error.kind(),
            io::ErrorKind::ConnectionReset
                | io::ErrorKind::ConnectionAborted
                | io::ErrorKind::BrokenPipe
                | io::ErrorKind::UnexpectedEof
        )
    })
}

/// An error with all its causes in one line.
pub(super) fn causes(error: &(dyn StdError + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        if !text.contains(&next) {
            text = format!("{text}: {next}");
        }
        cause = error.source();
    }
    text
}
