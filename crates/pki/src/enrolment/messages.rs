//! The messages between a party and the `ca` service, and their one JSON form.
//! Reading one checks its shape and limits; what it asks for or grants is
//! checked by whoever receives it.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use thiserror::Error;
use zeroize::Zeroizing;

use super::secret::{DirectoryKey, InvitationSecret};
use crate::authority::REQUEST_BYTES_MAX;
use crate::{
    CERTIFICATE_BYTES_MAX, CHAIN_BYTES_MAX, CRL_BYTES_MAX, CertificateChain, ExchangeName, Fingerprint, Identity,
    PartyName, Role, UnixTime,
};

/// `POST`: an [`EnrolRequest`], answered by a [`JoinResponse`].
pub const ENROL_PATH: &str = "/v1/enrol";
/// `POST` over mutual TLS: a [`RenewRequest`], answered by a [`JoinResponse`].
pub const RENEW_PATH: &str = "/v1/renew";
/// `GET`: a [`CrlResponse`].
pub const CRL_PATH: &str = "/v1/crl";
/// `GET`: a [`RootResponse`].
pub const ROOT_PATH: &str = "/v1/root";

/// The longest request, invitation or refusal, in bytes of JSON.
pub const MESSAGE_BYTES_MAX: usize = 16 * 1024;

/// The longest message that carries a revocation list, in bytes of JSON.
pub const CRL_MESSAGE_BYTES_MAX: usize = 2 * (CRL_BYTES_MAX + 2 * CHAIN_BYTES_MAX + CERTIFICATE_BYTES_MAX) + 1024;

/// The longest address of an authority, in bytes.
pub const URL_BYTES_MAX: usize = 512;

/// What an operator hands to one new party: where to join, whom to believe, and
/// a secret that works once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invitation {
    /// Who is invited.
    pub identity: Identity,
    /// The authority's address, `https://host:port`.
    pub url: String,
    /// SHA-256 of the exchange's root certificate.
    pub root: Fingerprint,
    /// Works once.
    pub secret: InvitationSecret,
    /// Last second in which it works.
    pub expires: UnixTime,
}

/// Asks for a first pair of certificates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EnrolRequest {
    /// Who was invited.
    pub identity: Identity,
    /// The invitation's secret.
    pub secret: InvitationSecret,
    /// Certificate request of the hop key, DER.
    pub hop: Vec<u8>,
    /// Certificate request of the statement key, DER.
    pub statement: Vec<u8>,
}

/// Asks for the next pair of certificates; the connection says for whom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RenewRequest {
    /// Certificate request of the new hop key, DER.
    pub hop: Vec<u8>,
    /// Certificate request of the new statement key, DER.
    pub statement: Vec<u8>,
}

/// Grants a pair of certificates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinResponse {
    /// For TLS.
    pub hop: CertificateChain,
    /// For messages and records.
    pub statement: CertificateChain,
    /// The exchange's root certificate, DER.
    pub root: Vec<u8>,
    /// The newest revocation list, DER, of the issuing certificate in both chains.
    pub crl: Vec<u8>,
    /// For gateways alone.
    pub directory_key: Option<DirectoryKey>,
}

/// The newest revocation list and the certificate that signed it, for
/// [`crate::Trust::set_crl`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CrlResponse {
    /// DER.
    pub crl: Vec<u8>,
    /// DER.
    pub issuing: Vec<u8>,
}

/// The exchange and its root certificate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RootResponse {
    /// Its name.
    pub exchange: ExchangeName,
    /// DER.
    pub root: Vec<u8>,
}

/// Why the authority said no.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Refusal {
    /// Stable, for scripts.
    pub code: String,
    /// What is wrong, for people.
    pub message: String,
    /// What to do about it, for people.
    pub remedy: String,
}

