//! Words of *Who looked*.

use super::{kind, kinds};

pub const LOOKED_TEXT: &str = "Three logs know who had to do with your record: this hospital's, the exchange's and the archive's. This list puts them together.";
pub const PROOF: &str = "Download with proof";
pub const PROOF_TEXT: &str = "The file proves to anybody, without any network, that no line was changed afterwards.";

pub fn own_hidden(count: usize) -> String {
    if count == 1 {
        "1 look of your own is not listed.".to_owned()
    } else {
        format!("{count} looks of your own are not listed.")
    }
}

pub const SHOW_OWN: &str = "List mine, too";
pub const HIDE_OWN: &str = "Leave out mine";
pub const NOBODY_LOOKED: &str = "Nobody has looked.";
pub const COLUMN_WHEN: &str = "When";
pub const COLUMN_WHO: &str = "Who";
pub const COLUMN_WHERE: &str = "Where";
pub const COLUMN_WHY: &str = "Why";
pub const COLUMN_WHAT: &str = "What";
pub const COLUMN_RESULT: &str = "Result";
pub const YOU: &str = "You";
pub const OWN_APP: &str = "An app that you let in";
pub const A_SYSTEM: &str = "A system, no person";
pub const THE_EXCHANGE: &str = "The exchange";
pub const THE_ARCHIVE: &str = "The archive";
pub const NO_REASON: &str = "no reason given";
pub const DONE: &str = "Done";
pub const REFUSED: &str = "Refused";
pub const BROKE: &str = "Did not work";
pub const EMERGENCY: &str = "Emergency";
pub const MISSING_ENTRY: &str = "One of the logs does not know of this. The hospital should explain it.";
pub const QUESTION: &str = "Question this";
pub const LOG_HOLDS: &str = "checked: nothing was changed";
pub const LOG_DOUBTFUL: &str = "could not be checked, so nothing of it is listed";
pub const SOME_DOUBTFUL: &str =
    "One of the three logs could not be asked or checked. Somebody may have looked who is not listed.";
pub const HOW_SURE: &str = "How sure is this list?";
pub const LOG_OF_HOSPITAL: &str = "This hospital's log";
pub const LOG_OF_EXCHANGE: &str = "The exchange's log";
pub const LOG_OF_ARCHIVE: &str = "The archive's log";
pub const LEFT_OUT: &str =
    "That a log left something out shows only where another log has what it lacks; such lines are marked.";

/// A helper in the list.
pub fn helper(name: &str) -> String {
    format!("{name}, who acts for you")
}

/// What happened, by the audit log's word for it.
pub fn happened(kind: &str) -> &'static str {
    match kind {
        "request-decided" => "asked to open your record",
        "authority-given" => "was given keys",
        "entries-fetched" => "fetched sealed entries",
        "deposit-stored" | "receipt-witnessed" => "added to your record",
        "patient-registered" => "registered you in the exchange",
        "consent-changed" => "changed who can open your record",
        "consent-read" => "looked at your decisions about sharing",
        "delegate-changed" => "changed who acts for you",
        "record-relabelled" => "moved something into another category",
        "patient-erased" => "erased your record",
        "patient-merged" => "joined two of your records",
        "patient-unmerged" => "parted two records",
        "patient-located" => "looked for your record",
        "emergency-begun" => "began emergency access",
        "emergency-approved" => "approved emergency access",
        "emergency-ended" => "ended emergency access",
        "emergency-notified" => "told you of emergency access",
        "emergency-reported" => "wrote the report about emergency access",
        "emergency-reviewed" => "reviewed emergency access",
        "read" | "version-read" => "opened",
        "searched" => "searched",
        "history-read" => "looked at earlier versions",
        "created" | "updated" | "patched" | "bundle-processed" => "wrote",
        "deleted" => "took back",
        "exported" => "took a copy of",
        "record-read" => "opened the whole record",
        "validated" => "checked",
        "signed-in" => "signed in",
        "token-issued" => "let an app in",
        "passkey-changed" => "changed a passkey",
        "log-shown" | "log-searched" | "log-exported" => "looked at the list of who looked",
        "subscription-changed" | "subscription-delivered" => "is told of news in your record",
        "device-enrolled" => "connected a device",
        "device-removed" => "disconnected a device",
        "list-read" => "looked at a list about you",
        "half-made" | "half-destroyed" | "keys-rewrapped" => "changed the keys of your record",
        _ => "did something that has no plain word here",
    }
}

pub const QUESTIONED: &str = "asked a question about a look";
pub const ANSWERED: &str = "answered a question about a look";

/// How many of which kind.
pub fn counted(count: u64, kind_name: &str) -> String {
    let word = if count == 1 { kind(kind_name) } else { kinds(kind_name) };
    format!("{count} {}", word.to_lowercase())
}

/// Why somebody was refused, by the stable code.
pub fn refused(code: &str) -> &'static str {
    match code {
        code if code.starts_with("consent-") => "your decisions do not allow it",
        "scope-insufficient" | "log-readers-only" | "delegation-insufficient" => "they have no right to it",
        "not-found" | "patient-unknown" | "resource-unknown" => "there is nothing of that kind",
        "emergency-over" => "the emergency was over",
        _ => "a rule of the hospital or the exchange does not allow it",
    }
}

pub const QUESTION_TITLE: &str = "Question this look";
pub const QUESTION_TEXT: &str = "Somebody at the hospital who watches over its audit log answers your question. You find the answer under \"Who looked\". The beginning of both also stands in that log, where nobody can take it out.";
pub const QUESTION_LABEL: &str = "What do you want to know?";
pub const QUESTION_HINT: &str = "At most 400 letters.";
pub const QUESTION_SEND: &str = "Send the question";
pub const QUESTION_SENT: &str = "Your question is with the hospital. The answer will stand on this page.";
pub const QUESTIONS: &str = "Your questions";
pub const NOT_ANSWERED: &str = "Not answered yet.";

/// A look in one line.
pub fn look_line(who: &str, place: &str, moment: &str, what: &str) -> String {
    format!("{who}, {place}, {moment}: {what}")
}

pub fn asked_on(moment: &str) -> String {
    format!("Asked on {moment}")
}

pub fn answered_on(who: &str, moment: &str) -> String {
    format!("Answered by {who} on {moment}")
}

pub const QUESTION_EMPTY: &str = "Write what you want to know.";
