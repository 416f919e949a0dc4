//! What is hidden from somebody, by a label that consent does not give or by the scopes of a token, is answered as what
//! is not there at all: status, body and headers. How long it takes is `sealwort-bench hidden`'s to measure.

use serde_json::json;

use super::support::smart::{App, access_token};
use super::support::{Answer, Client, Party, World};
use super::{THINGS, consent, labelled, resource, transaction};

const KEY: &str = "hidden";
/// Hidden names, and names of the same length that nothing has.
const NAMES: [(&str, &str); 3] = [("obsp", "obsq"), ("encp", "encq"), ("obsh", "obsi")];

pub(crate) fn is_as_good_as_absent(world: &World) {
    let a = world.client(Party::HospitalA);
    a.send("POST", "/fhir", &[], transaction(THINGS.map(|thing| resource(KEY, thing, false)))).with(200);
    let consent = consent(KEY, &labelled(), "active");
    a.send("PUT", "/fhir/Consent/hidden-consent", &[], consent.to_string()).with(201);
    // Hospital B knows the id: a physician there has seen it.
    let physician = world.client(Party::HospitalB);
    physician.get(&format!("/fhir/Observation?patient.identifier=urn:matrix%7C{KEY}")).with(200);
    physician.get("/fhir/Observation/hidden-obsp").with(200);
    let nurse = world.client_with(Party::HospitalB, Some(world.token(Party::HospitalB, "the-nurse", "nurse")));
    nurse.get("/fhir/Observation/hidden-obsn").with(200);
    pairs("by a label", &nurse);
    let scopes = "system/Patient.rs system/Encounter.rs?identifier=urn:encounter|hidden-encn \
                  system/Observation.cruds?code=urn:code|obsn";
    let mut app = App::register(world, Party::HospitalA, "pairs", "system/*.cruds");
    let token = access_token(app.own_token(scopes));
    let app = world.client_with(Party::HospitalA, Some(token));
    app.get("/fhir/Observation/hidden-obsn").with(200);
    pairs("by scopes", &app);
    // Nothing became of it.
    for name in ["obsp", "obsh"] {
        let now = a.get(&format!("/fhir/Observation/{KEY}-{name}")).with(200).json();
        assert_eq!(now["meta"]["versionId"], json!("1"), "{name}");
    }
}

/// Method, path, header fields and body.
type Request = (&'static str, String, Vec<(&'static str, String)>, String);

