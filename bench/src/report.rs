//! What a run found: rows for the table and for `--json`, and notes that are told on standard error as they come.
//! Only an aim that was set is judged; a row without one is there to be looked at.

use std::fmt;

use serde::Serialize;

/// Something that was measured, with what it is held against.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Row {
    /// Benchmark and part, dotted.
    name: String,
    /// What was measured, in words.
    what: String,
    measured: f64,
    unit: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    reference: Option<Reference>,
    /// Measured value divided by the reference.
    #[serde(skip_serializing_if = "Option::is_none")]
    ratio: Option<f64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    aim: Option<Aim>,
    #[serde(skip_serializing_if = "Option::is_none")]
    met: Option<bool>,
}

/// What a row is held against, in the same unit and from the same run.
#[derive(Debug, Clone, Serialize)]
struct Reference {
    what: String,
    value: f64,
}

/// What was aimed at.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Aim {
    /// Measured by reference.
    RatioAtMost(f64),
    /// Measured by reference.
    RatioAtLeast(f64),
    /// Measured by reference, at most so far from 1.
    RatioWithin(f64),
    /// The measured value itself.
    AtMost(f64),
    /// The measured value itself.
    AtLeast(f64),
}

/// A run's findings.
#[derive(Debug, Default, Serialize)]
pub(crate) struct Report {
    rows: Vec<Row>,
    notes: Vec<String>,
}

impl Row {
    pub(crate) fn new(name: impl Into<String>, what: impl Into<String>, measured: f64, unit: &'static str) -> Self {
        Self {
            name: name.into(),
            what: what.into(),
            measured,
            unit,
            reference: None,
            ratio: None,
            aim: None,
            met: None,
        }
    }

    /// Holds the row against a reference.
    pub(crate) fn against(mut self, what: impl Into<String>, value: f64) -> Self {
        self.ratio = Some(self.measured / value);
        self.reference = Some(Reference { what: what.into(), value });
        self
    }

    /// Judges the row. What is not a number meets nothing.
    pub(crate) fn aim(mut self, aim: Aim) -> Self {
        let ratio = self.ratio.unwrap_or(f64::NAN);
        self.met = Some(match aim {
            Aim::RatioAtMost(limit) => ratio <= limit,
            Aim::RatioAtLeast(limit) => ratio >= limit,
            Aim::RatioWithin(limit) => (ratio - 1.0).abs() <= limit,
            Aim::AtMost(limit) => self.measured <= limit,
            Aim::AtLeast(limit) => self.measured >= limit,
        });
        self.aim = Some(aim);
        self
    }

    fn cells(&self) -> [String; 6] {
        let reference = self.reference.as_ref().map(|r| format!("{} {} ({})", Number(r.value), self.unit, r.what));
        [
            self.name.clone(),
            format!("{} {} ({})", Number(self.measured), self.unit, self.what),
            reference.unwrap_or_default(),
            self.ratio.map(|ratio| format!("{ratio:.2}")).unwrap_or_default(),
            self.aim.map(|aim| aim.to_string()).unwrap_or_default(),
            self.met.map(|met| if met { "met" } else { "NOT MET" }.to_owned()).unwrap_or_default(),
        ]
    }
}

impl fmt::Display for Aim {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::RatioAtMost(limit) => write!(out, "ratio ≤ {limit}"),
            Self::RatioAtLeast(limit) => write!(out, "ratio ≥ {limit}"),
            Self::RatioWithin(limit) => write!(out, "ratio 1 ± {limit}"),
            Self::AtMost(limit) => write!(out, "≤ {limit}"),
            Self::AtLeast(limit) => write!(out, "≥ {limit}"),
        }
    }
}

impl Report {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    pub(crate) fn row(&mut self, row: Row) {
        self.rows.push(row);
    }

    /// Tells something now and keeps it for the JSON form.
    #[expect(clippy::print_stderr, reason = "a program that talks to the person who runs it")]
    pub(crate) fn note(&mut self, text: &str) {
        eprintln!("{text}");
        self.notes.push(text.to_owned());
    }

    /// The table, or the JSON object, on standard output.
    #[expect(clippy::print_stdout, reason = "the result of this program")]
    pub(crate) fn print(&self, json: bool) {
        if json {
            println!("{}", serde_json::to_string(self).unwrap_or_default());
        } else {
            println!("{}", table(&self.rows));
        }
    }
}

/// A number with about four digits that mean something.
struct Number(f64);

impl fmt::Display for Number {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let decimals = match self.0.abs() {
            size if size >= 100.0 => 0,
            size if size >= 10.0 => 1,
            size if size >= 1.0 => 2,
            _ => 3,
        };
        write!(out, "{:.decimals$}", self.0)
    }
}

fn table(rows: &[Row]) -> String {
    let head = ["NAME", "MEASURED", "REFERENCE", "RATIO", "AIM", "MET"].map(str::to_owned);
    let lines: Vec<[String; 6]> = std::iter::once(head).chain(rows.iter().map(Row::cells)).collect();
    let mut widths = [0; 6];
    for line in &lines {
        for (width, cell) in widths.iter_mut().zip(line) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let padded = |line: &[String; 6]| {
        let cells: Vec<String> = line.iter().zip(widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        cells.join("  ").trim_end().to_owned()
    };
    lines.iter().map(padded).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn aims_are_judged_by_ratio_or_by_value() {
        let row = || Row::new("n", "w", 12.0, "µs").against("r", 10.0);
        let cases = [
            (Aim::RatioAtMost(1.2), true),
            (Aim::RatioAtMost(1.1), false),
            (Aim::RatioAtLeast(1.2), true),
            (Aim::RatioAtLeast(4.0), false),
            (Aim::RatioWithin(0.21), true),
            (Aim::RatioWithin(0.1), false),
            (Aim::AtMost(12.0), true),
            (Aim::AtMost(11.0), false),
            (Aim::AtLeast(12.0), true),
            (Aim::AtLeast(13.0), false),
        ];
        for (aim, met) in cases {
            assert_eq!(row().aim(aim).met, Some(met), "{aim}");
        }
        let nothing = Row::new("n", "w", f64::NAN, "µs").against("r", 10.0);
        assert_eq!(nothing.aim(Aim::RatioAtMost(1.0)).met, Some(false));
    }

    #[test]
    fn the_table_lines_up() {
        let rows = [
            Row::new("a", "x", 1234.5, "µs").against("y", 1000.0).aim(Aim::RatioAtMost(1.3)),
            Row::new("long.name", "z", 0.5, "s"),
        ];
        let text = table(&rows);
        let lines: Vec<&str> = text.lines().collect();
        let column = lines.first().unwrap().find("MEASURED").unwrap();
        for line in &lines {
            assert_eq!(line.as_bytes().get(column - 1), Some(&b' '), "{text}");
        }
        assert!(text.contains("1.23") && text.contains("ratio ≤ 1.3") && text.contains("met"), "{text}");
    }
}
