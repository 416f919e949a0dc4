//! Every message that crosses a wire outside the sealed records: the nine steps of authentication, what
//! travels inside the channels, and refusals. Each is a CBOR array in deterministic form.

use minicbor::{Decode, Encode};

use crate::codec::Blob;
use crate::error::{ErrorKind, Fault, ProtocolError, Step};
use crate::halves::SubHalf;
use crate::id::{DepositId, Digest, LabelTag, Locator, Nonce, Pseudonym, SessionId, TokenId};
use crate::policy::Policies;
use crate::{SUITE, VERSION};

/// Largest authentication message, in bytes.
pub const HANDSHAKE_BYTES_MAX: usize = 32 * 1024;
/// Largest message inside a channel, in bytes: one entry of the largest size, or many small ones.
pub const MESSAGE_BYTES_MAX: usize = 20 * 1024 * 1024;
/// Bytes of entries after which a sender of many begins the next message.
pub const ENTRIES_BYTES_AIM: usize = 512 * 1024;
/// Entries after which a sender of many begins the next message.
pub const ENTRIES_PER_MESSAGE_MAX: usize = 512;
/// Largest deposit, in bytes of ciphertext and envelopes.
pub const DEPOSIT_BYTES_MAX: usize = 128 * 1024 * 1024;
/// Most entries in a deposit.
pub const DEPOSIT_ENTRIES_MAX: u32 = 100_000;

/// Leads every message.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Header {
    /// [`VERSION`].
    #[n(0)]
    pub version: u8,
    /// Name of the exchange.
    #[n(1)]
    pub exchange: String,
    /// The paper's step number.
    #[n(2)]
    pub step: u8,
    /// The session, or [`SessionId::NONE`] before it exists.
    #[n(3)]
    pub session: SessionId,
}

impl Header {
    /// The header of a message of this step.
    pub fn new(exchange: &str, step: u8, session: SessionId) -> Self {
        Self { version: VERSION, exchange: exchange.to_owned(), step, session }
    }

    /// Checks version, exchange, step and session against what is awaited here.
    pub fn check(&self, exchange: &str, step: u8, session: SessionId) -> Result<(), ErrorKind> {
        if self.version != VERSION {
            return Err(ErrorKind::Version { found: self.version });
        }
        if self.exchange != exchange {
            return Err(ErrorKind::WrongExchange);
        }
        if self.step != step {
            return Err(ErrorKind::WrongStep { expected: step, found: self.step });
        }
        if self.session != session {
            return Err(ErrorKind::WrongSession);
        }
        Ok(())
    }
}

/// Step 1, L → T: the gateway's certificate, a nonce and the archive wanted.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Hello {
    /// Step 1, no session yet.
    #[n(0)]
    pub header: Header,
    /// [`SUITE`].
    #[n(1)]
    pub suite: u16,
    /// The gateway's nonce.
    #[n(2)]
    pub nonce: Nonce,
    /// The gateway's statement certificate and its issuer.
    #[n(3)]
    pub certificate: Vec<Blob>,
    /// Identity of the archive wanted.
    #[n(4)]
    pub archive: String,
    /// The broker's cookie, or empty.
    #[n(5)]
    pub cookie: Blob,
}

/// T → L instead of step 3 when the broker is under load: send step 1 again with this cookie.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct CookieDemand {
    /// Step 1.
    #[n(0)]
    pub header: Header,
    /// To be sent back unchanged.
    #[n(1)]
    pub cookie: Blob,
}

/// Step 2, T → M.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Introduction {
    /// Step 2, no session yet.
    #[n(0)]
    pub header: Header,
    /// Step 1 as received.
    #[n(1)]
    pub hello: Blob,
    /// The broker's nonce.
    #[n(2)]
    pub nonce: Nonce,
    /// The broker's statement certificate and its issuer.
    #[n(3)]
    pub certificate: Vec<Blob>,
}

/// Step 3, M → T.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Acceptance {
    /// Step 3 of the session.
    #[n(0)]
    pub header: Header,
    /// The archive's nonce.
    #[n(1)]
    pub nonce: Nonce,
    /// The archive's statement certificate and its issuer.
    #[n(2)]
    pub certificate: Vec<Blob>,
}

/// Step 3, T → L.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Presentation {
    /// Step 3 of the session.
    #[n(0)]
    pub header: Header,
    /// The broker's nonce.
    #[n(1)]
    pub nonce: Nonce,
    /// The broker's statement certificate and its issuer.
    #[n(2)]
    pub certificate: Vec<Blob>,
    /// Step 3 as the archive sent it.
    #[n(3)]
    pub acceptance: Blob,
}

/// Steps 4, 6 and 8: an ephemeral key with policies, before its signature.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Share {
    /// Step 4, 6 or 8 of the session.
    #[n(0)]
    pub header: Header,
    /// X-Wing encapsulation key.
    #[n(1)]
    pub key: Blob,
    /// The sender's policies; in step 8 the gateway's, repeated.
    #[n(2)]
    pub policies: Policies,
}

