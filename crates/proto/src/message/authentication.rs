//! The nine steps of authentication (`spec/protocol.md`, section 4) and the confirmation that follows them.

use minicbor::{Decode, Encode};

use super::Header;
use crate::SUITE;
use crate::codec::Blob;
use crate::error::ErrorKind;
use crate::id::{Digest, Nonce};
use crate::policy::Policies;

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

impl Hello {
    /// Checks the suite.
    pub fn check_suite(&self) -> Result<(), ErrorKind> {
        if self.suite == SUITE { Ok(()) } else { Err(ErrorKind::Suite { found: self.suite }) }
    }
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
