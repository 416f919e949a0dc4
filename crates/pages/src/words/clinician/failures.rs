//! Failures of this view; what all surfaces say of them is in `shared`.

/// Title: the patient's decision.
pub const CONSENT_TITLE: &str = "The patient's consent does not open this";
/// To the portal.
pub const OWN_RECORDS: &str = "Your own records, and the way to sign out";
/// Before the next step.
pub const NEXT: &str = "What to do:";
/// Before the code.
pub const CODE: &str = "For your IT department:";

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
        "staff-needed" => (
            "You are signed in as a patient, or as somebody who acts for one.",
            "These pages are for the hospital's staff.",
            "Open your own records, or sign out there and sign in with your account at the hospital.",
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
