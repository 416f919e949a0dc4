//! `sealwort emergency`: emergency access (break-glass) at a gateway: ask for it, approve, end, list, read the report
//! and review it.

use std::io::{BufRead as _, IsTerminal as _, Write as _};

use clap::{Args, Subcommand};
use sealwort_pki::UnixTime;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::client::{ClientArgs, FHIR_JSON, JSON, Question, encode, read};
use crate::error::CliError;
use crate::output::{Output, table};

#[derive(Debug, Args)]
pub(crate) struct EmergencyArgs {
    #[command(subcommand)]
    command: EmergencyCommand,
}

#[derive(Debug, Subcommand)]
enum EmergencyCommand {
    /// Ask for emergency access to a patient's record, for the user whose token it is.
    Open(OpenArgs),
    /// Agree to a colleague's emergency access as the second person.
    Approve(OneArgs),
    /// End an emergency access at once: one's own, or as a security officer anybody's.
    End(OneArgs),
    /// List emergency accesses: a security officer sees all.
    List {
        #[command(flatten)]
        client: ClientArgs,
    },
    /// The report of an emergency access that has ended, for security officers.
    Report(OneArgs),
    /// Note what a security officer found.
    Review {
        #[command(flatten)]
        one: OneArgs,
        /// What was found, such as: justified
        #[arg(long, value_name = "TEXT")]
        finding: String,
    },
}

#[derive(Debug, Args)]
struct OpenArgs {
    /// The patient: an identifier system|value, or the id of the Patient resource.
    patient: String,
    /// The reason's code, out of the hospital's list.
    #[arg(long, value_name = "CODE")]
    reason: String,
    /// The reason in words.
    #[arg(long, value_name = "TEXT")]
    text: String,
    /// The sentence that the hospital wants typed [default: asked for]
    #[arg(long, value_name = "SENTENCE")]
    confirm: Option<String>,
    /// BTG (break the glass) or ETREAT (emergency treatment)
    #[arg(long, value_name = "CODE", default_value = "BTG", value_parser = ["BTG", "ETREAT"])]
    purpose: String,
    #[command(flatten)]
    client: ClientArgs,
}

#[derive(Debug, Args)]
struct OneArgs {
    /// Its id, from the list.
    id: String,
    #[command(flatten)]
    client: ClientArgs,
}

pub(crate) async fn run(args: EmergencyArgs, output: Output) -> Result<(), CliError> {
    match args.command {
        EmergencyCommand::Open(args) => open(args, output).await,
        EmergencyCommand::Approve(args) => {
            operation(&args, "/fhir/$emergency-access-approve", "is approved", output).await
        }
        EmergencyCommand::End(args) => operation(&args, "/fhir/$emergency-access-end", "has ended", output).await,
        EmergencyCommand::List { client } => {
            let answer = client.client()?.ask(Question::get("/emergency")).await?;
            list(&answer.body, output)
        }
        EmergencyCommand::Report(args) => {
            let path = format!("/emergency/{}/report", encode(&args.id));
            let answer = args.client.client()?.ask(Question::get(&path)).await?;
            report(&answer.body, output)
        }
        EmergencyCommand::Review { one, finding } => {
            let path = format!("/emergency/{}/review", encode(&one.id));
            let body = json!({ "finding": finding }).to_string();
            let answer = one.client.client()?.ask(Question::post(&path, JSON, body.into())).await?;
            output.message(format!("{} is reviewed", one.id));
            if output.is_json() { output.raw(&answer.body) } else { Ok(()) }
        }
    }
}

async fn open(args: OpenArgs, output: Output) -> Result<(), CliError> {
    let confirmation = match args.confirm {
        Some(sentence) => sentence,
        None => typed()?,
    };
    let part = |name: &str, value: &str| json!({"name": name, "valueString": value});
    let body = parameters(&[
        part("patient", &args.patient),
        part("reason", &args.reason),
        part("text", &args.text),
        part("confirmation", &confirmation),
    ]);
    let question = Question::post("/fhir/$emergency-access", FHIR_JSON, body.into());
    let answer = args.client.client()?.ask(Question { purpose: Some(&args.purpose), ..question }).await?;
    if output.is_json() {
        return output.raw(&answer.body);
    }
    let answered: Value = read(&answer.body)?;
    let value = |name: &str, key: &str| {
        let parts = answered.get("parameter").and_then(Value::as_array);
        let part = parts.into_iter().flatten().find(|part| part.get("name").is_some_and(|n| n == name));
        part.and_then(|part| part.get(key)).and_then(Value::as_str).unwrap_or("-").to_owned()
    };
    output.message(format!("emergency access is {}", value("status", "valueCode")));
    let row = ["id", "status", "until"].map(str::to_owned);
    let values = vec![value("id", "valueId"), value("status", "valueCode"), value("until", "valueInstant")];
    output.raw(table(&row.each_ref().map(String::as_str), &[values]).as_bytes())
}

