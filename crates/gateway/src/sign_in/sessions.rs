//! Sessions of people who signed in. They are in memory alone: a restart of the gateway ends them all, and nothing on
//! disk could bring one back. A browser holds a session's secret in a cookie; here is only its fingerprint.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sealwort_pki::UnixTime;
use sealwort_proto::crypto::{mac_matches, random, sha256};
use sealwort_smart::{Role, SessionId, User};
use serde::Serialize;
use zeroize::Zeroizing;

use super::events::Ending;
use crate::persons::Own;

/// Most sessions at a time; the one used longest ago is ended for the next.
const SESSIONS_MAX: usize = 20_000;
/// Bytes of a secret.
const SECRET_BYTES: usize = 32;

/// How long sessions last.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lifetimes {
    /// Without use.
    pub(crate) idle: Duration,
    /// In all.
    pub(crate) whole: Duration,
}

/// As what somebody signed in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Who {
    /// To work at the hospital.
    Staff,
    /// As a private person: a patient with a record of their own, or somebody's delegate, or both.
    Private(Option<Own>),
}

/// Who signed in, and where from.
pub(crate) struct Person {
    pub(crate) user: User,
    pub(crate) who: Who,
    /// The name with which they signed in.
    pub(crate) account: String,
    /// The passkey that they showed, if they did.
    pub(crate) passkey: Option<String>,
    pub(crate) roles: Vec<Role>,
    pub(crate) organisation: String,
    pub(crate) source: Option<IpAddr>,
    /// For the sign-out at the provider.
    pub(crate) id_token: Zeroizing<String>,
}

struct Session {
    person: Person,
    fingerprint: [u8; 32],
    /// Stands in every form of this session's pages: another site cannot know it.
    form: String,
    began: UnixTime,
    used: UnixTime,
}

/// A session as administrators see it.
#[derive(Debug, Serialize)]
pub(crate) struct Shown {
    id: String,
    /// The name with which they signed in.
    user: String,
    role: String,
    roles: Vec<String>,
    organisation: String,
    source: Option<IpAddr>,
    /// Unix time, as all that follow.
    began: u64,
    used: u64,
    ends: u64,
}

/// A session as its own pages see it.
#[derive(Debug, Clone)]
pub(crate) struct Present {
    pub(crate) user: User,
    pub(crate) who: Who,
    pub(crate) account: String,
    pub(crate) id: SessionId,
    pub(crate) organisation: String,
    pub(crate) form: String,
    /// When it ends, however much it is used.
    pub(crate) ends: UnixTime,
}

/// A session that ended: its id, its user's name, and the token for the sign-out at the provider.
pub(crate) type Ended = (SessionId, String, Zeroizing<String>);

/// All sessions.
pub(crate) struct PersonSessions {
    lifetimes: Lifetimes,
    live: Mutex<BTreeMap<SessionId, Session>>,
}

impl PersonSessions {
    pub(crate) fn new(lifetimes: Lifetimes) -> Self {
        Self { lifetimes, live: Mutex::default() }
    }

    /// Begins a session under a new id. The value of its cookie, the user with the id, and who had to make room.
    pub(crate) fn begin(&self, mut person: Person, now: UnixTime) -> Option<(Zeroizing<String>, User, Vec<Ended>)> {
        let id: SessionId = hex::encode(random::<16>()).parse().ok()?;
        let secret = Zeroizing::new(hex::encode(random::<SECRET_BYTES>()));
        person.user.session = Some(id.clone());
        let user = person.user.clone();
        let session = Session {
            person,
            fingerprint: sha256(secret.as_bytes()),
            form: hex::encode(random::<SECRET_BYTES>()),
            began: now,
            used: now,
        };
        let mut live = self.live();
        let mut gone = Vec::new();
        while live.len() >= SESSIONS_MAX {
            let oldest = live.iter().min_by_key(|(_, session)| session.used).map(|(id, _)| id.clone())?;
            gone.extend(live.remove(&oldest).map(|session| ended(oldest, session)));
        }
        let cookie = Zeroizing::new(format!("{id}.{}", secret.as_str()));
        live.insert(id, session);
        Some((cookie, user, gone))
    }

    /// The session of a cookie, which is used now.
    pub(crate) fn of_cookie(&self, cookie: &str, now: UnixTime) -> Option<Present> {
        let (id, secret) = cookie.split_once('.')?;
        let id: SessionId = id.parse().ok()?;
        let known = mac_matches(&self.live().get(&id)?.fingerprint, &sha256(secret.as_bytes()));
        if known { self.present(&id, now) } else { None }
    }

    /// A session that goes on, which is used now.
    pub(crate) fn present(&self, id: &SessionId, now: UnixTime) -> Option<Present> {
        let mut live = self.live();
        let session = live.get_mut(id)?;
        if self.over(session, now).is_some() {
            return None;
        }
        session.used = now;
        let ends = session.began.plus(self.lifetimes.whole);
        let (user, organisation) = (session.person.user.clone(), session.person.organisation.clone());
        let (who, account) = (session.person.who.clone(), session.person.account.clone());
        Some(Present { user, who, account, id: id.clone(), organisation, form: session.form.clone(), ends })
    }

