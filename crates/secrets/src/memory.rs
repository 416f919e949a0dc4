//! The memory of another process, as Linux shows it in `/proc` to its parent and to root.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::ops::Range;

/// Bytes read at a time.
const PIECE_BYTES: usize = 1 << 20;

/// Where a needle was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Which needle.
    pub needle: usize,
    /// Its address.
    pub address: u64,
    /// What the memory is: `[heap]`, `[stack]`, a file or nothing.
    pub region: String,
}

/// Searches all writable memory of a process. Gives what was found, and how many bytes were searched.
pub fn search(process: u32, needles: &[Vec<u8>]) -> io::Result<(Vec<Found>, u64)> {
    let maps = std::fs::read_to_string(format!("/proc/{process}/maps"))?;
    let mut memory = File::open(format!("/proc/{process}/mem"))?;
    let (mut found, mut searched) = (Vec::new(), 0);
    let overlap = needles.iter().map(Vec::len).max().unwrap_or(1) - 1;
    for (range, region) in maps.lines().filter_map(writable) {
        let mut at = range.start;
        let mut piece = Vec::new();
        memory.seek(SeekFrom::Start(at))?;
        while at < range.end {
            let wanted = PIECE_BYTES.min(usize::try_from(range.end - at).unwrap_or(PIECE_BYTES));
            let kept = piece.len().min(overlap);
            piece.drain(..piece.len() - kept);
            piece.resize(kept + wanted, 0);
            if memory.read_exact(&mut piece[kept..]).is_err() {
                break;
            }
            for (number, needle) in needles.iter().enumerate() {
                let places = places(&piece, needle).filter(|place| place + needle.len() > kept);
                found.extend(places.map(|place| Found {
                    needle: number,
                    address: at - kept as u64 + place as u64,
                    region: region.to_owned(),
                }));
            }
            at += wanted as u64;
            searched += wanted as u64;
        }
    }
    Ok((found, searched))
}

/// The range and the name of a mapping that can be written to.
fn writable(line: &str) -> Option<(Range<u64>, &str)> {
    let mut fields = line.split_whitespace();
    let (start, end) = fields.next()?.split_once('-')?;
    if !fields.next()?.starts_with("rw") {
        return None;
    }
    let name = fields.nth(3).unwrap_or_default();
    let number = |text| u64::from_str_radix(text, 16).ok();
    Some((number(start)?..number(end)?, name))
}

fn places<'a>(bytes: &'a [u8], needle: &'a [u8]) -> impl Iterator<Item = usize> + 'a {
    let first = needle.first().copied().unwrap_or_default();
    bytes
        .iter()
        .enumerate()
        .filter(move |(_, byte)| **byte == first)
        .map(|(place, _)| place)
        .filter(move |place| bytes[*place..].starts_with(needle))
}
