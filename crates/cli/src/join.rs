//! `sealwort join`: takes a party's place in an exchange. The keys are made here; what is pinned is in the
//! invitation, and whatever else the caller was told must agree with it.

use std::path::PathBuf;
use std::sync::Arc;

use clap::Args;
use sealwort_net::client::Endpoint;
use sealwort_net::{SystemClock, member, secret_file};
use sealwort_pki::enrolment::Invitation;
use sealwort_pki::{Fingerprint, Role};
use serde_json::json;

use crate::error::CliError;
use crate::output::Output;
use crate::settings::{text_of, write_template};

#[derive(Debug, Args)]
pub(crate) struct JoinArgs {
    /// The authority's address, to be compared with the invitation's.
    #[arg(value_name = "URL")]
    url: Option<String>,
    /// The invitation file.
    #[arg(long, value_name = "FILE")]
    invite: PathBuf,
    /// New data folder of this party.
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
    /// The fingerprint of the exchange's root as told by its operator, to be compared with the invitation's.
    #[arg(long, value_name = "HEX")]
    fingerprint: Option<String>,
}

pub(crate) async fn run(args: JoinArgs, output: Output) -> Result<(), CliError> {
    let invitation = Invitation::from_json(&secret_file::read(&args.invite)?)
        .map_err(|error| CliError::Local(format!("{} is not an invitation: {error}", args.invite.display())))?;
    compare(&args, &invitation)?;
    let url = invitation.url.clone();
    let identity = member::join(&args.dir, invitation, Arc::new(SystemClock)).await?;
    let role = identity.role;
    let values = [("", "folder", text_of(&args.dir)?), ("ca", "url", url)];
    let file = write_template(&args.dir, role, &values)?;
    output.data(&json!({"identity": identity, "folder": args.dir, "config": file}), || {
        format!("joined as     {identity}\nfolder        {}\nconfiguration {}", args.dir.display(), file.display())
    })?;
    let first = match role {
        Role::Gateway => format!("write the broker's address into {}, then ", file.display()),
        Role::Broker => format!("write the archive's address into {}, then ", file.display()),
        Role::Ca | Role::Archive => String::new(),
    };
    output.message(format!("the invitation is used up; next: {first}sealwort {role} --dir {}", args.dir.display()));
    Ok(())
}

/// What was told by another way must be what the invitation says.
fn compare(args: &JoinArgs, invitation: &Invitation) -> Result<(), CliError> {
    if let Some(url) = &args.url {
        let (told, found): (Endpoint, Endpoint) = (url.parse()?, invitation.url.parse()?);
        if told != found {
            return Err(CliError::Local(format!(
                "the invitation is for {found}, not for {told}; ask the exchange's operator which is right"
            )));
        }
    }
    if let Some(text) = &args.fingerprint {
        let digits: String =
            text.chars().filter(|letter| *letter != ':').map(|letter| letter.to_ascii_lowercase()).collect();
        let told: Fingerprint = digits.parse().map_err(|error| CliError::Local(format!("--fingerprint: {error}")))?;
        if told != invitation.root {
            return Err(CliError::Local(format!(
                "the invitation is for the root {}, not for {told}; do not use it, ask the exchange's operator",
                invitation.root
            )));
        }
    }
    Ok(())
}
