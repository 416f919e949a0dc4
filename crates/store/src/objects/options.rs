//! Which place: the options, read once and strictly. Nothing is taken from the environment.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use object_store::aws::AmazonS3Builder;
use object_store::local::LocalFileSystem;
use object_store::{BackoffConfig, ObjectStore, RetryConfig};
use sealwort_net::client::web::{Reach, WebClient};
use url::Url;

use super::http::Connector;
use super::{Inner, ObjectFault, Objects};
use crate::StoreError;

/// How long one request may take, its content included.
const PATIENCE: Duration = Duration::from_mins(2);
/// Attempts after a first one that failed, and how long after it the last of them may begin.
const RETRIES_MAX: usize = 3;
const RETRY_TIMEOUT: Duration = Duration::from_secs(30);
/// Larger than any ciphertext of an entry and any page of a listing.
const ANSWER_BYTES_MAX: usize = 256 * 1024 * 1024;

/// Where large entries go.
#[derive(Clone, Copy)]
pub struct ObjectOptions<'a> {
    /// `s3://bucket/prefix` or `file:///folder`.
    pub url: &'a str,
    /// `https://host:port` of the S3 server; empty for AWS in the region.
    pub endpoint: &'a str,
    /// The region that requests are signed for.
    pub region: &'a str,
    /// Name of the key.
    pub access_key: &'a str,
    /// The key.
    pub secret_key: &'a str,
    /// PEM file with the authorities of the server's certificate; without it those of the operating system.
    pub authorities: Option<&'a Path>,
    /// Ciphertexts of more bytes become objects.
    pub larger_than: usize,
    /// Age at which an object that no row names is collected. Far above the time of any write.
    pub orphans_after: Duration,
}

impl Objects {
    /// Reads the options. Nothing is connected yet.
    pub fn new(options: &ObjectOptions<'_>) -> Result<Self, StoreError> {
        let place = Place::of(options).map_err(|reason| ObjectFault::Options { reason })?;
        let (larger_than, orphans_after) = (options.larger_than, options.orphans_after);
        let Place { store, prefix, folder, at } = place;
        Ok(Self(Arc::new(Inner { store, prefix, folder, at, larger_than, orphans_after })))
    }
}

struct Place {
    store: Box<dyn ObjectStore>,
    prefix: object_store::path::Path,
    folder: Option<PathBuf>,
    at: String,
}

impl Place {
    fn of(options: &ObjectOptions<'_>) -> Result<Self, String> {
        let form = "objects.url is s3://bucket/prefix or file:///folder";
        // It is shown nowhere before it is known to hold no password.
        let url = Url::parse(options.url).map_err(|error| format!("{form}; this one is none: {error}"))?;
        if !url.username().is_empty() || url.password().is_some() || url.query().is_some() || url.fragment().is_some() {
            return Err(format!("{form}, without user, password or parameters"));
        }
        match url.scheme() {
            "s3" => Self::bucket(&url, options),
            "file" => Self::folder(&url, options),
            scheme => Err(format!("{form}; {scheme}:// is not known")),
        }
    }

    fn folder(url: &Url, options: &ObjectOptions<'_>) -> Result<Self, String> {
        let unused = [
            ("endpoint", options.endpoint.is_empty()),
            ("access_key", options.access_key.is_empty()),
            ("secret_key_file", options.secret_key.is_empty()),
            ("ca_file", options.authorities.is_none()),
        ];
        if let Some((name, _)) = unused.iter().find(|(_, empty)| !empty) {
            return Err(format!("objects.{name} is for s3:// alone; leave it empty with file://"));
        }
        let path = url.to_file_path().map_err(|()| "objects.url names no folder of this computer".to_owned())?;
        let store = LocalFileSystem::new_with_prefix(&path).map_err(|error| {
            format!("the folder {} cannot be opened: {error}; make it, or mount it", path.display())
        })?;
        // Without this it answers before anything is on the disk.
        let store = Box::new(store.with_fsync(true));
        let prefix = object_store::path::Path::default();
        Ok(Self { store, prefix, folder: Some(path), at: url.to_string() })
    }

