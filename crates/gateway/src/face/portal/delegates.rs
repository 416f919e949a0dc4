//! Helpers: who acts for the patient, until when; ending it, and letting somebody act.

use axum::body::Bytes;
use axum::response::Response;
use maud::{Markup, html};
use sealwort_audit::{Detail, EventKind};
use sealwort_fhir::plain::tidy;
use sealwort_pages::date;
use sealwort_pages::words::portal as words;

use super::super::LetInAbout;
use super::super::authorize::only;
use super::super::delegates::{added, removed};
use super::Page;
use super::sharing::categories;
use super::visit::Visit;
use crate::delegates::{DelegationRequest, DelegationShown, Right};
use crate::error::GatewayError;

/// `GET /portal/[record]/delegates`
pub(super) async fn show(visit: Visit) -> Response {
    let content = content(&visit).await;
    visit.answer(Page::Delegates, content).await
}

/// `POST /portal/[record]/delegates`
pub(super) async fn add(visit: Visit, body: Bytes) -> Response {
    let adding = async {
        let form = visit.form(&body).await?;
        let field = |name: &str| only(&form, name).unwrap_or_default().trim().to_owned();
        let rights = [("read", Right::Read), ("write", Right::Write), ("consent", Right::Consent)];
        let asked = |word: &str| form.iter().any(|(name, value)| name == "right" && value == word);
        let request = DelegationRequest {
            patient: visit.patient().to_owned(),
            account: field("account"),
            name: field("name"),
            relationship: field("relationship"),
            rights: rights.into_iter().filter(|(word, _)| asked(word)).map(|(_, right)| right).collect(),
            labels: if field("sees") == "all" { Vec::new() } else { vec!["general".to_owned()] },
            types: Vec::new(),
            days: field("days").parse().unwrap_or_default(),
        };
        added(&visit.gateway, &LetInAbout(visit.asking()), &request).await
    };
    match adding.await {
        Ok(_) => visit.done(Page::Delegates, "added"),
        Err(error) => visit.answer(Page::Delegates, Err(error)).await,
    }
}

/// `POST /portal/[record]/delegates/end`
pub(super) async fn end(visit: Visit, body: Bytes) -> Response {
    let ending = async {
        let form = visit.form(&body).await?;
        removed(&visit.gateway, &LetInAbout(visit.asking()), only(&form, "id").unwrap_or_default()).await
    };
    match ending.await {
        Ok(_) => visit.done(Page::Delegates, "ended"),
        Err(error) => visit.answer(Page::Delegates, Err(error)).await,
    }
}

async fn content(visit: &Visit) -> Result<Markup, GatewayError> {
    let asking = visit.asking();
    let Some(patient) = asking.context.filter(|patient| asking.is_patient(*patient)) else {
        return Ok(own_part(visit));
    };
    asking.trail.touches(patient);
    let entry = visit.entry(EventKind::ListRead, &asking).detail(Detail::Subject, "delegates");
    let all = visit.kept(entry, &asking, Ok(visit.gateway.delegations_for(patient))).await?;
    let now = visit.gateway.sessions.now().as_secs();
    Ok(html! {
        @match visit.query("done").as_deref() {
            Some("added") => { p .note .good role="status" { strong { (words::DELEGATE_ADDED) } } },
            Some("ended") => { p .note .good role="status" { strong { (words::DELEGATE_REMOVED) } } },
            _ => {},
        }
        p { (words::DELEGATES_TEXT) }
        @if all.is_empty() { p .note { (words::NO_DELEGATES) } }
        ul .cards .wide { @for one in &all { (card(visit, one, now)) } }
        (offer(visit))
    })
}

/// What a helper sees: what they may do themselves.
fn own_part(visit: &Visit) -> Markup {
    html! {
        p .note { (words::DELEGATES_OWNER) }
        @if let Some(one) = visit.delegation() {
            section .card {
                h2 { (words::YOU) }
                dl {
                    div { dt { (words::DELEGATE_RIGHTS) } dd { (rights(&one.rights)) } }
                    div { dt { (words::UNTIL) } dd { (date::moment(one.until)) } }
                }
            }
        }
    }
}

fn rights(all: &[Right]) -> String {
    let word = |right: &Right| match right {
        Right::Read => words::right("read"),
        Right::Write => words::right("write"),
        Right::Consent => words::right("consent"),
    };
    all.iter().map(word).collect::<Vec<_>>().join(", ")
}

fn card(visit: &Visit, one: &DelegationShown, now: u64) -> Markup {
    let (name, is_over) = (tidy(&one.name), one.until <= now);
    html! {
        li .card {
            h2 { (name) @if is_over { " " span .chip { (words::DELEGATE_ENDED) } } }
            p { (words::relationship(&one.relationship)) }
            @if one.rests { p .note .warning { (words::DELEGATE_RESTS) } }
            dl {
                div { dt { (words::DELEGATE_RIGHTS) } dd { (rights(&one.rights)) } }
                div { dt { (words::CATEGORIES) } dd { @if one.labels.is_empty() { (words::ALL_CATEGORIES) } @else { (categories(&one.labels)) } } }
                div { dt { (words::DELEGATE_SIGNS_IN) } dd { (tidy(&one.account)) } }
                div { dt { (words::UNTIL) } dd { (date::moment(one.until)) } }
            }
            form method="post" action=(visit.at("/delegates/end")) {
                (visit.secret())
                input type="hidden" name="id" value=(one.id);
                button .danger type="submit" aria-label=(words::about(words::DELEGATE_END, &name)) { (words::DELEGATE_END) }
            }
        }
    }
}

fn offer(visit: &Visit) -> Markup {
    html! {
        section #add {
            h2 { (words::DELEGATE_ADD) }
            form method="post" action=(visit.path(Page::Delegates)) {
                (visit.secret())
                div .row {
                    div .field { label for="name" { (words::DELEGATE_NAME) } input #name name="name" required maxlength="128" autocomplete="off"; }
                    div .field {
                        label for="account" { (words::DELEGATE_ACCOUNT) }
                        input #account name="account" required maxlength="128" autocomplete="off" spellcheck="false" aria-describedby="account-hint";
                    }
                }
                p #account-hint .quiet { (words::DELEGATE_ACCOUNT_HINT) }
                div .row {
                    div .field {
                        label for="relationship" { (words::DELEGATE_RELATIONSHIP) }
                        select #relationship name="relationship" { @for (code, word) in words::RELATIONSHIPS { option value=(code) { (word) } } }
                    }
                    div .field {
                        label for="days" { (words::DELEGATE_DAYS) }
                        select #days name="days" { @for (days, word) in PERIODS { option value=(days) selected[days == "365"] { (word) } } }
                    }
                    div .field {
                        label for="sees" { (words::DELEGATE_SEES) }
                        select #sees name="sees" {
                            option value="general" { (words::DELEGATE_SEES_ORDINARY) }
                            option value="all" { (words::DELEGATE_SEES_ALL) }
                        }
                    }
                }
                fieldset {
                    legend { (words::DELEGATE_RIGHTS) }
                    @for word in ["read", "write", "consent"] {
                        label .choice { input type="checkbox" name="right" value=(word) checked[word == "read"]; (words::right(word)) }
                    }
                }
                button type="submit" { (words::DELEGATE_SAVE) }
            }
        }
    }
}

/// Days, and their words.
const PERIODS: [(&str, &str); 3] = [("7", words::ONE_WEEK), ("30", words::ONE_MONTH), ("365", words::ONE_YEAR)];
