//! Consent at the gateway of the consent authority: a new version of the patient's directive is signed, kept,
//! and sent to broker and archive at once. What cannot be delivered waits in the outbox.

pub(crate) mod explain;
pub(crate) mod statements;

use sealwort_consent::{
    Action, Directive, LabelTag as ConsentTag, Party, Period, Provision, Purpose, Terms, Withdrawal,
};
use sealwort_fhir::{Branch, IssueCode};
use sealwort_pki::{Identity, Role};
use sealwort_proto::codec::Blob;
use sealwort_proto::crypto::hash;
use sealwort_proto::error::Fault;
use sealwort_proto::message::{FromArchive, FromBroker, ToArchive, ToBroker};
use sealwort_proto::policy::CLOCK_SKEW_SECONDS_MAX;
use sealwort_proto::statement::{self, Kind};
use sealwort_proto::{DepositId, LabelTag, Pseudonym};
use serde::{Deserialize, Serialize};

use crate::Gateway;
use crate::error::GatewayError;
use crate::open::unexpected;
use crate::outbox::Outgoing;
use crate::patients::{own, wrong};
use crate::people::TREATMENT;
use crate::roster::Known;

/// A change of consent as the hospital's people ask for it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConsentChange {
    /// `system|value`, or the id of a Patient that this hospital knows.
    pub patient: String,
    /// The hospital: its name, or its identity URI.
    pub to: String,
    /// `read`, `write`, `emergency`.
    #[serde(default)]
    pub actions: Vec<String>,
    /// Labels; empty for all.
    #[serde(default)]
    pub labels: Vec<String>,
    /// v3-PurposeOfUse codes; empty for TREAT when granting, for all when withdrawing.
    #[serde(default)]
    pub purposes: Vec<String>,
    /// How long a grant lasts, in days; absent for no end.
    #[serde(default)]
    pub days: Option<u64>,
}

/// A provision in words.
#[derive(Debug, Clone, Serialize)]
pub struct ProvisionShown {
    /// Number within the patient's consent.
    pub id: u32,
    /// The hospital's identity; several, or `all but …`, where it is for more than one.
    pub to: String,
    /// The roles of the users, in the same words.
    pub roles: String,
    /// Actions granted.
    pub actions: Vec<String>,
    /// Labels granted.
    pub labels: Vec<String>,
    /// Purposes granted.
    pub purposes: Vec<String>,
    /// First second, Unix time.
    pub from: u64,
    /// First second after it, Unix time; absent for no end.
    pub until: Option<u64>,
}

/// A patient's consent in words.
#[derive(Debug, Clone, Serialize)]
pub struct ConsentShown {
    /// The pseudonym.
    pub patient: String,
    /// Version of the directive.
    pub version: u64,
    /// Epoch of the keys.
    pub epoch: u64,
    /// Whether broker and archive have it; otherwise it waits in the outbox.
    pub delivered: bool,
    /// What is granted.
    pub provisions: Vec<ProvisionShown>,
}

/// What proves a patient's consent as it stands.
#[derive(Debug, Clone)]
pub(crate) struct ConsentReceipt {
    /// Version of the directive.
    pub(crate) version: u64,
    /// Epoch of the keys.
    pub(crate) epoch: u64,
    /// Identity of the hospital that signed it and keeps it.
    pub(crate) authority: String,
    /// When it was signed, Unix time.
    pub(crate) signed: u64,
    /// Its hash, which the next one names.
    pub(crate) digest: [u8; 32],
    /// Whether broker and archive have it.
    pub(crate) delivered: bool,
}

/// When a grant of now begins: a little earlier, because other parties' clocks may be behind this one.
pub(crate) fn begins(now: u64) -> u64 {
    now.saturating_sub(CLOCK_SKEW_SECONDS_MAX.into())
}

impl Gateway {
    /// Grants.
    pub(crate) async fn grant(&self, change: &ConsentChange) -> Result<ConsentShown, GatewayError> {
        let patient = self.patient_named(&change.patient, TREATMENT).await?;
        let now = self.sessions.now().as_secs();
        let terms = self.granted(patient, change, now)?;
        self.change(patient, None, |current, digest| {
            current.grant(dated(current, now), digest, vec![terms.clone()]).map_err(|e| wrong(&e))
        })
        .await
    }

