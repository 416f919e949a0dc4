//! Breaking the glass: what follows is said before anybody asks, the user says why and types the sentence, and ends it by a
//! button. All of it is done by the operations of the FHIR face; nothing here opens anything.

use axum::body::Bytes;
use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use maud::{Markup, html};
use sealwort_pages::words::clinician as words;
use serde_json::{Value, json};

use super::super::Shared;
use super::super::authorize::{only, see_other};
use super::visit::Visit;
use super::{PATH, Page, error, find, href, number_of, show};
use crate::emergency::{BREAK_THE_GLASS, TEXT_CHARACTERS_MAX};
use crate::error::GatewayError;

/// Form field that names the patient: `system|value`, or an id.
const PATIENT: &str = "patient";

/// The way to the page, for whom consent does not open the record to.
pub(super) fn offer(visit: &Visit, named: &str) -> Markup {
    let rule = visit.gateway.emergencies.rule();
    html! {
        @if rule.enabled && rule.roles.contains(&visit.asking.role) {
            section .card aria-labelledby="glass" {
                h2 #glass { (words::EMERGENCY) }
                p { (words::EMERGENCY_WHEN) }
                form method="post" action={(PATH) "/emergency"} {
                    (hidden(visit, named))
                    button .danger type="submit" { (words::EMERGENCY_ASK) }
                }
            }
        }
    }
}

/// The button that ends an access.
pub(super) fn end_form(visit: &Visit, id: &str) -> Markup {
    html! {
        form method="post" action={(PATH) "/emergency/end"} {
            input type="hidden" name="form" value=(visit.form);
            input type="hidden" name="id" value=(id);
            button .danger type="submit" { (words::END) }
        }
    }
}

/// The button by which a second person agrees.
pub(super) fn approve_form(visit: &Visit, id: &str) -> Markup {
    html! {
        form method="post" action={(PATH) "/emergency/approve"} {
            input type="hidden" name="form" value=(visit.form);
            input type="hidden" name="id" value=(id);
            button type="submit" { (words::APPROVE) }
        }
    }
}

/// `POST /clinician/emergency`: what follows, and what is to be said. It changes nothing.
pub(super) async fn ask(State(_): Shared, mut visit: Visit, body: Bytes) -> Response {
    let Some(form) = visit.own_form(&body) else { return error::not_own_form(visit).await };
    let named = only(&form, PATIENT).unwrap_or_default();
    asked(&mut visit, named, &form, None).await
}

/// The page with what was typed so far, and what was wrong with it.
async fn asked(visit: &mut Visit, named: &str, form: &[(String, String)], wrong: Option<&GatewayError>) -> Response {
    let rule = visit.gateway.emergencies.rule();
    let typed = |name: &str| only(form, name).unwrap_or_default();
    let second = rule.second_person.contains(&visit.asking.role);
    let content = html! {
        @if let Some(wrong) = wrong {
            div .note.error role="alert" { p { strong { (words::emergency_wrong(wrong.code())) } } }
        }
        div .note.warning {
            h2 { (words::BEFORE) }
            ul {
                li { (words::BEFORE_TOLD) }
                li { (words::BEFORE_LOGGED) }
                li { (words::before_ends(rule.minutes)) }
                li { (words::BEFORE_LIMITS) }
                @if second { li { (words::BEFORE_SECOND) } }
            }
        }
        form .card method="post" action={(PATH) "/emergency/open"} {
            (hidden(visit, named))
            p { (words::EMERGENCY_FOR) " " strong { (number_of(named)) } }
            div .field {
                label for="reason" { (words::REASON) }
                select #reason name="reason" required {
                    option value="" { (words::CHOOSE) }
                    @for code in &rule.reasons { option value=(code) selected[typed("reason") == code] { (words::reason(code)) } }
                }
            }
            div .field {
                label for="text" { (words::REASON_TEXT) }
                textarea #text name="text" rows="3" required maxlength=(TEXT_CHARACTERS_MAX) aria-describedby="text-how" {
                    (typed("text"))
                }
                p .quiet #text-how { (words::reason_text_how(rule.text_characters_min, TEXT_CHARACTERS_MAX)) }
            }
            div .field {
                label for="confirmation" { (words::CONFIRMATION) }
                p #sentence { q { (visit.gateway.emergencies.sentence(named)) } }
                input #confirmation name="confirmation" required autocomplete="off" spellcheck="false" aria-describedby="sentence";
            }
            div .row {
                button .danger type="submit" { (words::BREAK) }
                a .button.quiet href=(PATH) { (words::CANCEL) }
            }
        }
    };
    let status = if wrong.is_some() { StatusCode::UNPROCESSABLE_ENTITY } else { StatusCode::OK };
    show(visit, Page { status, title: words::EMERGENCY, record: None, current: "", content }).await
}

