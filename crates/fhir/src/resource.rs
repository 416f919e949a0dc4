//! A FHIR resource: the bytes as received, which are what is stored, hashed and returned, beside the
//! facts that routing needs. It does not validate against profiles and never writes the bytes anew.

use std::fmt;

use bytes::Bytes;

use crate::error::FhirError;
use crate::identifier::Identifier;
use crate::json::{self, JSON_DEPTH_MAX, Kind, Sink, Step, Value};
use crate::label::SecurityCoding;
use crate::{ResourceId, ResourceType};

/// Largest resource taken in, in bytes.
pub const RESOURCE_BYTES_MAX: usize = 16 * 1024 * 1024;

/// A resource whose JSON has one reading and whose type and id are sound.
///
/// A clone shares the bytes. A resource that came in a Bundle is a slice of it and keeps the whole
/// Bundle in memory; [`Resource::detached`] lets go of it.
#[derive(Clone)]
pub struct Resource {
    bytes: Bytes,
    facts: Facts,
}

impl Resource {
    /// Reads a resource from exactly its bytes; white space around the object is kept.
    ///
    /// # Errors
    /// Any case of [`FhirError`] about size, JSON, type or id.
    pub fn parse(bytes: impl Into<Bytes>) -> Result<Self, FhirError> {
        Self::parse_at(bytes.into(), "Resource")
    }

    /// As [`Resource::parse`], naming places in errors from `root` on.
    pub(crate) fn parse_at(bytes: Bytes, root: &str) -> Result<Self, FhirError> {
        check_size(bytes.len())?;
        let mut draft = Draft::default();
        json::walk(json::utf8(&bytes)?, root, JSON_DEPTH_MAX, &mut Whole { draft: &mut draft, root })?;
        let facts = draft.finish(root)?;
        Ok(Self { bytes, facts })
    }

    pub(crate) fn from_checked(bytes: Bytes, facts: Facts) -> Self {
        Self { bytes, facts }
    }

    /// The bytes exactly as received.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The type.
    pub fn resource_type(&self) -> ResourceType {
        self.facts.resource_type
    }

    /// The logical id, where the resource carries one.
    pub fn id(&self) -> Option<&ResourceId> {
        self.facts.id.as_ref()
    }

    /// The security codings: `meta.security`, also of contained resources, and the elements that
    /// hold the same for documents (`Composition.confidentiality`, `DocumentReference.securityLabel`).
    pub fn security(&self) -> &[SecurityCoding] {
        &self.facts.security
    }

    /// A tree for reading. Decimals keep their digits (`1.10` stays `1.10`).
    ///
    /// # Errors
    /// None is expected: what was parsed is readable. A difference between the two readers would
    /// show as [`FhirError::Syntax`].
    pub fn json(&self) -> Result<serde_json::Value, FhirError> {
        serde_json::from_slice(&self.bytes).map_err(|e| FhirError::Syntax {
            line: e.line(),
            column: e.column(),
            expression: self.facts.resource_type.to_string(),
            reason: "the JSON reader refuses it",
        })
    }

    /// The same resource with a copy of its bytes of its own, so that the Bundle it came in can be
    /// freed.
    pub fn detached(&self) -> Self {
        Self { bytes: Bytes::copy_from_slice(&self.bytes), facts: self.facts.clone() }
    }

    pub(crate) fn has_meta(&self) -> bool {
        self.facts.has_meta
    }

    /// The same resource under another id and with `meta`, in bytes that otherwise say what the facts do.
    pub(crate) fn presented(&self, bytes: Bytes, id: &ResourceId) -> Self {
        Self { bytes, facts: Facts { id: Some(id.clone()), has_meta: true, ..self.facts.clone() } }
    }

    pub(crate) fn links(&self) -> &[Link] {
        &self.facts.links
    }

    pub(crate) fn logical_links(&self) -> &[(String, Identifier)] {
        &self.facts.logical_links
    }

    pub(crate) fn attachments(&self) -> &[String] {
        &self.facts.attachments
    }
}

/// Shows the type and the size alone: a record belongs in no log.
impl fmt::Debug for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}({} bytes)", self.facts.resource_type, self.bytes.len())
    }
}

/// Two resources are the same when their bytes are.
impl PartialEq for Resource {
    fn eq(&self, other: &Self) -> bool {
        self.bytes == other.bytes
    }
}

