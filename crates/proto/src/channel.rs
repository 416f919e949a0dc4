//! A protected channel between two parties that have finished a run: one key per direction, explicit message
//! numbers with a replay window, replies bound to their requests, rekeying by count, bytes and time, and an
//! end of life after which the nine steps must be run again. It carries whole messages and does no IO.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use minicbor::{Decode, Encode};
use sealwort_pki::UnixTime;

use crate::VERSION;
use crate::codec::{Blob, from_bytes, to_bytes};
use crate::crypto::{AeadKey, Prk, Secret, TAG_BYTES};
use crate::error::{At, ErrorKind, Fault, ProtocolError, Step};
use crate::id::{Digest, SessionId};
use crate::message::MESSAGE_BYTES_MAX;
use crate::operations::{Operations, count};

/// Messages under one key before the sender moves to the next.
pub const REKEY_MESSAGES: u64 = 1 << 20;
/// Bytes under one key before the sender moves to the next.
pub const REKEY_BYTES: u64 = 1 << 32;
/// Seconds under one key before the sender moves to the next.
pub const REKEY_SECONDS: u64 = 600;
/// Seconds after which a session ends and fresh ephemeral keys are needed.
pub const SESSION_SECONDS_MAX: u64 = 3600;
/// Distance within which messages may arrive out of order.
pub const REPLAY_WINDOW: u64 = 4096;
/// Bytes that a channel message adds to its content, at most.
pub const OVERHEAD_BYTES_MAX: usize = 256;

const WINDOW_WORDS: usize = 64;

/// The pair of parties that share a channel; it separates their keys and their messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Pair {
    /// Gateway and broker, SK_LT.
    GatewayBroker,
    /// Broker and archive, SK_TM.
    BrokerArchive,
    /// Gateway and archive, SK_LM, end to end.
    GatewayArchive,
}

impl Pair {
    /// The paper's name of the session key.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::GatewayBroker => "LT",
            Self::BrokerArchive => "TM",
            Self::GatewayArchive => "LM",
        }
    }
}

/// Which end of the channel this is: who sent the first ephemeral key has the first direction.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Sent the key share (steps 4, 6, 8).
    Sharer,
    /// Answered it (steps 5, 7, 9).
    Answerer,
}

/// A message as it travels.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
struct Sealed {
    #[n(0)]
    version: u8,
    #[n(1)]
    session: SessionId,
    #[n(2)]
    generation: u32,
    #[n(3)]
    number: u64,
    #[n(4)]
    reply_to: u64,
    #[n(5)]
    ciphertext: Blob,
}

/// What the tag covers beside the content.
#[derive(Encode)]
#[cbor(array)]
struct Associated<'a> {
    #[n(0)]
    pair: &'a str,
    #[n(1)]
    version: u8,
    #[n(2)]
    session: SessionId,
    #[n(3)]
    generation: u32,
    #[n(4)]
    number: u64,
    #[n(5)]
    reply_to: u64,
}

/// An opened message.
#[derive(Debug, PartialEq, Eq)]
pub struct Opened {
    /// Its number, to reply to.
    pub number: u64,
    /// The request that it answers; 0 for a request.
    pub reply_to: u64,
    /// Its content.
    pub content: Vec<u8>,
}

/// One end of a channel. Safe to share; sealing and opening run outside its locks.
pub struct Channel {
    pair: Pair,
    session: SessionId,
    binding: Digest,
    peer_fault: Fault,
    established: UnixTime,
    operations: Arc<Operations>,
    sending: Mutex<Sending>,
    receiving: Mutex<Receiving>,
    exporter: Secret,
}

struct Generation {
    number: u32,
    secret: Secret,
    key: Arc<AeadKey>,
}

impl Generation {
    fn new(number: u32, secret: Secret) -> Self {
        let key = Arc::new(AeadKey::new(&Prk::from_secret(&secret).expand("sealwort key v1", &[])));
        Self { number, secret, key }
    }

