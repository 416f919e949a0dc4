//! The authorization endpoint: an app sends a user here, the user approves, and the app gets a code (RFC 6749, section
//! 4.1; PKCE, RFC 7636; SMART App Launch 2.2, "Obtain authorization code"). Until the user approves nothing is
//! remembered: the request travels through the consent page as a ticket with a MAC, so requests cannot fill memory.

use serde::{Deserialize, Serialize};

use crate::app::App;
use crate::error::{ErrorCode, OAuthError};
use crate::form::{Form, with_parameters};
use crate::grant::Fingerprint;
use crate::identifier::{ClientId, EncounterId, GrantId, PatientId, Purpose, UserName};
use crate::jws;
use crate::scope::{Context, Scope};
use crate::scope_set::{DroppedScope, ScopeRequest, ScopeSet};
use crate::server::{AuthorizationServer, Banner, full};
use crate::time::NumericDate;
use crate::token::{APP_TOKEN_SECONDS, SecretText, User};

/// How long a user may look at the consent page, in seconds.
pub const TICKET_SECONDS: u64 = 10 * 60;
/// Longest ticket, in bytes.
pub const TICKET_BYTES_MAX: usize = 16 * 1024;
/// Lifetime of a code, in seconds.
pub const CODE_SECONDS: u64 = 60;
/// Most codes that are remembered, used ones among them.
pub const CODES_MAX: usize = 20_000;
/// Longest `state` or `nonce` of an app, in bytes.
pub const STATE_PARAMETER_BYTES_MAX: usize = 1024;
const TICKET_TYPE: &str = "authorization-request+jwt";

/// A request that a user may now approve. Nothing is granted yet.
#[derive(Debug, Clone)]
pub struct PendingAuthorization {
    /// The app's client id.
    pub client_id: ClientId,
    /// The app's name, for the page.
    pub app_name: String,
    /// What the app would get at most. For each, `describe` says what it means.
    pub scopes: ScopeSet,
    /// What it asked for in vain.
    pub dropped: Vec<DroppedScope>,
    /// Whether the user must choose a patient.
    pub patient: PatientChoice,
    /// For the form of the page; it comes back with the user's answer.
    pub ticket: SecretText,
}

/// Whose record an app asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PatientChoice {
    /// No single patient's.
    NotNeeded,
    /// The user chooses.
    ToChoose,
    /// The launch says.
    Fixed(PatientId),
}

/// The user's answer.
#[derive(Debug, Clone)]
pub struct Consent {
    /// What the user left ticked; more than was asked for has no effect.
    pub scopes: ScopeSet,
    /// The patient whom the user chose, where there was a choice.
    pub patient: Option<PatientId>,
    /// The purpose of use, if the approval fixes one.
    pub purpose: Option<Purpose>,
}

/// Why there is nothing to approve.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refusal {
    /// Show it to the user. The app or its address is not verified, so nobody is sent there (RFC 6749, 4.1.2.1).
    ToUser(OAuthError),
    /// Send the browser back to the app, which is told why.
    ToApp {
        /// The address, complete.
        location: String,
        /// The same for the log.
        error: OAuthError,
    },
}

/// A code that waits, or was used.
pub(crate) struct Code {
    pub(crate) client_id: ClientId,
    pub(crate) redirect_uri: String,
    pub(crate) challenge: [u8; 32],
    pub(crate) user: User,
    pub(crate) scopes: ScopeSet,
    pub(crate) patient: Option<PatientId>,
    pub(crate) encounter: Option<EncounterId>,
    pub(crate) purpose: Option<Purpose>,
    pub(crate) banner: Banner,
    pub(crate) nonce: Option<String>,
    pub(crate) grant: GrantId,
    pub(crate) usage: CodeUse,
    pub(crate) expires: NumericDate,
    /// A used code is remembered while tokens from it may live, so that its second use can end them.
    pub(crate) forgotten: NumericDate,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum CodeUse {
    Waiting,
    Used,
}

/// The request while the user looks at it. Only the gateway can make one.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Ticket {
    client_id: ClientId,
    redirect_uri: String,
    state: String,
    challenge: String,
    scope: ScopeSet,
    user: UserName,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    launch: Option<Fingerprint>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    nonce: Option<String>,
    exp: NumericDate,
}

