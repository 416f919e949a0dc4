//! `sealwort ca invite`: a file that lets one party join once.

use std::path::PathBuf;

use clap::Args;
use sealwort_ca::admin::InviteRequest;
use sealwort_net::config::Interval;
use sealwort_net::secret_file;
use sealwort_pki::{PartyName, Role};
use serde_json::json;

use super::operator::Operator;
use crate::error::CliError;
use crate::output::Output;
use crate::settings::SettingsArgs;

#[derive(Debug, Args)]
pub(super) struct InviteArgs {
    /// broker (htsc), archive (himc) or gateway (lhc).
    role: Role,
    /// The party's name: lower-case letters, digits and hyphens.
    name: PartyName,
    /// New file for the invitation. It holds a secret: hand it over safely.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// How long the invitation works.
    #[arg(long, value_name = "TIME", default_value = "24h")]
    ttl: Interval,
    #[command(flatten)]
    settings: SettingsArgs,
}

pub(super) async fn run(args: InviteArgs, output: Output) -> Result<(), CliError> {
    // Told before anything is recorded at the authority.
    if args.out.symlink_metadata().is_ok() {
        return Err(CliError::Local(format!("{} exists already; choose a new file", args.out.display())));
    }
    let request = InviteRequest { role: args.role, name: args.name, lifetime_seconds: args.ttl.0.as_secs() };
    let invitation = Operator::work(&args.settings, async |operator| operator.invite(request).await).await?;
    secret_file::create(&args.out, invitation.to_json().as_bytes())?;
    let root = invitation.root.to_string();
    let result = json!({
        "identity": invitation.identity, "url": invitation.url, "root": root,
        "expires": invitation.expires, "file": args.out,
    });
    output.data(&result, || {
        format!(
            "invited     {}\nuntil       {}\nfile        {}\nfingerprint {root}",
            invitation.identity,
            invitation.expires,
            args.out.display(),
        )
    })?;
    output.message(format!(
        "hand the file over; there: sealwort join --invite {} --dir DIR --fingerprint {root}",
        args.out.display()
    ));
    Ok(())
}
