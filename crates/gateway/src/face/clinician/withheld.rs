//! What the patient's consent withholds: how many entries, and never what they are; and how to ask.

use axum::extract::{Path, RawQuery, State};
use axum::response::Response;
use http::StatusCode;
use maud::{Markup, html};
use sealwort_pages::words::clinician as words;

use super::super::Shared;
use super::record::Record;
use super::visit::{Visit, purpose};
use super::{Page, emergency, href, show};
use crate::emergency::BREAK_THE_GLASS;
use crate::people::TREATMENT;

/// `GET /clinician/patients/{id}/withheld`
pub(super) async fn page(
    State(_): Shared,
    mut visit: Visit,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Response, Response> {
    visit.for_purpose(purpose(query.as_deref()).as_deref()).await?;
    let outcome = Record::read(&mut visit, &id, &[]).await;
    let record = visit.kept_or_told(outcome, &id).await?;
    let content = html! {
        div .card {
            p .big { (record.withheld) " " small { (words::withheld_of(record.withheld)) } }
            p { (if record.withheld == 0 { words::WITHHELD_NONE } else { words::WITHHELD_WHAT }) }
        }
        (how_to_ask(&visit))
        @if visit.asking.purpose != BREAK_THE_GLASS {
            (emergency::offer(&visit, &record.number(&visit).unwrap_or_else(|| id.clone())))
        }
    };
    let current = href(&visit, &id, "withheld");
    let page =
        Page { status: StatusCode::OK, title: words::WITHHELD, record: Some(&record), current: &current, content };
    Ok(show(&mut visit, page).await)
}

/// How the patient can be asked, with what to ask for.
pub(super) fn how_to_ask(visit: &Visit) -> Markup {
    let hospital = visit.gateway.member.identity().name.to_string();
    // In an emergency nobody can be asked; once the patient can be, it is for treatment.
    let purpose: &str = if visit.asking.purpose == BREAK_THE_GLASS { TREATMENT } else { &visit.asking.purpose };
    html! {
        section .card aria-labelledby="ask" {
            h2 #ask { (words::ASK) }
            ol {
                li { (words::ASK_PORTAL) " " strong { (hospital) } "." }
                li { (words::ASK_DESK) }
                li { (words::ASK_AFTER) }
            }
            p { (words::ASK_FOR) }
            blockquote { (words::ask_text(&hospital, words::purpose(purpose))) }
        }
    }
}
