//! What an Observation of a Personal Health Gateway says, judged by the same table as the other formats: its measure by
//! its codes, its values by unit and range, its time. Nothing is changed here.

use serde_json::Value;
use time::OffsetDateTime;

use crate::enrolment::Enrolled;
use crate::error::DeviceError;
use crate::fields::{Decimal, Place};
use crate::measure::{Measure, Pressure, UCUM};
use crate::measurement::{SAMPLES_MAX, check_enrolled, check_order, check_pressure, value_of};
use crate::moment::{Moment, check_day};

/// Most components of one Observation.
const COMPONENTS_MAX: usize = 100;

/// How many samples a payload had so far.
#[derive(Default)]
pub(crate) struct Samples(usize);

/// What an Observation measures.
pub(crate) struct Values(Measure);

impl Values {
    /// Whether it is a measure of our table.
    pub(crate) fn is_known(&self) -> bool {
        self.0 != Measure::Other
    }
}

/// Checks codes, units and ranges of an Observation and its components.
pub(crate) fn check_values(
    enrolled: &Enrolled,
    observation: &Value,
    samples: &mut Samples,
    place: &Place<'_>,
) -> Result<Values, DeviceError> {
    let measure = measure_of(observation, place)?;
    check_enrolled(enrolled, measure, place)?;
    let components_place = place.member("component");
    let components = match observation.get("component") {
        None => &[],
        Some(list) => list.as_array().map(Vec::as_slice).ok_or_else(|| components_place.bad("expected a list"))?,
    };
    if components.len() > COMPONENTS_MAX {
        return Err(components_place.bad("more than 100 components"));
    }
    let mut valued = check_value(measure, observation, samples, place)?;
    let mut pressures = Vec::new();
    for (at, component) in components.iter().enumerate() {
        let here = components_place.element(at);
        if let Some(pressure) = pressure_of(component) {
            check_enrolled(enrolled, Measure::BloodPressure, &here)?;
            let Some(value) = pressure_value(pressure, component, &here)? else { continue };
            pressures.push((pressure, value));
            continue;
        }
        let of_component = measure_of(component, &here)?;
        if of_component != Measure::Other {
            check_enrolled(enrolled, of_component, &here)?;
        }
        valued |= check_value(of_component, component, samples, &here)? && of_component == measure;
    }
    check_order(&pressures, place)?;
    valued |= measure == Measure::BloodPressure && !pressures.is_empty();
    let absent = observation.get("dataAbsentReason").is_some();
    if measure == Measure::Other || valued || absent {
        return Ok(Values(measure));
    }
    let member = match measure {
        Measure::BloodPressure => "component",
        Measure::Ecg | Measure::Plethysmogram => "valueSampledData",
        _ => "valueQuantity",
    };
    Err(place.member(member).missing())
}

/// The codings of a `code`.
fn codings(value: &Value) -> impl Iterator<Item = (&str, &str)> {
    let list = value.pointer("/code/coding").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    list.iter().filter_map(|coding| Some((coding.get("system")?.as_str()?, coding.get("code")?.as_str()?)))
}

/// The one measure that the codes name.
fn measure_of(value: &Value, place: &Place<'_>) -> Result<Measure, DeviceError> {
    let mut found = None;
    for measure in codings(value).filter_map(|(system, code)| Measure::of_code(system, code)) {
        if found.is_some_and(|before| before != measure) {
            return Err(place.member("code").bad("the codes name different measures"));
        }
        found = Some(measure);
    }
    Ok(found.unwrap_or(Measure::Other))
}

fn pressure_of(component: &Value) -> Option<Pressure> {
    codings(component).find_map(|(system, code)| Pressure::of_code(system, code))
}

/// The parts of a `valueQuantity`: the value and the UCUM code.
fn quantity<'v>(value: &'v Value, place: &Place<'_>) -> Result<(Decimal, &'v str), DeviceError> {
    let members = place.object(value)?;
    let text = |member: &str| members.get(member).and_then(Value::as_str);
    let number_place = place.member("value");
    let number = members.get("value").ok_or_else(|| number_place.missing())?;
    let number = Decimal::read(number, &number_place)?;
    if members.contains_key("comparator") {
        return Err(place.member("comparator").bad("expected a value that was measured, not a limit"));
    }
    // Another system's codes are no units here; the table refuses the empty one by name.
    let code = if text("system") == Some(UCUM) { text("code").unwrap_or_default() } else { "" };
    Ok((number, code))
}

