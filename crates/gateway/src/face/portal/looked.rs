//! Who looked: the list, and its file with proofs.

use axum::response::Response;
use maud::{Markup, html};
use sealwort_audit::EventKind;
use sealwort_fhir::ResourceId;
use sealwort_pages::date;
use sealwort_pages::words::portal as words;

use super::super::access_log::proof_files;
use super::Page;
use super::looks::{Ended, Look, Looks, looks};
use super::questions::asked;
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
        (asked(visit))
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
pub(super) fn result(look: &Look) -> Markup {
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
