//! Words of the clinician's view.

/// What this is.
pub const SURFACE: &str = "Clinician's view";
/// First page, and the navigation's way to it.
pub const FIND: &str = "Find a patient";
/// The IPS.
pub const SUMMARY: &str = "Patient summary";
/// Values over time.
pub const RESULTS: &str = "Results, 12 months";
/// What consent keeps back.
pub const WITHHELD: &str = "Withheld";
/// One entry.
pub const ENTRY: &str = "Entry and its source";
/// Ends the session.
pub const SIGN_OUT: &str = "Sign out";

// Finding.

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

// The patient.

/// Names the banner.
pub const PATIENT: &str = "Patient";
/// Months of dates.
pub const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
/// Without a date.
pub const DIED: &str = "died";

/// Birth date.
pub fn born(date: &str) -> String {
    format!("born {date}")
}

/// Birth date and age.
pub fn born_and_age(date: &str, years: i64) -> String {
    format!("born {date} ({years} years)")
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

/// A patient's number.
pub fn number(number: &str) -> String {
    format!("no. {number}")
}

/// Heads the allergies.
pub const ALLERGIES: &str = "Allergies";
/// The record has no entry about allergies.
pub const ALLERGIES_NOT_RECORDED: &str =
    "No allergies recorded. Nobody has noted whether there are any: ask the patient.";
/// An allergy without a name.
pub const UNNAMED_ALLERGY: &str = "an allergy without a name";

/// Somebody asked, and noted that there is none.
pub fn allergies_none_known(when: Option<&str>) -> String {
    match when {
        Some(when) => format!("None known (noted {when})."),
        None => "None known, as somebody noted without a date.".to_owned(),
    }
}

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

// The summary.

/// What was read.
pub fn summary_of(read_to: u64) -> String {
    format!(
        "International Patient Summary, made now from the patient's record, which was read to entry {read_to} of its log. \
         Each entry says which hospital signed it."
    )
}

/// Names the list of sections.
pub const SECTIONS: &str = "Sections";
/// Nothing in a section.
pub const SECTION_EMPTY: &str = "Nothing is recorded. That is not the same as none known.";
/// Beside that.
pub const SECTION_MAYBE_WITHHELD: &str = "Entries of this record are withheld; some may belong here.";
/// Column.
pub const WHAT: &str = "What";
/// Column.
pub const SAYS: &str = "Details";
/// Column.
pub const WHEN: &str = "When";
/// Column.
pub const SOURCE_COLUMN: &str = "Signed by";
/// No date.
pub const NO_DATE: &str = "no date";
/// An entry without a name.
pub const UNNAMED: &str = "Without a name";
/// It is over.
pub const OVER: &str = "over";
/// It is to come.
pub const PLANNED: &str = "planned";
/// It is not certain, or not final.
pub const UNCERTAIN: &str = "not confirmed or not final";
/// It was written by mistake.
pub const WRONG: &str = "entered in error or refuted";

/// The rest of a section.
pub fn more_entries(count: usize) -> String {
    if count == 1 { "1 more entry".to_owned() } else { format!("{count} more entries") }
}

/// A section, by its code of LOINC.
pub fn section(code: &str) -> &'static str {
    match code {
        "11450-4" => "Problems",
        "48765-2" => "Allergies and intolerances",
        "10160-0" => "Medicines",
        "11369-6" => "Vaccinations",
        "30954-2" => "Results",
        "47519-4" => "Procedures",
        "46264-8" => "Devices",
        "104605-1" => "Alerts",
        "8716-3" => "Vital signs",
        "29762-2" => "Social history",
        "10162-6" => "Pregnancy",
        "11348-0" => "Past illness",
        "47420-5" => "Functional status",
        "18776-5" => "Plan of care",
        "42348-3" => "Advance directives",
        _ => "Other",
    }
}

/// The kind of an entry without a name, by its FHIR type.
pub fn kind(resource_type: &str) -> String {
    let known = match resource_type {
        "AllergyIntolerance" => "Allergy or intolerance",
        "MedicationRequest" => "Prescription",
        "MedicationStatement" => "Medicine taken",
        "Observation" => "Result or observation",
        "Condition" => "Problem or diagnosis",
        "Immunization" => "Vaccination",
        "DiagnosticReport" => "Report",
        "DeviceUseStatement" => "Device in use",
        "CarePlan" => "Plan of care",
        "Flag" => "Alert",
        other => other,
    };
    known.to_owned()
}

// Results.

/// The axis.
pub fn results_span(from: &str, to: &str) -> String {
    format!(
        "From {from} to {to}, every chart on the same time axis. A coloured band is the reference range that came with the \
         newest value; where none came, none is drawn."
    )
}

