//! Everything that went over the simulated wires and everything that was asked and answered, as one hash: two runs of a
//! seed are the same run if it is the same hash.

use std::fs::File;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sealwort_proto::crypto::Transcript;
use sealwort_proto::operations::Operations;

/// A trace that grows. Clones are the same one.
#[derive(Clone)]
pub(crate) struct Trace(Arc<Mutex<Recorded>>);

struct Recorded {
    hash: Transcript,
    segments: u64,
    bytes: u64,
    file: Option<File>,
}

/// What a trace came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Summary {
    /// SHA-256 over times, addresses, bytes and events, in hexadecimal.
    pub(crate) hash: String,
    /// Pieces that were written to a connection.
    pub(crate) segments: u64,
    /// Their bytes.
    pub(crate) bytes: u64,
}

impl Trace {
    /// An empty trace; a file, where one is named, gets it in words.
    pub(crate) fn new(file: Option<&Path>) -> std::io::Result<Self> {
        let file = file.map(File::create).transpose()?;
        let hash = Transcript::new("sealwort simulation trace v1");
        Ok(Self(Arc::new(Mutex::new(Recorded { hash, segments: 0, bytes: 0, file }))))
    }

    /// Bytes that one side of a connection wrote.
    pub(crate) fn wrote(&self, at: Duration, from: SocketAddr, to: SocketAddr, bytes: &[u8]) {
        let mut recorded = self.recorded();
        recorded.segments += 1;
        recorded.bytes += bytes.len() as u64;
        let place = format!("{from} {to}");
        recorded.hash.add(&at.as_nanos().to_be_bytes()).add(place.as_bytes()).add(bytes);
        if let Some(file) = &mut recorded.file {
            let _ = writeln!(file, "{:>11.6} {place} {} {}", at.as_secs_f64(), bytes.len(), hex::encode(bytes));
        }
    }

    /// Something that happened.
    pub(crate) fn event(&self, at: Duration, what: &str) {
        let mut recorded = self.recorded();
        recorded.hash.add(&at.as_nanos().to_be_bytes()).add(what.as_bytes());
        if let Some(file) = &mut recorded.file {
            let _ = writeln!(file, "{:>11.6} {what}", at.as_secs_f64());
        }
    }

    /// What it came to.
    pub(crate) fn summary(&self) -> Summary {
        let recorded = self.recorded();
        let hash = hex::encode(recorded.hash.digest(&Operations::default()).as_bytes());
        Summary { hash, segments: recorded.segments, bytes: recorded.bytes }
    }

    fn recorded(&self) -> MutexGuard<'_, Recorded> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
