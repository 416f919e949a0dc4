//! What clients call their requests: `X-Request-Id`, and traces of their own. Either may be any text or derived from one,
//! such as a patient's number, so a gateway hands neither on. It keeps a keyed hash beside the spans, under a key of its
//! folder: whoever has the folder and knows the name finds the trace, and nobody can try names out on what is sent elsewhere.

use std::path::Path;

use http::HeaderMap;
use sealwort_proto::crypto::{Secret, mac};

use super::{Context, REQUEST_ID};
use crate::secret_file::{self, SecretFileError};

/// The file of the key, in a gateway's data folder.
const KEY_FILE: &str = "traces.key";
/// Longest name that is looked at, in bytes.
const NAME_BYTES_MAX: usize = 256;

/// Hashes names under a folder's key.
pub struct Names(Secret);

impl Names {
    /// With the key of a folder, if it has one.
    pub fn of(folder: &Path) -> Result<Option<Self>, SecretFileError> {
        let file = folder.join(KEY_FILE);
        if !file.exists() {
            return Ok(None);
        }
        Ok(Secret::from_slice(&secret_file::read(&file)?).map(Self))
    }

    /// The same, with a new key where there is none, or none that is whole.
    pub(crate) fn open(folder: &Path) -> Result<Self, SecretFileError> {
        if let Some(names) = Self::of(folder)? {
            return Ok(names);
        }
        let key = Secret::random();
        secret_file::replace(&folder.join(KEY_FILE), key.expose())?;
        Ok(Self(key))
    }

    /// The hash of a name.
    pub fn hash(&self, name: &str) -> String {
        let hash = mac(&self.0, "sealwort trace name v1", &[name.as_bytes()]);
        let (half, _) = hash.split_at(hash.len() / 2);
        hex::encode(half)
    }

    /// The hashes of what a request is called.
    pub(crate) fn of_request(&self, headers: &HeaderMap, trace: Option<Context>) -> Vec<String> {
        let named = headers.get(REQUEST_ID).and_then(|name| name.to_str().ok());
        let named = named.filter(|name| !name.is_empty() && name.len() <= NAME_BYTES_MAX).map(|name| self.hash(name));
        named.into_iter().chain(trace.map(|context| self.hash(&context.trace.to_string()))).collect()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_name_is_found_under_the_key_of_its_folder_alone() {
        let [one, other] = [(); 2].map(|()| tempfile::tempdir().unwrap());
        assert!(Names::of(one.path()).unwrap().is_none());
        let names = Names::open(one.path()).unwrap();
        assert_eq!(names.hash("4711"), Names::of(one.path()).unwrap().unwrap().hash("4711"));
        assert_ne!(names.hash("4711"), Names::open(other.path()).unwrap().hash("4711"));
        assert!(!names.hash("4711").contains("4711"));
    }
}
