//! The Merkle tree (RFC 6962, section 2): appending, roots and proofs. The mathematics is that of `tlog_tiles`; here it
//! is told which hashes to fetch before it computes, because what keeps them answers later.

use std::cell::RefCell;
use std::collections::BTreeMap;

use sealwort_proto::Digest;
use tlog_tiles::tlog::{self, Hash, HashReader};

/// Most entries of a log. Beyond it no number of the tree's overflows.
pub const SIZE_MAX: u64 = 1 << 40;
/// Most hashes of a proof: one per level, on both sides of a path.
pub(crate) const PROOF_HASHES_MAX: usize = 80;

/// What is wrong with a tree or a proof.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TreeError {
    /// The log holds as many entries as it may.
    #[error("the log holds as many entries as it may")]
    TooLarge,
    /// A hash that is needed was not given.
    #[error("a hash of the tree is missing")]
    Missing,
    /// The proof does not prove it.
    #[error("the proof does not lead from the one to the other")]
    Proof,
}

/// The hash of a leaf (RFC 6962, 2.1).
pub fn leaf_hash(leaf: &[u8]) -> Digest {
    Digest::new(tlog::record_hash(leaf).0)
}

/// The hashes that an entry completed, 32 bytes each: its own, then of ever larger subtrees.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Hashes(Vec<Digest>);

impl Hashes {
    /// Reads them; `None` for another number of bytes than entry `number` completes.
    pub fn from_bytes(number: u64, bytes: &[u8]) -> Option<Self> {
        let (whole, rest) = bytes.as_chunks::<32>();
        let expected = usize::try_from(number.checked_add(1)?.trailing_zeros()).ok()? + 1;
        let right = rest.is_empty() && whole.len() == expected;
        right.then(|| Self(whole.iter().map(|hash| Digest::new(*hash)).collect()))
    }

    /// As they are stored.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.0.iter().flat_map(|hash| *hash.as_bytes()).collect()
    }

    /// The one of this level; the leaf's own is of level 0.
    pub(crate) fn at(&self, level: usize) -> Option<Digest> {
        self.0.get(level).copied()
    }

    /// The leaf's own.
    pub fn leaf(&self) -> Digest {
        self.0.first().copied().unwrap_or(Digest::ZERO)
    }
}

/// A tree of which only its right edge is held: enough to append and to know the root.
#[derive(Clone, Debug)]
pub struct Tree {
    size: u64,
    /// By storage index: the complete subtrees that make up the tree, one per bit of its size.
    edge: Found,
}

impl Tree {
    /// Without entries.
    pub fn empty() -> Self {
        Self { size: 0, edge: Found::default() }
    }

    /// A tree of this size, with what [`Question::Root`] of this size asks for.
    pub fn open(size: u64, found: &[(u64, Hashes)]) -> Result<Self, TreeError> {
        let question = Question::Root { size };
        let edge = question.found(found)?;
        Ok(Self { size, edge })
    }

    /// From the hashes of [`Self::edge`].
    pub(crate) fn from_edge(size: u64, hashes: &[Digest]) -> Result<Self, TreeError> {
        if size > SIZE_MAX {
            return Err(TreeError::TooLarge);
        }
        let places = tlog::sub_tree_index(0, size, Vec::new());
        if places.len() != hashes.len() {
            return Err(TreeError::Missing);
        }
        Ok(Self { size, edge: Found(places.into_iter().zip(hashes.iter().map(|h| Hash(*h.as_bytes()))).collect()) })
    }

    /// The complete subtrees, the largest first.
    pub fn edge(&self) -> Vec<Digest> {
        let places = tlog::sub_tree_index(0, self.size, Vec::new());
        places.iter().filter_map(|place| self.edge.0.get(place)).map(|hash| Digest::new(hash.0)).collect()
    }

    /// How many entries.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Appends a leaf by its hash, and gives what is to be stored with it.
    pub fn append(&mut self, leaf: Digest) -> Result<Hashes, TreeError> {
        if self.size >= SIZE_MAX {
            return Err(TreeError::TooLarge);
        }
        let hashes = tlog::stored_hashes_for_record_hash(self.size, Hash(*leaf.as_bytes()), &self.edge)
            .map_err(|_| TreeError::Missing)?;
        let place = tlog::stored_hash_index(0, self.size);
        self.size += 1;
        for (place, hash) in (place..).zip(&hashes) {
            self.edge.0.insert(place, *hash);
        }
        let needed = tlog::sub_tree_index(0, self.size, Vec::new());
        self.edge.0.retain(|place, _| needed.contains(place));
        Ok(Hashes(hashes.iter().map(|hash| Digest::new(hash.0)).collect()))
    }

    /// The root.
    pub fn root(&self) -> Digest {
        let root = tlog::tree_hash(self.size, &self.edge);
        // The edge holds all that is asked for: `open` and `append` see to that.
        root.map_or(Digest::ZERO, |root| Digest::new(root.0))
    }
}

