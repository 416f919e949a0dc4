//! FHIR R4 Subscriptions with rest-hook: an application is told that something it may see has changed, by ids alone.
//! They are kept beside the records, in the roster, and belong to the user or app that made them.
//!
//! There is no queue of notices. A Subscription remembers up to where in the patient's log its subscriber was told, and
//! what lies behind that is judged when it is sent, each time anew under the subscriber's own rights. So nothing is lost
//! by a crash, and what may no longer be seen is never sent.

mod deliver;
mod wish;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use sealwort_audit::{Detail, EventKind};
use sealwort_fhir::search::{Corpus, Document, PatientNamed};
use sealwort_fhir::{IssueCode, Resource, ResourceId, ResourceType, VersionId, present};
use sealwort_net::client::web::{Reach, WebClient};
use sealwort_net::config::Interval;
use sealwort_pki::UnixTime;
use sealwort_proto::Pseudonym;
use sealwort_smart::{Action, KeptAccess};
use sealwort_store::RosterKind;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

pub(crate) use deliver::deliver_forever;
use wish::{Wanted, Wish, wrong};

use crate::Gateway;
use crate::StartError;
use crate::error::GatewayError;
use crate::roster::Roster;
use crate::seen::{Allowed, Record, scope_lacks};
use crate::user::Asking;
use crate::view::{millis, ordinal};

/// Subscriptions that are looked at and delivered at the same time.
const AT_ONCE_MAX: usize = 32;

/// Time for one delivery. A right that ends while it runs ended within it.
const PATIENCE: Duration = Duration::from_secs(5);
/// Largest answer that is read; nobody looks at it.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// `[subscriptions]`: applications that are told of changes.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SubscriptionsConfig {
    /// Whether endpoints may be inside the hospital, at addresses that are not public.
    pub inside: bool,
    /// PEM file of the authorities that endpoints' certificates are checked against; empty for the system's.
    pub authority: String,
    /// Most Subscriptions that are kept.
    pub subscriptions_max: usize,
    /// Time until a notice that was not taken is sent again; it doubles with every failure.
    pub retry_first: Interval,
    /// The longest time between two tries.
    pub retry_longest: Interval,
    /// Failures of one notice after which the Subscription is in error.
    pub attempts_max: u32,
    /// Where the operator of a push service finds this hospital's, `mailto:` or `https:`; empty for no web push.
    #[serde(default)]
    pub push_contact: String,
}

impl Default for SubscriptionsConfig {
    fn default() -> Self {
        Self {
            inside: false,
            authority: String::new(),
            subscriptions_max: 1000,
            retry_first: Interval::from_secs(2),
            retry_longest: Interval::from_secs(3600),
            attempts_max: 24,
            push_contact: String::new(),
        }
    }
}

/// How a Subscription stands (value set `subscription-status`). What is requested is active when it is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Status {
    Active,
    Error,
    Off,
}

impl Status {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Error => "error",
            Self::Off => "off",
        }
    }
}

/// A Subscription that is kept.
#[derive(Debug, Clone, Serialize, Deserialize)]
struct Subscription {
    id: String,
    version: u64,
    /// When its resource was changed last, Unix time.
    changed: u64,
    /// The resource as it came, without what this server says in it.
    resource: Value,
    status: Status,
    /// Why it is off or in error.
    reason: Option<String>,
    patient: String,
    purpose: String,
    /// What the subscriber may do, and what that hangs on.
    right: KeptAccess,
    /// Whose log it is that tells of changes: another one than the patient's while that identity is given up.
    log: String,
    /// The place in it up to which the subscriber was told.
    told: u64,
    /// The same of logs that told of changes before: what merged the patient may be in doubt, and found again.
    #[serde(default)]
    elsewhere: BTreeMap<String, u64>,
    /// Changes told so far.
    events: u64,
    /// How often the notice that is due was not taken.
    failed: u32,
    /// When it is sent, Unix time.
    due: u64,
}

impl Subscription {
    fn patient(&self) -> Result<Pseudonym, GatewayError> {
        self.patient.parse().map_err(|_| GatewayError::Kept("a Subscription names no patient"))
    }

