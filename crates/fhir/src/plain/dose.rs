//! How a medicine is given or taken, in one line: the text that the data has for it, else its parts in words (R4, Dosage and
//! Timing). What cannot be told in words is said to stand in the original, so that nobody takes a part for the whole.

use serde_json::Value;

use super::reading::{End, amount};
use super::tidy;
use crate::display::{choice, codes, concept, text};

/// All that a resource says of it; nothing where it says nothing.
pub(super) fn doses(resource: &Value) -> Option<String> {
    let all = resource.get("dosageInstruction").or_else(|| resource.get("dosage"))?;
    let mut all: Vec<&Value> = match all {
        Value::Array(list) => list.iter().filter(|one| one.is_object()).collect(),
        one if one.is_object() => vec![one],
        _ => return None,
    };
    let sequence = |dosage: &Value| dosage.get("sequence").and_then(Value::as_u64);
    if all.iter().all(|one| sequence(one).is_some()) {
        all.sort_by_key(|one| sequence(one));
    }
    let mut told = String::new();
    let mut before = None;
    for (at, dosage) in all.iter().enumerate() {
        let place = sequence(dosage);
        if at > 0 {
            told.push_str(if place > before && before.is_some() { "; then " } else { "; " });
        }
        if at == DOSES_MAX {
            told.push_str(REST);
            break;
        }
        told.push_str(&of(dosage));
        before = place;
    }
    (!told.is_empty()).then_some(told)
}

fn of(dosage: &Value) -> String {
    if let Some(written) = text(dosage, "text") {
        let told = tidy(written);
        return if told.ends_with('…') { format!("{told}, {REST}") } else { told };
    }
    let mut told = Told::default();
    told.doses(dosage);
    for member in ["route", "method", "site"] {
        told.member(dosage, member, concept);
    }
    if let Some(timing) = dosage.get("timing") {
        told.timing(timing);
    }
    match choice(dosage, "asNeeded") {
        Some(("Boolean", Value::Bool(true))) => told.push("as needed".to_owned()),
        Some(("CodeableConcept", reason)) => {
            told.push(
                concept(reason).map_or_else(|| "as needed".to_owned(), |reason| format!("as needed for {reason}")),
            );
        }
        _ => {}
    }
    told.member(dosage, "maxDosePerPeriod", |most| ratio(most).map(|most| format!("at most {most}")));
    told.member(dosage, "maxDosePerAdministration", |most| {
        quantity(most).map(|most| format!("at most {most} at once"))
    });
    told.member(dosage, "maxDosePerLifetime", |most| quantity(most).map(|most| format!("at most {most} in all")));
    for instruction in dosage.get("additionalInstruction").and_then(Value::as_array).into_iter().flatten() {
        told.some(concept(instruction));
    }
    // It goes with the dose, and says as a rule nothing of how much.
    told.parts.extend(text(dosage, "patientInstruction").map(tidy));
    told.finish()
}

/// What could be told, and whether something could not.
#[derive(Default)]
struct Told {
    parts: Vec<String>,
    has_rest: bool,
}

impl Told {
    fn push(&mut self, part: String) {
        self.parts.push(part);
    }

    /// What is there, and may be beyond words.
    fn some(&mut self, part: Option<String>) {
        match part {
            Some(part) => self.push(part),
            None => self.has_rest = true,
        }
    }

    fn member(&mut self, of: &Value, name: &str, words: impl Fn(&Value) -> Option<String>) {
        if let Some(value) = of.get(name) {
            self.some(words(value));
        }
    }

    /// How much, and how fast.
    fn doses(&mut self, dosage: &Value) {
        let all: Vec<&Value> = dosage.get("doseAndRate").and_then(Value::as_array).into_iter().flatten().collect();
        // A dose that was calculated is none that was ordered.
        let is_ordered =
            |one: &Value| one.get("type").is_some_and(|kind| codes(kind).any(|(_, code)| code == "ordered"));
        let has_ordered = all.iter().any(|one| is_ordered(one));
        for one in all.into_iter().filter(|one| !has_ordered || is_ordered(one)) {
            if let Some((_, dose)) = choice(one, "dose") {
                self.some(quantity(dose));
            }
            self.rate(one);
        }
        // Of a MedicationAdministration.
        self.member(dosage, "dose", quantity);
        self.rate(dosage);
    }

    fn rate(&mut self, of: &Value) {
        if let Some((suffix, rate)) = choice(of, "rate") {
            let words = if suffix == "Ratio" { ratio(rate) } else { quantity(rate) };
            self.some(words.map(|rate| format!("at {rate}")));
        }
    }

