//! Sessions: those of gateways that are live on this node, and how one is ended.

use std::sync::Arc;

use axum::extract::{RawQuery, State};
use axum::response::Response;
use http::StatusCode;
use maud::html;
use sealwort_audit::{Detail, EventKind};
use sealwort_pages::words::console as words;
use sealwort_proto::SessionId;

use super::Console;
use super::form::Form;
use super::frame::{self, SESSIONS, ago, cell, command, secret, see_other, told};
use super::sign_in::{May, Visitor, log_away, not_from_here};

/// Most sessions that one page shows.
const SHOWN_MAX: usize = 200;

/// `GET /sessions`
pub(super) async fn page(State(console): State<Arc<Console>>, visitor: Visitor, RawQuery(query): RawQuery) -> Response {
    let query = Form::of(query.as_deref().unwrap_or_default().as_bytes());
    let now = console.now();
    let mut live = console.live();
    live.sort_by_key(|(_, one)| (one.gateway(), one.since));
    let all = live.len();
    live.truncate(SHOWN_MAX);
    let content = html! {
        @if query.value("ended").is_some() { div .note.good role="status" { p { (words::SESSION_WAS_ENDED) } } }
        p { (words::SESSIONS_INTRODUCTION) }
        table .stack {
            caption { (words::sessions(all, live.len())) }
            thead { tr {
                @for column in words::SESSION_COLUMNS { th scope="col" { (column) } }
            } }
            tbody { @for (id, one) in &live { tr {
                th scope="row" { (one.gateway()) }
                (cell(words::SESSION_COLUMNS[1], &html! { code { (short(*id)) } }))
                (cell(words::SESSION_COLUMNS[2], &ago(one.since, now)))
                (cell(words::SESSION_COLUMNS[3], &ago(one.used(), now)))
                (cell(words::SESSION_COLUMNS[4], &html! {
                    @if visitor.may == May::Operate {
                        form method="post" action="/sessions/end" {
                            (secret(&visitor))
                            input type="hidden" name="session" value=(id);
                            button .danger type="submit" aria-label=(words::end_session(&one.gateway(), &short(*id))) {
                                (words::END)
                            }
                        }
                    } @else { (words::OPERATORS_ONLY) }
                }))
            } } }
        }
        h2 { (words::SESSIONS_HOW) }
        p { (words::SESSIONS_END_HOW) }
        p { (words::SESSIONS_KEEP_OUT) }
        (command("sealwort ca revoke NAME --reason key-compromise"))
    };
    frame::page(&console, &visitor, (SESSIONS, words::SESSIONS), &content).await
}

/// `POST /sessions/end`: operators end a session.
pub(super) async fn end(State(console): State<Arc<Console>>, visitor: Visitor, form: Form) -> Response {
    if !visitor.owns(&form) {
        return not_from_here();
    }
    if visitor.may != May::Operate {
        return told(StatusCode::FORBIDDEN, words::NOT_ALLOWED, words::NOT_ALLOWED_NEXT);
    }
    let id = form.value("session").and_then(|id| id.parse::<SessionId>().ok());
    let found = id.and_then(|id| console.live().into_iter().find(|(live, _)| *live == id));
    let Some((id, session)) = found else {
        return told(StatusCode::NOT_FOUND, words::NO_SESSION, words::NO_SESSION_NEXT);
    };
    let entry = console.entry(EventKind::SessionEnded, &visitor.name, visitor.may.role()).peer(&session.gateway());
    let entry = entry.detail(Detail::Session, id).detail(Detail::Reason, words::ENDED_BY_OPERATOR);
    if console.broker.journal.append(entry).await.is_err() {
        return log_away();
    }
    console.broker.sessions.end_gateway(id);
    tracing::info!(session = %id, gateway = session.gateway(), by = visitor.name, "session ended at the console");
    see_other("/sessions?ended=1")
}

/// As much of a session's id as tells it from others.
fn short(id: SessionId) -> String {
    id.to_string().chars().take(12).collect()
}