    /// Withdraws. A new epoch of keys begins.
    pub(crate) async fn withdraw(&self, change: &ConsentChange) -> Result<ConsentShown, GatewayError> {
        let patient = self.patient_named(&change.patient, TREATMENT).await?;
        let withdrawal = self.withdrawn(patient, change)?;
        let now = self.sessions.now().as_secs();
        self.change(patient, Some(&withdrawal), |current, digest| {
            current.withdraw(dated(current, now), digest, &withdrawal).map_err(|e| wrong(&e))
        })
        .await
    }

    /// Whether a withdrawal takes back something that stands beside Consents.
    pub(crate) async fn takes_back(&self, change: &ConsentChange) -> Result<bool, GatewayError> {
        let patient = self.patient_named(&change.patient, TREATMENT).await?;
        let withdrawal = self.withdrawn(patient, change)?;
        let standing = match self.roster.consents(patient).await? {
            Some(book) => book.standing()?,
            None => self.directive_of(patient).await?.0,
        };
        Ok(standing.provisions().iter().any(|provision| withdrawal.touches(provision.terms())))
    }

    /// What a grant at `now` allows.
    fn granted(&self, patient: Pseudonym, change: &ConsentChange, now: u64) -> Result<Terms, GatewayError> {
        let actions: Vec<Action> = parse(&change.actions, "actions")?;
        let purposes: Vec<Purpose> = parse(&change.purposes, "purposes")?;
        let until = change.days.map(|days| now.saturating_add(days.saturating_mul(86_400)));
        let period = Period::new(now, until).and_then(|_| Period::new(begins(now), until)).map_err(|e| wrong(&e))?;
        Terms::new(
            self.hospital(&change.to)?,
            if actions.is_empty() { vec![Action::Read] } else { actions },
            self.tags_named(patient, &change.labels)?,
            if purposes.is_empty() { vec![Purpose::Treatment] } else { purposes },
            period,
        )
        .map_err(|e| wrong(&e))
    }

    /// What a withdrawal takes back.
    fn withdrawn(&self, patient: Pseudonym, change: &ConsentChange) -> Result<Withdrawal, GatewayError> {
        let actions: Vec<Action> = parse(&change.actions, "actions")?;
        let purposes: Vec<Purpose> = parse(&change.purposes, "purposes")?;
        let tags = self.tags_named(patient, &change.labels)?;
        Ok(Withdrawal {
            grantee: self.hospital(&change.to)?,
            actions: (!actions.is_empty()).then_some(actions),
            tags: (!change.labels.is_empty()).then_some(tags),
            purposes: (!purposes.is_empty()).then_some(purposes),
        })
    }

    /// A patient's consent: this hospital's own where it is the authority, else as the broker shows it.
    pub(crate) async fn consent(&self, patient: &str) -> Result<ConsentShown, GatewayError> {
        let patient = self.patient_named(patient, TREATMENT).await?;
        let (directive, _) = self.directive_of(patient).await?;
        Ok(self.shown(patient, &directive, true))
    }

    /// What proves a patient's consent as it stands.
    pub(crate) async fn consent_receipt(&self, patient: &str) -> Result<ConsentReceipt, GatewayError> {
        let patient = self.patient_named(patient, TREATMENT).await?;
        let waiting = self.outbox.newest_directive(&consent_line(patient)).await?;
        let (directive, own) = self.directive_of(patient).await?;
        let authority = if own.is_some() {
            self.member.identity().to_string()
        } else {
            let known = self.roster.known(patient).await?.ok_or_else(GatewayError::unknown_patient)?;
            self.verify_registration(known.registration.as_ref())?.registration().registered_by.clone()
        };
        Ok(ConsentReceipt {
            authority,
            version: directive.version(),
            epoch: directive.epoch(),
            signed: directive.issued_at(),
            digest: directive_digest(&directive),
            delivered: waiting.is_none(),
        })
    }

