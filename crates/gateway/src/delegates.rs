//! Delegates: a parent, a carer, somebody with a power of attorney. What each may do for one patient, and until when, is
//! kept by the hospital that is the patient's consent authority, sealed in its roster, and looked at with every request:
//! the end of a delegation is the end of every token and answer that rests on it. A delegate is known by the name with
//! which they sign in, and never takes the patient's name. In the record stands a RelatedPerson, for people to read.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use minicbor::{Decode, Encode};
use sealwort_fhir::{Branch, IssueCode, ResourceType};
use sealwort_pki::UnixTime;
use sealwort_proto::Pseudonym;
use sealwort_proto::codec::{from_bytes, to_bytes};
use sealwort_proto::crypto::random;
use sealwort_smart::{Action, UserName};
use sealwort_store::RosterKind;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::Gateway;
use crate::authorization::seconds;
use crate::consent::authority_elsewhere;
use crate::error::GatewayError;
use crate::face::reply::date;
use crate::people::TREATMENT;
use crate::roster::Roster;
use crate::user::Asking;

/// Largest row, in bytes.
const ROW_BYTES_MAX: usize = 64 * 1024;
/// Most delegations of one patient.
const DELEGATIONS_PER_PATIENT_MAX: usize = 32;
/// Longest that a delegation lasts, in days; then somebody looks at it again.
const DAYS_MAX: u64 = 3660;
/// Longest name, in characters.
const NAME_CHARACTERS_MAX: usize = 128;
/// What delegates may be to a patient: codes of `http://terminology.hl7.org/CodeSystem/v3-RoleCode`.
const RELATIONSHIPS: [&str; 24] = [
    "PRN", "MTH", "FTH", "STPPRN", "PRNFOST", "GRPRN", "GUARD", "HPOWATT", "POWATT", "DPOWATT", "SPOWATT", "RESPRSN",
    "SPS", "HUSB", "WIFE", "DOMPART", "SIGOTHR", "CHILD", "SIB", "EXT", "FAMMEMB", "FRND", "NBOR", "SUBDM",
];
const ROLE_CODE_SYSTEM: &str = "http://terminology.hl7.org/CodeSystem/v3-RoleCode";

/// What a delegate may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Encode, Decode, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cbor(index_only)]
pub(crate) enum Right {
    /// Read and search.
    #[n(0)]
    Read,
    /// Add what patients may add themselves.
    #[n(1)]
    Write,
    /// Decide who else may read and write.
    #[n(2)]
    Consent,
}

/// A delegation as it is asked for.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct DelegationRequest {
    /// `system|value`, or the id of a Patient that this hospital knows.
    pub(crate) patient: String,
    /// The name with which the delegate signs in.
    pub(crate) account: String,
    /// The delegate's name, for people.
    pub(crate) name: String,
    /// A code of v3-RoleCode, such as `PRN`, `GUARD` or `HPOWATT`.
    pub(crate) relationship: String,
    /// What they may do.
    pub(crate) rights: Vec<Right>,
    /// Labels that they may open; empty for all.
    #[serde(default)]
    pub(crate) labels: Vec<String>,
    /// Resource types; empty for all.
    #[serde(default)]
    pub(crate) types: Vec<String>,
    /// How long, in days.
    pub(crate) days: u64,
}

/// A delegation as it is shown.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct DelegationShown {
    /// Its id.
    pub(crate) id: String,
    /// The Patient's id.
    pub(crate) patient: String,
    /// The name with which the delegate signs in.
    pub(crate) account: String,
    /// As which the delegate stands in signed requests and logs.
    pub(crate) user: String,
    /// The delegate's name.
    pub(crate) name: String,
    /// A code of v3-RoleCode.
    pub(crate) relationship: String,
    /// What they may do.
    pub(crate) rights: Vec<Right>,
    /// Labels that they may open; empty for all.
    pub(crate) labels: Vec<String>,
    /// Resource types; empty for all.
    pub(crate) types: Vec<String>,
    /// Unix time of its beginning.
    pub(crate) from: u64,
    /// First second after it, Unix time.
    pub(crate) until: u64,
    /// Who added it.
    pub(crate) by: String,
    /// Whether it rests, because the patient's identity was merged with one that it was not made for.
    pub(crate) rests: bool,
}

