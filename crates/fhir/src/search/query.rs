//! A search as it was asked, read and checked once. It can be run over any corpus.

use super::criterion::{Criterion, Reader};
use super::definition::{self, Kind};
use super::error::{SearchError, shortened};
use super::include::Include;
use super::patient::{self, PatientNamed};
use super::sort::{Direction, SORT_KEYS_MAX, SortBy};
use super::value::{Case, bad};
use crate::ResourceType;

/// Most parameters of one search.
pub const PARAMETERS_MAX: usize = 100;
/// Most `_include` and `_revinclude` of one search.
pub const INCLUDES_MAX: usize = 20;
/// The page size where `_count` does not say one.
pub const COUNT_DEFAULT: usize = 50;
/// The largest page; a larger `_count` gets this.
pub const COUNT_MAX: usize = 1000;

/// What to do with parameters that the type does not have (R4 search, `Prefer: handling`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Handling {
    /// Leave them out and say so ([`Query::ignored`]).
    #[default]
    Lenient,
    /// Refuse the search.
    Strict,
    /// For the query of a SMART scope, which must never let through more than its words say: as strict,
    /// criteria alone, and codes compare with their case.
    Scope,
}

/// What `_total` asks for. An estimate is as dear as the exact number here, so it is exact.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Total {
    /// Do not count: the page may be found without looking at the rest.
    None,
    /// Say the number.
    #[default]
    Accurate,
}

/// A search, read.
#[derive(Clone)]
pub struct Query {
    parameters: Vec<(String, String)>,
    ignored: Vec<String>,
    pub(super) searches: Vec<Search>,
    pub(super) sort: Vec<SortBy>,
    pub(super) includes: Vec<Include>,
    summary: Option<String>,
    elements: Vec<String>,
    total: Total,
    count: usize,
    named: Option<PatientNamed>,
}

/// What is searched for in one type.
#[derive(Clone)]
pub(super) struct Search {
    pub(super) resource_type: ResourceType,
    pub(super) criteria: Vec<Criterion>,
    /// The parameters that it is sorted by.
    pub(super) sort_by: Vec<u8>,
}

impl Query {
    /// Reads a search. `kind` is the type searched (`/Observation?…`), nothing for a search over all types
    /// (`/?_type=…`). The parameters come in order and percent-decoded; a name may repeat.
    ///
    /// # Errors
    /// Any case of [`SearchError`], naming the first parameter at fault.
    pub fn parse(
        kind: Option<ResourceType>,
        parameters: &[(String, String)],
        handling: Handling,
    ) -> Result<Self, SearchError> {
        if parameters.len() > PARAMETERS_MAX {
            let parameter = parameters.last().map(|(name, _)| shortened(name)).unwrap_or_default();
            return Err(SearchError::TooMuch { parameter, reason: "a search has 100 parameters at most" });
        }
        let mut draft = Draft::new(types_searched(kind, parameters)?, handling);
        for (name, text) in parameters {
            draft.take(kind, name, text)?;
        }
        draft.finish()
    }

    /// The parameters as understood, in the order asked, for the self link; those ignored are left out.
    pub fn parameters(&self) -> &[(String, String)] {
        &self.parameters
    }

    /// Names of parameters that were left out, because the type does not have them or they had no value.
    pub fn ignored(&self) -> &[String] {
        &self.ignored
    }

    /// The types searched, in the order of the alphabet; all of them when a search names none.
    pub fn types(&self) -> impl Iterator<Item = ResourceType> {
        self.searches.iter().map(|search| search.resource_type)
    }

    /// For each link of a chain and each `_has`, the types that it may go through.
    pub fn links(&self) -> Vec<Vec<ResourceType>> {
        let mut links = Vec::new();
        for criterion in self.searches.iter().flat_map(|search| &search.criteria) {
            criterion.add_links(&mut links);
        }
        links
    }

    /// The page size: `_count` within the limit, or the default. Zero asks for the total alone.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Whether to say the total.
    pub fn total(&self) -> Total {
        self.total
    }

