//! An archive that goes back in time: its data folder is replaced by an older copy, by a fork, or is damaged, with
//! real processes. The broker's witnessed heads show it at the next reading and at the next writing, and what
//! was lost is there again when the right folder is back.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use support::{Answer, Party, World, bundle, errors, exit, identifier, json_of, text};

/// What a rolled-back or forked log is called.
const ROLLED_BACK: &str = "log-rolled-back";
/// Exit code for what was tampered with.
const EXIT_TAMPERED: i32 = 5;
/// Time for a service to find that its store is damaged, and to end.
const REFUSAL_PATIENCE: Duration = Duration::from_secs(20);

#[test]
fn an_older_copy_of_the_archives_folder_is_caught_at_the_next_reading_and_writing() {
    let mut world = World::start();
    write(&world, 1, 3);
    grant(&world, 1);
    write(&world, 2, 3);
    let older = copy_of(&mut world, &[Party::Archive], "older");
    write(&world, 1, 8);
    let newer = copy_of(&mut world, &[Party::Archive], "newer");
    replace(&mut world, &[Party::Archive], &older);

    // Hospital A wrote what is gone, hospital B never asked for it.
    for hospital in [Party::HospitalA, Party::HospitalB] {
        caught(&world, hospital, 1);
    }
    // Nothing is written upon it, and nothing waits to be.
    let refused = world.put(Party::HospitalA, &bundle(1, 10)).unwrap();
    told(&refused);
    let file = world.path().join("bundle.json");
    fs::write(&file, bundle(1, 10)).unwrap();
    let refused = world.run_at(Party::HospitalA, &["put", "--json", text(&file)]);
    assert_eq!(exit(&refused), EXIT_TAMPERED, "{}", errors(&refused));
    assert_eq!(json_of(&world.run_at(Party::HospitalA, &["status", "--json"]))["waiting"], 0);
    // Nor does time heal it, nor a restart of broker or gateway: the witness is on the broker's disk.
    for party in [Party::Broker, Party::HospitalA] {
        assert!(world.stop(party).success());
        world.restart(party);
        caught(&world, Party::HospitalA, 1);
        caught(&world, Party::HospitalB, 1);
    }
    // Patients whose log did not go back are not touched by it.
    assert_eq!(count(&world, Party::HospitalA, 2), 4);
    write(&world, 2, 5);

    // The right folder mends it, and what was refused can be written.
    replace(&mut world, &[Party::Archive], &newer);
    for hospital in [Party::HospitalA, Party::HospitalB] {
        assert_eq!(count(&world, hospital, 1), 9);
    }
    write(&world, 1, 10);
    assert_eq!(count(&world, Party::HospitalB, 1), 11);
    // It is now the newer copy that went back, for the other patient.
    caught(&world, Party::HospitalA, 2);
}

#[test]
fn a_fork_is_caught_whether_it_is_as_long_as_the_witnessed_log_or_longer() {
    for observations in [3, 8] {
        let mut world = World::start();
        let both = [Party::Archive, Party::Broker];
        write(&world, 1, 3);
        grant(&world, 1);
        let before = copy_of(&mut world, &both, "before");
        // One history: as many entries as the other, or more.
        write(&world, 1, observations);
        let fork = copy_of(&mut world, &[Party::Archive], "fork");
        // The other history, which the broker witnesses.
        replace(&mut world, &both, &before);
        write(&world, 1, 3);
        let witnessed = copy_of(&mut world, &[Party::Archive], "witnessed");

        replace(&mut world, &[Party::Archive], &fork);
        for hospital in [Party::HospitalA, Party::HospitalB] {
            caught(&world, hospital, 1);
        }
        // A writer asks for what comes after the witnessed head: a longer fork goes on from another one.
        let refused = world.put(Party::HospitalA, &bundle(1, 9)).unwrap();
        told_as(&refused, ROLLED_BACK);
        // Control: the same folders in the same way, but the log that was witnessed.
        replace(&mut world, &[Party::Archive], &witnessed);
        assert_eq!(count(&world, Party::HospitalB, 1), 4);
        assert_eq!(count(&world, Party::HospitalA, 1), 4);
    }
}

