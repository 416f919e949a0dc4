//! `sealwort demo`: a whole exchange on this machine. A certificate authority, a broker, an archive and two
//! hospitals' gateways, each with its own data folder, keys and sockets; real patients go from hospital A to
//! hospital B, and what broker and archive were handed is searched for plaintext.

pub(crate) mod http;
mod patients;
pub(crate) mod scan;
mod story;
mod telling;
pub(crate) mod world;

use std::path::PathBuf;

use clap::Args;
use sealwort_gateway::MqttConfig;
use sealwort_net::config::LogConfig;

use crate::error::CliError;
use crate::output::Output;

pub(crate) use story::StepTold;
pub(crate) use telling::first_of_each;

/// Options of `sealwort demo`.
#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// End after the story instead of staying up.
    #[arg(long)]
    pub(crate) once: bool,
    /// Keep the data folders here instead of in a temporary folder.
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,
    /// Generate this many patients with long records, too.
    #[arg(long, value_name = "N")]
    pub(crate) patients: Option<u64>,
    /// What is logged on standard error, such as `info` or `sealwort::steps=debug`.
    #[arg(long, value_name = "FILTER", default_value = "error")]
    pub(crate) log: String,
    /// Use these FHIR R4 Bundles instead of the samples.
    #[arg(long, value_name = "FILE", num_args = 1..)]
    pub(crate) bundle: Vec<PathBuf>,
    /// An MQTT broker from which hospital A takes the measurements of its devices, as mqtt://127.0.0.1:1883.
    #[arg(long, value_name = "URL")]
    pub(crate) mqtt: Option<String>,
    /// User name at that broker.
    #[arg(long, value_name = "NAME", requires = "mqtt_password_file")]
    pub(crate) mqtt_user: Option<String>,
    /// File of the password there, readable by its owner alone.
    #[arg(long, value_name = "FILE")]
    pub(crate) mqtt_password_file: Option<String>,
}

/// Starts the exchange, tells the story and stays up unless `--once` is given.
pub(crate) async fn run(args: DemoArgs, output: Output) -> Result<(), CliError> {
    sealwort_net::telemetry::init(&LogConfig { filter: args.log.clone(), ..LogConfig::default() })?;
    let temporary = match &args.dir {
        Some(_) => None,
        None => Some(tempfile::tempdir().map_err(|e| CliError::Local(format!("no temporary folder: {e}")))?),
    };
    let folder = match (&args.dir, &temporary) {
        (Some(folder), _) => folder.clone(),
        (None, Some(temporary)) => temporary.path().to_owned(),
        (None, None) => return Err(CliError::Local("no folder for the demo".to_owned())),
    };
    let bundles = patients::load(&args.bundle, args.patients)?;
    let mqtt = MqttConfig {
        url: args.mqtt.clone().unwrap_or_default(),
        user: args.mqtt_user.clone().unwrap_or_default(),
        password_file: args.mqtt_password_file.clone().unwrap_or_default(),
        ..MqttConfig::default()
    };
    let world = world::World::start(&folder, mqtt).await?;
    let listener = world.steps.listen();
    output.message(format!("The exchange is up after {} ms:", world.started_in.as_millis()));
    for (what, where_) in world.places() {
        output.message(format!("  {what:<28} {where_}"));
    }
    let told = story::tell(&world, bundles, listener, output).await;
    let told = match told {
        Ok(told) => told,
        Err(error) => {
            world.stop().await;
            return Err(error);
        }
    };
    output.data(&told, || telling::summary(&told))?;
    if !told.holds() {
        world.stop().await;
        return Err(CliError::Local("the demo did not show what it must show; see above".to_owned()));
    }
    if args.once {
        world.stop().await;
        return Ok(());
    }
    output.notice(format!(
        "\nHospital B may read the first patient again. Try:\n  {}\n\nCtrl-C ends the demo.",
        told.curl
    ));
    world.until_signal().await?;
    world.stop().await;
    Ok(())
}
