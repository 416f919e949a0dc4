//! `sealwort consent explain`: who may see what, by which sentence, and what would change by what is proposed. The
//! gateway answers; nothing is changed.

use std::path::PathBuf;

use clap::Args;
use sealwort_consent::{Action, Purpose};
use sealwort_pki::UnixTime;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{label, labels, some};
use crate::client::{ClientArgs, JSON, Question, read};
use crate::error::CliError;
use crate::output::{Output, table};

#[derive(Debug, Args)]
pub(super) struct ExplainArgs {
    /// The patient: an identifier system|value, or the id of the Patient resource.
    patient: String,
    /// A resource whose label is asked about, such as Observation/7.
    #[arg(long, value_name = "TYPE/ID")]
    resource: Option<String>,
    /// Labels; several with commas [default: all]
    #[arg(long, value_name = "LABEL", visible_alias = "labels", value_delimiter = ',', value_parser = label)]
    label: Vec<String>,
    /// Hospitals, by name or identity; several with commas [default: those that the consent names, and any other]
    #[arg(long, value_name = "HOSPITAL", value_delimiter = ',')]
    hospital: Vec<String>,
    /// Roles of users; several with commas [default: none, and those that the consent names]
    #[arg(long, value_name = "ROLE", value_delimiter = ',')]
    role: Vec<String>,
    /// Purposes of use, codes of v3-PurposeOfUse; several with commas [default: all]
    #[arg(long, value_name = "CODE", value_delimiter = ',')]
    purpose: Vec<Purpose>,
    /// read, write or emergency; several with commas [default: read]
    #[arg(long, value_name = "ACTION", value_delimiter = ',')]
    action: Vec<Action>,
    /// The moment, such as 2027-01-31 or 2027-01-31T12:00:00Z [default: now]
    #[arg(long, value_name = "TIME", value_parser = moment)]
    at: Option<u64>,
    /// What if this Consent were stored, in place of the one with its id?
    #[arg(long, value_name = "FILE")]
    if_consent: Vec<PathBuf>,
    /// What if this hospital were granted --action, --label and --purpose?
    #[arg(long, value_name = "HOSPITAL")]
    if_grant: Vec<String>,
    /// What if --action, --label and --purpose were withdrawn from this hospital?
    #[arg(long, value_name = "HOSPITAL")]
    if_withdraw: Vec<String>,
    #[command(flatten)]
    client: ClientArgs,
}

pub(super) async fn run(args: &ExplainArgs, output: Output) -> Result<(), CliError> {
    let proposed = args.proposed()?;
    let body = args.question(&proposed).to_string();
    let answer = args.client.client()?.ask(Question::post("/consent/explain", JSON, body.into())).await?;
    if output.is_json() {
        return output.raw(&answer.body);
    }
    let explained: Explained = read(&answer.body)?;
    output.message(format!(
        "by version {} of the consent, at {}",
        explained.version,
        UnixTime::from_secs(explained.at)
    ));
    if !explained.authority {
        output.message("another hospital keeps this consent: it knows the Consents behind it");
    }
    if proposed.is_empty() {
        let rows: Vec<_> = explained.rows.iter().map(|row| row.cells(&[&row.answer])).collect();
        let head = ["HOSPITAL", "ROLE", "ACTION", "PURPOSES", "LABELS", "ANSWER", "UNTIL", "BY"];
        return output.raw(table(&head, &rows).trim_end().as_bytes());
    }
    let changed = explained.rows.iter().filter_map(|row| Some(row.cells(&[&row.answer, row.proposed.as_ref()?])));
    let rows: Vec<_> = changed.collect();
    if rows.is_empty() {
        return output.raw(b"nothing would change");
    }
    if explained.new_epoch == Some(true) {
        output.message("something is taken back: a new epoch of keys would begin");
    }
    let head = ["HOSPITAL", "ROLE", "ACTION", "PURPOSES", "LABELS", "NOW", "UNTIL", "BY", "THEN", "UNTIL", "BY"];
    output.raw(table(&head, &rows).trim_end().as_bytes())
}

