//! The party's side: make the keys, ask, and check the answer before anything
//! is kept. Keys are made here and never sent; files and sockets are elsewhere.

use thiserror::Error;
use zeroize::Zeroizing;

use super::membership::{Credential, Membership};
use super::messages::{CrlResponse, EnrolRequest, Invitation, JoinResponse, RenewRequest};
use super::secret::DirectoryKey;
use crate::authority::make_csr;
use crate::{
    CertificateChain, CertificateError, Expected, Fingerprint, Identity, KeyAlgorithm, KeyError, KeyUse, Role,
    SigningKey, Trust, TrustError, UnixTime,
};

/// A party that asked to join and waits for the answer. Used once.
#[derive(Debug)]
pub struct JoinRequest {
    invitation: Invitation,
    keys: Keys,
}

/// A member that asked for its next certificates and waits for the answer.
#[derive(Debug)]
pub struct RenewalRequest {
    identity: Identity,
    keys: Keys,
}

/// What a successful request brings: the membership to keep and the revocation
/// list to keep beside it.
#[derive(Debug)]
pub struct Admission {
    /// Keys and certificates; its trust has the list set.
    pub membership: Membership,
    /// The newest revocation list with its issuing certificate.
    pub crl: CrlResponse,
}

/// Joining or renewing failed, and nothing was kept.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum JoinError {
    /// The invitation's time has passed.
    #[error("the invitation of {identity} expired at {expires}: ask the exchange's operator for a new one")]
    InvitationExpired {
        /// Who was invited.
        identity: Identity,
        /// When.
        expires: UnixTime,
    },
    /// Another root than the invitation's: somebody stands between.
    #[error(
        "the answer came under root {offered}, but the invitation names {pinned}: somebody stands between, or the invitation is for another exchange"
    )]
    WrongRoot {
        /// The invitation's.
        pinned: Fingerprint,
        /// The answer's.
        offered: Fingerprint,
    },
    /// A certificate for a key that is not ours.
    #[error("the authority certified another {0} key than the one we sent: somebody stands between")]
    WrongKey(KeyUse),
    /// A certificate is not what was asked for.
    #[error("the authority's answer is refused: {0}")]
    Certificate(#[from] CertificateError),
    /// The root or the revocation list is not believed.
    #[error("the authority's answer is refused: {0}")]
    Trust(#[from] TrustError),
    /// A gateway without a directory key, or another party with one.
    #[error("the authority's answer is refused: a directory key is for gateways, and for every gateway")]
    DirectoryKey,
    /// The directory key is another than before.
    #[error(
        "the authority's answer is refused: the exchange directory key changed, and with it every patient's locator"
    )]
    DirectoryKeyChanged,
    /// A key could not be made.
    #[error(transparent)]
    Key(#[from] KeyError),
}

impl JoinError {
    /// The stable code that scripts see.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::InvitationExpired { .. } => "invitation-expired",
            Self::WrongRoot { .. } => "wrong-root",
            Self::WrongKey(_) => "wrong-key",
            Self::Certificate(error) => error.code(),
            Self::Trust(error) => error.code(),
            Self::DirectoryKey => "directory-key",
            Self::DirectoryKeyChanged => "directory-key-changed",
            Self::Key(_) => "key-failed",
        }
    }
}

impl JoinRequest {
    /// Makes both keys for the invited party.
    pub fn new(invitation: Invitation, algorithm: KeyAlgorithm, now: UnixTime) -> Result<Self, JoinError> {
        if now > invitation.expires {
            return Err(JoinError::InvitationExpired { identity: invitation.identity, expires: invitation.expires });
        }
        let keys = Keys::make(&invitation.identity, algorithm)?;
        Ok(Self { invitation, keys })
    }

    /// The invitation that is being used.
    pub const fn invitation(&self) -> &Invitation {
        &self.invitation
    }

    /// The message to send.
    pub fn message(&self) -> EnrolRequest {
        EnrolRequest {
            identity: self.invitation.identity.clone(),
            secret: self.invitation.secret.clone(),
            hop: self.keys.hop_request.clone(),
            statement: self.keys.statement_request.clone(),
        }
    }

