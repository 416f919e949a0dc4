//! ORC, OBR, SPM and NTE: orders as ServiceRequest, results as DiagnosticReport, specimens as Specimen
//! (v2-to-FHIR segment maps ORC[ServiceRequest], OBR[ServiceRequest], OBR[DiagnosticReport],
//! SPM[Specimen]). What an OBX says is in the file beside.

use serde_json::{Value, json};

use super::context::Context;
use super::datatypes::{concept_of, decimal, identifier};
use super::element::Element;
use super::transaction::{Existing, Key};
use super::{Family, tables};
use crate::message::{Place, Segment};
use crate::refused::Refused;

/// The orders of a message, one after the other.
#[derive(Default)]
pub(super) struct Orders {
    open: Option<Open>,
    /// The last OBX: notes that follow belong to it.
    pending: Option<(Element, Key)>,
    /// Entries made so far, for a document that refers to them.
    pub(super) requests: Vec<Value>,
    count: usize,
}

/// What ORC says.
struct Control {
    place: Place,
    status: Option<&'static str>,
    placer: Option<Key>,
    filler: Option<Key>,
    /// ORC-4, the placer's number of a group of orders.
    group: Option<Key>,
    ordered: Option<String>,
    requester: Option<Value>,
}

/// An order whose segments are being read.
#[derive(Default)]
struct Open {
    control: Option<Control>,
    detail: Option<Detail>,
    /// What observations of this order have in their keys.
    key: String,
    results: Vec<Value>,
    specimens: Vec<Value>,
    notes: Vec<String>,
}

/// What OBR says.
struct Detail {
    request: Element,
    request_key: Key,
    report: Element,
    report_key: Key,
    code: String,
    effective: Option<String>,
    issued: Option<String>,
    category: Option<Value>,
}

/// What an observation takes from the order around it.
pub(super) struct Around<'o> {
    pub(super) order: Option<&'o str>,
    pub(super) code: &'o str,
    pub(super) effective: Option<&'o str>,
    pub(super) issued: Option<&'o str>,
    pub(super) category: Option<&'o Value>,
    pub(super) specimen: Option<&'o Value>,
}

impl Orders {
    /// ORC begins an order.
    pub(super) fn control(&mut self, orc: &Segment<'_>, context: &mut Context<'_>) -> Result<(), Refused> {
        self.close(context)?;
        let control = Control {
            place: orc.place(),
            status: orc
                .text(1)
                .and_then(|code| tables::lookup(tables::ORDER_CONTROL, &code))
                .or_else(|| orc.text(5).and_then(|code| tables::lookup(tables::ORDER_STATUS, &code))),
            placer: context.ei_key(&orc.first(2)),
            filler: context.ei_key(&orc.first(3)),
            group: context.ei_key(&orc.first(4)),
            ordered: context.date_time(orc, 9),
            requester: context.practitioner(&orc.first(12))?,
        };
        self.count += 1;
        let numbers = [&control.filler, &control.placer, &control.group];
        let key = context.order_key(numbers, self.count);
        self.open = Some(Open { control: Some(control), key, ..Open::default() });
        Ok(())
    }

    /// OBR is the detail of the ORC before it, or an order of its own.
    pub(super) fn request(&mut self, obr: &Segment<'_>, context: &mut Context<'_>) -> Result<(), Refused> {
        self.finish_result(context)?;
        if self.open.as_ref().is_none_or(|open| open.detail.is_some()) {
            self.close(context)?;
            self.count += 1;
        }
        let mut open = self.open.take().unwrap_or_default();
        let control = open.control.as_ref();
        let placer = context.ei_key(&obr.first(2)).or_else(|| control.and_then(|control| control.placer.clone()));
        let filler = context.ei_key(&obr.first(3)).or_else(|| control.and_then(|control| control.filler.clone()));
        let group = control.and_then(|control| control.group.clone());
        open.key = context.order_key([&filler, &placer, &group], self.count);
        open.detail = Some(context.detail(obr, control, (placer, filler), &open.key)?);
        self.open = Some(open);
        Ok(())
    }

