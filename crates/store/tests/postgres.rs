//! The back end on PostgreSQL: it keeps the rules of every trait, its tables go forth and back, what is wrong with a
//! server is named, and what was acknowledged outlives a server that is killed. Each test has a server of its own.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

#[path = "support/server.rs"]
mod server;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use sealwort_proto::log::empty;
use sealwort_store::conformance::{self, as_stored, head_after, some_deposit, some_patient};
use sealwort_store::postgres::{Database, PostgresStore};
use sealwort_store::sqlite::SqliteStore;
use sealwort_store::{Append, Appended, AuditStore as _, DataFolder, DatabaseFault, LogStore as _, StoreError};
use server::{PASSWORD, Server, USER};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

async fn open(folder: &Path, role: &str, url: &str) -> Result<(DataFolder, PostgresStore), StoreError> {
    let mut folder = DataFolder::open(folder, role)?;
    let store = PostgresStore::open(&mut folder, &Database::new(url, Some(PASSWORD))?).await?;
    Ok((folder, store))
}

async fn refused(folder: &Path, role: &str, url: &str) -> DatabaseFault {
    let Err(error) = open(folder, role, url).await.map(drop) else { panic!("{url} was opened") };
    assert!(!error.to_string().contains(PASSWORD), "{error}");
    match error {
        StoreError::Database(fault) => fault,
        error => panic!("{error}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn postgresql_keeps_the_rules() {
    let Some(server) = Server::start() else { return };
    let place = tempfile::tempdir().unwrap();
    let url = server.url(&server.database());
    // Twice, because the second run meets the data of the first.
    for _ in 0..2 {
        let (_folder, store) = open(place.path(), "archive", &url).await.unwrap();
        conformance::patient_store(&store).await;
        conformance::log_store(&store).await;
        conformance::witness_store(&store).await;
        conformance::emergency_store(&store).await;
        store.close().await;
    }
    let again = async || open(place.path(), "archive", &url).await.unwrap().1;
    conformance::survives_reopening(again, async |store: PostgresStore| store.close().await).await;

    let (_folder, store) = open(place.path(), "archive", &url).await.unwrap();
    let audit = store.audit().await.unwrap();
    conformance::audit_store(&audit).await;
    let beside = store.audit().await.unwrap();
    assert_eq!(beside.audit_size().await.unwrap(), audit.audit_size().await.unwrap(), "a second one sees the same log");
    for log in [audit, beside] {
        log.close().await;
    }
    store.close().await;
}

/// The format that this version makes.
const NEWEST: i64 = 4;

#[tokio::test(flavor = "multi_thread")]
async fn tables_go_forth_and_back_and_patients_are_spread() {
    let Some(server) = Server::start() else { return };
    let (name, place) = (server.database(), tempfile::tempdir().unwrap());
    let database = Database::new(&server.url(&name), None).unwrap();
    let shape = || {
        server.sql(
            &name,
            "SELECT table_name, column_name, data_type, is_nullable FROM information_schema.columns
             WHERE table_schema = 'sealwort' ORDER BY 1, 2;
             SELECT indexdef FROM pg_indexes WHERE schemaname = 'sealwort' ORDER BY 1",
        )
    };
    PostgresStore::migrate(&database, NEWEST).await.unwrap();
    let newest = shape();
    assert!(newest.contains("entry_15") && newest.contains("audit_entry"), "{newest}");
    PostgresStore::migrate(&database, NEWEST - 1).await.unwrap();
    assert!(!shape().contains("object") && shape().contains("audit_entry"), "one step back");
    PostgresStore::migrate(&database, 1).await.unwrap();
    assert!(!shape().contains("audit_entry") && shape().contains("entry_15"), "another one");
    PostgresStore::migrate(&database, 0).await.unwrap();
    let tables = "SELECT string_agg(relname, ' ' ORDER BY relname) FROM pg_class
        WHERE relkind IN ('r', 'p') AND relnamespace = 'sealwort'::regnamespace";
    assert_eq!(server.sql(&name, tables), "format party", "back to nothing");
    PostgresStore::migrate(&database, NEWEST).await.unwrap();
    assert_eq!(shape(), newest, "and forth to the same");

    let (folder, store) = open(place.path(), "archive", &server.url(&name)).await.unwrap();
    for _ in 0..64 {
        let patient = some_patient();
        store.append(some_deposit(patient, empty(patient), &[10])).await.unwrap();
    }
    store.close().await;
    drop(folder);
    let used = server.sql(&name, "SELECT count(DISTINCT tableoid) FROM sealwort.entry").parse::<u32>().unwrap();
    assert!(used > 8, "64 patients lie in {used} of 16 partitions");
    let back = PostgresStore::migrate(&database, 0).await;
    let kept = matches!(&back, Err(StoreError::Database(DatabaseFault::NotEmpty { table, .. })) if table == "entry");
    assert!(kept, "{back:?}");
    assert_eq!(server.sql(&name, "SELECT count(*) FROM sealwort.entry"), "64", "nothing was dropped");
    PostgresStore::migrate(&database, NEWEST).await.unwrap();
    assert_eq!(server.sql(&name, "SELECT count(*) FROM sealwort.entry"), "64");

    server.sql(&name, "INSERT INTO sealwort.format VALUES (99)");
    let newer = refused(place.path(), "archive", &server.url(&name)).await;
    assert!(matches!(newer, DatabaseFault::Newer { found: 99, supported: NEWEST, .. }), "{newer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_wrong_with_a_server_is_named() {
    let Some(mut server) = Server::start() else { return };
    let place = tempfile::tempdir().unwrap();
    let (archive, broker) = (place.path().join("archive"), place.path().join("broker"));
    let (name, other) = (server.database(), server.database());
    let url = server.tcp_url(&name);

    let none = format!("postgresql://{USER}@127.0.0.1:1/{name}");
    assert!(matches!(refused(&archive, "archive", &none).await, DatabaseFault::Unreachable { .. }));
    let absent = refused(&archive, "archive", &server.tcp_url("absent")).await;
    assert!(matches!(&absent, DatabaseFault::Unreachable { reason, .. } if reason.contains("absent")), "{absent}");
    let wrong = Database::new(&url, Some("wrong")).unwrap();
    let login = PostgresStore::migrate(&wrong, 0).await.unwrap_err();
    assert!(matches!(login, StoreError::Database(DatabaseFault::Login { .. })), "{login}");

    let (folder, store) = open(&archive, "archive", &url).await.unwrap();
    let in_use = PostgresStore::migrate(&Database::new(&url, Some(PASSWORD)).unwrap(), 0).await.unwrap_err();
    let by_user = matches!(&in_use, StoreError::Database(DatabaseFault::InUse { by, .. }) if by.contains(USER));
    assert!(by_user, "{in_use}");

    // A trigger tells what the server would tell if its disk were full.
    let patient = some_patient();
    let append = some_deposit(patient, empty(patient), &[10]);
    server.sql(
        &name,
        "CREATE FUNCTION sealwort.full() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN RAISE EXCEPTION 'could not extend file' USING ERRCODE = '53100'; END $$;
        CREATE TRIGGER full_disk BEFORE INSERT ON sealwort.entry FOR EACH ROW EXECUTE FUNCTION sealwort.full()",
    );
    assert_eq!(store.append(append.clone()).await, Err(StoreError::Full));
    server.sql(&name, "DROP TRIGGER full_disk ON sealwort.entry");
    assert_eq!(store.append(append.clone()).await, Ok(Appended::Stored(head_after(&append))), "it goes on by itself");
    store.close().await;
    drop(folder);

    let role = refused(&broker, "broker", &url).await;
    assert!(matches!(&role, DatabaseFault::WrongRole { found, .. } if found == "archive"), "{role}");
    let empty = refused(&archive, "archive", &server.tcp_url(&other)).await;
    assert!(matches!(&empty, DatabaseFault::Replaced { reason, .. } if reason.contains("empty")), "{empty}");
    drop(open(&place.path().join("third"), "archive", &server.tcp_url(&other)).await.unwrap());
    let another = refused(&archive, "archive", &server.tcp_url(&other)).await;
    assert!(matches!(&another, DatabaseFault::Replaced { reason, .. } if reason.contains("another")), "{another}");
    let mut folder = DataFolder::open(&archive, "archive").unwrap();
    let embedded = SqliteStore::open(&mut folder).await.err();
    assert!(matches!(embedded, Some(StoreError::OnServer { .. })), "data are not left behind silently");
    drop(folder);
    let mut folder = DataFolder::open(&place.path().join("fourth"), "archive").unwrap();
    SqliteStore::open(&mut folder).await.unwrap().close().await;
    drop(folder);
    let embedded = refused(&place.path().join("fourth"), "archive", &server.tcp_url(&server.database())).await;
    assert!(matches!(&embedded, DatabaseFault::Replaced { reason, .. } if reason.contains("embedded")), "{embedded}");

    let set = |setting: &str, value: &str| {
        server.sql("postgres", &format!("ALTER SYSTEM SET {setting} = {value}"));
        server.sql("postgres", "SELECT pg_reload_conf()");
        server.wait_for("postgres", &format!("SHOW {setting}"), value);
    };
    for (setting, value) in
        [("synchronous_commit", "off"), ("synchronous_commit", "local"), ("fsync", "off"), ("full_page_writes", "off")]
    {
        set(setting, value);
        let found = refused(&archive, "archive", &url).await;
        assert!(matches!(found, DatabaseFault::Unsafe { setting: it, .. } if it == setting), "{found}");
        set(setting, "on");
    }
    server.stop();
    server.set("data_sync_retry=on");
    server.resume();
    let found = refused(&archive, "archive", &url).await;
    assert!(matches!(found, DatabaseFault::Unsafe { setting: "data_sync_retry", .. }), "{found}");
    server.set("data_sync_retry=off");
    server.stop();
    std::fs::write(server.data().join("standby.signal"), "").unwrap();
    server.resume();
    assert_eq!(refused(&archive, "archive", &url).await, DatabaseFault::ReadOnly);
    std::fs::remove_file(server.data().join("standby.signal")).unwrap();
    assert!(!server.log().contains(PASSWORD));
}

/// A server elsewhere is believed by its certificate and name alone.
#[tokio::test(flavor = "multi_thread")]
async fn tls_checks_certificate_and_name() {
    let Some(mut server) = Server::start() else { return };
    let place = tempfile::tempdir().unwrap();
    let (root, name) = (place.path().join("root.pem"), server.database());
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    std::fs::write(&root, made.cert.pem()).unwrap();
    server.speak_tls(&made.cert.pem(), &made.signing_key.serialize_pem());
    let by_number = format!("{}?sslmode=verify-full", server.tcp_url(&name));
    let (by_name, root) = (by_number.replace("127.0.0.1", "localhost"), format!("&sslrootcert={}", root.display()));

    let (_folder, store) = open(&place.path().join("a"), "archive", &format!("{by_name}{root}")).await.unwrap();
    let patient = some_patient();
    let append = some_deposit(patient, empty(patient), &[100_000]);
    assert_eq!(store.append(append.clone()).await, Ok(Appended::Stored(head_after(&append))));
    let plain = "SELECT count(*) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE client_port > 0 AND NOT ssl";
    assert_eq!(server.sql(&name, plain), "0", "every connection is over TLS");
    store.close().await;
    for (url, why) in [(format!("{by_number}{root}"), "name"), (by_name, "issuer")] {
        let fault = refused(&place.path().join("b"), "archive", &url).await;
        let told = fault.to_string().to_lowercase();
        assert!(matches!(fault, DatabaseFault::Unreachable { .. }) && told.contains(why), "{told}");
    }
}

/// The connection is cut right after the commit went out: the answer is an error, the deposit is there, and repeating
/// it finds that out.
#[tokio::test(flavor = "multi_thread")]
async fn a_commit_without_an_answer_is_not_acknowledged_and_can_be_repeated() {
    let Some(server) = Server::start() else { return };
    let (name, place, cut) = (server.database(), tempfile::tempdir().unwrap(), Arc::new(AtomicBool::new(false)));
    let port = cutting_proxy(server.port(), Arc::clone(&cut)).await;
    let url = format!("postgresql://{USER}@127.0.0.1:{port}/{name}");
    let (_folder, store) = open(place.path(), "archive", &url).await.unwrap();
    let patient = some_patient();
    let first = some_deposit(patient, empty(patient), &[10]);
    cut.store(true, Ordering::SeqCst);
    let lost = store.append(first.clone()).await;
    assert!(matches!(lost, Err(StoreError::Database(DatabaseFault::Lost { .. }))), "{lost:?}");
    // It is committed nevertheless.
    server.wait_for(&name, "SELECT count(*) FROM sealwort.entry", "1");
    assert_eq!(
        store.append(first.clone()).await,
        Ok(Appended::Known(head_after(&first))),
        "and is known when repeated"
    );
    let second = some_deposit(patient, head_after(&first), &[10]);
    assert_eq!(store.append(second.clone()).await, Ok(Appended::Stored(head_after(&second))), "writing goes on");
    store.close().await;
}

/// Passes everything on, until it is to cut: then the next commit goes to the server, and nothing comes back.
async fn cutting_proxy(server: u16, cut: Arc<AtomicBool>) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((client, _)) = listener.accept().await {
            let (cut, upstream) = (Arc::clone(&cut), TcpStream::connect(("127.0.0.1", server)).await.unwrap());
            tokio::spawn(async move {
                let ((mut from, mut back), (mut answers, mut to)) = (client.into_split(), upstream.into_split());
                let answering = tokio::spawn(async move { tokio::io::copy(&mut answers, &mut back).await });
                let mut bytes = vec![0; 64 * 1024];
                while let Ok(count @ 1..) = from.read(&mut bytes).await {
                    let commits = bytes[..count].windows(8).any(|word| word == b"; COMMIT");
                    let cutting = commits && cut.swap(false, Ordering::SeqCst);
                    if cutting {
                        answering.abort();
                    }
                    if to.write_all(&bytes[..count]).await.is_err() {
                        break;
                    }
                    if cutting {
                        // The server is not to see that nobody listens before it has committed.
                        std::future::pending::<()>().await;
                    }
                }
            });
        }
    });
    port
}

