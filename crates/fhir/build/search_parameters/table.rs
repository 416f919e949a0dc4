//! The elements of one resource type that hold search values, as a tree of JSON members.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use super::expression::Step;

/// Types by element path, with `[x]` where the element is a choice.
pub(super) type Elements = BTreeMap<String, Vec<String>>;

/// A JSON member to follow, and which of its values.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Edge {
    pub(super) member: String,
    /// Rust source of the `Condition`.
    pub(super) condition: String,
}

/// An end of a path: where it is and how its value is read.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct End {
    pub(super) edges: Vec<Edge>,
    /// The form, as the variant's name.
    pub(super) form: &'static str,
    /// References to this type alone.
    pub(super) only: Option<String>,
}

/// Follows a path from a type. `kind` is the parameter's type: it decides how values are read.
pub(super) fn ends(elements: &Elements, base: &str, steps: &[Step], kind: &str) -> Result<Vec<End>, String> {
    // Edges so far, the place in the definitions, the type of value there.
    let mut places: Vec<(Vec<Edge>, String, String)> = vec![(Vec::new(), base.to_owned(), String::new())];
    let (mut only, mut exists) = (None, false);
    for step in steps {
        match step {
            Step::Root => {}
            Step::Member(name) => {
                let mut following = Vec::new();
                for (edges, place, _) in &places {
                    following.extend(members(elements, edges, place, name));
                }
                if following.is_empty() {
                    return Err(format!("{base}: no element '{name}'"));
                }
                places = following;
            }
            Step::OfType(chosen) => {
                places.retain(|(_, _, found)| is_a(found, chosen));
                if places.is_empty() {
                    return Err(format!("{base}: no type '{chosen}'"));
                }
            }
            Step::Where(member, value) => narrow(&mut places, &format!("Condition::Is({member:?}, {value:?})")),
            Step::First => narrow(&mut places, "Condition::First"),
            Step::Resolves(target) => only = Some(target.clone()),
            Step::ExistsAndNotFalse => exists = true,
        }
    }
    let mut ends = Vec::new();
    for (edges, _, found) in places {
        let form = match if exists { Some("ExistsAndNotFalse") } else { form(kind, &found)? } {
            Some("Text") if edges.last().is_some_and(|edge| edge.member == "family") => Some("FamilyName"),
            form => form,
        };
        ends.extend(form.map(|form| End { edges, form, only: only.clone() }));
    }
    Ok(ends)
}

/// Whether a type is another or a kind of it (FHIRPath, `ofType`): `ConceptMap.source as uri` takes canonicals too.
/// Of the types that share a choice in R4 these alone are related.
fn is_a(found: &str, chosen: &str) -> bool {
    found.eq_ignore_ascii_case(chosen) || (chosen == "uri" && matches!(found, "canonical" | "url" | "uuid" | "oid"))
}

fn narrow(places: &mut [(Vec<Edge>, String, String)], condition: &str) {
    for edge in places.iter_mut().filter_map(|(edges, ..)| edges.last_mut()) {
        condition.clone_into(&mut edge.condition);
    }
}

fn members(elements: &Elements, edges: &[Edge], place: &str, name: &str) -> Vec<(Vec<Edge>, String, String)> {
    let path = format!("{place}.{name}");
    let (types, choice) = match (elements.get(&path), elements.get(&format!("{path}[x]"))) {
        (Some(types), _) => (types, false),
        (None, Some(types)) => (types, true),
        (None, None) => return Vec::new(),
    };
    let following = types.iter().map(|found| {
        let member =
            if choice { format!("{name}{}{}", found[..1].to_uppercase(), &found[1..]) } else { name.to_owned() };
        let edge = Edge { member, condition: "Condition::Always".to_owned() };
        let nested = matches!(found.as_str(), "BackboneElement" | "Element");
        let place = if nested { path.clone() } else { found.clone() };
        ([edges, &[edge]].concat(), place, found.clone())
    });
    following.collect()
}

/// How a value of a type is read for a parameter of a kind; nothing where it has no value for the search:
/// an age is no date, and sampled data are no single quantity.
fn form(kind: &str, found: &str) -> Result<Option<&'static str>, String> {
    Ok(Some(match (kind, found) {
        ("token", "code") => "Code",
        ("token", "id" | "string" | "uri") => "Plain",
        ("token", "boolean") => "Boolean",
        ("token", "Coding") => "Coding",
        ("token", "CodeableConcept") => "CodeableConcept",
        ("token", "Identifier") => "Identifier",
        ("token", "ContactPoint") => "ContactPoint",
        ("date", "date" | "dateTime" | "instant") => "Date",
        ("date", "Period") => "Period",
        ("date", "Timing") => "Timing",
        ("string", "string" | "markdown") => "Text",
        ("string", "HumanName") => "HumanName",
        ("string", "Address") => "Address",
        ("number", "decimal" | "integer") => "Number",
        ("number" | "quantity", "Range") => "Range",
        ("quantity", "Quantity" | "Age" | "Duration") => "Quantity",
        ("quantity", "Money") => "Money",
        ("uri", "uri" | "url" | "canonical") => "Uri",
        ("reference", "Reference") => "Reference",
        ("reference", "canonical" | "uri") => "Canonical",
        ("reference", "Resource") => "Resource",
        // Elements named without their type: the other choices of a value.
        ("date", "Age" | "Range" | "string")
        | ("quantity", "SampledData")
        | ("reference", "Attachment")
        | ("token", "Quantity" | "Range" | "Reference") => return Ok(None),
        _ => return Err(format!("no form for a {kind} of type {found}")),
    }))
}

/// A member with all that is taken from it.
#[derive(Default)]
pub(super) struct Node {
    /// By form: parameters, each with the type that a reference must have.
    takes: BTreeMap<&'static str, BTreeSet<(usize, Option<String>)>>,
    group: bool,
    below: BTreeMap<Edge, Node>,
}

impl Node {
    /// Says that a parameter takes the values at an end.
    pub(super) fn take(&mut self, end: &End, parameter: usize) {
        self.at(&end.edges).takes.entry(end.form).or_default().insert((parameter, end.only.clone()));
    }

    /// Says that the values below an element belong together.
    pub(super) fn group(&mut self, edges: &[Edge]) {
        self.at(edges).group = true;
    }

    fn at(&mut self, edges: &[Edge]) -> &mut Self {
        edges.iter().fold(self, |node, edge| node.below.entry(edge.clone()).or_default())
    }

    /// The Rust source of the edges below, sorted by member.
    pub(super) fn source(&self) -> String {
        let mut out = String::from("&[");
        for (edge, node) in &self.below {
            let _ = write!(
                out,
                "Edge {{ member: {:?}, condition: {}, group: {}, takes: &[",
                edge.member, edge.condition, node.group
            );
            for (form, parameters) in &node.takes {
                let _ = write!(out, "Take {{ form: Form::{form}, receivers: &[");
                for (parameter, only) in parameters {
                    let _ = write!(out, "Receiver {{ parameter: {parameter}, only: {only:?} }},");
                }
                out.push_str("] },");
            }
            let _ = write!(out, "], below: {} }},", node.source());
        }
        out.push(']');
        out
    }
}
