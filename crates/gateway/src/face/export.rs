//! `Patient/[id]/$export`: one patient's record as NDJSON, by the steps of the bulk data pattern (HL7 Bulk Data Access,
//! "Export"). Nothing is kept for it: what the handles say is all there is to know, and each file is made from the
//! open record when it is fetched, by whatever consent and scopes allow then.

use std::collections::BTreeMap;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::{HeaderName, StatusCode, header};
use minicbor::{Decode, Encode};
use sealwort_fhir::response::instant;
use sealwort_fhir::{IssueCode, ResourceId, ResourceType};
use sealwort_proto::codec::{from_bytes, to_bytes};
use serde_json::json;

use super::everything::{Chosen, lines, whole};
use super::reply::{Content, Reply, date};
use super::request::{Ask, Waiting};
use crate::Gateway;
use crate::error::GatewayError;
use crate::view::Held;

/// How long a handle is good, in seconds.
const HANDLE_SECONDS: u64 = 3600;
/// Longest handle, in bytes.
const HANDLE_BYTES_MAX: usize = 4096;

/// An export, as its URLs carry it: sealed, so that nobody else can make one.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[cbor(array)]
struct Export {
    #[n(0)]
    patient: String,
    /// `_type` and `_since` as they were given.
    #[n(1)]
    chosen: Vec<(String, String)>,
    /// Unix time of the request.
    #[n(2)]
    begun: u64,
}

/// `GET Patient/[id]/$export`
pub(super) async fn begin(gateway: &Arc<Gateway>, ask: &Ask) -> Result<Reply, GatewayError> {
    ask.knows(&["_type", "_since", "_outputFormat"])?;
    refuse_in_emergency(ask)?;
    if ask.prefer.respond_async != Waiting::Elsewhere {
        return Err(GatewayError::request(
            400,
            IssueCode::Required,
            "async-needed",
            "an export is asked for in the asynchronous way",
            "send Prefer: respond-async",
        ));
    }
    match ask.parameter("_outputFormat")? {
        None | Some("application/fhir+ndjson" | "application/ndjson" | "ndjson") => {}
        Some(_) => return Err(super::request::bad_parameter("_outputFormat", "it is application/fhir+ndjson")),
    }
    Chosen::of(ask)?;
    let (_, id) = whole(gateway, ask).await?;
    let chosen = ask.parameters.iter().filter(|(name, _)| name == "_type" || name == "_since").cloned().collect();
    let export = Export { patient: id.as_str().to_owned(), chosen, begun: gateway.sessions.now().as_secs() };
    let mut reply = Reply::status(StatusCode::ACCEPTED);
    reply.headers.push((header::CONTENT_LOCATION, format!("{}/$export-status/{}", gateway.base, export.seal(gateway))));
    Ok(reply)
}

/// Refuses a copy of a record that was opened by breaking the glass.
pub(super) fn refuse_in_emergency(ask: &Ask) -> Result<(), GatewayError> {
    if ask.asking.purpose != crate::emergency::BREAK_THE_GLASS {
        return Ok(());
    }
    Err(GatewayError::request(
        403,
        IssueCode::Forbidden,
        "emergency-no-export",
        "emergency access is for looking, not for taking a copy",
        "read the record, or search in it",
    ))
}

