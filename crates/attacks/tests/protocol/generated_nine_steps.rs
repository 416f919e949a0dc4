//! Every field of every message of the nine steps altered on the wire, and every message put in the place of every
//! other: nobody establishes a session over it, and everybody can run an honest one afterwards.

use sealwort_pki::KeyAlgorithm;

use super::graft::graft;
use super::support::chance::seeded;
use super::support::mutation::mutations;
use super::support::nine_steps::{Cast, MESSAGES, Run, step_of};
use super::support::tally::{Tally, is_named, memory_kib};
use super::support::world::World;
use sealwort_proto::{ProtocolError, Step};

/// Runs before memory is measured for the first time.
const CASES_OF_WARMTH: usize = 200;
/// Refused runs between the two measurements. The messages of each are some 30 KiB.
const CASES_OF_MEMORY: usize = 1_500;
/// Memory that they may leave behind, in KiB: a third of their messages.
const GROWTH_KIB_MAX: u64 = 15 * 1024;

#[test]
fn every_field_of_every_message_altered_on_the_wire() {
    let (mut chance, _seeded) = seeded("fields of the nine steps");
    let mut tally = Tally::default();
    for algorithm in KeyAlgorithm::ALL {
        let world = World::with(algorithm);
        let (recording, other) = (world.recording(), world.recording());
        for ((name, message), (_, elsewhere)) in recording.iter().zip(&other) {
            for mutation in mutations(message, elsewhere, &mut chance) {
                // The mutation of the recorded message is applied to the message of the run at hand by the same path;
                // most of its other fields are those of the run, so that only the altered one is wrong.
                let what = format!("{name} {} at {}", mutation.class, mutation.path);
                let run = world.cast().run(&mut |at, bytes| {
                    if at == *name { graft(&bytes, message, &mutation.bytes) } else { bytes }
                });
                tally.refused(mutation.class, &refused(run, name, &what));
            }
        }
        // Nothing of all this is left with the parties.
        world.session();
    }
    tally.finish(
        "fields of the nine steps, altered on the wire",
        &[
            ("bit flip", 300),
            ("boundary", 900),
            ("other value", 60),
            ("truncated", 500),
            ("extended", 500),
            ("dropped", 300),
            ("duplicated", 300),
            ("reordered", 200),
            ("wrong type", 400),
            ("form", 40),
        ],
    );
}

/// Demands that a run failed by name, at or after the message that was altered, and that no two sides stand with
/// different keys. Gives the code.
fn refused(run: Run, name: &str, what: &str) -> String {
    if let (Some(broker), Some(archive)) = (run.broker_binding, run.archive_binding) {
        assert_eq!(broker, archive, "{what}: broker and archive stand with different channels of the gateway");
    }
    let place = |name: &str| MESSAGES.iter().position(|(known, _)| *known == name).unwrap_or(0);
    assert!(place(run.reached) <= MESSAGES.len() && run.reached != "9 reply", "{what}: the run went to its end");
    let Err(error) = &run.outcome else { panic!("{what}: everybody established") };
    assert!(is_named(error), "{what}: {error}");
    assert!(!step_is_before(error, step_of(name)), "{what}: {error}");
    error.code().to_owned()
}

/// Whether an error blames a step that came before the message that was altered.
fn step_is_before(error: &ProtocolError, altered: u8) -> bool {
    // In time, steps 6 to 8 lie between 4 and 5.
    let order = |step: u8| [1, 2, 3, 4, 6, 7, 8, 5, 9].iter().position(|s| *s == step);
    matches!(error.step, Step::Authentication(step) if order(step) < order(altered))
}

#[test]
fn every_message_in_the_place_of_every_other() {
    let (_, _seeded) = seeded("messages of the nine steps");
    let world = World::new();
    let mut tally = Tally::default();
    let own = world.recording();
    let sources: [(&str, Vec<(&'static str, Vec<u8>)>); 4] = [
        ("replayed", own),
        ("another session", world.recording()),
        (
            "another party",
            Cast::of(&world, &world.rogue_gateway, &world.rogue_broker, &world.rogue_archive).recording().0,
        ),
        ("another party", Cast::of(&world, &world.rogue_gateway, &world.broker, &world.archive).recording().0),
    ];
    for (name, _) in MESSAGES {
        for (class, source) in &sources {
            for (from, message) in source {
                let class = if *from == name { class } else { "another role" };
                let what = format!("{from} of {class} in the place of {name}");
                let run = world.cast().run(&mut |at, bytes| if at == name { message.clone() } else { bytes });
                tally.refused(class, &refused(run, name, &what));
            }
        }
        // Messages of this very run: an earlier one again, so that the awaited one is dropped and the order changes.
        let place = MESSAGES.iter().position(|(known, _)| *known == name).unwrap();
        for (from, _) in &MESSAGES[..place] {
            let mut seen = Vec::new();
            let run = world.cast().run(&mut |at, bytes| {
                seen.push((at, bytes.clone()));
                let earlier = seen.iter().find(|(known, _)| known == from).map(|(_, bytes)| bytes.clone());
                if at == name { earlier.unwrap_or(bytes) } else { bytes }
            });
            let class = if is_own_echo(from, name) { "reflected" } else { "reordered" };
            tally.refused(class, &refused(run, name, &format!("{from} of the same run in the place of {name}")));
        }
        // Nothing at all.
        let run = world.cast().run(&mut |at, bytes| if at == name { Vec::new() } else { bytes });
        tally.refused("dropped", &refused(run, name, &format!("{name} dropped")));
    }
    world.session();
    tally.finish(
        "messages of the nine steps in each other's place",
        &[
            ("replayed", 14),
            ("another session", 14),
            ("another party", 28),
            ("another role", 700),
            ("reordered", 40),
            ("reflected", 20),
            ("dropped", 14),
        ],
    );
}

/// Whether a message goes back to the party that sent it.
fn is_own_echo(from: &str, awaited: &str) -> bool {
    let sender = |name: &str| match name {
        "1 hello" | "4 share" | "9 completion" => 'L',
        "3 acceptance" | "7 answer" | "8 reply" | "9 reply" => 'M',
        _ => 'T',
    };
    let receiver = match awaited {
        "1 hello" | "3 acceptance" | "4 share" | "7 answer" | "8 reply" | "9 completion" | "9 reply" => 'T',
        "3 presentation" | "5+8 answer" | "confirmation" => 'L',
        _ => 'M',
    };
    sender(from) == receiver
}

#[test]
fn refused_runs_leave_no_memory_behind() {
    let (mut chance, _seeded) = seeded("memory of refused runs");
    let world = World::new();
    let mut one = || {
        let name = MESSAGES[chance.below(MESSAGES.len())].0;
        let run = world.cast().run(&mut |at, mut bytes| {
            if at == name {
                let place = chance.below(bytes.len());
                bytes[place] ^= 1;
            }
            bytes
        });
        refused(run, name, name);
    };
    (0..CASES_OF_WARMTH).for_each(|_| one());
    let before = memory_kib();
    (0..CASES_OF_MEMORY).for_each(|_| one());
    let after = memory_kib();
    println!("{CASES_OF_MEMORY} refused runs: {before} KiB before, {after} KiB after");
    assert!(after < before + GROWTH_KIB_MAX, "memory grew from {before} to {after} KiB");
}
