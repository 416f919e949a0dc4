//! Whose record an entry goes into: the partition of a Bundle's resources by patient. It resolves
//! references inside the Bundle only; patients that it names and does not hold are the gateway's to
//! find in its roster.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::bundle::{self, Bundle, BundleEntry};
use crate::compartment::{PatientTarget, patient_references};
use crate::error::FhirError;
use crate::identifier::{Identifier, parse_token, patient_identifiers};
use crate::reference::{tail, unversioned};
use crate::{Reference, Resource, ResourceId, ResourceType};

/// Most pairs of entry and patient that one Bundle may lead to. A resource that many patients share
/// is stored once for each of them.
pub const ASSIGNMENTS_MAX: usize = 1_000_000;

/// A patient that a Bundle holds or names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum PatientKey {
    /// The Patient resource in this entry.
    Entry(usize),
    /// `Patient/id` on the server that receives the Bundle.
    Reference(ResourceId),
    /// A Patient by URL. The same id on another server is another patient, so the gateway takes it
    /// for its own only where the base is its own.
    Absolute(String),
    /// A Patient by identifier: a conditional reference, or one that holds an identifier alone.
    Identifier(Identifier),
}

/// A patient and the entries that go into the record, in ascending order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PatientGroup {
    /// Who it is.
    pub key: PatientKey,
    /// Indices of entries.
    pub entries: Vec<usize>,
}

/// A Bundle's entries by patient.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Partition {
    /// One group for each patient: first those that the Bundle holds, in its order.
    pub groups: Vec<PatientGroup>,
    /// Entries with a resource that goes to nobody.
    pub unassigned: Vec<usize>,
}

/// Assigns every resource of a Bundle to patients.
///
/// 1. A Patient goes into its own record.
/// 2. A resource in patients' compartments goes to each of them that the Bundle holds; when it holds
///    none of them, to those it names.
/// 3. A resource in no compartment goes to every patient whose resources refer to it, directly or
///    through others of its kind (an Organization, a Medication); when none does, to the patients
///    whose resources it refers to (a Provenance).
/// 4. What is left goes to the only patient, when there is only one.
///
/// # Errors
/// [`FhirError::NoPatient`] when the Bundle has resources and no patient; [`FhirError::Unassigned`]
/// when resources are left over; [`FhirError::TooManyAssignments`].
pub fn assign_patients(bundle: &Bundle) -> Result<Vec<PatientGroup>, FhirError> {
    let Partition { groups, unassigned } = partition(bundle)?;
    if unassigned.is_empty() {
        Ok(groups)
    } else if groups.is_empty() {
        Err(FhirError::NoPatient)
    } else {
        Err(FhirError::Unassigned { entries: unassigned })
    }
}

/// As [`assign_patients`], reporting what is left over instead of refusing it.
///
/// # Errors
/// [`FhirError::TooManyAssignments`].
pub fn partition(bundle: &Bundle) -> Result<Partition, FhirError> {
    let index = Index::new(bundle);
    let mut work = Work::new(&index);
    work.spread()?;
    work.adopt()?;
    work.fill()?;
    Ok(work.finish())
}

/// Where references inside the Bundle lead.
struct Index<'b> {
    entries: &'b [BundleEntry],
    by_url: HashMap<&'b str, usize>,
    by_identity: HashMap<(ResourceType, ResourceId), usize>,
    /// Nothing where two Patients have the same identifier: it then tells nobody apart.
    by_identifier: HashMap<Identifier, Option<usize>>,
}

impl<'b> Index<'b> {
    fn new(bundle: &'b Bundle) -> Self {
        let mut index = Self {
            entries: bundle.entries(),
            by_url: HashMap::new(),
            by_identity: HashMap::new(),
            by_identifier: HashMap::new(),
        };
        for (at, entry) in bundle.entries().iter().enumerate() {
            let Some(resource) = &entry.resource else {
                continue;
            };
            let resource_type = resource.resource_type();
            if let Some(url) = entry.full_url.as_deref().map(unversioned) {
                index.by_url.entry(url).or_insert(at);
                if let Some((named, id)) = tail(url).filter(|(named, _)| *named == resource_type) {
                    index.by_identity.entry((named, id)).or_insert(at);
                }
            }
            if let Some(id) = bundle::logical_id(entry) {
                index.by_identity.entry((resource_type, id)).or_insert(at);
            }
            if resource_type == ResourceType::PATIENT {
                for identifier in patient_identifiers(resource) {
                    let known = index.by_identifier.entry(identifier).or_insert(Some(at));
                    if *known != Some(at) {
                        *known = None;
                    }
                }
            }
        }
        index
    }

