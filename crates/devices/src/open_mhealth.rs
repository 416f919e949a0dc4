//! Data points of Open mHealth (<https://github.com/openmhealth/schemas>, `schema/omh`), with header or as a bare body.
//! What the schemas allow beside the value goes into site, method and notes of the Observation, in the schemas' words.
//! Members that no schema names are refused, although the schemas would let them pass: they would be lost.

use serde_json::Value;
use time::{Duration, OffsetDateTime};

use crate::enrolment::Enrolled;
use crate::error::DeviceError;
use crate::fields::{Decimal, Fields, Place};
use crate::measure::{Measure, Pressure, Specimen};
use crate::measurement::{
    Content, MEASUREMENTS_MAX, Measurement, Remarks, check_enrolled, check_order, check_pressure, value_of,
};
use crate::moment::{Moment, When, check_day, period};
use crate::own::{NOTE_BYTES_MAX, sequence};

/// Longest name or unit, in bytes.
const WORD_BYTES_MAX: usize = 64;

/// A schema that is taken in.
struct Schema {
    name: &'static str,
    measure: Measure,
    /// The member by which a bare body is known.
    member: &'static str,
    versions: &'static [&'static str],
    /// First major version that asks for a time.
    timed_from: u8,
    /// First major version whose times are those of IEEE 1752.1, without parts of the day.
    exact_from: u8,
}

const fn schema(
    name: &'static str,
    measure: Measure,
    member: &'static str,
    versions: &'static [&'static str],
    (timed_from, exact_from): (u8, u8),
) -> Schema {
    Schema { name, measure, member, versions, timed_from, exact_from }
}

const NEVER: u8 = u8::MAX;

static SCHEMAS: [Schema; 8] = [
    schema("heart-rate", Measure::HeartRate, "heart_rate", &["1.0", "1.1", "2.0"], (2, NEVER)),
    schema("oxygen-saturation", Measure::OxygenSaturation, "oxygen_saturation", &["1.0", "2.0"], (2, NEVER)),
    schema(
        "blood-pressure",
        Measure::BloodPressure,
        "systolic_blood_pressure",
        &["1.0", "2.0", "3.0", "3.1", "4.0"],
        (3, 4),
    ),
    schema("body-temperature", Measure::BodyTemperature, "body_temperature", &["1.0", "2.0", "3.0", "4.0"], (3, 4)),
    schema("body-weight", Measure::BodyWeight, "body_weight", &["1.0", "2.0", "3.0"], (2, 3)),
    schema("body-height", Measure::BodyHeight, "body_height", &["1.0", "2.0"], (2, 2)),
    schema("blood-glucose", Measure::BloodGlucose, "blood_glucose", &["1.0", "2.0", "3.0", "4.0"], (3, 4)),
    schema("respiratory-rate", Measure::RespiratoryRate, "respiratory_rate", &["1.0", "2.0"], (2, NEVER)),
];

/// Whether an object has the member by which a bare body is known.
pub(crate) fn is_body(payload: &Value) -> bool {
    SCHEMAS.iter().any(|schema| payload.get(schema.member).is_some())
}

/// Reads a data point: header and body.
pub(crate) fn read_data_point(
    enrolled: &Enrolled,
    payload: &Value,
    place: &Place<'_>,
    now: OffsetDateTime,
) -> Result<Measurement, DeviceError> {
    let mut fields = Fields::open(payload, place)?;
    let header_place = place.member("header");
    let header = header(Fields::open(fields.required("header")?, &header_place)?, now)?;
    let body_place = place.member("body");
    let body = Fields::open(fields.required("body")?, &body_place)?;
    fields.finish()?;
    let mut measurement = measurement(enrolled, header.schema, header.major, body, now)?;
    measurement.identity = header.id;
    measurement.issued = Some(header.created);
    measurement.remarks.notes.extend(header.notes);
    Ok(measurement)
}

