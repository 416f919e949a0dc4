//! Labels over HTTP, for the hospital's own tools: why a resource has its label, and labelling anew.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Query, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use sealwort_audit::{Detail, EventKind};
use sealwort_fhir::Resource;
use serde::{Deserialize, Serialize};

use super::pace::Pace;
use super::{LetIn, Shared, failed};
use crate::Gateway;
use crate::error::GatewayError;
use crate::labels::RelabelRequest;
use crate::user::Asking;

pub(super) fn routes() -> Router<Arc<Gateway>> {
    Router::new().route("/labels/explain", get(held).post(sent)).route("/labels/apply", post(apply))
}

/// Which resource.
#[derive(Debug, Deserialize)]
struct Named {
    resource: String,
}

async fn held(State(gateway): Shared, LetIn(asking): LetIn, Query(named): Query<Named>) -> Response {
    let pace = Pace::begin(&asking.trail);
    let outcome = gateway.explain_label_held(&named.resource, &asking).await;
    pace.keep(&asking.trail).await;
    answered(&gateway, EventKind::Read, &asking, "explain label", outcome).await
}

async fn sent(State(gateway): Shared, _: LetIn, body: Bytes) -> Response {
    let outcome = Resource::parse(body).map_err(GatewayError::from).and_then(|sent| gateway.explain_label_of(&sent));
    outcome.map_or_else(|error| failed(&error), |shown| Json(shown).into_response())
}

async fn apply(State(gateway): Shared, LetIn(asking): LetIn, Json(request): Json<RelabelRequest>) -> Response {
    let outcome = gateway.relabel(&request, &asking).await;
    answered(&gateway, EventKind::Updated, &asking, "label", outcome).await
}

/// Answers when the entry is on disk.
async fn answered<T: Serialize>(
    gateway: &Gateway,
    kind: EventKind,
    asking: &Asking,
    action: &str,
    outcome: Result<T, GatewayError>,
) -> Response {
    let entry = gateway.entry(kind, asking).detail(Detail::Action, action);
    if let Err(error) = gateway.keep_entry(entry, &asking.trail, outcome.as_ref().err()).await {
        return failed(&error);
    }
    outcome.map_or_else(|error| failed(&error), |shown| Json(shown).into_response())
}
