//! A Consent (FHIR R4, IHE Privacy Consent on FHIR) as rules over closed vocabularies. It is read exactly or refused:
//! what keys cannot enforce (single resources, their dates and codes, parts of a section) is named, never left out. Which hospital an actor
//! is, and what the rules come to, is not known here.

use serde_json::Value;

use crate::branch::{SECTION_SYSTEM, TYPE_SYSTEM};
use crate::label::{CONFIDENTIALITY_SYSTEM, SENSITIVITY_SYSTEM};
use crate::{Branch, Issue, IssueCode, Label, ResourceType, Severity};

/// How the profiles of Privacy Consent on FHIR begin (IHE PCF, consentBasic, consentIntermediate, consentAdvanced).
const PROFILES: &str = "https://profiles.ihe.net/ITI/PCF/StructureDefinition/IHE.PCF.consent";

/// Code system of purposes of use.
pub const PURPOSE_SYSTEM: &str = "http://terminology.hl7.org/CodeSystem/v3-ActReason";
/// Code system of `Consent.provision.action`.
const ACTION_SYSTEM: &str = "http://terminology.hl7.org/CodeSystem/consentaction";
/// Code system of `Consent.scope`.
const SCOPE_SYSTEM: &str = "http://terminology.hl7.org/CodeSystem/consentscope";
/// How an actor takes part: all of its codes mean the one who gets something.
const PARTICIPATION_SYSTEM: &str = "http://terminology.hl7.org/CodeSystem/v3-ParticipationType";
/// Deepest nesting of provisions.
const DEPTH_MAX: usize = 8;

/// Whether a rule permits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It permits.
    Permit,
    /// It denies.
    Deny,
}

/// What may be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ConsentAction {
    /// Access, use and disclosure.
    Read,
    /// Collection and correction.
    Write,
}

/// Who is meant, as the Consent names them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Actor {
    /// `Organization/x`, or a URL.
    pub reference: Option<String>,
    /// `system|value`.
    pub identifier: Option<String>,
    /// Where it stands.
    pub expression: String,
}

/// A provision with its exceptions. `None` is what the provision around it says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsentRule {
    /// Where it stands.
    pub expression: String,
    /// Whether it permits.
    pub effect: Effect,
    /// Who.
    pub actors: Option<Vec<Actor>>,
    /// What may be done.
    pub actions: Option<Vec<ConsentAction>>,
    /// For which branches of the keys: of its labels and classes, or of those around it where it names one of the two.
    pub labels: Option<Vec<Branch>>,
    /// For which purposes: codes of v3-ActReason.
    pub purposes: Option<Vec<&'static str>>,
    /// From, and until: the first second outside, in Unix seconds.
    pub period: Option<(Option<u64>, Option<u64>)>,
    /// Its exceptions.
    pub exceptions: Vec<ConsentRule>,
}

/// What a Consent comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConsentReading {
    /// It is about something else than privacy, or does not claim a profile of IHE PCF: a document and no more.
    Document,
    /// It is about privacy and not in force.
    Inactive,
    /// It is in force.
    Active(ConsentRule),
}

/// Reads a Consent.
///
/// # Errors
/// The [`Issue`] that names the first element which cannot be enforced exactly.
pub fn read_consent(consent: &Value) -> Result<ConsentReading, Issue> {
    let scope = |coding: &Value| {
        text(coding, "system") == Some(SCOPE_SYSTEM) && text(coding, "code") == Some("patient-privacy")
    };
    // Whoever claims the profile means these rules. Other Consents tell of what was agreed elsewhere, by other rules.
    let profiles = consent.get("meta").and_then(|meta| meta.get("profile")).and_then(Value::as_array);
    let claimed = profiles.into_iter().flatten().filter_map(Value::as_str).any(|it| it.starts_with(PROFILES));
    if !claimed || !codings(consent.get("scope")).any(scope) {
        return Ok(ConsentReading::Document);
    }
    if text(consent, "status") != Some("active") {
        return Ok(ConsentReading::Inactive);
    }
    if consent.get("modifierExtension").is_some() {
        return Err(refused(
            "Consent.modifierExtension",
            "it changes the meaning in a way unknown here",
            "leave it out",
        ));
    }
    let base = base_rule(consent)?;
    let Some(root) = consent.get("provision") else {
        let effect = base.ok_or_else(no_effect)?;
        return Ok(ConsentReading::Active(ConsentRule::all(effect)));
    };
    let own = effect(root, "Consent.provision")?;
    let rule = provision(root, own.or(base).ok_or_else(no_effect)?, "Consent.provision", &Around::default())?;
    Ok(ConsentReading::Active(match (base, own) {
        // What differs from the base rule is an exception to it.
        (Some(base), Some(own)) if base != own => ConsentRule { exceptions: vec![rule], ..ConsentRule::all(base) },
        _ => rule,
    }))
}

