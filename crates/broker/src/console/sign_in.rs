//! Signing in to the console: to the operator's OpenID provider and back. Who has neither the role of an operator nor
//! that of an auditor is refused. Each sign-in, refusal and sign-out is in the broker's audit log before its answer leaves.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use axum::extract::{FromRequestParts, RawQuery, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use maud::html;
use sealwort_audit::{Detail, Event, EventKind};
use sealwort_journal::JournalError;
use sealwort_net::server::PeerAddress;
use sealwort_net::{Shutdown, observe};
use sealwort_oidc::oidc::SignedIn;
use sealwort_oidc::{Role, SessionId};
use sealwort_pages::words::console as words;
use sealwort_pki::UnixTime;
use sealwort_sign_in::flows::Busy;
use sealwort_sign_in::{
    Attempts, Flows, Lifetimes, LockoutRule, Over, ProviderClient, ProviderError, Session, Sessions, Source, cookies,
    is_same,
};
use zeroize::Zeroizing;

use super::form::Form;
use super::frame::{see_other, told};
use super::{Console, ConsoleSignInConfig};
use crate::sessions::lock;

/// Cookie of a session, and the one that a browser keeps while its user is at the provider.
const SESSION: &str = "console";
const DEPARTURE: &str = "console-sign-in";
const OPERATOR: &str = "operator";
const AUDITOR: &str = "auditor";
/// The header of requests that a page sends by itself.
const BY_ITSELF: &str = "hx-request";
/// Where the provider sends the browser back to.
const CALLBACK: &str = "/login/callback";

/// Who signed in, and where from.
struct Person {
    name: String,
    may: May,
    source: Option<IpAddr>,
    /// For the sign-out at the provider.
    id_token: Zeroizing<String>,
}

/// What somebody may do here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum May {
    /// See all, and end sessions.
    Operate,
    /// See all.
    Look,
}

impl May {
    pub(crate) const fn role(self) -> &'static str {
        match self {
            Self::Operate => OPERATOR,
            Self::Look => AUDITOR,
        }
    }
}

/// Somebody who is signed in, and asks for a page.
#[derive(Debug, Clone)]
pub(crate) struct Visitor {
    pub(crate) name: String,
    pub(crate) may: May,
    /// Stands in every form of the session's pages.
    pub(crate) form: String,
    /// When the session ends; what is read for them ends then.
    pub(crate) end: Shutdown,
    id: SessionId,
}

impl Visitor {
    /// Whether a form is of this session's own pages.
    pub(crate) fn owns(&self, form: &Form) -> bool {
        is_same(&self.form, form.value("form").unwrap_or_default())
    }
}

/// Somebody who is signed in, as operators see them.
pub(super) struct Present {
    pub(super) id: SessionId,
    pub(super) name: String,
    pub(super) may: May,
    pub(super) source: Option<IpAddr>,
    pub(super) since: UnixTime,
    pub(super) used: UnixTime,
}

/// Signing in.
pub(crate) struct SignIn {
    provider: ProviderClient,
    flows: Flows<()>,
    sessions: Sessions<Person>,
    attempts: Mutex<Attempts>,
}

impl SignIn {
    /// `root` is where browsers reach the console. The error names the option at fault.
    pub(super) fn open(config: &ConsoleSignInConfig, root: &str) -> Result<Self, String> {
        let mut roles = BTreeMap::new();
        for (theirs, ours) in [(&config.auditors, AUDITOR), (&config.operators, OPERATOR)] {
            let ours: Role = ours.parse().map_err(|_| "a role is no name".to_owned())?;
            roles.extend(theirs.iter().map(|theirs| (theirs.clone(), ours.clone())));
        }
        if config.operators.is_empty() {
            return Err("operators is empty: nobody would be one".to_owned());
        }
        let provider = ProviderClient::open(&config.provider, roles, "", format!("{root}{CALLBACK}"))?;
        let lifetimes = Lifetimes::new(&config.sessions)?;
        let attempts = Mutex::new(Attempts::new(LockoutRule::new(&config.lockout)?));
        Ok(Self { provider, flows: Flows::default(), sessions: Sessions::new(lifetimes), attempts })
    }

