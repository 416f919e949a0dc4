//! Plain names: of what is measured most often, of units, and of whatever else once what only machines need is taken away.

use serde_json::Value;

use crate::display::{codes, concept, has_words, text};

/// Codes of the two parts of a blood pressure, as [`series`] gives them.
pub(super) const SYSTOLIC: &str = "http://loinc.org 8480-6";
pub(super) const DIASTOLIC: &str = "http://loinc.org 8462-4";

const LOINC: &str = "http://loinc.org";
const SNOMED_CT: &str = "http://snomed.info/sct";

/// Codes of LOINC, what they are, and whether they are vital signs. Where one thing has several of them, the one that says
/// most of how it was measured stands later. Every specimen and method has a name of its own.
const KNOWN: &[(&str, &str, bool)] = &[
    ("85353-1", "Vital signs", true),
    ("85354-9", "Blood pressure", true),
    ("8480-6", "Upper blood pressure", true),
    ("8462-4", "Lower blood pressure", true),
    ("8867-4", "Heart rate", true),
    ("9279-1", "Breathing rate", true),
    ("8310-5", "Body temperature", true),
    ("8331-1", "Body temperature (mouth)", true),
    ("2708-6", "Oxygen in the blood", true),
    ("59408-5", "Oxygen in the blood (pulse oximeter)", true),
    ("29463-7", "Weight", true),
    ("3141-9", "Weight (measured)", true),
    ("8302-2", "Height", true),
    ("39156-5", "Body mass index", true),
    ("9843-4", "Head circumference", true),
    ("8280-0", "Waist size", true),
    ("72514-3", "Pain", true),
    ("2339-0", "Blood sugar (whole blood)", false),
    ("15074-8", "Blood sugar (whole blood)", false),
    ("2345-7", "Blood sugar (serum)", false),
    ("4548-4", "Long-term blood sugar (HbA1c)", false),
    ("2093-3", "Cholesterol", false),
    ("2085-9", "HDL cholesterol", false),
    ("18262-6", "LDL cholesterol", false),
    ("2571-8", "Blood fats (triglycerides)", false),
    ("718-7", "Haemoglobin", false),
    ("38483-4", "Creatinine (whole blood)", false),
    ("2160-0", "Creatinine (serum)", false),
    ("33914-3", "Kidney function (eGFR)", false),
    ("72166-2", "Smoking", false),
];

/// Codes that say the same as one of those: the older one of LOINC for both parts, and SNOMED CT's for each.
const SAME: &[(&str, &str, &str)] =
    &[(LOINC, "55284-4", "85354-9"), (SNOMED_CT, "271649006", "8480-6"), (SNOMED_CT, "271650006", "8462-4")];

/// Units of UCUM that nobody would say so.
const UNITS: &[(&str, &str)] = &[
    ("mm[Hg]", "mmHg"),
    ("Cel", "°C"),
    ("[degF]", "°F"),
    ("/min", "per minute"),
    ("{beats}/min", "per minute"),
    ("{Beats}/min", "per minute"),
    ("beats/min", "per minute"),
    ("beats/minute", "per minute"),
    ("{breaths}/min", "per minute"),
    ("breaths/minute", "per minute"),
    ("kg/m2", "kg/m²"),
    ("[lb_av]", "lb"),
    ("[in_i]", "in"),
    ("{score}", ""),
    ("1", ""),
    ("10*3/uL", "thousand per µL"),
    ("10*6/uL", "million per µL"),
    ("10*9/L", "billion per L"),
    ("ug/L", "µg/L"),
    ("ug/dL", "µg/dL"),
    ("umol/L", "µmol/L"),
    ("uL", "µL"),
    ("m[IU]/L", "mIU/L"),
    ("[IU]/L", "IU/L"),
    ("U/L", "U/L"),
];

/// What SNOMED CT puts behind its names to tell their kind.
const TAGS: &[&str] = &[
    "body structure",
    "clinical drug",
    "disorder",
    "environment",
    "event",
    "finding",
    "medicinal product",
    "medicinal product form",
    "morphologic abnormality",
    "observable entity",
    "occupation",
    "organism",
    "person",
    "physical object",
    "procedure",
    "product",
    "qualifier value",
    "record artifact",
    "regime/therapy",
    "situation",
    "social concept",
    "specimen",
    "substance",
];

/// By which words things are called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Names {
    /// Those that everybody knows, where there are such.
    Plain,
    /// Those of the data, which say specimen and method, where it has any. The parts of a blood pressure keep their names.
    OfTheData,
}

impl Names {
    /// What a concept is called.
    pub(super) fn of(self, coded: &Value) -> Option<String> {
        let own = || concept(coded).map(|name| tidy(&name)).filter(|name| !name.is_empty());
        let known = known(coded);
        let is_part = known.is_some_and(|(code, ..)| SYSTOLIC.ends_with(code) || DIASTOLIC.ends_with(code));
        let plain = known.map(|(_, name, _)| (*name).to_owned());
        match self {
            Self::OfTheData if has_words(coded) && !is_part => own().or(plain),
            _ => plain.or_else(own),
        }
    }
}

/// What is known of a concept, by whichever of its codes says most.
pub(super) fn known(coded: &Value) -> Option<&'static (&'static str, &'static str, bool)> {
    let places = codes(coded).filter_map(|(system, code)| {
        let same = SAME.iter().find(|(of, other, _)| *of == system && *other == code).map(|(.., code)| *code);
        let code = same.or((system == LOINC).then_some(code))?;
        KNOWN.iter().position(|(known, ..)| *known == code)
    });
    KNOWN.get(places.max()?)
}

/// By what values of the same belong together: one code, of LOINC where there is one.
pub(super) fn series(coded: &Value) -> Option<String> {
    if let Some((code, ..)) = known(coded) {
        return Some(format!("{LOINC} {code}"));
    }
    let loinc = codes(coded).find(|(system, _)| *system == LOINC);
    let code = loinc.or_else(|| codes(coded).next()).map(|(system, code)| format!("{system} {code}"));
    code.or_else(|| text(coded, "text").map(str::to_lowercase))
}

/// A unit as people write it.
pub fn unit(written: &str) -> String {
    let known = UNITS.iter().find(|(code, _)| *code == written).map(|(_, plain)| *plain);
    known.map_or_else(|| tidy(written), str::to_owned)
}

/// Text on one line, at most 200 characters, without what SNOMED CT adds, and without characters that change how what
/// stands around them is read (Unicode TR36, section 2.10).
pub fn tidy(text: &str) -> String {
    let plain: String = text
        .chars()
        .map(|c| if c.is_whitespace() || c.is_control() { ' ' } else { c })
        .filter(|c| !misleads(*c))
        .collect();
    let mut words = plain.split_whitespace().collect::<Vec<_>>().join(" ");
    while let Some(short) = without_tag(&words).map(str::len) {
        words.truncate(short);
    }
    if words.chars().count() > TEXT_CHARACTERS_MAX {
        words = words.chars().take(TEXT_CHARACTERS_MAX - 1).chain(['…']).collect();
    }
    words
}

fn without_tag(text: &str) -> Option<&str> {
    let (before, tag) = text.strip_suffix(')')?.rsplit_once(" (")?;
    (TAGS.contains(&tag) && !before.trim().is_empty()).then(|| before.trim_end())
}

fn misleads(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{061c}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

const TEXT_CHARACTERS_MAX: usize = 200;
