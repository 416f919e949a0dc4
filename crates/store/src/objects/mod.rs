//! Objects beside the database: the ciphertext of an entry above a size lies in a bucket or folder, and the entry's row
//! names it, with its length and SHA-256. An object is written under a new random key, on condition that nothing is
//! there, and read back, before its row is committed. So an object without a row is nobody's; [`sweep`] collects it when
//! it is so old that nobody can be about to name it. What is read is handed out after its digest was found right.

mod fault;
mod http;
mod options;
mod sweep;

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use futures::future::BoxFuture;
use futures::{FutureExt as _, StreamExt as _, TryStreamExt as _, stream};
use object_store::path::Path;
use object_store::{Error, ObjectMeta, ObjectStore, ObjectStoreExt as _, PutMode, PutPayload};
use sealwort_proto::{Digest, crypto};
use tokio::time::timeout;

use crate::append::Placed;
use crate::database::fixed;
use crate::tables::TableRow;
use crate::{Append, StoreError};
pub use fault::ObjectFault;
pub use options::ObjectOptions;
pub use sweep::Swept;
pub(crate) use sweep::{Ledger, sweep};

/// Objects of one deposit in transfer at once.
const TRANSFERS_MAX: usize = 4;
/// How long a deposit may take to be placed. Its rows follow within as long again, or not at all; all of it is far below
/// the age of an orphan, so that no row names what was swept.
const PLACING_MAX: Duration = Duration::from_mins(10);

/// Names an object. Random, so that no object is written twice and none tells what it belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct ObjectKey([u8; 16]);

impl ObjectKey {
    fn random() -> Self {
        Self(crypto::random())
    }

    pub(crate) fn from_slice(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(Self)
    }

    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// What a row says of its object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Object {
    pub(crate) key: ObjectKey,
    pub(crate) bytes: u64,
    /// SHA-256 of the content.
    pub(crate) digest: Digest,
}

/// A place for objects. Cheap to clone.
#[derive(Clone)]
pub struct Objects(Arc<Inner>);

struct Inner {
    store: Box<dyn ObjectStore>,
    /// Everything of ours lies below.
    prefix: Path,
    /// The folder, where it is one.
    folder: Option<PathBuf>,
    /// The place, for messages.
    at: String,
    larger_than: usize,
    orphans_after: Duration,
}

impl fmt::Debug for Objects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.at)
    }
}

impl fmt::Display for Objects {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.at)
    }
}

/// Whether something was there before.
#[derive(Debug, PartialEq, Eq)]
enum Created {
    Now { versioned: Versioned },
    Before,
}

/// Whether what is deleted stays behind as an older version.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Versioned {
    Yes,
    No,
}

/// What is known of the place after [`Objects::probe`].
pub(crate) struct Probed {
    /// The place's own clock, in Unix seconds: ages are judged by one clock.
    now: i64,
    pub(crate) versioned: Versioned,
}

impl Objects {
    /// Whether they lie in this folder of the file system.
    pub fn lie_in(&self, folder: &std::path::Path) -> bool {
        let places = (self.0.folder.as_ref().and_then(|place| place.canonicalize().ok()), folder.canonicalize());
        matches!(places, (Some(place), Ok(folder)) if place.starts_with(&folder))
    }

    /// How old an object without a row must be to be collected.
    pub(crate) fn orphans_after(&self) -> Duration {
        self.0.orphans_after
    }

    /// Moves the large ciphertexts of a deposit out, each written and read back on return.
    pub(crate) async fn place(&self, append: Append) -> Result<Placed, StoreError> {
        let late = || {
            let reason = format!("it did not take a deposit within {} s", PLACING_MAX.as_secs());
            Err(ObjectFault::Failed { at: self.0.at.clone(), reason }.into())
        };
        let until = SystemTime::now() + 2 * PLACING_MAX;
        timeout(PLACING_MAX, self.place_all(append, until)).await.unwrap_or_else(|_| late())
    }

    async fn place_all(&self, mut append: Append, until: SystemTime) -> Result<Placed, StoreError> {
        let large: Vec<BoxFuture<'_, Result<(u64, Object), StoreError>>> = append
            .entries
            .iter_mut()
            .filter(|entry| entry.ciphertext.len() > self.0.larger_than)
            .map(|entry| (entry.sequence, std::mem::take(&mut entry.ciphertext)))
            .map(|(sequence, content)| async move { Ok((sequence, self.put(content).await?)) }.boxed())
            .collect();
        let objects: BTreeMap<_, _> = stream::iter(large).buffer_unordered(TRANSFERS_MAX).try_collect().await?;
        Ok(Placed { append, objects, until: Some(until) })
    }

