//! The first page: how the record is protected, and what matters most in it.

use std::collections::{BTreeMap, HashMap};

use axum::response::Response;
use maud::{Markup, html};
use sealwort_audit::EventKind;
use sealwort_fhir::plain::{Kind, Plain, Reading, Standing, Usual, tidy};
use sealwort_pages::chart::{Chart, Point, Range, Series, Size, Written};
use sealwort_pages::date;
use sealwort_pages::words::portal as words;

use super::Page;
use super::last::Last;
use super::looks::last_look;
use super::record::{Opened, Piece, holding, judged, judged_alone, mark, moment, title, usual, values};
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
    let last = last_look(visit).await;
    let pieces = opened.pieces().await?;
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
    // Who has no right to them did not ask for them either: no entry says so.
    if super::sharing::check_sees(&asking).is_err() {
        return Ok(None);
    }
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
    last: &Result<Last, GatewayError>,
    now: u64,
) -> Markup {
    let count = opened.seen.places().count();
    html! {
        section .ribbon aria-label=(words::RIBBON) {
            div {
                h2 { span .seal aria-hidden="true" {} (words::SEALED) }
                p { (words::sealed(count)) }
                @if opened.seen.asks_for_some() { p .quiet { (words::NOT_FOR_YOU) } }
                @if opened.seen.withheld() > 0 { p .quiet { (words::withheld(opened.seen.withheld())) } }
            }
            div {
                h2 { (words::CAN_OPEN) }
                @match consent {
                    None => { p { (words::LAST_UNKNOWN) } },
                    Some(consent) => {
                        @let open: Vec<_> = consent.provisions.iter().filter(|it| it.from <= now && it.until.is_none_or(|until| until > now)).collect();
                        @let helpers = helpers(visit, now);
                        @if open.is_empty() && helpers.is_empty() { p { (words::NOBODY_ELSE) } } @else {
                            ul .plain {
                                @for (to, until) in by_whom(&open) {
                                    li { strong { (to) } " " span .quiet { (until) } }
                                }
                                @for (name, until) in &helpers { li { strong { (words::helper(name)) } " " span .quiet { (words::until(&date::day(*until))) } } }
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
                    Ok(Last { look: None, is_complete: true, .. }) => { p { (words::NEVER_OPENED) } },
                    Ok(Last { look: None, is_complete: false, .. }) => { p { (words::SOME_DOUBTFUL) } },
                    Ok(Last { look: Some(look), .. }) => { p { strong { (look.who) } ", " (look.place) br; time datetime=(date::machine(look.seconds)) { (date::moment(look.seconds)) } } },
                }
                @if let Ok(last) = last { p .quiet { small { (words::as_of(&date::moment(last.found))) } } }
                @if last.is_ok() { p { a href=(visit.path(Page::Looked)) { (words::SEE_LOOKED) } } }
            }
        }
    }
}

/// Who acts for the patient now, and until when. Helpers see of each other nothing.
fn helpers(visit: &Visit, now: u64) -> Vec<(String, u64)> {
    let asking = visit.asking();
    let Some(patient) = asking.context.filter(|patient| asking.is_patient(*patient)) else { return Vec::new() };
    let all = visit.gateway.delegations_for(patient);
    all.into_iter().filter(|one| one.until > now && !one.rests).map(|one| (tidy(&one.name), one.until)).collect()
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
        words::until(&end.map_or_else(|| words::NO_END.to_owned(), date::day))
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

/// Things of one kind that have a value and hold, by what they are; the newest first, and within each.
pub(super) fn series<'p, 's>(pieces: &'p [Piece<'s>], kind: Kind) -> Vec<Vec<&'p Piece<'s>>> {
    let mut all: Vec<Vec<&Piece<'_>>> = Vec::new();
    // Where the series of a code is, and where the first one of a title.
    let (mut by_code, mut by_title) = (HashMap::new(), HashMap::new());
    let sound = |piece: &&Piece<'_>| {
        piece.plain.kind == kind && piece.plain.standing.holds() && !piece.plain.readings.is_empty()
    };
    for piece in pieces.iter().filter(sound) {
        let (code, title) = (piece.plain.series.as_deref(), piece.plain.title.as_deref());
        let known = if code.is_some() { by_code.get(&code) } else { by_title.get(&title) }.copied();
        if let Some(of) = known.and_then(|at: usize| all.get_mut(at)) {
            of.push(piece);
            continue;
        }
        by_code.insert(code, all.len());
        by_title.entry(title).or_insert(all.len());
        all.push(vec![piece]);
    }
    all
}

fn vital(visit: &Visit, of: &[&Piece<'_>]) -> Markup {
    let Some(newest) = of.first() else { return html! {} };
    let plain = &newest.plain;
    let chart = chart(&of.iter().map(|piece| &piece.plain).collect::<Vec<_>>());
    html! {
        li .card {
            h3 { (newest.title()) (mark(plain.standing)) }
            p .big { (values(plain)) }
            @for (one, name) in judged_of(plain) {
                @if let (Some((word, look)), Some(range), Some(amount)) = (judged(one), &one.usual, &one.amount) {
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

/// The values whose range is told, with their names where they are parts.
fn judged_of(plain: &Plain) -> Vec<(&Reading, Option<&str>)> {
    match plain.blood_pressure() {
        Some((upper, lower)) => vec![(upper, Some(words::UPPER)), (lower, Some(words::LOWER))],
        None => plain.readings.iter().map(|one| (one, one.name.as_deref())).collect(),
    }
}

/// How values went that are final, in the unit of the newest, and whether others were left out. Nothing where there are
/// fewer than two, or where the newest is neither one value nor a pair.
fn chart(of: &[&Plain]) -> Option<(Chart, bool)> {
    let newest = of.first()?;
    let names: Vec<String> = match newest.blood_pressure() {
        Some(_) => vec![words::UPPER.to_owned(), words::LOWER.to_owned()],
        None if newest.is_one_value() => vec![title(newest)],
        None => return None,
    };
    // A pair and what is no pair have no line in common.
    let part = |plain: &Plain, at: usize| -> Option<Reading> {
        match plain.blood_pressure() {
            Some((upper, lower)) if names.len() == 2 => Some(if at == 0 { upper } else { lower }.clone()),
            None if names.len() == 1 && plain.is_one_value() => plain.readings.first().cloned(),
            _ => None,
        }
    };
    let unit = part(newest, 0)?.amount?.unit;
    let mut mixed = false;
    let mut all = Vec::new();
    for (at, name) in names.iter().enumerate() {
        let mut points: Vec<Point> = Vec::new();
        for plain in of.iter().filter(|plain| plain.standing == Standing::Current) {
            let (Some(reading), Some(when)) = (part(plain, at), plain.at) else { continue };
            let Some((amount, value)) = reading.amount.and_then(|amount| amount.number.map(|value| (amount, value)))
            else {
                continue;
            };
            mixed |= amount.unit != unit;
            if let (true, Ok(at)) = (amount.unit == unit, u64::try_from(when.seconds)) {
                let written = Some(Written { when: moment(Some(when)), value: amount.text });
                points.push(Point { at, value, written });
            }
        }
        points.truncate(POINTS_MAX);
        points.reverse();
        let range =
            |usual: Usual| Range { low: usual.low.map(|end| end.number), high: usual.high.map(|end| end.number) };
        let reference = part(newest, at).and_then(|reading| reading.usual).map(range);
        all.push(Series { name: name.clone(), points, reference });
    }
    let of_first = &all.first()?.points;
    let (first, last) = (of_first.first()?, of_first.last()?);
    if of_first.len() < 2 {
        return None;
    }
    let when = |point: &Point| point.written.as_ref().map(|written| written.when.clone()).unwrap_or_default();
    let label = words::trend(&title(newest), of_first.len(), &when(first), &when(last));
    Some((Chart { label, unit, series: all, span: None, size: Size::Small }, mixed))
}

/// What holds of one kind; each thing once.
fn list(visit: &Visit, pieces: &[Piece<'_>], kind: Kind) -> Markup {
    let shown = holding(pieces, kind);
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use serde_json::{Value, json};

    use super::*;

    fn observation(at: &str, more: &Value) -> Plain {
        let mut one = json!({"status": "final", "effectiveDateTime": at,
            "code": {"coding": [{"system": "http://loinc.org", "code": "85354-9"}]}});
        one.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        Plain::of("Observation".parse().unwrap(), &one)
    }

    fn part(code: &str, value: u32) -> Value {
        json!({"code": {"coding": [{"system": "http://loinc.org", "code": code}]}, "valueQuantity": {"value": value}})
    }

    /// Upper and lower values, and values that are no pair, are never one line.
    #[test]
    fn a_line_holds_values_of_one_kind() {
        let pair = |at: &str| observation(at, &json!({"component": [part("8480-6", 120), part("8462-4", 80)]}));
        let half = |at: &str| observation(at, &json!({"component": [part("8462-4", 80)]}));
        let single = |at: &str| observation(at, &json!({"valueQuantity": {"value": 100}}));
        let all = [pair("2026-05-03"), half("2026-05-02"), single("2026-05-02"), pair("2026-05-01")];
        let (drawn, _) = chart(&all.iter().collect::<Vec<_>>()).unwrap();
        let values: Vec<Vec<f64>> =
            drawn.series.iter().map(|series| series.points.iter().map(|point| point.value).collect()).collect();
        assert_eq!(values, [[120.0, 120.0], [80.0, 80.0]]);
        let all = [half("2026-05-03"), pair("2026-05-02"), pair("2026-05-01")];
        assert!(chart(&all.iter().collect::<Vec<_>>()).is_none());
    }

    /// Only what is final is drawn, and the table says when as it was written.
    #[test]
    fn a_line_holds_what_is_final() {
        let value = |at: &str, status: &str, value: f64| {
            observation(at, &json!({"status": status, "valueQuantity": {"value": value}}))
        };
        let all = [
            value("2026-05-04T09:20:00+02:00", "final", 1.25),
            value("2026-05-03", "preliminary", 9.0),
            value("2026-05-02", "cancelled", 8.0),
            value("2026", "final", 1.5),
        ];
        let (drawn, _) = chart(&all.iter().collect::<Vec<_>>()).unwrap();
        let written: Vec<_> = drawn.series[0].points.iter().map(|point| point.written.clone().unwrap()).collect();
        let written: Vec<_> = written.iter().map(|one| (one.when.as_str(), one.value.as_str())).collect();
        assert_eq!(written, [("2026", "1.5"), ("4 May 2026, 09:20 (UTC+02:00)", "1.25")]);
    }
}
