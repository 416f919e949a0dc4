//! References of a transaction, resolved: what pointed at an entry of the Bundle, or at a search,
//! points at the resource that it became (R4 http.html, "Transaction Processing Rules"). Strings are
//! replaced at their place; what a reference becomes is decided by the caller.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use quick_xml::Reader;
use quick_xml::escape;
use quick_xml::events::{BytesStart, Event};

use crate::error::FhirError;
use crate::json::{self, JSON_DEPTH_MAX, Kind, Sink, Step, Value};
use crate::splice::{Edits, quoted};
use crate::{Reference, Resource, ResourceType};

/// Elements of R4 whose type is `uri`, `url`, `canonical`, `oid` or `uuid` in any of the resources and
/// data types, sorted; and `reference`. Where others of that name hold text, [`TEXT`] says so.
static LINKS: &[&str] = &[
    "address",
    "answerValueSet",
    "authority",
    "authorizationUrl",
    "base",
    "baseDefinition",
    "capabilities",
    "code",
    "compartment",
    "contentReference",
    "defaultValueCanonical",
    "defaultValueOid",
    "defaultValueUri",
    "defaultValueUrl",
    "defaultValueUuid",
    "definition",
    "definitionCanonical",
    "definitionUri",
    "derivedFrom",
    "derivedFromUri",
    "detail",
    "endpoint",
    "eventUri",
    "exampleCanonical",
    "fixedCanonical",
    "fixedOid",
    "fixedUri",
    "fixedUrl",
    "fixedUuid",
    "fullUrl",
    "graph",
    "identifier",
    "implementationGuide",
    "implicitRules",
    "import",
    "imports",
    "inputProfile",
    "instantiates",
    "instantiatesCanonical",
    "instantiatesUri",
    "issuer",
    "jurisdiction",
    "library",
    "link",
    "location",
    "measure",
    "message",
    "moduleCanonical",
    "moduleUri",
    "nameUrl",
    "onlineInformation",
    "outputProfile",
    "parent",
    "partOf",
    "patternCanonical",
    "patternOid",
    "patternUri",
    "patternUrl",
    "patternUuid",
    "policy",
    "profile",
    "project",
    "property",
    "protocol",
    "questionnaire",
    "reference",
    "relativePath",
    "rendering",
    "replaces",
    "resource",
    "source",
    "sourceCanonical",
    "sourceUri",
    "supplements",
    "supportedProfile",
    "system",
    "target",
    "targetCanonical",
    "targetProfile",
    "targetUri",
    "topic",
    "transform",
    "type",
    "uri",
    "url",
    "valueCanonical",
    "valueOid",
    "valueSet",
    "valueUri",
    "valueUrl",
    "valueUuid",
    "workflow",
];

/// Holder and element where a name of [`LINKS`] is a `string` or `markdown`.
static TEXT: &[(&str, &str)] = &[
    ("action", "detail"),
    ("assert", "detail"),
    ("assert", "message"),
    ("concept", "definition"),
    ("cost", "source"),
    ("detail", "type"),
    ("element", "definition"),
    ("input", "type"),
    ("issue", "location"),
    ("network", "address"),
    ("operation", "message"),
    ("operation", "type"),
    ("operation", "url"),
    ("referencedFrom", "source"),
    ("source", "type"),
    ("template", "source"),
    ("version", "code"),
];

/// The resource with its links replaced by what `target` says they became: `Reference.reference`,
/// elements of the types `uri`, `url`, `canonical`, `oid` and `uuid`, and `href` and `src` in narratives;
/// in contained resources and extensions too. `target` is asked for each whole string and, where that
/// has a fragment and is unknown, for the part before it; the fragment is kept. Strings of other types
/// stay even if they look like a link: `Identifier.value` names a thing outside the Bundle.
///
/// # Errors
/// [`FhirError::TooLarge`] where the new links make the resource too long.
pub fn rewrite_references(resource: &Resource, target: impl Fn(&str) -> Option<String>) -> Result<Resource, FhirError> {
    let mut rewriter = Rewriter { target, edits: Edits::default() };
    walk(resource, &mut rewriter)?;
    if rewriter.edits.is_empty() {
        return Ok(resource.clone());
    }
    Resource::parse(rewriter.edits.apply(resource.bytes()))
}

