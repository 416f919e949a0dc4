//! The search for plaintext: every run of 16 bytes of every record, and every name, identifier and code in it,
//! against everything that broker and archive received, stored and sent.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use aho_corasick::AhoCorasick;
use bytes::Bytes;
use serde_json::Value;

use crate::error::CliError;

/// Length of a run that counts as plaintext, in bytes.
const RUN: usize = 16;
/// Shortest word that is searched for on its own, in bytes: shorter ones occur by chance.
const WORD_MIN: usize = 5;
/// Shortest word of hexadecimal digits alone: shorter ones occur by chance in printed hashes.
const HEX_WORD_MIN: usize = 12;
/// Runs of fewer different bytes say nothing: blanks, zeros, padding.
const DIFFERENT_MIN: usize = 6;
/// Bits of the first sieve.
const SIEVE_BITS: u32 = 26;

/// What is searched for.
pub(crate) struct Needles {
    /// Hashes of runs, sorted.
    runs: Vec<u64>,
    sieve: Vec<u64>,
    texts: Vec<String>,
    words: AhoCorasick,
}

/// What the search came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Found {
    /// Bytes searched.
    pub(crate) scanned: u64,
    /// Places where plaintext was found.
    pub(crate) plaintext: u64,
}

impl Needles {
    /// Everything in these resources that must not be seen.
    pub(crate) fn of<'a>(resources: impl Iterator<Item = &'a Bytes>) -> Result<Self, CliError> {
        let mut runs = Vec::new();
        let mut words = BTreeSet::new();
        for resource in resources {
            hashes(resource, |hash, run| {
                if different(run) >= DIFFERENT_MIN {
                    runs.push(hash);
                }
            });
            if let Ok(json) = serde_json::from_slice::<Value>(resource) {
                collect_words(&json, "", &mut words);
            }
        }
        runs.sort_unstable();
        runs.dedup();
        let mut sieve = vec![0u64; 1 << (SIEVE_BITS - 6)];
        for run in &runs {
            let (word, bit) = place(*run);
            if let Some(word) = sieve.get_mut(word) {
                *word |= bit;
            }
        }
        let texts: Vec<String> = words.into_iter().collect();
        let words = automaton(&texts)?;
        Ok(Self { runs, sieve, texts, words })
    }

    /// The same without the words that are in these places already: before any record was stored they can only
    /// be words that the files and the protocol use themselves, such as TREAT.
    pub(crate) fn without_own_words(mut self, places: &[PathBuf]) -> Result<Self, CliError> {
        let mut own = BTreeSet::new();
        for content in contents(places)? {
            own.extend(self.words.find_overlapping_iter(&content).map(|found| found.pattern().as_usize()));
        }
        let mut place = 0;
        self.texts.retain(|_| {
            place += 1;
            !own.contains(&(place - 1))
        });
        self.words = automaton(&self.texts)?;
        Ok(self)
    }

    /// Searches files, and folders with everything below them.
    pub(crate) fn search(&self, places: &[PathBuf]) -> Result<Found, CliError> {
        let mut found = Found::default();
        for content in contents(places)? {
            found.scanned += content.len() as u64;
            found.plaintext += self.count(&content);
        }
        Ok(found)
    }

    /// Places in some bytes where plaintext is.
    pub(crate) fn count(&self, content: &[u8]) -> u64 {
        let mut count = 0;
        hashes(content, |hash, _| {
            let (word, bit) = place(hash);
            let sieved = self.sieve.get(word).is_some_and(|word| word & bit != 0);
            if sieved && self.runs.binary_search(&hash).is_ok() {
                count += 1;
            }
        });
        count + self.words.find_iter(content).count() as u64
    }
}

fn automaton(texts: &[String]) -> Result<AhoCorasick, CliError> {
    AhoCorasick::new(texts).map_err(|e| CliError::Local(format!("too many words to search for: {e}")))
}

