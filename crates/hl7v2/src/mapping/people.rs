//! Names, addresses and telephone numbers, and the people, places and organizations that fields name
//! (HL7 v2.9 chapter 2A: XPN, XAD, XTN, XCN, XON, PL). They become entries of their own where they have an
//! identifier, and a name to show where they have none.

use serde_json::{Value, json};

use super::context::Context;
use super::datatypes::identifier;
use super::element::Element;
use super::tables;
use super::transaction::{Existing, Key};
use crate::message::{Repeat, Segment};
use crate::refused::Refused;

impl Context<'_> {
    /// An XCN as a reference: an entry for a person with an id, a name alone for one without.
    pub(super) fn practitioner(&mut self, repeat: &Repeat<'_>) -> Result<Option<Value>, Refused> {
        let mut name = Element::new().with("family", repeat.part(2, 1));
        for given in [3, 4] {
            name.push("given", repeat.text(given));
        }
        name.push("prefix", repeat.text(6));
        for suffix in [5, 7] {
            name.push("suffix", repeat.text(suffix));
        }
        let kind = repeat.part(9, 3);
        let system = self.system(repeat.part(9, 1), repeat.part(9, 2), kind.as_deref());
        let id = repeat.text(1).map(|value| (Key { system, value }, repeat.text(13)));
        self.person(name, id)
    }

    /// A person by name and id, of whatever data type.
    pub(super) fn person(
        &mut self,
        name: Element,
        id: Option<(Key, Option<String>)>,
    ) -> Result<Option<Value>, Refused> {
        let text = |part: &str| match name.member(part) {
            Some(Value::String(text)) => text.clone(),
            Some(Value::Array(list)) => list.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" "),
            _ => String::new(),
        };
        let display = ["prefix", "given", "family", "suffix"].map(text);
        let display = display.iter().filter(|part| !part.is_empty()).cloned().collect::<Vec<_>>().join(" ");
        let Some((key, kind)) = id else {
            return Ok(Element::new().with("display", display).build());
        };
        let practitioner = Element::resource("Practitioner")
            .with("identifier", vec![Value::from(identifier(&key, kind))])
            .with("name", name.build().into_iter().collect::<Vec<_>>());
        let reference = self.add(practitioner, key, Existing::Keep)?;
        Ok(Some(with_display(reference, &display)))
    }

    /// An XON as a reference.
    pub(super) fn organization(&mut self, repeat: &Repeat<'_>) -> Result<Option<Value>, Refused> {
        let name = repeat.text(1);
        let kind = repeat.part(6, 3);
        let system = self.system(repeat.part(6, 1), repeat.part(6, 2), kind.as_deref());
        let key = repeat.text(10).or_else(|| repeat.text(3)).map(|value| Key { system, value });
        self.organization_named(name, key, repeat.text(7))
    }

    pub(super) fn organization_named(
        &mut self,
        name: Option<String>,
        key: Option<Key>,
        kind: Option<String>,
    ) -> Result<Option<Value>, Refused> {
        let Some(key) = key else {
            return Ok(Element::new().with("display", name).build());
        };
        let organization = Element::resource("Organization")
            .with("identifier", vec![Value::from(identifier(&key, kind))])
            .with("name", name.clone());
        let reference = self.add(organization, key, Existing::Keep)?;
        Ok(Some(with_display(reference, &name.unwrap_or_default())))
    }

    /// A PL as a reference to a Location: the bed, room or ward that it names.
    pub(super) fn location(&mut self, repeat: &Repeat<'_>) -> Result<Option<Value>, Refused> {
        // Facility, building, floor, point of care, room, bed: from the largest to the smallest.
        let parts: Vec<(usize, String)> = [4, 7, 8, 1, 2, 3]
            .into_iter()
            .filter_map(|component| Some((component, repeat.part(component, 1)?)))
            .collect();
        let Some((smallest, _)) = parts.last() else {
            return Ok(Element::new().with("display", repeat.text(9)).build());
        };
        let (code, display) = match smallest {
            3 => ("bd", "Bed"),
            2 => ("ro", "Room"),
            1 => ("wa", "Ward"),
            8 => ("lvl", "Level"),
            7 => ("bu", "Building"),
            _ => ("si", "Site"),
        };
        let name = parts.iter().map(|(_, part)| part.as_str()).collect::<Vec<_>>().join(", ");
        // Components, not only their names, so that bed 1 of a ward is not room 1 of it.
        let place = |component: usize| repeat.part(component, 1).unwrap_or_default();
        let keys: Vec<String> = [4, 7, 8, 1, 2, 3].map(place).to_vec();
        let mut key: Vec<&str> = vec!["location"];
        key.extend(keys.iter().map(String::as_str));
        let system = "http://terminology.hl7.org/CodeSystem/location-physical-type";
        let location = Element::resource("Location")
            .with("name", name.clone())
            .with("description", repeat.text(9))
            .with("mode", "instance")
            .with("physicalType", json!({"coding": [{"system": system, "code": code, "display": display}]}));
        let reference = self.add(location, self.record_key(&key), Existing::Keep)?;
        Ok(Some(with_display(reference, &name)))
    }

    /// People of every repetition of a field.
    pub(super) fn practitioners(&mut self, segment: &Segment<'_>, field: usize) -> Result<Vec<Value>, Refused> {
        let mut found = Vec::new();
        for repeat in segment.repeats(field) {
            found.extend(self.practitioner(&repeat)?);
        }
        Ok(found)
    }
}

