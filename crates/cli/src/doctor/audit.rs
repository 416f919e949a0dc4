//! The audit logs: is the party's own what its newest checkpoint says, and has it seen another party's that was rewritten.

use std::fs;

use sealwort_journal::{Doubt, EVIDENCE_FOLDER};

use super::Subject;
use super::report::Report;
use crate::audit::stands;

pub(super) async fn check(subject: &Subject<'_>, report: &mut Report) {
    let log = subject.log.unwrap_or(subject.folder);
    // Before the first start there is none.
    if log.join(LOG_FILE).exists() {
        match stands(subject.folder, log).await {
            Ok(size) => report.good("audit log", format!("{size} entries, as its newest checkpoint says")),
            Err(error) => report.wrong(
                "audit log",
                error.to_string(),
                format!("sealwort audit verify --folder {} --log {}", subject.folder.display(), log.display()),
            ),
        }
    }
    let evidence = subject.folder.join(EVIDENCE_FOLDER);
    let files = fs::read_dir(&evidence).into_iter().flatten().flatten().map(|file| file.path());
    let doubts = files.filter_map(|file| Some((serde_json::from_slice::<Doubt>(&fs::read(&file).ok()?).ok()?, file)));
    for (Doubt { origin, reason, .. }, file) in doubts {
        report.wrong(
            "logs of others",
            format!("the log of {origin} was rewritten: {reason}"),
            format!("keep {} as evidence and ask that party; once it is settled, remove the file", file.display()),
        );
    }
}

const LOG_FILE: &str = "audit.sqlite";
