//! Large entries as objects: in a folder beside the embedded store, and in Ceph beside PostgreSQL. Either keeps the
//! rules of the store; what was acknowledged outlives kills on both sides; what is wrong with an object, a bucket or a
//! server is named, and never are wrong bytes handed out. The killed child is this test binary again.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::expect_used)]

#[path = "support/ceph.rs"]
mod ceph;
#[path = "support/server.rs"]
mod server;

use std::collections::HashMap;
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use ceph::{ACCESS_KEY, Ceph, SECRET_KEY};
use sealwort_proto::log::empty;
use sealwort_proto::{Pseudonym, crypto};
use sealwort_store::conformance::{self, as_stored, head_after, some_deposit, some_patient};
use sealwort_store::postgres::{Database, PostgresStore};
use sealwort_store::sqlite::{SqliteAudit, SqliteStore};
use sealwort_store::{
    Append, Appended, DataFolder, DatabaseFault, LogStore as _, NewErasure, NewPatient, ObjectFault, ObjectOptions,
    Objects, PartyStore, StoreError, Swept, WrappedHalf, moving,
};
use server::{PASSWORD, Server};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

const ROLE: &str = "archive";
const HOUR: Duration = Duration::from_hours(1);
/// Most of what the conformance suite writes is larger than the first of these, and some of it than the second.
const SMALL: usize = 48;
const MIDDLE: usize = 512;

/// A store and where its objects lie.
#[derive(Clone)]
struct Site {
    folder: PathBuf,
    database: Option<String>,
    url: String,
    endpoint: String,
    secret_key: String,
    authorities: Option<PathBuf>,
    larger_than: usize,
}

impl Site {
    /// The embedded store, with objects in a folder.
    fn embedded(place: &Path) -> Self {
        let objects = place.join("objects");
        fs::create_dir_all(&objects).unwrap();
        Self {
            folder: place.join("data"),
            database: None,
            url: format!("file://{}", objects.display()),
            endpoint: String::new(),
            secret_key: String::new(),
            authorities: None,
            larger_than: SMALL,
        }
    }

    /// PostgreSQL, with objects in a new bucket.
    async fn scaled(place: &Path, server: &Server, ceph: &Ceph) -> Self {
        let site = Self {
            folder: place.join("data"),
            database: Some(server.url(&server.database())),
            url: format!("s3://{}/archive", ceph.bucket()),
            endpoint: ceph.endpoint(),
            secret_key: SECRET_KEY.to_owned(),
            authorities: None,
            larger_than: MIDDLE,
        };
        let bucket = Self { url: site.url.replace("/archive", ""), ..site.clone() };
        bucket.objects(HOUR).unwrap().make_bucket().await.unwrap();
        site
    }

    fn objects(&self, orphans_after: Duration) -> Result<Objects, StoreError> {
        Objects::new(&ObjectOptions {
            url: &self.url,
            endpoint: &self.endpoint,
            region: "us-east-1",
            access_key: if self.endpoint.is_empty() { "" } else { ACCESS_KEY },
            secret_key: &self.secret_key,
            authorities: self.authorities.as_deref(),
            larger_than: self.larger_than,
            orphans_after,
        })
    }

    fn database(&self) -> Option<Database> {
        self.database.as_ref().map(|url| Database::new(url, Some(PASSWORD)).unwrap())
    }

    async fn open(&self) -> Result<PartyStore, StoreError> {
        self.open_with(Some(self.objects(HOUR)?)).await
    }

    async fn open_with(&self, objects: Option<Objects>) -> Result<PartyStore, StoreError> {
        let folder = DataFolder::open(&self.folder, ROLE)?;
        PartyStore::open(folder, &self.folder, self.database().as_ref()).await?.with_objects(objects).await
    }

    /// The embedded store, which sweeps when it is told to.
    async fn embedded_store(&self) -> (DataFolder, SqliteStore) {
        let mut folder = DataFolder::open(&self.folder, ROLE).unwrap();
        let store = SqliteStore::open(&mut folder).await.unwrap();
        (folder, store.with_objects(Some(self.objects(HOUR).unwrap())).await.unwrap())
    }

    async fn fault(&self) -> ObjectFault {
        fault(self.open().await.map(drop))
    }

