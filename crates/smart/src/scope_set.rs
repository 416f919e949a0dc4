//! Sets of scopes: what was asked for, what an app may have, and whether an action is permitted. Every operation can
//! only narrow. Filters are kept and combined here, never evaluated: that is for the FHIR server, which must deny what
//! it cannot evaluate.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::scope::{Action, Actions, Context, Filter, ResourceScope, Scope, ScopeFault};

/// Longest list of scopes, in bytes. An access token that holds them must still fit into a header.
pub const SCOPE_TEXT_BYTES_MAX: usize = 4096;
/// Most scopes in a list.
pub const SCOPES_MAX: usize = 64;
/// How much of a dropped scope is told back, in bytes.
const DROPPED_BYTES_MAX: usize = 128;

/// Scopes without order or repetition. Two scopes that differ in their letters alone are one.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct ScopeSet(Vec<Scope>);

/// May an action be done, and with which resources.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Permission<'a> {
    /// No.
    Denied,
    /// With every resource of the type.
    All,
    /// With resources that satisfy at least one of these search queries. For a create it is the new resource that must
    /// satisfy it, for an update both the old and the new one.
    Where(Vec<&'a str>),
}

/// What became of a list of scopes that somebody asked for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ScopeRequest {
    /// What was understood.
    pub scopes: ScopeSet,
    /// What was not.
    pub dropped: Vec<DroppedScope>,
}

/// A scope that was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?}: {fault}")]
pub struct DroppedScope {
    /// Its beginning, as received.
    pub text: String,
    /// Why.
    pub fault: ScopeFault,
}

impl ScopeRequest {
    /// Reads a `scope` parameter (RFC 6749, section 3.3). What is not exactly a scope of this server is dropped and
    /// told; the rest stands.
    pub fn parse(text: &str) -> Self {
        let mut request = Self::default();
        if text.len() > SCOPE_TEXT_BYTES_MAX {
            request.drop_scope(text, ScopeFault::TooLong);
            return request;
        }
        // The length bounds the number of words.
        for word in text.split(' ') {
            let taken = Scope::parse(word).and_then(|scope| request.scopes.insert(scope));
            if let Err(fault) = taken {
                request.drop_scope(word, fault);
            }
        }
        request
    }

    /// Tells as dropped what was understood but of which nothing was granted.
    pub(crate) fn note_what_is_not_in(&mut self, granted: &ScopeSet) {
        for scope in self.scopes.0.clone() {
            if ScopeSet(vec![scope.clone()]).intersect(granted).is_empty() {
                self.drop_scope(&scope.to_string(), ScopeFault::NotAllowed);
            }
        }
    }

    fn drop_scope(&mut self, text: &str, fault: ScopeFault) {
        let end = (0..=DROPPED_BYTES_MAX.min(text.len())).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
        let text = text.get(..end).unwrap_or_default().to_owned();
        if self.dropped.len() < SCOPES_MAX {
            self.dropped.push(DroppedScope { text, fault });
        }
    }
}

impl ScopeSet {
    /// Each scope, sorted.
    pub fn iter(&self) -> impl Iterator<Item = &Scope> {
        self.0.iter()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether exactly this scope is in it. To ask about resources, use [`ScopeSet::permits`].
    pub fn contains(&self, scope: &Scope) -> bool {
        self.0.contains(scope)
    }

    /// Whether any scope is about this context.
    pub fn has_context(&self, context: Context) -> bool {
        self.resources().any(|scope| scope.context == context)
    }

    /// What both allow: never more than either. Where both have a filter, both must hold.
    pub fn intersect(&self, allowed: &Self) -> Self {
        let mut both = Self::default();
        for scope in &self.0 {
            match scope {
                Scope::Resource(asked) => {
                    for scope in narrowings(asked, allowed) {
                        // What finds no room is not granted.
                        let _ = both.insert(Scope::Resource(scope));
                    }
                }
                word if allowed.contains(word) => {
                    let _ = both.insert(word.clone());
                }
                _ => {}
            }
        }
        both
    }

    /// The scopes that pass the test.
    pub fn only(&self, keep: impl Fn(&Scope) -> bool) -> Self {
        Self(self.0.iter().filter(|scope| keep(scope)).cloned().collect())
    }

    /// Whether resources of this type may be treated so in this context. A name that is no resource type of FHIR R4 is
    /// denied.
    pub fn permits(&self, context: Context, action: Action, resource_type: &str) -> Permission<'_> {
        let mut filters = Vec::new();
        for scope in self.resources() {
            let applies = scope.context == context
                && scope.actions.contains(action)
                && scope.resource_types.contains(resource_type);
            match scope.filter.as_ref().map(Filter::as_str) {
                None if applies => return Permission::All,
                Some(filter) if applies => filters.push(filter),
                _ => {}
            }
        }
        if filters.is_empty() { Permission::Denied } else { Permission::Where(filters) }
    }