#[test]
fn broker_and_archive_gone_back_together_are_caught_by_a_gateway_that_has_read_further() {
    let mut world = World::start();
    let both = [Party::Archive, Party::Broker];
    write(&world, 1, 3);
    let before = copy_of(&mut world, &both, "before");
    write(&world, 1, 8);
    assert_eq!(count(&world, Party::HospitalA, 1), 9);
    replace(&mut world, &both, &before);
    // Asking again does not make the older log true.
    for _ in 0..3 {
        caught(&world, Party::HospitalA, 1);
    }
}

#[test]
fn a_damaged_store_is_refused_and_left_as_it_is() {
    let mut world = World::start();
    write(&world, 1, 200);
    assert!(world.stop(Party::Archive).success());
    let store = world.folder(Party::Archive).join("store.sqlite");
    let sound = fs::read(&store).unwrap();
    assert!(sound.len() > 200_000, "{} bytes", sound.len());
    let middle = sound.len() / 2 / 4096 * 4096;
    let with = |from: usize, bytes: &[u8]| {
        let mut damaged = sound.clone();
        damaged[from..from + bytes.len()].copy_from_slice(bytes);
        damaged
    };
    let damages = [
        ("a page in the middle overwritten", with(middle, &[0xa5; 4096])),
        ("four pages of zeros", with(middle, &[0; 4 * 4096])),
        ("the header of a page in the middle", with(middle, &[0x5a; 8])),
        ("the first 16 bytes", with(0, &[0x5a; 16])),
        ("cut in the middle", sound[..middle].to_vec()),
        ("emptied", Vec::new()),
    ];
    for (what, damaged) in damages {
        fs::write(&store, &damaged).unwrap();
        let refused = start_in_vain(&world, Party::Archive);
        assert_eq!(refused.0, Some(1), "{what}: {}", refused.1);
        assert!(refused.1.contains("store.sqlite") && refused.1.contains("damaged"), "{what}: {}", refused.1);
        assert!(fs::read(&store).unwrap() == damaged, "{what}: the file was changed");
        println!("{what}: {}", refused.1.lines().last().unwrap_or_default());
    }
    fs::remove_file(&store).unwrap();
    let refused = start_in_vain(&world, Party::Archive);
    assert!(refused.0 == Some(1) && refused.1.contains("missing"), "{refused:?}");
    assert!(!store.exists(), "a new store took the place of the lost one");
    // Control: the sound file starts.
    fs::write(&store, &sound).unwrap();
    world.restart(Party::Archive);
    assert_eq!(count(&world, Party::HospitalA, 1), 201);
}

#[test]
fn a_record_changed_on_disk_is_caught_by_its_reader() {
    let mut world = World::start();
    write(&world, 1, 40);
    assert!(world.stop(Party::Archive).success());
    let store = world.folder(Party::Archive).join("store.sqlite");
    let sound = fs::read(&store).unwrap();
    // A bit inside a ciphertext, where SQLite sees no harm: ciphertexts are the last column, so the cells that
    // lie at the end of pages full of entries end with one.
    let page =
        sound.chunks(4096).position(|page| page[0] == 0x0d && page.windows(6).any(|six| six == b"gatewa")).unwrap();
    let mut changed = sound.clone();
    changed[page * 4096 + 4096 - 20] ^= 1;
    fs::write(&store, &changed).unwrap();
    world.restart(Party::Archive);
    let read = read(&world, Party::HospitalA, 1);
    assert_eq!(
        (read.status, read.code().as_str()),
        (502, "log-inconsistent"),
        "{}",
        String::from_utf8_lossy(&read.body)
    );
    let refused = world.run_at(Party::HospitalA, &["get", &identifier(1)]);
    assert_eq!(exit(&refused), EXIT_TAMPERED, "{}", errors(&refused));
    // Control.
    assert!(world.stop(Party::Archive).success());
    fs::write(&store, &sound).unwrap();
    world.restart(Party::Archive);
    assert_eq!(count(&world, Party::HospitalA, 1), 41);
}

// ---- the exchange ----

