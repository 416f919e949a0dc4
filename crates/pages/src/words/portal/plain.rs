//! Kinds of things, whether they count, dates, and usual ranges.

use crate::words::shared::MONTHS;

/// One thing of a kind, by its name in addresses.
pub fn kind(name: &str) -> &'static str {
    match name {
        "vital" => "Measurement",
        "result" => "Test result",
        "report" => "Report",
        "condition" => "Condition",
        "allergy" => "Allergy",
        "medicine" => "Medicine",
        "vaccine" => "Vaccine",
        "procedure" => "Procedure",
        "visit" => "Visit",
        "appointment" => "Appointment",
        "document" => "Document",
        "plan" => "Plan",
        "device" => "Device",
        "message" => "Message",
        "consent" => "Decision about sharing",
        "payment" => "Bill or insurance",
        "person" => "Person or place",
        _ => "Other",
    }
}

/// Several of them.
pub fn kinds(name: &str) -> &'static str {
    match name {
        "vital" => "Measurements",
        "result" => "Test results",
        "report" => "Reports",
        "condition" => "Conditions",
        "allergy" => "Allergies",
        "medicine" => "Medicines",
        "vaccine" => "Vaccines",
        "procedure" => "Procedures",
        "visit" => "Visits",
        "appointment" => "Appointments",
        "document" => "Documents",
        "plan" => "Plans",
        "device" => "Devices",
        "message" => "Messages",
        "consent" => "Decisions about sharing",
        "payment" => "Bills and insurance",
        "person" => "People and places",
        _ => "Everything else",
    }
}

/// Something that has no name in the record.
pub fn unnamed(kind_name: &str) -> String {
    format!("{} without a name", kind(kind_name))
}

pub const OVER: &str = "no longer";
pub const PLANNED: &str = "planned";
pub const OPEN: &str = "not final";
pub const NOT_DONE: &str = "was not done or given";
pub const FORBIDDEN: &str = "must not be done or given";
pub const WRONG: &str = "marked as a mistake";

/// A date as exact as it was written; a time with its zone: hour, minute, and minutes east of UTC.
pub fn date(year: i32, month: Option<u8>, day: Option<u8>, time: Option<(u8, u8, i16)>) -> String {
    let name = month.and_then(|month| MONTHS.get(usize::from(month).checked_sub(1)?));
    let date = match (name, day) {
        (Some(name), Some(day)) => format!("{day} {name} {year}"),
        (Some(name), None) => format!("{name} {year}"),
        (None, _) => year.to_string(),
    };
    match time {
        None => date,
        Some((hour, minute, 0)) => format!("{date}, {hour:02}:{minute:02} UTC"),
        Some((hour, minute, east)) => {
            let (sign, east) = (if east < 0 { '-' } else { '+' }, east.unsigned_abs());
            format!("{date}, {hour:02}:{minute:02} (UTC{sign}{:02}:{:02})", east / 60, east % 60)
        }
    }
}

pub const NO_DATE: &str = "no date";
pub const WITHIN_USUAL: &str = "within the usual range";
pub const ABOVE_USUAL: &str = "above the usual range";
pub const BELOW_USUAL: &str = "below the usual range";

/// The usual range in words.
pub fn usual(low: Option<&str>, high: Option<&str>, unit: &str) -> String {
    let range = match (low, high) {
        (Some(low), Some(high)) => format!("{low} to {high}"),
        (Some(low), None) => format!("{low} or more"),
        (None, Some(high)) => format!("{high} or less"),
        (None, None) => return String::new(),
    };
    format!("Usual, says the record: {range} {unit}").trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_as_exact_as_they_were() {
        for (parts, expected) in [
            ((2020, None, None, None), "2020"),
            ((2020, Some(2), None, None), "February 2020"),
            ((2020, Some(2), Some(9), None), "9 February 2020"),
            ((2020, Some(2), Some(9), Some((7, 5, 0))), "9 February 2020, 07:05 UTC"),
            ((2020, Some(2), Some(9), Some((7, 5, 90))), "9 February 2020, 07:05 (UTC+01:30)"),
            ((2020, Some(2), Some(9), Some((7, 5, -300))), "9 February 2020, 07:05 (UTC-05:00)"),
            ((2020, Some(13), Some(9), None), "2020"),
            ((2020, Some(0), None, None), "2020"),
        ] {
            assert_eq!(date(parts.0, parts.1, parts.2, parts.3), expected);
        }
    }

    #[test]
    fn ranges_are_said_as_far_as_they_go() {
        assert_eq!(usual(Some("4"), Some("6"), "mmol/L"), "Usual, says the record: 4 to 6 mmol/L");
        assert_eq!(usual(None, Some("6"), ""), "Usual, says the record: 6 or less");
        assert_eq!(usual(None, None, "x"), "");
    }
}
