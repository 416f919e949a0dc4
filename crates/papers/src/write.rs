//! Sheets as a PDF: what is drawn, and the tree of tags over it.

use std::num::NonZeroU16;
use std::ops::Range;

use krilla::color::luma;
use krilla::configure::{Accessibility, ConfigurationBuilder};
use krilla::destination::XyzDestination;
use krilla::geom::Point;
use krilla::metadata::{DateTime, Metadata};
use krilla::outline::{Outline, OutlineNode};
use krilla::page::PageSettings;
use krilla::paint::{Fill, Stroke};
use krilla::surface::Surface;
use krilla::tagging::{
    Artifact, ArtifactType, ContentTag, Identifier, ListNumbering, SpanTag, Tag, TagGroup, TagKind, TagTree,
};
use krilla::text::{GlyphId, KrillaGlyph};
use krilla::{Document, SerializeSettings};
use time::OffsetDateTime;

use crate::face::{Face, Way};
use crate::lines::{runs, tidy};
use crate::sheets::{ASIDE, FOOT, Group, HEIGHT, Look, MARGIN, Paragraph, Sheets, WIDTH};
use crate::{Paper, PaperError};

/// Writes it.
pub(crate) fn pdf(face: &Face, paper: &Paper<'_>, sheets: &Sheets) -> Result<Vec<u8>, PaperError> {
    let refused = |error: &dyn std::fmt::Debug| PaperError::Write(format!("{error:?}"));
    let accessible = ConfigurationBuilder::new().with_accessibility_validator(Accessibility::UA1).finish();
    let configuration = accessible.map_err(|error| refused(&error))?;
    let mut document = Document::new_with(SerializeSettings { configuration, ..SerializeSettings::default() });
    let settings =
        PageSettings::from_wh(WIDTH, HEIGHT).ok_or_else(|| PaperError::Write("the size of a page".to_owned()))?;
    let count = sheets.rows.last().map_or(1, |row| row.sheet + 1);
    // What is drawn of each paragraph, on one page or several.
    let mut drawn: Vec<Vec<Identifier>> = sheets.paragraphs.iter().map(|_| Vec::new()).collect();
    for sheet in 0..count {
        let mut page = document.start_page_with(settings.clone());
        let mut surface = page.surface();
        for row in sheets.rows.iter().filter(|row| row.sheet == sheet) {
            let paragraph = sheets.paragraphs.get(row.paragraph).zip(drawn.get_mut(row.paragraph));
            let Some((paragraph, drawn)) = paragraph else { continue };
            drawn.push(surface.start_tagged(ContentTag::Span(SpanTag::empty())));
            line(face, &mut surface, paragraph, row.range.clone(), Point::from_xy(row.x, row.y));
            surface.end_tagged();
        }
        surface.start_tagged(ContentTag::Artifact(Artifact::with_kind(ArtifactType::Footer)));
        let foot = Paragraph { text: tidy(&(paper.foot)(sheet + 1, count)), strong: 0, look: ASIDE };
        line(face, &mut surface, &foot, 0..foot.text.len(), Point::from_xy(MARGIN, FOOT));
        surface.end_tagged();
        surface.finish();
        page.finish();
    }
    document.set_tag_tree(tags(sheets, &drawn));
    document.set_outline(outline(sheets));
    document.set_metadata(metadata(paper));
    document.finish().map_err(|error| refused(&error))
}

