//! The one table of what the FHIR face offers: paths and methods, and what each of them does. Requests over HTTP and
//! entries of Bundles are looked up here, and the CapabilityStatement is written from it, so that it cannot lie.

use std::borrow::Cow;
use std::collections::BTreeSet;

use http::Method;
use sealwort_fhir::{IssueCode, ResourceId, ResourceType};

use crate::error::GatewayError;

/// What can be done (FHIR R4, http.html).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Interaction {
    Capabilities,
    SmartConfiguration,
    /// `POST [base]`: transaction, batch, collection or document.
    Bundle,
    SearchSystem,
    SearchType,
    /// A search within one patient's compartment.
    SearchCompartment,
    HistoryType,
    HistoryInstance,
    Create,
    Read,
    Vread,
    Update,
    UpdateConditional,
    Patch,
    Delete,
    Validate,
    Everything,
    Summary,
    Export,
    ExportStatus,
    ExportCancel,
    ExportFile,
    ConsentExplain,
    /// Everything about one patient, to take along.
    PhrExport,
    /// Two identities of one patient.
    Merge,
    Unmerge,
    EmergencyAccess,
    EmergencyApprove,
    EmergencyEnd,
    /// What all logs hold about a patient.
    AccessLog,
    /// The same with its proofs.
    AccessLogProof,
    /// A search in the gateway's own audit log.
    SearchEvents,
    /// An entry of it.
    ReadEvent,
}

