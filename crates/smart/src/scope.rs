//! One SMART scope: what it may name and how it is written (SMART App Launch 2.2, "Scopes and Launch Context").
//! Parsing is strict, because a scope that is misread gives away records: whatever is not exactly of the grammar is
//! not a scope. Sets of scopes and decisions are in `scope_set`.

use std::fmt;

use sealwort_fhir::ResourceType;

/// Longest filter of one scope, in bytes.
pub const FILTER_BYTES_MAX: usize = 512;
/// Most `param=value` items in the filter of one scope.
pub const FILTER_ITEMS_MAX: usize = 8;

/// Whose records a scope is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Context {
    /// The one patient of the launch.
    Patient,
    /// What the signed-in user may reach.
    User,
    /// What the app itself may reach, without a user.
    System,
}

impl Context {
    /// The word in front of the slash.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Patient => "patient",
            Self::User => "user",
            Self::System => "system",
        }
    }
}

/// What is done with a resource. `vread` and instance history are reads, patch is an update, history of a type is a
/// search (SMART App Launch 2.2, "Scopes for requesting FHIR Resources").
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// `c`
    Create,
    /// `r`
    Read,
    /// `u`
    Update,
    /// `d`
    Delete,
    /// `s`
    Search,
}

impl Action {
    /// All, in the order in which a scope writes them.
    pub const ALL: [Self; 5] = [Self::Create, Self::Read, Self::Update, Self::Delete, Self::Search];

    const fn letter(self) -> char {
        match self {
            Self::Create => 'c',
            Self::Read => 'r',
            Self::Update => 'u',
            Self::Delete => 'd',
            Self::Search => 's',
        }
    }
}

/// A set of actions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Actions(u8);

impl Actions {
    const READ_SEARCH: Self = Self(0b1_0010);
    const CREATE_UPDATE_DELETE: Self = Self(0b0_1101);
    pub(crate) const EVERY: Self = Self(0b1_1111);

    /// Whether the action is among them.
    pub const fn contains(self, action: Action) -> bool {
        self.0 & (1 << action as u8) != 0
    }

    /// A word of SMART 1.0, which has one exact meaning in 2.x.
    fn of_first_version(word: &str) -> Option<Self> {
        match word {
            "read" => Some(Self::READ_SEARCH),
            "write" => Some(Self::CREATE_UPDATE_DELETE),
            "*" => Some(Self::EVERY),
            _ => None,
        }
    }

    /// Letters of `cruds`, each at most once and in this order, at least one.
    fn parse(text: &str) -> Option<Self> {
        let mut order = Action::ALL.into_iter();
        let mut actions = 0;
        for letter in text.chars() {
            // Going on in the same order refuses what is repeated or out of order.
            let action = order.find(|action| action.letter() == letter)?;
            actions |= 1 << action as u8;
        }
        (actions != 0).then_some(Self(actions))
    }

    pub(crate) const fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    pub(crate) const fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub(crate) const fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub(crate) const fn covers(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

impl fmt::Display for Actions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Action::ALL
            .iter()
            .filter(|action| self.contains(**action))
            .try_for_each(|action| write!(f, "{}", action.letter()))
    }
}

/// Which resource types a scope is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ResourceTypes {
    /// `*`: all that there are, and all that will be added.
    Every,
    /// One type of FHIR R4.
    One(ResourceType),
}

impl ResourceTypes {
    pub(crate) fn contains(self, resource_type: &str) -> bool {
        match self {
            Self::Every => resource_type.parse::<ResourceType>().is_ok(),
            Self::One(one) => one.as_str() == resource_type,
        }
    }

    /// What is in both.
    pub(crate) fn and(self, other: Self) -> Option<Self> {
        match (self, other) {
            (Self::Every, narrower) | (narrower, Self::Every) => Some(narrower),
            (one, same) => (one == same).then_some(one),
        }
    }

    const fn as_str(self) -> &'static str {
        match self {
            Self::Every => "*",
            Self::One(one) => one.as_str(),
        }
    }
}

/// The query behind the `?` of a scope: all its items must hold. They are sorted, so that one meaning has one
/// spelling, and otherwise as they were received: the search engine of the FHIR server reads them.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Filter(String);

impl Filter {
    /// The query, without `?`.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub(crate) fn items(&self) -> impl Iterator<Item = &str> {
        self.0.split('&')
    }

    fn parse(query: &str, resource_types: ResourceTypes) -> Result<Self, ScopeFault> {
        if query.len() > FILTER_BYTES_MAX {
            return Err(ScopeFault::TooLong);
        }
        let items: Vec<&str> = query.split('&').collect();
        if !items.iter().all(|item| is_filter_item(item, resource_types)) {
            return Err(ScopeFault::Filter);
        }
        Self::of(items).ok_or(ScopeFault::TooLong)
    }

    /// What satisfies both: in a FHIR search, items joined by `&` must all hold.
    pub(crate) fn and(&self, other: &Self) -> Option<Self> {
        Self::of(self.items().chain(other.items()).collect())
    }

    fn of(mut items: Vec<&str>) -> Option<Self> {
        items.sort_unstable();
        items.dedup();
        let filter = items.join("&");
        (items.len() <= FILTER_ITEMS_MAX && filter.len() <= FILTER_BYTES_MAX).then_some(Self(filter))
    }

    /// Whether all that satisfies `other` satisfies this.
    fn covers(&self, other: &Self) -> bool {
        self.items().all(|item| other.items().any(|held| held == item))
    }
}

