//! Rules of [`LogStore`].

use futures::future::join_all;
use sealwort_proto::log::empty;
use sealwort_proto::receipt::Witness;
use sealwort_proto::{DepositId, Pseudonym};

use super::{as_stored, expect_conflict, head_after, some_bytes, some_deposit, some_digest, some_patient};
use crate::{Append, Appended, LogStore, StoredEntry};

const MIB: usize = 1024 * 1024;

/// Checks the rules of [`LogStore`].
pub async fn log_store(store: &dyn LogStore) {
    authors(store).await;
    an_empty_log(store).await;
    deposits(store).await;
    refused_deposits_leave_nothing(store).await;
    paging(store).await;
    large_entries(store).await;
    many_logs_at_once(store).await;
    one_winner_per_head(store).await;
    no_lost_updates(store).await;
    one_deposit_many_times(store).await;
}

async fn whole(store: &dyn LogStore, patient: Pseudonym) -> Vec<StoredEntry> {
    store.read(patient, 0, usize::MAX, usize::MAX).await.unwrap()
}

async fn append_stored(store: &dyn LogStore, append: &Append) -> Witness {
    let head = head_after(append);
    assert_eq!(store.append(append.clone()).await.unwrap(), Appended::Stored(head), "a fitting deposit is stored");
    head
}

async fn authors(store: &dyn LogStore) {
    let (key, chain) = (some_digest(), some_bytes(900));
    assert_eq!(store.author(key).await.unwrap(), None, "an unknown author is not there");
    store.put_author(key, chain.clone()).await.unwrap();
    store.put_author(key, chain.clone()).await.unwrap();
    assert_eq!(store.author(key).await.unwrap(), Some(chain));
}

async fn an_empty_log(store: &dyn LogStore) {
    let patient = some_patient();
    assert_eq!(store.head(patient).await.unwrap(), None, "a log without entries has no head");
    assert_eq!(whole(store, patient).await, [], "and nothing to read");
    let start = empty(patient);
    for after in [Witness { sequence: 0, head: some_digest() }, Witness { sequence: 3, ..start }] {
        let outcome = store.append(some_deposit(patient, after, &[10])).await.unwrap();
        assert_eq!(outcome, Appended::Conflict(start), "an empty log stands at its patient's own beginning");
    }
    assert_eq!(store.head(patient).await.unwrap(), None, "a conflict leaves nothing");
}

async fn deposits(store: &dyn LogStore) {
    let patient = some_patient();
    let first = some_deposit(patient, empty(patient), &[20]);
    let second = some_deposit(patient, head_after(&first), &[0, 3000, 5, 70_000, 1]);
    let third = some_deposit(patient, head_after(&second), &[400; 70]);
    let deposits = [&first, &second, &third];
    for append in deposits {
        let head = append_stored(store, append).await;
        assert_eq!(store.head(patient).await.unwrap(), Some(head), "what was answered can be read");
    }
    let all = as_stored(&deposits.map(|append| append.entries.clone()).concat());
    assert_eq!(whole(store, patient).await, all, "entries are read back in order, byte by byte");

    for append in deposits {
        let outcome = store.append(append.clone()).await.unwrap();
        assert_eq!(outcome, Appended::Known(head_after(append)), "a deposit again is known, with the head after it");
    }
    // Sealed anew for the newer head, as a gateway does that never saw the answer.
    let anew = Append { deposit: first.deposit, ..some_deposit(patient, head_after(&third), &[20]) };
    assert_eq!(store.append(anew).await.unwrap(), Appended::Known(head_after(&first)), "by its id, wherever it stood");
    assert_eq!(whole(store, patient).await, all, "and is not stored twice");

    for stale in [empty(patient), head_after(&first), Witness { head: some_digest(), ..head_after(&third) }] {
        let outcome = store.append(some_deposit(patient, stale, &[9, 9])).await.unwrap();
        assert_eq!(outcome, Appended::Conflict(head_after(&third)), "a stale head is a conflict, which tells the head");
    }
    assert_eq!(whole(store, patient).await, all, "and leaves nothing");

    // An id is one patient's own.
    let other = some_patient();
    let same_id = Append { deposit: first.deposit, ..some_deposit(other, empty(other), &[5]) };
    append_stored(store, &same_id).await;
}

