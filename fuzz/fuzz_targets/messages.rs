//! Every CBOR message, policies, refusals, notices and frames.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sealwort_corpora::targets::messages::messages(data));
