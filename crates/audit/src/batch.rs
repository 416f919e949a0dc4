//! One proof that several entries are in a tree: the hashes of the largest complete subtrees that hold none of them, from
//! left to right. With the entries' own hashes they give the root (RFC 6962, 2.1). Entries of one patient lie scattered;
//! a path for each would repeat most hashes of the others.

use sealwort_proto::Digest;
use sealwort_proto::crypto::sha256;

use crate::tree::{Hashes, SIZE_MAX, Tree, TreeError};

/// Which entries of a tree of which size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch {
    size: u64,
    numbers: Vec<u64>,
}

/// A place in the tree whose hash is asked for.
enum Part {
    /// An entry of the batch.
    Entry,
    /// A complete subtree without any, by its last entry and its level.
    Subtree(u64, usize),
}

impl Batch {
    /// These entries, ascending, of the first `size`.
    pub fn new(size: u64, numbers: Vec<u64>) -> Result<Self, TreeError> {
        let right = numbers.is_sorted_by(|a, b| a < b) && numbers.last().is_none_or(|last| *last < size);
        match size {
            _ if size > SIZE_MAX => Err(TreeError::TooLarge),
            _ if right => Ok(Self { size, numbers }),
            _ => Err(TreeError::Proof),
        }
    }

    /// Which entries.
    pub fn numbers(&self) -> &[u64] {
        &self.numbers
    }

    /// The numbers of the entries whose [`Hashes`] the proof takes, ascending.
    pub fn needs(&self) -> Vec<u64> {
        let mut needs = Vec::new();
        let asked = self.root(&mut |part| {
            if let Part::Subtree(last, _) = part {
                needs.push(last);
            }
            Ok(Digest::ZERO)
        });
        // Whoever answers every question with a hash is never refused.
        debug_assert!(asked.is_ok());
        needs
    }

    /// The proof, from what [`Self::needs`] names.
    pub fn prove(&self, found: &[(u64, Hashes)]) -> Result<Vec<Digest>, TreeError> {
        let mut proof = Vec::with_capacity(found.len());
        self.root(&mut |part| {
            if let Part::Subtree(last, level) = part {
                let at = found.binary_search_by_key(&last, |(number, _)| *number).map_err(|_| TreeError::Missing)?;
                let hash = found.get(at).and_then(|(_, hashes)| hashes.at(level));
                proof.push(hash.ok_or(TreeError::Missing)?);
            }
            Ok(Digest::ZERO)
        })?;
        Ok(proof)
    }

    /// Checks that entries with these hashes, one for each number, are in the tree of this root.
    pub fn check(&self, leaves: &[Digest], proof: &[Digest], root: Digest) -> Result<(), TreeError> {
        let (mut leaves, mut proof) = (leaves.iter(), proof.iter());
        let found = self.root(&mut |part| {
            let next = match part {
                Part::Entry => leaves.next(),
                Part::Subtree(..) => proof.next(),
            };
            next.copied().ok_or(TreeError::Proof)
        })?;
        let used = leaves.next().is_none() && proof.next().is_none();
        if used && found == root { Ok(()) } else { Err(TreeError::Proof) }
    }

    fn root(&self, take: &mut dyn FnMut(Part) -> Result<Digest, TreeError>) -> Result<Digest, TreeError> {
        if self.size == 0 { Ok(Tree::empty().root()) } else { fold(0, self.size, &self.numbers, take) }
    }
}

/// The root over `length` entries from `first` on. It goes as deep as the tree is high, 41 levels at most.
fn fold(
    first: u64,
    length: u64,
    numbers: &[u64],
    take: &mut dyn FnMut(Part) -> Result<Digest, TreeError>,
) -> Result<Digest, TreeError> {
    if numbers.is_empty() && length.is_power_of_two() {
        return take(Part::Subtree(first + length - 1, length.trailing_zeros() as usize));
    }
    if length == 1 {
        return take(Part::Entry);
    }
    let left = 1 << (length - 1).ilog2();
    let (before, after) = numbers.split_at(numbers.partition_point(|number| *number < first + left));
    let before = fold(first, left, before, take)?;
    let after = fold(first + left, length - left, after, take)?;
    Ok(Digest::new(sha256(&[&[1][..], before.as_bytes(), after.as_bytes()].concat())))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use super::*;
    use crate::tree::{Question, leaf_hash};

    /// Every choice of entries of every tree up to this size.
    const SIZE: u64 = 10;

    #[test]
    fn a_batch_proves_its_entries_and_no_others() {
        let mut tree = Tree::empty();
        let leaf = |number: u64| leaf_hash(&number.to_be_bytes());
        let stored: Vec<_> = (0..SIZE).map(|number| (number, tree.append(leaf(number)).unwrap())).collect();
        let pick = |numbers: &[u64]| -> Vec<_> {
            stored.iter().filter(|(number, _)| numbers.contains(number)).cloned().collect()
        };
        for size in 0..=SIZE {
            let question = Question::Root { size };
            let root = question.answer(&pick(&question.needs())).unwrap()[0];
            for chosen in 0..1_u64 << size {
                let numbers: Vec<u64> = (0..size).filter(|number| chosen >> number & 1 == 1).collect();
                let batch = Batch::new(size, numbers.clone()).unwrap();
                let needs = batch.needs();
                assert!(needs.is_sorted_by(|a, b| a < b));
                let proof = batch.prove(&pick(&needs)).unwrap();
                let leaves: Vec<_> = numbers.iter().map(|number| leaf(*number)).collect();
                batch.check(&leaves, &proof, root).unwrap();
                for at in 0..leaves.len() {
                    let mut other = leaves.clone();
                    other[at] = leaf(99);
                    assert!(batch.check(&other, &proof, root).is_err());
                    other.remove(at);
                    assert!(batch.check(&other, &proof, root).is_err());
                    let fewer: Vec<_> = numbers.iter().copied().filter(|number| *number != numbers[at]).collect();
                    assert!(Batch::new(size, fewer).unwrap().check(&other, &proof, root).is_err());
                }
                for at in 0..proof.len() {
                    let mut other = proof.clone();
                    other[at] = leaf(99);
                    assert!(batch.check(&leaves, &other, root).is_err());
                }
                assert!(batch.check(&leaves, &[&proof[..], &[leaf(0)]].concat(), root).is_err());
                assert!(needs.is_empty() || batch.prove(&[]).is_err());
            }
        }
        for (size, numbers) in [(3, vec![3]), (3, vec![1, 1]), (3, vec![2, 1]), (0, vec![0]), (SIZE_MAX + 1, vec![])] {
            assert!(Batch::new(size, numbers).is_err());
        }
    }

    /// Five scattered entries of a million share most of their paths' hashes.
    #[test]
    fn a_batch_of_a_large_log_is_small() {
        let numbers = vec![5, 300_000, 300_001, 777_777, 999_999];
        assert!(Batch::new(1_000_000, numbers).unwrap().needs().len() < 5 * 20 - 15);
    }
}