    fn resource(&self, at: usize) -> Option<&'b Resource> {
        self.entries.get(at)?.resource.as_ref()
    }

    fn is_patient(&self, at: usize) -> bool {
        self.resource(at).is_some_and(|r| r.resource_type() == ResourceType::PATIENT)
    }

    fn resolve(&self, reference: &Reference) -> Option<usize> {
        match reference {
            Reference::Relative { resource_type, id } => self.by_identity.get(&(*resource_type, id.clone())).copied(),
            Reference::Uuid(url) | Reference::Absolute { url, .. } => self.by_url.get(url.as_str()).copied(),
            Reference::Conditional { resource_type, query } if *resource_type == ResourceType::PATIENT => {
                self.by_identifier.get(&conditional_identifier(query)?).copied().flatten()
            }
            _ => None,
        }
    }

    /// The patients whose compartments a resource is in.
    fn homes(&self, at: usize, resource: &Resource) -> Vec<PatientKey> {
        if resource.resource_type() == ResourceType::PATIENT {
            return vec![PatientKey::Entry(at)];
        }
        let (mut here, mut elsewhere) = (BTreeSet::new(), BTreeSet::new());
        for found in patient_references(resource) {
            let target = match &found.target {
                PatientTarget::Reference(reference) => self.resolve(reference),
                PatientTarget::Identifier(identifier) => self.by_identifier.get(identifier).copied().flatten(),
            };
            if let Some(target) = target {
                if self.is_patient(target) {
                    here.insert(PatientKey::Entry(target));
                }
                continue;
            }
            elsewhere.extend(match found.target {
                PatientTarget::Reference(Reference::Relative { id, .. }) => Some(PatientKey::Reference(id)),
                PatientTarget::Reference(Reference::Absolute { url, target: Some(_) }) => {
                    Some(PatientKey::Absolute(url))
                }
                PatientTarget::Reference(Reference::Conditional { query, .. }) => {
                    conditional_identifier(&query).map(PatientKey::Identifier)
                }
                PatientTarget::Identifier(identifier) => Some(PatientKey::Identifier(identifier)),
                // A URN, or a URL without a type, that the Bundle does not hold: it may be anybody.
                PatientTarget::Reference(_) => None,
            });
        }
        if here.is_empty() { elsewhere } else { here }.into_iter().collect()
    }

    /// The entries that a resource refers to.
    fn targets(&self, resource: &Resource) -> Vec<usize> {
        let links = resource.links().iter().map(|link| link.reference.as_str());
        links
            .chain(resource.attachments().iter().map(String::as_str))
            .filter_map(|text| self.resolve(&Reference::parse(text)))
            .collect()
    }
}

/// The identifier in `identifier=system|value`, the only search by which a conditional reference
/// names a patient here.
fn conditional_identifier(query: &str) -> Option<Identifier> {
    let value = query.strip_prefix("identifier=")?;
    if value.contains('&') {
        return None;
    }
    parse_token(&percent_decoded(value)?).ok()?.identifier()
}

fn percent_decoded(text: &str) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
            let value = digit(rest.next())? * 16 + digit(rest.next())?;
            out.push(u8::try_from(value).ok()?);
        } else {
            out.push(byte);
        }
    }
    String::from_utf8(out).ok()
}

/// A partition in the making.
struct Work {
    /// For each entry, the patients whose compartments it is in; they are final.
    homes: Vec<Vec<PatientKey>>,
    /// For each entry, the entries it refers to.
    targets: Vec<Vec<usize>>,
    has_resource: Vec<bool>,
    only: Option<PatientKey>,
    groups: BTreeMap<PatientKey, BTreeSet<usize>>,
    /// Whether an entry is in a group.
    placed: Vec<bool>,
    assignments: usize,
}

