//! The structure of FHIR R4: which elements a type has, how often they occur, of which types they
//! are, and which codes they are bound to. The tables are made when the crate is built, from
//! `definitions/structures.json`, and are static. Nothing here looks at a resource.

/// The content of an element: a resource, a data type, a primitive type, or the elements nested in
/// one element of a resource, which go by its path (`Patient.contact`).
#[derive(Debug)]
pub struct Type {
    name: &'static str,
    kind: TypeKind,
    elements: &'static [Element],
    members: &'static [Member],
    /// A bit for each element that must be there.
    required: u128,
}

/// What sort of type it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TypeKind {
    /// A concrete resource type.
    Resource,
    /// `Resource`: any resource may stand here.
    AnyResource,
    /// A data type with elements, such as `HumanName`.
    Complex,
    /// The elements nested in one element, such as `Patient.contact`.
    Nested,
    /// A single value.
    Primitive(Primitive),
}

/// The primitive types of R4 (datatypes.html#primitive).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each is named as FHIR names it")]
pub enum Primitive {
    Base64Binary,
    Boolean,
    Canonical,
    Code,
    Date,
    DateTime,
    Decimal,
    Id,
    Instant,
    Integer,
    Markdown,
    Oid,
    PositiveInt,
    String,
    Time,
    UnsignedInt,
    Uri,
    Url,
    Uuid,
    Xhtml,
}

/// An element of a type.
#[derive(Debug)]
#[expect(clippy::struct_excessive_bools, reason = "the flags of ElementDefinition")]
pub struct Element {
    name: &'static str,
    is_choice: bool,
    is_required: bool,
    is_list: bool,
    is_summary: bool,
    is_modifier: bool,
    value_set: Option<&'static ValueSet>,
    types: &'static [ElementType],
}

/// A type that an element may have.
#[derive(Debug)]
pub struct ElementType {
    of: &'static Type,
    targets: &'static [&'static str],
}

/// A value set with a required binding whose codes can be listed.
#[derive(Debug)]
pub struct ValueSet {
    url: &'static str,
    systems: &'static [CodeList],
}

/// Codes of one system, sorted.
#[derive(Debug)]
struct CodeList {
    system: &'static str,
    codes: &'static [&'static str],
}

/// A JSON member: which element it is, and which of its types.
#[derive(Debug)]
struct Member {
    /// See [`prefix`].
    prefix: u64,
    name: &'static str,
    element: u8,
    choice: u8,
}

include!(concat!(env!("OUT_DIR"), "/structures.rs"));

/// The type of that name: `Patient`, `HumanName`, `code`, `Patient.contact`; `Resource` for any
/// resource. Other abstract types have no entry.
pub fn find(name: &str) -> Option<&'static Type> {
    let at = TYPES.binary_search_by(|found| found.name.cmp(name)).ok()?;
    TYPES.get(at).copied()
}

/// The element at a path that begins with a type: `Observation.value[x]`, `Observation.value`,
/// `Patient.contact.name.family`. Below a choice it follows a type that is written into the name:
/// `Observation.valueQuantity.unit`.
pub fn element(path: &str) -> Option<&'static Element> {
    let mut steps = path.split('.');
    let mut holder = Some(find(steps.next()?)?);
    let mut found = None;
    for step in steps {
        let from = holder?;
        if let Some((element, choice)) = from.member(step) {
            (found, holder) = (Some(element), Some(choice.of));
        } else {
            (found, holder) = (Some(from.element(step.trim_end_matches("[x]"))?), None);
        }
    }
    found
}

impl Type {
    /// Its name, or the path of the element that it is nested in.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// What sort it is.
    pub fn kind(&self) -> TypeKind {
        self.kind
    }

    /// The primitive type that it is, if it is one.
    pub fn primitive(&self) -> Option<Primitive> {
        match self.kind {
            TypeKind::Primitive(primitive) => Some(primitive),
            _ => None,
        }
    }