/// Nothing to draw.
pub const NO_NUMBERS: &str = "No numbers of the last 12 months are recorded in what you may see.";
/// A group of charts.
pub const LABORATORY: &str = "Laboratory and examinations";
/// A group of charts.
pub const MEASUREMENTS: &str = "Vital signs";
/// What has no chart.
pub const OTHER_RESULTS: &str = "Other and older results";
/// What stands there.
pub const OTHER_RESULTS_HOW: &str =
    "The newest of each kind that is no number, is only a bound such as < 5, or is older than 12 months.";
/// Beyond its range.
pub const ABOVE: &str = "above the range that came with it";
/// Beyond its range.
pub const BELOW: &str = "below the range that came with it";
/// The data has none.
pub const NO_RANGE: &str = "no reference range came with it";

/// For who cannot see the chart.
pub fn chart_label(title: &str, points: usize, newest: &str) -> String {
    let values = if points == 1 { "1 value".to_owned() } else { format!("{points} values") };
    format!("{title}: {values} in 12 months, the newest {newest}")
}

/// A range with both ends.
pub fn range(low: &str, high: &str, unit: &str) -> String {
    format!("reference range {low} to {high} {unit}")
}

/// A range without upper end.
pub fn range_from(low: &str, unit: &str) -> String {
    format!("reference range from {low} {unit}")
}

/// A range without lower end.
pub fn range_to(high: &str, unit: &str) -> String {
    format!("reference range to {high} {unit}")
}

/// Kinds of values beyond what a page holds.
pub fn charts_left_out(count: usize) -> String {
    format!("{count} further kinds of values, measured longer ago than these, are not drawn on this page.")
}

/// Rows beyond what the list holds.
pub fn others_left_out(count: usize) -> String {
    format!("And {count} more, older than these, which are not listed on this page.")
}

/// Values beyond what a chart holds.
pub fn points_left_out(count: usize) -> String {
    format!("{count} older values are not drawn.")
}

// Where an entry comes from.

/// Before the hospital's name, for screen readers.
pub const SOURCE: &str = "Signed by";
/// The signature was verified.
pub const VERIFIED: &str = "signature verified";
/// How.
pub const VERIFIED_HOW: &str = "This gateway checked the hospital's signature over the entry, its place in the patient's \
                                log, and the archive's receipt, before it showed anything.";
/// Made by this page.
pub const NO_SOURCE: &str = "put together by this gateway; not an entry of its own";
/// Heads the proof.
pub const SIGNATURE: &str = "Source and signature";
/// Row.
pub const SIGNED_BY: &str = "Signed by";
/// Row.
pub const SIGNED_AT: &str = "Signed on";
/// Row.
pub const PLACE: &str = "Place in the log";
/// Row.
pub const VERSION: &str = "Version";
/// Row.
pub const HASH: &str = "Hash of the entry";
/// Row.
pub const READ_BY: &str = "Checked by";
/// Row.
pub const KIND: &str = "Kind";
/// Row.
pub const VALUE: &str = "Value";
/// Row.
pub const STANDING: &str = "Standing";
/// Row: a person or organisation named in the entry.
pub const BY: &str = "Recorded by";
/// The resource itself.
pub const AS_STORED: &str = "The entry as it is stored (FHIR)";
/// Back.
pub const BACK_TO_SUMMARY: &str = "Back to the summary";

/// Place in the log.
pub fn place(place: u64, read_to: Option<u64>) -> String {
    match read_to {
        Some(read_to) => format!("entry {place} of {read_to} that were read"),
        None => format!("entry {place} of another log of this patient, whose identities were merged"),
    }
}

// Consent.

/// After the number.
pub fn withheld_of(count: u64) -> &'static str {
    if count == 1 { "entry is" } else { "entries are" }
}

/// Nothing is.
pub const WITHHELD_NONE: &str = "Nothing of this record is withheld from you for this purpose.";
/// What that means.
pub const WITHHELD_WHAT: &str = "The patient's consent keeps these from this hospital, from your role, or for this purpose. \
                                 The keys to them were not given, so nobody here can tell what they are.";
/// Heads how to ask.
pub const ASK: &str = "How to ask the patient";
/// First way; the hospital's name follows.
pub const ASK_PORTAL: &str =
    "The patient can decide at once: in their portal, under Sharing, by allowing more to this hospital:";
/// Second way.
pub const ASK_DESK: &str =
    "Or in person or by telephone at the hospital that registered them, which signs their consent for them.";
/// What follows.
pub const ASK_AFTER: &str = "It takes effect at once. Load this page again; nobody needs to send anything.";
/// Before the text.
pub const ASK_FOR: &str = "What to ask for, in words that name nothing:";

