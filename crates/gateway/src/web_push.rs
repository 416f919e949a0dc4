//! Telling patients that their record was opened, in their browser: messages by way of its push service (RFC 8030),
//! which reads nothing of them (RFC 8291) and knows this gateway by its key (RFC 8292). A message has ids alone. Each is
//! on disk until the service has taken it, with the retries of Subscriptions.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{Request, StatusCode, header};
use sealwort_audit::{Detail, Event, EventKind};
use sealwort_fhir::{IssueCode, ResourceType};
use sealwort_net::Shutdown;
use sealwort_net::observe;
use sealwort_proto::Pseudonym;
use sealwort_proto::crypto::random;
use sealwort_proto::web_push::Receiver;
use sealwort_smart::{Action, KeptAccess, VapidKey};
use sealwort_store::RosterKind;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::error::GatewayError;
use crate::roster::Roster;
use crate::seen::{Allowed, Record, scope_lacks};
use crate::user::{Asking, By};
use crate::{Gateway, StartError};

/// How often what is due is looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Most browsers of one patient.
const BROWSERS_MAX: usize = 10;
/// Time for which one browser is told once of the same user, in seconds.
const ONCE_SECONDS: u64 = 60 * 60;
/// How long a push service keeps a message for a browser that is away, in seconds.
const TTL_SECONDS: u64 = 24 * 60 * 60;
/// Longest endpoint, in bytes.
const ENDPOINT_BYTES_MAX: usize = 2048;

/// A browser that is told.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Browser {
    id: String,
    patient: String,
    endpoint: String,
    /// `p256dh` and `auth` of its `PushSubscription`, in base64url.
    public: String,
    secret: String,
    /// Who registered it, and what that hangs on.
    user: String,
    right: KeptAccess,
    by: Registrant,
    since: u64,
}

/// Whether a browser was registered by an app, with whose right it ends, or at the hospital, for the patient.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
enum Registrant {
    App,
    Hospital,
}

/// A message that waits.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Message {
    id: String,
    browser: String,
    /// Whose record it is about: the browser's patient, or one merged with them.
    #[serde(default)]
    patient: String,
    text: String,
    urgency: Urgency,
    failed: u32,
    due: u64,
}

/// RFC 8030, section 5.3.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Urgency {
    Normal,
    High,
}

/// What happened to a patient's record.
pub(crate) struct Opening<'a> {
    /// The notice that says it, where there is one: kept again, it is the same message.
    pub(crate) notice: Option<&'a str>,
    pub(crate) event: &'a str,
    pub(crate) patient: Pseudonym,
    /// Identity of the hospital where it happened.
    pub(crate) hospital: &'a str,
    pub(crate) user: &'a str,
    pub(crate) role: &'a str,
    pub(crate) purpose: &'a str,
    pub(crate) urgency: Urgency,
}

/// A browser as its registrant sees it.
#[derive(Debug, Serialize)]
pub(crate) struct Shown {
    id: String,
    /// Host of the push service.
    service: String,
    since: u64,
}

/// All browsers and what they are still to be told.
pub(crate) struct WebPush {
    key: VapidKey,
    contact: String,
    browsers: Mutex<BTreeMap<String, Browser>>,
    waiting: Mutex<BTreeMap<String, Message>>,
    busy: Mutex<BTreeSet<String>>,
    /// When a browser was last told of a user.
    told: Mutex<HashMap<(String, String), u64>>,
    heard: Notify,
}

