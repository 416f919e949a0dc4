//! Plain names: of what is measured most often, of units, and of whatever else once what only machines need is taken away.

/// Codes of the two parts of a blood pressure, as [`key`] gives them.
pub(super) const SYSTOLIC: &str = "loinc 8480-6";
pub(super) const DIASTOLIC: &str = "loinc 8462-4";

const LOINC: &str = "http://loinc.org";

/// Codes of LOINC, what they are, and whether they are vital signs.
const KNOWN: &[(&str, &str, bool)] = &[
    ("85354-9", "Blood pressure", true),
    ("55284-4", "Blood pressure", true),
    ("8480-6", "Upper blood pressure", true),
    ("8462-4", "Lower blood pressure", true),
    ("8867-4", "Heart rate", true),
    ("9279-1", "Breathing rate", true),
    ("8310-5", "Body temperature", true),
    ("8331-1", "Body temperature", true),
    ("2708-6", "Oxygen in the blood", true),
    ("59408-5", "Oxygen in the blood", true),
    ("29463-7", "Weight", true),
    ("3141-9", "Weight", true),
    ("8302-2", "Height", true),
    ("39156-5", "Body mass index", true),
    ("9843-4", "Head circumference", true),
    ("8280-0", "Waist size", true),
    ("72514-3", "Pain", true),
    ("85353-1", "Vital signs", true),
    ("2339-0", "Blood sugar", false),
    ("2345-7", "Blood sugar", false),
    ("15074-8", "Blood sugar", false),
    ("4548-4", "Long-term blood sugar (HbA1c)", false),
    ("2093-3", "Cholesterol", false),
    ("2085-9", "HDL cholesterol", false),
    ("18262-6", "LDL cholesterol", false),
    ("2571-8", "Blood fats (triglycerides)", false),
    ("718-7", "Haemoglobin", false),
    ("2160-0", "Creatinine", false),
    ("38483-4", "Creatinine", false),
    ("33914-3", "Kidney function (eGFR)", false),
    ("72166-2", "Smoking", false),
];

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

/// The plain name of a code.
pub(super) fn of(system: &str, code: &str) -> Option<&'static str> {
    (system == LOINC).then(|| KNOWN.iter().find(|(known, ..)| *known == code).map(|(_, name, _)| *name)).flatten()
}

/// Whether it is a vital sign though its resource does not say so.
pub(super) fn is_vital(system: &str, code: &str) -> bool {
    system == LOINC && KNOWN.iter().any(|(known, _, vital)| *known == code && *vital)
}

/// By what values of the same belong together.
pub(super) fn key(system: &str, code: &str) -> String {
    // Two codes of one name are one thing to people.
    let first = of(system, code).and_then(|name| KNOWN.iter().find(|(_, known, _)| *known == name));
    match first {
        Some((first, ..)) => format!("loinc {first}"),
        None => format!("{system} {code}"),
    }
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
