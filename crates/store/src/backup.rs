//! A copy of a data folder that a service can be started from, made while the service runs: its files, and the embedded
//! store and audit log as they were at one moment each. The folder's marker is empty until the end, so that a copy that was
//! cut off is refused. What lies in a database is the database server's to back up.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use crate::folder::{Content, DATABASE_FILE, LOCK_FILE, MARKER_FILE, look, write_marker, write_unfinished};
use crate::sqlite::whole::{Files, copy_into, objects};
use crate::{StoreError, sqlite};

/// What a backup holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BackedUp {
    /// Files.
    pub files: u64,
    /// Their bytes together.
    pub bytes: u64,
    /// Whether the data are among them, and not in a database.
    pub with_data: bool,
    /// Entries of these data whose ciphertexts are objects, which are elsewhere.
    pub objects: u64,
}

/// Copies the data folder of a role to a new place. `audit` is where the audit log lies; in the copy it lies beside the
/// store. `keys` are the files of the folder without which its data do not open: where one of them is changed meanwhile,
/// all is copied anew.
pub async fn back_up(
    folder: &Path,
    role: &str,
    audit: &Path,
    keys: &[&str],
    to: &Path,
) -> Result<BackedUp, StoreError> {
    let content = look(folder, role)?.filter(|content| *content != Content::New);
    let Some(content) = content else {
        return Err(StoreError::Move(format!("{} holds no data yet", folder.display())));
    };
    begin(folder, to)?;
    for _ in 0..ATTEMPTS {
        let mut done = BackedUp { with_data: content.is_embedded(), ..BackedUp::default() };
        copy_folder(folder, to, &mut done)?;
        if done.with_data {
            let (from, into) = (Files::of(folder, audit), Files::of(to, to));
            // The audit log after the store: it tells of all that the store holds.
            for (from, into) in from.both().into_iter().zip(into.both()) {
                copy_into(from, into).await?;
                keep(from, into, &mut done)?;
            }
            done.objects = objects(&into.store).await?;
        }
        let same = |name: &&str| fs::read(folder.join(name)).ok() == fs::read(to.join(name)).ok();
        if keys.iter().all(same) {
            // A move that was begun is the original's.
            let content = if done.with_data { Content::Embedded } else { content };
            write_marker(to, role, &content)?;
            keep(&folder.join(MARKER_FILE), &to.join(MARKER_FILE), &mut done)?;
            return Ok(done);
        }
        fs::remove_dir_all(to).map_err(|e| StoreError::io("removing", to, &e))?;
        begin(folder, to)?;
    }
    Err(StoreError::Move("the folder's keys were changed again and again meanwhile; repeat it later".to_owned()))
}

/// How often a copy is begun anew.
const ATTEMPTS: usize = 3;

fn begin(folder: &Path, to: &Path) -> Result<(), StoreError> {
    let failed = |e: io::Error| StoreError::io("making", to, &e);
    if fs::read_dir(to).is_ok_and(|mut entries| entries.next().is_some()) {
        return Err(StoreError::Move(format!("{} is not empty; name a new folder", to.display())));
    }
    fs::DirBuilder::new().recursive(true).mode(0o700).create(to).map_err(failed)?;
    let (folder, inner) = (folder.canonicalize().map_err(failed)?, to.canonicalize().map_err(failed)?);
    if inner.starts_with(&folder) {
        let _ = fs::remove_dir(to);
        return Err(StoreError::Move(format!("{} lies in the folder itself; name another place", to.display())));
    }
    fs::set_permissions(to, fs::Permissions::from_mode(0o700)).map_err(failed)?;
    if let Some(parent) = inner.parent() {
        sqlite::sync_folder(parent)?;
    }
    write_unfinished(to)
}

/// Everything but the databases, what is being written, and what counts for the process that has the folder.
fn copy_folder(from: &Path, to: &Path, done: &mut BackedUp) -> Result<(), StoreError> {
    let failed = |e: io::Error| StoreError::io("reading", from, &e);
    for entry in fs::read_dir(from).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = entry.file_name();
        let (source, copy, name) = (entry.path(), to.join(&name), name.to_string_lossy());
        let passing = [".new", ".moved", ".lock"].iter().any(|ending| name.ends_with(ending));
        let other = name == LOCK_FILE || name == MARKER_FILE;
        if passing || other || name.starts_with(DATABASE_FILE) || name.starts_with(sqlite::AUDIT_FILE) {
            continue;
        }
        let metadata = match fs::metadata(&source) {
            Ok(metadata) => metadata,
            // It was there for a moment only.
            Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
            Err(e) => return Err(StoreError::io("reading", &source, &e)),
        };
        if metadata.is_dir() {
            let made = fs::DirBuilder::new().mode(metadata.mode() & PERMISSION_BITS).create(&copy);
            made.map_err(|e| StoreError::io("making", &copy, &e))?;
            copy_folder(&source, &copy, done)?;
        } else if metadata.is_file() {
            copy_file(&source, &copy, done)?;
        }
    }
    sqlite::sync_folder(to)
}

