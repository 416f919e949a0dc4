//! `authentication.json`: a run of the nine steps, and its messages altered one at a time.

use sealwort_pki::KeyUse;
use sealwort_proto::codec::to_bytes;
use sealwort_proto::crypto::{Secret, mac};
use serde_json::{Value, json};

use super::Maker;
use super::messages::standard;
use crate::cbor::{self, replaced};
use crate::check::Library;
use crate::forge::{Run, channel_message};
use crate::setting::{NOW, after};
use crate::vector::{File, bytes, hex};

/// The run that other vectors name.
pub(crate) const RUN: &str = "authentication";
const HOP_LT: [u8; 32] = [0x1a; 32];

/// The inputs of a run.
fn input(gateway: &str) -> Value {
    let policies = hex(to_bytes(&standard()));
    let bytes =
        |first: u8, length: usize| hex((0..length).map(|n| first ^ u8::try_from(n).unwrap()).collect::<Vec<_>>());
    json!({
        "gateway": gateway, "broker": "broker", "archive": "archive", "trust": "demo", "now": NOW.as_secs(),
        "hop_lt": hex(HOP_LT), "hop_tm": hex([0x1b; 32]),
        "policies": { "gateway": policies, "broker": policies, "archive": policies },
        "nonces": { "gateway": hex([0x2a; 32]), "broker": hex([0x2b; 32]), "archive": hex([0x2c; 32]) },
        "kem_seeds": { "LT": bytes(0x40, 32), "TM": bytes(0x60, 32), "LM": bytes(0x80, 32) },
        "kem_randomness": { "LT": bytes(0x40, 64), "TM": bytes(0x80, 64), "LM": bytes(0xc0, 64) },
    })
}

pub(super) fn make(library: &Library) -> File {
    let comment = "A run of the nine steps with everything between, and its messages altered one at a time.";
    let mut m = Maker::new(library, "authentication", comment);
    m.good(RUN, "authentication", "4", "All nine steps, Ed25519.", input("hospital-a"));
    m.cddl(&[
        ("output.messages.1", "hello"),
        ("output.messages.2", "introduction"),
        ("output.messages.3-acceptance", "acceptance"),
        ("output.messages.3-presentation", "presentation"),
        ("output.messages.4", "signed-share"),
        ("output.messages.6", "signed-share"),
        ("output.messages.7", "signed-answer"),
        ("output.messages.offer", "channel-message"),
        ("output.messages.offer-content", "broker-call"),
        ("output.messages.8", "channel-message"),
        ("output.messages.8-content", "broker-call-reply"),
        ("output.messages.8-share", "signed-share"),
        ("output.messages.5", "broker-answer"),
        ("output.messages.5-answer", "signed-answer"),
        ("output.messages.9", "completion"),
        ("output.messages.9-answer", "signed-answer"),
        ("output.messages.9-confirm", "channel-message"),
        ("output.messages.complete", "channel-message"),
        ("output.messages.complete-content", "broker-call"),
        ("output.messages.confirm", "channel-message"),
        ("output.messages.confirm-content", "broker-call-reply"),
        ("output.messages.confirm-message", "channel-message"),
    ]);
    for pair in ["LT", "TM", "LM"] {
        m.cddl(&[(&format!("output.pairs.{pair}.share"), "share"), (&format!("output.pairs.{pair}.answer"), "answer")]);
    }
    m.done()
}

/// The altered messages, in a file of their own, since they name the run.
pub(super) fn make_altered(library: &Library) -> File {
    let mut m =
        Maker::new(library, "authentication-altered", "Messages of the run `authentication`, altered one at a time.");
    let output = m.output(RUN);
    let run = Run { library, output: &output };
    hellos(&mut m, &run);
    introductions(&mut m, &run);
    presentations(&mut m, &run);
    shares(&mut m, &run);
    answers(&mut m, &run);
    confirmations(&mut m, &run);
    m.done()
}

fn altered(step: &str, message: &[u8]) -> Value {
    json!({ "run": RUN, "step": step, "message": hex(message) })
}

fn with(mut input: Value, member: &str, value: Value) -> Value {
    input[member] = value;
    input
}

fn bad(m: &mut Maker<'_>, name: &str, section: &str, comment: &str, input: Value, code: &str) {
    m.bad(name, "authentication-receive", section, comment, input, code);
}

fn chain(library: &Library, party: &str, key_use: KeyUse) -> Value {
    library.setting.credential(party, key_use).chain.certificates().iter().map(cbor::bytes).collect()
}

