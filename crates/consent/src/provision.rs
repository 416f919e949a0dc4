//! One sentence of consent: this hospital may do these things, with these labels, for these
//! purposes, in this period. Sets are sorted and free of duplicates, none is empty, and nothing
//! is implied by leaving something out. Whether a request matches is decided elsewhere.

use crate::{Action, LabelTag, Party, ProvisionId, Purpose};

/// Most label tags in one provision.
pub const TAGS_MAX: usize = 16;

/// Latest point in time that is accepted anywhere in this crate, in Unix seconds: the last
/// second of the year 9999, where FHIR's `instant` ends too.
pub const TIME_SECONDS_MAX: u64 = 253_402_300_799;

/// A half-open span of time in Unix seconds: `from` is inside, `until` is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Period {
    from: u64,
    until: Option<u64>,
}

impl Period {
    /// A period from `from` (inclusive) until `until` (exclusive), or without an end.
    ///
    /// # Errors
    /// [`TermsError::PeriodEmpty`] when it ends before or as it starts,
    /// [`TermsError::PeriodOutOfRange`] past [`TIME_SECONDS_MAX`].
    pub fn new(from: u64, until: Option<u64>) -> Result<Self, TermsError> {
        if from.max(until.unwrap_or(0)) > TIME_SECONDS_MAX {
            return Err(TermsError::PeriodOutOfRange);
        }
        if until.is_some_and(|until| until <= from) {
            return Err(TermsError::PeriodEmpty);
        }
        Ok(Self { from, until })
    }

    /// First second inside.
    pub const fn from(self) -> u64 {
        self.from
    }

    /// First second outside again; `None` for a period without an end.
    pub const fn until(self) -> Option<u64> {
        self.until
    }

    /// Whether the whole of `other` lies inside.
    pub(crate) fn covers(self, other: Self) -> bool {
        let ends_late_enough = match (self.until, other.until) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(mine), Some(theirs)) => mine >= theirs,
        };
        self.from <= other.from && ends_late_enough
    }

    /// Whether it is over at `now`.
    pub(crate) fn has_ended(self, now: u64) -> bool {
        self.until.is_some_and(|until| until <= now)
    }
}

/// What a provision says, without its id: the input of [`crate::Directive::grant`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    grantee: Party,
    actions: Vec<Action>,
    purposes: Vec<Purpose>,
    period: Period,
    tags: Vec<LabelTag>,
}

impl Terms {
    /// Puts terms together; sets may come in any order and with repetitions.
    ///
    /// # Errors
    /// [`TermsError`] when a set is empty or there are more than [`TAGS_MAX`] tags.
    pub fn new(
        grantee: Party,
        actions: impl IntoIterator<Item = Action>,
        tags: impl IntoIterator<Item = LabelTag>,
        purposes: impl IntoIterator<Item = Purpose>,
        period: Period,
    ) -> Result<Self, TermsError> {
        let terms = Self { grantee, actions: sorted(actions), purposes: sorted(purposes), period, tags: sorted(tags) };
        if terms.actions.is_empty() {
            return Err(TermsError::NoActions);
        }
        if terms.purposes.is_empty() {
            return Err(TermsError::NoPurposes);
        }
        if terms.tags.is_empty() {
            return Err(TermsError::NoTags);
        }
        if terms.tags.len() > TAGS_MAX {
            return Err(TermsError::TooManyTags { count: terms.tags.len() });
        }
        Ok(terms)
    }

    /// The hospital that is allowed.
    pub fn grantee(&self) -> &Party {
        &self.grantee
    }

    /// The actions, sorted.
    pub fn actions(&self) -> &[Action] {
        &self.actions
    }

    /// The label tags, sorted.
    pub fn tags(&self) -> &[LabelTag] {
        &self.tags
    }

    /// The purposes, sorted.
    pub fn purposes(&self) -> &[Purpose] {
        &self.purposes
    }

    /// When it holds.
    pub fn period(&self) -> Period {
        self.period
    }

    /// Whether every request that `other` permits is permitted by `self` alone.
    pub(crate) fn covers(&self, other: &Self) -> bool {
        self.grantee == other.grantee
            && holds_all(&self.actions, &other.actions)
            && holds_all(&self.tags, &other.tags)
            && holds_all(&self.purposes, &other.purposes)
            && self.period.covers(other.period)
    }

    /// The same sentence with other sets; `None` when one of them is empty and nothing is left.
    pub(crate) fn with_sets(&self, actions: Vec<Action>, tags: Vec<LabelTag>, purposes: Vec<Purpose>) -> Option<Self> {
        let left = !(actions.is_empty() || tags.is_empty() || purposes.is_empty());
        left.then(|| Self { grantee: self.grantee.clone(), actions, purposes, period: self.period, tags })
    }
}

/// Terms with their id in the patient's directive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Provision {
    id: ProvisionId,
    terms: Terms,
}

impl Provision {
    pub(crate) fn new(id: ProvisionId, terms: Terms) -> Self {
        Self { id, terms }
    }

    /// The id, never reused for other terms of this patient.
    pub fn id(&self) -> ProvisionId {
        self.id
    }

    /// What it says.
    pub fn terms(&self) -> &Terms {
        &self.terms
    }
}

/// Why terms cannot stand. The fault is whoever wrote the consent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TermsError {
    /// An empty set permits nothing, and reading it as "all" would permit too much.
    #[error("the provision names no action: name at least one of read, write, emergency")]
    NoActions,
    /// No label tag.
    #[error("the provision names no label: name at least one")]
    NoTags,
    /// No purpose of use.
    #[error("the provision names no purpose of use: name at least one")]
    NoPurposes,
    /// More than [`TAGS_MAX`].
    #[error("the provision names {count} labels, more than the {TAGS_MAX} allowed")]
    TooManyTags {
        /// How many different tags were given.
        count: usize,
    },
    /// `until` is not after `from`.
    #[error("the provision's period ends before it starts")]
    PeriodEmpty,
    /// Past [`TIME_SECONDS_MAX`].
    #[error("the provision's period lies beyond the year 9999")]
    PeriodOutOfRange,
}

impl TermsError {
    /// Stable code for programs.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::NoActions => "provision-no-actions",
            Self::NoTags => "provision-no-labels",
            Self::NoPurposes => "provision-no-purposes",
            Self::TooManyTags { .. } => "provision-too-many-labels",
            Self::PeriodEmpty => "provision-period-empty",
            Self::PeriodOutOfRange => "provision-period-out-of-range",
        }
    }
}

/// The items in order, each once.
pub(crate) fn sorted<T: Ord>(items: impl IntoIterator<Item = T>) -> Vec<T> {
    let mut items: Vec<T> = items.into_iter().collect();
    items.sort_unstable();
    items.dedup();
    items
}

/// Whether the sorted `set` holds each of `wanted`.
pub(crate) fn holds_all<T: Ord>(set: &[T], wanted: &[T]) -> bool {
    wanted.iter().all(|item| set.binary_search(item).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sorted_orders_and_removes_repetitions() {
        assert_eq!(sorted([3, 1, 3, 2]), [1, 2, 3]);
    }

    #[test]
    fn holds_all_reads_sorted_sets() {
        assert!(holds_all(&[1, 2, 3], &[1, 3]));
        assert!(!holds_all(&[1, 3], &[1, 2]));
        assert!(holds_all::<u8>(&[], &[]));
    }
}
