//! Prints the transaction of each message in a file: `cargo run --example to_fhir -- message.hl7`. What was
//! left out, and refusals, go to standard error.

use std::process::ExitCode;

use sealwort_hl7v2::{Message, Refused, Settings, batch, map};

fn main() -> ExitCode {
    let Some(path) = std::env::args_os().nth(1) else {
        eprintln!("usage: to_fhir FILE");
        return ExitCode::from(1);
    };
    let frame = match std::fs::read(&path) {
        Ok(frame) => frame,
        Err(error) => {
            eprintln!("{}: {error}", path.display());
            return ExitCode::from(1);
        }
    };
    let messages = match batch::split(&frame) {
        Ok(messages) => messages,
        Err(error) => {
            eprintln!("{error}");
            return ExitCode::from(1);
        }
    };
    let mut failed = false;
    for message in messages {
        let mapped = Message::read(message).map_err(Refused::from).and_then(|read| map(&read, &Settings::default()));
        match mapped {
            Ok(mapped) => {
                println!("{}", String::from_utf8_lossy(&mapped.bundle));
                for unmapped in &mapped.unmapped {
                    eprintln!("{} {}: {unmapped}", mapped.message_type, mapped.control_id);
                }
            }
            Err(refused) => {
                failed = true;
                eprintln!("refused: {refused}");
            }
        }
    }
    ExitCode::from(u8::from(failed))
}
