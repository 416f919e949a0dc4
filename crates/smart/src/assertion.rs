//! How a confidential app proves who it is: a signed assertion that counts once (`private_key_jwt`; RFC 7523, section 3;
//! SMART App Launch 2.2, "Client Authentication: Asymmetric"). Only registered keys verify it. A key, an address of a
//! key or a further demand in its header is refused.

use std::collections::BTreeMap;

use jsonwebtoken::Algorithm;
/// The only type of assertion (RFC 7523, section 2.2).
pub use sealwort_oidc::ASSERTION_TYPE;
use serde::{Deserialize, Serialize};

use crate::app::App;
use crate::identifier::{ClientId, TokenId};
use crate::jws::{self, Compact};
use crate::time::NumericDate;

/// Algorithms that are accepted, as discovery names them.
pub const ASSERTION_ALGORITHMS: [&str; 2] = ["RS384", "ES384"];
/// Longest assertion, in bytes.
pub const ASSERTION_BYTES_MAX: usize = 8 * 1024;
/// Longest time that an assertion may still have before it ends, in seconds.
pub const ASSERTION_SECONDS_MAX: u64 = 5 * 60;
/// How far the clock of an app may be ahead of ours, in seconds.
pub const CLOCK_SKEW_SECONDS: u64 = 10;
/// Most assertions of one app that are remembered at a time.
pub const REPLAYS_PER_APP_MAX: usize = 4096;

/// Why an assertion does not count. The app made it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AssertionFault {
    /// Not a signed JWT.
    #[error("the client assertion is not a JWT in canonical compact form, or has a member twice")]
    Form,
    /// Something in the header.
    #[error("the header of the client assertion has exactly alg (RS384 or ES384), kid and typ JWT")]
    Header,
    /// No such key.
    #[error("the kid of the client assertion names no registered key for its alg; register the public key")]
    Key,
    /// Wrong signature.
    #[error("the signature of the client assertion is wrong; sign with the registered key")]
    Signature,
    /// For another app.
    #[error("iss and sub of the client assertion must both be the client id")]
    Client,
    /// For another server.
    #[error(
        "aud of the client assertion must be the URL of the token endpoint, or of the endpoint that is asked, exactly"
    )]
    Audience,
    /// Too old.
    #[error("the client assertion has expired; make a new one for each request")]
    Expired,
    /// Too long a life.
    #[error("the client assertion may end at most five minutes from now; check the clock")]
    TooLong,
    /// From the future.
    #[error("the client assertion is not valid yet; check the clock")]
    NotYet,
    /// Seen before.
    #[error("the client assertion was used before; take a new jti for each request")]
    Replayed,
    /// Too many in five minutes.
    #[error("the app sent too many client assertions in five minutes; reuse access tokens until they end")]
    TooMany,
}

/// Assertions that were used and have not yet ended. It is bounded per app, so that one app cannot shut out another.
/// Keep it over a restart, or an assertion could be used twice within five minutes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ReplayGuard(BTreeMap<ClientId, BTreeMap<TokenId, NumericDate>>);

impl ReplayGuard {
    /// Notes the use of an assertion that ends then; a second use is a fault.
    pub fn note(
        &mut self,
        client_id: &ClientId,
        id: TokenId,
        ends: NumericDate,
        now: NumericDate,
    ) -> Result<(), AssertionFault> {
        let seen = self.0.entry(client_id.clone()).or_default();
        if seen.get(&id).is_some_and(|ends| now < *ends) {
            return Err(AssertionFault::Replayed);
        }
        if seen.len() >= REPLAYS_PER_APP_MAX {
            seen.retain(|_, ends| now < *ends);
        }
        if seen.len() >= REPLAYS_PER_APP_MAX {
            return Err(AssertionFault::TooMany);
        }
        seen.insert(id, ends);
        Ok(())
    }

    /// Forgets what has ended.
    pub fn sweep(&mut self, now: NumericDate) {
        for seen in self.0.values_mut() {
            seen.retain(|_, ends| now < *ends);
        }
        self.0.retain(|_, seen| !seen.is_empty());
    }
}

/// The client id that an assertion claims. Nothing is verified yet.
pub(crate) fn claimed_by(assertion: &str) -> Result<ClientId, AssertionFault> {
    let compact = Compact::split(assertion, ASSERTION_BYTES_MAX).map_err(|_| AssertionFault::Form)?;
    let claims: Claims = jws::parse(&compact.claims).ok_or(AssertionFault::Form)?;
    claims.iss.parse().map_err(|_| AssertionFault::Client)
}

/// Verifies that the app signed the assertion for one of these endpoints, now and for the first time. The token endpoint
/// may stand for the whole server; at other endpoints libraries name the one that they ask (RFC 7523, section 3).
pub fn verify_assertion(
    assertion: &str,
    app: &App,
    endpoints: &[&str],
    replays: &mut ReplayGuard,
    now: NumericDate,
) -> Result<(), AssertionFault> {
    let compact = Compact::split(assertion, ASSERTION_BYTES_MAX).map_err(|_| AssertionFault::Form)?;
    let header: Header = jws::decode(compact.encoded_header)
        .and_then(|header| jws::parse(&header))
        .filter(|header: &Header| header.typ == "JWT")
        .ok_or(AssertionFault::Header)?;
    let algorithm = match header.alg.as_str() {
        "RS384" => Algorithm::RS384,
        "ES384" => Algorithm::ES384,
        _ => return Err(AssertionFault::Header),
    };
    // The key decides which algorithm it serves; the header can only agree.
    let key = app.key(&header.kid).filter(|key| key.algorithm == algorithm).ok_or(AssertionFault::Key)?;
    compact.verify(&key.key, key.algorithm).map_err(|_| AssertionFault::Signature)?;
    let claims: Claims = jws::parse(&compact.claims).ok_or(AssertionFault::Form)?;
    claims.check(app.client_id(), endpoints, now)?;
    replays.note(app.client_id(), claims.jti, claims.exp, now)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    alg: String,
    kid: String,
    typ: String,
}

/// Further claims mean nothing here and are passed over (RFC 7519, section 4).
#[derive(Deserialize)]
struct Claims {
    iss: String,
    sub: String,
    aud: Audience,
    exp: NumericDate,
    jti: TokenId,
    #[serde(default)]
    nbf: Option<NumericDate>,
    #[serde(default)]
    iat: Option<NumericDate>,
}

/// One audience, which some libraries write as a list. More than one would let another server use the assertion.
#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    ListOfOne([String; 1]),
}

impl Claims {
    fn check(&self, client_id: &ClientId, endpoints: &[&str], now: NumericDate) -> Result<(), AssertionFault> {
        let (Audience::One(audience) | Audience::ListOfOne([audience])) = &self.aud;
        if self.iss != client_id.as_str() || self.sub != client_id.as_str() {
            return Err(AssertionFault::Client);
        }
        if !endpoints.contains(&audience.as_str()) {
            return Err(AssertionFault::Audience);
        }
        if now >= self.exp {
            return Err(AssertionFault::Expired);
        }
        if self.exp > now.plus(ASSERTION_SECONDS_MAX + CLOCK_SKEW_SECONDS) {
            return Err(AssertionFault::TooLong);
        }
        let starts = self.nbf.max(self.iat);
        if starts.is_some_and(|starts| starts > now.plus(CLOCK_SKEW_SECONDS) || starts >= self.exp) {
            return Err(AssertionFault::NotYet);
        }
        Ok(())
    }
}
