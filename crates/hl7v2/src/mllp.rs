//! Frames of the Minimal Lower Layer Protocol (HL7 v2.9 appendix C): `0x0B`, a message, `0x1C 0x0D`.
//! Bytes are fed in as they arrive and come out as [`Event`]s. It never joins two messages and never cuts
//! one: what is not certainly one whole frame is reported and left out. It does not read messages.

use thiserror::Error;

/// Largest frame, in bytes, unless a smaller limit is given.
pub const FRAME_BYTES_MAX: usize = 16 * 1024 * 1024;
/// Bytes outside frames after which a connection is given up: the peer does not speak MLLP.
pub const JUNK_BYTES_MAX: usize = 64 * 1024;
/// The start of the bytes outside frames that an event shows, in bytes.
pub const JUNK_SHOWN_BYTES_MAX: usize = 32;

const START: u8 = 0x0B;
const END: u8 = 0x1C;
const CARRIAGE_RETURN: u8 = 0x0D;
const LINE_FEED: u8 = 0x0A;

/// Why a connection or a message cannot go on. All but [`Self::Reserved`] are the peer's fault.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum MllpError {
    /// A frame grew over the limit.
    #[error("a frame is larger than {limit} bytes; send documents by reference, or raise the limit")]
    TooLarge {
        /// The limit, in bytes.
        limit: usize,
    },
    /// Too many bytes came outside frames.
    #[error("the peer sent {bytes} bytes outside MLLP frames; set its connection to MLLP")]
    Unframed {
        /// Bytes since the connection began.
        bytes: usize,
    },
    /// A message to be sent holds a byte that ends or begins a frame.
    #[error("a message with the byte 0x0B or 0x1C cannot be framed")]
    Reserved,
}

/// What came out of the bytes.
#[derive(Clone, PartialEq, Eq)]
pub enum Event {
    /// One whole frame, without its frame bytes.
    Frame(Vec<u8>),
    /// Bytes between frames, skipped.
    Junk {
        /// How many.
        bytes: usize,
        /// How they begin, at most [`JUNK_SHOWN_BYTES_MAX`].
        beginning: Vec<u8>,
    },
    /// A frame that was not ended properly before another byte came; skipped.
    Broken {
        /// How many bytes of it had come.
        bytes: usize,
    },
    /// The connection must be closed. Later bytes are ignored.
    Refused(MllpError),
}

/// Shows sizes alone: frames hold patient data.
impl std::fmt::Debug for Event {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Frame(frame) => write!(f, "Frame({} bytes)", frame.len()),
            Self::Junk { bytes, .. } => write!(f, "Junk({bytes} bytes)"),
            Self::Broken { bytes } => write!(f, "Broken({bytes} bytes)"),
            Self::Refused(error) => write!(f, "Refused({error:?})"),
        }
    }
}

/// Where in the stream the decoder stands.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    /// Between frames.
    Outside,
    /// After `0x0B`.
    Inside,
    /// After the `0x1C` of a frame: what comes next tells whether it was the end.
    Ending,
    /// Given up.
    Closed,
}

/// Finds frames in a stream of bytes.
pub struct Decoder {
    state: State,
    frame: Vec<u8>,
    limit: usize,
    junk_total: usize,
    junk_now: usize,
    junk_beginning: Vec<u8>,
}

impl Default for Decoder {
    fn default() -> Self {
        Self::with_limit(FRAME_BYTES_MAX)
    }
}

impl Decoder {
    /// A decoder that takes frames of at most `bytes`, and of [`FRAME_BYTES_MAX`] in any case.
    pub fn with_limit(bytes: usize) -> Self {
        Self {
            state: State::Outside,
            frame: Vec::new(),
            limit: bytes.min(FRAME_BYTES_MAX),
            junk_total: 0,
            junk_now: 0,
            junk_beginning: Vec::new(),
        }
    }

    /// Takes in bytes and gives back what they complete.
    pub fn feed(&mut self, mut bytes: &[u8]) -> Vec<Event> {
        let mut events = Vec::new();
        while let Some((&first, rest)) = bytes.split_first() {
            match self.state {
                State::Closed => break,
                State::Outside if first == START => {
                    self.begin(&mut events);
                    bytes = rest;
                }
                State::Outside => {
                    let length = bytes.iter().position(|&byte| byte == START).unwrap_or(bytes.len());
                    let (junk, after) = bytes.split_at(length);
                    self.skip(junk, &mut events);
                    bytes = after;
                }
                State::Inside => bytes = self.take(bytes, &mut events),
                State::Ending => {
                    match first {
                        CARRIAGE_RETURN => {
                            events.push(self.complete());
                            bytes = rest;
                        }
                        // The next frame begins, or a sender ends with LF or with nothing before CR LF.
                        START | LINE_FEED => events.push(self.complete()),
                        // A 0x1C in the middle of a message: the part before it is not the message.
                        _ => events.push(self.broken()),
                    }
                }
            }
        }
        // Junk is told once for each call, so that a listener sees it even where no frame ever comes.
        self.tell_junk(&mut events);
        events
    }

