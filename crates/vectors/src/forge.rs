//! Messages as no honest party makes them: signed and sealed anew after one thing was changed, so that only the
//! changed thing is wrong.

use minicbor::Encoder;
use minicbor::data::Tag;
use sealwort_pki::{KeyAlgorithm, SigningKey};
use sealwort_proto::crypto::{AeadKey, Prk, Secret, hash, mac};
use sealwort_proto::operations::Operations;
use sealwort_proto::statement::{Kind, key_id};
use sealwort_proto::testing::extracted;
use serde_json::{Value, json};

use crate::cbor;
use crate::check::Library;
use crate::run::authentication::{signed_bytes, transcript};
use crate::vector::bytes;

/// A COSE_Sign1 with an empty unprotected header, from its parts.
pub fn statement(protected: &[u8], payload: &[u8], signature: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = Encoder::new(&mut bytes);
    encoder.tag(Tag::new(18)).unwrap().array(4).unwrap().bytes(protected).unwrap().map(0).unwrap();
    encoder.bytes(payload).unwrap().bytes(signature).unwrap();
    bytes
}

/// The protected header of a kind: algorithm (a small negative number), content type, key id.
pub fn protected(algorithm: i8, content_type: &str, key_id: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = Encoder::new(&mut bytes);
    encoder.map(3).unwrap().u8(1).unwrap().i8(algorithm).unwrap();
    encoder.u8(3).unwrap().str(content_type).unwrap().u8(4).unwrap().bytes(key_id).unwrap();
    bytes
}

/// Signs whatever protected header and external data it is given.
pub fn signed(protected: &[u8], external: &str, payload: &[u8], key: &SigningKey) -> Vec<u8> {
    let signed =
        cbor::from_json(&json!(["Signature1", cbor::bytes(protected), cbor::bytes(external), cbor::bytes(payload),]));
    statement(protected, payload, &key.sign(&signed).unwrap())
}

/// The protected header that an Ed25519 key writes.
pub fn protected_of(kind: Kind, key: &SigningKey) -> Vec<u8> {
    protected(-8, kind.content_type(), key_id(key.public_key()).as_bytes())
}

/// The inputs of an `entry-seal`, sealed and signed without padding; gives statement and ciphertext.
pub fn entry_without_padding(library: &Library, input: &Value) -> (Vec<u8>, Vec<u8>) {
    let sealed = crate::check::run(library, "entry-seal", input).unwrap();
    let header = bytes(&input["header"]);
    let key = Secret::from_slice(&bytes(&sealed["entry_key"])).unwrap();
    let mut ciphertext = vec![0x61; 240];
    AeadKey::new(&key).seal(0, &header, &mut ciphertext, &Operations::default());
    let digest = hash("sealwort ciphertext v1", &ciphertext);
    let envelope = cbor::from_json(&json!([cbor::bytes(header), cbor::bytes(digest.as_bytes()), ciphertext.len(),]));
    let seed = bytes(&input["seed"]).try_into().unwrap();
    let key = SigningKey::from_seed(KeyAlgorithm::Ed25519, &seed).unwrap();
    (signed(&protected_of(Kind::Entry, &key), Kind::Entry.content_type(), &envelope, &key), ciphertext)
}

/// A statement with one field in its unprotected header.
pub fn with_unprotected(bytes: &[u8], label: u8, value: &[u8]) -> Vec<u8> {
    let mut decoder = minicbor::Decoder::new(bytes);
    decoder.tag().unwrap();
    decoder.array().unwrap();
    let protected = decoder.bytes().unwrap();
    decoder.map().unwrap();
    let (payload, signature) = (decoder.bytes().unwrap(), decoder.bytes().unwrap());
    let mut out = Vec::new();
    let mut encoder = Encoder::new(&mut out);
    encoder.tag(Tag::new(18)).unwrap().array(4).unwrap().bytes(protected).unwrap().map(1).unwrap();
    encoder.u8(label).unwrap().bytes(value).unwrap().bytes(payload).unwrap().bytes(signature).unwrap();
    out
}

/// A protected header with a field 5 besides.
pub fn protected_more(key_id: &[u8], kind: Kind) -> Vec<u8> {
    let mut bytes = protected(-8, kind.content_type(), key_id);
    bytes[0] = 0xa4;
    bytes.extend_from_slice(&[5, 0x41, 0]);
    bytes
}

/// A protected header of two fields: field 3 or field 4 is missing, and the other has this value.
pub fn protected_without(value: &[u8], missing: u8) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = Encoder::new(&mut bytes);
    encoder.map(2).unwrap().u8(1).unwrap().i8(-8).unwrap();
    if missing == 3 {
        encoder.u8(4).unwrap().bytes(value).unwrap();
    } else {
        encoder.u8(3).unwrap().str(std::str::from_utf8(value).unwrap()).unwrap();
    }
    bytes
}

