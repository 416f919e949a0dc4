//! Twelve months of results as small multiples: one chart for each kind of value and unit, on the same time axis, with the
//! reference range that came with the values and no other. What is no number, or older, is listed below.

use std::collections::BTreeMap;

use axum::extract::{Path, RawQuery, State};
use axum::response::Response;
use http::StatusCode;
use maud::{Markup, html};
use sealwort_fhir::plain::{End, Kind, Names, Plain, Reading, Standing, Usual};
use sealwort_pages::chart::{Chart, Point, Range, Series, Size, Written};
use sealwort_pages::words::clinician as words;
use serde_json::Value;

use super::super::Shared;
use super::reading::{readable, said, value_of, values};
use super::record::{Record, Row};
use super::visit::{Visit, purpose};
use super::{Page, href, record, show};

/// The months that are drawn, in seconds.
const SPAN_SECONDS: u64 = 365 * 24 * 60 * 60;
/// Most charts of a page; the kinds measured last come first.
const CHARTS_MAX: usize = 60;
/// Most points of one line; older ones are left out, and said so.
const POINTS_MAX: usize = 120;
/// Most rows of the list below the charts.
const OTHERS_MAX: usize = 100;

/// `GET /clinician/patients/{id}/results`
pub(super) async fn page(
    State(gateway): Shared,
    mut visit: Visit,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Response, Response> {
    visit.for_purpose(purpose(query.as_deref()).as_deref()).await?;
    let outcome = Record::read(&mut visit, &id, &["$everything?_type=Observation"]).await;
    let record = visit.kept_or_told(outcome, &id).await?;
    let now = gateway.sessions.now().as_secs();
    let sorted = Sorted::of(&record.resources, now);
    let content = html! {
        p { (words::results_span(&sealwort_pages::date::day(now.saturating_sub(SPAN_SECONDS)), &sealwort_pages::date::day(now))) }
        @if sorted.charts.is_empty() { p .note { (words::NO_NUMBERS) } }
        @for (title, kind) in [(words::LABORATORY, Kind::Result), (words::MEASUREMENTS, Kind::Vital)] {
            @let group: Vec<&Multiple> = sorted.charts.iter().filter(|one| one.kind == kind).collect();
            @if !group.is_empty() {
                h2 { (title) }
                ul .cards.multiples { @for one in group { li .card { (one.shown(&visit, &record, now)) } } }
            }
        }
        @if sorted.left_out > 0 { p .note { (words::charts_left_out(sorted.left_out)) } }
        @if !sorted.others.is_empty() { (others(&visit, &record, &sorted)) }
    };
    let current = href(&visit, &id, "results");
    let page =
        Page { status: StatusCode::OK, title: words::RESULTS, record: Some(&record), current: &current, content };
    Ok(show(&mut visit, page).await)
}

/// Values of one kind in one unit; of a blood pressure both parts.
struct Multiple<'v> {
    kind: Kind,
    title: String,
    unit: String,
    /// By name of the part; one without a name where there are no parts.
    lines: Vec<Course>,
    /// When the last value was measured that is drawn.
    at: i64,
    /// The values of that time: there may be several.
    last: Vec<Last<'v>>,
    /// What is newer and cannot be drawn here: its text, and when.
    newer: Option<(String, String)>,
    /// Points that did not fit.
    older: usize,
}

/// One line of a chart, oldest first.
struct Course {
    name: String,
    points: Vec<Point>,
    /// Of the newest value; none where that came with none.
    usual: Option<Usual>,
}

/// A value that is shown in large.
struct Last<'v> {
    text: String,
    when: String,
    /// What the laboratory said of it: "High".
    said: Vec<String>,
    /// Beyond the range that came with it; of several parts, which.
    beyond: Vec<String>,
    resource: &'v Value,
}

/// What has no chart: words, bounds such as `< 5`, no value at all, and what is older; of each kind those of the newest time,
/// and those without a date.
struct Other<'v> {
    title: String,
    text: String,
    at: Option<i64>,
    when: String,
    /// Preliminary, or otherwise not final.
    uncertain: bool,
    resource: &'v Value,
}

struct Sorted<'v> {
    charts: Vec<Multiple<'v>>,
    others: Vec<Other<'v>>,
    left_out: usize,
    others_left_out: usize,
}

