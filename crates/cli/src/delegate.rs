//! `sealwort delegate`: who acts for a patient (a parent, a carer, a power of attorney), with which rights and until when.

use clap::{Args, Subcommand};
use http::Method;
use sealwort_pki::UnixTime;
use serde::Deserialize;
use serde_json::json;

use crate::client::{ClientArgs, JSON, Question, encode, read};
use crate::error::CliError;
use crate::output::{Output, table};

#[derive(Debug, Args)]
pub(crate) struct DelegateArgs {
    #[command(subcommand)]
    command: DelegateCommand,
}

#[derive(Debug, Subcommand)]
enum DelegateCommand {
    /// Let somebody act for a patient.
    Add(AddArgs),
    /// List a patient's delegates.
    List {
        /// The patient: an identifier system|value, or the id of the Patient resource.
        patient: String,
        #[command(flatten)]
        client: ClientArgs,
    },
    /// Let somebody act for a patient no more. It counts at once.
    Remove {
        /// The delegation's id, from the list.
        id: String,
        #[command(flatten)]
        client: ClientArgs,
    },
}

#[derive(Debug, Args)]
struct AddArgs {
    /// The patient: an identifier system|value, or the id of the Patient resource.
    patient: String,
    /// The name with which the delegate signs in.
    #[arg(long, value_name = "NAME")]
    account: String,
    /// The delegate's name, for people.
    #[arg(long, value_name = "WORDS")]
    name: String,
    /// What they are to the patient, a code of v3-RoleCode: PRN, GUARD, HPOWATT and so on.
    #[arg(long, value_name = "CODE")]
    relationship: String,
    /// What they may do: read, write, consent; several with commas.
    #[arg(long, value_name = "RIGHT", value_delimiter = ',', default_value = "read")]
    rights: Vec<String>,
    /// Labels that they may open; several with commas [default: all]
    #[arg(long, value_name = "LABEL", value_delimiter = ',')]
    labels: Vec<String>,
    /// Resource types; several with commas [default: all]
    #[arg(long, value_name = "TYPE", value_delimiter = ',')]
    types: Vec<String>,
    /// How long, in days.
    #[arg(long, value_name = "DAYS")]
    days: u64,
    #[command(flatten)]
    client: ClientArgs,
}

#[derive(Debug, Deserialize)]
struct Delegation {
    id: String,
    account: String,
    user: String,
    name: String,
    relationship: String,
    rights: Vec<String>,
    labels: Vec<String>,
    types: Vec<String>,
    until: u64,
    rests: bool,
}

pub(crate) async fn run(args: DelegateArgs, output: Output) -> Result<(), CliError> {
    match args.command {
        DelegateCommand::Add(args) => {
            let body = json!({
                "patient": args.patient, "account": args.account, "name": args.name,
                "relationship": args.relationship, "rights": args.rights, "labels": args.labels, "types": args.types,
                "days": args.days,
            });
            let question = Question::post("/delegates", JSON, body.to_string().into());
            let answer = args.client.client()?.ask(question).await?;
            if output.is_json() {
                return output.raw(&answer.body);
            }
            shown(vec![read(&answer.body)?], output)
        }
        DelegateCommand::List { patient, client } => {
            let path = format!("/delegates?patient={}", encode(&patient));
            let answer = client.client()?.ask(Question::get(&path)).await?;
            if output.is_json() {
                return output.raw(&answer.body);
            }
            shown(read(&answer.body)?, output)
        }
        DelegateCommand::Remove { id, client } => {
            let path = format!("/delegates/{}", encode(&id));
            client.client()?.ask(Question { method: Method::DELETE, ..Question::get(&path) }).await?;
            output.message("removed; nothing of it works any more");
            Ok(())
        }
    }
}

fn shown(all: Vec<Delegation>, output: Output) -> Result<(), CliError> {
    let some = |words: Vec<String>| if words.is_empty() { "all".to_owned() } else { words.join(", ") };
    let row = |one: Delegation| {
        let until = UnixTime::from_secs(one.until).to_string();
        let until = if one.rests { format!("{until}, rests: merged since") } else { until };
        let (rights, labels, types) = (some(one.rights), some(one.labels), some(one.types));
        vec![one.id, one.name, one.account, one.user, one.relationship, rights, labels, types, until]
    };
    let rows: Vec<_> = all.into_iter().map(row).collect();
    let heads = ["id", "name", "signs in as", "in logs", "relationship", "rights", "labels", "types", "until"];
    output.raw(table(&heads, &rows).as_bytes())
}