    fn attempts(&self) -> MutexGuard<'_, Attempts> {
        lock(&self.attempts)
    }

    /// Where a sign-out leads, if it leads out of the console: scheme, host and port.
    pub(super) fn onward(&self) -> Option<String> {
        let url = self.provider.logout_endpoint()?;
        let uri: http::Uri = url.parse().ok()?;
        Some(format!("{}://{}", uri.scheme_str()?, uri.authority()?))
    }
}

/// `GET /login`
pub(super) async fn login(State(console): State<Arc<Console>>, parts: Parts) -> Response {
    let (now, source) = (console.now(), source(&parts));
    let begun = match console.sign_in.provider.begin(None, now).await {
        Ok(begun) => begun,
        Err(error) => return away(&error),
    };
    match console.sign_in.flows.keep(&begun.state, begun.flow, (), source.map(Source::from), now) {
        Ok(cookie) => with_cookie(&console, see_other(&begun.url), DEPARTURE, &cookie),
        Err(Busy) => told(StatusCode::SERVICE_UNAVAILABLE, words::SIGN_IN_BUSY, words::SIGN_IN_BUSY_NEXT),
    }
}

/// `GET /login/callback?code=…&state=…`
pub(super) async fn callback(State(console): State<Arc<Console>>, RawQuery(query): RawQuery, parts: Parts) -> Response {
    let (form, source) = (Form::of(query.as_deref().unwrap_or_default().as_bytes()), source(&parts));
    finished(async move {
        match console.arrive(&form, &parts.headers, source).await {
            Ok(cookie) => {
                // Who was signed in here before is not any more.
                if let Some(before) = console.visitor(&parts.headers) {
                    console.end(|id, _| *id == before.id, words::ENDED_ANEW);
                }
                let response = with_cookie(&console, see_other("/"), DEPARTURE, "");
                with_cookie(&console, response, SESSION, &cookie)
            }
            Err(Refused::Away(error)) => away(&error),
            Err(Refused::Log) => log_away(),
            Err(Refused::Wait(wait)) => waits(wait),
            Err(Refused::Stranger) => {
                tracing::debug!(?source, "somebody came from no sign-in that a browser began here");
                told(StatusCode::FORBIDDEN, words::SIGN_IN_REFUSED, words::SIGN_IN_USED)
            }
            Err(Refused::Person { account, reason, shown }) => {
                console.refused(account.as_deref(), source, &reason, &shown).await
            }
        }
    })
    .await
}

/// `POST /logout`
pub(super) async fn logout(State(console): State<Arc<Console>>, visitor: Visitor, form: Form) -> Response {
    if !visitor.owns(&form) {
        return not_from_here();
    }
    // Whatever becomes of the entry, the session is over.
    let ended = console.sign_in.sessions.end_where(|id, _| *id == visitor.id).pop();
    finished(async move {
        let mut onward = None;
        if let Some((_, person)) = ended {
            let entry =
                console.ending(EventKind::SignedOut, (&person.name, person.may), &person, words::ENDED_SIGNED_OUT);
            if let Err(error) = console.broker.journal.append(entry).await {
                tracing::error!(%error, "the end of a session at the console could not be kept");
            }
            let back = format!("{}/signed-out", console.root);
            onward = console.sign_in.provider.logout_url(&person.id_token, &back);
        }
        with_cookie(&console, see_other(onward.as_deref().unwrap_or("/signed-out")), SESSION, "")
    })
    .await
}

/// What was begun is finished, also where the browser goes away in the middle: the log says that it was done.
pub(super) async fn finished(work: impl Future<Output = Response> + Send + 'static) -> Response {
    tokio::spawn(observe::follow(work)).await.unwrap_or_else(|_| log_away())
}

