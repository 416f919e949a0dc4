//! Rules of [`WitnessStore`].

use sealwort_proto::receipt::Witness;

use super::{some_digest, some_patient};
use crate::{Advance, WitnessStore};

fn head(sequence: u64) -> Witness {
    Witness { sequence, head: some_digest() }
}

/// Checks the rules of [`WitnessStore`].
pub async fn witness_store(store: &dyn WitnessStore) {
    let (patient, stranger) = (some_patient(), some_patient());
    assert_eq!(store.witness(patient).await.unwrap(), None, "an unknown log has no witness");
    let (second, fifth) = (head(2), head(5));
    assert_eq!(store.advance(patient, second).await.unwrap(), Advance::Moved, "the first head is taken");
    assert_eq!(store.witness(patient).await.unwrap(), Some(second));
    assert_eq!(store.advance(patient, second).await.unwrap(), Advance::Known, "the same head again is known");
    assert_eq!(store.advance(patient, fifth).await.unwrap(), Advance::Moved, "a later head moves the witness");
    for behind in [second, head(4), head(0)] {
        assert_eq!(store.advance(patient, behind).await.unwrap(), Advance::Known, "a head behind changes nothing");
    }
    let forked = store.advance(patient, head(5)).await.unwrap();
    assert_eq!(forked, Advance::Fork(fifth), "another hash for the same number is a fork");
    assert_eq!(store.witness(patient).await.unwrap(), Some(fifth), "and does not replace the witness");
    assert_eq!(store.witness(stranger).await.unwrap(), None, "another patient's log is another log");

    let racing: Vec<_> = (1..=32).map(|number| head(number * 7 % 33)).collect();
    let highest = racing.iter().max_by_key(|head| head.sequence).copied();
    futures::future::join_all(racing.into_iter().map(|head| store.advance(stranger, head))).await;
    assert_eq!(store.witness(stranger).await.unwrap(), highest, "of heads that race the highest stays");
}
