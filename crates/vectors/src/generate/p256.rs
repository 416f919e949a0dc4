//! `p256.json`: what P-256 signed. ECDSA draws a fresh number for each signature, so these vectors are made once and
//! kept; only their verification is repeated.

use sealwort_pki::{KeyUse, PublicKey};
use sealwort_proto::operations::Operations;
use sealwort_proto::statement::{self, Kind};
use serde_json::json;

use super::Maker;
use crate::cbor;
use crate::check::Library;
use crate::vector::{File, hex};

/// Order of the curve's group, big endian.
const ORDER: &str = "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551";

/// Makes the file anew: only where the folder has none.
pub fn make(library: &Library) -> File {
    let mut m = Maker::new(library, "p256", "Signatures by P-256, made once: r ‖ s in statements and authentication.");
    let key = library.setting.credential("hospital-p", KeyUse::Statement).key;
    let public: &PublicKey = key.public_key();
    let signature = key.sign(b"message").unwrap();
    let verify = |message: &[u8], signature: &[u8]| json!({ "public_key": hex(public.as_bytes()), "message": hex(message), "signature": hex(signature) });
    m.good("p256-verifies", "verify", "2.5", "64 bytes, r before s.", verify(b"message", &signature));
    let mut altered = signature.clone();
    altered[40] ^= 1;
    let (r, s) = signature.split_at(32);
    let zero = [0; 32];
    let order = hex::decode(ORDER).unwrap();
    for (name, comment, message, signature) in [
        ("p256-of-another-message", "", &b"massage"[..], signature.clone()),
        ("p256-altered", "", b"message", altered),
        ("p256-in-der", "X.509's form is none here.", b"message", der(r, s)),
        ("p256-cut", "63 bytes.", b"message", signature[..63].to_vec()),
        ("p256-with-a-zero-byte", "65 bytes.", b"message", [&signature[..], &[0]].concat()),
        ("p256-s-before-r", "", b"message", [s, r].concat()),
        ("p256-r-of-zero", "", b"message", [&zero, s].concat()),
        ("p256-s-of-the-groups-order", "", b"message", [r, &order].concat()),
    ] {
        m.bad(name, "verify", "2.5", comment, verify(message, &signature), "signature-wrong");
    }
    let payload = cbor::from_json(&json!([
        [1, "demo", 1, cbor::bytes([0x5e; 32])],
        cbor::bytes([0x5f; 32]),
        "read",
        [cbor::bytes([0x21; 16])],
        "TREAT",
        null,
        "dr-jones",
        "physician"
    ]));
    let bytes = statement::sign(Kind::Request, &payload, &key, &Operations::default()).unwrap();
    let open = |bytes: &[u8], key: &PublicKey| json!({ "statement": "request", "public_key": hex(key.as_bytes()), "bytes": hex(bytes) });
    m.good("p256-statement", "statement-open", "6", "The algorithm is -7.", open(&bytes, public));
    m.cddl(&[("input.bytes", "request-statement")]);
    let (r, s) = bytes[bytes.len() - 64..].split_at(32);
    let protected = crate::forge::protected(-7, Kind::Request.content_type(), statement::key_id(public).as_bytes());
    let in_der = crate::forge::statement(&protected, &payload, &der(r, s));
    m.bad(
        "p256-statement-in-der",
        "statement-open",
        "6",
        "The signature is ASN.1.",
        open(&in_der, public),
        "signature-wrong",
    );
    let other = library.setting.public_key("hospital-a");
    m.bad("p256-statement-under-an-ed25519-key", "statement-open", "6", "", open(&bytes, &other), "signature-wrong");
    m.done()
}

/// The same two numbers in ASN.1 DER (RFC 3279, 2.2.3).
fn der(r: &[u8], s: &[u8]) -> Vec<u8> {
    let integer = |number: &[u8]| {
        let zeros = number.iter().take_while(|byte| **byte == 0).count();
        let mut digits = number[zeros.min(number.len() - 1)..].to_vec();
        if digits[0] & 0x80 != 0 {
            digits.insert(0, 0);
        }
        [&[2, u8::try_from(digits.len()).unwrap()][..], &digits].concat()
    };
    let both = [integer(r), integer(s)].concat();
    [&[0x30, u8::try_from(both.len()).unwrap()][..], &both].concat()
}
