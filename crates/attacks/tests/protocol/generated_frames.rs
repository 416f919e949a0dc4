//! What the network, or a broker that relays, can do to streams of frames: the archive's answers to a gateway
//! (`spec/protocol.md`, section 5.4) and the broker's notices (section 7.6). Whatever it does, a receiver gets only
//! messages that were sent, each once, and an answer is not whole unless nothing was done to it.

use sealwort_pki::UnixTime;
use sealwort_pki::testing::TEST_NOW;
use sealwort_proto::ErrorKind;
use sealwort_proto::channel::Channel;
use sealwort_proto::codec::{from_bytes, to_bytes};
use sealwort_proto::crypto::Secret;
use sealwort_proto::frame::{FRAME_BYTES_MAX, FRAME_HEADER_BYTES, Frame, FrameDecoder, Receiver};
use sealwort_proto::message::{MESSAGE_BYTES_MAX, Notice};
use sealwort_proto::statement::{self, Kind};
use sealwort_proto::{ProtocolError, Pseudonym};

use super::support::chance::{Chance, seeded};
use super::support::mutation::mutations;
use super::support::tally::{Tally, is_named};

const NOW: UnixTime = TEST_NOW;
/// The request that the answers reply to.
const REQUEST: u64 = 1;

/// What a receiver made of a stream.
struct Received {
    contents: Vec<Vec<u8>>,
    refused: Option<String>,
}

fn receive(stream: &[u8], open: impl Fn(&[u8]) -> Result<Vec<u8>, ProtocolError>) -> Received {
    let mut frames = FrameDecoder::default();
    frames.push(stream);
    let mut received = Received { contents: Vec::new(), refused: None };
    loop {
        let frame = match frames.next() {
            Ok(Some(frame)) => frame,
            Ok(None) => return received,
            Err(error) => {
                received.refused = Some(ErrorKind::from(error).code().to_owned());
                return received;
            }
        };
        match open(&frame.message) {
            Ok(content) => received.contents.push(content),
            Err(error) => {
                assert!(is_named(&error), "{error}");
                received.refused = Some(error.code().to_owned());
                return received;
            }
        }
    }
}

/// A stream altered, with the class of the alteration.
fn altered(frames: &[Vec<u8>], other: &[Vec<u8>], chance: &mut Chance) -> Vec<(&'static str, Vec<u8>)> {
    let framed = |messages: &[Vec<u8>]| -> Vec<u8> {
        messages.iter().flat_map(|message| Frame::end(message.clone()).to_bytes()).collect()
    };
    let whole = framed(frames);
    let mut made = Vec::new();
    let mut start = 0;
    for at in 0..frames.len() {
        let with = |message: Vec<u8>| {
            let mut changed = frames.to_vec();
            changed[at] = message;
            framed(&changed)
        };
        for mutation in mutations(&frames[at], &other[at], chance) {
            made.push((mutation.class, with(mutation.bytes)));
        }
        made.push(("other session", with(other[at].clone())));
        let mut twice = frames.to_vec();
        twice.insert(at, frames[at].clone());
        made.push(("duplicated", framed(&twice)));
        let mut without = frames.to_vec();
        without.remove(at);
        made.push(("dropped", framed(&without)));
        for receiver in [0u8, 2, 255] {
            let mut stream = whole.clone();
            stream[start] = receiver;
            made.push(("other receiver", stream));
        }
        let length = u32::try_from(frames[at].len()).unwrap();
        let limit = u32::try_from(FRAME_BYTES_MAX).unwrap();
        for wrong in [0, 1, length - 1, length + 1, limit, limit + 1, u32::MAX] {
            let mut stream = whole.clone();
            stream[start + 1..start + FRAME_HEADER_BYTES].copy_from_slice(&wrong.to_be_bytes());
            made.push(("wrong length", stream));
        }
        start += FRAME_HEADER_BYTES + frames[at].len();
    }
    for _ in 0..200 {
        let mut stream = whole.clone();
        let at = chance.below(stream.len());
        stream[at] ^= 1 << chance.below(8);
        made.push(("bit flip", stream));
        made.push(("truncated", whole[..chance.below(whole.len())].to_vec()));
    }
    made
}

/// Every content is one that was sent, and none comes twice.
fn only_what_was_sent(received: &Received, sent: &[Vec<u8>], class: &str) {
    for (at, content) in received.contents.iter().enumerate() {
        assert!(sent.contains(content), "{class}: a content that nobody sent");
        assert!(!received.contents[..at].contains(content), "{class}: a content came twice");
    }
}

fn key(number: u8) -> Secret {
    Secret::new([number; 32])
}

