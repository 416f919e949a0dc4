//! Words on all surfaces.

/// The product's name.
pub const PRODUCT: &str = "Sealwort";
/// The language of all words, as HTML names it (BCP 47).
pub const LANGUAGE: &str = "en";
/// First link of a page, for keyboards and screen readers.
pub const SKIP: &str = "Skip to the content";
/// Name of the navigation.
pub const NAVIGATION: &str = "Pages";
/// Heads the table that says in numbers what a chart draws.
pub const CHART_TABLE: &str = "The numbers of this chart";
/// What the coloured band of a chart is.
pub const REFERENCE_RANGE: &str = "reference range";
/// Column of dates.
pub const DATE: &str = "Date";
/// Ends the session.
pub const SIGN_OUT: &str = "Sign out";
/// After signing out: title, what was done, and where to go.
pub const SIGNED_OUT_TITLE: &str = "Signed out";
/// What was done.
pub const SIGNED_OUT: &str = "You are signed out.";
/// For patients and their helpers.
pub const TO_PORTAL: &str = "Open your health record again";
/// For who works at the hospital.
pub const TO_WORK: &str = "Sign in again to work here";
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

// ---- failures: what they are called, and whose fault they are ----

/// Somebody has no right to it.
pub const NOT_OPEN_TITLE: &str = "This is not open to you";
/// It is not there.
pub const UNKNOWN_TITLE: &str = "Nothing like that is known here";
/// What was asked for does not fit.
pub const INPUT_TITLE: &str = "This cannot be done as it was asked";
/// The gateway, or another party, failed.
pub const BROKEN_TITLE: &str = "This cannot be done now";

/// What a failure is called, by its status.
pub const fn failure_title(status: u16) -> &'static str {
    match status {
        401 | 403 => NOT_OPEN_TITLE,
        404 | 410 => UNKNOWN_TITLE,
        400..500 => INPUT_TITLE,
        _ => BROKEN_TITLE,
    }
}

/// Whose fault a failure is, by its status.
pub const fn whose_fault(status: u16) -> &'static str {
    match status {
        401 | 403 => "You may not do this.",
        502 => "Another party of the exchange answered wrongly. It is not your fault.",
        503 | 504 => "The exchange is away. It is not your fault.",
        500..600 => "The hospital's system failed. It is not your fault.",
        _ => "Something in what was asked for does not fit.",
    }
}
