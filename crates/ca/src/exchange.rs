//! The folder of an authority: made once by [`create_exchange`], opened by the
//! service as an [`ExchangeFolder`]. It holds the issuing key, the exchange
//! directory key and the authority's own membership. The root key lies in a
//! folder of its own, which the service is never told.

use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Component, Path, PathBuf};

use sealwort_net::secret_file::{self, SecretFileError};
use sealwort_pki::authority::{AuthorityError, ISSUING_LIFETIME, IssuingAuthority, ROOT_LIFETIME, RootAuthority};
use sealwort_pki::enrolment::{DirectoryKey, Membership};
use sealwort_pki::{
    ExchangeName, Fingerprint, Identity, IdentityError, KeyAlgorithm, KeyError, PartyName, Role, SigningKey, UnixTime,
};
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The name of the one party with role `ca`.
pub const AUTHORITY_NAME: &str = "ca";

/// What [`create_exchange`] made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CreatedExchange {
    /// Its name.
    pub exchange: ExchangeName,
    /// What parties pin.
    pub root: Fingerprint,
    /// Last second of the issuing certificate.
    pub issuing_ends: UnixTime,
    /// Where the root key lies; take it off this computer.
    pub root_key: PathBuf,
}

/// An authority's folder, read and checked.
#[derive(Debug)]
pub struct ExchangeFolder {
    path: PathBuf,
    pub(crate) root: Vec<u8>,
    pub(crate) issuing: IssuingAuthority,
    pub(crate) directory_key: DirectoryKey,
    pub(crate) identity: Identity,
}

