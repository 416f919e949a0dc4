//! Two archives and two brokers on one database each, with two hospitals between them: what is written, granted, withdrawn
//! and erased through one node counts at the other; nodes are killed and restarted under load; the audit logs stay one
//! each.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use serde_json::{Value, json};
use support::load::{EndOnDrop, Load, OBSERVATIONS, log_stands, outbox_is_empty};
use support::patient::{erase, is_withheld, resources, search};
use support::storage::{PASSWORD, Server};
use support::{Answer, Party, World, asked, bundle, free_address, identifier, until};

const FIRST: [Party; 2] = [Party::Archive, Party::Broker];
const SECOND: [Party; 2] = [Party::SecondArchive, Party::SecondBroker];
/// In this order they are killed, and restarted one after the other.
const NODES: [Party; 4] = [Party::Archive, Party::SecondArchive, Party::Broker, Party::SecondBroker];

/// An exchange with two nodes of archive and broker, and where their databases are.
struct Nodes {
    world: World,
    urls: [String; 2],
}

fn start(server: &Server) -> Nodes {
    let urls = [server.database(), server.database()].map(|database| server.tcp_url(&database));
    let mut options: Vec<(Party, &str, Value)> = Vec::new();
    for (party, url) in FIRST.into_iter().zip(&urls) {
        let with_password = url.replacen('@', &format!(":{PASSWORD}@"), 1);
        options.push((party, "store.url", json!(with_password)));
        options.push((party, "audit.cosign_every", json!("1s")));
    }
    let mut world = World::start_with(&options);
    for (first, second) in FIRST.into_iter().zip(SECOND) {
        world.add_node(first, second);
    }
    Nodes { world, urls }
}

fn reach(world: &mut World, caller: Party, key: &str, nodes: &[Party]) {
    let urls: Vec<_> = nodes.iter().map(|node| format!("https://{}", world.address(*node))).collect();
    world.set(caller, key, json!(urls.join(", ")));
    world.stop(caller);
    world.restart(caller);
}

/// Each hospital has a broker of its own, and each broker an archive.
#[test]
fn what_one_node_does_counts_at_the_other() {
    let Some(server) = Server::start() else { return };
    let Nodes { mut world, urls } = start(&server);
    reach(&mut world, Party::SecondBroker, "archive.url", &[Party::SecondArchive]);
    reach(&mut world, Party::HospitalB, "broker.url", &[Party::SecondBroker]);

    world.put(Party::HospitalA, &bundle(1, OBSERVATIONS)).unwrap().with(200);
    assert_eq!(resources(&world, Party::HospitalB, 1), 0, "no consent yet");
    world.consent(Party::HospitalA, "grant", &identifier(1), Party::HospitalB).unwrap().done();
    until(|| (resources(&world, Party::HospitalB, 1) == OBSERVATIONS + 1).then_some(()));
    // B holds the record open: that it grew, its broker hears from the other one.
    world.put(Party::HospitalA, &bundle(1, 2 * OBSERVATIONS)).unwrap().with(200);
    until(|| (resources(&world, Party::HospitalB, 1) == 2 * OBSERVATIONS + 1).then_some(()));
    world.put(Party::HospitalB, &bundle(1, 3 * OBSERVATIONS)).unwrap().with(200);
    until(|| (resources(&world, Party::HospitalA, 1) == 3 * OBSERVATIONS + 1).then_some(()));
    world.consent(Party::HospitalA, "withdraw", &identifier(1), Party::HospitalB).unwrap().done();
    until(|| is_withheld(&world, Party::HospitalB, 1).then_some(()));
    let refused = world.put(Party::HospitalB, &bundle(1, 1)).unwrap();
    assert!(!refused.is_success(), "{}", refused.text());
    for node in SECOND {
        assert!(sessions(&world, node) > 0, "{node:?} was not used");
    }

    world.consent(Party::HospitalA, "grant", &identifier(1), Party::HospitalB).unwrap().done();
    until(|| (resources(&world, Party::HospitalB, 1) == 3 * OBSERVATIONS + 1).then_some(()));
    erase(&world, 1);
    until(|| is_withheld(&world, Party::HospitalB, 1).then_some(()));
    for (node, url) in FIRST.into_iter().zip(&urls) {
        log_stands(&world, node, url, PASSWORD, 2);
    }
}

