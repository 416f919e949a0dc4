//! Searches: of a type, of the system, and within a patient's compartment, by GET and POST. A search runs over one
//! record, or, for Patients that nobody names, over the hospital's own roster.

use std::borrow::Cow;
use std::sync::Arc;

use http::StatusCode;
use sealwort_fhir::compartment::patient_elements;
use sealwort_fhir::response::{PageLinks, SearchEntry, SearchMode, searchset};
use sealwort_fhir::search::{Found, Handling, PatientNamed, Position, Query, Visible};
use sealwort_fhir::subset::Subset;
use sealwort_fhir::{Issue, IssueCode, Outcome, Resource, ResourceId, ResourceType, Severity};
use sealwort_proto::Pseudonym;
use sealwort_proto::codec::Blob;
use sealwort_smart::Action;

use super::cursor::{Cursor, PARAMETER, Resume};
use super::reply::{Reply, subset};
use super::request::{Ask, Strictness, borrowed, form, with_query};
use super::table::Interaction;
use crate::Gateway;
use crate::error::GatewayError;
use crate::seen::{Seen, check_scope};
use crate::user::Asking;

/// Media type of a search in a body.
const FORM_MEDIA: &str = "application/x-www-form-urlencoded";

const UNKNOWN: &str = "no such patient is known at this hospital";
const NOTHING: &str = "no such resource is known at this hospital";
/// Most bytes of a search's parameters: they come back in the links to further pages.
const PARAMETERS_BYTES_MAX: usize = 6 * 1024;

