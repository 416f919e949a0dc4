//! Parts of a resource that a client asks for: `_summary` and `_elements` (R4 search.html#summary and
//! #elements). What is kept is kept as it was sent, number literals included; what is mandatory or can
//! change the meaning of the rest is always kept; and the tag `SUBSETTED` says that it is a part.

use std::borrow::Cow;
use std::collections::BTreeSet;

use bytes::Bytes;
use serde_json::value::RawValue;

use crate::Resource;
use crate::structure::{self, Element, Place, Type, TypeKind};

/// Names in one `_elements` at most.
pub const ELEMENTS_MAX: usize = 64;

/// Which part of a resource is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Subset {
    /// All of it (`_summary=false`).
    Whole,
    /// The elements marked as summary (`_summary=true`).
    Summary,
    /// The narrative, and what is mandatory (`_summary=text`).
    Text,
    /// All but the narrative (`_summary=data`).
    Data,
    /// The elements named, and what is mandatory (`_elements`).
    Elements(BTreeSet<String>),
}

/// What `_summary` asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Summary {
    /// Only how many resources match (`_summary=count`).
    Count,
    /// A part of each.
    Of(Subset),
}

/// A parameter that cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubsetError {
    /// `_summary` has another value.
    #[error("_summary is one of true, text, data, count, false")]
    Summary,
    /// `_elements` names something that is no element at the top of a resource.
    #[error("_elements is a list of element names with commas between them, such as identifier,birthDate")]
    Elements,
    /// `_elements` names too many.
    #[error("_elements names more than {ELEMENTS_MAX} elements; ask for fewer")]
    TooMany,
}

impl Summary {
    /// Reads the value of `_summary`.
    pub fn parse(value: &str) -> Result<Self, SubsetError> {
        Ok(Self::Of(match value {
            "true" => Subset::Summary,
            "text" => Subset::Text,
            "data" => Subset::Data,
            "false" => Subset::Whole,
            "count" => return Ok(Self::Count),
            _ => return Err(SubsetError::Summary),
        }))
    }
}

impl Subset {
    /// Reads the value of `_elements`. A choice goes by `value` or `value[x]`. A name that a type does
    /// not have selects nothing of it.
    pub fn parse_elements(value: &str) -> Result<Self, SubsetError> {
        let mut names = BTreeSet::new();
        for name in value.split(',') {
            let name = name.trim();
            let name = name.strip_suffix("[x]").unwrap_or(name);
            if name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric()) {
                return Err(SubsetError::Elements);
            }
            names.insert(name.to_owned());
            if names.len() > ELEMENTS_MAX {
                return Err(SubsetError::TooMany);
            }
        }
        Ok(Self::Elements(names))
    }

    /// Whether an element at the top of a resource is kept. `member` is its name in JSON.
    fn keeps(&self, element: &Element, member: &str) -> bool {
        if matches!(element.name(), "id" | "meta") || element.is_required() || element.is_modifier() {
            return true;
        }
        match self {
            Self::Whole => true,
            Self::Summary => element.is_summary(),
            Self::Text => element.name() == "text",
            Self::Data => element.name() != "text",
            Self::Elements(names) => names.contains(element.name()) || names.contains(member),
        }
    }
}

/// The part of a resource that was asked for, as JSON. Elements that R4 does not define are left out
/// of every part but [`Subset::Data`].
pub fn subset(resource: &Resource, what: &Subset) -> Bytes {
    let Some(of) = structure::find(resource.resource_type().as_str()) else { return resource.bytes().clone() };
    let text = std::str::from_utf8(resource.bytes()).unwrap_or_default();
    // What cannot be taken apart is given whole; a Resource can be.
    let Some(members) = (*what != Subset::Whole).then(|| object(text)).flatten() else {
        return resource.bytes().clone();
    };
    let mut out = String::with_capacity(text.len() / 2);
    let mut writer = Writer::new(&mut out);
    let mut tagged = false;
    for (name, value) in &members {
        match place(of, name) {
            _ if name == "resourceType" => writer.member(name, value.get()),
            Some(place) if place.element.name() == "meta" && !name.starts_with('_') => {
                tagged = true;
                writer.member(name, &tag(value.get()));
            }
            Some(place) if what.keeps(place.element, name.trim_start_matches('_')) => {
                if *what == Subset::Summary {
                    writer.member(name, &summary(&place, value.get()));
                } else {
                    writer.member(name, value.get());
                }
            }
            None if *what == Subset::Data => writer.member(name, value.get()),
            _ => {}
        }
    }
    if !tagged {
        writer.member("meta", &format!("{{\"tag\":[{SUBSETTED}]}}"));
    }
    writer.end();
    Bytes::from(out)
}

const SUBSETTED: &str = r#"{"system":"http://terminology.hl7.org/CodeSystem/v3-ObservationValue","code":"SUBSETTED"}"#;