/// An XPN as HumanName.
pub(super) fn human_name(repeat: &Repeat<'_>) -> Option<Value> {
    let mut name = Element::new();
    name.set("use", repeat.text(7).and_then(|kind| tables::lookup(tables::NAME_USE, &kind)));
    name.set("family", repeat.part(1, 1));
    for given in [2, 3] {
        name.push("given", repeat.text(given));
    }
    name.push("prefix", repeat.text(5));
    for suffix in [4, 6, 14] {
        name.push("suffix", repeat.text(suffix));
    }
    let named = ["family", "given"].iter().any(|part| name.member(part).is_some());
    if named { name.build() } else { None }
}

/// An XAD as Address.
pub(super) fn address(repeat: &Repeat<'_>) -> Option<Value> {
    let mut address = Element::new();
    let kind = repeat.text(7);
    address.set("use", kind.as_ref().and_then(|kind| tables::lookup(tables::ADDRESS_USE, kind)));
    address.set("type", kind.as_deref().filter(|kind| *kind == "M").map(|_| "postal"));
    let street = repeat.part(1, 2).map(|name| [repeat.part(1, 3), Some(name)].into_iter().flatten().collect());
    let street = street.map(|parts: Vec<String>| parts.join(" "));
    for line in [repeat.part(1, 1), street, repeat.text(2), repeat.text(8)] {
        address.push("line", line);
    }
    for (name, component) in [("city", 3), ("district", 9), ("state", 4), ("postalCode", 5), ("country", 6)] {
        address.set(name, repeat.text(component));
    }
    address.build()
}

/// An XTN as ContactPoint. `field_use` is what the field itself says.
pub(super) fn telecom(repeat: &Repeat<'_>, field_use: Option<&str>) -> Option<Value> {
    let kind = repeat.text(3).map(|kind| kind.to_uppercase());
    let email = repeat.text(4).filter(|text| text.contains('@'));
    let parts = [5, 6, 7].into_iter().filter_map(|part| repeat.text(part)).collect::<Vec<_>>().join(" ");
    let built = Some(parts).filter(|number| !number.is_empty());
    let number = repeat.text(12).or_else(|| repeat.text(1)).or(built);
    let is_email = kind.as_deref() == Some("INTERNET") || number.is_none();
    let value = if is_email { email.or(number) } else { number }?;
    let system = kind.and_then(|kind| tables::lookup(tables::TELECOM_SYSTEM, &kind));
    let system = if is_email && value.contains('@') { "email" } else { system.unwrap_or("phone") };
    let mobile = repeat.text(3).filter(|kind| kind == "CP").map(|_| "mobile");
    let place = repeat.text(2).and_then(|place| tables::lookup(tables::TELECOM_USE, &place));
    let mut telecom = Element::new().with("system", system).with("value", value);
    telecom.set("use", mobile.or(place).or(field_use));
    telecom.build()
}

fn with_display(mut reference: Value, display: &str) -> Value {
    if let (Value::Object(members), false) = (&mut reference, display.is_empty()) {
        members.insert("display".to_owned(), display.into());
    }
    reference
}