    async fn put(&self, content: Vec<u8>) -> Result<Object, StoreError> {
        if self.0.folder.is_some() {
            // A bucket that is gone says so.
            self.marked().await?;
        }
        let digest = Digest::new(crypto::sha256(&content));
        let object = Object { key: ObjectKey::random(), bytes: content.len() as u64, digest };
        // One that is there is our own, of an attempt whose answer was lost: the key is new.
        self.create(&self.path(object.key), content.into()).await?;
        self.content(&object).await?;
        Ok(object)
    }

    /// What an object holds, after its length and digest were found right.
    pub(crate) async fn content(&self, object: &Object) -> Result<Vec<u8>, StoreError> {
        let path = self.path(object.key);
        let altered = |reason: String| {
            let (at, key) = (self.0.at.clone(), path.to_string());
            Err(ObjectFault::Altered { at, key, reason }.into())
        };
        let found = match self.0.store.get(&path).await {
            Ok(found) => found,
            Err(error) if self.absent(&error) => {
                self.marked().await?;
                return Err(ObjectFault::Missing { at: self.0.at.clone(), key: path.to_string() }.into());
            }
            Err(error) => return Err(self.failed(&error)),
        };
        if found.meta.size != object.bytes {
            return altered(format!("it has {} bytes instead of {}", found.meta.size, object.bytes));
        }
        let content = found.bytes().await.map_err(|error| self.failed(&error))?;
        if crypto::sha256(&content) != *object.digest.as_bytes() {
            return altered("its SHA-256 is another one".to_owned());
        }
        Ok(content.into())
    }

    /// What the object of an entry's row holds; `None` for a row without one.
    pub async fn content_of(&self, row: &TableRow) -> Result<Option<Vec<u8>>, StoreError> {
        let Some(key) = row.bytes("object") else { return Ok(None) };
        let object = Object {
            key: fixed(key, ObjectKey::from_slice)?,
            bytes: row.number("object_bytes").unwrap_or_default(),
            digest: fixed(row.bytes("object_digest").unwrap_or_default(), Digest::from_slice)?,
        };
        self.content(&object).await.map(Some)
    }

    /// Deletes an object; one that is gone already is fine.
    pub(crate) async fn delete(&self, key: ObjectKey) -> Result<(), StoreError> {
        self.remove(&self.path(key)).await
    }

    /// Deletes what no row will ever name. What stays behind here is collected later.
    pub(crate) async fn discard(&self, keys: &[ObjectKey]) {
        for key in keys {
            if let Err(error) = self.delete(*key).await {
                tracing::debug!(%error, "an object that nothing names stays for the sweep");
            }
        }
    }

    /// Looks whether the place keeps what a write rests on: a second conditional PUT must fail. Tells its time.
    pub(crate) async fn probe(&self) -> Result<Probed, StoreError> {
        let path = self.below(&format!("{PROBES}/{}", hex::encode(ObjectKey::random().as_bytes())));
        let first = self.create(&path, PutPayload::from_static(b"sealwort probe 1")).await?;
        let second = self.create(&path, PutPayload::from_static(b"sealwort probe 2")).await;
        let meta = self.0.store.head(&path).await.map_err(|error| self.failed(&error));
        self.remove(&path).await?;
        if second? != Created::Before {
            return Err(ObjectFault::Unconditional { at: self.0.at.clone() }.into());
        }
        let versioned = match first {
            Created::Now { versioned } => versioned,
            Created::Before => Versioned::No,
        };
        Ok(Probed { now: meta?.last_modified.timestamp(), versioned })
    }

    /// The mark of the store to which everything here belongs.
    pub(crate) async fn owner(&self) -> Result<Option<String>, StoreError> {
        self.told(OWNER).await
    }

    /// What a small object of ours says.
    async fn told(&self, name: &str) -> Result<Option<String>, StoreError> {
        match self.0.store.get(&self.below(name)).await {
            Ok(found) => {
                let told = found.bytes().await.map_err(|error| self.failed(&error))?;
                Ok(Some(String::from_utf8_lossy(&told).into_owned()))
            }
            Err(error) if self.absent(&error) => Ok(None),
            Err(error) => Err(self.failed(&error)),
        }
    }

