//! The FHIR R4 face towards the hospital: unpack, call one function, reply. Every failure is an
//! OperationOutcome with a stable code, the place and the remedy.

mod bundle;
mod capability;
mod local;
mod resource;
mod search;

use std::sync::Arc;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{FromRef, FromRequestParts, State};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use sealwort_fhir::{Issue, IssueCode, Outcome, Severity};
use sealwort_net::server::Refusal;
use sealwort_pki::UnixTime;
use sealwort_proto::Pseudonym;

use crate::Gateway;
use crate::error::GatewayError;
use crate::user::{Asking, let_in};
use crate::view::{Held, PatientView};

/// Base of every FHIR URL.
pub(crate) const BASE: &str = "/fhir";
const FHIR_JSON: &str = "application/fhir+json; charset=utf-8";

/// All routes.
pub(crate) fn router(gateway: Arc<Gateway>) -> Router {
    Router::new()
        .route(BASE, post(bundle::post))
        .route(&format!("{BASE}/"), post(bundle::post))
        .route(&format!("{BASE}/metadata"), get(capability::metadata))
        .route(&format!("{BASE}/{{kind}}"), get(search::search).post(resource::create))
        .route(&format!("{BASE}/{{kind}}/{{id}}"), get(resource::read).put(resource::update).delete(resource::delete))
        .route(&format!("{BASE}/Patient/{{id}}/$everything"), get(search::everything))
        .route("/status", get(local::status))
        .route("/consent", get(local::consent))
        .route("/consent/grant", post(local::grant))
        .route("/consent/withdraw", post(local::withdraw))
        .fallback(unknown_route)
        .with_state(gateway)
}

async fn unknown_route() -> Response {
    failed(&GatewayError::request(
        404,
        IssueCode::NotFound,
        "route-unknown",
        "there is nothing at this path",
        "GET /fhir/metadata tells what this server offers",
    ))
}

/// The user who asks, from the bearer token.
pub(crate) struct LetIn(pub(crate) Asking);

impl<S: Send + Sync> FromRequestParts<S> for LetIn
where
    Arc<Gateway>: FromRef<S>,
{
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Response> {
        let gateway = Arc::<Gateway>::from_ref(state);
        let_in(&gateway.keys.bearer, &parts.headers, gateway.sessions.now()).map(Self).map_err(|e| failed(&e))
    }
}

/// A failure in FHIR's words.
pub(crate) fn failed(error: &GatewayError) -> Response {
    if error.status() >= 500 {
        tracing::warn!(code = error.code(), "{error}");
    }
    let mut response = outcome(status(error.status()), &error.outcome());
    let headers = response.headers_mut();
    match error.status() {
        401 => {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        503 => {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("2"));
        }
        _ => {}
    }
    response
}

/// What the server itself refuses, in FHIR's words.
pub(crate) fn server_refusal(refusal: &Refusal) -> Response {
    let issue = Issue::new(
        Severity::Error,
        IssueCode::Throttled,
        refusal.code(),
        "the server's limits do not allow this request",
    )
    .diagnostics("send less at once, or try again later");
    outcome(refusal.status(), &Outcome::from(issue))
}

pub(crate) fn outcome(status: StatusCode, outcome: &Outcome) -> Response {
    fhir(status, outcome.to_bytes().into())
}

/// FHIR content.
pub(crate) fn fhir(status: StatusCode, content: Bytes) -> Response {
    (status, [(header::CONTENT_TYPE, FHIR_JSON)], Body::from(content)).into_response()
}

fn status(code: u16) -> StatusCode {
    StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

/// A resource with its version in the headers; the content is the bytes as they were received.
fn held(status: StatusCode, held: &Held, content: Bytes) -> Response {
    let mut response = fhir(status, content);
    version_headers(response.headers_mut(), held.version, held.changed);
    response
}

fn version_headers(headers: &mut HeaderMap, version: u64, changed: UnixTime) {
    if let Ok(etag) = HeaderValue::from_str(&etag(version)) {
        headers.insert(header::ETAG, etag);
    }
    if let Some(date) = http_date(changed) {
        headers.insert(header::LAST_MODIFIED, date);
    }
}

fn etag(version: u64) -> String {
    format!("W/\"{version}\"")
}

/// RFC 9110, section 5.6.7.
fn http_date(at: UnixTime) -> Option<HeaderValue> {
    let format = time::macros::format_description!(
        "[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT"
    );
    let text = date(at)?.format(&format).ok()?;
    HeaderValue::from_str(&text).ok()
}

fn date(at: UnixTime) -> Option<time::OffsetDateTime> {
    time::OffsetDateTime::from_unix_timestamp(i64::try_from(at.as_secs()).ok()?).ok()
}

/// Says that something is withheld, in a header that every reading carries where it is so.
fn note_withheld(response: &mut Response, view: &PatientView) {
    if view.withheld > 0 {
        response.headers_mut().insert("x-sealwort-withheld", HeaderValue::from(view.withheld));
    }
}

/// The patient of a path or parameter.
async fn patient_of(gateway: &Arc<Gateway>, id: &str) -> Result<Pseudonym, GatewayError> {
    gateway.roster.by_resource("Patient", id).await?.ok_or_else(GatewayError::unknown_patient)
}

type Shared = State<Arc<Gateway>>;
