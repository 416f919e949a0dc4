//! Bytes in a form that people can read: CBOR in diagnostic notation (RFC 8949, section 8) with long strings cut
//! short, and a few lines of hexadecimal.

use std::fmt::Write as _;

use minicbor::Decoder;
use minicbor::data::Type;
use sealwort_pages::words::explain::grouped;

/// A message in diagnostic notation, `None` where it is no CBOR. Frames are told apart.
pub(super) fn shape(bytes: &[u8], framed: bool) -> Option<String> {
    let mut out = Writer::default();
    if framed {
        let mut rest = bytes;
        while let Some((head, body)) = rest.split_at_checked(FRAME_HEADER_BYTES) {
            let (receiver, length) = head.split_first()?;
            let length = u32::from_be_bytes(length.try_into().ok()?) as usize;
            let whom = if *receiver == 0 { "the broker" } else { "the far end" };
            let _ = writeln!(out.text, "/ frame for {whom}, {} bytes /", grouped(length as u128));
            let (message, next) = body.split_at_checked(length).unwrap_or((body, &[]));
            if out.item(&mut Decoder::new(message), 0).is_none() {
                out.text.push('…');
            }
            out.text.push('\n');
            rest = next;
            if out.lines() > LINES_MAX {
                break;
            }
        }
    } else {
        out.item(&mut Decoder::new(bytes), 0)?;
    }
    Some(out.cut())
}

/// The first bytes in hexadecimal beside their characters.
pub(super) fn hexadecimal(bytes: &[u8]) -> String {
    let mut text = String::new();
    for (row, piece) in bytes.chunks(ROW_BYTES).take(ROWS_MAX).enumerate() {
        let _ = write!(text, "{:06x} ", row * ROW_BYTES);
        for place in 0..ROW_BYTES {
            match piece.get(place) {
                Some(byte) => {
                    let _ = write!(text, " {byte:02x}");
                }
                None => text.push_str("   "),
            }
        }
        text.push_str("  ");
        text.extend(piece.iter().map(|byte| if byte.is_ascii_graphic() { char::from(*byte) } else { '.' }));
        text.push('\n');
    }
    if bytes.len() > ROW_BYTES * ROWS_MAX {
        text.push_str("…\n");
    }
    text
}

#[derive(Default)]
struct Writer {
    text: String,
}

impl Writer {
    fn lines(&self) -> usize {
        self.text.bytes().filter(|byte| *byte == b'\n').count()
    }

    fn cut(self) -> String {
        let mut lines: Vec<&str> = self.text.trim_end().lines().take(LINES_MAX + 1).collect();
        if lines.len() > LINES_MAX {
            lines.truncate(LINES_MAX);
            lines.push("…");
        }
        lines.join("\n")
    }

    fn item(&mut self, decoder: &mut Decoder<'_>, depth: usize) -> Option<()> {
        if depth > DEPTH_MAX {
            return None;
        }
        match decoder.datatype().ok()? {
            Type::Array => {
                let count = decoder.array().ok()??;
                if count == 0 {
                    self.text.push_str("[]");
                    return Some(());
                }
                self.text.push('[');
                for place in 0..count {
                    self.line(depth + 1);
                    self.item(decoder, depth + 1)?;
                    if place + 1 < count {
                        self.text.push(',');
                    }
                }
                self.line(depth);
                self.text.push(']');
            }
            Type::Map => {
                let count = decoder.map().ok()??;
                self.text.push('{');
                for place in 0..count {
                    self.item(decoder, depth + 1)?;
                    self.text.push_str(": ");
                    self.item(decoder, depth + 1)?;
                    if place + 1 < count {
                        self.text.push_str(", ");
                    }
                }
                self.text.push('}');
            }
            Type::Tag => {
                let _ = write!(self.text, "{}(", decoder.tag().ok()?.as_u64());
                self.item(decoder, depth + 1)?;
                self.text.push(')');
            }
            Type::Bytes => {
                let bytes = decoder.bytes().ok()?;
                self.bytes(bytes, depth);
            }
            Type::String => {
                let text = decoder.str().ok()?;
                let short: String = text.chars().take(TEXT_LETTERS_MAX).collect();
                let _ = write!(self.text, "{short:?}");
                if short.len() < text.len() {
                    let _ = write!(self.text, "… / {} bytes /", grouped(text.len() as u128));
                }
            }
            Type::Bool => {
                let _ = write!(self.text, "{}", decoder.bool().ok()?);
            }
            Type::Null => {
                decoder.null().ok()?;
                self.text.push_str("null");
            }
            _ => {
                let _ = write!(self.text, "{}", decoder.int().ok()?);
            }
        }
        Some(())
    }

