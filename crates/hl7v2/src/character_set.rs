//! The character set of a message (MSH-18, HL7 table 0211), and its text as UTF-8. It reads no more of a
//! message than MSH-18.

use std::borrow::Cow;

use encoding_rs::{BIG5, EUC_KR, Encoding, GB18030, SHIFT_JIS, UTF_8, WINDOWS_1252};
use thiserror::Error;

/// Why a message has no text.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum CharacterSetError {
    /// MSH-18 names a character set that we cannot read.
    #[error("the character set in MSH-18 is not supported; use UNICODE UTF-8 or 8859/1")]
    Unknown,
    /// The bytes are not what MSH-18 says.
    #[error("the message is not in the character set that MSH-18 names; correct MSH-18 or the sender's encoding")]
    Malformed,
}

/// The text of a message. Where MSH-18 is absent or says ASCII and there are other bytes, the text is
/// UTF-8 if it can be and ISO 8859-1 otherwise.
///
/// # Errors
/// [`CharacterSetError`] when MSH-18 names an unknown set or the wrong one.
pub fn text(bytes: &[u8]) -> Result<Cow<'_, str>, CharacterSetError> {
    let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    let guessed = || match std::str::from_utf8(bytes) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => WINDOWS_1252.decode_without_bom_handling(bytes).0,
    };
    match named(bytes) {
        Named::Nothing => Ok(guessed()),
        Named::Unknown => Err(CharacterSetError::Unknown),
        Named::Set(encoding) => {
            let text = encoding.decode_without_bom_handling_and_without_replacement(bytes);
            text.ok_or(CharacterSetError::Malformed)
        }
    }
}

/// What MSH-18 says.
enum Named {
    Nothing,
    Unknown,
    Set(&'static Encoding),
}

fn named(bytes: &[u8]) -> Named {
    let Some((&separator, _)) = bytes.strip_prefix(b"MSH").and_then(<[u8]>::split_first) else {
        return Named::Nothing;
    };
    let header = bytes.split(|byte| matches!(byte, b'\r' | b'\n')).next().unwrap_or_default();
    let field = header.split(|byte| *byte == separator).nth(MSH_18).unwrap_or_default();
    // A second repetition would announce sets that escape sequences switch to.
    let repetition = bytes.get(REPETITION_AT).copied().unwrap_or(b'~');
    let first = field.split(|byte| *byte == repetition).next().unwrap_or_default();
    let label = String::from_utf8_lossy(first).trim().to_ascii_uppercase();
    if let Some(part) = label.strip_prefix("8859/").or_else(|| label.strip_prefix("ISO-8859-")) {
        return Encoding::for_label(format!("iso-8859-{part}").as_bytes()).map_or(Named::Unknown, Named::Set);
    }
    match label.as_str() {
        "" | "ASCII" | "ANSI_X3.4" | "ISO IR6" | "\"\"" => Named::Nothing,
        "UNICODE UTF-8" | "UTF-8" | "UTF8" | "UNICODE" => Named::Set(UTF_8),
        "WINDOWS-1252" | "CP1252" | "WINDOWS 1252" => Named::Set(WINDOWS_1252),
        "GB 18030-2000" => Named::Set(GB18030),
        "BIG-5" => Named::Set(BIG5),
        "KS X 1001" => Named::Set(EUC_KR),
        "SHIFT_JIS" => Named::Set(SHIFT_JIS),
        _ => Named::Unknown,
    }
}

/// MSH-1 is the separator itself, so that MSH-18 is the piece of this number.
const MSH_18: usize = 17;
/// Where the repetition separator stands in `MSH|^~\&`.
const REPETITION_AT: usize = 5;

#[cfg(test)]
mod tests {
    use super::*;

    fn check(set: &str, content: &[u8], expected: Result<&str, CharacterSetError>) {
        let mut bytes = format!("MSH|^~\\&|A|B|C|D|1||ADT^A01|1|P|2.5||||||{set}\rPID|").into_bytes();
        bytes.extend_from_slice(content);
        let found = text(&bytes).map(|text| text.rsplit('|').next().unwrap_or_default().to_owned());
        assert_eq!(found.as_deref().map_err(|error| *error), expected, "{set}");
    }

    #[test]
    fn each_character_set_becomes_utf_8() {
        use CharacterSetError::{Malformed, Unknown};
        let cases: &[(&str, &[u8], Result<&str, CharacterSetError>)] = &[
            ("UNICODE UTF-8", "Müller".as_bytes(), Ok("Müller")),
            ("UNICODE UTF-8", b"M\xFCller", Err(Malformed)),
            ("8859/1", b"M\xFCller", Ok("Müller")),
            ("8859/15", b"10 \xA4", Ok("10 €")),
            ("8859/1~UNICODE UTF-8", b"M\xFCller", Ok("Müller")),
            ("WINDOWS-1252", b"10 \x80", Ok("10 €")),
            ("8859/2", b"\xA3\xF3d\xBC", Ok("Łódź")),
            ("ASCII", b"Miller", Ok("Miller")),
            ("ASCII", b"M\xFCller", Ok("Müller")),
            ("", "Müller".as_bytes(), Ok("Müller")),
            ("", b"M\xFCller", Ok("Müller")),
            ("UNICODE UTF-16", b"", Err(Unknown)),
            ("8859/99", b"", Err(Unknown)),
        ];
        for (set, content, expected) in cases {
            check(set, content, *expected);
        }
        assert_eq!(text(b"\xEF\xBB\xBFMSH|").unwrap(), "MSH|", "a byte order mark is taken off");
        assert_eq!(text(b"\xFF").unwrap(), "ÿ");
    }
}
