//! `sealwort question`: what patients ask about looks at their records, and the hospital's answers.

use clap::{Args, Subcommand};
use sealwort_pki::UnixTime;
use serde::Deserialize;
use serde_json::json;

use crate::client::{ClientArgs, JSON, Question, encode, read};
use crate::error::CliError;
use crate::output::{Output, table};

#[derive(Debug, Args)]
pub(crate) struct QuestionArgs {
    #[command(subcommand)]
    command: QuestionCommand,
}

#[derive(Debug, Subcommand)]
enum QuestionCommand {
    /// List the questions that wait for an answer, the newest first.
    List {
        /// Those with answers, too.
        #[arg(long)]
        all: bool,
        #[command(flatten)]
        client: ClientArgs,
    },
    /// Answer a question, once. The patient reads it on the page that lists who looked.
    Answer {
        /// The question's id, from the list.
        id: String,
        /// The answer, in plain words.
        #[arg(long, value_name = "WORDS")]
        text: String,
        #[command(flatten)]
        client: ClientArgs,
    },
}

/// What is shown of a question.
#[derive(Debug, Deserialize)]
struct Shown {
    id: String,
    patient_id: String,
    entry: String,
    look: String,
    question: String,
    asked: u64,
    answer: Option<Said>,
}

#[derive(Debug, Deserialize)]
struct Said {
    text: String,
    by: String,
    at: u64,
}

pub(crate) async fn run(args: QuestionArgs, output: Output) -> Result<(), CliError> {
    match args.command {
        QuestionCommand::List { all, client } => {
            let path = if all { "/questions?all=true" } else { "/questions" };
            let answer = client.client()?.ask(Question::get(path)).await?;
            if output.is_json() {
                return output.raw(&answer.body);
            }
            shown(read(&answer.body)?, output)
        }
        QuestionCommand::Answer { id, text, client } => {
            let path = format!("/questions/{}/answer", encode(&id));
            let body = json!({ "answer": text }).to_string();
            let answer = client.client()?.ask(Question::post(&path, JSON, body.into())).await?;
            if output.is_json() {
                return output.raw(&answer.body);
            }
            output.message("answered; the patient sees it under who looked");
            Ok(())
        }
    }
}

fn shown(all: Vec<Shown>, output: Output) -> Result<(), CliError> {
    let time = |at| UnixTime::from_secs(at).to_string();
    let row = |one: Shown| {
        let answer = one.answer.map_or_else(String::new, |it| format!("{} ({}, {})", it.text, it.by, time(it.at)));
        vec![one.id, time(one.asked), one.patient_id, one.entry, one.look, one.question, answer]
    };
    let rows: Vec<_> = all.into_iter().map(row).collect();
    let heads = ["id", "asked", "patient", "entry", "look", "question", "answer"];
    output.raw(table(&heads, &rows).as_bytes())
}