impl WebPush {
    /// Those that are kept. Without a contact nothing is sent.
    pub(crate) async fn load(contact: &str, key: &[u8], roster: &Roster) -> Result<Self, StartError> {
        if !(contact.is_empty() || contact.starts_with("mailto:") || contact.starts_with("https://")) {
            return Err(StartError::Subscriptions("push_contact is a mailto: or https:// URL".to_owned()));
        }
        let key = VapidKey::from_der(key).map_err(|error| StartError::Subscriptions(error.to_string()))?;
        let unreadable = |_| GatewayError::Kept("a browser, or a message to one, cannot be read");
        let read = |row: &Vec<u8>| serde_json::from_slice::<Browser>(row).map(|one| (one.id.clone(), one));
        let browsers =
            roster.all(RosterKind::Browser).await?.iter().map(read).collect::<Result<_, _>>().map_err(unreadable)?;
        let read = |row: &Vec<u8>| serde_json::from_slice::<Message>(row).map(|one| (one.id.clone(), one));
        let waiting = roster
            .all(RosterKind::PushMessage)
            .await?
            .iter()
            .map(read)
            .collect::<Result<_, _>>()
            .map_err(unreadable)?;
        Ok(Self {
            key,
            contact: contact.to_owned(),
            browsers: Mutex::new(browsers),
            waiting: Mutex::new(waiting),
            busy: Mutex::default(),
            told: Mutex::default(),
            heard: Notify::new(),
        })
    }

    /// Whether anybody is told of anything.
    pub(crate) fn has_browsers(&self) -> bool {
        !lock(&self.browsers).is_empty()
    }

    fn those(&self, are_told: impl Fn(Pseudonym) -> bool) -> Vec<Browser> {
        let browsers = lock(&self.browsers);
        browsers.values().filter(|one| one.patient.parse().is_ok_and(&are_told)).cloned().collect()
    }
}

impl Gateway {
    /// The key that browsers subscribe with.
    pub(crate) fn push_key(&self) -> Result<&str, GatewayError> {
        if self.web_push.contact.is_empty() {
            return Err(refused(
                404,
                "push-off",
                "this hospital sends no messages to browsers",
                "its administrator sets subscriptions.push_contact",
            ));
        }
        Ok(self.web_push.key.public())
    }

    /// Keeps a browser's `PushSubscription` (W3C Push API, its `toJSON`) for a patient.
    pub(crate) async fn register_browser(
        &self,
        patient: Option<&str>,
        subscription: &Value,
        asking: &Asking,
    ) -> Result<Shown, GatewayError> {
        self.push_key()?;
        let wrong = |what: &str| {
            refused(
                422,
                "push-subscription-invalid",
                what,
                "send what PushSubscription.toJSON() gives, with patient where the token names none",
            )
        };
        let text = |pointer: &str| subscription.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
        let (endpoint, public, secret) = (text("/endpoint"), text("/keys/p256dh"), text("/keys/auth"));
        let decoded = |text: &str| URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')).unwrap_or_default();
        Receiver::new(&decoded(public), &decoded(secret)).ok_or_else(|| wrong("its keys are none of RFC 8291"))?;
        if endpoint.len() > ENDPOINT_BYTES_MAX {
            return Err(wrong("its endpoint is longer than 2 KiB"));
        }
        self.subscriptions.web().check(endpoint).map_err(|error| wrong(&error.to_string()))?;
        let named = patient.map(str::to_owned).or_else(|| asking.patient.as_ref().map(ToString::to_string));
        let named = named.ok_or_else(|| wrong("it is for no patient"))?;
        let patient = self.identity_named(&named, &asking.purpose).await?;
        asking.trail.touches(patient);
        // Who may not see who looks at the record is not told.
        let events = ResourceType::AUDIT_EVENT;
        let sees_all = matches!(Allowed::by(asking, Record::InContext, Action::Read, events)?, Allowed::Everything);
        if !sees_all || asking.delegation.as_ref().is_some_and(|one| !one.labels.is_empty()) {
            return Err(scope_lacks(events, Action::Read));
        }
        if crate::emergency::is_emergency(&asking.purpose) {
            return Err(refused(
                403,
                "emergency-no-subscription",
                "an emergency access is for looking, not for being told later",
                "register for treatment",
            ));
        }
        self.open(patient, asking).await?;
        let of_patient = self.browsers_of(patient);
        let again = of_patient.iter().find(|one| one.endpoint == endpoint);
        if again.is_none() && of_patient.len() >= BROWSERS_MAX {
            return Err(wrong("ten browsers are told for this patient already"));
        }
        let browser = Browser {
            id: again.map_or_else(|| hex::encode(random::<16>()), |one| one.id.clone()),
            patient: patient.to_string(),
            endpoint: endpoint.to_owned(),
            public: public.to_owned(),
            secret: secret.to_owned(),
            user: asking.user.clone(),
            right: asking.kept.as_deref().cloned().ok_or(GatewayError::Kept("a browser comes from nobody"))?,
            by: if asking.by == By::App { Registrant::App } else { Registrant::Hospital },
            since: self.sessions.now().as_secs(),
        };
        let entry = self.entry(EventKind::SubscriptionChanged, asking).patient(patient);
        self.journal.append(entry.detail(Detail::Subject, &browser.id).detail(Detail::Method, "web push")).await?;
        self.roster.put_row(RosterKind::Browser, browser.id.as_bytes(), &row(&browser)?).await?;
        let shown = browser.shown();
        lock(&self.web_push.browsers).insert(browser.id.clone(), browser);
        Ok(shown)
    }

