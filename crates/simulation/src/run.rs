//! One run of a seed: hosts, time, faults, and what is watched at every step.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, UNIX_EPOCH};

use sealwort_gateway::{User, issue_token_by};
use sealwort_net::clock::TestClock;
use sealwort_net::transport::simulated::lay;
use sealwort_pki::UnixTime;
use sealwort_proto::Pseudonym;
use sealwort_proto::receipt::Witness;
use sealwort_proto::testing::Seeded;
use turmoil::Sim;

use crate::dice::Dice;
use crate::exchange::{BEGINNING_MILLIS, Failure, World};
use crate::ledger::{Ledger, Totals};
use crate::network::Simulated;
use crate::plan::{Fault, HEALED, Plan};
use crate::planted::Plant;
use crate::records::Door;
use crate::trace::{Summary, Trace};
use crate::workload::People;

/// How finely time passes.
const TICK: Duration = Duration::from_millis(10);
/// Longest run, in simulated time.
const LONGEST: Duration = Duration::from_mins(10);
/// How long the people's tokens live before and after a run begins: longer than any run, and than clocks are off.
const TOKEN_LIFETIME_SECONDS: u64 = 24 * 3600;
/// Steps between two looks at the stores.
const LOOK_EVERY_STEPS: u64 = 20;

/// What is asked for.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    pub(crate) seed: u64,
    pub(crate) plant: Option<Plant>,
    /// File for the trace in words.
    pub(crate) trace: Option<PathBuf>,
}

/// What came of it.
#[derive(Debug, Clone)]
pub(crate) struct Outcome {
    pub(crate) totals: Totals,
    pub(crate) trace: Summary,
    pub(crate) simulated: Duration,
    pub(crate) faults: usize,
    pub(crate) doubled: BTreeMap<String, u64>,
}

/// Messages of panics, wherever they happened.
static PANICS: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// Runs a seed on this thread.
pub(crate) fn run(options: &Options) -> Result<Outcome, Failure> {
    std::panic::set_hook(Box::new(|panic| {
        PANICS.lock().unwrap_or_else(PoisonError::into_inner).push(panic.to_string());
    }));
    let _seeded = Seeded::install(options.seed);
    let plan = Arc::new(Plan::of(options.seed));
    let trace = Trace::new(options.trace.as_deref())?;
    let network = Arc::new(Simulated::new(trace.clone(), options.seed));
    let _laid = lay(Arc::clone(&network) as Arc<_>);
    let folder = tempfile::tempdir_in(memory_folder())?;
    let world = World::new(folder.path(), options.seed, &plan, options.plant)?;
    let ledger = Ledger::new(trace.clone(), Arc::clone(&plan));

    let mut dice = Dice::new(options.seed, 2);
    let mut sim = turmoil::Builder::new()
        .epoch(UNIX_EPOCH)
        .rng_seed(options.seed)
        .tick_duration(TICK)
        .simulation_duration(LONGEST)
        .min_message_latency(Duration::from_millis(1))
        .max_message_latency(dice.millis(5, 80))
        .tcp_capacity(TCP_SEGMENTS)
        .build();
    sim.host("ca", world.authority());
    for host in world.places.keys() {
        if let Some(software) = world.service(host) {
            sim.host(host.as_str(), software);
        }
    }
    let people = people(&world, &plan, &ledger)?;
    sim.client("records", async move {
        people.work().await;
        Ok(())
    });
    drive(&mut sim, &world, &plan, &ledger, &network, &trace, options.seed)?;
    let simulated = sim.elapsed();
    drop(sim);
    for panic in PANICS.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
        ledger.violation(format!("panic: {panic}"));
    }
    Ok(Outcome {
        totals: ledger.totals(),
        trace: trace.summary(),
        simulated,
        faults: plan.faults.len(),
        doubled: network.doubled(),
    })
}

fn people(world: &World, plan: &Arc<Plan>, ledger: &Ledger) -> Result<People, Failure> {
    let begins = BEGINNING_MILLIS / 1000;
    let user = User { name: "dr".to_owned(), role: "physician".to_owned(), expires: begins + TOKEN_LIFETIME_SECONDS };
    // Issued the day before, so that a clock that goes back finds no token from its future.
    let clock = Arc::new(TestClock::at(UnixTime::from_secs(begins - TOKEN_LIFETIME_SECONDS)));
    let mut doors = Vec::new();
    for name in &plan.hospitals {
        let host = format!("gateway-{name}");
        let place = world.places.get(&host).ok_or("a hospital has no place")?;
        doors.push(Door { token: issue_token_by(&place.folder, &user, clock.clone())?, host });
    }
    let store = |host: &str| world.places.get(host).map(|place| place.store.clone()).ok_or("a service has no place");
    Ok(People {
        plan: Arc::clone(plan),
        ledger: ledger.clone(),
        doors: Arc::new(doors),
        broker: store("broker")?,
        archive: store("archive")?,
    })
}