fn hellos(m: &mut Maker<'_>, run: &Run<'_>) {
    let library = run.library;
    let hello = run.message("1");
    let one = |path: &[usize], value: Value| altered("1", &replaced(&hello, path, value));
    let mut bad = |name: &str, comment: &str, input: Value, code: &str| {
        bad(m, &format!("hello-{name}"), "4.1", comment, input, code);
    };
    bad("of-another-version", "", one(&[0, 0], json!(2)), "version-unknown");
    bad("of-another-exchange", "", one(&[0, 1], json!("north")), "exchange-wrong");
    bad("of-another-step", "", one(&[0, 2], json!(2)), "step-wrong");
    bad("with-a-session", "There is none yet.", one(&[0, 3], cbor::bytes([1; 32])), "session-wrong");
    bad("of-another-suite", "", one(&[1], json!(2)), "suite-unknown");
    let nonce = one(&[2], cbor::bytes([1; 31]));
    bad("nonce-of-31-bytes", "", nonce, "message-malformed");
    bad("with-trailing-byte", "", altered("1", &[&hello[..], &[0]].concat()), "message-malformed");
    let archive = json!(library.setting.identity("archive-2"));
    bad("for-another-archive", "T serves `archive`.", one(&[4], archive), "party-wrong");
    let connection = json!(library.setting.identity("hospital-b"));
    let elsewhere = with(altered("1", &hello), "connection", connection.clone());
    bad("on-another-connection", "hospital-b brings hospital-a's hello.", elsewhere, "party-wrong");
    let refused = "certificate-refused";
    bad("with-a-broker-certificate", "", one(&[3], chain(library, "archive", KeyUse::Statement)), refused);
    bad("with-a-hop-certificate", "", one(&[3], chain(library, "hospital-a", KeyUse::Hop)), refused);
    let leaf = json!([chain(library, "hospital-a", KeyUse::Statement)[0]]);
    bad("without-issuing-certificate", "", one(&[3], leaf), refused);
    let blind = with(altered("1", &hello), "trust", json!("demo-without-list"));
    bad("without-a-revocation-list", "T has none in force and believes nobody.", blind, refused);
    let ended = with(altered("1", &hello), "now", json!(after(73 * 3600).as_secs()));
    bad("after-its-certificate-ended", "", ended, refused);
    let revoked = one(&[3], chain(library, "hospital-b", KeyUse::Statement));
    let revoked = with(with(revoked, "trust", json!("demo-revoking")), "connection", connection);
    bad("of-a-revoked-hospital", "hospital-b on its own connection.", revoked, refused);

    let loaded = |cookie: Vec<u8>| with(one(&[5], cbor::bytes(cookie)), "load", json!(true));
    let cookie = |at: u64| {
        let key = Secret::new(library.setting.json().array("cookie_key"));
        let nonce = bytes(&cbor::to_json(&hello)[2]["bytes"]);
        let time = at.to_be_bytes();
        [&time[..], &mac(&key, "sealwort cookie v1", &[&nonce, &HOP_LT, &time])].concat()
    };
    bad("under-load-without-cookie", "", loaded(Vec::new()), "cookie-needed");
    bad("under-load-with-a-stale-cookie", "31 seconds old.", loaded(cookie(NOW.as_secs() - 31)), "cookie-needed");
    let comment = "The hello is served.";
    m.good(
        "hello-under-load-with-a-cookie",
        "authentication-receive",
        "4.1",
        comment,
        loaded(cookie(NOW.as_secs() - 30)),
    );
}

