//! Words of *Sharing*.

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
pub const FROM: &str = "From";
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
pub const GIVE_TO_HINT: &str = "Choose one of the list. Its name stands at its reception and on its pages.";
pub const GIVE_TO_BLIND: &str =
    "The list of hospitals cannot be had right now. Write the name as it stands at its reception or on its pages.";
pub const NO_HOSPITAL: &str = "Choose the hospital.";
pub const UNKNOWN_HOSPITAL: &str =
    "No hospital of this exchange has that name. Choose one of the list, or ask the hospital for its name here.";
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

/// Where decisions are made, if not here.
pub fn decided_elsewhere(hospital: &str) -> String {
    format!("{hospital} keeps your decisions about sharing. You can look at them here, and change them there.")
}

pub const NOT_EVERYWHERE: &str = "Signed, and it counts at this hospital. The exchange and the archive cannot be reached right now: until both have it, it does not count there. It is sent by itself; look at the receipt again in a while.";
pub const GIVEN: &str = "Shared. It counts from now on.";
pub const STOPPED_PARTLY: &str = "What was for this hospital alone is stopped. Another of your decisions, which is for several at once, still lets it open something: see below.";
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
