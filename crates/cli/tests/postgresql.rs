//! The exchange with broker and archive on PostgreSQL, a database each: what was acknowledged is there after both of them
//! and the server were killed, consent counts as it was left, and no password shows anywhere.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::time::Duration;

use serde_json::{Value, json};
use support::storage::{PASSWORD, Server};
use support::{Party, World, bundle, encode, exit, identifier, json_of, run, text, until, until_within};

const OBSERVATIONS: usize = 30;

#[test]
fn broker_and_archive_on_postgresql_lose_nothing_when_they_are_killed() {
    let Some(mut server) = Server::start() else { return };
    let (archive, broker) = (server.database(), server.database());
    let place = tempfile::tempdir().unwrap();
    let password = place.path().join("password");
    fs::write(&password, format!("{PASSWORD}\n")).unwrap();
    fs::set_permissions(&password, fs::Permissions::from_mode(0o600)).unwrap();
    // One password from a file, one in the URL.
    let within = server.tcp_url(&broker).replacen('@', &format!(":{PASSWORD}@"), 1);
    let mut world = World::start_with(&[
        (Party::Archive, "store.url", json!(server.tcp_url(&archive))),
        (Party::Archive, "store.password_file", json!(password)),
        (Party::Broker, "store.url", json!(within)),
    ]);
    assert_eq!(world.put(Party::HospitalA, &bundle(1, OBSERVATIONS)).unwrap().status, 200);
    assert_eq!(resources(&world, Party::HospitalA), OBSERVATIONS + 1);
    assert_eq!(resources(&world, Party::HospitalB), 0, "no consent yet");
    world.consent(Party::HospitalA, "grant", &identifier(1), Party::HospitalB).unwrap().done();
    assert_eq!(resources(&world, Party::HospitalB), OBSERVATIONS + 1, "B reads what A stored");

    for round in 2..5 {
        assert_eq!(world.put(Party::HospitalA, &bundle(round, 3)).unwrap().status, 200);
        for party in [Party::Broker, Party::Archive] {
            world.kill(party);
            world.restart(party);
        }
        until(|| {
            let stored = world.put(Party::HospitalA, &bundle(10 + round, 3)).unwrap();
            matches!(stored.status, 200 | 202).then_some(())
        });
    }
    until(|| (resources(&world, Party::HospitalB) == OBSERVATIONS + 1).then_some(()));

    assert_eq!(world.finding(Party::Archive, "database")["state"], json!("good"));
    // The server crashes under both of them: they connect again by themselves.
    server.kill();
    for party in [Party::Archive, Party::Broker] {
        let found = world.finding(party, "database");
        assert!(found["state"] == json!("wrong") && !found.to_string().contains(PASSWORD), "{found}");
    }
    server.resume();
    until(|| (world.put(Party::HospitalA, &bundle(20, 3)).unwrap().status == 200).then_some(()));
    for patient in [1, 2, 3, 4, 12, 13, 14, 20] {
        let found = until(|| Some(everything(&world, Party::HospitalA, patient)).filter(|found| *found > 0));
        assert_eq!(found, if patient == 1 { OBSERVATIONS + 1 } else { 4 }, "patient {patient}");
    }
    world.consent(Party::HospitalA, "withdraw", &identifier(1), Party::HospitalB).unwrap().done();
    until(|| (resources(&world, Party::HospitalB) == 0).then_some(()));

    let count = |database: &str, table: &str| server.sql(database, &format!("SELECT count(*) FROM sealwort.{table}"));
    assert_ne!(count(&archive, "entry"), "0", "entries are in the archive's database");
    assert_eq!(count(&broker, "entry"), "0", "and none in the broker's");
    for database in [&archive, &broker] {
        assert_ne!(count(database, "half"), "0");
        assert_ne!(count(database, "audit_entry"), "0", "the audit log is there, too");
    }
    for (party, file) in [(Party::Archive, "store.sqlite"), (Party::Broker, "audit.sqlite")] {
        assert!(!world.folder(party).join(file).exists(), "nothing was kept in the folder");
    }
    let (folder, password, url) = (world.folder(Party::Archive), text(&password), server.tcp_url(&archive));
    let log = ["--folder", text(&folder), "--database", &url, "--password-file", password];
    let found = json_of(&run(&[&["audit", "search", "--json"][..], &log].concat()));
    assert!(!found.as_array().unwrap().is_empty());
    // A cosignature comes after some entries or some time.
    let verify = || Some(run(&[&["audit", "verify", "--json"][..], &log].concat())).filter(|run| exit(run) == 0);
    let verified = json_of(&until_within(Duration::from_secs(90), verify));
    assert!(verified["entries"].as_u64() > Some(0), "{verified}");
    for party in Party::ALL {
        assert!(!world.log_text(party).contains(PASSWORD), "{party:?} logs the password");
    }
    let file = world.config(Party::Broker);
    let shown = run(&["config", "show", "--role", "broker", "--config", text(&file)]);
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(shown.contains("[redacted]") && !shown.contains(PASSWORD), "{shown}");
}

/// Resources of the first patient that a hospital is shown; none where it is refused.
fn resources(world: &World, hospital: Party) -> usize {
    everything(world, hospital, 1)
}

fn everything(world: &World, hospital: Party, patient: usize) -> usize {
    let search = format!("/fhir/Patient?identifier={}", encode(&identifier(patient)));
    let found: Value = world.get(hospital, &search).unwrap().json();
    let Some(id) = found["entry"][0]["resource"]["id"].as_str() else { return 0 };
    let all = world.get(hospital, &format!("/fhir/Patient/{id}/$everything?_count=500")).unwrap();
    if all.is_success() { all.json()["entry"].as_array().map_or(0, Vec::len) } else { 0 }
}
