//! The very messages behind a step: which pieces of the broker's and the archive's captures they are, found by the
//! index of each capture (`sealwort_net::capture`), by what was asked, its length and its time.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Seek as _, SeekFrom};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use sealwort_net::capture::{Piece, index};
use sealwort_net::exchange::{AUTHENTICATE_PATH, CALL_PATH, CHANNEL_PATH, RELAY_PATH};
use sealwort_pages::words::explain::{self as words, Phase};

use super::recorder::Taken;

/// Who captured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Broker,
    Archive,
}

/// What one party had of a message.
#[derive(Debug, Clone)]
pub(super) struct View {
    pub(super) side: Side,
    /// What it did with it.
    pub(super) heading: &'static str,
    /// The first of its bytes.
    pub(super) bytes: Vec<u8>,
    /// How many it has in all.
    pub(super) length: usize,
    /// Whether they are frames.
    pub(super) framed: bool,
}

/// A message beside the steps that a party opened.
#[derive(Debug, Clone, Copy)]
pub(super) struct Opened {
    pub(super) side: Side,
    /// Which of the party's messages, by its number in the protocol.
    pub(super) number: u8,
    /// Microseconds since 1970.
    pub(super) at: u64,
    pub(super) length: usize,
    /// Where it begins; names it.
    pub(super) begin: u64,
    /// How many like it came one after the other.
    pub(super) times: usize,
}

/// Both captures.
pub(super) struct Captures {
    broker: Tail,
    archive: Tail,
}

/// One capture, read as far as it was written.
struct Tail {
    path: PathBuf,
    /// Of the index, what was read.
    read: u64,
    pieces: VecDeque<Kept>,
}

/// One piece.
#[derive(Debug, Clone)]
struct Kept {
    at: u64,
    request: u64,
    piece: Piece,
    begin: u64,
    length: usize,
    path: Box<str>,
    /// Of what was opened: the number of the choice.
    number: u8,
}

impl Captures {
    pub(super) fn of(folder: &Path) -> Self {
        let tail = |name| Tail { path: folder.join(name), read: 0, pieces: VecDeque::new() };
        Self { broker: tail("broker.capture"), archive: tail("archive.capture") }
    }

    /// Reads what has come since.
    pub(super) fn refresh(&mut self) {
        for tail in [&mut self.broker, &mut self.archive] {
            if let Err(error) = tail.refresh() {
                tracing::warn!(%error, "a capture cannot be read");
            }
        }
    }

    /// Messages that a party opened between two times in milliseconds and that belong to no step.
    pub(super) fn beside(&self, begin: u64, end: u64) -> Vec<Opened> {
        let mut all = Vec::new();
        for (side, tail) in [(Side::Broker, &self.broker), (Side::Archive, &self.archive)] {
            let within = |kept: &&Kept| {
                let named = match side {
                    Side::Broker => words::to_broker(kept.number),
                    Side::Archive => words::to_archive(kept.number),
                };
                kept.piece == Piece::Opened && (begin..=end).contains(&(kept.at / 1000)) && named.is_some()
            };
            all.extend(tail.pieces.iter().filter(within).map(|kept| Opened {
                side,
                number: kept.number,
                at: kept.at,
                length: kept.length,
                begin: kept.begin,
                times: 1,
            }));
        }
        all.sort_by_key(|opened| opened.at);
        all.dedup_by(|next, first| {
            let alike = (next.side, next.number) == (first.side, first.number);
            first.times += usize::from(alike);
            alike
        });
        all
    }

    /// What a party had of a message beside the steps.
    pub(super) fn views_beside(&self, side: Side, begin: u64) -> Vec<View> {
        let (tail, got, opened) = match side {
            Side::Broker => (&self.broker, words::VIEW_BROKER_GOT, words::VIEW_BROKER_OPENED),
            Side::Archive => (&self.archive, words::VIEW_ARCHIVE_GOT, words::VIEW_ARCHIVE_OPENED),
        };
        let Some(kept) = tail.pieces.iter().find(|kept| kept.begin == begin) else { return Vec::new() };
        let path = if side == Side::Broker { CHANNEL_PATH } else { RELAY_PATH };
        let sealed = tail.request_before(kept, path).and_then(|request| tail.view(side, got, Piece::Request, request));
        sealed.into_iter().chain(tail.read_piece(side, opened, kept)).collect()
    }