fn introductions(m: &mut Maker<'_>, run: &Run<'_>) {
    let library = run.library;
    let introduction = run.message("2");
    let hello = run.message("1");
    let one = |path: &[usize], value: Value| altered("2", &replaced(&introduction, path, value));
    let nested = |path: &[usize], value: Value| one(&[1], cbor::bytes(replaced(&hello, path, value)));
    let mut bad = |name: &str, comment: &str, input: Value, code: &str| {
        bad(m, &format!("introduction-{name}"), "4.1", comment, input, code);
    };
    bad("of-another-exchange", "", one(&[0, 1], json!("north")), "exchange-wrong");
    bad("of-another-step", "", one(&[0, 2], json!(1)), "step-wrong");
    bad("hello-of-another-step", "The hello inside.", nested(&[0, 2], json!(2)), "step-wrong");
    bad("hello-of-another-suite", "The hello inside.", nested(&[1], json!(2)), "suite-unknown");
    let trailing = one(&[1], cbor::bytes([&hello[..], &[0]].concat()));
    bad("hello-with-trailing-byte", "The hello inside.", trailing, "message-malformed");
    let archive = json!(library.setting.identity("archive-2"));
    bad("for-another-archive", "", nested(&[4], archive), "party-wrong");
    let connection = json!("sealwort://demo/broker/broker-2");
    bad("on-another-connection", "", with(altered("2", &introduction), "connection", connection), "party-wrong");
    let gateway = chain(library, "hospital-b", KeyUse::Statement);
    bad("by-a-gateway", "hospital-b's certificate.", one(&[3], gateway), "certificate-refused");
    let broker = chain(library, "broker", KeyUse::Statement);
    bad(
        "of-a-broker-as-gateway",
        "The hello has the broker's certificate.",
        nested(&[3], broker),
        "certificate-refused",
    );
    let revoked = nested(&[3], chain(library, "hospital-b", KeyUse::Statement));
    let revoked = with(revoked, "trust", json!("demo-revoking"));
    bad("of-a-revoked-hospital", "M looks for itself.", revoked, "certificate-refused");
}

fn presentations(m: &mut Maker<'_>, run: &Run<'_>) {
    let library = run.library;
    let (acceptance, presentation) = (run.message("3-acceptance"), run.message("3-presentation"));
    let at_t = |path: &[usize], value: Value| altered("3-acceptance", &replaced(&acceptance, path, value));
    let at_l = |path: &[usize], value: Value| altered("3-presentation", &replaced(&presentation, path, value));
    let nested = |path: &[usize], value: Value| at_l(&[3], cbor::bytes(replaced(&acceptance, path, value)));
    let other = || cbor::bytes([0x2d; 32]);
    let mut bad = |name: &str, comment: &str, input: Value, code: &str| bad(m, name, "4.2", comment, input, code);
    let session = "session-wrong";
    bad("acceptance-with-another-nonce", "The session id is another.", at_t(&[1], other()), session);
    bad("acceptance-of-another-session", "", at_t(&[0, 3], other()), session);
    bad("acceptance-of-another-step", "", at_t(&[0, 2], json!(2)), "step-wrong");
    let second = || chain(library, "archive-2", KeyUse::Statement);
    bad("acceptance-by-another-archive", "", at_t(&[2], second()), "party-wrong");
    let gateway = || chain(library, "hospital-b", KeyUse::Statement);
    bad("acceptance-by-a-gateway", "", at_t(&[2], gateway()), "certificate-refused");
    bad("presentation-with-another-nonce", "The session id is another.", at_l(&[1], other()), session);
    bad("presentation-of-another-session", "", at_l(&[0, 3], other()), session);
    bad("presentation-of-another-exchange", "", at_l(&[0, 1], json!("north")), "exchange-wrong");
    bad("presentation-by-a-gateway", "", at_l(&[2], gateway()), "certificate-refused");
    bad("presentation-by-another-archive", "The acceptance inside.", nested(&[2], second()), "party-wrong");
    bad("presentation-with-another-nonce-of-the-archive", "The acceptance inside.", nested(&[1], other()), session);
    let connection = json!("sealwort://demo/broker/broker-2");
    let elsewhere = with(altered("3-presentation", &presentation), "connection", connection);
    bad("presentation-on-another-connection", "", elsewhere, "party-wrong");
    let blind = with(altered("3-presentation", &presentation), "trust", json!("demo-without-list"));
    bad("presentation-without-a-revocation-list", "", blind, "certificate-refused");
}

/// Changes one place of the last part, the share or the answer.
fn place(path: &'static [usize], value: Value) -> impl FnOnce(&mut Vec<Vec<u8>>) {
    move |parts| {
        let last = parts.last_mut().unwrap();
        *last = replaced(last, path, value);
    }
}

