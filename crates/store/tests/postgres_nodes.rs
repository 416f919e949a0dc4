//! Several processes of one party on one PostgreSQL database, here several stores: no conditional write is lost, the audit
//! log stays one, each hears what the others change, and whoever has other keys stays out.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

#[path = "support/forwarder.rs"]
mod forwarder;
#[path = "support/server.rs"]
mod server;

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use forwarder::Forwarder;
use futures::StreamExt as _;
use futures::future::join_all;
use futures::stream::BoxStream;
use sealwort_audit::{AtRest, Event, EventKind, Question, Row, Tree};
use sealwort_proto::log::empty;
use sealwort_proto::message::EmergencyNotice;
use sealwort_proto::receipt::Witness;
use sealwort_proto::{Digest, EmergencyId, Locator, Pseudonym, crypto};
use sealwort_store::conformance::{as_stored, head_after, some_deposit, some_patient};
use sealwort_store::postgres::{Database, PostgresAudit, PostgresStore};
use sealwort_store::{
    Advance, Append, Appended, AuditBatch, AuditQuery, AuditStore as _, Change, ChangeStore as _, DataFolder,
    DatabaseFault, DirectiveUpdate, EmergencyStore as _, HalfStore as _, KeptCheckpoint, LogStore as _, NewEmergency,
    NewErasure, NewPatient, PatientStore as _, Registered, Standing, StoreError, WitnessStore as _, WrappedHalf,
    moving,
};
use server::{PASSWORD, Server};
use sqlx::{Connection as _, Executor as _, PgConnection};

const NODES: usize = 3;
/// Longest that anything is waited for.
const PATIENCE: Duration = Duration::from_mins(3);

/// Nodes whose folders are copies of the first one's.
struct Nodes {
    stores: Vec<PostgresStore>,
    _folders: Vec<DataFolder>,
}

impl Nodes {
    async fn open(place: &Path, role: &str, url: &str) -> Self {
        let (mut stores, mut folders) = (Vec::new(), Vec::new());
        for number in 0..NODES {
            let folder = place.join(format!("node-{number}"));
            if number > 0 && !folder.exists() {
                std::fs::create_dir(&folder).unwrap();
                std::fs::copy(place.join("node-0/role"), folder.join("role")).unwrap();
            }
            let (folder, store) = open(&folder, role, url).await.unwrap();
            stores.push(store);
            folders.push(folder);
        }
        Self { stores, _folders: folders }
    }

    async fn close(self) {
        join_all(self.stores.iter().map(PostgresStore::close)).await;
    }
}

async fn open(folder: &Path, role: &str, url: &str) -> Result<(DataFolder, PostgresStore), StoreError> {
    let mut folder = DataFolder::open(folder, role)?;
    let store = PostgresStore::open(&mut folder, &Database::new(url, Some(PASSWORD))?).await?;
    Ok((folder, store))
}

const WRITERS: usize = 6;
const DEPOSITS: usize = 40;

/// Each writer goes from node to node and believes a head until it is told another one.
#[tokio::test(flavor = "multi_thread")]
async fn conditional_appends_at_several_nodes_lose_no_update() {
    let Some(server) = Server::start() else { return };
    let place = tempfile::tempdir().unwrap();
    let nodes = Nodes::open(place.path(), "archive", &server.url(&server.database())).await;
    let patients: [Pseudonym; 2] = [some_patient(), some_patient()];
    let writers = (0..WRITERS).map(|writer| {
        let stores = nodes.stores.clone();
        tokio::spawn(async move {
            let (mut heads, mut acknowledged, mut conflicts) = (patients.map(empty), Vec::new(), 0);
            for number in 0..DEPOSITS {
                let (which, mut node) = (number % 2, writer + number);
                loop {
                    let append = some_deposit(patients[which], heads[which], &[50, 50]);
                    match stores[node % NODES].append(append.clone()).await.unwrap() {
                        Appended::Stored(head) => {
                            assert_eq!(head, head_after(&append));
                            heads[which] = head;
                            acknowledged.push(append);
                            break;
                        }
                        Appended::Conflict(head) => {
                            conflicts += 1;
                            heads[which] = head;
                            node += 1;
                        }
                        other => panic!("{other:?}"),
                    }
                }
            }
            (acknowledged, conflicts)
        })
    });
    let (mut acknowledged, mut conflicts) = (Vec::new(), 0);
    for writer in writers.collect::<Vec<_>>() {
        let (of_one, met) = writer.await.unwrap();
        acknowledged.extend(of_one);
        conflicts += met;
    }
    println!("{} deposits, {conflicts} conflicts", acknowledged.len());
    for patient in patients {
        let mut own: Vec<&Append> = acknowledged.iter().filter(|append| append.patient == patient).collect();
        own.sort_by_key(|append| append.after.sequence);
        let follows = |pair: &[&Append]| head_after(pair[0]) == pair[1].after;
        assert!(own[0].after == empty(patient) && own.windows(2).all(follows), "each follows the one before");
        let expected: Vec<_> = own.iter().flat_map(|append| as_stored(&append.entries)).collect();
        for store in &nodes.stores {
            assert!(store.read(patient, 0, usize::MAX, usize::MAX).await.unwrap() == expected, "a log differs");
        }
        let known = nodes.stores[1].append(own[0].clone()).await.unwrap();
        assert_eq!(known, Appended::Known(head_after(own[0])), "a deposit is known at every node");
    }
    nodes.close().await;
}

