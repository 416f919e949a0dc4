//! Apps that are opened for a patient.

/// Heads the apps.
pub const APPS: &str = "Apps for this patient";
/// What they are.
pub const APPS_HOW: &str = "Apps that your hospital registered. Each asks you what it may see before it sees anything.";
/// A launch was made.
pub const APP_READY: &str = "The app is told which patient is open, and opens at an address of its own.";
/// How long it counts.
pub const APP_SOON: &str = "The link counts once, for five minutes, for you alone.";

/// The link.
pub fn app_open(name: &str) -> String {
    format!("Open {name}")
}
