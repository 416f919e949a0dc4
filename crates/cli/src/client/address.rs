//! A gateway's address as people write it, and parts of a query made safe for a URL.

use std::fmt;
use std::fmt::Write as _;
use std::str::FromStr;

use http::uri::Authority;

use crate::error::CliError;

/// Where a gateway is: `http://host:port` or `https://host:port`, with a path in front if a proxy adds one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct GatewayAddress {
    https: bool,
    authority: String,
    host: String,
    prefix: String,
}

impl GatewayAddress {
    /// Whether it speaks TLS.
    pub(super) fn is_https(&self) -> bool {
        self.https
    }

    /// Host and port.
    pub(super) fn authority(&self) -> &str {
        &self.authority
    }

    /// The host: a name, or an IP address without brackets.
    pub(super) fn host(&self) -> &str {
        &self.host
    }

    /// A path of the gateway as its server sees it.
    pub(super) fn path(&self, path: &str) -> String {
        format!("{}{path}", self.prefix)
    }
}

impl fmt::Display for GatewayAddress {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.https { "https" } else { "http" };
        write!(out, "{scheme}://{}{}", self.authority, self.prefix)
    }
}

impl FromStr for GatewayAddress {
    type Err = CliError;

    fn from_str(text: &str) -> Result<Self, CliError> {
        let wrong =
            || CliError::Local(format!("`{text}` is not a gateway's address; write it like http://127.0.0.1:8080"));
        let (https, rest) = match (text.strip_prefix("https://"), text.strip_prefix("http://")) {
            (Some(rest), _) => (true, rest),
            (None, Some(rest)) => (false, rest),
            (None, None) => return Err(wrong()),
        };
        let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
        let parsed: Authority = authority.parse().map_err(|_| wrong())?;
        if path.contains(['?', '#']) || authority.contains('@') || parsed.host().is_empty() {
            return Err(wrong());
        }
        let port = parsed.port_u16().unwrap_or(if https { 443 } else { 80 });
        let host = parsed.host();
        let path = path.trim_end_matches('/');
        Ok(Self {
            https,
            authority: format!("{host}:{port}"),
            host: host.trim_start_matches('[').trim_end_matches(']').to_owned(),
            // The FHIR base is what people copy.
            prefix: path.strip_suffix("/fhir").unwrap_or(path).to_owned(),
        })
    }
}

/// A text as a part of a path or a query (RFC 3986, 2.3: all but unreserved characters are escaped).
pub(crate) fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(char::from(byte));
        } else {
            // Writing to a string cannot fail.
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn addresses_are_read_as_people_write_them() {
        for (text, shown, path) in [
            ("http://127.0.0.1:8080", "http://127.0.0.1:8080", "/status"),
            ("http://localhost:8080/", "http://localhost:8080", "/status"),
            ("http://localhost:8080/fhir", "http://localhost:8080", "/status"),
            ("https://ehr.example/gateway/fhir/", "https://ehr.example:443/gateway", "/gateway/status"),
            ("http://[::1]:1", "http://[::1]:1", "/status"),
        ] {
            let address: GatewayAddress = text.parse().unwrap();
            assert_eq!((address.to_string().as_str(), address.path("/status").as_str()), (shown, path));
        }
        for wrong in ["", "127.0.0.1:8080", "ftp://x", "http://", "http://a@b", "http://a/?x"] {
            assert!(wrong.parse::<GatewayAddress>().is_err(), "{wrong:?}");
        }
        assert_eq!("http://[::1]:1".parse::<GatewayAddress>().unwrap().host(), "::1");
    }

    #[test]
    fn everything_but_unreserved_characters_is_escaped() {
        assert_eq!(encode("urn:oid:1.2|Müller &"), "urn%3Aoid%3A1.2%7CM%C3%BCller%20%26");
    }
}
