//! The key-encryption keys of a data folder: the newest, under which everything is wrapped, and older ones for as long as
//! something may still be wrapped under them. The file names one key a line, the newest first: in hexadecimal the key
//! itself, or the name of one in a PKCS#11 token (`pkcs11 ID PROOF`). A second line is what says that the keys are being
//! changed, so that a change that was cut off goes on at the next start.

use std::fs::{File, OpenOptions};
use std::iter::once;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sealwort_proto::Digest;
use sealwort_proto::crypto::{KeyEncryptionKey, Secret, hash};
use zeroize::Zeroizing;

use crate::member::MemberError;
use crate::secret_file::{self, SecretFileError};
use crate::token::{SCHEME, Token, TokenKey, WrappingError};

/// The keys of one folder.
pub struct KeyEncryptionKeys {
    newest: Key,
    older: Vec<Key>,
    /// The file's bytes, by which a changed file is noticed.
    text: Zeroizing<Vec<u8>>,
}

/// Where a key is.
enum Key {
    File(KeyEncryptionKey),
    Token(TokenKey),
}

/// Where a new key is to be.
#[derive(Clone)]
pub enum Place {
    /// In the folder's file.
    File,
    /// In this token.
    Token(Arc<Token>),
}

impl Key {
    fn wrap(&self, context: &[&[u8]], plain: &[u8]) -> Result<Vec<u8>, WrappingError> {
        match self {
            Self::File(key) => Ok(key.wrap(context, plain)),
            Self::Token(key) => key.wrap(context, plain),
        }
    }

    fn unwrap(&self, context: &[&[u8]], wrapped: &[u8]) -> Result<Zeroizing<Vec<u8>>, WrappingError> {
        match self {
            Self::File(key) => key.unwrap(context, wrapped).map_err(|_| WrappingError::Sealed),
            Self::Token(key) => key.unwrap(context, wrapped),
        }
    }

    /// Whether this key wrapped it. A token is not asked, for there are many to be told: `sealwort store verify` opens all.
    fn has_wrapped(&self, context: &[&[u8]], wrapped: &[u8]) -> bool {
        match self {
            Self::File(key) => key.unwrap(context, wrapped).is_ok(),
            Self::Token(key) => key.has_wrapped(wrapped),
        }
    }
}

impl KeyEncryptionKeys {
    /// Reads the file, making it with a new key where there is none.
    pub(crate) fn open(file: &Path, token: Option<&Arc<Token>>) -> Result<Self, MemberError> {
        if !file.exists() {
            secret_file::create(file, &line(&Secret::random()))?;
        }
        Self::read(file, token)
    }

    /// Reads the file. The token is not asked.
    pub(crate) fn read(file: &Path, token: Option<&Arc<Token>>) -> Result<Self, MemberError> {
        let text = secret_file::read(file)?;
        let wrong = || MemberError::KeyEncryptionKey(file.display().to_string());
        let key = |line: &[u8]| {
            let line = line.trim_ascii();
            if line.starts_with(SCHEME) {
                let token = token.ok_or_else(|| MemberError::KeyInToken(file.display().to_string()))?;
                return TokenKey::read(line, token).map(Key::Token).ok_or_else(wrong);
            }
            let mut bytes = Zeroizing::new([0u8; 32]);
            hex::decode_to_slice(line, bytes.as_mut()).map_err(|_| wrong())?;
            Ok::<_, MemberError>(Key::File(KeyEncryptionKey::new(Secret::new(*bytes))))
        };
        let mut lines = text.trim_ascii().split(|byte| *byte == b'\n');
        let newest = key(lines.next().unwrap_or_default())?;
        let older = lines.map(key).collect::<Result<_, _>>()?;
        Ok(Self { newest, older, text })
    }

    fn all(&self) -> impl Iterator<Item = &Key> {
        once(&self.newest).chain(&self.older)
    }