    /// Its elements in the order of the specification, inherited ones first. A primitive type has
    /// those of its `_` member: `id` and `extension`.
    pub fn elements(&self) -> &'static [Element] {
        self.elements
    }

    /// The element of that name; a choice goes by its name without `[x]`.
    pub fn element(&self, name: &str) -> Option<&'static Element> {
        self.elements.iter().find(|element| element.name == name)
    }

    /// The element and its type behind a JSON member: `birthDate`, `valueQuantity`.
    pub fn member(&self, name: &str) -> Option<(&'static Element, &'static ElementType)> {
        self.place(name).map(|place| (place.element, place.of))
    }

    /// The names that JSON members may have, sorted.
    pub fn members(&self) -> impl Iterator<Item = &'static str> {
        self.members.iter().map(|member| member.name)
    }

    pub(crate) fn place(&self, name: &str) -> Option<Place> {
        let key = prefix(name);
        let order = |member: &Member| member.prefix.cmp(&key).then_with(|| member.name.cmp(name));
        let at = self.members.binary_search_by(order).ok()?;
        let member = self.members.get(at)?;
        let element = self.elements.get(usize::from(member.element))?;
        let of = element.types.get(usize::from(member.choice))?;
        Some(Place { element, of, bit: 1 << member.element })
    }

    /// The bits of the elements that must be there.
    pub(crate) fn required(&self) -> u128 {
        self.required
    }

    /// The element that has this bit alone.
    pub(crate) fn element_of_bit(&self, bit: u128) -> Option<&'static Element> {
        self.elements.get(usize::try_from(bit.trailing_zeros()).ok()?)
    }

    /// The bit of an element; 0 for none.
    pub(crate) fn bit_of(&self, name: &str) -> u128 {
        self.elements.iter().position(|element| element.name == name).map_or(0, |at| 1 << at)
    }
}

/// The first eight bytes of a name as a number, which sorts as the name does: most comparisons of a
/// search need no more, and this search is the inner loop of validation.
const fn prefix(name: &str) -> u64 {
    let mut rest = name.as_bytes();
    if let Some(first) = rest.first_chunk() {
        return u64::from_be_bytes(*first);
    }
    let (mut bits, mut free) = (0, u64::BITS);
    while let [byte, more @ ..] = rest {
        free -= u8::BITS;
        bits |= (*byte as u64) << free;
        rest = more;
    }
    bits
}

/// What a JSON member stands for.
pub(crate) struct Place {
    pub(crate) element: &'static Element,
    pub(crate) of: &'static ElementType,
    /// The bit of the element among those of its type.
    pub(crate) bit: u128,
}

impl Element {
    /// Its name, without `[x]`.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Whether it is a choice of types (`value[x]`), whose JSON member ends in the type.
    pub fn is_choice(&self) -> bool {
        self.is_choice
    }

    /// Whether it must be there at least once.
    pub fn is_required(&self) -> bool {
        self.is_required
    }

    /// Whether it may repeat, and hence is an array in JSON.
    pub fn is_list(&self) -> bool {
        self.is_list
    }

    /// Whether it belongs to the summary of its resource.
    pub fn is_summary(&self) -> bool {
        self.is_summary
    }

    /// Whether it can change the meaning of what stands beside it.
    pub fn is_modifier(&self) -> bool {
        self.is_modifier
    }

    /// The codes it is bound to, where the binding is required and the codes can be listed.
    pub fn value_set(&self) -> Option<&'static ValueSet> {
        self.value_set
    }

    /// The types it may have; more than one for a choice only.
    pub fn types(&self) -> &'static [ElementType] {
        self.types
    }
}

impl ElementType {
    /// The content.
    pub fn of(&self) -> &'static Type {
        self.of
    }

    /// For `Reference` and `canonical`: the types it may point at; empty for any.
    pub fn targets(&self) -> &'static [&'static str] {
        self.targets
    }
}

impl ValueSet {
    /// Its canonical URL.
    pub fn url(&self) -> &'static str {
        self.url
    }

    /// Whether it holds the code, in whichever system: what an element of type `code` asks.
    pub fn has_code(&self, code: &str) -> bool {
        self.systems.iter().any(|list| list.codes.binary_search(&code).is_ok())
    }

    /// Whether it holds the code of that system.
    pub fn has(&self, system: &str, code: &str) -> bool {
        self.systems.iter().any(|list| list.system == system && list.codes.binary_search(&code).is_ok())
    }

    /// All codes, with their systems.
    pub fn codes(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
        self.systems.iter().flat_map(|list| list.codes.iter().map(|code| (list.system, *code)))
    }
}

