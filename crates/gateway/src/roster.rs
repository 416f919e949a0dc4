//! The hospital's roster: which patients it knows, under which pseudonym, and which resource is whose. On disk
//! it is sealed under the key-encryption key and indexed by keyed hashes, so that the folder names nobody.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use minicbor::{Decode, Encode};
use sealwort_fhir::IssueCode;
use sealwort_net::member::Member;
use sealwort_proto::codec::{Blob, from_bytes, to_bytes};
use sealwort_proto::crypto::{Secret, mac};
use sealwort_proto::statement::STATEMENT_BYTES_MAX;
use sealwort_proto::{Locator, Pseudonym};
use sealwort_store::{GatewayStore, RosterKind};

use crate::consent::statements::Book;
use crate::error::GatewayError;
use crate::merge::Merge;

/// A patient that this hospital knows.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub(crate) struct Known {
    /// The pseudonym.
    #[n(0)]
    pub(crate) patient: Pseudonym,
    /// The signed registration.
    #[n(1)]
    pub(crate) registration: Blob,
    /// The newest signed directive that this hospital signed as consent authority; empty where another is it.
    #[n(2)]
    pub(crate) directive: Blob,
    /// Whether broker and archive have both confirmed the registration.
    #[n(3)]
    pub(crate) registered: bool,
}

/// What remains of a patient who was erased.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub(crate) struct Erased {
    /// The pseudonym.
    #[n(0)]
    pub(crate) patient: Pseudonym,
    /// The signed erasure; empty where another hospital is the consent authority.
    #[n(1)]
    pub(crate) erasure: Blob,
    /// The archive's and the broker's certificates, once both are there.
    #[n(2)]
    pub(crate) certificates: Vec<Blob>,
}

impl Erased {
    fn read(row: &[u8]) -> Result<Self, GatewayError> {
        from_bytes(row, 3 * STATEMENT_BYTES_MAX).map_err(|_| GatewayError::Kept("a row of the roster cannot be read"))
    }
}

/// The roster over the gateway's store.
pub(crate) struct Roster {
    store: Arc<dyn GatewayStore>,
    member: Arc<Member>,
    index: Secret,
    /// Which patient resources belong to, as it was looked up last.
    remembered: Mutex<Remembered>,
    /// Patients of whom it was found that they are plainly this hospital's own.
    plainly_own: Mutex<HashSet<Pseudonym>>,
    /// Who was erased: nothing leads to them any more.
    erased: Mutex<HashSet<Pseudonym>>,
    /// Identities that were given up, with those that stand for them: what this hospital merged itself, and what it read
    /// since consent of one of them last changed.
    merged: Mutex<HashMap<Pseudonym, Pseudonym>>,
}

/// Look-ups of resources. That nobody has one is remembered as well: what is not there is told as soon as what is
/// hidden.
#[derive(Default)]
struct Remembered {
    owners: HashMap<[u8; 32], Option<Pseudonym>>,
    /// How often something was written. What was looked up before a write and found nowhere may be there now.
    writes: u64,
}

impl Remembered {
    fn make_room(&mut self) {
        if self.owners.len() > REMEMBERED_MAX {
            self.owners.clear();
        }
    }
}

/// Most look-ups that are remembered.
const REMEMBERED_MAX: usize = 200_000;
/// Most bytes of a patient's Consents in force.
const CONSENTS_BYTES_MAX: usize = 1 << 20;

impl Roster {
    pub(crate) fn new(store: Arc<dyn GatewayStore>, member: Arc<Member>, index: Secret) -> Self {
        Self {
            store,
            member,
            index,
            remembered: Mutex::default(),
            plainly_own: Mutex::default(),
            erased: Mutex::default(),
            merged: Mutex::default(),
        }
    }

    /// Keeps a patient and the identifiers that lead to it.
    pub(crate) async fn put(&self, known: &Known, locators: &[Locator]) -> Result<(), GatewayError> {
        let patient = known.patient.as_bytes();
        let mut rows = vec![self.row(RosterKind::Pseudonym, patient, &to_bytes(known))];
        rows.extend(locators.iter().map(|l| self.row(RosterKind::Locator, l.as_bytes(), patient)));
        Ok(self.store.put_roster(rows).await?)
    }

