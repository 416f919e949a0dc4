//! Consents in FHIR that are stored at the gateway of the patient's consent authority. They are kept beside what was
//! granted by command, and both together make the patient's directive: a Consent that is stored or withdrawn makes the
//! next one. A Consent that cannot be enforced exactly is refused before it is stored.

use bytes::Bytes;
use minicbor::{Decode, Encode};
use sealwort_consent::{
    Among, Directive, Effect, Everything, Party, Period, Rule, Terms, UserRole, Withdrawal, compile,
};
use sealwort_fhir::consent::{Actor, ConsentAction, ConsentReading, ConsentRule, read_consent};
use sealwort_fhir::{IssueCode, Outcome, Resource, ResourceId, patient_references, read_json};
use sealwort_proto::Pseudonym;
use sealwort_proto::codec::Blob;

use crate::Gateway;
use crate::config::ActorConfig;
use crate::error::GatewayError;
use crate::patients::wrong;

/// The system of an identifier that is a URI (FHIR R4, identifier-registry).
const URI_SYSTEM: &str = "urn:ietf:rfc:3986";

/// What this hospital keeps of a patient's consent as its authority, once there is a Consent.
#[derive(Debug, Clone, Encode, Decode)]
#[cbor(array)]
pub(crate) struct Book {
    /// What was granted by command and at the registration, as a directive that nobody signs.
    #[n(0)]
    pub(crate) standing: Blob,
    /// The Consents in force, in the order in which they were stored first.
    #[n(1)]
    consents: Vec<KeptConsent>,
}

#[derive(Debug, Clone, Encode, Decode)]
#[cbor(array)]
struct KeptConsent {
    #[n(0)]
    id: String,
    #[n(1)]
    content: Blob,
}

/// A Consent that was stored, with what it says now; none when it was deleted.
pub(crate) type StoredConsent = (ResourceId, Option<Resource>);

impl Book {
    /// The book of a patient who has no Consent yet.
    pub(crate) fn beginning(current: &Directive) -> Self {
        Self { standing: Blob(current.to_bytes()), consents: Vec::new() }
    }

    pub(crate) fn standing(&self) -> Result<Directive, GatewayError> {
        Directive::from_bytes(self.standing.as_ref()).map_err(|_| GatewayError::Kept("a kept consent cannot be read"))
    }

    /// The logical ids of the Consents in force.
    fn ids(&self) -> Vec<&str> {
        self.consents.iter().map(|it| it.id.as_str()).collect()
    }

    /// Takes a Consent in, or out when it is not in force any more.
    pub(super) fn take(&mut self, id: &str, in_force: Option<Bytes>) {
        let place = self.consents.iter().position(|it| it.id == id);
        match (place, in_force) {
            (Some(place), Some(content)) => {
                if let Some(kept) = self.consents.get_mut(place) {
                    kept.content = Blob(content.to_vec());
                }
            }
            (Some(place), None) => drop(self.consents.remove(place)),
            (None, Some(content)) => {
                self.consents.push(KeptConsent { id: id.to_owned(), content: Blob(content.to_vec()) });
            }
            (None, None) => {}
        }
    }
}

impl Gateway {
    /// Refuses a Consent that this hospital could not enforce exactly.
    pub(crate) async fn check_consent(&self, consent: &Resource, known: Option<Pseudonym>) -> Result<(), GatewayError> {
        let Some(rule) = privacy_rule(consent)? else { return Ok(()) };
        self.rules(&rule)?;
        let elsewhere = match known {
            Some(patient) => self.roster.known(patient).await?.is_some_and(|known| known.directive.0.is_empty()),
            // Whoever is not known yet is registered here.
            None => false,
        };
        if elsewhere {
            return Err(crate::consent::authority_elsewhere().at("Consent.patient"));
        }
        Ok(())
    }

