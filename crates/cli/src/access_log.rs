//! `sealwort access-log`: who had to do with a patient's record, by the logs of the patient's hospital, the broker and the
//! archive, and the same as a file that `sealwort audit verify` checks without any network.

use std::path::{Path, PathBuf};

use clap::Args;
use sealwort_net::secret_file;
use serde_json::{Value, json};

use crate::client::{ClientArgs, GatewayClient, Question, encode, read};
use crate::error::{CliError, Refused};
use crate::get::patient_id;
use crate::output::{Output, table};

#[derive(Debug, Args)]
pub(crate) struct AccessLogArgs {
    /// The patient: an identifier system|value, or the id of the Patient resource.
    patient: String,
    /// From this day or moment on.
    #[arg(long, value_name = "DATE")]
    from: Option<String>,
    /// Up to this day, which is the last one, or moment.
    #[arg(long, value_name = "DATE")]
    to: Option<String>,
    /// Most rows.
    #[arg(long, value_name = "NUMBER", default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..=1000))]
    most: u64,
    /// Write everything with its proofs into this new file, in place of showing it.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["from", "to"])]
    proof: Option<PathBuf>,
    #[command(flatten)]
    client: ClientArgs,
}

pub(crate) async fn run(args: AccessLogArgs, output: Output) -> Result<(), CliError> {
    let mut client = args.client.client()?;
    let id = patient_id(&mut client, &args.patient, None).await?;
    match &args.proof {
        Some(file) => download(&mut client, &id, file, output).await,
        None => show(&mut client, &id, &args, output).await,
    }
}

async fn download(client: &mut GatewayClient, id: &str, file: &Path, output: Output) -> Result<(), CliError> {
    if file.exists() {
        return Err(CliError::Local(format!("{} is there already; choose another file", file.display())));
    }
    let answer = client.ask(Question::get(&format!("/fhir/Patient/{}/$access-log-proof", encode(id)))).await?;
    secret_file::create(file, &answer.body)?;
    output.data(&json!({ "file": file }), || file.display().to_string())?;
    output.message(format!("check it anywhere: sealwort audit verify {} --root ROOT", file.display()));
    Ok(())
}

async fn show(client: &mut GatewayClient, id: &str, args: &AccessLogArgs, output: Output) -> Result<(), CliError> {
    let mut path = format!("/fhir/Patient/{}/$access-log?_count={}", encode(id), args.most);
    for (prefix, date) in [("ge", &args.from), ("le", &args.to)] {
        if let Some(date) = date {
            path = format!("{path}&date={prefix}{}", encode(date));
        }
    }
    let answer = client.ask(Question::get(&path)).await?;
    let bundle: Value = read(&answer.body)?;
    let resources = || list(&bundle, "entry").filter_map(|entry| entry.get("resource"));
    if output.is_json() {
        output.raw(&answer.body)?;
    } else {
        let rows: Vec<_> = resources().filter(|one| text(one, "/resourceType") == "AuditEvent").map(row).collect();
        let shown = rows.len() as u64;
        output.raw(table(&HEADINGS, &rows).trim_end().as_bytes())?;
        if let Some(rest) = bundle
            .get("total")
            .and_then(Value::as_u64)
            .and_then(|total| total.checked_sub(shown))
            .filter(|rest| *rest > 0)
        {
            output.message(format!("{rest} more; narrow it with --from and --to"));
        }
    }
    let issues = resources().flat_map(|one| list(one, "issue"));
    let mut doubted = Ok(());
    for issue in issues {
        let (code, said) = (text(issue, "/details/coding/0/code"), text(issue, "/details/text"));
        let refused = || Refused {
            code: code.clone(),
            message: said.clone(),
            remedy: Some(text(issue, "/diagnostics")).filter(|remedy| !remedy.is_empty()),
        };
        match code.as_str() {
            "log-tampered" => doubted = Err(CliError::Tampered(refused())),
            "log-unverifiable" if doubted.is_ok() => doubted = Err(CliError::Unverifiable(refused())),
            _ => output.message(said),
        }
    }
    doubted
}

const HEADINGS: [&str; 8] = ["TIME", "USER", "ROLE", "WHERE", "PURPOSE", "WHAT", "OUTCOME", "MISSING IN"];

fn row(event: &Value) -> Vec<String> {
    let agents = || list(event, "agent");
    let user = agents().find(|agent| agent.get("requestor") == Some(&Value::Bool(true))).unwrap_or(&Value::Null);
    let kind = list(event, "subtype").last().unwrap_or(&Value::Null);
    let hospital = agents().find_map(|agent| Some(text(agent, "/who/display").split_once("/gateway/")?.1.to_owned()));
    let missing = list(event, "extension").filter(|one| text(one, "/url") == "urn:sealwort:audit:missing");
    let outcome = match text(event, "/outcome").as_str() {
        "0" => "done".to_owned(),
        _ => text(event, "/outcomeDesc"),
    };
    vec![
        text(event, "/recorded"),
        text(user, "/name"),
        text(user, "/role/0/text"),
        hospital.unwrap_or_default(),
        text(event, "/purposeOfEvent/0/coding/0/code"),
        text(kind, "/code"),
        outcome,
        missing.map(|one| text(one, "/valueCode")).collect::<Vec<_>>().join(" "),
    ]
}

fn list<'v>(value: &'v Value, name: &str) -> impl Iterator<Item = &'v Value> {
    value.get(name).and_then(Value::as_array).into_iter().flatten()
}

/// The text at a place, by JSON pointer.
fn text(value: &Value, place: &str) -> String {
    value.pointer(place).and_then(Value::as_str).unwrap_or_default().to_owned()
}
