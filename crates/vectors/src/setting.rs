//! `setting.json`: the parties, keys, certificates and revocation lists that many vectors name.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use sealwort_pki::authority::{PARTY_LIFETIME, make_csr, parse_csr, random_bytes};
use sealwort_pki::testing::{Seeded, TEST_NOW, TestExchange};
use sealwort_pki::{
    CertificateChain, KeyAlgorithm, KeyUse, PublicKey, Role, SerialNumber, SigningKey, Trust, UnixTime,
};
use sealwort_proto::handshake::Party;
use sealwort_proto::policy::Policies;
use serde_json::{Map, Value, json};

use crate::vector::{In, hex, hexes};

/// Seed of everything in `setting.json`.
const SEED: u64 = 1;
/// The time of most vectors.
pub const NOW: UnixTime = TEST_NOW;
/// The exchange of all vectors but a few that must be refused.
pub const EXCHANGE: &str = "demo";

/// The parties, with their algorithms.
const PARTIES: [(&str, Role, &str, KeyAlgorithm); 6] = [
    ("hospital-a", Role::Gateway, "hospital-a", KeyAlgorithm::Ed25519),
    ("hospital-b", Role::Gateway, "hospital-b", KeyAlgorithm::Ed25519),
    ("hospital-p", Role::Gateway, "hospital-p", KeyAlgorithm::EcdsaP256),
    ("broker", Role::Broker, "broker", KeyAlgorithm::Ed25519),
    ("archive", Role::Archive, "archive", KeyAlgorithm::Ed25519),
    ("archive-2", Role::Archive, "archive-2", KeyAlgorithm::Ed25519),
];

/// Everything that vectors name.
pub struct Setting {
    json: Value,
    trusts: BTreeMap<String, Trust>,
}

/// One of a party's two keys.
pub struct Credential {
    /// The private key.
    pub key: SigningKey,
    /// Its seed.
    pub seed: [u8; 32],
    /// Its certificates.
    pub chain: CertificateChain,
}

/// The exchange behind `setting.json`, while vectors are made: it can issue what no honest authority issues.
pub fn exchange() -> TestExchange {
    let _seeded = Seeded::install(SEED);
    TestExchange::new(EXCHANGE)
}

/// Makes `setting.json`.
pub fn make() -> Value {
    let _seeded = Seeded::install(SEED);
    let exchange = TestExchange::new(EXCHANGE);
    let mut parties = Map::new();
    let mut serials: BTreeMap<&str, Vec<SerialNumber>> = BTreeMap::new();
    for (name, role, party, algorithm) in PARTIES {
        let identity = exchange.identity(role, party);
        let mut json = json!({
            "identity": identity.to_string(), "role": role.as_str(), "algorithm": algorithm.as_str(),
        });
        for key_use in KeyUse::ALL {
            let seed: [u8; 32] = random_bytes().unwrap();
            let key = SigningKey::from_seed(algorithm, &seed).unwrap();
            let request = parse_csr(&make_csr(&key, &identity, key_use).unwrap()).unwrap();
            let issued = exchange.issuing.issue(&request, PARTY_LIFETIME, exchange.now).unwrap();
            serials.entry(name).or_default().push(issued.serial);
            json[key_use.as_str()] = json!({
                "seed": hex(seed),
                "public_key": hex(key.public_key().as_bytes()),
                "chain": hexes(issued.chain.certificates()),
                "serial": issued.serial.to_string(),
            });
        }
        parties.insert(name.to_owned(), json);
    }
    let mut authorities = Map::new();
    for name in ["patient-1", "patient-2"] {
        let seed: [u8; 32] = random_bytes().unwrap();
        let key = SigningKey::from_seed(KeyAlgorithm::Ed25519, &seed).unwrap();
        let json = json!({ "algorithm": "ed25519", "seed": hex(seed), "public_key": hex(key.public_key().as_bytes()) });
        authorities.insert(name.to_owned(), json);
    }
    let list = |number, revoked: &[SerialNumber], taken_at: UnixTime| {
        json!({
            "crl": hex(exchange.crl(number, revoked)),
            "issuing": hex(exchange.issuing.certificate()),
            "taken_at": taken_at.as_secs(),
        })
    };
    let (first, second) = (list(1, &[], NOW), list(2, &serials["hospital-b"], NOW));
    let trust =
        |lists: Vec<Value>| json!({ "exchange": EXCHANGE, "root": hex(exchange.root.certificate()), "lists": lists });
    let random = || hex(random_bytes::<32>().unwrap());
    json!({
        "comment": "What the vectors name. hospital-p has P-256 keys. The trust demo-revoking revokes hospital-b.",
        "now": NOW.as_secs(),
        "exchange": EXCHANGE,
        "directory_key": random(),
        "pseudonym_key": random(),
        "cookie_key": random(),
        "parties": parties,
        "authorities": authorities,
        "trust": {
            "demo": trust(vec![first.clone()]),
            "demo-revoking": trust(vec![first, second]),
            "demo-without-list": trust(vec![]),
        },
    })
}

