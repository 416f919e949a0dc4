//! Writes the seeds of every target, or of those named: `cargo run -p sealwort-corpora --example seeds FOLDER [TARGET…]`.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a tool for the bench stops and says why")]

use std::path::PathBuf;

use sealwort_corpora::TARGETS;
use sealwort_corpora::seeds::seeds;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let folder = PathBuf::from(arguments.next().expect("the folder of the corpora"));
    let wanted: Vec<String> = arguments.collect();
    for (name, run) in TARGETS {
        if !wanted.is_empty() && !wanted.iter().any(|target| target == name) {
            continue;
        }
        let corpus = folder.join(name);
        std::fs::create_dir_all(&corpus).unwrap();
        let seeds = seeds(name);
        for (number, seed) in seeds.iter().enumerate() {
            run(seed);
            std::fs::write(corpus.join(format!("seed-{number:03}")), seed).unwrap();
        }
        println!("{name}: {} seeds", seeds.len());
    }
}
