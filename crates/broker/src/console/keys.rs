//! Keys: the key-encryption key, where it is, since when, when its change is due and by which command; and the keys of the
//! certificates, which are renewed by themselves.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Response;
use maud::{Markup, html};
use sealwort_pages::date;
use sealwort_pages::words::console as words;
use sealwort_pki::UnixTime;
use sealwort_pki::enrolment::Credential;

use super::Console;
use super::frame::{self, KEYS, command, head, moment};
use super::sign_in::Visitor;

/// As much of a key's name as tells it from others.
const NAME_LETTERS: usize = 16;

/// `GET /keys`
pub(super) async fn page(State(console): State<Arc<Console>>, visitor: Visitor) -> Response {
    let member = &console.broker.member;
    let (keys, membership, now) = (member.kek(), member.membership(), console.now());
    let names: Vec<String> =
        keys.names().iter().map(|name| name.to_string().chars().take(NAME_LETTERS).collect()).collect();
    let due = console.key_due();
    let content = html! {
        p { (words::KEYS_INTRODUCTION) }
        section .card aria-labelledby="kek" {
            h2 #kek { (words::KEK) }
            @if keys.are_changing() { div .note.warning { p { (words::KEK_CHANGING) } } }
            @else if due.is_some_and(|due| due < now) { div .note.warning { p { (words::KEY_OVERDUE_WHY) } } }
            dl {
                @for (number, name) in names.iter().enumerate() {
                    div { dt { (if number == 0 { words::KEY_NAME } else { words::KEY_NAME_OLD }) } dd { code { (name) } } }
                }
                div { dt { (words::KEY_PLACE) } dd { (match console.key_in_token() {
                    Some(true) => words::KEY_IN_TOKEN,
                    Some(false) => words::KEY_IN_FILE,
                    None => words::UNKNOWN,
                }) } }
                @if let Some(since) = console.key_since() {
                    div { dt { (words::KEY_SINCE) } dd { (moment(since)) } }
                }
                @if let Some(due) = due { div { dt { (words::KEY_DUE) } dd { (day_left(due, now)) } } }
            }
            p { (words::KEY_HOW) }
            (command(&format!("sealwort store rotate-key --folder {}", console.folder())))
            p { (words::KEY_HOW_TOKEN) }
            (command(&format!("sealwort store rotate-key --folder {} --config FILE --to token", console.folder())))
        }
        section .card aria-labelledby="own" {
            h2 #own { (words::OWN_KEYS) }
            p { (words::OWN_KEYS_HOW) }
            table .stack {
                caption .hidden { (words::OWN_KEYS) }
                (head(&words::KEY_COLUMNS))
                tbody {
                    (row(words::HOP_KEY, &membership.hop))
                    (row(words::STATEMENT_KEY, &membership.statement))
                }
            }
            dl { div { dt { (words::RENEWAL_DUE) } dd { (moment(membership.renewal_time())) } } }
            p { (words::RENEWAL_HOW) }
            (command(&format!("sealwort doctor --role broker --dir {}", console.folder())))
        }
        section .card aria-labelledby="under" {
            h2 #under { (words::UNDER_KEY) }
            p { (words::UNDER_KEY_HOW) }
            (command(&format!("sealwort store verify --folder {}", console.folder())))
        }
    };
    frame::page(&console, &visitor, (KEYS, words::KEYS), &content).await
}

fn day_left(due: UnixTime, now: UnixTime) -> Markup {
    html! {
        (date::day(due.as_secs()))
        @if due > now { " (" (words::left(&date::span(due.since(now).as_secs()))) ")" }
    }
}

fn row(name: &str, key: &Credential) -> Markup {
    html! { tr {
        th scope="row" { (name) }
        (frame::cell(words::KEY_COLUMNS[1], &html! { code .serial { (key.serial) } }))
        (frame::cell(words::KEY_COLUMNS[2], &moment(key.not_before)))
        (frame::cell(words::KEY_COLUMNS[3], &moment(key.not_after)))
    } }
}
