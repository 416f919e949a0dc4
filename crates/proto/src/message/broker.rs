//! What gateway and broker say to each other inside their channel: registration and consent, steps 1 to 4 of the
//! transmission (`spec/protocol.md`, sections 7.1 and 7.2), and the broker's notices (section 7.6).

use minicbor::{Decode, Encode};

use super::{Header, LogPage, Refusal};
use crate::codec::Blob;
use crate::halves::SubHalf;
use crate::id::{Digest, EmergencyId, LabelTag, Locator, Nonce, Pseudonym};
use crate::policy::Policies;
use crate::receipt::Witness;

/// Longest silence between two notices, in seconds.
pub const NOTICE_EVERY_SECONDS: u64 = 5;
/// Most notices of emergency accesses in one message, and most of them that are acknowledged at once.
pub const EMERGENCIES_PER_MESSAGE_MAX: usize = 64;
/// Most witnessed heads in one message.
pub const HEADS_PER_MESSAGE_MAX: usize = 4096;

/// What a user wants and who the user is: step 1 of the transmission, signed by the gateway.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct AccessRequest {
    /// Step 1 of the transmission, in the authenticated session.
    #[n(0)]
    pub header: Header,
    /// The patient.
    #[n(1)]
    pub patient: Pseudonym,
    /// `read`, `write` or `emergency`.
    #[n(2)]
    pub action: String,
    /// Labels wanted, as tags. Sorted.
    #[n(3)]
    pub tags: Vec<LabelTag>,
    /// Purpose of use, a v3-PurposeOfUse code.
    #[n(4)]
    pub purpose: String,
    /// The emergency access by which it asks; with the action *emergency*, and with no other.
    #[n(5)]
    pub emergency: Option<Emergency>,
    /// The user, as the hospital names them.
    #[n(6)]
    pub user: String,
    /// The user's role.
    #[n(7)]
    pub user_role: String,
}

/// An emergency access, as the hospital of its user states it.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Emergency {
    /// Its name.
    #[n(0)]
    pub id: EmergencyId,
    /// When it began, Unix seconds.
    #[n(1)]
    pub begun_at: u64,
    /// The code of its reason, such as `unconscious`.
    #[n(2)]
    pub reason: String,
}

/// What the hospital that registered a patient is told of an emergency access at another one.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct EmergencyNotice {
    /// Its name.
    #[n(0)]
    pub id: EmergencyId,
    /// The patient.
    #[n(1)]
    pub patient: Pseudonym,
    /// Identity of the hospital at which the record was opened.
    #[n(2)]
    pub hospital: String,
    /// Who opened it.
    #[n(3)]
    pub user: String,
    /// Their role.
    #[n(4)]
    pub user_role: String,
    /// Purpose of use.
    #[n(5)]
    pub purpose: String,
    /// The code of the reason.
    #[n(6)]
    pub reason: String,
    /// When it began, Unix seconds.
    #[n(7)]
    pub begun_at: u64,
}

