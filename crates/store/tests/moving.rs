//! Moving from a folder into a database on a real PostgreSQL server and back: every table is moved, a move that is cut off
//! at any page goes on or begins anew, and of two places only one takes writes.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

#[path = "support/server.rs"]
mod server;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use sealwort_proto::log::empty;
use sealwort_store::conformance::{self, some_deposit, some_patient};
use sealwort_store::postgres::{Database, PostgresStore};
use sealwort_store::sqlite::{SqliteAudit, SqliteStore};
use sealwort_store::tables::TABLES;
use sealwort_store::{DataFolder, DatabaseFault, LogStore as _, ObjectOptions, Objects, StoreError, Summary, moving};
use server::Server;
use sqlx::{Connection as _, Executor as _, Row as _, SqliteConnection};

const ROLE: &str = "archive";

/// Tables of the embedded store that broker and archive have nothing in, and what only one of the two databases needs.
const OTHERS: [&str; 8] = ["log", "roster", "outbox", "invitation", "certificate", "crl", "format", "party"];

#[tokio::test(flavor = "multi_thread")]
async fn every_table_and_column_of_both_databases_is_moved() {
    let Some(server) = Server::start() else { return };
    let place = tempfile::tempdir().unwrap();
    let embedded = place.path().join("embedded");
    let mut folder = DataFolder::open(&embedded, ROLE).unwrap();
    SqliteStore::open(&mut folder).await.unwrap().close().await;
    SqliteAudit::open(&folder, &embedded).await.unwrap().close().await;
    let known: BTreeSet<String> =
        TABLES.iter().flat_map(|table| table.columns().map(|column| format!("{}.{column}", table.name()))).collect();

    let mut found = BTreeSet::new();
    for file in ["store.sqlite", "audit.sqlite"] {
        let url = format!("sqlite://{}", embedded.join(file).display());
        let mut connection = SqliteConnection::connect(&url).await.unwrap();
        let columns = "SELECT t.name || '.' || c.name FROM sqlite_schema AS t, pragma_table_info(t.name) AS c
            WHERE t.type = 'table' AND t.name NOT LIKE 'sqlite_%'";
        let rows = sqlx::query(columns).fetch_all(&mut connection).await.unwrap();
        found.extend(rows.iter().map(|row| row.get::<String, _>(0)));
        connection.close().await.unwrap();
    }
    // An entry names its log by a number there, and the log its patient.
    assert!(found.remove("entry.log") && found.insert("entry.patient".to_owned()));
    assert_eq!(without_others(found), known, "tables of SQLite: add what is new to crates/store/src/tables.rs");

    let database = server.database();
    PostgresStore::migrate(&Database::new(&server.url(&database), None).unwrap(), 4).await.unwrap();
    let columns = "SELECT table_name || '.' || column_name FROM information_schema.columns
        WHERE table_schema = 'sealwort' AND table_name !~ '_[0-9]+$'";
    let found = server.sql(&database, columns).lines().map(str::to_owned).collect();
    assert_eq!(without_others(found), known, "tables of PostgreSQL: add what is new to crates/store/src/tables.rs");
}

