//! Keys.

/// What the page shows.
pub const KEYS_INTRODUCTION: &str = "Keys are shown by name and age; no key leaves its place.";
/// Heads the key-encryption key.
pub const KEK: &str = "Key-encryption key";
/// It is being changed.
pub const KEK_CHANGING: &str = "It is being changed now: what the old key wrapped is wrapped anew, and the old key then \
                                leaves the file.";
/// Name of the key in use.
pub const KEY_NAME: &str = "Name of the key in use";
/// Name of an older one.
pub const KEY_NAME_OLD: &str = "Name of an older key";
/// Where it is.
pub const KEY_PLACE: &str = "Where it is";
/// In a token.
pub const KEY_IN_TOKEN: &str = "in the PKCS#11 token of [keys]";
/// In the file.
pub const KEY_IN_FILE: &str = "in the file kek.key of the data folder";
/// Since when, as far as that can be told: a copy or a backup is written anew.
pub const KEY_SINCE: &str = "Its file was written";
/// When it is to be changed.
pub const KEY_DUE: &str = "To be changed by";
/// How it is changed.
pub const KEY_HOW: &str = "On the broker's computer, this changes it while the broker serves:";
/// How it gets into a token.
pub const KEY_HOW_TOKEN: &str = "And this takes it into a token, which [keys] of the configuration names:";
/// Heads the certificates' keys.
pub const OWN_KEYS: &str = "Keys of the broker's certificates";
/// How they are renewed.
pub const OWN_KEYS_HOW: &str =
    "Both are made anew with each certificate, at two thirds of its time, without anybody's help.";
/// Columns.
pub const KEY_COLUMNS: [&str; 4] = ["Key", "Serial of its certificate", "Valid from", "Until"];
/// The key of connections.
pub const HOP_KEY: &str = "of connections (TLS)";
/// The key of signatures.
pub const STATEMENT_KEY: &str = "of signatures (statements)";
/// The next renewal.
pub const RENEWAL_DUE: &str = "Next renewal";
/// What to do where it does not come.
pub const RENEWAL_HOW: &str = "If it does not come, this says why:";
/// Heads what lies under the key.
pub const UNDER_KEY: &str = "What lies under the key-encryption key";
/// What that is.
pub const UNDER_KEY_HOW: &str = "The broker's halves of keys, and the key that pseudonyms are made from. Whether all of it \
                                 opens, this command says; it works beside the service:";