/// `GET $export-status/[handle]`: the manifest. The record is in memory, so there is nothing to wait for.
pub(super) async fn status(gateway: &Arc<Gateway>, ask: &Ask) -> Result<Reply, GatewayError> {
    let (export, ask) = export_of(gateway, ask)?;
    let (seen, _) = whole(gateway, &ask).await?;
    let chosen = Chosen::of(&ask)?;
    let mut counts: BTreeMap<ResourceType, u64> = BTreeMap::new();
    for (_, held) in seen.places().filter(|(_, held)| chosen.takes(held)) {
        *counts.entry(held.kind).or_default() += 1;
    }
    let handle = export.seal(gateway);
    let output: Vec<_> = counts
        .iter()
        .map(|(kind, count)| {
            json!({ "type": kind.as_str(), "url": format!("{}/$export-file/{handle}/{kind}", gateway.base), "count": count })
        })
        .collect();
    let time = date(sealwort_pki::UnixTime::from_secs(export.begun)).map(instant).unwrap_or_default();
    let manifest = json!({
        "transactionTime": time,
        "request": format!("{}/Patient/{}/$export", gateway.base, export.patient),
        "requiresAccessToken": true,
        "output": output,
        "error": [],
    });
    let ends = date(sealwort_pki::UnixTime::from_secs(export.begun + HANDLE_SECONDS));
    let mut reply =
        Reply { status: StatusCode::OK, content: manifest.to_string().into(), kind: Content::Json, ..Reply::default() };
    reply
        .headers
        .push((HeaderName::from_static("expires"), ends.and_then(super::reply::http_date_of).unwrap_or_default()));
    Ok(reply.of(&seen))
}

/// `GET $export-file/[handle]/[type]`
pub(super) async fn file(gateway: &Arc<Gateway>, ask: &Ask) -> Result<Reply, GatewayError> {
    let kind = ask.place.kind()?;
    let (_, ask) = export_of(gateway, ask)?;
    let (seen, _) = whole(gateway, &ask).await?;
    let chosen = Chosen::of(&ask)?;
    let of_kind = seen.places().map(|(_, held)| held).filter(|held| held.kind == kind && chosen.takes(held));
    let show = |held: &&Held| ask.asking.trail.shows(seen.view.patient, held.kind, held.id.as_str());
    let content = lines(of_kind.inspect(show));
    Ok(Reply { status: StatusCode::OK, content, kind: Content::Lines, ..Reply::default() }.of(&seen))
}

/// `DELETE $export-status/[handle]`: nothing is kept, so there is nothing to stop; that nobody goes on asking is the
/// client's to see to.
pub(super) fn cancel(gateway: &Arc<Gateway>, ask: &Ask) -> Result<Reply, GatewayError> {
    export_of(gateway, ask)?;
    Ok(Reply::status(StatusCode::ACCEPTED))
}

impl Export {
    fn seal(&self, gateway: &Gateway) -> String {
        URL_SAFE_NO_PAD.encode(gateway.member.kek().wrap(&[b"export v1"], &to_bytes(self)))
    }

    fn open(gateway: &Gateway, text: &str) -> Option<Self> {
        if text.len() > HANDLE_BYTES_MAX {
            return None;
        }
        let sealed = URL_SAFE_NO_PAD.decode(text).ok()?;
        let plain = gateway.member.kek().unwrap(&[b"export v1"], &sealed).ok()?;
        from_bytes(&plain, HANDLE_BYTES_MAX).ok()
    }
}

/// The export of a handle, and the request as if it named the patient itself.
fn export_of(gateway: &Gateway, ask: &Ask) -> Result<(Export, Ask), GatewayError> {
    let gone = || {
        GatewayError::request(
            404,
            IssueCode::NotFound,
            "export-unknown",
            "there is no such export, or its hour is over",
            "ask for a new one: GET Patient/[id]/$export",
        )
    };
    let export = ask.place.handle.as_deref().and_then(|text| Export::open(gateway, text)).ok_or_else(gone)?;
    if gateway.sessions.now().as_secs() > export.begun + HANDLE_SECONDS {
        return Err(gone());
    }
    let id: ResourceId = export.patient.parse().map_err(|_| gone())?;
    let mut place = ask.place.clone();
    place.id = Some(id);
    let one = Ask {
        asking: ask.asking.clone(),
        place,
        parameters: export.chosen.clone(),
        conditions: super::request::Conditions::default(),
        prefer: ask.prefer,
        body: bytes::Bytes::new(),
        media: None,
    };
    Ok((export, one))
}
