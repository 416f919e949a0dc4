//! What happens to people's access, told in one place: a line of the service's output, and an entry of the audit log.

use std::net::IpAddr;
use std::time::Duration;

use sealwort_audit::{Detail, Event, EventKind};
use sealwort_smart::{SessionId, User};

use crate::Gateway;

/// Something that happened to somebody's access.
#[derive(Debug)]
pub(crate) enum PersonEvent<'a> {
    /// A user signed in.
    SignedIn { user: &'a User, source: Option<IpAddr> },
    /// A sign-in, a token, an assertion or a password was refused.
    Refused { what: &'static str, account: Option<&'a str>, source: Option<IpAddr>, reason: &'a str },
    /// So many failures that an account or an address has to wait.
    LockedOut { account: Option<&'a str>, source: Option<IpAddr>, wait: Duration },
    /// An administrator ended a lockout.
    Unlocked { account: &'a str, by: &'a str },
    /// A session ended.
    SessionEnded { session: &'a SessionId, user: &'a str, why: Ending<'a> },
}

/// Why a session ended.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Ending<'a> {
    /// The user signed out.
    SignedOut,
    /// The user signed in anew in the same browser.
    Replaced,
    /// Nobody used it, or others needed its room.
    Idle,
    /// Its time was over.
    Lifetime,
    /// An administrator of this name ended it.
    By(&'a str),
}

impl Gateway {
    /// Tells of it, and keeps its entry when there is time.
    pub(crate) fn note_access(&self, event: &PersonEvent<'_>) {
        self.access_entry(event).into_iter().for_each(|entry| self.journal.note(entry));
    }

    /// Every such event passes here. Its entry, if it has one of its own.
    pub(super) fn access_entry(&self, event: &PersonEvent<'_>) -> Option<Event> {
        let about = |kind, account: Option<&str>, source: &Option<IpAddr>| {
            let mut entry: Event = self.journal.event(kind);
            entry.user = account.map(Into::into);
            entry.note(Detail::Address, source.map(|address| address.to_string()).unwrap_or_default());
            entry
        };
        Some(match event {
            PersonEvent::SignedIn { user, source } => {
                let session = user.session.as_ref().map(ToString::to_string);
                let mut entry = about(EventKind::SignedIn, Some(&user.name.to_string()), source);
                entry.role = Some(user.role.to_string().as_str().into());
                entry.note(Detail::Session, session.as_deref().unwrap_or_default());
                tracing::info!(user = %user.name, role = %user.role, session, ?source, "a user signed in");
                entry
            }
            PersonEvent::Refused { what, account, source, reason } => {
                tracing::warn!(what, account, ?source, reason, "access was refused");
                if *what == "token" {
                    // Who is turned away with a bad token has an entry before the answer.
                    return None;
                }
                about(EventKind::SignedIn, *account, source)
                    .refused("access-refused")
                    .detail(Detail::Method, what)
                    .detail(Detail::Reason, reason)
            }
            PersonEvent::LockedOut { account, source, wait } => {
                tracing::warn!(account, ?source, ?wait, "too many failures; there is a wait now");
                about(EventKind::LockedOut, *account, source).detail(Detail::Until, format!("{} s", wait.as_secs()))
            }
            PersonEvent::Unlocked { account, by } => {
                tracing::info!(account, by, "a lockout was ended");
                about(EventKind::LockedOut, Some(by), &None)
                    .detail(Detail::Action, "ended")
                    .detail(Detail::Subject, account)
            }
            PersonEvent::SessionEnded { session, user, why } => {
                let (why, by) = match why {
                    Ending::SignedOut => ("signed out", None),
                    Ending::Replaced => ("signed in anew", None),
                    Ending::Idle => ("idle", None),
                    Ending::Lifetime => ("its time was over", None),
                    Ending::By(name) => ("by command", Some(*name)),
                };
                tracing::info!(%session, user, why, by, "a session ended");
                let kind = if by.is_some() { EventKind::SignInEnded } else { EventKind::SignedOut };
                about(kind, Some(by.unwrap_or(user)), &None)
                    .detail(Detail::Session, session)
                    .detail(Detail::Subject, user)
                    .detail(Detail::Reason, why)
            }
        })
    }
}
