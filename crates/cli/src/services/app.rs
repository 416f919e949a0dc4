//! `sealwort gateway app`: the apps that may ask this gateway for tokens (SMART on FHIR), in `apps.json` of its data
//! folder. A running gateway takes changes up by itself.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use crate::error::CliError;
use crate::output::{Output, table};

#[derive(Debug, Args)]
pub(crate) struct AppArgs {
    #[command(subcommand)]
    command: AppCommand,
}

#[derive(Debug, Subcommand)]
enum AppCommand {
    /// Register an app, in place of one with the same id.
    Add(AddArgs),
    /// List registered apps.
    List {
        /// The gateway's data folder.
        #[arg(long, value_name = "DIR")]
        dir: PathBuf,
    },
    /// Register an app no longer; its tokens end at once.
    Remove {
        /// Its client id.
        id: String,
        /// The gateway's data folder.
        #[arg(long, value_name = "DIR")]
        dir: PathBuf,
    },
}

#[derive(Debug, Args)]
struct AddArgs {
    /// Its client id.
    id: String,
    /// The gateway's data folder.
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
    /// Its name, for the page on which users approve it [default: the id]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// An address to which users are sent back; repeat for several.
    #[arg(long, value_name = "URL")]
    redirect: Vec<String>,
    /// The most that it may be granted, as SMART scopes: "launch/patient patient/*.rs".
    #[arg(long, value_name = "SCOPES")]
    scope: String,
    /// JSON file of its public keys (a JWK Set). With keys it is confidential and signs its requests; without, public.
    #[arg(long, value_name = "FILE")]
    jwks: Option<PathBuf>,
    /// Where it is started from the gateway's pages.
    #[arg(long, value_name = "URL")]
    launch: Option<String>,
}

pub(crate) fn run(args: AppArgs, output: Output) -> Result<(), CliError> {
    match args.command {
        AppCommand::Add(args) => add(&args, output),
        AppCommand::List { dir } => list(&dir, output),
        AppCommand::Remove { id, dir } => {
            let mut file = sealwort_gateway::registered_apps(&dir)?;
            let before = file.len();
            file.retain(|app| app.get("client_id").and_then(Value::as_str) != Some(id.as_str()));
            if file.len() == before {
                return Err(CliError::Local(format!(
                    "no app {id} is registered; list them with: sealwort gateway app list"
                )));
            }
            sealwort_gateway::register_apps(&dir, &file)?;
            output.message(format!("{id} is registered no longer"));
            Ok(())
        }
    }
}

fn add(args: &AddArgs, output: Output) -> Result<(), CliError> {
    let mut app = json!({
        "client_id": args.id,
        "name": args.name.as_ref().unwrap_or(&args.id),
        "kind": if args.jwks.is_some() { "confidential" } else { "public" },
        "redirect_uris": args.redirect,
        "scope": args.scope,
    });
    if let Value::Object(members) = &mut app {
        if let Some(file) = &args.jwks {
            let text = std::fs::read(file).map_err(|error| CliError::Local(format!("{}: {error}", file.display())))?;
            let keys: Value = serde_json::from_slice(&text)
                .map_err(|error| CliError::Local(format!("{}: {error}", file.display())))?;
            members.insert("jwks".to_owned(), keys);
        }
        if let Some(url) = &args.launch {
            members.insert("launch_url".to_owned(), json!(url));
        }
    }
    let mut apps = sealwort_gateway::registered_apps(&args.dir)?;
    apps.retain(|known| known.get("client_id").and_then(Value::as_str) != Some(args.id.as_str()));
    apps.push(app);
    sealwort_gateway::register_apps(&args.dir, &apps)?;
    output.message(format!("{} is registered", args.id));
    Ok(())
}

fn list(dir: &Path, output: Output) -> Result<(), CliError> {
    let apps = sealwort_gateway::registered_apps(dir)?;
    let text = |app: &Value, name: &str| app.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let rows: Vec<_> = apps
        .iter()
        .map(|app| vec![text(app, "client_id"), text(app, "name"), text(app, "kind"), text(app, "scope")])
        .collect();
    output.data(&apps, || table(&["client id", "name", "kind", "most that it may do"], &rows))
}