    /// `_summary` as asked: `true`, `text`, `data`, `count` or `false`.
    pub fn summary(&self) -> Option<&str> {
        self.summary.as_deref()
    }

    /// The elements of `_elements`, as asked.
    pub fn elements(&self) -> &[String] {
        &self.elements
    }

    /// Which patient the search names, where it does: what tells a gateway whose record to open.
    pub fn patient_named(&self) -> Option<&PatientNamed> {
        self.named.as_ref()
    }
}

/// The types that a search is over, sorted.
fn types_searched(
    kind: Option<ResourceType>,
    parameters: &[(String, String)],
) -> Result<Vec<ResourceType>, SearchError> {
    if let Some(kind) = kind {
        return Ok(vec![kind]);
    }
    let Some((_, list)) = parameters.iter().find(|(name, _)| name == "_type") else {
        return Ok(ResourceType::all().collect());
    };
    let types = list.split(',').map(|name| name.parse().map_err(|_| bad("_type", "it lists resource types of R4")));
    let mut types: Vec<ResourceType> = types.collect::<Result<_, _>>()?;
    types.sort_unstable();
    types.dedup();
    Ok(types)
}

/// A query that is still being read.
struct Draft {
    query: Query,
    handling: Handling,
    reader: Reader,
    /// Parameters that may stand once, and did.
    once: Vec<&'static str>,
}

impl Draft {
    fn new(types: Vec<ResourceType>, handling: Handling) -> Self {
        let search = |resource_type| Search { resource_type, criteria: Vec::new(), sort_by: Vec::new() };
        let query = Query {
            parameters: Vec::new(),
            ignored: Vec::new(),
            searches: types.into_iter().map(search).collect(),
            sort: Vec::new(),
            includes: Vec::new(),
            summary: None,
            elements: Vec::new(),
            total: Total::Accurate,
            count: COUNT_DEFAULT,
            named: None,
        };
        let case = if handling == Handling::Scope { Case::Kept } else { Case::Ignored };
        Self { query, handling, reader: Reader { case, links: 0, values: 0 }, once: Vec::new() }
    }

    fn take(&mut self, kind: Option<ResourceType>, name: &str, text: &str) -> Result<(), SearchError> {
        let controls = self.handling != Handling::Scope;
        let understood = if text.is_empty() {
            false
        } else if controls && self.control(kind, name, text)? {
            true
        } else {
            refuse_undefined(name, text)?;
            self.criterion(name, text)?
        };
        if understood {
            self.query.parameters.push((name.to_owned(), text.to_owned()));
        } else if self.handling == Handling::Lenient {
            self.query.ignored.push(shortened(name));
        } else if text.is_empty() {
            return Err(bad(name, "it is empty"));
        } else {
            let on = kind.map_or_else(|| "all types searched".to_owned(), |kind| kind.to_string());
            return Err(SearchError::UnknownParameter { parameter: shortened(name), on });
        }
        Ok(())
    }

