//! The directive: a patient's complete list of provisions at one version, and the steps that
//! make the next version from the current one. Every value here is well formed by construction
//! and carries the exact bytes that are signed. Signing and the digest of the previous
//! directive are the caller's.

use crate::encoding::{self, DIRECTIVE_BYTES_MAX};
use crate::identifier::is_exchange_name;
use crate::provision::TIME_SECONDS_MAX;
use crate::successor;
use crate::{Action, EncodingError, LabelTag, Party, Patient, Provision, ProvisionId, Purpose, Terms};

/// Most provisions in one directive.
pub const PROVISIONS_MAX: usize = 256;

/// A patient's complete list of provisions at one version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Directive {
    content: Content,
    bytes: Vec<u8>,
}

/// The fields of a directive before they have been checked against each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Content {
    pub(crate) exchange: String,
    pub(crate) patient: Patient,
    pub(crate) version: u64,
    pub(crate) epoch: u64,
    pub(crate) issued_at: u64,
    pub(crate) previous: [u8; 32],
    pub(crate) last_provision: ProvisionId,
    pub(crate) provisions: Vec<Provision>,
}

/// What is taken back from one hospital: everything that lies in all the given sets at once.
/// A set left out (`None`) means all of them, so a withdrawal with three `None` takes back
/// everything the hospital has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Withdrawal {
    /// The hospital.
    pub grantee: Party,
    /// Only these actions.
    pub actions: Option<Vec<Action>>,
    /// Only these labels.
    pub tags: Option<Vec<LabelTag>>,
    /// Only these purposes.
    pub purposes: Option<Vec<Purpose>>,
}

impl Directive {
    /// Version 1 of a patient's consent, with any number of provisions, none included.
    ///
    /// `issued_at` is in Unix seconds.
    ///
    /// # Errors
    /// [`DirectiveError`] when the exchange's name is none, or a limit is passed.
    pub fn first(
        exchange: impl Into<String>,
        patient: Patient,
        issued_at: u64,
        terms: Vec<Terms>,
    ) -> Result<Self, DirectiveError> {
        let mut content = Content {
            exchange: exchange.into(),
            patient,
            version: 1,
            epoch: 1,
            issued_at,
            previous: [0; 32],
            last_provision: ProvisionId::new(0),
            provisions: Vec::new(),
        };
        content.add(terms)?;
        Self::from_content(content)
    }

    /// The next version with more allowed, in the same epoch.
    ///
    /// `previous` is the SHA-256 of this directive's bytes. Terms that are allowed already are
    /// left out, and provisions that the new terms cover are replaced by them, so that granting
    /// twice does no harm.
    ///
    /// # Errors
    /// [`DirectiveError`] when a limit is passed or `issued_at` lies before this version's.
    pub fn grant(&self, issued_at: u64, previous: [u8; 32], terms: Vec<Terms>) -> Result<Self, DirectiveError> {
        let mut content = self.successor(issued_at, previous)?;
        content.add(terms)?;
        Self::from_content(content)
    }

    /// The next version with something taken back, in the next epoch.
    ///
    /// `previous` is the SHA-256 of this directive's bytes. A provision that is only partly
    /// taken back is replaced by what is left of it, under new ids.
    ///
    /// # Errors
    /// [`DirectiveError::NothingToWithdraw`] when no provision is touched; the others as in
    /// [`Directive::grant`].
    pub fn withdraw(
        &self,
        issued_at: u64,
        previous: [u8; 32],
        withdrawal: &Withdrawal,
    ) -> Result<Self, DirectiveError> {
        let mut content = self.successor(issued_at, previous)?;
        content.epoch = content.epoch.checked_add(1).ok_or(DirectiveError::Exhausted)?;
        let mut left_over = Vec::new();
        let before = content.provisions.len();
        content.provisions.retain(|provision| {
            match withdrawal.taken(provision.terms()).and_then(|it| provision.terms().minus(&it)) {
                None => true,
                Some(rest) => {
                    left_over.extend(rest);
                    false
                }
            }
        });
        if content.provisions.len() == before {
            return Err(DirectiveError::NothingToWithdraw);
        }
        content.add(left_over)?;
        Self::from_content(content)
    }

    /// The next version with exactly these terms, in the next epoch where it takes anything back.
    ///
    /// `previous` is the SHA-256 of this directive's bytes. Terms that stand already keep their ids.
    ///
    /// # Errors
    /// As in [`Directive::grant`].
    pub fn replace(&self, issued_at: u64, previous: [u8; 32], terms: Vec<Terms>) -> Result<Self, DirectiveError> {
        let mut content = self.successor(issued_at, previous)?;
        content.provisions.retain(|old| terms.contains(old.terms()));
        content.add(terms)?;
        let next = Self::from_content(content)?;
        if successor::first_narrowed(self, &next).is_none() {
            return Ok(next);
        }
        let epoch = self.epoch().checked_add(1).ok_or(DirectiveError::Exhausted)?;
        Self::from_content(Content { epoch, ..next.content })
    }

