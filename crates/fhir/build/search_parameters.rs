//! Writes the table of search parameters: for each resource type its parameters and the elements that hold
//! their values. The FHIRPath is compiled here; a form that is not known fails the build.
#![expect(clippy::indexing_slicing, reason = "a fault in the definitions may end the build")]

#[path = "search_parameters/expression.rs"]
mod expression;
#[path = "search_parameters/table.rs"]
mod table;

use std::collections::{BTreeMap, BTreeSet};
use std::error::Error;
use std::fmt::Write;

use expression::Step;
use serde::Deserialize;
use table::{Elements, End, Node};

#[derive(Deserialize)]
struct Definitions {
    parameters: Vec<Definition>,
    elements: Elements,
}

#[derive(Clone, Deserialize)]
struct Definition {
    url: String,
    code: String,
    #[serde(rename = "type")]
    kind: String,
    base: Vec<String>,
    expression: Option<String>,
    #[serde(default)]
    target: Vec<String>,
    #[serde(default)]
    component: Vec<Component>,
}

#[derive(Clone, Deserialize)]
struct Component {
    definition: String,
    expression: String,
}

/// Parameters of every type, in this order: `src/search` finds the id and the time by their places.
const OF_ALL_TYPES: [&str; 6] = ["_id", "_lastUpdated", "_profile", "_security", "_source", "_tag"];

/// The Rust source of the tables.
pub(crate) fn generate(definitions: &str) -> Result<String, Box<dyn Error>> {
    let definitions: Definitions = serde_json::from_str(definitions)?;
    let mut of_all = Vec::new();
    for code in OF_ALL_TYPES {
        let found =
            definitions.parameters.iter().find(|p| p.code == code).ok_or("a parameter of all types is missing")?;
        of_all.push(found.clone());
    }
    let mut by_type: BTreeMap<&str, BTreeMap<&str, &Definition>> = BTreeMap::new();
    for parameter in &definitions.parameters {
        for base in parameter.base.iter().filter(|base| !matches!(base.as_str(), "Resource" | "DomainResource")) {
            if by_type.entry(base).or_default().insert(&parameter.code, parameter).is_some() {
                return Err(format!("{base} has {} twice", parameter.code).into());
            }
        }
    }
    let mut out = String::from("pub(super) static TYPES: &[TypeTable] = &[\n");
    for (name, own) in &by_type {
        let parameters: Vec<&Definition> = of_all.iter().chain(own.values().copied()).collect();
        out.push_str(&type_source(name, &parameters, &definitions.elements)?);
    }
    out.push_str("];\n/// Of a type that has none of its own.\npub(super) static OTHER_TYPE: TypeTable = ");
    let source = type_source("", &of_all.iter().collect::<Vec<_>>(), &definitions.elements)?;
    let _ = writeln!(out, "{};", source.trim_end_matches([',', '\n']));
    Ok(out)
}

fn type_source(name: &str, parameters: &[&Definition], elements: &Elements) -> Result<String, Box<dyn Error>> {
    if parameters.len() > usize::from(u8::MAX) {
        return Err(format!("{name} has more than 255 parameters").into());
    }
    let mut tree = Node::default();
    let mut ends_of = Vec::new();
    let mut never_absent = None;
    for (at, parameter) in parameters.iter().enumerate() {
        let ends = if at < 2 || matches!(parameter.kind.as_str(), "composite" | "special") {
            // The server's own id and time are not those in the tree; composites are made of others.
            BTreeSet::new()
        } else {
            ends_of_parameter(name, parameter, elements)?
        };
        for end in &ends {
            tree.take(end, at);
            if end.form == "ExistsAndNotFalse" {
                never_absent = Some(at);
            }
        }
        ends_of.push(ends);
    }
    let mut components = vec![String::new(); parameters.len()];
    for (at, parameter) in parameters.iter().enumerate().filter(|(_, p)| p.kind == "composite") {
        let made = composite(name, parameter, parameters, &ends_of, elements)?;
        for base in made.bases.iter().filter(|base| !base.is_empty()) {
            tree.group(base);
        }
        components[at] = made.source;
    }
    let mut out = String::new();
    let _ = write!(out, "TypeTable {{ name: {name:?}, never_absent: {never_absent:?}, parameters: &[");
    for (parameter, components) in parameters.iter().zip(components) {
        let kind = format!("{}{}", parameter.kind[..1].to_uppercase(), &parameter.kind[1..]);
        let _ = write!(
            out,
            "Parameter {{ code: {:?}, kind: Kind::{kind}, targets: &{:?}, components: &[{components}], url: {:?} }},",
            parameter.code, parameter.target, parameter.url
        );
    }
    let _ = writeln!(out, "], edges: {} }},", tree.source());
    Ok(out)
}

