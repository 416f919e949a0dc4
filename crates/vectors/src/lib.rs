//! Test vectors of `spec/protocol.md`: [`generate`] makes them from seeds with the real code, [`check`] does to a
//! vector's input what its kind says and gives what came out. `spec/vectors/README.md` describes the files.
//!
//! This crate is a tool and a test. It is no part of a service.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a vector that cannot be made or read must stop the run"
)]

pub mod cbor;
pub mod check;
pub mod forge;
pub mod generate;
pub mod run;
pub mod setting;
pub mod vector;
