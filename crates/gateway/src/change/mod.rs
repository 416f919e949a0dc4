//! Changes of records as FHIR asks for them: created, updated, patched and deleted resources, with their conditions,
//! judged against the record as it stands and stored in one deposit for each record. What was judged holds when it is
//! stored: where the log moved on meanwhile, everything is judged anew.

mod judge;
mod links;
mod store;

use std::collections::HashMap;

use bytes::Bytes;
use http::StatusCode;
use sealwort_fhir::{Branch, IssueCode, Label, Resource, ResourceId, ResourceType};
use sealwort_pki::UnixTime;
use sealwort_proto::receipt::Witness;

use crate::Gateway;
use crate::deposit::Basis;
use crate::error::GatewayError;
use crate::home::Home;
use crate::user::Asking;

/// Times that changes are judged anew because the record moved on.
const JUDGED_MAX: usize = 10;

/// What is done with a resource.
#[derive(Debug, Clone)]
pub(crate) enum Does {
    /// Under an id that this server assigns, unless the search of `If-None-Exist` finds one.
    Create { if_none_exist: Option<String>, id: NewId },
    /// Of the resource named, or of the one that a search finds.
    Update { search: Option<String> },
    /// By a JSON Patch.
    Patch(Bytes),
    /// Once and for all.
    Delete,
}

/// What is known of the id under which something is created.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NewId {
    /// Nothing has it.
    Fresh,
    /// The record may hold a resource by that id already.
    Brought,
}

/// A change that is asked for.
#[derive(Debug, Clone)]
pub(crate) struct Wanted {
    pub(crate) does: Does,
    pub(crate) kind: ResourceType,
    /// The id in the URL; for what is created, the id that it gets; for a conditional update, what the resource says.
    pub(crate) id: Option<ResourceId>,
    /// The resource as it was received; none for patches and deletions.
    pub(crate) resource: Option<Resource>,
    /// The label that its Bundle gives it; else its own codings say. Rules can make it stricter.
    pub(crate) label: Option<Label>,
    pub(crate) if_match: Option<String>,
    pub(crate) if_none_match: Option<String>,
    /// Where it stands, for errors: `Bundle.entry[3]`, or nothing for a request of its own.
    pub(crate) expression: String,
    /// The URL by which others in the Bundle refer to it.
    pub(crate) full_url: Option<String>,
}

/// The changes of one record.
#[derive(Debug, Clone)]
pub(crate) struct Group {
    pub(crate) home: Home,
    /// Which of those wanted.
    pub(crate) members: Vec<usize>,
}

/// What became of a change.
#[derive(Debug, Clone)]
pub(crate) struct Done {
    pub(crate) status: StatusCode,
    pub(crate) kind: ResourceType,
    pub(crate) id: ResourceId,
    /// The version that was made or found; none where it cannot be known.
    pub(crate) version: Option<u64>,
    pub(crate) changed: UnixTime,
    /// The resource as this server shows it.
    pub(crate) content: Option<Bytes>,
    /// Whether it waits for the exchange.
    pub(crate) queued: bool,
}

/// What to do with a conditional reference that leads nowhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unresolved {
    /// Refuse it (FHIR R4, http.html#trules).
    Refuse,
    /// Store it as it came.
    Keep,
}

/// Changes and where they go.
pub(crate) struct Plan {
    pub(crate) wanted: Vec<Wanted>,
    pub(crate) groups: Vec<Group>,
    pub(crate) unresolved: Unresolved,
}

/// A change, judged.
#[derive(Clone)]
enum Judged {
    /// It makes a version.
    Writes(Writes),
    /// It is there already.
    Is { id: ResourceId, version: u64, changed: UnixTime, content: Option<Bytes> },
    /// There is nothing to be done, and nothing to be told.
    Nothing { id: ResourceId },
}

/// A version to be made.
#[derive(Clone)]
struct Writes {
    id: ResourceId,
    /// What there is before, where that is known.
    before: Option<Before>,
    /// The resource; none for a deletion.
    resource: Option<Resource>,
    label: Branch,
    /// Whether the one who writes it may read it.
    shown: bool,
}

/// The version before.
#[derive(Clone)]
struct Before {
    /// 0 where there was none.
    number: u64,
    changed: UnixTime,
    /// What it holds, unless it is a deletion.
    content: Option<Bytes>,
    label: Option<Branch>,
}

impl Judged {
    fn id(&self) -> &ResourceId {
        match self {
            Self::Writes(Writes { id, .. }) | Self::Is { id, .. } | Self::Nothing { id } => id,
        }
    }
}

