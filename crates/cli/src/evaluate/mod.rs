//! `sealwort evaluate`: the paper's own evaluation beside ours. Table 2 with the proof queries and tests behind
//! each cell; Tables 3 and 4 as counted while a real exchange ran; the bytes of each step. The exchange is the
//! demo's, with one hospital reading one record.

mod evidence;
mod exchange;
mod paper;
mod phr_s_fm;
mod result;
mod tables;

use clap::Args;
use sealwort_net::config::LogConfig;

use crate::error::CliError;
use crate::output::Output;
use result::Evaluation;

/// Options of `sealwort evaluate`.
#[derive(Debug, Args)]
pub(crate) struct EvaluateArgs {
    /// What is logged on standard error, such as `info` or `sealwort::steps=debug`.
    #[arg(long, value_name = "FILTER", default_value = "error")]
    log: String,
    /// Print the criteria of the HL7 PHR-S Functional Model instead, each with the tests that show it.
    #[arg(long)]
    phr_s_fm: bool,
}

/// Runs the exchange and prints what it came to. Evidence that failed is a failure of the command; evidence that
/// is missing is printed.
pub(crate) async fn run(args: EvaluateArgs, output: Output) -> Result<(), CliError> {
    if args.phr_s_fm {
        return phr_s_fm::print(output);
    }
    sealwort_net::telemetry::init(&LogConfig { filter: args.log, ..LogConfig::default() })?;
    let folder = tempfile::tempdir().map_err(|e| CliError::Local(format!("no temporary folder: {e}")))?;
    let observed = Box::pin(exchange::observe(folder.path())).await?;
    let evaluation = Evaluation::of(observed)?;
    output.data(&evaluation, || tables::text(&evaluation))?;
    match evaluation.failed() {
        failed if failed.is_empty() => Ok(()),
        failed => Err(CliError::Local(format!("the evidence failed for: {}", failed.join(", ")))),
    }
}
