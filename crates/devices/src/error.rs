//! Why a payload was refused. Every case but the revoked device is the sender's to mend; places are named as JSON
//! paths from `$` on, values are never quoted.

use sealwort_fhir::FhirError;

use crate::measure::Measure;

/// Why a device's payload was refused as a whole: nothing of it is stored.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DeviceError {
    /// The device was revoked.
    #[error("the device is revoked; enrol it again")]
    Revoked,
    /// The payload is larger than [`crate::PAYLOAD_BYTES_MAX`].
    #[error("the payload has {bytes} bytes, more than the {limit} bytes accepted; send fewer measurements at once")]
    TooLarge {
        /// Bytes received.
        bytes: usize,
        /// Bytes accepted.
        limit: usize,
    },
    /// The payload is no JSON, or JSON with more than one reading.
    #[error(transparent)]
    Json(#[from] FhirError),
    /// Nothing in the payload says in which format it is.
    #[error(
        "{place} does not say its format; send `format`, `header.schema_id` or `resourceType`, and one of them only"
    )]
    UnknownFormat {
        /// The value.
        place: String,
    },
    /// A needed member is absent.
    #[error("{place} is missing")]
    Missing {
        /// The member.
        place: String,
    },
    /// A member is not part of the format. It is refused rather than lost.
    #[error("{place} is not a member of the format; leave it out")]
    UnknownMember {
        /// The member.
        place: String,
    },
    /// A value has the wrong form.
    #[error("{place}: {reason}")]
    BadValue {
        /// The value.
        place: String,
        /// What is expected.
        reason: &'static str,
    },
    /// The measure or schema is not one that is taken in.
    #[error("{place} is not a measure that is taken in")]
    UnknownMeasure {
        /// The value that names it.
        place: String,
    },
    /// The device may not send this measure.
    #[error("{place}: the device is not enrolled for {measure}; add the measure to its enrolment")]
    NotEnrolledFor {
        /// The measurement.
        place: String,
        /// The measure.
        measure: Measure,
    },
    /// The unit is not one of the measure's.
    #[error("{place}: {what} is taken in {expected}")]
    WrongUnit {
        /// The unit.
        place: String,
        /// What was measured.
        what: &'static str,
        /// The units that are taken in.
        expected: String,
    },
    /// No living person has such a value.
    #[error("{place}: {what} is implausible outside {low} to {high} {unit}; measure again")]
    Implausible {
        /// The value.
        place: String,
        /// What was measured.
        what: &'static str,
        /// Lowest value taken in.
        low: &'static str,
        /// Highest value taken in.
        high: &'static str,
        /// The unit of both.
        unit: &'static str,
    },
    /// Diastolic, mean and systolic pressure are not in this order.
    #[error("{place}: diastolic, mean and systolic pressure are not in ascending order; measure again")]
    PressuresOutOfOrder {
        /// The measurement.
        place: String,
    },
    /// The measurement lies ahead of the gateway's clock.
    #[error("{place} is ahead of the gateway's clock by more than {tolerance_seconds} s; set the device's clock")]
    InFuture {
        /// The time.
        place: String,
        /// What is tolerated.
        tolerance_seconds: i64,
    },
    /// Too many measurements in one payload.
    #[error("the payload has more than {limit} measurements; send it in parts")]
    TooManyMeasurements {
        /// Measurements accepted.
        limit: usize,
    },
    /// Too many samples in one payload.
    #[error("the payload has more than {limit} samples; send it in parts")]
    TooManySamples {
        /// Samples accepted.
        limit: usize,
    },
    /// Two measurements of a payload have one identity, so that the second would not be stored.
    #[error("{place} repeats the identity of an earlier measurement; give each its own")]
    Repeated {
        /// The second measurement.
        place: String,
    },
    /// A measurement has nothing by which a repetition could be known.
    #[error("{place} has neither identifier nor id; give it one, so that sending it again stores it once")]
    NoIdentity {
        /// The resource.
        place: String,
    },
    /// The payload names another patient than the one for whom the device is enrolled.
    #[error("{place} names another patient than the one for whom the device is enrolled; nothing was stored")]
    AnotherPatient {
        /// The reference or resource.
        place: String,
    },
}

impl DeviceError {
    /// A stable code of the case, for programs.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Revoked => "revoked",
            Self::TooLarge { .. } => "too-large",
            Self::Json(error) => error.code(),
            Self::UnknownFormat { .. } => "unknown-format",
            Self::Missing { .. } => "missing",
            Self::UnknownMember { .. } => "unknown-member",
            Self::BadValue { .. } => "bad-value",
            Self::UnknownMeasure { .. } => "unknown-measure",
            Self::NotEnrolledFor { .. } => "not-enrolled-for",
            Self::WrongUnit { .. } => "wrong-unit",
            Self::Implausible { .. } => "implausible",
            Self::PressuresOutOfOrder { .. } => "pressures-out-of-order",
            Self::InFuture { .. } => "in-future",
            Self::TooManyMeasurements { .. } => "too-many-measurements",
            Self::TooManySamples { .. } => "too-many-samples",
            Self::Repeated { .. } => "repeated",
            Self::NoIdentity { .. } => "no-identity",
            Self::AnotherPatient { .. } => "another-patient",
        }
    }

    /// The HTTP status to answer with: 400 for what cannot be read, 403 for what the enrolment does not allow, 413 for
    /// what is too large, 422 for what is readable and is not stored.
    pub fn http_status(&self) -> u16 {
        match self {
            Self::Revoked | Self::NotEnrolledFor { .. } | Self::AnotherPatient { .. } => 403,
            Self::TooLarge { .. } | Self::TooManyMeasurements { .. } | Self::TooManySamples { .. } => 413,
            Self::Json(error) => error.http_status(),
            Self::UnknownFormat { .. } | Self::Missing { .. } | Self::UnknownMember { .. } | Self::BadValue { .. } => {
                400
            }
            _ => 422,
        }
    }
}
