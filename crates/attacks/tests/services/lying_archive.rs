//! An archive that lies to a hospital's real gateway: it signs what it likes with its own key and serves what it likes
//! from its store. What the gateway shows its user must be true or refused, and never an older or another truth.

use std::sync::{Arc, Mutex};

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
use sealwort_proto::{Digest, Locator, Pseudonym};
use sealwort_store::memory::MemoryStore;
use sealwort_store::{
    Append, Appended, DirectiveUpdate, LogStore, NewErasure, NewPatient, Patient, PatientStore, Registered, StoreError,
    StoredEntry, Tombstone, WrappedHalf,
};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::exchange::join;

/// What the archive does instead of its work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Lie {
    /// Answers a deposit with a receipt of the head before it, and keeps nothing.
    KeepsNothing,
    /// Answers a deposit with a receipt of another log.
    AnotherLog,
    /// States and signs an older head, and serves the log up to it.
    OlderHead,
    /// Leaves out an entry in the middle.
    SkipsAnEntry,
    /// Sends an entry twice.
    RepeatsAnEntry,
    /// Sends two entries in each other's place.
    SwapsEntries,
    /// Serves another patient's log as this one's.
    AnotherPatient,
    /// Alters a ciphertext.
    AltersACiphertext,
    /// Sends the ciphertext of another entry.
    SwapsCiphertexts,
}

/// A store that lies when it is told to.
#[derive(Clone)]
struct LyingStore {
    truth: MemoryStore,
    lie: Arc<Mutex<Option<Lie>>>,
}

impl LyingStore {
    fn lies(&self, lie: Lie) -> bool {
        *self.lie.lock().unwrap() == Some(lie)
    }
}

#[async_trait]
impl LogStore for LyingStore {
    async fn append(&self, append: Append) -> Result<Appended, StoreError> {
        if self.lies(Lie::KeepsNothing) {
            return Ok(Appended::Known(append.after));
        }
        if self.lies(Lie::AnotherLog) {
            return Ok(Appended::Known(Witness { head: Digest::new([7; 32]), ..append.after }));
        }
        self.truth.append(append).await
    }

    async fn head(&self, patient: Pseudonym) -> Result<Option<Witness>, StoreError> {
        if self.lies(Lie::OlderHead) {
            let entries = self.truth.entries(patient);
            return Ok(entries.len().checked_sub(2).map(|at| Witness { sequence: at as u64 + 1, head: entries[at].0 }));
        }
        self.truth.head(patient).await
    }

    async fn read(
        &self,
        patient: Pseudonym,
        after: u64,
        entries_max: usize,
        bytes_max: usize,
    ) -> Result<Vec<StoredEntry>, StoreError> {
        let other = self.truth.patients().into_iter().find(|other| *other != patient);
        let whose = if self.lies(Lie::AnotherPatient) { other.unwrap() } else { patient };
        let mut entries = self.truth.read(whose, after, entries_max, bytes_max).await?;
        // A page of one entry leaves nothing to skip, repeat or swap.
        let lie = self.lie.lock().unwrap().filter(|_| entries.len() > 1);
        match lie {
            Some(Lie::SkipsAnEntry) => drop(entries.remove(1)),
            Some(Lie::RepeatsAnEntry) => entries.insert(1, entries[0].clone()),
            Some(Lie::SwapsEntries) => entries.swap(0, 1),
            Some(Lie::AltersACiphertext) => entries[1].ciphertext[40] ^= 1,
            Some(Lie::SwapsCiphertexts) => {
                let first = entries[0].ciphertext.clone();
                entries[0].ciphertext = std::mem::replace(&mut entries[1].ciphertext, first);
            }
            _ => {}
        }
        Ok(entries)
    }

    async fn put_author(&self, key: Digest, chain: Vec<u8>) -> Result<(), StoreError> {
        self.truth.put_author(key, chain).await
    }

    async fn author(&self, key: Digest) -> Result<Option<Vec<u8>>, StoreError> {
        self.truth.author(key).await
    }
}

