//! `sealwort device`: devices that send measurements of a patient. The gateway gives each a secret, once.

use clap::{Args, Subcommand};
use http::Method;
use serde_json::{Value, json};

use crate::client::{ClientArgs, JSON, Question, encode, read};
use crate::error::CliError;
use crate::output::{Output, table};

#[derive(Debug, Args)]
pub(crate) struct DeviceArgs {
    #[command(subcommand)]
    command: DeviceCommand,
}

#[derive(Debug, Subcommand)]
enum DeviceCommand {
    /// Enrol a device for a patient. Its secret is shown once.
    Enrol(EnrolArgs),
    /// List devices.
    List {
        #[command(flatten)]
        client: ClientArgs,
    },
    /// Take nothing more from a device.
    Revoke {
        /// The device's id.
        device: String,
        #[command(flatten)]
        client: ClientArgs,
    },
}

#[derive(Debug, Args)]
struct EnrolArgs {
    /// The patient: an identifier system|value, or the id of the Patient resource.
    patient: String,
    /// What it is, in words: "pulse oximeter".
    #[arg(long, value_name = "WORDS")]
    kind: String,
    /// What it may send: heart-rate, oxygen-saturation, blood-pressure and so on; several with commas.
    #[arg(long, value_name = "MEASURE", value_delimiter = ',', required = true)]
    measure: Vec<String>,
    /// Who made it.
    #[arg(long, value_name = "NAME")]
    manufacturer: Option<String>,
    /// The maker's name of the model.
    #[arg(long, value_name = "NAME")]
    model: Option<String>,
    /// The maker's serial number.
    #[arg(long, value_name = "NUMBER")]
    serial: Option<String>,
    #[command(flatten)]
    client: ClientArgs,
}

pub(crate) async fn run(args: DeviceArgs, output: Output) -> Result<(), CliError> {
    match args.command {
        DeviceCommand::Enrol(args) => enrol(&args, output).await,
        DeviceCommand::List { client } => {
            let answer = client.client()?.ask(Question::get("/devices")).await?;
            list(&answer.body, output)
        }
        DeviceCommand::Revoke { device, client } => {
            let path = format!("/devices/{}", encode(&device));
            client.client()?.ask(Question { method: Method::DELETE, ..Question::get(&path) }).await?;
            output.message(format!("nothing more is taken from {device}"));
            Ok(())
        }
    }
}

async fn enrol(args: &EnrolArgs, output: Output) -> Result<(), CliError> {
    let patient = match args.patient.split_once('|') {
        Some((system, value)) => json!({ "identifier": { "system": system, "value": value } }),
        None => json!({ "id": args.patient.strip_prefix("Patient/").unwrap_or(&args.patient) }),
    };
    let mut body = json!({ "patient": patient, "kind": args.kind, "measures": args.measure });
    for (name, value) in [("manufacturer", &args.manufacturer), ("model", &args.model), ("serial", &args.serial)] {
        if let (Some(value), Value::Object(members)) = (value, &mut body) {
            members.insert(name.to_owned(), json!(value));
        }
    }
    let answer = args.client.client()?.ask(Question::post("/devices", JSON, body.to_string().into())).await?;
    if output.is_json() {
        return output.raw(&answer.body);
    }
    let shown: Value = read(&answer.body)?;
    let text = |pointer: &str| shown.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    output.message("The secret is shown once; who has it sends as this device.");
    let rows = [
        ["device and user name", text("/credentials/username").as_str()],
        ["password", text("/credentials/password").as_str()],
        ["HTTP POST", text("/credentials/https/url").as_str()],
        ["MQTT broker", text("/credentials/mqtt/broker").as_str()],
        ["MQTT topic", text("/credentials/mqtt/topic").as_str()],
        ["pairing code", text("/pairing_code").as_str()],
    ]
    .map(|row| row.map(str::to_owned).to_vec());
    output.raw(table(&["what", "value"], &rows).as_bytes())
}

fn list(body: &[u8], output: Output) -> Result<(), CliError> {
    if output.is_json() {
        return output.raw(body);
    }
    let devices: Vec<Value> = read(body)?;
    let text = |device: &Value, name: &str| device.get(name).and_then(Value::as_str).unwrap_or_default().to_owned();
    let rows: Vec<_> = devices
        .iter()
        .map(|device| {
            let measures = device.get("measures").and_then(Value::as_array).into_iter().flatten();
            let measures: Vec<_> = measures.filter_map(Value::as_str).collect();
            let state = if device.get("revoked_at").is_some_and(|at| !at.is_null()) { "revoked" } else { "enrolled" };
            vec![text(device, "device"), text(device, "kind"), measures.join(", "), state.to_owned()]
        })
        .collect();
    output.raw(table(&["device", "kind", "may send", "state"], &rows).as_bytes())
}
