//! One log, running: group commit, a disk that is full and is not again, a log that was altered, and two parties that
//! witness each other.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use axum::body::Body;
use base64::Engine as _;
use http::Request;
use sealwort_audit::{AddCheckpoint, AtRest, Event, EventKind, Hashes, Note, Question, Refused, Row, verify_selected};
use sealwort_journal::{
    ADD_CHECKPOINT_PATH, CosignError, Journal, JournalError, Opening, Speaker, Voice, export_of, routes,
};
use sealwort_net::config::TelemetryConfig;
use sealwort_net::health::Readiness;
use sealwort_net::observe::Observation;
use sealwort_net::tls::{ConnectionId, HopPeer};
use sealwort_pki::testing::{TEST_NOW, TestExchange, TestParty};
use sealwort_pki::{Expected, KeyUse, Role, Trust};
use sealwort_proto::codec::to_bytes;
use sealwort_proto::peers::chain_to_wire;
use sealwort_proto::{Digest, Pseudonym};
use sealwort_store::memory::MemoryStore;
use sealwort_store::{
    AppendUpon, AuditAppended, AuditBatch, AuditQuery, AuditStore, Cosign, KeptCheckpoint, Standing, StoreError,
};
use tower::ServiceExt as _;

/// A party of a test exchange.
struct TestVoice {
    party: TestParty,
    trust: Arc<Trust>,
}

impl Voice for TestVoice {
    fn speaker(&self) -> Speaker {
        let key = sealwort_pki::SigningKey::from_pkcs8(&self.party.statement.key.to_pkcs8().unwrap()).unwrap();
        Speaker { identity: self.party.identity.clone(), key: Arc::new(key), chain: self.party.statement.chain.clone() }
    }

    fn trust(&self) -> Arc<Trust> {
        Arc::clone(&self.trust)
    }

    fn now_millis(&self) -> u64 {
        TEST_NOW.as_secs() * 1000
    }
}

/// A store that may be full, and counts commits.
#[derive(Clone, Default)]
struct Disk {
    kept: MemoryStore,
    full: Arc<AtomicBool>,
    commits: Arc<AtomicUsize>,
    /// How often all certificates were read.
    chains_read: Arc<AtomicUsize>,
    /// Stands in for entries that somebody put in place of others.
    altered: Arc<Mutex<Option<KeptCheckpoint>>>,
    /// What is appended to instead.
    elsewhere: Arc<Mutex<Option<MemoryStore>>>,
}

#[async_trait]
impl AuditStore for Disk {
    async fn append_audit(&self, batch: AuditBatch) -> Result<AuditAppended, StoreError> {
        if self.full.load(Ordering::SeqCst) {
            return Err(StoreError::Full);
        }
        self.commits.fetch_add(1, Ordering::SeqCst);
        self.kept.append_audit(batch).await
    }

    async fn append_audit_upon(&self, known: Option<KeptCheckpoint>, make: AppendUpon) -> Result<(), StoreError> {
        if self.full.load(Ordering::SeqCst) {
            return Err(StoreError::Full);
        }
        self.commits.fetch_add(1, Ordering::SeqCst);
        let altered = self.altered.lock().unwrap().clone();
        let make: AppendUpon = Box::new(move |standing| match (standing, altered) {
            (Some(it), Some(newest)) => {
                let (hashes, chains) = (it.hashes.clone(), it.chains.clone());
                make(Some(&Standing { size: it.size, newest: Some(newest), hashes, chains }))
            }
            (standing, _) => make(standing),
        });
        let elsewhere = self.elsewhere.lock().unwrap().clone();
        elsewhere.as_ref().unwrap_or(&self.kept).append_audit_upon(known, make).await
    }

    async fn audit_size(&self) -> Result<u64, StoreError> {
        self.kept.audit_size().await
    }

    async fn audit_rows(&self, query: AuditQuery, most: usize) -> Result<Vec<Row>, StoreError> {
        self.kept.audit_rows(query, most).await
    }