/// By series, unit and, in a panel, part.
type Charts<'v> = BTreeMap<(String, String, String), Multiple<'v>>;

impl<'v> Sorted<'v> {
    fn of(resources: &'v [Value], now: u64) -> Self {
        let now = i64::try_from(now).unwrap_or(i64::MAX);
        let first = now.saturating_sub(i64::try_from(SPAN_SECONDS).unwrap_or_default());
        let mut charts = Charts::new();
        let mut others: BTreeMap<(String, bool), Vec<Other<'v>>> = BTreeMap::new();
        // The newest of each series, whatever it is.
        let mut newest: BTreeMap<String, (i64, String, String)> = BTreeMap::new();
        for (resource, plain) in observations(resources) {
            let when = plain.at.as_ref().map_or_else(|| words::NO_DATE.to_owned(), readable);
            let title = plain.title.clone().unwrap_or_else(|| words::UNNAMED.to_owned());
            let key = plain.series.clone().unwrap_or_else(|| title.to_lowercase());
            let text = said(&plain, resource);
            let at = plain.at.as_ref().map(|at| at.seconds);
            if let Some(at) = at
                && newest.get(&key).is_none_or(|(known, ..)| *known < at)
            {
                newest.insert(key.clone(), (at, text.clone(), when.clone()));
            }
            let drawable = at.filter(|at| (first..=now).contains(at));
            let one = Drawn { resource, plain: &plain, key: &key, title: &title, when: &when };
            let drawn =
                plain.readings.iter().filter(|reading| drawable.is_some_and(|at| one.draw(&mut charts, reading, at)));
            if drawn.count() == plain.readings.len() && !plain.readings.is_empty() {
                continue;
            }
            // A panel whose values are entries of their own.
            if text.is_empty() {
                continue;
            }
            let uncertain = plain.standing == Standing::Open;
            let other = Other { title, text, at, when, uncertain, resource };
            let listed = others.entry((key, at.is_some())).or_default();
            match listed.first().map(|known| known.at) {
                Some(known) if known > at => {}
                Some(known) if known == at => listed.push(other),
                _ => *listed = vec![other],
            }
        }
        // What is drawn needs no row for an older value.
        others.retain(|(key, _), listed| {
            let at = listed.first().and_then(|other| other.at);
            at.is_none() || !charts.iter().any(|((known, ..), one)| known == key && Some(one.at) > at)
        });
        for ((key, ..), one) in &mut charts {
            one.settle();
            let newer = newest.get(key).filter(|(at, ..)| *at > one.at);
            one.newer = newer.map(|(_, text, when)| (text.clone(), when.clone()));
        }
        let mut charts: Vec<Multiple<'v>> = charts.into_values().collect();
        charts.sort_by(|a, b| b.at.cmp(&a.at).then_with(|| a.title.cmp(&b.title)));
        let left_out = charts.len().saturating_sub(CHARTS_MAX);
        charts.truncate(CHARTS_MAX);
        charts.sort_by(|a, b| a.title.cmp(&b.title).then_with(|| a.unit.cmp(&b.unit)));
        let mut others: Vec<_> = others.into_values().flatten().collect();
        // Newest first, what is final before what is not; without a date last.
        others.sort_by(|a, b| {
            b.at.cmp(&a.at).then_with(|| a.title.cmp(&b.title)).then_with(|| a.uncertain.cmp(&b.uncertain))
        });
        let others_left_out = others.len().saturating_sub(OTHERS_MAX);
        others.truncate(OTHERS_MAX);
        Self { charts, others, left_out, others_left_out }
    }
}

/// Observations that count.
fn observations(resources: &[Value]) -> Vec<(&Value, Plain)> {
    let read = |one: &Value| {
        let (kind, _) = super::reading::named(one).filter(|(kind, _)| kind.as_str() == "Observation")?;
        let plain = Plain::called(kind, one, Names::OfTheData);
        matches!(plain.standing, Standing::Current | Standing::Open).then_some(plain)
    };
    resources.iter().filter_map(|one| read(one).map(|plain| (one, plain))).collect()
}

/// An observation whose values are put into charts.
struct Drawn<'a, 'v> {
    resource: &'v Value,
    plain: &'a Plain,
    key: &'a str,
    title: &'a str,
    when: &'a str,
}

