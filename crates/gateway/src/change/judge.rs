//! What a change comes to, judged against the record as the request may see it. What its scopes hide is as good as
//! absent: no condition finds it, and no refusal tells that it is there.

use std::collections::HashMap;
use std::sync::Arc;

use sealwort_fhir::search::{Document, Handling, Query};
use sealwort_fhir::{Branch, IssueCode, LabelRules, Resource, ResourceId, ResourceType, label_of, patch};
use sealwort_pki::UnixTime;
use sealwort_proto::Pseudonym;
use sealwort_smart::Action;

use super::{Before, Does, Group, Judged, JudgedGroup, NewId, Plan, Wanted, Writes, ambiguous, fresh_id};
use crate::Gateway;
use crate::deposit::Basis;
use crate::error::GatewayError;
use crate::face::reply::{etag, names_version};
use crate::face::request::{Strictness, form};
use crate::seen::{Allowed, Record, Seen, check_write, scope_lacks};
use crate::user::Asking;
use crate::view::{PatientView, Version};

/// How much of the record must be known to judge a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Needs {
    /// Nothing: a new resource under a new id.
    Nothing,
    /// Its version, where it may be read.
    Version,
    /// That a condition holds.
    Condition,
}

impl Needs {
    fn of(wanted: &Wanted) -> Self {
        let conditional = wanted.if_match.is_some() || wanted.if_none_match.is_some();
        match &wanted.does {
            Does::Create { if_none_exist: None, id: NewId::Fresh } => Self::Nothing,
            Does::Create { if_none_exist: None, id: NewId::Brought } => Self::Version,
            Does::Update { search: None } if !conditional => Self::Version,
            Does::Create { .. } | Does::Update { .. } | Does::Patch(_) | Does::Delete => Self::Condition,
        }
    }
}

/// The record that changes are judged against, as one request may see it.
struct Bench<'a> {
    asking: &'a Asking,
    rules: &'a LabelRules,
    /// Whose record it is, from where the token stands.
    record: Record,
    view: Option<Arc<PatientView>>,
    /// Whether there is no record yet.
    unwritten: bool,
    /// What may be found by a search, and what may be read.
    searched: Option<Seen>,
    read: Option<Seen>,
}

impl Gateway {
    /// Judges the changes of one record against what it holds.
    pub(super) async fn judge_group(
        &self,
        plan: &Plan,
        group: &Group,
        ids: &mut [Option<ResourceId>],
        asking: &Asking,
    ) -> Result<JudgedGroup, GatewayError> {
        let wanted = |member: usize| plan.wanted.get(member).ok_or(GatewayError::Kept("a group names nothing"));
        let mut needs = Needs::Nothing;
        for member in &group.members {
            needs = needs.max(Needs::of(wanted(*member)?));
        }
        let patient = self.patient_to_judge(group, needs, asking).await?;
        let written = match patient {
            Some(patient) => self.roster.is_registered(patient).await?.then_some(patient),
            None => None,
        };
        let mut unread = false;
        let view = match (needs, written) {
            (Needs::Nothing, _) | (_, None) => None,
            (Needs::Version, Some(patient)) => match self.open(patient, asking).await {
                Ok(view) => Some(view),
                Err(error) if error.is_away() || error.is_session_lost() => {
                    unread = true;
                    None
                }
                // Who may write and not read gets no version back.
                Err(error) if error.status() == 403 => None,
                Err(error) => return Err(error),
            },
            (Needs::Condition, Some(patient)) => Some(self.open(patient, asking).await?),
        };
        let basis = match (needs, &view) {
            (Needs::Condition, Some(view)) => Basis::Read(view.at),
            (Needs::Condition, None) => Basis::Unwritten,
            _ if unread => Basis::Unread,
            _ => Basis::Any,
        };
        let seen = |action| view.clone().map(|view| Seen::new(view, asking, action)).transpose();
        let bench = Bench {
            asking,
            rules: &self.label_rules,
            record: patient.map_or(Record::AnotherPatient, |patient| self.record_of(patient, asking)),
            unwritten: written.is_none() && needs > Needs::Nothing,
            searched: seen(Action::Search)?,
            read: seen(Action::Read)?,
            view,
        };
        let mut changes = HashMap::new();
        for member in &group.members {
            let one = wanted(*member)?;
            let within = |error: GatewayError| error.within(&one.expression);
            let withheld = self.withheld(one, &bench).await?;
            let known = ids.get(*member).cloned().flatten();
            let found = bench.judge(one, known, withheld).map_err(within)?;
            if let Some(slot) = ids.get_mut(*member) {
                *slot = Some(found.id().clone());
            }
            changes.insert(*member, found);
        }
        Ok(JudgedGroup { changes, basis, read_at: bench.view.map(|view| view.at) })
    }