    async fn audit_hashes(&self, numbers: &[u64]) -> Result<Vec<(u64, Hashes)>, StoreError> {
        self.kept.audit_hashes(numbers).await
    }

    async fn newest_checkpoint(&self) -> Result<Option<KeptCheckpoint>, StoreError> {
        let altered = self.altered.lock().unwrap().clone();
        Ok(altered.or(self.kept.newest_checkpoint().await?))
    }

    async fn put_cosigned(&self, size: u64, make: Cosign) -> Result<(), StoreError> {
        self.kept.put_cosigned(size, make).await
    }

    async fn cosigned(&self, from: u64, most: usize) -> Result<Vec<KeptCheckpoint>, StoreError> {
        self.kept.cosigned(from, most).await
    }

    async fn newest_cosigned(&self, size: u64) -> Result<Option<KeptCheckpoint>, StoreError> {
        self.kept.newest_cosigned(size).await
    }

    async fn remember_checkpoint(
        &self,
        origin: &str,
        after: u64,
        checkpoint: KeptCheckpoint,
    ) -> Result<bool, StoreError> {
        self.kept.remember_checkpoint(origin, after, checkpoint).await
    }

    async fn remembered(&self, origin: &str, from: u64, most: usize) -> Result<Vec<KeptCheckpoint>, StoreError> {
        self.kept.remembered(origin, from, most).await
    }

    async fn newest_remembered(&self, origin: &str) -> Result<Option<KeptCheckpoint>, StoreError> {
        self.kept.newest_remembered(origin).await
    }

    async fn origins(&self) -> Result<Vec<String>, StoreError> {
        self.kept.origins().await
    }

    async fn put_audit_chain(&self, certificate: Digest, chain: Vec<u8>) -> Result<(), StoreError> {
        self.kept.put_audit_chain(certificate, chain).await
    }

    async fn audit_chain_count(&self) -> Result<u64, StoreError> {
        self.kept.audit_chain_count().await
    }

    async fn audit_chains(&self) -> Result<Vec<Vec<u8>>, StoreError> {
        self.chains_read.fetch_add(1, Ordering::SeqCst);
        self.kept.audit_chains().await
    }
}

fn voice(exchange: &TestExchange, role: Role, name: &str) -> Arc<TestVoice> {
    Arc::new(TestVoice { party: exchange.party(role, name), trust: Arc::new(exchange.trust()) })
}

async fn open(disk: &Disk, voice: &Arc<TestVoice>, readiness: &Readiness) -> Result<Journal, JournalError> {
    open_at(disk, voice, readiness, None).await
}

async fn open_at(
    disk: &Disk,
    voice: &Arc<TestVoice>,
    readiness: &Readiness,
    evidence: Option<&Path>,
) -> Result<Journal, JournalError> {
    Journal::open(Opening {
        store: Arc::new(disk.clone()),
        place: "/audit".into(),
        voice: Arc::clone(voice) as _,
        at_rest: AtRest::Clear,
        evidence: evidence.map(Path::to_owned),
        readiness: readiness.clone(),
    })
    .await
}

async fn events(disk: &Disk) -> Vec<Event> {
    let rows = disk.kept.audit_rows(AuditQuery::default(), 10_000).await.unwrap();
    rows.iter().map(|row| Event::from_bytes(&row.stored).unwrap()).collect()
}

fn exchange() -> TestExchange {
    TestExchange::new("test")
}

