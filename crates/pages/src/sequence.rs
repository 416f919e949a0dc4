//! Sequence diagrams as SVG: who speaks along the top, one row for each message in the order in which they were sent.
//! Drawn as wide as a phone shows it, and scaled up elsewhere, so that its text can be read on both. Each message is a
//! link whose name says in words what the arrow draws.

use maud::{Markup, html};

/// Somebody who sends and receives.
#[derive(Debug, Clone, Copy)]
pub struct Lane<'a> {
    /// Name, in the first line.
    pub name: &'a str,
    /// What it is, in the second.
    pub role: &'a str,
    /// Drawn paler: takes no part.
    pub idle: bool,
}

/// What kind of message is drawn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// A numbered step.
    Step,
    /// What goes on beside the steps.
    Beside,
    /// The end: somebody says no.
    Refused,
}

/// One arrow.
#[derive(Debug, Clone)]
pub struct Message {
    /// Identifies it in the page.
    pub id: String,
    /// Place of the sender's lane.
    pub from: usize,
    /// Place of the receiver's lane.
    pub to: usize,
    /// Place of a lane that passes it on without reading it.
    pub through: Option<usize>,
    /// Number in the sender's circle, if it has one.
    pub number: String,
    /// What it says.
    pub label: String,
    /// In smaller letters below.
    pub detail: String,
    /// What is read out instead of the drawing.
    pub name: String,
    /// Where more is told about it.
    pub href: String,
    /// Whether that is what the page shows.
    pub current: bool,
    /// How it is drawn.
    pub look: Look,
    /// Where it is new: how many new ones appear before it does.
    pub turn: Option<usize>,
}

/// A row of a diagram.
#[derive(Debug, Clone)]
pub enum Row {
    /// A heading over what follows.
    Heading(String),
    /// A message.
    Message(Box<Message>),
}

/// A diagram.
#[derive(Debug, Clone)]
pub struct Sequence<'a> {
    /// A sentence that says what is drawn.
    pub label: &'a str,
    /// From left to right, at least two.
    pub lanes: &'a [Lane<'a>],
    /// From top to bottom.
    pub rows: &'a [Row],
}

impl Sequence<'_> {
    /// The picture.
    pub fn svg(&self) -> Markup {
        let mut top = HEAD;
        let placed: Vec<(u32, &Row)> = self
            .rows
            .iter()
            .map(|row| {
                let at = top;
                top += height(row);
                (at, row)
            })
            .collect();
        let bottom = top + FOOT;
        html! {
            svg .sequence viewBox={"0 0 " (WIDTH) " " (bottom)} role="group" aria-label=(self.label) {
                @for (place, lane) in self.lanes.iter().enumerate() {
                    @let x = self.x(place);
                    g .lane .idle[lane.idle] aria-hidden="true" {
                        line x1=(x) y1="36" x2=(x) y2=(bottom) {}
                        rect x=(x - LANE_HALF) y="2" width=(2 * LANE_HALF) height="34" rx="5" {}
                        text .who x=(x) y="16" { (lane.name) }
                        text .what x=(x) y="29" { (lane.role) }
                    }
                }
                @for (at, row) in &placed {
                    @match row {
                        Row::Heading(text) => {
                            g .heading aria-hidden="true" {
                                line x1="4" y1=(at + 17) x2=(WIDTH - 4) y2=(at + 17) {}
                                text x=(WIDTH / 2) y=(at + 21) { (text) }
                            }
                        }
                        Row::Message(message) => (self.message(message, *at)),
                    }
                }
            }
        }
    }

    fn message(&self, message: &Message, top: u32) -> Markup {
        let (from, to) = (self.x(message.from), self.x(message.to));
        let rightwards = to >= from;
        let y = top + ARROW;
        // From the edge of the sender's circle to the receiver's lane, with a head of two lines.
        let begin = if rightwards { from + RADIUS } else { from - RADIUS };
        let back = if rightwards { to.saturating_sub(HEAD_LENGTH) } else { to + HEAD_LENGTH };
        let head = format!("{to},{y} {back},{} {back},{}", y.saturating_sub(HEAD_HALF), y + HEAD_HALF);
        let lines = wrapped(&message.label, LABEL_LETTERS);
        let widest = lines.iter().map(|line| letters(line)).chain([letters(&message.detail)]).max().unwrap_or_default();
        let half = (widest * LETTER_WIDTH_TENTHS / 20).min(WIDTH / 2 - 4);
        let middle = u32::midpoint(from, to).clamp(half + 4, WIDTH - 4 - half);
        let detail_at = y + LINE + 3 + LINE * count(lines.len());
        html! {
            a #(message.id) .message .(look(message.look)) .(turn(message.turn))
                href=(message.href) aria-current=[message.current.then_some("true")] {
                // The name of the link: what is drawn, in words. What is seen is not read out a second time.
                text .spoken x=(from) y=(y) { (message.name) }
                rect .field x="1" y=(top) width=(WIDTH - 2) height=(height_of(lines.len())) rx="5" {}
                line .shaft x1=(begin) y1=(y) x2=(back) y2=(y) {}
                polygon .point points=(head) {}
                @if let Some(through) = message.through {
                    circle .through cx=(self.x(through)) cy=(y) r="4" {}
                }
                circle .from cx=(from) cy=(y) r=(if message.number.is_empty() { 4 } else { RADIUS }) {}
                @if !message.number.is_empty() { text .number aria-hidden="true" x=(from) y=(y + 4) { (message.number) } }
                @for (place, line) in lines.iter().enumerate() {
                    text .label aria-hidden="true" x=(middle) y=(y + LINE + 3 + LINE * count(place)) { (line) }
                }
                text .detail aria-hidden="true" x=(middle) y=(detail_at) { (message.detail) }
            }
        }
    }

    /// Where a lane is.
    fn x(&self, place: usize) -> u32 {
        let gaps = count(self.lanes.len()).saturating_sub(1).max(1);
        LANE_HALF + 2 + (WIDTH - 2 * LANE_HALF - 4) * count(place) / gaps
    }
}

