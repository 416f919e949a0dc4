//! A directive as Cedar policies: one `permit` for each provision, and nothing else, so that
//! whatever no provision says is denied. This module compiles and asks; what a caller may
//! conclude is in `decision.rs`.
//!
//! Provision 7 becomes
//!
//! ```text
//! permit (
//!     principal == Party::"sealwort://demo/gateway/b",
//!     action,
//!     resource == Patient::"5f…"
//! ) when {
//!     context.now >= 1700000000 && context.now < 1800000000 &&
//!     Provision::"7".uses.contains(context.use) &&
//!     Provision::"7".labels.containsAny(context.labels)
//! };
//! ```
//!
//! A provision for several hospitals, for all but some, or for some roles has conditions for these instead:
//!
//! ```text
//! permit (principal is Party, …) when { Provision::"8".hospitals.contains(principal) && … };
//! permit (principal is Party, …) unless { Provision::"9".hospitals.contains(principal) } when { … };
//! when { context has role && Provision::"8".roles.contains(context.role) }
//! ```
//!
//! A role that is not named fits only the provisions that are for every role, `all but clerks` not among them.
//!
//! A use is an action and a purpose in one word, `read TREAT`. The sets are attributes of the entity `Provision::"7"`,
//! because Cedar builds a set written in a policy anew at each evaluation: actions in such a set cost more than all the
//! rest. Labels are numbers, the places of their tags among all tags of the
//! directive, because Cedar compares numbers faster than texts; a tag that no provision has cannot be permitted.
//! A request carries all its labels at once, and a tag is granted when a provision has it whose `permit` held. That
//! reading is exact because there is no `forbid`; a rule that forbids a label would need one
//! Cedar request for each label.
//!
//! Each policy is asked by itself, and none that cannot matter: not one whose provision is plainly for another hospital,
//! role, use or time, nor one that gives no label that a longer lasting one does not give. So whatever is permitted was
//! read twice, plainly and by Cedar, and Cedar is asked once for most requests, however much a patient has said.
//!
//! Nothing is put together as Cedar text. Policies are built from Cedar's JSON form and entity
//! ids through its API, so no identity can smuggle in syntax.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::str::FromStr;

use cedar_policy::{
    Authorizer, Context, Entities, Entity, EntityId, EntityTypeName, EntityUid, Policy, PolicyId, PolicySet,
    RestrictedExpression,
};
use serde_json::{Value, json};

use crate::provision::sorted;
use crate::{Action, Among, Directive, LabelTag, Party, Patient, Provision, Purpose, UserRole};

/// A directive, ready to decide. Compile once for each directive and keep it.
#[derive(Debug)]
pub struct CompiledDirective {
    directive: Directive,
    authorizer: Authorizer,
    names: Names,
    entities: Entities,
    /// The patient, as requests name it.
    patient: EntityUid,
    /// All tags of the provisions, sorted: a label's number is its place.
    labels: Vec<LabelTag>,
    /// One policy for each provision, in the directive's order.
    policies: Vec<PolicySet>,
    /// By hospital named in some provision.
    grantees: BTreeMap<Party, Candidates>,
    /// For every other hospital.
    others: Candidates,
}

/// Places of the provisions that could ever hold for one hospital, by action and purpose, the longest lasting first. Only
/// a shortcut: each policy names its hospitals, its actions and its purposes itself.
type Candidates = BTreeMap<(Action, Purpose), Vec<usize>>;

/// One question to Cedar. Tags are all asked for at once.
pub(crate) struct Question<'a> {
    pub(crate) party: &'a Party,
    pub(crate) patient: Patient,
    pub(crate) role: Option<&'a UserRole>,
    pub(crate) action: Action,
    pub(crate) purpose: Purpose,
    pub(crate) now: u64,
    pub(crate) tags: &'a [LabelTag],
}

/// Cedar could not answer, which denies.
pub(crate) struct NoAnswer;

