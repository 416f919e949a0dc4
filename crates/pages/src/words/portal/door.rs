//! The door, and whose record it is.

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