    async fn sweep(&self, orphans_after: Duration) -> Swept {
        let objects = self.objects(orphans_after).unwrap();
        self.try_to_sweep(&objects).await.unwrap()
    }

    async fn try_to_sweep(&self, objects: &Objects) -> Result<Swept, StoreError> {
        PartyStore::sweep_beside(&self.folder, ROLE, self.database().as_ref(), objects).await
    }

    /// Files of entries' objects, where they are files.
    fn files(&self) -> Vec<PathBuf> {
        let shelves = fs::read_dir(Path::new(self.url.strip_prefix("file://").unwrap()).join("entry"));
        let shelves = shelves.into_iter().flatten().map(|shelf| shelf.unwrap().path());
        shelves.flat_map(|shelf| fs::read_dir(shelf).unwrap().map(|file| file.unwrap().path())).collect()
    }
}

#[track_caller]
fn fault<T>(outcome: Result<T, StoreError>) -> ObjectFault {
    match outcome {
        Err(StoreError::Objects(fault)) => {
            assert!(!fault.to_string().contains(SECRET_KEY), "{fault}");
            fault
        }
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("it should have failed"),
    }
}

async fn stored(store: &PartyStore, patient: Pseudonym, sizes: &[usize]) -> Append {
    let append = some_deposit(patient, empty(patient), sizes);
    assert_eq!(store.logs().append(append.clone()).await, Ok(Appended::Stored(head_after(&append))));
    append
}

