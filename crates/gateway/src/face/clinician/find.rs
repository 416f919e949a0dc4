//! Finding a patient: by an identifier, or by name and birth date among those whom the hospital knows. Whoever is found
//! alone is opened at once. What is searched for travels in the form's body, never in an address.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use maud::{Markup, html};
use sealwort_pages::date;
use sealwort_pages::words::clinician as words;
use serde_json::Value;

use super::super::Shared;
use super::super::authorize::{only, see_other};
use super::super::request::{borrowed, query};
use super::visit::Visit;
use super::{PATH, PURPOSE, Page, emergency, error, href, number_of, purpose_options, reading, show};
use crate::Gateway;
use crate::emergency::{Shown, Standing};
use crate::error::GatewayError;
use crate::people::TREATMENT;

/// Most people on a list.
const FOUND_MAX: usize = 50;

/// `GET /clinician`
pub(super) async fn page(State(gateway): Shared, mut visit: Visit) -> Response {
    let open = match accesses(&gateway, &mut visit).await {
        Ok(open) => open,
        Err(error) => return error::failed(&mut visit, &error, None).await,
    };
    let content = html! {
        (open)
        (forms(&gateway, &visit, TREATMENT))
    };
    show(&mut visit, Page { status: StatusCode::OK, title: words::FIND, record: None, current: PATH, content }).await
}

/// `POST /clinician/find`
pub(super) async fn find(State(gateway): Shared, mut visit: Visit, body: Bytes) -> Result<Response, Response> {
    let Some(form) = visit.own_form(&body) else { return Err(error::not_own_form(visit).await) };
    visit.for_purpose(only(&form, PURPOSE)).await?;
    let wanted = Wanted::read(&form);
    let outcome = match &wanted {
        Some(wanted) => people(&mut visit, wanted).await,
        None => Ok(Found::default()),
    };
    let outcome = visit.kept(outcome).await;
    let named = wanted.as_ref().and_then(Wanted::identifier);
    Ok(match outcome {
        Err(error) => error::failed(&mut visit, &error, named).await,
        Ok(Found { people, .. }) if people.len() == 1 => {
            let id = people.first().and_then(|one| one.get("id")?.as_str()).unwrap_or_default();
            see_other(&href(&visit, id, ""))
        }
        Ok(found) => {
            let content = html! {
                @if found.people.is_empty() {
                    div .note.warning role="status" { p { (if wanted.is_some() { words::NOBODY } else { words::NOTHING_ASKED }) } }
                } @else {
                    (list(&visit, &found))
                }
                (forms(&gateway, &visit, &visit.asking.purpose))
            };
            show(&mut visit, Page { status: StatusCode::OK, title: words::FIND, record: None, current: PATH, content })
                .await
        }
    })
}

/// Who is looked for.
enum Wanted {
    Identifier(String),
    Person(Vec<(String, String)>),
}

impl Wanted {
    /// What the form has; nothing where its fields are empty.
    fn read(form: &[(String, String)]) -> Option<Self> {
        let text = |name: &str| only(form, name).map(str::trim).filter(|text| !text.is_empty());
        if let Some(number) = text("identifier") {
            let system = text("system").filter(|_| !number.contains('|'));
            return Some(Self::Identifier(
                system.map_or_else(|| number.to_owned(), |system| format!("{system}|{number}")),
            ));
        }
        let fields = [("family", "family"), ("given", "given"), ("birthdate", "birthdate")];
        let given: Vec<_> =
            fields.iter().filter_map(|(field, name)| Some(((*name).to_owned(), text(field)?.to_owned()))).collect();
        (!given.is_empty()).then_some(Self::Person(given))
    }

    /// The identifier with its system, by which a patient is known in the whole exchange.
    fn identifier(&self) -> Option<&str> {
        match self {
            Self::Identifier(identifier) => Some(identifier.as_str()).filter(|text| text.contains('|')),
            Self::Person(_) => None,
        }
    }

    fn query(&self) -> String {
        let count = FOUND_MAX.to_string();
        let count = [("_count", count.as_str())];
        match self {
            Self::Identifier(identifier) => query([("identifier", identifier.as_str())].into_iter().chain(count)),
            Self::Person(given) => query(borrowed(given).chain(count)),
        }
    }
}

/// Who was found.
#[derive(Default)]
struct Found {
    people: Vec<Value>,
    /// Whether there are others beyond these.
    more: bool,
}

async fn people(visit: &mut Visit, wanted: &Wanted) -> Result<Found, GatewayError> {
    let reply = visit.search("Patient/_search", wanted.query()).await?;
    let bundle = reading::bundle(&reply.content)?;
    let matches = bundle.entries.into_iter().filter(|entry| entry.mode.as_deref() == Some("match"));
    Ok(Found { people: matches.map(|entry| entry.resource).collect(), more: bundle.next.is_some() })
}

