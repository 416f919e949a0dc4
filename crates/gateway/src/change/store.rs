//! Changes that were judged, stored in one deposit for each record, and what is told of them.

use bytes::Bytes;
use http::StatusCode;
use sealwort_fhir::{IssueCode, Resource, ResourceId, ResourceType, VersionId, present, same_content_but_id};
use sealwort_pki::UnixTime;
use sealwort_proto::Locator;
use sealwort_proto::record::{Change, Record as SealedRecord};

use super::links::Links;
use super::{Before, Does, Done, Group, Judged, JudgedGroup, Plan, Wanted, Writes};
use crate::Gateway;
use crate::consent::statements::StoredConsent;
use crate::deposit::Labelled;
use crate::error::GatewayError;
use crate::store_records::Written;
use crate::user::Asking;

impl Gateway {
    /// Stores what a group comes to. `None` where the record moved on.
    pub(super) async fn store_group(
        &self,
        plan: &Plan,
        group: &Group,
        judged: &JudgedGroup,
        mut links: Links,
        asking: &Asking,
    ) -> Result<Option<Vec<(usize, Done)>>, GatewayError> {
        let now = self.sessions.now();
        let mut pending: Vec<(usize, Writes)> = Vec::new();
        let mut done: Vec<(usize, Done)> = Vec::new();
        let mut learned = group.home.learned.clone();
        let mut consents: Vec<StoredConsent> = Vec::new();
        for member in &group.members {
            let (Some(wanted), Some(change)) = (plan.wanted.get(*member), judged.changes.get(member)) else { continue };
            match change.clone() {
                Judged::Is { id, version, changed, content } => {
                    let version = Some(version);
                    let kind = wanted.kind;
                    done.push((
                        *member,
                        Done { status: StatusCode::OK, kind, id, version, changed, content, queued: false },
                    ));
                }
                Judged::Nothing { id } => done.push((*member, gone(wanted.kind, id, None, now))),
                Judged::Writes(mut writes) => {
                    let within = |error: GatewayError| error.within(&wanted.expression);
                    self.check_not_given_up(wanted.kind, &writes.id).await.map_err(within)?;
                    if let Some(resource) = &writes.resource {
                        let resolved = self.resolved(resource, &mut links, group, plan.unresolved, asking).await;
                        writes.resource = Some(resolved.map_err(within)?);
                    }
                    learned.extend(self.check_patched(wanted, &writes, group).await.map_err(within)?);
                    if wanted.kind.as_str() == "Consent" {
                        if let Some(consent) = &writes.resource {
                            self.check_consent(consent, group.home.known).await.map_err(within)?;
                        }
                        consents.push((writes.id.clone(), writes.resource.clone()));
                    }
                    match self.unchanged(&writes, group).await? {
                        Some(before) => done.push((*member, same(wanted.kind, writes, before))),
                        None => pending.push((*member, writes)),
                    }
                }
            }
        }
        if pending.is_empty() {
            // Sent again: perhaps because it could not be enforced the first time.
            if let (Some(patient), false) = (group.home.known, consents.is_empty()) {
                self.enforce(patient, &consents).await?;
            }
            return Ok(Some(done));
        }
        let kind_of = |member: usize| plan.wanted.get(member).map(|wanted| wanted.kind);
        let records = pending.iter().filter_map(|(member, writes)| Some(labelled(kind_of(*member)?, writes)));
        let records = records.flatten().collect();
        let written = self.write(&group.home, records, asking, judged.basis, now).await?;
        // Without a basis another writer may have come between: then the version is not known.
        let exact = match &written {
            Written::Stored { after, .. } => !judged.basis.is_free() || judged.is_exact(*after),
            Written::Moved => return Ok(None),
            Written::Queued => false,
        };
        if !consents.is_empty() {
            let patient = match &written {
                Written::Stored { patient, .. } => Some(*patient),
                _ => group.home.known,
            };
            self.enforce(patient.ok_or_else(not_enforced)?, &consents).await?;
        }
        for (member, writes) in pending {
            let Some(wanted) = plan.wanted.get(member) else { continue };
            let mut one = written_one(wanted, writes, exact, now);
            if written == Written::Queued {
                one.queued = true;
                one.status = StatusCode::ACCEPTED;
            }
            done.push((member, one));
        }
        if let Written::Stored { patient, .. } = written {
            if let (false, Some(known)) = (learned.is_empty(), self.roster.known(patient).await?) {
                self.roster.put(&known, &learned).await?;
            }
            let deleted = |one: &Done| one.status == StatusCode::NO_CONTENT;
            let people = done.iter().map(|(_, one)| one).filter(|one| one.kind == ResourceType::PATIENT);
            for one in people.filter(|one| one.content.is_some() || deleted(one)) {
                self.note_person(patient, &one.id, one.changed, one.content.as_ref()).await?;
            }
        }
        Ok(Some(done))
    }