    /// What broker and archive had of a step.
    pub(super) fn views(&self, taken: &Taken) -> Vec<View> {
        let (broker, archive) = (&self.broker, &self.archive);
        let at = taken.at.saturating_mul(1000);
        let session = taken.session.to_string();
        let path = |step: u8| format!("{AUTHENTICATE_PATH}/{step}");
        let with_session = |step: u8| format!("{AUTHENTICATE_PATH}/{step}/{session}");
        let of_broker = |heading, piece, path: &str| {
            let found = broker.nearest(piece, path, Some(taken.bytes), at)?;
            broker.view(Side::Broker, heading, piece, found.request)
        };
        let of_archive = |heading, piece, path: &str, length| {
            let found = archive.nearest(piece, path, length, at)?;
            archive.view(Side::Archive, heading, piece, found.request)
        };
        let (got, gave) = (words::VIEW_BROKER_GOT, words::VIEW_BROKER_GAVE);
        let (got_too, gave_too) = (words::VIEW_ARCHIVE_GOT, words::VIEW_ARCHIVE_GAVE);
        let length = Some(taken.bytes);
        let views = match (taken.phase, taken.number) {
            (Phase::Authentication, 1) => vec![of_broker(got, Piece::Request, &path(1))],
            (Phase::Authentication, 2) => vec![of_archive(got_too, Piece::Request, &path(2), length)],
            (Phase::Authentication, 3) if taken.route.starts_with('M') => {
                vec![of_archive(gave_too, Piece::Reply, &path(2), length)]
            }
            (Phase::Authentication, 3) => vec![of_broker(gave, Piece::Reply, &path(1))],
            (Phase::Authentication, 4) => vec![of_broker(got, Piece::Request, &with_session(4))],
            (Phase::Authentication, 5) => vec![of_broker(gave, Piece::Reply, &with_session(4))],
            (Phase::Authentication, 6) => vec![of_archive(got_too, Piece::Request, &with_session(6), length)],
            (Phase::Authentication, 7) => vec![of_archive(gave_too, Piece::Reply, &with_session(6), length)],
            (Phase::Authentication, 8) => vec![
                of_broker(words::VIEW_BROKER_PASSED_OPEN, Piece::Reply, &with_session(4)),
                of_archive(gave_too, Piece::Reply, CALL_PATH, None),
            ],
            (Phase::Authentication, _) => vec![
                of_broker(got, Piece::Request, &with_session(9)),
                of_archive(got_too, Piece::Request, CALL_PATH, None),
            ],
            (Phase::Transmission, number @ 1..=4) => {
                let wanted = if number <= 2 { TO_BROKER_REQUEST } else { TO_BROKER_ACCEPT };
                let opened = broker.opened(wanted, at);
                let request = opened.and_then(|opened| broker.request_before(opened, CHANNEL_PATH));
                if number % 2 == 1 {
                    vec![
                        request.and_then(|n| broker.view(Side::Broker, got, Piece::Request, n)),
                        opened.and_then(|kept| broker.read_piece(Side::Broker, words::VIEW_BROKER_OPENED, kept)),
                    ]
                } else {
                    vec![request.and_then(|n| broker.view(Side::Broker, gave, Piece::Reply, n))]
                }
            }
            (Phase::Transmission, number) => self.relayed(taken, number),
        };
        views.into_iter().flatten().collect()
    }

    /// Steps 5 to 7, which go through the broker.
    fn relayed(&self, taken: &Taken, number: u8) -> Vec<Option<View>> {
        let at = taken.at.saturating_mul(1000);
        let writes = taken.route.starts_with('L');
        let wanted = match number {
            5 | 6 => TO_ARCHIVE_PRESENT,
            _ if writes => TO_ARCHIVE_ENTRIES,
            _ => TO_ARCHIVE_FETCH,
        };
        let Some(opened) = self.archive.opened(wanted, at) else { return Vec::new() };
        let path = format!("{RELAY_PATH}/{}", taken.session);
        let request = self.archive.request_before(opened, &path);
        let passed = self.broker.nearest(Piece::Request, &path, None, opened.at).map(|kept| kept.request);
        let asked = number == 5 || (number == 7 && writes);
        let (piece, sealed) =
            if asked { (Piece::Request, words::VIEW_ARCHIVE_GOT) } else { (Piece::Reply, words::VIEW_ARCHIVE_SEALED) };
        vec![
            passed.and_then(|number| self.broker.view(Side::Broker, words::VIEW_BROKER_PASSED, piece, number)),
            request.and_then(|number| self.archive.view(Side::Archive, sealed, piece, number)),
            asked.then(|| self.archive.read_piece(Side::Archive, words::VIEW_ARCHIVE_OPENED, opened)).flatten(),
        ]
    }
}

impl Tail {
    fn refresh(&mut self) -> std::io::Result<()> {
        let mut lines = BufReader::new(File::open(index(&self.path))?);
        lines.seek(SeekFrom::Start(self.read))?;
        let content = File::open(&self.path)?;
        let mut line = String::new();
        while lines.read_line(&mut line)? > 0 && line.ends_with('\n') {
            self.read += line.len() as u64;
            if let Some(mut kept) = parsed(line.trim_end()) {
                let mut head = [0; 2];
                if kept.piece == Piece::Opened && content.read_exact_at(&mut head, kept.begin).is_ok() {
                    kept.number = head[1];
                }
                self.pieces.push_back(kept);
            }
            line.clear();
        }
        let surplus = self.pieces.len().saturating_sub(PIECES_MAX);
        self.pieces.drain(..surplus);
        Ok(())
    }