impl Eq for Resource {}

pub(crate) fn check_size(bytes: usize) -> Result<(), FhirError> {
    if bytes > RESOURCE_BYTES_MAX {
        return Err(FhirError::TooLarge { what: "the resource", bytes, limit: RESOURCE_BYTES_MAX });
    }
    Ok(())
}

/// A `reference` member and the element that holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Link {
    /// The element, without the root and indices: `participant.actor`.
    pub(crate) element: String,
    /// The reference string.
    pub(crate) reference: String,
}

/// What is known of a resource besides its bytes.
#[derive(Clone, Debug)]
pub(crate) struct Facts {
    pub(crate) resource_type: ResourceType,
    pub(crate) id: Option<ResourceId>,
    /// Whether it has a member `meta`, of whatever kind.
    has_meta: bool,
    pub(crate) security: Vec<SecurityCoding>,
    links: Vec<Link>,
    /// References by identifier alone (`Reference.identifier`), with the element that holds them.
    logical_links: Vec<(String, Identifier)>,
    /// `url` members that may point at an entry of the same Bundle (Attachment.url).
    attachments: Vec<String>,
}

/// Facts of a resource that is still being read.
#[derive(Debug, Default)]
pub(crate) struct Draft {
    is_object: bool,
    resource_type: Option<ResourceType>,
    id: Option<ResourceId>,
    has_meta: bool,
    security: Vec<SecurityCoding>,
    coding: SecurityCoding,
    document_security: Vec<SecurityCoding>,
    /// How many of those belong to labels that have ended.
    labelled: usize,
    confidentiality: Option<String>,
    links: Vec<Link>,
    logical_links: Vec<(String, Identifier)>,
    /// Identifiers that are open: length of their members' paths, system, value. They nest
    /// (`identifier.assigner.identifier`).
    identifiers: Vec<(usize, Option<String>, Option<String>)>,
    attachments: Vec<String>,
}