    fn next(&self) -> Self {
        Self::new(self.number + 1, Prk::from_secret(&self.secret).expand("sealwort next v1", &[]))
    }
}

struct Sending {
    generation: Generation,
    next_number: u64,
    messages: u64,
    bytes: u64,
    since: UnixTime,
}

struct Receiving {
    current: Generation,
    previous: Option<Generation>,
    highest: u64,
    window: [u64; WINDOW_WORDS],
}

impl Channel {
    /// Opens one end from the run's key and transcript.
    pub(crate) fn new(
        pair: Pair,
        end: End,
        session: SessionId,
        key: &Prk,
        binding: Digest,
        peer_fault: Fault,
        established: UnixTime,
        operations: Arc<Operations>,
    ) -> Self {
        count(&operations.session_key);
        let direction = |label| key.expand(label, &[pair.as_str().as_bytes()]);
        let sharer = direction("sealwort sharer to answerer v1");
        let answerer = direction("sealwort answerer to sharer v1");
        let (send, receive) = match end {
            End::Sharer => (sharer, answerer),
            End::Answerer => (answerer, sharer),
        };
        Self {
            pair,
            session,
            binding,
            peer_fault,
            established,
            operations,
            sending: Mutex::new(Sending {
                generation: Generation::new(0, send),
                next_number: 1,
                messages: 0,
                bytes: 0,
                since: established,
            }),
            receiving: Mutex::new(Receiving {
                current: Generation::new(0, receive),
                previous: None,
                highest: 0,
                window: [0; WINDOW_WORDS],
            }),
            exporter: direction("sealwort exporter v1"),
        }
    }

    /// The session that this channel belongs to.
    pub fn session(&self) -> SessionId {
        self.session
    }

    /// The hash of the whole transcript that made the key; for L–M this is the paper run's `h_LM`.
    pub fn binding(&self) -> Digest {
        self.binding
    }

    /// A secret for another purpose, separated by its label.
    pub(crate) fn export(&self, label: &str) -> Secret {
        Prk::from_secret(&self.exporter).expand(label, &[])
    }

    /// Whether the session has reached its end of life.
    pub fn is_expired(&self, now: UnixTime) -> bool {
        now.as_secs().saturating_sub(self.established.as_secs()) >= SESSION_SECONDS_MAX
    }

    /// Seals a request; gives its number, by which the reply is known.
    pub fn request(&self, content: &[u8], now: UnixTime) -> Result<(u64, Vec<u8>), ProtocolError> {
        self.seal(0, content, now)
    }

    /// Seals a reply to a request.
    pub fn reply(&self, to: u64, content: &[u8], now: UnixTime) -> Result<Vec<u8>, ProtocolError> {
        Ok(self.seal(to, content, now)?.1)
    }

    /// Opens a request.
    pub fn open_request(&self, bytes: &[u8], now: UnixTime) -> Result<Opened, ProtocolError> {
        let opened = self.open(bytes, now)?;
        if opened.reply_to == 0 { Ok(opened) } else { Err(self.error(ErrorKind::Challenge)) }
    }

    /// Opens the reply to request `number`; a reply to another request is refused.
    pub fn open_reply(&self, number: u64, bytes: &[u8], now: UnixTime) -> Result<Vec<u8>, ProtocolError> {
        let opened = self.open(bytes, now)?;
        if opened.reply_to == number { Ok(opened.content) } else { Err(self.error(ErrorKind::Challenge)) }
    }

