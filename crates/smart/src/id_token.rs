//! Identity tokens (OpenID Connect Core 1.0, section 2, with the claim `fhirUser` of SMART) and the public key that
//! verifies them. Unlike access tokens they are read by apps, so they are signed, never MACed.

use jsonwebtoken::jwk::{Jwk, KeyAlgorithm, PublicKeyUse, ThumbprintHash};
use jsonwebtoken::{Algorithm, EncodingKey};
use serde::Serialize;
use serde_json::Value;

use crate::identifier::{ClientId, FhirUser};
use crate::jws::{self, Header};
use crate::time::NumericDate;
use crate::token::{SecretText, User};

/// Lifetime of an identity token, in seconds: an app reads it once, on arrival.
pub const ID_TOKEN_SECONDS: u64 = 5 * 60;

/// The gateway's signing key for identity tokens, with its public part.
pub struct IdentityKey {
    key: EncodingKey,
    algorithm: IdentityAlgorithm,
    public: Jwk,
    kid: String,
}

/// How identity tokens are signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IdentityAlgorithm {
    /// RSA with SHA-256, in PKCS #1 DER. It alone makes `sso-openid-connect` true, for SMART demands it there.
    Rs256,
    /// P-256 with SHA-256, in PKCS #8 DER.
    Es256,
    /// P-384 with SHA-384, in PKCS #8 DER.
    Es384,
}

impl IdentityAlgorithm {
    /// As discovery names it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Es256 => "ES256",
            Self::Es384 => "ES384",
        }
    }

    const fn algorithm(self) -> Algorithm {
        match self {
            Self::Rs256 => Algorithm::RS256,
            Self::Es256 => Algorithm::ES256,
            Self::Es384 => Algorithm::ES384,
        }
    }
}

/// The key cannot be used. The hospital's administrator gave it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the key for identity tokens is not a private key of its algorithm in DER; make a new one")]
pub struct BadIdentityKey;

impl IdentityKey {
    /// The key from its DER. It is named by its thumbprint (RFC 7638).
    pub fn from_der(der: &[u8], algorithm: IdentityAlgorithm) -> Result<Self, BadIdentityKey> {
        let key = match algorithm {
            IdentityAlgorithm::Rs256 => EncodingKey::from_rsa_der(der),
            IdentityAlgorithm::Es256 | IdentityAlgorithm::Es384 => EncodingKey::from_ec_der(der),
        };
        let mut public = Jwk::from_encoding_key(&key, algorithm.algorithm()).map_err(|_| BadIdentityKey)?;
        let kid = public.thumbprint(ThumbprintHash::SHA256).map_err(|_| BadIdentityKey)?;
        public.common.key_id = Some(kid.clone());
        public.common.public_key_use = Some(PublicKeyUse::Signature);
        public.common.key_algorithm = Some(KeyAlgorithm::from(algorithm.algorithm()));
        Ok(Self { key, algorithm, public, kid })
    }

    /// How it signs.
    pub const fn algorithm(&self) -> IdentityAlgorithm {
        self.algorithm
    }

    /// The document behind `jwks_uri`: the public key alone.
    pub fn jwks(&self) -> Value {
        serde_json::json!({ "keys": [self.public] })
    }

    /// Says to one app who the user is.
    pub(crate) fn issue(&self, identity: &Identity<'_>, now: NumericDate) -> Option<SecretText> {
        let claims = Claims {
            iss: identity.issuer,
            sub: identity.user.name.as_str(),
            aud: identity.client_id,
            exp: now.plus(ID_TOKEN_SECONDS),
            iat: now,
            nonce: identity.nonce,
            fhir_user: identity.fhir_user,
        };
        let header = Header { typ: "JWT", alg: self.algorithm.algorithm(), kid: Some(&self.kid) };
        jws::sign(&header, &claims, &self.key, self.algorithm.algorithm()).map(SecretText::new)
    }
}

impl std::fmt::Debug for IdentityKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "IdentityKey({}, {})", self.algorithm.as_str(), self.kid)
    }
}

/// What an identity token says.
pub(crate) struct Identity<'a> {
    pub(crate) issuer: &'a str,
    pub(crate) client_id: &'a ClientId,
    pub(crate) user: &'a User,
    pub(crate) nonce: Option<&'a str>,
    /// Only where the scope `fhirUser` was granted.
    pub(crate) fhir_user: Option<&'a FhirUser>,
}

#[derive(Serialize)]
struct Claims<'a> {
    iss: &'a str,
    sub: &'a str,
    aud: &'a ClientId,
    exp: NumericDate,
    iat: NumericDate,
    #[serde(skip_serializing_if = "Option::is_none")]
    nonce: Option<&'a str>,
    #[serde(rename = "fhirUser", skip_serializing_if = "Option::is_none")]
    fhir_user: Option<&'a FhirUser>,
}