/// L → T inside their channel.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum ToBroker {
    /// Which patient does one of these blinded identifiers belong to?
    #[n(0)]
    Locate(#[n(0)] Vec<Locator>),
    /// The pseudonym that a new patient of these locators will have.
    #[n(1)]
    Allot(#[n(0)] Vec<Locator>),
    /// Register a patient: registration and first directive.
    #[n(2)]
    Register {
        /// A registration statement.
        #[n(0)]
        registration: Blob,
        /// A directive statement.
        #[n(1)]
        directive: Blob,
    },
    /// A new directive of a registered patient.
    #[n(3)]
    Direct {
        /// A directive statement.
        #[n(0)]
        directive: Blob,
    },
    /// The registration and newest directive of a patient, for its authority or a permitted party.
    #[n(4)]
    Consent(#[n(0)] Pseudonym),
    /// Step 1 of the transmission: a signed [`AccessRequest`].
    #[n(5)]
    Request(#[n(0)] Blob),
    /// Step 3 of the transmission.
    #[n(6)]
    Accept(#[n(0)] PolicyAcceptance),
    /// The archive's receipt of a log's head, so that the archive cannot keep the broker's witness behind by leaving
    /// out the frame that it owes the broker.
    #[n(7)]
    Witness(#[n(0)] Blob),
    /// Every head that the broker has witnessed of a log, above a sequence number.
    #[n(8)]
    Witnessed {
        /// The patient.
        #[n(0)]
        patient: Pseudonym,
        /// The sequence number.
        #[n(1)]
        after: u64,
    },
    /// Erase a patient.
    #[n(9)]
    Erase {
        /// An erasure statement.
        #[n(0)]
        erasure: Blob,
    },
    /// A patient's entries in the broker's audit log.
    #[n(10)]
    Log {
        /// A log request statement.
        #[n(0)]
        request: Blob,
        /// The first entry's number, or higher.
        #[n(1)]
        from: u64,
        /// The size of the log that the first page told; 0 to ask for that.
        #[n(2)]
        size: u64,
    },
    /// Which emergency accesses at other hospitals is this one to be told of? Those named are on its disk.
    #[n(11)]
    Emergencies(#[n(0)] Vec<EmergencyId>),
}

/// T → L inside their channel.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum FromBroker {
    /// The registration of the patient located.
    #[n(0)]
    Located(#[n(0)] Blob),
    /// No patient has such an identifier.
    #[n(1)]
    NotLocated,
    /// The pseudonym allotted.
    #[n(2)]
    Allotted(#[n(0)] Pseudonym),
    /// Kept on disk.
    #[n(3)]
    Kept,
    /// Registration and newest directive.
    #[n(4)]
    Consent {
        /// A registration statement.
        #[n(0)]
        registration: Blob,
        /// A directive statement.
        #[n(1)]
        directive: Blob,
    },
    /// Step 2 of the transmission.
    #[n(5)]
    Challenge(#[n(0)] PolicyChallenge),
    /// Step 4 of the transmission.
    #[n(6)]
    Token(#[n(0)] Box<TokenGrant>),
    /// Refused.
    #[n(7)]
    Refused(#[n(0)] Refusal),
    /// Witnessed heads, ascending, at most [`HEADS_PER_MESSAGE_MAX`]. Where there are as many, more may follow.
    #[n(8)]
    Heads(#[n(0)] Vec<Witness>),
    /// Erased, as this certificate says.
    #[n(9)]
    Erased {
        /// A certificate of erasure.
        #[n(0)]
        certificate: Blob,
    },
    /// Entries of the audit log.
    #[n(10)]
    Log(#[n(0)] Box<LogPage>),
    /// Emergency accesses, the oldest first, at most [`EMERGENCIES_PER_MESSAGE_MAX`].
    #[n(11)]
    Emergencies(#[n(0)] Vec<EmergencyNotice>),
}

/// Step 2 of the transmission: the policies that apply, a time stamp and a challenge.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct PolicyChallenge {
    /// The broker's policies in force for this session.
    #[n(0)]
    pub policies: Policies,
    /// TS, Unix seconds.
    #[n(1)]
    pub time_stamp: u64,
    /// Fresh challenge; names the pending request.
    #[n(2)]
    pub challenge: Nonce,
}

/// Step 3 of the transmission.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct PolicyAcceptance {
    /// TS + 1.
    #[n(0)]
    pub time_stamp: u64,
    /// The challenge of step 2.
    #[n(1)]
    pub challenge: Nonce,
    /// Hash of the policies accepted.
    #[n(2)]
    pub policies: Digest,
    /// `h_LM`: the L–M channel that the token is for.
    #[n(3)]
    pub binding: Digest,
}

/// Step 4 of the transmission.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct TokenGrant {
    /// The token sealed for the archive under SK_TM.
    #[n(0)]
    pub sealed: Blob,
    /// The same token, readable, for the gateway to verify.
    #[n(1)]
    pub token: Blob,
    /// The broker's sub-halves.
    #[n(2)]
    pub sub_halves: Vec<SubHalf>,
    /// The patient's registration statement.
    #[n(3)]
    pub registration: Blob,
}

/// T → L inside their channel, unasked: what a gateway that holds patients open must know.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum Notice {
    /// Nothing happened; the broker is there. Sent at least every [`NOTICE_EVERY_SECONDS`].
    #[n(0)]
    Alive,
    /// A patient's directive changed, or the patient was erased.
    #[n(1)]
    ConsentChanged(#[n(0)] Pseudonym),
    /// A patient's log grew.
    #[n(2)]
    HeadMoved(#[n(0)] Pseudonym),
    /// Notices were lost: anything may have changed.
    #[n(3)]
    LookAnew,
    /// An emergency access at another hospital is to be told of.
    #[n(4)]
    Emergency,
}
