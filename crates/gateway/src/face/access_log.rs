//! Who had to do with a record: for the patient, what all three parties' logs hold, checked and joined; for readers of the
//! audit log, the gateway's own entries as FHIR AuditEvents. Nobody writes any of them.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use http::StatusCode;
use sealwort_audit::Event;
use sealwort_fhir::response::{PageLinks, SearchEntry, SearchMode, searchset};
use sealwort_fhir::search::{Corpus, Document, Ordinal, PatientNamed, Query, Visible, date_span};
use sealwort_fhir::{Issue, IssueCode, Outcome, ResourceId, ResourceType, Severity};
use sealwort_proto::Pseudonym;
use sealwort_smart::Action;
use sealwort_smart::oidc::PATIENT_ROLE;
use sealwort_store::AuditQuery;
use serde_json::Value;

use super::cursor::{Cursor, PARAMETER, Resume};
use super::reply::{Content, Reply, subset};
use super::request::{Ask, bad_parameter, borrowed, with_query};
use super::search::{Page, asked, path};
use crate::Gateway;
use crate::access_log::balp::{Scene, audit_event, id, own_number};
use crate::access_log::join::{Row, join, newest_first};
use crate::access_log::{AccessLog, Entry, Party};
use crate::error::GatewayError;
use crate::seen::{Allowed, Record};
use crate::user::Asking;

/// Rows on a page where the client names no number, and most.
const COUNT: usize = 100;
const COUNT_MAX: usize = 1000;
/// Most entries that one search runs over.
const SEARCHED_MAX: usize = 20_000;

/// `GET Patient/[id]/$access-log`: the newest first, by `date`, in pages; of a merged patient, of all identities.
pub(super) async fn access_log(gateway: &Arc<Gateway>, ask: &Ask) -> Result<Reply, GatewayError> {
    ask.knows(&["date", "_count", PARAMETER])?;
    let spans: Vec<_> = ask.parameters.iter().filter(|(name, _)| name == "date").map(|(_, date)| span(date)).collect();
    let spans: Vec<Span> = spans.into_iter().collect::<Result<_, _>>()?;
    let count = match ask.parameter("_count")? {
        Some(count) => count.parse::<usize>().map_err(|_| bad_parameter("_count", "it is a whole number"))?,
        None => COUNT,
    };
    let holding = named(gateway, &ask.asking, ask.place.id()?).await?;
    let all = logs_of(gateway, &ask.asking, holding).await?;
    let [own, broker, archive] = origins(&all)?;
    let mut rows = rows_of(gateway, &all)?;
    rows.retain(|row| spans.iter().all(|span| span.holds(row.lead.event.time)));
    let total = rows.len() as u64;
    let skip = match ask.parameter(PARAMETER)? {
        // Not by count: what was entered since then, and logs that come and go between pages, stand before it and after.
        Some(text) => match Cursor::open(gateway, text)?.resume {
            Resume::Row(last) => rows.partition_point(|row| row.position() >= last),
            Resume::Search(_) | Resume::History { .. } => return Err(super::cursor::unusable()),
        },
        None => 0,
    };
    let patient = ask.place.id()?.as_str();
    let ids = gateway.ids_of_identities(holding, patient).await?;
    let event = |row: &Row<'_>| {
        let patient = row.lead.event.patient.and_then(|patient| ids.get(&patient)).map(String::as_str);
        audit_event(row, &Scene { origins: [own, broker, archive], base: &gateway.base, patient }).to_string()
    };
    let page: Vec<_> = rows.iter().skip(skip).take(count.clamp(1, COUNT_MAX)).collect();
    let written: Vec<_> = page.iter().map(|row| (url(gateway, row), event(row))).collect();
    let shown = skip.saturating_add(written.len());
    let outcome = Outcome::of(standing(&all, &rows)).map(|outcome| outcome.to_bytes());
    let mut entries: Vec<_> = written
        .iter()
        .map(|(url, event)| SearchEntry {
            full_url: Some(url.clone()),
            content: Cow::Borrowed(event.as_bytes()),
            mode: SearchMode::Match,
        })
        .collect();
    entries.extend(outcome.map(|bytes| SearchEntry {
        full_url: None,
        content: Cow::Owned(bytes),
        mode: SearchMode::Outcome,
    }));
    let link = |extra: Option<(&str, &str)>| {
        let kept = borrowed(&ask.parameters).filter(|(name, _)| *name != PARAMETER);
        with_query(&format!("{}/Patient/{patient}/$access-log", gateway.base), kept.chain(extra))
    };
    let last = page.last().filter(|_| shown < rows.len());
    let next = last.map(|last| {
        let resume = Resume::Row(last.position());
        link(Some((PARAMETER, &Cursor { parameters: Vec::new(), record: None, resume }.seal(gateway))))
    });
    let links = PageLinks { this: link(None), next };
    Ok(Reply::resource(StatusCode::OK, searchset(&entries, &links, Some(total))))
}

