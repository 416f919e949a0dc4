//! The exchange with an archive on PostgreSQL whose entries are objects in Ceph: what was acknowledged is there after the
//! archive was killed, writes wait while the bucket is away, what is wrong with an object is found by `store verify`,
//! erasing deletes objects, and the secret key shows nowhere.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use std::time::Duration;

use serde_json::json;
use support::patient::{erase, resources};
use support::storage::{PASSWORD, SECRET_KEY, Storage};
use support::{Party, World, bundle, exit, identifier, json_of, run, text, until, until_within};

const OBSERVATIONS: usize = 30;

#[test]
fn an_archive_with_postgresql_and_ceph_loses_nothing() {
    let Some(mut storage) = Storage::start() else { return };
    let mut options = storage.options();
    options.push((Party::Archive, "audit.cosign_every", json!("1s")));
    let mut world = World::start_with(&options);
    let count = |storage: &Storage, table: &str| -> u64 {
        let count = format!("SELECT count(*) FROM sealwort.{table}");
        storage.server.sql(&storage.databases[0], &count).parse().unwrap()
    };
    let named = "entry WHERE object IS NOT NULL";
    assert_eq!(world.put(Party::HospitalA, &bundle(1, OBSERVATIONS)).unwrap().status, 200);
    world.consent(Party::HospitalA, "grant", &identifier(1), Party::HospitalB).unwrap().done();
    assert_eq!(resources(&world, Party::HospitalB, 1), OBSERVATIONS + 1, "B reads what A stored");
    assert_ne!(count(&storage, named), 0, "entries are objects");
    let (config, folder) = (world.config(Party::Archive), world.folder(Party::Archive));
    let sweep = || json_of(&run(&["store", "sweep", "--config", text(&config), "--json"]));
    let swept = sweep();
    assert_eq!(swept["objects"], count(&storage, named));
    assert_eq!((&swept["removed"], &swept["young"]), (&json!(0), &json!(0)), "{swept}");

    // While the bucket is away, a write waits in the outbox of the hospital.
    storage.ceph.stop();
    let waiting = world.put(Party::HospitalA, &bundle(2, 3)).unwrap();
    assert_eq!(waiting.status, 202, "{}", waiting.text());
    storage.ceph.resume();
    until(|| (resources(&world, Party::HospitalA, 2) == 4).then_some(()));

    world.kill(Party::Archive);
    world.restart(Party::Archive);
    until(|| (resources(&world, Party::HospitalB, 1) == OBSERVATIONS + 1).then_some(()));

    let url = storage.server.tcp_url(&storage.databases[0]).replacen('@', &format!(":{PASSWORD}@"), 1);
    let verify = ["store", "verify", "--folder", text(&folder), "--database", &url, "--json"];
    let verify = |more: &[&str]| run(&[&verify[..], more].concat());
    // A cosignature of the audit log comes after some entries or some time.
    let clean = || Some(verify(&["--config", text(&config)])).filter(|run| exit(run) == 0);
    let verified = json_of(&until_within(Duration::from_secs(90), clean));
    assert_eq!(verified["findings"], json!([]), "{verified}");
    let unseen = String::from_utf8_lossy(&verify(&[]).stdout).into_owned();
    assert!(unseen.contains("were not looked at"), "{unseen}");

    let before = (count(&storage, "entry"), sweep()["objects"].as_u64().unwrap());
    erase(&world, 2);
    let after = (count(&storage, "entry"), sweep()["objects"].as_u64().unwrap());
    assert!(after.0 < before.0 && after.1 < before.1 && after.1 == count(&storage, named), "{before:?} {after:?}");
    assert_eq!(count(&storage, "doomed_object"), 0);

    let logged = [world.log_text(Party::Archive), storage.ceph.log(), storage.server.log()];
    assert!(logged.iter().all(|log| !log.contains(SECRET_KEY)));
    let shown = run(&["config", "show", "--role", "archive", "--config", text(&config)]);
    let shown = String::from_utf8_lossy(&shown.stdout).into_owned();
    assert!(shown.contains("objects.larger_than") && !shown.contains(SECRET_KEY), "{shown}");
}
