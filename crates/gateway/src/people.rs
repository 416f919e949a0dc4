//! The Patients that this hospital knows, for searches that name no record: by name, birth date, identifier. Each is
//! kept as this hospital saw it last, sealed in the roster, and in memory while the gateway runs. Whom the hospital may
//! not read any more it forgets.

use sealwort_net::observe;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Arc, PoisonError, RwLock};

use bytes::Bytes;
use minicbor::{Decode, Encode};
use sealwort_fhir::plain::Plain;
use sealwort_fhir::search::{Corpus, Document, Ordinal, Query, Visible};
use sealwort_fhir::{Branch, IssueCode, Resource, ResourceId, ResourceType, patient_identifiers};
use sealwort_pki::UnixTime;
use sealwort_proto::Pseudonym;
use sealwort_proto::codec::{Blob, from_bytes, to_bytes};
use sealwort_smart::Action;
use zeroize::Zeroizing;

use crate::Gateway;
use crate::error::GatewayError;
use crate::roster::Roster;
use crate::seen::{Allowed, Record};
use crate::user::Asking;
use crate::view::{PatientView, millis, ordinal};

/// The purpose of use for which the roster is kept.
pub(crate) const TREATMENT: &str = "TREAT";
/// Most records that one search opens to see whether their Patients may be shown.
const OPENED_MAX: usize = 100;
/// Most kinds of identifiers that are offered for choice.
const SYSTEMS_MAX: usize = 20;
/// Largest row, in bytes.
const PERSON_BYTES_MAX: usize = sealwort_fhir::RESOURCE_BYTES_MAX + 1024;

/// A Patient as this hospital saw it last.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub(crate) struct Person {
    /// Whose record it is in.
    #[n(0)]
    pub(crate) patient: Pseudonym,
    #[n(1)]
    pub(crate) id: String,
    /// When that version was written, Unix time.
    #[n(2)]
    pub(crate) changed: u64,
    /// The resource as this server shows it.
    #[n(3)]
    pub(crate) content: Blob,
}

/// Everybody.
#[derive(Default)]
pub(crate) struct People {
    known: RwLock<Known>,
}

#[derive(Default)]
struct Known {
    corpus: Corpus,
    rows: Arc<Vec<Option<Row>>>,
    places: HashMap<(Pseudonym, ResourceId), usize>,
    /// Systems of identifiers, as they were learnt.
    systems: BTreeSet<String>,
}

#[derive(Clone)]
struct Row {
    patient: Pseudonym,
    id: ResourceId,
    content: Bytes,
}

impl People {
    /// Those in the roster.
    pub(crate) async fn load(roster: &Roster, base: &str) -> Result<Self, GatewayError> {
        let people = Self { known: RwLock::new(Known { corpus: Corpus::new(&[base]), ..Known::default() }) };
        for row in roster.people().await? {
            let person: Person = from_bytes(&row, PERSON_BYTES_MAX)
                .map_err(|_| GatewayError::Kept("a person in the roster cannot be read"))?;
            people.put(&person);
        }
        Ok(people)
    }

    /// Takes one in, in place of what was known before. Whether it was new.
    fn put(&self, person: &Person) -> bool {
        let Ok(id) = person.id.parse::<ResourceId>() else { return false };
        let content = Bytes::from_owner(Zeroizing::new(person.content.0.clone()));
        let Ok(resource) = Resource::parse(content.clone()) else { return false };
        let Ok(tree) = resource.json() else { return false };
        let changed = millis(UnixTime::from_secs(person.changed));
        let document = Document::read(ResourceType::PATIENT, id.as_str(), changed, &tree);
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        let name = (person.patient, id.clone());
        let place = known.places.get(&name).copied().unwrap_or(known.rows.len());
        let same = known.rows.get(place).and_then(Option::as_ref).is_some_and(|row| row.content == content);
        let Some(at) = ordinal(place) else { return false };
        if same {
            return false;
        }
        let row = Row { patient: person.patient, id, content };
        let rows = Arc::make_mut(&mut known.rows);
        match rows.get_mut(place) {
            Some(slot) => *slot = Some(row),
            None => rows.push(Some(row)),
        }
        known.corpus.put(at, Arc::new(document));
        known.places.insert(name, place);
        for system in patient_identifiers(&resource).into_iter().filter_map(|identifier| identifier.system) {
            if known.systems.len() < SYSTEMS_MAX {
                known.systems.insert(system);
            }
        }
        true
    }

