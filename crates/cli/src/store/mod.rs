//! `sealwort store`: what a broker or archive keeps, gone over, moved, and copied. What does it is in `sealwort-store`; what
//! the rows mean is known here.

mod backup;
mod examine;
mod findings;
mod migrate;
mod rotate_key;
mod sweep;
mod verify;

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::Arc;

use clap::{Args, Subcommand};
use sealwort_net::secret_file;
use sealwort_net::token::Token;
use sealwort_pki::Role;
use sealwort_pki::enrolment::Membership;

use crate::error::CliError;
use crate::output::Output;
use crate::settings::SettingsArgs;

#[derive(Debug, Args)]
pub(crate) struct StoreArgs {
    #[command(subcommand)]
    command: StoreCommand,
}

#[derive(Debug, Subcommand)]
enum StoreCommand {
    /// Walk everything that a broker or archive keeps, also while it runs. Exit code 5: damaged or altered; 6: it cannot be
    /// told.
    Verify(verify::VerifyArgs),
    /// Move a party's data from its folder into a PostgreSQL database, or back. The service must not run.
    Migrate(migrate::MigrateArgs),
    /// Copy a data folder, with the embedded store in it, while the service runs.
    Backup(backup::BackupArgs),
    /// Change the key-encryption key under which halves are kept, while the service runs.
    RotateKey(rotate_key::RotateKeyArgs),
    /// Delete the objects of an archive that no entry names, also while it runs.
    Sweep(sweep::SweepArgs),
}

pub(crate) async fn run(args: StoreArgs, output: Output) -> Result<(), CliError> {
    match args.command {
        StoreCommand::Verify(args) => verify::run(&args, output).await,
        StoreCommand::Migrate(args) => migrate::run(&args, output).await,
        StoreCommand::Backup(args) => backup::run(&args, output).await,
        StoreCommand::RotateKey(args) => rotate_key::run(&args, output).await,
        StoreCommand::Sweep(args) => sweep::run(&args, output).await,
    }
}

/// Whose folder this is: a broker's or an archive's.
fn membership(folder: &Path) -> Result<Membership, CliError> {
    let membership = Membership::from_json(&secret_file::read(&folder.join(MEMBERSHIP_FILE))?)?;
    match membership.identity.role {
        Role::Broker | Role::Archive => Ok(membership),
        role => {
            let folder = folder.display();
            Err(CliError::Local(format!("{folder} is the folder of a {role}; this is for those of broker and archive")))
        }
    }
}

/// The token of a party's configuration, if it names one. Nobody has reached it yet.
fn token(role: Role, config: Option<&Path>) -> Result<Option<Arc<Token>>, CliError> {
    let Some(file) = config else { return Ok(None) };
    let settings = SettingsArgs { config: Some(file.to_owned()), ..SettingsArgs::default() };
    let keys = if role == Role::Broker {
        settings.load::<sealwort_broker::Config>()?.value.keys
    } else {
        settings.load::<sealwort_archive::Config>()?.value.keys
    };
    Ok(Token::of(&keys))
}

/// Refuses to write into a folder as anybody but its owner: the service could not read what is made.
fn as_owner(folder: &Path) -> Result<(), CliError> {
    let made = tempfile::tempfile_in(folder).and_then(|file| file.metadata());
    let both = made.and_then(|made| Ok((std::fs::metadata(folder)?.uid(), made.uid())));
    let (owner, own) = both.map_err(|e| CliError::Local(format!("cannot write in {}: {e}", folder.display())))?;
    if owner == own {
        return Ok(());
    }
    Err(CliError::Local(format!(
        "{} belongs to user {owner}, who could not read what user {own} makes in it; run this as user {owner}, as the service runs",
        folder.display()
    )))
}

const MEMBERSHIP_FILE: &str = "membership.json";