    /// SPM: what was examined.
    pub(super) fn specimen(&mut self, spm: &Segment<'_>, context: &mut Context<'_>) -> Result<(), Refused> {
        self.finish_result(context)?;
        let order = self.open.as_ref().map(|open| open.key.clone()).unwrap_or_default();
        let reference = context.map_specimen(spm, &order)?;
        if let Some(open) = &mut self.open {
            open.specimens.push(reference);
        }
        Ok(())
    }

    /// OBX: a result of the order, or of the patient where there is no order.
    pub(super) fn result(&mut self, obx: &Segment<'_>, context: &mut Context<'_>) -> Result<(), Refused> {
        self.finish_result(context)?;
        let open = self.open.as_ref();
        let detail = open.and_then(|open| open.detail.as_ref());
        let around = Around {
            order: open.map(|open| open.key.as_str()),
            code: detail.map(|detail| detail.code.as_str()).unwrap_or_default(),
            effective: detail.and_then(|detail| detail.effective.as_deref()),
            issued: detail.and_then(|detail| detail.issued.as_deref()),
            category: detail.and_then(|detail| detail.category.as_ref()),
            specimen: open.and_then(|open| open.specimens.last()),
        };
        self.pending = Some(context.observation(obx, &around)?);
        Ok(())
    }

    /// NTE: a comment on the result or the order before it. False when there is neither.
    pub(super) fn note(&mut self, nte: &Segment<'_>) -> bool {
        let lines: Vec<String> = nte.repeats(3).filter_map(|repeat| repeat.running_text()).collect();
        let text = lines.join("\n");
        match (&mut self.pending, &mut self.open) {
            // An empty NTE is an empty line.
            (Some(_), _) | (_, Some(_)) if text.trim().is_empty() => true,
            (Some((observation, _)), _) => {
                observation.push("note", json!({"text": text.trim()}));
                true
            }
            (None, Some(open)) => {
                open.notes.push(text.trim().to_owned());
                true
            }
            (None, None) => false,
        }
    }

    /// Ends the order being read.
    pub(super) fn close(&mut self, context: &mut Context<'_>) -> Result<(), Refused> {
        self.finish_result(context)?;
        let Some(open) = self.open.take() else { return Ok(()) };
        let Some(Detail { mut request, request_key, mut report, report_key, .. }) = open.detail else {
            // An order of something else than an examination (of medicines, say) must not get lost.
            return match open.control {
                Some(control) if context.family == Family::Order => Err(Refused::OrderWithoutDetail(control.place)),
                _ => Ok(()),
            };
        };
        let is_result = context.family == Family::Result;
        if !is_result {
            for note in &open.notes {
                request.push("note", json!({"text": note}));
            }
            request.set("supportingInfo", open.results.clone());
            request.set("specimen", open.specimens.clone());
        }
        let existing = context.existing(Family::Order);
        let request = context.add(request, request_key, existing)?;
        self.requests.push(request.clone());
        if is_result {
            report.push("basedOn", request);
            report.set("specimen", open.specimens);
            report.set("result", open.results);
            // R4 has no notes on a report; comments of the laboratory must be seen with it.
            report.set("conclusion", open.notes.join("\n"));
            context.add(report, report_key, Existing::Replace)?;
        }
        Ok(())
    }

    fn finish_result(&mut self, context: &mut Context<'_>) -> Result<(), Refused> {
        let Some((observation, key)) = self.pending.take() else { return Ok(()) };
        let reference = context.add(observation, key, Existing::Replace)?;
        if let Some(open) = &mut self.open {
            open.results.push(reference);
        }
        Ok(())
    }
}