    fn seal(&self, reply_to: u64, content: &[u8], now: UnixTime) -> Result<(u64, Vec<u8>), ProtocolError> {
        if self.is_expired(now) {
            return Err(ProtocolError::new(Step::Channel, Fault::Own, ErrorKind::Exhausted));
        }
        if content.len() > MESSAGE_BYTES_MAX {
            let error = crate::codec::CodecError::TooLong { length: content.len(), limit: MESSAGE_BYTES_MAX };
            return Err(ProtocolError::new(Step::Channel, Fault::Own, error));
        }
        let (generation, number, key) = self.reserve(content.len() as u64, now);
        let mut ciphertext = Vec::with_capacity(content.len() + TAG_BYTES);
        ciphertext.extend_from_slice(content);
        let associated = self.associated(generation, number, reply_to);
        key.seal(number, &associated, &mut ciphertext, &self.operations);
        let sealed = Sealed {
            version: VERSION,
            session: self.session,
            generation,
            number,
            reply_to,
            ciphertext: Blob(ciphertext),
        };
        Ok((number, to_bytes(&sealed)))
    }

    /// Takes the next number, moving to the next key first where a limit is reached.
    fn reserve(&self, bytes: u64, now: UnixTime) -> (u32, u64, Arc<AeadKey>) {
        let mut sending = lock(&self.sending);
        let age = now.as_secs().saturating_sub(sending.since.as_secs());
        if sending.messages >= REKEY_MESSAGES || sending.bytes + bytes > REKEY_BYTES || age >= REKEY_SECONDS {
            sending.generation = sending.generation.next();
            (sending.messages, sending.bytes, sending.since) = (0, 0, now);
            count(&self.operations.session_key);
        }
        let number = sending.next_number;
        sending.next_number += 1;
        sending.messages += 1;
        sending.bytes += bytes;
        (sending.generation.number, number, Arc::clone(&sending.generation.key))
    }

    fn open(&self, bytes: &[u8], now: UnixTime) -> Result<Opened, ProtocolError> {
        if self.is_expired(now) {
            return Err(ProtocolError::new(Step::Channel, Fault::Own, ErrorKind::Exhausted));
        }
        let sealed: Sealed =
            from_bytes(bytes, MESSAGE_BYTES_MAX + OVERHEAD_BYTES_MAX).at(Step::Channel, self.peer_fault)?;
        if sealed.version != VERSION {
            return Err(self.error(ErrorKind::Version { found: sealed.version }));
        }
        if sealed.session != self.session {
            return Err(self.error(ErrorKind::WrongSession));
        }
        let (key, advance) = self.receiving_key(sealed.generation, sealed.number)?;
        let associated = self.associated(sealed.generation, sealed.number, sealed.reply_to);
        let mut content = sealed.ciphertext.0;
        key.open(sealed.number, &associated, &mut content, &self.operations).at(Step::Channel, self.peer_fault)?;

        // Only a message that opened moves the key or the window.
        let mut receiving = lock(&self.receiving);
        if let Some(next) = advance
            && next.number == receiving.current.number + 1
        {
            let old = std::mem::replace(&mut receiving.current, next);
            receiving.previous = Some(old);
        }
        if !receiving.mark(sealed.number) {
            return Err(self.error(ErrorKind::Replayed { number: sealed.number }));
        }
        Ok(Opened { number: sealed.number, reply_to: sealed.reply_to, content })
    }

    fn receiving_key(&self, generation: u32, number: u64) -> Result<(Arc<AeadKey>, Option<Generation>), ProtocolError> {
        let receiving = lock(&self.receiving);
        if number == 0 || receiving.seen(number) {
            return Err(self.error(ErrorKind::Replayed { number }));
        }
        if generation == receiving.current.number {
            return Ok((Arc::clone(&receiving.current.key), None));
        }
        if generation == receiving.current.number + 1 {
            let next = receiving.current.next();
            return Ok((Arc::clone(&next.key), Some(next)));
        }
        match &receiving.previous {
            Some(previous) if previous.number == generation => Ok((Arc::clone(&previous.key), None)),
            _ => Err(self.error(ErrorKind::Sealed)),
        }
    }

