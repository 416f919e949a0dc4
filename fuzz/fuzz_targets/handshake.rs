//! The nine steps of mutual authentication at gateway, broker and archive, and the cookie.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sealwort_corpora::targets::handshake::handshake(data));