#[tokio::test]
async fn many_callers_share_a_commit_and_each_has_its_entry() {
    let (disk, voice) = (Disk::default(), voice(&exchange(), Role::Broker, "broker"));
    let journal = open(&disk, &voice, &Readiness::new()).await.unwrap();
    let before = disk.commits.load(Ordering::SeqCst);
    let appends = (0..200).map(|number| {
        let journal = journal.clone();
        let event = journal.event(EventKind::RequestDecided).user(&format!("dr-{number}"), "physician");
        tokio::spawn(async move { journal.append(event).await })
    });
    for append in appends.collect::<Vec<_>>() {
        append.await.unwrap().unwrap();
    }
    let commits = disk.commits.load(Ordering::SeqCst) - before;
    assert!(commits < 20, "{commits} commits for 200 entries");
    let events = events(&disk).await;
    assert_eq!(events.len(), 201);
    let mut users: Vec<_> = events.iter().filter_map(|event| event.user.clone()).collect();
    users.sort();
    users.dedup();
    assert_eq!(users.len(), 200);
    // The checkpoint is over all of them, and a restart goes on from it.
    let newest = journal.newest_checkpoint().await.unwrap().unwrap();
    assert_eq!(newest.size, 201);
    drop(journal);
    let again = open(&disk, &voice, &Readiness::new()).await.unwrap();
    assert_eq!(again.newest_checkpoint().await.unwrap().unwrap().size, 202);
}

