//! Opening the store of a party where its configuration says.

use std::path::{Path, PathBuf};
use std::time::Duration;

use sealwort_net::config::{AuditConfig, ObjectsConfig, StoreConfig};
use sealwort_net::member::Member;
use sealwort_net::secret_file::SecretFileError;
use sealwort_pki::Role;
use sealwort_store::postgres::Database;
use sealwort_store::{DataFolder, ObjectFault, ObjectOptions, Objects, PartyStore, StoreError, Swept};

/// Why a store was not opened.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// The store itself.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The password file.
    #[error("store.password_file: {0}")]
    Password(#[from] SecretFileError),
    /// The file with the key of object storage.
    #[error("objects.secret_key_file: {0}")]
    SecretKey(#[source] SecretFileError),
    /// Standbys are to be read from, and none is named.
    #[error(
        "store.read_from_standbys is set, and store.url names no standby; name primary and standbys in it, or leave \
         read_from_standbys false"
    )]
    NoStandby,
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
    if store.url.expose().is_some() && !audit.folder.as_os_str().is_empty() {
        return Err(StorageError::TwoPlaces);
    }
    let database = database(store)?;
    let place = audit.folder_in(folder.path()).to_owned();
    folder.name_keys(member.kek().names());
    Ok(PartyStore::open(folder, &place, database.as_ref()).await?)
}

/// The database that a configuration names, if it does. Nothing is connected yet.
fn database(store: &StoreConfig) -> Result<Option<Database>, StorageError> {
    let database = match store.url.expose() {
        Some(url) => Some(Database::new(url, store.password()?.as_ref().map(|password| password.as_str()))?),
        None => None,
    };
    match database {
        Some(database) if store.read_from_standbys && database.has_standbys() => {
            Ok(Some(database.reading_from_standbys()))
        }
        _ if store.read_from_standbys => Err(StorageError::NoStandby),
        database => Ok(database),
    }
}

/// Deletes the objects that no entry of a party's store names, also beside its service.
pub async fn sweep_objects(
    folder: &Path,
    role: Role,
    store: &StoreConfig,
    objects: &ObjectsConfig,
) -> Result<Swept, StorageError> {
    let Some(objects) = self::objects(folder, objects)? else {
        let reason = "objects.url is empty; set it to where the service keeps large entries".to_owned();
        return Err(StoreError::from(ObjectFault::Options { reason }).into());
    };
    Ok(PartyStore::sweep_beside(folder, role.as_str(), database(store)?.as_ref(), &objects).await?)
}

/// The place for large entries of a party with this data folder, if there is one. Nothing is connected yet.
pub fn objects(folder: &Path, config: &ObjectsConfig) -> Result<Option<Objects>, StorageError> {
    let Some(url) = config.url.expose() else { return Ok(None) };
    let refused = |reason: String| Err(StoreError::from(ObjectFault::Options { reason }).into());
    if config.orphans_after.0 < ORPHANS_AFTER_MIN {
        return refused(
            "objects.orphans_after is at least an hour: an upload under way must not be deleted".to_owned(),
        );
    }
    let secret_key = config.secret_key().map_err(StorageError::SecretKey)?;
    let options = ObjectOptions {
        url,
        endpoint: &config.endpoint,
        region: &config.region,
        access_key: &config.access_key,
        secret_key: secret_key.as_ref().map_or("", |key| key.as_str()),
        authorities: Some(config.ca_file.as_path()).filter(|file| !file.as_os_str().is_empty()),
        larger_than: usize::try_from(config.larger_than.0).unwrap_or(usize::MAX),
        orphans_after: config.orphans_after.0,
    };
    let objects = Objects::new(&options)?;
    // A backup of the data folder copies its files before the database, and would miss what comes between.
    if objects.lie_in(folder) {
        return refused(format!("objects.url lies in the data folder {}; name a folder beside it", folder.display()));
    }
    Ok(Some(objects))
}

/// Far above the time of any upload.
const ORPHANS_AFTER_MIN: Duration = Duration::from_hours(1);

/// Where the audit log lies, for whoever has to make room there.
pub fn audit_place(folder: &Path, audit: &AuditConfig, store: &StoreConfig) -> PathBuf {
    match store.url.expose() {
        Some(_) => PathBuf::from("in the database of store.url"),
        None => audit.folder_in(folder).to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn standbys_are_read_from_where_some_are_named() {
        let (one, two) = ("postgresql://ada@127.0.0.1/archive", "postgresql://ada@127.0.0.1,localhost/archive");
        for (url, read_from_standbys, fits) in
            [("", false, true), ("", true, false), (one, false, true), (one, true, false), (two, true, true)]
        {
            let url = url.to_owned().into();
            let found = database(&StoreConfig { url, read_from_standbys, ..StoreConfig::default() });
            assert_eq!(found.is_ok(), fits, "{found:?}");
        }
    }
}
