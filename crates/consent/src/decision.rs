//! The decision: which of the labels asked for a hospital may have now. One pure function for
//! broker and archive. It denies by default, denies on any doubt, and says what is missing. Which
//! sentences make it so is `explanation.rs`'s.

use crate::policy::{CompiledDirective, Question, last};
use crate::provision::{TIME_SECONDS_MAX, sorted};
use crate::{Action, LabelTag, Missing, Party, Patient, Provision, Purpose, UserRole};

/// Most label tags in one request.
pub const REQUEST_TAGS_MAX: usize = 16;

/// What a hospital asks for (transmission step 1).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The hospital, as verified from its certificate.
    pub party: Party,
    /// The patient; must be the directive's.
    pub patient: Patient,
    /// What the user is at the hospital, by the hospital's word; none where it does not say.
    pub role: Option<UserRole>,
    /// What it wants to do.
    pub action: Action,
    /// The labels it wants, in any order.
    pub tags: Vec<LabelTag>,
    /// What for.
    pub purpose: Purpose,
    /// The decider's time, in Unix seconds.
    pub now: u64,
}

/// The answer to one [`Request`]. Only this module makes one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decision {
    permitted: Vec<LabelTag>,
    withheld: Vec<LabelTag>,
    permitted_until: Option<u64>,
    missing: Option<Missing>,
}

impl Decision {
    /// The denial for a patient of whom no directive is known.
    pub fn no_directive(request: &Request) -> Self {
        Self::denied(sorted(request.tags.iter().copied()), Missing::Directive)
    }

    /// Whether anything is permitted.
    pub fn is_permitted(&self) -> bool {
        !self.permitted.is_empty()
    }

    /// The labels permitted, sorted.
    pub fn permitted(&self) -> &[LabelTag] {
        &self.permitted
    }

    /// The labels asked for and withheld, sorted.
    pub fn withheld(&self) -> &[LabelTag] {
        &self.withheld
    }

    /// When, in Unix seconds, the first of the permitted labels stops being permitted by the
    /// provisions that permit it now; `None` when they have no end. What is handed out must not
    /// outlive it.
    pub fn permitted_until(&self) -> Option<u64> {
        self.permitted_until
    }

    /// What is missing, when nothing is permitted.
    pub fn missing(&self) -> Option<&Missing> {
        self.missing.as_ref()
    }

    fn denied(withheld: Vec<LabelTag>, missing: Missing) -> Self {
        Self { permitted: Vec::new(), withheld, permitted_until: None, missing: Some(missing) }
    }
}

impl CompiledDirective {
    /// Decides a request by this directive.
    pub fn decide(&self, request: &Request) -> Decision {
        let tags = sorted(request.tags.iter().copied());
        if let Some(missing) = self.refuse_early(request, &tags) {
            return Decision::denied(tags, missing);
        }
        let question = Question {
            party: &request.party,
            patient: request.patient,
            role: request.role.as_ref(),
            action: request.action,
            purpose: request.purpose,
            now: request.now,
            tags: &tags,
        };
        let Ok(permitting) = self.permitting(&question) else {
            return Decision::denied(tags, Missing::Evaluation);
        };
        if permitting.is_empty() {
            let missing = Missing::explain(self.directive(), request, &tags);
            return Decision::denied(tags, missing);
        }
        permit(&permitting, tags)
    }

    /// What is refused before Cedar is asked.
    fn refuse_early(&self, request: &Request, tags: &[LabelTag]) -> Option<Missing> {
        if request.patient != self.directive().patient() {
            return Some(Missing::OtherPatient);
        }
        if tags.is_empty() {
            return Some(Missing::NothingRequested);
        }
        if tags.len() > REQUEST_TAGS_MAX {
            return Some(Missing::TooManyLabels { count: tags.len() });
        }
        (request.now > TIME_SECONDS_MAX).then_some(Missing::Time)
    }
}

/// Reads the permitted labels off the provisions that Cedar permits.
fn permit(permitting: &[&Provision], tags: Vec<LabelTag>) -> Decision {
    let mut permitted = Vec::with_capacity(tags.len());
    let mut withheld = Vec::new();
    let mut permitted_until = None;
    for tag in tags {
        let with_tag = permitting.iter().filter(|it| it.terms().tags().binary_search(&tag).is_ok());
        match with_tag.map(|it| last(it)).max() {
            None => withheld.push(tag),
            Some(until) => {
                permitted.push(tag);
                permitted_until = Some(permitted_until.map_or(until, |first: u64| first.min(until)));
            }
        }
    }
    if permitted.is_empty() {
        return Decision::denied(withheld, Missing::Evaluation);
    }
    Decision { permitted, withheld, permitted_until: permitted_until.filter(|until| *until != u64::MAX), missing: None }
}