#[track_caller]
fn whole(found: Result<Vec<sealwort_store::StoredEntry>, StoreError>, append: &Append) {
    assert!(found.unwrap() == as_stored(&append.entries), "every entry is read back");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_embedded_store_with_a_folder_keeps_the_rules() {
    let place = tempfile::tempdir().unwrap();
    let site = Site::embedded(place.path());
    for _ in 0..2 {
        let (_folder, store) = site.embedded_store().await;
        conformance::patient_store(&store).await;
        conformance::log_store(&store).await;
        store.close().await;
    }
    let open = async || site.embedded_store().await.1;
    conformance::survives_reopening(open, async |store: SqliteStore| store.close().await).await;
    assert!(site.files().len() > 200, "{} objects: the suite really used them", site.files().len());
    assert_eq!(site.sweep(HOUR).await.young, 0, "deposits that were refused left nothing");
}

/// One server and one cluster for all that needs both: they take a while to start.
#[tokio::test(flavor = "multi_thread")]
async fn postgresql_with_ceph() {
    let (Some(server), Some(mut ceph)) = (Server::start(), Ceph::start()) else { return };
    keeps_the_rules(&server, &ceph).await;
    nodes_share_a_place(&server, &ceph).await;
    let place = tempfile::tempdir().unwrap();
    killed(&Site::scaled(place.path(), &server, &ceph).await).await;
    what_is_wrong_is_named(&server, &mut ceph).await;
    assert!(!ceph.log().contains(SECRET_KEY) && !server.log().contains(SECRET_KEY));
}

async fn keeps_the_rules(server: &Server, ceph: &Ceph) {
    let place = tempfile::tempdir().unwrap();
    let site = Site::scaled(place.path(), server, ceph).await;
    let open = async || {
        let mut folder = DataFolder::open(&site.folder, ROLE).unwrap();
        let store = PostgresStore::open(&mut folder, &site.database().unwrap()).await.unwrap();
        (folder, store.with_objects(Some(site.objects(HOUR).unwrap())).await.unwrap())
    };
    let (folder, store) = open().await;
    conformance::patient_store(&store).await;
    conformance::log_store(&store).await;
    conformance::witness_store(&store).await;
    store.close().await;
    drop(folder);
    conformance::survives_reopening(async || open().await.1, async |store: PostgresStore| store.close().await).await;
    let count = |what: &str| {
        let name = site.database.as_ref().unwrap().split(['/', '?']).find(|part| part.starts_with("db")).unwrap();
        server.sql(name, &format!("SELECT count(*) FROM sealwort.entry WHERE {what}")).parse::<u64>().unwrap()
    };
    let objects = count("object IS NOT NULL");
    assert!(objects > 50, "{objects} objects: the suite really used them");
    assert_eq!(count(&format!("length(ciphertext) > {MIDDLE}")), 0, "and nothing large is in the database");
    let swept = site.sweep(HOUR).await;
    assert_eq!(swept, Swept { seen: objects, young: 0, removed: 0 }, "deposits that were refused left nothing");
}

/// Two nodes of an archive, which sweep and store at the same time.
async fn nodes_share_a_place(server: &Server, ceph: &Ceph) {
    let place = tempfile::tempdir().unwrap();
    let site = Site::scaled(place.path(), server, ceph).await;
    let node = Site { folder: place.path().join("node"), ..site.clone() };
    let first = site.open().await.unwrap();
    fs::create_dir(&node.folder).unwrap();
    fs::copy(site.folder.join("role"), node.folder.join("role")).unwrap();
    let (mut folder, database) = (DataFolder::open(&node.folder, ROLE).unwrap(), site.database().unwrap());
    let second = PostgresStore::open(&mut folder, &database).await.unwrap();
    let second = second.with_objects(Some(site.objects(HOUR).unwrap())).await.unwrap();
    let third = second.clone();
    let sweep = async |store: &PostgresStore| {
        for _ in 0..3 {
            assert_eq!(store.sweep().await.unwrap().removed, 0);
        }
    };
    let patient = some_patient();
    let mut appends = vec![some_deposit(patient, empty(patient), &[3000, 20, 60_000])];
    let store = async {
        for round in 0..6 {
            let append = appends.last().unwrap().clone();
            let logs = if round % 2 == 0 { first.logs() } else { std::sync::Arc::new(second.clone()) as _ };
            assert_eq!(logs.append(append.clone()).await, Ok(Appended::Stored(head_after(&append))));
            appends.push(some_deposit(patient, head_after(&append), &[3000]));
        }
    };
    tokio::join!(sweep(&second), sweep(&third), store);
    appends.pop();
    let entries: Vec<_> = appends.into_iter().flat_map(|append| append.entries).collect();
    for logs in [first.logs(), std::sync::Arc::new(second.clone()) as _] {
        assert!(logs.read(patient, 0, usize::MAX, usize::MAX).await.unwrap() == as_stored(&entries));
    }
    assert_eq!(site.sweep(Duration::ZERO).await, Swept { seen: 7, young: 0, removed: 0 });
    second.close().await;
    first.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn wrong_bytes_are_never_handed_out_and_others_are_served() {
    let place = tempfile::tempdir().unwrap();
    let site = Site::embedded(place.path());
    let store = site.open().await.unwrap();
    let (hurt, other) = (some_patient(), some_patient());
    let spared = stored(&store, other, &[70_000, 10]).await;
    let before = site.files();
    let append = stored(&store, hurt, &[10, 60_000, 20]).await;
    let file = site.files().into_iter().find(|file| !before.contains(file)).unwrap();
    let content = fs::read(&file).unwrap();
    let read = async |after| store.logs().read(hurt, after, usize::MAX, usize::MAX).await;

    let mut flipped = content.clone();
    flipped[30_000] ^= 1;
    let longer = [&content[..], b"x"].concat();
    for wrong in [Some(&flipped[..]), Some(&content[1..]), Some(&longer[..]), Some(b""), None] {
        match wrong {
            Some(wrong) => fs::write(&file, wrong).unwrap(),
            None => fs::remove_file(&file).unwrap(),
        }
        let told = fault(read(1).await);
        let (ObjectFault::Altered { key, .. } | ObjectFault::Missing { key, .. }) = &told else { panic!("{told}") };
        assert!(file.ends_with(key), "{told} names {}", file.display());
        assert_eq!(matches!(told, ObjectFault::Missing { .. }), wrong.is_none(), "{told}");
        assert_eq!(read(0).await.unwrap(), as_stored(&append.entries[..1]), "what lies before it is served");
        assert_eq!(read(2).await.unwrap(), as_stored(&append.entries[2..]), "and what lies behind it");
        whole(store.logs().read(other, 0, usize::MAX, usize::MAX).await, &spared);
    }
    fs::write(&file, &content).unwrap();
    whole(read(0).await, &append);
    store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_place_that_is_not_the_stores_own_is_refused() {
    let place = tempfile::tempdir().unwrap();
    let site = Site::embedded(place.path());
    let store = site.open().await.unwrap();
    let patient = some_patient();
    let append = stored(&store, patient, &[1000]).await;
    store.close().await;

    let unconfigured = fault(site.open_with(None).await.map(drop));
    assert_eq!(unconfigured, ObjectFault::Unconfigured, "data are not left behind silently");
    let empty_place = tempfile::tempdir().unwrap();
    let moved = Site { url: Site::embedded(empty_place.path()).url, ..site.clone() };
    assert!(matches!(moved.fault().await, ObjectFault::Foreign { reason, .. } if reason.contains("mark")));
    // Another store on the same place would take all of this one's objects for orphans.
    let second = Site { folder: place.path().join("second"), ..site.clone() };
    assert!(matches!(second.fault().await, ObjectFault::Foreign { reason, .. } if reason.contains("another")));
    let folder = DataFolder::open(&second.folder, ROLE).unwrap();
    PartyStore::open(folder, &second.folder, None).await.unwrap().close().await;
    let swept = second.try_to_sweep(&site.objects(Duration::ZERO).unwrap()).await;
    assert!(matches!(fault(swept), ObjectFault::Foreign { .. }));

    let store = site.open().await.unwrap();
    whole(store.logs().read(patient, 0, usize::MAX, usize::MAX).await, &append);
    store.close().await;
}

fn new_patient(patient: Pseudonym) -> NewPatient {
    let half = WrappedHalf { epoch: 1, wrapped: vec![1; 40] };
    NewPatient { patient, locators: Vec::new(), registration: vec![2; 9], directive: vec![3; 9], version: 1, half }
}

#[tokio::test(flavor = "multi_thread")]
async fn orphans_are_collected_and_nothing_else() {
    let place = tempfile::tempdir().unwrap();
    let site = Site::embedded(place.path());
    let store = site.open().await.unwrap();
    let patient = some_patient();
    let append = stored(&store, patient, &[1000, 2000, 10]).await;
    // What a crash leaves between the object and its row.
    let orphan = site.files()[0].with_file_name("0123456789abcdef0123456789abcdef");
    fs::write(&orphan, "without a row").unwrap();
    let stranger = orphan.with_file_name("readme");
    fs::write(&stranger, "not ours").unwrap();
    // What it leaves before an object has its name.
    let cut_off = orphan.with_file_name("1123456789abcdef0123456789abcdef#1");
    fs::write(&cut_off, "not whole").unwrap();
    assert_eq!(site.sweep(HOUR).await, Swept { seen: 3, young: 1, removed: 0 }, "somebody may be about to name it");
    assert!(orphan.exists() && cut_off.exists());
    store.close().await;

    // The service sweeps by itself.
    let store = site.open_with(Some(site.objects(Duration::ZERO).unwrap())).await.unwrap();
    let until = Instant::now() + Duration::from_mins(10);
    while orphan.exists() || cut_off.exists() {
        assert!(Instant::now() < until, "the service does not sweep");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(stranger.exists(), "what has another name is not touched");
    whole(store.logs().read(patient, 0, usize::MAX, usize::MAX).await, &append);
    assert_eq!(site.sweep(Duration::ZERO).await, Swept { seen: 2, young: 0, removed: 0 });
    store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn entries_are_moved_with_their_objects_and_an_older_state_deletes_none() {
    let Some(server) = Server::start() else { return };
    let place = tempfile::tempdir().unwrap();
    let site = Site::embedded(place.path());
    let (folder, store) = site.embedded_store().await;
    SqliteAudit::open(&folder, &site.folder).await.unwrap().close().await;
    let (patient, other) = (some_patient(), some_patient());
    let append = some_deposit(patient, empty(patient), &[1000, 10, 2000]);
    assert_eq!(store.append(append.clone()).await, Ok(Appended::Stored(head_after(&append))));
    store.close().await;
    drop(folder);
    let copy = Site { folder: place.path().join("copy"), ..site.clone() };
    let backed_up = sealwort_store::back_up(&site.folder, ROLE, &site.folder, &[], &copy.folder).await.unwrap();
    assert_eq!(backed_up.objects, 2);

    let url = server.url(&server.database());
    let database = Database::new(&url, Some(PASSWORD)).unwrap();
    let folder = DataFolder::open(&site.folder, ROLE).unwrap();
    moving::to_database(folder, &site.folder, &database, &|_, _| {}).await.unwrap();
    let moved = Site { database: Some(url), ..site.clone() };
    let mut folder = DataFolder::open(&site.folder, ROLE).unwrap();
    let store = PostgresStore::open(&mut folder, &database).await.unwrap();
    let store = store.with_objects(Some(site.objects(HOUR).unwrap())).await.unwrap();
    whole(store.read(patient, 0, usize::MAX, usize::MAX).await, &append);
    let later = some_deposit(other, empty(other), &[3000]);
    assert_eq!(store.append(later.clone()).await, Ok(Appended::Stored(head_after(&later))));
    assert_eq!(store.sweep().await.unwrap(), Swept { seen: 3, young: 0, removed: 0 });
    store.close().await;
    drop(folder);
    let beside = site.try_to_sweep(&site.objects(Duration::ZERO).unwrap()).await;
    assert!(matches!(beside, Err(StoreError::OnServer { .. })), "the folder alone knows nothing: {beside:?}");

    // A backup of before knows nothing of what came later, and would take it for orphans.
    let everything = site.objects(Duration::ZERO).unwrap();
    assert!(matches!(fault(copy.try_to_sweep(&everything).await), ObjectFault::Older { .. }));
    let (folder, store) = copy.embedded_store().await;
    for _ in 0..2 {
        assert!(matches!(fault(store.sweep().await), ObjectFault::Older { .. }));
    }
    whole(store.read(patient, 0, usize::MAX, usize::MAX).await, &append);
    store.close().await;
    drop(folder);
    assert_eq!(moved.sweep(Duration::ZERO).await, Swept { seen: 3, young: 0, removed: 0 });

    // Another node's folder still says that its data are in the database after they were moved back.
    let node = Site { folder: place.path().join("node"), ..moved.clone() };
    fs::create_dir(&node.folder).unwrap();
    fs::copy(site.folder.join("role"), node.folder.join("role")).unwrap();
    for old in ["store.sqlite", "audit.sqlite"] {
        fs::remove_file(site.folder.join(format!("{old}.moved"))).unwrap();
    }
    let folder = DataFolder::open(&site.folder, ROLE).unwrap();
    moving::to_folder(folder, &site.folder, &database, &|_, _| {}).await.unwrap();
    let left = node.try_to_sweep(&everything).await;
    assert!(matches!(left, Err(StoreError::Database(DatabaseFault::Moving { .. }))), "{left:?}");
    assert!(moved.try_to_sweep(&everything).await.is_err(), "the folder keeps its data itself");
    let (_folder, store) = site.embedded_store().await;
    whole(store.read(patient, 0, usize::MAX, usize::MAX).await, &append);
    whole(store.read(other, 0, usize::MAX, usize::MAX).await, &later);
    store.close().await;
    // Who knows that nothing of a newer state is needed says so by this.
    fs::remove_file(place.path().join("objects/sweeps")).unwrap();
    assert_eq!(copy.sweep(Duration::ZERO).await, Swept { seen: 3, young: 0, removed: 1 });
}

#[tokio::test(flavor = "multi_thread")]
async fn erasing_a_patient_takes_the_objects_along() {
    let place = tempfile::tempdir().unwrap();
    let site = Site::embedded(place.path());
    let store = site.open().await.unwrap();
    erase(&site, &store, async |_| {}).await;
    assert_eq!(site.files().len(), 1, "the other patient's");
    store.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_empty_mount_point_is_not_taken_for_the_place() {
    let place = tempfile::tempdir().unwrap();
    let (site, objects, away) = (Site::embedded(place.path()), place.path().join("objects"), place.path().join("away"));
    let mount = |there| {
        if there {
            assert!(!objects.join("entry").exists(), "nothing is stored beside the place");
            fs::remove_dir_all(&objects).unwrap();
            fs::rename(&away, &objects).unwrap();
        } else {
            fs::rename(&objects, &away).unwrap();
            fs::create_dir(&objects).unwrap();
        }
    };
    let store = site.open().await.unwrap();
    erase(&site, &store, async |there| mount(there)).await;
    let patient = some_patient();
    let first = stored(&store, patient, &[1000]).await;
    mount(false);
    let read = store.logs().read(patient, 0, usize::MAX, usize::MAX).await;
    assert!(matches!(fault(read), ObjectFault::Failed { .. }), "nothing is called lost");
    let second = some_deposit(patient, head_after(&first), &[1000]);
    assert!(matches!(fault(store.logs().append(second).await), ObjectFault::Failed { .. }));
    mount(true);
    whole(store.logs().read(patient, 0, usize::MAX, usize::MAX).await, &first);
    store.close().await;
}

/// Erases one of two patients while the place for objects does not answer, and again when it does.
async fn erase(site: &Site, store: &PartyStore, mut answers: impl AsyncFnMut(bool)) {
    let (patient, other) = (some_patient(), some_patient());
    store.patients().register(new_patient(patient)).await.unwrap();
    stored(store, patient, &[1000, 10, 2000]).await;
    let kept = stored(store, other, &[3000]).await;
    assert_eq!(site.sweep(HOUR).await, Swept { seen: 3, young: 0, removed: 0 });
    let erasure = NewErasure { patient, erasure: vec![7; 30], erased_at: 1 };
    answers(false).await;
    let outcome = store.patients().erase(erasure.clone()).await;
    answers(true).await;
    if let Err(error) = outcome {
        assert!(matches!(fault::<()>(Err(error)), ObjectFault::Failed { .. }));
        assert_eq!(store.logs().head(patient).await, Ok(None), "the database has forgotten");
    }
    let tombstone = store.patients().erase(erasure).await.unwrap();
    assert_eq!(tombstone.destroyed.entries, 3);
    assert_eq!(site.sweep(HOUR).await, Swept { seen: 1, young: 0, removed: 0 }, "and so has the place for objects");
    whole(store.logs().read(other, 0, usize::MAX, usize::MAX).await, &kept);
    let late = some_deposit(patient, empty(patient), &[1000]);
    assert_eq!(store.logs().append(late).await, Ok(Appended::Erased));
    assert_eq!(site.sweep(HOUR).await.seen, 1, "nothing is left of a deposit that came too late");
}

async fn what_is_wrong_is_named(server: &Server, ceph: &mut Ceph) {
    let place = tempfile::tempdir().unwrap();
    let site = Site::scaled(place.path(), server, ceph).await;

    let wrong = Site { secret_key: "wrong".to_owned(), ..site.clone() };
    assert!(matches!(wrong.fault().await, ObjectFault::Refused { reason, .. } if reason == "SignatureDoesNotMatch"));
    let absent = Site { url: "s3://absent/archive".to_owned(), ..site.clone() };
    assert!(matches!(absent.fault().await, ObjectFault::Failed { reason, .. } if reason == "NoSuchBucket"));
    let nobody = Site { endpoint: "http://127.0.0.1:1".to_owned(), ..site.clone() };
    assert!(matches!(nobody.fault().await, ObjectFault::Failed { .. }));
    let careless = Site { endpoint: careless_server().await, ..site.clone() };
    assert!(matches!(careless.fault().await, ObjectFault::Unconditional { .. }));

    let store = site.open().await.unwrap();
    let (patient, small) = (some_patient(), some_patient());
    let first = stored(&store, patient, &[300_000, 10]).await;
    let little = stored(&store, small, &[10]).await;
    ceph.stop();
    let second = some_deposit(patient, head_after(&first), &[300_000]);
    assert!(matches!(fault(store.logs().append(second.clone()).await), ObjectFault::Failed { .. }));
    let read = store.logs().read(patient, 0, usize::MAX, usize::MAX).await;
    assert!(matches!(fault(read), ObjectFault::Failed { .. }));
    whole(store.logs().read(small, 0, usize::MAX, usize::MAX).await, &little);
    let more = some_deposit(small, head_after(&little), &[20]);
    assert_eq!(store.logs().append(more.clone()).await, Ok(Appended::Stored(head_after(&more))), "small ones go on");
    ceph.resume();
    assert_eq!(store.logs().append(second.clone()).await, Ok(Appended::Stored(head_after(&second))));
    let all = [first.entries, second.entries].concat();
    assert!(store.logs().read(patient, 0, usize::MAX, usize::MAX).await.unwrap() == as_stored(&all));
    store.close().await;

    let erasing = Site::scaled(&place.path().join("erasing"), server, ceph).await;
    let store = erasing.open().await.unwrap();
    erase(&erasing, &store, async |answers| if answers { ceph.resume() } else { ceph.stop() }).await;
    store.close().await;

    // A server elsewhere is believed by its certificate and name alone.
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    ceph.speak_tls(&made.cert.pem(), &made.signing_key.serialize_pem());
    let authorities = place.path().join("authorities.pem");
    fs::write(&authorities, made.cert.pem()).unwrap();
    let tls = Site { endpoint: ceph.tls_endpoint("localhost"), authorities: Some(authorities.clone()), ..site.clone() };
    let store = tls.open().await.unwrap();
    assert!(store.logs().read(patient, 0, usize::MAX, usize::MAX).await.unwrap() == as_stored(&all));
    store.close().await;
    for untrusted in
        [Site { endpoint: ceph.tls_endpoint("127.0.0.1"), ..tls.clone() }, Site { authorities: None, ..tls.clone() }]
    {
        assert!(matches!(untrusted.fault().await, ObjectFault::Failed { .. }));
    }
}

/// An S3 server that takes every PUT, whatever its condition.
async fn careless_server() -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut request = Vec::new();
                while !request.ends_with(b"probe 1") && !request.ends_with(b"probe 2") {
                    let mut bytes = [0; 4096];
                    let Ok(count @ 1..) = client.read(&mut bytes).await else { break };
                    request.extend_from_slice(&bytes[..count]);
                    if !request.starts_with(b"PUT") && request.ends_with(b"\r\n\r\n") {
                        break;
                    }
                }
                let answer = "HTTP/1.1 200 OK\r\nETag: \"1\"\r\nLast-Modified: Thu, 01 Jan 2026 00:00:00 GMT\r\n\
                    Content-Length: 0\r\nConnection: close\r\n\r\n";
                client.write_all(answer.as_bytes()).await.unwrap();
            });
        }
    });
    endpoint
}