    /// Those in a record, as the server shows them.
    pub(crate) fn contents_of(&self, patient: Pseudonym) -> Vec<Bytes> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let places = known.places.iter().filter(|((of, _), _)| *of == patient);
        places.filter_map(|(_, place)| known.rows.get(*place)?.as_ref().map(|row| row.content.clone())).collect()
    }

    /// Ids of those in a record.
    pub(crate) fn of(&self, patient: Pseudonym) -> Vec<ResourceId> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.places.keys().filter(|(of, _)| *of == patient).map(|(_, id)| id.clone()).collect()
    }

    /// Lets go of whoever is in a record. Their ids.
    fn forget(&self, patient: Pseudonym) -> Vec<ResourceId> {
        let gone = self.of(patient);
        for id in &gone {
            self.remove(patient, id);
        }
        gone
    }

    /// Lets go of one.
    fn remove(&self, patient: Pseudonym, id: &ResourceId) {
        let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
        let Some(place) = known.places.remove(&(patient, id.clone())) else { return };
        if let Some(slot) = Arc::make_mut(&mut known.rows).get_mut(place) {
            *slot = None;
        }
        if let Some(at) = ordinal(place) {
            known.corpus.remove(at);
        }
    }

    /// The systems of their identifiers, for people to choose from: the kinds of numbers, and nobody's number.
    pub(crate) fn identifier_systems(&self) -> Vec<String> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        known.systems.iter().cloned().collect()
    }

    /// Ids and names, for people to choose from.
    fn names(&self) -> Vec<(Pseudonym, String, String)> {
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let named = |row: &Row| {
            let tree = Resource::parse(row.content.clone()).and_then(|patient| patient.json()).ok()?;
            Some((row.patient, row.id.as_str().to_owned(), Plain::of(ResourceType::PATIENT, &tree).title?))
        };
        known.rows.iter().flatten().filter_map(named).collect()
    }

    /// Those whom the scopes of a request allow. Scopes about one patient show nobody here.
    fn shown(&self, asking: &Asking) -> Result<Shown, GatewayError> {
        if asking.purpose != TREATMENT {
            return Err(GatewayError::request(
                403,
                IssueCode::Forbidden,
                "purpose-not-granted",
                "the hospital's own roster of patients is for treatment",
                "name a patient, so that consent for your purpose can be looked up",
            ));
        }
        let known = self.known.read().unwrap_or_else(PoisonError::into_inner);
        let (corpus, rows) = (known.corpus.clone(), Arc::clone(&known.rows));
        drop(known);
        let allowed = Allowed::by(asking, Record::AnotherPatient, Action::Search, ResourceType::PATIENT)?;
        let visible = allowed.visible(&corpus, ResourceType::PATIENT);
        Ok(Shown { corpus, rows, visible })
    }
}

/// People, through the scopes of one request.
pub(crate) struct Shown {
    corpus: Corpus,
    rows: Arc<Vec<Option<Row>>>,
    visible: Visible,
}

impl Shown {
    pub(crate) fn corpus(&self) -> &Corpus {
        &self.corpus
    }

    pub(crate) fn visible(&self) -> &Visible {
        &self.visible
    }

    /// Where those stand whom a search finds.
    fn found(&self, query: &Query) -> Vec<(Ordinal, Row)> {
        let filter = query.filter(&self.corpus, &self.visible);
        let all = self.corpus.of_type(ResourceType::PATIENT).iter().copied();
        let found = all.filter(|at| {
            self.visible.shows(*at) && self.corpus.document(*at).is_some_and(|document| filter.accepts(document))
        });
        found.filter_map(|at| Some((at, self.row(at.number())?.clone()))).collect()
    }

    /// Shows those at these places no longer.
    fn hide(&mut self, hidden: &HashSet<Ordinal>) {
        let all = self.corpus.of_type(ResourceType::PATIENT).iter().copied();
        self.visible = Visible::only(all.filter(|at| self.visible.shows(*at) && !hidden.contains(at)));
    }

    fn row(&self, place: u32) -> Option<&Row> {
        self.rows.get(usize::try_from(place).ok()?)?.as_ref()
    }

    /// Whose, id and content of the one at a place.
    pub(crate) fn at(&self, place: u32) -> Option<(Pseudonym, String, Bytes)> {
        let row = self.row(place)?;
        Some((row.patient, row.id.as_str().to_owned(), row.content.clone()))
    }
}

impl Gateway {
    /// Those whom a search may find. Where consent may differ from user to user, or may have ended since, the record is
    /// opened for this user, as for any reading: whom it does not show is not found, not counted and not ordered.
    pub(crate) async fn people_shown(&self, query: &Query, asking: &Asking) -> Result<Shown, GatewayError> {
        let mut shown = self.people.shown(asking)?;
        let (mut opened, mut hidden) = (HashSet::new(), HashSet::new());
        for (at, row) in shown.found(query) {
            if self.roster.is_plainly_own(row.patient).await? {
                continue;
            }
            opened.insert(row.patient);
            if opened.len() > OPENED_MAX {
                return Err(too_wide());
            }
            if !self.shows_person(row.patient, &row.id, asking).await? {
                hidden.insert(at);
            }
        }
        if !hidden.is_empty() {
            shown.hide(&hidden);
        }
        Ok(shown)
    }

