//! Where each line stands: on which sheet, and where there. Lengths are in points, from the top left corner.

use std::ops::Range;

use crate::face::Face;
use crate::lines::{lines, tidy};
use crate::{Aside, PAGES_MAX, Paper, PaperError, Part, Text};

/// A paper, set.
#[derive(Debug, Default)]
pub(crate) struct Sheets {
    pub(crate) paragraphs: Vec<Paragraph>,
    /// In the order in which they are read.
    pub(crate) rows: Vec<Row>,
    /// What belongs together, by places in `paragraphs`.
    pub(crate) groups: Vec<Group>,
    /// The last sheet, and how far it is filled.
    sheet: usize,
    y: f32,
}

/// A text with its look.
#[derive(Debug)]
pub(crate) struct Paragraph {
    pub(crate) text: String,
    /// The bytes that it begins with in bold.
    pub(crate) strong: usize,
    pub(crate) look: Look,
}

/// How letters look.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Look {
    pub(crate) size: f32,
    /// 0 is black, 255 white.
    pub(crate) grey: u8,
    /// From one line to the next.
    leading: f32,
}

/// A line where it stands.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) paragraph: usize,
    pub(crate) range: Range<usize>,
    pub(crate) sheet: usize,
    pub(crate) x: f32,
    /// Of the line on which letters stand.
    pub(crate) y: f32,
}

/// What whoever has it read to them is told about paragraphs.
#[derive(Debug)]
pub(crate) enum Group {
    /// A heading: its level, and itself.
    Heading(u16, usize),
    Paragraph(usize),
    List(Vec<Item>),
}

/// A thing of a list.
#[derive(Debug)]
pub(crate) struct Item {
    pub(crate) bullet: usize,
    pub(crate) paragraphs: Vec<usize>,
}

/// A paragraph whose lines are known and stand nowhere yet.
struct Broken {
    paragraph: Paragraph,
    lines: Vec<Range<usize>>,
}

impl Broken {
    fn height(&self) -> f32 {
        #[allow(clippy::cast_precision_loss, reason = "texts have few lines")]
        let count = self.lines.len() as f32;
        count * self.paragraph.look.leading
    }
}

impl Sheets {
    /// Sets a paper.
    pub(crate) fn of(face: &Face, paper: &Paper<'_>) -> Result<Self, PaperError> {
        let mut sheets = Self { y: TOP, ..Self::default() };
        let heading = |text: &str, look| broken(face, &Text::new(text, ""), look, MARGIN);
        let title = sheets.set(heading(paper.title, TITLE), MARGIN);
        sheets.groups.push(Group::Heading(1, title));
        for part in &paper.parts {
            sheets.part(face, part);
            if sheets.sheet >= PAGES_MAX {
                return Err(PaperError::TooLong);
            }
        }
        Ok(sheets)
    }

    fn part(&mut self, face: &Face, part: &Part) {
        match part {
            Part::Heading(text) => {
                let heading = broken(face, &Text::new(text.as_str(), ""), HEADING, MARGIN);
                // A heading that says nothing is none (PDF/UA-1).
                if heading.lines.is_empty() {
                    return;
                }
                self.y += HEADING_GAP;
                // Never alone at the foot of a sheet.
                self.need(heading.height() + 3.0 * BODY.leading);
                let heading = self.set(heading, MARGIN);
                self.groups.push(Group::Heading(2, heading));
            }
            Part::Text(text) => {
                self.y += GAP;
                let paragraph = self.set(broken(face, text, look(text), MARGIN), MARGIN);
                self.groups.push(Group::Paragraph(paragraph));
            }
            Part::List(things) => {
                let items = things.iter().map(|thing| self.item(face, thing)).collect();
                self.groups.push(Group::List(items));
            }
        }
    }

    fn item(&mut self, face: &Face, thing: &[Text]) -> Item {
        let texts: Vec<Broken> = thing.iter().map(|text| broken(face, text, look(text), INDENT)).collect();
        self.y += GAP;
        self.need(texts.iter().map(Broken::height).sum());
        let (sheet, y) = (self.sheet, self.y);
        let bullet = self.set(broken(face, &Text::new("", BULLET), BODY, MARGIN), MARGIN);
        // The text begins on the bullet's line.
        (self.sheet, self.y) = (sheet, y);
        Item { bullet, paragraphs: texts.into_iter().map(|text| self.set(text, INDENT)).collect() }
    }

    /// Goes to a new sheet if this height does not fit on the last one, but would on a new one.
    fn need(&mut self, height: f32) {
        if self.y + height > BOTTOM && height <= BOTTOM - TOP {
            self.turn();
        }
    }

    fn turn(&mut self) {
        self.sheet += 1;
        self.y = TOP;
    }

    /// Puts the lines of a paragraph below what is there; gives back its place.
    fn set(&mut self, broken: Broken, x: f32) -> usize {
        let paragraph = self.paragraphs.len();
        let look = broken.paragraph.look;
        for range in broken.lines {
            if self.y + look.leading > BOTTOM {
                self.turn();
            }
            let y = self.y + look.size;
            self.rows.push(Row { paragraph, range, sheet: self.sheet, x, y });
            self.y += look.leading;
        }
        self.paragraphs.push(broken.paragraph);
        paragraph
    }
}

fn look(text: &Text) -> Look {
    match text.aside {
        Aside::No => BODY,
        Aside::Yes => ASIDE,
    }
}

