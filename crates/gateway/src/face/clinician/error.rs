//! Failures as pages: who is at fault, what was wrong, what to do next. What a patient's consent does not open says how to
//! ask, and what there is in an emergency.

use axum::response::Response;
use http::StatusCode;
use maud::{Markup, html};
use sealwort_fhir::IssueCode;
use sealwort_pages::words::clinician as words;
use sealwort_pages::{Frame, Policy, respond};

use super::super::note_failure;
use super::super::portal::PORTAL;
use super::visit::STAFF_NEEDED;
use super::{PATH, Page, SHEET, Visit, emergency, show, withheld};
use crate::error::GatewayError;

/// What failed, within a visit. `named` is whom the visitor was looking for.
pub(super) async fn failed(visit: &mut Visit, error: &GatewayError, named: Option<&str>) -> Response {
    note_failure(error);
    let content = html! {
        (told(error))
        @if is_consent(error) {
            (withheld::how_to_ask(visit))
            @if let Some(named) = named { (emergency::offer(visit, named)) }
        }
        p { a href=(PATH) { (words::FIND_ANOTHER) } }
    };
    let title = title(error);
    show(visit, Page { status: status(error), title, record: None, current: "", content }).await
}

/// The same where nobody is let in.
pub(super) fn plain(error: &GatewayError) -> Response {
    note_failure(error);
    let frame = Frame {
        surface: words::SURFACE,
        home: PATH,
        navigation: &[],
        current: "",
        account: html! {},
        banner: html! {},
        sheet: Some(SHEET),
    };
    let content = html! {
        (told(error))
        // Who is signed in as somebody else finds the way out there.
        @if error.code() == STAFF_NEEDED { p { a href=(PORTAL) { (words::OWN_RECORDS) } } }
    };
    respond(status(error), frame.page(title(error), &content), Policy::default())
}

/// A form that is not one of the visitor's own pages.
pub(super) async fn not_own_form(mut visit: Visit) -> Response {
    let error = GatewayError::request(
        403,
        IssueCode::Forbidden,
        "form-foreign",
        "the form is not of a page of your session",
        "load the page again and send its form",
    );
    let error = visit.turned_away(error).await;
    failed(&mut visit, &error, None).await
}

fn told(error: &GatewayError) -> Markup {
    let (whose, what, next) = words::failure(error.code()).map_or_else(
        || {
            let outcome = error.outcome();
            let issue = outcome.issues().next();
            let text = issue.map_or_else(|| error.to_string(), |issue| issue.text().to_owned());
            let next = issue.and_then(|issue| issue.remedy().map(str::to_owned)).unwrap_or_default();
            (words::whose_fault(error.status()).to_owned(), sentence(&text), sentence(&next))
        },
        |(whose, what, next)| (whose.to_owned(), what.to_owned(), next.to_owned()),
    );
    html! {
        div .note.error role="alert" {
            p { strong { (what) } }
            p { (whose) }
            @if !next.is_empty() { p { (words::NEXT) " " (next) } }
            p .quiet { (words::CODE) " " code { (error.code()) } }
        }
    }
}

/// A text of the FHIR face, as people write one.
fn sentence(text: &str) -> String {
    let mut characters = text.chars();
    let Some(first) = characters.next() else { return String::new() };
    let end = if text.ends_with(['.', '?', '!', ':']) { "" } else { "." };
    format!("{}{}{end}", first.to_uppercase(), characters.as_str())
}

fn title(error: &GatewayError) -> &'static str {
    if is_consent(error) { words::CONSENT_TITLE } else { words::failure_title(error.status()) }
}

/// Whether it is the patient's decision.
pub(super) fn is_consent(error: &GatewayError) -> bool {
    error.code().starts_with("consent-")
}

fn status(error: &GatewayError) -> StatusCode {
    StatusCode::from_u16(error.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}
