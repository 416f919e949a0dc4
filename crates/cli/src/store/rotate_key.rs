//! `sealwort store rotate-key`: begins the change of a folder's key-encryption key; the service does it.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use sealwort_net::kek;
use sealwort_net::member::MemberError;
use sealwort_store::{DataFolder, StoreError};
use serde_json::json;

use super::{as_owner, membership};
use crate::error::CliError;
use crate::output::Output;

#[derive(Debug, Args)]
pub(super) struct RotateKeyArgs {
    /// Data folder of the broker or archive.
    #[arg(long, value_name = "DIR")]
    folder: PathBuf,
}

pub(super) async fn run(args: &RotateKeyArgs, output: Output) -> Result<(), CliError> {
    let role = membership(&args.folder)?.identity.role;
    let served = || match DataFolder::open(&args.folder, role.as_str()) {
        Ok(_) => Ok(false),
        Err(StoreError::InUse { .. }) => Ok(true),
        Err(error) => Err(CliError::from(error)),
    };
    let folder = args.folder.display();
    as_owner(&args.folder)?;
    match kek::begin_change(&args.folder) {
        Ok(()) => output.message(format!("{folder} has a new key-encryption key")),
        Err(MemberError::KeysChanging(_)) => {
            output.message(format!("the key-encryption key of {folder} is being changed already"));
        }
        Err(error) => return Err(error.into()),
    }
    loop {
        if kek::kept(&args.folder)?.is_some_and(|keys| !keys.are_changing()) {
            return output.data(&json!({"folder": args.folder, "changed": true}), || {
                format!("everything that {folder} keeps is wrapped under it, and the old one is gone; make a backup now: older ones need the old key, which is in them")
            });
        }
        if !served()? {
            return output.data(&json!({"folder": args.folder, "changed": false}), || {
                format!("the service does not run; it wraps everything anew when it starts, and both keys stay in {folder} until then")
            });
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
}

/// How often it is looked whether the service is done.
const LOOK_EVERY: Duration = Duration::from_millis(500);
