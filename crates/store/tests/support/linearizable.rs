//! Whether several clients' conditional appends happened as if one after the other: each at a moment between its question
//! and its answer (Herlihy and Wing). The search is Wing and Gong's with Lowe's memory of places already visited. Logs of
//! different patients have nothing to do with each other, so each is judged by itself.
//!
//! It knows nothing of stores or nodes: an [`Operation`] says what was asked, what was answered, and when.
// Each test that includes it uses a part of it.
#![allow(dead_code, unreachable_pub, clippy::indexing_slicing)]

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};

use sealwort_proto::Digest;

/// What a client asked of one log, and what it was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Told {
    /// `new` was appended after `after`. Asking again for the same deposit belongs to the same operation.
    Stored { after: Digest, new: Digest },
    /// `new` after `after` was refused, because the head was another one.
    Conflict { after: Digest, head: Digest },
    /// The client gave up asking for `new` after `after`: it is there, comes later, or never.
    Unknown { after: Digest, new: Digest },
    /// The head was asked for.
    Read { head: Digest },
}

/// With the moments, on a [`Clock`] that all clients share, right before the question and right after the answer.
#[derive(Debug, Clone, Copy)]
pub struct Operation {
    pub told: Told,
    pub asked: u64,
    pub answered: u64,
}

/// Orders moments; no two are the same.
#[derive(Debug, Default)]
pub struct Clock(AtomicU64);

impl Clock {
    pub fn now(&self) -> u64 {
        self.0.fetch_add(1, Ordering::SeqCst)
    }
}

/// Judges the operations on one log that began at `head`; all of them, in any order. On failure: how many answered
/// operations could be put in order at most.
pub fn check(head: Digest, operations: &[Operation]) -> Result<(), usize> {
    let is_unknown = |operation: &Operation| matches!(operation.told, Told::Unknown { .. });
    let (unknown, mut answered): (Vec<_>, Vec<_>) = operations.iter().copied().partition(is_unknown);
    answered.sort_by_key(|operation| operation.asked);
    let operation = |place: usize| answered.get(place).unwrap_or_else(|| &unknown[place - answered.len()]);
    // What was never answered may come at any later moment, and never need come: few heads let one come.
    let mut coming: HashMap<Digest, Vec<usize>> = HashMap::new();
    for (number, operation) in unknown.iter().enumerate() {
        if let Told::Unknown { after, .. } = operation.told {
            coming.entry(after).or_default().push(answered.len() + number);
        }
    }
    let mut now = State { head, done: Done::default(), came: Vec::new() };
    let (mut earlier, mut visited, mut from, mut longest) = (Vec::new(), HashSet::new(), 0, 0);
    while now.done.before < answered.len() {
        // Next comes one that was asked before the earliest answer of those that are not in order yet.
        let (mut candidates, mut earliest) = (Vec::new(), u64::MAX);
        for place in (now.done.before..answered.len()).filter(|place| !now.done.contains(*place)) {
            if answered[place].asked > earliest {
                break;
            }
            earliest = earliest.min(answered[place].answered);
            candidates.push(place);
        }
        let coming = coming.get(&now.head).into_iter().flatten().copied();
        candidates.extend(coming.filter(|place| operation(*place).asked < earliest));
        let next = candidates.into_iter().filter(|place| *place >= from).find_map(|place| {
            let next = now.after(place, operation(place).told)?;
            visited.insert(next.clone()).then_some((place, next))
        });
        if let Some((place, next)) = next {
            earlier.push((place, std::mem::replace(&mut now, next)));
            from = 0;
            longest = longest.max(now.done.count());
        } else {
            let Some((place, before)) = earlier.pop() else { return Err(longest) };
            (now, from) = (before, place + 1);
        }
    }
    Ok(())
}

/// Where the search is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct State {
    head: Digest,
    /// Of those that were answered.
    done: Done,
    /// Unknown ones that came.
    came: Vec<usize>,
}

impl State {
    /// What an operation makes of it; `None` where its answer would have been another one.
    fn after(&self, place: usize, told: Told) -> Option<Self> {
        let (head, fits) = match told {
            Told::Stored { after, new } => (new, self.head == after),
            Told::Conflict { after, head } => (head, self.head == head && head != after),
            Told::Read { head } => (head, self.head == head),
            Told::Unknown { after, new } => {
                let mut came = self.came.clone();
                came.push(place);
                let fits = self.head == after && !self.came.contains(&place);
                return fits.then(|| Self { head: new, done: self.done.clone(), came });
            }
        };
        fits.then(|| Self { head, done: self.done.with(place), came: self.came.clone() })
    }
}

