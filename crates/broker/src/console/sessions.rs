//! Sessions: those of gateways that are live on this node, those of people at this console, and how one is ended.

use std::sync::Arc;

use axum::extract::{RawQuery, State};
use axum::response::Response;
use http::StatusCode;
use maud::{Markup, html};
use sealwort_audit::{Detail, EventKind};
use sealwort_oidc::SessionId as PersonSession;
use sealwort_pages::words::console as words;
use sealwort_proto::SessionId;

use super::Console;
use super::form::Form;
use super::frame::{self, SESSIONS, ago, cell, command, head, secret, see_other, told};
use super::sign_in::{May, Visitor, finished, log_away, not_from_here};

/// Most sessions of a kind that one page shows.
const SHOWN_MAX: usize = 200;
/// Where a session is ended: a gateway's, and somebody's at this console.
pub(super) const END: &str = "/sessions/end";
pub(super) const END_PERSON: &str = "/sessions/people/end";

/// `GET /sessions`
pub(super) async fn page(State(console): State<Arc<Console>>, visitor: Visitor, RawQuery(query): RawQuery) -> Response {
    let query = Form::of(query.as_deref().unwrap_or_default().as_bytes());
    let now = console.now();
    let mut live = console.live();
    live.sort_by_key(|(_, one)| (one.gateway(), one.since));
    let all = live.len();
    live.truncate(SHOWN_MAX);
    let mut people = console.people();
    people.truncate(SHOWN_MAX);
    let content = html! {
        @if let Some(ended) = query.value("ended") {
            div .note.good role="status" { p {
                (if ended == "person" { words::PERSON_WAS_ENDED } else { words::SESSION_WAS_ENDED })
            } }
        }
        p { (words::SESSIONS_INTRODUCTION) }
        table .stack {
            caption { (words::sessions(all, live.len())) }
            (head(&words::SESSION_COLUMNS))
            tbody { @for (id, one) in &live { tr {
                th scope="row" { (one.gateway()) }
                (cell(words::SESSION_COLUMNS[1], &html! { code { (short(*id)) } }))
                (cell(words::SESSION_COLUMNS[2], &ago(one.since, now)))
                (cell(words::SESSION_COLUMNS[3], &ago(one.used(), now)))
                (cell(words::SESSION_COLUMNS[4], &button(&visitor, END, &id.to_string(), &words::end_session(&one.gateway(), &short(*id)))))
            } } }
        }
        h2 { (words::PEOPLE) }
        p { (words::PEOPLE_HOW) }
        table .stack #people {
            caption { (words::people(people.len())) }
            (head(&words::PEOPLE_COLUMNS))
            tbody { @for one in &people { tr {
                th scope="row" { (one.name) }
                (cell(words::PEOPLE_COLUMNS[1], &html! { (words::role(one.may.role())) }))
                (cell(words::PEOPLE_COLUMNS[2], &html! { @if let Some(source) = one.source { (source) } }))
                (cell(words::PEOPLE_COLUMNS[3], &ago(one.since, now)))
                (cell(words::PEOPLE_COLUMNS[4], &ago(one.used, now)))
                (cell(words::PEOPLE_COLUMNS[5], &button(&visitor, END_PERSON, one.id.as_str(), &words::end_person(&one.name))))
            } } }
        }
        h2 { (words::SESSIONS_HOW) }
        p { (words::SESSIONS_END_HOW) }
        p { (words::SESSIONS_KEEP_OUT) }
        (command("sealwort ca revoke NAME --reason key-compromise"))
    };
    frame::page(&console, &visitor, (SESSIONS, words::SESSIONS), &content).await
}

/// The button that ends a session, for operators.
fn button(visitor: &Visitor, action: &str, session: &str, label: &str) -> Markup {
    html! {
        @if visitor.may == May::Operate {
            form method="post" action=(action) {
                (secret(visitor))
                input type="hidden" name="session" value=(session);
                button .danger type="submit" aria-label=(label) { (words::END) }
            }
        } @else { (words::OPERATORS_ONLY) }
    }
}

/// `POST /sessions/end`: operators end a session of a gateway.
pub(super) async fn end(State(console): State<Arc<Console>>, visitor: Visitor, form: Form) -> Response {
    if let Some(refused) = may_not_end(&visitor, &form) {
        return refused;
    }
    let id = form.value("session").and_then(|id| id.parse::<SessionId>().ok());
    let found = id.and_then(|id| console.live().into_iter().find(|(live, _)| *live == id));
    let Some((id, session)) = found else { return unknown() };
    let entry = console.entry(EventKind::SessionEnded, &visitor.name, visitor.may.role()).peer(&session.gateway());
    let entry = entry.detail(Detail::Session, id).detail(Detail::Reason, words::ENDED_BY_OPERATOR);
    finished(async move {
        if console.broker.journal.append(entry).await.is_err() {
            return log_away();
        }
        console.broker.sessions.end_gateway(id);
        tracing::info!(session = %id, gateway = session.gateway(), by = visitor.name, "session ended at the console");
        see_other("/sessions?ended=1")
    })
    .await
}

/// `POST /sessions/people/end`: operators end a session of somebody at the console.
pub(super) async fn end_person(State(console): State<Arc<Console>>, visitor: Visitor, form: Form) -> Response {
    if let Some(refused) = may_not_end(&visitor, &form) {
        return refused;
    }
    let Some(id) = form.value("session").and_then(|id| id.parse::<PersonSession>().ok()) else { return unknown() };
    finished(async move {
        match console.sign_off(&id, &visitor).await {
            Ok(true) => see_other("/sessions?ended=person"),
            Ok(false) => unknown(),
            Err(_) => log_away(),
        }
    })
    .await
}

fn may_not_end(visitor: &Visitor, form: &Form) -> Option<Response> {
    if !visitor.owns(form) {
        return Some(not_from_here());
    }
    (visitor.may != May::Operate).then(|| told(StatusCode::FORBIDDEN, words::NOT_ALLOWED, words::NOT_ALLOWED_NEXT))
}

fn unknown() -> Response {
    told(StatusCode::NOT_FOUND, words::NO_SESSION, words::NO_SESSION_NEXT)
}

/// As much of a session's id as tells it from others.
fn short(id: SessionId) -> String {
    id.to_string().chars().take(12).collect()
}
