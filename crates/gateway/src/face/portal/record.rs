//! The record of a visit in plain words: what every page that shows it begins with.

use std::collections::HashSet;

use bytes::Bytes;
use maud::{Markup, html};
use sealwort_audit::EventKind;
use sealwort_fhir::plain::{Absent, Amount, End, Kind, Moment, Plain, Reading, Standing, Usual};
use sealwort_fhir::{ResourceId, ResourceType};
use sealwort_pages::words::portal as words;
use sealwort_smart::Action;
use serde_json::Value;

use super::super::read::not_found;
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
    /// Opens the record to look at it. Everything in it counts as shown.
    pub(super) async fn open(&self) -> Result<Opened, GatewayError> {
        self.opened(EventKind::RecordRead).await
    }

    /// The same, with an entry of this kind.
    pub(super) async fn opened(&self, kind: EventKind) -> Result<Opened, GatewayError> {
        let asking = self.asking();
        let opening = async {
            let id: ResourceId = self.patient().parse().map_err(|_| GatewayError::unknown_patient())?;
            let seen = self.gateway.see(&asking, ResourceType::PATIENT, &id, Action::Read).await?;
            // A helper with labels of their own may see some of a record and not whose it is.
            let is_there = seen.find(ResourceType::PATIENT, &id).is_some_and(|held| held.newest().content.is_some());
            if !is_there && !seen.asks_for_some() {
                return Err(not_found());
            }
            for (_, held) in seen.places() {
                asking.trail.shows(seen.view.patient, held.kind, held.id.as_str());
            }
            Ok(Opened { seen, id })
        };
        let outcome = opening.await;
        self.kept(self.entry(kind, &asking), &asking, outcome).await
    }
}

impl Opened {
    /// All of it, the newest first; what has no date comes last.
    /// It is read away from the threads that serve connections: a record may be large.
    pub(super) async fn pieces(&self) -> Result<Vec<Piece<'_>>, GatewayError> {
        let held: Vec<&Held> = self.seen.places().map(|(_, held)| held).collect();
        let contents: Vec<_> = held.iter().map(|held| (held.kind, held.newest().content.clone())).collect();
        let reading = sealwort_net::transport::away(move || {
            let plain = |(kind, content): &(ResourceType, Option<Bytes>)| {
                content.as_ref().and_then(parsed).map(|tree| Plain::of(*kind, &tree))
            };
            contents.iter().map(plain).collect::<Vec<_>>()
        });
        let read = reading.await.map_err(|_| GatewayError::Kept("reading a record was interrupted"))?;
        let read = held.into_iter().zip(read);
        let mut pieces: Vec<_> = read.filter_map(|(held, plain)| Some(Piece { held, plain: plain? })).collect();
        pieces.sort_by_key(|piece| std::cmp::Reverse(piece.when()));
        Ok(pieces)
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

/// What holds of one kind, in the order in which it is told.
pub(super) fn holding<'p, 's>(pieces: &'p [Piece<'s>], kind: Kind) -> Vec<&'p Piece<'s>> {
    let plains: Vec<&Plain> = pieces.iter().map(|piece| &piece.plain).collect();
    places_of(&plains, kind).into_iter().filter_map(|place| pieces.get(place)).collect()
}

/// Where they are, each thing once: what must not be done first, and last that no allergy of some kind is known. That there
/// is none at all is not said beside one that is.
fn places_of(plains: &[&Plain], kind: Kind) -> Vec<usize> {
    let mut said = HashSet::new();
    let all = plains.iter().enumerate().filter(|(_, one)| one.kind == kind && one.standing.holds());
    let mut all: Vec<_> = all.filter(|(_, one)| one.tells().is_none_or(|tells| said.insert(tells))).collect();
    if all.iter().any(|(_, one)| one.absent.is_none()) {
        all.retain(|(_, one)| !matches!(one.absent, Some(Absent::NoAllergy | Absent::NotAsked)));
    }
    all.sort_by_key(|(_, one)| (one.standing != Standing::Forbidden, one.absent.is_some()));
    all.into_iter().map(|(place, _)| place).collect()
}

/// The content of a version.
pub(super) fn tree(version: &Version) -> Option<Value> {
    parsed(version.content.as_ref()?)
}

fn parsed(content: &Bytes) -> Option<Value> {
    serde_json::from_slice(content).ok()
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
fn amount(amount: &Amount) -> Markup {
    html! { (amount.text) @if !amount.unit.is_empty() { " " small { (amount.unit) } } }
}

/// What was found, each with its name and its unit: blood pressure as a pair, else every value. A part has its name also
/// where it is alone.
fn found<'p>(plain: &'p Plain) -> Vec<(Option<&'p str>, String, &'p str)> {
    if let Some((upper, lower)) = plain.blood_pressure()
        && let (Some(upper), Some(lower)) = (&upper.amount, &lower.amount)
        && upper.unit == lower.unit
    {
        return vec![(None, format!("{}/{}", upper.text, lower.text), &upper.unit)];
    }
    let text = |one: &Reading| match &one.amount {
        Some(amount) => amount.text.clone(),
        None => one.words.clone().unwrap_or_default(),
    };
    let unit = |amount: &'p Amount| amount.unit.as_str();
    let all = plain.readings.iter();
    all.map(|one| (one.name.as_deref(), text(one), one.amount.as_ref().map_or("", unit))).collect()
}

