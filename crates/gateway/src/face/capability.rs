//! `GET [base]/metadata` and `GET [base]/.well-known/smart-configuration`: what this server offers, written from the
//! table of its routes and the parameters of its search.

use std::sync::Arc;

use http::StatusCode;
use sealwort_fhir::ResourceType;
use sealwort_fhir::capability::{
    Capability, Conditions, Interaction as Listed, Operation, SearchParameter, SystemInteraction, TypeOffer, capability,
};

use super::reply::{Content, Reply, date};
use super::table::{Interaction, offers, offers_of};
use crate::Gateway;

const TYPE_INTERACTIONS: [(Interaction, Listed); 9] = [
    (Interaction::Read, Listed::Read),
    (Interaction::Vread, Listed::Vread),
    (Interaction::Update, Listed::Update),
    (Interaction::Patch, Listed::Patch),
    (Interaction::Delete, Listed::Delete),
    (Interaction::HistoryInstance, Listed::HistoryInstance),
    (Interaction::HistoryType, Listed::HistoryType),
    (Interaction::Create, Listed::Create),
    (Interaction::SearchType, Listed::SearchType),
];

const PATIENT_OPERATIONS: [(Interaction, Operation); 9] = [
    (
        Interaction::Everything,
        Operation { name: "everything", definition: "http://hl7.org/fhir/OperationDefinition/Patient-everything" },
    ),
    (
        Interaction::Summary,
        Operation { name: "summary", definition: "http://hl7.org/fhir/uv/ips/OperationDefinition/summary" },
    ),
    (
        Interaction::Export,
        Operation { name: "export", definition: "http://hl7.org/fhir/uv/bulkdata/OperationDefinition/patient-export" },
    ),
    (Interaction::AccessLog, Operation { name: "access-log", definition: "urn:sealwort:operation:access-log" }),
    (
        Interaction::AccessLogProof,
        Operation { name: "access-log-proof", definition: "urn:sealwort:operation:access-log-proof" },
    ),
    (
        Interaction::ConsentExplain,
        Operation {
            name: "consent-explain",
            definition: "https://sealwort.example/fhir/OperationDefinition/Patient-consent-explain",
        },
    ),
    (Interaction::PhrExport, Operation { name: "phr-export", definition: "urn:sealwort:operation:phr-export" }),
    (
        Interaction::Merge,
        Operation { name: "merge", definition: "http://hl7.org/fhir/OperationDefinition/Patient-merge" },
    ),
    (Interaction::Unmerge, Operation { name: "unmerge", definition: "urn:sealwort:operation:unmerge" }),
];

const VALIDATE: Operation =
    Operation { name: "validate", definition: "http://hl7.org/fhir/OperationDefinition/Resource-validate" };

/// The CapabilityStatement.
pub(super) fn metadata(gateway: &Arc<Gateway>) -> Reply {
    let statement = gateway.capabilities.get_or_init(|| {
        let started = date(gateway.started).unwrap_or(time::OffsetDateTime::UNIX_EPOCH);
        capability(&offered(gateway, started)).into()
    });
    let mut reply = Reply::resource(StatusCode::OK, statement.clone());
    // It is one and the same until the gateway starts anew.
    reply.version = Some(gateway.started.as_secs());
    reply
}

/// What apps need to know to ask for tokens (HL7 SMART App Launch, "Conformance").
pub(super) fn smart(gateway: &Arc<Gateway>) -> Reply {
    Reply {
        status: StatusCode::OK,
        content: gateway.authorization.discovery().to_string().into(),
        kind: Content::Json,
        ..Reply::default()
    }
}

fn offered(gateway: &Gateway, started: time::OffsetDateTime) -> Capability {
    let types = ResourceType::all().map(type_offer).collect();
    let mut system = Vec::new();
    if offers(Interaction::Bundle) {
        system.extend([SystemInteraction::Transaction, SystemInteraction::Batch]);
    }
    if offers(Interaction::SearchSystem) {
        system.push(SystemInteraction::SearchSystem);
    }
    Capability {
        software: "Sealwort gateway".to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        date: started,
        description: "A hospital's door to the exchange: records are sealed before they leave it.".to_owned(),
        url: gateway.base.clone(),
        system,
        types,
        security: gateway.authorization.security(),
    }
}

/// AuditEvents are the audit log's entries: nobody writes them.
const EVENT_INTERACTIONS: [(Interaction, Listed); 2] =
    [(Interaction::ReadEvent, Listed::Read), (Interaction::SearchEvents, Listed::SearchType)];

fn type_offer(kind: ResourceType) -> TypeOffer {
    let interactions = if kind == ResourceType::AUDIT_EVENT { &EVENT_INTERACTIONS[..] } else { &TYPE_INTERACTIONS[..] };
    let listed = interactions.iter().filter(|(does, _)| offers_of(*does, kind)).map(|(_, listed)| *listed).collect();
    let mut operations = Vec::new();
    if offers(Interaction::Validate) {
        operations.push(VALIDATE);
    }
    if kind == ResourceType::PATIENT {
        operations.extend(PATIENT_OPERATIONS.iter().filter(|(does, _)| offers(*does)).map(|(_, operation)| *operation));
    }
    if kind == ResourceType::BUNDLE {
        let phr = PATIENT_OPERATIONS.iter().filter(|(does, _)| *does == Interaction::PhrExport && offers(*does));
        operations.extend(phr.map(|(_, operation)| *operation));
    }
    let search = sealwort_fhir::search::offered(kind)
        .map(|one| SearchParameter { name: one.code, kind: one.kind, definition: one.definition })
        .collect();
    let conditions = if kind == ResourceType::SUBSCRIPTION { Conditions::NotSupported } else { Conditions::Supported };
    TypeOffer { resource_type: kind, interactions: listed, conditions, search, operations }
}