/// `POST /clinician/emergency/open`
pub(super) async fn open(State(_): Shared, mut visit: Visit, body: Bytes) -> Response {
    let Some(form) = visit.own_form(&body) else { return error::not_own_form(visit).await };
    let named = only(&form, PATIENT).unwrap_or_default();
    let text = |name: &str| only(&form, name).unwrap_or_default().trim();
    let operation = parameters(&[
        ("patient", "valueString", named),
        ("reason", "valueCode", text("reason")),
        ("text", "valueString", text("text")),
        ("confirmation", "valueString", text("confirmation")),
    ]);
    let outcome = visit.operate("$emergency-access", &operation).await;
    let outcome = visit.kept(outcome).await;
    match outcome {
        Ok(reply) if reply.status == StatusCode::CREATED => opened(visit, named).await,
        Ok(_) => {
            let content = html! {
                div .note.warning role="status" { p { strong { (words::AWAITED) } } p { (words::AWAITED_HOW) } }
                p { a href=(PATH) { (words::BACK) } }
            };
            show(
                &mut visit,
                Page { status: StatusCode::OK, title: words::EMERGENCY, record: None, current: "", content },
            )
            .await
        }
        Err(error) if words::emergency_is_input(error.code()) => asked(&mut visit, named, &form, Some(&error)).await,
        Err(error) => error::failed(&mut visit, &error, None).await,
    }
}

/// To the record that is open now.
async fn opened(mut visit: Visit, named: &str) -> Response {
    BREAK_THE_GLASS.clone_into(&mut visit.asking.purpose);
    // What the operation touched is told; this is another look.
    visit.asking.trail = crate::trail::Trail::default();
    let outcome = find::by_identifier(&mut visit, named).await;
    match visit.kept(outcome).await {
        Ok(id) => see_other(&href(&visit, &id, "")),
        Err(error) => error::failed(&mut visit, &error, None).await,
    }
}

/// `POST /clinician/emergency/approve`
pub(super) async fn approve(State(_): Shared, visit: Visit, body: Bytes) -> Response {
    decided(visit, &body, "$emergency-access-approve").await
}

/// `POST /clinician/emergency/end`
pub(super) async fn end(State(_): Shared, visit: Visit, body: Bytes) -> Response {
    decided(visit, &body, "$emergency-access-end").await
}

async fn decided(mut visit: Visit, body: &[u8], operation: &str) -> Response {
    let Some(form) = visit.own_form(body) else { return error::not_own_form(visit).await };
    let id = only(&form, "id").unwrap_or_default();
    let outcome = visit.operate(operation, &parameters(&[("id", "valueId", id)])).await;
    match visit.kept(outcome).await {
        Ok(_) => see_other(PATH),
        Err(error) => error::failed(&mut visit, &error, None).await,
    }
}

fn hidden(visit: &Visit, named: &str) -> Markup {
    html! {
        input type="hidden" name="form" value=(visit.form);
        input type="hidden" name=(PATIENT) value=(named);
    }
}

fn parameters(parts: &[(&str, &str, &str)]) -> Value {
    let parts: Vec<_> = parts
        .iter()
        .map(|(name, member, value)| {
            let mut part = serde_json::Map::new();
            part.insert("name".to_owned(), (*name).into());
            part.insert((*member).to_owned(), (*value).into());
            Value::Object(part)
        })
        .collect();
    json!({"resourceType": "Parameters", "parameter": parts})
}
