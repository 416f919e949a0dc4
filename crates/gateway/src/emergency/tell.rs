//! Telling patient and security officer: each notice is on disk until the hospital's own mail or message system has
//! taken it, over HTTP on loopback. It says that a record was opened in an emergency, and nothing of what is in it.

use std::sync::Arc;
use std::time::Duration;

use http::{Request, StatusCode, header};
use http_body_util::Full;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use sealwort_net::Shutdown;
use sealwort_proto::Pseudonym;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::net::TcpStream;

use super::access::Access;
use super::{Emergencies, LOOK_EVERY, lock};
use crate::Gateway;
use crate::error::GatewayError;

/// Time for one delivery.
const PATIENCE: Duration = Duration::from_secs(10);
/// Longest time between two attempts, in seconds: below the minute within which people are told.
const RETRY_SECONDS_MAX: u64 = 20;

/// A notice to somebody.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Tell {
    pub(crate) id: String,
    /// The emergency access.
    pub(crate) about: String,
    /// `begun` or `ended`.
    pub(crate) event: String,
    pub(crate) to: Recipient,
    /// Unix time of the event.
    pub(crate) at: u64,
    /// Deliveries that failed.
    pub(crate) failed: u32,
    /// When the next delivery is due, Unix time.
    pub(crate) due: u64,
    /// When it was taken, Unix time; absent while it waits.
    pub(crate) sent: Option<u64>,
    /// What is sent.
    pub(crate) body: String,
}

/// To whom.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Recipient {
    Patient,
    SecurityOfficer,
}

/// Where notices go: a path on loopback. The hospital's own system, which has its mail server and its addresses,
/// listens there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    authority: String,
    path: String,
}

impl std::str::FromStr for Target {
    type Err = ();

    fn from_str(url: &str) -> Result<Self, ()> {
        let uri: http::Uri = url.parse().map_err(|_| ())?;
        let (Some("http"), Some(authority)) = (uri.scheme_str(), uri.authority()) else { return Err(()) };
        let loopback =
            authority.as_str().parse::<std::net::SocketAddr>().is_ok_and(|address| address.ip().is_loopback());
        let path = uri.path_and_query().map_or("/", http::uri::PathAndQuery::as_str).to_owned();
        if loopback { Ok(Self { authority: authority.to_string(), path }) } else { Err(()) }
    }
}

impl Target {
    async fn deliver(&self, body: &str) -> Result<(), String> {
        let failed = |error: &dyn std::fmt::Display| error.to_string();
        let exchange = async {
            let stream = TcpStream::connect(&self.authority).await.map_err(|e| failed(&e))?;
            let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|e| failed(&e))?;
            tokio::spawn(connection);
            let request = Request::post(&self.path)
                .header(header::HOST, &self.authority)
                .header(header::CONTENT_TYPE, "application/json")
                .body(Full::new(bytes::Bytes::from(body.to_owned())))
                .map_err(|e| failed(&e))?;
            let status = sender.send_request(request).await.map_err(|e| failed(&e))?.status();
            if status.is_success() { Ok(()) } else { Err(answered(status)) }
        };
        tokio::time::timeout(PATIENCE, exchange).await.unwrap_or_else(|_| Err("no answer in time".to_owned()))
    }
}

fn answered(status: StatusCode) -> String {
    format!("the answer was {status}")
}

impl Emergencies {
    /// The notices about an access, in order.
    pub(super) fn tells_of(&self, access: &str) -> Vec<Tell> {
        let mut tells: Vec<_> = lock(&self.tells).values().filter(|tell| tell.about == access).cloned().collect();
        tells.sort_by(|a, b| (a.at, &a.id).cmp(&(b.at, &b.id)));
        tells
    }
}

