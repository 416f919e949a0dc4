//! Emergency access.

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

/// Above that very record.
pub fn glass_read(number: &str) -> String {
    format!("You are reading the record of {number} in an emergency.")
}

/// Above anything else.
pub fn glass_of(number: &str) -> String {
    format!("It is to the record of {number}, and this page is not of it.")
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
pub fn reason_text_how(least: usize, most: usize) -> String {
    format!("{least} to {most} characters. It stays in the report, and does not leave this hospital.")
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
            "Choose a reason, and say in your own words why the record is needed now, neither shorter nor longer than stands \
             below. Nothing was opened."
        }
    }
}