    fn resources(&self) -> impl Iterator<Item = &ResourceScope> {
        self.0.iter().filter_map(|scope| match scope {
            Scope::Resource(scope) => Some(scope),
            _ => None,
        })
    }

    /// Adds a scope, or leaves the set as it was.
    fn insert(&mut self, scope: Scope) -> Result<(), ScopeFault> {
        if let Scope::Resource(new) = &scope {
            let same = self.0.iter_mut().find_map(|held| match held {
                Scope::Resource(held) if held.is_for_the_same_as(new) => Some(held),
                _ => None,
            });
            if let Some(held) = same {
                held.actions = held.actions.or(new.actions);
                return Ok(());
            }
        }
        let Err(place) = self.0.binary_search(&scope) else { return Ok(()) };
        if self.0.len() == SCOPES_MAX {
            return Err(ScopeFault::TooMany);
        }
        let length: usize = self.0.iter().chain([&scope]).map(room).sum();
        if length > SCOPE_TEXT_BYTES_MAX {
            return Err(ScopeFault::TooLong);
        }
        self.0.insert(place, scope);
        Ok(())
    }
}

/// What a scope takes in the list with its space. Letters are counted as if all were there, since letters are added
/// when two scopes become one.
fn room(scope: &Scope) -> usize {
    let longest = match scope {
        Scope::Resource(scope) => Scope::Resource(ResourceScope { actions: Actions::EVERY, ..scope.clone() }),
        word => word.clone(),
    };
    longest.to_string().len() + 1
}

impl ResourceScope {
    fn is_for_the_same_as(&self, other: &Self) -> bool {
        (self.context, self.resource_types, &self.filter) == (other.context, other.resource_types, &other.filter)
    }
}

/// What each allowed scope leaves of the asked one, without what another of them already covers.
fn narrowings(asked: &ResourceScope, allowed: &ScopeSet) -> Vec<ResourceScope> {
    let mut kept: Vec<ResourceScope> = Vec::new();
    for scope in allowed.resources().filter_map(|scope| asked.and(scope)) {
        if !kept.iter().any(|held| held.covers(&scope)) {
            kept.retain(|held| !scope.covers(held));
            kept.push(scope);
        }
    }
    kept
}

impl fmt::Display for ScopeSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, scope) in self.0.iter().enumerate() {
            let space = if place == 0 { "" } else { " " };
            write!(f, "{space}{scope}")?;
        }
        Ok(())
    }
}

impl From<ScopeSet> for String {
    fn from(scopes: ScopeSet) -> Self {
        scopes.to_string()
    }
}

/// Takes all scopes of a text or none; for what the hospital wrote itself. The empty text is the empty set.
impl FromStr for ScopeSet {
    type Err = DroppedScope;

    fn from_str(text: &str) -> Result<Self, DroppedScope> {
        if text.is_empty() {
            return Ok(Self::default());
        }
        let request = ScopeRequest::parse(text);
        request.dropped.into_iter().next().map_or(Ok(request.scopes), Err)
    }
}

impl TryFrom<String> for ScopeSet {
    type Error = DroppedScope;

    fn try_from(text: String) -> Result<Self, DroppedScope> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(text: &str) -> ScopeSet {
        text.parse().unwrap()
    }

    #[test]
    fn scopes_print_in_one_canonical_form() {
        let cases = [
            ("patient/Observation.rs", "patient/Observation.rs"),
            ("patient/Observation.s patient/Observation.r", "patient/Observation.rs"),
            ("user/*.cruds openid launch", "launch openid user/*.cruds"),
            ("patient/*.read", "patient/*.rs"),
            ("patient/Patient.write", "patient/Patient.cud"),
            ("system/*.*", "system/*.cruds"),
            ("patient/Observation.rs?code=b&category=a&code=b", "patient/Observation.rs?category=a&code=b"),
            (
                "system/Observation.rs?category=http://terminology.hl7.org/CodeSystem/observation-category|laboratory",
                "system/Observation.rs?category=http://terminology.hl7.org/CodeSystem/observation-category|laboratory",
            ),
            ("patient/*.rs?_security=R&_tag=x", "patient/*.rs?_security=R&_tag=x"),
            ("", ""),
        ];
        for (text, canonical) in cases {
            assert_eq!(set(text).to_string(), canonical);
            assert_eq!(set(canonical), set(text));
        }
    }

