//! Participants: every party that this broker knows, with how long its certificates last and when it was here last.

use std::sync::Arc;

use axum::extract::{RawQuery, State};
use axum::response::Response;
use maud::{Markup, html};
use sealwort_pages::date;
use sealwort_pages::words::console as words;

use super::Console;
use super::form::Form;
use super::frame::{self, PARTICIPANTS, ago, cell, choice, command, head};
use super::parties::{Participant, State as Standing};
use super::sign_in::Visitor;

/// `GET /participants?show=…`
pub(super) async fn page(State(console): State<Arc<Console>>, visitor: Visitor, RawQuery(query): RawQuery) -> Response {
    let query = Form::of(query.as_deref().unwrap_or_default().as_bytes());
    let show = query.value("show").unwrap_or_default();
    let content = match console.participants().await {
        Ok(all) => {
            let fits = |one: &&Participant| match show {
                "attention" => one.state != Standing::Good,
                "" => true,
                role => one.identity.role.as_str() == role,
            };
            let shown: Vec<&Participant> = all.iter().filter(fits).collect();
            html! {
                p { (words::PARTICIPANTS_INTRODUCTION) }
                (choice("show", words::SHOW, &words::SHOW_CHOICES, &show))
                (table(&console, &shown))
                h2 { (words::PARTICIPANTS_HOW) }
                p { (words::INVITE_HOW) }
                (command("sealwort ca invite gateway NAME --out NAME.invitation"))
                p { (words::REVOKE_HOW) }
                (command("sealwort ca revoke NAME --reason key-compromise"))
            }
        }
        Err(error) => html! { div .note.error { p { (words::store_away(&error.to_string())) } } },
    };
    frame::page(&console, &visitor, (PARTICIPANTS, words::PARTICIPANTS), &content).await
}

fn table(console: &Console, all: &[&Participant]) -> Markup {
    let now = console.now();
    html! {
        table .stack {
            caption { (words::parties(all.len())) }
            (head(&words::PARTICIPANT_COLUMNS))
            tbody { @for one in all { tr {
                th scope="row" {
                    (one.identity.name.as_str())
                    @if one.own { " " span .chip { (words::THIS_ONE) } }
                }
                (cell(words::PARTICIPANT_COLUMNS[1], &html! { (words::party_role(one.identity.role.as_str())) }))
                (cell(words::PARTICIPANT_COLUMNS[2], &state(one.state)))
                (cell(words::PARTICIPANT_COLUMNS[3], &html! {
                    @match one.ends {
                        Some(ends) if ends >= now => { (words::left(&date::span(ends.since(now).as_secs()))) }
                        Some(ends) => { (words::over(&date::moment(ends.as_secs()))) }
                        None => { (words::UNKNOWN) }
                    }
                    @for serial in &one.serials { br; code .serial { (serial) } }
                }))
                (cell(words::PARTICIPANT_COLUMNS[4], &html! {
                    @if one.own { (words::NOW) } @else if let Some(seen) = one.seen { (ago(seen, now)) } @else { (words::NOT_SEEN) }
                }))
                (cell(words::PARTICIPANT_COLUMNS[5], &html! { (one.sessions) }))
            } } }
        }
    }
}

fn state(state: Standing) -> Markup {
    let (class, word) = match state {
        Standing::Good => ("good", words::STATE_GOOD),
        Standing::EndsSoon => ("warning", words::STATE_ENDS_SOON),
        Standing::Ended => ("error", words::STATE_ENDED),
        Standing::Revoked => ("error", words::STATE_REVOKED),
    };
    html! { span .chip.(class) { (word) } }
}