/// `GET /signed-out`
pub(super) async fn signed_out() -> Response {
    let content = html! { p { a .button href="/login" { (words::SIGN_IN) } } };
    super::frame::bare(StatusCode::OK, words::SIGNED_OUT, &content)
}

/// Why nobody is let in.
enum Refused {
    /// The provider cannot be used.
    Away(ProviderError),
    /// The audit log cannot be written.
    Log,
    /// After failures there is a wait, which is entered already.
    Wait(Duration),
    /// They come from no sign-in of this browser. Anybody can ask for that, so that nothing is entered.
    Stranger,
    /// What was shown does not count, or is not enough.
    Person { account: Option<String>, reason: String, shown: String },
}

impl Refused {
    fn of(reason: &str) -> Self {
        let reason = reason.to_owned();
        Self::Person { account: None, shown: reason.clone(), reason }
    }
}

impl From<ProviderError> for Refused {
    fn from(error: ProviderError) -> Self {
        match error {
            // What the provider said may be the fault of whoever came with its answer.
            ProviderError::Fault(fault) => Self::of(&fault.to_string()),
            away @ ProviderError::Away(_) => Self::Away(away),
        }
    }
}

impl Console {
    /// Somebody comes back from the provider; the cookie of their session.
    async fn arrive(
        &self,
        form: &Form,
        headers: &HeaderMap,
        source: Option<IpAddr>,
    ) -> Result<Zeroizing<String>, Refused> {
        let (now, sign_in) = (self.now(), &self.sign_in);
        let cookie = cookies::value(headers, DEPARTURE, self.secure);
        let waiting = sign_in.flows.take(form.value("state").unwrap_or_default(), cookie, now);
        let waiting = waiting.ok_or(Refused::Stranger)?;
        if !sign_in.provider.answers_as(form.value("iss"), now).await? {
            return Err(Refused::of(words::SIGN_IN_OTHER_ISSUER));
        }
        if form.value("error").is_some() {
            return Err(Refused::of(words::SIGN_IN_NOT_SIGNED));
        }
        let code = form.value("code").ok_or_else(|| Refused::of(words::SIGN_IN_NOT_SIGNED))?;
        let (signed_in, id_token) = sign_in.provider.finish(&waiting.flow, code, now).await?;
        let name = signed_in.name.to_string();
        let may = may(&signed_in).ok_or_else(|| Refused::Person {
            account: Some(name.clone()),
            reason: words::NO_ROLE.to_owned(),
            shown: words::no_role(&name),
        })?;
        let allowed = source.map(|source| sign_in.attempts().allowed(&name, Source::from(source), now));
        allowed.unwrap_or(Ok(())).map_err(Refused::Wait)?;
        let entry = self.entry(EventKind::SignedIn, &name, may.role());
        let entry = entry.detail(Detail::Address, source.map(|address| address.to_string()).unwrap_or_default());
        self.broker.journal.append(entry).await.map_err(|_| Refused::Log)?;
        tracing::info!(user = name, role = may.role(), ?source, "somebody signed in to the console");
        if let Some(source) = source {
            sign_in.attempts().succeeded(&name, Source::from(source));
        }
        let begun = sign_in.sessions.begin(|_| Person { name, may, source, id_token }, now);
        let begun = begun.ok_or_else(|| Refused::of(words::SIGN_IN_BUSY))?;
        for (_, person) in begun.gone {
            self.ended(&person, words::ENDED_IDLE);
        }
        Ok(begun.cookie)
    }