impl ExplainArgs {
    fn question(&self, proposed: &[Value]) -> Value {
        let mut body = Map::new();
        body.insert("patient".to_owned(), json!(self.patient));
        let mut list = |name: &str, words: Vec<String>| {
            if !words.is_empty() {
                body.insert(name.to_owned(), json!(words));
            }
        };
        list("hospitals", self.hospital.clone());
        list("roles", self.role.clone());
        list("purposes", words(&self.purpose));
        list("actions", words(&self.action));
        list("labels", self.label.clone());
        body.extend(self.resource.iter().map(|it| ("resource".to_owned(), json!(it))));
        body.extend(self.at.iter().map(|it| ("at".to_owned(), json!(it))));
        if !proposed.is_empty() {
            body.insert("proposed".to_owned(), json!(proposed));
        }
        Value::Object(body)
    }

    fn proposed(&self) -> Result<Vec<Value>, CliError> {
        let mut proposed = Vec::new();
        for file in &self.if_consent {
            let failed =
                |why: &dyn std::fmt::Display| CliError::Local(format!("{} cannot be read: {why}", file.display()));
            let bytes = std::fs::read(file).map_err(|error| failed(&error))?;
            let consent: Value = serde_json::from_slice(&bytes).map_err(|error| failed(&error))?;
            proposed.push(json!({"consent": consent}));
        }
        let change = |to: &String| {
            json!({
                "patient": self.patient, "to": to, "actions": words(&self.action), "labels": self.label,
                "purposes": words(&self.purpose),
            })
        };
        proposed.extend(self.if_grant.iter().map(|to| json!({"grant": change(to)})));
        proposed.extend(self.if_withdraw.iter().map(|to| json!({"withdraw": change(to)})));
        Ok(proposed)
    }
}

fn words<T: ToString>(items: &[T]) -> Vec<String> {
    items.iter().map(ToString::to_string).collect()
}

/// An instant, or a date whose first second counts.
fn moment(text: &str) -> Result<u64, String> {
    let whole = if text.contains('T') { text.to_owned() } else { format!("{text}T00:00:00Z") };
    let at = time::OffsetDateTime::parse(&whole, &time::format_description::well_known::Rfc3339).ok();
    let at = at.and_then(|at| u64::try_from(at.unix_timestamp()).ok());
    at.ok_or_else(|| "it is a date or an instant, such as 2027-01-31T12:00:00Z".to_owned())
}

/// The parts that are shown of an explanation.
#[derive(Deserialize)]
struct Explained {
    version: u64,
    at: u64,
    authority: bool,
    new_epoch: Option<bool>,
    rows: Vec<Row>,
}

#[derive(Deserialize)]
struct Row {
    hospital: String,
    role: Option<String>,
    action: String,
    purposes: Vec<String>,
    labels: Vec<String>,
    answer: Answer,
    proposed: Option<Answer>,
}

#[derive(Deserialize)]
struct Answer {
    permitted: bool,
    until: Option<u64>,
    because: Vec<Sentence>,
    missing: Option<String>,
    when: Option<String>,
}

#[derive(Deserialize)]
struct Sentence {
    text: String,
}

impl Row {
    fn cells(&self, answers: &[&Answer]) -> Vec<String> {
        let hospital = if self.hospital == "*" { "any other" } else { &self.hospital };
        let mut cells = vec![
            hospital.to_owned(),
            self.role.clone().unwrap_or_else(|| "-".to_owned()),
            self.action.clone(),
            some(&self.purposes, Purpose::ALL.len()),
            labels(&self.labels),
        ];
        cells.extend(answers.iter().flat_map(|answer| answer.cells()));
        cells
    }
}

impl Answer {
    fn cells(&self) -> [String; 3] {
        let until = self.until.map_or_else(|| "-".to_owned(), |until| UnixTime::from_secs(until).to_string());
        let sentences: Vec<&str> = self.because.iter().map(|sentence| sentence.text.as_str()).collect();
        let by = match (sentences.as_slice(), &self.when, &self.missing) {
            ([], Some(when), _) => when.clone(),
            ([], None, Some(code)) => format!("no sentence: {code}"),
            _ => sentences.join("; "),
        };
        [if self.permitted { "permit" } else { "deny" }.to_owned(), until, by]
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_moment_is_an_instant_or_the_first_second_of_a_day() {
        assert_eq!(moment("2027-01-31").unwrap(), moment("2027-01-31T01:00:00+01:00").unwrap());
        assert!(moment("31.1.2027").is_err() && moment("1960-01-01").is_err());
    }
}
