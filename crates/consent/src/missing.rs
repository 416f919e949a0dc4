//! What is missing when nothing is permitted: a stable code for programs and a plain sentence
//! for people. The explanation never decides; it is written after Cedar has denied, and names
//! the first condition that no provision of the hospital meets, in the order hospital, role, action,
//! purpose, label, period.

use std::fmt;

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::decision::{REQUEST_TAGS_MAX, Request};
use crate::provision::sorted;
use crate::{Action, Directive, LabelTag, Party, Provision, Purpose, Terms, UserRole};

/// Why nothing is permitted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Missing {
    /// No directive of this patient is known.
    Directive,
    /// The directive is another patient's: a fault of the caller.
    OtherPatient,
    /// The request names no label.
    NothingRequested,
    /// The request names more than [`REQUEST_TAGS_MAX`] labels.
    TooManyLabels {
        /// How many different ones.
        count: usize,
    },
    /// The decider's clock is beyond the year 9999.
    Time,
    /// The patient allows this hospital nothing.
    Provision {
        /// The hospital.
        party: Party,
    },
    /// The patient allows users of other roles at this hospital.
    Role {
        /// The role asked for; none where the hospital did not say.
        requested: Option<UserRole>,
    },
    /// The patient allows this hospital other actions.
    Action {
        /// The action asked for.
        requested: Action,
        /// Those granted, sorted.
        granted: Vec<Action>,
    },
    /// The patient allows the action for other purposes.
    Purpose {
        /// The purpose asked for.
        requested: Purpose,
        /// Those granted for the action, sorted.
        granted: Vec<Purpose>,
    },
    /// The patient allows the action and purpose for other labels.
    Labels {
        /// Those granted for the action and purpose, sorted.
        granted: Vec<LabelTag>,
    },
    /// It would be allowed later.
    NotStarted {
        /// The earliest start, in Unix seconds.
        from: u64,
    },
    /// It was allowed earlier.
    Ended {
        /// The latest end, in Unix seconds.
        until: u64,
    },
    /// The evaluation failed: a fault of this software.
    Evaluation,
}

impl Missing {
    /// Stable code for programs.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::Directive => "consent-no-directive",
            Self::OtherPatient => "consent-other-patient",
            Self::NothingRequested => "consent-nothing-requested",
            Self::TooManyLabels { .. } => "consent-too-many-labels",
            Self::Time => "consent-time-out-of-range",
            Self::Provision { .. } => "consent-no-provision",
            Self::Role { .. } => "consent-role-not-granted",
            Self::Action { .. } => "consent-action-not-granted",
            Self::Purpose { .. } => "consent-purpose-not-granted",
            Self::Labels { .. } => "consent-label-not-granted",
            Self::NotStarted { .. } => "consent-not-started",
            Self::Ended { .. } => "consent-ended",
            Self::Evaluation => "consent-evaluation-failed",
        }
    }

    /// Finds the first condition that no provision meets. `tags` are the request's, sorted.
    pub(crate) fn explain(directive: &Directive, request: &Request, tags: &[LabelTag]) -> Self {
        let all = directive.provisions().iter().map(Provision::terms);
        let own: Vec<&Terms> = all.filter(|terms| terms.grantees().holds(&request.party)).collect();
        if own.is_empty() {
            return Self::Provision { party: request.party.clone() };
        }
        let own = keep(&own, |terms| match &request.role {
            Some(role) => terms.roles().holds(role),
            None => terms.roles().holds_unnamed(),
        });
        if own.is_empty() {
            return Self::Role { requested: request.role.clone() };
        }
        let acting = keep(&own, |terms| terms.actions().contains(&request.action));
        if acting.is_empty() {
            let granted = sorted(own.iter().flat_map(|terms| terms.actions()).copied());
            return Self::Action { requested: request.action, granted };
        }
        let meant = keep(&acting, |terms| terms.purposes().contains(&request.purpose));
        if meant.is_empty() {
            let granted = sorted(acting.iter().flat_map(|terms| terms.purposes()).copied());
            return Self::Purpose { requested: request.purpose, granted };
        }
        let labelled = keep(&meant, |terms| terms.tags().iter().any(|tag| tags.contains(tag)));
        if labelled.is_empty() {
            let granted = sorted(meant.iter().flat_map(|terms| terms.tags()).copied());
            return Self::Labels { granted };
        }
        let periods = || labelled.iter().map(|terms| terms.period());
        let coming = periods().map(super::provision::Period::from).filter(|from| *from > request.now);
        if let Some(from) = coming.min() {
            return Self::NotStarted { from };
        }
        let over = periods().filter(|period| period.has_ended(request.now));
        match over.filter_map(super::provision::Period::until).max() {
            Some(until) => Self::Ended { until },
            // Cedar denied what reads as permitted; nobody but this software is to blame.
            None => Self::Evaluation,
        }
    }
}

fn keep<'a>(terms: &[&'a Terms], meets: impl Fn(&Terms) -> bool) -> Vec<&'a Terms> {
    terms.iter().copied().filter(|terms| meets(terms)).collect()
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Directive => f.write_str("this patient has given no consent yet"),
            Self::OtherPatient => f.write_str("the consent at hand is another patient's"),
            Self::NothingRequested => f.write_str("the request names no label"),
            Self::TooManyLabels { count } => {
                write!(f, "the request names {count} labels, more than the {REQUEST_TAGS_MAX} allowed")
            }
            Self::Time => f.write_str("the clock here is beyond the year 9999"),
            Self::Provision { party } => {
                write!(f, "the patient has given {party} no consent")
            }
            Self::Role { requested: Some(role) } => {
                write!(f, "the patient's consent for this hospital is not for the role {role}")
            }
            Self::Role { requested: None } => f.write_str(
                "the patient's consent for this hospital is for some roles alone, and the request names none",
            ),
            Self::Action { requested, granted } => {
                write!(f, "the patient's consent does not cover the action {requested}; it covers {}", list(granted))
            }
            Self::Purpose { requested, granted } => {
                write!(f, "the patient's consent does not cover the purpose {requested}; it covers {}", list(granted))
            }
            Self::Labels { granted } => write!(
                f,
                "the patient's consent covers none of the labels asked for; it covers {} other{}",
                granted.len(),
                if granted.len() == 1 { "" } else { "s" }
            ),
            Self::NotStarted { from } => {
                write!(f, "the patient's consent starts at {}", Instant(*from))
            }
            Self::Ended { until } => {
                write!(f, "the patient's consent ended at {}", Instant(*until))
            }
            Self::Evaluation => f.write_str("the consent could not be evaluated, which is a fault of this software"),
        }
    }
}

fn list<T: ToString>(items: &[T]) -> String {
    let words: Vec<String> = items.iter().map(ToString::to_string).collect();
    words.join(", ")
}

/// Unix seconds as people read them: RFC 3339 in UTC.
struct Instant(u64);

impl fmt::Display for Instant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let moment = i64::try_from(self.0).ok().and_then(|it| OffsetDateTime::from_unix_timestamp(it).ok());
        match moment.and_then(|moment| moment.format(&Rfc3339).ok()) {
            Some(text) => f.write_str(&text),
            None => write!(f, "second {} of Unix time", self.0),
        }
    }
}
