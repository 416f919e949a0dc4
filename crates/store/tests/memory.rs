//! The back end in memory keeps the rules of every trait, so that what a simulation finds over it counts.

use sealwort_store::conformance;
use sealwort_store::memory::MemoryStore;

/// A store whose commits give way to other writers first.
fn yielding() -> MemoryStore {
    MemoryStore::new().pausing(|| Box::pin(tokio::task::yield_now()))
}

#[tokio::test]
async fn memory_keeps_the_rules() {
    for store in [MemoryStore::new(), yielding()] {
        // Twice, because the second run meets the data of the first.
        for _ in 0..2 {
            conformance::patient_store(&store).await;
            conformance::log_store(&store).await;
            conformance::witness_store(&store).await;
            conformance::emergency_store(&store).await;
            conformance::gateway_store(&store).await;
        }
    }
}

#[tokio::test]
async fn what_was_written_outlives_its_writer() {
    let place = yielding();
    conformance::survives_reopening(async || place.clone(), async |store| drop(store)).await;
    conformance::gateway_survives_reopening(async || place.clone(), async |store| drop(store)).await;
}