    /// Whose record a group is, where that matters for judging. While the exchange is away, a patient who is not known
    /// here yet is as good as new, unless a condition is to be judged.
    async fn patient_to_judge(
        &self,
        group: &Group,
        needs: Needs,
        asking: &Asking,
    ) -> Result<Option<Pseudonym>, GatewayError> {
        if needs == Needs::Nothing && asking.context.is_none() {
            return Ok(group.home.known);
        }
        match self.patient_at(&group.home).await {
            Err(error) if needs != Needs::Condition && (error.is_away() || error.is_session_lost()) => Ok(None),
            outcome => outcome,
        }
    }

    /// Why what consent withholds is not overwritten: that would be done to nothing. Whoever chooses ids learns that one
    /// is taken, and no more: to a patch, a deletion and a condition it is not there.
    async fn withheld(&self, wanted: &Wanted, bench: &Bench<'_>) -> Result<Option<GatewayError>, GatewayError> {
        let (Some(view), Some(id)) = (&bench.view, &wanted.id) else { return Ok(None) };
        let may_be_hidden = matches!(wanted.does, Does::Update { .. })
            && view.withheld > 0
            && view.place(wanted.kind, id.as_str()).is_none();
        if !may_be_hidden {
            return Ok(None);
        }
        let owner = self.roster.by_resource(wanted.kind.as_str(), id.as_str()).await?;
        if !owner.is_some_and(|owner| view.stands_for(owner)) {
            return Ok(None);
        }
        Ok(Some(GatewayError::withheld_resource()))
    }
}

