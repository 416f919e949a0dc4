//! COSE statements of every kind: registration, directive, token, possession, receipt, entry.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sealwort_corpora::targets::statements::statements(data));
