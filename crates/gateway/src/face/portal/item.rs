//! One thing of the record: in plain words, as the original, and with the receipt that proves who wrote it and where it
//! stands in the sealed log.

use axum::response::Response;
use maud::{Markup, html};
use sealwort_fhir::plain::Plain;
use sealwort_fhir::pretty::pretty;
use sealwort_pages::date;
use sealwort_pages::words::portal as words;

use super::Page;
use super::document::documents;
use super::record::{Opened, handle_of, hospital, judged, mark, moment, title, tree, usual, value};
use super::visit::Visit;
use crate::error::GatewayError;
use crate::view::{Held, Version};

/// `GET /portal/[record]/item/[entry]`
pub(super) async fn show(visit: Visit) -> Response {
    let looking = async {
        let opened = visit.open().await?;
        let (held, version) = opened.find(visit.parameter("entry")).ok_or_else(gone)?;
        content(&visit, &opened, held, version)
    };
    let content = looking.await;
    visit.titled(Page::Timeline, words::WHAT, content).await
}

/// `GET /portal/[record]/item/[entry]/original`
pub(super) async fn original(visit: Visit) -> Response {
    let looking = async {
        let opened = visit.open().await?;
        let (_, version) = opened.find(visit.parameter("entry")).ok_or_else(gone)?;
        let content = version.content.as_ref().ok_or_else(gone)?;
        Ok(visit.download(&format!("original-{}.json", handle_of(version)), pretty(content).into()))
    };
    match looking.await {
        Ok(file) => file,
        Err(error) => visit.titled(Page::Timeline, words::WHAT, Err(error)).await,
    }
}

fn content(visit: &Visit, opened: &Opened, held: &Held, version: &Version) -> Result<Markup, GatewayError> {
    let tree = tree(version).ok_or_else(gone)?;
    let plain = Plain::of(held.kind, &tree);
    let of_visit = plain.visit.as_ref().and_then(|(kind, id)| opened.seen.find(*kind, id));
    let of_visit = of_visit.and_then(|held| Some((held, Plain::of(held.kind, &super::record::tree(held.newest())?))));
    let path = format!("/item/{}", handle_of(version));
    Ok(html! {
        section .card {
            h2 { (title(&plain)) (mark(plain.standing)) }
            dl {
                (fact(words::KIND_OF, &html! { (words::kind(plain.kind.as_str())) }))
                @for reading in &plain.readings {
                    (fact(reading.name.as_deref().unwrap_or(words::VALUE), &html! {
                        strong { (value(reading)) }
                        @if let Some((word, look)) = judged(reading) { " " span .chip .(look) { (word) } }
                        @if let (Some(range), Some(amount)) = (&reading.usual, &reading.amount) { br; small .quiet { (usual(range, &amount.unit)) } }
                    }))
                }
                (fact(words::WHEN, &html! { (moment(plain.at)) }))
                @if let Some(source) = &plain.source { (fact(words::WHO_SAYS, &html! { (source) })) }
                @if let Some((held, of)) = &of_visit {
                    (fact(words::VISIT, &html! { a href=(visit.at(&format!("/item/{}", handle_of(held.newest())))) { (title(of)) } ", " (moment(of.at)) }))
                }
                @for one in &plain.more { (fact(words::ABOUT, &html! { (one) })) }
            }
        }
        section {
            h2 { (words::ORIGINAL) }
            p { (words::ORIGINAL_TEXT) }
            p .row {
                a .button .quiet href=(visit.at(&format!("{path}/original"))) { (words::GET_ORIGINAL) }
            }
            (documents(visit, opened, &tree, &path))
        }
        (receipt(visit, opened, held, version))
    })
}

fn receipt(visit: &Visit, opened: &Opened, held: &Held, version: &Version) -> Markup {
    let older: Vec<&Version> = held
        .versions()
        .filter(|one| opened.seen.shows_version(held, one) || one.number == held.newest().number)
        .collect();
    html! {
        section {
            h2 { (words::RECEIPT) }
            p { (words::RECEIPT_TEXT) }
            dl {
                (fact(words::WRITTEN_BY, &html! { (hospital(&version.origin.author)) }))
                (fact(words::WRITTEN_AT, &html! { (date::moment(version.changed.as_secs())) }))
                (fact(words::PLACE, &html! { (version.origin.entry.sequence) }))
                (fact(words::FINGERPRINT, &html! { code { (hex::encode(version.origin.entry.head.as_bytes())) } }))
                (fact(words::CATEGORY, &html! { (words::category(version.label.as_str())) }))
            }
            @if older.len() > 1 {
                h3 { (words::VERSIONS) }
                ul {
                    @for one in older.iter().take(VERSIONS_MAX) {
                        li {
                            @if one.number == version.number {
                                (words::version(one.number)) " (" (words::THIS_ONE) ")"
                            } @else if one.content.is_some() {
                                a href=(visit.at(&format!("/item/{}", handle_of(one)))) { (words::version(one.number)) }
                            } @else { (words::version(one.number)) " (" (words::DELETED) ")" }
                            ", " (date::moment(one.changed.as_secs())) ", " (hospital(&one.origin.author))
                        }
                    }
                }
            }
        }
    }
}

fn fact(name: &str, value: &Markup) -> Markup {
    html! { div { dt { (name) } dd { (value) } } }
}

pub(super) fn gone() -> GatewayError {
    super::super::read::not_found()
}

/// Versions that are listed.
const VERSIONS_MAX: usize = 50;
