//! A `.sphr` file: a ZIP folder with the record as one `.phr` file (a resource in each line: cover page, document
//! manifest, patient, the rest, provenance), the International Patient Summary, the patient's consent, documents as files
//! of their own, who had to do with the record, and last a manifest with the SHA-256 of each part, signed by this hospital.

use std::io::{self, Write as _};
use std::sync::{Arc, Mutex, PoisonError};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use sealwort_pki::KeyAlgorithm;
use sealwort_proto::crypto::Sha256;
use serde_json::{Value, json};
use zip::write::{SimpleFileOptions, StreamWriter};
use zip::{CompressionMethod, ZipWriter};

use super::{
    Cover, GatewayError, Leaving, Organization, Outlet, PIECE_BYTES, RESOURCES_PER_ASKING, attachments, instant,
};

/// What the manifest says it is.
const FORMAT: &str = "sealwort-phr/1";
/// References named in the manifest at most.
const MISSING_NAMED_MAX: usize = 1000;

/// Writes the file.
pub(super) async fn write(leaving: &Leaving, outlet: Outlet) -> Result<(), GatewayError> {
    let mut folder = Folder::new(leaving.id.as_str(), outlet);
    let (lines, provenances) = record(leaving, &mut folder).await?;
    folder.whole("ips.json", "application/fhir+json", &leaving.summary).await?;
    if let Some(consent) = &leaving.consent {
        folder.whole("consent.json", "application/json", consent).await?;
    }
    for (number, log) in (1..).zip(&leaving.access_logs) {
        let which = if number == 1 { String::new() } else { format!("-{number}") };
        folder.whole(&format!("access-log{which}.json"), "application/json", log).await?;
    }
    documents(leaving, &mut folder).await?;
    let manifest = manifest(leaving, &folder, lines, provenances);
    let manifest = manifest.to_string().into_bytes();
    let signature = signature(leaving, &manifest)?;
    folder.whole("manifest.json", "application/json", &manifest).await?;
    folder.whole("manifest.json.jws", "application/jose", signature.as_bytes()).await?;
    Box::pin(folder.finish()).await
}

/// The `.phr` file. How many resources of the record it has, and how many Provenances that were made for them.
async fn record(leaving: &Leaving, folder: &mut Folder) -> Result<(u64, u64), GatewayError> {
    let contents = leaving.contents();
    let identity = leaving.gateway.member.identity();
    let (uri, name) = (identity.to_string(), identity.name.to_string());
    let cover = Cover {
        patient: &leaving.id,
        author: Organization { uri: &uri, name: &name },
        date: leaving.now(),
        contents: &contents,
    };
    folder.begin(&format!("{}.phr", leaving.id), "application/fhir+ndjson")?;
    folder.line(&cover.composition()).await?;
    folder.line(&cover.document_manifest()).await?;
    let (mut lines, mut provenances) = (0u64, 0u64);
    for (at, (_, _, version)) in leaving.resources().enumerate() {
        let Some(content) = &version.content else { continue };
        folder.line(content).await?;
        lines += 1;
        if at % RESOURCES_PER_ASKING == RESOURCES_PER_ASKING - 1 {
            leaving.still_allowed().await?;
        }
    }
    for (at, (kind, id, version)) in leaving.resources().enumerate() {
        let Some(provenance) = Leaving::provenance(kind, id, version) else { continue };
        folder.line(&provenance).await?;
        provenances += 1;
        if at % RESOURCES_PER_ASKING == RESOURCES_PER_ASKING - 1 {
            leaving.still_allowed().await?;
        }
    }
    folder.end();
    Ok((lines, provenances))
}

/// Documents that resources hold, as files; they stand in the resources as well, so that these come back as they were.
async fn documents(leaving: &Leaving, folder: &mut Folder) -> Result<(), GatewayError> {
    for (at, (kind, id, version)) in leaving.resources().enumerate() {
        let Some(content) = &version.content else { continue };
        let text = std::str::from_utf8(content).unwrap_or_default();
        if !text.contains("\"contentType\"") {
            continue;
        }
        let Ok(tree) = serde_json::from_str::<Value>(text) else { continue };
        for (number, attachment) in attachments(&tree).into_iter().enumerate() {
            let path = format!("documents/{kind}-{id}-{}.{}", number + 1, attachment.extension());
            folder.whole(&path, &attachment.content_type, &attachment.data).await?;
        }
        if at % RESOURCES_PER_ASKING == RESOURCES_PER_ASKING - 1 {
            leaving.still_allowed().await?;
        }
    }
    Ok(())
}

fn manifest(leaving: &Leaving, folder: &Folder, lines: u64, provenances: u64) -> Value {
    let view = &leaving.seen.view;
    let identity = leaving.gateway.member.identity();
    let counts: serde_json::Map<String, Value> =
        leaving.contents().iter().map(|(kind, ids)| (kind.to_string(), ids.len().into())).collect();
    json!({
        "format": FORMAT,
        "fhirVersion": "4.0.1",
        "hospital": identity.to_string(),
        "created": instant(leaving.now()),
        "patient": format!("Patient/{}", leaving.id),
        "log": { "patient": view.patient.to_string(), "sequence": view.at.sequence, "head": hex::encode(view.at.head.as_bytes()) },
        "resources": lines,
        "provenances": provenances,
        "types": counts,
        "withheld": leaving.seen.withheld(),
        "limited": !matches!(leaving.seen.visible(), sealwort_fhir::search::Visible::Everything),
        "missing": leaving.missing.iter().take(MISSING_NAMED_MAX).collect::<Vec<_>>(),
        "parts": folder.parts,
    })
}

