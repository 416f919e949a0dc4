//! Which devices a hospital knows: for whom each measures, what it may send, and what its secret hashes to. Plain data
//! for a file or a sealed row; whoever stores it also makes the secret, hashes it and compares hashes.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sealwort_fhir::ResourceId;
use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use zeroize::{Zeroize, ZeroizeOnDrop};

use crate::measure::Measure;

/// Longest device id, in bytes.
pub const DEVICE_ID_BYTES_MAX: usize = 64;
/// Longest name of kind, maker, model or serial number, in bytes.
pub const DEVICE_NAME_BYTES_MAX: usize = 128;
/// Longest system or value of a patient's identifier, in bytes.
pub const PATIENT_IDENTIFIER_BYTES_MAX: usize = 256;
/// Bytes of a device's secret, which are random, and of its hash.
pub const SECRET_BYTES: usize = 32;

/// What is wrong with an enrolment. The hospital's own user mends it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EnrolmentError {
    /// Not an id of a device.
    #[error("a device id has 1 to 64 lower-case letters, digits and '-', and begins and ends with a letter or digit")]
    DeviceId,
    /// Not a hash.
    #[error("the hash of a device's secret has 32 bytes, in base64url without padding")]
    SecretHash,
    /// No patient.
    #[error("name the patient by id, by identifier, or by both")]
    NoPatient,
    /// A bad identifier.
    #[error("the patient's identifier needs a system and a value of at most 256 bytes each")]
    Identifier,
    /// A bad name.
    #[error("{0} is empty, longer than 128 bytes, or has control characters")]
    Name(&'static str),
    /// Nothing may be sent.
    #[error("name at least one measure that the device may send")]
    NoMeasure,
    /// Revoked before it began.
    #[error("the device is revoked before it was enrolled; check both times")]
    RevokedBeforeEnrolled,
}

/// The name of a device in this hospital: part of its topic, its path and the identifiers of what it measures.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DeviceId(String);

impl DeviceId {
    /// The id as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for DeviceId {
    type Err = EnrolmentError;

    fn from_str(text: &str) -> Result<Self, EnrolmentError> {
        let sound = (1..=DEVICE_ID_BYTES_MAX).contains(&text.len())
            && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
            && !text.starts_with('-')
            && !text.ends_with('-');
        if sound { Ok(Self(text.to_owned())) } else { Err(EnrolmentError::DeviceId) }
    }
}

impl TryFrom<String> for DeviceId {
    type Error = EnrolmentError;

    fn try_from(text: String) -> Result<Self, EnrolmentError> {
        text.parse()
    }
}

impl From<DeviceId> for String {
    fn from(id: DeviceId) -> Self {
        id.0
    }
}

impl fmt::Display for DeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The secret of a device, from the caller's random bytes. It is shown once, in the device's credentials.
#[derive(Clone, Zeroize, ZeroizeOnDrop)]
pub struct DeviceSecret([u8; SECRET_BYTES]);

impl DeviceSecret {
    /// Takes random bytes.
    pub fn new(random: [u8; SECRET_BYTES]) -> Self {
        Self(random)
    }

    /// Reads what a device presents as its password; nothing if that is no secret.
    pub fn from_password(text: &str) -> Option<Self> {
        let mut bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let secret = <[u8; SECRET_BYTES]>::try_from(bytes.as_slice()).ok().map(Self);
        bytes.zeroize();
        secret
    }

    /// The bytes, to hash.
    pub fn as_bytes(&self) -> &[u8; SECRET_BYTES] {
        &self.0
    }

    /// What the device presents as its password. Not for logs.
    pub fn password(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.0)
    }
}

impl fmt::Debug for DeviceSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// The hash of a device's secret. The caller computes it, and compares it in constant time.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SecretHash([u8; SECRET_BYTES]);

impl SecretHash {
    /// Takes the hash.
    pub fn new(hash: [u8; SECRET_BYTES]) -> Self {
        Self(hash)
    }

    /// The bytes, to compare.
    pub fn as_bytes(&self) -> &[u8; SECRET_BYTES] {
        &self.0
    }
}

impl TryFrom<String> for SecretHash {
    type Error = EnrolmentError;

    fn try_from(text: String) -> Result<Self, EnrolmentError> {
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| EnrolmentError::SecretHash)?;
        bytes.try_into().map(Self).map_err(|_| EnrolmentError::SecretHash)
    }
}

