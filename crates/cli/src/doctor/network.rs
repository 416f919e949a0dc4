//! Whom the party needs: real TLS connections to the authority and to its peer, with its own certificates, and
//! the clock against the authority's.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, Method, StatusCode, header};
use sealwort_net::client::{Body, Endpoint, Endpoints, HopClient, HopError};
use sealwort_net::tls::{Credentials, ExpectedPeer, SharedTrust, authority_client_config, client_config};
use sealwort_net::{Clock, SystemClock, crl};
use sealwort_pki::enrolment::{CRL_MESSAGE_BYTES_MAX, CRL_PATH};
use sealwort_pki::{PartyName, Role};
use time::PrimitiveDateTime;
use time::format_description::FormatItem;
use time::macros::format_description;

use super::Subject;
use super::place::{Place, hours};
use super::report::Report;
use crate::error::CliError;
use crate::settings::file_in;

pub(super) async fn check(subject: &Subject<'_>, place: &Place, report: &mut Report) {
    let trust = SharedTrust::new(place.trust.clone(), Arc::new(SystemClock));
    let hop = &place.membership.hop;
    let credentials = match Credentials::new(&hop.chain, Arc::clone(&hop.key)) {
        Ok(credentials) => credentials,
        Err(error) => {
            return report.wrong("membership", error.to_string(), "restore the folder from a backup, or join again");
        }
    };
    authority(subject, &credentials, &trust, report).await;
    let Some((role, name, url)) = subject.peer else { return };
    match peer(role, name, url, &credentials, &trust).await {
        Ok(found) => report.good(check_name(role), found),
        Err(error) => {
            let correct = format!("correct [{role}] in {}", file_in(subject.folder, subject.role).display());
            let remedy = remedy(&error, &format!("start the {role}, or {correct}"), &correct);
            report.wrong(check_name(role), error.to_string(), remedy);
        }
    }
}

async fn authority(subject: &Subject<'_>, credentials: &Credentials, trust: &SharedTrust, report: &mut Report) {
    let correct = match subject.role {
        Role::Ca => "give the address: --set listen.address=ADDRESS".to_owned(),
        role => format!("correct [ca] url in {}", file_in(subject.folder, role).display()),
    };
    let start = match subject.role {
        Role::Ca => format!("sealwort ca serve --dir {}", subject.folder.display()),
        _ => format!("start the certificate authority, or {correct}"),
    };
    let url = match &subject.ca {
        Ok(url) => url,
        Err(error) => return report.wrong("certificate authority", error.to_string(), correct),
    };
    match ask_authority(url, credentials, trust).await {
        Ok((headers, list)) => {
            report.good("certificate authority", url.as_str());
            clock(&headers, report);
            match crl::take(trust, &list) {
                Ok(list) => {
                    let (number, revoked) = (list.number, list.revoked);
                    let left = hours(list.next_update.since(SystemClock.now()));
                    report.good("fresh revocation list", format!("number {number}, {revoked} revoked, {left} left"));
                }
                Err(error) => report.wrong(
                    "fresh revocation list",
                    error.to_string(),
                    "tell the exchange's operator; check this computer's clock",
                ),
            }
        }
        Err(error) => {
            let remedy = remedy(&error, &start, &correct);
            report.wrong("certificate authority", error.to_string(), remedy);
        }
    }
}

/// What mends a connection that failed: `start` where nobody answers, `correct` where the configuration or the
/// peer is not the right one.
fn remedy(error: &CliError, start: &str, correct: &str) -> String {
    match error.code() {
        "connect-failed" | "timeout" | "name-not-found" | "http-failed" | "connection-closed" => start.to_owned(),
        "refused-by-peer" => {
            "ask the exchange's operator; if this party was revoked, join again with a new invitation: \
             sealwort join --invite FILE --dir NEW"
                .to_owned()
        }
        "revocation-unknown" => "reach the certificate authority first; see above".to_owned(),
        "certificate-revoked" | "certificate-expired" | "certificate-not-yet-valid" => {
            "the other party's certificate is at fault: ask the exchange's operator".to_owned()
        }
        _ => correct.to_owned(),
    }
}

async fn ask_authority(
    url: &str,
    credentials: &Credentials,
    trust: &SharedTrust,
) -> Result<(HeaderMap, bytes::Bytes), CliError> {
    let endpoint: Endpoint = url.parse()?;
    let client = HopClient::new(authority_client_config(Some(credentials), trust)?);
    let connection = client.connect(&endpoint).await?;
    let response = connection.request(Method::GET, CRL_PATH, Body::empty(), PATIENCE).await?;
    if response.status != StatusCode::OK {
        let reason = format!("it answered {} to {CRL_PATH}", response.status);
        return Err(HopError::Http { endpoint, reason }.into());
    }
    let headers = response.headers.clone();
    Ok((headers, response.read(CRL_MESSAGE_BYTES_MAX).await?))
}

async fn peer(
    role: Role,
    name: &str,
    url: &str,
    credentials: &Credentials,
    trust: &SharedTrust,
) -> Result<String, CliError> {
    let name: PartyName = name.parse().map_err(|error| CliError::Local(format!("{role}.name: {error}")))?;
    let endpoints: Endpoints = url.parse()?;
    let client = HopClient::new(client_config(Some(credentials), trust, ExpectedPeer::named(role, name))?);
    let mut found = String::new();
    // Each of several nodes: one that is away would be noticed only when the others are, too.
    for endpoint in endpoints.iter() {
        found = client.connect(endpoint).await?.require_peer()?.identity().to_string();
    }
    Ok(format!("{found} at {endpoints}"))
}

/// The authority's clock stands in its answer; a party whose clock is far off is refused as not yet valid.
fn clock(headers: &HeaderMap, report: &mut Report) {
    let date = headers.get(header::DATE).and_then(|date| date.to_str().ok());
    let theirs = date.and_then(|date| PrimitiveDateTime::parse(date, HTTP_DATE).ok());
    let Some(theirs) = theirs else {
        return report.warning("clock", "the authority did not tell its time", "compare both clocks by hand: date -u");
    };
    let theirs = u64::try_from(theirs.assume_utc().unix_timestamp()).unwrap_or_default();
    let ours = SystemClock.now().as_secs();
    let off = ours.abs_diff(theirs);
    let direction = if ours >= theirs { "ahead of" } else { "behind" };
    if off > SKEW_SECONDS_MAX {
        report.wrong(
            "clock",
            format!("{off} s {direction} the authority's"),
            "set the clocks: timedatectl set-ntp true",
        );
    } else {
        report.good("clock", format!("within {} s of the authority's", off.max(1)));
    }
}

fn check_name(role: Role) -> &'static str {
    role.as_str()
}

/// RFC 9110, 5.6.7.
const HTTP_DATE: &[FormatItem<'_>] =
    format_description!("[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT");
/// Certificates are valid from a minute before they are issued.
const SKEW_SECONDS_MAX: u64 = 30;
const PATIENCE: Duration = Duration::from_secs(15);

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn the_date_of_an_answer_is_read() {
        let read = PrimitiveDateTime::parse("Sun, 06 Nov 1994 08:49:37 GMT", HTTP_DATE).unwrap();
        assert_eq!(read.assume_utc().unix_timestamp(), 784_111_777);
    }
}