fn copy_file(from: &Path, to: &Path, done: &mut BackedUp) -> Result<(), StoreError> {
    let failed = |e: io::Error| StoreError::io("copying", from, &e);
    let mut source = File::open(from).map_err(failed)?;
    // Narrow from the first moment: it may be a key.
    let mut copy = OpenOptions::new().write(true).create_new(true).mode(0o600).open(to).map_err(failed)?;
    io::copy(&mut source, &mut copy).map_err(failed)?;
    keep(from, to, done)
}

/// Gives a copy the mode of its original, and has it on disk.
fn keep(from: &Path, to: &Path, done: &mut BackedUp) -> Result<(), StoreError> {
    let failed = |e: io::Error| StoreError::io("copying", from, &e);
    let mode = fs::metadata(from).map_err(failed)?.mode() & PERMISSION_BITS;
    fs::set_permissions(to, fs::Permissions::from_mode(mode)).map_err(failed)?;
    let copy = File::open(to).map_err(failed)?;
    copy.sync_all().map_err(failed)?;
    done.files += 1;
    done.bytes += copy.metadata().map_err(failed)?.len();
    Ok(())
}

const PERMISSION_BITS: u32 = 0o7777;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::DataFolder;
    use crate::sqlite::{SqliteAudit, SqliteStore};

    #[tokio::test]
    async fn a_copy_keeps_modes_and_leaves_out_what_passes_and_one_that_was_cut_off_is_refused() {
        let place = tempfile::tempdir().unwrap();
        let (path, to) = (place.path().join("archive"), place.path().join("copy"));
        let mut folder = DataFolder::open(&path, "archive").unwrap();
        let store = SqliteStore::open(&mut folder).await.unwrap();
        let audit = SqliteAudit::open(&folder, &path).await.unwrap();
        fs::create_dir(path.join("evidence")).unwrap();
        for (name, mode) in [("kek.key", 0o600), ("crl.json", 0o640), ("evidence/one", 0o400), ("kek.key.1.new", 0o600)]
        {
            fs::write(path.join(name), name).unwrap();
            fs::set_permissions(path.join(name), fs::Permissions::from_mode(mode)).unwrap();
        }
        // Others may not look into a folder that was there, either.
        fs::create_dir(&to).unwrap();
        fs::set_permissions(&to, fs::Permissions::from_mode(0o755)).unwrap();
        // The service has the folder all the while.
        let done = back_up(&path, "archive", &path, &["kek.key"], &to).await.unwrap();
        assert!(done.with_data && done.bytes > 0, "{done:?}");
        for (name, mode) in [("kek.key", 0o600), ("crl.json", 0o640), ("evidence/one", 0o400)] {
            assert_eq!(fs::read(to.join(name)).unwrap(), name.as_bytes());
            assert_eq!(fs::metadata(to.join(name)).unwrap().mode() & PERMISSION_BITS, mode, "{name}");
        }
        assert!(!to.join("kek.key.1.new").exists() && !to.join(LOCK_FILE).exists());
        assert_eq!(fs::metadata(&to).unwrap().mode() & PERMISSION_BITS, 0o700);
        for refused in [path.join("within"), to.clone()] {
            assert!(matches!(back_up(&path, "archive", &path, &[], &refused).await, Err(StoreError::Move(_))));
        }
        assert!(!path.join("within").exists());
        store.close().await;
        audit.close().await;
        // One that was cut off is none, from its first moment on.
        let cut = place.path().join("cut");
        begin(&path, &cut).unwrap();
        assert!(matches!(DataFolder::open(&cut, "archive"), Err(StoreError::Damaged { .. })));
        let mut copy = DataFolder::open(&to, "archive").unwrap();
        SqliteStore::open(&mut copy).await.unwrap().close().await;
        SqliteAudit::open(&copy, &to).await.unwrap().close().await;
    }
}