/// Reads a list of data points, each with its header.
pub(crate) fn read_data_points(
    enrolled: &Enrolled,
    list: &[Value],
    now: OffsetDateTime,
) -> Result<Vec<Measurement>, DeviceError> {
    if list.is_empty() {
        return Err(DeviceError::UnknownFormat { place: Place::Root.to_string() });
    }
    if list.len() > MEASUREMENTS_MAX {
        return Err(DeviceError::TooManyMeasurements { limit: MEASUREMENTS_MAX });
    }
    let read = |(at, one): (usize, &Value)| {
        let place = Place::Root.element(at);
        if one.get("header").is_none() {
            return Err(DeviceError::UnknownFormat { place: place.to_string() });
        }
        read_data_point(enrolled, one, &place, now)
    };
    list.iter().enumerate().map(read).collect()
}

/// Reads a bare body, by the newest version of its schema. It has no id: a repetition is known by what it says.
pub(crate) fn read_body(enrolled: &Enrolled, payload: &Value, now: OffsetDateTime) -> Result<Measurement, DeviceError> {
    let named: Vec<&Schema> = SCHEMAS.iter().filter(|schema| payload.get(schema.member).is_some()).collect();
    let [schema] = named.as_slice() else {
        return Err(DeviceError::UnknownFormat { place: Place::Root.to_string() });
    };
    let newest = schema.versions.last().copied().map_or(0, major);
    measurement(enrolled, schema, newest, Fields::open(payload, &Place::Root)?, now)
}

struct Header {
    id: String,
    created: String,
    schema: &'static Schema,
    major: u8,
    notes: Vec<String>,
}

fn major(version: &str) -> u8 {
    version.split('.').next().and_then(|digits| digits.parse().ok()).unwrap_or(0)
}

/// Reads a header (`header-1.x.json`). The `user_id` is another system's name for somebody; the enrolment alone says
/// whose measurement it is.
fn header(mut fields: Fields<'_>, now: OffsetDateTime) -> Result<Header, DeviceError> {
    let place = fields.place;
    let id = sequence(fields.required("id")?, &place.member("id"))?;
    let created =
        Moment::read(fields.text("creation_date_time", WORD_BYTES_MAX)?, &place.member("creation_date_time"), now)?;
    let schema_place = place.member("schema_id");
    let mut named = Fields::open(fields.required("schema_id")?, &schema_place)?;
    let namespace = named.text("namespace", WORD_BYTES_MAX)?;
    let name = named.text("name", WORD_BYTES_MAX)?;
    let version = named.text("version", WORD_BYTES_MAX)?;
    named.finish()?;
    let known = |schema: &&Schema| schema.name == name && schema.versions.contains(&version) && namespace == "omh";
    let schema =
        SCHEMAS.iter().find(known).ok_or_else(|| DeviceError::UnknownMeasure { place: schema_place.to_string() })?;
    let mut notes = Vec::new();
    if let Some(provenance) = fields.optional("acquisition_provenance") {
        let place = place.member("acquisition_provenance");
        let mut fields = Fields::open(provenance, &place)?;
        notes.push(format!("source: {}", fields.text("source_name", NOTE_BYTES_MAX)?));
        for name in ["source_creation_date_time", "source_last_modification_date_time"] {
            if let Some(text) = fields.optional_text(name, WORD_BYTES_MAX)? {
                Moment::read(text, &place.member(name), now)?;
            }
        }
        let source_id = fields.optional_text("source_data_point_id", NOTE_BYTES_MAX)?;
        notes.extend(source_id.map(|id| format!("source data point: {id}")));
        let modality = fields.optional_word("modality", &["sensed", "self-reported"])?;
        notes.extend(modality.map(|modality| format!("modality: {modality}")));
        fields.finish()?;
    }
    fields.optional_text("user_id", NOTE_BYTES_MAX)?;
    fields.finish()?;
    Ok(Header { id, created: created.text, schema, major: major(version), notes })
}

fn measurement(
    enrolled: &Enrolled,
    schema: &Schema,
    major: u8,
    mut fields: Fields<'_>,
    now: OffsetDateTime,
) -> Result<Measurement, DeviceError> {
    let place = fields.place;
    check_enrolled(enrolled, schema.measure, place)?;
    let content = match schema.measure {
        Measure::BloodPressure => pressures(&mut fields)?,
        measure => value(&mut fields, measure, schema.member)?,
    };
    let frame_place = place.member("effective_time_frame");
    let when = match fields.optional("effective_time_frame") {
        Some(frame) => time_frame(Fields::open(frame, &frame_place)?, major >= schema.exact_from, now)?,
        None if major >= schema.timed_from => return Err(frame_place.missing()),
        None => When::Unknown,
    };
    let mut remarks = remarks(&mut fields, schema.measure)?;
    if let When::Day { part, .. } = &when {
        remarks.notes.push(format!("part of day: {part}"));
    }
    fields.finish()?;
    let identity = identity(schema, &when, &content, &remarks);
    Ok(Measurement { identity, measure: schema.measure, when, issued: None, content, remarks })
}