impl ConsentRule {
    fn all(effect: Effect) -> Self {
        Self {
            expression: "Consent.policyRule".to_owned(),
            effect,
            actors: None,
            actions: None,
            labels: None,
            purposes: None,
            period: None,
            exceptions: Vec::new(),
        }
    }
}

/// What `Consent.policyRule` says: opt-in permits, opt-out denies (v3-ActCode).
fn base_rule(consent: &Value) -> Result<Option<Effect>, Issue> {
    let mut found = None;
    for coding in codings(consent.get("policyRule")) {
        let effect = match (text(coding, "system"), text(coding, "code")) {
            (Some(SENSITIVITY_SYSTEM), Some("OPTIN" | "OPTINR")) => Effect::Permit,
            (Some(SENSITIVITY_SYSTEM), Some("OPTOUT" | "OPTOUTE")) => Effect::Deny,
            _ => continue,
        };
        if found.is_some_and(|before| before != effect) {
            return Err(refused("Consent.policyRule", "it permits and denies at once", "name one of the two"));
        }
        found = Some(effect);
    }
    Ok(found)
}

fn effect(provision: &Value, at: &str) -> Result<Option<Effect>, Issue> {
    match text(provision, "type") {
        Some("permit") => Ok(Some(Effect::Permit)),
        Some("deny") => Ok(Some(Effect::Deny)),
        None => Ok(None),
        Some(_) => Err(refused(&format!("{at}.type"), "it is neither permit nor deny", "name one of the two")),
    }
}

/// What the provisions around one name.
#[derive(Clone, Default)]
struct Around {
    depth: usize,
    labels: Option<Vec<Label>>,
    sections: Option<Vec<Branch>>,
}

fn provision(value: &Value, effect_here: Effect, at: &str, around: &Around) -> Result<ConsentRule, Issue> {
    if around.depth > DEPTH_MAX {
        return Err(refused(at, "provisions are nested too deep", "write several Consents"));
    }
    for (element, instead) in [
        ("data", "name labels of the resources (securityLabel) instead of single resources"),
        (
            "dataPeriod",
            "keys do not tell when data were made: leave it out, or use period for how long the consent holds",
        ),
        ("code", "name labels of the resources (securityLabel) instead of their codes"),
    ] {
        if value.get(element).is_some() {
            return Err(refused(&format!("{at}.{element}"), "keys cannot enforce it", instead));
        }
    }
    if value.get("modifierExtension").is_some() {
        return Err(refused(
            &format!("{at}.modifierExtension"),
            "it changes the meaning in a way unknown here",
            "leave it out",
        ));
    }
    for element in ["actor", "action", "securityLabel", "class", "purpose", "provision"] {
        let listed = |value: &Value| value.as_array().is_some_and(|items| !items.is_empty());
        if value.get(element).is_some_and(|value| !listed(value)) {
            return Err(refused(&format!("{at}.{element}"), "it is not a list of something", "correct it"));
        }
    }
    let own_labels = some(value, "securityLabel").map(|labels| read_labels(labels, effect_here, at)).transpose()?;
    let own_sections = some(value, "class").map(|classes| read_classes(classes, effect_here, at)).transpose()?;
    // A permission in a denial by class would else be of all that the denial closes, the confidential kinds among it.
    let by_class_around = effect_here == Effect::Permit && around.sections.is_some();
    let named = own_labels.is_some() || own_sections.is_some() || by_class_around;
    let here = Around {
        depth: around.depth + 1,
        labels: own_labels.or_else(|| around.labels.clone()),
        sections: own_sections.or_else(|| around.sections.clone()),
    };
    let labels = if named { Some(branches(&here, effect_here, at)?) } else { None };
    let mut exceptions = Vec::new();
    for (place, nested) in list(value, "provision").enumerate() {
        let at = format!("{at}.provision[{place}]");
        let Some(own) = effect(nested, &at)? else {
            return Err(refused(&format!("{at}.type"), "it is missing", "say permit or deny"));
        };
        exceptions.push(provision(nested, own, &at, &here)?);
    }
    Ok(ConsentRule {
        expression: at.to_owned(),
        effect: effect_here,
        actors: some(value, "actor").map(|actors| read_actors(actors, at)).transpose()?,
        actions: some(value, "action").map(|actions| read_actions(actions, at)).transpose()?,
        labels,
        purposes: some(value, "purpose").map(|purposes| read_purposes(purposes, effect_here, at)).transpose()?,
        period: value.get("period").map(|period| read_period(period, at)).transpose()?,
        exceptions,
    })
}

