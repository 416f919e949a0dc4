//! Twelve months of results as small multiples: one chart for each kind of value and unit, on the same time axis, with the
//! reference range that came with the values and no other. What is no number, or older, is listed below.

use std::collections::BTreeMap;

use axum::extract::{Path, RawQuery, State};
use axum::response::Response;
use http::StatusCode;
use maud::{Markup, html};
use sealwort_fhir::plain::{Kind, Moment, Plain, Reading, Standing, Usual};
use sealwort_pages::chart::{Chart, Point, Range, Series, Size};
use sealwort_pages::words::clinician as words;
use serde_json::Value;

use super::super::Shared;
use super::reading::{readable, values};
use super::record::Record;
use super::visit::{Visit, purpose};
use super::{Page, error, href, show};

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
) -> Response {
    if let Err(error) = visit.set_purpose(purpose(query.as_deref()).as_deref()) {
        let error = visit.turned_away(error).await;
        return error::failed(&mut visit, &error, None).await;
    }
    let outcome = Record::read(&mut visit, &id, &["$everything?_type=Observation"]).await;
    let record = match visit.kept(outcome).await {
        Ok(record) => record,
        Err(error) => return error::failed(&mut visit, &error, Some(&id)).await,
    };
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
    show(
        &mut visit,
        Page { status: StatusCode::OK, title: words::RESULTS, record: Some(&record), current: &current, content },
    )
    .await
}

/// Values of one kind in one unit; of a blood pressure both parts.
struct Multiple<'v> {
    kind: Kind,
    title: String,
    unit: String,
    /// By name of the part; one without a name where there are no parts.
    lines: Vec<Course>,
    newest: Newest<'v>,
    /// Points that did not fit.
    older: usize,
}

/// One line of a chart, oldest first.
struct Course {
    name: String,
    points: Vec<Point>,
    /// Of the newest value that has one.
    usual: Option<Usual>,
}

/// The value that is shown in large.
struct Newest<'v> {
    at: i64,
    text: String,
    when: String,
    /// What the laboratory said of it: "High".
    said: Vec<String>,
    /// Beyond the range that came with it.
    beyond: Option<&'static str>,
    resource: &'v Value,
}

/// What has no chart: words, bounds such as `< 5`, and what is older; the newest of each kind.
struct Other<'v> {
    title: String,
    text: String,
    at: i64,
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

impl<'v> Sorted<'v> {
    fn of(resources: &'v [Value], now: u64) -> Self {
        let now = i64::try_from(now).unwrap_or(i64::MAX);
        let first = now.saturating_sub(i64::try_from(SPAN_SECONDS).unwrap_or_default());
        let mut charts: BTreeMap<(String, String), Multiple<'v>> = BTreeMap::new();
        let mut others: BTreeMap<String, Other<'v>> = BTreeMap::new();
        for (resource, plain, at) in observations(resources) {
            let when = readable(&at);
            let title = plain.title.clone().unwrap_or_else(|| words::UNNAMED.to_owned());
            let key = plain.series.clone().unwrap_or_else(|| title.to_lowercase());
            let mut drawn = false;
            if (first..=now).contains(&at.seconds) {
                for reading in &plain.readings {
                    drawn |= draw(&mut charts, (&key, &title, &plain), reading, (resource, &at, &when));
                }
            }
            if drawn || plain.readings.is_empty() {
                continue;
            }
            let uncertain = plain.standing == Standing::Open;
            let other = Other { title, text: values(&plain), at: at.seconds, when, uncertain, resource };
            match others.get(&key) {
                Some(known) if known.at >= other.at => {}
                _ => {
                    others.insert(key, other);
                }
            }
        }
        // What is drawn needs no row for an older value.
        others.retain(|key, other| !charts.iter().any(|((known, _), one)| known == key && one.newest.at >= other.at));
        let mut charts: Vec<Multiple<'v>> = charts.into_values().collect();
        for one in &mut charts {
            one.settle();
        }
        charts.sort_by(|a, b| b.newest.at.cmp(&a.newest.at).then_with(|| a.title.cmp(&b.title)));
        let left_out = charts.len().saturating_sub(CHARTS_MAX);
        charts.truncate(CHARTS_MAX);
        charts.sort_by(|a, b| a.title.cmp(&b.title).then_with(|| a.unit.cmp(&b.unit)));
        let mut others: Vec<_> = others.into_values().collect();
        others.sort_by(|a, b| b.at.cmp(&a.at).then_with(|| a.title.cmp(&b.title)));
        let others_left_out = others.len().saturating_sub(OTHERS_MAX);
        others.truncate(OTHERS_MAX);
        Self { charts, others, left_out, others_left_out }
    }
}

/// Observations that count and say when they were made.
fn observations(resources: &[Value]) -> Vec<(&Value, Plain, Moment)> {
    let read = |one: &Value| {
        let (kind, _) = super::reading::named(one).filter(|(kind, _)| kind.as_str() == "Observation")?;
        let plain = Plain::of(kind, one);
        let at = plain.at.filter(|_| matches!(plain.standing, Standing::Current | Standing::Open))?;
        Some((plain, at))
    };
    resources.iter().filter_map(|one| read(one).map(|(plain, at)| (one, plain, at))).collect()
}

