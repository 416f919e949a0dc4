//! Writes the table of types: one `static` per type, those of nested elements included, with the
//! elements it inherits and the JSON members that they may appear under.

use std::collections::BTreeMap;
use std::error::Error;
use std::fmt::Write;

use serde::Deserialize;

#[derive(Deserialize)]
struct Definitions {
    primitives: BTreeMap<String, Option<String>>,
    types: BTreeMap<String, Definition>,
    #[serde(rename = "valueSets")]
    value_sets: BTreeMap<String, ValueSet>,
}

#[derive(Deserialize)]
struct Definition {
    kind: String,
    base: Option<String>,
    #[serde(rename = "abstract")]
    is_abstract: bool,
    elements: Vec<Element>,
}

#[derive(Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Element {
    path: String,
    min: u8,
    max: String,
    #[serde(default)]
    types: Vec<String>,
    content: Option<String>,
    value_set: Option<String>,
    #[serde(default)]
    is_summary: bool,
    #[serde(default)]
    is_modifier: bool,
}

#[derive(Deserialize)]
struct ValueSet {
    url: String,
    systems: BTreeMap<String, Vec<String>>,
}

/// A type with all its elements; each names the type whose content it has.
struct Flat {
    kind: String,
    elements: Vec<(Element, Vec<(String, String)>)>,
}

/// The Rust source of the tables.
pub(crate) fn generate(definitions: &str) -> Result<String, Box<dyn Error>> {
    let definitions: Definitions = serde_json::from_str(definitions)?;
    let mut flat = BTreeMap::new();
    for name in definitions.primitives.keys() {
        flat.insert(name.clone(), flatten(&definitions, name, name, "Element")?);
    }
    for (name, definition) in &definitions.types {
        if definition.is_abstract && name != "Resource" {
            continue;
        }
        let base = definition.base.as_deref().unwrap_or("");
        flat.insert(name.clone(), flatten(&definitions, name, name, base)?);
        for element in &definition.elements {
            if let [holder @ ("BackboneElement" | "Element")] =
                element.types.iter().map(String::as_str).collect::<Vec<_>>()[..]
            {
                let path = format!("{name}.{}", element.path);
                flat.insert(path.clone(), flatten(&definitions, name, &path, holder)?);
            }
        }
    }
    write_source(&definitions, &flat)
}

/// All elements of the type or nested element `path`, which the definition of `root` describes.
fn flatten(definitions: &Definitions, root: &str, path: &str, base: &str) -> Result<Flat, Box<dyn Error>> {
    let mut elements = Vec::new();
    if !base.is_empty() {
        let above = definitions.types.get(base).ok_or_else(|| format!("no type {base}"))?;
        elements = flatten(definitions, base, base, above.base.as_deref().unwrap_or(""))?.elements;
    }
    let kind = if definitions.primitives.contains_key(path) {
        format!("TypeKind::Primitive(Primitive::{})", capital(path))
    } else if path == "Resource" {
        "TypeKind::AnyResource".to_owned()
    } else if path.contains('.') {
        "TypeKind::Nested".to_owned()
    } else if definitions.types.get(path).is_some_and(|found| found.kind == "resource") {
        "TypeKind::Resource".to_owned()
    } else {
        "TypeKind::Complex".to_owned()
    };
    let own = definitions.types.get(root).map(|found| found.elements.as_slice()).unwrap_or_default();
    for element in own {
        let whole = format!("{root}.{}", element.path);
        let Some((parent, name)) = whole.rsplit_once('.') else { continue };
        if parent != path {
            continue;
        }
        let mut types = Vec::new();
        for declared in &element.types {
            let (code, targets) = declared.trim_end_matches(')').split_once('(').unwrap_or((declared, ""));
            let nested = matches!(code, "BackboneElement" | "Element");
            types.push((if nested { whole.clone() } else { code.to_owned() }, targets.to_owned()));
        }
        if let Some(content) = &element.content {
            types.push((content.clone(), String::new()));
        }
        elements.push((Element { path: name.to_owned(), ..element.clone() }, types));
    }
    Ok(Flat { kind, elements })
}

fn write_source(definitions: &Definitions, flat: &BTreeMap<String, Flat>) -> Result<String, Box<dyn Error>> {
    let mut out = String::new();
    for (name, set) in &definitions.value_sets {
        write!(out, "static {}: ValueSet = ValueSet {{ url: {:?}, systems: &[", value_set_static(name), set.url)?;
        for (system, codes) in &set.systems {
            write!(out, "CodeList {{ system: {system:?}, codes: &{codes:?} }},")?;
        }
        out.push_str("] };\n");
    }
    for (name, found) in flat {
        write!(
            out,
            "static {}: Type = Type {{ name: {name:?}, kind: {}, elements: &[",
            type_static(flat, name)?,
            found.kind
        )?;
        let mut members = BTreeMap::new();
        let mut required = Vec::new();
        for (at, (element, types)) in found.elements.iter().enumerate() {
            let base = element.path.trim_end_matches("[x]");
            if element.min > 0 {
                required.push(format!("(1 << {at})"));
            }
            let many = element.max != "1";
            write!(
                out,
                "Element {{ name: {base:?}, is_choice: {}, is_required: {}, is_list: {many}, is_summary: {}, is_modifier: {}, value_set: ",
                base != element.path,
                element.min > 0,
                element.is_summary,
                element.is_modifier,
            )?;
            match &element.value_set {
                Some(set) => write!(out, "Some(&{})", value_set_static(set))?,
                None => out.push_str("None"),
            }
            out.push_str(", types: &[");
            for (choice, (code, targets)) in types.iter().enumerate() {
                let targets: Vec<_> = targets.split('|').filter(|target| !target.is_empty()).collect();
                write!(out, "ElementType {{ of: &{}, targets: &{targets:?} }},", type_static(flat, code)?)?;
                let member = if base == element.path { base.to_owned() } else { format!("{base}{}", capital(code)) };
                members.insert(member, (at, choice));
            }
            out.push_str("] },");
        }
        out.push_str("], members: &[");
        for (member, (at, choice)) in members {
            write!(out, "Member {{ prefix: prefix({member:?}), name: {member:?}, element: {at}, choice: {choice} }},")?;
        }
        let required = if required.is_empty() { "0".to_owned() } else { required.join(" | ") };
        writeln!(out, "], required: {required} }};")?;
    }
    out.push_str("/// Every type, by name.\nstatic TYPES: &[&Type] = &[");
    for name in flat.keys() {
        write!(out, "&{},", type_static(flat, name)?)?;
    }
    out.push_str("];\n");
    out.push_str("/// The patterns of the primitive types as the definitions state them.\n#[cfg(test)]\n");
    out.push_str("static PATTERNS: &[(&str, &str)] = &[");
    for (name, pattern) in &definitions.primitives {
        if let Some(pattern) = pattern {
            write!(out, "({name:?}, {pattern:?}),")?;
        }
    }
    out.push_str("];\n");
    Ok(out)
}

/// The name of a type's static. Types differ in case alone (`Count` and `count`), so they are numbered.
fn type_static(flat: &BTreeMap<String, Flat>, name: &str) -> Result<String, Box<dyn Error>> {
    let at = flat.keys().position(|found| found == name).ok_or_else(|| format!("no type {name}"))?;
    Ok(format!("TYPE_{at}"))
}

fn value_set_static(name: &str) -> String {
    format!("CODES_{}", name.replace('-', "_").to_uppercase())
}

fn capital(name: &str) -> String {
    let mut rest = name.chars();
    rest.next().map(|first| first.to_uppercase().chain(rest).collect()).unwrap_or_default()
}