    /// The message to send, as a JSON body for `POST` [`super::ENROL_PATH`].
    pub fn to_json(&self) -> Zeroizing<String> {
        self.message().to_json()
    }

    /// Checks the answer: under the invitation's root, both certificates for
    /// the invited identity and for the keys made here, not revoked.
    pub fn accept(self, response: JoinResponse, now: UnixTime) -> Result<Admission, JoinError> {
        let Invitation { identity, root, .. } = self.invitation;
        let offered = Fingerprint::of(&response.root);
        if offered != root {
            return Err(JoinError::WrongRoot { pinned: root, offered });
        }
        let trust = Trust::new(identity.exchange.clone(), &response.root)?;
        accept(identity, self.keys, trust, response, now)
    }
}

impl RenewalRequest {
    /// Makes both new keys for a member.
    pub fn new(identity: Identity, algorithm: KeyAlgorithm) -> Result<Self, JoinError> {
        let keys = Keys::make(&identity, algorithm)?;
        Ok(Self { identity, keys })
    }

    /// The message to send.
    pub fn message(&self) -> RenewRequest {
        RenewRequest { hop: self.keys.hop_request.clone(), statement: self.keys.statement_request.clone() }
    }

    /// The message to send, as a JSON body for `POST` [`super::RENEW_PATH`].
    pub fn to_json(&self) -> Zeroizing<String> {
        self.message().to_json()
    }

    /// Checks the answer as [`JoinRequest::accept`] does, under the root already
    /// trusted. A gateway gives the directory key it has, which may not change.
    pub fn accept(
        self,
        response: JoinResponse,
        trust: &Trust,
        directory_key: Option<&DirectoryKey>,
        now: UnixTime,
    ) -> Result<Admission, JoinError> {
        if response.root != trust.root() {
            return Err(JoinError::WrongRoot {
                pinned: Fingerprint::of(trust.root()),
                offered: Fingerprint::of(&response.root),
            });
        }
        let admission = accept(self.identity, self.keys, trust.clone(), response, now)?;
        let offered = admission.membership.directory_key.as_ref();
        if directory_key.is_some() && offered != directory_key {
            return Err(JoinError::DirectoryKeyChanged);
        }
        Ok(admission)
    }
}

/// Both new keys and their requests.
#[derive(Debug)]
struct Keys {
    hop: SigningKey,
    statement: SigningKey,
    hop_request: Vec<u8>,
    statement_request: Vec<u8>,
}

impl Keys {
    fn make(identity: &Identity, algorithm: KeyAlgorithm) -> Result<Self, KeyError> {
        let hop = SigningKey::generate(algorithm)?;
        let statement = SigningKey::generate(algorithm)?;
        Ok(Self {
            hop_request: make_csr(&hop, identity, KeyUse::Hop)?,
            statement_request: make_csr(&statement, identity, KeyUse::Statement)?,
            hop,
            statement,
        })
    }
}

fn accept(
    identity: Identity,
    keys: Keys,
    mut trust: Trust,
    response: JoinResponse,
    now: UnixTime,
) -> Result<Admission, JoinError> {
    let issuing = response.hop.issuing();
    let issuing = issuing.ok_or(CertificateError::UnknownIssuer)?.to_vec();
    trust.set_crl(&response.crl, &issuing, now)?;
    let credential = |key: SigningKey, chain: CertificateChain, key_use: KeyUse| {
        let expected = Expected::role(identity.role, key_use).named(&identity.name);
        let party = trust.verify(&chain, &expected, now)?;
        if party.public_key() != key.public_key() {
            return Err(JoinError::WrongKey(key_use));
        }
        Ok(Credential::new(key, chain, &party))
    };
    let hop = credential(keys.hop, response.hop, KeyUse::Hop)?;
    let statement = credential(keys.statement, response.statement, KeyUse::Statement)?;
    if response.directory_key.is_some() != (identity.role == Role::Gateway) {
        return Err(JoinError::DirectoryKey);
    }
    Ok(Admission {
        membership: Membership { identity, hop, statement, directory_key: response.directory_key, trust },
        crl: CrlResponse { crl: response.crl, issuing },
    })
}
