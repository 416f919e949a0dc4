//! Counts of what was tried, by class and by how it was refused, and the errors that a refusal may have.

use std::collections::BTreeMap;

use sealwort_proto::ProtocolError;

/// Codes of refusals (`spec/protocol.md`, section 10.1). `crypto-failed` is not among them: no peer can cause it.
const NAMED: [&str; 25] = [
    "message-malformed",
    "version-unknown",
    "suite-unknown",
    "exchange-wrong",
    "step-wrong",
    "session-wrong",
    "session-unknown",
    "session-exhausted",
    "certificate-refused",
    "party-wrong",
    "signature-wrong",
    "encapsulation-wrong",
    "confirmation-wrong",
    "policy-mismatch",
    "policy-changed",
    "seal-broken",
    "message-replayed",
    "challenge-wrong",
    "cookie-needed",
    "token-refused",
    "clock-skew",
    "log-rolled-back",
    "log-inconsistent",
    "record-invalid",
    "statement-invalid",
];

/// Whether an error says what was wrong by a code of the specification, in which step, and whose fault it was.
pub fn is_named(error: &ProtocolError) -> bool {
    let text = error.to_string();
    let known = NAMED.contains(&error.code()) || error.code().starts_with("consent-");
    known && text.contains(&error.step.to_string()) && text.contains(error.fault.as_str())
}

/// What was tried in one suite.
#[derive(Default)]
pub struct Tally {
    classes: BTreeMap<&'static str, Count>,
    codes: BTreeMap<String, usize>,
}

#[derive(Default, Clone, Copy)]
struct Count {
    refused: usize,
    without_effect: usize,
}

impl Tally {
    /// One attack that was refused.
    pub fn refused(&mut self, class: &'static str, code: &str) {
        self.classes.entry(class).or_default().refused += 1;
        *self.codes.entry(code.to_owned()).or_default() += 1;
    }

    /// One that has no effect by design.
    pub fn without_effect(&mut self, class: &'static str) {
        self.classes.entry(class).or_default().without_effect += 1;
    }

    /// All attacks so far.
    pub fn total(&self) -> usize {
        self.classes.values().map(|count| count.refused + count.without_effect).sum()
    }

    /// Prints the table and demands at least this many refusals of each class.
    pub fn finish(&self, name: &str, at_least: &[(&str, usize)]) {
        println!("\n{name}: {} cases, seed {}", self.total(), super::chance::seed());
        println!("  {:<22}{:>9}{:>16}", "class", "refused", "without effect");
        for (class, count) in &self.classes {
            println!("  {class:<22}{:>9}{:>16}", count.refused, count.without_effect);
        }
        println!("  refusals by code:");
        for (code, count) in &self.codes {
            println!("  {code:<22}{count:>9}");
        }
        for (class, least) in at_least {
            let refused = self.classes.get(class).map_or(0, |count| count.refused);
            assert!(refused >= *least, "{name}: only {refused} refusals of the class {class:?}, {least} wanted");
        }
    }
}

/// Memory of this process that is in use, in KiB.
pub fn memory_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.split_whitespace().next()).and_then(|number| number.parse().ok()).unwrap_or(0)
}
