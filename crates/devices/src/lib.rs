//! Measurements of enrolled devices as FHIR R4 Observations with their Device and units in UCUM. A gateway hands in the
//! bytes that came by MQTT or HTTPS, the enrolment of the device that sent them and the time, and gets a transaction to
//! store. The crate reaches no socket, file or clock, proves nobody's identity and stores nothing.
//!
//! # For makers of devices
//!
//! Publish to the MQTT topic `sealwort/devices/<device id>/measurements`, or `POST` to the path
//! `/devices/<device id>/measurements`, with the user name and password of the device's credentials. One payload is one
//! JSON document in UTF-8, of at most 4 MiB, with at most 1000 measurements and 600,000 samples of curves. A payload is
//! stored as a whole or refused as a whole. Until it was acknowledged, keep it and send it again: nothing is stored
//! twice. Measurements may be as old as they are; a time more than 5 minutes ahead of the gateway is refused. Numbers
//! are kept digit for digit: send `1.10` if the device shows two decimals. No member may occur twice in an object, and
//! none may be there that the format does not have.
//!
//! What the payload is, it says itself: by `format`, `header.schema_id` or `resourceType`, or by the member that names
//! the measure of an Open mHealth body.
//!
//! ## Our own format
//!
//! One measurement:
//!
//! ```json
//! {"format": "sealwort-measurements/1", "sequence": 1041, "time": "2026-11-28T19:44:40+01:00",
//!  "measure": "heart-rate", "value": 72, "unit": "/min"}
//! ```
//!
//! Several:
//!
//! ```json
//! {"format": "sealwort-measurements/1", "measurements": [
//!   {"sequence": 1042, "time": "2026-11-28T19:45:10+01:00",
//!    "measure": "blood-pressure", "systolic": 121, "diastolic": 79, "mean": 93, "unit": "mm[Hg]", "site": "left upper arm"},
//!   {"sequence": 1043, "time": "2026-11-28T19:46:00+01:00",
//!    "measure": "blood-glucose", "value": 5.60, "unit": "mmol/L", "specimen": "capillary-blood", "note": "before breakfast"}]}
//! ```
//!
//! | member | what it is |
//! |---|---|
//! | `sequence` | a whole number or up to 64 letters, digits, `.`, `_`, `:`, `-`; never used for another measurement of this device |
//! | `time` | RFC 3339 with seconds and zone; of a curve, the time of its first sample |
//! | `measure`, `unit` | see the next table |
//! | `value` | a number without quotes and exponent |
//! | `systolic`, `diastolic`, `mean` | instead of `value`; `mean` may be left out |
//! | `specimen` | of glucose: `blood` (if left out), `capillary-blood`, `plasma`, `serum`, `interstitial-fluid` |
//! | `site`, `note` | words, up to 64 and 1000 bytes; may be left out |
//!
//! | measure | unit: lowest to highest value taken in |
//! |---|---|
//! | `heart-rate` | `/min`: 15 to 350 |
//! | `oxygen-saturation` | `%`: 20 to 100 |
//! | `blood-pressure` | `mm[Hg]`: systolic 30 to 350, diastolic 10 to 250, mean 15 to 300, in ascending order |
//! | `body-temperature` | `Cel`: 15 to 46, `[degF]`: 59 to 114.8 |
//! | `body-weight` | `kg`: 0.2 to 700, `g`: 200 to 700000, `[lb_av]`: 0.44 to 1543 |
//! | `body-height` | `cm`: 15 to 280, `[in_i]`: 5.9 to 110.2 |
//! | `blood-glucose` | `mg/dL`: 9 to 1800, `mmol/L`: 0.5 to 100 |
//! | `respiratory-rate` | `/min`: 1 to 150 |
//! | `ecg` | `mV` or `uV` |
//! | `plethysmogram` | `1` |
//!
//! Curves have `period_ms`, the milliseconds between two samples, and `channels` of equally many whole-number
//! `samples`. A sample times `factor` (1 if left out) plus `origin` (0 if left out) is the value in `unit`. `"E"` stands
//! for an invalid sample, `"L"` and `"U"` for one beyond `lower_limit` and `upper_limit`. Each channel of an ECG names
//! its `lead`: `I`, `II`, `III`, `aVR`, `aVL`, `aVF`, `V1` to `V6` or `unspecified`; a plethysmogram has one channel
//! without.
//!
//! ```json
//! {"format": "sealwort-measurements/1", "sequence": "night-7:12", "time": "2026-11-28T02:00:00.500Z",
//!  "measure": "ecg", "unit": "mV", "period_ms": 8, "channels": [
//!    {"lead": "II", "factor": 0.005, "origin": -5.12, "samples": [995, 995, 997, "E", 1002]},
//!    {"lead": "V5", "factor": 0.005, "origin": -5.12, "samples": [1011, 1011, 1008, 1008, 1007]}]}
//! ```
//!
//! ## Open mHealth
//!
//! A data point, or a list of data points, whose `schema_id` names heart-rate 1.0 to 2.0, oxygen-saturation 1.0 and 2.0,
//! blood-pressure 1.0 to 4.0, body-temperature 1.0 to 4.0, body-weight 1.0 to 3.0, body-height 1.0 and 2.0,
//! blood-glucose 1.0 to 4.0 or respiratory-rate 1.0 and 2.0 of the namespace `omh`. The header's `id` is the sequence.
//!
//! ```json
//! {"header": {"id": "123e4567-e89b-12d3-a456-426655440000", "creation_date_time": "2026-11-28T07:25:10Z",
//!             "schema_id": {"namespace": "omh", "name": "heart-rate", "version": "2.0"},
//!             "acquisition_provenance": {"source_name": "Watch", "modality": "sensed"}},
//!  "body": {"heart_rate": {"value": 67.5, "unit": "beats/min"},
//!           "effective_time_frame": {"date_time": "2026-11-28T07:25:00Z"},
//!           "temporal_relationship_to_sleep": "on waking"}}
//! ```
//!
//! A bare body is read by the newest version of its schema, and known again by its time and values:
//!
//! ```json
//! {"body_temperature": {"value": 36.80, "unit": "C"}, "measurement_location": "oral",
//!  "effective_time_frame": {"date_time": "2026-11-28T07:25:00Z"}}
//! ```
//!
//! ## FHIR R4
//!
//! An Observation, or a Bundle (transaction, batch or collection) of Observations with their Devices and the Patient, as
//! Personal Health Gateways send them. The patient must be the enrolled one: by `Patient/<id>` at this gateway, by the
//! enrolled identifier, or by a Patient in the Bundle that has it. Each Observation needs an identifier or an id, each
//! Device an identifier. Codes and units are those of the table above; Observations with other codes are taken if the
//! device is enrolled for `other`. References to what is not in the payload become references by identifier; `contained`
//! resources are refused; ids, labels and versions are not kept.
//!
//! ```json
//! {"resourceType": "Observation", "status": "final",
//!  "identifier": [{"system": "urn:example:gateway", "value": "77-2026112807250000-150364"}],
//!  "category": [{"coding": [{"system": "http://terminology.hl7.org/CodeSystem/observation-category", "code": "vital-signs"}]}],
//!  "code": {"coding": [{"system": "urn:iso:std:iso:11073:10101", "code": "150364"},
//!                      {"system": "http://loinc.org", "code": "8310-5"}]},
//!  "effectiveDateTime": "2026-11-28T07:25:00+01:00",
//!  "valueQuantity": {"value": 36.5, "unit": "C", "system": "http://unitsofmeasure.org", "code": "Cel"}}
//! ```

