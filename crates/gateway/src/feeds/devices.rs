//! Devices of patients: enrolled by the hospital, each for one patient, with a secret of its own that is shown once.
//! What they send becomes Observations.

use std::collections::BTreeSet;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderMap;
use http::header::AUTHORIZATION;
use http::request::Parts;
use sealwort_devices::{
    DeviceError, DeviceId, DeviceSecret, Enrolled, EnrolledPatient, Enrolment, Measure, SecretHash, to_fhir,
};
use sealwort_fhir::IssueCode;
use sealwort_proto::crypto::{mac_matches, random, sha256};

use super::refused::Source;
use crate::Gateway;
use crate::authorization::source;
use crate::error::{DEVICE_UNKNOWN, GatewayError};
use crate::face::reply::date;
use crate::user::Asking;
use serde::Deserialize;

/// A device to be enrolled, as the hospital's people describe it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Described {
    patient: EnrolledPatient,
    kind: String,
    #[serde(default)]
    manufacturer: Option<String>,
    #[serde(default)]
    model: Option<String>,
    #[serde(default)]
    serial: Option<String>,
    measures: BTreeSet<Measure>,
}

impl Gateway {
    /// Enrols a device. Its secret leaves here once.
    pub(crate) async fn enrol_device(&self, described: Described) -> Result<(Enrolled, DeviceSecret), GatewayError> {
        let secret = DeviceSecret::new(random());
        let hash = SecretHash::new(sha256(secret.as_bytes()));
        let now = date(self.sessions.now()).unwrap_or(time::OffsetDateTime::UNIX_EPOCH);
        let device: DeviceId =
            hex::encode(random::<8>()).parse().map_err(|_| GatewayError::Kept("a fresh id is not valid"))?;
        let Described { patient, kind, manufacturer, model, serial, measures } = described;
        let enrolment = Enrolment {
            device,
            patient,
            kind,
            manufacturer,
            model,
            serial,
            measures,
            secret_hash: hash,
            enrolled_at: now,
            revoked_at: None,
        };
        let enrolled = Enrolled::try_from(enrolment).map_err(|error| {
            GatewayError::request(
                422,
                IssueCode::Value,
                "enrolment-invalid",
                error.to_string(),
                "correct the enrolment",
            )
        })?;
        if let Some(id) = &enrolled.patient().id {
            self.roster.by_resource("Patient", id).await?.ok_or_else(GatewayError::unknown_patient)?;
        }
        self.roster.put_device(enrolled.device().as_str(), &serde_json::to_vec(&enrolled).unwrap_or_default()).await?;
        Ok((enrolled, secret))
    }

    /// All devices, revoked or not.
    pub(crate) async fn devices(&self) -> Result<Vec<Enrolled>, GatewayError> {
        let rows = self.roster.devices().await?;
        rows.iter()
            .map(|row| serde_json::from_slice(row).map_err(|_| GatewayError::Kept("an enrolment cannot be read")))
            .collect()
    }

    /// Ends an enrolment.
    pub(crate) async fn revoke_device(&self, id: &str) -> Result<(), GatewayError> {
        let now = date(self.sessions.now()).unwrap_or(time::OffsetDateTime::UNIX_EPOCH);
        let revoked = self.device(id).await?.ok_or_else(unknown)?.revoke(now);
        let revoked = revoked.map_err(|_| GatewayError::Kept("an enrolment ends before it began"))?;
        self.roster.put_device(id, &serde_json::to_vec(&revoked).unwrap_or_default()).await
    }

    async fn device(&self, id: &str) -> Result<Option<Enrolled>, GatewayError> {
        match self.roster.device(id).await? {
            Some(row) => {
                serde_json::from_slice(&row).map(Some).map_err(|_| GatewayError::Kept("an enrolment cannot be read"))
            }
            None => Ok(None),
        }
    }

    /// Whether the request is this device's own: its id and secret by HTTP's Basic scheme (RFC 7617). A device that is
    /// not known takes as long as one that is.
    pub(crate) async fn check_device(&self, id: &str, parts: &Parts) -> Result<(), GatewayError> {
        let from = source(parts);
        self.may_try(id, from)?;
        let known = self.device(id).await?;
        let shown = password(id, &parts.headers).and_then(|text| DeviceSecret::from_password(&text));
        let shown = shown.map(|secret| sha256(secret.as_bytes()));
        let hash = known.as_ref().map_or([0; 32], |known| *known.enrolment().secret_hash.as_bytes());
        let same = mac_matches(&hash, &shown.unwrap_or([1; 32]));
        if same && known.is_some_and(|known| !known.is_revoked()) {
            self.tried_well(id, from);
            return Ok(());
        }
        let text = "the device is not enrolled, or its secret is another";
        let waits = self.tried_badly("device", Some(id), from, text).await;
        Err(waits.unwrap_or_else(|| {
            GatewayError::request(
                401,
                IssueCode::Login,
                DEVICE_UNKNOWN,
                text,
                "send Authorization: Basic with the device's id and the password that enrolment gave",
            )
        }))
    }

    /// Takes a payload in. On return it is durable.
    pub(crate) async fn take_measurements(self: &Arc<Self>, id: &str, payload: &[u8]) -> Result<(), GatewayError> {
        let enrolled = self.device(id).await?.ok_or_else(unknown)?;
        let now = date(self.sessions.now()).unwrap_or(time::OffsetDateTime::UNIX_EPOCH);
        let mapped = to_fhir(&enrolled, payload, now).map_err(|error| of_device(&error))?;
        let asking = Asking::itself(format!("device {id}"), "device".to_owned(), "TREAT".to_owned());
        self.take_in(mapped.bundle.into(), &asking).await.map(|_| ())
    }

    /// The same, keeping what is refused for good.
    pub(crate) async fn take_or_keep(self: &Arc<Self>, id: &str, payload: &[u8]) -> Result<(), GatewayError> {
        let outcome = self.take_measurements(id, payload).await;
        if let Err(error) = &outcome
            && error.status() < 500
        {
            self.keep_refused(Source::Device(id.to_owned()), payload, error.to_string()).await?;
        }
        outcome
    }
}

/// The password that a request shows for a device.
fn password(id: &str, headers: &HeaderMap) -> Option<String> {
    let (scheme, encoded) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("basic") {
        return None;
    }
    let text = String::from_utf8(STANDARD.decode(encoded.trim()).ok()?).ok()?;
    let (name, password) = text.split_once(':')?;
    (name == id).then(|| password.to_owned())
}

fn of_device(error: &DeviceError) -> GatewayError {
    GatewayError::request(
        error.http_status(),
        IssueCode::Processing,
        error.code(),
        error.to_string(),
        "correct what the device sends",
    )
}

fn unknown() -> GatewayError {
    GatewayError::request(
        404,
        IssueCode::NotFound,
        DEVICE_UNKNOWN,
        "no such device is enrolled",
        "enrol it: sealwort device enrol",
    )
}