/// The same patient, the same identifiers and the same predecessor at all nodes at once: one of them wins.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_unique_is_unique_over_all_nodes() {
    let Some(server) = Server::start() else { return };
    let place = tempfile::tempdir().unwrap();
    let nodes = Nodes::open(place.path(), "broker", &server.url(&server.database())).await;
    for round in 0..20 {
        let (one, other) = (Locator::new(crypto::random()), Locator::new(crypto::random()));
        let people: Vec<NewPatient> = (0..NODES)
            .map(|number| new_patient(some_patient(), if number % 2 == 0 { [one, other] } else { [other, one] }))
            .collect();
        let registered = join_all(nodes.stores.iter().zip(&people).map(|(store, new)| store.register(new.clone())));
        let registered = registered.await;
        let won: Vec<usize> = (0..NODES).filter(|at| registered[*at] == Ok(Registered::New)).collect();
        let lost = registered.iter().filter(|it| matches!(it, Err(StoreError::Conflict(_)))).count();
        assert_eq!((won.len(), lost), (1, NODES - 1), "round {round}: {registered:?}");

        let patient = people[won[0]].patient;
        let directed = join_all(nodes.stores.iter().map(|store| {
            let half = WrappedHalf { epoch: 2, wrapped: vec![2] };
            let directive = crypto::random::<32>().to_vec();
            store.direct(DirectiveUpdate { patient, replaces: 1, directive, epoch: 2, half: Some(half) })
        }));
        let taken = directed.await.iter().filter(|outcome| outcome.is_ok()).count();
        assert_eq!(taken, 1, "round {round}");
        for store in &nodes.stores {
            assert_eq!(store.version(patient).await, Ok(Some(2)), "and counts everywhere");
        }
        let heads = join_all(
            nodes
                .stores
                .iter()
                .map(|store| store.advance(patient, Witness { sequence: 1, head: Digest::new(crypto::random()) })),
        );
        let heads = heads.await;
        let moved = heads.iter().filter(|advance| **advance == Ok(Advance::Moved)).count();
        let forks = heads.iter().filter(|advance| matches!(advance, Ok(Advance::Fork(_)))).count();
        assert_eq!((moved, forks), (1, NODES - 1), "round {round}: {heads:?}");

        let erasure = NewErasure { patient, erasure: vec![7], erased_at: round };
        let erased = join_all(nodes.stores.iter().map(|store| store.erase(erasure.clone()))).await;
        assert!(erased.iter().all(|tombstone| tombstone == &erased[0] && tombstone.is_ok()), "{erased:?}");
        for store in &nodes.stores {
            assert_eq!(store.version(patient).await, Ok(None), "who was erased is nowhere");
        }
    }
    nodes.close().await;
}

fn new_patient(patient: Pseudonym, locators: [Locator; 2]) -> NewPatient {
    let (registration, directive) = (patient.as_bytes().to_vec(), vec![1]);
    let half = WrappedHalf { epoch: 1, wrapped: vec![1] };
    NewPatient { patient, locators: locators.to_vec(), registration, directive, version: 1, half }
}