/// Steps 5, 7 and 9: the encapsulation with the answer to the policies, before signature and confirmation.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Answer {
    /// Step 5, 7 or 9 of the session.
    #[n(0)]
    pub header: Header,
    /// X-Wing ciphertext.
    #[n(1)]
    pub encapsulation: Blob,
    /// Hash of the policies answered.
    #[n(2)]
    pub accepted: Digest,
    /// What the answering side promises.
    #[n(3)]
    pub policies: Policies,
}

/// A signed [`Share`].
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct SignedShare {
    /// The encoded [`Share`].
    #[n(0)]
    pub share: Blob,
    /// Signature over the transcript up to the share.
    #[n(1)]
    pub signature: Blob,
}

/// A signed [`Answer`] with key confirmation.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct SignedAnswer {
    /// The encoded [`Answer`].
    #[n(0)]
    pub answer: Blob,
    /// Signature over the transcript up to the answer.
    #[n(1)]
    pub signature: Blob,
    /// HMAC under the new confirmation key.
    #[n(2)]
    pub confirmation: Blob,
}

/// T → L after step 4: step 5, and step 8 as the archive sent it.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct BrokerAnswer {
    /// Step 5, a [`SignedAnswer`].
    #[n(0)]
    pub answer: Blob,
    /// Step 8, a [`SignedShare`] of the archive.
    #[n(1)]
    pub archive_share: Blob,
}

/// Step 9, L → T: the archive's part, and the gateway's confirmation to the broker inside the new L–T channel.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Completion {
    /// Step 9 for the archive, a [`SignedAnswer`].
    #[n(0)]
    pub for_archive: Blob,
    /// A channel message holding a [`Confirm`].
    #[n(1)]
    pub for_broker: Blob,
}

/// First message under a new key; it names the L–M channel where the sender knows it.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Confirm {
    /// `h_LM`, the hash of the L–M transcript.
    #[n(0)]
    pub binding: Digest,
}

/// T → M inside their channel: what the broker asks of the archive for one gateway's run.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum BrokerCall {
    /// Send step 8 for this session, with these policies of the gateway's.
    #[n(0)]
    Offer {
        /// The gateway's session.
        #[n(0)]
        session: SessionId,
        /// The gateway's policies from step 4.
        #[n(1)]
        policies: Policies,
    },
    /// Step 9 of this session, as the gateway sent it.
    #[n(1)]
    Complete {
        /// The gateway's session.
        #[n(0)]
        session: SessionId,
        /// A [`SignedAnswer`].
        #[n(1)]
        answer: Blob,
    },
}

