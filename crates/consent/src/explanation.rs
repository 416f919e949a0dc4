//! Why a decision is what it is: the sentences that permit what is permitted, or deny what is denied. Nothing is read a
//! second time here: each sentence is a directive of its own, and the one decision function is asked of each.

use crate::{CompileError, CompiledDirective, Decision, Directive, DirectiveError, Request, Terms};

/// Terms of one sentence that are compiled together.
const TERMS_TOGETHER_MAX: usize = 64;

/// A directive beside the sentences that it follows from. `S` names a sentence.
#[derive(Debug)]
pub struct Explainer<S> {
    directive: CompiledDirective,
    permitting: Vec<(S, CompiledDirective)>,
    denying: Vec<(S, CompiledDirective)>,
}

/// A decision, and the sentences that make it so.
#[derive(Debug)]
pub struct Explanation<'a, S> {
    /// What broker and archive decide.
    pub decision: Decision,
    /// Where it is permitted, each sentence that permits; else each that denies. None where nothing is said of it,
    /// which is a denial, too.
    pub because: Vec<&'a S>,
}

impl<S: PartialEq + Clone> Explainer<S> {
    /// A directive with its sentences: what each permits, and what each denies.
    ///
    /// # Errors
    /// [`NotExplained`] where a sentence cannot be compiled.
    pub fn new(
        directive: &Directive,
        permitting: impl IntoIterator<Item = (S, Terms)>,
        denying: impl IntoIterator<Item = (S, Terms)>,
    ) -> Result<Self, NotExplained> {
        Ok(Self {
            directive: CompiledDirective::compile(directive)?,
            permitting: sentences(directive, permitting)?,
            denying: sentences(directive, denying)?,
        })
    }

    /// The directive that decides.
    pub fn directive(&self) -> &Directive {
        self.directive.directive()
    }

    /// Decides a request by the directive, and asks each sentence. Of several labels it tells what holds for any of
    /// them, so that an exact question names one.
    pub fn explain(&self, request: &Request) -> Explanation<'_, S> {
        let decision = self.directive.decide(request);
        let sentences = if decision.is_permitted() { &self.permitting } else { &self.denying };
        let mut because: Vec<&S> = Vec::new();
        for (sentence, alone) in sentences {
            if !because.contains(&sentence) && alone.decide(request).is_permitted() {
                because.push(sentence);
            }
        }
        Explanation { decision, because }
    }
}

/// Each sentence as a directive that permits what the sentence is about.
fn sentences<S: PartialEq + Clone>(
    whole: &Directive,
    said: impl IntoIterator<Item = (S, Terms)>,
) -> Result<Vec<(S, CompiledDirective)>, NotExplained> {
    let mut gathered: Vec<(S, Vec<Terms>)> = Vec::new();
    for (sentence, terms) in said {
        match gathered.iter_mut().find(|(known, list)| *known == sentence && list.len() < TERMS_TOGETHER_MAX) {
            Some((_, list)) => list.push(terms),
            None => gathered.push((sentence, vec![terms])),
        }
    }
    let compiled = |(sentence, terms)| {
        let alone = Directive::first(whole.exchange(), whole.patient(), 0, terms)?;
        Ok((sentence, CompiledDirective::compile(&alone)?))
    };
    gathered.into_iter().map(compiled).collect()
}

/// Why a directive cannot be explained.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotExplained {
    /// A sentence is too large for a directive of its own.
    #[error(transparent)]
    Sentence(#[from] DirectiveError),
    /// The directive or a sentence cannot be compiled.
    #[error(transparent)]
    Compile(#[from] CompileError),
}