/// Everybody may reach every node. Hospital A writes all the while.
#[test]
fn nodes_may_be_killed_and_restarted_under_load() {
    let Some(server) = Server::start() else { return };
    let Nodes { mut world, urls } = start(&server);
    for node in NODES {
        world.set(node, "health.drain_delay", json!("1s"));
    }
    let [archives, brokers] = [[Party::Archive, Party::SecondArchive], [Party::Broker, Party::SecondBroker]];
    for broker in brokers {
        reach(&mut world, broker, "archive.url", &archives);
    }
    for hospital in [Party::HospitalA, Party::HospitalB] {
        reach(&mut world, hospital, "broker.url", &brokers);
    }
    world.put(Party::HospitalA, &bundle(0, 0)).unwrap().with(200);

    // kill -9: what was acknowledged is there, and the others go on.
    let load = &Load::default();
    let clients = [world.client(Party::HospitalA), world.client(Party::HospitalA)];
    let acknowledged = thread::scope(|scope| {
        let writers: Vec<_> = clients.iter().map(|client| scope.spawn(move || load.write(client))).collect();
        let ended = EndOnDrop(&load.ended);
        for node in NODES {
            load.wait_for_more();
            world.kill(node);
            load.wait_for_more();
            world.restart(node);
        }
        load.wait_for_more();
        drop(ended);
        writers.into_iter().flat_map(|writer| writer.join().unwrap()).collect::<Vec<_>>()
    });
    outbox_is_empty(&world);
    for patient in &acknowledged {
        let found = until(|| Some(resources(&world, Party::HospitalA, *patient)).filter(|found| *found > 0));
        assert_eq!(found, OBSERVATIONS + 1, "patient {patient} of {}", acknowledged.len());
    }
    println!("{} batches acknowledged over {} kills, all of them whole", acknowledged.len(), NODES.len());

    drains_before_it_stops(&mut world);

    // A rolling restart: nothing fails twice.
    let ended = AtomicBool::new(false);
    let (reader, writer) = (world.client(Party::HospitalB), world.client(Party::HospitalA));
    world.consent(Party::HospitalA, "grant", &identifier(0), Party::HospitalB).unwrap().done();
    until(|| (resources(&world, Party::HospitalB, 0) == 1).then_some(()));
    let asked = thread::scope(|scope| {
        let reading = scope.spawn(|| ask_until(&ended, |_| reader.request("GET", &search(0), &[])));
        let writing = scope.spawn(|| {
            ask_until(&ended, |number| writer.request("POST", "/fhir", &bundle(100_000 + number, OBSERVATIONS)))
        });
        let ending = EndOnDrop(&ended);
        for node in NODES {
            assert!(world.stop(node).success());
            world.restart(node);
        }
        drop(ending);
        [reading.join().unwrap(), writing.join().unwrap()]
    });
    println!("asked {asked:?} times during a rolling restart; nothing failed twice");
    assert!(asked.into_iter().all(|asked| asked > 0));
    outbox_is_empty(&world);
    for (node, url) in FIRST.into_iter().zip(&urls) {
        // Both started, were killed and restarted, and were restarted again.
        log_stands(&world, node, url, PASSWORD, 6);
    }
    for party in NODES.into_iter().chain([Party::HospitalA, Party::HospitalB, Party::Ca]) {
        let evidence = world.folder(party).join("audit-evidence");
        assert!(!evidence.exists(), "{party:?} accuses somebody");
    }
}

/// A node that is told to stop is not ready from then on, and goes on for as long as it was told.
fn drains_before_it_stops(world: &mut World) {
    let (health, node) = (free_address(), Party::SecondBroker);
    world.set(node, "health.address", json!(health));
    world.set(node, "health.drain_delay", json!("1h"));
    world.stop(node);
    world.restart(node);
    until(|| (asked(health, "/readyz")? == (200, "ok\n".to_owned())).then_some(()));
    let told = Command::new("kill").args(["-TERM", &world.id(node).to_string()]).status().unwrap();
    assert!(told.success());
    let (status, why) = until(|| asked(health, "/readyz").filter(|(status, _)| *status == 503));
    assert!(why.contains("stopping"), "{status} {why}");
    assert_eq!(asked(health, "/livez"), Some((200, "ok\n".to_owned())), "it lives");
    reach(world, Party::HospitalB, "broker.url", &[node]);
    world.put(Party::HospitalB, &bundle(50_000, OBSERVATIONS)).unwrap().with(200);
    world.set(node, "health.drain_delay", json!("1s"));
    world.kill(node);
    world.restart(node);
    reach(world, Party::HospitalB, "broker.url", &[Party::Broker, Party::SecondBroker]);
}

/// Asks again and again, once more where it fails, until `ended`; how often it asked. Nothing may fail twice.
fn ask_until(ended: &AtomicBool, ask: impl Fn(usize) -> std::io::Result<Answer>) -> usize {
    let mut number = 0;
    while !ended.load(Ordering::SeqCst) {
        let done = |answer: &std::io::Result<Answer>| answer.as_ref().is_ok_and(Answer::is_success);
        let first = ask(number);
        if !done(&first) {
            let again = ask(number);
            assert!(done(&again), "failed twice: {first:?}, {again:?}");
        }
        number += 1;
    }
    number
}

/// Sessions that began at a node, as its process tells.
fn sessions(world: &World, node: Party) -> usize {
    let begins = if node == Party::SecondBroker { "session established" } else { "SK_TM" };
    world.log_text(node).matches(begins).count()
}
