//! The page itself: facts in, markup out.

use std::fmt::Write as _;

use http::StatusCode;
use maud::{Markup, html};
use sealwort_pages::sequence::{Lane, Look, Message, Row, Sequence};
use sealwort_pages::words::explain as words;
use sealwort_pages::words::explain::{ChapterWords, Phase, StepWords};
use sealwort_pages::{Frame, Link, Policy, respond};

use super::actions::BUTTONS;
use super::captured::{Opened, Side, View};
use super::recorder::{Hospital, Now, Outcome, Taken};
use super::search::{Place, Searched};
use super::{Asked, Explain, diagnostic, locked};

/// The whole page.
pub(super) fn whole(explain: &Explain, asked: Asked) -> Markup {
    let Some(now) = explain.recorder.now(asked.chapter) else {
        return frame("/", words::TITLE, &html! { p .lead { (words::LEAD) } p { a href="/" { (words::REFRESH) } } });
    };
    let content = html! {
        p .lead { (words::LEAD) }
        (buttons(explain))
        section #happened aria-labelledby="happened-heading" {
            h2 #happened-heading { (words::HAPPENED) }
            div .explained {
                (changing(explain, &now, asked))
                (panel(explain, &now, asked))
            }
        }
        (search(explain, &now))
    };
    frame("/", words::TITLE, &content)
}

/// The part that changes by itself.
pub(super) fn live(explain: &Explain, asked: Asked) -> Option<Markup> {
    explain.recorder.now(asked.chapter).map(|now| changing(explain, &now, asked))
}

/// A page that says what was wrong.
pub(super) fn wrong(status: StatusCode, why: &str) -> http::Response<axum::body::Body> {
    let content = html! {
        div .note .warning role="alert" { p { (why) } }
        p { a href="/" { (words::BACK) } }
    };
    respond(status, frame("", words::WRONG, &content), Policy::default())
}

/// A section of the specification.
pub(super) fn specified(text: &str) -> Markup {
    let content = html! {
        p { a href="/" { (words::BACK) } }
        pre .specification tabindex="0" { (text) }
    };
    frame("", words::SPECIFICATION, &content)
}

fn frame(current: &str, title: &str, content: &Markup) -> Markup {
    let navigation = [Link { href: "/", text: words::SURFACE_PAGE }];
    let frame = Frame {
        surface: words::SURFACE,
        home: "/",
        navigation: &navigation,
        current,
        account: html! {},
        banner: html! {},
        sheet: Some("explain.css"),
    };
    frame.page(title, content)
}

fn buttons(explain: &Explain) -> Markup {
    html! {
        section aria-labelledby="try" {
            h2 #try { (words::TRY) }
            p { (words::TRY_LEAD) }
            ol .buttons {
                @for (place, (action, told)) in BUTTONS.iter().enumerate() {
                    li {
                        form method="post" action={"/do/" (action.name())} {
                            input type="hidden" name="form" value=(explain.form);
                            @if place == 0 {
                                label for="note" { (words::NOTE) }
                                textarea #note name="note" rows="2" maxlength="500" { (words::NOTE_PROPOSED) }
                                p .quiet { (words::NOTE_HELP) }
                            }
                            p { (told.about) }
                            // The style sheet puts a number before it, of which browsers read out the point alone.
                            button .quiet[place + 1 == BUTTONS.len()] #{"button-" (place + 1)} type="submit" aria-label=(told.button) { (told.button) }
                        }
                    }
                }
            }
        }
    }
}

