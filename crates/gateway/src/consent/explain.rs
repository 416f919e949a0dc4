//! Why somebody may see something, and what would change if: the patient's directive asked by the decision of broker and
//! archive, beside the sentences that it follows from. What is proposed is worked out and never signed.

use std::collections::BTreeSet;

use bytes::Bytes;
use sealwort_consent::{
    Action, Directive, Explainer, LabelTag as ConsentTag, Missing, Party, Patient, Provision, ProvisionId, Purpose,
    Request, UserRole,
};
use sealwort_fhir::{Branch, IssueCode, Resource};
use sealwort_proto::Pseudonym;
use sealwort_proto::codec::Blob;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::statements::{Book, privacy_rule};
use super::{ConsentChange, ProvisionShown, authority_elsewhere, branches_named, dated, directive_digest, parse};
use crate::Gateway;
use crate::error::GatewayError;
use crate::patients::wrong;
use crate::user::Asking;

/// Most questions that one explanation answers.
const QUESTIONS_MAX: usize = 20_000;
/// Most changes that are proposed at once.
const PROPOSALS_MAX: usize = 16;

/// What is to be explained. A list that is left out is everything of its kind.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ExplainRequest {
    /// `system|value`, or the id of a Patient that this hospital knows.
    pub patient: String,
    /// A resource of the patient, `Observation/7`, whose label is asked about.
    pub resource: Option<String>,
    /// Labels.
    pub labels: Vec<String>,
    /// Hospitals; those that the consent names and any other one, where left out.
    pub hospitals: Vec<String>,
    /// Roles of users; no role and those that the consent names, where left out.
    pub roles: Vec<String>,
    /// Purposes of use.
    pub purposes: Vec<String>,
    /// Actions; reading, where left out.
    pub actions: Vec<String>,
    /// The moment, in Unix seconds; now, where left out.
    pub at: Option<u64>,
    /// What if this were done, in this order?
    pub proposed: Vec<Proposal>,
}

/// A change that is proposed.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Proposal {
    /// A Consent is stored: a new one, or in place of the one with its id.
    Consent(Value),
    /// A grant by command.
    Grant(ConsentChange),
    /// A withdrawal by command.
    Withdraw(ConsentChange),
}

/// An explanation.
#[derive(Debug, Clone, Serialize)]
pub struct Explained {
    /// The pseudonym.
    pub patient: String,
    /// Version of the directive that decides.
    pub version: u64,
    /// Epoch of the keys.
    pub epoch: u64,
    /// The moment asked about, in Unix seconds.
    pub at: u64,
    /// Whether this hospital keeps the consent, so that it knows the Consents that the directive follows from.
    pub authority: bool,
    /// The resource asked about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource: Option<String>,
    /// Whether what is proposed would begin a new epoch of keys; absent where nothing is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub new_epoch: Option<bool>,
    /// The answers; questions with the same answer stand together.
    pub rows: Vec<ExplainedRow>,
}

/// What one hospital's users of one role may do.
#[derive(Debug, Clone, Serialize)]
pub struct ExplainedRow {
    /// The hospital's identity; `*` for any that the consent does not name.
    pub hospital: String,
    /// The users' role; absent for users without one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// What is done.
    pub action: String,
    /// What for.
    pub purposes: Vec<String>,
    /// With which labels.
    pub labels: Vec<String>,
    /// The answer as the consent stands.
    pub answer: ExplainedAnswer,
    /// The answer if what is proposed were done, where it would be another.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proposed: Option<ExplainedAnswer>,
}

/// Permitted or denied, and by which sentence.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ExplainedAnswer {
    /// Whether it is permitted.
    pub permitted: bool,
    /// First second in which these sentences do not permit it any more, Unix time; absent for no end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<u64>,
    /// The sentences that permit or deny it. None is a denial: what no sentence permits is denied.
    pub because: Vec<ExplainedSentence>,
    /// Why nothing permits it: the code that broker and archive give.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub missing: Option<&'static str>,
    /// When it would be or was permitted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub when: Option<String>,
}

/// A sentence of a patient's consent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ExplainedSentence {
    /// The Consent that says it, `Consent/7`; absent for what was granted by command.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub consent: Option<String>,
    /// Where in the Consent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub element: Option<String>,
    /// The provision that was granted by command or at the registration.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub provision: Option<u32>,
    /// For people.
    pub text: String,
}

