//! Hospitals that write while something happens to the others, and what must be there afterwards.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::json;

use super::{Client, Party, World, bundle, json_of, run, text, until_within};

/// Observations of a batch.
pub(crate) const OBSERVATIONS: usize = 3;
/// Longest that gateways may take to bring what waits in their outboxes.
const OUTBOX_PATIENCE: Duration = Duration::from_mins(2);

/// Writers, and what they were told.
#[derive(Default)]
pub(crate) struct Load {
    pub(crate) ended: AtomicBool,
    pub(crate) next: AtomicUsize,
    pub(crate) acknowledged: AtomicUsize,
    /// Those of them that waited in the outbox.
    pub(crate) queued: AtomicUsize,
    /// How long each rests between two batches.
    pub(crate) rest: Duration,
}

impl Load {
    /// Patients whose batches were acknowledged.
    pub(crate) fn write(&self, client: &Client) -> Vec<usize> {
        let mut told = Vec::new();
        while !self.ended.load(Ordering::SeqCst) {
            let patient = self.next.fetch_add(1, Ordering::SeqCst) + 1;
            let Ok(answer) = client.request("POST", "/fhir", &bundle(patient, OBSERVATIONS)) else { continue };
            if answer.is_success() {
                told.push(patient);
                self.queued.fetch_add(usize::from(answer.status == 202), Ordering::SeqCst);
                self.acknowledged.fetch_add(1, Ordering::SeqCst);
            }
            std::thread::sleep(self.rest);
        }
        told
    }

    pub(crate) fn wait_for_more(&self) {
        let goal = self.acknowledged.load(Ordering::SeqCst) + 6;
        until_within(OUTBOX_PATIENCE, || (self.acknowledged.load(Ordering::SeqCst) >= goal).then_some(()));
    }
}

/// Whatever happens, the others are told to end.
pub(crate) struct EndOnDrop<'a>(pub(crate) &'a AtomicBool);

impl Drop for EndOnDrop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

pub(crate) fn outbox_is_empty(world: &World) {
    until_within(OUTBOX_PATIENCE, || {
        let status = world.get(Party::HospitalA, "/status").unwrap().done().json();
        assert_eq!(status["refused"], json!([]));
        (status["waiting"] == 0).then_some(())
    });
}

/// One log with the entries of both nodes, which stands as a whole. So often at least nodes began.
pub(crate) fn log_stands(world: &World, node: Party, url: &str, password: &str, starts: usize) {
    let (folder, file) = (world.folder(node), world.path().join("password"));
    fs::write(&file, password).unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    let log = ["--folder", text(&folder), "--database", url, "--password-file", text(&file)];
    let verified = json_of(&run(&[&["audit", "verify", "--json"][..], &log].concat()));
    assert!(verified["entries"].as_u64() > Some(0), "{verified}");
    let began = json_of(&run(&[&["audit", "search", "--kind", "service-started", "--json"][..], &log].concat()));
    let began = began.as_array().unwrap().len();
    assert!(began >= starts, "{node:?}: {began} of {starts}");
}
