//! The corpora of `fuzz/corpus` through the functions that found them, and scripts from a fixed seed, so that every
//! target runs in the test suite too.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::io::ErrorKind;
use std::path::Path;
use std::time::Instant;

use sealwort_corpora::{TARGETS, Target};

/// Inputs that every corpus holds at least.
const INPUTS_MIN: usize = 10;
/// All corpora together, in bytes.
const CORPORA_BYTES_MAX: u64 = 1_500_000;
/// Random scripts for each target.
const SCRIPTS: usize = 100;

/// Runs one input and says which one it was when a property does not hold.
fn check((name, run): Target, what: &str, bytes: &[u8]) {
    let outcome = std::panic::catch_unwind(|| run(bytes));
    assert!(outcome.is_ok(), "{name}: {what} breaks a property");
}

#[test]
fn every_input_of_every_corpus_holds() {
    let corpora = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus");
    let mut total = 0;
    for target in TARGETS {
        let begun = Instant::now();
        let folder = corpora.join(target.0);
        let mut files: Vec<_> = std::fs::read_dir(&folder)
            .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
            .map(|file| file.unwrap().path())
            .collect();
        files.sort();
        assert!(files.len() >= INPUTS_MIN, "{}: {} inputs", target.0, files.len());
        for file in &files {
            // A fuzzer that runs meanwhile replaces inputs by smaller ones.
            let bytes = match std::fs::read(file) {
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                read => read.unwrap(),
            };
            total += bytes.len() as u64;
            check(target, &file.display().to_string(), &bytes);
        }
        println!("{}: {} inputs in {:.1} s", target.0, files.len(), begun.elapsed().as_secs_f64());
    }
    assert!(total <= CORPORA_BYTES_MAX, "the corpora have {total} bytes: minimise them, see fuzz/README.md");
}

#[test]
fn random_scripts_hold() {
    for target in TARGETS {
        let begun = Instant::now();
        let mut state = 20_301_u64;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            state >> 33
        };
        for number in 0..SCRIPTS {
            let length = next() % 120;
            let bytes: Vec<u8> = (0..length).map(|_| next().to_le_bytes()[0]).collect();
            check(target, &format!("script {number}"), &bytes);
        }
        println!("{}: {SCRIPTS} scripts in {:.1} s", target.0, begun.elapsed().as_secs_f64());
    }
}