#[tokio::test]
async fn a_full_disk_refuses_everything_and_heals_by_itself() {
    let (disk, voice) = (Disk::default(), voice(&exchange(), Role::Broker, "broker"));
    let readiness = Readiness::new();
    let journal = open(&disk, &voice, &readiness).await.unwrap();
    disk.full.store(true, Ordering::SeqCst);
    let refused = journal.append(journal.event(EventKind::EntriesFetched)).await.unwrap_err();
    assert!(refused.is_full());
    assert_eq!(refused.code(), "audit-unavailable");
    assert_eq!(journal.check(), Err(refused.clone()));
    assert_eq!(readiness.missing().len(), 1);
    assert!(readiness.missing()[0].1.contains("the disk is full"), "{:?}", readiness.missing());
    assert_eq!(events(&disk).await.len(), 1, "nothing was half written");
    disk.full.store(false, Ordering::SeqCst);
    for _ in 0..100 {
        if journal.check().is_ok() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(journal.check(), Ok(()));
    assert!(readiness.missing().is_empty());
    journal.append(journal.event(EventKind::EntriesFetched)).await.unwrap();
    let kinds: Vec<_> = events(&disk).await.iter().map(|event| event.kind).collect();
    assert_eq!(kinds, [EventKind::ServiceStarted, EventKind::LogResumed, EventKind::EntriesFetched]);
}

#[tokio::test]
async fn a_log_that_is_not_what_its_checkpoint_says_is_not_written() {
    let (disk, voice) = (Disk::default(), voice(&exchange(), Role::Broker, "broker"));
    let journal = open(&disk, &voice, &Readiness::new()).await.unwrap();
    let first = journal.newest_checkpoint().await.unwrap().unwrap();
    journal.append(journal.event(EventKind::EntriesFetched)).await.unwrap();
    drop(journal);
    // Cut, forked, and without a checkpoint that can be read.
    let other = Disk::default();
    let fork = open(&other, &voice, &Readiness::new()).await.unwrap();
    fork.append(fork.event(EventKind::EntriesFetched)).await.unwrap();
    let fork = fork.newest_checkpoint().await.unwrap().unwrap();
    let longer = KeptCheckpoint { size: 3, note: fork.note.replace("\n2\n", "\n3\n") };
    for altered in [fork, longer, KeptCheckpoint { size: 2, note: "nonsense".into() }] {
        *disk.altered.lock().unwrap() = Some(altered);
        assert!(matches!(open(&disk, &voice, &Readiness::new()).await, Err(JournalError::Altered(_))));
    }
    assert_eq!(events(&disk).await.len(), 2);
    *disk.altered.lock().unwrap() = None;
    assert!(first.size == 1 && open(&disk, &voice, &Readiness::new()).await.is_ok());
}

/// A database that lost what it had acknowledged, as after a failover to a standby that was behind.
#[tokio::test]
async fn a_log_that_became_shorter_or_longer_by_itself_is_not_written() {
    let (disk, voice) = (Disk::default(), voice(&exchange(), Role::Broker, "broker"));
    let journal = open(&disk, &voice, &Readiness::new()).await.unwrap();
    journal.append(journal.event(EventKind::EntriesFetched)).await.unwrap();
    let behind = Disk::default();
    let _begun = open(&behind, &voice, &Readiness::new()).await.unwrap();
    *disk.elsewhere.lock().unwrap() = Some(behind.kept.clone());
    let refused = journal.append(journal.event(EventKind::EntriesFetched)).await;
    assert!(matches!(&refused, Err(JournalError::Altered(what)) if what.contains("had 2")), "{refused:?}");
    assert_eq!(events(&behind).await.len(), 1);

    // Entries over which nobody made a checkpoint.
    *disk.altered.lock().unwrap() = behind.kept.newest_checkpoint().await.unwrap();
    *disk.elsewhere.lock().unwrap() = None;
    let again = open(&disk, &voice, &Readiness::new()).await;
    assert!(matches!(again, Err(JournalError::Altered(_))), "{again:?}");
}

#[tokio::test]
async fn a_witness_cosigns_what_continues_and_keeps_what_does_not() {
    let exchange = exchange();
    let (archive, broker) = (voice(&exchange, Role::Archive, "archive"), voice(&exchange, Role::Broker, "broker"));
    let (log, witness_log) = (Disk::default(), Disk::default());
    let journal = open(&log, &archive, &Readiness::new()).await.unwrap();
    let evidence = tempfile::tempdir().unwrap();
    let at = evidence.path().join("evidence");
    let witness = open_at(&witness_log, &broker, &Readiness::new(), Some(&at)).await.unwrap();
    let chain = archive.party.statement.chain.clone();
    let shown = async |journal: &Journal, old: u64| {
        let newest = journal.newest_checkpoint().await.unwrap().unwrap();
        let question = Question::Consistency { size: newest.size, old };
        let proof = if old > newest.size { Vec::new() } else { journal.answer(question).await.unwrap() };
        AddCheckpoint { old, proof, note: newest.note.parse::<Note>().unwrap() }
    };

    assert!(witness.cosign(&shown(&journal, 0).await, &chain).await.is_ok());
    for _ in 0..5 {
        journal.append(journal.event(EventKind::EntriesFetched)).await.unwrap();
    }
    // Who thinks of another size is told the right one.
    let stale = witness.cosign(&shown(&journal, 0).await, &chain).await;
    assert_eq!(stale, Err(CosignError::Refused(Refused::Size(1))));
    let line = witness.cosign(&shown(&journal, 1).await, &chain).await.unwrap();
    assert!(line.contains("sealwort://test/broker/broker"));
    // A certificate of somebody else's is none for this log.
    let foreign = witness.cosign(&shown(&journal, 6).await, &broker.party.statement.chain).await;
    assert!(matches!(foreign, Err(CosignError::Certificate(_))));
    assert!(witness.doubts().is_empty());

    // The same party with another history: as long, longer, or cut.
    for entries in [5, 9, 2] {
        let other = Disk::default();
        let rewritten = open(&other, &archive, &Readiness::new()).await.unwrap();
        for _ in 0..entries {
            rewritten.append(rewritten.event(EventKind::EntriesFetched)).await.unwrap();
        }
        // From another size it may be what one of several nodes had in hand while another one showed a newer one.
        let elsewhere = witness.cosign(&shown(&rewritten, 2).await, &chain).await;
        assert_eq!(elsewhere, Err(CosignError::Refused(Refused::Size(6))));
        let refused = witness.cosign(&shown(&rewritten, 6).await, &chain).await;
        assert!(matches!(refused, Err(CosignError::Refused(Refused::Rewritten { .. }))), "{refused:?}");
    }
    let doubts = witness.doubts();
    assert_eq!(doubts.len(), 1, "one for each checkpoint that was left behind");
    assert!(doubts[0].remembered.contains("\n6\n") && doubts[0].shown.contains("\n6\n"));
    let told = events(&witness_log).await;
    let told: Vec<_> = told.iter().filter(|event| event.kind == EventKind::CheckpointCosigned).collect();
    assert_eq!(told.len(), 1);
    assert_eq!(told[0].outcome.code(), Some("log-rewritten"));
    // It is known after a restart, too, and the right log is still cosigned.
    drop(witness);
    let witness = open_at(&witness_log, &broker, &Readiness::new(), Some(&at)).await.unwrap();
    assert_eq!(witness.doubts(), doubts);
    assert!(witness.cosign(&shown(&journal, 6).await, &chain).await.is_ok());
}

/// Whoever looks at the metrics alone learns of it, too.
#[tokio::test]
async fn a_rewritten_log_is_counted_when_it_is_refused() {
    let exchange = exchange();
    let (archive, broker) = (voice(&exchange, Role::Archive, "archive"), voice(&exchange, Role::Broker, "broker"));
    let witness = open(&Disk::default(), &broker, &Readiness::new()).await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let observation = Observation::open(&broker.party.identity, &TelemetryConfig::default(), folder.path()).unwrap();
    let hop = &archive.party.hop.chain;
    let party = archive.trust.verify(hop, &Expected::anybody(KeyUse::Hop), TEST_NOW).unwrap();
    let peer = HopPeer::new(Arc::new(party), [0; 32], ConnectionId::next());
    let shows = async |old: u64| {
        let rewritten = open(&Disk::default(), &archive, &Readiness::new()).await.unwrap();
        for _ in 0..old {
            rewritten.append(rewritten.event(EventKind::EntriesFetched)).await.unwrap();
        }
        let newest = rewritten.newest_checkpoint().await.unwrap().unwrap();
        let body = AddCheckpoint { old, proof: Vec::new(), note: newest.note.parse().unwrap() }.to_string();
        let certificates = to_bytes(&chain_to_wire(&archive.party.statement.chain));
        let certificates = base64::engine::general_purpose::STANDARD.encode(certificates);
        let request = Request::post(ADD_CHECKPOINT_PATH).header("sealwort-certificates", certificates);
        let request = request.extension(peer.clone()).body(Body::from(body)).unwrap();
        observation.scope(routes(witness.clone()).oneshot(request)).await.unwrap().status().as_u16()
    };
    // Nothing proves that the second one continues the first.
    assert_eq!([shows(0).await, shows(1).await], [200, 422]);
    let counted = observation.scrape(&Readiness::new()).await;
    let line = "sealwort_refusals_total{role=\"broker\",code=\"log-rewritten\"} 1";
    assert!(counted.lines().any(|found| found == line), "{counted}");
}

/// The certificates of years are read once, not for every patient who asks.
#[tokio::test]
async fn a_page_has_the_certificates_behind_it_and_reads_no_others() {
    let exchange = exchange();
    let archive = voice(&exchange, Role::Archive, "archive");
    let disk = Disk::default();
    let journal = open(&disk, &archive, &Readiness::new()).await.unwrap();
    for number in 0..3 {
        let other = exchange.party(Role::Gateway, &format!("hospital-{number}")).statement.chain;
        let bytes = to_bytes(&chain_to_wire(&other));
        disk.put_audit_chain(Digest::new(*other.fingerprint().as_bytes()), bytes).await.unwrap();
    }
    let patient = Pseudonym::new([7; 32]);
    for _ in 0..3 {
        journal.append(journal.event(EventKind::EntriesFetched).patient(patient)).await.unwrap();
        let page = journal.about(patient, 0, 0).await.unwrap();
        let head = page.head.as_ref().unwrap();
        assert_eq!(head.chains, [chain_to_wire(&archive.party.statement.chain)]);
        let leaves = page.entries.iter().map(|entry| entry.leaf.as_ref());
        verify_selected(&export_of(&page, head).unwrap(), leaves, &archive.trust, 0).unwrap();
    }
    assert_eq!(disk.chains_read.load(Ordering::SeqCst), 1);
}
