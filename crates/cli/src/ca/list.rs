//! `sealwort ca list`: certificates and how they stand.

use clap::Args;
use sealwort_ca::admin::ListedJson;

use super::operator::Operator;
use crate::error::CliError;
use crate::output::{Output, table};
use crate::settings::SettingsArgs;

#[derive(Debug, Args)]
pub(super) struct ListArgs {
    #[command(flatten)]
    settings: SettingsArgs,
}

pub(super) async fn run(args: ListArgs, output: Output) -> Result<(), CliError> {
    let certificates = Operator::work(&args.settings, Operator::list).await?;
    output.data(&certificates, || {
        let mut rows: Vec<_> = certificates.iter().map(row).collect();
        rows.sort();
        table(&["IDENTITY", "KEY", "STATUS", "UNTIL", "SERIAL"], &rows)
    })
}

fn row(listed: &ListedJson) -> Vec<String> {
    let status = match &listed.reason {
        Some(reason) => format!("{} ({reason})", listed.status),
        None => listed.status.clone(),
    };
    vec![
        listed.identity.to_string(),
        listed.key_use.clone(),
        status,
        listed.not_after.to_string(),
        listed.serial.to_string(),
    ]
}
