//! What can go wrong with storage, and what the operator can do about it.

use std::path::PathBuf;

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
    /// The service is stopping.
    #[error("the store is closed")]
    Closed,
    /// Any other failure of file system or database.
    #[error("storage failed: {0}")]
    Io(String),
}

impl StoreError {
    pub(crate) fn io(what: &str, path: &std::path::Path, error: &std::io::Error) -> Self {
        if error.kind() == std::io::ErrorKind::StorageFull {
            return Self::Full;
        }
        Self::Io(format!("{what} {}: {error}", path.display()))
    }
}
