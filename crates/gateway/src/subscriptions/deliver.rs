//! Telling subscribers: what lies behind the place up to which one was told is judged under their rights, and sent.
//! Each look judges anew, so a second try never sends what the first might have and the subscriber may not see any more.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Method, Request, header};
use sealwort_audit::{Detail, Event, EventKind};
use sealwort_fhir::search::{Handling, Query};
use sealwort_net::Shutdown;
use sealwort_net::observe;
use sealwort_smart::Action;

use super::wish::{Payload, Wish, ids_only};
use super::{Status, Subscription, Told, lock};
use crate::Gateway;
use crate::error::GatewayError;
use crate::seen::Seen;
use crate::user::Asking;
use crate::view::{Origin, ordinal};

/// How often rights and what is due are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// How often all are looked at, whether or not anything was told of them: the broker remembers so many patients of a
/// session, and no more.
const LOOK_AT_ALL_EVERY: Duration = Duration::from_mins(15);
/// How long a look that found the exchange away waits for the next, in seconds.
const AWAY_SECONDS: u64 = 2;
/// Most changes in one notice; the rest comes in the next.
const CHANGES_MAX: usize = 100;

/// Whether a Subscription is to be looked at again without being told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    Told,
    Again,
}

/// Delivers until `shutdown`.
pub(crate) async fn deliver_forever(gateway: Arc<Gateway>, shutdown: Shutdown) {
    let mut looked_at_all = Instant::now();
    loop {
        tokio::select! {
            () = tokio::time::sleep(LOOK_EVERY) => {}
            () = gateway.subscriptions.heard.notified() => {}
            () = shutdown.wait() => return,
        }
        if looked_at_all.elapsed() >= LOOK_AT_ALL_EVERY {
            looked_at_all = Instant::now();
            gateway.subscriptions.all_changed();
        }
        gateway.end_subscriptions().await;
        for id in gateway.take_due() {
            let gateway = Arc::clone(&gateway);
            tokio::spawn(observe::follow(async move {
                let _one_of_few = gateway.subscriptions.one_of_few().await;
                let next = gateway.look(&id).await.unwrap_or_else(|error| {
                    tracing::error!(%error, id, "a Subscription could not be looked at; it is tried again");
                    Next::Again
                });
                lock(&gateway.subscriptions.busy).remove(&id);
                if next == Next::Again {
                    lock(&gateway.subscriptions.to_look_at).insert(id);
                }
            }));
        }
    }
}

impl Gateway {
    /// Ends those whose subscriber has lost their right, or whose time is over, whether or not anything changed.
    async fn end_subscriptions(&self) {
        let active: Vec<Subscription> =
            lock(&self.subscriptions.all).values().filter(|one| one.status == Status::Active).cloned().collect();
        for one in active {
            if let Err(error) = self.end_if_over(&one).await {
                tracing::error!(%error, id = one.id, "a Subscription could not be ended; it is tried again");
            }
        }
    }

    /// Whether it ended.
    async fn end_if_over(&self, one: &Subscription) -> Result<bool, GatewayError> {
        let subscriber = match self.subscriber(one).await {
            // What could not be looked up has not ended.
            Err(error) if error.status() >= 500 => return Err(error),
            subscriber => subscriber,
        };
        let over = match (Wish::read_kept(one), subscriber) {
            (_, Err(error)) | (Err(error), Ok(_)) => Some((error.code().to_owned(), error.to_string())),
            (Ok(wish), Ok(_)) if wish.end.is_some_and(|end| end <= self.sessions.now().as_secs()) => {
                Some(("subscription-ended".to_owned(), "its end is over".to_owned()))
            }
            (Ok(_), Ok(_)) => None,
        };
        let Some((code, reason)) = over else { return Ok(false) };
        let _one_at_a_time = self.subscriptions.changing.lock().await;
        if let Some(now) = self.current(one) {
            self.stop_subscription(now, Status::Off, &code, reason).await?;
        }
        Ok(true)
    }

    /// Those to look at now, which are busy from now on.
    fn take_due(&self) -> Vec<String> {
        let subscriptions = &self.subscriptions;
        let now = self.sessions.now().as_secs();
        let all = lock(&subscriptions.all);
        let (mut busy, mut to_look_at) = (lock(&subscriptions.busy), lock(&subscriptions.to_look_at));
        to_look_at.retain(|id| all.get(id).is_some_and(|one| one.status == Status::Active));
        let is_due = |id: &&String| !busy.contains(*id) && all.get(*id).is_some_and(|one| one.due <= now);
        let due: Vec<String> = to_look_at.iter().filter(is_due).cloned().collect();
        for id in &due {
            to_look_at.remove(id);
            busy.insert(id.clone());
        }
        due
    }

