//! What was wrong and what to do next.

pub const FORM_FOREIGN: &str = "The form was too old, or did not come from this page.";
/// Before a code by which the hospital finds the cause.
pub const REFERENCE: &str = "If you ask the hospital for help, tell it this word:";

/// What was wrong and what to do next, by stable code and status.
pub fn failure(code: &str, status: u16) -> (&'static str, &'static str) {
    match (code, status) {
        ("form-foreign", _) => (FORM_FOREIGN, "Go back, load the page again, and try once more."),
        ("log-readers-only", _) => (
            "The list of who looked names things of every kind, so only the patient and helpers who may see everything can open it.",
            "Ask the patient to look, or to let you see everything.",
        ),
        ("delegation-insufficient", _) => {
            ("The patient did not let you decide about sharing.", "Ask the patient to add that right for you.")
        }
        ("authority-elsewhere", _) => (
            "Another hospital keeps your decisions about sharing.",
            "Ask the hospital where you were first registered in this exchange.",
        ),
        ("consent-in-force", _) => (
            "A signed consent document allows this and says other things as well, which would change too. Nothing was changed.",
            "Ask the hospital that keeps your decisions to replace that document.",
        ),
        ("delegation-invalid", _) => (
            "A helper needs a name, the name with which they sign in, and at least one thing that they may do.",
            "Go back, correct it, and send it again.",
        ),
        ("nothing-to-stop", _) => (
            "Nothing is shared with this hospital by itself.",
            "Load the page again and look before you try once more.",
        ),
        ("questions-too-many", _) => {
            ("As many of your questions wait for an answer as there can be.", "Wait until the hospital has answered.")
        }
        ("record-not-theirs" | "delegation-ended" | "delegation-unknown", _) => (
            "That record, or that helper, is not there any more.",
            "Go to the start page and choose a record that you can open.",
        ),
        ("patient-not-here", _) => (
            "This hospital has not received your record yet.",
            "Ask the hospital to open your record once; then come back.",
        ),
        ("patient-erased", _) => {
            ("The record was erased. Nothing of it can be read by anybody.", "There is nothing more to do.")
        }
        ("document-damaged", _) => (
            "The document is damaged in your record, as it was sent to the hospital.",
            "Ask whoever wrote it to send it again.",
        ),
        (_, 401) => ("You are not signed in any more.", "Sign in again."),
        (_, 403) => ("Your rights do not reach that far.", "Ask the patient, or the hospital's patients' office."),
        (_, 404) => ("There is no such page, or what it showed is gone.", "Go back to the summary."),
        (_, 409) => ("Something changed in the meantime.", "Load the page again and look before you try once more."),
        (_, 400 | 413 | 422) => ("Something in the form is not right.", "Go back, correct it, and send it again."),
        (_, 429) => ("That was tried too often.", "Wait a few minutes, then try again."),
        (_, 502..=504) => ("A part of the exchange does not answer.", "Try again in a minute. Nothing was lost."),
        (_, 507) => ("The hospital's system has no room left.", "Try again later, and tell the hospital."),
        _ => ("Something broke at the hospital.", "Try again. If it happens again, tell the hospital."),
    }
}