impl AuthorizationServer {
    /// Reads a request of `GET` (the query) or `POST` (the body) for a user who is signed in.
    pub fn authorize(
        &self,
        parameters: &[u8],
        user: &UserName,
        now: NumericDate,
    ) -> Result<PendingAuthorization, Refusal> {
        let form = Form::parse(parameters).map_err(Refusal::ToUser)?;
        let (app, redirect_uri) = self.verified_address(&form).map_err(Refusal::ToUser)?;
        let state = form.value("state").filter(|state| state.len() <= STATE_PARAMETER_BYTES_MAX);
        self.check_request(&form, app, state, user, now)
            .map_err(|error| Refusal::ToApp { location: error_location(redirect_uri, &error, state), error })
    }

    /// The user approves: the address to which the browser goes, with a code in it. The gateway makes sure that the
    /// form comes from its own page and that this very user is still signed in and may see the patient.
    pub fn approve(
        &mut self,
        ticket: &str,
        user: &User,
        consent: Consent,
        random: &mut dyn FnMut() -> [u8; 32],
        now: NumericDate,
    ) -> Result<String, OAuthError> {
        let ticket = self.open_ticket(ticket, &user.name, now)?;
        let app = self.apps.find(&ticket.client_id).ok_or_else(crate::server::unknown_app)?;
        // Registered scopes once more: the hospital may have changed them meanwhile.
        let scopes = self.grantable(&consent.scopes.intersect(&ticket.scope).intersect(app.scopes()));
        if scopes.is_empty() {
            return Err(OAuthError::new(ErrorCode::InvalidScope, "nothing was approved; tick something or refuse"));
        }
        if self.codes.len() >= CODES_MAX {
            self.codes.retain(|_, code| now < code.forgotten);
        }
        if self.codes.len() >= CODES_MAX {
            return Err(full());
        }
        let (patient, encounter, banner) = self.context_of(&ticket, &scopes, consent.patient, now)?;
        let server_fault = |_| OAuthError::new(ErrorCode::ServerError, "no identifier could be made; try again");
        let code = SecretText::new(jws::encode(&random()));
        let challenge = challenge(&ticket.challenge).ok_or_else(stale)?;
        let waiting = Code {
            client_id: ticket.client_id,
            challenge,
            user: user.clone(),
            scopes,
            patient,
            encounter,
            purpose: consent.purpose,
            banner,
            nonce: ticket.nonce,
            grant: jws::encode(&random()).parse().map_err(server_fault)?,
            usage: CodeUse::Waiting,
            expires: now.plus(CODE_SECONDS),
            forgotten: now.plus(CODE_SECONDS + APP_TOKEN_SECONDS),
            redirect_uri: ticket.redirect_uri,
        };
        let parameters = [("code", code.expose()), ("state", ticket.state.as_str())];
        let location = with_parameters(&waiting.redirect_uri, &parameters);
        // A launch is answered once.
        ticket.launch.and_then(|launch| self.launches.remove(&launch));
        self.codes.insert(Fingerprint::of(code.expose(), self.digest), waiting);
        Ok(location)
    }

    /// The user refuses: the address to which the browser goes.
    pub fn deny(&mut self, ticket: &str, user: &UserName, now: NumericDate) -> Result<String, OAuthError> {
        let ticket = self.open_ticket(ticket, user, now)?;
        ticket.launch.as_ref().and_then(|launch| self.launches.remove(launch));
        let error = OAuthError::new(ErrorCode::AccessDenied, "the user did not approve");
        Ok(error_location(&ticket.redirect_uri, &error, Some(&ticket.state)))
    }

