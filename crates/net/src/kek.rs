//! The key-encryption keys of a data folder: the newest, under which everything is wrapped, and older ones for as long as
//! something may still be wrapped under them. The file holds one key a line, in hexadecimal, the newest first. A second
//! line is what says that the keys are being changed, so that a change that was cut off goes on at the next start.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use sealwort_proto::Digest;
use sealwort_proto::crypto::{KeyEncryptionKey, Secret, hash};
use sealwort_proto::error::ErrorKind;
use zeroize::Zeroizing;

use crate::member::MemberError;
use crate::secret_file::{self, SecretFileError};

/// The keys of one folder.
pub struct KeyEncryptionKeys {
    newest: KeyEncryptionKey,
    older: Vec<KeyEncryptionKey>,
    /// The file's bytes, by which a changed file is noticed.
    text: Zeroizing<Vec<u8>>,
}

impl KeyEncryptionKeys {
    /// Reads the file, making it with a new key where there is none.
    pub(crate) fn open(file: &Path) -> Result<Self, MemberError> {
        if !file.exists() {
            secret_file::create(file, &line(&Secret::random()))?;
        }
        Self::read(file)
    }

    /// Reads the file.
    pub(crate) fn read(file: &Path) -> Result<Self, MemberError> {
        let text = secret_file::read(file)?;
        let wrong = || MemberError::KeyEncryptionKey(file.display().to_string());
        let key = |line: &[u8]| {
            let mut bytes = Zeroizing::new([0u8; 32]);
            hex::decode_to_slice(line.trim_ascii(), bytes.as_mut()).map_err(|_| wrong())?;
            Ok::<_, MemberError>(KeyEncryptionKey::new(Secret::new(*bytes)))
        };
        let mut lines = text.trim_ascii().split(|byte| *byte == b'\n');
        let newest = key(lines.next().unwrap_or_default())?;
        let older = lines.map(key).collect::<Result<_, _>>()?;
        Ok(Self { newest, older, text })
    }

    /// Wraps bytes under the newest key, as [`KeyEncryptionKey::wrap`].
    pub fn wrap(&self, context: &[&[u8]], plain: &[u8]) -> Vec<u8> {
        self.newest.wrap(context, plain)
    }

    /// Unwraps bytes that any of the keys wrapped.
    pub fn unwrap(&self, context: &[&[u8]], wrapped: &[u8]) -> Result<Zeroizing<Vec<u8>>, ErrorKind> {
        let newest = self.newest.unwrap(context, wrapped);
        self.older.iter().fold(newest, |opened, key| opened.or_else(|_| key.unwrap(context, wrapped)))
    }

    /// Wraps anew what an older key wrapped; none for what the newest did.
    pub fn rewrap(&self, context: &[&[u8]], wrapped: &[u8]) -> Result<Option<Vec<u8>>, ErrorKind> {
        if self.newest.unwrap(context, wrapped).is_ok() {
            return Ok(None);
        }
        Ok(Some(self.wrap(context, &self.unwrap(context, wrapped)?)))
    }

    /// Names of the keys, the newest first, which say nothing of the keys themselves.
    pub fn names(&self) -> Vec<Digest> {
        let lines = self.text.trim_ascii().split(|byte| *byte == b'\n');
        lines.map(|line| hash(NAME_LABEL, &line.trim_ascii().to_ascii_lowercase())).collect()
    }

    /// Whether there are older keys.
    pub fn are_changing(&self) -> bool {
        !self.older.is_empty()
    }

    /// Whether the file still holds these.
    pub(crate) fn are_in(&self, file: &Path) -> Result<bool, MemberError> {
        Ok(*secret_file::read(file)? == *self.text)
    }

    /// Whether what the others wrap opens under these.
    pub(crate) fn follow(&self, others: &Self) -> bool {
        self.unwrap(&[FOLLOWING], &others.wrap(&[FOLLOWING], b"")).is_ok()
    }

    /// Leaves the newest alone in the file, which may have been changed meanwhile: then it stays as it is.
    pub(crate) fn retire_older(&self, file: &Path) -> Result<(), MemberError> {
        let _alone = alone(file)?;
        if !self.are_in(file)? {
            return Ok(());
        }
        let newest = self.text.trim_ascii().split(|byte| *byte == b'\n').next().unwrap_or_default();
        Ok(secret_file::replace(file, &Zeroizing::new([newest.trim_ascii(), b"\n"].concat()))?)
    }
}