    /// Makes the directive that follows from Consents that were stored.
    pub(crate) async fn enforce(&self, patient: Pseudonym, stored: &[StoredConsent]) -> Result<(), GatewayError> {
        let _one_at_a_time = self.consenting.lock().await;
        let Some(known) = self.roster.known(patient).await?.filter(|known| !known.directive.0.is_empty()) else {
            return Ok(());
        };
        if self.roster.is_erased(patient) {
            return Err(GatewayError::erased_patient());
        }
        let current = self.newest_directive(&known).await?;
        let kept = self.roster.consents(patient).await?;
        let had = kept.is_some();
        let mut book = kept.unwrap_or_else(|| Book::beginning(&current));
        for (id, consent) in stored {
            let in_force = match consent {
                Some(consent) if privacy_rule(consent)?.is_some() => Some(consent.bytes().clone()),
                _ => None,
            };
            book.take(id.as_str(), in_force);
        }
        if !had && book.consents.is_empty() {
            return Ok(());
        }
        let terms = self.terms(patient, &book)?;
        // Kept first: where signing fails, the next change of consent makes up for it.
        self.roster.put_consents(patient, &book).await?;
        let standing: Vec<&Terms> = current.provisions().iter().map(sealwort_consent::Provision::terms).collect();
        if standing.len() == terms.len() && terms.iter().all(|terms| standing.contains(&terms)) {
            return Ok(());
        }
        let now = self.sessions.now().as_secs();
        let make = |current: &Directive, digest| {
            let next = current.replace(crate::consent::dated(current, now), digest, terms.clone());
            next.map_err(|error| wrong(&error))
        };
        self.sign_next(known, make).await.map(drop)
    }

    /// The terms that a patient's book comes to.
    pub(crate) fn terms(&self, patient: Pseudonym, book: &Book) -> Result<Vec<Terms>, GatewayError> {
        let (compiled, _) = self.compiled(patient, book)?;
        let permitted = compiled.permitted.into_iter().map(|sentence| sentence.terms);
        Ok(compiled.standing.into_iter().chain(permitted).collect())
    }

    /// Refuses to take back by command what a Consent in force permits: the Consent would permit it again.
    pub(crate) fn check_withdrawal(
        &self,
        patient: Pseudonym,
        book: &Book,
        withdrawal: &Withdrawal,
    ) -> Result<(), GatewayError> {
        let (compiled, _) = self.compiled(patient, book)?;
        if !compiled.permitted.iter().any(|sentence| withdrawal.touches(&sentence.terms)) {
            return Ok(());
        }
        Err(GatewayError::request(
            409,
            IssueCode::BusinessRule,
            "consent-in-force",
            format!("a Consent of the patient permits it; in force are Consent/{}", book.ids().join(", Consent/")),
            "set the status of that Consent to inactive, or store one that denies it",
        ))
    }

    /// What a book comes to, and the id of the Consent that each statement is of.
    pub(super) fn compiled(
        &self,
        patient: Pseudonym,
        book: &Book,
    ) -> Result<(sealwort_consent::Compiled, Vec<String>), GatewayError> {
        let everything = Everything {
            authority: Party::new(self.member.identity().to_string()).map_err(|e| wrong(&e))?,
            tags: self.tags_named(patient, &[])?,
        };
        let standing: Vec<Terms> = book.standing()?.provisions().iter().map(|it| it.terms().clone()).collect();
        let (mut statements, mut of) = (Vec::new(), Vec::new());
        for kept in &book.consents {
            let consent = Resource::parse(Bytes::copy_from_slice(kept.content.as_ref()))?;
            if let Some(rule) = privacy_rule(&consent)? {
                statements.extend(self.rules(&rule)?.into_iter().map(|rule| self.tagged(patient, rule)));
                of.resize(statements.len(), kept.id.clone());
            }
        }
        Ok((compile(&everything, &standing, &statements).map_err(|e| wrong(&e))?, of))
    }

    /// The rule once for each kind of actor that it names.
    fn rules(&self, rule: &ConsentRule) -> Result<Vec<Labelled>, GatewayError> {
        resolved(rule, &|actor| self.whom(actor))
    }