impl CompiledDirective {
    /// Compiles a directive.
    ///
    /// # Errors
    /// [`CompileError`] when Cedar refuses what this module wrote: a fault of this software.
    pub fn compile(directive: &Directive) -> Result<Self, CompileError> {
        let names = Names::new()?;
        let labels = sorted(directive.provisions().iter().flat_map(|it| it.terms().tags()).copied());
        let (mut entities, mut policies) = (Vec::new(), Vec::new());
        for provision in directive.provisions() {
            entities.push(provision_entity(&names, &labels, provision)?);
            let policy = provision_policy(directive.patient(), provision)?;
            policies.push(PolicySet::from_policies([policy]).map_err(cedar)?);
        }
        let mut lasting: Vec<(usize, &Provision)> = directive.provisions().iter().enumerate().collect();
        lasting.sort_by_key(|(_, provision)| Reverse(last(provision)));
        let indexed = |meant: &dyn Fn(&Among<Party>) -> bool| {
            let mut by_use = Candidates::new();
            for (place, provision) in lasting.iter().filter(|(_, it)| meant(it.terms().grantees())) {
                for action in provision.terms().actions() {
                    for purpose in provision.terms().purposes() {
                        by_use.entry((*action, *purpose)).or_default().push(*place);
                    }
                }
            }
            by_use
        };
        let parties = directive.provisions().iter().flat_map(|it| it.terms().grantees().names());
        let parties: BTreeSet<&Party> = parties.collect();
        let mut grantees = BTreeMap::new();
        for party in parties {
            grantees.insert(party.clone(), indexed(&|among| among.holds(party)));
        }
        let others = indexed(&|among| matches!(among, Among::AllBut(_)));
        Ok(Self {
            directive: directive.clone(),
            authorizer: Authorizer::new(),
            patient: uid(&names.patient, directive.patient().to_string()),
            names,
            labels,
            entities: Entities::from_entities(entities, None).map_err(cedar)?,
            policies,
            grantees,
            others,
        })
    }

    /// The directive that was compiled.
    pub fn directive(&self) -> &Directive {
        &self.directive
    }

    /// Provisions that permit what of the tags is permitted: of those that permit a tag, the longest lasting one is among
    /// them. Empty is a denial.
    pub(crate) fn permitting(&self, question: &Question<'_>) -> Result<Vec<&Provision>, NoAnswer> {
        let candidates = self.grantees.get(question.party).unwrap_or(&self.others);
        let mut wanted: Vec<LabelTag> = question.tags.to_vec();
        let mut found = Vec::new();
        let mut request = None;
        for place in candidates.get(&(question.action, question.purpose)).into_iter().flatten() {
            let (Some(provision), Some(policy)) = (self.directive.provisions().get(*place), self.policies.get(*place))
            else {
                return Err(NoAnswer);
            };
            let gives = |tag: &LabelTag| provision.terms().tags().binary_search(tag).is_ok();
            if !wanted.iter().any(gives) || !is_meant(provision, question) {
                continue;
            }
            let request = match &request {
                Some(request) => request,
                None => request.insert(self.request(question)?),
            };
            let response = self.authorizer.is_authorized(request, policy, &self.entities);
            if response.diagnostics().errors().next().is_some() {
                return Err(NoAnswer);
            }
            if response.decision() == cedar_policy::Decision::Allow {
                wanted.retain(|tag| !gives(tag));
                found.push(provision);
            }
        }
        Ok(found)
    }

    fn request(&self, question: &Question<'_>) -> Result<cedar_policy::Request, NoAnswer> {
        let labels = numbers(&self.labels, question.tags);
        let role = question.role.map(|role| ("role".to_owned(), word(role)));
        let context = Context::from_pairs(role.into_iter().chain([
            ("now".to_owned(), RestrictedExpression::new_long(i64::try_from(question.now).map_err(|_| NoAnswer)?)),
            ("use".to_owned(), RestrictedExpression::new_string(one_use(question.action, question.purpose))),
            ("labels".to_owned(), RestrictedExpression::new_set(labels)),
        ]));
        let patient = if question.patient == self.directive.patient() {
            self.patient.clone()
        } else {
            uid(&self.names.patient, question.patient.to_string())
        };
        cedar_policy::Request::new(
            self.names.party(question.party),
            uid(&self.names.action, question.action.as_str()),
            patient,
            context.map_err(|_| NoAnswer)?,
            None,
        )
        .map_err(|_| NoAnswer)
    }
}

/// Whether a provision is plainly for this role, now.
fn is_meant(provision: &Provision, question: &Question<'_>) -> bool {
    let (roles, period) = (provision.terms().roles(), provision.terms().period());
    let for_role = question.role.map_or(roles.holds_unnamed(), |role| roles.holds(role));
    for_role && period.includes(question.now)
}

/// When a provision ends; no end is later than every end.
pub(crate) fn last(provision: &Provision) -> u64 {
    provision.terms().period().until().unwrap_or(u64::MAX)
}

/// The names of Cedar entity types, parsed once.
#[derive(Debug)]
struct Names {
    party: EntityTypeName,
    action: EntityTypeName,
    patient: EntityTypeName,
    provision: EntityTypeName,
}

impl Names {
    fn new() -> Result<Self, CompileError> {
        let name = |text| EntityTypeName::from_str(text).map_err(cedar);
        Ok(Self { party: name(PARTY)?, action: name(ACTION)?, patient: name(PATIENT)?, provision: name(PROVISION)? })
    }