fn look(look: Look) -> &'static str {
    match look {
        Look::Step => "step",
        Look::Beside => "beside",
        Look::Refused => "refused",
    }
}

fn turn(turn: Option<usize>) -> String {
    turn.map(|turn| format!("turn-{}", turn.min(TURNS_MAX))).unwrap_or_default()
}

fn height(row: &Row) -> u32 {
    match row {
        Row::Heading(_) => HEADING,
        Row::Message(message) => height_of(wrapped(&message.label, LABEL_LETTERS).len()),
    }
}

/// Of a message with so many lines of label and one of detail.
fn height_of(lines: usize) -> u32 {
    ARROW + LINE * (count(lines) + 1) + 8
}

/// Lines of at most so many letters, broken between words.
fn wrapped(text: &str, most: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= most => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

fn letters(text: &str) -> u32 {
    count(text.chars().count())
}

fn count(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

/// Width of every diagram, in its own units: about the pixels of a phone.
const WIDTH: u32 = 360;
/// Height of the lanes' heads.
const HEAD: u32 = 40;
/// Below the last row.
const FOOT: u32 = 8;
/// Half the width of a lane's head.
const LANE_HALF: u32 = 38;
/// From the top of a row to its arrow.
const ARROW: u32 = 14;
/// Height of a line of text.
const LINE: u32 = 13;
/// Height of a heading.
const HEADING: u32 = 28;
/// Of the circle with the number.
const RADIUS: u32 = 9;
/// Of an arrow's point.
const HEAD_LENGTH: u32 = 8;
/// Half its width.
const HEAD_HALF: u32 = 4;
/// Letters in a line of a label.
const LABEL_LETTERS: usize = 48;
/// Tenths of a unit that a letter is wide, at most.
const LETTER_WIDTH_TENTHS: u32 = 60;
/// The last turn of its own; those beyond appear with it. The style sheet has a delay for each.
const TURNS_MAX: usize = 23;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_are_drawn_in_their_order_and_their_words_are_text() {
        let lanes = ["A", "B", "C"].map(|name| Lane { name, role: "<role>", idle: name == "B" });
        let message = |id: &str, from, to, look| {
            Row::Message(Box::new(Message {
                id: id.to_owned(),
                from,
                to,
                through: Some(1),
                number: "7".to_owned(),
                label: "<script>alert(1)</script> and so many words that they need a second line".to_owned(),
                detail: "12 bytes".to_owned(),
                name: "\" onload=alert(1)".to_owned(),
                href: "/?step=7".to_owned(),
                current: id == "two",
                look,
                turn: Some(99),
            }))
        };
        let rows =
            [Row::Heading("First".to_owned()), message("one", 0, 2, Look::Step), message("two", 2, 0, Look::Refused)];
        let drawn = Sequence { label: "what", lanes: &lanes, rows: &rows }.svg().into_string();
        assert!(
            !drawn.contains("<script>")
                && drawn.contains("&quot; onload=alert(1)</text>")
                && drawn.contains("&lt;role&gt;"),
            "{drawn}"
        );
        let places = ["id=\"one\"", "id=\"two\""].map(|id| drawn.find(id));
        assert!(places[0].is_some() && places[0] < places[1], "{drawn}");
        assert_eq!(drawn.matches("aria-current=\"true\"").count(), 1, "{drawn}");
        assert!(!drawn.contains("style=") && drawn.contains("turn-23"), "{drawn}");
    }

    #[test]
    fn lines_break_between_words() {
        assert_eq!(wrapped("one two three", 7), ["one two", "three"]);
        assert_eq!(wrapped("unbreakable", 3), ["unbreakable"]);
        assert!(wrapped("  ", 3).is_empty());
    }
}
