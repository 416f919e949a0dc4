//! A whole exchange in memory, for tests: authorities, parties with both keys,
//! and a trust that has a revocation list. Not for services; the feature
//! `testing` turns it on.
#![allow(clippy::unwrap_used, reason = "a test that cannot be set up must stop")]

pub mod seeded;

use std::time::Duration;

pub use self::seeded::Seeded;
use crate::authority::{
    ISSUING_LIFETIME, IssuingAuthority, PARTY_LIFETIME, ROOT_LIFETIME, Revocation, RevocationReason, RootAuthority,
    make_csr, parse_csr, party_params, policy_extension, random_serial, set_validity,
};
use crate::{CertificateChain, Identity, KeyAlgorithm, KeyUse, Role, SerialNumber, SigningKey, Trust, UnixTime};

/// When test exchanges begin: 2030-01-01T00:00:00Z.
pub const TEST_NOW: UnixTime = UnixTime::from_secs(1_893_456_000);

/// An exchange with its root and issuing authority.
#[derive(Debug)]
pub struct TestExchange {
    /// The root.
    pub root: RootAuthority,
    /// The issuing authority.
    pub issuing: IssuingAuthority,
    /// When it was made.
    pub now: UnixTime,
    algorithm: KeyAlgorithm,
}

/// A key and its certificate.
#[derive(Debug)]
pub struct TestCredential {
    /// The private key.
    pub key: SigningKey,
    /// Its certificate and the issuing one.
    pub chain: CertificateChain,
    /// The certificate's serial number.
    pub serial: SerialNumber,
}

/// A party with both keys.
#[derive(Debug)]
pub struct TestParty {
    /// Who it is.
    pub identity: Identity,
    /// For TLS.
    pub hop: TestCredential,
    /// For messages and records.
    pub statement: TestCredential,
}

impl TestExchange {
    /// Makes the exchange `name` with Ed25519 keys at [`TEST_NOW`].
    pub fn new(name: &str) -> Self {
        Self::with(name, KeyAlgorithm::Ed25519, TEST_NOW)
    }

    /// Makes the exchange `name` with keys of `algorithm` at `now`.
    pub fn with(name: &str, algorithm: KeyAlgorithm, now: UnixTime) -> Self {
        let exchange = name.parse().unwrap();
        let root = RootAuthority::create(exchange, algorithm, ROOT_LIFETIME, now).unwrap();
        let issuing = root.issue_issuing(algorithm, ISSUING_LIFETIME, now).unwrap();
        Self { root, issuing, now, algorithm }
    }

    /// The identity `role`/`name` of this exchange.
    pub fn identity(&self, role: Role, name: &str) -> Identity {
        Identity::new(self.issuing.exchange().clone(), role, name.parse().unwrap())
    }

    /// A new party with fresh keys and certificates.
    pub fn party(&self, role: Role, name: &str) -> TestParty {
        self.party_with(role, name, PARTY_LIFETIME)
    }

    /// The same, with certificates that last `lifetime`.
    pub fn party_with(&self, role: Role, name: &str, lifetime: Duration) -> TestParty {
        let identity = self.identity(role, name);
        let credential = |key_use: KeyUse| {
            let key = SigningKey::generate(self.algorithm).unwrap();
            let request = parse_csr(&make_csr(&key, &identity, key_use).unwrap()).unwrap();
            let issued = self.issuing.issue(&request, lifetime, self.now).unwrap();
            TestCredential { key, chain: issued.chain, serial: issued.serial }
        };
        let (hop, statement) = (credential(KeyUse::Hop), credential(KeyUse::Statement));
        TestParty { identity, hop, statement }
    }

    /// A certificate as no honest authority issues it: the policy is that of another role than the identity's.
    pub fn misissued(&self, key: &SigningKey, identity: &Identity, policy: Role) -> CertificateChain {
        let request = parse_csr(&make_csr(key, identity, KeyUse::Statement).unwrap()).unwrap();
        let mut params = party_params(&request, random_serial().unwrap()).unwrap();
        params.custom_extensions = vec![policy_extension(&[policy])];
        set_validity(&mut params, self.now, self.now.plus(PARTY_LIFETIME));
        self.issuing.sign(&params, request.public_key()).unwrap()
    }

    /// Revocation list `number`, in force for a day from [`TestExchange::now`].
    pub fn crl(&self, number: u64, revoked: &[SerialNumber]) -> Vec<u8> {
        let entry = |serial: &SerialNumber| Revocation {
            serial: *serial,
            revoked_at: self.now,
            reason: RevocationReason::KeyCompromise,
        };
        let revoked: Vec<_> = revoked.iter().map(entry).collect();
        let next_update = self.now.plus(Duration::from_hours(24));
        self.issuing.make_crl(number, &revoked, self.now, next_update).unwrap()
    }

    /// A trust with list number 1, which is empty.
    pub fn trust(&self) -> Trust {
        let mut trust = self.trust_without_crl();
        trust.set_crl(&self.crl(1, &[]), self.issuing.certificate(), self.now).unwrap();
        trust
    }

    /// A trust that believes nobody yet.
    pub fn trust_without_crl(&self) -> Trust {
        Trust::new(self.issuing.exchange().clone(), self.root.certificate()).unwrap()
    }
}
