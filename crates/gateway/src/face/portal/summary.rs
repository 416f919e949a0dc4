//! The first page: how the record is protected, and what matters most in it.

use std::collections::BTreeMap;

use axum::response::Response;
use maud::{Markup, html};
use sealwort_audit::EventKind;
use sealwort_fhir::plain::{Amount, Kind, Reading, Standing};
use sealwort_pages::chart::{Chart, Point, Range, Series, Size};
use sealwort_pages::date;
use sealwort_pages::words::portal as words;

use super::Page;
use super::looks::{Look, looks};
use super::record::{Opened, Piece, judged, judged_alone, mark, moment, pair, usual, value};
use super::sharing::whom;
use super::visit::Visit;
use crate::consent::{ConsentShown, ProvisionShown};
use crate::error::GatewayError;

/// `GET /portal/[record]`
pub(super) async fn show(visit: Visit) -> Response {
    let content = content(&visit).await;
    visit.answer(Page::Summary, content).await
}

async fn content(visit: &Visit) -> Result<Markup, GatewayError> {
    let opened = visit.open().await?;
    let consent = consent(visit).await?;
    // Who may not see the list is told so; nothing else of the page depends on it.
    let last = looks(visit).await.map(|looks| {
        let complete = looks.are_complete();
        (looks.all.into_iter().find(|look| !look.is_own && look.opened), complete)
    });
    let pieces = opened.pieces();
    let now = visit.gateway.sessions.now().as_secs();
    Ok(html! {
        (ribbon(visit, &opened, consent.as_ref(), &last, now))
        h2 { (words::VITALS) }
        (vitals(visit, &pieces))
        div .columns {
            @for kind in [Kind::Medicine, Kind::Condition, Kind::Allergy, Kind::Vaccine] { (list(visit, &pieces, kind)) }
        }
        h2 { (words::RESULTS) }
        (results(visit, &pieces))
    })
}

/// The patient's decisions, where the visitor may see them.
async fn consent(visit: &Visit) -> Result<Option<ConsentShown>, GatewayError> {
    let asking = visit.asking();
    let outcome = super::sharing::standing(visit, &asking).await;
    match visit.kept(visit.entry(EventKind::ConsentRead, &asking), &asking, outcome).await {
        Ok(consent) => Ok(Some(consent)),
        Err(error) if error.status() < 500 => Ok(None),
        Err(error) => Err(error),
    }
}

fn ribbon(
    visit: &Visit,
    opened: &Opened,
    consent: Option<&ConsentShown>,
    last: &Result<(Option<Look>, bool), GatewayError>,
    now: u64,
) -> Markup {
    let count = opened.seen.places().count();
    html! {
        section .ribbon aria-label=(words::RIBBON) {
            div {
                h2 { span .seal aria-hidden="true" {} (words::SEALED) }
                p { (words::sealed(count)) }
                @if opened.seen.view.withheld > 0 { p .quiet { (words::withheld(opened.seen.view.withheld)) } }
            }
            div {
                h2 { (words::CAN_OPEN) }
                @match consent {
                    None => { p { (words::LAST_UNKNOWN) } },
                    Some(consent) => {
                        @let open: Vec<_> = consent.provisions.iter().filter(|it| it.until.is_none_or(|until| until > now)).collect();
                        @if open.is_empty() { p { (words::NOBODY_ELSE) } } @else {
                            ul .plain {
                                @for (to, until) in by_whom(&open) {
                                    li { strong { (to) } " " span .quiet { (until) } }
                                }
                            }
                        }
                        p { a href=(visit.path(Page::Sharing)) { (words::MANAGE) } }
                    },
                }
            }
            div {
                h2 { (words::LAST_OPENED) }
                @match last {
                    Err(_) => { p { (words::LAST_UNKNOWN) } },
                    Ok((None, true)) => { p { (words::NEVER_OPENED) } },
                    Ok((None, false)) => { p { (words::SOME_DOUBTFUL) } },
                    Ok((Some(look), _)) => { p { strong { (look.who) } ", " (look.place) br; time datetime=(date::machine(look.seconds)) { (date::moment(look.seconds)) } } },
                }
                @if last.is_ok() { p { a href=(visit.path(Page::Looked)) { (words::SEE_LOOKED) } } }
            }
        }
    }
}