/// The content of files, and of folders with everything below them.
pub(super) fn contents(places: &[PathBuf]) -> Result<Vec<Vec<u8>>, CliError> {
    let mut contents = Vec::new();
    for place in places {
        let failed = |e: std::io::Error| CliError::Local(format!("cannot search {}: {e}", place.display()));
        if place.is_dir() {
            let below = std::fs::read_dir(place).map_err(failed)?;
            let below: Result<Vec<_>, _> = below.map(|entry| entry.map(|e| e.path())).collect();
            contents.extend(self::contents(&below.map_err(failed)?)?);
        } else {
            contents.push(content(place).map_err(failed)?);
        }
    }
    Ok(contents)
}

/// The content of a file. Files of a database stay open from then on: services of this very process have them open, too, and
/// the locks that SQLite takes on them are the process's, all of which end where the process closes the file anywhere.
fn content(file: &Path) -> std::io::Result<Vec<u8>> {
    let is_database = file.file_name().and_then(OsStr::to_str).is_some_and(|name| name.contains(".sqlite"));
    if !is_database {
        return std::fs::read(file);
    }
    let about = std::fs::metadata(file)?;
    let mut kept = KEPT_OPEN.lock().unwrap_or_else(PoisonError::into_inner);
    let open = match kept.entry((about.dev(), about.ino())) {
        Entry::Occupied(open) => open.into_mut(),
        Entry::Vacant(place) => place.insert(File::open(file)?),
    };
    open.seek(SeekFrom::Start(0))?;
    let mut content = Vec::new();
    open.read_to_end(&mut content)?;
    Ok(content)
}

/// Files of databases that were searched, by device and number.
static KEPT_OPEN: Mutex<BTreeMap<(u64, u64), File>> = Mutex::new(BTreeMap::new());

/// Gives every run of [`RUN`] bytes with its hash.
fn hashes(content: &[u8], mut each: impl FnMut(u64, &[u8])) {
    for run in content.windows(RUN) {
        let (first, second) = run.split_at(RUN / 2);
        let (Ok(first), Ok(second)) = (first.try_into(), second.try_into()) else { continue };
        let (first, second) = (u64::from_le_bytes(first), u64::from_le_bytes(second));
        let mixed = first.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ second.rotate_left(29);
        each(mixed.wrapping_mul(0xbf58_476d_1ce4_e5b9) ^ (mixed >> 31), run);
    }
}

fn different(run: &[u8]) -> usize {
    let mut seen = [0u64; 4];
    for byte in run {
        if let Some(word) = seen.get_mut(usize::from(byte >> 6)) {
            *word |= 1 << (byte & 63);
        }
    }
    seen.iter().map(|word| word.count_ones() as usize).sum()
}

fn place(hash: u64) -> (usize, u64) {
    let bit = hash >> (64 - SIEVE_BITS);
    ((bit >> 6) as usize, 1 << (bit & 63))
}

/// Names, identifiers and codes: the values of these members wherever they stand.
fn collect_words(json: &Value, member: &str, words: &mut BTreeSet<String>) {
    match json {
        Value::Object(members) => {
            for (name, value) in members {
                // In a list the member's name is that of the list.
                collect_words(value, name, words);
            }
        }
        Value::Array(values) => {
            for value in values {
                collect_words(value, member, words);
            }
        }
        Value::String(text) => {
            let tells = matches!(member, "family" | "given" | "text" | "display" | "value" | "code" | "line" | "city");
            let hex = text.bytes().all(|b| b.is_ascii_hexdigit());
            let long_enough = text.len() >= if hex { HEX_WORD_MIN } else { WORD_MIN };
            if tells && long_enough {
                words.insert(text.clone());
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn plaintext_is_found_wherever_it_stands() {
        let record = Bytes::from_static(b"{\"resourceType\":\"Patient\",\"name\":[{\"family\":\"Chalmers\"}]}");
        let needles = Needles::of(std::iter::once(&record)).unwrap();
        let mut noise: Vec<u8> = (0..10_000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        assert_eq!(needles.count(&noise), 0);
        noise.splice(5_000..5_000, *b"Chalmers");
        assert_eq!(needles.count(&noise), 1, "a name");
        noise.splice(700..700, *b"Type\":\"Patient\",");
        assert_eq!(needles.count(&noise), 2, "a run of 16 bytes");
    }
}