    /// The browsers that who asks registered.
    pub(crate) fn browsers(&self, asking: &Asking) -> Vec<Shown> {
        let browsers = lock(&self.web_push.browsers);
        browsers.values().filter(|one| self.is_theirs(one, asking)).map(Browser::shown).collect()
    }

    /// The browsers that are told of a patient, by whichever identity they were registered.
    fn browsers_of(&self, patient: Pseudonym) -> Vec<Browser> {
        self.web_push.those(|one| self.roster.are_one(one, patient))
    }

    /// Whether who asks registered a browser.
    fn is_theirs(&self, browser: &Browser, asking: &Asking) -> bool {
        asking.kept.as_ref().is_some_and(|kept| kept.is_of_same(&browser.right))
            && browser.patient.parse().is_ok_and(|patient| self.concerns(patient, asking))
    }

    /// Tells a browser nothing more; who registered it says so.
    pub(crate) async fn remove_browser(&self, id: &str, asking: &Asking) -> Result<(), GatewayError> {
        let found = lock(&self.web_push.browsers).get(id).filter(|one| self.is_theirs(one, asking)).cloned();
        let Some(browser) = found else { return Err(crate::face::read::not_found()) };
        let mut entry = self.entry(EventKind::SubscriptionChanged, asking);
        entry.patient = browser.patient.parse().ok();
        let entry = entry.detail(Detail::Subject, id).detail(Detail::Method, "web push");
        self.journal.append(entry.detail(Detail::After, "off")).await?;
        self.forget_browser(id).await
    }

    /// A patient was erased: no browser is told of them any more.
    pub(crate) async fn end_browsers_of(&self, patient: Pseudonym) -> Result<(), GatewayError> {
        for browser in self.web_push.those(|one| one == patient) {
            self.forget_browser(&browser.id).await?;
        }
        Ok(())
    }

    async fn forget_browser(&self, id: &str) -> Result<(), GatewayError> {
        self.roster.remove_row(RosterKind::Browser, id.as_bytes()).await?;
        lock(&self.web_push.browsers).remove(id);
        let theirs: Vec<String> =
            lock(&self.web_push.waiting).values().filter(|one| one.browser == id).map(|one| one.id.clone()).collect();
        for message in theirs {
            self.done_with(&message).await?;
        }
        Ok(())
    }

    /// A request showed something of these patients: their browsers are told, once an hour of each user.
    pub(crate) async fn tell_opened(&self, entry: &Event, patients: &BTreeSet<Pseudonym>) -> Result<(), GatewayError> {
        let user = entry.user.as_ref().map_or("", |user| user.as_str());
        let role = entry.role.as_ref().map_or("", |role| role.as_str());
        let purpose = entry.purpose.as_ref().map_or("", |purpose| purpose.as_str());
        let hospital = self.member.identity().to_string();
        for patient in patients {
            let opening = Opening {
                notice: None,
                event: "record-opened",
                patient: *patient,
                hospital: &hospital,
                user,
                role,
                purpose,
                urgency: Urgency::Normal,
            };
            self.push(&opening).await?;
        }
        Ok(())
    }