    fn party(&self, party: &Party) -> EntityUid {
        uid(&self.party, party.as_str())
    }
}

/// Cedar refused a policy or an entity that this software wrote. The fault is this software.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the consent could not be compiled, which is a fault of this software: {0}")]
pub struct CompileError(String);

fn cedar(cause: impl std::fmt::Display) -> CompileError {
    CompileError(cause.to_string())
}

fn provision_entity(names: &Names, labels: &[LabelTag], provision: &Provision) -> Result<Entity, CompileError> {
    let terms = provision.terms();
    let hospitals =
        terms.grantees().names().iter().map(|party| RestrictedExpression::new_entity_uid(names.party(party)));
    let uses = terms.actions().iter().flat_map(|action| terms.purposes().iter().map(|it| one_use(*action, *it)));
    let attributes = HashMap::from([
        ("hospitals".to_owned(), RestrictedExpression::new_set(hospitals)),
        ("roles".to_owned(), words(terms.roles().names())),
        ("uses".to_owned(), RestrictedExpression::new_set(uses.map(RestrictedExpression::new_string))),
        ("labels".to_owned(), RestrictedExpression::new_set(numbers(labels, terms.tags()))),
    ]);
    let uid = uid(&names.provision, provision.id().to_string());
    Entity::new(uid, attributes, HashSet::new()).map_err(cedar)
}

/// The policy in Cedar's JSON form (Cedar reference, "JSON policy format").
fn provision_policy(patient: Patient, provision: &Provision) -> Result<Policy, CompileError> {
    let terms = provision.terms();
    let id = provision.id().to_string();
    let entity = |kind: &str, id: &str| json!({ "type": kind, "id": id });
    let attribute = |of: Value, name: &str| json!({ ".": { "left": of, "attr": name } });
    let context = |name: &str| attribute(json!({ "Var": "context" }), name);
    let own = |name: &str| attribute(json!({ "Value": { "__entity": entity(PROVISION, &id) } }), name);
    let compare = |op: &str, left: Value, right: Value| json!({ op: { "left": left, "right": right } });

    let period = terms.period();
    let when = |body: Value| json!({ "kind": "when", "body": body });
    let mut conditions = Vec::new();
    let listed = compare("contains", own("hospitals"), json!({ "Var": "principal" }));
    let anybody = json!({ "op": "is", "entity_type": PARTY });
    let principal = match (terms.grantees(), terms.grantees().names()) {
        // Cedar evaluates `==` faster than a condition.
        (Among::These(_), [only]) => json!({ "op": "==", "entity": entity(PARTY, only.as_str()) }),
        (Among::These(_), _) => {
            conditions.push(when(listed));
            anybody
        }
        (Among::AllBut(_), _) => {
            conditions.push(json!({ "kind": "unless", "body": listed }));
            anybody
        }
    };
    if !terms.roles().holds_unnamed() {
        conditions.push(when(json!({ "has": { "left": { "Var": "context" }, "attr": "role" } })));
        let kind = if matches!(terms.roles(), Among::These(_)) { "when" } else { "unless" };
        conditions.push(json!({ "kind": kind, "body": compare("contains", own("roles"), context("role")) }));
    }
    conditions.push(when(compare(">=", context("now"), json!({ "Value": period.from() }))));
    if let Some(until) = period.until() {
        conditions.push(when(compare("<", context("now"), json!({ "Value": until }))));
    }
    conditions.push(when(compare("contains", own("uses"), context("use"))));
    conditions.push(when(compare("containsAny", own("labels"), context("labels"))));

    let policy = json!({
        "effect": "permit",
        "principal": principal,
        "action": { "op": "All" },
        "resource": { "op": "==", "entity": entity(PATIENT, &patient.to_string()) },
        "conditions": conditions,
    });
    Policy::from_json(Some(PolicyId::new(id)), policy).map_err(cedar)
}

/// An action and a purpose in one word.
fn one_use(action: Action, purpose: Purpose) -> String {
    format!("{action} {purpose}")
}

fn uid(kind: &EntityTypeName, id: impl AsRef<str>) -> EntityUid {
    EntityUid::from_type_name_and_id(kind.clone(), EntityId::new(id))
}

fn word(item: &impl ToString) -> RestrictedExpression {
    RestrictedExpression::new_string(item.to_string())
}

fn words<T: ToString>(items: &[T]) -> RestrictedExpression {
    RestrictedExpression::new_set(items.iter().map(ToString::to_string).map(RestrictedExpression::new_string))
}

/// The numbers of those of the tags that some provision has.
fn numbers(labels: &[LabelTag], tags: &[LabelTag]) -> Vec<RestrictedExpression> {
    let places = tags.iter().filter_map(|tag| labels.binary_search(tag).ok());
    places.filter_map(|place| i64::try_from(place).ok()).map(RestrictedExpression::new_long).collect()
}