    fn associated(&self, generation: u32, number: u64, reply_to: u64) -> Vec<u8> {
        to_bytes(&Associated {
            pair: self.pair.as_str(),
            version: VERSION,
            session: self.session,
            generation,
            number,
            reply_to,
        })
    }

    fn error(&self, kind: ErrorKind) -> ProtocolError {
        ProtocolError::new(Step::Channel, self.peer_fault, kind)
    }
}

/// What tests need and no service may do.
#[cfg(any(test, feature = "testing"))]
impl Channel {
    /// Both ends of a gateway–archive channel, the sharer's first, whose key is this secret.
    pub fn pair_from(key: &Secret, established: UnixTime) -> (Self, Self) {
        let key = Prk::from_secret(key);
        let end = |end, peer_fault| {
            let (pair, session) = (Pair::GatewayArchive, SessionId::new([1; 32]));
            Self::new(pair, end, session, &key, Digest::ZERO, peer_fault, established, Arc::default())
        };
        (end(End::Sharer, Fault::Gateway), end(End::Answerer, Fault::Archive))
    }

    /// Seals with any number, and a generation that is the sender's present one or `ahead` of it: an insider who
    /// holds the key and keeps no rule.
    pub fn seal_freely(&self, ahead: u32, number: u64, reply_to: u64, content: &[u8]) -> Vec<u8> {
        let sending = lock(&self.sending);
        let mut generation = Generation::new(sending.generation.number, sending.generation.secret.clone());
        drop(sending);
        (0..ahead).for_each(|_| generation = generation.next());
        let mut ciphertext = content.to_vec();
        let associated = self.associated(generation.number, number, reply_to);
        generation.key.seal(number, &associated, &mut ciphertext, &self.operations);
        let (version, session, generation) = (VERSION, self.session, generation.number);
        to_bytes(&Sealed { version, session, generation, number, reply_to, ciphertext: Blob(ciphertext) })
    }
}

/// Reads the session that a channel message names, so that a service can find its channel.
pub fn session_of(bytes: &[u8]) -> Option<SessionId> {
    let mut decoder = minicbor::Decoder::new(bytes);
    decoder.array().ok()??;
    decoder.u8().ok()?;
    SessionId::from_slice(decoder.bytes().ok()?)
}

impl Receiving {
    fn seen(&self, number: u64) -> bool {
        if number > self.highest {
            return false;
        }
        self.highest - number >= REPLAY_WINDOW || self.bit(number)
    }

    /// Marks a number as received; false when it was marked before or lies behind the window.
    fn mark(&mut self, number: u64) -> bool {
        if self.seen(number) {
            return false;
        }
        if number > self.highest {
            // An insider may send any number, the largest too.
            let from = (self.highest + 1).max(number.saturating_sub(REPLAY_WINDOW - 1));
            for skipped in from..=number {
                self.put(skipped, false);
            }
            self.highest = number;
        }
        self.put(number, true);
        true
    }

    fn bit(&self, number: u64) -> bool {
        let (word, bit) = place(number);
        self.window.get(word).is_some_and(|w| w & bit != 0)
    }

    fn put(&mut self, number: u64, value: bool) {
        let (word, bit) = place(number);
        if let Some(w) = self.window.get_mut(word) {
            if value { *w |= bit } else { *w &= !bit }
        }
    }
}

