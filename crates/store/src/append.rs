//! Judging appends that travel together: each sees the ones before it. What is known of their logs is read first, by
//! the back end and inside the writer's transaction, which has these logs to itself, so that nothing comes between reading and inserting.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::Deref;
use std::time::SystemTime;

use sealwort_proto::log::empty;
use sealwort_proto::receipt::Witness;
use sealwort_proto::{DepositId, Pseudonym};

use crate::database::signed;
use crate::objects::Object;
use crate::{Append, Appended, NewEntry, StoreError};

/// What a deposit must be by itself; checked before it is queued.
pub(crate) fn check(append: &Append) -> Result<(), StoreError> {
    if append.entries.is_empty() {
        return Err(StoreError::Conflict("a deposit holds at least one entry"));
    }
    signed(append.after.sequence)?;
    if (append.after.sequence + 1..).zip(&append.entries).any(|(expected, entry)| entry.sequence != expected) {
        return Err(StoreError::Conflict("the entries of a deposit must follow each other"));
    }
    Ok(())
}

/// A deposit whose large ciphertexts lie elsewhere; in their place they are empty.
pub struct Placed {
    pub(crate) append: Append,
    /// Where they lie, by the sequence of their entry.
    pub(crate) objects: BTreeMap<u64, Object>,
    /// After this no row may name them: they may be swept.
    pub(crate) until: Option<SystemTime>,
}

impl From<Append> for Placed {
    fn from(append: Append) -> Self {
        Self { append, objects: BTreeMap::new(), until: None }
    }
}

impl Deref for Placed {
    type Target = Append;

    fn deref(&self) -> &Append {
        &self.append
    }
}

/// What is known of the logs that a transaction touches.
#[derive(Default)]
pub(crate) struct Logs {
    /// Logs without entries are absent.
    pub(crate) heads: HashMap<Pseudonym, Witness>,
    pub(crate) deposits: HashMap<(Pseudonym, DepositId), Witness>,
    pub(crate) erased: HashSet<Pseudonym>,
}

impl Logs {
    /// What becomes of each, in order.
    pub(crate) fn judge_all(&mut self, appends: &[Placed]) -> Vec<Appended> {
        appends.iter().map(|append| self.judge(append)).collect()
    }

    fn judge(&mut self, append: &Append) -> Appended {
        if self.erased.contains(&append.patient) {
            return Appended::Erased;
        }
        let deposit = (append.patient, append.deposit);
        if let Some(head) = self.deposits.get(&deposit) {
            return Appended::Known(*head);
        }
        let head = self.heads.get(&append.patient).copied().unwrap_or_else(|| empty(append.patient));
        let Some(last) = append.entries.last().filter(|_| head == append.after) else {
            return Appended::Conflict(head);
        };
        let head = Witness { sequence: last.sequence, head: last.hash };
        self.heads.insert(append.patient, head);
        self.deposits.insert(deposit, head);
        Appended::Stored(head)
    }
}

/// Those of the appends that are to be stored.
pub(crate) fn stored<'a>(appends: &'a [Placed], outcomes: &[Appended]) -> impl Iterator<Item = &'a Placed> {
    appends.iter().zip(outcomes).filter(|(_, outcome)| matches!(outcome, Appended::Stored(_))).map(|(append, _)| append)
}

/// An entry on its way; the last one of a deposit bears the deposit's id.
pub(crate) struct EntryRow<'a> {
    pub(crate) patient: Pseudonym,
    pub(crate) deposit: Option<DepositId>,
    pub(crate) entry: &'a NewEntry,
    pub(crate) object: Option<Object>,
}

pub(crate) fn rows(append: &Placed) -> impl Iterator<Item = EntryRow<'_>> {
    let last = append.entries.len() - 1;
    append.entries.iter().enumerate().map(move |(place, entry)| EntryRow {
        patient: append.patient,
        deposit: (place == last).then_some(append.deposit),
        entry,
        object: append.objects.get(&entry.sequence).copied(),
    })
}