    /// What is like this and was written at about that time; of the same length rather than another.
    fn nearest(&self, piece: Piece, path: &str, length: Option<usize>, at: u64) -> Option<&Kept> {
        let like = |kept: &&Kept| {
            kept.piece == piece && kept.path.starts_with(path) && kept.at.abs_diff(at) <= APART_MICROS_MAX
        };
        self.pieces
            .iter()
            .filter(like)
            .min_by_key(|kept| (length.is_some_and(|length| kept.length != length), kept.at.abs_diff(at)))
    }

    /// What was opened at about that time, by the number of the choice.
    fn opened(&self, number: u8, at: u64) -> Option<&Kept> {
        let like = |kept: &&Kept| {
            kept.piece == Piece::Opened && kept.number == number && kept.at.abs_diff(at) <= APART_MICROS_MAX
        };
        self.pieces.iter().filter(like).min_by_key(|kept| kept.at.abs_diff(at))
    }

    /// The number of the request out of which something was opened: the last one on that path before it.
    fn request_before(&self, opened: &Kept, path: &str) -> Option<u64> {
        let before =
            |kept: &&Kept| kept.piece == Piece::Request && kept.begin < opened.begin && kept.path.starts_with(path);
        self.pieces.iter().rev().find(before).map(|kept| kept.request)
    }

    /// The body of a request or of its answer.
    fn view(&self, side: Side, heading: &'static str, piece: Piece, request: u64) -> Option<View> {
        let pieces: Vec<&Kept> =
            self.pieces.iter().filter(|kept| kept.request == request && kept.piece == piece).collect();
        let framed = pieces.first()?.path.starts_with(RELAY_PATH);
        let length = pieces.iter().map(|kept| kept.length).sum();
        let mut bytes = Vec::new();
        for kept in pieces {
            bytes.extend(self.read_bytes(kept, VIEW_BYTES_MAX.saturating_sub(bytes.len()))?);
        }
        Some(View { side, heading, bytes, length, framed })
    }

    fn read_piece(&self, side: Side, heading: &'static str, kept: &Kept) -> Option<View> {
        let bytes = self.read_bytes(kept, VIEW_BYTES_MAX)?;
        Some(View { side, heading, bytes, length: kept.length, framed: false })
    }

    fn read_bytes(&self, kept: &Kept, most: usize) -> Option<Vec<u8>> {
        let mut bytes = vec![0; kept.length.min(most)];
        File::open(&self.path).and_then(|file| file.read_exact_at(&mut bytes, kept.begin)).ok()?;
        Some(bytes)
    }
}

fn parsed(line: &str) -> Option<Kept> {
    let mut fields = line.split(' ');
    let mut next = || fields.next();
    let (at, request, piece) = (next()?.parse().ok()?, next()?.parse().ok()?, next()?);
    let piece =
        [Piece::Path, Piece::Request, Piece::Reply, Piece::Opened].into_iter().find(|known| known.as_str() == piece)?;
    let (begin, length) = (next()?.parse().ok()?, next()?.parse().ok()?);
    Some(Kept { at, request, piece, begin, length, path: next()?.into(), number: u8::MAX })
}

/// Numbers of choices in `spec/protocol.md`, sections 7.1 and 7.3.
const TO_BROKER_REQUEST: u8 = 5;
const TO_BROKER_ACCEPT: u8 = 6;
const TO_ARCHIVE_PRESENT: u8 = 2;
const TO_ARCHIVE_FETCH: u8 = 3;
const TO_ARCHIVE_ENTRIES: u8 = 5;
/// Pieces of a capture that are kept in mind.
const PIECES_MAX: usize = 100_000;
/// Between the report of a step and its message, in microseconds.
const APART_MICROS_MAX: u64 = 10_000_000;
/// Bytes of a message that are read to be shown.
const VIEW_BYTES_MAX: usize = 64 << 10;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn lines_of_the_index_are_read() {
        let kept = parsed("1764516000000000 12 reply 40 8 /v1/channel").unwrap();
        assert_eq!((kept.at, kept.request, kept.piece), (1_764_516_000_000_000, 12, Piece::Reply));
        assert_eq!((kept.begin, kept.length, &*kept.path), (40, 8, "/v1/channel"));
        assert!(parsed("1 2 reply 40").is_none() && parsed("1 2 other 40 8 -").is_none());
    }
}