    /// Reads who was erased and who was merged; once, at the start.
    pub(crate) async fn load(&self) -> Result<(), GatewayError> {
        for row in self.rows(RosterKind::Merge).await? {
            let merge = Merge::read(&row)?;
            if merge.holds && merge.before.is_some() {
                self.merged().insert(merge.source, merge.target);
            }
        }
        for erased in self.all_erased().await? {
            self.erased.lock().unwrap_or_else(PoisonError::into_inner).insert(erased.patient);
        }
        Ok(())
    }

    fn merged(&self) -> MutexGuard<'_, HashMap<Pseudonym, Pseudonym>> {
        self.merged.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Who stands for a patient: another one into whom it was merged, or itself.
    pub(crate) fn surviving(&self, patient: Pseudonym) -> Pseudonym {
        self.merged().get(&patient).copied().unwrap_or(patient)
    }

    /// Whether two identities are of one patient. What is kept of a patient stays with the identity that it was made for,
    /// and is looked for by this: so it follows a merge, and each has its own again when the merge is undone.
    pub(crate) fn are_one(&self, one: Pseudonym, other: Pseudonym) -> bool {
        self.surviving(one) == self.surviving(other)
    }

    /// All identities of a patient: the one that stands for them first.
    pub(crate) fn identities(&self, patient: Pseudonym) -> Vec<Pseudonym> {
        let surviving = self.surviving(patient);
        std::iter::once(surviving).chain(self.merged_into(surviving)).collect()
    }

    /// Those who were merged into a patient.
    pub(crate) fn merged_into(&self, patient: Pseudonym) -> Vec<Pseudonym> {
        self.merged().iter().filter(|(_, target)| **target == patient).map(|(source, _)| *source).collect()
    }

    /// The merge by which an identity was given up.
    pub(crate) async fn merge(&self, source: Pseudonym) -> Result<Option<Merge>, GatewayError> {
        self.read(RosterKind::Merge, source.as_bytes()).await?.map(|row| Merge::read(&row)).transpose()
    }

    /// Keeps a merge. Where it holds, and only there, everything of the one leads to the other.
    pub(crate) async fn put_merge(&self, merge: &Merge) -> Result<(), GatewayError> {
        self.store.put_roster(vec![self.row(RosterKind::Merge, merge.source.as_bytes(), &merge.row())]).await?;
        let mut merged = self.merged();
        if merge.holds {
            merged.insert(merge.source, merge.target);
        } else {
            merged.remove(&merge.source);
        }
        Ok(())
    }

    /// Takes note that a merge does not hold any more. What the consent authority needs to undo it stays.
    pub(crate) async fn merge_undone(&self, source: Pseudonym) -> Result<(), GatewayError> {
        match self.merge(source).await? {
            Some(mut merge) if merge.before.is_some() => {
                merge.holds = false;
                self.put_merge(&merge).await
            }
            _ => self.remove_merge(source).await,
        }
    }

    /// What another hospital merged may be undone, once consent changed: it is read anew. Until then the two are what they
    /// were before, and what is written for one is found in both.
    pub(crate) async fn doubt_merges(&self, of: Option<Pseudonym>) -> Result<(), GatewayError> {
        let concerned: Vec<Pseudonym> = {
            let merged = self.merged();
            let is_of = |(source, target): &(&Pseudonym, &Pseudonym)| {
                of.is_none_or(|patient| **source == patient || **target == patient)
            };
            merged.iter().filter(is_of).map(|(source, _)| *source).collect()
        };
        for source in concerned {
            if self.merge(source).await?.is_none_or(|merge| merge.before.is_none()) {
                self.merged().remove(&source);
            }
        }
        Ok(())
    }

    /// Keeps a merge no longer.
    pub(crate) async fn remove_merge(&self, source: Pseudonym) -> Result<(), GatewayError> {
        self.store.remove_roster(RosterKind::Merge, self.key(RosterKind::Merge, source.as_bytes())).await?;
        self.merged().remove(&source);
        Ok(())
    }

    /// What remains of everybody who was erased.
    pub(crate) async fn all_erased(&self) -> Result<Vec<Erased>, GatewayError> {
        let rows = self.rows(RosterKind::Erased).await?;
        rows.iter().map(|row| Erased::read(row)).collect()
    }

    /// What remains of one.
    pub(crate) async fn erased(&self, patient: Pseudonym) -> Result<Option<Erased>, GatewayError> {
        self.read(RosterKind::Erased, patient.as_bytes()).await?.map(|row| Erased::read(&row)).transpose()
    }

