//! The font, and text as its glyphs.

use std::collections::BTreeSet;
use std::ops::Range;

use harfrust::{Direction, FontRef, ShapeOptions, ShaperData, UnicodeBuffer};
use krilla::text::Font;

/// The font, open.
pub(crate) struct Face {
    /// As it is written into a PDF.
    pub(crate) font: Font,
    reader: FontRef<'static>,
    shaping: ShaperData,
    units_per_em: f32,
    /// Stands for each character that the font does not have.
    lacking: Option<(u32, f32)>,
}

/// A glyph where it belongs. Lengths are in em, so that they hold for every size.
#[derive(Debug, Clone)]
pub(crate) struct Glyph {
    pub(crate) id: u32,
    /// The bytes of the text that it shows, alone or with its neighbours.
    pub(crate) range: Range<usize>,
    pub(crate) advance: f32,
    pub(crate) offset: (f32, f32),
}

/// The way in which a run of text is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    Right,
    Left,
}

impl Face {
    /// Opens what is compiled in.
    pub(crate) fn open() -> Option<Self> {
        let font = Font::new(DEJAVU_SANS.into(), 0)?;
        let reader = FontRef::new(DEJAVU_SANS).ok()?;
        let shaping = ShaperData::new(&reader);
        let units_per_em = font.units_per_em();
        let mut face = Self { font, reader, shaping, units_per_em, lacking: None };
        face.lacking = face.shape(LACKING, 0..LACKING.len(), Way::Right).first().map(|one| (one.id, one.advance));
        Some(face)
    }

    /// Glyphs of a part of a text in the order in which they stand from left to right. The part must end between
    /// characters; one that does not has none.
    pub(crate) fn shape(&self, text: &str, part: Range<usize>, way: Way) -> Vec<Glyph> {
        let Some(piece) = text.get(part.clone()) else { return Vec::new() };
        let mut buffer = UnicodeBuffer::new();
        buffer.push_str(piece);
        buffer.set_direction(match way {
            Way::Right => Direction::LeftToRight,
            Way::Left => Direction::RightToLeft,
        });
        buffer.guess_segment_properties();
        let shaped = self.shaping.shaper(&self.reader).build().shape(buffer, ShapeOptions::new());
        // Glyphs of one cluster show its characters together: all up to where the next begins.
        let clusters: BTreeSet<usize> = shaped.glyph_infos().iter().map(|info| info.cluster as usize).collect();
        let next = |cluster: usize| clusters.range(cluster + 1..).next().copied().unwrap_or(piece.len());
        #[allow(clippy::cast_precision_loss, reason = "font units are small")]
        let em = |units: i32| units as f32 / self.units_per_em;
        let glyphs = shaped.glyph_infos().iter().zip(shaped.glyph_positions());
        glyphs
            .map(|(info, position)| {
                let cluster = info.cluster as usize;
                let range = part.start + cluster..part.start + next(cluster);
                let offset = (em(position.x_offset), em(position.y_offset));
                match self.lacking {
                    Some((id, advance)) if info.glyph_id == 0 => Glyph { id, range, advance, offset },
                    _ => Glyph { id: info.glyph_id, range, advance: em(position.x_advance), offset },
                }
            })
            .collect()
    }
}

/// DejaVu Sans: Latin, Greek, Cyrillic, Hebrew, Arabic and more, free to pass on.
const DEJAVU_SANS: &[u8] = include_bytes!("../font/DejaVuSans.ttf");
/// Drawn for what is lacking.
const LACKING: &str = "□";
