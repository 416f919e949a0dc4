//! What consent withholds, and how to ask.

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
