//! Labelling by rules that are data: value sets of codes, each of which tells of a kind of confidential matter. A rule
//! only ever adds to what a resource's own security codings say. The rules look at codings wherever they stand in a
//! resource, its security and tags aside; they follow no references and read no text.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;

use serde::Deserialize;
use serde_json::Value;

use crate::label::{self, Label};
use crate::{FhirError, Resource};

/// Most rules in a file.
pub const RULES_MAX: usize = 1000;
/// Most codes and beginnings of codes in a file.
pub const RULE_CODES_MAX: usize = 200_000;

/// Rules, ready to be asked.
#[derive(Debug, Default)]
pub struct LabelRules {
    rules: Vec<LabelRule>,
    systems: HashMap<String, Codes>,
}

/// The codes of one code system, and which rules they are of.
#[derive(Debug, Default)]
struct Codes {
    whole: HashMap<String, Vec<usize>>,
    below: BTreeMap<String, Vec<usize>>,
}

/// A rule: a value set, and what its codes tell of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabelRule {
    /// Its name in the file.
    pub name: String,
    /// The sensitivity, a code of v3-ActCode.
    pub sensitivity: String,
    /// The label that it stands for.
    pub label: Label,
    /// Where the codes are from.
    pub source: String,
}

/// A coding that a rule is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LabelMatch<'a> {
    /// The rule.
    pub rule: &'a LabelRule,
    /// Where the coding stands: `Condition.code.coding[0]`.
    pub expression: String,
    /// Its code system.
    pub system: String,
    /// Its code.
    pub code: String,
}

/// A file of rules, as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleFile {
    #[serde(default)]
    rule: Vec<WrittenRule>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenRule {
    name: String,
    sensitivity: String,
    source: String,
    systems: Vec<String>,
    /// Codes as they are.
    #[serde(default)]
    codes: Vec<String>,
    /// Beginnings of codes: of classifications whose codes are longer the more exact they are.
    #[serde(default)]
    below: Vec<String>,
}

/// Why rules cannot be used. The fault is whoever wrote the file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LabelRulesError {
    /// Not TOML, or not of this form; with the place.
    #[error("{0}")]
    Form(String),
    /// A rule that cannot be kept.
    #[error("rule {name}: {reason}")]
    Rule {
        /// Its name, or its number where it has none.
        name: String,
        /// What is wrong, and what would be right.
        reason: String,
    },
    /// Past a limit.
    #[error("the file has more than {RULES_MAX} rules or {RULE_CODES_MAX} codes: split off what is not needed")]
    TooMany,
}

impl LabelRules {
    /// Reads a file of rules in TOML.
    ///
    /// # Errors
    /// [`LabelRulesError`], naming the first thing found wrong.
    pub fn parse(text: &str) -> Result<Self, LabelRulesError> {
        let file: RuleFile = toml::from_str(text).map_err(|error| LabelRulesError::Form(error.to_string()))?;
        let codes = |rule: &WrittenRule| (rule.codes.len() + rule.below.len()) * rule.systems.len();
        if file.rule.len() > RULES_MAX || file.rule.iter().map(codes).sum::<usize>() > RULE_CODES_MAX {
            return Err(LabelRulesError::TooMany);
        }
        let mut rules = Self::default();
        for written in file.rule {
            rules.add(written)?;
        }
        Ok(rules)
    }

    fn add(&mut self, written: WrittenRule) -> Result<(), LabelRulesError> {
        let WrittenRule { name, sensitivity, source, systems, codes, below } = written;
        let wrong = |reason: &str| Err(LabelRulesError::Rule { name: name.clone(), reason: reason.to_owned() });
        if name.trim().is_empty() || source.trim().is_empty() {
            return wrong("name and source must say something");
        }
        if self.rules.iter().any(|rule| rule.name == name) {
            return wrong("another rule has this name");
        }
        let Some(label) = label::kind_of_sensitivity(&sensitivity) else {
            return wrong("its sensitivity is none that is kept apart: use PSY, ETH, SEX, HIV, GDIS, SDV or VIO");
        };
        if systems.is_empty() || (codes.is_empty() && below.is_empty()) {
            return wrong("it names no code system or no code");
        }
        if systems.iter().chain(&codes).chain(&below).any(|text| text.trim() != text || text.is_empty()) {
            return wrong("a system or a code is empty or has blanks around it");
        }
        let place = self.rules.len();
        for system in systems {
            let known = self.systems.entry(system).or_default();
            for code in &codes {
                known.whole.entry(code.clone()).or_default().push(place);
            }
            for code in &below {
                known.below.entry(code.clone()).or_default().push(place);
            }
        }
        self.rules.push(LabelRule { name, sensitivity, label, source });
        Ok(())
    }

