//! Batches (HL7 v2.9 section 2.10.3): a frame or file that holds several messages, with FHS, BHS, BTS and
//! FTS around them or with nothing around them. It finds where messages begin and end; it reads none.

use thiserror::Error;

/// Most messages of one batch.
pub const BATCH_MESSAGES_MAX: usize = 10_000;

/// Why a batch cannot be taken apart.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
pub enum BatchError {
    /// There is no message in it.
    #[error("no message was found; a message begins with MSH")]
    Empty,
    /// Something stands before the first message or between the wrappers.
    #[error("line {line} belongs to no message; a message begins with MSH")]
    Stray {
        /// The line, counted from 1.
        line: usize,
    },
    /// BTS-1 says another number: the batch was cut or joined on its way.
    #[error("BTS-1 says {said} messages and the batch holds {found}; send the batch again")]
    Count {
        /// What BTS-1 says.
        said: usize,
        /// What was found.
        found: usize,
    },
    /// Over [`BATCH_MESSAGES_MAX`].
    #[error("the batch holds more than {BATCH_MESSAGES_MAX} messages; split it")]
    TooMany,
}

/// The messages in a frame: each slice begins with `MSH`. A frame that holds one message gives that one.
///
/// # Errors
/// [`BatchError`]; nothing of such a frame is to be taken in.
pub fn split(frame: &[u8]) -> Result<Vec<&[u8]>, BatchError> {
    let mut messages = Vec::new();
    // Where the message being read began, and the messages since the last BHS or BTS.
    let mut open: Option<usize> = None;
    let mut in_batch = 0_usize;
    let mut start = 0;
    for (number, line) in frame.split_inclusive(|byte| matches!(byte, b'\r' | b'\n')).enumerate() {
        let at = start;
        start += line.len();
        let bare = line.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(line);
        let Some(name) = segment(bare) else {
            if open.is_none() && !bare.trim_ascii().is_empty() {
                return Err(BatchError::Stray { line: number + 1 });
            }
            continue;
        };
        if let Some(begun) = open.take() {
            messages.extend(frame.get(begun..at));
        }
        match name {
            Wrapper::Message => {
                open = Some(at + (line.len() - bare.len()));
                in_batch += 1;
                if messages.len() == BATCH_MESSAGES_MAX {
                    return Err(BatchError::TooMany);
                }
            }
            Wrapper::BatchEnd => {
                check_count(bare, in_batch)?;
                in_batch = 0;
            }
            Wrapper::BatchStart => in_batch = 0,
            Wrapper::File => {}
        }
    }
    messages.extend(open.and_then(|begun| frame.get(begun..)));
    if messages.is_empty() { Err(BatchError::Empty) } else { Ok(messages) }
}

/// The segments that begin or end a message.
enum Wrapper {
    Message,
    BatchStart,
    BatchEnd,
    File,
}

fn segment(line: &[u8]) -> Option<Wrapper> {
    // A name goes on with a delimiter; `MSHA` names nothing.
    if line.get(3).is_some_and(u8::is_ascii_alphanumeric) {
        return None;
    }
    match line.get(..3)? {
        b"MSH" => Some(Wrapper::Message),
        b"BHS" => Some(Wrapper::BatchStart),
        b"BTS" => Some(Wrapper::BatchEnd),
        b"FHS" | b"FTS" => Some(Wrapper::File),
        _ => None,
    }
}

fn check_count(line: &[u8], found: usize) -> Result<(), BatchError> {
    let separator = line.get(3).copied().unwrap_or(b'|');
    let first = line.split(|byte| *byte == separator).nth(1).unwrap_or_default();
    let said = std::str::from_utf8(first).ok().and_then(|text| text.trim().parse().ok());
    match said {
        Some(said) if said != found => Err(BatchError::Count { said, found }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(frame: &str, expected: Result<&[&str], BatchError>) {
        let found = split(frame.as_bytes());
        let text = |bytes: &&[u8]| String::from_utf8_lossy(bytes).into_owned();
        let found = found.map(|messages| messages.iter().map(text).collect::<Vec<_>>());
        let expected = expected.map(|list| list.iter().map(|one| (*one).to_owned()).collect::<Vec<_>>());
        assert_eq!(found, expected, "{frame:?}");
    }

    #[test]
    fn each_message_comes_out_alone() {
        let cases: &[(&str, Result<&[&str], BatchError>)] = &[
            ("MSH|1\rPID|1\r", Ok(&["MSH|1\rPID|1\r"])),
            ("\u{FEFF}MSH|1", Ok(&["MSH|1"])),
            ("\r\nMSH|1\r\n\r\nMSH|2\r\n", Ok(&["MSH|1\r\n\r\n", "MSH|2\r\n"])),
            ("FHS|^~\\&\rBHS|^~\\&\rMSH|1\rPID|1\rMSH|2\rBTS|2\rFTS|1\r", Ok(&["MSH|1\rPID|1\r", "MSH|2\r"])),
            ("BHS|\rMSH|1\rBTS|1\rBHS|\rMSH|2\rMSH|3\rBTS|2\r", Ok(&["MSH|1\r", "MSH|2\r", "MSH|3\r"])),
            ("BHS|\rMSH|1\rBTS\r", Ok(&["MSH|1\r"])),
            ("MSH|1\rNTE|MSH|\rMSHX|\r", Ok(&["MSH|1\rNTE|MSH|\rMSHX|\r"])),
            ("BHS|\rMSH|1\rBTS|2\r", Err(BatchError::Count { said: 2, found: 1 })),
            ("BHS|\rBTS|0\r", Err(BatchError::Empty)),
            ("", Err(BatchError::Empty)),
            ("PID|1", Err(BatchError::Stray { line: 1 })),
            ("[SOM]MSH|1", Err(BatchError::Stray { line: 1 })),
            ("BHS|\rMSH|1\rBTS|1\rPID|1", Err(BatchError::Stray { line: 4 })),
        ];
        for (frame, expected) in cases {
            check(frame, expected.map(|list| list as &[&str]));
        }
        assert_eq!(split("MSH|\r".repeat(BATCH_MESSAGES_MAX).as_bytes()).unwrap().len(), BATCH_MESSAGES_MAX);
        assert_eq!(split("MSH|\r".repeat(BATCH_MESSAGES_MAX + 1).as_bytes()), Err(BatchError::TooMany));
    }
}
