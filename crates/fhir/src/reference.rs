//! References between resources: what form a reference string has (R4 section 2.3.0) and which ones a
//! resource holds. Whether the target exists is decided elsewhere.

use std::fmt;

use crate::{Resource, ResourceId, ResourceType};

/// A reference string, read.
#[derive(Clone, PartialEq, Eq, Hash)]
pub enum Reference {
    /// `Patient/x` or `Patient/x/_history/2`: a resource on the same server.
    Relative {
        /// The type before the slash.
        resource_type: ResourceType,
        /// The logical id.
        id: ResourceId,
    },
    /// `urn:uuid:…` or `urn:oid:…`, whole: an entry of the same Bundle by its `fullUrl`.
    Uuid(String),
    /// A URL with a scheme, without version and fragment.
    Absolute {
        /// The URL, ending in `Type/id` where it is RESTful.
        url: String,
        /// What it names, when it ends in `Type/id`.
        target: Option<(ResourceType, ResourceId)>,
    },
    /// `#x`: a resource contained in this one; `#` alone is the container.
    Contained(String),
    /// `Patient?identifier=…`: a search that must find one resource (transactions only).
    Conditional {
        /// The type before the question mark.
        resource_type: ResourceType,
        /// The search, still percent-encoded.
        query: String,
    },
    /// None of these. It points nowhere that we could follow.
    Unknown(String),
}

impl Reference {
    /// Reads a reference string; any string has a reading.
    pub fn parse(text: &str) -> Self {
        if let Some(id) = text.strip_prefix('#') {
            return Self::Contained(id.to_owned());
        }
        if text.starts_with("urn:uuid:") || text.starts_with("urn:oid:") {
            return Self::Uuid(text.to_owned());
        }
        if let Some((name, query)) = text.split_once('?')
            && let Ok(resource_type) = name.parse()
        {
            return Self::Conditional { resource_type, query: query.to_owned() };
        }
        let path = unversioned(text);
        if path.contains("://") {
            return Self::Absolute { url: path.to_owned(), target: tail(path) };
        }
        match path.split_once('/').map(|(name, id)| (name.parse(), id.parse())) {
            Some((Ok(resource_type), Ok(id))) => Self::Relative { resource_type, id },
            _ => Self::Unknown(text.to_owned()),
        }
    }

    /// The type that the reference itself names, where it does.
    pub fn target_type(&self) -> Option<ResourceType> {
        match self {
            Self::Relative { resource_type, .. }
            | Self::Conditional { resource_type, .. }
            | Self::Absolute { target: Some((resource_type, _)), .. } => Some(*resource_type),
            _ => None,
        }
    }
}

/// Shows the form, not what it points at: ids and searches identify people.
impl fmt::Debug for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let form = match self {
            Self::Relative { .. } => "Relative",
            Self::Uuid(_) => "Uuid",
            Self::Absolute { .. } => "Absolute",
            Self::Contained(_) => "Contained",
            Self::Conditional { .. } => "Conditional",
            Self::Unknown(_) => "Unknown",
        };
        write!(f, "{form}([redacted])")
    }
}

/// The reference string, without version and fragment.
impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Relative { resource_type, id } => write!(f, "{resource_type}/{id}"),
            Self::Uuid(urn) => f.write_str(urn),
            Self::Absolute { url, .. } => f.write_str(url),
            Self::Contained(id) => write!(f, "#{id}"),
            Self::Conditional { resource_type, query } => write!(f, "{resource_type}?{query}"),
            Self::Unknown(text) => f.write_str(text),
        }
    }
}

/// The reference without `/_history/…` and fragment.
pub(crate) fn unversioned(text: &str) -> &str {
    let text = text.split('#').next().unwrap_or(text);
    text.split("/_history/").next().unwrap_or(text)
}

/// The `Type/id` that a URL ends in.
pub(crate) fn tail(url: &str) -> Option<(ResourceType, ResourceId)> {
    let mut parts = url.rsplit('/');
    let id = parts.next()?.parse().ok()?;
    Some((parts.next()?.parse().ok()?, id))
}

/// Every `reference` in a resource, contained resources and extensions included, in document order.
pub fn references(resource: &Resource) -> impl Iterator<Item = &str> {
    resource.links().iter().map(|link| link.reference.as_str())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

    use super::*;

    #[test]
    fn forms() {
        let relative = |name: &str, id: &str| Reference::Relative {
            resource_type: name.parse().unwrap(),
            id: id.parse().unwrap(),
        };
        let absolute = |url: &str, target: Option<(&str, &str)>| Reference::Absolute {
            url: url.to_owned(),
            target: target.map(|(name, id)| (name.parse().unwrap(), id.parse().unwrap())),
        };
        let cases = [
            ("Patient/x", relative("Patient", "x")),
            ("Patient/x/_history/3", relative("Patient", "x")),
            ("Patient/x#part", relative("Patient", "x")),
            (
                "urn:uuid:7515d14b-843b-4210-8b6b-a33ab253d560",
                Reference::Uuid("urn:uuid:7515d14b-843b-4210-8b6b-a33ab253d560".to_owned()),
            ),
            ("urn:oid:1.2.3", Reference::Uuid("urn:oid:1.2.3".to_owned())),
            ("https://h.example/fhir/Patient/x", absolute("https://h.example/fhir/Patient/x", Some(("Patient", "x")))),
            (
                "https://h.example/fhir/Patient/x/_history/1",
                absolute("https://h.example/fhir/Patient/x", Some(("Patient", "x"))),
            ),
            ("http://h.example/thing", absolute("http://h.example/thing", None)),
            ("#p1", Reference::Contained("p1".to_owned())),
            ("#", Reference::Contained(String::new())),
            (
                "Patient?identifier=https://h.example/mrn|7",
                Reference::Conditional {
                    resource_type: ResourceType::PATIENT,
                    query: "identifier=https://h.example/mrn|7".to_owned(),
                },
            ),
            ("", Reference::Unknown(String::new())),
            ("Patient", Reference::Unknown("Patient".to_owned())),
            ("patient/x", Reference::Unknown("patient/x".to_owned())),
            ("Patient/x_y", Reference::Unknown("Patient/x_y".to_owned())),
            ("Patient/x/y", Reference::Unknown("Patient/x/y".to_owned())),
            ("Zebra?x=1", Reference::Unknown("Zebra?x=1".to_owned())),
        ];
        for (text, expected) in cases {
            assert_eq!(Reference::parse(text), expected, "{text}");
        }
    }

    #[test]
    fn every_nested_reference_is_found() {
        let resource = Resource::parse(
            br##"{"resourceType":"Observation","contained":[{"resourceType":"Device","owner":{"reference":"Organization/o"}}],
            "subject":{"reference":"Patient/a","display":"x"},"performer":[{"reference":"#d"},{"display":"nobody"}],
            "extension":[{"url":"u","valueReference":{"reference":"urn:uuid:1"}}],
            "component":[{"extension":[{"valueReference":{"reference":"Group/g"}}]}],"note":[{"reference":7}]}"##
                .as_slice(),
        )
        .unwrap();
        assert_eq!(
            references(&resource).collect::<Vec<_>>(),
            ["Organization/o", "Patient/a", "#d", "urn:uuid:1", "Group/g"]
        );
    }
}
