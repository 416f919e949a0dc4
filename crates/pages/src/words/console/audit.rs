//! The audit log: searched and verified.

/// What the page shows.
pub const AUDIT_INTRODUCTION: &str = "This broker's own log of what it did and refused. Every search is entered before its \
                                      results are shown.";
/// Heads the search.
pub const SEARCH: &str = "Search";
/// Field.
pub const KIND: &str = "What happened";
/// Field.
pub const OUTCOME: &str = "How it ended";
/// Outcomes, in the order of their numbers: the value, and what people read.
pub const OUTCOMES: [(&str, &str); 3] = [("done", "done"), ("refused", "refused"), ("failed", "failed")];
/// Field.
pub const PARTY: &str = "Other party";
/// Field.
pub const SINCE: &str = "From day (UTC)";
/// Field.
pub const UNTIL: &str = "To day, included";
/// Button.
pub const FIND: &str = "Search";
/// Columns.
pub const ENTRY_COLUMNS: [&str; 7] = ["Number", "When", "What", "Outcome", "Other party", "Who", "More"];
/// Link to older entries.
pub const OLDER: &str = "Older entries";
/// What is not shown.
pub const LEFT_OUT: &str = "Patients, and names of hospitals' users, are left out here. What is shown was not verified; \
                            for that, see below.";
/// Heads the verification.
pub const VERIFY: &str = "Verify";
/// The newest checkpoint.
pub const CHECKPOINT: &str = "Newest checkpoint";
/// Its root.
pub const ROOT: &str = "Root hash";
/// Who cosigned.
pub const COSIGNED: &str = "Cosigned";
/// Nobody did.
pub const NOT_COSIGNED: &str = "by nobody yet";
/// Button.
pub const VERIFY_NOW: &str = "Verify the whole log now";
/// Not done yet.
pub const NOT_VERIFIED: &str = "The log was not verified since this broker started.";
/// It goes on.
pub const VERIFYING: &str = "The log is being walked, entry by entry, since";
/// It was given up.
pub const GIVEN_UP: &str = "The last walk was given up, since the session of whoever began it ended:";
/// Link.
pub const LOOK_AGAIN: &str = "Look again";
/// Altered.
pub const TAMPERED: &str = "The log was altered.";
/// What to do then.
pub const TAMPERED_NEXT: &str = "Stop here: keep the files as evidence, and restore the log from a backup.";
/// It cannot be told.
pub const UNVERIFIABLE: &str = "Nothing false was found, but not everything can be told.";
/// What to do then.
pub const UNVERIFIABLE_NEXT: &str = "Ask another party for its witness file, and use the commands below.";
/// Heads the commands.
pub const CHECK_OUTSIDE: &str = "To check it without trusting this broker";
/// The export.
pub const CHECK_OUTSIDE_HOW: &str = "On the broker's computer, export the entries of a day with their proof:";
/// The witness file.
pub const CHECK_WITNESS_HOW: &str = "On the archive's computer, write down what the archive remembers of this log:";
/// The check.
pub const CHECK_VERIFY_HOW: &str =
    "Anywhere, without any network, with the root certificate from the exchange's operator:";

/// Seconds beside a moment that names the minute.
pub fn seconds_of(seconds: u64) -> String {
    format!(":{seconds:02}")
}

/// How many entries.
pub fn entries(count: usize) -> String {
    match count {
        0 => "No entry is like this".to_owned(),
        1 => "1 entry".to_owned(),
        count => format!("{count} entries, the newest first"),
    }
}

/// What the newest checkpoint covers.
pub fn checkpoint(size: u64) -> String {
    format!("over {size} entries, signed")
}

/// Up to where others cosigned.
pub fn cosigned(size: u64) -> String {
    format!("up to entry {size}, by")
}

/// It is good.
pub fn verified(entries: u64) -> String {
    format!("{entries} entries are as they were signed.")
}

/// How far others vouch.
pub fn witnessed(size: u64, by: &str) -> String {
    format!("Others vouch for the log up to entry {size}: {by}.")
}

/// An entry by its number.
pub fn entry(number: u64) -> String {
    format!("entry {number}")
}
