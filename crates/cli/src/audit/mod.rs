//! `sealwort audit`: a party's audit log, searched, exported and verified. The commands work beside a running service:
//! whoever appends does so upon the log as it stands, and nobody comes in between. Whoever reads entries is entered first.

mod export;
mod folder;
mod moment;
mod search;
mod verify;
mod witnessed;

pub(crate) use folder::{PlaceArgs, database};

use std::path::Path;

use clap::{Args, Subcommand};
use sealwort_audit::{Fault, Passed, Verdict};
use sealwort_journal::WholeError;

use crate::error::{CliError, Refused};
use crate::output::Output;

#[derive(Debug, Args)]
pub(crate) struct AuditArgs {
    #[command(subcommand)]
    command: AuditCommand,
}

#[derive(Debug, Subcommand)]
enum AuditCommand {
    /// Write entries into a file, with a proof that verifies offline.
    Export(export::ExportArgs),
    /// Verify an export offline, or the whole log in a data folder. Exit code 5: altered; 6: it cannot be told.
    Verify(verify::VerifyArgs),
    /// Find entries.
    Search(search::SearchArgs),
    /// Write down what this party remembers of the logs of others, for whoever verifies those.
    Witnessed(witnessed::WitnessedArgs),
}

pub(crate) async fn run(args: AuditArgs, output: Output) -> Result<(), CliError> {
    match args.command {
        AuditCommand::Export(args) => export::run(&args, output).await,
        AuditCommand::Verify(args) => verify::run(&args, output).await,
        AuditCommand::Search(args) => search::run(&args, output).await,
        AuditCommand::Witnessed(args) => witnessed::run(&args, output).await,
    }
}

/// How many entries a log has, whose newest checkpoint is its party's and fits them. It does not walk the log.
pub(crate) async fn stands(folder: &Path, log: &Path) -> Result<u64, CliError> {
    let place = folder::PlaceArgs { log: Some(log.to_owned()), ..folder::PlaceArgs::default() };
    let log = folder::open(folder, &place).await?;
    let stands = log.stands().await;
    log.store.close().await;
    stands
}

/// Walks the whole log of the party with this data folder, as `sealwort audit verify` does.
pub(crate) async fn walk(folder: &Path, place: &PlaceArgs) -> Result<Passed, CliError> {
    let log = folder::open(folder, place).await?;
    let passed = verify::whole(&log, &[]).await;
    log.store.close().await;
    passed
}

impl From<Verdict> for CliError {
    fn from(verdict: Verdict) -> Self {
        let refused = |code: &str, remedy: &str| Refused {
            code: code.to_owned(),
            message: verdict.reason.clone(),
            remedy: Some(remedy.to_owned()),
        };
        match verdict.fault {
            Fault::Tampered => Self::Tampered(refused("audit-tampered", TAMPERED)),
            Fault::Unverifiable => Self::Unverifiable(refused("audit-unverifiable", UNVERIFIABLE)),
        }
    }
}

impl From<WholeError> for CliError {
    fn from(error: WholeError) -> Self {
        match error {
            WholeError::Verdict(verdict) => verdict.into(),
            WholeError::Store(error) => folder::damage(error),
        }
    }
}

/// How far others vouch, in words.
fn vouching(passed: &Passed) -> String {
    let Passed { size, witnessed, witnesses, .. } = passed;
    if witnesses.is_empty() {
        return "no other party vouches for the log: there is only its own party's word".to_owned();
    }
    let by = witnesses.join(", ");
    match size - witnessed {
        0 => format!("others vouch for all {size} entries of the log: {by}"),
        rest => format!(
            "others vouch for the first {witnessed} of the log's {size} entries: {by}; for the newest {rest} there is only its own party's word so far"
        ),
    }
}

pub(crate) const TAMPERED: &str =
    "keep the file as it is, as evidence; compare it with backups and with what other parties remember";
pub(crate) const UNVERIFIABLE: &str =
    "ask another party for its file, which it makes with sealwort audit witnessed, and give it with --witness";