const BATCHES: usize = 40;

/// Each node knows the log as it left it, and appends upon what the others made of it.
#[tokio::test(flavor = "multi_thread")]
async fn the_audit_log_of_several_nodes_is_one() {
    let Some(server) = Server::start() else { return };
    let place = tempfile::tempdir().unwrap();
    let nodes = Nodes::open(place.path(), "archive", &server.url(&server.database())).await;
    let logs = join_all(nodes.stores.iter().map(|store| async move { store.audit().await.unwrap() })).await;
    let counted = join_all(logs.iter().cloned().map(|log| tokio::spawn(append_batches(log)))).await;
    let read_anew: usize = counted.into_iter().map(Result::unwrap).sum();
    println!("{} batches, {read_anew} of them upon what another node had appended", NODES * BATCHES);
    assert_eq!(append_batches(logs[0].clone()).await, 1, "who is alone reads the log once");

    let size = logs[0].audit_size().await.unwrap();
    assert_eq!(size, ((NODES + 1) * BATCHES * 2) as u64, "no entry is lost");
    let mut tree = Tree::empty();
    for row in logs[1].audit_rows(AuditQuery::default(), usize::MAX).await.unwrap() {
        let leaf = AtRest::Clear.open(&row.stored).unwrap();
        let again = Row::append(&mut tree, &Event::from_bytes(&leaf).unwrap(), &AtRest::Clear).unwrap();
        assert_eq!(again.hashes, row.hashes, "entry {}", row.number);
    }
    let newest = logs[2].newest_checkpoint().await.unwrap().unwrap();
    assert_eq!(
        (newest.size, newest.note),
        (size, hex::encode(tree.root().as_bytes())),
        "and one checkpoint is the newest"
    );
    join_all(logs.iter().map(PostgresAudit::close)).await;
    nodes.close().await;
}

/// How often others had come in between.
async fn append_batches(log: PostgresAudit) -> usize {
    let mut known: Option<(Tree, KeptCheckpoint)> = None;
    let mut read_anew = 0;
    for _ in 0..BATCHES {
        let (before, newest) = Option::unzip(known.take());
        let result = Arc::new(Mutex::new(None));
        let outcome = Arc::clone(&result);
        let make = move |standing: Option<&Standing>| {
            let anew = standing.is_some();
            let mut tree = standing.map_or_else(|| before.unwrap(), |it| Tree::open(it.size, &it.hashes).unwrap());
            let event = Event::new(EventKind::Read, 1);
            let rows = (0..2).map(|_| Row::append(&mut tree, &event, &AtRest::Clear).unwrap()).collect();
            let checkpoint = KeptCheckpoint { size: tree.size(), note: hex::encode(tree.root().as_bytes()) };
            *outcome.lock().unwrap() = Some(((tree, checkpoint.clone()), anew));
            Some(AuditBatch { rows, checkpoint })
        };
        log.append_audit_upon(newest, Box::new(make)).await.unwrap();
        let (tree, anew) = result.lock().unwrap().take().unwrap();
        read_anew += usize::from(anew);
        known = Some(tree);
    }
    read_anew
}