fn pressure_value(pressure: Pressure, component: &Value, place: &Place<'_>) -> Result<Option<Decimal>, DeviceError> {
    let here = place.member("valueQuantity");
    match component.get("valueQuantity") {
        Some(value) => {
            let (number, unit) = quantity(value, &here)?;
            check_pressure(pressure, (&number, &here.member("value")), (unit, &here.member("code")))?;
            Ok(Some(number))
        }
        None if component.get("dataAbsentReason").is_some() => Ok(None),
        None => Err(here.missing()),
    }
}

/// Whether an Observation or component has the kind of value that its measure asks for.
fn check_value(measure: Measure, value: &Value, samples: &mut Samples, place: &Place<'_>) -> Result<bool, DeviceError> {
    let has_curve = match value.get("valueSampledData") {
        Some(data) => {
            check_samples(data, samples, &place.member("valueSampledData"))?;
            true
        }
        None => false,
    };
    match (measure, value.get("valueQuantity")) {
        (Measure::Ecg | Measure::Plethysmogram, None) => Ok(has_curve),
        (Measure::Other, _) | (_, None) => Ok(false),
        (_, Some(found)) => {
            let here = place.member("valueQuantity");
            let (number, unit) = quantity(found, &here)?;
            value_of(measure, (number, &here.member("value")), (unit, &here.member("code")), None)?;
            Ok(true)
        }
    }
}

fn check_samples(data: &Value, samples: &mut Samples, place: &Place<'_>) -> Result<(), DeviceError> {
    let members = place.object(data)?;
    let period_place = place.member("period");
    let period = members.get("period").ok_or_else(|| period_place.missing())?;
    if Decimal::read(period, &period_place)?.approximate() <= 0.0 {
        return Err(period_place.bad("expected milliseconds above 0"));
    }
    let data_place = place.member("data");
    let text = members.get("data").and_then(Value::as_str).ok_or_else(|| data_place.missing())?;
    let sound = |sample: &str| {
        matches!(sample, "E" | "L" | "U") || (sample.len() <= 24 && sample.parse::<f64>().is_ok_and(f64::is_finite))
    };
    for sample in text.split(' ') {
        if !sound(sample) {
            return Err(data_place.bad("expected numbers, E, L or U, separated by one space"));
        }
        samples.0 += 1;
        if samples.0 > SAMPLES_MAX {
            return Err(DeviceError::TooManySamples { limit: SAMPLES_MAX });
        }
    }
    Ok(())
}

/// The time of an Observation, checked, as text: to the day or better (R4 observation-vitalsigns.html, vs-1).
pub(crate) fn effective(observation: &Value, place: &Place<'_>, now: OffsetDateTime) -> Result<String, DeviceError> {
    let checked = |text: &Value, place: &Place<'_>| {
        let text = text.as_str().ok_or_else(|| place.bad("expected a text"))?;
        if text.contains('T') {
            Moment::read(text, place, now)?;
        } else {
            check_day(text, place, now)?;
        }
        Ok(text.to_owned())
    };
    for member in ["effectiveDateTime", "effectiveInstant"] {
        if let Some(text) = observation.get(member) {
            return checked(text, &place.member(member));
        }
    }
    let here = place.member("effectivePeriod");
    let period = observation.get("effectivePeriod").ok_or_else(|| place.member("effectiveDateTime").missing())?;
    let period = here.object(period)?;
    let start_place = here.member("start");
    let start = checked(period.get("start").ok_or_else(|| start_place.missing())?, &start_place)?;
    let end_place = here.member("end");
    let end = period.get("end").map(|end| checked(end, &end_place)).transpose()?;
    Ok(format!("{start}/{}", end.unwrap_or_default()))
}