    fn timing(&mut self, timing: &Value) {
        let repeat = timing.get("repeat");
        let at = |name: &str| repeat.and_then(|repeat| repeat.get(name));
        if let Some(code) = timing.get("code") {
            // It says all that the parts do, but for the bounds.
            self.some(abbreviation(code).map(str::to_owned).or_else(|| concept(code)));
        } else {
            let has_frequency = ["frequency", "frequencyMax", "period", "periodMax", "periodUnit"];
            if has_frequency.iter().any(|name| at(name).is_some()) {
                self.some(frequency(&at));
            }
            if let Some(days) = at("dayOfWeek") {
                self.some(each(days, day).map(|days| format!("on {days}")));
            }
            if let Some(times) = at("timeOfDay") {
                let clock =
                    |time: &str| Some(time.strip_suffix(":00").filter(|it| it.len() == 5).unwrap_or(time).to_owned());
                self.some(each(times, clock).map(|times| format!("at {times}")));
            }
            if let Some(when) = at("when") {
                self.some(each(when, |code| event(code).map(str::to_owned)));
            }
            if let Some(length) = at("duration") {
                self.some(
                    spans(Some(length), at("durationMax"), at("durationUnit")).map(|length| format!("over {length}")),
                );
            }
            if let Some(count) = at("count") {
                self.some(
                    number(count)
                        .map(|count| if is_one(&count) { "once".to_owned() } else { format!("{count} times in all") }),
                );
            }
            let is_told = |name: &String| REPEAT_TOLD.contains(&name.as_str()) || name.starts_with("bounds");
            let members = repeat.and_then(Value::as_object).into_iter().flat_map(|repeat| repeat.keys());
            self.has_rest |= members.into_iter().any(|name| !is_told(name)) || timing.get("event").is_some();
        }
        match repeat.and_then(|repeat| choice(repeat, "bounds")) {
            Some(("Period", period)) => {
                let day = |name: &str| text(period, name);
                self.some(match (day("start"), day("end")) {
                    (Some(start), Some(end)) => Some(format!("from {start} to {end}")),
                    (Some(start), None) => Some(format!("from {start}")),
                    (None, Some(end)) => Some(format!("until {end}")),
                    (None, None) => None,
                });
            }
            Some((_, span)) => self.some(quantity(span).map(|span| format!("for {span}"))),
            None => {}
        }
    }

    fn finish(mut self) -> String {
        self.parts = self.parts.iter().map(|part| tidy(part)).filter(|part| !part.is_empty()).collect();
        match (self.parts.is_empty(), self.has_rest) {
            (true, _) => "dose: see the original".to_owned(),
            (false, true) => format!("{}, {REST}", self.parts.join(", ")),
            (false, false) => self.parts.join(", "),
        }
    }
}

/// A Quantity, or a Range of them; of a span of time with the unit in words.
fn quantity(value: &Value) -> Option<String> {
    if value.get("low").is_some() || value.get("high").is_some() {
        return match (value.get("low").map(amount), value.get("high").map(amount)) {
            (Some(Some(low)), Some(Some(high))) if low.unit == high.unit => {
                Some(format!("{} to {}", low.text, high.with_unit()))
            }
            (Some(Some(low)), Some(Some(high))) => Some(format!("{} to {}", low.with_unit(), high.with_unit())),
            (Some(Some(low)), None) => Some(format!("{} or more", low.with_unit())),
            (None, Some(Some(high))) => Some(format!("up to {}", high.with_unit())),
            _ => None,
        };
    }
    let plain = amount(value)?;
    let unit = time_unit(text(value, "code").unwrap_or_default());
    Some(unit.map_or_else(|| plain.with_unit(), |unit| several(&plain.text, unit)))
}

/// `4 g per day`.
fn ratio(value: &Value) -> Option<String> {
    let upper = quantity(value.get("numerator")?)?;
    let lower = quantity(value.get("denominator")?)?;
    Some(format!("{upper} per {}", lower.strip_prefix("1 ").unwrap_or(&lower)))
}

/// `twice a day`, `every 4 to 6 hours`, `3 times every 2 weeks`.
fn frequency<'v>(at: &impl Fn(&str) -> Option<&'v Value>) -> Option<String> {
    let unit = time_unit(at("periodUnit")?.as_str()?)?;
    // Once, where it is not said (R4, Timing.repeat.frequency).
    let often = at("frequency").map_or_else(|| Some("1".to_owned()), number)?;
    let often = match at("frequencyMax") {
        Some(most) => Some(format!("{often} to {} times", number(most)?)),
        None if is_one(&often) => None,
        None if often == "2" => Some("twice".to_owned()),
        None => Some(format!("{often} times")),
    };
    let period = at("period")?;
    let is_single = is_one(&number(period)?) && at("periodMax").is_none();
    let article = if unit == "hour" { "an" } else { "a" };
    Some(match (often, is_single) {
        (None, true) => format!("once {article} {unit}"),
        (Some(often), true) => format!("{often} {article} {unit}"),
        (None, false) => format!("every {}", spans(Some(period), at("periodMax"), at("periodUnit"))?),
        (Some(often), false) => format!("{often} every {}", spans(Some(period), at("periodMax"), at("periodUnit"))?),
    })
}