/// The Patient whom an identifier names, by its id.
pub(super) async fn by_identifier(visit: &mut Visit, identifier: &str) -> Result<String, GatewayError> {
    if !identifier.contains('|') {
        return Ok(identifier.to_owned());
    }
    let found = people(visit, &Wanted::Identifier(identifier.to_owned())).await?.people;
    let id = found.first().filter(|_| found.len() == 1).and_then(|one| one.get("id")?.as_str());
    id.map(str::to_owned).ok_or_else(GatewayError::unknown_patient)
}

fn list(visit: &Visit, found: &Found) -> Markup {
    let count = found.people.len();
    html! {
        h2 { (if found.more { words::found_more(count) } else { words::found(count) }) }
        ul .cards {
            @for one in &found.people {
                @let id = one.get("id").and_then(Value::as_str).unwrap_or_default();
                li .card {
                    a href=(href(visit, id, "")) { strong { (reading::person(one)) } }
                    p .quiet { (reading::about_person(one, visit)) }
                }
            }
        }
    }
}

fn forms(gateway: &Gateway, visit: &Visit, purpose: &str) -> Markup {
    let mut systems = gateway.people.identifier_systems();
    let configured = gateway.sign_in.patient_system();
    if !configured.is_empty() && !systems.iter().any(|known| known == configured) {
        systems.push(configured.to_owned());
    }
    html! {
        form .card.search method="post" action={(PATH) "/find"} {
            input type="hidden" name="form" value=(visit.form);
            fieldset {
                legend { (words::BY_IDENTIFIER) }
                div .row {
                    div .field {
                        label for="identifier" { (words::IDENTIFIER) }
                        input #identifier name="identifier" autocomplete="off" spellcheck="false" aria-describedby="identifier-how";
                        p .quiet #identifier-how { (words::IDENTIFIER_HOW) }
                    }
                    div .field {
                        label for="system" { (words::SYSTEM) }
                        select #system name="system" {
                            option value="" { (words::ANY_SYSTEM) }
                            @for system in &systems { option value=(system) { (system) } }
                        }
                    }
                }
            }
            fieldset {
                legend { (words::BY_NAME) }
                p .quiet { (words::BY_NAME_HOW) }
                div .row {
                    div .field { label for="family" { (words::FAMILY) } input #family name="family" autocomplete="off"; }
                    div .field { label for="given" { (words::GIVEN) } input #given name="given" autocomplete="off"; }
                    div .field { label for="birthdate" { (words::BIRTH_DATE) } input #birthdate name="birthdate" type="date"; }
                }
            }
            div .row {
                div .field {
                    label for="purpose" { (words::PURPOSE) }
                    select #purpose name=(PURPOSE) aria-describedby="purpose-how" { (purpose_options(purpose)) }
                    p .quiet #purpose-how { (words::PURPOSE_HOW) }
                }
                button type="submit" { (words::OPEN) }
            }
        }
    }
}

/// Emergency accesses in which this user takes part, or which wait for somebody like them.
async fn accesses(gateway: &Arc<Gateway>, visit: &mut Visit) -> Result<Markup, GatewayError> {
    let all = gateway.list_emergencies(&visit.asking);
    let going_on: Vec<Shown> = all.into_iter().filter(|one| one.standing != Standing::Ended).collect();
    // A list of nobody tells of nothing.
    if going_on.is_empty() {
        return Ok(html! {});
    }
    visit.tells_of("emergency accesses").await?;
    let own = |one: &Shown| one.access.user == visit.asking.user;
    Ok(html! {
        section .card aria-labelledby="accesses" {
            h2 #accesses { (words::ACCESSES) }
            ul .plain {
                @for one in &going_on {
                    li .row {
                        p {
                            strong { (number_of(&one.access.named)) } " · "
                            @if own(one) { (words::OWN_ACCESS) } @else { (one.access.user) ", " (one.access.role) }
                            " · " (one.access.reason.code)
                            " · "
                            @match (one.standing, one.access.until) {
                                (Standing::Active, Some(until)) => { (words::until(&date::moment(until))) }
                                _ => { (words::AWAITED) }
                            }
                        }
                        @if own(one) && one.standing == Standing::Active {
                            @if one.access.named.contains('|') {
                                form method="post" action={(PATH) "/find"} {
                                    input type="hidden" name="form" value=(visit.form);
                                    input type="hidden" name="identifier" value=(one.access.named);
                                    input type="hidden" name=(PURPOSE) value=(one.access.purpose);
                                    button type="submit" { (words::OPEN_RECORD) }
                                }
                            } @else {
                                a .button href={(PATH) "/patients/" (one.access.named) "?" (PURPOSE) "=" (one.access.purpose)} {
                                    (words::OPEN_RECORD)
                                }
                            }
                        } @else if !own(one) && one.standing == Standing::Awaited {
                            (emergency::approve_form(visit, &one.access.id))
                        }
                    }
                }
            }
        }
    })
}