/// The patterns of the primitive types, as the definitions state them.
#[cfg(test)]
pub(crate) fn patterns() -> &'static [(&'static str, &'static str)] {
    PATTERNS
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

    use super::*;
    use crate::ResourceType;

    #[test]
    fn the_table_is_sorted_and_holds_every_resource_type() {
        assert!(TYPES.is_sorted_by(|a, b| a.name < b.name));
        for found in TYPES {
            assert!(found.members.is_sorted_by(|a, b| a.name < b.name), "{}", found.name);
            assert!(found.members.is_sorted_by_key(|member| member.prefix), "{}", found.name);
            for element in found.elements {
                assert!(!element.types.is_empty(), "{}.{}", found.name, element.name);
                assert!(element.is_choice || element.types.len() == 1, "{}.{}", found.name, element.name);
                if let Some(set) = element.value_set {
                    assert!(set.systems.iter().all(|list| list.codes.is_sorted_by(|a, b| a < b)), "{}", set.url);
                }
            }
        }
        let resources = TYPES.iter().filter(|found| found.kind == TypeKind::Resource).map(|found| found.name);
        assert!(resources.eq(ResourceType::all().map(ResourceType::as_str)));
    }

    #[test]
    fn elements_are_those_of_r4() {
        let types = |path: &str| element(path).unwrap().types().iter().map(|t| t.of().name()).collect::<Vec<_>>();
        assert_eq!(
            types("Observation.value[x]"),
            [
                "Quantity",
                "CodeableConcept",
                "string",
                "boolean",
                "integer",
                "Range",
                "Ratio",
                "SampledData",
                "time",
                "dateTime",
                "Period"
            ]
        );
        assert!(element("Observation.value").unwrap().is_choice());
        assert_eq!(types("Observation.valueQuantity.value"), ["decimal"]);
        assert_eq!(types("Patient.contact.name.family"), ["string"]);
        assert_eq!(types("Questionnaire.item.item.item.linkId"), ["string"]);
        assert_eq!(types("Patient.contact"), ["Patient.contact"]);
        assert_eq!(types("Patient.id"), ["id"]);
        assert_eq!(types("Patient.contact.id"), ["string"]);
        assert_eq!(types("Extension.value[x]").len(), 50);
        assert_eq!(types("Bundle.entry.resource"), ["Resource"]);
        assert_eq!(element("Encounter.subject").unwrap().types()[0].targets(), ["Patient", "Group"]);
        assert!(element("Bundle.entry.resource.id").is_some());

        let flags = |path: &str| {
            let found = element(path).unwrap();
            (found.is_required(), found.is_list(), found.is_summary(), found.is_modifier())
        };
        assert_eq!(flags("Observation.status"), (true, false, true, true));
        assert_eq!(flags("Patient.name"), (false, true, true, false));
        assert_eq!(flags("Attachment.data"), (false, false, false, false));
        assert_eq!(flags("Age.value"), (false, false, true, false));
        assert_eq!(flags("Dosage.modifierExtension"), (false, true, true, true));

        // Absent: of R5, of another vendor, or no element at all.
        for path in ["Meta.project", "Binary.url", "ResearchStudy.whyStopped", "Patient.nam", "Zebra.id", "", "Patient"]
        {
            assert!(element(path).is_none(), "{path}");
        }
        assert!(element("Observation.value.unit").is_none(), "a choice alone does not say which type to follow");
        assert!(find("DomainResource").is_none());
    }

    #[test]
    fn members_and_codes() {
        let observation = find("Observation").unwrap();
        assert_eq!(observation.member("valueQuantity").unwrap().1.of().name(), "Quantity");
        assert!(observation.member("value").is_none());
        assert!(observation.member("valueAddress").is_none());
        let genders = element("Patient.gender").unwrap().value_set().unwrap();
        assert!(genders.has_code("other") && !genders.has_code("Other"));
        assert!(genders.has("http://hl7.org/fhir/administrative-gender", "male"));
        assert!(!genders.has("http://example.org", "male"));
        assert_eq!(genders.codes().count(), 4);
        assert!(element("Attachment.contentType").unwrap().value_set().is_none());
    }
}
