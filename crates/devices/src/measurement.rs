//! A measurement, whatever format it came in, and the checks that all formats share. Turning it into FHIR is
//! `observation`'s.

use crate::enrolment::Enrolled;
use crate::error::DeviceError;
use crate::fields::{Decimal, Place};
use crate::measure::{Code, Measure, Pressure, Specimen, Unit};
use crate::moment::When;

/// Most measurements in one payload.
pub const MEASUREMENTS_MAX: usize = 1000;
/// Most samples of curves in one payload: 12 leads, 500 a second, 100 seconds.
pub const SAMPLES_MAX: usize = 600_000;
/// Most channels of one curve.
pub(crate) const CHANNELS_MAX: usize = 16;

/// One measurement.
#[derive(Debug)]
pub(crate) struct Measurement {
    /// What a repetition is known by, within the device.
    pub(crate) identity: String,
    pub(crate) measure: Measure,
    pub(crate) when: When,
    /// When the sender made the record of it, as sent.
    pub(crate) issued: Option<String>,
    pub(crate) content: Content,
    pub(crate) remarks: Remarks,
}

/// What was measured.
#[derive(Debug)]
pub(crate) enum Content {
    /// One value.
    Value { value: Decimal, unit: &'static str, specimen: Option<Specimen> },
    /// Pressures in mm[Hg].
    Pressures(Vec<(Pressure, Decimal)>),
    /// A curve.
    Curve { unit: &'static str, period_milliseconds: Decimal, channels: Vec<Channel> },
}

/// One line of a curve: `SampledData` (FHIR R4 datatypes.html).
#[derive(Debug)]
pub(crate) struct Channel {
    /// The lead, of an ECG.
    pub(crate) lead: Option<Code>,
    pub(crate) origin: Option<Decimal>,
    pub(crate) factor: Option<Decimal>,
    pub(crate) lower_limit: Option<Decimal>,
    pub(crate) upper_limit: Option<Decimal>,
    /// Samples, separated by a space.
    pub(crate) data: String,
    pub(crate) samples: usize,
}

/// What the device says beside the values.
#[derive(Debug, Default)]
pub(crate) struct Remarks {
    /// `Observation.bodySite`, in words.
    pub(crate) site: Option<String>,
    /// A code of <http://terminology.hl7.org/CodeSystem/observation-statistics>, with its name.
    pub(crate) statistic: Option<(&'static str, &'static str)>,
    /// `Observation.note`.
    pub(crate) notes: Vec<String>,
}

/// Checks that a device is enrolled for a measure.
pub(crate) fn check_enrolled(enrolled: &Enrolled, measure: Measure, place: &Place<'_>) -> Result<(), DeviceError> {
    if enrolled.may_send(measure) {
        return Ok(());
    }
    Err(DeviceError::NotEnrolledFor { place: place.to_string(), measure })
}

/// A value that is plausible, in one of the measure's units.
pub(crate) fn value_of(
    measure: Measure,
    (value, value_place): (Decimal, &Place<'_>),
    (ucum, unit_place): (&str, &Place<'_>),
    specimen: Option<Specimen>,
) -> Result<Content, DeviceError> {
    let Some(scale) = measure.scale() else {
        return Err(value_place.bad("this measure is no single value"));
    };
    let unit: &Unit = scale.unit(ucum, unit_place)?;
    scale.check(unit, &value, value_place)?;
    Ok(Content::Value { value, unit: unit.ucum, specimen })
}

/// One pressure that is plausible.
pub(crate) fn check_pressure(
    pressure: Pressure,
    (value, value_place): (&Decimal, &Place<'_>),
    (ucum, unit_place): (&str, &Place<'_>),
) -> Result<(), DeviceError> {
    let unit = pressure.scale().unit(ucum, unit_place)?;
    pressure.scale().check(unit, value, value_place)
}

/// Checks that diastolic, mean and systolic pressure ascend, as far as they are there.
pub(crate) fn check_order(pressures: &[(Pressure, Decimal)], place: &Place<'_>) -> Result<(), DeviceError> {
    let of = |wanted| pressures.iter().find(|(found, _)| *found == wanted).map(|(_, value)| value.approximate());
    let ascending: Vec<f64> =
        [Pressure::Diastolic, Pressure::Mean, Pressure::Systolic].into_iter().filter_map(of).collect();
    if ascending.is_sorted() { Ok(()) } else { Err(DeviceError::PressuresOutOfOrder { place: place.to_string() }) }
}
