//! A patient's log: entries chained by hash, each signed by its author. A reader walks it from where it stood,
//! holds it against the head that the broker witnessed, and against the archive's own receipt at the end.

use std::collections::HashMap;

use sealwort_pki::{CertificateChain, PublicKey, UnixTime};

use crate::crypto::hash;
use crate::error::ErrorKind;
use crate::id::{Digest, Pseudonym};
use crate::operations::Operations;
use crate::peers::Peers;
use crate::receipt::{VerifiedReceipt, Witness};
use crate::record::{self, UnverifiedEntry, VerifiedEntry};
use crate::statement::key_id;

/// The head of an empty log.
pub fn genesis(patient: Pseudonym) -> Digest {
    hash("sealwort genesis v1", patient.as_bytes())
}

/// The hash of an entry: of its signed envelope, which holds the hash of its predecessor and of its ciphertext.
pub fn entry_hash(envelope: &[u8]) -> Digest {
    hash("sealwort entry hash v1", envelope)
}

/// The head of a patient's empty log.
pub fn empty(patient: Pseudonym) -> Witness {
    Witness { sequence: 0, head: genesis(patient) }
}

/// Authors whose certificates a reader has verified, by key.
#[derive(Clone, Default)]
pub struct Authors(HashMap<Digest, Author>);

#[derive(Clone)]
struct Author {
    identity: String,
    key: PublicKey,
    not_before: UnixTime,
    not_after: UnixTime,
}

impl Authors {
    /// Verifies and remembers an author's certificate, at the time `at` when one of its entries was written.
    pub fn add(&mut self, chain: &CertificateChain, at: UnixTime, peers: &Peers<'_>) -> Result<(), ErrorKind> {
        let party = peers.verify_author(chain, at)?;
        self.0.insert(
            key_id(party.public_key()),
            Author {
                identity: party.identity().to_string(),
                key: party.public_key().clone(),
                not_before: party.not_before(),
                not_after: party.not_after(),
            },
        );
        Ok(())
    }

    /// Whether this key's certificate is known.
    pub fn knows(&self, key: &Digest) -> bool {
        self.0.contains_key(key)
    }

    /// Verifies an entry by its author's certificate, which must have been valid when it was written.
    pub fn verify(&self, envelope: &[u8], operations: &Operations) -> Result<VerifiedEntry, ErrorKind> {
        let unverified = record::parse(envelope)?;
        let key = self.key_of(&unverified)?;
        unverified.verify(key, operations)
    }

    /// Verifies entries that follow each other, as [`Self::verify`] does each. A signature covers the hash of the entry
    /// before, with that one's signature, and an author makes the entries of one deposit by itself. So within a deposit
    /// the last signature vouches for all, and the others are not checked one by one; an archive that alters or adds
    /// one breaks the hashes first, and then each stands for itself.
    pub fn verify_run<'e>(
        &self,
        envelopes: impl IntoIterator<Item = &'e [u8]>,
        operations: &Operations,
    ) -> Result<Vec<VerifiedEntry>, ErrorKind> {
        let mut unverified: Vec<_> = envelopes.into_iter().map(record::parse).collect::<Result<_, _>>()?;
        let mut verified: Vec<VerifiedEntry> = Vec::with_capacity(unverified.len());
        while let Some(entry) = unverified.pop() {
            let key = self.key_of(&entry)?;
            let next = verified.last().filter(|next| entry.is_vouched_for_by(next));
            verified.push(if next.is_some() { entry.vouched_for() } else { entry.verify(key, operations)? });
        }
        verified.reverse();
        Ok(verified)
    }

    /// The key of an entry's author, by a certificate that fits the entry.
    fn key_of(&self, unverified: &UnverifiedEntry) -> Result<&PublicKey, ErrorKind> {
        let author = unverified
            .key_id()
            .and_then(|id| self.0.get(&id))
            .ok_or(ErrorKind::Chain("the certificate of an entry's author is missing"))?;
        if unverified.header().author != author.identity {
            return Err(ErrorKind::WrongParty {
                expected: author.identity.clone(),
                found: unverified.header().author.clone(),
            });
        }
        let written = UnixTime::from_secs(unverified.header().authored_at);
        if written < author.not_before || written > author.not_after {
            return Err(ErrorKind::Chain("an entry was written outside its author's certificate"));
        }
        Ok(&author.key)
    }
}

