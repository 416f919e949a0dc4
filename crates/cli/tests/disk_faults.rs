//! Disks that fail under running services: an fsync that reports an error, and bits that flip. What was not synced is
//! never acknowledged, what was acknowledged is there after a restart, and no flipped bit ever shows as a record.
//!
//! `SEALWORT_FLIPS` is how many bits are flipped, `SEALWORT_SEED` repeats which. They need `strace` for the failing calls,
//! and say so loudly where it is not.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "../../store/tests/support/place.rs"]
mod place;
mod support;

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};

use place::Random;
use support::{Party, World, bundle, encode, identifier, text, until};

const OBSERVATIONS: usize = 20;
const FLIPS: u64 = 20;
const PATIENTS: usize = 6;

/// Makes the next sync of a file by a running party fail with EIO, and that one alone: trying again would succeed.
struct Failing(Child);

impl Failing {
    fn begin(world: &World, party: Party, file: &str) -> Option<Self> {
        let file = world.folder(party).join(file);
        let mut strace = Command::new("strace")
            .args(["-f", "-o", "/dev/null", "-P", text(&file), "-e", "trace=fsync,fdatasync"])
            .args(["-e", "inject=fsync,fdatasync:error=EIO:when=1", "-p", &world.id(party).to_string()])
            .stderr(Stdio::piped())
            .spawn()
            .ok()?;
        let mut lines = BufReader::new(strace.stderr.take().unwrap()).lines();
        // It says so for each thread; one that is attached later would be missed.
        let attached = lines.by_ref().map_while(Result::ok).find(|line| line.contains("attached"));
        std::thread::spawn(move || lines.for_each(drop));
        attached.map(|_| Self(strace))
    }
}

impl Drop for Failing {
    fn drop(&mut self) {
        // SIGINT: it lets the process go.
        let _ = Command::new("kill").args(["-INT", &self.0.id().to_string()]).status();
        let _ = self.0.wait();
    }
}

#[test]
fn what_could_not_be_synced_is_not_acknowledged_until_a_restart() {
    let mut world = World::start();
    assert_eq!(world.put(Party::HospitalA, &bundle(0, OBSERVATIONS)).unwrap().status, 200);
    for (round, party) in [Party::Archive, Party::Broker].into_iter().enumerate() {
        let Some(failing) = Failing::begin(&world, party, "store.sqlite-wal") else {
            eprintln!("SKIPPED: strace is not here or may not attach, so no sync of a service is made to fail");
            return;
        };
        for attempt in 1..5 {
            let told = world.put(Party::HospitalA, &bundle(10 * round + attempt, 2)).unwrap();
            assert!(!matches!(told.status, 200 | 201), "{party:?} {attempt}: {}", told.status);
        }
        drop(failing);
        // The disk is well again, as far as anybody can tell; what it holds is not known.
        let told = world.put(Party::HospitalA, &bundle(10 * round + 5, 2)).unwrap();
        assert!(!matches!(told.status, 200 | 201), "{party:?} writes on: {}", told.status);
        assert!(world.log_text(party).contains("until the service is restarted"), "{party:?}");
        assert_eq!(resources(&world, 0).len(), OBSERVATIONS + 1, "{party:?}: reading goes on");
        assert!(world.stop(party).success());
        world.restart(party);
        until(|| (world.put(Party::HospitalA, &bundle(10 * round + 6, 2)).unwrap().status == 200).then_some(()));
    }
    // What the gateway queued meanwhile arrives.
    until(|| (world.get(Party::HospitalA, "/status").unwrap().json()["waiting"] == 0).then_some(()));
    assert_eq!(resources(&world, 0).len(), OBSERVATIONS + 1);
}

#[test]
fn a_gateway_that_cannot_sync_its_outbox_acknowledges_nothing() {
    let mut world = World::start();
    assert_eq!(world.put(Party::HospitalA, &bundle(0, 2)).unwrap().status, 200);
    world.kill(Party::Broker);
    assert_eq!(world.put(Party::HospitalA, &bundle(0, 3)).unwrap().status, 202, "queued");
    let Some(failing) = Failing::begin(&world, Party::HospitalA, "store.sqlite-wal") else {
        eprintln!("SKIPPED: strace is not here or may not attach, so no sync of a gateway is made to fail");
        return;
    };
    for observations in 4..8 {
        let told = world.put(Party::HospitalA, &bundle(0, observations)).unwrap();
        assert!(told.status >= 500, "{}", told.status);
    }
    drop(failing);
    let told = world.put(Party::HospitalA, &bundle(0, 9)).unwrap();
    assert!(told.status >= 500, "{}", told.status);
    assert!(world.log_text(Party::HospitalA).contains("until the service is restarted"));
    assert!(world.stop(Party::HospitalA).success());
    world.restart(Party::HospitalA);
    world.restart(Party::Broker);
    until(|| (world.get(Party::HospitalA, "/status").unwrap().json()["waiting"] == 0).then_some(()));
    assert!(resources(&world, 0).len() >= 4, "what was queued before arrived");
}

