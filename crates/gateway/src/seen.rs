//! A record as one request may see it: the patient held open, through what the token's scopes allow. Everything that
//! is read, searched, counted or followed goes through here, before anything is matched, so that nothing about what is
//! hidden shows in an answer. What consent withholds never was in the record: its key was not given.

use std::collections::HashMap;
use std::sync::Arc;

use sealwort_fhir::search::{Corpus, Document, Handling, Ordinal, Query, Visible};
use sealwort_fhir::{IssueCode, Resource, ResourceId, ResourceType};
use sealwort_proto::Pseudonym;
use sealwort_smart::{Action, Context, Permission};

use crate::Gateway;
use crate::error::GatewayError;
use crate::user::Asking;
use crate::view::{Held, PatientView, Version, millis, ordinal};

/// What a token allows to do with resources of one type in one record.
pub(crate) enum Allowed {
    /// Nothing.
    Nothing,
    /// Everything.
    Everything,
    /// What one of these searches finds.
    Found(Vec<Query>),
}

impl Allowed {
    /// What the scopes say. Scopes about a patient count for that patient's record alone.
    pub(crate) fn by(
        asking: &Asking,
        record: Record,
        action: Action,
        kind: ResourceType,
    ) -> Result<Self, GatewayError> {
        if asking.delegation.as_ref().is_some_and(|delegation| !delegation.allows(action, kind)) {
            return Ok(Self::Nothing);
        }
        let mut queries = Vec::new();
        for context in [Context::User, Context::System, Context::Patient] {
            if context == Context::Patient && record == Record::AnotherPatient {
                continue;
            }
            match asking.scopes.permits(context, action, kind.as_str()) {
                Permission::Denied => {}
                Permission::All => return Ok(Self::Everything),
                Permission::Where(filters) => {
                    for filter in filters {
                        queries.push(filter_query(kind, filter)?);
                    }
                }
            }
        }
        Ok(if queries.is_empty() { Self::Nothing } else { Self::Found(queries) })
    }

    /// The resources of a type that it allows.
    pub(crate) fn visible(&self, corpus: &Corpus, kind: ResourceType) -> Visible {
        let all = corpus.of_type(kind).iter().copied();
        match self {
            Self::Nothing => Visible::only([]),
            Self::Everything => Visible::only(all),
            Self::Found(queries) => {
                let filters: Vec<_> = queries.iter().map(|query| query.filter(corpus, &Visible::Everything)).collect();
                let allowed = |at: &Ordinal| {
                    let document = corpus.document(*at);
                    document.is_some_and(|document| filters.iter().any(|filter| filter.accepts(document)))
                };
                Visible::only(all.filter(allowed))
            }
        }
    }

    /// Whether it allows this document, of the corpus or about to be written to it.
    fn allows(&self, corpus: &Corpus, document: &Document) -> bool {
        match self {
            Self::Nothing => false,
            Self::Everything => true,
            Self::Found(queries) => {
                queries.iter().any(|query| query.filter(corpus, &Visible::Everything).accepts(document))
            }
        }
    }
}

/// A filter that cannot be judged grants nothing: the whole request fails.
fn filter_query(kind: ResourceType, filter: &str) -> Result<Query, GatewayError> {
    let unusable = || {
        GatewayError::request(
            403,
            IssueCode::Forbidden,
            "scope-filter-unsupported",
            format!("the token's scope for {kind} has a filter that this server cannot apply"),
            "ask for a token with another scope",
        )
    };
    let parameters = crate::face::request::form(filter).map_err(|_| unusable())?;
    Query::parse(Some(kind), &parameters, Handling::Scope).map_err(|_| unusable())
}

/// Whose record it is, from where the token stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Record {
    /// Of the patient whom the token is about.
    InContext,
    /// Of somebody else, or the token is about nobody.
    AnotherPatient,
}

/// An open patient, through the scopes of one request.
pub(crate) struct Seen {
    pub(crate) view: Arc<PatientView>,
    /// Whether entries were left out because nobody asked for their labels.
    asks_for_some: bool,
    allowed: HashMap<ResourceType, Allowed>,
    /// Newest versions that may be seen.
    visible: Visible,
}

impl Seen {
    /// What may be seen for this action: reading or searching.
    pub(crate) fn new(view: Arc<PatientView>, asking: &Asking, action: Action) -> Result<Self, GatewayError> {
        let record = if asking.context.is_some_and(|context| view.stands_for(context)) {
            Record::InContext
        } else {
            Record::AnotherPatient
        };
        let mut allowed = HashMap::new();
        let mut everything = true;
        for kind in view.kinds() {
            let by_scopes = Allowed::by(asking, record, action, kind)?;
            everything &= matches!(by_scopes, Allowed::Everything);
            allowed.insert(kind, by_scopes);
        }
        let visible = if everything {
            Visible::Everything
        } else {
            let corpus = view.corpus();
            let shown = |(kind, allowed): (&ResourceType, &Allowed)| {
                let visible = allowed.visible(corpus, *kind);
                corpus.of_type(*kind).iter().copied().filter(move |at| visible.shows(*at))
            };
            Visible::only(allowed.iter().flat_map(shown))
        };
        let asks_for_some = asking.delegation.as_ref().is_some_and(|one| !one.labels.is_empty());
        Ok(Self { view, asks_for_some, allowed, visible })
    }

