//! The rules of this workspace, read by the tests beside this file: what `cargo metadata` says of the
//! dependencies ([`metadata`]), what the sources name ([`source`]) and what the specification says ([`spec`]).
//! Only tests use this crate; where something cannot be read it stops with a panic that says what.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "only tests use this crate, and a rule that cannot be read must fail"
)]

pub mod cbor;
pub mod cddl;
pub mod licence;
pub mod limit;
pub mod metadata;
pub mod source;
pub mod spec;
pub mod wire;

use std::path::{Path, PathBuf};

/// The folder of the workspace.
pub fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).expect("this crate lies two folders below the workspace").to_owned()
}

/// A file of the workspace, by its path from the root.
pub fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Fails with one line for each breach.
///
/// # Panics
/// When there is a breach.
pub fn check(rule: &str, breaches: &[String]) {
    assert!(breaches.is_empty(), "{rule}\n  {}\n", breaches.join("\n  "));
}