/// The changes of one record, judged against what it holds.
struct JudgedGroup {
    changes: HashMap<usize, Judged>,
    basis: Basis,
    /// How far the record had been read; its beginning where there was none.
    read_at: Option<Witness>,
}

impl JudgedGroup {
    /// Whether what was written after this head followed what had been judged.
    fn is_exact(&self, after: Option<Witness>) -> bool {
        match (after, self.read_at) {
            (Some(after), Some(read)) => after == read,
            (Some(after), None) => after.sequence == 0,
            (None, _) => false,
        }
    }
}

impl Gateway {
    /// Carries out a plan: record by record, each all or none.
    pub(crate) async fn carry_out(&self, plan: &Plan, asking: &Asking) -> Result<Vec<Done>, GatewayError> {
        if let Some(one) = plan.wanted.iter().find(|one| one.kind == ResourceType::SUBSCRIPTION) {
            return Err(subscription_alone().at(one.expression.clone()));
        }
        let mut done: Vec<Option<Done>> = vec![None; plan.wanted.len()];
        let mut ids: Vec<Option<ResourceId>> = plan.wanted.iter().map(|_| None).collect();
        // Everything is judged before anything is stored, since references lead from record to record.
        let mut judged = Vec::with_capacity(plan.groups.len());
        for group in &plan.groups {
            judged.push(self.judge_group(plan, group, &mut ids, asking).await?);
        }
        for (group, mut first) in plan.groups.iter().zip(judged) {
            let mut attempt = 1;
            loop {
                let links = links::of(plan, &ids, &first);
                match self.store_group(plan, group, &first, links, asking).await {
                    Ok(Some(stored)) => {
                        for (member, one) in stored {
                            if let Some(slot) = done.get_mut(member) {
                                *slot = Some(one);
                            }
                        }
                        break;
                    }
                    Ok(None) if attempt < JUDGED_MAX => {
                        attempt += 1;
                        first = self.judge_group(plan, group, &mut ids, asking).await?;
                    }
                    Ok(None) => return Err(busy()),
                    Err(error) => return Err(partly(error, plan, &done)),
                }
            }
        }
        done.into_iter().map(|one| one.ok_or(GatewayError::Kept("a change belongs to no record"))).collect()
    }
}

/// A plan of one change.
pub(crate) fn single(wanted: Wanted, home: Home, unresolved: Unresolved) -> Plan {
    Plan { wanted: vec![wanted], groups: vec![Group { home, members: vec![0] }], unresolved }
}

/// What a request of its own came to.
pub(crate) fn only(done: Vec<Done>) -> Result<Done, GatewayError> {
    done.into_iter().next().ok_or(GatewayError::Kept("a change came to nothing"))
}

/// A fresh logical id: 16 random bytes in hexadecimal.
pub(crate) fn fresh_id() -> Result<ResourceId, GatewayError> {
    let random = sealwort_proto::crypto::random::<16>();
    hex::encode(random).parse().map_err(|_| GatewayError::Kept("a fresh id is not valid"))
}

pub(crate) fn ambiguous(kind: ResourceType) -> GatewayError {
    GatewayError::request(
        412,
        IssueCode::MultipleMatches,
        "condition-ambiguous",
        format!("the condition matches more than one {kind}"),
        "name an identifier that only one of them has",
    )
}

/// Subscriptions are no part of a record.
fn subscription_alone() -> GatewayError {
    GatewayError::request(
        422,
        IssueCode::NotSupported,
        "subscription-alone",
        "a Subscription is kept beside the records and cannot be part of a transaction",
        "send it in a request of its own: POST Subscription, or as an entry of a batch",
    )
}

fn busy() -> GatewayError {
    GatewayError::request(
        409,
        IssueCode::Conflict,
        "log-busy",
        "others write to this patient at the same time",
        "try again in a moment",
    )
}

/// Says what of a plan was stored before it failed: records are all or none each, and not together.
fn partly(error: GatewayError, plan: &Plan, done: &[Option<Done>]) -> GatewayError {
    let stored: Vec<&str> = plan
        .wanted
        .iter()
        .zip(done)
        .filter(|(_, done)| done.is_some())
        .map(|(wanted, _)| wanted.expression.as_str())
        .collect();
    if stored.is_empty() {
        return error;
    }
    error.and_note(format!("the Bundle has several patients, and these entries are stored: {}", stored.join(", ")))
}
