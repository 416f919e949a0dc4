//! Many seeds of the simulated exchange, each in a process of its own.
//!
//! `SEALWORT_SIMULATION_SEEDS=5000` runs more of them, `SEALWORT_SIMULATION_SEEDS=200..400` others, and
//! `SEALWORT_SEED=17` one. What fails prints the command that repeats it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeMap;
use std::ops::Range;
use std::process::{Command, Output};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

const PROGRAM: &str = env!("CARGO_BIN_EXE_sealwort-simulation");
/// Seeds of an ordinary run of the tests.
const SEEDS: u64 = 200;
/// Seeds in which a planted fault must show.
const SEEDS_OF_A_PLANTED_FAULT: u64 = 60;
/// Every fault that can be planted, and a word of the rule that it breaks.
const PLANTED: [(&str, &str); 4] = [
    ("deposits-forgotten", "entries"),
    ("receipt-too-early", "witness"),
    ("witness-stands", "witnessed"),
    ("directive-in-memory", "directive"),
];

fn run(seed: u64, arguments: &[&str]) -> Output {
    Command::new(PROGRAM).arg(seed.to_string()).args(arguments).output().expect("the simulation starts")
}

fn text(output: &Output) -> String {
    let (told, complained) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    format!("{told}{complained}")
}

/// The lines that name a broken rule.
fn broken(output: &Output) -> Vec<String> {
    text(output).lines().filter(|line| line.contains("FAILED")).map(str::to_owned).collect()
}

fn wanted() -> Range<u64> {
    let number = |text: &str| text.trim().parse::<u64>().unwrap_or_else(|_| panic!("`{text}` is no number of seeds"));
    if let Ok(seed) = std::env::var("SEALWORT_SEED") {
        let seed = number(&seed);
        return seed..seed + 1;
    }
    match std::env::var("SEALWORT_SIMULATION_SEEDS") {
        Err(_) => 1..SEEDS + 1,
        Ok(text) => match text.split_once("..") {
            Some((first, end)) => number(first)..number(end),
            None => 1..number(&text) + 1,
        },
    }
}

/// Runs the seeds on all processors and hands each outcome over.
fn each(seeds: Range<u64>, arguments: &[&str], look: impl Fn(u64, Output) + Sync) {
    let next = AtomicU64::new(seeds.start);
    let workers = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..workers {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= seeds.end {
                        return;
                    }
                    look(seed, run(seed, arguments));
                }
            });
        }
    });
}

#[test]
fn every_seed_keeps_the_rules() {
    let seeds = wanted();
    let count = seeds.end - seeds.start;
    let begun = Instant::now();
    let failed = Mutex::new(BTreeMap::new());
    each(seeds, &[], |seed, output| {
        if count == 1 {
            println!("{}", text(&output));
        }
        if !output.status.success() {
            failed.lock().unwrap().insert(seed, text(&output));
        }
    });
    let seconds = begun.elapsed().as_secs_f64();
    println!("{count} seeds in {seconds:.1} s, {:.1} seeds/s", f64::from(u32::try_from(count).unwrap()) / seconds);
    let failed = failed.into_inner().unwrap();
    for (seed, what) in &failed {
        println!("seed {seed}; again with: cargo run -p sealwort-simulation -- {seed} --trace TRACE\n{what}");
    }
    assert!(failed.is_empty(), "{} of {count} seeds failed: {:?}", failed.len(), failed.keys().collect::<Vec<_>>());
}

#[test]
fn a_seed_repeats_its_run_to_the_byte() {
    let outcomes: Vec<_> = (1..=8).map(|seed| (run(seed, &[]), run(seed, &[]))).collect();
    for (seed, (first, again)) in (1..).zip(&outcomes) {
        assert!(text(first).contains(" trace "), "seed {seed} tells its trace: {}", text(first));
        assert_eq!(text(first), text(again), "seed {seed} runs in one way only");
    }
    let hash = |output: &Output| text(output).split_whitespace().nth(3).map(str::to_owned);
    let mut hashes: Vec<_> = outcomes.iter().map(|(first, _)| hash(first)).collect();
    hashes.sort();
    hashes.dedup();
    assert_eq!(hashes.len(), outcomes.len(), "and no other seed runs in the same way");
}

#[test]
fn every_planted_fault_is_found() {
    for (fault, word) in PLANTED {
        let found = (1..=SEEDS_OF_A_PLANTED_FAULT).find_map(|seed| {
            let rules = broken(&run(seed, &["--plant", fault]));
            rules.into_iter().find(|rule| rule.contains(word)).map(|rule| (seed, rule))
        });
        let (seed, rule) = found.unwrap_or_else(|| panic!("{fault} shows in none of {SEEDS_OF_A_PLANTED_FAULT} seeds"));
        println!("{fault} is found: {rule}");
        // It is the fault that is found, and nothing else.
        assert!(broken(&run(seed, &[])).is_empty(), "seed {seed} fails without the fault, too");
    }
}