/// Chapters, result and diagram. It asks for itself anew each second, and gets nothing where nothing changed.
fn changing(explain: &Explain, now: &Now, asked: Asked) -> Markup {
    let chapter = &now.chapter;
    let running = chapter.ended.is_none();
    let mut again = format!("/live?chapter={}&seen={}", chapter.id, now.revision);
    for (name, value) in
        [("step", asked.step.map(|id| id as u64)), ("broker", asked.broker), ("archive", asked.archive)]
    {
        if let Some(value) = value {
            // Writing to a string cannot fail.
            let _ = write!(again, "&{name}={value}");
        }
    }
    let rows = rows(explain, now, asked);
    let lanes: Vec<Lane<'_>> = words::LANES
        .iter()
        .enumerate()
        .map(|(place, (name, role))| Lane { name, role, idle: place == idle(now) })
        .collect();
    html! {
        div #live .diagram hx-get=(again) hx-trigger="every 1s" hx-swap="outerHTML" {
            h3 { (chapter.words.title()) }
            @match &chapter.outcome {
                Some(Outcome::Done(said)) => div .note .good role="status" { p { (said) } },
                Some(Outcome::Refused(said)) => div .note .error role="status" { p { (said) } },
                Some(Outcome::Failed(said)) => div .note .warning role="status" { p { (said) } },
                None if running => div .note role="status" { p { (words::RUNNING) } },
                None => {}
            }
            @if rows.is_empty() { @if !running { p .quiet { (words::NO_STEPS) } } }
            @else { (Sequence { label: words::DIAGRAM, lanes: &lanes, rows: &rows }.svg()) }
            @if chapter.more > 0 { p .quiet { (words::more(chapter.more)) } }
            p .quiet { (words::LEGEND) }
            @if chapter.words == ChapterWords::First { p .quiet { (words::AUTHORITY_NOTE) } }
            nav .chapters aria-labelledby="chapters" {
                h3 #chapters { (words::CHAPTERS) }
                ol reversed {
                    @for (id, words, running) in now.list.iter().rev() {
                        li value=(id) {
                            a href={"/?chapter=" (id) "#happened"} aria-current=[(*id == chapter.id).then_some("true")] { (words.title()) }
                            @if *running { " " span .chip .warning { (words::RUNNING) } }
                        }
                    }
                }
                @if now.forgotten { p .quiet { (words::OLDER) } }
                p { a href={"/?chapter=" (chapter.id) "#happened"} { (words::REFRESH) } }
            }
        }
    }
}

/// The lane of the hospital that takes no part.
fn idle(now: &Now) -> usize {
    let (mut a, mut b) = (now.chapter.hospital == Hospital::A, now.chapter.hospital == Hospital::B);
    for taken in &now.chapter.steps {
        match hospital(now, taken) {
            Hospital::A => a = true,
            Hospital::B => b = true,
        }
    }
    match (a || now.chapter.words == ChapterWords::Withdrawn, b) {
        (true, true) => usize::MAX,
        (false, _) => 0,
        (true, false) => 1,
    }
}

fn hospital(now: &Now, taken: &Taken) -> Hospital {
    now.sessions.get(&taken.session).copied().unwrap_or(now.chapter.hospital)
}

const BROKER: usize = 2;
const ARCHIVE: usize = 3;

fn lane(hospital: Hospital) -> usize {
    match hospital {
        Hospital::A => 0,
        Hospital::B => 1,
    }
}

fn lane_name(place: usize) -> &'static str {
    words::LANES.get(place).map_or("", |(name, _)| name)
}

/// Steps, messages beside them, and a refusal at the end.
fn rows(explain: &Explain, now: &Now, asked: Asked) -> Vec<Row> {
    let chapter = &now.chapter;
    let mut beside = besides(explain, now).into_iter().peekable();
    let mut rows = Vec::new();
    let mut phase = None;
    let newest = now.list.last().is_some_and(|(id, ..)| *id == chapter.id);
    let selected = asked.step.is_some() || asked.broker.is_some() || asked.archive.is_some();
    // What came beside the steps stands before the first step that was reported after it; within the nine steps there
    // is nothing, since no channel is there yet.
    for taken in &chapter.steps {
        while taken.phase == Phase::Transmission && beside.peek().is_some_and(|opened| opened.at / 1000 < taken.at) {
            if let Some(opened) = beside.next() {
                rows.push(beside_row(now, &opened, asked));
            }
        }
        if phase != Some(taken.phase) {
            rows.push(Row::Heading(taken.phase.heading().to_owned()));
            phase = Some(taken.phase);
        }
        rows.push(step_row(now, taken, asked));
    }
    rows.extend(beside.map(|opened| beside_row(now, &opened, asked)));
    if let (Some(Outcome::Refused(_)), Some(last)) = (&chapter.outcome, chapter.steps.last()) {
        rows.push(refusal_row(now, last));
    }
    // What is new appears one by one: all of what was just done, and later what came since the page last asked.
    let mut turn = 0;
    for row in &mut rows {
        let Row::Message(message) = row else { continue };
        let step = chapter.steps.iter().find(|taken| message.id == format!("step-{}", taken.id));
        let is_new = match asked.seen {
            Some(seen) => step.is_some_and(|taken| taken.id as u64 >= seen),
            None => (newest || asked.chapter.is_none()) && !selected,
        };
        if is_new {
            message.turn = Some(turn);
            turn += 1;
        }
    }
    rows
}

