//! Sessions of people who signed in. They are in memory alone: a restart of the gateway ends them all, and nothing on
//! disk could bring one back. A browser holds a session's secret in a cookie; here is only its fingerprint.

use std::net::IpAddr;

use sealwort_pki::UnixTime;
pub(crate) use sealwort_sign_in::Lifetimes;
use sealwort_sign_in::{Over, Session, Sessions};
use sealwort_smart::{Role, SessionId, User};
use serde::Serialize;
use zeroize::Zeroizing;

use super::events::Ending;
use crate::persons::Own;

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
pub(crate) struct PersonSessions(Sessions<Person>);

impl PersonSessions {
    pub(crate) fn new(lifetimes: Lifetimes) -> Self {
        Self(Sessions::new(lifetimes))
    }

    /// Begins a session under a new id. The value of its cookie, the user with the id, and who had to make room.
    pub(crate) fn begin(&self, mut person: Person, now: UnixTime) -> Option<(Zeroizing<String>, User, Vec<Ended>)> {
        let mut user = person.user.clone();
        let with_session = |id: &SessionId| {
            person.user.session = Some(id.clone());
            person
        };
        let begun = self.0.begin(with_session, now)?;
        user.session = Some(begun.id);
        Some((begun.cookie, user, begun.gone.into_iter().map(ended).collect()))
    }

    /// The session of a cookie, which is used now.
    pub(crate) fn of_cookie(&self, cookie: &str, now: UnixTime) -> Option<Present> {
        self.0.of_cookie(cookie, now, Present::of)
    }

    /// A session that goes on, which is used now.
    pub(crate) fn present(&self, id: &SessionId, now: UnixTime) -> Option<Present> {
        self.0.present(id, now, Present::of)
    }

    /// Whether a session goes on, which is used now.
    pub(crate) fn touch(&self, id: &SessionId, now: UnixTime) -> bool {
        self.0.touch(id, now)
    }

    /// Whether a session goes on; this is no use of it.
    pub(crate) fn goes_on(&self, id: &SessionId, now: UnixTime) -> bool {
        self.0.goes_on(id, now)
    }

    /// All that go on.
    pub(crate) fn list(&self, now: UnixTime) -> Vec<Shown> {
        self.0.list(now, |id, session| Shown {
            id: id.to_string(),
            user: session.person.account.clone(),
            role: session.person.user.role.to_string(),
            roles: session.person.roles.iter().map(ToString::to_string).collect(),
            organisation: session.person.organisation.clone(),
            source: session.person.source,
            began: session.began.as_secs(),
            used: session.used.as_secs(),
            ends: session.ends.as_secs(),
        })
    }

    /// Ends those that are so.
    pub(crate) fn end_where(&self, ends: impl Fn(&SessionId, &Person) -> bool) -> Vec<Ended> {
        self.0.end_where(ends).into_iter().map(ended).collect()
    }

    /// Ends those whose time is over, with the reason.
    pub(crate) fn sweep(&self, now: UnixTime) -> Vec<(Ended, Ending<'static>)> {
        let over = self.0.sweep(now).into_iter().map(|(id, person, why)| (ended((id, person)), why.into()));
        over.collect()
    }
}

impl Present {
    fn of(id: &SessionId, session: &Session<Person>) -> Self {
        let person = &session.person;
        Self {
            user: person.user.clone(),
            who: person.who.clone(),
            account: person.account.clone(),
            id: id.clone(),
            organisation: person.organisation.clone(),
            form: session.form.clone(),
            ends: session.ends,
        }
    }
}

impl From<Over> for Ending<'static> {
    fn from(why: Over) -> Self {
        match why {
            Over::Idle => Self::Idle,
            Over::Lifetime => Self::Lifetime,
        }
    }
}

fn ended((id, person): (SessionId, Person)) -> Ended {
    (id, person.user.name.to_string(), person.id_token)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::time::Duration;

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