/// A text to read out or hand over.
pub fn ask_text(hospital: &str, purpose: &str) -> String {
    format!(
        "I am treating you and would like to see more of your record. Would you allow {hospital} to read further parts of it, \
         for the purpose “{purpose}”? You choose which parts and until when, you can end it at any time, and you see in your \
         access log who looked."
    )
}

// Emergency access.

/// Heads the banner while it lasts.
pub const GLASS: &str = "Emergency access is open.";
/// Who is told.
pub const GLASS_TOLD: &str = "The patient and the security officer are told.";
/// Ends it.
pub const END: &str = "End emergency access";
/// The page.
pub const EMERGENCY: &str = "Emergency access";
/// When it is for.
pub const EMERGENCY_WHEN: &str = "For a patient in danger who cannot be asked. The record may then open as far as the \
                                  patient's consent allows it in an emergency.";
/// To the page.
pub const EMERGENCY_ASK: &str = "Emergency access…";
/// Heads what follows.
pub const BEFORE: &str = "Before you open the record";
/// What follows.
pub const BEFORE_TOLD: &str = "The patient, and the security officers of this hospital and of the patient's hospital, are told \
                               that you opened it, when, and the reason that you choose.";
/// What follows.
pub const BEFORE_LOGGED: &str =
    "A signed report lists everything that was opened for you. A security officer reviews it.";
/// What follows.
pub const BEFORE_LIMITS: &str =
    "It opens no more than the patient's consent allows in an emergency. The rest stays withheld.";
/// What follows.
pub const BEFORE_SECOND: &str = "In your role a colleague must agree first, within ten minutes.";
/// Before the patient's number.
pub const EMERGENCY_FOR: &str = "For the patient with the number";
/// Field.
pub const REASON: &str = "Reason";
/// Nothing is chosen yet.
pub const CHOOSE: &str = "Choose a reason";
/// Field.
pub const REASON_TEXT: &str = "Why the record is needed now, in your own words";
/// Field.
pub const CONFIRMATION: &str = "Type this sentence to confirm";
/// Opens it.
pub const BREAK: &str = "Open the record in an emergency";
/// Leaves the page.
pub const CANCEL: &str = "Cancel";
/// A second person must agree.
pub const AWAITED: &str = "waits for a second person";
/// How they do.
pub const AWAITED_HOW: &str = "Ask a colleague to open their first page of this view and agree there, within ten minutes. Then \
                               open the record from your own first page.";
/// Heads the list.
pub const ACCESSES: &str = "Emergency accesses";
/// Whose it is.
pub const OWN_ACCESS: &str = "yours";
/// Opens the record again.
pub const OPEN_RECORD: &str = "Open the record";
/// A second person agrees.
pub const APPROVE: &str = "Agree as second person";

/// For whom.
pub fn glass_of(number: &str) -> String {
    format!("You are reading the record of {number} in an emergency.")
}

/// Its end.
pub fn glass_until(when: &str) -> String {
    format!("It ends by itself on {when}.")
}

/// Its end, in a list.
pub fn until(when: &str) -> String {
    format!("until {when}")
}

/// How long it lasts.
pub fn before_ends(minutes: u64) -> String {
    format!("It ends after {minutes} minutes, or earlier by your button.")
}

/// How long the reason is.
pub fn reason_text_how(characters: usize) -> String {
    format!("At least {characters} characters. It stays in the report, and does not leave this hospital.")
}

/// A reason by its code; a hospital's own codes stand for themselves.
pub fn reason(code: &str) -> &str {
    match code {
        "unconscious" => "The patient is unconscious",
        "life-threatening" => "Danger to life",
        "patient-cannot-consent" => "The patient cannot consent",
        "other" => "Another reason",
        own => own,
    }
}

/// Whether a refusal is for the fields of the form.
pub fn emergency_is_input(code: &str) -> bool {
    matches!(code, "emergency-reason-needed" | "emergency-confirmation-wrong")
}

/// What is wrong with the fields.
pub fn emergency_wrong(code: &str) -> &'static str {
    match code {
        "emergency-confirmation-wrong" => {
            "The sentence is not the one that is asked for. Type it letter for letter; nothing was opened."
        }
        _ => {
            "Choose a reason and say in your own words, long enough, why the record is needed now. Nothing was opened."
        }
    }
}

// Apps.

/// Heads the apps.
pub const APPS: &str = "Apps for this patient";
/// What they are.
pub const APPS_HOW: &str = "Apps that your hospital registered. Each asks you what it may see before it sees anything.";
/// A launch was made.
pub const APP_READY: &str = "The app is told which patient is open, and opens at an address of its own.";
/// How long it counts.
pub const APP_SOON: &str = "The link counts once, for five minutes, for you alone.";

