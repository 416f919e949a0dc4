//! The CapabilityStatement of a server, written from what its routes offer, so that it cannot promise
//! more than there is.

use serde_json::{Map, Value, json};
use time::OffsetDateTime;

use crate::ResourceType;
use crate::response::instant;

/// The FHIR version that we speak.
pub const FHIR_VERSION: &str = "4.0.1";

/// An interaction with resources of a type (value set `type-restful-interaction`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Interaction {
    /// `GET [type]/[id]`
    Read,
    /// `GET [type]/[id]/_history/[version]`
    Vread,
    /// `PUT [type]/[id]`
    Update,
    /// `PATCH [type]/[id]`
    Patch,
    /// `DELETE [type]/[id]`
    Delete,
    /// `GET [type]/[id]/_history`
    HistoryInstance,
    /// `GET [type]/_history`
    HistoryType,
    /// `POST [type]`
    Create,
    /// `GET [type]?…`
    SearchType,
}

impl Interaction {
    fn as_str(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Vread => "vread",
            Self::Update => "update",
            Self::Patch => "patch",
            Self::Delete => "delete",
            Self::HistoryInstance => "history-instance",
            Self::HistoryType => "history-type",
            Self::Create => "create",
            Self::SearchType => "search-type",
        }
    }
}

/// An interaction with the whole server (value set `system-restful-interaction`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SystemInteraction {
    /// `POST [base]` with a transaction.
    Transaction,
    /// `POST [base]` with a batch.
    Batch,
    /// `GET [base]?…`
    SearchSystem,
    /// `GET [base]/_history`
    HistorySystem,
}

impl SystemInteraction {
    fn as_str(self) -> &'static str {
        match self {
            Self::Transaction => "transaction",
            Self::Batch => "batch",
            Self::SearchSystem => "search-system",
            Self::HistorySystem => "history-system",
        }
    }
}

/// A search parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SearchParameter {
    /// Its name in URLs.
    pub name: &'static str,
    /// Its type (value set `search-param-type`).
    pub kind: &'static str,
    /// The URL of its SearchParameter.
    pub definition: &'static str,
}

/// An operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Operation {
    /// Its name in URLs, without the dollar sign.
    pub name: &'static str,
    /// The URL of its OperationDefinition.
    pub definition: &'static str,
}

/// Whether what is done may hang on conditions: `If-None-Exist`, `PUT [type]?…`, `If-None-Match`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conditions {
    /// It may.
    Supported,
    /// It may not.
    NotSupported,
}

/// What is offered for one type.
#[derive(Clone, Debug)]
pub struct TypeOffer {
    /// The type.
    pub resource_type: ResourceType,
    /// What can be done.
    pub interactions: Vec<Interaction>,
    /// Conditions.
    pub conditions: Conditions,
    /// What can be searched by.
    pub search: Vec<SearchParameter>,
    /// Operations on the type or its instances.
    pub operations: Vec<Operation>,
}

/// A server that speaks FHIR and what it offers.
#[derive(Clone, Debug)]
pub struct Capability {
    /// The software's name.
    pub software: String,
    /// Its version.
    pub version: String,
    /// When this statement was last changed: the start of the server, or the build.
    pub date: OffsetDateTime,
    /// What this server is, for people.
    pub description: String,
    /// The base URL.
    pub url: String,
    /// How clients log in: `CapabilityStatement.rest.security`.
    pub security: Value,
    /// Interactions with the whole server.
    pub system: Vec<SystemInteraction>,
    /// Offers by type.
    pub types: Vec<TypeOffer>,
}

/// The CapabilityStatement of a server, as JSON.
pub fn capability(offered: &Capability) -> Vec<u8> {
    let mut rest = Map::new();
    rest.insert("mode".to_owned(), json!("server"));
    rest.insert("security".to_owned(), offered.security.clone());
    insert_list(&mut rest, "resource", offered.types.iter().map(type_offer));
    let codes = offered.system.iter().map(|one| json!({ "code": one.as_str() }));
    insert_list(&mut rest, "interaction", codes);
    let statement = json!({
        "resourceType": "CapabilityStatement",
        "status": "active",
        "date": instant(offered.date),
        "kind": "instance",
        "software": { "name": offered.software, "version": offered.version },
        "implementation": { "description": offered.description, "url": offered.url },
        "fhirVersion": FHIR_VERSION,
        "format": ["application/fhir+json", "json", "html"],
        "patchFormat": ["application/json-patch+json"],
        "rest": [rest],
    });
    statement.to_string().into_bytes()
}

