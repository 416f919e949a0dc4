//! Diagnosis: who reaches whom as the broker sees it, clocks, versions, and the health of the store.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{RawQuery, State};
use axum::response::Response;
use maud::{Markup, html};
use sealwort_audit::{Checkpoint, Note};
use sealwort_pages::date;
use sealwort_pages::words::console as words;
use sealwort_pki::{Role, UnixTime};

use super::ask::Asked;
use super::form::Form;
use super::frame::{self, DIAGNOSIS, ago, cell, command, head, secret, see_other};
use super::parties::{Participant, State as Standing};
use super::sign_in::{Visitor, not_from_here};
use super::storage::Engine;
use super::{Console, counted};

/// How long ago a gateway may have been seen to count as here: between its messages lies this at most.
const HERE: Duration = Duration::from_mins(2);
/// How long the answer to whoever asked waits for those who are asked.
const WAITS: Duration = Duration::from_millis(1500);

/// `GET /diagnosis`
pub(super) async fn page(State(console): State<Arc<Console>>, visitor: Visitor, RawQuery(query): RawQuery) -> Response {
    let query = Form::of(query.as_deref().unwrap_or_default().as_bytes());
    let participants = console.participants().await.unwrap_or_default();
    let content = html! {
        @if query.value("asked").is_some() { div .note.good role="status" { p { (words::ASKED) } } }
        p { (words::DIAGNOSIS_INTRODUCTION) }
        section aria-labelledby="reach" {
            h2 #reach { (words::REACHABILITY) }
            (console.reachability(&participants).await)
            form method="post" action="/diagnosis/ask" {
                (secret(&visitor))
                button type="submit" { (words::ASK_AGAIN) }
            }
        }
        section aria-labelledby="versions" {
            h2 #versions { (words::VERSIONS) }
            (console.versions())
        }
        section aria-labelledby="store" {
            h2 #store { (words::STORE) }
            (console.store())
            p { (words::STORE_HOW) }
            (command(&format!("sealwort doctor --role broker --dir {}", console.folder())))
        }
    };
    frame::page(&console, &visitor, (DIAGNOSIS, words::DIAGNOSIS), &content).await
}