const WRITERS: usize = 16;
const KILLS: usize = 5;

/// Writers go on while the server is killed over and over; what each was told is held against what is there.
#[tokio::test(flavor = "multi_thread")]
async fn a_killed_server_loses_nothing_that_was_acknowledged() {
    let Some(mut server) = Server::start() else { return };
    let (name, place, ended) = (server.database(), tempfile::tempdir().unwrap(), Arc::new(AtomicBool::new(false)));
    let (_folder, store) = open(place.path(), "archive", &server.url(&name)).await.unwrap();
    let acknowledged = Arc::new(AtomicUsize::new(0));
    let writer = |_| tokio::spawn(write(store.clone(), Arc::clone(&acknowledged), Arc::clone(&ended)));
    let writers: Vec<_> = (0..WRITERS).map(writer).collect();
    for _ in 0..KILLS {
        some_more(&acknowledged).await;
        tokio::task::block_in_place(|| {
            server.kill();
            server.resume();
        });
    }
    some_more(&acknowledged).await;
    ended.store(true, Ordering::SeqCst);
    let (mut entries, mut repeated) = (0, 0);
    for writer in writers {
        let (deposits, known) = writer.await.unwrap();
        let Some(patient) = deposits.first().map(|first| first.patient) else { continue };
        let expected: Vec<_> = deposits.iter().flat_map(|deposit| as_stored(&deposit.entries)).collect();
        assert!(store.read(patient, 0, usize::MAX, usize::MAX).await.unwrap() == expected, "a log differs");
        entries += expected.len();
        repeated += known;
    }
    println!("{entries} entries acknowledged over {KILLS} kills, {repeated} deposits in doubt were found stored");
    store.close().await;
}