fn type_offer(offer: &TypeOffer) -> Value {
    let mut out = Map::new();
    out.insert("type".to_owned(), json!(offer.resource_type.as_str()));
    let codes = offer.interactions.iter().map(|offered| json!({ "code": offered.as_str() }));
    insert_list(&mut out, "interaction", codes);
    if !offer.interactions.is_empty() {
        let does = |interaction| offer.interactions.contains(&interaction);
        let conditions = offer.conditions == Conditions::Supported;
        out.insert("versioning".to_owned(), json!("versioned-update"));
        out.insert("readHistory".to_owned(), json!(does(Interaction::Vread)));
        out.insert("updateCreate".to_owned(), json!(does(Interaction::Update)));
        out.insert("conditionalCreate".to_owned(), json!(conditions && does(Interaction::Create)));
        out.insert("conditionalRead".to_owned(), json!(if conditions { "full-support" } else { "not-supported" }));
        out.insert("conditionalUpdate".to_owned(), json!(conditions && does(Interaction::Update)));
        out.insert("referencePolicy".to_owned(), json!(["literal", "logical", "local"]));
    }
    let references = offer.search.iter().filter(|p| p.kind == "reference");
    let includes = references.map(|p| json!(format!("{}:{}", offer.resource_type, p.name)));
    insert_list(&mut out, "searchInclude", includes);
    let parameters = offer.search.iter().map(|p| json!({ "name": p.name, "definition": p.definition, "type": p.kind }));
    insert_list(&mut out, "searchParam", parameters);
    let operations = offer.operations.iter().map(|o| json!({ "name": o.name, "definition": o.definition }));
    insert_list(&mut out, "operation", operations);
    Value::Object(out)
}

/// Adds a list, unless it is empty: FHIR JSON has no empty arrays.
fn insert_list(into: &mut Map<String, Value>, name: &str, values: impl Iterator<Item = Value>) {
    let list: Vec<_> = values.collect();
    if !list.is_empty() {
        into.insert(name.to_owned(), Value::Array(list));
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

    use super::*;
    use crate::Resource;

    #[test]
    fn says_what_is_offered_and_no_more() {
        let offered = Capability {
            software: "sealwort".to_owned(),
            version: "0.1.0".to_owned(),
            date: time::macros::datetime!(2026-01-02 03:04:05 UTC),
            description: "gateway of hospital A".to_owned(),
            url: "https://h.example/fhir".to_owned(),
            security: json!({ "description": "bearer token" }),
            system: vec![SystemInteraction::Transaction, SystemInteraction::Batch],
            types: vec![
                TypeOffer {
                    resource_type: ResourceType::PATIENT,
                    interactions: vec![Interaction::Read, Interaction::SearchType],
                    conditions: Conditions::Supported,
                    search: vec![SearchParameter {
                        name: "identifier",
                        kind: "token",
                        definition: "http://hl7.org/fhir/SearchParameter/Patient-identifier",
                    }],
                    operations: vec![Operation {
                        name: "everything",
                        definition: "http://hl7.org/fhir/OperationDefinition/Patient-everything",
                    }],
                },
                TypeOffer {
                    resource_type: ResourceType::SUBSCRIPTION,
                    interactions: vec![Interaction::Create],
                    conditions: Conditions::NotSupported,
                    search: vec![],
                    operations: vec![],
                },
                TypeOffer {
                    resource_type: ResourceType::BINARY,
                    interactions: vec![],
                    conditions: Conditions::Supported,
                    search: vec![],
                    operations: vec![],
                },
            ],
        };
        let bytes = capability(&offered);
        let value: Value = serde_json::from_slice(&bytes).unwrap();
        assert_eq!(Resource::parse(bytes).unwrap().resource_type().as_str(), "CapabilityStatement");
        assert_eq!(value["fhirVersion"], "4.0.1");
        assert_eq!(value["date"], "2026-01-02T03:04:05.000Z");
        let rest = &value["rest"][0];
        assert_eq!(rest["security"]["description"], "bearer token");
        assert_eq!(rest["interaction"], json!([{"code":"transaction"},{"code":"batch"}]));
        assert_eq!(
            rest["resource"],
            json!([
                {
                    "type": "Patient",
                    "interaction": [{"code":"read"},{"code":"search-type"}],
                    "versioning": "versioned-update",
                    "readHistory": false,
                    "updateCreate": false,
                    "conditionalCreate": false,
                    "conditionalRead": "full-support",
                    "conditionalUpdate": false,
                    "referencePolicy": ["literal", "logical", "local"],
                    "searchParam": [{
                        "name": "identifier",
                        "definition": "http://hl7.org/fhir/SearchParameter/Patient-identifier",
                        "type": "token"
                    }],
                    "operation": [{
                        "name": "everything",
                        "definition": "http://hl7.org/fhir/OperationDefinition/Patient-everything"
                    }]
                },
                {
                    "type": "Subscription",
                    "interaction": [{"code":"create"}],
                    "versioning": "versioned-update",
                    "readHistory": false,
                    "updateCreate": false,
                    "conditionalCreate": false,
                    "conditionalRead": "not-supported",
                    "conditionalUpdate": false,
                    "referencePolicy": ["literal", "logical", "local"]
                },
                {"type":"Binary"}
            ])
        );
    }
}
