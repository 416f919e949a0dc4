//! `sealwort store` with real processes: everything is gone over beside running services and in copies that were damaged
//! in each way; a folder is copied while hospitals write, and the copy put in its place; and broker and archive move into
//! PostgreSQL and back, killed on the way.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod support;

use std::fs;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown};
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use sealwort_store::postgres::{Database, PostgresStore};
use serde_json::{Value, json};
use sqlx::postgres::PgConnectOptions;
use sqlx::{Connection as _, Executor as _, PgConnection, SqliteConnection};
use support::patient::resources;
use support::storage::{PASSWORD, Server};
use support::{Party, World, bundle, encode, errors, exit, identifier, json_of, run, text, until};

/// Nobody's number on most systems, and not root's.
const OTHER_USER: u32 = 65534;
const BOTH: [Party; 2] = [Party::Archive, Party::Broker];
/// How often a service is killed while its key is changed; a longer run sets `SEALWORT_KEY_KILLS`.
const KILLS: usize = 4;

#[test]
fn what_is_sound_passes_and_each_damage_is_found_where_it_is() {
    let mut world = World::start();
    for patient in 1..=3 {
        write(&world, patient, 5);
    }
    world.consent(Party::HospitalA, "grant", &identifier(1), Party::HospitalB).unwrap().done();
    world.consent(Party::HospitalA, "withdraw", &identifier(1), Party::HospitalB).unwrap().done();
    write(&world, 1, 6);
    // Beside the services; the audit logs are cosigned after a moment.
    let [archive, broker] = BOTH.map(|party| until(|| sound(&world.folder(party))));
    assert_eq!((&archive["patients"], &broker["patients"]), (&json!(3), &json!(3)));
    assert_eq!((&archive["halves"], &broker["halves"]), (&json!(4), &json!(4)), "withdrawing began an epoch");
    assert!(archive["entries"].as_u64() > Some(18), "{archive}");
    assert_eq!((&archive["logs"], &archive["heads"]), (&broker["logs"], &broker["heads"]), "all was witnessed");
    assert_eq!(archive["consents"], broker["consents"]);

    let copies = world.path().join("copies");
    fs::create_dir(&copies).unwrap();
    let copy_of = |party: Party, name: &str| {
        let copy = copies.join(name);
        let done = run(&["store", "backup", "--folder", text(&world.folder(party)), "--to", text(&copy)]);
        assert_eq!(exit(&done), 0, "{}", errors(&done));
        copy
    };
    for (number, (party, damage, exits, told)) in DAMAGES.into_iter().enumerate() {
        let copy = copy_of(party, &number.to_string());
        let before = verified(&copy);
        assert_eq!(exit(&before), 0, "{}", errors(&before));
        let same = if party == Party::Archive { &archive } else { &broker };
        assert_eq!(shown(&before)["heads"], same["heads"], "a copy has the same heads");
        change(&copy.join(if damage.contains("audit_") { "audit.sqlite" } else { "store.sqlite" }), damage);
        let found = verified(&copy);
        let told_of = shown(&found)["findings"].to_string();
        assert_eq!(exit(&found), exits, "{damage}: {told_of} {}", errors(&found));
        assert!(told_of.contains(told), "{damage}: {told_of}");
        assert!(shown(&found)["findings"].as_array().unwrap().len() <= 3, "one damage, few findings: {told_of}");
    }
    // A page that is not SQLite's any more.
    let copy = copy_of(Party::Archive, "page");
    let file = copy.join("store.sqlite");
    let mut bytes = fs::read(&file).unwrap();
    let middle = bytes.len() / 2 / 4096 * 4096;
    bytes[middle..middle + 4096].fill(0xa5);
    fs::write(&file, bytes).unwrap();
    let found = verified(&copy);
    assert_eq!(exit(&found), 5, "{} {}", shown(&found), errors(&found));

    // Stopped services, and what is no broker's or archive's.
    for party in BOTH {
        assert!(world.stop(party).success());
        let stopped = verified(&world.folder(party));
        let same = if party == Party::Archive { &archive } else { &broker };
        assert_eq!((exit(&stopped), &shown(&stopped)["heads"]), (0, &same["heads"]), "{}", errors(&stopped));
    }
    let refused = verified(&world.folder(Party::HospitalA));
    assert!(exit(&refused) == 1 && errors(&refused).contains("gateway"), "{}", errors(&refused));
}

