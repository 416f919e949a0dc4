//! `sealwort audit search`: entries that meet conditions.

use clap::{Args, ValueEnum};
use sealwort_audit::{EventKind, export_line};
use sealwort_proto::Pseudonym;
use sealwort_store::AuditQuery;
use serde_json::{Map, Value};

use super::folder::LogArgs;
use super::moment::SpanArgs;
use crate::error::CliError;
use crate::output::{Output, table};

#[derive(Debug, Args)]
pub(super) struct SearchArgs {
    #[command(flatten)]
    log: LogArgs,
    #[command(flatten)]
    span: SpanArgs,
    /// About this patient, by pseudonym.
    #[arg(long, value_name = "HEX")]
    patient: Option<Pseudonym>,
    /// Of this user, written as the hospital names them.
    #[arg(long, value_name = "USER")]
    user: Option<String>,
    /// What happened, such as request-decided; the words stand in docs/audit.md.
    #[arg(long, value_name = "WORD")]
    kind: Option<EventKind>,
    /// How it ended.
    #[arg(long, value_enum)]
    outcome: Option<Ended>,
    /// Only entries after this number.
    #[arg(long, value_name = "NUMBER")]
    after: Option<u64>,
    /// Most entries.
    #[arg(long, value_name = "N", default_value_t = 1000, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    most: u64,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Ended {
    Done,
    Refused,
    Failed,
}

pub(super) async fn run(args: &SearchArgs, output: Output) -> Result<(), CliError> {
    let log = args.log.open().await?;
    log.enter(EventKind::LogSearched, args.patient, &terms(args)).await?;
    let query = AuditQuery {
        from: args.after.map_or(0, |after| after.saturating_add(1)),
        since: args.span.since(),
        before: args.span.before(),
        kind: args.kind.map(EventKind::number),
        outcome: args.outcome.map(|outcome| outcome as u8),
        patient: args.patient.map(|patient| log.at_rest.patient(patient)),
        user: args.user.as_ref().map(|user| log.at_rest.user(user)),
        ..AuditQuery::default()
    };
    let most = usize::try_from(args.most).unwrap_or(usize::MAX);
    let mut rows = log.rows(query, most.saturating_add(1)).await?;
    let more = rows.len() > most;
    rows.truncate(most);
    let mut found = Vec::with_capacity(rows.len());
    for row in &rows {
        let line = export_line(row.number, &log.event(row)?);
        let mut shown: Map<String, Value> =
            serde_json::from_str(&line).map_err(|error| CliError::Local(error.to_string()))?;
        shown.remove("entry");
        found.push(shown);
    }
    log.store.close().await;
    output.data(&found, || table(&HEAD, &found.iter().map(cells).collect::<Vec<_>>()))?;
    if let (true, Some(last)) = (more, rows.last()) {
        output.notice(format!("there are more; go on with --after {}", last.number));
    }
    output.message("what is shown was not verified; for that, sealwort audit verify");
    Ok(())
}

/// What was asked for, for the log.
fn terms(args: &SearchArgs) -> String {
    let terms = [
        args.user.as_ref().map(|user| format!("user {user}")),
        args.kind.map(|kind| format!("kind {kind}")),
        args.outcome.map(|outcome| format!("outcome {outcome:?}").to_lowercase()),
        args.span.since().map(|at| format!("since {at}")),
        args.span.before().map(|at| format!("before {at}")),
        args.after.map(|after| format!("after {after}")),
    ];
    let terms: Vec<_> = terms.into_iter().flatten().collect();
    if terms.is_empty() { "everything".to_owned() } else { terms.join(", ") }
}

fn cells(shown: &Map<String, Value>) -> Vec<String> {
    let text = |name: &str| match shown.get(name) {
        Some(Value::String(text)) => text.clone(),
        Some(value) => value.to_string(),
        None => "-".to_owned(),
    };
    let outcome = match text("code").as_str() {
        "-" => text("outcome"),
        code => format!("{}: {code}", text("outcome")),
    };
    let details = shown.get("details").and_then(Value::as_object).map(|details| {
        let one = |(name, value): (&String, &Value)| format!("{name} {}", value.as_str().unwrap_or_default());
        details.iter().map(one).collect::<Vec<_>>().join(", ")
    });
    vec![
        text("number"),
        text("time"),
        text("kind"),
        outcome,
        text("user"),
        text("purpose"),
        text("patient"),
        text("peer"),
        details.unwrap_or_default(),
    ]
}

const HEAD: [&str; 9] = ["NUMBER", "TIME", "WHAT", "OUTCOME", "USER", "PURPOSE", "PATIENT", "PEER", "MORE"];