#[tokio::test(flavor = "multi_thread")]
async fn each_node_hears_what_others_change() {
    let Some(mut server) = Server::start() else { return };
    let place = tempfile::tempdir().unwrap();
    let name = server.database();
    let nodes = Nodes::open(place.path(), "broker", &server.tcp_url(&name)).await;
    let [one, two] = [&nodes.stores[0], &nodes.stores[1]];
    let (mut heard, mut own) = (two.changes().unwrap(), one.changes().unwrap());
    for changes in [&mut heard, &mut own] {
        assert_eq!(next(changes).await, Change::Anything, "what was before nobody knows");
    }
    let patient = some_patient();
    let locators = [Locator::new(crypto::random()), Locator::new(crypto::random())];
    one.register(new_patient(patient, locators)).await.unwrap();
    let directed = DirectiveUpdate { patient, replaces: 1, directive: vec![2], epoch: 1, half: None };
    one.direct(directed).await.unwrap();
    assert_eq!(next(&mut heard).await, Change::Consent(patient));
    one.advance(patient, head(1)).await.unwrap();
    assert_eq!(next(&mut heard).await, Change::Head(patient));
    let hospital = "sealwort://test/gateway/a".to_owned();
    one.keep_emergency(emergency(patient, &hospital)).await.unwrap();
    assert_eq!(next(&mut heard).await, Change::Emergency(hospital.clone()));
    // Its own as well: who was to tell of them may be gone.
    for change in [Change::Consent(patient), Change::Head(patient), Change::Emergency(hospital)] {
        assert_eq!(next(&mut own).await, change);
    }
    two.advance(patient, head(2)).await.unwrap();
    assert_eq!(next(&mut own).await, Change::Head(patient));
    assert_eq!(next(&mut heard).await, Change::Head(patient));

    tokio::task::block_in_place(|| server.kill());
    assert_eq!(next(&mut heard).await, Change::Silence, "the connection was lost");
    // Longer than several attempts to connect.
    tokio::time::sleep(Duration::from_secs(2)).await;
    tokio::task::block_in_place(|| server.resume());
    assert_eq!(next(&mut heard).await, Change::Anything, "and is there again");
    until_ok(async || one.advance(patient, head(3)).await).await;
    assert_eq!(next(&mut heard).await, Change::Head(patient));
    one.erase(NewErasure { patient, erasure: vec![1], erased_at: 1 }).await.unwrap();
    assert_eq!(next(&mut heard).await, Change::Consent(patient));
    nodes.close().await;
}

fn head(sequence: u64) -> Witness {
    Witness { sequence, head: Digest::new(crypto::random()) }
}

fn emergency(patient: Pseudonym, tell: &str) -> NewEmergency {
    let text = str::to_owned;
    let notice = EmergencyNotice {
        id: EmergencyId::new(crypto::random()),
        patient,
        hospital: text("sealwort://test/gateway/b"),
        user: text("dr-b"),
        user_role: text("physician"),
        purpose: text("BTG"),
        reason: text("unconscious"),
        begun_at: 1000,
    };
    NewEmergency { notice, tell: Some(text(tell)) }
}

async fn next(changes: &mut BoxStream<'static, Change>) -> Change {
    tokio::time::timeout(PATIENCE, changes.next()).await.unwrap().unwrap()
}

async fn until_ok<T>(attempt: impl AsyncFn() -> Result<T, StoreError>) -> T {
    let repeated = async {
        loop {
            match attempt().await {
                Ok(done) => return done,
                Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            }
        }
    };
    tokio::time::timeout(PATIENCE, repeated).await.unwrap()
}

/// A node whose connections end, and one that has a patient for a while.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_is_gone_holds_up_nobody() {
    let Some(server) = Server::start() else { return };
    let place = tempfile::tempdir().unwrap();
    let name = server.database();
    let nodes = Nodes::open(place.path(), "archive", &server.tcp_url(&name)).await;
    let patient = some_patient();
    let first = some_deposit(patient, empty(patient), &[10]);
    nodes.stores[0].append(first.clone()).await.unwrap();
    // Its connections end as those of a killed process do: one of each node, and the one that appended.
    let writing =
        server.sql(&name, "SELECT count(pg_terminate_backend(pid)) FROM pg_locks WHERE locktype = 'advisory'");
    assert_eq!(writing, (NODES + 1).to_string());
    let second = some_deposit(patient, head_after(&first), &[10]);
    until_ok(async || nodes.stores[1].append(second.clone()).await).await;
    let third = some_deposit(patient, head_after(&second), &[10]);
    let stored = until_ok(async || nodes.stores[0].append(third.clone()).await).await;
    assert!(matches!(stored, Appended::Stored(head) | Appended::Known(head) if head == head_after(&third)));

    // Somebody else has the patient, and erases it at last: who appends meanwhile waits, and is told so.
    let mut elsewhere = connect(&server, &name).await;
    run(&mut elsewhere, &format!("BEGIN; SELECT pg_advisory_xact_lock(1, {})", lock(patient))).await;
    let fourth = some_deposit(patient, head_after(&third), &[10]);
    let fourth = tokio::spawn({
        let store = nodes.stores[2].clone();
        async move { store.append(fourth).await }
    });
    are_waiting(&server, &name, 1).await;
    let erasing = "DELETE FROM sealwort.entry WHERE patient = '\\x{}';
        INSERT INTO sealwort.erased VALUES ('\\x{}', '', 0, 0, 0, '', 0); COMMIT";
    run(&mut elsewhere, &erasing.replace("{}", &hex::encode(patient.as_bytes()))).await;
    assert_eq!(fourth.await.unwrap(), Ok(Appended::Erased));
    nodes.close().await;
}