/// What a search runs over.
enum Over {
    Record(Pseudonym),
    /// The record that holds the resource asked for.
    Holding(Pseudonym, ResourceId),
    Roster,
    /// What this user or app subscribed to.
    Subscriptions,
    /// Nothing that this hospital knows, and why.
    Nobody(&'static str),
}

/// The parameters with the Patients that were given up led on to those that stand for them.
pub(crate) async fn surviving(
    gateway: &Gateway,
    mut parameters: Vec<(String, String)>,
) -> Result<Vec<(String, String)>, GatewayError> {
    for (name, value) in &mut parameters {
        let is_patient = matches!(name.split(':').next(), Some("patient" | "subject"));
        let id = if is_patient { value.strip_prefix("Patient/").unwrap_or(value) } else { continue };
        if let Some(target) = gateway.given_up(id).await? {
            *value = format!("Patient/{target}");
        }
    }
    Ok(parameters)
}

/// `GET [type]?…`, `POST [type]/_search`, `GET [base]?…`, `GET Patient/[id]/[type]?…`
pub(super) async fn search(gateway: &Arc<Gateway>, ask: &Ask) -> Result<Reply, GatewayError> {
    let kind = match ask.place.does {
        Interaction::SearchSystem => None,
        _ => Some(ask.place.kind()?),
    };
    if let Some(kind) = kind {
        check_scope(&ask.asking, Action::Search, kind)?;
    }
    let Asked { parameters, resumed, position, handling } = asked(gateway, ask)?;
    let parameters = surviving(gateway, parameters).await?;
    let query = Query::parse(kind, &parameters, handling)?;
    check_links(&query, &ask.asking)?;
    let over = match resumed.as_ref().map(|cursor| &cursor.record) {
        Some(Some(record)) => Over::Record(Pseudonym::from_slice(record.as_ref()).ok_or_else(super::cursor::unusable)?),
        Some(None) if kind == Some(ResourceType::SUBSCRIPTION) => Over::Subscriptions,
        Some(None) => Over::Roster,
        None => over(gateway, ask, kind, &query).await?,
    };
    let over = match over {
        // A token about one patient learns nothing of others, not even whether they are known.
        Over::Record(patient) if !gateway.concerns(patient, &ask.asking) => Over::Nobody(UNKNOWN),
        Over::Holding(patient, _) if !gateway.concerns(patient, &ask.asking) => Over::Nobody(NOTHING),
        over => over,
    };
    let path = path(ask);
    let page = Page { gateway, query: &query, position: position.as_ref(), path: &path, subset: subset(&parameters)? };
    match &over {
        Over::Record(patient) | Over::Holding(patient, _) => {
            let patient = *patient;
            let view = gateway.open(patient, &ask.asking).await?;
            let seen = Seen::new(view, &ask.asking, Action::Search)?;
            // What may not be seen in a record leads to no record.
            if let (Over::Holding(_, id), Some(kind)) = (&over, kind)
                && seen.find(kind, id).is_none()
            {
                return Ok(Reply::resource(StatusCode::OK, page.nothing(NOTHING)));
            }
            let found = if outside_compartment(ask) {
                Found { total: Some(0), ..Found::default() }
            } else {
                query.run(seen.view.corpus(), seen.visible(), page.position)
            };
            let content = |at| {
                let held = seen.view.at(usize::try_from(at).ok()?)?;
                ask.asking.trail.shows(seen.view.patient, held.kind, held.id.as_str());
                Some((held.kind, held.id.as_str().to_owned(), held.newest().content.clone()?))
            };
            let notes = withheld(seen.withheld());
            let answer = page.answer(&found, Some(patient), content, notes);
            Ok(Reply::resource(StatusCode::OK, answer).of(&seen))
        }
        Over::Roster => {
            let shown = gateway.people_shown(&query, &ask.asking).await?;
            let found = query.run(shown.corpus(), shown.visible(), page.position);
            let content = |at| {
                let (patient, id, content) = shown.at(at)?;
                ask.asking.trail.shows(patient, ResourceType::PATIENT, &id);
                Some((ResourceType::PATIENT, id, content))
            };
            Ok(Reply::resource(StatusCode::OK, page.answer(&found, None, content, Vec::new())))
        }
        Over::Subscriptions => {
            let shown = gateway.subscriptions_of(&ask.asking)?;
            let found = query.run(&shown.corpus, &Visible::Everything, page.position);
            let content = |at| {
                let (id, content) = shown.at(at)?;
                Some((ResourceType::SUBSCRIPTION, id.to_owned(), content))
            };
            Ok(Reply::resource(StatusCode::OK, page.answer(&found, None, content, Vec::new())))
        }
        Over::Nobody(why) => Ok(Reply::resource(StatusCode::OK, page.nothing(why))),
    }
}

/// The parameters of a search, from URL, body or cursor, and where it goes on.
pub(super) struct Asked {
    pub(super) parameters: Vec<(String, String)>,
    resumed: Option<Cursor>,
    pub(super) position: Option<Position>,
    pub(super) handling: Handling,
}

pub(super) fn asked(gateway: &Gateway, ask: &Ask) -> Result<Asked, GatewayError> {
    let mut parameters = ask.parameters.clone();
    if !ask.body.is_empty() {
        if ask.media.as_deref() != Some(FORM_MEDIA) {
            return Err(GatewayError::request(
                415,
                IssueCode::NotSupported,
                "media-type-unsupported",
                "a search in a body is a form",
                format!("send Content-Type: {FORM_MEDIA}"),
            ));
        }
        let body = std::str::from_utf8(&ask.body).map_err(|_| super::cursor::unusable())?;
        parameters.extend(form(body)?);
    }
    let resumed = match parameters.iter().find(|(name, _)| name == PARAMETER) {
        Some((_, text)) => Some(Cursor::open(gateway, text)?),
        None => None,
    };
    let position = match &resumed {
        Some(Cursor { resume: Resume::Search(position), .. }) => Some(Position::from_bytes(position.as_ref())?),
        Some(_) => return Err(super::cursor::unusable()),
        None => None,
    };
    let parameters = match &resumed {
        Some(cursor) => resumed_parameters(cursor, &parameters)?,
        None => parameters,
    };
    if parameters.iter().map(|(name, value)| name.len() + value.len()).sum::<usize>() > PARAMETERS_BYTES_MAX {
        return Err(GatewayError::request(
            400,
            IssueCode::TooLong,
            "search-too-long",
            format!("the search's parameters have more than {PARAMETERS_BYTES_MAX} bytes"),
            "ask in parts",
        ));
    }
    let handling = match ask.prefer.strict {
        Strictness::Strict => Handling::Strict,
        Strictness::Usual | Strictness::Lenient => Handling::Lenient,
    };
    Ok(Asked { parameters, resumed, position, handling })
}

/// Refuses a chain or `_has` that could only go through types which the scopes do not let be searched: it would find
/// nothing, and that would look like an answer.
pub(crate) fn check_links(query: &Query, asking: &Asking) -> Result<(), GatewayError> {
    for types in query.links() {
        let mut refused = Ok(());
        for kind in types {
            refused = check_scope(asking, Action::Search, kind);
            if refused.is_ok() {
                break;
            }
        }
        refused?;
    }
    Ok(())
}

/// The parameters of a search that is gone on with. Beside the cursor only the number of matches may be given anew.
fn resumed_parameters(cursor: &Cursor, given: &[(String, String)]) -> Result<Vec<(String, String)>, GatewayError> {
    let mut parameters = cursor.parameters.clone();
    for (name, value) in given.iter().filter(|(name, _)| name != PARAMETER) {
        if name != "_count" {
            return Err(super::request::bad_parameter(name, "the cursor holds the whole search already"));
        }
        parameters.retain(|(name, _)| name != "_count");
        parameters.push((name.clone(), value.clone()));
    }
    Ok(parameters)
}

/// Which record a search is about.
async fn over(
    gateway: &Arc<Gateway>,
    ask: &Ask,
    kind: Option<ResourceType>,
    query: &Query,
) -> Result<Over, GatewayError> {
    let by_id = async |id: &str| {
        let known = gateway.patient_holding(ResourceType::PATIENT, id, &ask.asking.purpose).await?;
        Ok::<_, GatewayError>(known.map_or(Over::Nobody(UNKNOWN), Over::Record))
    };
    if ask.place.does == Interaction::SearchCompartment {
        return by_id(ask.place.id()?.as_str()).await;
    }
    if kind == Some(ResourceType::SUBSCRIPTION) {
        return Ok(Over::Subscriptions);
    }
    match query.patient_named() {
        Some(PatientNamed::Id(id)) => return by_id(id.as_str()).await,
        Some(PatientNamed::Identifier(token)) => match token.identifier() {
            Some(identifier) => {
                let known = gateway.find(&[gateway.directory.locator(&identifier)]).await?;
                return Ok(known.map_or(Over::Nobody(UNKNOWN), |known| Over::Record(known.patient)));
            }
            // Without its system an identifier leads to the patient in context, or to whom this hospital knows by it.
            None if kind == Some(ResourceType::PATIENT) => {
                return match &ask.asking.patient {
                    Some(context) => by_id(context.as_str()).await,
                    None => Ok(Over::Roster),
                };
            }
            None => return Err(ask_better("the patient's identifier needs its system: system|value")),
        },
        Some(PatientNamed::Several) => return Err(ask_better("the search names more than one patient")),
        None => {}
    }
    if let Some(context) = &ask.asking.patient {
        return by_id(context.as_str()).await;
    }
    if let (Some(kind), Some((_, id))) = (kind, query.parameters().iter().find(|(name, _)| name == "_id"))
        && kind != ResourceType::PATIENT
        && !id.contains(',')
    {
        let (Ok(id), holding) = (id.parse(), gateway.patient_holding(kind, id, &ask.asking.purpose).await?) else {
            return Ok(Over::Nobody(NOTHING));
        };
        return Ok(holding.map_or(Over::Nobody(NOTHING), |patient| Over::Holding(patient, id)));
    }
    match kind {
        Some(kind) if kind == ResourceType::PATIENT => Ok(Over::Roster),
        // What belongs to no patient is the hospital's own.
        Some(kind) if patient_elements(kind).next().is_none() => {
            let own = gateway.patient_at(&gateway.own_home().await?).await?;
            Ok(own.map_or(Over::Nobody("this hospital has stored nothing of its own"), Over::Record))
        }
        _ => Err(ask_better("the search names no patient, and records are searched one patient at a time")),
    }
}

/// A type that is in no patient's compartment has nothing there.
fn outside_compartment(ask: &Ask) -> bool {
    ask.place.does == Interaction::SearchCompartment
        && ask.place.kind.is_some_and(|kind| kind != ResourceType::PATIENT && patient_elements(kind).next().is_none())
}

/// What is needed to answer with one page.
pub(super) struct Page<'a> {
    pub(super) gateway: &'a Gateway,
    pub(super) query: &'a Query,
    pub(super) position: Option<&'a Position>,
    pub(super) path: &'a str,
    pub(super) subset: Option<Subset>,
}

