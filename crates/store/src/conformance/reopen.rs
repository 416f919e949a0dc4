//! What must outlive closing and opening again.

use sealwort_proto::log::empty;
use sealwort_proto::receipt::Witness;
use sealwort_proto::{DepositId, crypto};

use super::patient::{assert_stored, new_patient};
use super::{as_stored, head_after, some_bytes, some_deposit, some_digest, some_patient};
use crate::{Advance, Appended, GatewayStore, LogStore, PatientStore, Registered, RosterKind, WitnessStore};

/// Writes what broker and archive keep, closes, opens again and looks. `open` opens one and the same place each time.
pub async fn survives_reopening<S>(open: impl AsyncFn() -> S, close: impl AsyncFn(S))
where
    S: PatientStore + LogStore + WitnessStore,
{
    let patient = some_patient();
    let (new, append) = (new_patient(), some_deposit(patient, empty(patient), &[1000, 2000, 200_000]));
    let witness = Witness { sequence: 7, head: some_digest() };
    let (author, chain) = (some_digest(), some_bytes(700));

    let store = open().await;
    store.register(new.clone()).await.unwrap();
    store.append(append.clone()).await.unwrap();
    store.put_author(author, chain.clone()).await.unwrap();
    store.advance(patient, witness).await.unwrap();
    close(store).await;

    // Twice, because opening must not change anything either.
    for _ in 0..2 {
        let store = open().await;
        assert_stored(&store, &new).await;
        assert_eq!(store.register(new.clone()).await.unwrap(), Registered::Known);
        assert_eq!(store.head(patient).await.unwrap(), Some(head_after(&append)));
        assert_eq!(store.read(patient, 0, 100, usize::MAX).await.unwrap(), as_stored(&append.entries));
        assert_eq!(store.append(append.clone()).await.unwrap(), Appended::Known(head_after(&append)));
        assert_eq!(store.author(author).await.unwrap(), Some(chain.clone()));
        assert_eq!(store.witness(patient).await.unwrap(), Some(witness));
        assert_eq!(store.advance(patient, witness).await.unwrap(), Advance::Known);
        close(store).await;
    }
}

/// The same for what a gateway keeps.
pub async fn gateway_survives_reopening<S: GatewayStore>(open: impl AsyncFn() -> S, close: impl AsyncFn(S)) {
    let (key, row) = (crypto::random(), some_bytes(90));
    let (id, sealed) = (DepositId::random(), some_bytes(5000));

    let store = open().await;
    store.put_roster(vec![(RosterKind::Locator, key, row.clone())]).await.unwrap();
    store.enqueue(id, key, sealed.clone()).await.unwrap();
    close(store).await;

    for _ in 0..2 {
        let store = open().await;
        assert_eq!(store.roster(RosterKind::Locator, key).await.unwrap(), Some(row.clone()));
        let waits = store.pending(usize::MAX).await.unwrap();
        assert!(waits.iter().any(|item| item.id == id && item.sealed == sealed), "the outbox is kept");
        close(store).await;
    }
    let store = open().await;
    store.done(id).await.unwrap();
    close(store).await;
}
