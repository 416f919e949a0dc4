//! `sealwort patient`: two identities of one patient, merged and parted again.

use clap::{Args, Subcommand};
use sealwort_fhir::parse_token;
use serde_json::{Value, json};

use crate::client::{ClientArgs, FHIR_JSON, Question, read};
use crate::error::CliError;
use crate::output::Output;

#[derive(Debug, Args)]
pub(crate) struct PatientArgs {
    #[command(subcommand)]
    command: PatientCommand,
}

#[derive(Debug, Subcommand)]
enum PatientCommand {
    /// Merge two identities: reads and searches for either show the records of both under the one that survives.
    Merge(MergeArgs),
    /// Undo a merge. What was written since stays with the one that survived.
    Unmerge(UnmergeArgs),
}

#[derive(Debug, Args)]
struct MergeArgs {
    /// The identity that is given up: an identifier system|value, or the id of the Patient resource.
    source: String,
    /// The identity that survives, named likewise.
    #[arg(long, value_name = "PATIENT")]
    into: String,
    /// Change nothing, and tell what would be.
    #[arg(long, short = 'n')]
    dry_run: bool,
    #[command(flatten)]
    client: ClientArgs,
}

#[derive(Debug, Args)]
struct UnmergeArgs {
    /// The identity that was given up: an identifier system|value, or the id of the Patient resource.
    source: String,
    /// Change nothing, and tell what would be.
    #[arg(long, short = 'n')]
    dry_run: bool,
    #[command(flatten)]
    client: ClientArgs,
}

pub(crate) async fn run(args: PatientArgs, output: Output) -> Result<(), CliError> {
    let (operation, named, preview, client) = match &args.command {
        PatientCommand::Merge(args) => {
            let named = vec![side("source-patient", &args.source)?, side("target-patient", &args.into)?];
            ("$merge", named, args.dry_run, &args.client)
        }
        PatientCommand::Unmerge(args) => {
            ("$unmerge", vec![side("source-patient", &args.source)?], args.dry_run, &args.client)
        }
    };
    let mut parameters = named;
    if preview {
        parameters.push(json!({ "name": "preview", "valueBoolean": true }));
    }
    let body = json!({ "resourceType": "Parameters", "parameter": parameters }).to_string();
    let path = format!("/fhir/Patient/{operation}");
    let answer = client.client()?.ask(Question::post(&path, FHIR_JSON, body.into())).await?;
    if output.is_json() {
        return output.raw(&answer.body);
    }
    let told: Value = read(&answer.body)?;
    let texts = told.pointer("/parameter/1/resource/issue/0/details/text").and_then(Value::as_str);
    output.raw(texts.unwrap_or("done").as_bytes())
}

/// A patient as the operation names it. An identifier is written as in searches, with a backslash before `\`, `|`, `,`
/// and `$`.
fn side(name: &str, patient: &str) -> Result<Value, CliError> {
    if patient.contains('|') {
        let wrong = |why: String| CliError::Local(format!("{patient} is no identifier: {why}"));
        let token = parse_token(patient).map_err(|error| wrong(error.to_string()))?;
        let identifier = token.identifier().ok_or_else(|| wrong("write system|value".to_owned()))?;
        let mut shown = json!({ "value": identifier.value });
        if let (Some(system), Some(fields)) = (identifier.system, shown.as_object_mut()) {
            fields.insert("system".to_owned(), system.into());
        }
        return Ok(json!({ "name": format!("{name}-identifier"), "valueIdentifier": shown }));
    }
    let id = patient.strip_prefix("Patient/").unwrap_or(patient);
    Ok(json!({ "name": name, "valueReference": { "reference": format!("Patient/{id}") } }))
}