    #[test]
    fn what_is_dropped_is_told_and_the_rest_stands() {
        let request =
            ScopeRequest::parse("launch/encounter patient/Observation.rs  patient/Observations.rs patient/*.sr");
        assert_eq!(request.scopes.to_string(), "patient/Observation.rs");
        let dropped: Vec<_> = request.dropped.iter().map(|dropped| (dropped.text.as_str(), dropped.fault)).collect();
        let expected = [
            ("launch/encounter", ScopeFault::Unknown),
            ("", ScopeFault::Empty),
            ("patient/Observations.rs", ScopeFault::ResourceType),
            ("patient/*.sr", ScopeFault::Actions),
        ];
        assert_eq!(dropped, expected);
    }

    #[test]
    fn limits_hold() {
        let long = format!("patient/Observation.rs?code={}", "a".repeat(513));
        assert_eq!(Scope::parse(&long).unwrap_err(), ScopeFault::TooLong);
        let items = ["code=a"; 9].iter().enumerate().map(|(n, item)| format!("{item}{n}")).collect::<Vec<_>>();
        let many = format!("patient/Observation.rs?{}", items.join("&"));
        assert_eq!(Scope::parse(&many).unwrap_err(), ScopeFault::TooLong);
        let filters: Vec<_> = (0..=SCOPES_MAX).map(|n| format!("patient/Observation.rs?code={n}")).collect();
        let request = ScopeRequest::parse(&filters.join(" "));
        assert_eq!((request.scopes.iter().count(), request.dropped.len()), (SCOPES_MAX, 1));
        assert_eq!(request.dropped[0].fault, ScopeFault::TooMany);
        let huge = ScopeRequest::parse(&"é ".repeat(SCOPE_TEXT_BYTES_MAX));
        assert!(huge.scopes.is_empty() && huge.dropped.len() == 1 && huge.dropped[0].text.len() <= DROPPED_BYTES_MAX);
    }

    #[test]
    fn an_intersection_is_never_wider_than_either_side() {
        let cases = [
            // asked, allowed, granted
            ("patient/Observation.rs", "patient/Observation.rs", "patient/Observation.rs"),
            ("patient/Observation.rs?category=x", "patient/Observation.rs", "patient/Observation.rs?category=x"),
            ("patient/Observation.rs", "patient/Observation.rs?category=x", "patient/Observation.rs?category=x"),
            (
                "patient/Observation.rs?code=y",
                "patient/Observation.rs?category=x",
                "patient/Observation.rs?category=x&code=y",
            ),
            (
                "patient/*.cruds",
                "patient/Observation.rs patient/Condition.r",
                "patient/Condition.r patient/Observation.rs",
            ),
            ("patient/Observation.cruds", "patient/*.rs", "patient/Observation.rs"),
            ("patient/Observation.rs", "user/Observation.rs", ""),
            ("system/*.rs", "user/*.cruds patient/*.cruds", ""),
            ("patient/Observation.cud", "patient/Observation.rs", ""),
            ("openid launch offline_access", "openid launch/patient online_access", "openid"),
            ("patient/*.rs?_tag=a", "patient/Observation.cruds?code=y", "patient/Observation.rs?_tag=a&code=y"),
        ];
        for (asked, allowed, granted) in cases {
            assert_eq!(set(asked).intersect(&set(allowed)).to_string(), granted, "{asked} with {allowed}");
            assert_eq!(set(allowed).intersect(&set(asked)).to_string(), granted, "{allowed} with {asked}");
        }
        // What one allowed scope covers already is not said twice.
        let allowed = set("patient/*.rs patient/Observation.rs?code=y");
        assert_eq!(set("patient/Observation.rs").intersect(&allowed).to_string(), "patient/Observation.rs");
    }

    #[test]
    fn permission_follows_context_action_type_and_filter() {
        let scopes =
            set("patient/Observation.rs?category=a patient/Observation.r?category=b patient/Condition.r system/*.s");
        let (patient, system) = (Context::Patient, Context::System);
        let cases = [
            (patient, Action::Read, "Observation", Permission::Where(vec!["category=a", "category=b"])),
            (patient, Action::Search, "Observation", Permission::Where(vec!["category=a"])),
            (patient, Action::Create, "Observation", Permission::Denied),
            (patient, Action::Read, "Condition", Permission::All),
            (patient, Action::Read, "condition", Permission::Denied),
            (Context::User, Action::Read, "Condition", Permission::Denied),
            (system, Action::Search, "Observation", Permission::All),
            (system, Action::Read, "Observation", Permission::Denied),
            (system, Action::Search, "*", Permission::Denied),
            (system, Action::Search, "", Permission::Denied),
            (system, Action::Search, "Nothing", Permission::Denied),
        ];
        for (context, action, resource_type, permission) in cases {
            assert_eq!(scopes.permits(context, action, resource_type), permission, "{action:?} {resource_type}");
        }
        assert_eq!(ScopeSet::default().permits(patient, Action::Read, "Patient"), Permission::Denied);
    }
}