const CHILD: &str = "SEALWORT_OBJECTS_CHILD";
const WRITERS: u8 = 4;

/// How often the writer is killed; `SEALWORT_KILLS` says another number.
fn kills() -> u32 {
    std::env::var("SEALWORT_KILLS").map_or(10, |kills| kills.parse().unwrap())
}

/// Not a test of its own: what the killed process does. Prints a line for everything that was acknowledged.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn child() {
    let Ok(told) = std::env::var(CHILD) else { return };
    let told: Vec<_> = told.split('\n').map(str::to_owned).collect();
    let [folder, database, url, endpoint, secret_key] = &told[..] else { panic!("{told:?}") };
    let site = Site {
        folder: folder.into(),
        database: Some(database.clone()).filter(|database| !database.is_empty()),
        url: url.clone(),
        endpoint: endpoint.clone(),
        secret_key: secret_key.clone(),
        authorities: None,
        larger_than: MIDDLE,
    };
    let store = site.open().await.unwrap();
    println!("\nopen");
    let tasks: Vec<_> = (0..WRITERS).map(|writer| tokio::spawn(write(store.logs(), writer))).collect();
    for task in tasks {
        task.await.unwrap();
    }
}

async fn write(logs: std::sync::Arc<dyn sealwort_store::LogStore>, writer: u8) {
    let patient = Pseudonym::new([writer; 32]);
    let mut head = logs.head(patient).await.unwrap().unwrap_or_else(|| empty(patient));
    loop {
        let append = some_deposit(patient, head, &[3000, 60_000]);
        head = head_after(&append);
        assert_eq!(logs.append(append.clone()).await, Ok(Appended::Stored(head)));
        for entry in &append.entries {
            println!("stored {writer} {} {}", entry.sequence, hex::encode(crypto::sha256(&entry.ciphertext)));
        }
    }
}

