//! Everything in order of time, by visit. Words to look for come in a form and never in an address, which browsers and
//! proxies keep.

use std::collections::HashMap;

use axum::body::Bytes;
use axum::response::Response;
use maud::{Markup, html};
use sealwort_fhir::plain::Kind;
use sealwort_fhir::{ResourceId, ResourceType};
use sealwort_pages::words::portal as words;

use super::super::authorize::only;
use super::Page;
use super::record::{Piece, is_background, judged_alone, mark, moment, values};
use super::visit::Visit;
use crate::error::GatewayError;
use crate::view::Held;

/// What is looked for.
#[derive(Debug, Default)]
struct Wanted {
    words: String,
    kind: Option<Kind>,
    page: usize,
}

/// `GET /portal/[record]/timeline?kind=…`
pub(super) async fn show(visit: Visit) -> Response {
    let wanted = Wanted { kind: visit.query("kind").and_then(|name| Kind::named(&name)), ..Wanted::default() };
    let content = content(&visit, &wanted).await;
    visit.answer(Page::Timeline, content).await
}

/// `POST /portal/[record]/timeline`: words, kind and page.
pub(super) async fn find(visit: Visit, body: Bytes) -> Response {
    let looking = async {
        let form = visit.form(&body).await?;
        let wanted = Wanted {
            words: only(&form, "words").unwrap_or_default().chars().take(WORDS_CHARACTERS_MAX).collect(),
            kind: only(&form, "kind").and_then(Kind::named),
            page: only(&form, "page").and_then(|page| page.parse().ok()).unwrap_or_default(),
        };
        content(&visit, &wanted).await
    };
    let content = looking.await;
    visit.answer(Page::Timeline, content).await
}

async fn content(visit: &Visit, wanted: &Wanted) -> Result<Markup, GatewayError> {
    let opened = visit.open().await?;
    let pieces = opened.pieces().await?;
    let words = wanted.words.to_lowercase();
    let found: Vec<&Piece<'_>> = pieces.iter().filter(|piece| wanted.takes(piece, &words)).collect();
    let last = found.len().saturating_sub(1) / PAGE_ITEMS;
    let page = wanted.page.min(last);
    let shown: Vec<&Piece<'_>> = found.iter().skip(page * PAGE_ITEMS).take(PAGE_ITEMS).copied().collect();
    let (from, to) = (page * PAGE_ITEMS + 1, page * PAGE_ITEMS + shown.len());
    let turn = |word: &str, to: usize| html! { button .quiet type="submit" name="page" value=(to) { (word) } };
    Ok(html! {
        form method="post" action=(visit.path(Page::Timeline)) role="search" {
            (visit.secret())
            div .row {
                div .field {
                    label for="words" { (words::FIND_WORDS) }
                    input #words type="search" name="words" value=(wanted.words) autocomplete="off" maxlength=(WORDS_CHARACTERS_MAX);
                }
                div .field {
                    label for="kind" { (words::FIND_KIND) }
                    select #kind name="kind" {
                        option value="" { (words::EVERYTHING) }
                        @for kind in Kind::ALL {
                            option value=(kind.as_str()) selected[wanted.kind == Some(kind)] { (words::kinds(kind.as_str())) }
                        }
                    }
                }
                button type="submit" { (words::FIND) }
            }
            p role="status" { (words::found(found.len(), from, to)) }
            @if found.is_empty() { p .note { (words::NOTHING_FOUND) } }
            @if last > 0 {
                p .row {
                    @if page > 0 { (turn(words::NEWER, page - 1)) }
                    @if page < last { (turn(words::OLDER, page + 1)) }
                }
            }
        }
        @for group in groups(&pieces, &shown) { (section(visit, &group)) }
    })
}

impl Wanted {
    /// `words` are those that are looked for, in lower case.
    fn takes(&self, piece: &Piece<'_>, words: &str) -> bool {
        let of_kind = match self.kind {
            Some(kind) => piece.plain.kind == kind,
            None => !is_background(piece.plain.kind),
        };
        of_kind && {
            let hay = format!("{} {}", piece.title().to_lowercase(), piece.plain.haystack());
            words.split_whitespace().all(|word| hay.contains(word))
        }
    }
}

/// What belongs to one visit, or to none.
struct Group<'p, 's> {
    visit: Option<&'p Piece<'s>>,
    pieces: Vec<&'p Piece<'s>>,
}

/// Groups in order of the newest of each. What has no visit stands by itself, neighbours together.
fn groups<'p, 's>(all: &'p [Piece<'s>], shown: &[&'p Piece<'s>]) -> Vec<Group<'p, 's>> {
    let mut by_id: HashMap<(ResourceType, &ResourceId), &Piece<'_>> = HashMap::new();
    for piece in all {
        by_id.entry((piece.held.kind, &piece.held.id)).or_insert(piece);
    }
    let visit_of = |piece: &Piece<'_>| {
        let named = match (&piece.plain.visit, piece.held.kind.as_str()) {
            (_, "Encounter") => (piece.held.kind, &piece.held.id),
            (Some((kind, id)), _) => (*kind, id),
            (None, _) => return None,
        };
        by_id.get(&named).copied()
    };
    let mut groups: Vec<Group<'p, 's>> = Vec::new();
    // Where the group of a visit is.
    let mut places: HashMap<*const Held, usize> = HashMap::new();
    for piece in shown.iter().copied() {
        let visit = visit_of(piece);
        let place = match visit {
            Some(visit) => places.get(&std::ptr::from_ref(visit.held)).copied(),
            None => groups.len().checked_sub(1).filter(|last| groups.get(*last).is_some_and(|it| it.visit.is_none())),
        };
        if let Some(group) = place.and_then(|place| groups.get_mut(place)) {
            group.pieces.push(piece);
        } else {
            places.extend(visit.map(|visit| (std::ptr::from_ref(visit.held), groups.len())));
            groups.push(Group { visit, pieces: vec![piece] });
        }
    }
    for group in &mut groups {
        // The visit is the heading.
        if let Some(visit) = group.visit {
            group.pieces.retain(|piece| !std::ptr::eq(piece.held, visit.held));
        }
    }
    groups
}

fn section(visit: &Visit, group: &Group<'_, '_>) -> Markup {
    html! {
        section .visit {
            h2 {
                @match group.visit {
                    Some(of) => { a href=(visit.at(&format!("/item/{}", of.handle()))) { (of.title()) } },
                    None => { (words::BESIDE_VISITS) },
                }
            }
            @if let Some(of) = group.visit {
                p .quiet { (moment(of.plain.at)) @if let Some(source) = &of.plain.source { ", " (source) } }
            }
            ul .events { @for piece in &group.pieces { (event(visit, piece)) } }
        }
    }
}

fn event(visit: &Visit, piece: &Piece<'_>) -> Markup {
    html! {
        li {
            span .chip { (words::kind(piece.plain.kind.as_str())) }
            " " a href=(visit.at(&format!("/item/{}", piece.handle()))) { (piece.title()) }
            (mark(piece.plain.standing))
            @if !piece.plain.readings.is_empty() {
                " " strong { (values(&piece.plain)) }
                @if let Some((word, look)) = judged_alone(&piece.plain) { " " span .chip .(look) { (word) } }
            }
            br; small .quiet { (moment(piece.plain.at)) @if let Some(source) = &piece.plain.source { ", " (source) } }
        }
    }
}

/// Entries on one page.
const PAGE_ITEMS: usize = 60;
/// Longest search.
const WORDS_CHARACTERS_MAX: usize = 100;
