//! A party's place in an exchange, as it keeps it: both keys, both chains, the
//! root and, for a gateway, the directory key. Reading it back checks that the
//! parts belong together; whether the certificates are still good is for
//! [`Trust`] and the clock.

use std::sync::Arc;

use serde::{Deserialize, Serialize};
use thiserror::Error;
use zeroize::Zeroizing;

use super::secret::DirectoryKey;
use crate::authority::renewal_time;
use crate::{
    CertificateChain, Identity, KeyUse, Role, SerialNumber, SigningKey, Trust, UnixTime, VerifiedParty, profile,
};

/// The longest membership file, in bytes of JSON.
pub const MEMBERSHIP_BYTES_MAX: usize = 64 * 1024;

/// A party's place in an exchange: everything it needs to take part.
#[derive(Clone, Debug)]
pub struct Membership {
    /// Who it is.
    pub identity: Identity,
    /// For TLS.
    pub hop: Credential,
    /// For messages and records.
    pub statement: Credential,
    /// Gateways alone have it.
    pub directory_key: Option<DirectoryKey>,
    /// The exchange's root. Just read from a file, it has no revocation list
    /// and believes nobody.
    pub trust: Trust,
}

/// One of our own keys and its certificate.
#[derive(Clone, Debug)]
pub struct Credential {
    /// The private key.
    pub key: Arc<SigningKey>,
    /// Its certificate and the issuing one.
    pub chain: CertificateChain,
    /// The certificate's serial number.
    pub serial: SerialNumber,
    /// First second of validity.
    pub not_before: UnixTime,
    /// Last second of validity.
    pub not_after: UnixTime,
}

/// A membership file is unusable; nobody but this computer's set-up is at fault.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("the membership file is damaged at {0}: restore it from a backup, or join again with a new invitation")]
pub struct MembershipError(pub(super) &'static str);

impl Credential {
    pub(super) fn new(key: SigningKey, chain: CertificateChain, party: &VerifiedParty) -> Self {
        Self {
            key: Arc::new(key),
            chain,
            serial: party.serial(),
            not_before: party.not_before(),
            not_after: party.not_after(),
        }
    }
}

impl Membership {
    /// When to renew: at two thirds of the lifetime of the certificate that
    /// ends first.
    pub fn renewal_time(&self) -> UnixTime {
        let time = |own: &Credential| renewal_time(own.not_before, own.not_after);
        time(&self.hop).min(time(&self.statement))
    }

    /// Last second in which both certificates are valid.
    pub fn not_after(&self) -> UnixTime {
        self.hop.not_after.min(self.statement.not_after)
    }

    /// The content of the membership file. It holds private keys.
    pub fn to_json(&self) -> Result<Zeroizing<String>, crate::KeyError> {
        let own = |own: &Credential| -> Result<CredentialJson, crate::KeyError> {
            Ok(CredentialJson {
                key: Zeroizing::new(hex::encode(own.key.to_pkcs8()?.as_slice())),
                chain: own.chain.certificates().iter().map(hex::encode).collect(),
            })
        };
        let json = MembershipJson {
            identity: self.identity.clone(),
            root: hex::encode(self.trust.root()),
            hop: own(&self.hop)?,
            statement: own(&self.statement)?,
            directory_key: self.directory_key.as_ref().map(DirectoryKey::expose_hex),
        };
        // A struct of texts always has a JSON form.
        Ok(Zeroizing::new(serde_json::to_string(&json).unwrap_or_default()))
    }

    /// Reads a membership file.
    pub fn from_json(json: &[u8]) -> Result<Self, MembershipError> {
        if json.len() > MEMBERSHIP_BYTES_MAX {
            return Err(MembershipError("the length"));
        }
        let read: MembershipJson = serde_json::from_slice(json).map_err(|_| MembershipError("the encoding"))?;
        let identity = read.identity;
        let root = hex::decode(&read.root).map_err(|_| MembershipError("the root"))?;
        let trust = Trust::new(identity.exchange.clone(), &root).map_err(|_| MembershipError("the root"))?;
        let directory_key = match &read.directory_key {
            Some(hex) => Some(DirectoryKey::from_hex(hex).ok_or(DIRECTORY_KEY)?),
            None => None,
        };
        if directory_key.is_some() != (identity.role == Role::Gateway) {
            return Err(DIRECTORY_KEY);
        }
        Ok(Self {
            hop: own(&read.hop, &identity, KeyUse::Hop)?,
            statement: own(&read.statement, &identity, KeyUse::Statement)?,
            identity,
            directory_key,
            trust,
        })
    }
}

fn own(read: &CredentialJson, identity: &Identity, key_use: KeyUse) -> Result<Credential, MembershipError> {
    let damaged = match key_use {
        KeyUse::Hop => MembershipError("the hop key or certificate"),
        KeyUse::Statement => MembershipError("the statement key or certificate"),
    };
    let der = hex::decode(&*read.key).map(Zeroizing::new);
    let key = der.ok().and_then(|der| SigningKey::from_pkcs8(&der).ok());
    let certificates: Result<_, _> = read.chain.iter().map(hex::decode).collect();
    let chain = certificates.ok().and_then(|certificates| CertificateChain::new(certificates).ok());
    let (Some(key), Some(chain)) = (key, chain) else {
        return Err(damaged);
    };
    match profile::party_fields(chain.leaf()) {
        Ok(fields)
            if fields.public_key == *key.public_key() && fields.identity == *identity && fields.key_use == key_use =>
        {
            Ok(Credential {
                key: Arc::new(key),
                chain,
                serial: fields.serial,
                not_before: fields.not_before,
                not_after: fields.not_after,
            })
        }
        _ => Err(damaged),
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct MembershipJson {
    identity: Identity,
    root: String,
    hop: CredentialJson,
    statement: CredentialJson,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    directory_key: Option<Zeroizing<String>>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct CredentialJson {
    key: Zeroizing<String>,
    chain: Vec<String>,
}

const DIRECTORY_KEY: MembershipError = MembershipError("the directory key");