/// Kills the writer over and over, also between an object and its row; what it said is held against what is there.
async fn killed(site: &Site) {
    let told = [site.folder.to_str().unwrap(), site.database.as_deref().unwrap_or_default(), &site.url, &site.endpoint];
    let told = format!("{}\n{}", told.join("\n"), site.secret_key);
    let (mut acknowledged, mut orphans) = (HashMap::new(), 0);
    for _ in 0..kills() {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child", "--nocapture"])
            .env(CHILD, &told)
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        while line.trim_end() != "open" {
            line.clear();
            assert!(lines.read_line(&mut line).unwrap() > 0, "the child ended before it was open");
        }
        let [patience, delay_a, delay_b]: [u8; 3] = crypto::random();
        let delay = Duration::from_micros(u64::from(u16::from_be_bytes([delay_a, delay_b])));
        let (mut child, mut left, mut killing) = (Some(child), 1 + patience % 8, None);
        line.clear();
        // A last line without its end was not said.
        while lines.read_line(&mut line).unwrap_or(0) > 0 && line.ends_with('\n') {
            if let ["stored", writer, sequence, digest] = line.trim_end().split(' ').collect::<Vec<_>>()[..] {
                let at = (writer.parse::<u8>().unwrap(), sequence.parse::<u64>().unwrap());
                acknowledged.insert(at, digest.to_owned());
                left = left.saturating_sub(1);
            }
            // Some moment after so many acknowledgements, however long they take here.
            if left == 0
                && let Some(mut child) = child.take()
            {
                killing = Some(std::thread::spawn(move || {
                    std::thread::sleep(delay);
                    child.kill().unwrap();
                    child.wait().unwrap();
                }));
            }
            line.clear();
        }
        killing.expect("the child ended by itself").join().unwrap();
        let store = site.open().await.unwrap();
        let entries = check(&store, &acknowledged).await;
        let swept = site.sweep(Duration::ZERO).await;
        assert_eq!(swept.seen - swept.removed, entries, "what is named stays, and nothing else");
        orphans += swept.removed;
        check(&store, &acknowledged).await;
        store.close().await;
    }
    println!("{} kills, {} acknowledged entries, none lost, {orphans} orphans collected", kills(), acknowledged.len());
}

