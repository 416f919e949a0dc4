//! Invariants of R4 that are simple to state, each by the key that the specification gives it. Those
//! that need FHIRPath, a terminology service or a profile are not here.

use std::collections::HashSet;

use serde_json::{Map, Value};

use super::fault::{Fault, Findings, Path};
use super::primitive;
use super::scope::text;
use crate::outcome::IssueCode;
use crate::structure::Type;

type Object = Map<String, Value>;

/// A rule about the elements of one object.
struct Rule {
    key: &'static str,
    test: Test,
    /// What is expected.
    text: &'static str,
}

/// Elements are named without `[x]`.
enum Test {
    /// Where the first is, the second is.
    Needs(&'static str, &'static str),
    /// Never both.
    NotBoth(&'static str, &'static str),
    /// At least one.
    AnyOf(&'static [&'static str]),
    /// Exactly one.
    OneOf(&'static str, &'static str),
    /// Anything else.
    Holds(fn(&Object) -> bool),
}

/// The rules of a type (the constraints of its StructureDefinition).
fn rules_of(of: &str) -> &'static [Rule] {
    use Test::{AnyOf, Holds, Needs, NotBoth, OneOf};
    macro_rules! rules {
        ($($key:literal $test:expr, $text:literal;)*) => {{
            static RULES: &[Rule] = &[$(Rule { key: $key, test: $test, text: $text }),*];
            RULES
        }};
    }
    match of {
        "Extension" => rules! { "ext-1" OneOf("extension", "value"), "an extension has either a value or extensions"; },
        "Quantity" | "Age" | "Count" | "Distance" | "Duration" => {
            rules! { "qty-3" Needs("code", "system"), "a quantity with a code has the system of the code"; }
        }
        "Period" => rules! { "per-1" Holds(period_runs_forward), "a period starts before it ends"; },
        "Attachment" => rules! { "att-1" Needs("data", "contentType"), "an attachment with data has a contentType"; },
        "ContactPoint" => rules! { "cpt-2" Needs("value", "system"), "a contact point with a value has a system"; },
        "Timing.repeat" => rules! {
            "tim-1" Needs("duration", "durationUnit"), "a duration has a durationUnit";
            "tim-2" Needs("period", "periodUnit"), "a period has a periodUnit";
        },
        "Observation" => rules! {
            "obs-6" NotBoth("dataAbsentReason", "value"), "dataAbsentReason stands only where there is no value";
            "obs-7" Holds(code_is_not_repeated), "a component with the code of its Observation stands only where that has no value";
        },
        "Observation.referenceRange" => {
            rules! { "obs-3" AnyOf(&["low", "high", "text"]), "a reference range has low, high or text"; }
        }
        "Patient.contact" => rules! {
            "pat-1" AnyOf(&["name", "telecom", "address", "organization"]), "a contact says who or where it is";
        },
        "Organization" => {
            rules! { "org-1" AnyOf(&["identifier", "name"]), "an organization has an identifier or a name"; }
        }
        "Bundle.entry" => rules! {
            "bdl-5" AnyOf(&["resource", "request", "response"]), "an entry has a resource, unless it has a request or response";
            "bdl-8" Holds(full_url_is_unversioned), "fullUrl names no version";
        },
        _ => &[],
    }
}

/// Checks the rules of a type. `seen` has the bits of the elements that are there.
pub(crate) fn check(of: &'static Type, map: &Object, seen: u128, path: &Path<'_>, findings: &mut Findings) {
    let has = |name: &str| seen & of.bit_of(name) != 0;
    for rule in rules_of(of.name()) {
        let kept = match rule.test {
            Test::Needs(first, second) => !has(first) || has(second),
            Test::NotBoth(first, second) => !(has(first) && has(second)),
            Test::AnyOf(names) => names.iter().any(|name| has(name)),
            Test::OneOf(first, second) => has(first) != has(second),
            Test::Holds(holds) => holds(map),
        };
        if !kept {
            let remedy = match rule.test {
                Test::Needs(first, second) => format!("add {second}, or leave {first} out"),
                Test::NotBoth(first, second) => format!("leave {first} or {second} out"),
                Test::AnyOf(names) => format!("add one of {}", names.join(", ")),
                Test::OneOf(first, second) => format!("send one of {first} and {second}"),
                Test::Holds(_) => "correct the element".to_owned(),
            };
            findings.add(path, broken(rule.key, rule.text).remedy(remedy));
        }
    }
}

fn broken(key: &'static str, text: &str) -> Fault {
    Fault::new(IssueCode::Invariant, key, text)
}

fn period_runs_forward(period: &Object) -> bool {
    let part = |name| period.get(name).and_then(Value::as_str);
    !part("start").zip(part("end")).is_some_and(|(start, end)| primitive::is_reversed(start, end))
}

fn full_url_is_unversioned(entry: &Object) -> bool {
    !entry.get("fullUrl").and_then(Value::as_str).is_some_and(|url| url.contains("/_history/"))
}

