//! The criteria of a search: what each parameter's name asks of a document, chains and `_has` included
//! (R4 search, 3.1.1.4.4 and 3.1.1.4.14 to 3.1.1.4.16).

use super::definition::{self, Component, Kind, Parameter, TypeTable};
use super::error::{SearchError, shortened};
use super::value::{self, Case, Modifier, Test, bad};
use crate::ResourceType;

/// Most links of one chain, `_has` included.
pub const CHAIN_LINKS_MAX: usize = 4;
/// Most links that the chains of one search may have, over all the types that they could go through.
pub const LINKS_MAX: usize = 500;
/// Most values of one search, over all its parameters; a value behind a chain counts for each type.
pub const VALUES_OF_SEARCH_MAX: usize = 1000;

/// What is asked of a document of one type.
#[derive(Clone)]
pub(super) enum Criterion {
    /// One of the values matches; or, negated, none does.
    Values { parameter: u8, tests: Vec<Test>, negated: bool },
    /// The parameter has no value, or has one.
    Missing { parameter: u8, missing: bool },
    /// The parts of a composite match within one element; one of several such pairs.
    Composite { components: &'static [Component], choices: Vec<Vec<Test>> },
    /// All of one of these.
    AnyOf(Vec<Vec<Criterion>>),
    /// A resource referred to is of one of these types and fulfils its criterion.
    Chain { parameter: u8, targets: Vec<(ResourceType, Criterion)> },
    /// A resource of the type refers to the document by the parameter and fulfils the criterion.
    Has { source: ResourceType, parameter: u8, criterion: Box<Criterion> },
}

impl Criterion {
    /// Adds the types that each of its links may go through.
    pub(super) fn add_links(&self, links: &mut Vec<Vec<ResourceType>>) {
        match self {
            Self::Values { .. } | Self::Missing { .. } | Self::Composite { .. } => {}
            Self::AnyOf(choices) => {
                for criterion in choices.iter().flatten() {
                    criterion.add_links(links);
                }
            }
            Self::Chain { targets, .. } => {
                links.push(targets.iter().map(|(target, _)| *target).collect());
                for (_, criterion) in targets {
                    criterion.add_links(links);
                }
            }
            Self::Has { source, criterion, .. } => {
                links.push(vec![*source]);
                criterion.add_links(links);
            }
        }
    }
}

/// Reads criteria.
pub(super) struct Reader {
    pub(super) case: Case,
    /// Links of chains so far.
    pub(super) links: usize,
    /// Values so far.
    pub(super) values: usize,
}

impl Reader {
    /// Reads one parameter for a type; nothing when the type has no such parameter.
    pub(super) fn read(
        &mut self,
        resource_type: ResourceType,
        name: &str,
        text: &str,
        depth: usize,
    ) -> Result<Option<Criterion>, SearchError> {
        self.links += usize::from(depth > 0);
        if depth > CHAIN_LINKS_MAX {
            return Err(SearchError::TooMuch { parameter: shortened(name), reason: "a chain has 4 links at most" });
        }
        if self.links > LINKS_MAX {
            let reason = "the chain could go through too many types; name them, as in subject:Patient.name";
            return Err(SearchError::TooMuch { parameter: shortened(name), reason });
        }
        if let Some(rest) = name.strip_prefix("_has:") {
            return self.has(name, rest, text, depth);
        }
        let table = definition::of_type(resource_type);
        // A chain's dot comes first: a modifier after it belongs to the end of the chain.
        if let Some((link, rest)) = name.split_once('.') {
            return self.chain(table, name, link, rest, text, depth);
        }
        let (code, modifier) = split_modifier(name);
        let Some((at, parameter)) = table.parameter(code) else { return Ok(None) };
        supported(parameter, name)?;
        let modifier = Modifier::parse(modifier, parameter.kind, name)?;
        if modifier == Modifier::Missing {
            let missing = match text {
                "true" => true,
                "false" => false,
                _ => return Err(bad(name, "it is true or false")),
            };
            return Ok(Some(Criterion::Missing { parameter: at, missing }));
        }
        if parameter.kind == Kind::Composite {
            return self.composite(table, parameter, name, text).map(Some);
        }
        let values = self.values(name, text)?;
        let tests = values.iter().map(|value| value::parse_one(name, parameter, modifier, value, self.case));
        let tests = tests.collect::<Result<_, _>>()?;
        let whole = Criterion::Values { parameter: at, tests, negated: modifier == Modifier::Not };
        if code == "url" && modifier == Modifier::None {
            return versioned(table, at, name, &values, whole).map(Some);
        }
        Ok(Some(whole))
    }