/// The number of a patient's lock.
fn lock(patient: Pseudonym) -> i32 {
    i32::from_be_bytes(*patient.as_bytes().first_chunk().unwrap())
}

/// A connection of somebody else's.
async fn connect(server: &Server, database: &str) -> PgConnection {
    let url = server.tcp_url(database).replacen('@', &format!(":{PASSWORD}@"), 1);
    PgConnection::connect(&url).await.unwrap()
}

async fn run(c: &mut PgConnection, statements: &str) {
    c.execute(sqlx::raw_sql(sqlx::AssertSqlSafe(statements.to_owned()))).await.unwrap();
}

/// Waits until so many connections wait for a lock.
async fn are_waiting(server: &Server, database: &str, count: usize) {
    let waiting =
        format!("SELECT count(*) FROM pg_stat_activity WHERE datname = '{database}' AND wait_event_type = 'Lock'");
    until_ok(async || {
        let found = tokio::task::block_in_place(|| server.sql(database, &waiting));
        if found == count.to_string() { Ok(()) } else { Err(StoreError::Io(found)) }
    })
    .await;
}

/// More readings than there are connections that read.
const READINGS: usize = 10;

/// The database's host vanishes without a word while a node is in the middle of transactions and readings.
#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_vanishes_in_the_middle_holds_up_nobody_for_long() {
    let Some(server) = Server::start() else { return };
    let place = tempfile::tempdir().unwrap();
    let name = server.database();
    let (_folder, near) = open(&place.path().join("node-0"), "archive", &server.tcp_url(&name)).await.unwrap();
    std::fs::create_dir(place.path().join("node-1")).unwrap();
    std::fs::copy(place.path().join("node-0/role"), place.path().join("node-1/role")).unwrap();
    let network = Forwarder::start(server.port()).await;
    let url = server.tcp_url(&name).replace(&format!(":{}/", server.port()), &format!(":{}/", network.port));
    let (_folder, far) = open(&place.path().join("node-1"), "archive", &url).await.unwrap();
    let log = far.audit().await.unwrap();
    let mut heard = far.changes().unwrap();
    assert_eq!(next(&mut heard).await, Change::Anything);
    let patient = some_patient();
    let first = some_deposit(patient, empty(patient), &[10]);
    far.append(first.clone()).await.unwrap();
    assert_eq!(append_batches(log.clone()).await, 1);

    let mut elsewhere = connect(&server, &name).await;
    run(&mut elsewhere, "BEGIN; LOCK TABLE sealwort.entry, sealwort.audit_entry").await;
    let second = some_deposit(patient, head_after(&first), &[10]);
    let writing = tokio::spawn({
        let (store, second) = (far.clone(), second.clone());
        async move { store.append(second).await.map(drop) }
    });
    let readings: Vec<_> = (0..8)
        .map(|_| {
            let store = far.clone();
            tokio::spawn(async move { store.head(patient).await.map(drop) })
        })
        .collect();
    let auditing = tokio::spawn({
        let log = log.clone();
        async move { log.audit_size().await.map(drop) }
    });
    are_waiting(&server, &name, 10).await;
    network.cut();
    run(&mut elsewhere, "COMMIT").await;

    // Another node that wants the same patient waits until the server gives it free, and is served then.
    let stored = near.append(second.clone()).await;
    assert_eq!(stored, Ok(Appended::Stored(head_after(&second))));
    assert_eq!(next(&mut heard).await, Change::Silence);
    for told in [writing, auditing].into_iter().chain(readings) {
        let told = tokio::time::timeout(PATIENCE, told).await.expect("it waits without end").unwrap();
        assert!(matches!(&told, Err(StoreError::Database(DatabaseFault::Lost { .. }))), "{told:?}");
    }

    network.mend();
    assert_eq!(next(&mut heard).await, Change::Anything);
    let stored = until_ok(async || far.append(second.clone()).await).await;
    assert_eq!(stored, Appended::Known(head_after(&second)));
    let heads = join_all((0..READINGS).map(|_| until_ok(async || far.head(patient).await))).await;
    assert!(heads.iter().all(|head| *head == Some(head_after(&second))), "{heads:?}");
    until_ok(async || far.check().await).await;
    log.close().await;
    far.close().await;
    near.close().await;
}