    /// Up to where its subscriber was told.
    fn told(&self) -> Result<Told, GatewayError> {
        let log = self.log.parse().map_err(|_| GatewayError::Kept("a Subscription names no log"))?;
        Ok(Told { log, place: self.told })
    }

    /// Its subscriber was told up to this place. How far that was in another log is kept.
    fn reaches(&mut self, told: Told) {
        let (log, place) = (told.log.to_string(), told.place);
        if log != self.log {
            self.elsewhere.remove(&log);
            self.elsewhere.insert(std::mem::replace(&mut self.log, log), self.told);
        }
        self.told = place;
    }

    /// The resource as this server shows it.
    fn shown(&self) -> Result<Shown, GatewayError> {
        let id: ResourceId = self.id.parse().map_err(|_| GatewayError::Kept("a Subscription has no id"))?;
        let mut tree = self.resource.clone();
        if let Some(fields) = tree.as_object_mut() {
            fields.insert("status".to_owned(), json!(self.status.as_str()));
            fields.extend(self.reason.as_ref().map(|reason| ("error".to_owned(), json!(reason))));
        }
        let at = time::OffsetDateTime::from_unix_timestamp(i64::try_from(self.changed).unwrap_or_default());
        let at = at.unwrap_or(time::OffsetDateTime::UNIX_EPOCH);
        let resource = present(&Resource::parse(tree.to_string().into_bytes())?, &id, VersionId::new(self.version), at);
        let (version, changed) = (self.version, UnixTime::from_secs(self.changed));
        Ok(Shown { id, version, changed, content: resource.bytes().clone() })
    }
}

/// A place in a log up to which a subscriber was told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Told {
    log: Pseudonym,
    place: u64,
}

/// A Subscription as it is shown.
pub(crate) struct Shown {
    pub(crate) id: ResourceId,
    pub(crate) version: u64,
    pub(crate) changed: UnixTime,
    pub(crate) content: Bytes,
}

/// Those of one user or app, and what searches for them run over.
pub(crate) struct Own {
    pub(crate) corpus: Corpus,
    rows: Vec<Shown>,
}

impl Own {
    /// Id and content of the one at a place.
    pub(crate) fn at(&self, place: u32) -> Option<(&str, Bytes)> {
        let shown = self.rows.get(usize::try_from(place).ok()?)?;
        Some((shown.id.as_str(), shown.content.clone()))
    }
}

/// All Subscriptions of this gateway.
pub(crate) struct Subscriptions {
    config: SubscriptionsConfig,
    web: WebClient,
    all: Mutex<BTreeMap<String, Subscription>>,
    /// Those of whose patient something may have changed.
    to_look_at: Mutex<BTreeSet<String>>,
    /// Those that are being looked at.
    busy: Mutex<BTreeSet<String>>,
    /// One change at a time, so that what is on disk is what is in memory.
    changing: tokio::sync::Mutex<()>,
    at_once: Arc<Semaphore>,
    heard: Notify,
}

impl Subscriptions {
    /// Those that are kept. All of them are looked at: much may have changed meanwhile.
    pub(crate) async fn load(config: &SubscriptionsConfig, roster: &Roster) -> Result<Self, StartError> {
        let authority = Some(Path::new(&config.authority)).filter(|file| !file.as_os_str().is_empty());
        let reach = if config.inside { Reach::Inside } else { Reach::Public };
        let web = WebClient::new(authority, reach).map_err(StartError::Subscriptions)?;
        let web = web.patience(PATIENCE).answer_bytes_max(ANSWER_BYTES_MAX);
        let unreadable = |_| GatewayError::Kept("a Subscription cannot be read");
        let read = |row: &Vec<u8>| serde_json::from_slice::<Subscription>(row).map(|one| (one.id.clone(), one));
        let rows = roster.all(RosterKind::Subscription).await?;
        let all: BTreeMap<_, _> = rows.iter().map(read).collect::<Result<_, _>>().map_err(unreadable)?;
        let subscriptions = Self {
            config: config.clone(),
            web,
            all: Mutex::new(all),
            to_look_at: Mutex::default(),
            busy: Mutex::default(),
            changing: tokio::sync::Mutex::default(),
            at_once: Arc::new(Semaphore::new(AT_ONCE_MAX)),
            heard: Notify::new(),
        };
        subscriptions.all_changed();
        Ok(subscriptions)
    }