fn read_actors(actors: &[Value], at: &str) -> Result<Vec<Actor>, Issue> {
    let read = |(place, actor): (usize, &Value)| {
        let expression = format!("{at}.actor[{place}]");
        let mut roles = codings(actor.get("role"));
        if !roles.all(|role| text(role, "system") == Some(PARTICIPATION_SYSTEM)) {
            let instead = "say IRCP, and let the hospital's configuration say which roles the actor stands for";
            return Err(refused(&format!("{expression}.role"), "it is not a code of v3-ParticipationType", instead));
        }
        let whom = actor.get("reference").unwrap_or(&Value::Null);
        let identifier = whom.get("identifier").and_then(|identifier| {
            Some(format!("{}|{}", text(identifier, "system").unwrap_or_default(), text(identifier, "value")?))
        });
        Ok(Actor { reference: text(whom, "reference").map(str::to_owned), identifier, expression })
    };
    actors.iter().enumerate().map(read).collect()
}

fn read_actions(actions: &[Value], at: &str) -> Result<Vec<ConsentAction>, Issue> {
    let mut read = Vec::new();
    for (place, action) in actions.iter().enumerate() {
        let before = read.len();
        for coding in codings(Some(action)).filter(|coding| text(coding, "system") == Some(ACTION_SYSTEM)) {
            match text(coding, "code") {
                Some("access" | "use" | "disclose") => read.push(ConsentAction::Read),
                Some("collect" | "correct") => read.push(ConsentAction::Write),
                _ => {}
            }
        }
        if read.len() == before {
            let instead = "use access, use or disclose for reading, collect or correct for writing";
            return Err(refused(&format!("{at}.action[{place}]"), "it is no code of consentaction", instead));
        }
    }
    Ok(read)
}

/// The branches that labels and classes come to together. Keys tell classes apart among what is ordinary alone: of what
/// is confidential nothing is permitted by class, and all is denied that may be of the class.
fn branches(named: &Around, effect: Effect, at: &str) -> Result<Vec<Branch>, Issue> {
    let labels = named.labels.clone().unwrap_or_else(|| Label::ALL.to_vec());
    let Some(sections) = &named.sections else { return Ok(labels.into_iter().flat_map(Branch::of_label).collect()) };
    if effect == Effect::Permit && labels.iter().any(|label| *label != Label::General) {
        let instead = "name securityLabel N beside the class, and permit what is confidential by another provision";
        return Err(refused(&format!("{at}.class"), "what is confidential is not kept apart by class", instead));
    }
    let kinds = labels.iter().filter_map(|label| Branch::of_kind(*label));
    let ordinary = labels.contains(&Label::General);
    let mut branches: Vec<Branch> = sections.iter().copied().filter(|_| ordinary).chain(kinds).collect();
    branches.sort_unstable();
    branches.dedup();
    Ok(branches)
}

/// The sections that classes stand for: by the exchange's own codes, or by types of resources. A denial of a type closes
/// every section that it may be in; a permission has to name all types of a section.
fn read_classes(classes: &[Value], effect: Effect, at: &str) -> Result<Vec<Branch>, Issue> {
    let mut sections: Vec<Branch> = Vec::new();
    let mut types: Vec<(String, ResourceType)> = Vec::new();
    for (place, class) in classes.iter().enumerate() {
        let at = format!("{at}.class[{place}]");
        let code = text(class, "code").unwrap_or_default();
        let section =
            |code: &str| Branch::named(code).ok().filter(|them| them.iter().all(|it| Branch::GENERAL.contains(it)));
        match (text(class, "system"), section(code), code.parse::<ResourceType>()) {
            (Some(SECTION_SYSTEM), Some(named), _) => sections.extend(named),
            (Some(TYPE_SYSTEM), _, Ok(kind)) => types.push((at, kind)),
            _ => {
                let instead = format!("use a type of FHIR R4 ({TYPE_SYSTEM}), or a section of {SECTION_SYSTEM}");
                return Err(refused(&at, "the exchange has no such class", &instead));
            }
        }
    }
    let named: Vec<ResourceType> = types.iter().map(|(_, kind)| *kind).collect();
    for (at, kind) in types {
        for section in Branch::of_type(kind) {
            let missing = section.types().into_iter().find(|other| !named.contains(other));
            if let (Effect::Permit, Some(missing), false) = (effect, missing, sections.contains(&section)) {
                let why = format!("{kind} is kept under one key with {missing} and others");
                let instead = format!("permit the section {section} of {SECTION_SYSTEM}, or name all its types");
                return Err(refused(&at, &why, &instead));
            }
            sections.push(section);
        }
    }
    sections.sort_unstable();
    sections.dedup();
    Ok(sections)
}

