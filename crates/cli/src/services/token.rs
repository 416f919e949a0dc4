//! `sealwort gateway token`: a bearer token for a user of the gateway's FHIR face, until the hospital's own
//! identity provider is connected. Whoever can read the gateway's folder can make one.

use std::path::{Path, PathBuf};

use clap::Args;
use sealwort_gateway::User;
use sealwort_net::config::Interval;
use sealwort_net::{Clock, SystemClock, secret_file};
use serde_json::json;

use crate::error::CliError;
use crate::output::Output;

#[derive(Debug, Args)]
pub(crate) struct TokenArgs {
    /// The gateway's data folder.
    #[arg(long, value_name = "DIR")]
    dir: PathBuf,
    /// The user's name, as the hospital knows it.
    #[arg(long, value_name = "NAME")]
    user: String,
    /// The user's role, such as physician.
    #[arg(long, value_name = "ROLE")]
    role: String,
    /// How long the token works.
    #[arg(long, value_name = "TIME", default_value = "8h")]
    ttl: Interval,
    /// Write the token into a new file that its owner alone can read, instead of printing it.
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

pub(crate) fn run(args: TokenArgs, output: Output) -> Result<(), CliError> {
    let expires = SystemClock.now().plus(args.ttl.0);
    let user = User { name: args.user, role: args.role, expires: expires.as_secs() };
    let token = sealwort_gateway::issue_token(&args.dir, &user)?;
    if let Some(file) = &args.out {
        secret_file::create(file, token.as_bytes())?;
        let result = json!({"token_file": file, "expires": expires.as_secs()});
        return output.data(&result, || written(file, &expires.to_string()));
    }
    output.data(&json!({"token": token, "expires": expires.as_secs()}), || token.clone())
}

fn written(file: &Path, expires: &str) -> String {
    format!("{} holds a token that works until {expires}", file.display())
}