    /// The rules, in the order of the file.
    pub fn rules(&self) -> &[LabelRule] {
        &self.rules
    }

    /// Every coding of a resource that a rule is about.
    ///
    /// # Errors
    /// As [`Resource::json`].
    pub fn matches(&self, resource: &Resource) -> Result<Vec<LabelMatch<'_>>, FhirError> {
        let mut found = Vec::new();
        if !self.systems.is_empty() {
            self.search(&resource.json()?, &mut resource.resource_type().to_string(), &mut found);
        }
        Ok(found)
    }

    /// The label that a resource's own codings and the rules add up to. What the sender said is never weakened.
    ///
    /// # Errors
    /// As [`Resource::json`].
    pub fn label_of(&self, resource: &Resource) -> Result<Label, FhirError> {
        let matches = self.matches(resource)?;
        Ok(matches.iter().fold(label::label_of(resource), |label, found| label.and(found.rule.label)))
    }

    fn search<'a>(&'a self, value: &Value, at: &mut String, found: &mut Vec<LabelMatch<'a>>) {
        let length = at.len();
        match value {
            Value::Object(members) => {
                let text = |name: &str| members.get(name).and_then(Value::as_str);
                if let (Some(system), Some(code)) = (text("system"), text("code")) {
                    found.extend(self.about(system, code).map(|rule| LabelMatch {
                        rule,
                        expression: at.clone(),
                        system: system.to_owned(),
                        code: code.to_owned(),
                    }));
                }
                // What `meta` says is the label itself; the narrative has no codings.
                for (name, inner) in members.iter().filter(|(name, _)| *name != "meta" && *name != "text") {
                    at.push('.');
                    at.push_str(name);
                    self.search(inner, at, found);
                    at.truncate(length);
                }
            }
            Value::Array(items) => {
                for (place, inner) in items.iter().enumerate() {
                    // Writing to a String cannot fail.
                    let _ = write!(at, "[{place}]");
                    self.search(inner, at, found);
                    at.truncate(length);
                }
            }
            _ => {}
        }
    }

    /// The rules that a coding is in the value set of.
    fn about(&self, system: &str, code: &str) -> impl Iterator<Item = &LabelRule> {
        let codes = self.systems.get(system);
        let whole = codes.and_then(|codes| codes.whole.get(code));
        let beginnings = code.char_indices().map(|(at, c)| at + c.len_utf8());
        let below = beginnings.filter_map(move |end| codes?.below.get(code.get(..end)?));
        let mut places: Vec<usize> = whole.into_iter().chain(below).flatten().copied().collect();
        places.sort_unstable();
        places.dedup();
        places.into_iter().filter_map(|place| self.rules.get(place))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]

    use super::*;

    const ICD: &str = "http://hl7.org/fhir/sid/icd-10";

    fn shipped() -> LabelRules {
        LabelRules::parse(include_str!("../../../config/labels.toml")).unwrap()
    }

    fn condition(security: &str, codes: &[(&str, &str)]) -> Resource {
        let codings: Vec<String> =
            codes.iter().map(|(system, code)| format!(r#"{{"system":"{system}","code":"{code}"}}"#)).collect();
        let body = format!(
            r#"{{"resourceType":"Condition","meta":{{"security":[{security}]}},"code":{{"coding":[{}]}}}}"#,
            codings.join(",")
        );
        Resource::parse(body.into_bytes()).unwrap()
    }

    #[test]
    fn the_rules_that_come_with_the_program_label_as_they_say() {
        let rules = shipped();
        let (snomed, loinc, atc) = ("http://snomed.info/sct", "http://loinc.org", "http://www.whocc.no/atc");
        for (system, code, label) in [
            (ICD, "F20.0", Label::Psychiatry),
            (ICD, "F41", Label::Psychiatry),
            (ICD, "F10.2", Label::SubstanceUse),
            // Tobacco is no secret.
            (ICD, "F17.2", Label::General),
            (ICD, "F52.0", Label::Sexuality),
            (ICD, "B20.1", Label::Hiv),
            (ICD, "Z21", Label::Hiv),
            (ICD, "A54.9", Label::Sexuality),
            (ICD, "G10", Label::Genetics),
            (ICD, "T74.1", Label::Violence),
            (ICD, "Y04", Label::Violence),
            (ICD, "I10", Label::General),
            (ICD, "E11.9", Label::General),
            (snomed, "58214004", Label::Psychiatry),
            (snomed, "86406008", Label::Hiv),
            (snomed, "38341003", Label::General),
            (loinc, "75622-1", Label::Hiv),
            (loinc, "4548-4", Label::General),
            (atc, "N05AH02", Label::Psychiatry),
            (atc, "J05AR10", Label::Hiv),
            (atc, "C09AA02", Label::General),
            // A code of another system means something else.
            ("http://other", "F20.0", Label::General),
        ] {
            assert_eq!(rules.label_of(&condition("", &[(system, code)])).unwrap(), label, "{system} {code}");
        }
    }

    /// Whatever the sender says and whichever rules match: never more open than the sender's label alone.
    #[test]
    fn what_the_sender_said_is_never_weakened() {
        let rules = shipped();
        let coding = |system: &str, code: &str| format!(r#"{{"system":"{system}","code":"{code}"}}"#);
        let act = |code: &str| coding(label::SENSITIVITY_SYSTEM, code);
        let level = |code: &str| coding(label::CONFIDENTIALITY_SYSTEM, code);
        let security =
            [String::new(), level("N"), level("R"), level("V"), act("PSY"), act("HIV"), act("TBOO"), act("GDIS")];
        let matched: [&[(&str, &str)]; 4] = [&[], &[(ICD, "F20.0")], &[(ICD, "B20")], &[(ICD, "F20.0"), (ICD, "B20")]];
        for said in &security {
            let own = rules.label_of(&condition(said, &[])).unwrap();
            for codes in matched {
                let label = rules.label_of(&condition(said, codes)).unwrap();
                assert_eq!(own.and(label), label, "{said} {codes:?}");
            }
        }
        let both = rules.label_of(&condition(&act("PSY"), &[(ICD, "B20")])).unwrap();
        assert_eq!(both, Label::VeryRestricted);
    }

    #[test]
    fn codings_are_found_wherever_they_stand() {
        let rules = shipped();
        let coding = format!(r#"{{"system":"{ICD}","code":"F20.0"}}"#);
        for (body, expression) in [
            (
                format!(r#""resourceType":"MedicationRequest","reasonCode":[{{"text":"x"}},{{"coding":[{coding}]}}]"#),
                Some("MedicationRequest.reasonCode[1].coding[0]"),
            ),
            (
                format!(
                    r#""resourceType":"Basic","contained":[{{"resourceType":"Basic","code":{{"coding":[{coding}]}}}}]"#
                ),
                Some("Basic.contained[0].code.coding[0]"),
            ),
            (
                format!(r#""resourceType":"Basic","extension":[{{"valueCoding":{coding}}}]"#),
                Some("Basic.extension[0].valueCoding"),
            ),
            (format!(r#""resourceType":"Basic","meta":{{"tag":[{coding}]}}"#), None),
        ] {
            let resource = Resource::parse(format!("{{{body}}}").into_bytes()).unwrap();
            let found = rules.matches(&resource).unwrap();
            assert_eq!(found.first().map(|it| it.expression.as_str()), expression, "{body}");
        }
    }

    #[test]
    fn wrong_files_are_refused_with_the_rule_that_is_wrong() {
        let rule = |body: &str| format!("[[rule]]\nname = \"r\"\nsource = \"s\"\n{body}");
        for (text, part) in [
            ("rule = 7".to_owned(), "rule"),
            (rule("sensitivity = \"HIV\"\nsystems = [\"s\"]\ncode = [\"x\"]"), "unknown field"),
            (rule("sensitivity = \"TBOO\"\nsystems = [\"s\"]\ncodes = [\"x\"]"), "rule r: its sensitivity"),
            (rule("sensitivity = \"HIV\"\nsystems = []\ncodes = [\"x\"]"), "no code system"),
            (rule("sensitivity = \"HIV\"\nsystems = [\"s\"]"), "no code"),
            (rule("sensitivity = \"HIV\"\nsystems = [\"s\"]\nbelow = [\"\"]"), "empty"),
            (rule("sensitivity = \"HIV\"\nsystems = [\"s\"]\ncodes = [\"x\"]\n").repeat(2), "another rule"),
        ] {
            let error = LabelRules::parse(&text).unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
        assert!(LabelRules::parse("").unwrap().rules().is_empty());
    }
}
