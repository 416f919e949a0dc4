//! The one encoding of a directive: deterministic CBOR (RFC 8949 section 4.2.1), every structure
//! an array of fixed length. Decoding refuses whatever this encoder would not have written: the
//! caller re-encodes and compares. In CDDL (RFC 8610):
//!
//! ```text
//! directive = [ format: 2, exchange: tstr, patient: bstr .size 32, version: uint, epoch: uint,
//!               issued-at: uint, previous: bstr .size 32, last-provision: uint,
//!               provisions: [ 0*256 provision ] ]        ; by id, ascending
//! provision = [ id: uint, grantees: among, roles: among, actions: [ 1*3 action ], purposes: [ 1*8 purpose ],
//!               from: uint, until: uint / null, tags: [ 1*16 bstr .size 16 ] ]
//! among     = [ 0, [ 1*64 tstr ] ] / [ 1, [ 0*64 tstr ] ]      ; these; all but these
//! action    = 0 / 1 / 2        ; read, write, emergency
//! purpose   = 0..7             ; TREAT ETREAT BTG HPAYMT HOPERAT HRESCH PUBHLTH PATRQT
//! ```
//! All sets ascend without repetition; times are Unix seconds.

use std::str::FromStr;

use minicbor::bytes::ByteArray;
use minicbor::{Decode, Decoder, Encode};

use crate::directive::Content;
use crate::{
    Action, Among, DirectiveError, LabelTag, Party, PartyError, Patient, Period, Provision, ProvisionId, Purpose,
    Terms, TermsError, UserRole, UserRoleError,
};

/// Largest encoded directive, in bytes.
pub const DIRECTIVE_BYTES_MAX: usize = 64 * 1024;

/// The number that every directive of this encoding starts with.
pub const DIRECTIVE_FORMAT: u64 = 2;

#[derive(Encode, Decode)]
#[cbor(array)]
struct DirectiveArray {
    #[n(0)]
    format: u64,
    #[n(1)]
    exchange: String,
    #[n(2)]
    patient: ByteArray<32>,
    #[n(3)]
    version: u64,
    #[n(4)]
    epoch: u64,
    #[n(5)]
    issued_at: u64,
    #[n(6)]
    previous: ByteArray<32>,
    #[n(7)]
    last_provision: u32,
    #[n(8)]
    provisions: Vec<ProvisionArray>,
}

// The optional field is not the last: minicbor leaves out trailing nulls, and the array's
// length would vary.
#[derive(Encode, Decode)]
#[cbor(array)]
struct ProvisionArray {
    #[n(0)]
    id: u32,
    #[n(1)]
    grantees: AmongArray,
    #[n(2)]
    roles: AmongArray,
    #[n(3)]
    actions: Vec<Action>,
    #[n(4)]
    purposes: Vec<Purpose>,
    #[n(5)]
    from: u64,
    #[n(6)]
    until: Option<u64>,
    #[n(7)]
    tags: Vec<ByteArray<16>>,
}

#[derive(Encode, Decode)]
#[cbor(array)]
struct AmongArray {
    #[n(0)]
    kind: AmongKind,
    #[n(1)]
    names: Vec<String>,
}

#[derive(Clone, Copy, Encode, Decode)]
#[cbor(index_only)]
enum AmongKind {
    #[n(0)]
    These,
    #[n(1)]
    AllBut,
}

pub(crate) fn encode(content: &Content) -> Result<Vec<u8>, DirectiveError> {
    let array = DirectiveArray {
        format: DIRECTIVE_FORMAT,
        exchange: content.exchange.clone(),
        patient: content.patient.to_bytes().into(),
        version: content.version,
        epoch: content.epoch,
        issued_at: content.issued_at,
        previous: content.previous.into(),
        last_provision: content.last_provision.as_u32(),
        provisions: content.provisions.iter().map(provision_array).collect(),
    };
    minicbor::to_vec(array).map_err(|_| DirectiveError::NotEncoded)
}

fn provision_array(provision: &Provision) -> ProvisionArray {
    let terms = provision.terms();
    ProvisionArray {
        id: provision.id().as_u32(),
        grantees: among_array(terms.grantees()),
        roles: among_array(terms.roles()),
        actions: terms.actions().to_vec(),
        purposes: terms.purposes().to_vec(),
        from: terms.period().from(),
        until: terms.period().until(),
        tags: terms.tags().iter().map(|tag| tag.to_bytes().into()).collect(),
    }
}

fn among_array<T: Ord + Clone + ToString>(among: &Among<T>) -> AmongArray {
    let kind = match among {
        Among::These(_) => AmongKind::These,
        Among::AllBut(_) => AmongKind::AllBut,
    };
    AmongArray { kind, names: among.names().iter().map(ToString::to_string).collect() }
}

fn among<T: FromStr<Err: Into<EncodingError>>>(array: &AmongArray, field: SetField) -> Result<Among<T>, EncodingError> {
    ascending(array.names.iter(), field)?;
    let names = array.names.iter().map(|name| name.parse().map_err(Into::into)).collect::<Result<_, _>>()?;
    Ok(match array.kind {
        AmongKind::These => Among::These(names),
        AmongKind::AllBut => Among::AllBut(names),
    })
}

