//! What broker and archive do alike, each on its own: keep registered patients and the newest directive of
//! each, decide by it, and keep this party's half of the keys. One code for both, so that the two checks
//! cannot drift apart; two processes, two stores, two key-encryption keys, so that neither can open a record.

mod cache;
mod erase;
mod error;
mod log_request;
mod rotate;
mod storage;
mod watch;

use std::sync::Arc;

use sealwort_consent::{
    Action, Change, CompiledDirective, Decision, Directive, LabelTag as ConsentTag, Party as ConsentParty,
    Patient as ConsentPatient, Predecessor, Purpose, Request, UserRole, check_successor,
};
use sealwort_net::member::Member;
use sealwort_net::token::WrappingError;
use sealwort_pki::{UnixTime, VerifiedParty};
use sealwort_proto::crypto::{Secret, hash};
use sealwort_proto::error::ErrorKind;
use sealwort_proto::halves::{Half, Side, SubHalf};
use sealwort_proto::registration::{self, Moment, VerifiedRegistration};
use sealwort_proto::{LabelTag, Locator, Pseudonym};
use sealwort_store::{DirectiveUpdate, NewPatient, PatientStore, Registered, WrappedHalf};

pub use error::CustodyError;
pub use rotate::Rotation;
pub use storage::{StorageError, audit_place, objects, open_store, sweep_objects};
pub use watch::spawn_watch;

/// Seconds that a directive may be dated ahead of this party's clock.
pub const DIRECTIVE_AHEAD_SECONDS_MAX: u64 = 300;

/// What a request may name, a directive can decide on.
const _: () = assert!(sealwort_proto::transmission::TAGS_MAX == sealwort_consent::REQUEST_TAGS_MAX);

/// A registered patient, with the newest directive ready to decide by.
pub struct Ward {
    /// The registration.
    pub registration: VerifiedRegistration,
    /// Its signed bytes.
    pub registration_bytes: Vec<u8>,
    /// The newest directive, compiled.
    pub directive: CompiledDirective,
    /// Its signed bytes.
    pub directive_bytes: Vec<u8>,
}

impl Ward {
    /// Version of the newest directive.
    pub fn version(&self) -> u64 {
        self.directive.directive().version()
    }

    /// Whether some provision of the newest directive is for this hospital.
    pub fn names(&self, hospital: &str) -> bool {
        let provisions = self.directive.directive().provisions();
        ConsentParty::new(hospital).is_ok_and(|it| provisions.iter().any(|one| one.terms().grantees().holds(&it)))
    }

    /// Its epoch, in which entries are written.
    pub fn epoch(&self) -> u64 {
        self.directive.directive().epoch()
    }
}

/// What somebody wants to do with a patient's record.
#[derive(Debug, Clone)]
pub struct Access<'a> {
    /// Identity of the hospital.
    pub party: &'a str,
    /// The user's role, by the hospital's word.
    pub role: &'a str,
    /// `read`, `write` or `emergency`.
    pub action: &'a str,
    /// Labels, as tags.
    pub tags: &'a [LabelTag],
    /// Purpose of use.
    pub purpose: &'a str,
    /// Now.
    pub now: UnixTime,
}

/// One party's patients and halves.
pub struct Custody {
    side: Side,
    member: Arc<Member>,
    store: Arc<dyn PatientStore>,
    wards: cache::WardCache,
}

impl Custody {
    /// The custody of this side over a store.
    pub fn new(side: Side, member: Arc<Member>, store: Arc<dyn PatientStore>) -> Self {
        Self { side, member, store, wards: cache::WardCache::default() }
    }

    /// Registers a patient for the hospital that signed the registration. `fits` may refuse the pseudonym.
    pub async fn register(
        &self,
        registration: &[u8],
        directive: &[u8],
        registrant: &VerifiedParty,
        fits: impl FnOnce(&VerifiedRegistration) -> bool,
    ) -> Result<(Arc<Ward>, Registered), CustodyError> {
        let party = self.member.party();
        let verified = self.member.with_peers(|peers| {
            registration::verify(registration, party.exchange(), Moment::Acceptance, peers, &party.operations)
        })?;
        if verified.registration().registered_by != registrant.identity().to_string() {
            return Err(ErrorKind::Statement("a hospital can register patients in its own name only").into());
        }
        if !fits(&verified) {
            return Err(ErrorKind::Statement("the pseudonym does not belong to these identifiers").into());
        }
        let patient = verified.patient();
        let ward = Arc::new(self.ward(verified, registration, directive)?);
        check_successor(None, ward.directive.directive())?;
        self.check_date(ward.directive.directive().issued_at())?;
        let _held = self.member.with_keys_held().await;
        let half = self.fresh_half(patient, ward.epoch()).await?;
        let registered = self
            .store
            .register(NewPatient {
                patient,
                locators: ward.registration.registration().locators.clone(),
                registration: registration.to_vec(),
                directive: directive.to_vec(),
                version: ward.version(),
                half,
            })
            .await?;
        if registered == Registered::New {
            self.wards.put(patient, Arc::clone(&ward));
        }
        Ok((ward, registered))
    }