impl Work {
    fn new(index: &Index<'_>) -> Self {
        let read = |at: usize, entry: &BundleEntry| {
            let resource = entry.resource.as_ref();
            resource.map_or((Vec::new(), Vec::new()), |r| (index.homes(at, r), index.targets(r)))
        };
        let (homes, targets): (Vec<_>, Vec<_>) =
            index.entries.iter().enumerate().map(|(at, entry)| read(at, entry)).unzip();
        let has_resource = index.entries.iter().map(|entry| entry.resource.is_some()).collect();
        let keys: BTreeSet<&PatientKey> = homes.iter().flatten().collect();
        let held: Vec<&PatientKey> = keys.iter().copied().filter(|key| matches!(key, PatientKey::Entry(_))).collect();
        let only = match (held.as_slice(), keys.len()) {
            ([one], _) => Some((*one).clone()),
            ([], 1) => keys.first().map(|one| (*one).clone()),
            _ => None,
        };
        let placed = vec![false; homes.len()];
        Self { homes, targets, has_resource, only, groups: BTreeMap::new(), placed, assignments: 0 }
    }

    fn place(&mut self, key: &PatientKey, at: usize) -> Result<bool, FhirError> {
        let new = match self.groups.get_mut(key) {
            Some(group) => group.insert(at),
            None => self.groups.entry(key.clone()).or_default().insert(at),
        };
        if new {
            self.assignments += 1;
            if self.assignments > ASSIGNMENTS_MAX {
                return Err(FhirError::TooManyAssignments { limit: ASSIGNMENTS_MAX });
            }
            if let Some(placed) = self.placed.get_mut(at) {
                *placed = true;
            }
        }
        Ok(new)
    }

    /// Whether the entry has a resource that is in nobody's compartment.
    fn is_shared(&self, at: usize) -> bool {
        self.has_resource.get(at).copied().unwrap_or_default() && self.homes.get(at).is_some_and(Vec::is_empty)
    }

    fn left(&self) -> Vec<usize> {
        let placed = |at: &usize| self.placed.get(*at).copied().unwrap_or_default();
        (0..self.homes.len()).filter(|at| self.is_shared(*at) && !placed(at)).collect()
    }

    /// Rules 1 and 2, and rule 3 along references.
    fn spread(&mut self) -> Result<(), FhirError> {
        let mut owned: BTreeMap<PatientKey, Vec<usize>> = BTreeMap::new();
        for (at, homes) in self.homes.iter().enumerate() {
            for key in homes {
                owned.entry(key.clone()).or_default().push(at);
            }
        }
        owned.into_iter().try_for_each(|(key, entries)| self.follow(&key, entries))
    }

    /// Places entries and, from them on, every shared resource that they lead to.
    fn follow(&mut self, key: &PatientKey, mut open: Vec<usize>) -> Result<(), FhirError> {
        while let Some(at) = open.pop() {
            if self.place(key, at)? {
                let targets = self.targets.get(at).map(Vec::as_slice).unwrap_or_default();
                open.extend(targets.iter().copied().filter(|target| self.is_shared(*target)));
            }
        }
        Ok(())
    }

    /// Rule 3 against references: resources that nobody refers to and that refer to patients'
    /// resources.
    fn adopt(&mut self) -> Result<(), FhirError> {
        for at in self.left() {
            let targets = self.targets.get(at).map(Vec::as_slice).unwrap_or_default();
            let keys: BTreeSet<PatientKey> =
                targets.iter().filter_map(|target| self.homes.get(*target)).flatten().cloned().collect();
            keys.iter().try_for_each(|key| self.follow(key, vec![at]))?;
        }
        Ok(())
    }

    /// Rule 4.
    fn fill(&mut self) -> Result<(), FhirError> {
        let Some(only) = self.only.clone() else {
            return Ok(());
        };
        self.left().into_iter().try_for_each(|at| self.place(&only, at).map(drop))
    }

