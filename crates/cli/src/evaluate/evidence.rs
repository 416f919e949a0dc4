//! Table 2's own column: for each requirement, the queries of the proof and the tests that back it, what the
//! results on file say, and what this run saw. Nothing here says yes by itself: a row whose evidence is missing or
//! failed prints as such. `tests/evaluate.rs` finds queries and tests that do not exist.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::exchange::Seen;
use super::paper::TABLE_2;
use crate::error::CliError;

/// Which query and which test backs which row.
const EVIDENCE: &str = include_str!("evidence.toml");
/// What the prover answered, as `proof/` keeps it.
const RESULTS: &str = include_str!("../../../../proof/results/summary.tsv");

/// The file.
#[derive(Debug, Deserialize)]
struct File {
    row: Vec<Cited>,
}

/// A row as the file has it.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Cited {
    requirement: String,
    /// What is claimed, in a line.
    claim: String,
    /// `model/variant/query`; a star at the end stands for every query that begins so.
    queries: Vec<String>,
    /// Queries on the paper's protocol as published, likewise.
    #[serde(default)]
    published: Vec<String>,
    /// Why no query can speak of it; only where there is none.
    beyond_the_proof: Option<String>,
    /// `file::function`.
    tests: Vec<String>,
    /// What the run must have seen.
    #[serde(default)]
    seen: Vec<Sight>,
}

/// What a run can see.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Sight {
    /// B read what A wrote.
    ReadEqualsWritten,
    /// B was refused before consent.
    DeniedBeforeConsent,
    /// Nothing readable was handed to broker or archive.
    NoPlaintext,
    /// Who has no certificate was refused, and no operation of the protocol was done for it.
    StrangerRefusedCheaply,
}

/// How well a row is backed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Verdict {
    /// Every query is proved on file, tests back it, and this run saw what it must.
    Proved,
    /// No query can speak of it; tests back it, and this run saw what it must.
    Tested,
    /// A result or a test is missing.
    Unproved,
    /// A query is not proved, or this run saw the contrary.
    Failed,
}

/// A row of Table 2 with its evidence.
#[derive(Debug, Serialize)]
pub(super) struct Row {
    pub(super) requirement: &'static str,
    /// The paper's five columns.
    pub(super) paper: [&'static str; 5],
    pub(super) verdict: Verdict,
    pub(super) claim: String,
    pub(super) queries: Vec<Query>,
    /// The same asked of the paper's protocol; what comes out does not count for ours.
    pub(super) published: Vec<Query>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) beyond_the_proof: Option<String>,
    pub(super) tests: Vec<String>,
    pub(super) seen: Vec<Sighting>,
}

/// Queries under one name, and their answers on file.
#[derive(Debug, Serialize)]
pub(super) struct Query {
    pub(super) name: String,
    /// Name and answer of each: `true`, or what else the prover said. Empty where there is none on file.
    pub(super) results: BTreeMap<String, String>,
}

/// What was to be seen, and whether it was.
#[derive(Debug, Serialize)]
pub(super) struct Sighting {
    pub(super) what: Sight,
    pub(super) seen: bool,
}

/// The table's rows in the paper's order.
pub(super) fn rows(seen: &Seen) -> Result<Vec<Row>, CliError> {
    let file: File = toml::from_str(EVIDENCE).map_err(|e| CliError::Local(format!("the evidence: {e}")))?;
    let results = results(RESULTS);
    Ok(TABLE_2.iter().map(|(requirement, paper)| row(requirement, *paper, &file, &results, seen)).collect())
}

fn row(
    requirement: &'static str,
    paper: [&'static str; 5],
    file: &File,
    results: &BTreeMap<String, String>,
    seen: &Seen,
) -> Row {
    let Some(cited) = file.row.iter().find(|row| row.requirement == requirement) else {
        let (claim, verdict) = ("nothing is on file".to_owned(), Verdict::Unproved);
        let (queries, published) = (Vec::new(), Vec::new());
        let (tests, seen, beyond_the_proof) = (Vec::new(), Vec::new(), None);
        return Row { requirement, paper, verdict, claim, queries, published, beyond_the_proof, tests, seen };
    };
    let query = |name: &String| Query { name: name.clone(), results: matching(name, results) };
    let sighting = |what: &Sight| Sighting { what: *what, seen: what.is_in(seen) };
    let mut row = Row {
        requirement,
        paper,
        verdict: Verdict::Unproved,
        claim: cited.claim.clone(),
        queries: cited.queries.iter().map(query).collect(),
        published: cited.published.iter().map(query).collect(),
        beyond_the_proof: cited.beyond_the_proof.clone(),
        tests: cited.tests.clone(),
        seen: cited.seen.iter().map(sighting).collect(),
    };
    row.verdict = verdict(&row);
    row
}

fn verdict(row: &Row) -> Verdict {
    let denied = |query: &Query| !query.results.is_empty() && !query.is_proved();
    if row.seen.iter().any(|s| !s.seen) || row.queries.iter().any(denied) {
        return Verdict::Failed;
    }
    if row.tests.is_empty() || row.queries.iter().any(|query| !query.is_proved()) {
        return Verdict::Unproved;
    }
    match (row.queries.is_empty(), &row.beyond_the_proof) {
        (false, _) => Verdict::Proved,
        (true, Some(_)) => Verdict::Tested,
        (true, None) => Verdict::Unproved,
    }
}

impl Query {
    /// Whether there is an answer, and each is that the property holds.
    pub(super) fn is_proved(&self) -> bool {
        !self.results.is_empty() && self.proved() == self.results.len()
    }

    /// How many of them hold.
    pub(super) fn proved(&self) -> usize {
        self.results.values().filter(|result| *result == PROVED).count()
    }
}

impl Verdict {
    /// The cell, in the paper's letters where they fit.
    pub(super) const fn mark(self) -> &'static str {
        match self {
            Self::Proved => "O proved",
            Self::Tested => "O tested",
            Self::Unproved => "? no proof",
            Self::Failed => "X FAILED",
        }
    }
}

