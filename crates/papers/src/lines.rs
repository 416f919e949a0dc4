//! Lines of a paragraph: broken where Unicode lets them (UAX #14), within a word only where it is wider than a line.

use std::ops::Range;

use unicode_bidi::{BidiInfo, Level};
use unicode_linebreak::linebreaks;

use crate::face::{Face, Way};

/// What is drawn as one and never cut: a character with its marks, or a ligature. Widths are in em.
#[derive(Debug, Clone, Copy)]
struct Cluster {
    start: usize,
    end: usize,
    width: f32,
}

/// The text without what would break lines, hide, or turn others around: all white space and control characters are one
/// space, and what is no character for people (PDF/UA-1 refuses it) is gone.
pub(crate) fn tidy(text: &str) -> String {
    let seen = text.chars().map(|one| if one.is_whitespace() || one.is_control() { ' ' } else { one });
    let mut tidied = String::with_capacity(text.len());
    for one in seen.filter(|one| !is_unwanted(*one)) {
        if one != ' ' || !(tidied.is_empty() || tidied.ends_with(' ')) {
            tidied.push(one);
        }
    }
    tidied
}

/// Marks that turn the direction of text around for what follows, byte order marks and noncharacters.
fn is_unwanted(one: char) -> bool {
    matches!(one, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}' | '\u{fdd0}'..='\u{fdef}')
        || u32::from(one) & 0xfffe == 0xfffe
}

/// Lines no wider than so many em, as ranges of a tidied text. Only a single cluster may be wider.
pub(crate) fn lines(face: &Face, text: &str, width: f32) -> Vec<Range<usize>> {
    let clusters = clusters(face, text);
    let mut rest = clusters.as_slice();
    let mut lines = Vec::new();
    let (mut start, mut reached) = (0, 0.0);
    let mut set = |unit: &[Cluster]| {
        let Some(first) = unit.first() else { return };
        if first.start > start && reached + inked(text, unit) > width {
            lines.push(start..first.start);
            (start, reached) = (first.start, 0.0);
        }
        reached += unit.iter().map(|one| one.width).sum::<f32>();
    };
    for (end, _) in linebreaks(text) {
        let (unit, after) = rest.split_at(rest.partition_point(|one| one.start < end));
        rest = after;
        if inked(text, unit) <= width {
            set(unit);
        } else {
            unit.chunks(1).for_each(&mut set);
        }
    }
    if start < text.len() {
        lines.push(start..text.len());
    }
    lines
}

/// What must fit at the end of a line: all but the white space there.
fn inked(text: &str, unit: &[Cluster]) -> f32 {
    let is_space = |one: &&Cluster| text.get(one.start..one.end).is_some_and(|it| it.trim().is_empty());
    let spaces = unit.iter().rev().take_while(is_space).count();
    unit.iter().take(unit.len() - spaces).map(|one| one.width).sum()
}

fn clusters(face: &Face, text: &str) -> Vec<Cluster> {
    let mut clusters: Vec<Cluster> = Vec::new();
    for (run, way) in runs(text, 0..text.len()) {
        for glyph in face.shape(text, run, way) {
            match clusters.last_mut() {
                Some(last) if last.start == glyph.range.start => last.width += glyph.advance,
                _ => {
                    let Range { start, end } = glyph.range;
                    clusters.push(Cluster { start, end, width: glyph.advance });
                }
            }
        }
    }
    clusters.sort_by_key(|one| one.start);
    clusters
}

/// Runs of one direction within a line of a tidied text, in the order in which they stand from left to right (UAX #9).
/// A paragraph begins at the left.
pub(crate) fn runs(text: &str, line: Range<usize>) -> Vec<(Range<usize>, Way)> {
    let bidi = BidiInfo::new(text, Some(Level::ltr()));
    let Some(paragraph) = bidi.paragraphs.first() else { return Vec::new() };
    let (levels, runs) = bidi.visual_runs(paragraph, line);
    let way = |run: &Range<usize>| match levels.get(run.start) {
        Some(level) if level.is_rtl() => Way::Left,
        _ => Way::Right,
    };
    runs.into_iter().map(|run| (run.clone(), way(&run))).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::indexing_slicing)]

    use super::*;

    fn broken(text: &str, width: f32) -> Vec<String> {
        let face = Face::open().unwrap();
        let text = tidy(text);
        let lines = lines(&face, &text, width);
        for line in &lines {
            let wide = inked(&text[line.clone()], &clusters(&face, &text[line.clone()]));
            assert!(wide <= width + 0.05, "{:?} is {wide} em wide", &text[line.clone()]);
        }
        assert_eq!(lines.iter().map(|line| &text[line.clone()]).collect::<String>(), text, "nothing is lost");
        lines.into_iter().map(|line| text[line].to_owned()).collect()
    }

    #[test]
    fn lines_end_between_words() {
        assert_eq!(broken("one in the morning, one at night", 8.0), ["one in the ", "morning, one at ", "night"]);
        assert_eq!(broken("", 8.0), [""; 0]);
        assert_eq!(broken(" \n\t", 8.0), [""; 0]);
    }

    #[test]
    fn a_word_that_is_wider_than_a_line_is_cut() {
        let long = "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft";
        assert!(broken(long, 10.0).len() > 3);
        // Marks stay with their letter.
        for line in broken(&"e\u{301}\u{323}".repeat(50), 6.0) {
            assert!(line.starts_with('e') && line.ends_with('\u{323}'), "{line:?}");
        }
        // What the font lacks has a width as well, and so ends.
        assert!(broken(&"病院".repeat(40), 10.0).len() > 5);
    }

    #[test]
    fn what_is_read_from_the_right_stands_so() {
        let face = Face::open().unwrap();
        let text = "Name: דוד 17";
        let runs = runs(text, 0..text.len());
        assert_eq!(runs.iter().map(|(_, way)| *way).collect::<Vec<_>>(), [Way::Right, Way::Right, Way::Left]);
        assert_eq!(&text[runs[1].0.clone()], "17", "{runs:?}");
        // Arabic letters join: in the middle of a word they are other glyphs than alone.
        let glyph =
            |text: &str| face.shape(text, 0..text.len(), Way::Left).iter().map(|one| one.id).collect::<Vec<_>>();
        assert_ne!(glyph("ببب"), glyph("ب").repeat(3));
    }

    #[test]
    fn nothing_hides_or_turns_text_around() {
        let hostile = "a\u{0}b\r\nc\u{202e}d\u{2066}e\u{feff}f\u{ffff}g\u{1fffe}h\u{2028}\u{85}i";
        assert_eq!(tidy(hostile), "a b cdefgh i");
    }
}