/// Messages beside the steps, as many as are drawn.
fn besides(explain: &Explain, now: &Now) -> Vec<Opened> {
    let chapter = &now.chapter;
    let mut captures = locked(&explain.captures);
    captures.refresh();
    // Of a chapter that is cut short, what goes with the steps that are drawn.
    let last = chapter.steps.last().filter(|_| chapter.more > 0).map(|taken| taken.at);
    let end = last.or(chapter.ended).unwrap_or(u64::MAX);
    let mut all = captures.beside(chapter.begun, end);
    all.truncate(BESIDE_MAX);
    all
}

fn step_row(now: &Now, taken: &Taken, asked: Asked) -> Row {
    let own = lane(hospital(now, taken));
    let (from, to, through) = way(taken.route, own);
    let words = words::step(taken.phase, taken.number);
    let short = words.map_or("", |words| words.short);
    let measured = words::measured(taken.bytes, taken.micros);
    Row::Message(Box::new(Message {
        id: format!("step-{}", taken.id),
        from,
        to,
        through,
        number: taken.number.to_string(),
        label: short.to_owned(),
        name: words::arrow(taken.phase, taken.number, lane_name(from), lane_name(to), short, &measured),
        detail: measured,
        href: format!("/?chapter={}&step={}#told", now.chapter.id, taken.id),
        current: asked.step == Some(taken.id),
        look: Look::Step,
        turn: None,
    }))
}

/// Lanes of a route as reports name it, with L for the hospital whose run it is.
fn way(route: &str, own: usize) -> (usize, usize, Option<usize>) {
    match route {
        "L → T" => (own, BROKER, None),
        "T → L" => (BROKER, own, None),
        "T → M" => (BROKER, ARCHIVE, None),
        "M → T" => (ARCHIVE, BROKER, None),
        "M → L" => (ARCHIVE, own, Some(BROKER)),
        _ => (own, ARCHIVE, Some(BROKER)),
    }
}

fn beside_row(now: &Now, opened: &Opened, asked: Asked) -> Row {
    let (own, to) = beside_way(now, opened);
    let (short, _) = beside_words(opened.side, opened.number);
    let (name, current) = match opened.side {
        Side::Broker => ("broker", asked.broker == Some(opened.begin)),
        Side::Archive => ("archive", asked.archive == Some(opened.begin)),
    };
    Row::Message(Box::new(Message {
        id: format!("{name}-{}", opened.begin),
        from: own,
        to,
        through: (opened.side == Side::Archive).then_some(BROKER),
        number: String::new(),
        label: short.to_owned(),
        detail: words::beside(opened.length, opened.times),
        name: words::arrow_beside(lane_name(own), lane_name(to), short),
        href: format!("/?chapter={}&{name}={}#told", now.chapter.id, opened.begin),
        current,
        look: Look::Beside,
        turn: None,
    }))
}

fn beside_way(now: &Now, opened: &Opened) -> (usize, usize) {
    // Registrations and directives come from hospital A, which keeps the consent authority of the demo's patients.
    let by_authority = match opened.side {
        Side::Broker => matches!(opened.number, 2 | 3),
        Side::Archive => matches!(opened.number, 0 | 1),
    };
    let own = if by_authority { 0 } else { lane(now.chapter.hospital) };
    (own, if opened.side == Side::Broker { BROKER } else { ARCHIVE })
}

fn beside_words(side: Side, number: u8) -> (&'static str, &'static str) {
    let found = match side {
        Side::Broker => words::to_broker(number),
        Side::Archive => words::to_archive(number),
    };
    found.unwrap_or_default()
}