    /// Keeps what remains. From now on no identifier and no resource leads to the patient.
    pub(crate) async fn put_erased(&self, erased: &Erased) -> Result<(), GatewayError> {
        let row = self.row(RosterKind::Erased, erased.patient.as_bytes(), &to_bytes(erased));
        self.store.put_roster(vec![row]).await?;
        self.erased.lock().unwrap_or_else(PoisonError::into_inner).insert(erased.patient);
        Ok(())
    }

    /// Whether a patient was erased.
    pub(crate) fn is_erased(&self, patient: Pseudonym) -> bool {
        self.erased.lock().unwrap_or_else(PoisonError::into_inner).contains(&patient)
    }

    /// Whether a resource was of a patient who was erased.
    pub(crate) async fn was_erased(&self, kind: &str, id: &str) -> Result<bool, GatewayError> {
        Ok(self.owner(kind, id).await?.is_some_and(|patient| self.is_erased(patient)))
    }

    /// Removes a patient with its Consents and the identifiers that lead there.
    pub(crate) async fn remove(&self, patient: Pseudonym, locators: &[Locator]) -> Result<(), GatewayError> {
        for locator in locators {
            // The person may have come back meanwhile.
            if self.pseudonym(RosterKind::Locator, locator.as_bytes()).await? == Some(patient) {
                let key = self.key(RosterKind::Locator, locator.as_bytes());
                self.store.remove_roster(RosterKind::Locator, key).await?;
            }
        }
        for kind in [RosterKind::Consents, RosterKind::Pseudonym] {
            self.store.remove_roster(kind, self.key(kind, patient.as_bytes())).await?;
        }
        Ok(())
    }

    /// Keeps which patient some resources belong to, that this hospital writes.
    pub(crate) async fn put_resources(
        &self,
        patient: Pseudonym,
        resources: impl IntoIterator<Item = (&str, &str)>,
    ) -> Result<(), GatewayError> {
        let rows = self.resource_rows(patient, resources);
        if rows.is_empty() {
            return Ok(());
        }
        let keys: Vec<_> = rows.iter().map(|(_, key, _)| *key).collect();
        self.remember(&keys, patient);
        self.store.put_roster(rows).await?;
        self.remember(&keys, patient);
        Ok(())
    }

    /// The same of resources that were read. Ids are a hospital's own: what leads to one patient already is not led to
    /// another because a resource of another hospital has the same id.
    pub(crate) async fn add_resources(
        &self,
        patient: Pseudonym,
        resources: impl IntoIterator<Item = (&str, &str)>,
    ) -> Result<(), GatewayError> {
        let rows = self.resource_rows(patient, resources);
        if rows.is_empty() {
            return Ok(());
        }
        let keys: Vec<_> = rows.iter().map(|(_, key, _)| *key).collect();
        self.store.add_roster(rows).await?;
        let mut remembered = self.remembered();
        remembered.writes += 1;
        for key in keys {
            remembered.owners.remove(&key);
        }
        Ok(())
    }

    fn resource_rows<'kind, 'id>(
        &self,
        patient: Pseudonym,
        resources: impl IntoIterator<Item = (&'kind str, &'id str)>,
    ) -> Vec<(RosterKind, [u8; 32], Vec<u8>)> {
        let row = |(kind, id)| self.row(RosterKind::Resource, format!("{kind}/{id}").as_bytes(), patient.as_bytes());
        resources.into_iter().map(row).collect()
    }

    /// Looked up often, and by nobody else changed.
    fn remember(&self, keys: &[[u8; 32]], patient: Pseudonym) {
        let mut remembered = self.remembered();
        remembered.writes += 1;
        remembered.make_room();
        remembered.owners.extend(keys.iter().map(|key| (*key, Some(patient))));
    }

    fn remembered(&self) -> MutexGuard<'_, Remembered> {
        self.remembered.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Everybody whose Patient was kept, as it was kept.
    pub(crate) async fn people(&self) -> Result<Vec<Vec<u8>>, GatewayError> {
        self.rows(RosterKind::Person).await
    }

    /// Keeps a Patient.
    pub(crate) async fn put_person(&self, patient: Pseudonym, id: &str, person: &[u8]) -> Result<(), GatewayError> {
        let name = [patient.as_bytes().as_slice(), id.as_bytes()].concat();
        Ok(self.store.put_roster(vec![self.row(RosterKind::Person, &name, person)]).await?)
    }

