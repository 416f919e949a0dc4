//! The seven steps of transmission, from the signed request to the opened record.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sealwort_corpora::targets::transmission::transmission(data));
