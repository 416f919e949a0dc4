//! Several clients' conditional appends, with kills in between, are linearizable.
//!
//! `SEALWORT_WRITES` is how many appends each of the four clients makes, `SEALWORT_KILLS` how often somebody is killed,
//! `SEALWORT_SEED` repeats what was chosen at random.

#![allow(clippy::unwrap_used, clippy::panic)]

#[path = "support/linearizable.rs"]
mod linearizable;
#[path = "support/nodes.rs"]
mod nodes;
#[path = "support/place.rs"]
mod place;
#[path = "support/server.rs"]
mod server;

use nodes::Node;
use place::Place;
use server::Server;

const WRITES: u64 = 300;
const KILLS: u64 = 10;

fn writes() -> u64 {
    place::number("SEALWORT_WRITES", WRITES)
}

fn kills() -> u64 {
    place::number("SEALWORT_KILLS", KILLS)
}

/// Not a test of its own: a node.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn node() {
    nodes::serve_where_told().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn conditional_appends_to_a_killed_embedded_store_are_linearizable() {
    if Place::given().is_some() {
        return;
    }
    let around = tempfile::tempdir().unwrap();
    let place = Place { folder: around.path().join("archive"), url: None };
    let node = Node::start(place, around.path().join("socket"));
    nodes::contend(vec![node], writes(), kills(), None).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn conditional_appends_on_postgresql_with_kills_of_service_and_server_are_linearizable() {
    if Place::given().is_some() {
        return;
    }
    let Some(mut server) = Server::start() else { return };
    let around = tempfile::tempdir().unwrap();
    let place = Place { folder: around.path().join("archive"), url: Some(server.url(&server.database())) };
    let node = Node::start(place, around.path().join("socket"));
    let mut crash = || {
        server.kill();
        server.resume();
    };
    nodes::contend(vec![node], writes(), kills(), Some(&mut crash)).await;
}

/// Three nodes of one archive: each client asks any of them, and one is killed while the others go on.
#[tokio::test(flavor = "multi_thread")]
async fn conditional_appends_to_three_nodes_on_one_database_are_linearizable() {
    if Place::given().is_some() {
        return;
    }
    let Some(mut server) = Server::start() else { return };
    let (around, url) = (tempfile::tempdir().unwrap(), server.url(&server.database()));
    let place = |name: &str| Place { folder: around.path().join(name), url: Some(url.clone()) };
    place("first").open().await.unwrap().close().await;
    let nodes = ["first", "second", "third"].map(|name| {
        let place = place(name);
        if name != "first" {
            // The folders of nodes are copies of one.
            std::fs::create_dir(&place.folder).unwrap();
            std::fs::copy(around.path().join("first/role"), place.folder.join("role")).unwrap();
        }
        Node::start(place, around.path().join(format!("socket-{name}")))
    });
    let mut crash = || {
        server.kill();
        server.resume();
    };
    nodes::contend(nodes.into(), writes(), kills(), Some(&mut crash)).await;
}