/// A message is not one of ours; its sender is at fault.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum MessageError {
    /// Too long.
    #[error("the message has {found} bytes, more than {limit}")]
    TooLong {
        /// Bytes found.
        found: usize,
        /// Bytes allowed.
        limit: usize,
    },
    /// Longer than this many bytes, or cut off before its end.
    #[error("the message is longer than {0} bytes or was cut off")]
    Unreadable(usize),
    /// Not the JSON that is expected here.
    #[error("the message is not what is expected here: {0}")]
    Json(String),
    /// A field holds something else than it should.
    #[error("the message is malformed at {0:?}")]
    Field(&'static str),
}

impl Invitation {
    /// The content of an invitation file.
    pub fn to_json(&self) -> Zeroizing<String> {
        encode(&InvitationJson {
            exchange: self.identity.exchange.clone(),
            role: self.identity.role,
            name: self.identity.name.clone(),
            url: self.url.clone(),
            root: self.root,
            secret: self.secret.expose_hex(),
            expires: self.expires,
        })
    }

    /// Reads an invitation file.
    pub fn from_json(json: &[u8]) -> Result<Self, MessageError> {
        let read: InvitationJson = decode(json, MESSAGE_BYTES_MAX)?;
        if read.url.len() > URL_BYTES_MAX || !read.url.starts_with("https://") {
            return Err(MessageError::Field("url"));
        }
        Ok(Self {
            identity: Identity::new(read.exchange, read.role, read.name),
            url: read.url,
            root: read.root,
            secret: InvitationSecret::from_hex(&read.secret).ok_or(MessageError::Field("secret"))?,
            expires: read.expires,
        })
    }
}

impl EnrolRequest {
    /// The body to send.
    pub fn to_json(&self) -> Zeroizing<String> {
        encode(&EnrolJson {
            identity: self.identity.clone(),
            secret: self.secret.expose_hex(),
            hop: hex::encode(&self.hop),
            statement: hex::encode(&self.statement),
        })
    }

    /// Reads a received body.
    pub fn from_json(json: &[u8]) -> Result<Self, MessageError> {
        let read: EnrolJson = decode(json, MESSAGE_BYTES_MAX)?;
        Ok(Self {
            identity: read.identity,
            secret: InvitationSecret::from_hex(&read.secret).ok_or(MessageError::Field("secret"))?,
            hop: bytes(&read.hop, REQUEST_BYTES_MAX, "hop")?,
            statement: bytes(&read.statement, REQUEST_BYTES_MAX, "statement")?,
        })
    }
}

impl RenewRequest {
    /// The body to send.
    pub fn to_json(&self) -> Zeroizing<String> {
        encode(&RenewJson { hop: hex::encode(&self.hop), statement: hex::encode(&self.statement) })
    }

    /// Reads a received body.
    pub fn from_json(json: &[u8]) -> Result<Self, MessageError> {
        let read: RenewJson = decode(json, MESSAGE_BYTES_MAX)?;
        Ok(Self {
            hop: bytes(&read.hop, REQUEST_BYTES_MAX, "hop")?,
            statement: bytes(&read.statement, REQUEST_BYTES_MAX, "statement")?,
        })
    }
}

impl JoinResponse {
    /// The body to send.
    pub fn to_json(&self) -> Zeroizing<String> {
        encode(&JoinJson {
            hop: chain_to_hex(&self.hop),
            statement: chain_to_hex(&self.statement),
            root: hex::encode(&self.root),
            crl: hex::encode(&self.crl),
            directory_key: self.directory_key.as_ref().map(DirectoryKey::expose_hex),
        })
    }

    /// Reads a received body; [`super::JoinRequest::accept`] decides whether to
    /// believe it.
    pub fn from_json(json: &[u8]) -> Result<Self, MessageError> {
        let read: JoinJson = decode(json, CRL_MESSAGE_BYTES_MAX)?;
        let key = |hex: Zeroizing<String>| DirectoryKey::from_hex(&hex).ok_or(MessageError::Field("directory_key"));
        Ok(Self {
            hop: chain(&read.hop, "hop")?,
            statement: chain(&read.statement, "statement")?,
            root: bytes(&read.root, CERTIFICATE_BYTES_MAX, "root")?,
            crl: bytes(&read.crl, CRL_BYTES_MAX, "crl")?,
            directory_key: read.directory_key.map(key).transpose()?,
        })
    }
}

