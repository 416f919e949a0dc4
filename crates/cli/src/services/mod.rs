//! Running a service in the foreground: read its configuration, start it, say where it listens, and wait for
//! the signal that ends it. What a service does is in its own crate.

mod app;
mod token;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use clap::{Args, Subcommand};
use sealwort_net::config::Loaded;
use sealwort_net::member::MemberError;
use sealwort_net::steps::Steps;
use sealwort_net::{Shutdown, SystemClock, telemetry};
use sealwort_pki::{Identity, Role};
use serde_json::json;

use crate::error::CliError;
use crate::output::Output;
use crate::settings::{RoleConfig, SettingsArgs};

#[derive(Debug, Args)]
pub(crate) struct ServiceArgs {
    #[command(flatten)]
    settings: SettingsArgs,
    /// Address and port to listen on. Port 0 takes any free one.
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
}

#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct GatewayArgs {
    #[command(subcommand)]
    command: Option<GatewayCommand>,
    #[command(flatten)]
    service: ServiceArgs,
}

#[derive(Debug, Subcommand)]
enum GatewayCommand {
    /// Print a bearer token for a user of this gateway's FHIR face.
    Token(token::TokenArgs),
    /// Register apps that may ask this gateway for tokens, list and remove them.
    App(app::AppArgs),
}

/// Runs the broker until a signal.
pub(crate) async fn broker(args: &ServiceArgs, output: Output) -> Result<(), CliError> {
    let (config, shutdown) = args.prepare::<sealwort_broker::Config>()?;
    let running = sealwort_broker::start(&config.value, Arc::new(SystemClock), Steps::default(), shutdown).await?;
    announce(output, running.member.identity(), running.address, running.health)?;
    running.stopped().await;
    Ok(())
}

/// Runs the archive until a signal.
pub(crate) async fn archive(args: &ServiceArgs, output: Output) -> Result<(), CliError> {
    let (config, shutdown) = args.prepare::<sealwort_archive::Config>()?;
    let running = sealwort_archive::start(&config.value, Arc::new(SystemClock), Steps::default(), shutdown).await?;
    announce(output, running.member.identity(), running.address, running.health)?;
    running.stopped().await;
    Ok(())
}

/// Runs a gateway until a signal, or one of its other commands.
pub(crate) async fn gateway(args: GatewayArgs, output: Output) -> Result<(), CliError> {
    match args.command {
        Some(GatewayCommand::Token(args)) => return token::run(args, output),
        Some(GatewayCommand::App(args)) => return app::run(args, output),
        None => {}
    }
    let (config, shutdown) = args.service.prepare::<sealwort_gateway::Config>()?;
    let running = sealwort_gateway::start(&config.value, Arc::new(SystemClock), Steps::default(), shutdown).await?;
    announce(output, running.member.identity(), running.address, running.health)?;
    running.stopped().await;
    Ok(())
}

impl ServiceArgs {
    /// Reads the configuration and starts logging. Signals are heard from here on.
    pub(crate) fn prepare<T: RoleConfig>(&self) -> Result<(Loaded<T>, Shutdown), CliError> {
        let listen = self.listen.map(|address| (T::LISTEN_KEY, address.to_string()));
        let config = self.settings.load_with::<T>(listen.as_slice())?;
        if T::ROLE != Role::Ca {
            check_joined(config.value.folder())?;
        }
        telemetry::init(config.value.log())?;
        let shutdown =
            Shutdown::on_signals().map_err(|error| CliError::Local(format!("cannot listen for signals: {error}")))?;
        Ok((config, shutdown))
    }
}

/// A service makes its folder where there is none; one that never joined should leave nothing behind.
fn check_joined(folder: &Path) -> Result<(), CliError> {
    if folder.is_dir() {
        return Ok(());
    }
    Err(MemberError::NotJoined { folder: folder.display().to_string() }.into())
}

/// Says where a service listens: one line for people, and one JSON object for scripts that start it.
pub(crate) fn announce(
    output: Output,
    identity: &Identity,
    address: SocketAddr,
    health: Option<SocketAddr>,
) -> Result<(), CliError> {
    let role = identity.role;
    let place = match role {
        Role::Gateway => format!("{address} (FHIR under /fhir)"),
        _ => address.to_string(),
    };
    output.notice(format!("{role} {identity} listens on {place}"));
    if let Some(health) = health {
        output.notice(format!("{role} {identity} tells of its health and its metrics on http://{health}/metrics"));
    }
    if output.is_json() {
        let event =
            json!({"event": "listening", "role": role, "identity": identity, "address": address, "health": health});
        output.data(&event, String::new)?;
    }
    Ok(())
}