impl<'v> Drawn<'_, 'v> {
    /// Puts a number into the chart of its kind and unit. Whether it is one.
    fn draw(&self, charts: &mut Charts<'v>, reading: &Reading, at: i64) -> bool {
        let Some((amount, number)) = reading.amount.as_ref().and_then(|amount| Some((amount, amount.number?))) else {
            return false;
        };
        let Ok(second) = u64::try_from(at) else { return false };
        // The parts of a blood pressure are read together; those of other panels are values of their own.
        let is_pair = self.plain.blood_pressure().is_some();
        let part = reading.name.as_deref().filter(|_| !is_pair);
        let series = part.map(|name| reading.series.clone().unwrap_or_else(|| name.to_owned()));
        let key = (self.key.to_owned(), amount.unit.clone(), series.unwrap_or_default());
        let chart = charts.entry(key).or_insert_with(|| Multiple {
            kind: if self.plain.kind == Kind::Vital { Kind::Vital } else { Kind::Result },
            title: part.map_or_else(|| self.title.to_owned(), |part| words::part_of(self.title, part)),
            unit: amount.unit.clone(),
            lines: Vec::new(),
            at,
            last: Vec::new(),
            newer: None,
            older: 0,
        });
        // Hospitals have names of their own for one code, and it is one line.
        let name = reading.name.as_ref().filter(|_| is_pair).unwrap_or(&chart.title).clone();
        let written = Some(Written { when: self.when.to_owned(), value: amount.text.clone() });
        chart.note(&name, Point { at: second, value: number, written }, reading.usual.as_ref());
        if at > chart.at {
            chart.at = at;
            chart.last.clear();
        }
        if at == chart.at {
            let beyond = beyond(number, reading.usual.as_ref());
            let beyond = beyond.map(|beyond| if is_pair { words::of_part(&name, beyond) } else { beyond.to_owned() });
            let text = if part.is_some() { value_of(reading).unwrap_or_default() } else { values(self.plain) };
            chart.show(
                Last {
                    text,
                    when: self.when.to_owned(),
                    said: self.said(),
                    beyond: Vec::new(),
                    resource: self.resource,
                },
                beyond,
            );
        }
        true
    }

    fn said(&self) -> Vec<String> {
        let uncertain = (self.plain.standing == Standing::Open).then(|| words::UNCERTAIN.to_owned());
        self.plain.more.iter().cloned().chain(uncertain).collect()
    }
}

/// Whether a number is beyond the range that came with it.
fn beyond(number: f64, usual: Option<&Usual>) -> Option<&'static str> {
    let usual = usual?;
    if usual.low.as_ref().is_some_and(|low| number < low.number) {
        return Some(words::BELOW);
    }
    usual.high.as_ref().is_some_and(|high| number > high.number).then_some(words::ABOVE)
}

impl<'v> Multiple<'v> {
    /// A point of the line of this name; the range of its newest value is the line's.
    fn note(&mut self, name: &str, point: Point, usual: Option<&Usual>) {
        let known = self.lines.iter().position(|line| line.name == name);
        let place = known.unwrap_or_else(|| {
            self.lines.push(Course { name: name.to_owned(), points: Vec::new(), usual: None });
            self.lines.len() - 1
        });
        let Some(line) = self.lines.get_mut(place) else { return };
        match line.points.iter().map(|point| point.at).max() {
            Some(newest) if newest > point.at => {}
            Some(newest) if newest == point.at && line.usual.is_some() => {}
            _ => line.usual = usual.cloned(),
        }
        line.points.push(point);
    }

    /// One of the values of the newest time, and whether this part of it is beyond its range.
    fn show(&mut self, shown: Last<'v>, beyond: Option<String>) {
        let known = self.last.iter().position(|one| std::ptr::eq(one.resource, shown.resource));
        let place = known.unwrap_or_else(|| {
            self.last.push(shown);
            self.last.len() - 1
        });
        if let Some(one) = self.last.get_mut(place) {
            one.beyond.extend(beyond);
        }
    }