    /// Reads a directive's bytes, which must be the one encoding that it has.
    ///
    /// # Errors
    /// [`EncodingError`], naming the first thing found wrong.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, EncodingError> {
        let directive = Self::from_content(encoding::decode(bytes)?)?;
        if directive.bytes != bytes {
            return Err(EncodingError::NotCanonical);
        }
        Ok(directive)
    }

    /// The bytes to sign, in deterministic CBOR (RFC 8949 section 4.2.1).
    pub fn to_bytes(&self) -> Vec<u8> {
        self.bytes.clone()
    }

    /// The exchange this consent belongs to.
    pub fn exchange(&self) -> &str {
        &self.content.exchange
    }

    /// The patient.
    pub fn patient(&self) -> Patient {
        self.content.patient
    }

    /// 1 for the first, one more each time.
    pub fn version(&self) -> u64 {
        self.content.version
    }

    /// The epoch of the patient's halves: 1 at first, one more with each withdrawal.
    pub fn epoch(&self) -> u64 {
        self.content.epoch
    }

    /// When the authority made it, in Unix seconds.
    pub fn issued_at(&self) -> u64 {
        self.content.issued_at
    }

    /// SHA-256 of the previous version's bytes; zeros in version 1.
    pub fn previous(&self) -> [u8; 32] {
        self.content.previous
    }

    /// The highest provision id ever given to this patient.
    pub fn last_provision(&self) -> ProvisionId {
        self.content.last_provision
    }

    /// The provisions, sorted by id.
    pub fn provisions(&self) -> &[Provision] {
        &self.content.provisions
    }

    /// The provision of that id.
    pub fn provision(&self, id: ProvisionId) -> Option<&Provision> {
        let provisions = &self.content.provisions;
        let place = provisions.binary_search_by_key(&id, Provision::id).ok()?;
        provisions.get(place)
    }

    /// The unchanged content at the next version.
    fn successor(&self, issued_at: u64, previous: [u8; 32]) -> Result<Content, DirectiveError> {
        if issued_at < self.content.issued_at {
            return Err(DirectiveError::IssuedBeforePrevious);
        }
        let version = self.content.version.checked_add(1);
        Ok(Content { version: version.ok_or(DirectiveError::Exhausted)?, issued_at, previous, ..self.content.clone() })
    }

    /// Checks everything that a directive alone can be checked for, and encodes it.
    fn from_content(content: Content) -> Result<Self, DirectiveError> {
        content.check()?;
        let bytes = encoding::encode(&content)?;
        if bytes.len() > DIRECTIVE_BYTES_MAX {
            return Err(DirectiveError::TooLarge { bytes: bytes.len() });
        }
        Ok(Self { content, bytes })
    }
}

impl Content {
    /// Adds terms under fresh ids, leaving out what is covered already and dropping what the new
    /// terms cover. Provisions that are over make room when there would be too many.
    fn add(&mut self, terms: Vec<Terms>) -> Result<(), DirectiveError> {
        for terms in terms {
            if self.provisions.iter().any(|old| old.terms().covers(&terms)) {
                continue;
            }
            self.provisions.retain(|old| !terms.covers(old.terms()));
            let id = self.last_provision.as_u32().checked_add(1);
            self.last_provision = ProvisionId::new(id.ok_or(DirectiveError::Exhausted)?);
            self.provisions.push(Provision::new(self.last_provision, terms));
        }
        if self.provisions.len() > PROVISIONS_MAX {
            let now = self.issued_at;
            self.provisions.retain(|old| !old.terms().period().has_ended(now));
        }
        Ok(())
    }

