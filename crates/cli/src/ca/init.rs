//! `sealwort ca init`: makes the folder of a new exchange, the folder of its root key, and the service's
//! configuration file.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;
use sealwort_ca::create_exchange;
use sealwort_net::client::Endpoint;
use sealwort_net::{Clock, SystemClock};
use sealwort_pki::{ExchangeName, KeyAlgorithm, Role};
use serde_json::json;

use crate::error::CliError;
use crate::output::Output;
use crate::settings::{text_of, write_template};

#[derive(Debug, Args)]
pub(super) struct InitArgs {
    /// Name of the exchange: lower-case letters, digits and hyphens.
    #[arg(long, value_name = "EXCHANGE")]
    name: ExchangeName,
    /// New folder for the service.
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
    /// New folder for the root key. It belongs on another medium, offline.
    #[arg(long, value_name = "DIR")]
    root_dir: PathBuf,
    /// The service's address as parties will reach it, https://host:port.
    #[arg(long, value_name = "URL")]
    url: Option<String>,
    /// Address and port that the service will listen on [default: 127.0.0.1:8440]
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
}

pub(super) fn run(args: InitArgs, output: Output) -> Result<(), CliError> {
    if let Some(url) = &args.url {
        url.parse::<Endpoint>()?;
    }
    let now = SystemClock.now();
    let made = create_exchange(&args.name, &args.dir, &args.root_dir, KeyAlgorithm::default(), now)?;
    let mut values = vec![("", "folder", text_of(&args.dir)?)];
    values.extend(args.url.map(|url| ("", "url", url)));
    values.extend(args.listen.map(|address| ("listen", "address", address.to_string())));
    let file = write_template(&args.dir, Role::Ca, &values)?;
    let result = json!({
        "exchange": made.exchange, "root": made.root.to_string(), "root_key": made.root_key,
        "issuing_ends": made.issuing_ends, "config": file,
    });
    output.data(&result, || {
        format!(
            "exchange      {}\nroot          {}\nissuing ends  {}\nroot key      {}\nconfiguration {}",
            made.exchange,
            made.root,
            made.issuing_ends,
            made.root_key.display(),
            file.display(),
        )
    })?;
    output
        .message(format!("take the root key off this computer; next: sealwort ca serve --dir {}", args.dir.display()));
    Ok(())
}
