//! TLS whose bytes follow from the seed: its randomness is the seeded one, and its key exchange needs no elliptic
//! curve. Nobody listens on a simulated wire; what TLS is for here is its messages, its certificates and its exporter.

use rustls::crypto::{
    ActiveKeyExchange, CryptoProvider, GetRandomFailed, SecureRandom, SharedSecret, SupportedKxGroup,
};
use rustls::{Error, NamedGroup, PeerMisbehaved};
use sealwort_proto::crypto::{Transcript, random};
use sealwort_proto::operations::Operations;

/// The provider of production with this randomness and this key exchange.
pub(crate) fn seeded(of_production: CryptoProvider) -> CryptoProvider {
    CryptoProvider { kx_groups: vec![&PublicExchange], secure_random: &SeededRandom, ..of_production }
}

/// Draws from the seed that is installed on the thread.
#[derive(Debug)]
struct SeededRandom;

impl SecureRandom for SeededRandom {
    fn fill(&self, buffer: &mut [u8]) -> Result<(), GetRandomFailed> {
        for block in buffer.chunks_mut(VALUE_BYTES) {
            let value: [u8; VALUE_BYTES] = random();
            block.iter_mut().zip(value).for_each(|(to, from)| *to = from);
        }
        Ok(())
    }
}

/// Both sides show a random value, and the secret is the hash of both: an exchange without a secret.
#[derive(Debug)]
struct PublicExchange;

struct Shown([u8; VALUE_BYTES]);

impl SupportedKxGroup for PublicExchange {
    fn start(&self) -> Result<Box<dyn ActiveKeyExchange>, Error> {
        Ok(Box::new(Shown(random())))
    }

    fn name(&self) -> NamedGroup {
        NamedGroup::X25519
    }
}

impl ActiveKeyExchange for Shown {
    fn complete(self: Box<Self>, theirs: &[u8]) -> Result<SharedSecret, Error> {
        if theirs.len() != VALUE_BYTES {
            return Err(PeerMisbehaved::InvalidKeyShare.into());
        }
        let (first, second) = if self.0.as_slice() < theirs { (&self.0[..], theirs) } else { (theirs, &self.0[..]) };
        let mut both = Transcript::new("sealwort simulation key exchange v1");
        both.add(first).add(second);
        Ok(SharedSecret::from(both.digest(&Operations::default()).as_bytes().to_vec()))
    }

    fn pub_key(&self) -> &[u8] {
        &self.0
    }

    fn group(&self) -> NamedGroup {
        NamedGroup::X25519
    }
}

const VALUE_BYTES: usize = 32;