fn place(number: u64) -> (usize, u64) {
    let position = number % REPLAY_WINDOW;
    ((position / 64) as usize, 1 << (position % 64))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;

    const NOW: UnixTime = UnixTime::from_secs(1_000_000);

    fn pair() -> (Channel, Channel) {
        let key = Prk::from_secret(&Secret::new([7; 32]));
        let make = |end| {
            Channel::new(
                Pair::GatewayArchive,
                end,
                SessionId::new([1; 32]),
                &key,
                Digest::ZERO,
                Fault::Archive,
                NOW,
                Arc::default(),
            )
        };
        (make(End::Sharer), make(End::Answerer))
    }

    #[test]
    fn a_reply_answers_its_own_request_only() {
        let (a, b) = pair();
        let (first, sealed_first) = a.request(b"one", NOW).unwrap();
        let (second, sealed_second) = a.request(b"two", NOW).unwrap();
        let opened = b.open_request(&sealed_second, NOW).unwrap();
        assert_eq!((opened.number, opened.content.as_slice()), (second, b"two".as_slice()));
        b.open_request(&sealed_first, NOW).unwrap();
        let reply = b.reply(second, b"yes", NOW).unwrap();
        assert_eq!(a.open_reply(first, &reply, NOW).unwrap_err().kind, ErrorKind::Challenge);
        let reply = b.reply(second, b"yes", NOW).unwrap();
        assert_eq!(a.open_reply(second, &reply, NOW).unwrap(), b"yes");
        let reply = b.reply(second, b"yes", NOW).unwrap();
        assert!(a.open_request(&reply, NOW).is_err(), "a reply is no request");
    }

    #[test]
    fn what_is_altered_replayed_reflected_or_late_is_refused() {
        let (a, b) = pair();
        let (_, sealed) = a.request(b"content", NOW).unwrap();
        for position in 0..sealed.len() {
            let mut altered = sealed.clone();
            altered[position] ^= 1;
            assert!(b.open_request(&altered, NOW).is_err(), "byte {position}");
        }
        assert!(a.open_request(&sealed, NOW).is_err(), "reflected");
        b.open_request(&sealed, NOW).unwrap();
        assert_eq!(b.open_request(&sealed, NOW).unwrap_err().kind, ErrorKind::Replayed { number: 1 });
        let late = UnixTime::from_secs(NOW.as_secs() + SESSION_SECONDS_MAX);
        assert_eq!(a.request(b"x", late).unwrap_err().kind, ErrorKind::Exhausted);
        let (_, sealed) = a.request(b"y", NOW).unwrap();
        assert_eq!(b.open_request(&sealed, late).unwrap_err().kind, ErrorKind::Exhausted);
    }

    #[test]
    fn the_window_takes_disorder_and_forgets_the_old() {
        let (a, b) = pair();
        let messages: Vec<_> = (0..=REPLAY_WINDOW).map(|_| a.request(b"m", NOW).unwrap().1).collect();
        for message in messages[1..].iter().rev() {
            b.open_request(message, NOW).unwrap();
        }
        for message in &messages {
            assert!(b.open_request(message, NOW).is_err());
        }
    }

    #[test]
    fn the_largest_number_of_an_insider_overflows_nothing() {
        let (a, b) = pair();
        let last = a.seal_freely(0, u64::MAX, 0, b"last");
        assert_eq!(b.open_request(&last, NOW).unwrap().content, b"last");
        assert!(b.open_request(&last, NOW).is_err());
        let (_, first) = a.request(b"first", NOW).unwrap();
        assert_eq!(b.open_request(&first, NOW).unwrap_err().kind, ErrorKind::Replayed { number: 1 });
    }

    #[test]
    fn keys_move_on_by_time_and_old_ones_open_a_while() {
        let (a, b) = pair();
        let (_, early) = a.request(b"early", NOW).unwrap();
        let later = UnixTime::from_secs(NOW.as_secs() + REKEY_SECONDS);
        let (_, moved) = a.request(b"moved", later).unwrap();
        assert_eq!(b.open_request(&moved, later).unwrap().content, b"moved");
        assert_eq!(b.open_request(&early, later).unwrap().content, b"early");
        let again = UnixTime::from_secs(later.as_secs() + REKEY_SECONDS);
        let (_, third) = a.request(b"third", again).unwrap();
        assert_eq!(b.open_request(&third, again).unwrap().content, b"third");
        assert_eq!(lock(&b.receiving).current.number, 2);
        assert_eq!(session_of(&third), Some(a.session()));
    }
}
