//! A merge of two identities that is cut off: the stores of gateway and archive fail from one write on, from each in turn,
//! and the gateway starts anew. Asked again it is completed, and nothing of it is done twice. So is undoing it, which gives
//! back no consent that was withdrawn meanwhile.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use async_trait::async_trait;
use sealwort_gateway::User;
use sealwort_net::config::ListenConfig;
use sealwort_net::member::Member;
use sealwort_net::steps::Steps;
use sealwort_net::{Clock, Shutdown, SystemClock, TestClock};
use sealwort_pki::testing::TestExchange;
use sealwort_pki::{KeyAlgorithm, Role};
use sealwort_proto::policy::Policies;
use sealwort_proto::receipt::Witness;
use sealwort_proto::{DepositId, Digest, Pseudonym};
use sealwort_store::memory::MemoryStore;
use sealwort_store::{Append, Appended, GatewayStore, LogStore, OutboxItem, RosterKind, StoreError, StoredEntry};

use crate::exchange::join;
use crate::lying_archive::ask;

const NEVER: i64 = i64::MAX;

/// A store that takes so many writes, and none after them.
#[derive(Clone)]
struct FailingStore {
    kept: MemoryStore,
    left: Arc<AtomicI64>,
}

impl FailingStore {
    fn new(left: &Arc<AtomicI64>) -> Self {
        Self { kept: MemoryStore::default(), left: Arc::clone(left) }
    }

    fn write(&self) -> Result<(), StoreError> {
        let taken = self.left.fetch_sub(1, Ordering::SeqCst) > 0;
        if taken { Ok(()) } else { Err(StoreError::Io("it is cut off here".into())) }
    }
}

type Rows = Vec<(RosterKind, [u8; 32], Vec<u8>)>;

#[async_trait]
impl GatewayStore for FailingStore {
    async fn put_roster(&self, rows: Rows) -> Result<(), StoreError> {
        self.write()?;
        self.kept.put_roster(rows).await
    }

    async fn add_roster(&self, rows: Rows) -> Result<(), StoreError> {
        self.write()?;
        self.kept.add_roster(rows).await
    }

    async fn roster_count(&self, kind: RosterKind) -> Result<u64, StoreError> {
        self.kept.roster_count(kind).await
    }

    async fn roster(&self, kind: RosterKind, key: [u8; 32]) -> Result<Option<Vec<u8>>, StoreError> {
        self.kept.roster(kind, key).await
    }

    async fn roster_rows(&self, kind: RosterKind) -> Result<Vec<([u8; 32], Vec<u8>)>, StoreError> {
        self.kept.roster_rows(kind).await
    }

    async fn remove_roster(&self, kind: RosterKind, key: [u8; 32]) -> Result<(), StoreError> {
        self.write()?;
        self.kept.remove_roster(kind, key).await
    }

    async fn enqueue(&self, id: DepositId, patient: [u8; 32], sealed: Vec<u8>) -> Result<(), StoreError> {
        self.write()?;
        self.kept.enqueue(id, patient, sealed).await
    }

    async fn pending(&self, limit: usize) -> Result<Vec<OutboxItem>, StoreError> {
        self.kept.pending(limit).await
    }

    async fn pending_count(&self, patient: Option<[u8; 32]>) -> Result<u64, StoreError> {
        self.kept.pending_count(patient).await
    }

    async fn done(&self, id: DepositId) -> Result<(), StoreError> {
        self.write()?;
        self.kept.done(id).await
    }
}

#[async_trait]
impl LogStore for FailingStore {
    async fn append(&self, append: Append) -> Result<Appended, StoreError> {
        self.write()?;
        self.kept.append(append).await
    }

    async fn head(&self, patient: Pseudonym) -> Result<Option<Witness>, StoreError> {
        self.kept.head(patient).await
    }