/// Identities of this gateway, the broker and the archive.
fn origins(all: &[AccessLog]) -> Result<[&str; 3], GatewayError> {
    let first = all.first().map(|log| log.logs.as_slice()).unwrap_or_default();
    let origins: Vec<&str> = first.iter().map(|log| log.origin.as_str()).collect();
    origins.try_into().map_err(|_| GatewayError::Kept("not three logs were asked"))
}

/// Everything that all logs hold about all identities of a patient, joined, the newest first.
pub(super) fn rows_of<'l>(gateway: &Gateway, all: &'l [AccessLog]) -> Result<Vec<Row<'l>>, GatewayError> {
    let [own, ..] = origins(all)?;
    let mut rows = Vec::new();
    for log in all {
        let told: Vec<Party> = log.logs.iter().filter(|log| log.standing.is_ok()).map(|log| log.party).collect();
        let entries = log.logs.iter().flat_map(|log| &log.entries);
        rows.extend(join(entries, own, &told, gateway.sessions.now().as_secs() * 1000));
    }
    newest_first(&mut rows);
    Ok(rows)
}

/// Refuses who may not see the logs about a patient, without asking for any.
pub(super) async fn check_may_see(gateway: &Gateway, asking: &Asking, id: &ResourceId) -> Result<(), GatewayError> {
    named(gateway, asking, id).await.map(drop)
}

/// What is known of all identities of a patient, for who may see that.
pub(super) async fn known_of(
    gateway: &Gateway,
    asking: &Asking,
    id: &ResourceId,
) -> Result<Vec<AccessLog>, GatewayError> {
    logs_of(gateway, asking, named(gateway, asking, id).await?).await
}

/// `GET Patient/[id]/$access-log-proof`: all entries about this one identity with what proves them, for
/// `sealwort audit verify`.
pub(super) async fn proof(gateway: &Arc<Gateway>, ask: &Ask) -> Result<Reply, GatewayError> {
    ask.knows(&[])?;
    let holding = named(gateway, &ask.asking, ask.place.id()?).await?;
    let content = written(&gateway.access_log(holding, &ask.asking.trail).await?)?;
    Ok(Reply { status: StatusCode::OK, content: content.into(), kind: Content::Json, ..Reply::default() })
}

/// The same of all identities of a patient, a file each; first the one that stands for them.
pub(super) async fn proof_files(
    gateway: &Gateway,
    asking: &Asking,
    id: &ResourceId,
) -> Result<Vec<Vec<u8>>, GatewayError> {
    let logs = logs_of(gateway, asking, named(gateway, asking, id).await?).await?;
    logs.iter().map(written).collect()
}

fn written(log: &AccessLog) -> Result<Vec<u8>, GatewayError> {
    serde_json::to_vec_pretty(&log.to_file()).map_err(|_| GatewayError::Kept("a log cannot be written down"))
}

/// What is known of all identities of a patient.
async fn logs_of(gateway: &Gateway, asking: &Asking, patient: Pseudonym) -> Result<Vec<AccessLog>, GatewayError> {
    let mut all = Vec::new();
    for identity in gateway.roster.identities(patient) {
        all.push(gateway.access_log(identity, &asking.trail).await?);
    }
    Ok(all)
}

/// The identity named, for who may see the logs about it.
async fn named(gateway: &Gateway, asking: &Asking, id: &ResourceId) -> Result<Pseudonym, GatewayError> {
    let holding = gateway.patient_holding(ResourceType::PATIENT, id.as_str(), &asking.purpose).await?;
    match holding.zip(asking.context) {
        Some((holding, context)) if gateway.roster.are_one(holding, context) && own_record(asking)? => Ok(holding),
        _ if gateway.reads_log(asking) => holding.ok_or_else(super::read::not_found),
        _ => Err(readers_only()),
    }
}

