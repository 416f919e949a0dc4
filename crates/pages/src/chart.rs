//! Charts as SVG: values over time with their reference range. A chart is a picture with a sentence for who cannot see it,
//! and a table of the same numbers. Colours come from classes, since the policy allows no style in a page.

use maud::{Markup, html};

use crate::date;
use crate::words::shared;

/// One value.
#[derive(Debug, Clone, PartialEq)]
pub struct Point {
    /// Seconds since 1970.
    pub at: u64,
    /// In the unit of the chart.
    pub value: f64,
    /// Its date and its number as the table has them; else they are made from the other two.
    pub written: Option<Written>,
}

/// A date and a number in words. What comes from a record keeps the digits, the precision and the zone that it has there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// When.
    pub when: String,
    /// The number, without its unit.
    pub value: String,
}

impl Point {
    /// A value that was counted here, and not read from a record.
    pub fn new(at: u64, value: f64) -> Self {
        Self { at, value, written: None }
    }

    fn when(&self) -> String {
        self.written.as_ref().map_or_else(|| date::moment(self.at), |written| written.when.clone())
    }

    fn number(&self) -> String {
        self.written.as_ref().map_or_else(|| number(self.value), |written| written.value.clone())
    }

    /// What is beyond any place on a screen is in the table alone.
    fn is_drawn(&self) -> bool {
        is_drawn(self.value)
    }
}

/// The range in which values are usual, as the data itself says. Either end may be open.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Range {
    /// Lowest usual value.
    pub low: Option<f64>,
    /// Highest usual value.
    pub high: Option<f64>,
}

/// Values of one kind, oldest first.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// What it is, such as `Systolic`.
    pub name: String,
    /// The values; those that are no number are left out.
    pub points: Vec<Point>,
    /// Drawn as a band behind the line.
    pub reference: Option<Range>,
}

/// How large a chart is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Size {
    /// A line of text high, without axes.
    Spark,
    /// One of many beside each other.
    Small,
    /// As wide as the page.
    Wide,
}

/// Series over the same time, in one unit.
#[derive(Debug, Clone, PartialEq)]
pub struct Chart {
    /// A sentence that says what is drawn, for who cannot see it.
    pub label: String,
    /// Unit of all values.
    pub unit: String,
    /// What is drawn; the first four have a look of their own.
    pub series: Vec<Series>,
    /// First and last second of the axis; else those of the values.
    pub span: Option<(u64, u64)>,
    /// How large.
    pub size: Size,
}

impl Chart {
    /// The picture. Nothing where there is no value.
    pub fn svg(&self) -> Markup {
        let Some(scale) = Scale::of(self) else { return html! {} };
        let Area { width, height, .. } = scale.area;
        html! {
            svg .chart .(self.class()) viewBox={"0 0 " (width) " " (height)} role="img" aria-label=(self.label) {
                @for series in &self.series { @if let Some(range) = series.reference { (scale.band(range)) } }
                @if self.size != Size::Spark { (self.axes(&scale)) }
                @for (number, series) in self.series.iter().enumerate() { (scale.line(number, series)) }
            }
        }
    }

    /// The same numbers as a table, folded away.
    pub fn table(&self) -> Markup {
        html! {
            details .numbers {
                summary { (shared::CHART_TABLE) }
                table {
                    caption { (self.label) }
                    thead { tr { th scope="col" { (shared::DATE) } @for series in &self.series { th scope="col" { (series.name) } } } }
                    tbody { @for (at, when) in self.moments() { tr {
                        th scope="row" { (when) }
                        @for series in &self.series {
                            @let of_then = series.points.iter().filter(|point| point.at == at && point.when() == when);
                            td { @for (place, point) in of_then.enumerate() {
                                @if place > 0 { ", " }
                                (point.number()) " " (self.unit)
                            } }
                        }
                    } } }
                }
            }
        }
    }

    /// A year and its first day begin with the same second, and are not the same date.
    fn moments(&self) -> Vec<(u64, String)> {
        let points = self.series.iter().flat_map(|series| &series.points);
        let mut all: Vec<(u64, String)> = points.map(|point| (point.at, point.when())).collect();
        all.sort_unstable();
        all.dedup();
        all
    }

    fn class(&self) -> &'static str {
        match self.size {
            Size::Spark => "spark",
            Size::Small => "small",
            Size::Wide => "wide",
        }
    }

    fn axes(&self, scale: &Scale) -> Markup {
        let Area { left, right, top, bottom, .. } = scale.area;
        // Within a day or two a date says too little.
        let tick = if scale.last.saturating_sub(scale.first) <= DAYS_FROM { date::time } else { date::day };
        html! {
            @for value in [scale.low, scale.high] {
                line .grid x1=(left) x2=(right) y1=(round(scale.y(value))) y2=(round(scale.y(value))) {}
                text .tick x=(left - TICK_GAP) y=(round(scale.y(value)) + TICK_DROP) text-anchor="end" { (number(value)) }
            }
            text .tick x=(left) y=(bottom + DATE_DROP) { (tick(scale.first)) }
            text .tick x=(right) y=(bottom + DATE_DROP) text-anchor="end" { (tick(scale.last)) }
            @if self.size == Size::Wide { text .tick x=(left) y=(top - TICK_GAP) { (self.unit) } }
        }
    }
}

