//! Side-by-side benchmarks: each measures something of ours and its reference in the same run, taking turns, so
//! that a busy machine disturbs both alike. It prints medians and ratios, and judges only the aims that were set.
//! `README.md` beside this folder says what each row means.

mod append;
mod audit;
mod consent;
mod establishment;
mod exchange;
mod flood;
mod gateway;
mod growth;
mod http_client;
mod measure;
mod memory;
mod nodes;
mod plain;
mod processes;
mod report;
mod seal;
#[path = "../../crates/store/tests/support/server.rs"]
mod server;
mod showing;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, ValueEnum};

use measure::Failure;
use processes::Binary;
use report::Report;

/// Measures parts of Sealwort beside their references.
#[derive(Debug, Parser)]
#[command(name = "sealwort-bench", version)]
struct Arguments {
    /// What to measure; everything where nothing is named.
    names: Vec<Benchmark>,
    /// Print one JSON object instead of a table.
    #[arg(long)]
    json: bool,
    /// Fewer repetitions: a look, not a measurement to quote.
    #[arg(long)]
    quick: bool,
    /// The sealwort program for `gateway`, `hidden`, `telemetry`, `memory`, `growth`, `nodes` and `flood`. Without it, the one
    /// beside this program.
    #[arg(long, value_name = "PATH")]
    sealwort: Option<PathBuf>,
    /// For `flood`: multiplies its rates.
    #[arg(long, value_name = "FACTOR", default_value_t = 1.0)]
    flood_scale: f64,
    /// Folder on the disk to be measured, for temporary data. Without it, the folder of this program.
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Benchmark {
    /// The nine steps, in memory, beside their primitive operations and the paper's construction.
    Establishment,
    /// Sealing and opening of records beside AES-256-GCM.
    Seal,
    /// Durable appends beside plain inserts.
    Append,
    /// Opening patients, their memory, reads, searches and transactions, at a running gateway.
    Gateway,
    /// Being told of nothing: of a hidden resource beside an absent one, at a running gateway.
    Hidden,
    /// Readings with traces kept, or sent to a collector, beside the same without.
    Telemetry,
    /// Showing resources beside reading them.
    Showing,
    /// A decision by a patient's consent.
    Consent,
    /// Entries of the audit log beside plain inserts, and verifying them.
    Audit,
    /// Memory of archive and broker with 100,000 entries and 100 gateways.
    Memory,
    /// Fetches, start and memory of an archive with 1,000,000 entries.
    Growth,
    /// Uploads and fetches with two archive nodes on one PostgreSQL database beside one.
    Nodes,
    /// A good hospital's reads while the broker is flooded.
    Flood,
}

/// How thorough a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Thoroughness {
    /// As the documents quote it.
    Full,
    /// To see whether it works.
    Quick,
}

impl Thoroughness {
    /// A number of repetitions, or a tenth of it.
    pub(crate) fn times(self, full: usize) -> usize {
        match self {
            Self::Full => full,
            Self::Quick => (full / 10).max(3),
        }
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let mut report = Report::new();
    if cfg!(debug_assertions) {
        report.note("THIS IS NOT A RELEASE BUILD: the figures mean nothing. Run it with --release.");
    }
    let outcome = Box::pin(run(&arguments, &mut report)).await;
    // What was measured before a failure is shown all the same.
    report.print(arguments.json);
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            report.note(&format!("the run ended early: {failure}"));
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: &Arguments, report: &mut Report) -> Result<(), Failure> {
    let program = std::env::current_exe()?;
    let beside = program.parent().unwrap_or(Path::new("."));
    let folder = arguments.dir.as_deref().unwrap_or(beside);
    let binary = Binary::new(arguments.sealwort.clone().unwrap_or_else(|| beside.join("sealwort")));
    let thoroughness = if arguments.quick { Thoroughness::Quick } else { Thoroughness::Full };
    let all = Benchmark::value_variants();
    let names = if arguments.names.is_empty() { all } else { &arguments.names };
    for name in names {
        match name {
            Benchmark::Establishment => establishment::run(thoroughness, report)?,
            Benchmark::Seal => seal::run(thoroughness, report)?,
            Benchmark::Append => append::run(thoroughness, folder, report).await?,
            Benchmark::Gateway => gateway::run(thoroughness, folder, &binary, report).await?,
            Benchmark::Hidden => gateway::hidden::run(thoroughness, folder, &binary, report).await?,
            Benchmark::Telemetry => gateway::telemetry::run(thoroughness, folder, &binary, report).await?,
            Benchmark::Showing => showing::run(thoroughness, report)?,
            Benchmark::Consent => consent::run(thoroughness, report)?,
            Benchmark::Audit => audit::run(thoroughness, folder, report).await?,
            Benchmark::Memory => memory::run(thoroughness, folder, &binary, report).await?,
            Benchmark::Growth => growth::run(thoroughness, folder, &binary, report).await?,
            Benchmark::Nodes => nodes::run(thoroughness, folder, &binary, report).await?,
            Benchmark::Flood => flood::run(thoroughness, folder, &binary, arguments.flood_scale, report).await?,
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::Arguments;

    #[test]
    fn the_arguments_are_well_formed() {
        Arguments::command().debug_assert();
    }
}