/// Where a sentence comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Origin {
    /// The id of a Consent, and the element.
    Consent(String, String),
    /// A provision granted by command.
    Command(ProvisionId),
}

/// A directive that can be explained, and how its sentences read.
struct Reading {
    explainer: Explainer<Origin>,
    commands: Vec<ProvisionShown>,
}

/// The questions of a request.
struct Questions {
    hospitals: Vec<Party>,
    roles: Vec<Option<UserRole>>,
    purposes: Vec<Purpose>,
    actions: Vec<Action>,
    labels: Vec<(Branch, ConsentTag)>,
    at: u64,
}

impl Gateway {
    /// Explains who may do what, and what would change by what is proposed.
    pub(crate) async fn explain(&self, asked: ExplainRequest, asking: &Asking) -> Result<Explained, GatewayError> {
        let patient = self.patient_named(&asked.patient, &asking.purpose).await?;
        asking.trail.touches(patient);
        let (current, known) = self.directive_of(patient).await?;
        let authority = known.is_some();
        let book = match known {
            Some(_) => Some(self.roster.consents(patient).await?.unwrap_or_else(|| Book::beginning(&current))),
            None => None,
        };
        let now = self.reading(patient, &current, book.as_ref())?;
        let then = match (asked.proposed.as_slice(), book) {
            ([], _) => None,
            (_, None) => return Err(authority_elsewhere()),
            (proposed, Some(book)) => Some(self.proposed(patient, &current, book, &asked.patient, proposed).await?),
        };
        let directives: Vec<&Directive> =
            [Some(&now), then.as_ref()].into_iter().flatten().map(|it| it.explainer.directive()).collect();
        let mut questions = self.questions(patient, &asked, &directives)?;
        if let Some(name) = &asked.resource {
            let (label, _) = self.held_named(name, asking).await?;
            questions.labels.retain(|(asked, _)| *asked == label);
        }
        if questions.count() > QUESTIONS_MAX {
            return Err(GatewayError::request(
                422,
                IssueCode::BusinessRule,
                "explanation-too-long",
                format!("these are {} questions, more than the {QUESTIONS_MAX} allowed", questions.count()),
                "name the hospital, the role or the purpose",
            ));
        }
        let at = questions.at;
        let new_epoch = then.as_ref().map(|then| then.explainer.directive().epoch() > current.epoch());
        let rows = sealwort_net::transport::away(move || rows(patient, &questions, &now, then.as_ref())).await;
        Ok(Explained {
            patient: patient.to_string(),
            version: current.version(),
            epoch: current.epoch(),
            at,
            authority,
            resource: asked.resource,
            new_epoch,
            rows: rows.map_err(|_| GatewayError::Kept("an explanation was interrupted"))?,
        })
    }

    /// A directive beside the sentences that it follows from: Consents and grants by command where this hospital keeps
    /// them, else the provisions themselves.
    fn reading(&self, patient: Pseudonym, directive: &Directive, book: Option<&Book>) -> Result<Reading, GatewayError> {
        let (mut permitting, mut denying) = (Vec::new(), Vec::new());
        let standing = match book {
            Some(book) => {
                let (compiled, ids) = self.compiled(patient, book)?;
                let origin = |statement: usize, place: String| {
                    Origin::Consent(ids.get(statement).cloned().unwrap_or_default(), place)
                };
                permitting.extend(compiled.permitted.into_iter().map(|it| (origin(it.statement, it.place), it.terms)));
                denying.extend(compiled.denied.into_iter().map(|it| (origin(it.statement, it.place), it.terms)));
                book.standing()?
            }
            None => directive.clone(),
        };
        let commands = standing.provisions().iter().map(|it| self.provision_shown(patient, it)).collect();
        permitting.extend(standing.provisions().iter().map(|it| (Origin::Command(it.id()), it.terms().clone())));
        let explainer = Explainer::new(directive, permitting, denying).map_err(|e| wrong(&e))?;
        Ok(Reading { explainer, commands })
    }

