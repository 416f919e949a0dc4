//! People who sign in at the hospital's own OpenID provider: the way there and back, their sessions, and what happens
//! after failures. Pages and routes are in `face::sign_in`.

pub(crate) mod events;
pub(crate) mod sessions;

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};

use sealwort_audit::Event;
use sealwort_fhir::IssueCode;
use sealwort_sign_in::flows::Busy;
use sealwort_sign_in::{Attempts, Flows, LockoutRule, ProviderClient, ProviderError, Source};
use sealwort_smart::oidc::{PATIENT_ROLE, SignInFault, SignedIn};
use sealwort_smart::{Role, SessionId, User, UserName};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::Gateway;
use crate::authorization::{AUTH, seconds};
use crate::error::GatewayError;
use events::{Ending, PersonEvent};
pub use sealwort_sign_in::{LockoutConfig, ProviderConfig, SessionsConfig};
use sessions::{Ended, Lifetimes, Person, PersonSessions, Who};

/// The role of a session of somebody who is nobody's user here but a delegate; in requests stands what they are to whom.
const DELEGATE_ROLE: &str = "delegate";
/// Longest request of an app that is kept meanwhile, in bytes.
const REQUEST_BYTES_MAX: usize = 16 * 1024;

/// `[sign_in]`: people who sign in at the hospital's OpenID provider.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SignInConfig {
    /// The provider.
    pub provider: ProviderConfig,
    /// Roles or groups of the provider, and the roles here that they mean.
    pub roles: BTreeMap<String, String>,
    /// Roles that look after sessions and lockouts, order erasures, and merge identities.
    pub administrators: Vec<String>,
    /// The claim that says which patient a user is: `system|value`, a Patient's id, or a value of `patient_system`.
    pub patient_claim: String,
    /// The system of the identifiers in that claim; empty where they have their own.
    pub patient_system: String,
    /// The organisation in which these users work.
    pub organisation: String,
    /// How long sessions last.
    pub sessions: SessionsConfig,
    /// What follows failures.
    pub lockout: LockoutConfig,
}

impl Default for SignInConfig {
    fn default() -> Self {
        Self {
            provider: ProviderConfig::default(),
            roles: BTreeMap::new(),
            administrators: vec!["administrator".to_owned()],
            patient_claim: String::new(),
            patient_system: String::new(),
            organisation: String::new(),
            sessions: SessionsConfig::default(),
            lockout: LockoutConfig::default(),
        }
    }
}

/// Signing in.
pub(crate) struct SignIn {
    provider: Option<ProviderClient>,
    organisation: String,
    administrators: Vec<String>,
    patient_system: String,
    flows: Flows<Next>,
    pub(crate) sessions: PersonSessions,
    attempts: Mutex<Attempts>,
}

/// Where a user goes once signed in.
#[derive(Debug, Clone)]
pub(crate) enum Next {
    /// To their own page.
    Session,
    /// On with the request of an app, which is given as a query.
    App(String),
    /// On with the request of `sealwort login`, likewise.
    Terminal(String),
    /// To a page of this gateway, by its path.
    Page(String),
}

/// A sign-in that begins: where the browser goes, and the cookie that it keeps until it is back.
pub(crate) struct Departure {
    pub(crate) url: String,
    pub(crate) cookie: Zeroizing<String>,
}

/// Why somebody is not let in.
pub(crate) enum Refusal {
    /// What was shown does not count, for this account where it is known. It counts as a failure.
    Failed(Option<String>, String),
    Other(GatewayError),
}

impl From<GatewayError> for Refusal {
    fn from(error: GatewayError) -> Self {
        Self::Other(error)
    }
}

/// A sign-in that is done: the session's cookie, and where the user goes.
pub(crate) struct Arrival {
    pub(crate) cookie: Zeroizing<String>,
    pub(crate) next: Next,
}

/// What came back from the provider.
#[derive(Debug, Default)]
pub(crate) struct Returned<'a> {
    pub(crate) state: &'a str,
    pub(crate) code: Option<&'a str>,
    pub(crate) error: Option<&'a str>,
    pub(crate) iss: Option<&'a str>,
    /// The cookie that [`Departure`] gave.
    pub(crate) cookie: Option<&'a str>,
}

