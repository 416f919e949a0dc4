//! The door of the portal: signing in, and choosing a record where there are several.

use axum::extract::State;
use axum::response::Response;
use http::{HeaderMap, StatusCode};
use maud::{Markup, html};
use sealwort_audit::{Detail, EventKind};
use sealwort_pages::words::portal as words;
use sealwort_pages::{Frame, Policy, date, respond};

use super::super::Shared;
use super::super::authorize::{origin, see_other};
use super::super::sign_in::present;
use super::PORTAL;
use super::visit::{SHEET, failure_page, handle_of, name_of, sign_out};
use crate::Gateway;
use crate::authorization::AUTH;
use crate::persons::Theirs;
use crate::sign_in::sessions::{Present, Who};
use crate::trail::Trail;

/// `GET /portal`
pub(super) async fn show(State(gateway): Shared, headers: HeaderMap) -> Response {
    let Some(present) = present(&gateway, &headers) else {
        return page(&gateway, words::WELCOME, &door(&gateway), None).await;
    };
    let Who::Private(own) = &present.who else {
        let content = html! { div .note { p { (words::FOR_STAFF) } p { (words::STAFF_NEXT) } } };
        return page(&gateway, words::WELCOME, &content, Some(&present)).await;
    };
    let records = gateway.records_of(own.as_ref(), &present.account);
    if let [only] = records.as_slice() {
        return see_other(&format!("{PORTAL}/{}", handle_of(only)));
    }
    let trail = Trail::default();
    for record in &records {
        trail.touches(match record {
            Theirs::Own(own) => own.patient,
            Theirs::Delegated(one) => one.patient,
        });
    }
    let event = gateway.journal.event(EventKind::ListRead).user(present.user.name.as_str(), present.user.role.as_str());
    if let Err(error) = gateway.keep_entry(event.detail(Detail::Subject, "records"), &trail, None).await {
        return failure_page(&error);
    }
    page(&gateway, words::CHOOSE, &choice(&gateway, &records), Some(&present)).await
}

fn choice(gateway: &Gateway, records: &[Theirs]) -> Markup {
    html! {
        @if records.is_empty() { p .note { (words::NO_RECORDS) } } @else { p { (words::CHOOSE_TEXT) } }
        ul .cards {
            @for record in records {
                li .card {
                    h2 { a href={(PORTAL) "/" (handle_of(record))} { (name_of(gateway, record)) } }
                    @match record {
                        Theirs::Own(_) => { p { (words::OWN_RECORD) } },
                        Theirs::Delegated(one) => {
                            p { (words::helper_banner(&name_of(gateway, record), words::relationship(&one.relationship), &date::day(one.until))) }
                        },
                    }
                }
            }
        }
    }
}

fn door(gateway: &Gateway) -> Markup {
    let (provider, passkeys) = (gateway.sign_in.is_offered(), gateway.passkeys.site().is_ok());
    html! {
        p { (words::WELCOME_TEXT) }
        @if !provider && !passkeys { p .note { (words::NO_SIGN_IN) } }
        p .row {
            @if passkeys { a .button href={(AUTH) "/passkey"} { (words::SIGN_IN_PASSKEY) } }
            @if provider { a .button href={(AUTH) "/login?role=patient"} { (words::SIGN_IN_PROVIDER) } }
        }
    }
}

async fn page(gateway: &Gateway, title: &str, content: &Markup, present: Option<&Present>) -> Response {
    let frame = Frame {
        surface: words::SURFACE,
        home: PORTAL,
        navigation: &[],
        current: "",
        account: html! { @if let Some(present) = present { (sign_out(present)) } },
        banner: html! {},
        sheet: Some(SHEET),
    };
    let onward = gateway.sign_out_endpoint().await.and_then(|url| origin(&url));
    respond(StatusCode::OK, frame.page(title, content), Policy { onward: onward.as_deref() })
}
