//! Consent as people write it: a base rule, with exceptions that have exceptions, turned into the terms of a directive,
//! which only ever permit. Nothing is approximated: terms are boxes over closed vocabularies and named hospitals, and
//! an exception is cut out of them.
//!
//! Where a rule names something, that is what it is about; where it does not, it is about what its parent is about.
//! Among rules beside each other a denial goes before a permission, and so it does among statements: what one statement
//! of a patient denies, none of the others permits. A parent gives way to its exceptions.

use crate::{Action, Among, LabelTag, Party, Period, Purpose, Terms, TermsError, UserRole};

/// What a rule does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// It permits.
    Permit,
    /// It denies.
    Deny,
}

/// A rule with its exceptions. `None` is what the parent says; an empty set is nothing at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Where it stands in its statement, for explanations: `Consent.provision`.
    pub place: String,
    /// Whether it permits or denies.
    pub effect: Effect,
    /// Hospitals.
    pub hospitals: Option<Among<Party>>,
    /// Roles of users.
    pub roles: Option<Among<UserRole>>,
    /// Actions.
    pub actions: Option<Vec<Action>>,
    /// Labels.
    pub tags: Option<Vec<LabelTag>>,
    /// Purposes.
    pub purposes: Option<Vec<Purpose>>,
    /// When it holds.
    pub period: Option<Period>,
    /// What goes before it.
    pub exceptions: Vec<Rule>,
}

/// What a rule that names nothing is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Everything {
    /// The hospital that keeps the patient's consent. A rule that names no hospital is about the others.
    pub authority: Party,
    /// All labels of the patient.
    pub tags: Vec<LabelTag>,
}

/// A patient's statements, compiled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Compiled {
    /// What stands of the terms that stood beside the statements.
    pub standing: Vec<Terms>,
    /// What the statements permit.
    pub permitted: Vec<Sentence>,
    /// What the statements deny.
    pub denied: Vec<Sentence>,
}

/// Terms, and the rule that they come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sentence {
    /// Which of the statements.
    pub statement: usize,
    /// [`Rule::place`] within it.
    pub place: String,
    /// What it permits or denies.
    pub terms: Terms,
}

/// Compiles the statements of one patient, beside terms that were granted in another way.
///
/// Denials take from both, with one exception: the authority can always write, or it could not keep the consent.
/// Whatever the statements say, breaking the glass is for the purposes BTG and ETREAT, and BTG is for that alone.
///
/// # Errors
/// [`TermsError`] when a rule names more than terms can hold.
pub fn compile(everything: &Everything, standing: &[Terms], statements: &[Rule]) -> Result<Compiled, TermsError> {
    let context = Context {
        hospitals: Among::all_but([everything.authority.clone()]),
        roles: Among::all(),
        actions: Action::ALL.to_vec(),
        tags: everything.tags.clone(),
        purposes: Purpose::ALL.to_vec(),
        period: Some(Period::ALWAYS),
    };
    let read = statements.iter().map(|rule| read(rule, &context)).collect::<Result<Vec<Read>, _>>()?;
    let denied: Vec<Terms> = read.iter().flat_map(|it| it.denied.iter().map(|one| one.terms.clone())).collect();
    let mut left = Vec::new();
    for terms in standing {
        let rest = without(vec![terms.clone()], &denied);
        // What nothing touches keeps its wording, and with it its id.
        if rest.as_slice() != std::slice::from_ref(terms) {
            let writes = terms.narrowed(everything.authority.clone().into(), Some(&[Action::Write]), None, None);
            let writes: Vec<Terms> = writes.into_iter().collect();
            left.extend(without(rest, &writes));
            left.extend(writes);
            continue;
        }
        left.extend(rest);
    }
    let (mut permitted, mut denials) = (Vec::new(), Vec::new());
    for (statement, found) in read.into_iter().enumerate() {
        let sentence = |place: &str, terms| Sentence { statement, place: place.to_owned(), terms };
        denials.extend(found.denied.into_iter().map(|one| sentence(one.place, one.terms)));
        for one in found.permitted {
            let terms = without(vec![one.terms], &denied).into_iter().flat_map(|terms| by_purpose(&terms));
            permitted.extend(terms.map(|terms| sentence(one.place, terms)));
        }
    }
    Ok(Compiled { standing: left, permitted, denied: denials })
}