    fn bucket(url: &Url, options: &ObjectOptions<'_>) -> Result<Self, String> {
        let bucket = url.host_str().filter(|host| !host.is_empty()).ok_or("objects.url names no bucket")?;
        let prefix = object_store::path::Path::from_url_path(url.path())
            .map_err(|error| format!("the prefix in objects.url cannot be used: {error}"))?;
        if options.access_key.is_empty() || options.secret_key.is_empty() {
            return Err("objects.access_key and objects.secret_key_file are needed for s3://".to_owned());
        }
        if options.region.is_empty() {
            return Err("objects.region is empty; us-east-1 does for servers that have none".to_owned());
        }
        let web = WebClient::new(options.authorities, Reach::Inside)
            .map_err(|reason| format!("objects.ca_file: {reason}"))?;
        let web = web.answer_bytes_max(ANSWER_BYTES_MAX).patience(PATIENCE);
        let mut builder = AmazonS3Builder::new()
            .with_bucket_name(bucket)
            .with_region(options.region)
            .with_access_key_id(options.access_key)
            .with_secret_access_key(options.secret_key)
            .with_virtual_hosted_style_request(false)
            // Not every server has it, and few objects are deleted.
            .with_disable_bulk_delete(true)
            .with_retry(RetryConfig {
                backoff: BackoffConfig { max_backoff: Duration::from_secs(2), ..BackoffConfig::default() },
                max_retries: RETRIES_MAX,
                retry_timeout: RETRY_TIMEOUT,
            });
        let mut at = url.to_string();
        if !options.endpoint.is_empty() {
            let form =
                "objects.endpoint is https://host:port, or http:// on loopback; the bucket stands in objects.url";
            let endpoint = Url::parse(options.endpoint).ok().filter(|url| url.path() == "/" && url.query().is_none());
            let endpoint = endpoint.filter(|url| web.check(url.as_str()).is_ok()).ok_or(form)?;
            // Without a port that is the scheme's own: so it is signed, and so it must be sent.
            let endpoint = endpoint.as_str().trim_end_matches('/');
            builder = builder.with_endpoint(endpoint).with_allow_http(true);
            at = format!("{at} at {endpoint}");
        }
        let store = builder.with_http_connector(Connector(web)).build().map_err(|error| error.to_string())?;
        Ok(Self { store: Box::new(store), prefix, folder: None, at })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    const SECRET: &str = "geheim-4711";

    #[test]
    fn what_cannot_be_used_is_refused_by_its_option_and_without_the_secret() {
        let good = ObjectOptions {
            url: "s3://records/archive",
            endpoint: "https://s3.example:9000",
            region: "us-east-1",
            access_key: "archive",
            secret_key: SECRET,
            authorities: None,
            larger_than: 0,
            orphans_after: Duration::ZERO,
        };
        assert_eq!(Objects::new(&good).unwrap().to_string(), "s3://records/archive at https://s3.example:9000");
        let aws = ObjectOptions { endpoint: "", ..good };
        assert_eq!(Objects::new(&aws).unwrap().to_string(), "s3://records/archive");
        let folder = ObjectOptions { endpoint: "", access_key: "", secret_key: "", ..good };
        for (options, why) in [
            (ObjectOptions { url: "records", ..good }, "objects.url"),
            (ObjectOptions { url: "gs://records", ..good }, "gs://"),
            (ObjectOptions { url: "s3:///archive", ..good }, "bucket"),
            (ObjectOptions { url: "s3://user:geheim-4711@records/archive", ..good }, "without user"),
            (ObjectOptions { url: "s3://records/archive?secret=geheim-4711", ..good }, "without user"),
            (ObjectOptions { access_key: "", ..good }, "objects.access_key"),
            (ObjectOptions { secret_key: "", ..good }, "objects.secret_key_file"),
            (ObjectOptions { region: "", ..good }, "objects.region"),
            (ObjectOptions { endpoint: "http://192.0.2.1:9000", ..good }, "objects.endpoint"),
            (ObjectOptions { endpoint: "s3.example:9000", ..good }, "objects.endpoint"),
            (ObjectOptions { endpoint: "https://s3.example/records", ..good }, "objects.endpoint"),
            (ObjectOptions { authorities: Some(Path::new("/absent/ca.pem")), ..good }, "objects.ca_file"),
            (ObjectOptions { url: "file:///absent/folder", ..folder }, "/absent/folder"),
            (ObjectOptions { url: "file:///tmp", ..good }, "objects.endpoint is for s3"),
        ] {
            let told = Objects::new(&options).unwrap_err().to_string();
            assert!(told.contains(why) && !told.contains(SECRET), "{}: {told}", options.url);
        }
    }
}
