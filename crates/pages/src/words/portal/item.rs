//! Words of the page of one thing.

pub const WHAT: &str = "What";
pub const VALUE: &str = "Value";
pub const WHEN: &str = "When";
pub const WHO_SAYS: &str = "Who says so";
pub const VISIT: &str = "Visit";
pub const ABOUT: &str = "More";
pub const KIND_OF: &str = "Kind";
pub const ORIGINAL: &str = "The original";
pub const ORIGINAL_TEXT: &str =
    "This page puts it into plain words. What the hospital wrote, letter by letter, is in the original.";
pub const GET_ORIGINAL: &str = "Download the original";

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