impl Bench<'_> {
    fn judge(
        &self,
        wanted: &Wanted,
        known: Option<ResourceId>,
        withheld: Option<GatewayError>,
    ) -> Result<Judged, GatewayError> {
        let id = match &wanted.does {
            Does::Create { if_none_exist: Some(query), .. } => match self.matching(wanted.kind, query)?.as_slice() {
                [one] => return self.is_there(wanted, one),
                [] => known.or_else(|| wanted.id.clone()),
                _ => return Err(ambiguous(wanted.kind)),
            },
            Does::Update { search: Some(query) } => match self.matching(wanted.kind, query)?.as_slice() {
                [] => known.or_else(|| wanted.id.clone()),
                [one] => match &wanted.id {
                    Some(own) if own != one => return Err(other_id(wanted.kind, one)),
                    _ => Some(one.clone()),
                },
                _ => return Err(ambiguous(wanted.kind)),
            },
            _ => wanted.id.clone(),
        };
        let id = match id {
            Some(id) => id,
            None => fresh_id()?,
        };
        let newest =
            self.view.as_ref().and_then(|view| view.get(wanted.kind, id.as_str())).map(crate::view::Held::newest);
        let current = newest.and_then(|newest| newest.content.as_ref());
        // Withheld by consent or never there: answered alike, whatever version is asked for.
        match (newest, &wanted.does) {
            (None, Does::Delete) => return Ok(Judged::Nothing { id }),
            (None, Does::Patch(_)) => return Err(crate::face::read::not_found()),
            _ => {}
        }
        if let Some(current) = current
            && let Some(hidden) = self.check_current(wanted, &id, current)?
        {
            return Ok(hidden);
        }
        self.check_unread(wanted)?;
        check_conditions(wanted, newest.map(|newest| newest.number))?;
        if let Some(error) = withheld {
            return Err(error);
        }
        let resource = match &wanted.does {
            Does::Create { .. } | Does::Update { .. } => wanted.resource.clone(),
            Does::Patch(operations) => {
                let current = current.ok_or_else(crate::face::read::not_found)?;
                let patched = patch::apply(&Resource::parse(current.clone())?, operations)?;
                crate::face::validate::check(&patched, Strictness::Usual)?;
                Some(patched)
            }
            Does::Delete => None,
        };
        match &resource {
            Some(resource) => {
                let action = if current.is_none() { Action::Create } else { Action::Update };
                check_write(self.asking, self.record, action, resource, &id, self.view.as_deref())?;
            }
            None if current.is_none() => return Ok(Judged::Nothing { id }),
            None => {}
        }
        // Who writes and may not read is not shown what comes of it.
        let shown = match &resource {
            Some(resource) => {
                check_write(self.asking, self.record, Action::Read, resource, &id, self.view.as_deref()).is_ok()
            }
            None => false,
        };
        let label = self.label(wanted, resource.as_ref(), newest)?;
        let before_is_known =
            self.view.is_some() || self.unwritten || matches!(wanted.does, Does::Create { id: NewId::Fresh, .. });
        let before = before_is_known.then(|| Before {
            number: newest.map_or(0, |newest| newest.number),
            changed: newest.map_or(UnixTime::from_secs(0), |newest| newest.changed),
            content: current.cloned(),
            label: newest.map(|newest| newest.label),
        });
        Ok(Judged::Writes(Writes { id, before, resource, label, shown }))
    }

    /// What a search finds in the record, of what the request may find.
    fn matching(&self, kind: ResourceType, query: &str) -> Result<Vec<ResourceId>, GatewayError> {
        matching(kind, query, self.searched.as_ref())
    }

    /// A conditional create that finds its resource: told with its content to those alone who may read it.
    fn is_there(&self, wanted: &Wanted, id: &ResourceId) -> Result<Judged, GatewayError> {
        if let Some(resource) = &wanted.resource {
            check_write(self.asking, self.record, Action::Create, resource, id, self.view.as_deref())?;
        }
        let held = self.view.as_ref().and_then(|view| view.get(wanted.kind, id.as_str()));
        let newest = held.map(crate::view::Held::newest).ok_or(GatewayError::Kept("a match is not in its record"))?;
        let readable = self.read.as_ref().and_then(|seen| seen.find(wanted.kind, id)).is_some();
        let content = newest.content.clone().filter(|_| readable);
        Ok(Judged::Is { id: id.clone(), version: newest.number, changed: newest.changed, content })
    }

    /// What is overwritten, patched or deleted must be within the scopes. What may not even be read is not there.
    fn check_current(
        &self,
        wanted: &Wanted,
        id: &ResourceId,
        current: &bytes::Bytes,
    ) -> Result<Option<Judged>, GatewayError> {
        let action = if matches!(wanted.does, Does::Delete) { Action::Delete } else { Action::Update };
        let current = Resource::parse(current.clone())?;
        let Err(error) = check_write(self.asking, self.record, action, &current, id, self.view.as_deref()) else {
            return Ok(None);
        };
        let readable = |seen: &Option<Seen>| seen.as_ref().and_then(|seen| seen.find(wanted.kind, id)).is_some();
        match &wanted.does {
            _ if readable(&self.read) || readable(&self.searched) => Err(error),
            Does::Delete => Ok(Some(Judged::Nothing { id: id.clone() })),
            Does::Create { .. } | Does::Update { .. } => {
                check_conditions(wanted, None)?;
                Err(crate::face::read::not_found())
            }
            Does::Patch(_) => Err(crate::face::read::not_found()),
        }
    }

    /// Scopes with filters must be held against what is overwritten, which takes reading it.
    fn check_unread(&self, wanted: &Wanted) -> Result<(), GatewayError> {
        let overwrites = !matches!(wanted.does, Does::Create { id: NewId::Fresh, .. });
        if self.view.is_none() && !self.unwritten && overwrites {
            let allowed = Allowed::by(self.asking, self.record, Action::Update, wanted.kind)?;
            if matches!(allowed, Allowed::Found(_)) {
                return Err(scope_lacks(wanted.kind, Action::Update));
            }
        }
        Ok(())
    }

    /// Under which key the new version goes: what its sender said, made stricter by what the rules find.
    fn label(
        &self,
        wanted: &Wanted,
        resource: Option<&Resource>,
        newest: Option<&Version>,
    ) -> Result<Branch, GatewayError> {
        let by_itself =
            |resource: &Resource| Ok::<_, GatewayError>(Branch::of(resource, self.rules.label_of(resource)?)?);
        Ok(match (resource, newest) {
            // What is deleted or patched stays under the key that it was under, unless the patch labels it anew.
            (None, Some(newest)) => newest.label,
            (Some(patched), Some(newest)) if matches!(wanted.does, Does::Patch(_)) => {
                let before = newest.content.clone().map(Resource::parse).transpose()?;
                let before = before.map(|before| by_itself(&before)).transpose()?;
                let own = by_itself(patched)?;
                if before == Some(own) { newest.label } else { own }
            }
            (Some(resource), _) => {
                let sender = wanted.label.unwrap_or_else(|| label_of(resource));
                Branch::of(resource, sender.and(self.rules.label_of(resource)?))?
            }
            (None, None) => Branch::Administrative,
        })
    }
}

