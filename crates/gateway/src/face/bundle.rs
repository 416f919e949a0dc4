//! `POST [base]`: a Bundle of type transaction, batch, collection or document, stored patient by patient, each
//! patient's part all or none.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use sealwort_fhir::response::{ResponseEntry, ResponseKind, transaction_response};
use sealwort_fhir::{
    Bundle, BundleEntry, BundleKind, Issue, IssueCode, Method, Outcome, PatientGroup, PatientKey, ResourceId, Severity,
    assign_patients, logical_id, parse_bundle, patient_identifiers,
};
use sealwort_proto::Locator;
use sealwort_proto::crypto::random;
use sealwort_proto::record::{Change, Record};

use super::{LetIn, Shared, date, failed, fhir};
use crate::Gateway;
use crate::deposit::Labelled;
use crate::error::GatewayError;
use crate::store_records::Written;
use crate::user::Asking;

/// Stores a Bundle.
pub(super) async fn post(State(gateway): Shared, LetIn(asking): LetIn, body: Bytes) -> Response {
    match store(&gateway, &asking, body).await {
        Ok((content, queued)) => fhir(if queued { StatusCode::ACCEPTED } else { StatusCode::OK }, content.into()),
        Err(error) => failed(&error),
    }
}

async fn store(gateway: &Arc<Gateway>, asking: &Asking, body: Bytes) -> Result<(Vec<u8>, bool), GatewayError> {
    let bundle = sealwort_net::transport::away(move || parse_bundle(body))
        .await
        .map_err(|_| GatewayError::Kept("reading the Bundle was interrupted"))??;
    let (ids, groups) = plan(gateway, &bundle).await?;
    let mut statuses = vec![None; bundle.entries().len()];
    let mut queued = false;
    for (locators, group, records) in groups {
        let written = gateway.write(&locators, records, asking).await?;
        let status = match written {
            Written::Stored(_) => 201,
            Written::Queued => 202,
        };
        queued |= written == Written::Queued;
        for entry in group.entries {
            if let Some(slot) = statuses.get_mut(entry) {
                *slot = Some(status);
            }
        }
    }
    Ok((answer(gateway, &bundle, &ids, &statuses), queued))
}

type Planned = (Vec<Locator>, PatientGroup, Vec<Labelled>);

/// What is to be written for whom. Everything is checked before anything is sent.
async fn plan(
    gateway: &Arc<Gateway>,
    bundle: &Bundle,
) -> Result<(Vec<Option<ResourceId>>, Vec<Planned>), GatewayError> {
    let mut ids = Vec::with_capacity(bundle.entries().len());
    for (place, entry) in bundle.entries().iter().enumerate() {
        ids.push(check_entry(entry, place)?);
    }
    let mut planned = Vec::new();
    for group in assign_patients(bundle)? {
        let locators = locators(gateway, bundle, &group).await?;
        let mut records = Vec::with_capacity(group.entries.len());
        for place in &group.entries {
            let (Some(entry), Some(Some(id))) = (bundle.entries().get(*place), ids.get(*place)) else { continue };
            let Some(resource) = &entry.resource else { continue };
            records.push(Labelled {
                record: Record {
                    change: Change::Put,
                    resource_type: resource.resource_type().as_str().to_owned(),
                    id: id.as_str().to_owned(),
                    content: resource.bytes().to_vec(),
                },
                label: bundle.label_of(entry),
            });
        }
        planned.push((locators, group, records));
    }
    Ok((ids, planned))
}

/// The id under which an entry's resource is kept; an error for what a Bundle cannot ask for yet.
fn check_entry(entry: &BundleEntry, place: usize) -> Result<Option<ResourceId>, GatewayError> {
    let at = format!("Bundle.entry[{place}].request");
    if let Some(request) = &entry.request
        && !matches!(request.method, Method::Post | Method::Put)
    {
        return Err(GatewayError::request(
            422,
            IssueCode::NotSupported,
            "method-unsupported",
            format!("{} is not supported inside a Bundle", request.method.as_str()),
            "send reads and deletions as requests of their own",
        )
        .at(at));
    }
    if entry.resource.is_none() {
        return Ok(None);
    }
    match logical_id(entry) {
        Some(id) => Ok(Some(id)),
        None => fresh_id().map(Some),
    }
}

/// A fresh logical id: 16 random bytes in hexadecimal.
pub(super) fn fresh_id() -> Result<ResourceId, GatewayError> {
    hex::encode(random::<16>()).parse().map_err(|_| GatewayError::Kept("a fresh id is not valid"))
}

async fn locators(gateway: &Arc<Gateway>, bundle: &Bundle, group: &PatientGroup) -> Result<Vec<Locator>, GatewayError> {
    let patient = match &group.key {
        PatientKey::Entry(place) => {
            let patient = bundle.entries().get(*place).and_then(|entry| entry.resource.as_ref());
            let Some(patient) = patient else { return Err(GatewayError::unknown_patient()) };
            let found = gateway.locators(&patient_identifiers(patient));
            return if found.is_empty() {
                Err(no_identifier().at(format!("Bundle.entry[{place}].resource.identifier")))
            } else {
                Ok(found)
            };
        }
        PatientKey::Identifier(identifier) => return Ok(gateway.locators(std::slice::from_ref(identifier))),
        PatientKey::Reference(id) => gateway.roster.by_resource("Patient", id.as_str()).await?,
        PatientKey::Absolute(_) => None,
    };
    let patient = patient.ok_or_else(|| {
        let place = group.entries.first().copied().unwrap_or_default();
        GatewayError::unknown_patient().at(format!("Bundle.entry[{place}].resource"))
    })?;
    gateway.locators_of(patient).await
}

pub(super) fn no_identifier() -> GatewayError {
    GatewayError::request(
        422,
        IssueCode::Required,
        "identifier-needed",
        "the Patient has no identifier, so no other hospital could find it",
        "give the Patient an identifier with system and value",
    )
}

fn answer(gateway: &Gateway, bundle: &Bundle, ids: &[Option<ResourceId>], statuses: &[Option<u16>]) -> Vec<u8> {
    let kind = match bundle.kind() {
        BundleKind::Batch => ResponseKind::Batch,
        _ => ResponseKind::Transaction,
    };
    let now = date(gateway.sessions.now());
    let entries: Vec<_> = bundle
        .entries()
        .iter()
        .zip(ids)
        .zip(statuses)
        .map(|((entry, id), status)| {
            let name = entry.resource.as_ref().zip(id.as_ref()).map(|(r, id)| (r.resource_type(), id));
            match status {
                Some(status) => ResponseEntry {
                    status: *status,
                    location: name.map(|(kind, id)| format!("{}/{}", kind.as_str(), id.as_str())),
                    last_modified: now.filter(|_| *status == 201),
                    ..ResponseEntry::default()
                },
                None => ResponseEntry {
                    status: 200,
                    outcome: Some(Outcome::from(Issue::new(
                        Severity::Information,
                        IssueCode::Informational,
                        "nothing-to-store",
                        "the entry holds no resource",
                    ))),
                    ..ResponseEntry::default()
                },
            }
        })
        .collect();
    transaction_response(kind, &entries)
}
