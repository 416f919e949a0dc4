//! The compact form of JSON Web Signatures (RFC 7515), taken apart strictly: three parts, canonical base64url, a
//! bounded length, no member twice. Signatures and MACs are the library's; here is only what stands around them.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey};
use serde::de::{DeserializeOwned, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

/// Bytes as base64url without padding.
pub fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Bytes from base64url, in its only canonical form: no padding, no white space, no stray bits at the end.
pub fn decode(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

/// The parts of a token whose signature is not yet verified.
pub struct Compact<'a> {
    /// The header, encoded.
    pub encoded_header: &'a str,
    /// What is signed: header and claims, encoded, with the dot between.
    pub signing_input: &'a str,
    /// The claims, decoded.
    pub claims: Vec<u8>,
    signature: &'a str,
}

/// The text is not a signed token of the expected kind, or its signature is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JwsFault {
    /// Not three parts of canonical base64url within the limit.
    Form,
    /// Of another kind.
    Kind,
    /// The signature is wrong.
    Signature,
}

impl<'a> Compact<'a> {
    /// Takes a token apart.
    pub fn split(token: &'a str, bytes_max: usize) -> Result<Self, JwsFault> {
        if token.len() > bytes_max {
            return Err(JwsFault::Form);
        }
        let (signing_input, signature) = token.rsplit_once('.').ok_or(JwsFault::Form)?;
        let (encoded_header, claims) = signing_input.split_once('.').ok_or(JwsFault::Form)?;
        // A further dot fails here, for no base64url has one.
        let claims = decode(claims).ok_or(JwsFault::Form)?;
        decode(signature).ok_or(JwsFault::Form)?;
        Ok(Self { encoded_header, signing_input, claims, signature })
    }

    /// Verifies with the algorithm that the verifier chose, whatever the header says.
    pub fn verify(&self, key: &DecodingKey, algorithm: Algorithm) -> Result<(), JwsFault> {
        let good = jsonwebtoken::crypto::verify(self.signature, self.signing_input.as_bytes(), key, algorithm);
        if good.unwrap_or(false) { Ok(()) } else { Err(JwsFault::Signature) }
    }
}

/// Signs claims. The header has exactly these members in this order.
pub fn sign(header: &Header<'_>, claims: &impl Serialize, key: &EncodingKey, algorithm: Algorithm) -> Option<String> {
    let message =
        format!("{}.{}", encode(&serde_json::to_vec(header).ok()?), encode(&serde_json::to_vec(claims).ok()?));
    let signature = jsonwebtoken::crypto::sign(message.as_bytes(), key, algorithm).ok()?;
    Some(format!("{message}.{signature}"))
}

/// The header of a token that this crate makes.
#[derive(Serialize)]
pub struct Header<'a> {
    /// Of which kind the token is.
    pub typ: &'a str,
    /// How it is signed.
    pub alg: Algorithm,
    /// The key's name, where it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kid: Option<&'a str>,
}

/// A key for tokens that the gateway makes for itself: nobody else must be able to verify them, so a MAC does
/// (RFC 7518, section 3.2).
pub struct MacKey {
    sealing: EncodingKey,
    opening: DecodingKey,
}

impl MacKey {
    /// A key of these bytes.
    pub fn new(secret: &[u8; 32]) -> Option<Self> {
        Some(Self { sealing: EncodingKey::from_secret(secret).ok()?, opening: DecodingKey::from_secret(secret).ok()? })
    }

    /// Makes a token of this kind.
    pub fn seal(&self, typ: &str, claims: &impl Serialize) -> Option<String> {
        sign(&Header { typ, alg: Algorithm::HS256, kid: None }, claims, &self.sealing, Algorithm::HS256)
    }

    /// The claims of a token of this kind. As we made it, its header can only be one text: another one is refused
    /// unread, so nothing that a header can ask for is ever considered.
    pub fn open<T: DeserializeOwned>(&self, typ: &str, token: &str, bytes_max: usize) -> Result<T, JwsFault> {
        let compact = Compact::split(token, bytes_max)?;
        let header =
            serde_json::to_vec(&Header { typ, alg: Algorithm::HS256, kid: None }).map_err(|_| JwsFault::Kind)?;
        if compact.encoded_header != encode(&header) {
            return Err(JwsFault::Kind);
        }
        compact.verify(&self.opening, Algorithm::HS256)?;
        parse(&compact.claims).ok_or(JwsFault::Form)
    }
}

impl fmt::Debug for MacKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MacKey([redacted])")
    }
}

/// A value from JSON in which no object has a member twice, at any depth: two readers would take different ones.
pub fn parse<T: DeserializeOwned>(json: &[u8]) -> Option<T> {
    serde_json::from_slice::<NoMemberTwice>(json).ok()?;
    serde_json::from_slice(json).ok()
}

/// Any JSON, read only to see that no member is repeated. `serde_json` bounds the depth.
struct NoMemberTwice;

impl<'de> Deserialize<'de> for NoMemberTwice {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Self)
    }
}

impl<'de> Visitor<'de> for NoMemberTwice {
    type Value = Self;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON without repeated members")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self, A::Error> {
        let mut names = std::collections::BTreeSet::new();
        while let Some((name, Self)) = map.next_entry::<String, Self>()? {
            if !names.insert(name) {
                return Err(serde::de::Error::custom("a member is there twice"));
            }
        }
        Ok(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self, A::Error> {
        while items.next_element::<Self>()?.is_some() {}
        Ok(self)
    }

    fn visit_str<E>(self, _: &str) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_bool<E>(self, _: bool) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Self, E> {
        Ok(self)
    }

    fn visit_unit<E>(self) -> Result<Self, E> {
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_with_a_repeated_member_is_refused_at_any_depth() {
        let good = [r#"{"a":1,"b":{"a":1.50}}"#, r#"[{"a":1},{"a":-1}]"#, r#"{"a":[null,true,"x",1e400]}"#, "1"];
        for json in good {
            assert!(parse::<serde_json::Value>(json.as_bytes()).is_some(), "{json}");
        }
        let bad = [
            r#"{"a":1,"a":1}"#,
            r#"{"a":1,"\u0061":2}"#,
            r#"{"b":[{"a":1,"a":2}]}"#,
            r#"{"a":1}x"#,
            r#"{"a":1"#,
            "",
            "\u{feff}{}",
        ];
        for json in bad {
            assert!(parse::<serde_json::Value>(json.as_bytes()).is_none(), "{json}");
        }
        assert!(parse::<serde_json::Value>("[".repeat(100_000).as_bytes()).is_none());
    }

    #[test]
    fn a_token_of_another_kind_or_beyond_its_limit_is_not_opened() {
        let key = MacKey::new(&[1; 32]).unwrap();
        let text = key.seal("a", &7).unwrap();
        assert_eq!(key.open::<u8>("a", &text, text.len()), Ok(7));
        assert_eq!(key.open::<u8>("a", &text, text.len() - 1), Err(JwsFault::Form));
        assert_eq!(key.open::<u8>("b", &text, text.len()), Err(JwsFault::Kind));
        assert_eq!(MacKey::new(&[2; 32]).unwrap().open::<u8>("a", &text, text.len()), Err(JwsFault::Signature));
    }

    #[test]
    fn base64url_has_one_form() {
        assert_eq!(decode("AQ").as_deref(), Some(&[1_u8][..]));
        for text in ["AR", "AQ==", "AQ=", "A", "A Q", "AQ\n", "+/", "AQ.", "ＡＱ"] {
            assert_eq!(decode(text), None, "{text:?}");
        }
    }
}