/// A detached JWS (RFC 7515, appendix F) of the manifest under the hospital's statement key, with its certificates. What
/// is signed begins with text, as no statement of the protocol does.
fn signature(leaving: &Leaving, manifest: &[u8]) -> Result<String, GatewayError> {
    let party = leaving.gateway.member.party();
    let algorithm = match party.key.algorithm() {
        KeyAlgorithm::Ed25519 => "EdDSA",
        KeyAlgorithm::EcdsaP256 => "ES256",
    };
    let chain: Vec<String> = party.chain.certificates().iter().map(|der| STANDARD.encode(der)).collect();
    let header = URL_SAFE_NO_PAD.encode(json!({ "alg": algorithm, "x5c": chain }).to_string());
    let signed = format!("{header}.{}", URL_SAFE_NO_PAD.encode(manifest));
    let signature = party.key.sign(signed.as_bytes()).map_err(|_| GatewayError::Kept("a manifest cannot be signed"))?;
    Ok(format!("{header}..{}", URL_SAFE_NO_PAD.encode(signature)))
}

/// What a ZIP writer has written and nobody has sent.
#[derive(Clone, Default)]
struct Gathered(Arc<Mutex<Vec<u8>>>);

impl Gathered {
    fn take(&self) -> Vec<u8> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl io::Write for Gathered {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The folder as it is written.
struct Folder {
    name: String,
    gathered: Gathered,
    zip: ZipWriter<StreamWriter<Gathered>>,
    outlet: Outlet,
    waiting: Vec<u8>,
    part: Option<Part>,
    /// The parts that are done, as the manifest tells them.
    parts: Vec<Value>,
}

struct Part {
    path: String,
    media: String,
    bytes: u64,
    lines: u64,
    hash: Sha256,
}

impl Folder {
    fn new(name: &str, outlet: Outlet) -> Self {
        let gathered = Gathered::default();
        let zip = ZipWriter::new_stream(gathered.clone());
        Self { name: name.to_owned(), gathered, zip, outlet, waiting: Vec::new(), part: None, parts: Vec::new() }
    }

    fn begin(&mut self, path: &str, media: &str) -> Result<(), GatewayError> {
        let options = SimpleFileOptions::default().compression_method(CompressionMethod::Deflated);
        self.zip.start_file(format!("{}/{path}", self.name), options).map_err(|_| unwritable())?;
        let (path, media) = (path.to_owned(), media.to_owned());
        self.part = Some(Part { path, media, bytes: 0, lines: 0, hash: Sha256::default() });
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), GatewayError> {
        if let Some(part) = &mut self.part {
            part.bytes += bytes.len() as u64;
            part.hash.update(bytes);
        }
        self.zip.write_all(bytes).map_err(|_| unwritable())
    }

    /// One resource in a line of its own. A line's end inside JSON is only ever white space: within strings it is escaped.
    async fn line(&mut self, content: &[u8]) -> Result<(), GatewayError> {
        let is_end = |byte: &u8| matches!(byte, b'\n' | b'\r');
        if content.iter().any(is_end) {
            let flat: Vec<u8> = content.iter().map(|byte| if is_end(byte) { b' ' } else { *byte }).collect();
            self.write(&flat)?;
        } else {
            self.write(content)?;
        }
        self.write(b"\n")?;
        if let Some(part) = &mut self.part {
            part.lines += 1;
        }
        self.pass(PIECE_BYTES).await
    }

    fn end(&mut self) {
        let Some(part) = self.part.take() else { return };
        let mut told = json!({
            "path": part.path,
            "contentType": part.media,
            "bytes": part.bytes,
            "sha256": hex::encode(part.hash.finish()),
        });
        if let (Some(object), true) = (told.as_object_mut(), part.lines > 0) {
            object.insert("lines".to_owned(), part.lines.into());
        }
        self.parts.push(told);
    }

    /// A part that is at hand.
    async fn whole(&mut self, path: &str, media: &str, content: &[u8]) -> Result<(), GatewayError> {
        self.begin(path, media)?;
        for piece in content.chunks(PIECE_BYTES) {
            self.write(piece)?;
            self.pass(PIECE_BYTES).await?;
        }
        self.end();
        Ok(())
    }

    async fn pass(&mut self, least: usize) -> Result<(), GatewayError> {
        self.waiting.append(&mut self.gathered.take());
        self.outlet.pass(&mut self.waiting, least).await
    }

    async fn finish(self) -> Result<(), GatewayError> {
        let Self { zip, gathered, outlet, mut waiting, .. } = self;
        zip.finish().map_err(|_| unwritable())?;
        waiting.append(&mut gathered.take());
        outlet.pass(&mut waiting, 1).await
    }
}

fn unwritable() -> GatewayError {
    GatewayError::Kept("a part of an export cannot be written")
}