    /// Keeps a Patient no longer.
    pub(crate) async fn remove_person(&self, patient: Pseudonym, id: &str) -> Result<(), GatewayError> {
        let name = [patient.as_bytes().as_slice(), id.as_bytes()].concat();
        Ok(self.store.remove_roster(RosterKind::Person, self.key(RosterKind::Person, &name)).await?)
    }

    /// Everything that was refused and is kept, by its number in hexadecimal.
    pub(crate) async fn refused(&self) -> Result<Vec<(String, Vec<u8>)>, GatewayError> {
        let rows = self.store.roster_rows(RosterKind::Refused).await?;
        let open = |(key, sealed): ([u8; 32], Vec<u8>)| {
            let plain = self.member.kek().unwrap(&[b"roster", &key], &sealed);
            let plain = plain.map_err(|_| GatewayError::Kept("a row of the roster does not open"))?;
            Ok((hex::encode(key), plain.to_vec()))
        };
        rows.into_iter().map(open).collect()
    }

    /// How much was refused and is kept.
    pub(crate) async fn refused_count(&self) -> Result<u64, GatewayError> {
        Ok(self.store.roster_count(RosterKind::Refused).await?)
    }

    /// One of them.
    pub(crate) async fn one_refused(&self, id: &str) -> Result<Option<Vec<u8>>, GatewayError> {
        let mut key = [0; 32];
        if hex::decode_to_slice(id, &mut key).is_err() {
            return Ok(None);
        }
        let Some(sealed) = self.store.roster(RosterKind::Refused, key).await? else { return Ok(None) };
        let plain = self.member.kek().unwrap(&[b"roster", &key], &sealed);
        plain.map(|plain| Some(plain.to_vec())).map_err(|_| GatewayError::Kept("a row of the roster does not open"))
    }

    /// Keeps what was refused, once however often it comes.
    pub(crate) async fn put_refused(&self, number: &[u8], refused: &[u8]) -> Result<(), GatewayError> {
        Ok(self.store.put_roster(vec![self.row(RosterKind::Refused, number, refused)]).await?)
    }

    /// Keeps it no longer.
    pub(crate) async fn remove_refused(&self, id: &str) -> Result<(), GatewayError> {
        let mut key = [0; 32];
        if hex::decode_to_slice(id, &mut key).is_err() {
            return Ok(());
        }
        Ok(self.store.remove_roster(RosterKind::Refused, key).await?)
    }

    /// What is kept of a patient's Consents, where this hospital is the consent authority and there are any.
    pub(crate) async fn consents(&self, patient: Pseudonym) -> Result<Option<Book>, GatewayError> {
        let Some(bytes) = self.read(RosterKind::Consents, patient.as_bytes()).await? else { return Ok(None) };
        let book = from_bytes(&bytes, CONSENTS_BYTES_MAX);
        book.map(Some).map_err(|_| GatewayError::Kept("a row of the roster cannot be read"))
    }

    /// Whether this hospital keeps a patient's consent, and no Consent may limit its own users: then all of them may
    /// read the record.
    pub(crate) async fn is_plainly_own(&self, patient: Pseudonym) -> Result<bool, GatewayError> {
        if self.plainly_own.lock().unwrap_or_else(PoisonError::into_inner).contains(&patient) {
            return Ok(!self.is_erased(patient));
        }
        let own = self.known(patient).await?.is_some_and(|known| !known.directive.0.is_empty());
        if !own || self.is_erased(patient) || self.read(RosterKind::Consents, patient.as_bytes()).await?.is_some() {
            return Ok(false);
        }
        self.plainly_own.lock().unwrap_or_else(PoisonError::into_inner).insert(patient);
        Ok(true)
    }

    /// Keeps them.
    pub(crate) async fn put_consents(&self, patient: Pseudonym, book: &Book) -> Result<(), GatewayError> {
        let bytes = to_bytes(book);
        if bytes.len() > CONSENTS_BYTES_MAX {
            return Err(GatewayError::request(
                422,
                IssueCode::TooLong,
                "consents-too-large",
                "the patient's Consents in force are larger than 1 MiB together",
                "set the status of those to inactive that are not needed, or leave out their narratives",
            ));
        }
        self.store.put_roster(vec![self.row(RosterKind::Consents, patient.as_bytes(), &bytes)]).await?;
        self.plainly_own.lock().unwrap_or_else(PoisonError::into_inner).remove(&patient);
        Ok(())
    }