use std::collections::BTreeSet;
use std::fmt;

use serde_json::Value;
use time::OffsetDateTime;

mod address;
mod credentials;
mod enrolment;
mod error;
mod fields;
mod measure;
mod measurement;
mod moment;
mod observation;
mod open_mhealth;
mod own;
mod personal_health;
mod personal_health_values;

pub use address::{TOPIC_FILTER, device_of_path, device_of_topic, path_of, topic_of};
pub use credentials::{DeviceEndpoints, credentials, pairing_code, read_pairing_code};
pub use enrolment::{
    DEVICE_ID_BYTES_MAX, DEVICE_NAME_BYTES_MAX, DeviceId, DeviceSecret, Enrolled, EnrolledIdentifier, EnrolledPatient,
    Enrolment, EnrolmentError, PATIENT_IDENTIFIER_BYTES_MAX, SECRET_BYTES, SecretHash,
};
pub use error::DeviceError;
pub use measure::Measure;
pub use measurement::{MEASUREMENTS_MAX, SAMPLES_MAX};
pub use moment::CLOCK_AHEAD_SECONDS_MAX;
pub use observation::{DEVICE_SYSTEM, MEASUREMENT_SYSTEM};
pub use own::{NOTE_BYTES_MAX, OWN_FORMAT, SEQUENCE_BYTES_MAX};