impl SignIn {
    /// `root` is where the gateway answers, without a path. The error names the option at fault.
    pub(crate) fn open(config: &SignInConfig, root: &str) -> Result<Self, String> {
        let lifetimes = Lifetimes::new(&config.sessions)?;
        let provider = if config.provider.issuer.is_empty() { None } else { Some(provider(config, root)?) };
        let (sessions, organisation) = (PersonSessions::new(lifetimes), config.organisation.clone());
        let (patient_system, administrators) = (config.patient_system.clone(), config.administrators.clone());
        let attempts = Mutex::new(Attempts::new(LockoutRule::new(&config.lockout)?));
        Ok(Self { provider, organisation, administrators, patient_system, flows: Flows::default(), sessions, attempts })
    }

    /// Whether a provider is configured.
    pub(crate) fn is_offered(&self) -> bool {
        self.provider.is_some()
    }

    /// Whether users in a role look after the gateway.
    pub(crate) fn is_administrator(&self, role: &str) -> bool {
        self.administrators.iter().any(|one| one == role)
    }

    /// The system of the identifiers by which the provider names patients, if they have none of their own.
    pub(crate) fn patient_system(&self) -> &str {
        &self.patient_system
    }

    fn provider(&self) -> Result<&ProviderClient, GatewayError> {
        let missing = "this gateway has no provider for sign-in";
        self.provider.as_ref().ok_or_else(|| {
            GatewayError::request(
                404,
                IssueCode::NotSupported,
                "sign-in-off",
                missing,
                "configure [sign_in] of the gateway",
            )
        })
    }

    pub(crate) fn attempts(&self) -> std::sync::MutexGuard<'_, Attempts> {
        self.attempts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn provider(config: &SignInConfig, root: &str) -> Result<ProviderClient, String> {
    let mut roles = BTreeMap::new();
    for (theirs, ours) in &config.roles {
        let role: Role = ours.parse().map_err(|error| format!("roles.{theirs}: {error}"))?;
        if role.as_str() == PATIENT_ROLE {
            return Err(format!("roles.{theirs}: no user of the hospital works as a patient; set patient_claim"));
        }
        roles.insert(theirs.clone(), role);
    }
    if roles.is_empty() && config.patient_claim.is_empty() {
        return Err("roles is empty: nobody would have a role here".to_owned());
    }
    ProviderClient::open(&config.provider, roles, &config.patient_claim, format!("{root}{AUTH}/login/callback"))
}

impl Gateway {
    /// A user wants to sign in.
    pub(crate) async fn depart(
        &self,
        next: Next,
        role: Option<Role>,
        source: Option<IpAddr>,
    ) -> Result<Departure, GatewayError> {
        let now = self.sessions.now();
        if matches!(&next, Next::App(request) | Next::Terminal(request) | Next::Page(request) if request.len() > REQUEST_BYTES_MAX)
        {
            let (text, remedy) = ("the app's request is longer than 16 KiB", "ask for fewer scopes");
            return Err(GatewayError::request(400, IssueCode::TooLong, "request-too-long", text, remedy));
        }
        let begun = self.sign_in.provider()?.begin(role, now).await.map_err(|error| provider_failed(&error))?;
        let kept = self.sign_in.flows.keep(&begun.state, begun.flow, next, source.map(Source::from), now);
        let cookie = kept.map_err(|Busy| {
            let text = "too many people are signing in at this moment";
            GatewayError::request(503, IssueCode::Throttled, "sign-in-busy", text, "try again in a minute")
        })?;
        Ok(Departure { url: begun.url, cookie })
    }

    /// A user comes back.
    pub(crate) async fn arrive(&self, returned: Returned<'_>, source: Option<IpAddr>) -> Result<Arrival, Refusal> {
        let now = self.sessions.now();
        let provider = self.sign_in.provider()?;
        let refused = |reason: &str| Refusal::Failed(None, reason.to_owned());
        let Some(waiting) = self.sign_in.flows.take(returned.state, returned.cookie, now) else {
            return Err(refused("this sign-in is not one that this browser began, was used before, or is over"));
        };
        // What the provider said may be the fault of whoever came with its answer.
        let failed = |error: ProviderError| match error {
            ProviderError::Fault(fault) => refused(&fault.to_string()),
            away @ ProviderError::Away(_) => provider_failed(&away).into(),
        };
        if !provider.answers_as(returned.iss, now).await.map_err(failed)? {
            return Err(refused("the answer names another issuer"));
        }
        if returned.error.is_some() {
            return Err(refused("the provider did not sign the user in"));
        }
        let code = returned.code.ok_or_else(|| refused("the answer has no code"))?;
        let (signed_in, id_token) = provider.finish(&waiting.flow, code, now).await.map_err(failed)?;
        let account = signed_in.name.to_string();
        let (user, who) = match signed_in.works_as() {
            Ok(role) => {
                (User { name: signed_in.name, role, fhir_user: None, session: None, delegation: None }, Who::Staff)
            }
            Err(fault) => self.private_person(&signed_in, &fault).await.map_err(|reason| refused(&reason))?,
        };
        let organisation = if who == Who::Staff { self.sign_in.organisation.clone() } else { String::new() };
        let roles = signed_in.roles;
        let person = Person { user, who, account, passkey: None, roles, organisation, source, id_token };
        let cookie = self.begin_session(person)?;
        Ok(Arrival { cookie, next: waiting.next })
    }

