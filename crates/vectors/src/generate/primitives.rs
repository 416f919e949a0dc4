//! `primitives.json`: section 2.

use sealwort_pki::KeyUse;
use serde_json::json;

use super::Maker;
use crate::check::Library;
use crate::vector::{File, hex, hexes};

/// First vector of draft-connolly-cfrg-xwing-kem, appendix C.
const DRAFT_SEED: &str = "7f9c2ba4e88f827d616045507605853ed73b8093f6efbc88eb1a6eacfa66ef26";
const DRAFT_RANDOMNESS: &str = "3cb1eea988004b93103cfb0aeefd2a686e01fa4a58e8a3639ca8a1e3f9ae57e2\
                                35b8cc873c23dc62b8d260169afa2f75ab916a58d974918835d25e6a435085b2";
const DRAFT_SECRET: &str = "d2df0522128f09dd8e2c92b1e905c793d8f57a54c3da25861f10bf4ca613e384";

pub(super) fn make(library: &Library) -> File {
    let mut m = Maker::new(library, "primitives", "Framing, hashes, keys, encryption, encapsulation, signatures.");
    let key = hex([0x11; 32]);
    for (name, parts) in [
        ("frame-of-nothing", vec![]),
        ("frame-of-an-empty-part", vec![vec![]]),
        ("frame-ab-c", vec![b"ab".to_vec(), b"c".to_vec()]),
        ("frame-a-bc", vec![b"a".to_vec(), b"bc".to_vec()]),
    ] {
        m.good(name, "frame", "2.1", "Each part after its length.", json!({ "parts": hexes(parts) }));
    }
    let parts = hexes([&b"one"[..], b"", b"three"]);
    let labelled = |parts| json!({ "label": "sealwort session v1", "parts": parts });
    m.good("hash-of-a-label-alone", "hash", "2.1", "No parts.", labelled(json!([])));
    m.good("hash-of-three-parts", "hash", "2.1", "The second part is empty.", labelled(parts.clone()));
    let keyed = |parts| json!({ "key": key, "label": "sealwort cookie v1", "parts": parts });
    m.good("mac-of-three-parts", "mac", "2.1", "", keyed(parts.clone()));
    m.good("expand-with-a-label-alone", "expand", "2.2", "The info is the framed label.", keyed(json!([])));
    m.good("expand-with-parts", "expand", "2.2", "The info is label and parts, framed.", keyed(parts));
    for (name, salt) in [
        ("extract-with-a-hash-as-salt", vec![0x22; 32]),
        ("extract-with-a-label-as-salt", b"sealwort record v1".to_vec()),
    ] {
        m.good(name, "extract", "2.2", "", json!({ "salt": hex(salt), "secret": hex([0x33; 32]) }));
    }
    encryption(&mut m);
    encapsulation(&mut m);
    signatures(&mut m, library);
    wrapping(&mut m);
    m.done()
}

fn encryption(m: &mut Maker<'_>) {
    let key = hex([0x44; 32]);
    let input = |number: u64| json!({ "key": key, "number": number, "associated": hex(b"associated"), "content": hex(b"content") });
    let sealed = m.good("aead-number-0", "aead-seal", "2.3", "The nonce is twelve zero bytes.", input(0));
    m.good(
        "aead-number-large",
        "aead-seal",
        "2.3",
        "The number stands in the last eight bytes of the nonce.",
        input(0x0102_0304_0506_0708),
    );
    let open = |number: u64, associated: &[u8], ciphertext: String| json!({ "key": key, "number": number, "associated": hex(associated), "ciphertext": ciphertext });
    let ciphertext = sealed["ciphertext"].as_str().unwrap().to_owned();
    m.good("aead-opens", "aead-open", "2.3", "", open(0, b"associated", ciphertext.clone()));
    m.bad(
        "aead-under-another-number",
        "aead-open",
        "2.3",
        "",
        open(1, b"associated", ciphertext.clone()),
        "seal-broken",
    );
    m.bad(
        "aead-with-other-associated-data",
        "aead-open",
        "2.3",
        "",
        open(0, b"associates", ciphertext.clone()),
        "seal-broken",
    );
    m.bad(
        "aead-with-a-cut-tag",
        "aead-open",
        "2.3",
        "The tag has 16 bytes.",
        open(0, b"associated", ciphertext[..ciphertext.len() - 2].to_owned()),
        "seal-broken",
    );
}

