//! The primitive operations of the nine steps, bare, from the same library: each is measured once a round, and a
//! party's floor is their sum by the party's own counters. Encoding, copying, certificates and state are not here.

use std::collections::BTreeMap;

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::agreement::{PrivateKey, UnparsedPublicKey, X25519, agree};
use aws_lc_rs::kem::{DecapsulationKey, EncapsulationKey, ML_KEM_768};
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, ParsedPublicKey};
use aws_lc_rs::{digest, hkdf, hmac, rand};
use sealwort_proto::operations::OperationCounts;

use crate::measure::{CpuClock, Failure, Samples, factor, micros};

/// Repetitions of what takes less than a few microseconds.
const BATCH: u32 = 16;
/// Bytes that a signature is over: a label, the step and a SHA-256 transcript.
const SIGNED_BYTES: usize = 65;
/// Bytes of a typical channel message of a run.
const SEALED_BYTES: usize = 1024;
/// Bytes that the X-Wing combiner hashes.
const COMBINED_BYTES: usize = 134;
/// HKDF-Expands for each session key: confirmation, two directions, their first keys, exporter.
const EXPANDS_PER_SESSION_KEY: f64 = 6.0;
/// AES key schedules for each session key: one a direction.
const AES_KEYS_PER_SESSION_KEY: f64 = 2.0;

/// A primitive operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    X25519Generate,
    X25519Agree,
    MlKemGenerate,
    MlKemEncapsulate,
    MlKemDecapsulate,
    Sha3,
    Ed25519Sign,
    Ed25519Verify,
    Sha256PerKiB,
    Sha256End,
    HkdfExtract,
    HkdfExpand,
    Hmac,
    AesKey,
    AesSeal,
    AesOpen,
    Random,
}

/// Measured primitives.
pub(super) struct Primitives {
    key: Ed25519KeyPair,
    public: ParsedPublicKey,
    samples: BTreeMap<Kind, Samples>,
}

impl Primitives {
    pub(super) fn new() -> Result<Self, Failure> {
        let key = Ed25519KeyPair::generate()?;
        let public = ParsedPublicKey::new(&ED25519, key.public_key().as_ref())?;
        Ok(Self { key, public, samples: BTreeMap::new() })
    }

    /// Measures every primitive once.
    pub(super) fn round(&mut self, clock: &CpuClock) -> Result<(), Failure> {
        self.kem(clock)?;
        self.signatures(clock)?;
        self.symmetric(clock)
    }

    /// What a party's counted operations take, in microseconds, each at the same quantile. `hashed` is the bytes of
    /// its transcripts.
    pub(super) fn sum(&self, counts: &OperationCounts, hashed: u64, share: f64) -> f64 {
        let encapsulated = factor(counts.encapsulate);
        // A key pair is made for each decapsulation.
        let decapsulated = factor(counts.decapsulate);
        let session_keys = factor(counts.session_key);
        let terms = [
            (Kind::X25519Generate, encapsulated + decapsulated),
            (Kind::X25519Agree, encapsulated + decapsulated),
            (Kind::MlKemGenerate, decapsulated),
            (Kind::MlKemEncapsulate, encapsulated),
            (Kind::MlKemDecapsulate, decapsulated),
            (Kind::Sha3, encapsulated + decapsulated),
            (Kind::Ed25519Sign, factor(counts.sign)),
            (Kind::Ed25519Verify, factor(counts.verify)),
            (Kind::Sha256PerKiB, factor(hashed) / 1024.0),
            (Kind::Sha256End, factor(counts.hash)),
            (Kind::HkdfExtract, session_keys),
            (Kind::HkdfExpand, session_keys * EXPANDS_PER_SESSION_KEY),
            (Kind::Hmac, session_keys),
            (Kind::AesKey, session_keys * AES_KEYS_PER_SESSION_KEY),
            (Kind::AesSeal, factor(counts.seal)),
            (Kind::AesOpen, factor(counts.open)),
            (Kind::Random, factor(counts.nonce)),
        ];
        terms.into_iter().map(|(kind, times)| times * self.quantile(kind, share)).sum()
    }

    /// Every median in words.
    pub(super) fn told(&self) -> String {
        let each = self.samples.iter().map(|(kind, samples)| format!("{kind:?} {:.2} µs", samples.median()));
        each.collect::<Vec<_>>().join(", ")
    }

    fn quantile(&self, kind: Kind, share: f64) -> f64 {
        self.samples.get(&kind).map_or(f64::NAN, |samples| samples.quantile(share))
    }

    fn take<T>(&mut self, clock: &CpuClock, kind: Kind, work: impl FnOnce() -> T) -> T {
        let (time, out) = clock.time(work);
        self.samples.entry(kind).or_default().push_micros(time);
        out
    }

    fn take_batch<T>(
        &mut self,
        clock: &CpuClock,
        kind: Kind,
        mut work: impl FnMut() -> Result<T, Failure>,
    ) -> Result<(), Failure> {
        let (time, outcome) =
            clock.time(|| (0..BATCH).try_for_each(|_| work().map(|out| drop(std::hint::black_box(out)))));
        self.samples.entry(kind).or_default().push(micros(time) / f64::from(BATCH));
        outcome
    }