/// `POST /diagnosis/ask`: asks archive and authority now.
pub(super) async fn ask(State(console): State<Arc<Console>>, visitor: Visitor, form: Form) -> Response {
    if !visitor.owns(&form) {
        return not_from_here();
    }
    let begun = console.now();
    console.ask_now.notify_waiters();
    let answered = async {
        while !console.asked.iter().all(|asked| asked.last().is_some_and(|last| last.at >= begun)) {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    let _ = tokio::time::timeout(WAITS, answered).await;
    see_other("/diagnosis?asked=1")
}

impl Console {
    async fn reachability(&self, participants: &[Participant]) -> Markup {
        let now = self.now();
        let gateways: Vec<&Participant> =
            participants.iter().filter(|one| one.identity.role == Role::Gateway).collect();
        let mut ahead = Vec::new();
        for one in &gateways {
            ahead.push(self.ahead_at_least(&one.identity.to_string()).await);
        }
        let live = self.live();
        let through = counted(live.iter().filter(|(_, one)| one.reaches_archive()).map(|(_, one)| one.gateway()));
        html! {
            table .stack {
                caption { (words::REACHABILITY_CAPTION) }
                (head(&words::REACH_COLUMNS))
                tbody {
                    @for asked in &self.asked { (asked_row(asked, now)) }
                    @for (one, ahead) in gateways.iter().zip(&ahead) {
                        (gateway_row(one, *ahead, now))
                        @if let Some(count) = through.get(&one.identity.to_string()) {
                            (row(
                                &words::through(one.identity.name.as_str()),
                                &html! { span .chip.good { (words::REACHED) } },
                                &html! { (words::live_sessions(*count)) },
                                &html! { (words::DOES_NOT_APPLY) },
                            ))
                        }
                    }
                }
            }
        }
    }

    /// By how many seconds the newest checkpoint that a gateway showed is dated ahead of this clock. That one was made
    /// before it was shown, so that a clock that is behind shows in nothing.
    async fn ahead_at_least(&self, origin: &str) -> Option<u64> {
        let kept = self.broker.journal.store().newest_remembered(origin).await.ok()??;
        let checkpoint: Checkpoint = kept.note.parse::<Note>().ok()?.text().parse().ok()?;
        Some(checkpoint.at().as_secs().saturating_sub(self.now().as_secs()))
    }

    fn versions(&self) -> Markup {
        let live = self.live();
        let gateways = counted(live.iter().map(|(_, one)| (one.gateway(), one.established.policies.software.clone())));
        let archives = counted(live.iter().map(|(_, one)| {
            let archive = &one.archive.established;
            (archive.archive.identity().to_string(), archive.policies.software.clone())
        }));
        let own = [(self.broker.member.identity().to_string(), self.broker.member.party().policies.software.clone())];
        let all = own.into_iter().chain(archives.into_keys()).chain(gateways.into_keys());
        html! {
            table .stack {
                caption { (words::VERSIONS_CAPTION) }
                (head(&words::VERSION_COLUMNS))
                tbody { @for (party, software) in all { tr {
                    th scope="row" { (party) }
                    (cell(words::VERSION_COLUMNS[1], &html! { (software) }))
                    (cell(words::VERSION_COLUMNS[2], &html! { (sealwort_proto::VERSION) }))
                } } }
            }
        }
    }

    fn store(&self) -> Markup {
        let missing = self.readiness.missing();
        html! {
            dl {
                div { dt { (words::READY) } dd {
                    @if missing.is_empty() { span .chip.good { (words::YES) } }
                    @else { span .chip.error { (words::NO) } @for (part, reason) in missing { " " (part) ": " (reason) } }
                } }
                div { dt { (words::ENGINE) } dd { (match self.engine() {
                    Engine::Embedded => words::ENGINE_EMBEDDED.to_owned(),
                    Engine::Server { at, standbys } => words::engine_server(&at, standbys),
                }) } }
                div { dt { (words::SIZE) } dd { (words::bytes(self.bytes())) } }
                @if let Some(commits) = self.commits() {
                    div { dt { (words::COMMITS) } dd { (words::commits(commits.count, &took(commits.median), &took(commits.longest))) } }
                }
                div { dt { (words::LIVE_SESSIONS) } dd { (self.live().len()) } }
                div { dt { (words::RUNS) } dd { (self.broker.sessions.runs()) } }
            }
        }
    }
}

fn asked_row(asked: &Asked, now: UnixTime) -> Markup {
    let name = words::to(words::party_role(asked.role.as_str()), &asked.endpoint.to_string());
    let Some(answer) = asked.last() else {
        return row(&name, &html! { span .chip { (words::NOT_ASKED) } }, &html! {}, &html! {});
    };
    match answer.found {
        Err(reason) => row(
            &name,
            &html! { span .chip.error { (words::NOT_REACHED) } },
            &html! { (ago(answer.at, now)) ": " (reason) },
            &html! { (words::UNKNOWN) },
        ),
        Ok(found) => row(
            &name,
            &html! {
                @if found.lacks.is_empty() { span .chip.good { (words::REACHED) } }
                @else if found.is_drained() { span .chip.warning { (words::STOPPING) } }
                @else { span .chip.warning { (words::REACHED_NOT_READY) } }
            },
            &html! {
                (words::answered_in(&took(found.took))) ", " (ago(answer.at, now))
                @for line in &found.lacks { br; (line) }
            },
            &html! { @match found.ahead {
                Some(ahead) => { (words::clock(ahead)) }
                None => { (words::UNKNOWN) }
            } },
        ),
    }
}

fn gateway_row(one: &Participant, ahead: Option<u64>, now: UnixTime) -> Markup {
    let here = one.seen.is_some_and(|seen| now < seen.plus(HERE));
    row(
        &words::from(one.identity.name.as_str()),
        &html! {
            @if one.state == Standing::Revoked { span .chip.error { (words::STATE_REVOKED) } }
            @else if here { span .chip.good { (words::REACHED) } }
            @else { span .chip.warning { (words::QUIET) } }
        },
        &html! { @if let Some(seen) = one.seen { (words::SEEN) " " (ago(seen, now)) } @else { (words::NOT_SEEN) } },
        &html! { @match ahead {
            Some(0) => { (words::CLOCK_NOT_AHEAD) }
            Some(ahead) => { (words::clock_at_least(&date::span(ahead))) }
            None => { (words::UNKNOWN) }
        } },
    )
}

fn row(way: &str, state: &Markup, more: &Markup, clock: &Markup) -> Markup {
    html! { tr {
        th scope="row" { (way) }
        (cell(words::REACH_COLUMNS[1], state))
        (cell(words::REACH_COLUMNS[2], more))
        (cell(words::REACH_COLUMNS[3], clock))
    } }
}

/// A short time, in its own unit.
pub(super) fn took(time: Duration) -> String {
    let micros = time.as_micros();
    if micros < 10_000 {
        format!("{}.{} ms", micros / 1000, micros % 1000 / 100)
    } else {
        format!("{} ms", time.as_millis())
    }
}