/// A value with as many digits as an axis needs, at most two after the point.
fn number(value: f64) -> String {
    if value.abs() >= LARGE {
        return format!("{value:.2e}");
    }
    // Of less than a tenth, the first two digits that count.
    let (mut decimals, mut size) = (2, value.abs());
    while size > 0.0 && size < 0.1 && decimals < DECIMALS_MAX {
        size *= 10.0;
        decimals += 1;
    }
    let text = format!("{value:.decimals$}");
    match text.trim_end_matches('0').trim_end_matches('.') {
        "-0" | "0" if value == 0.0 => "0".to_owned(),
        "-0" | "0" => format!("{value:e}"),
        text => text.to_owned(),
    }
}

/// Where a chart's lines may run, in its own units.
#[derive(Debug, Clone, Copy)]
struct Area {
    width: f64,
    height: f64,
    left: f64,
    right: f64,
    top: f64,
    bottom: f64,
}

impl Area {
    fn of(size: Size) -> Self {
        let (width, height, margin_left, margin_top, margin_bottom) = match size {
            Size::Spark => (120.0, 32.0, 4.0, 4.0, 4.0),
            Size::Small => (280.0, 130.0, 44.0, 10.0, 22.0),
            Size::Wide => (720.0, 240.0, 56.0, 22.0, 24.0),
        };
        Self {
            width,
            height,
            left: margin_left,
            right: width - margin_top,
            top: margin_top,
            bottom: height - margin_bottom,
        }
    }
}

/// From times and values to places in the area.
struct Scale {
    area: Area,
    first: u64,
    last: u64,
    low: f64,
    high: f64,
}

impl Scale {
    fn of(chart: &Chart) -> Option<Self> {
        let points = || chart.series.iter().flat_map(|series| &series.points).filter(|point| point.is_drawn());
        let first = points().map(|point| point.at).min()?;
        let last = points().map(|point| point.at).max()?;
        let (first, last) = chart.span.unwrap_or((first, last));
        let ends = chart.series.iter().filter_map(|series| series.reference).flat_map(|range| [range.low, range.high]);
        let values = points().map(|point| point.value).chain(ends.flatten().filter(|end| is_drawn(*end)));
        let (low, high) = values.fold((f64::MAX, f64::MIN), |(low, high), value| (low.min(value), high.max(value)));
        // One value alone is drawn in the middle.
        let around = low.abs() / 2.0 + 1.0;
        let (low, high) = if low < high { (low, high) } else { (low - around, high + around) };
        Some(Self { area: Area::of(chart.size), first, last, low, high })
    }

    fn x(&self, at: u64) -> f64 {
        let (left, right) = (self.area.left, self.area.right);
        if self.last <= self.first {
            return f64::midpoint(left, right);
        }
        let part = seconds(at.clamp(self.first, self.last) - self.first) / seconds(self.last - self.first);
        left + part * (right - left)
    }

    fn y(&self, value: f64) -> f64 {
        let part = (value.clamp(self.low, self.high) - self.low) / (self.high - self.low);
        self.area.bottom - part * (self.area.bottom - self.area.top)
    }

    fn band(&self, range: Range) -> Markup {
        let (top, bottom) = (self.y(range.high.unwrap_or(self.high)), self.y(range.low.unwrap_or(self.low)));
        let (left, width) = (self.area.left, self.area.right - self.area.left);
        html! {
            rect .band x=(left) y=(round(top)) width=(width) height=(round((bottom - top).max(0.0))) {
                title { (shared::REFERENCE_RANGE) }
            }
        }
    }

    fn line(&self, number: usize, series: &Series) -> Markup {
        let points: Vec<&Point> = series.points.iter().filter(|point| point.is_drawn()).collect();
        let path: Vec<String> =
            points.iter().map(|point| format!("{},{}", round(self.x(point.at)), round(self.y(point.value)))).collect();
        let look = LOOKS.get(number % LOOKS.len()).copied().unwrap_or_default();
        html! {
            polyline .line .(look) points=(path.join(" ")) {}
            @if let Some(newest) = points.last() {
                circle .dot .(look) cx=(round(self.x(newest.at))) cy=(round(self.y(newest.value))) r="3" {}
            }
        }
    }
}

/// Whether a number has a place in a chart. Of larger ones the difference may be no number any more.
fn is_drawn(value: f64) -> bool {
    value.is_finite() && value.abs() <= DRAWN_MAX
}

/// Spans are far below the 2^53 up to which this is exact.
#[allow(clippy::cast_precision_loss)]
fn seconds(span: u64) -> f64 {
    span as f64
}