type Members<'t> = Vec<(String, &'t RawValue)>;

/// The element behind a member or its `_` member.
fn place(of: &'static Type, name: &str) -> Option<Place> {
    of.place(name.strip_prefix('_').unwrap_or(name))
}

/// The summary of one element's value: of the elements nested in a resource and of data types, those
/// that are marked. A type without any mark is kept whole.
fn summary<'t>(place: &Place, text: &'t str) -> Cow<'t, str> {
    let of = place.of.of();
    let marked = of.elements().iter().any(Element::is_summary);
    if !marked || !matches!(of.kind(), TypeKind::Complex | TypeKind::Nested) {
        return Cow::Borrowed(text);
    }
    if text.starts_with('[') {
        let Ok(items) = serde_json::from_str::<Vec<&RawValue>>(text) else { return Cow::Borrowed(text) };
        let items: Vec<_> = items.iter().map(|item| summary(place, item.get())).collect();
        return Cow::Owned(format!("[{}]", items.join(",")));
    }
    let Some(members) = object(text) else { return Cow::Borrowed(text) };
    let kept: Vec<_> = members
        .iter()
        .filter_map(|(name, value)| {
            let place = self::place(of, name)?;
            let keep = place.element.is_summary() || place.element.is_required() || place.element.is_modifier();
            keep.then(|| (name, summary(&place, value.get())))
        })
        .collect();
    // An object without members would be no FHIR.
    if kept.is_empty() || kept.len() == members.len() && kept.iter().all(|(_, value)| matches!(value, Cow::Borrowed(_)))
    {
        return Cow::Borrowed(text);
    }
    let mut out = String::new();
    let mut writer = Writer::new(&mut out);
    for (name, value) in &kept {
        writer.member(name, value);
    }
    writer.end();
    Cow::Owned(out)
}

/// `meta` with the tag `SUBSETTED`.
fn tag(meta: &str) -> Cow<'_, str> {
    let Some(members) = object(meta) else { return Cow::Borrowed(meta) };
    let mut out = String::with_capacity(meta.len() + SUBSETTED.len());
    let mut writer = Writer::new(&mut out);
    let mut tagged = false;
    for (name, value) in &members {
        match serde_json::from_str::<Vec<&RawValue>>(value.get()) {
            Ok(tags) if name == "tag" => {
                tagged = true;
                if tags.iter().any(|tag| is_subsetted(tag.get())) {
                    return Cow::Borrowed(meta);
                }
                let tags = tags.iter().map(|tag| tag.get()).chain([SUBSETTED]).collect::<Vec<_>>().join(",");
                writer.member(name, &format!("[{tags}]"));
            }
            _ => writer.member(name, value.get()),
        }
    }
    if !tagged {
        writer.member("tag", &format!("[{SUBSETTED}]"));
    }
    writer.end();
    Cow::Owned(out)
}

fn is_subsetted(tag: &str) -> bool {
    object(tag)
        .is_some_and(|members| members.iter().any(|(name, value)| name == "code" && value.get() == "\"SUBSETTED\""))
}

/// The members of an object, in order.
fn object(text: &str) -> Option<Members<'_>> {
    struct Collect;
    impl<'de> serde::de::Visitor<'de> for Collect {
        type Value = Members<'de>;

        fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut members = Vec::new();
            while let Some(member) = map.next_entry()? {
                members.push(member);
            }
            Ok(members)
        }
    }
    serde::Deserializer::deserialize_map(&mut serde_json::Deserializer::from_str(text), Collect).ok()
}

/// Writes an object from members that are JSON already.
struct Writer<'o> {
    out: &'o mut String,
    separator: char,
}

impl<'o> Writer<'o> {
    fn new(out: &'o mut String) -> Self {
        Self { out, separator: '{' }
    }

    fn member(&mut self, name: &str, value: &str) {
        self.out.push(self.separator);
        self.separator = ',';
        // Names of elements are letters; a foreign one is escaped as JSON asks.
        self.out.push_str(&serde_json::Value::from(name).to_string());
        self.out.push(':');
        self.out.push_str(value);
    }

    fn end(self) {
        if self.separator == '{' {
            self.out.push('{');
        }
        self.out.push('}');
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

    use super::*;

    const PATIENT: &str = r#"{ "resourceType":"Patient","id":"p","meta":{"versionId":"3","tag":[{"code":"x"}]},
        "text":{"status":"generated","div":"<div xmlns=\"http://www.w3.org/1999/xhtml\">P</div>"},
        "active":true,"name":[{"id":"n","family":"Doe","extension":[{"url":"u","valueDecimal":1.10}]}],
        "birthDate":"1970-01-01","_birthDate":{"extension":[{"url":"u","valueDecimal":1.10}]},
        "photo":[{"contentType":"image/png","data":"YWJj"}],"deceasedBoolean":false,
        "modifierExtension":[{"url":"m","valueCode":"c"}],"zebra":1E-22}"#;