/// Draws a line, run by run from the left.
fn line(face: &Face, surface: &mut Surface<'_>, paragraph: &Paragraph, range: Range<usize>, at: Point) {
    let mut x = at.x;
    for (run, way) in runs(&paragraph.text, range) {
        let cut = paragraph.strong.clamp(run.start, run.end);
        let mut pieces = [(run.start..cut, true), (cut..run.end, false)];
        if way == Way::Left {
            pieces.reverse();
        }
        for (piece, strong) in pieces {
            let glyphs: Vec<KrillaGlyph> = face
                .shape(&paragraph.text, piece, way)
                .into_iter()
                .map(|one| {
                    let (right, up) = one.offset;
                    KrillaGlyph::new(GlyphId::new(one.id), one.advance, right, up, 0.0, one.range, None)
                })
                .collect();
            if glyphs.is_empty() {
                continue;
            }
            ink(surface, paragraph.look, strong);
            let Look { size, .. } = paragraph.look;
            surface.draw_glyphs(Point::from_xy(x, at.y), &glyphs, face.font.clone(), &paragraph.text, size, false);
            x += glyphs.iter().map(|glyph| glyph.x_advance * size).sum::<f32>();
        }
    }
}

/// Bold letters are the same ones with an outline, so that one font does.
fn ink(surface: &mut Surface<'_>, look: Look, strong: bool) {
    let paint = luma::Color::new(look.grey);
    surface.set_fill(Some(Fill { paint: paint.into(), ..Fill::default() }));
    let width = look.size * BOLD_EM;
    surface.set_stroke(strong.then(|| Stroke { paint: paint.into(), width, ..Stroke::default() }));
}

fn tags(sheets: &Sheets, drawn: &[Vec<Identifier>]) -> TagTree {
    let leaf = |tag: TagKind, paragraph: usize| {
        let mut group = TagGroup::new(tag);
        drawn.get(paragraph).into_iter().flatten().for_each(|one| group.push(*one));
        group
    };
    let mut tree = TagTree::new();
    for group in &sheets.groups {
        match group {
            Group::Heading(level, paragraph) => {
                let level = NonZeroU16::new(*level).unwrap_or(NonZeroU16::MIN);
                tree.push(leaf(Tag::Hn(level, text(sheets, *paragraph)).into(), *paragraph));
            }
            Group::Paragraph(paragraph) => tree.push(leaf(Tag::P.into(), *paragraph)),
            Group::List(items) => {
                let mut list = TagGroup::new(Tag::L(ListNumbering::Disc));
                for item in items {
                    let mut body = TagGroup::new(Tag::LBody);
                    item.paragraphs.iter().for_each(|one| body.push(leaf(Tag::P.into(), *one)));
                    let mut group = TagGroup::new(Tag::LI);
                    group.push(leaf(Tag::Lbl.into(), item.bullet));
                    group.push(body);
                    list.push(group);
                }
                tree.push(list);
            }
        }
    }
    tree
}

/// The headings, to jump to.
fn outline(sheets: &Sheets) -> Outline {
    let mut outline = Outline::new();
    for group in &sheets.groups {
        let Group::Heading(_, paragraph) = group else { continue };
        let row = sheets.rows.iter().find(|row| row.paragraph == *paragraph);
        if let (Some(row), Some(text)) = (row, text(sheets, *paragraph)) {
            let top = Point::from_xy(row.x, (row.y - JUMP).max(0.0));
            outline.push_child(OutlineNode::new(text, XyzDestination::new(row.sheet, top)));
        }
    }
    outline
}

fn text(sheets: &Sheets, paragraph: usize) -> Option<String> {
    sheets.paragraphs.get(paragraph).map(|one| one.text.clone())
}

fn metadata(paper: &Paper<'_>) -> Metadata {
    let made: OffsetDateTime = paper.made.to_offset(time::UtcOffset::UTC);
    let date = DateTime::new(made.year().try_into().unwrap_or_default())
        .month(made.month().into())
        .day(made.day())
        .hour(made.hour())
        .minute(made.minute())
        .second(made.second())
        .utc_offset_hour(0)
        .utc_offset_minute(0);
    Metadata::new()
        .title(paper.title.to_owned())
        .language(paper.language.to_owned())
        .producer(paper.producer.to_owned())
        .creation_date(date)
}

