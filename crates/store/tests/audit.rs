//! The audit log in both back ends; its file missing, and opened beside the service.
#![allow(clippy::unwrap_used)]

use sealwort_audit::{AtRest, Event, EventKind, Row, Tree};
use sealwort_store::sqlite::SqliteAudit;
use sealwort_store::{AuditAppended, AuditBatch, AuditStore, DataFolder, KeptCheckpoint, StoreError, conformance};

#[tokio::test]
async fn memory_keeps_the_rules() {
    conformance::audit_store(&sealwort_store::memory::MemoryStore::new()).await;
}

#[tokio::test]
async fn sqlite_keeps_the_rules_and_what_it_was_given() {
    let place = tempfile::tempdir().unwrap();
    let data = DataFolder::open(&place.path().join("data"), "archive").unwrap();
    let elsewhere = place.path().join("elsewhere");
    let store = SqliteAudit::open(&data, &elsewhere).await.unwrap();
    conformance::audit_store(&store).await;
    store.close().await;
    let store = SqliteAudit::open(&data, &elsewhere).await.unwrap();
    assert_eq!(store.audit_size().await.unwrap(), 103);
    store.close().await;
    std::fs::remove_file(elsewhere.join("audit.sqlite")).unwrap();
    let missing = SqliteAudit::open(&data, &elsewhere).await;
    assert!(matches!(missing.err(), Some(StoreError::Damaged { .. })), "a log that was begun is not begun again");
}

/// Two processes append to one log: none loses an entry, because a batch names the size that it follows.
#[tokio::test]
async fn a_second_process_appends_beside_the_service() {
    let place = tempfile::tempdir().unwrap();
    let data = DataFolder::open(place.path(), "archive").unwrap();
    let one = SqliteAudit::open(&data, place.path()).await.unwrap();
    let other = SqliteAudit::open_beside(place.path()).await.unwrap();
    let appended = async |store: SqliteAudit| {
        let mut stored = 0;
        while stored < 20 {
            let size = store.audit_size().await.unwrap();
            let hashes = store.audit_hashes(&sealwort_audit::Question::Root { size }.needs()).await.unwrap();
            let mut tree = Tree::open(size, &hashes).unwrap();
            let row = Row::append(&mut tree, &Event::new(EventKind::Read, 1), &AtRest::Clear).unwrap();
            let checkpoint = KeptCheckpoint { size: tree.size(), note: String::new() };
            if store.append_audit(AuditBatch { rows: vec![row], checkpoint }).await.unwrap() == AuditAppended::Stored {
                stored += 1;
            }
        }
    };
    tokio::join!(appended(one.clone()), appended(other));
    assert_eq!(one.audit_size().await.unwrap(), 40);
}