impl From<SecretHash> for String {
    fn from(hash: SecretHash) -> Self {
        URL_SAFE_NO_PAD.encode(hash.0)
    }
}

impl fmt::Debug for SecretHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// The patient for whom a device measures. What a personal health gateway names must be this one.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EnrolledPatient {
    /// The id of the Patient at this gateway.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// An identifier of the patient. Without `id`, the one by which the gateway finds the Patient.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identifier: Option<EnrolledIdentifier>,
}

/// An identifier with its system.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EnrolledIdentifier {
    /// The namespace, a URI.
    pub system: String,
    /// The value there.
    pub value: String,
}

impl fmt::Debug for EnrolledPatient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

impl fmt::Debug for EnrolledIdentifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[redacted]")
    }
}

/// An enrolment as it is written down. [`Enrolled`] is what was checked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Enrolment {
    /// The device.
    pub device: DeviceId,
    /// For whom it measures.
    pub patient: EnrolledPatient,
    /// What it is, in words: "pulse oximeter".
    pub kind: String,
    /// Who made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manufacturer: Option<String>,
    /// The maker's name of the model.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub model: Option<String>,
    /// The maker's serial number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serial: Option<String>,
    /// What it may send.
    pub measures: BTreeSet<Measure>,
    /// The hash of its secret.
    pub secret_hash: SecretHash,
    /// Since when it is enrolled.
    #[serde(with = "time::serde::rfc3339")]
    pub enrolled_at: OffsetDateTime,
    /// Since when it is not any more.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "time::serde::rfc3339::option")]
    pub revoked_at: Option<OffsetDateTime>,
}

/// An enrolment that was checked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "Enrolment", into = "Enrolment")]
pub struct Enrolled(Enrolment);

impl Enrolled {
    /// What was written down.
    pub fn enrolment(&self) -> &Enrolment {
        &self.0
    }

    /// The device.
    pub fn device(&self) -> &DeviceId {
        &self.0.device
    }

    /// For whom it measures.
    pub fn patient(&self) -> &EnrolledPatient {
        &self.0.patient
    }

    /// Whether it may send a measure.
    pub fn may_send(&self, measure: Measure) -> bool {
        self.0.measures.contains(&measure)
    }

    /// Whether it was revoked.
    pub fn is_revoked(&self) -> bool {
        self.0.revoked_at.is_some()
    }

    /// The enrolment revoked; an earlier revocation stays.
    ///
    /// # Errors
    /// [`EnrolmentError::RevokedBeforeEnrolled`].
    pub fn revoke(self, now: OffsetDateTime) -> Result<Self, EnrolmentError> {
        let revoked_at = self.0.revoked_at.or(Some(now));
        Enrolment { revoked_at, ..self.0 }.try_into()
    }
}

impl TryFrom<Enrolment> for Enrolled {
    type Error = EnrolmentError;

    fn try_from(written: Enrolment) -> Result<Self, EnrolmentError> {
        let patient = &written.patient;
        if patient.id.is_none() && patient.identifier.is_none() {
            return Err(EnrolmentError::NoPatient);
        }
        if patient.id.as_ref().is_some_and(|id| id.parse::<ResourceId>().is_err()) {
            return Err(EnrolmentError::NoPatient);
        }
        if let Some(EnrolledIdentifier { system, value }) = &patient.identifier
            && !(is_text(system, PATIENT_IDENTIFIER_BYTES_MAX) && is_text(value, PATIENT_IDENTIFIER_BYTES_MAX))
        {
            return Err(EnrolmentError::Identifier);
        }
        let names = [
            ("the kind of device", Some(&written.kind)),
            ("the manufacturer", written.manufacturer.as_ref()),
            ("the model", written.model.as_ref()),
            ("the serial number", written.serial.as_ref()),
        ];
        for (what, name) in names {
            if name.is_some_and(|name| !is_text(name, DEVICE_NAME_BYTES_MAX)) {
                return Err(EnrolmentError::Name(what));
            }
        }
        if written.measures.is_empty() {
            return Err(EnrolmentError::NoMeasure);
        }
        if written.revoked_at.is_some_and(|revoked| revoked < written.enrolled_at) {
            return Err(EnrolmentError::RevokedBeforeEnrolled);
        }
        Ok(Self(written))
    }
}

impl From<Enrolled> for Enrolment {
    fn from(enrolled: Enrolled) -> Self {
        enrolled.0
    }
}

