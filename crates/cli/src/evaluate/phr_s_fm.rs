//! `sealwort evaluate --phr-s-fm`: the SHALL criteria of the HL7 Personal Health Record System Functional Model,
//! Release 2, that concern a secure exchange, each with the tests that show it, what it still lacks, or why it is
//! refused. `tests/evaluate.rs` finds tests that do not exist.

use std::fmt::Write as _;

use serde::{Deserialize, Serialize};

use super::tables::wrapped;
use crate::error::CliError;
use crate::output::{Output, table};

const CHECKLIST: &str = include_str!("phr_s_fm.toml");

/// The file.
#[derive(Debug, Deserialize)]
struct File {
    criterion: Vec<Criterion>,
}

/// A criterion and what there is to say of it.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Criterion {
    /// HL7's own number.
    id: String,
    /// What it asks for, shortened.
    asks: String,
    /// `file::function`.
    #[serde(default)]
    tests: Vec<String>,
    /// What is not there, or not shown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    lacks: Option<String>,
    /// Why it is not to be met.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    refused: Option<String>,
}

/// How far a criterion is met.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
enum Met {
    /// Tests show all of it.
    Shown,
    /// Tests show a part of it.
    InPart,
    /// Nothing shows it.
    Missing,
    /// It is not to be met.
    Refused,
}

impl Criterion {
    fn met(&self) -> Met {
        match (self.refused.is_some(), self.tests.is_empty(), self.lacks.is_some()) {
            (true, ..) => Met::Refused,
            (false, false, false) => Met::Shown,
            (false, false, true) => Met::InPart,
            (false, true, _) => Met::Missing,
        }
    }
}

impl Met {
    fn as_str(self) -> &'static str {
        match self {
            Self::Shown => "shown",
            Self::InPart => "in part",
            Self::Missing => "missing",
            Self::Refused => "refused",
        }
    }
}

/// A criterion as it is printed for programs.
#[derive(Debug, Serialize)]
struct Judged<'a> {
    met: Met,
    #[serde(flatten)]
    criterion: &'a Criterion,
}

/// Prints the checklist.
pub(super) fn print(output: Output) -> Result<(), CliError> {
    let file: File = toml::from_str(CHECKLIST).map_err(|e| CliError::Local(format!("the checklist: {e}")))?;
    let judged: Vec<_> = file.criterion.iter().map(|criterion| Judged { met: criterion.met(), criterion }).collect();
    output.data(&judged, || text(&judged))
}

fn text(judged: &[Judged<'_>]) -> String {
    let mut text = "HL7 PHR-S FM R2 (2.0.1): the SHALL criteria that concern a secure exchange.\n\n".to_owned();
    let rows: Vec<_> = judged
        .iter()
        .map(|Judged { met, criterion }| vec![criterion.id.clone(), met.as_str().to_owned(), criterion.asks.clone()])
        .collect();
    text.push_str(&table(&["criterion", "met", "asks for"], &rows));
    for met in [Met::Shown, Met::InPart, Met::Missing, Met::Refused] {
        let count = judged.iter().filter(|one| one.met == met).count();
        let _ = write!(text, "{}: {count}  ", met.as_str());
    }
    text.push('\n');
    for Judged { criterion, .. } in judged {
        let _ = writeln!(text, "\n{}", criterion.id);
        for test in &criterion.tests {
            let _ = writeln!(text, "  test     {test}");
        }
        for (head, words) in [("  lacks    ", &criterion.lacks), ("  refused  ", &criterion.refused)] {
            if let Some(words) = words {
                text.push_str(&wrapped(head, "           ", words));
            }
        }
    }
    text
}
