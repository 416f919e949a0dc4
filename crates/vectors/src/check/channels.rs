//! Section 5: messages of a channel, sealed and opened by its two ends.

use sealwort_pki::UnixTime;
use sealwort_proto::SessionId;
use sealwort_proto::channel::{Channel, End, Pair};
use sealwort_proto::crypto::{AeadKey, Prk};
use sealwort_proto::operations::Operations;
use sealwort_proto::testing::channel;
use serde_json::{Value, json};

use super::Outcome;
use super::primitives::secret;
use crate::cbor;
use crate::vector::{In, bytes, hex};

pub(super) fn run(kind: &str, input: In<'_>) -> Option<Outcome> {
    Some(match kind {
        "channel-send" => Ok(send(input)),
        "channel-receive" => receive(input),
        _ => return None,
    })
}

/// A pair by the paper's name of its key.
pub(super) fn pair(name: &str) -> Pair {
    let all = [Pair::GatewayBroker, Pair::BrokerArchive, Pair::GatewayArchive];
    all.into_iter().find(|pair| pair.as_str() == name).expect("a pair")
}

/// The sending and the receiving end.
fn ends(input: In<'_>) -> (Channel, Channel) {
    let make = |end| {
        let session = SessionId::new(input.array("session"));
        let established = UnixTime::from_secs(input.uint("established"));
        channel(pair(input.text("pair")), end, session, &secret(input, "key"), established)
    };
    match input.text("from") {
        "sharer" => (make(End::Sharer), make(End::Answerer)),
        "answerer" => (make(End::Answerer), make(End::Sharer)),
        other => panic!("{other} is no end"),
    }
}

fn send(input: In<'_>) -> Value {
    let (sender, receiver) = ends(input);
    let label = match input.text("from") {
        "sharer" => "sealwort sharer to answerer v1",
        _ => "sealwort answerer to sharer v1",
    };
    let first = Prk::from_secret(&secret(input, "key")).expand(label, &[input.text("pair").as_bytes()]);
    let mut messages = Vec::new();
    for sent in input.list("sent").iter().map(In) {
        let now = UnixTime::from_secs(sent.uint("at"));
        let (reply_to, content) = (sent.uint("reply_to"), sent.bytes("content"));
        let message = match reply_to {
            0 => sender.request(&content, now).unwrap().1,
            to => sender.reply(to, &content, now).unwrap(),
        };

        // The same by hand.
        let shown = cbor::to_json(&message);
        let generation = shown[2].as_u64().unwrap();
        let number = shown[3].as_u64().unwrap();
        let mut direction = first.clone();
        for _ in 0..generation {
            direction = Prk::from_secret(&direction).expand("sealwort next v1", &[]);
        }
        let key = Prk::from_secret(&direction).expand("sealwort key v1", &[]);
        let session = cbor::bytes(input.bytes("session"));
        let associated =
            cbor::from_json(&json!([input.text("pair"), 1, session.clone(), generation, number, reply_to]));
        let mut ciphertext = content.clone();
        AeadKey::new(&key).seal(number, &associated, &mut ciphertext, &Operations::default());
        let by_hand = cbor::from_json(&json!([1, session, generation, number, reply_to, cbor::bytes(ciphertext)]));
        assert_eq!(by_hand, message);

        let opened = match reply_to {
            0 => receiver.open_request(&message, now).unwrap().content,
            to => receiver.open_reply(to, &message, now).unwrap(),
        };
        assert_eq!(opened, content);
        messages.push(json!({
            "generation": generation, "number": number, "key": hex(key.expose()), "associated": hex(associated),
            "message": hex(message),
        }));
    }
    json!({ "secret": hex(first.expose()), "messages": messages })
}

fn receive(input: In<'_>) -> Outcome {
    let (_, receiver) = ends(input);
    let established = UnixTime::from_secs(input.uint("established"));
    let open = |message: &[u8], reply_to: u64, now| match reply_to {
        0 => receiver.open_request(message, now).map(|opened| opened.content),
        to => receiver.open_reply(to, message, now),
    };
    for before in input.list("before") {
        let before = bytes(before);
        let reply_to = cbor::to_json(&before)[4].as_u64().unwrap();
        open(&before, reply_to, established).unwrap();
    }
    let message = input.bytes("message");
    let content = open(&message, input.uint("reply_to"), UnixTime::from_secs(input.uint("now")))?;
    let shown = cbor::to_json(&message);
    Ok(json!({ "number": shown[3], "generation": shown[2], "content": hex(content) }))
}
