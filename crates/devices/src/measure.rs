//! What devices measure: its codes, its units, and the range that is plausible. One table; formats and FHIR are read
//! and written by it. Codes and units are those of the vital signs profiles of FHIR R4 (observation-vitalsigns.html,
//! required codes and units), IEEE 11073-10101 and, for glucose, LOINC and the HL7 guide "Continuous Glucose
//! Monitoring". Only units of the profiles are taken: a conversion would change the digits that the device sent.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::error::DeviceError;
use crate::fields::{Decimal, Place};

/// LOINC.
pub(crate) const LOINC: &str = "http://loinc.org";
/// IEEE 11073-10101, the nomenclature of medical devices.
pub(crate) const MDC: &str = "urn:iso:std:iso:11073:10101";
/// Units of measure.
pub(crate) const UCUM: &str = "http://unitsofmeasure.org";

/// What a device may be enrolled for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Measure {
    /// Heart or pulse rate.
    HeartRate,
    /// Saturation of arterial blood with oxygen, by pulse oximetry.
    OxygenSaturation,
    /// Systolic, diastolic and, if measured, mean pressure.
    BloodPressure,
    /// Temperature of the body.
    BodyTemperature,
    /// Weight of the body.
    BodyWeight,
    /// Height of the body.
    BodyHeight,
    /// Glucose in blood, plasma, serum or interstitial fluid.
    BloodGlucose,
    /// Breaths.
    RespiratoryRate,
    /// Samples of an electrocardiogram.
    Ecg,
    /// Samples of a pulse oximeter's curve.
    Plethysmogram,
    /// Observations of a personal health gateway that are none of the above: status, events, clocks. Never in our own
    /// format.
    Other,
}

impl Measure {
    /// All measures.
    pub const ALL: [Self; 11] = [
        Self::HeartRate,
        Self::OxygenSaturation,
        Self::BloodPressure,
        Self::BodyTemperature,
        Self::BodyWeight,
        Self::BodyHeight,
        Self::BloodGlucose,
        Self::RespiratoryRate,
        Self::Ecg,
        Self::Plethysmogram,
        Self::Other,
    ];

