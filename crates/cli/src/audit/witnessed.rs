//! `sealwort audit witnessed`: the checkpoints of other parties' logs that this party remembers, cosigned for whoever
//! verifies those logs. It shows no entry of this log.

use std::collections::VecDeque;
use std::path::PathBuf;

use clap::Args;
use sealwort_audit::{Chains, Note, WitnessFile};
use sealwort_net::{Clock, SystemClock, secret_file};
use serde_json::json;

use super::folder::{LogArgs, PAGE, damage, tampered};
use crate::error::CliError;
use crate::output::Output;

#[derive(Debug, Args)]
pub(super) struct WitnessedArgs {
    #[command(flatten)]
    log: LogArgs,
    /// New file.
    #[arg(short, long, value_name = "FILE")]
    output: PathBuf,
}

pub(super) async fn run(args: &WitnessedArgs, output: Output) -> Result<(), CliError> {
    let log = args.log.open().await?;
    let (own, identity, now) = (&log.membership.statement, &log.membership.identity, SystemClock.now());
    if now > own.not_after {
        return Err(CliError::Local(format!(
            "the party's certificates ended at {}; start the service, which renews them",
            own.not_after
        )));
    }
    let origins = log.store.origins().await.map_err(damage)?;
    let mut notes = Vec::new();
    for origin in &origins {
        let (mut newest, mut from) = (VecDeque::new(), 0);
        loop {
            let page = log.store.remembered(origin, from, PAGE).await.map_err(damage)?;
            let Some(last) = page.last() else { break };
            from = last.size + 1;
            newest.extend(page);
            newest.drain(..newest.len().saturating_sub(NOTES_MAX));
        }
        for kept in newest {
            let wrong = |error| tampered(None, format!("a remembered checkpoint of {origin} was altered: {error}"));
            let mut note: Note = kept.note.parse().map_err(wrong)?;
            // What is remembered was judged good then; this key says so now, and its certificate is at hand.
            note.add(&note.cosign(identity, &own.key, now).map_err(wrong)?).map_err(wrong)?;
            notes.push(note.to_string());
        }
    }
    log.store.close().await;
    let chains: Chains = [own.chain.clone()].into_iter().collect();
    let count = notes.len();
    let file = WitnessFile::new(&identity.to_string(), notes, &chains);
    let json = serde_json::to_vec(&file).map_err(|error| CliError::Local(error.to_string()))?;
    secret_file::create(&args.output, &json)?;
    let object = json!({"witness": identity, "logs": origins, "checkpoints": count, "file": args.output});
    output.data(&object, || {
        let of = if origins.is_empty() { "nobody".to_owned() } else { origins.join(", ") };
        format!("{identity} remembers {count} checkpoints of {of}")
    })
}

/// Checkpoints of one log. Each vouches for all entries before it; older ones only tell more closely where it was altered.
const NOTES_MAX: usize = 10_000;
