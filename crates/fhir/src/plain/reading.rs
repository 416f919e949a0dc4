//! Values with their units and the ranges that came with them, every number as it was written.

use serde_json::Value;

use super::{Names, names, tidy, unit};
use crate::display::{choice, codes, concept, line, text};

/// One end of a range.
#[derive(Clone, Debug, PartialEq)]
pub struct End {
    /// The number with every digit that was written.
    text: String,
    /// The number to compare with and to draw.
    pub number: f64,
}

/// A range in which values are usual, as the data says.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Usual {
    /// Lowest usual value.
    pub low: Option<End>,
    /// Highest usual value.
    pub high: Option<End>,
}

/// A number with its unit.
#[derive(Clone, Debug, PartialEq)]
pub struct Amount {
    /// The number with every digit that was written, and `<` and the like before it.
    pub text: String,
    /// The number to draw; none where it is only a bound or too large.
    pub number: Option<f64>,
    /// The unit for people; empty where there is none.
    pub unit: String,
}

/// A value, alone or one of several.
#[derive(Clone, Debug, PartialEq)]
pub struct Reading {
    /// What it is, where it is one of several.
    pub name: Option<String>,
    /// Its code, by which values of the same belong together.
    pub series: Option<String>,
    /// The number.
    pub amount: Option<Amount>,
    /// The value in words, where it is no number; or why there is no value.
    pub words: Option<String>,
    /// Whether this part of something has no value, and the words say why.
    pub is_missing: bool,
    /// The usual range, in the unit of the number.
    pub usual: Option<Usual>,
}

/// The value of a resource, which has no name of its own, and those of its parts.
pub(super) fn readings(resource: &Value, named: Names) -> Vec<Reading> {
    let mut found = Vec::new();
    if let Some(own) = reading(resource, named).filter(|own| !own.is_missing) {
        found.push(Reading { name: None, ..own });
    }
    let parts = resource.get("component").and_then(Value::as_array);
    found.extend(parts.into_iter().flatten().take(READINGS_MAX).filter_map(|part| reading(part, named)));
    found
}

fn reading(element: &Value, named: Names) -> Option<Reading> {
    let value = choice(element, "value");
    let amount = value.filter(|(suffix, _)| *suffix == "Quantity").and_then(|(_, value)| amount(value));
    let words = value.and_then(|(suffix, value)| match suffix {
        "CodeableConcept" => concept(value),
        "String" | "Integer" | "Boolean" | "Range" | "Ratio" | "Period" | "DateTime" | "Time" => line(value),
        _ => None,
    });
    let words = words.map(|words| tidy(&words)).filter(|words| !words.is_empty());
    let missing = if amount.is_none() && words.is_none() { Some(reason(element)?) } else { None };
    let code = element.get("code");
    let usual = amount.as_ref().zip(value).and_then(|(amount, (_, value))| usual(element, value, amount));
    Some(Reading {
        name: code.and_then(|code| named.of(code)),
        series: code.and_then(names::series),
        amount,
        is_missing: missing.is_some(),
        words: words.or(missing),
        usual,
    })
}

/// Why there is no value, where the data says so.
fn reason(element: &Value) -> Option<String> {
    let absent = element.get("dataAbsentReason")?;
    let reason = tidy(&concept(absent)?.replace('-', " ")).to_lowercase();
    Some(format!("no value: {}", if reason.is_empty() { "unknown" } else { &reason }))
}

/// A Quantity.
pub(super) fn amount(quantity: &Value) -> Option<Amount> {
    let End { text: written, number } = End::of(quantity.get("value")?)?;
    let comparator = text(quantity, "comparator").filter(|one| matches!(*one, "<" | "<=" | ">" | ">="));
    let unit = text(quantity, "unit").or_else(|| text(quantity, "code")).map(unit).unwrap_or_default();
    Some(Amount {
        text: comparator.map_or(written.clone(), |comparator| format!("{comparator} {written}")),
        number: Some(number).filter(|number| number.is_finite() && comparator.is_none()),
        unit,
    })
}

impl End {
    /// As it is written.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// A number as it is written; what is too long to read, by its power of ten.
    pub(super) fn of(number: &Value) -> Option<Self> {
        let whole = number.as_number()?.to_string();
        let number = number.as_f64();
        let text = match number {
            Some(value) if whole.len() > NUMBER_CHARACTERS_MAX => format!("{value:e}"),
            _ => whole,
        };
        Some(Self { text, number: number.unwrap_or(f64::INFINITY) })
    }
}

impl Amount {
    /// With its unit.
    pub fn with_unit(&self) -> String {
        format!("{} {}", self.text, self.unit).trim_end().to_owned()
    }
}

/// The range that the data calls usual, for everybody and in the value's own unit. Nothing is converted.
fn usual(element: &Value, quantity: &Value, amount: &Amount) -> Option<Usual> {
    let same_unit = |end: &Value| {
        let code = |of: &Value| text(of, "code").or_else(|| text(of, "unit")).map(unit);
        code(end).is_none_or(|of_end| Some(&of_end) == code(quantity).as_ref() || of_end == amount.unit)
    };
    let end = |range: &Value, name: &str| {
        let end = range.get(name).filter(|end| same_unit(end))?;
        End::of(end.get("value")?).filter(|end| end.number.is_finite())
    };
    let ranges = element.get("referenceRange").and_then(Value::as_array)?;
    let is_normal = |range: &&Value| {
        let is_usual = range.get("type").is_none_or(|kind| codes(kind).any(|(_, code)| code == "normal"));
        is_usual && range.get("appliesTo").is_none() && range.get("age").is_none()
    };
    let of = |range: &Value| Usual { low: end(range, "low"), high: end(range, "high") };
    let sound = |usual: &Usual| match (&usual.low, &usual.high) {
        (None, None) => false,
        (Some(low), Some(high)) => low.number <= high.number,
        _ => true,
    };
    // Of several, nobody here can tell which one is for this patient.
    let mut found = ranges.iter().filter(is_normal).map(of).filter(sound);
    found.next().filter(|_| found.next().is_none())
}

/// Parts of one observation that are shown.
const READINGS_MAX: usize = 40;
/// Longest number that is shown digit by digit; a longer one by its power of ten.
const NUMBER_CHARACTERS_MAX: usize = 24;