/// Which answered operations are in order: all before a place, and some behind it. Few are under way at once, so this stays small.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
struct Done {
    before: usize,
    behind: Vec<usize>,
}

impl Done {
    fn contains(&self, place: usize) -> bool {
        place < self.before || self.behind.binary_search(&place).is_ok()
    }

    fn count(&self) -> usize {
        self.before + self.behind.len()
    }

    fn with(&self, place: usize) -> Self {
        let mut done = self.clone();
        let at = done.behind.partition_point(|other| *other < place);
        done.behind.insert(at, place);
        let together = done.behind.iter().zip(done.before..).take_while(|(other, expected)| *other == expected).count();
        done.behind.drain(..together);
        done.before += together;
        done
    }
}

mod tests {
    use super::*;

    fn digest(number: u8) -> Digest {
        Digest::new([number; 32])
    }

    fn of(told: Told, asked: u64, answered: u64) -> Operation {
        Operation { told, asked, answered }
    }

    fn stored(after: u8, new: u8) -> Told {
        Told::Stored { after: digest(after), new: digest(new) }
    }

    fn unknown(after: u8, new: u8) -> Told {
        Told::Unknown { after: digest(after), new: digest(new) }
    }

    fn conflict(after: u8, head: u8) -> Told {
        Told::Conflict { after: digest(after), head: digest(head) }
    }

    fn read(head: u8) -> Told {
        Told::Read { head: digest(head) }
    }

    #[test]
    fn histories_that_can_be_put_in_order_pass_and_others_do_not() {
        let cases: [(&str, bool, &[Operation]); 14] = [
            ("nothing", true, &[]),
            ("one after the other", true, &[of(stored(0, 1), 1, 2), of(stored(1, 2), 3, 4), of(read(2), 5, 6)]),
            ("at once, the later asked came first", true, &[of(stored(1, 2), 1, 6), of(stored(0, 1), 2, 5)]),
            ("a read at once sees the old head", true, &[of(stored(0, 1), 1, 4), of(read(0), 2, 3)]),
            ("two stored after the same head", false, &[of(stored(0, 1), 1, 4), of(stored(0, 2), 2, 3)]),
            ("a lost update", false, &[of(stored(0, 1), 1, 2), of(read(0), 3, 4)]),
            ("an update lost and another in its place", false, &[of(stored(0, 1), 1, 2), of(stored(0, 2), 3, 4)]),
            ("read before it was asked for", false, &[of(read(1), 1, 2), of(stored(0, 1), 3, 4)]),
            ("a head that nobody wrote", false, &[of(stored(0, 1), 1, 2), of(conflict(0, 9), 3, 4)]),
            ("a conflict with the head that was asked for", false, &[of(conflict(0, 0), 1, 2)]),
            (
                "a conflict that tells an old head",
                false,
                &[of(stored(0, 1), 1, 2), of(stored(1, 2), 3, 4), of(conflict(0, 1), 5, 6)],
            ),
            ("unknown, and it came late", true, &[of(unknown(0, 1), 1, 2), of(read(0), 3, 4), of(read(1), 5, 6)]),
            ("unknown, and it never came", true, &[of(unknown(0, 1), 1, 2), of(stored(0, 2), 3, 4), of(read(2), 5, 6)]),
            ("unknown, came and went", false, &[of(unknown(0, 1), 1, 2), of(read(1), 3, 4), of(read(0), 5, 6)]),
        ];
        for (case, good, operations) in cases {
            assert_eq!(check(digest(0), operations).is_ok(), good, "{case}");
        }
    }

    /// A long history is judged fast, and one wrong answer in its middle is found.
    #[test]
    fn one_wrong_answer_among_thousands_is_found() {
        let head = |number: u32| {
            let mut bytes = [0; 32];
            bytes[..4].copy_from_slice(&number.to_be_bytes());
            Digest::new(bytes)
        };
        let mut operations = Vec::new();
        for number in 0..5000_u32 {
            let now = u64::from(number) * 10;
            let told = Told::Stored { after: head(number), new: head(number + 1) };
            operations.push(of(told, now, now + 25));
            operations.push(of(Told::Conflict { after: head(number), head: head(number + 1) }, now + 2, now + 26));
            if number % 100 == 0 {
                operations.push(of(Told::Unknown { after: head(number), new: head(1_000_000 + number) }, now + 3, 0));
            }
        }
        assert_eq!(check(head(0), &operations), Ok(()));
        let at = operations.len() / 2;
        operations.insert(at, of(Told::Read { head: head(7) }, 25_001, 25_002));
        assert!(check(head(0), &operations).is_err());
    }
}
