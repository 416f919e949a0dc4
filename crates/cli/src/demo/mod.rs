//! `sealwort demo`.

use std::path::PathBuf;

use clap::Args;

use crate::error::CliError;
use crate::output::Output;

#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// End after the story instead of staying up.
    #[arg(long)]
    pub(crate) once: bool,
    /// Keep the data folders here instead of in a temporary folder.
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,
    /// Generate this many patients with long records, too.
    #[arg(long, value_name = "N")]
    pub(crate) patients: Option<u64>,
    /// Use these FHIR R4 Bundles instead of the samples.
    #[arg(long, value_name = "FILE", num_args = 1..)]
    pub(crate) bundle: Vec<PathBuf>,
}

pub(crate) async fn run(_args: DemoArgs, _output: Output) -> Result<(), CliError> {
    Err(CliError::Local("the demo is not written yet".to_owned()))
}