    async fn read(
        &self,
        patient: Pseudonym,
        after: u64,
        entries_max: usize,
        bytes_max: usize,
    ) -> Result<Vec<StoredEntry>, StoreError> {
        self.kept.read(patient, after, entries_max, bytes_max).await
    }

    async fn put_author(&self, key: Digest, chain: Vec<u8>) -> Result<(), StoreError> {
        self.kept.put_author(key, chain).await
    }

    async fn author(&self, key: Digest) -> Result<Option<Vec<u8>>, StoreError> {
        self.kept.author(key).await
    }
}

/// A hospital whose gateway can be started anew over what it keeps.
struct Hospital {
    config: sealwort_gateway::Config,
    clock: Arc<dyn Clock>,
    store: FailingStore,
    audit: MemoryStore,
    token: String,
    running: Option<(sealwort_gateway::Serving, sealwort_net::ShutdownTrigger)>,
}

impl Hospital {
    async fn restart(&mut self) {
        if let Some((serving, trigger)) = self.running.take() {
            trigger.fire();
            serving.stopped().await;
        }
        let clock = Arc::clone(&self.clock);
        let member = Member::load(&self.config.folder, Role::Gateway, Policies::standard(), clock).unwrap();
        let (store, audit) = (Arc::new(self.store.clone()), Arc::new(self.audit.clone()));
        let (trigger, shutdown) = Shutdown::channel();
        let serving =
            sealwort_gateway::serve(&self.config, Arc::new(member), store, audit, Steps::default(), shutdown).await;
        self.running = Some((serving.unwrap(), trigger));
    }

    fn address(&self) -> SocketAddr {
        self.running.as_ref().unwrap().0.address
    }

    async fn ask(&self, method: &str, path: &str, body: &str) -> (u16, String) {
        ask(self.address(), &self.token, method, path, body).await
    }

    async fn shows(&self, path: &str) -> String {
        let (status, answer) = self.ask("GET", path, "").await;
        assert_eq!(status, 200, "{path}: {answer}");
        answer
    }

