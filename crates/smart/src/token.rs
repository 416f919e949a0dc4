//! Access tokens of the gateway: JSON Web Tokens in the profile of RFC 9068. The gateway issues them and is the only
//! one who reads them, so they carry a MAC (HS256): nothing is stored, they survive a restart, and no key exists with
//! which anybody else could make or check one. What was revoked before its time is kept by the authorization server;
//! ask it, not this file, whether a token still counts.

pub use sealwort_oidc::SecretText;
use serde::{Deserialize, Serialize};

use crate::identifier::{
    ClientId, DelegationId, FhirUser, GrantId, PatientId, Purpose, Role, SessionId, TokenId, UserName,
};
use crate::jws::{JwsFault, MacKey, encode};
use crate::scope_set::ScopeSet;
use crate::time::NumericDate;

/// Lifetime of a token that an app has for itself (SMART Backend Services: at most five minutes).
pub const SYSTEM_TOKEN_SECONDS: u64 = 5 * 60;
/// Lifetime of a token that an app has from a user (SMART App Launch: at most one hour).
pub const APP_TOKEN_SECONDS: u64 = 60 * 60;
/// Longest lifetime of a token that the hospital's administrator makes for a user.
pub const USER_TOKEN_SECONDS_MAX: u64 = 7 * 24 * 60 * 60;
/// Longest token accepted, in bytes; it must fit into a header.
pub const TOKEN_BYTES_MAX: usize = 8 * 1024;
/// How far the clock may have been set back since a token was issued, in seconds.
const CLOCK_STEP_SECONDS: u64 = 60;
/// The client of tokens that the administrator makes; no app can have it, for apps may not begin with this letter.
pub const GATEWAY_CLIENT: &str = "~gateway";
/// RFC 9068, section 2.1.
const ACCESS_TOKEN_TYPE: &str = "at+jwt";

/// A person who is signed in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct User {
    /// As the hospital knows them.
    pub name: UserName,
    /// What they are, such as `physician`.
    pub role: Role,
    /// Their own resource on this server, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fhir_user: Option<FhirUser>,
    /// The session with which whatever they were given ends, if they signed in at the hospital's provider.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session: Option<SessionId>,
    /// The delegation by which they act for a patient, if they do. What it allows is the hospital's to know.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delegation: Option<DelegationId>,
}

/// What a token allows, and whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Access {
    /// The app that holds the token.
    pub client_id: ClientId,
    /// The user on whose behalf it acts; an app that acts for itself has none.
    pub user: Option<User>,
    /// What it may do.
    pub scopes: ScopeSet,
    /// The patient to whom scopes `patient/…` are confined.
    pub patient: Option<PatientId>,
    /// The purpose of use, if the token fixes one.
    pub purpose: Option<Purpose>,
    /// The approval that it comes from.
    pub grant: Option<GrantId>,
}

/// An access token that was verified. Only [`AccessTokens::verify`] makes one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessToken {
    access: Access,
    id: TokenId,
    issued: NumericDate,
    expires: NumericDate,
}

impl AccessToken {
    /// What it allows, and whom.
    pub const fn access(&self) -> &Access {
        &self.access
    }

    /// Its own name, for the audit trail and for revocation.
    pub const fn id(&self) -> &TokenId {
        &self.id
    }

    /// When it was issued.
    pub const fn issued(&self) -> NumericDate {
        self.issued
    }

    /// Whether it is good at another time, too.
    pub(crate) fn check_time(&self, now: NumericDate) -> Result<(), TokenFault> {
        in_time(self.issued, self.expires, now)
    }

    /// From this second on it is worth nothing.
    pub const fn expires(&self) -> NumericDate {
        self.expires
    }
}

/// What a token allowed and what that hangs on, kept for what goes on after the request that carried it, such as a
/// subscription. It lets nobody in; ask the authorization server what is left of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeptAccess {
    client_id: ClientId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    user: Option<User>,
    scopes: ScopeSet,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    patient: Option<PatientId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    purpose: Option<Purpose>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    grant: Option<GrantId>,
    id: TokenId,
    issued: NumericDate,
    expires: NumericDate,
}

impl From<&AccessToken> for KeptAccess {
    fn from(token: &AccessToken) -> Self {
        let Access { client_id, user, scopes, patient, purpose, grant } = token.access.clone();
        let (id, issued, expires) = (token.id.clone(), token.issued, token.expires);
        Self { client_id, user, scopes, patient, purpose, grant, id, issued, expires }
    }
}

