//! Randomness from a seed, for tests and test vectors; the feature `testing` turns it on. While a [`Seeded`] lives on
//! a thread, every random value of this crate comes from it: nonces, ids, salts, halves, KEM key pairs and
//! encapsulations. So all sixteen steps can be repeated byte for byte. Without one, nothing changes.
//!
//! Key pairs and encapsulations are derived as draft-connolly-cfrg-xwing-kem derives them, from 32 and from 64 bytes.
#![allow(clippy::unwrap_used, reason = "a test that cannot be set up must stop")]

use std::sync::Arc;

use aws_lc_rs::agreement::{PrivateKey, X25519};
use aws_lc_rs::hmac;
use aws_lc_rs::kem::{DecapsulationKey, ML_KEM_768};
use ml_kem::ml_kem_768;
use sealwort_pki::UnixTime;
use shake::{ExtendableOutput, Shake256, Update, XofReader};

use crate::channel::{Channel, End, Pair};
use crate::crypto::{KemKey, KemSecret, Prk, Secret, combine};
use crate::error::{ErrorKind, Fault};
use crate::halves::RecordKey;
use crate::id::{Digest, SessionId};

pub use sealwort_pki::testing::Seeded;
pub use sealwort_pki::testing::seeded::fill;

/// A value from the source that is installed on this thread.
pub(crate) fn draw<const N: usize>() -> Option<[u8; N]> {
    let mut bytes = [0; N];
    fill(&mut bytes).then_some(bytes)
}

impl KemKey {
    /// The key pair of an X-Wing decapsulation key, which is a seed of 32 bytes: SHAKE-256 expands it to ML-KEM's d
    /// and z and to the X25519 key.
    pub fn from_seed(seed: &[u8; 32]) -> Result<Self, ErrorKind> {
        let mut expanded = [0; 96];
        let mut shake = Shake256::default();
        shake.update(seed);
        shake.finalize_xof().read(&mut expanded);
        let (ml_kem_seed, x25519) = expanded.split_at(64);
        let pair = ml_kem_768::DecapsulationKey::from_seed(ml_kem_seed.try_into().unwrap());
        let public = ml_kem::KeyExport::to_bytes(pair.encapsulation_key()).to_vec();
        #[allow(deprecated, reason = "the library that decapsulates takes the expanded form")]
        let pair = ml_kem::ExpandedKeyEncoding::to_expanded_bytes(&pair);
        let ml_kem = DecapsulationKey::new(&ML_KEM_768, &pair).map_err(|_| ErrorKind::Crypto("ML-KEM key"))?;
        let x25519 = PrivateKey::from_private_key(&X25519, x25519).map_err(|_| ErrorKind::Crypto("X25519 key"))?;
        Self::from_parts(ml_kem, public, x25519)
    }
}

/// Encapsulates with given randomness: 32 bytes for ML-KEM, then the X25519 key. Gives the ciphertext and the secret.
pub fn encapsulate_from(public: &[u8], seed: &[u8; 64]) -> Result<(Vec<u8>, KemSecret), ErrorKind> {
    let (pk_m, pk_x) = public.split_at_checked(1184).ok_or(ErrorKind::Encapsulation)?;
    let (message, ephemeral) = seed.split_at(32);
    let key = pk_m.try_into().map_err(|_| ErrorKind::Encapsulation)?;
    let key = ml_kem_768::EncapsulationKey::new(&key).map_err(|_| ErrorKind::Encapsulation)?;
    let (ct_m, ss_m) = key.encapsulate_deterministic(&message.try_into().unwrap());
    let ephemeral = PrivateKey::from_private_key(&X25519, ephemeral).map_err(|_| ErrorKind::Crypto("X25519 key"))?;
    let ct_x = ephemeral.compute_public_key().map_err(|_| ErrorKind::Crypto("public key"))?;
    let secret = combine(&ss_m, &ephemeral, pk_x, ct_x.as_ref(), pk_x)?;
    Ok(([&ct_m[..], ct_x.as_ref()].concat(), secret))
}

/// HKDF-Extract of SHA-256 as bytes (RFC 5869, 2.2); the code itself never shows them.
pub fn extracted(salt: &[u8], secret: &[u8]) -> [u8; 32] {
    let mut key = [0; 32];
    key.copy_from_slice(hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, salt), secret).as_ref());
    key
}

/// One end of a channel from the `key` of `spec/protocol.md`, section 4.4, without a run that made it.
pub fn channel(pair: Pair, end: End, session: SessionId, key: &Secret, established: UnixTime) -> Channel {
    let key = Prk::from_secret(key);
    Channel::new(pair, end, session, &key, Digest::ZERO, Fault::Own, established, Arc::default())
}

impl RecordKey {
    /// The bytes.
    pub fn expose(&self) -> &Secret {
        self.secret()
    }
}

/// zstd as records are compressed.
pub fn compressed(content: &[u8]) -> Vec<u8> {
    zstd::bulk::compress(content, crate::record::COMPRESSION_LEVEL).unwrap()
}
