//! `sealwort ca revoke`: puts a party, or one certificate, on the revocation list at once.

use std::collections::BTreeSet;

use clap::Args;
use sealwort_ca::admin::{ListedJson, RevokeRequest, TargetJson};
use sealwort_pki::authority::RevocationReason;
use sealwort_pki::{Identity, Role};

use super::operator::Operator;
use crate::error::CliError;
use crate::output::Output;
use crate::settings::SettingsArgs;

#[derive(Debug, Args)]
pub(super) struct RevokeArgs {
    /// A party (name, role/name or identity URI), or a certificate's serial number.
    #[arg(value_name = "NAME|SERIAL")]
    target: String,
    /// unspecified, key-compromise, affiliation-changed, superseded, cessation-of-operation or
    /// privilege-withdrawn.
    #[arg(long, default_value = "unspecified")]
    reason: RevocationReason,
    #[command(flatten)]
    settings: SettingsArgs,
}

pub(super) async fn run(args: RevokeArgs, output: Output) -> Result<(), CliError> {
    let revoked = Operator::work(&args.settings, async |operator| {
        let target = target(&args.target, operator.identity(), &operator.list().await?)?;
        let revoked = operator.revoke(RevokeRequest { target, reason: args.reason.to_string() }).await?;
        if !revoked.entered {
            let late = || "the audit log could not be written in time".to_owned();
            let why = operator.without_log().map_or_else(late, ToString::to_string);
            output.notice(format!("{why}; the revocation is in force and was not entered"));
        }
        Ok(revoked)
    });
    let revoked = revoked.await?;
    output.data(&revoked, || {
        let serials: Vec<String> = revoked.serials.iter().map(ToString::to_string).collect();
        format!("revoked {}\nrevocation list number {}", serials.join("\n        "), revoked.crl_number)
    })
}

/// What a text on the command line names: an identity, then a party's name, then a serial number.
fn target(text: &str, authority: &Identity, listed: &[ListedJson]) -> Result<TargetJson, CliError> {
    if let Ok(identity) = text.parse() {
        return Ok(TargetJson::Party(identity));
    }
    if let Some((role, name)) = text.split_once('/')
        && let (Ok(role), Ok(name)) = (role.parse::<Role>(), name.parse())
    {
        return Ok(TargetJson::Party(Identity::new(authority.exchange.clone(), role, name)));
    }
    let named: BTreeSet<&Identity> =
        listed.iter().map(|listed| &listed.identity).filter(|identity| identity.name.as_str() == text).collect();
    let mut parties = named.iter();
    match (parties.next(), parties.next(), text.parse()) {
        (Some(identity), None, _) => Ok(TargetJson::Party((*identity).clone())),
        (None, _, Ok(serial)) => Ok(TargetJson::Certificate(serial)),
        (None, _, Err(_)) => Err(CliError::Local(format!(
            "`{text}` is neither a party with a certificate nor a serial number; see: sealwort ca list"
        ))),
        (Some(_), Some(_), _) => {
            let all: Vec<String> = named.iter().map(ToString::to_string).collect();
            Err(CliError::Local(format!("`{text}` may be {}; write the whole identity", all.join(" or "))))
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use sealwort_pki::UnixTime;

    use super::*;

    fn listed(identity: &str) -> ListedJson {
        ListedJson {
            serial: SERIAL.parse().unwrap(),
            identity: identity.parse().unwrap(),
            key_use: "hop".to_owned(),
            not_before: UnixTime::from_secs(0),
            not_after: UnixTime::from_secs(1),
            status: "in-force".to_owned(),
            revoked_at: None,
            reason: None,
        }
    }

    #[test]
    fn a_party_is_named_in_three_ways_and_a_certificate_in_one() {
        let authority = "sealwort://demo/ca/ca".parse().unwrap();
        let all = [
            listed("sealwort://demo/gateway/st-mary"),
            listed("sealwort://demo/gateway/st-mary"),
            listed("sealwort://demo/archive/main"),
            listed("sealwort://demo/broker/main"),
        ];
        let mary: Identity = "sealwort://demo/gateway/st-mary".parse().unwrap();
        for text in ["st-mary", "gateway/st-mary", "lhc/st-mary", "sealwort://demo/gateway/st-mary"] {
            assert_eq!(target(text, &authority, &all).unwrap(), TargetJson::Party(mary.clone()), "{text}");
        }
        assert_eq!(target(SERIAL, &authority, &all).unwrap(), TargetJson::Certificate(SERIAL.parse().unwrap()));
        assert!(target("main", &authority, &all).unwrap_err().to_string().contains("or"));
        assert!(target("nobody", &authority, &all).is_err());
    }

    const SERIAL: &str = "0123456789abcdef0123456789abcdef";
}
