//! The protocol as an attacker writes it: agreement and channels from the primitives alone, so that every field can
//! be chosen, signed and sealed by whoever holds the keys (`spec/protocol.md`, sections 4.3, 4.4 and 5).

use minicbor::Encode;
use sealwort_proto::codec::{Blob, from_bytes, to_bytes};
use sealwort_proto::crypto::{AeadKey, KemKey, Prk, Secret, Transcript, encapsulate, extract, hash, mac};
use sealwort_proto::handshake::Party;
use sealwort_proto::message::{Answer, HANDSHAKE_BYTES_MAX, Header, Share, SignedAnswer, SignedShare};
use sealwort_proto::operations::Operations;
use sealwort_proto::policy::Policies;
use sealwort_proto::{Digest, SessionId, VERSION};

use super::tree::Node;

/// One run of the pattern: pair, step numbers, session and what both sides know before the share.
#[derive(Clone)]
pub struct Agreement {
    pub pair: &'static str,
    pub share_step: u8,
    pub session: SessionId,
    pub opening: Vec<Vec<u8>>,
}

/// What a run's key gives.
pub struct Keys {
    pub sharer_to_answerer: Secret,
    pub answerer_to_sharer: Secret,
    pub exporter: Secret,
    pub binding: Digest,
    pub confirmation: [u8; 32],
}

impl Agreement {
    pub fn gateway_broker(session: SessionId, hop: &[u8], hello: &[u8], presentation: &[u8]) -> Self {
        let opening = vec![hop.to_vec(), hello.to_vec(), presentation.to_vec()];
        Self { pair: "LT", share_step: 4, session, opening }
    }

    pub fn broker_archive(session: SessionId, hop: &[u8], introduction: &[u8], acceptance: &[u8]) -> Self {
        let opening = vec![hop.to_vec(), introduction.to_vec(), acceptance.to_vec()];
        Self { pair: "TM", share_step: 6, session, opening }
    }

    pub fn gateway_archive(session: SessionId) -> Self {
        Self { pair: "LM", share_step: 8, session, opening: Vec::new() }
    }

    fn transcript(&self) -> Transcript {
        let mut transcript = Transcript::new("sealwort agreement v1");
        transcript.add(self.pair.as_bytes()).add(self.session.as_bytes());
        for part in &self.opening {
            transcript.add(part);
        }
        transcript
    }

    /// A share of one's own.
    pub fn share(&self, party: &Party, policies: &Policies) -> (KemKey, Vec<u8>) {
        let kem = KemKey::generate().unwrap();
        let share = Share {
            header: Header::new(party.exchange(), self.share_step, self.session),
            key: Blob(kem.public().to_vec()),
            policies: policies.clone(),
        };
        let message = self.sign_share(party, &to_bytes(&share));
        (kem, message)
    }

    /// Signs a share of whatever content.
    pub fn sign_share(&self, party: &Party, share: &[u8]) -> Vec<u8> {
        let mut transcript = self.transcript();
        transcript.add(share);
        let signature = sign(party, self.share_step, &transcript);
        to_bytes(&SignedShare { share: Blob(share.to_vec()), signature: Blob(signature) })
    }

    /// Answers a share; `edit` may make anything of the answer before it is signed and confirmed.
    pub fn answer(
        &self,
        party: &Party,
        signed_share: &[u8],
        policies: &Policies,
        edit: impl FnOnce(Vec<u8>) -> Vec<u8>,
    ) -> (Keys, Vec<u8>) {
        let signed: SignedShare = from_bytes(signed_share, HANDSHAKE_BYTES_MAX).unwrap();
        let share: Share = from_bytes(signed.share.as_ref(), HANDSHAKE_BYTES_MAX).unwrap();
        let (encapsulation, secret) = encapsulate(share.key.as_ref(), &party.operations).unwrap();
        let answer = edit(to_bytes(&Answer {
            header: Header::new(party.exchange(), self.share_step + 1, self.session),
            encapsulation: Blob(encapsulation),
            accepted: share.policies.digest(),
            policies: policies.clone(),
        }));
        let mut transcript = self.transcript();
        transcript.add(signed.share.as_ref()).add(signed.signature.as_ref()).add(&answer);
        let signature = sign(party, self.share_step + 1, &transcript);
        transcript.add(&signature);
        let keys = self.keys(&transcript, secret.expose());
        let confirmation = Blob(keys.confirmation.to_vec());
        (keys, to_bytes(&SignedAnswer { answer: Blob(answer), signature: Blob(signature), confirmation }))
    }