/// Others that stand in the same transaction's queue are served all the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_patient_whom_somebody_has_for_long_holds_up_no_other() {
    let Some(server) = Server::start() else { return };
    let place = tempfile::tempdir().unwrap();
    let name = server.database();
    let (_folder, store) = open(&place.path().join("node-0"), "archive", &server.tcp_url(&name)).await.unwrap();
    let (held, other) = (some_patient(), some_patient());
    let mut elsewhere = connect(&server, &name).await;
    run(&mut elsewhere, &format!("BEGIN; SELECT pg_advisory_xact_lock(1, {})", lock(held))).await;
    let append = |patient| {
        let store = store.clone();
        tokio::spawn(async move { store.append(some_deposit(patient, empty(patient), &[10])).await })
    };
    // While the first one waits, the others come into one transaction.
    let first = append(held);
    are_waiting(&server, &name, 1).await;
    let (again, stored) = (append(held), append(other));
    let author = Digest::new(crypto::random());
    let job = store.put_author(author, vec![1]).await;
    for refused in [first, again] {
        assert_eq!(refused.await.unwrap(), Err(StoreError::Database(DatabaseFault::Held)));
    }
    assert!(matches!(stored.await.unwrap(), Ok(Appended::Stored(_))) && job == Ok(()));
    run(&mut elsewhere, "COMMIT").await;
    assert!(matches!(append(held).await.unwrap(), Ok(Appended::Stored(_))));
    store.close().await;
}

/// While a node's connection was lost, its database became another one: it does not go on.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_connects_again_finds_what_it_opened_or_stops() {
    let Some(server) = Server::start() else { return };
    let key = "UPDATE sealwort.party SET key = '\\x0303030303030303030303030303030303030303030303030303030303030303'";
    let changes = [
        (Some("UPDATE sealwort.party SET id = 'another'"), "it is another one"),
        (Some("INSERT INTO sealwort.format (version) VALUES (99)"), "has tables of format 99"),
        (Some("DELETE FROM sealwort.format WHERE version > 1"), "an older format"),
        (Some(key), "kek.key"),
        (None, "were moved into a data folder"),
    ];
    join_all(changes.map(|(change, why)| connects_again(&server, change, why))).await;
}

async fn connects_again(server: &Server, change: Option<&str>, why: &str) {
    let sql = |database: &str, statements: &str| tokio::task::block_in_place(|| server.sql(database, statements));
    let place = tempfile::tempdir().unwrap();
    let name = tokio::task::block_in_place(|| server.database());
    let mut folder = DataFolder::open(&place.path().join("node-0"), "archive").unwrap();
    folder.name_keys(vec![Digest::new([1; 32])]);
    let database = Database::new(&server.tcp_url(&name), Some(PASSWORD)).unwrap();
    let store = PostgresStore::open(&mut folder, &database).await.unwrap();
    let log = store.audit().await.unwrap();
    append_batches(log.clone()).await;
    let patient = some_patient();
    let first = some_deposit(patient, empty(patient), &[10]);
    store.append(first.clone()).await.unwrap();
    store.head(patient).await.unwrap();
    if let Some(change) = change {
        let all = format!("FROM pg_stat_activity WHERE datname = '{name}' AND pid <> pg_backend_pid()");
        sql(&name, &format!("SELECT count(pg_terminate_backend(pid)) {all}"));
        sql(&name, change);
    } else {
        // A move waits for the nodes alone; connections to the audit log, as that of `sealwort audit`, may outlast it.
        let nodes = "FROM pg_locks WHERE locktype = 'advisory' AND database =
            (SELECT oid FROM pg_database WHERE datname = current_database())";
        sql(&name, &format!("SELECT count(pg_terminate_backend(pid)) {nodes}"));
        let other = place.path().join("node-1");
        std::fs::create_dir(&other).unwrap();
        std::fs::copy(place.path().join("node-0/role"), other.join("role")).unwrap();
        let to = DataFolder::open(&other, "archive").unwrap();
        moving::to_folder(to, &other, &database, &|_, _| ()).await.unwrap();
    }
    let told = store.append(some_deposit(patient, head_after(&first), &[10])).await.map(drop);
    assert!(told.as_ref().is_err_and(|told| told.to_string().contains(why)), "{change:?}: {told:?}");
    let told = log.put_audit_chain(Digest::new([2; 32]), vec![2]).await;
    assert!(told.is_err(), "{change:?}: the audit log goes on");
    if change.is_some() {
        let told = store.head(patient).await;
        assert!(told.is_err(), "{change:?}: {told:?}");
    }
    log.close().await;
    store.close().await;
}

