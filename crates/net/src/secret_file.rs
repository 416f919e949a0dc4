//! Files that hold a secret: private keys, key-encryption keys. They are readable by their owner
//! alone, written whole or not at all, and on disk before the call returns. What is inside is
//! the caller's matter.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use zeroize::Zeroizing;

/// Why a secret file could not be read or written. All are faults of this computer's set-up.
#[derive(Debug, thiserror::Error)]
pub enum SecretFileError {
    /// The operating system refused.
    #[error("cannot {action} secret file {path}: {source}", path = path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// Which file.
        path: PathBuf,
        /// The operating system's answer.
        source: io::Error,
    },
    /// Others than the owner may read or write the file.
    #[error(
        "secret file {path} has mode {mode:04o}, so others than its owner may use it; if nobody has read it, run `chmod 600 {path}`, else replace the secret",
        path = path.display()
    )]
    OpenToOthers {
        /// Which file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// A folder, a pipe or a device is in the place of the file.
    #[error("{path} is not a regular file; point the configuration at the secret file itself", path = path.display())]
    NotAFile {
        /// Which path.
        path: PathBuf,
    },
    /// A secret is there already and is not overwritten.
    #[error("secret file {path} exists already; move it away first if it is to be made anew", path = path.display())]
    Exists {
        /// Which file.
        path: PathBuf,
    },
    /// The file is larger than any secret of its kind.
    #[error("secret file {path} is larger than {limit} bytes; is it the right file?", path = path.display())]
    TooLarge {
        /// Which file.
        path: PathBuf,
        /// The limit in bytes.
        limit: u64,
    },
}

/// Reads a secret of at most [`SECRET_BYTES_MAX`] bytes. Refuses a file that others may use.
pub fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, SecretFileError> {
    read_up_to(path, SECRET_BYTES_MAX)
}

/// The same for something larger that is as secret.
pub fn read_up_to(path: &Path, limit: u64) -> Result<Zeroizing<Vec<u8>>, SecretFileError> {
    let file = File::open(path).map_err(|source| io_error("open", path, source))?;
    let metadata = file.metadata().map_err(|source| io_error("inspect", path, source))?;
    if !metadata.is_file() {
        return Err(SecretFileError::NotAFile { path: path.into() });
    }
    let mode = metadata.mode() & PERMISSION_BITS;
    if mode & OTHERS_BITS != 0 {
        return Err(SecretFileError::OpenToOthers { path: path.into(), mode });
    }
    // Room for everything at once: a growing buffer would leave copies behind.
    let size = usize::try_from(metadata.len().min(limit)).unwrap_or_default();
    let mut content = Zeroizing::new(Vec::with_capacity(SECRET_BUFFER_BYTES.max(size + 2)));
    file.take(limit + 1).read_to_end(&mut content).map_err(|source| io_error("read", path, source))?;
    if content.len() as u64 > limit {
        return Err(SecretFileError::TooLarge { path: path.into(), limit });
    }
    Ok(content)
}

/// Writes a new secret. When it returns, the file and its name are on disk. An existing file is
/// left alone and reported.
pub fn create(path: &Path, content: &[u8]) -> Result<(), SecretFileError> {
    let temporary = write_beside(path, content)?;
    // A link fails when the name is taken, where a rename would replace it.
    let linked = fs::hard_link(&temporary, path);
    let removed = fs::remove_file(&temporary);
    match linked {
        Ok(()) => {}
        Err(source) if source.kind() == io::ErrorKind::AlreadyExists => {
            return Err(SecretFileError::Exists { path: path.into() });
        }
        Err(source) => return Err(io_error("create", path, source)),
    }
    removed.map_err(|source| io_error("tidy up after", path, source))?;
    sync_folder(path)
}

/// Writes a secret over an older one, or a new one. At every moment either the old or the new
/// content is there, whole.
pub fn replace(path: &Path, content: &[u8]) -> Result<(), SecretFileError> {
    let temporary = write_beside(path, content)?;
    if let Err(source) = fs::rename(&temporary, path) {
        let _ = fs::remove_file(&temporary);
        return Err(io_error("replace", path, source));
    }
    sync_folder(path)
}

/// Writes and syncs a file with a name of its own in the same folder.
fn write_beside(path: &Path, content: &[u8]) -> Result<PathBuf, SecretFileError> {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    let mut name = path.file_name().ok_or_else(|| SecretFileError::NotAFile { path: path.into() })?.to_os_string();
    name.push(format!(".{}-{}.new", std::process::id(), COUNTER.fetch_add(1, Ordering::Relaxed)));
    let temporary = path.with_file_name(name);
    let written =
        OpenOptions::new().write(true).create_new(true).mode(OWNER_ONLY).open(&temporary).and_then(|mut file| {
            file.write_all(content)?;
            file.sync_all()
        });
    match written {
        Ok(()) => Ok(temporary),
        Err(source) => {
            let _ = fs::remove_file(&temporary);
            Err(io_error("write", path, source))
        }
    }
}

fn sync_folder(path: &Path) -> Result<(), SecretFileError> {
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(|source| io_error("sync the folder of", path, source))
}

fn io_error(action: &'static str, path: &Path, source: io::Error) -> SecretFileError {
    SecretFileError::Io { action, path: path.into(), source }
}

/// The largest secret: a key, or a small bundle of keys.
pub const SECRET_BYTES_MAX: u64 = 64 * 1024;

const SECRET_BUFFER_BYTES: usize = 64 * 1024 + 1;
const OWNER_ONLY: u32 = 0o600;
const OTHERS_BITS: u32 = 0o077;
const PERMISSION_BITS: u32 = 0o7777;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn what_was_written_is_read_and_its_mode_is_0600() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hop.key");
        create(&path, b"first").unwrap();
        assert_eq!(read(&path).unwrap().as_slice(), b"first");
        assert_eq!(fs::metadata(&path).unwrap().mode() & PERMISSION_BITS, 0o600);
        replace(&path, b"second").unwrap();
        assert_eq!(read(&path).unwrap().as_slice(), b"second");
        assert_eq!(fs::metadata(&path).unwrap().mode() & PERMISSION_BITS, 0o600);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "leftovers");
    }

    #[test]
    fn an_existing_secret_is_not_overwritten_by_create() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hop.key");
        create(&path, b"first").unwrap();
        let refused = create(&path, b"second");
        assert!(matches!(refused, Err(SecretFileError::Exists { .. })));
        assert_eq!(read(&path).unwrap().as_slice(), b"first");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "leftovers");
    }

    #[test]
    fn wide_permissions_are_refused_with_a_remedy() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hop.key");
        create(&path, b"secret").unwrap();
        for mode in [0o640, 0o604, 0o620, 0o601] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let refused = read(&path).unwrap_err();
            assert!(matches!(refused, SecretFileError::OpenToOthers { .. }));
            assert!(refused.to_string().contains("chmod 600"), "{refused}");
        }
    }

    #[test]
    fn folders_absent_files_and_large_files_are_named() {
        let folder = tempfile::tempdir().unwrap();
        assert!(matches!(read(folder.path()), Err(SecretFileError::NotAFile { .. })));
        let absent = read(&folder.path().join("absent")).unwrap_err();
        assert!(absent.to_string().contains("absent"), "{absent}");
        let large = folder.path().join("large");
        create(&large, &vec![0; SECRET_BUFFER_BYTES]).unwrap();
        assert!(matches!(read(&large), Err(SecretFileError::TooLarge { .. })));
    }
}