    fn finish(self) -> Partition {
        let unassigned = self.left();
        let groups = self.groups.into_iter();
        let groups = groups.map(|(key, entries)| PatientGroup { key, entries: entries.into_iter().collect() });
        Partition { groups: groups.collect(), unassigned }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

    use super::*;
    use crate::parse_bundle;

    /// Entries are `fullUrl resource`, or `- resource` without one; the resource without braces.
    fn bundle(entries: &[&str]) -> Bundle {
        let entries: Vec<_> = entries
            .iter()
            .map(|entry| {
                let (url, resource) = entry.split_once(' ').unwrap();
                let url = if url == "-" { String::new() } else { format!("\"fullUrl\":\"{url}\",") };
                format!("{{{url}\"resource\":{{\"resourceType\":{resource}}}}}")
            })
            .collect();
        let text = format!("{{\"resourceType\":\"Bundle\",\"type\":\"collection\",\"entry\":[{}]}}", entries.join(","));
        parse_bundle(text.into_bytes()).unwrap()
    }

    fn show(groups: &[PatientGroup]) -> String {
        let key = |key: &PatientKey| match key {
            PatientKey::Entry(at) => format!("#{at}"),
            PatientKey::Reference(id) => format!("Patient/{id}"),
            PatientKey::Absolute(url) => url.clone(),
            PatientKey::Identifier(identifier) => identifier.to_string(),
        };
        let one = |group: &PatientGroup| format!("{} {:?}", key(&group.key), group.entries);
        groups.iter().map(one).collect::<Vec<_>>().join("; ")
    }

    const A: &str = r#"urn:uuid:a "Patient""#;
    const B: &str = r#"urn:uuid:b "Patient""#;

    #[test]
    fn partitions() {
        /// What it shows, the entries, and the groups or the entries left over.
        type Case = (&'static str, &'static [&'static str], Result<&'static str, &'static [usize]>);
        let cases: &[Case] = &[
            ("empty", &[], Ok("")),
            (
                "one patient takes everything that names nobody else",
                &[
                    A,
                    r#"- "Observation""#,
                    r#"- "Organization""#,
                    r#"- "Observation","subject":{"reference":"urn:uuid:gone"}"#,
                ],
                Ok("#0 [0, 1, 2, 3]"),
            ),
            (
                "every form of reference",
                &[
                    r#"https://h.example/fhir/Patient/a "Patient","id":"a""#,
                    B,
                    r#"- "Observation","subject":{"reference":"Patient/a"}"#,
                    r#"- "Observation","subject":{"reference":"https://h.example/fhir/Patient/a/_history/4"}"#,
                    r#"- "Observation","subject":{"reference":"urn:uuid:b"}"#,
                    r#"- "Observation","subject":{"reference":"Patient/b"}"#,
                ],
                Ok("#0 [0, 2, 3]; #1 [1, 4, 5]"),
            ),
            (
                "by identifier",
                &[
                    r#"- "Patient","identifier":[{"system":"https://h.example/mrn","value":"7"}]"#,
                    B,
                    r#"- "Observation","subject":{"reference":"Patient?identifier=https%3A%2F%2Fh.example/mrn|7"}"#,
                    r#"- "Observation","subject":{"identifier":{"system":"https://h.example/mrn","value":"7"}}"#,
                ],
                Ok("#0 [0, 2, 3]; #1 [1]"),
            ),
            (
                "two patients share one resource",
                &[
                    A,
                    B,
                    r#"- "Observation","subject":{"reference":"urn:uuid:a"},"performer":[{"reference":"urn:uuid:b"}]"#,
                ],
                Ok("#0 [0, 2]; #1 [1, 2]"),
            ),
            (
                "shared resources go where they are referred to, through others",
                &[
                    A,
                    B,
                    r#"urn:uuid:o1 "Observation","subject":{"reference":"urn:uuid:a"},"performer":[{"reference":"urn:uuid:role"}]"#,
                    r#"urn:uuid:role "PractitionerRole","organization":{"reference":"urn:uuid:org"}"#,
                    r#"urn:uuid:org "Organization","partOf":{"reference":"urn:uuid:parent"}"#,
                    r#"urn:uuid:parent "Organization","partOf":{"reference":"urn:uuid:org"}"#,
                    r#"urn:uuid:o2 "Condition","subject":{"reference":"urn:uuid:b"},"asserter":{"reference":"urn:uuid:doctor"}"#,
                    r#"urn:uuid:doctor "Practitioner""#,
                ],
                Ok("#0 [0, 2, 3, 4, 5]; #1 [1, 6, 7]"),
            ),
            (
                "a patient's own resources are not shared by a reference",
                &[
                    A,
                    B,
                    r#"urn:uuid:o1 "Observation","subject":{"reference":"urn:uuid:a"}"#,
                    r#"- "Observation","subject":{"reference":"urn:uuid:b"},"derivedFrom":[{"reference":"urn:uuid:o1"}]"#,
                    r#"- "Patient","link":[{"other":{"reference":"urn:uuid:a"}}]"#,
                ],
                Ok("#0 [0, 2]; #1 [1, 3]; #4 [4]"),
            ),
            (
                "what refers to patients' resources and is in no compartment",
                &[
                    A,
                    B,
                    r#"urn:uuid:o1 "Observation","subject":{"reference":"urn:uuid:a"}"#,
                    r#"- "Provenance","target":[{"reference":"urn:uuid:o1"}],"agent":[{"who":{"reference":"urn:uuid:d"}}]"#,
                    r#"urn:uuid:d "Device""#,
                ],
                Ok("#0 [0, 2, 3, 4]; #1 [1]"),
            ),
            (
                "attachments",
                &[
                    A,
                    B,
                    r#"- "DocumentReference","subject":{"reference":"urn:uuid:b"},"content":[{"attachment":{"url":"urn:uuid:bin"}}]"#,
                    r#"urn:uuid:bin "Binary","contentType":"text/plain""#,
                ],
                Ok("#0 [0]; #1 [1, 2, 3]"),
            ),
            ("left over among several patients", &[A, r#"- "Organization""#, B, r#"- "Observation""#], Err(&[1, 3])),
            (
                "no Patient resource: by what is named",
                &[
                    r#"- "Observation","subject":{"reference":"Patient/x"}"#,
                    r#"- "Observation","subject":{"reference":"Patient/x"},"performer":[{"reference":"Practitioner/d"}]"#,
                    r#"- "Practitioner","id":"d""#,
                    r#"- "Organization""#,
                ],
                Ok("Patient/x [0, 1, 2, 3]"),
            ),
            (
                "no Patient resource, several named",
                &[
                    r#"- "Observation","subject":{"reference":"Patient/x"}"#,
                    r#"- "Observation","subject":{"reference":"https://h.example/fhir/Patient/x"}"#,
                    r#"- "Observation","subject":{"reference":"Patient?identifier=s|1"}"#,
                ],
                Ok("Patient/x [0]; https://h.example/fhir/Patient/x [1]; s|1 [2]"),
            ),
            (
                "another's resource is not filed under the Bundle's only patient",
                &[
                    A,
                    r#"- "Observation","subject":{"reference":"Patient/other"},"performer":[{"reference":"Organization/o"}]"#,
                    r#"- "Organization","id":"o""#,
                    r#"- "Condition","subject":{"reference":"urn:uuid:a"},"asserter":{"reference":"Patient/other"}"#,
                ],
                Ok("#0 [0, 3]; Patient/other [1, 2]"),
            ),
            ("nobody", &[r#"- "Organization""#], Err(&[0])),
            (
                "a urn that is no patient",
                &[
                    A,
                    B,
                    r#"urn:uuid:d "Practitioner""#,
                    r#"- "Appointment","participant":[{"actor":{"reference":"urn:uuid:d"}},{"actor":{"reference":"urn:uuid:b"}}]"#,
                ],
                Ok("#0 [0]; #1 [1, 2, 3]"),
            ),
        ];
        for (name, entries, expected) in cases {
            let found = assign_patients(&bundle(entries));
            match (expected, found) {
                (Ok(expected), Ok(groups)) => assert_eq!(show(&groups), *expected, "{name}"),
                (Err(entries), Err(FhirError::Unassigned { entries: found })) => {
                    assert_eq!(found, *entries, "{name}");
                }
                (Err(_), Err(FhirError::NoPatient)) => {}
                (_, found) => panic!("{name}: {found:?}"),
            }
        }
    }

    #[test]
    fn left_over_entries_are_named() {
        let error = assign_patients(&bundle(&[A, B, r#"- "Organization""#])).unwrap_err();
        assert_eq!(error.expressions(), ["Bundle.entry[2].resource"]);
        assert_eq!((error.http_status(), error.code()), (422, "entry-without-patient"));
        assert!(error.to_string().contains("Bundle.entry[2].resource"), "{error}");
    }

    #[test]
    fn shared_resources_cannot_multiply_without_end() {
        // 1,100 patients, each referring to the first of a chain of 1,000 organizations.
        let mut entries = Vec::new();
        for at in 0..1_100 {
            entries
                .push(format!(r#"- "Patient","id":"p{at}","managingOrganization":{{"reference":"Organization/o0"}}"#));
        }
        for at in 0..1_000 {
            entries
                .push(format!(r#"- "Organization","id":"o{at}","partOf":{{"reference":"Organization/o{}"}}"#, at + 1));
        }
        let entries: Vec<_> = entries.iter().map(String::as_str).collect();
        let error = assign_patients(&bundle(&entries)).unwrap_err();
        assert_eq!(error, FhirError::TooManyAssignments { limit: ASSIGNMENTS_MAX });
    }
}
