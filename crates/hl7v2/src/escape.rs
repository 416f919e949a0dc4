//! Escape sequences in the values of a message (HL7 v2.9 section 2.7), both ways. What formatting cannot be
//! shown in plain text is left out; what is no sequence stays as it is.

use encoding_rs::WINDOWS_1252;

use crate::message::Delimiters;

/// Most lines or blanks that one formatting command gives.
pub const FORMATTING_REPEAT_MAX: usize = 20;

/// The value with its escape sequences resolved and without control characters other than tab and line
/// feed; `\.br\` and line ends become a line feed.
pub fn decode(value: &str, delimiters: &Delimiters) -> String {
    let mut text = String::with_capacity(value.len());
    let mut rest = value;
    while let Some((before, after)) = rest.split_once(delimiters.escape) {
        text.push_str(before);
        match after.split_once(delimiters.escape) {
            Some((sequence, after_sequence)) if resolve(sequence, delimiters, &mut text) => rest = after_sequence,
            // A stray escape character, as in a path: it stands for itself.
            _ => {
                text.push(delimiters.escape);
                rest = after;
            }
        }
    }
    text.push_str(rest);
    if text.contains('\r') {
        text = text.replace("\r\n", "\n").replace('\r', "\n");
    }
    text.retain(|letter| !letter.is_control() || matches!(letter, '\n' | '\t'));
    text
}

/// Appends what a sequence stands for; false when it is none.
fn resolve(sequence: &str, delimiters: &Delimiters, text: &mut String) -> bool {
    match sequence {
        "F" => text.push(delimiters.field),
        "S" => text.push(delimiters.component),
        "T" => text.push(delimiters.subcomponent),
        "R" => text.push(delimiters.repetition),
        "E" => text.push(delimiters.escape),
        // Highlighting, and the truncation character of v2.7.
        "H" | "N" => {}
        "P" => text.push('#'),
        _ => return resolve_command(sequence, text),
    }
    true
}

fn resolve_command(sequence: &str, text: &mut String) -> bool {
    if let Some(digits) = sequence.strip_prefix('X') {
        let Some(bytes) = hexadecimal(digits) else { return false };
        match std::str::from_utf8(&bytes) {
            Ok(decoded) => text.push_str(decoded),
            Err(_) => text.push_str(&WINDOWS_1252.decode_without_bom_handling(&bytes).0),
        }
        return true;
    }
    let Some(command) = sequence.strip_prefix('.') else {
        // `\Cxxyy\` and `\Mxxyyzz\` switch character sets, `\Zxx\` is the sender's own: no text.
        return matches!(sequence.as_bytes(), [b'C' | b'M' | b'Z', rest @ ..] if rest.len() >= 2
            && rest.len() <= 6 && rest.iter().all(u8::is_ascii_hexdigit));
    };
    let count = |number: &str| number.trim_start_matches('+').parse().unwrap_or(1_usize).min(FORMATTING_REPEAT_MAX);
    match command.get(..2) {
        Some("br" | "ce") => text.push('\n'),
        Some("sp") => text.extend(std::iter::repeat_n('\n', count(&command[2..]))),
        Some("sk") => text.extend(std::iter::repeat_n(' ', count(&command[2..]))),
        Some("in" | "ti" | "fi" | "nf") => {}
        _ => return false,
    }
    true
}

/// The bytes of a row of hexadecimal digits.
pub fn hexadecimal(digits: &str) -> Option<Vec<u8>> {
    if digits.is_empty() || !digits.len().is_multiple_of(2) || !digits.is_ascii() {
        return None;
    }
    digits.as_bytes().chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()).collect()
}

/// A value for an acknowledgement: delimiters escaped, and everything outside printable ASCII shown as `?`,
/// because the answer must be readable in any character set.
pub fn encode(value: &str, delimiters: &Delimiters) -> String {
    let mut text = String::with_capacity(value.len());
    for letter in value.chars() {
        let sequence = match letter {
            _ if letter == delimiters.field => 'F',
            _ if letter == delimiters.component => 'S',
            _ if letter == delimiters.subcomponent => 'T',
            _ if letter == delimiters.repetition => 'R',
            _ if letter == delimiters.escape => 'E',
            ' '..='~' => {
                text.push(letter);
                continue;
            }
            _ => {
                text.push('?');
                continue;
            }
        };
        text.extend([delimiters.escape, sequence, delimiters.escape]);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(value: &str, expected: &str) {
        assert_eq!(decode(value, &Delimiters::default()), expected, "{value}");
    }

    #[test]
    fn sequences_are_resolved() {
        let cases = [
            ("plain", "plain"),
            (r"a\F\b\S\c\T\d\R\e\E\f", r"a|b^c&d~e\f"),
            (r"O\T\P and \H\loud\N\", "O&P and loud"),
            (r"\X41\\XC3BC\\X0D0A\x", "Aü\nx"),
            (r"\XFC\", "ü"),
            (r"one\.br\two\.br\\.br\four", "one\ntwo\n\nfour"),
            (r"a\.sp3\b\.sk2\c\.in+4\d\.ce\e", "a\n\n\nb  cd\ne"),
            (r"\.sp99999999999999999999\", "\n"),
            (r"Müller \.br\ Straße", "Müller \n Straße"),
            // Not sequences: they stay.
            (r"C:\temp\new", r"C:\temp\new"),
            (r"open \ end", r"open \ end"),
            (r"\", r"\"),
            (r"\\", r"\\"),
            (r"\X4\ \XZZ\ \Xä\", r"\X4\ \XZZ\ \Xä\"),
            (r"\.ä\", r"\.ä\"),
            (r"C:\dir\T\x", r"C:\dir&x"),
            ("\u{0}bell\u{7}\ttab", "bell\ttab"),
        ];
        for (value, expected) in cases {
            check(value, expected);
        }
        check(r"\.sp99\", &"\n".repeat(FORMATTING_REPEAT_MAX));
    }

    #[test]
    fn encoded_values_are_read_back() {
        let delimiters = Delimiters::default();
        let value = r"a|b^c&d~e\f";
        assert_eq!(decode(&encode(value, &delimiters), &delimiters), value);
        assert_eq!(encode("Mü\r", &delimiters), "M??");
    }
}
