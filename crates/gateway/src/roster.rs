//! The hospital's roster: which patients it knows, under which pseudonym, and which resource is whose. On disk
//! it is sealed under the key-encryption key and indexed by keyed hashes, so that the folder names nobody.

use std::sync::Arc;

use minicbor::{Decode, Encode};
use sealwort_net::member::Member;
use sealwort_proto::codec::{Blob, from_bytes, to_bytes};
use sealwort_proto::crypto::{Secret, mac};
use sealwort_proto::statement::STATEMENT_BYTES_MAX;
use sealwort_proto::{Locator, Pseudonym};
use sealwort_store::{GatewayStore, RosterKind};

use crate::error::GatewayError;

/// A patient that this hospital knows.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
pub(crate) struct Known {
    /// The pseudonym.
    #[n(0)]
    pub(crate) patient: Pseudonym,
    /// The signed registration.
    #[n(1)]
    pub(crate) registration: Blob,
    /// The newest signed directive that this hospital signed as consent authority; empty where another is it.
    #[n(2)]
    pub(crate) directive: Blob,
    /// Whether broker and archive have both confirmed the registration.
    #[n(3)]
    pub(crate) registered: bool,
}

/// The roster over the gateway's store.
pub(crate) struct Roster {
    store: Arc<dyn GatewayStore>,
    member: Arc<Member>,
    index: Secret,
}

impl Roster {
    pub(crate) fn new(store: Arc<dyn GatewayStore>, member: Arc<Member>, index: Secret) -> Self {
        Self { store, member, index }
    }

    /// Keeps a patient and the identifiers that lead to it.
    pub(crate) async fn put(&self, known: &Known, locators: &[Locator]) -> Result<(), GatewayError> {
        let patient = known.patient.as_bytes();
        let mut rows = vec![self.row(RosterKind::Pseudonym, patient, &to_bytes(known))];
        rows.extend(locators.iter().map(|l| self.row(RosterKind::Locator, l.as_bytes(), patient)));
        Ok(self.store.put_roster(rows).await?)
    }

    /// Keeps which patient some resources belong to.
    pub(crate) async fn put_resources(
        &self,
        patient: Pseudonym,
        resources: impl IntoIterator<Item = (&str, &str)>,
    ) -> Result<(), GatewayError> {
        let rows: Vec<_> = resources
            .into_iter()
            .map(|(kind, id)| self.row(RosterKind::Resource, format!("{kind}/{id}").as_bytes(), patient.as_bytes()))
            .collect();
        if rows.is_empty() {
            return Ok(());
        }
        Ok(self.store.put_roster(rows).await?)
    }

    /// A patient by pseudonym.
    pub(crate) async fn known(&self, patient: Pseudonym) -> Result<Option<Known>, GatewayError> {
        let Some(bytes) = self.read(RosterKind::Pseudonym, patient.as_bytes()).await? else { return Ok(None) };
        let known = from_bytes(&bytes, 3 * STATEMENT_BYTES_MAX);
        known.map(Some).map_err(|_| GatewayError::Kept("a row of the roster cannot be read"))
    }

    /// The patient that one of these identifiers leads to.
    pub(crate) async fn by_locators(&self, locators: &[Locator]) -> Result<Option<Pseudonym>, GatewayError> {
        for locator in locators {
            if let Some(patient) = self.pseudonym(RosterKind::Locator, locator.as_bytes()).await? {
                return Ok(Some(patient));
            }
        }
        Ok(None)
    }

    /// The patient that a resource belongs to.
    pub(crate) async fn by_resource(&self, kind: &str, id: &str) -> Result<Option<Pseudonym>, GatewayError> {
        self.pseudonym(RosterKind::Resource, format!("{kind}/{id}").as_bytes()).await
    }

    async fn pseudonym(&self, kind: RosterKind, name: &[u8]) -> Result<Option<Pseudonym>, GatewayError> {
        let Some(bytes) = self.read(kind, name).await? else { return Ok(None) };
        let read = Pseudonym::from_slice(&bytes);
        read.map(Some).ok_or(GatewayError::Kept("a row of the roster cannot be read"))
    }

    async fn read(&self, kind: RosterKind, name: &[u8]) -> Result<Option<Vec<u8>>, GatewayError> {
        let key = self.key(kind, name);
        let Some(sealed) = self.store.roster(kind, key).await? else { return Ok(None) };
        let plain = self.member.kek().unwrap(&[b"roster", &key], &sealed);
        plain.map(|p| Some(p.to_vec())).map_err(|_| GatewayError::Kept("a row of the roster does not open"))
    }

    fn row(&self, kind: RosterKind, name: &[u8], content: &[u8]) -> (RosterKind, [u8; 32], Vec<u8>) {
        let key = self.key(kind, name);
        (kind, key, self.member.kek().wrap(&[b"roster", &key], content))
    }

    fn key(&self, kind: RosterKind, name: &[u8]) -> [u8; 32] {
        let kind: &[u8] = match kind {
            RosterKind::Locator => b"locator",
            RosterKind::Resource => b"resource",
            RosterKind::Pseudonym => b"pseudonym",
        };
        mac(&self.index, "sealwort roster v1", &[kind, name])
    }
}
