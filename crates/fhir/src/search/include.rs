//! What comes along with the matches of a page: `_include` and `_revinclude` (R4 search, 3.1.1.5.4).

use super::corpus::Bits;
use super::definition::{self, Kind};
use super::error::SearchError;
use super::filter::Scope;
use super::value::bad;
use super::{Document, Ordinal};
use crate::ResourceType;

/// Most resources that come along with one page.
pub const INCLUDED_MAX: usize = 1000;
/// Most rounds of `:iterate`.
pub const ITERATE_ROUNDS_MAX: usize = 8;

/// One `_include` or `_revinclude`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Include {
    direction: Direction,
    iterates: bool,
    /// The type whose references are followed; all types for `*`.
    source: Option<ResourceType>,
    /// The references followed, by their places; all of the source's for `*`.
    parameters: Option<u8>,
    /// Which type the reference must point to.
    target: Option<ResourceType>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Direction {
    /// What the matches refer to.
    Forward,
    /// What refers to the matches.
    Backward,
}

impl Include {
    /// Reads `_include`, `_include:iterate`, `_revinclude` or `_revinclude:iterate` and its value.
    pub(super) fn parse(name: &str, value: &str) -> Result<Self, SearchError> {
        let (code, modifier) = name.split_once(':').map_or((name, None), |(code, modifier)| (code, Some(modifier)));
        let iterates = match modifier {
            None => false,
            Some("iterate") => true,
            Some(_) => return Err(bad(name, "the modifier is :iterate")),
        };
        let direction = if code == "_include" { Direction::Forward } else { Direction::Backward };
        if value == "*" && direction == Direction::Forward {
            return Ok(Self { direction, iterates, source: None, parameters: None, target: None });
        }
        let malformed = || bad(name, "write Type:reference or Type:reference:target type");
        let mut parts = value.split(':');
        let source: ResourceType = parts.next().and_then(|part| part.parse().ok()).ok_or_else(malformed)?;
        let parameters = match parts.next().ok_or_else(malformed)? {
            "*" => None,
            code => match definition::of_type(source).parameter(code) {
                Some((at, parameter)) if parameter.kind == Kind::Reference => Some(at),
                _ => return Err(bad(name, "the type has no reference parameter of that name")),
            },
        };
        let target = parts.next().map(|part| part.parse().map_err(|_| malformed())).transpose()?;
        if parts.next().is_some() {
            return Err(malformed());
        }
        Ok(Self { direction, iterates, source: Some(source), parameters, target })
    }

    /// What a document refers to, as far as this include follows it.
    fn followed(&self, scope: &Scope<'_>, document: &Document, mut reached: impl FnMut(Ordinal)) {
        if self.source.is_some_and(|source| source != document.resource_type()) {
            return;
        }
        let mut follow = |parameter: u8| {
            for at in scope.referred(document, parameter) {
                let found = scope.corpus.document(at).map(Document::resource_type);
                if self.target.is_none() || self.target == found {
                    reached(at);
                }
            }
        };
        if let Some(parameter) = self.parameters {
            return follow(parameter);
        }
        let all = (0_u8..).zip(definition::of_type(document.resource_type()).parameters);
        all.filter(|(_, parameter)| parameter.kind == Kind::Reference).for_each(|(at, _)| follow(at));
    }
}

/// What comes along, and whether there was more than may.
pub(super) fn included(scope: &Scope<'_>, includes: &[Include], matches: &[Ordinal]) -> (Vec<Ordinal>, bool) {
    let mut seen: Bits = matches.iter().copied().collect();
    let mut found = Vec::new();
    let mut frontier = matches.to_vec();
    for round in 0..=ITERATE_ROUNDS_MAX {
        let mut reached = Vec::new();
        for include in includes.iter().filter(|include| round == 0 || include.iterates) {
            step(scope, include, &frontier, |at| {
                if seen.insert(at) {
                    reached.push(at);
                }
            });
        }
        let room = INCLUDED_MAX - found.len();
        found.extend(reached.iter().take(room));
        if reached.len() > room || (round == ITERATE_ROUNDS_MAX && !reached.is_empty()) {
            return (found, true);
        }
        if reached.is_empty() {
            break;
        }
        frontier = reached;
    }
    (found, false)
}

fn step(scope: &Scope<'_>, include: &Include, frontier: &[Ordinal], mut reached: impl FnMut(Ordinal)) {
    match (include.direction, include.source) {
        (Direction::Backward, Some(source)) => {
            let wanted: Bits = frontier.iter().copied().collect();
            for (at, document) in scope.of_type(source) {
                let mut refers = false;
                include.followed(scope, document, |target| refers |= wanted.contains(target));
                if refers {
                    reached(at);
                }
            }
        }
        _ => {
            for document in frontier.iter().filter_map(|at| scope.corpus.document(*at)) {
                include.followed(scope, document, &mut reached);
            }
        }
    }
}