/// A part of a path.
#[derive(Debug, Clone, Copy)]
enum Part {
    /// A resource type.
    Kind,
    /// One that clients may write: not AuditEvent, which is the audit log's.
    Stored,
    /// A logical id.
    Id,
    /// A version.
    Version,
    /// A text that this server made and understands.
    Handle,
    /// This very word.
    Word(&'static str),
}

use Part::{Handle, Id, Kind, Stored, Version, Word};

/// A row: what is done at a path by a method.
struct Row(Method, &'static [Part], Interaction);

const PATIENT: Part = Word("Patient");
const EVENT: Part = Word("AuditEvent");

/// All rows. Of two that fit, the earlier one counts.
static TABLE: &[Row] = &[
    Row(Method::GET, &[Word("metadata")], Interaction::Capabilities),
    Row(Method::GET, &[Word(".well-known"), Word("smart-configuration")], Interaction::SmartConfiguration),
    Row(Method::POST, &[], Interaction::Bundle),
    Row(Method::GET, &[], Interaction::SearchSystem),
    Row(Method::POST, &[Word("_search")], Interaction::SearchSystem),
    Row(Method::GET, &[Word("$export-status"), Handle], Interaction::ExportStatus),
    Row(Method::DELETE, &[Word("$export-status"), Handle], Interaction::ExportCancel),
    Row(Method::GET, &[Word("$export-file"), Handle, Kind], Interaction::ExportFile),
    Row(Method::POST, &[Word("$emergency-access")], Interaction::EmergencyAccess),
    Row(Method::POST, &[Word("$emergency-access-approve")], Interaction::EmergencyApprove),
    Row(Method::POST, &[Word("$emergency-access-end")], Interaction::EmergencyEnd),
    Row(Method::GET, &[PATIENT, Id, Word("$everything")], Interaction::Everything),
    Row(Method::GET, &[PATIENT, Id, Word("$summary")], Interaction::Summary),
    Row(Method::GET, &[PATIENT, Word("$summary")], Interaction::Summary),
    Row(Method::GET, &[PATIENT, Id, Word("$export")], Interaction::Export),
    Row(Method::GET, &[PATIENT, Id, Word("$access-log")], Interaction::AccessLog),
    Row(Method::GET, &[PATIENT, Id, Word("$access-log-proof")], Interaction::AccessLogProof),
    Row(Method::GET, &[EVENT], Interaction::SearchEvents),
    Row(Method::POST, &[EVENT, Word("_search")], Interaction::SearchEvents),
    Row(Method::GET, &[EVENT, Id], Interaction::ReadEvent),
    Row(Method::GET, &[PATIENT, Id, EVENT], Interaction::SearchEvents),
    Row(Method::POST, &[PATIENT, Id, EVENT, Word("_search")], Interaction::SearchEvents),
    Row(Method::GET, &[PATIENT, Id, Word("$consent-explain")], Interaction::ConsentExplain),
    Row(Method::POST, &[PATIENT, Id, Word("$consent-explain")], Interaction::ConsentExplain),
    Row(Method::GET, &[PATIENT, Id, Word("$phr-export")], Interaction::PhrExport),
    Row(Method::GET, &[Word("Bundle"), Word("$phr-export")], Interaction::PhrExport),
    Row(Method::POST, &[PATIENT, Word("$merge")], Interaction::Merge),
    Row(Method::POST, &[PATIENT, Word("$unmerge")], Interaction::Unmerge),
    Row(Method::POST, &[Kind, Word("$validate")], Interaction::Validate),
    Row(Method::POST, &[Kind, Id, Word("$validate")], Interaction::Validate),
    Row(Method::POST, &[Stored, Word("_search")], Interaction::SearchType),
    Row(Method::GET, &[Stored, Word("_history")], Interaction::HistoryType),
    Row(Method::GET, &[Stored], Interaction::SearchType),
    Row(Method::POST, &[Stored], Interaction::Create),
    Row(Method::PUT, &[Stored], Interaction::UpdateConditional),
    Row(Method::GET, &[Stored, Id, Word("_history")], Interaction::HistoryInstance),
    Row(Method::GET, &[Stored, Id, Word("_history"), Version], Interaction::Vread),
    Row(Method::GET, &[Stored, Id], Interaction::Read),
    Row(Method::PUT, &[Stored, Id], Interaction::Update),
    Row(Method::PATCH, &[Stored, Id], Interaction::Patch),
    Row(Method::DELETE, &[Stored, Id], Interaction::Delete),
    Row(Method::POST, &[PATIENT, Id, Stored, Word("_search")], Interaction::SearchCompartment),
    Row(Method::GET, &[PATIENT, Id, Stored], Interaction::SearchCompartment),
];

/// What is offered of Subscriptions, which are kept beside the records: no versions, conditions or patches.
const OF_SUBSCRIPTIONS: [Interaction; 6] = [
    Interaction::Create,
    Interaction::Read,
    Interaction::Update,
    Interaction::Delete,
    Interaction::SearchType,
    Interaction::Validate,
];

/// A request's place in the table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) does: Interaction,
    pub(crate) kind: Option<ResourceType>,
    pub(crate) id: Option<ResourceId>,
    pub(crate) version: Option<u64>,
    pub(crate) handle: Option<String>,
}

impl Place {
    /// The type in the path. Rows that lead to what needs it have one.
    pub(crate) fn kind(&self) -> Result<ResourceType, GatewayError> {
        self.kind.ok_or(GatewayError::Kept("a path without a type led to what needs one"))
    }

