//! Whether the values of a document are what was asked for.

use std::cmp::Ordering;

use super::Corpus;
use super::decimal::{Asked, Decimal};
use super::form::IMPLIED;
use super::packed::{DateValue, Fields, QuantityValue, ReferenceValue, Target, TokenValue};
use super::value::{Case, Prefix, Test, Unit, Wanted};
use crate::identifier::{Token, TokenSystem};
use crate::reference::unversioned;

impl Test {
    /// Whether one of the values of a block is what is asked for.
    pub(super) fn accepts(&self, mut block: Fields<'_>, corpus: &Corpus) -> bool {
        while !block.is_empty() {
            match self.accepts_next(&mut block, corpus) {
                Some(true) => return true,
                Some(false) => {}
                None => return false,
            }
        }
        false
    }

    /// Reads the next value and compares it; nothing at the end.
    fn accepts_next(&self, block: &mut Fields<'_>, corpus: &Corpus) -> Option<bool> {
        Some(match self {
            Self::Token { token, case } => {
                let value = block.token()?;
                is_token(token, *case, value.system, value.code)
            }
            Self::TokenText(needle) => block.token()?.text.is_some_and(|text| needle.is_in(text)),
            Self::OfType { system, code, value } => is_of_type(system, code, value, &block.token()?),
            Self::Begins(needle) => needle.begins(block.plain()?),
            Self::Contains(needle) => needle.is_in(block.plain()?),
            Self::Exact(needle) => needle.is(block.plain()?),
            Self::Date(prefix, asked) => date(*prefix, *asked, block.date()?),
            Self::Number(prefix, asked, unit) => {
                let value = block.quantity()?;
                is_unit(unit, &value) && number(*prefix, asked, &value)
            }
            Self::Uri(uri) => block.plain()? == uri.as_bytes(),
            Self::UriBelow(uri) => is_below(block.plain()?, uri.as_bytes()),
            Self::UriAbove(uri) => is_below(uri.as_bytes(), block.plain()?),
            Self::Reference(wanted) => wanted.is(&block.reference()?, corpus),
            Self::ReferenceIdentifier { token, case } => {
                let value = block.reference()?;
                value.identifier.is_some() && is_token(token, *case, value.identifier_system, value.identifier)
            }
        })
    }
}

fn is_token(token: &Token, case: Case, system: Option<&[u8]>, code: Option<&[u8]>) -> bool {
    let same_system = match (&token.system, system) {
        (TokenSystem::Any, _) | (TokenSystem::Absent, None) => true,
        (TokenSystem::Absent, Some(found)) => found == IMPLIED,
        // Which system the element implies is not known here; an access right does not trust to that.
        (TokenSystem::Is(_), Some(IMPLIED)) => case == Case::Ignored,
        (TokenSystem::Is(asked), found) => found == Some(asked.as_bytes()),
    };
    let Some(code) = code else { return same_system && token.value.is_none() && system.is_some() };
    same_system
        && token.value.as_ref().is_none_or(|asked| match case {
            Case::Ignored => asked.as_bytes().eq_ignore_ascii_case(code),
            Case::Kept => asked.as_bytes() == code,
        })
}

fn is_of_type(system: &str, code: &str, value: &str, found: &TokenValue<'_>) -> bool {
    if found.code != Some(value.as_bytes()) {
        return false;
    }
    let mut kinds = Fields::new(found.kinds.unwrap_or_default());
    while let Some(kind_system) = kinds.field()
        && let Some(kind_code) = kinds.field()
    {
        let same_system = system.is_empty() || kind_system == Some(system.as_bytes());
        if same_system && kind_code == Some(code.as_bytes()) {
            return true;
        }
    }
    false
}

/// The comparisons of R4 search, "prefixes": `asked` is the span of the search value.
fn date(prefix: Prefix, asked: DateValue, found: DateValue) -> bool {
    let contained = asked.low <= found.low && found.high <= asked.high;
    let (above, below) = (found.high > asked.high, found.low < asked.low);
    match prefix {
        Prefix::Equal => contained,
        Prefix::NotEqual => !contained,
        Prefix::Greater => above,
        Prefix::Less => below,
        Prefix::GreaterOrEqual => above || contained,
        Prefix::LessOrEqual => below || contained,
        Prefix::StartsAfter => found.low >= asked.high,
        Prefix::EndsBefore => found.high <= asked.low,
        Prefix::Approximately => found.low < asked.high && asked.low < found.high,
    }
}