/// All nodes wrap under one key; it changes while one of them is alone.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_without_the_key_in_use_stays_out() {
    let Some(server) = Server::start() else { return };
    let place = tempfile::tempdir().unwrap();
    let database = Database::new(&server.tcp_url(&server.database()), Some(PASSWORD)).unwrap();
    let [old, new, other] = [1, 2, 3].map(|number| Digest::new([number; 32]));
    let open = async |node: &str, keys: &[Digest]| {
        let path = place.path().join(node);
        if node != "node-0" {
            std::fs::create_dir_all(&path).unwrap();
            std::fs::copy(place.path().join("node-0/role"), path.join("role")).unwrap();
        }
        let mut folder = DataFolder::open(&path, "archive").unwrap();
        folder.name_keys(keys.to_vec());
        PostgresStore::open(&mut folder, &database).await
    };
    let refused = |told: Result<(), StoreError>, why: &str| {
        assert!(told.as_ref().is_err_and(|told| told.to_string().contains(why)), "{told:?}");
    };
    let first = open("node-0", &[old]).await.unwrap();
    refused(open("node-1", &[other]).await.map(drop), "kek.key");
    let second = open("node-1", &[old]).await.unwrap();
    refused(first.adopt(vec![new, old]).await, "stop the other nodes");
    refused(open("node-2", &[new, old]).await.map(drop), "stop the other nodes");
    second.close().await;
    // The server hears a moment later that the node is gone.
    let begun = Instant::now();
    while let Err(error) = first.adopt(vec![new, old]).await {
        assert!(error.to_string().contains("stop the other nodes") && begun.elapsed() < PATIENCE, "{error}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    first.adopt(vec![new, old]).await.unwrap();
    refused(open("node-1", &[old]).await.map(drop), "kek.key");
    refused(first.adopt(vec![other]).await, "kek.key");
    let second = open("node-1", &[new]).await.unwrap();
    second.close().await;
    first.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_has_other_keys_stays_out_and_tables_change_when_nobody_works() {
    let Some(server) = Server::start() else { return };
    let place = tempfile::tempdir().unwrap();
    let url = server.url(&server.database());
    let nodes = Nodes::open(place.path(), "archive", &url).await;
    let other = open(&place.path().join("joined-by-itself"), "archive", &url).await.map(drop);
    let told = matches!(&other, Err(StoreError::Database(DatabaseFault::Replaced { reason, .. }))
        if reason.contains("a copy of that one"));
    assert!(told, "{other:?}");
    let database = Database::new(&url, None).unwrap();
    let migrated = PostgresStore::migrate(&database, 0).await;
    assert!(matches!(migrated, Err(StoreError::Database(DatabaseFault::InUse { .. }))), "{migrated:?}");
    nodes.close().await;
    // All of them at once, on tables that are still to be made.
    PostgresStore::migrate(&database, 1).await.unwrap();
    let folders = (0..NODES).map(|number| place.path().join(format!("node-{number}")));
    let opened = join_all(folders.map(|folder| {
        let url = url.clone();
        async move { open(&folder, "archive", &url).await.unwrap() }
    }));
    for (_, store) in opened.await {
        let log = store.audit().await.unwrap();
        assert_eq!(log.audit_hashes(&Question::Root { size: 0 }.needs()).await.unwrap(), []);
        log.close().await;
        store.close().await;
    }
}