/// What two lists of terms both permit: what either denies is denied.
pub fn in_common(some: &[Terms], others: &[Terms]) -> Vec<Terms> {
    let mut common: Vec<Terms> = Vec::new();
    for one in some.iter().flat_map(|one| others.iter().filter_map(|other| one.and(other))) {
        if !common.iter().any(|held| held.covers(&one)) {
            common.retain(|held| !one.covers(held));
            common.push(one);
        }
    }
    common
}

/// What a rule that names nothing is about, at some depth.
struct Context {
    hospitals: Among<Party>,
    roles: Among<UserRole>,
    actions: Vec<Action>,
    tags: Vec<LabelTag>,
    purposes: Vec<Purpose>,
    period: Option<Period>,
}

/// What a rule with its exceptions permits and denies. The two have nothing in common.
struct Read<'a> {
    permitted: Vec<Said<'a>>,
    denied: Vec<Said<'a>>,
}

/// Terms, and where the rule stands that says them.
struct Said<'a> {
    place: &'a str,
    terms: Terms,
}

fn read<'a>(rule: &'a Rule, context: &Context) -> Result<Read<'a>, TermsError> {
    let about = Context {
        hospitals: rule.hospitals.as_ref().unwrap_or(&context.hospitals).clone(),
        roles: rule.roles.as_ref().unwrap_or(&context.roles).clone(),
        actions: rule.actions.as_ref().unwrap_or(&context.actions).clone(),
        tags: rule.tags.as_ref().unwrap_or(&context.tags).clone(),
        purposes: rule.purposes.as_ref().unwrap_or(&context.purposes).clone(),
        // Where nobody changes a rule's period it ends with its parent's.
        period: match rule.period {
            Some(own) => context.period.and_then(|outer| outer.and(own)),
            None => context.period,
        },
    };
    let mut permitted: Vec<Said<'a>> = Vec::new();
    let mut denied: Vec<Said<'a>> = Vec::new();
    for exception in &rule.exceptions {
        let found = read(exception, &about)?;
        permitted.extend(found.permitted);
        denied.extend(found.denied);
    }
    // Beside each other, denials go before permissions.
    let denials: Vec<Terms> = denied.iter().map(|said| said.terms.clone()).collect();
    let permitted_still = permitted.into_iter().flat_map(|said| {
        let left = without(vec![said.terms], &denials);
        left.into_iter().map(move |terms| Said { place: said.place, terms })
    });
    let mut permitted: Vec<Said<'a>> = permitted_still.collect();
    let permissions: Vec<Terms> = permitted.iter().map(|said| said.terms.clone()).collect();
    let own = without(without(about.terms()?, &permissions), &denials);
    let own = own.into_iter().map(|terms| Said { place: &rule.place, terms });
    match rule.effect {
        Effect::Permit => permitted.extend(own),
        Effect::Deny => denied.extend(own),
    }
    Ok(Read { permitted, denied })
}

impl Context {
    /// As terms; none where one of the sets is empty.
    fn terms(&self) -> Result<Vec<Terms>, TermsError> {
        let Some(period) = self.period else { return Ok(Vec::new()) };
        let (actions, tags) = (self.actions.iter().copied(), self.tags.iter().copied());
        let terms = Terms::new(self.hospitals.clone(), actions, tags, self.purposes.iter().copied(), period);
        match terms.and_then(|terms| terms.for_roles(self.roles.clone())) {
            Ok(terms) => Ok(vec![terms]),
            Err(TermsError::Nobody | TermsError::NoActions | TermsError::NoTags | TermsError::NoPurposes) => {
                Ok(Vec::new())
            }
            Err(error) => Err(error),
        }
    }
}

/// What is left of `terms` without all of `taken`.
fn without(mut terms: Vec<Terms>, taken: &[Terms]) -> Vec<Terms> {
    for one in taken {
        terms = terms.into_iter().flat_map(|left| left.minus(one).unwrap_or_else(|| vec![left])).collect();
    }
    terms
}

/// The parts of terms whose actions and purposes fit each other.
fn by_purpose(terms: &Terms) -> Vec<Terms> {
    let usual: Vec<Purpose> = Purpose::ALL.into_iter().filter(|it| *it != Purpose::BreakTheGlass).collect();
    let urgent = [Purpose::EmergencyTreatment, Purpose::BreakTheGlass];
    let hospitals = terms.grantees();
    let part = |actions: &[Action], purposes: &[Purpose]| {
        terms.narrowed(hospitals.clone(), Some(actions), None, Some(purposes))
    };
    let parts = [part(&[Action::Read, Action::Write], &usual), part(&[Action::Emergency], &urgent)];
    parts.into_iter().flatten().collect()
}