fn shares(m: &mut Maker<'_>, run: &Run<'_>) {
    let mut bad = |name: &str, section: &str, comment: &str, input: Value, code: &str| {
        bad(m, &format!("share-{name}"), section, comment, input, code);
    };
    let own = "hospital-a";
    let four = |change: &dyn Fn(&mut Vec<Vec<u8>>)| altered("4", &run.share("LT", own, 4, |parts| change(parts)));
    let set = |path: &'static [usize], value: Value| altered("4", &run.share("LT", own, 4, place(path, value)));
    let wrong = "signature-wrong";
    let mut flipped = run.message("4");
    *flipped.last_mut().unwrap() ^= 1;
    bad("signature-altered", "4.3", "", altered("4", &flipped), wrong);
    bad("signed-by-another-gateway", "4.3", "", altered("4", &run.share("LT", "hospital-b", 4, |_| ())), wrong);
    bad("signed-for-another-step", "4.3", "6 where 4 belongs.", altered("4", &run.share("LT", own, 6, |_| ())), wrong);
    bad("signed-over-another-session", "4.3", "", four(&|parts| parts[1] = vec![0x2d; 32]), wrong);
    bad("signed-over-another-pair", "4.3", "", four(&|parts| parts[0] = b"LM".to_vec()), wrong);
    bad(
        "signed-over-another-hop",
        "4.3",
        "Lifted off another connection.",
        four(&|parts| parts[2] = vec![0x2d; 32]),
        wrong,
    );
    bad("signed-without-the-hello", "4.3", "", four(&|parts| drop(parts.remove(3))), wrong);
    bad("of-another-step", "4.3", "Signed all the same.", set(&[0, 2], json!(6)), "step-wrong");
    bad("of-another-session", "4.3", "Signed all the same.", set(&[0, 3], cbor::bytes([0x2d; 32])), "session-wrong");
    bad("of-another-exchange", "4.3", "Signed all the same.", set(&[0, 1], json!("north")), "exchange-wrong");
    bad("of-another-version", "4.3", "Signed all the same.", set(&[0, 0], json!(2)), "version-unknown");
    bad(
        "with-trailing-byte",
        "4.3",
        "Signed all the same.",
        four(&|parts| parts.last_mut().unwrap().push(0)),
        "message-malformed",
    );
    bad("demanding-too-long-tokens", "4.5", "61 seconds.", set(&[2, 1], json!(61)), "policy-mismatch");
    bad("demanding-another-suite", "4.5", "", set(&[2, 0], json!(2)), "suite-unknown");
    bad("demanding-too-long-retention", "4.5", "", set(&[2, 4], json!(36_500)), "policy-mismatch");
    bad("key-too-short", "2.4", "1215 bytes.", set(&[1], cbor::bytes([0; 1215])), "encapsulation-wrong");
    bad("key-not-reduced", "2.4", "FIPS 203 refuses it.", set(&[1], cbor::bytes([0xff; 1216])), "encapsulation-wrong");

    let six = |party: &str, change: &dyn Fn(&mut Vec<Vec<u8>>)| {
        altered("6", &run.share("TM", party, 6, |parts| change(parts)))
    };
    bad("of-the-broker-over-another-hop", "4.3", "Step 6.", six("broker", &|parts| parts[2] = vec![0x2d; 32]), wrong);
    bad("of-the-broker-by-a-gateway", "4.3", "Step 6, signed by hospital-a.", six("hospital-a", &|_| ()), wrong);
    let demanding = altered("6", &run.share("TM", "broker", 6, place(&[2, 2], json!(31))));
    bad("of-the-broker-demanding-a-wide-skew", "4.5", "Step 6.", demanding, "policy-mismatch");

    let eight = |party: &str, change: &dyn Fn(&mut Vec<Vec<u8>>)| {
        altered("8-share", &run.share("LM", party, 8, |parts| change(parts)))
    };
    bad(
        "of-the-archive-by-the-broker",
        "4.3",
        "Step 8, signed by T: a broker in the middle.",
        eight("broker", &|_| ()),
        wrong,
    );
    bad(
        "of-the-archive-over-another-session",
        "4.3",
        "Step 8.",
        eight("archive", &|parts| parts[1] = vec![0x2d; 32]),
        wrong,
    );
    let changed = altered("8-share", &run.share("LM", "archive", 8, place(&[2, 1], json!(59))));
    bad("of-the-archive-with-other-policies", "4.3", "Step 8 repeats what L sent.", changed, "policy-changed");
    let step = altered("8-share", &run.share("LM", "archive", 8, place(&[0, 2], json!(6))));
    bad("of-the-archive-of-another-step", "4.3", "Step 8.", step, "step-wrong");
    let key = altered("8-share", &run.share("LM", "archive", 8, place(&[1], cbor::bytes([0xff; 1216]))));
    bad("of-the-archive-key-not-reduced", "2.4", "Step 8.", key, "encapsulation-wrong");
}

