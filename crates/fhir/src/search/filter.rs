//! A query made ready for one corpus: chains and `_has` become sets of ordinals, worked out once, so that
//! each document is then tested by itself. Only visible documents are looked at.

use super::corpus::Bits;
use super::criterion::Criterion;
use super::definition::Component;
use super::document::Blocks;
use super::packed::Target;
use super::query::Search;
use super::value::Test;
use super::{Corpus, Document, Ordinal, Query, Visible};
use crate::ResourceType;

/// A query made ready for one corpus, as a filter.
pub struct Filter<'q> {
    pub(super) corpus: &'q Corpus,
    pub(super) visible: &'q Visible,
    pub(super) searches: Vec<(&'q Search, Vec<Ready<'q>>)>,
}

impl<'q> Filter<'q> {
    pub(super) fn new(query: &'q Query, corpus: &'q Corpus, visible: &'q Visible) -> Self {
        let scope = Scope { corpus, visible };
        let ready = |search: &'q Search| {
            let mut ready: Vec<_> = search.criteria.iter().map(|criterion| scope.ready(criterion)).collect();
            // Whose record it is most documents fulfil, and following a reference takes longer than comparing codes.
            ready.sort_by_key(Ready::follows_references);
            ready
        };
        let searches = query.searches.iter().map(|search| (search, ready(search))).collect();
        Self { corpus, visible, searches }
    }

    /// Whether a document, of the corpus or about to be written to it, is one of those searched for. Whether
    /// it is visible is not asked.
    pub fn accepts(&self, document: &Document) -> bool {
        let of_type = |search: &&(&Search, _)| search.0.resource_type == document.resource_type();
        let Some((_, ready)) = self.searches.iter().find(of_type) else { return false };
        // The place matters to `_has` alone.
        let at = || self.corpus.of_key(document.key()?.as_bytes());
        self.scope().fulfils(document, at, ready)
    }

    pub(super) fn scope(&self) -> Scope<'q> {
        Scope { corpus: self.corpus, visible: self.visible }
    }
}

/// A criterion made ready.
pub(super) enum Ready<'q> {
    Values {
        parameter: u8,
        tests: &'q [Test],
        negated: bool,
    },
    Missing {
        parameter: u8,
        missing: bool,
    },
    Composite {
        components: &'static [Component],
        choices: &'q [Vec<Test>],
    },
    /// A reference must point at one of these, or at a resource inside that fulfils what its type asks.
    RefersTo {
        parameter: u8,
        targets: Bits,
        inside: Vec<(ResourceType, Ready<'q>)>,
    },
    /// All of one of these.
    AnyOf(Vec<Vec<Ready<'q>>>),
    /// The document must be one of these.
    OneOf(Bits),
}

impl Ready<'_> {
    /// Whether references of each document must be followed.
    fn follows_references(&self) -> bool {
        match self {
            Self::Values { tests, .. } => tests.iter().any(|test| matches!(test, Test::Reference(_))),
            Self::RefersTo { .. } => true,
            Self::Missing { .. } | Self::Composite { .. } | Self::AnyOf(_) | Self::OneOf(_) => false,
        }
    }
}

/// What may be looked at.
#[derive(Clone, Copy)]
pub(super) struct Scope<'q> {
    pub(super) corpus: &'q Corpus,
    pub(super) visible: &'q Visible,
}

