//! A channel and its message numbers, keys that move on, replies and end of life (`spec/protocol.md`, section 5). The
//! script sends, delivers in any order, replays, reflects, alters, lets time pass, and seals as an insider who keeps
//! no rule. A model says of every message whether it may open.

use std::collections::BTreeSet;

use sealwort_pki::UnixTime;
use sealwort_pki::testing::TEST_NOW;
use sealwort_proto::channel::{Channel, OVERHEAD_BYTES_MAX, REPLAY_WINDOW, SESSION_SECONDS_MAX, session_of};
use sealwort_proto::crypto::Secret;
use sealwort_proto::{ErrorKind, ProtocolError};

use crate::input::Input;
use crate::mutation::alter;

/// Most steps of a script.
const STEPS_MAX: usize = 200;

/// A message on its way.
struct Sent {
    from: usize,
    generation: u32,
    number: u64,
    reply_to: u64,
    content: Vec<u8>,
    bytes: Vec<u8>,
}

/// What a receiver must have kept.
#[derive(Default)]
struct Receiver {
    opened: BTreeSet<u64>,
    highest: u64,
    generation: u32,
    moved: bool,
}

impl Receiver {
    fn would_open(&self, message: &Sent) -> bool {
        let number = message.number;
        let fresh = number != 0
            && !self.opened.contains(&number)
            && (number > self.highest || self.highest - number < REPLAY_WINDOW);
        let keyed = message.generation == self.generation
            || message.generation == self.generation + 1
            || (self.moved && message.generation + 1 == self.generation);
        fresh && keyed
    }

    fn note(&mut self, message: &Sent) {
        self.opened.insert(message.number);
        self.highest = self.highest.max(message.number);
        if message.generation > self.generation {
            self.generation = message.generation;
            self.moved = true;
        }
    }
}

/// Plays a script between the two ends of a channel.
///
/// # Panics
/// When an end opens what the model forbids, refuses what it allows, or gives another content than was sent.
pub fn channel(bytes: &[u8]) {
    let mut input = Input::new(bytes);
    let (sharer, answerer) = Channel::pair_from(&Secret::new([7; 32]), TEST_NOW);
    let ends = [sharer, answerer];
    let mut receivers = [Receiver::default(), Receiver::default()];
    let mut now = TEST_NOW;
    let mut sent: Vec<Sent> = Vec::new();
    for _ in 0..STEPS_MAX {
        if input.is_empty() {
            break;
        }
        let choice = input.byte();
        let end = usize::from(choice >> 7);
        let expired = now.as_secs() - TEST_NOW.as_secs() >= SESSION_SECONDS_MAX;
        match choice % 6 {
            0 => {
                let content = input.bytes();
                let sealed = ends[end].request(content, now);
                assert_eq!(sealed.is_err(), expired);
                sent.extend(sealed.ok().map(|(_, bytes)| read(end, bytes, content)));
            }
            1 => {
                let (to, content) = (input.number().max(1), input.bytes());
                let sealed = ends[end].reply(to, content, now);
                assert_eq!(sealed.is_err(), expired);
                sent.extend(sealed.ok().map(|bytes| read(end, bytes, content)));
            }
            2 => {
                let (ahead, number, to) = (u32::from(input.byte() % 4), input.number(), input.number());
                let content = input.bytes();
                sent.push(read(end, ends[end].seal_freely(ahead, number, to, content), content));
            }
            3 => now = UnixTime::from_secs(now.as_secs() + input.below(800) as u64),
            4 => {
                let Some(message) = pick(&mut input, &sent) else { continue };
                let expected = if input.byte().is_multiple_of(2) { 0 } else { input.number() };
                let outcome = open(&ends[end], expected, &message.bytes, now);
                let receiver = &mut receivers[end];
                if expired || message.from == end || !receiver.would_open(message) {
                    assert!(outcome.is_err(), "{} opened at {end}", message.number);
                    continue;
                }
                receiver.note(message);
                if message.reply_to == expected {
                    assert_eq!(outcome.expect("a message that may open"), message.content);
                } else {
                    assert_eq!(outcome.expect_err("the answer to something else").kind, ErrorKind::Challenge);
                }
            }
            _ => {
                let Some(message) = pick(&mut input, &sent) else { continue };
                let others: Vec<_> = sent.iter().map(|message| message.bytes.clone()).collect();
                let altered = alter(message.bytes.clone(), Input::new(input.bytes()), &others);
                if sent.iter().all(|message| message.bytes != altered) {
                    session_of(&altered);
                    assert!(open(&ends[end], message.reply_to, &altered, now).is_err(), "an altered message opened");
                }
            }
        }
    }
}

fn pick<'a>(input: &mut Input<'_>, sent: &'a [Sent]) -> Option<&'a Sent> {
    sent.get(input.below(sent.len()))
}

/// Opens a request, or the reply to request `expected`.
fn open(end: &Channel, expected: u64, bytes: &[u8], now: UnixTime) -> Result<Vec<u8>, ProtocolError> {
    match expected {
        0 => end.open_request(bytes, now).map(|opened| opened.content),
        number => end.open_reply(number, bytes, now),
    }
}

/// The fields of a message that was just sealed.
fn read(from: usize, bytes: Vec<u8>, content: &[u8]) -> Sent {
    assert!(bytes.len() <= content.len() + OVERHEAD_BYTES_MAX);
    assert!(session_of(&bytes).is_some());
    let mut decoder = minicbor::Decoder::new(&bytes);
    let mut fields = || {
        decoder.array()?;
        decoder.u8()?;
        decoder.bytes()?;
        Ok::<_, minicbor::decode::Error>((decoder.u32()?, decoder.u64()?, decoder.u64()?))
    };
    let (generation, number, reply_to) = fields().expect("a channel message");
    Sent { from, generation, number, reply_to, content: content.to_vec(), bytes }
}