    /// The name in enrolments and payloads.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::HeartRate => "heart-rate",
            Self::OxygenSaturation => "oxygen-saturation",
            Self::BloodPressure => "blood-pressure",
            Self::BodyTemperature => "body-temperature",
            Self::BodyWeight => "body-weight",
            Self::BodyHeight => "body-height",
            Self::BloodGlucose => "blood-glucose",
            Self::RespiratoryRate => "respiratory-rate",
            Self::Ecg => "ecg",
            Self::Plethysmogram => "plethysmogram",
            Self::Other => "other",
        }
    }

    /// The measure of a name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|measure| measure.as_str() == name)
    }

    /// `Observation.category`: glucose is no vital sign of R4, and curves are recorded, not read off.
    pub(crate) fn category(self) -> (&'static str, &'static str) {
        match self {
            Self::BloodGlucose => ("laboratory", "Laboratory"),
            Self::Ecg | Self::Plethysmogram => ("procedure", "Procedure"),
            _ => ("vital-signs", "Vital Signs"),
        }
    }

    /// `Observation.code`. Glucose depends on unit and specimen, see [`Specimen::code`].
    pub(crate) fn codes(self) -> &'static [Code] {
        match self {
            Self::HeartRate => const { &[Code::loinc("8867-4", "Heart rate")] },
            // The profile asks for 2708-6; 59408-5 says that it was measured through the skin.
            Self::OxygenSaturation => {
                const {
                    &[
                        Code::loinc("2708-6", "Oxygen saturation in Arterial blood"),
                        Code::loinc("59408-5", "Oxygen saturation in Arterial blood by Pulse oximetry"),
                        Code::mdc("150456", "MDC_PULS_OXIM_SAT_O2"),
                    ]
                }
            }
            Self::BloodPressure => {
                const {
                    &[
                        Code::loinc("85354-9", "Blood pressure panel with all children optional"),
                        Code::mdc("150020", "MDC_PRESS_BLD_NONINV"),
                    ]
                }
            }
            Self::BodyTemperature => {
                const { &[Code::loinc("8310-5", "Body temperature"), Code::mdc("150364", "MDC_TEMP_BODY")] }
            }
            Self::BodyWeight => {
                const { &[Code::loinc("29463-7", "Body weight"), Code::mdc("188736", "MDC_MASS_BODY_ACTUAL")] }
            }
            Self::BodyHeight => {
                const { &[Code::loinc("8302-2", "Body height"), Code::mdc("188740", "MDC_LEN_BODY_ACTUAL")] }
            }
            Self::RespiratoryRate => {
                const { &[Code::loinc("9279-1", "Respiratory rate"), Code::mdc("151562", "MDC_RESP_RATE")] }
            }
            Self::Ecg => const { &[Code::mdc("131328", "MDC_ECG_ELEC_POTL"), Code::loinc("11524-6", "EKG study")] },
            Self::Plethysmogram => const { &[Code::mdc("150452", "MDC_PULS_OXIM_PLETH")] },
            Self::BloodGlucose | Self::Other => &[],
        }
    }

    /// The measure of a coding that somebody else wrote.
    pub(crate) fn of_code(system: &str, code: &str) -> Option<Self> {
        let known = |measure: &Self| measure.codes().iter().any(|known| known.is(system, code));
        if let Some(measure) = Self::ALL.iter().find(|measure| known(measure)) {
            return Some(*measure);
        }
        match (system, code) {
            // Of an ECG, of a pulse oximeter, of a cuff.
            (MDC, "147842" | "149530" | "149546") => Some(Self::HeartRate),
            (MDC, "131329" | "131330" | "131331" | "131332" | "131333" | "131334" | "131335" | "131336") => {
                Some(Self::Ecg)
            }
            (MDC, "131389" | "131390" | "131391" | "131392") => Some(Self::Ecg),
            // Oral, in the ear, in the armpit, rectal.
            (LOINC, "8331-1" | "8333-7" | "8328-7" | "8332-9") => Some(Self::BodyTemperature),
            // Capillary, venous, arterial, control, interstitial and undetermined concentrations.
            (MDC, "160184" | "160188" | "160192" | "160196" | "160200" | "160204" | "160212" | "160364" | "160368") => {
                Some(Self::BloodGlucose)
            }
            _ => Specimen::ALL
                .iter()
                .flat_map(|specimen| [specimen.code("mg/dL"), specimen.code("mmol/L")])
                .any(|known| known.is(system, code))
                .then_some(Self::BloodGlucose),
        }
    }

    /// What its one value is measured on; nothing for panels, curves and the rest.
    pub(crate) fn scale(self) -> Option<&'static Scale> {
        match self {
            Self::HeartRate => Some(&HEART_RATE),
            Self::OxygenSaturation => Some(&OXYGEN_SATURATION),
            Self::BodyTemperature => Some(&BODY_TEMPERATURE),
            Self::BodyWeight => Some(&BODY_WEIGHT),
            Self::BodyHeight => Some(&BODY_HEIGHT),
            Self::BloodGlucose => Some(&BLOOD_GLUCOSE),
            Self::RespiratoryRate => Some(&RESPIRATORY_RATE),
            Self::BloodPressure | Self::Ecg | Self::Plethysmogram | Self::Other => None,
        }
    }
}

impl fmt::Display for Measure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A code with its system and its name there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Code {
    pub(crate) system: &'static str,
    pub(crate) value: &'static str,
    pub(crate) display: &'static str,
}

impl Code {
    pub(crate) const fn loinc(code: &'static str, display: &'static str) -> Self {
        Self { system: LOINC, value: code, display }
    }

    pub(crate) const fn mdc(code: &'static str, display: &'static str) -> Self {
        Self { system: MDC, value: code, display }
    }

    pub(crate) fn is(&self, system: &str, code: &str) -> bool {
        self.system == system && self.value == code
    }
}

/// A unit of a scale with the lowest and highest value that is taken in.
#[derive(Debug)]
pub(crate) struct Unit {
    /// The UCUM code, which is shown as well.
    pub(crate) ucum: &'static str,
    low: &'static str,
    high: &'static str,
}

const fn unit(ucum: &'static str, low: &'static str, high: &'static str) -> Unit {
    Unit { ucum, low, high }
}

/// What a value is measured on.
#[derive(Debug)]
pub(crate) struct Scale {
    /// The word for it.
    pub(crate) what: &'static str,
    units: &'static [Unit],
}