    /// The id in the path, likewise.
    pub(crate) fn id(&self) -> Result<&ResourceId, GatewayError> {
        self.id.as_ref().ok_or(GatewayError::Kept("a path without an id led to what needs one"))
    }
}

/// Finds the row for a method and a path, which is relative to the base: `Patient/1/_history`.
pub(crate) fn find(method: &Method, path: &str) -> Result<Place, GatewayError> {
    let method = if *method == Method::HEAD { &Method::GET } else { method };
    let path = decoded(path)?;
    let segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
    let mut allowed: Vec<&str> = Vec::new();
    let mut wrong = None;
    for Row(row_method, parts, does) in TABLE {
        match fit(parts, &segments) {
            Fit::Not => {}
            Fit::Wrong(error) => wrong = wrong.or(Some(error)),
            Fit::Fits(place) if place.kind.is_some_and(|kind| !offers_of(*does, kind)) => {}
            Fit::Fits(mut place) if row_method == method => {
                place.does = *does;
                return Ok(place);
            }
            Fit::Fits(_) => allowed.push(row_method.as_str()),
        }
    }
    if !allowed.is_empty() {
        return Err(GatewayError::request(
            405,
            IssueCode::NotSupported,
            "method-not-allowed",
            format!("{method} cannot be done here; what can: {}", allowed.join(", ")),
            "GET /fhir/metadata tells what this server offers",
        ));
    }
    Err(wrong.unwrap_or_else(unknown_route))
}

/// The methods that fit a path, as the header `Allow` lists them.
pub(crate) fn allowed(path: &str) -> String {
    let Ok(path) = decoded(path) else { return String::new() };
    let segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
    let fitting = TABLE.iter().filter(|Row(_, parts, does)| match fit(parts, &segments) {
        Fit::Fits(place) => place.kind.is_none_or(|kind| offers_of(*does, kind)),
        Fit::Wrong(_) | Fit::Not => false,
    });
    let methods: BTreeSet<&str> = fitting.map(|Row(method, ..)| method.as_str()).collect();
    methods.into_iter().collect::<Vec<_>>().join(", ")
}

/// Some clients encode `$` and other letters of paths.
fn decoded(path: &str) -> Result<Cow<'_, str>, GatewayError> {
    percent_encoding::percent_decode_str(path).decode_utf8().map_err(|_| unknown_route())
}

/// Whether any row does this.
pub(crate) fn offers(does: Interaction) -> bool {
    TABLE.iter().any(|Row(_, _, other)| *other == does)
}

/// Whether any row does this with resources of a type.
pub(crate) fn offers_of(does: Interaction, kind: ResourceType) -> bool {
    offers(does) && (kind != ResourceType::SUBSCRIPTION || OF_SUBSCRIPTIONS.contains(&does))
}

enum Fit {
    Fits(Place),
    /// The path has this form, and a part of it is wrong.
    Wrong(GatewayError),
    Not,
}

fn fit(parts: &[Part], segments: &[&str]) -> Fit {
    if parts.len() != segments.len() {
        return Fit::Not;
    }
    let mut place = Place { does: Interaction::Read, kind: None, id: None, version: None, handle: None };
    let mut wrong = None;
    for (part, segment) in parts.iter().zip(segments) {
        match part {
            Word(word) if word == segment => {}
            Word(_) => return Fit::Not,
            Handle => place.handle = Some((*segment).to_owned()),
            // Operations and the like are words; no type and no id begins like them.
            _ if segment.starts_with(['$', '_']) => return Fit::Not,
            Stored if *segment == "AuditEvent" => return Fit::Not,
            Kind | Stored => match segment.parse() {
                Ok(kind) => place.kind = Some(kind),
                Err(_) => wrong = wrong.or_else(|| Some(unknown_type(segment))),
            },
            Id => match segment.parse() {
                Ok(id) => place.id = Some(id),
                Err(_) => wrong = wrong.or_else(|| Some(bad_id())),
            },
            Version => match segment.parse() {
                Ok(version) => place.version = Some(version),
                Err(_) => wrong = wrong.or_else(|| Some(unknown_version())),
            },
        }
    }
    // Some paths have their type in a word.
    if let (None, Some(Word(word))) = (place.kind, parts.first()) {
        place.kind = word.parse().ok();
    }
    match wrong {
        Some(error) => Fit::Wrong(error),
        None => Fit::Fits(place),
    }
}

pub(crate) fn unknown_type(name: &str) -> GatewayError {
    let name: String = name.chars().filter(|c| !c.is_control()).take(64).collect();
    GatewayError::request(
        404,
        IssueCode::NotSupported,
        "type-unknown",
        format!("{name} is not a resource type of FHIR R4"),
        "GET /fhir/metadata tells what this server offers",
    )
}

fn bad_id() -> GatewayError {
    GatewayError::request(
        400,
        IssueCode::Value,
        "id-invalid",
        "an id has 1 to 64 characters out of letters, digits, '-' and '.'",
        "use the id that this server gave",
    )
}

