//! An access as a FHIR R4 AuditEvent, by the profiles of IHE Basic Audit Log Patterns (BALP) where they have one for it.
//! An AuditEvent claims a profile only where it has all that the profile asks for: of refusals, and of what is no RESTful
//! interaction, BALP has none, and they go without.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use sealwort_audit::{Detail, Event, EventKind, Outcome};
use sealwort_fhir::response::instant;
use serde_json::{Value, json};
use time::OffsetDateTime;

use super::join::Row;
use super::{Entry, Party};

/// What an AuditEvent is written with.
pub(crate) struct Scene<'s> {
    /// Identities of this hospital, the broker and the archive.
    pub(crate) origins: [&'s str; 3],
    /// The FHIR base URL.
    pub(crate) base: &'s str,
    /// Id of the Patient resource, where it is known here.
    pub(crate) patient: Option<&'s str>,
}

/// How an event looks in FHIR.
struct Shape {
    kind: Kind,
    /// Code of AuditEvent.action.
    action: &'static str,
}

enum Kind {
    /// A RESTful interaction, and the word in the names of BALP's profiles for it.
    Rest(&'static str, Option<&'static str>),
    /// A code of DICOM.
    Dicom(&'static str, &'static str),
    /// A decision by consent.
    Decision,
}

const REST: &str = "http://terminology.hl7.org/CodeSystem/audit-event-type";
const INTERACTION: &str = "http://hl7.org/fhir/restful-interaction";
const DICOM: &str = "http://dicom.nema.org/resources/ontology/DCM";
const PROFILES: &str = "https://profiles.ihe.net/ITI/BALP/StructureDefinition/IHE.BasicAudit.";
const BALP: &str = "https://profiles.ihe.net/ITI/BALP/CodeSystem";
const PARTICIPATION: &str = "http://terminology.hl7.org/CodeSystem/v3-ParticipationType";
const PURPOSES: &str = "http://terminology.hl7.org/CodeSystem/v3-ActReason";
const ENTITY: &str = "http://terminology.hl7.org/CodeSystem/audit-entity-type";
const ROLE: &str = "http://terminology.hl7.org/CodeSystem/object-role";
const RESOURCES: &str = "http://hl7.org/fhir/resource-types";
/// Kinds of the audit log, as a second subtype.
const OWN_KINDS: &str = "urn:sealwort:audit:kind";
/// Extension: an entry of a log about it.
const LOG_ENTRY: &str = "urn:sealwort:audit:entry";
/// Extension: a party whose log should have an entry about it and has none.
const MISSING: &str = "urn:sealwort:audit:missing";
/// Extension: a detail of the leading entry.
const DETAIL: &str = "urn:sealwort:audit:detail";

impl Shape {
    fn of(kind: EventKind) -> Self {
        use EventKind as E;
        let rest = |code, balp| Kind::Rest(code, Some(balp));
        let operation = Kind::Rest("operation", None);
        let record = Kind::Dicom("110110", "Patient Record");
        let activity = Kind::Dicom("110100", "Application Activity");
        let (kind, action) = match kind {
            E::Read => (rest("read", "Read"), "R"),
            E::VersionRead => (rest("vread", "Read"), "R"),
            E::Searched => (rest("search-type", "Query"), "E"),
            E::Created => (rest("create", "Create"), "C"),
            E::Updated => (rest("update", "Update"), "U"),
            E::Patched => (rest("patch", "Update"), "U"),
            E::Deleted => (rest("delete", "Delete"), "D"),
            E::HistoryRead => (Kind::Rest("history-instance", None), "R"),
            E::BundleProcessed => (Kind::Rest("transaction", None), "E"),
            E::RecordRead | E::Exported => (operation, "R"),
            E::Validated => (operation, "E"),
            E::RequestDecided => (Kind::Decision, "E"),
            E::PatientRegistered | E::DepositStored => (record, "C"),
            E::EntriesFetched | E::ConsentRead | E::PatientLocated | E::AuthorityGiven => (record, "R"),
            E::ConsentChanged | E::RecordRelabelled | E::PatientMerged | E::PatientUnmerged | E::DelegateChanged => {
                (record, "U")
            }
            E::PatientErased => (record, "D"),
            E::SignedIn | E::LockedOut | E::SignedOut | E::SignInEnded | E::TokenIssued => {
                (Kind::Dicom("110114", "User Authentication"), "E")
            }
            E::LogSearched | E::LogExported | E::LogShown => (Kind::Dicom("110101", "Audit Log Used"), "R"),
            E::EmergencyBegun | E::EmergencyApproved => (Kind::Dicom("110127", "Emergency Override Started"), "E"),
            E::EmergencyEnded => (Kind::Dicom("110138", "Emergency Override Stopped"), "E"),
            _ => (activity, "E"),
        };
        Self { kind, action }
    }
}