/// Reads the fields. The result may still come from a non-canonical encoding; see
/// [`crate::Directive::from_bytes`].
pub(crate) fn decode(bytes: &[u8]) -> Result<Content, EncodingError> {
    if bytes.len() > DIRECTIVE_BYTES_MAX {
        return Err(EncodingError::TooLarge { bytes: bytes.len() });
    }
    let format = format_of(bytes).map_err(|cause| EncodingError::Malformed(cause.to_string()))?;
    if format != DIRECTIVE_FORMAT {
        return Err(EncodingError::UnsupportedFormat { found: format });
    }
    let array: DirectiveArray = minicbor::decode(bytes).map_err(|cause| EncodingError::Malformed(cause.to_string()))?;
    ascending(array.provisions.iter().map(|it| it.id), SetField::Provisions)?;
    let provisions = array.provisions.into_iter().map(provision).collect::<Result<_, _>>()?;
    Ok(Content {
        exchange: array.exchange,
        patient: Patient::new(array.patient.into()),
        version: array.version,
        epoch: array.epoch,
        issued_at: array.issued_at,
        previous: array.previous.into(),
        last_provision: ProvisionId::new(array.last_provision),
        provisions,
    })
}

/// The leading number, read before the shape that it promises.
fn format_of(bytes: &[u8]) -> Result<u64, minicbor::decode::Error> {
    let mut decoder = Decoder::new(bytes);
    decoder.array()?;
    decoder.u64()
}

fn provision(array: ProvisionArray) -> Result<Provision, EncodingError> {
    let tags = array.tags.into_iter().map(|tag| LabelTag::new(tag.into()));
    let tags: Vec<LabelTag> = tags.collect();
    ascending(array.actions.iter(), SetField::Actions)?;
    ascending(array.purposes.iter(), SetField::Purposes)?;
    ascending(tags.iter(), SetField::Tags)?;
    let period = Period::new(array.from, array.until)?;
    let grantees: Among<Party> = among(&array.grantees, SetField::Grantees)?;
    let terms = Terms::new(grantees, array.actions, tags, array.purposes, period)?;
    let roles: Among<UserRole> = among(&array.roles, SetField::Roles)?;
    let terms = terms.for_roles(roles)?;
    Ok(Provision::new(ProvisionId::new(array.id), terms))
}

/// Refuses a list that repeats itself or is out of order.
fn ascending<T: Ord>(items: impl Iterator<Item = T>, field: SetField) -> Result<(), EncodingError> {
    if items.is_sorted_by(|one, next| one < next) { Ok(()) } else { Err(EncodingError::NotAscending { field }) }
}

/// A list of a directive that must ascend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SetField {
    /// Provisions, by id.
    Provisions,
    /// A provision's hospitals.
    Grantees,
    /// A provision's roles.
    Roles,
    /// A provision's actions.
    Actions,
    /// A provision's purposes.
    Purposes,
    /// A provision's label tags.
    Tags,
}

impl std::fmt::Display for SetField {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Provisions => "provisions",
            Self::Grantees => "hospitals",
            Self::Roles => "roles",
            Self::Actions => "actions",
            Self::Purposes => "purposes",
            Self::Tags => "labels",
        })
    }
}

/// Why bytes are no directive. The fault is whoever encoded or altered them.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EncodingError {
    /// More than [`DIRECTIVE_BYTES_MAX`].
    #[error("the directive has {bytes} bytes, more than the {DIRECTIVE_BYTES_MAX} allowed")]
    TooLarge {
        /// Length found, in bytes.
        bytes: usize,
    },
    /// Not CBOR of the right shape; the text is for the log.
    #[error("the directive is not well formed: {0}")]
    Malformed(String),
    /// Another format than [`DIRECTIVE_FORMAT`].
    #[error("the directive has format {found}, but only {DIRECTIVE_FORMAT} is known here")]
    UnsupportedFormat {
        /// The number found.
        found: u64,
    },
    /// A list is out of order or repeats itself.
    #[error("the directive's {field} are not in ascending order, each once")]
    NotAscending {
        /// Which list.
        field: SetField,
    },
    /// A grantee is no identity.
    #[error(transparent)]
    Party(#[from] PartyError),
    /// A role is none.
    #[error(transparent)]
    Role(#[from] UserRoleError),
    /// A provision cannot stand.
    #[error(transparent)]
    Terms(#[from] TermsError),
    /// The fields contradict each other.
    #[error(transparent)]
    Directive(#[from] DirectiveError),
    /// The same content has another, deterministic encoding: a longer integer, an indefinite
    /// length, extra fields, bytes after the end.
    #[error("the directive is not in its one deterministic encoding")]
    NotCanonical,
}

impl EncodingError {
    /// Stable code for programs.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::TooLarge { .. } => "directive-too-large",
            Self::Malformed(_) => "directive-malformed",
            Self::UnsupportedFormat { .. } => "directive-unsupported-format",
            Self::NotAscending { .. } => "directive-not-ascending",
            Self::Party(_) => "directive-grantee",
            Self::Role(_) => "directive-role",
            Self::Terms(error) => error.code(),
            Self::Directive(error) => error.code(),
            Self::NotCanonical => "directive-not-canonical",
        }
    }
}