/// As it is kept.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
struct Row {
    #[n(0)]
    id: String,
    #[n(1)]
    patient: Pseudonym,
    #[n(2)]
    patient_id: String,
    #[n(3)]
    account: String,
    #[n(4)]
    name: String,
    #[n(5)]
    relationship: String,
    #[n(6)]
    rights: Vec<Right>,
    #[n(7)]
    labels: Vec<String>,
    #[n(8)]
    types: Vec<String>,
    #[n(9)]
    from: u64,
    #[n(10)]
    until: u64,
    #[n(11)]
    by: String,
    #[n(12)]
    others: Vec<Pseudonym>,
}

/// What one delegate may do for one patient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Delegation {
    pub(crate) id: String,
    pub(crate) patient: Pseudonym,
    /// The Patient's id.
    pub(crate) patient_id: String,
    pub(crate) account: String,
    pub(crate) name: String,
    /// A code of v3-RoleCode: their role in requests and logs.
    pub(crate) relationship: String,
    pub(crate) rights: Vec<Right>,
    /// Empty for all.
    pub(crate) labels: Vec<Branch>,
    types: Vec<ResourceType>,
    from: u64,
    pub(crate) until: u64,
    by: String,
    /// Further identities of the patient that were known when it was made: it is for their records, too.
    others: Vec<Pseudonym>,
}

impl Delegation {
    /// Whether something may be done with resources of a type. Whoever may read anything may read whose record it is.
    pub(crate) fn allows(&self, action: Action, kind: ResourceType) -> bool {
        let has = |right| self.rights.contains(&right);
        let of_type = self.types.is_empty() || self.types.contains(&kind);
        let is_consent = kind.as_str() == "Consent";
        match action {
            Action::Read | Action::Search => {
                has(Right::Read) && (of_type || kind == ResourceType::PATIENT) || is_consent && has(Right::Consent)
            }
            Action::Create | Action::Update | Action::Delete if is_consent => has(Right::Consent),
            Action::Create | Action::Update | Action::Delete => has(Right::Write) && of_type,
        }
    }

    /// The RelatedPerson in the record.
    pub(crate) fn related_person_id(&self) -> String {
        format!("delegate-{}", self.id)
    }

    fn related_person(&self, until: u64) -> Value {
        let day = |at| date(UnixTime::from_secs(at)).map(|at| at.date().to_string()).unwrap_or_default();
        json!({
            "resourceType": "RelatedPerson", "id": self.related_person_id(), "active": until == self.until,
            "patient": {"reference": format!("Patient/{}", self.patient_id)},
            "relationship": [{"coding": [{"system": ROLE_CODE_SYSTEM, "code": self.relationship}]}],
            "name": [{"text": self.name}],
            "period": {"start": day(self.from), "end": day(until)},
        })
    }

    fn read(bytes: &[u8]) -> Result<Self, GatewayError> {
        let broken = || GatewayError::Kept("a row of the roster cannot be read");
        let row: Row = from_bytes(bytes, ROW_BYTES_MAX).map_err(|_| broken())?;
        let labels = row.labels.iter().map(|label| label.parse());
        let types = row.types.iter().map(|kind| kind.parse());
        Ok(Self {
            labels: labels.collect::<Result<_, _>>().map_err(|_| broken())?,
            types: types.collect::<Result<_, _>>().map_err(|_| broken())?,
            id: row.id,
            patient: row.patient,
            patient_id: row.patient_id,
            account: row.account,
            name: row.name,
            relationship: row.relationship,
            rights: row.rights,
            from: row.from,
            until: row.until,
            by: row.by,
            others: row.others,
        })
    }