/// A reference by search, and where it stands.
#[derive(Clone, PartialEq, Eq)]
pub struct ConditionalReference {
    /// The element: `Observation.performer[0].reference`.
    pub expression: String,
    /// The type that is searched.
    pub resource_type: ResourceType,
    /// The search, still percent-encoded.
    pub query: String,
}

impl ConditionalReference {
    /// The string by which [`rewrite_references`] asks for its target.
    pub fn reference(&self) -> String {
        format!("{}?{}", self.resource_type, self.query)
    }
}

/// Shows the place, not the search: it identifies people.
impl fmt::Debug for ConditionalReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}?[redacted]", self.expression, self.resource_type)
    }
}

/// The references by search (`Practitioner?identifier=…`), in the order of the document.
///
/// # Errors
/// None is expected: what was parsed is readable.
pub fn conditional_references(resource: &Resource) -> Result<Vec<ConditionalReference>, FhirError> {
    // Most resources have none, and the links are known from parsing.
    if !resource.links().iter().any(|link| link.reference.contains('?')) {
        return Ok(Vec::new());
    }
    let mut conditions = Conditions { root: resource.resource_type().as_str(), found: Vec::new() };
    walk(resource, &mut conditions)?;
    Ok(conditions.found)
}

fn walk<'t>(resource: &'t Resource, sink: &mut impl Sink<'t>) -> Result<(), FhirError> {
    json::walk(json::utf8(resource.bytes())?, resource.resource_type().as_str(), JSON_DEPTH_MAX, sink)
}

struct Conditions {
    root: &'static str,
    found: Vec<ConditionalReference>,
}

impl<'t> Sink<'t> for Conditions {
    fn value(&mut self, path: &[Step<'t>], value: &Value<'t>) -> Result<(), FhirError> {
        if path.last().is_some_and(|step| step.is("reference"))
            && let Some(text) = value.string()
            && let Reference::Conditional { resource_type, query } = Reference::parse(&text)
        {
            let expression = json::expression(self.root, path);
            self.found.push(ConditionalReference { expression, resource_type, query });
        }
        Ok(())
    }
}

struct Rewriter<F> {
    target: F,
    edits: Edits,
}

impl<'t, F: Fn(&str) -> Option<String>> Sink<'t> for Rewriter<F> {
    fn value(&mut self, path: &[Step<'t>], value: &Value<'t>) -> Result<(), FhirError> {
        if value.kind != Kind::String {
            return Ok(());
        }
        let mut names = path.iter().rev().filter_map(Step::name);
        let name = names.next().unwrap_or_default();
        let holder = names.next().unwrap_or_default();
        let text = || value.string().unwrap_or_default();
        if name == "div" && holder == "text" {
            self.narrative(&text(), value);
        } else if LINKS.binary_search(&name).is_ok()
            && TEXT.binary_search(&(holder, name)).is_err()
            && let Some(new) = self.resolve(&text())
        {
            self.edits.replace(value.span.clone(), quoted(&new));
        }
        Ok(())
    }
}

impl<F: Fn(&str) -> Option<String>> Rewriter<F> {
    fn resolve(&self, link: &str) -> Option<String> {
        // A contained resource is named within its container.
        if link.is_empty() || link.starts_with('#') {
            return None;
        }
        (self.target)(link).or_else(|| {
            let (link, fragment) = link.split_once('#')?;
            Some(format!("{}#{fragment}", (self.target)(link)?))
        })
    }

