//! The walk over a resource: each object against the elements of its type. One pass, in document
//! order; what is looked up on the way was collected once (`scope`).

use std::collections::HashMap;

use serde_json::{Map, Value};

use super::fault::{Fault, Findings, Path, quoted};
use super::primitive::{self, PrimitiveFault};
use super::scope::{self, Container};
use super::{Handling, rules};
use crate::JSON_DEPTH_MAX;
use crate::narrative;
use crate::outcome::{Issue, IssueCode, Severity};
use crate::reference::Reference;
use crate::structure::{self, Element, ElementType, Place, Primitive, Type, TypeKind, ValueSet};

/// Codes that a remedy lists at most.
const CODES_LISTED_MAX: usize = 12;
/// Most edits between an unknown name and the element that we suggest for it.
const SUGGESTION_EDITS_MAX: usize = 2;

pub(crate) struct Walk<'v> {
    handling: Handling,
    findings: Findings,
    /// Resources that are open and may contain others, outermost first.
    containers: Vec<Container<'v>>,
    /// Entries of the Bundles that are open, outermost first.
    bundles: Vec<HashMap<&'v str, &'v str>>,
}

impl<'v> Walk<'v> {
    pub(crate) fn new(handling: Handling) -> Self {
        Self { handling, findings: Findings::default(), containers: Vec::new(), bundles: Vec::new() }
    }

    pub(crate) fn of(mut self, resource: &'v Value) -> Vec<Issue> {
        let name = scope::text(resource, "resourceType").and_then(resource_type);
        let path = Path::root(name.map_or("Resource", Type::name));
        self.resource(resource, &path, 1);
        self.findings.into_issues()
    }

    /// A resource that stands by itself: the root, or that of an entry or parameter.
    fn resource(&mut self, value: &'v Value, path: &Path<'_>, depth: usize) {
        let Some((of, map)) = self.typed(value, path) else { return };
        self.containers.push(Container::of(map));
        if of.name() == "Bundle" {
            self.bundles.push(scope::entries(map));
            rules::check_bundle(map, path, &mut self.findings);
        }
        self.object(of, map, path, depth);
        self.check_use_of_contained(map, path);
        if of.name() == "Bundle" {
            self.bundles.pop();
        }
        self.containers.pop();
    }

    /// The type that the resource says it has.
    fn typed(&mut self, value: &'v Value, path: &Path<'_>) -> Option<(&'static Type, &'v Map<String, Value>)> {
        let map = self.expect_object(value, path)?;
        let named = path.member("resourceType");
        match map.get("resourceType") {
            None => {
                let fault =
                    Fault::new(IssueCode::Required, "missing-resource-type", "a resource says its resourceType");
                self.findings.add(path, fault.remedy("add resourceType, such as \"Patient\""));
            }
            Some(Value::String(name)) => {
                if let Some(of) = resource_type(name) {
                    return Some((of, map));
                }
                let text = format!("'{}' is not a resource type of FHIR R4", quoted(name));
                let fault = Fault::new(IssueCode::NotSupported, "unknown-resource-type", text);
                self.findings.add(
                    &named,
                    fault.remedy("resource types are case-sensitive; see http://hl7.org/fhir/R4/resourcelist.html"),
                );
            }
            Some(other) => self.wrong_json(&named, "the name of a resource type, in a string", other),
        }
        None
    }