// The ranges are wider than anything that a patient survives for long, and narrower than what a loose sensor, a wrong
// unit or a lost decimal point gives.
const HEART_RATE: Scale = Scale { what: "heart rate", units: &[unit("/min", "15", "350")] };
const OXYGEN_SATURATION: Scale = Scale { what: "oxygen saturation", units: &[unit("%", "20", "100")] };
const RESPIRATORY_RATE: Scale = Scale { what: "respiratory rate", units: &[unit("/min", "1", "150")] };
const BODY_TEMPERATURE: Scale =
    Scale { what: "body temperature", units: &[unit("Cel", "15", "46"), unit("[degF]", "59", "114.8")] };
const BODY_WEIGHT: Scale = Scale {
    what: "body weight",
    units: &[unit("kg", "0.2", "700"), unit("g", "200", "700000"), unit("[lb_av]", "0.44", "1543")],
};
const BODY_HEIGHT: Scale =
    Scale { what: "body height", units: &[unit("cm", "15", "280"), unit("[in_i]", "5.9", "110.2")] };
const BLOOD_GLUCOSE: Scale =
    Scale { what: "glucose", units: &[unit("mg/dL", "9", "1800"), unit("mmol/L", "0.5", "100")] };

impl Scale {
    /// Finds the unit.
    pub(crate) fn unit(&'static self, ucum: &str, place: &Place<'_>) -> Result<&'static Unit, DeviceError> {
        self.units.iter().find(|unit| unit.ucum == ucum).ok_or_else(|| DeviceError::WrongUnit {
            place: place.to_string(),
            what: self.what,
            expected: self.units.iter().map(|unit| unit.ucum).collect::<Vec<_>>().join(" or "),
        })
    }

    /// Checks that a value is plausible.
    pub(crate) fn check(&self, unit: &Unit, value: &Decimal, place: &Place<'_>) -> Result<(), DeviceError> {
        let within = |low: &str, high: &str| {
            let (low, high): (f64, f64) = (low.parse().ok()?, high.parse().ok()?);
            Some((low..=high).contains(&value.approximate()))
        };
        if within(unit.low, unit.high) == Some(true) {
            return Ok(());
        }
        Err(DeviceError::Implausible {
            place: place.to_string(),
            what: self.what,
            low: unit.low,
            high: unit.high,
            unit: unit.ucum,
        })
    }
}

/// One pressure of the panel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pressure {
    Systolic,
    Diastolic,
    Mean,
}

impl Pressure {
    pub(crate) const ALL: [Self; 3] = [Self::Systolic, Self::Diastolic, Self::Mean];

    pub(crate) fn codes(self) -> &'static [Code] {
        match self {
            Self::Systolic => {
                const { &[Code::loinc("8480-6", "Systolic blood pressure"), Code::mdc("150021", "MDC_PRESS_BLD_NONINV_SYS")] }
            }
            Self::Diastolic => {
                const {
                    &[
                        Code::loinc("8462-4", "Diastolic blood pressure"),
                        Code::mdc("150022", "MDC_PRESS_BLD_NONINV_DIA"),
                    ]
                }
            }
            Self::Mean => {
                const { &[Code::loinc("8478-0", "Mean blood pressure"), Code::mdc("150023", "MDC_PRESS_BLD_NONINV_MEAN")] }
            }
        }
    }

    pub(crate) fn of_code(system: &str, code: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|pressure| pressure.codes().iter().any(|known| known.is(system, code)))
    }

    pub(crate) fn scale(self) -> &'static Scale {
        const SYSTOLIC: Scale = Scale { what: "systolic pressure", units: &[unit("mm[Hg]", "30", "350")] };
        const DIASTOLIC: Scale = Scale { what: "diastolic pressure", units: &[unit("mm[Hg]", "10", "250")] };
        const MEAN: Scale = Scale { what: "mean pressure", units: &[unit("mm[Hg]", "15", "300")] };
        match self {
            Self::Systolic => &SYSTOLIC,
            Self::Diastolic => &DIASTOLIC,
            Self::Mean => &MEAN,
        }
    }
}

/// Where the glucose was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Specimen {
    Blood,
    CapillaryBlood,
    Plasma,
    Serum,
    InterstitialFluid,
}

impl Specimen {
    pub(crate) const ALL: [Self; 5] =
        [Self::Blood, Self::CapillaryBlood, Self::Plasma, Self::Serum, Self::InterstitialFluid];

