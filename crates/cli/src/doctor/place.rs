//! The party's place in the exchange as its folder holds it: membership, certificates, revocation list.

use std::path::Path;
use std::time::Duration;

use sealwort_net::secret_file::{self, SecretFileError};
use sealwort_net::{Clock, SystemClock};
use sealwort_pki::enrolment::{CrlResponse, Membership};
use sealwort_pki::{Role, Trust, UnixTime};

use super::Subject;
use super::folder::beginning;
use super::report::Report;

/// What the folder holds.
pub(super) struct Place {
    pub(super) membership: Membership,
    /// With the kept revocation list, if it is in force.
    pub(super) trust: Trust,
}

pub(super) fn check(subject: &Subject<'_>, report: &mut Report) -> Option<Place> {
    let membership = membership(subject, report)?;
    let now = SystemClock.now();
    certificates(subject, &membership, now, report);
    let mut trust = membership.trust.clone();
    // The authority keeps its list in its store and serves it; see the check over the network.
    if subject.role != Role::Ca {
        revocation_list(subject.folder, &mut trust, now, report);
    }
    Some(Place { membership, trust })
}

fn membership(subject: &Subject<'_>, report: &mut Report) -> Option<Membership> {
    let file = subject.folder.join(MEMBERSHIP_FILE);
    let json = match secret_file::read(&file) {
        Ok(json) => json,
        Err(SecretFileError::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
            let remedy = match subject.role {
                Role::Ca if subject.folder.is_dir() => {
                    format!("sealwort ca serve --dir {}", subject.folder.display())
                }
                _ => beginning(subject),
            };
            report.wrong("membership", "this folder is not a member of an exchange yet", remedy);
            return None;
        }
        Err(error) => {
            report.wrong("membership", error.to_string(), format!("chmod 600 {}", file.display()));
            return None;
        }
    };
    match Membership::from_json(&json) {
        Ok(membership) if membership.identity.role == subject.role => {
            report.good("membership", membership.identity.to_string());
            Some(membership)
        }
        Ok(membership) => {
            let found = membership.identity;
            report.wrong("membership", format!("it is that of {found}"), "name the right folder: --dir DIR");
            None
        }
        Err(error) => {
            report.wrong("membership", error.to_string(), "restore it from a backup");
            None
        }
    }
}

fn certificates(subject: &Subject<'_>, membership: &Membership, now: UnixTime, report: &mut Report) {
    let not_before = membership.hop.not_before.max(membership.statement.not_before);
    let not_after = membership.not_after();
    if now < not_before {
        return report.wrong(
            "certificates",
            format!("valid only from {not_before}, and this computer's clock says {now}"),
            "set the clock: timedatectl set-ntp true",
        );
    }
    if now > not_after {
        let identity = &membership.identity;
        let remedy = match subject.role {
            Role::Ca => {
                format!("start the service, which renews them: sealwort ca serve --dir {}", subject.folder.display())
            }
            role => format!(
                "join again with a new invitation, at the authority: sealwort ca invite {role} {} --out FILE",
                identity.name
            ),
        };
        return report.wrong("certificates", format!("they ended at {not_after}"), remedy);
    }
    let left = hours(not_after.since(now));
    if now > membership.renewal_time().plus(RENEWAL_GRACE) {
        report.warning(
            "certificates",
            format!("{left} left, and they should have been renewed at {}", membership.renewal_time()),
            "start the service and let it reach the certificate authority",
        );
    } else {
        report.good("certificates", format!("{left} left, until {not_after}"));
    }
}

fn revocation_list(folder: &Path, trust: &mut Trust, now: UnixTime, report: &mut Report) {
    let file = folder.join(CRL_FILE);
    let remedy = "start the service and let it reach the certificate authority";
    let kept = secret_file::read(&file).map_err(|error| error.to_string());
    let kept = kept.and_then(|json| CrlResponse::from_json(&json).map_err(|error| error.to_string()));
    let taken = kept.and_then(|kept| trust.set_crl(&kept.crl, &kept.issuing, now).map_err(|error| error.to_string()));
    match taken {
        Ok(list) => {
            let left = hours(list.next_update.since(now));
            report.good("revocation list", format!("number {}, of {}, {left} left", list.number, list.this_update));
        }
        Err(error) => report.wrong("revocation list", error, remedy),
    }
}

/// A length of time as people say it.
pub(super) fn hours(span: Duration) -> String {
    let minutes = span.as_secs() / 60;
    if minutes < 120 { format!("{minutes} minutes") } else { format!("{} hours", minutes / 60) }
}

const MEMBERSHIP_FILE: &str = "membership.json";
const CRL_FILE: &str = "crl.json";
/// A renewal that failed once is tried again within this.
const RENEWAL_GRACE: Duration = Duration::from_mins(10);
