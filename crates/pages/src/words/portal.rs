//! Words of the patient portal.
#![allow(missing_docs, reason = "the words say what they are")]

/// Name of the surface.
pub const SURFACE: &str = "Your record";
/// Navigation and titles, in order.
pub const SUMMARY: &str = "Summary";
pub const TIMELINE: &str = "Timeline";
pub const SHARING: &str = "Sharing";
pub const LOOKED: &str = "Who looked";
pub const DEVICES: &str = "Devices";
pub const EXPORT: &str = "Take along";
pub const DELEGATES: &str = "Helpers";

pub const SIGN_OUT: &str = "Sign out";
pub const BACK: &str = "Back";
pub const ALL_OF_IT: &str = "See all";

// ---- the door ----

pub const WELCOME: &str = "Your health record";
pub const WELCOME_TEXT: &str =
    "Everything in your record is sealed. You decide who can open it, and you can see who did.";
pub const SIGN_IN_PROVIDER: &str = "Sign in with your hospital account";
pub const SIGN_IN_PASSKEY: &str = "Sign in with a passkey";
pub const NO_SIGN_IN: &str = "This hospital has not set up signing in for patients yet. Ask its patients' office.";
pub const FOR_STAFF: &str = "You are signed in to work at the hospital. This part is for patients and their helpers.";
pub const STAFF_NEXT: &str = "To look at a record of your own, sign out and sign in again as a patient.";
pub const CHOOSE: &str = "Whose record?";
pub const CHOOSE_TEXT: &str = "You can open these records. Choose one; its name then stands at the top of every page.";
pub const NO_RECORDS: &str = "No record is yours to open right now. If somebody let you act for them, that may have ended: ask them, or the hospital.";
pub const OWN_RECORD: &str = "Your own record";
pub const CHANGE_RECORD: &str = "Choose another record";

/// Says on every page whose record it is.
pub fn own_banner(name: &str) -> String {
    format!("Your own record: {name}")
}

pub fn helper_banner(name: &str, relationship: &str, until: &str) -> String {
    format!("You act for {name} ({relationship}) until {until}")
}

pub const NAMELESS: &str = "no name on record";
pub const NAME_HIDDEN: &str = "a patient whose name you may not see";

// ---- failures ----

pub const FAILED: &str = "This did not work";
pub const FAULT_YOURS: &str = "What was asked for cannot be done like this.";
pub const FAULT_RIGHTS: &str = "You may not do this.";
pub const FAULT_HOSPITAL: &str = "This is the hospital's fault, not yours.";
pub const FAULT_EXCHANGE: &str = "The exchange between hospitals cannot be reached right now. This is not your fault.";
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

// ---- what kind of thing ----

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
pub const WRONG: &str = "marked as a mistake";

