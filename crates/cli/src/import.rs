//! `sealwort import`: store a patient's record from a file, all of it or nothing.

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use crate::client::{ClientArgs, FHIR_JSON, Question};
use crate::error::CliError;
use crate::output::Output;
use crate::sphr::{Manifest, collected};

#[derive(Debug, Args)]
pub(crate) struct ImportArgs {
    /// A .sphr or .phr file (HL7 Personal Health Record Format), or a FHIR Bundle.
    file: PathBuf,
    #[command(flatten)]
    client: ClientArgs,
}

/// What was stored.
#[derive(Debug, Serialize)]
struct Stored {
    file: PathBuf,
    resources: usize,
    /// Whether it waits in the gateway's outbox.
    queued: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    manifest: Option<Manifest>,
}

pub(crate) async fn run(args: ImportArgs, output: Output) -> Result<(), CliError> {
    let file = args.file.display().to_string();
    let (body, resources, manifest) = collected(&args.file).map_err(|error| error.during(&file))?;
    if manifest.is_none() {
        output.message("the file has no manifest of ours, so nothing tells whether it is complete");
    }
    let mut client = args.client.client()?;
    let progress = output.progress("importing".to_owned(), Some(body.len() as u64));
    let answer = client.ask(Question { progress, ..Question::post("/fhir", FHIR_JSON, body) }).await;
    let answer = answer.map_err(|error| error.during(&file))?;
    let queued = answer.status == http::StatusCode::ACCEPTED;
    let stored = Stored { file: args.file, resources, queued, manifest };
    output.data(&stored, || {
        let waits = if queued { "; it waits in the outbox until the exchange is back" } else { "" };
        format!("{file}: {resources} resources{waits}")
    })
}