    /// Wraps bytes under the newest key, as [`KeyEncryptionKey::wrap`]. For a gateway, whose keys are all in the file;
    /// [`KeyEncryptionKeys::try_wrap`] is for parties that may have a token.
    #[expect(
        clippy::panic,
        reason = "a gateway is given no token, and a key file that names one is refused without it"
    )]
    pub fn wrap(&self, context: &[&[u8]], plain: &[u8]) -> Vec<u8> {
        match &self.newest {
            Key::File(key) => key.wrap(context, plain),
            Key::Token(_) => panic!("a key in a token is asked by try_wrap"),
        }
    }

    /// Wraps bytes under the newest key. May wait for a token.
    pub fn try_wrap(&self, context: &[&[u8]], plain: &[u8]) -> Result<Vec<u8>, WrappingError> {
        self.newest.wrap(context, plain)
    }

    /// Unwraps bytes that any of the keys wrapped. May wait for a token.
    pub fn unwrap(&self, context: &[&[u8]], wrapped: &[u8]) -> Result<Zeroizing<Vec<u8>>, WrappingError> {
        let mut failed = WrappingError::Sealed;
        for key in self.all() {
            match key.unwrap(context, wrapped) {
                Ok(plain) => return Ok(plain),
                Err(WrappingError::Sealed) => {}
                Err(error) => failed = error,
            }
        }
        Err(failed)
    }

    /// Wraps anew what an older key wrapped; none for what the newest did. May wait for a token.
    pub fn rewrap(&self, context: &[&[u8]], wrapped: &[u8]) -> Result<Option<Vec<u8>>, WrappingError> {
        if self.newest.has_wrapped(context, wrapped) {
            return Ok(None);
        }
        Ok(Some(self.try_wrap(context, &self.unwrap(context, wrapped)?)?))
    }

    /// Asks the token of each key that is in one whether it has it.
    pub fn prove(&self) -> Result<(), WrappingError> {
        self.all().try_for_each(|key| match key {
            Key::File(_) => Ok(()),
            Key::Token(key) => key.prove(),
        })
    }

    /// Whether a token has to be asked, which takes its time.
    pub(crate) fn ask_a_token(&self) -> bool {
        self.all().any(|key| matches!(key, Key::Token(_)))
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
        others.names().first().is_some_and(|newest| self.names().contains(newest))
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
/// takes the older one out at the end. A key in a token that nothing names, because this was killed before the file named
/// it, does no harm.
pub fn begin_change(folder: &Path, place: &Place) -> Result<(), MemberError> {
    let file = file(folder);
    let _alone = alone(&file)?;
    let text = secret_file::read(&file)?;
    if text.trim_ascii().contains(&b'\n') {
        return Err(MemberError::KeysChanging(file.display().to_string()));
    }
    let token = if let Place::Token(token) = place { Some(token) } else { None };
    match KeyEncryptionKeys::read(&file, token) {
        // The old key need not be reached to begin.
        Ok(_) | Err(MemberError::KeyInToken(_)) => {}
        Err(error) => return Err(error),
    }
    let newest = match place {
        Place::File => line(&Secret::random()),
        Place::Token(token) => Zeroizing::new(TokenKey::create(token)?.line()),
    };
    let both = Zeroizing::new([&newest[..], text.trim_ascii(), b"\n"].concat());
    Ok(secret_file::replace(&file, &both)?)
}

/// Whether a folder's newest key is in a token.
pub fn is_in_token(folder: &Path) -> Result<bool, MemberError> {
    Ok(secret_file::read(&file(folder))?.starts_with(SCHEME))
}

/// Whether a folder's file holds older keys, too.
pub fn is_changing(folder: &Path) -> Result<bool, MemberError> {
    Ok(secret_file::read(&file(folder))?.trim_ascii().contains(&b'\n'))
}

/// Held from reading the file to writing it: of two changes at once one would lose the other's key.
fn alone(file: &Path) -> Result<File, MemberError> {
    let path = file.with_extension("lock");
    let opened = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&path);
    let locked = opened.and_then(|lock| lock.lock().map(|()| lock));
    Ok(locked.map_err(|source| SecretFileError::Io { action: "lock", path, source })?)
}