    /// The Subscription as it is now, unless its subscriber changed it meanwhile.
    fn current(&self, seen: &Subscription) -> Option<Subscription> {
        self.subscriptions.get(&seen.id).filter(|now| now.version == seen.version && now.status == Status::Active)
    }

    /// Judges what lies behind, and tells of it.
    async fn look(&self, id: &str) -> Result<Next, GatewayError> {
        let Some(mut one) = self.subscriptions.get(id).filter(|one| one.status == Status::Active) else {
            return Ok(Next::Told);
        };
        let Ok(asking) = self.subscriber(&one).await else {
            return Ok(if self.end_if_over(&one).await? { Next::Told } else { Next::Again });
        };
        let wish = Wish::read_kept(&one)?;
        let found = self.changes(&one, &wish, &asking).await;
        let (changes, reached) = match found {
            Ok(found) => found,
            Err(error) if error.status() >= 500 => {
                tracing::debug!(%error, id, "a Subscription waits for the exchange");
                one.due = self.sessions.now().as_secs() + AWAY_SECONDS;
                let _one_at_a_time = self.subscriptions.changing.lock().await;
                if let Some(mut now) = self.current(&one) {
                    now.due = one.due;
                    lock(&self.subscriptions.all).insert(now.id.clone(), now);
                }
                return Ok(Next::Again);
            }
            Err(error) => {
                let (code, reason) = (error.code().to_owned(), error.to_string());
                let _one_at_a_time = self.subscriptions.changing.lock().await;
                if let Some(now) = self.current(&one) {
                    self.stop_subscription(now, Status::Error, &code, reason).await?;
                }
                return Ok(Next::Told);
            }
        };
        if changes.is_empty() {
            return self.has_told(&one, reached, 0).await;
        }
        // A right may have ended while the record was read.
        if self.end_if_over(&one).await? {
            return Ok(Next::Told);
        }
        self.journal.append(self.delivery(&one, &wish, &asking, changes.len())).await?;
        match self.notify(&one, &wish, &changes).await {
            Ok(()) => self.has_told(&one, reached, changes.len() as u64).await,
            Err(reason) => self.not_told(&one, &wish, &asking, &reason).await,
        }
    }

    /// What the subscriber may see and has not been told of, and how far that reaches in the log.
    async fn changes(
        &self,
        one: &Subscription,
        wish: &Wish,
        asking: &Asking,
    ) -> Result<(Vec<String>, Told), GatewayError> {
        let (patient, told) = (one.patient()?, one.told()?);
        let view = self.open(patient, asking).await?;
        let (here, end) = (view.patient, view.at.sequence);
        // Once it is merged or parted, another log goes on, from where that is said in it, or from where the subscriber was
        // told of it before. Who may not see what is said, and was told of nothing, begins with what comes.
        let begin = if told.log == here {
            told.place
        } else {
            let said = view.merge_told(&self.registered_by(here).await?, patient);
            said.max(one.elsewhere.get(&here.to_string()).copied()).unwrap_or(end)
        };
        if told.log == here && end <= begin {
            return Ok((Vec::new(), told));
        }
        let parameters = crate::face::surviving(self, wish.parameters.clone()).await?;
        let query = Query::parse(Some(wish.kind), &parameters, Handling::Strict)?;
        let seen = Seen::new(view, asking, Action::Search)?;
        let corpus = seen.view.corpus();
        let filter = query.filter(corpus, seen.visible());
        let untold = |origin: &Origin| match origin.log {
            log if log == here => origin.entry.sequence > begin,
            log if log == told.log => origin.entry.sequence > told.place,
            // Of a further record that was merged into this one its own Subscriptions tell.
            _ => false,
        };
        let mut found: Vec<(bool, u64, String)> = seen
            .places()
            .filter(|(_, held)| untold(&held.newest().origin))
            .filter(|(place, _)| {
                let document = ordinal(*place).and_then(|at| corpus.document(at));
                document.is_some_and(|document| filter.accepts(document))
            })
            .map(|(_, held)| (&held.newest().origin, format!("{}/{}", held.kind, held.id)))
            .map(|(origin, name)| (origin.log == here, origin.entry.sequence, name))
            .collect();
        found.sort_unstable();
        // What does not fit lies behind the last one that does.
        let rest = found.get(CHANGES_MAX).is_some();
        found.truncate(CHANGES_MAX);
        let reached = found.last().filter(|_| rest).map_or(Told { log: here, place: end }, |(is_here, sequence, _)| {
            Told { log: if *is_here { here } else { told.log }, place: *sequence }
        });
        Ok((found.into_iter().map(|(_, _, name)| name).collect(), reached))
    }