    /// The directive that would follow from what is proposed.
    async fn proposed(
        &self,
        patient: Pseudonym,
        current: &Directive,
        mut book: Book,
        named: &str,
        proposed: &[Proposal],
    ) -> Result<Reading, GatewayError> {
        if proposed.len() > PROPOSALS_MAX {
            return Err(not_proposed("more than 16 changes are proposed at once", "propose fewer"));
        }
        let now = self.sessions.now().as_secs();
        for one in proposed {
            match one {
                Proposal::Consent(consent) => self.propose_consent(patient, &mut book, consent).await?,
                Proposal::Grant(change) => {
                    let terms = self.granted(patient, own_change(change, named)?, now)?;
                    let before = book.standing()?;
                    let next = before.grant(dated(&before, now), directive_digest(&before), vec![terms]);
                    book.standing = Blob(next.map_err(|e| wrong(&e))?.to_bytes());
                }
                Proposal::Withdraw(change) => {
                    let withdrawal = self.withdrawn(patient, own_change(change, named)?)?;
                    self.check_withdrawal(patient, &book, &withdrawal)?;
                    let before = book.standing()?;
                    let next = before.withdraw(dated(&before, now), directive_digest(&before), &withdrawal);
                    book.standing = Blob(next.map_err(|e| wrong(&e))?.to_bytes());
                }
            }
        }
        let terms = self.terms(patient, &book)?;
        let next = current.replace(dated(current, now), directive_digest(current), terms).map_err(|e| wrong(&e))?;
        self.reading(patient, &next, Some(&book))
    }

    async fn propose_consent(&self, patient: Pseudonym, book: &mut Book, consent: &Value) -> Result<(), GatewayError> {
        let consent = Resource::parse(Bytes::from(consent.to_string()))?;
        if consent.resource_type().as_str() != "Consent" {
            return Err(not_proposed("what is proposed is no Consent", "propose a Consent, a grant or a withdrawal"));
        }
        let home = self.home_of(&consent, consent.id()).await?;
        if self.patient_at(&home).await? != Some(patient) {
            return Err(not_proposed("the Consent is about another patient", "name the patient in Consent.patient"));
        }
        // As it is checked when it is stored.
        self.check_consent(&consent, Some(patient)).await?;
        let id = consent.id().map_or_else(|| "proposed".to_owned(), |id| id.as_str().to_owned());
        let in_force = privacy_rule(&consent)?.is_some();
        book.take(&id, in_force.then(|| consent.bytes().clone()));
        Ok(())
    }

    fn questions(
        &self,
        patient: Pseudonym,
        asked: &ExplainRequest,
        directives: &[&Directive],
    ) -> Result<Questions, GatewayError> {
        let terms = || directives.iter().flat_map(|it| it.provisions()).map(Provision::terms);
        let hospitals = if asked.hospitals.is_empty() {
            let named: BTreeSet<&Party> = terms().flat_map(|it| it.grantees().names()).collect();
            let other = Party::new(ANY_OTHER).map_err(|e| wrong(&e))?;
            named.into_iter().cloned().chain([other]).collect()
        } else {
            asked.hospitals.iter().map(|name| self.hospital(name)).collect::<Result<_, _>>()?
        };
        let roles = if asked.roles.is_empty() {
            let named: BTreeSet<&UserRole> = terms().flat_map(|it| it.roles().names()).collect();
            std::iter::once(None).chain(named.into_iter().cloned().map(Some)).collect()
        } else {
            let role = |name: &String| UserRole::new(name).map(Some).map_err(|e| wrong(&e));
            asked.roles.iter().map(role).collect::<Result<_, _>>()?
        };
        let labels = branches_named(&asked.labels)?;
        let tag = |label| ConsentTag::new(*self.directory.tag(patient, label).as_bytes());
        Ok(Questions {
            hospitals,
            roles,
            purposes: if asked.purposes.is_empty() { Purpose::ALL.into() } else { parse(&asked.purposes, "purposes")? },
            actions: if asked.actions.is_empty() { vec![Action::Read] } else { parse(&asked.actions, "actions")? },
            labels: labels.into_iter().map(|label| (label, tag(label))).collect(),
            at: asked.at.unwrap_or_else(|| self.sessions.now().as_secs()),
        })
    }
}