/// Whether the patient, or a delegate who may see every label, comes with a token that lets them read everything of their
/// own: the log names resources of all labels.
fn own_record(asking: &Asking) -> Result<bool, GatewayError> {
    let allowed = Allowed::by(asking, Record::InContext, Action::Read, ResourceType::AUDIT_EVENT)?;
    let own = asking.delegation.as_ref().map_or(asking.role == PATIENT_ROLE, |one| one.labels.is_empty());
    Ok(own && matches!(allowed, Allowed::Everything))
}

/// What is to be said of each log.
fn standing(all: &[AccessLog], rows: &[Row<'_>]) -> Vec<Issue> {
    let mut issues: Vec<_> = all.iter().flat_map(|log| &log.logs).map(|log| match &log.standing {
        Ok(passed) => {
            let by = if passed.witnesses.is_empty() { "nobody".to_owned() } else { passed.witnesses.join(", ") };
            let text = format!(
                "{}: {} entries about this patient, proved to be in its log of {} entries, of which {by} vouched for the first {}",
                log.origin, passed.entries, passed.size, passed.witnessed
            );
            Issue::new(Severity::Information, IssueCode::Informational, "log-proved", text)
                .diagnostics("that it left none out shows only where another log has what it lacks")
        }
        Err(doubt) => {
            let (severity, code) = match doubt.code {
                "log-not-told" => (Severity::Warning, IssueCode::Transient),
                "log-too-long" => (Severity::Warning, IssueCode::TooCostly),
                _ => (Severity::Error, IssueCode::Security),
            };
            Issue::new(severity, code, doubt.code, format!("{}: {}", log.origin, doubt.text))
                .diagnostics("nothing of this log is shown; ask the operator of the exchange")
        }
    }).collect();
    let marked = rows.iter().filter(|row| !row.missing.is_empty()).count();
    if marked > 0 {
        let text = format!("{marked} rows are missing in a log that should have them; each is marked");
        issues.push(Issue::new(Severity::Warning, IssueCode::Incomplete, "entries-missing", text));
    }
    issues
}

fn url(gateway: &Gateway, row: &Row<'_>) -> String {
    match row.lead.party {
        Party::Gateway => format!("{}/AuditEvent/{}", gateway.base, id(row.lead)),
        Party::Broker | Party::Archive => format!("urn:sealwort:audit:{}", id(row.lead)),
    }
}

/// `GET AuditEvent?…`, `POST AuditEvent/_search`, `GET Patient/[id]/AuditEvent?…`
pub(super) async fn search(gateway: &Arc<Gateway>, ask: &Ask) -> Result<Reply, GatewayError> {
    if !gateway.reads_log(&ask.asking) {
        return Err(readers_only());
    }
    let asked = asked(gateway, ask)?;
    let query = Query::parse(Some(ResourceType::AUDIT_EVENT), &asked.parameters, asked.handling)?;
    let named = match (&ask.place.id, query.patient_named()) {
        (Some(id), _) | (None, Some(PatientNamed::Id(id))) => Some(id.as_str().to_owned()),
        _ => None,
    };
    let (mut within, mut whose, mut ids) = (AuditQuery::default(), vec![None], HashMap::new());
    if let Some(id) = &named {
        let patient = gateway.patient_holding(ResourceType::PATIENT, id, &ask.asking.purpose).await?;
        // Of nobody known here there is no entry.
        let patient = patient.ok_or_else(super::read::not_found)?;
        ids = gateway.ids_of_identities(patient, id).await?;
        whose.clear();
        for identity in gateway.roster.identities(patient) {
            ask.asking.trail.touches(identity);
            whose.push(Some(gateway.journal.at_rest().patient(identity)));
        }
    }
    for (_, date) in asked.parameters.iter().filter(|(name, _)| name == "date") {
        // What the search itself says decides; this only keeps it from reading the log of years.
        let Ok(span) = span(date) else { continue };
        within.since = within.since.max(Some(span.from.saturating_mul(1000)));
        within.before = Some(within.before.unwrap_or(u64::MAX).min(span.below.saturating_mul(1000)));
    }
    let mut entries = Vec::new();
    for patient in whose {
        entries.extend(gateway.own_entries(AuditQuery { patient, ..within }, SEARCHED_MAX + 1).await?);
    }
    entries.sort_unstable_by_key(|entry| entry.number);
    if entries.len() > SEARCHED_MAX {
        return Err(GatewayError::request(
            400,
            IssueCode::TooCostly,
            "search-too-wide",
            format!("more than {SEARCHED_MAX} entries are in the time that is searched"),
            "name a patient or a shorter time: date=ge2026-01-01&date=lt2026-02-01",
        ));
    }
    let shown = gateway.events_of(entries, ids, named).await?;
    let found = query.run(&shown.corpus, &Visible::Everything, asked.position.as_ref());
    let path = path(ask);
    let position = asked.position.as_ref();
    let page = Page { gateway, query: &query, position, path: &path, subset: subset(&asked.parameters)? };
    let content = |at: u32| {
        let entry = shown.entries.get(usize::try_from(at).ok()?)?;
        Some((ResourceType::AUDIT_EVENT, id(entry), shown.writing.event(entry, None).to_string().into()))
    };
    Ok(Reply::resource(StatusCode::OK, page.answer(&found, None, content, Vec::new())))
}

/// `GET AuditEvent/[id]`
pub(super) async fn read(gateway: &Arc<Gateway>, ask: &Ask) -> Result<Reply, GatewayError> {
    ask.knows(&[])?;
    if !gateway.reads_log(&ask.asking) {
        return Err(readers_only());
    }
    let number = own_number(ask.place.id()?.as_str()).ok_or_else(super::read::not_found)?;
    let only = AuditQuery { from: number, below: number.checked_add(1), ..AuditQuery::default() };
    let entries = gateway.own_entries(only, 1).await?;
    if let Some(patient) = entries.first().and_then(|entry| entry.event.patient) {
        ask.asking.trail.touches(patient);
    }
    let shown = gateway.events_of(entries, HashMap::new(), None).await?;
    let entry = shown.entries.first().ok_or_else(super::read::not_found)?;
    Ok(Reply::resource(StatusCode::OK, shown.writing.event(entry, None).to_string()))
}

/// Entries of the gateway's own log, and what searches for them as AuditEvents run over.
struct Shown {
    entries: Vec<Entry>,
    writing: Writing,
    corpus: Corpus,
}

/// What the gateway's own entries are written with.
struct Writing {
    base: String,
    own: String,
    /// Ids of Patient resources.
    patients: HashMap<Pseudonym, String>,
}

impl Writing {
    /// As an access to this Patient, or to the one that stands for the identity which the entry is about.
    fn event(&self, entry: &Entry, named: Option<&str>) -> Value {
        let own = || self.patients.get(&entry.event.patient?).map(String::as_str);
        let patient = named.or_else(own);
        let row = Row { lead: entry, others: [].into(), missing: Vec::new() };
        audit_event(&row, &Scene { origins: [&self.own, "", ""], base: &self.base, patient })
    }
}

impl Gateway {
    /// Whether it is a user of the hospital who may read the audit log.
    pub(super) fn reads_log(&self, asking: &Asking) -> bool {
        asking.is_whole_user() && self.audit_readers.contains(&asking.role)
    }

    /// Entries of the gateway's own log, in order.
    async fn own_entries(&self, within: AuditQuery, most: usize) -> Result<Vec<Entry>, GatewayError> {
        let rows = self.journal.store().audit_rows(within, most).await?;
        let journal = self.journal.clone();
        let opening = sealwort_net::transport::away(move || {
            let entry = |row: &sealwort_audit::Row| {
                let leaf = journal.at_rest().open(&row.stored).ok()?;
                let event = Event::from_bytes(&leaf).ok()?;
                Some(Entry { party: Party::Gateway, number: row.number, event })
            };
            rows.iter().map(entry).collect::<Option<Vec<_>>>()
        });
        let opened = opening.await.map_err(|_| GatewayError::Kept("reading the audit log was interrupted"))?;
        opened.ok_or(GatewayError::Kept("an entry of the audit log was altered: run sealwort audit verify"))
    }

    /// Ids of the Patients that stand for the identities of one patient: each has its own, though they were merged. The
    /// one that was named has this id.
    async fn ids_of_identities(&self, named: Pseudonym, id: &str) -> Result<HashMap<Pseudonym, String>, GatewayError> {
        let mut ids = HashMap::new();
        for source in self.roster.merged_into(self.roster.surviving(named)) {
            if let Some(merge) = self.roster.merge(source).await? {
                ids.extend([(merge.source, merge.source_id), (merge.target, merge.target_id)]);
            }
        }
        ids.insert(named, id.to_owned());
        Ok(ids)
    }

    /// Reads entries as AuditEvents, away from the threads that serve connections. Ids of Patients are looked up beside
    /// those that are known. `named` is the id by which the one patient of all of them was asked for: by it they are found,
    /// whichever identity they are about.
    async fn events_of(
        &self,
        entries: Vec<Entry>,
        mut patients: HashMap<Pseudonym, String>,
        named: Option<String>,
    ) -> Result<Shown, GatewayError> {
        for patient in entries.iter().filter_map(|entry| entry.event.patient) {
            if let std::collections::hash_map::Entry::Vacant(place) = patients.entry(patient) {
                let known = match self.people.of(patient).first() {
                    Some(id) => Some(id.as_str().to_owned()),
                    // Who was given up is not among the people.
                    None => self.patient_id_of(patient).await.ok().map(|id| id.to_string()),
                };
                known.map(|id| place.insert(id));
            }
        }
        let writing = Writing { base: self.base.clone(), own: self.member.identity().to_string(), patients };
        let reading = sealwort_net::transport::away(move || {
            let mut corpus = Corpus::new(&[&writing.base]);
            for (at, entry) in (0..).zip(&entries) {
                let changed = i64::try_from(entry.event.time).unwrap_or(i64::MAX);
                let event = writing.event(entry, named.as_deref().filter(|_| entry.event.patient.is_some()));
                let document = Document::read(ResourceType::AUDIT_EVENT, &id(entry), changed, &event);
                if let Some(at) = Ordinal::new(at) {
                    corpus.put(at, Arc::new(document));
                }
            }
            Shown { entries, writing, corpus }
        });
        reading.await.map_err(|_| GatewayError::Kept("reading AuditEvents was interrupted"))
    }
}

/// Unix seconds that a `date` allows: from one on, below another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Span {
    from: u64,
    below: u64,
}

