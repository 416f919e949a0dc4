//! What the broker keeps its data in, and its keys: engine, size, standbys, how fast it commits; the key-encryption key,
//! where it is, and since when.

use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

use sealwort_net::kek::{self, KEY_FILES};
use sealwort_pki::UnixTime;
use sealwort_store::postgres::Database;

use super::Console;

/// What the data are in.
pub(super) enum Engine {
    /// Files of the data folder.
    Embedded,
    /// A database on a server: where, and whether it has standbys.
    Server { at: String, standbys: bool },
}

/// How fast the audit log commits: every answer waits for it.
pub(super) struct Commits {
    pub(super) count: usize,
    pub(super) median: Duration,
    pub(super) longest: Duration,
}

impl Console {
    /// Which engine.
    pub(super) fn engine(&self) -> Engine {
        match self.config.store.url.expose() {
            None => Engine::Embedded,
            // What it says of itself has no password in it.
            Some(url) => match Database::new(url, None) {
                Ok(database) => Engine::Server { at: database.to_string(), standbys: database.has_standbys() },
                Err(_) => Engine::Server { at: String::new(), standbys: false },
            },
        }
    }

    /// Bytes of the files in the data folder and in that of the audit log.
    pub(super) fn bytes(&self) -> u64 {
        let folder = self.config.folder.as_path();
        let log = self.config.audit.folder_in(folder);
        size_of(folder) + if log == folder { 0 } else { size_of(log) }
    }

    /// How fast it commits; none before the first one.
    pub(super) fn commits(&self) -> Option<Commits> {
        let mut all = self.broker.journal.commits();
        all.sort_unstable();
        let (median, longest) = (*all.get(all.len() / 2)?, *all.last()?);
        Some(Commits { count: all.len(), median, longest })
    }

    /// Since when the key-encryption key is the one that it is: its file changes with it.
    pub(super) fn key_since(&self) -> Option<UnixTime> {
        let file = KEY_FILES.first()?;
        let changed = std::fs::metadata(self.config.folder.join(file)).ok()?.modified().ok()?;
        Some(UnixTime::from_secs(changed.duration_since(UNIX_EPOCH).ok()?.as_secs()))
    }

    /// When it is to be changed.
    pub(super) fn key_due(&self) -> Option<UnixTime> {
        Some(self.key_since()?.plus(self.config.console.keys_for.0))
    }

    /// Whether it is in a token; none where that cannot be told.
    pub(super) fn key_in_token(&self) -> Option<bool> {
        kek::is_in_token(&self.config.folder).ok()
    }
}

fn size_of(folder: &Path) -> u64 {
    let files = std::fs::read_dir(folder).into_iter().flatten().flatten();
    files.filter_map(|file| file.metadata().ok()).filter(std::fs::Metadata::is_file).map(|file| file.len()).sum()
}
