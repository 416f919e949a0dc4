//! Every message that crosses a wire outside the sealed records: the nine steps of authentication, what
//! travels inside the channels, and refusals. Each is a CBOR array in deterministic form.

mod archive;
mod audit;
mod authentication;
mod broker;
mod call;

use minicbor::{Decode, Encode};

use crate::VERSION;
use crate::error::{ErrorKind, Fault, ProtocolError, Step};
use crate::id::SessionId;

pub use archive::*;
pub use audit::*;
pub use authentication::*;
pub use broker::*;
pub use call::*;

/// Largest authentication message, in bytes.
pub const HANDSHAKE_BYTES_MAX: usize = 32 * 1024;
/// Largest message inside a channel, in bytes: one entry of the largest size, or many small ones.
pub const MESSAGE_BYTES_MAX: usize = 20 * 1024 * 1024;

/// Leads every message.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Header {
    /// [`VERSION`].
    #[n(0)]
    pub version: u8,
    /// Name of the exchange.
    #[n(1)]
    pub exchange: String,
    /// The paper's step number.
    #[n(2)]
    pub step: u8,
    /// The session, or [`SessionId::NONE`] before it exists.
    #[n(3)]
    pub session: SessionId,
}

impl Header {
    /// The header of a message of this step.
    pub fn new(exchange: &str, step: u8, session: SessionId) -> Self {
        Self { version: VERSION, exchange: exchange.to_owned(), step, session }
    }

    /// Checks version, exchange, step and session against what is awaited here.
    pub fn check(&self, exchange: &str, step: u8, session: SessionId) -> Result<(), ErrorKind> {
        if self.version != VERSION {
            return Err(ErrorKind::Version { found: self.version });
        }
        if self.exchange != exchange {
            return Err(ErrorKind::WrongExchange);
        }
        if self.step != step {
            return Err(ErrorKind::WrongStep { expected: step, found: self.step });
        }
        if self.session != session {
            return Err(ErrorKind::WrongSession);
        }
        Ok(())
    }
}

/// A refusal, in words that a peer may see.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Refusal {
    /// Who refused: `broker` or `archive`.
    #[n(0)]
    pub by: String,
    /// Stable code.
    #[n(1)]
    pub code: String,
    /// What was wrong.
    #[n(2)]
    pub reason: String,
    /// What to do next.
    #[n(3)]
    pub remedy: String,
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the {} refused: {} ({}); {}", self.by, self.reason, self.code, self.remedy)
    }
}

impl Refusal {
    /// A refusal with its code, reason and remedy.
    pub fn new(by: Fault, code: &str, reason: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { by: by.as_str().to_owned(), code: code.to_owned(), reason: reason.into(), remedy: remedy.into() }
    }

    /// What the peer is told of a failed step.
    pub fn of(by: Fault, error: &ProtocolError) -> Self {
        let remedy = match &error.kind {
            ErrorKind::UnknownSession | ErrorKind::Exhausted => "run the nine steps again",
            ErrorKind::Clock { .. } => "set the clocks right",
            ErrorKind::Certificate(_) => "renew the certificate or ask the exchange's operator",
            ErrorKind::Policy { .. } => "change the policies in the configuration",
            ErrorKind::Codec(_) | ErrorKind::Version { .. } | ErrorKind::Suite { .. } => {
                "use software of the same protocol version"
            }
            _ => "the logs of both sides name the cause",
        };
        Self::new(by, error.code(), error.to_string(), remedy)
    }

    /// The error of the party that was refused.
    pub fn into_error(self, step: Step) -> ProtocolError {
        ProtocolError::new(step, Fault::Own, ErrorKind::Refused(Box::new(self)))
    }
}