    /// Ids and names of some whom a user may see, to choose from.
    pub(crate) async fn people_offered(&self, asking: &Asking, most: usize) -> Vec<(String, String)> {
        let mut offered = Vec::new();
        for (patient, id, name) in self.people.names() {
            if offered.len() == most {
                break;
            }
            let own = self.roster.is_plainly_own(patient).await.unwrap_or_default();
            let Ok(of_person) = id.parse::<ResourceId>() else { continue };
            if own || self.shows_person(patient, &of_person, asking).await.unwrap_or_default() {
                offered.push((id, name));
            }
        }
        offered
    }

    /// The Patients of a record as notices name them; after a merge, those that stand for both.
    pub(crate) fn patients_told(&self, patient: Pseudonym) -> Vec<String> {
        let ids = self.people.of(self.roster.surviving(patient));
        ids.iter().map(|id| format!("Patient/{}", id.as_str())).collect()
    }

    /// Whether a user is shown this Patient in its record.
    async fn shows_person(&self, patient: Pseudonym, id: &ResourceId, asking: &Asking) -> Result<bool, GatewayError> {
        match self.open(patient, asking).await {
            Ok(view) => {
                Ok(view.get(ResourceType::PATIENT, id.as_str()).is_some_and(|held| held.newest().content.is_some()))
            }
            Err(error) if (400..500).contains(&error.status()) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Notes what a reading showed: which resources are whose, and the Patients themselves. That needs no waiting for:
    /// until it is on disk, the open record itself tells.
    pub(crate) fn learn(&self, view: &Arc<PatientView>) {
        let Some(gateway) = self.me.upgrade() else { return };
        let view = Arc::clone(view);
        tokio::spawn(observe::follow(async move {
            if let Err(error) = gateway.note(&view).await {
                tracing::warn!(%error, "what a reading showed could not be noted in the roster");
            }
        }));
    }

    pub(crate) async fn note(&self, view: &PatientView) -> Result<(), GatewayError> {
        let names = view.new_ones().map(|held| (held.kind.as_str(), held.id.as_str()));
        self.roster.add_resources(view.patient, names).await?;
        // Searches find the one that survived.
        if self.led_on(view).await?.is_some() {
            return self.forget(view.patient).await;
        }
        // Whom this reading did not show, by a label that was withdrawn, is not kept either. One that leaves out who somebody
        // is, as that of a role, says nothing of that.
        let shows_people = view.tags.contains(&self.directory.tag(view.patient, Branch::Administrative));
        for id in self.people.of(view.patient) {
            if shows_people && view.get(ResourceType::PATIENT, id.as_str()).is_none() {
                self.note_person(view.patient, &id, view.expires, None).await?;
            }
        }
        for (_, held) in view.all().filter(|(_, held)| held.kind == ResourceType::PATIENT) {
            let newest = held.newest();
            self.note_person(view.patient, &held.id, newest.changed, newest.content.as_ref()).await?;
        }
        Ok(())
    }

    /// Keeps a Patient as it is now, or no longer where it was deleted.
    pub(crate) async fn note_person(
        &self,
        patient: Pseudonym,
        id: &ResourceId,
        changed: UnixTime,
        content: Option<&Bytes>,
    ) -> Result<(), GatewayError> {
        let Some(content) = content else {
            self.people.remove(patient, id);
            return self.roster.remove_person(patient, id.as_str()).await;
        };
        let (id, content) = (id.as_str().to_owned(), Blob(content.to_vec()));
        let person = Person { patient, id, changed: changed.as_secs(), content };
        if self.people.put(&person) {
            self.roster.put_person(patient, &person.id, &to_bytes(&person)).await?;
        }
        Ok(())
    }

    /// Forgets a patient whose consent changed, until the next reading; who is this hospital's own to ask stays known.
    pub(crate) async fn consent_changed(&self, patient: Pseudonym) -> Result<(), GatewayError> {
        let known = self.roster.known(patient).await?;
        if known.is_some_and(|known| !known.directive.0.is_empty()) {
            return Ok(());
        }
        self.forget(patient).await
    }

    /// Forgets a patient whose record this hospital may not read any more.
    pub(crate) async fn forget(&self, patient: Pseudonym) -> Result<(), GatewayError> {
        for id in self.people.forget(patient) {
            self.roster.remove_person(patient, id.as_str()).await?;
        }
        Ok(())
    }
}

fn too_wide() -> GatewayError {
    GatewayError::request(
        400,
        IssueCode::TooCostly,
        "search-too-wide",
        format!("the search finds more than {OPENED_MAX} patients whose consent has to be looked up one by one"),
        "search by more: name and birth date, or an identifier",
    )
}