fn without_others(columns: BTreeSet<String>) -> BTreeSet<String> {
    columns.into_iter().filter(|column| !OTHERS.contains(&column.split('.').next().unwrap())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn there_and_back_everything_is_the_same_and_one_place_alone_takes_writes() {
    let Some(server) = Server::start() else { return };
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("archive");
    fill(&path).await;
    let copy = place.path().join("copy");
    sealwort_store::back_up(&path, ROLE, &path, &[], &copy).await.unwrap();
    let name = server.database();
    let database = Database::new(&server.url(&name), None).unwrap();

    let there = to_database(&path, &database).await.unwrap();
    let held = |table: &str| there.tables.iter().find(|one| one.table == table).unwrap().rows;
    for table in TABLES {
        assert_ne!(held(table.name()), 0, "{}: the test moves no row of it", table.name());
    }
    assert_eq!(server.sql(&name, "SELECT count(*) FROM sealwort.entry"), held("entry").to_string());
    // The folder is the database's now.
    let mut folder = DataFolder::open(&path, ROLE).unwrap();
    assert!(matches!(SqliteStore::open(&mut folder).await.map(drop), Err(StoreError::OnServer { .. })));
    assert!(matches!(SqliteAudit::open_beside(&path).await.map(drop), Err(StoreError::Damaged { .. })));
    drop(folder);
    // Once more is answered the same.
    assert_eq!(to_database(&path, &database).await.unwrap(), there);
    // The old files, put back by hand under a marker of before, take no writes.
    let old = place.path().join("old");
    fs::create_dir(&old).unwrap();
    for (from, to) in [("store.sqlite.moved", "store.sqlite"), ("audit.sqlite.moved", "audit.sqlite")] {
        fs::rename(path.join(from), old.join(to)).unwrap();
    }
    fs::write(old.join("role"), format!("{ROLE} ready\n")).unwrap();
    let mut folder = DataFolder::open(&old, ROLE).unwrap();
    let store = SqliteStore::open(&mut folder).await.unwrap();
    let patient = some_patient();
    let refused = store.append(some_deposit(patient, empty(patient), &[10])).await.unwrap_err();
    assert!(refused.to_string().contains("were moved into a database"), "{refused}");
    store.close().await;
    drop(folder);
    let url = format!("sqlite://{}", old.join("store.sqlite").display());
    let mut connection = SqliteConnection::connect(&url).await.unwrap();
    for change in ["UPDATE patient SET version = version + 1", "DELETE FROM half"] {
        let refused = sqlx::query(change).execute(&mut connection).await.unwrap_err();
        assert!(refused.to_string().contains("were moved into a database"), "{change}: {refused}");
    }
    connection.close().await.unwrap();
    // Another folder does not fit, nor does an embedded one of before.
    for other in [&old, &copy] {
        let refused = to_database(other, &database).await.unwrap_err();
        assert!(refused.to_string().contains("is not empty"), "{refused}");
    }
    // It is in service there.
    let mut folder = DataFolder::open(&path, ROLE).unwrap();
    let store = PostgresStore::open(&mut folder, &database).await.unwrap();
    let store = store.with_objects(Some(objects_of(&path))).await.unwrap();
    conformance::patient_store(&store).await;
    store.close().await;
    drop(folder);
    let nothing_came_here = async || {
        let refused = to_folder(&copy, &database).await.unwrap_err();
        assert!(refused.to_string().contains("is not the database"), "nothing was moved into this folder: {refused}");
    };
    nothing_came_here().await;

    let back = to_folder(&path, &database).await.unwrap();
    assert_ne!(back, there, "patients were registered meanwhile");
    assert_eq!(to_folder(&path, &database).await.unwrap(), back, "once more is answered the same");
    nothing_came_here().await;
    for refused in [
        PostgresStore::open(&mut DataFolder::open(&place.path().join("new"), ROLE).unwrap(), &database).await.map(drop),
        sealwort_store::postgres::PostgresAudit::open(&database).await.map(drop),
        to_database(&path, &database).await.map(drop),
    ] {
        let left = matches!(&refused, Err(StoreError::Database(DatabaseFault::Moving { .. })));
        assert!(left, "the database that was left is refused: {refused:?}");
    }
    let mut folder = DataFolder::open(&path, ROLE).unwrap();
    let store = SqliteStore::open(&mut folder).await.unwrap();
    let store = store.with_objects(Some(objects_of(&path))).await.unwrap();
    conformance::log_store(&store).await;
    conformance::patient_store(&store).await;
    conformance::emergency_store(&store).await;
    store.close().await;
    let audit = SqliteAudit::open(&folder, &path).await.unwrap();
    audit.close().await;
    drop(folder);
    // And it can move on.
    let next = Database::new(&server.url(&server.database()), None).unwrap();
    to_database(&path, &next).await.unwrap();
}

/// A move is cut off after each of its pages, and the folder is in service now and then between two attempts.
#[tokio::test(flavor = "multi_thread")]
async fn a_move_that_is_cut_off_goes_on_or_begins_anew() {
    let Some(server) = Server::start() else { return };
    let place = tempfile::tempdir().unwrap();
    let path = place.path().join("archive");
    fill(&path).await;
    let name = server.database();
    let database = Database::new(&server.url(&name), None).unwrap();
    let mut cut = 0;
    loop {
        if cut % 4 == 2 {
            serve(&path).await;
            let mut new = DataFolder::open(&place.path().join("new"), ROLE).unwrap();
            let refused = PostgresStore::open(&mut new, &database).await.map(drop);
            let filling = matches!(&refused, Err(StoreError::Database(DatabaseFault::Moving { .. })));
            assert!(filling, "a database that is being filled is refused: {refused:?}");
        }
        let (path, database) = (path.clone(), database.clone());
        let moved = tokio::spawn(async move {
            let calls = AtomicUsize::new(0);
            let folder = DataFolder::open(&path, ROLE).unwrap();
            let progress = |_: &'static str, _: u64| {
                assert!(calls.fetch_add(1, Ordering::Relaxed) < cut || cut > 8, "cut off");
            };
            moving::to_database(folder, &path, &database, &progress).await
        });
        match moved.await {
            Err(panicked) => assert!(panicked.is_panic()),
            Ok(moved) => {
                let moved = moved.unwrap();
                let entries = moved.tables.iter().find(|table| table.table == "entry").unwrap().rows;
                assert_eq!(server.sql(&name, "SELECT count(*) FROM sealwort.entry"), entries.to_string());
                break;
            }
        }
        cut += 1;
    }
    assert!(cut > 3, "it was cut off {cut} times");

    let mut cut = 0;
    let back = loop {
        let (path, database) = (path.clone(), database.clone());
        let moved = tokio::spawn(async move {
            let calls = AtomicUsize::new(0);
            let folder = DataFolder::open(&path, ROLE).unwrap();
            let progress = |_: &'static str, _: u64| {
                assert!(calls.fetch_add(1, Ordering::Relaxed) < cut || cut > 8, "cut off");
            };
            moving::to_folder(folder, &path, &database, &progress).await
        });
        if let Ok(moved) = moved.await {
            break moved.unwrap();
        }
        if cut < 3 {
            let mut folder = DataFolder::open(&path_of(&place), ROLE).unwrap();
            let store =
                PostgresStore::open(&mut folder, &Database::new(&server.url(&name), None).unwrap()).await.unwrap();
            // Of new patients some sort before those who were copied.
            conformance::patient_store(&store).await;
            conformance::log_store(&store).await;
            store.close().await;
        }
        cut += 1;
    };
    let rows = back.tables.iter().find(|table| table.table == "entry").unwrap().rows;
    assert_eq!(server.sql(&name, "SELECT count(*) FROM sealwort.entry"), rows.to_string());
    let mut folder = DataFolder::open(&path, ROLE).unwrap();
    SqliteStore::open(&mut folder).await.unwrap().close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_filled_from_one_folder_is_not_emptied_for_another() {
    let Some(server) = Server::start() else { return };
    let place = tempfile::tempdir().unwrap();
    let [one, other] = ["one", "other"].map(|name| place.path().join(name));
    fill(&one).await;
    fill(&other).await;
    let name = server.database();
    let database = Database::new(&server.url(&name), None).unwrap();
    let refused = async || to_database(&other, &database).await.unwrap_err().to_string();
    cut_off(To::Database, &one, &database).await;
    assert!(refused().await.contains("from another folder"));

    to_database(&one, &database).await.unwrap();
    let entries = || server.sql(&name, "SELECT count(*), max(encode(hash, 'hex')) FROM sealwort.entry");
    let before = entries();
    // As a kill before the last step of all leaves it.
    server.sql(&name, "INSERT INTO sealwort.moving SELECT 'filling', id FROM sealwort.party");
    assert!(refused().await.contains("from another folder"));
    let mut folder = DataFolder::open(&one, ROLE).unwrap();
    PostgresStore::open(&mut folder, &database).await.unwrap().close().await;
    assert_eq!(server.sql(&name, "SELECT count(*) FROM sealwort.moving"), "0", "opening it ends the move");
    assert!(refused().await.contains("is not empty"));
    assert_eq!(entries(), before);
    // The other one is as it was, and fits elsewhere.
    let next = Database::new(&server.url(&server.database()), None).unwrap();
    to_database(&other, &next).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn of_several_nodes_one_alone_gets_the_data_back() {
    let Some(server) = Server::start() else { return };
    let place = tempfile::tempdir().unwrap();
    let [one, second, third] = ["one", "second", "third"].map(|name| place.path().join(name));
    fill(&one).await;
    let name = server.database();
    let database = Database::new(&server.url(&name), None).unwrap();
    to_database(&one, &database).await.unwrap();
    for node in [&second, &third] {
        fs::create_dir(node).unwrap();
        fs::copy(one.join("role"), node.join("role")).unwrap();
    }
    cut_off(To::Folder, &third, &database).await;
    let back = to_folder(&one, &database).await.unwrap();
    let refused = async || {
        for node in [&second, &third] {
            for refused in [to_folder(node, &database).await, to_database(node, &database).await] {
                let left = matches!(&refused, Err(StoreError::Database(DatabaseFault::Moving { .. })));
                assert!(left, "another node gets nothing, and does not open it again: {refused:?}");
            }
        }
        assert!(!second.join("store.sqlite").exists());
    };
    refused().await;

    // As a kill between leaving the database and switching the folder leaves it: the folder that has the token goes on.
    fs::copy(second.join("role"), one.join("role")).unwrap();
    let token = server.sql(&name, "SELECT id FROM sealwort.moving WHERE state = 'left'");
    let url = format!("sqlite://{}", one.join("store.sqlite").display());
    let mut connection = SqliteConnection::connect(&url).await.unwrap();
    sqlx::query("CREATE TABLE moving (token TEXT NOT NULL)").execute(&mut connection).await.unwrap();
    sqlx::query("INSERT INTO moving VALUES (?)").bind(token).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    refused().await;
    assert_eq!(to_folder(&one, &database).await.unwrap(), back);
    refused().await;
    let mut folder = DataFolder::open(&one, ROLE).unwrap();
    SqliteStore::open(&mut folder).await.unwrap().close().await;
}

enum To {
    Database,
    Folder,
}

/// Begins a move, and ends it at its first page.
async fn cut_off(to: To, path: &Path, database: &Database) {
    let (path, database) = (path.to_owned(), database.clone());
    let moved = tokio::spawn(async move {
        let folder = DataFolder::open(&path, ROLE).unwrap();
        let progress = |_: &'static str, _: u64| panic!("cut off");
        match to {
            To::Database => moving::to_database(folder, &path, &database, &progress).await,
            To::Folder => moving::to_folder(folder, &path, &database, &progress).await,
        }
    });
    assert!(moved.await.unwrap_err().is_panic());
}

fn path_of(place: &tempfile::TempDir) -> std::path::PathBuf {
    place.path().join("archive")
}

async fn to_database(path: &Path, database: &Database) -> Result<Summary, StoreError> {
    moving::to_database(DataFolder::open(path, ROLE)?, path, database, &|_, _| {}).await
}

async fn to_folder(path: &Path, database: &Database) -> Result<Summary, StoreError> {
    moving::to_folder(DataFolder::open(path, ROLE)?, path, database, &|_, _| {}).await
}

/// A folder with rows in every table.
async fn fill(path: &Path) {
    let mut folder = DataFolder::open(path, ROLE).unwrap();
    let store = SqliteStore::open(&mut folder).await.unwrap();
    let store = store.with_objects(Some(objects_of(path))).await.unwrap();
    conformance::patient_store(&store).await;
    conformance::log_store(&store).await;
    conformance::witness_store(&store).await;
    conformance::emergency_store(&store).await;
    store.close().await;
    // An object of a patient who was erased that is not deleted yet.
    let mut connection = SqliteConnection::connect(&format!("sqlite://{}/store.sqlite", path.display())).await.unwrap();
    connection.execute("INSERT INTO doomed_object VALUES (x'000102030405060708090a0b0c0d0e0f')").await.unwrap();
    connection.close().await.unwrap();
    let audit = SqliteAudit::open(&folder, path).await.unwrap();
    conformance::audit_store(&audit).await;
    audit.close().await;
}

/// Where the large entries of a folder's store are, wherever its data go.
fn objects_of(path: &Path) -> Objects {
    let place = path.with_extension("objects");
    fs::create_dir_all(&place).unwrap();
    Objects::new(&ObjectOptions {
        url: &format!("file://{}", place.display()),
        endpoint: "",
        region: "",
        access_key: "",
        secret_key: "",
        authorities: None,
        larger_than: 512,
        orphans_after: Duration::from_hours(1),
    })
    .unwrap()
}

/// The folder is in service for a moment: old rows change and new ones come.
async fn serve(path: &Path) {
    let mut folder = DataFolder::open(path, ROLE).unwrap();
    let store = SqliteStore::open(&mut folder).await.unwrap();
    let store = store.with_objects(Some(objects_of(path))).await.unwrap();
    conformance::patient_store(&store).await;
    store.close().await;
}
