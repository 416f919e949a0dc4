//! The search parameters of R4 4.0.1 by resource type, and where in a resource's JSON their values are.
//! `build/search_parameters.rs` writes the tables; here is their shape and how they are looked up.

use super::form::Form;
use crate::ResourceType;

/// Place of `_id` among the parameters of every type.
pub(super) const ID: u8 = 0;
/// Place of `_lastUpdated` among the parameters of every type.
pub(super) const LAST_UPDATED: u8 = 1;
/// How many parameters every type has.
pub(super) const OF_ALL_TYPES: usize = 6;

/// The parameters of one resource type.
pub(super) struct TypeTable {
    name: &'static str,
    /// The parameter that is false where the resource says nothing (`Patient.deceased`).
    pub(super) never_absent: Option<u8>,
    /// Those of all types, then its own by code.
    pub(super) parameters: &'static [Parameter],
    /// The members of the resource that hold values, sorted by member.
    pub(super) edges: &'static [Edge],
}

/// One search parameter.
pub(super) struct Parameter {
    pub(super) code: &'static str,
    pub(super) kind: Kind,
    /// Types that a reference may point to.
    pub(super) targets: &'static [&'static str],
    /// The parts of a composite.
    pub(super) components: &'static [Component],
    /// The canonical URL of its definition.
    pub(super) url: &'static str,
}

impl Parameter {
    /// What to do instead, where this server does not offer the parameter.
    pub(super) fn refused(&self) -> Option<&'static str> {
        match (self.kind, self.code) {
            (Kind::Special, _) => Some("distances are not computed; search by address instead"),
            (_, "phonetic") => Some("sounds are not compared; search by name, which ignores case and accents"),
            _ => None,
        }
    }
}

/// A search parameter as a CapabilityStatement tells of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offered {
    /// The name used in searches.
    pub code: &'static str,
    /// The type, as FHIR spells it: `token`.
    pub kind: &'static str,
    /// The canonical URL of its definition.
    pub definition: &'static str,
}

/// The search parameters that a type has here: R4's own, less the few that are refused.
pub fn offered(resource_type: ResourceType) -> impl Iterator<Item = Offered> {
    let offered = of_type(resource_type).parameters.iter().filter(|parameter| parameter.refused().is_none());
    offered.map(|parameter| Offered { code: parameter.code, kind: parameter.kind.as_str(), definition: parameter.url })
}

/// The types of search parameters (R4 search, 3.1.1.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Token,
    Reference,
    String,
    Date,
    Composite,
    Uri,
    Quantity,
    Number,
    Special,
}

impl Kind {
    /// The name as FHIR spells it.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::Reference => "reference",
            Self::String => "string",
            Self::Date => "date",
            Self::Composite => "composite",
            Self::Uri => "uri",
            Self::Quantity => "quantity",
            Self::Number => "number",
            Self::Special => "special",
        }
    }
}

/// A part of a composite parameter.
pub(super) struct Component {
    /// Its place among the parameters of the type.
    pub(super) parameter: u8,
    /// Whether its value need not be in the same element as the others.
    pub(super) anywhere: bool,
}

/// A JSON member that holds values, or leads to them.
pub(super) struct Edge {
    pub(super) member: &'static str,
    pub(super) condition: Condition,
    /// Whether the values below belong together, for composites.
    pub(super) group: bool,
    pub(super) takes: &'static [Take],
    /// Members below, sorted.
    pub(super) below: &'static [Edge],
}

/// Which values of a member count.
pub(super) enum Condition {
    Always,
    /// The first of the list.
    First,
    /// Those with a member of this value.
    Is(&'static str, &'static str),
}

/// Values read in one form.
pub(super) struct Take {
    pub(super) form: Form,
    pub(super) receivers: &'static [Receiver],
}

/// A parameter that takes a value.
pub(super) struct Receiver {
    pub(super) parameter: u8,
    /// For references: only to this type.
    pub(super) only: Option<&'static str>,
}

/// The parameters of a type.
pub(super) fn of_type(resource_type: ResourceType) -> &'static TypeTable {
    let at = TYPES.binary_search_by_key(&resource_type.as_str(), |table| table.name);
    at.ok().and_then(|at| TYPES.get(at)).unwrap_or(&OTHER_TYPE)
}

impl TypeTable {
    /// A parameter by its code, with its place.
    pub(super) fn parameter(&self, code: &str) -> Option<(u8, &'static Parameter)> {
        let of_all = self.parameters.iter().take(OF_ALL_TYPES).position(|parameter| parameter.code == code);
        let at = of_all.or_else(|| {
            let own = self.parameters.get(OF_ALL_TYPES..)?;
            Some(own.binary_search_by_key(&code, |parameter| parameter.code).ok()? + OF_ALL_TYPES)
        })?;
        Some((u8::try_from(at).ok()?, self.parameters.get(at)?))
    }

    /// A parameter by its place.
    pub(super) fn at(&self, place: u8) -> Option<&'static Parameter> {
        self.parameters.get(usize::from(place))
    }
}

include!(concat!(env!("OUT_DIR"), "/search_parameters.rs"));
