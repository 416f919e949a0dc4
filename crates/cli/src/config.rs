//! `sealwort config`: check a file, or show the values in effect and where each is from.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use sealwort_net::config::{Loaded, Origin};
use sealwort_pki::Role;
use serde_json::{Value, json};

use crate::ca::CaServiceConfig;
use crate::error::CliError;
use crate::output::{Output, table};
use crate::settings::{RoleConfig, SettingsArgs, options};

#[derive(Debug, Args)]
pub(crate) struct ConfigCommandArgs {
    #[command(subcommand)]
    command: ConfigCommand,
}

#[derive(Debug, Subcommand)]
enum ConfigCommand {
    /// Check a configuration file.
    Check {
        /// The file.
        file: PathBuf,
        /// Whose it is: ca, broker, archive or gateway.
        #[arg(long)]
        role: Role,
    },
    /// Show every option's value and where it is from.
    Show {
        /// Whose: ca, broker, archive or gateway.
        #[arg(long)]
        role: Role,
        #[command(flatten)]
        settings: SettingsArgs,
    },
}

pub(crate) fn run(args: ConfigCommandArgs, output: Output) -> Result<(), CliError> {
    match args.command {
        ConfigCommand::Check { file, role } => {
            let settings = SettingsArgs { config: Some(file.clone()), ..SettingsArgs::default() };
            let shown = read(role, &settings)?;
            let set = shown.iter().filter(|option| option.origin != Origin::Default).count();
            output.data(&json!({"file": file, "role": role, "valid": true, "options_set": set}), || {
                format!("{} is a valid configuration of the {role}; it sets {set} options", file.display())
            })
        }
        ConfigCommand::Show { role, settings } => show(&read(role, &settings)?, output),
    }
}

/// One option in effect.
struct Shown {
    key: String,
    value: Value,
    origin: Origin,
}

fn read(role: Role, settings: &SettingsArgs) -> Result<Vec<Shown>, CliError> {
    match role {
        Role::Ca => shown(&settings.load::<CaServiceConfig>()?),
        Role::Broker => shown(&settings.load::<sealwort_broker::Config>()?),
        Role::Archive => shown(&settings.load::<sealwort_archive::Config>()?),
        Role::Gateway => shown(&settings.load::<sealwort_gateway::Config>()?),
    }
}

fn shown<T: RoleConfig>(loaded: &Loaded<T>) -> Result<Vec<Shown>, CliError> {
    let found = options(&loaded.value)?.into_iter().map(|(key, value)| {
        let origin = loaded.origins().find(|(set, _)| *set == key);
        Shown { origin: origin.map_or(Origin::Default, |(_, origin)| origin.clone()), key, value }
    });
    Ok(found.collect())
}

fn show(shown: &[Shown], output: Output) -> Result<(), CliError> {
    let object: serde_json::Map<String, Value> = shown
        .iter()
        .map(|option| {
            let value = json!({"value": option.value, "origin": option.origin.to_string()});
            (option.key.clone(), value)
        })
        .collect();
    output.data(&object, || {
        let row = |option: &Shown| {
            let value = match &option.value {
                Value::Null => "(none)".to_owned(),
                value => value.to_string(),
            };
            vec![option.key.clone(), value, option.origin.to_string()]
        };
        table(&["OPTION", "VALUE", "FROM"], &shown.iter().map(row).collect::<Vec<_>>())
    })
}
