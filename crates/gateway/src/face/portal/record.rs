//! The record of a visit in plain words: what every page that shows it begins with.

use http::Method;
use maud::{Markup, html};
use sealwort_audit::EventKind;
use sealwort_fhir::plain::{Amount, Kind, Moment, Plain, Reading, Standing, Usual};
use sealwort_fhir::{ResourceId, ResourceType};
use sealwort_pages::chart::number;
use sealwort_pages::words::portal as words;
use serde_json::Value;

use super::super::everything::whole;
use super::super::request::Ask;
use super::visit::Visit;
use crate::error::GatewayError;
use crate::seen::Seen;
use crate::view::{Held, Version};

/// A record, opened for a page.
pub(super) struct Opened {
    pub(super) seen: Seen,
    pub(super) id: ResourceId,
}

/// Something of it, in its newest version.
pub(super) struct Piece<'s> {
    pub(super) held: &'s Held,
    pub(super) plain: Plain,
}

impl Visit {
    /// Opens the record. Everything in it counts as shown.
    pub(super) async fn open(&self) -> Result<Opened, GatewayError> {
        let asking = self.asking();
        let opening = async {
            let url = format!("/Patient/{}/$everything", self.patient());
            let ask = Ask::new(asking.clone(), &Method::GET, &url)?;
            let (seen, id) = whole(&self.gateway, &ask).await?;
            for (_, held) in seen.places() {
                asking.trail.shows(seen.view.patient, held.kind, held.id.as_str());
            }
            Ok(Opened { seen, id })
        };
        let outcome = opening.await;
        self.kept(self.entry(EventKind::RecordRead, &asking), &asking, outcome).await
    }
}

impl Opened {
    /// All of it, the newest first; what has no date comes last.
    pub(super) fn pieces(&self) -> Vec<Piece<'_>> {
        let mut pieces = Vec::new();
        for (_, held) in self.seen.places() {
            if let Some(tree) = tree(held.newest()) {
                pieces.push(Piece { held, plain: Plain::of(held.kind, &tree) });
            }
        }
        pieces.sort_by_key(|piece| std::cmp::Reverse(piece.when()));
        pieces
    }

    /// The one with this handle, in whichever of its versions; and all of that resource.
    pub(super) fn find(&self, handle: &str) -> Option<(&Held, &Version)> {
        if handle.len() != HANDLE_CHARACTERS {
            return None;
        }
        self.seen.places().find_map(|(_, held)| {
            let version = held.versions().find(|version| handle_of(version) == handle)?;
            let shown = version.number == held.newest().number || self.seen.shows_version(held, version);
            shown.then_some((held, version))
        })
    }

    /// The patient's own data.
    pub(super) fn patient(&self) -> Option<Value> {
        tree(self.seen.find(ResourceType::PATIENT, &self.id)?.newest())
    }
}

impl Piece<'_> {
    /// For sorting: seconds since 1970; without a date, before everything.
    pub(super) fn when(&self) -> i64 {
        self.plain.at.map_or(i64::MIN, |at| at.seconds)
    }

    /// What it is called.
    pub(super) fn title(&self) -> String {
        title(&self.plain)
    }

    /// The part of its address that names it.
    pub(super) fn handle(&self) -> String {
        handle_of(self.held.newest())
    }
}

/// The content of a version.
pub(super) fn tree(version: &Version) -> Option<Value> {
    serde_json::from_slice(version.content.as_ref()?).ok()
}

/// By what a version is known in addresses: the beginning of its entry's hash, which tells nothing about it.
pub(super) fn handle_of(version: &Version) -> String {
    let hash = hex::encode(version.origin.entry.head.as_bytes());
    hash.get(..HANDLE_CHARACTERS).unwrap_or_default().to_owned()
}

/// What something is called.
pub(super) fn title(plain: &Plain) -> String {
    plain.title.clone().unwrap_or_else(|| words::unnamed(plain.kind.as_str()))
}

