//! A hospital: a gateway's process of its own, joined to the exchange, and a user's token for it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use sealwort_gateway::User;
use sealwort_net::{Clock as _, SystemClock};
use serde_json::Value;

use super::cores::Cores;
use crate::exchange::{ANY_PORT, Exchange, text};
use crate::http_client::Client;
use crate::measure::Failure;
use crate::processes::{Binary, Process};

/// A gateway that goes on until this is dropped.
pub(crate) struct Hospital {
    pub(super) process: Process,
    pub(super) address: SocketAddr,
    pub(super) token: String,
    name: &'static str,
    folder: PathBuf,
}

/// What a gateway says about the patients that it holds open.
#[derive(Debug, Clone, Copy)]
pub(super) struct Held {
    pub(super) patients: u64,
    /// Bytes of JSON and of search values.
    pub(super) bytes: u64,
}

impl Hospital {
    /// Joins the exchange and starts. `sets` are settings, `key=value`.
    pub(crate) async fn join(
        exchange: &Exchange,
        binary: &Binary,
        name: &'static str,
        sets: &[&str],
    ) -> Result<Self, Failure> {
        let folder = exchange.join_gateway(binary, name).await?;
        Self::start(exchange, binary, name, folder, sets, None).await
    }

    /// Ends its process, and starts another over the same folder, on the server's core where `cores` are given.
    pub(super) async fn restart(
        self,
        exchange: &Exchange,
        binary: &Binary,
        sets: &[&str],
        cores: Option<&Cores>,
    ) -> Result<Self, Failure> {
        let Self { process, name, folder, .. } = self;
        // It gives its folder up by ending.
        drop(process);
        Self::start(exchange, binary, name, folder, sets, cores).await
    }

    async fn start(
        exchange: &Exchange,
        binary: &Binary,
        name: &'static str,
        folder: PathBuf,
        sets: &[&str],
        cores: Option<&Cores>,
    ) -> Result<Self, Failure> {
        let folder_text = text(&folder)?;
        let (broker, ca) = (format!("broker.url={}", exchange.broker_url), format!("ca.url={}", exchange.ca_url));
        let mut arguments = vec!["gateway", "--json", "--dir", &folder_text, "--listen", ANY_PORT];
        for set in [broker.as_str(), ca.as_str()].iter().chain(sets) {
            arguments.extend(["--set", set]);
        }
        let log = exchange.place.join(format!("{name}.log"));
        let mut process = match cores {
            Some(cores) => cores.on_server(|| binary.start(&arguments, &log))??,
            None => binary.start(&arguments, &log)?,
        };
        let address = process.address().await?;
        let expires = SystemClock.now().plus(TOKEN_LIFETIME).as_secs();
        let user = User { name: "bench".to_owned(), role: "physician".to_owned(), expires };
        let token = sealwort_gateway::issue_token(&folder, &user)?;
        Ok(Self { process, address, token, name, folder })
    }

    /// A connection of its own.
    pub(crate) async fn connect(&self) -> Result<Client, Failure> {
        Client::connect(self.address, &self.token).await
    }

    /// What it holds open, by its own count.
    pub(super) async fn held(&self) -> Result<Held, Failure> {
        let status: Value = serde_json::from_slice(&self.connect().await?.get("/status").await?)?;
        let count = |name: &str| {
            let count = status.get(name).and_then(Value::as_u64);
            count.ok_or_else(|| Failure::from(format!("/status of {} tells no {name}", self.name)))
        };
        Ok(Held { patients: count("open_patients")?, bytes: count("open_bytes")? })
    }
}

const TOKEN_LIFETIME: Duration = Duration::from_hours(24);