    fn check(&self) -> Result<(), DirectiveError> {
        if !is_exchange_name(&self.exchange) {
            return Err(DirectiveError::ExchangeName);
        }
        if self.issued_at > TIME_SECONDS_MAX {
            return Err(DirectiveError::IssuedOutOfRange);
        }
        if self.version == 0 {
            return Err(DirectiveError::VersionZero);
        }
        // Each version raises the epoch by one at most, so it cannot have overtaken the version.
        if self.epoch == 0 || self.epoch > self.version {
            return Err(DirectiveError::EpochImpossible);
        }
        if (self.version == 1) != (self.previous == [0; 32]) {
            return Err(DirectiveError::PreviousMisplaced);
        }
        if self.provisions.len() > PROVISIONS_MAX {
            return Err(DirectiveError::TooManyProvisions { count: self.provisions.len() });
        }
        let terms = || self.provisions.iter().map(Provision::terms);
        let lists = terms().map(|it| it.grantees().check()).chain(terms().map(|it| it.roles().check()));
        if lists.into_iter().any(|list| list.is_err()) {
            return Err(DirectiveError::TooManyNames);
        }
        let given = 1..=self.last_provision.as_u32();
        if let Some(stray) = self.provisions.iter().find(|it| !given.contains(&it.id().as_u32())) {
            return Err(DirectiveError::ProvisionIdNotGiven { id: stray.id() });
        }
        Ok(())
    }
}

impl Withdrawal {
    /// What of `terms` is taken back; `None` when they are not touched at all.
    pub(crate) fn taken(&self, terms: &Terms) -> Option<Terms> {
        let (actions, tags, purposes) = (self.actions.as_deref(), self.tags.as_deref(), self.purposes.as_deref());
        terms.narrowed(self.grantee.clone().into(), actions, tags, purposes)
    }

    /// Whether it takes back anything of `terms`.
    pub fn touches(&self, terms: &Terms) -> bool {
        self.taken(terms).is_some()
    }
}

/// Why a directive cannot be made, or cannot be true. The fault is the consent authority that
/// made it, or the request it was asked to make.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DirectiveError {
    /// Not `[a-z0-9][a-z0-9-]{0,62}`.
    #[error("the directive's exchange name is not lower-case letters, digits and hyphens")]
    ExchangeName,
    /// More than [`PROVISIONS_MAX`], none of them over.
    #[error("the directive would hold {count} provisions, more than the {PROVISIONS_MAX} allowed: withdraw some first")]
    TooManyProvisions {
        /// How many there would be.
        count: usize,
    },
    /// More than [`DIRECTIVE_BYTES_MAX`].
    #[error(
        "the directive would have {bytes} bytes, more than the {DIRECTIVE_BYTES_MAX} allowed: withdraw some provisions first"
    )]
    TooLarge {
        /// How large it would be.
        bytes: usize,
    },
    /// A provision leaves out more than [`crate::NAMES_MAX`] hospitals or roles.
    #[error("a provision would name more than the {} hospitals or roles allowed: withdraw it whole", crate::NAMES_MAX)]
    TooManyNames,
    /// `issued_at` past [`TIME_SECONDS_MAX`].
    #[error("the directive's time of issue lies beyond the year 9999")]
    IssuedOutOfRange,
    /// `issued_at` before that of the version it follows.
    #[error("the directive would be issued before the one it follows: check the clock")]
    IssuedBeforePrevious,
    /// The withdrawal touches no provision.
    #[error("there is nothing to withdraw: this hospital has no such consent")]
    NothingToWithdraw,
    /// Versions start at 1.
    #[error("the directive has version 0, but versions start at 1")]
    VersionZero,
    /// Zero, or more than the version.
    #[error("the directive's epoch cannot have been reached at its version")]
    EpochImpossible,
    /// A digest in version 1, or none in a later version.
    #[error("the digest of the previous directive must be zero in version 1 and only there")]
    PreviousMisplaced,
    /// A provision's id is 0 or above the highest id given.
    #[error("provision {id} bears an id that was never given")]
    ProvisionIdNotGiven {
        /// The id found.
        id: ProvisionId,
    },
    /// A counter is at its end.
    #[error("a counter of the directive is used up")]
    Exhausted,
    /// The encoder failed, which memory does not do.
    #[error("the directive could not be encoded")]
    NotEncoded,
}

impl DirectiveError {
    /// Stable code for programs.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::ExchangeName => "directive-exchange-name",
            Self::TooManyProvisions { .. } => "directive-too-many-provisions",
            Self::TooLarge { .. } => "directive-too-large",
            Self::TooManyNames => "provision-too-many-names",
            Self::IssuedOutOfRange => "directive-issued-out-of-range",
            Self::IssuedBeforePrevious => "directive-issued-before-previous",
            Self::NothingToWithdraw => "directive-nothing-to-withdraw",
            Self::VersionZero => "directive-version-zero",
            Self::EpochImpossible => "directive-epoch-impossible",
            Self::PreviousMisplaced => "directive-previous-misplaced",
            Self::ProvisionIdNotGiven { .. } => "directive-provision-id",
            Self::Exhausted => "directive-exhausted",
            Self::NotEncoded => "directive-not-encoded",
        }
    }
}