#[async_trait]
impl PatientStore for LyingStore {
    async fn register(&self, patient: NewPatient) -> Result<Registered, StoreError> {
        self.truth.register(patient).await
    }

    async fn patient(&self, patient: Pseudonym) -> Result<Option<Patient>, StoreError> {
        self.truth.patient(patient).await
    }

    async fn locate(&self, locators: &[Locator]) -> Result<Option<Pseudonym>, StoreError> {
        self.truth.locate(locators).await
    }

    async fn direct(&self, update: DirectiveUpdate) -> Result<(), StoreError> {
        self.truth.direct(update).await
    }

    async fn halves(&self, patient: Pseudonym) -> Result<Vec<WrappedHalf>, StoreError> {
        self.truth.halves(patient).await
    }

    async fn erase(&self, erasure: NewErasure) -> Result<Tombstone, StoreError> {
        self.truth.erase(erasure).await
    }

    async fn tombstone(&self, patient: Pseudonym) -> Result<Option<Tombstone>, StoreError> {
        self.truth.tombstone(patient).await
    }
}

/// One request to the gateway's FHIR face: status and body.
pub(crate) async fn ask(
    address: std::net::SocketAddr,
    token: &str,
    method: &str,
    path: &str,
    body: &str,
) -> (u16, String) {
    let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: gateway\r\nAuthorization: Bearer {token}\r\nConnection: close\r\n\
         Content-Type: application/fhir+json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    let answer = String::from_utf8(answer).unwrap();
    (answer.split(' ').nth(1).unwrap().parse().unwrap(), answer)
}

fn patient(number: u32) -> String {
    format!(
        r#"{{"resourceType":"Patient","id":"p{number}","identifier":[{{"system":"urn:oid:1.2.3","value":"{number}"}}]}}"#
    )
}

fn observation(patient: u32, number: u32) -> String {
    format!(
        r#"{{"resourceType":"Observation","id":"p{patient}-o{number}","status":"final","code":{{"text":"pulse"}},"subject":{{"reference":"Patient/p{patient}"}}}}"#
    )
}

/// Writes two patients' logs, then lies; gives what the hospital's user is told of a reading and of a writing, and what the
/// broker counts.
async fn told_when(lie: Option<Lie>) -> ([(u16, String); 2], String) {
    let clock = TestClock::at(SystemClock.now());
    let authority = TestExchange::with("demo", KeyAlgorithm::Ed25519, clock.now());
    let place = tempfile::tempdir().unwrap();
    let (trigger, shutdown) = Shutdown::channel();
    for (role, name) in [(Role::Archive, "archive"), (Role::Broker, "broker"), (Role::Gateway, "hospital")] {
        join(&authority, authority.party(role, name), &place.path().join(name));
    }
    let store = LyingStore { truth: MemoryStore::default(), lie: Arc::default() };
    let dated: Arc<dyn Clock> = Arc::new(clock.clone());
    let config = sealwort_archive::Config {
        folder: place.path().join("archive"),
        listen: ListenConfig::default(),
        ..Default::default()
    };
    let member = Member::load(&place.path().join("archive"), Role::Archive, Policies::standard(), Arc::clone(&dated));
    let member = Arc::new(member.unwrap());
    let kept = Arc::new(store.clone());
    let audit = Arc::new(store.truth.clone());
    let serving =
        sealwort_archive::serve(&config, member, kept.clone(), kept, audit, Steps::default(), shutdown.clone());
    let archive = serving.await.unwrap();
    let mut config = sealwort_broker::Config {
        folder: place.path().join("broker"),
        listen: ListenConfig::default(),
        ..Default::default()
    };
    config.archive.url = format!("https://{}", archive.address);
    config.health.address = Some(ListenConfig::default().address);
    let broker = sealwort_broker::start(&config, Arc::clone(&dated), Steps::default(), shutdown.clone()).await.unwrap();
    let folder = place.path().join("hospital");
    let mut config = sealwort_gateway::Config { folder: folder.clone(), ..Default::default() };
    config.fhir.address = ListenConfig::default().address;
    config.broker.url = format!("https://{}", broker.address);
    let (first_trigger, first_shutdown) = Shutdown::channel();
    let first = sealwort_gateway::start(&config, Arc::clone(&dated), Steps::default(), first_shutdown).await.unwrap();
    let user = User { name: "dr-a".into(), role: "physician".into(), expires: clock.now().as_secs() + 3600 };
    let token = sealwort_gateway::issue_token(&folder, &user).unwrap();

    for number in [1, 2] {
        let path = format!("/fhir/Patient/p{number}");
        let (status, answer) = ask(first.address, &token, "PUT", &path, &patient(number)).await;
        assert_eq!(status, 201, "{answer}");
        for observed in 1..=3 {
            let path = format!("/fhir/Observation/p{number}-o{observed}");
            let body = observation(number, observed);
            let (status, answer) = ask(first.address, &token, "PUT", &path, &body).await;
            assert_eq!(status, 201, "{answer}");
        }
    }
    // Patients that are open in memory are not read again; a gateway that starts anew has only the archive's word and
    // what it wrote down of the logs.
    first_trigger.fire();
    first.stopped().await;
    let gateway = sealwort_gateway::start(&config, dated, Steps::default(), shutdown).await.unwrap();
    *store.lie.lock().unwrap() = lie;
    let read = ask(gateway.address, &token, "GET", "/fhir/Observation?patient=Patient/p1", "").await;
    let written = ask(gateway.address, &token, "POST", "/fhir/Observation", &observation(1, 4)).await;
    let (_, counted) = ask(broker.health.unwrap(), "", "GET", "/metrics", "").await;
    trigger.fire();
    gateway.stopped().await;
    broker.stopped().await;
    archive.stopped().await;
    ([read, written], counted)
}