/// Levels of confidentiality are a high-water mark (FHIR R4, Consent.provision.securityLabel): a permission at R opens
/// R and what is below, a denial of R closes R and what is above. What is restricted without a kind is kept under
/// [`Label::VeryRestricted`], so only V opens it. Of a kind that is kept together with others, nothing is permitted
/// that the code does not mean, and all is denied that it may be among.
fn read_labels(labels: &[Value], effect: Effect, at: &str) -> Result<Vec<Label>, Issue> {
    let kinds = || Label::ALL.into_iter().filter(|it| !matches!(it, Label::General | Label::VeryRestricted));
    let mut read: Vec<Label> = Vec::new();
    let (mut by_kind, mut above_normal) = (false, false);
    for (place, label) in labels.iter().enumerate() {
        let at = format!("{at}.securityLabel[{place}]");
        let code = text(label, "code").unwrap_or_default();
        match (text(label, "system"), effect, code) {
            (Some(CONFIDENTIALITY_SYSTEM), Effect::Permit, "N") => read.push(Label::General),
            (Some(CONFIDENTIALITY_SYSTEM), Effect::Permit, "R") => {
                above_normal = true;
                read.extend(kinds().chain([Label::General]));
            }
            (Some(CONFIDENTIALITY_SYSTEM), Effect::Permit, "V") => {
                above_normal = true;
                read.extend(Label::ALL);
            }
            (Some(CONFIDENTIALITY_SYSTEM), Effect::Deny, "U" | "L" | "M" | "N") => read.extend(Label::ALL),
            (Some(CONFIDENTIALITY_SYSTEM), Effect::Deny, "R") => read.extend(kinds().chain([Label::VeryRestricted])),
            (Some(CONFIDENTIALITY_SYSTEM), Effect::Deny, "V") => read.push(Label::VeryRestricted),
            (Some(SENSITIVITY_SYSTEM), _, _) => {
                by_kind = true;
                read.extend(sensitivity(code, effect).map_err(|instead| {
                    refused(&at, "the exchange keeps this kind under one key with others", instead)
                })?);
                // What has several kinds is very restricted.
                read.extend((effect == Effect::Deny).then_some(Label::VeryRestricted));
            }
            _ => {
                let instead =
                    "use N, R or V of v3-Confidentiality, or ETH, PSY, SEX, HIV, GDIS, SDV or VIO of v3-ActCode";
                return Err(refused(&at, "the exchange has no such label", instead));
            }
        }
    }
    if effect == Effect::Permit && by_kind && above_normal {
        let instead = "write one provision for the level and one for the kinds";
        let why = "it can be read as all of that level or as those kinds alone";
        return Err(refused(&format!("{at}.securityLabel"), why, instead));
    }
    read.sort_unstable();
    read.dedup();
    Ok(read)
}

/// The labels of a sensitivity; else what to write instead.
fn sensitivity(code: &str, effect: Effect) -> Result<Vec<Label>, &'static str> {
    Ok(match (code, effect) {
        ("PSY" | "MH", _) | ("BH", Effect::Permit) | ("COGN" | "EMOTDIS" | "PSYTHPN", Effect::Deny) => {
            vec![Label::Psychiatry]
        }
        ("BH", Effect::Deny) => vec![Label::Psychiatry, Label::SubstanceUse],
        ("ETH" | "SUD", _) | ("ETHUD" | "OPIOIDUD", Effect::Deny) => vec![Label::SubstanceUse],
        ("SEX", _) | ("STD", Effect::Deny) => vec![Label::Sexuality],
        ("HIV", _) => vec![Label::Hiv],
        ("GDIS", _) => vec![Label::Genetics],
        ("VIO", _) | ("SDV", Effect::Deny | Effect::Permit) => vec![Label::Violence],
        ("ETHUD" | "OPIOIDUD", Effect::Permit) => return Err("permit ETH"),
        ("COGN" | "EMOTDIS" | "PSYTHPN", Effect::Permit) => return Err("permit PSY"),
        ("STD", Effect::Permit) => return Err("permit SEX"),
        _ => return Err("use ETH, PSY, SEX, HIV, GDIS, SDV or VIO of v3-ActCode"),
    })
}

