//! Rules of [`PatientStore`].

use sealwort_proto::Pseudonym;

use super::{expect_conflict, some_bytes, some_locator, some_patient};
use crate::{DirectiveUpdate, NewErasure, NewPatient, Patient, PatientStore, Registered, StoreError, WrappedHalf};

/// Checks the rules of [`PatientStore`].
pub async fn patient_store(store: &dyn PatientStore) {
    registration_is_idempotent(store).await;
    registrations_do_not_contradict(store).await;
    directives_succeed_each_other(store).await;
    epochs_and_halves(store).await;
    directives_race(store).await;
    an_erased_patient_is_gone(store).await;
}

pub(super) fn new_patient() -> NewPatient {
    NewPatient {
        patient: some_patient(),
        locators: vec![some_locator(), some_locator()],
        registration: some_bytes(500),
        directive: some_bytes(300),
        version: 1,
        half: half(1),
    }
}

fn half(epoch: u64) -> WrappedHalf {
    WrappedHalf { epoch, wrapped: some_bytes(60) }
}

pub(super) fn update(patient: Pseudonym, replaces: u64, epoch: u64, half: Option<WrappedHalf>) -> DirectiveUpdate {
    DirectiveUpdate { patient, replaces, directive: some_bytes(300), epoch, half }
}

pub(super) async fn assert_stored(store: &dyn PatientStore, new: &NewPatient) {
    let stored = Patient {
        registration: new.registration.clone(),
        directive: new.directive.clone(),
        version: new.version,
        epoch: new.half.epoch,
    };
    assert_eq!(store.patient(new.patient).await.unwrap(), Some(stored), "a registration is read back");
    assert_eq!(store.halves(new.patient).await.unwrap(), std::slice::from_ref(&new.half), "with its half");
    for locator in &new.locators {
        assert_eq!(store.locate(&[*locator]).await.unwrap(), Some(new.patient), "and found by each locator");
    }
}

async fn an_erased_patient_is_gone(store: &dyn PatientStore) {
    let new = new_patient();
    let erasure = NewErasure { patient: new.patient, erasure: some_bytes(120), erased_at: 7 };
    expect_conflict(&store.erase(erasure.clone()).await, "an unknown patient cannot be erased");
    store.register(new.clone()).await.unwrap();
    let next = update(new.patient, 1, 2, Some(half(2)));
    store.direct(next.clone()).await.unwrap();
    assert_eq!(store.tombstone(new.patient).await.unwrap(), None, "who is registered has no tombstone");
    let tombstone = store.erase(erasure.clone()).await.unwrap();
    assert_eq!(tombstone.erasure, erasure.erasure);
    assert_eq!((tombstone.destroyed.halves, tombstone.destroyed.erased_at), (2, 7), "the halves of both epochs");
    let again = NewErasure { erased_at: 9, ..erasure };
    assert_eq!(store.erase(again).await.unwrap(), tombstone, "erasing again changes nothing");
    assert_eq!(store.tombstone(new.patient).await.unwrap(), Some(tombstone));
    assert_eq!(store.patient(new.patient).await.unwrap(), None, "the patient is gone");
    assert_eq!(store.halves(new.patient).await.unwrap(), [], "and the halves");
    assert_eq!(store.locate(&new.locators).await.unwrap(), None, "and the locators");
    expect_conflict(&store.direct(next).await, "an erased patient has no directives");
    assert_eq!(store.register(new.clone()).await, Err(StoreError::Erased), "a pseudonym is used once");
    let back = NewPatient { patient: some_patient(), ..new };
    assert_eq!(store.register(back).await.unwrap(), Registered::New, "the locators are free again");
}

async fn registration_is_idempotent(store: &dyn PatientStore) {
    let new = new_patient();
    assert_eq!(store.patient(new.patient).await.unwrap(), None, "an unknown patient is not there");
    assert_eq!(store.locate(&new.locators).await.unwrap(), None, "nor found");
    assert_eq!(store.locate(&[]).await.unwrap(), None, "nobody is found by no locator");
    assert_eq!(store.halves(new.patient).await.unwrap(), [], "nor has a half");
    assert_eq!(store.register(new.clone()).await.unwrap(), Registered::New);
    assert_stored(store, &new).await;
    let again = NewPatient { half: half(1), ..new.clone() };
    assert_eq!(store.register(again).await.unwrap(), Registered::Known, "the same registration again is known");
    assert_stored(store, &new).await;
    let unknown_first = [some_locator(), new.locators[1]];
    assert_eq!(store.locate(&unknown_first).await.unwrap(), Some(new.patient), "any of several locators finds");

    let twice = some_locator();
    let new = NewPatient { locators: vec![twice, twice], ..new_patient() };
    assert_eq!(store.register(new.clone()).await.unwrap(), Registered::New, "a locator may be named twice");
    assert_stored(store, &new).await;
}