impl Page<'_> {
    /// Nothing was found, and why.
    fn nothing(&self, why: &str) -> Vec<u8> {
        let note = Issue::new(Severity::Information, IssueCode::NotFound, "nothing-known", why)
            .diagnostics("a patient is found by an identifier first: GET Patient?identifier=system|value");
        let found = Found { total: Some(0), ..Found::default() };
        self.answer(&found, None, |_| None, vec![note])
    }

    pub(super) fn answer(
        &self,
        found: &Found,
        record: Option<Pseudonym>,
        content: impl Fn(u32) -> Option<(ResourceType, String, bytes::Bytes)>,
        mut notes: Vec<Issue>,
    ) -> Vec<u8> {
        let base = &self.gateway.base;
        let entry = |at: &sealwort_fhir::search::Ordinal, mode| {
            let (kind, id, content) = content(at.number())?;
            let content = match &self.subset {
                Some(subset) => Resource::parse(content.clone())
                    .map_or(content, |resource| sealwort_fhir::subset::subset(&resource, subset)),
                None => content,
            };
            Some((format!("{base}/{kind}/{id}"), content, mode))
        };
        let matches = found.matches.iter().filter_map(|at| entry(at, SearchMode::Match));
        let included = found.included.iter().filter_map(|at| entry(at, SearchMode::Include));
        let shown: Vec<_> = matches.chain(included).collect();
        for name in self.query.ignored() {
            let text = format!("the parameter {name} is not known here and was left out");
            notes.push(Issue::new(Severity::Warning, IssueCode::NotSupported, "parameter-ignored", text));
        }
        if found.included_cut {
            let text = "more would come along than fits one page";
            notes.push(Issue::new(Severity::Warning, IssueCode::Incomplete, "included-cut", text));
        }
        let mut entries: Vec<_> = shown
            .iter()
            .map(|(url, content, mode)| SearchEntry {
                full_url: Some(url.clone()),
                content: Cow::Borrowed(content.as_ref()),
                mode: *mode,
            })
            .collect();
        if let Some(outcome) = Outcome::of(notes) {
            let content = Cow::Owned(outcome.to_bytes());
            entries.push(SearchEntry { full_url: None, content, mode: SearchMode::Outcome });
        }
        let path = format!("{base}{}", self.path);
        let next = found.next.as_ref().map(|position| {
            let cursor = Cursor {
                parameters: self.query.parameters().to_vec(),
                record: record.map(|patient| Blob(patient.as_bytes().to_vec())),
                resume: Resume::Search(Blob(position.to_bytes())),
            };
            // Some clients would set a number of their own where they see none.
            let count = self.query.count().to_string();
            with_query(&path, [(PARAMETER, cursor.seal(self.gateway).as_str()), ("_count", &count)])
        });
        let this = with_query(&path, borrowed(self.query.parameters()));
        let links = PageLinks { this, next };
        searchset(&entries, &links, found.total)
    }
}