/// The link.
pub fn app_open(name: &str) -> String {
    format!("Open {name}")
}

// Failures.

/// Title: the patient's decision.
pub const CONSENT_TITLE: &str = "The patient's consent does not open this";
/// Title: not there.
pub const NOBODY_TITLE: &str = "Nothing like that is known here";
/// Title: not allowed.
pub const FORBIDDEN_TITLE: &str = "This is not open to you";
/// Title: what was sent is wrong.
pub const INPUT_TITLE: &str = "This cannot be done as it was asked";
/// Title: something is broken.
pub const BROKEN_TITLE: &str = "This cannot be done now";
/// Before the next step.
pub const NEXT: &str = "What to do:";
/// Before the code.
pub const CODE: &str = "For your IT department:";

/// Whose fault a failure is, by its status.
pub fn whose_fault(status: u16) -> &'static str {
    match status {
        502 => "Another party of the exchange answered wrongly. It is not your fault.",
        503 | 504 => "The exchange is away. It is not your fault.",
        500..600 => "This gateway failed. It is not your fault.",
        401 | 403 => "The rules of this hospital say so.",
        _ => "Something in what was asked for does not fit.",
    }
}

/// A failure by its code: whose decision or fault, what is wrong, and what to do next.
pub fn failure(code: &str) -> Option<(&'static str, &'static str, &'static str)> {
    Some(match code {
        "consent-purpose-not-granted" => (
            "The patient decided so.",
            "The patient does not share this record with this hospital for the purpose that you chose.",
            "Choose the right purpose, or ask the patient.",
        ),
        "consent-role-not-granted" => (
            "The patient decided so.",
            "The patient does not share this record with people in your role.",
            "Ask a colleague in another role, or ask the patient.",
        ),
        "consent-ended" => (
            "The patient decided so.",
            "What the patient shared with this hospital has ended.",
            "Ask the patient to share the record again.",
        ),
        "consent-not-started" => (
            "The patient decided so.",
            "What the patient shares with this hospital begins later.",
            "Ask the patient to let it begin now.",
        ),
        code if code.starts_with("consent-") => (
            "The patient decided so.",
            "The patient does not share this record with this hospital.",
            "Ask the patient.",
        ),
        "patient-unknown" | "resource-unknown" => (
            "Perhaps the number, perhaps the address of the page.",
            "No such patient or entry is known here, or it is not open to you.",
            "Find the patient by number and kind of number.",
        ),
        "patient-erased" => (
            "The patient had the record erased.",
            "Nothing of this record is left.",
            "Register the person again to begin a new record.",
        ),
        "emergency-access-needed" => (
            "An emergency access lasts for a short time only.",
            "No emergency access of yours to this patient is open, or it has ended.",
            "If it is still needed, ask for another one: find the patient by number and kind of number.",
        ),
        "emergency-exists" => (
            "It is open already.",
            "You have an emergency access to this patient.",
            "Open the record from your first page, or end the access there.",
        ),
        "emergency-same-person" => (
            "The rules of this hospital say so.",
            "The second person must be another than the one who asks.",
            "Have a colleague agree.",
        ),
        "emergency-not-awaited" => (
            "Nothing waits for an answer.",
            "This emergency access was agreed to already, has ended, or waited too long.",
            "Ask for another one if it is still needed.",
        ),
        "launch-incomplete" => (
            "The record system opened this page wrongly.",
            "The address says neither where it comes from nor which launch it is.",
            "Open the view from the record system again, or find the patient here.",
        ),
        "launch-foreign" => (
            "The record system, or a page that is not your hospital's, opened this page.",
            "The launch belongs to another server, so nobody is sent there.",
            "Open the view from your own record system, or find the patient here.",
        ),
        "launch-state" => (
            "The launch was begun in another browser, or longer ago.",
            "This is not the answer to a launch of this browser.",
            "Open the view from the record system again.",
        ),
        "launch-refused" => (
            "The launch is over, was used before, or belongs to another user.",
            "The view could not be opened for the patient of the launch.",
            "Open the view from the record system again; your administrator registers it: docs/smart.md.",
        ),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_fit_their_numbers() {
        assert!(allergies_withheld(1).starts_with("1 entry of this record is withheld"), "{}", allergies_withheld(1));
        assert!(allergies_withheld(2).starts_with("2 entries of this record are withheld"));
        assert_eq!(more_entries(1), "1 more entry");
        assert_eq!(purpose("TREAT"), "Treatment");
        assert_eq!(purpose("BTG"), BREAKING);
    }
}