/// Search parameters of all resource types that tell resources apart. Others that begin with `_` shape an answer, such
/// as `_include` or `_count`: an engine that sets them aside would make the scope wider.
const COMMON_PARAMETERS: [&str; 6] = ["_id", "_lastUpdated", "_profile", "_security", "_source", "_tag"];

/// Modifiers and chains are "experimental" in SMART App Launch 2.2 and are refused. So are characters that would be
/// read in two ways: `+` (a space in forms) and `#` (the end of a query).
fn is_filter_item(item: &str, resource_types: ResourceTypes) -> bool {
    let Some((name, value)) = item.split_once('=') else { return false };
    let common = COMMON_PARAMETERS.contains(&name);
    let of_the_type = resource_types != ResourceTypes::Every
        && name.starts_with(|first: char| first.is_ascii_lowercase())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    (common || of_the_type) && !value.is_empty() && !value.contains(['+', '#']) && percent_signs_are_whole(value)
}

fn percent_signs_are_whole(value: &str) -> bool {
    let hexadecimal = |digits: &str| digits.get(..2).is_some_and(|two| two.bytes().all(|b| b.is_ascii_hexdigit()));
    value.split('%').skip(1).all(hexadecimal)
}

/// Access to resources: `patient/Observation.rs?category=laboratory`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ResourceScope {
    pub(crate) context: Context,
    pub(crate) resource_types: ResourceTypes,
    pub(crate) filter: Option<Filter>,
    pub(crate) actions: Actions,
}

impl ResourceScope {
    /// Whose records.
    pub const fn context(&self) -> Context {
        self.context
    }

    /// Which types.
    pub const fn resource_types(&self) -> ResourceTypes {
        self.resource_types
    }

    /// What may be done.
    pub const fn actions(&self) -> Actions {
        self.actions
    }

    /// The query that each resource must satisfy, without `?`.
    pub fn filter(&self) -> Option<&str> {
        self.filter.as_ref().map(Filter::as_str)
    }

    /// What both allow, or nothing.
    pub(crate) fn and(&self, other: &Self) -> Option<Self> {
        let actions = self.actions.and(other.actions);
        if self.context != other.context || actions.is_empty() {
            return None;
        }
        let resource_types = self.resource_types.and(other.resource_types)?;
        let filter = match (&self.filter, &other.filter) {
            (Some(one), Some(another)) => Some(one.and(another)?),
            (one, another) => one.as_ref().or(another.as_ref()).cloned(),
        };
        Some(Self { context: self.context, resource_types, filter, actions })
    }

    /// Whether this allows all that `other` allows.
    pub(crate) fn covers(&self, other: &Self) -> bool {
        let filtered = match (&self.filter, &other.filter) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(mine), Some(theirs)) => mine.covers(theirs),
        };
        self.context == other.context
            && self.resource_types.and(other.resource_types) == Some(other.resource_types)
            && self.actions.covers(other.actions)
            && filtered
    }

    fn parse(context: Context, text: &str) -> Result<Self, ScopeFault> {
        let (head, query) = match text.split_once('?') {
            Some((head, query)) => (head, Some(query)),
            None => (text, None),
        };
        let (name, letters) = head.split_once('.').ok_or(ScopeFault::Unknown)?;
        let resource_types = match name {
            "*" => ResourceTypes::Every,
            _ => ResourceTypes::One(name.parse().map_err(|_| ScopeFault::ResourceType)?),
        };
        // SMART 1.0 knows no filters, so a word of it in front of one is a mistake.
        let first_version = if query.is_none() { Actions::of_first_version(letters) } else { None };
        let actions = first_version.or_else(|| Actions::parse(letters)).ok_or(ScopeFault::Actions)?;
        let filter = query.map(|query| Filter::parse(query, resource_types)).transpose()?;
        Ok(Self { context, resource_types, filter, actions })
    }
}

/// One scope.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Scope {
    /// `launch`: the context of an EHR launch.
    Launch,
    /// `launch/patient`: a patient chosen at launch.
    LaunchPatient,
    /// `openid`: an identity token.
    OpenId,
    /// `fhirUser`: the user as a FHIR resource.
    FhirUser,
    /// `offline_access`: access also when the user has left.
    OfflineAccess,
    /// `online_access`: access for as long as the user stays signed in.
    OnlineAccess,
    /// Access to resources.
    Resource(ResourceScope),
}

