//! What resources say, as people read it: who a patient is, when something was, what an entry is about. Nothing here decides
//! what may be shown.

use sealwort_fhir::ResourceType;
use sealwort_fhir::plain::{Moment, Names, Plain, Reading, Standing, tidy};
use sealwort_pages::words::{clinician as words, portal};
use serde_json::Value;

use super::visit::Visit;
use crate::error::GatewayError;

/// Seconds of a day, for ages.
const DAY_SECONDS: i64 = 86_400;
/// Who would be older was born in another year than is written.
const AGE_MONTHS_MAX: i32 = 150 * 12;
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
pub(super) fn about_person(patient: &Value, visit: &Visit) -> String {
    about(patient, visit.gateway.sessions.now().as_secs(), visit.gateway.sign_in.patient_system())
}

/// The same; numbers of `system` come first.
fn about(patient: &Value, now: u64, system: &str) -> String {
    let mut parts = Vec::new();
    let died = text(patient, "deceasedDateTime").and_then(Moment::parse);
    let has_died = died.is_some() || patient.get("deceasedBoolean") == Some(&Value::Bool(true));
    if let Some(born) = text(patient, "birthDate").and_then(Moment::parse) {
        let age = age(&born, now).filter(|_| !has_died);
        let born = readable(&born);
        parts.push(age.map_or_else(|| words::born(&born), |age| words::born_and_age(&born, &age)));
    }
    match died {
        Some(died) => parts.push(words::died(&readable(&died))),
        None if has_died => parts.push(words::DIED.to_owned()),
        None => {}
    }
    parts.extend(text(patient, "gender").map(|code| words::sex(code).to_owned()));
    parts.extend(numbers(patient, system).into_iter().take(NUMBERS_MAX).filter_map(|one| {
        let number = tidy(text(one, "value")?);
        Some(words::number(kind_of_number(one).as_deref(), &number))
    }));
    parts.join(" · ")
}

/// The numbers of a patient that are in use; those of the hospital's own kind first.
pub(super) fn numbers<'v>(patient: &'v Value, system: &str) -> Vec<&'v Value> {
    let all = patient.get("identifier").and_then(Value::as_array).into_iter().flatten();
    let in_use = all.filter(|one| text(one, "value").is_some() && text(one, "use") != Some("old"));
    let mut numbers: Vec<&Value> = in_use.collect();
    numbers.sort_by_key(|one| text(one, "system") != Some(system));
    numbers
}

/// What kind of number it is, in the record's own word, or the last one of its system: `mrn`.
fn kind_of_number(number: &Value) -> Option<String> {
    let coded = || number.pointer("/type/coding/0").and_then(|one| text(one, "display").or_else(|| text(one, "code")));
    let named = number.get("type").and_then(|one| text(one, "text")).or_else(coded);
    let of_system = || text(number, "system")?.trim_end_matches('/').rsplit('/').next();
    named.or_else(of_system).map(tidy)
}

/// The age of somebody whose day of birth is known.
fn age(born: &Moment, now: u64) -> Option<String> {
    let (born_month, born_day) = (born.month?, born.day?);
    let now = time::OffsetDateTime::from_unix_timestamp(i64::try_from(now).ok()?).ok()?;
    let days = now.unix_timestamp().div_euclid(DAY_SECONDS) - born.seconds.div_euclid(DAY_SECONDS);
    // A month is full when its day has come.
    let months = (now.year() - born.year) * 12 + i32::from(u8::from(now.month())) - i32::from(born_month);
    let months = months - i32::from(now.day() < born_day);
    (days >= 0 && months < AGE_MONTHS_MAX).then(|| words::age(months / 12, months, days))
}

/// A date as exact as it was written; a time in its own zone, which is said.
pub(super) fn readable(moment: &Moment) -> String {
    let time = moment.time.as_ref().map(|time| (time.hour, time.minute, time.offset_minutes));
    portal::date(moment.year, moment.month, moment.day, time)
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
    let plain = Plain::called(kind, resource, Names::OfTheData);
    let referred = || {
        let reference = ["medicationReference", "device"].iter().find_map(|member| resource.get(member))?;
        let target = find(text(reference, "reference")?)?;
        Plain::called(named(target)?.0, target, Names::OfTheData).title
    };
    let mut more = plain.more.clone();
    more.extend(text(resource, "criticality").map(|code| words::criticality(code).to_owned()));
    Line {
        what: plain.title.clone().or_else(referred).unwrap_or_else(|| words::kind(kind.as_str())),
        values: if kind.as_str() == "Observation" { said(&plain, resource) } else { values(&plain) },
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
        let value = value_of(reading)?;
        Some(reading.name.as_ref().map_or_else(|| value.clone(), |name| format!("{name} {value}")))
    });
    shown.collect::<Vec<_>>().join(", ")
}