    /// A patient's directive, and what is known of the patient where this hospital is the consent authority.
    async fn directive_of(&self, patient: Pseudonym) -> Result<(Directive, Option<Known>), GatewayError> {
        if let Some(known) = self.roster.known(patient).await?
            && !known.directive.0.is_empty()
        {
            return Ok((self.own_directive(known.directive.as_ref())?, Some(known)));
        }
        let (registration, directive) = match self.ask_broker(&ToBroker::Consent(patient)).await? {
            FromBroker::Consent { registration, directive } => (registration, directive),
            FromBroker::Erased { .. } => return Err(GatewayError::erased_patient()),
            _ => return Err(unexpected(Fault::Broker)),
        };
        let registration = self.verify_registration(registration.as_ref())?;
        let party = self.member.party();
        let payload = registration.open_directive(directive.as_ref(), &party.operations).map_err(own)?;
        Ok((Directive::from_bytes(&payload).map_err(|e| wrong(&e))?, None))
    }

    async fn change(
        &self,
        patient: Pseudonym,
        withdrawal: Option<&Withdrawal>,
        next: impl Fn(&Directive, [u8; 32]) -> Result<Directive, GatewayError>,
    ) -> Result<ConsentShown, GatewayError> {
        let known = self.roster.known(patient).await?.ok_or_else(GatewayError::unknown_patient)?;
        if !known.registered {
            // A registration goes with the first directive; later ones follow it.
            self.register(known).await?;
        }
        let _one_at_a_time = self.consenting.lock().await;
        let known = self.roster.known(patient).await?.ok_or_else(GatewayError::unknown_patient)?;
        if known.directive.0.is_empty() {
            return Err(authority_elsewhere());
        }
        // A directive after the erasure's would be newer than what the erasure ends.
        if self.roster.is_erased(patient) {
            return Err(GatewayError::erased_patient());
        }
        let Some(mut book) = self.roster.consents(patient).await? else { return self.sign_next(known, next).await };
        // Beside Consents a command changes what stands beside them.
        if let Some(withdrawal) = withdrawal {
            self.check_withdrawal(patient, &book, withdrawal)?;
        }
        let before = book.standing()?;
        book.standing = Blob(next(&before, directive_digest(&before))?.to_bytes());
        let terms = self.terms(patient, &book)?;
        self.roster.put_consents(patient, &book).await?;
        let now = self.sessions.now().as_secs();
        self.sign_next(known, |current, digest| {
            current.replace(dated(current, now), digest, terms.clone()).map_err(|e| wrong(&e))
        })
        .await
    }

    /// The newest directive of a patient whose consent authority this hospital is.
    pub(crate) async fn newest_directive(&self, known: &Known) -> Result<Directive, GatewayError> {
        let waiting = self.outbox.newest_directive(&consent_line(known.patient)).await?;
        self.own_directive(waiting.as_ref().unwrap_or(&known.directive).as_ref())
    }

    /// Signs a directive with exactly these terms. Its version. The caller holds [`Gateway::consenting`].
    pub(crate) async fn sign_terms(&self, patient: Pseudonym, terms: Vec<Terms>) -> Result<u64, GatewayError> {
        let known = self.roster.known(patient).await?.ok_or_else(GatewayError::unknown_patient)?;
        if known.directive.0.is_empty() {
            return Err(authority_elsewhere());
        }
        let now = self.sessions.now().as_secs();
        let next = |current: &Directive, digest| {
            current.replace(dated(current, now), digest, terms.clone()).map_err(|e| wrong(&e))
        };
        Ok(self.sign_next(known, next).await?.version)
    }