/// An access as an AuditEvent.
pub(crate) fn audit_event(row: &Row<'_>, scene: &Scene<'_>) -> Value {
    let (lead, event) = (row.lead, &row.lead.event);
    let shape = Shape::of(event.kind);
    let origin = origin(lead, scene);
    let own_kind = json!({ "system": OWN_KINDS, "code": event.kind.as_str() });
    let (kind, subtype) = match shape.kind {
        Kind::Rest(code, _) => (
            json!({ "system": REST, "code": "rest", "display": "Restful Operation" }),
            vec![json!({ "system": INTERACTION, "code": code }), own_kind],
        ),
        Kind::Dicom(code, display) => (json!({ "system": DICOM, "code": code, "display": display }), vec![own_kind]),
        Kind::Decision => (
            json!({ "system": DICOM, "code": "110113", "display": "Security Alert" }),
            vec![json!({ "system": format!("{BALP}/AuthZsubType"), "code": "AuthZ-Consent" }), own_kind],
        ),
    };
    let entities = entities(event, &shape, scene);
    let mut written = json!({
        "resourceType": "AuditEvent",
        "id": id(lead),
        "extension": extensions(row, scene),
        "type": kind,
        "subtype": subtype,
        "action": shape.action,
        "recorded": moment(event.time),
        "outcome": outcome(event),
        "agent": agents(lead, &shape, scene),
        "source": {
            "site": origin,
            "observer": party(origin),
            "type": [{
                "system": "http://terminology.hl7.org/CodeSystem/security-source-type",
                "code": match lead.party { Party::Gateway => "4", Party::Broker => "6", Party::Archive => "5" },
            }],
        },
    });
    let mut put = |name: &str, value: Value| {
        if let Some(object) = written.as_object_mut() {
            object.insert(name.to_owned(), value);
        }
    };
    if let Some(profile) = profile(event, &shape, &entities, scene) {
        put("meta", json!({ "profile": [profile] }));
    }
    if let Some(purpose) = &event.purpose {
        put("purposeOfEvent", json!([purpose_of_use(purpose.as_str())]));
    }
    if let Some(code) = event.outcome.code() {
        let reason = event.get(Detail::Reason).map(|reason| format!(": {reason}")).unwrap_or_default();
        put("outcomeDesc", json!(format!("{code}{reason}")));
    }
    if !entities.is_empty() {
        put("entity", Value::Array(entities));
    }
    written
}

/// The id of the AuditEvent about an entry.
pub(crate) fn id(entry: &Entry) -> String {
    format!("{}-{}", entry.party.as_str(), entry.number)
}

/// The number of the entry of this gateway's log that an id names.
pub(crate) fn own_number(id: &str) -> Option<u64> {
    let number: u64 = id.strip_prefix("gateway-")?.parse().ok()?;
    (id == format!("gateway-{number}")).then_some(number)
}

/// Whose log an entry is in.
fn origin<'s>(entry: &Entry, scene: &Scene<'s>) -> &'s str {
    let [own, broker, archive] = scene.origins;
    match entry.party {
        Party::Gateway => own,
        Party::Broker => broker,
        Party::Archive => archive,
    }
}

/// The profile that all is there for.
fn profile(event: &Event, shape: &Shape, entities: &[Value], scene: &Scene<'_>) -> Option<String> {
    if event.outcome != Outcome::Done {
        return None;
    }
    match shape.kind {
        Kind::Rest(_, Some(name)) => {
            let objects =
                entities.iter().filter(|entity| entity.get("type") == Some(&json!({ "system": ENTITY, "code": "2" })));
            let of_patient = event.patient.is_some();
            let complete = objects.count() == 1 && (!of_patient || scene.patient.is_some());
            let about = if of_patient { "Patient" } else { "" };
            complete.then(|| format!("{PROFILES}{about}{name}"))
        }
        Kind::Decision if event.user.is_some() && event.peer.is_some() => Some(format!("{PROFILES}AuthZconsent")),
        _ => None,
    }
}

fn outcome(event: &Event) -> &'static str {
    match event.outcome {
        Outcome::Done => "0",
        Outcome::Refused(_) => "4",
        Outcome::Failed(_) => "8",
    }
}

