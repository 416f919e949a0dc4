//! Addresses to which a user's browser is sent back with a code. Whoever receives the code can use it, so an address
//! counts only if it is registered and equal.

use serde::{Deserialize, Serialize};

/// Longest address, in bytes.
pub const REDIRECT_URI_BYTES_MAX: usize = 512;
/// Hosts that mean this very machine, as addresses. There a native app cannot know its port beforehand.
const LOOPBACK: [&str; 2] = ["http://127.0.0.1", "http://[::1]"];

/// A registered address: `https`, plain `http` on this machine only, or a private scheme of a native app with a dot in
/// it, such as `com.example.app:/done` (RFC 8252, section 7.1).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct RedirectUri(String);

/// The text cannot be registered as an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "an address is https://…, http:// on 127.0.0.1, [::1] or localhost, or a private scheme with a dot; it has no \
     fragment, user, wildcard or more than 512 characters"
)]
pub struct BadRedirectUri;

impl RedirectUri {
    /// The address as it was registered.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this registration covers the address of a request.
    pub(crate) fn admits(&self, uri: &str) -> bool {
        self.0 == uri || without_port(&self.0).is_some_and(|fixed| without_port(uri) == Some(fixed))
    }
}

/// Host and path of a loopback address, if its port is a port or absent.
fn without_port(uri: &str) -> Option<(&'static str, &str)> {
    let host = LOOPBACK.into_iter().find(|host| uri.starts_with(host))?;
    let rest = uri.strip_prefix(host)?;
    let Some(rest) = rest.strip_prefix(':') else {
        return (rest.is_empty() || rest.starts_with(['/', '?'])).then_some((host, rest));
    };
    let end = rest.find(|letter: char| !letter.is_ascii_digit()).unwrap_or(rest.len());
    let (port, path) = rest.split_at(end);
    let is_port = port.parse::<u16>().is_ok();
    (is_port && (path.is_empty() || path.starts_with(['/', '?']))).then_some((host, path))
}

fn is_sound(uri: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_graphic() && !b"\"#<>\\^`{|}*".contains(&byte);
    if uri.len() > REDIRECT_URI_BYTES_MAX || !uri.bytes().all(plain) {
        return false;
    }
    let Some((scheme, rest)) = uri.split_once(':') else { return false };
    let private = scheme.contains('.')
        && scheme.starts_with(|first: char| first.is_ascii_lowercase())
        && scheme.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b".-".contains(&byte));
    let authority = rest.strip_prefix("//").and_then(|rest| rest.split(['/', '?']).next()).unwrap_or_default();
    let local = uri.strip_prefix("http://localhost").is_some_and(|rest| rest.starts_with([':', '/', '?']));
    match scheme {
        "https" => !authority.is_empty() && !authority.contains('@'),
        "http" => without_port(uri).is_some() || (local && !authority.contains('@')),
        _ => private,
    }
}

impl TryFrom<String> for RedirectUri {
    type Error = BadRedirectUri;

    fn try_from(uri: String) -> Result<Self, BadRedirectUri> {
        if is_sound(&uri) { Ok(Self(uri)) } else { Err(BadRedirectUri) }
    }
}

impl From<RedirectUri> for String {
    fn from(uri: RedirectUri) -> Self {
        uri.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_that_lead_to_one_place_can_be_registered() {
        let good = [
            "https://app.example/after-auth",
            "https://app.example:8443/cb?x=1",
            "http://127.0.0.1/cb",
            "http://127.0.0.1:7777/cb",
            "http://[::1]/cb",
            "http://localhost:3000/cb",
            "com.example.app:/done",
        ];
        for uri in good {
            assert!(RedirectUri::try_from(uri.to_owned()).is_ok(), "{uri}");
        }
        let long = format!("https://app.example/{}", "a".repeat(500));
        let bad = [
            "http://app.example/cb",
            "https://",
            "https:///cb",
            "https:app.example",
            "https://user@app.example/cb",
            "https://*.example/cb",
            "https://app.example/cb#f",
            "https://app.example/c b",
            "https://app.exámple/cb",
            "https://app.example\\@evil.example/cb",
            "javascript:alert(1)",
            "data:text/html,x",
            "file:///etc/passwd",
            "HTTPS://app.example/cb",
            "http://127.0.0.1.evil.example/cb",
            "http://127.0.0.1:80@evil.example/cb",
            "http://localhost.evil.example/cb",
            "http://localhost:x@evil.example/cb",
            "app:/cb",
            "/cb",
            "",
            &long,
        ];
        for uri in bad {
            assert!(RedirectUri::try_from(uri.to_owned()).is_err(), "{uri}");
        }
    }

    #[test]
    fn a_request_must_name_a_registered_address_exactly() {
        let cases = [
            ("https://app.example/cb", "https://app.example/cb", true),
            ("https://app.example/cb", "https://app.example/cb/", false),
            ("https://app.example/cb", "https://app.example:443/cb", false),
            ("https://app.example/cb", "https://APP.example/cb", false),
            ("https://app.example/cb", "https://app.example/cb?x=1", false),
            ("http://127.0.0.1/cb", "http://127.0.0.1:51004/cb", true),
            ("http://127.0.0.1:1/cb", "http://127.0.0.1/cb", true),
            ("http://127.0.0.1/cb", "http://127.0.0.1:51004/cb2", false),
            ("http://127.0.0.1/cb", "http://127.0.0.1:65536/cb", false),
            ("http://127.0.0.1/cb", "http://127.0.0.1:/cb", false),
            ("http://127.0.0.1/cb", "http://127.0.0.1:80@evil.example/cb", false),
            ("http://127.0.0.1/cb", "http://127.0.0.2/cb", false),
            ("http://127.0.0.1/cb", "http://[::1]/cb", false),
            ("http://127.0.0.1/cb", "https://127.0.0.1/cb", false),
            ("http://localhost:3000/cb", "http://localhost:3001/cb", false),
        ];
        for (registered, asked, admitted) in cases {
            let uri = RedirectUri::try_from(registered.to_owned()).unwrap();
            assert_eq!(uri.admits(asked), admitted, "{registered} {asked}");
        }
    }
}
