//! Signature keys: make, sign, verify. Two algorithms today, Ed25519 (keys in
//! files) and ECDSA P-256 with SHA-256 (keys that may later live in an HSM);
//! the enums leave room for ML-DSA-65. Key files and HSMs are not known here.

use std::fmt;

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, ED25519, EcdsaKeyPair,
    Ed25519KeyPair, KeyPair, ParsedPublicKey, VerificationAlgorithm,
};
use thiserror::Error;
use zeroize::Zeroizing;

/// The longest public key accepted, in bytes of SubjectPublicKeyInfo DER.
pub const PUBLIC_KEY_BYTES_MAX: usize = 256;

/// Which of a party's two keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KeyUse {
    /// The TLS key of the hop.
    Hop,
    /// The key that signs protocol messages and records.
    Statement,
}

/// A signature algorithm.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum KeyAlgorithm {
    /// Ed25519 (RFC 8032). Signatures are 64 bytes.
    #[default]
    Ed25519,
    /// ECDSA over P-256 with SHA-256. Signatures are 64 bytes, r before s (RFC 9053, 2.1); those of X.509 and TLS
    /// are ASN.1 DER (RFC 3279, 2.2.3).
    EcdsaP256,
}

/// A private key. Printed as `[redacted]`; it leaves only through
/// [`SigningKey::to_pkcs8`].
pub struct SigningKey {
    pair: Pair,
    public: PublicKey,
}

/// A public key, kept parsed and in its one canonical encoding.
#[derive(Clone)]
pub struct PublicKey {
    algorithm: KeyAlgorithm,
    spki: Box<[u8]>,
    parsed: ParsedPublicKey,
}

/// The signature does not belong to this message and key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the signature does not belong to this message and key")]
pub struct BadSignature;

/// A key cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum KeyError {
    /// The private key is not PKCS#8 of a supported algorithm.
    #[error("the private key is not an Ed25519 or P-256 key in PKCS#8: make a new one by joining again")]
    BadPrivateKey,
    /// The public key is not a canonical SubjectPublicKeyInfo of a supported algorithm.
    #[error("the public key is not an Ed25519 or P-256 key in its canonical encoding")]
    BadPublicKey,
    /// The cryptographic library refused; its random source may have failed.
    #[error("the cryptographic library could not make a key or signature: check the system's random source")]
    Library,
}

impl KeyUse {
    /// Both uses.
    pub const ALL: [Self; 2] = [Self::Hop, Self::Statement];

    /// `hop` or `statement`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Hop => "hop",
            Self::Statement => "statement",
        }
    }
}

impl fmt::Display for KeyUse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl KeyAlgorithm {
    /// Every algorithm.
    pub const ALL: [Self; 2] = [Self::Ed25519, Self::EcdsaP256];

    /// `ed25519` or `ecdsa-p256`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ed25519 => "ed25519",
            Self::EcdsaP256 => "ecdsa-p256",
        }
    }

    fn verification(self) -> &'static dyn VerificationAlgorithm {
        match self {
            Self::Ed25519 => &ED25519,
            Self::EcdsaP256 => &ECDSA_P256_SHA256_FIXED,
        }
    }
}

