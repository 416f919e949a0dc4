//! Entries whose ciphertexts are objects: placing them before their rows, reading them after, and deleting them with
//! their patient.

use std::collections::HashSet;

use async_trait::async_trait;
use futures::future::BoxFuture;
use futures::{FutureExt as _, StreamExt as _, stream};
use sealwort_proto::{Digest, crypto};
use sqlx::Row as _;

use super::{Connection, DriverRow, Store};
use crate::append::{self, Placed};
use crate::database::{fixed, signed, unsigned};
use crate::objects::{Ledger, Object, ObjectKey, Versioned, sweep};
use crate::{Append, Appended, DatabaseFault, ObjectFault, Objects, StoreError, StoredEntry, Swept};

/// Pages in transfer at once.
const TRANSFERS_MAX: usize = 4;
/// Objects that are deleted between two looks at the list.
const DOOMED_TOGETHER: i64 = 100;

impl Store {
    /// Keeps large entries there from now on, after the place was found fit and this store's own. Without a place, a
    /// store that has objects is refused.
    pub async fn with_objects(mut self, objects: Option<Objects>) -> Result<Self, StoreError> {
        let owner = sqlx::query(OWNER).fetch_optional(&self.readers).await?;
        let owner: Option<Vec<u8>> = owner.map(|row| row.try_get(0)).transpose()?;
        let used = sqlx::query(USED).fetch_optional(&self.readers).await?.is_some();
        let Some(objects) = objects else {
            return if used { Err(ObjectFault::Unconfigured.into()) } else { Ok(self) };
        };
        let probed = objects.probe().await?;
        let mark = objects.owner().await?;
        let owner = match (owner, &mark) {
            (Some(owner), _) => owner,
            (None, Some(_)) => return Err(objects.foreign(ANOTHER)),
            (None, None) => self.writer.submit(|c| own(c).boxed()).await?,
        };
        if mark.is_none() {
            if used {
                return Err(objects.foreign("it lacks the mark of its owner, as an empty one does"));
            }
            objects.claim(&hex::encode(&owner)).await?;
        }
        // Asked again, because another process may have been quicker.
        if objects.owner().await? != Some(hex::encode(&owner)) {
            return Err(objects.foreign(ANOTHER));
        }
        if probed.versioned == Versioned::Yes {
            tracing::warn!(%objects, "the bucket keeps older versions: what is erased stays in it for as long as those do");
        }
        self.objects = Some(objects);
        Ok(self)
    }

    /// Appends a deposit whose large ciphertexts were placed before.
    pub(super) async fn append_placed(&self, append: Append) -> Result<Appended, StoreError> {
        append::check(&append)?;
        let placed = match &self.objects {
            Some(objects) => {
                let placed = objects.place(append).await;
                placed.inspect_err(|error| tracing::error!(%error, "a deposit was not placed"))?
            }
            None => Placed::from(append),
        };
        let keys: Vec<ObjectKey> = placed.objects.values().map(|object| object.key).collect();
        let outcome = self.appender(placed.patient).append(placed).await;
        if let Some(objects) = &self.objects
            && surely_unnamed(&outcome)
        {
            objects.discard(&keys).await;
        }
        outcome
    }

    /// Entries with what their objects hold. They end before one whose object cannot be read; it is an error where it is
    /// the first.
    pub(super) async fn filled(
        &self,
        found: Vec<(StoredEntry, Option<Object>)>,
    ) -> Result<Vec<StoredEntry>, StoreError> {
        let reads: Vec<BoxFuture<'_, _>> =
            found.into_iter().map(|(entry, object)| self.fill(entry, object).boxed()).collect();
        let mut entries = Vec::with_capacity(reads.len());
        let mut reads = stream::iter(reads).buffered(TRANSFERS_MAX);
        while let Some(read) = reads.next().await {
            match read {
                Ok(entry) => entries.push(entry),
                Err(error) if entries.is_empty() => return Err(error),
                Err(_) => break,
            }
        }
        Ok(entries)
    }

    async fn fill(&self, mut entry: StoredEntry, object: Option<Object>) -> Result<StoredEntry, StoreError> {
        if let Some(object) = object {
            let objects = self.objects.as_ref().ok_or(ObjectFault::Unconfigured)?;
            entry.ciphertext = match objects.content(&object).await {
                Err(StoreError::Objects(ObjectFault::Missing { .. })) if !self.names(object.key).await? => {
                    // The patient was erased after the row was read.
                    return Err(StoreError::Erased);
                }
                content => content.inspect_err(|error| tracing::error!(%error, "an entry cannot be read"))?,
            };
        }
        Ok(entry)
    }

    async fn names(&self, key: ObjectKey) -> Result<bool, StoreError> {
        let named = self.writer.submit(move |c| async move { named(c, &[key]).await }.boxed()).await?;
        Ok(named.contains(&key))
    }

    /// Deletes the objects of patients who were erased, also those that a crash left.
    pub(super) async fn delete_doomed(&self) -> Result<(), StoreError> {
        loop {
            let doomed = self.writer.submit(|c| doomed(c).boxed()).await?;
            if doomed.is_empty() {
                return Ok(());
            }
            let objects = self.objects.as_ref().ok_or(ObjectFault::Unconfigured)?;
            for key in &doomed {
                objects.delete(*key).await?;
            }
            self.writer.submit(move |c| async move { forget(c, &doomed).await }.boxed()).await?;
        }
    }

    /// Deletes the objects that no entry names, and are old enough for nobody to be about to name them.
    pub async fn sweep(&self) -> Result<Swept, StoreError> {
        let objects = self.objects.as_ref().ok_or(ObjectFault::Unconfigured)?;
        self.delete_doomed().await?;
        // Other nodes count in the database first, so that what is read of the place before it is never ahead of it.
        let told = objects.sweeps().await?;
        let sweeps = self.writer.submit(move |c| async move { count_sweep(c, told).await }.boxed()).await?;
        objects.swept(sweeps.ok_or_else(|| objects.older())?).await?;
        sweep(objects, objects.orphans_after(), &mut self.clone()).await
    }
}