/// A protected header with its fields in the opposite order.
pub fn protected_reversed(key_id: &[u8], kind: Kind) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut encoder = Encoder::new(&mut bytes);
    encoder.map(3).unwrap().u8(4).unwrap().bytes(key_id).unwrap();
    encoder.u8(3).unwrap().str(kind.content_type()).unwrap().u8(1).unwrap().i8(-8).unwrap();
    bytes
}

/// A protected header whose first label is written in two bytes.
pub fn protected_long(key_id: &[u8], kind: Kind) -> Vec<u8> {
    let bytes = protected(-8, kind.content_type(), key_id);
    [&bytes[..1], &[0x18, 1], &bytes[2..]].concat()
}

/// A statement whose payload is null; the signature is over the payload that is meant.
pub fn detached(kind: Kind, payload: &[u8], key: &SigningKey) -> Vec<u8> {
    let protected = protected_of(kind, key);
    let whole = signed(&protected, kind.content_type(), payload, key);
    let signature = &whole[whole.len() - 64..];
    let mut out = Vec::new();
    let mut encoder = Encoder::new(&mut out);
    encoder.tag(Tag::new(18)).unwrap().array(4).unwrap().bytes(&protected).unwrap().map(0).unwrap();
    encoder.null().unwrap().bytes(signature).unwrap();
    out
}

/// A channel message under a generation's secret; `numbers` are generation, number and reply to.
pub fn channel_message(pair: &str, session: &[u8], secret: &Secret, numbers: [u64; 3], content: &[u8]) -> Vec<u8> {
    let [generation, number, reply_to] = numbers;
    let key = Prk::from_secret(secret).expand("sealwort key v1", &[]);
    let session = cbor::bytes(session);
    let associated = cbor::from_json(&json!([pair, 1, session.clone(), generation, number, reply_to]));
    let mut ciphertext = content.to_vec();
    AeadKey::new(&key).seal(number, &associated, &mut ciphertext, &Operations::default());
    cbor::from_json(&json!([1, session, generation, number, reply_to, cbor::bytes(ciphertext)]))
}

/// What a run of the nine steps said, for making parts of it anew.
pub struct Run<'a> {
    /// The setting.
    pub library: &'a Library,
    /// The output of the `authentication`.
    pub output: &'a Value,
}

impl Run<'_> {
    /// A message of the run.
    pub fn message(&self, name: &str) -> Vec<u8> {
        bytes(&self.output["messages"][name])
    }

    /// A value of one pair's.
    pub fn of(&self, pair: &str, name: &str) -> Vec<u8> {
        bytes(&self.output["pairs"][pair][name])
    }

    fn opening(&self, pair: &str) -> Vec<Vec<u8>> {
        let mut parts = vec![pair.as_bytes().to_vec(), bytes(&self.output["session"])];
        parts.extend(self.output["pairs"][pair]["opening"].as_array().unwrap().iter().map(bytes));
        parts
    }

    /// A signed share of this pair, signed by this signer over what the run's share was signed over. `change` gets the
    /// transcript's parts, the last of which is the share.
    pub fn share(&self, pair: &str, signer: &str, step: u8, change: impl FnOnce(&mut Vec<Vec<u8>>)) -> Vec<u8> {
        let mut parts = self.opening(pair);
        parts.push(self.of(pair, "share"));
        change(&mut parts);
        let message = signed_bytes(step, &transcript(&parts));
        let signature = self.library.setting.key(signer).sign(&message).unwrap();
        cbor::from_json(&json!([cbor::bytes(parts.last().unwrap()), cbor::bytes(signature)]))
    }

    /// A signed answer of this pair, signed and confirmed anew.
    pub fn answer(&self, pair: &str, signer: &str, step: u8, change: impl FnOnce(&mut Vec<Vec<u8>>)) -> Vec<u8> {
        let mut parts = self.opening(pair);
        parts.push(self.of(pair, "share"));
        parts.push(self.of(pair, "share_signature"));
        parts.push(self.of(pair, "answer"));
        change(&mut parts);
        let message = signed_bytes(step, &transcript(&parts));
        let answer = parts.last().unwrap().clone();
        let signature = self.library.setting.key(signer).sign(&message).unwrap();
        parts.push(signature.clone());
        let h = transcript(&parts);
        let key = Prk::from_secret(&Secret::new(extracted(&h, &self.of(pair, "secret"))));
        let confirmation =
            mac(&key.expand("sealwort confirmation v1", &[pair.as_bytes()]), "sealwort answerer confirms v1", &[&h]);
        cbor::from_json(&json!([cbor::bytes(answer), cbor::bytes(signature), cbor::bytes(confirmation)]))
    }

    /// A direction's first secret.
    pub fn direction(&self, pair: &str, name: &str) -> Secret {
        Secret::from_slice(&self.of(pair, name)).unwrap()
    }
}
