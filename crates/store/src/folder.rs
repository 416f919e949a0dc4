//! A data folder: one per role and process. It is locked while it is open, remembers its role, and tells a
//! folder that was never finished from one that lost its database.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use sealwort_proto::Digest;

use crate::StoreError;

pub(crate) const LOCK_FILE: &str = "lock";
pub(crate) const MARKER_FILE: &str = "role";
/// The embedded database; it never exists before the marker does.
pub(crate) const DATABASE_FILE: &str = "store.sqlite";

/// Where a folder's data are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Content {
    /// Nowhere yet.
    New,
    /// Nowhere yet: a database with this id is being made for it.
    Claiming(String),
    /// In the folder itself.
    Embedded,
    /// In the folder itself; a move into the database that gets this id was begun.
    Leaving(String),
    /// In the database that has this id; the folder keeps keys and certificates.
    Database(String),
}

impl Content {
    /// Whether the data are in the folder.
    pub(crate) fn is_embedded(&self) -> bool {
        matches!(self, Self::Embedded | Self::Leaving(_))
    }
}

/// An open, locked data folder. The lock lasts as long as this value; keep it until the store is closed.
#[derive(Debug)]
pub struct DataFolder {
    path: PathBuf,
    role: String,
    content: Content,
    keys: Vec<Digest>,
    _lock: File,
}

impl DataFolder {
    /// Opens a folder for a role, making it (mode 0700) where it does not exist.
    pub fn open(path: &Path, role: &str) -> Result<Self, StoreError> {
        make(path)?;
        let lock_path = path.join(LOCK_FILE);
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(&lock_path)
            .map_err(|e| StoreError::io("opening", &lock_path, &e))?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(StoreError::InUse { folder: path.to_owned() }),
            Err(TryLockError::Error(e)) => return Err(StoreError::io("locking", &lock_path, &e)),
        }
        let content = read_marker(path, role)?;
        Ok(Self { path: path.to_owned(), role: role.to_owned(), content, keys: Vec::new(), _lock: lock })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Names the key-encryption keys that lie in it, the newest first. A database remembers under which one everything is
    /// wrapped, and refuses a folder without it.
    pub fn name_keys(&mut self, keys: Vec<Digest>) {
        self.keys = keys;
    }

    pub(crate) fn key_names(&self) -> &[Digest] {
        &self.keys
    }

    /// Whose it is.
    pub(crate) fn role(&self) -> &str {
        &self.role
    }

    /// Where its data are. Where they were once, missing ones are damage, not a beginning.
    pub(crate) fn content(&self) -> &Content {
        &self.content
    }

    pub(crate) fn mark(&mut self, content: Content) -> Result<(), StoreError> {
        if self.content != content {
            write_marker(&self.path, &self.role, &content)?;
            self.content = content;
        }
        Ok(())
    }
}

/// What the marker says after the role.
const NEW: &str = "new";
const CLAIMING: &str = "claiming ";
const READY: &str = "ready";
const LEAVING: &str = "leaving ";
const DATABASE: &str = "database ";

/// Writes where a folder's data are.
pub(crate) fn write_marker(folder: &Path, role: &str, content: &Content) -> Result<(), StoreError> {
    let text = match content {
        Content::New => NEW.to_owned(),
        Content::Claiming(id) => format!("{CLAIMING}{id}"),
        Content::Embedded => READY.to_owned(),
        Content::Leaving(id) => format!("{LEAVING}{id}"),
        Content::Database(id) => format!("{DATABASE}{id}"),
    };
    write_durably(&folder.join(MARKER_FILE), format!("{role} {text}\n").as_bytes())
}

/// Marks a folder as one that is not to be opened yet.
pub(crate) fn write_unfinished(folder: &Path) -> Result<(), StoreError> {
    write_durably(&folder.join(MARKER_FILE), b"")
}