/// System and code of each coding of a concept.
fn codings(code: Option<&Value>) -> impl Iterator<Item = (Option<&str>, Option<&str>)> {
    let list = code.and_then(|code| code.get("coding")?.as_array()).map(Vec::as_slice).unwrap_or_default();
    list.iter().map(|coding| (text(coding, "system"), text(coding, "code")))
}

fn code_is_not_repeated(observation: &Object) -> bool {
    let Some(Value::Array(components)) = observation.get("component") else { return true };
    if !observation.keys().any(|name| name.starts_with("value") || name.starts_with("_value")) {
        return true;
    }
    let own: HashSet<_> = codings(observation.get("code")).filter(|(_, code)| code.is_some()).collect();
    !components.iter().any(|component| codings(component.get("code")).any(|coding| own.contains(&coding)))
}

/// dom-4 and dom-5: a contained resource has neither version nor labels of its own.
pub(crate) fn check_contained(map: &Object, path: &Path<'_>, findings: &mut Findings) {
    let Some(Value::Object(meta)) = map.get("meta") else { return };
    let here = path.member("meta");
    for (name, key) in [("versionId", "dom-4"), ("lastUpdated", "dom-4"), ("security", "dom-5")] {
        if meta.contains_key(name) {
            let fault = broken(key, "a contained resource has no version and no security labels of its own");
            findings.add(&here.member(name), fault.remedy("leave it out"));
        }
    }
}

/// The rules of a whole Bundle (R4 bundle.html, constraints).
pub(crate) fn check_bundle(bundle: &Object, path: &Path<'_>, findings: &mut Findings) {
    let Some(Value::String(kind)) = bundle.get("type") else { return };
    let kind = kind.as_str();
    if bundle.contains_key("total") && !matches!(kind, "searchset" | "history") {
        let fault = broken("bdl-1", "total stands only in a searchset or history").remedy("leave total out");
        findings.add(&path.member("total"), fault);
    }
    let entries = match bundle.get("entry") {
        Some(Value::Array(entries)) => entries.as_slice(),
        _ => &[],
    };
    match kind {
        "document" => {
            let identified =
                bundle.get("identifier").is_some_and(|id| text(id, "system").and(text(id, "value")).is_some());
            let rules = [
                ("bdl-9", identified, "a document has an identifier with system and value", "add identifier"),
                ("bdl-10", bundle.contains_key("timestamp"), "a document has a timestamp", "add timestamp"),
            ];
            for (key, kept, rule, remedy) in rules {
                if !kept {
                    findings.add(path, broken(key, rule).remedy(remedy));
                }
            }
            check_first(entries, "Composition", "bdl-11", path, findings);
        }
        "message" => check_first(entries, "MessageHeader", "bdl-12", path, findings),
        _ => {}
    }
    check_entries(kind, entries, path, findings);
}

fn check_first(entries: &[Value], expected: &str, key: &'static str, path: &Path<'_>, findings: &mut Findings) {
    let first = entries.first().and_then(|entry| text(entry.get("resource")?, "resourceType"));
    if first != Some(expected) {
        let fault = broken(key, &format!("the first entry of such a Bundle is a {expected}"));
        findings.add(&path.member("entry").index(0), fault.remedy(format!("put the {expected} first")));
    }
}

fn check_entries(kind: &str, entries: &[Value], path: &Path<'_>, findings: &mut Findings) {
    let list = path.member("entry");
    let requested = matches!(kind, "batch" | "transaction" | "history");
    let answered = matches!(kind, "batch-response" | "transaction-response" | "history");
    let mut named = HashSet::new();
    for (at, entry) in entries.iter().enumerate() {
        if findings.is_full() {
            return;
        }
        let here = list.index(at);
        if entry.get("search").is_some() && kind != "searchset" {
            let fault = broken("bdl-2", "search stands only in a searchset").remedy("leave search out");
            findings.add(&here.member("search"), fault);
        }
        for (name, key, expected) in [("request", "bdl-3", requested), ("response", "bdl-4", answered)] {
            let found = entry.get(name).is_some();
            if found && !expected {
                let fault = broken(key, &format!("a Bundle of this type has no {name} in its entries"));
                findings.add(&here.member(name), fault.remedy(format!("leave {name} out, or change the type")));
            } else if expected && !found {
                let fault = broken(key, &format!("every entry of a Bundle of this type has a {name}"));
                findings.add(&here, fault.remedy(format!("add {name}")));
            }
        }
        let version = entry.get("resource").and_then(|resource| text(resource.get("meta")?, "versionId"));
        if kind != "history"
            && let Some(url) = text(entry, "fullUrl")
            && !named.insert((url, version))
        {
            let fault = broken("bdl-7", "an entry before has the same fullUrl");
            findings.add(&here.member("fullUrl"), fault.remedy("give each entry a fullUrl of its own"));
        }
    }
}
