//! Where a word is: in what each party was sent and sent, in its store, and in its audit log.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use aho_corasick::AhoCorasick;
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use bytes::Bytes;

use crate::demo::scan::contents;
use crate::error::CliError;

/// What was found of one word.
#[derive(Debug, Clone)]
pub(super) struct Searched {
    /// The word as it was typed.
    pub(super) word: String,
    /// For each party its messages, store and audit log, or why it could not be looked for.
    pub(super) parties: Result<Vec<[Place; 3]>, String>,
}

/// What was found in one place.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) times: usize,
    /// Bytes that were searched; 0 where there is nothing to search.
    pub(super) bytes: u64,
}

/// Why a word is not looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TooShort;

/// A word in all the forms in which it could stand somewhere.
pub(super) struct Word {
    /// As text and in hexadecimal, in capitals or small letters.
    plain: AhoCorasick,
    /// In both kinds of base64, at each of three places within a group.
    encoded: AhoCorasick,
}

impl Word {
    pub(super) fn new(word: &str) -> Result<Self, TooShort> {
        if word.chars().count() < WORD_LETTERS_MIN || word.len() > WORD_BYTES_MAX {
            return Err(TooShort);
        }
        let plain = AhoCorasick::builder()
            .ascii_case_insensitive(true)
            .build([word.as_bytes(), hex::encode(word).as_bytes()])
            .map_err(|_| TooShort)?;
        let encoded: BTreeSet<String> = (0..3usize)
            .flat_map(|shift| {
                let bytes: Vec<u8> = std::iter::repeat_n(0, shift).chain(word.bytes()).collect();
                // What depends on the bytes before and after is left out.
                let (first, last) = ((shift * 8).div_ceil(6), bytes.len() * 8 / 6);
                [STANDARD_NO_PAD.encode(&bytes), URL_SAFE_NO_PAD.encode(&bytes)].map(|all| (all, first, last))
            })
            .filter_map(|(all, first, last)| all.get(first..last).map(str::to_owned))
            .filter(|form| form.len() >= WORD_LETTERS_MIN)
            .collect();
        let encoded = AhoCorasick::new(encoded).map_err(|_| TooShort)?;
        Ok(Self { plain, encoded })
    }

    fn count(&self, content: &[u8]) -> usize {
        self.plain.find_iter(content).count() + self.encoded.find_iter(content).count()
    }

    fn in_files(&self, files: &[PathBuf]) -> Result<Place, CliError> {
        let files: Vec<PathBuf> = files.iter().filter(|file| file.exists()).cloned().collect();
        let mut place = Place::default();
        for file in &files {
            for content in contents(std::slice::from_ref(file))? {
                place.bytes += content.len() as u64;
                place.times += self.count(&content);
            }
        }
        Ok(place)
    }

    fn in_messages(&self, messages: &[Bytes]) -> Place {
        Place {
            times: messages.iter().map(|message| self.count(message)).sum(),
            bytes: messages.iter().map(|message| message.len() as u64).sum(),
        }
    }

    /// Messages, store and audit log of hospitals A and B, broker, archive and certificate authority.
    pub(super) fn everywhere(&self, folder: &Path, said: &[Vec<Bytes>; 2]) -> Result<Vec<[Place; 3]>, CliError> {
        let [a, b] = said;
        let messages = [
            self.in_messages(a),
            self.in_messages(b),
            self.in_files(&[folder.join("broker.capture")])?,
            self.in_files(&[folder.join("archive.capture")])?,
            Place::default(),
        ];
        let names = ["hospital-a", "hospital-b", "broker", "archive", "ca"];
        names
            .into_iter()
            .zip(messages)
            .map(|(name, messages)| {
                let (audit, store) = parts(&folder.join(name))?;
                Ok([messages, self.in_files(&store)?, self.in_files(&audit)?])
            })
            .collect()
    }
}

/// The files of a data folder that are its audit log, and the others.
fn parts(folder: &Path) -> Result<(Vec<PathBuf>, Vec<PathBuf>), CliError> {
    let failed = |e: std::io::Error| CliError::Local(format!("cannot search {}: {e}", folder.display()));
    let files: Result<Vec<PathBuf>, _> =
        std::fs::read_dir(folder).map_err(failed)?.map(|entry| entry.map(|entry| entry.path())).collect();
    let is_audit = |file: &PathBuf| {
        file.file_name().and_then(std::ffi::OsStr::to_str).is_some_and(|name| name.starts_with("audit"))
    };
    Ok(files.map_err(failed)?.into_iter().partition(is_audit))
}

/// Fewer letters occur by chance.
const WORD_LETTERS_MIN: usize = 5;
/// Nobody types more.
const WORD_BYTES_MAX: usize = 200;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_word_is_found_in_each_of_its_forms() {
        let word = Word::new("Oakenfold").unwrap();
        let encoded = |before: &str| STANDARD_NO_PAD.encode(format!("{before}Oakenfold and more"));
        for (form, times) in [
            ("Mrs Oakenfold".to_owned(), 1),
            ("OAKENFOLD, oakenfold".to_owned(), 2),
            (format!("x{}", hex::encode("Oakenfold").to_uppercase()), 1),
            (encoded(""), 1),
            (encoded("a"), 1),
            (encoded("ab"), 1),
            (URL_SAFE_NO_PAD.encode("aOakenfold\u{3fe}"), 1),
            ("Oaken fold".to_owned(), 0),
        ] {
            assert_eq!(word.count(form.as_bytes()), times, "{form}");
        }
        assert!(Word::new("four").is_err() && Word::new(&"x".repeat(300)).is_err());
    }
}