impl Questions {
    fn count(&self) -> usize {
        self.hospitals.len() * self.roles.len() * self.purposes.len() * self.actions.len() * self.labels.len()
    }
}

/// Asks every question; those with the same answers stand together.
fn rows(patient: Pseudonym, questions: &Questions, now: &Reading, then: Option<&Reading>) -> Vec<ExplainedRow> {
    let mut rows: Vec<ExplainedRow> = Vec::new();
    for hospital in &questions.hospitals {
        for role in &questions.roles {
            for action in &questions.actions {
                let mut own: Vec<ExplainedRow> = Vec::new();
                for purpose in &questions.purposes {
                    let request = |tag: ConsentTag| Request {
                        party: hospital.clone(),
                        patient: Patient::new(*patient.as_bytes()),
                        role: role.clone(),
                        action: *action,
                        tags: vec![tag],
                        purpose: *purpose,
                        now: questions.at,
                    };
                    let mut of_purpose: Vec<ExplainedRow> = Vec::new();
                    for (label, tag) in &questions.labels {
                        let answer = now.answer(&request(*tag));
                        let proposed = then.map(|then| then.answer(&request(*tag))).filter(|then| *then != answer);
                        let same = |row: &&mut ExplainedRow| row.answer == answer && row.proposed == proposed;
                        match of_purpose.iter_mut().find(same) {
                            Some(row) => row.labels.push(label.to_string()),
                            None => of_purpose.push(ExplainedRow {
                                hospital: if hospital.as_str() == ANY_OTHER {
                                    "*".into()
                                } else {
                                    hospital.to_string()
                                },
                                role: role.as_ref().map(ToString::to_string),
                                action: action.to_string(),
                                purposes: vec![purpose.to_string()],
                                labels: vec![label.to_string()],
                                answer,
                                proposed,
                            }),
                        }
                    }
                    for row in of_purpose {
                        let same = |before: &&mut ExplainedRow| {
                            before.labels == row.labels
                                && before.answer == row.answer
                                && before.proposed == row.proposed
                        };
                        match own.iter_mut().find(same) {
                            Some(before) => before.purposes.extend(row.purposes),
                            None => own.push(row),
                        }
                    }
                }
                rows.extend(own);
            }
        }
    }
    rows
}

impl Reading {
    fn answer(&self, request: &Request) -> ExplainedAnswer {
        let explanation = self.explainer.explain(request);
        let decision = &explanation.decision;
        let missing = decision.missing();
        let timed = missing.filter(|it| matches!(it, Missing::NotStarted { .. } | Missing::Ended { .. }));
        ExplainedAnswer {
            permitted: decision.is_permitted(),
            until: decision.permitted_until(),
            because: explanation.because.into_iter().map(|origin| self.sentence(origin)).collect(),
            missing: missing.map(Missing::code),
            when: timed.map(ToString::to_string),
        }
    }

    fn sentence(&self, origin: &Origin) -> ExplainedSentence {
        match origin {
            Origin::Consent(id, place) => ExplainedSentence {
                text: format!("Consent/{id}, {place}"),
                consent: Some(format!("Consent/{id}")),
                element: Some(place.clone()),
                provision: None,
            },
            Origin::Command(id) => {
                let id = id.as_u32();
                let shown = self.commands.iter().find(|shown| shown.id == id);
                let says = shown.map(|it| format!(": {} for {}", it.actions.join(", "), it.purposes.join(", ")));
                ExplainedSentence {
                    consent: None,
                    element: None,
                    provision: Some(id),
                    text: format!("grant {id}{}", says.unwrap_or_default()),
                }
            }
        }
    }
}

/// A proposed change by command names its patient as the request does.
fn own_change<'a>(change: &'a ConsentChange, named: &str) -> Result<&'a ConsentChange, GatewayError> {
    if change.patient == named {
        return Ok(change);
    }
    Err(not_proposed("a proposed change names another patient", "name the patient as in the request itself"))
}

fn not_proposed(why: &str, instead: &str) -> GatewayError {
    GatewayError::request(422, IssueCode::BusinessRule, "proposal-invalid", why, instead).at("proposed")
}

/// Stands for a hospital that nobody named: no identity of a hospital reads like this.
const ANY_OTHER: &str = "*";