async fn registrations_do_not_contradict(store: &dyn PatientStore) {
    let first = new_patient();
    store.register(first.clone()).await.unwrap();
    let other = NewPatient { patient: first.patient, ..new_patient() };
    expect_conflict(&store.register(other.clone()).await, "another registration of a pseudonym");
    assert_eq!(store.locate(&other.locators).await.unwrap(), None, "a refused registration leaves no locator");

    let fresh = some_locator();
    let thief = NewPatient { locators: vec![fresh, first.locators[0]], ..new_patient() };
    expect_conflict(&store.register(thief.clone()).await, "a locator of another patient");
    assert_eq!(store.patient(thief.patient).await.unwrap(), None, "a refused registration leaves no patient");
    assert_eq!(store.locate(&[fresh]).await.unwrap(), None, "nor a locator");
    assert_eq!(store.halves(thief.patient).await.unwrap(), [], "nor a half");
    assert_stored(store, &first).await;
}

async fn directives_succeed_each_other(store: &dyn PatientStore) {
    let new = new_patient();
    expect_conflict(&store.direct(update(new.patient, 1, 1, None)).await, "a directive for an unknown patient");
    store.register(new.clone()).await.unwrap();
    expect_conflict(&store.direct(update(new.patient, 2, 1, None)).await, "a directive that skips a version");
    expect_conflict(&store.direct(update(new.patient, 0, 1, None)).await, "a directive that replaces an older one");
    assert_stored(store, &new).await;

    let second = update(new.patient, 1, 1, None);
    for round in ["first", "second"] {
        store.direct(second.clone()).await.unwrap_or_else(|e| panic!("a directive, {round} time: {e}"));
        let stored = store.patient(new.patient).await.unwrap().unwrap();
        assert_eq!((stored.version, stored.epoch), (2, 1), "a directive raises the version by one");
        assert_eq!(stored.directive, second.directive);
        assert_eq!(stored.registration, new.registration, "and leaves the registration");
    }
    expect_conflict(&store.direct(update(new.patient, 1, 1, None)).await, "a directive whose place is taken");
    assert_eq!(store.register(new.clone()).await.unwrap(), Registered::Known, "the registration is still known");
    assert_eq!(store.patient(new.patient).await.unwrap().unwrap().version, 2, "and does not bring back version 1");
}

async fn epochs_and_halves(store: &dyn PatientStore) {
    let new = new_patient();
    store.register(new.clone()).await.unwrap();
    let refused = [
        ("an epoch without a half", update(new.patient, 1, 2, None)),
        ("a half without an epoch", update(new.patient, 1, 1, Some(half(1)))),
        ("a half of another epoch", update(new.patient, 1, 2, Some(half(3)))),
        ("an older epoch", update(new.patient, 1, 0, None)),
    ];
    for (rule, update) in refused {
        expect_conflict(&store.direct(update).await, rule);
        assert_stored(store, &new).await;
    }
    let narrower = update(new.patient, 1, 2, Some(half(2)));
    store.direct(narrower.clone()).await.unwrap();
    let again = DirectiveUpdate { half: Some(half(2)), ..narrower.clone() };
    store.direct(again).await.unwrap();
    let stored = store.patient(new.patient).await.unwrap().unwrap();
    assert_eq!((stored.version, stored.epoch), (2, 2));
    let halves = vec![new.half.clone(), narrower.half.unwrap()];
    assert_eq!(store.halves(new.patient).await.unwrap(), halves, "halves of every epoch stay, in order");
}

/// Of many directives for the same place exactly one is taken.
async fn directives_race(store: &dyn PatientStore) {
    let new = new_patient();
    store.register(new.clone()).await.unwrap();
    let updates: Vec<_> = (0..16).map(|_| update(new.patient, 1, 2, Some(half(2)))).collect();
    let outcomes = futures::future::join_all(updates.iter().map(|update| store.direct(update.clone()))).await;
    let taken: Vec<_> = updates.iter().zip(&outcomes).filter(|(_, o)| o.is_ok()).map(|(u, _)| u).collect();
    assert_eq!(taken.len(), 1, "one of the directives that race is taken, got {outcomes:?}");
    let stored = store.patient(new.patient).await.unwrap().unwrap();
    assert_eq!(stored.directive, taken[0].directive, "the one that was taken is the one that is stored");
    assert_eq!(store.halves(new.patient).await.unwrap()[1], taken[0].half.clone().unwrap(), "with its own half");
}