/// Who was asked last says no: the broker after step 3, the archive after step 5.
fn refusal_row(now: &Now, last: &Taken) -> Row {
    let own = lane(hospital(now, last));
    let by_archive = last.phase == Phase::Transmission && last.number >= 5;
    let from = if by_archive { ARCHIVE } else { BROKER };
    Row::Message(Box::new(Message {
        id: "refusal".to_owned(),
        from,
        to: own,
        through: by_archive.then_some(BROKER),
        number: "✕".to_owned(),
        label: words::REFUSED_ARROW.to_owned(),
        detail: String::new(),
        name: words::arrow_beside(lane_name(from), lane_name(own), words::REFUSED_ARROW),
        href: format!("/?chapter={}&step={}#told", now.chapter.id, last.id),
        current: false,
        look: Look::Refused,
        turn: None,
    }))
}

/// What is told about the message that is selected.
fn panel(explain: &Explain, now: &Now, asked: Asked) -> Markup {
    let step = asked.step.and_then(|id| now.chapter.steps.iter().find(|taken| taken.id == id));
    let told = match (step, asked.broker, asked.archive) {
        (Some(taken), ..) => step_told(explain, now, taken),
        (None, Some(begin), _) => beside_told(explain, now, Side::Broker, begin),
        (None, None, Some(begin)) => beside_told(explain, now, Side::Archive, begin),
        (None, None, None) => None,
    };
    html! {
        section #told .told aria-label=(words::TOLD) {
            @match told {
                Some(told) => (told),
                None => p .quiet { (words::SELECT) },
            }
        }
    }
}

fn step_told(explain: &Explain, now: &Now, taken: &Taken) -> Option<Markup> {
    let told = words::step(taken.phase, taken.number)?;
    let views = locked(&explain.captures).views(taken);
    let section = if taken.route == "L → M" && taken.number == 7 { words::WRITING_SECTION } else { told.section };
    let relayed = taken.phase == Phase::Transmission && taken.number == 7;
    Some(html! {
        p .chip { (words::step_heading(taken.phase, taken.number)) }
        h3 { (told.short) }
        p { (told.purpose) }
        (knowledge(told))
        h4 { (words::HIDDEN) }
        p { (told.hidden) }
        h4 { (words::FORMULA) }
        dl .formulas {
            div { dt { (words::PAPER) } dd { code { (told.paper) } } }
            div { dt { (words::OURS) } dd { code { (told.ours) } } }
            div { dt { (words::DIFFERENCE) } dd { (told.difference) } }
        }
        p { a href={"/spec/" (section)} { (words::SECTION) " " (section) } }
        h4 { (words::SEEN) }
        p .quiet { (words::SEEN_LEAD) }
        @if relayed { (plain(now)) }
        (seen(&views))
    })
}

fn knowledge(told: &StepWords) -> Markup {
    html! {
        h4 { (words::KNOWS) }
        dl .knows {
            @for (place, text) in [(0, told.hospital), (BROKER, told.broker), (ARCHIVE, told.archive)] {
                div { dt { @if place == 0 { (words::HOSPITAL) } @else { (lane_name(place)) } } dd { (text) } }
            }
        }
    }
}

/// What is readable: inside the hospital alone.
fn plain(now: &Now) -> Markup {
    let said = now.chapter.sent.as_ref().map(|bytes| (words::SENT, bytes));
    let said = said.or_else(|| now.chapter.shown.as_ref().map(|bytes| (words::SHOWN, bytes)));
    html! {
        @if let Some((heading, bytes)) = said {
            figure .seen .readable {
                figcaption { (heading) " · " span .quiet { (words::length(bytes.len())) } }
                pre tabindex="0" { (excerpt(bytes)) }
            }
        }
    }
}

/// The first lines of a message in JSON, as people indent it.
fn excerpt(bytes: &[u8]) -> String {
    let text = serde_json::from_slice::<serde_json::Value>(bytes)
        .ok()
        .and_then(|value| serde_json::to_string_pretty(&value).ok())
        .unwrap_or_else(|| String::from_utf8_lossy(bytes).into_owned());
    let mut lines: Vec<String> =
        text.lines().take(PLAIN_LINES_MAX).map(|line| line.chars().take(PLAIN_LETTERS_MAX).collect()).collect();
    if text.lines().count() > PLAIN_LINES_MAX {
        lines.push("…".to_owned());
    }
    lines.join("\n")
}

