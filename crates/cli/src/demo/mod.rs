//! `sealwort demo`: a whole exchange on this machine. A certificate authority, a broker, an archive and two
//! hospitals' gateways, each with its own data folder, keys and sockets; real patients go from hospital A to
//! hospital B, and what broker and archive were handed is searched for plaintext.

mod explain;
pub(crate) mod http;
mod local;
mod patients;
mod provider;
pub(crate) mod relay;
pub(crate) mod scan;
mod story;
mod telling;
pub(crate) mod world;

use std::cell::RefCell;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

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
    /// Serve the page that explains the steps at this address of this computer. Without it a free port is taken, but
    /// there is no page with `--once`, nor with `--bundle`: everybody on this computer can read on it what was stored. Nor can anybody sign in
    /// to the other pages then.
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) explain: Option<SocketAddr>,
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
    // The page lets connections be cut, so they go through relays.
    let relays = RefCell::new(Vec::new());
    let by_itself = !args.once && args.bundle.is_empty();
    let page_at = args.explain.or_else(|| by_itself.then_some(SocketAddr::from((Ipv4Addr::LOCALHOST, 0))));
    // Pages are for people who stay, and none opens what somebody's own Bundles hold to everybody on this computer.
    let provider = if args.once || page_at.is_none() {
        None
    } else {
        Some(provider::Provider::start(patients::first(&bundles)).await?)
    };
    let world = world::World::start_through(&folder, mqtt, provider.as_ref(), async |_, address| {
        if page_at.is_none() {
            return Ok(address);
        }
        let relay = relay::Relay::to(address).await?;
        relays.borrow_mut().push(relay.clone());
        Ok(relay.address)
    })
    .await?;
    let relays = relays.into_inner();
    let told = Box::pin(explained(&args, &world, provider.as_ref(), bundles, page_at, relays, output)).await;
    world.stop().await;
    if let Some(provider) = provider {
        provider.stop().await;
    }
    told
}

/// The story, and the page that explains it while it goes on and afterwards.
async fn explained(
    args: &DemoArgs,
    world: &world::World,
    provider: Option<&provider::Provider>,
    bundles: Vec<patients::Loaded>,
    page_at: Option<SocketAddr>,
    relays: Vec<relay::Relay>,
    output: Output,
) -> Result<(), CliError> {
    let listener = world.steps.listen();
    let recorder = Arc::new(explain::Recorder::new(world.steps.listen()));
    let page = match page_at {
        Some(address) => Some(explain::serve(world, Arc::clone(&recorder), relays, address).await?),
        None => None,
    };
    output.message(format!("The exchange is up after {} ms:", world.started_in.as_millis()));
    let mut places = world.places();
    let url = page.as_ref().map(|page| format!("http://{}/", page.address));
    if let Some(provider) = provider {
        places.extend(world.pages());
        places.push(("signing in to these pages", provider.url().to_owned()));
    }
    places.extend(url.iter().map(|url| ("the page that explains", url.clone())));
    for (what, where_) in &places {
        output.message(format!("  {what:<28} {where_}"));
    }
    output.message("Metrics of each, for Prometheus:");
    for (what, where_) in world.metrics() {
        output.message(format!("  {what:<28} {where_}"));
    }
    let mut told = story::tell(world, bundles, listener, &recorder, output).await?;
    told.urls = places.into_iter().collect();
    output.data(&told, || telling::summary(&told))?;
    let missing = told.missing();
    if !missing.is_empty() {
        return Err(CliError::Local(format!("the demo did not show what it must show: {}", missing.join("; "))));
    }
    if args.once {
        return Ok(());
    }
    if let Some(page) = &page {
        page.ready();
    }
    let variables = telling::variables(world, &told, url.as_deref());
    sealwort_net::secret_file::replace(&world.folder.join("demo.env"), variables.as_bytes())?;
    output.notice(format!(
        "\nHospital B may read the first patient again. Try:\n  {}\n\nIts answer names a trace in X-Trace-Id. What each party did for it:\n  {}\n\nSee the sixteen steps drawn, and do them yourself:\n  {}\n\nCtrl-C ends the demo.",
        told.curl,
        trace_line(&world.folder),
        url.unwrap_or_default()
    ));
    world.until_signal().await?;
    if let Some(page) = page {
        page.stop().await;
    }
    Ok(())
}

/// How to see a trace across the demo's parties.
fn trace_line(folder: &std::path::Path) -> String {
    let dirs =
        ["hospital-a", "hospital-b", "broker", "archive"].map(|name| format!("--dir {}", folder.join(name).display()));
    format!("sealwort trace ID {}", dirs.join(" "))
}