async fn refused_deposits_leave_nothing(store: &dyn LogStore) {
    let patient = some_patient();
    let first = some_deposit(patient, empty(patient), &[10]);
    let head = append_stored(store, &first).await;
    let good = some_deposit(patient, head, &[10, 10, 10]);
    let changed = |change: fn(&mut Append)| {
        let mut append = good.clone();
        change(&mut append);
        append
    };
    let refused = [
        ("no entry", changed(|append| append.entries.clear())),
        ("a gap", changed(|append| drop(append.entries.remove(1)))),
        ("a late start", changed(|append| drop(append.entries.remove(0)))),
        ("a wrong order", changed(|append| append.entries.swap(0, 1))),
        ("a number twice", changed(|append| append.entries[2].sequence = 3)),
        ("a number that wraps", changed(|append| append.entries[2].sequence = u64::MAX)),
        ("a head beyond all numbers", changed(|append| append.after.sequence = u64::MAX)),
    ];
    for (rule, append) in refused {
        expect_conflict(&store.append(append).await, rule);
        assert_eq!(store.head(patient).await.unwrap(), Some(head), "{rule}: the head stays");
        assert_eq!(whole(store, patient).await, as_stored(&first.entries), "{rule}: nothing is visible");
    }
    append_stored(store, &good).await;
}

async fn paging(store: &dyn LogStore) {
    let patient = some_patient();
    // With their envelopes of 100 bytes: 200, 300, 400, 1100, 150, 100 bytes.
    let append = some_deposit(patient, empty(patient), &[100, 200, 300, 1000, 50, 0]);
    append_stored(store, &append).await;
    let all = as_stored(&append.entries);
    let pages = [
        ("everything", 0, 100, MIB, 0..6),
        ("after an entry", 2, 100, MIB, 2..6),
        ("after the last", 6, 100, MIB, 6..6),
        ("after what is not there yet", 60, 100, MIB, 6..6),
        ("some entries", 0, 2, MIB, 0..2),
        ("some entries after one", 3, 2, MIB, 3..5),
        ("no entries", 0, 0, MIB, 0..0),
        ("so many bytes exactly", 0, 100, 900, 0..3),
        ("one byte less", 0, 100, 899, 0..2),
        ("bytes after one", 3, 100, 1250, 3..5),
        ("the first entry always comes", 3, 100, 1099, 3..4),
        ("even for no bytes at all", 0, 100, 0, 0..1),
        ("whichever limit comes first", 0, 4, 900, 0..3),
        ("no limit", 0, usize::MAX, usize::MAX, 0..6),
    ];
    for (page, after, entries, bytes, expected) in pages {
        let found = store.read(patient, after, entries, bytes).await.unwrap();
        assert_eq!(found, all[expected], "reading {page}");
    }
}

async fn large_entries(store: &dyn LogStore) {
    let patient = some_patient();
    let append = some_deposit(patient, empty(patient), &[MIB, 10, MIB, 3 * MIB]);
    append_stored(store, &append).await;
    let all = as_stored(&append.entries);
    assert!(whole(store, patient).await == all, "entries of 1 MiB and more are read back");
    let found = store.read(patient, 0, 100, MIB + 1000).await.unwrap();
    assert!(found == all[..2], "a large entry that does not fit stays for the next page");
}

/// Many patients' deposits, of different shapes, in flight together.
async fn many_logs_at_once(store: &dyn LogStore) {
    let shapes: [&[usize]; 4] = [&[2000], &[10, 20, 30], &[100_000], &[1; 40]];
    let appends: Vec<_> = shapes
        .iter()
        .cycle()
        .take(100)
        .map(|sizes| {
            let patient = some_patient();
            some_deposit(patient, empty(patient), sizes)
        })
        .collect();
    let outcomes = join_all(appends.iter().map(|append| store.append(append.clone()))).await;
    for (append, outcome) in appends.iter().zip(outcomes) {
        assert_eq!(outcome.unwrap(), Appended::Stored(head_after(append)), "every log takes its own deposit");
        assert!(whole(store, append.patient).await == as_stored(&append.entries), "and holds it");
    }
}

