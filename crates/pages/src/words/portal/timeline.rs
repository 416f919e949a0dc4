//! Words of *Timeline*.

pub const FIND: &str = "Find";
pub const FIND_WORDS: &str = "Words to look for";
pub const FIND_KIND: &str = "What kind";
pub const EVERYTHING: &str = "Everything";
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