/// A broader purpose stands for those below it. Breaking the glass has to be permitted by its name; a denial of
/// treatment takes it along. An unknown purpose is permitted to nobody, and cannot be denied.
fn read_purposes(purposes: &[Value], effect: Effect, at: &str) -> Result<Vec<&'static str>, Issue> {
    let mut read: Vec<&'static str> = Vec::new();
    for (place, purpose) in purposes.iter().enumerate() {
        let known = text(purpose, "system") == Some(PURPOSE_SYSTEM);
        let codes: &[&'static str] = match (text(purpose, "code").filter(|_| known), effect) {
            (Some("PurposeOfUse"), Effect::Deny) => {
                &["TREAT", "ETREAT", "BTG", "HPAYMT", "HOPERAT", "HRESCH", "PUBHLTH", "PATRQT"]
            }
            (Some("PurposeOfUse"), Effect::Permit) => {
                &["TREAT", "ETREAT", "HPAYMT", "HOPERAT", "HRESCH", "PUBHLTH", "PATRQT"]
            }
            (Some("TREAT"), Effect::Permit) => &["TREAT", "ETREAT"],
            (Some("TREAT"), Effect::Deny) => &["TREAT", "ETREAT", "BTG"],
            (Some("ETREAT"), Effect::Permit) => &["ETREAT"],
            (Some("ETREAT"), Effect::Deny) => &["ETREAT", "BTG"],
            (Some("BTG"), _) => &["BTG"],
            (Some("HPAYMT"), _) => &["HPAYMT"],
            (Some("HOPERAT"), _) => &["HOPERAT"],
            (Some("HRESCH"), _) => &["HRESCH"],
            (Some("PUBHLTH"), _) => &["PUBHLTH"],
            (Some("PATRQT"), _) => &["PATRQT"],
            (_, Effect::Permit) => &[],
            (_, Effect::Deny) => {
                let instead = "deny a purpose that the exchange serves: TREAT, ETREAT, BTG, HPAYMT, HOPERAT, HRESCH, PUBHLTH, PATRQT";
                return Err(refused(&format!("{at}.purpose[{place}]"), "the exchange does not serve it", instead));
            }
        };
        read.extend(codes);
    }
    read.sort_unstable();
    read.dedup();
    Ok(read)
}

/// Dates without a zone are days of UTC, the last one included.
fn read_period(period: &Value, at: &str) -> Result<(Option<u64>, Option<u64>), Issue> {
    let bound = |name: &str| {
        let Some(text) = text(period, name) else { return Ok(None) };
        crate::search::date_span(text)
            .map(Some)
            .ok_or_else(|| refused(&format!("{at}.period.{name}"), "it is no date", "correct it"))
    };
    Ok((bound("start")?.map(|(first, _)| first), bound("end")?.map(|(_, after)| after)))
}

fn no_effect() -> Issue {
    refused("Consent.provision.type", "neither it nor policyRule says permit or deny", "say one of the two")
}

fn refused(at: &str, why: &str, instead: &str) -> Issue {
    let text = format!("this consent cannot be enforced exactly: {why}; {instead}");
    Issue::new(Severity::Error, IssueCode::NotSupported, "consent-not-enforceable", text).at(at)
}

fn text<'a>(value: &'a Value, name: &str) -> Option<&'a str> {
    value.get(name).and_then(Value::as_str)
}

fn list<'a>(value: &'a Value, name: &str) -> impl Iterator<Item = &'a Value> {
    value.get(name).and_then(Value::as_array).into_iter().flatten()
}

fn some<'a>(value: &'a Value, name: &str) -> Option<&'a [Value]> {
    value.get(name).and_then(Value::as_array).map(Vec::as_slice)
}

