//! What was found, in the order in which it was looked at.

use std::fmt::Write as _;

use sealwort_pki::Role;
use serde::Serialize;
use serde_json::json;

use crate::error::CliError;
use crate::output::Output;

/// How a check came out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum State {
    /// In order.
    Good,
    /// In order now, and should be seen to.
    Warning,
    /// To be mended.
    Wrong,
}

#[derive(Debug, Serialize)]
struct Finding {
    check: &'static str,
    state: State,
    detail: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    remedy: Option<String>,
}

/// The findings.
#[derive(Debug)]
pub(super) struct Report {
    role: Role,
    findings: Vec<Finding>,
}

impl Report {
    pub(super) fn new(role: Role) -> Self {
        Self { role, findings: Vec::new() }
    }

    /// In order.
    pub(super) fn good(&mut self, check: &'static str, detail: impl Into<String>) {
        self.add(check, State::Good, detail.into(), None);
    }

    /// In order now, and should be seen to.
    pub(super) fn warning(&mut self, check: &'static str, detail: impl Into<String>, remedy: impl Into<String>) {
        self.add(check, State::Warning, detail.into(), Some(remedy.into()));
    }

    /// To be mended.
    pub(super) fn wrong(&mut self, check: &'static str, detail: impl Into<String>, remedy: impl Into<String>) {
        self.add(check, State::Wrong, detail.into(), Some(remedy.into()));
    }

    fn add(&mut self, check: &'static str, state: State, detail: String, remedy: Option<String>) {
        self.findings.push(Finding { check, state, detail, remedy });
    }

    /// Prints the findings; an error if one is wrong.
    pub(super) fn finish(self, output: Output) -> Result<(), CliError> {
        let wrong = self.findings.iter().filter(|finding| finding.state == State::Wrong).count();
        let object = json!({"role": self.role, "healthy": wrong == 0, "findings": self.findings});
        output.data(&object, || self.text())?;
        if wrong > 0 {
            return Err(CliError::Unhealthy { wrong, checks: self.findings.len() });
        }
        Ok(())
    }

    fn text(&self) -> String {
        let width = self.findings.iter().map(|finding| finding.check.len()).max().unwrap_or_default();
        let mut text = String::new();
        for Finding { check, state, detail, remedy } in &self.findings {
            let state = match state {
                State::Good => "ok",
                State::Warning => "warn",
                State::Wrong => "WRONG",
            };
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{state:5}  {check:width$}  {detail}");
            if let Some(remedy) = remedy {
                let _ = writeln!(text, "{:5}  {:width$}  → {remedy}", "", "");
            }
        }
        text
    }
}