    async fn notify(&self, one: &Subscription, wish: &Wish, changes: &[String]) -> Result<(), String> {
        let at = crate::face::reply::date(self.sessions.now());
        let at = at.and_then(|at| at.format(&time::format_description::well_known::Rfc3339).ok()).unwrap_or_default();
        let body = match wish.payload {
            Payload::Empty => Bytes::new(),
            Payload::Ids => ids_only(&self.base, &one.id, one.events + changes.len() as u64, &at, changes),
        };
        let mut request = Request::new(body);
        *request.method_mut() = Method::POST;
        *request.uri_mut() = wish.endpoint.parse().map_err(|_| "the endpoint is no URL".to_owned())?;
        if wish.payload == Payload::Ids {
            let media = header::HeaderValue::from_static("application/fhir+json");
            request.headers_mut().insert(header::CONTENT_TYPE, media);
        }
        for (name, value) in &wish.headers {
            request.headers_mut().append(name, value.clone());
        }
        let answer = self.subscriptions.web.send(request).await.map_err(|error| error.to_string())?;
        match answer.status() {
            status if status.is_success() => Ok(()),
            status if status.is_redirection() => Err(format!("the endpoint answered {status}, and is not followed")),
            status => Err(format!("the endpoint answered {status}")),
        }
    }

    /// Its subscriber knows of everything up to this place.
    async fn has_told(&self, one: &Subscription, reached: Told, changes: u64) -> Result<Next, GatewayError> {
        let _one_at_a_time = self.subscriptions.changing.lock().await;
        if let Some(mut now) =
            self.current(one).filter(|now| changes > 0 || now.told().is_ok_and(|told| told != reached))
        {
            now.reaches(reached);
            now.events += changes;
            now.failed = 0;
            self.write_subscription(&now).await?;
        }
        // What did not fit into this notice, or came meanwhile, is found by the next look.
        Ok(if changes > 0 { Next::Again } else { Next::Told })
    }

    /// The notice was not taken.
    async fn not_told(
        &self,
        one: &Subscription,
        wish: &Wish,
        asking: &Asking,
        reason: &str,
    ) -> Result<Next, GatewayError> {
        tracing::warn!(id = one.id, reason, "a subscriber was not told");
        self.journal.append(self.delivery(one, wish, asking, 0).failed("not-delivered")).await?;
        let _one_at_a_time = self.subscriptions.changing.lock().await;
        let Some(mut now) = self.current(one) else { return Ok(Next::Told) };
        now.failed = now.failed.saturating_add(1);
        let Some(wait) = self.subscriptions.wait_after(now.failed) else {
            let reason = format!("given up after {} tries; the last: {reason}", now.failed);
            self.stop_subscription(now, Status::Error, "not-delivered", reason).await?;
            return Ok(Next::Told);
        };
        now.due = self.sessions.now().as_secs().saturating_add(wait);
        self.write_subscription(&now).await?;
        Ok(Next::Again)
    }

    /// The entry about a notice.
    fn delivery(&self, one: &Subscription, wish: &Wish, asking: &Asking, changes: usize) -> Event {
        let mut entry = self.entry(EventKind::SubscriptionDelivered, asking);
        entry.patient = one.patient().ok();
        let entry = entry.detail(Detail::Subject, &one.id).detail(Detail::Recipient, wish.host());
        entry.detail(Detail::Count, changes)
    }
}

impl Wish {
    /// Reads one that is kept; its status is kept apart from it.
    fn read_kept(one: &Subscription) -> Result<Self, GatewayError> {
        let mut resource = one.resource.clone();
        if let Some(fields) = resource.as_object_mut() {
            fields.insert("status".to_owned(), serde_json::json!("active"));
        }
        Self::read(&resource)
    }
}
