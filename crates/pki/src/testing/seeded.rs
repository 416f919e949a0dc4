//! Randomness from a seed, for tests and test vectors. While a [`Seeded`] lives on a thread, every random value that
//! this crate and `sealwort_proto` draw on that thread comes from it, so that a run can be repeated byte for byte.
//!
//! Other threads keep the system's generator. Signatures with ECDSA are not covered: the library draws their secret
//! number itself. Those with Ed25519 are deterministic anyhow.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::marker::PhantomData;

use aws_lc_rs::agreement::{ECDH_P256, PrivateKey};
use aws_lc_rs::hmac;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair};

thread_local! {
    static SOURCE: RefCell<Option<Source>> = const { RefCell::new(None) };
}

/// Keeps a source of deterministic values installed on this thread; dropped, it gives back what was there before.
/// Installing another one meanwhile stacks: the newer one answers until it is dropped, then the older goes on where it
/// stood. Guards are dropped in the opposite order of their installation, as variables of one scope are.
#[derive(Debug)]
#[must_use = "dropping the guard removes the seed"]
pub struct Seeded {
    before: Option<Source>,
    /// The source belongs to one thread.
    _not_send: PhantomData<*const ()>,
}

impl Seeded {
    /// Installs a stream that the seed determines.
    pub fn install(seed: u64) -> Self {
        Self::with(Values::Stream { seed, drawn: 0 })
    }

    /// Installs values that are handed out one by one, in the order in which they will be drawn.
    ///
    /// # Panics
    /// Not here but at the draw: when no value is left, or the next one has another length.
    pub fn replay(values: impl IntoIterator<Item = Vec<u8>>) -> Self {
        Self::with(Values::List(values.into_iter().collect()))
    }

    fn with(values: Values) -> Self {
        let before = SOURCE.replace(Some(Source { values, drawn: Vec::new() }));
        Self { before, _not_send: PhantomData }
    }

    /// The values drawn since the last call, oldest first: what a vector names as its inputs.
    pub fn drawn(&self) -> Vec<Vec<u8>> {
        SOURCE
            .with_borrow_mut(|source| source.as_mut().map(|source| std::mem::take(&mut source.drawn)))
            .unwrap_or_default()
    }

    /// How many values of [`Seeded::replay`] are left.
    pub fn left(&self) -> usize {
        SOURCE.with_borrow(|source| match source {
            Some(Source { values: Values::List(left), .. }) => left.len(),
            _ => 0,
        })
    }
}

impl Drop for Seeded {
    fn drop(&mut self) {
        SOURCE.set(self.before.take());
    }
}

#[derive(Debug)]
struct Source {
    values: Values,
    drawn: Vec<Vec<u8>>,
}

#[derive(Debug)]
enum Values {
    /// Block i is HMAC-SHA-256(seed, i); every draw begins with a new block.
    Stream {
        seed: u64,
        drawn: u64,
    },
    List(VecDeque<Vec<u8>>),
}

impl Source {
    fn fill(&mut self, bytes: &mut [u8]) {
        match &mut self.values {
            Values::Stream { seed, drawn } => {
                let key = hmac::Key::new(hmac::HMAC_SHA256, &seed.to_be_bytes());
                for block in bytes.chunks_mut(32) {
                    *drawn += 1;
                    let value = hmac::sign(&key, &drawn.to_be_bytes());
                    block.iter_mut().zip(value.as_ref()).for_each(|(to, from)| *to = *from);
                }
            }
            Values::List(left) => {
                let value = left.pop_front();
                assert_eq!(value.as_ref().map(Vec::len), Some(bytes.len()), "the next value does not fit the draw");
                bytes.copy_from_slice(&value.unwrap_or_default());
            }
        }
        self.drawn.push(bytes.to_vec());
    }
}

/// Fills the array from the source that is installed on this thread; `false` where there is none.
pub fn fill(bytes: &mut [u8]) -> bool {
    SOURCE.with_borrow_mut(|source| source.as_mut().map(|source| source.fill(bytes)).is_some())
}

/// Thirty-two bytes from the source that is installed on this thread.
pub(crate) fn seed() -> Option<[u8; 32]> {
    let mut seed = [0; 32];
    fill(&mut seed).then_some(seed)
}

/// The Ed25519 key of a seed (RFC 8032, 5.1.5).
pub(crate) fn ed25519(seed: &[u8; 32]) -> Result<Ed25519KeyPair, aws_lc_rs::error::Unspecified> {
    Ed25519KeyPair::from_seed_unchecked(seed).map_err(|_| aws_lc_rs::error::Unspecified)
}

/// The P-256 key whose private number is the seed, big endian.
pub(crate) fn ecdsa_p256(seed: &[u8; 32]) -> Result<EcdsaKeyPair, aws_lc_rs::error::Unspecified> {
    let public = PrivateKey::from_private_key(&ECDH_P256, seed)?.compute_public_key()?;
    EcdsaKeyPair::from_private_key_and_public_key(&ECDSA_P256_SHA256_FIXED_SIGNING, seed, public.as_ref())
        .map_err(|_| aws_lc_rs::error::Unspecified)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authority::random_bytes;
    use crate::testing::TestExchange;
    use crate::{KeyAlgorithm, Role, SigningKey};

    fn value() -> [u8; 40] {
        random_bytes().unwrap()
    }

    #[test]
    fn a_seed_repeats_its_values_and_guards_stack() {
        let first = {
            let _seeded = Seeded::install(7);
            [value(), value()]
        };
        assert_ne!(first[0], first[1]);
        let seeded = Seeded::install(7);
        assert_eq!(value(), first[0]);
        {
            let inner = Seeded::install(8);
            assert_ne!(value(), first[1]);
            assert_eq!(inner.drawn().len(), 1);
        }
        assert_eq!(value(), first[1]);
        assert_eq!(seeded.drawn(), first.map(|v| v.to_vec()));
        assert!(std::thread::spawn(value).join().unwrap() != value());
        drop(seeded);
        assert_ne!(value(), value());
    }

    #[test]
    fn listed_values_come_back_in_order() {
        let seeded = Seeded::replay([vec![1; 40], vec![2; 40]]);
        assert_eq!((value(), seeded.left()), ([1; 40], 1));
        assert_eq!((value(), seeded.left()), ([2; 40], 0));
        assert!(std::panic::catch_unwind(value).is_err());
    }

    #[test]
    fn keys_certificates_and_lists_follow_from_the_seed() {
        let make = |seed| {
            let _seeded = Seeded::install(seed);
            let exchange = TestExchange::new("demo");
            let party = exchange.party(Role::Gateway, "a");
            (
                exchange.root.certificate().to_vec(),
                party.statement.chain,
                party.hop.chain,
                exchange.crl(1, &[party.hop.serial]),
            )
        };
        assert_eq!(make(1), make(1));
        assert_ne!(make(1), make(2));
        for algorithm in KeyAlgorithm::ALL {
            let key = |seed| {
                let _seeded = Seeded::install(seed);
                SigningKey::generate(algorithm).unwrap()
            };
            assert_eq!(key(3).public_key(), key(3).public_key());
            assert_ne!(key(3).public_key(), key(4).public_key());
            let signature = key(3).sign(b"message").unwrap();
            assert_eq!(key(3).public_key().verify(b"message", &signature), Ok(()));
        }
    }
}
