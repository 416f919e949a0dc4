//! Names of apps, users, patients and tokens. Each has its type and its alphabet, so that none can stand in another's
//! place or carry something into a header, a URL or a log.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Longest identifier, in bytes.
pub const IDENTIFIER_BYTES_MAX: usize = 128;
/// Longest FHIR id, in bytes (FHIR R4, datatype `id`).
const FHIR_ID_BYTES_MAX: usize = 64;

/// The text is not an identifier of this kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadIdentifier(&'static str);

macro_rules! identifiers {
    ($($(#[$doc:meta])* $name:ident: $sound:expr, $rule:literal;)*) => {$(
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(into = "String", try_from = "String")]
        pub struct $name(Box<str>);

        impl $name {
            /// The identifier as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = BadIdentifier;

            fn from_str(text: &str) -> Result<Self, BadIdentifier> {
                let sound: fn(&str) -> bool = $sound;
                if sound(text) { Ok(Self(text.into())) } else { Err(BadIdentifier($rule)) }
            }
        }

        impl TryFrom<String> for $name {
            type Error = BadIdentifier;

            fn try_from(text: String) -> Result<Self, BadIdentifier> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(name: $name) -> Self {
                name.0.into()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
    )*};
}

identifiers! {
    /// A registered app (RFC 6749, section 2.2). URLs serve as well as words.
    ClientId: is_word, "a client id has 1 to 128 printable ASCII characters and no space, quote or backslash";
    /// A user, as the hospital knows them.
    UserName: is_line, "a user name has 1 to 128 characters in one line";
    /// What a user is, such as `physician`.
    Role: is_line, "a role has 1 to 128 characters in one line";
    /// A code of v3-PurposeOfUse, such as `TREAT`.
    Purpose: is_word, "a purpose has 1 to 128 printable ASCII characters and no space, quote or backslash";
    /// The logical id of a Patient on this FHIR server.
    PatientId: is_fhir_id, "a patient id has 1 to 64 characters out of letters, digits, '-' and '.'";
    /// The user as a resource of this FHIR server, such as `Practitioner/123`.
    FhirUser: is_fhir_user, "fhirUser is Patient, Practitioner, RelatedPerson or Person, a slash and an id";
    /// One approval by a user, and all tokens that come from it.
    GrantId: is_word, "a grant id has 1 to 128 printable ASCII characters and no space, quote or backslash";
    /// One session of a person who signed in at the hospital's provider.
    SessionId: is_word, "a session id has 1 to 128 printable ASCII characters and no space, quote or backslash";
    /// What one delegate may do for one patient, as the hospital wrote it down.
    DelegationId: is_word, "a delegation id has 1 to 128 printable ASCII characters and no space, quote or backslash";
    /// One token (RFC 7519, `jti`).
    TokenId: is_word, "a token id has 1 to 128 printable ASCII characters and no space, quote or backslash";
}

macro_rules! print {
    ($($name:ident)*) => {$(
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({:?})", stringify!($name), self.0)
            }
        }
    )*};
}

print! { ClientId UserName Role Purpose FhirUser GrantId SessionId DelegationId TokenId }

/// Who a token is about stays out of logs.
impl fmt::Debug for PatientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PatientId([redacted])")
    }
}

fn is_word(text: &str) -> bool {
    let byte = |byte: u8| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\';
    (1..=IDENTIFIER_BYTES_MAX).contains(&text.len()) && text.bytes().all(byte)
}

fn is_line(text: &str) -> bool {
    (1..=IDENTIFIER_BYTES_MAX).contains(&text.len()) && !text.contains(char::is_control) && text.trim() == text
}

fn is_fhir_id(text: &str) -> bool {
    (1..=FHIR_ID_BYTES_MAX).contains(&text.len())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'.')
}

fn is_fhir_user(text: &str) -> bool {
    // The types that SMART App Launch 2.2 allows here.
    text.split_once('/').is_some_and(|(kind, id)| {
        ["Patient", "Practitioner", "RelatedPerson", "Person"].contains(&kind) && is_fhir_id(id)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_patient_is_not_printed() {
        let (patient, app) = ("demo-1".parse::<PatientId>().unwrap(), "demo-1".parse::<ClientId>().unwrap());
        assert_eq!(
            (format!("{patient:?}"), format!("{app:?}")),
            ("PatientId([redacted])".into(), "ClientId(\"demo-1\")".into())
        );
    }

    #[test]
    fn identifiers_keep_to_their_alphabet() {
        let long = "a".repeat(129);
        let cases: [(&str, bool, bool, bool, bool); 11] = [
            // text, client id, user name, patient id, fhirUser
            ("a", true, true, true, false),
            ("https://bili-monitor.example.com", true, true, false, false),
            ("Practitioner/12", true, true, false, true),
            ("practitioner/12", true, true, false, false),
            ("Observation/12", true, true, false, false),
            ("Patient/", true, true, false, false),
            ("dr müller", false, true, false, false),
            ("a\nb", false, false, false, false),
            (" a", false, false, false, false),
            ("", false, false, false, false),
            (&long, false, false, false, false),
        ];
        for (text, client, user, patient, fhir_user) in cases {
            assert_eq!(text.parse::<ClientId>().is_ok(), client, "{text:?}");
            assert_eq!(text.parse::<UserName>().is_ok(), user, "{text:?}");
            assert_eq!(text.parse::<PatientId>().is_ok(), patient, "{text:?}");
            assert_eq!(text.parse::<FhirUser>().is_ok(), fhir_user, "{text:?}");
        }
    }
}