/// Asks for the sentence at a terminal: it is typed, not passed on.
fn typed() -> Result<String, CliError> {
    if !std::io::stdin().is_terminal() {
        let text = "the confirmation is missing: give it with --confirm, or run this at a terminal and type it";
        return Err(CliError::Local(text.to_owned()));
    }
    let failed = |error: std::io::Error| CliError::Local(format!("the confirmation cannot be read: {error}"));
    let mut prompt = std::io::stderr();
    write!(prompt, "type the hospital's sentence for emergency access: ")
        .and_then(|()| prompt.flush())
        .map_err(failed)?;
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line).map_err(failed)?;
    Ok(line.trim().to_owned())
}

async fn operation(args: &OneArgs, path: &str, done: &str, output: Output) -> Result<(), CliError> {
    let body = parameters(&[json!({"name": "id", "valueId": args.id})]);
    let answer = args.client.client()?.ask(Question::post(path, FHIR_JSON, body.into())).await?;
    output.message(format!("{} {done}", args.id));
    if output.is_json() { output.raw(&answer.body) } else { Ok(()) }
}

fn parameters(parts: &[Value]) -> String {
    json!({"resourceType": "Parameters", "parameter": parts}).to_string()
}

/// The parts that are shown of an emergency access.
#[derive(Deserialize)]
struct Shown {
    id: String,
    named: String,
    user: String,
    role: String,
    standing: String,
    requested: u64,
    reason: Reason,
    review: Option<Review>,
}

#[derive(Deserialize)]
struct Reason {
    code: String,
    text: String,
}

#[derive(Deserialize)]
struct Review {
    by: String,
    finding: String,
}

fn list(body: &[u8], output: Output) -> Result<(), CliError> {
    if output.is_json() {
        return output.raw(body);
    }
    let shown: Vec<Shown> = read(body)?;
    let rows: Vec<_> = shown
        .into_iter()
        .map(|one| {
            let review = one.review.map_or_else(|| "open".to_owned(), |review| review.by);
            let requested = UnixTime::from_secs(one.requested).to_string();
            vec![one.id, requested, one.user, one.role, one.named, one.reason.code, one.standing, review]
        })
        .collect();
    output.raw(table(&["ID", "REQUESTED", "USER", "ROLE", "PATIENT", "REASON", "STATUS", "REVIEW"], &rows).as_bytes())
}

/// A report as its reader wants it.
#[derive(Deserialize)]
struct Report {
    #[serde(rename = "report")]
    content: Content,
    review: Option<Review>,
    notices: Vec<Notice>,
}

#[derive(Deserialize)]
struct Content {
    hospital: String,
    user: String,
    role: String,
    purpose: String,
    named: String,
    reason: Reason,
    second_person: Value,
    begun: Option<u64>,
    seconds: u64,
    how: String,
    resources_opened: u64,
    opened: Opened,
}

#[derive(Deserialize)]
struct Opened {
    resources: std::collections::BTreeMap<String, Vec<String>>,
    withheld: u64,
}

#[derive(Deserialize)]
struct Notice {
    event: String,
    to: String,
    sent: Option<u64>,
}

fn report(body: &[u8], output: Output) -> Result<(), CliError> {
    if output.is_json() {
        return output.raw(body);
    }
    let Report { content: report, review, notices } = read(body)?;
    let time = |at: Option<u64>| at.map_or_else(|| "-".to_owned(), |at| UnixTime::from_secs(at).to_string());
    let mut rows = vec![
        ("hospital", report.hospital),
        ("user", format!("{} ({})", report.user, report.role)),
        ("patient", report.named),
        ("purpose", report.purpose),
        ("reason", format!("{}: {}", report.reason.code, report.reason.text)),
        ("second person", second_person(&report.second_person)),
        ("begun", time(report.begun)),
        ("lasted", format!("{} s, ended by: {}", report.seconds, report.how)),
        ("opened", format!("{} resources", report.resources_opened)),
    ];
    rows.extend(report.opened.resources.into_iter().map(|(kind, ids)| ("", format!("{kind}: {}", ids.join(", ")))));
    rows.push(("withheld", format!("{} entries", report.opened.withheld)));
    rows.extend(notices.into_iter().map(|n| ("notice", format!("{} to {}, taken: {}", n.event, n.to, time(n.sent)))));
    let review = review.map_or_else(|| "open".to_owned(), |review| format!("{}: {}", review.by, review.finding));
    rows.push(("review", review));
    let rows: Vec<_> = rows.into_iter().map(|(name, value)| vec![name.to_owned(), value]).collect();
    output.raw(table(&["REPORT", ""], &rows).as_bytes())
}

fn second_person(value: &Value) -> String {
    match value.get("approved").and_then(|approved| approved.get("user")) {
        Some(user) => user.as_str().unwrap_or_default().to_owned(),
        None => value.as_str().unwrap_or_default().to_owned(),
    }
}