    /// Keeps a message for each browser of the patient, to be sent at once.
    pub(crate) async fn push(&self, opening: &Opening<'_>) -> Result<(), GatewayError> {
        let now = self.sessions.now().as_secs();
        for browser in self.browsers_of(opening.patient) {
            if opening.urgency == Urgency::Normal {
                // Nobody is told of themselves.
                if browser.user == opening.user {
                    continue;
                }
                let mut told = lock(&self.web_push.told);
                told.retain(|_, at| now < at.saturating_add(ONCE_SECONDS));
                let once = (browser.id.clone(), format!("{} {}", opening.hospital, opening.user));
                if told.insert(once, now).is_some() {
                    continue;
                }
            }
            let patients = self.patients_told(opening.patient);
            let text = json!({
                "event": opening.event,
                "patient": patients,
                "hospital": opening.hospital,
                "user": opening.user,
                "role": opening.role,
                "purpose": opening.purpose,
                "at": now,
            });
            let message = Message {
                id: match opening.notice {
                    Some(notice) => format!("{notice}-{}", browser.id),
                    None => hex::encode(random::<16>()),
                },
                browser: browser.id,
                patient: opening.patient.to_string(),
                text: text.to_string(),
                urgency: opening.urgency,
                failed: 0,
                due: now,
            };
            self.roster.put_row(RosterKind::PushMessage, message.id.as_bytes(), &row(&message)?).await?;
            lock(&self.web_push.waiting).insert(message.id.clone(), message);
        }
        self.web_push.heard.notify_one();
        Ok(())
    }

    /// Sends one message. What is not taken is tried again.
    async fn send_message(&self, mut message: Message) -> Result<(), GatewayError> {
        let browser = lock(&self.web_push.browsers).get(&message.browser).cloned();
        let Some(browser) = browser else { return self.done_with(&message.id).await };
        // What waited since before the two were parted is of another patient's now.
        let parted = |own| message.patient.parse().is_ok_and(|of| !self.roster.are_one(own, of));
        if browser.patient.parse().is_ok_and(parted) {
            return self.done_with(&message.id).await;
        }
        let now = self.sessions.now();
        let delegation = browser.right.delegation().and_then(|id| self.any_delegation(id.as_str()));
        if delegation.is_some_and(|one| self.rests(&one)) {
            return self.done_with(&message.id).await;
        }
        let stands = browser.right.delegation().is_none_or(|id| self.delegation(id.as_str(), now).is_some());
        let kept = |browser: &Browser| {
            let now = crate::authorization::seconds(now);
            self.authorization.ask(|server| server.kept_access(&browser.right, now)).is_ok()
        };
        if !stands || browser.by == Registrant::App && !kept(&browser) {
            return self.forget_browser(&browser.id).await;
        }
        let mut entry = self.journal.event(EventKind::SubscriptionDelivered).detail(Detail::Subject, &browser.id);
        entry.patient = browser.patient.parse().ok();
        let entry = entry.detail(Detail::Recipient, browser.service()).detail(Detail::Method, "web push");
        self.journal.append(entry.clone()).await?;
        let reason = match self.post(&browser, &message).await {
            Ok(status) if status.is_success() => return self.done_with(&message.id).await,
            // The browser has unsubscribed (RFC 8030, section 7.3).
            Ok(StatusCode::NOT_FOUND | StatusCode::GONE) => return self.forget_browser(&browser.id).await,
            Ok(status) => format!("the push service answered {status}"),
            Err(reason) => reason,
        };
        tracing::warn!(browser = browser.id, reason, "a browser was not told");
        self.journal.append(entry.failed("not-delivered")).await?;
        message.failed = message.failed.saturating_add(1);
        let Some(wait) = self.subscriptions.wait_after(message.failed) else {
            return self.done_with(&message.id).await;
        };
        message.due = self.sessions.now().as_secs().saturating_add(wait);
        self.roster.put_row(RosterKind::PushMessage, message.id.as_bytes(), &row(&message)?).await?;
        lock(&self.web_push.waiting).insert(message.id.clone(), message);
        Ok(())
    }

