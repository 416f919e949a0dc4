//! Opening the store of a party where its configuration says.

use std::path::{Path, PathBuf};

use sealwort_net::config::{AuditConfig, StoreConfig};
use sealwort_net::member::Member;
use sealwort_net::secret_file::SecretFileError;
use sealwort_store::postgres::Database;
use sealwort_store::{DataFolder, PartyStore, StoreError};

/// Why a store was not opened.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// The store itself.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The password file.
    #[error("store.password_file: {0}")]
    Password(#[from] SecretFileError),
    /// Two places for one log.
    #[error(
        "audit.folder is set, and so is store.url, in which the audit log lies then, too; leave audit.folder empty"
    )]
    TwoPlaces,
}

/// Opens store and audit log: in the database of `store.url`, or in the folder. The keys are the member's.
pub async fn open_store(
    mut folder: DataFolder,
    member: &Member,
    audit: &AuditConfig,
    store: &StoreConfig,
) -> Result<PartyStore, StorageError> {
    let database = match store.url.expose() {
        None => None,
        Some(_) if !audit.folder.as_os_str().is_empty() => return Err(StorageError::TwoPlaces),
        Some(url) => Some(Database::new(url, store.password()?.as_ref().map(|password| password.as_str()))?),
    };
    let place = audit.folder_in(folder.path()).to_owned();
    folder.name_keys(member.kek().names());
    Ok(PartyStore::open(folder, &place, database.as_ref()).await?)
}

/// Where the audit log lies, for whoever has to make room there.
pub fn audit_place(folder: &Path, audit: &AuditConfig, store: &StoreConfig) -> PathBuf {
    match store.url.expose() {
        Some(_) => PathBuf::from("in the database of store.url"),
        None => audit.folder_in(folder).to_owned(),
    }
}