/// M → T inside their channel.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum BrokerCallReply {
    /// A message for the gateway, relayed unread: step 8, or the archive's confirmation.
    #[n(0)]
    Relay(#[n(0)] Blob),
    /// Refused.
    #[n(1)]
    Refused(#[n(0)] Refusal),
}

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
    /// The user, as the hospital names them.
    #[n(5)]
    pub user: String,
    /// The user's role.
    #[n(6)]
    pub user_role: String,
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

/// L → M inside their channel, relayed.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum ToArchive {
    /// Register a patient: registration and first directive.
    #[n(0)]
    Register {
        /// A registration statement.
        #[n(0)]
        registration: Blob,
        /// A directive statement.
        #[n(1)]
        directive: Blob,
    },
    /// A new directive of a registered patient.
    #[n(1)]
    Direct {
        /// A directive statement.
        #[n(0)]
        directive: Blob,
    },
    /// Step 5 of the transmission.
    #[n(2)]
    Present {
        /// The token sealed under SK_TM.
        #[n(0)]
        sealed: Blob,
        /// Proof of possession: a signature over token id and `h_LM`.
        #[n(1)]
        possession: Blob,
    },
    /// Step 7, reading: entries after this sequence number.
    #[n(3)]
    Fetch {
        /// The authority granted in step 6.
        #[n(0)]
        authority: TokenId,
        /// Sequence number of the last entry that the gateway holds; 0 for none.
        #[n(1)]
        after: u64,
    },
    /// Step 7, writing: announces a deposit; its entries follow in frames.
    #[n(4)]
    Deposit {
        /// The authority granted in step 6.
        #[n(0)]
        authority: TokenId,
        /// The deposit.
        #[n(1)]
        deposit: DepositId,
        /// Sequence number of the last entry that the writer saw.
        #[n(2)]
        after: u64,
        /// Hash of that entry.
        #[n(3)]
        head: Digest,
        /// How many entries follow.
        #[n(4)]
        entries: u32,
    },
    /// Entries of the deposit announced before, in order.
    #[n(5)]
    Entries(#[n(0)] Vec<WireEntry>),
}

/// M → L inside their channel, relayed.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum FromArchive {
    /// Kept on disk.
    #[n(0)]
    Kept,
    /// Step 6 of the transmission.
    #[n(1)]
    Granted(#[n(0)] Box<ArchiveGrant>),
    /// Step 7, reading: entries in order.
    #[n(2)]
    Entries {
        /// Entries in order of their sequence numbers.
        #[n(0)]
        entries: Vec<WireEntry>,
        /// Certificates of authors that these entries are the first to need.
        #[n(1)]
        authors: Vec<Vec<Blob>>,
    },
    /// Step 7, reading: the end, with the archive's signed receipt of the head.
    #[n(3)]
    End {
        /// A receipt statement.
        #[n(0)]
        receipt: Blob,
    },
    /// Step 7, writing: stored.
    #[n(4)]
    Stored {
        /// A receipt statement.
        #[n(0)]
        receipt: Blob,
    },
    /// Step 7, writing: another entry came first; this is the head now.
    #[n(5)]
    Conflict {
        /// Sequence number of the head.
        #[n(0)]
        sequence: u64,
        /// Hash of the head.
        #[n(1)]
        head: Digest,
    },
    /// Refused.
    #[n(6)]
    Refused(#[n(0)] Refusal),
}

/// Step 6 of the transmission.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct ArchiveGrant {
    /// The authority, named by the token.
    #[n(0)]
    pub authority: TokenId,
    /// End of the authority, Unix seconds.
    #[n(1)]
    pub expires: u64,
    /// Labels granted, as tags. Sorted.
    #[n(2)]
    pub tags: Vec<LabelTag>,
    /// The archive's sub-halves.
    #[n(3)]
    pub sub_halves: Vec<SubHalf>,
    /// The registration as the archive pinned it.
    #[n(4)]
    pub registration: Blob,
    /// Sequence number of the head.
    #[n(5)]
    pub sequence: u64,
    /// Hash of the head.
    #[n(6)]
    pub head: Digest,
}

/// T → L inside their channel, unasked: what a gateway that holds patients open must know.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
pub enum Notice {
    /// Nothing happened; the broker is there. Sent at least every [`NOTICE_EVERY_SECONDS`].
    #[n(0)]
    Alive,
    /// A patient's directive changed.
    #[n(1)]
    ConsentChanged(#[n(0)] Pseudonym),
    /// A patient's log grew.
    #[n(2)]
    HeadMoved(#[n(0)] Pseudonym),
    /// Notices were lost: anything may have changed.
    #[n(3)]
    LookAnew,
}

/// Longest silence between two notices, in seconds.
pub const NOTICE_EVERY_SECONDS: u64 = 5;

/// One entry of a log as it travels.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct WireEntry {
    /// The signed envelope.
    #[n(0)]
    pub envelope: Blob,
    /// The ciphertext; `None` where its label is withheld from the reader.
    #[n(1)]
    pub ciphertext: Option<Blob>,
}

/// A refusal, in words that a peer may see.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub struct Refusal {
    /// Who refused: `broker` or `archive`.
    #[n(0)]
    pub by: String,
    /// Stable code.
    #[n(1)]
    pub code: String,
    /// What was wrong.
    #[n(2)]
    pub reason: String,
    /// What to do next.
    #[n(3)]
    pub remedy: String,
}

impl std::fmt::Display for Refusal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "the {} refused: {} ({}); {}", self.by, self.reason, self.code, self.remedy)
    }
}

impl Refusal {
    /// A refusal with its code, reason and remedy.
    pub fn new(by: Fault, code: &str, reason: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { by: by.as_str().to_owned(), code: code.to_owned(), reason: reason.into(), remedy: remedy.into() }
    }

    /// What the peer is told of a failed step.
    pub fn of(by: Fault, error: &ProtocolError) -> Self {
        let remedy = match &error.kind {
            ErrorKind::UnknownSession | ErrorKind::Exhausted => "run the nine steps again",
            ErrorKind::Clock { .. } => "set the clocks right",
            ErrorKind::Certificate(_) => "renew the certificate or ask the exchange's operator",
            ErrorKind::Policy { .. } => "change the policies in the configuration",
            ErrorKind::Codec(_) | ErrorKind::Version { .. } | ErrorKind::Suite { .. } => {
                "use software of the same protocol version"
            }
            _ => "the logs of both sides name the cause",
        };
        Self::new(by, error.code(), error.to_string(), remedy)
    }

    /// The error of the party that was refused.
    pub fn into_error(self, step: Step) -> ProtocolError {
        ProtocolError::new(step, Fault::Own, ErrorKind::Refused(Box::new(self)))
    }
}

impl Hello {
    /// Checks the suite.
    pub fn check_suite(&self) -> Result<(), ErrorKind> {
        if self.suite == SUITE { Ok(()) } else { Err(ErrorKind::Suite { found: self.suite }) }
    }
}