fn seen(views: &[View]) -> Markup {
    html! {
        @for (side, place) in [(Side::Broker, BROKER), (Side::Archive, ARCHIVE)] {
            @let of_side: Vec<&View> = views.iter().filter(|view| view.side == side).collect();
            @if of_side.is_empty() {
                p { strong { (lane_name(place)) ": " } (if views.is_empty() { words::NOT_CAPTURED } else { words::NOTHING_SEEN }) }
            }
            @for view in of_side {
                figure .seen {
                    figcaption { (view.heading) " · " span .quiet { (words::length(view.length)) } }
                    @if let Some(shape) = diagnostic::shape(&view.bytes, view.framed) {
                        pre tabindex="0" { (shape) }
                        details { summary { (words::RAW) } pre tabindex="0" { (diagnostic::hexadecimal(&view.bytes)) } }
                    } @else {
                        pre tabindex="0" { (diagnostic::hexadecimal(&view.bytes)) }
                    }
                }
            }
        }
    }
}

fn beside_told(explain: &Explain, now: &Now, side: Side, begin: u64) -> Option<Markup> {
    let opened = besides(explain, now).into_iter().find(|opened| opened.side == side && opened.begin == begin)?;
    let (short, about) = beside_words(side, opened.number);
    let views = locked(&explain.captures).views_beside(side, begin);
    Some(html! {
        p .chip { (words::BESIDE_HEADING) }
        h3 { (short) }
        p { (about) }
        h4 { (words::SEEN) }
        p .quiet { (words::SEEN_LEAD) }
        (seen(&views))
    })
}

fn search(explain: &Explain, now: &Now) -> Markup {
    html! {
        section #search aria-labelledby="search-heading" {
            h2 #search-heading { (words::SEARCH) }
            p { (words::SEARCH_LEAD) }
            form method="post" action="/search" {
                input type="hidden" name="form" value=(explain.form);
                input type="hidden" name="chapter" value=(now.chapter.id);
                div .row {
                    div .field {
                        label for="word" { (words::SEARCH_LABEL) }
                        input #word name="word" type="text" autocomplete="off" required maxlength="100" aria-describedby="word-help";
                        p #word-help .quiet { (words::SEARCH_HELP) }
                    }
                    button #look type="submit" { (words::SEARCH_BUTTON) }
                }
            }
            @if let Some(searched) = explain.searched() { (results(&searched)) }
        }
    }
}

fn results(searched: &Searched) -> Markup {
    let parties = match &searched.parties {
        Ok(parties) => parties,
        Err(why) => return html! { div .note .warning role="status" { p { (why) } } },
    };
    let times = |rows: &[[Place; 3]]| rows.iter().flatten().map(|place| place.times).sum::<usize>();
    let (hospitals, others) = parties.split_at_checked(2).unwrap_or((parties, &[]));
    let (class, verdict) = match (times(hospitals), times(others)) {
        (0, 0) => ("warning", words::SEARCH_NOWHERE),
        (_, 0) => ("good", words::SEARCH_GATEWAYS_ONLY),
        _ => ("error", words::SEARCH_ELSEWHERE),
    };
    let [party, columns @ ..] = words::SEARCH_COLUMNS;
    html! {
        div #found .note .(class) role="status" { p { (verdict) } }
        div .scroll tabindex="0" role="region" aria-label=(words::searched(&searched.word)) {
            table .stack {
                caption { (words::searched(&searched.word)) }
                thead { tr { th scope="col" { (party) } @for column in columns { th scope="col" { (column) } } } }
                tbody {
                    @for (name, places) in words::SEARCH_PARTIES.iter().zip(parties) {
                        tr {
                            th scope="row" { (name) }
                            @for (column, place) in columns.iter().zip(places) {
                                td data-column=(column) {
                                    @if place.bytes == 0 { (words::SEARCH_NONE) }
                                    @else if place.times > 0 { strong { (words::found(place.times, place.bytes)) } }
                                    @else { (words::found(place.times, place.bytes)) }
                                }
                            }
                        }
                    }
                }
            }
        }
        p .quiet { (words::SEARCH_MESSAGES) }
    }
}

/// Messages beside the steps that are drawn in a chapter.
const BESIDE_MAX: usize = 12;
/// Of a message inside a hospital.
const PLAIN_LINES_MAX: usize = 40;
const PLAIN_LETTERS_MAX: usize = 120;