/// A tenth of a unit is finer than a screen.
fn round(place: f64) -> f64 {
    (place * 10.0).round() / 10.0
}

/// Classes of lines, which differ in dash as well as colour.
const LOOKS: [&str; 4] = ["first", "second", "third", "fourth"];
/// Digits after the point; a smaller number is written by its power of ten.
const DECIMALS_MAX: usize = 8;
/// Largest number that is drawn.
const DRAWN_MAX: f64 = 1e12;
/// From here on values are written with an exponent.
const LARGE: f64 = 1e9;
/// From which span on the ends of an axis are days, in seconds.
const DAYS_FROM: u64 = 2 * 86_400;
const TICK_GAP: f64 = 6.0;
const TICK_DROP: f64 = 4.0;
const DATE_DROP: f64 = 16.0;

#[cfg(test)]
mod tests {
    #![allow(clippy::indexing_slicing)]
    use super::*;

    fn chart(points: &[(u64, f64)], reference: Option<Range>, size: Size) -> Chart {
        let points = points.iter().map(|&(at, value)| Point::new(at, value)).collect();
        Chart {
            label: "Glucose".to_owned(),
            unit: "mmol/L".to_owned(),
            series: vec![Series { name: "Glucose".to_owned(), points, reference }],
            span: None,
            size,
        }
    }

    #[test]
    fn newest_and_highest_are_at_the_right_and_top() {
        let range = Range { low: Some(4.0), high: Some(6.0) };
        let svg = chart(&[(0, 4.0), (100, 8.0)], Some(range), Size::Spark).svg().into_string();
        assert!(svg.contains("points=\"4,28 116,4\""), "{svg}");
        assert!(svg.contains("<rect class=\"band\" x=\"4\" y=\"16\" width=\"112\" height=\"12\""), "{svg}");
    }

    #[test]
    fn odd_values_draw_nothing_odd() {
        let cases: [&[(u64, f64)]; 8] = [
            &[],
            &[(5, f64::NAN)],
            &[(5, 1.0)],
            &[(5, 1.0), (5, 1.0)],
            &[(0, f64::INFINITY), (u64::MAX, 1e300)],
            &[(0, -1e308), (1, 1e308)],
            &[(0, 1.0), (1, -1.7e308)],
            &[(0, 1.7e308)],
        ];
        for points in cases {
            for size in [Size::Spark, Size::Small, Size::Wide] {
                let svg = chart(points, Some(Range::default()), size).svg().into_string();
                assert!(!svg.contains("NaN") && !svg.contains("inf"), "{points:?}: {svg}");
            }
        }
        assert_eq!(chart(&[], None, Size::Small).svg().into_string(), "");
    }

    /// Also what is too large to draw, and a range far from the values.
    #[test]
    fn what_is_out_of_reach_is_not_drawn() {
        let range = Range { low: Some(-1e308), high: Some(1e308) };
        let far = chart(&[(0, 1.0), (1, 2.0), (2, 1e13)], Some(range), Size::Small);
        let svg = far.svg().into_string();
        assert!(svg.contains("points=\"44,108 270,10\"") && !svg.contains("NaN"), "{svg}");
        assert!(far.table().into_string().contains("1.00e13"));
    }

    #[test]
    fn tables_say_dates_and_numbers_as_they_were_written() {
        let written = |at, value, when: &str, text: &str| {
            let written = Some(Written { when: when.to_owned(), value: text.to_owned() });
            Point { at, value, written }
        };
        let mut one = chart(&[], None, Size::Small);
        one.series[0].points = vec![
            written(1_767_225_600, 1.008, "2026", "1.008"),
            written(1_767_225_600, 1.0, "1 January 2026", "1.000"),
            written(1_767_225_600, 2.0, "1 January 2026", "2.0"),
            Point::new(1_767_225_660, 3.0),
        ];
        let table = one.table().into_string();
        for row in [
            "<th scope=\"row\">2026</th><td>1.008 mmol/L</td>",
            "<th scope=\"row\">1 January 2026</th><td>1.000 mmol/L, 2.0 mmol/L</td>",
            "<th scope=\"row\">1 January 2026, 00:01 UTC</th><td>3 mmol/L</td>",
        ] {
            assert!(table.contains(row), "{row} is not in {table}");
        }
        assert_eq!(table.matches("<th scope=\"row\">").count(), 3, "{table}");
    }

    #[test]
    fn numbers_have_the_digits_that_they_need() {
        for (value, text) in [
            (5.0, "5"),
            (5.10, "5.1"),
            (0.126, "0.13"),
            (-3.0, "-3"),
            (100.0, "100"),
            (1e300, "1.00e300"),
            (0.014, "0.014"),
            (-0.001, "-0.001"),
            (-0.0, "0"),
            (1e-12, "1e-12"),
        ] {
            assert_eq!(number(value), text);
        }
    }
}
