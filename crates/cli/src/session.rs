//! `sealwort session`: who is signed in at a gateway, who waits after too many failures, and the end of both. For users
//! in the role administrator.

use clap::{Args, Subcommand};
use http::Method;
use sealwort_pki::UnixTime;
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::client::{ClientArgs, Question, encode, read};
use crate::error::CliError;
use crate::output::{Output, table};

#[derive(Debug, Args)]
pub(crate) struct SessionArgs {
    #[command(subcommand)]
    command: SessionCommand,
}

#[derive(Debug, Subcommand)]
enum SessionCommand {
    /// List the sessions that go on.
    List {
        #[command(flatten)]
        client: ClientArgs,
    },
    /// End a session with all its tokens, or everything of a user.
    End(EndArgs),
    /// List who waits after too many failures.
    Locked {
        #[command(flatten)]
        client: ClientArgs,
    },
    /// Let an account, or an address, try again at once.
    Unlock {
        /// The account (an app or a device), or the address, from the list.
        name: String,
        #[command(flatten)]
        client: ClientArgs,
    },
}

#[derive(Debug, Args)]
struct EndArgs {
    /// The session's id, from the list.
    #[arg(required_unless_present = "user", conflicts_with = "user")]
    id: Option<String>,
    /// All sessions of this user, and what apps may do in their name.
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    #[command(flatten)]
    client: ClientArgs,
}

#[derive(Debug, Deserialize)]
struct Session {
    id: String,
    user: String,
    role: String,
    organisation: String,
    source: Option<String>,
    used: u64,
    ends: u64,
}

#[derive(Debug, Deserialize)]
struct Lockout {
    account: Option<String>,
    source: Option<String>,
    failures: u32,
    until: u64,
}

pub(crate) async fn run(args: SessionArgs, output: Output) -> Result<(), CliError> {
    match args.command {
        SessionCommand::List { client } => {
            let answer = client.client()?.ask(Question::get("/sessions")).await?;
            shown(
                &answer.body,
                output,
                &["id", "user", "role", "organisation", "from", "used", "ends"],
                |one: Session| {
                    let (used, ends) =
                        (UnixTime::from_secs(one.used).to_string(), UnixTime::from_secs(one.ends).to_string());
                    vec![one.id, one.user, one.role, one.organisation, one.source.unwrap_or_default(), used, ends]
                },
            )
        }
        SessionCommand::End(args) => {
            let path = match (&args.id, &args.user) {
                (Some(id), _) => format!("/sessions/{}", encode(id)),
                (None, user) => format!("/sessions?user={}", encode(user.as_deref().unwrap_or_default())),
            };
            args.client.client()?.ask(Question { method: Method::DELETE, ..Question::get(&path) }).await?;
            output.message("ended; nothing of it works any more");
            Ok(())
        }
        SessionCommand::Locked { client } => {
            let answer = client.client()?.ask(Question::get("/lockouts")).await?;
            shown(&answer.body, output, &["account", "from", "failures", "until"], |one: Lockout| {
                let until = UnixTime::from_secs(one.until).to_string();
                let everywhere = || "everywhere".to_owned();
                vec![
                    one.account.unwrap_or_default(),
                    one.source.unwrap_or_else(everywhere),
                    one.failures.to_string(),
                    until,
                ]
            })
        }
        SessionCommand::Unlock { name, client } => {
            let path = format!("/lockouts/{}", encode(&name));
            client.client()?.ask(Question { method: Method::DELETE, ..Question::get(&path) }).await?;
            output.message(format!("{name} may try again"));
            Ok(())
        }
    }
}

fn shown<T: DeserializeOwned>(
    body: &[u8],
    output: Output,
    heads: &[&str],
    row: impl Fn(T) -> Vec<String>,
) -> Result<(), CliError> {
    if output.is_json() {
        return output.raw(body);
    }
    let all: Vec<T> = read(body)?;
    let rows: Vec<_> = all.into_iter().map(row).collect();
    output.raw(table(heads, &rows).as_bytes())
}