/// Every acknowledged entry is there, and every entry that is there can be read: gives their number.
async fn check(store: &PartyStore, acknowledged: &HashMap<(u8, u64), String>) -> u64 {
    let mut found = HashMap::new();
    for writer in 0..WRITERS {
        let patient = Pseudonym::new([writer; 32]);
        let entries = store.logs().read(patient, 0, usize::MAX, usize::MAX).await.unwrap();
        let head = store.logs().head(patient).await.unwrap().map_or(0, |head| head.sequence);
        assert_eq!(entries.len() as u64, head, "nothing is half visible");
        for entry in entries {
            found.insert((writer, entry.sequence), hex::encode(crypto::sha256(&entry.ciphertext)));
        }
    }
    for (at, digest) in acknowledged {
        assert_eq!(found.get(at), Some(digest), "{at:?} was acknowledged");
    }
    found.len() as u64
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_beside_a_folder_nothing_acknowledged_is_lost() {
    let place = tempfile::tempdir().unwrap();
    killed(&Site::embedded(place.path())).await;
}

/// An object is on the disk, file and folder, before the row that names it.
#[test]
fn an_object_is_synced_before_its_row() {
    let probe = Command::new("strace").args(["-o", "/dev/null", "true"]).output();
    if !matches!(&probe, Ok(output) if output.status.success()) {
        eprintln!("SKIPPED: strace is not here or may not trace, so fsync is not watched: {probe:?}");
        return;
    }
    let place = tempfile::tempdir().unwrap();
    let (site, trace) = (Site::embedded(place.path()), place.path().join("trace"));
    let told = format!("{}\n\n{}\n\n", site.folder.display(), site.url);
    // Until the child has said something; then it is ended.
    let script = "\"$@\" | grep -q -m 1 '^stored'";
    let traced = Command::new("bash")
        .args(["-c", script, "bash", "timeout", "-s", "KILL", "600"])
        .args(["strace", "-f", "-y", "-e", "trace=fsync,fdatasync,write", "-o"])
        .arg(&trace)
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", "child", "--nocapture"])
        .env(CHILD, told)
        .output()
        .unwrap();
    assert!(traced.status.success(), "{traced:?}");
    let text = fs::read_to_string(trace).unwrap();
    let before = text.split_once("\"stored ").unwrap().0;
    let synced: Vec<_> = before.lines().filter(|line| line.contains("sync(")).collect();
    let row = synced.iter().rposition(|line| line.contains("store.sqlite-wal")).unwrap();
    let objects = |what: &dyn Fn(&str) -> bool| synced[..row].iter().any(|line| what(line));
    assert!(objects(&|line| line.contains("/objects/entry/") && line.contains('#')), "the file: {synced:?}");
    assert!(objects(&|line| line.contains("/objects/entry/") && !line.contains('#')), "its folder: {synced:?}");
}
