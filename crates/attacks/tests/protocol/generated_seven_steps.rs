//! Every field of every message of the seven steps altered: on the wire, and by the party that sends it (who can
//! seal whatever it likes, but cannot sign for others). Nothing but the honest reading comes out.

use std::collections::BTreeSet;

use super::support::chance::seeded;
use super::support::mutation::{Mutation, mutations};
use super::support::nine_steps::Session;
use super::support::seven_steps::{CONTENTS, Layer, Patient, Read, Reading};
use super::support::tally::{Tally, is_named};
use super::support::world::World;

/// What has no effect, by design: the content, a path that it begins with, classes, and why.
const WITHOUT_EFFECT: [(&str, &str, &[&str], &str); 6] = [
    (
        "4 token",
        "1/0/2",
        &["duplicated", "reordered"],
        "sub-halves are a set: twice or in another order, they are the same keys",
    ),
    ("6 grant", "1/0/3", &["duplicated", "reordered"], "sub-halves are a set there, too"),
    (
        "6 grant",
        "1/0/1",
        &["bit flip", "boundary"],
        "the archive may end an authority earlier, and later by the clocks' skew",
    ),
    (
        "6 grant",
        "1/0/5",
        &["bit flip", "boundary"],
        "a head after the witnessed one is checked by whoever writes after it; a reading goes by witness and receipt",
    ),
    (
        "6 grant",
        "1/0/2",
        &["dropped", "truncated"],
        "the archive may grant less; what it then keeps back is counted as withheld",
    ),
    (
        "7 entries",
        "1/1",
        &["duplicated", "reordered", "extended", "truncated"],
        "certificates may come in any number and order: each is verified, and an entry needs its own",
    ),
];

#[test]
fn every_field_of_every_message_altered_by_its_sender_or_on_the_wire() {
    let (mut chance, _seeded) = seeded("fields of the seven steps");
    let world = World::new();
    let (session, elsewhere) = (world.session(), world.session());
    let (patient, other) = (Patient::new(&world, 1), Patient::new(&world, 2));
    let recorded = record(&world, &session, &patient);
    // Values that are valid elsewhere: of another patient over another session.
    let others = record(&world, &elsewhere, &other);
    let mut tally = Tally::default();
    let mut used = BTreeSet::new();
    let mut reading = Reading::new(&world, &session, &patient);
    let honest = reading.honest();
    for ((name, layer, message), (_, _, other)) in recorded.iter().zip(&others) {
        for mutation in mutations(message, other, &mut chance) {
            let what = format!("{name} {} at {}", mutation.class, mutation.path);
            let outcome = reading.read(&mut |at, place, bytes| {
                if at == *name && place == *layer { again(&bytes, message, &mutation) } else { bytes }
            });
            match outcome {
                Err(error) => {
                    assert!(is_named(&error), "{what}: {error}");
                    tally.refused(mutation.class, error.code());
                }
                Ok(read) => {
                    let reason = reason(name, *layer, &mutation);
                    let reason = reason.unwrap_or_else(|| panic!("{what}: it was taken, and no reason is known"));
                    used.insert(reason);
                    assert!(is_honest_or_less(&read, &honest), "{what}: something else was read: {read:?}");
                    tally.without_effect(mutation.class);
                }
            }
        }
        // Whatever was refused, the session serves honest readings as before.
        assert_eq!(reading.honest(), honest, "after {name}");
    }
    tally.finish(
        "fields of the seven steps",
        &[
            ("bit flip", 150),
            ("boundary", 400),
            ("other value", 80),
            ("truncated", 250),
            ("extended", 250),
            ("dropped", 150),
            ("duplicated", 120),
            ("reordered", 100),
            ("wrong type", 250),
            ("form", 30),
        ],
    );
    for (name, path, classes, why) in WITHOUT_EFFECT {
        println!("  no effect by design: {name} at {path} {classes:?}: {why}");
        assert!(used.contains(why), "{name} at {path}: the reason is not needed any more");
    }
}

fn reason(name: &str, layer: Layer, mutation: &Mutation) -> Option<&'static str> {
    let fits = |(of, path, classes, _): &&(&str, &str, &[&str], &str)| {
        *of == name && mutation.path.starts_with(path) && classes.contains(&mutation.class)
    };
    WITHOUT_EFFECT.iter().filter(|_| layer == Layer::Content).find(fits).map(|(_, _, _, why)| *why)
}

/// Every message of a reading, as content and as it travels.
fn record(world: &World, session: &Session, patient: &Patient) -> Vec<(&'static str, Layer, Vec<u8>)> {
    let mut seen = Vec::new();
    Reading::new(world, session, patient)
        .read(&mut |name, layer, bytes| {
            seen.push((name, layer, bytes.clone()));
            bytes
        })
        .unwrap();
    assert_eq!(seen.len(), 2 * CONTENTS.len());
    seen
}

/// The alteration of a recorded message, made to the same message of this reading.
fn again(now: &[u8], recorded: &[u8], mutation: &Mutation) -> Vec<u8> {
    super::graft::graft(now, recorded, &mutation.bytes)
}

fn is_honest_or_less(read: &Read, honest: &Read) -> bool {
    read.records.iter().all(|record| honest.records.contains(record))
}