impl CrlResponse {
    /// The body to send.
    pub fn to_json(&self) -> String {
        plain(&CrlJson { crl: hex::encode(&self.crl), issuing: hex::encode(&self.issuing) })
    }

    /// Reads a received body; [`crate::Trust::set_crl`] decides whether to
    /// believe it.
    pub fn from_json(json: &[u8]) -> Result<Self, MessageError> {
        let read: CrlJson = decode(json, CRL_MESSAGE_BYTES_MAX)?;
        Ok(Self {
            crl: bytes(&read.crl, CRL_BYTES_MAX, "crl")?,
            issuing: bytes(&read.issuing, CERTIFICATE_BYTES_MAX, "issuing")?,
        })
    }
}

impl RootResponse {
    /// The body to send.
    pub fn to_json(&self) -> String {
        plain(&RootJson { exchange: self.exchange.clone(), root: hex::encode(&self.root) })
    }

    /// Reads a received body. Compare the root's fingerprint with the pinned one.
    pub fn from_json(json: &[u8]) -> Result<Self, MessageError> {
        let read: RootJson = decode(json, MESSAGE_BYTES_MAX)?;
        Ok(Self { exchange: read.exchange, root: bytes(&read.root, CERTIFICATE_BYTES_MAX, "root")? })
    }
}

impl Refusal {
    /// The body to send.
    pub fn to_json(&self) -> String {
        plain(self)
    }

    /// Reads a received body.
    pub fn from_json(json: &[u8]) -> Result<Self, MessageError> {
        decode(json, MESSAGE_BYTES_MAX)
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct InvitationJson {
    exchange: ExchangeName,
    role: Role,
    name: PartyName,
    url: String,
    root: Fingerprint,
    secret: Zeroizing<String>,
    expires: UnixTime,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct EnrolJson {
    identity: Identity,
    secret: Zeroizing<String>,
    hop: String,
    statement: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RenewJson {
    hop: String,
    statement: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct JoinJson {
    hop: Vec<String>,
    statement: Vec<String>,
    root: String,
    crl: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    directory_key: Option<Zeroizing<String>>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct CrlJson {
    crl: String,
    issuing: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RootJson {
    exchange: ExchangeName,
    root: String,
}

fn encode(message: &impl Serialize) -> Zeroizing<String> {
    Zeroizing::new(plain(message))
}

fn plain(message: &impl Serialize) -> String {
    // Structs of texts and numbers always have a JSON form.
    serde_json::to_string(message).unwrap_or_default()
}

fn decode<T: DeserializeOwned>(json: &[u8], limit: usize) -> Result<T, MessageError> {
    if json.len() > limit {
        return Err(MessageError::TooLong { found: json.len(), limit });
    }
    serde_json::from_slice(json).map_err(|error| MessageError::Json(error.to_string()))
}

fn bytes(text: &str, limit: usize, field: &'static str) -> Result<Vec<u8>, MessageError> {
    let bytes = hex::decode(text).map_err(|_| MessageError::Field(field))?;
    if bytes.is_empty() || bytes.len() > limit {
        return Err(MessageError::Field(field));
    }
    Ok(bytes)
}

fn chain(texts: &[String], field: &'static str) -> Result<CertificateChain, MessageError> {
    let certificates = texts.iter().map(|text| bytes(text, CERTIFICATE_BYTES_MAX, field)).collect::<Result<_, _>>()?;
    CertificateChain::new(certificates).map_err(|_| MessageError::Field(field))
}

fn chain_to_hex(chain: &CertificateChain) -> Vec<String> {
    chain.certificates().iter().map(hex::encode).collect()
}