fn is_text(text: &str, bytes_max: usize) -> bool {
    text.len() <= bytes_max && !text.trim().is_empty() && !text.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written() -> serde_json::Value {
        serde_json::json!({
            "device": "oxi-7",
            "patient": {"id": "p1", "identifier": {"system": "urn:mrn", "value": "7"}},
            "kind": "pulse oximeter",
            "model": "3230",
            "measures": ["heart-rate", "oxygen-saturation"],
            "secret_hash": "A".repeat(43),
            "enrolled_at": "2026-11-28T12:00:00Z"
        })
    }

    #[test]
    fn an_enrolment_survives_being_written_down() {
        let enrolled: Enrolled = serde_json::from_value(written()).unwrap();
        assert_eq!(serde_json::to_value(&enrolled).unwrap(), written());
        assert!(enrolled.may_send(Measure::HeartRate) && !enrolled.may_send(Measure::BloodPressure));
        assert!(!enrolled.is_revoked());
        let now = time::macros::datetime!(2026-11-29 0:00 UTC);
        let revoked = enrolled.clone().revoke(now).unwrap();
        assert!(revoked.is_revoked());
        assert_eq!(revoked.clone().revoke(now + time::Duration::DAY).unwrap(), revoked);
        assert!(enrolled.revoke(time::macros::datetime!(2020-01-01 0:00 UTC)).is_err());
    }

    #[test]
    fn nothing_personal_or_secret_is_shown() {
        let enrolled: Enrolled = serde_json::from_value(written()).unwrap();
        let shown = format!("{enrolled:?} {:?}", DeviceSecret::new([65; 32]));
        assert!(!shown.contains("urn:mrn") && !shown.contains("p1") && !shown.contains("65"), "{shown}");
    }

    #[test]
    fn bad_enrolments_are_refused() {
        let change = |at: &str, value: serde_json::Value| {
            let mut changed = written();
            match (changed.pointer_mut(at), at.rsplit_once('/')) {
                (Some(place), _) => *place = value,
                (None, Some((above, name))) => changed.pointer_mut(above).unwrap()[name] = value,
                (None, None) => panic!("{at}"),
            }
            serde_json::from_value::<Enrolled>(changed).unwrap_err().to_string()
        };
        for (at, value, said) in [
            ("/device", serde_json::json!("Oxi 7"), EnrolmentError::DeviceId.to_string()),
            ("/device", serde_json::json!("-oxi"), EnrolmentError::DeviceId.to_string()),
            ("/device", serde_json::json!("o".repeat(65)), EnrolmentError::DeviceId.to_string()),
            ("/patient", serde_json::json!({}), EnrolmentError::NoPatient.to_string()),
            ("/patient/id", serde_json::json!("Patient/p1"), EnrolmentError::NoPatient.to_string()),
            ("/patient/identifier/value", serde_json::json!(""), EnrolmentError::Identifier.to_string()),
            ("/kind", serde_json::json!(" "), EnrolmentError::Name("the kind of device").to_string()),
            ("/serial", serde_json::json!("a\u{7}"), EnrolmentError::Name("the serial number").to_string()),
            ("/measures", serde_json::json!([]), EnrolmentError::NoMeasure.to_string()),
            ("/measures", serde_json::json!(["pulse"]), "unknown variant".to_owned()),
            ("/secret_hash", serde_json::json!("AAAA"), EnrolmentError::SecretHash.to_string()),
            (
                "/revoked_at",
                serde_json::json!("2020-01-01T00:00:00Z"),
                EnrolmentError::RevokedBeforeEnrolled.to_string(),
            ),
            ("/colour", serde_json::json!("red"), "unknown field".to_owned()),
        ] {
            let found = change(at, value);
            assert!(found.contains(&said), "{at}: {found}");
        }
    }

    #[test]
    fn a_password_is_read_as_it_was_shown() {
        let secret = DeviceSecret::new(std::array::from_fn(|at| u8::try_from(at * 7).unwrap()));
        assert_eq!(DeviceSecret::from_password(&secret.password()).unwrap().as_bytes(), secret.as_bytes());
        for wrong in ["", "AAAA", &format!("{}=", secret.password()), &format!("{} ", secret.password())] {
            assert!(DeviceSecret::from_password(wrong).is_none(), "{wrong}");
        }
    }
}
