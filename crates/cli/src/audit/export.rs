//! `sealwort audit export`: entries, one a line, and the proof beside them.

use std::path::PathBuf;

use clap::Args;
use sealwort_audit::{
    Batch, Checkpoint, Coverage, EventKind, Export, Note, Question, Tree, export_line, verify_export,
};
use sealwort_net::secret_file;
use sealwort_proto::Pseudonym;
use sealwort_store::AuditQuery;
use serde_json::json;

use super::folder::{Log, LogArgs, PAGE, tampered};
use super::moment::SpanArgs;
use super::vouching;
use crate::error::CliError;
use crate::output::Output;

#[derive(Debug, Args)]
pub(super) struct ExportArgs {
    #[command(flatten)]
    log: LogArgs,
    #[command(flatten)]
    span: SpanArgs,
    /// Only a patient's entries, by pseudonym. Each is proved; that none was left out is not.
    #[arg(long, value_name = "HEX")]
    patient: Option<Pseudonym>,
    /// New file for the entries.
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
    /// New file for the proof.
    #[arg(long, value_name = "FILE")]
    proof: PathBuf,
}

pub(super) async fn run(args: &ExportArgs, output: Output) -> Result<(), CliError> {
    for file in [&args.output, &args.proof] {
        if file.exists() {
            return Err(CliError::Local(format!("{} is there already; choose another file", file.display())));
        }
    }
    let log = args.log.open().await?;
    let note = log.enter(EventKind::LogExported, args.patient, &terms(args)).await?;
    let (lines, export) = collect(&log, args, note).await?;
    let proof = serde_json::to_vec(&export.to_proof()).map_err(|error| CliError::Local(error.to_string()))?;
    // What does not verify is not handed out.
    let passed = verify_export(lines.as_bytes(), &proof, &log.membership.trust, &[], 0)?;
    log.store.close().await;
    secret_file::create(&args.output, lines.as_bytes())?;
    secret_file::create(&args.proof, &proof)?;
    if args.patient.is_some() {
        output.message(LEFT_OUT);
    }
    let object = json!({"export": args.output, "proof": args.proof, "verified": passed});
    output.data(&object, || format!("{} entries of {}\n{}", passed.entries, passed.origin, vouching(&passed)))
}

/// What was asked for, for the log.
fn terms(args: &ExportArgs) -> String {
    let bound = |name: &str, at: Option<u64>| at.map(|at| format!("{name} {at}"));
    let terms = [bound("since", args.span.since()), bound("before", args.span.before())];
    let terms: Vec<_> = terms.into_iter().flatten().collect();
    if terms.is_empty() { "everything".to_owned() } else { terms.join(", ") }
}

async fn collect(log: &Log, args: &ExportArgs, note: Note) -> Result<(String, Export), CliError> {
    let checkpoint: Checkpoint = note.text().parse().map_err(|error| CliError::Local(format!("{error}")))?;
    let size = checkpoint.size;
    let query = AuditQuery {
        below: Some(size),
        since: args.span.since(),
        before: args.span.before(),
        patient: args.patient.map(|patient| log.at_rest.patient(patient)),
        ..AuditQuery::default()
    };
    let (lines, coverage) = match args.patient {
        Some(_) => selected(log, query, size).await?,
        None => range(log, query, size).await?,
    };
    let earlier = log.whole().cosigned().await?.into_iter().rfind(|one| one.checkpoint.size <= size);
    let witnessed = match earlier {
        None => None,
        Some(one) => {
            let consistency = log.answer(Question::Consistency { size, old: one.checkpoint.size }).await?;
            Some((one.note, consistency))
        }
    };
    Ok((lines, Export { note, witnessed, coverage, chains: log.whole().chains().await? }))
}

/// Single entries, with one proof for all.
async fn selected(log: &Log, mut query: AuditQuery, size: u64) -> Result<(String, Coverage), CliError> {
    let (mut lines, mut numbers) = (String::new(), Vec::new());
    loop {
        let rows = log.rows(query.clone(), PAGE).await?;
        let Some(last) = rows.last() else { break };
        query.from = last.number + 1;
        for row in &rows {
            lines.push_str(&export_line(row.number, &log.event(row)?));
            numbers.push(row.number);
        }
    }
    let wrong = |error: sealwort_audit::TreeError| tampered(None, error.to_string());
    let batch = Batch::new(size, numbers).map_err(wrong)?;
    let proof = batch.prove(&log.hashes(batch.needs()).await?).map_err(wrong)?;
    Ok((lines, Coverage::Selected { numbers: batch.numbers().to_vec(), proof }))
}

/// All entries from the first to the last that lie in the span: clocks may have gone back, numbers never do.
async fn range(log: &Log, query: AuditQuery, size: u64) -> Result<(String, Coverage), CliError> {
    let bounded = query.since.is_some() || query.before.is_some();
    let (from, below) = if bounded { bounds(log, query).await? } else { (0, size) };
    let (mut lines, mut next) = (String::new(), from);
    while next < below {
        let rows = log.rows(AuditQuery { from: next, below: Some(below), ..AuditQuery::default() }, PAGE).await?;
        let Some(last) = rows.last() else {
            return Err(tampered(Some(next), format!("entry {next} is missing")));
        };
        next = last.number + 1;
        for row in &rows {
            lines.push_str(&export_line(row.number, &log.event(row)?));
        }
    }
    let hashes = log.hashes(Question::Root { size: from }.needs()).await?;
    let tree = Tree::open(from, &hashes).map_err(|error| tampered(None, error.to_string()))?;
    let consistency = log.answer(Question::Consistency { size, old: below }).await?;
    Ok((lines, Coverage::Range { from, below, edge: tree.edge(), consistency }))
}

/// The first entry that meets the conditions, and the one after the last.
async fn bounds(log: &Log, mut query: AuditQuery) -> Result<(u64, u64), CliError> {
    let (mut first, mut below) = (None, 0);
    loop {
        let rows = log.rows(query.clone(), PAGE).await?;
        let (Some(begin), Some(end)) = (rows.first(), rows.last()) else { break };
        first = first.or(Some(begin.number));
        below = end.number + 1;
        query.from = below;
    }
    Ok((first.unwrap_or(0), below))
}

pub(super) const LEFT_OUT: &str =
    "these are single entries: each is proved to be in the log, that none was left out is not";
