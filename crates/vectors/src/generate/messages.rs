//! `messages.json`: every message in its one form, and the forms that are none; headers, frames, policies, cookies.

use sealwort_pki::KeyUse;
use sealwort_proto::codec::to_bytes;
use sealwort_proto::policy::Policies;
use serde_json::{Value, json};

use super::Maker;
use super::directives::{Directive, sign_directive};
use super::logs::{receipt, signed};
use super::records::{PATIENT, log};
use super::statements::{registration, sign_registration, signed_erasure, signed_log_request};
use crate::cbor;
use crate::check::Library;
use crate::setting::{EXCHANGE, NOW, after};
use crate::vector::{File, bytes, hex};

pub(super) fn make(library: &Library) -> File {
    let comment = "Messages in their one form, and other forms; headers, frames, policies, cookies.";
    let mut m = Maker::new(library, "messages", comment);
    messages(&mut m, library);
    forms(&mut m);
    headers(&mut m);
    frames(&mut m);
    policies(&mut m);
    cookies(&mut m, library);
    m.done()
}

fn b(byte: u8, length: usize) -> Value {
    cbor::bytes(vec![byte; length])
}

fn message(m: &mut Maker<'_>, name: &str, rule: &str, section: &str, content: &Value) {
    let input = json!({ "rule": rule, "bytes": hex(cbor::from_json(content)) });
    let output = m.good(name, "message", section, "", input);
    assert_eq!(output["content"], *content, "{name}");
    m.cddl(&[("input.bytes", rule)]);
}

