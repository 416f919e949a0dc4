//! `POST [type]`, `GET`, `PUT` and `DELETE [type]/[id]`.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::{Path, State};
use axum::response::Response;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use sealwort_fhir::compartment::PatientTarget;
use sealwort_fhir::{
    Issue, IssueCode, Outcome, Reference, Resource, ResourceId, ResourceType, Severity, label_of, patient_identifiers,
    patient_references,
};
use sealwort_proto::Locator;
use sealwort_proto::record::{Change, Record};

use super::bundle::{fresh_id, no_identifier};
use super::{LetIn, Shared, etag, failed, fhir, held, note_withheld, outcome};
use crate::Gateway;
use crate::deposit::Labelled;
use crate::error::GatewayError;
use crate::store_records::Written;
use crate::user::Asking;

/// `GET [type]/[id]`
pub(super) async fn read(
    State(gateway): Shared,
    LetIn(asking): LetIn,
    Path((kind, id)): Path<(String, String)>,
) -> Response {
    match read_one(&gateway, &asking, &kind, &id).await {
        Ok(response) => response,
        Err(error) => failed(&error),
    }
}

async fn read_one(gateway: &Arc<Gateway>, asking: &Asking, kind: &str, id: &str) -> Result<Response, GatewayError> {
    let kind = resource_type(kind)?;
    let patient = gateway.roster.by_resource(kind.as_str(), id).await?.ok_or_else(not_found)?;
    let view = gateway.open(patient, asking).await?;
    let found = view.get(kind.as_str(), id).ok_or_else(not_found)?;
    let mut response = match &found.resource {
        Some(resource) => held(StatusCode::OK, found, resource.bytes().clone()),
        None => {
            return Err(GatewayError::request(
                410,
                IssueCode::Deleted,
                "resource-deleted",
                "the resource was deleted",
                "nothing is to be done",
            ));
        }
    };
    note_withheld(&mut response, &view);
    Ok(response)
}

/// `POST [type]`
pub(super) async fn create(
    State(gateway): Shared,
    LetIn(asking): LetIn,
    Path(kind): Path<String>,
    body: Bytes,
) -> Response {
    let outcome = async {
        let resource = of_type(Resource::parse(body)?, &kind)?;
        let id = match resource.id() {
            Some(id) => id.clone(),
            None => fresh_id()?,
        };
        write(&gateway, &asking, &resource, &id, Change::Put).await.map(|written| (resource, id, written))
    };
    match outcome.await {
        Ok((resource, id, written)) => stored(&resource, &id, written, StatusCode::CREATED, None),
        Err(error) => failed(&error),
    }
}

/// `PUT [type]/[id]`
pub(super) async fn update(
    State(gateway): Shared,
    LetIn(asking): LetIn,
    Path((kind, id)): Path<(String, String)>,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let outcome = async {
        let resource = of_type(Resource::parse(body)?, &kind)?;
        let id = resource_id(&id)?;
        if resource.id() != Some(&id) {
            return Err(GatewayError::request(
                400,
                IssueCode::Invariant,
                "id-differs",
                "the id of the resource is not the id of the URL",
                "send the resource with the id of the URL",
            )
            .at(format!("{kind}.id")));
        }
        let before = version(&gateway, &asking, &kind, id.as_str()).await?;
        check_match(&headers, before)?;
        write(&gateway, &asking, &resource, &id, Change::Put).await.map(|written| (resource, id, written, before))
    };
    match outcome.await {
        Ok((resource, id, written, before)) => {
            let status = if before.is_some() { StatusCode::OK } else { StatusCode::CREATED };
            stored(&resource, &id, written, status, Some(before.unwrap_or_default() + 1))
        }
        Err(error) => failed(&error),
    }
}

/// `DELETE [type]/[id]`
pub(super) async fn delete(
    State(gateway): Shared,
    LetIn(asking): LetIn,
    Path((kind, id)): Path<(String, String)>,
    headers: HeaderMap,
) -> Response {
    let deleted = async {
        let kind = resource_type(&kind)?;
        let Some(patient) = gateway.roster.by_resource(kind.as_str(), &id).await? else { return Ok(None) };
        let view = gateway.open(patient, &asking).await?;
        let Some(found) = view.get(kind.as_str(), &id) else { return Ok(None) };
        let Some(resource) = found.resource.clone() else { return Ok(None) };
        check_match(&headers, Some(found.version))?;
        let id = resource_id(&id)?;
        let locators = gateway.locators_of(patient).await?;
        let record = labelled(&resource, &id, Change::Delete);
        gateway.write(&locators, vec![record], &asking).await.map(Some)
    };
    match deleted.await {
        Ok(Some(Written::Queued)) => queued(),
        Ok(_) => {
            let mut response = fhir(StatusCode::NO_CONTENT, Bytes::new());
            response.headers_mut().remove(header::CONTENT_TYPE);
            response
        }
        Err(error) => failed(&error),
    }
}

async fn write(
    gateway: &Arc<Gateway>,
    asking: &Asking,
    resource: &Resource,
    id: &ResourceId,
    change: Change,
) -> Result<Written, GatewayError> {
    let locators = locators(gateway, resource, id).await?;
    gateway.write(&locators, vec![labelled(resource, id, change)], asking).await
}

fn labelled(resource: &Resource, id: &ResourceId, change: Change) -> Labelled {
    let content = match change {
        Change::Put => resource.bytes().to_vec(),
        Change::Delete => Vec::new(),
    };
    let record = Record {
        change,
        resource_type: resource.resource_type().as_str().to_owned(),
        id: id.as_str().to_owned(),
        content,
    };
    Labelled { record, label: label_of(resource) }
}