    /// Takes a new directive. When it narrows anything, this party's half of the new epoch is made with it.
    pub async fn direct(&self, directive: &[u8]) -> Result<(Arc<Ward>, Change), CustodyError> {
        let claimed = sealwort_proto::statement::parse(sealwort_proto::statement::Kind::Directive, directive)?;
        let patient = Pseudonym::new(Directive::from_bytes(claimed.payload())?.patient().to_bytes());
        let current = self.ward_of(patient).await?.ok_or(CustodyError::UnknownPatient)?;
        if current.directive_bytes == directive {
            return Ok((current, Change::Unchanged));
        }
        let next = Arc::new(self.ward(current.registration.clone(), &current.registration_bytes, directive)?);
        let before = current.directive.directive();
        let predecessor = Predecessor { directive: before, digest: directive_digest(before) };
        let change = check_successor(Some(predecessor), next.directive.directive())?;
        self.check_date(next.directive.directive().issued_at())?;
        let _held = self.member.with_keys_held().await;
        let half =
            if next.epoch() == current.epoch() { None } else { Some(self.fresh_half(patient, next.epoch()).await?) };
        self.store
            .direct(DirectiveUpdate {
                patient,
                replaces: current.version(),
                directive: directive.to_vec(),
                epoch: next.epoch(),
                half,
            })
            .await?;
        self.wards.put(patient, Arc::clone(&next));
        Ok((next, change))
    }

    /// A registered patient.
    pub async fn ward_of(&self, patient: Pseudonym) -> Result<Option<Arc<Ward>>, CustodyError> {
        // Whatever node took the newest directive, and whether the patient is there at all.
        if let Some(version) = self.store.version(patient).await?
            && let Some(ward) = self.wards.get(patient, version)
        {
            return Ok(Some(ward));
        }
        let Some(kept) = self.store.patient(patient).await? else {
            self.wards.forget(patient);
            let erased = self.store.tombstone(patient).await?.is_some();
            return if erased { Err(CustodyError::Erased) } else { Ok(None) };
        };
        let party = self.member.party();
        let verified = self.member.with_peers(|peers| {
            registration::verify(&kept.registration, party.exchange(), Moment::Reading, peers, &party.operations)
        })?;
        let ward = Arc::new(self.ward(verified, &kept.registration, &kept.directive)?);
        if ward.version() != kept.version || ward.epoch() != kept.epoch {
            return Err(CustodyError::Inconsistent("the stored version of a directive is not the signed one"));
        }
        self.wards.put(patient, Arc::clone(&ward));
        Ok(Some(ward))
    }

    /// The patient who has one of these blinded identifiers.
    pub async fn locate(&self, locators: &[Locator]) -> Result<Option<Pseudonym>, CustodyError> {
        Ok(self.store.locate(locators).await?)
    }

    /// Decides by the newest directive.
    pub fn decide(&self, ward: &Ward, access: &Access<'_>) -> Result<Decision, CustodyError> {
        let unknown = |what| CustodyError::Request(what);
        let request = Request {
            party: ConsentParty::new(access.party).map_err(|_| unknown("the hospital's identity is not valid"))?,
            patient: ConsentPatient::new(*ward.registration.patient().as_bytes()),
            // What is no role of a directive fits only what is for every role.
            role: access.role.parse::<UserRole>().ok(),
            action: access.action.parse::<Action>().map_err(|_| unknown("the action is unknown"))?,
            tags: access.tags.iter().map(|tag| ConsentTag::new(*tag.as_bytes())).collect(),
            purpose: access.purpose.parse::<Purpose>().map_err(|_| unknown("the purpose of use is unknown"))?,
            now: access.now.as_secs(),
        };
        Ok(ward.directive.decide(&request))
    }