    /// How many entries the patient's consent withholds from this hospital. A delegate with labels of their own asked for
    /// those alone: how many others there are is not theirs to know.
    pub(crate) fn withheld(&self) -> u64 {
        if self.asks_for_some { 0 } else { self.view.withheld }
    }

    /// Whether there is more than was asked for, as far as whoever asks may know.
    pub(crate) const fn asks_for_some(&self) -> bool {
        self.asks_for_some
    }

    /// Whether this version may be seen: an older one by its own content.
    pub(crate) fn shows_version(&self, held: &Held, version: &Version) -> bool {
        match self.allowed.get(&held.kind) {
            Some(Allowed::Everything) => true,
            Some(allowed @ Allowed::Found(_)) => version.content.as_ref().is_some_and(|content| {
                let resource = Resource::parse(content.clone());
                let tree = resource.and_then(|resource| resource.json());
                tree.is_ok_and(|tree| {
                    let document = Document::read(held.kind, held.id.as_str(), millis(version.changed), &tree);
                    allowed.allows(self.view.corpus(), &document)
                })
            }),
            Some(Allowed::Nothing) | None => false,
        }
    }

    /// A resource that may be seen, deleted or not.
    pub(crate) fn find(&self, kind: ResourceType, id: &ResourceId) -> Option<&Held> {
        let place = self.view.place(kind, id.as_str())?;
        let held = self.view.at(place)?;
        let shown = match &held.newest().content {
            Some(_) => self.shows(place),
            // That it was deleted is told where all of the type may be seen.
            None => matches!(self.allowed.get(&kind), Some(Allowed::Everything)),
        };
        shown.then_some(held)
    }

    /// Places that may be seen, of resources that are not deleted.
    pub(crate) fn places(&self) -> impl Iterator<Item = (usize, &Held)> {
        self.view.all().filter(|(place, held)| held.newest().content.is_some() && self.shows(*place))
    }

    /// The same for searches.
    pub(crate) fn visible(&self) -> &Visible {
        &self.visible
    }

    fn shows(&self, place: usize) -> bool {
        ordinal(place).is_some_and(|at| self.visible.shows(at))
    }
}

impl Gateway {
    /// Whose record it is, from where the token stands.
    pub(crate) fn record_of(&self, patient: Pseudonym, asking: &Asking) -> Record {
        let stands = asking.context.is_some_and(|context| self.roster.are_one(context, patient));
        if stands { Record::InContext } else { Record::AnotherPatient }
    }
}

/// Whether a token has any business with a record: one about a single patient has none with others.
pub(crate) fn concerns(patient: Pseudonym, asking: &Asking) -> bool {
    asking.scopes.has_context(Context::User)
        || asking.scopes.has_context(Context::System)
        || asking.context == Some(patient)
}

/// Refuses what the scopes do not allow for any resource of the type, whatever the record.
pub(crate) fn check_scope(asking: &Asking, action: Action, kind: ResourceType) -> Result<(), GatewayError> {
    match Allowed::by(asking, Record::InContext, action, kind)? {
        Allowed::Nothing => Err(scope_lacks(kind, action)),
        _ => Ok(()),
    }
}

/// Refuses a write that the scopes do not allow: the resource as it is to be, or as it was, must satisfy their filters.
pub(crate) fn check_write(
    asking: &Asking,
    record: Record,
    action: Action,
    resource: &Resource,
    id: &ResourceId,
    view: Option<&PatientView>,
) -> Result<(), GatewayError> {
    let kind = resource.resource_type();
    let allowed = Allowed::by(asking, record, action, kind)?;
    let satisfied = match &allowed {
        Allowed::Everything => true,
        Allowed::Nothing => false,
        Allowed::Found(_) => {
            let document = Document::read(kind, id.as_str(), 0, &resource.json()?);
            let nothing = Corpus::default();
            allowed.allows(view.map_or(&nothing, PatientView::corpus), &document)
        }
    };
    if satisfied { Ok(()) } else { Err(scope_lacks(kind, action)) }
}

pub(crate) fn scope_lacks(kind: ResourceType, action: Action) -> GatewayError {
    let verb = match action {
        Action::Create => "create",
        Action::Read => "read",
        Action::Update => "update",
        Action::Delete => "delete",
        Action::Search => "search",
    };
    GatewayError::request(
        403,
        IssueCode::Forbidden,
        "scope-insufficient",
        format!("the token's scopes do not allow to {verb} this {kind}"),
        "ask for a token with a scope that does, such as user/*.cruds",
    )
}
