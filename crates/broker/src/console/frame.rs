//! What stands around the console's pages, and answers that are no page of their own.

use axum::response::{IntoResponse as _, Response};
use http::{StatusCode, header};
use maud::{Markup, Render, html};
use sealwort_pages::words::console as words;
use sealwort_pages::{Frame, Link, Policy, date, respond};
use sealwort_pki::UnixTime;

use super::Console;
use super::sign_in::Visitor;

/// The pages.
pub(super) const OVERVIEW: &str = "/";
pub(super) const PARTICIPANTS: &str = "/participants";
pub(super) const SESSIONS: &str = "/sessions";
pub(super) const REFUSALS: &str = "/refusals";
pub(super) const KEYS: &str = "/keys";
pub(super) const AUDIT: &str = "/audit";
pub(super) const DIAGNOSIS: &str = "/diagnosis";
pub(super) const THROUGHPUT: &str = "/throughput";

const NAVIGATION: [Link<'static>; 8] = [
    Link { href: OVERVIEW, text: words::OVERVIEW },
    Link { href: PARTICIPANTS, text: words::PARTICIPANTS },
    Link { href: SESSIONS, text: words::SESSIONS },
    Link { href: REFUSALS, text: words::REFUSALS },
    Link { href: KEYS, text: words::KEYS },
    Link { href: AUDIT, text: words::AUDIT },
    Link { href: DIAGNOSIS, text: words::DIAGNOSIS },
    Link { href: THROUGHPUT, text: words::THROUGHPUT },
];
const SHEET: &str = "console.css";

/// A page for somebody who is signed in.
#[expect(clippy::unused_async, reason = "handlers await it, as they do what comes before")]
pub(super) async fn page(
    console: &Console,
    visitor: &Visitor,
    (path, title): (&str, &str),
    content: &Markup,
) -> Response {
    let account = html! {
        span { (visitor.name) " (" (words::role(visitor.may.role())) ")" }
        form method="post" action="/logout" {
            (secret(visitor))
            button type="submit" { (words::SIGN_OUT) }
        }
    };
    let frame = Frame {
        surface: words::SURFACE,
        home: OVERVIEW,
        navigation: &NAVIGATION,
        current: path,
        account,
        banner: html! {},
        sheet: Some(SHEET),
    };
    // The form to sign out leads on to the provider.
    let onward = console.sign_in.onward();
    respond(StatusCode::OK, frame.page(title, content), Policy { onward: onward.as_deref() })
}

/// A page for anybody.
pub(super) fn bare(status: StatusCode, title: &str, content: &Markup) -> Response {
    let frame = Frame {
        surface: words::SURFACE,
        home: OVERVIEW,
        navigation: &[],
        current: "",
        account: html! {},
        banner: html! {},
        sheet: Some(SHEET),
    };
    respond(status, frame.page(title, content), Policy::default())
}

/// A failure as a page: what was wrong, and what to do next.
pub(super) fn told(status: StatusCode, what: &str, next: &str) -> Response {
    let content = html! { p { (next) } p { a .button href="/" { (words::TO_CONSOLE) } } };
    bare(status, what, &content)
}

/// A piece of a page, for the script that puts it in its place.
pub(super) fn fragment(content: Markup) -> Response {
    respond(StatusCode::OK, content, Policy::default())
}

/// Sends the browser on.
pub(super) fn see_other(place: &str) -> Response {
    (StatusCode::SEE_OTHER, [(header::LOCATION, place)], [(header::CACHE_CONTROL, "no-store")]).into_response()
}

/// The secret of the session, for its forms.
pub(super) fn secret(visitor: &Visitor) -> Markup {
    html! { input type="hidden" name="form" value=(visitor.form); }
}

/// A moment, readable for people and machines.
pub(super) fn moment(at: UnixTime) -> Markup {
    html! { time datetime=(date::machine(at.as_secs())) { (date::moment(at.as_secs())) } }
}

/// How long ago something was, with the moment for who wants to know.
pub(super) fn ago(at: UnixTime, now: UnixTime) -> Markup {
    html! {
        time datetime=(date::machine(at.as_secs())) title=(date::moment(at.as_secs())) {
            (words::ago(&date::span(now.since(at).as_secs())))
        }
    }
}

/// The head of a table.
pub(super) fn head(columns: &[&str]) -> Markup {
    html! { thead { tr { @for column in columns { th scope="col" { (column) } } } } }
}

/// A cell of a table that becomes a card on small screens.
pub(super) fn cell(column: &str, content: &Markup) -> Markup {
    html! { td data-column=(column) { (content) } }
}

/// A form that shows the page anew for one of these: the value, and what people read.
pub(super) fn choice<V: Render + PartialEq>(name: &str, label: &str, choices: &[(V, &str)], chosen: &V) -> Markup {
    html! {
        form method="get" .row {
            div .field { label for=(name) { (label) } select id=(name) name=(name) { (options(choices, chosen)) } }
            button type="submit" { (words::APPLY) }
        }
    }
}

/// What can be chosen in a field.
pub(super) fn options<V: Render + PartialEq>(choices: &[(V, &str)], chosen: &V) -> Markup {
    html! { @for (value, text) in choices { option value=(value) selected[value == chosen] { (text) } } }
}

/// A command as it is typed.
pub(super) fn command(text: &str) -> Markup {
    html! { pre .command tabindex="0" { code { (text) } } }
}

/// A part of a page that renews itself every ten seconds, unless that is paused. Without scripts the links still work.
pub(super) fn live(id: &str, path: &str, paused: bool, content: &Markup) -> Markup {
    let trigger = (!paused).then_some("every 10s");
    let part = format!("{path}{}part=1", if path.contains('?') { '&' } else { '?' });
    html! {
        p .row.refresh {
            @if paused {
                span { (words::PAUSED) }
                a .button.quiet href=(path) { (words::RESUME) }
            } @else {
                span { (words::RENEWED) }
                a .button.quiet href={(path) "?paused=1"} { (words::PAUSE) }
            }
        }
        div id=(id) hx-get=[trigger.map(|_| part)] hx-trigger=[trigger] { (content) }
    }
}