    fn row(&self) -> Row {
        Row {
            id: self.id.clone(),
            patient: self.patient,
            patient_id: self.patient_id.clone(),
            account: self.account.clone(),
            name: self.name.clone(),
            relationship: self.relationship.clone(),
            rights: self.rights.clone(),
            labels: self.labels.iter().map(|label| label.as_str().to_owned()).collect(),
            types: self.types.iter().map(|kind| kind.as_str().to_owned()).collect(),
            from: self.from,
            until: self.until,
            by: self.by.clone(),
            others: self.others.clone(),
        }
    }
}

/// All delegations of this hospital's patients.
#[derive(Debug, Default)]
pub(crate) struct Delegates(RwLock<BTreeMap<String, Arc<Delegation>>>);

impl Delegates {
    /// As the roster has them.
    pub(crate) async fn load(roster: &Roster) -> Result<Self, GatewayError> {
        let rows = roster.all(RosterKind::Delegation).await?;
        let all = rows.iter().map(|row| Delegation::read(row).map(|one| (one.id.clone(), Arc::new(one))));
        Ok(Self(RwLock::new(all.collect::<Result<_, _>>()?)))
    }

    fn find(&self, found: impl Fn(&Delegation) -> bool) -> Vec<Arc<Delegation>> {
        let all = self.0.read().unwrap_or_else(PoisonError::into_inner);
        all.values().filter(|one| found(one)).map(Arc::clone).collect()
    }

    fn put(&self, delegation: Arc<Delegation>) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).insert(delegation.id.clone(), delegation);
    }

    fn take(&self, id: &str) {
        self.0.write().unwrap_or_else(PoisonError::into_inner).remove(id);
    }
}

impl Gateway {
    /// A delegation that counts now.
    pub(crate) fn delegation(&self, id: &str, now: UnixTime) -> Option<Arc<Delegation>> {
        let all = self.delegates.0.read().unwrap_or_else(PoisonError::into_inner);
        all.get(id).filter(|one| self.counts(one, now)).map(Arc::clone)
    }

    /// What somebody may do for others now.
    pub(crate) fn delegations_of(&self, account: &str, now: UnixTime) -> Vec<Arc<Delegation>> {
        self.delegates.find(|one| one.account == account && self.counts(one, now))
    }

    fn counts(&self, one: &Delegation, now: UnixTime) -> bool {
        now.as_secs() < one.until && !self.roster.is_erased(one.patient) && !self.rests(one)
    }

    /// Whether the identity that the delegate acts for was merged since with one that nobody let them act for. Until that
    /// is undone, or they are named anew, they see nothing of either.
    pub(crate) fn rests(&self, one: &Delegation) -> bool {
        let identities = self.roster.identities(one.patient);
        identities.iter().any(|identity| *identity != one.patient && !one.others.contains(identity))
    }

    /// A patient's delegates; those whose time is over, too.
    pub(crate) fn delegations_for(&self, patient: Pseudonym) -> Vec<DelegationShown> {
        let theirs = self.delegates.find(|one| self.roster.are_one(one.patient, patient));
        theirs.iter().map(|one| self.delegation_shown(one)).collect()
    }

    /// One of them, by its id.
    pub(crate) fn any_delegation(&self, id: &str) -> Option<Arc<Delegation>> {
        self.delegates.0.read().unwrap_or_else(PoisonError::into_inner).get(id).map(Arc::clone)
    }

