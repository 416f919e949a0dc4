//! Who is meant: these, or everybody but these. Hospitals and roles are open sets, so that "any hospital but one"
//! can be said only in this way, and what is left of "any hospital" after one was taken out can be written down.

use std::fmt;

use crate::TermsError;
use crate::provision::{holds_all, sorted};

/// Most names in one [`Among`].
pub const NAMES_MAX: usize = 64;

/// A set of hospitals or roles: named one by one, or all but those named. Names are sorted, each once.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Among<T> {
    /// Those named. Empty is nobody, which no provision may say.
    These(Vec<T>),
    /// Everybody else. Empty is everybody.
    AllBut(Vec<T>),
}

impl<T: Ord + Clone> Among<T> {
    /// Everybody.
    pub const fn all() -> Self {
        Self::AllBut(Vec::new())
    }

    /// Those named, in any order and with repetitions.
    pub fn these(names: impl IntoIterator<Item = T>) -> Self {
        Self::These(sorted(names))
    }

    /// Everybody but those named, in any order and with repetitions.
    pub fn all_but(names: impl IntoIterator<Item = T>) -> Self {
        Self::AllBut(sorted(names))
    }

    /// The names that stand in it, whichever way they are meant.
    pub fn names(&self) -> &[T] {
        match self {
            Self::These(names) | Self::AllBut(names) => names,
        }
    }

    /// Whether somebody of that name is meant.
    pub fn holds(&self, name: &T) -> bool {
        match self {
            Self::These(names) => names.binary_search(name).is_ok(),
            Self::AllBut(names) => names.binary_search(name).is_err(),
        }
    }

    /// Whether somebody is meant who may or may not be named: only everybody is sure to hold them.
    pub(crate) fn holds_unnamed(&self) -> bool {
        matches!(self, Self::AllBut(names) if names.is_empty())
    }

    /// Whether nobody is meant.
    pub(crate) fn is_nobody(&self) -> bool {
        matches!(self, Self::These(names) if names.is_empty())
    }

    /// Whether all of `other` are meant.
    pub(crate) fn covers(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::These(mine), Self::These(theirs)) => holds_all(mine, theirs),
            (Self::AllBut(mine), Self::AllBut(theirs)) => holds_all(theirs, mine),
            (Self::AllBut(mine), Self::These(theirs)) => mine.iter().all(|name| theirs.binary_search(name).is_err()),
            // The world is larger than any list.
            (Self::These(_), Self::AllBut(_)) => false,
        }
    }

    /// Those in both.
    pub(crate) fn and(&self, other: &Self) -> Self {
        match (self, other) {
            (Self::AllBut(mine), Self::AllBut(theirs)) => Self::all_but(mine.iter().chain(theirs).cloned()),
            (Self::These(names), rest) | (rest, Self::These(names)) => {
                Self::These(names.iter().filter(|name| rest.holds(name)).cloned().collect())
            }
        }
    }

    /// Those in this one alone.
    pub(crate) fn minus(&self, other: &Self) -> Self {
        self.and(&match other {
            Self::These(names) => Self::AllBut(names.clone()),
            Self::AllBut(names) => Self::These(names.clone()),
        })
    }

    /// Refuses nobody and lists past [`NAMES_MAX`].
    pub(crate) fn check(&self) -> Result<(), TermsError> {
        if self.is_nobody() {
            return Err(TermsError::Nobody);
        }
        match self.names().len() {
            count if count > NAMES_MAX => Err(TermsError::TooManyNames { count }),
            _ => Ok(()),
        }
    }
}

impl<T: fmt::Display> fmt::Display for Among<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (before, names) = match self {
            Self::AllBut(names) if names.is_empty() => return f.write_str("all"),
            Self::AllBut(names) => ("all but ", names),
            Self::These(names) => ("", names),
        };
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        write!(f, "{before}{}", names.join(", "))
    }
}

impl<T> From<T> for Among<T> {
    fn from(one: T) -> Self {
        Self::These(vec![one])
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    /// Every pair of sets over three names against membership, name by name; 9 stands for somebody never named.
    #[test]
    fn algebra_agrees_with_membership() {
        let lists: Vec<Vec<u8>> = (0u8..8).map(|bits| (0..3).filter(|at| bits >> at & 1 == 1).collect()).collect();
        let sets: Vec<Among<u8>> =
            lists.iter().flat_map(|list| [Among::these(list.clone()), Among::all_but(list.clone())]).collect();
        let world = [0, 1, 2, 9];
        for one in &sets {
            for other in &sets {
                for name in &world {
                    assert_eq!(one.and(other).holds(name), one.holds(name) && other.holds(name), "{one:?} {other:?}");
                    assert_eq!(one.minus(other).holds(name), one.holds(name) && !other.holds(name));
                }
                let inside = world.iter().all(|name| !other.holds(name) || one.holds(name));
                assert_eq!(one.covers(other), inside, "{one:?} {other:?}");
            }
        }
    }
}