/// Messages that are in no run of the other files, each choice once.
fn messages(m: &mut Maker<'_>, library: &Library) {
    let refusal = json!(["archive", "conflict", "contradicts what is stored", "look at what is stored"]);
    let own = library.setting.credential("hospital-a", KeyUse::Statement);
    let authors = json!([own.chain.certificates().iter().map(cbor::bytes).collect::<Vec<_>>()]);
    let sealed = &log(library, 1)[0];
    let envelope = cbor::bytes(bytes(&sealed["bytes"]));
    let entry = json!([envelope, cbor::bytes(bytes(&sealed["ciphertext"]))]);
    let registered = cbor::bytes(sign_registration(&registration(library), &own.key));
    let directed = cbor::bytes(sign_directive(library, &Directive::first()));
    let receipt = cbor::bytes(bytes(&signed(library, &receipt(), "archive")));
    let [erasure, certificate] = signed_erasure(library).map(cbor::bytes);
    let asked = cbor::bytes(signed_log_request(library));
    let log_head = json!(["a checkpoint\n", "a cosigned checkpoint\n", [b(9, 32)], authors]);
    let first_page = json!([70_000, 3001, log_head, [[12, b(0x83, 40)], [3000, b(0x84, 50)]], [b(7, 32), b(8, 32)]]);
    let last_page = json!([70_000, null, null, [[3001, b(0x85, 40)]], [b(7, 32)]]);
    let patient = cbor::bytes(PATIENT);
    let hospital = library.setting.identity("hospital-b");
    let notice = json!([b(0x74, 16), patient, hospital, "dr-b", "physician", "BTG", "unconscious", NOW.as_secs()]);
    let half = json!([1, b(0x21, 16), null, b(0x51, 32)]);
    for (name, rule, section, content) in [
        ("locate", "to-broker", "7.1", json!([0, [[b(1, 32), b(2, 32)]]])),
        ("allot", "to-broker", "7.1", json!([1, [[b(1, 32)]]])),
        ("register-at-broker", "to-broker", "7.1", json!([2, [registered, directed]])),
        ("direct-at-broker", "to-broker", "7.1", json!([3, [directed]])),
        ("consent-asked", "to-broker", "7.1", json!([4, [patient]])),
        ("witness-told", "to-broker", "7.1", json!([7, [receipt]])),
        ("witnessed-asked", "to-broker", "7.1", json!([8, [patient, 300]])),
        ("erase-at-broker", "to-broker", "7.1", json!([9, [erasure]])),
        ("erased-at-broker", "from-broker", "7.1", json!([9, [certificate]])),
        ("log-asked-of-broker", "to-broker", "7.1", json!([10, [asked, 0, 0]])),
        ("log-told-by-broker", "from-broker", "7.1", json!([10, [first_page]])),
        ("emergencies-asked", "to-broker", "7.1", json!([11, [[b(0x74, 16)]]])),
        ("no-emergencies-told", "from-broker", "7.1", json!([11, [[]]])),
        ("emergencies-told", "from-broker", "7.1", json!([11, [[notice]]])),
        ("heads-told", "from-broker", "7.1", json!([8, [[[301, b(7, 32)], [305, b(8, 32)]]]])),
        ("no-heads-told", "from-broker", "7.1", json!([8, [[]]])),
        ("located", "from-broker", "7.1", json!([0, [registered]])),
        ("not-located", "from-broker", "7.1", json!([1, []])),
        ("allotted", "from-broker", "7.1", json!([2, [patient]])),
        ("kept-at-broker", "from-broker", "7.1", json!([3, []])),
        ("consent-told", "from-broker", "7.1", json!([4, [registered, directed]])),
        ("refused-by-broker", "from-broker", "7.1", json!([7, [refusal]])),
        ("register-at-archive", "to-archive", "7.3", json!([0, [registered, directed]])),
        ("direct-at-archive", "to-archive", "7.3", json!([1, [directed]])),
        ("fetch", "to-archive", "7.3", json!([3, [b(5, 16), 300]])),
        ("deposit", "to-archive", "7.3", json!([4, [b(5, 16), b(6, 16), 0, b(7, 32), 2]])),
        ("entries-sent", "to-archive", "7.3", json!([5, [[entry]]])),
        ("erase-at-archive", "to-archive", "7.3", json!([6, [erasure]])),
        ("erased-at-archive", "from-archive", "7.3", json!([7, [certificate]])),
        ("log-asked-of-archive", "to-archive", "7.3", json!([7, [asked, 3001, 70_000]])),
        ("log-told-by-archive", "from-archive", "7.3", json!([8, [last_page]])),
        ("kept-at-archive", "from-archive", "7.3", json!([0, []])),
        ("entries-with-authors", "from-archive", "7.3", json!([2, [[entry], authors]])),
        ("entries-withheld", "from-archive", "7.3", json!([2, [[[envelope]], []]])),
        ("end", "from-archive", "7.3", json!([3, [receipt]])),
        ("stored", "from-archive", "7.3", json!([4, [receipt]])),
        ("conflict", "from-archive", "7.3", json!([5, [70_000, b(7, 32)]])),
        ("refused-by-archive", "from-archive", "7.3", json!([6, [refusal]])),
        (
            "archive-grant-for-a-reader",
            "archive-grant",
            "7.3",
            json!([b(5, 16), NOW.as_secs(), [b(0x21, 16)], [half], registered, 0, b(7, 32)]),
        ),
        ("notice-alive", "notice", "7.6", json!([0, []])),
        ("notice-consent-changed", "notice", "7.6", json!([1, [patient]])),
        ("notice-head-moved", "notice", "7.6", json!([2, [patient]])),
        ("notice-look-anew", "notice", "7.6", json!([3, []])),
        ("notice-emergency", "notice", "7.6", json!([4, []])),
        (
            "request-of-an-emergency",
            "access-request",
            "7.2",
            json!([
                [1, EXCHANGE, 1, b(7, 32)],
                patient,
                "emergency",
                [b(0x21, 16)],
                "BTG",
                [b(0x74, 16), NOW.as_secs(), "unconscious"],
                "dr-b",
                "physician"
            ]),
        ),
        ("broker-call-offer-refused", "broker-call-reply", "4.4", json!([1, [refusal]])),
        ("refusal", "refusal", "10", refusal.clone()),
        ("cookie-demand", "cookie-demand", "4.1", json!([[1, EXCHANGE, 1, b(0, 32)], b(9, 40)])),
        ("confirm", "confirm", "4.4", json!([b(9, 32)])),
    ] {
        message(m, &format!("message-{name}"), rule, section, &content);
    }
}

