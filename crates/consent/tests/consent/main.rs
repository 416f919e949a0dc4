//! Tests of the consent crate: data through one `check` function for each subject.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod decisions;
mod encoding;
mod explanation;
mod matrix;
mod merged;
mod plain_reading;
mod succession;
mod testkit;
mod values;