fn answers(m: &mut Maker<'_>, run: &Run<'_>) {
    let mut bad = |name: &str, section: &str, comment: &str, input: Value, code: &str| {
        bad(m, &format!("answer-{name}"), section, comment, input, code);
    };
    for (pair, step, party, number, who) in [
        ("LT", "5-answer", "broker", 5, "of-the-broker"),
        ("TM", "7", "archive", 7, "of-the-archive"),
        ("LM", "9-answer", "hospital-a", 9, "of-the-gateway"),
    ] {
        let comment = &format!("Step {number}.");
        let right = run.message(step);
        let flip = |back: usize| {
            let mut message = right.clone();
            let last = message.len() - 1 - back;
            message[last] ^= 1;
            altered(step, &message)
        };
        let set =
            |path: &'static [usize], value: Value| altered(step, &run.answer(pair, party, number, place(path, value)));
        bad(&format!("{who}-confirmation-altered"), "4.4", comment, flip(0), "confirmation-wrong");
        bad(&format!("{who}-signature-altered"), "4.3", comment, flip(40), "signature-wrong");
        let accepted = set(&[2], cbor::bytes([0x2d; 32]));
        bad(&format!("{who}-to-other-policies"), "4.3", comment, accepted, "policy-changed");
        bad(&format!("{who}-of-another-step"), "4.3", comment, set(&[0, 2], json!(number - 1)), "step-wrong");
        let short = set(&[1], cbor::bytes([0; 1119]));
        bad(&format!("{who}-encapsulation-too-short"), "2.4", comment, short, "encapsulation-wrong");
        let mut encapsulation = bytes(&cbor::to_json(&run.of(pair, "answer"))[1]["bytes"]);
        encapsulation[0] ^= 1;
        let comment = &format!("Step {number}: signed and confirmed with the secret of the unaltered one.");
        let other = set(&[1], cbor::bytes(encapsulation));
        bad(&format!("{who}-encapsulation-altered"), "4.4", comment, other, "confirmation-wrong");
    }
    let by = |step: &str, pair: &str, party: &str, number: u8| altered(step, &run.answer(pair, party, number, |_| ()));
    bad("of-the-broker-by-the-archive", "4.3", "Step 5.", by("5-answer", "LT", "archive", 5), "signature-wrong");
    bad(
        "of-the-gateway-by-the-broker",
        "4.3",
        "Step 9: a broker in the middle.",
        by("9-answer", "LM", "broker", 9),
        "signature-wrong",
    );
    let hop = altered("7", &run.answer("TM", "archive", 7, |parts| parts[2] = vec![0x2d; 32]));
    bad("of-the-archive-over-another-hop", "4.3", "Step 7.", hop, "signature-wrong");
    let share = altered("9-answer", &run.answer("LM", "hospital-a", 9, |parts| parts[2][40] ^= 1));
    bad("of-the-gateway-to-another-share", "4.3", "Step 9.", share, "signature-wrong");
}

fn confirmations(m: &mut Maker<'_>, run: &Run<'_>) {
    let session = bytes(&run.output["session"]);
    let at_t = run.direction("LT", "sharer_to_answerer");
    let binding = run.of("LM", "binding");
    let confirm = cbor::from_json(&json!([cbor::bytes(&binding)]));
    let of_l = |numbers: [u64; 3], content: &[u8]| {
        altered("9-confirm", &channel_message("LT", &session, &at_t, numbers, content))
    };
    let flip = |step: &str| {
        let mut message = run.message(step);
        *message.last_mut().unwrap() ^= 1;
        altered(step, &message)
    };
    let mut bad = |name: &str, comment: &str, input: Value, code: &str| bad(m, name, "4.4", comment, input, code);
    bad(
        "confirm-of-the-gateway-altered",
        "L does not show that it has SK_LT.",
        flip("9-confirm"),
        "confirmation-wrong",
    );
    bad("confirm-of-the-gateway-as-a-reply", "", of_l([0, 1, 1], &confirm), "challenge-wrong");
    let long = [&confirm[..], &[0]].concat();
    bad("confirm-of-the-gateway-with-trailing-byte", "", of_l([0, 1, 0], &long), "message-malformed");
    let of_m = |name: &str, content: &[u8]| {
        let secret = run.direction("LM", name);
        altered("confirm-message", &channel_message("LM", &session, &secret, [0, 1, 0], content))
    };
    let other = cbor::from_json(&json!([cbor::bytes([0x2d; 32])]));
    bad(
        "confirm-of-the-archive-of-another-channel",
        "h_LM is another.",
        of_m("sharer_to_answerer", &other),
        "confirmation-wrong",
    );
    bad("confirm-of-the-archive-altered", "", flip("confirm-message"), "seal-broken");
    bad(
        "confirm-of-the-archive-in-the-other-direction",
        "What L would send.",
        of_m("answerer_to_sharer", &confirm),
        "seal-broken",
    );
}