    /// The app and its address. As long as these two are not sure, an error must not travel.
    fn verified_address<'a>(&self, form: &'a Form) -> Result<(&App, &'a str), OAuthError> {
        let client_id = form.required("client_id")?.parse().map_err(|_| crate::server::unknown_app())?;
        let app = self.apps.find(&client_id).ok_or_else(crate::server::unknown_app)?;
        let redirect_uri = form.required("redirect_uri")?;
        if !app.redirects_to(redirect_uri) {
            let text = "the app did not register this redirect_uri; it must be equal, character for character";
            return Err(OAuthError::new(ErrorCode::InvalidRequest, text));
        }
        Ok((app, redirect_uri))
    }

    fn check_request(
        &self,
        form: &Form,
        app: &App,
        state: Option<&str>,
        user: &UserName,
        now: NumericDate,
    ) -> Result<PendingAuthorization, OAuthError> {
        let wrong = |text| OAuthError::new(ErrorCode::InvalidRequest, text);
        if form.required("response_type")? != "code" {
            return Err(OAuthError::new(ErrorCode::UnsupportedResponseType, "the only response_type is code"));
        }
        let state = state.ok_or_else(|| wrong("state is required, with 1 to 1024 bytes that cannot be guessed"))?;
        if form.value("code_challenge_method") != Some("S256") {
            return Err(wrong("PKCE is required: code_challenge_method is S256"));
        }
        let encoded_challenge = form.required("code_challenge")?;
        challenge(encoded_challenge).ok_or_else(|| wrong("code_challenge is SHA-256 of the verifier as base64url"))?;
        let base = self.endpoints.fhir_base.as_str();
        let audience = form.required("aud")?;
        // The same place with and without the slash that some clients add.
        if audience.strip_suffix('/').unwrap_or(audience) != base {
            return Err(wrong("aud is the base URL of this FHIR server, exactly"));
        }
        if form.value("request").is_some() || form.value("request_uri").is_some() {
            return Err(wrong("this server reads no request objects"));
        }
        let nonce = form.value("nonce").map(str::to_owned);
        if nonce.as_ref().is_some_and(|nonce| nonce.len() > STATE_PARAMETER_BYTES_MAX) {
            return Err(wrong("nonce has at most 1024 bytes"));
        }
        let mut request = ScopeRequest::parse(form.required("scope")?);
        let scopes = self.grantable(&request.scopes.intersect(app.scopes()));
        request.note_what_is_not_in(&scopes);
        if scopes.is_empty() {
            return Err(OAuthError::new(ErrorCode::InvalidScope, "none of the scopes can be granted to this app"));
        }
        let launch = self.launch_of(form, app, &scopes, user, now)?;
        let patient = match &launch {
            Some((_, patient)) => PatientChoice::Fixed(patient.clone()),
            None if needs_patient(&scopes) => PatientChoice::ToChoose,
            None => PatientChoice::NotNeeded,
        };
        let ticket = Ticket {
            client_id: app.client_id().clone(),
            redirect_uri: form.required("redirect_uri")?.to_owned(),
            state: state.to_owned(),
            challenge: encoded_challenge.to_owned(),
            scope: scopes.clone(),
            user: user.clone(),
            launch: launch.map(|(launch, _)| launch),
            nonce,
            exp: now.plus(TICKET_SECONDS),
        };
        let ticket = self.tickets.seal(TICKET_TYPE, &ticket).filter(|text| text.len() <= TICKET_BYTES_MAX);
        Ok(PendingAuthorization {
            client_id: app.client_id().clone(),
            app_name: app.name().to_owned(),
            scopes,
            dropped: request.dropped,
            patient,
            ticket: ticket.map(SecretText::new).ok_or_else(|| wrong("the request is too long"))?,
        })
    }

    /// The launch that a request answers, with its patient. It belongs to one app and one user.
    fn launch_of(
        &self,
        form: &Form,
        app: &App,
        scopes: &ScopeSet,
        user: &UserName,
        now: NumericDate,
    ) -> Result<Option<(Fingerprint, PatientId)>, OAuthError> {
        let asked = scopes.contains(&Scope::Launch);
        let Some(launch) = form.value("launch") else {
            let text = "the scope launch needs the parameter launch that the app was opened with";
            return if asked { Err(OAuthError::new(ErrorCode::InvalidRequest, text)) } else { Ok(None) };
        };
        let fingerprint = Fingerprint::of(launch, self.digest);
        let launch = self.launches.get(&fingerprint).filter(|waiting| {
            let launch = &waiting.launch;
            asked && now < waiting.expires && launch.client_id == *app.client_id() && launch.user == *user
        });
        let text = "launch is not a launch of this app by this user, or it is over; open the app again";
        let launch = launch.ok_or_else(|| OAuthError::new(ErrorCode::InvalidRequest, text))?;
        Ok(Some((fingerprint, launch.launch.patient.clone())))
    }

    /// In which context the app runs: the launch's, or the patient whom the user chose.
    fn context_of(
        &self,
        ticket: &Ticket,
        scopes: &ScopeSet,
        chosen: Option<PatientId>,
        now: NumericDate,
    ) -> Result<(Option<PatientId>, Option<EncounterId>, Banner), OAuthError> {
        let wrong = |text| OAuthError::new(ErrorCode::InvalidRequest, text);
        if let Some(launch) = &ticket.launch {
            let waiting = self.launches.get(launch).filter(|waiting| now < waiting.expires);
            let launch = &waiting.ok_or_else(|| wrong("the launch is over; open the app again"))?.launch;
            if chosen.is_some_and(|chosen| chosen != launch.patient) {
                return Err(wrong("the app was opened for another patient"));
            }
            return Ok((Some(launch.patient.clone()), launch.encounter.clone(), launch.banner));
        }
        match (needs_patient(scopes), chosen) {
            (true, None) => Err(wrong("choose the patient whose record the app may see")),
            (true, patient) => Ok((patient, None, Banner::App)),
            (false, _) => Ok((None, None, Banner::App)),
        }
    }

    /// What an app can have from a user: nothing of its own (`system/`), and no promise of an identity token where none
    /// is issued. `fhirUser` is a claim of that token.
    pub(crate) fn grantable(&self, scopes: &ScopeSet) -> ScopeSet {
        let identity = self.identity_key.is_some() && scopes.contains(&Scope::OpenId);
        scopes.only(|scope| match scope {
            Scope::Resource(scope) => scope.context() != Context::System,
            Scope::OpenId | Scope::FhirUser => identity,
            _ => true,
        })
    }

    fn open_ticket(&self, ticket: &str, user: &UserName, now: NumericDate) -> Result<Ticket, OAuthError> {
        let ticket: Ticket = self.tickets.open(TICKET_TYPE, ticket, TICKET_BYTES_MAX).map_err(|_| stale())?;
        if now < ticket.exp && ticket.user == *user { Ok(ticket) } else { Err(stale()) }
    }
}

pub(crate) fn needs_patient(scopes: &ScopeSet) -> bool {
    scopes.contains(&Scope::LaunchPatient) || scopes.has_context(Context::Patient)
}

/// The only form of an S256 challenge: 32 bytes (RFC 7636, section 4.2).
fn challenge(text: &str) -> Option<[u8; 32]> {
    jws::decode(text)?.try_into().ok()
}

fn stale() -> OAuthError {
    let text = "this page is older than ten minutes or belongs to another user; start again in the app";
    OAuthError::new(ErrorCode::InvalidRequest, text)
}

fn error_location(redirect_uri: &str, error: &OAuthError, state: Option<&str>) -> String {
    let mut parameters = vec![("error", error.code().as_str()), ("error_description", error.description())];
    parameters.extend(state.map(|state| ("state", state)));
    with_parameters(redirect_uri, &parameters)
}