impl Span {
    fn holds(self, milliseconds: u64) -> bool {
        (self.from..self.below).contains(&(milliseconds / 1000))
    }
}

/// The value of `date` (FHIR R4, search.html#date).
fn span(text: &str) -> Result<Span, GatewayError> {
    let begins = text.bytes().take(2).take_while(u8::is_ascii_lowercase).count();
    let (prefix, date) = text.split_at(if begins == 2 { 2 } else { 0 });
    let (low, high) =
        date_span(date).ok_or_else(|| bad_parameter("date", "it is a date, such as ge2026-01-01 or 2026-01"))?;
    match prefix {
        "" | "eq" => Ok(Span { from: low, below: high }),
        "ge" => Ok(Span { from: low, below: u64::MAX }),
        "gt" | "sa" => Ok(Span { from: high, below: u64::MAX }),
        "lt" | "eb" => Ok(Span { from: 0, below: low }),
        "le" => Ok(Span { from: 0, below: high }),
        _ => Err(bad_parameter("date", "its prefix is eq, ge, gt, le, lt, sa or eb")),
    }
}

pub(super) fn readers_only() -> GatewayError {
    GatewayError::request(
        403,
        IssueCode::Forbidden,
        "log-readers-only",
        "audit logs are for users with a role of audit.readers, and for patients who ask for their own",
        "use the token of such a user: sealwort gateway token --role auditor",
    )
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn dates_are_spans() {
        let day = 86_400;
        for (text, from, below) in [
            ("1970-01-02", day, 2 * day),
            ("eq1970-01-02", day, 2 * day),
            ("ge1970-01-02", day, u64::MAX),
            ("gt1970-01-02", 2 * day, u64::MAX),
            ("lt1970-01-02", 0, day),
            ("le1970-01-02", 0, 2 * day),
            ("1970-01-01T00:00:10Z", 10, 11),
        ] {
            assert_eq!(span(text).unwrap(), Span { from, below }, "{text}");
        }
        for text in ["", "ge", "ne1970-01-02", "yesterday", "geé"] {
            assert!(span(text).is_err(), "{text}");
        }
        assert!(span("1970-01-02").unwrap().holds(day * 1000 + 999));
        assert!(!span("1970-01-02").unwrap().holds(2 * day * 1000));
    }
}
