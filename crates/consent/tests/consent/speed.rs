//! Prints what a decision costs. Nothing is asserted about time: it depends on the build.

use std::hint::black_box;
use std::time::Instant;

use sealwort_consent::{Action, CompiledDirective, Directive, Purpose, Request, Terms};

use crate::testkit::{EXCHANGE, ISSUED, PATIENT, period, request, terms};

const ROUNDS: u32 = 2_000;
const PROVISIONS: u64 = 20;

#[test]
fn print_the_cost_of_a_decision() {
    println!("build with debug assertions: {}", cfg!(debug_assertions));
    measure("20 provisions over 7 hospitals, 4 labels permitted", 7, &[1, 2, 3, 4], 5_000);
    measure("20 provisions over 7 hospitals, 16 labels, half withheld", 7, &SIXTEEN, 5_000);
    measure("20 provisions of 1 hospital, 4 labels permitted", 1, &[1, 2, 3, 4], 5_000);
    measure("20 provisions of 1 hospital, 16 labels, half withheld", 1, &SIXTEEN, 5_000);
    measure("20 provisions of 1 hospital, all over: denied and explained", 1, &[1, 2], 2_000_000_000);
}

const SIXTEEN: [u8; 16] = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16];

fn measure(what: &str, hospitals: u64, labels: &[u8], now: u64) {
    let sentences: Vec<Terms> = (0..PROVISIONS)
        .map(|number| {
            // Periods that do not cover each other, so that none is merged away.
            terms(
                &format!("hospital-{}", number % hospitals),
                &[Action::Read, Action::Write],
                &SIXTEEN[..8],
                &[Purpose::Treatment, Purpose::EmergencyTreatment, Purpose::PatientRequest],
                period(number, 1_000_000_000 + number),
            )
        })
        .collect();
    let directive = Directive::first(EXCHANGE, PATIENT, ISSUED, sentences).unwrap();
    assert_eq!(directive.provisions().len(), 20);
    let started = Instant::now();
    let compiled = CompiledDirective::compile(&directive).unwrap();
    let compiling = started.elapsed();
    let request = Request { now, ..request("hospital-0", labels) };
    let mut times: Vec<_> = (0..ROUNDS)
        .map(|_| {
            let started = Instant::now();
            black_box(compiled.decide(black_box(&request)));
            started.elapsed()
        })
        .collect();
    times.sort_unstable();
    let median = times[times.len() / 2];
    let provisions = compiled.decide(&request).provisions().len();
    println!("{what}: median {median:?} ({provisions} provisions permit); compiled in {compiling:?}");
}