/// Delivers until `shutdown`.
pub(super) async fn tell_forever(gateway: Arc<Gateway>, shutdown: Shutdown) {
    let Ok(target) = gateway.emergencies.config.notices_url.parse::<Target>() else { return };
    loop {
        tokio::select! {
            () = tokio::time::sleep(LOOK_EVERY) => {}
            () = gateway.emergencies.to_tell.notified() => {}
            () = shutdown.wait() => return,
        }
        let now = gateway.sessions.now().as_secs();
        let due: Vec<_> = {
            let tells = lock(&gateway.emergencies.tells);
            tells.values().filter(|tell| tell.sent.is_none() && tell.due <= now).cloned().collect()
        };
        for tell in due {
            if let Err(error) = gateway.deliver_tell(tell, &target).await {
                tracing::error!(%error, "the delivery of an emergency notice could not be kept");
            }
        }
    }
}

impl Gateway {
    /// Keeps the notices of an event, to be delivered at once: to the security officer, and to the patient where this
    /// hospital registered them. Elsewhere that hospital tells the patient.
    pub(super) async fn tell_of(&self, access: &Access, event: &str) -> Result<(), GatewayError> {
        let patient: Pseudonym =
            access.patient.parse().map_err(|_| GatewayError::Kept("an emergency access names no patient"))?;
        let own = self.roster.known(patient).await?.is_some_and(|known| !known.directive.0.is_empty());
        let at = self.sessions.now().as_secs();
        let recipients =
            if own { &[Recipient::SecurityOfficer, Recipient::Patient][..] } else { &[Recipient::SecurityOfficer] };
        let patients: Vec<_> = self.people.of(patient).iter().map(|id| format!("Patient/{}", id.as_str())).collect();
        for to in recipients {
            let id = format!("{}-{event}-{}", access.id, if *to == Recipient::Patient { "patient" } else { "officer" });
            if lock(&self.emergencies.tells).contains_key(&id) {
                continue;
            }
            let body = json!({
                "event": format!("emergency-access-{event}"),
                "id": id,
                "to": to,
                "emergency": access.id,
                "hospital": self.member.identity().to_string(),
                "patient": patients,
                "user": access.user,
                "role": access.role,
                "at": at,
                "until": access.until,
            });
            let tell = Tell {
                id,
                about: access.id.clone(),
                event: event.to_owned(),
                to: *to,
                at,
                failed: 0,
                due: at,
                sent: None,
                body: body.to_string(),
            };
            self.keep_tell(&tell).await?;
        }
        self.emergencies.to_tell.notify_one();
        Ok(())
    }

    async fn deliver_tell(&self, mut tell: Tell, target: &Target) -> Result<(), GatewayError> {
        let outcome = target.deliver(&tell.body).await;
        let now = self.sessions.now().as_secs();
        match outcome {
            Ok(()) => {
                tell.sent = Some(now);
                tracing::info!(event = "told", id = tell.about, to = ?tell.to, "emergency access");
            }
            Err(error) => {
                tell.failed = tell.failed.saturating_add(1);
                tell.due = now.saturating_add(2u64.saturating_pow(tell.failed.min(8)).min(RETRY_SECONDS_MAX));
                tracing::warn!(id = tell.id, error, "an emergency notice was not delivered; it is tried again");
            }
        }
        self.keep_tell(&tell).await
    }

    async fn keep_tell(&self, tell: &Tell) -> Result<(), GatewayError> {
        let row = serde_json::to_vec(tell).map_err(|_| GatewayError::Kept("an emergency notice cannot be written"))?;
        self.roster.put_tell(&tell.id, &row).await?;
        lock(&self.emergencies.tells).insert(tell.id.clone(), tell.clone());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn notices_go_to_loopback_alone() {
        for (url, good) in [
            ("http://127.0.0.1:9000/notices", true),
            ("http://[::1]:9000", true),
            ("http://192.0.2.1:9000/", false),
            ("http://localhost:9000/", false),
            ("https://127.0.0.1:9000/", false),
            ("", false),
        ] {
            assert_eq!(url.parse::<Target>().is_ok(), good, "{url}");
        }
    }
}
