//! Whether one directive may follow another. Broker and archive ask this before they store a
//! directive whose signature they have verified. It compares structure, not the answers to
//! requests, and errs on the side of calling something narrower.

use crate::{Directive, ProvisionId};

/// The directive that is in force, with the digest of its bytes.
#[derive(Clone, Copy, Debug)]
pub struct Predecessor<'a> {
    /// The directive in force.
    pub directive: &'a Directive,
    /// SHA-256 of its bytes, as the next one must cite it.
    pub digest: [u8; 32],
}

/// What an accepted directive changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// The patient's first directive.
    First,
    /// The same provisions again, in the same epoch.
    Unchanged,
    /// The list is another and nothing in force was taken back: more is allowed, or provisions
    /// that are over were left out. The same epoch.
    Widened,
    /// A new epoch has begun: something was taken back, or the authority asks for fresh halves.
    /// Both parties make new halves before they serve another request.
    Narrowed,
}

/// Checks that `next` may follow `current`, which is `None` before the first directive.
///
/// The version must be one higher, the epoch the same or one higher, and one higher whenever
/// something narrowed: when a provision that is not over by `next.issued_at()` is covered by no
/// single provision of `next`. Several provisions that cover it together do not count.
///
/// The caller has verified the signature, and has compared `issued_at` with its own clock: a
/// directive dated into the future would let provisions lapse early without a new epoch.
///
/// # Errors
/// [`SuccessorError`], naming the rule that is broken.
pub fn check_successor(current: Option<Predecessor<'_>>, next: &Directive) -> Result<Change, SuccessorError> {
    let Some(Predecessor { directive: current, digest }) = current else {
        return match next.version() {
            1 => Ok(Change::First),
            found => Err(SuccessorError::Version { expected: 1, found }),
        };
    };
    if next.exchange() != current.exchange() {
        return Err(SuccessorError::OtherExchange);
    }
    if next.patient() != current.patient() {
        return Err(SuccessorError::OtherPatient);
    }
    let expected = current.version().saturating_add(1);
    if next.version() != expected {
        return Err(SuccessorError::Version { expected, found: next.version() });
    }
    if next.previous() != digest {
        return Err(SuccessorError::PreviousDigest);
    }
    if next.issued_at() < current.issued_at() {
        return Err(SuccessorError::IssuedEarlier);
    }
    let raised = match next.epoch().checked_sub(current.epoch()) {
        Some(0) => Epoch::Same,
        Some(1) => Epoch::Raised,
        _ => {
            return Err(SuccessorError::Epoch { current: current.epoch(), found: next.epoch() });
        }
    };
    check_ids(current, next)?;
    match (raised, first_narrowed(current, next)) {
        (Epoch::Raised, _) => Ok(Change::Narrowed),
        (Epoch::Same, Some(provision)) => Err(SuccessorError::EpochNotRaised { provision }),
        (Epoch::Same, None) if next.provisions() == current.provisions() => Ok(Change::Unchanged),
        (Epoch::Same, None) => Ok(Change::Widened),
    }
}

enum Epoch {
    Same,
    Raised,
}

/// An id keeps its wording for ever, so that a log which names it can be read years later.
fn check_ids(current: &Directive, next: &Directive) -> Result<(), SuccessorError> {
    if next.last_provision() < current.last_provision() {
        return Err(SuccessorError::ProvisionIdReused { provision: next.last_provision() });
    }
    for provision in next.provisions() {
        match current.provision(provision.id()) {
            Some(old) if old != provision => {
                return Err(SuccessorError::ProvisionRewritten { provision: provision.id() });
            }
            None if provision.id() <= current.last_provision() => {
                return Err(SuccessorError::ProvisionIdReused { provision: provision.id() });
            }
            _ => {}
        }
    }
    Ok(())
}

/// The first provision that is not over and that no single provision of `next` covers.
pub(crate) fn first_narrowed(current: &Directive, next: &Directive) -> Option<ProvisionId> {
    let covered = |old: &crate::Terms| next.provisions().iter().any(|new| new.terms().covers(old));
    current
        .provisions()
        .iter()
        .filter(|old| !old.terms().period().has_ended(next.issued_at()))
        .find(|old| !covered(old.terms()))
        .map(crate::Provision::id)
}

/// Why a directive may not follow. The fault is the consent authority, or whoever passed on an
/// old or a foreign directive.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SuccessorError {
    /// Made for another exchange.
    #[error("the directive belongs to another exchange")]
    OtherExchange,
    /// Made for another patient.
    #[error("the directive belongs to another patient")]
    OtherPatient,
    /// Not the next version: fetch the newest directive and make the change on that.
    #[error("the directive has version {found}, but {expected} comes next: start from the newest directive")]
    Version {
        /// The version that comes next.
        expected: u64,
        /// The version found.
        found: u64,
    },
    /// Follows another directive of the same version.
    #[error("the directive follows another one than that in force: start from the newest directive")]
    PreviousDigest,
    /// Older than the one in force.
    #[error("the directive was issued before the one in force")]
    IssuedEarlier,
    /// The epoch falls, or rises by more than one.
    #[error("the directive's epoch {found} does not follow epoch {current}")]
    Epoch {
        /// The epoch in force.
        current: u64,
        /// The epoch found.
        found: u64,
    },
    /// Something narrowed in the same epoch, so that keys handed out earlier would stay good.
    #[error("the directive takes back provision {provision} without starting a new epoch")]
    EpochNotRaised {
        /// The provision that is no longer covered.
        provision: ProvisionId,
    },
    /// An id says something else than before.
    #[error("the directive changes the wording of provision {provision}: give it a new id")]
    ProvisionRewritten {
        /// The id.
        provision: ProvisionId,
    },
    /// An id that was given earlier appears again, or the highest id given fell.
    #[error("the directive gives provision id {provision} a second time")]
    ProvisionIdReused {
        /// The id.
        provision: ProvisionId,
    },
}

impl SuccessorError {
    /// Stable code for programs.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::OtherExchange => "successor-other-exchange",
            Self::OtherPatient => "successor-other-patient",
            Self::Version { .. } => "successor-version",
            Self::PreviousDigest => "successor-previous-digest",
            Self::IssuedEarlier => "successor-issued-earlier",
            Self::Epoch { .. } => "successor-epoch",
            Self::EpochNotRaised { .. } => "successor-epoch-not-raised",
            Self::ProvisionRewritten { .. } => "successor-provision-rewritten",
            Self::ProvisionIdReused { .. } => "successor-provision-id-reused",
        }
    }
}