    /// How often this place was swept, as far as it tells.
    pub(crate) async fn sweeps(&self) -> Result<u64, StoreError> {
        let Some(told) = self.told(SWEEPS).await? else { return Ok(0) };
        told.parse().map_err(|_| self.foreign("its object `sweeps` holds no number"))
    }

    /// Writes down how often it was swept.
    pub(crate) async fn swept(&self, sweeps: u64) -> Result<(), StoreError> {
        let told = sweeps.to_string().into_bytes();
        self.0.store.put(&self.below(SWEEPS), told.into()).await.map(drop).map_err(|error| self.failed(&error))
    }

    /// Refuses to sweep by a database that knows of fewer sweeps than the place.
    pub(crate) fn older(&self) -> StoreError {
        ObjectFault::Older { at: self.0.at.clone() }.into()
    }

    /// Sets the mark where there is none.
    pub(crate) async fn claim(&self, mark: &str) -> Result<(), StoreError> {
        self.create(&self.below(OWNER), mark.as_bytes().to_vec().into()).await.map(drop)
    }

    /// Makes the bucket, for tests: an operator makes it where it is kept.
    #[cfg(feature = "testing")]
    pub async fn make_bucket(&self) -> Result<(), StoreError> {
        // Its answer is not that of a PUT of an object, and is taken for an error.
        let _ = self.0.store.put(&Path::default(), PutPayload::default()).await;
        self.probe().await.map(drop)
    }

    /// Refuses what belongs to another store.
    pub(crate) fn foreign(&self, reason: &'static str) -> StoreError {
        ObjectFault::Foreign { at: self.0.at.clone(), reason }.into()
    }

    async fn create(&self, path: &Path, content: PutPayload) -> Result<Created, StoreError> {
        match self.0.store.put_opts(path, content, PutMode::Create.into()).await {
            // "null" is the one version of a bucket that keeps none.
            Ok(put) if put.version.as_deref().is_some_and(|version| version != "null") => {
                Ok(Created::Now { versioned: Versioned::Yes })
            }
            Ok(_) => Ok(Created::Now { versioned: Versioned::No }),
            Err(Error::AlreadyExists { .. } | Error::Precondition { .. }) => Ok(Created::Before),
            Err(error) => Err(self.failed(&error)),
        }
    }

    async fn remove(&self, path: &Path) -> Result<(), StoreError> {
        match self.0.store.delete(path).await {
            Ok(()) => Ok(()),
            Err(error) if self.absent(&error) => self.marked().await,
            Err(error) => Err(self.failed(&error)),
        }
    }

    /// Whether an answer says that there is no such object. Not every 404 does: the bucket may be gone, or what is behind
    /// a proxy.
    fn absent(&self, error: &Error) -> bool {
        matches!(error, Error::NotFound { source, .. }
            if self.0.folder.is_some() || source.to_string().contains("<Code>NoSuchKey</Code>"))
    }

    /// Refuses a place without its mark, which says nothing about what was in ours.
    async fn marked(&self) -> Result<(), StoreError> {
        if self.owner().await?.is_some() {
            return Ok(());
        }
        let reason = format!("its mark `{OWNER}` is not there; is it mounted?");
        Err(ObjectFault::Failed { at: self.0.at.clone(), reason }.into())
    }

    /// All objects below a folder of ours.
    fn list(&self, folder: &str) -> stream::BoxStream<'static, Result<ObjectMeta, Error>> {
        self.0.store.list(Some(&self.below(folder)))
    }

    fn path(&self, key: ObjectKey) -> Path {
        let name = hex::encode(key.as_bytes());
        // Folders of a file system stay small.
        let (folder, _) = name.split_at(2);
        self.below(&format!("{ENTRIES}/{folder}/{name}"))
    }

    fn below(&self, path: &str) -> Path {
        self.0.prefix.parts().chain(Path::from(path).parts()).collect()
    }

    fn failed(&self, error: &Error) -> StoreError {
        fault::of(&self.0.at, error)
    }
}

const ENTRIES: &str = "entry";
const PROBES: &str = "probe";
const OWNER: &str = "owner";
const SWEEPS: &str = "sweeps";
