//! The confidentiality label of a resource, read from its security codings in the style of DS4P:
//! sensitivity from v3-ActCode, level from v3-Confidentiality. The label selects the key a record is
//! sealed under, so it fails closed: what we do not know counts as very restricted.

use std::fmt;

use crate::Resource;

/// Code system of sensitivities.
pub const SENSITIVITY_SYSTEM: &str = "http://terminology.hl7.org/CodeSystem/v3-ActCode";
/// Code system of confidentiality levels.
pub const CONFIDENTIALITY_SYSTEM: &str = "http://terminology.hl7.org/CodeSystem/v3-Confidentiality";

/// Code systems whose codes in `meta.security` restrict nobody's reading: why data exist (test data)
/// and how sound they are. Codes of any other system that we do not know count as restricting.
static HARMLESS_SYSTEMS: &[&str] = &[
    "http://terminology.hl7.org/CodeSystem/v3-ActReason",
    "http://terminology.hl7.org/CodeSystem/v3-ObservationValue",
];

/// Sensitivity codes of v3-ActCode that we tell apart.
static SENSITIVITIES: &[(&str, Label)] = &[
    ("BH", Label::Psychiatry),
    ("COGN", Label::Psychiatry),
    ("EMOTDIS", Label::Psychiatry),
    ("ETH", Label::SubstanceUse),
    ("ETHUD", Label::SubstanceUse),
    ("GDIS", Label::Genetics),
    ("HIV", Label::Hiv),
    ("MH", Label::Psychiatry),
    ("OPIOIDUD", Label::SubstanceUse),
    ("PSY", Label::Psychiatry),
    ("PSYTHPN", Label::Psychiatry),
    ("SDV", Label::Violence),
    ("SEX", Label::Sexuality),
    ("STD", Label::Sexuality),
    ("SUD", Label::SubstanceUse),
    ("VIO", Label::Violence),
];

/// What kind of confidential matter a resource holds. Consent is given by label.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Label {
    /// Ordinary clinical data.
    General,
    /// Mental and behavioural health.
    Psychiatry,
    /// Use of alcohol, opioids and other substances.
    SubstanceUse,
    /// Sexuality, reproduction and sexually transmitted disease.
    Sexuality,
    /// HIV and AIDS.
    Hiv,
    /// Genetic disease.
    Genetics,
    /// Sexual assault, abuse, domestic and other violence.
    Violence,
    /// Very restricted, of several kinds, or of a kind that we do not know.
    VeryRestricted,
}

impl Label {
    /// Every label.
    pub const ALL: [Self; 8] = [
        Self::General,
        Self::Psychiatry,
        Self::SubstanceUse,
        Self::Sexuality,
        Self::Hiv,
        Self::Genetics,
        Self::Violence,
        Self::VeryRestricted,
    ];

    /// The label of what both are labels of: two kinds together are very restricted.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::General, label) | (label, Self::General) => label,
            (label, same) if label == same => label,
            _ => Self::VeryRestricted,
        }
    }

    /// The name on the command line and in configuration.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::General => "general",
            Self::Psychiatry => "psychiatry",
            Self::SubstanceUse => "substance-use",
            Self::Sexuality => "sexuality",
            Self::Hiv => "hiv",
            Self::Genetics => "genetics",
            Self::Violence => "violence",
            Self::VeryRestricted => "very-restricted",
        }
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A coding of `meta.security`: the parts that carry meaning. One that is empty stands for something
/// that could not be read as a coding.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct SecurityCoding {
    /// The code system.
    pub system: Option<String>,
    /// The code.
    pub code: Option<String>,
}

/// The label that a sensitivity of v3-ActCode stands for; `None` for one that is not told apart.
pub fn kind_of_sensitivity(code: &str) -> Option<Label> {
    let at = SENSITIVITIES.binary_search_by_key(&code, |(known, _)| known).ok()?;
    SENSITIVITIES.get(at).map(|(_, label)| *label)
}

/// The label of a resource.
pub fn label_of(resource: &Resource) -> Label {
    label_of_codings(resource.security())
}

/// The label that codings add up to.
///
/// One kind of sensitivity gives its label. Several kinds, a sensitivity or system that we do not
/// know, the level V, or the level R without a kind give [`Label::VeryRestricted`]. Levels up to N,
/// or nothing at all, give [`Label::General`].
pub fn label_of_codings<'a>(codings: impl IntoIterator<Item = &'a SecurityCoding>) -> Label {
    let mut kind = Label::General;
    let mut restricted = false;
    for coding in codings {
        match meaning(coding) {
            Meaning::Open => {}
            Meaning::Restricted => restricted = true,
            Meaning::Kind(Label::VeryRestricted) => return Label::VeryRestricted,
            Meaning::Kind(found) if kind == Label::General || kind == found => kind = found,
            Meaning::Kind(_) => return Label::VeryRestricted,
        }
    }
    if restricted && kind == Label::General { Label::VeryRestricted } else { kind }
}

enum Meaning {
    Open,
    Restricted,
    Kind(Label),
}

