//! Words of *Helpers*.

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