impl fmt::Display for KeyAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl SigningKey {
    /// A fresh key from the system's random source.
    pub fn generate(algorithm: KeyAlgorithm) -> Result<Self, KeyError> {
        #[cfg(any(test, feature = "testing"))]
        if let Some(seed) = crate::testing::seeded::seed() {
            return Self::from_seed(algorithm, &seed);
        }
        let pair = match algorithm {
            KeyAlgorithm::Ed25519 => Ed25519KeyPair::generate().map(Pair::Ed25519),
            KeyAlgorithm::EcdsaP256 => EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).map(Pair::EcdsaP256),
        };
        Self::from_pair(pair.map_err(|_| KeyError::Library)?)
    }

    /// The key of a seed: Ed25519 as RFC 8032, 5.1.5, says; for P-256 the seed is the private number, big endian.
    #[cfg(any(test, feature = "testing"))]
    pub fn from_seed(algorithm: KeyAlgorithm, seed: &[u8; 32]) -> Result<Self, KeyError> {
        let pair = match algorithm {
            KeyAlgorithm::Ed25519 => crate::testing::seeded::ed25519(seed).map(Pair::Ed25519),
            KeyAlgorithm::EcdsaP256 => crate::testing::seeded::ecdsa_p256(seed).map(Pair::EcdsaP256),
        };
        Self::from_pair(pair.map_err(|_| KeyError::Library)?)
    }

    /// A key from PKCS#8 DER (RFC 5208 or 5958); its kind is found by trying.
    pub fn from_pkcs8(der: &[u8]) -> Result<Self, KeyError> {
        let pair = match Ed25519KeyPair::from_pkcs8(der) {
            Ok(pair) => Pair::Ed25519(pair),
            Err(_) => EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der)
                .map(Pair::EcdsaP256)
                .map_err(|_| KeyError::BadPrivateKey)?,
        };
        Self::from_pair(pair)
    }

    /// PKCS#8 version 1 DER, the form every library reads (RFC 5208).
    pub fn to_pkcs8(&self) -> Result<Zeroizing<Vec<u8>>, KeyError> {
        let document = match &self.pair {
            Pair::Ed25519(pair) => pair.to_pkcs8v1(),
            Pair::EcdsaP256(pair) => pair.to_pkcs8v1(),
        };
        let document = document.map_err(|_| KeyError::Library)?;
        Ok(Zeroizing::new(document.as_ref().to_vec()))
    }

    /// Signs `message`. The encoding is the algorithm's, see [`KeyAlgorithm`].
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        let signature = match &self.pair {
            Pair::Ed25519(pair) => pair.try_sign(message),
            Pair::EcdsaP256(pair) => pair.sign(&SystemRandom::new(), message),
        };
        let signature = signature.map_err(|_| KeyError::Library)?;
        Ok(signature.as_ref().to_vec())
    }

    /// Signs `message` in the form of X.509 and TLS: for ECDSA the DER of `Ecdsa-Sig-Value` (RFC 3279, 2.2.3).
    pub fn sign_x509(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        let signature = self.sign(message)?;
        Ok(match self.algorithm() {
            KeyAlgorithm::Ed25519 => signature,
            KeyAlgorithm::EcdsaP256 => {
                let (r, s) = signature.split_at(signature.len() / 2);
                yasna::construct_der(|writer| {
                    writer.write_sequence(|writer| {
                        writer.next().write_bigint_bytes(r, true);
                        writer.next().write_bigint_bytes(s, true);
                    });
                })
            }
        })
    }

    /// The public half.
    pub const fn public_key(&self) -> &PublicKey {
        &self.public
    }

    /// The key's algorithm.
    pub const fn algorithm(&self) -> KeyAlgorithm {
        self.public.algorithm
    }

    fn from_pair(pair: Pair) -> Result<Self, KeyError> {
        let (algorithm, spki) = match &pair {
            Pair::Ed25519(pair) => (KeyAlgorithm::Ed25519, pair.public_key().as_der()),
            Pair::EcdsaP256(pair) => (KeyAlgorithm::EcdsaP256, pair.public_key().as_der()),
        };
        let spki = spki.map_err(|_| KeyError::Library)?;
        let public = PublicKey::parse(algorithm, spki.as_ref()).ok_or(KeyError::Library)?;
        Ok(Self { pair, public })
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey({}, [redacted])", self.algorithm())
    }
}

impl PublicKey {
    /// From SubjectPublicKeyInfo DER (RFC 5280, 4.1.2.7); only the canonical
    /// encoding is accepted.
    pub fn from_bytes(spki: &[u8]) -> Result<Self, KeyError> {
        KeyAlgorithm::ALL.into_iter().find_map(|algorithm| Self::parse(algorithm, spki)).ok_or(KeyError::BadPublicKey)
    }

    /// SubjectPublicKeyInfo DER.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.spki.to_vec()
    }

    /// SubjectPublicKeyInfo DER, borrowed.
    pub fn as_bytes(&self) -> &[u8] {
        &self.spki
    }

    /// The key's algorithm.
    pub const fn algorithm(&self) -> KeyAlgorithm {
        self.algorithm
    }

    /// Checks `signature` over `message`.
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), BadSignature> {
        self.parsed.verify_sig(message, signature).map_err(|_| BadSignature)
    }

    /// Checks a signature in the form of [`SigningKey::sign_x509`].
    pub fn verify_x509(&self, message: &[u8], signature: &[u8]) -> Result<(), BadSignature> {
        if self.algorithm == KeyAlgorithm::Ed25519 {
            return self.verify(message, signature);
        }
        let key = ParsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, &self.spki).map_err(|_| BadSignature)?;
        key.verify_sig(message, signature).map_err(|_| BadSignature)
    }

    fn parse(algorithm: KeyAlgorithm, spki: &[u8]) -> Option<Self> {
        if spki.len() > PUBLIC_KEY_BYTES_MAX {
            return None;
        }
        let parsed = ParsedPublicKey::new(algorithm.verification(), spki).ok()?;
        // The library also reads raw and compressed points; one key, one encoding.
        let canonical = parsed.as_der().ok()?;
        (canonical.as_ref() == spki).then(|| Self { algorithm, spki: spki.into(), parsed })
    }
}

