//! Text on A4 pages, as a PDF: lines that are broken where Unicode lets them, pages with numbers, a tree of tags for whoever
//! has it read to them (PDF/UA-1), and one font that goes along, cut down to the characters that occur.
//!
//! Nothing here knows a record. Who calls gives texts, which may hold anything, and gets bytes. A character that the font
//! does not have is drawn as a box; whoever copies it gets the character.

mod face;
mod lines;
mod sheets;
mod write;

use thiserror::Error;
use time::OffsetDateTime;

/// What is put on pages.
#[derive(Debug, Clone)]
pub struct Paper<'a> {
    /// Its title: the first line, and what a reader's window shows. No patient's data: readers list it.
    pub title: &'a str,
    /// Its language (RFC 5646).
    pub language: &'a str,
    /// The program that makes it.
    pub producer: &'a str,
    /// When it was made.
    pub made: OffsetDateTime,
    /// What stands at the foot of a page: by its number, and how many there are.
    pub foot: fn(usize, usize) -> String,
    /// What follows the title.
    pub parts: Vec<Part>,
}

/// A part of it, in order from the top.
#[derive(Debug, Clone)]
pub enum Part {
    /// The heading of what follows.
    Heading(String),
    /// A paragraph.
    Text(Text),
    /// Things, each with its paragraphs. One stays on a page with all of them where it can.
    List(Vec<Vec<Text>>),
}

/// A paragraph.
#[derive(Debug, Clone, Default)]
pub struct Text {
    /// How it begins, in bold.
    pub strong: String,
    /// How it goes on.
    pub plain: String,
    /// Whether it is by the way.
    pub aside: Aside,
}

/// Whether something is by the way, and so in small grey letters.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Aside {
    /// It is not.
    #[default]
    No,
    /// It is.
    Yes,
}

impl Text {
    /// A paragraph that begins in bold.
    pub fn new(strong: impl Into<String>, plain: impl Into<String>) -> Self {
        Self { strong: strong.into(), plain: plain.into(), aside: Aside::No }
    }

    /// One that is by the way.
    pub fn aside(plain: impl Into<String>) -> Self {
        Self { strong: String::new(), plain: plain.into(), aside: Aside::Yes }
    }
}

/// Why there is no PDF. Each is our own fault but the length.
#[derive(Debug, Error)]
pub enum PaperError {
    /// The font does not open.
    #[error("the font of papers cannot be read")]
    Font,
    /// It would be too long.
    #[error("a paper would have more than {PAGES_MAX} pages")]
    TooLong,
    /// The library refused.
    #[error("a paper cannot be written: {0}")]
    Write(String),
}

impl Paper<'_> {
    /// The PDF.
    ///
    /// # Errors
    /// [`PaperError::TooLong`] above [`PAGES_MAX`] pages; the others if this crate is broken.
    pub fn pdf(&self) -> Result<Vec<u8>, PaperError> {
        let face = face::Face::open().ok_or(PaperError::Font)?;
        let sheets = sheets::Sheets::of(&face, self)?;
        write::pdf(&face, self, &sheets)
    }
}

/// Most pages.
pub const PAGES_MAX: usize = 500;
