//! `sealwort store sweep`: delete the objects of an archive that no entry names, also beside its service.

use clap::Args;
use serde_json::json;

use crate::error::CliError;
use crate::output::Output;
use crate::settings::SettingsArgs;

#[derive(Debug, Args)]
pub(super) struct SweepArgs {
    /// Those of the archive.
    #[command(flatten)]
    settings: SettingsArgs,
}

pub(super) async fn run(args: &SweepArgs, output: Output) -> Result<(), CliError> {
    let config = args.settings.load::<sealwort_archive::Config>()?.value;
    let swept = sealwort_archive::sweep(&config).await.map_err(|error| CliError::Local(error.to_string()))?;
    output.data(&json!({"objects": swept.seen, "removed": swept.removed, "young": swept.young}), || {
        format!(
            "{} objects looked at; {} that no entry names were deleted, {} are too young to be judged",
            swept.seen, swept.removed, swept.young
        )
    })
}
