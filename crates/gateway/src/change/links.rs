//! Links of a transaction: from entry to entry by their URLs, and conditional references, which are searches.

use std::collections::BTreeMap;

use sealwort_fhir::{IssueCode, Resource, ResourceId, ResourceType, conditional_references, rewrite_references};
use sealwort_smart::Action;

use super::judge::matching;
use super::{Group, JudgedGroup, Plan, Unresolved, ambiguous};
use crate::Gateway;
use crate::error::GatewayError;
use crate::face::request::form;
use crate::seen::Seen;
use crate::user::Asking;

/// Where the references of one record's resources lead.
pub(super) struct Links {
    /// By the URLs of the Bundle's entries.
    entries: BTreeMap<String, String>,
    /// By conditional references, as far as they were looked up; none where one leads nowhere.
    conditional: BTreeMap<String, Option<String>>,
}

/// Where the URLs by which entries refer to each other lead. What several records share may have an id of its own in
/// each of them; the one of this group counts.
pub(super) fn of(plan: &Plan, ids: &[Option<ResourceId>], group: &JudgedGroup) -> Links {
    let mut links = BTreeMap::new();
    for (member, wanted) in plan.wanted.iter().enumerate() {
        let id = group.changes.get(&member).map(super::Judged::id).or_else(|| ids.get(member)?.as_ref());
        let (Some(url), Some(id)) = (&wanted.full_url, id) else { continue };
        let target = format!("{}/{id}", wanted.kind);
        if let Some((_, tail)) = url.rsplit_once(&format!("/{}/", wanted.kind)) {
            let relative = format!("{}/{tail}", wanted.kind);
            if relative != target {
                links.insert(relative, target.clone());
            }
        }
        links.insert(url.clone(), target);
    }
    Links { entries: links, conditional: BTreeMap::new() }
}

impl Gateway {
    /// A resource with its links to others of the Bundle, and its conditional references, resolved.
    pub(super) async fn resolved(
        &self,
        resource: &Resource,
        links: &mut Links,
        group: &Group,
        unresolved: Unresolved,
        asking: &Asking,
    ) -> Result<Resource, GatewayError> {
        for found in conditional_references(resource)? {
            let reference = found.reference();
            if links.entries.contains_key(&reference) {
                continue;
            }
            if !links.conditional.contains_key(&reference) {
                let target = self.referred(found.resource_type, &found.query, group, asking).await?;
                links.conditional.insert(reference.clone(), target);
            }
            if unresolved == Unresolved::Refuse && links.conditional.get(&reference).is_some_and(Option::is_none) {
                return Err(leads_nowhere(found.resource_type).at(found.expression));
            }
        }
        if links.entries.is_empty() && links.conditional.is_empty() {
            return Ok(resource.clone());
        }
        let target = |link: &str| links.entries.get(link).or_else(|| links.conditional.get(link)?.as_ref()).cloned();
        Ok(rewrite_references(resource, target)?)
    }

    /// Where a conditional reference such as `Practitioner?identifier=system|value` leads: within the record, else
    /// among what is the hospital's own; to what the request may find, and to nothing else.
    async fn referred(
        &self,
        kind: ResourceType,
        query: &str,
        group: &Group,
        asking: &Asking,
    ) -> Result<Option<String>, GatewayError> {
        if kind == ResourceType::PATIENT {
            let parameters = form(query)?;
            let identifier = parameters.iter().find(|(name, _)| name == "identifier").map(|(_, value)| value);
            let Some(token) = identifier else { return Ok(None) };
            return self.patient_reference(token, asking).await;
        }
        for home in [&group.home, &self.own_home().await?] {
            let Some(patient) = self.patient_at(home).await? else { continue };
            let Ok(view) = self.open(patient, asking).await else { continue };
            let seen = Seen::new(view, asking, Action::Search)?;
            match matching(kind, query, Some(&seen))?.as_slice() {
                [] => {}
                [one] => return Ok(Some(format!("{kind}/{one}"))),
                _ => return Err(ambiguous(kind)),
            }
        }
        Ok(None)
    }
}

fn leads_nowhere(kind: ResourceType) -> GatewayError {
    GatewayError::request(
        422,
        IssueCode::NotFound,
        "reference-unresolved",
        format!("the conditional reference to a {kind} matches nothing that this hospital holds"),
        format!(
            "load the {kind} first (for data of Synthea: the files hospitalInformation and practitionerInformation), \
             or send Prefer: handling=lenient to keep the reference as it is"
        ),
    )
}
