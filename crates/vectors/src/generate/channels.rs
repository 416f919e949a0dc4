//! `channels.json`: section 5.

use sealwort_proto::crypto::{Prk, Secret};
use serde_json::{Value, json};

use super::Maker;
use crate::check::Library;
use crate::forge::channel_message;
use crate::setting::{NOW, after};
use crate::vector::{File, bytes, hex};

const SESSION: [u8; 32] = [0x5e; 32];
const KEY: [u8; 32] = [0x6b; 32];

pub(super) fn make(library: &Library) -> File {
    let mut m =
        Maker::new(library, "channels", "Messages of a channel: numbers, replies, generations, replay, end of life.");
    let sent = sending(&mut m);
    receiving(&mut m, &sent);
    m.done()
}

fn base(pair: &str, from: &str) -> Value {
    json!({ "pair": pair, "session": hex(SESSION), "key": hex(KEY), "from": from, "established": NOW.as_secs() })
}

fn sending(m: &mut Maker<'_>) -> Value {
    let mut first = None;
    for pair in ["LM", "LT", "TM"] {
        let mut input = base(pair, "sharer");
        let message = |at: u64, reply_to: u64, content: &[u8]| json!({ "at": after(at).as_secs(), "reply_to": reply_to, "content": hex(content) });
        input["sent"] = json!([
            message(0, 0, b"one"),
            message(1, 0, b""),
            message(599, 7, b"a reply"),
            message(600, 0, b"the next generation"),
            message(1199, 0, b"the same generation"),
            message(3599, 0, b"one further, however long it was"),
        ]);
        let comment = "Requests and a reply; after 600 seconds the next generation.";
        let output = m.good(&format!("channel-{pair}-from-the-sharer"), "channel-send", "5.2", comment, input);
        m.cddl(&[
            ("output.messages.0.message", "channel-message"),
            ("output.messages.0.associated", "channel-associated"),
        ]);
        first.get_or_insert(output);
    }
    let mut input = base("LM", "answerer");
    input["sent"] = json!([{ "at": NOW.as_secs(), "reply_to": 1, "content": hex(b"one") }]);
    m.good("channel-LM-from-the-answerer", "channel-send", "5.1", "The other direction has another key.", input);
    first.unwrap()
}

/// A message of the sharer's in L–M by hand.
fn sealed(generation: u64, number: u64, reply_to: u64) -> Vec<u8> {
    let mut secret = Prk::from_secret(&Secret::new(KEY)).expand("sealwort sharer to answerer v1", &[b"LM"]);
    for _ in 0..generation {
        secret = Prk::from_secret(&secret).expand("sealwort next v1", &[]);
    }
    channel_message("LM", &SESSION, &secret, [generation, number, reply_to], b"content")
}