    /// The client for servers outside.
    pub(crate) fn web(&self) -> &WebClient {
        &self.web
    }

    /// A place among the deliveries that run at the same time.
    pub(crate) async fn one_of_few(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.at_once).acquire_owned().await.ok()
    }

    /// Seconds to wait after so many failures; none when it is given up.
    pub(crate) fn wait_after(&self, failed: u32) -> Option<u64> {
        let (first, longest) = (self.config.retry_first.0, self.config.retry_longest.0);
        let wait = first.saturating_mul(2u32.saturating_pow(failed.saturating_sub(1))).min(longest);
        (failed < self.config.attempts_max).then(|| wait.as_secs().max(1))
    }

    /// Something about this patient changed: a record, or consent.
    pub(crate) fn changed(&self, patient: Pseudonym) {
        let patient = patient.to_string();
        self.look_at(|one| one.patient == patient || one.log == patient);
    }

    /// Anything may have changed.
    pub(crate) fn all_changed(&self) {
        self.look_at(|_| true);
    }

    fn look_at(&self, those: impl Fn(&Subscription) -> bool) {
        let all = lock(&self.all);
        let those = all.values().filter(|one| one.status == Status::Active && those(one)).map(|one| one.id.clone());
        lock(&self.to_look_at).extend(those);
        drop(all);
        self.heard.notify_one();
    }

    fn get(&self, id: &str) -> Option<Subscription> {
        lock(&self.all).get(id).cloned()
    }
}

impl Gateway {
    /// Whether a Subscription is one of who asks, about somebody with whom their token has to do.
    fn is_own(&self, subscription: &Subscription, asking: &Asking) -> bool {
        let same = asking.kept.as_ref().is_some_and(|kept| kept.is_of_same(&subscription.right));
        same && subscription.patient().is_ok_and(|patient| self.concerns(patient, asking))
    }

    /// One that belongs to who asks. Those of others are not there.
    fn own_subscription(&self, id: &str, asking: &Asking) -> Result<Subscription, GatewayError> {
        let found = self.subscriptions.get(id).filter(|one| self.is_own(one, asking));
        found.ok_or_else(crate::face::read::not_found)
    }

    /// A Subscription, to its subscriber.
    pub(crate) fn subscription(&self, id: &ResourceId, asking: &Asking) -> Result<Shown, GatewayError> {
        permit(asking, Action::Read)?;
        self.own_subscription(id.as_str(), asking)?.shown()
    }

    /// All that belong to who asks.
    pub(crate) fn subscriptions_of(&self, asking: &Asking) -> Result<Own, GatewayError> {
        permit(asking, Action::Search)?;
        let all: Vec<_> = lock(&self.subscriptions.all).values().cloned().collect();
        let own = all.iter().filter(|one| self.is_own(one, asking));
        let rows: Vec<_> = own.map(Subscription::shown).collect::<Result<_, _>>()?;
        let mut corpus = Corpus::new(&[&self.base]);
        for (place, row) in rows.iter().enumerate() {
            let Some(at) = ordinal(place) else { break };
            let tree = Resource::parse(row.content.clone())?.json()?;
            let changed = millis(row.changed);
            corpus.put(at, Arc::new(Document::read(ResourceType::SUBSCRIPTION, row.id.as_str(), changed, &tree)));
        }
        Ok(Own { corpus, rows })
    }