/// A hospital's own name, out of its identity.
pub(super) fn hospital(identity: &str) -> &str {
    identity.rsplit('/').next().unwrap_or(identity)
}

/// A date in words.
pub(super) fn moment(at: Option<Moment>) -> String {
    at.map_or_else(
        || words::NO_DATE.to_owned(),
        |at| {
            let time = at.time.map(|time| (time.hour, time.minute, time.offset_minutes));
            words::date(at.year, at.month, at.day, time)
        },
    )
}

/// A number with its unit.
pub(super) fn amount(amount: &Amount) -> Markup {
    html! { (amount.text) @if !amount.unit.is_empty() { " " small { (amount.unit) } } }
}

/// What was found, in one line: blood pressure as a pair, else each value.
pub(super) fn values(plain: &Plain) -> Markup {
    if let Some((upper, lower)) = plain.blood_pressure() {
        return html! { (pair(upper, lower)) };
    }
    let several = plain.readings.len() > 1;
    html! {
        @for (at, reading) in plain.readings.iter().take(VALUES_IN_LINE_MAX).enumerate() {
            @if at > 0 { ", " }
            @if let (Some(name), true) = (&reading.name, several) { (name) ": " }
            (value(reading))
        }
        @if plain.readings.len() > VALUES_IN_LINE_MAX {
            ", " (words::more_of(plain.readings.len() - VALUES_IN_LINE_MAX))
        }
    }
}

/// Upper and lower blood pressure.
pub(super) fn pair(upper: &Reading, lower: &Reading) -> Markup {
    let text = |one: &Reading| one.amount.as_ref().map(|amount| amount.text.clone()).unwrap_or_default();
    let unit = upper.amount.as_ref().map(|amount| amount.unit.as_str()).unwrap_or_default();
    html! { (text(upper)) "/" (text(lower)) " " small { (unit) } }
}

/// One value.
pub(super) fn value(reading: &Reading) -> Markup {
    html! {
        @match (&reading.amount, &reading.words) {
            (Some(one), _) => { (amount(one)) },
            (None, Some(text)) => { (text) },
            (None, None) => {},
        }
    }
}

/// Where a value stands in the range that the record itself calls usual, by a word and a look.
pub(super) fn judged(reading: &Reading) -> Option<(&'static str, &'static str)> {
    let (number, usual) = (reading.amount.as_ref()?.number?, reading.usual?);
    Some(if usual.high.is_some_and(|high| number > high) {
        (words::ABOVE_USUAL, "warning")
    } else if usual.low.is_some_and(|low| number < low) {
        (words::BELOW_USUAL, "warning")
    } else {
        (words::WITHIN_USUAL, "good")
    })
}

/// The same for something that is one value: of several, one alone would say too much.
pub(super) fn judged_alone(plain: &Plain) -> Option<(&'static str, &'static str)> {
    match plain.readings.as_slice() {
        [only] => judged(only),
        _ => None,
    }
}

/// That range in words.
pub(super) fn usual(usual: Usual, unit: &str) -> String {
    let text = |end: Option<f64>| end.map(number);
    words::usual(text(usual.low).as_deref(), text(usual.high).as_deref(), unit)
}

/// Whether it counts, as a mark beside the name; nothing where it simply does.
pub(super) fn mark(standing: Standing) -> Markup {
    let (word, look) = match standing {
        Standing::Current => return html! {},
        Standing::Over => (words::OVER, "plain"),
        Standing::Planned => (words::PLANNED, "plain"),
        Standing::Open => (words::OPEN, "warning"),
        Standing::Wrong => (words::WRONG, "error"),
    };
    html! { " " span .chip .(look) { (word) } }
}

/// Kinds of which the timeline tells nothing unless it is asked: they are about no event.
pub(super) fn is_background(kind: Kind) -> bool {
    matches!(kind, Kind::Person | Kind::Other | Kind::Payment)
}

/// Hexadecimal characters of a handle.
const HANDLE_CHARACTERS: usize = 24;
/// Values in one line.
const VALUES_IN_LINE_MAX: usize = 4;