/// What is to be computed from stored hashes: first ask which entries' hashes it takes, fetch those, then answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Question {
    /// The root of the first `size` entries.
    Root {
        /// How many entries.
        size: u64,
    },
    /// That entry `number` is among the first `size`.
    Inclusion {
        /// How many entries.
        size: u64,
        /// Which entry.
        number: u64,
    },
    /// That the first `old` entries are the beginning of the first `size`.
    Consistency {
        /// How many entries.
        size: u64,
        /// How many at first.
        old: u64,
    },
}

impl Question {
    /// The numbers of the entries whose [`Hashes`] it takes, ascending.
    pub fn needs(self) -> Vec<u64> {
        let asked = Asked::default();
        // The one answer of this reader is that it has nothing; what it was asked for is all that counts.
        let _ = self.run(&asked);
        let mut numbers: Vec<u64> = asked.0.into_inner().into_iter().map(|place| holder(place).0).collect();
        numbers.sort_unstable();
        numbers.dedup();
        numbers
    }

    /// The proof, or for [`Self::Root`] the root alone.
    pub fn answer(self, found: &[(u64, Hashes)]) -> Result<Vec<Digest>, TreeError> {
        let found = self.found(found)?;
        Ok(self.run(&found)?.into_iter().map(|hash| Digest::new(hash.0)).collect())
    }

    fn found(self, found: &[(u64, Hashes)]) -> Result<Found, TreeError> {
        let asked = Asked::default();
        let _ = self.run(&asked);
        let by_number: BTreeMap<u64, &Hashes> = found.iter().map(|(number, hashes)| (*number, hashes)).collect();
        let hash = |place: u64| {
            let (number, level) = holder(place);
            let hash = by_number.get(&number)?.0.get(level)?;
            Some((place, Hash(*hash.as_bytes())))
        };
        let all: Option<BTreeMap<_, _>> = asked.0.into_inner().into_iter().map(hash).collect();
        all.map(Found).ok_or(TreeError::Missing)
    }

    fn run(self, reader: &impl HashReader) -> Result<Vec<Hash>, TreeError> {
        let missing = |_| TreeError::Missing;
        match self {
            Self::Root { size } | Self::Inclusion { size, .. } | Self::Consistency { size, .. } if size > SIZE_MAX => {
                Err(TreeError::TooLarge)
            }
            Self::Root { size } => Ok(vec![tlog::tree_hash(size, reader).map_err(missing)?]),
            Self::Inclusion { size, number } => tlog::prove_record(size, number, reader).map_err(missing),
            // From nothing everything follows.
            Self::Consistency { old: 0, .. } => Ok(Vec::new()),
            Self::Consistency { size, old } => tlog::prove_tree(size, old, reader).map_err(missing),
        }
    }
}

/// Checks that a leaf is entry `number` of the tree of this size and root.
pub fn check_inclusion(proof: &[Digest], size: u64, root: Digest, number: u64, leaf: Digest) -> Result<(), TreeError> {
    if size > SIZE_MAX || proof.len() > PROOF_HASHES_MAX {
        return Err(TreeError::TooLarge);
    }
    let (root, leaf) = (Hash(*root.as_bytes()), Hash(*leaf.as_bytes()));
    tlog::check_record(&hashes(proof), size, root, number, leaf).map_err(|_| TreeError::Proof)
}

/// Checks that the tree `old` is the beginning of the tree `new`, each a size and a root.
pub fn check_consistency(proof: &[Digest], new: (u64, Digest), old: (u64, Digest)) -> Result<(), TreeError> {
    if new.0 > SIZE_MAX || proof.len() > PROOF_HASHES_MAX {
        return Err(TreeError::TooLarge);
    }
    if old.0 == 0 {
        let empty = proof.is_empty() && old.1 == Tree::empty().root();
        return if empty { Ok(()) } else { Err(TreeError::Proof) };
    }
    let (root, old_root) = (Hash(*new.1.as_bytes()), Hash(*old.1.as_bytes()));
    tlog::check_tree(&hashes(proof), new.0, root, old.0, old_root).map_err(|_| TreeError::Proof)
}

fn hashes(proof: &[Digest]) -> Vec<Hash> {
    proof.iter().map(|hash| Hash(*hash.as_bytes())).collect()
}

/// The entry that completed the hash with this storage index, and its level.
fn holder(place: u64) -> (u64, usize) {
    let (level, n) = tlog::split_stored_hash_index(place);
    (((n + 1) << level) - 1, usize::from(level))
}

/// Remembers what it is asked for, and has nothing.
#[derive(Default)]
struct Asked(RefCell<Vec<u64>>);

impl HashReader for Asked {
    fn read_hashes(&self, places: &[u64]) -> Result<Vec<Hash>, tlog::Error> {
        self.0.borrow_mut().extend(places);
        Err(tlog::Error::IndexesNotInTree)
    }
}