    /// Keeps a Subscription under an id, in place of what it was before. Whether it is new. From now on its subscriber
    /// is told of changes; one that was in error goes on from where it stood.
    pub(crate) async fn keep_subscription(
        &self,
        id: &ResourceId,
        resource: &Resource,
        if_match: Option<&str>,
        asking: &Asking,
    ) -> Result<(Shown, New), GatewayError> {
        let subscriptions = &self.subscriptions;
        let known = subscriptions.get(id.as_str());
        permit(asking, if known.is_some() { Action::Update } else { Action::Create })?;
        let right = asking.kept.as_deref().cloned().ok_or(GatewayError::Kept("a Subscription comes from nobody"))?;
        let mut tree = resource.json()?;
        let wish = Wish::read(&tree)?;
        wish.check(asking, &subscriptions.web)?;
        let now = self.sessions.now().as_secs();
        if wish.end.is_some_and(|end| end <= now) {
            return Err(wrong("end", "it is over already", "send a later one, or none"));
        }
        if crate::emergency::is_emergency(&asking.purpose) {
            return Err(refused(
                403,
                "emergency-no-subscription",
                "an emergency access is for looking, not for being told later",
                "subscribe for treatment",
            ));
        }
        let patient = self.patient_subscribed(&wish, asking).await?;
        let view = self.open(patient, asking).await?;
        if let Some(tree) = tree.as_object_mut() {
            for said_here in ["status", "error", "id"] {
                tree.remove(said_here);
            }
        }

        let _one_at_a_time = subscriptions.changing.lock().await;
        let known = subscriptions.get(id.as_str());
        if known.as_ref().is_some_and(|known| !self.is_own(known, asking)) {
            return Err(refused(409, "id-taken", "this id is not free", "POST Subscription gives it an id of its own"));
        }
        let is_named =
            |tags: &str| known.as_ref().is_some_and(|known| crate::face::reply::names_version(tags, known.version));
        if if_match.is_some_and(|tags| !is_named(tags)) {
            return Err(refused(412, "version-conflict", "the Subscription is at another version", "read it anew"));
        }
        if known.is_none() && lock(&subscriptions.all).len() >= subscriptions.config.subscriptions_max {
            return Err(refused(
                422,
                "subscriptions-full",
                "this gateway keeps no more Subscriptions",
                "delete some that are not needed, or raise subscriptions.subscriptions_max",
            ));
        }
        let patient = patient.to_string();
        let goes_on = known.as_ref().filter(|known| {
            known.status != Status::Off
                && known.patient == patient
                && known.resource.get("criteria") == tree.get("criteria")
        });
        let (log, told, elsewhere) = match goes_on {
            Some(known) => (known.log.clone(), known.told, known.elsewhere.clone()),
            None => (view.patient.to_string(), view.at.sequence, BTreeMap::new()),
        };
        let subscription = Subscription {
            id: id.as_str().to_owned(),
            version: known.as_ref().map_or(1, |known| known.version + 1),
            changed: now,
            status: if wish.wanted == Wanted::On { Status::Active } else { Status::Off },
            reason: None,
            patient,
            purpose: asking.purpose.clone(),
            right,
            log,
            told,
            elsewhere,
            events: goes_on.map_or(0, |known| known.events),
            failed: 0,
            due: now,
            resource: tree,
        };
        self.write_subscription(&subscription).await?;
        subscriptions.look_at(|one| one.id == subscription.id);
        Ok((subscription.shown()?, if known.is_some() { New::No } else { New::Yes }))
    }

    /// Ends a Subscription. What is not there is gone already.
    pub(crate) async fn remove_subscription(&self, id: &ResourceId, asking: &Asking) -> Result<(), GatewayError> {
        permit(asking, Action::Delete)?;
        let _one_at_a_time = self.subscriptions.changing.lock().await;
        let Ok(own) = self.own_subscription(id.as_str(), asking) else { return Ok(()) };
        asking.trail.touches(own.patient()?);
        self.roster.remove_row(RosterKind::Subscription, id.as_str().as_bytes()).await?;
        lock(&self.subscriptions.all).remove(id.as_str());
        Ok(())
    }

    /// The one patient whose record a Subscription is about, by the identity that it names.
    async fn patient_subscribed(&self, wish: &Wish, asking: &Asking) -> Result<Pseudonym, GatewayError> {
        let name = match wish.query.patient_named() {
            Some(PatientNamed::Id(id)) => id.as_str().to_owned(),
            Some(PatientNamed::Identifier(token)) => {
                let identifier = token.identifier();
                let identifier = identifier.ok_or_else(|| {
                    wrong("criteria", "the patient's identifier needs its system", "send system|value")
                })?;
                let known = self.find(&[self.directory.locator(&identifier)]).await?;
                return known.map(|known| known.patient).ok_or_else(GatewayError::unknown_patient);
            }
            Some(PatientNamed::Several) => {
                return Err(wrong("criteria", "they name more than one patient", "subscribe for each"));
            }
            None => match &asking.patient {
                Some(context) => context.as_str().to_owned(),
                None => {
                    return Err(wrong(
                        "criteria",
                        "they name no patient",
                        "send a search such as Observation?patient=id",
                    ));
                }
            },
        };
        let known = self.patient_holding(ResourceType::PATIENT, &name, &asking.purpose).await?;
        known.ok_or_else(GatewayError::unknown_patient)
    }