fn broken(face: &Face, text: &Text, look: Look, x: f32) -> Broken {
    let strong = tidy(&text.strong).len();
    let text = tidy(&format!("{}{}", text.strong, text.plain));
    let lines = lines(face, &text, (WIDTH - MARGIN - x) / look.size);
    Broken { paragraph: Paragraph { text, strong, look }, lines }
}

/// A4 (ISO 216).
pub(crate) const WIDTH: f32 = 595.0;
pub(crate) const HEIGHT: f32 = 842.0;
/// White at both sides.
pub(crate) const MARGIN: f32 = 56.0;
/// Where things of a list begin.
const INDENT: f32 = MARGIN + 14.0;
const TOP: f32 = 56.0;
const BOTTOM: f32 = HEIGHT - 70.0;
/// Where the foot's letters stand.
pub(crate) const FOOT: f32 = HEIGHT - 40.0;
/// Above headings, and above everything else.
const HEADING_GAP: f32 = 14.0;
const GAP: f32 = 4.0;
const BULLET: &str = "•";
const TITLE: Look = Look { size: 18.0, grey: 0, leading: 26.0 };
const HEADING: Look = Look { size: 13.0, grey: 0, leading: 19.0 };
const BODY: Look = Look { size: 10.0, grey: 0, leading: 14.5 };
pub(crate) const ASIDE: Look = Look { size: 8.5, grey: 80, leading: 12.0 };

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]

    use time::OffsetDateTime;

    use super::*;

    fn set(parts: Vec<Part>) -> Result<Sheets, PaperError> {
        let made = OffsetDateTime::UNIX_EPOCH;
        let foot = |_, _| String::new();
        let paper = Paper { title: "A title", language: "en", producer: "test", made, foot, parts };
        Sheets::of(&Face::open().unwrap(), &paper)
    }

    /// No line of letters reaches into another, into the foot or over the edge.
    fn overlaps(sheets: &Sheets) {
        let face = Face::open().unwrap();
        let is_bullet = |row: &&Row| sheets.paragraphs[row.paragraph].text != BULLET;
        let rows: Vec<&Row> = sheets.rows.iter().filter(is_bullet).collect();
        for row in &rows {
            let Paragraph { text, look, .. } = &sheets.paragraphs[row.paragraph];
            let line = text[row.range.clone()].trim_end();
            let wide: f32 = crate::lines::runs(line, 0..line.len())
                .into_iter()
                .flat_map(|(run, way)| face.shape(line, run, way))
                .map(|glyph| glyph.advance * look.size)
                .sum();
            // A joined script that is cut within a word ends in a letter of another form, which may be wider.
            assert!(row.x + wide <= WIDTH - MARGIN + look.size / 2.0, "{line:?} reaches to {}", row.x + wide);
            assert!(row.y - look.size >= TOP && row.y <= BOTTOM, "{line:?} at {}", row.y);
        }
        for pair in rows.windows(2) {
            let size = sheets.paragraphs[pair[1].paragraph].look.size;
            let follows = pair[1].sheet == pair[0].sheet + 1;
            assert!(follows || pair[1].sheet == pair[0].sheet && pair[1].y - size >= pair[0].y, "{pair:?}");
        }
    }

    #[test]
    fn nothing_overlaps_whatever_it_is() {
        let words = ["Ibuprofen", "Αμοξικιλλίνη", "Парацетамол", "איבופרופן", "إيبوبروفين", "病院で処方された薬", "🦷"];
        let long = words.map(|word| word.repeat(30)).join(" ");
        let thing = |number: usize| {
            let word = words[number % words.len()];
            vec![
                Text::new(word, format!(": {}", long.get(..number).unwrap_or(word))),
                Text::aside(word.repeat(number % 40)),
            ]
        };
        let parts = vec![
            Part::Text(Text::new("", long.clone())),
            Part::Heading(long.clone()),
            Part::List((0..150).map(thing).collect()),
            Part::List(vec![vec![Text::new(long.repeat(20), "")]]),
            Part::Text(Text::default()),
        ];
        let sheets = set(parts).unwrap();
        overlaps(&sheets);
        assert!(sheets.sheet > 5, "{}", sheets.sheet);
    }

    #[test]
    fn a_heading_and_a_thing_stay_with_what_belongs_to_them() {
        let thing = || vec![Text::new("Name", ""), Text::new("", "one"), Text::aside("two")];
        for before in 0..60 {
            let mut parts: Vec<Part> = (0..before).map(|_| Part::Text(Text::new("x", ""))).collect();
            parts.extend([Part::Heading("Heading".to_owned()), Part::List(vec![thing(), thing()])]);
            let sheets = set(parts).unwrap();
            overlaps(&sheets);
            let sheet = |paragraph: usize| sheets.rows.iter().find(|row| row.paragraph == paragraph).unwrap().sheet;
            let Some(Group::List(items)) = sheets.groups.last() else { panic!("no list") };
            let heading = items[0].bullet - 1;
            assert_eq!(sheet(heading), sheet(items[0].bullet), "{before}");
            for item in items {
                for paragraph in &item.paragraphs {
                    assert_eq!(sheet(*paragraph), sheet(item.bullet), "{before}");
                }
            }
        }
    }

    #[test]
    fn a_paper_has_an_end() {
        let endless = vec![Part::Text(Text::new("", "x")); 20_000];
        assert!(matches!(set(endless), Err(PaperError::TooLong)));
    }
}
