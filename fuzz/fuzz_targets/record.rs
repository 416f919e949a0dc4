//! Sealed records and logs by a hostile author: padding, compression, lies, chains.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sealwort_corpora::targets::record::record(data));