/// What is done to a copy, the exit code, and a part of what is told.
const DAMAGES: [(Party, &str, i32, &str); 16] = [
    (
        Party::Archive,
        "UPDATE entry SET ciphertext = CAST(zeroblob(length(ciphertext)) AS BLOB) WHERE rowid = 3",
        5,
        "the ciphertext is not the one that the author signed",
    ),
    (Party::Archive, "UPDATE entry SET hash = zeroblob(32) WHERE rowid = 3", 5, "whose hash is kept"),
    (Party::Archive, "UPDATE entry SET tag = zeroblob(16) WHERE rowid = 3", 5, "label beside it"),
    (Party::Archive, "DELETE FROM entry WHERE rowid = 3", 5, "what came between is missing"),
    (Party::Archive, "DELETE FROM entry WHERE rowid = (SELECT max(rowid) FROM entry)", 5, "not stored to its end"),
    (Party::Archive, "DELETE FROM author", 6, "author's certificate is missing"),
    (Party::Archive, "UPDATE patient SET version = version + 1", 5, "are not the signed ones"),
    (Party::Archive, "UPDATE patient SET directive = zeroblob(300)", 5, "the directive does not verify"),
    (
        Party::Broker,
        "UPDATE half SET wrapped = zeroblob(length(wrapped)) WHERE epoch = 2",
        5,
        "half of epoch 2 does not open",
    ),
    (Party::Broker, "DELETE FROM half WHERE epoch = 2", 5, "half of epoch 2 is missing"),
    (
        Party::Broker,
        "INSERT INTO half SELECT pseudonym, 2, wrapped FROM half
         WHERE pseudonym NOT IN (SELECT pseudonym FROM half WHERE epoch = 2) LIMIT 1",
        5,
        "an older one was put back",
    ),
    // Texts that are none.
    (
        Party::Broker,
        "INSERT INTO emergency
         VALUES (x'01', zeroblob(32), CAST(x'ff' AS TEXT), 'user', 'doctor', 'care', 'reason', 1, NULL)",
        5,
        "what comes after it was not gone over",
    ),
    (Party::Broker, "UPDATE audit_checkpoint SET note = CAST(x'ff' AS TEXT)", 5, "the audit log: "),
    (Party::Broker, "DELETE FROM locator", 5, "identifiers does not lead to the patient"),
    (Party::Broker, "INSERT INTO witness VALUES (zeroblob(32), 4, zeroblob(32))", 5, "a patient who is not registered"),
    (Party::Broker, "UPDATE audit_entry SET stored = zeroblob(length(stored)) WHERE number = 2", 5, "the audit log"),
];