fn spans(from: Option<&Value>, to: Option<&Value>, unit: Option<&Value>) -> Option<String> {
    let (from, unit) = (number(from?)?, time_unit(unit?.as_str()?)?);
    Some(match to {
        Some(to) => format!("{from} to {}", several(&number(to)?, unit)),
        None => several(&from, unit),
    })
}

fn several(count: &str, unit: &str) -> String {
    format!("{count} {unit}{}", if is_one(count) { "" } else { "s" })
}

fn number(value: &Value) -> Option<String> {
    End::of(value).map(|end| end.text().to_owned())
}

fn is_one(number: &str) -> bool {
    matches!(number, "1" | "1.0")
}

/// Words in a list, all of them or none.
fn each(list: &Value, words: impl Fn(&str) -> Option<String>) -> Option<String> {
    let all: Option<Vec<String>> = list.as_array()?.iter().map(|one| words(one.as_str()?)).collect();
    all.filter(|all| !all.is_empty()).map(|all| all.join(" and "))
}

/// Units of time, of UCUM.
fn time_unit(code: &str) -> Option<&'static str> {
    Some(match code {
        "s" => "second",
        "min" => "minute",
        "h" => "hour",
        "d" => "day",
        "wk" => "week",
        "mo" => "month",
        "a" => "year",
        _ => return None,
    })
}

fn day(code: &str) -> Option<String> {
    let name = match code {
        "mon" => "Monday",
        "tue" => "Tuesday",
        "wed" => "Wednesday",
        "thu" => "Thursday",
        "fri" => "Friday",
        "sat" => "Saturday",
        "sun" => "Sunday",
        _ => return None,
    };
    Some(name.to_owned())
}

/// Codes of R4's `event-timing`.
fn event(code: &str) -> Option<&'static str> {
    Some(match code {
        "MORN" => "in the morning",
        "MORN.early" => "early in the morning",
        "MORN.late" => "late in the morning",
        "NOON" => "at noon",
        "AFT" => "in the afternoon",
        "AFT.early" => "early in the afternoon",
        "AFT.late" => "late in the afternoon",
        "EVE" => "in the evening",
        "EVE.early" => "early in the evening",
        "EVE.late" => "late in the evening",
        "NIGHT" => "at night",
        "PHS" => "after going to sleep",
        "HS" => "before going to sleep",
        "WAKE" => "after waking",
        "C" => "with a meal",
        "CM" => "with breakfast",
        "CD" => "with lunch",
        "CV" => "with dinner",
        "AC" => "before a meal",
        "ACM" => "before breakfast",
        "ACD" => "before lunch",
        "ACV" => "before dinner",
        "PC" => "after a meal",
        "PCM" => "after breakfast",
        "PCD" => "after lunch",
        "PCV" => "after dinner",
        _ => return None,
    })
}

/// Codes of R4's `timing-abbreviation`.
fn abbreviation(timing: &Value) -> Option<&'static str> {
    let mut known = codes(timing).filter(|(system, _)| system.is_empty() || system.ends_with("GTSAbbreviation"));
    known.find_map(|(_, code)| {
        Some(match code {
            "QD" => "once a day",
            "BID" => "twice a day",
            "TID" => "3 times a day",
            "QID" => "4 times a day",
            "QOD" => "every other day",
            "AM" => "every morning",
            "PM" => "every afternoon",
            "BED" => "at bedtime",
            "WK" => "weekly",
            "MO" => "monthly",
            "Q1H" => "every hour",
            "Q2H" => "every 2 hours",
            "Q3H" => "every 3 hours",
            "Q4H" => "every 4 hours",
            "Q6H" => "every 6 hours",
            "Q8H" => "every 8 hours",
            _ => return None,
        })
    })
}

/// Parts of `Timing.repeat` that are told; its bounds are as well.
const REPEAT_TOLD: &[&str] = &[
    "frequency",
    "frequencyMax",
    "period",
    "periodMax",
    "periodUnit",
    "dayOfWeek",
    "timeOfDay",
    "when",
    "duration",
    "durationMax",
    "durationUnit",
    "count",
];
/// Said where not all could be told.
const REST: &str = "more in the original";
/// Dosages of one medicine.
const DOSES_MAX: usize = 8;