/// The keys of a folder; none where there is no file yet.
pub fn kept(folder: &Path, token: Option<&Arc<Token>>) -> Result<Option<KeyEncryptionKeys>, MemberError> {
    let file = file(folder);
    if file.exists() { KeyEncryptionKeys::read(&file, token).map(Some) } else { Ok(None) }
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
/// Files of a data folder without which what is kept under its keys does not open.
pub const KEY_FILES: [&str; 1] = [KEK_FILE];

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use crate::config::KeysConfig;

    #[test]
    fn a_change_goes_from_one_key_to_the_next_and_everything_opens_on_the_way() {
        let place = tempfile::tempdir().unwrap();
        let file = file(place.path());
        let first = KeyEncryptionKeys::open(&file, None).unwrap();
        let context: [&[u8]; 1] = [b"here"];
        let wrapped = first.wrap(&context, b"a half");
        assert!(!first.are_changing() && first.rewrap(&context, &wrapped).unwrap().is_none());

        begin_change(place.path(), &Place::File).unwrap();
        assert!(matches!(begin_change(place.path(), &Place::File), Err(MemberError::KeysChanging(_))));
        assert!(!first.are_in(&file).unwrap(), "the change is noticed");
        let both = KeyEncryptionKeys::open(&file, None).unwrap();
        assert!(both.are_changing() && both.are_in(&file).unwrap());
        assert_eq!(both.unwrap(&context, &wrapped).unwrap().as_slice(), b"a half");
        let anew = both.rewrap(&context, &wrapped).unwrap().unwrap();
        assert!(first.unwrap(&context, &anew).is_err(), "the first key does not open it any more");
        assert!(both.rewrap(&context, &anew).unwrap().is_none());
        assert!(both.rewrap(&[b"elsewhere"], &wrapped).is_err());

        assert!(both.follow(&first) && !first.follow(&both));

        both.retire_older(&file).unwrap();
        let second = KeyEncryptionKeys::open(&file, None).unwrap();
        assert!(second.follow(&both) && !second.follow(&first));
        assert!(!second.are_changing() && second.unwrap(&context, &wrapped).is_err());
        assert_eq!(second.unwrap(&context, &anew).unwrap().as_slice(), b"a half");
        begin_change(place.path(), &Place::File).unwrap();
        let third = secret_file::read(&file).unwrap();
        both.retire_older(&file).unwrap();
        assert_eq!(*secret_file::read(&file).unwrap(), *third, "what was changed meanwhile stays");
        for damaged in ["", "00", "zz\n"] {
            secret_file::replace(&file, damaged.as_bytes()).unwrap();
            assert!(
                matches!(KeyEncryptionKeys::open(&file, None), Err(MemberError::KeyEncryptionKey(_))),
                "{damaged:?}"
            );
        }
    }

    #[test]
    fn of_changes_that_begin_at_once_one_alone_does() {
        let place = tempfile::tempdir().unwrap();
        let file = file(place.path());
        let first = KeyEncryptionKeys::open(&file, None).unwrap();
        let all = std::sync::Barrier::new(8);
        let begun = std::thread::scope(|scope| {
            let begin = || {
                all.wait();
                begin_change(place.path(), &Place::File).is_ok()
            };
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(begin)).collect();
            threads.into_iter().filter_map(|thread| thread.join().ok()).filter(|begun| *begun).count()
        });
        let now = KeyEncryptionKeys::read(&file, None).unwrap();
        assert_eq!((begun, now.older.len()), (1, 1));
        assert!(now.follow(&first));
    }

    #[test]
    fn a_file_that_names_a_key_in_a_token_is_refused_without_the_token() {
        let place = tempfile::tempdir().unwrap();
        let file = file(place.path());
        let id = "0a".repeat(16);
        let named = format!("pkcs11 {id} {id}00\n");
        secret_file::create(&file, named.as_bytes()).unwrap();
        assert!(is_in_token(place.path()).unwrap() && !is_changing(place.path()).unwrap());
        assert!(matches!(KeyEncryptionKeys::read(&file, None), Err(MemberError::KeyInToken(_))));
        let token = Token::of(&KeysConfig { module: "/no/such/module.so".into(), ..KeysConfig::default() });
        let keys = KeyEncryptionKeys::read(&file, token.as_ref()).unwrap();
        assert!(keys.ask_a_token() && !keys.are_changing());
        assert!(matches!(keys.prove(), Err(WrappingError::Token(_))));
        // Back into the file needs no token to begin.
        begin_change(place.path(), &Place::File).unwrap();
        let both = KeyEncryptionKeys::read(&file, token.as_ref()).unwrap();
        assert!(both.follow(&keys) && !keys.follow(&both) && is_changing(place.path()).unwrap());
        assert_eq!(both.names()[1..], keys.names());
        let anew = both.wrap(&[b"here"], b"a half");
        assert_eq!(both.unwrap(&[b"here"], &anew).unwrap().as_slice(), b"a half");
        // What only the token can open is not taken for bytes that open under no key.
        let sealed = [&[0x0a; 16][..], &[7; 60]].concat();
        assert!(matches!(both.rewrap(&[b"here"], &sealed), Err(WrappingError::Token(_))));
        secret_file::replace(&file, b"pkcs11 00 00\n").unwrap();
        assert!(matches!(KeyEncryptionKeys::read(&file, token.as_ref()), Err(MemberError::KeyEncryptionKey(_))));
    }
}