/// One message, `deposit`, written in every way but its own.
fn forms(m: &mut Maker<'_>) {
    let right = cbor::from_json(&json!([4, [b(5, 16), b(6, 16), 0, b(7, 32), 2]]));
    let bad = |m: &mut Maker<'_>, name: &str, rule: &str, comment: &str, bytes: Vec<u8>| {
        let input = json!({ "rule": rule, "bytes": hex(bytes) });
        m.bad(&format!("message-{name}"), "message", "1.1", comment, input, "message-malformed");
    };
    let replaced = |from: &[u8], to: &[u8]| {
        let at = right.windows(from.len()).rposition(|window| window == from).unwrap();
        [&right[..at], to, &right[at + from.len()..]].concat()
    };
    // 0x02 at the end is the number of entries, 0x50 begins 16 bytes, 0x58 0x20 begins 32.
    let last = |to: &[u8]| [&right[..right.len() - 1], to].concat();
    let text = cbor::from_json(&json!([4, ["0123456789abcdef", b(6, 16), 0, b(7, 32), 2]]));
    let mut invalid = cbor::from_json(&json!(["archive", "c", "r", "m"]));
    invalid[2] = 0xff;
    let cases: [(&str, &str, Vec<u8>); 16] = [
        ("not-shortest-integer", "2 is written in two bytes.", last(&[0x18, 0x02])),
        ("not-shortest-length", "A length of 16 is written in two bytes.", replaced(&[0x50, 6], &[0x58, 0x10, 6])),
        ("indefinite-array", "The fields are an indefinite array.", {
            let mut bytes = replaced(&[0x85], &[0x9f]);
            bytes.push(0xff);
            bytes
        }),
        (
            "indefinite-bytes",
            "A byte string comes in pieces.",
            replaced(&[&[0x50][..], &[6; 16]].concat(), &[&[0x5f, 0x50][..], &[6; 16], &[0xff]].concat()),
        ),
        ("trailing-byte", "A byte follows the message.", [&right[..], &[0]].concat()),
        ("cut", "The last byte is missing.", right[..right.len() - 1].to_vec()),
        ("empty", "No bytes at all.", Vec::new()),
        ("extra-field", "The record has a sixth field.", [&replaced(&[0x85], &[0x86])[..], &[0]].concat()),
        ("missing-field", "The record has four fields.", replaced(&[0x85], &[0x84])[..right.len() - 1].to_vec()),
        ("unknown-choice", "There is no choice 9.", replaced(&[0x82, 4], &[0x82, 9])),
        (
            "id-of-17-bytes",
            "A deposit id has 16 bytes.",
            replaced(&[&[0x50][..], &[6; 16]].concat(), &[&[0x51][..], &[6; 17]].concat()),
        ),
        ("number-too-large", "The number of entries has at most four bytes.", last(&[0x1b, 0, 0, 0, 1, 0, 0, 0, 0])),
        ("negative-number", "A number is negative.", last(&[0x20])),
        ("float", "A number is written as a float.", last(&[0xf9, 0x40, 0x00])),
        ("tagged", "The message has a CBOR tag.", [&[0xd8, 0x18][..], &right].concat()),
        ("map-for-a-record", "The fields are a map.", replaced(&[0x85], &[0xa5])),
    ];
    for (name, comment, bytes) in cases {
        bad(m, name, "to-archive", comment, bytes);
    }
    bad(m, "text-for-bytes", "to-archive", "An id is a text.", text);
    bad(m, "text-not-utf-8", "refusal", "A text is not UTF-8.", invalid);
    let written = cbor::from_json(&json!([b(0xe1, 5), null]));
    bad(m, "absent-field-as-null", "wire-entry", "A field that is absent at the end is left out.", written);
    let many = vec![0x80; 32 * 1024 + 1];
    let long = cbor::from_json(&json!([[1, EXCHANGE, 1, b(0, 32)], cbor::bytes(many)]));
    bad(m, "longer-than-32-kib", "cookie-demand", "HANDSHAKE_BYTES_MAX.", long);
}

fn headers(m: &mut Maker<'_>) {
    let header = |version: u64, exchange: &str, step: u64, session: u8| {
        json!({
            "header": hex(cbor::from_json(&json!([version, exchange, step, b(session, 32)]))),
            "exchange": EXCHANGE, "step": 4, "session": hex([7; 32]),
        })
    };
    m.good("header-as-awaited", "header-check", "1.1", "", header(1, EXCHANGE, 4, 7));
    for (name, input, code) in [
        ("header-of-another-version", header(2, "other", 5, 8), "version-unknown"),
        ("header-of-another-exchange", header(1, "other", 5, 8), "exchange-wrong"),
        ("header-of-another-step", header(1, EXCHANGE, 5, 8), "step-wrong"),
        ("header-of-another-session", header(1, EXCHANGE, 4, 8), "session-wrong"),
    ] {
        m.bad(name, "header-check", "1.1", "What comes later is wrong as well: the first is named.", input, code);
    }
}

fn frames(m: &mut Maker<'_>) {
    let frame = |receiver: u8, message: &[u8]| {
        [&[receiver][..], &u32::try_from(message.len()).unwrap().to_be_bytes(), message].concat()
    };
    let stream = [frame(1, b"one"), frame(0, b"a receipt"), frame(1, b"")].concat();
    m.good("frames", "frames", "5.4", "For the far end, the broker, the far end.", json!({ "bytes": hex(&stream) }));
    for (name, comment, bytes) in [
        ("frame-for-receiver-2", "Receivers are 0 and 1.", frame(2, b"one")),
        ("frame-too-long", "20 MiB and 257 bytes are announced.", vec![1, 1, 0x40, 1, 1]),
        ("frame-cut", "The stream ends inside a frame.", stream[..4].to_vec()),
    ] {
        m.bad(name, "frames", "5.4", comment, json!({ "bytes": hex(bytes) }), "message-malformed");
    }
}