impl Scope {
    /// The scope that is written so, exactly.
    pub fn parse(text: &str) -> Result<Self, ScopeFault> {
        if text.is_empty() {
            return Err(ScopeFault::Empty);
        }
        // Characters of a scope token (RFC 6749, section 3.3). Look-alikes from Unicode end here.
        if !text.bytes().all(|byte| matches!(byte, 0x21 | 0x23..=0x5b | 0x5d..=0x7e)) {
            return Err(ScopeFault::Characters);
        }
        if let Some(scope) = Self::WORDS.iter().find(|(word, _)| *word == text).map(|(_, scope)| scope.clone()) {
            return Ok(scope);
        }
        let (context, rest) = text.split_once('/').ok_or(ScopeFault::Unknown)?;
        let known = [Context::Patient, Context::User, Context::System];
        let context = known.into_iter().find(|known| known.as_str() == context).ok_or(ScopeFault::Unknown)?;
        ResourceScope::parse(context, rest).map(Self::Resource)
    }

    /// The query that each resource must satisfy, without `?`.
    pub fn filter(&self) -> Option<&str> {
        match self {
            Self::Resource(scope) => scope.filter(),
            _ => None,
        }
    }

    /// `launch/encounter` is absent on purpose: the gateway knows no encounter that is open. `profile` is the word of
    /// SMART 1.0 for `fhirUser`, with another content.
    const WORDS: [(&'static str, Self); 6] = [
        ("launch", Self::Launch),
        ("launch/patient", Self::LaunchPatient),
        ("openid", Self::OpenId),
        ("fhirUser", Self::FhirUser),
        ("offline_access", Self::OfflineAccess),
        ("online_access", Self::OnlineAccess),
    ];
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self::Resource(scope) = self else {
            let word = Self::WORDS.iter().find(|(_, scope)| scope == self).map(|(word, _)| *word);
            return f.write_str(word.unwrap_or_default());
        };
        write!(f, "{}/{}.{}", scope.context.as_str(), scope.resource_types.as_str(), scope.actions)?;
        scope.filter().map_or(Ok(()), |filter| write!(f, "?{filter}"))
    }
}

/// Why a scope was not granted. The requester wrote it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ScopeFault {
    /// Two spaces, or a space at an end.
    #[error("the scope is empty; put exactly one space between scopes")]
    Empty,
    /// A character that no scope has.
    #[error("the scope has a character that no scope has; write it in plain ASCII")]
    Characters,
    /// Not a scope of this server.
    #[error("this server does not know the scope; see scopes_supported in .well-known/smart-configuration")]
    Unknown,
    /// Not a resource type.
    #[error("FHIR R4 has no such resource type; upper and lower case matter")]
    ResourceType,
    /// Not a suffix.
    #[error("after the dot come letters of cruds, each once and in this order")]
    Actions,
    /// Not a usable filter.
    #[error(
        "the filter is not a list of plain search parameters; modifiers, chains and result parameters do not work here"
    )]
    Filter,
    /// Beyond a limit.
    #[error("the scope is too long; ask for less")]
    TooLong,
    /// More than a set holds.
    #[error("there are too many scopes; ask for fewer, or for * with the letters that you need")]
    TooMany,
    /// Known and well written, but not allowed here.
    #[error("the app is not registered for this scope; ask the hospital to add it")]
    NotAllowed,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_fault_of_a_scope_has_its_name() {
        let cases = [
            ("", ScopeFault::Empty),
            ("patient/Observation.r\u{455}", ScopeFault::Characters),
            ("launch/encounter", ScopeFault::Unknown),
            ("group/Observation.rs", ScopeFault::Unknown),
            ("patient/Observation", ScopeFault::Unknown),
            ("patient/Observations.rs", ScopeFault::ResourceType),
            ("patient/Observation.sr", ScopeFault::Actions),
            ("patient/Observation.", ScopeFault::Actions),
            // SMART 1.0 has no filters.
            ("patient/Observation.read?code=a", ScopeFault::Actions),
            ("patient/Observation.*?code=a", ScopeFault::Actions),
            ("patient/Observation.rs?", ScopeFault::Filter),
            ("patient/Observation.rs?code=", ScopeFault::Filter),
            ("patient/Observation.rs?code=a&", ScopeFault::Filter),
            ("patient/Observation.rs?code=a+b", ScopeFault::Filter),
            ("patient/Observation.rs?code=a#b", ScopeFault::Filter),
            ("patient/Observation.rs?code=%4", ScopeFault::Filter),
            ("patient/Observation.rs?code=%4g", ScopeFault::Filter),
            ("patient/Observation.rs?code:not=a", ScopeFault::Filter),
            ("patient/Observation.rs?subject.name=a", ScopeFault::Filter),
            ("patient/Observation.rs?_include=*", ScopeFault::Filter),
            ("patient/Observation.rs?Code=a", ScopeFault::Filter),
            // What only some types have cannot be asked of all.
            ("patient/*.rs?code=a", ScopeFault::Filter),
        ];
        for (text, fault) in cases {
            assert_eq!(Scope::parse(text), Err(fault), "{text}");
        }
        for text in ["patient/Observation.rs?code=%7C&value-quantity=gt5", "user/*.r?_tag=a", "patient/Observation.*"] {
            assert!(Scope::parse(text).is_ok(), "{text}");
        }
    }
}