/// All that a bare body says that could tell it from another.
fn identity(schema: &Schema, when: &When, content: &Content, remarks: &Remarks) -> String {
    let values: Vec<&str> = match content {
        Content::Value { value, .. } => vec![value.literal()],
        Content::Pressures(pressures) => pressures.iter().map(|(_, value)| value.literal()).collect(),
        Content::Curve { .. } => Vec::new(),
    };
    let statistic = remarks.statistic.map_or("", |(code, _)| code);
    format!("{}@{}={}@{statistic}", schema.name, when.identity(), values.join("/"))
}

/// The UCUM code of a unit as Open mHealth writes it. Others of its units are not in FHIR's profiles; they are passed
/// on and refused there.
fn ucum(unit: &str) -> &str {
    match unit {
        "beats/min" | "breaths/min" => "/min",
        "mmHg" => "mm[Hg]",
        "C" => "Cel",
        "F" => "[degF]",
        "lb" => "[lb_av]",
        "in" => "[in_i]",
        // FHIR's own spellings are not those of the schemas.
        "/min" | "mm[Hg]" | "Cel" | "[degF]" | "[lb_av]" | "[in_i]" => "",
        same => same,
    }
}

/// Reads a unit value (`unit-value-1.0.json`).
fn unit_value<'v>(value: &'v Value, place: &'v Place<'v>, per_minute: &str) -> Result<(Decimal, &'v str), DeviceError> {
    let mut fields = Fields::open(value, place)?;
    let number = fields.number("value")?;
    let unit = fields.text("unit", WORD_BYTES_MAX)?;
    fields.finish()?;
    // Beats are not breaths.
    let other = ["beats/min", "breaths/min"].contains(&unit) && unit != per_minute;
    Ok((number, if other { "" } else { ucum(unit) }))
}

fn value(fields: &mut Fields<'_>, measure: Measure, member: &'static str) -> Result<Content, DeviceError> {
    let place = fields.place.member(member);
    let per_minute = if measure == Measure::RespiratoryRate { "breaths/min" } else { "beats/min" };
    let (value, unit) = unit_value(fields.required(member)?, &place, per_minute)?;
    let specimen = if measure == Measure::BloodGlucose { Some(specimen(fields)?) } else { None };
    value_of(measure, (value, &place.member("value")), (unit, &place.member("unit")), specimen)
}

/// `blood_specimen_type` of version 1, `specimen_source` of the later ones. Breath, sweat, saliva, tears and urine have
/// other codes and other ranges than blood, and are not taken.
fn specimen(fields: &mut Fields<'_>) -> Result<Specimen, DeviceError> {
    const WORDS: [(&str, Specimen); 5] = [
        ("whole blood", Specimen::Blood),
        ("capillary blood", Specimen::CapillaryBlood),
        ("plasma", Specimen::Plasma),
        ("serum", Specimen::Serum),
        ("interstitial fluid", Specimen::InterstitialFluid),
    ];
    let words = WORDS.map(|(word, _)| word);
    let old = fields.optional_word("blood_specimen_type", &words)?;
    let word = fields.optional_word("specimen_source", &words)?.or(old);
    Ok(WORDS.into_iter().find(|(known, _)| Some(*known) == word).map_or(Specimen::Blood, |(_, specimen)| specimen))
}

fn pressures(fields: &mut Fields<'_>) -> Result<Content, DeviceError> {
    let place = fields.place;
    let mut found = Vec::new();
    for (pressure, member) in
        [(Pressure::Systolic, "systolic_blood_pressure"), (Pressure::Diastolic, "diastolic_blood_pressure")]
    {
        let here = place.member(member);
        let (value, unit) = unit_value(fields.required(member)?, &here, "")?;
        check_pressure(pressure, (&value, &here.member("value")), (unit, &here.member("unit")))?;
        found.push((pressure, value));
    }
    check_order(&found, place)?;
    Ok(Content::Pressures(found))
}