#[test]
fn a_copy_made_under_load_takes_the_place_of_its_folder_and_what_came_after_it_is_missed() {
    let mut world = World::start();
    write(&world, 1, 5);
    write(&world, 2, 5);
    // The audit logs are cosigned after a moment.
    for party in BOTH {
        until(|| sound(&world.folder(party)));
    }
    let copies = world.path().join("copies");
    fs::create_dir(&copies).unwrap();
    std::thread::scope(|scope| {
        let world = &world;
        let load = scope.spawn(move || (10..30).for_each(|patient| write(world, patient, 3)));
        for party in BOTH {
            let (folder, copy) = (world.folder(party), copies.join(party.name()));
            let done = json_of(&run(&["store", "backup", "--json", "--folder", text(&folder), "--to", text(&copy)]));
            assert_eq!(done["with_data"], json!(true), "{done}");
        }
        load.join().unwrap();
    });
    for party in BOTH {
        let found = verified(&copies.join(party.name()));
        assert_eq!(exit(&found), 0, "{} {}", shown(&found), errors(&found));
    }
    write(&world, 1, 8);
    for party in [Party::Broker, Party::Archive] {
        assert!(world.stop(party).success());
    }
    // The archive's disk is lost, and the copy started in its place.
    let folder = world.folder(Party::Archive);
    fs::remove_dir_all(&folder).unwrap();
    fs::rename(copies.join(Party::Archive.name()), &folder).unwrap();
    for party in BOTH {
        world.restart(party);
    }
    until(|| (resources(&world, Party::HospitalA, 2) == 6).then_some(()));
    let search = format!("/fhir/Patient?identifier={}", encode(&identifier(1)));
    let refused = world.get(Party::HospitalA, &search).unwrap();
    assert_eq!((refused.status, refused.code().as_str()), (502, "log-rolled-back"));
    write(&world, 2, 7);
    // Which records miss entries, the two verifications tell apart.
    let [archive, broker] = BOTH.map(|party| until(|| sound(&world.folder(party))));
    assert_ne!(archive["heads"], broker["heads"], "the broker has witnessed more than the archive holds");
}

#[test]
fn broker_and_archive_move_into_postgresql_and_back_killed_on_the_way() {
    let Some(server) = Server::start() else { return };
    let mut world = World::start();
    for patient in 1..=4 {
        write(&world, patient, 30);
    }
    world.consent(Party::HospitalA, "grant", &identifier(1), Party::HospitalB).unwrap().done();
    assert_eq!(resources(&world, Party::HospitalB, 1), 31);
    let databases = BOTH.map(|_| server.database());
    let password = world.path().join("password");
    fs::write(&password, PASSWORD).unwrap();
    fs::set_permissions(&password, fs::Permissions::from_mode(0o600)).unwrap();
    let folders = BOTH.map(|party| world.folder(party));
    let urls = [server.tcp_url(&databases[0]), server.tcp_url(&databases[1])];

    let refused = migrate(&folders[0], &["--to", &urls[0], "--password-file", text(&password)]);
    assert!(exit(&refused) == 1 && errors(&refused).contains("in use"), "{}", errors(&refused));
    let before = [0, 1].map(|at| until(|| sound(&folders[at])));
    for party in [Party::Broker, Party::Archive] {
        assert!(world.stop(party).success());
    }
    for at in [0, 1] {
        let arguments = ["--to", &urls[at], "--password-file", text(&password)];
        make_tables(&urls[at]);
        // While it copies, before the database is the folder's, and before its last step, when the folder is switched.
        for table in ["patient", "half", "audit_entry", "party", "moving"] {
            killed_at((table, "EXCLUSIVE"), &server, &databases[at], || moving(&folders[at], &arguments));
        }
        assert_eq!(server.sql(&databases[at], "SELECT state FROM sealwort.moving"), "filling");
        json_of(&migrate(&folders[at], &arguments));
        let place = ["--database", &urls[at], "--password-file", text(&password)];
        let now = until(|| sound_at(&folders[at], &place));
        assert_eq!((&now["heads"], &now["consents"]), (&before[at]["heads"], &before[at]["consents"]));
        let without = verified(&folders[at]);
        assert!(exit(&without) == 1 && errors(&without).contains("store.url"), "{}", errors(&without));
        // Whoever reads the old audit log is sent to the new one, and leaves no trace that nobody would find.
        let old = run(&["audit", "search", "--folder", text(&folders[at])]);
        assert!(exit(&old) == 1 && errors(&old).contains("--database"), "{}", errors(&old));
    }
    for (party, url) in BOTH.into_iter().zip(&urls) {
        world.set(party, "store.url", json!(url));
        world.set(party, "store.password_file", json!(password));
        world.restart(party);
    }
    until(|| (resources(&world, Party::HospitalB, 1) == 31).then_some(()));
    until(|| (world.put(Party::HospitalA, &bundle(5, 3)).unwrap().status == 200).then_some(()));
    world.consent(Party::HospitalA, "withdraw", &identifier(1), Party::HospitalB).unwrap().done();

    let refused = migrate(&folders[0], &["--to", "folder", "--database", &urls[0], "--password-file", text(&password)]);
    assert!(exit(&refused) == 1 && errors(&refused).contains("in use"), "{}", errors(&refused));
    for party in [Party::Broker, Party::Archive] {
        assert!(world.stop(party).success());
    }
    for at in [0, 1] {
        for file in ["store.sqlite.moved", "audit.sqlite.moved"] {
            fs::remove_file(folders[at].join(file)).unwrap();
        }
        let arguments = ["--to", "folder", "--database", &urls[at], "--password-file", text(&password)];
        // While it reads, and when all is copied and the database is to be left.
        for step in [("half", "ACCESS EXCLUSIVE"), ("moving", "EXCLUSIVE")] {
            killed_at(step, &server, &databases[at], || moving(&folders[at], &arguments));
        }
        json_of(&migrate(&folders[at], &arguments));
        // The database that was left takes nothing: the configuration still names it.
        let started = Command::new(env!("CARGO_BIN_EXE_sealwort"))
            .env_clear()
            .args([BOTH[at].role(), "--config", text(&world.config(BOTH[at]))])
            .output()
            .unwrap();
        assert!(
            exit(&started) == 1 && errors(&started).contains("were moved into a data folder"),
            "{}",
            errors(&started)
        );
    }
    for party in BOTH {
        world.set(party, "store.url", json!(""));
        world.set(party, "store.password_file", json!(""));
        world.restart(party);
    }
    until(|| (resources(&world, Party::HospitalA, 1) == 31).then_some(()));
    assert_eq!(resources(&world, Party::HospitalB, 1), 0, "what was withdrawn stays so");
    assert_eq!(resources(&world, Party::HospitalA, 5), 4);
    until(|| (world.put(Party::HospitalA, &bundle(6, 3)).unwrap().status == 200).then_some(()));
    let [archive, broker] = BOTH.map(|party| until(|| sound(&world.folder(party))));
    assert_eq!(archive["heads"], broker["heads"]);
    assert_eq!(archive["consents"], broker["consents"]);
}