impl Setting {
    /// Reads `setting.json`.
    pub fn new(json: Value) -> Self {
        let trusts = json["trust"].as_object().expect("trusts").iter();
        let trusts = trusts.map(|(name, value)| (name.clone(), trust(In(value)))).collect();
        Self { json, trusts }
    }

    /// Its members.
    pub fn json(&self) -> In<'_> {
        In(&self.json)
    }

    /// A trust by its name.
    pub fn trust(&self, name: &str) -> &Trust {
        self.trusts.get(name).unwrap_or_else(|| panic!("no trust {name}"))
    }

    fn party_json(&self, name: &str) -> In<'_> {
        self.json().object("parties").object(name)
    }

    /// A party's identity.
    pub fn identity(&self, name: &str) -> &str {
        self.party_json(name).text("identity")
    }

    /// One of a party's keys.
    pub fn credential(&self, name: &str, key_use: KeyUse) -> Credential {
        let party = self.party_json(name);
        let algorithm = KeyAlgorithm::ALL.into_iter().find(|a| a.as_str() == party.text("algorithm")).unwrap();
        let json = party.object(key_use.as_str());
        let seed = json.array("seed");
        let key = SigningKey::from_seed(algorithm, &seed).unwrap();
        assert_eq!(key.public_key().as_bytes(), json.bytes("public_key"), "{name}'s public key");
        Credential { key, seed, chain: CertificateChain::new(json.byte_list("chain")).unwrap() }
    }

    /// A party's statement key.
    pub fn key(&self, name: &str) -> SigningKey {
        self.credential(name, KeyUse::Statement).key
    }

    /// The public key of a party's statement key.
    pub fn public_key(&self, name: &str) -> PublicKey {
        self.key(name).public_key().clone()
    }

    /// A party ready for a run.
    pub fn party(&self, name: &str, policies: Policies) -> Party {
        let Credential { key, chain, .. } = self.credential(name, KeyUse::Statement);
        let identity = self.identity(name).parse().unwrap();
        Party { identity, chain, key: Arc::new(key), policies, operations: Arc::default() }
    }

    /// A consent authority's key.
    pub fn authority(&self, name: &str) -> SigningKey {
        let seed = self.json().object("authorities").object(name).array("seed");
        SigningKey::from_seed(KeyAlgorithm::Ed25519, &seed).unwrap()
    }
}

fn trust(json: In<'_>) -> Trust {
    let mut trust = Trust::new(json.text("exchange").parse().unwrap(), &json.bytes("root")).unwrap();
    for list in json.list("lists") {
        let list = In(list);
        let at = UnixTime::from_secs(list.uint("taken_at"));
        trust.set_crl(&list.bytes("crl"), &list.bytes("issuing"), at).unwrap();
    }
    trust
}

/// A later time.
pub fn after(seconds: u64) -> UnixTime {
    NOW.plus(Duration::from_secs(seconds))
}
