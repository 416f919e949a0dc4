//! What the mapping of one message knows as it goes: who sent it, whose it is, in which visit, and the
//! transaction so far.

use std::collections::BTreeMap;

use serde_json::Value;

use super::element::Element;
use super::transaction::{Existing, Key, Transaction, percent};
use super::{Family, Settings, Unmapped, Visit, tables};
use crate::message::{Repeat, Segment, SegmentName};
use crate::refused::Refused;

/// Most values that are named one by one in the result; more are wrong in the same way.
const UNMAPPED_VALUES_MAX: usize = 100;

/// The state of one mapping.
pub(super) struct Context<'s> {
    pub(super) settings: &'s Settings,
    pub(super) family: Family,
    pub(super) visit: Visit,
    /// The sender's name, within which its own codes and numbers are unique.
    sender: String,
    sender_system: String,
    /// The patient's key; set by the mapping of PID before anything else.
    pub(super) patient_key: String,
    pub(super) patient: Value,
    pub(super) encounter: Option<Value>,
    /// The visit's part in the keys of what belongs to it.
    pub(super) visit_key: String,
    pub(super) control_key: String,
    transaction: Transaction,
    unmapped: Vec<Unmapped>,
}

impl<'s> Context<'s> {
    pub(super) fn new(
        header: &Segment<'_>,
        settings: &'s Settings,
        family: Family,
        visit: Visit,
    ) -> Result<Self, Refused> {
        // The sending facility, or the application of a sender that names none.
        let facility = [header.first(4), header.first(3)].into_iter().find(|field| !field.is_empty());
        let facility = facility.ok_or(Refused::MissingField(header.place_of(4)))?;
        let sender = facility.text(1).or_else(|| facility.text(2)).unwrap_or_default();
        let sender_system = authority(settings, facility.text(1), facility.text(2), facility.text(3).as_deref());
        let control_key = header.text(10).unwrap_or_default();
        let seed = format!("{sender}\n{}\n{control_key}", header.text(7).unwrap_or_default());
        Ok(Self {
            settings,
            family,
            visit,
            sender_system: sender_system.ok_or(Refused::MissingField(header.place_of(4)))?,
            sender,
            patient_key: String::new(),
            patient: Value::Null,
            encounter: None,
            visit_key: String::new(),
            control_key,
            transaction: Transaction::new(seed.as_bytes()),
            unmapped: Vec::new(),
        })
    }

    /// What becomes of a patient, visit or order that exists: a registration or an order is the newest state
    /// of it, a result or document only mentions it and may know less.
    pub(super) fn existing(&self, owner: Family) -> Existing {
        if self.family == owner { Existing::Replace } else { Existing::Keep }
    }

    pub(super) fn add(&mut self, resource: Element, key: Key, existing: Existing) -> Result<Value, Refused> {
        self.transaction.add(resource, key, existing)
    }

    /// Adds the newest state of something that a message may say twice: the first time counts.
    pub(super) fn add_once(&mut self, resource: Element, key: Key) -> Result<Value, Refused> {
        self.add_once_as(resource, key, Existing::Replace)
    }

    pub(super) fn add_once_as(&mut self, resource: Element, key: Key, existing: Existing) -> Result<Value, Refused> {
        match self.transaction.known(&resource, &key) {
            Some(reference) => Ok(reference),
            None => self.transaction.add(resource, key, existing),
        }
    }

    /// A system of the sender's own.
    pub(super) fn own_system(&self, name: &str) -> String {
        format!("urn:id:{}:{}", percent(&self.sender), percent(name))
    }

    /// A key that is ours, for what v2 gives no identifier.
    pub(super) fn record_key(&self, parts: &[&str]) -> Key {
        Key::of(self.own_system("record"), parts)
    }

    /// As [`Self::record_key`], of something that only this patient has.
    pub(super) fn patient_record_key(&self, parts: &[&str]) -> Key {
        let mut all = vec![self.patient_key.as_str()];
        all.extend_from_slice(parts);
        self.record_key(&all)
    }

    /// The system of identifiers that an authority assigned: its parts are a name, a universal id and the
    /// type of that. Without any it is the sender.
    pub(super) fn system(&self, name: Option<String>, id: Option<String>, id_type: Option<&str>) -> String {
        authority(self.settings, name, id, id_type).unwrap_or_else(|| self.sender_system.clone())
    }

    /// The system of a code (CWE.3, and its OID in CWE.14).
    pub(super) fn code_system(&self, name: Option<String>, oid: Option<String>) -> String {
        let Some(name) = name else {
            return oid.filter(|oid| is_oid(oid)).map_or_else(|| self.own_system("L"), |oid| format!("urn:oid:{oid}"));
        };
        if let Some(uri) = self.settings.code_systems.get(&name) {
            return uri.clone();
        }
        if let Some(uri) = tables::lookup(tables::CODE_SYSTEMS, &name) {
            return uri.to_owned();
        }
        let is_number = |table: &&str| table.len() == 4 && table.bytes().all(|byte| byte.is_ascii_digit());
        if let Some(table) = name.strip_prefix("HL7").filter(is_number) {
            return tables::v2(table);
        }
        match oid.filter(|oid| is_oid(oid)) {
            Some(oid) => format!("urn:oid:{oid}"),
            None if is_oid(&name) => format!("urn:oid:{name}"),
            // Table 0396: L and 99zzz are the sender's own.
            None if name == "L" || name.starts_with("99") => self.own_system(&name),
            None => format!("urn:id:{}", percent(&name)),
        }
    }

    /// Notes that a value is left out.
    pub(super) fn leave_out_value(&mut self, repeat: &Repeat<'_>, component: usize, expected: &'static str) {
        if self.unmapped.len() < UNMAPPED_VALUES_MAX {
            self.unmapped.push(Unmapped::Value { place: repeat.place(component), expected });
        }
    }

    pub(super) fn leave_out(&mut self, segments: BTreeMap<SegmentName, usize>) {
        self.unmapped.extend(segments.into_iter().map(|(name, count)| Unmapped::Segments { name, count }));
    }

    pub(super) fn finish(self) -> (Vec<u8>, usize, Vec<Unmapped>) {
        let entries = self.transaction.len();
        (self.transaction.finish(), entries, self.unmapped)
    }
}

fn authority(settings: &Settings, name: Option<String>, id: Option<String>, id_type: Option<&str>) -> Option<String> {
    let known = |name: &String| {
        settings.authorities.get(name).cloned().or_else(|| tables::lookup(tables::AUTHORITIES, name).map(str::to_owned))
    };
    if let Some(uri) = name.as_ref().and_then(known).or_else(|| id.as_ref().and_then(known)) {
        return Some(uri);
    }
    match id {
        Some(id) if is_oid(&id) && id_type.is_none_or(|kind| kind == "ISO") => Some(format!("urn:oid:{id}")),
        id => name.or(id).map(|name| format!("urn:id:{}", percent(&name))),
    }
}

/// Whether R4 takes it as an OID (R4 datatypes, `oid`).
fn is_oid(text: &str) -> bool {
    let mut arcs = text.split('.');
    let root = arcs.next().is_some_and(|arc| matches!(arc, "0" | "1" | "2"));
    let sound = |arc: &str| {
        arc.bytes().all(|byte| byte.is_ascii_digit()) && (arc == "0" || (!arc.is_empty() && !arc.starts_with('0')))
    };
    root && text.contains('.') && arcs.all(sound)
}