    /// Who comes for their own record or as a delegate, or why nobody is let in.
    async fn private_person(&self, signed_in: &SignedIn, fault: &SignInFault) -> Result<(User, Who), String> {
        let account = signed_in.name.as_str();
        let acts_for_others = !self.delegations_of(account, self.sessions.now()).is_empty();
        let own = match &signed_in.patient {
            Some(said) => match self.own_record(said).await {
                Ok(own) => Some(own),
                // Whoever acts for somebody needs no record of their own here.
                Err(_) if acts_for_others => None,
                Err(error) => return Err(error.to_string()),
            },
            None => None,
        };
        if own.is_none() && !acts_for_others {
            return Err(fault.to_string());
        }
        let role = if own.is_some() { PATIENT_ROLE } else { DELEGATE_ROLE };
        let user = self.person_name(account).zip(role.parse().ok());
        let (name, role) = user.ok_or_else(|| "the person could not be named".to_owned())?;
        Ok((User { name, role, fhir_user: None, session: None, delegation: None }, Who::Private(own)))
    }

    /// Begins a session for somebody who showed who they are. The value of its cookie.
    pub(crate) fn begin_session(&self, person: Person) -> Result<Zeroizing<String>, GatewayError> {
        let (now, source) = (self.sessions.now(), person.source);
        let begun = self.sign_in.sessions.begin(person, now);
        let (cookie, user, gone) = begun.ok_or(GatewayError::Kept("no session could be made"))?;
        for ended in gone {
            self.ended(&ended, Ending::Idle);
        }
        if let Some(session) = &user.session {
            self.authorization.ask(|server| server.begin_session(session.clone()));
        }
        self.note_access(&PersonEvent::SignedIn { user: &user, source });
        Ok(cookie)
    }

    /// Where signing out leads, if it leads out of the gateway.
    #[expect(clippy::unused_async, reason = "whoever asks is in the middle of a page, and awaits other things, too")]
    pub(crate) async fn sign_out_endpoint(&self) -> Option<String> {
        self.sign_in.provider().ok()?.logout_endpoint()
    }

    /// A user signs out: where their browser goes to sign out at the provider, if it offers that.
    #[expect(clippy::unused_async, reason = "whoever asks is in the middle of an answer, and awaits other things, too")]
    pub(crate) async fn sign_out(&self, session: &SessionId) -> Option<String> {
        let ended = self.sign_in.sessions.end_where(|id, _| id == session).pop()?;
        self.ended(&ended, Ending::SignedOut);
        let back = format!("{}{AUTH}/signed-out", self.root());
        self.sign_in.provider().ok()?.logout_url(&ended.2, &back)
    }

    /// A user signed in anew: the session that their browser had before ends.
    pub(crate) fn replace_session(&self, before: &SessionId) {
        if let Some(ended) = self.sign_in.sessions.end_where(|id, _| id == before).pop() {
            self.ended(&ended, Ending::Replaced);
        }
    }

    /// Ends sessions by command, and for a user's name what they approved for longer, too. How many there were.
    pub(crate) async fn end_sessions(
        &self,
        id: Option<&str>,
        user: Option<&str>,
        by: &str,
    ) -> Result<usize, GatewayError> {
        let those = self.sign_in.sessions.end_where(|session, of| {
            id.is_some_and(|id| session.as_str() == id) || user.is_some_and(|user| of.account == user)
        });
        for ended in &those {
            self.ended(ended, Ending::By(by));
        }
        if let Some(user) = user {
            let now = seconds(self.sessions.now());
            // A private person approves apps under another name.
            let names: Vec<UserName> = user.parse().ok().into_iter().chain(self.person_name(user)).collect();
            let kept = self
                .authorization
                .change(|server| {
                    for name in &names {
                        server.end_approvals(name, now);
                    }
                    Ok(())
                })
                .await;
            kept.map_err(|_| GatewayError::Kept("what apps were granted could not be kept"))?;
        }
        Ok(those.len())
    }

