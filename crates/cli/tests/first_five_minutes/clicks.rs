//! Clicks of the document, done in a real browser as a person does them: what is pressed and written into is known by its
//! name or label alone.

use std::thread::sleep;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::support::pages::Pages;

/// A line of a block of clicks.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Click {
    /// Opens an address, in which the shell's variables may stand.
    Open(String),
    /// Presses a link or button that leads to a page.
    Press(String),
    /// Presses it again and again, until the page that it leads to shows this.
    PressUntil { name: String, shown: String },
    /// Writes into a field.
    Write { text: String, field: String },
    /// The page shows this.
    See(String),
}

impl Click {
    pub(crate) fn read(line: &str) -> Self {
        let own = |text: &str| text.to_owned();
        match line.split('"').collect::<Vec<_>>().as_slice() {
            [address] if address.starts_with("open ") => Self::Open(own(&address["open ".len()..])),
            ["press ", name, ""] => Self::Press(own(name)),
            ["press ", name, " until ", shown, ""] => Self::PressUntil { name: own(name), shown: own(shown) },
            ["write ", text, " in ", field, ""] => Self::Write { text: own(text), field: own(field) },
            ["see ", text, ""] => Self::See(own(text)),
            _ => panic!("nobody knows how to do this: {line}"),
        }
    }
}

/// Does all of them, or says which one cannot be done, and what was on the page.
pub(crate) fn done(pages: &mut Pages, clicks: &[Click], mut expand: impl FnMut(&str) -> String) -> Result<(), String> {
    for click in clicks {
        let done = match click {
            Click::Open(address) => pages.try_tell(&json!({"goto": expand(address)})).map(drop),
            Click::Press(name) => press(pages, name),
            Click::PressUntil { name, shown } => press_until(pages, name, shown),
            Click::Write { text, field } => pages.try_tell(&json!({"fill": [{"name": field}, text]})).map(drop),
            Click::See(text) => seen(pages, text),
        };
        done.map_err(|error| {
            let page = pages.try_tell(&json!({"page": true})).unwrap_or_default();
            let [url, text] = ["url", "text"].map(|name| page[name].as_str().unwrap_or_default());
            format!("{click:?}: {error}\n--- on the page {url}:\n{text}")
        })?;
    }
    Ok(())
}

fn press(pages: &mut Pages, name: &str) -> Result<(), String> {
    pages.try_tell(&json!({"click": {"target": {"name": name}, "then": "page"}})).map(drop)
}

fn press_until(pages: &mut Pages, name: &str, shown: &str) -> Result<(), String> {
    let begun = Instant::now();
    loop {
        press(pages, name)?;
        if pages.page().contains(shown) {
            return Ok(());
        }
        if begun.elapsed() > PERSEVERANCE {
            return Err("it is not there, however often it is pressed".to_owned());
        }
        sleep(Duration::from_secs(1));
    }
}

/// Waits for a while until the page shows it: parts of some pages renew themselves.
fn seen(pages: &mut Pages, text: &str) -> Result<(), String> {
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE {
        if pages.page().contains(text) {
            return Ok(());
        }
        sleep(Duration::from_millis(100));
    }
    Err("it is not there".to_owned())
}

/// How long somebody looks for something.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long somebody presses something again.
const PERSEVERANCE: Duration = Duration::from_mins(1);
