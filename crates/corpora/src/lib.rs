//! What the fuzz targets of `fuzz/` run: one function each, that takes any bytes. They live here so that the test
//! suite replays the corpora through the same functions with the stable compiler. Only tests use this crate.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "only tests use this crate, and a property that does not hold must fail"
)]
#![allow(clippy::similar_names, reason = "the parties' letters are the paper's")]

pub mod der;
pub mod input;
pub mod mutation;
pub mod seeds;
pub mod targets;
pub mod tree;
pub mod world;

/// A target: its name, which is that of its corpus, and what it runs.
pub type Target = (&'static str, fn(&[u8]));

/// Every target.
pub const TARGETS: [Target; 9] = [
    ("handshake", targets::handshake::handshake),
    ("transmission", targets::transmission::transmission),
    ("channel", targets::channel::channel),
    ("record", targets::record::record),
    ("statements", targets::statements::statements),
    ("messages", targets::messages::messages),
    ("certificates", targets::certificates::certificates),
    ("fhir", targets::fhir::fhir),
    ("configuration", targets::configuration::configuration),
];
