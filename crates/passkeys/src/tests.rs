#![allow(clippy::unwrap_used, clippy::indexing_slicing)]

use minicbor::Encoder;
use sealwort_pki::{KeyAlgorithm, SigningKey};

use super::*;

const CHALLENGE: [u8; CHALLENGE_BYTES] = [7; CHALLENGE_BYTES];
const ORIGIN: &str = "https://gateway.example:8443";

fn site() -> RelyingParty {
    RelyingParty { id: "gateway.example".to_owned(), origin: ORIGIN.to_owned() }
}

/// What an authenticator and a browser would say; each part can be changed.
struct Answer {
    key: SigningKey,
    kind: &'static str,
    challenge: String,
    origin: &'static str,
    more: &'static str,
    relying_party: &'static str,
    flags: u8,
    counter: u32,
    format: &'static str,
    credential_id: Vec<u8>,
    after: &'static [u8],
}

impl Answer {
    fn of(algorithm: KeyAlgorithm, kind: &'static str) -> Self {
        Self {
            key: SigningKey::generate(algorithm).unwrap(),
            kind,
            challenge: URL_SAFE_NO_PAD.encode(CHALLENGE),
            origin: ORIGIN,
            more: ",\"crossOrigin\":false,\"other\":{\"a\":1}",
            relying_party: "gateway.example",
            flags: 0x05,
            counter: 3,
            format: "none",
            credential_id: vec![9; 16],
            after: &[],
        }
    }

    fn client_data(&self) -> Vec<u8> {
        let Self { kind, challenge, origin, more, .. } = self;
        format!("{{\"type\":\"{kind}\",\"challenge\":\"{challenge}\",\"origin\":\"{origin}\"{more}}}").into_bytes()
    }

    fn cose(&self) -> Vec<u8> {
        let spki = self.key.public_key().to_bytes();
        let mut out = Encoder::new(Vec::new());
        match self.key.algorithm() {
            KeyAlgorithm::EcdsaP256 => {
                let (x, y) = spki[27..].split_at(32);
                out.map(5).unwrap().i8(1).unwrap().i8(2).unwrap().i8(3).unwrap().i8(-7).unwrap();
                out.i8(-1).unwrap().i8(1).unwrap().i8(-2).unwrap().bytes(x).unwrap().i8(-3).unwrap().bytes(y).unwrap();
            }
            KeyAlgorithm::Ed25519 => {
                out.map(4).unwrap().i8(1).unwrap().i8(1).unwrap().i8(3).unwrap().i8(-8).unwrap();
                out.i8(-1).unwrap().i8(6).unwrap().i8(-2).unwrap().bytes(&spki[12..]).unwrap();
            }
        }
        out.into_writer()
    }

    fn authenticator_data(&self) -> Vec<u8> {
        let mut out = sha256(self.relying_party.as_bytes()).to_vec();
        out.push(self.flags);
        out.extend(self.counter.to_be_bytes());
        if self.flags & 0x40 != 0 {
            out.extend([0; 16]);
            out.extend(u16::try_from(self.credential_id.len()).unwrap().to_be_bytes());
            out.extend(&self.credential_id);
            out.extend(self.cose());
        }
        out.extend(self.after);
        out
    }

    fn attestation(&self) -> Vec<u8> {
        let mut out = Encoder::new(Vec::new());
        out.map(3).unwrap().str("fmt").unwrap().str(self.format).unwrap().str("attStmt").unwrap().map(0).unwrap();
        out.str("authData").unwrap().bytes(&self.authenticator_data()).unwrap();
        out.into_writer()
    }

    fn register(&self) -> Result<Registered, PasskeyFault> {
        site().verify_registration(&CHALLENGE, &self.client_data(), &self.attestation())
    }

    fn assert(&self, counter: u32) -> Result<u32, PasskeyFault> {
        let (client_data, authenticator_data) = (self.client_data(), self.authenticator_data());
        let signed = [authenticator_data.clone(), sha256(&client_data).to_vec()].concat();
        let signature = self.key.sign_x509(&signed).unwrap();
        let assertion =
            Assertion { client_data: &client_data, authenticator_data: &authenticator_data, signature: &signature };
        site().verify_assertion(&CHALLENGE, self.key.public_key(), counter, &assertion)
    }
}

fn made(algorithm: KeyAlgorithm) -> Answer {
    Answer { flags: 0x45, ..Answer::of(algorithm, "webauthn.create") }
}

#[test]
fn a_passkey_is_made_and_shown() {
    for algorithm in KeyAlgorithm::ALL {
        let answer = made(algorithm);
        let registered = answer.register().unwrap();
        assert_eq!(&registered.public_key, answer.key.public_key());
        assert_eq!((registered.credential_id, registered.counter), (vec![9; 16], 3));
        let extended = Answer { flags: 0xc5, after: &[0xa1, 0x61, 0x61, 0xf5], ..made(algorithm) };
        assert!(extended.register().is_ok());
        let shown = Answer::of(algorithm, "webauthn.get");
        assert_eq!(shown.assert(2), Ok(3));
        assert_eq!(Answer { counter: 0, ..shown }.assert(0), Ok(0));
        assert_eq!(Answer { flags: 0x1d, ..Answer::of(algorithm, "webauthn.get") }.assert(0), Ok(3));
    }
}

