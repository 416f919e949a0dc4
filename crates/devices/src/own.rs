//! Our own format, for makers who are free to choose: see the documentation of the crate. Reading only.

use serde_json::Value;
use time::{Duration, OffsetDateTime};

use crate::enrolment::Enrolled;
use crate::error::DeviceError;
use crate::fields::{Decimal, Fields, Place, text};
use crate::measure::{Measure, Pressure, Specimen, lead_code};
use crate::measurement::{
    CHANNELS_MAX, Channel, Content, MEASUREMENTS_MAX, Measurement, Remarks, SAMPLES_MAX, check_enrolled, check_order,
    check_pressure, value_of,
};
use crate::moment::{Moment, When};

/// The value of `format`.
pub const OWN_FORMAT: &str = "sealwort-measurements/1";
/// Longest sequence number or key, in bytes.
pub const SEQUENCE_BYTES_MAX: usize = 64;
/// Longest note, in bytes.
pub const NOTE_BYTES_MAX: usize = 1000;
/// Longest name of a site or unit, in bytes.
const WORD_BYTES_MAX: usize = 64;

/// Reads one measurement or a list of them.
pub(crate) fn read(enrolled: &Enrolled, payload: &Value, now: OffsetDateTime) -> Result<Vec<Measurement>, DeviceError> {
    let root = Place::Root;
    let mut fields = Fields::open(payload, &root)?;
    let format = fields.text("format", WORD_BYTES_MAX)?;
    if format != OWN_FORMAT {
        return Err(root.member("format").bad("expected sealwort-measurements/1"));
    }
    let mut samples = SAMPLES_MAX;
    let Some(list) = fields.optional("measurements") else {
        return Ok(vec![measurement(enrolled, fields, now, &mut samples)?]);
    };
    fields.finish()?;
    let place = root.member("measurements");
    let list = list.as_array().ok_or_else(|| place.bad("expected a list"))?;
    if list.is_empty() {
        return Err(place.bad("the list is empty"));
    }
    if list.len() > MEASUREMENTS_MAX {
        return Err(DeviceError::TooManyMeasurements { limit: MEASUREMENTS_MAX });
    }
    let mut found = Vec::with_capacity(list.len());
    for (at, one) in list.iter().enumerate() {
        let place = place.element(at);
        found.push(measurement(enrolled, Fields::open(one, &place)?, now, &mut samples)?);
    }
    Ok(found)
}

fn measurement(
    enrolled: &Enrolled,
    mut fields: Fields<'_>,
    now: OffsetDateTime,
    samples: &mut usize,
) -> Result<Measurement, DeviceError> {
    let place = fields.place;
    let identity = sequence(fields.required("sequence")?, &place.member("sequence"))?;
    let name = fields.text("measure", WORD_BYTES_MAX)?;
    let measure = Measure::named(name)
        .filter(|measure| *measure != Measure::Other)
        .ok_or_else(|| DeviceError::UnknownMeasure { place: place.member("measure").to_string() })?;
    check_enrolled(enrolled, measure, place)?;
    let time = Moment::read(fields.text("time", WORD_BYTES_MAX)?, &place.member("time"), now)?;
    let (content, when) = match measure {
        Measure::BloodPressure => (pressures(&mut fields)?, When::At(time)),
        Measure::Ecg | Measure::Plethysmogram => curve(&mut fields, measure, time, samples)?,
        _ => (value(&mut fields, measure)?, When::At(time)),
    };
    let remarks = Remarks {
        site: fields.optional_text("site", WORD_BYTES_MAX)?.map(str::to_owned),
        notes: fields.optional_text("note", NOTE_BYTES_MAX)?.into_iter().map(str::to_owned).collect(),
        statistic: None,
    };
    fields.finish()?;
    Ok(Measurement { identity, measure, when, issued: None, content, remarks })
}

/// What a device calls a measurement: a whole number, or a text of letters, digits, `.`, `_`, `:` and `-`.
pub(crate) fn sequence(value: &Value, place: &Place<'_>) -> Result<String, DeviceError> {
    let wrong = || place.bad("expected a whole number or up to 64 letters, digits, '.', '_', ':' and '-'");
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Number(number) => Some(number.as_str())
            .filter(|literal| literal.bytes().all(|b| b.is_ascii_digit()))
            .ok_or_else(wrong)?
            .to_owned(),
        _ => return Err(wrong()),
    };
    let sound = (1..=SEQUENCE_BYTES_MAX).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._:-".contains(&b));
    if sound { Ok(text) } else { Err(wrong()) }
}

fn value(fields: &mut Fields<'_>, measure: Measure) -> Result<Content, DeviceError> {
    let place = fields.place;
    let value = fields.number("value")?;
    let unit = fields.text("unit", WORD_BYTES_MAX)?;
    let specimen = if measure == Measure::BloodGlucose {
        let words = Specimen::ALL.map(Specimen::as_str);
        let word = fields.optional_word("specimen", &words)?;
        let named = |specimen: &Specimen| word == Some(specimen.as_str());
        Some(Specimen::ALL.into_iter().find(named).unwrap_or(Specimen::Blood))
    } else {
        None
    };
    value_of(measure, (value, &place.member("value")), (unit, &place.member("unit")), specimen)
}

fn pressures(fields: &mut Fields<'_>) -> Result<Content, DeviceError> {
    let place = fields.place;
    let unit = fields.text("unit", WORD_BYTES_MAX)?;
    let mut found = vec![
        (Pressure::Systolic, "systolic", fields.number("systolic")?),
        (Pressure::Diastolic, "diastolic", fields.number("diastolic")?),
    ];
    if let Some(mean) = fields.optional_number("mean")? {
        found.push((Pressure::Mean, "mean", mean));
    }
    for (pressure, name, value) in &found {
        check_pressure(*pressure, (value, &place.member(name)), (unit, &place.member("unit")))?;
    }
    let found: Vec<_> = found.into_iter().map(|(pressure, _, value)| (pressure, value)).collect();
    check_order(&found, place)?;
    Ok(Content::Pressures(found))
}