/// A value without its name.
pub(super) fn value_of(reading: &Reading) -> Option<String> {
    match &reading.amount {
        Some(amount) => Some(amount.with_unit()),
        None => reading.words.clone(),
    }
}

/// The values of an observation, or that it has none, with the reason as far as one is given. Of a panel whose values are
/// entries of their own there is nothing to say.
pub(super) fn said(plain: &Plain, observation: &Value) -> String {
    let values = values(plain);
    if !values.is_empty() {
        return values;
    }
    let reason = observation.get("dataAbsentReason");
    if reason.is_none() && observation.get("hasMember").is_some() {
        return values;
    }
    let of_reason = reason.and_then(|reason| {
        let coding = || reason.pointer("/coding/0").and_then(|one| text(one, "display").or_else(|| text(one, "code")));
        text(reason, "text").or_else(coding)
    });
    let notes = observation.get("note").and_then(Value::as_array).into_iter().flatten();
    let told: Vec<String> = of_reason.into_iter().chain(notes.filter_map(|one| text(one, "text"))).map(tidy).collect();
    words::no_value(&told.join(". "))
}

/// What is to be said where an entry does not simply hold.
fn standing(standing: Standing) -> Option<&'static str> {
    match standing {
        Standing::Current => None,
        Standing::Over => Some(words::OVER),
        Standing::Planned => Some(words::PLANNED),
        Standing::Open => Some(words::UNCERTAIN),
        Standing::NotDone => Some(words::NOT_DONE),
        Standing::Forbidden => Some(words::FORBIDDEN),
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
            ("2026-05-05T00:30:00+02:00", "5 May 2026, 00:30 (UTC+02:00)"),
            ("2026-05-05T00:30:00Z", "5 May 2026, 00:30 UTC"),
        ] {
            assert_eq!(readable(&Moment::parse(written).unwrap()), wanted);
        }
    }

    #[test]
    fn ages_change_on_birthdays() {
        let at = |text: &str| Moment::parse(text).unwrap();
        for (born, now, wanted) in [
            ("1970-05-12", "2026-11-30", Some("56 years")),
            ("2005-03-01", "2023-02-28T23:59:59Z", Some("17 years")),
            ("2005-03-01", "2023-03-01T00:00:00Z", Some("18 years")),
            ("2004-02-29", "2022-02-28", Some("17 years")),
            ("2004-02-29", "2022-03-01", Some("18 years")),
            ("2024-11-30", "2026-11-30", Some("2 years")),
            ("2024-12-01", "2026-11-30", Some("23 months")),
            ("2026-10-01", "2026-11-30", Some("60 days")),
            ("2026-11-29", "2026-11-30", Some("1 day")),
            ("1970", "2026-11-30", None),
            ("2030-01-01", "2026-11-30", None),
            ("1800-01-01", "2026-11-30", None),
        ] {
            let now = u64::try_from(at(now).seconds).unwrap();
            assert_eq!(age(&at(born), now).as_deref(), wanted, "{born}, {now}");
        }
    }

    #[test]
    fn numbers_say_their_kind_and_the_hospitals_own_comes_first() {
        let patient = json!({"resourceType": "Patient", "identifier": [
            {"system": "http://hl7.org/fhir/sid/us-ssn", "value": "999-12-3456"},
            {"system": "https://hospital.example/mrn", "value": "0815", "use": "old"},
            {"type": {"text": "Driving licence"}, "value": "S999"},
            {"system": "https://hospital.example/mrn", "value": "4711"}]});
        let about = about(&patient, 0, "https://hospital.example/mrn");
        assert_eq!(about, "mrn: 4711 · us-ssn: 999-12-3456 · Driving licence: S999");
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