/// The same in one line.
pub(super) fn values(plain: &Plain) -> Markup {
    let found = found(plain);
    html! {
        @for (at, (name, text, unit)) in found.iter().take(VALUES_IN_LINE_MAX).enumerate() {
            @if at > 0 { ", " }
            @if let Some(name) = name { (name) ": " }
            (text) @if !unit.is_empty() { " " small { (unit) } }
        }
        @if found.len() > VALUES_IN_LINE_MAX { ", " (words::more_of(found.len() - VALUES_IN_LINE_MAX)) }
    }
}

/// The same as plain text.
pub(super) fn said(plain: &Plain) -> String {
    let found = found(plain);
    let text = |(name, text, unit): &(Option<&str>, String, &str)| {
        let value = format!("{text} {unit}");
        name.map_or_else(|| value.trim_end().to_owned(), |name| format!("{name}: {}", value.trim_end()))
    };
    let mut texts: Vec<String> = found.iter().take(VALUES_IN_LINE_MAX).map(text).collect();
    if found.len() > VALUES_IN_LINE_MAX {
        texts.push(words::more_of(found.len() - VALUES_IN_LINE_MAX));
    }
    texts.join(", ")
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
    let (number, usual) = (reading.amount.as_ref()?.number?, reading.usual.as_ref()?);
    Some(if usual.high.as_ref().is_some_and(|high| number > high.number) {
        (words::ABOVE_USUAL, "warning")
    } else if usual.low.as_ref().is_some_and(|low| number < low.number) {
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
pub(super) fn usual(usual: &Usual, unit: &str) -> String {
    words::usual(usual.low.as_ref().map(End::text), usual.high.as_ref().map(End::text), unit)
}

/// Whether it counts, as a mark beside the name; nothing where it simply does.
pub(super) fn mark(of: Standing) -> Markup {
    html! { @if let Some((word, look)) = standing(of) { " " span .chip .(look) { (word) } } }
}

/// The word of that mark, and its look.
pub(super) fn standing(of: Standing) -> Option<(&'static str, &'static str)> {
    match of {
        Standing::Current => None,
        Standing::Over => Some((words::OVER, "plain")),
        Standing::Planned => Some((words::PLANNED, "plain")),
        Standing::Open => Some((words::OPEN, "warning")),
        Standing::NotDone => Some((words::NOT_DONE, "plain")),
        Standing::Forbidden => Some((words::FORBIDDEN, "error")),
        Standing::Wrong => Some((words::WRONG, "error")),
    }
}

/// Kinds of which the timeline tells nothing unless it is asked: they are about no event.
pub(super) fn is_background(kind: Kind) -> bool {
    matches!(kind, Kind::Person | Kind::Other | Kind::Payment)
}

/// Hexadecimal characters of a handle.
const HANDLE_CHARACTERS: usize = 24;
/// Values in one line.
const VALUES_IN_LINE_MAX: usize = 4;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;

    fn plain(kind: &str, resource: &Value) -> Plain {
        Plain::of(kind.parse().unwrap(), resource)
    }

    #[test]
    fn a_half_says_which_half_it_is() {
        let part = |code: &str, value: u32, unit: &str| {
            json!({"code": {"coding": [{"system": "http://loinc.org", "code": code}]},
                "valueQuantity": {"value": value, "unit": unit}})
        };
        for (parts, text) in [
            (json!([part("8480-6", 120, "mmHg"), part("8462-4", 80, "mmHg")]), "120/80 mmHg"),
            (json!([part("8462-4", 80, "mmHg")]), "Lower blood pressure: 80 mmHg"),
            (
                json!([part("8480-6", 16, "kPa"), part("8462-4", 80, "mmHg")]),
                "Upper blood pressure: 16 kPa, Lower blood pressure: 80 mmHg",
            ),
        ] {
            let one = plain("Observation", &json!({"component": parts}));
            assert_eq!(said(&one), text);
            assert_eq!(values(&one).into_string().replace("<small>", "").replace("</small>", ""), text);
        }
        assert_eq!(said(&plain("Observation", &json!({"valueQuantity": {"value": 7, "unit": "kg"}}))), "7 kg");
    }

    #[test]
    fn what_holds_is_told_once_and_what_is_forbidden_first() {
        let allergy = |code: &Value| plain("AllergyIntolerance", &json!({"code": code}));
        let sct = |code: &str| json!({"coding": [{"system": "http://snomed.info/sct", "code": code}]});
        let (none, no_food, latex) =
            (allergy(&sct("716186003")), allergy(&sct("429625007")), allergy(&json!({"text": "Latex"})));
        assert_eq!(places_of(&[&none, &none, &no_food], Kind::Allergy), [0, 2]);
        assert_eq!(places_of(&[&none, &no_food, &latex], Kind::Allergy), [2, 1]);

        let medicine = |more: &Value| {
            let mut one = json!({"medicationCodeableConcept": {"text": "Aspirin"}});
            one.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            plain("MedicationRequest", &one)
        };
        let active = medicine(&json!({"status": "active", "intent": "order"}));
        let forbidden = medicine(&json!({"status": "active", "doNotPerform": true}));
        let proposed = medicine(&json!({"status": "active", "intent": "proposal"}));
        let withdrawn = medicine(&json!({"status": "cancelled"}));
        assert_eq!(places_of(&[&active, &active, &proposed, &withdrawn, &forbidden], Kind::Medicine), [4, 0]);

        // Three doses are three.
        let dose = plain("Immunization", &json!({"vaccineCode": {"text": "COVID-19"}, "status": "completed"}));
        assert_eq!(places_of(&[&dose, &dose, &dose], Kind::Vaccine), [0, 1, 2]);
    }
}
