//! `sealwort store backup`: a copy of a data folder to start from, made while the service runs.

use std::path::PathBuf;

use clap::Args;
use sealwort_net::kek::KEY_FILES;
use sealwort_store::back_up;
use serde_json::json;

use super::membership;
use crate::error::CliError;
use crate::output::Output;

#[derive(Debug, Args)]
pub(super) struct BackupArgs {
    /// Data folder of the broker or archive.
    #[arg(long, value_name = "DIR")]
    folder: PathBuf,
    /// New folder.
    #[arg(long, value_name = "DIR")]
    to: PathBuf,
    /// Where the audit log lies, where that is not the data folder (audit.folder).
    #[arg(long, value_name = "DIR")]
    log: Option<PathBuf>,
}

pub(super) async fn run(args: &BackupArgs, output: Output) -> Result<(), CliError> {
    let role = membership(&args.folder)?.identity.role;
    let log = args.log.as_deref().unwrap_or(&args.folder);
    let done = back_up(&args.folder, role.as_str(), log, &KEY_FILES, &args.to).await?;
    let (to, with_data) = (args.to.display(), done.with_data);
    let object = json!({
        "folder": args.folder, "to": args.to, "files": done.files, "bytes": done.bytes, "with_data": with_data,
        "objects": done.objects,
    });
    output.data(&object, || {
        let rest = if with_data {
            format!("look at it with sealwort store verify --folder {to}; it holds the party's keys: keep it as safe as the folder")
        } else {
            "the data are in the database: back that up with PostgreSQL's own programs, after this (docs/storage.md); an archive with [objects]: copy that place last".to_owned()
        };
        let elsewhere = match done.objects {
            0 => String::new(),
            count => format!("\n{count} ciphertexts are objects, which are not in it: copy the place of [objects] now, after this"),
        };
        format!("{} files, {} bytes in {to}; {rest}{elsewhere}", done.files, done.bytes)
    })
}