    /// The values of a parameter, still escaped, counted.
    fn values<'t>(&mut self, name: &str, text: &'t str) -> Result<Vec<&'t str>, SearchError> {
        let values = value::values(name, text)?;
        self.values += values.len();
        if self.values > VALUES_OF_SEARCH_MAX {
            let reason = "a search has 1000 values at most; behind a chain they count for each type that it may mean";
            return Err(SearchError::TooMuch { parameter: shortened(name), reason });
        }
        Ok(values)
    }

    fn composite(
        &mut self,
        table: &TypeTable,
        parameter: &Parameter,
        name: &str,
        text: &str,
    ) -> Result<Criterion, SearchError> {
        let mut choices = Vec::new();
        for choice in self.values(name, text)? {
            let parts: Vec<&str> = value::split(choice, '$').collect();
            if parts.len() != parameter.components.len() {
                return Err(bad(name, "a composite has one value for each of its parts, with '$' between them"));
            }
            let tests = parameter.components.iter().zip(parts).map(|(component, part)| {
                let part_of = table.at(component.parameter).ok_or_else(|| bad(name, "a part is not defined"))?;
                value::parse_one(name, part_of, Modifier::None, part, self.case)
            });
            choices.push(tests.collect::<Result<_, _>>()?);
        }
        Ok(Criterion::Composite { components: parameter.components, choices })
    }

    /// `link.rest`, where the link may name the type: `subject:Patient`.
    fn chain(
        &mut self,
        table: &TypeTable,
        name: &str,
        link: &str,
        rest: &str,
        text: &str,
        depth: usize,
    ) -> Result<Option<Criterion>, SearchError> {
        let (code, target) = split_modifier(link);
        let Some((at, parameter)) = table.parameter(code) else { return Ok(None) };
        if parameter.kind != Kind::Reference {
            return Err(bad(name, "only a reference can be followed by a dot"));
        }
        let types: Vec<ResourceType> = match target {
            Some(target) => vec![target.parse().map_err(|_| bad(name, "the part after ':' is no resource type"))?],
            None => parameter.targets.iter().filter_map(|target| target.parse().ok()).collect(),
        };
        let mut targets = Vec::new();
        for target in types {
            if let Some(criterion) = self.read(target, rest, text, depth + 1)? {
                targets.push((target, criterion));
            }
        }
        Ok((!targets.is_empty()).then_some(Criterion::Chain { parameter: at, targets }))
    }

    /// `Type:reference:rest`.
    fn has(&mut self, name: &str, text_of: &str, text: &str, depth: usize) -> Result<Option<Criterion>, SearchError> {
        let malformed = || bad(name, "write _has:Type:reference:parameter");
        let (source, after) = text_of.split_once(':').ok_or_else(malformed)?;
        let (code, rest) = after.split_once(':').ok_or_else(malformed)?;
        let source: ResourceType = source.parse().map_err(|_| malformed())?;
        let Some((at, parameter)) = definition::of_type(source).parameter(code) else { return Ok(None) };
        if parameter.kind != Kind::Reference {
            return Err(bad(name, "the part after the type is no reference parameter of it"));
        }
        let criterion = self.read(source, rest, text, depth + 1)?;
        Ok(criterion.map(|criterion| Criterion::Has { source, parameter: at, criterion: Box::new(criterion) }))
    }
}

/// The URL of a conformance resource may be asked for with its version: `url=canonical|version` (R4 search,
/// "uri"). `whole` compares the values as they are.
fn versioned(
    table: &TypeTable,
    url_at: u8,
    name: &str,
    values: &[&str],
    whole: Criterion,
) -> Result<Criterion, SearchError> {
    let (Some(url), Some((version_at, version))) = (table.at(url_at), table.parameter("version")) else {
        return Ok(whole);
    };
    let one = |at, parameter, value| {
        let test = value::parse_one(name, parameter, Modifier::None, value, Case::Kept)?;
        Ok(Criterion::Values { parameter: at, tests: vec![test], negated: false })
    };
    let mut choices = vec![vec![whole]];
    for value in values {
        let parts: Vec<&str> = value::split(value, '|').collect();
        if let [canonical, asked] = *parts.as_slice()
            && !canonical.is_empty()
            && !asked.is_empty()
        {
            choices.push(vec![one(url_at, url, canonical)?, one(version_at, version, asked)?]);
        }
    }
    Ok(Criterion::AnyOf(choices))
}

fn split_modifier(name: &str) -> (&str, Option<&str>) {
    name.split_once(':').map_or((name, None), |(code, modifier)| (code, Some(modifier)))
}

/// Refuses what R4 defines and this server does not offer.
fn supported(parameter: &Parameter, name: &str) -> Result<(), SearchError> {
    match parameter.refused() {
        Some(instead) => Err(SearchError::NotSupported { parameter: shortened(name), instead }),
        None => Ok(()),
    }
}