    /// The elements of one object.
    fn object(&mut self, of: &'static Type, map: &'v Map<String, Value>, path: &Path<'_>, depth: usize) {
        if depth > JSON_DEPTH_MAX {
            let text = format!("nested deeper than {JSON_DEPTH_MAX} levels");
            self.findings.add(path, Fault::new(IssueCode::TooLong, "too-deep", text).remedy("nest less"));
            return;
        }
        if map.is_empty() {
            self.empty(path, "an object has at least one member");
            return;
        }
        let has_siblings = map.keys().any(|name| name.starts_with('_'));
        let (mut seen, mut twice) = (0_u128, 0_u128);
        for (name, value) in map {
            if self.findings.is_full() {
                return;
            }
            let plain = name.strip_prefix('_').unwrap_or(name);
            // An id is an attribute in XML, so nothing can be said of it; databases send `_id` of their own.
            let may_extend = |place: &Place| place.of.of().primitive().is_some() && plain != "id";
            let place = of.place(plain).filter(|place| plain == name || may_extend(place));
            let Some(place) = place else {
                if !(name == "resourceType" && of.kind() == TypeKind::Resource) {
                    self.unknown(of, name, path);
                }
                continue;
            };
            let (value, sibling) = if plain == name {
                let sibling = has_siblings.then(|| map.get(&format!("_{name}"))).flatten();
                (Some(value), sibling.filter(|_| may_extend(&place)))
            } else if map.contains_key(plain) {
                continue;
            } else {
                (None, Some(value))
            };
            let here = path.member(place.element.name());
            if seen & place.bit != 0 && twice & place.bit == 0 {
                twice |= place.bit;
                let text = format!("{}[x] may have one type only, and is here twice", place.element.name());
                let fault = Fault::new(IssueCode::Structure, "two-choices", text);
                self.findings.add(&here, fault.remedy(format!("keep {plain} or the other one, not both")));
            }
            seen |= place.bit;
            self.element(&place, value, sibling, &here, depth);
        }
        self.missing(of, seen, path);
        rules::check(of, map, seen, path, &mut self.findings);
    }

    fn missing(&mut self, of: &'static Type, seen: u128, path: &Path<'_>) {
        let mut missing = of.required() & !seen;
        while missing != 0 {
            let bit = missing & missing.wrapping_neg();
            missing ^= bit;
            let Some(element) = of.element_of_bit(bit) else { continue };
            let text = format!("{} is missing; {} has it at least once", element.name(), of.name());
            let remedy = format!("add {}: {}", members(element).next().unwrap_or_default(), describe(element));
            let fault = Fault::new(IssueCode::Required, "missing-element", text).remedy(remedy);
            self.findings.add(&path.member(element.name()), fault);
        }
    }

    fn unknown(&mut self, of: &'static Type, name: &str, path: &Path<'_>) {
        let severity = match self.handling {
            Handling::Strict => Severity::Error,
            Handling::Lenient => Severity::Information,
        };
        if !self.findings.lists(severity) {
            return;
        }
        let choice = of.element(name).filter(|element| element.is_choice());
        let remedy = if let Some(element) = choice {
            format!(
                "write its type into the name: {}",
                members(element).take(CODES_LISTED_MAX).collect::<Vec<_>>().join(", ")
            )
        } else if let Some(near) = nearest(of, name) {
            format!("did you mean {near}?")
        } else {
            "remove it, or send what it says as an extension".to_owned()
        };
        let text = format!("'{}' is not an element of {} in FHIR R4", quoted(name), of.name());
        let fault = Fault::new(IssueCode::Structure, "unknown-element", text).severity(severity).remedy(remedy);
        self.findings.add(&path.member(name), fault);
    }

    /// An element: the value of its member, and that of the `_` member beside it.
    fn element(
        &mut self,
        place: &Place,
        value: Option<&'v Value>,
        sibling: Option<&'v Value>,
        path: &Path<'_>,
        depth: usize,
    ) {
        let primitive = place.of.of().primitive();
        match (place.element.is_list(), primitive) {
            (false, None) => value.into_iter().for_each(|value| self.content(place, value, path, depth + 1)),
            (false, Some(primitive)) => self.single(place, primitive, (value, sibling), path, depth),
            (true, None) => {
                let Some(items) = value.and_then(|value| self.expect_list(value, path)) else { return };
                let contained = place.element.name() == "contained" && place.of.of().kind() == TypeKind::AnyResource;
                for (at, item) in items.iter().enumerate() {
                    if self.findings.is_full() {
                        return;
                    }
                    if contained {
                        self.contained(at, item, &path.index(at), depth + 2);
                    } else {
                        self.content(place, item, &path.index(at), depth + 2);
                    }
                }
            }
            (true, Some(primitive)) => self.list_of_primitives(place, primitive, (value, sibling), path, depth + 1),
        }
    }

    /// A single object: a data type, the elements nested in an element, or a resource.
    fn content(&mut self, place: &Place, value: &'v Value, path: &Path<'_>, depth: usize) {
        let of = place.of.of();
        if of.kind() == TypeKind::AnyResource {
            return self.resource(value, path, depth);
        }
        let Some(map) = self.expect_object(value, path) else { return };
        self.object(of, map, path, depth);
        match (of.name(), place.element.value_set()) {
            ("Reference", _) => self.reference(place.of, map, path),
            ("CodeableConcept", Some(set)) => self.concept(set, map, path),
            _ => {}
        }
    }

