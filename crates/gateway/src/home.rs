//! Whose record a resource goes into: a patient's, found by reference, identifier or id, or the hospital's own, which
//! holds what concerns no patient (practitioners, organizations, definitions).

use bytes::Bytes;
use sealwort_fhir::compartment::PatientTarget;
use sealwort_fhir::{
    Bundle, Identifier, IssueCode, PatientGroup, PatientKey, Reference, Resource, ResourceId, ResourceType,
    parse_token, patient_identifiers, patient_references,
};
use sealwort_proto::{Locator, Pseudonym};
use sealwort_smart::Action;

use crate::Gateway;
use crate::error::GatewayError;
use crate::people::TREATMENT;
use crate::roster::Known;
use crate::seen::Seen;
use crate::user::Asking;
use crate::view::Held;

/// Namespace of the identifier that leads to a hospital's own record.
const OWN_SYSTEM: &str = "urn:sealwort:own-record";
/// Namespace of ids of Patients that have no identifier of their own.
const LOCAL_SYSTEM: &str = "urn:sealwort:patient-id";

/// A record, by what leads to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Home {
    /// Its pseudonym, where this hospital knows it.
    pub(crate) known: Option<Pseudonym>,
    /// Its patient's blinded identifiers.
    pub(crate) locators: Vec<Locator>,
    /// Identifiers that lead to it from now on at this hospital, once something is stored.
    pub(crate) learned: Vec<Locator>,
}

impl Home {
    /// Whether both lead to one record.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        match (self.known, other.known) {
            (None, None) => self.locators == other.locators,
            (one, other) => one == other,
        }
    }
}

impl Gateway {
    /// The hospital's own record.
    pub(crate) async fn own_home(&self) -> Result<Home, GatewayError> {
        let value = self.member.identity().to_string();
        self.home_by_identifier(&Identifier { system: Some(OWN_SYSTEM.to_owned()), value }).await
    }

    /// The pseudonym of a record; `None` where there is none yet.
    pub(crate) async fn patient_at(&self, home: &Home) -> Result<Option<Pseudonym>, GatewayError> {
        match home.known {
            Some(patient) => Ok(Some(patient)),
            None => Ok(self.find(&home.locators).await?.map(|known| self.roster.surviving(known.patient))),
        }
    }

    /// The record of a single resource that is written under an id.
    pub(crate) async fn home_of(&self, resource: &Resource, id: Option<&ResourceId>) -> Result<Home, GatewayError> {
        let kind = resource.resource_type();
        if kind == ResourceType::PATIENT {
            return self.home_of_patient(resource, id).await;
        }
        let before = match id {
            Some(id) => self.roster.by_resource(kind.as_str(), id.as_str()).await?,
            None => None,
        };
        // The first element that names a patient decides: nobody else's record will do.
        let references = patient_references(resource);
        let Some(reference) = references.first() else {
            return match before {
                Some(patient) => self.home_by_pseudonym(patient).await,
                None => self.own_home().await,
            };
        };
        let home = match &reference.target {
            PatientTarget::Identifier(identifier) => Some(self.home_by_identifier(identifier).await?),
            PatientTarget::Reference(Reference::Relative { id, .. }) => self.home_by_id(id).await?,
            PatientTarget::Reference(Reference::Absolute { url, .. }) => match self.own_id(url) {
                Some(id) => self.home_by_id(&id).await?,
                None => None,
            },
            PatientTarget::Reference(Reference::Conditional { query, .. }) => match identifier_in(query) {
                Some(identifier) => Some(self.home_by_identifier(&identifier).await?),
                None => None,
            },
            PatientTarget::Reference(_) => None,
        };
        let home = home.ok_or_else(|| GatewayError::unknown_patient().at(format!("{kind}.{}", reference.element)))?;
        self.stays(home, before, kind).await
    }