impl Context<'_> {
    /// An order's part in the keys of what belongs to it: the first of its numbers. Without any it is known
    /// within this message only.
    fn order_key(&self, numbers: [&Option<Key>; 3], count: usize) -> String {
        match numbers.into_iter().flatten().next() {
            Some(key) => key.joined(),
            None => format!("{}~{count}", self.control_key),
        }
    }

    fn detail(
        &mut self,
        obr: &Segment<'_>,
        control: Option<&Control>,
        (placer, filler): (Option<Key>, Option<Key>),
        order: &str,
    ) -> Result<Detail, Refused> {
        let code = self.concept_at(obr, 4, None).ok_or(Refused::MissingField(obr.place_of(4)))?;
        let code_key = obr.text(4).or_else(|| obr.first(4).text(2)).unwrap_or_default();
        let is_result = self.family == Family::Result;
        let status = control.and_then(|control| control.status);
        let mut request = Element::resource("ServiceRequest");
        let mut report = Element::resource("DiagnosticReport");
        for (key, kind) in [(&placer, "PLAC"), (&filler, "FILL")] {
            let identifier = key.as_ref().map(|key| Value::from(identifier(key, Some(kind.to_owned()))));
            request.push("identifier", identifier.clone());
            report.push("identifier", identifier);
        }
        request.set("status", status.unwrap_or(if is_result { "unknown" } else { "active" }));
        request.set("intent", "order");
        let priority = [obr.text(5), obr.first(27).text(6)].into_iter().flatten();
        let known = |code: String| tables::lookup(tables::PRIORITY, &code.to_uppercase());
        request.set("priority", priority.into_iter().find_map(known));
        request.set("code", code.clone());
        request.set("subject", self.patient.clone());
        request.set("encounter", self.encounter.clone());
        request.set("occurrenceDateTime", self.date_time(obr, 36));
        request.set("authoredOn", control.and_then(|control| control.ordered.clone()));
        let requester = self.practitioner(&obr.first(16))?;
        request.set("requester", requester.or_else(|| control.and_then(|control| control.requester.clone())));
        for repeat in obr.repeats(31) {
            request.push("reasonCode", self.concept(&repeat));
        }
        if let Some(information) = obr.first(13).running_text() {
            request.push("note", json!({"text": information.trim()}));
        }
        let effective = self.date_time(obr, 7);
        let issued = self.instant(obr, 22);
        let category = self.concept_at(obr, 24, Some("0074"));
        report.set("status", report_status(obr, is_result));
        report.push("category", category.clone());
        report.set("code", code);
        report.set("subject", self.patient.clone());
        report.set("encounter", self.encounter.clone());
        match (effective.clone(), self.date_time(obr, 8)) {
            (Some(start), Some(end)) => report.set("effectivePeriod", json!({"start": start, "end": end})),
            (start, _) => report.set("effectiveDateTime", start),
        }
        report.set("issued", issued.clone());
        report.set("resultsInterpreter", self.interpreters(obr)?);
        let request_key = match placer.or(filler) {
            Some(key) => key,
            None if self.family == Family::Order && control.is_none_or(|control| control.group.is_none()) => {
                return Err(Refused::MissingField(obr.place_of(2)));
            }
            // One of a group of orders: known by the group and what is ordered.
            None => self.record_key(&["order", order, &code_key]),
        };
        // Several tests may share a filler's number (an accession), so the test is part of the key.
        let report_key = self.record_key(&["report", order, &code_key]);
        let category = obr.text(24).and_then(|section| observation_category(&section));
        Ok(Detail { request, request_key, report, report_key, code: code_key, effective, issued, category })
    }

    /// OBR-32, whose first component holds a person as subcomponents; older senders put an XCN there.
    fn interpreters(&mut self, obr: &Segment<'_>) -> Result<Vec<Value>, Refused> {
        let mut found = Vec::new();
        for repeat in obr.repeats(32) {
            if repeat.part(1, 2).is_none() {
                found.extend(self.practitioner(&repeat)?);
                continue;
            }
            let mut name = Element::new().with("family", repeat.part(1, 2));
            name.push("given", repeat.part(1, 3));
            name.push("prefix", repeat.part(1, 6));
            let kind = repeat.part(1, 11);
            let system = self.system(repeat.part(1, 9), repeat.part(1, 10), kind.as_deref());
            let id = repeat.part(1, 1).map(|value| (Key { system, value }, None));
            found.extend(self.person(name, id)?);
        }
        Ok(found)
    }

    fn map_specimen(&mut self, spm: &Segment<'_>, order: &str) -> Result<Value, Refused> {
        let ids = spm.first(2);
        let half = |component: usize| {
            let kind = ids.part(component, 4);
            let system = self.system(ids.part(component, 2), ids.part(component, 3), kind.as_deref());
            ids.part(component, 1).map(|value| Key { system, value })
        };
        let (placer, filler) = (half(1), half(2));
        let mut specimen = Element::resource("Specimen");
        for (key, kind) in [(&placer, "PLAC"), (&filler, "FILL")] {
            specimen.push("identifier", key.as_ref().map(|key| Value::from(identifier(key, Some(kind.to_owned())))));
        }
        let accession = self.cx_key(&spm.first(30)).map(|key| Value::from(identifier(&key, Some("ACSN".to_owned()))));
        specimen.set("accessionIdentifier", accession);
        specimen.set("type", self.concept_at(spm, 4, Some("0487")));
        specimen.set("subject", self.patient.clone());
        specimen.set("receivedTime", self.date_time(spm, 18));
        let mut collection = Element::new();
        let when = spm.first(17);
        match (self.date_time_of(&when, 1), self.date_time_of(&when, 2)) {
            (start, Some(end)) => {
                collection.set("collectedPeriod", Element::new().with("start", start).with("end", end));
            }
            (start, None) => collection.set("collectedDateTime", start),
        }
        if let Some(value) = spm.text(12).and_then(|number| decimal(&number)) {
            let unit = spm.first(12).part(2, 1);
            collection.set("quantity", Element::new().with("value", value).with("unit", unit));
        }
        collection.set("method", self.concept_at(spm, 7, Some("0488")));
        collection.set("bodySite", self.concept_at(spm, 8, None));
        specimen.set("collection", collection);
        for repeat in spm.repeats(24) {
            specimen.push("condition", self.concept_in(&repeat, Some("0493")));
        }
        for repeat in spm.repeats(14) {
            specimen.push("note", repeat.running_text().map(|text| json!({"text": text.trim()})));
        }
        let (number, kind) = (spm.text(1).unwrap_or_default(), spm.text(4).unwrap_or_default());
        let key = filler.or(placer).unwrap_or_else(|| self.record_key(&["specimen", order, &number, &kind]));
        // One specimen serves several orders of a message.
        self.add_once(specimen, key)
    }
}

fn report_status(obr: &Segment<'_>, is_result: bool) -> &'static str {
    match obr.text(25) {
        Some(code) => tables::lookup(tables::REPORT_STATUS, &code.to_uppercase()).unwrap_or("unknown"),
        None if is_result => "unknown",
        None => "registered",
    }
}

/// The section of a service (table 0074) as category of its observations.
fn observation_category(section: &str) -> Option<Value> {
    let code = match section {
        "LAB" | "CH" | "HM" | "MB" | "BLB" | "IMM" | "SR" | "SP" | "CP" | "CG" | "CUS" | "MCB" | "MYC" | "TX"
        | "VR" | "GE" | "ICU" | "BG" => "laboratory",
        "RAD" | "CT" | "NMR" | "NMS" | "OUS" | "RUS" | "VUS" | "XRC" | "CTH" | "RX" | "IMG" => "imaging",
        _ => return None,
    };
    Some(concept_of("http://terminology.hl7.org/CodeSystem/observation-category", code, None))
}