const PARTY: &str = "Party";
const ACTION: &str = "Action";
const PATIENT: &str = "Patient";
const PROVISION: &str = "Provision";

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::{Period, Terms};

    const PATIENT_A: Patient = Patient::new([1; 32]);
    const TAG: LabelTag = LabelTag::new([2; 16]);

    fn terms(actions: &[Action], tag: LabelTag, from: u64) -> Terms {
        let (period, actions) = (Period::new(from, None).unwrap(), actions.iter().copied());
        Terms::new(Party::new("b").unwrap(), actions, [tag], [Purpose::Treatment], period).unwrap()
    }

    fn compile(terms: Vec<Terms>) -> CompiledDirective {
        CompiledDirective::compile(&Directive::first("demo", PATIENT_A, 0, terms).unwrap()).unwrap()
    }

    /// How many provisions permit it; none where Cedar could not answer.
    fn ask(
        compiled: &CompiledDirective,
        name: &str,
        patient: Patient,
        action: Action,
        purpose: Purpose,
    ) -> Option<usize> {
        let party = Party::new(name).unwrap();
        let question = Question { party: &party, patient, role: None, action, purpose, now: 0, tags: &[TAG] };
        compiled.permitting(&question).ok().map(|found| found.len())
    }

    fn ask_b(compiled: &CompiledDirective) -> Option<usize> {
        ask(compiled, "b", PATIENT_A, Action::Read, Purpose::Treatment)
    }

    /// The index of hospitals and actions is a shortcut. Misfiled under another hospital, action
    /// or patient, a policy still permits only what it names itself.
    #[test]
    fn a_misfiled_policy_permits_nothing() {
        for actions in [&[Action::Read][..], &[Action::Read, Action::Emergency]] {
            let mut compiled = compile(vec![terms(actions, TAG, 0)]);
            let b = compiled.grantees.get_mut(&Party::new("b").unwrap()).unwrap();
            let policies = b.get(&(Action::Read, Purpose::Treatment)).unwrap().clone();
            b.insert((Action::Write, Purpose::Treatment), policies.clone());
            b.insert((Action::Read, Purpose::Research), policies.clone());
            let c = BTreeMap::from([((Action::Read, Purpose::Treatment), policies)]);
            compiled.grantees.insert(Party::new("c").unwrap(), c);

            let treatment = Purpose::Treatment;
            assert_eq!(ask_b(&compiled), Some(1));
            assert_eq!(ask(&compiled, "b", PATIENT_A, Action::Write, treatment), Some(0));
            assert_eq!(ask(&compiled, "b", PATIENT_A, Action::Read, Purpose::Research), Some(0));
            assert_eq!(ask(&compiled, "c", PATIENT_A, Action::Read, treatment), Some(0));
            assert_eq!(ask(&compiled, "b", Patient::new([3; 32]), Action::Read, treatment), Some(0));
        }
    }

    /// The plain reading of roles, times and labels is a shortcut, too: the policy says them itself.
    #[test]
    fn what_is_plainly_meant_needs_its_own_policy() {
        let meant = || terms(&[Action::Read], TAG, 0);
        let for_nurses = Among::these([UserRole::new("nurse").unwrap()]);
        // Each is for one action more, so that neither says all that the other does.
        let more = [Action::Read, Action::Write];
        let others = [
            terms(&more, TAG, 0).for_roles(for_nurses).unwrap(),
            terms(&more, TAG, 5),
            terms(&more, LabelTag::new([3; 16]), 0),
        ];
        for other in others {
            let mut compiled = compile(vec![meant(), other.clone()]);
            assert_eq!(compiled.directive().provisions().len(), 2, "{other:?}");
            assert_eq!(ask_b(&compiled), Some(1), "{other:?}");
            compiled.policies.swap(0, 1);
            assert_eq!(ask_b(&compiled), Some(0), "{other:?}");
        }
    }

    #[test]
    fn what_cedar_cannot_answer_is_denied() {
        let mut compiled = compile(vec![terms(&[Action::Read], TAG, 0)]);
        compiled.entities = Entities::empty();
        assert_eq!(ask_b(&compiled), None);
        let party = Party::new("b").unwrap();
        let (action, purpose) = (Action::Read, Purpose::Treatment);
        let request =
            crate::Request { party, patient: PATIENT_A, role: None, action, tags: vec![TAG], purpose, now: 0 };
        let decision = compiled.decide(&request);
        assert_eq!(decision.missing(), Some(&crate::Missing::Evaluation));
        assert!(!decision.is_permitted());
    }
}
