//! How a server says to a push service who it is (RFC 8292): a signed token for each service, under one key that browsers
//! are told when they subscribe.

use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey};
use serde::Serialize;

use crate::id_token::BadIdentityKey;
use crate::jws;
use crate::time::NumericDate;

/// Lifetime of a token, in seconds; at most a day (RFC 8292, section 2).
const TOKEN_SECONDS: u64 = 12 * 60 * 60;

/// A P-256 key that push services know this server by.
pub struct VapidKey {
    key: EncodingKey,
    public: String,
}

impl VapidKey {
    /// The key from its PKCS #8 DER.
    pub fn from_der(der: &[u8]) -> Result<Self, BadIdentityKey> {
        let key = EncodingKey::from_ec_der(der);
        let jwk = Jwk::from_encoding_key(&key, Algorithm::ES256).map_err(|_| BadIdentityKey)?;
        let jwk = serde_json::to_value(jwk).map_err(|_| BadIdentityKey)?;
        let part = |name: &str| jwk.get(name).and_then(|part| jws::decode(part.as_str()?));
        let (x, y) = part("x").zip(part("y")).ok_or(BadIdentityKey)?;
        // An uncompressed point (SEC 1, section 2.3.3).
        let public = jws::encode(&[&[4], &x[..], &y[..]].concat());
        Ok(Self { key, public })
    }

    /// The public key as browsers take it for `applicationServerKey`.
    pub fn public(&self) -> &str {
        &self.public
    }

    /// The header `Authorization` for the push service at an origin, such as `https://push.example`. `contact` is where
    /// its operator finds this server's, a `mailto:` or `https:` URL.
    pub fn authorization(&self, origin: &str, contact: &str, now: NumericDate) -> Option<String> {
        let claims = Claims { aud: origin, exp: now.plus(TOKEN_SECONDS), sub: contact };
        let header = jws::Header { typ: "JWT", alg: Algorithm::ES256, kid: None };
        let token = jws::sign(&header, &claims, &self.key, Algorithm::ES256)?;
        Some(format!("vapid t={token}, k={}", self.public))
    }
}

impl std::fmt::Debug for VapidKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "VapidKey({})", self.public)
    }
}

#[derive(Serialize)]
struct Claims<'a> {
    aud: &'a str,
    exp: NumericDate,
    sub: &'a str,
}