/// Largest payload, in bytes.
pub const PAYLOAD_BYTES_MAX: usize = 4 * 1024 * 1024;

/// A payload as what to store.
#[derive(Clone, PartialEq, Eq)]
pub struct Mapped {
    /// A FHIR transaction Bundle: the device by conditional update, each Observation by conditional create.
    pub bundle: Vec<u8>,
    /// How many measurements it holds.
    pub measurements: usize,
}

/// Shows the count alone: the Bundle is a patient's.
impl fmt::Debug for Mapped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Mapped({} measurements)", self.measurements)
    }
}

/// Turns what an enrolled device sent into a FHIR transaction. The caller has proved that it was this device.
///
/// # Errors
/// Any [`DeviceError`]; nothing of the payload is to be stored then.
pub fn to_fhir(enrolled: &Enrolled, payload: &[u8], now: OffsetDateTime) -> Result<Mapped, DeviceError> {
    if enrolled.is_revoked() {
        return Err(DeviceError::Revoked);
    }
    if payload.len() > PAYLOAD_BYTES_MAX {
        return Err(DeviceError::TooLarge { bytes: payload.len(), limit: PAYLOAD_BYTES_MAX });
    }
    let payload = sealwort_fhir::read_json(payload, "$")?;
    let (entries, measurements) = match format_of(&payload)? {
        Format::Fhir => personal_health::read(enrolled, payload, now)?,
        Format::Own => mapped(enrolled, &own::read(enrolled, &payload, now)?),
        Format::DataPoint => {
            let one = open_mhealth::read_data_point(enrolled, &payload, &fields::Place::Root, now)?;
            mapped(enrolled, &[one])
        }
        Format::DataPoints(list) => mapped(enrolled, &open_mhealth::read_data_points(enrolled, list, now)?),
        Format::Body => mapped(enrolled, &[open_mhealth::read_body(enrolled, &payload, now)?]),
    };
    check_distinct(&entries)?;
    Ok(Mapped { bundle: observation::transaction(enrolled, entries), measurements })
}

enum Format<'v> {
    Own,
    DataPoint,
    DataPoints(&'v [Value]),
    Body,
    Fhir,
}

/// What the payload says it is; two answers are none.
fn format_of(payload: &Value) -> Result<Format<'_>, DeviceError> {
    if let Value::Array(list) = payload {
        return Ok(Format::DataPoints(list));
    }
    let says = [
        payload.get("format").map(|_| Format::Own),
        payload.get("header").map(|_| Format::DataPoint),
        payload.get("resourceType").map(|_| Format::Fhir),
        open_mhealth::is_body(payload).then_some(Format::Body),
    ];
    let mut said = says.into_iter().flatten();
    match (said.next(), said.next()) {
        (Some(format), None) => Ok(format),
        _ => Err(DeviceError::UnknownFormat { place: "$".to_owned() }),
    }
}

fn mapped(enrolled: &Enrolled, measurements: &[measurement::Measurement]) -> (Vec<observation::Entry>, usize) {
    (measurements.iter().map(|one| observation::entry(enrolled, one)).collect(), measurements.len())
}

/// Of two entries with one identity the server would store the first and drop the second in silence.
fn check_distinct(entries: &[observation::Entry]) -> Result<(), DeviceError> {
    let mut seen = BTreeSet::new();
    match entries.iter().position(|entry| !seen.insert((&entry.url, &entry.if_none_exist))) {
        Some(at) => Err(DeviceError::Repeated { place: format!("measurement {}", at + 1) }),
        None => Ok(()),
    }
}