/// Each hospital once, with the latest end of what it may, or that it may in an emergency alone.
fn by_whom(provisions: &[&ProvisionShown]) -> Vec<(String, String)> {
    let mut all: BTreeMap<String, Vec<&ProvisionShown>> = BTreeMap::new();
    for one in provisions {
        all.entry(whom(&one.to)).or_default().push(one);
    }
    let text = |theirs: Vec<&ProvisionShown>| {
        let mut reads = theirs.iter().filter(|one| one.actions.iter().any(|action| action != "emergency")).peekable();
        if reads.peek().is_none() {
            return words::EMERGENCY_ALONE.to_owned();
        }
        let end = reads.try_fold(0, |end, one| one.until.map(|until| until.max(end)));
        format!("{} {}", words::UNTIL.to_lowercase(), end.map_or_else(|| words::NO_END.to_owned(), date::day))
    };
    all.into_iter().map(|(to, theirs)| (to, text(theirs))).collect()
}

/// A card for each thing that is measured: the newest value, and how it went.
fn vitals(visit: &Visit, pieces: &[Piece<'_>]) -> Markup {
    let cards = series(pieces, Kind::Vital);
    html! {
        @if cards.is_empty() { p { (words::NOTHING) } }
        ul .cards { @for card in cards.iter().take(CARDS_MAX) { (vital(visit, card)) } }
    }
}

/// Things of one kind that have a value, by what they are; the newest first, and within each.
fn series<'p, 's>(pieces: &'p [Piece<'s>], kind: Kind) -> Vec<Vec<&'p Piece<'s>>> {
    let mut all: Vec<Vec<&Piece<'_>>> = Vec::new();
    let sound = |piece: &&Piece<'_>| {
        piece.plain.kind == kind && piece.plain.standing != Standing::Wrong && !piece.plain.readings.is_empty()
    };
    for piece in pieces.iter().filter(sound) {
        let same = |of: &&mut Vec<&Piece<'_>>| {
            of.first().is_some_and(|first| {
                piece.plain.series.is_some() && first.plain.series == piece.plain.series
                    || piece.plain.series.is_none() && first.plain.title == piece.plain.title
            })
        };
        match all.iter_mut().find(same) {
            Some(of) => of.push(piece),
            None => all.push(vec![piece]),
        }
    }
    all
}

fn vital(visit: &Visit, of: &[&Piece<'_>]) -> Markup {
    let Some(newest) = of.first() else { return html! {} };
    let plain = &newest.plain;
    let pressure = plain.blood_pressure();
    let reading = plain.readings.first();
    let chart = chart(of);
    html! {
        li .card {
            h3 { (newest.title()) (mark(plain.standing)) }
            p .big {
                @match (pressure, reading) {
                    (Some((upper, lower)), _) => { (pair(upper, lower)) },
                    (None, Some(one)) => { (value(one)) },
                    (None, None) => {},
                }
            }
            @for (one, name) in judged_of(plain.blood_pressure(), reading) {
                @if let (Some((word, look)), Some(range), Some(amount)) = (judged(one), one.usual, &one.amount) {
                    p .usual {
                        span .chip .(look) { @if let Some(name) = name { (name) ": " } (word) }
                        br; small .quiet { (usual(range, &amount.unit)) }
                    }
                }
            }
            @if let Some((chart, mixed)) = &chart {
                (chart.svg())
                @if *mixed { p .quiet { small { (words::UNITS_DIFFER) } } }
                (chart.table())
            }
            p .quiet { (moment(plain.at)) " · " a href=(visit.at(&format!("/item/{}", newest.handle()))) aria-label=(words::about(words::ABOUT, &newest.title())) { (words::ABOUT) } }
        }
    }
}

/// The values whose range is told, with their names where they are two.
fn judged_of<'p>(
    pressure: Option<(&'p Reading, &'p Reading)>,
    reading: Option<&'p Reading>,
) -> Vec<(&'p Reading, Option<&'static str>)> {
    match pressure {
        Some((upper, lower)) => vec![(upper, Some(words::UPPER)), (lower, Some(words::LOWER))],
        None => reading.map(|one| (one, None)).into_iter().collect(),
    }
}

