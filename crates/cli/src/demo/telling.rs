//! How the story is told: the steps in a table, the totals in a few lines.

use std::collections::BTreeMap;

use sealwort_net::steps::StepReport;
use sealwort_proto::Step;

use super::story::{StepTold, Told};
use super::world::World;
use crate::output::{Output, table};

/// The paper's section 3.2.1.
pub(super) const AUTHENTICATION: &str = "authentication";
/// The paper's section 3.2.2.
pub(super) const TRANSMISSION: &str = "transmission";

/// The first report of each step and route, in the paper's order.
pub(crate) fn first_of_each(reports: &[StepReport]) -> Vec<StepTold> {
    let mut told: Vec<StepTold> = Vec::new();
    for report in reports {
        let (phase, step) = match report.step {
            Step::Authentication(step) => (AUTHENTICATION, step),
            Step::Transmission(step) => (TRANSMISSION, step),
            _ => continue,
        };
        if told.iter().any(|t| t.phase == phase && t.step == step && t.route == report.route) {
            continue;
        }
        told.push(StepTold {
            phase,
            step,
            route: report.route,
            what: report.what,
            bytes: report.bytes,
            micros: report.duration.as_micros(),
        });
    }
    told.sort_by_key(|t| (t.phase, t.step));
    told
}

/// Shows one phase's steps to a person.
pub(super) fn show(output: Output, reports: &[StepReport], phase: &str, title: &str) {
    if output.is_json() {
        return;
    }
    let rows: Vec<Vec<String>> = first_of_each(reports)
        .into_iter()
        .filter(|told| told.phase == phase)
        .map(|told| {
            vec![
                told.step.to_string(),
                told.route.to_owned(),
                format!("{} B", told.bytes),
                format!("{} µs", told.micros),
                told.what.to_owned(),
            ]
        })
        .collect();
    output.message(format!("\n{title}\n{}", table(&["step", "route", "size", "time", "what"], &rows)));
}

/// The totals for a person.
pub(super) fn summary(told: &Told) -> String {
    let yes = |holds: bool| if holds { "yes" } else { "NO" };
    let lines = [
        ("patients", told.patients.to_string()),
        ("resources written, read", format!("{}, {}", told.resources_written, told.resources_read)),
        ("read what was written", yes(told.read_equals_written).to_owned()),
        ("refused before consent", yes(told.denied_before_consent).to_owned()),
        ("refused after withdrawal", yes(told.denied_after_withdrawal).to_owned()),
        ("plaintext found", told.plaintext_found.to_string()),
        ("writing, reading", format!("{} ms, {} ms", told.write_ms, told.read_ms)),
    ];
    let lines: Vec<String> = lines.iter().map(|(name, value)| format!("{name:<28} {value}\n")).collect();
    format!("\n{}", lines.concat())
}

/// Addresses, tokens and the first patient as variables of a shell.
pub(super) fn variables(world: &World, told: &Told, page: Option<&str>) -> String {
    let secure = |address| format!("https://{address}");
    let variables = [
        ("CA", secure(world.authority())),
        ("BROKER", secure(world.broker.address)),
        ("ARCHIVE", secure(world.archive.address)),
        ("HOSPITAL_A", format!("http://{}", world.gateway_a.address)),
        ("HOSPITAL_A_HL7", world.gateway_a.mllp.map(|address| address.to_string()).unwrap_or_default()),
        ("TOKEN_A", world.hospital_a.token().to_owned()),
        ("HOSPITAL_B", format!("http://{}", world.gateway_b.address)),
        ("TOKEN_B", world.hospital_b.token().to_owned()),
        ("PATIENT", told.first_patient.clone()),
        ("CONSOLE", world.broker.console.map(|address| format!("http://{address}")).unwrap_or_default()),
        ("EXPLAIN", page.unwrap_or_default().to_owned()),
    ];
    let line = |(name, value): &(&str, String)| format!("export {name}='{}'\n", value.replace('\'', "'\\''"));
    let lines: String = variables.iter().map(line).collect();
    format!("# Where the demo's parties are, and tokens of two physicians for a day. Read it with: . demo.env\n{lines}")
}

/// Cryptographic operations of each party so far.
pub(super) fn operations(world: &World) -> BTreeMap<&'static str, BTreeMap<&'static str, u64>> {
    let parties = [
        ("hospital-a", &world.gateway_a.member),
        ("hospital-b", &world.gateway_b.member),
        ("broker", &world.broker.member),
        ("archive", &world.archive.member),
    ];
    parties
        .into_iter()
        .map(|(name, member)| (name, member.party().operations.counts().named().into_iter().collect()))
        .collect()
}

/// Memory of this process that is resident now, in KiB.
pub(super) fn resident_kib() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:"))?;
    line.split_whitespace().nth(1)?.parse().ok()
}