    /// Brings the points into order, and leaves out what does not fit.
    fn settle(&mut self) {
        for line in &mut self.lines {
            line.points.sort_by_key(|point| point.at);
            let more = line.points.len().saturating_sub(POINTS_MAX);
            line.points.drain(..more);
            self.older += more;
        }
    }

    fn chart(&self, now: u64) -> Chart {
        let number = |end: &End| end.number;
        let range =
            |usual: &Usual| Range { low: usual.low.as_ref().map(number), high: usual.high.as_ref().map(number) };
        let series = self.lines.iter().map(|line| Series {
            name: line.name.clone(),
            points: line.points.clone(),
            reference: line.usual.as_ref().map(range),
        });
        let last: Vec<&str> = self.last.iter().map(|one| one.text.as_str()).collect();
        Chart {
            label: words::chart_label(
                &self.title,
                self.lines.iter().map(|line| line.points.len()).sum(),
                &last.join(", "),
            ),
            unit: self.unit.clone(),
            series: series.collect(),
            span: Some((now.saturating_sub(SPAN_SECONDS), now)),
            size: Size::Small,
        }
    }

    fn shown(&self, visit: &Visit, record: &Record, now: u64) -> Markup {
        let chart = self.chart(now);
        html! {
            h3 { (self.title) @if !self.unit.is_empty() { " " small .quiet { (self.unit) } } }
            @for one in &self.last {
                p .latest {
                    strong { (one.text) }
                    @for beyond in &one.beyond { " " span .chip.warning { (beyond) } }
                    @for said in &one.said { " " span .chip { (said) } }
                }
                p .quiet { (one.when) }
            }
            @if let Some((text, when)) = &self.newer { p { span .chip.warning { (words::newer(text, when)) } } }
            (chart.svg())
            @if self.lines.len() > 1 {
                ul .legend { @for (number, line) in self.lines.iter().enumerate() {
                    li { span .key.(LOOKS.get(number % LOOKS.len()).copied().unwrap_or_default()) aria-hidden="true" {} (line.name) }
                } }
            }
            @for line in &self.lines {
                p .quiet { (range_text(line, &self.unit, self.lines.len() > 1)) }
            }
            @if self.older > 0 { p .quiet { (words::points_left_out(self.older)) } }
            @for one in &self.last { p { (record.source_link(visit, one.resource)) } }
            (chart.table())
        }
    }
}

/// The looks of a chart's lines, as its style sheet has them.
const LOOKS: [&str; 4] = ["first", "second", "third", "fourth"];

/// The range that came with the newest value, in words; that there was none is said as well.
fn range_text(line: &Course, unit: &str, is_part: bool) -> String {
    let ends = line.usual.as_ref().map(|usual| (usual.low.as_ref().map(End::text), usual.high.as_ref().map(End::text)));
    let range = match ends {
        Some((Some(low), Some(high))) => words::range(low, high, unit),
        Some((Some(low), None)) => words::range_from(low, unit),
        Some((None, Some(high))) => words::range_to(high, unit),
        _ => words::NO_RANGE.to_owned(),
    };
    if is_part { format!("{}: {range}", line.name) } else { range }
}