    /// Adds a delegate. It counts from the next request on.
    pub(crate) async fn add_delegate(
        &self,
        request: &DelegationRequest,
        asking: &Asking,
    ) -> Result<Arc<Delegation>, GatewayError> {
        let patient = self.identity_named(&request.patient, TREATMENT).await?;
        let known = self.roster.known(patient).await?.ok_or_else(GatewayError::unknown_patient)?;
        if known.directive.0.is_empty() {
            return Err(authority_elsewhere());
        }
        let now = self.sessions.now();
        let delegation = Arc::new(Delegation {
            id: hex::encode(random::<8>()),
            patient,
            patient_id: self.patient_id_of(patient).await?.to_string(),
            account: request.account.clone(),
            name: request.name.trim().to_owned(),
            relationship: request.relationship.clone(),
            rights: request.rights.clone(),
            labels: branches(&request.labels)?,
            types: words(&request.types, "types")?,
            from: now.as_secs(),
            until: now.as_secs().saturating_add(request.days.saturating_mul(86_400)),
            by: asking.user.clone(),
            others: self.roster.identities(patient).into_iter().filter(|other| *other != patient).collect(),
        });
        check(request)?;
        if self.delegates.find(|one| one.patient == patient && self.counts(one, now)).len()
            >= DELEGATIONS_PER_PATIENT_MAX
        {
            return Err(wrong("patient", "the patient has as many delegates as there may be; remove one first"));
        }
        self.write_related_person(&delegation, delegation.until, asking).await?;
        self.roster.put_row(RosterKind::Delegation, delegation.id.as_bytes(), &to_bytes(&delegation.row())).await?;
        self.delegates.put(Arc::clone(&delegation));
        tracing::info!(%patient, delegation = delegation.id, relationship = delegation.relationship, "a delegate was added");
        Ok(delegation)
    }

    /// Removes a delegate: at once, here and for whatever apps hold in their name. The record's RelatedPerson follows.
    pub(crate) async fn remove_delegate(&self, delegation: &Delegation, asking: &Asking) -> Result<(), GatewayError> {
        self.roster.remove_row(RosterKind::Delegation, delegation.id.as_bytes()).await?;
        self.delegates.take(&delegation.id);
        self.end_approvals_by(delegation).await?;
        tracing::info!(patient = %delegation.patient, delegation = delegation.id, "a delegate was removed");
        let now = self.sessions.now().as_secs();
        if let Err(error) = self.write_related_person(delegation, now.min(delegation.until - 1), asking).await {
            tracing::warn!(%error, delegation = delegation.id, "a removed delegate's RelatedPerson could not be written");
        }
        Ok(())
    }

    /// A patient was erased: nobody acts for them any more.
    pub(crate) async fn end_delegations_of(&self, patient: Pseudonym) -> Result<(), GatewayError> {
        for one in self.delegates.find(|one| one.patient == patient) {
            self.roster.remove_row(RosterKind::Delegation, one.id.as_bytes()).await?;
            self.delegates.take(&one.id);
        }
        Ok(())
    }

    /// What the delegate approved for apps by this delegation.
    async fn end_approvals_by(&self, delegation: &Delegation) -> Result<(), GatewayError> {
        let (id, now) = (delegation.id.clone(), seconds(self.sessions.now()));
        let ended = self.authorization.change(|server| {
            server.end_delegation(&id, now);
            Ok(())
        });
        ended.await.map_err(|_| GatewayError::Kept("what apps were granted could not be kept"))
    }

    async fn write_related_person(
        &self,
        delegation: &Delegation,
        until: u64,
        asking: &Asking,
    ) -> Result<(), GatewayError> {
        let Some(me) = self.me.upgrade() else { return Ok(()) };
        // The hospital writes down what it was told, whoever told it.
        let asking = Asking::itself(asking.user.clone(), asking.role.clone(), asking.purpose.clone());
        let resource = delegation.related_person(until).to_string();
        let bundle = json!({
            "resourceType": "Bundle", "type": "transaction", "entry": [{
                "resource": serde_json::from_str::<Value>(&resource).unwrap_or_default(),
                "request": {"method": "PUT", "url": format!("RelatedPerson/{}", delegation.related_person_id())},
            }],
        });
        crate::face::store_bundle(&me, &asking, bundle.to_string().into()).await
    }

    pub(crate) fn delegation_shown(&self, one: &Delegation) -> DelegationShown {
        let row = one.row();
        DelegationShown {
            rests: self.rests(one),
            user: self.person_name(&one.account).map(|name| name.to_string()).unwrap_or_default(),
            id: row.id,
            patient: row.patient_id,
            account: row.account,
            name: row.name,
            relationship: row.relationship,
            rights: row.rights,
            labels: row.labels,
            types: row.types,
            from: row.from,
            until: row.until,
            by: row.by,
        }
    }
}