/// Begins a move and kills it where it waits for a table, together with the server's process that serves it.
fn killed_at((table, mode): (&str, &str), server: &Server, database: &str, begin: impl Fn() -> std::process::Child) {
    let options: PgConnectOptions = server.tcp_url(database).parse().unwrap();
    let waiting = format!(
        "FROM pg_locks AS l JOIN pg_class AS c ON c.oid = l.relation WHERE NOT l.granted AND c.relname = '{table}'"
    );
    let count = || server.sql(database, &format!("SELECT count(*) {waiting}"));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let lock = format!("BEGIN; LOCK TABLE sealwort.{table} IN {mode} MODE");
    let holder = runtime.block_on(async {
        let mut holder = PgConnection::connect_with(&options.password(PASSWORD)).await.unwrap();
        holder.execute(sqlx::raw_sql(sqlx::AssertSqlSafe(lock))).await.unwrap();
        holder
    });
    let mut child = begin();
    until(|| {
        // It does not wait for a lock for ever.
        if child.try_wait().unwrap().is_some() {
            child = begin();
        }
        (count() == "1").then_some(())
    });
    child.kill().unwrap();
    child.wait().unwrap();
    server.sql(database, &format!("SELECT pg_terminate_backend(l.pid) {waiting}"));
    until(|| (count() == "0").then_some(()));
    runtime.block_on(holder.close()).unwrap();
}

/// As an operator may make them beforehand; here so that there is something to wait for.
fn make_tables(url: &str) {
    let database = Database::new(url, Some(PASSWORD)).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(PostgresStore::migrate(&database, 2)).unwrap();
}