fn others(visit: &Visit, record: &Record, sorted: &Sorted<'_>) -> Markup {
    let row = |one: &Other<'_>| Row {
        what: one.title.clone(),
        says: html! { (one.text) @if one.uncertain { " " span .chip.warning { (words::UNCERTAIN) } } },
        when: one.when.clone(),
        source: record.source_link(visit, one.resource),
    };
    html! {
        h2 { (words::OTHER_RESULTS) }
        p { (words::OTHER_RESULTS_HOW) }
        (record::table(words::OTHER_RESULTS, words::VALUE, sorted.others.iter().map(row)))
        @if sorted.others_left_out > 0 { p .note { (words::others_left_out(sorted.others_left_out)) } }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
    use sealwort_fhir::plain::Moment;
    use serde_json::json;

    use super::*;

    fn observation(code: &str, at: &str, value: &Value) -> Value {
        let mut one = json!({"resourceType": "Observation", "id": "o", "status": "final", "effectiveDateTime": at,
            "code": {"text": code}, "category": [{"coding": [{"code": "laboratory"}]}]});
        for (name, value) in value.as_object().unwrap() {
            one[name] = value.clone();
        }
        one
    }

    #[test]
    fn numbers_are_drawn_by_kind_and_unit_and_the_rest_is_listed() {
        let now = u64::try_from(Moment::parse("2026-11-30").unwrap().seconds).unwrap();
        let quantity = |value: f64, unit: &str| json!({"valueQuantity": {"value": value, "unit": unit}});
        let range = json!({"valueQuantity": {"value": 6.2, "unit": "mmol/L"}, "referenceRange": [
            {"low": {"value": 3.5, "unit": "mmol/L"}, "high": {"value": 5.1, "unit": "mmol/L"}}]});
        let bound = json!({"valueQuantity": {"value": 5, "unit": "mg/L", "comparator": "<"}});
        let mut wrong = observation("Potassium", "2026-11-29", &quantity(99.0, "mmol/L"));
        wrong["status"] = json!("entered-in-error");
        let resources = [
            observation("Potassium", "2026-11-02", &range),
            observation("Potassium", "2026-03-02", &quantity(4.0, "mmol/L")),
            observation("Potassium", "2026-03-02", &quantity(15.6, "mg/dL")),
            observation("Potassium", "2019-03-02", &quantity(4.4, "mmol/L")),
            observation("CRP", "2026-11-02", &bound),
            observation("Sodium", "2020-11-02", &quantity(140.0, "mmol/L")),
            observation("Blood group", "2026-01-02", &json!({"valueString": "A"})),
            wrong,
        ];
        let sorted = Sorted::of(&resources, now);
        let drawn: Vec<_> = sorted
            .charts
            .iter()
            .map(|one| (one.title.as_str(), one.unit.as_str(), one.lines[0].points.len(), one.last[0].beyond.clone()))
            .collect();
        assert_eq!(
            drawn,
            [("Potassium", "mg/dL", 1, vec![]), ("Potassium", "mmol/L", 2, vec![words::ABOVE.to_owned()])]
        );
        assert_eq!(sorted.charts[1].last[0].text, "6.2 mmol/L");
        // The card in the other unit says that there is a newer value, and which.
        assert_eq!(sorted.charts[0].newer, Some(("6.2 mmol/L".to_owned(), "2 November 2026".to_owned())));
        assert_eq!(sorted.charts[1].newer, None);
        assert_eq!(range_text(&sorted.charts[1].lines[0], "mmol/L", false), words::range("3.5", "5.1", "mmol/L"));
        let listed: Vec<_> = sorted.others.iter().map(|one| (one.title.as_str(), one.text.as_str())).collect();
        assert_eq!(listed, [("CRP", "< 5 mg/L"), ("Blood group", "A"), ("Sodium", "140.0 mmol/L")]);
    }

    #[test]
    fn parts_of_one_value_are_drawn_together() {
        let now = u64::try_from(Moment::parse("2026-11-30").unwrap().seconds).unwrap();
        let part = |code: &str, value: u32| {
            json!({"code": {"coding": [{"system": "http://loinc.org", "code": code}]},
                "valueQuantity": {"value": value, "unit": "mm[Hg]"}})
        };
        let pressure = json!({"component": [part("8480-6", 128), part("8462-4", 82)]});
        let resources = [observation("Blood pressure", "2026-10-01", &pressure)];
        let sorted = Sorted::of(&resources, now);
        assert_eq!((sorted.charts.len(), sorted.charts[0].lines.len()), (1, 2));
        let line = &sorted.charts[0].lines[0];
        assert_eq!(range_text(line, "mmHg", true), format!("{}: {}", line.name, words::NO_RANGE));
        assert_eq!(range_text(line, "mmHg", false), words::NO_RANGE);
    }

    /// No digit is lost, and no time is moved into another zone.
    #[test]
    fn ranges_and_tables_are_as_the_data_has_them() {
        let now = u64::try_from(Moment::parse("2026-11-30").unwrap().seconds).unwrap();
        let value = json!({"valueQuantity": {"value": 1.003, "unit": "x"},
            "referenceRange": [{"low": {"value": 1.005}, "high": {"value": 1.025}}]});
        let resources = [observation("Specific gravity", "2026-10-01T00:30:00+02:00", &value)];
        let sorted = Sorted::of(&resources, now);
        let chart = &sorted.charts[0];
        assert_eq!(range_text(&chart.lines[0], "x", false), words::range("1.005", "1.025", "x"));
        assert_eq!(chart.last[0].beyond, [words::BELOW]);
        let table = chart.chart(now).table().into_string();
        assert!(table.contains("1 October 2026, 00:30 (UTC+02:00)</th><td>1.003 x</td>"), "{table}");
    }

    /// Blood and serum, a sample and a clip are other examinations, and are called as the laboratory calls them; two words
    /// for one code are one line.
    #[test]
    fn examinations_are_told_apart_by_their_codes() {
        let now = u64::try_from(Moment::parse("2026-11-30").unwrap().seconds).unwrap();
        let of = |code: &str, display: &str, at: &str, value: f64| {
            let mut one = observation("", at, &json!({"valueQuantity": {"value": value, "unit": "mg/dL"}}));
            one["code"] = json!({"coding": [{"system": "http://loinc.org", "code": code, "display": display}]});
            one
        };
        let resources = [
            of("2345-7", "Glucose [Mass/volume] in Serum or Plasma", "2026-10-01", 90.0),
            of("2345-7", "Glucose in Serum", "2026-10-02", 91.0),
            of("2339-0", "Glucose [Mass/volume] in Blood", "2026-10-01", 80.0),
        ];
        let sorted = Sorted::of(&resources, now);
        let charts: Vec<_> = sorted.charts.iter().map(|one| (one.title.as_str(), one.lines[0].points.len())).collect();
        assert_eq!(charts, [("Glucose [Mass/volume] in Blood", 1), ("Glucose [Mass/volume] in Serum or Plasma", 2)]);
    }

    #[test]
    fn what_is_not_final_says_so() {
        let now = u64::try_from(Moment::parse("2026-11-30").unwrap().seconds).unwrap();
        let mut number =
            observation("Sodium", "2026-11-02", &json!({"valueQuantity": {"value": 140, "unit": "mmol/L"}}));
        let mut text = observation("Culture", "2026-11-02", &json!({"valueString": "no growth so far"}));
        number["status"] = json!("preliminary");
        text["status"] = json!("preliminary");
        let resources = [number, text];
        let sorted = Sorted::of(&resources, now);
        assert_eq!(sorted.charts[0].last[0].said, [words::UNCERTAIN]);
        assert!(sorted.others[0].uncertain);
    }

    fn at_noon() -> u64 {
        u64::try_from(Moment::parse("2026-11-30").unwrap().seconds).unwrap()
    }

    /// What one card shows in large: each text, and what is beyond its range.
    fn in_large<'s>(one: &'s Multiple<'_>) -> Vec<(&'s str, Vec<&'s str>)> {
        one.last.iter().map(|last| (last.text.as_str(), last.beyond.iter().map(String::as_str).collect())).collect()
    }

    fn listed<'s>(sorted: &'s Sorted<'_>) -> Vec<(&'s str, &'s str)> {
        sorted.others.iter().map(|one| (one.text.as_str(), one.when.as_str())).collect()
    }

    #[test]
    fn values_of_one_time_are_all_shown_and_each_is_judged_by_itself() {
        let potassium = |value: f64| {
            observation(
                "Potassium",
                "2026-11-02",
                &json!({"valueQuantity": {"value": value, "unit": "mmol/L"},
                "referenceRange": [{"low": {"value": 3.5, "unit": "mmol/L"}, "high": {"value": 5.1, "unit": "mmol/L"}}]}),
            )
        };
        for (one, other) in [(4.1, 6.2), (6.2, 4.1)] {
            let resources = [potassium(one), potassium(other)];
            let sorted = Sorted::of(&resources, at_noon());
            let mut shown = in_large(&sorted.charts[0]);
            shown.sort_unstable();
            assert_eq!(shown, [("4.1 mmol/L", vec![]), ("6.2 mmol/L", vec![words::ABOVE])]);
        }
        let mut early = observation("Culture", "2026-11-02", &json!({"valueString": "no growth so far"}));
        early["status"] = json!("preliminary");
        let found = |text: &str| observation("Culture", "2026-11-02", &json!({"valueString": text}));
        let resources = [
            early,
            found("E. coli"),
            found("MRSA"),
            observation("Culture", "2026-10-02", &json!({"valueString": "old"})),
        ];
        let sorted = Sorted::of(&resources, at_noon());
        let texts: Vec<&str> = sorted.others.iter().map(|one| one.text.as_str()).collect();
        assert_eq!(texts, ["E. coli", "MRSA", "no growth so far"]);
        // A bound beside a number of the same time.
        let crp = |value: &Value| observation("CRP", "2026-11-02", &json!({"valueQuantity": value}));
        let resources =
            [crp(&json!({"value": 12, "unit": "mg/L"})), crp(&json!({"value": 5, "unit": "mg/L", "comparator": "<"}))];
        let sorted = Sorted::of(&resources, at_noon());
        assert_eq!((sorted.charts.len(), listed(&sorted)), (1, vec![("< 5 mg/L", "2 November 2026")]));
    }

    #[test]
    fn a_card_says_what_is_newer_than_what_it_draws() {
        let resources = [
            observation("CRP", "2026-10-01", &json!({"valueQuantity": {"value": 12, "unit": "mg/L"}})),
            observation(
                "CRP",
                "2026-11-02",
                &json!({"valueQuantity": {"value": 5, "unit": "mg/L", "comparator": "<"}}),
            ),
        ];
        let sorted = Sorted::of(&resources, at_noon());
        assert_eq!(sorted.charts[0].newer, Some(("< 5 mg/L".to_owned(), "2 November 2026".to_owned())));
        assert_eq!(listed(&sorted), [("< 5 mg/L", "2 November 2026")]);
    }

    #[test]
    fn what_has_no_date_or_no_value_is_listed() {
        let mut undated =
            observation("Sodium", "2026-11-02", &json!({"valueQuantity": {"value": 140, "unit": "mmol/L"}}));
        undated.as_object_mut().unwrap().remove("effectiveDateTime");
        let absent = json!({"dataAbsentReason": {"text": "specimen haemolysed"}, "note": [{"text": "please repeat"}]});
        let resources = [
            undated,
            observation("Potassium", "2026-11-02", &absent),
            observation("Potassium", "2026-10-02", &json!({"valueQuantity": {"value": 4.4, "unit": "mmol/L"}})),
            observation("Panel", "2026-11-02", &json!({"hasMember": [{"reference": "Observation/x"}]})),
        ];
        let sorted = Sorted::of(&resources, at_noon());
        let haemolysed = words::no_value("specimen haemolysed. please repeat");
        assert_eq!(listed(&sorted), [(haemolysed.as_str(), "2 November 2026"), ("140 mmol/L", words::NO_DATE)]);
        assert_eq!(sorted.charts[0].newer, Some((haemolysed.clone(), "2 November 2026".to_owned())));
    }

    #[test]
    fn parts_are_judged_by_name_and_panels_are_drawn_apart() {
        let part = |code: &str, value: f64, low: f64, high: f64, unit: &str| {
            let quantity = |value: f64| json!({"value": value, "unit": unit});
            json!({"code": {"coding": [{"system": "http://loinc.org", "code": code}], "text": code},
                "valueQuantity": quantity(value), "referenceRange": [{"low": quantity(low), "high": quantity(high)}]})
        };
        let pressure = json!({"component": [part("8480-6", 185.0, 90.0, 140.0, "mm[Hg]"), part("8462-4", 45.0, 60.0, 90.0, "mm[Hg]")]});
        let panel = json!({"component": [part("x-1", 70.0, 40.0, 60.0, "%"), part("x-2", 20.0, 20.0, 40.0, "%")]});
        let resources =
            [observation("Blood pressure", "2026-11-02", &pressure), observation("Differential", "2026-11-02", &panel)];
        let sorted = Sorted::of(&resources, at_noon());
        let beyond = in_large(&sorted.charts[0]).remove(0).1;
        assert!(
            beyond.len() == 2 && beyond[0].ends_with(words::ABOVE) && beyond[1].ends_with(words::BELOW),
            "{beyond:?}"
        );
        assert_ne!(beyond[0].split(':').next(), beyond[1].split(':').next());
        let apart: Vec<_> = sorted.charts[1..].iter().map(|one| (one.lines.len(), in_large(one).len())).collect();
        assert_eq!(apart, [(1, 1), (1, 1)]);
    }
}