    /// A patient was erased: nothing is kept of what was to be told of them.
    pub(crate) async fn end_subscriptions_of(&self, patient: Pseudonym) -> Result<(), GatewayError> {
        let _one_at_a_time = self.subscriptions.changing.lock().await;
        let patient = patient.to_string();
        let of_patient: Vec<String> = lock(&self.subscriptions.all)
            .values()
            .filter(|one| one.patient == patient)
            .map(|one| one.id.clone())
            .collect();
        for id in of_patient {
            self.roster.remove_row(RosterKind::Subscription, id.as_bytes()).await?;
            lock(&self.subscriptions.all).remove(&id);
        }
        Ok(())
    }

    /// Who subscribed, as they may ask now.
    async fn subscriber(&self, subscription: &Subscription) -> Result<Asking, GatewayError> {
        let now = crate::authorization::seconds(self.sessions.now());
        let access = self.authorization.ask(|server| server.kept_access(&subscription.right, now));
        let access = access.map_err(|_| {
            refused(
                401,
                "subscriber-ended",
                "what the Subscription was made with has ended: a token, an approval, a session or an app",
                "send it again with a token that counts",
            )
        })?;
        let mut asking = Asking::of(&access, subscription.purpose.clone())?;
        asking.delegation = self.delegation_of(&access)?;
        if let Some(patient) = &asking.patient {
            asking.context = self.context_of(patient.as_str()).await?;
        }
        Ok(asking)
    }

    /// On disk first, then in force.
    async fn write_subscription(&self, subscription: &Subscription) -> Result<(), GatewayError> {
        let row =
            serde_json::to_vec(subscription).map_err(|_| GatewayError::Kept("a Subscription cannot be written"))?;
        self.roster.put_row(RosterKind::Subscription, subscription.id.as_bytes(), &row).await?;
        lock(&self.subscriptions.all).insert(subscription.id.clone(), subscription.clone());
        Ok(())
    }

    /// It tells nobody any more, by itself: the reason stands in it, and in the audit log.
    async fn stop_subscription(
        &self,
        mut subscription: Subscription,
        status: Status,
        code: &str,
        reason: String,
    ) -> Result<(), GatewayError> {
        tracing::warn!(id = subscription.id, status = status.as_str(), code, "a Subscription stopped");
        let mut entry = self.journal.event(EventKind::SubscriptionChanged).purpose(&subscription.purpose);
        entry.patient = subscription.patient.parse().ok();
        let entry = entry.detail(Detail::Subject, &subscription.id).detail(Detail::Reason, code);
        self.journal.append(entry.detail(Detail::After, status.as_str())).await?;
        subscription.status = status;
        subscription.reason = Some(reason);
        subscription.failed = 0;
        self.write_subscription(&subscription).await
    }
}

/// Whether a Subscription was not there before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum New {
    Yes,
    No,
}

/// Scopes with a filter do not reach Subscriptions.
fn permit(asking: &Asking, action: Action) -> Result<(), GatewayError> {
    match Allowed::by(asking, Record::InContext, action, ResourceType::SUBSCRIPTION)? {
        Allowed::Everything => Ok(()),
        Allowed::Found(_) | Allowed::Nothing => Err(scope_lacks(ResourceType::SUBSCRIPTION, action)),
    }
}

fn refused(status: u16, code: &'static str, text: &str, remedy: &str) -> GatewayError {
    let issue = match status {
        401 => IssueCode::Login,
        403 => IssueCode::Forbidden,
        409 | 412 => IssueCode::Conflict,
        _ => IssueCode::BusinessRule,
    };
    GatewayError::request(status, issue, code, text, remedy)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
