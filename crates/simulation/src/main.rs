//! The whole exchange on one thread, from one seed: the real gateways, broker and archive over a simulated network
//! with loss, delay, duplication, partitions, crashes and wrong clocks, while hospitals write, read, grant and
//! withdraw. A seed repeats its run to the byte.
//!
//! Real: the services with their handlers, sessions, retries, outbox and notices; HTTP/2; TLS 1.3 with its certificates
//! and exporter; every protocol message. Simulated: sockets, time, the disk (a store in memory that passes the
//! conformance suite and keeps what was committed), randomness, the key exchange of TLS, the service of the certificate
//! authority (it publishes revocation lists and nothing else), and threads: everything runs in one.
//!
//! Not covered: SQLite and real disks (`crates/store/tests`), enrolment and renewal (`crates/ca`), several processors at
//! once. A lost segment is not sent again, so loss shows as a connection that hangs; a message that arrives twice does so
//! inside TLS, on the hops of the nine steps and of the L–T and T–M channels.
//!
//! One process runs one seed. `tests/seeds.rs` starts many:
//!
//! ```text
//! sealwort-simulation SEED [--plant FAULT] [--trace FILE] [--log FILTER]
//! ```

mod codes;
mod dice;
mod exchange;
mod ledger;
mod network;
mod plan;
mod planted;
mod primitives;
mod records;
mod run;
mod trace;
mod workload;

use std::path::PathBuf;
use std::process::ExitCode;

use rand::SeedableRng as _;
use run::{Options, Outcome, run};

fn main() -> ExitCode {
    let (options, log) = match arguments() {
        Ok(read) => read,
        Err(wrong) => {
            eprintln!("{wrong}; usage: sealwort-simulation SEED [--plant FAULT] [--trace FILE] [--log FILTER]");
            return ExitCode::from(2);
        }
    };
    if let Some(filter) = log {
        tracing_subscriber::fmt().with_env_filter(filter).without_time().with_writer(std::io::stderr).init();
    }
    // From here on hash keys, the order of `select!` and the clock follow from the seed. A thread of its own draws its
    // first hash keys after that.
    mad_turmoil::rand::set_rng(rand::rngs::StdRng::seed_from_u64(options.seed));
    let seed = options.seed;
    let outcome = std::thread::spawn(move || {
        let _clocks = mad_turmoil::time::SimClocksGuard::init();
        run(&options).map_err(|error| error.to_string())
    });
    match outcome.join() {
        Ok(Ok(outcome)) => report(seed, &outcome),
        Ok(Err(error)) => {
            println!("seed {seed} FAILED: {error}");
            ExitCode::FAILURE
        }
        Err(_) => {
            println!("seed {seed} FAILED: the simulation itself stopped");
            ExitCode::FAILURE
        }
    }
}

fn report(seed: u64, outcome: &Outcome) -> ExitCode {
    let Outcome { totals, trace, simulated, faults, doubled } = outcome;
    println!(
        "seed {seed} trace {} segments {} bytes {} simulated {:.1} s faults {faults} stored {} queued {} readings {}",
        trace.hash,
        trace.segments,
        trace.bytes,
        simulated.as_secs_f64(),
        totals.stored,
        totals.queued,
        totals.readings,
    );
    println!("answers {:?}", totals.codes);
    println!("doubled {doubled:?}");
    for violation in &totals.violations {
        println!("seed {seed} FAILED: {violation}");
    }
    if totals.violations.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn arguments() -> Result<(Options, Option<String>), String> {
    let mut words = std::env::args().skip(1);
    let seed = words.next().ok_or("a seed is missing")?;
    let seed = seed.parse().map_err(|_| format!("{seed} is no seed"))?;
    let (mut options, mut log) = (Options { seed, plant: None, trace: None }, None);
    while let Some(word) = words.next() {
        let value = words.next().ok_or_else(|| format!("{word} needs a value"))?;
        match word.as_str() {
            "--plant" => options.plant = Some(value.parse()?),
            "--trace" => options.trace = Some(PathBuf::from(value)),
            "--log" => log = Some(value),
            _ => return Err(format!("{word} is unknown")),
        }
    }
    Ok((options, log))
}