fn codings(concept: Option<&Value>) -> impl Iterator<Item = &Value> {
    concept.into_iter().flat_map(|concept| list(concept, "coding"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]

    use serde_json::json;

    use super::*;

    /// A Consent with this provision, and in it, where there is one, this exception.
    fn read(provision: &Value, exception: Option<&Value>) -> Result<ConsentRule, Issue> {
        let mut root = provision.clone();
        if let Some(exception) = exception {
            root["provision"] = json!([exception]);
        }
        let consent = json!({
            "resourceType": "Consent", "status": "active", "meta": {"profile": [format!("{PROFILES}Basic")]},
            "scope": {"coding": [{"system": SCOPE_SYSTEM, "code": "patient-privacy"}]}, "provision": root,
        });
        match read_consent(&consent)? {
            ConsentReading::Active(rule) => Ok(rule),
            other => panic!("{other:?}"),
        }
    }

    fn part(effect: &str, level: &str, classes: &[&str]) -> Value {
        let mut part = json!({"type": effect});
        if !level.is_empty() {
            part["securityLabel"] = json!([{"system": CONFIDENTIALITY_SYSTEM, "code": level}]);
        }
        if !classes.is_empty() {
            let class = |code: &&str| {
                let system = if code.chars().all(char::is_lowercase) { SECTION_SYSTEM } else { TYPE_SYSTEM };
                json!({"system": system, "code": code})
            };
            part["class"] = classes.iter().map(class).collect();
        }
        part
    }

    /// Classes and levels against what a plain reading of docs/consent.md gives, for each of the branches.
    #[test]
    fn classes_are_sections_of_what_is_ordinary() {
        let ordinary = |sections: &[Branch]| sections.to_vec();
        let confidential = || Branch::ALL.into_iter().filter(|branch| !Branch::GENERAL.contains(branch));
        let with_confidential =
            |sections: &[Branch]| sections.iter().copied().chain(confidential()).collect::<Vec<_>>();
        let medications: Vec<&str> = Branch::Medications.types().iter().map(|kind| kind.as_str()).collect();
        for (effect, level, classes, wanted) in [
            ("permit", "N", vec![], Ok(ordinary(&Branch::GENERAL))),
            ("permit", "N", vec!["results"], Ok(ordinary(&[Branch::Results]))),
            ("permit", "N", vec!["medications", "problems"], Ok(ordinary(&[Branch::Problems, Branch::Medications]))),
            ("permit", "N", vec!["general"], Ok(ordinary(&Branch::GENERAL))),
            ("permit", "N", medications.clone(), Ok(ordinary(&[Branch::Medications]))),
            ("permit", "N", medications.into_iter().skip(1).collect(), Err("Consent.provision.class[0]")),
            ("permit", "N", vec!["Observation"], Err("Consent.provision.class[0]")),
            ("permit", "N", vec!["results", "psychiatry"], Err("Consent.provision.class[1]")),
            ("permit", "N", vec!["Nonsense"], Err("Consent.provision.class[0]")),
            ("permit", "R", vec!["results"], Err("Consent.provision.class")),
            ("permit", "", vec!["results"], Err("Consent.provision.class")),
            ("deny", "", vec!["results"], Ok(with_confidential(&[Branch::Results]))),
            ("deny", "R", vec!["results"], Ok(confidential().collect())),
            (
                "deny",
                "N",
                vec!["Observation"],
                Ok(with_confidential(&[Branch::Problems, Branch::Results, Branch::Measurements])),
            ),
        ] {
            let found = read(&part(effect, level, &classes), None);
            let found = found.map(|rule| rule.labels.unwrap()).map_err(|issue| issue.expressions().join(" "));
            assert_eq!(found, wanted.map_err(str::to_owned), "{effect} {level} {classes:?}");
        }
    }

    /// What an exception does not name is as in the provision around it.
    #[test]
    fn exceptions_take_labels_and_classes_from_around() {
        let around = part("permit", "N", &["results", "medications"]);
        let inside = |effect: &str, level: &str, classes: &[&str]| {
            let rule = read(&around, Some(&part(effect, level, classes))).unwrap();
            rule.exceptions.first().unwrap().labels.clone()
        };
        assert_eq!(inside("deny", "", &[]), None);
        assert_eq!(inside("permit", "", &["results"]), Some(vec![Branch::Results]));
        assert_eq!(inside("permit", "N", &[]), Some(vec![Branch::Medications, Branch::Results]));
        // What a denial by class closes includes the confidential kinds, which no permission opens unnamed.
        let denied = part("deny", "", &["results"]);
        assert!(read(&denied, Some(&part("permit", "", &[]))).is_err());
        let rule = read(&denied, Some(&part("permit", "N", &[]))).unwrap();
        assert_eq!(rule.exceptions.first().unwrap().labels, Some(vec![Branch::Results]));
    }
}
