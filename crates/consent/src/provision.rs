//! One sentence of consent: users of these roles at these hospitals may do these things, with these labels, for
//! these purposes, in this period. Sets are sorted and free of duplicates, none is empty, and nothing
//! is implied by leaving something out. Whether a request matches is decided elsewhere.

use crate::{Action, Among, LabelTag, Party, ProvisionId, Purpose, UserRole};

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
    /// Without an end, and from before there was anything to consent to.
    pub const ALWAYS: Self = Self { from: 0, until: None };

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

    /// The time in both; `None` when there is none.
    pub(crate) fn and(self, other: Self) -> Option<Self> {
        let until = match (self.until, other.until) {
            (Some(mine), Some(theirs)) => Some(mine.min(theirs)),
            (mine, theirs) => mine.or(theirs),
        };
        Self::new(self.from.max(other.from), until).ok()
    }

    /// What is left before and after `taken`, which lies inside.
    pub(crate) fn minus(self, taken: Self) -> impl Iterator<Item = Self> {
        let before = Self::new(self.from, Some(taken.from)).ok();
        let after = taken.until.and_then(|from| Self::new(from, self.until).ok());
        before.into_iter().chain(after)
    }

    /// Whether `now` is inside.
    pub(crate) fn includes(self, now: u64) -> bool {
        self.from <= now && !self.has_ended(now)
    }

    /// Whether it is over at `now`.
    pub(crate) fn has_ended(self, now: u64) -> bool {
        self.until.is_some_and(|until| until <= now)
    }
}

/// What a provision says, without its id: the input of [`crate::Directive::grant`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Terms {
    grantees: Among<Party>,
    roles: Among<UserRole>,
    actions: Vec<Action>,
    purposes: Vec<Purpose>,
    period: Period,
    tags: Vec<LabelTag>,
}

impl Terms {
    /// Puts terms together for users of any role; sets may come in any order and with repetitions.
    ///
    /// # Errors
    /// [`TermsError`] when a set is empty or there are more than [`TAGS_MAX`] tags.
    pub fn new(
        grantees: impl Into<Among<Party>>,
        actions: impl IntoIterator<Item = Action>,
        tags: impl IntoIterator<Item = LabelTag>,
        purposes: impl IntoIterator<Item = Purpose>,
        period: Period,
    ) -> Result<Self, TermsError> {
        let terms = Self {
            grantees: grantees.into(),
            roles: Among::all(),
            actions: sorted(actions),
            purposes: sorted(purposes),
            period,
            tags: sorted(tags),
        };
        terms.grantees.check()?;
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

    /// The same for users of these roles alone.
    ///
    /// # Errors
    /// [`TermsError`] when nobody is left, or too many are named.
    pub fn for_roles(self, roles: Among<UserRole>) -> Result<Self, TermsError> {
        roles.check()?;
        Ok(Self { roles, ..self })
    }

    /// The hospitals that are allowed.
    pub fn grantees(&self) -> &Among<Party> {
        &self.grantees
    }

    /// The roles of the users who are allowed, as their hospital names them.
    pub fn roles(&self) -> &Among<UserRole> {
        &self.roles
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

    /// The same for another patient, whose tags for the same labels are others; `None` where none has a twin.
    pub fn retagged(&self, twin: impl Fn(&LabelTag) -> Option<LabelTag>) -> Option<Self> {
        let tags = sorted(self.tags.iter().filter_map(twin));
        (!tags.is_empty()).then(|| Self { tags, ..self.clone() })
    }

    /// Whether every request that `other` permits is permitted by `self` alone.
    pub(crate) fn covers(&self, other: &Self) -> bool {
        self.grantees.covers(&other.grantees)
            && self.roles.covers(&other.roles)
            && holds_all(&self.actions, &other.actions)
            && holds_all(&self.tags, &other.tags)
            && holds_all(&self.purposes, &other.purposes)
            && self.period.covers(other.period)
    }

    /// What both permit; `None` when that is nothing.
    pub(crate) fn and(&self, other: &Self) -> Option<Self> {
        let both = Self {
            grantees: self.grantees.and(&other.grantees),
            roles: self.roles.and(&other.roles),
            actions: split(&self.actions, &other.actions).0,
            purposes: split(&self.purposes, &other.purposes).0,
            period: self.period.and(other.period)?,
            tags: split(&self.tags, &other.tags).0,
        };
        let empty = both.grantees.is_nobody()
            || both.roles.is_nobody()
            || both.actions.is_empty()
            || both.purposes.is_empty()
            || both.tags.is_empty();
        (!empty).then_some(both)
    }

    /// What is left without what `taken` permits; `None` when the two have nothing in common.
    ///
    /// Terms are boxes in six dimensions. Dimension by dimension, what lies outside is cut off whole, and the cutting
    /// goes on with what lies inside, so that the pieces never overlap.
    pub(crate) fn minus(&self, taken: &Self) -> Option<Vec<Self>> {
        let inside = self.and(taken)?;
        let mut rest = Vec::new();
        let mut left = self.clone();
        let (_, outside) = split(&left.tags, &inside.tags);
        if !outside.is_empty() {
            rest.push(Self { tags: outside, ..left.clone() });
        }
        left.tags = inside.tags;
        let (_, outside) = split(&left.actions, &inside.actions);
        if !outside.is_empty() {
            rest.push(Self { actions: outside, ..left.clone() });
        }
        left.actions = inside.actions;
        let (_, outside) = split(&left.purposes, &inside.purposes);
        if !outside.is_empty() {
            rest.push(Self { purposes: outside, ..left.clone() });
        }
        left.purposes = inside.purposes;
        rest.extend(left.period.minus(inside.period).map(|period| Self { period, ..left.clone() }));
        left.period = inside.period;
        let outside = left.grantees.minus(&inside.grantees);
        if !outside.is_nobody() {
            rest.push(Self { grantees: outside, ..left.clone() });
        }
        left.grantees = inside.grantees;
        let outside = left.roles.minus(&inside.roles);
        if !outside.is_nobody() {
            rest.push(Self { roles: outside, ..left.clone() });
        }
        Some(rest)
    }

    /// The same sentence with other sets; `None` when one of them has nothing in common with what it said.
    pub(crate) fn narrowed(
        &self,
        grantees: Among<Party>,
        actions: Option<&[Action]>,
        tags: Option<&[LabelTag]>,
        purposes: Option<&[Purpose]>,
    ) -> Option<Self> {
        self.and(&Self {
            grantees,
            actions: sorted(actions.unwrap_or(&self.actions).iter().copied()),
            tags: sorted(tags.unwrap_or(&self.tags).iter().copied()),
            purposes: sorted(purposes.unwrap_or(&self.purposes).iter().copied()),
            ..self.clone()
        })
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
    /// A list of hospitals or roles that names nobody.
    #[error("the provision is for no hospital or no role: name one, or say all")]
    Nobody,
    /// More than [`crate::NAMES_MAX`].
    #[error("the provision names {count} hospitals or roles, more than the {} allowed", crate::NAMES_MAX)]
    TooManyNames {
        /// How many different names were given.
        count: usize,
    },
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
            Self::Nobody => "provision-nobody",
            Self::TooManyNames { .. } => "provision-too-many-names",
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

/// The items that the sorted `chosen` has, and the others.
fn split<T: Copy + Ord>(items: &[T], chosen: &[T]) -> (Vec<T>, Vec<T>) {
    items.iter().partition(|item| chosen.binary_search(item).is_ok())
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