    /// A patient with one observation; the pseudonym.
    async fn patient(&self, number: i64) -> Pseudonym {
        let observation = format!(
            r#"{{"resourceType":"Observation","id":"o{number}","status":"final","code":{{"text":"x"}},"subject":{{"reference":"Patient/p{number}"}}}}"#
        );
        for (path, body) in
            [(format!("Patient/p{number}"), patient(number, "Alone")), (format!("Observation/o{number}"), observation)]
        {
            let (status, answer) = self.ask("PUT", &format!("/fhir/{path}"), &body).await;
            assert_eq!(status, 201, "{answer}");
        }
        let consent = self.shows(&format!("/consent?patient=p{number}")).await;
        consent.split(r#""patient":""#).nth(1).unwrap().split('"').next().unwrap().parse().unwrap()
    }
}

fn patient(number: i64, family: &str) -> String {
    format!(
        r#"{{"resourceType":"Patient","id":"p{number}","identifier":[{{"system":"urn:cut","value":"{number}"}}],"name":[{{"family":"{family}"}}]}}"#
    )
}

async fn start(place: &Path, left: &Arc<AtomicI64>, shutdown: &Shutdown) -> (Hospital, MemoryStore) {
    let clock = TestClock::at(SystemClock.now());
    let authority = TestExchange::with("demo", KeyAlgorithm::Ed25519, clock.now());
    for (role, name) in [(Role::Archive, "archive"), (Role::Broker, "broker"), (Role::Gateway, "hospital")] {
        join(&authority, authority.party(role, name), &place.join(name));
    }
    let clock: Arc<dyn Clock> = Arc::new(clock);
    let listen = ListenConfig::default();
    let config =
        sealwort_archive::Config { folder: place.join("archive"), listen: listen.clone(), ..Default::default() };
    let member = Member::load(&config.folder, Role::Archive, Policies::standard(), Arc::clone(&clock)).unwrap();
    let log = FailingStore::new(left);
    let kept = Arc::new(log.kept.clone());
    let steps = Steps::default();
    let archive = sealwort_archive::serve(
        &config,
        Arc::new(member),
        kept.clone(),
        Arc::new(log.clone()),
        kept,
        steps.clone(),
        shutdown.clone(),
    );
    let archive = archive.await.unwrap();
    let mut config = sealwort_broker::Config { folder: place.join("broker"), listen, ..Default::default() };
    config.archive.url = format!("https://{}", archive.address);
    let broker = sealwort_broker::start(&config, Arc::clone(&clock), steps, shutdown.clone()).await.unwrap();
    let mut config = sealwort_gateway::Config { folder: place.join("hospital"), ..Default::default() };
    config.fhir.address = ListenConfig::default().address;
    config.broker.url = format!("https://{}", broker.address);
    let user = User { name: "root".into(), role: "administrator".into(), expires: clock.now().as_secs() + 3600 };
    let token = sealwort_gateway::issue_token(&config.folder, &user).unwrap();
    let (store, audit) = (FailingStore::new(left), MemoryStore::default());
    let mut hospital = Hospital { config, clock, store, audit, token, running: None };
    hospital.restart().await;
    (hospital, log.kept)
}

#[tokio::test]
async fn a_merge_that_is_cut_off_anywhere_is_completed() {
    let place = tempfile::tempdir().unwrap();
    let left = Arc::new(AtomicI64::new(NEVER));
    let (trigger, shutdown) = Shutdown::channel();
    let (mut hospital, log) = start(place.path(), &left, &shutdown).await;
    let mut cut = 0;
    loop {
        let (source, target) = (2 * cut + 1, 2 * cut + 2);
        let (from, to) = (hospital.patient(source).await, hospital.patient(target).await);
        let side = |name: &str, number: i64| {
            format!(r#"{{"name":"{name}","valueReference":{{"reference":"Patient/p{number}"}}}}"#)
        };
        let (one, other) = (side("source-patient", source), side("target-patient", target));
        let result = format!(r#"{{"name":"result-patient","resource":{}}}"#, patient(target, "Both"));
        let merge = format!(r#"{{"resourceType":"Parameters","parameter":[{one},{other},{result}]}}"#);

        left.store(cut, Ordering::SeqCst);
        let (first, answer) = hospital.ask("POST", "/fhir/Patient/$merge", &merge).await;
        let whole = left.swap(NEVER, Ordering::SeqCst) > 0;
        assert!(first == 200 || first >= 500, "cut {cut}: {answer}");
        hospital.restart().await;
        // Whoever reads takes note of what the records say.
        hospital.shows(&format!("/fhir/Patient/p{target}/$everything")).await;
        for _ in 0..2 {
            let (status, answer) = hospital.ask("POST", "/fhir/Patient/$merge", &merge).await;
            assert_eq!(status, 200, "cut {cut}: {answer}");
        }
        let entries = (log.entries(from).len(), log.entries(to).len());
        assert_eq!(entries, (3, 4), "cut {cut}: each record says it once, and the Patient was replaced once");
        assert!(hospital.shows(&format!("/fhir/Patient/p{source}")).await.contains("replaced-by"), "cut {cut}");
        assert!(hospital.shows(&format!("/fhir/Patient/p{target}")).await.contains("Both"), "cut {cut}");
        let found = hospital.shows(&format!("/fhir/Observation?patient=p{target}")).await;
        assert_eq!(found.matches(r#""resourceType":"Observation""#).count(), 2, "cut {cut}: {found}");

        let unmerge = format!(r#"{{"resourceType":"Parameters","parameter":[{one}]}}"#);
        let (status, answer) = hospital.ask("POST", "/fhir/Patient/$unmerge", &unmerge).await;
        assert_eq!(status, 200, "cut {cut}: {answer}");
        assert!(hospital.shows(&format!("/fhir/Patient/p{target}")).await.contains("Alone"), "cut {cut}");
        assert!(!hospital.shows(&format!("/fhir/Patient/p{source}")).await.contains("replaced-by"), "cut {cut}");
        if whole {
            break;
        }
        cut += 1;
    }
    assert!(cut > 10, "it was cut off {cut} times");
    trigger.fire();
}

/// What becomes of another hospital's consent before an unmerge that is cut off is completed.
#[derive(Debug, Clone, Copy)]
enum Decided {
    /// Only one had granted it. While they are merged it is granted for both, and withdrawn from both.
    AndBack,
    /// Both had granted it; it is withdrawn after the cut.
    Since,
}

impl Hospital {
    /// Grants or withdraws what the other hospital may see of a patient.
    async fn decide(&self, change: &str, number: i64) -> u16 {
        let body = format!(r#"{{"patient":"urn:cut|{number}","to":"{OTHER}"}}"#);
        self.ask("POST", &format!("/consent/{change}"), &body).await.0
    }

    async fn grants(&self, number: i64) -> bool {
        self.shows(&format!("/consent?patient=p{number}")).await.contains(OTHER)
    }
}

const OTHER: &str = "sealwort://demo/gateway/other";

#[tokio::test]
async fn an_unmerge_that_is_cut_off_anywhere_gives_back_nothing_that_was_withdrawn() {
    let place = tempfile::tempdir().unwrap();
    let left = Arc::new(AtomicI64::new(NEVER));
    let (trigger, shutdown) = Shutdown::channel();
    let (mut hospital, _log) = start(place.path(), &left, &shutdown).await;
    let (mut cut, mut wholes) = (0, 0);
    while wholes < 2 {
        wholes = 0;
        for decided in [Decided::AndBack, Decided::Since] {
            let source = 4 * cut + if matches!(decided, Decided::Since) { 3 } else { 1 };
            let target = source + 1;
            for number in [source, target] {
                hospital.patient(number).await;
            }
            assert_eq!(hospital.decide("grant", source).await, 200);
            if matches!(decided, Decided::Since) {
                assert_eq!(hospital.decide("grant", target).await, 200);
            }
            let side = |name: &str, number: i64| {
                format!(r#"{{"name":"{name}","valueReference":{{"reference":"Patient/p{number}"}}}}"#)
            };
            let (one, other) = (side("source-patient", source), side("target-patient", target));
            let both = format!(r#"{{"resourceType":"Parameters","parameter":[{one},{other}]}}"#);
            let (status, answer) = hospital.ask("POST", "/fhir/Patient/$merge", &both).await;
            assert_eq!(status, 200, "{answer}");
            if matches!(decided, Decided::AndBack) {
                for change in ["grant", "withdraw"] {
                    assert_eq!(hospital.decide(change, target).await, 200);
                }
            }

            left.store(cut, Ordering::SeqCst);
            let (first, answer) = hospital.ask("POST", "/fhir/Patient/$unmerge", &both).await;
            wholes += i32::from(left.swap(NEVER, Ordering::SeqCst) > 0);
            assert!(first == 200 || first >= 500, "cut {cut}, {decided:?}: {answer}");
            hospital.restart().await;
            if matches!(decided, Decided::Since) {
                for number in [target, source] {
                    // The two are parted by now, or not yet: then it is withdrawn from both at once.
                    if hospital.grants(number).await {
                        assert_eq!(hospital.decide("withdraw", number).await, 200, "cut {cut}");
                    }
                }
            }
            let (again, answer) = hospital.ask("POST", "/fhir/Patient/$unmerge", &both).await;
            assert!(again == 200 || first == 200, "cut {cut}, {decided:?}: {answer}");
            for number in [source, target] {
                assert!(!hospital.grants(number).await, "cut {cut}, {decided:?}: p{number} has consent again");
            }
        }
        cut += 1;
    }
    assert!(cut > 10, "it was cut off {cut} times");
    trigger.fire();
}
