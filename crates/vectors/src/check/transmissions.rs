//! Section 7: the seven steps, and the same with one altered message.

use sealwort_pki::UnixTime;
use serde_json::json;

use super::{Library, Outcome};
use crate::run::Altered;
use crate::run::authentication::Actors;
use crate::run::transmission::Transmission;
use crate::vector::{In, Vector};

pub(super) fn run(library: &Library, kind: &str, input: In<'_>) -> Option<Outcome> {
    let none = Altered { step: "none".into(), ..Altered::default() };
    Some(match kind {
        "transmission" => {
            let output = transmit(library, input, &none).map(|output| output.expect("nothing is altered"));
            Ok(output.unwrap_or_else(|error| panic!("{error:?}")))
        }
        "transmission-receive" => {
            let named: &Vector = library.vector(input.text("transmission"));
            let altered = Altered {
                step: input.text("step").to_owned(),
                message: input.bytes("content"),
                now: input.optional("now").map(|now| UnixTime::from_secs(now.as_u64().unwrap())),
                used: input.optional("used").is_some(),
                ..Altered::default()
            };
            transmit(library, In(&named.input), &altered).map(|output| {
                assert!(output.is_none(), "the altered message was never sent");
                json!({})
            })
        }
        _ => return None,
    })
}

fn transmit(
    library: &Library,
    input: In<'_>,
    altered: &Altered,
) -> Result<Option<serde_json::Value>, crate::vector::Failure> {
    let run = library.vector(input.text("run"));
    let actors = Actors::new(&library.setting, In(&run.input));
    let (result, _) = actors.run(&Altered { step: "none".into(), ..Altered::default() });
    let sessions = result.unwrap().expect("nothing is altered");
    Transmission::new(&actors, &sessions, input).run(altered)
}
