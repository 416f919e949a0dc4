//! Who looked: the list, its file with proofs, and questions about a look.

use axum::body::Bytes;
use axum::response::Response;
use maud::{Markup, html};
use sealwort_audit::{Detail, EventKind};
use sealwort_fhir::{IssueCode, ResourceId, ResourceType};
use sealwort_pages::date;
use sealwort_pages::words::portal as words;

use super::super::access_log::proof_files;
use super::super::authorize::only;
use super::Page;
use super::looks::{Ended, Look, Looks, QUESTION, looks};
use super::visit::Visit;
use crate::error::GatewayError;

/// `GET /portal/[record]/looked?page=…&own=1`
pub(super) async fn show(visit: Visit) -> Response {
    let content = looks(&visit).await.map(|all| list(&visit, &all));
    visit.answer(Page::Looked, content).await
}

fn list(visit: &Visit, all: &Looks) -> Markup {
    let with_own = visit.query("own").is_some();
    let listed: Vec<&Look> = all.all.iter().filter(|look| with_own || !look.is_own).collect();
    let own = all.all.iter().filter(|look| look.is_own).count();
    let last = listed.len().saturating_sub(1) / PAGE_ROWS;
    let page = visit.query("page").and_then(|page| page.parse::<usize>().ok()).unwrap_or_default().min(last);
    let here = visit.path(Page::Looked);
    let turn = |word: &str, to: usize| {
        let own = if with_own { "&own=1" } else { "" };
        html! { a .button .quiet href={(here) "?page=" (to) (own)} { (word) } }
    };
    html! {
        @if visit.query("done").is_some() { p .note .good role="status" { (words::QUESTION_SENT) } }
        p { (words::LOOKED_TEXT) }
        p .row {
            @for number in 1..=all.identities {
                a .button .quiet href={(here) "/proof?file=" (number)} {
                    (words::PROOF) @if all.identities > 1 { " " (number) }
                }
            }
        }
        p .quiet { (words::PROOF_TEXT) }
        @if with_own { p { a href=(here) { (words::HIDE_OWN) } } }
        @else if own > 0 { p { (words::own_hidden(own)) " " a href={(here) "?own=1"} { (words::SHOW_OWN) } } }
        @if !all.are_complete() { p .note .warning { strong { (words::SOME_DOUBTFUL) } } }
        @if listed.is_empty() { @if all.are_complete() { p .note { (words::NOBODY_LOOKED) } } } @else {
            table .stack .looked {
                caption { (words::found(listed.len(), page * PAGE_ROWS + 1, (page * PAGE_ROWS + PAGE_ROWS).min(listed.len()))) }
                thead { tr {
                    @for column in COLUMNS { th scope="col" { (column) } }
                    th scope="col" { span .hidden { (words::QUESTION) } }
                } }
                tbody { @for look in listed.iter().skip(page * PAGE_ROWS).take(PAGE_ROWS) { (row(visit, look)) } }
            }
            p .row {
                @if page > 0 { (turn(words::NEWER, page - 1)) }
                @if page < last { (turn(words::OLDER, page + 1)) }
            }
        }
        details {
            summary { (words::HOW_SURE) }
            ul { @for (log, holds) in &all.logs { li { (log) ": " @if holds.is_ok() { (words::LOG_HOLDS) } @else { strong { (words::LOG_DOUBTFUL) } } } } }
            p { (words::LEFT_OUT) }
        }
    }
}

fn row(visit: &Visit, look: &Look) -> Markup {
    let grave = if look.is_emergency || look.is_missing {
        "error"
    } else if look.ended == Ended::Refused {
        "warning"
    } else {
        "plain"
    };
    html! {
        tr .(grave) {
            th scope="row" data-column=(words::COLUMN_WHEN) { time datetime=(date::machine(look.seconds)) { (date::moment(look.seconds)) } }
            td data-column=(words::COLUMN_WHO) { (look.who) @if !look.role.is_empty() { ", " (look.role) } }
            td data-column=(words::COLUMN_WHERE) { (look.place) }
            td data-column=(words::COLUMN_WHY) { (look.why) }
            td data-column=(words::COLUMN_WHAT) { (look.what) }
            td data-column=(words::COLUMN_RESULT) { (result(look)) }
            td {
                a href={(visit.at("/looked/question/")) (look.entry)}
                    aria-label=(words::about(words::QUESTION, &format!("{}, {}", look.who, date::moment(look.seconds)))) { (words::QUESTION) }
            }
        }
    }
}

/// How it ended, with marks in words.
fn result(look: &Look) -> Markup {
    html! {
        @if look.is_emergency { span .chip .error { "! " (words::EMERGENCY) } " " }
        @match look.ended {
            Ended::Done => { (words::DONE) },
            Ended::Refused => { span .chip .warning { "✕ " (words::REFUSED) } @if let Some(reason) = look.reason { " " (reason) } },
            Ended::Failed => { span .chip { (words::BROKE) } },
        }
        @if look.is_missing { p { strong { (words::MISSING_ENTRY) } } }
    }
}