    /// Signs, keeps and sends the directive that comes next. The caller holds [`Gateway::consenting`].
    async fn sign_next(
        &self,
        mut known: Known,
        next: impl Fn(&Directive, [u8; 32]) -> Result<Directive, GatewayError>,
    ) -> Result<ConsentShown, GatewayError> {
        let patient = known.patient;
        // One that waits is newer than the roster's where the process stopped between the two.
        let line = consent_line(patient);
        let waiting = self.outbox.newest_directive(&line).await?;
        let current = self.own_directive(waiting.as_ref().unwrap_or(&known.directive).as_ref())?;
        // Broker and archive name a predecessor by the same hash.
        let directive = next(&current, directive_digest(&current))?;
        let signed = self.sign_directive(&directive)?;
        known.directive = Blob(signed.clone());
        // Kept before it is sent, and in the outbox first: whatever happens in between, it is sent until broker and archive
        // have both confirmed it, and the authority never signs two directives of one version.
        let id = DepositId::random();
        self.outbox.keep(id, &line, &Outgoing::Directive(Blob(signed.clone()))).await?;
        self.roster.put(&known, &[]).await?;
        self.patients.changed(patient);
        // Who was merged into this patient has the same consent.
        for source in self.roster.merged_into(patient) {
            let terms: Vec<Terms> = directive.provisions().iter().map(|it| it.terms().clone()).collect();
            let terms = self.retagged(&terms, patient, source);
            Box::pin(self.sign_terms(source, terms)).await?;
        }
        let delivered = waiting.is_none() && self.try_to_deliver(id, &signed).await?;
        if !delivered {
            self.outbox.tell();
        }
        Ok(self.shown(patient, &directive, delivered))
    }

    /// Sends a directive that is in the outbox, at once; where that fails, the outbox tries again.
    async fn try_to_deliver(&self, id: DepositId, signed: &[u8]) -> Result<bool, GatewayError> {
        match self.deliver_directive(signed).await {
            Ok(()) => {
                self.outbox.done(id).await?;
                Ok(true)
            }
            Err(error) => {
                tracing::warn!(%error, "a change of consent waits in the outbox");
                Ok(false)
            }
        }
    }

    /// Sends a directive from the outbox. The roster has it first: see [`Gateway::change`].
    pub(crate) async fn send_directive(&self, signed: &[u8]) -> Result<(), GatewayError> {
        let directive = self.own_directive(signed)?;
        let patient = Pseudonym::new(directive.patient().to_bytes());
        if let Some(mut known) = self.roster.known(patient).await?
            && self.own_directive(known.directive.as_ref())?.version() < directive.version()
        {
            known.directive = Blob(signed.to_vec());
            self.roster.put(&known, &[]).await?;
        }
        self.deliver_directive(signed).await
    }

    /// Sends a directive to the archive and to the broker at the same time; both must confirm.
    pub(crate) async fn deliver_directive(&self, signed: &[u8]) -> Result<(), GatewayError> {
        let session = self.session().await?;
        let to_archive = async {
            let question = ToArchive::Direct { directive: Blob(signed.to_vec()) };
            let mut answers = self.sessions.ask_archive(&session, &[question]).await?;
            match answers.next().await?.0 {
                FromArchive::Kept => Ok(()),
                _ => Err(unexpected(Fault::Archive)),
            }
        };
        let to_broker = async {
            let question = ToBroker::Direct { directive: Blob(signed.to_vec()) };
            match self.sessions.ask_broker(&session, &question).await? {
                FromBroker::Kept => Ok(()),
                _ => Err(unexpected(Fault::Broker)),
            }
        };
        let (archive, broker) = tokio::join!(to_archive, to_broker);
        let outcome = archive.and(broker);
        if outcome.as_ref().is_err_and(GatewayError::is_session_lost) {
            self.sessions.drop_session(&session).await;
        }
        outcome
    }

    fn own_directive(&self, signed: &[u8]) -> Result<Directive, GatewayError> {
        let operations = &self.member.party().operations;
        let payload =
            statement::open(Kind::Directive, signed, self.keys.authority.public_key(), operations).map_err(own)?;
        Directive::from_bytes(&payload).map_err(|_| GatewayError::Kept("a kept directive cannot be read"))
    }