    /// The name in our own format; Open mHealth has a space for the hyphen.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Blood => "blood",
            Self::CapillaryBlood => "capillary-blood",
            Self::Plasma => "plasma",
            Self::Serum => "serum",
            Self::InterstitialFluid => "interstitial-fluid",
        }
    }

    /// The LOINC code, which tells mass from amount of substance.
    pub(crate) fn code(self, ucum: &str) -> Code {
        let molar = ucum == "mmol/L";
        match (self, molar) {
            (Self::Blood, false) => Code::loinc("2339-0", "Glucose [Mass/volume] in Blood"),
            (Self::Blood, true) => Code::loinc("15074-8", "Glucose [Moles/volume] in Blood"),
            (Self::CapillaryBlood, false) => {
                Code::loinc("41653-7", "Glucose [Mass/volume] in Capillary blood by Glucometer")
            }
            (Self::CapillaryBlood, true) => {
                Code::loinc("14743-9", "Glucose [Moles/volume] in Capillary blood by Glucometer")
            }
            (Self::Plasma | Self::Serum, false) => Code::loinc("2345-7", "Glucose [Mass/volume] in Serum or Plasma"),
            (Self::Plasma | Self::Serum, true) => Code::loinc("14749-6", "Glucose [Moles/volume] in Serum or Plasma"),
            (Self::InterstitialFluid, false) => Code::loinc("99504-3", "Glucose [Mass/volume] in Interstitial fluid"),
            (Self::InterstitialFluid, true) => Code::loinc("105272-9", "Glucose [Moles/volume] in Interstitial fluid"),
        }
    }
}

/// The lead of an ECG. IEEE 11073-10101 numbers a lead's potential by adding the lead to 131328.
pub(crate) fn lead_code(lead: &str) -> Option<Code> {
    Some(match lead {
        "unspecified" => Code::mdc("131328", "MDC_ECG_ELEC_POTL"),
        "I" => Code::mdc("131329", "MDC_ECG_ELEC_POTL_I"),
        "II" => Code::mdc("131330", "MDC_ECG_ELEC_POTL_II"),
        "III" => Code::mdc("131389", "MDC_ECG_ELEC_POTL_III"),
        "aVR" => Code::mdc("131390", "MDC_ECG_ELEC_POTL_AVR"),
        "aVL" => Code::mdc("131391", "MDC_ECG_ELEC_POTL_AVL"),
        "aVF" => Code::mdc("131392", "MDC_ECG_ELEC_POTL_AVF"),
        "V1" => Code::mdc("131331", "MDC_ECG_ELEC_POTL_V1"),
        "V2" => Code::mdc("131332", "MDC_ECG_ELEC_POTL_V2"),
        "V3" => Code::mdc("131333", "MDC_ECG_ELEC_POTL_V3"),
        "V4" => Code::mdc("131334", "MDC_ECG_ELEC_POTL_V4"),
        "V5" => Code::mdc("131335", "MDC_ECG_ELEC_POTL_V5"),
        "V6" => Code::mdc("131336", "MDC_ECG_ELEC_POTL_V6"),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_codes_lead_back() {
        for measure in Measure::ALL {
            assert_eq!(Measure::named(measure.as_str()), Some(measure));
            let written = serde_json::to_value(measure).unwrap();
            assert_eq!(written, measure.as_str(), "serde and as_str agree");
            for code in measure.codes() {
                assert_eq!(Measure::of_code(code.system, code.value), Some(measure));
            }
        }
        assert_eq!(Measure::named("pulse"), None);
        assert_eq!(Measure::of_code(LOINC, "718-7"), None);
        assert_eq!(Measure::of_code("http://example.org", "8867-4"), None);
        for specimen in Specimen::ALL {
            for unit in ["mg/dL", "mmol/L"] {
                assert_eq!(Measure::of_code(LOINC, specimen.code(unit).value), Some(Measure::BloodGlucose));
            }
        }
    }

    #[test]
    fn every_range_is_one() {
        let scales = Measure::ALL.iter().filter_map(|measure| measure.scale());
        for scale in scales.chain(Pressure::ALL.iter().map(|pressure| pressure.scale())) {
            for unit in scale.units {
                let (low, high): (f64, f64) = (unit.low.parse().unwrap(), unit.high.parse().unwrap());
                assert!(0.0 < low && low < high, "{}", scale.what);
            }
        }
    }
}
