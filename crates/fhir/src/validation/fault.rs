//! What is said of each fault: severity, kind, stable code, text and remedy; and the list that they
//! are gathered in, which has a limit.

use std::borrow::Cow;

use super::{ERRORS_LISTED_MAX, NOTES_LISTED_MAX};
use crate::json;
use crate::outcome::{Issue, IssueCode, Severity};

/// Longest part of a name or code that a text quotes, in characters.
const QUOTED_CHARS_MAX: usize = 64;

/// A fault, before its place is written.
pub(crate) struct Fault {
    pub(crate) severity: Severity,
    pub(crate) kind: IssueCode,
    pub(crate) code: &'static str,
    pub(crate) text: String,
    pub(crate) remedy: Cow<'static, str>,
}

impl Fault {
    pub(crate) fn new(kind: IssueCode, code: &'static str, text: impl Into<String>) -> Self {
        Self { severity: Severity::Error, kind, code, text: text.into(), remedy: Cow::Borrowed("") }
    }

    pub(crate) fn remedy(mut self, remedy: impl Into<Cow<'static, str>>) -> Self {
        self.remedy = remedy.into();
        self
    }

    pub(crate) fn severity(mut self, severity: Severity) -> Self {
        self.severity = severity;
        self
    }
}

/// A name or code from the sender, fit for a text.
pub(crate) fn quoted(text: &str) -> String {
    let mut out: String =
        text.chars().take(QUOTED_CHARS_MAX).map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
    if out.len() < text.len() {
        out.push('…');
    }
    out
}

/// A place in the resource: a list of steps that lives on the stack of the walk.
pub(crate) struct Path<'p> {
    above: Option<&'p Path<'p>>,
    step: Step<'p>,
}

enum Step<'p> {
    Root(&'p str),
    Member(&'p str),
    Index(usize),
}

impl<'p> Path<'p> {
    pub(crate) fn root(name: &'p str) -> Self {
        Self { above: None, step: Step::Root(name) }
    }

    pub(crate) fn member(&'p self, name: &'p str) -> Path<'p> {
        Path { above: Some(self), step: Step::Member(name) }
    }

    pub(crate) fn index(&'p self, at: usize) -> Path<'p> {
        Path { above: Some(self), step: Step::Index(at) }
    }

    /// The FHIRPath expression.
    pub(crate) fn expression(&self) -> String {
        let (mut root, mut steps, mut at) = ("", Vec::new(), Some(self));
        while let Some(path) = at {
            match path.step {
                Step::Root(name) => root = name,
                Step::Member(name) => steps.push(json::Step::Member(Cow::Borrowed(name))),
                Step::Index(index) => steps.push(json::Step::Index(index)),
            }
            at = path.above;
        }
        steps.reverse();
        json::expression(root, &steps)
    }
}

/// The issues found.
#[derive(Default)]
pub(crate) struct Findings {
    issues: Vec<Issue>,
    errors: usize,
    notes: usize,
}

impl Findings {
    pub(crate) fn add(&mut self, path: &Path<'_>, fault: Fault) {
        if self.lists(fault.severity) {
            self.count(fault.severity);
            let issue = Issue::new(fault.severity, fault.kind, fault.code, fault.text).at(path.expression());
            self.issues.push(if fault.remedy.is_empty() { issue } else { issue.diagnostics(fault.remedy) });
        }
    }

    fn count(&mut self, severity: Severity) {
        match severity {
            Severity::Fatal | Severity::Error => self.errors += 1,
            Severity::Warning | Severity::Information => self.notes += 1,
        }
    }

    /// Whether an issue of that severity is still listed; one that is not is counted.
    pub(crate) fn lists(&mut self, severity: Severity) -> bool {
        let listed = match severity {
            Severity::Fatal | Severity::Error => self.errors < ERRORS_LISTED_MAX,
            Severity::Warning | Severity::Information => self.notes < NOTES_LISTED_MAX,
        };
        if !listed {
            self.count(severity);
        }
        listed
    }

    /// Whether enough errors were found.
    pub(crate) fn is_full(&self) -> bool {
        self.errors > ERRORS_LISTED_MAX
    }

    /// The list; its last issue says if more was found than it holds.
    pub(crate) fn into_issues(mut self) -> Vec<Issue> {
        if self.is_full() || self.notes > NOTES_LISTED_MAX {
            self.issues.push(Issue::new(
                Severity::Information,
                IssueCode::Incomplete,
                "more-issues",
                "more was found than is listed here; mend these and validate again",
            ));
        }
        self.issues
    }
}