    /// This party's sub-halves for an access that was decided: a writer's own leaves of the newest epoch, a
    /// reader's label nodes of every epoch.
    pub async fn sub_halves(
        &self,
        ward: &Ward,
        action: &str,
        author: &str,
        tags: &[LabelTag],
    ) -> Result<Vec<SubHalf>, CustodyError> {
        let patient = ward.registration.patient();
        let mut parts = Vec::new();
        let _held = self.member.with_keys_held().await;
        let writes = action == Action::Write.as_str();
        let mut kept = self.store.halves(patient).await?;
        // A half of a newer epoch was made for a directive that came after the one by which this was decided.
        kept.retain(|half| half.epoch == ward.epoch() || !writes && half.epoch < ward.epoch());
        for half in self.unwrap_halves(patient, kept).await? {
            for tag in tags {
                parts.push(if writes { half.for_author(*tag, author) } else { half.for_reader(*tag) });
            }
        }
        Ok(parts)
    }

    fn ward(
        &self,
        registration: VerifiedRegistration,
        registration_bytes: &[u8],
        directive: &[u8],
    ) -> Result<Ward, CustodyError> {
        let party = self.member.party();
        let payload = registration.open_directive(directive, &party.operations)?;
        let read = Directive::from_bytes(&payload)?;
        if read.patient().to_bytes() != *registration.patient().as_bytes() || read.exchange() != party.exchange() {
            return Err(ErrorKind::Statement("the directive belongs to another patient or exchange").into());
        }
        Ok(Ward {
            registration,
            registration_bytes: registration_bytes.to_vec(),
            directive: CompiledDirective::compile(&read)?,
            directive_bytes: directive.to_vec(),
        })
    }

    fn check_date(&self, issued_at: u64) -> Result<(), CustodyError> {
        let now = self.member.trust().now().as_secs();
        let ahead = issued_at.saturating_sub(now);
        if ahead > DIRECTIVE_AHEAD_SECONDS_MAX {
            return Err(ErrorKind::Clock { seconds: ahead, limit: DIRECTIVE_AHEAD_SECONDS_MAX }.into());
        }
        Ok(())
    }

    async fn fresh_half(&self, patient: Pseudonym, epoch: u64) -> Result<WrappedHalf, CustodyError> {
        let half = Half::generate(self.side, patient, epoch);
        let side = self.side;
        let wrapped = self.member.with_keys(move |keys| {
            let place: [&[u8]; 3] = [side.place(), patient.as_bytes(), &epoch.to_be_bytes()];
            keys.try_wrap(&place, half.secret().expose())
        });
        Ok(WrappedHalf { epoch, wrapped: wrapped.await?? })
    }

    /// Opens halves, of several epochs at once. They are kept no longer than the request: the memory of a party holds the
    /// halves of those alone who are being served.
    async fn unwrap_halves(&self, patient: Pseudonym, kept: Vec<WrappedHalf>) -> Result<Vec<Half>, CustodyError> {
        let side = self.side;
        let halves = self.member.with_keys(move |keys| {
            let open = |kept: WrappedHalf| {
                let place: [&[u8]; 3] = [side.place(), patient.as_bytes(), &kept.epoch.to_be_bytes()];
                let bytes = match keys.unwrap(&place, &kept.wrapped) {
                    Ok(bytes) => bytes,
                    Err(WrappingError::Sealed) => return Err(CustodyError::Inconsistent(UNOPENED)),
                    Err(error) => return Err(error.into()),
                };
                let secret = Secret::from_slice(&bytes).ok_or(CustodyError::Inconsistent(UNOPENED))?;
                Ok(Half::from_secret(side, patient, kept.epoch, secret))
            };
            kept.into_iter().map(open).collect::<Result<Vec<_>, _>>()
        });
        halves.await?
    }
}

const UNOPENED: &str = "a half does not open under this party's key-encryption key";

/// The digest by which a directive names its predecessor.
pub fn directive_digest(directive: &Directive) -> [u8; 32] {
    *hash("sealwort directive v1", &directive.to_bytes()).as_bytes()
}

/// Tags of a decision as the protocol writes them: sorted and unique.
pub fn permitted_tags(decision: &Decision) -> Vec<LabelTag> {
    let mut tags: Vec<_> = decision.permitted().iter().map(|tag| LabelTag::new(tag.to_bytes())).collect();
    tags.sort_unstable();
    tags.dedup();
    tags
}