    /// The record of a Patient: the one that it is in already, else by its identifiers, else by its id alone. Identifiers
    /// that belong to different people lead nowhere.
    async fn home_of_patient(&self, patient: &Resource, id: Option<&ResourceId>) -> Result<Home, GatewayError> {
        let locators = self.locators(&patient_identifiers(patient));
        let by_id = match id {
            Some(id) => self.roster.by_resource("Patient", id.as_str()).await?,
            None => None,
        };
        let by_id = by_id.map(|patient| self.roster.surviving(patient));
        let (mut found, mut unknown) = (by_id, Vec::new());
        for locator in &locators {
            let led = self.roster.by_locator(*locator).await?.map(|patient| self.roster.surviving(patient));
            match (led, found) {
                (None, _) => unknown.push(*locator),
                (Some(one), Some(other)) if one != other => return Err(other_person(by_id.and(id))),
                (led, _) => found = led,
            }
        }
        // While the exchange is away, who is not known here yet is as good as new, and nothing is learned.
        let elsewhere = if unknown.is_empty() { Ok(None) } else { self.find(&unknown).await };
        let learned = match elsewhere {
            Err(error) if error.is_away() || error.is_session_lost() => Vec::new(),
            elsewhere => match (elsewhere?.map(|known| self.roster.surviving(known.patient)), found) {
                (Some(one), Some(other)) if one != other => return Err(other_person(by_id.and(id))),
                (Some(patient), None) => {
                    found = Some(patient);
                    unknown
                }
                _ => unknown,
            },
        };
        match (found, id) {
            (Some(patient), _) => Ok(Home { learned, ..self.home_by_pseudonym(patient).await? }),
            (None, _) if !locators.is_empty() => Ok(Home { known: None, locators, learned: Vec::new() }),
            (None, Some(id)) => {
                let value = format!("{}/{id}", self.member.identity());
                self.home_by_identifier(&Identifier { system: Some(LOCAL_SYSTEM.to_owned()), value }).await
            }
            (None, None) => Err(GatewayError::Kept("a Patient without identifier and id was to be stored")),
        }
    }

    /// Refuses to put a Patient into the record of somebody with whom it shares an identifier while others of theirs
    /// differ under one system: two people, one of whom has a wrong number. Who names the Patient by the id that it has
    /// here says whom they mean.
    pub(crate) async fn check_same_person(
        &self,
        known: &Known,
        (id, content): (&str, &[u8]),
        asking: &Asking,
    ) -> Result<(), GatewayError> {
        if self.roster.by_resource("Patient", id).await? == Some(known.patient) {
            return Ok(());
        }
        let brought = patient_identifiers(&Resource::parse(Bytes::copy_from_slice(content))?);
        let registration = self.verify_registration(known.registration.as_ref())?;
        let registered = &registration.registration().locators;
        if self.locators(&brought).iter().all(|locator| registered.contains(locator)) {
            return Ok(());
        }
        let mut held = self.people.contents_of(known.patient);
        if held.is_empty() {
            held = match self.open(known.patient, asking).await {
                Ok(view) => {
                    let patients = view.all().filter(|(_, held)| held.kind == ResourceType::PATIENT);
                    patients.filter_map(|(_, held)| held.newest().content.clone()).collect()
                }
                // Who may write and not read cannot be told.
                Err(error) if error.status() == 403 => return Ok(()),
                Err(error) => return Err(error),
            };
        }
        let mut theirs = Vec::new();
        for content in held {
            theirs.extend(patient_identifiers(&Resource::parse(content)?));
        }
        match contradicted(&brought, &theirs) {
            Some(system) => Err(two_people(system)),
            None => Ok(()),
        }
    }

    /// The record of a group of a Bundle's entries. `ids` are those under which the entries are to be stored.
    pub(crate) async fn home_of_group(
        &self,
        bundle: &Bundle,
        group: &PatientGroup,
        ids: &[Option<ResourceId>],
    ) -> Result<Home, GatewayError> {
        let found = match &group.key {
            PatientKey::Entry(place) => {
                let patient = bundle.entries().get(*place).and_then(|entry| entry.resource.as_ref());
                let patient = patient.ok_or_else(GatewayError::unknown_patient)?;
                let id = ids.get(*place).and_then(Option::as_ref);
                let home = self.home_of_patient(patient, id).await;
                return home.map_err(|error| error.within(&format!("Bundle.entry[{place}].resource")));
            }
            PatientKey::Identifier(identifier) => Some(self.home_by_identifier(identifier).await?),
            PatientKey::Reference(id) => self.home_by_id(id).await?,
            PatientKey::Absolute(url) => match self.own_id(url) {
                Some(id) => self.home_by_id(&id).await?,
                None => None,
            },
        };
        found.ok_or_else(|| {
            let place = group.entries.first().copied().unwrap_or_default();
            GatewayError::unknown_patient().at(format!("Bundle.entry[{place}].resource"))
        })
    }

    /// The record that holds a resource.
    pub(crate) async fn home_holding(&self, kind: ResourceType, id: &ResourceId) -> Result<Option<Home>, GatewayError> {
        match self.patient_holding(kind, id.as_str(), TREATMENT).await? {
            Some(patient) => self.home_by_pseudonym(patient).await.map(Some),
            None => Ok(None),
        }
    }

