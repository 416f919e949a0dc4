//! Section 2: framing, hashes, keys, encryption, encapsulation, signatures, wrapping.

use sealwort_pki::testing::Seeded;
use sealwort_pki::{KeyAlgorithm, PublicKey, SigningKey};
use sealwort_proto::codec::Blob;
use sealwort_proto::crypto::{
    AeadKey, KemKey, KeyEncryptionKey, Prk, Secret, Transcript, encapsulate, extract, hash, mac,
};
use sealwort_proto::error::ErrorKind;
use sealwort_proto::operations::Operations;
use sealwort_proto::statement;
use sealwort_proto::testing::{encapsulate_from, extracted};
use serde_json::json;

use super::{Outcome, nothing};
use crate::vector::{Failure, In, hex};

/// be64(length) ‖ part, for each part.
pub(crate) fn frame<B: AsRef<[u8]>>(parts: impl IntoIterator<Item = B>) -> Vec<u8> {
    let mut out = Vec::new();
    for part in parts {
        let part = part.as_ref();
        out.extend_from_slice(&(part.len() as u64).to_be_bytes());
        out.extend_from_slice(part);
    }
    out
}

/// A hash over a label and parts.
pub(crate) fn hashed(label: &str, parts: &[Vec<u8>]) -> [u8; 32] {
    let mut transcript = Transcript::new(label);
    for part in parts {
        transcript.add(part);
    }
    *transcript.digest(&Operations::default()).as_bytes()
}

pub(super) fn secret(input: In<'_>, name: &str) -> Secret {
    Secret::new(input.array(name))
}

fn refs(parts: &[Vec<u8>]) -> Vec<&[u8]> {
    parts.iter().map(Vec::as_slice).collect()
}

pub(super) fn run(kind: &str, input: In<'_>) -> Option<Outcome> {
    let operations = Operations::default();
    Some(match kind {
        "frame" => Ok(json!({ "bytes": hex(frame(input.byte_list("parts"))) })),
        "hash" => {
            let (label, parts) = (input.text("label"), input.byte_list("parts"));
            let digest = hashed(label, &parts);
            if let [part] = parts.as_slice() {
                assert_eq!(*hash(label, part).as_bytes(), digest);
            }
            Ok(json!({ "digest": hex(digest) }))
        }
        "mac" => {
            let parts = input.byte_list("parts");
            let code = mac(&secret(input, "key"), input.text("label"), &refs(&parts));
            // HMAC is what HKDF-Extract is, with the key as salt.
            let label = input.text("label").as_bytes().to_vec();
            let framed = frame(std::iter::once(label).chain(parts));
            assert_eq!(extracted(&input.bytes("key"), &framed), code);
            Ok(json!({ "mac": hex(code) }))
        }
        "extract" => {
            let (salt, material) = (input.bytes("salt"), input.bytes("secret"));
            let key = extracted(&salt, &material);
            let label = "compared by what follows";
            let one = extract(&salt, &material).expand(label, &[]);
            assert_eq!(Prk::from_secret(&Secret::new(key)).expand(label, &[]), one);
            Ok(json!({ "key": hex(key) }))
        }
        "expand" => {
            let parts = input.byte_list("parts");
            let expanded = Prk::from_secret(&secret(input, "key")).expand(input.text("label"), &refs(&parts));
            // One block of HKDF-Expand: HMAC(key, info ‖ 01).
            let label = input.text("label").as_bytes().to_vec();
            let mut info = frame(std::iter::once(label).chain(parts));
            info.push(1);
            assert_eq!(extracted(&input.bytes("key"), &info), *expanded.expose());
            Ok(json!({ "secret": hex(expanded.expose()) }))
        }
        "aead-seal" => {
            let mut buffer = input.bytes("content");
            let key = AeadKey::new(&secret(input, "key"));
            key.seal(input.uint("number"), &input.bytes("associated"), &mut buffer, &operations);
            Ok(json!({ "ciphertext": hex(buffer) }))
        }
        "aead-open" => {
            let mut buffer = input.bytes("ciphertext");
            let key = AeadKey::new(&secret(input, "key"));
            key.open(input.uint("number"), &input.bytes("associated"), &mut buffer, &operations)
                .map(|()| json!({ "content": hex(&buffer) }))
                .map_err(Failure::from)
        }
        "kem-key" => {
            let key = KemKey::from_seed(&input.array("seed")).unwrap();
            Ok(json!({ "encapsulation_key": hex(key.public()) }))
        }
        "kem-encapsulate" => encapsulated(input),
        "kem-decapsulate" => {
            let key = KemKey::from_seed(&input.array("seed")).unwrap();
            let secret = key.decapsulate(&input.bytes("ciphertext"), &operations);
            secret.map(|secret| json!({ "secret": hex(secret.expose()) })).map_err(Failure::from)
        }
        "sign" => {
            assert_eq!(input.text("algorithm"), "ed25519", "signatures of P-256 differ every time");
            let key = SigningKey::from_seed(KeyAlgorithm::Ed25519, &input.array("seed")).unwrap();
            let signature = key.sign(&input.bytes("message")).unwrap();
            key.public_key().verify(&input.bytes("message"), &signature).unwrap();
            Ok(json!({ "public_key": hex(key.public_key().as_bytes()), "signature": hex(signature) }))
        }
        "verify" => {
            let key = PublicKey::from_bytes(&input.bytes("public_key")).unwrap();
            let verified = key.verify(&input.bytes("message"), &input.bytes("signature"));
            nothing(verified.map_err(|_| ErrorKind::Signature.into()))
        }
        "key-id" => {
            let key = PublicKey::from_bytes(&input.bytes("public_key")).unwrap();
            let id = statement::key_id(&key);
            assert_eq!(*id.as_bytes(), hashed("sealwort key id v1", &[input.bytes("public_key")]));
            Ok(json!({ "key_id": hex(id.as_bytes()) }))
        }
        "wrap" => {
            let place = input.byte_list("place");
            let key = KeyEncryptionKey::new(secret(input, "key"));
            let seeded = Seeded::replay([input.bytes("salt")]);
            let wrapped = key.wrap(&refs(&place), &input.bytes("content"));
            assert_eq!(seeded.left(), 0);
            Ok(json!({ "wrapped": hex(wrapped) }))
        }
        "unwrap" => {
            let place = input.byte_list("place");
            let opened = KeyEncryptionKey::new(secret(input, "key")).unwrap(&refs(&place), &input.bytes("wrapped"));
            opened.map(|content| json!({ "content": hex(&*content) })).map_err(Failure::from)
        }
        _ => return None,
    })
}

fn encapsulated(input: In<'_>) -> Outcome {
    let public = Blob(input.bytes("encapsulation_key"));
    let randomness = input.bytes("randomness");
    let seeded = Seeded::replay([randomness.clone()]);
    let (ciphertext, secret) = encapsulate(public.as_ref(), &Operations::default())?;
    assert_eq!(seeded.left(), 0);
    let (again, other) = encapsulate_from(public.as_ref(), &randomness.try_into().unwrap())?;
    assert_eq!((&again, other.expose()), (&ciphertext, secret.expose()));
    Ok(json!({ "ciphertext": hex(ciphertext), "secret": hex(secret.expose()) }))
}
