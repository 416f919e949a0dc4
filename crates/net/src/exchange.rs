//! Protocol messages over HTTP/2: paths, and how a refusal travels. A message is a body of CBOR; an answer
//! with another status than 200 carries a [`Refusal`].

use std::time::Duration;

use axum::response::{IntoResponse as _, Response};
use http::{Method, StatusCode, header};
use sealwort_proto::codec::{from_bytes, to_bytes};
use sealwort_proto::message::{HANDSHAKE_BYTES_MAX, Refusal};

use crate::client::{Body, Connection, HopError, Response as HopResponse};

/// Media type of every message.
pub const CBOR: &str = "application/cbor";
/// Media type of a relayed stream of frames.
pub const FRAMES: &str = "application/sealwort-frames";
/// Time to wait for the answer to a message.
pub const ANSWER_PATIENCE: Duration = Duration::from_secs(20);
/// Steps 1, 2, 4, 6 and 9, followed by the number, and the session where there is one.
pub const AUTHENTICATE_PATH: &str = "/v1/authenticate";
/// Messages inside the L–T channel.
pub const CHANNEL_PATH: &str = "/v1/channel";
/// Messages inside the T–M channel.
pub const CALL_PATH: &str = "/v1/call";
/// Frames of the L–M channel, followed by the session.
pub const RELAY_PATH: &str = "/v1/relay";
/// The broker's notices to a gateway, followed by the session.
pub const NOTICES_PATH: &str = "/v1/notices";
/// The hospitals that take part, as the broker knows them: their identities, one a line.
pub const HOSPITALS_PATH: &str = "/v1/hospitals";

/// Why an exchange of messages failed.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ExchangeError {
    /// The peer was not reached, or the connection broke.
    #[error(transparent)]
    Hop(#[from] HopError),
    /// The peer refused.
    #[error("{0}")]
    Refused(Box<Refusal>),
    /// The peer answered with something that is no answer.
    #[error(
        "the peer answered {status} with something that is not a message; is it a Sealwort service of this version?"
    )]
    NotAnAnswer {
        /// HTTP status.
        status: StatusCode,
    },
}

impl ExchangeError {
    /// The refusal's code, or the connection's.
    pub fn code(&self) -> &str {
        match self {
            Self::Hop(error) => error.code(),
            Self::Refused(refusal) => &refusal.code,
            Self::NotAnAnswer { .. } => "not-an-answer",
        }
    }

    /// Whether the exchange may answer later: nothing was decided against the request.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Hop(error) => error.is_transient(),
            Self::Refused(refusal) => {
                matches!(
                    refusal.code.as_str(),
                    "session-unknown" | "session-exhausted" | "unavailable" | "peer-unreachable"
                )
            }
            Self::NotAnAnswer { status } => status.is_server_error(),
        }
    }
}

/// An answer of CBOR.
pub fn answer(message: Vec<u8>) -> Response {
    ([(header::CONTENT_TYPE, CBOR)], message).into_response()
}

/// An answer that refuses.
pub fn refuse(refusal: &Refusal) -> Response {
    crate::observe::refused(&refusal.code);
    let status = match refusal.code.as_str() {
        "message-malformed" | "step-wrong" | "version-unknown" | "suite-unknown" => StatusCode::BAD_REQUEST,
        "session-unknown" | "session-exhausted" => StatusCode::GONE,
        "unavailable" | "peer-unreachable" | "audit-unavailable" => StatusCode::SERVICE_UNAVAILABLE,
        "disk-full" => StatusCode::INSUFFICIENT_STORAGE,
        "storage-failed" => StatusCode::INTERNAL_SERVER_ERROR,
        _ => StatusCode::FORBIDDEN,
    };
    (status, [(header::CONTENT_TYPE, CBOR)], to_bytes(refusal)).into_response()
}

/// Sends a message and reads the answer, of at most `limit` bytes.
pub async fn send(
    connection: &Connection,
    path: &str,
    message: Vec<u8>,
    limit: usize,
) -> Result<Vec<u8>, ExchangeError> {
    #[cfg(feature = "testing")]
    duplicate(connection, path, &message, limit);
    let response = connection.request(Method::POST, path, Body::from(message), ANSWER_PATIENCE).await?;
    let response = accepted(response).await?;
    Ok(response.read(limit).await?.to_vec())
}

/// Sends a second copy where a simulated network wants one. Nobody waits for its answer.
#[cfg(feature = "testing")]
fn duplicate(connection: &Connection, path: &str, message: &[u8], limit: usize) {
    let Some(network) = crate::transport::simulated::network().filter(|network| network.duplicates(path)) else {
        return;
    };
    let (connection, path, message) = (connection.clone(), path.to_owned(), message.to_vec());
    tokio::spawn(async move {
        // The first copy is on its way before the second one.
        tokio::task::yield_now().await;
        let sent = connection.request(Method::POST, &path, Body::from(message), ANSWER_PATIENCE).await;
        let Ok(response) = sent else { return };
        let status = response.status.as_u16();
        if let Ok(body) = response.read(limit).await {
            network.duplicate_answered(&path, status, &body);
        }
    });
}

/// Turns a response with another status than 200 into the refusal that it carries.
pub async fn accepted(response: HopResponse) -> Result<HopResponse, ExchangeError> {
    if response.status == StatusCode::OK {
        return Ok(response);
    }
    let status = response.status;
    let body = response.read(HANDSHAKE_BYTES_MAX).await?;
    match from_bytes::<Refusal>(&body, HANDSHAKE_BYTES_MAX) {
        Ok(refusal) => Err(ExchangeError::Refused(Box::new(refusal))),
        Err(_) => Err(ExchangeError::NotAnAnswer { status }),
    }
}
