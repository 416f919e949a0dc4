//! Collecting what no row names. A write in progress has objects without rows, too: its objects are young. Keys are
//! never used twice, so that what is old and unnamed now is named never.

use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use futures::{StreamExt as _, TryStreamExt as _};

use super::{ENTRIES, ObjectKey, Objects, PROBES};
use crate::StoreError;

/// Objects whose rows are looked for together.
const TOGETHER: usize = 200;

/// Who knows which objects are named.
#[async_trait]
pub(crate) trait Ledger: Send {
    /// Those of the keys that an entry names.
    async fn named(&mut self, keys: Vec<ObjectKey>) -> Result<HashSet<ObjectKey>, StoreError>;
}

/// What a sweep found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Swept {
    /// Objects of entries that were looked at.
    pub seen: u64,
    /// Those without an entry that are too young to be judged.
    pub young: u64,
    /// Those without an entry that were deleted.
    pub removed: u64,
}

/// Deletes the objects above an age that nothing names.
pub(crate) async fn sweep(objects: &Objects, age: Duration, ledger: &mut dyn Ledger) -> Result<Swept, StoreError> {
    let until = objects.probe().await?.now.saturating_sub_unsigned(age.as_secs());
    let failed = |error| objects.failed(&error);
    let mut swept = Swept::default();
    let mut pages = objects.list(ENTRIES).chunks(TOGETHER);
    while let Some(page) = pages.next().await {
        let page = page.into_iter().collect::<Result<Vec<_>, _>>().map_err(failed)?;
        let keyed: Vec<_> = page
            .iter()
            .filter_map(|meta| {
                let name = hex::decode(meta.location.filename()?).ok()?;
                Some((ObjectKey::from_slice(&name)?, meta))
            })
            .collect();
        let named = ledger.named(keyed.iter().map(|(key, _)| *key).collect()).await?;
        swept.seen += keyed.len() as u64;
        for (key, meta) in keyed {
            match (named.contains(&key), meta.last_modified.timestamp() <= until) {
                (true, _) => {}
                (false, false) => swept.young += 1,
                (false, true) => {
                    objects.remove(&meta.location).await?;
                    swept.removed += 1;
                }
            }
        }
    }
    if let Some(folder) = objects.0.folder.clone() {
        let cut_off = move || remove_cut_off(&folder, until);
        tokio::task::spawn_blocking(cut_off).await.map_err(|error| StoreError::Io(error.to_string()))??;
    }
    // What a probe left that was killed.
    let mut probes = objects.list(PROBES);
    while let Some(probe) = probes.try_next().await.map_err(failed)? {
        if probe.last_modified.timestamp() <= until {
            objects.remove(&probe.location).await?;
        }
    }
    Ok(swept)
}

/// Removes files of writes that were cut off before they had their name. They have a `#` in it, and are not listed.
fn remove_cut_off(folder: &Path, until: i64) -> Result<(), StoreError> {
    let failed = |error: std::io::Error| StoreError::io("sweeping", folder, &error);
    for shelf in fs::read_dir(folder.join(ENTRIES)).into_iter().flatten() {
        for file in fs::read_dir(shelf.map_err(failed)?.path()).map_err(failed)? {
            let file = file.map_err(failed)?;
            if !file.file_name().to_string_lossy().contains('#') {
                continue;
            }
            match file.metadata() {
                Ok(metadata) if metadata.mtime() <= until => fs::remove_file(file.path()).map_err(failed)?,
                // It has its name by now.
                _ => {}
            }
        }
    }
    Ok(())
}