async fn one_winner_per_head(store: &dyn LogStore) {
    let patient = some_patient();
    let mut head = empty(patient);
    for round in 0..4 {
        let sizes: &[usize] = if round % 2 == 0 { &[64] } else { &[64, 64] };
        let racing: Vec<_> = (0..16).map(|_| some_deposit(patient, head, sizes)).collect();
        let outcomes = join_all(racing.iter().map(|append| store.append(append.clone()))).await;
        let mut winner = None;
        for (append, outcome) in racing.iter().zip(&outcomes) {
            if let Appended::Stored(stored) = outcome.as_ref().unwrap() {
                assert_eq!(*stored, head_after(append));
                assert!(winner.replace(append).is_none(), "one deposit per head is stored, got {outcomes:?}");
            }
        }
        let winner = winner.unwrap_or_else(|| panic!("one deposit per head is stored, got {outcomes:?}"));
        let conflict = Appended::Conflict(head_after(winner));
        let told = outcomes.iter().filter(|outcome| **outcome == Ok(conflict)).count();
        assert_eq!(told, 15, "and the others are told its head");
        let found = store.read(patient, head.sequence, usize::MAX, usize::MAX).await.unwrap();
        assert_eq!(found, as_stored(&winner.entries), "and leave nothing");
        head = head_after(winner);
    }
}

/// Sixteen writers of one log, each trying again after a conflict.
async fn no_lost_updates(store: &dyn LogStore) {
    const EACH: usize = 8;
    let patient = some_patient();
    let write = async || {
        let (mut head, mut written) = (empty(patient), Vec::new());
        while written.len() < EACH {
            let append = some_deposit(patient, head, &[32]);
            head = match store.append(append.clone()).await.unwrap() {
                Appended::Stored(head) => {
                    written.extend(as_stored(&append.entries));
                    head
                }
                Appended::Conflict(head) => head,
                Appended::Known(_) | Appended::Erased => panic!("a new deposit of a patient is not known"),
            };
        }
        written
    };
    let mut written = join_all((0..16).map(|_| write())).await.concat();
    written.sort_by_key(|entry| entry.sequence);
    assert_eq!(whole(store, patient).await, written, "every stored entry is there, once, in its place");
    let sequences: Vec<_> = written.iter().map(|entry| entry.sequence).collect();
    assert_eq!(sequences, (1..=16 * EACH as u64).collect::<Vec<_>>(), "and the numbers have no gap");
}

async fn one_deposit_many_times(store: &dyn LogStore) {
    let patient = some_patient();
    for sizes in [&[64][..], &[64, 64]] {
        let head = store.head(patient).await.unwrap().unwrap_or_else(|| empty(patient));
        let append = some_deposit(patient, head, sizes);
        let end = head_after(&append);
        let outcomes = join_all((0..16).map(|_| store.append(append.clone()))).await;
        let count = |wanted: Appended| outcomes.iter().filter(|outcome| **outcome == Ok(wanted)).count();
        let counts = (count(Appended::Stored(end)), count(Appended::Known(end)));
        assert_eq!(counts, (1, 15), "a deposit sent many times at once is stored once, got {outcomes:?}");
        // The same id with other content, at once: one of the two is the deposit.
        let id = DepositId::random();
        let rivals = [1, 2].map(|_| Append { deposit: id, ..some_deposit(patient, end, sizes) });
        let outcomes = join_all(rivals.iter().map(|append| store.append(append.clone()))).await;
        let stored = head_after(if outcomes[0] == Ok(Appended::Known(head_after(&rivals[1]))) {
            &rivals[1]
        } else {
            &rivals[0]
        });
        assert!(outcomes.contains(&Ok(Appended::Stored(stored))) && outcomes.contains(&Ok(Appended::Known(stored))));
        assert_eq!(store.head(patient).await.unwrap(), Some(stored));
    }
}