    /// Tells somebody that they are not let in, when that is on disk.
    async fn refused(&self, account: Option<&str>, source: Option<IpAddr>, reason: &str, shown: &str) -> Response {
        let now = self.now();
        tracing::warn!(account, ?source, reason, "a sign-in to the console was refused");
        let (was_waiting, wait) = source.map(Source::from).map_or((false, None), |source| {
            let mut attempts = self.sign_in.attempts();
            (attempts.is_waiting(source, now), attempts.failed(account, source, now))
        });
        if let (None, true, Some(wait)) = (account, was_waiting, wait) {
            // That this address waits is entered already.
            return waits(wait);
        }
        let address = source.map(|address| address.to_string()).unwrap_or_default();
        let mut entry = self.entry(EventKind::SignedIn, account.unwrap_or_default(), "");
        entry.note(Detail::Address, &address);
        let mut entries = vec![entry.refused("access-refused").detail(Detail::Reason, reason)];
        if let Some(wait) = wait {
            let locked = self.entry(EventKind::LockedOut, account.unwrap_or_default(), "");
            let locked = locked.detail(Detail::Address, &address);
            entries.push(locked.detail(Detail::Until, format!("{} s", wait.as_secs())));
        }
        if self.broker.journal.append_all(entries).await.is_err() {
            return log_away();
        }
        let Some(wait) = wait else {
            return told(StatusCode::FORBIDDEN, words::SIGN_IN_REFUSED, shown);
        };
        waits(wait)
    }

    /// An entry about somebody at the console.
    pub(super) fn entry(&self, kind: EventKind, user: &str, role: &str) -> Event {
        let mut entry = self.broker.journal.event(kind).detail(Detail::Method, super::METHOD);
        entry.user = Some(user).filter(|user| !user.is_empty()).map(Into::into);
        entry.role = Some(role).filter(|role| !role.is_empty()).map(Into::into);
        entry
    }

    /// Who is signed in in this browser. A part of a page that renews itself is no use of the session.
    fn visitor(&self, headers: &HeaderMap) -> Option<Visitor> {
        let cookie = cookies::value(headers, SESSION, self.secure)?;
        let see = |id: &SessionId, session: &Session<Person>| Visitor {
            name: session.person.name.clone(),
            may: session.person.may,
            form: session.form.clone(),
            end: session.end(),
            id: id.clone(),
        };
        let (sessions, now) = (&self.sign_in.sessions, self.now());
        if headers.contains_key(BY_ITSELF) {
            sessions.peek(cookie, now, see)
        } else {
            sessions.of_cookie(cookie, now, see)
        }
    }

    /// Who is signed in, those first who came last.
    pub(super) fn people(&self) -> Vec<Present> {
        let see = |id: &SessionId, session: &Session<Person>| Present {
            id: id.clone(),
            name: session.person.name.clone(),
            may: session.person.may,
            source: session.person.source,
            since: session.began,
            used: session.used,
        };
        let mut all = self.sign_in.sessions.list(self.now(), see);
        all.sort_by_key(|one| std::cmp::Reverse(one.since));
        all
    }

    /// An operator ends somebody's session. Whether there was one, when that is on disk.
    pub(super) async fn sign_off(&self, id: &SessionId, by: &Visitor) -> Result<bool, JournalError> {
        let Some((_, person)) = self.sign_in.sessions.end_where(|one, _| one == id).pop() else { return Ok(false) };
        tracing::info!(user = person.name, by = by.name, "a session of the console was ended");
        let entry = self.ending(EventKind::SignInEnded, (&by.name, by.may), &person, words::ENDED_BY_OPERATOR);
        self.broker.journal.append(entry.detail(Detail::Subject, &person.name)).await?;
        Ok(true)
    }

    /// Ends sessions that are so.
    fn end(&self, those: impl Fn(&SessionId, &Person) -> bool, why: &'static str) {
        for (_, person) in self.sign_in.sessions.end_where(those) {
            self.ended(&person, why);
        }
    }

    fn ended(&self, person: &Person, why: &'static str) {
        self.broker.journal.note(self.ending(EventKind::SignedOut, (&person.name, person.may), person, why));
    }

