//! Many connections at once: what an idle one costs in memory, and whether a flood of strangers
//! keeps the parties out.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::time::{Duration, Instant};

use axum::Router;
use axum::routing::get;
use common::{Running, World};
use sealwort_net::client::HopClient;
use sealwort_net::server::Limits;
use sealwort_net::tls::{ClientAuth, ExpectedPeer};
use sealwort_pki::Role;

const CONNECTIONS: usize = 200;
/// For both ends together, in an unoptimised build.
const IDLE_KIB_MAX: usize = 128;

/// Memory of this process in KiB (`VmRSS`); `None` where the system does not tell.
fn resident_kib() -> Option<usize> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}

async fn broker(world: &World) -> (Running, HopClient) {
    let party = world.party(Role::Broker, "b");
    let tls = world.server_tls(&party, &[Role::Gateway], ClientAuth::Required);
    let router = Router::new().route("/ok", get(async || "ok"));
    let running = Running::start(Some(tls), router, Limits::hop()).await;
    let gateway = world.party(Role::Gateway, "a");
    let expected = ExpectedPeer::any(Role::Broker);
    (running, world.client(Some(&gateway.hop), expected))
}

#[tokio::test]
async fn an_idle_connection_costs_little_memory() {
    let world = World::new();
    let (running, client) = broker(&world).await;
    let endpoint = running.endpoint();
    // The allocator and the runtime take their share first.
    let mut open = Vec::new();
    for _ in 0..CONNECTIONS / 4 {
        open.push(client.connect(&endpoint).await.unwrap());
    }
    let before = resident_kib();
    let start = Instant::now();
    for _ in 0..CONNECTIONS {
        let connection = client.connect(&endpoint).await.unwrap();
        assert_eq!(common::get(&connection, "/ok").await.unwrap().0, 200);
        open.push(connection);
    }
    let took = start.elapsed() / u32::try_from(CONNECTIONS).unwrap();
    let (Some(before), Some(after)) = (before, resident_kib()) else {
        println!("SKIPPED: this system does not tell the memory of a process");
        return;
    };
    let each = after.saturating_sub(before) / CONNECTIONS;
    println!("{each} KiB and {took:?} for each connection, both ends");
    assert!(each <= IDLE_KIB_MAX, "{each} KiB for each connection");
    assert!(open.iter().all(|connection| !connection.is_closed()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strangers_do_not_keep_a_party_out() {
    let world = World::new();
    let (running, client) = broker(&world).await;
    let endpoint = running.endpoint();
    let stranger = world.client(None, ExpectedPeer::any(Role::Broker));
    let flood: Vec<_> = (0..8)
        .map(|_| {
            let (stranger, endpoint) = (stranger.clone(), endpoint.clone());
            tokio::spawn(async move {
                let mut tried = 0;
                loop {
                    if let Ok(connection) = stranger.connect(&endpoint).await {
                        let answer = common::get(&connection, "/ok").await;
                        assert!(answer.is_err(), "a stranger was served");
                    }
                    tried += 1;
                    if tried == 50 {
                        return;
                    }
                }
            })
        })
        .collect();
    let mut slowest = Duration::ZERO;
    for _ in 0..30 {
        let start = Instant::now();
        let connection = client.connect(&endpoint).await.unwrap();
        assert_eq!(common::get(&connection, "/ok").await.unwrap().0, 200);
        slowest = slowest.max(start.elapsed());
    }
    for task in flood {
        task.await.unwrap();
    }
    println!("slowest connection and request during the flood: {slowest:?}");
    assert!(slowest < Duration::from_secs(5), "{slowest:?}");
}