/// Reads a time frame: a point in time, or an interval in one of its four forms.
fn time_frame(mut fields: Fields<'_>, exact: bool, now: OffsetDateTime) -> Result<When, DeviceError> {
    let place = fields.place;
    let when = match (fields.optional_text("date_time", WORD_BYTES_MAX)?, fields.optional("time_interval")) {
        (Some(text), None) => When::At(Moment::read(text, &place.member("date_time"), now)?),
        (None, Some(interval)) => {
            let place = place.member("time_interval");
            time_interval(Fields::open(interval, &place)?, exact, now)?
        }
        _ => return Err(place.bad("expected either date_time or time_interval")),
    };
    fields.finish()?;
    Ok(when)
}

fn time_interval(mut fields: Fields<'_>, exact: bool, now: OffsetDateTime) -> Result<When, DeviceError> {
    let place = fields.place;
    let mut moment = |name: &'static str| -> Result<Option<Moment>, DeviceError> {
        let text = fields.optional_text(name, WORD_BYTES_MAX)?;
        text.map(|text| Moment::read(text, &place.member(name), now)).transpose()
    };
    let (start, end) = (moment("start_date_time")?, moment("end_date_time")?);
    let duration_place = place.member("duration");
    let length = fields.optional("duration").map(|value| duration(value, &duration_place)).transpose()?;
    let date = fields.optional_text("date", WORD_BYTES_MAX)?;
    let part = fields.optional_word("part_of_day", &["morning", "afternoon", "evening", "night"])?;
    fields.finish()?;
    let shifted = |moment: &Moment, by: Duration| {
        moment.after(by).ok_or_else(|| place.member("duration").bad("the duration is too long"))
    };
    match (start, end, length, date, part) {
        (Some(start), Some(end), None, None, None) => period(start, end, place),
        (Some(start), None, Some(length), None, None) => {
            let end = shifted(&start, length)?;
            Ok(When::Period { start: start.text, end })
        }
        (None, Some(end), Some(length), None, None) => {
            let start = shifted(&end, -length)?;
            Ok(When::Period { start, end: end.text })
        }
        (None, None, None, Some(date), Some(part)) if !exact => {
            check_day(date, &place.member("date"), now)?;
            Ok(When::Day { date: date.to_owned(), part })
        }
        _ => {
            Err(place.bad("expected two of start, end and duration, or date and part_of_day where the schema has them"))
        }
    }
}

/// Reads a duration (`duration-unit-value-1.0.json`); months and years have no fixed length and are not taken.
fn duration(value: &Value, place: &Place<'_>) -> Result<Duration, DeviceError> {
    let mut fields = Fields::open(value, place)?;
    let number = fields.number("value")?;
    let units = ["ms", "sec", "min", "h", "d", "wk"];
    let unit = fields.optional_word("unit", &units)?.ok_or_else(|| place.member("unit").missing())?;
    fields.finish()?;
    let seconds = match unit {
        "ms" => 0.001,
        "sec" => 1.0,
        "min" => 60.0,
        "h" => 3600.0,
        "d" => 86_400.0,
        _ => 604_800.0,
    };
    Some(number.approximate() * seconds)
        .filter(|seconds| *seconds >= 0.0)
        .and_then(Duration::checked_seconds_f64)
        .ok_or_else(|| place.bad("expected a duration of 0 or more"))
}