impl KeptAccess {
    /// The delegation that it rests on; none of anybody but a delegate.
    pub fn delegation(&self) -> Option<&DelegationId> {
        self.user.as_ref()?.delegation.as_ref()
    }

    /// The app to which it was given for itself, without a user.
    pub fn of_app_itself(&self) -> Option<&ClientId> {
        self.user.is_none().then_some(&self.client_id)
    }

    /// Whether both were given to the same app and user.
    pub fn is_of_same(&self, other: &Self) -> bool {
        let name = |kept: &Self| kept.user.as_ref().map(|user| user.name.clone());
        self.client_id == other.client_id && name(self) == name(other)
    }

    /// The token that it was, without the text that let its bearer in.
    pub(crate) fn token(&self) -> AccessToken {
        let Self { client_id, user, scopes, patient, purpose, grant, id, issued, expires } = self.clone();
        AccessToken { access: Access { client_id, user, scopes, patient, purpose, grant }, id, issued, expires }
    }
}

/// "On or after" the expiration a token is not accepted (RFC 7519, section 4.1.4), and not long before it was issued.
fn in_time(issued: NumericDate, expires: NumericDate, now: NumericDate) -> Result<(), TokenFault> {
    if now >= expires {
        return Err(TokenFault::Expired);
    }
    if issued > now.plus(CLOCK_STEP_SECONDS) {
        return Err(TokenFault::NotYet);
    }
    Ok(())
}

/// A token that was just made.
#[derive(Debug, Clone)]
pub struct IssuedToken {
    /// What the app sends as `Bearer`.
    pub text: SecretText,
    /// Its name.
    pub id: TokenId,
    /// When it ends.
    pub expires: NumericDate,
}

/// Why a token is not let in, or cannot be made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TokenFault {
    /// Nothing that this gateway issues.
    #[error("the bearer token is not an access token of this gateway; ask for a new one")]
    Foreign,
    /// Altered, or made with another key.
    #[error("the bearer token was altered or made with an older key of this gateway; ask for a new one")]
    Signature,
    /// Past its time.
    #[error("the access token has expired; use the refresh token, or ask for a new one")]
    Expired,
    /// Issued in the future.
    #[error("the access token is not valid yet; the clock of this gateway was set back")]
    NotYet,
    /// Revoked before its time.
    #[error("the access token was revoked; ask the user for a new approval")]
    Revoked,
    /// The administrator asked for too long a life.
    #[error("a user's token lives at least one second and at most seven days")]
    Lifetime,
    /// The token would be too long for a header.
    #[error("the token would be too long; grant fewer scopes")]
    TooLong,
    /// The library could not sign.
    #[error("the token could not be signed; check the gateway's token key")]
    Signing,
}

/// The gateway's access tokens.
#[derive(Debug)]
pub struct AccessTokens {
    issuer: String,
    audience: String,
    key: MacKey,
}

impl AccessTokens {
    /// `issuer` is the URL of the authorization server, `audience` the base URL of the FHIR server. The secret is the
    /// gateway's own and serves nothing else.
    pub fn new(issuer: &str, audience: &str, secret: &[u8; 32]) -> Result<Self, TokenFault> {
        let key = MacKey::new(secret).ok_or(TokenFault::Signing)?;
        Ok(Self { issuer: issuer.to_owned(), audience: audience.to_owned(), key })
    }

    /// A token for an app. With a user it lives [`APP_TOKEN_SECONDS`], without one [`SYSTEM_TOKEN_SECONDS`].
    pub fn issue(&self, access: &Access, random: [u8; 32], now: NumericDate) -> Result<IssuedToken, TokenFault> {
        let lifetime = if access.user.is_some() { APP_TOKEN_SECONDS } else { SYSTEM_TOKEN_SECONDS };
        self.issue_for(access, lifetime, random, now)
    }

    /// A token with which a user of the hospital has all that their role allows: scope `user/*.cruds`.
    pub fn issue_user(
        &self,
        user: &User,
        lifetime_seconds: u64,
        random: [u8; 32],
        now: NumericDate,
    ) -> Result<IssuedToken, TokenFault> {
        let scopes = "user/*.cruds".parse().map_err(|_| TokenFault::Signing)?;
        self.issue_by_gateway(user, (scopes, None, None), lifetime_seconds, random, now)
    }