impl Sight {
    fn is_in(self, seen: &Seen) -> bool {
        match self {
            Self::ReadEqualsWritten => seen.read_equals_written,
            Self::DeniedBeforeConsent => seen.denied_before_consent,
            Self::NoPlaintext => seen.plaintext_found == 0 && seen.bytes_searched > 0,
            Self::StrangerRefusedCheaply => seen.stranger_refused && seen.stranger_operations == 0,
        }
    }

    pub(super) const fn words(self) -> &'static str {
        match self {
            Self::ReadEqualsWritten => "B read what A wrote",
            Self::DeniedBeforeConsent => "B was refused before consent",
            Self::NoPlaintext => "no plaintext at broker and archive",
            Self::StrangerRefusedCheaply => "a stranger was refused at no cost",
        }
    }
}

/// Answers by `model/variant/query`.
fn results(table: &str) -> BTreeMap<String, String> {
    let mut lines = table.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty());
    let head: Vec<&str> = lines.next().unwrap_or_default().split('\t').map(str::trim).collect();
    let places = ["model", "variant", "query", "result"].map(|name| head.iter().position(|cell| *cell == name));
    let [Some(model), Some(variant), Some(query), Some(result)] = places else { return BTreeMap::new() };
    let cells = |line: &str| {
        let cells: Vec<&str> = line.split('\t').map(str::trim).collect();
        let name = format!("{}/{}/{}", cells.get(model)?, cells.get(variant)?, cells.get(query)?);
        Some((name, (*cells.get(result)?).to_owned()))
    };
    lines.filter_map(cells).collect()
}

/// Those that a citation names.
fn matching(cited: &str, results: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let fits = |name: &str| match cited.strip_suffix('*') {
        Some(start) => name.starts_with(start),
        None => name == cited,
    };
    results.iter().filter(|(name, _)| fits(name)).map(|(name, result)| (name.clone(), result.clone())).collect()
}

/// The one answer that counts.
const PROVED: &str = "true";

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const SEEN: Seen = Seen {
        read_equals_written: true,
        denied_before_consent: true,
        bytes_searched: 1,
        plaintext_found: 0,
        stranger_refused: true,
        stranger_operations: 0,
    };

    #[test]
    fn a_row_says_yes_with_evidence_only() {
        let cited = |queries: &str, tests: &str, beyond: &str| {
            let text = format!(
                "[[row]]\nrequirement = 'Privacy'\nclaim = 'c'\nqueries = {queries}\ntests = {tests}\n\
                 seen = ['no-plaintext']\n{beyond}"
            );
            toml::from_str::<File>(&text).unwrap()
        };
        let results = results(
            "property\tmodel\tvariant\tquery\texpected\tresult\np\tm\tv\ta-1\ttrue\ttrue\np\tm\tv\ta-2\ttrue\ttrue\n\
             p\tm\tv\tb-1\ttrue\ttrue\np\tm\tv\tb-2\ttrue\tfalse\np\tm\tw\tc\ttrue\tcannot be proved\n",
        );
        let readable = Seen { plaintext_found: 1, ..SEEN };
        let cases = [
            (cited("['m/v/a-1']", "['t']", ""), SEEN, Verdict::Proved),
            (cited("['m/v/a-*']", "['t']", ""), SEEN, Verdict::Proved),
            (cited("['m/v/b-*']", "['t']", ""), SEEN, Verdict::Failed),
            (cited("['m/v/a-1', 'm/v/b-2']", "['t']", ""), SEEN, Verdict::Failed),
            (cited("['m/w/c']", "['t']", ""), SEEN, Verdict::Failed),
            (cited("['m/v/a-1', 'm/v/missing']", "['t']", ""), SEEN, Verdict::Unproved),
            (cited("['m/x/*']", "['t']", ""), SEEN, Verdict::Unproved),
            (cited("['m/v/a-1']", "[]", ""), SEEN, Verdict::Unproved),
            (cited("[]", "['t']", ""), SEEN, Verdict::Unproved),
            (cited("[]", "['t']", "beyond_the_proof = 'why'"), SEEN, Verdict::Tested),
            (cited("['m/v/a-1']", "['t']", ""), readable, Verdict::Failed),
        ];
        for (place, (file, seen, expected)) in cases.into_iter().enumerate() {
            let found = row("Privacy", ["X"; 5], &file, &results, &seen);
            assert_eq!(found.verdict, expected, "case {place}");
        }
        let elsewhere = row("Encryption", ["X"; 5], &cited("['m/v/a-1']", "['t']", ""), &results, &SEEN);
        assert_eq!(elsewhere.verdict, Verdict::Unproved);
    }
}