fn agents(lead: &Entry, shape: &Shape, scene: &Scene<'_>) -> Vec<Value> {
    let (event, [own, ..]) = (&lead.event, scene.origins);
    let hospital = match (&event.peer, lead.party) {
        (Some(peer), Party::Broker | Party::Archive) => peer.as_str(),
        _ => own,
    };
    let purpose = event.purpose.as_ref().map(|purpose| json!([purpose_of_use(purpose.as_str())]));
    let user = |participation: &str| {
        let name = event.user.as_ref()?.as_str();
        let mut user = json!({
            "type": { "coding": [{ "system": PARTICIPATION, "code": participation }] },
            "who": { "identifier": { "value": name }, "display": name },
            "name": name,
            "requestor": true,
        });
        if let Some(fields) = user.as_object_mut() {
            let role = event.role.as_ref().map(|role| json!([{ "text": role.as_str() }]));
            fields.extend(role.map(|role| ("role".to_owned(), role)));
            fields.extend(purpose.clone().map(|purpose| ("purposeOfUse".to_owned(), purpose)));
        }
        Some(user)
    };
    let machine = |system: &str, code: &str, who: Value, network: Value| {
        let kind = json!({ "coding": [{ "system": system, "code": code }] });
        json!({ "type": kind, "who": who, "requestor": false, "network": network })
    };
    let named = |name: &str| json!({ "address": name, "type": "1" });
    if matches!(shape.kind, Kind::Decision) {
        let without_network = |system: &str, code: &str, who: Value| json!({ "type": { "coding": [{ "system": system, "code": code }] }, "who": who, "requestor": false });
        let mut agents = vec![machine(DICOM, "110150", party(hospital), named(hospital))];
        agents.extend(user("IRCP"));
        agents.push(without_network("http://terminology.hl7.org/CodeSystem/v3-RoleClass", "PROV", party(hospital)));
        let broker = party(origin(lead, scene));
        agents.push(without_network(
            "http://terminology.hl7.org/CodeSystem/extra-security-role-type",
            "authserver",
            broker,
        ));
        return agents;
    }
    let (client, server, participation) = match shape.kind {
        Kind::Rest(_, Some("Query")) => ((DICOM, "110153"), (DICOM, "110152"), "IRCP"),
        Kind::Rest(_, Some("Create" | "Update")) => ((DICOM, "110153"), (DICOM, "110152"), "AUT"),
        Kind::Rest(_, Some("Delete")) => (
            (DICOM, "110150"),
            ("http://terminology.hl7.org/CodeSystem/provenance-participant-type", "custodian"),
            "CST",
        ),
        _ => ((DICOM, "110152"), (DICOM, "110153"), "IRCP"),
    };
    let mut agents = Vec::new();
    match lead.party {
        Party::Gateway => {
            let address = event.get(Detail::Address);
            let network =
                address.map_or_else(|| named("unknown"), |address| json!({ "address": address, "type": "2" }));
            let app = event.get(Detail::Method) == Some("app");
            let who = json!({ "display": if app { "an app of the hospital" } else { "a system of the hospital" } });
            agents.push(machine(client.0, client.1, who, network));
            let here = json!({ "address": scene.base, "type": "5" });
            agents.push(machine(server.0, server.1, party(own), here));
        }
        Party::Broker | Party::Archive => {
            agents.push(machine(client.0, client.1, party(hospital), named(hospital)));
            let origin = origin(lead, scene);
            agents.push(machine(server.0, server.1, party(origin), named(origin)));
        }
    }
    agents.extend(user(participation));
    agents
}