#[tokio::test]
async fn what_a_lying_archive_says_is_refused_and_nothing_of_it_is_shown() {
    let cases = [
        (Lie::KeepsNothing, "", "log-rolled-back"),
        (Lie::OlderHead, "log-rolled-back", "log-rolled-back"),
        (Lie::SkipsAnEntry, "log-inconsistent", ""),
        (Lie::RepeatsAnEntry, "log-inconsistent", ""),
        (Lie::SwapsEntries, "log-", ""),
        (Lie::AnotherPatient, "log-inconsistent", ""),
        (Lie::AltersACiphertext, "log-inconsistent", ""),
        (Lie::SwapsCiphertexts, "log-inconsistent", ""),
    ];
    for (lie, reading, writing) in cases {
        let (told, _) = told_when(Some(lie)).await;
        for ((status, answer), (expected, good)) in told.into_iter().zip([(reading, 200), (writing, 201)]) {
            if expected.is_empty() {
                assert_eq!(status, good, "{lie:?}: {answer}");
            } else {
                assert_eq!(status, 502, "{lie:?}: {answer}");
                assert!(answer.contains(expected) && !answer.contains("pulse"), "{lie:?}: {answer}");
                println!("{lie:?}: refused with {expected}");
            }
        }
    }
    let ([(read, all), (written, _)], counted) = told_when(None).await;
    assert_eq!((read, written), (200, 201), "an honest archive is believed");
    assert_eq!(all.matches("pulse").count(), 3, "{all}");
    assert_eq!(tampering(&counted), 0, "{counted}");
}

/// How often a broker refused because a log was not what it was.
fn tampering(counted: &str) -> u64 {
    let series = "sealwort_refusals_total{role=\"broker\",code=\"log-rolled-back\"} ";
    counted.lines().find_map(|line| line.strip_prefix(series)).map_or(0, |count| count.parse().unwrap())
}

#[tokio::test]
async fn a_broker_counts_receipts_of_two_logs() {
    let ([_, (status, answer)], counted) = told_when(Some(Lie::AnotherLog)).await;
    assert_ne!(status, 201, "{answer}");
    assert!(tampering(&counted) > 0, "{counted}");
}
