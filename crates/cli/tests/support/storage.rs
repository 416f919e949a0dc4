//! Broker and archive on PostgreSQL, a database each, and the archive's entries in Ceph, for a [`super::World`] of which
//! nothing else is different. `SEALWORT_TEST_STORAGE=postgresql` has every world start like this.

#[path = "../../../store/tests/support/ceph.rs"]
mod ceph;
#[path = "../../../store/tests/support/cluster.rs"]
pub(crate) mod cluster;
#[path = "../../../store/tests/support/server.rs"]
mod server;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::time::Duration;

pub(crate) use ceph::{ACCESS_KEY, Ceph, SECRET_KEY};
use sealwort_store::{ObjectOptions, Objects};
use serde_json::{Value, json};
pub(crate) use server::{PASSWORD, Server, free_port};

use super::Party;

/// A server and a cluster with what one exchange needs.
pub(crate) struct Storage {
    pub(crate) server: Server,
    pub(crate) ceph: Ceph,
    place: tempfile::TempDir,
    /// The archive's database, and the broker's.
    pub(crate) databases: [String; 2],
    bucket: String,
}

impl Storage {
    /// Starts both; says loudly where the machine has none.
    pub(crate) fn start() -> Option<Self> {
        let (server, ceph) = (Server::start()?, Ceph::start()?);
        let (databases, bucket) = ([server.database(), server.database()], ceph.bucket());
        make_bucket(&ceph, &bucket);
        Some(Self { server, ceph, place: tempfile::tempdir().unwrap(), databases, bucket })
    }

    /// The same where every world is to be on it. Nothing is skipped then.
    pub(crate) fn asked_for() -> Option<Self> {
        let asked = std::env::var("SEALWORT_TEST_STORAGE").ok()?;
        assert_eq!(asked, "postgresql", "SEALWORT_TEST_STORAGE is postgresql, or not set");
        Some(Self::start().expect("PostgreSQL and Ceph are here"))
    }

    /// What broker and archive are told.
    pub(crate) fn options(&self) -> Vec<(Party, &'static str, Value)> {
        let password = self.secret("password", PASSWORD);
        let mut options = Vec::new();
        for (party, database) in [Party::Archive, Party::Broker].into_iter().zip(&self.databases) {
            options.push((party, "store.url", json!(self.server.tcp_url(database))));
            options.push((party, "store.password_file", json!(password)));
        }
        let archive = [
            ("objects.url", json!(format!("s3://{}/archive", self.bucket))),
            ("objects.endpoint", json!(self.ceph.endpoint())),
            ("objects.access_key", json!(ACCESS_KEY)),
            ("objects.secret_key_file", json!(self.secret("key", SECRET_KEY))),
            // Most of what the tests write is larger.
            ("objects.larger_than", json!("64B")),
        ];
        options.extend(archive.map(|(key, value)| (Party::Archive, key, value)));
        options
    }

    fn secret(&self, name: &str, content: &str) -> PathBuf {
        let file = self.place.path().join(name);
        fs::write(&file, format!("{content}\n")).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        file
    }
}

fn make_bucket(ceph: &Ceph, bucket: &str) {
    let (url, endpoint) = (format!("s3://{bucket}"), ceph.endpoint());
    let options = ObjectOptions {
        url: &url,
        endpoint: &endpoint,
        region: "us-east-1",
        access_key: ACCESS_KEY,
        secret_key: SECRET_KEY,
        authorities: None,
        larger_than: 0,
        orphans_after: Duration::ZERO,
    };
    let made = async { Objects::new(&options).unwrap().make_bucket().await };
    tokio::runtime::Runtime::new().unwrap().block_on(made).unwrap();
}
