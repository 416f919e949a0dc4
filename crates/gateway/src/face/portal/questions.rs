//! Questions about a look: asking one, and those that were asked, with the hospital's answers.

use axum::body::Bytes;
use axum::response::Response;
use maud::{Markup, html};
use sealwort_audit::{Detail, EventKind};
use sealwort_fhir::plain::tidy;
use sealwort_fhir::{IssueCode, ResourceType};
use sealwort_pages::date;
use sealwort_pages::words::portal as words;

use super::super::authorize::only;
use super::Page;
use super::looked::result;
use super::looks::{Look, QUESTION, looks};
use super::visit::Visit;
use crate::error::GatewayError;
use crate::questions::{QUESTION_CHARACTERS_MAX, Question};

/// `GET /portal/[record]/looked/question/[entry]`
pub(super) async fn show(visit: Visit) -> Response {
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
        keep(&visit, &look, &text).await.map(Ok)
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

/// Keeps a question for those who answer it, and enters it in the audit log.
async fn keep(visit: &Visit, look: &Look, text: &str) -> Result<(), GatewayError> {
    let asking = visit.asking();
    let keeping = async {
        let patient = visit.gateway.patient_holding(ResourceType::PATIENT, visit.patient(), &asking.purpose).await?;
        let patient = patient.ok_or_else(GatewayError::unknown_patient)?;
        let line = words::look_line(&look.who, &look.place, &date::moment(look.seconds), &look.what);
        visit.gateway.ask_question(patient, (look.entry.as_str(), line), text, &asking).await
    };
    let outcome = keeping.await;
    let entry = visit.entry(EventKind::LogShown, &asking);
    let entry =
        entry.detail(Detail::Action, QUESTION).detail(Detail::Subject, &look.entry).detail(Detail::Reason, text);
    visit.kept(entry, &asking, outcome).await
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

/// What was asked about this record, with the answers: for who may see the list of looks.
pub(super) fn asked(visit: &Visit) -> Markup {
    let all = visit.asking().context.map(|patient| visit.gateway.questions_about(patient)).unwrap_or_default();
    html! {
        @if !all.is_empty() {
            section #questions {
                h2 { (words::QUESTIONS) }
                ul .cards .wide { @for one in all.iter().take(SHOWN_MAX) { (card(one)) } }
                @if all.len() > SHOWN_MAX { p .quiet { (words::more_of(all.len() - SHOWN_MAX)) } }
            }
        }
    }
}

fn card(one: &Question) -> Markup {
    html! {
        li .card {
            p .quiet { (one.look) }
            p { strong { (one.text) } br; small .quiet { (words::asked_on(&date::moment(one.asked))) } }
            @match &one.answer {
                Some(answer) => {
                    p { (answer.text) br; small .quiet { (words::answered_on(&tidy(&answer.by), &date::moment(answer.at))) } }
                },
                None => { p .quiet { (words::NOT_ANSWERED) } },
            }
        }
    }
}

/// Questions on the page; those who answer see all of them.
const SHOWN_MAX: usize = 50;
