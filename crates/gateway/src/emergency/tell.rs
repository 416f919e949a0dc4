//! Telling patient and security officer: each notice is on disk until the hospital's own mail or message system has
//! taken it. It says that a record was opened in an emergency, and nothing of what is in it.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, header};
use sealwort_audit::{Detail, EventKind};
use sealwort_net::Shutdown;
use sealwort_net::client::web::{Reach, WebClient};
use sealwort_proto::Pseudonym;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::access::Access;
use super::{Emergencies, LOOK_EVERY, lock};
use crate::Gateway;
use crate::config::EmergencyConfig;
use crate::error::GatewayError;
use crate::web_push::{Opening, Urgency};

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
    /// `begun` or `ended` here, or `elsewhere`: begun at another hospital.
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

impl Recipient {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Patient => "patient",
            Self::SecurityOfficer => "officer",
        }
    }
}

/// What is told.
pub(super) struct Event<'a> {
    /// The emergency access.
    pub(super) about: &'a str,
    pub(super) name: &'static str,
    pub(super) patient: Pseudonym,
    /// Where.
    pub(super) hospital: String,
    pub(super) user: &'a str,
    pub(super) role: &'a str,
    pub(super) purpose: &'a str,
    /// The code of the reason, where it is told.
    pub(super) reason: Option<&'a str>,
    /// When, Unix time.
    pub(super) at: u64,
    pub(super) until: Option<u64>,
}

/// The client for the hospital's own mail or message system, which its administrator configured: inside the hospital,
/// too, and without TLS on loopback alone. The error says what is wrong.
pub(super) fn client(config: &EmergencyConfig) -> Result<WebClient, String> {
    let authority = Some(Path::new(&config.notices_authority)).filter(|file| !file.as_os_str().is_empty());
    let web = WebClient::new(authority, Reach::Inside)?.patience(PATIENCE);
    if !config.notices_url.is_empty() {
        web.check(&config.notices_url).map_err(|error| error.to_string())?;
    }
    Ok(web)
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
    if gateway.emergencies.config.notices_url.is_empty() {
        return;
    }
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
            if let Err(error) = gateway.deliver_tell(tell).await {
                tracing::error!(%error, "the delivery of an emergency notice could not be kept");
            }
        }
    }
}

impl Gateway {
    /// Keeps the notices of an event, to be delivered at once: to the security officer, and to the patient where this
    /// hospital registered them. Elsewhere that hospital tells the patient.
    pub(super) async fn tell_of(&self, access: &Access, event: &'static str) -> Result<(), GatewayError> {
        let patient: Pseudonym =
            access.patient.parse().map_err(|_| GatewayError::Kept("an emergency access names no patient"))?;
        let own = self.roster.known(patient).await?.is_some_and(|known| !known.directive.0.is_empty());
        let recipients =
            if own { &[Recipient::SecurityOfficer, Recipient::Patient][..] } else { &[Recipient::SecurityOfficer] };
        let event = Event {
            about: &access.id,
            name: event,
            patient,
            hospital: self.member.identity().to_string(),
            user: &access.user,
            role: &access.role,
            purpose: &access.purpose,
            reason: None,
            at: self.sessions.now().as_secs(),
            until: access.until,
        };
        self.keep_tells(&event, recipients).await
    }

    /// Keeps a notice for each recipient, once.
    pub(super) async fn keep_tells(&self, event: &Event<'_>, recipients: &[Recipient]) -> Result<(), GatewayError> {
        let patients = self.patients_told(event.patient);
        for to in recipients {
            let id = format!("{}-{}-{}", event.about, event.name, to.as_str());
            if lock(&self.emergencies.tells).contains_key(&id) {
                continue;
            }
            let mut body = json!({
                "event": format!("emergency-access-{}", event.name),
                "id": id,
                "to": to,
                "emergency": event.about,
                "hospital": event.hospital,
                "patient": patients,
                "user": event.user,
                "role": event.role,
                "at": event.at,
                "until": event.until,
            });
            if let (Some(reason), Some(fields)) = (event.reason, body.as_object_mut()) {
                fields.insert("reason".to_owned(), json!(reason));
            }
            let tell = Tell {
                id,
                about: event.about.to_owned(),
                event: event.name.to_owned(),
                to: *to,
                at: event.at,
                failed: 0,
                due: self.sessions.now().as_secs(),
                sent: None,
                body: body.to_string(),
            };
            // Before the notice, by which a repetition knows that there is nothing left to keep.
            if *to == Recipient::Patient {
                let opening = Opening {
                    notice: Some(&tell.id),
                    event: &format!("emergency-access-{}", event.name),
                    patient: event.patient,
                    hospital: &event.hospital,
                    user: event.user,
                    role: event.role,
                    purpose: event.purpose,
                    urgency: Urgency::High,
                };
                self.push(&opening).await?;
            }
            self.keep_tell(&tell).await?;
        }
        self.emergencies.to_tell.notify_one();
        Ok(())
    }

    async fn deliver_tell(&self, mut tell: Tell) -> Result<(), GatewayError> {
        let emergencies = &self.emergencies;
        let request = Request::post(&emergencies.config.notices_url)
            .header(header::CONTENT_TYPE, "application/json")
            .body(tell.body.clone().into())
            .map_err(|_| GatewayError::Kept("emergency.notices_url is no URL"))?;
        let outcome = match emergencies.web.send(request).await {
            Ok(answer) if answer.status().is_success() => Ok(()),
            Ok(answer) => Err(format!("the answer was {}", answer.status())),
            Err(error) => Err(error.to_string()),
        };
        let now = self.sessions.now().as_secs();
        match outcome {
            Ok(()) => {
                tell.sent = Some(now);
                tracing::info!(event = "told", id = tell.about, to = ?tell.to, "emergency access");
                let entry = self.journal.event(EventKind::EmergencyNotified).detail(Detail::Subject, &tell.about);
                self.journal.append(entry.detail(Detail::Recipient, tell.to.as_str())).await?;
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
    fn notices_are_sent_without_tls_on_loopback_alone() {
        for (url, good) in [
            ("http://127.0.0.1:9000/notices", true),
            ("http://[::1]:9000", true),
            ("https://127.0.0.1:9000/", true),
            ("https://mail.hospital.example/notices", true),
            ("", true),
            ("http://192.0.2.1:9000/", false),
            ("ftp://127.0.0.1/", false),
            ("notices", false),
        ] {
            let config = EmergencyConfig { notices_url: url.to_owned(), ..EmergencyConfig::default() };
            assert_eq!(client(&config).is_ok(), good, "{url}");
        }
    }
}