/// Width of the outline of bold letters.
const BOLD_EM: f32 = 0.03;
/// So far above a heading's letters one lands.
const JUMP: f32 = 24.0;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

    use std::io::Write as _;
    use std::process::{Command, Stdio};

    use super::*;
    use crate::{Part, Text};

    fn paper(parts: Vec<Part>) -> Paper<'static> {
        Paper {
            title: "Summary",
            language: "en",
            producer: "Sealwort",
            made: OffsetDateTime::from_unix_timestamp(1_780_000_000).unwrap(),
            foot: |page, of| format!("Page {page} of {of}"),
            parts,
        }
    }

    /// What another program reads in it, page by page; none where it is not installed.
    fn read_back(pdf: &[u8]) -> Option<Vec<String>> {
        let command = ["-enc", "UTF-8", "-layout", "-", "-"];
        let child = Command::new("pdftotext").args(command).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
        let Ok(mut child) = child else {
            eprintln!("SKIPPED: pdftotext is not installed; run scripts/install.sh");
            return None;
        };
        child.stdin.take().unwrap().write_all(pdf).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success());
        let text = String::from_utf8(output.stdout).unwrap();
        Some(text.trim_end_matches('\u{c}').split('\u{c}').map(str::to_owned).collect())
    }

    fn holds(pdf: &[u8], wanted: &str) -> bool {
        pdf.windows(wanted.len()).any(|window| window == wanted.as_bytes())
    }

    #[test]
    fn another_program_reads_what_was_written() {
        let thing = |number: usize| {
            vec![Text::new(format!("Ибупрофен {number}"), ": μία το πρωί"), Text::aside("Dr Łukasz Müller")]
        };
        let pdf = paper(vec![
            Part::Text(Text::new("For: ", "Ada Beispiel")),
            Part::Heading("Medicines".to_owned()),
            Part::List((0..60).map(thing).collect()),
        ])
        .pdf()
        .unwrap();
        assert!(pdf.starts_with(b"%PDF-1.7"));
        for mark in ["/StructTreeRoot", "/MarkInfo", "/Lang", "/LBody", "pdfuaid", "DejaVuSans"] {
            assert!(holds(&pdf, mark), "{mark}");
        }
        assert!(!holds(&pdf, "/JavaScript") && !holds(&pdf, "/URI"));
        assert!(pdf.len() < 60_000, "the font is cut down: {}", pdf.len());
        let Some(pages) = read_back(&pdf) else { return };
        assert!(pages.len() > 1);
        for (at, page) in pages.iter().enumerate() {
            assert!(page.contains(&format!("Page {} of {}", at + 1, pages.len())), "{page}");
        }
        for wanted in ["Summary", "For: Ada Beispiel", "Medicines", "Ибупрофен 59: μία το πρωί", "Dr Łukasz Müller"]
        {
            assert!(pages.iter().any(|page| page.contains(wanted)), "{wanted}: {pages:#?}");
        }
    }

    /// Whatever the characters are, there is a PDF that holds to the standard: the library refuses one that does not.
    #[test]
    fn any_characters_can_be_written() {
        let all = (0..=u32::from(char::MAX)).filter(|code| *code < 0x3000 || code % 61 == 0).filter_map(char::from_u32);
        let all: Vec<char> = all.collect();
        let texts: Vec<Part> =
            all.chunks(300).map(|some| Part::Text(Text::new(String::from_iter(some), "!"))).collect();
        let pdf = paper(texts).pdf().unwrap();
        assert!(pdf.starts_with(b"%PDF-1.7"));
        // What is empty is left out, also where there is nothing else.
        let parts = vec![
            Part::Heading(String::new()),
            Part::Text(Text::default()),
            Part::List(vec![vec![], vec![Text::default()]]),
        ];
        assert!(paper(parts).pdf().unwrap().starts_with(b"%PDF-1.7"));
        assert!(paper(Vec::new()).pdf().unwrap().starts_with(b"%PDF-1.7"));
    }
}