/// A date as exact as it was written; a time with its zone: hour, minute, and minutes east of UTC.
pub fn date(year: i32, month: Option<u8>, day: Option<u8>, time: Option<(u8, u8, i16)>) -> String {
    const MONTHS: [&str; 12] = [
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

// ---- summary ----

pub const RIBBON: &str = "How your record is protected";
pub const SEALED: &str = "Sealed";

pub fn sealed(count: usize) -> String {
    match count {
        1 => {
            "1 entry, encrypted. The exchange that carries it and the archive that keeps it cannot read it.".to_owned()
        }
        count => {
            format!(
                "{count} entries, all encrypted. The exchange that carries them and the archive that keeps them cannot read them."
            )
        }
    }
}

pub const CAN_OPEN: &str = "Who can open it";
pub const NOBODY_ELSE: &str = "Nobody but you and the hospital that keeps your decisions.";
pub const EMERGENCY_ALONE: &str = "only in an emergency";
pub const MANAGE: &str = "Change who can open it";
pub const LAST_OPENED: &str = "Last opened by somebody else";
pub const NEVER_OPENED: &str = "Nobody else has opened it.";
pub const LAST_UNKNOWN: &str = "You cannot see this here.";
pub const SEE_LOOKED: &str = "See everybody who looked";

/// A part of the record that is kept back from this hospital.
pub fn withheld(count: u64) -> String {
    if count == 1 {
        "1 entry is kept back from this hospital by your own decisions, so it is not shown here.".to_owned()
    } else {
        format!("{count} entries are kept back from this hospital by your own decisions, so they are not shown here.")
    }
}

pub const VITALS: &str = "Measurements";
pub const RESULTS: &str = "Latest test results";
pub const NOTHING: &str = "Nothing is recorded here.";
pub const NOTHING_KNOWN: &str = "Nothing is recorded here. That does not mean that there is nothing.";
pub const BLOOD_PRESSURE: &str = "Blood pressure";
pub const UPPER: &str = "Upper";
pub const LOWER: &str = "Lower";

/// What a chart shows, for who cannot see it.
pub fn trend(name: &str, count: usize, first: &str, last: &str) -> String {
    format!("{name}: {count} values from {first} to {last}")
}

pub const UNITS_DIFFER: &str = "Older values in another unit are not drawn.";

pub fn more_of(count: usize) -> String {
    format!("and {count} more")
}

// ---- timeline ----

pub const FIND: &str = "Find";
pub const FIND_WORDS: &str = "Words to look for";
pub const FIND_KIND: &str = "What kind";
pub const EVERYTHING: &str = "Everything";
pub const SHOW: &str = "Show";
pub const NOTHING_FOUND: &str = "Nothing in your record fits. Try fewer words, or another kind.";
pub const NEWER: &str = "Newer";
pub const OLDER: &str = "Older";
pub const BESIDE_VISITS: &str = "Without a visit";

pub fn found(count: usize, from: usize, to: usize) -> String {
    match count {
        0 => "Nothing found".to_owned(),
        1 => "1 entry".to_owned(),
        count => format!("Entries {from} to {to} of {count}, the newest first"),
    }
}

// ---- one thing ----

pub const WHAT: &str = "What";
pub const VALUE: &str = "Value";
pub const WHEN: &str = "When";
pub const WHO_SAYS: &str = "Who says so";
pub const VISIT: &str = "Visit";
pub const ABOUT: &str = "More";
pub const KIND_OF: &str = "Kind";
pub const STANDING: &str = "Does it count";
pub const CURRENT: &str = "yes";
pub const ORIGINAL: &str = "The original";
pub const ORIGINAL_TEXT: &str =
    "This page puts it into plain words. What the hospital wrote, letter by letter, is in the original.";
pub const GET_ORIGINAL: &str = "Download the original";

pub fn get_file(number: usize, ending: &str, kilobytes: usize) -> String {
    format!("Download document {number} ({ending}, {kilobytes} kB)")
}

pub const RECEIPT: &str = "Receipt";
pub const RECEIPT_TEXT: &str = "Whoever wrote this signed it, and the archive gave it a place in your sealed log that nobody can change afterwards.";
pub const WRITTEN_BY: &str = "Written and signed by";
pub const WRITTEN_AT: &str = "Written";
pub const PLACE: &str = "Place in your log";
pub const FINGERPRINT: &str = "Fingerprint of the log up to it";
pub const CATEGORY: &str = "Category for sharing";
pub const VERSIONS: &str = "Versions";

pub fn version(number: u64) -> String {
    format!("Version {number}")
}

pub const THIS_ONE: &str = "shown here";
pub const DELETED: &str = "taken back";

// ---- sharing ----

pub const SHARING_TEXT: &str =
    "These can open your record. What you stop, stops at once: the keys change, and what was opened is closed.";
pub const SHARED_WITH_NOBODY: &str =
    "You share with nobody. The hospital that keeps your decisions can always open what it wrote.";

/// A hospital in words; its own name is data.
pub const KEEPER: &str = "keeps your decisions about sharing";

/// A category of sharing.
pub fn category(name: &str) -> &'static str {
    match name {
        "problems" => "Conditions, allergies and operations",
        "medications" => "Medicines and vaccines",
        "results" => "Test results and reports",
        "measurements" => "Measurements and devices",
        "documents" => "Documents, letters and messages",
        "administrative" => "Personal details, visits and insurance",
        "psychiatry" => "Mental health",
        "substance-use" => "Alcohol and drugs",
        "sexuality" => "Sexuality and reproduction",
        "hiv" => "HIV",
        "genetics" => "Genetic tests",
        "violence" => "Violence and abuse",
        "very-restricted" => "Marked as strictly confidential",
        _ => "Something this page has no word for",
    }
}

/// What for, by code.
pub fn purpose(code: &str) -> &'static str {
    match code {
        "TREAT" => "to treat you",
        "ETREAT" => "to treat you in an emergency",
        "BTG" => "in an emergency, without asking first",
        "HPAYMT" => "for billing",
        "HOPERAT" => "to run the hospital",
        "HRESCH" => "for research",
        "PUBHLTH" => "for public health",
        "PATRQT" => "for you, at your request",
        "FAMRQT" => "for your family, at their request",
        _ => "for a reason that has no plain word here",
    }
}

