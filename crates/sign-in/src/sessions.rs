//! Sessions of people who signed in. They are in memory alone: a restart of the service ends them all, and nothing on
//! disk could bring one back. A browser holds a session's secret in a cookie; here is only its fingerprint.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sealwort_net::{Shutdown, ShutdownTrigger};
use sealwort_oidc::SessionId;
use sealwort_pki::UnixTime;
use sealwort_proto::crypto::{mac_matches, random, sha256};
use zeroize::Zeroizing;

use crate::config::SessionsConfig;

/// Most sessions at a time; the one used longest ago is ended for the next.
const SESSIONS_MAX: usize = 20_000;
/// Bytes of a secret.
const SECRET_BYTES: usize = 32;

/// How long sessions last.
#[derive(Debug, Clone, Copy)]
pub struct Lifetimes {
    /// Without use.
    pub idle: Duration,
    /// In all.
    pub whole: Duration,
}

impl Lifetimes {
    /// The error names the options at fault.
    pub fn new(config: &SessionsConfig) -> Result<Self, String> {
        let (idle, whole) = (config.idle_timeout.0, config.lifetime.0);
        if idle < Duration::from_secs(1) || whole < idle {
            let wanted = "at least one second, and sessions.lifetime no less than that";
            return Err(format!("sessions.idle_timeout is {wanted}"));
        }
        Ok(Self { idle, whole })
    }
}

/// Why a session's time is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Over {
    /// Nobody used it.
    Idle,
    /// It went on for as long as one may.
    Lifetime,
}

/// A session that goes on.
pub struct Session<P> {
    /// Who signed in.
    pub person: P,
    fingerprint: [u8; 32],
    /// Stands in every form of this session's pages: another site cannot know it.
    pub form: String,
    /// When it began.
    pub began: UnixTime,
    /// When it was used last.
    pub used: UnixTime,
    /// When it ends, however much it is used.
    pub ends: UnixTime,
    /// Given when it is dropped.
    end: ShutdownTrigger,
}

impl<P> Session<P> {
    /// Tells when it has ended: what is done for its person alone ends then, too.
    pub fn end(&self) -> Shutdown {
        self.end.subscribe()
    }
}

/// All sessions of one kind of people.
pub struct Sessions<P> {
    lifetimes: Lifetimes,
    live: Mutex<BTreeMap<SessionId, Session<P>>>,
}

/// A session that began.
pub struct Begun<P> {
    /// The value of its cookie.
    pub cookie: Zeroizing<String>,
    /// Its id.
    pub id: SessionId,
    /// Who had to make room.
    pub gone: Vec<(SessionId, P)>,
}

impl<P> Sessions<P> {
    /// None yet.
    pub fn new(lifetimes: Lifetimes) -> Self {
        Self { lifetimes, live: Mutex::default() }
    }

    /// Begins a session under a new id, for whom `person` makes of that.
    pub fn begin(&self, person: impl FnOnce(&SessionId) -> P, now: UnixTime) -> Option<Begun<P>> {
        let id: SessionId = hex::encode(random::<16>()).parse().ok()?;
        let secret = Zeroizing::new(hex::encode(random::<SECRET_BYTES>()));
        let session = Session {
            person: person(&id),
            fingerprint: sha256(secret.as_bytes()),
            form: hex::encode(random::<SECRET_BYTES>()),
            began: now,
            used: now,
            ends: now.plus(self.lifetimes.whole),
            end: Shutdown::channel().0,
        };
        let mut live = self.live();
        let mut gone = Vec::new();
        while live.len() >= SESSIONS_MAX {
            let oldest = live.iter().min_by_key(|(_, session)| session.used).map(|(id, _)| id.clone())?;
            gone.extend(live.remove(&oldest).map(|session| (oldest, session.person)));
        }
        let cookie = Zeroizing::new(format!("{id}.{}", secret.as_str()));
        live.insert(id.clone(), session);
        Some(Begun { cookie, id, gone })
    }

    /// What `see` makes of the session of a cookie, which is used now.
    pub fn of_cookie<T>(
        &self,
        cookie: &str,
        now: UnixTime,
        see: impl FnOnce(&SessionId, &Session<P>) -> T,
    ) -> Option<T> {
        let id = self.known(cookie)?;
        self.present(&id, now, see)
    }

    /// The same where a page asks by itself, which is no use of the session: an open page keeps none alive.
    pub fn peek<T>(&self, cookie: &str, now: UnixTime, see: impl FnOnce(&SessionId, &Session<P>) -> T) -> Option<T> {
        let id = self.known(cookie)?;
        let live = self.live();
        let session = live.get(&id).filter(|session| self.over(session, now).is_none())?;
        Some(see(&id, session))
    }

    /// Whose secret a cookie shows.
    fn known(&self, cookie: &str) -> Option<SessionId> {
        let (id, secret) = cookie.split_once('.')?;
        let id: SessionId = id.parse().ok()?;
        let known = mac_matches(&self.live().get(&id)?.fingerprint, &sha256(secret.as_bytes()));
        known.then_some(id)
    }

