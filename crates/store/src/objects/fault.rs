//! What is wrong with object storage, told so that the operator knows what to do.

use std::error::Error as _;

use object_store::Error;

use crate::StoreError;

/// What is wrong with object storage. `at` is its place, without credentials.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ObjectFault {
    /// The options cannot be used.
    #[error("cannot be used as configured in [objects]: {reason}")]
    Options {
        /// Which option, and what is wrong with it.
        reason: String,
    },
    /// Nobody answers, or with a failure.
    #[error("{at} cannot be used: {reason}; start or mend it, or correct [objects]")]
    Failed {
        /// Which.
        at: String,
        /// Its answer.
        reason: String,
    },
    /// The credentials were refused.
    #[error(
        "{at} refused the credentials: {reason}; correct objects.access_key and objects.secret_key_file, or what they may do"
    )]
    Refused {
        /// Which.
        at: String,
        /// Its answer.
        reason: String,
    },
    /// A conditional PUT overwrote what was there.
    #[error(
        "{at} ignores conditional PUT (If-None-Match: *), so that one write could silently replace another; use a server that honours it"
    )]
    Unconditional {
        /// Which.
        at: String,
    },
    /// It is another store's, or not the one that was used before.
    #[error("{at} is not this store's: {reason}; nothing was changed; correct objects.url")]
    Foreign {
        /// Which.
        at: String,
        /// What was found.
        reason: &'static str,
    },
    /// A database that knows of fewer sweeps than the place would take for orphans what a newer state of it named.
    #[error(
        "{at} was swept by a newer state of this store than its database is in, as after restoring an older one: what no entry names may be of that newer state, so nothing was deleted; docs/object-storage.md says how to go on"
    )]
    Older {
        /// Which.
        at: String,
    },
    /// Entries name objects, and no place was configured.
    #[error("was used by this store and is not configured; set objects.url to where it was")]
    Unconfigured,
    /// An object that a row names is not there.
    #[error("{at} has lost the object {key}; restore it from a backup or an older version of the bucket")]
    Missing {
        /// Which.
        at: String,
        /// The object.
        key: String,
    },
    /// An object is not what was written.
    #[error(
        "{at} gives other bytes for the object {key} than were written ({reason}); they were not handed out; restore it from a backup or an older version of the bucket"
    )]
    Altered {
        /// Which.
        at: String,
        /// The object.
        key: String,
        /// What was found.
        reason: String,
    },
}

/// Longest answer of a server that is shown.
const REASON_CHARS_MAX: usize = 300;

/// The fault behind an answer.
pub(super) fn of(at: &str, error: &Error) -> StoreError {
    let mut cause = error.source();
    while let Some(error) = cause {
        let io = error.downcast_ref::<std::io::Error>();
        if io.is_some_and(|error| error.kind() == std::io::ErrorKind::StorageFull) {
            return StoreError::Full;
        }
        cause = error.source();
    }
    let (at, reason) = (at.to_owned(), reason(&error.to_string()));
    match error {
        Error::PermissionDenied { .. } | Error::Unauthenticated { .. } => ObjectFault::Refused { at, reason }.into(),
        _ => ObjectFault::Failed { at, reason }.into(),
    }
}

/// An S3 server says what is the matter in the element `Code`; the rest is for programs.
fn reason(text: &str) -> String {
    let code = text.split_once("<Code>").and_then(|(_, rest)| rest.split_once("</Code>"));
    match code {
        Some((code, _)) if code.chars().all(char::is_alphanumeric) => code.to_owned(),
        _ => text.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(REASON_CHARS_MAX).collect(),
    }
}