    /// The frame that lacks its last CR, if one stands so. To be called when the peer has been silent for
    /// a moment or has closed: some senders end frames with `0x1C` alone and wait for the answer.
    pub fn idle(&mut self) -> Option<Event> {
        (self.state == State::Ending).then(|| self.complete())
    }

    /// Bytes of a frame that has begun and not ended.
    pub fn pending(&self) -> usize {
        self.frame.len()
    }

    fn begin(&mut self, events: &mut Vec<Event>) {
        self.tell_junk(events);
        self.frame.clear();
        self.state = State::Inside;
    }

    /// Takes the bytes of a frame up to a frame byte or the end; gives back what is left.
    fn take<'b>(&mut self, bytes: &'b [u8], events: &mut Vec<Event>) -> &'b [u8] {
        let length = bytes.iter().position(|&byte| byte == START || byte == END).unwrap_or(bytes.len());
        let (content, after) = bytes.split_at(length);
        if self.frame.len().saturating_add(content.len()) > self.limit {
            self.frame = Vec::new();
            self.state = State::Closed;
            events.push(Event::Refused(MllpError::TooLarge { limit: self.limit }));
            return &[];
        }
        self.frame.extend_from_slice(content);
        match after.split_first() {
            Some((&START, _)) => {
                events.push(self.broken());
                after
            }
            Some((_, rest)) => {
                self.state = State::Ending;
                rest
            }
            None => after,
        }
    }

    fn complete(&mut self) -> Event {
        self.state = State::Outside;
        Event::Frame(std::mem::take(&mut self.frame))
    }

    fn broken(&mut self) -> Event {
        self.state = State::Outside;
        Event::Broken { bytes: std::mem::take(&mut self.frame).len() }
    }

    fn skip(&mut self, junk: &[u8], events: &mut Vec<Event>) {
        // Line ends between frames are no fault: many senders add one.
        let count = junk.iter().filter(|byte| !matches!(**byte, CARRIAGE_RETURN | LINE_FEED)).count();
        self.junk_total = self.junk_total.saturating_add(junk.len());
        self.junk_now = self.junk_now.saturating_add(count);
        if count > 0 {
            let room = JUNK_SHOWN_BYTES_MAX.saturating_sub(self.junk_beginning.len());
            self.junk_beginning.extend(junk.iter().take(room));
        }
        if self.junk_total > JUNK_BYTES_MAX {
            self.tell_junk(events);
            self.state = State::Closed;
            events.push(Event::Refused(MllpError::Unframed { bytes: self.junk_total }));
        }
    }

    fn tell_junk(&mut self, events: &mut Vec<Event>) {
        if self.junk_now > 0 {
            let beginning = std::mem::take(&mut self.junk_beginning);
            events.push(Event::Junk { bytes: std::mem::take(&mut self.junk_now), beginning });
        }
    }
}