    /// An entry about the end of somebody's session, by whom, and why.
    fn ending(&self, kind: EventKind, by: (&str, May), person: &Person, why: &'static str) -> Event {
        let address = person.source.map(|address| address.to_string()).unwrap_or_default();
        self.entry(kind, by.0, by.1.role()).detail(Detail::Reason, why).detail(Detail::Address, address)
    }

    /// Ends sessions whose time is over, and forgets failures of long ago.
    pub(super) fn tidy(&self) {
        let now = self.now();
        for (_, person, why) in self.sign_in.sessions.sweep(now) {
            let why = match why {
                Over::Idle => words::ENDED_IDLE,
                Over::Lifetime => words::ENDED_LIFETIME,
            };
            self.ended(&person, why);
        }
        self.sign_in.attempts().sweep(now);
    }
}

impl FromRequestParts<Arc<Console>> for Visitor {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, console: &Arc<Console>) -> Result<Self, Response> {
        console.visitor(&parts.headers).ok_or_else(|| nobody(&parts.headers))
    }
}

/// Answers somebody for as long as their session goes on: what is read for them ends with it.
pub(super) async fn while_signed_in(visitor: Visitor, request: Request, next: Next) -> Response {
    let headers = request.headers().clone();
    visitor.end.bound(next.run(request)).await.unwrap_or_else(|| nobody(&headers))
}

/// Nobody is signed in.
fn nobody(headers: &HeaderMap) -> Response {
    if headers.contains_key(BY_ITSELF) {
        // A piece of a page cannot lead to another site; the page as a whole can.
        return (StatusCode::UNAUTHORIZED, [("hx-refresh", "true")]).into_response();
    }
    see_other("/login")
}

/// The most that the provider's roles allow; the order in which it names them says nothing.
fn may(signed_in: &SignedIn) -> Option<May> {
    let has = |wanted: &str| signed_in.roles.iter().any(|role| role.as_str() == wanted);
    if has(OPERATOR) {
        return Some(May::Operate);
    }
    has(AUDITOR).then_some(May::Look)
}

fn source(parts: &Parts) -> Option<IpAddr> {
    parts.extensions.get::<PeerAddress>().map(|PeerAddress(address)| address.ip())
}

fn with_cookie(console: &Console, mut response: Response, name: &str, value: &str) -> Response {
    cookies::set(response.headers_mut(), name, value, console.secure);
    response
}

fn away(error: &ProviderError) -> Response {
    tracing::warn!(%error, "the provider for sign-in to the console cannot be used");
    told(StatusCode::BAD_GATEWAY, words::PROVIDER_AWAY, &words::provider_away(&error.to_string()))
}

/// Somebody has to wait.
fn waits(wait: Duration) -> Response {
    let mut response = told(StatusCode::TOO_MANY_REQUESTS, words::SIGN_IN_WAIT, &words::wait(wait.as_secs()));
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(wait.as_secs()));
    response
}

/// The audit log cannot be written, and nothing is shown without it.
pub(super) fn log_away() -> Response {
    told(StatusCode::SERVICE_UNAVAILABLE, words::LOG_AWAY, words::LOG_AWAY_NEXT)
}

/// A form that is not of the session's pages.
pub(super) fn not_from_here() -> Response {
    told(StatusCode::FORBIDDEN, words::NOT_FROM_HERE, words::NOT_FROM_HERE_NEXT)
}

#[cfg(test)]
mod tests {
    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn what_was_begun_is_finished_also_where_nobody_waits_for_it() {
        let (begin, told) = oneshot::channel();
        let (go_on, goes_on) = oneshot::channel::<()>();
        let (finish, done) = oneshot::channel();
        let answering = tokio::spawn(finished(async move {
            begin.send(()).unwrap();
            goes_on.await.unwrap();
            finish.send(()).unwrap();
            StatusCode::OK.into_response()
        }));
        told.await.unwrap();
        answering.abort();
        assert!(answering.await.is_err());
        go_on.send(()).unwrap();
        done.await.unwrap();
    }
}