#[async_trait]
impl Ledger for Store {
    /// By the writer, which has seen every commit.
    async fn named(&mut self, keys: Vec<ObjectKey>) -> Result<HashSet<ObjectKey>, StoreError> {
        self.writer.submit(move |c| async move { named(c, &keys).await }.boxed()).await
    }
}

/// Whether no row can name what was placed for an append. After most errors the rows may be there all the same: even a
/// disk may be found full after the commit was written.
fn surely_unnamed(outcome: &Result<Appended, StoreError>) -> bool {
    match outcome {
        Ok(Appended::Known(_) | Appended::Conflict(_) | Appended::Erased) => true,
        Err(StoreError::Database(fault)) => {
            matches!(fault, DatabaseFault::Unreachable { .. } | DatabaseFault::Login { .. } | DatabaseFault::ReadOnly)
        }
        Ok(Appended::Stored(_)) | Err(_) => false,
    }
}

/// A connection beside the service.
pub(super) struct Beside(pub(super) Connection);

impl Beside {
    /// Deletes the objects that no entry names, of a place that is this store's.
    pub(super) async fn sweep(mut self, objects: &Objects) -> Result<Swept, StoreError> {
        let told = objects.sweeps().await?;
        let row = sqlx::query("SELECT id, sweeps FROM object_owner").fetch_optional(&mut self.0).await?;
        let owner: Option<Vec<u8>> = row.as_ref().map(|row| row.try_get(0)).transpose()?;
        let sweeps: Option<i64> = row.as_ref().map(|row| row.try_get(1)).transpose()?;
        match (owner.map(hex::encode), objects.owner().await?) {
            (None, None) => Ok(Swept::default()),
            (owner, mark) if owner != mark => Err(objects.foreign(ANOTHER)),
            _ if told > unsigned(sweeps.unwrap_or_default())? => Err(objects.older()),
            _ => sweep(objects, objects.orphans_after(), &mut self).await,
        }
    }
}

#[async_trait]
impl Ledger for Beside {
    async fn named(&mut self, keys: Vec<ObjectKey>) -> Result<HashSet<ObjectKey>, StoreError> {
        named(&mut self.0, &keys).await
    }
}

/// The object of a row's columns `object`, `object_bytes` and `object_digest`, which begin here.
pub(super) fn object(row: &DriverRow, first: usize) -> Result<Option<Object>, StoreError> {
    let Some(key) = row.try_get::<Option<Vec<u8>>, _>(first)? else { return Ok(None) };
    Ok(Some(Object {
        key: fixed(&key, ObjectKey::from_slice)?,
        bytes: unsigned(row.try_get(first + 1)?)?,
        digest: fixed(row.try_get(first + 2)?, Digest::from_slice)?,
    }))
}

/// The store's own mark, made where there is none.
async fn own(c: &mut Connection) -> Result<Vec<u8>, StoreError> {
    let made: [u8; 16] = crypto::random();
    let insert = "INSERT INTO object_owner (number, id, sweeps) VALUES (1, $1, 0) ON CONFLICT DO NOTHING";
    sqlx::query(insert).bind(made.to_vec()).execute(&mut *c).await?;
    Ok(sqlx::query(OWNER).fetch_one(c).await?.try_get(0)?)
}

/// The number of the sweep that begins; none where the place was swept more often than the database knows.
async fn count_sweep(c: &mut Connection, told: u64) -> Result<Option<u64>, StoreError> {
    let update = "UPDATE object_owner SET sweeps = sweeps + 1 WHERE sweeps >= $1 RETURNING sweeps";
    let row = sqlx::query(update).bind(signed(told)?).fetch_optional(c).await?;
    row.map(|row| unsigned(row.try_get(0)?)).transpose()
}

async fn doomed(c: &mut Connection) -> Result<Vec<ObjectKey>, StoreError> {
    let rows = sqlx::query("SELECT object FROM doomed_object LIMIT $1").bind(DOOMED_TOGETHER).fetch_all(c).await?;
    rows.iter().map(|row| fixed(row.try_get(0)?, ObjectKey::from_slice)).collect()
}

async fn forget(c: &mut Connection, keys: &[ObjectKey]) -> Result<(), StoreError> {
    for key in keys {
        let delete = sqlx::query("DELETE FROM doomed_object WHERE object = $1");
        delete.bind(key.as_bytes().to_vec()).execute(&mut *c).await?;
    }
    Ok(())
}

async fn named(c: &mut Connection, keys: &[ObjectKey]) -> Result<HashSet<ObjectKey>, StoreError> {
    if keys.is_empty() {
        return Ok(HashSet::new());
    }
    let places: Vec<_> = (1..=keys.len()).map(|place| format!("${place}")).collect();
    let select = format!("SELECT object FROM entry WHERE object IN ({})", places.join(", "));
    let query =
        keys.iter().fold(sqlx::query(sqlx::AssertSqlSafe(select)), |query, key| query.bind(key.as_bytes().to_vec()));
    query.fetch_all(c).await?.iter().map(|row| fixed(row.try_get(0)?, ObjectKey::from_slice)).collect()
}

const ANOTHER: &str = "another store marked it as its own; each needs a bucket or prefix for itself";
const OWNER: &str = "SELECT id FROM object_owner WHERE number = 1";
const USED: &str = "SELECT 1 FROM entry WHERE object IS NOT NULL UNION ALL SELECT 1 FROM doomed_object LIMIT 1";
