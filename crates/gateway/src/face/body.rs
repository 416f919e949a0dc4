//! The body of a request: received whole within the server's limit, and unpacked where it came in gzip. What unpacks
//! to far more than was sent is refused before it is unpacked.

use std::io::Read as _;

use axum::body::Body;
use bytes::Bytes;
use flate2::read::MultiGzDecoder;
use http::{HeaderMap, header};
use http_body_util::BodyExt as _;
use sealwort_fhir::IssueCode;

use crate::error::GatewayError;

/// Most bytes that a gzip body may unpack to.
const UNPACKED_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Most bytes unpacked for one that was sent. FHIR JSON packs to about a tenth; only bombs pack better than this.
const UNPACKED_RATIO_MAX: u64 = 100;
/// Bytes that any body may unpack to, however small it was.
const UNPACKED_BYTES_FREE: u64 = 256 * 1024;

/// Receives the body.
pub(super) async fn received(headers: &HeaderMap, body: Body) -> Result<Bytes, GatewayError> {
    let sent = body.collect().await.map_err(|_| unreadable("the body did not arrive whole"))?.to_bytes();
    let coding = headers.get(header::CONTENT_ENCODING).map(|value| value.to_str().unwrap_or("?").to_ascii_lowercase());
    match coding.as_deref() {
        None | Some("identity" | "") => Ok(sent),
        Some("gzip" | "x-gzip") => {
            let unpacking = sealwort_net::transport::away(move || unpack(&sent)).await;
            unpacking.map_err(|_| GatewayError::Kept("unpacking a body was interrupted"))?
        }
        Some(_) => Err(GatewayError::request(
            415,
            IssueCode::NotSupported,
            "content-coding-unsupported",
            "bodies come as they are or in gzip",
            "send Content-Encoding: gzip, or none",
        )),
    }
}

fn unpack(sent: &[u8]) -> Result<Bytes, GatewayError> {
    let allowed = (sent.len() as u64 * UNPACKED_RATIO_MAX + UNPACKED_BYTES_FREE).min(UNPACKED_BYTES_MAX);
    let broken = |_| unreadable("the body is not sound gzip");
    // Measured first, so that a bomb takes time and no memory.
    let mut measure = MultiGzDecoder::new(sent).take(allowed + 1);
    let size = std::io::copy(&mut measure, &mut std::io::sink()).map_err(broken)?;
    if size > allowed {
        return Err(GatewayError::request(
            413,
            IssueCode::TooLong,
            "unpacks-too-large",
            format!("the gzip body unpacks to more than {allowed} bytes"),
            "send it in parts, or without compression",
        ));
    }
    let mut out = Vec::with_capacity(usize::try_from(size).unwrap_or_default());
    MultiGzDecoder::new(sent).read_to_end(&mut out).map_err(broken)?;
    Ok(out.into())
}

fn unreadable(text: &str) -> GatewayError {
    GatewayError::request(400, IssueCode::Structure, "body-unreadable", text, "send it again")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use std::io::Write as _;

    use super::*;

    fn packed(content: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        encoder.write_all(content).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn gzip_is_unpacked_and_bombs_are_not() {
        let text = br#"{"resourceType":"Basic"}"#;
        assert_eq!(unpack(&packed(text)).unwrap(), text.as_slice());
        let free = usize::try_from(UNPACKED_BYTES_FREE).unwrap();
        assert!(unpack(&packed(&vec![b' '; free])).is_ok());
        assert_eq!(unpack(&packed(&vec![b' '; 40 * free])).unwrap_err().status(), 413);
        let mut twice = packed(text);
        twice.extend(packed(text));
        assert_eq!(unpack(&twice).unwrap().len(), 2 * text.len());
        assert_eq!(unpack(b"not gzip").unwrap_err().status(), 400);
        let whole = packed(text);
        let cut = whole.get(..whole.len() - 4).unwrap();
        assert_eq!(unpack(cut).unwrap_err().status(), 400);
    }
}