    /// Arrays of primitives: the `_` array has ids and extensions at the same places, and each fills
    /// its gaps with null (R4 json.html#primitive).
    fn list_of_primitives(
        &mut self,
        place: &Place,
        primitive: Primitive,
        (value, sibling): (Option<&'v Value>, Option<&'v Value>),
        path: &Path<'_>,
        depth: usize,
    ) {
        let values = value.map(|value| self.expect_list(value, path));
        let siblings = sibling.map(|sibling| self.expect_list(sibling, path));
        if matches!(values, Some(None)) || matches!(siblings, Some(None)) {
            return;
        }
        let (values, siblings) = (values.flatten(), siblings.flatten());
        if let (Some(values), Some(siblings)) = (values, siblings)
            && values.len() != siblings.len()
        {
            let name = place.element.name();
            let text = format!("{name} has {} items and _{name} has {}", values.len(), siblings.len());
            let fault = Fault::new(IssueCode::Structure, "misaligned-extensions", text);
            self.findings.add(path, fault.remedy("fill the gaps of the shorter array with null"));
        }
        let count = values.map_or(0, Vec::len).max(siblings.map_or(0, Vec::len));
        for at in 0..count {
            if self.findings.is_full() {
                return;
            }
            let item = |list: Option<&'v Vec<Value>>| list.and_then(|list| list.get(at)).filter(|item| !item.is_null());
            let pair = (item(values), item(siblings));
            let path = path.index(at);
            if pair == (None, None) {
                self.empty(&path, "an item of an array has a value or an extension");
            } else {
                self.single(place, primitive, pair, &path, depth);
            }
        }
    }

    /// A primitive value and what its `_` member adds.
    fn single(
        &mut self,
        place: &Place,
        primitive: Primitive,
        (value, sibling): (Option<&'v Value>, Option<&'v Value>),
        path: &Path<'_>,
        depth: usize,
    ) {
        if let Some(sibling) = sibling
            && let Some(map) = self.expect_object(sibling, path)
        {
            self.object(place.of.of(), map, path, depth + 1);
        }
        let Some(value) = value else { return };
        if let Err(fault) = primitive::check(primitive, value) {
            return self.primitive_fault(primitive, fault, value, path);
        }
        let Value::String(text) = value else { return };
        match primitive {
            Primitive::Code => {
                if let Some(set) = place.element.value_set()
                    && !set.has_code(text)
                {
                    let fault = format!("'{}' is not a code of {}", quoted(text), set.url());
                    self.findings.add(path, not_in_value_set(fault, set));
                }
            }
            Primitive::Uri | Primitive::Url | Primitive::Canonical => {
                if let (Some(fragment), Some(container)) = (text.strip_prefix('#'), self.containers.last_mut()) {
                    container.note(fragment);
                }
            }
            Primitive::Xhtml => {
                if let Err(error) = narrative::check(text) {
                    let fault = Fault::new(IssueCode::Invalid, error.code(), error.to_string());
                    self.findings.add(path, fault.remedy(error.remedy()));
                }
            }
            _ => {}
        }
    }

    fn primitive_fault(&mut self, primitive: Primitive, fault: PrimitiveFault, value: &Value, path: &Path<'_>) {
        let expected = primitive::describe(primitive);
        let (code, text) = match fault {
            PrimitiveFault::WrongJson => return self.wrong_json(path, expected, value),
            PrimitiveFault::Empty => return self.empty(path, "a string is not empty"),
            PrimitiveFault::Format => ("bad-format", format!("expected {expected}")),
            PrimitiveFault::NoSuchDate => ("no-such-date", "the calendar has no such day".to_owned()),
            PrimitiveFault::OutOfRange => ("out-of-range", format!("expected {expected}")),
            PrimitiveFault::TooLong => ("string-too-long", format!("expected {expected}")),
        };
        let kind = if fault == PrimitiveFault::TooLong { IssueCode::TooLong } else { IssueCode::Value };
        self.findings.add(path, Fault::new(kind, code, text).remedy("correct the value, or leave the element out"));
    }

