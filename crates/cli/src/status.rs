//! `sealwort status`: what a gateway says about itself and the exchange.

use std::fmt::Write as _;

use clap::Args;
use sealwort_pki::UnixTime;
use serde_json::Value;

use crate::client::{ClientArgs, Question, read};
use crate::error::CliError;
use crate::output::Output;

#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
    #[command(flatten)]
    client: ClientArgs,
}

pub(crate) async fn run(args: StatusArgs, output: Output) -> Result<(), CliError> {
    let mut client = args.client.client()?;
    let answer = client.ask(Question::get("/status")).await?;
    if output.is_json() {
        return output.raw(&answer.body);
    }
    let status: Value = read(&answer.body)?;
    let mut text = String::new();
    tell(&status, 0, &mut text);
    output.raw(text.trim_end().as_bytes())
}

/// JSON as indented lines of `name  value`.
fn tell(value: &Value, depth: usize, text: &mut String) {
    let indent = "  ".repeat(depth);
    match value {
        Value::Object(entries) => {
            let width = entries.keys().map(String::len).max().unwrap_or_default();
            for (key, value) in entries {
                let key = key.replace('_', " ");
                // Writing to a string cannot fail.
                let _ = match value {
                    Value::Object(_) | Value::Array(_) if !is_empty(value) => {
                        let written = writeln!(text, "{indent}{key}");
                        tell(value, depth + 1, text);
                        written
                    }
                    Value::Number(seconds) if key.ends_with("until") => {
                        let seconds = UnixTime::from_secs(seconds.as_u64().unwrap_or_default());
                        writeln!(text, "{indent}{key:width$}  {seconds}")
                    }
                    value => writeln!(text, "{indent}{key:width$}  {}", plain(value)),
                };
            }
        }
        Value::Array(items) => {
            for item in items {
                tell(item, depth, text);
            }
        }
        value => {
            let _ = writeln!(text, "{indent}{}", plain(value));
        }
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Object(entries) => entries.is_empty(),
        Value::Array(items) => items.is_empty(),
        _ => false,
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "no".to_owned(),
        Value::Null => "-".to_owned(),
        value if is_empty(value) => "none".to_owned(),
        value => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_reads_as_lines() {
        let status = serde_json::json!({
            "identity": "x", "away": false, "valid_until": 0, "problems": [], "open": {"patients": 2}, "notes": ["a", "b"],
        });
        let mut text = String::new();
        tell(&status, 0, &mut text);
        assert_eq!(
            text,
            "identity     x\naway         no\nvalid until  1970-01-01T00:00:00Z\nproblems     none\nopen\n  patients  2\nnotes\n  a\n  b\n"
        );
    }
}