fn encapsulation(m: &mut Maker<'_>) {
    let key =
        m.good("x-wing-key", "kem-key", "2.4", "The seed of the draft's first vector.", json!({ "seed": DRAFT_SEED }));
    let public = key["encapsulation_key"].as_str().unwrap().to_owned();
    let input = |public: &str| json!({ "encapsulation_key": public, "randomness": DRAFT_RANDOMNESS });
    let made = m.good(
        "x-wing-encapsulate",
        "kem-encapsulate",
        "2.4",
        "The randomness of the draft's first vector.",
        input(&public),
    );
    assert_eq!(made["secret"], DRAFT_SECRET);
    let ciphertext = made["ciphertext"].as_str().unwrap().to_owned();
    let open = |ciphertext: &str| json!({ "seed": DRAFT_SEED, "ciphertext": ciphertext });
    m.good("x-wing-decapsulate", "kem-decapsulate", "2.4", "The secret is the draft's.", open(&ciphertext));
    let altered = format!("00{}", &ciphertext[2..]);
    assert_ne!(altered, ciphertext);
    m.good(
        "x-wing-implicit-rejection",
        "kem-decapsulate",
        "2.4",
        "An altered ML-KEM part gives another secret and no error.",
        open(&altered),
    );
    m.bad(
        "encapsulation-key-too-short",
        "kem-encapsulate",
        "2.4",
        "1216 bytes are needed.",
        input(&public[2..]),
        "encapsulation-wrong",
    );
    let unreduced = format!("ffffff{}", &public[6..]);
    m.bad(
        "encapsulation-key-not-reduced",
        "kem-encapsulate",
        "2.4",
        "A coefficient is 3329 or more: FIPS 203, section 7.2, refuses the key.",
        input(&unreduced),
        "encapsulation-wrong",
    );
    let low_order = format!("{}{}", &public[..2 * 1184], "00".repeat(32));
    m.bad(
        "encapsulation-key-of-low-order",
        "kem-encapsulate",
        "2.4",
        "The X25519 result is zeros.",
        input(&low_order),
        "encapsulation-wrong",
    );
    m.bad(
        "encapsulation-ciphertext-too-long",
        "kem-decapsulate",
        "2.4",
        "1120 bytes are needed.",
        open(&format!("{ciphertext}00")),
        "encapsulation-wrong",
    );
    let low_order = format!("{}{}", &ciphertext[..2 * 1088], "00".repeat(32));
    m.bad(
        "encapsulation-ciphertext-of-low-order",
        "kem-decapsulate",
        "2.4",
        "The X25519 result is zeros.",
        open(&low_order),
        "encapsulation-wrong",
    );
}

fn signatures(m: &mut Maker<'_>, library: &Library) {
    let own = library.setting.credential("hospital-a", KeyUse::Statement);
    let input = json!({ "algorithm": "ed25519", "seed": hex(own.seed), "message": hex(b"message") });
    let made = m.good("ed25519-signs", "sign", "2.5", "", input);
    let public = made["public_key"].clone();
    let verify = |message: &[u8], signature: &str| json!({ "public_key": public, "message": hex(message), "signature": signature });
    let signature = made["signature"].as_str().unwrap();
    m.good("ed25519-verifies", "verify", "2.5", "", verify(b"message", signature));
    m.bad("ed25519-of-another-message", "verify", "2.5", "", verify(b"massage", signature), "signature-wrong");
    m.bad(
        "ed25519-cut",
        "verify",
        "2.5",
        "64 bytes are needed.",
        verify(b"message", &signature[..126]),
        "signature-wrong",
    );
    for (name, party) in [("key-id-of-an-ed25519-key", "hospital-a"), ("key-id-of-a-p256-key", "hospital-p")] {
        let key = library.setting.public_key(party);
        m.good(name, "key-id", "6", "", json!({ "public_key": hex(key.as_bytes()) }));
    }
}

fn wrapping(m: &mut Maker<'_>) {
    let key = hex([0x55; 32]);
    let place = hexes([&b"broker half"[..], &[0x66; 32], &1u64.to_be_bytes()]);
    let wrapped = m.good(
        "wrap-a-half",
        "wrap",
        "2.6",
        "",
        json!({ "key": key, "place": place, "salt": hex([0x77; 32]), "content": hex([0x88; 32]) }),
    );
    let open = |place| json!({ "key": key, "place": place, "wrapped": wrapped["wrapped"] });
    m.good("unwrap-a-half", "unwrap", "2.6", "", open(place));
    let elsewhere = hexes([&b"broker half"[..], &[0x66; 32], &2u64.to_be_bytes()]);
    m.bad("unwrap-in-another-place", "unwrap", "2.6", "The epoch is another.", open(elsewhere), "seal-broken");
}