/// Requests about a resource of this name, the Encounter of this one and an Observation of it.
fn requests(observation: &str, encounter: &str, of_it: &str) -> Vec<(&'static str, Request)> {
    let by = format!("patient.identifier=urn:matrix%7C{KEY}");
    let id = format!("Observation/{KEY}-{observation}");
    let mut own = resource(KEY, THINGS[3], false);
    own.as_object_mut().unwrap().remove("id");
    own.as_object_mut().unwrap().remove("identifier");
    let identifier = format!("urn:observation|{KEY}-{observation}");
    let mut named = own.clone();
    named["id"] = json!(format!("{KEY}-{observation}"));
    let mut linked = own.clone();
    linked["encounter"] = json!({"reference": format!("Encounter?identifier=urn:encounter|{KEY}-{encounter}")});
    let create = |resource: &serde_json::Value, condition: Option<&str>| {
        let request = json!({"method": "POST", "url": "Observation", "ifNoneExist": condition});
        json!({"resourceType": "Bundle", "type": "transaction", "entry": [{"resource": resource, "request": request}]})
            .to_string()
    };
    let batch = json!({"resourceType": "Bundle", "type": "batch", "entry": [
        {"request": {"method": "GET", "url": id}},
        {"request": {"method": "GET", "url": format!("Observation?_id={KEY}-{observation}")}},
        {"request": {"method": "DELETE", "url": id}},
    ]});
    let get = |path: String| ("GET", path, Vec::new(), String::new());
    let with = |name, value: &str| vec![(name, value.to_owned())];
    let condition = format!("identifier={identifier}");
    let patch = json!([{"op": "replace", "path": "/status", "value": "amended"}]).to_string();
    vec![
        ("read", get(id.clone())),
        ("read, unless it is the same", ("GET", id.clone(), with("If-None-Match", "W/\"1\""), String::new())),
        ("vread", get(format!("{id}/_history/1"))),
        ("history", get(format!("{id}/_history"))),
        ("search by id", get(format!("Observation?{by}&_id={KEY}-{observation}"))),
        ("search by id alone", get(format!("Observation?_id={KEY}-{observation}"))),
        ("search by identifier", get(format!("Observation?{by}&identifier=urn:observation%7C{KEY}-{observation}"))),
        ("search by code", get(format!("Observation?{by}&code=urn:code%7C{observation}&_include=*"))),
        ("chain", get(format!("Observation?{by}&encounter.identifier=urn:encounter%7C{KEY}-{encounter}"))),
        ("reference", get(format!("Observation?{by}&encounter=Encounter/{KEY}-{observation}"))),
        ("_has", get(format!("Encounter?{by}&_has:Observation:encounter:code=urn:code%7C{of_it}"))),
        ("batch", ("POST", String::new(), Vec::new(), batch.to_string())),
        ("patch", ("PATCH", id.clone(), with("Content-Type", "application/json-patch+json"), patch)),
        ("patch of a version", {
            let patch = json!([{"op": "test", "path": "/status", "value": "final"}]).to_string();
            let fields =
                vec![("Content-Type", "application/json-patch+json".to_owned()), ("If-Match", "W/\"1\"".to_owned())];
            ("PATCH", id.clone(), fields, patch)
        }),
        ("delete", ("DELETE", id.clone(), Vec::new(), String::new())),
        ("delete of a version", ("DELETE", id.clone(), with("If-Match", "W/\"1\""), String::new())),
        ("update of a version", ("PUT", id, with("If-Match", "W/\"1\""), named.to_string())),
        ("conditional create", ("POST", "Observation".to_owned(), with("If-None-Exist", &condition), own.to_string())),
        (
            "conditional update",
            (
                "PUT",
                format!("Observation?identifier=urn:observation%7C{KEY}-{observation}"),
                Vec::new(),
                own.to_string(),
            ),
        ),
        ("conditional create in a transaction", ("POST", String::new(), Vec::new(), create(&own, Some(&condition)))),
        ("conditional reference", ("POST", String::new(), Vec::new(), create(&linked, None))),
    ]
}

fn pairs(hidden_by: &str, client: &Client) {
    let [observation, encounter, of_it] = NAMES;
    let hidden = requests(observation.0, encounter.0, of_it.0);
    let absent = requests(observation.1, encounter.1, of_it.1);
    let mut differences = Vec::new();
    for ((name, one), (_, other)) in hidden.into_iter().zip(absent) {
        let [one, other] = [one, other].map(|(method, path, fields, body)| {
            let fields: Vec<_> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
            plain(&client.send(method, &format!("/fhir/{path}"), &fields, body))
        });
        if one != other {
            differences.push(format!("{hidden_by}, {name}:\n  hidden: {one}\n  absent: {other}"));
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

/// An answer as text, without what differs between any two answers: the name asked for, times, and fresh ids.
fn plain(answer: &Answer) -> String {
    let kept = |name: &str| !["date", "x-request-id", "x-trace-id"].contains(&name);
    let fields: Vec<String> =
        answer.all_fields().filter(|(name, _)| kept(name)).map(|(name, value)| format!("{name}: {value}")).collect();
    let mut text = format!("{} {fields:?} {}", answer.status, answer.text());
    for (hidden, absent) in NAMES {
        text = text.replace(&format!("{KEY}-{absent}"), &format!("{KEY}-{hidden}"));
        text = text.replace(&format!("%7C{absent}"), &format!("%7C{hidden}"));
    }
    let mut out = String::new();
    for piece in text.split_inclusive(|letter: char| !letter.is_ascii_alphanumeric() && !"-:.".contains(letter)) {
        let (word, end) = piece.split_at(piece.len() - piece.chars().next_back().map_or(0, char::len_utf8));
        let fresh = word.len() == 32 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
        let instant = word.len() >= 20 && word.starts_with("20") && word.contains('T') && word.ends_with('Z');
        out += if fresh {
            "FRESH"
        } else if instant {
            "INSTANT"
        } else {
            word
        };
        out += end;
    }
    // HTTP's dates, as in Last-Modified.
    let is_time = |word: &&str| word.len() == 8 && word.as_bytes()[2] == b':' && word.as_bytes()[5] == b':';
    out.split(' ').map(|word| if is_time(&word) { "TIME" } else { word }).collect::<Vec<_>>().join(" ")
}
