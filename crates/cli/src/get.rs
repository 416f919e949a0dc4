//! `sealwort get`: everything that may be seen of one patient, as the Bundle that the gateway gives.

use clap::Args;
use sealwort_consent::Purpose;
use serde::Deserialize;

use crate::client::{ClientArgs, GatewayClient, Question, encode, read};
use crate::error::{CliError, Refused};
use crate::output::Output;

#[derive(Debug, Args)]
pub(crate) struct GetArgs {
    /// The patient: an identifier system|value, or the id of the Patient resource.
    patient: String,
    /// Purpose of use, a code of v3-PurposeOfUse [default: TREAT]
    #[arg(long, value_name = "CODE")]
    purpose: Option<Purpose>,
    #[command(flatten)]
    client: ClientArgs,
}

pub(crate) async fn run(args: GetArgs, output: Output) -> Result<(), CliError> {
    let mut client = args.client.client()?;
    let purpose = args.purpose.map(Purpose::as_str);
    let id = patient_id(&mut client, &args.patient, purpose).await?;
    let path = format!("/fhir/Patient/{}/$everything", encode(&id));
    let progress = output.progress("reading".to_owned(), None);
    let question = Question { purpose, progress, ..Question::get(&path) };
    let answer = client.ask(question).await?;
    output.raw(&answer.body)
}

/// The id of the Patient that is named by identifier or id.
pub(crate) async fn patient_id(
    client: &mut GatewayClient,
    patient: &str,
    purpose: Option<&str>,
) -> Result<String, CliError> {
    if patient.contains('|') {
        return find(client, patient, purpose).await;
    }
    Ok(patient.strip_prefix("Patient/").unwrap_or(patient).to_owned())
}

/// The id of the one patient with an identifier.
pub(crate) async fn find(
    client: &mut GatewayClient,
    identifier: &str,
    purpose: Option<&str>,
) -> Result<String, CliError> {
    let path = format!("/fhir/Patient?identifier={}", encode(identifier));
    let answer = client.ask(Question { purpose, ..Question::get(&path) }).await?;
    let found: Found = read(&answer.body)?;
    let mut ids = found.entry.into_iter().filter_map(|entry| {
        let resource = entry.resource?;
        if resource.resource_type == "Patient" { resource.id } else { None }
    });
    let refused = |code: &str, message: String, remedy: &str| {
        let remedy = Some(remedy.to_owned());
        Err(CliError::refused(None, Refused { code: code.to_owned(), message, remedy }))
    };
    match (ids.next(), ids.next()) {
        (Some(id), None) => Ok(id),
        (None, _) => refused(
            "patient-unknown",
            format!("no patient has the identifier {identifier}"),
            "check system and value; the patient must be registered in the exchange",
        ),
        (Some(_), Some(_)) => refused(
            "patient-ambiguous",
            format!("several patients have the identifier {identifier}"),
            "name the patient by another identifier, or by the id of the Patient resource",
        ),
    }
}

/// The parts that are read of a search's answer.
#[derive(Deserialize)]
struct Found {
    #[serde(default)]
    entry: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    resource: Option<Resource>,
}

#[derive(Deserialize)]
struct Resource {
    #[serde(rename = "resourceType")]
    resource_type: String,
    id: Option<String>,
}