/// What is allowed, by its word in consents.
pub fn action(word: &str) -> &'static str {
    match word {
        "read" => "read",
        "write" => "add to it",
        "emergency" => "open it in an emergency",
        _ => "something that has no plain word here",
    }
}

/// Several recipients: those named, or everybody but them.
pub fn everybody(is_everybody: bool, names: &[&str]) -> String {
    match (is_everybody, names) {
        (true, [] | ["all"]) => "Everybody in the exchange".to_owned(),
        (true, names) => format!("Everybody in the exchange but {}", names.join(", ")),
        (false, names) => names.join(", "),
    }
}

pub const MAY: &str = "May";
pub const CATEGORIES: &str = "What they can see";
pub const ALL_CATEGORIES: &str = "Everything, also what is confidential";
pub const ALL_ORDINARY: &str = "Everything but what is confidential";
pub const PURPOSES: &str = "What for";
pub const UNTIL: &str = "Until";
pub const NO_END: &str = "you stop it";
pub const ROLES: &str = "Only for";
pub const STOP: &str = "Stop";
pub const STOP_ALL: &str = "Stop sharing with";
pub const SIGNED_DOCUMENT: &str = "A signed consent document allows this. Stopping ends that document.";
pub const NOT_BY_ITSELF: &str = "A consent document allows this to several at once. Ask the hospital to change it.";
pub const PREVIEW: &str = "What would they see?";

/// Name of a button about one of several, for who hears it without seeing where it stands.
pub fn about(button: &str, whom: &str) -> String {
    format!("{button}: {whom}")
}

pub const GIVE: &str = "Share with somebody new";
pub const GIVE_TO: &str = "Name of the hospital in this exchange";
pub const GIVE_TO_HINT: &str = "As it is written at its reception or on its pages, such as hospital-b.";
pub const GIVE_WHAT: &str = "What they can see";
pub const CONFIDENTIAL: &str = "Confidential matters; share them only with those who need them";
pub const GIVE_WHY: &str = "What for";
pub const GIVE_LONG: &str = "For how long";
pub const GIVE_WRITE: &str = "They may also add to your record";
pub const SHARE: &str = "Share";
pub const ONE_WEEK: &str = "One week";
pub const ONE_MONTH: &str = "One month";
pub const ONE_YEAR: &str = "One year";
pub const FOREVER: &str = "Until I stop it";
pub const NOTHING_CHOSEN: &str = "Choose at least one thing that they can see.";
pub const NOT_YOUR_DECISION: &str =
    "You can look at this but not change it: the patient did not let you decide about sharing.";

pub const NOT_EVERYWHERE: &str = "Signed, and it counts at this hospital. The exchange and the archive cannot be reached right now: until both have it, it does not count there. It is sent by itself; look at the receipt again in a while.";
pub const GIVEN: &str = "Shared. It counts from now on.";
pub const STOPPED: &str = "Stopped. It counts from now on: the keys have changed, and nothing new opens.";
pub const YOUR_CONSENT: &str = "Receipt of your decisions";
pub const YOUR_CONSENT_TEXT: &str = "All your decisions together are one signed document. Keep version and fingerprint: nobody can change the document without changing both.";
pub const CONSENT_VERSION: &str = "Version";
pub const CONSENT_SIGNED: &str = "Signed";
pub const CONSENT_BY: &str = "Kept and signed by";
pub const CONSENT_KEYS: &str = "Set of keys";
pub const CONSENT_FINGERPRINT: &str = "Fingerprint";
pub const CONSENT_STATE: &str = "State";
pub const CONFIRMED: &str = "confirmed by the exchange and the archive";
pub const ON_ITS_WAY: &str = "on its way to the exchange and the archive; here it counts already";

