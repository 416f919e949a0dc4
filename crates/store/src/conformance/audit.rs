//! Rules of [`AuditStore`].

use sealwort_audit::{AtRest, Event, EventKind, Hashes, Question, Row, Tree};

use super::{some_digest, some_patient};
use crate::{AuditAppended, AuditBatch, AuditQuery, AuditStore, KeptCheckpoint};

fn kept(size: u64, note: &str) -> KeptCheckpoint {
    KeptCheckpoint { size, note: note.to_owned() }
}

/// Checks the rules of [`AuditStore`]. The store must be new: a log is one per store.
pub async fn audit_store(store: &dyn AuditStore) {
    let (ada, bob) = (some_patient(), some_patient());
    let mut tree = Tree::empty();
    let mut batch = |numbers: std::ops::Range<u64>| {
        let event = |number: u64| {
            let event =
                Event::new(EventKind::Read, 1000 + number).patient(if number.is_multiple_of(2) { ada } else { bob });
            if number == 4 { event.refused("consent-missing").user("dr-eve", "nurse") } else { event }
        };
        let row = |number| Row::append(&mut tree, &event(number), &AtRest::Clear).unwrap();
        let rows: Vec<_> = numbers.map(row).collect();
        AuditBatch { checkpoint: kept(tree.size(), "own"), rows }
    };
    let (first, second, third) = (batch(0..3), batch(3..103), batch(103..104));
    assert_eq!(store.audit_size().await.unwrap(), 0);
    assert_eq!(store.newest_checkpoint().await.unwrap(), None);
    assert_eq!(
        store.append_audit(second.clone()).await.unwrap(),
        AuditAppended::Behind { size: 0 },
        "entries without those before are not taken"
    );
    assert_eq!(store.append_audit(first.clone()).await.unwrap(), AuditAppended::Stored);
    assert_eq!(store.append_audit(first.clone()).await.unwrap(), AuditAppended::Behind { size: 3 }, "nor twice");
    assert_eq!(store.append_audit(second.clone()).await.unwrap(), AuditAppended::Stored);
    assert_eq!(store.audit_size().await.unwrap(), 103);
    assert_eq!(store.newest_checkpoint().await.unwrap(), Some(kept(103, "own")), "the newest alone is kept");
    for bad in [
        AuditBatch { rows: Vec::new(), checkpoint: kept(103, "own") },
        AuditBatch { checkpoint: kept(105, "own"), ..third.clone() },
        AuditBatch { rows: vec![third.rows[0].clone(), third.rows[0].clone()], checkpoint: kept(105, "own") },
    ] {
        super::expect_conflict(&store.append_audit(bad).await, "a batch follows itself up to its checkpoint");
    }

    let all: Vec<Row> = first.rows.iter().chain(&second.rows).cloned().collect();
    let found = async |query| store.audit_rows(query, 1000).await.unwrap();
    let numbers = |rows: Vec<Row>| rows.iter().map(|row| row.number).collect::<Vec<_>>();
    assert_eq!(found(AuditQuery::default()).await, all, "what is read is what was appended, in order");
    assert_eq!(store.audit_rows(AuditQuery { from: 2, ..AuditQuery::default() }, 3).await.unwrap(), all[2..5]);
    let index = &all[4].index;
    let by = AuditQuery { patient: index.patient, below: Some(6), ..AuditQuery::default() };
    assert_eq!(numbers(found(by).await), [0, 2, 4]);
    assert_eq!(numbers(found(AuditQuery { user: index.user, ..AuditQuery::default() }).await), [4]);
    assert_eq!(numbers(found(AuditQuery { outcome: Some(1), ..AuditQuery::default() }).await), [4]);
    assert_eq!(numbers(found(AuditQuery { kind: Some(1), ..AuditQuery::default() }).await), [0; 0]);
    let window = AuditQuery { since: Some(1004), before: Some(1006), ..AuditQuery::default() };
    assert_eq!(numbers(found(window).await), [4, 5]);

    let needs = Question::Root { size: 103 }.needs();
    let hashes: Vec<(u64, Hashes)> = store.audit_hashes(&needs).await.unwrap();
    assert_eq!(Tree::open(103, &hashes).unwrap().root(), {
        let mut tree = Tree::empty();
        for row in &all {
            tree.append(row.hashes.leaf()).unwrap();
        }
        tree.root()
    });
    assert_eq!(store.audit_hashes(&[103]).await.unwrap(), []);

    for (size, before, note) in [(3, None, Some("one")), (103, None, Some("two")), (103, Some("two"), None)] {
        let before = before.map(|note| kept(size, note));
        let make = move |found: Option<&KeptCheckpoint>| {
            assert_eq!(found, before.as_ref(), "it is made of what is kept");
            note.map(|note| kept(size, note))
        };
        store.put_cosigned(size, Box::new(make)).await.unwrap();
    }
    store.put_cosigned(103, Box::new(|_| Some(kept(103, "three")))).await.unwrap();
    assert_eq!(store.cosigned(0, 9).await.unwrap(), [kept(3, "one"), kept(103, "three")]);
    assert_eq!(store.cosigned(4, 9).await.unwrap(), [kept(103, "three")]);

    for (size, newest) in
        [(2, None), (3, Some(kept(3, "one"))), (102, Some(kept(3, "one"))), (104, Some(kept(103, "three")))]
    {
        assert_eq!(store.newest_cosigned(size).await.unwrap(), newest);
    }

    assert_eq!(store.newest_remembered("a").await.unwrap(), None);
    assert!(store.remember_checkpoint("a", 0, kept(5, "five")).await.unwrap());
    assert!(!store.remember_checkpoint("a", 0, kept(7, "seven")).await.unwrap(), "another one came first");
    assert!(store.remember_checkpoint("a", 5, kept(9, "nine")).await.unwrap());
    assert!(!store.remember_checkpoint("a", 9, kept(5, "back")).await.unwrap(), "it never goes back");
    assert!(store.remember_checkpoint("b", 0, kept(1, "b")).await.unwrap());
    assert_eq!(store.newest_remembered("a").await.unwrap(), Some(kept(9, "nine")));
    assert_eq!(store.remembered("a", 0, 9).await.unwrap(), [kept(5, "five"), kept(9, "nine")], "all are kept");
    assert_eq!(store.origins().await.unwrap(), ["a", "b"]);

    let key = some_digest();
    assert_eq!(store.audit_chain_count().await.unwrap(), 0);
    for chain in [b"one", b"two"] {
        store.put_audit_chain(key, chain.to_vec()).await.unwrap();
        assert_eq!(store.audit_chain_count().await.unwrap(), 1);
    }
    assert_eq!(store.audit_chains().await.unwrap(), [b"one".to_vec()]);
}