    const TAG: &str = r#"{"system":"http://terminology.hl7.org/CodeSystem/v3-ObservationValue","code":"SUBSETTED"}"#;

    fn check(text: &str, what: &Subset, expected: &str) {
        let resource = Resource::parse(Bytes::copy_from_slice(text.as_bytes())).unwrap();
        let found = subset(&resource, what);
        assert_eq!(std::str::from_utf8(&found).unwrap(), expected.replace("TAG", TAG), "{what:?}");
        Resource::parse(found).unwrap();
    }

    #[test]
    fn parts() {
        let meta = r#""resourceType":"Patient","id":"p","meta":{"versionId":"3","tag":[{"code":"x"},TAG]}"#;
        let text = r#""text":{"status":"generated","div":"<div xmlns=\"http://www.w3.org/1999/xhtml\">P</div>"}"#;
        let born = r#""birthDate":"1970-01-01","_birthDate":{"extension":[{"url":"u","valueDecimal":1.10}]}"#;
        let modifiers = r#""deceasedBoolean":false,"modifierExtension":[{"url":"m","valueCode":"c"}]"#;
        let name = r#""name":[{"id":"n","family":"Doe","extension":[{"url":"u","valueDecimal":1.10}]}]"#;
        let photo = r#""photo":[{"contentType":"image/png","data":"YWJj"}]"#;
        check(PATIENT, &Subset::Whole, PATIENT);
        check(PATIENT, &Subset::Text, &format!("{{{meta},{text},\"active\":true,{modifiers}}}"));
        let data = format!("{{{meta},\"active\":true,{name},{born},{photo},{modifiers},\"zebra\":1E-22}}");
        check(PATIENT, &Subset::Data, &data);
        let brief = r#""name":[{"family":"Doe"}]"#;
        check(PATIENT, &Subset::Summary, &format!("{{{meta},\"active\":true,{brief},{born},{modifiers}}}"));
        let chosen = Subset::parse_elements("birthDate, photo").unwrap();
        check(PATIENT, &chosen, &format!("{{{meta},\"active\":true,{born},{photo},{modifiers}}}"));
    }

    #[test]
    fn mandatory_elements_choices_and_tags() {
        let text = r#"{"resourceType":"Observation","status":"final","code":{"text":"c"},"valueQuantity":{"value":1.10},"note":[{"text":"n"}]}"#;
        let must = r#""resourceType":"Observation","status":"final","code":{"text":"c"}"#;
        for name in ["value", "value[x]", "valueQuantity"] {
            let what = Subset::parse_elements(name).unwrap();
            check(text, &what, &format!("{{{must},\"valueQuantity\":{{\"value\":1.10}},\"meta\":{{\"tag\":[TAG]}}}}"));
        }
        let none = Subset::parse_elements("zebra").unwrap();
        check(text, &none, &format!("{{{must},\"meta\":{{\"tag\":[TAG]}}}}"));
        let tagged = format!("{{\"resourceType\":\"Basic\",\"meta\":{{\"tag\":[{TAG}]}},\"code\":{{\"text\":\"c\"}}}}");
        check(&tagged, &Subset::Summary, &tagged);
        // The data of an attachment is no summary; what holds nothing else is kept, for it may not be empty.
        let media = r#"{"resourceType":"Media","status":"completed","content":{"contentType":"a/b","data":"YWJj"}}"#;
        let brief =
            r#"{"resourceType":"Media","status":"completed","content":{"contentType":"a/b"},"meta":{"tag":[TAG]}}"#;
        check(media, &Subset::Summary, brief);
    }

    #[test]
    fn parameters() {
        for (value, expected) in [
            ("true", Ok(Summary::Of(Subset::Summary))),
            ("text", Ok(Summary::Of(Subset::Text))),
            ("data", Ok(Summary::Of(Subset::Data))),
            ("false", Ok(Summary::Of(Subset::Whole))),
            ("count", Ok(Summary::Count)),
            ("True", Err(SubsetError::Summary)),
            ("", Err(SubsetError::Summary)),
        ] {
            assert_eq!(Summary::parse(value), expected, "{value}");
        }
        let many = (0..=ELEMENTS_MAX).map(|at| format!("e{at}")).collect::<Vec<_>>().join(",");
        for (value, error) in [
            ("", SubsetError::Elements),
            ("a,,b", SubsetError::Elements),
            ("name.family", SubsetError::Elements),
            ("a b", SubsetError::Elements),
            (&many, SubsetError::TooMany),
        ] {
            assert_eq!(Subset::parse_elements(value), Err(error), "{value}");
        }
    }
}