    fn contained(&mut self, at: usize, value: &'v Value, path: &Path<'_>, depth: usize) {
        let Some((of, map)) = self.typed(value, path) else { return };
        if self.containers.last().is_some_and(Container::is_inside) {
            let text = "a contained resource contains no others";
            let fault = Fault::new(IssueCode::Invariant, "dom-2", text);
            self.findings.add(path, fault.remedy("move it to the outermost resource's contained"));
            return;
        }
        let id = map.get("id").and_then(Value::as_str);
        if id.is_none() {
            let fault = Fault::new(IssueCode::Required, "contained-without-id", "a contained resource has an id");
            self.findings.add(path, fault.remedy("give it an id, and refer to it as '#' and the id"));
        }
        if let Some(container) = self.containers.last_mut() {
            let fresh = container.enter(at, id);
            if !fresh {
                let text = "another contained resource has the same id";
                let fault = Fault::new(IssueCode::Value, "contained-twice", text);
                self.findings.add(&path.member("id"), fault.remedy("give each contained resource an id of its own"));
            }
        }
        rules::check_contained(map, path, &mut self.findings);
        self.object(of, map, path, depth);
        if let Some(container) = self.containers.last_mut() {
            container.leave();
        }
    }

    /// dom-3: what nothing points at has no meaning of its own.
    fn check_use_of_contained(&mut self, map: &'v Map<String, Value>, path: &Path<'_>) {
        let (Some(Value::Array(resources)), Some(container)) = (map.get("contained"), self.containers.last()) else {
            return;
        };
        for (at, resource) in resources.iter().enumerate() {
            let Some(id) = scope::text(resource, "id") else { continue };
            if !container.is_used(at, id) {
                let text = "nothing in the resource refers to this contained resource";
                let fault = Fault::new(IssueCode::Invariant, "dom-3", text);
                let list = path.member("contained");
                self.findings.add(&list.index(at), fault.remedy("refer to it as '#' and its id, or remove it"));
            }
        }
    }

    fn reference(&mut self, of: &'static ElementType, map: &'v Map<String, Value>, path: &Path<'_>) {
        let declared = map.get("type").and_then(Value::as_str).filter(|name| resource_type(name).is_some());
        let mut kind = None;
        if let Some(text) = map.get("reference").and_then(Value::as_str) {
            let path = path.member("reference");
            if let (Some(fragment), Some(container)) = (text.strip_prefix('#'), self.containers.last_mut()) {
                container.note(fragment);
                kind = container.kind_of(fragment);
                if kind.is_none() && !fragment.is_empty() {
                    let text = "no contained resource has this id";
                    let fault = Fault::new(IssueCode::NotFound, "ref-1", text);
                    self.findings.add(&path, fault.remedy("add the resource to contained, or refer to one outside"));
                }
            } else {
                let parsed = Reference::parse(text);
                kind = parsed.target_type().map(crate::ResourceType::as_str);
                match parsed {
                    Reference::Uuid(_) | Reference::Absolute { .. } => {
                        kind = self.bundles.iter().rev().find_map(|entries| entries.get(text).copied()).or(kind);
                    }
                    Reference::Unknown(_) => {
                        let text = "this points nowhere: expected Type/id, a URL, urn:uuid:, or '#' and an id";
                        let fault = Fault::new(IssueCode::Value, "reference-form", text).severity(Severity::Warning);
                        self.findings.add(&path, fault.remedy("what has no address goes to identifier or display"));
                    }
                    _ => {}
                }
            }
        }
        if let (Some(kind), Some(declared)) = (kind, declared)
            && kind != declared
        {
            let text = format!("type says {declared}, and the reference is to a {kind}");
            let fault = Fault::new(IssueCode::Value, "reference-type-differs", text);
            self.findings.add(&path.member("type"), fault.remedy("make both say the same, or leave type out"));
        }
        if let Some(kind) = kind.or(declared)
            && !of.targets().is_empty()
            && !of.targets().contains(&kind)
        {
            let text = format!("expected a reference to {}, found one to {kind}", of.targets().join(" or "));
            let fault = Fault::new(IssueCode::Value, "reference-target", text);
            self.findings.add(path, fault.remedy("refer to a resource of an allowed type"));
        }
    }

