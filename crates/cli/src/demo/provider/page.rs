//! The page of the provider: who are you?

use axum::response::Response;
use http::{StatusCode, Uri};
use maud::{Markup, html};
use sealwort_pages::words::provider as words;
use sealwort_pages::{Frame, Policy, respond};

use super::issuer::{Asked, Issuer};
use super::people::Person;

/// The field with who was chosen.
pub(super) const PERSON: &str = "person";

/// One button for each person; the request goes along with the form, so nothing is kept meanwhile.
pub(super) fn who(issuer: &Issuer, asked: &Asked<'_>, query: &[(String, String)]) -> Response {
    let (theirs, others): (Vec<&Person>, Vec<&Person>) =
        issuer.people().iter().partition(|person| person.place == asked.party.name);
    let content = html! {
        p { (words::asks(asked.party.shown)) }
        form method="post" action="/authorize" {
            @for (name, value) in query.iter().filter(|(name, _)| name != PERSON) {
                input type="hidden" name=(name) value=(value);
            }
            (buttons(&theirs))
            h2 { (words::OTHERS) }
            p { (words::others(asked.party.shown)) }
            (buttons(&others))
        }
        p .note { (words::OWN) }
    };
    // The answer to the form sends the browser back to whoever asked.
    let onward = asked.redirect_uri.parse::<Uri>().ok();
    let onward = onward.and_then(|uri| Some(format!("{}://{}", uri.scheme_str()?, uri.authority()?)));
    respond(StatusCode::OK, frame(words::TITLE, &content), Policy { onward: onward.as_deref() })
}

/// A page that says what was wrong.
pub(super) fn wrong(status: StatusCode, why: &str) -> Response {
    respond(status, frame(words::WRONG, &html! { p .note .warning role="alert" { (why) } }), Policy::default())
}

fn buttons(people: &[&Person]) -> Markup {
    html! {
        @for person in people {
            p { button type="submit" name=(PERSON) value=(person.account) { (person.shown) } }
        }
    }
}

fn frame(title: &str, content: &Markup) -> Markup {
    let frame = Frame {
        surface: words::SURFACE,
        home: "/",
        navigation: &[],
        current: "",
        account: html! {},
        banner: html! {},
        sheet: None,
    };
    frame.page(title, content)
}