fn moving(folder: &Path, arguments: &[&str]) -> std::process::Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_sealwort"));
    command.env_clear().args(["store", "migrate", "--folder", text(folder)]).args(arguments);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
}

fn migrate(folder: &Path, arguments: &[&str]) -> Output {
    run(&[&["store", "migrate", "--json", "--folder", text(folder)][..], arguments].concat())
}

fn verified(folder: &Path) -> Output {
    run(&["store", "verify", "--json", "--folder", text(folder)])
}

/// What is told of a store in which nothing is wrong.
fn sound(folder: &Path) -> Option<Value> {
    sound_at(folder, &[])
}

fn sound_at(folder: &Path, place: &[&str]) -> Option<Value> {
    let found = run(&[&["store", "verify", "--json", "--folder", text(folder)][..], place].concat());
    // Nobody has cosigned the audit log yet.
    if exit(&found) == 6 {
        return None;
    }
    assert_eq!(exit(&found), 0, "{} {}", String::from_utf8_lossy(&found.stdout), errors(&found));
    Some(shown(&found))
}

fn shown(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", errors(output)))
}

/// Changes a database as somebody would who has the file.
fn change(file: &Path, statement: &'static str) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut connection = SqliteConnection::connect(&format!("sqlite://{}", file.display())).await.unwrap();
        connection.execute("PRAGMA foreign_keys = OFF").await.unwrap();
        let changed = connection.execute(statement).await.unwrap();
        assert_ne!(changed.rows_affected(), 0, "{statement}");
        connection.close().await.unwrap();
    });
}

/// Each bundle is another one than before: the same again would be no new version.
fn write(world: &World, patient: usize, observations: usize) {
    let bundle = String::from_utf8(bundle(patient, observations)).unwrap();
    let bundle = bundle.replace("\"/min\"", &format!("\"/min {}\"", support::letters(4)));
    until(|| (world.put(Party::HospitalA, bundle.as_bytes()).unwrap().status == 200).then_some(()));
}

