//! The clinician's view, below `/clinician`: a patient is found, and the record is read, by staff who are signed in, or who
//! come from the record system (`launch`). Every look at a record is a request to the FHIR face under the user's own
//! token (`visit`): consent, scopes, roles, the pace of hiding and the audit log hold here as they hold there.

mod emergency;
mod error;
mod find;
mod item;
mod launch;
mod reading;
mod record;
mod results;
mod summary;
mod visit;
mod withheld;

use std::sync::Arc;

use axum::Router;
use axum::response::Response;
use axum::routing::{get, post};
use http::StatusCode;
use maud::{Markup, html};
use sealwort_pages::words::clinician as words;
use sealwort_pages::{Frame, Link, Policy, date, respond};

use crate::Gateway;
use crate::emergency::{Shown, Standing};
use record::Record;
use visit::Visit;

pub(super) use launch::is_view;

/// The first page.
pub(super) const PATH: &str = "/clinician";
/// Style sheet of these pages.
const SHEET: &str = "clinician.css";
/// The parameter that names the purpose of use.
const PURPOSE: &str = "for";

/// The routes.
pub(super) fn routes() -> Router<Arc<Gateway>> {
    let at = |path: &str| format!("{PATH}/{path}");
    Router::new()
        .route(PATH, get(find::page))
        .route(&at("find"), post(find::find))
        .route(&at("sign-out"), post(visit::sign_out))
        .route(&at("launch"), get(launch::begin))
        .route(&at("launched"), get(launch::back))
        .route(&at("emergency"), post(emergency::ask))
        .route(&at("emergency/open"), post(emergency::open))
        .route(&at("emergency/approve"), post(emergency::approve))
        .route(&at("emergency/end"), post(emergency::end))
        .route(&at("patients/{id}"), get(summary::page))
        .route(&at("patients/{id}/results"), get(results::page))
        .route(&at("patients/{id}/withheld"), get(withheld::page))
        .route(&at("patients/{id}/apps"), post(launch::start))
        .route(&at("patients/{id}/{kind}/{item}"), get(item::page))
}

/// Whether a path leads to one of these pages, and nowhere else.
pub(super) fn is_page(path: &str) -> bool {
    let below = path.strip_prefix(PATH);
    below.is_some_and(|rest| rest.is_empty() || rest.starts_with(['/', '?'])) && !path.contains(char::is_control)
}

/// What a page shows.
struct Page<'p> {
    status: StatusCode,
    title: &'p str,
    /// Whose pages it is one of; none for pages about nobody.
    record: Option<&'p Record>,
    /// Its path, where it is in the navigation.
    current: &'p str,
    content: Markup,
}

/// The address of a page of a patient, for the purpose of this visit.
fn href(visit: &Visit, id: &str, page: &str) -> String {
    let page = if page.is_empty() { String::new() } else { format!("/{page}") };
    format!("{PATH}/patients/{id}{page}?{PURPOSE}={}", visit.asking.purpose)
}

/// A page as an answer, cut where what it rests on ends while it is on its way.
async fn show(visit: &mut Visit, page: Page<'_>) -> Response {
    let mut accesses = own_accesses(visit);
    // Whose records are open is told of before it is shown.
    if !accesses.is_empty() && visit.tells_of("emergency accesses").await.is_err() {
        accesses.clear();
    }
    let visit = &*visit;
    let links = page.record.map(|record| {
        let at = |page| href(visit, &record.id, page);
        [(at(""), words::SUMMARY), (at("results"), words::RESULTS), (at("withheld"), words::WITHHELD)]
    });
    let mut navigation = vec![Link { href: PATH, text: words::FIND }];
    navigation.extend(links.iter().flatten().map(|(href, text)| Link { href, text }));
    let frame = Frame {
        surface: words::SURFACE,
        home: PATH,
        navigation: &navigation,
        current: page.current,
        account: account(visit),
        banner: html! {
            (glass(visit, &accesses, page.record))
            @if let Some(record) = page.record { (record.banner(visit)) }
        },
        sheet: Some(SHEET),
    };
    let markup = frame.page(page.title, &page.content);
    // The form to sign out may lead on to the provider.
    let onward = visit.sign_out_origin().await;
    let mut response = respond(page.status, html! {}, Policy { onward: onward.as_deref() });
    *response.body_mut() = visit.body(markup.into_string().into());
    response
}

fn account(visit: &Visit) -> Markup {
    html! {
        span { (visit.asking.user) ", " (visit.asking.role) }
        form method="post" action=(visit.sign_out_path()) {
            input type="hidden" name="form" value=(visit.form);
            button type="submit" { (words::SIGN_OUT) }
        }
    }
}

/// Emergency accesses of this user that go on.
fn own_accesses(visit: &Visit) -> Vec<Shown> {
    let own = |one: &Shown| one.access.user == visit.asking.user && one.standing == Standing::Active;
    visit.gateway.list_emergencies(&visit.asking).into_iter().filter(own).collect()
}

/// What is seen on every page while the glass is broken, with its end and the button that ends it.
fn glass(visit: &Visit, accesses: &[Shown], record: Option<&Record>) -> Markup {
    let is_read = |one: &Shown| record.is_some_and(|record| record.is_opened_by(visit, &one.access));
    html! {
        @for one in accesses {
            section .banner.glass aria-label=(words::GLASS) {
                div .row {
                    p {
                        strong { (words::GLASS) }
                        @let number = number_of(&one.access.named);
                        " " (if is_read(one) { words::glass_read(number) } else { words::glass_of(number) })
                        @if let Some(until) = one.access.until {
                            " " time datetime=(date::machine(until)) { (words::glass_until(&date::moment(until))) }
                        }
                        " " (words::GLASS_TOLD)
                    }
                    (emergency::end_form(visit, &one.access.id))
                }
            }
        }
    }
}

/// The number of an identifier, without the system that it belongs to.
fn number_of(named: &str) -> &str {
    named.rsplit_once('|').map_or(named, |(_, value)| value)
}

/// The choice of a purpose of use, with what is chosen.
fn purpose_options(chosen: &str) -> Markup {
    html! {
        @for &(code, text) in &words::PURPOSES {
            option value=(code) selected[code == chosen] { (text) }
        }
    }
}

/// Whether these pages offer a purpose, or know it as that of an emergency access.
fn is_purpose(code: &str) -> bool {
    code == crate::emergency::BREAK_THE_GLASS || words::PURPOSES.iter().any(|(known, _)| *known == code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signing_in_leads_on_to_these_pages_alone() {
        for path in ["/clinician", "/clinician/patients/x?for=TREAT", "/clinician?x"] {
            assert!(is_page(path), "{path}");
        }
        for path in
            ["", "/", "/clinicians", "https://evil.example/clinician", "//evil.example", "/clinician/\n", "/auth"]
        {
            assert!(!is_page(path), "{path}");
        }
    }
}