    pub(crate) fn hospital(&self, name: &str) -> Result<Party, GatewayError> {
        let own = self.member.identity();
        let identity = if name.contains("://") {
            name.parse::<Identity>()
        } else {
            name.parse().map(|name| Identity::new(own.exchange.clone(), Role::Gateway, name))
        };
        let identity = identity.map_err(|e| wrong(&e))?;
        if identity.exchange != own.exchange || identity.role != Role::Gateway {
            return Err(GatewayError::request(
                422,
                IssueCode::Value,
                "grantee-unknown",
                format!("{identity} is no hospital of this exchange"),
                format!("name a gateway of {}", own.exchange),
            ));
        }
        Party::new(identity.to_string()).map_err(|e| wrong(&e))
    }

    fn tags_named(&self, patient: Pseudonym, labels: &[String]) -> Result<Vec<ConsentTag>, GatewayError> {
        let labels = branches_named(labels)?;
        Ok(labels.iter().map(|l| ConsentTag::new(*self.directory.tag(patient, *l).as_bytes())).collect())
    }

    fn shown(&self, patient: Pseudonym, directive: &Directive, delivered: bool) -> ConsentShown {
        let provisions =
            directive.provisions().iter().map(|provision| self.provision_shown(patient, provision)).collect();
        ConsentShown {
            patient: patient.to_string(),
            version: directive.version(),
            epoch: directive.epoch(),
            delivered,
            provisions,
        }
    }

    fn provision_shown(&self, patient: Pseudonym, provision: &Provision) -> ProvisionShown {
        let label = |tag: &ConsentTag| {
            let tag = LabelTag::new(tag.to_bytes());
            self.directory.label(patient, tag).map_or_else(|| tag.to_string(), |l| l.as_str().to_owned())
        };
        let terms = provision.terms();
        ProvisionShown {
            id: provision.id().as_u32(),
            to: terms.grantees().to_string(),
            roles: terms.roles().to_string(),
            actions: terms.actions().iter().map(|a| a.as_str().to_owned()).collect(),
            labels: terms.tags().iter().map(label).collect(),
            purposes: terms.purposes().iter().map(|p| p.as_str().to_owned()).collect(),
            from: terms.period().from(),
            until: terms.period().until(),
        }
    }
}

/// The date of the directive after `current`: never before it, or a clock that was ahead for a moment would keep a
/// patient from withdrawing until the right time has reached that date (`spec/protocol.md`, section 6.2).
pub(crate) fn dated(current: &Directive, now: u64) -> u64 {
    now.max(current.issued_at())
}

pub(crate) fn authority_elsewhere() -> GatewayError {
    GatewayError::request(
        403,
        IssueCode::Forbidden,
        "authority-elsewhere",
        "another hospital is this patient's consent authority",
        "ask the hospital that registered the patient",
    )
}

pub(crate) fn directive_digest(directive: &Directive) -> [u8; 32] {
    *hash("sealwort directive v1", &directive.to_bytes()).as_bytes()
}

/// Directives wait in a line of their own, so that no refused write holds back a withdrawal.
pub(crate) fn consent_line(patient: Pseudonym) -> Vec<u8> {
    [b"consent".as_slice(), patient.as_bytes()].concat()
}

/// The branches that labels stand for; all, where none is named.
fn branches_named(labels: &[String]) -> Result<Vec<Branch>, GatewayError> {
    if labels.is_empty() {
        return Ok(Branch::ALL.to_vec());
    }
    let named = labels.iter().map(|word| Branch::named(word).map_err(|error| unknown_word(&error, "labels")));
    let mut named: Vec<Branch> = named.collect::<Result<Vec<_>, _>>()?.concat();
    named.sort_unstable();
    named.dedup();
    Ok(named)
}

fn parse<T: std::str::FromStr<Err: std::fmt::Display>>(
    words: &[String],
    field: &'static str,
) -> Result<Vec<T>, GatewayError> {
    words.iter().map(|word| word.parse().map_err(|error: T::Err| unknown_word(&error, field))).collect()
}

fn unknown_word(error: &dyn std::fmt::Display, field: &'static str) -> GatewayError {
    GatewayError::request(422, IssueCode::CodeInvalid, "word-unknown", error.to_string(), "correct the word").at(field)
}
