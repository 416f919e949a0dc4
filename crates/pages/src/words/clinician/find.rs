//! Finding a patient, and for which purpose.

/// First part of the form.
pub const BY_IDENTIFIER: &str = "By identifier";
/// Field.
pub const IDENTIFIER: &str = "Patient's number";
/// How to fill it.
pub const IDENTIFIER_HOW: &str =
    "Record number or insurance number. For a patient who is new here choose its kind, or write kind|number.";
/// Field.
pub const SYSTEM: &str = "Kind of number";
/// No kind.
pub const ANY_SYSTEM: &str = "Any that this hospital knows";
/// Second part of the form.
pub const BY_NAME: &str = "Or by name and birth date";
/// Among whom.
pub const BY_NAME_HOW: &str = "Finds patients whom this hospital knows already, for treatment alone.";
/// Field.
pub const FAMILY: &str = "Family name";
/// Field.
pub const GIVEN: &str = "Given name";
/// Field.
pub const BIRTH_DATE: &str = "Birth date";
/// Field: the purpose of use.
pub const PURPOSE: &str = "Purpose";
/// What it does.
pub const PURPOSE_HOW: &str = "The patient's consent decides by it, and it stands in the patient's access log.";
/// Sends the form.
pub const OPEN: &str = "Find and open";
/// Nobody was found.
pub const NOBODY: &str =
    "Nobody is found. Check the number and its kind. A patient who was never treated here is found by number and kind.";
/// The form was empty.
pub const NOTHING_ASKED: &str = "Write a number, or a name or birth date, then look again.";
/// Somebody without a name.
pub const NAMELESS: &str = "No name recorded";
/// Back to the first page.
pub const FIND_ANOTHER: &str = "Find another patient";
/// Back.
pub const BACK: &str = "Back to the first page";

/// Head of a list that is not whole.
pub fn found_more(count: usize) -> String {
    format!("More than {count} patients are found. These are the first {count}: write the birth date, too")
}

/// Head of the list.
pub fn found(count: usize) -> String {
    format!("{count} patients are found")
}

/// Purposes of use that may be chosen, with their codes (HL7 v3-PurposeOfUse). The first is set already.
pub const PURPOSES: [(&str, &str); 7] = [
    ("TREAT", "Treatment"),
    ("ETREAT", "Emergency treatment"),
    ("PATRQT", "At the patient's request"),
    ("HPAYMT", "Payment"),
    ("HOPERAT", "Hospital operations"),
    ("HRESCH", "Research"),
    ("PUBHLTH", "Public health"),
];
/// The purpose of an emergency access.
pub const BREAKING: &str = "Emergency access";
/// Takes the purpose that is chosen.
pub const CHANGE: &str = "Change";

/// A purpose by its code.
pub fn purpose(code: &str) -> &'static str {
    PURPOSES.iter().find(|(known, _)| *known == code).map_or(BREAKING, |(_, text)| text)
}