#[test]
fn the_key_is_changed_while_hospitals_write_and_the_services_are_killed() {
    let kills = std::env::var("SEALWORT_KEY_KILLS").map_or(KILLS, |kills| kills.parse().unwrap());
    let mut world = World::start();
    for patient in 1..=12 {
        write(&world, patient, 2);
    }
    world.consent(Party::HospitalA, "grant", &identifier(1), Party::HospitalB).unwrap().done();
    for party in BOTH {
        let (folder, place) = (world.folder(party), world.path().join(format!("before-{}", party.name())));
        let key = folder.join("kek.key");
        let sound_before = until(|| sound(&folder));
        let old = fs::read(&key).unwrap();
        let done = run(&["store", "backup", "--folder", text(&folder), "--to", text(&place)]);
        assert_eq!(exit(&done), 0, "{}", errors(&done));
        assert!(world.stop(party).success());
        // What another user makes in the folder, the service could not read.
        if fs::metadata("/proc/self").unwrap().uid() == 0 {
            chown(&folder, Some(OTHER_USER), None).unwrap();
            let rotated = run(&["store", "rotate-key", "--folder", text(&folder)]);
            for refused in [rotated, migrate(&folder, &["--to", "postgresql://keeper@127.0.0.1:1/none"])] {
                let told = errors(&refused);
                assert!(exit(&refused) == 1 && told.contains(&format!("belongs to user {OTHER_USER}")), "{told}");
            }
            chown(&folder, Some(0), None).unwrap();
        } else {
            eprintln!("SKIPPED: only root can be somebody else than the owner of a folder that it may read");
        }
        // Stopped, the command only begins it; a second one does not begin another.
        for _ in 0..2 {
            let begun = json_of(&run(&["store", "rotate-key", "--json", "--folder", text(&folder)]));
            assert_eq!(begun["changed"], json!(false));
        }
        let both = fs::read(&key).unwrap();
        assert!(both.ends_with(&old) && both.len() == 2 * old.len().max(65), "{} bytes", both.len());
        world.restart(party);
        for _ in 0..kills {
            std::thread::sleep(Duration::from_millis(u64::from(sealwort_proto::crypto::random::<1>()[0])));
            world.kill(party);
            world.restart(party);
        }
        until(|| (fs::read(&key).unwrap().len() < both.len()).then_some(()));
        assert!(both.starts_with(&fs::read(&key).unwrap()), "the new one is left");
        // Once more, beside the running service and under load.
        std::thread::scope(|scope| {
            let world = &world;
            let load = scope.spawn(move || {
                for patient in 0..10 {
                    write(world, 20 + patient + 20 * usize::from(party == Party::Broker), 2);
                }
            });
            let changed = json_of(&run(&["store", "rotate-key", "--json", "--folder", text(&folder)]));
            assert_eq!(changed["changed"], json!(true));
            load.join().unwrap();
        });
        let now = until(|| sound(&folder));
        assert!(now["halves"].as_u64() >= Some(22), "{now}");
        // The old key opens what was before, and nothing that is there now.
        let before = shown(&verified(&place));
        assert_eq!((&before["findings"], &before["heads"]), (&json!([]), &sound_before["heads"]), "{before}");
        fs::copy(&key, place.join("kek.key")).unwrap();
        let other = verified(&place);
        let closed = shown(&other)["findings"].as_array().unwrap().len();
        assert_eq!((exit(&other), json!(closed)), (5, before["halves"].clone()), "every half is closed to the new key");
    }
    until(|| (resources(&world, Party::HospitalB, 1) == 3).then_some(()));
    world.consent(Party::HospitalA, "withdraw", &identifier(1), Party::HospitalB).unwrap().done();
    for party in BOTH {
        assert!(world.stop(party).success());
        world.restart(party);
    }
    until(|| (resources(&world, Party::HospitalA, 12) == 3).then_some(()));
    until(|| (resources(&world, Party::HospitalA, 25) == 3).then_some(()));
    assert_eq!(resources(&world, Party::HospitalB, 1), 0);

    // A key file without the key in use is not taken: what was wrapped under it would be closed at the next start.
    let folder = world.folder(Party::Broker);
    let now = fs::read(folder.join("kek.key")).unwrap();
    fs::write(folder.join("kek.key"), "5a".repeat(32)).unwrap();
    until(|| world.log_text(Party::Broker).contains("does not hold the newest key in use").then_some(()));
    write(&world, 60, 2);
    fs::write(folder.join("kek.key"), now).unwrap();
    assert!(world.stop(Party::Broker).success());
    world.restart(Party::Broker);
    until(|| (resources(&world, Party::HospitalA, 60) == 3).then_some(()));

    // A half that opens under no key does not keep the others from being wrapped anew.
    let folder = world.folder(Party::Archive);
    assert!(world.stop(Party::Archive).success());
    let one = "UPDATE half SET wrapped = zeroblob(length(wrapped))
        WHERE pseudonym = (SELECT min(pseudonym) FROM half) AND epoch = 1";
    change(&folder.join("store.sqlite"), one);
    let old = fs::read(folder.join("kek.key")).unwrap();
    json_of(&run(&["store", "rotate-key", "--json", "--folder", text(&folder)]));
    world.restart(Party::Archive);
    until(|| (fs::read(folder.join("kek.key")).unwrap().len() == old.len()).then_some(()));
    assert_ne!(fs::read(folder.join("kek.key")).unwrap(), old);
    let found = until(|| Some(verified(&folder)).filter(|found| exit(found) == 5));
    let findings = shown(&found)["findings"].clone();
    let closed = findings.as_array().unwrap().iter().filter(|one| one["what"].to_string().contains("does not open"));
    assert_eq!(closed.count(), 1, "{findings}");
}
