//! `GET Patient?identifier=`, `GET [type]?patient=` and `Patient/[id]/$everything`, from the patient held open.

use std::sync::Arc;

use axum::extract::{Path, RawQuery, State};
use axum::response::Response;
use http::StatusCode;
use sealwort_fhir::compartment::PatientTarget;
use sealwort_fhir::response::{PageLinks, SearchEntry, SearchMode, searchset};
use sealwort_fhir::{
    IssueCode, Reference, Resource, ResourceType, Token, parse_token, patient_identifiers, patient_references,
};

use super::resource::resource_type;
use super::{BASE, LetIn, Shared, failed, fhir, note_withheld, patient_of};
use crate::Gateway;
use crate::error::GatewayError;
use crate::user::Asking;
use crate::view::{Held, PatientView};

/// `GET [type]?…`
pub(super) async fn search(
    State(gateway): Shared,
    LetIn(asking): LetIn,
    Path(kind): Path<String>,
    RawQuery(query): RawQuery,
) -> Response {
    match find(&gateway, &asking, &kind, query.as_deref().unwrap_or_default()).await {
        Ok(response) => response,
        Err(error) => failed(&error),
    }
}

/// `GET Patient/[id]/$everything`
pub(super) async fn everything(State(gateway): Shared, LetIn(asking): LetIn, Path(id): Path<String>) -> Response {
    let found = async {
        let patient = patient_of(&gateway, &id).await?;
        let view = gateway.open(patient, &asking).await?;
        let this = format!("{BASE}/Patient/{id}/$everything");
        Ok::<_, GatewayError>(answer(&view, &view.resources().collect::<Vec<_>>(), this))
    };
    match found.await {
        Ok(response) => response,
        Err(error) => failed(&error),
    }
}

async fn find(gateway: &Arc<Gateway>, asking: &Asking, kind: &str, query: &str) -> Result<Response, GatewayError> {
    let kind = resource_type(kind)?;
    let this = format!("{BASE}/{}?{query}", kind.as_str());
    let parameters = parameters(query)?;
    let mut view: Option<Arc<PatientView>> = None;
    let mut tokens: Vec<Token> = Vec::new();
    for (name, value) in &parameters {
        match (name.as_str(), kind == ResourceType::PATIENT) {
            ("identifier", true) => {
                let token = parse_token(value)?;
                let identifier = token.identifier().ok_or_else(|| ask_better("identifier needs system|value"))?;
                tokens.push(token);
                let Some(known) = gateway.find(&[gateway.directory.locator(&identifier)]).await? else {
                    return Ok(fhir(StatusCode::OK, searchset(&[], &links(this), Some(0)).into()));
                };
                view = Some(gateway.open(known.patient, asking).await?);
            }
            ("_id", true) => view = Some(gateway.open(patient_of(gateway, value).await?, asking).await?),
            ("patient" | "subject", false) => {
                let id = value.strip_prefix("Patient/").unwrap_or(value);
                view = Some(gateway.open(patient_of(gateway, id).await?, asking).await?);
            }
            _ => return Err(ask_better(&format!("the parameter {name} is not supported here yet"))),
        }
    }
    let view = view.ok_or_else(|| ask_better("the search names no patient"))?;
    let id = parameters.iter().find(|(name, _)| name == "_id").map(|(_, value)| value.as_str());
    let of_patient = parameters.iter().find(|(name, _)| name == "patient" || name == "subject");
    let of_patient = of_patient.map(|(_, value)| value.strip_prefix("Patient/").unwrap_or(value));
    let matches = view
        .resources()
        .filter(|(held, resource)| {
            resource.resource_type() == kind
                && id.is_none_or(|id| held.id == id)
                && tokens.iter().all(|token| patient_identifiers(resource).iter().any(|i| token.matches(i)))
                && of_patient.is_none_or(|patient| belongs_to(resource, patient))
        })
        .collect::<Vec<_>>();
    // From now on the gateway knows these patients by their ids as well.
    if kind == ResourceType::PATIENT {
        let names: Vec<_> = view.resources().map(|(held, _)| (held.kind.as_str(), held.id.as_str())).collect();
        gateway.note_resources(&view, &names).await?;
    }
    Ok(answer(&view, &matches, this))
}

/// Whether a resource's compartment references name this patient. A log holds one person, so a resource that
/// names nobody belongs to them as well.
fn belongs_to(resource: &Resource, patient: &str) -> bool {
    let references = patient_references(resource);
    references.is_empty()
        || references.iter().any(|reference| match &reference.target {
            PatientTarget::Reference(Reference::Relative { id, .. }) => id.as_str() == patient,
            PatientTarget::Reference(other) => other.to_string().ends_with(patient),
            PatientTarget::Identifier(_) => true,
        })
}

fn answer(view: &PatientView, matches: &[(&Held, &Resource)], this: String) -> Response {
    let entries: Vec<_> = matches
        .iter()
        .map(|(held, resource)| SearchEntry {
            full_url: format!("{BASE}/{}/{}", held.kind, held.id),
            resource,
            mode: SearchMode::Match,
        })
        .collect();
    let content = searchset(&entries, &links(this), Some(entries.len() as u64));
    let mut response = fhir(StatusCode::OK, content.into());
    note_withheld(&mut response, view);
    response
}

fn links(this: String) -> PageLinks {
    PageLinks { this, next: None }
}

/// Reads a query as `application/x-www-form-urlencoded`.
fn parameters(query: &str) -> Result<Vec<(String, String)>, GatewayError> {
    let uri = format!("/?{query}");
    let uri: http::Uri = uri.parse().map_err(|_| ask_better("the query is not valid"))?;
    axum::extract::Query::<Vec<(String, String)>>::try_from_uri(&uri)
        .map(|query| query.0)
        .map_err(|_| ask_better("the query is not valid"))
}

fn ask_better(text: &str) -> GatewayError {
    GatewayError::request(
        400,
        IssueCode::NotSupported,
        "search-unsupported",
        text,
        "ask for one patient: Patient?identifier=system|value, [type]?patient=id, or Patient/id/$everything",
    )
}
