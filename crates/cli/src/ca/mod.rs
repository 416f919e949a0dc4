//! `sealwort ca …`: the exchange's operator at work. The verbs `invite`, `revoke` and `list` go to the running
//! service, or straight into its folder when it does not run; see [`operator`].

mod folder;
mod init;
mod invite;
mod list;
mod operator;
mod revoke;
mod serve;

use clap::{Args, Subcommand};

use crate::error::CliError;
use crate::output::Output;
use crate::services::ServiceArgs;

pub(crate) use operator::service_endpoint;
pub(crate) use serve::{CaServiceConfig, RunningCa, start};

#[derive(Debug, Args)]
pub(crate) struct CaArgs {
    #[command(subcommand)]
    command: CaCommand,
}

#[derive(Debug, Subcommand)]
enum CaCommand {
    /// Create an exchange: root, issuing certificate and keys. The root key is written apart.
    Init(init::InitArgs),
    /// Run the authority: enrolment, renewal, revocation lists.
    Serve(ServiceArgs),
    /// Invite a party; the invitation file works once.
    Invite(invite::InviteArgs),
    /// Revoke a party, or one certificate.
    Revoke(revoke::RevokeArgs),
    /// List the certificates that have not ended.
    List(list::ListArgs),
    /// Print the fingerprint of the exchange's root, which parties compare when they join.
    Fingerprint(folder::FingerprintArgs),
}

pub(crate) async fn run(args: CaArgs, output: Output) -> Result<(), CliError> {
    match args.command {
        CaCommand::Init(args) => init::run(args, output),
        CaCommand::Serve(args) => serve::run(&args, output).await,
        CaCommand::Invite(args) => invite::run(args, output).await,
        CaCommand::Revoke(args) => revoke::run(args, output).await,
        CaCommand::List(args) => list::run(args, output).await,
        CaCommand::Fingerprint(args) => folder::run(&args, output),
    }
}