/// The same for numbers. A number of a resource is a point; a range has two ends, one of which may be open.
fn number(prefix: Prefix, asked: &Asked, found: &QuantityValue<'_>) -> bool {
    let parse = |literal: Option<&[u8]>| literal.and_then(Decimal::parse);
    let low = parse(found.low);
    let high = if found.high == found.low { low } else { parse(found.high) };
    let contained = || low.is_some_and(|low| low >= asked.rounded.0) && high.is_some_and(|high| high < asked.rounded.1);
    // Against the number itself; an open end lies beyond all numbers.
    let low_is = |wanted: Ordering| low.map_or(Ordering::Less, |low| low.cmp(&asked.exact)) == wanted;
    let high_is = |wanted: Ordering| high.map_or(Ordering::Greater, |high| high.cmp(&asked.exact)) == wanted;
    match prefix {
        Prefix::Equal => contained(),
        Prefix::NotEqual => !contained(),
        Prefix::Greater => high_is(Ordering::Greater),
        Prefix::Less => low_is(Ordering::Less),
        Prefix::GreaterOrEqual => !high_is(Ordering::Less),
        Prefix::LessOrEqual => !low_is(Ordering::Greater),
        Prefix::StartsAfter => low_is(Ordering::Greater),
        Prefix::EndsBefore => high_is(Ordering::Less),
        Prefix::Approximately => {
            low.is_none_or(|low| low <= asked.near.1) && high.is_none_or(|high| high >= asked.near.0)
        }
    }
}

fn is_unit(unit: &Unit, found: &QuantityValue<'_>) -> bool {
    match unit {
        Unit::Any => true,
        Unit::Coded(system, code) => found.system == Some(system.as_bytes()) && found.code == Some(code.as_bytes()),
        Unit::Named(name) => found.code == Some(name.as_bytes()) || found.unit == Some(name.as_bytes()),
    }
}

/// Whether a URI is another, or begins with it up to the end of a path segment (R4 search, "uri"; that whole
/// segments are meant is said by R5). A version ends the last segment as well.
fn is_below(uri: &[u8], above: &[u8]) -> bool {
    let ends = |rest: &[u8]| rest.first().is_none_or(|next| matches!(next, b'/' | b'|' | b'?' | b'#'));
    uri.strip_prefix(above).is_some_and(|rest| ends(rest) || above.ends_with(b"/"))
}

impl Wanted {
    fn is(&self, found: &ReferenceValue<'_>, corpus: &Corpus) -> bool {
        match (self, found.target) {
            (_, Target::Nowhere) => false,
            (Self::Url(url), Target::Local(key) | Target::Inside { key, .. }) => {
                corpus.own_key(unversioned(url)).is_some_and(|wanted| wanted.as_bytes() == key)
            }
            (Self::Url(url), Target::Url(found)) => unversioned(url).as_bytes() == found,
            (Self::Url(url), Target::Canonical(found)) => is_canonical(url, found),
            (_, Target::Local(key) | Target::Inside { key, .. }) => self.is_key(key),
            (_, Target::Url(found) | Target::Canonical(found)) => {
                let own = std::str::from_utf8(found).ok().and_then(|url| corpus.own_key(url));
                own.is_some_and(|key| self.is_key(key.as_bytes()))
            }
        }
    }

    fn is_key(&self, key: &[u8]) -> bool {
        match self {
            Self::Id(id) => key.get(1..) == Some(id.as_bytes()),
            Self::Local(wanted) => wanted.as_bytes() == key,
            Self::Url(_) => false,
        }
    }
}

/// A canonical URL asked for without a version is found in every version.
fn is_canonical(asked: &str, found: &[u8]) -> bool {
    found.strip_prefix(asked.as_bytes()).is_some_and(|rest| rest.is_empty() || rest.starts_with(b"|"))
}
