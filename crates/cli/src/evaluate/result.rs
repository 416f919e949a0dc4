//! What an evaluation came to. Its JSON form is stable: members may be added, none changes its meaning.
//!
//! ```text
//! format           1
//! table_2          rows: requirement, paper (five marks), verdict (proved, tested, unproved, failed), claim,
//!                  queries and published (name, results by query), beyond_the_proof, tests (file::function),
//!                  seen (what, seen)
//! table_3          rows: name, counters, difference, and for each role (lhc, htsc, himc) paper (null where the
//!                  paper has no such row), authentication, transmission
//! table_4          the same, at the end of each phase
//! operations       for each phase and role, every counter
//! steps            phase, step, route, what, bytes (of the protocol message)
//! tls_bytes        for each phase and hop (lhc_htsc, htsc_himc): forth and back, connecting included
//! record_bytes     length of the record that was read
//! seen             what the run saw besides
//! ```

use std::collections::BTreeMap;

use sealwort_proto::holdings::Holdings;
use sealwort_proto::operations::OperationCounts;
use serde::Serialize;
use serde_json::{Value, json};

use super::evidence::{self, Verdict};
use super::exchange::{Observed, Phase};
use super::paper::{self, ROLES, TABLE_3, TABLE_4};
use crate::demo::StepTold;
use crate::demo::relay::Traffic;
use crate::error::CliError;

/// Names of the phases, as the demo has them.
pub(super) const PHASES: [&str; 2] = ["authentication", "transmission"];

/// Everything that is printed.
#[derive(Serialize)]
pub(super) struct Evaluation {
    format: u32,
    pub(super) table_2: Vec<evidence::Row>,
    pub(super) table_3: Vec<Counted>,
    pub(super) table_4: Vec<Counted>,
    operations: BTreeMap<&'static str, BTreeMap<String, BTreeMap<&'static str, u64>>>,
    pub(super) steps: Vec<OnTheWire>,
    tls_bytes: BTreeMap<&'static str, BTreeMap<&'static str, Traffic>>,
    pub(super) record_bytes: usize,
    pub(super) seen: Value,
    #[serde(skip)]
    pub(super) hops: [[Traffic; 2]; 2],
}

/// A row of Table 3 or 4.
#[derive(Debug, Serialize)]
pub(super) struct Counted {
    pub(super) name: &'static str,
    counters: &'static [&'static str],
    pub(super) roles: BTreeMap<String, Cell>,
    pub(super) difference: &'static str,
}

/// The paper's number and ours for one role.
#[derive(Debug, Clone, Copy, Serialize)]
pub(super) struct Cell {
    pub(super) paper: Option<u64>,
    pub(super) authentication: u64,
    pub(super) transmission: u64,
}

/// A step on the wire.
#[derive(Debug, Serialize)]
pub(super) struct OnTheWire {
    pub(super) phase: &'static str,
    pub(super) step: u8,
    pub(super) route: &'static str,
    pub(super) what: &'static str,
    pub(super) bytes: usize,
}

impl Evaluation {
    pub(super) fn of(observed: Observed) -> Result<Self, CliError> {
        let Observed { authentication, transmission, record_bytes, seen } = observed;
        let table_2 = evidence::rows(&seen)?;
        let operations = |phase: &Phase| phase.operations.map(|counts| named(&counts));
        let held = |phase: &Phase| phase.holdings.map(|holdings| kept(&holdings));
        let done = [operations(&authentication), operations(&transmission)];
        let kept = [held(&authentication), held(&transmission)];
        let hops = [authentication.hops, transmission.hops];
        let steps = authentication.steps.into_iter().chain(transmission.steps).map(OnTheWire::from).collect();
        Ok(Self {
            format: 1,
            table_2,
            table_3: TABLE_3.iter().map(|row| Counted::of(row, &done)).collect(),
            table_4: TABLE_4.iter().map(|row| Counted::of(row, &kept)).collect(),
            operations: PHASES.into_iter().zip(done).map(|(phase, counts)| (phase, by_role(counts))).collect(),
            steps,
            tls_bytes: PHASES
                .into_iter()
                .zip(hops)
                .map(|(phase, [first, second])| (phase, BTreeMap::from([("lhc_htsc", first), ("htsc_himc", second)])))
                .collect(),
            record_bytes,
            seen: json!({
                "read_equals_written": seen.read_equals_written,
                "denied_before_consent": seen.denied_before_consent,
                "bytes_searched": seen.bytes_searched,
                "plaintext_found": seen.plaintext_found,
                "stranger_refused": seen.stranger_refused,
                "stranger_operations": seen.stranger_operations,
            }),
            hops,
        })
    }

    /// Requirements whose evidence failed.
    pub(super) fn failed(&self) -> Vec<&'static str> {
        self.table_2.iter().filter(|row| row.verdict == Verdict::Failed).map(|row| row.requirement).collect()
    }
}

impl Counted {
    fn of(row: &paper::Row, counted: &[[BTreeMap<&'static str, u64>; 3]; 2]) -> Self {
        let [authentication, transmission] = counted;
        let sum = |counts: &BTreeMap<&'static str, u64>| {
            row.counters.iter().map(|counter| counts.get(counter).copied().unwrap_or_default()).sum()
        };
        let papers: [Option<u64>; 3] = row.paper.map_or([None; 3], |numbers| numbers.map(Some));
        let cells = authentication.iter().zip(transmission).zip(papers).map(|((first, second), paper)| Cell {
            paper,
            authentication: sum(first),
            transmission: sum(second),
        });
        let roles = ROLES.iter().map(|role| role.paper.to_lowercase()).zip(cells).collect();
        Self { name: row.name.trim_start(), counters: row.counters, roles, difference: row.difference }
    }

    /// The cells in the order of the roles.
    pub(super) fn cells(&self) -> impl Iterator<Item = Cell> + '_ {
        ROLES.iter().filter_map(|role| self.roles.get(&role.paper.to_lowercase()).copied())
    }
}

impl From<StepTold> for OnTheWire {
    fn from(told: StepTold) -> Self {
        let StepTold { phase, step, route, what, bytes, .. } = told;
        Self { phase, step, route, what, bytes }
    }
}

/// Every counter but the notices, which are taken out.
fn named(counts: &OperationCounts) -> BTreeMap<&'static str, u64> {
    counts.named().into_iter().filter(|(name, _)| *name != "notice").collect()
}

fn kept(holdings: &Holdings) -> BTreeMap<&'static str, u64> {
    holdings.named().into_iter().collect()
}

fn by_role<T>(values: [T; 3]) -> BTreeMap<String, T> {
    ROLES.iter().map(|role| role.paper.to_lowercase()).zip(values).collect()
}