fn remarks(fields: &mut Fields<'_>, measure: Measure) -> Result<Remarks, DeviceError> {
    const POSTURES: &[&str] = &["sitting", "lying down", "standing", "semi-recumbent"];
    const ACTIVITY: &[&str] = &["at rest", "active", "before exercise", "after exercise", "during exercise"];
    const SLEEP: &[&str] = &["before sleeping", "during sleep", "on waking"];
    let mut remarks = Remarks { statistic: statistic(fields)?, ..Remarks::default() };
    let words: &[(&'static str, &'static [&'static str])] = match measure {
        Measure::BloodPressure => &[
            ("body_posture", POSTURES),
            ("position_during_measurement", POSTURES),
            ("temporal_relationship_to_physical_activity", ACTIVITY),
        ],
        Measure::HeartRate => {
            &[("temporal_relationship_to_physical_activity", ACTIVITY), ("temporal_relationship_to_sleep", SLEEP)]
        }
        Measure::RespiratoryRate => &[("temporal_relationship_to_physical_activity", ACTIVITY)],
        Measure::BodyTemperature => &[("temporal_relationship_to_sleep", SLEEP)],
        Measure::BloodGlucose => &[("temporal_relationship_to_meal", MEALS), ("temporal_relationship_to_sleep", SLEEP)],
        Measure::OxygenSaturation => &[
            ("system", &["peripheral capillary"]),
            ("measurement_method", &["pulse oximetry"]),
            ("oxygen_therapy_mode_of_administration", &["nasal cannula"]),
        ],
        _ => &[],
    };
    for (member, words) in words {
        if let Some(word) = fields.optional_word(member, words)? {
            remarks.notes.push(format!("{}: {word}", member.replace('_', " ")));
        }
    }
    if measure == Measure::OxygenSaturation
        && let Some(flow) = fields.optional("supplemental_oxygen_flow_rate")
    {
        let place = fields.place.member("supplemental_oxygen_flow_rate");
        let (value, unit) = unit_value(flow, &place, "")?;
        if unit != "L/min" || value.approximate() < 0.0 {
            return Err(place.bad("expected L/min"));
        }
        remarks.notes.push(format!("supplemental oxygen flow rate: {} L/min", value.literal()));
    }
    let sites: &[&'static str] = match measure {
        Measure::BloodPressure => LIMBS,
        Measure::BodyTemperature => TEMPERATURE_SITES,
        _ => &[],
    };
    if !sites.is_empty() {
        remarks.site = fields.optional_word("measurement_location", sites)?.map(str::to_owned);
    }
    let notes = fields.optional_text("user_notes", NOTE_BYTES_MAX)?;
    remarks.notes.extend(notes.map(str::to_owned));
    Ok(remarks)
}

const MEALS: &[&str] = &[
    "fasting",
    "not fasting",
    "before meal",
    "after meal",
    "before breakfast",
    "after breakfast",
    "before lunch",
    "after lunch",
    "before dinner",
    "after dinner",
    "2 hours postprandial",
    "not related to meals",
    "with meal",
    "with food",
];
const LIMBS: &[&str] = &[
    "left ankle",
    "right ankle",
    "left hip",
    "right hip",
    "left thigh",
    "right thigh",
    "left thorax",
    "middle left thorax",
    "left upper arm",
    "right upper arm",
    "left wrist",
    "right wrist",
];
/// Of versions 1 and 2 and later together.
const TEMPERATURE_SITES: &[&str] = &[
    "oral",
    "rectal",
    "vaginal",
    "vagina",
    "axillary",
    "otic",
    "tympanic",
    "wrist",
    "chest",
    "temporal",
    "temporal artery",
    "finger",
    "toe",
    "forehead",
];

/// A statistic that is itself a value of the measure. Counts, sums and measures of spread are not: a chart of heart
/// rates must not show a deviation of 4.
fn statistic(fields: &mut Fields<'_>) -> Result<Option<(&'static str, &'static str)>, DeviceError> {
    const WORDS: [(&str, &str, &str); 12] = [
        ("average", "average", "Average"),
        ("maximum", "maximum", "Maximum"),
        ("minimum", "minimum", "Minimum"),
        ("median", "median", "Median"),
        ("20th percentile", "20-percent", "20th Percentile"),
        ("80th percentile", "80-percent", "80th Percentile"),
        ("lower quartile", "4-lower", "Lower Quartile"),
        ("upper quartile", "4-upper", "Upper Quartile"),
        ("1st quintile", "5-1", "1st Quintile"),
        ("2nd quintile", "5-2", "2nd Quintile"),
        ("3rd quintile", "5-3", "3rd Quintile"),
        ("4th quintile", "5-4", "4th Quintile"),
    ];
    let words = WORDS.map(|(word, ..)| word);
    let found = fields.optional_word("descriptive_statistic", &words)?;
    Ok(WORDS.into_iter().find(|(word, ..)| Some(*word) == found).map(|(_, code, display)| (code, display)))
}