    /// Keeps none any more.
    pub(crate) async fn remove_consents(&self, patient: Pseudonym) -> Result<(), GatewayError> {
        let key = self.key(RosterKind::Consents, patient.as_bytes());
        Ok(self.store.remove_roster(RosterKind::Consents, key).await?)
    }

    /// All enrolled devices.
    pub(crate) async fn devices(&self) -> Result<Vec<Vec<u8>>, GatewayError> {
        self.rows(RosterKind::Device).await
    }

    /// A device by its id.
    pub(crate) async fn device(&self, id: &str) -> Result<Option<Vec<u8>>, GatewayError> {
        self.read(RosterKind::Device, id.as_bytes()).await
    }

    /// Keeps a device's enrolment.
    pub(crate) async fn put_device(&self, id: &str, enrolment: &[u8]) -> Result<(), GatewayError> {
        Ok(self.store.put_roster(vec![self.row(RosterKind::Device, id.as_bytes(), enrolment)]).await?)
    }

    /// All emergency accesses.
    pub(crate) async fn emergencies(&self) -> Result<Vec<Vec<u8>>, GatewayError> {
        self.rows(RosterKind::Emergency).await
    }

    /// Keeps an emergency access.
    pub(crate) async fn put_emergency(&self, id: &str, access: &[u8]) -> Result<(), GatewayError> {
        Ok(self.store.put_roster(vec![self.row(RosterKind::Emergency, id.as_bytes(), access)]).await?)
    }

    /// The report of an emergency access.
    pub(crate) async fn emergency_report(&self, id: &str) -> Result<Option<Vec<u8>>, GatewayError> {
        self.read(RosterKind::EmergencyReport, id.as_bytes()).await
    }

    /// Keeps the report of an emergency access, the first one.
    pub(crate) async fn put_emergency_report(&self, id: &str, report: &[u8]) -> Result<(), GatewayError> {
        Ok(self.store.add_roster(vec![self.row(RosterKind::EmergencyReport, id.as_bytes(), report)]).await?)
    }

    /// All notices about emergency accesses.
    pub(crate) async fn tells(&self) -> Result<Vec<Vec<u8>>, GatewayError> {
        self.rows(RosterKind::EmergencyNotice).await
    }

    /// Keeps a notice about an emergency access.
    pub(crate) async fn put_tell(&self, id: &str, tell: &[u8]) -> Result<(), GatewayError> {
        Ok(self.store.put_roster(vec![self.row(RosterKind::EmergencyNotice, id.as_bytes(), tell)]).await?)
    }

    /// Everything of a kind that has no methods of its own.
    pub(crate) async fn all(&self, kind: RosterKind) -> Result<Vec<Vec<u8>>, GatewayError> {
        self.rows(kind).await
    }

    /// Keeps a row of such a kind, in place of the one of this name.
    pub(crate) async fn put_row(&self, kind: RosterKind, name: &[u8], row: &[u8]) -> Result<(), GatewayError> {
        Ok(self.store.put_roster(vec![self.row(kind, name, row)]).await?)
    }

    /// Keeps it no longer.
    pub(crate) async fn remove_row(&self, kind: RosterKind, name: &[u8]) -> Result<(), GatewayError> {
        Ok(self.store.remove_roster(kind, self.key(kind, name)).await?)
    }

    async fn rows(&self, kind: RosterKind) -> Result<Vec<Vec<u8>>, GatewayError> {
        let rows = self.store.roster_rows(kind).await?;
        let open = |(key, sealed): ([u8; 32], Vec<u8>)| {
            let plain = self.member.kek().unwrap(&[b"roster", &key], &sealed);
            plain.map(|plain| plain.to_vec()).map_err(|_| GatewayError::Kept("a row of the roster does not open"))
        };
        rows.into_iter().map(open).collect()
    }

    /// A patient by pseudonym.
    pub(crate) async fn known(&self, patient: Pseudonym) -> Result<Option<Known>, GatewayError> {
        let Some(bytes) = self.read(RosterKind::Pseudonym, patient.as_bytes()).await? else { return Ok(None) };
        let known = from_bytes(&bytes, 3 * STATEMENT_BYTES_MAX);
        known.map(Some).map_err(|_| GatewayError::Kept("a row of the roster cannot be read"))
    }