#[test]
fn each_rule_of_a_registration_is_kept() {
    type Change = fn(&mut Answer);
    let cases: [(PasskeyFault, Change); 22] = [
        (PasskeyFault::Kind, |one| one.kind = "webauthn.get"),
        (PasskeyFault::Challenge, |one| one.challenge = URL_SAFE_NO_PAD.encode([8; 32])),
        (PasskeyFault::Challenge, |one| one.challenge.push('=')),
        (PasskeyFault::Challenge, |one| one.challenge.clear()),
        (PasskeyFault::Origin, |one| one.origin = "https://gateway.example"),
        (PasskeyFault::Origin, |one| one.origin = "http://gateway.example:8443"),
        (PasskeyFault::Origin, |one| one.origin = "https://gateway.example:8443/"),
        (PasskeyFault::Origin, |one| one.more = ",\"crossOrigin\":true"),
        (PasskeyFault::Origin, |one| one.more = ",\"topOrigin\":\"https://gateway.example:8443\""),
        (PasskeyFault::ClientData, |one| one.more = ",\"origin\":\"https://gateway.example:8443\""),
        (PasskeyFault::ClientData, |one| one.more = ",\"crossOrigin\":1"),
        (PasskeyFault::Attestation, |one| one.format = "packed"),
        (PasskeyFault::RelyingParty, |one| one.relying_party = "example"),
        (PasskeyFault::UserPresence, |one| one.flags = 0x44),
        (PasskeyFault::UserVerification, |one| one.flags = 0x41),
        (PasskeyFault::AuthenticatorData, |one| one.flags = 0x05),
        (PasskeyFault::AuthenticatorData, |one| one.flags = 0x55),
        (PasskeyFault::AuthenticatorData, |one| one.flags = 0xc5),
        (PasskeyFault::AuthenticatorData, |one| one.after = &[0]),
        (PasskeyFault::AuthenticatorData, |one| {
            one.flags = 0xc5;
            one.after = &[0x80];
        }),
        (PasskeyFault::AuthenticatorData, |one| one.credential_id.clear()),
        (PasskeyFault::AuthenticatorData, |one| one.credential_id = vec![1; CREDENTIAL_ID_BYTES_MAX + 1]),
    ];
    for algorithm in KeyAlgorithm::ALL {
        for (number, (fault, change)) in cases.iter().enumerate() {
            let mut answer = made(algorithm);
            change(&mut answer);
            assert_eq!(answer.register().unwrap_err(), *fault, "case {number}");
        }
    }
}

#[test]
fn each_rule_of_an_assertion_is_kept() {
    for algorithm in KeyAlgorithm::ALL {
        let shown = || Answer::of(algorithm, "webauthn.get");
        assert_eq!(shown().assert(3), Err(PasskeyFault::Counter));
        assert_eq!(Answer { counter: 0, ..shown() }.assert(3), Err(PasskeyFault::Counter));
        assert_eq!(Answer { kind: "webauthn.create", ..shown() }.assert(0), Err(PasskeyFault::Kind));
        assert_eq!(Answer { flags: 0x45, ..shown() }.assert(0), Err(PasskeyFault::AuthenticatorData));
        assert_eq!(Answer { flags: 0x01, ..shown() }.assert(0), Err(PasskeyFault::UserVerification));
        assert_eq!(Answer { flags: 0x04, ..shown() }.assert(0), Err(PasskeyFault::UserPresence));
        assert_eq!(Answer { relying_party: "other", ..shown() }.assert(0), Err(PasskeyFault::RelyingParty));

        let (one, other) = (shown(), shown());
        let (client_data, authenticator_data) = (one.client_data(), one.authenticator_data());
        let signed = [authenticator_data.clone(), sha256(&client_data).to_vec()].concat();
        let mut signature = one.key.sign_x509(&signed).unwrap();
        let check = |key: &SigningKey, signature: &[u8], counter| {
            let assertion = Assertion { client_data: &client_data, authenticator_data: &authenticator_data, signature };
            site().verify_assertion(&CHALLENGE, key.public_key(), counter, &assertion)
        };
        assert_eq!(check(&one.key, &signature, 0), Ok(3));
        assert_eq!(check(&other.key, &signature, 0), Err(PasskeyFault::Signature));
        assert_eq!(check(&one.key, &[], 0), Err(PasskeyFault::Signature));
        signature[20] ^= 1;
        assert_eq!(check(&one.key, &signature, 0), Err(PasskeyFault::Signature));
    }
}

/// Whatever is changed or cut in what an authenticator wrote, nothing panics, and no other key or name comes out of it
/// unless its own bytes were changed.
#[test]
fn damaged_bytes_are_refused_or_read_as_they_are() {
    for algorithm in KeyAlgorithm::ALL {
        let answer = made(algorithm);
        let (client_data, attestation) = (answer.client_data(), answer.attestation());
        let verify = |bytes: &[u8]| site().verify_registration(&CHALLENGE, &client_data, bytes);
        for length in 0..attestation.len() {
            assert!(verify(&attestation[..length]).is_err(), "cut to {length}");
        }
        for position in 0..attestation.len() {
            for bit in 0..8 {
                let mut altered = attestation.clone();
                altered[position] ^= 1 << bit;
                if let Ok(registered) = verify(&altered) {
                    let same = registered.public_key == *answer.key.public_key()
                        && registered.credential_id == answer.credential_id;
                    // The counter, the model and flags without meaning here lie in between.
                    assert!(same || position >= attestation.len() - answer.cose().len() - 16, "{position}.{bit}");
                }
            }
        }
        assert!(verify(&[0; AUTHENTICATOR_DATA_BYTES_MAX + 1]).is_err());
    }
}