/// Says that consent withholds something, as HL7 PHR-S FM PH.0#09 wants it.
fn withheld(entries: u64) -> Vec<Issue> {
    if entries == 0 {
        return Vec::new();
    }
    let text = format!("{entries} entries of this record are withheld: the patient's consent does not cover them");
    let issue = Issue::new(Severity::Information, IssueCode::Suppressed, "withheld", text);
    vec![issue.diagnostics("ask the patient's consent authority to grant more")]
}

/// The path of the search relative to the base, with its slash.
pub(super) fn path(ask: &Ask) -> String {
    match (ask.place.does, ask.place.kind, &ask.place.id) {
        (Interaction::SearchCompartment, Some(kind), Some(id)) => format!("/Patient/{id}/{kind}"),
        (Interaction::SearchEvents, _, Some(id)) => format!("/Patient/{id}/AuditEvent"),
        (_, Some(kind), _) => format!("/{kind}"),
        _ => String::new(),
    }
}

fn ask_better(text: &str) -> GatewayError {
    GatewayError::request(
        400,
        IssueCode::NotSupported,
        "search-unsupported",
        text,
        "ask for one patient: Patient?identifier=system|value, [type]?patient=id, [type]?patient.identifier=system|value, \
         or Patient/id/$everything",
    )
}
