//! Configuration files, environment variables and flags.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sealwort_corpora::targets::configuration::configuration(data));
