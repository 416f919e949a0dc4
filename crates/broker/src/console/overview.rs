//! Overview: what needs attention first, and a few numbers that say whether the exchange is busy.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{RawQuery, State};
use axum::response::Response;
use maud::{Markup, html};
use sealwort_pages::date;
use sealwort_pages::words::console as words;
use sealwort_pki::Role;

use super::Console;
use super::attention::{Finding, Grave};
use super::form::Form;
use super::frame::{self, OVERVIEW, PARTICIPANTS, REFUSALS, SESSIONS, THROUGHPUT, command, live, moment};
use super::sign_in::Visitor;

/// How long ago somebody may have been seen to count as here.
const HERE: Duration = Duration::from_mins(5);
/// Seconds over which requests and refusals are counted.
const MINUTE: u64 = 60;
const HOUR: u64 = 3600;

/// `GET /`
pub(super) async fn page(State(console): State<Arc<Console>>, visitor: Visitor, RawQuery(query): RawQuery) -> Response {
    let query = Form::of(query.as_deref().unwrap_or_default().as_bytes());
    let content = console.overview().await;
    if query.value("part").is_some() {
        return frame::fragment(content);
    }
    let content = live("overview", OVERVIEW, query.value("paused").is_some(), &content);
    frame::page(&console, &visitor, (OVERVIEW, words::OVERVIEW), &content).await
}

impl Console {
    async fn overview(&self) -> Markup {
        let now = self.now();
        let participants = self.participants().await;
        let (participants, away) = match participants {
            Ok(participants) => (participants, None),
            Err(error) => (Vec::new(), Some(error.to_string())),
        };
        let findings = self.attention(&participants);
        let here = |seen| now < sealwort_pki::UnixTime::plus(seen, HERE);
        let gateways = participants.iter().filter(|one| one.identity.role == Role::Gateway);
        let (here, all) =
            gateways.fold((0, 0), |(found, all), one| (found + usize::from(one.seen.is_some_and(here)), all + 1));
        let slots = self.broker.observed.slots();
        let since = |seconds: u64| slots.iter().filter(move |slot| slot.from + seconds > now.as_secs());
        let requests: u32 = since(MINUTE).map(|slot| slot.requests).sum();
        let refused: u32 = since(HOUR).map(|slot| slot.refused).sum();
        let list = self.broker.member.trust().current().newest();
        html! {
            section aria-labelledby="attention" {
                h2 #attention { (words::ATTENTION) }
                @if let Some(error) = away { div .note.error { p { (words::store_away(&error)) } } }
                @if findings.is_empty() {
                    div .note.good { p { strong { (words::ALL_GOOD) } " " (words::ALL_GOOD_MORE) } }
                } @else {
                    ol .findings { @for finding in &findings { li { (shown(finding)) } } }
                }
            }
            section aria-labelledby="numbers" {
                h2 #numbers { (words::AT_A_GLANCE) }
                ul .cards {
                    (card(words::GATEWAYS_HERE, &format!("{here} / {all}"), words::GATEWAYS_HERE_MORE, PARTICIPANTS))
                    (card(words::LIVE_SESSIONS, &self.live().len().to_string(), words::LIVE_SESSIONS_MORE, SESSIONS))
                    (card(words::REQUESTS, &requests.to_string(), words::REQUESTS_MORE, THROUGHPUT))
                    (card(words::REFUSED, &refused.to_string(), words::REFUSED_MORE, REFUSALS))
                }
                dl {
                    div { dt { (words::THIS_BROKER) } dd { code { (self.broker.member.identity()) } } }
                    div { dt { (words::OWN_CERTIFICATES) } dd {
                        (words::left(&date::span(self.broker.member.membership().not_after().since(now).as_secs())))
                    } }
                    @if let Some(list) = list {
                        div { dt { (words::REVOCATION_LIST) } dd {
                            (words::list(list.number, list.revoked, &date::span(list.next_update.since(now).as_secs())))
                        } }
                    }
                    div { dt { (words::AS_OF) } dd { (moment(now)) } }
                }
            }
        }
    }
}

fn shown(finding: &Finding) -> Markup {
    let (class, word) = match finding.grave {
        Grave::Wrong => ("error", words::WRONG),
        Grave::Warning => ("warning", words::WARNING),
    };
    html! {
        div .note.(class) {
            h3 { span .chip.(class) { (word) } " " (finding.what) }
            p { (finding.why) }
            p .quiet { (finding.place) }
            (command(&finding.command))
        }
    }
}

fn card(title: &str, number: &str, more: &str, href: &str) -> Markup {
    html! {
        li .card {
            h3 { a href=(href) { (title) } }
            p .big { (number) }
            p .quiet { (more) }
        }
    }
}
