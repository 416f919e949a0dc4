//! `sealwort doctor`: looks at a party's set-up from the outside, as its operator would: folder, certificates,
//! clock, and real TLS connections to whom it needs. It changes nothing. Each finding that is not good comes
//! with the one line that mends it.

mod audit;
mod folder;
mod network;
mod place;
mod report;
mod storage;

use std::path::Path;

use clap::Args;
use sealwort_net::config::{CaConfig, KeysConfig, StoreConfig};
use sealwort_pki::Role;

use crate::ca::{CaServiceConfig, service_endpoint};
use crate::error::CliError;
use crate::output::Output;
use crate::settings::{RoleConfig, SettingsArgs};
use report::Report;

#[derive(Debug, Args)]
pub(crate) struct DoctorArgs {
    /// Whose set-up: ca, broker, archive or gateway [default: what the data folder says]
    #[arg(long)]
    role: Option<Role>,
    #[command(flatten)]
    settings: SettingsArgs,
}

/// What the checks need of a role's configuration.
struct Subject<'a> {
    role: Role,
    folder: &'a Path,
    /// Where the audit log lies, where that is not the data folder.
    log: Option<&'a Path>,
    /// Where the authority is.
    ca: Result<String, CliError>,
    peer: Option<(Role, &'a str, &'a str)>,
    store: Option<&'a StoreConfig>,
    keys: Option<&'a KeysConfig>,
}

pub(crate) async fn run(args: DoctorArgs, output: Output) -> Result<(), CliError> {
    let role = match (args.role, &args.settings.dir) {
        (Some(role), _) => role,
        (None, Some(dir)) => folder::role_of(dir)
            .ok_or_else(|| CliError::Local(format!("{} does not say whose it is; add --role ROLE", dir.display())))?,
        (None, None) => {
            return Err(CliError::Local("say whom to look at: --dir DIR, or --role ROLE --config FILE".to_owned()));
        }
    };
    let mut report = Report::new(role);
    match role {
        Role::Ca => {
            if let Some(config) = configuration::<CaServiceConfig>(&args.settings, &mut report) {
                let ca = service_endpoint(&config).map(|endpoint| endpoint.to_string());
                let log = Some(config.audit.folder_in(&config.folder));
                let subject = Subject {
                    role,
                    folder: &config.folder,
                    log,
                    ca,
                    peer: None,
                    store: config.store(),
                    keys: config.keys(),
                };
                examine(&subject, &mut report).await;
            }
        }
        Role::Broker => party::<sealwort_broker::Config>(&args.settings, &mut report).await,
        Role::Archive => party::<sealwort_archive::Config>(&args.settings, &mut report).await,
        Role::Gateway => party::<sealwort_gateway::Config>(&args.settings, &mut report).await,
    }
    report.finish(output)
}

async fn party<T: RoleConfig>(settings: &SettingsArgs, report: &mut Report) {
    let Some(config) = configuration::<T>(settings, report) else { return };
    let ca = config.ca().map_or_else(|| CaConfig::default().url, |ca| ca.url.clone());
    let log = config.audit_folder();
    let (store, keys) = (config.store(), config.keys());
    let subject = Subject { role: T::ROLE, folder: config.folder(), log, ca: Ok(ca), peer: config.peer(), store, keys };
    examine(&subject, report).await;
}

fn configuration<T: RoleConfig>(settings: &SettingsArgs, report: &mut Report) -> Option<T> {
    match settings.load::<T>() {
        Ok(loaded) => {
            let from = match &loaded.path {
                Some(path) => path.display().to_string(),
                None => "no file; built-in defaults".to_owned(),
            };
            report.good("configuration", from);
            Some(loaded.value)
        }
        Err(error) => {
            report.wrong(
                "configuration",
                error.to_string(),
                format!("correct it, then: sealwort config check FILE --role {}", T::ROLE),
            );
            None
        }
    }
}

async fn examine(subject: &Subject<'_>, report: &mut Report) {
    folder::check(subject, report);
    storage::check(subject, report).await;
    audit::check(subject, report).await;
    let Some(place) = place::check(subject, report) else { return };
    network::check(subject, &place, report).await;
}