fn unknown_version() -> GatewayError {
    GatewayError::request(
        404,
        IssueCode::NotFound,
        "version-unknown",
        "versions of this server are numbers",
        "GET [type]/[id]/_history lists the versions",
    )
}

pub(super) fn unknown_route() -> GatewayError {
    GatewayError::request(
        404,
        IssueCode::NotFound,
        "route-unknown",
        "there is nothing at this path",
        "GET /fhir/metadata tells what this server offers",
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn paths_lead_to_what_they_name() {
        let cases: [(&str, &str, Result<Interaction, (u16, &str)>); 36] = [
            ("GET", "metadata", Ok(Interaction::Capabilities)),
            ("POST", "", Ok(Interaction::Bundle)),
            ("POST", "/", Ok(Interaction::Bundle)),
            ("GET", "Patient", Ok(Interaction::SearchType)),
            ("POST", "Observation/_search", Ok(Interaction::SearchType)),
            ("GET", "Observation/_history", Ok(Interaction::HistoryType)),
            ("GET", "Observation/o.1", Ok(Interaction::Read)),
            ("HEAD", "Observation/o.1", Ok(Interaction::Read)),
            ("GET", "Observation/o.1/_history", Ok(Interaction::HistoryInstance)),
            ("GET", "Observation/o.1/_history/3", Ok(Interaction::Vread)),
            ("GET", "Patient/p/$everything", Ok(Interaction::Everything)),
            ("GET", "Patient/p/Observation", Ok(Interaction::SearchCompartment)),
            ("POST", "Patient/$validate", Ok(Interaction::Validate)),
            ("PUT", "Patient", Ok(Interaction::UpdateConditional)),
            ("GET", "$export-status/_handle", Ok(Interaction::ExportStatus)),
            ("GET", "$export-file/_handle/Patient", Ok(Interaction::ExportFile)),
            ("GET", "Observation/o.1/_history/x", Err((404, "version-unknown"))),
            ("GET", "Observation/$everything", Err((404, "route-unknown"))),
            ("GET", "Paitent/1", Err((404, "type-unknown"))),
            ("GET", "Patient/a_b", Err((400, "id-invalid"))),
            ("DELETE", "Patient", Err((405, "method-not-allowed"))),
            ("GET", "Patient/p/$everything/x", Err((404, "route-unknown"))),
            ("GET", "AuditEvent", Ok(Interaction::SearchEvents)),
            ("GET", "Patient/p/AuditEvent", Ok(Interaction::SearchEvents)),
            ("GET", "AuditEvent/gateway-1", Ok(Interaction::ReadEvent)),
            ("POST", "AuditEvent/$validate", Ok(Interaction::Validate)),
            ("GET", "Patient/p/$access-log", Ok(Interaction::AccessLog)),
            ("POST", "AuditEvent", Err((405, "method-not-allowed"))),
            ("PUT", "AuditEvent", Err((405, "method-not-allowed"))),
            ("PUT", "AuditEvent/gateway-1", Err((405, "method-not-allowed"))),
            ("DELETE", "AuditEvent/gateway-1", Err((405, "method-not-allowed"))),
            ("GET", "AuditEvent/gateway-1/_history", Err((404, "route-unknown"))),
            ("PUT", "Subscription/s", Ok(Interaction::Update)),
            ("PATCH", "Subscription/s", Err((405, "method-not-allowed"))),
            ("GET", "Subscription/s/_history", Err((404, "route-unknown"))),
            ("GET", "Patient/p/Subscription", Err((404, "route-unknown"))),
        ];
        for (method, path, wanted) in cases {
            let found = find(&method.parse().unwrap(), path);
            let found = found.map(|p| p.does).map_err(|e| (e.status(), e.code().to_owned()));
            let wanted = wanted.map_err(|(status, code)| (status, code.to_owned()));
            assert_eq!(found, wanted, "{method} {path}");
        }
    }
}