#[derive(Clone, Debug, Default)]
struct Found(BTreeMap<u64, Hash>);

impl HashReader for Found {
    fn read_hashes(&self, places: &[u64]) -> Result<Vec<Hash>, tlog::Error> {
        places.iter().map(|place| self.0.get(place).copied().ok_or(tlog::Error::IndexesNotInTree)).collect()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;

    /// The trees and proofs of every size up to this, against the text of RFC 6962, 2.1.
    const SIZE: u64 = 40;

    fn leaf(number: u64) -> Digest {
        leaf_hash(&number.to_be_bytes())
    }

    fn node(left: Digest, right: Digest) -> Digest {
        let bytes = [&[1][..], left.as_bytes(), right.as_bytes()].concat();
        Digest::new(sealwort_proto::crypto::sha256(&bytes))
    }

    /// MTH of the RFC, by its own words.
    fn root(leaves: &[Digest]) -> Digest {
        match leaves.len() {
            0 => Digest::new(sealwort_proto::crypto::sha256(b"")),
            1 => leaves[0],
            n => {
                let k = 1 << (n - 1).ilog2();
                node(root(&leaves[..k]), root(&leaves[k..]))
            }
        }
    }

    fn stored() -> Vec<(u64, Hashes)> {
        let mut tree = Tree::empty();
        (0..SIZE).map(|number| (number, tree.append(leaf(number)).unwrap())).collect()
    }

    fn pick(stored: &[(u64, Hashes)], numbers: &[u64]) -> Vec<(u64, Hashes)> {
        stored.iter().filter(|(number, _)| numbers.contains(number)).cloned().collect()
    }

    #[test]
    fn roots_are_those_of_the_rfc_and_trees_reopen_at_every_size() {
        let stored = stored();
        let leaves: Vec<_> = (0..SIZE).map(leaf).collect();
        for size in 0..=SIZE {
            let needs = Question::Root { size }.needs();
            let tree = Tree::open(size, &pick(&stored, &needs)).unwrap();
            assert_eq!(tree.root(), root(&leaves[..usize::try_from(size).unwrap()]), "{size}");
            assert_eq!(Tree::from_edge(size, &tree.edge()).unwrap().root(), tree.root());
            if size > 0 {
                assert!(Tree::open(size, &[]).is_err());
            }
        }
        for (number, hashes) in &stored {
            assert_eq!(Hashes::from_bytes(*number, &hashes.to_bytes()).as_ref(), Some(hashes));
            assert_eq!(Hashes::from_bytes(number + 1, &hashes.to_bytes()), None);
        }
    }

    #[test]
    fn proofs_hold_for_what_they_prove_and_nothing_else() {
        let stored = stored();
        let leaves: Vec<_> = (0..SIZE).map(leaf).collect();
        let root_of = |size: u64| root(&leaves[..usize::try_from(size).unwrap()]);
        for size in 1..=SIZE {
            for number in 0..size {
                let question = Question::Inclusion { size, number };
                let proof = question.answer(&pick(&stored, &question.needs())).unwrap();
                check_inclusion(&proof, size, root_of(size), number, leaf(number)).unwrap();
                assert!(check_inclusion(&proof, size, root_of(size), number, leaf(number + 1)).is_err());
                assert!(check_inclusion(&proof, size, root_of(size), number + 1, leaf(number)).is_err());
                let mut wrong = proof.clone();
                wrong.push(leaf(0));
                assert!(check_inclusion(&wrong, size, root_of(size), number, leaf(number)).is_err());

                let old = number + 1;
                let question = Question::Consistency { size, old };
                let proof = question.answer(&pick(&stored, &question.needs())).unwrap();
                check_consistency(&proof, (size, root_of(size)), (old, root_of(old))).unwrap();
                for at in 0..proof.len() {
                    let mut wrong = proof.clone();
                    wrong[at] = leaf(99);
                    assert!(check_consistency(&wrong, (size, root_of(size)), (old, root_of(old))).is_err());
                }
                if old != size {
                    assert!(check_consistency(&proof, (size, root_of(size)), (old, leaf(0))).is_err() || old == 1);
                    assert!(check_consistency(&proof, (size, root_of(size)), (size, root_of(old))).is_err());
                }
            }
            check_consistency(&[], (size, root_of(size)), (0, root_of(0))).unwrap();
            assert!(check_consistency(&[], (size, root_of(size)), (0, leaf(0))).is_err());
        }
        for absurd in [SIZE_MAX + 1, u64::MAX] {
            assert!(check_inclusion(&[], absurd, leaf(0), absurd - 1, leaf(0)).is_err());
            assert!(check_consistency(&[], (absurd, leaf(0)), (1, leaf(0))).is_err());
            assert!(Question::Root { size: absurd }.answer(&[]).is_err());
        }
    }
}