#[test]
fn an_answer_is_whole_only_when_nothing_was_done_to_its_frames() {
    let (mut chance, _seeded) = seeded("frames of an answer");
    let sent: Vec<Vec<u8>> = [&b"entries one"[..], b"entries two", b"end, with the receipt"].map(<[u8]>::to_vec).into();
    let answers = |key: &Secret| -> Vec<Vec<u8>> {
        let (_, gateway) = pair(key);
        let (archive, _) = pair(key);
        let (number, request) = gateway.request(b"fetch", NOW).unwrap();
        assert_eq!((number, archive.open_request(&request, NOW).unwrap().number), (REQUEST, REQUEST));
        sent.iter().map(|content| archive.reply(REQUEST, content, NOW).unwrap()).collect()
    };
    let (frames, other) = (answers(&key(1)), answers(&key(2)));
    let read = |stream: &[u8]| {
        let (_, gateway) = pair(&key(1));
        gateway.request(b"fetch", NOW).unwrap();
        receive(stream, |message| gateway.open_reply(REQUEST, message, NOW))
    };
    let honest: Vec<u8> = frames.iter().flat_map(|frame| Frame::end(frame.clone()).to_bytes()).collect();
    let control = read(&honest);
    assert!(control.contents == sent && control.refused.is_none(), "{:?}", control.refused);

    let mut tally = Tally::default();
    for (class, stream) in altered(&frames, &other, &mut chance) {
        let received = read(&stream);
        only_what_was_sent(&received, &sent, class);
        if class == "other receiver" && received.refused.is_none() {
            // A frame for the broker: the broker takes it for a receipt, which it is not; the gateway goes without.
            let mut frames = FrameDecoder::default();
            frames.push(&stream);
            let mut taken = std::iter::from_fn(|| frames.next().unwrap());
            let for_broker = taken.find(|frame| frame.receiver == Receiver::Broker).unwrap();
            let refused = statement::parse(Kind::Receipt, &for_broker.message);
            tally.refused(class, refused.map(|_| ()).unwrap_err().code());
            continue;
        }
        // A gateway takes an answer as whole when its last message came; until then it is no answer.
        let whole = received.contents == sent && received.refused.is_none();
        assert!(!whole, "{class}: taken as the honest answer");
        tally.refused(class, received.refused.as_deref().unwrap_or("no whole answer"));
    }
    tally.finish(
        "frames of an answer",
        &[("bit flip", 200), ("truncated", 200), ("duplicated", 3), ("wrong length", 18)],
    );
}

#[test]
fn a_notice_is_heard_once_and_as_the_broker_said_it() {
    let (mut chance, _seeded) = seeded("notices");
    let patient = Pseudonym::new([7; 32]);
    let notices = [Notice::Alive, Notice::ConsentChanged(patient), Notice::HeadMoved(patient), Notice::LookAnew];
    let sent: Vec<Vec<u8>> = notices.iter().map(to_bytes).collect();
    let say = |key: &Secret| -> Vec<Vec<u8>> {
        let (broker, _) = pair(key);
        sent.iter().map(|content| broker.request(content, NOW).unwrap().1).collect()
    };
    let (frames, other) = (say(&key(3)), say(&key(4)));
    let hear = |stream: &[u8]| {
        let (_, gateway) = pair(&key(3));
        receive(stream, |message| gateway.open_request(message, NOW).map(|opened| opened.content))
    };
    let honest: Vec<u8> = frames.iter().flat_map(|frame| Frame::end(frame.clone()).to_bytes()).collect();
    let control = hear(&honest);
    assert!(control.contents == sent && control.refused.is_none(), "{:?}", control.refused);

    let mut tally = Tally::default();
    for (class, stream) in altered(&frames, &other, &mut chance) {
        let received = hear(&stream);
        only_what_was_sent(&received, &sent, class);
        for content in &received.contents {
            let notice: Notice = from_bytes(content, MESSAGE_BYTES_MAX).unwrap();
            assert!(notices.contains(&notice));
        }
        match received.refused {
            Some(code) => tally.refused(class, &code),
            // Left out or cut short: the gateway trusts what it holds only while it hears notices, and an authority
            // ends after a minute (`spec/protocol.md`, sections 7.6 and 12.3). The receiver of a frame on this hop
            // is the gateway whatever the frame says.
            None => {
                let harmless = ["dropped", "truncated", "wrong length", "bit flip", "other receiver"];
                assert!(harmless.contains(&class), "{class}: neither refused nor left out");
                assert!(received.contents.len() < sent.len() || class == "bit flip" || class == "other receiver");
                tally.without_effect(class);
            }
        }
    }
    tally.finish("notices", &[("bit flip", 150), ("duplicated", 4), ("other value", 4)]);
}

/// Both ends of a channel, the sharer's first.
fn pair(key: &Secret) -> (Channel, Channel) {
    Channel::pair_from(key, NOW)
}