fn entities(event: &Event, shape: &Shape, scene: &Scene<'_>) -> Vec<Value> {
    let object = |code: &str| json!({ "system": ENTITY, "code": code });
    let role = |code: &str| json!({ "system": ROLE, "code": code });
    let mut entities = Vec::new();
    if let Some(pseudonym) = event.patient {
        let what = match scene.patient {
            Some(id) => json!({ "reference": format!("Patient/{id}"), "type": "Patient" }),
            None => json!({ "identifier": { "value": pseudonym.to_string() }, "type": "Patient" }),
        };
        entities.push(json!({ "what": what, "type": object("1"), "role": role("1") }));
    }
    let named: Vec<&str> = event.get(Detail::Subject).map(|all| all.split(' ').collect()).unwrap_or_default();
    let named: Vec<&str> = named.into_iter().filter(|name| name.contains('/')).collect();
    let path =
        event.get(Detail::ResourceType).zip(event.get(Detail::ResourceId)).map(|(kind, id)| format!("{kind}/{id}"));
    let mut main = None;
    match shape.kind {
        Kind::Decision => {
            let version = event.get(Detail::Version).unwrap_or("unknown");
            let consent = json!({ "identifier": { "value": format!("directive version {version}") } });
            entities.push(json!({ "what": consent, "type": { "system": RESOURCES, "code": "Consent" } }));
            return entities;
        }
        Kind::Rest(_, Some("Query")) => {
            let query = event.get(Detail::Query).unwrap_or_default();
            let kind = event.get(Detail::ResourceType).unwrap_or_default();
            let asked = format!("{}/{kind}?{query}", scene.base);
            entities.push(json!({
                "type": object("2"), "role": role("24"), "description": format!("{kind}?{query}"),
                "query": BASE64.encode(asked),
            }));
        }
        Kind::Rest(..) => {
            main = path.or_else(|| named.first().map(|name| (*name).to_owned()));
            if let Some(name) = &main {
                entities.push(json!({ "what": { "reference": name }, "type": object("2"), "role": role("4") }));
            }
        }
        Kind::Dicom(..) => {}
    }
    for name in named.iter().filter(|name| main.as_deref() != Some(**name)) {
        let (kind, _) = name.split_once('/').unwrap_or_default();
        entities.push(json!({
            "what": { "reference": name }, "type": { "system": RESOURCES, "code": kind }, "role": role("4"),
        }));
    }
    if let Some(id) = event.get(Detail::RequestId) {
        let kind = json!({ "system": format!("{BALP}/BasicAuditEntityType"), "code": "XrequestId" });
        entities.push(json!({ "what": { "identifier": { "value": id } }, "type": kind }));
    }
    entities
}

fn extensions(row: &Row<'_>, scene: &Scene<'_>) -> Vec<Value> {
    let entry = |entry: &Entry| {
        json!({ "url": LOG_ENTRY, "extension": [
            { "url": "log", "valueString": origin(entry, scene) },
            { "url": "number", "valueString": entry.number.to_string() },
            { "url": "kind", "valueCode": entry.event.kind.as_str() },
            { "url": "time", "valueInstant": moment(entry.event.time) },
            { "url": "outcome", "valueCode": entry.event.outcome.as_str() },
        ]})
    };
    let missing = row.missing.iter().map(|party| json!({ "url": MISSING, "valueCode": party.as_str() }));
    let detail = |(name, value): (Detail, &str)| {
        json!({ "url": DETAIL, "extension": [
            { "url": "name", "valueCode": name.as_str() },
            { "url": "value", "valueString": value },
        ]})
    };
    let entries = std::iter::once(row.lead).chain(row.others.iter().copied()).map(entry);
    entries.chain(missing).chain(row.lead.event.details().map(detail)).collect()
}

fn party(identity: &str) -> Value {
    json!({ "identifier": { "system": "urn:ietf:rfc:3986", "value": identity }, "display": identity })
}

fn purpose_of_use(code: &str) -> Value {
    json!({ "coding": [{ "system": PURPOSES, "code": code }] })
}

