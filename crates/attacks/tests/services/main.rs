//! Attacks on broker and archive as they run, over TLS on loopback: what the services decide that the protocol's
//! state machines do not. `crates/cli/tests` has attacks on whole processes and their data folders.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![allow(clippy::similar_names, reason = "the parties' letters are the paper's")]
#![allow(
    clippy::items_after_statements,
    clippy::needless_pass_by_value,
    clippy::single_match_else,
    reason = "tests read from top to bottom"
)]

#[path = "../support/mod.rs"]
mod support;

mod cut_off;
mod exchange;
mod generated;
mod hospital;
mod league;
mod lying_archive;