/// Puts a message into a frame.
///
/// # Errors
/// [`MllpError::Reserved`] when the message holds a frame byte.
pub fn encode(message: &[u8]) -> Result<Vec<u8>, MllpError> {
    if message.iter().any(|byte| matches!(*byte, START | END)) {
        return Err(MllpError::Reserved);
    }
    let mut frame = Vec::with_capacity(message.len().saturating_add(3));
    frame.push(START);
    frame.extend_from_slice(message);
    frame.extend_from_slice(&[END, CARRIAGE_RETURN]);
    Ok(frame)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn show(events: &[Event]) -> String {
        let one = |event: &Event| match event {
            Event::Frame(frame) => format!("frame {}", String::from_utf8_lossy(frame)),
            Event::Junk { bytes, beginning } => format!("junk {bytes} {}", String::from_utf8_lossy(beginning)),
            Event::Broken { bytes } => format!("broken {bytes}"),
            Event::Refused(error) => format!("refused {error:?}"),
        };
        events.iter().map(one).collect::<Vec<_>>().join("; ")
    }

    /// Fed whole, and byte by byte where junk is told in other portions: the frames are the same.
    fn check(bytes: &[u8], expected: &str) {
        let mut decoder = Decoder::with_limit(8);
        let mut events = decoder.feed(bytes);
        events.extend(decoder.idle());
        assert_eq!(show(&events), expected, "{}", bytes.escape_ascii());
        let mut decoder = Decoder::with_limit(8);
        let mut single: Vec<Event> = bytes.iter().flat_map(|byte| decoder.feed(&[*byte])).collect();
        single.extend(decoder.idle());
        let no_junk = |events: &[Event]| {
            show(&events.iter().filter(|event| !matches!(event, Event::Junk { .. })).cloned().collect::<Vec<_>>())
        };
        assert_eq!(no_junk(&single), no_junk(&events), "byte by byte: {}", bytes.escape_ascii());
    }

    #[test]
    fn frames_come_out_one_by_one() {
        let cases: &[(&[u8], &str)] = &[
            (b"\x0bA\x1c\x0d", "frame A"),
            (b"\x0bA\x1c\x0d\x0bB\x1c\x0d", "frame A; frame B"),
            (b"\x0bA\x1c\x0d\x0a\x0d\x0bB\x1c\x0d", "frame A; frame B"),
            // Without the last CR: between frames, before LF, and at the end.
            (b"\x0bA\x1c\x0bB\x1c", "frame A; frame B"),
            (b"\x0bA\x1c\x0a\x0bB\x1c\x0d", "frame A; frame B"),
            (b"\x0b\x1c\x0d", "frame "),
            // A frame that has no end is not joined with the next.
            (b"\x0bA\x0bB\x1c\x0d", "broken 1; frame B"),
            (b"\x0bAB\x0b\x0bC\x1c\x0d", "broken 2; broken 0; frame C"),
            // A frame byte inside a message cuts nothing off.
            (b"\x0bA\x1cB\x1c\x0d\x0bC\x1c\x0d", "broken 1; junk 2 B\x1c\x0d; frame C"),
            (b"xy\x0bA\x1c\x0dz", "junk 2 xy; frame A; junk 1 z"),
            (b"\x0bincomplete", "refused TooLarge { limit: 8 }"),
            (
                b"\x0b12345678\x1c\x0d\x0b123456789\x1c\x0d\x0bA\x1c\x0d",
                "frame 12345678; refused TooLarge { limit: 8 }",
            ),
            (b"\x0bpart", ""),
            (b"", ""),
        ];
        for (bytes, expected) in cases {
            check(bytes, expected);
        }
    }

    #[test]
    fn an_unframed_flood_is_refused_early() {
        let mut decoder = Decoder::default();
        let mut fed = 0;
        let refusal = loop {
            fed += 4096;
            let events = decoder.feed(&[b'x'; 4096]);
            if let Some(Event::Refused(error)) = events.last() {
                break *error;
            }
            assert!(fed < 2 * JUNK_BYTES_MAX, "the flood was not refused");
        };
        assert_eq!(refusal, MllpError::Unframed { bytes: JUNK_BYTES_MAX + 4096 });
        assert!(decoder.feed(b"\x0bA\x1c\x0d").is_empty(), "a closed decoder gives nothing");
        let mut decoder = Decoder::default();
        let events = decoder.feed(&vec![b'\n'; JUNK_BYTES_MAX + 1]);
        assert_eq!(show(&events), format!("refused Unframed {{ bytes: {} }}", JUNK_BYTES_MAX + 1));
    }

    #[test]
    fn a_frame_of_the_largest_size_passes_and_one_byte_more_does_not() {
        for (bytes, passes) in [(FRAME_BYTES_MAX, true), (FRAME_BYTES_MAX + 1, false)] {
            let frame = encode(&vec![b'x'; bytes]).unwrap();
            let mut decoder = Decoder::with_limit(usize::MAX);
            let events: Vec<Event> = frame.chunks(65_536).flat_map(|chunk| decoder.feed(chunk)).collect();
            assert_eq!(matches!(events.as_slice(), [Event::Frame(_)]), passes, "{bytes} bytes: {events:?}");
        }
    }

    #[test]
    fn what_is_encoded_is_decoded_and_frame_bytes_are_refused() {
        assert_eq!(show(&Decoder::default().feed(&encode(b"MSH|").unwrap())), "frame MSH|");
        assert_eq!(encode(b"a\x0bb"), Err(MllpError::Reserved));
        assert_eq!(encode(b"a\x1cb"), Err(MllpError::Reserved));
    }
}