/// Puts a number into the chart of its kind and unit. Whether it is one.
fn draw<'v>(
    charts: &mut BTreeMap<(String, String), Multiple<'v>>,
    (key, title, plain): (&str, &str, &Plain),
    reading: &Reading,
    (resource, at, when): (&'v Value, &Moment, &str),
) -> bool {
    let Some((amount, number)) = reading.amount.as_ref().and_then(|amount| Some((amount, amount.number?))) else {
        return false;
    };
    let Ok(second) = u64::try_from(at.seconds) else { return false };
    let newest = || Newest {
        at: at.seconds,
        text: values(plain),
        when: when.to_owned(),
        said: plain
            .more
            .iter()
            .cloned()
            .chain((plain.standing == Standing::Open).then(|| words::UNCERTAIN.to_owned()))
            .collect(),
        beyond: None,
        resource,
    };
    let chart = charts.entry((key.to_owned(), amount.unit.clone())).or_insert_with(|| Multiple {
        kind: if plain.kind == Kind::Vital { Kind::Vital } else { Kind::Result },
        title: title.to_owned(),
        unit: amount.unit.clone(),
        lines: Vec::new(),
        newest: newest(),
        older: 0,
    });
    if at.seconds > chart.newest.at {
        chart.newest = newest();
    }
    let name = reading.name.clone().unwrap_or_else(|| title.to_owned());
    let line = if let Some(known) = chart.lines.iter().position(|line| line.name == name) {
        chart.lines.get_mut(known)
    } else {
        chart.lines.push(Course { name, points: Vec::new(), usual: None });
        chart.lines.last_mut()
    };
    let Some(line) = line else { return false };
    let is_newest = line.points.iter().all(|point| point.at <= second);
    line.points.push(Point { at: second, value: number });
    if is_newest {
        line.usual = reading.usual;
        if chart.newest.at == at.seconds
            && let Some(usual) = reading.usual
        {
            let is = |end: Option<f64>, beyond: fn(f64, f64) -> bool| end.is_some_and(|end| beyond(number, end));
            if is(usual.low, |number, end| number < end) {
                chart.newest.beyond = Some(words::BELOW);
            } else if is(usual.high, |number, end| number > end) {
                chart.newest.beyond = Some(words::ABOVE);
            }
        }
    }
    true
}

impl Multiple<'_> {
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
        let range = |usual: Usual| Range { low: usual.low, high: usual.high };
        let series = self.lines.iter().map(|line| Series {
            name: line.name.clone(),
            points: line.points.clone(),
            reference: line.usual.map(range),
        });
        Chart {
            label: words::chart_label(
                &self.title,
                self.lines.iter().map(|line| line.points.len()).sum(),
                &self.newest.text,
            ),
            unit: self.unit.clone(),
            series: series.collect(),
            span: Some((now.saturating_sub(SPAN_SECONDS), now)),
            size: Size::Small,
        }
    }

    fn shown(&self, visit: &Visit, record: &Record, now: u64) -> Markup {
        let chart = self.chart(now);
        let newest = &self.newest;
        html! {
            h3 { (self.title) @if !self.unit.is_empty() { " " small .quiet { (self.unit) } } }
            p .latest {
                strong { (newest.text) }
                @if let Some(beyond) = newest.beyond { " " span .chip.warning { (beyond) } }
                @for said in &newest.said { " " span .chip { (said) } }
            }
            p .quiet { (newest.when) }
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
            p { (record.source_link(visit, newest.resource)) }
            (chart.table())
        }
    }
}

/// The looks of a chart's lines, as its style sheet has them.
const LOOKS: [&str; 4] = ["first", "second", "third", "fourth"];

/// The range that came with the newest value, in words; that there was none is said as well.
fn range_text(line: &Course, unit: &str, is_part: bool) -> String {
    let number = sealwort_pages::chart::number;
    let range = match line.usual {
        Some(Usual { low: Some(low), high: Some(high) }) => words::range(&number(low), &number(high), unit),
        Some(Usual { low: Some(low), high: None }) => words::range_from(&number(low), unit),
        Some(Usual { low: None, high: Some(high) }) => words::range_to(&number(high), unit),
        _ => words::NO_RANGE.to_owned(),
    };
    if is_part { format!("{}: {range}", line.name) } else { range }
}

fn others(visit: &Visit, record: &Record, sorted: &Sorted<'_>) -> Markup {
    html! {
        h2 { (words::OTHER_RESULTS) }
        p { (words::OTHER_RESULTS_HOW) }
        table .stack.entries {
            caption .hidden { (words::OTHER_RESULTS) }
            thead { tr {
                th scope="col" { (words::WHAT) }
                th scope="col" { (words::VALUE) }
                th scope="col" { (words::WHEN) }
                th scope="col" { (words::SOURCE_COLUMN) }
            } }
            tbody { @for one in &sorted.others { tr {
                th scope="row" { (one.title) }
                td data-column=(words::VALUE) {
                    (one.text) @if one.uncertain { " " span .chip.warning { (words::UNCERTAIN) } }
                }
                td data-column=(words::WHEN) { (one.when) }
                td data-column=(words::SOURCE_COLUMN) { (record.source_link(visit, one.resource)) }
            } } }
        }
        @if sorted.others_left_out > 0 { p .note { (words::others_left_out(sorted.others_left_out)) } }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]
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
            .map(|one| (one.title.as_str(), one.unit.as_str(), one.lines[0].points.len(), one.newest.beyond))
            .collect();
        assert_eq!(drawn, [("Potassium", "mg/dL", 1, None), ("Potassium", "mmol/L", 2, Some(words::ABOVE))]);
        assert_eq!(sorted.charts[1].newest.text, "6.2 mmol/L");
        assert_eq!(sorted.charts[1].lines[0].usual, Some(Usual { low: Some(3.5), high: Some(5.1) }));
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
        let usual = Some(Usual { low: Some(90.0), high: Some(140.0) });
        let line = Course { name: "x".to_owned(), points: Vec::new(), usual };
        assert_eq!(range_text(&line, "mmHg", false), words::range("90", "140", "mmHg"));
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
        assert_eq!(sorted.charts[0].newest.said, [words::UNCERTAIN]);
        assert!(sorted.others[0].uncertain);
    }
}
