//! Certificate chains, revocation lists, requests, keys, and the documents of joining.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sealwort_corpora::targets::certificates::certificates(data));