    /// Whether a patient's record can be there: nothing is written before the registration is confirmed, which a
    /// crash may have cut off and the next write completes.
    pub(crate) async fn is_registered(&self, patient: Pseudonym) -> Result<bool, GatewayError> {
        Ok(self.known(patient).await?.is_none_or(|known| known.registered))
    }

    /// The patient that one of these identifiers leads to.
    pub(crate) async fn by_locators(&self, locators: &[Locator]) -> Result<Option<Pseudonym>, GatewayError> {
        for locator in locators {
            if let Some(patient) = self.by_locator(*locator).await? {
                return Ok(Some(patient));
            }
        }
        Ok(None)
    }

    /// The patient that an identifier leads to.
    pub(crate) async fn by_locator(&self, locator: Locator) -> Result<Option<Pseudonym>, GatewayError> {
        let found = self.pseudonym(RosterKind::Locator, locator.as_bytes()).await?;
        Ok(found.filter(|patient| !self.is_erased(*patient)))
    }

    /// The patient that a resource belongs to.
    pub(crate) async fn by_resource(&self, kind: &str, id: &str) -> Result<Option<Pseudonym>, GatewayError> {
        Ok(self.owner(kind, id).await?.filter(|patient| !self.is_erased(*patient)))
    }

    /// The same, erased or not.
    async fn owner(&self, kind: &str, id: &str) -> Result<Option<Pseudonym>, GatewayError> {
        let name = format!("{kind}/{id}");
        let key = self.key(RosterKind::Resource, name.as_bytes());
        let writes = {
            let remembered = self.remembered();
            if let Some(owner) = remembered.owners.get(&key) {
                return Ok(*owner);
            }
            remembered.writes
        };
        let found = self.pseudonym(RosterKind::Resource, name.as_bytes()).await?;
        let mut remembered = self.remembered();
        if found.is_some() || remembered.writes == writes {
            remembered.make_room();
            remembered.owners.insert(key, found);
        }
        Ok(found)
    }

    async fn pseudonym(&self, kind: RosterKind, name: &[u8]) -> Result<Option<Pseudonym>, GatewayError> {
        let Some(bytes) = self.read(kind, name).await? else { return Ok(None) };
        let read = Pseudonym::from_slice(&bytes);
        read.map(Some).ok_or(GatewayError::Kept("a row of the roster cannot be read"))
    }

    async fn read(&self, kind: RosterKind, name: &[u8]) -> Result<Option<Vec<u8>>, GatewayError> {
        let key = self.key(kind, name);
        let Some(sealed) = self.store.roster(kind, key).await? else { return Ok(None) };
        let plain = self.member.kek().unwrap(&[b"roster", &key], &sealed);
        plain.map(|p| Some(p.to_vec())).map_err(|_| GatewayError::Kept("a row of the roster does not open"))
    }

    fn row(&self, kind: RosterKind, name: &[u8], content: &[u8]) -> (RosterKind, [u8; 32], Vec<u8>) {
        let key = self.key(kind, name);
        (kind, key, self.member.kek().wrap(&[b"roster", &key], content))
    }

    fn key(&self, kind: RosterKind, name: &[u8]) -> [u8; 32] {
        let kind: &[u8] = match kind {
            RosterKind::Locator => b"locator",
            RosterKind::Resource => b"resource",
            RosterKind::Pseudonym => b"pseudonym",
            RosterKind::Person => b"person",
            RosterKind::Device => b"device",
            RosterKind::Refused => b"refused",
            RosterKind::Consents => b"consents",
            RosterKind::Emergency => b"emergency",
            RosterKind::EmergencyReport => b"emergency report",
            RosterKind::EmergencyNotice => b"emergency notice",
            RosterKind::Erased => b"erased",
            RosterKind::Delegation => b"delegation",
            RosterKind::Passkey => b"passkey",
            RosterKind::PasskeyInvitation => b"passkey invitation",
            RosterKind::Merge => b"merge",
            RosterKind::Subscription => b"subscription",
            RosterKind::Browser => b"browser",
            RosterKind::PushMessage => b"push message",
            RosterKind::Question => b"question",
        };
        mac(&self.index, "sealwort roster v1", &[kind, name])
    }
}