    /// The hospitals and roles that an actor stands for.
    fn whom(&self, actor: &Actor) -> Result<Whom, GatewayError> {
        let names = [actor.identifier.as_deref(), actor.reference.as_deref()];
        if let Some(configured) = names.into_iter().flatten().find_map(|name| self.actors.get(name)) {
            return self.configured(configured);
        }
        let uri = actor.identifier.as_deref().and_then(|it| it.strip_prefix(URI_SYSTEM)?.strip_prefix('|'));
        match uri.filter(|uri| uri.starts_with("sealwort://")) {
            Some(uri) => Ok((Some(self.hospital(uri)?.into()), None)),
            None => Err(GatewayError::request(
                422,
                IssueCode::NotFound,
                "consent-actor-unknown",
                "this consent cannot be enforced exactly: it names an actor that the exchange does not know",
                "name a hospital by identifier (system urn:ietf:rfc:3986, value sealwort://EXCHANGE/gateway/NAME), or \
                 have the actor configured under [consent.actors]",
            )
            .at(actor.expression.as_str())),
        }
    }

    fn configured(&self, actor: &ActorConfig) -> Result<Whom, GatewayError> {
        let mut hospitals = Vec::new();
        for name in &actor.hospitals {
            hospitals.push(self.hospital(name)?);
        }
        let roles = actor.roles.iter().map(UserRole::new).collect::<Result<Vec<_>, _>>().map_err(|e| wrong(&e))?;
        let hospitals = (!hospitals.is_empty()).then(|| Among::these(hospitals));
        Ok((hospitals, (!roles.is_empty()).then(|| Among::these(roles))))
    }

    fn tagged(&self, patient: Pseudonym, labelled: Labelled) -> Rule {
        let Labelled { rule, labels, exceptions } = labelled;
        let tags = labels.map(|labels| {
            let tag = |label| sealwort_consent::LabelTag::new(*self.directory.tag(patient, label).as_bytes());
            labels.into_iter().map(tag).collect()
        });
        let exceptions = exceptions.into_iter().map(|exception| self.tagged(patient, exception)).collect();
        Rule { tags, exceptions, ..rule }
    }
}

/// What a Consent says, where it is about a patient's privacy and in force.
pub(super) fn privacy_rule(consent: &Resource) -> Result<Option<ConsentRule>, GatewayError> {
    if patient_references(consent).is_empty() {
        return Ok(None);
    }
    match read_consent(&read_json(consent.bytes(), "Consent")?).map_err(refused)? {
        ConsentReading::Active(rule) => Ok(Some(rule)),
        ConsentReading::Document | ConsentReading::Inactive => Ok(None),
    }
}

/// Hospitals and roles; none is what the rule around says.
type Whom = (Option<Among<Party>>, Option<Among<UserRole>>);

/// A rule whose labels are not tags of a patient yet.
struct Labelled {
    rule: Rule,
    labels: Option<Vec<sealwort_fhir::Branch>>,
    exceptions: Vec<Labelled>,
}

fn resolved(
    rule: &ConsentRule,
    whom: &impl Fn(&Actor) -> Result<Whom, GatewayError>,
) -> Result<Vec<Labelled>, GatewayError> {
    let everyone = match &rule.actors {
        None => vec![(None, None)],
        Some(actors) => actors.iter().map(whom).collect::<Result<Vec<_>, _>>()?,
    };
    let period = match rule.period {
        Some((from, until)) => Some(Period::new(from.unwrap_or_default(), until).map_err(|e| wrong(&e))?),
        None => None,
    };
    let actions = rule.actions.as_ref().map(|actions| {
        let both = |action: &ConsentAction| match action {
            // Breaking the glass is a way of reading; whether it is permitted is the purpose's to say.
            ConsentAction::Read => vec![sealwort_consent::Action::Read, sealwort_consent::Action::Emergency],
            ConsentAction::Write => vec![sealwort_consent::Action::Write],
        };
        actions.iter().flat_map(both).collect::<Vec<_>>()
    });
    let purposes = match &rule.purposes {
        Some(codes) => {
            Some(codes.iter().map(|code| code.parse()).collect::<Result<Vec<_>, _>>().map_err(|e| wrong(&e))?)
        }
        None => None,
    };
    let effect = match rule.effect {
        sealwort_fhir::consent::Effect::Permit => Effect::Permit,
        sealwort_fhir::consent::Effect::Deny => Effect::Deny,
    };
    let mut found = Vec::new();
    for (hospitals, roles) in everyone {
        let mut exceptions = Vec::new();
        for exception in &rule.exceptions {
            exceptions.extend(resolved(exception, whom)?);
        }
        let bare = Rule {
            place: rule.expression.clone(),
            effect,
            hospitals,
            roles,
            actions: actions.clone(),
            tags: None,
            purposes: purposes.clone(),
            period,
            exceptions: Vec::new(),
        };
        found.push(Labelled { rule: bare, labels: rule.labels.clone(), exceptions });
    }
    Ok(found)
}