fn drive(
    sim: &mut Sim<'_>,
    world: &World,
    plan: &Plan,
    ledger: &Ledger,
    network: &Simulated,
    trace: &Trace,
    plan_seed: u64,
) -> Result<(), Failure> {
    let mut faults = plan.faults.iter().peekable();
    let (mut healed, mut steps) = (false, 0);
    let mut dice = Dice::new(plan_seed, 4);
    let mut watched = Watched::default();
    loop {
        while let Some((at, fault)) = faults.next_if(|(at, _)| *at <= sim.elapsed()) {
            trace.event(*at, &format!("{fault:?}"));
            break_something(sim, world, network, fault)?;
        }
        if !healed && sim.elapsed() >= HEALED {
            healed = true;
            heal(sim, world, network);
        }
        let finished = sim.step().map_err(|error| format!("at {:?}: {error}", sim.elapsed()))?;
        steps += 1;
        if !healed && world.struck.swap(false, Ordering::Relaxed) {
            strike(sim, world, &mut dice, trace);
        }
        if finished || steps % LOOK_EVERY_STEPS == 0 {
            watched.look(world, ledger, sim.elapsed());
        }
        if finished {
            return Ok(());
        }
    }
}

fn break_something(sim: &mut Sim<'_>, world: &World, network: &Simulated, fault: &Fault) -> Result<(), Failure> {
    match fault {
        Fault::Part(a, b) => sim.partition(a.as_str(), b.as_str()),
        Fault::PartOneWay(from, to) => sim.partition_oneway(from.as_str(), to.as_str()),
        Fault::Repair(a, b) => sim.repair(a.as_str(), b.as_str()),
        Fault::Hold(a, b) => sim.hold(a.as_str(), b.as_str()),
        Fault::Release(a, b) => sim.release(a.as_str(), b.as_str()),
        Fault::Lose(a, b, thousandths) => {
            let rate = f64::from(u32::try_from(*thousandths).unwrap_or_default()) / 1000.0;
            sim.set_link_fail_rate(a.as_str(), b.as_str(), rate);
        }
        Fault::Crash(host) => sim.crash(host.as_str()),
        Fault::Start(host) => {
            if !sim.is_host_running(host.as_str()) {
                sim.bounce(host.as_str());
            }
        }
        Fault::Skew(host, seconds) => {
            if let Some(place) = world.places.get(host) {
                place.clock.skew(*seconds);
            }
        }
        Fault::Double(on) => network.doubling.store(*on, Ordering::Relaxed),
        Fault::Revoke => world.revoke("gateway-c")?,
    }
    Ok(())
}

/// A host stops right after something was committed, and starts again: the moment in which most is at stake.
fn strike(sim: &mut Sim<'_>, world: &World, dice: &mut Dice, trace: &Trace) {
    let hosts: Vec<&String> = world.places.keys().collect();
    let Some(host) = dice.pick(&hosts).filter(|host| sim.is_host_running(host.as_str())) else { return };
    trace.event(sim.elapsed(), &format!("strike {host}"));
    sim.bounce(host.as_str());
}

/// Everything works from now on.
fn heal(sim: &mut Sim<'_>, world: &World, network: &Simulated) {
    network.doubling.store(false, Ordering::Relaxed);
    let hosts: Vec<&str> = world.places.keys().map(String::as_str).chain(["ca", "records"]).collect();
    for (place, a) in hosts.iter().enumerate() {
        for b in hosts.iter().skip(place + 1) {
            sim.set_link_fail_rate(*a, *b, 0.0);
            sim.release(*a, *b);
            sim.repair(*a, *b);
        }
    }
    for (host, place) in &world.places {
        place.clock.skew(0);
        if !sim.is_host_running(host.as_str()) {
            sim.bounce(host.as_str());
        }
    }
}

/// What was seen in the stores before.
#[derive(Default)]
struct Watched {
    witnesses: BTreeMap<Pseudonym, Witness>,
    logs: BTreeMap<Pseudonym, Vec<sealwort_proto::Digest>>,
}

impl Watched {
    /// Logs only grow, the witness only moves forward and stands on its log, and what was acknowledged is there.
    fn look(&mut self, world: &World, ledger: &Ledger, at: Duration) {
        let (Some(broker), Some(archive)) = (world.places.get("broker"), world.places.get("archive")) else { return };
        let (mut entries, mut witnessed) = (0, 0);
        for patient in archive.store.patients() {
            let log: Vec<_> = archive.store.entries(patient).into_iter().map(|(hash, _)| hash).collect();
            let before = self.logs.entry(patient).or_default();
            if !log.starts_with(before) {
                ledger.violation_at(at, format!("the log of {patient} was rewritten"));
            }
            entries += log.len();
            *before = log;
        }
        for (patient, witness) in broker.store.witnesses() {
            let before = self.witnesses.insert(patient, witness);
            let back = |before: Witness| {
                before.sequence > witness.sequence
                    || (before.sequence == witness.sequence && before.head != witness.head)
            };
            if before.is_some_and(back) {
                ledger.violation_at(at, format!("the witness of {patient} went back"));
            }
            let place = usize::try_from(witness.sequence).unwrap_or(usize::MAX).wrapping_sub(1);
            if self.logs.get(&patient).and_then(|log| log.get(place)) != Some(&witness.head) {
                ledger.violation_at(at, format!("the witness of {patient} stands on no entry of its log"));
            }
            witnessed += usize::try_from(witness.sequence).unwrap_or(usize::MAX);
        }
        let stored = ledger.stored();
        if entries < stored || witnessed < stored {
            ledger.violation_at(
                at,
                format!("{stored} writes were acknowledged, {entries} entries are there and {witnessed} are witnessed"),
            );
        }
    }
}

/// Syncing a file there costs nothing.
fn memory_folder() -> PathBuf {
    let memory = PathBuf::from("/dev/shm");
    if memory.is_dir() { memory } else { std::env::temp_dir() }
}

/// Segments that wait in one connection's buffer.
const TCP_SEGMENTS: usize = 1024;
