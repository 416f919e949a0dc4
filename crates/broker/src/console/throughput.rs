//! Throughput: requests and refusals a second, and how long answers took, over the last hour, minute by minute.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::{RawQuery, State};
use axum::response::Response;
use maud::{Markup, html};
use sealwort_pages::chart::{Chart, Point, Series, Size};
use sealwort_pages::words::console as words;

use super::Console;
use super::diagnosis::took;
use super::form::Form;
use super::frame::{self, THROUGHPUT, live};
use super::sign_in::Visitor;
use crate::observed::Slot;

const MINUTE: u64 = 60;
const HOUR: u64 = 3600;

/// `GET /throughput`
pub(super) async fn page(State(console): State<Arc<Console>>, visitor: Visitor, RawQuery(query): RawQuery) -> Response {
    let query = Form::of(query.as_deref().unwrap_or_default().as_bytes());
    let content = console.charts();
    if query.value("part").is_some() {
        return frame::fragment(content);
    }
    let content = html! {
        p { (words::THROUGHPUT_INTRODUCTION) }
        (live("charts", THROUGHPUT, query.value("paused").is_some(), &content))
    };
    frame::page(&console, &visitor, (THROUGHPUT, words::THROUGHPUT), &content).await
}

impl Console {
    fn charts(&self) -> Markup {
        let now = self.now().as_secs();
        let this = now - now % MINUTE;
        let mut minutes = BTreeMap::<u64, Slot>::new();
        for slot in self.broker.observed.slots() {
            let minute = slot.from - slot.from % MINUTE;
            if minute + HOUR > this {
                minutes.entry(minute).and_modify(|sum| sum.add(&slot)).or_insert(slot);
            }
        }
        let all: Vec<u64> = (0..HOUR / MINUTE).rev().map(|ago| this.saturating_sub(ago * MINUTE)).collect();
        // The minute that goes on is not over.
        let seconds = |minute: u64| if minute == this { (now - this).max(1) } else { MINUTE };
        let rate = |minute: u64, count: fn(&Slot) -> u32| {
            Point::new(minute, f64::from(minutes.get(&minute).map_or(0, count)) / whole(seconds(minute)))
        };
        let times = |percent: u32| {
            let point = |(minute, slot): (&u64, &Slot)| Some(Point::new(*minute, millis(slot.took(percent)?)));
            minutes.iter().filter_map(point).collect::<Vec<_>>()
        };
        let span = all.first().copied().zip(Some(now));
        let series = |name: &str, points| Series { name: name.to_owned(), points, reference: None };
        let mut sum: Option<Slot> = None;
        for slot in minutes.values() {
            sum.get_or_insert_with(|| Slot::empty(slot.from)).add(slot);
        }
        let rates = Chart {
            label: words::RATES.to_owned(),
            unit: words::PER_SECOND.to_owned(),
            series: vec![
                series(words::REQUESTS, all.iter().map(|minute| rate(*minute, |slot| slot.requests)).collect()),
                series(words::REFUSED, all.iter().map(|minute| rate(*minute, |slot| slot.refused)).collect()),
            ],
            span,
            size: Size::Wide,
        };
        let answers = Chart {
            label: words::TIMES.to_owned(),
            unit: words::MILLISECONDS.to_owned(),
            series: vec![series(words::MEDIAN, times(50)), series(words::MOST, times(95))],
            span,
            size: Size::Wide,
        };
        html! {
            dl .sums { @if let Some(sum) = sum {
                div { dt { (words::REQUESTS_HOUR) } dd { (sum.requests) } }
                div { dt { (words::REFUSED_HOUR) } dd { (sum.refused) } }
                @if let Some(median) = sum.took(50) { div { dt { (words::MEDIAN) } dd { (took(median)) } } }
                @if let Some(most) = sum.took(95) { div { dt { (words::MOST) } dd { (took(most)) } } }
            } @else { div { dt { (words::REQUESTS_HOUR) } dd { "0" } } } }
            (figure(&rates))
            (figure(&answers))
        }
    }
}

fn figure(chart: &Chart) -> Markup {
    html! {
        section .card.figure {
            h2 { (chart.label) }
            ul .legend { @for (series, look) in chart.series.iter().zip(["first", "second"]) {
                li { svg .chart.key viewBox="0 0 32 12" aria-hidden="true" { polyline .line.(look) points="0,6 32,6" {} } " " (series.name) }
            } }
            (chart.svg())
            (chart.table())
        }
    }
}

/// Seconds of a minute are exact.
fn whole(seconds: u64) -> f64 {
    f64::from(u32::try_from(seconds).unwrap_or(u32::MAX))
}

fn millis(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}