    /// Ends those of these people, by whoever has that name.
    pub(crate) fn end_sessions_where(&self, ends: impl Fn(&Person) -> bool, by: &str) {
        for ended in self.sign_in.sessions.end_where(|_, person| ends(person)) {
            self.ended(&ended, Ending::By(by));
        }
    }

    /// Ends sessions whose time is over, and forgets failures of long ago.
    pub(crate) fn tidy_sessions(&self) {
        let now = self.sessions.now();
        for (ended, why) in self.sign_in.sessions.sweep(now) {
            self.ended(&ended, why);
        }
        self.sign_in.attempts().sweep(now);
    }

    fn ended(&self, (session, user, _): &Ended, why: Ending<'_>) {
        self.authorization.ask(|server| server.close_session(session, seconds(self.sessions.now())));
        self.note_access(&PersonEvent::SessionEnded { session, user, why });
    }

    /// Whether what an account shows is looked at now.
    pub(crate) fn may_try(&self, account: &str, source: Option<IpAddr>) -> Result<(), GatewayError> {
        let Some(source) = source else { return Ok(()) };
        let allowed = self.sign_in.attempts().allowed(account, Source::from(source), self.sessions.now());
        allowed.map_err(GatewayError::throttled)
    }

    /// An account got in.
    pub(crate) fn tried_well(&self, account: &str, source: Option<IpAddr>) {
        if let Some(source) = source {
            self.sign_in.attempts().succeeded(account, Source::from(source));
        }
    }

    /// A failure, told when its entries are on disk. The wait that follows it, if one does.
    pub(crate) async fn tried_badly(
        &self,
        what: &'static str,
        account: Option<&str>,
        source: Option<IpAddr>,
        reason: &str,
    ) -> Option<GatewayError> {
        let (entries, wait) = self.count_failure(what, account, source, reason);
        self.journal.append_all(entries).await.err().map(GatewayError::from).or(wait)
    }

    /// The same of a bad token. Its entry is kept with the request that it came with; that of a wait, when there is time.
    pub(crate) fn token_failed(&self, source: Option<IpAddr>, reason: &str) -> Option<GatewayError> {
        let (entries, wait) = self.count_failure("token", None, source, reason);
        for entry in entries {
            self.journal.note(entry);
        }
        wait
    }

    fn count_failure(
        &self,
        what: &'static str,
        account: Option<&str>,
        source: Option<IpAddr>,
        reason: &str,
    ) -> (Vec<Event>, Option<GatewayError>) {
        let now = self.sessions.now();
        let waiting = source.is_some_and(|address| self.sign_in.attempts().is_waiting(Source::from(address), now));
        let failed = |address| self.sign_in.attempts().failed(account, Source::from(address), now);
        let wait = source.and_then(failed);
        if waiting && account.is_none() {
            // That this address waits is entered already: nobody fills the log who is not let in.
            return (Vec::new(), wait.map(GatewayError::throttled));
        }
        let refused = self.access_entry(&PersonEvent::Refused { what, account, source, reason });
        let locked = wait.and_then(|wait| self.access_entry(&PersonEvent::LockedOut { account, source, wait }));
        (refused.into_iter().chain(locked).collect(), wait.map(GatewayError::throttled))
    }

    /// What is answered to whom is not let in, when that is on disk.
    pub(crate) async fn sign_in_refused(&self, refusal: Refusal, source: Option<IpAddr>) -> GatewayError {
        match refusal {
            Refusal::Failed(account, reason) => {
                let waits = self.tried_badly("sign-in", account.as_deref(), source, &reason).await;
                let refused =
                    || GatewayError::request(401, IssueCode::Login, "sign-in-refused", reason, "sign in again");
                waits.unwrap_or_else(refused)
            }
            Refusal::Other(error) => error,
        }
    }
}

/// The provider is away, or is not as it must be.
fn provider_failed(error: &ProviderError) -> GatewayError {
    tracing::warn!(%error, "the provider for sign-in cannot be used");
    let text = format!("the hospital's provider for sign-in cannot be used: {error}");
    GatewayError::request(502, IssueCode::Transient, "provider-failed", text, "tell the administrator")
}