pub const WOULD_SEE: &str = "What would they see?";

pub fn would_see(whom: &str, count: usize, all: usize) -> String {
    format!(
        "{whom} would see {count} of the {all} entries that you see here, and what is added later in these categories."
    )
}

pub fn would_see_nothing(whom: &str) -> String {
    format!("{whom} would see nothing.")
}

pub const KEPT_BACK: &str = "Kept back";
pub const NO_CHANGE_YET: &str = "Nothing has changed yet.";
pub const DECIDE_NOW: &str = "Share exactly this";

pub fn and_others(names: &str, rest: usize) -> String {
    if rest == 0 { names.to_owned() } else { format!("{names}, and {rest} more") }
}

// ---- who looked ----

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
pub const QUESTION_TEXT: &str = "Your question goes into the hospital's audit log beside this line, where its privacy officer finds it and nobody can take it out again.";
pub const QUESTION_LABEL: &str = "What do you want to know?";
pub const QUESTION_HINT: &str = "At most 400 letters.";
pub const QUESTION_SEND: &str = "Send the question";
pub const QUESTION_SENT: &str = "Your question is in the hospital's log, for its privacy officer to answer.";
pub const QUESTION_EMPTY: &str = "Write what you want to know.";

// ---- devices ----

pub const DEVICES_MEASURE: &str = "Devices that measure for you";
pub const DEVICES_MEASURE_TEXT: &str = "What these send is stored in your record, sealed like the rest.";
pub const NO_DEVICES: &str = "No device is connected. The hospital connects one for you.";
pub const DEVICE_SINCE: &str = "Connected";
pub const DEVICE_ENDED: &str = "disconnected";
pub const DEVICE_SENDS: &str = "Sends";
pub const DEVICE_MAKER: &str = "Maker and model";
pub const DEVICE_SERIAL: &str = "Serial number";
pub const DEVICES_RECORDED: &str = "Devices in your record";
pub const DEVICES_RECORDED_TEXT: &str = "Implants, aids and other devices that somebody wrote down.";
pub const PASSKEYS: &str = "Devices that you sign in with";
pub const PASSKEY_MADE: &str = "Made";
pub const PASSKEY_USED: &str = "last used";
pub const PASSKEYS_MANAGE: &str = "Add or remove a passkey";
pub const NO_PASSKEYS: &str = "You have no passkey here; you sign in with your hospital account.";
pub const NOT_FOR_HELPERS: &str = "Only the patient sees this.";

/// What a device measures, by its word.
pub fn measure(word: &str) -> String {
    word.replace('-', " ")
}

// ---- export ----

pub const EXPORT_TEXT: &str = "Your record is yours. Each of these leaves a line in the list of who looked.";
pub const EXPORT_PRINT: &str = "On paper or as PDF";
pub const EXPORT_PRINT_TEXT: &str =
    "The most important things on a few pages, to print or to save as PDF with your browser.";
pub const EXPORT_PRINT_BUTTON: &str = "Open the page to print";
pub const EXPORT_SUMMARY: &str = "For another doctor, also abroad";
pub const EXPORT_SUMMARY_TEXT: &str =
    "The International Patient Summary: a file that other hospitals' systems can read.";