/// Makes a folder and those above it, mode 0700, so that they survive a crash.
fn make(path: &Path) -> Result<(), StoreError> {
    let missing: Vec<_> = path.ancestors().take_while(|folder| !folder.exists()).collect();
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(|e| StoreError::io("making", path, &e))?;
    for parent in missing.iter().filter_map(|folder| folder.parent()) {
        let parent = if parent.as_os_str().is_empty() { Path::new(".") } else { parent };
        sync(parent).map_err(|e| StoreError::io("syncing", parent, &e))?;
    }
    Ok(())
}

/// What the folder was used for. Writes the marker where there is neither marker nor database.
fn read_marker(folder: &Path, role: &str) -> Result<Content, StoreError> {
    if let Some(content) = look(folder, role)? {
        return Ok(content);
    }
    let marker = folder.join(MARKER_FILE);
    if folder.join(DATABASE_FILE).exists() {
        let reason = "it is missing, and there is a database".to_owned();
        return Err(StoreError::Damaged { file: marker, reason });
    }
    write_marker(folder, role, &Content::New)?;
    Ok(Content::New)
}

/// What the folder was used for, without taking it; none without a marker.
pub(crate) fn look(folder: &Path, role: &str) -> Result<Option<Content>, StoreError> {
    let marker = folder.join(MARKER_FILE);
    let damaged = |reason: &str| StoreError::Damaged { file: marker.clone(), reason: reason.to_owned() };
    let bytes = match fs::read(&marker) {
        Ok(bytes) => bytes,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(StoreError::io("reading", &marker, &e)),
    };
    let text = std::str::from_utf8(&bytes).map_err(|_| damaged("it names no role"))?;
    let (found, content) = match text.trim().split_once(' ') {
        Some((found, READY)) => (found, Content::Embedded),
        Some((found, NEW)) => (found, Content::New),
        Some((found, other)) => match other.split_once(' ').map(|(_, id)| id.to_owned()) {
            Some(id) if !id.is_empty() && other.starts_with(DATABASE) => (found, Content::Database(id)),
            Some(id) if !id.is_empty() && other.starts_with(CLAIMING) => (found, Content::Claiming(id)),
            Some(id) if !id.is_empty() && other.starts_with(LEAVING) => (found, Content::Leaving(id)),
            _ => return Err(damaged("it names no role")),
        },
        None => return Err(damaged("it names no role")),
    };
    if found != role {
        return Err(StoreError::WrongRole {
            folder: folder.to_owned(),
            expected: role.to_owned(),
            found: found.to_owned(),
        });
    }
    Ok(Some(content))
}

/// Writes a small file so that either the old or the new content survives a crash.
fn write_durably(path: &Path, content: &[u8]) -> Result<(), StoreError> {
    let temporary = path.with_extension("new");
    let failed = |e: std::io::Error| StoreError::io("writing", path, &e);
    let mut file =
        OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&temporary).map_err(failed)?;
    file.write_all(content).and_then(|()| file.sync_all()).map_err(failed)?;
    fs::rename(&temporary, path).map_err(failed)?;
    let parent = path.parent().unwrap_or(path);
    sync(parent).map_err(failed)
}

fn sync(folder: &Path) -> std::io::Result<()> {
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_folder_has_one_process_and_one_role() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join("archive");
        let first = DataFolder::open(&path, "archive").unwrap();
        assert!(matches!(DataFolder::open(&path, "archive"), Err(StoreError::InUse { .. })));
        drop(first);
        assert!(matches!(DataFolder::open(&path, "broker"), Err(StoreError::WrongRole { .. })));
        let mut again = DataFolder::open(&path, "archive").unwrap();
        let id = "an-id".to_owned();
        let with_id = [Content::Claiming, Content::Leaving, Content::Database].map(|content| content(id.clone()));
        for content in [Content::New, Content::Embedded].into_iter().chain(with_id) {
            again.mark(content.clone()).unwrap();
            drop(again);
            again = DataFolder::open(&path, "archive").unwrap();
            assert_eq!(*again.content(), content);
        }
        drop(again);
        fs::write(path.join(MARKER_FILE), "").unwrap();
        assert!(matches!(DataFolder::open(&path, "archive"), Err(StoreError::Damaged { .. })));
    }
}
