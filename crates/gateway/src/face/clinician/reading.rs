//! What resources say, as people read it: who a patient is, when something was, what an entry is about. Nothing here decides
//! what may be shown.

use sealwort_fhir::ResourceType;
use sealwort_fhir::plain::{Moment, Plain, Standing, tidy};
use sealwort_pages::date;
use sealwort_pages::words::clinician as words;
use serde_json::Value;

use crate::error::GatewayError;

/// Seconds of a mean year, for ages.
const YEAR_SECONDS: i64 = 31_556_952;
/// Numbers of a patient that are shown.
const NUMBERS_MAX: usize = 3;

/// An entry of a Bundle.
pub(super) struct BundleEntry {
    pub(super) mode: Option<String>,
    pub(super) resource: Value,
}

/// An answer of the FHIR face.
pub(super) struct Bundle {
    pub(super) entries: Vec<BundleEntry>,
    /// Where it goes on.
    pub(super) next: Option<String>,
}

/// Reads an answer of the FHIR face.
pub(super) fn bundle(content: &[u8]) -> Result<Bundle, GatewayError> {
    let unreadable = |_| GatewayError::Kept("an answer of this gateway cannot be read");
    let mut bundle: Value = serde_json::from_slice(content).map_err(unreadable)?;
    let entries = bundle.get_mut("entry").and_then(Value::as_array_mut).map(std::mem::take).unwrap_or_default();
    let read = |mut entry: Value| {
        let mode = entry.pointer("/search/mode").and_then(Value::as_str).map(str::to_owned);
        let resource = entry.get_mut("resource").map(Value::take)?;
        Some(BundleEntry { mode, resource })
    };
    let links = bundle.get("link").and_then(Value::as_array).into_iter().flatten();
    let next = links.filter(|link| text(link, "relation") == Some("next")).find_map(|link| text(link, "url"));
    Ok(Bundle { next: next.map(str::to_owned), entries: entries.into_iter().filter_map(read).collect() })
}

/// A text member.
pub(super) fn text<'v>(value: &'v Value, name: &str) -> Option<&'v str> {
    value.get(name)?.as_str().filter(|text| !text.trim().is_empty())
}

/// Type and id of a resource.
pub(super) fn named(resource: &Value) -> Option<(ResourceType, &str)> {
    Some((text(resource, "resourceType")?.parse().ok()?, text(resource, "id")?))
}

/// A patient's name.
pub(super) fn person(patient: &Value) -> String {
    Plain::of(ResourceType::PATIENT, patient).title.unwrap_or_else(|| words::NAMELESS.to_owned())
}

/// Birth date, age, sex and numbers of a patient, in one line.
pub(super) fn about_person(patient: &Value, now: u64) -> String {
    let mut parts = Vec::new();
    let died = text(patient, "deceasedDateTime").and_then(Moment::parse);
    let has_died = died.is_some() || patient.get("deceasedBoolean") == Some(&Value::Bool(true));
    if let Some(born) = text(patient, "birthDate").and_then(Moment::parse) {
        let age = age(&born, now).filter(|_| !has_died);
        parts.push(
            age.map_or_else(|| words::born(&readable(&born)), |years| words::born_and_age(&readable(&born), years)),
        );
    }
    match died {
        Some(died) => parts.push(words::died(&readable(&died))),
        None if has_died => parts.push(words::DIED.to_owned()),
        None => {}
    }
    parts.extend(text(patient, "gender").map(|code| words::sex(code).to_owned()));
    let numbers = patient.get("identifier").and_then(Value::as_array).into_iter().flatten();
    parts.extend(numbers.filter_map(|one| text(one, "value")).take(NUMBERS_MAX).map(|text| words::number(&tidy(text))));
    parts.join(" · ")
}

/// Whole years since a birth whose day is known.
fn age(born: &Moment, now: u64) -> Option<i64> {
    born.day?;
    let years = (i64::try_from(now).ok()? - born.seconds).div_euclid(YEAR_SECONDS);
    (0..150).contains(&years).then_some(years)
}

/// A date as exact as it was written; times in UTC.
pub(super) fn readable(moment: &Moment) -> String {
    if moment.time.is_some()
        && let Ok(seconds) = u64::try_from(moment.seconds)
    {
        return date::moment(seconds);
    }
    let month = moment.month.and_then(|month| words::MONTHS.get(usize::from(month).checked_sub(1)?));
    match (moment.day, month) {
        (Some(day), Some(month)) => format!("{day} {month} {}", moment.year),
        (None, Some(month)) => format!("{month} {}", moment.year),
        _ => moment.year.to_string(),
    }
}

/// What a list says of an entry.
pub(super) struct Line {
    pub(super) what: String,
    pub(super) values: String,
    pub(super) more: Vec<String>,
    pub(super) standing: Option<&'static str>,
    pub(super) when: Option<String>,
    pub(super) by: Option<String>,
}

