//! `sealwort refused`: messages and payloads that a gateway refused and keeps: look, replay, discard.

use clap::{Args, Subcommand};
use http::Method;
use sealwort_pki::UnixTime;
use serde::Deserialize;

use crate::client::{ClientArgs, JSON, Question, encode, read};
use crate::error::CliError;
use crate::output::{Output, table};

#[derive(Debug, Args)]
pub(crate) struct RefusedArgs {
    #[command(subcommand)]
    command: RefusedCommand,
}

#[derive(Debug, Subcommand)]
enum RefusedCommand {
    /// List what is kept, with the reason.
    List {
        #[command(flatten)]
        client: ClientArgs,
    },
    /// Try one again.
    Replay(OneArgs),
    /// Keep one no longer.
    Discard(OneArgs),
}

#[derive(Debug, Args)]
struct OneArgs {
    /// Its id, from the list.
    id: String,
    #[command(flatten)]
    client: ClientArgs,
}

#[derive(Debug, Deserialize)]
struct Shown {
    id: String,
    source: String,
    reason: String,
    bytes: usize,
    at: u64,
}

pub(crate) async fn run(args: RefusedArgs, output: Output) -> Result<(), CliError> {
    match args.command {
        RefusedCommand::List { client } => {
            let answer = client.client()?.ask(Question::get("/feeds/refused")).await?;
            list(&answer.body, output)
        }
        RefusedCommand::Replay(args) => {
            let path = format!("/feeds/refused/{}/replay", encode(&args.id));
            args.client.client()?.ask(Question::post(&path, JSON, "".into())).await?;
            output.message(format!("{} is stored", args.id));
            Ok(())
        }
        RefusedCommand::Discard(args) => {
            let path = format!("/feeds/refused/{}", encode(&args.id));
            args.client.client()?.ask(Question { method: Method::DELETE, ..Question::get(&path) }).await?;
            output.message(format!("{} is kept no longer", args.id));
            Ok(())
        }
    }
}

fn list(body: &[u8], output: Output) -> Result<(), CliError> {
    if output.is_json() {
        return output.raw(body);
    }
    let kept: Vec<Shown> = read(body)?;
    let rows: Vec<_> = kept
        .iter()
        .map(|one| {
            let at = UnixTime::from_secs(one.at).to_string();
            vec![one.id.clone(), at, one.source.clone(), one.bytes.to_string(), one.reason.clone()]
        })
        .collect();
    output.raw(table(&["id", "when", "from", "bytes", "why"], &rows).as_bytes())
}
