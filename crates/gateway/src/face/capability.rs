//! `GET [base]/metadata`: what this server offers, no more.

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use sealwort_fhir::ResourceType;
use sealwort_fhir::capability::{
    Capability, Interaction, Operation, SearchKind, SearchParameter, SystemInteraction, TypeOffer, capability,
};

use super::{Shared, date, fhir};

/// Open to everybody, as FHIR wants it: an application reads it before it logs in.
pub(super) async fn metadata(State(gateway): Shared) -> Response {
    let now = date(gateway.sessions.now()).unwrap_or(time::OffsetDateTime::UNIX_EPOCH);
    fhir(StatusCode::OK, capability(&offered(now)).into())
}

fn offered(now: time::OffsetDateTime) -> Capability {
    let token = |name| SearchParameter { name, kind: SearchKind::Token };
    let reference = |name| SearchParameter { name, kind: SearchKind::Reference };
    let types = ResourceType::all()
        .filter(|kind| *kind != ResourceType::BUNDLE)
        .map(|kind| {
            let is_patient = kind == ResourceType::PATIENT;
            TypeOffer {
                resource_type: kind,
                interactions: vec![
                    Interaction::Read,
                    Interaction::Create,
                    Interaction::Update,
                    Interaction::Delete,
                    Interaction::SearchType,
                ],
                search: if is_patient {
                    vec![token("identifier"), token("_id")]
                } else {
                    vec![reference("patient"), reference("subject")]
                },
                operations: if is_patient {
                    vec![Operation {
                        name: "everything",
                        definition: "http://hl7.org/fhir/OperationDefinition/Patient-everything",
                    }]
                } else {
                    Vec::new()
                },
            }
        })
        .collect();
    Capability {
        software: "Sealwort gateway".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        date: now,
        description: "A hospital's door to the exchange: records are sealed before they leave it.".to_owned(),
        url: super::BASE.to_owned(),
        security: "Send a bearer token of this gateway. Every route but metadata needs one.".to_owned(),
        system: vec![SystemInteraction::Transaction, SystemInteraction::Batch],
        types,
    }
}