    async fn post(&self, browser: &Browser, message: &Message) -> Result<StatusCode, String> {
        let decoded = |text: &str| URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')).unwrap_or_default();
        let receiver = Receiver::new(&decoded(&browser.public), &decoded(&browser.secret));
        let body = receiver.and_then(|receiver| receiver.encrypt(message.text.as_bytes()).ok());
        let body = body.ok_or_else(|| "the message cannot be encrypted".to_owned())?;
        let uri: http::Uri = browser.endpoint.parse().map_err(|_| "the endpoint is no URL".to_owned())?;
        let origin = format!("{}://{}", uri.scheme_str().unwrap_or("https"), browser.service());
        let now = crate::authorization::seconds(self.sessions.now());
        let vapid = self.web_push.key.authorization(&origin, &self.web_push.contact, now);
        let request = Request::post(uri)
            .header(header::AUTHORIZATION, vapid.ok_or_else(|| "the token cannot be signed".to_owned())?)
            .header(header::CONTENT_ENCODING, "aes128gcm")
            .header(header::CONTENT_TYPE, "application/octet-stream")
            .header("ttl", TTL_SECONDS)
            .header("urgency", if message.urgency == Urgency::High { "high" } else { "normal" })
            .body(body.into())
            .map_err(|error| error.to_string())?;
        self.subscriptions.web().send(request).await.map(|answer| answer.status()).map_err(|error| error.to_string())
    }

    async fn done_with(&self, message: &str) -> Result<(), GatewayError> {
        self.roster.remove_row(RosterKind::PushMessage, message.as_bytes()).await?;
        lock(&self.web_push.waiting).remove(message);
        Ok(())
    }
}

/// Sends until `shutdown`.
pub(crate) async fn push_forever(gateway: Arc<Gateway>, shutdown: Shutdown) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(LOOK_EVERY) => {}
            () = gateway.web_push.heard.notified() => {}
            () = shutdown.wait() => return,
        }
        let now = gateway.sessions.now().as_secs();
        let due: Vec<Message> = {
            let (waiting, mut busy) = (lock(&gateway.web_push.waiting), lock(&gateway.web_push.busy));
            waiting.values().filter(|one| one.due <= now && busy.insert(one.id.clone())).cloned().collect()
        };
        for message in due {
            let gateway = Arc::clone(&gateway);
            tokio::spawn(observe::follow(async move {
                let _one_of_few = gateway.subscriptions.one_of_few().await;
                let id = message.id.clone();
                if let Err(error) = gateway.send_message(message).await {
                    tracing::error!(%error, "a message to a browser could not be kept; it is tried again");
                }
                lock(&gateway.web_push.busy).remove(&id);
            }));
        }
    }
}

impl Browser {
    /// Host of the push service; the rest of the endpoint is a secret.
    fn service(&self) -> String {
        let uri: Option<http::Uri> = self.endpoint.parse().ok();
        uri.and_then(|uri| uri.authority().map(ToString::to_string)).unwrap_or_default()
    }

    fn shown(&self) -> Shown {
        Shown { id: self.id.clone(), service: self.service(), since: self.since }
    }
}

fn row(kept: &impl Serialize) -> Result<Vec<u8>, GatewayError> {
    serde_json::to_vec(kept).map_err(|_| GatewayError::Kept("a browser, or a message to one, cannot be written"))
}

fn refused(status: u16, code: &'static str, text: &str, remedy: &str) -> GatewayError {
    let issue = if status == 404 { IssueCode::NotFound } else { IssueCode::BusinessRule };
    GatewayError::request(status, issue, code, text, remedy)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