fn meaning(coding: &SecurityCoding) -> Meaning {
    let code = coding.code.as_deref().unwrap_or_default();
    match coding.system.as_deref() {
        Some(SENSITIVITY_SYSTEM) => Meaning::Kind(kind_of_sensitivity(code).unwrap_or(Label::VeryRestricted)),
        Some(CONFIDENTIALITY_SYSTEM) => match code {
            "U" | "L" | "M" | "N" => Meaning::Open,
            "R" => Meaning::Restricted,
            _ => Meaning::Kind(Label::VeryRestricted),
        },
        Some(system) if HARMLESS_SYSTEMS.contains(&system) => Meaning::Open,
        _ => Meaning::Kind(Label::VeryRestricted),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

    use super::*;

    #[test]
    fn sensitivities_are_in_order() {
        assert!(SENSITIVITIES.is_sorted_by(|a, b| a.0 < b.0));
    }

    #[test]
    fn labels_of_codings() {
        let coding = |text: &str| {
            let (system, code) = text.split_once(':').unwrap();
            let system = match system {
                "a" => SENSITIVITY_SYSTEM,
                "c" => CONFIDENTIALITY_SYSTEM,
                "r" => "http://terminology.hl7.org/CodeSystem/v3-ActReason",
                other => other,
            };
            SecurityCoding { system: Some(system.to_owned()), code: Some(code.to_owned()) }
        };
        for (codings, expected) in [
            ("", Label::General),
            ("c:N", Label::General),
            ("c:U c:L c:M", Label::General),
            ("r:HTEST", Label::General),
            ("c:R", Label::VeryRestricted),
            ("c:V", Label::VeryRestricted),
            ("c:X", Label::VeryRestricted),
            ("a:PSY", Label::Psychiatry),
            ("a:PSYTHPN a:BH", Label::Psychiatry),
            ("c:R a:PSY", Label::Psychiatry),
            ("a:PSY c:R", Label::Psychiatry),
            ("c:V a:PSY", Label::VeryRestricted),
            ("a:ETH", Label::SubstanceUse),
            ("a:ETHUD", Label::SubstanceUse),
            ("a:OPIOIDUD", Label::SubstanceUse),
            ("a:SUD", Label::SubstanceUse),
            ("a:SEX", Label::Sexuality),
            ("a:STD", Label::Sexuality),
            ("a:HIV", Label::Hiv),
            ("a:GDIS", Label::Genetics),
            ("a:SDV", Label::Violence),
            ("a:VIO", Label::Violence),
            ("a:HIV a:PSY", Label::VeryRestricted),
            ("a:HIV c:N a:HIV", Label::Hiv),
            ("a:TBOO", Label::VeryRestricted),
            ("a:psy", Label::VeryRestricted),
            ("a:NODSCLCD", Label::VeryRestricted),
            ("urn:ours:secret", Label::VeryRestricted),
        ] {
            let list: Vec<_> = codings.split_whitespace().map(coding).collect();
            assert_eq!(label_of_codings(&list), expected, "{codings}");
        }
    }

    #[test]
    fn labels_of_resources() {
        const HIV: &str = r#"{"system":"http://terminology.hl7.org/CodeSystem/v3-ActCode","code":"HIV"}"#;
        for (body, expected) in [
            (r#""resourceType":"Basic""#.to_owned(), Label::General),
            (r#""resourceType":"Basic","meta":{"security":[]}"#.to_owned(), Label::General),
            (format!(r#""meta":{{"security":[{HIV}]}},"resourceType":"Basic""#), Label::Hiv),
            (format!(r#""meta":{{"tag":[{HIV}]}},"resourceType":"Basic""#), Label::General),
            // Not lists of codings: closed.
            (format!(r#""resourceType":"Basic","meta":{{"security":{HIV}}}"#), Label::VeryRestricted),
            (r#""resourceType":"Basic","meta":{"security":["HIV"]}"#.to_owned(), Label::VeryRestricted),
            (r#""resourceType":"Basic","meta":{"security":[{"display":"x"}]}"#.to_owned(), Label::VeryRestricted),
            (
                format!(
                    r#""resourceType":"Basic","contained":[{{"resourceType":"Basic","meta":{{"security":[{HIV}]}}}}]"#
                ),
                Label::Hiv,
            ),
            (r#""resourceType":"Composition","confidentiality":"N""#.to_owned(), Label::General),
            (r#""confidentiality":"R","resourceType":"Composition""#.to_owned(), Label::VeryRestricted),
            (r#""resourceType":"Composition","confidentiality":7"#.to_owned(), Label::VeryRestricted),
            (format!(r#""securityLabel":[{{"coding":[{HIV}]}}],"resourceType":"DocumentReference""#), Label::Hiv),
            (
                r#""resourceType":"DocumentReference","securityLabel":[{"text":"secret"}]"#.to_owned(),
                Label::VeryRestricted,
            ),
            (
                format!(r#""resourceType":"DocumentReference","securityLabel":[{{"coding":[{HIV}]}},{{"coding":[]}}]"#),
                Label::VeryRestricted,
            ),
            (
                format!(
                    r#""resourceType":"DocumentReference","securityLabel":[{{"coding":[{HIV}]}},{{"coding":[{HIV}]}}]"#
                ),
                Label::Hiv,
            ),
            // Elements of that name in other types mean other things.
            (format!(r#""securityLabel":[{{"coding":[{HIV}]}}],"resourceType":"Basic""#), Label::General),
        ] {
            let resource = Resource::parse(format!("{{{body}}}").into_bytes()).unwrap();
            assert_eq!(label_of(&resource), expected, "{body}");
        }
    }
}