impl<'q> Scope<'q> {
    pub(super) fn ready<'c>(&self, criterion: &'c Criterion) -> Ready<'c> {
        match criterion {
            Criterion::Values { parameter, tests, negated } => {
                Ready::Values { parameter: *parameter, tests, negated: *negated }
            }
            Criterion::Missing { parameter, missing } => Ready::Missing { parameter: *parameter, missing: *missing },
            Criterion::Composite { components, choices } => Ready::Composite { components, choices },
            Criterion::AnyOf(choices) => {
                let all = |choice: &'c Vec<Criterion>| choice.iter().map(|criterion| self.ready(criterion)).collect();
                Ready::AnyOf(choices.iter().map(all).collect())
            }
            Criterion::Chain { parameter, targets } => {
                let mut found = Bits::default();
                let of_target = |(target, criterion): &'c (ResourceType, _)| (*target, self.ready(criterion));
                let inside: Vec<_> = targets.iter().map(of_target).collect();
                for (resource_type, ready) in &inside {
                    self.matching(*resource_type, ready).for_each(|(at, _)| {
                        found.insert(at);
                    });
                }
                Ready::RefersTo { parameter: *parameter, targets: found, inside }
            }
            Criterion::Has { source, parameter, criterion } => {
                let mut found = Bits::default();
                let ready = self.ready(criterion);
                for (_, document) in self.matching(*source, &ready) {
                    self.referred(document, *parameter).for_each(|at| {
                        found.insert(at);
                    });
                }
                Ready::OneOf(found)
            }
        }
    }

    /// The visible documents of a type that fulfil a criterion.
    fn matching<'s>(
        &'s self,
        resource_type: ResourceType,
        ready: &'s Ready<'_>,
    ) -> impl Iterator<Item = (Ordinal, &'q Document)> + 's {
        let ready = std::slice::from_ref(ready);
        self.of_type(resource_type).filter(move |(at, document)| self.fulfils(document, || Some(*at), ready))
    }

    /// The visible documents of a type, in order.
    pub(super) fn of_type(
        &self,
        resource_type: ResourceType,
    ) -> impl Iterator<Item = (Ordinal, &'q Document)> + use<'q> {
        let Self { corpus, visible } = *self;
        let shown = corpus.of_type(resource_type).iter().filter(move |at| visible.shows(**at));
        shown.filter_map(move |at| Some((*at, corpus.document(*at)?)))
    }

    /// The visible documents that a document refers to by a parameter.
    pub(super) fn referred<'s>(&'s self, document: &'s Document, parameter: u8) -> impl Iterator<Item = Ordinal> + 's {
        document.blocks(parameter).filter_map(|mut block| self.corpus.resolve(&block.reference()?, self.visible))
    }

    /// Whether a document fulfils all criteria.
    pub(super) fn fulfils(
        &self,
        document: &Document,
        at: impl Fn() -> Option<Ordinal>,
        criteria: &[Ready<'_>],
    ) -> bool {
        let tested = Tested { document, holder: document };
        criteria.iter().all(|criterion| self.meets(tested, &at, criterion))
    }

    fn meets(&self, tested: Tested<'_>, at: &dyn Fn() -> Option<Ordinal>, criterion: &Ready<'_>) -> bool {
        let document = tested.document;
        match criterion {
            Ready::Values { parameter, tests, negated } => {
                let mut blocks = document.blocks(*parameter);
                blocks.any(|block| tests.iter().any(|test| test.accepts(block, self.corpus))) != *negated
            }
            Ready::Missing { parameter, missing } => document.has(*parameter) != *missing,
            Ready::Composite { components, choices } => {
                choices.iter().any(|tests| self.joined(document, components, tests))
            }
            Ready::RefersTo { parameter, targets, inside } => {
                document.blocks(*parameter).filter_map(|mut block| block.reference()).any(|reference| {
                    if let Target::Inside { place, .. } = reference.target {
                        return tested.inside(place).is_some_and(|inner| self.meets_inside(inner, inside));
                    }
                    self.corpus.resolve(&reference, self.visible).is_some_and(|target| targets.contains(target))
                })
            }
            Ready::AnyOf(choices) => {
                choices.iter().any(|all| all.iter().all(|criterion| self.meets(tested, at, criterion)))
            }
            Ready::OneOf(found) => at().is_some_and(|at| found.contains(at)),
        }
    }

    /// Whether a resource inside another fulfils what is asked of its type. Nothing refers to it from outside.
    fn meets_inside(&self, inner: Tested<'_>, by_type: &[(ResourceType, Ready<'_>)]) -> bool {
        let of_its_type = by_type.iter().filter(|(resource_type, _)| *resource_type == inner.document.resource_type());
        of_its_type.into_iter().any(|(_, criterion)| self.meets(inner, &|| None, criterion))
    }

    /// Whether all parts of a composite match in one element. Each element is tried once.
    fn joined(&self, document: &Document, components: &[Component], tests: &[Test]) -> bool {
        let parts = || components.iter().zip(tests);
        let free = parts().filter(|(component, _)| component.anywhere);
        let bound = || parts().filter(|(component, _)| !component.anywhere);
        let accepts = |test: &Test, mut blocks: Blocks<'_>| blocks.any(|block| test.accepts(block, self.corpus));
        free.into_iter().all(|(component, test)| accepts(test, document.blocks(component.parameter)))
            && bound().next().is_some_and(|(first, _)| {
                document.groups(first.parameter).any(|group| {
                    bound().all(|(component, test)| accepts(test, document.blocks_in(component.parameter, group)))
                })
            })
    }
}

/// A document that is tested.
#[derive(Clone, Copy)]
struct Tested<'d> {
    document: &'d Document,
    /// The one that holds what its references to contained resources mean: itself, unless it is contained.
    holder: &'d Document,
}

impl Tested<'_> {
    fn inside(self, place: u16) -> Option<Self> {
        let document = self.holder.inside(place)?;
        // What is contained contains nothing.
        let holder = if document.holds_others() { document } else { self.holder };
        Some(Self { document, holder })
    }
}