/// Waits until as many more deposits as there are writers are acknowledged.
async fn some_more(acknowledged: &AtomicUsize) {
    let enough = acknowledged.load(Ordering::SeqCst) + WRITERS;
    let coming = async {
        while acknowledged.load(Ordering::SeqCst) < enough {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(std::time::Duration::from_mins(1), coming).await.unwrap();
}

/// Deposits one after the other, each until it is acknowledged: those, and how many were known when they were repeated.
async fn write(store: PostgresStore, acknowledged: Arc<AtomicUsize>, ended: Arc<AtomicBool>) -> (Vec<Append>, usize) {
    let patient = some_patient();
    let (mut head, mut deposits, mut known) = (empty(patient), Vec::new(), 0);
    while !ended.load(Ordering::SeqCst) {
        let append = some_deposit(patient, head, &[500, 500]);
        loop {
            match store.append(append.clone()).await {
                Ok(Appended::Stored(_)) => break,
                Ok(Appended::Known(_)) => {
                    known += 1;
                    break;
                }
                Ok(other) => panic!("{other:?}"),
                Err(_) => tokio::time::sleep(std::time::Duration::from_millis(20)).await,
            }
        }
        head = head_after(&append);
        deposits.push(append);
        acknowledged.fetch_add(1, Ordering::SeqCst);
    }
    (deposits, known)
}
