//! Attacks on the protocol's state machines, in memory. The attacker has the network, or is a party with a valid
//! certificate; `README.md` has the list. Cases are generated from a seed that is printed; `SEALWORT_SEED` sets it.
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

mod agreement;
mod generated_frames;
mod generated_nine_steps;
mod generated_seven_steps;
mod generated_signed;
mod graft;
mod records;
mod vouching;