    /// A patch may not take a resource to another patient. New identifiers of a Patient are given back.
    async fn check_patched(
        &self,
        wanted: &Wanted,
        writes: &Writes,
        group: &Group,
    ) -> Result<Vec<Locator>, GatewayError> {
        let (Does::Patch(_), Some(resource)) = (&wanted.does, &writes.resource) else { return Ok(Vec::new()) };
        let home = self.home_of(resource, Some(&writes.id)).await?;
        if self.patient_at(&home).await? != self.patient_at(&group.home).await? {
            return Err(GatewayError::request(
                409,
                IssueCode::BusinessRule,
                "patient-differs",
                format!("the patched {} would be another patient's", wanted.kind),
                "delete it, and create it anew for that patient",
            ));
        }
        Ok(home.learned)
    }

    /// What is there, where an update says the same: no new version comes of it (FHIR R4, http.html#update). While
    /// other writes of the patient wait, what is there is not what will be.
    async fn unchanged(&self, writes: &Writes, group: &Group) -> Result<Option<Before>, GatewayError> {
        let (Some(before), Some(resource)) = (&writes.before, &writes.resource) else { return Ok(None) };
        let Some(content) = before.content.as_ref().filter(|_| before.label == Some(writes.label)) else {
            return Ok(None);
        };
        if !same_content_but_id(content, resource.bytes()) || self.waits_at(&group.home.locators).await? {
            return Ok(None);
        }
        Ok(Some(before.clone()))
    }
}

/// A Consent that waits for the exchange together with its patient's registration.
fn not_enforced() -> GatewayError {
    GatewayError::request(
        503,
        IssueCode::Transient,
        "consent-not-enforced",
        "the exchange is away: the Consent is kept, and is not enforced yet",
        "send it again once the exchange is reachable",
    )
}

/// A change that makes no new version.
fn same(kind: ResourceType, writes: Writes, before: Before) -> Done {
    let Before { number, changed, content, .. } = before;
    let content = content.filter(|_| writes.shown);
    Done { status: StatusCode::OK, kind, id: writes.id, version: Some(number), changed, content, queued: false }
}

/// Something that is not there any more, or never was.
fn gone(kind: ResourceType, id: ResourceId, version: Option<u64>, now: UnixTime) -> Done {
    Done { status: StatusCode::NO_CONTENT, kind, id, version, changed: now, content: None, queued: false }
}

/// What became of a change that was written.
fn written_one(wanted: &Wanted, writes: Writes, exact: bool, now: UnixTime) -> Done {
    let Writes { id, before, resource, shown: may_see, .. } = writes;
    let existed = before.as_ref().is_some_and(|before| before.content.is_some());
    let created = matches!(wanted.does, Does::Create { id: super::NewId::Fresh, .. });
    let version = before.map(|before| before.number + 1).filter(|_| exact || created);
    let Some(resource) = resource else { return gone(wanted.kind, id, version, now) };
    Done {
        status: if existed { StatusCode::OK } else { StatusCode::CREATED },
        kind: wanted.kind,
        content: version.filter(|_| may_see).and_then(|version| shown(&resource, &id, version, now)),
        id,
        version,
        changed: now,
        queued: false,
    }
}

fn shown(resource: &Resource, id: &ResourceId, version: u64, now: UnixTime) -> Option<Bytes> {
    let at = crate::face::reply::date(now)?;
    Some(present(resource, id, VersionId::new(version), at).bytes().clone())
}

/// What a version becomes in the log.
fn labelled(kind: ResourceType, writes: &Writes) -> impl Iterator<Item = Labelled> + use<> {
    let (change, content) = match &writes.resource {
        Some(resource) => (Change::Put, resource.bytes().to_vec()),
        None => (Change::Delete, Vec::new()),
    };
    let record =
        SealedRecord { change, resource_type: kind.as_str().to_owned(), id: writes.id.as_str().to_owned(), content };
    let before = writes.before.as_ref().and_then(|before| before.label);
    Labelled { record, label: writes.label }.after(before)
}