    /// The keys of a run, for who has the share's secret key or any other guess of the secret.
    pub fn keys_of(&self, signed_share: &[u8], signed_answer: &[u8], secret: &[u8; 32]) -> Keys {
        let share: SignedShare = from_bytes(signed_share, HANDSHAKE_BYTES_MAX).unwrap();
        let answer: SignedAnswer = from_bytes(signed_answer, HANDSHAKE_BYTES_MAX).unwrap();
        let mut transcript = self.transcript();
        for part in [&share.share, &share.signature, &answer.answer, &answer.signature] {
            transcript.add(part.as_ref());
        }
        self.keys(&transcript, secret)
    }

    fn keys(&self, transcript: &Transcript, secret: &[u8; 32]) -> Keys {
        let digest = transcript.digest(&Operations::default());
        let key = extract(digest.as_bytes(), secret);
        let expand = |label| key.expand(label, &[self.pair.as_bytes()]);
        Keys {
            sharer_to_answerer: expand("sealwort sharer to answerer v1"),
            answerer_to_sharer: expand("sealwort answerer to sharer v1"),
            exporter: expand("sealwort exporter v1"),
            binding: hash("sealwort binding v1", digest.as_bytes()),
            confirmation: mac(
                &expand("sealwort confirmation v1"),
                "sealwort answerer confirms v1",
                &[digest.as_bytes()],
            ),
        }
    }
}

fn sign(party: &Party, step: u8, transcript: &Transcript) -> Vec<u8> {
    let mut message = b"sealwort authentication v1 step ".to_vec();
    message.push(step);
    message.extend_from_slice(transcript.digest(&Operations::default()).as_bytes());
    party.key.sign(&message).unwrap()
}

/// A channel message of whatever header.
#[derive(Clone, Copy)]
pub struct Letter {
    pub pair: &'static str,
    pub version: u8,
    pub session: SessionId,
    pub generation: u32,
    pub number: u64,
    pub reply_to: u64,
}

#[derive(Encode)]
#[cbor(array)]
struct Associated<'a> {
    #[n(0)]
    pair: &'a str,
    #[n(1)]
    version: u8,
    #[n(2)]
    session: SessionId,
    #[n(3)]
    generation: u32,
    #[n(4)]
    number: u64,
    #[n(5)]
    reply_to: u64,
}

impl Letter {
    pub fn new(pair: &'static str, session: SessionId, number: u64) -> Self {
        Self { pair, version: VERSION, session, generation: 0, number, reply_to: 0 }
    }

    fn associated(&self) -> Vec<u8> {
        let Self { pair, version, session, generation, number, reply_to } = *self;
        to_bytes(&Associated { pair, version, session, generation, number, reply_to })
    }

    /// Seals it under the secret of one direction.
    pub fn seal(&self, direction: &Secret, content: &[u8]) -> Vec<u8> {
        let mut ciphertext = content.to_vec();
        let key = self.key(direction);
        key.seal(self.number, &self.associated(), &mut ciphertext, &Operations::default());
        Node::Array(vec![
            Node::Uint(self.version.into()),
            Node::Bytes(self.session.as_bytes().to_vec()),
            Node::Uint(self.generation.into()),
            Node::Uint(self.number),
            Node::Uint(self.reply_to),
            Node::Bytes(ciphertext),
        ])
        .bytes()
    }

    /// Tries to open a recorded message with the secret of a direction.
    pub fn open(pair: &'static str, direction: &Secret, message: &[u8]) -> Option<Vec<u8>> {
        let tree = Node::read(message)?;
        let number = |place: usize| match tree.at(&[place]) {
            Some(Node::Uint(n)) => Some(*n),
            _ => None,
        };
        let bytes = |place: usize| match tree.at(&[place]) {
            Some(Node::Bytes(bytes)) => Some(bytes.clone()),
            Some(Node::Nested(inner)) => Some(inner.bytes()),
            _ => None,
        };
        let letter = Self {
            pair,
            version: u8::try_from(number(0)?).ok()?,
            session: SessionId::from_slice(&bytes(1)?)?,
            generation: u32::try_from(number(2)?).ok()?,
            number: number(3)?,
            reply_to: number(4)?,
        };
        let mut content = bytes(5)?;
        let key = letter.key(direction);
        key.open(letter.number, &letter.associated(), &mut content, &Operations::default()).ok()?;
        Some(content)
    }

    fn key(&self, direction: &Secret) -> AeadKey {
        let mut secret = direction.clone();
        // More generations than any test needs would only be slow.
        for _ in 0..self.generation.min(4) {
            secret = Prk::from_secret(&secret).expand("sealwort next v1", &[]);
        }
        AeadKey::new(&Prk::from_secret(&secret).expand("sealwort key v1", &[]))
    }
}
