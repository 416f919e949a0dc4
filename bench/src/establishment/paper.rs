//! The paper's own construction of section 3.2.1, for comparison: in steps 4 to 9 each pair exchanges random
//! numbers encrypted to certificate keys (RSA-2048, OAEP with SHA-256) and hashes them to a session key. Each
//! party encrypts twice and decrypts twice. There is no signature, confirmation or forward secrecy, and what it
//! sends besides is not counted here; both are to the paper's advantage.

use aws_lc_rs::digest::{Context, SHA256};
use aws_lc_rs::rand;
use aws_lc_rs::rsa::{
    KeySize, OAEP_SHA256_MGF1SHA256, OaepPrivateDecryptingKey, OaepPublicEncryptingKey, PrivateDecryptingKey,
};

use super::steps::Times;
use crate::measure::{CpuClock, Failure, Samples};

/// Bytes of a random number.
const NUMBER_BYTES: usize = 32;

/// The three parties' certificate keys.
pub(super) struct Paper {
    gateway: Keys,
    broker: Keys,
    archive: Keys,
    encrypt: Samples,
    decrypt: Samples,
}

struct Keys {
    private: OaepPrivateDecryptingKey,
    public: OaepPublicEncryptingKey,
}

/// A random number on its way, and in the clear at its sender.
struct Sent {
    number: [u8; NUMBER_BYTES],
    encrypted: Vec<u8>,
}

impl Keys {
    fn generate() -> Result<Self, Failure> {
        let private = PrivateDecryptingKey::generate(KeySize::Rsa2048)?;
        let public = OaepPublicEncryptingKey::new(private.public_key())?;
        Ok(Self { private: OaepPrivateDecryptingKey::new(private)?, public })
    }

    /// What a sender does.
    fn send(&self) -> Result<Sent, Failure> {
        let mut number = [0u8; NUMBER_BYTES];
        rand::fill(&mut number)?;
        let mut encrypted = vec![0u8; self.public.ciphertext_size()];
        let length = self.public.encrypt(&OAEP_SHA256_MGF1SHA256, &number, &mut encrypted, None)?.len();
        encrypted.truncate(length);
        Ok(Sent { number, encrypted })
    }

    /// What the receiver does.
    fn receive(&self, encrypted: &[u8]) -> Result<Vec<u8>, Failure> {
        let mut number = vec![0u8; self.private.min_output_size()];
        let length = self.private.decrypt(&OAEP_SHA256_MGF1SHA256, encrypted, &mut number, None)?.len();
        number.truncate(length);
        Ok(number)
    }
}

impl Paper {
    pub(super) fn new() -> Result<Self, Failure> {
        Ok(Self {
            gateway: Keys::generate()?,
            broker: Keys::generate()?,
            archive: Keys::generate()?,
            encrypt: Samples::default(),
            decrypt: Samples::default(),
        })
    }

    /// Measures one encryption and one decryption, bare.
    pub(super) fn round(&mut self, clock: &CpuClock) -> Result<(), Failure> {
        let (time, sent) = clock.time(|| self.broker.send());
        self.encrypt.push_micros(time);
        let sent = sent?;
        let (time, received) = clock.time(|| self.broker.receive(&sent.encrypted));
        self.decrypt.push_micros(time);
        if received? == sent.number { Ok(()) } else { Err("a random number did not arrive".into()) }
    }

    /// Both medians in words.
    pub(super) fn told(&self) -> String {
        format!("RSA-2048 OAEP encrypt {:.2} µs, decrypt {:.2} µs", self.encrypt.median(), self.decrypt.median())
    }

    /// Steps 4 to 9: three pairs, each with its session key at both ends.
    pub(super) fn establish(&self, clock: &CpuClock) -> Result<Times, Failure> {
        let mut times = Times::default();
        let Times { gateway, broker, archive } = &mut times;
        // Steps 4 and 5, 6 and 7, 8 and 9: who begins, who answers.
        pair(clock, (gateway, &self.gateway), (broker, &self.broker))?;
        pair(clock, (broker, &self.broker), (archive, &self.archive))?;
        pair(clock, (archive, &self.archive), (gateway, &self.gateway))?;
        Ok(times)
    }
}

type End<'a> = (&'a mut std::time::Duration, &'a Keys);

fn pair(clock: &CpuClock, first: End<'_>, second: End<'_>) -> Result<(), Failure> {
    let (first_time, first) = first;
    let (second_time, second) = second;
    let a = clock.add(first_time, || second.send())?;
    let (b, key_second) = clock.add(second_time, || {
        let received = second.receive(&a.encrypted)?;
        let sent = first.send()?;
        let key = session_key(&received, &sent.number);
        Ok::<_, Failure>((sent, key))
    })?;
    let key_first = clock.add(first_time, || {
        let received = first.receive(&b.encrypted)?;
        Ok::<_, Failure>(session_key(&a.number, &received))
    })?;
    if key_first == key_second { Ok(()) } else { Err("the paper's construction gave two different keys".into()) }
}

/// SK = H(R_a ‖ R_b).
fn session_key(first: &[u8], second: &[u8]) -> Vec<u8> {
    let mut context = Context::new(&SHA256);
    context.update(first);
    context.update(second);
    context.finish().as_ref().to_vec()
}
