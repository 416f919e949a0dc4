//! Who asks: the access token of a request, with the scopes that it grants. Tokens are the gateway's own (RFC 9068),
//! for its hospital's users and for apps; nothing is stored to know one again.

use std::sync::Arc;

use http::HeaderMap;
use http::header::AUTHORIZATION;
use sealwort_fhir::{IssueCode, ResourceId};
use sealwort_pki::UnixTime;
use sealwort_proto::Pseudonym;
use sealwort_proto::crypto::{Secret, random};
use sealwort_smart::token::GATEWAY_CLIENT;
use sealwort_smart::{Access, AccessToken, AccessTokens, KeptAccess, NumericDate, ScopeSet, TokenFault};

use crate::delegates::{Delegation, Right};
use crate::error::GatewayError;
use crate::trail::Trail;

/// The scope of a user of the hospital.
pub(crate) const WHOLE_USER: &str = "user/*.cruds";
/// Header that names the purpose of use; `TREAT` where it is absent.
pub const PURPOSE_HEADER: &str = "purpose-of-use";

/// A user of the hospital to whom a token is given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// Name, as the hospital knows them.
    pub name: String,
    /// Role, such as `physician`.
    pub role: String,
    /// Last second of validity, Unix time.
    pub expires: u64,
}

/// Who asks, for which purpose, and what their token allows.
#[derive(Debug, Clone)]
pub(crate) struct Asking {
    /// Name, as the hospital or the app's registration knows them.
    pub(crate) user: String,
    pub(crate) role: String,
    pub(crate) purpose: String,
    pub(crate) scopes: ScopeSet,
    /// The Patient that the token is about, for scopes that begin with `patient/`.
    pub(crate) patient: Option<ResourceId>,
    /// That patient's record, once it was looked up.
    pub(crate) context: Option<Pseudonym>,
    pub(crate) by: By,
    /// What the patient, or the hospital, lets this delegate do.
    pub(crate) delegation: Option<Arc<Delegation>>,
    pub(crate) turn: Turn,
    /// What their token allows and hangs on, for what goes on after the request.
    pub(crate) kept: Option<Arc<KeptAccess>>,
    /// What was touched and shown for it.
    pub(crate) trail: Trail,
}

/// Whose token it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum By {
    /// A user's of the hospital, made by the gateway itself.
    User,
    /// A patient's, or their delegate's, for that one record.
    Person,
    /// An app's, whatever it was granted.
    App,
}

/// When a write may be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Turn {
    /// After what waits for the same patient.
    Queued,
    /// Now: it is the first of those that wait.
    Now,
}

impl Asking {
    /// Whether it is a user of the hospital with every right, not an app.
    pub(crate) fn is_whole_user(&self) -> bool {
        self.by == By::User && WHOLE_USER.parse().is_ok_and(|whole: ScopeSet| self.scopes == whole)
    }

    /// Whether they decide about a patient: a user of the hospital, the patient, or a delegate with that right.
    pub(crate) fn may_decide_for(&self, patient: Pseudonym) -> bool {
        let granted = self.delegation.as_ref().is_none_or(|one| one.rights.contains(&Right::Consent));
        self.is_whole_user() || (self.by == By::Person && self.context == Some(patient) && granted)
    }

    /// Whether it is the patient, not somebody who acts for them.
    pub(crate) fn is_patient(&self, patient: Pseudonym) -> bool {
        self.by == By::Person && self.context == Some(patient) && self.delegation.is_none()
    }

    /// For what the gateway itself was asked before, or takes in from systems of its hospital.
    pub(crate) fn itself(user: String, role: String, purpose: String) -> Self {
        let scopes = WHOLE_USER.parse().unwrap_or_default();
        Self {
            user,
            role,
            purpose,
            scopes,
            patient: None,
            context: None,
            by: By::User,
            delegation: None,
            turn: Turn::Queued,
            kept: None,
            trail: Trail::default(),
        }
    }

    /// For whom this access was given.
    pub(crate) fn of(access: &Access, purpose: String) -> Result<Self, GatewayError> {
        let patient = access.patient.as_ref().map(|id| id.as_str().parse()).transpose();
        Ok(Self {
            user: access.user.as_ref().map_or_else(|| access.client_id.to_string(), |user| user.name.to_string()),
            role: access.user.as_ref().map_or_else(|| "app".to_owned(), |user| user.role.to_string()),
            purpose,
            scopes: access.scopes.clone(),
            context: None,
            by: match access.client_id.as_str() {
                GATEWAY_CLIENT if access.patient.is_some() => By::Person,
                GATEWAY_CLIENT => By::User,
                _ => By::App,
            },
            delegation: None,
            turn: Turn::Queued,
            kept: None,
            trail: Trail::default(),
            patient: patient.map_err(|_| refused("token-wrong", "the bearer token names no patient"))?,
        })
    }
}

/// The gateway's tokens, under its bearer key. `identity` names it.
pub(crate) fn tokens(key: &Secret, identity: &str) -> Result<AccessTokens, TokenFault> {
    AccessTokens::new(identity, identity, key.expose())
}

