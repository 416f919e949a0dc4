//! `sealwort store rotate-key`: begins the change of a folder's key-encryption key; the service does it.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};
use sealwort_net::kek::{self, Place};
use sealwort_net::member::MemberError;
use sealwort_store::{DataFolder, StoreError};
use serde_json::json;

use super::{as_owner, membership, token};
use crate::error::CliError;
use crate::output::Output;

#[derive(Debug, Args)]
pub(super) struct RotateKeyArgs {
    /// Data folder of the broker or archive.
    #[arg(long, value_name = "DIR")]
    folder: PathBuf,
    /// Where the new key is to be. Without it, where the one in use is.
    #[arg(long, value_enum)]
    to: Option<Home>,
    /// Configuration of the broker or archive, whose [keys] says which token. Needed where the new key is to be in one.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// Where a key is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Home {
    /// In the file kek.key of the folder.
    File,
    /// In the PKCS#11 token of [keys].
    Token,
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
    let kept = if kek::is_in_token(&args.folder)? { Home::Token } else { Home::File };
    let place = match args.to.unwrap_or(kept) {
        Home::File => Place::File,
        Home::Token => {
            let token = token(role, args.config.as_deref())?;
            let missing =
                "the new key is to be in a token; name the configuration whose [keys] says which: --config FILE";
            Place::Token(token.ok_or_else(|| CliError::Local(missing.to_owned()))?)
        }
    };
    match kek::begin_change(&args.folder, &place) {
        Ok(()) => output.message(format!("{folder} has a new key-encryption key")),
        Err(MemberError::KeysChanging(_)) => {
            output.message(format!("the key-encryption key of {folder} is being changed already"));
        }
        Err(error) => return Err(error.into()),
    }
    loop {
        if !kek::is_changing(&args.folder)? {
            return output.data(&json!({"folder": args.folder, "changed": true}), || {
                let old = match kept {
                    Home::File => "the old one is gone; make a backup now: older ones need the old key, which is in them",
                    Home::Token => "the old one is in use no more; make a backup now: older ones need the old key, which stays in the token until you delete it there",
                };
                format!("everything that {folder} keeps is wrapped under it, and {old}")
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