    /// Whether a session goes on, which is used now.
    pub(crate) fn touch(&self, id: &SessionId, now: UnixTime) -> bool {
        match self.live().get_mut(id) {
            Some(session) if self.over(session, now).is_none() => {
                session.used = now;
                true
            }
            _ => false,
        }
    }

    /// Whether a session goes on; this is no use of it.
    pub(crate) fn goes_on(&self, id: &SessionId, now: UnixTime) -> bool {
        self.live().get(id).is_some_and(|session| self.over(session, now).is_none())
    }

    /// All that go on.
    pub(crate) fn list(&self, now: UnixTime) -> Vec<Shown> {
        let live = self.live();
        let going_on = live.iter().filter(|(_, session)| self.over(session, now).is_none());
        let shown = going_on.map(|(id, session)| Shown {
            id: id.to_string(),
            user: session.person.account.clone(),
            role: session.person.user.role.to_string(),
            roles: session.person.roles.iter().map(ToString::to_string).collect(),
            organisation: session.person.organisation.clone(),
            source: session.person.source,
            began: session.began.as_secs(),
            used: session.used.as_secs(),
            ends: session.began.plus(self.lifetimes.whole).as_secs(),
        });
        shown.collect()
    }

    /// Ends those that are so.
    pub(crate) fn end_where(&self, ends: impl Fn(&SessionId, &Person) -> bool) -> Vec<Ended> {
        let mut live = self.live();
        let those: Vec<SessionId> =
            live.iter().filter(|(id, session)| ends(id, &session.person)).map(|(id, _)| id.clone()).collect();
        those.into_iter().filter_map(|id| live.remove(&id).map(|session| ended(id, session))).collect()
    }

    /// Ends those whose time is over, with the reason.
    pub(crate) fn sweep(&self, now: UnixTime) -> Vec<(Ended, Ending<'static>)> {
        let mut live = self.live();
        let those: Vec<_> =
            live.iter().filter_map(|(id, session)| Some((id.clone(), self.over(session, now)?))).collect();
        those.into_iter().filter_map(|(id, why)| live.remove(&id).map(|session| (ended(id, session), why))).collect()
    }

    fn over(&self, session: &Session, now: UnixTime) -> Option<Ending<'static>> {
        if now >= session.began.plus(self.lifetimes.whole) {
            return Some(Ending::Lifetime);
        }
        (now >= session.used.plus(self.lifetimes.idle)).then_some(Ending::Idle)
    }

    fn live(&self) -> MutexGuard<'_, BTreeMap<SessionId, Session>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn ended(id: SessionId, session: Session) -> Ended {
    (id, session.person.user.name.to_string(), session.person.id_token)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn at(seconds: u64) -> UnixTime {
        UnixTime::from_secs(seconds)
    }

    fn person(name: &str) -> Person {
        Person {
            user: User {
                name: name.parse().unwrap(),
                role: "physician".parse().unwrap(),
                fhir_user: None,
                session: None,
                delegation: None,
            },
            who: Who::Staff,
            account: name.to_owned(),
            passkey: None,
            roles: Vec::new(),
            organisation: "ward".to_owned(),
            source: None,
            id_token: Zeroizing::default(),
        }
    }

    #[test]
    fn a_session_ends_without_use_after_its_time_and_by_command() {
        let lifetimes = Lifetimes { idle: Duration::from_secs(10), whole: Duration::from_secs(30) };
        let sessions = PersonSessions::new(lifetimes);
        let begin = |name, now| {
            let (cookie, user, gone) = sessions.begin(person(name), at(now)).unwrap();
            assert!(gone.is_empty());
            (cookie, user.session.unwrap())
        };
        let (cookie, id) = begin("dr-a", 100);
        assert_eq!(sessions.of_cookie(&cookie, at(109)).unwrap().id, id);
        assert!(sessions.touch(&id, at(118)) && sessions.of_cookie(&cookie, at(127)).is_some());
        assert!(!sessions.touch(&id, at(130)) && sessions.of_cookie(&cookie, at(130)).is_none());
        assert!(matches!(sessions.sweep(at(130)).as_slice(), [(_, Ending::Lifetime)]));

        let (cookie, id) = begin("dr-a", 200);
        for wrong in
            ["", ".", id.as_str(), &format!("{id}."), &format!("{}0", cookie.as_str()), &cookie.replace('.', "")]
        {
            assert!(sessions.of_cookie(wrong, at(200)).is_none(), "{wrong}");
        }
        assert!(sessions.of_cookie(&cookie, at(210)).is_none());
        assert!(matches!(sessions.sweep(at(210)).as_slice(), [(_, Ending::Idle)]));

        let (first, _) = begin("dr-a", 300);
        let (second, _) = begin("dr-b", 300);
        assert_ne!(first, second);
        assert_eq!(sessions.list(at(300)).len(), 2);
        assert_eq!(sessions.end_where(|_, person| person.account == "dr-a").len(), 1);
        assert!(sessions.of_cookie(&first, at(300)).is_none() && sessions.of_cookie(&second, at(300)).is_some());
    }
}
