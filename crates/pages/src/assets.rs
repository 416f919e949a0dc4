//! Style sheets and scripts, compiled into the program. Their addresses hold a hash of what they are, so that browsers
//! keep them for good and get a new one with the next version.

use axum::Router;
use axum::body::Body;
use axum::extract::Path;
use axum::response::Response;
use axum::routing::get;
use http::{HeaderValue, StatusCode, header};
use rust_embed::RustEmbed;

#[derive(RustEmbed)]
#[folder = "assets"]
struct Assets;

/// The address of an asset: `/assets/0f3a…/pages.css`. A name that is none leads nowhere, which a test would see.
pub fn href(name: &str) -> String {
    let version = Assets::get(name).map(|file| version(&file)).unwrap_or_default();
    format!("{PATH}/{version}/{name}")
}

/// The route below which assets are.
pub fn routes<S: Clone + Send + Sync + 'static>() -> Router<S> {
    Router::new().route(&format!("{PATH}/{{version}}/{{name}}"), get(serve))
}

async fn serve(Path((asked, name)): Path<(String, String)>) -> Response {
    let found = Assets::get(&name).filter(|file| version(file) == asked).zip(media(&name));
    let Some((file, media)) = found else {
        let mut missing = Response::new(Body::from("there is no such file; load the page again\n"));
        *missing.status_mut() = StatusCode::NOT_FOUND;
        return missing;
    };
    let mut response = Response::new(Body::from(file.data.into_owned()));
    for (name, value) in [
        (header::CONTENT_TYPE, media),
        (header::CACHE_CONTROL, "public, max-age=31536000, immutable"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ] {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

fn version(file: &rust_embed::EmbeddedFile) -> String {
    let hash = file.metadata.sha256_hash();
    hex::encode(hash.get(..HASH_BYTES).unwrap_or(&hash))
}

fn media(name: &str) -> Option<&'static str> {
    match name.rsplit_once('.')?.1 {
        "css" => Some("text/css; charset=utf-8"),
        "js" => Some("text/javascript; charset=utf-8"),
        "svg" => Some("image/svg+xml"),
        _ => None,
    }
}

/// Path of all assets.
const PATH: &str = "/assets";
/// As much of the hash as tells versions apart.
const HASH_BYTES: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_names_what_is_there() {
        for name in ["pages.css", "htmx.js", "icon.svg"] {
            assert!(href(name).len() > PATH.len() + name.len() + 2 * HASH_BYTES, "{name}: {}", href(name));
        }
    }
}