fn check(request: &DelegationRequest) -> Result<(), GatewayError> {
    if request.account.parse::<UserName>().is_err() {
        return Err(wrong(
            "account",
            "the account is the name with which the delegate signs in, of 1 to 128 characters",
        ));
    }
    let characters = request.name.trim().chars().count();
    if !(1..=NAME_CHARACTERS_MAX).contains(&characters) || request.name.contains(char::is_control) {
        return Err(wrong("name", "the delegate's name has 1 to 128 characters in one line"));
    }
    if !RELATIONSHIPS.contains(&request.relationship.as_str()) {
        let text = format!("the relationship is a code of v3-RoleCode, one of {}", RELATIONSHIPS.join(" "));
        return Err(wrong("relationship", &text));
    }
    if request.rights.is_empty() {
        return Err(wrong("rights", "a delegate without rights is none: give read, write or consent"));
    }
    if !(1..=DAYS_MAX).contains(&request.days) {
        return Err(wrong("days", "a delegation lasts 1 to 3660 days"));
    }
    Ok(())
}

fn branches(names: &[String]) -> Result<Vec<Branch>, GatewayError> {
    let found: Result<Vec<_>, _> = names.iter().map(|name| Branch::named(name)).collect();
    found.map(|found| found.concat()).map_err(|error| wrong("labels", &error.to_string()))
}

fn words<T: std::str::FromStr<Err: std::fmt::Display>>(words: &[String], field: &str) -> Result<Vec<T>, GatewayError> {
    words.iter().map(|word| word.parse().map_err(|error: T::Err| wrong(field, &error.to_string()))).collect()
}

fn wrong(field: &str, text: &str) -> GatewayError {
    GatewayError::request(422, IssueCode::Value, "delegation-invalid", text, "correct the request").at(field)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn delegation(rights: &[Right], types: &[&str]) -> Delegation {
        Delegation {
            id: "d1".to_owned(),
            patient: Pseudonym::new([7; 32]),
            patient_id: "p1".to_owned(),
            account: "anna".to_owned(),
            name: "Anna".to_owned(),
            relationship: "PRN".to_owned(),
            rights: rights.to_vec(),
            labels: vec![Branch::ALL[0]],
            types: types.iter().map(|kind| kind.parse().unwrap()).collect(),
            from: 10,
            until: 20,
            by: "dr-a".to_owned(),
            others: vec![Pseudonym::new([8; 32])],
        }
    }

    #[test]
    fn rights_are_what_they_say_and_no_more() {
        let (reads, writes, decides) = (
            delegation(&[Right::Read], &["Observation"]),
            delegation(&[Right::Read, Right::Write], &[]),
            delegation(&[Right::Consent], &[]),
        );
        let cases = [
            (&reads, Action::Read, "Observation", true),
            (&reads, Action::Search, "Patient", true),
            (&reads, Action::Read, "Condition", false),
            (&reads, Action::Create, "Observation", false),
            (&reads, Action::Update, "Consent", false),
            (&writes, Action::Read, "Condition", true),
            (&writes, Action::Create, "Observation", true),
            (&writes, Action::Create, "Consent", false),
            (&writes, Action::Delete, "Consent", false),
            (&decides, Action::Create, "Consent", true),
            (&decides, Action::Read, "Consent", true),
            (&decides, Action::Read, "Observation", false),
            (&decides, Action::Create, "Observation", false),
        ];
        for (one, action, kind, allowed) in cases {
            assert_eq!(one.allows(action, kind.parse().unwrap()), allowed, "{:?} {action:?} {kind}", one.rights);
        }
    }

    #[test]
    fn what_is_kept_is_read_again() {
        let one = delegation(&[Right::Read, Right::Consent], &["Observation"]);
        assert_eq!(Delegation::read(&to_bytes(&one.row())).unwrap(), one);
        assert!(Delegation::read(b"nonsense").is_err());
    }
}
