//! `sealwort passkey`: patients' passkeys: invite, list, remove.

use clap::{Args, Subcommand};
use http::Method;
use sealwort_pki::UnixTime;
use serde::Deserialize;
use serde_json::json;

use crate::client::{ClientArgs, JSON, Question, encode, read};
use crate::error::CliError;
use crate::output::{Output, table};

#[derive(Debug, Args)]
pub(crate) struct PasskeyArgs {
    #[command(subcommand)]
    command: PasskeyCommand,
}

#[derive(Debug, Subcommand)]
enum PasskeyCommand {
    /// Make a code with which a patient makes a passkey. It is shown once, and counts once.
    Invite {
        /// The patient: an identifier system|value, or the id of the Patient resource.
        patient: String,
        #[command(flatten)]
        client: ClientArgs,
    },
    /// List a patient's passkeys.
    List {
        /// The patient: an identifier system|value, or the id of the Patient resource.
        patient: String,
        #[command(flatten)]
        client: ClientArgs,
    },
    /// Remove a passkey, and end the sessions that it began.
    Remove {
        /// The passkey's id, from the list.
        id: String,
        #[command(flatten)]
        client: ClientArgs,
    },
}

#[derive(Debug, Deserialize)]
struct Invited {
    code: String,
    url: String,
    expires: u64,
}

#[derive(Debug, Deserialize)]
struct Passkey {
    id: String,
    added: u64,
    used: u64,
}

pub(crate) async fn run(args: PasskeyArgs, output: Output) -> Result<(), CliError> {
    match args.command {
        PasskeyCommand::Invite { patient, client } => {
            let body = json!({ "patient": patient }).to_string();
            let question = Question::post("/passkeys/invitations", JSON, body.into());
            let answer = client.client()?.ask(question).await?;
            if output.is_json() {
                return output.raw(&answer.body);
            }
            let invited: Invited = read(&answer.body)?;
            output
                .message("The code is shown once; who has it signs in as this patient. Give it to the patient alone.");
            let expires = UnixTime::from_secs(invited.expires).to_string();
            let rows = [["code", &invited.code], ["to be typed at", &invited.url], ["until", &expires]];
            let rows = rows.map(|row| row.map(ToString::to_string).to_vec());
            output.raw(table(&["what", "value"], &rows).as_bytes())
        }
        PasskeyCommand::List { patient, client } => {
            let path = format!("/passkeys?patient={}", encode(&patient));
            let answer = client.client()?.ask(Question::get(&path)).await?;
            if output.is_json() {
                return output.raw(&answer.body);
            }
            let all: Vec<Passkey> = read(&answer.body)?;
            let time = |at| UnixTime::from_secs(at).to_string();
            let rows: Vec<_> = all.into_iter().map(|one| vec![one.id, time(one.added), time(one.used)]).collect();
            output.raw(table(&["id", "made", "used"], &rows).as_bytes())
        }
        PasskeyCommand::Remove { id, client } => {
            let path = format!("/passkeys/{}", encode(&id));
            client.client()?.ask(Question { method: Method::DELETE, ..Question::get(&path) }).await?;
            output.message("removed; nobody signs in with it any more");
            Ok(())
        }
    }
}