/// A bit is flipped somewhere in the store of archive or broker, many times over, each time in the sound file.
#[test]
fn flipped_bits_are_found_or_harmless_and_never_shown() {
    let mut world = World::start();
    for patient in 0..PATIENTS {
        assert_eq!(world.put(Party::HospitalA, &bundle(patient, OBSERVATIONS)).unwrap().status, 200);
    }
    let sound: Vec<_> = (0..PATIENTS).map(|patient| resources(&world, patient)).collect();
    assert!(sound.iter().all(|all| all.len() == OBSERVATIONS + 1));
    let parties = [Party::Archive, Party::Broker];
    for party in parties {
        assert!(world.stop(party).success());
    }
    let files = parties.map(|party| {
        let file = world.folder(party).join("store.sqlite");
        (fs::read(&file).unwrap(), file)
    });
    for party in parties {
        world.restart(party);
    }

    let mut random = Random::seeded("flipped bits");
    let (mut refused_to_start, mut harmless, mut refused, mut served_beside) = (0, 0, 0, 0);
    let flips = place::number("SEALWORT_FLIPS", FLIPS);
    // Until one was found: most of a small file are gaps and indices.
    for flip in 0..10 * flips {
        if flip >= flips && refused_to_start + refused > 0 {
            break;
        }
        let which = usize::try_from(flip % 2).unwrap();
        let (party, (content, file)) = (parties[which], &files[which]);
        world.kill(party);
        let place = usize::try_from(random.below(content.len() as u64)).unwrap();
        let mut flipped = content.clone();
        flipped[place] ^= 1 << random.below(8);
        for left in ["store.sqlite-wal", "store.sqlite-shm"] {
            let _ = fs::remove_file(world.folder(party).join(left));
        }
        fs::write(file, &flipped).unwrap();
        if let Some(reason) = world.restart_or_refusal(party) {
            assert!(
                reason.contains("store.sqlite") || reason.contains("storage failed"),
                "byte {place} of {party:?}: {reason}"
            );
            refused_to_start += 1;
        } else {
            // What the gateway holds open it does not ask for again.
            world.kill(Party::HospitalA);
            world.restart(Party::HospitalA);
            let mut served = 0;
            for (patient, sound) in sound.iter().enumerate() {
                match try_resources(&world, patient) {
                    Ok(found) => {
                        assert!(found == *sound, "byte {place} of {party:?}: patient {patient} shows something else");
                        served += 1;
                    }
                    Err(status) => assert!(status >= 400, "byte {place} of {party:?}: {status}"),
                }
            }
            harmless += usize::from(served == PATIENTS);
            refused += usize::from(served < PATIENTS);
            served_beside += usize::from(served < PATIENTS && served > 0);
            world.kill(party);
        }
        // The sound file again, so that the next flip stands alone.
        for left in ["store.sqlite-wal", "store.sqlite-shm"] {
            let _ = fs::remove_file(world.folder(party).join(left));
        }
        fs::write(file, content).unwrap();
        world.restart(party);
    }
    println!(
        "{refused_to_start} flips found at the start, {refused} at a reading ({served_beside} times others were served \
         beside), {harmless} in nothing that counts"
    );
    assert!(refused_to_start + refused > 0, "no flip met anything that counts");
}

/// What a hospital is shown of a patient, by type and id, digit by digit; nothing where it is refused.
fn resources(world: &World, patient: usize) -> BTreeMap<String, String> {
    try_resources(world, patient).unwrap_or_else(|status| panic!("patient {patient}: {status}"))
}

fn try_resources(world: &World, patient: usize) -> Result<BTreeMap<String, String>, u16> {
    let search = format!("/fhir/Patient?identifier={}", encode(&identifier(patient)));
    let found = world.get(Party::HospitalA, &search).unwrap();
    if !found.is_success() {
        return Err(found.status);
    }
    let id = found.json()["entry"][0]["resource"]["id"].as_str().expect("a patient who was stored").to_owned();
    let all = world.get(Party::HospitalA, &format!("/fhir/Patient/{id}/$everything?_count=500")).unwrap();
    if !all.is_success() {
        return Err(all.status);
    }
    let all = all.json();
    let entries = all["entry"].as_array().unwrap();
    Ok(entries.iter().map(|entry| (entry["fullUrl"].to_string(), entry["resource"].to_string())).collect())
}
