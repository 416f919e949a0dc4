//! Section 4: whole runs of the nine steps, and runs with one altered message.

use sealwort_pki::UnixTime;
use serde_json::{Value, json};

use super::{Library, Outcome};
use crate::run::Altered;
use crate::run::authentication::Actors;
use crate::vector::In;

pub(super) fn run(library: &Library, kind: &str, input: In<'_>) -> Option<Outcome> {
    Some(match kind {
        "authentication" => Ok(authentication(library, input)),
        "authentication-receive" => receive(library, input),
        _ => return None,
    })
}

fn authentication(library: &Library, input: In<'_>) -> Value {
    let actors = Actors::new(&library.setting, input);
    let (result, sent) = actors.run(&Altered { step: "none".into(), ..Altered::default() });
    let sessions = result.unwrap().expect("nothing is altered");
    actors.output(&sessions, &sent)
}

fn receive(library: &Library, input: In<'_>) -> Outcome {
    let run = library.vector(input.text("run"));
    let actors = Actors::new(&library.setting, In(&run.input));
    let setting = &library.setting;
    let altered = Altered {
        step: input.text("step").to_owned(),
        message: input.bytes("message"),
        now: input.optional("now").map(|now| UnixTime::from_secs(now.as_u64().unwrap())),
        trust: input.optional("trust").map(|name| setting.trust(name.as_str().unwrap()).clone()),
        connection: input.optional("connection").map(|name| name.as_str().unwrap().parse().unwrap()),
        cookies: input.optional("load").map(|_| setting.json().array("cookie_key")),
        used: false,
    };
    let (result, _) = actors.run(&altered);
    let ended = result?;
    assert!(ended.is_none(), "the altered message was never sent");
    Ok(json!({}))
}
