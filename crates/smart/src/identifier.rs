//! Names of apps, users, patients and tokens. Each has its type and its alphabet, so that none can stand in another's
//! place or carry something into a header, a URL or a log.

use std::fmt;

use sealwort_oidc::identifier::is_word;
use sealwort_oidc::{identifiers, print_identifiers};

pub use sealwort_oidc::identifier::{BadIdentifier, IDENTIFIER_BYTES_MAX, Role, SessionId, UserName};

/// Longest FHIR id, in bytes (FHIR R4, datatype `id`).
const FHIR_ID_BYTES_MAX: usize = 64;

identifiers! {
    /// A registered app (RFC 6749, section 2.2). URLs serve as well as words.
    ClientId: is_word, "a client id has 1 to 128 printable ASCII characters and no space, quote or backslash";
    /// A code of v3-PurposeOfUse, such as `TREAT`.
    Purpose: is_word, "a purpose has 1 to 128 printable ASCII characters and no space, quote or backslash";
    /// The logical id of a Patient on this FHIR server.
    PatientId: is_fhir_id, "a patient id has 1 to 64 characters out of letters, digits, '-' and '.'";
    /// The logical id of an Encounter on this FHIR server.
    EncounterId: is_fhir_id, "an encounter id has 1 to 64 characters out of letters, digits, '-' and '.'";
    /// The user as a resource of this FHIR server, such as `Practitioner/123`.
    FhirUser: is_fhir_user, "fhirUser is Patient, Practitioner, RelatedPerson or Person, a slash and an id";
    /// One approval by a user, and all tokens that come from it.
    GrantId: is_word, "a grant id has 1 to 128 printable ASCII characters and no space, quote or backslash";
    /// What one delegate may do for one patient, as the hospital wrote it down.
    DelegationId: is_word, "a delegation id has 1 to 128 printable ASCII characters and no space, quote or backslash";
    /// One token (RFC 7519, `jti`).
    TokenId: is_word, "a token id has 1 to 128 printable ASCII characters and no space, quote or backslash";
}

print_identifiers! { ClientId Purpose FhirUser GrantId DelegationId TokenId }

/// Who a token is about stays out of logs.
impl fmt::Debug for PatientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PatientId([redacted])")
    }
}

/// So does where they are treated.
impl fmt::Debug for EncounterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("EncounterId([redacted])")
    }
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
