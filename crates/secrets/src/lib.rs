//! Secrets seen from outside the code that handles them. The two programs of this crate are run by its tests: one
//! compares secrets while valgrind watches what it branches on, the other runs whole sessions and has its memory
//! searched. Only tests use this crate.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "only tests use this crate, and what cannot be set up must fail"
)]

pub mod masked;
pub mod memory;

/// What the program `sessions` says when its sessions live and every secret made so far was told.
pub const LIVE: &str = "live";
/// What it says when they have ended.
pub const ENDED: &str = "ended";