fn refused(issue: sealwort_fhir::Issue) -> GatewayError {
    GatewayError::Faults { status: 422, outcome: Box::new(Outcome::from(issue)) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing)]

    use sealwort_consent::{Action, CompiledDirective, LabelTag, Patient, Purpose, Request};
    use sealwort_fhir::Branch;

    use super::*;

    const EMERGENCY_PHYSICIAN: &str = "emergency-physician";
    /// Hospital, role, purpose, label and time, and whether it is permitted.
    type Rows<'a> = Vec<((&'a str, &'a str, &'a str, Branch, u64), bool)>;
    /// 2023-06-01.
    const NOW: u64 = 1_685_577_600;

    fn hospital(name: &str) -> Party {
        Party::new(format!("sealwort://demo/gateway/{name}")).unwrap()
    }

    fn tag(label: Branch) -> LabelTag {
        LabelTag::new(
            [Branch::ALL.iter().position(|it| *it == label).and_then(|at| u8::try_from(at).ok()).unwrap(); 16],
        )
    }

    /// As a hospital would configure the actors of the examples.
    fn whom(actor: &Actor) -> Result<Whom, GatewayError> {
        match actor.reference.as_deref() {
            Some("Group/ex-privilegedUsers") => {
                Ok((None, Some(Among::these([UserRole::new(EMERGENCY_PHYSICIAN).unwrap()]))))
            }
            Some("Organization/ex-org-researcher") => Ok((Some(hospital("research").into()), None)),
            _ => Err(GatewayError::unknown_patient().at(actor.expression.as_str())),
        }
    }

    fn with_tags(labelled: Labelled) -> Rule {
        let Labelled { rule, labels, exceptions } = labelled;
        let tags = labels.map(|labels| labels.into_iter().map(tag).collect());
        Rule { tags, exceptions: exceptions.into_iter().map(with_tags).collect(), ..rule }
    }

    /// What an example comes to; the element for which it is refused otherwise.
    fn decides(consent: &serde_json::Value) -> Result<CompiledDirective, String> {
        let place = |error: GatewayError| error.outcome().issues().next().unwrap().expressions().join(" ");
        let rule = match read_consent(consent).map_err(|issue| issue.expressions().join(" "))? {
            ConsentReading::Active(rule) => rule,
            other => panic!("{other:?}"),
        };
        let statements: Vec<Rule> = resolved(&rule, &whom).map_err(place)?.into_iter().map(with_tags).collect();
        let everything = Everything { authority: hospital("own"), tags: Branch::ALL.map(tag).to_vec() };
        let permitted = compile(&everything, &[], &statements).unwrap().permitted;
        let terms = permitted.into_iter().map(|sentence| sentence.terms).collect();
        let directive = Directive::first("demo", Patient::new([1; 32]), NOW, terms).unwrap();
        Ok(CompiledDirective::compile(&directive).unwrap())
    }

    /// Whether another hospital may read, or break the glass for the purpose BTG.
    fn may(directive: &CompiledDirective, (name, role, purpose, label, now): (&str, &str, &str, Branch, u64)) -> bool {
        let purpose: Purpose = purpose.parse().unwrap();
        let decision = directive.decide(&Request {
            party: hospital(name),
            patient: Patient::new([1; 32]),
            role: Some(UserRole::new(role).unwrap()),
            action: if purpose == Purpose::BreakTheGlass { Action::Emergency } else { Action::Read },
            tags: vec![tag(label)],
            purpose,
            now,
        });
        decision.is_permitted()
    }

    /// Each example of IHE Privacy Consent on FHIR, with what its profile says of it: rows of who asks for what, and
    /// whether it is permitted. What keys cannot enforce is refused at the element that says it.
    #[test]
    fn the_examples_of_ihe_pcf_behave_as_their_profile_says() {
        let Some(folder) = sealwort_published::data("consent-ihe-pcf") else { return };
        let (general, psychiatry) = (Branch::Results, Branch::Psychiatry);
        let before = 1_655_078_400; // 2022-06-13
        let treats = [
            (("b", "nurse", "TREAT", general, NOW), true),
            (("b", "nurse", "ETREAT", psychiatry, NOW), true),
            (("c", "clerk", "HPAYMT", general, NOW), true),
            (("c", "clerk", "HOPERAT", general, NOW), true),
            (("b", "nurse", "HRESCH", general, NOW), false),
            (("b", EMERGENCY_PHYSICIAN, "BTG", general, NOW), false),
        ];
        let normal = [
            (("b", "nurse", "TREAT", general, NOW), true),
            (("b", "nurse", "TREAT", psychiatry, NOW), false),
            (("b", "nurse", "TREAT", Branch::VeryRestricted, NOW), false),
            (("b", "nurse", "HRESCH", general, NOW), false),
        ];
        let glass = [
            (("b", EMERGENCY_PHYSICIAN, "BTG", psychiatry, NOW), true),
            (("b", EMERGENCY_PHYSICIAN, "BTG", general, NOW), true),
            (("b", "nurse", "BTG", general, NOW), false),
        ];
        let nothing = [
            (("b", "nurse", "TREAT", general, NOW), false),
            (("b", "clerk", "HPAYMT", general, NOW), false),
            (("research", "researcher", "HRESCH", general, NOW), false),
        ];
        let ended = [
            (("b", "nurse", "TREAT", general, before), true),
            // The last second of the last day, and the first one after it.
            (("b", "nurse", "TREAT", general, 1_672_531_199), true),
            (("b", "nurse", "TREAT", general, 1_672_531_200), false),
        ];
        let expected: Vec<(&str, Result<Rows<'_>, &str>)> = vec![
            ("advanced-normal-break-glass-restricted", Ok([&normal[..], &glass].concat())),
            ("advanced-normal-focused-psy", Err("Consent.provision.provision[0].actor[0]")),
            ("advanced-normal-not-restricted", Ok(normal.to_vec())),
            ("advanced-normal", Ok(normal.to_vec())),
            ("basic-reject", Ok(nothing.to_vec())),
            ("basic-treat-infant", Ok(treats.to_vec())),
            ("expired-treat", Ok(ended.to_vec())),
            ("intermediate-data", Err("Consent.provision.data")),
            ("intermediate-not-authoredby", Err("Consent.provision.provision[0].data")),
            ("intermediate-not-encounter", Err("Consent.provision.provision[0].data")),
            // Its only purpose is one that the exchange does not serve.
            ("intermediate-purpose", Ok(nothing.to_vec())),
            ("dissent-intermediate-break-glass", Ok([&nothing[..], &glass].concat())),
        ];
        let mut held = 0;
        for path in sealwort_published::files(&folder, Some("json")) {
            let name = path.file_stem().unwrap().to_str().unwrap().to_owned();
            let Some(name) = name.strip_prefix("Consent-ex-") else { continue };
            let name = name.strip_prefix("consent-").unwrap_or(name);
            let (_, expected) = expected.iter().find(|(known, _)| *known == name).unwrap_or_else(|| panic!("{name}"));
            let consent = read_json(&std::fs::read(&path).unwrap(), "Consent").unwrap();
            match (decides(&consent), expected) {
                (Ok(directive), Ok(rows)) => {
                    for (row, permitted) in rows {
                        assert_eq!(may(&directive, *row), *permitted, "{name}: {row:?}");
                    }
                }
                (Err(place), Err(element)) => assert_eq!(place, *element, "{name}"),
                (found, _) => panic!("{name}: {:?}", found.map(|it| it.directive().clone())),
            }
            held += 1;
        }
        assert_eq!(held, expected.len());
    }
}
