//! Words of the clinician's view, a file per page.

mod apps;
mod emergency;
mod failures;
mod find;
mod item;
mod patient;
mod results;
mod summary;
mod withheld;

pub use apps::*;
pub use emergency::*;
pub use failures::*;
pub use find::*;
pub use item::*;
pub use patient::*;
pub use results::*;
pub use summary::*;
pub use withheld::*;

pub use super::shared::{SIGN_OUT, failure_title, whose_fault};

/// What this is.
pub const SURFACE: &str = "Clinician's view";
/// First page, and the navigation's way to it.
pub const FIND: &str = "Find a patient";
/// The IPS.
pub const SUMMARY: &str = "Patient summary";
/// Values over time.
pub const RESULTS: &str = "Results, 12 months";
/// What consent keeps back.
pub const WITHHELD: &str = "Withheld";
/// One entry.
pub const ENTRY: &str = "Entry and its source";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_fit_their_numbers() {
        assert!(allergies_withheld(1).starts_with("1 entry of this record is withheld"), "{}", allergies_withheld(1));
        assert!(allergies_withheld(2).starts_with("2 entries of this record are withheld"));
        assert_eq!(more_entries(1), "1 more entry");
        assert_eq!(purpose("TREAT"), "Treatment");
        assert_eq!(purpose("BTG"), BREAKING);
    }
}
