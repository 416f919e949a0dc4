//! What can go wrong with storage, and what the operator can do about it.

use std::path::PathBuf;

use crate::ObjectFault;

/// A storage failure. Nothing was acknowledged.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// Another process has the folder.
    #[error("{folder} is in use by another process; stop it first, or choose another folder")]
    InUse {
        /// The folder.
        folder: PathBuf,
    },
    /// The folder belongs to another role.
    #[error("{folder} holds the data of a {found}, not of a {expected}; choose another folder")]
    WrongRole {
        /// The folder.
        folder: PathBuf,
        /// The role that was asked for.
        expected: String,
        /// The role that the folder has.
        found: String,
    },
    /// The folder's data are in a database, and none was named.
    #[error("{folder} keeps its data in a PostgreSQL database; name it in store.url")]
    OnServer {
        /// The folder.
        folder: PathBuf,
    },
    /// A file is missing or damaged. It is left as it is.
    #[error("{file} is damaged or incomplete: {reason}; it was left untouched; restore it from a backup")]
    Damaged {
        /// The file.
        file: PathBuf,
        /// What was found.
        reason: String,
    },
    /// The data were written by a newer version.
    #[error("{file} has format {found}, this version reads up to {supported}; install the newer version")]
    Newer {
        /// The file.
        file: PathBuf,
        /// Format found.
        found: i64,
        /// Newest format known.
        supported: i64,
    },
    /// No space left.
    #[error("the disk is full; nothing was written; free some space")]
    Full,
    /// The patient was erased; nothing is kept under this pseudonym any more.
    #[error("the patient was erased")]
    Erased,
    /// The statement contradicts what is stored.
    #[error("{0}")]
    Conflict(&'static str),
    /// A write failed earlier; until a restart nothing more is written, because what the disk holds is unknown.
    #[error("an earlier write failed ({0}); restart the service after checking the disk")]
    Failed(String),
    /// The database server, or what it was asked to be.
    #[error("the database {0}")]
    Database(#[from] DatabaseFault),
    /// The data cannot be moved, copied or gone over as they are.
    #[error("{0}")]
    Move(String),
    /// The place for objects, or one of them.
    #[error("the object storage {0}")]
    Objects(#[from] ObjectFault),
    /// The service is stopping.
    #[error("the store is closed")]
    Closed,
    /// Any other failure of file system or database.
    #[error("storage failed: {0}")]
    Io(String),
}

/// What is wrong with a database server. `at` is its place and the database's name, without user and password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DatabaseFault {
    /// `store.url` cannot be used.
    #[error("cannot be named by store.url: {reason}; write postgresql://user@host:5432/name")]
    Url {
        /// What is wrong with it. Never the URL itself, which may hold a password.
        reason: String,
    },
    /// Nobody answers, or not as PostgreSQL does.
    #[error("{at} cannot be reached: {reason}; start it, or correct store.url")]
    Unreachable {
        /// Which.
        at: String,
        /// The system's answer.
        reason: String,
    },
    /// User or password is wrong.
    #[error("{at} refused the login: {reason}; correct the user in store.url, or the password in store.password_file")]
    Login {
        /// Which.
        at: String,
        /// Its answer.
        reason: String,
    },
    /// The connection is gone, perhaps in the middle of a commit.
    #[error("was lost while it was at work ({reason}); whether a write is stored is unknown; repeat it")]
    Lost {
        /// The system's answer.
        reason: String,
    },
    /// Another node is at work on the same patient, and does not come to an end.
    #[error("is held up: another process has what is to be changed; nothing was written; repeat it")]
    Held,
    /// A standby, or a server that was told to take no writes.
    #[error("takes no writes: it is a read-only standby; point store.url at the primary, or promote this one")]
    ReadOnly,
    /// Another process writes to it.
    #[error("{at} is in use by {by}; stop that first, or choose another database")]
    InUse {
        /// Which.
        at: String,
        /// Process and address as the server knows them.
        by: String,
    },
    /// It is another party's.
    #[error("{at} holds the data of a {found}, not of a {expected}; each party needs a database of its own")]
    WrongRole {
        /// Which.
        at: String,
        /// The role that was asked for.
        expected: String,
        /// The role that it has.
        found: String,
    },
    /// The data folder was used with another one, or with none.
    #[error("{at} is not the one that the data folder {folder} was used with: {reason}; nothing was changed")]
    Replaced {
        /// Which.
        at: String,
        /// The folder.
        folder: PathBuf,
        /// What is known of both.
        reason: String,
    },
    /// Data are being moved into it, or were moved out of it.
    #[error("{at} is not for use: {reason}")]
    Moving {
        /// Which.
        at: String,
        /// What is known of it.
        reason: &'static str,
    },
    /// A setting makes acknowledged writes unsafe.
    #[error(
        "{at} runs with {setting} = {value}, so that what was acknowledged may be lost; set it back to its default"
    )]
    Unsafe {
        /// Which.
        at: String,
        /// The setting.
        setting: &'static str,
        /// Its value.
        value: String,
    },
    /// The tables were made by a newer version.
    #[error("{at} has tables of format {found}, this version reads up to {supported}; install the newer version")]
    Newer {
        /// Which.
        at: String,
        /// Format found.
        found: i64,
        /// Newest format known.
        supported: i64,
    },
    /// Going back to an older format would lose data.
    #[error(
        "{at} cannot go back to an older format: table {table} holds data, which the older format has no place for"
    )]
    NotEmpty {
        /// Which.
        at: String,
        /// The table.
        table: String,
    },
}

impl StoreError {
    /// Whether something is wrong with the store, and not with what it was asked: a conflict and an erased patient are
    /// ordinary answers, and each peer can bring them about.
    pub const fn is_failure(&self) -> bool {
        !matches!(self, Self::Conflict(_) | Self::Erased)
    }

    /// Whether the database cannot be reached or written for a moment, as while it is restarted or a standby takes over.
    pub const fn is_away(&self) -> bool {
        use DatabaseFault::{Held, Lost, ReadOnly, Unreachable};
        matches!(self, Self::Database(Held | Lost { .. } | ReadOnly | Unreachable { .. }))
    }

    /// Whether the connection is gone.
    pub(crate) const fn is_lost(&self) -> bool {
        matches!(self, Self::Database(DatabaseFault::Lost { .. }))
    }

    pub(crate) fn io(what: &str, path: &std::path::Path, error: &std::io::Error) -> Self {
        if error.kind() == std::io::ErrorKind::StorageFull {
            return Self::Full;
        }
        Self::Io(format!("{what} {}: {error}", path.display()))
    }
}