/// Walks a log entry by entry.
#[derive(Debug, Clone)]
pub struct ChainWalk {
    exchange: String,
    patient: Pseudonym,
    from: Witness,
    at: Witness,
    epoch: u64,
    witness: Witness,
    /// Other heads that the broker has witnessed, by sequence number.
    heads: HashMap<u64, Digest>,
}

impl ChainWalk {
    /// Starts after `from` (see [`empty`] for the beginning), to be held against `witness`.
    pub fn new(exchange: &str, patient: Pseudonym, from: Witness, witness: Witness) -> Result<Self, ErrorKind> {
        let walk =
            Self { exchange: exchange.to_owned(), patient, from, at: from, epoch: 0, witness, heads: HashMap::new() };
        walk.hold_against_witness()?;
        Ok(walk)
    }

    /// Holds the walk against more heads that the broker has witnessed: wherever it passes one of their numbers, it
    /// must stand at that head. So a later head that the broker took cannot have come from a branch that left out an
    /// earlier one. Heads beyond the walk's end may be newer than the reading, and do not count.
    pub fn hold_against(&mut self, heads: &[Witness]) -> Result<(), ErrorKind> {
        self.heads.extend(heads.iter().map(|head| (head.sequence, head.head)));
        self.hold_against_witness()
    }

    /// Where the walk stands.
    pub fn at(&self) -> Witness {
        self.at
    }

    /// Takes the next entry.
    pub fn step(&mut self, entry: &VerifiedEntry) -> Result<(), ErrorKind> {
        let header = entry.header();
        if header.exchange != self.exchange {
            return Err(ErrorKind::WrongExchange);
        }
        if header.patient != self.patient {
            return Err(ErrorKind::Chain("an entry belongs to another patient"));
        }
        if self.at.sequence.checked_add(1) != Some(header.sequence) {
            return Err(ErrorKind::Chain("an entry is missing or out of order"));
        }
        if header.previous != self.at.head {
            return Err(if self.at_known_head() {
                ErrorKind::Rollback("the log goes on from another head than the one that was witnessed")
            } else {
                ErrorKind::Chain("an entry does not follow from the one before it")
            });
        }
        // The archive takes entries of the newest epoch only: who lost the right to write has no later one.
        if header.epoch < self.epoch {
            return Err(ErrorKind::Chain("an entry goes back to an epoch that had ended"));
        }
        self.epoch = header.epoch;
        self.at = Witness { sequence: header.sequence, head: entry.hash() };
        self.hold_against_witness()
    }

    /// Ends the walk at the archive's receipt: the log must reach the witnessed head and end where the receipt says.
    pub fn finish(self, receipt: &VerifiedReceipt) -> Result<Witness, ErrorKind> {
        if receipt.receipt().patient != self.patient || receipt.witness() != self.at {
            return Err(ErrorKind::Rollback("the archive's receipt does not match the entries that it sent"));
        }
        if self.at.sequence < self.witness.sequence {
            return Err(ErrorKind::Rollback("the log ends before the head that the broker has witnessed"));
        }
        Ok(self.at)
    }

    /// Whether the walk stands at a head known without this answer of the archive: to the reader or to the broker.
    fn at_known_head(&self) -> bool {
        self.at == self.from || self.at == self.witness
    }

    fn hold_against_witness(&self) -> Result<(), ErrorKind> {
        let other = self.heads.get(&self.at.sequence).is_some_and(|head| *head != self.at.head);
        if other || (self.at.sequence == self.witness.sequence && self.at.head != self.witness.head) {
            return Err(ErrorKind::Rollback("the log differs from the head that the broker has witnessed"));
        }
        Ok(())
    }
}
