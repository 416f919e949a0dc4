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
    let (fourth, zeroth) = (head(4), head(0));
    for behind in [second, fourth, zeroth] {
        assert_eq!(store.advance(patient, behind).await.unwrap(), Advance::Known, "a head behind is not the newest");
        assert_eq!(store.witness(patient).await.unwrap(), Some(fifth));
    }
    for known in [fifth, fourth] {
        let forked = store.advance(patient, head(known.sequence)).await.unwrap();
        assert_eq!(forked, Advance::Fork(known), "another hash for a number that is kept is a fork");
    }
    assert_eq!(store.witness(patient).await.unwrap(), Some(fifth), "a fork does not replace the witness");
    assert_eq!(store.heads(patient, 0, 9).await.unwrap(), [second, fourth, fifth], "all heads are kept, in order");
    assert_eq!(store.heads(patient, 2, 1).await.unwrap(), [fourth], "from a number on, and no more than asked for");
    for nothing in [(5, 9), (u64::MAX, 9), (0, 0)] {
        assert_eq!(store.heads(patient, nothing.0, nothing.1).await.unwrap(), [], "{nothing:?}");
    }
    assert_eq!(store.heads(stranger, 0, 9).await.unwrap(), [], "another patient's log is another log");
    assert_eq!(store.witness(stranger).await.unwrap(), None, "another patient's log is another log");

    let racing: Vec<_> = (1..=32).map(|number| head(number * 7 % 33)).collect();
    let highest = racing.iter().max_by_key(|head| head.sequence).copied();
    futures::future::join_all(racing.into_iter().map(|head| store.advance(stranger, head))).await;
    assert_eq!(store.witness(stranger).await.unwrap(), highest, "of heads that race the highest stays");
    assert_eq!(store.heads(stranger, 0, 99).await.unwrap().len(), 32, "and all of them are kept");
}
