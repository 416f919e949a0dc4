//! Rules of [`GatewayStore`].

use sealwort_proto::{DepositId, crypto};

use super::some_bytes;
use crate::{GatewayStore, RosterKind};

/// Checks the rules of [`GatewayStore`]. The outbox must be empty, and is left so.
pub async fn gateway_store(store: &dyn GatewayStore) {
    roster(store).await;
    outbox(store).await;
    outbox_race(store).await;
}

async fn roster(store: &dyn GatewayStore) {
    let (key, row, newer) = (crypto::random(), some_bytes(200), some_bytes(3000));
    let kinds = [
        RosterKind::Locator,
        RosterKind::Resource,
        RosterKind::Pseudonym,
        RosterKind::Person,
        RosterKind::Device,
        RosterKind::Refused,
        RosterKind::Consents,
        RosterKind::Emergency,
        RosterKind::EmergencyReport,
        RosterKind::EmergencyNotice,
        RosterKind::Erased,
        RosterKind::Delegation,
        RosterKind::Passkey,
        RosterKind::PasskeyInvitation,
        RosterKind::Merge,
        RosterKind::Subscription,
        RosterKind::Browser,
        RosterKind::PushMessage,
        RosterKind::Question,
    ];
    // The suite may meet rows of an earlier run.
    let counted = store.roster_count(kinds[4]).await.unwrap();
    for kind in kinds {
        assert_eq!(store.roster(kind, key).await.unwrap(), None, "an unknown row is not there");
        store.put_roster(vec![(kind, key, row.clone())]).await.unwrap();
        assert_eq!(store.roster(kind, key).await.unwrap(), Some(row.clone()), "kinds do not mix");
    }
    let other = crypto::random();
    let rows = vec![(kinds[0], key, newer.clone()), (kinds[1], other, row.clone()), (kinds[1], other, newer.clone())];
    store.put_roster(rows).await.unwrap();
    assert_eq!(store.roster(kinds[0], key).await.unwrap(), Some(newer.clone()), "a row is replaced");
    assert_eq!(store.roster(kinds[1], key).await.unwrap(), Some(row.clone()), "and no other");
    assert_eq!(store.roster(kinds[1], other).await.unwrap(), Some(newer.clone()), "of two the later one stays");
    store.put_roster(Vec::new()).await.unwrap();

    store.add_roster(vec![(kinds[1], key, some_bytes(7)), (kinds[4], other, newer.clone())]).await.unwrap();
    assert_eq!(store.roster(kinds[1], key).await.unwrap(), Some(row.clone()), "what is there stays");
    assert_eq!(store.roster(kinds[4], other).await.unwrap(), Some(newer.clone()), "what is absent is added");
    assert_eq!(store.roster_count(kinds[4]).await.unwrap(), counted + 2, "rows of a kind are counted");

    let rows = |kind| async move {
        let mut rows = store.roster_rows(kind).await.unwrap();
        rows.retain(|(found, _)| [key, other].contains(found));
        rows.sort_unstable();
        rows
    };
    let mut both = vec![(key, row.clone()), (other, newer.clone())];
    both.sort_unstable();
    assert_eq!(rows(kinds[1]).await, both, "the rows of a kind are told together");
    store.remove_roster(kinds[1], key).await.unwrap();
    store.remove_roster(kinds[1], key).await.unwrap();
    assert_eq!(rows(kinds[1]).await, [(other, newer)], "what was removed is gone, and nothing else");
    assert_eq!(store.roster(kinds[2], key).await.unwrap(), Some(row), "other kinds keep theirs");
}

async fn outbox(store: &dyn GatewayStore) {
    assert_eq!(store.pending_count(None).await.unwrap(), 0, "the suite needs an empty outbox");
    assert_eq!(store.pending(10).await.unwrap(), []);
    let patients = [crypto::random(), crypto::random()];
    let writes: Vec<_> = (0..7).map(|n| (DepositId::random(), patients[n % 2], some_bytes(100 + n))).collect();
    for (id, patient, sealed) in &writes {
        store.enqueue(*id, *patient, sealed.clone()).await.unwrap();
    }
    store.enqueue(writes[0].0, patients[1], some_bytes(5)).await.unwrap();
    let pending = store.pending(100).await.unwrap();
    let found: Vec<_> = pending.iter().map(|item| (item.id, item.patient, item.sealed.clone())).collect();
    assert_eq!(found, writes, "writes wait in order of arrival, and an id is queued once");
    assert!(pending.windows(2).all(|pair| pair[0].position < pair[1].position), "positions rise");
    assert_eq!(store.pending(3).await.unwrap(), pending[..3], "a limit gives the oldest");
    assert_eq!(store.pending(0).await.unwrap(), []);
    assert_eq!(store.pending(usize::MAX).await.unwrap(), pending);
    assert_eq!(store.pending_count(None).await.unwrap(), 7);
    assert_eq!(store.pending_count(Some(patients[0])).await.unwrap(), 4);
    assert_eq!(store.pending_count(Some(patients[1])).await.unwrap(), 3);
    assert_eq!(store.pending_count(Some(crypto::random())).await.unwrap(), 0);

    store.done(writes[2].0).await.unwrap();
    store.done(writes[2].0).await.unwrap();
    let left = store.pending(100).await.unwrap();
    assert_eq!(left, [&pending[..2], &pending[3..]].concat(), "what is done no longer waits, the others do");
    for (id, ..) in &writes {
        store.done(*id).await.unwrap();
    }
    assert_eq!(store.pending_count(None).await.unwrap(), 0);
    let last = pending.last().unwrap().position;
    store.enqueue(writes[0].0, patients[0], some_bytes(9)).await.unwrap();
    let again = store.pending(1).await.unwrap();
    assert!(again[0].position > last, "a position is not used again");
    store.done(writes[0].0).await.unwrap();
}

async fn outbox_race(store: &dyn GatewayStore) {
    let (id, patient, sealed) = (DepositId::random(), crypto::random(), some_bytes(50));
    let racing = (0..16).map(|_| store.enqueue(id, patient, sealed.clone()));
    for outcome in futures::future::join_all(racing).await {
        outcome.unwrap();
    }
    assert_eq!(store.pending_count(Some(patient)).await.unwrap(), 1, "an id that is queued at once waits once");
    store.done(id).await.unwrap();
}
