//! The patient at the top of each page, and the allergies.

/// Names the banner.
pub const PATIENT: &str = "Patient";
/// Without a date.
pub const DIED: &str = "died";

/// Birth date.
pub fn born(date: &str) -> String {
    format!("born {date}")
}

/// Birth date and age.
pub fn born_and_age(date: &str, age: &str) -> String {
    format!("born {date} ({age})")
}

/// An age in full units, the smaller the younger somebody is: years, from two on; months; days.
pub fn age(years: i32, months: i32, days: i64) -> String {
    let (count, unit) = match (years, months) {
        (2.., _) => (i64::from(years), "year"),
        (_, 2..) => (i64::from(months), "month"),
        _ => (days, "day"),
    };
    format!("{count} {unit}{}", if count == 1 { "" } else { "s" })
}

/// Date of death.
pub fn died(date: &str) -> String {
    format!("died {date}")
}

/// Sex, by the code of FHIR.
pub fn sex(code: &str) -> &'static str {
    match code {
        "female" => "female",
        "male" => "male",
        "other" => "other sex",
        _ => "sex unknown",
    }
}

/// A patient's number, with what kind of number it is.
pub fn number(kind: Option<&str>, number: &str) -> String {
    match kind {
        Some(kind) => format!("{kind}: {number}"),
        None => format!("no. {number}"),
    }
}

/// Heads the allergies.
pub const ALLERGIES: &str = "Allergies";
/// The record has no entry about allergies.
pub const ALLERGIES_NOT_RECORDED: &str =
    "No allergies recorded. Nobody has noted whether there are any: ask the patient.";
/// The same where a part of the record is withheld.
pub const ALLERGIES_NONE_SEEN: &str = "No allergy is among what you may see: ask the patient.";
/// An allergy without a name.
pub const UNNAMED_ALLERGY: &str = "an allergy without a name";

/// Somebody asked, and noted that there is none, of all or of some kind.
pub fn allergies_none_known(title: &str, when: Option<&str>, uncertain: Option<&str>) -> String {
    let noted = when.map_or_else(|| "noted without a date".to_owned(), |when| format!("noted {when}"));
    match uncertain {
        Some(uncertain) => format!("{title} ({noted}, {uncertain})."),
        None => format!("{title} ({noted})."),
    }
}

/// That was said of some kinds alone.
pub const ALLERGIES_OTHERS: &str = "That says nothing of other allergies: ask the patient.";

/// Allergies may be among what is withheld.
pub fn allergies_withheld(count: u64) -> String {
    let (entries, are) = if count == 1 { ("entry", "is") } else { ("entries", "are") };
    format!("{count} {entries} of this record {are} withheld by the patient's consent; allergies may be among them.")
}

/// To the page about that.
pub const WITHHELD_MORE: &str = "What to do";

/// How grave an allergy is, by the code of FHIR.
pub fn criticality(code: &str) -> &'static str {
    match code {
        "high" => "high risk",
        "low" => "low risk",
        _ => "risk not assessed",
    }
}