    /// Replaces links in XHTML. What is not well formed is left alone from there on.
    fn narrative(&mut self, xhtml: &str, value: &Value<'_>) {
        let mut reader = Reader::from_str(xhtml);
        reader.config_mut().check_end_names = false;
        // The text between the quotes begins one byte behind the string.
        let raw = value.text.get(1..).unwrap_or_default();
        let mut place = Place { raw, raw_at: 0, text_at: 0 };
        while let Ok(event) = reader.read_event() {
            let tag = match &event {
                Event::Start(tag) | Event::Empty(tag) => tag,
                Event::Eof => break,
                _ => continue,
            };
            for (span, link) in links(tag, xhtml) {
                if let Some(new) = self.resolve(&link) {
                    let quoted = quoted(&escape::escape(&new));
                    let start = value.span.start + 1 + place.advance(span.start);
                    let end = value.span.start + 1 + place.advance(span.end);
                    let inner = quoted.get(1..quoted.len().saturating_sub(1)).unwrap_or_default();
                    self.edits.replace(start..end, inner.to_owned());
                }
            }
        }
    }
}

/// The links of a tag, with the place of the attribute's value in `xhtml`.
fn links(tag: &BytesStart<'_>, xhtml: &str) -> Vec<(Range<usize>, String)> {
    let attribute = match tag.local_name().as_ref() {
        "a" => "href",
        "img" => "src",
        _ => return Vec::new(),
    };
    let wanted = tag.attributes().flatten().filter(|found| found.key.as_ref() == attribute);
    wanted
        .filter_map(|found| {
            let Cow::Borrowed(value) = found.value else { return None };
            // The reader lends slices of its input.
            let start = value.as_ptr().addr().checked_sub(xhtml.as_ptr().addr())?;
            let span = start..start + value.len();
            let link = escape::unescape(value).ok()?.into_owned();
            (xhtml.get(span.clone()) == Some(value)).then_some((span, link))
        })
        .collect()
}

/// Finds the place in a string with escapes that belongs to a place in the string without.
struct Place<'t> {
    raw: &'t str,
    raw_at: usize,
    text_at: usize,
}

impl Place<'_> {
    /// The raw place of `text_at`, which is not before the one asked for last.
    fn advance(&mut self, text_at: usize) -> usize {
        while self.text_at < text_at {
            let rest = self.raw.get(self.raw_at..).unwrap_or_default();
            let mut bytes = rest.bytes();
            let raw = match (bytes.next(), bytes.next()) {
                (Some(b'\\'), Some(b'u')) => {
                    // Two units make one character outside the basic plane.
                    let unit = rest.get(2..6).and_then(|digits| u16::from_str_radix(digits, 16).ok());
                    if unit.is_some_and(|unit| (0xD800..0xDC00).contains(&unit)) { 12 } else { 6 }
                }
                (Some(b'\\'), Some(_)) => 2,
                (Some(_), _) => rest.chars().next().map_or(1, char::len_utf8),
                (None, _) => break,
            };
            let read = json::unescape(rest.get(..raw).unwrap_or_default()).len();
            self.raw_at += raw;
            self.text_at += read.max(1);
        }
        self.raw_at
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

    use super::*;

    /// What `target` knows in the tests.
    fn target(link: &str) -> Option<String> {
        match link {
            "urn:uuid:1" | "https://h.example/fhir/Patient/1" => Some("Patient/p-1".to_owned()),
            "urn:oid:1.2" => Some("Organization/o\"2".to_owned()),
            "Practitioner?identifier=s|7" | "urn:uuid:é&" => Some("Practitioner/p-7".to_owned()),
            _ => None,
        }
    }

    fn check(body: &str) -> String {
        let text = format!("{{\"resourceType\":\"Basic\"{body}}}");
        let resource = Resource::parse(text.clone()).unwrap();
        let new = rewrite_references(&resource, target).unwrap();
        if new == resource {
            assert_eq!(new.bytes(), text.as_bytes());
        }
        let text = std::str::from_utf8(new.bytes()).unwrap();
        text.strip_prefix("{\"resourceType\":\"Basic\"").unwrap().strip_suffix('}').unwrap().to_owned()
    }

    #[test]
    fn tables_are_sorted() {
        assert!(LINKS.is_sorted_by(|a, b| a < b));
        assert!(TEXT.is_sorted_by(|a, b| a < b));
    }

    #[test]
    fn links_become_what_their_targets_became() {
        for (old, new) in [
            (r#", "subject" : { "reference" : "urn:uuid:1" }"#, r#", "subject" : { "reference" : "Patient/p-1" }"#),
            (
                r#","subject":{"reference":"https://h.example/fhir/Patient/1"}"#,
                r#","subject":{"reference":"Patient/p-1"}"#,
            ),
            (r#","subject":{"reference":"urn:oid:1.2"}"#, r#","subject":{"reference":"Organization/o\"2"}"#),
            (r#","a":[{"reference":"Practitioner?identifier=s|7"}]"#, r#","a":[{"reference":"Practitioner/p-7"}]"#),
            (r#","a":{"reference":"urn:uuid:1#x"}"#, r#","a":{"reference":"Patient/p-1#x"}"#),
            (r#","a":{"reference":"\u0075rn:uuid:1"}"#, r#","a":{"reference":"Patient/p-1"}"#),
            (r#","a":{"reference":"urn:uuid:\u00e9&"}"#, r#","a":{"reference":"Practitioner/p-7"}"#),
            (
                r#","contained":[{"resourceType":"Basic","x":{"reference":"urn:uuid:1"}}]"#,
                r#","contained":[{"resourceType":"Basic","x":{"reference":"Patient/p-1"}}]"#,
            ),
            (
                r#","extension":[{"url":"urn:uuid:1","valueUri":"urn:uuid:1","valueReference":{"reference":"urn:uuid:1"}}]"#,
                r#","extension":[{"url":"Patient/p-1","valueUri":"Patient/p-1","valueReference":{"reference":"Patient/p-1"}}]"#,
            ),
            (
                r#","meta":{"profile":["x","urn:uuid:1"],"source":"urn:uuid:1"},"n":1.10"#,
                r#","meta":{"profile":["x","Patient/p-1"],"source":"Patient/p-1"},"n":1.10"#,
            ),
            (
                r#","content":[{"attachment":{"url":"urn:uuid:1"}}],"instantiatesCanonical":["urn:uuid:1"]"#,
                r#","content":[{"attachment":{"url":"Patient/p-1"}}],"instantiatesCanonical":["Patient/p-1"]"#,
            ),
        ] {
            assert_eq!(check(old), new);
        }
    }

    #[test]
    fn what_is_no_link_stays() {
        for text in [
            r#","subject":{"reference":"urn:uuid:2"}"#,
            r#","subject":{"reference":"urn:uuid:11"}"#,
            r##","subject":{"reference":"#urn:uuid:1"}"##,
            r#","subject":{"reference":"urn:uuid:2#urn:uuid:1"}"#,
            r#","subject":{"reference":["a"],"display":"urn:uuid:1"}"#,
            r#","subject":{"reference":""}"#,
            r#","identifier":[{"system":"urn:ietf:rfc:3986","value":"urn:uuid:1"}]"#,
            r#","valueString":"urn:uuid:1","note":[{"text":"urn:uuid:1"}]"#,
            r#","network":{"address":"urn:uuid:1"},"concept":[{"definition":"urn:uuid:1"}]"#,
            r#","_url":{"id":"urn:uuid:1"},"urn:uuid:1":"x""#,
            r#","url":" urn:uuid:1""#,
        ] {
            assert_eq!(check(text), text);
        }
    }

    #[test]
    fn links_in_narratives() {
        for (old, new) in [
            (r#"<div><a href=\"urn:uuid:1\">x</a></div>"#, r#"<div><a href=\"Patient/p-1\">x</a></div>"#),
            (
                r"<div>\n\u00e9é\ud83d\ude00😀\/<a class='b' href = 'urn:uuid:1#f' />\t<img src=\u0022urn:uuid:1\u0022/></div>",
                r"<div>\n\u00e9é\ud83d\ude00😀\/<a class='b' href = 'Patient/p-1#f' />\t<img src=\u0022Patient/p-1\u0022/></div>",
            ),
            (
                r#"<div><a href=\"urn:uuid:é&amp;\"/><A href='urn:uuid:1'/></div>"#,
                r#"<div><a href=\"Practitioner/p-7\"/><A href='urn:uuid:1'/></div>"#,
            ),
            (r"<a href='urn:oid:1.2'/>", r"<a href='Organization/o&quot;2'/>"),
            (r"<\u0061 href='\u0075rn:uuid:1'/>", r"<\u0061 href='Patient/p-1'/>"),
            (r"<a href='urn:uuid:1'/><b", r"<a href='Patient/p-1'/><b"),
        ] {
            for path in [",\"text\":{\"div\":\"@\"}", ",\"section\":[{\"text\":{\"status\":\"x\",\"div\":\"@\"}}]"] {
                assert_eq!(check(&path.replace('@', old)), path.replace('@', new));
            }
            let elsewhere = format!(",\"div\":\"{old}\"");
            assert_eq!(check(&elsewhere), elsewhere);
        }
        for text in [
            "<div>urn:uuid:1 href='urn:uuid:1'</div>",
            "<!-- <a href='urn:uuid:1'/> -->",
            "<![CDATA[<a href='urn:uuid:1'/>]]>",
            "<p href='urn:uuid:1' src='urn:uuid:1'/><img href='urn:uuid:1'/><a src='urn:uuid:1'/>",
            "<a title='urn:uuid:1' href='&unknown;'/><a href='urn:uuid:1",
            "<a href=",
            "<<<&",
        ] {
            let body = format!(",\"text\":{{\"div\":\"{text}\"}}");
            assert_eq!(check(&body), body);
        }
    }

    #[test]
    fn references_by_search_are_found_with_their_place() {
        let resource = Resource::parse(
            br##"{"resourceType":"Observation","subject":{"reference":"Patient?identifier=s|1"},
            "contained":[{"resourceType":"Device","owner":{"reference":"Organization?name=x"}}],"performer":[{"reference":"Practitioner/1"},{"reference":"Practitioner\u003fidentifier=s|7"}],
            "focus":[{"reference":"Zebra?x=1"},{"reference":"#a?b"},{"display":"Patient?x=1"}]}"##
                .as_slice(),
        )
        .unwrap();
        let found = conditional_references(&resource).unwrap();
        let seen: Vec<_> = found.iter().map(|c| (c.expression.as_str(), c.reference())).collect();
        assert_eq!(
            seen,
            [
                ("Observation.subject.reference", "Patient?identifier=s|1".to_owned()),
                ("Observation.contained[0].owner.reference", "Organization?name=x".to_owned()),
                ("Observation.performer[1].reference", "Practitioner?identifier=s|7".to_owned()),
            ]
        );
        assert_eq!(format!("{:?}", found[0]), "Observation.subject.reference: Patient?[redacted]");
        // What was found is what the rewriting asks for.
        let new = rewrite_references(&resource, |link| link.contains('?').then(|| "Basic/x".to_owned())).unwrap();
        assert!(conditional_references(&new).unwrap().iter().all(|c| c.resource_type.as_str() == "Zebra"));
    }

    #[test]
    fn a_result_that_is_too_long_is_refused() {
        let resource = Resource::parse(format!(
            "{{\"resourceType\":\"Basic\",\"a\":[{}{{}}]}}",
            "{\"reference\":\"urn:uuid:1\"},".repeat(1000)
        ))
        .unwrap();
        let error = rewrite_references(&resource, |_| Some("x".repeat(20_000))).unwrap_err();
        assert_eq!(error.code(), "too-large");
    }
}
