//! The authority's folder as its commands find it, and `sealwort ca fingerprint`.

use std::path::Path;

use clap::Args;
use sealwort_ca::ExchangeFolder;
use serde_json::json;

use super::CaServiceConfig;
use crate::error::CliError;
use crate::output::Output;
use crate::settings::SettingsArgs;

#[derive(Debug, Args)]
pub(super) struct FingerprintArgs {
    #[command(flatten)]
    settings: SettingsArgs,
}

/// Opens an exchange's folder; where there is none, says how to make one.
pub(super) fn open_exchange(folder: &Path) -> Result<ExchangeFolder, CliError> {
    if !folder.join(EXCHANGE_FILE).exists() {
        let folder = folder.display();
        return Err(CliError::Local(format!(
            "{folder} holds no exchange; create one first: sealwort ca init --name NAME --dir {folder} --root-dir DIR"
        )));
    }
    Ok(ExchangeFolder::open(folder)?)
}

pub(super) fn run(args: &FingerprintArgs, output: Output) -> Result<(), CliError> {
    let config = args.settings.load::<CaServiceConfig>()?.value;
    let exchange = open_exchange(&config.folder)?;
    let root = exchange.root_fingerprint().to_string();
    output.data(&json!({"exchange": exchange.exchange(), "root": root}), || root.clone())
}

/// The one file that every exchange's folder has.
const EXCHANGE_FILE: &str = "exchange.json";
