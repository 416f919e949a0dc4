//! Where words go: data on standard output, messages on standard error. With `--json` the data are one JSON
//! value a line, and so is a failure on standard error.

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde::Serialize;
use serde_json::json;

use crate::error::CliError;

/// How this run speaks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Output {
    json: bool,
}

impl Output {
    pub(crate) const fn new(json: bool) -> Self {
        Self { json }
    }

    /// Whether `--json` was given.
    pub(crate) const fn is_json(self) -> bool {
        self.json
    }

    /// Prints a result: as JSON, or in words made by `human`.
    pub(crate) fn data(self, value: &impl Serialize, human: impl FnOnce() -> String) -> Result<(), CliError> {
        let text = if self.json {
            serde_json::to_string(value).map_err(|error| CliError::Local(error.to_string()))?
        } else {
            human()
        };
        print(text.trim_end().as_bytes())
    }

    /// Prints bytes as they are, and a line end.
    #[expect(clippy::unused_self, reason = "callers say where words go through one value")]
    pub(crate) fn raw(self, bytes: &[u8]) -> Result<(), CliError> {
        print(bytes)
    }

    /// Says something to the person who watches; nothing with `--json`.
    pub(crate) fn message(self, text: impl AsRef<str>) {
        if !self.json {
            say(text.as_ref());
        }
    }

    /// Says something to the person who watches, with `--json` too.
    #[expect(clippy::unused_self, reason = "callers say where words go through one value")]
    pub(crate) fn notice(self, text: impl AsRef<str>) {
        say(text.as_ref());
    }

    /// Tells why the command failed.
    pub(crate) fn failure(self, error: &CliError) {
        if self.json {
            let (code, remedy) = (error.code(), error.remedy());
            let object = json!({"error": {
                "code": code, "message": error.to_string(), "remedy": remedy, "exit": error.exit_code(),
            }});
            return say(&object.to_string());
        }
        say(&format!("sealwort: {error}"));
        if let Some(remedy) = error.remedy() {
            say(&format!("  {remedy}"));
        }
    }

    /// A bar over `bytes` bytes; hidden unless a terminal watches. Without a length it only counts.
    pub(crate) fn progress(self, what: String, bytes: Option<u64>) -> ProgressBar {
        if self.json || !io::stderr().is_terminal() {
            return ProgressBar::hidden();
        }
        let template = match bytes {
            Some(_) => "{msg} [{bar:30}] {bytes}/{total_bytes} {bytes_per_sec}",
            None => "{msg} {spinner} {bytes} {bytes_per_sec}",
        };
        let bar = ProgressBar::with_draw_target(bytes, ProgressDrawTarget::stderr()).with_message(what);
        // A template that is not understood leaves the plain bar.
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style.progress_chars("=> "));
        }
        bar.enable_steady_tick(TICK);
        bar
    }
}

/// A table with aligned columns; the last column is not padded.
pub(crate) fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let mut widths: Vec<usize> = head.iter().map(|cell| cell.chars().count()).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let line = |cells: &mut dyn Iterator<Item = &str>| {
        let padded: Vec<String> = cells.zip(&widths).map(|(cell, width)| format!("{cell:width$}")).collect();
        format!("{}\n", padded.join("  ").trim_end())
    };
    let mut text = line(&mut head.iter().copied());
    for row in rows {
        text.push_str(&line(&mut row.iter().map(String::as_str)));
    }
    text
}

fn print(bytes: &[u8]) -> Result<(), CliError> {
    let mut out = io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.write_all(b"\n")).and_then(|()| out.flush()) {
        // Whoever read us has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        Err(error) => Err(CliError::Local(format!("cannot write to standard output: {error}"))),
        Ok(()) => Ok(()),
    }
}

fn say(text: &str) {
    // Nobody is left to be told that nobody listens.
    let _ = writeln!(io::stderr().lock(), "{text}");
}

const TICK: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::table;

    #[test]
    fn columns_are_aligned() {
        let rows = [vec!["a".to_owned(), "long".to_owned()], vec!["bbb".to_owned(), String::new()]];
        assert_eq!(table(&["x", "name"], &rows), "x    name\na    long\nbbb\n");
    }
}
