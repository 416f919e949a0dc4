//! The HTTP face: a handler reads a body, calls one verb and answers. Paths and
//! bodies are those of `sealwort_pki::enrolment`; the operator's are in
//! [`crate::admin`]. Who is at the other end comes from the connection, as the
//! extension [`HopPeer`].

use std::sync::Arc;

use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Extension, Router};
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, StatusCode};
use sealwort_net::observe;
use sealwort_net::tls::HopPeer;
use sealwort_pki::enrolment::{
    CRL_PATH, ENROL_PATH, EnrolRequest, MESSAGE_BYTES_MAX, MessageError, RENEW_PATH, ROOT_PATH, Refusal, RenewRequest,
};
use zeroize::Zeroizing;

use crate::admin;
use crate::authority::Authority;
use crate::error::{CaError, Fault};

/// The authority's routes. The connection must be TLS, with an optional client
/// certificate.
pub fn router(authority: Arc<Authority>) -> Router {
    Router::new()
        .route(ENROL_PATH, post(enrol))
        .route(RENEW_PATH, post(renew))
        .route(CRL_PATH, get(crl))
        .route(ROOT_PATH, get(root))
        .merge(admin::routes())
        .fallback(not_found)
        .method_not_allowed_fallback(not_found)
        .with_state(authority)
}

async fn enrol(State(authority): State<Arc<Authority>>, request: Request) -> Answer {
    let body = body(request).await?;
    let request = EnrolRequest::from_json(&body).map_err(CaError::from)?;
    let granted = authority.enrol(&request).await?;
    Ok(json(granted.to_json().as_bytes()))
}

async fn renew(State(authority): State<Arc<Authority>>, peer: Option<Extension<HopPeer>>, request: Request) -> Answer {
    let Extension(peer) = peer.ok_or(CaError::NotAuthenticated)?;
    let body = body(request).await?;
    let request = RenewRequest::from_json(&body).map_err(CaError::from)?;
    let granted = authority.renew(peer.identity(), peer.serial(), &request).await?;
    Ok(json(granted.to_json().as_bytes()))
}

async fn crl(State(authority): State<Arc<Authority>>) -> Response {
    let crl = authority.crl().borrow().clone();
    json(crl.to_json().as_bytes())
}

async fn root(State(authority): State<Arc<Authority>>) -> Response {
    json(authority.root().to_json().as_bytes())
}

async fn not_found() -> Response {
    let refusal = Refusal {
        code: "not-found".into(),
        message: "the authority has nothing under this path and method".into(),
        remedy: "check the address and the version of the client".into(),
    };
    refuse(StatusCode::NOT_FOUND, &refusal)
}

/// What a handler gives back.
pub(crate) type Answer = Result<Response, CaError>;

/// The whole body, within the limit.
pub(crate) async fn body(request: Request) -> Result<Zeroizing<Vec<u8>>, CaError> {
    let body = to_bytes(request.into_body(), MESSAGE_BYTES_MAX).await;
    let body = body.map_err(|_| MessageError::Unreadable(MESSAGE_BYTES_MAX))?;
    Ok(Zeroizing::new(body.into()))
}

/// A JSON answer that nobody keeps.
pub(crate) fn json(content: &[u8]) -> Response {
    let mut response = Response::new(Body::from(content.to_vec()));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn refuse(status: StatusCode, refusal: &Refusal) -> Response {
    let mut response = json(refusal.to_json().as_bytes());
    *response.status_mut() = status;
    response
}

impl IntoResponse for CaError {
    fn into_response(self) -> Response {
        let status = match self.fault() {
            Fault::Request => StatusCode::BAD_REQUEST,
            Fault::Unauthenticated => StatusCode::UNAUTHORIZED,
            Fault::Forbidden => StatusCode::FORBIDDEN,
            Fault::Absent => StatusCode::NOT_FOUND,
            Fault::Gone => StatusCode::GONE,
            Fault::Exhausted => StatusCode::TOO_MANY_REQUESTS,
            Fault::Ours => {
                tracing::error!(error = %self, "the authority failed");
                StatusCode::INTERNAL_SERVER_ERROR
            }
        };
        observe::refused(self.code());
        tracing::debug!(code = self.code(), %status, "refused");
        refuse(status, &self.refusal())
    }
}