    /// The same of a session that goes on, which is used now.
    pub fn present<T>(
        &self,
        id: &SessionId,
        now: UnixTime,
        see: impl FnOnce(&SessionId, &Session<P>) -> T,
    ) -> Option<T> {
        let mut live = self.live();
        let session = live.get_mut(id)?;
        if self.over(session, now).is_some() {
            return None;
        }
        session.used = now;
        Some(see(id, session))
    }

    /// Whether a session goes on, which is used now.
    pub fn touch(&self, id: &SessionId, now: UnixTime) -> bool {
        self.present(id, now, |_, _| ()).is_some()
    }

    /// Whether a session goes on; this is no use of it.
    pub fn goes_on(&self, id: &SessionId, now: UnixTime) -> bool {
        self.live().get(id).is_some_and(|session| self.over(session, now).is_none())
    }

    /// What `see` makes of all that go on.
    pub fn list<T>(&self, now: UnixTime, see: impl Fn(&SessionId, &Session<P>) -> T) -> Vec<T> {
        let live = self.live();
        let going_on = live.iter().filter(|(_, session)| self.over(session, now).is_none());
        going_on.map(|(id, session)| see(id, session)).collect()
    }

    /// Ends those that are so.
    pub fn end_where(&self, ends: impl Fn(&SessionId, &P) -> bool) -> Vec<(SessionId, P)> {
        let mut live = self.live();
        let those: Vec<SessionId> =
            live.iter().filter(|(id, session)| ends(id, &session.person)).map(|(id, _)| id.clone()).collect();
        those.into_iter().filter_map(|id| live.remove(&id).map(|session| (id, session.person))).collect()
    }

    /// Ends those whose time is over, with the reason.
    pub fn sweep(&self, now: UnixTime) -> Vec<(SessionId, P, Over)> {
        let mut live = self.live();
        let those: Vec<_> =
            live.iter().filter_map(|(id, session)| Some((id.clone(), self.over(session, now)?))).collect();
        those.into_iter().filter_map(|(id, why)| live.remove(&id).map(|session| (id, session.person, why))).collect()
    }

    fn over(&self, session: &Session<P>, now: UnixTime) -> Option<Over> {
        if now >= session.ends {
            return Some(Over::Lifetime);
        }
        (now >= session.used.plus(self.lifetimes.idle)).then_some(Over::Idle)
    }

    fn live(&self) -> MutexGuard<'_, BTreeMap<SessionId, Session<P>>> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use sealwort_net::config::Interval;

    use super::*;

    fn lifetimes(idle: u64, whole: u64) -> Result<Lifetimes, String> {
        Lifetimes::new(&SessionsConfig {
            idle_timeout: Interval::from_secs(idle),
            lifetime: Interval::from_secs(whole),
        })
    }

    #[test]
    fn however_a_session_ends_whoever_holds_its_end_is_told() {
        let (sessions, at) = (Sessions::new(lifetimes(10, 60).unwrap()), UnixTime::from_secs);
        let end = || {
            let cookie = sessions.begin(|_| "ada", at(100)).unwrap().cookie;
            sessions.peek(&cookie, at(100), |_, session| session.end()).unwrap()
        };
        let (first, second) = (end(), end());
        assert!(!first.is_set() && !second.is_set());
        assert_eq!(sessions.end_where(|_, _| true).len(), 2);
        assert!(first.is_set() && second.is_set());
        let idle = end();
        assert!(sessions.sweep(at(109)).is_empty() && !idle.is_set());
        assert_eq!(sessions.sweep(at(110)).len(), 1);
        assert!(idle.is_set());
    }

    #[test]
    fn a_page_that_asks_by_itself_keeps_no_session_alive() {
        for (idle, whole) in [(10, 9), (0, 9)] {
            assert!(lifetimes(idle, whole).unwrap_err().contains("sessions.idle_timeout"));
        }
        let sessions = Sessions::new(lifetimes(10, 60).unwrap());
        let at = UnixTime::from_secs;
        let cookie = sessions.begin(|_| "ada", at(100)).unwrap().cookie;
        let see = |_: &SessionId, session: &Session<&'static str>| session.person;
        for second in 100..110 {
            assert_eq!(sessions.peek(&cookie, at(second), see), Some("ada"));
        }
        assert_eq!(sessions.peek(&cookie, at(110), see), None);
        assert_eq!(sessions.of_cookie(&cookie, at(110), see), None);
        assert_eq!(sessions.sweep(at(110)).len(), 1);
        let cookie = sessions.begin(|_| "ada", at(200)).unwrap().cookie;
        assert_eq!(sessions.of_cookie(&cookie, at(209), see), Some("ada"));
        assert_eq!(sessions.peek(&cookie, at(218), see), Some("ada"));
        assert_eq!(sessions.peek(&format!("{}0", cookie.as_str()), at(218), see), None);
        assert!(matches!(sessions.sweep(at(219)).as_slice(), [(_, "ada", Over::Idle)]));
    }
}