/// What an entry says. A medicine or a device may stand in a resource of its own, which `find` gets by its reference.
pub(super) fn line_of<'v>(resource: &'v Value, find: &dyn Fn(&str) -> Option<&'v Value>) -> Line {
    let Some((kind, _)) = named(resource) else {
        return Line {
            what: words::UNNAMED.to_owned(),
            values: String::new(),
            more: Vec::new(),
            standing: None,
            when: None,
            by: None,
        };
    };
    let plain = Plain::of(kind, resource);
    let referred = || {
        let reference = ["medicationReference", "device"].iter().find_map(|member| resource.get(member))?;
        let target = find(text(reference, "reference")?)?;
        Plain::of(named(target)?.0, target).title
    };
    let mut more = plain.more.clone();
    more.extend(text(resource, "criticality").map(|code| words::criticality(code).to_owned()));
    Line {
        what: plain.title.clone().or_else(referred).unwrap_or_else(|| words::kind(kind.as_str())),
        values: values(&plain),
        more,
        standing: standing(plain.standing),
        when: plain.at.as_ref().map(readable),
        by: plain.source,
    }
}

/// All values of an entry, in one line.
pub(super) fn values(plain: &Plain) -> String {
    if let Some((upper, lower)) = plain.blood_pressure()
        && let (Some(upper), Some(lower)) = (&upper.amount, &lower.amount)
        && upper.unit == lower.unit
    {
        return format!("{} / {} {}", upper.text, lower.text, upper.unit).trim_end().to_owned();
    }
    let shown = plain.readings.iter().filter_map(|reading| {
        let value = match &reading.amount {
            Some(amount) => format!("{} {}", amount.text, amount.unit).trim().to_owned(),
            None => reading.words.clone()?,
        };
        Some(reading.name.as_ref().map_or_else(|| value.clone(), |name| format!("{name} {value}")))
    });
    shown.collect::<Vec<_>>().join(", ")
}

/// What is to be said where an entry does not simply hold.
fn standing(standing: Standing) -> Option<&'static str> {
    match standing {
        Standing::Current => None,
        Standing::Over => Some(words::OVER),
        Standing::Planned => Some(words::PLANNED),
        Standing::Open => Some(words::UNCERTAIN),
        Standing::Wrong => Some(words::WRONG),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use serde_json::json;

    use super::*;

    #[test]
    fn dates_are_as_exact_as_they_were_written() {
        for (written, wanted) in [
            ("2026-05-04", "4 May 2026"),
            ("1931-12-24", "24 December 1931"),
            ("2026-05", "May 2026"),
            ("2026", "2026"),
            ("2026-05-04T23:30:00+02:00", "4 May 2026, 21:30 UTC"),
        ] {
            assert_eq!(readable(&Moment::parse(written).unwrap()), wanted);
        }
    }

    #[test]
    fn ages_count_whole_years() {
        let at = |text: &str| Moment::parse(text).unwrap();
        let now = u64::try_from(at("2026-11-30").seconds).unwrap();
        for (born, years) in [("1970-05-12", Some(56)), ("2026-11-01", Some(0)), ("1970", None), ("2030-01-01", None)] {
            assert_eq!(age(&at(born), now), years, "{born}");
        }
    }

    #[test]
    fn entries_say_what_they_are_about() {
        let medication = json!({"resourceType": "Medication", "id": "m", "code": {"text": "Aspirin"}});
        let find = |reference: &str| (reference == "Medication/m").then_some(&medication);
        let dose = json!({"resourceType": "MedicationRequest", "id": "r", "status": "active",
            "medicationReference": {"reference": "Medication/m"}, "dosageInstruction": [{"text": "once a day"}]});
        let result = json!({"resourceType": "Observation", "id": "o", "status": "final", "code": {"text": "Potassium"},
            "valueQuantity": {"value": 5.1, "unit": "mmol/L"}});
        let refuted = json!({"resourceType": "Condition", "id": "c", "code": {"text": "Asthma"},
            "verificationStatus": {"coding": [{"code": "refuted"}]}});
        let bare = json!({"resourceType": "Procedure", "id": "p"});
        for (resource, what, values, more, standing) in [
            (&dose, "Aspirin", "", vec!["once a day"], None),
            (&result, "Potassium", "5.1 mmol/L", vec![], None),
            (&refuted, "Asthma", "", vec![], Some(words::WRONG)),
            (&bare, "Procedure", "", vec![], None),
        ] {
            let line = line_of(resource, &find);
            assert_eq!((line.what.as_str(), line.values.as_str(), line.standing), (what, values, standing));
            assert_eq!(line.more, more);
        }
    }
}