/// The exchange was not created, or its folder not opened.
#[derive(Debug, Error)]
pub enum CreateError {
    /// The folder is there already; nothing in it was touched.
    #[error("{0} exists already: choose a new folder, or remove the old exchange first")]
    Exists(PathBuf),
    /// The root key would lie beside the keys of the running service.
    #[error("{root} lies inside {dir}, or is the same: the root key must be kept apart")]
    NotApart {
        /// The service's folder.
        dir: PathBuf,
        /// The root key's folder.
        root: PathBuf,
    },
    /// A file or folder.
    #[error("cannot {action} {path}: {source}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// The operating system's answer.
        source: io::Error,
    },
    /// A secret file.
    #[error(transparent)]
    Secret(#[from] SecretFileError),
    /// A certificate.
    #[error(transparent)]
    Authority(#[from] AuthorityError),
    /// A key.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// A file holds something else than it should.
    #[error("{0} is damaged: restore the folder from a backup")]
    Damaged(PathBuf),
}

impl From<IdentityError> for CreateError {
    fn from(_: IdentityError) -> Self {
        Self::Damaged(PathBuf::from(EXCHANGE_FILE))
    }
}

/// Makes the exchange `name`: root and issuing certificate and the directory
/// key. `dir` is for the service, `root_dir` for the root key alone; neither
/// may exist. Both appear whole or not at all.
pub fn create_exchange(
    name: &ExchangeName,
    dir: &Path,
    root_dir: &Path,
    algorithm: KeyAlgorithm,
    now: UnixTime,
) -> Result<CreatedExchange, CreateError> {
    for path in [dir, root_dir] {
        if path.symlink_metadata().is_ok() {
            return Err(CreateError::Exists(path.into()));
        }
    }
    if absolute(root_dir)?.starts_with(absolute(dir)?) || absolute(dir)?.starts_with(absolute(root_dir)?) {
        return Err(CreateError::NotApart { dir: dir.into(), root: root_dir.into() });
    }
    let root = RootAuthority::create(name.clone(), algorithm, ROOT_LIFETIME, now)?;
    let issuing = root.issue_issuing(algorithm, ISSUING_LIFETIME, now)?;
    let directory_key = DirectoryKey::generate()?;
    let description = ExchangeJson { version: FOLDER_VERSION, exchange: name.clone() };
    // A struct of a number and a name always has a JSON form.
    let description = serde_json::to_string_pretty(&description).unwrap_or_default();

    // The root key first: an exchange without it could never renew its issuing certificate.
    let root_folder = NewFolder::make(root_dir)?;
    root_folder.write(ROOT_FILE, root.certificate())?;
    root_folder.write(ROOT_KEY_FILE, &root.key().to_pkcs8()?)?;
    let folder = NewFolder::make(dir)?;
    folder.write(EXCHANGE_FILE, description.as_bytes())?;
    folder.write(ROOT_FILE, root.certificate())?;
    folder.write(ISSUING_FILE, issuing.certificate())?;
    folder.write(ISSUING_KEY_FILE, &issuing.key().to_pkcs8()?)?;
    folder.write(DIRECTORY_KEY_FILE, directory_key.expose_bytes())?;
    root_folder.appear()?;
    folder.appear()?;
    Ok(CreatedExchange {
        exchange: name.clone(),
        root: root.fingerprint(),
        issuing_ends: issuing.not_after(),
        root_key: root_dir.join(ROOT_KEY_FILE),
    })
}

impl ExchangeFolder {
    /// Reads the folder and checks that its keys and certificates belong together.
    pub fn open(path: &Path) -> Result<Self, CreateError> {
        let damaged = |file: &str| CreateError::Damaged(path.join(file));
        let description = secret_file::read(&path.join(EXCHANGE_FILE))?;
        let description: ExchangeJson = serde_json::from_slice(&description).map_err(|_| damaged(EXCHANGE_FILE))?;
        if description.version != FOLDER_VERSION {
            return Err(damaged(EXCHANGE_FILE));
        }
        let root = secret_file::read(&path.join(ROOT_FILE))?.to_vec();
        let certificate = secret_file::read(&path.join(ISSUING_FILE))?.to_vec();
        let key = SigningKey::from_pkcs8(&secret_file::read(&path.join(ISSUING_KEY_FILE))?)?;
        let directory_key = secret_file::read(&path.join(DIRECTORY_KEY_FILE))?;
        let directory_key = <&[u8; 32]>::try_from(directory_key.as_slice())
            .map(DirectoryKey::from_bytes)
            .map_err(|_| damaged(DIRECTORY_KEY_FILE))?;
        let exchange = description.exchange;
        let name: PartyName = AUTHORITY_NAME.parse()?;
        Ok(Self {
            path: path.into(),
            issuing: IssuingAuthority::load(exchange.clone(), certificate, key, &root)?,
            root,
            directory_key,
            identity: Identity::new(exchange, Role::Ca, name),
        })
    }

    /// The exchange.
    pub fn exchange(&self) -> &ExchangeName {
        &self.identity.exchange
    }

    /// The authority's own identity.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    /// What parties pin.
    pub fn root_fingerprint(&self) -> Fingerprint {
        Fingerprint::of(&self.root)
    }

    /// The file of the authority's own membership. The operator's commands use
    /// it to speak to a running service.
    pub fn membership_path(&self) -> PathBuf {
        self.path.join(MEMBERSHIP_FILE)
    }

    /// The authority's own membership, if one was kept.
    pub(crate) fn membership(&self) -> Result<Option<Membership>, CreateError> {
        let path = self.membership_path();
        match secret_file::read(&path) {
            Ok(json) => match Membership::from_json(&json) {
                Ok(membership) if membership.identity == self.identity && membership.trust.root() == self.root => {
                    Ok(Some(membership))
                }
                _ => Err(CreateError::Damaged(path)),
            },
            Err(SecretFileError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Keeps the authority's own membership.
    pub(crate) fn keep_membership(&self, membership: &Membership) -> Result<(), CreateError> {
        let json = membership.to_json()?;
        Ok(secret_file::replace(&self.membership_path(), json.as_bytes())?)
    }
}

/// A folder that is filled under another name and renamed when it is whole.
/// Dropped before, it is removed.
struct NewFolder {
    target: PathBuf,
    work: PathBuf,
    appeared: bool,
}

impl NewFolder {
    fn make(target: &Path) -> Result<Self, CreateError> {
        let mut name = target.file_name().ok_or_else(|| CreateError::Exists(target.into()))?.to_os_string();
        name.push(format!(".{}.new", std::process::id()));
        let work = target.with_file_name(name);
        if let Some(parent) = parent(target) {
            fs::create_dir_all(parent).map_err(io("create folder", parent))?;
        }
        fs::DirBuilder::new().mode(OWNER_ONLY).create(&work).map_err(io("create folder", &work))?;
        Ok(Self { target: target.into(), work, appeared: false })
    }

    fn write(&self, file: &str, content: &[u8]) -> Result<(), CreateError> {
        Ok(secret_file::create(&self.work.join(file), content)?)
    }

    fn appear(mut self) -> Result<(), CreateError> {
        // A rename would replace an empty folder made meanwhile, which loses nothing.
        fs::rename(&self.work, &self.target).map_err(io("create folder", &self.target))?;
        self.appeared = true;
        let parent = parent(&self.target).unwrap_or(Path::new("."));
        fs::File::open(parent).and_then(|folder| folder.sync_all()).map_err(io("sync folder", parent))
    }
}

impl Drop for NewFolder {
    fn drop(&mut self) {
        if !self.appeared {
            let _ = fs::remove_dir_all(&self.work);
        }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ExchangeJson {
    version: u32,
    exchange: ExchangeName,
}

/// The absolute path, without `..` and with the links of the part that exists
/// resolved.
fn absolute(path: &Path) -> Result<PathBuf, CreateError> {
    let path = std::path::absolute(path).map_err(io("resolve", path))?;
    let mut resolved = PathBuf::new();
    for component in path.components() {
        if component == Component::ParentDir {
            resolved.pop();
        } else {
            resolved.push(component);
        }
        if let Ok(existing) = resolved.canonicalize() {
            resolved = existing;
        }
    }
    Ok(resolved)
}

fn parent(path: &Path) -> Option<&Path> {
    path.parent().filter(|parent| !parent.as_os_str().is_empty())
}

fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> CreateError {
    let path = path.to_owned();
    move |source| CreateError::Io { action, path, source }
}

const FOLDER_VERSION: u32 = 1;
const EXCHANGE_FILE: &str = "exchange.json";
const ROOT_FILE: &str = "root.der";
const ROOT_KEY_FILE: &str = "root.key";
const ISSUING_FILE: &str = "issuing.der";
const ISSUING_KEY_FILE: &str = "issuing.key";
const DIRECTORY_KEY_FILE: &str = "directory.key";
const MEMBERSHIP_FILE: &str = "membership.json";
const OWNER_ONLY: u32 = 0o700;
