//! Who asks: bearer tokens that the gateway issues itself, until the hospital's own identity provider is
//! connected. A token is its claims and an HMAC over them, so that nothing needs to be stored.

use http::HeaderMap;
use http::header::AUTHORIZATION;
use sealwort_fhir::IssueCode;
use sealwort_pki::UnixTime;
use sealwort_proto::crypto::{Secret, mac, mac_matches};
use serde::{Deserialize, Serialize};

use crate::error::GatewayError;

/// Longest token accepted, in bytes.
const TOKEN_BYTES_MAX: usize = 2048;
/// Header that names the purpose of use; `TREAT` where it is absent.
pub const PURPOSE_HEADER: &str = "purpose-of-use";

/// A user who was let in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct User {
    /// Name, as the hospital knows them.
    pub name: String,
    /// Role, such as `physician`.
    pub role: String,
    /// Last second of validity, Unix time.
    pub expires: u64,
}

/// A user with the purpose of this request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Asking {
    pub(crate) user: User,
    pub(crate) purpose: String,
}

/// Issues a bearer token.
pub(crate) fn issue(key: &Secret, user: &User) -> String {
    let claims = hex::encode(serde_json::to_vec(user).unwrap_or_default());
    let tag = hex::encode(mac(key, "sealwort bearer v1", &[claims.as_bytes()]));
    format!("{claims}.{tag}")
}

/// Lets a request in, or says why not.
pub(crate) fn let_in(key: &Secret, headers: &HeaderMap, now: UnixTime) -> Result<Asking, GatewayError> {
    let refused = |code, text: &str| {
        GatewayError::request(
            401,
            IssueCode::Login,
            code,
            text,
            "send Authorization: Bearer with a token of this gateway: sealwort gateway token",
        )
    };
    let token = headers
        .get(AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.split_once(' '))
        .filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"))
        .map(|(_, token)| token.trim())
        .ok_or_else(|| refused("login-needed", "the request carries no bearer token"))?;
    let wrong = || refused("token-wrong", "the bearer token is not one of this gateway's");
    if token.len() > TOKEN_BYTES_MAX {
        return Err(wrong());
    }
    let (claims, tag) = token.split_once('.').ok_or_else(wrong)?;
    let tag = hex::decode(tag).map_err(|_| wrong())?;
    if !mac_matches(&mac(key, "sealwort bearer v1", &[claims.as_bytes()]), &tag) {
        return Err(wrong());
    }
    let user: User = hex::decode(claims).ok().and_then(|json| serde_json::from_slice(&json).ok()).ok_or_else(wrong)?;
    if user.expires < now.as_secs() {
        return Err(refused("token-expired", "the bearer token has expired"));
    }
    let purpose = match headers.get(PURPOSE_HEADER).map(|value| value.to_str()) {
        None => "TREAT".to_owned(),
        Some(Ok(purpose)) => purpose.to_owned(),
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
    Ok(Asking { user, purpose })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_token_is_good_here_until_it_ends() {
        let key = Secret::new([1; 32]);
        let user = User { name: "dr-a".into(), role: "physician".into(), expires: 100 };
        let token = issue(&key, &user);
        let headers = |value: String| {
            let mut headers = HeaderMap::new();
            headers.insert(AUTHORIZATION, value.parse().unwrap());
            headers
        };
        let at = UnixTime::from_secs;
        let asking = let_in(&key, &headers(format!("Bearer {token}")), at(100)).unwrap();
        assert_eq!((asking.user, asking.purpose.as_str()), (user, "TREAT"));
        let cases = [
            ("token-expired", key.clone(), format!("Bearer {token}"), 101),
            ("token-wrong", Secret::new([2; 32]), format!("Bearer {token}"), 1),
            ("token-wrong", key.clone(), format!("Bearer x{token}"), 1),
            ("token-wrong", key.clone(), "Bearer nonsense".into(), 1),
            ("login-needed", key.clone(), format!("Basic {token}"), 1),
        ];
        for (code, key, value, now) in cases {
            assert_eq!(let_in(&key, &headers(value), at(now)).unwrap_err().code(), code);
        }
        assert_eq!(let_in(&key, &HeaderMap::new(), at(1)).unwrap_err().status(), 401);
    }
}
