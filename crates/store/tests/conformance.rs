//! The embedded back end keeps the rules of every trait, before and after it is closed and opened again.

#![allow(clippy::unwrap_used)]

use std::path::Path;

use sealwort_store::sqlite::SqliteStore;
use sealwort_store::{DataFolder, conformance};

async fn open(path: &Path) -> (DataFolder, SqliteStore) {
    let mut folder = DataFolder::open(path, "archive").unwrap();
    let store = SqliteStore::open(&mut folder).await.unwrap();
    (folder, store)
}

#[tokio::test(flavor = "multi_thread")]
async fn sqlite_keeps_the_rules() {
    let place = tempfile::tempdir().unwrap();
    // Twice, because the second run meets the data of the first.
    for _ in 0..2 {
        let (_folder, store) = open(place.path()).await;
        conformance::patient_store(&store).await;
        conformance::log_store(&store).await;
        conformance::witness_store(&store).await;
        conformance::emergency_store(&store).await;
        conformance::gateway_store(&store).await;
        store.close().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_written_outlives_closing() {
    let place = tempfile::tempdir().unwrap();
    let open = async || open(place.path()).await.1;
    let close = async |store: SqliteStore| store.close().await;
    conformance::survives_reopening(open, close).await;
    conformance::gateway_survives_reopening(open, close).await;
    let left: Vec<_> = std::fs::read_dir(place.path()).unwrap().map(|file| file.unwrap().file_name()).collect();
    assert!(
        !left.iter().any(|name| name.to_string_lossy().ends_with("-wal")),
        "a clean close leaves one file: {left:?}"
    );
}
