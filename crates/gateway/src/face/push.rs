//! Web push over HTTP: the key that browsers subscribe with, and the browsers that are told. Any token lets in; what it may
//! see is asked where it matters.

use std::sync::Arc;

use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{delete, get};
use axum::{Json, Router};
use http::StatusCode;
use http::request::Parts;
use sealwort_audit::{Detail, EventKind};
use sealwort_fhir::IssueCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Shared, failed, let_in_noted};
use crate::Gateway;
use crate::error::GatewayError;
use crate::user::Asking;

/// Largest body, in bytes.
const BODY_BYTES_MAX: usize = 16 * 1024;

pub(super) fn routes() -> Router<Arc<Gateway>> {
    Router::new()
        .route("/push/key", get(key))
        .route("/push/browsers", get(list).post(register))
        .route("/push/browsers/{id}", delete(remove))
}

/// Open to everybody: a browser needs it before anybody has signed in.
async fn key(State(gateway): Shared) -> Response {
    match gateway.push_key() {
        Ok(key) => Json(json!({ "applicationServerKey": key })).into_response(),
        Err(error) => failed(&error),
    }
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Registration {
    #[serde(default)]
    patient: Option<String>,
    subscription: Value,
}

async fn register(State(gateway): Shared, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let registered = async {
        let asking = let_in_noted(&gateway, &parts, |_| Ok(())).await?;
        let wrong = || {
            GatewayError::request(
                400,
                IssueCode::Structure,
                "push-subscription-invalid",
                "the body is no JSON with a subscription, or longer than 16 KiB",
                "send {\"patient\": …, \"subscription\": what PushSubscription.toJSON() gives}",
            )
        };
        let body = axum::body::to_bytes(body, BODY_BYTES_MAX).await.map_err(|_| wrong())?;
        let registration: Registration = serde_json::from_slice(&body).map_err(|_| wrong())?;
        let registered =
            gateway.register_browser(registration.patient.as_deref(), &registration.subscription, &asking).await;
        kept(&gateway, &asking, registered).await
    };
    match registered.await {
        Ok(shown) => (StatusCode::CREATED, Json(shown)).into_response(),
        Err(error) => failed(&error),
    }
}

async fn list(State(gateway): Shared, parts: Parts) -> Response {
    let listed = async {
        let asking = let_in_noted(&gateway, &parts, |_| Ok(())).await?;
        gateway.listed("browsers", &asking, Ok(gateway.browsers(&asking))).await
    };
    match listed.await {
        Ok(browsers) => Json(browsers).into_response(),
        Err(error) => failed(&error),
    }
}

async fn remove(State(gateway): Shared, Path(id): Path<String>, parts: Parts) -> Response {
    let removed = async {
        let asking = let_in_noted(&gateway, &parts, |_| Ok(())).await?;
        kept(&gateway, &asking, gateway.remove_browser(&id, &asking).await).await
    };
    match removed.await {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(error) => failed(&error),
    }
}

/// Keeps the entry about what was refused; what is done has its entry before it is done.
async fn kept<T>(gateway: &Gateway, asking: &Asking, outcome: Result<T, GatewayError>) -> Result<T, GatewayError> {
    if let Err(error) = &outcome {
        let entry = gateway.entry(EventKind::SubscriptionChanged, asking).detail(Detail::Method, "web push");
        gateway.keep_entry(entry, &asking.trail, Some(error)).await?;
    }
    outcome
}