pub const EXPORT_SUMMARY_BUTTON: &str = "Download the summary";
pub const EXPORT_ALL: &str = "Everything";
pub const EXPORT_ALL_TEXT: &str = "All data, all documents, your decisions, and who looked, in one folder that this hospital signs. Other systems can take it in.";
pub const EXPORT_ALL_BUTTON: &str = "Download everything";
pub const PRINT_TITLE: &str = "Summary to print";
pub const PRINT_HINT: &str = "Print this page with your browser (Ctrl+P, or ⌘P on a Mac), or choose \"save as PDF\" there. Buttons and colours stay off the paper.";
pub const PRINT_FOR: &str = "For";
pub const PRINT_BORN: &str = "Born";
pub const PRINT_MADE: &str = "Made";
pub const PRINT_LIMITS: &str = "Made from what this hospital may open. What is not listed may still be so.";

// ---- helpers ----

pub const DELEGATES_TEXT: &str =
    "These people may open your record in their own name. Everything they do is listed under \"Who looked\" as theirs.";
pub const NO_DELEGATES: &str = "Nobody acts for you.";
pub const DELEGATES_OWNER: &str = "Only the patient, or the hospital, chooses who acts for the patient.";
pub const DELEGATE_RIGHTS: &str = "May";
pub const DELEGATE_SIGNS_IN: &str = "Signs in as";
pub const DELEGATE_RESTS: &str = "rests: two records were joined, so name this helper again";
pub const DELEGATE_ENDED: &str = "over";
pub const DELEGATE_END: &str = "End this";
pub const DELEGATE_ADD: &str = "Let somebody act for you";
pub const DELEGATE_NAME: &str = "Their name";
pub const DELEGATE_ACCOUNT: &str = "The name with which they sign in at this hospital";
pub const DELEGATE_ACCOUNT_HINT: &str = "Ask them. They need an account at this hospital.";
pub const DELEGATE_RELATIONSHIP: &str = "Who they are to you";
pub const DELEGATE_DAYS: &str = "For how long";
pub const DELEGATE_SEES: &str = "What they see";
pub const DELEGATE_SEES_ALL: &str = "Everything, also what is confidential";
pub const DELEGATE_SEES_ORDINARY: &str = "Everything but what is confidential";
pub const DELEGATE_SAVE: &str = "Let them act for me";
pub const DELEGATE_ADDED: &str = "Done. They can open your record from now on.";
pub const DELEGATE_REMOVED: &str = "Ended. Everything that they had open is closed.";

/// What a helper may do.
pub fn right(word: &str) -> &'static str {
    match word {
        "read" => "see your record",
        "write" => "add to it",
        "consent" => "decide who else can open it",
        _ => "something that has no plain word here",
    }
}

/// Who somebody is to the patient: codes of v3-RoleCode and their words, in the order of the form.
pub const RELATIONSHIPS: [(&str, &str); 24] = [
    ("PRN", "parent"),
    ("MTH", "mother"),
    ("FTH", "father"),
    ("STPPRN", "step parent"),
    ("PRNFOST", "foster parent"),
    ("GRPRN", "grandparent"),
    ("GUARD", "legal guardian"),
    ("CHILD", "child"),
    ("SPS", "spouse"),
    ("HUSB", "husband"),
    ("WIFE", "wife"),
    ("DOMPART", "partner"),
    ("SIGOTHR", "partner, not living together"),
    ("SIB", "brother or sister"),
    ("EXT", "other relative"),
    ("FAMMEMB", "member of the family"),
    ("FRND", "friend"),
    ("NBOR", "neighbour"),
    ("HPOWATT", "has a power of attorney for health"),
    ("POWATT", "has a power of attorney"),
    ("DPOWATT", "has a lasting power of attorney"),
    ("SPOWATT", "has a power of attorney for certain matters"),
    ("RESPRSN", "responsible person"),
    ("SUBDM", "decides in place of the patient"),
];

/// One of them in words.
pub fn relationship(code: &str) -> &'static str {
    RELATIONSHIPS.iter().find(|(known, _)| *known == code).map_or("helper", |(_, word)| word)
}

/// A role in which somebody works, or acts for somebody.
pub fn role(name: &str) -> String {
    match name {
        "patient" => "the patient".to_owned(),
        "" => String::new(),
        name if RELATIONSHIPS.iter().any(|(known, _)| *known == name) => relationship(name).to_owned(),
        name => name.replace(['-', '_'], " "),
    }
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
