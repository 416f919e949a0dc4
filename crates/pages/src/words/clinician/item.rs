//! One entry: where it comes from, and who signed it.

/// Before the hospital's name, for screen readers.
pub const SOURCE: &str = "Signed by";
/// The signature was verified.
pub const VERIFIED: &str = "signature verified";
/// How.
pub const VERIFIED_HOW: &str = "This gateway checked the hospital's signature over the entry, its place in the patient's \
                                log, and the archive's receipt, before it showed anything.";
/// Made by this page.
pub const NO_SOURCE: &str = "put together by this gateway; not an entry of its own";
/// Heads the proof.
pub const SIGNATURE: &str = "Source and signature";
/// Row.
pub const SIGNED_BY: &str = "Signed by";
/// Row.
pub const SIGNED_AT: &str = "Signed on";
/// Row.
pub const PLACE: &str = "Place in the log";
/// Row.
pub const VERSION: &str = "Version";
/// Row.
pub const HASH: &str = "Hash of the entry";
/// Row.
pub const READ_BY: &str = "Checked by";
/// Row.
pub const KIND: &str = "Kind";
/// Row.
pub const VALUE: &str = "Value";
/// Row.
pub const STANDING: &str = "Standing";
/// Row: a person or organisation named in the entry.
pub const BY: &str = "Recorded by";
/// The resource itself.
pub const AS_STORED: &str = "The entry as it is stored (FHIR)";
/// Back.
pub const BACK_TO_SUMMARY: &str = "Back to the summary";

/// Place in the log.
pub fn place(place: u64, read_to: Option<u64>) -> String {
    match read_to {
        Some(read_to) => format!("entry {place} of {read_to} that were read"),
        None => format!("entry {place} of another log of this patient, whose identities were merged"),
    }
}