fn moment(milliseconds: u64) -> String {
    let at = OffsetDateTime::from_unix_timestamp_nanos(i128::from(milliseconds) * 1_000_000);
    instant(at.unwrap_or(OffsetDateTime::UNIX_EPOCH))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use sealwort_fhir::validation::{Handling, is_acceptable, validate};
    use sealwort_proto::{Digest, Pseudonym, TokenId};

    use super::*;

    const OWN: &str = "sealwort://demo/gateway/hospital-a";

    fn entry(party: Party, kind: EventKind) -> Entry {
        let event = Event::new(kind, 1_893_456_000_123)
            .user("dr-ada", "physician")
            .purpose("TREAT")
            .patient(Pseudonym::new([7; 32]))
            .request(Digest::new([8; 32]))
            .token(TokenId::new([9; 16]))
            .peer(OWN)
            .detail(Detail::ResourceType, "Observation")
            .detail(Detail::ResourceId, "o1")
            .detail(Detail::Query, "code=8867-4&patient=p1")
            .detail(Detail::Address, "10.0.0.7")
            .detail(Detail::RequestId, "r-1")
            .detail(Detail::Version, 3)
            .detail(Detail::Subject, "Observation/o1 Observation/o2");
        Entry { party, number: 41, event }
    }

    fn written(entry: &Entry, patient: Option<&str>) -> Value {
        let row = Row { lead: entry, others: [entry].into(), missing: vec![Party::Archive] };
        audit_event(&row, &scene(patient))
    }

    fn scene(patient: Option<&str>) -> Scene<'_> {
        let origins = [OWN, "sealwort://demo/broker/b", "sealwort://demo/archive/m"];
        Scene { origins, base: "https://fhir.example/fhir", patient }
    }

    /// Every kind, of every party, done and refused, is valid R4.
    #[test]
    fn every_event_is_a_valid_resource() {
        for kind in EventKind::ALL {
            for party in [Party::Gateway, Party::Broker, Party::Archive] {
                let done = entry(party, *kind);
                let refused =
                    Entry { event: entry(party, *kind).event.refused("consent-no-provision"), ..entry(party, *kind) };
                let bare = Entry { party, number: 0, event: Event::new(*kind, 0).failed("storage-failed") };
                for (one, patient) in [(&done, Some("p1")), (&done, None), (&refused, Some("p1")), (&bare, None)] {
                    let written = written(one, patient);
                    let issues = validate(&written, Handling::Strict);
                    assert!(is_acceptable(&issues), "{kind} {party:?}: {issues:?}\n{written:#}");
                }
                assert_eq!(written(&refused, Some("p1")).get("meta"), None, "failures claim no profile");
            }
        }
    }

    /// What the profiles ask for beyond R4: type, subtype, action, and the slices of agents and entities.
    #[test]
    fn the_profiles_of_balp_are_kept() {
        let system_object = |v: &&Value| v["type"]["system"] == ENTITY && v["type"]["code"] == "2";
        for (kind, profile, subtype, action, client, server) in [
            (EventKind::Read, "PatientRead", "read", "R", "110152", "110153"),
            (EventKind::VersionRead, "PatientRead", "vread", "R", "110152", "110153"),
            (EventKind::Searched, "PatientQuery", "search-type", "E", "110153", "110152"),
            (EventKind::Created, "PatientCreate", "create", "C", "110153", "110152"),
            (EventKind::Updated, "PatientUpdate", "update", "U", "110153", "110152"),
            (EventKind::Patched, "PatientUpdate", "patch", "U", "110153", "110152"),
            (EventKind::Deleted, "PatientDelete", "delete", "D", "110150", "custodian"),
        ] {
            let event = written(&entry(Party::Gateway, kind), Some("p1"));
            assert_eq!(event["meta"]["profile"][0], format!("{PROFILES}{profile}"));
            assert_eq!((&event["type"]["code"], &event["subtype"][0]["code"]), (&json!("rest"), &json!(subtype)));
            assert_eq!((&event["action"], &event["outcome"]), (&json!(action), &json!("0")));
            let agents = event["agent"].as_array().unwrap();
            let of = |code: &str| agents.iter().filter(|agent| agent["type"]["coding"][0]["code"] == code).count();
            assert_eq!((of(client), of(server)), (1, 1));
            assert!(agents[..2].iter().all(|agent| agent["who"].is_object() && agent["network"].is_object()));
            assert_eq!(agents.iter().filter(|agent| agent["requestor"] == true).count(), 1);
            assert!(agents[2].get("network").is_none() && agents[2]["name"] == "dr-ada");
            let entities = event["entity"].as_array().unwrap();
            let objects: Vec<_> = entities.iter().filter(system_object).collect();
            assert_eq!(objects.len(), 1, "{event:#}");
            if kind == EventKind::Searched {
                assert_eq!(objects[0]["role"]["code"], "24");
                assert!(objects[0].get("what").is_none() && objects[0]["query"].is_string());
            } else {
                assert_eq!(objects[0]["what"]["reference"], "Observation/o1");
            }
            assert_eq!(entities[0]["what"]["reference"], "Patient/p1");
        }
        let decided = written(&entry(Party::Broker, EventKind::RequestDecided), Some("p1"));
        assert_eq!(decided["meta"]["profile"][0], format!("{PROFILES}AuthZconsent"));
        let kinds: Vec<_> =
            decided["agent"].as_array().unwrap().iter().map(|a| a["type"]["coding"][0]["code"].clone()).collect();
        assert_eq!(kinds, ["110150", "IRCP", "PROV", "authserver"]);
        assert_eq!(decided["entity"].as_array().unwrap().len(), 2, "patient and consent alone");
        assert_eq!(decided["agent"][3]["who"], decided["source"]["observer"], "val-audit-source");
        // Without the Patient resource, or without what was created, no profile is claimed.
        assert_eq!(written(&entry(Party::Gateway, EventKind::Read), None).get("meta"), None);
        let mut bare = Event::new(EventKind::Created, 0).patient(Pseudonym::new([7; 32]));
        bare.note(Detail::ResourceType, "Observation");
        assert_eq!(written(&Entry { party: Party::Gateway, number: 1, event: bare }, Some("p1")).get("meta"), None);
    }

    #[test]
    fn ids_lead_back_to_own_entries_alone() {
        assert_eq!(own_number("gateway-41"), Some(41));
        for id in ["gateway-041", "broker-41", "gateway-", "41"] {
            assert_eq!(own_number(id), None, "{id}");
        }
    }
}