    /// A byte string: what is a message of its own in `<< >>`, else its first bytes.
    fn bytes(&mut self, bytes: &[u8], depth: usize) {
        let before = self.text.len();
        // Messages within messages are arrays, statements, or the protected headers of these.
        if bytes.len() > 1 && bytes.first().is_some_and(|first| matches!(first, 0x81..=0x97 | 0xa1..=0xa3 | 0xd2)) {
            let mut decoder = Decoder::new(bytes);
            self.text.push_str("<< ");
            if self.item(&mut decoder, depth).is_some() && decoder.position() == bytes.len() {
                self.text.push_str(" >>");
                return;
            }
            self.text.truncate(before);
        }
        let shown = bytes.get(..BYTES_SHOWN.min(bytes.len())).unwrap_or_default();
        let _ = write!(self.text, "h'{}", hex::encode(shown));
        if shown.len() < bytes.len() {
            let _ = write!(self.text, "…' / {} bytes /", grouped(bytes.len() as u128));
        } else {
            self.text.push('\'');
        }
    }

    fn line(&mut self, depth: usize) {
        self.text.push('\n');
        self.text.extend(std::iter::repeat_n("  ", depth));
    }
}

/// Before each frame's message (`spec/protocol.md`, section 5.4).
const FRAME_HEADER_BYTES: usize = 5;
/// Lines of a message that are shown.
const LINES_MAX: usize = 60;
/// How deep messages are looked into.
const DEPTH_MAX: usize = 12;
/// Of a byte string.
const BYTES_SHOWN: usize = 12;
/// Of a text.
const TEXT_LETTERS_MAX: usize = 100;
/// Of hexadecimal.
const ROW_BYTES: usize = 16;
/// Rows of it.
const ROWS_MAX: usize = 12;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn messages_are_shown_with_what_is_in_them() {
        // [1, "demo", h'8102' as a message of its own, 40 bytes, null]
        let mut bytes = vec![0x85, 0x01, 0x64, b'd', b'e', b'm', b'o', 0x42, 0x81, 0x02, 0x58, 40];
        bytes.extend([0xff; 40]);
        bytes.push(0xf6);
        let shown = shape(&bytes, false).unwrap();
        let expected =
            "[\n  1,\n  \"demo\",\n  << [\n    2\n  ] >>,\n  h'ffffffffffffffffffffffff…' / 40 bytes /,\n  null\n]";
        assert_eq!(shown, expected);
        let mut framed = vec![1, 0, 0, 0, 2, 0x81, 0x02];
        framed.extend([0, 0, 0, 0, 9, 0x81]);
        let shown = shape(&framed, true).unwrap();
        assert!(
            shown.starts_with("/ frame for the far end, 2 bytes /\n[\n  2\n]\n/ frame for the broker, 9 bytes /"),
            "{shown}"
        );
        assert_eq!(shape(&[0xff], false), None);
    }

    #[test]
    fn no_bytes_are_too_strange() {
        for length in 0..200usize {
            let bytes: Vec<u8> = (0..length).map(|n| u8::try_from(n * 151 % 256).unwrap()).collect();
            let _ = (shape(&bytes, false), shape(&bytes, true));
            assert!(hexadecimal(&bytes).lines().count() <= ROWS_MAX + 1);
        }
        // Arrays within arrays within arrays end somewhere.
        assert_eq!(shape(&[0x81; 10_000], false), None);
        assert_eq!(shape(&[0xd2; 10_000], false), None);
    }
}