/// How values went, in the unit of the newest, and whether others were left out. Nothing where there are fewer than two.
fn chart(of: &[&Piece<'_>]) -> Option<(Chart, bool)> {
    let newest = of.first()?;
    let names: Vec<String> = match newest.plain.blood_pressure() {
        Some(_) => vec![words::UPPER.to_owned(), words::LOWER.to_owned()],
        None => vec![newest.title()],
    };
    let part = |piece: &Piece<'_>, at: usize| -> Option<Reading> {
        match piece.plain.blood_pressure() {
            Some((upper, lower)) => Some(if at == 0 { upper } else { lower }.clone()),
            None if names.len() == 1 => piece.plain.readings.first().cloned(),
            None => None,
        }
    };
    let unit = part(newest, 0)?.amount?.unit;
    let mut mixed = false;
    let mut all = Vec::new();
    for (at, name) in names.iter().enumerate() {
        let mut points: Vec<Point> = Vec::new();
        for piece in of {
            let (Some(reading), Some(when)) = (part(piece, at), piece.plain.at) else { continue };
            let Some(Amount { number: Some(value), unit: own, .. }) = reading.amount else { continue };
            mixed |= own != unit;
            if let (true, Ok(at)) = (own == unit, u64::try_from(when.seconds)) {
                points.push(Point { at, value });
            }
        }
        points.truncate(POINTS_MAX);
        points.reverse();
        let range = part(newest, at).and_then(|reading| reading.usual);
        let reference = range.map(|range| Range { low: range.low, high: range.high });
        all.push(Series { name: name.clone(), points, reference });
    }
    let of_first = &all.first()?.points;
    let (first, last) = (of_first.first()?, of_first.last()?);
    if of_first.len() < 2 {
        return None;
    }
    let label = words::trend(&newest.title(), of_first.len(), &date::day(first.at), &date::day(last.at));
    Some((Chart { label, unit, series: all, span: None, size: Size::Small }, mixed))
}

/// What holds of one kind; each thing once.
fn list(visit: &Visit, pieces: &[Piece<'_>], kind: Kind) -> Markup {
    let counts = |piece: &&Piece<'_>| {
        piece.plain.kind == kind && matches!(piece.plain.standing, Standing::Current | Standing::Open)
    };
    let mut shown: Vec<&Piece<'_>> = Vec::new();
    for piece in pieces.iter().filter(counts) {
        if !shown.iter().any(|one| one.plain.says_the_same(&piece.plain)) {
            shown.push(piece);
        }
    }
    let rest = shown.len().saturating_sub(LIST_MAX);
    html! {
        section .card {
            h2 { (words::kinds(kind.as_str())) }
            @if shown.is_empty() { p { (words::NOTHING_KNOWN) } }
            ul .plain {
                @for piece in shown.iter().take(LIST_MAX) {
                    li {
                        a href=(visit.at(&format!("/item/{}", piece.handle()))) { (piece.title()) }
                        (mark(piece.plain.standing))
                        @if let Some(first) = piece.plain.more.first() { br; (first) }
                        br; small .quiet { (moment(piece.plain.at)) }
                    }
                }
            }
            @if rest > 0 { p { (words::more_of(rest)) } }
            p { a href=(visit.at(&format!("/timeline?kind={}", kind.as_str()))) aria-label=(words::about(words::ALL_OF_IT, words::kinds(kind.as_str()))) { (words::ALL_OF_IT) } }
        }
    }
}

fn results(visit: &Visit, pieces: &[Piece<'_>]) -> Markup {
    let all = series(pieces, Kind::Result);
    html! {
        @if all.is_empty() { p { (words::NOTHING) } } @else {
            div .scroll tabindex="0" role="region" aria-label=(words::RESULTS) {
                table {
                    thead { tr { th scope="col" { (words::WHAT) } th scope="col" { (words::VALUE) } th scope="col" { (words::WHEN) } } }
                    tbody { @for piece in all.iter().filter_map(|of| of.first()).take(RESULTS_MAX) { tr {
                        th scope="row" { a href=(visit.at(&format!("/item/{}", piece.handle()))) { (piece.title()) } (mark(piece.plain.standing)) }
                        td {
                            (super::record::values(&piece.plain))
                            @if let Some((word, look)) = judged_alone(&piece.plain) { " " span .chip .(look) { (word) } }
                        }
                        td { (moment(piece.plain.at)) }
                    } } }
                }
            }
            p { a href=(visit.at("/timeline?kind=result")) aria-label=(words::about(words::ALL_OF_IT, words::kinds("result"))) { (words::ALL_OF_IT) } }
        }
    }
}

/// Cards of measurements.
const CARDS_MAX: usize = 12;
/// Things in one list.
const LIST_MAX: usize = 6;
/// Rows of results.
const RESULTS_MAX: usize = 10;
/// Values in one chart.
const POINTS_MAX: usize = 24;