/// Issues a token to a user of the hospital.
pub(crate) fn issue(tokens: &AccessTokens, user: &User, now: UnixTime) -> Result<String, TokenFault> {
    let who = sealwort_smart::User {
        name: user.name.parse().map_err(|_| TokenFault::Foreign)?,
        role: user.role.parse().map_err(|_| TokenFault::Foreign)?,
        fhir_user: None,
        session: None,
        delegation: None,
    };
    let lifetime = user.expires.saturating_sub(now.as_secs());
    let issued = tokens.issue_user(&who, lifetime, random(), NumericDate::from_secs(now.as_secs()))?;
    Ok(issued.text.expose().to_owned())
}

/// The token of a request.
pub(crate) fn bearer(headers: &HeaderMap) -> Result<&str, GatewayError> {
    let mut values = headers.get_all(AUTHORIZATION).iter();
    let first = values.next().and_then(|value| value.to_str().ok());
    if values.next().is_some() {
        return Err(refused("token-wrong", "the request carries more than one Authorization header"));
    }
    first
        .and_then(|value| value.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map(|(_, token)| token.trim())
        .ok_or_else(|| refused("login-needed", "the request carries no bearer token"))
}

/// Lets a request in by what was found of its token, or says why not.
pub(crate) fn let_in(checked: Result<AccessToken, TokenFault>, headers: &HeaderMap) -> Result<Asking, GatewayError> {
    let token = checked.map_err(|fault| match fault {
        TokenFault::Expired => refused("token-expired", "the bearer token has expired"),
        TokenFault::Revoked => refused("token-revoked", "the bearer token was revoked, or its app is not registered"),
        _ => refused("token-wrong", "the bearer token is not one of this gateway's"),
    })?;
    let access = token.access();
    let asked = match headers.get(PURPOSE_HEADER).map(|value| value.to_str()) {
        None => None,
        Some(Ok(purpose)) => Some(purpose.to_owned()),
        Some(Err(_)) => {
            return Err(GatewayError::request(
                400,
                IssueCode::Value,
                "purpose-invalid",
                "the purpose of use is not text",
                "send a code of v3-PurposeOfUse, such as TREAT",
            ));
        }
    };
    // A purpose in the token is the only one that it is good for.
    let purpose = match (access.purpose.as_ref().map(|purpose| purpose.as_str().to_owned()), asked) {
        (Some(granted), Some(asked)) if granted != asked => {
            return Err(refused("purpose-not-granted", "the bearer token is for another purpose of use"));
        }
        (Some(granted), _) => granted,
        (None, asked) => asked.unwrap_or_else(|| "TREAT".to_owned()),
    };
    Ok(Asking { kept: Some(Arc::new(KeptAccess::from(&token))), ..Asking::of(access, purpose)? })
}

fn refused(code: &'static str, text: &str) -> GatewayError {
    GatewayError::request(
        401,
        IssueCode::Login,
        code,
        text,
        "send Authorization: Bearer with a token of this gateway: sealwort gateway token",
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_token_is_good_here_until_it_ends() {
        let own = tokens(&Secret::new([1; 32]), "sealwort://t/gateway/a").unwrap();
        let other_key = tokens(&Secret::new([2; 32]), "sealwort://t/gateway/a").unwrap();
        let other_name = tokens(&Secret::new([1; 32]), "sealwort://t/gateway/b").unwrap();
        let at = UnixTime::from_secs;
        let user = User { name: "dr-a".into(), role: "physician".into(), expires: 1100 };
        let token = issue(&own, &user, at(1000)).unwrap();
        let headers = |value: String| {
            let mut headers = HeaderMap::new();
            headers.insert(AUTHORIZATION, value.parse().unwrap());
            headers
        };
        let check = |tokens: &AccessTokens, headers: &HeaderMap, now| {
            let checked = tokens.verify(bearer(headers)?, NumericDate::from_secs(now));
            let_in(checked, headers)
        };
        let asking = check(&own, &headers(format!("Bearer {token}")), 1099).unwrap();
        assert_eq!((asking.user.as_str(), asking.purpose.as_str()), ("dr-a", "TREAT"));
        assert_eq!(asking.scopes.to_string(), "user/*.cruds");
        let cases = [
            ("token-expired", &own, format!("Bearer {token}"), 1100),
            ("token-wrong", &other_key, format!("Bearer {token}"), 1001),
            ("token-wrong", &other_name, format!("Bearer {token}"), 1001),
            ("token-wrong", &own, format!("Bearer x{token}"), 1001),
            ("token-wrong", &own, "Bearer nonsense".into(), 1001),
            ("login-needed", &own, format!("Basic {token}"), 1001),
        ];
        for (code, tokens, value, now) in cases {
            assert_eq!(check(tokens, &headers(value), now).unwrap_err().code(), code);
        }
        assert_eq!(check(&own, &HeaderMap::new(), 1).unwrap_err().status(), 401);
        let revoked = let_in(Err(TokenFault::Revoked), &HeaderMap::new());
        assert_eq!(revoked.unwrap_err().code(), "token-revoked");
    }
}