fn receiving(m: &mut Maker<'_>, sent: &Value) {
    let input = |before: &[Vec<u8>], message: &[u8], reply_to: u64, now: u64| {
        let mut input = base("LM", "sharer");
        input["before"] = before.iter().map(hex).collect();
        (input["message"], input["reply_to"]) = (hex(message), json!(reply_to));
        input["now"] = json!(now);
        input
    };
    let now = NOW.as_secs();
    let taken = |index: usize| bytes(&sent["messages"][index]["message"]);
    let kind = "channel-receive";
    m.good("channel-request-opens", kind, "5.1", "", input(&[], &taken(0), 0, now));
    m.good("channel-reply-opens", kind, "5.1", "It answers request 7.", input(&[], &taken(2), 7, now));
    m.good(
        "channel-out-of-order",
        kind,
        "5.3",
        "Number 1 after number 4.",
        input(&[sealed(0, 4, 0)], &taken(0), 0, now),
    );
    m.good("channel-next-generation", kind, "5.2", "", input(&[taken(0)], &taken(3), 0, now));
    m.good(
        "channel-previous-generation",
        kind,
        "5.2",
        "A message of generation 0 after one of generation 1.",
        input(&[taken(3)], &taken(0), 0, now),
    );
    let edge = sealed(0, 4097, 0);
    m.good(
        "channel-at-the-edge-of-the-window",
        kind,
        "5.3",
        "4095 behind the highest.",
        input(std::slice::from_ref(&edge), &sealed(0, 2, 0), 0, now),
    );
    m.good("channel-in-its-last-second", kind, "5.3", "", input(&[], &taken(0), 0, now + 3599));
    m.good(
        "channel-largest-number",
        kind,
        "5.3",
        "2^64 - 1; afterwards nothing is new.",
        input(&[], &sealed(0, u64::MAX, 0), 0, now),
    );

    let mut bad = |name: &str, section: &str, comment: &str, input: Value, code: &str| {
        m.bad(&format!("channel-{name}"), kind, section, comment, input, code);
    };
    let altered = |place: usize| {
        let mut message = taken(0);
        let last = message.len() - 1 - place;
        message[last] ^= 1;
        message
    };
    let replaced = |place: usize, value: u64| crate::cbor::replaced(&taken(0), &[place], json!(value));
    bad("replayed", "5.3", "Number 1 twice.", input(&[taken(0)], &taken(0), 0, now), "message-replayed");
    bad("number-zero", "5.3", "", input(&[], &sealed(0, 0, 0), 0, now), "message-replayed");
    bad("behind-the-window", "5.3", "4096 behind the highest.", input(&[edge], &taken(0), 0, now), "message-replayed");
    bad("tag-altered", "5.1", "", input(&[], &altered(0), 0, now), "seal-broken");
    bad("ciphertext-altered", "5.1", "", input(&[], &altered(16), 0, now), "seal-broken");
    bad("number-altered", "5.1", "The number is authenticated.", input(&[], &replaced(3, 2), 0, now), "seal-broken");
    bad(
        "reply-to-altered",
        "5.1",
        "A request is passed off as a reply.",
        input(&[], &replaced(4, 7), 7, now),
        "seal-broken",
    );
    bad("generation-altered", "5.1", "", input(&[], &replaced(2, 1), 0, now), "seal-broken");
    bad("two-generations-ahead", "5.2", "Sealed as it should be.", input(&[], &sealed(2, 1, 0), 0, now), "seal-broken");
    let later = [sealed(1, 1, 0), sealed(2, 2, 0)];
    bad(
        "two-generations-behind",
        "5.2",
        "Generation 0 after generation 2.",
        input(&later, &sealed(0, 3, 0), 0, now),
        "seal-broken",
    );
    bad("of-another-version", "5.1", "", input(&[], &replaced(0, 2), 0, now), "version-unknown");
    let elsewhere = crate::cbor::replaced(&taken(0), &[1], crate::cbor::bytes([0x5f; 32]));
    bad("of-another-session", "5.1", "", input(&[], &elsewhere, 0, now), "session-wrong");
    bad("reply-where-a-request-is-awaited", "5.1", "", input(&[], &taken(2), 0, now), "challenge-wrong");
    bad("request-where-a-reply-is-awaited", "5.1", "", input(&[], &taken(0), 7, now), "challenge-wrong");
    bad("reply-to-another-request", "5.1", "It answers request 7.", input(&[], &taken(2), 8, now), "challenge-wrong");
    let mut reflected = input(&[], &taken(0), 0, now);
    reflected["from"] = json!("answerer");
    bad("reflected", "5.1", "It comes back to its sender.", reflected, "seal-broken");
    let mut crossed = input(&[], &taken(0), 0, now);
    crossed["pair"] = json!("LT");
    bad("of-another-pair", "5.1", "The key is the same, the pair is not.", crossed, "seal-broken");
    bad(
        "after-its-end",
        "5.3",
        "3600 seconds after it was established.",
        input(&[], &taken(0), 0, now + 3600),
        "session-exhausted",
    );
    let mut long = taken(0);
    long.push(0);
    bad("with-trailing-byte", "5.1", "", input(&[], &long, 0, now), "message-malformed");
    let short = crate::cbor::replaced(&taken(0), &[5], crate::cbor::bytes([0; 15]));
    bad("shorter-than-a-tag", "5.1", "", input(&[], &short, 0, now), "seal-broken");
}
