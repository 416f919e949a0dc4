//! Web push over HTTP: the key that browsers subscribe with, and the browsers that are told.

use std::sync::Arc;

use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{delete, get};
use axum::{Json, Router};
use http::StatusCode;
use sealwort_fhir::IssueCode;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{Shared, failed};
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
        let asking = let_in(&gateway, &parts).await?;
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
        gateway.register_browser(registration.patient.as_deref(), &registration.subscription, &asking).await
    };
    match registered.await {
        Ok(shown) => (StatusCode::CREATED, Json(shown)).into_response(),
        Err(error) => failed(&error),
    }
}

async fn list(State(gateway): Shared, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    match let_in(&gateway, &parts).await {
        Ok(asking) => Json(gateway.browsers(&asking)).into_response(),
        Err(error) => failed(&error),
    }
}

async fn remove(State(gateway): Shared, Path(id): Path<String>, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    let removed = async {
        let asking = let_in(&gateway, &parts).await?;
        gateway.remove_browser(&id, &asking).await
    };
    match removed.await {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(error) => failed(&error),
    }
}

/// Any token: what it may see is asked where it matters.
async fn let_in(gateway: &Gateway, parts: &http::request::Parts) -> Result<Asking, GatewayError> {
    gateway.journal.check()?;
    let mut asking = match gateway.let_in(parts) {
        Ok(asking) => asking,
        Err(error) => {
            gateway.keep_turned_away(&error).await?;
            return Err(error);
        }
    };
    if let Some(patient) = &asking.patient {
        asking.context = gateway.context_of(patient.as_str()).await?;
    }
    Ok(asking)
}
