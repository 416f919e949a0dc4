//! What happens to people's access, told in one place: the log line now, and whatever else must learn of it.

use std::net::IpAddr;
use std::time::Duration;

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
    /// Every such event passes here.
    pub(crate) fn note_access(&self, event: &PersonEvent<'_>) {
        match event {
            PersonEvent::SignedIn { user, source } => {
                let session = user.session.as_ref().map(ToString::to_string);
                tracing::info!(user = %user.name, role = %user.role, session, ?source, "a user signed in");
            }
            PersonEvent::Refused { what, account, source, reason } => {
                tracing::warn!(what, account, ?source, reason, "access was refused");
            }
            PersonEvent::LockedOut { account, source, wait } => {
                tracing::warn!(account, ?source, ?wait, "too many failures; there is a wait now");
            }
            PersonEvent::Unlocked { account, by } => tracing::info!(account, by, "a lockout was ended"),
            PersonEvent::SessionEnded { session, user, why } => {
                let (why, by) = match why {
                    Ending::SignedOut => ("signed out", None),
                    Ending::Replaced => ("signed in anew", None),
                    Ending::Idle => ("idle", None),
                    Ending::Lifetime => ("its time was over", None),
                    Ending::By(name) => ("by command", Some(*name)),
                };
                tracing::info!(%session, user, why, by, "a session ended");
            }
        }
    }
}