impl PartialEq for PublicKey {
    fn eq(&self, other: &Self) -> bool {
        self.spki == other.spki
    }
}

impl Eq for PublicKey {}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({}, {})", self.algorithm, hex::encode(&self.spki))
    }
}

enum Pair {
    Ed25519(Ed25519KeyPair),
    EcdsaP256(EcdsaKeyPair),
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;

    #[test]
    fn keys_survive_their_encodings_and_sign() {
        for algorithm in KeyAlgorithm::ALL {
            let key = SigningKey::generate(algorithm).unwrap();
            let again = SigningKey::from_pkcs8(&key.to_pkcs8().unwrap()).unwrap();
            assert_eq!(again.public_key(), key.public_key());
            assert_eq!(again.algorithm(), algorithm);

            let public = PublicKey::from_bytes(&key.public_key().to_bytes()).unwrap();
            let signature = again.sign(b"message").unwrap();
            assert_eq!(public.verify(b"message", &signature), Ok(()));
            assert_eq!(public.verify(b"massage", &signature), Err(BadSignature));
            assert_eq!(public.verify(b"message", &[]), Err(BadSignature));
            let mut changed = signature;
            changed[10] ^= 1;
            assert_eq!(public.verify(b"message", &changed), Err(BadSignature));
        }
    }

    /// Often enough that both forms meet numbers with leading zeros and with a high first bit.
    #[test]
    fn p256_signatures_are_64_bytes_and_der_for_x509() {
        let key = SigningKey::generate(KeyAlgorithm::EcdsaP256).unwrap();
        let der = ParsedPublicKey::new(&aws_lc_rs::signature::ECDSA_P256_SHA256_ASN1, key.public_key().as_bytes());
        let der = der.unwrap();
        for number in 0..600u32 {
            let message = number.to_be_bytes();
            let fixed = key.sign(&message).unwrap();
            assert_eq!(fixed.len(), 64);
            assert_eq!(key.public_key().verify(&message, &fixed), Ok(()));
            let x509 = key.sign_x509(&message).unwrap();
            assert!(der.verify_sig(&message, &x509).is_ok());
            assert_eq!(key.public_key().verify_x509(&message, &x509), Ok(()));
            assert_eq!(key.public_key().verify_x509(&message, &fixed), Err(BadSignature));
            assert_eq!(key.public_key().verify(&message, &x509), Err(BadSignature));
        }
    }

    #[test]
    fn other_encodings_of_a_public_key_are_refused() {
        for algorithm in KeyAlgorithm::ALL {
            let spki = SigningKey::generate(algorithm).unwrap().public_key().to_bytes();
            let raw = match algorithm {
                KeyAlgorithm::Ed25519 => spki[spki.len() - 32..].to_vec(),
                KeyAlgorithm::EcdsaP256 => spki[spki.len() - 65..].to_vec(),
            };
            let trailing = [spki.as_slice(), &[0]].concat();
            let cut = spki[..spki.len() - 1].to_vec();
            for wrong in [raw, trailing, cut, vec![], vec![0; PUBLIC_KEY_BYTES_MAX + 1]] {
                assert_eq!(PublicKey::from_bytes(&wrong), Err(KeyError::BadPublicKey));
            }
        }
    }

    #[test]
    fn wrong_private_keys_are_refused_and_right_ones_not_printed() {
        for wrong in [&b""[..], b"0", &[0x30; 48]] {
            assert_eq!(SigningKey::from_pkcs8(wrong).map(|_| ()), Err(KeyError::BadPrivateKey));
        }
        let key = SigningKey::generate(KeyAlgorithm::Ed25519).unwrap();
        assert_eq!(format!("{key:?}"), "SigningKey(ed25519, [redacted])");
    }
}
