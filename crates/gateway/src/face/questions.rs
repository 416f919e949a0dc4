//! Patients' questions about looks at their records, for those who answer them: users in a role of `audit.readers`.

use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use sealwort_audit::{Detail, EventKind};
use serde::Deserialize;

use super::access_log::readers_only;
use super::{LetIn, Shared, failed};
use crate::Gateway;
use crate::error::GatewayError;
use crate::questions::Answered;
use crate::user::Asking;

/// What the entry about an answer calls it.
pub(super) const ANSWER: &str = "answer";

/// The routes.
pub(super) fn routes() -> Router<Arc<Gateway>> {
    Router::new().route("/questions", get(list)).route("/questions/{id}/answer", post(answer))
}

/// Which.
#[derive(Debug, Deserialize)]
struct Which {
    /// Those with answers, too.
    #[serde(default)]
    all: bool,
}

/// `GET /questions?all=true`
async fn list(State(gateway): Shared, LetIn(asking): LetIn, Query(which): Query<Which>) -> Response {
    let answered = if which.all { Answered::Too } else { Answered::Not };
    let found = check_reads(&gateway, &asking).map(|()| gateway.questions_listed(answered, &asking.trail));
    match gateway.listed("questions", &asking, found).await {
        Ok(all) => Json(all).into_response(),
        Err(error) => failed(&error),
    }
}

/// What somebody at the hospital answers.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Said {
    answer: String,
}

/// `POST /questions/{id}/answer`
async fn answer(
    State(gateway): Shared,
    LetIn(asking): LetIn,
    Path(id): Path<String>,
    Json(said): Json<Said>,
) -> Response {
    let answering = async {
        check_reads(&gateway, &asking)?;
        gateway.answer_question(&id, &said.answer, &asking).await
    };
    let outcome = answering.await;
    let mut entry = gateway.entry(EventKind::LogShown, &asking).detail(Detail::Action, ANSWER);
    entry.note(Detail::Reason, said.answer.trim());
    entry.note(Detail::Subject, outcome.as_ref().map_or(id.as_str(), |question| question.entry.as_str()));
    match gateway.keep_entry(entry, &asking.trail, outcome.as_ref().err()).await.and(outcome) {
        Ok(question) => Json(question).into_response(),
        Err(error) => failed(&error),
    }
}

fn check_reads(gateway: &Gateway, asking: &Asking) -> Result<(), GatewayError> {
    if gateway.reads_log(asking) { Ok(()) } else { Err(readers_only()) }
}