/// `GET /portal/[record]/looked/proof?file=1`
pub(super) async fn proof(visit: Visit) -> Response {
    let asking = visit.asking();
    let reading = async {
        let id: ResourceId = visit.patient().parse().map_err(|_| GatewayError::unknown_patient())?;
        let files = proof_files(&visit.gateway, &asking, &id).await?;
        let number = visit.query("file").and_then(|number| number.parse::<usize>().ok()).unwrap_or(1);
        let file = number.checked_sub(1).and_then(|at| files.into_iter().nth(at));
        file.ok_or_else(super::super::read::not_found)
    };
    let outcome = reading.await;
    match visit.kept(visit.entry(EventKind::LogShown, &asking), &asking, outcome).await {
        Ok(file) => visit.download("who-looked.access", file.into()),
        Err(error) => visit.answer(Page::Looked, Err(error)).await,
    }
}

/// `GET /portal/[record]/looked/question/[entry]`
pub(super) async fn question(visit: Visit) -> Response {
    let content = asked_about(&visit).await.map(|look| form(&visit, &look, None));
    visit.titled(Page::Looked, words::QUESTION_TITLE, content).await
}

/// `POST /portal/[record]/looked/question/[entry]`
pub(super) async fn ask(visit: Visit, body: Bytes) -> Response {
    let asking = async {
        let form = visit.form(&body).await?;
        let look = asked_about(&visit).await?;
        let text = only(&form, "question").unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ");
        let text: String = text.chars().take(QUESTION_CHARACTERS_MAX).collect();
        if text.is_empty() {
            return Ok(Err(look));
        }
        enter(&visit, &look, &text).await.map(Ok)
    };
    match asking.await {
        Ok(Ok(())) => visit.done(Page::Looked, "question"),
        Ok(Err(look)) => {
            let content = form(&visit, &look, Some(words::QUESTION_EMPTY));
            visit.titled(Page::Looked, words::QUESTION_TITLE, Ok(content)).await
        }
        Err(error) => visit.answer(Page::Looked, Err(error)).await,
    }
}

/// Enters a question in the audit log, where auditors find it and nobody takes it out.
async fn enter(visit: &Visit, look: &Look, text: &str) -> Result<(), GatewayError> {
    let asking = visit.asking();
    let patient = visit.gateway.patient_holding(ResourceType::PATIENT, visit.patient(), &asking.purpose).await?;
    asking.trail.touches(patient.ok_or_else(GatewayError::unknown_patient)?);
    let entry = visit.entry(EventKind::LogShown, &asking);
    let entry =
        entry.detail(Detail::Action, QUESTION).detail(Detail::Subject, &look.entry).detail(Detail::Reason, text);
    visit.kept(entry, &asking, Ok(())).await
}

async fn asked_about(visit: &Visit) -> Result<Look, GatewayError> {
    let entry = visit.parameter("entry").to_owned();
    let found = looks(visit).await?.all.into_iter().find(|look| look.entry == entry);
    found.ok_or_else(|| {
        GatewayError::request(
            404,
            IssueCode::NotFound,
            "entry-unknown",
            "there is no such look",
            "choose one of the list",
        )
    })
}

fn form(visit: &Visit, look: &Look, wrong: Option<&str>) -> Markup {
    html! {
        section .card {
            p { strong { (look.who) } ", " (look.place) ", " time datetime=(date::machine(look.seconds)) { (date::moment(look.seconds)) } }
            p { (look.what) " (" (look.why) "). " (result(look)) }
        }
        p { (words::QUESTION_TEXT) }
        @if let Some(wrong) = wrong { p .note .error role="alert" { (wrong) } }
        form method="post" action={(visit.at("/looked/question/")) (look.entry)} {
            (visit.secret())
            div .field {
                label for="question" { (words::QUESTION_LABEL) }
                textarea #question name="question" rows="5" required maxlength=(QUESTION_CHARACTERS_MAX) aria-describedby="question-hint" {}
                p #question-hint .quiet { (words::QUESTION_HINT) }
            }
            p .row { button type="submit" { (words::QUESTION_SEND) } a .button .quiet href=(visit.path(Page::Looked)) { (words::BACK) } }
        }
    }
}

const COLUMNS: [&str; 6] = [
    words::COLUMN_WHEN,
    words::COLUMN_WHO,
    words::COLUMN_WHERE,
    words::COLUMN_WHY,
    words::COLUMN_WHAT,
    words::COLUMN_RESULT,
];
/// Rows on one page.
const PAGE_ROWS: usize = 50;
/// Longest question: it fits into one detail of an entry, whatever its letters.
const QUESTION_CHARACTERS_MAX: usize = 400;