    /// A token with which a patient, or a patient's delegate, has these scopes in that one record.
    pub fn issue_person(
        &self,
        user: &User,
        (scopes, patient, purpose): (&ScopeSet, PatientId, Purpose),
        lifetime_seconds: u64,
        random: [u8; 32],
        now: NumericDate,
    ) -> Result<IssuedToken, TokenFault> {
        self.issue_by_gateway(user, (scopes.clone(), Some(patient), Some(purpose)), lifetime_seconds, random, now)
    }

    fn issue_by_gateway(
        &self,
        user: &User,
        (scopes, patient, purpose): (ScopeSet, Option<PatientId>, Option<Purpose>),
        lifetime_seconds: u64,
        random: [u8; 32],
        now: NumericDate,
    ) -> Result<IssuedToken, TokenFault> {
        if !(1..=USER_TOKEN_SECONDS_MAX).contains(&lifetime_seconds) {
            return Err(TokenFault::Lifetime);
        }
        let client_id = GATEWAY_CLIENT.parse().map_err(|_| TokenFault::Signing)?;
        let access = Access { client_id, user: Some(user.clone()), scopes, patient, purpose, grant: None };
        self.issue_for(&access, lifetime_seconds, random, now)
    }

    /// Verifies the token of a request.
    pub fn verify(&self, token: &str, now: NumericDate) -> Result<AccessToken, TokenFault> {
        let claims: Claims = self.key.open(ACCESS_TOKEN_TYPE, token, TOKEN_BYTES_MAX).map_err(|fault| match fault {
            JwsFault::Form | JwsFault::Kind => TokenFault::Foreign,
            JwsFault::Signature => TokenFault::Signature,
        })?;
        if claims.iss != self.issuer || claims.aud != self.audience {
            return Err(TokenFault::Foreign);
        }
        in_time(claims.iat, claims.exp, now)?;
        claims.verified().ok_or(TokenFault::Foreign)
    }

    fn issue_for(
        &self,
        access: &Access,
        lifetime_seconds: u64,
        random: [u8; 32],
        now: NumericDate,
    ) -> Result<IssuedToken, TokenFault> {
        let id: TokenId = encode(&random).parse().map_err(|_| TokenFault::Signing)?;
        let expires = now.plus(lifetime_seconds);
        let user = access.user.as_ref();
        let claims = Claims {
            iss: self.issuer.clone(),
            aud: self.audience.clone(),
            sub: user.map_or_else(|| access.client_id.to_string(), |user| user.name.to_string()),
            client_id: access.client_id.clone(),
            scope: access.scopes.clone(),
            patient: access.patient.clone(),
            role: user.map(|user| user.role.clone()),
            fhir_user: user.and_then(|user| user.fhir_user.clone()),
            purpose: access.purpose.clone(),
            grant: access.grant.clone(),
            sid: user.and_then(|user| user.session.clone()),
            delegation: user.and_then(|user| user.delegation.clone()),
            jti: id.clone(),
            iat: now,
            exp: expires,
        };
        let text = self.key.seal(ACCESS_TOKEN_TYPE, &claims).map(SecretText::new).ok_or(TokenFault::Signing)?;
        if text.expose().len() > TOKEN_BYTES_MAX {
            return Err(TokenFault::TooLong);
        }
        Ok(IssuedToken { text, id, expires })
    }
}

/// RFC 9068, section 2.2, with the launch context of SMART. A role is there exactly where a user is.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Claims {
    iss: String,
    aud: String,
    sub: String,
    client_id: ClientId,
    scope: ScopeSet,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    patient: Option<PatientId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    role: Option<Role>,
    #[serde(default, rename = "fhirUser", skip_serializing_if = "Option::is_none")]
    fhir_user: Option<FhirUser>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    purpose: Option<Purpose>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    grant: Option<GrantId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    sid: Option<SessionId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    delegation: Option<DelegationId>,
    jti: TokenId,
    iat: NumericDate,
    exp: NumericDate,
}

