//! `sealwort consent`: what a patient's consent authority grants, withdraws and has in force. The gateway signs
//! the directive; broker and archive decide by it.

use clap::{Args, Subcommand};
use sealwort_consent::{Action, Purpose};
use sealwort_fhir::{Branch, UnknownBranch};
use sealwort_pki::UnixTime;
use serde::{Deserialize, Serialize};

use crate::client::{ClientArgs, JSON, Question, encode, read};
use crate::error::CliError;
use crate::output::{Output, table};

mod explain;

#[derive(Debug, Args)]
pub(crate) struct ConsentArgs {
    #[command(subcommand)]
    command: ConsentCommand,
}

#[derive(Debug, Subcommand)]
enum ConsentCommand {
    /// Let a hospital read or write.
    Grant(GrantArgs),
    /// End what a hospital was granted. A new epoch begins: what was sealed before stays closed to it.
    Withdraw(TermsArgs),
    /// List what is in force.
    List {
        /// The patient: an identifier system|value, or the id of the Patient resource.
        patient: String,
        #[command(flatten)]
        client: ClientArgs,
    },
    /// Tell who may see what, by which sentence, and what would change if.
    Explain(explain::ExplainArgs),
}

#[derive(Debug, Args)]
struct GrantArgs {
    #[command(flatten)]
    terms: TermsArgs,
    /// For how many days [default: until it is withdrawn]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    days: Option<u32>,
}

#[derive(Debug, Args)]
struct TermsArgs {
    /// The patient: an identifier system|value, or the id of the Patient resource.
    patient: String,
    /// The hospital: its gateway's name, or the whole identity.
    #[arg(long, value_name = "HOSPITAL")]
    to: String,
    /// read, write or emergency; several with commas [default: read when granting, all when withdrawing]
    #[arg(long, value_name = "ACTION", value_delimiter = ',')]
    action: Vec<Action>,
    /// general, or sections of it (problems, medications, results, measurements, documents, administrative);
    /// psychiatry, substance-use, sexuality, hiv, genetics, violence, very-restricted; several with commas
    /// [default: all]
    #[arg(long, value_name = "LABEL", visible_alias = "labels", value_delimiter = ',', value_parser = label)]
    label: Vec<String>,
    /// Purpose of use, a code of v3-PurposeOfUse; several with commas [default: TREAT when granting, all when
    /// withdrawing]
    #[arg(long, value_name = "CODE", value_delimiter = ',')]
    purpose: Vec<Purpose>,
    #[command(flatten)]
    client: ClientArgs,
}

/// The body of both changes; what is left out is the gateway's to fill in, as the arguments tell.
#[derive(Debug, Serialize)]
struct Change<'a> {
    patient: &'a str,
    to: &'a str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    actions: Vec<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    labels: Vec<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    purposes: Vec<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    days: Option<u32>,
}

pub(crate) async fn run(args: ConsentArgs, output: Output) -> Result<(), CliError> {
    match args.command {
        ConsentCommand::Grant(args) => change("/consent/grant", "granted to", &args.terms, args.days, output).await,
        ConsentCommand::Withdraw(args) => change("/consent/withdraw", "withdrawn from", &args, None, output).await,
        ConsentCommand::List { patient, client } => {
            let path = format!("/consent?patient={}", encode(&patient));
            let answer = client.client()?.ask(Question::get(&path)).await?;
            show(&answer.body, output)
        }
        ConsentCommand::Explain(args) => explain::run(&args, output).await,
    }
}

async fn change(path: &str, done: &str, terms: &TermsArgs, days: Option<u32>, output: Output) -> Result<(), CliError> {
    let body = serde_json::to_vec(&terms.change(days)).map_err(|error| CliError::Local(error.to_string()))?;
    let answer = terms.client.client()?.ask(Question::post(path, JSON, body.into())).await?;
    output.message(format!("{done} {}: {}", terms.to, terms.patient));
    show(&answer.body, output)
}

impl TermsArgs {
    fn change(&self, days: Option<u32>) -> Change<'_> {
        Change {
            patient: &self.patient,
            to: &self.to,
            actions: self.action.iter().map(|action| action.as_str()).collect(),
            labels: self.label.iter().map(String::as_str).collect(),
            purposes: self.purpose.iter().map(|purpose| purpose.as_str()).collect(),
            days,
        }
    }
}

/// The gateway's answer: as it is for scripts, a table for people.
fn show(body: &[u8], output: Output) -> Result<(), CliError> {
    if output.is_json() {
        return output.raw(body);
    }
    let shown: Shown = read(body)?;
    let rows: Vec<_> = shown.provisions.iter().map(Provision::row).collect();
    let text = if rows.is_empty() {
        "nothing is granted".to_owned()
    } else {
        table(&["HOSPITAL", "ACTIONS", "LABELS", "PURPOSES", "UNTIL"], &rows)
    };
    output.raw(text.trim_end().as_bytes())?;
    if !shown.delivered {
        output.message("not in force everywhere yet: it waits in the gateway's outbox until the exchange is back");
    }
    Ok(())
}

/// The name of a label, or of several together.
fn label(word: &str) -> Result<String, UnknownBranch> {
    Branch::named(word).map(|_| word.to_owned())
}

/// Labels in as few words as say it.
fn labels(words: &[String]) -> String {
    let known: Result<Vec<Branch>, _> = words.iter().map(|word| word.parse()).collect();
    match known {
        Ok(known) if known.len() == Branch::ALL.len() => "all".to_owned(),
        Ok(known) => Branch::words(&known).join(","),
        // Tags that nobody here can name.
        Err(_) => words.join(","),
    }
}

/// Words out of a vocabulary of so many.
fn some(words: &[String], all: usize) -> String {
    if words.len() == all { "all".to_owned() } else { words.join(",") }
}

/// The parts that are shown of a patient's consent.
#[derive(Deserialize)]
struct Shown {
    delivered: bool,
    provisions: Vec<Provision>,
}

#[derive(Deserialize)]
struct Provision {
    to: String,
    actions: Vec<String>,
    labels: Vec<String>,
    purposes: Vec<String>,
    until: Option<u64>,
}

impl Provision {
    fn row(&self) -> Vec<String> {
        vec![
            self.to.clone(),
            some(&self.actions, Action::ALL.len()),
            labels(&self.labels),
            some(&self.purposes, Purpose::ALL.len()),
            self.until.map_or_else(|| "-".to_owned(), |until| UnixTime::from_secs(until).to_string()),
        ]
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(subcommand)]
        command: ConsentCommand,
    }

    #[test]
    fn what_is_not_said_is_left_to_the_gateway() {
        let body = |line: &[&str]| {
            let line = Line::try_parse_from([&["consent", "grant"], line].concat()).unwrap();
            let ConsentCommand::Grant(args) = line.command else { panic!("grant") };
            serde_json::to_string(&args.terms.change(args.days)).unwrap()
        };
        assert_eq!(body(&["s|1", "--to", "b"]), r#"{"patient":"s|1","to":"b"}"#);
        let all =
            ["s|1", "--to", "b", "--action", "read,write", "--label", "hiv", "--purpose", "HRESCH", "--days", "3"];
        assert_eq!(
            body(&all),
            r#"{"patient":"s|1","to":"b","actions":["read","write"],"labels":["hiv"],"purposes":["HRESCH"],"days":3}"#
        );
        assert!(Line::try_parse_from(["consent", "grant", "s|1", "--to", "b", "--label", "secret"]).is_err());
    }
}