/// Puts a new key before the one in a folder's file. Whoever serves from the folder wraps everything anew under it, and
/// takes the older one out at the end.
pub fn begin_change(folder: &Path) -> Result<(), MemberError> {
    let file = file(folder);
    let _alone = alone(&file)?;
    let keys = KeyEncryptionKeys::read(&file)?;
    if keys.are_changing() {
        return Err(MemberError::KeysChanging(file.display().to_string()));
    }
    let both = Zeroizing::new([&line(&Secret::random())[..], keys.text.trim_ascii(), b"\n"].concat());
    Ok(secret_file::replace(&file, &both)?)
}

/// Held from reading the file to writing it: of two changes at once one would lose the other's key.
fn alone(file: &Path) -> Result<File, MemberError> {
    let path = file.with_extension("lock");
    let opened = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&path);
    let locked = opened.and_then(|lock| lock.lock().map(|()| lock));
    Ok(locked.map_err(|source| SecretFileError::Io { action: "lock", path, source })?)
}

/// The keys of a folder; none where there is no file yet.
pub fn kept(folder: &Path) -> Result<Option<KeyEncryptionKeys>, MemberError> {
    let file = file(folder);
    if file.exists() { KeyEncryptionKeys::read(&file).map(Some) } else { Ok(None) }
}

pub(crate) fn file(folder: &Path) -> PathBuf {
    folder.join(KEK_FILE)
}

fn line(key: &Secret) -> Zeroizing<Vec<u8>> {
    let text = Zeroizing::new(hex::encode(key.expose()));
    Zeroizing::new([text.as_bytes(), b"\n"].concat())
}

const NAME_LABEL: &str = "sealwort key-encryption key name v1";
const KEK_FILE: &str = "kek.key";
const FOLLOWING: &[u8] = b"sealwort following keys v1";
/// Files of a data folder without which what is kept under its keys does not open.
pub const KEY_FILES: [&str; 1] = [KEK_FILE];

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_change_goes_from_one_key_to_the_next_and_everything_opens_on_the_way() {
        let place = tempfile::tempdir().unwrap();
        let file = file(place.path());
        let first = KeyEncryptionKeys::open(&file).unwrap();
        let context: [&[u8]; 1] = [b"here"];
        let wrapped = first.wrap(&context, b"a half");
        assert!(!first.are_changing() && first.rewrap(&context, &wrapped).unwrap().is_none());

        begin_change(place.path()).unwrap();
        assert!(matches!(begin_change(place.path()), Err(MemberError::KeysChanging(_))));
        assert!(!first.are_in(&file).unwrap(), "the change is noticed");
        let both = KeyEncryptionKeys::open(&file).unwrap();
        assert!(both.are_changing() && both.are_in(&file).unwrap());
        assert_eq!(both.unwrap(&context, &wrapped).unwrap().as_slice(), b"a half");
        let anew = both.rewrap(&context, &wrapped).unwrap().unwrap();
        assert!(first.unwrap(&context, &anew).is_err(), "the first key does not open it any more");
        assert!(both.rewrap(&context, &anew).unwrap().is_none());
        assert!(both.rewrap(&[b"elsewhere"], &wrapped).is_err());

        assert!(both.follow(&first) && !first.follow(&both));

        both.retire_older(&file).unwrap();
        let second = KeyEncryptionKeys::open(&file).unwrap();
        assert!(second.follow(&both) && !second.follow(&first));
        assert!(!second.are_changing() && second.unwrap(&context, &wrapped).is_err());
        assert_eq!(second.unwrap(&context, &anew).unwrap().as_slice(), b"a half");
        begin_change(place.path()).unwrap();
        let third = secret_file::read(&file).unwrap();
        both.retire_older(&file).unwrap();
        assert_eq!(*secret_file::read(&file).unwrap(), *third, "what was changed meanwhile stays");
        for damaged in ["", "00", "zz\n"] {
            secret_file::replace(&file, damaged.as_bytes()).unwrap();
            assert!(matches!(KeyEncryptionKeys::open(&file), Err(MemberError::KeyEncryptionKey(_))), "{damaged:?}");
        }
    }

    #[test]
    fn of_changes_that_begin_at_once_one_alone_does() {
        let place = tempfile::tempdir().unwrap();
        let file = file(place.path());
        let first = KeyEncryptionKeys::open(&file).unwrap();
        let all = std::sync::Barrier::new(8);
        let begun = std::thread::scope(|scope| {
            let begin = || {
                all.wait();
                begin_change(place.path()).is_ok()
            };
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(begin)).collect();
            threads.into_iter().filter_map(|thread| thread.join().ok()).filter(|begun| *begun).count()
        });
        let now = KeyEncryptionKeys::read(&file).unwrap();
        assert_eq!((begun, now.older.len()), (1, 1));
        assert!(now.follow(&first));
    }
}