impl Claims {
    fn verified(self) -> Option<AccessToken> {
        let user = match self.role {
            Some(role) => {
                let (name, fhir_user, session) = (self.sub.parse().ok()?, self.fhir_user, self.sid);
                Some(User { name, role, fhir_user, session, delegation: self.delegation })
            }
            None if self.fhir_user.is_some() || self.sid.is_some() || self.delegation.is_some() => return None,
            None if self.sub == self.client_id.as_str() => None,
            None => return None,
        };
        let access = Access {
            client_id: self.client_id,
            user,
            scopes: self.scope,
            patient: self.patient,
            purpose: self.purpose,
            grant: self.grant,
        };
        Some(AccessToken { access, id: self.jti, issued: self.iat, expires: self.exp })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> NumericDate {
        NumericDate::from_secs(seconds)
    }

    fn tokens(secret: u8) -> AccessTokens {
        AccessTokens::new("https://gateway.example", "https://gateway.example/fhir", &[secret; 32]).unwrap()
    }

    fn physician() -> User {
        User {
            name: "dr-a".parse().unwrap(),
            role: "physician".parse().unwrap(),
            fhir_user: Some("Practitioner/7".parse().unwrap()),
            session: Some("s1".parse().unwrap()),
            delegation: Some("d1".parse().unwrap()),
        }
    }

    fn app(user: Option<User>) -> Access {
        Access {
            client_id: "trend".parse().unwrap(),
            user,
            scopes: "launch/patient patient/Observation.rs?category=a".parse().unwrap(),
            patient: Some("demo-1".parse().unwrap()),
            purpose: Some("TREAT".parse().unwrap()),
            grant: Some("g1".parse().unwrap()),
        }
    }

    #[test]
    fn a_token_gives_back_what_went_in_until_it_ends() {
        for (user, lifetime) in [(Some(physician()), APP_TOKEN_SECONDS), (None, SYSTEM_TOKEN_SECONDS)] {
            let access = app(user);
            let issued = tokens(1).issue(&access, [9; 32], at(1000)).unwrap();
            let verify = |now| tokens(1).verify(issued.text.expose(), at(now));
            let token = verify(1000).unwrap();
            assert_eq!((token.access(), token.id()), (&access, &issued.id));
            assert_eq!((token.issued(), token.expires()), (at(1000), at(1000 + lifetime)));
            assert!(verify(1000 + lifetime - 1).is_ok());
            assert_eq!(verify(1000 + lifetime).unwrap_err(), TokenFault::Expired);
            assert_eq!(verify(939).unwrap_err(), TokenFault::NotYet);
            assert!(verify(940).is_ok());
        }
    }

    #[test]
    fn a_users_token_has_all_of_the_user_and_a_bounded_life() {
        let issue = |seconds| tokens(1).issue_user(&physician(), seconds, [9; 32], at(0));
        let token = tokens(1).verify(issue(USER_TOKEN_SECONDS_MAX).unwrap().text.expose(), at(1)).unwrap();
        assert_eq!(token.access().scopes.to_string(), "user/*.cruds");
        assert_eq!(token.access().user, Some(physician()));
        assert_eq!(token.access().client_id.as_str(), GATEWAY_CLIENT);
        for seconds in [0, USER_TOKEN_SECONDS_MAX + 1, u64::MAX] {
            assert_eq!(issue(seconds).unwrap_err(), TokenFault::Lifetime);
        }
    }

    #[test]
    fn a_token_counts_with_one_key_issuer_and_audience() {
        let text = tokens(1).issue(&app(None), [9; 32], at(0)).unwrap().text;
        let other = |issuer: &str, audience: &str| AccessTokens::new(issuer, audience, &[1; 32]).unwrap();
        let cases = [
            (tokens(2), TokenFault::Signature),
            (other("https://gateway.example/", "https://gateway.example/fhir"), TokenFault::Foreign),
            (other("https://gateway.example", "https://other.example/fhir"), TokenFault::Foreign),
        ];
        for (tokens, fault) in cases {
            assert_eq!(tokens.verify(text.expose(), at(1)).unwrap_err(), fault);
        }
    }

    #[test]
    fn nothing_printed_tells_a_token_or_a_key() {
        let tokens = tokens(7);
        let issued = tokens.issue(&app(None), [9; 32], at(0)).unwrap();
        assert!(!format!("{issued:?}").contains(issued.text.expose()));
        assert!(format!("{tokens:?}").contains("MacKey([redacted])"));
    }
}
