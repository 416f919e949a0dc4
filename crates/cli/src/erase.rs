//! `sealwort erase`: destroy a patient's record everywhere, and show what broker and archive certified.

mod verify;

use clap::{Args, Subcommand};
use serde::{Deserialize, Serialize};

use crate::client::{ClientArgs, JSON, Question, read};
use crate::error::CliError;
use crate::output::{Output, table};

#[derive(Debug, Args)]
pub(crate) struct EraseArgs {
    #[command(subcommand)]
    command: EraseCommand,
}

#[derive(Debug, Subcommand)]
enum EraseCommand {
    /// Erase a patient; without --confirm, tell what would go and what to type.
    Patient(PatientArgs),
    /// The signed orders and certificates of those who were erased.
    Certificates {
        #[command(flatten)]
        client: ClientArgs,
    },
    /// Verify such certificates offline. Exit code 5: altered; 6: it cannot be told.
    Verify(verify::VerifyArgs),
}

#[derive(Debug, Args)]
struct PatientArgs {
    /// The patient: an identifier system|value, or the id of the Patient resource.
    patient: String,
    /// What the command without it told to type.
    #[arg(long, value_name = "WORDS")]
    confirm: Option<String>,
    /// Why, as a code of lower-case letters, digits and hyphens [default: patient-request]
    #[arg(long, value_name = "CODE")]
    reason: Option<String>,
    #[command(flatten)]
    client: ClientArgs,
}

#[derive(Debug, Serialize)]
struct Request<'a> {
    patient: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    confirm: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
}

/// The parts that are shown of an erasure.
#[derive(Debug, Deserialize)]
struct Shown {
    patient: String,
    certified: bool,
    confirm: Option<String>,
    people: Option<usize>,
}

pub(crate) async fn run(args: EraseArgs, output: Output) -> Result<(), CliError> {
    match args.command {
        EraseCommand::Verify(args) => verify::run(&args, output),
        EraseCommand::Patient(args) => erase(&args, output).await,
        EraseCommand::Certificates { client } => {
            let answer = client.client()?.ask(Question::get("/erasure")).await?;
            if output.is_json() {
                return output.raw(&answer.body);
            }
            let rows: Vec<_> = read::<Vec<Shown>>(&answer.body)?
                .into_iter()
                .map(|shown| vec![shown.patient, if shown.certified { "yes" } else { "waits" }.to_owned()])
                .collect();
            output.raw(table(&["PATIENT", "CERTIFIED"], &rows).trim_end().as_bytes())?;
            output.message("--json prints the signed orders and certificates");
            Ok(())
        }
    }
}

async fn erase(args: &PatientArgs, output: Output) -> Result<(), CliError> {
    let request = Request { patient: &args.patient, confirm: args.confirm.as_deref(), reason: args.reason.as_deref() };
    let body = serde_json::to_vec(&request).map_err(|error| CliError::Local(error.to_string()))?;
    let answer = args.client.client()?.ask(Question::post("/erasure", JSON, body.into())).await?;
    if output.is_json() {
        return output.raw(&answer.body);
    }
    let shown: Shown = read(&answer.body)?;
    let text = match (shown.confirm, shown.certified) {
        (Some(words), _) => format!(
            "nothing has happened yet. The whole record of {} would be destroyed at broker, archive and here, with {} \
             Patient resources known here; it cannot be undone. To go on: --confirm \"{words}\"",
            args.patient,
            shown.people.unwrap_or_default()
        ),
        (None, true) => format!("erased and certified by broker and archive: {}", shown.patient),
        (None, false) => {
            format!("ordered: {}; it waits in the gateway's outbox until both have done it", shown.patient)
        }
    };
    output.raw(text.as_bytes())
}
