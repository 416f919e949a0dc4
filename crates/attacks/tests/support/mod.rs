//! What all attacks share: chance from a seed, messages as trees, parties in memory, and the count of what was tried.
#![allow(dead_code, unreachable_pub, reason = "each test binary uses a part of it")]

pub mod chance;
pub mod malice;
pub mod mutation;
pub mod nine_steps;
pub mod seven_steps;
pub mod tally;
pub mod tree;
pub mod world;
