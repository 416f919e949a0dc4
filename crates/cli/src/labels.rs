//! `sealwort labels`: why a resource has its label, and labelling anew by the rules as they are now. The gateway knows
//! the rules.

use std::path::Path;

use clap::{Args, Subcommand};
use serde::Deserialize;
use serde_json::json;

use crate::client::{ClientArgs, JSON, Question, encode, read};
use crate::error::CliError;
use crate::output::{Output, table};

#[derive(Debug, Args)]
pub(crate) struct LabelsArgs {
    #[command(subcommand)]
    command: LabelsCommand,
}

#[derive(Debug, Subcommand)]
enum LabelsCommand {
    /// Tell which label a resource has or would get, and which rule says so.
    Explain {
        /// A file with a resource in JSON, or a stored resource, such as Condition/7.
        resource: String,
        #[command(flatten)]
        client: ClientArgs,
    },
    /// Store a patient's resources anew where the rules of now give them another label.
    Apply {
        /// The patient: an identifier system|value, or the id of the Patient resource.
        patient: String,
        /// Tell what would be done, and do nothing.
        #[arg(long)]
        dry_run: bool,
        /// Give exactly the label that the resource and the rules say, be it more open than the one it has. What a Bundle
        /// said when the resource came in is not remembered.
        #[arg(long)]
        exact: bool,
        #[command(flatten)]
        client: ClientArgs,
    },
}

pub(crate) async fn run(args: LabelsArgs, output: Output) -> Result<(), CliError> {
    match args.command {
        LabelsCommand::Explain { resource, client } => explain(&resource, &client, output).await,
        LabelsCommand::Apply { patient, dry_run, exact, client } => {
            let body = json!({
                "patient": patient,
                "mode": if dry_run { "dry-run" } else { "apply" },
                "labels": if exact { "exact" } else { "stricter" },
            });
            let answer = client.client()?.ask(Question::post("/labels/apply", JSON, body.to_string().into())).await?;
            if output.is_json() {
                return output.raw(&answer.body);
            }
            let moved: Vec<Relabelled> = read(&answer.body)?;
            output.message(match (moved.len(), dry_run) {
                (0, _) => "every resource has the label that the rules give it".to_owned(),
                (count, true) => format!("{count} resources would get another label"),
                (count, false) => format!("{count} resources have another label now"),
            });
            if moved.is_empty() {
                return Ok(());
            }
            let rows: Vec<_> =
                moved.into_iter().map(|it| vec![it.resource, it.from, it.to, it.rules.join(", ")]).collect();
            output.raw(table(&["RESOURCE", "FROM", "TO", "RULES"], &rows).trim_end().as_bytes())
        }
    }
}

async fn explain(resource: &str, client: &ClientArgs, output: Output) -> Result<(), CliError> {
    let mut gateway = client.client()?;
    let answer = if Path::new(resource).is_file() {
        let content =
            std::fs::read(resource).map_err(|error| CliError::Local(format!("{resource} cannot be read: {error}")))?;
        gateway.ask(Question::post("/labels/explain", JSON, content.into())).await?
    } else {
        gateway.ask(Question::get(&format!("/labels/explain?resource={}", encode(resource)))).await?
    };
    if output.is_json() {
        return output.raw(&answer.body);
    }
    let told: Explained = read(&answer.body)?;
    let stored = told.stored.map(|stored| format!(", stored as {stored}")).unwrap_or_default();
    output.message(format!("{}: {}{stored}; by itself {}", told.resource, told.label, told.sender));
    if told.rules.is_empty() {
        return output.raw(b"no rule is about it");
    }
    let row =
        |it: Matched| vec![it.rule, it.sensitivity, it.expression, format!("{}|{}", it.system, it.code), it.source];
    let rows: Vec<_> = told.rules.into_iter().map(row).collect();
    output.raw(table(&["RULE", "SENSITIVITY", "ELEMENT", "CODE", "SOURCE"], &rows).trim_end().as_bytes())
}

/// The parts that are shown of an explanation.
#[derive(Deserialize)]
struct Explained {
    resource: String,
    stored: Option<String>,
    sender: String,
    label: String,
    rules: Vec<Matched>,
}

#[derive(Deserialize)]
struct Matched {
    rule: String,
    sensitivity: String,
    expression: String,
    system: String,
    code: String,
    source: String,
}

#[derive(Deserialize)]
struct Relabelled {
    resource: String,
    from: String,
    to: String,
    rules: Vec<String>,
}