    /// Takes a parameter that shapes the answer; says whether it was one.
    fn control(&mut self, kind: Option<ResourceType>, name: &str, text: &str) -> Result<bool, SearchError> {
        match name {
            "_sort" => {
                self.only("_sort")?;
                self.sort(text)?;
            }
            "_count" => {
                self.only("_count")?;
                let count: u64 = text.parse().map_err(|_| bad(name, "it is a whole number"))?;
                self.query.count = usize::try_from(count).unwrap_or(COUNT_MAX).min(COUNT_MAX);
            }
            "_total" => {
                self.only("_total")?;
                self.query.total = match text {
                    "none" => Total::None,
                    "estimate" | "accurate" => Total::Accurate,
                    _ => return Err(bad(name, "it is none, estimate or accurate")),
                };
            }
            "_summary" => {
                self.only("_summary")?;
                if !matches!(text, "true" | "text" | "data" | "count" | "false") {
                    return Err(bad(name, "it is true, text, data, count or false"));
                }
                self.query.summary = Some(text.to_owned());
            }
            "_elements" => {
                let elements = text.split(',').map(str::trim).filter(|element| !element.is_empty());
                self.query.elements.extend(elements.map(str::to_owned));
            }
            "_type" if kind.is_none() => self.only("_type")?,
            "_include" | "_include:iterate" | "_revinclude" | "_revinclude:iterate" => {
                if self.query.includes.len() >= INCLUDES_MAX {
                    let reason = "a search has 20 of _include and _revinclude at most";
                    return Err(SearchError::TooMuch { parameter: shortened(name), reason });
                }
                self.query.includes.push(Include::parse(name, text)?);
            }
            // Negotiation: whoever speaks HTTP reads these.
            "_format" | "_pretty" => {}
            "_contained" if text == "false" => {}
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn only(&mut self, name: &'static str) -> Result<(), SearchError> {
        if self.once.contains(&name) {
            return Err(bad(name, "it may stand once"));
        }
        self.once.push(name);
        Ok(())
    }

    fn sort(&mut self, text: &str) -> Result<(), SearchError> {
        for key in text.split(',') {
            let (code, direction) =
                key.strip_prefix('-').map_or((key, Direction::Ascending), |code| (code, Direction::Descending));
            if self.query.sort.len() >= SORT_KEYS_MAX {
                let reason = "a search sorts by 5 parameters at most";
                return Err(SearchError::TooMuch { parameter: "_sort".to_owned(), reason });
            }
            let mut kind = None;
            for search in &mut self.query.searches {
                let found = definition::of_type(search.resource_type).parameter(code);
                let sortable = found.filter(|(_, parameter)| {
                    !matches!(parameter.kind, Kind::Composite | Kind::Special)
                        && kind.is_none_or(|kind| kind == parameter.kind)
                });
                let (at, parameter) = sortable
                    .ok_or_else(|| bad("_sort", "it names search parameters of the type, not composite ones"))?;
                kind = Some(parameter.kind);
                search.sort_by.push(at);
            }
            self.query.sort.extend(kind.map(|kind| SortBy { kind, direction }));
        }
        Ok(())
    }

    /// Takes a criterion; says whether all types searched have it.
    fn criterion(&mut self, name: &str, text: &str) -> Result<bool, SearchError> {
        let before = self.reader.values;
        let mut criteria = Vec::new();
        for search in &self.query.searches {
            // Each type has the same values: they count once.
            self.reader.values = before;
            match self.reader.read(search.resource_type, name, text, 0)? {
                Some(criterion) => criteria.push(criterion),
                None => return Ok(false),
            }
        }
        for (search, criterion) in self.query.searches.iter_mut().zip(criteria) {
            search.criteria.push(criterion);
        }
        Ok(true)
    }

    fn finish(mut self) -> Result<Query, SearchError> {
        if self.query.summary.as_deref() == Some("count") {
            self.query.count = 0;
        }
        if self.query.summary.as_deref() == Some("text") && !self.query.includes.is_empty() {
            let instead = "R4 does not allow it together with _include; use _summary=true";
            return Err(SearchError::NotSupported { parameter: "_summary=text".to_owned(), instead });
        }
        let types: Vec<ResourceType> = self.query.types().collect();
        self.query.named = patient::named(&types, &self.query.parameters);
        Ok(self.query)
    }
}

/// Refuses parameters that R4 defines for every type and this server does not offer. Leaving them out would
/// give a wider answer than was asked for.
fn refuse_undefined(name: &str, text: &str) -> Result<(), SearchError> {
    let instead = match name.split(':').next().unwrap_or_default() {
        "_text" | "_content" => "full text is not searched; use the string and token parameters of the type",
        "_filter" => "write the conditions as parameters; repeat one for 'and', use commas for 'or'",
        "_query" => "no named queries are defined; use the parameters of the type",
        "_list" => "read the List and search by _id",
        "_contained" if text != "false" => "contained resources are not searched; leave it out",
        "_containedType" => "contained resources are not searched; leave it out",
        "_include" | "_revinclude" => "the modifier is :iterate",
        _ => return Ok(()),
    };
    Err(SearchError::NotSupported { parameter: shortened(name), instead })
}