/// Whose record a single resource goes into.
async fn locators(gateway: &Arc<Gateway>, resource: &Resource, id: &ResourceId) -> Result<Vec<Locator>, GatewayError> {
    let kind = resource.resource_type().as_str();
    if resource.resource_type() == ResourceType::PATIENT {
        let found = gateway.locators(&patient_identifiers(resource));
        return if found.is_empty() { Err(no_identifier().at("Patient.identifier")) } else { Ok(found) };
    }
    for reference in patient_references(resource) {
        match &reference.target {
            PatientTarget::Identifier(identifier) => {
                return Ok(gateway.locators(std::slice::from_ref(identifier)));
            }
            PatientTarget::Reference(Reference::Relative { id, .. }) => {
                let patient = gateway.roster.by_resource("Patient", id.as_str()).await?;
                let patient = patient
                    .ok_or_else(|| GatewayError::unknown_patient().at(format!("{kind}.{}", reference.element)))?;
                return gateway.locators_of(patient).await;
            }
            PatientTarget::Reference(_) => {}
        }
    }
    if let Some(patient) = gateway.roster.by_resource(kind, id.as_str()).await? {
        return gateway.locators_of(patient).await;
    }
    Err(GatewayError::request(
        422,
        IssueCode::Required,
        "patient-needed",
        "the resource does not say whose it is",
        "refer to the patient, as in subject.reference = Patient/id",
    )
    .at(kind.to_owned()))
}

/// The version that is held now; `None` for a resource that is not known, or that may not be read here.
async fn version(gateway: &Arc<Gateway>, asking: &Asking, kind: &str, id: &str) -> Result<Option<u64>, GatewayError> {
    let Some(patient) = gateway.roster.by_resource(kind, id).await? else { return Ok(None) };
    match gateway.open(patient, asking).await {
        Ok(view) => Ok(view.get(kind, id).map(|held| held.version)),
        Err(error) if error.is_away() || error.is_session_lost() || error.status() == 403 => Ok(None),
        Err(error) => Err(error),
    }
}

fn check_match(headers: &HeaderMap, version: Option<u64>) -> Result<(), GatewayError> {
    let Some(wanted) = headers.get(header::IF_MATCH) else { return Ok(()) };
    let now = version.map(etag);
    if now.as_deref().map(str::as_bytes) == Some(wanted.as_bytes()) {
        return Ok(());
    }
    Err(GatewayError::request(
        412,
        IssueCode::Conflict,
        "version-differs",
        format!("the resource is at version {}", now.unwrap_or_else(|| "none".to_owned())),
        "read it again, then repeat the change with its ETag in If-Match",
    ))
}

fn stored(
    resource: &Resource,
    id: &ResourceId,
    written: Written,
    status: StatusCode,
    version: Option<u64>,
) -> Response {
    if written == Written::Queued {
        return queued();
    }
    let mut response = fhir(status, resource.bytes().clone());
    let location = format!("{}/{}/{}", super::BASE, resource.resource_type().as_str(), id.as_str());
    if let Ok(location) = HeaderValue::from_str(&location) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    if let Some(version) = version
        && let Ok(etag) = HeaderValue::from_str(&etag(version))
    {
        response.headers_mut().insert(header::ETAG, etag);
    }
    response
}

fn queued() -> Response {
    let issue = Issue::new(
        Severity::Information,
        IssueCode::Informational,
        "queued",
        "the exchange is away; the write is kept here on disk and will be sent by itself",
    );
    outcome(StatusCode::ACCEPTED, &Outcome::from(issue))
}

fn of_type(resource: Resource, kind: &str) -> Result<Resource, GatewayError> {
    if resource.resource_type().as_str() == kind {
        return Ok(resource);
    }
    Err(GatewayError::request(
        400,
        IssueCode::Invariant,
        "type-differs",
        format!("a {} was sent to {kind}", resource.resource_type().as_str()),
        "send the resource to its own type",
    )
    .at("resourceType"))
}

pub(super) fn resource_type(name: &str) -> Result<ResourceType, GatewayError> {
    name.parse().map_err(|_| {
        GatewayError::request(
            404,
            IssueCode::NotSupported,
            "type-unknown",
            format!("{name} is not a resource type of FHIR R4"),
            "GET /fhir/metadata tells what this server offers",
        )
    })
}

fn resource_id(text: &str) -> Result<ResourceId, GatewayError> {
    text.parse().map_err(|error: sealwort_fhir::id::BadId| {
        GatewayError::request(400, IssueCode::Value, "id-invalid", error.to_string(), "use letters, digits, - and .")
    })
}

fn not_found() -> GatewayError {
    GatewayError::request(
        404,
        IssueCode::NotFound,
        "resource-unknown",
        "no such resource is known here",
        "open the patient first: GET Patient?identifier=system|value",
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_match_is_by_the_weak_etag() {
        let mut headers = HeaderMap::new();
        assert!(check_match(&headers, Some(3)).is_ok());
        headers.insert(header::IF_MATCH, HeaderValue::from_static("W/\"3\""));
        assert!(check_match(&headers, Some(3)).is_ok());
        assert_eq!(check_match(&headers, Some(4)).map_err(|e| e.status()), Err(412));
        assert_eq!(check_match(&headers, None).map_err(|e| e.status()), Err(412));
        super::super::version_headers(&mut headers, 3, sealwort_pki::UnixTime::from_secs(784_111_777));
        assert_eq!(headers[header::LAST_MODIFIED], "Sun, 06 Nov 1994 08:49:37 GMT");
    }
}