/// The standard policies with other software, so that a new version changes no vector.
pub(crate) fn standard() -> Policies {
    Policies { software: "sealwort vectors".into(), ..Policies::standard() }
}

fn policies(m: &mut Maker<'_>) {
    let own = standard();
    let input = |demanded: &Policies| json!({ "own": hex(to_bytes(&own)), "demanded": hex(to_bytes(demanded)) });
    m.good("policies-hashed", "policies-hash", "4.5", "", json!({ "policies": hex(to_bytes(&own)) }));
    m.cddl(&[("input.policies", "policies")]);
    m.good("policies-the-same", "policies-admit", "4.5", "", input(&own));
    let less = Policies {
        token_lifetime_seconds: 1,
        clock_skew_seconds: 0,
        purposes: vec!["TREAT".into()],
        retention_days: 0,
        software: "another".into(),
        ..own.clone()
    };
    m.good("policies-demanding-less", "policies-admit", "4.5", "Whatever the software.", input(&less));
    let changed = |change: fn(&mut Policies)| {
        let mut demanded = own.clone();
        change(&mut demanded);
        input(&demanded)
    };
    for (name, change, code) in [
        ("policies-of-another-suite", (|p| p.suite = 2) as fn(&mut Policies), "suite-unknown"),
        ("policies-lifetime-zero", |p| p.token_lifetime_seconds = 0, "policy-mismatch"),
        ("policies-lifetime-too-long", |p| p.token_lifetime_seconds = 61, "policy-mismatch"),
        ("policies-skew-too-wide", |p| p.clock_skew_seconds = 31, "policy-mismatch"),
        ("policies-purpose-not-served", |p| p.purposes.push("XRESCH".into()), "policy-mismatch"),
        ("policies-purposes-not-sorted", |p| p.purposes.reverse(), "policy-mismatch"),
        ("policies-retention-too-long", |p| p.retention_days += 1, "policy-mismatch"),
    ] {
        m.bad(name, "policies-admit", "4.5", "", changed(change), code);
    }
    let purposes = (0..33).map(|n| format!("P{n:02}")).collect();
    let many = Policies { purposes, ..own.clone() };
    let all = json!({ "own": hex(to_bytes(&many)), "demanded": hex(to_bytes(&many)) });
    m.bad("policies-with-33-purposes", "policies-admit", "4.5", "All of them are served.", all, "policy-mismatch");
}

fn cookies(m: &mut Maker<'_>, library: &Library) {
    let key = library.setting.json().value("cookie_key");
    let (nonce, hop) = (hex([0x31; 32]), hex([0x32; 32]));
    let made = json!({ "key": key, "nonce": nonce, "hop": hop, "time": NOW.as_secs() });
    let cookie = m.good("cookie", "cookie", "4.1", "", made)["cookie"].clone();
    let check = |cookie: &Value, nonce: &Value, hop: &Value, now: u64| json!({ "key": key, "cookie": cookie, "nonce": nonce, "hop": hop, "now": now });
    let last = after(30).as_secs();
    m.good("cookie-in-its-last-second", "cookie-check", "4.1", "", check(&cookie, &nonce, &hop, last));
    let other = hex([0x33; 32]);
    let mut altered = bytes(&cookie);
    altered[7] ^= 1;
    for (name, input) in [
        ("cookie-stale", check(&cookie, &nonce, &hop, last + 1)),
        ("cookie-of-the-future", check(&cookie, &nonce, &hop, NOW.as_secs() - 1)),
        ("cookie-of-another-hop", check(&cookie, &nonce, &other, NOW.as_secs())),
        ("cookie-of-another-nonce", check(&cookie, &other, &hop, NOW.as_secs())),
        ("cookie-with-another-time", check(&hex(altered), &nonce, &hop, NOW.as_secs())),
        ("cookie-empty", check(&hex([]), &nonce, &hop, NOW.as_secs())),
    ] {
        m.bad(name, "cookie-check", "4.1", "", input, "cookie-needed");
    }
    let parties = [("hospital-a", 0x41u8), ("broker", 0x42), ("archive", 0x43)].map(|(party, nonce)| {
        let chain = library.setting.credential(party, KeyUse::Statement).chain;
        json!({
            "identity": library.setting.identity(party), "certificate": hex(chain.leaf()), "nonce": hex([nonce; 32]),
        })
    });
    m.good("session-id", "session-id", "4.2", "Of L, T and M.", json!({ "parties": parties }));
}