/// Every resource is another one than before: the same again would be no new version.
fn write(world: &World, patient: usize, observations: usize) {
    static WRITES: AtomicUsize = AtomicUsize::new(0);
    let number = WRITES.fetch_add(1, Ordering::Relaxed);
    let bundle = String::from_utf8(bundle(patient, observations)).unwrap();
    let bundle =
        bundle.replace("\"Given\"", &format!("\"Given {number}\"")).replace("\"/min\"", &format!("\"/min {number}\""));
    let written = world.put(Party::HospitalA, bundle.as_bytes()).unwrap().done();
    assert_eq!(written.status, 200, "not stored but queued: {}", String::from_utf8_lossy(&written.body));
}

fn grant(world: &World, patient: usize) {
    world.consent(Party::HospitalA, "grant", &identifier(patient), Party::HospitalB).unwrap().done();
}

/// A search by identifier: it reads the whole log.
fn read(world: &World, hospital: Party, patient: usize) -> Answer {
    world.get(hospital, &format!("/fhir/Patient?identifier={}", identifier(patient).replace('|', "%7C"))).unwrap()
}

/// How many resources of a patient a hospital is shown.
fn count(world: &World, hospital: Party, patient: usize) -> usize {
    let shown = json_of(&world.run_at(hospital, &["get", &identifier(patient)]));
    shown["entry"].as_array().unwrap().len()
}

/// The reading fails with the right code, status and exit code.
fn caught(world: &World, hospital: Party, patient: usize) {
    told(&read(world, hospital, patient));
    let refused = world.run_at(hospital, &["get", "--json", &identifier(patient)]);
    assert_eq!(exit(&refused), EXIT_TAMPERED, "{hospital:?}: {}", errors(&refused));
    assert!(refused.stdout.is_empty(), "{hospital:?}: something was shown");
    let error: Value = serde_json::from_slice(&refused.stderr).unwrap();
    assert_eq!(error["error"]["code"], ROLLED_BACK, "{hospital:?}: {error}");
}

fn told(answer: &Answer) {
    told_as(answer, ROLLED_BACK);
}

fn told_as(answer: &Answer, code: &str) {
    let text = String::from_utf8_lossy(&answer.body);
    assert_eq!((answer.status, answer.code().as_str()), (502, code), "{text}");
    let outcome = answer.json();
    assert_eq!(outcome["resourceType"], json!("OperationOutcome"), "{text}");
    assert_eq!(outcome["issue"][0]["code"], json!("security"), "{text}");
}

// ---- the folders ----

/// Stops parties, copies their folders to a place of this name, and starts them again.
fn copy_of(world: &mut World, parties: &[Party], name: &str) -> std::path::PathBuf {
    let place = world.path().join(name);
    fs::create_dir(&place).unwrap();
    stop(world, parties);
    for party in parties {
        copy(&world.folder(*party), &place.join(party.name()));
    }
    start(world, parties);
    place
}

/// Puts copies in the place of the folders of parties.
fn replace(world: &mut World, parties: &[Party], place: &Path) {
    stop(world, parties);
    for party in parties {
        let folder = world.folder(*party);
        fs::remove_dir_all(&folder).unwrap();
        copy(&place.join(party.name()), &folder);
    }
    start(world, parties);
}

/// The broker goes first and comes last.
fn stop(world: &mut World, parties: &[Party]) {
    for party in parties.iter().rev() {
        assert!(world.stop(*party).success(), "{party:?}");
    }
}

fn start(world: &mut World, parties: &[Party]) {
    for party in parties {
        world.restart(*party);
    }
}

/// Copies with permissions: keys stay readable by their owner alone.
fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let to = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy(&entry.path(), &to);
        } else {
            fs::copy(entry.path(), to).unwrap();
        }
    }
}

/// Starts a party that must not start: its exit code and what it said.
fn start_in_vain(world: &World, party: Party) -> (Option<i32>, String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_sealwort"))
        .env_clear()
        .args([party.role(), "--config", text(&world.config(party))])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let begun = Instant::now();
    while child.try_wait().unwrap().is_none() {
        if begun.elapsed() > REFUSAL_PATIENCE {
            child.kill().unwrap();
            break;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    let output = child.wait_with_output().unwrap();
    (output.status.code(), errors(&output))
}