/// What a search finds in a record, of what a request may find.
pub(super) fn matching(kind: ResourceType, query: &str, seen: Option<&Seen>) -> Result<Vec<ResourceId>, GatewayError> {
    let parameters = form(query)?;
    if parameters.is_empty() {
        return Err(GatewayError::request(
            412,
            IssueCode::Required,
            "condition-empty",
            "the condition has no search parameter, so it would mean every resource",
            "name an identifier: identifier=system|value",
        ));
    }
    let query = Query::parse(Some(kind), &parameters, Handling::Strict)?;
    let Some(seen) = seen else { return Ok(Vec::new()) };
    let corpus = seen.view.corpus();
    let filter = query.filter(corpus, seen.visible());
    let visible = corpus.of_type(kind).iter().filter(|at| seen.visible().shows(**at));
    let found = visible.filter_map(|at| corpus.document(*at)).filter(|document| filter.accepts(document));
    Ok(found.map(Document::id).filter_map(|id| id.parse().ok()).collect())
}

fn check_conditions(wanted: &Wanted, version: Option<u64>) -> Result<(), GatewayError> {
    let differs = |text: String| {
        Err(GatewayError::request(
            412,
            IssueCode::Conflict,
            "version-differs",
            text,
            "read it again, then repeat the change with its ETag in If-Match",
        ))
    };
    if let Some(tags) = &wanted.if_match
        && !version.is_some_and(|version| names_version(tags, version))
    {
        let now = version.map_or_else(|| "none".to_owned(), etag);
        return differs(format!("the resource is at version {now}"));
    }
    if let (Some(tags), Some(version)) = (&wanted.if_none_match, version)
        && names_version(tags, version)
    {
        return differs(format!("the resource is there already, at version {}", etag(version)));
    }
    Ok(())
}

fn other_id(kind: ResourceType, found: &ResourceId) -> GatewayError {
    GatewayError::request(
        400,
        IssueCode::Invariant,
        "id-differs",
        format!("the search finds {kind}/{found}, and the resource has another id"),
        "send the resource without an id, or with the one that the search finds",
    )
    .at(format!("{kind}.id"))
}
