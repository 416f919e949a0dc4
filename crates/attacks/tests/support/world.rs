//! An exchange in memory: real certificates, two of each party, of whom the second of each kind is the attacker's.

use std::sync::Arc;

use sealwort_pki::testing::{TEST_NOW, TestExchange, TestParty};
use sealwort_pki::{KeyAlgorithm, Role, Trust, UnixTime};
use sealwort_proto::handshake::Party;
use sealwort_proto::peers::{PeerCache, Peers};
use sealwort_proto::policy::Policies;

/// TLS exporter of the hop between the first gateway and the first broker.
pub const HOP_LT: [u8; 32] = [1; 32];
/// TLS exporter of the hop between broker and archive.
pub const HOP_TM: [u8; 32] = [2; 32];

/// An exchange and its parties.
pub struct World {
    pub exchange: TestExchange,
    pub trust: Trust,
    pub cache: PeerCache,
    pub now: UnixTime,
    pub gateway: Party,
    pub broker: Party,
    pub archive: Party,
    /// A hospital, a broker and an archive with certificates that serve the attacker.
    pub rogue_gateway: Party,
    pub rogue_broker: Party,
    pub rogue_archive: Party,
}

/// A party of the protocol with its statement key.
pub fn party(made: TestParty) -> Party {
    Party {
        identity: made.identity,
        chain: made.statement.chain,
        key: Arc::new(made.statement.key),
        policies: Policies::standard(),
        operations: Arc::default(),
    }
}

/// The same party once more: who has its keys is it.
pub fn twin(of: &Party) -> Party {
    Party {
        identity: of.identity.clone(),
        chain: of.chain.clone(),
        key: Arc::clone(&of.key),
        policies: of.policies.clone(),
        operations: Arc::default(),
    }
}

impl World {
    pub fn new() -> Self {
        Self::with(KeyAlgorithm::Ed25519)
    }

    pub fn with(algorithm: KeyAlgorithm) -> Self {
        let exchange = TestExchange::with("demo", algorithm, TEST_NOW);
        let make = |role, name| party(exchange.party(role, name));
        Self {
            trust: exchange.trust(),
            cache: PeerCache::default(),
            now: TEST_NOW,
            gateway: make(Role::Gateway, "a"),
            broker: make(Role::Broker, "t"),
            archive: make(Role::Archive, "m"),
            rogue_gateway: make(Role::Gateway, "rogue"),
            rogue_broker: make(Role::Broker, "rogue"),
            rogue_archive: make(Role::Archive, "rogue"),
            exchange,
        }
    }

    pub fn peers(&self) -> Peers<'_> {
        Peers { trust: &self.trust, cache: &self.cache, now: self.now }
    }
}
