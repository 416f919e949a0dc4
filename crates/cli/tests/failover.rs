//! Broker and archive on a primary with a synchronous standby under Patroni, while a hospital writes: the primary is killed,
//! its standby is promoted, both come to do it the other way round, and what chooses among them is away for a while.
//! Nothing acknowledged is lost, and everything goes on by itself.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use serde_json::json;
use support::load::{EndOnDrop, Load, OBSERVATIONS, log_stands, outbox_is_empty};
use support::patient::{is_withheld, resources};
use support::storage::PASSWORD;
use support::storage::cluster::{Cluster, PATIENCE};
use support::{Party, World, bundle, identifier, until, until_within};

const PARTIES: [(Party, &str); 2] = [(Party::Archive, "archive"), (Party::Broker, "broker")];

#[test]
fn a_standby_is_promoted_while_hospitals_write_and_nothing_acknowledged_is_lost() {
    let Some(mut cluster) = Cluster::start() else { return };
    let mut options = Vec::new();
    for (party, database) in PARTIES {
        cluster.database(database);
        let url = cluster.url(database).replacen('@', &format!(":{PASSWORD}@"), 1);
        options.push((party, "store.url", json!(url)));
        options.push((party, "audit.cosign_every", json!("1s")));
    }
    // What is asked of a standby is asked of the primary, too, whichever of them that is.
    options.push((Party::Archive, "store.read_from_standbys", json!(true)));
    let world = World::start_with(&options);
    world.put(Party::HospitalA, &bundle(0, OBSERVATIONS)).unwrap().with(200);
    world.consent(Party::HospitalA, "grant", &identifier(0), Party::HospitalB).unwrap().done();
    until(|| (resources(&world, Party::HospitalB, 0) == OBSERVATIONS + 1).then_some(()));

    // Each batch is looked for at the end.
    let load = &Load { rest: Duration::from_millis(250), ..Load::default() };
    let clients = [world.client(Party::HospitalA), world.client(Party::HospitalA)];
    let acknowledged = thread::scope(|scope| {
        let writers: Vec<_> = clients.iter().map(|client| scope.spawn(move || load.write(client))).collect();
        let ended = EndOnDrop(&load.ended);
        for round in 0..2 {
            load.wait_for_more();
            let primary = cluster.primary();
            cluster.kill(primary);
            // The outbox bridges the gap, until the standby is what the other one was.
            load.wait_for_more();
            cluster.wait_for_another(primary);
            reaches_the_archive(&world, 1_000_000 * (1 + round));
            cluster.resume(primary);
            cluster.wait_for_standby();
        }
        drop(ended);
        writers.into_iter().flat_map(|writer| writer.join().unwrap()).collect::<Vec<_>>()
    });
    let primary = cluster.primary();
    cluster.without_etcd(|| reaches_the_archive(&world, 9_000_000));
    assert_eq!(cluster.primary(), primary, "a primary that its standby hears needs no etcd");
    outbox_is_empty(&world);
    for patient in &acknowledged {
        let found = until(|| Some(resources(&world, Party::HospitalA, *patient)).filter(|found| *found > 0));
        assert_eq!(found, OBSERVATIONS + 1, "patient {patient} of {}", acknowledged.len());
    }
    until(|| (resources(&world, Party::HospitalB, 0) == OBSERVATIONS + 1).then_some(()));
    world.consent(Party::HospitalA, "withdraw", &identifier(0), Party::HospitalB).unwrap().done();
    until(|| is_withheld(&world, Party::HospitalB, 0).then_some(()));
    for (party, database) in PARTIES {
        log_stands(&world, party, &cluster.url(database), PASSWORD, 1);
        assert!(!world.folder(party).join("audit-evidence").exists(), "{party:?} accuses somebody");
    }
    let queued = load.queued.load(Ordering::SeqCst);
    assert!(queued > 0, "the outbox was not needed");
    println!("{} batches acknowledged over two failovers, {queued} of them queued, all whole", acknowledged.len());
}

/// Waits until a batch is not kept in the outbox, but stored. Each is of a patient of whom nothing waits there.
fn reaches_the_archive(world: &World, first: usize) {
    let mut patients = first..;
    until_within(PATIENCE, || {
        let batch = bundle(patients.next()?, OBSERVATIONS);
        (world.put(Party::HospitalA, &batch).unwrap().status == 200).then_some(())
    });
}
