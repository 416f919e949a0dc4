//! The answers that a server gives before, or instead of, its handlers.

use std::fmt;
use std::sync::Arc;

use axum::body::Body;
use axum::response::Response;
use http::{HeaderValue, StatusCode, header};

/// Why a request was not served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// Too many requests at once; it may be sent again.
    Overloaded,
    /// The body is larger than the server takes.
    BodyTooLarge {
        /// The limit in bytes.
        limit: u64,
    },
    /// The body came too slowly.
    BodyTimeout,
    /// The handler took too long.
    RequestTimeout,
    /// The peer's certificate is no longer believed.
    PeerRefused {
        /// The stable code of the certificate error.
        code: &'static str,
    },
}

/// Turns a refusal into a response, in the language of the service: FHIR servers answer with an
/// OperationOutcome.
pub type RefusalWriter = Arc<dyn Fn(&Refusal) -> Response + Send + Sync>;

impl Refusal {
    /// The HTTP status.
    pub fn status(&self) -> StatusCode {
        match self {
            Refusal::Overloaded | Refusal::RequestTimeout => StatusCode::SERVICE_UNAVAILABLE,
            Refusal::BodyTooLarge { .. } => StatusCode::PAYLOAD_TOO_LARGE,
            Refusal::BodyTimeout => StatusCode::REQUEST_TIMEOUT,
            Refusal::PeerRefused { .. } => StatusCode::FORBIDDEN,
        }
    }

    /// A stable code for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Refusal::Overloaded => "overloaded",
            Refusal::BodyTooLarge { .. } => "body-too-large",
            Refusal::BodyTimeout => "body-timeout",
            Refusal::RequestTimeout => "request-timeout",
            Refusal::PeerRefused { code } => code,
        }
    }

    /// After how many seconds to try again, where that helps.
    pub fn retry_after_seconds(&self) -> Option<u32> {
        match self {
            Refusal::Overloaded | Refusal::RequestTimeout => Some(RETRY_AFTER_SECONDS),
            _ => None,
        }
    }

    /// The response, with the body that `writer` makes.
    pub(super) fn response(&self, writer: &RefusalWriter) -> Response {
        let mut response = writer(self);
        *response.status_mut() = self.status();
        if let Some(seconds) = self.retry_after_seconds() {
            response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        response
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::Overloaded => out.write_str("the server is busy; send the request again later"),
            Refusal::BodyTooLarge { limit } => {
                write!(out, "the request body is larger than {limit} bytes; send it in parts")
            }
            Refusal::BodyTimeout => out.write_str("the request body came too slowly; send the request again"),
            Refusal::RequestTimeout => {
                out.write_str("the server took too long; look whether the request took effect before sending it again")
            }
            Refusal::PeerRefused { code } => {
                write!(out, "the certificate of this connection is no longer accepted: {code}")
            }
        }
    }
}

/// A JSON object with `code` and `message`.
pub(super) fn plain(refusal: &Refusal) -> Response {
    let body = serde_json::json!({"code": refusal.code(), "message": refusal.to_string()});
    let mut response = Response::new(Body::from(body.to_string()));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

const RETRY_AFTER_SECONDS: u32 = 1;