    /// The reference to the Patient of an identifier, `system|value`.
    pub(crate) async fn patient_reference(&self, token: &str, asking: &Asking) -> Result<Option<String>, GatewayError> {
        let Some(identifier) = parse_token(token)?.identifier() else { return Ok(None) };
        let Some(known) = self.find(&[self.directory.locator(&identifier)]).await? else { return Ok(None) };
        let view = self.open(known.patient, asking).await?;
        let seen = Seen::new(view, asking, Action::Search)?;
        let has_it = |held: &Held| {
            let patient = held.newest().content.clone().map(Resource::parse);
            patient.is_some_and(|patient| patient.is_ok_and(|it| patient_identifiers(&it).contains(&identifier)))
        };
        let mut matches =
            seen.places().map(|(_, held)| held).filter(|held| held.kind == ResourceType::PATIENT && has_it(held));
        let first = matches.next().map(|held| format!("Patient/{}", held.id));
        if matches.next().is_some() {
            return Err(crate::change::ambiguous(ResourceType::PATIENT));
        }
        Ok(first)
    }

    pub(crate) async fn home_by_identifier(&self, identifier: &Identifier) -> Result<Home, GatewayError> {
        let locator = self.directory.locator(identifier);
        if let Some(patient) = self.roster.by_locator(locator).await?
            && self.roster.surviving(patient) != patient
        {
            return self.home_by_pseudonym(patient).await;
        }
        Ok(Home { known: self.roster.by_locator(locator).await?, locators: vec![locator], learned: Vec::new() })
    }

    async fn home_by_id(&self, id: &ResourceId) -> Result<Option<Home>, GatewayError> {
        self.home_holding(ResourceType::PATIENT, id).await
    }

    /// The record of a patient, or of the one into whom it was merged.
    pub(crate) async fn home_by_pseudonym(&self, patient: Pseudonym) -> Result<Home, GatewayError> {
        let patient = self.roster.surviving(patient);
        Ok(Home { known: Some(patient), locators: self.locators_of(patient).await?, learned: Vec::new() })
    }

    /// The id in a URL of this server's own.
    fn own_id(&self, url: &str) -> Option<ResourceId> {
        url.strip_prefix(self.base.as_str())?.strip_prefix("/Patient/")?.parse().ok()
    }

    /// A resource stays in the record where it began.
    pub(crate) async fn stays(
        &self,
        home: Home,
        before: Option<Pseudonym>,
        kind: ResourceType,
    ) -> Result<Home, GatewayError> {
        let Some(before) = before else { return Ok(home) };
        match self.patient_at(&home).await? {
            Some(patient) if patient == self.roster.surviving(before) => Ok(home),
            // Shared by many, and kept in the record of each.
            _ if sealwort_fhir::compartment::patient_elements(kind).next().is_none() => Ok(home),
            _ => Err(GatewayError::request(
                409,
                IssueCode::BusinessRule,
                "patient-differs",
                format!("the {kind} is in another patient's record"),
                "delete it there, and create it anew for this patient",
            )),
        }
    }
}

/// The identifier in `identifier=system|value`.
pub(crate) fn identifier_in(query: &str) -> Option<Identifier> {
    let parameters = crate::face::request::form(query).ok()?;
    let (_, value) = parameters.iter().find(|(name, _)| name == "identifier")?;
    parse_token(value).ok()?.identifier()
}

/// A system under which both have identifiers, and none in common.
fn contradicted<'a>(some: &'a [Identifier], others: &[Identifier]) -> Option<&'a str> {
    some.iter().filter_map(|identifier| identifier.system.as_deref()).find(|system| {
        let under = |identifier: &&Identifier| identifier.system.as_deref() == Some(*system);
        let mut theirs = others.iter().filter(under).peekable();
        theirs.peek().is_some() && !theirs.any(|one| some.contains(one))
    })
}

/// The identifiers of a Patient lead to somebody else than its id, or than each other.
fn other_person(id: Option<&ResourceId>) -> GatewayError {
    match id {
        Some(id) => taken(id.as_str()),
        None => GatewayError::request(
            409,
            IssueCode::Duplicate,
            "identifiers-of-two",
            "the identifiers of this Patient belong to different patients",
            "find out who is meant, and send the identifiers of that person alone",
        )
        .at("Patient.identifier"),
    }
}

/// A Patient that shares one identifier with somebody who has another one under this system.
fn two_people(system: &str) -> GatewayError {
    GatewayError::request(
        409,
        IssueCode::Duplicate,
        "identifiers-contradict",
        format!("this Patient shares an identifier with a patient whose identifier of {system} is another"),
        "if both are one person, update the Patient that is there, by its id; if not, correct the identifier in common",
    )
    .at("Patient.identifier")
}

/// An id that another person's Patient has here.
pub(crate) fn taken(id: &str) -> GatewayError {
    GatewayError::request(
        409,
        IssueCode::Duplicate,
        "patient-id-taken",
        format!("Patient/{id} is another person at this hospital"),
        "give the Patient another id",
    )
}