/// Where the values of a parameter are in a type. Alternatives for other types are left out.
fn ends_of_parameter(name: &str, parameter: &Definition, elements: &Elements) -> Result<BTreeSet<End>, Box<dyn Error>> {
    let expression = parameter.expression.as_deref().ok_or_else(|| format!("{} has no expression", parameter.url))?;
    let mut ends = BTreeSet::new();
    for steps in expression::parse(expression)? {
        if let Some((base, steps)) = from_base(name, &steps) {
            let found = table::ends(elements, base, steps, &parameter.kind);
            ends.extend(found.map_err(|e| format!("{}: {e}", parameter.url))?);
        }
    }
    if ends.is_empty() {
        return Err(format!("{} has no value in {name}", parameter.url).into());
    }
    Ok(ends)
}

/// The steps below the type; nothing when they begin at another type.
fn from_base<'a>(name: &'a str, steps: &'a [Step]) -> Option<(&'a str, &'a [Step])> {
    match steps {
        [Step::Member(first), below @ ..] if first.starts_with(char::is_uppercase) => {
            (first == name || first == "Resource").then_some((first.as_str(), below))
        }
        _ => Some((name, steps)),
    }
}

struct Composite {
    bases: Vec<Vec<table::Edge>>,
    source: String,
}

/// A composite is joined from its components' own values, those in the same element: that is the same as its
/// expressions say if a component's parameter has exactly the values that the expression finds there. This
/// checks it.
fn composite(
    name: &str,
    parameter: &Definition,
    parameters: &[&Definition],
    ends_of: &[BTreeSet<End>],
    elements: &Elements,
) -> Result<Composite, Box<dyn Error>> {
    let fault = |what: &str| format!("{}: {what}", parameter.url);
    let mut bases = Vec::new();
    let mut sources = BTreeSet::new();
    for steps in expression::parse(parameter.expression.as_deref().unwrap_or_default())? {
        let Some((_, base)) = from_base(name, &steps) else { continue };
        let mut base_edges = Vec::new();
        let mut source = String::new();
        for component in &parameter.component {
            let at = parameters.iter().position(|p| p.url == component.definition).ok_or_else(|| fault("component"))?;
            let (defined, own) = (parameters[at], &ends_of[at]);
            let mut found = BTreeSet::new();
            let mut anywhere = false;
            for steps in expression::parse(&component.expression)? {
                anywhere = steps.first() == Some(&Step::Root);
                let whole = if anywhere { steps } else { [base, &steps].concat() };
                found.extend(table::ends(elements, name, &whole, &defined.kind).map_err(|e| fault(&e))?);
            }
            if !anywhere {
                base_edges = found.first().map(|end| end.edges[..base.len()].to_vec()).unwrap_or_default();
                let depth = base_edges.len() + 1;
                let same_place = |end: &&End| end.edges.len() == depth && end.edges.starts_with(&base_edges);
                if !own.iter().filter(same_place).eq(found.iter()) {
                    return Err(fault("a component's values are not those of its parameter").into());
                }
            } else if !own.iter().eq(found.iter()) {
                return Err(fault("a component's values are not those of its parameter").into());
            }
            let _ = write!(source, "Component {{ parameter: {at}, anywhere: {anywhere} }},");
        }
        bases.push(base_edges);
        sources.insert(source);
    }
    match (sources.pop_first(), sources.is_empty()) {
        (Some(source), true) => Ok(Composite { bases, source }),
        _ => Err(fault("its bases differ").into()),
    }
}