/// A curve lasts from its first sample to the end of its last.
fn curve(
    fields: &mut Fields<'_>,
    measure: Measure,
    start: Moment,
    samples_left: &mut usize,
) -> Result<(Content, When), DeviceError> {
    // A sample a minute is no curve any more, and a nanosecond is beyond any converter.
    const PERIOD_MILLISECONDS: std::ops::RangeInclusive<f64> = 0.01..=60_000.0;
    let place = fields.place;
    let unit = fields.text("unit", WORD_BYTES_MAX)?;
    let expected: &[&'static str] = if measure == Measure::Ecg { &["mV", "uV"] } else { &["1"] };
    let Some(unit) = expected.iter().find(|known| **known == unit) else {
        return Err(DeviceError::WrongUnit {
            place: place.member("unit").to_string(),
            what: "the curve",
            expected: expected.join(" or "),
        });
    };
    let period = fields.number("period_ms")?;
    if !PERIOD_MILLISECONDS.contains(&period.approximate()) {
        return Err(place.member("period_ms").bad("expected milliseconds between two samples, from 0.01 to 60000"));
    }
    let list_place = place.member("channels");
    let list = fields.required("channels")?.as_array().ok_or_else(|| list_place.bad("expected a list"))?;
    let alone = measure == Measure::Plethysmogram;
    if list.is_empty() || list.len() > CHANNELS_MAX || (alone && list.len() > 1) {
        return Err(list_place.bad("expected 1 to 16 channels, 1 of a plethysmogram"));
    }
    let mut channels: Vec<Channel> = Vec::with_capacity(list.len());
    for (at, one) in list.iter().enumerate() {
        let here = list_place.element(at);
        let found = channel(Fields::open(one, &here)?, measure, samples_left)?;
        if channels.iter().any(|before| before.lead == found.lead) {
            return Err(here.bad("the lead occurs twice"));
        }
        if channels.first().is_some_and(|first| first.samples != found.samples) {
            return Err(here.bad("all channels need equally many samples"));
        }
        channels.push(found);
    }
    let samples = channels.first().map_or(0, |first| first.samples);
    let length =
        Duration::checked_seconds_f64(period.approximate() * f64::from(u32::try_from(samples).unwrap_or(0)) / 1000.0);
    let end = length.and_then(|length| start.after(length)).ok_or_else(|| list_place.bad("the curve is too long"))?;
    let when = When::Period { start: start.text, end };
    Ok((Content::Curve { unit, period_milliseconds: period, channels }, when))
}

fn channel(mut fields: Fields<'_>, measure: Measure, samples_left: &mut usize) -> Result<Channel, DeviceError> {
    let place = fields.place;
    let lead = match measure {
        Measure::Ecg => {
            let name = fields.text("lead", WORD_BYTES_MAX)?;
            Some(lead_code(name).ok_or_else(|| place.member("lead").bad("expected a lead of 12, or unspecified"))?)
        }
        _ => None,
    };
    let origin = fields.optional_number("origin")?;
    let factor = fields.optional_number("factor")?;
    if factor.as_ref().is_some_and(|factor| factor.approximate() <= 0.0) {
        return Err(place.member("factor").bad("expected a number above 0"));
    }
    let lower_limit = fields.optional_number("lower_limit")?;
    let upper_limit = fields.optional_number("upper_limit")?;
    let list_place = place.member("samples");
    let list = fields.required("samples")?.as_array().ok_or_else(|| list_place.bad("expected a list"))?;
    if list.is_empty() {
        return Err(list_place.bad("the list is empty"));
    }
    *samples_left = samples_left.checked_sub(list.len()).ok_or(DeviceError::TooManySamples { limit: SAMPLES_MAX })?;
    let mut data = String::with_capacity(list.len() * 5);
    for (at, sample) in list.iter().enumerate() {
        if at > 0 {
            data.push(' ');
        }
        let place = list_place.element(at);
        if sample.is_string() {
            data.push_str(missing_sample(text(sample, &place, 1)?, (&lower_limit, &upper_limit), &place)?);
        } else {
            data.push_str(whole_sample(sample, &place)?.literal());
        }
    }
    let samples = list.len();
    fields.finish()?;
    Ok(Channel { lead, origin, factor, lower_limit, upper_limit, data, samples })
}

/// `E`, `L` and `U` stand for no valid value, and for values beyond a limit, which must then be named
/// (FHIR R4 datatypes.html, SampledData).
fn missing_sample<'v>(
    letter: &'v str,
    (lower, upper): (&Option<Decimal>, &Option<Decimal>),
    place: &Place<'_>,
) -> Result<&'v str, DeviceError> {
    match (letter, lower, upper) {
        ("E", _, _) | ("L", Some(_), _) | ("U", _, Some(_)) => Ok(letter),
        ("L", None, _) | ("U", _, None) => Err(place.bad("name lower_limit for L and upper_limit for U")),
        _ => Err(place.bad("expected a whole number, E, L or U")),
    }
}

fn whole_sample(value: &Value, place: &Place<'_>) -> Result<Decimal, DeviceError> {
    /// Longest sample, in bytes: 32 bits with a sign.
    const SAMPLE_BYTES_MAX: usize = 11;
    let sample = Decimal::read(value, place)?;
    if sample.is_integer() && sample.literal().len() <= SAMPLE_BYTES_MAX {
        Ok(sample)
    } else {
        Err(place.bad("expected a whole number of 32 bits; use factor and origin"))
    }
}
