//! Which patient a search is about: a gateway opens one record, and the search has to say whose.

use super::definition::{self, Kind, Parameter};
use super::value;
use crate::identifier::{Token, TokenSystem};
use crate::reference::tail;
use crate::{Reference, ResourceId, ResourceType};

/// How a search names the patient whose record it is about.
#[derive(Clone, PartialEq, Eq)]
pub enum PatientNamed {
    /// By logical id: `patient=x`, `subject=Patient/x`, `Patient?_id=x`.
    Id(ResourceId),
    /// By identifier: `patient.identifier=s|v`, `patient:identifier=s|v`, `Patient?identifier=s|v`.
    Identifier(Token),
    /// More than one patient: such a search cannot be answered from one record.
    Several,
}

/// Ids and identifiers belong in no log.
impl std::fmt::Debug for PatientNamed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Id(_) => "Id([redacted])",
            Self::Identifier(_) => "Identifier([redacted])",
            Self::Several => "Several",
        })
    }
}

/// The patient named in parameters that were understood. `patient` and `subject` say whom a resource is about;
/// only where neither is there does another reference to a Patient (`performer`) name the record.
pub(super) fn named(types: &[ResourceType], parameters: &[(String, String)]) -> Option<PatientNamed> {
    let (mut about, mut other) = (Vec::new(), Vec::new());
    for (name, text) in parameters {
        let Some(found) = types.iter().find_map(|of| read(*of, name, text)) else { continue };
        let code = name.split(['.', ':']).next().unwrap_or_default();
        let main = matches!(code, "patient" | "subject" | "_id" | "identifier");
        if main { &mut about } else { &mut other }.extend(found);
    }
    let named = if about.is_empty() { other } else { about };
    let mut named = named.into_iter();
    let first = named.next()?;
    Some(if named.all(|next| next == first) { first } else { PatientNamed::Several })
}

/// The patients that one parameter names.
fn read(resource_type: ResourceType, name: &str, text: &str) -> Option<Vec<PatientNamed>> {
    let values = value::values(name, text).ok()?;
    let identifiers = || values.iter().filter_map(|value| identifier(name, value)).collect();
    let ids = || values.iter().filter_map(|value| Some(PatientNamed::Id(value.parse().ok()?))).collect();
    if resource_type == ResourceType::PATIENT {
        return match name {
            "_id" => Some(ids()),
            "identifier" => Some(identifiers()),
            _ => None,
        };
    }
    let (link, rest) = name.split_once('.').map_or((name, None), |(link, rest)| (link, Some(rest)));
    let (code, modifier) = link.split_once(':').map_or((link, None), |(code, modifier)| (code, Some(modifier)));
    let (_, parameter) = definition::of_type(resource_type).parameter(code)?;
    if parameter.kind != Kind::Reference || !parameter.targets.contains(&"Patient") {
        return None;
    }
    match (modifier, rest) {
        (None | Some("Patient"), Some("identifier")) | (Some("identifier"), None) => Some(identifiers()),
        (None | Some("Patient"), Some("_id")) => Some(ids()),
        (None | Some("Patient"), None) => {
            let bare = modifier.is_some() || is_about_a_patient(parameter);
            Some(values.iter().filter_map(|value| reference(value, bare)).collect())
        }
        _ => None,
    }
}

/// Whether an id without a type is a Patient's.
fn is_about_a_patient(parameter: &Parameter) -> bool {
    matches!(parameter.code, "patient" | "subject") || parameter.targets == ["Patient"]
}

fn reference(value: &str, bare: bool) -> Option<PatientNamed> {
    let (resource_type, id) = match Reference::parse(value) {
        Reference::Relative { resource_type, id } => (resource_type, id),
        Reference::Absolute { url, .. } => tail(&url)?,
        _ if bare => (ResourceType::PATIENT, value.parse().ok()?),
        _ => return None,
    };
    (resource_type == ResourceType::PATIENT).then_some(PatientNamed::Id(id))
}

/// A token without a value names nobody.
fn identifier(name: &str, value: &str) -> Option<PatientNamed> {
    let token = value::token(name, value).ok()?;
    (token.value.is_some() || matches!(token.system, TokenSystem::Is(_))).then_some(PatientNamed::Identifier(token))
}