    /// A concept with a required binding: one of its codings is in the value set.
    fn concept(&mut self, set: &'static ValueSet, map: &'v Map<String, Value>, path: &Path<'_>) {
        let coding = map.get("coding").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        let bound = coding.iter().any(|coding| {
            let (system, code) = (scope::text(coding, "system"), scope::text(coding, "code"));
            system.zip(code).is_some_and(|(system, code)| set.has(system, code))
        });
        if !bound {
            let text = format!("no coding is one of {}", set.url());
            self.findings.add(path, not_in_value_set(text, set));
        }
    }

    fn expect_object(&mut self, value: &'v Value, path: &Path<'_>) -> Option<&'v Map<String, Value>> {
        let map = value.as_object();
        if map.is_none() {
            self.wrong_json(path, "an object", value);
        }
        map
    }

    fn expect_list(&mut self, value: &'v Value, path: &Path<'_>) -> Option<&'v Vec<Value>> {
        match value {
            Value::Array(items) if items.is_empty() => {
                self.empty(path, "an array has at least one item");
                None
            }
            Value::Array(items) => Some(items),
            other => {
                self.wrong_json(path, "an array, for the element may repeat", other);
                None
            }
        }
    }

    fn wrong_json(&mut self, path: &Path<'_>, expected: &str, found: &Value) {
        let found = match found {
            Value::Null => "null",
            Value::Bool(_) => "true or false",
            Value::Number(_) => "a number",
            Value::String(_) => "a string",
            Value::Array(_) => "an array",
            Value::Object(_) => "an object",
        };
        let fault = Fault::new(IssueCode::Structure, "wrong-json", format!("expected {expected}; found {found}"));
        self.findings.add(path, fault.remedy("send the element in this form, or leave it out"));
    }

    fn empty(&mut self, path: &Path<'_>, rule: &str) {
        let fault = Fault::new(IssueCode::Structure, "empty", format!("{rule}; this is empty"));
        self.findings.add(path, fault.remedy("leave the element out where nothing is known"));
    }
}

/// The concrete resource type of that name.
fn resource_type(name: &str) -> Option<&'static Type> {
    structure::find(name).filter(|of| of.kind() == TypeKind::Resource)
}

fn not_in_value_set(text: String, set: &'static ValueSet) -> Fault {
    let mut codes: Vec<_> = set.codes().map(|(_, code)| code).take(CODES_LISTED_MAX + 1).collect();
    let more = if codes.len() > CODES_LISTED_MAX { ", …" } else { "" };
    codes.truncate(CODES_LISTED_MAX);
    Fault::new(IssueCode::CodeInvalid, "code-not-in-value-set", text)
        .remedy(format!("use one of: {}{more}", codes.join(", ")))
}

/// The JSON members that an element may appear as.
fn members(element: &'static Element) -> impl Iterator<Item = String> {
    element.types().iter().map(|choice| {
        let mut name = element.name().to_owned();
        if element.is_choice() {
            let mut rest = choice.of().name().chars();
            name.extend(rest.next().map(|first| first.to_ascii_uppercase()));
            name.push_str(rest.as_str());
        }
        name
    })
}

/// What an element looks like, by its first type.
fn describe(element: &Element) -> String {
    let Some(choice) = element.types().first() else { return String::new() };
    let one = match choice.of().kind() {
        TypeKind::Primitive(primitive) => primitive::describe(primitive).to_owned(),
        _ => format!("an object of type {}", choice.of().name()),
    };
    if element.is_list() { format!("an array; each item is {one}") } else { one }
}

/// The member of the type that the name was perhaps meant to be.
fn nearest(of: &'static Type, name: &str) -> Option<&'static str> {
    if name.len() > QUERY_BYTES_MAX {
        return None;
    }
    of.members()
        .map(|member| (strsim::damerau_levenshtein(&member.to_ascii_lowercase(), &name.to_ascii_lowercase()), member))
        .filter(|(edits, member)| *edits <= SUGGESTION_EDITS_MAX && *edits < member.len() / 2)
        .min()
        .map(|(_, member)| member)
}

/// Longest unknown name that we seek a suggestion for, in bytes.
const QUERY_BYTES_MAX: usize = 40;