    fn kem(&mut self, clock: &CpuClock) -> Result<(), Failure> {
        let (ml_kem, ml_kem_public) = self.take(clock, Kind::MlKemGenerate, || {
            let key = DecapsulationKey::generate(&ML_KEM_768)?;
            let public = key.encapsulation_key()?.key_bytes()?.as_ref().to_vec();
            Ok::<_, Failure>((key, public))
        })?;
        let (x25519, x25519_public) = self.take(clock, Kind::X25519Generate, || {
            let key = PrivateKey::generate(&X25519)?;
            let public = key.compute_public_key()?;
            Ok::<_, Failure>((key, public))
        })?;
        let peer = PrivateKey::generate(&X25519)?.compute_public_key()?;
        let (ciphertext, sent) = self.take(clock, Kind::MlKemEncapsulate, || {
            let (ciphertext, secret) = EncapsulationKey::new(&ML_KEM_768, &ml_kem_public)?.encapsulate()?;
            Ok::<_, Failure>((ciphertext, secret))
        })?;
        let received = self.take(clock, Kind::MlKemDecapsulate, || ml_kem.decapsulate(ciphertext))?;
        if sent.as_ref() != received.as_ref() {
            return Err("an encapsulation did not open".into());
        }
        let agreed = self.take(clock, Kind::X25519Agree, || {
            agree(&x25519, UnparsedPublicKey::new(&X25519, peer.as_ref()), Failure::from("no agreement"), |secret| {
                Ok(secret.to_vec())
            })
        })?;
        let mut combined = [0u8; COMBINED_BYTES];
        combined.iter_mut().zip(agreed.iter().chain(x25519_public.as_ref())).for_each(|(to, from)| *to = *from);
        self.take_batch(clock, Kind::Sha3, || Ok(digest::digest(&digest::SHA3_256, &combined)))
    }

    fn signatures(&mut self, clock: &CpuClock) -> Result<(), Failure> {
        let mut message = [0u8; SIGNED_BYTES];
        rand::fill(&mut message)?;
        let begun = clock.time(|| self.key.try_sign(&message));
        let (time, signature) = (begun.0, begun.1?);
        self.samples.entry(Kind::Ed25519Sign).or_default().push_micros(time);
        let (time, outcome) = clock.time(|| self.public.verify_sig(&message, signature.as_ref()));
        self.samples.entry(Kind::Ed25519Verify).or_default().push_micros(time);
        Ok(outcome?)
    }

    fn symmetric(&mut self, clock: &CpuClock) -> Result<(), Failure> {
        let secret: [u8; 32] = *b"thirty-two bytes of a known key!";
        let text = [0x5a_u8; SEALED_BYTES];
        let info = [0x11_u8; 48];
        let mut context = digest::Context::new(&digest::SHA256);
        self.take_batch(clock, Kind::Sha256PerKiB, || {
            context.update(&text);
            Ok(())
        })?;
        self.take_batch(clock, Kind::Sha256End, || Ok(digest::digest(&digest::SHA256, &info)))?;
        self.take_batch(clock, Kind::HkdfExtract, || Ok(hkdf::Salt::new(hkdf::HKDF_SHA256, &secret).extract(&secret)))?;
        let key = hkdf::Salt::new(hkdf::HKDF_SHA256, &secret).extract(&secret);
        self.take_batch(clock, Kind::HkdfExpand, || {
            let mut out = [0u8; 32];
            key.expand(&[&info], hkdf::HKDF_SHA256)?.fill(&mut out)?;
            Ok(out)
        })?;
        self.take_batch(clock, Kind::Hmac, || Ok(hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, &secret), &info)))?;
        self.take_batch(clock, Kind::AesKey, || Ok(LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &secret)?)))?;
        let aead = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &secret)?);
        let nonce = || Nonce::assume_unique_for_key([0; 12]);
        let mut buffer = Vec::with_capacity(SEALED_BYTES + AES_256_GCM.tag_len());
        self.take_batch(clock, Kind::AesSeal, || {
            buffer.clear();
            buffer.extend_from_slice(&text);
            Ok(aead.seal_in_place_append_tag(nonce(), Aad::from(&info), &mut buffer)?)
        })?;
        let mut opened = Vec::with_capacity(buffer.len());
        self.take_batch(clock, Kind::AesOpen, || {
            opened.clear();
            opened.extend_from_slice(&buffer);
            Ok(aead.open_in_place(nonce(), Aad::from(&info), &mut opened)?.len())
        })?;
        self.take_batch(clock, Kind::Random, || {
            let mut out = [0u8; 32];
            rand::fill(&mut out)?;
            Ok(out)
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn every_primitive_is_measured_and_counted() {
        let mut primitives = Primitives::new().unwrap();
        primitives.round(&CpuClock::calibrated()).unwrap();
        let one = OperationCounts { encapsulate: 1, decapsulate: 1, sign: 1, verify: 1, ..OperationCounts::default() };
        let two = OperationCounts { sign: 2, session_key: 1, ..one };
        let (one, two) = (primitives.sum(&one, 0, 0.5), primitives.sum(&two, 4096, 0.5));
        assert!(one > 0.0 && two > one, "{one} {two}");
    }
}
