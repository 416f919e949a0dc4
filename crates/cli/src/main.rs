//! The sealwort command line: reads the arguments, runs one command, and ends with the exit code that tells
//! scripts what happened. The work is in the modules, one a command; the services are crates of their own.

mod access_log;
mod arguments;
mod audit;
mod ca;
mod client;
mod config;
mod consent;
mod delegate;
mod demo;
mod device;
mod doctor;
mod emergency;
mod erase;
mod error;
mod evaluate;
mod export;
mod get;
mod import;
mod join;
mod labels;
mod login;
mod output;
mod passkey;
mod patient;
mod put;
mod question;
mod refused;
mod services;
mod session;
mod settings;
mod sphr;
mod status;
mod store;
mod trace;

use std::process::ExitCode;

use clap::Parser;

use arguments::{Cli, Command};
use error::{CliError, EXIT_LOCAL};
use output::Output;

#[tokio::main]
async fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are answers, not errors.
            let code = if error.use_stderr() { EXIT_LOCAL } else { 0 };
            let _ = error.print();
            return ExitCode::from(code);
        }
    };
    let output = Output::new(cli.json);
    match Box::pin(run(cli.command, output)).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            output.failure(&error);
            ExitCode::from(error.exit_code())
        }
    }
}

async fn run(command: Command, output: Output) -> Result<(), CliError> {
    match command {
        Command::Demo(args) => demo::run(args, output).await,
        Command::Evaluate(args) => evaluate::run(args, output).await,
        Command::Ca(args) => ca::run(args, output).await,
        Command::Broker(args) => services::broker(&args, output).await,
        Command::Archive(args) => services::archive(&args, output).await,
        Command::Gateway(args) => services::gateway(args, output).await,
        Command::Join(args) => join::run(args, output).await,
        Command::Put(args) => put::run(args, output).await,
        Command::Get(args) => get::run(args, output).await,
        Command::Export(args) => export::run(args, output).await,
        Command::Import(args) => import::run(args, output).await,
        Command::Consent(args) => consent::run(args, output).await,
        Command::Labels(args) => labels::run(args, output).await,
        Command::Erase(args) => erase::run(args, output).await,
        Command::AccessLog(args) => access_log::run(args, output).await,
        Command::Patient(args) => patient::run(args, output).await,
        Command::Audit(args) => audit::run(args, output).await,
        Command::Device(args) => device::run(args, output).await,
        Command::Emergency(args) => emergency::run(args, output).await,
        Command::Refused(args) => refused::run(args, output).await,
        Command::Delegate(args) => delegate::run(args, output).await,
        Command::Question(args) => question::run(args, output).await,
        Command::Passkey(args) => passkey::run(args, output).await,
        Command::Login(args) => login::login(args, output).await,
        Command::Logout(args) => login::logout(args, output).await,
        Command::Session(args) => session::run(args, output).await,
        Command::Store(args) => store::run(args, output).await,
        Command::Trace(args) => trace::run(args, output).await,
        Command::Status(args) => status::run(args, output).await,
        Command::Doctor(args) => doctor::run(args, output).await,
        Command::Config(args) => config::run(args, output),
    }
}