impl Draft {
    /// Takes one value of the resource; `path` leads to it from the resource's root, which errors
    /// call `root()`.
    pub(crate) fn take(
        &mut self,
        root: impl Fn() -> String,
        path: &[Step<'_>],
        value: &Value<'_>,
    ) -> Result<(), FhirError> {
        match path {
            [] => self.is_object = value.kind == Kind::Object,
            [only] if only.is("resourceType") => {
                let expression = || format!("{}.resourceType", root());
                let Some(name) = value.string() else {
                    return Err(FhirError::BadElement { expression: expression(), reason: "expected a string" });
                };
                let known = name.parse().map_err(|_| FhirError::UnknownResourceType {
                    expression: expression(),
                    found: name.chars().filter(|c| !c.is_control()).take(64).collect(),
                })?;
                self.resource_type = Some(known);
            }
            [only] if only.is("id") => {
                let id = value.string().and_then(|id| id.parse().ok());
                self.id = Some(id.ok_or_else(|| FhirError::BadId { expression: format!("{}.id", root()) })?);
            }
            [only] if only.is("meta") => self.has_meta = true,
            [only] if only.is("confidentiality") => {
                // Not a string: no code that we know, so the label fails closed.
                self.confidentiality = Some(value.string().map(std::borrow::Cow::into_owned).unwrap_or_default());
            }
            [.., parent, last] => self.take_nested(path, parent, last, value),
            [_] => {}
        }
        self.take_security(path, value);
        Ok(())
    }

    fn take_nested(&mut self, path: &[Step<'_>], parent: &Step<'_>, last: &Step<'_>, value: &Value<'_>) {
        let holder = |steps: usize| element(path.get(..path.len().saturating_sub(steps)).unwrap_or_default());
        let Some(name) = last.name() else { return };
        if parent.is("identifier") && matches!(name, "system" | "value") {
            if self.identifiers.last().is_none_or(|open| open.0 != path.len()) {
                self.identifiers.push((path.len(), None, None));
            }
            if let Some((_, system, own)) = self.identifiers.last_mut() {
                let text = value.string().map(std::borrow::Cow::into_owned);
                if name == "system" {
                    *system = text;
                } else {
                    *own = text;
                }
            }
        }
        match (name, value.kind) {
            ("reference", Kind::String) => {
                let reference = value.string().unwrap_or_default().into_owned();
                self.links.push(Link { element: holder(1), reference });
            }
            ("identifier", Kind::Object) => {
                if let Some((_, system, own)) = self.identifiers.pop_if(|open| open.0 == path.len() + 1)
                    && let Some(value) = own
                {
                    self.logical_links.push((holder(1), Identifier { system, value }));
                }
            }
            ("url", Kind::String) => {
                let url = value.string().unwrap_or_default();
                if url.starts_with("urn:uuid:") || url.contains("Binary/") {
                    self.attachments.push(url.into_owned());
                }
            }
            _ => {}
        }
    }

    /// Security codings. What stands where a coding should be and is none becomes an empty coding,
    /// which no table knows: the label then fails closed.
    fn take_security(&mut self, path: &[Step<'_>], value: &Value<'_>) {
        let own = match path {
            [contained, Step::Index(_), rest @ ..] if contained.is("contained") => rest,
            _ => path,
        };
        match own {
            [meta, security] if meta.is("meta") && security.is("security") && value.kind != Kind::Array => {
                self.security.push(SecurityCoding::default());
            }
            [meta, security, rest @ ..] if meta.is("meta") && security.is("security") => {
                if let Some(coding) = self.coding(rest, value) {
                    self.security.push(coding);
                }
            }
            [label] if label.is("securityLabel") && value.kind != Kind::Array => {
                self.document_security.push(SecurityCoding::default());
            }
            // A label without a code says something that we cannot read.
            [label, Step::Index(_)] if label.is("securityLabel") => {
                if self.document_security.len() == self.labelled {
                    self.document_security.push(SecurityCoding::default());
                }
                self.labelled = self.document_security.len();
            }
            [label, Step::Index(_), list, rest @ ..] if label.is("securityLabel") && list.is("coding") => {
                if let Some(coding) = self.coding(rest, value) {
                    self.document_security.push(coding);
                }
            }
            _ => {}
        }
    }

    /// Gathers a coding's members; the coding itself when its object ends.
    fn coding(&mut self, rest: &[Step<'_>], value: &Value<'_>) -> Option<SecurityCoding> {
        match rest {
            [Step::Index(_)] => Some(std::mem::take(&mut self.coding)),
            [Step::Index(_), member] => {
                let text = || value.string().map(std::borrow::Cow::into_owned);
                match member.name() {
                    Some("system") => self.coding.system = text(),
                    Some("code") => self.coding.code = text(),
                    _ => {}
                }
                None
            }
            _ => None,
        }
    }

    /// The facts, once the resource has ended.
    pub(crate) fn finish(self, root: &str) -> Result<Facts, FhirError> {
        if !self.is_object {
            return Err(FhirError::NotAnObject { expression: root.to_owned() });
        }
        let Some(resource_type) = self.resource_type else {
            return Err(FhirError::MissingResourceType { expression: root.to_owned() });
        };
        let mut security = self.security;
        match resource_type.as_str() {
            "DocumentReference" => security.extend(self.document_security),
            "Composition" => security.extend(self.confidentiality.map(|code| SecurityCoding {
                system: Some(crate::label::CONFIDENTIALITY_SYSTEM.to_owned()),
                code: Some(code),
            })),
            _ => {}
        }
        Ok(Facts {
            resource_type,
            id: self.id,
            has_meta: self.has_meta,
            security,
            links: self.links,
            logical_links: self.logical_links,
            attachments: self.attachments,
        })
    }
}

/// Names of a path, joined by dots.
fn element(path: &[Step<'_>]) -> String {
    let mut out = String::new();
    for name in path.iter().filter_map(Step::name) {
        if !out.is_empty() {
            out.push('.');
        }
        out.push_str(name);
    }
    out
}

/// Sink for a text that is one resource.
struct Whole<'d, 'r> {
    draft: &'d mut Draft,
    root: &'r str,
}

impl<'t> Sink<'t> for Whole<'_, '_> {
    fn value(&mut self, path: &[Step<'t>], value: &Value<'t>) -> Result<(), FhirError> {
        self.draft.take(|| self.root.to_owned(), path, value)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

    use super::*;

    fn check(text: &str) -> Result<Resource, FhirError> {
        Resource::parse(Bytes::copy_from_slice(text.as_bytes()))
    }

    #[test]
    fn bytes_are_kept_and_facts_read() {
        let text = " {\n\"id\" : \"a-1.\", \"valueDecimal\":1.10,\"resourceType\":\"Observation\"}\n";
        let resource = check(text).unwrap();
        assert_eq!(resource.bytes(), text.as_bytes());
        assert_eq!(resource.resource_type().as_str(), "Observation");
        assert_eq!(resource.id().unwrap().as_str(), "a-1.");
        assert_eq!(resource.detached(), resource);
        assert_eq!(format!("{resource:?}"), format!("Observation({} bytes)", text.len()));
    }

    #[test]
    fn numbers_keep_their_digits() {
        let digits = "9".repeat(400);
        for number in ["1.10", "1E-22", "1e400", "-0.0", "123456789012345678901234567890.10", &digits] {
            let text = format!("{{\"resourceType\":\"Basic\",\"x\":{number},\"y\":[{number}]}}");
            let resource = check(&text).unwrap();
            let value = resource.json().unwrap();
            for found in [&value["x"], &value["y"][0]] {
                // serde_json writes the exponent of `1e400` as it came or as `1e+400`: same number.
                assert_eq!(found.to_string().replace("e+", "e").to_lowercase(), number.to_lowercase());
            }
        }
    }

    #[test]
    fn refusals_name_the_place() {
        let big = format!("{{\"resourceType\":\"Basic\",\"x\":\"{}\"}}", "a".repeat(RESOURCE_BYTES_MAX));
        let deep = format!("{{\"resourceType\":\"Basic\",\"x\":{}1{}}}", "[".repeat(64), "]".repeat(64));
        for (text, code, place) in [
            ("", "not-json", "Resource"),
            ("[]", "not-an-object", "Resource"),
            ("\"x\"", "not-an-object", "Resource"),
            ("{}", "missing-resource-type", "Resource"),
            ("{\"a\":{\"resourceType\":\"Patient\"}}", "missing-resource-type", "Resource"),
            ("{\"resourceType\":\"Zebra\"}", "unknown-resource-type", "Resource.resourceType"),
            ("{\"resourceType\":7}", "bad-element", "Resource.resourceType"),
            ("{\"resourceType\":\"Patient\",\"id\":\"a_b\"}", "bad-id", "Resource.id"),
            ("{\"resourceType\":\"Patient\",\"id\":7}", "bad-id", "Resource.id"),
            (
                "{\"resourceType\":\"Patient\",\"name\":[{\"text\":1,\"text\":2}]}",
                "duplicate-member",
                "Resource.name[0].text",
            ),
            (&deep, "too-deep", ""),
            (&big, "too-large", ""),
        ] {
            let error = check(text).unwrap_err();
            assert_eq!(error.code(), code, "{error}");
            if !place.is_empty() {
                assert_eq!(error.expressions(), [place], "{error}");
            }
        }
        assert_eq!(
            Resource::parse(b"{\"resourceType\":\"\xff\"}".as_slice()).unwrap_err(),
            FhirError::NotUtf8 { at: 17 }
        );
    }

    #[test]
    fn facts_of_contained_resources_stay_apart() {
        let resource = check(
            r#"{"resourceType":"Condition","contained":[{"resourceType":"Patient","id":"p","subject":{"reference":"Patient/x"}}]}"#,
        )
        .unwrap();
        assert_eq!((resource.resource_type().as_str(), resource.id()), ("Condition", None));
        assert_eq!(resource.links().first().unwrap().element, "contained.subject");
    }

    #[test]
    fn logical_references_are_told_from_identifiers() {
        let resource = check(
            r#"{"resourceType":"Observation","identifier":[{"system":"s","value":"1"}],
                "subject":{"identifier":{"system":"https://h.example/mrn","assigner":{"identifier":{"value":"a"}},"value":"7"}},
                "performer":[{"identifier":{"system":"only"}}],"basedOn":[{"identifier":{"value":"8"}}]}"#,
        )
        .unwrap();
        let found: Vec<_> =
            resource.logical_links().iter().map(|(e, i)| (e.as_str(), i.system.as_deref(), i.value.as_str())).collect();
        assert_eq!(
            found,
            [
                ("subject.identifier.assigner", None, "a"),
                ("subject", Some("https://h.example/mrn"), "7"),
                ("basedOn", None, "8"),
            ]
        );
    }
}
